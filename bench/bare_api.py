"""The floor of a start: Starlette, one GraphQL field, a pool of connections: `python -m bench.bare_api`."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import strawberry
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from strawberry.asgi import GraphQL


@strawberry.type
class Query:
    """What can be asked."""

    @strawberry.field
    def hello(self) -> str:
        """A word."""
        return "hello"


async def ready(request: Request) -> PlainTextResponse:
    """Whether the database answers."""
    await request.app.state.pool.fetchval("SELECT 1")
    return PlainTextResponse("ready")


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    """Connected while it serves."""
    async with asyncpg.create_pool(os.environ["SIDELINE_DATABASE_URL"], min_size=1) as pool:
        app.state.pool = pool
        yield


graphql = GraphQL[object, object](strawberry.Schema(Query), graphql_ide=None)
app = Starlette(
    routes=[Route("/graphql", graphql, methods=["POST"]), Route("/readyz", ready, methods=["GET"])], lifespan=lifespan
)

if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ["PORT"]), log_level="warning", access_log=False)
