"""One embedded PostgreSQL and Redis a run, a database a worker made from a migrated template, real commits."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg
import pytest
from hypothesis import HealthCheck, settings

from cli.embedded.postgres import EmbeddedPostgres
from cli.embedded.redis import EmbeddedRedis
from domain import bodies
from domain import database as domain_database
from domain.secrets import SecretBox, make_key

TEMPLATE = "sideline_template"
TEST_KEY = make_key()
"""A process's own: what a test sealed, it opens itself."""
_SERVICES = "SIDELINE_TEST_SERVICES"

settings.register_profile(
    "sideline",
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("sideline")

# A developer's own settings must not leak into the tests.
for name in [name for name in os.environ if name.startswith("SIDELINE_") and name != _SERVICES]:
    del os.environ[name]


def at_database(url: str, name: str) -> str:
    """The same server, another database."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


class _Services:
    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="sideline-test-"))
        self.postgres = EmbeddedPostgres(self.folder / "postgres", durable=False)
        self.redis = EmbeddedRedis(self.folder / "redis", durable=False)

    def start(self) -> dict[str, str]:
        url = self.postgres.start()
        redis_url = self.redis.start()
        asyncio.run(_execute(url, f"CREATE DATABASE {TEMPLATE}"))
        asyncio.run(domain_database.migrate(at_database(url, TEMPLATE)))
        return {"database": url, "redis": redis_url}

    def stop(self) -> None:
        self.redis.stop()
        self.postgres.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


_running: _Services | None = None


def pytest_configure(config: pytest.Config) -> None:
    """The process that pytest was started as brings the services up; xdist's workers inherit their addresses."""
    global _running
    if hasattr(config, "workerinput") or config.option.collectonly:
        return
    _running = _Services()
    try:
        os.environ[_SERVICES] = json.dumps(_running.start())
    except BaseException:
        _running.stop()
        raise


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop what was started, by its own process ids."""
    global _running
    if _running is not None:
        _running.stop()
        _running = None


@pytest.fixture(scope="session")
def services() -> dict[str, str]:
    """The addresses of this run's services: `database` and `redis`."""
    addresses: dict[str, str] = json.loads(os.environ[_SERVICES])
    return addresses


@pytest.fixture(scope="session")
def database_url(services: dict[str, str], worker_id: str) -> Iterator[str]:
    """A database of this worker's own, made from the template. Tests share it: each makes a team of its own."""
    name = f"sideline_{worker_id}"
    asyncio.run(_execute(services["database"], f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}"))
    yield at_database(services["database"], name)
    asyncio.run(_execute(services["database"], f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture(scope="session")
def redis_url(services: dict[str, str], worker_id: str) -> str:
    """A Redis database of this worker's own."""
    number = int(worker_id.removeprefix("gw")) + 1 if worker_id.startswith("gw") else 0
    return f"{services['redis']}/{number}"


@pytest.fixture(autouse=True)
def secret_keys() -> None:
    """This process seals and opens with its own key."""
    bodies.use_keys(SecretBox([TEST_KEY]))


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[str]:
    """This process connected to the worker's database."""
    await domain_database.connect(database_url, pool_size=8)
    yield database_url
    await domain_database.disconnect()


@pytest.fixture
async def fresh_database(services: dict[str, str]) -> AsyncIterator[str]:
    """This process connected to an empty database of the test's own."""
    name = f"fresh_{uuid4().hex}"
    await _execute(services["database"], f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
    url = at_database(services["database"], name)
    await domain_database.connect(url, pool_size=8)
    yield url
    await domain_database.disconnect()
    await _execute(services["database"], f"DROP DATABASE {name} WITH (FORCE)")
