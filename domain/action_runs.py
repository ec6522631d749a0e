"""Carrying scheduled actions out, as far as the tables go: claim, hold, end.

Actions are claimed in lots under a lease, the teams that have some due taking equal shares. What an action does and how
its occurrence ended commit in one transaction, which begins by locking the claimed rows that are still the holder's: an
action that was cancelled, paused or moved meanwhile, or whose lease has lapsed and been taken by another, is left out.
So each occurrence has its effect exactly once, however many workers there are and whenever one dies.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson

from domain.actions import next_due
from domain.models.actions import CatchUp
from domain.models.base import new_id
from domain.models.jobs import JobState
from domain.pruning import prune_by_age

if TYPE_CHECKING:
    from domain.database import Connection

LEASE_SECONDS = 30.0
"""How long a claim holds without being renewed."""
RENEW_SECONDS = 8.0
ATTEMPTS_LIMIT = 8
"""So often is an occurrence begun; workers that died with it in their hands count."""
RETRY_BASE_SECONDS = 5.0
RETRY_LIMIT_SECONDS = 600.0
LATE_AFTER = timedelta(minutes=15)
"""What has been due for longer fell due while nothing ran."""
PASSED_LIMIT = 1_000
"""So many occurrences that fell due are counted; of more than these, the rest goes without a number."""
UPCOMING_MISSED_AFTER = timedelta(days=1)
"""Upcoming work that nobody has reported done so long after it was due was missed."""


@dataclass(frozen=True, slots=True)
class DueAction:
    """A claimed action.

    Args:
        timezone: The action's or the team's.
        attempts: The how-manieth this is, of the occurrence that comes next.
        fence: With the state, it says whether the claim still holds.
    """

    id: UUID
    team_id: UUID
    kind: str
    title: str
    user_id: UUID | None
    created_by_id: UUID | None
    arguments: Mapping[str, Any]
    starts_local: str | None
    recurrence: str | None
    timezone: str
    catch_up: CatchUp
    occurrence: int
    planned_at: datetime
    due_at: datetime
    extra: bool
    attempts: int
    fence: int


@dataclass(frozen=True, slots=True)
class Occurrence:
    """What is to be made of a claimed action now.

    Args:
        action: The action.
        number: The occurrence's.
        due_at: When it was due.
        runs: Whether it is carried out; else it was missed.
        passed_over: How many occurrences before it were missed.
        next_at: When the rule has the one after it; None: there is none.
    """

    action: DueAction
    number: int
    due_at: datetime
    runs: bool = True
    passed_over: int = 0
    next_at: datetime | None = None

    @property
    def run_key(self) -> str:
        """The same for each attempt, and for no other occurrence."""
        return f"{self.action.id}:{self.number}"


def occurrence_of(action: DueAction, now: datetime) -> Occurrence:
    """What is to be made of an action now, by its catch-up rule.

    RUN_ALL carries out each occurrence that fell due, one after the other. RUN_ONCE carries out the latest of them;
    those before it were missed. SKIP carries out the latest if it has been due for no more than `LATE_AFTER`, none
    else.
    """
    if action.extra:
        return Occurrence(action, action.occurrence, now, next_at=action.planned_at)
    following = _next(action, action.planned_at)
    if action.catch_up is CatchUp.RUN_ALL:
        return Occurrence(action, action.occurrence, action.due_at, next_at=following)
    latest, passed = action.due_at, 0
    while following is not None and following <= now and passed < PASSED_LIMIT:
        latest, passed = following, passed + 1
        following = _next(action, following)
    if following is not None and following <= now:
        following = _next(action, now)
    runs = action.catch_up is CatchUp.RUN_ONCE or now - latest <= LATE_AFTER
    return Occurrence(action, action.occurrence + passed, latest, runs, passed, following)


def _next(action: DueAction, after: datetime) -> datetime | None:
    if action.recurrence is None or action.starts_local is None:
        return None
    return next_due(action.recurrence, action.starts_local, action.timezone, after)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an occurrence ended.

    Args:
        state: SUCCEEDED, FAILED, MISSED; CANCELLED ends the whole action; SCHEDULED: to be tried again.
        error: Why it did not succeed.
        retry_in: When it is tried again.
    """

    state: JobState = JobState.SUCCEEDED
    error: str | None = None
    retry_in: timedelta = timedelta()


SUCCEEDED = Outcome()


def failed(reason: str) -> Outcome:
    """The occurrence failed for good."""
    return Outcome(JobState.FAILED, reason)


def cancelled(reason: str) -> Outcome:
    """The action is not to come again."""
    return Outcome(JobState.CANCELLED, reason)


def retry_wait(attempt: int, jitter: float) -> timedelta:
    """How long to wait after a failed attempt: doubling, bounded, spread by a random `jitter` from 0 to 1."""
    longest = min(RETRY_BASE_SECONDS * 2 ** (attempt - 1), RETRY_LIMIT_SECONDS)
    return timedelta(seconds=longest * (0.5 + jitter / 2))


_DUE = (
    "a.state = 'SCHEDULED' AND a.paused_at IS NULL AND a.source IS NULL AND a.run_at <= now()"
    " AND ($4::text[] IS NULL OR a.kind = ANY ($4)) AND ($5::text[] IS NULL OR a.kind <> ALL ($5))"
)

# Each team by one look into scheduled_actions_run_idx; those that have something due share the lot, in a random order,
# so that none is always first. A row that somebody else is taking is passed over.
_CLAIM = f"""
WITH due_teams AS MATERIALIZED (
    SELECT t.id FROM teams t
    WHERE EXISTS (SELECT 1 FROM scheduled_actions a WHERE a.team_id = t.id AND {_DUE}) ORDER BY random() LIMIT $2
), picked AS MATERIALIZED (
    SELECT p.id, p.team_id FROM due_teams d CROSS JOIN LATERAL (
        SELECT a.id, a.team_id FROM scheduled_actions a WHERE a.team_id = d.id AND {_DUE}
        ORDER BY a.run_at, a.id LIMIT (SELECT greatest($2 / greatest(count(*), 1), 1) FROM due_teams)
        FOR NO KEY UPDATE SKIP LOCKED
    ) p
)
UPDATE scheduled_actions s SET state = 'RUNNING', attempts = s.attempts + 1, lease_holder = $1, fence = s.fence + 1,
    leased_until = clock_timestamp() + make_interval(secs => $3)
FROM picked, teams t WHERE s.team_id = picked.team_id AND s.id = picked.id AND t.id = s.team_id
RETURNING s.id, s.team_id, s.kind, s.title, s.user_id, s.created_by_id, s.arguments, s.starts_local, s.recurrence,
    coalesce(s.timezone, t.timezone) AS timezone, s.catch_up, s.occurrence, s.planned_at, s.due_at, s.extra, s.attempts,
    s.fence
"""


async def claim(
    connection: Connection,
    holder: str,
    limit: int,
    *,
    kinds: Collection[str] | None = None,
    other_than: Collection[str] | None = None,
    lease_seconds: float = LEASE_SECONDS,
) -> list[DueAction]:
    """Take actions that are due; teams share the lot.

    Args:
        connection: The owner's: it looks at all teams.
        holder: Who takes them.
        limit: At most so many, of at most so many teams.
        kinds: Only of these kinds.
        other_than: Of none of these kinds.
        lease_seconds: How long the claims hold.
    """
    rows = await connection.fetch(
        _CLAIM,
        holder,
        limit,
        lease_seconds,
        None if kinds is None else list(kinds),
        None if other_than is None else list(other_than),
    )
    return [_due(row) for row in rows]


def _due(row: Any) -> DueAction:
    values = dict(row)
    values["arguments"] = orjson.loads(values["arguments"])
    values["catch_up"] = CatchUp(values["catch_up"])
    return DueAction(**values)


async def free_lapsed(connection: Connection) -> int:
    """Let go of what the holders of lapsed leases had; it is due at once. Needs the owner's connection. Returns how
    many. Served by scheduled_actions_leased_idx, which holds what is running alone."""
    status: str = await connection.execute(
        """
        WITH lapsed AS (
            SELECT id FROM scheduled_actions WHERE state = 'RUNNING' AND leased_until < clock_timestamp()
            FOR NO KEY UPDATE SKIP LOCKED
        )
        UPDATE scheduled_actions a SET state = 'SCHEDULED', lease_holder = NULL, leased_until = NULL, fence = fence + 1
        FROM lapsed WHERE a.id = lapsed.id
        """
    )
    return int(status.rpartition(" ")[2])


async def renew(
    connection: Connection, holder: str, actions: Iterable[DueAction], *, lease_seconds: float = LEASE_SECONDS
) -> None:
    """Hold on to claimed actions; what is not the holder's any more is left alone."""
    held = list(actions)
    await connection.execute(
        "UPDATE scheduled_actions SET leased_until = clock_timestamp() + make_interval(secs => $4) "
        "WHERE team_id = ANY ($1::uuid[]) AND id = ANY ($2::uuid[]) AND state = 'RUNNING' AND lease_holder = $3",
        sorted({action.team_id for action in held}),
        [action.id for action in held],
        holder,
        lease_seconds,
    )


async def release(connection: Connection, actions: Sequence[DueAction]) -> None:
    """Give claimed actions back untried; the attempts are not counted."""
    await connection.execute(
        """
        UPDATE scheduled_actions a SET state = 'SCHEDULED', lease_holder = NULL, leased_until = NULL,
            attempts = a.attempts - 1
        FROM unnest($1::uuid[], $2::uuid[], $3::bigint[]) AS c (team_id, id, fence)
        WHERE a.team_id = c.team_id AND a.id = c.id AND a.fence = c.fence AND a.state = 'RUNNING'
        """,
        [action.team_id for action in actions],
        [action.id for action in actions],
        [action.fence for action in actions],
    )


async def lock_held(connection: Connection, team_id: UUID, actions: Sequence[DueAction]) -> set[UUID]:
    """Lock those of some claimed actions that are still the claim's, until the transaction ends."""
    rows = await connection.fetch(
        """
        SELECT a.id FROM unnest($2::uuid[], $3::bigint[]) AS c (id, fence)
        JOIN scheduled_actions a ON a.team_id = $1 AND a.id = c.id AND a.fence = c.fence
        WHERE a.state = 'RUNNING' ORDER BY a.id FOR NO KEY UPDATE OF a
        """,
        team_id,
        [action.id for action in actions],
        [action.fence for action in actions],
    )
    return {row["id"] for row in rows}


_LOG = """
INSERT INTO action_runs (id, team_id, action_id, occurrence, occurrences, due_at, state, attempts, error)
SELECT r.id, $1, r.action_id, r.occurrence, r.occurrences, r.due_at, r.state, r.attempts, r.error
FROM unnest($2::uuid[], $3::uuid[], $4::int[], $5::int[], $6::timestamptz[], $7::text[], $8::int[], $9::text[])
    AS r (id, action_id, occurrence, occurrences, due_at, state, attempts, error)
"""
_END = """
UPDATE scheduled_actions a SET state = e.state, occurrence = e.occurrence, planned_at = e.planned_at,
    due_at = e.due_at, run_at = e.run_at, extra = e.extra, attempts = e.attempts, last_error = e.error,
    lease_holder = NULL, leased_until = NULL,
    ended_at = CASE WHEN e.state <> 'SCHEDULED' THEN clock_timestamp() END
FROM unnest($2::uuid[], $3::text[], $4::int[], $5::timestamptz[], $6::timestamptz[], $7::timestamptz[], $8::int[],
    $9::text[], $10::boolean[])
    AS e (id, state, occurrence, planned_at, due_at, run_at, attempts, error, extra)
WHERE a.team_id = $1 AND a.id = e.id
"""


async def end(
    connection: Connection, team_id: UUID, endings: Sequence[tuple[Occurrence, Outcome]], now: datetime
) -> None:
    """Write down how occurrences ended, and what comes next; in the transaction of what they did, after `lock_held`.

    Two statements, whatever their number. What ends twice under one number breaks action_runs_key, and its transaction.
    """
    runs: list[tuple[Any, ...]] = []
    rows: list[tuple[Any, ...]] = []
    for occurrence, outcome in endings:
        action = occurrence.action
        if outcome.state is JobState.SCHEDULED:
            run_at = now + outcome.retry_in
            rows.append(
                (
                    action.id,
                    JobState.SCHEDULED.value,
                    action.occurrence,
                    action.planned_at,
                    action.due_at,
                    run_at,
                    action.attempts,
                    outcome.error,
                    action.extra,
                )
            )
            continue
        first, count = action.occurrence, occurrence.passed_over
        if outcome.state is JobState.MISSED:
            count, occurrences = 0, count + 1
            number, due_at = first, action.due_at
        else:
            occurrences, number, due_at = 1, occurrence.number, occurrence.due_at
        if count:
            runs.append((new_id(), action.id, first, count, action.due_at, JobState.MISSED.value, 0, _PASSED))
        runs.append(
            (
                new_id(),
                action.id,
                number,
                occurrences,
                due_at,
                outcome.state.value,
                action.attempts if occurrence.runs else 0,
                outcome.error,
            )
        )
        ended = outcome.state is JobState.CANCELLED or occurrence.next_at is None
        planned_at = action.planned_at if ended or occurrence.next_at is None else occurrence.next_at
        # What was run by hand has not moved the one that comes by the rule.
        next_at = action.due_at if ended or action.extra else planned_at
        rows.append(
            (
                action.id,
                outcome.state.value if ended else JobState.SCHEDULED.value,
                occurrence.number + 1,
                planned_at,
                next_at,
                next_at,
                action.attempts if ended else 0,
                outcome.error,
                False,
            )
        )
    if runs:
        await connection.execute(_LOG, team_id, *(list(column) for column in zip(*runs, strict=True)))
    if rows:
        await connection.execute(_END, team_id, *(list(column) for column in zip(*rows, strict=True)))


_PASSED = "Fell due while nothing ran."


def missed(occurrence: Occurrence) -> Outcome:
    """The occurrence was not carried out, by its catch-up rule."""
    return Outcome(JobState.MISSED, _PASSED)


async def miss_upcoming(connection: Connection, now: datetime, limit: int) -> int:
    """Mark upcoming work as missed that nobody has reported done; see domain/upcoming.py. Needs the owner's
    connection. Returns how many. Served by scheduled_actions_upcoming_idx, team by team."""
    rows = await connection.fetch(
        """
        WITH late AS (
            SELECT p.id, p.team_id FROM teams t CROSS JOIN LATERAL (
                SELECT a.id, a.team_id FROM scheduled_actions a
                WHERE a.team_id = t.id AND a.state = 'SCHEDULED' AND a.source IS NOT NULL AND a.due_at < $1
                ORDER BY a.due_at LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED
            ) p LIMIT $2
        ), missed AS (
            UPDATE scheduled_actions a SET state = 'MISSED', ended_at = clock_timestamp(), occurrence = occurrence + 1,
                last_error = $3, fence = fence + 1
            FROM late WHERE a.team_id = late.team_id AND a.id = late.id
            RETURNING a.id, a.team_id, a.occurrence - 1 AS occurrence, a.due_at
        )
        INSERT INTO action_runs (id, team_id, action_id, occurrence, due_at, state, attempts, error)
        SELECT gen_random_uuid(), team_id, id, occurrence, due_at, 'MISSED', 0, $3 FROM missed RETURNING 1
        """,
        now - UPCOMING_MISSED_AFTER,
        limit,
        "Was not reported done within a day.",
    )
    return len(rows)


PRUNE_LOT = 5_000


async def prune(connection: Connection, kept: timedelta, runs_kept: timedelta) -> int:
    """Forget actions that ended long ago with their history, and old history of those that go on; one lot of each.
    Returns how many rows. Needs the owner's connection.

    Served by scheduled_actions_ended_idx and action_runs_ended_idx, team by team.
    """
    gone = await prune_by_age(connection, "scheduled_actions", "ended_at", PRUNE_LOT, kept)
    return gone + await prune_by_age(connection, "action_runs", "ended_at", PRUNE_LOT, runs_kept)
