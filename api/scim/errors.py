"""Errors in SCIM's own shape (RFC 7644, section 3.12)."""

from __future__ import annotations

import asyncpg
import orjson
import structlog
from pydantic import ValidationError
from scim2_models import Error, SCIMException
from starlette.responses import Response

from api.budget import BudgetSpent
from api.errors import UNREACHABLE
from api.turns import RETRY_SECONDS, TooManyAtOnce
from domain.errors import Conflict, DomainError, Forbidden, Invalid, NotFound, TooSlow, Unauthenticated, Unavailable

log = structlog.get_logger(__name__)

MEDIA_TYPE = "application/scim+json"
ERROR_SCHEMA = "urn:ietf:params:scim:api:messages:2.0:Error"

_STATUS = {
    Unauthenticated.code: 401,
    Forbidden.code: 403,
    NotFound.code: 404,
    Conflict.code: 409,
    Invalid.code: 400,
    BudgetSpent.code: 429,
    TooSlow.code: 503,
    Unavailable.code: 503,
}
_UNIQUE = frozenset({"userName", "externalId", "emails", "email"})
_OF_INPUT = {"filter": "invalidFilter", "sortBy": "invalidPath"}


class Refusal(Exception):
    """An answer that only this protocol knows.

    Args:
        status: The HTTP status.
        detail: What is wrong and how to mend it.
        scim_type: The protocol's keyword for it, where it has one.
        headers: That come along.
    """

    def __init__(
        self, status: int, detail: str, scim_type: str | None = None, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.scim_type = scim_type
        self.headers = headers or {}


def error_response(error: Exception, request_id: str) -> Response:
    """The answer to what went wrong."""
    refusal = _refusal(error, request_id)
    body = {"schemas": [ERROR_SCHEMA], "status": str(refusal.status), "detail": refusal.detail}
    if refusal.scim_type is not None:
        body["scimType"] = refusal.scim_type
    log.info("scim.refused", request_id=request_id, status=refusal.status, scim_type=refusal.scim_type)
    return Response(
        orjson.dumps(body), refusal.status, {"cache-control": "no-store", **refusal.headers}, media_type=MEDIA_TYPE
    )


def _refusal(error: Exception, request_id: str) -> Refusal:
    if isinstance(error, Refusal):
        return error
    if isinstance(error, DomainError) and error.code in _STATUS:
        return _of_domain(error)
    if isinstance(error, SCIMException) and isinstance(error.__cause__, ValidationError):
        # Its own detail is a library's text.
        error = error.__cause__
    if isinstance(error, SCIMException):
        return Refusal(error.status, error.detail, error.scim_type)
    if isinstance(error, ValidationError):
        told = Error.from_validation_errors(error)[0]
        return Refusal(told.status or 400, told.detail or "The body does not fit.", told.scim_type)
    if isinstance(error, asyncpg.QueryCanceledError):
        log.warning("scim.statement_too_slow", request_id=request_id)
        return Refusal(503, "The database took too long and was stopped: ask for less at once.")
    if isinstance(error, UNREACHABLE):
        log.warning("scim.unreachable", request_id=request_id, error=repr(error))
        return Refusal(503, "A service that the answer needs cannot be reached now; try again in a moment.")
    log.error("scim.failed", request_id=request_id, exc_info=error)
    return Refusal(500, f"Something went wrong on our side; try again, and give support the request id {request_id}.")


def _of_domain(error: DomainError) -> Refusal:
    scim_type, headers = None, {}
    if isinstance(error, Invalid):
        scim_type = _OF_INPUT.get(error.path[0] if error.path else "", "invalidValue")
    elif isinstance(error, Conflict) and error.path and error.path[-1] in _UNIQUE:
        scim_type = "uniqueness"
    elif isinstance(error, Unauthenticated):
        headers["www-authenticate"] = 'Bearer realm="sideline"'
    elif isinstance(error, BudgetSpent):
        headers |= {**error.spent.headers(), "retry-after": str(error.spent.seconds)}
    elif isinstance(error, TooManyAtOnce):
        headers["retry-after"] = str(RETRY_SECONDS)
    return Refusal(_STATUS[error.code], error.message, scim_type, headers)
