"""What the API counts for Prometheus: requests by route, operations by what became of them, open streams."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from prometheus_client import Counter, Gauge, Histogram
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from domain.gauges import SECONDS

_requests = Histogram(
    "sideline_http_request_seconds",
    "HTTP requests by route, from head to end.",
    ["method", "route", "status"],
    buckets=SECONDS,
)
_operations = Counter(
    "sideline_graphql_operations_total", "GraphQL operations by their first error's code.", ["outcome"]
)
cost_total = Counter("sideline_graphql_cost_total", "What GraphQL operations cost together, as api/limits.py counts.")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
streams_open = Gauge("sideline_streams_open", "Subscriptions that are open.")
operations_waiting = Gauge("sideline_operations_waiting", "Operations that wait for their person's turn.")


class Counted:
    """Counts HTTP requests and measures them.

    Args:
        app: What answers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI application."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        status = "aborted"

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            # A stranger's words are no labels: there would be no end of them.
            method = scope["method"] if scope["method"] in _METHODS else "other"
            _requests.labels(method, _route(scope), status).observe(time.perf_counter() - began)


def _route(scope: Scope) -> str:
    route = scope.get("route")
    return route.path if isinstance(route, Route | Mount) else "none"


def count_operation(answer: Any) -> None:
    """Count an operation by its answer's first error."""
    errors = answer.get("errors") if isinstance(answer, Mapping) else None
    _operations.labels(errors[0].get("extensions", {}).get("code", "INTERNAL") if errors else "OK").inc()
