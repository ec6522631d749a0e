"""`python -m tests.running.measured`: the API as it is served, which tells what it holds, and whose patience is short.

Everything else is as in `python -m api`: a test that waits for the real times would take minutes.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

import api.connections
import api.middleware
import api.server
import api.websockets
from api.app import app_from_environment
from domain.settings import load_settings

api.server.SILENT_SECONDS = 1.0
api.server.STALLED_SECONDS = 1.0
api.server.CLOSE_SECONDS = 0.3
api.server.TICKS_BETWEEN_LOOKS = 2
api.middleware.BODY_SECONDS = 1.0
api.middleware.SLOWEST_BYTES_PER_SECOND = 10**9
api.websockets.INIT_SECONDS = 2.0
api.websockets.SEND_SECONDS = 1.0
api.websockets.LOBBY_LIMIT = 500
api.connections.WATCH_SECONDS = 0.5


async def measured(request: Request) -> Response:
    """What the process holds at this moment."""
    state = request.app.state
    return JSONResponse(
        {
            "descriptors": len(list(Path("/proc/self/fd").iterdir())),
            "tasks": len(asyncio.all_tasks()),
            "streams": sum(state.hub._streams.values()),
            "logs": len(state.hub._logs),
            "connections": len(state.watchman._open),
            "lobby": len(state.lobby._waiting),
            "lines": len(state.turns._lines) + len(state.checking._lines),
            "resident": int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"),
        }
    )


def app() -> Starlette:
    """The application with one address more."""
    found = app_from_environment()
    found.router.routes.append(Route("/measured", measured))
    return found


if __name__ == "__main__":
    api.server.serve(load_settings(), app="tests.running.measured:app")
