"""The one place where errors become answers: each with a code, none with internals."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, MutableMapping
from typing import Any, TypeVar
from uuid import uuid4

import asyncpg
import orjson
import structlog
from graphql import GraphQLError
from redis.exceptions import RedisError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from api.reading import BodyTooSlow
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
    TooSlow: 503,
    BodyTooSlow: 408,
}
_CODE_OF_STATUS = {404: NotFound.code, 405: "METHOD_NOT_ALLOWED"}
LONGEST_MESSAGE = 1_000
"""Characters. graphql-core repeats what it was sent in what it says of it."""


def _extensions(error: DomainError) -> dict[str, Any]:
    extensions: dict[str, Any] = {"code": error.code}
    if error.path:
        extensions["input"] = list(error.path)
    if isinstance(error, Forbidden):
        extensions["permission"] = error.permission
    if (cursor := getattr(error, "cursor", None)) is not None:
        extensions["cursor"] = cursor
    return extensions


def _status_of(error: Exception) -> int | None:
    return next((status for kind, status in _STATUS.items() if isinstance(error, kind)), None)


def request_id_of(scope: MutableMapping[str, Any]) -> str:
    """The id of a request, made when it is first asked for."""
    found: str = scope.setdefault("sideline.request_id", uuid4().hex)
    return found


def refusal_response(
    status: int,
    message: str,
    extensions: MutableMapping[str, Any],
    request_id: str,
    *,
    media_type: str = "application/json",
) -> Response:
    """An HTTP answer in the shape of a GraphQL one, so that a client reads errors in one way."""
    log.info("request.refused", request_id=request_id, code=extensions["code"])
    told = {"message": message, "extensions": {**extensions, "requestId": request_id}}
    headers = {"cache-control": "no-store", "x-request-id": request_id}
    if status == _STATUS[BodyTooSlow]:
        headers["connection"] = "close"
    return Response(orjson.dumps({"errors": [told]}), status_code=status, media_type=media_type, headers=headers)


def error_response(
    error: DomainError, request_id: str | None = None, *, media_type: str = "application/json"
) -> Response:
    """The answer to a request that a rule refused."""
    status = _status_of(error) or 500
    response = refusal_response(
        status, error.message, _extensions(error), request_id or uuid4().hex, media_type=media_type
    )
    if isinstance(error, Unauthenticated):
        response.headers["www-authenticate"] = 'Bearer realm="sideline"'
    return response


def failure_response(error: Exception, request_id: str) -> Response:
    """The answer to a request that failed, whatever it failed of."""
    told = to_graphql_error(GraphQLError(str(error), original_error=error), request_id)
    extensions = dict(told.extensions or {})
    status = _status_of(error) or (503 if extensions["code"] in (Unavailable.code, TooSlow.code) else 500)
    return refusal_response(status, told.message, extensions, request_id)


async def http_refusal(request: Request, error: Exception) -> Response:
    """The answer where there is no such address or method; a handler of Starlette's."""
    assert isinstance(error, HTTPException), "it is registered for nothing else"
    code = _CODE_OF_STATUS.get(error.status_code, "BAD_REQUEST")
    response = refusal_response(error.status_code, error.detail, {"code": code}, request_id_of(request.scope))
    response.headers.update(error.headers or {})
    return response


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
    if len(message) > LONGEST_MESSAGE:
        message = message[:LONGEST_MESSAGE] + "…"
    log.info("request.refused", request_id=request_id, code=extensions["code"], path=error.path)
    return GraphQLError(message, error.nodes, error.source, error.positions, error.path, extensions=extensions)
