"""HTTP servers of a test's own, in its own process, that are sent things."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


@asynccontextmanager
async def receiving(take: Callable[[Request], Awaitable[Response]]) -> AsyncIterator[str]:
    """The address at which `take` is given each POST, while the context is open."""
    app = Starlette(routes=[Route("/", take, methods=["POST"])])
    config = uvicorn.Config(app, port=0, log_level="error", lifespan="off")
    server = uvicorn.Server(config)
    running = asyncio.ensure_future(server.serve(sockets=[config.bind_socket()]))
    while not server.started:
        await asyncio.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/"
    server.force_exit = server.should_exit = True
    await running
