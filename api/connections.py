"""Connections that stay open: each ends when its credential does, whether anything happens on it or not."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from api.context import Context
from api.errors import UNREACHABLE
from domain.errors import Forbidden, Unauthenticated, Unavailable

log = structlog.get_logger(__name__)

WATCH_SECONDS = 2.0
"""How often the credentials of open connections are looked at; events look on their own, each time."""


class Watched:
    """An open connection, and whether its credential has ended."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.ended = asyncio.Event()


class Watchman:
    """Looks at the credentials of all open connections now and then, in one statement."""

    def __init__(self) -> None:
        self._open: set[Watched] = set()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to look."""
        self._task = asyncio.ensure_future(self._watch())

    async def stop(self) -> None:
        """Look no more; every open connection ends."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    @contextmanager
    def watching(self, context: Context) -> Iterator[Watched]:
        """A connection, while it is open."""
        watched = Watched(context)
        self._open.add(watched)
        try:
            yield watched
        finally:
            self._open.discard(watched)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            # All at once: the look-ups of one moment are one statement.
            await asyncio.gather(*(self._look(watched) for watched in list(self._open)))

    async def _look(self, watched: Watched) -> None:
        try:
            await watched.context.identify()
        except (Unauthenticated, Forbidden):
            watched.ended.set()
        except (Unavailable, *UNREACHABLE) as error:
            log.warning("watchman.unreachable", error=repr(error))
        except Exception:
            log.exception("watchman.failed")
