"""The Starlette application: routes, and what lives as long as the process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import structlog
from arq.connections import ArqRedis
from redis.exceptions import RedisError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles

from api.authentication import identities
from api.budget import SPENDING_AT_ONCE
from api.collector import Collector
from api.connections import Watchman
from api.downloads import download_routes
from api.errors import http_refusal
from api.exports import Carried, export_routes
from api.gauges import Counted
from api.graphql import PAGE_FOLDER, GraphQLEndpoint
from api.hub import Hub
from api.imports import import_routes
from api.limits import Limits
from api.live_calls import live_call_routes
from api.live_feed import LiveFeed
from api.middleware import ErrorBoundary, PatientBodies
from api.oauth import oauth_routes
from api.oidc import OidcIssuer
from api.people import people_routes
from api.scim.routes import scim_routes
from api.sessions import session_routes
from api.snapshots import snapshot_routes
from api.traces import traced
from api.turns import LIGHT_COST, Turns
from api.websockets import Lobby
from domain import bodies, database
from domain.courier import open_redis
from domain.gauges import watched
from domain.logs import configure_log
from domain.replica import Replica
from domain.settings import Settings, load_settings
from domain.traces import start_traces

log = structlog.get_logger(__name__)

READY_SECONDS = 3.0
"""How long each of PostgreSQL and Redis gets to answer whether this process is ready."""


async def healthz(_request: Request) -> Response:
    """Alive: the process answers."""
    return JSONResponse({"status": "alive"})


async def readyz(request: Request) -> Response:
    """Ready: PostgreSQL gives connections and has the tables of this version, Redis answers, the process stays."""
    missing = ["stopping"] if request.app.state.leaving.is_set() else []
    mend = {}
    try:
        async with asyncio.timeout(READY_SECONDS):
            if not await database.is_migrated():
                missing.append("migrations")
                mend = {"mend": database.MIGRATE}
    except Exception as error:
        # Whatever keeps PostgreSQL from answering, the one answer is: not ready.
        log.warning("readyz.database", error=repr(error))
        missing.append("database")
    try:
        async with asyncio.timeout(READY_SECONDS):
            await request.app.state.queue.ping()
    except (TimeoutError, RedisError, OSError) as error:
        log.warning("readyz.redis", error=repr(error))
        missing.append("redis")
    if missing:
        return JSONResponse({"status": "not ready", "missing": missing, **mend}, status_code=503)
    return JSONResponse({"status": "ready"})


async def _home(_request: Request) -> Response:
    return RedirectResponse("/graphql")


def create_app(settings: Settings) -> Starlette:
    """The application for some settings.

    Raises:
        Invalid: the database's or Redis's address is missing; raised when the application starts.
    """

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Any]]:
        end_traces = start_traces(settings, "sideline-api")
        await database.connect(
            settings.require_database_url(),
            pool_size=settings.database_pool_size,
            statement_seconds=settings.request_seconds,
            replica_url=settings.replica_url,
        )
        app.state.queue = open_redis(settings.require_redis_url(), ArqRedis)
        app.state.spending = asyncio.Semaphore(SPENDING_AT_ONCE)
        app.state.identities = identities()
        app.state.secret_box = settings.secret_box()
        bodies.use_keys(app.state.secret_box)
        app.state.hub = Hub(settings.require_redis_url(), streams_per_user=settings.streams_per_user)
        app.state.live_feed = LiveFeed(settings.require_redis_url())
        app.state.watchman = Watchman()
        app.state.oidc = OidcIssuer.from_settings(settings)
        app.state.collector = Collector()
        app.state.collector.start()
        await app.state.hub.start()
        await app.state.live_feed.start()
        await app.state.watchman.start()
        try:
            async with watched(settings):
                yield {"hub": app.state.hub, "leaving": app.state.leaving}
        finally:
            await app.state.watchman.stop()
            await app.state.live_feed.stop()
            await app.state.hub.stop()
            app.state.collector.stop()
            if app.state.oidc is not None:
                await app.state.oidc.close()
            await app.state.queue.aclose()
            await database.disconnect()
            end_traces()

    endpoint = GraphQLEndpoint()
    app = Starlette(
        routes=[
            Route("/", _home),
            Route("/healthz", healthz),
            Route("/readyz", readyz),
            *session_routes,
            *import_routes(),
            *people_routes(),
            *snapshot_routes(),
            *live_call_routes(),
            *export_routes(),
            *download_routes(),
            *scim_routes(),
            *oauth_routes,
            *(
                [Mount("/graphql/static", StaticFiles(directory=PAGE_FOLDER, check_dir=False))]
                if settings.graphiql
                else []
            ),
            Route("/graphql", endpoint, methods=["GET", "POST"]),
            WebSocketRoute("/graphql", endpoint),
        ],
        middleware=[
            *traced(settings),
            Middleware(Counted),
            Middleware(ErrorBoundary),
            Middleware(PatientBodies),
        ],
        exception_handlers={HTTPException: http_refusal},
        lifespan=lifespan,
    )
    app.state.settings = settings
    app.state.limits = Limits.of(settings)
    app.state.turns = Turns(settings.operations_at_once, LIGHT_COST)
    app.state.checking = Turns(1, LIGHT_COST)
    app.state.showing = Turns(1, LIGHT_COST, longest_line=None)
    app.state.lobby = Lobby()
    app.state.leaving = asyncio.Event()
    app.state.exports = Carried()
    app.state.replica = Replica()
    return app


def app_from_environment() -> Starlette:
    """For `uvicorn api.app:app_from_environment --factory`."""
    settings = load_settings()
    configure_log(settings)
    return create_app(settings)
