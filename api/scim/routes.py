"""Where SCIM is served. Its models take a third of the API's start to load, and most installations never ask for them:
they are loaded with the first request, in a thread."""

from __future__ import annotations

import asyncio
import importlib

from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

PREFIX = "/scim/v2"


class _OnDemand:
    def __init__(self) -> None:
        self._endpoint: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._endpoint is None:
            module = await asyncio.to_thread(importlib.import_module, "api.scim.endpoint")
            self._endpoint = module.ScimEndpoint()
        await self._endpoint(scope, receive, send)


def scim_routes() -> list[Route]:
    """The routes."""
    endpoint = _OnDemand()
    return [Route(PREFIX, endpoint), Route(f"{PREFIX}/{{path:path}}", endpoint)]
