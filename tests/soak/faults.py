"""What is done to the installation while it works. What ends is started again by `Cluster.supervise`, as a service
manager does."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import Any

import asyncpg
import httpx

from tests.running.cluster import Cluster
from tests.running.integrators import Integrator
from tests.soak.journal import Journal
from tests.soak.plan import APIS, FROZEN_SECONDS, PAUSED_SECONDS, SLOW_BY_SECONDS, SLOW_SECONDS, Fault

STOP_SECONDS = 90.0
"""So long systemd waits for a process that it has told to stop, before it kills it."""
START_SECONDS = 120.0
LOOK_SECONDS = 0.05
HELD_SECONDS = 5.0
"""How long a moment is waited for at which a worker holds a lease."""
HOLDS = """SELECT EXISTS (SELECT 1 FROM jobs WHERE lease_holder LIKE $1)
    OR EXISTS (SELECT 1 FROM scheduled_actions WHERE lease_holder LIKE $1)
    OR EXISTS (SELECT 1 FROM webhook_endpoints WHERE lease_holder LIKE $1)"""
END_SOME = """SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
    WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND random() < 0.5"""


class Line:
    """A proxy before an API process, which can be cut or made slow.

    Args:
        target: The port behind it.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self.late = 0.0
        self._writers: set[asyncio.StreamWriter] = set()

    async def open(self) -> str:
        """Listen. Returns the address."""
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def close(self) -> None:
        """Stop listening, and cut what is open."""
        self._server.close()
        self.cut()

    def cut(self) -> None:
        """Drop every connection, in the middle of whatever it carries."""
        for writer in self._writers:
            writer.transport.abort()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, back}
        try:
            await asyncio.gather(self._carry(reader, back), self._carry(there, writer))
        finally:
            self._writers -= {writer, back}
            for one in (writer, back):
                one.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A line that breaks on one side has nothing more to carry.
        with suppress(OSError):
            while data := await reader.read(65536):
                if self.late:
                    await asyncio.sleep(self.late)
                writer.write(data)
                await writer.drain()
            if writer.can_write_eof():
                writer.write_eof()


class Injector:
    """Does what a plan says, when it says so.

    Args:
        cluster: The installation.
        lines: The proxies.
        integrator: An example program that follows events.
        journal: Told of each fault.
        chance: Dice.
    """

    def __init__(
        self, cluster: Cluster, lines: list[Line], integrator: Integrator, journal: Journal, chance: Random
    ) -> None:
        self.cluster = cluster
        self.lines = lines
        self.integrator = integrator
        self.journal = journal
        self.chance = chance
        self._lasting: set[asyncio.Task[None]] = set()

    async def run(self, faults: list[Fault]) -> None:
        """Do them all. What lasts (a frozen worker) lasts on while others are done."""
        began = asyncio.get_running_loop().time()
        for fault in faults:
            await asyncio.sleep(max(0.0, began + fault.at - asyncio.get_running_loop().time()))
            self.journal.fault(" ".join((fault.kind, *fault.victims)))
            work = getattr(self, "_" + fault.kind.replace(" ", "_"))
            if fault.kind in ("freeze worker", "roll", "slow lines"):
                self._lasting.add(asyncio.ensure_future(work(*fault.victims)))
            else:
                await work(*fault.victims)
        if self._lasting:
            await asyncio.gather(*self._lasting)

    async def _kill_api(self, name: str) -> None:
        self.cluster.processes[name].kill()

    async def _kill_worker(self, name: str) -> None:
        self.cluster.processes[name].kill()

    async def _kill_redis(self) -> None:
        await asyncio.to_thread(self.cluster.kill, "redis")

    async def _pause_redis(self) -> None:
        assert self.cluster.redis.process is not None
        await self._frozen(self.cluster.redis.process, PAUSED_SECONDS)

    async def _restart_postgres(self) -> None:
        await asyncio.to_thread(self.cluster.postgres.stop)
        await asyncio.to_thread(self.cluster.postgres.start)

    async def _crash_postgres(self) -> None:
        await asyncio.to_thread(self.cluster.kill, "postgres")

    async def _end_backends(self) -> None:
        ended = await self.cluster.run(lambda connection: connection.fetchval(END_SOME))
        self.journal.counts["backends ended"] += ended

    async def _cut_lines(self) -> None:
        for line in self.lines:
            line.cut()

    async def _slow_lines(self) -> None:
        for line in self.lines:
            line.late = SLOW_BY_SECONDS
        await asyncio.sleep(SLOW_SECONDS)
        for line in self.lines:
            line.late = 0.0

    async def _kill_integrator(self) -> None:
        await asyncio.to_thread(self.integrator.kill)
        self.integrator.start("never looked at")

    async def _freeze_worker(self, name: str) -> None:
        """Longer than its leases, at a moment at which it has one if there is such a moment."""
        process = self.cluster.processes[name]

        async def holds(connection: asyncpg.Connection) -> bool:
            deadline = asyncio.get_running_loop().time() + HELD_SECONDS
            while asyncio.get_running_loop().time() < deadline:
                if await connection.fetchval(HOLDS, f"%:{process.pid}:%"):
                    return True
                await asyncio.sleep(LOOK_SECONDS)
            return False

        # PostgreSQL may be away: then it is frozen at any moment.
        with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            self.journal.counts["frozen with a lease"] += await self.cluster.run(holds)
        await self._frozen(process, FROZEN_SECONDS)

    async def _frozen(self, process: subprocess.Popen[bytes], seconds: float) -> None:
        process.send_signal(signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            process.send_signal(signal.SIGCONT)

    async def _roll(self, *names: str) -> None:
        """Each in turn is told to stop, and waited for until it is there again."""
        for name in names:
            process = self.cluster.processes[name]
            process.send_signal(signal.SIGTERM)
            if not await self._until(lambda process=process: process.poll() is not None, STOP_SECONDS):  # type: ignore[misc]
                self.journal.fail(f"{name} did not stop within {STOP_SECONDS:.0f} s")
            there = await self._until(
                lambda name=name, process=process: self.cluster.processes[name] is not process,  # type: ignore[misc]
                START_SECONDS,
            )
            if there and name in APIS:
                await self.ready(self.cluster.urls[APIS.index(name)])

    async def ready(self, url: str) -> None:
        """Wait until an API process is ready."""
        async with httpx.AsyncClient(timeout=5) as client:
            deadline = asyncio.get_running_loop().time() + START_SECONDS
            while True:
                with suppress(httpx.TransportError):
                    if (await client.get(f"{url}/readyz")).status_code == 200:
                        return
                if asyncio.get_running_loop().time() > deadline:
                    self.journal.fail(f"{url} was not ready within {START_SECONDS:.0f} s")
                    return
                await asyncio.sleep(LOOK_SECONDS * 4)

    async def _until(self, look: Callable[[], Any], seconds: float) -> bool:
        deadline = asyncio.get_running_loop().time() + seconds
        while not look():
            if asyncio.get_running_loop().time() > deadline:
                return False
            await asyncio.sleep(LOOK_SECONDS)
        return True
