"""The floor of the fan-out: Redis stream in, WebSockets out, nothing between: `python -m bench.bare_relay`."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from bench.fanout import BARE_STREAM

TEAMS = int(os.environ["BENCH_TEAMS"])
SUBSCRIBERS = int(os.environ["BENCH_SUBSCRIBERS"])
subscribers: list[set[WebSocket]] = [set() for _ in range(TEAMS)]
joined = 0


async def subscribe(websocket: WebSocket) -> None:
    """A subscriber of the next team."""
    global joined
    await websocket.accept(subprotocol="graphql-transport-ws")
    # The client connects team by team.
    team = joined * TEAMS // SUBSCRIBERS % TEAMS
    joined += 1
    subscribers[team].add(websocket)
    try:
        await websocket.receive()
    finally:
        subscribers[team].discard(websocket)


async def send(websocket: WebSocket, text: str) -> None:
    """One event to one subscriber."""
    try:
        await websocket.send_text(text)
    except (WebSocketDisconnect, RuntimeError):
        return


async def relay() -> None:
    """From the stream to the sockets."""
    redis = Redis.from_url(os.environ["SIDELINE_REDIS_URL"])
    position: object = "$"
    while True:
        for _stream, entries in await redis.xread({BARE_STREAM: position}, count=500, block=5_000):
            for position, values in entries:  # noqa: B007
                text = values[b"event"].decode()
                for websocket in list(subscribers[int(values[b"team"])]):
                    await send(websocket, text)


@asynccontextmanager
async def lifespan(_app: Starlette) -> AsyncIterator[None]:
    """Relay while it serves."""
    relaying = asyncio.ensure_future(relay())
    yield
    relaying.cancel()


app = Starlette(routes=[WebSocketRoute("/graphql", subscribe)], lifespan=lifespan)

if __name__ == "__main__":
    uvicorn.run(
        app,
        port=int(os.environ["BENCH_BARE_PORT"]),
        log_level="warning",
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=1,
    )
