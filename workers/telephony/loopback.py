"""A provider that brings nobody anywhere, for the demo and for tests: who is on the line is in Redis.

It behaves as a provider does: it knows nothing of our rows, gives each join a leg of its own, and forgets what is on
its line when Redis does.
"""

from __future__ import annotations

from uuid import uuid4

import orjson
from redis.asyncio import Redis
from redis.exceptions import RedisError

from domain.models.live_calls import JoinMode
from domain.telephony import LONGEST_LEG_SECONDS, Leg, LegState, Line, LineGone, LineUnavailable


class Loopback:
    """`domain.telephony.Telephony` without telephones.

    Args:
        redis: Where the line is.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    @staticmethod
    def _key(line: Line) -> str:
        return f"sideline:loopback:{line.team_id}:{line.call_id}"

    async def join(self, line: Line, label: str, mode: JoinMode, address: str | None) -> Leg:
        """Put somebody on the line; they answer at once."""
        leg = Leg(f"loop-{uuid4().hex}", label, LegState.CONNECTED, mode)
        await self._put(line, leg)
        return leg

    async def change_mode(self, line: Line, leg_id: str, mode: JoinMode) -> None:
        """Change how somebody is on the line."""
        for leg in await self.look(line):
            if leg.id == leg_id:
                await self._put(line, Leg(leg.id, leg.label, leg.state, mode))
                return
        raise LineGone("There is no such leg.")

    async def leave(self, line: Line, leg_id: str) -> None:
        """Take somebody off the line."""
        try:
            await self._redis.hdel(self._key(line), leg_id)  # type: ignore[misc]
        except (RedisError, OSError) as error:
            raise LineUnavailable(f"Redis cannot be reached: {error!r}") from error

    async def end(self, line: Line) -> int:
        """Take all off the line."""
        legs = await self.look(line)
        for leg in legs:
            await self.leave(line, leg.id)
        return len(legs)

    async def look(self, line: Line) -> tuple[Leg, ...]:
        """Who is on the line."""
        try:
            found = await self._redis.hgetall(self._key(line))  # type: ignore[misc]
        except (RedisError, OSError) as error:
            raise LineUnavailable(f"Redis cannot be reached: {error!r}") from error
        legs = []
        for leg_id, stored in sorted(found.items()):
            told = orjson.loads(stored)
            legs.append(Leg(leg_id.decode(), told["label"], LegState.CONNECTED, JoinMode(told["mode"])))
        return tuple(legs)

    async def _put(self, line: Line, leg: Leg) -> None:
        try:
            async with self._redis.pipeline(transaction=True) as pipeline:
                pipeline.hset(
                    self._key(line), leg.id, orjson.dumps({"label": leg.label, "mode": leg.mode.value}).decode()
                )
                pipeline.expire(self._key(line), LONGEST_LEG_SECONDS)
                await pipeline.execute()
        except (RedisError, OSError) as error:
            raise LineUnavailable(f"Redis cannot be reached: {error!r}") from error
