"""Seeding the demo team through the same door as everybody's activities."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from uuid import UUID
from zoneinfo import ZoneInfo

from domain import ingest, jobs
from domain.database import ALL_TEAMS, Connection, acquire, in_transaction
from domain.demo.actions import create_actions
from domain.demo.film import create_film
from domain.demo.goals import create_goals
from domain.demo.history import OUTCOME_DAYS, ZONE, records_of
from domain.demo.people import REPS, TEAM_NAME, create_people
from domain.demo.plans import create_plans
from domain.demo.scores import create_scores, grant_earned
from domain.records import NOT_KEPT, AnyRecord

SOURCE = "demo"
HISTORY_DAYS = 365
BATCH_ROWS = 20_000
_LOCK_KEY = 7_305_417_202
"""Advisory lock that makes two seeders come one after the other."""
_HOLDER = "seed"


@dataclass(frozen=True, slots=True)
class SeedOutcome:
    """What seeding did.

    Args:
        team_id: The demo team.
        days: Days that were looked at; 0 when everything was current.
        accepted: Activities that were new or had gone on.
    """

    team_id: UUID
    days: int
    accepted: int


async def seed_demo(
    today: date | None = None,
    on_progress: Callable[[int, int], None] | None = None,
    *,
    history_days: int = HISTORY_DAYS,
) -> SeedOutcome:
    """Make the demo team, or bring its history up to the start of `today` (in its time zone).

    Safe to run twice, at once, or after a kill: activities are taken in by their ids, and only a finished run counts
    as one.
    """
    day = today or datetime.now(ZONE).date()
    async with acquire(ALL_TEAMS) as guard:
        await guard.execute("SELECT pg_advisory_lock($1)", _LOCK_KEY)
        try:
            return await _seed(day, on_progress, history_days)
        finally:
            await guard.execute("SELECT pg_advisory_unlock($1)", _LOCK_KEY)


async def _seed(today: date, on_progress: Callable[[int, int], None] | None, history_days: int) -> SeedOutcome:
    async def people(connection: Connection) -> tuple[UUID, date, date | None]:
        row = await connection.fetchrow("SELECT id, created_at FROM teams WHERE demo AND name = $1", TEAM_NAME)
        if row is None:
            team_id = await create_people(connection, today)
            await create_goals(connection, team_id, today, history_days)
            await create_scores(connection, team_id, today, history_days)
            await create_plans(connection, team_id, today)
            await create_actions(connection, team_id, today)
            return team_id, today, None
        last = await connection.fetchval(
            "SELECT max(cursor ->> 'day') FROM jobs WHERE team_id = $1 AND kind = 'seed_demo' AND state = 'SUCCEEDED'",
            row["id"],
        )
        anchor = row["created_at"].astimezone(ZONE).date()
        await create_goals(connection, row["id"], anchor, history_days)
        await create_scores(connection, row["id"], anchor, history_days)
        await create_plans(connection, row["id"], anchor)
        await create_actions(connection, row["id"], today)
        return row["id"], anchor, None if last is None else date.fromisoformat(last)

    team_id, anchor, seeded = await in_transaction(ALL_TEAMS, people)
    if seeded is not None and seeded >= today:
        return SeedOutcome(team_id, 0, 0)
    first = anchor - timedelta(days=history_days)
    if seeded is not None:
        first = max(first, seeded - timedelta(days=OUTCOME_DAYS))
    days = (today - first).days
    accepted = 0
    for records, done in _batches(first, today, anchor):
        outcome = await ingest.take_in(team_id, SOURCE, list(enumerate(records)))
        refused = [error for error in outcome.errors if error.code not in NOT_KEPT]
        if refused:
            raise RuntimeError(f"the demo's own record was refused: {refused[0]}")
        accepted += outcome.accepted
        if on_progress is not None:
            on_progress(done, days)
    await in_transaction(team_id, partial(create_film, team_id=team_id, today=today))
    await in_transaction(team_id, partial(grant_earned, team_id=team_id))
    await in_transaction(team_id, _mark(team_id, today))
    return SeedOutcome(team_id, days, accepted)


def _batches(first: date, today: date, anchor: date) -> Iterator[tuple[list[AnyRecord], int]]:
    cutoff = datetime.combine(today, time(), ZoneInfo(ZONE.key))
    held: list[AnyRecord] = []
    for number in range((today - first).days):
        for rep in REPS:
            held += records_of(rep, first + timedelta(days=number), anchor, cutoff)
        if len(held) >= BATCH_ROWS:
            yield held, number + 1
            held = []
    if held:
        yield held, (today - first).days


def _mark(team_id: UUID, today: date) -> Callable[[Connection], Awaitable[None]]:
    """A finished run leaves a finished job behind, made and ended in one transaction."""

    async def work(connection: Connection) -> None:
        stamp = datetime.now(UTC).isoformat()
        job_id = await jobs.create_job(
            connection, team_id, "seed_demo", run_key=f"seed_demo:{today}:{stamp}", arguments={}
        )
        job = await jobs.claim_job(connection, _HOLDER, job_id=job_id)
        assert job is not None, "nobody else can see the job yet"
        await jobs.save_progress(connection, job, {"day": today.isoformat()}, 1, 1)
        await jobs.finish_job(connection, job)

    return work
