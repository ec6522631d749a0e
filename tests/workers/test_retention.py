"""The upkeep of what teams do not keep any more.

Invariants:
A. A worker's upkeep removes what each team keeps for a time that has passed, and what has done its work.
B. One team's trouble is not the others'.
C. A person's erasure is one of the worker's jobs.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID

import pytest

from domain import erasure, retention
from domain.database import ALL_TEAMS, acquire, in_transaction
from tests.domain.test_ingest import take, team_with_users
from tests.factories import make_role, make_user, viewer_of
from tests.workers.test_worker import until, worker
from workers.main import forget_the_old

CALL = {"kind": "call", "externalId": "c", "version": 1, "occurredAt": "2020-03-01T10:00:00Z"}


async def team_with_an_old_call() -> tuple[UUID, UUID]:
    team_id, users = await team_with_users("UTC", 1)
    ((user_id, email),) = users.items()
    await take(team_id, [{**CALL, "user": email}])
    async with acquire(ALL_TEAMS) as connection:
        await connection.execute("UPDATE teams SET keep_activities_days = 30 WHERE id = $1", team_id)
    return team_id, user_id


async def calls(team_id: UUID) -> tuple[int, int]:
    """Activities, and what is counted."""
    async with acquire(team_id) as connection:
        held = await connection.fetchval("SELECT count(*) FROM activities")
        return held, await connection.fetchval("SELECT sum(calls_logged) FROM rollup_days")


async def test_upkeep_forgets_for_each_team(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    teams = sorted([(await team_with_an_old_call())[0] for _ in range(3)])
    forget = retention.forget

    async def forget_or_fail(team: retention.TeamRetention, now: datetime) -> int:
        if team.team_id == teams[0]:
            raise RuntimeError("something about this team")
        return await forget(team, now)

    with monkeypatch.context() as patch:
        patch.setattr(retention, "forget", forget_or_fail)
        assert await forget_the_old() is False
    assert [await calls(team) for team in teams] == [(1, 1), (0, 1), (0, 1)]
    await forget_the_old()
    assert await calls(teams[0]) == (0, 1)


async def test_a_worker_erases(database: str, redis_url: str) -> None:
    team_id, user_id = await team_with_an_old_call()
    async with acquire(ALL_TEAMS) as connection:
        role = await make_role(connection, team_id, is_admin=True)
        admin = await viewer_of(connection, await make_user(connection, team_id, role))
    erase = partial(erasure.erase_user, viewer=admin, user_id=user_id, now=datetime.now(UTC))
    done: Any = await in_transaction(team_id, erase)
    with worker(database, redis_url):
        job = await until(done[1], team_id, ended=True)
    assert (job.state, job.processed, job.error) == ("SUCCEEDED", 1, None)
    assert await calls(team_id) == (0, 1)
