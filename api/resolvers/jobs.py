"""Jobs: as they stand, and as they go on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

from api.context import Context
from api.schema.jobs import Job
from domain import access, jobs
from domain.errors import NotFound
from domain.ids import decode_any_id
from domain.jobs import ENDED_STATES
from domain.models import Job as JobRow
from domain.models.tokens import TokenScope

LOOK_AGAIN_SECONDS = 1.0
"""A look at the row this often; a lost hint costs no more than this."""


async def _visible(context: Context, job_id: UUID) -> JobRow | None:
    async with context.acquire() as connection:
        row = await jobs.get_job(connection, context.viewer.team_id, job_id)
    if row is None or not access.may_see_job(context.viewer, row.requested_by_id):
        return None
    return row


async def find_job(context: Context, job_id: UUID) -> Job | None:
    """A job that the viewer may see, or None."""
    row = await _visible(context, job_id)
    return None if row is None else Job.of(row)


def _job_id(global_id: str) -> UUID | None:
    decoded = decode_any_id(global_id)
    return decoded[1] if decoded is not None and decoded[0] == "Job" else None


async def job_by_global_id(context: Context, global_id: str) -> Job | None:
    """The same by a global id."""
    job_id = _job_id(global_id)
    return None if job_id is None else await find_job(context, job_id)


async def watch_job(context: Context, global_id: str) -> AsyncIterator[Job]:
    """A job at once, at every change, and a last time when it has ended.

    The row is looked at anew, with the viewer's rights of that moment, each time that a worker hints at a change, and
    now and then without a hint.

    Raises:
        NotFound: the viewer may not see such a job (any more).
        Unauthenticated: the viewer's credential has ended.
    """
    job_id = _job_id(global_id)
    shown: tuple[object, ...] | None = None
    queue = context.queue
    assert queue is not None, "the application opens the queue before it serves"
    async with queue.pubsub() as hints:
        if job_id is not None:
            await hints.subscribe(jobs.hint_channel(job_id))
        while True:
            row = None if job_id is None else await _visible(context, job_id)
            if row is None:
                raise NotFound("No such job.", path=("jobId",))
            state = (row.state, row.processed, row.total, row.error)
            if state != shown:
                shown = state
                yield Job.of(row)
            if row.state in ENDED_STATES:
                return
            await _hint(hints)
            context = await context.renewed()
            access.require_scope(context.viewer, TokenScope.READ)


async def _hint(hints: object) -> None:
    """Wait for a hint, or for the time to look again."""
    deadline = asyncio.get_running_loop().time() + LOOK_AGAIN_SECONDS
    while (left := deadline - asyncio.get_running_loop().time()) > 0:
        message = await hints.get_message(ignore_subscribe_messages=True, timeout=left)  # type: ignore[attr-defined]
        if message is not None:
            return
