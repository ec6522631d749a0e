"""What /readyz looks at; tests/running/test_rolling.py has it through a whole rolling upgrade.

A. Both pools have to give a connection soon, and PostgreSQL has to take changes.
B. The database has what this version needs; that it has more is no matter.
C. Redis has to answer soon.
D. A process that leaves is not ready, though everything else is there.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any
from uuid import uuid4

import pytest

from api import app as api_app
from domain import migrating
from domain.database import ALL_TEAMS, acquire
from domain.migrating import known_migrations
from tests.api.conftest import Api


async def readiness(api: Api) -> tuple[int, Any]:
    answer = await api.http.get("/readyz")
    return answer.status_code, answer.json()


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_app, "READY_SECONDS", 0.5)


@pytest.mark.parametrize("pool", ["team", "owner"])
async def test_each_pool_has_to_give_a_connection(api: Api, pool: str) -> None:
    """A."""
    assert await readiness(api) == (200, {"status": "ready"})
    async with AsyncExitStack() as held:
        reach = ALL_TEAMS if pool == "owner" else uuid4()
        for _ in range(4 if pool == "owner" else 8):
            await held.enter_async_context(acquire(reach))
        assert await readiness(api) == (503, {"status": "not ready", "missing": ["database"]})
    assert (await readiness(api))[0] == 200


async def test_a_database_that_is_behind(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """B."""
    monkeypatch.setattr(migrating, "known_migrations", lambda: (*known_migrations(), "0901_next"))
    status, told = await readiness(api)
    assert (status, told["missing"]) == (503, ["migrations"])
    assert "`sideline migrate`" in told["mend"]
    monkeypatch.setattr(migrating, "known_migrations", lambda: ("0001_initial",))
    assert (await readiness(api))[0] == 200


async def test_redis_has_to_answer(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """C."""

    async def never() -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(api.app.state.queue, "ping", never)
    assert await readiness(api) == (503, {"status": "not ready", "missing": ["redis"]})


async def test_who_leaves(api: Api) -> None:
    """D."""
    api.app.state.leaving.set()
    assert await readiness(api) == (503, {"status": "not ready", "missing": ["stopping"]})
