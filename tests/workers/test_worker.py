"""Workers that die.

Invariants:
A. A worker that is killed at any point loses nothing and does nothing twice; another one goes on from its cursor.
B. A Redis that forgets everything, or is away, delays and loses nothing.
C. A worker that is told to stop gives its job back at once.
D. A job that cannot succeed ends with its reason.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from uuid import UUID

import pytest
import redis.asyncio

from domain import jobs
from domain.database import ALL_TEAMS, acquire
from domain.imports import ImportOptions
from domain.models import JobState
from domain.models.jobs import Job
from tests.conftest import TEST_KEY
from tests.domain.test_imports import import_of, ndjson, upload
from tests.domain.test_ingest import agree, check, random_history, team_with_users

ROOT = Path(__file__).parents[2]
_SMALL_BATCHES = """
import asyncio, domain.imports, domain.jobs
domain.imports.FIRST_BATCH_ROWS = domain.imports.BATCH_ROWS = 40
domain.jobs.LEASE_SECONDS = 1.0
domain.jobs.RENEW_SECONDS = 0.3
from domain.settings import load_settings
from workers import constants
from workers.main import work
constants.SWEEP_SECONDS = 0.1
asyncio.run(work(load_settings()))
"""


@contextmanager
def worker(database_url: str, redis_url: str) -> Iterator[subprocess.Popen[bytes]]:
    environment = os.environ | {
        "SIDELINE_SECRET_KEYS": TEST_KEY,
        "SIDELINE_DATABASE_URL": database_url,
        "SIDELINE_REDIS_URL": redis_url,
        "PYTHONPATH": str(ROOT),
    }
    process = subprocess.Popen([sys.executable, "-c", _SMALL_BATCHES], env=environment, stdout=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


async def until(job_id: UUID, team_id: UUID, *, processed: int = 0, ended: bool = False) -> Job:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        async with acquire(ALL_TEAMS) as connection:
            job = await jobs.get_job(connection, team_id, job_id)
        assert job is not None
        if job.state in jobs.ENDED_STATES or (not ended and job.processed >= processed):
            return job
        await asyncio.sleep(0.01)
    raise AssertionError(f"the job stands at {job.state}, {job.processed} of {job.total}: {job.error}")


async def test_killed_again_and_again(database: str, redis_url: str) -> None:
    team_id, users = await team_with_users("America/New_York")
    records = random_history(31, list(users.values()), 1_600)
    job_id = await upload(team_id, ndjson(records), ImportOptions("test", "ndjson"))
    random = Random(4)
    for share in (0.2, 0.5, 0.8):
        with worker(database, redis_url) as process:
            await until(job_id, team_id, processed=int(share * len(records)))
            await asyncio.sleep(random.random() / 20)  # any point will do
            process.send_signal(signal.SIGKILL)
            process.wait()
        await agree(team_id)
    with worker(database, redis_url), worker(database, redis_url):
        job = await until(job_id, team_id, ended=True)
    assert (job.state, job.processed) == (JobState.SUCCEEDED, len(records))
    await check(team_id, users, records, "America/New_York")
    done = await import_of(team_id, job_id)
    assert done.accepted + done.unchanged == len(records)


async def test_an_emptied_redis_loses_nothing(database: str, redis_url: str) -> None:
    team_id, users = await team_with_users("UTC")
    records = random_history(32, list(users.values()), 600)
    client = redis.asyncio.Redis.from_url(redis_url)
    with worker(database, redis_url):
        for start in range(0, len(records), 150):
            job_id = await upload(team_id, ndjson(records[start : start + 150]), ImportOptions("test", "ndjson"))
            await client.flushdb()
            assert (await until(job_id, team_id, ended=True)).state is JobState.SUCCEEDED
    await client.aclose()
    await check(team_id, users, records, "UTC")


async def test_work_goes_on_without_redis(database: str) -> None:
    team_id, users = await team_with_users("UTC")
    records = random_history(33, list(users.values()), 200)
    job_id = await upload(team_id, ndjson(records), ImportOptions("test", "ndjson"))
    with worker(database, "redis://127.0.0.1:1/0"):
        assert (await until(job_id, team_id, ended=True)).state is JobState.SUCCEEDED
    await check(team_id, users, records, "UTC")


async def test_told_to_stop_it_gives_the_job_back(database: str, redis_url: str) -> None:
    team_id, users = await team_with_users("UTC")
    records = random_history(34, list(users.values()), 3_000)
    job_id = await upload(team_id, ndjson(records), ImportOptions("test", "ndjson"))
    with worker(database, redis_url) as process:
        await until(job_id, team_id, processed=200)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, 20) == 0
    async with acquire(ALL_TEAMS) as connection:
        job = await jobs.get_job(connection, team_id, job_id)
    assert job is not None
    assert job.state is JobState.SCHEDULED
    assert job.lease_holder is None
    with worker(database, redis_url):
        await until(job_id, team_id, ended=True)
    await check(team_id, users, records, "UTC")


@pytest.mark.parametrize("kind", ["unheard_of", "import_file"])
async def test_a_job_that_cannot_succeed_says_why(database: str, redis_url: str, kind: str) -> None:
    team_id, _users = await team_with_users("UTC")
    async with acquire(ALL_TEAMS) as connection:
        job_id = await jobs.create_job(connection, team_id, kind, run_key="once", arguments={})
        assert await jobs.create_job(connection, team_id, kind, run_key="once", arguments={}) == job_id
    with worker(database, redis_url):
        job = await until(job_id, team_id, ended=True)
    assert job.state is JobState.FAILED
    assert job.error
