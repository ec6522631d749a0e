"""Spans of HTTP requests and of the fields of the roots; see domain/traces.py for what they may hold."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from opentelemetry import trace
from opentelemetry.trace import Span
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from api.context import Context
from api.gauges import cost_total
from domain.settings import Settings
from domain.traces import tracer

_QUIET = "healthz,readyz"
"""Asked again and again by who watches over the process."""


def traced(settings: Settings) -> list[Middleware]:
    """The middleware that gives requests their spans; none where nothing is recorded."""
    return [] if settings.traces_url is None else [Middleware(_Traced)]


class _Traced:
    """OpenTelemetry's, for requests alone: a WebSocket is open for hours, and its operations have spans of their own.

    Args:
        app: What answers.
    """

    def __init__(self, app: ASGIApp) -> None:
        from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware

        self._plain = app
        self._traced: ASGIApp = OpenTelemetryMiddleware(
            app, excluded_urls=_QUIET, exclude_spans=["receive", "send"], server_request_hook=_without_query
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI application."""
        await (self._traced if scope["type"] == "http" else self._plain)(scope, receive, send)


def _without_query(span: Span, scope: dict[str, Any]) -> None:
    """An address's query may hold a document, its variables, or the code of a sign-in."""
    if span.is_recording():
        span.set_attributes({"http.url": scope["path"], "http.target": scope["path"]})


def tell_operation(context: Context, name: str | None, cost: int) -> None:
    """Count an operation's cost, and say on the request's span what it asks for."""
    cost_total.inc(cost)
    span = trace.get_current_span()
    if span.is_recording():
        span.set_attributes(
            {
                "graphql.operation.name": name or "",
                "sideline.cost": cost,
                "sideline.team": str(context.viewer.team_id),
                "sideline.request": context.request_id,
            }
        )


async def spanned(work: Awaitable[Any], span: Span) -> Any:
    """Await a field of a root within its span."""
    with trace.use_span(span, end_on_exit=True):
        return await work


def root_span(name: str) -> Span:
    """Begin the span of a field of a root."""
    return tracer.start_span(name)
