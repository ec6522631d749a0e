"""`GET /snapshots/{id}.csv` and `.png`: the files of a snapshot, for who may see everybody in it at that moment."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api.authentication import authenticate
from api.errors import error_response, request_id_of
from domain import access, snapshots
from domain.access_actions import see_snapshots
from domain.database import acquire
from domain.errors import DomainError, Forbidden
from domain.ids import decode_id
from domain.models.tokens import TokenScope


async def _download(request: Request, request_id: str) -> Response:
    viewer = await authenticate(request)
    access.require_scope(viewer, TokenScope.READ)
    if viewer.trusted_documents_only:
        raise Forbidden("This credential takes trusted documents alone.", permission="trustedDocumentsOnly")
    snapshot_id = decode_id(request.path_params["snapshot"], "ReportSnapshot", path=("snapshot",))
    async with acquire(viewer.team_id) as connection:
        sight = await see_snapshots(connection, viewer)
        found = await snapshots.read_file(connection, sight, snapshot_id, request.path_params["kind"])
    return Response(
        found.content,
        media_type=found.media_type,
        headers={
            "cache-control": "no-store",
            "content-disposition": f'attachment; filename="{found.name}"',
            "x-content-type-options": "nosniff",
            "x-request-id": request_id,
        },
    )


async def snapshot_endpoint(request: Request) -> Response:
    """Answer with the file."""
    request_id = request_id_of(request.scope)
    try:
        return await _download(request, request_id)
    except DomainError as error:
        return error_response(error, request_id)


def snapshot_routes() -> list[Route]:
    """The routes."""
    return [Route("/snapshots/{snapshot}.{kind}", snapshot_endpoint, methods=["GET"])]
