"""Scheduled actions that are due in the same minute, on two worker processes, against a bare arq run of as many jobs:
`python -m bench.actions [how many]`.

Ours: actions of 20 teams, half of them recurring, each of which lets a message go out; it is over when the last of them
has ended, which must be SUCCEEDED, once, in the first attempt. The floor: as many jobs that do nothing, due at one
moment, on two arq workers; it is over when the queue is empty.
"""

from __future__ import annotations

import asyncio
import functools
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from uuid import UUID

from arq.constants import job_key_prefix
from arq.jobs import serialize_job
from redis.asyncio import Redis

from bench.bare_arq import FUNCTION, QUEUE
from bench.measure import Comparison
from bench.processes import running
from domain import database, teams
from domain.actions import GOAL_REMINDER, NewAction, put_actions
from domain.database import ALL_TEAMS, acquire, transaction

ACTIONS = 20_000
"""In `python -m bench`; the goal is stated for 100,000."""
GOAL = 3.0
WORKERS = 2
TEAMS = 20
REPS = 50
LOT = 1_000
LEAD_SECONDS = 6.0
"""The workers have started by then."""
LONGEST_SECONDS = 900.0


def _workers(module: str, environment: Mapping[str, str]) -> AbstractContextManager[object]:
    return running([([sys.executable, "-m", module], environment)] * WORKERS)


async def _make(count: int) -> list[UUID]:
    """Teams with actions that are far ahead as yet."""
    made = []
    far = datetime.now(UTC).replace(microsecond=0) + timedelta(days=30)
    for number in range(TEAMS):
        async with acquire(ALL_TEAMS) as connection:
            team_id = await teams.create_team(connection, name="Actions", timezone="America/New_York")
            role_id = await teams.role_named(connection, team_id, teams.USER)
            users = [
                await teams.create_user(
                    connection, team_id, name=f"Rep {rep}", email=f"rep{rep}@example.test", role_id=role_id
                )
                for rep in range(REPS)
            ]
        made.append(team_id)
        own = count // TEAMS + (number < count % TEAMS)
        for first in range(0, own, LOT):
            async with transaction(team_id) as connection:
                await put_actions(
                    connection,
                    team_id,
                    [
                        NewAction(
                            f"bench:{place}",
                            GOAL_REMINDER,
                            "How your goals stand",
                            far,
                            user_id=users[place % REPS],
                            created_by_id=users[place % REPS],
                            recurrence="FREQ=DAILY" if place % 2 else None,
                        )
                        for place in range(first, min(first + LOT, own))
                    ],
                )
    return made


async def _ours(count: int, database_url: str, redis_url: str) -> float:
    """Seconds from when all are due until the last has ended."""
    made = await _make(count)
    due = datetime.now(UTC) + timedelta(seconds=LEAD_SECONDS)
    async with acquire(ALL_TEAMS) as connection:
        await connection.execute(
            "UPDATE scheduled_actions SET due_at = $2, run_at = $2, planned_at = $2 WHERE team_id = ANY ($1::uuid[])",
            made,
            due,
        )
        await connection.execute("ANALYZE scheduled_actions")
    with _workers("workers", {"SIDELINE_DATABASE_URL": database_url, "SIDELINE_REDIS_URL": redis_url}):
        began = time.monotonic()
        async with acquire(ALL_TEAMS) as connection:
            while True:
                ended = await connection.fetchval(
                    "SELECT count(*) FROM action_runs WHERE team_id = ANY ($1::uuid[])", made
                )
                if ended >= count or time.monotonic() - began > LONGEST_SECONDS:
                    break
                await asyncio.sleep(0.5)
    async with acquire(ALL_TEAMS) as connection:
        row = await connection.fetchrow(
            """
            SELECT count(*) AS runs, count(DISTINCT r.action_id) AS actions, max(r.ended_at) AS last,
                count(*) FILTER (WHERE r.state = 'SUCCEEDED' AND r.occurrence = 1 AND r.attempts = 1) AS good
            FROM action_runs r WHERE r.team_id = ANY ($1::uuid[])
            """,
            made,
        )
        sent = await connection.fetchval(
            "SELECT count(*) FROM outgoing_messages WHERE team_id = ANY ($1::uuid[])", made
        )
        left = await connection.fetchval(
            "SELECT count(*) FROM scheduled_actions WHERE team_id = ANY ($1::uuid[]) AND run_at <= now() "
            "AND state IN ('SCHEDULED', 'RUNNING')",
            made,
        )
    assert row is not None, "an aggregate has a row"
    if not row["runs"] == row["actions"] == row["good"] == sent == count or left:
        raise RuntimeError(f"not each once: {dict(row)}, {sent} messages, {left} left, of {count}")
    return float((row["last"] - due).total_seconds())


async def bare_arq_seconds(count: int, redis_url: str) -> float:
    """Seconds from when all jobs are due until arq's queue is empty."""
    redis = Redis.from_url(redis_url)
    try:
        await redis.delete(QUEUE)
        due = time.time() + LEAD_SECONDS + count / 20_000
        due_ms = int(due * 1000)
        for first in range(0, count, LOT):
            async with redis.pipeline(transaction=False) as pipeline:
                for number in range(first, min(first + LOT, count)):
                    job_id = f"{number:08d}"
                    body = serialize_job(FUNCTION, (number,), {}, None, due_ms)
                    pipeline.psetex(job_key_prefix + job_id, 3_600_000, body)
                    pipeline.zadd(QUEUE, {job_id: due_ms})
                await pipeline.execute()
        with _workers("bench.bare_arq", {"SIDELINE_REDIS_URL": redis_url}):
            began = time.monotonic()
            while await redis.zcard(QUEUE) and time.monotonic() - began < LONGEST_SECONDS:
                await asyncio.sleep(0.2)
            over = time.time()
            if await redis.zcard(QUEUE):
                raise RuntimeError("the floor did not end")
        return over - due
    finally:
        await redis.aclose()


async def beside_bare_arq(
    ours: Callable[[int, str, str], Awaitable[float]], count: int, database_url: str, redis_url: str
) -> tuple[float, float]:
    """Our seconds for so many, by their number and the addresses of PostgreSQL and Redis, and arq's."""
    await database.connect(database_url, pool_size=4)
    try:
        return await ours(count, database_url, redis_url), await bare_arq_seconds(count, redis_url)
    finally:
        await database.disconnect()


async def measure(database_url: str, redis_url: str, *, count: int = ACTIONS) -> list[Comparison]:
    """How late the last of so many actions is, over how late arq's last job is."""
    ours, floor = await beside_bare_arq(_ours, count, database_url, redis_url)
    detail = f"the last of {count} ended {ours:.1f} s after it was due, arq's {floor:.1f} s; {WORKERS} workers each"
    ratio = ours / max(floor, 0.001)
    return [Comparison("scheduled actions due at once", ratio, GOAL, detail, ours=ours, floor=floor, unit="s")]


if __name__ == "__main__":
    from bench.__main__ import alone

    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    raise SystemExit(alone(functools.partial(measure, count=wanted)))
