"""Looks, all the while, at what the processes hold and at how far behind they are."""

from __future__ import annotations

import asyncio
import os
from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from typing import Any

import asyncpg
import httpx
from prometheus_client.parser import text_string_to_metric_families
from redis.asyncio import Redis
from redis.exceptions import RedisError

from tests.running.cluster import Cluster
from tests.soak.drained import LOOKS
from tests.soak.journal import Journal
from tests.soak.judging import Life, Point

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
NUMBERS = ("sideline_event_loop_lag_seconds", "sideline_jobs_oldest_due_seconds", "sideline_events_unsent")
ANSWER_SECONDS = 2.0


class Watch:
    """What was seen.

    `lives` has each process from its start to its end, `series` everything that all of them share or that Prometheus
    is told, by name.

    Args:
        cluster: The installation.
        journal: Has the clock.
    """

    def __init__(self, cluster: Cluster, journal: Journal) -> None:
        self.cluster = cluster
        self.journal = journal
        self.lives: dict[int, Life] = {}
        self.series: defaultdict[str, list[Point]] = defaultdict(list)

    async def run(self, look_seconds: float) -> None:
        """Look until cancelled."""
        async with httpx.AsyncClient(timeout=ANSWER_SECONDS) as client:
            while True:
                self._processes()
                await asyncio.gather(self._postgres(), self._redis(), self._prometheus(client))
                await asyncio.sleep(look_seconds)

    def _note(self, name: str, value: float) -> None:
        self.series[name].append((self.journal.now, float(value)))

    def _processes(self) -> None:
        for name, process in self.cluster.processes.items():
            found = Path(f"/proc/{process.pid}")
            # It may have ended just now; where there is no /proc, memory is not watched.
            with suppress(OSError, IndexError):
                pages = int((found / "statm").read_text().split()[1])
                descriptors = len(list((found / "fd").iterdir()))
                if pages:
                    life = self.lives.setdefault(process.pid, Life(name, process.pid))
                    life.megabytes.append((self.journal.now, pages * PAGE_BYTES / 2**20))
                    life.descriptors.append((self.journal.now, float(descriptors)))

    async def _postgres(self) -> None:
        # While it is away there is nothing to see.
        with suppress(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            async with asyncio.timeout(ANSWER_SECONDS):
                row: Any = await self.cluster.run(lambda connection: connection.fetchrow(LOOKS))
            for name, value in row.items():
                self._note(name, value)

    async def _redis(self) -> None:
        client: Redis = Redis.from_url(self.cluster.environment["SIDELINE_REDIS_URL"], socket_timeout=ANSWER_SECONDS)
        with suppress(RedisError, OSError, TimeoutError):
            async with asyncio.timeout(ANSWER_SECONDS):
                info = await client.info()
                # Each start of it is empty anew: its life is its own.
                self._note(f"redis {info['process_id']} megabytes", info["used_memory"] / 2**20)
                self._note("redis clients", info["connected_clients"])
                self._note("redis keys", await client.dbsize())
        await client.aclose()

    async def _prometheus(self, client: httpx.AsyncClient) -> None:
        async def one(name: str, port: str) -> None:
            # A process that is stopped, frozen or on its way up has none.
            with suppress(httpx.TransportError):
                text = (await client.get(f"http://127.0.0.1:{port}/metrics")).text
                for family in text_string_to_metric_families(text):
                    for sample in family.samples:
                        if sample.name in NUMBERS:
                            self._note(f"{name} {sample.name}", sample.value)
                        if sample.name == "sideline_database_connections" and sample.labels["state"] == "open":
                            self._note(f"{name} pool {sample.labels['pool']}", sample.value)

        ports = {name: own["SIDELINE_METRICS_PORT"] for name, own in self.cluster.own.items()}
        await asyncio.gather(*(one(name, port) for name, port in ports.items()))

    def at(self, points: list[Point], share: float) -> float | None:
        """The value at a share of the time."""
        if not points:
            return None
        moment = points[0][0] + (points[-1][0] - points[0][0]) * share
        return round(min(points, key=lambda point: abs(point[0] - moment))[1], 1)

    def memory(self) -> list[dict[str, Any]]:
        """Of each life: megabytes at a third, two thirds and the end of it."""
        return [
            {
                "process": life.name,
                "pid": life.pid,
                "from": round(life.megabytes[0][0], 1),
                "to": round(life.megabytes[-1][0], 1),
                "megabytes": [self.at(life.megabytes, share) for share in (1 / 3, 2 / 3, 1.0)],
                "descriptors": [self.at(life.descriptors, share) for share in (1 / 3, 2 / 3, 1.0)],
            }
            for life in self.lives.values()
        ]
