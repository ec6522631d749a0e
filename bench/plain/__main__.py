"""Serves it: `python -m bench.plain`, until SIGTERM."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Route
from strawberry.asgi import GraphQL
from tortoise import Tortoise

from bench.plain.schema import Loaders, schema


class App(GraphQL[Any, Any]):
    """With loaders for each request."""

    async def get_context(self, request: Any, response: Any) -> Any:
        """What resolvers get."""
        return {"request": request, "response": response, "loaders": Loaders()}


@asynccontextmanager
async def lifespan(_app: Starlette) -> AsyncIterator[None]:
    """Connected while it serves."""
    parts = urlsplit(os.environ["DATABASE_URL"])
    credentials = {
        "host": parts.hostname,
        "port": parts.port,
        "user": parts.username,
        "password": parts.password,
        "database": parts.path.lstrip("/"),
        "minsize": 1,
        "maxsize": int(os.environ["POOL_SIZE"]),
    }
    await Tortoise.init(
        config={
            "connections": {"default": {"engine": "tortoise.backends.asyncpg", "credentials": credentials}},
            "apps": {"plain": {"models": ["bench.plain.models"], "default_connection": "default"}},
            "use_tz": True,
        },
        _enable_global_fallback=True,
    )
    yield
    await Tortoise.close_connections()


graphql = App(schema, graphql_ide=None)
app = Starlette(routes=[Route("/graphql", graphql, methods=["POST"])], lifespan=lifespan)

if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ["PORT"]), log_level="warning", access_log=False)
