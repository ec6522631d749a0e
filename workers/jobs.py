"""Carrying jobs out: claim, hold on to the lease, run, and say how it ended."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta

import structlog

from domain import erasure, imports, integrations, jobs, plan_invitations, rollups, webhooks
from domain.database import acquire, in_transaction
from domain.errors import DomainError, Invalid, Unavailable
from domain.jobs import ClaimedJob, LeaseLost, Postponed
from domain.traces import going_on
from workers.gauges import job_seconds, jobs_ended, jobs_running

log = structlog.get_logger(__name__)

Changed = Callable[[], None]
Handler = Callable[[ClaimedJob, Changed], Awaitable[None]]


async def _import_upload(job: ClaimedJob, changed: Changed) -> None:
    await imports.run_upload(job, lambda _processed: changed())


async def _import_file(_job: ClaimedJob, _changed: Changed) -> None:
    raise Invalid("The command that read the file has ended: run it again, nothing is taken in twice.")


async def _rebuild_rollups(job: ClaimedJob, _changed: Changed) -> None:
    async def work(connection: object) -> None:
        await rollups.rebuild(connection, job.team_id, timezone=job.arguments.get("timezone"))  # type: ignore[arg-type]
        await jobs.finish_job(connection, job)  # type: ignore[arg-type]

    await in_transaction(job.team_id, work)


async def _erase_person(job: ClaimedJob, changed: Changed) -> None:
    await erasure.run(job, changed)


WAITING_KINDS = frozenset(
    {integrations.SYNC_KIND, integrations.CHECK_KIND, webhooks.TEST_KIND, plan_invitations.DELIVER_KIND}
)
"""Jobs that mostly wait for somebody else's answer."""

HANDLERS: Mapping[str, Handler] = {
    imports.UPLOAD_KIND: _import_upload,
    imports.FILE_KIND: _import_file,
    "rebuild_rollups": _rebuild_rollups,
    erasure.KIND: _erase_person,
}


async def run_claimed(job: ClaimedJob, changed: Changed, handlers: Mapping[str, Handler] = HANDLERS) -> None:
    """Carry a claimed job out to one of its ends; each has its own line in the log.

    A cancelled run (the worker was told to stop) gives the job back.
    """
    # Kinds that nobody carries out are no labels.
    kind = job.kind if job.kind in handlers else "unknown"
    outcome = "left"
    try:
        with (
            jobs_running.track_inprogress(),
            job_seconds.labels(kind).time(),
            structlog.contextvars.bound_contextvars(job=str(job.id), team=str(job.team_id)),
            going_on(
                f"job {kind}", job.trace_parent, job=str(job.id), team=str(job.team_id), attempt=job.attempt
            ) as span,
        ):
            outcome = await _run(job, changed, handlers)
            span.set_attribute("sideline.outcome", outcome)
    except asyncio.CancelledError:
        outcome = "given_back"
        raise
    finally:
        jobs_ended.labels(kind, outcome).inc()


async def _run(job: ClaimedJob, changed: Changed, handlers: Mapping[str, Handler]) -> str:
    bound = log.bind(kind=job.kind, attempt=job.attempt)
    bound.info("job.started")
    work = asyncio.ensure_future(_handle(job, changed, handlers))
    heart = asyncio.ensure_future(_renew(job))
    try:
        done, _ = await asyncio.wait({work, heart}, return_when=asyncio.FIRST_COMPLETED)
        if heart in done and work not in done:
            work.cancel()
            await asyncio.wait({work})
            heart.result()
        work.result()
        bound.info("job.succeeded")
        return "succeeded"
    except LeaseLost:
        bound.info("job.lease_lost")
        return "lease_lost"
    except asyncio.CancelledError:
        work.cancel()
        await asyncio.wait({work})
        await _give_back(job)
        bound.info("job.given_back")
        raise
    except Postponed as pause:
        await _give_back(job, wait=pause.wait, reason=pause.reason)
        bound.info("job.postponed", reason=pause.reason, seconds=pause.wait.total_seconds())
        return "postponed"
    except DomainError as error:
        await _fail(job, error.message, again=isinstance(error, Unavailable))
        bound.warning("job.refused", reason=error.message)
        return "refused"
    except Exception as error:
        await _fail(job, f"{type(error).__name__}: {error}", again=True)
        bound.exception("job.failed")
        return "failed"
    finally:
        heart.cancel()
        await asyncio.wait({heart})
        changed()


async def _handle(job: ClaimedJob, changed: Changed, handlers: Mapping[str, Handler]) -> None:
    handler = handlers.get(job.kind)
    if handler is None:
        raise Invalid(f"Nobody carries out jobs of the kind {job.kind!r}.")
    changed()
    await handler(job, changed)


async def _renew(job: ClaimedJob) -> None:
    while True:
        await asyncio.sleep(jobs.RENEW_SECONDS)
        async with acquire(job.team_id) as connection:
            await jobs.renew_lease(connection, job)


async def _give_back(job: ClaimedJob, *, wait: timedelta = timedelta(), reason: str | None = None) -> None:
    try:
        async with acquire(job.team_id) as connection:
            await jobs.release_job(connection, job, wait=wait, reason=reason)
    except LeaseLost:
        log.info("job.gone_already", job=str(job.id))


async def _fail(job: ClaimedJob, reason: str, *, again: bool) -> None:
    last = job.attempt >= jobs.ATTEMPTS_LIMIT
    wait = jobs.retry_wait(job.attempt, random.random()) if again and not last else None
    try:
        async with acquire(job.team_id) as connection:
            await jobs.fail_job(connection, job, reason, retry_in=wait)
    except LeaseLost:
        log.info("job.gone_already", job=str(job.id))
