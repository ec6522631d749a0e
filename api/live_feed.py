"""What one API process knows of live calls: in which of the teams that somebody here listens to something has changed.

A team's changes have numbers in the order of commits (domain/live_changes.py). Redis hints that a team's have grown,
PostgreSQL is asked now and then for what no hint brought, and a subscriber reads what is behind its place.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from api.again import again
from domain.courier import open_redis
from domain.database import ALL_TEAMS, acquire
from domain.live_changes import HINTS_CHANNEL, read_positions

log = structlog.get_logger(__name__)

POLL_SECONDS = 1.0
"""How often PostgreSQL is asked for what no hint told of."""
LISTEN_SECONDS = 5.0


class TeamFeed:
    """How far a team's changes have come, and who waits for the next one."""

    def __init__(self) -> None:
        self.position = 0
        self.subscribers = 0
        self._changed = asyncio.Event()

    def moved(self, position: int) -> None:
        """The team's changes have come so far."""
        if position > self.position:
            self.position = position
            self._changed.set()
            self._changed = asyncio.Event()

    async def beyond(self, position: int, seconds: float) -> None:
        """Wait until there is a change behind a position, but not longer than some seconds."""
        changed = self._changed
        if self.position > position:
            return
        try:
            async with asyncio.timeout(seconds):
                await changed.wait()
        except TimeoutError:
            return  # The time to look again has come.


class LiveFeed:
    """The feeds of the teams that somebody here listens to.

    Args:
        redis_url: Where hints come from.
    """

    def __init__(self, redis_url: str) -> None:
        self._redis = open_redis(redis_url, Redis)
        self._feeds: dict[UUID, TeamFeed] = {}
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin to listen."""
        self._tasks = [asyncio.ensure_future(again("live_feed", step)) for step in (self._hear, self._poll)]

    async def stop(self) -> None:
        """Listen no more."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._redis.aclose()

    @contextmanager
    def joined(self, team_id: UUID) -> Iterator[TeamFeed]:
        """A team's feed, while somebody listens."""
        feed = self._feeds.setdefault(team_id, TeamFeed())
        feed.subscribers += 1
        try:
            yield feed
        finally:
            feed.subscribers -= 1
            if not feed.subscribers:
                self._feeds.pop(team_id, None)

    async def hint(self, team_id: UUID) -> None:
        """Tell all API processes that live calls of a team have changed, once that is committed; a lost hint costs a
        moment."""
        try:
            await self._redis.publish(HINTS_CHANNEL, str(team_id))
        except (RedisError, OSError) as error:
            log.warning("live_feed.hint_lost", team=str(team_id), error=repr(error))

    async def _hear(self) -> None:
        async with self._redis.pubsub() as hints:
            await hints.subscribe(HINTS_CHANNEL)
            while True:
                message = await hints.get_message(ignore_subscribe_messages=True, timeout=LISTEN_SECONDS)
                if message is not None and (team_id := UUID(message["data"].decode())) in self._feeds:
                    await self._look([team_id])

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(POLL_SECONDS)
            if self._feeds:
                await self._look(list(self._feeds))

    async def _look(self, team_ids: list[UUID]) -> None:
        async with acquire(ALL_TEAMS) as connection:
            positions = await read_positions(connection, team_ids)
        for team_id, position in positions.items():
            feed = self._feeds.get(team_id)
            if feed is not None:
                feed.moved(position)
