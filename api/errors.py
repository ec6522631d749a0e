"""The one place where errors become answers: each with a code, none with internals."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, TypeVar

import asyncpg
import orjson
import structlog
from graphql import GraphQLError
from redis.exceptions import RedisError
from starlette.responses import Response

from domain.database import CONNECTION_ERRORS
from domain.errors import Conflict, DomainError, Forbidden, Invalid, NotFound, TooSlow, Unauthenticated, Unavailable

log = structlog.get_logger(__name__)

Event = TypeVar("Event")

UNREACHABLE = (TimeoutError, OSError, RedisError, *CONNECTION_ERRORS)
"""What is raised while PostgreSQL or Redis is away."""

GRAPHQL_MEDIA_TYPE = "application/graphql-response+json"
_STATUS: dict[type[DomainError], int] = {
    Unauthenticated: 401,
    Forbidden: 403,
    NotFound: 404,
    Conflict: 409,
    Invalid: 400,
    Unavailable: 503,
}


def _extensions(error: DomainError) -> dict[str, Any]:
    extensions: dict[str, Any] = {"code": error.code}
    if error.path:
        extensions["input"] = list(error.path)
    if isinstance(error, Forbidden):
        extensions["permission"] = error.permission
    if (cursor := getattr(error, "cursor", None)) is not None:
        extensions["cursor"] = cursor
    return extensions


def error_response(error: DomainError, *, media_type: str = "application/json") -> Response:
    """An HTTP answer in the shape of a GraphQL one, so that a client reads errors in one way."""
    body = orjson.dumps({"errors": [{"message": error.message, "extensions": _extensions(error)}]})
    headers = {"cache-control": "no-store"}
    if isinstance(error, Unauthenticated):
        headers["www-authenticate"] = 'Bearer realm="sideline"'
    return Response(body, status_code=_STATUS.get(type(error), 500), media_type=media_type, headers=headers)


async def guarded(stream: AsyncIterator[Event], request_id: str) -> AsyncGenerator[Event, None]:
    """A subscription's events; what ends them early leaves as an error of ours.

    graphql-core tells an error of a stream past every extension, so that it must be made here.
    """
    try:
        async for event in stream:
            yield event
    except UNREACHABLE:
        # The connection ends, so that its client comes again and goes on.
        raise
    except Exception as error:
        raise to_graphql_error(GraphQLError(str(error), original_error=error), request_id) from error


def to_graphql_error(error: GraphQLError, request_id: str) -> GraphQLError:
    """The error as the client may see it."""
    original = error.original_error
    extensions = dict(error.extensions or {})
    message = error.message
    if isinstance(original, DomainError):
        message = original.message
        extensions = _extensions(original)
    elif isinstance(original, asyncpg.QueryCanceledError):
        log.warning("request.statement_too_slow", request_id=request_id, path=error.path)
        message = "The database took too long and was stopped: ask for less at once."
        extensions = {"code": TooSlow.code}
    elif isinstance(original, UNREACHABLE):
        log.warning("request.unreachable", request_id=request_id, path=error.path, error=repr(original))
        message = "A service that the answer needs cannot be reached now; try again in a moment."
        extensions = {"code": Unavailable.code}
    elif original is None or isinstance(original, GraphQLError):
        extensions.setdefault("code", "GRAPHQL_VALIDATION_FAILED" if error.path is None else "BAD_USER_INPUT")
    elif "code" not in extensions:
        log.error("request.failed", request_id=request_id, path=error.path, exc_info=original)
        message = "Something went wrong on our side; try again, and give support the request id."
        extensions = {"code": "INTERNAL"}
    extensions["requestId"] = request_id
    log.info("request.refused", request_id=request_id, code=extensions["code"], path=error.path)
    return GraphQLError(message, error.nodes, error.source, error.positions, error.path, extensions=extensions)
