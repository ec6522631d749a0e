"""Jobs a second: ours, rows under leases that are carried out once, against a bare arq run of as many.

Ours do nothing but end; two worker processes claim them, hold leases, and tell of each change. The floor is as many
jobs that do nothing on two arq workers (bench/bare_arq.py), which keeps nothing of them.
"""

from __future__ import annotations

import asyncio
import sys
import time
from datetime import UTC, datetime, timedelta

from bench.actions import LEAD_SECONDS, WORKERS, beside_bare_arq
from bench.measure import Comparison
from bench.processes import running
from domain.database import ALL_TEAMS, acquire
from domain.models.base import new_id

JOBS = 10_000
TEAMS = 20
KIND = "nothing"
GOAL = 3.0
LONGEST_SECONDS = 300.0


async def _ours(count: int, database_url: str, redis_url: str) -> float:
    """Seconds from when all are due until the last has ended."""
    teams = [new_id() for _ in range(TEAMS)]
    async with acquire(ALL_TEAMS) as connection:
        await connection.execute("INSERT INTO teams (id, name) SELECT id, 'Jobs' FROM unnest($1::uuid[]) t (id)", teams)
        await connection.execute(
            """
            INSERT INTO jobs (id, team_id, kind, run_key, arguments, due_at)
            SELECT uuidv7(), ($1::uuid[])[1 + n % cardinality($1::uuid[])], $2, 'bench ' || n, '{}',
                now() + interval '1 day' FROM generate_series(1, $3) n
            """,
            teams,
            KIND,
            count,
        )
        await connection.execute("ANALYZE jobs")
        due = datetime.now(UTC) + timedelta(seconds=LEAD_SECONDS)
        await connection.execute("UPDATE jobs SET due_at = $2 WHERE kind = $1", KIND, due)
        environment = {"SIDELINE_DATABASE_URL": database_url, "SIDELINE_REDIS_URL": redis_url}
        with running([([sys.executable, "-m", "bench.idle_worker"], environment)] * WORKERS):
            began, ended = time.monotonic(), 0
            while ended < count and time.monotonic() - began < LONGEST_SECONDS:
                await asyncio.sleep(0.2)
                ended = await connection.fetchval(
                    "SELECT count(*) FROM jobs WHERE kind = $1 AND finished_at > $2", KIND, due
                )
        row = await connection.fetchrow(
            "SELECT count(*) FILTER (WHERE state = 'SUCCEEDED' AND attempts = 1) AS good, max(finished_at) AS last "
            "FROM jobs WHERE kind = $1",
            KIND,
        )
    if row["good"] != count:
        raise RuntimeError(f"{row['good']} jobs of {count} were done once")
    return float((row["last"] - due).total_seconds())


async def measure(database_url: str, redis_url: str, count: int = JOBS) -> list[Comparison]:
    """So many jobs that are due at one moment."""
    ours, floor = await beside_bare_arq(_ours, count, database_url, redis_url)
    detail = (
        f"{count:,} jobs in {ours:.1f} s, {count / ours:.0f} a second; bare arq in {floor:.1f} s, "
        f"{count / floor:.0f} a second; {WORKERS} workers each"
    )
    return [Comparison("jobs that do nothing", ours / floor, GOAL, detail, ours=ours, floor=floor, unit="s")]
