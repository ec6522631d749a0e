"""Jobs: background work as rows. A queue only hints at them; what is here is the truth.

A job is claimed under a lease that its holder renews. When the holder dies, the lease lapses and another worker goes on
from the last committed cursor. Everything that a holder commits is fenced: it commits only while the lease is the very
one that was claimed, so a worker that was thought dead can do no harm.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson

from domain.models.base import new_id
from domain.models.jobs import Job, JobState

if TYPE_CHECKING:
    from domain.database import Connection

LEASE_SECONDS = 30.0
"""How long a claim holds without being renewed."""
RENEW_SECONDS = 8.0
"""How often a holder renews."""
ATTEMPTS_LIMIT = 8
RETRY_BASE_SECONDS = 2.0
RETRY_LIMIT_SECONDS = 300.0

QUEUE_NAME = "sideline:queue"
RUN_FUNCTION = "run_job"
"""The queue that carries hints, and the function that they call; its sender and its reader do not know each other."""

ENDED_STATES = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.MISSED})

_HELD = "id = $1 AND state = 'RUNNING' AND lease_holder = $2 AND attempts = $3"


class LeaseLost(Exception):
    """Somebody else has the job by now, or it was cancelled: whatever was about to be committed must not be."""


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
    """

    id: UUID
    team_id: UUID
    kind: str
    arguments: Mapping[str, Any]
    cursor: Mapping[str, Any]
    holder: str
    attempt: int


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
) -> UUID:
    """Make a job that is due now; the same run key is the same job. Served by jobs_team_id_run_key_key."""
    job_id: UUID = await connection.fetchval(
        """
        INSERT INTO jobs (id, team_id, kind, run_key, arguments, requested_by_id, total)
        VALUES ($1, $2, $3, $4, $5::jsonb, $6, $7)
        ON CONFLICT (team_id, run_key) DO UPDATE SET kind = jobs.kind RETURNING id
        """,
        new_id(),
        team_id,
        kind,
        run_key,
        orjson.dumps(dict(arguments)).decode(),
        requested_by_id,
        total,
    )
    return job_id


async def claim_job(
    connection: Connection, holder: str, *, job_id: UUID | None = None, lease_seconds: float = LEASE_SECONDS
) -> ClaimedJob | None:
    """Take a job that is due, or whose holder's lease has lapsed: a certain one, or the one that waits longest.

    Served by jobs_due_idx and jobs_leased_idx.
    """
    row = await connection.fetchrow(
        """
        UPDATE jobs SET state = 'RUNNING', attempts = attempts + 1, lease_holder = $1,
            leased_until = clock_timestamp() + make_interval(secs => $3)
        WHERE id = (
            SELECT id FROM jobs
            WHERE ($2::uuid IS NULL OR id = $2)
                AND (state = 'SCHEDULED' AND due_at <= clock_timestamp()
                    OR state = 'RUNNING' AND leased_until < clock_timestamp())
            ORDER BY due_at, id LIMIT 1 FOR UPDATE SKIP LOCKED
        )
        RETURNING id, team_id, kind, arguments, cursor, attempts
        """,
        holder,
        job_id,
        lease_seconds,
    )
    if row is None:
        return None
    return ClaimedJob(
        row["id"],
        row["team_id"],
        row["kind"],
        orjson.loads(row["arguments"]),
        orjson.loads(row["cursor"]),
        holder,
        row["attempts"],
    )


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


async def release_job(connection: Connection, job: ClaimedJob) -> None:
    """Give a job back untried, as a worker does that is told to stop; the attempt is not counted.

    Raises:
        LeaseLost: the job is not the holder's any more.
    """
    await _held(
        connection,
        job,
        f"""
        UPDATE jobs SET state = 'SCHEDULED', lease_holder = NULL, leased_until = NULL, attempts = attempts - 1
        WHERE {_HELD} RETURNING true
        """,
    )


async def _held(connection: Connection, job: ClaimedJob, statement: str, *arguments: object) -> None:
    if not await connection.fetchval(statement, job.id, job.holder, job.attempt, *arguments):
        raise LeaseLost(f"job {job.id} is not {job.holder}'s any more")


async def cancel_job(connection: Connection, team_id: UUID, job_id: UUID) -> bool:
    """End a job that has not ended; its holder loses the lease. Returns whether there was something to end."""
    found = await connection.fetchval(
        """
        UPDATE jobs SET state = 'CANCELLED', lease_holder = NULL, leased_until = NULL, finished_at = clock_timestamp()
        WHERE team_id = $1 AND id = $2 AND state IN ('SCHEDULED', 'RUNNING') RETURNING true
        """,
        team_id,
        job_id,
    )
    return bool(found)


async def get_job(connection: Connection, team_id: UUID, job_id: UUID) -> Job | None:
    """A team's job as it stands; whether the viewer may see it is a question to domain.access."""
    row = await connection.fetchrow("SELECT * FROM jobs WHERE team_id = $1 AND id = $2", team_id, job_id)
    return None if row is None else Job._init_from_db(**dict(row))
