"""Jobs: background work as rows. A queue only hints at them; what is here is the truth.

A job is claimed under a lease that its holder renews. When the holder dies, the lease lapses and another worker goes on
from the last committed cursor. Everything that a holder commits is fenced: it commits only while the lease is the very
one that was claimed, so a worker that was thought dead can do no harm.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson

from domain.errors import Conflict
from domain.models.base import new_id
from domain.models.jobs import Job, JobState
from domain.traces import trace_parent

if TYPE_CHECKING:
    from domain.database import Connection

LEASE_SECONDS = 30.0
"""How long a claim holds without being renewed."""
RENEW_SECONDS = 8.0
"""How often a holder renews."""
ATTEMPTS_LIMIT = 8
RETRY_BASE_SECONDS = 2.0
RETRY_LIMIT_SECONDS = 300.0
KEPT = timedelta(days=90)
"""So long after its end, a job is kept."""
PRUNE_LOT = 5_000

ERASE_KIND = "erase_person"
KEPT_PROMISES = frozenset({ERASE_KIND})
"""Jobs that nobody ends before their time: somebody was told that it would be done."""

HINT_SLOT = "{arq:abort}"
"""The hash tag of all that arq changes at once: the queue, what it keeps of each hint, and a key of just this name."""
QUEUE_NAME = f"sideline:queue:{HINT_SLOT}"
RUN_FUNCTION = "run_job"
"""The queue that carries hints, and the function that they call; its sender and its reader do not know each other."""

ENDED_STATES = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.MISSED})

_HELD = "id = $1 AND state = 'RUNNING' AND lease_holder = $2 AND attempts = $3"


class LeaseLost(Exception):
    """Somebody else has the job by now, or it was cancelled: whatever was about to be committed must not be."""


class Postponed(Exception):
    """The job cannot go on before some time has passed, through no fault of its own: the attempt is not counted.

    Args:
        reason: Why, for who looks at the job.
        wait: How long.
    """

    def __init__(self, reason: str, wait: timedelta) -> None:
        super().__init__(reason)
        self.reason = reason
        self.wait = wait


@dataclass(frozen=True, slots=True)
class ClaimedJob:
    """A job in the hands of a worker.

    Args:
        id: The job.
        team_id: Its team.
        kind: Which handler carries it out.
        arguments: What it was made with.
        cursor: Where the committed work ends.
        holder: Who has it.
        attempt: The how-manieth claim this is; with the holder it is the fence.
        trace_parent: The trace in which it was asked for.
    """

    id: UUID
    team_id: UUID
    kind: str
    arguments: Mapping[str, Any]
    cursor: Mapping[str, Any]
    holder: str
    attempt: int
    trace_parent: str | None = None


def hint_channel(job_id: UUID) -> str:
    """The channel on which a change of a job is hinted at."""
    return f"sideline:job:{job_id}"


def retry_wait(attempt: int, jitter: float) -> timedelta:
    """How long to wait after a failed attempt: doubling, bounded, spread by a random `jitter` from 0 to 1."""
    longest = min(RETRY_BASE_SECONDS * 2 ** (attempt - 1), RETRY_LIMIT_SECONDS)
    return timedelta(seconds=longest * (0.5 + jitter / 2))


async def create_job(
    connection: Connection,
    team_id: UUID,
    kind: str,
    *,
    run_key: str,
    arguments: Mapping[str, Any],
    requested_by_id: UUID | None = None,
    total: int | None = None,
    due_at: datetime | None = None,
    exclusive_key: str | None = None,
) -> UUID:
    """Make a job, due now if nothing else is said; the same run key is the same job.

    With an exclusive key, a job with that key which is scheduled or running is the answer instead, brought forward if
    it was to wait longer. Served by jobs_team_id_run_key_key and jobs_exclusive_key.
    """
    values = (
        new_id(),
        team_id,
        kind,
        run_key,
        orjson.dumps(dict(arguments)).decode(),
        requested_by_id,
        total,
        due_at,
        exclusive_key,
        trace_parent(),
    )
    while True:
        if exclusive_key is not None:
            standing: UUID | None = await connection.fetchval(
                """
                UPDATE jobs SET due_at = CASE WHEN state = 'SCHEDULED' THEN least(due_at, coalesce($3, now()))
                    ELSE due_at END, requested_by_id = coalesce(requested_by_id, $4)
                WHERE team_id = $1 AND exclusive_key = $2 AND state IN ('SCHEDULED', 'RUNNING') RETURNING id
                """,
                team_id,
                exclusive_key,
                due_at,
                requested_by_id,
            )
            if standing is not None:
                return standing
        made: UUID | None = await connection.fetchval(
            """
            INSERT INTO jobs (id, team_id, kind, run_key, arguments, requested_by_id, total, due_at, exclusive_key,
                trace_parent)
            VALUES ($1, $2, $3, $4, $5::jsonb, $6, $7, coalesce($8, now()), $9, $10)
            ON CONFLICT DO NOTHING RETURNING id
            """,
            *values,
        )
        if made is not None:
            return made
        same: UUID | None = await connection.fetchval(
            "SELECT id FROM jobs WHERE team_id = $1 AND run_key = $2", team_id, run_key
        )
        if same is not None:
            return same
        # The job that stood in the way ended between the two looks.


async def claim_job(
    connection: Connection, holder: str, *, job_id: UUID | None = None, lease_seconds: float = LEASE_SECONDS
) -> ClaimedJob | None:
    """Take one job; see `claim_jobs`."""
    found = await claim_jobs(connection, holder, 1, job_id=job_id, lease_seconds=lease_seconds)
    return found[0] if found else None


# From team to team by the index jobs_team_due_idx, so that what one team has waiting costs the others nothing; a team's
# n-th job stands behind every team's (n-1)-th, counted from what is running; among equals chance decides, so that none
# waits for ever behind another's older backlog. Lapsed leases by jobs_leased_idx.
_CLAIM = """
WITH RECURSIVE due_teams AS (
    (SELECT team_id FROM jobs WHERE state = 'SCHEDULED' AND due_at <= clock_timestamp() ORDER BY team_id LIMIT 1)
    UNION ALL
    SELECT (
        SELECT j.team_id FROM jobs j
        WHERE j.state = 'SCHEDULED' AND j.due_at <= clock_timestamp() AND j.team_id > d.team_id
        ORDER BY j.team_id LIMIT 1
    ) FROM due_teams d WHERE d.team_id IS NOT NULL
), running AS (
    SELECT team_id, count(*) AS jobs FROM jobs WHERE state = 'RUNNING' GROUP BY team_id
), waiting AS (
    SELECT w.id, coalesce(r.jobs, 0) + w.place AS turn, w.due_at
    FROM due_teams d
    CROSS JOIN LATERAL (
        SELECT j.id, j.due_at, row_number() OVER (ORDER BY j.due_at, j.id) AS place FROM jobs j
        WHERE j.team_id = d.team_id AND j.state = 'SCHEDULED' AND j.due_at <= clock_timestamp()
            AND ($4::text[] IS NULL OR j.kind = ANY ($4)) AND ($5::text[] IS NULL OR j.kind <> ALL ($5))
        ORDER BY j.due_at, j.id LIMIT $2 * 2
    ) w
    LEFT JOIN running r ON r.team_id = d.team_id
    UNION ALL
    SELECT id, 0, due_at FROM jobs
    WHERE state = 'RUNNING' AND leased_until < clock_timestamp()
        AND ($4::text[] IS NULL OR kind = ANY ($4)) AND ($5::text[] IS NULL OR kind <> ALL ($5))
)
"""
_CERTAIN = """
WITH waiting AS (
    SELECT id, 0 AS turn, due_at FROM jobs
    WHERE id = $6 AND ($4::text[] IS NULL OR kind = ANY ($4)) AND ($5::text[] IS NULL OR kind <> ALL ($5))
        AND (state = 'SCHEDULED' AND due_at <= clock_timestamp()
            OR state = 'RUNNING' AND leased_until < clock_timestamp())
)
"""
_TAKE = """
, taken AS (
    SELECT j.id, w.turn, w.due_at FROM waiting w JOIN jobs j ON j.id = w.id
    WHERE (j.state = 'SCHEDULED' AND j.due_at <= clock_timestamp()
        OR j.state = 'RUNNING' AND j.leased_until < clock_timestamp())
    ORDER BY w.turn, random() LIMIT $2 FOR UPDATE OF j SKIP LOCKED
)
UPDATE jobs SET state = 'RUNNING', attempts = attempts + 1, lease_holder = $1,
    leased_until = clock_timestamp() + make_interval(secs => $3)
FROM taken WHERE jobs.id = taken.id
RETURNING jobs.id, jobs.team_id, jobs.kind, jobs.arguments, jobs.cursor, jobs.attempts, jobs.trace_parent
"""


async def claim_jobs(
    connection: Connection,
    holder: str,
    limit: int,
    *,
    kinds: Collection[str] | None = None,
    other_than: Collection[str] | None = None,
    job_id: UUID | None = None,
    lease_seconds: float = LEASE_SECONDS,
) -> list[ClaimedJob]:
    """Take jobs that are due, or whose holders' leases have lapsed; teams take turns.

    Args:
        connection: The owner's: it looks at all teams.
        holder: Who takes them.
        limit: At most so many.
        kinds: Only of these kinds.
        other_than: Of none of these kinds.
        job_id: Only this one.
        lease_seconds: How long the claims hold.
    """
    arguments: list[object] = [
        holder,
        limit,
        lease_seconds,
        None if kinds is None else list(kinds),
        None if other_than is None else list(other_than),
    ]
    if job_id is not None:
        arguments.append(job_id)
    rows = await connection.fetch((_CLAIM if job_id is None else _CERTAIN) + _TAKE, *arguments)
    return [
        ClaimedJob(
            row["id"],
            row["team_id"],
            row["kind"],
            orjson.loads(row["arguments"]),
            orjson.loads(row["cursor"]),
            holder,
            row["attempts"],
            row["trace_parent"],
        )
        for row in rows
    ]


async def renew_lease(connection: Connection, job: ClaimedJob, lease_seconds: float = LEASE_SECONDS) -> None:
    """Hold on to a job.

    Raises:
        LeaseLost: it is not the holder's any more.
    """
    await _held(
        connection,
        job,
        f"UPDATE jobs SET leased_until = clock_timestamp() + make_interval(secs => $4) WHERE {_HELD} RETURNING true",
        lease_seconds,
    )


async def save_progress(
    connection: Connection, job: ClaimedJob, cursor: Mapping[str, Any], processed: int, total: int | None
) -> None:
    """Commit where the work stands, in the transaction of the work itself; it renews the lease as well.

    Raises:
        LeaseLost: the job is not the holder's any more; the caller's transaction must not commit.
    """
    await _held(
        connection,
        job,
        f"""
        UPDATE jobs SET cursor = $4::jsonb, processed = $5, total = coalesce($6, total),
            leased_until = clock_timestamp() + make_interval(secs => $7)
        WHERE {_HELD} RETURNING true
        """,
        orjson.dumps(dict(cursor)).decode(),
        processed,
        total,
        LEASE_SECONDS,
    )


async def finish_job(connection: Connection, job: ClaimedJob) -> None:
    """The work is done.

    Raises:
        LeaseLost: the job is not the holder's any more.
    """
    await _held(
        connection,
        job,
        f"""
        UPDATE jobs SET state = 'SUCCEEDED', lease_holder = NULL, leased_until = NULL, error = NULL,
            total = coalesce(total, processed), finished_at = clock_timestamp()
        WHERE {_HELD} RETURNING true
        """,
    )


async def fail_job(connection: Connection, job: ClaimedJob, error: str, *, retry_in: timedelta | None) -> None:
    """The attempt failed: try again later, or give up for good.

    Raises:
        LeaseLost: the job is not the holder's any more.
    """
    await _held(
        connection,
        job,
        f"""
        UPDATE jobs SET lease_holder = NULL, leased_until = NULL, error = $4,
            state = CASE WHEN $5::interval IS NULL THEN 'FAILED' ELSE 'SCHEDULED' END,
            due_at = coalesce(clock_timestamp() + $5, due_at),
            finished_at = CASE WHEN $5::interval IS NULL THEN clock_timestamp() END
        WHERE {_HELD} RETURNING true
        """,
        error,
        retry_in,
    )


async def release_job(
    connection: Connection, job: ClaimedJob, *, wait: timedelta = timedelta(), reason: str | None = None
) -> None:
    """Give a job back untried, as a worker does that is told to stop, or that must wait; the attempt is not counted.

    Args:
        connection: Where.
        job: The job.
        wait: It is due again after this.
        reason: Why it waits, for who looks at it.

    Raises:
        LeaseLost: the job is not the holder's any more.
    """
    await _held(
        connection,
        job,
        f"""
        UPDATE jobs SET state = 'SCHEDULED', lease_holder = NULL, leased_until = NULL, attempts = attempts - 1,
            due_at = CASE WHEN $4::interval > interval '0' THEN clock_timestamp() + $4 ELSE due_at END,
            error = coalesce($5, error)
        WHERE {_HELD} RETURNING true
        """,
        wait,
        reason,
    )


async def _held(connection: Connection, job: ClaimedJob, statement: str, *arguments: object) -> None:
    if not await connection.fetchval(statement, job.id, job.holder, job.attempt, *arguments):
        raise LeaseLost(f"job {job.id} is not {job.holder}'s any more")


async def cancel_job(connection: Connection, team_id: UUID, job_id: UUID) -> bool:
    """End a job that has not ended; its holder loses the lease. Returns whether there was something to end.

    Raises:
        Conflict: it is of a kind that is carried to its end.
    """
    kind = await connection.fetchval("SELECT kind FROM jobs WHERE team_id = $1 AND id = $2", team_id, job_id)
    if kind in KEPT_PROMISES:
        raise Conflict("What this job has begun is carried to its end.", path=("input", "jobId"))
    found = await connection.fetchval(
        """
        UPDATE jobs SET state = 'CANCELLED', lease_holder = NULL, leased_until = NULL, finished_at = clock_timestamp()
        WHERE team_id = $1 AND id = $2 AND state IN ('SCHEDULED', 'RUNNING') RETURNING true
        """,
        team_id,
        job_id,
    )
    return bool(found)


async def restart_job(connection: Connection, team_id: UUID, job_id: UUID) -> None:
    """Let a job that ended without success be tried again, from where its committed work ends."""
    await connection.execute(
        """
        UPDATE jobs SET state = 'SCHEDULED', attempts = 0, due_at = now(), error = NULL, finished_at = NULL
        WHERE team_id = $1 AND id = $2 AND state IN ('FAILED', 'CANCELLED', 'MISSED')
        """,
        team_id,
        job_id,
    )


async def prune(connection: Connection) -> int:
    """Forget jobs that ended long ago, but those of imports that are kept; one lot. Returns how many. Served by
    jobs_finished_at_idx and imports_job_idx."""
    rows = await connection.fetch(
        """
        DELETE FROM jobs WHERE id IN (
            SELECT j.id FROM jobs j WHERE j.finished_at < now() - $1::interval
                AND NOT EXISTS (SELECT 1 FROM imports i WHERE i.team_id = j.team_id AND i.job_id = j.id)
            LIMIT $2
        ) RETURNING 1
        """,
        KEPT,
        PRUNE_LOT,
    )
    return len(rows)


async def get_job(connection: Connection, team_id: UUID, job_id: UUID) -> Job | None:
    """A team's job as it stands; whether the viewer may see it is a question to domain.access."""
    row = await connection.fetchrow("SELECT * FROM jobs WHERE team_id = $1 AND id = $2", team_id, job_id)
    return None if row is None else Job._init_from_db(**dict(row))
