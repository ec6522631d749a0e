"""The one place where errors become GraphQL errors: each with a code, none with internals."""

from __future__ import annotations

import structlog
from graphql import GraphQLError

from domain.errors import DomainError, Forbidden

log = structlog.get_logger(__name__)


def to_graphql_error(error: GraphQLError, request_id: str) -> GraphQLError:
    """The error as the client may see it."""
    original = error.original_error
    extensions = dict(error.extensions or {})
    message = error.message
    if isinstance(original, DomainError):
        message = original.message
        extensions["code"] = original.code
        if original.path:
            extensions["input"] = list(original.path)
        if isinstance(original, Forbidden):
            extensions["permission"] = original.permission
    elif original is None or isinstance(original, GraphQLError):
        extensions.setdefault("code", "GRAPHQL_VALIDATION_FAILED" if error.path is None else "BAD_USER_INPUT")
    elif "code" not in extensions:
        log.error("request.failed", request_id=request_id, path=error.path, exc_info=original)
        message = "Something went wrong on our side; try again, and give support the request id."
        extensions = {"code": "INTERNAL"}
    extensions["requestId"] = request_id
    return GraphQLError(message, error.nodes, error.source, error.positions, error.path, extensions=extensions)
