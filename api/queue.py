"""Hints to the workers; a lost one costs a moment, since the workers sweep for what was left."""

from __future__ import annotations

from uuid import UUID, uuid4

import structlog
from arq.connections import ArqRedis
from redis.exceptions import RedisError

from domain import jobs

log = structlog.get_logger(__name__)

HINT_EXPIRES_SECONDS = 60
"""A hint older than this is worthless: a sweep has found the job by then."""


async def hint_job(queue: ArqRedis, job_id: UUID) -> None:
    """Tell the workers of a job that is in PostgreSQL already."""
    try:
        await queue.enqueue_job(
            jobs.RUN_FUNCTION,
            str(job_id),
            _job_id=f"{jobs.HINT_SLOT}{uuid4().hex}",
            _queue_name=jobs.QUEUE_NAME,
            _expires=HINT_EXPIRES_SECONDS,
        )
    except (RedisError, OSError) as error:
        log.warning("queue.hint_lost", job=str(job_id), error=repr(error))
