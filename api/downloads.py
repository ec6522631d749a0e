"""`GET /exports/{id}`: a file that a job has made, whole or by range, for whoever asked for it.

It is a gzip file, and ranges are of its bytes: a download that broke off goes on with `Range`, and with the file's
`ETag` as `If-Range` is sure to go on with the same file. The reader's rights are looked at before each piece.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime

import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from api.exports import Reader, hand_on, told, while_connected
from domain.database import acquire
from domain.exports import files
from domain.exports.formats import extension_of
from domain.ids import decode_id, encode_id
from domain.models import Export

log = structlog.get_logger(__name__)

BYTES_A_COST = 100
"""A byte of a file is not worked at: so many cost what a field costs."""
_RANGE = re.compile(r"bytes=(\d*)-(\d*)", re.ASCII)
_MEDIA_TYPE = "application/gzip"


def range_asked(header: str | None, size: int) -> tuple[int, int] | None:
    """The first byte and the byte after the last of a range; None for the whole file, as for ranges in a form that is
    not understood (RFC 9110, 14.2).

    Raises:
        ValueError: there is nothing in the range.
    """
    found = None if header is None else _RANGE.fullmatch(header.strip())
    if found is None or found.group(1) == found.group(2) == "":
        return None
    first, last = found.groups()
    if not first:
        start, end = max(size - int(last), 0), size
    else:
        start, end = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < int(first):
            return None
    if start >= size or end <= start:
        raise ValueError("nothing in the range")
    return start, end


class Download(Response):
    """A file, or a part of it, out of its pieces; the reader's rights are looked at again before each.

    Args:
        reader: Whoever downloads.
        export: The file.
        start: The first byte.
        end: The byte after the last.
        carried: What ends the carrying of it.
        headers: Of the answer.
        partial: Whether a range was asked for.
        body: Whether the bytes themselves are wanted.
    """

    def __init__(
        self,
        reader: Reader,
        export: Export,
        start: int,
        end: int,
        carried: contextlib.ExitStack,
        headers: Mapping[str, str],
        *,
        partial: bool,
        body: bool,
    ) -> None:
        self._reader = reader
        self._export = export
        self._start = start
        self._end = end
        self._carried = carried
        self._body = body
        self.status_code = 206 if partial else 200
        self.background = None
        self.media_type = None
        span = {"content-range": f"bytes {start}-{end - 1}/{export.size}"} if partial else {}
        self.init_headers({**headers, **span, "content-length": str(end - start)})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI application."""
        with self._carried:
            await while_connected(receive, self._run(send))

    async def _run(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        place = self._start
        try:
            while self._body and place < self._end:
                viewer = await self._reader.viewer()
                async with acquire(viewer.team_id) as connection:
                    export = await files.open_file(connection, viewer, self._export.id, datetime.now(UTC))
                    data = await files.read_from(connection, export, place)
                data = data[: self._end - place]
                place += len(data)
                await hand_on(send, data)
        except Exception as error:
            # Shorter than its length says: the server closes the connection.
            log.info("download.broke_off", request_id=self._reader.request_id, at=place, error=repr(error))
            return
        await hand_on(send, b"", last=True)


async def download_endpoint(request: Request) -> Response:
    """Answer with a file that a job has made."""

    async def answer(reader: Reader) -> Response:
        viewer = await reader.viewer()
        export_id = decode_id(request.path_params["export"], "Export", path=("exportId",))
        async with acquire(viewer.team_id) as connection:
            export = await files.open_file(connection, viewer, export_id, datetime.now(UTC))
        tag = f'"{export.id.hex}"'
        wanted = request.headers.get("range")
        if (condition := request.headers.get("if-range")) is not None and condition.strip() != tag:
            wanted = None
        try:
            span = range_asked(wanted, export.size)
        except ValueError:
            return Response(
                status_code=416, headers={"content-range": f"bytes */{export.size}", "x-request-id": reader.request_id}
            )
        start, end = span or (0, export.size)
        spent = await reader.pay(viewer, (end - start) // BYTES_A_COST + 1)
        with contextlib.ExitStack() as carried:
            carried.enter_context(request.app.state.exports.one(viewer.user_id))
            headers = {
                "accept-ranges": "bytes",
                "cache-control": "no-store",
                "content-disposition": f'attachment; filename="{file_name(export)}"',
                "content-type": _MEDIA_TYPE,
                "etag": tag,
                "x-request-id": reader.request_id,
                **({} if spent is None else spent.headers()),
            }
            return Download(
                reader,
                export,
                start,
                end,
                carried.pop_all(),
                headers,
                partial=span is not None,
                body=request.method != "HEAD",
            )

    return await told(request, answer)


def file_name(export: Export) -> str:
    """What a file is called."""
    return f"{export.connection}-{export.created_at:%Y-%m-%d}.{extension_of(export.format)}.gz"


def path_of(export: Export) -> str:
    """Where a file is downloaded."""
    return f"/exports/{encode_id('Export', export.id)}"


def download_routes() -> list[Route]:
    """The routes."""
    return [Route("/exports/{export}", download_endpoint, methods=["GET"])]
