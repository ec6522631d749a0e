"""What a worker counts for Prometheus: jobs by what became of them, and how much waits in PostgreSQL."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import structlog
from prometheus_client import Counter, Gauge, Histogram

from domain import database
from domain.gauges import SECONDS
from workers.constants import GAUGE_SECONDS
from workers.loops import UNREACHABLE

log = structlog.get_logger(__name__)

jobs_ended = Counter("sideline_jobs_ended_total", "Runs of jobs by what became of them.", ["kind", "outcome"])
job_seconds = Histogram(
    "sideline_job_seconds", "How long runs of jobs took.", ["kind"], buckets=(*SECONDS, 120.0, 600.0)
)
jobs_running = Gauge("sideline_jobs_running", "Jobs that this worker has in hand.")
_waiting = Gauge("sideline_jobs_due", "Jobs whose time has come and that nobody has in hand.")
_oldest = Gauge("sideline_jobs_oldest_due_seconds", "For how long the longest of them has been due.")
_unsent = Gauge("sideline_events_unsent", "Events that have not been handed to Redis.")
_parked = Gauge("sideline_webhook_endpoints_parked", "Webhook endpoints that were given up.")

# By jobs_due_idx and the heads of the teams: as many rows as wait.
_BACKLOG = """
SELECT (SELECT count(*) FROM jobs WHERE state = 'SCHEDULED' AND due_at <= now()) AS due,
    (SELECT min(due_at) FROM jobs WHERE state = 'SCHEDULED' AND due_at <= now()) AS oldest,
    (SELECT coalesce(sum(h.position - coalesce(r.position, 0)), 0)
        FROM event_heads h LEFT JOIN event_relays r USING (team_id)) AS unsent,
    (SELECT count(*) FROM webhook_endpoints WHERE state = 'PARKED') AS parked
"""


async def measure_backlog() -> None:
    """Keep the gauges of what waits, until cancelled."""
    while True:
        try:
            async with database.acquire(database.ALL_TEAMS) as connection:
                row = await connection.fetchrow(_BACKLOG)
        except UNREACHABLE as error:
            log.warning("gauges.unreachable", error=repr(error))
        else:
            _waiting.set(row["due"])
            _oldest.set((datetime.now(UTC) - row["oldest"]).total_seconds() if row["oldest"] else 0.0)
            _unsent.set(float(row["unsent"]))
            _parked.set(row["parked"])
        await asyncio.sleep(GAUGE_SECONDS)
