"""A worker whose jobs do nothing, `python -m bench.idle_worker`, until SIGTERM."""

from __future__ import annotations

import asyncio
import os
import signal

import uvloop

from bench.jobs import KIND
from domain import database, jobs
from domain.database import acquire
from domain.jobs import ClaimedJob
from domain.logs import configure_log
from domain.settings import load_settings
from workers.jobs import Changed
from workers.main import JobWorker


async def nothing(job: ClaimedJob, _changed: Changed) -> None:
    """Ends the job."""
    async with acquire(job.team_id) as connection:
        await jobs.finish_job(connection, job)


async def main() -> None:
    """Work until told to stop."""
    settings = load_settings()
    await database.connect(os.environ["SIDELINE_DATABASE_URL"], pool_size=settings.database_pool_size)
    worker = JobWorker(os.environ["SIDELINE_REDIS_URL"], handlers={KIND: nothing})
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, worker.stop)
    try:
        await worker.run()
    finally:
        await database.disconnect()


if __name__ == "__main__":
    configure_log(load_settings())
    uvloop.run(main())
