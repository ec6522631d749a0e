"""What listens to Redis for as long as the process lives ends when it is told to, at whatever moment that is.

A library that bounds its waiting by `asyncio.wait_for` loses a cancellation now and then, before Python 3.12.
"""

from __future__ import annotations

import asyncio

from api.hub import Hub
from api.live_feed import LiveFeed


async def test_listeners_end(redis_url: str) -> None:
    for number in range(300):
        hub, feed = Hub(redis_url, streams_per_user=1), LiveFeed(redis_url)
        await hub.start()
        await feed.start()
        # From before the first byte until all of it is connected, subscribed and waiting.
        await asyncio.sleep(number % 30 / 10_000)
        async with asyncio.timeout(3):
            await feed.stop()
            await hub.stop()
