"""Turns: how much of a process one person's operations may take at once, so that nobody keeps all others waiting.

Operations of one person wait in a line of their own, whatever credentials they come with; those of another pass by.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from uuid import UUID

from api.gauges import operations_waiting
from domain.errors import DomainError

LIGHT_COST = 3_000
"""What a person's operations that run at the same time may cost together, by the cost model: heavy ones run one after
the other. They keep the event loop for as long as it takes to put their answers together, and everybody else's steps
come in between."""
LONG_SECONDS = 0.1
REST_SHARE = 0.25
LONGEST_REST_SECONDS = 0.5
"""After an operation that took long, the person's next waits for this share of its time while others have requests
here: a request takes a dozen steps, and must not find a heavy operation before each."""
LONGEST_LINE = 100
"""Operations of one person that may wait."""
RETRY_SECONDS = 1


class TooManyAtOnce(DomainError):
    """The person has so many operations waiting that no more are let in."""

    code = "RATE_LIMITED"

    def __init__(self) -> None:
        super().__init__(f"You have {LONGEST_LINE} operations waiting here: let some be answered before you send more.")


@dataclass
class _Line:
    """One person's operations: how many run, what they cost together, and who waits."""

    running: int = 0
    cost: int = 0
    waiting: deque[tuple[int, asyncio.Future[None]]] = field(default_factory=deque)


class Turns:
    """Who may run now.

    Args:
        at_once: How many operations of one person run at the same time.
        cost: What they may cost together; one alone may always run.
        longest_line: How many of one person may wait; any number if None.
    """

    def __init__(self, at_once: int, cost: int, *, longest_line: int | None = LONGEST_LINE) -> None:
        self._at_once = at_once
        self._cost = cost
        self._longest_line = longest_line
        self._lines: dict[UUID, _Line] = {}
        self._requests = 0

    @contextmanager
    def request(self) -> Iterator[None]:
        """A request is here, whosever it is and whether it has come to its operation or not."""
        self._requests += 1
        try:
            yield
        finally:
            self._requests -= 1

    @asynccontextmanager
    async def turn(self, person: UUID, cost: int) -> AsyncIterator[None]:
        """Run something as soon as there is room for it.

        Raises:
            TooManyAtOnce: too many wait already.
        """
        loop = asyncio.get_running_loop()
        line = self._lines.setdefault(person, _Line())
        if line.waiting or not self._fits(line, cost):
            if self._longest_line is not None and len(line.waiting) >= self._longest_line:
                raise TooManyAtOnce
            await self._wait(person, line, cost)
        else:
            self._enter(line, cost)
        began = loop.time()
        try:
            yield
        finally:
            took = loop.time() - began
            if took > LONG_SECONDS and line.waiting and self._others_are_here(line):
                rest = min(took * REST_SHARE, LONGEST_REST_SECONDS)
                loop.call_later(rest, self._leave, person, line, cost)
            else:
                self._leave(person, line, cost)

    def _others_are_here(self, line: _Line) -> bool:
        return len(self._lines) > 1 or self._requests > line.running + len(line.waiting)

    def _leave(self, person: UUID, line: _Line, cost: int) -> None:
        line.running -= 1
        line.cost -= cost
        self._call(person, line)

    def _fits(self, line: _Line, cost: int) -> bool:
        return not line.running or (line.running < self._at_once and line.cost + cost <= self._cost)

    @staticmethod
    def _enter(line: _Line, cost: int) -> None:
        line.running += 1
        line.cost += cost

    async def _wait(self, person: UUID, line: _Line, cost: int) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        place = (cost, turn)
        line.waiting.append(place)
        try:
            with operations_waiting.track_inprogress():
                await turn
        except asyncio.CancelledError:
            if place in line.waiting:
                line.waiting.remove(place)
            else:
                # The turn came at the same moment: it goes on to the next.
                line.running -= 1
                line.cost -= cost
            self._call(person, line)
            raise

    def _call(self, person: UUID, line: _Line) -> None:
        """Let in whoever there is room for."""
        while line.waiting and self._fits(line, line.waiting[0][0]):
            cost, turn = line.waiting.popleft()
            # Whoever has just left hands the turn on.
            self._enter(line, cost)
            if not turn.done():
                turn.set_result(None)
        if not line.running and not line.waiting:
            self._lines.pop(person, None)
