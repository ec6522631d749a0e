"""One embedded PostgreSQL and Redis a run, a database a worker made from a migrated template, real commits."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Generator, Iterator
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, settings

from domain import bodies
from domain import database as domain_database
from domain.secrets import SecretBox, make_key
from tests.services import TEMPLATE, VARIABLE, Services, at_database, empty, execute, lie_in_memory
from tests.thrift import keep_what_is_imported, no_garbage_is_sought, once_a_process

TEST_KEY = make_key()
"""A process's own: what a test sealed, it opens itself."""

settings.register_profile(
    "sideline",
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("sideline")

# A developer's own settings must not leak into the tests.
for name in [name for name in os.environ if name.startswith("SIDELINE_") and name != VARIABLE]:
    del os.environ[name]

# A run starts some hundred processes of ours. Where the environment tells Python to keep no compiled modules, each of
# them would compile all of ours anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

_running: Services | None = None


def pytest_configure(config: pytest.Config) -> None:
    """The process that pytest was started as brings the services up; xdist's workers inherit their addresses."""
    global _running
    if hasattr(config, "workerinput") or config.option.collectonly:
        return
    lie_in_memory()
    _running = Services()
    try:
        os.environ[VARIABLE] = json.dumps(_running.start())
    except BaseException:
        _running.stop()
        raise


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop what was started, by its own process ids."""
    global _running
    if _running is not None:
        _running.stop()
        _running = None


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collecting imports everything."""
    with no_garbage_is_sought():
        return (yield)


SLOWEST = (
    "tests/running/test_soak.py",
    "tests/running/test_installation.py::test_the_two_commands_on_a_fresh_machine",
    "tests/running/test_clients.py",
    "tests/running/test_rolling.py",
    "tests/running/test_failover.py",
    "tests/api/test_matrix.py",
    "tests/workers/test_worker.py",
)
"""What takes longest by the clock, though much of it waits."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, in each of xdist's processes, so that none is alone with such a test at the end.

    xdist first gives each process its even part of the list, from the beginning to the end.
    """
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if processes == 1:
        return
    slow = [[item for item in items if item.nodeid.startswith(name)] for name in SLOWEST]
    moved = {item for group in slow for item in group}
    # Each process in which one of these runs starts an installation of its own.
    slow.append([item for item in items if "running" in getattr(item, "fixturenames", ()) and item not in moved])
    moved.update(slow[-1])
    rest = [item for item in items if item not in moved]
    total = len(items)
    items.clear()
    for process in range(processes):
        first = [item for group in slow[process::processes] for item in group]
        part = max((total - len(items)) // (processes - process) - len(first), 0)
        items += [*first, *rest[:part]]
        del rest[:part]


def pytest_collection_finish() -> None:
    """Everything is imported by now."""
    keep_what_is_imported()


@pytest.fixture(scope="session", autouse=True)
def thrift() -> Iterator[None]:
    """This process does once what is the same for every test."""
    with once_a_process():
        yield


@pytest.fixture(scope="session")
def services() -> dict[str, str]:
    """The addresses of this run's services: `database` and `redis`."""
    addresses: dict[str, str] = json.loads(os.environ[VARIABLE])
    return addresses


@pytest.fixture(scope="session")
def database_url(services: dict[str, str], worker_id: str) -> Iterator[str]:
    """A database of this worker's own, made from the template. Tests share it: each makes a team of its own."""
    name = f"sideline_{worker_id}"
    asyncio.run(execute(services["database"], f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}"))
    yield at_database(services["database"], name)
    asyncio.run(execute(services["database"], f"DROP DATABASE {name} WITH (FORCE)"))


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
    await execute(services["database"], f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
    url = at_database(services["database"], name)
    await domain_database.connect(url, pool_size=8)
    yield url
    await domain_database.disconnect()
    await execute(services["database"], f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def emptied_database_url(services: dict[str, str], worker_id: str) -> Iterator[str]:
    """A second database of this worker's own, for `emptied_database`."""
    name = f"sideline_{worker_id}_emptied"
    asyncio.run(execute(services["database"], f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}"))
    yield at_database(services["database"], name)
    asyncio.run(execute(services["database"], f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
async def emptied_database(emptied_database_url: str) -> AsyncIterator[str]:
    """As `fresh_database`, for tests that write little: emptying is some twenty times cheaper than making."""
    await empty(emptied_database_url)
    await domain_database.connect(emptied_database_url, pool_size=8)
    yield emptied_database_url
    await domain_database.disconnect()
