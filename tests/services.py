"""One PostgreSQL and Redis for a run of the suite, and migrated data for servers that tests start themselves.

The tables are made once, in the data of the run's own server. A copy of that data is kept before any test has seen it;
a test that needs a server of its own (to kill it, say) starts one on a copy of the copy, which has all but the
migrations behind it. Likewise the demo team is seeded once, by whoever needs it first. Of the whole way from a clone of
the repository there is a test in `tests/running/test_installation.py`.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from cli.embedded.postgres import DATABASE, SUPERUSER, EmbeddedPostgres
from cli.embedded.redis import EmbeddedRedis
from cli.installation import with_secret_keys
from domain import bodies, database
from domain.demo import seed_demo
from domain.settings import Settings

MEMORY = Path("/dev/shm")
MEMORY_BYTES = 10 * 2**30
"""What has to be free there. An environment made anew is 1.6 GB, a demo installation 0.3 GB: a run holds less than half
of it at any time."""
TEMPLATE = "sideline_template"
VARIABLE = "SIDELINE_TEST_SERVICES"
"""Tells the processes of pytest-xdist, as JSON, what runs where."""


def lie_in_memory() -> None:
    """Have this run's temporary folders in memory, where it has room and nobody has said another place.

    A run makes some hundred thousand small files: databases, packages, environments. That costs a disk's file system
    up to a millisecond each.
    """
    if "TMPDIR" in os.environ or not MEMORY.is_dir():
        return
    room = os.statvfs(MEMORY)
    available = re.search(r"^MemAvailable: +(\d+) kB$", Path("/proc/meminfo").read_text(), re.MULTILINE)
    free = min(room.f_bavail * room.f_frsize, int(available[1]) * 1024 if available else 0)
    # Environments hold programs.
    if free >= MEMORY_BYTES and not room.f_flag & os.ST_NOEXEC and os.access(MEMORY, os.W_OK):
        os.environ["TMPDIR"] = str(MEMORY)
        tempfile.tempdir = None


def at_database(url: str, name: str) -> str:
    """The same server, another database."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


async def execute(url: str, statement: str) -> None:
    """Run one statement on a connection of its own."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def empty(url: str) -> None:
    """Remove all rows of a migrated database, after ending whoever is still connected to it."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        found = await connection.fetch(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'tortoise_migrations'"
        )
        looks = (f"SELECT '{row['tablename']}' AS name WHERE EXISTS (SELECT FROM {row['tablename']})" for row in found)
        filled = await connection.fetch(" UNION ALL ".join(looks))
        # No foreign key asks for an order, and no trigger keeps a row.
        await connection.execute("SET session_replication_role = replica")
        for row in filled:
            await connection.execute(f"DELETE FROM {row['name']}")
    finally:
        await connection.close()


class Services:
    """The run's servers, with everything of theirs in one folder that goes with them."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="sideline-test-"))
        self.postgres = EmbeddedPostgres(self.folder / "postgres", durable=False)
        self.redis = EmbeddedRedis(self.folder / "redis", durable=False)

    def start(self) -> dict[str, str]:
        """Start them. Returns their addresses (`database`, `redis`) and where the migrated data lie (`migrated`)."""
        migrated = self.folder / "migrated"
        asyncio.run(database.migrate(self.postgres.start()))
        self.postgres.stop()
        copy_data(self.postgres.folder, migrated)
        url, redis_url = at_database(self.postgres.start(), "postgres"), self.redis.start()
        password = (self.postgres.folder / "password").read_text().strip()
        # The tests connect thousands of times: what makes a password costly to guess is a quarter of a connection.
        asyncio.run(execute(url, f"SET scram_iterations = 1; ALTER ROLE {SUPERUSER} PASSWORD '{password}'"))
        asyncio.run(execute(url, f"ALTER DATABASE {DATABASE} RENAME TO {TEMPLATE}"))
        return {"database": url, "redis": redis_url, "migrated": str(migrated)}

    def stop(self) -> None:
        """Stop them, by their own process ids."""
        self.redis.stop()
        self.postgres.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def lay_migrated_data(folder: Path) -> None:
    """Put migrated data where an embedded PostgreSQL that has not been started yet will look for its own."""
    copy_data(_migrated(), folder)


def lay_demo_home(home: Path) -> None:
    """Put a seeded demo team where a `sideline up` that has not been run yet will look for its own."""
    seeded = once_a_run("demo", _seed)
    home.mkdir(mode=0o700)
    copy_data(seeded / "postgres", home / "postgres")
    shutil.copy2(seeded / "secret.key", home)


def lay_packages(source: Path, folder: Path) -> None:
    """Put the packages of npm that a folder of the repository names where programs in `folder` look for theirs."""

    def install(made: Path) -> None:
        for name in ("package.json", "package-lock.json", ".npmrc"):
            shutil.copy(source / name, made)
        environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        subprocess.run(["npm", "ci", "--silent"], cwd=made, env=environment, check=True, timeout=180)

    (folder / "node_modules").symlink_to(once_a_run(f"packages-of-{source.name}", install) / "node_modules")


def once_a_run(name: str, make: Callable[[Path], None]) -> Path:
    """The run's folder of this name: whoever needs it first makes what is in it, and all others wait meanwhile."""
    folder = _migrated().with_name(name)
    with folder.with_name(f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "ready").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            (folder / "ready").touch()
    return folder


def _migrated() -> Path:
    return Path(json.loads(os.environ[VARIABLE])["migrated"])


def _seed(home: Path) -> None:
    postgres = EmbeddedPostgres(home / "postgres", durable=False)
    copy_data(_migrated(), postgres.folder)
    # With the keys of that home: bodies of emails are sealed.
    keys = with_secret_keys(Settings(home=home)).secret_box()

    async def seed(url: str) -> None:
        await database.connect(url, pool_size=4)
        try:
            bodies.use_keys(keys)
            await seed_demo()
        finally:
            await database.disconnect()

    try:
        asyncio.run(seed(postgres.start()))
    finally:
        postgres.stop()


def copy_data(source: Path, target: Path) -> None:
    """Copy an embedded PostgreSQL that does not run: its data and its password, but not its port.

    `cp` because the owner, who may be `nobody`, has to stay.
    """
    target.mkdir(parents=True)
    for name in ("password", "data"):
        subprocess.run(["cp", "-Rp", str(source / name), str(target / name)], check=True)
