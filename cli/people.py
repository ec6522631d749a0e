"""Erasing a person as the operator: the rest is removed by this very process."""

from __future__ import annotations

import os
import socket
from datetime import UTC, datetime

from domain import erasure, jobs
from domain.database import ALL_TEAMS, Connection, in_transaction
from domain.jobs import ClaimedJob, Postponed
from domain.models import User


async def erase(user: User) -> str:
    """Erase a person. Returns what became of it, in a sentence.

    Raises:
        Conflict: it is the last Admin.
        Unavailable: no key is set to key the digests of names with.
    """

    async def begin(connection: Connection) -> ClaimedJob | None:
        _user, job_id = await erasure.erase_for_operator(connection, user.team_id, user.id, now=datetime.now(UTC))
        return await jobs.claim_job(connection, f"sideline person:{socket.gethostname()}:{os.getpid()}", job_id=job_id)

    job = await in_transaction(ALL_TEAMS, begin)
    if job is None:
        return "The person's data was erased before, or a worker is at it."
    try:
        await erasure.run(job)
    except Postponed as pause:
        wait, reason = pause.wait, pause.reason

        async def give_back(connection: Connection) -> None:
            await jobs.release_job(connection, job, wait=wait, reason=reason)

        await in_transaction(job.team_id, give_back)
        return f"The person's data is erased but for uploads under way. {reason} A worker goes on with it."
    return "The person's data is erased; their numbers stay as counts."
