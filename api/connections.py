"""Connections that stay open: each ends when its credential does, whether anything happens on it or not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from api.context import Context
from api.errors import UNREACHABLE
from domain.errors import Forbidden, Unauthenticated, Unavailable

log = structlog.get_logger(__name__)

LOT = 100
WATCH_SECONDS = 2.0
"""How often the credentials of open connections are looked at; events look on their own, each time."""


class Watched:
    """An open connection.

    Args:
        context: Whose credential is looked at.
        on_end: Called once, when the credential has ended.
        tend: Called now and then, to ping what is idle and cut off what is stuck; it does not wait.
    """

    def __init__(self, context: Context, on_end: Callable[[], object], tend: Callable[[], None] | None = None) -> None:
        self.context = context
        self.on_end = on_end
        self.tend = tend


class Watchman:
    """Looks at all open connections now and then, at each credential once."""

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

    def add(self, watched: Watched) -> None:
        """A connection has opened."""
        self._open.add(watched)

    def discard(self, watched: Watched) -> None:
        """A connection has closed."""
        self._open.discard(watched)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            held: dict[str, list[Watched]] = {}
            for watched in self._open:
                held.setdefault(watched.context.credential, []).append(watched)
            # The look-ups of one moment are one statement; between lots, others get their turn.
            everything = list(held.values())
            for start in range(0, len(everything), LOT):
                await asyncio.gather(*(self._look(group) for group in everything[start : start + LOT]))

    async def _look(self, group: list[Watched]) -> None:
        """Look at the credential that some connections share."""
        try:
            await group[0].context.identify()
        except (Unauthenticated, Forbidden):
            for watched in group:
                if watched in self._open:
                    self._open.discard(watched)
                    watched.on_end()
        except (Unavailable, *UNREACHABLE) as error:
            log.warning("watchman.unreachable", error=repr(error))
        except Exception:
            log.exception("watchman.failed")
        for watched in group:
            if watched in self._open and watched.tend is not None:
                watched.tend()
