"""Loops of a worker: each does a step when PostgreSQL notifies it, and now and then without."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial

import asyncpg
import structlog
from redis.exceptions import RedisError

from domain import database
from workers.constants import LOOP_RETRY_SECONDS

log = structlog.get_logger(__name__)

UNREACHABLE = (TimeoutError, OSError, RedisError, *database.CONNECTION_ERRORS)
"""What a step raises while PostgreSQL or Redis is away."""


class Loop:
    """Calls `step` again and again: at once when woken or when it says that there is more, else after some seconds.

    Args:
        name: For the log.
        step: Does what there is to do. Returns whether there is more at once.
        seconds: The longest wait.
    """

    def __init__(self, name: str, step: Callable[[], Awaitable[bool]], seconds: float) -> None:
        self.name = name
        self._step = step
        self._seconds = seconds
        self._woken = asyncio.Event()
        self._stopping = False

    def wake(self) -> None:
        """There may be something to do."""
        self._woken.set()

    def stop(self) -> None:
        """Begin no step any more. A cancellation alone might be lost: a library may take it for its own."""
        self._stopping = True
        self._woken.set()

    async def run(self) -> None:
        """Until stopped or cancelled. Nothing that a step raises ends it."""
        failures = 0
        while not self._stopping:
            if not self._stopping:
                self._woken.clear()
            try:
                more = await self._step()
                failures = 0
            except UNREACHABLE as error:
                failures += 1
                log.warning("loop.unreachable", loop=self.name, error=repr(error))
                await asyncio.sleep(LOOP_RETRY_SECONDS[min(failures, len(LOOP_RETRY_SECONDS)) - 1])
                continue
            except Exception:
                failures += 1
                log.exception("loop.failed", loop=self.name)
                await asyncio.sleep(LOOP_RETRY_SECONDS[min(failures, len(LOOP_RETRY_SECONDS)) - 1])
                continue
            if not more:
                await self._wait()

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(self._seconds):
                await self._woken.wait()
        except TimeoutError:
            return  # The time to look again has come.


def _wake(loops: Sequence[Loop], *_notification: object) -> None:
    for loop in loops:
        loop.wake()


async def listen(dsn: str, loops: Mapping[str, Sequence[Loop]]) -> None:
    """Wake loops at PostgreSQL's notifications, until cancelled; a lost connection is made anew, and all loops look.

    Args:
        dsn: The database.
        loops: By the name of the channel.
    """
    failures = 0
    while True:
        try:
            connection = await asyncpg.connect(dsn, server_settings={"application_name": "sideline listener"})
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            failures += 1
            log.warning("listener.unreachable", error=repr(error))
            await asyncio.sleep(LOOP_RETRY_SECONDS[min(failures, len(LOOP_RETRY_SECONDS)) - 1])
            continue
        failures = 0
        ended = asyncio.Event()
        try:
            connection.add_termination_listener(lambda _connection, ended=ended: ended.set())
            for channel, woken in loops.items():
                await connection.add_listener(channel, partial(_wake, woken))
            for woken in loops.values():
                _wake(woken)
            await ended.wait()
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            log.warning("listener.lost", error=repr(error))
        finally:
            connection.terminate()
