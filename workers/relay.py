"""The relay: hands committed events to the Redis stream that the API processes read.

Redis is a courier. What is lost there, an API process reads from PostgreSQL; what is handed on twice, it knows by its
position.
"""

from __future__ import annotations

from redis.asyncio import Redis

from domain import database, events
from workers.constants import RELAY_EVENTS, STREAM_EVENTS_KEPT


class Relay:
    """Hands events on.

    Args:
        redis: Where to.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def step(self) -> bool:
        """Hand on what there is. Returns whether there may be more."""
        async with database.transaction(database.ALL_TEAMS) as connection:
            taken = await events.take_for_relay(connection, RELAY_EVENTS)
            if not taken:
                return False
            # All at once, so that a subscriber is woken once for them.
            async with self._redis.pipeline(transaction=True) as pipeline:
                for event in taken:
                    pipeline.xadd(
                        events.EVENTS_STREAM,
                        {"event": events.encode_event(event)},
                        maxlen=STREAM_EVENTS_KEPT,
                        approximate=True,
                    )
                await pipeline.execute()
        return True
