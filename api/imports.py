"""`POST /import`: a file of activities, streamed in and taken in by a job."""

from __future__ import annotations

from collections.abc import AsyncIterator

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from api.authentication import authenticate
from api.errors import error_response, request_id_of
from api.queue import hint_job
from domain import access, imports
from domain.errors import DomainError, Invalid
from domain.ids import encode_id
from domain.imports import ImportOptions
from domain.models.people import Permission
from domain.models.tokens import TokenScope
from domain.replica import writing
from domain.uploads import GZIP_MAGIC

_FORMAT_OF_MEDIA_TYPE = {
    "application/x-ndjson": "ndjson",
    "application/ndjson": "ndjson",
    "application/jsonl": "ndjson",
    "text/csv": "csv",
}
_TRUE = {"true": True, "1": True, "false": False, "0": False, "": False}


def _options(request: Request, compressed: bool) -> ImportOptions:
    given = request.query_params
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    name = given.get("format") or _FORMAT_OF_MEDIA_TYPE.get(media_type)
    if name is None:
        raise Invalid("format: give ?format=ndjson or ?format=csv, or the content type of one.", path=("format",))
    dry_run = _TRUE.get(given.get("dryRun", "").lower())
    if dry_run is None:
        raise Invalid("dryRun: true or false.", path=("dryRun",))
    return ImportOptions(given.get("source", ""), name, compressed=compressed, dry_run=dry_run)


async def _pieces(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in rest:
        yield piece


async def _receive(request: Request) -> Response:
    viewer = await authenticate(request)
    access.require_scope(viewer, TokenScope.IMPORT)
    access.require(viewer, Permission.MANAGE_TEAM)
    encoding = request.headers.get("content-encoding", "identity").lower()
    if encoding not in {"identity", "gzip"}:
        raise Invalid("content-encoding: gzip or none.", path=("content-encoding",))
    _options(request, False)  # An option that does not fit is told before a byte is read.
    stream = request.stream()
    head = b""
    async for piece in stream:
        head += piece
        if len(head) >= len(GZIP_MAGIC):
            break
    options = _options(request, encoding == "gzip" or head.startswith(GZIP_MAGIC))
    async with writing(viewer.team_id, viewer.user_id):
        job_id = await imports.receive_upload(viewer.team_id, viewer.user_id, options, _pieces(head, stream))
    await hint_job(request.app.state.queue, job_id)
    return JSONResponse({"job": {"id": encode_id("Job", job_id)}}, status_code=202)


async def import_endpoint(request: Request) -> Response:
    """Keep the upload and answer with the job that takes it in."""
    try:
        return await _receive(request)
    except DomainError as error:
        return error_response(error, request_id_of(request.scope))
    except ClientDisconnect:
        # Nobody is there to read an answer; receive_upload has removed what came.
        return Response(status_code=400)


def import_routes() -> list[Route]:
    """The routes."""
    return [Route("/import", import_endpoint, methods=["POST"])]
