"""`GET /people/{id}/export` and `GET /people/me/export`: all data of a person, streamed as newline-delimited JSON."""

from __future__ import annotations

from dataclasses import replace

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from api.authentication import authenticate
from api.budget import BudgetSpent, spend
from api.errors import error_response, request_id_of
from domain import access, personal_data
from domain.errors import DomainError
from domain.ids import decode_id
from domain.models.tokens import TokenScope
from domain.settings import Settings

EXPORT_COST = 1_000_000
"""What an export takes from its credential's budget, or all of a smaller one."""
ONESELF = "me"


async def _export(request: Request, request_id: str) -> Response:
    viewer = await authenticate(request)
    access.require_scope(viewer, TokenScope.READ)
    person = request.path_params["person"]
    user_id = viewer.user_id if person == ONESELF else decode_id(person, "User", path=("person",))
    access.require_personal_export(viewer, user_id)
    settings: Settings = request.app.state.settings
    limit = viewer.cost_per_minute or settings.cost_per_minute
    spent = await spend(request.app.state.queue, viewer, min(EXPORT_COST, limit), limit)
    address = request.client.host if request.client else None
    export = await personal_data.begin_export(replace(viewer, address=address, request_id=request_id), user_id)
    return StreamingResponse(
        export.lines(),
        media_type="application/x-ndjson",
        headers={
            "cache-control": "no-store",
            "content-disposition": f'attachment; filename="person-{user_id.hex}.ndjson"',
            "x-request-id": request_id,
            **({} if spent is None else spent.headers()),
        },
    )


async def export_endpoint(request: Request) -> Response:
    """Answer with the export; what goes wrong before its first byte is told, after it the last line is missing."""
    request_id = request_id_of(request.scope)
    try:
        return await _export(request, request_id)
    except BudgetSpent as error:
        response = error_response(error, request_id)
        response.status_code = 429
        response.headers.update(error.spent.headers())
        response.headers["retry-after"] = str(error.spent.seconds)
        return response
    except DomainError as error:
        return error_response(error, request_id)


def people_routes() -> list[Route]:
    """The routes."""
    return [Route("/people/{person}/export", export_endpoint, methods=["GET"])]
