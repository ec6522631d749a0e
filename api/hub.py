"""What one API process knows of live events: recent events of the teams that somebody here listens to.

A Redis stream brings events; PostgreSQL is asked for whatever it did not bring. A team's log holds events without a
gap, so that a subscriber who stands at a position either finds the next one here or reads on in PostgreSQL: replay and
live are one way. What is made of an event (its answer to a document) is kept with it and made once.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from uuid import UUID

import structlog
from redis.asyncio import Redis

from api.again import again
from api.gauges import streams_open
from domain import events
from domain.courier import open_redis
from domain.database import ALL_TEAMS, acquire
from domain.errors import DomainError
from domain.events import StoredEvent
from domain.goal_evaluation import generations
from domain.goal_events import GoalEvent

log = structlog.get_logger(__name__)

LOG_EVENTS = 2_000
"""Events of a team that are kept here; who was live and falls further behind is cut."""
PAGE_EVENTS = 200
"""Events that a subscriber reads from PostgreSQL at once."""
POLL_SECONDS = 1.0
"""How often PostgreSQL is asked for what Redis did not bring."""
MOMENT_SECONDS = 0.05
"""For so long a look at a credential holds for the other subscribers that have it, unless another event comes."""
READ_BLOCK_MILLISECONDS = 5_000
READ_COUNT = 500
GOODBYE_SECONDS = 2.0
"""How long streams have to say goodbye when the process is told to stop."""


class SlowReader(DomainError):
    """A live subscriber fell so far behind that it is cut off; it goes on from its cursor.

    Args:
        cursor: The last event that it was sent.
    """

    code = "SLOW_READER"

    def __init__(self, cursor: str) -> None:
        super().__init__("This subscriber reads too slowly: subscribe again after the cursor in `extensions`.")
        self.cursor = cursor


class Restarting(DomainError):
    """This process is about to stop: whoever subscribes again finds another one, or this one anew.

    Args:
        cursor: The last event that the subscriber was sent, or where it began; None where there is none to go on from.
    """

    code = "RESTARTING"

    def __init__(self, cursor: str | None = None) -> None:
        after = "" if cursor is None else " after the cursor in `extensions`"
        super().__init__(f"The server restarts: subscribe again{after}.")
        self.cursor = cursor


class TooManyStreams(DomainError):
    """The connection or the user has as many streams open as this process allows."""

    code = "TOO_MANY_STREAMS"


async def _made_once(kept: dict[Any, asyncio.Future[Any]], key: Any, make: Callable[[], Awaitable[Any]]) -> Any:
    """What `make` brings, made once for a key; anew where it could not be made before."""
    found = kept.get(key)
    if found is not None and found.done():
        if not found.cancelled() and found.exception() is None:
            return found.result()
        found = None
    if found is None:
        found = kept[key] = asyncio.ensure_future(make())
    # Whoever leaves must not take along what others wait for.
    return await asyncio.shield(found)


@dataclass(eq=False)
class Entry:
    """An event with the answers that were made of it, by what distinguishes them."""

    stored: StoredEvent
    answers: dict[Any, asyncio.Future[str]] = field(default_factory=dict)

    @cached_property
    def event(self) -> GoalEvent:
        """What it says."""
        return GoalEvent.of(self.stored)

    async def answer(self, key: Any, make: Callable[[], Awaitable[str]]) -> str:
        """The answer of a key, made once."""
        answer: str = await _made_once(self.answers, key, make)
        return answer


class TeamLog:
    """A team's recent events without a gap, and what its subscribers wait for.

    Args:
        team_id: The team.
    """

    def __init__(self, team_id: UUID) -> None:
        self.team_id = team_id
        self.entries: deque[Entry] = deque()
        self.head: int | None = None
        self.generation = 0
        self.subscribers = 0
        self._filling = asyncio.Lock()
        self._waiting: set[asyncio.Future[None]] = set()
        self._waiting_for_numbers: set[asyncio.Future[None]] = set()
        self._moments: dict[Any, asyncio.Future[Any]] = {}
        self._moments_head: int | None = None
        self._moments_at = 0.0

    @property
    def start(self) -> int:
        """The position before the first entry."""
        return self.entries[0].stored.position - 1 if self.entries else self.head or 0

    def after(self, position: int) -> list[Entry] | None:
        """The entries after a position; None when some of them are not here."""
        if self.head is None or position < self.start:
            return None
        if position >= self.head:
            return []
        return [self.entries[place] for place in range(position - self.start, len(self.entries))]

    async def open(self) -> None:
        """Find where the team's events end now, once."""
        async with self._filling:
            if self.head is None:
                async with acquire(ALL_TEAMS) as connection:
                    self.head = (await events.read_head(connection, self.team_id)).position
                    self.generation = (await generations(connection, [self.team_id])).get(self.team_id, 0)

    def push(self, event: StoredEvent) -> bool:
        """Take the next event in. Returns False when others must come first."""
        if self.head is None or event.position <= self.head:
            return True
        if event.position != self.head + 1:
            return False
        self.entries.append(Entry(event))
        self.head = event.position
        if len(self.entries) > LOG_EVENTS:
            self.entries.popleft()
        _wake(self._waiting)
        return True

    async def fill(self, position: int) -> None:
        """Read from PostgreSQL what is missing up to a position."""
        async with self._filling:
            while self.head is not None and self.head < position:
                async with acquire(ALL_TEAMS) as connection:
                    found = await events.read_events(connection, self.team_id, self.head, PAGE_EVENTS)
                # The stream may have brought some of them meanwhile.
                if found and found[0].position > self.head + 1:
                    # What lay between is not kept any more; begin anew behind it.
                    self.entries.clear()
                    self.head = found[0].position - 1
                for event in found:
                    self.push(event)
                if not found:
                    return

    def changed(self, generation: int) -> None:
        """The team's numbers have been evaluated so often."""
        if generation > self.generation:
            self.generation = generation
            _wake(self._waiting_for_numbers)

    @property
    def wants_numbers(self) -> bool:
        """Whether somebody waits for changes of numbers."""
        return bool(self._waiting_for_numbers)

    async def moment(self, key: Any, make: Callable[[], Awaitable[Any]]) -> Any:
        """What `make` brings, made once for a key since the last event came, and anew after `MOMENT_SECONDS`:
        subscribers with one credential are looked at together, and never as they stood before the event."""
        now = asyncio.get_running_loop().time()
        if self._moments_head != self.head or now - self._moments_at > MOMENT_SECONDS:
            self._moments_head, self._moments_at = self.head, now
            self._moments = {}
        return await _made_once(self._moments, key, make)

    def wake(self) -> None:
        """Have everybody who waits look again."""
        _wake(self._waiting)

    async def wait(self) -> None:
        """Wait for the next event."""
        await _wait(self._waiting)

    async def wait_for_numbers(self) -> None:
        """Wait for the next change of numbers."""
        await _wait(self._waiting_for_numbers)


def _wake(waiting: set[asyncio.Future[None]]) -> None:
    for waiter in waiting:
        if not waiter.done():
            waiter.set_result(None)
    waiting.clear()


async def _wait(waiting: set[asyncio.Future[None]]) -> None:
    waiter = asyncio.get_running_loop().create_future()
    waiting.add(waiter)
    try:
        await waiter
    finally:
        waiting.discard(waiter)


class Hub:
    """The logs of the teams that somebody here listens to, and how many streams each user has open.

    Args:
        redis_url: Where events come from; without it, PostgreSQL is asked each `POLL_SECONDS`.
        streams_per_user: How many a user may have open in this process.
    """

    def __init__(self, redis_url: str, *, streams_per_user: int) -> None:
        # What a lost connection had asked for is asked anew from where the stream ends by then.
        self._redis = open_redis(redis_url, Redis, answer_seconds=2 * READ_BLOCK_MILLISECONDS / 1e3, retries=0)
        self._logs: dict[UUID, TeamLog] = {}
        self._streams: Counter[UUID] = Counter()
        self._streams_per_user = streams_per_user
        self._tasks: list[asyncio.Task[None]] = []
        self.stopping = asyncio.Event()
        self._serving = 0
        self._served = asyncio.Event()

    async def start(self) -> None:
        """Begin to listen."""
        steps = (self._read_stream, self._hear_numbers, self._poll)
        self._tasks = [asyncio.ensure_future(again("hub", step)) for step in steps]

    async def stop(self) -> None:
        """Listen no more."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._redis.aclose()

    async def end_streams(self) -> None:
        """Have every stream say goodbye with its cursor, for at most `GOODBYE_SECONDS`."""
        self.stopping.set()
        for found in self._logs.values():
            found.wake()
        if self._serving:
            try:
                async with asyncio.timeout(GOODBYE_SECONDS):
                    await self._served.wait()
            except TimeoutError:
                log.warning("hub.streams_left", streams=self._serving)

    @contextmanager
    def serving(self) -> Iterator[None]:
        """A stream or an operation on a WebSocket, from its beginning until its last word is handed to the server."""
        self._serving += 1
        try:
            yield
        finally:
            self._serving -= 1
            if self.stopping.is_set() and not self._serving:
                self._served.set()

    @contextmanager
    def counted(self, user_id: UUID) -> Iterator[None]:
        """A stream of a user's, while it is open.

        Raises:
            TooManyStreams: the user has too many.
        """
        if self._streams[user_id] >= self._streams_per_user:
            raise TooManyStreams(
                f"You have {self._streams_per_user} streams open here: close some before you open another one."
            )
        self._streams[user_id] += 1
        try:
            with streams_open.track_inprogress():
                yield
        finally:
            self._streams[user_id] -= 1
            if not self._streams[user_id]:
                del self._streams[user_id]

    @contextmanager
    def joined(self, team_id: UUID) -> Iterator[TeamLog]:
        """A team's log, while somebody listens."""
        found = self._logs.setdefault(team_id, TeamLog(team_id))
        found.subscribers += 1
        try:
            yield found
        finally:
            found.subscribers -= 1
            if not found.subscribers:
                self._logs.pop(team_id, None)

    async def events(self, team_id: UUID, position: int) -> AsyncGenerator[tuple[TeamLog, list[Entry]], None]:
        """Every event of a team after a position, in order, for ever; in lots, as they are there.

        Raises:
            SlowReader: the subscriber was live, and the next event has left the log meanwhile.
            CursorExpired: the next event is not kept any more.
        """
        with self.joined(team_id) as found:
            await found.open()
            live = False
            while True:
                if self.stopping.is_set():
                    raise Restarting(events.cursor_of(team_id, position))
                entries = found.after(position)
                if entries is None:
                    if live:
                        raise SlowReader(events.cursor_of(team_id, position))
                    async with acquire(ALL_TEAMS) as connection:
                        stored = await events.read_events(connection, team_id, position, PAGE_EVENTS)
                    if stored and stored[0].position != position + 1:
                        raise events.CursorExpired("Events after this cursor are not kept any more.", path=("after",))
                    entries = [Entry(event) for event in stored]
                else:
                    live = True
                if entries:
                    position = entries[-1].stored.position
                    yield found, entries
                elif live:
                    await found.wait()

    async def _read_stream(self) -> None:
        last = await self._redis.xrevrange(events.EVENTS_STREAM, count=1)
        position: Any = last[0][0] if last else "0-0"
        while True:
            found = await self._redis.xread(
                {events.EVENTS_STREAM: position}, count=READ_COUNT, block=READ_BLOCK_MILLISECONDS
            )
            for _stream, entries in found:
                for position, values in entries:  # noqa: B007
                    await self._take(events.decode_event(values[b"event"]))

    async def _take(self, event: StoredEvent) -> None:
        found = self._logs.get(event.team_id)
        if found is not None and not found.push(event):
            await found.fill(event.position)

    async def _hear_numbers(self) -> None:
        async with self._redis.pubsub() as hints:
            await hints.subscribe(events.NUMBERS_CHANNEL)
            while True:
                message = await hints.get_message(ignore_subscribe_messages=True, timeout=READ_BLOCK_MILLISECONDS / 1e3)
                if message is not None:
                    team_id = UUID(message["data"].decode())
                    found = self._logs.get(team_id)
                    if found is not None and found.wants_numbers:
                        await self._look([team_id])

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(POLL_SECONDS)
            if self._logs:
                await self._look(list(self._logs))

    async def _look(self, team_ids: list[UUID]) -> None:
        """Ask PostgreSQL how far the events and the numbers of some teams have come."""
        async with acquire(ALL_TEAMS) as connection:
            positions = await events.read_positions(connection, team_ids)
            counts = await generations(connection, team_ids)
        for team_id in team_ids:
            found = self._logs.get(team_id)
            if found is None or found.head is None:
                continue
            if positions.get(team_id, 0) > found.head:
                await found.fill(positions[team_id])
            if team_id in counts:
                found.changed(counts[team_id])
