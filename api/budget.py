"""What a credential may spend over time: one count for all processes, in Redis, over a sliding window.

The window slides over two fixed ones: what was spent in the last counts by the share of it that is still within the
window. It is off by as much as spending within a window is uneven, and takes two numbers a credential. Redis's clock is
the only one. A refused request costs nothing.

While Redis is away nothing is counted and nobody is refused: the bounds of a single request stand.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import structlog
from redis.exceptions import RedisError

from domain.errors import DomainError
from domain.identity import Identity

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from arq.connections import ArqRedis

log = structlog.get_logger(__name__)

WINDOW_SECONDS = 60
SPENDING_AT_ONCE = 16
"""Requests of a process that ask Redis at the same time: each takes a connection, which is kept."""
ANSWER_SECONDS = 1.0
"""A Redis that takes longer to answer is away: requests do not wait for it."""
_PREFIX = "sideline:cost:"

_SPEND = """
local window, cost, limit = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local clock = redis.call('TIME')
local now = tonumber(clock[1]) + tonumber(clock[2]) / 1000000
local index = math.floor(now / window)
local share = 1 - (now / window - index)
local held = redis.call('HMGET', KEYS[1], 'index', 'now', 'before')
local known, current, before = tonumber(held[1] or -2), tonumber(held[2] or 0), tonumber(held[3] or 0)
if known == index - 1 then
    before, current = current, 0
elseif known ~= index then
    before, current = 0, 0
end
local used = before * share + current
local left = share * window
if used + cost > limit then
    local wait = left
    if before > 0 and current + cost <= limit then
        wait = (share - (limit - cost - current) / before) * window
    end
    return {0, math.floor(limit - used), math.ceil(wait)}
end
redis.call('HSET', KEYS[1], 'index', index, 'now', current + cost, 'before', before)
redis.call('EXPIRE', KEYS[1], window * 2)
return {1, math.floor(limit - used - cost), math.ceil(left)}
"""


@dataclass(frozen=True, slots=True)
class Spent:
    """How a budget stands after a request.

    Args:
        limit: What may be spent in `WINDOW_SECONDS`.
        remaining: What is left of it now.
        seconds: When more is there.
    """

    limit: int
    remaining: int
    seconds: int

    def headers(self) -> dict[str, str]:
        """The fields of draft-ietf-httpapi-ratelimit-headers."""
        return {
            "ratelimit-policy": f'"cost";q={self.limit};w={WINDOW_SECONDS}',
            "ratelimit": f'"cost";r={max(self.remaining, 0)};t={self.seconds}',
        }


class BudgetSpent(DomainError):
    """The credential has spent what it may for now.

    Args:
        cost: What the request would have cost.
        spent: How the budget stands.
    """

    code = "RATE_LIMITED"

    def __init__(self, cost: int, spent: Spent) -> None:
        super().__init__(
            f"This would cost {cost}, and {max(spent.remaining, 0)} of {spent.limit} a minute is left: "
            f"try again in {spent.seconds} s, or ask for less."
        )
        self.spent = spent


def _key(viewer: Identity) -> str:
    # A person who signs in by an identity provider has no token of ours.
    return f"{_PREFIX}{{{viewer.token_id or viewer.user_id}}}"


async def spend(redis: ArqRedis, viewer: Identity, cost: int, limit: int) -> Spent | None:
    """Take a request's cost from the credential's budget. None while Redis is away.

    Raises:
        BudgetSpent: it is not there.
    """
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            granted, remaining, seconds = await cast(
                "Awaitable[list[int]]",
                redis.eval(_SPEND, 1, _key(viewer), str(WINDOW_SECONDS), str(cost), str(limit)),
            )
    except (TimeoutError, RedisError, OSError) as error:
        log.warning("budget.not_counted", error=repr(error))
        return None
    spent = Spent(limit, int(remaining), int(seconds))
    if not granted:
        raise BudgetSpent(cost, spent)
    return spent
