"""`sideline doctor`: what is wrong with a set-up, and how to mend it."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from zoneinfo import ZoneInfo

import asyncpg
from redis.asyncio import Redis
from redis.exceptions import RedisError

from cli.embedded import postgres as embedded_postgres
from cli.embedded import redis as embedded_redis
from cli.embedded.processes import ServiceError, free_port
from cli.installation import read_running
from domain.courier import open_redis
from domain.migrating import missing_migrations
from domain.settings import Settings

OLDEST_PYTHON = (3, 11)
LEAST_FREE_BYTES = 2 * 2**30
CLOCK_SKEW_SECONDS = 5.0
REQUIREMENTS = Path(__file__).resolve().parent.parent / "requirements" / "runtime.txt"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Args:
        what: The thing.
        good: Whether it is as it should be.
        detail: What was found.
        mend: What to do about it.
    """

    what: str
    good: bool
    detail: str
    mend: str = ""


def examine(settings: Settings) -> Iterator[Finding]:
    """Look at everything that Sideline leans on."""
    yield _python()
    yield _packages()
    yield _home(settings.home)
    yield _time_zones()
    running = read_running(settings.home)
    if running is not None:
        yield Finding("running", True, f"{running.url}, process {running.pid}")
    else:
        yield _port(settings.port)
    if settings.database_url is None and running is None:
        yield _program("PostgreSQL", embedded_postgres.binaries, "postgres", "SIDELINE_DATABASE_URL")
    else:
        yield asyncio.run(_database(settings.database_url or (running.database_url if running else "")))
    if settings.redis_url is None and running is None:
        yield _program("Redis", lambda: embedded_redis.binary().parent, "redis-server", "SIDELINE_REDIS_URL")
    else:
        yield asyncio.run(_redis(settings.redis_url or (running.redis_url if running else "")))


def _python() -> Finding:
    found = ".".join(str(part) for part in sys.version_info[:3])
    good = sys.version_info >= OLDEST_PYTHON
    return Finding("Python", good, found, "Install Python 3.11 or newer and run make setup again.")


def _packages() -> Finding:
    mend = "Run make setup (or make setup-dev)."
    if not REQUIREMENTS.exists():
        return Finding("packages", True, "installed without the lock file, not compared")
    wrong = []
    for line in REQUIREMENTS.read_text().splitlines():
        requirement, _, marker = line.partition(";")
        name, separator, version = requirement.strip(" \\").partition("==")
        if not separator or line.startswith(" ") or marker.strip(" \\"):
            continue
        name = name.partition("[")[0]
        try:
            installed = metadata.version(name)
        except metadata.PackageNotFoundError:
            installed = "missing"
        if installed != version.strip():
            wrong.append(f"{name} is {installed}, the lock says {version.strip()}")
    return Finding("packages", not wrong, "; ".join(wrong) or "as the lock says", mend)


def _home(home: Path) -> Finding:
    existing = next(folder for folder in (home.resolve(), *home.resolve().parents) if folder.exists())
    mend = "Give SIDELINE_HOME a folder of yours on a disk with at least 2 GiB free."
    if not os.access(existing, os.W_OK):
        return Finding("SIDELINE_HOME", False, f"{existing} cannot be written to", mend)
    free = shutil.disk_usage(existing).free
    return Finding("SIDELINE_HOME", free >= LEAST_FREE_BYTES, f"{home.resolve()}, {free / 2**30:.0f} GiB free", mend)


def _time_zones() -> Finding:
    winter = datetime(2026, 1, 1, tzinfo=UTC).astimezone(ZoneInfo("America/New_York")).utcoffset()
    good = winter is not None and winter.total_seconds() == -5 * 3600
    return Finding("time zones", good, "known" if good else "wrong", "Install the package tzdata: make setup.")


def _port(port: int) -> Finding:
    good = not port or free_port(port) == port
    return Finding("PORT", good, f"{port} is {'free' if good else 'taken'}", f"Choose another one: PORT={port + 1}.")


def _program(what: str, folder: Callable[[], Path], program: str, variable: str) -> Finding:
    mend = f"Run make setup, or set {variable} to the address of a server."
    try:
        command = str(folder() / program)
        answer = subprocess.run([command, "--version"], capture_output=True, text=True, check=False)
    except (ServiceError, OSError) as error:
        return Finding(what, False, str(error), mend)
    detail = (answer.stdout or answer.stderr).strip()
    return Finding(what, answer.returncode == 0, f"embedded: {detail}", mend)


async def _database(url: str) -> Finding:
    mend = "Start PostgreSQL 18, and check user, password, host and database of SIDELINE_DATABASE_URL."
    try:
        connection = await asyncpg.connect(url, timeout=5)
    except (OSError, asyncpg.PostgresError, TimeoutError, ValueError) as error:
        return Finding("PostgreSQL", False, f"{type(error).__name__}: {error}", mend)
    try:
        version = int(await connection.fetchval("SHOW server_version_num"))
        if version < 180000:
            return Finding("PostgreSQL", False, f"is version {version // 10000}", "Sideline needs PostgreSQL 18.")
        now = await connection.fetchval("SELECT clock_timestamp()")
        skew = abs((datetime.now(UTC) - now).total_seconds())
        if skew > CLOCK_SKEW_SECONDS:
            return Finding("PostgreSQL", False, f"its clock is {skew:.0f} s off", "Set both clocks by NTP.")
        if missing := await missing_migrations(connection):
            return Finding("PostgreSQL", False, f"older than this version by {len(missing)}", "Run sideline migrate.")
        return Finding("PostgreSQL", True, f"version {version // 10000}, migrated")
    finally:
        await connection.close()


async def _redis(url: str) -> Finding:
    mend = "Start Redis 6.2 or newer, and check password, host and port of SIDELINE_REDIS_URL."
    async with open_redis(url, Redis) as client:
        try:
            version = (await client.info("server"))["redis_version"]
        except (RedisError, OSError) as error:
            return Finding("Redis", False, f"{type(error).__name__}: {error}", mend)
    return Finding("Redis", True, f"version {version}")
