"""`GET` and `POST /export/{connection}`: a connection as CSV or NDJSON, streamed.

What is wrong before the first byte is answered as any other request. After it, the end of the message tells: a file is
whole if and only if its message ends as HTTP has it. An export that cannot go on ends the connection without that, and
NDJSON says why in a last line, an object whose one field is `error`; a CSV file has no room for that. There is no
trailer (few clients read one) and no line that says "done" (it would be a row that is none).

An export takes its turn among the person's operations page by page, and pays for the rows of each page; when the
credential has spent what it may, it waits for more rather than break off. Who does not read is waited for, up to a
bound, with nothing held but one page; who goes away ends the statement that is running.
"""

from __future__ import annotations

import asyncio
import contextlib
import zlib
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
import structlog
from graphql import GraphQLError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from api.authentication import authenticate
from api.budget import BudgetSpent, Spent, spend
from api.errors import error_response, request_id_of, to_graphql_error
from api.reading import decode_object
from api.turns import LIGHT_COST, RETRY_SECONDS, TooManyAtOnce, Turns
from domain import access
from domain.errors import DomainError, Invalid, TooSlow
from domain.exports.formats import extension_of, media_type_of
from domain.exports.reading import LONGEST_ARGUMENTS, SLICE_ROWS, Order, Piece, order_of, pieces
from domain.identity import Identity
from domain.models.tokens import TokenScope
from domain.settings import Settings

log = structlog.get_logger(__name__)

EXPORTS_AT_ONCE = 4
"""Exports and downloads of one person that an API process carries at the same time."""
UNREAD_SECONDS = 60.0
"""How long a piece may wait for who does not read it."""
LONGEST_WAIT_SECONDS = 5.0
"""For more of a budget, before it is looked at again."""
GZIP_LEVEL = 1


class TooManyExports(DomainError):
    """The person has as many exports under way here as are carried at once."""

    code = "RATE_LIMITED"


class NotRead(Exception):
    """Nobody has read what was sent for too long."""


class Carried:
    """How many exports of each person this process carries."""

    def __init__(self) -> None:
        self._count: Counter[UUID] = Counter()

    @contextmanager
    def one(self, user_id: UUID) -> Iterator[None]:
        """Carry one more.

        Raises:
            TooManyExports: there are too many.
        """
        if self._count[user_id] >= EXPORTS_AT_ONCE:
            raise TooManyExports(f"{EXPORTS_AT_ONCE} exports of yours are under way here: let one end first.")
        self._count[user_id] += 1
        try:
            yield
        finally:
            self._count[user_id] -= 1
            if not self._count[user_id]:
                del self._count[user_id]


class Reader:
    """Whoever exports: looked at anew each time.

    Args:
        request: What they sent.
    """

    def __init__(self, request: Request) -> None:
        self._request = request
        self.request_id = request_id_of(request.scope)
        self.settings: Settings = request.app.state.settings
        self.turns: Turns = request.app.state.turns
        self.seen: Identity | None = None

    async def viewer(self) -> Identity:
        """Who they are now.

        Raises:
            Unauthenticated: the credential has ended.
            Forbidden: the token is not made for reading.
        """
        found = await authenticate(self._request)
        access.require_scope(found, TokenScope.READ)
        address = self._request.client.host if self._request.client else None
        self.seen = replace(found, address=address, request_id=self.request_id)
        return self.seen

    async def pay(self, viewer: Identity, cost: int) -> Spent | None:
        """Take a cost, or all of a smaller budget, from the credential's.

        Raises:
            BudgetSpent: it is not there.
        """
        limit = viewer.cost_per_minute or self.settings.cost_per_minute
        return await spend(self._request.app.state.queue, viewer, min(cost, limit), limit)

    async def pay_in_time(self, viewer: Identity, cost: int) -> None:
        """The same, as soon as it is there."""
        while True:
            try:
                await self.pay(viewer, cost)
            except BudgetSpent as error:
                await asyncio.sleep(min(max(error.spent.seconds, 1), LONGEST_WAIT_SECONDS))
            else:
                return

    async def in_turn(self, viewer: Identity, cost: int, work: Callable[[], Awaitable[Any]]) -> Any:
        """Do something when it is the person's turn.

        Raises:
            TooSlow: it took too long.
            TooManyAtOnce: the person has too much waiting already.
        """
        seconds = self.settings.request_seconds
        try:
            async with asyncio.timeout(seconds) as bound, self.turns.turn(viewer.user_id, cost):
                return await work()
        except TimeoutError as error:
            if not bound.expired():
                raise
            raise TooSlow(
                f"A page took longer than {seconds:g} s and was given up: ask for fewer fields, or by exportConnection."
            ) from error


async def told(request: Request, answer: Callable[[Reader], Awaitable[Response]]) -> Response:
    """An answer, or why there is none."""
    reader = Reader(request)
    try:
        return await answer(reader)
    except BudgetSpent as error:
        response = error_response(error, reader.request_id)
        response.status_code = 429
        response.headers.update(error.spent.headers())
        response.headers["retry-after"] = str(error.spent.seconds)
        return response
    except (TooManyAtOnce, TooManyExports) as error:
        response = error_response(error, reader.request_id)
        response.status_code = 429
        response.headers["retry-after"] = str(RETRY_SECONDS)
        return response
    except DomainError as error:
        return error_response(error, reader.request_id)


# Streams.


def _argument(text: str, name: str) -> Any:
    """An argument of an address: an object or a list is JSON, everything else is itself."""
    if text[:1] not in ("{", "["):
        return text
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise Invalid(f"{name}: no JSON: {error}.", path=(name,)) from error


async def _asked(request: Request) -> dict[str, Any]:
    if request.method == "POST":
        body = bytearray()
        async for piece in request.stream():
            body += piece
            if len(body) > LONGEST_ARGUMENTS:
                raise Invalid(f"body: at most {LONGEST_ARGUMENTS} bytes.", path=("body",))
        return decode_object(bytes(body), "body")
    return {name: _argument(text, name) for name, text in request.query_params.items()}


def order_asked(name: str, given: Mapping[str, Any]) -> Order:
    """What a request asks for: `format`, `fields`, and the connection's arguments by their names.

    Raises:
        NotFound: there is no such connection.
        Invalid: something does not fit.
    """
    arguments = dict(given)
    format_name, fields = arguments.pop("format", None), arguments.pop("fields", None)
    if not isinstance(format_name, str):
        raise Invalid("format: give csv or ndjson.", path=("format",))
    if isinstance(fields, str):
        fields = [field.strip() for field in fields.split(",")]
    if fields is not None and not (isinstance(fields, list) and all(isinstance(field, str) for field in fields)):
        raise Invalid("fields: give names, separated by commas or as a list.", path=("fields",))
    return order_of(name, format_name, fields, arguments)


class ExportStream(Response):
    """A file whose first piece has been read, and whose others are read as the client takes them.

    Args:
        reader: Whoever exports.
        order: What the file holds.
        source: The pieces.
        first: The first of them.
        carried: What ends the carrying of it.
        headers: Of the answer.
        packed: Whether the client takes gzip.
    """

    def __init__(
        self,
        reader: Reader,
        order: Order,
        source: AsyncGenerator[Piece, None],
        first: Piece,
        carried: contextlib.ExitStack,
        headers: Mapping[str, str],
        *,
        packed: bool,
    ) -> None:
        self._reader = reader
        self._order = order
        self._source = source
        self._first = first
        self._carried = carried
        self._packer = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, zlib.MAX_WBITS | 16) if packed else None
        self.status_code = 200
        self.background = None
        self.media_type = None
        more = {"content-encoding": "gzip"} if packed else {}
        self.init_headers({**headers, **more, "content-type": media_type_of(order.format), "vary": "accept-encoding"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI application."""
        with self._carried:
            try:
                await while_connected(receive, self._run(send))
            finally:
                # Nobody takes what is left.
                await self._source.aclose()

    async def _run(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        piece: Piece | None = self._first
        rows = 0
        try:
            while piece is not None:
                rows += piece.rows
                await hand_on(send, self._packed(piece.data))
                piece = await self._following()
        except Exception as error:
            # The message has no end, so that it is seen to be cut: the server closes the connection.
            log.info("export.broke_off", request_id=self._reader.request_id, rows=rows, error=repr(error))
            if self._order.format == "ndjson" and not isinstance(error, NotRead):
                await hand_on(send, self._packed(_error_line(error, self._reader.request_id), flush=True))
            return
        await hand_on(send, b"" if self._packer is None else self._packer.flush(), last=True)

    async def _following(self) -> Piece | None:
        reader, viewer = self._reader, self._reader.seen
        assert viewer is not None, "the first piece was read in somebody's name"
        piece: Piece | None = await reader.in_turn(viewer, LIGHT_COST, lambda: anext(self._source, None))
        if piece is not None:
            await reader.pay_in_time(viewer, cost_of_rows(self._order, piece.rows))
        return piece

    def _packed(self, data: bytes, *, flush: bool = False) -> bytes:
        if self._packer is None:
            return data
        return self._packer.compress(data) + (self._packer.flush(zlib.Z_SYNC_FLUSH) if flush else b"")


def cost_of_rows(order: Order, rows: int) -> int:
    """What some rows cost: by the cost model, 1 a field."""
    return rows * len(order.chosen.columns) + 1


def _error_line(error: Exception, request_id: str) -> bytes:
    shown = to_graphql_error(GraphQLError(str(error), original_error=error), request_id)
    return orjson.dumps({"error": {"message": shown.message, **(shown.extensions or {})}}) + b"\n"


async def while_connected(receive: Receive, work: Coroutine[Any, Any, None]) -> None:
    """Do something for as long as somebody is there."""

    async def leave() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    tasks = {asyncio.ensure_future(work), asyncio.ensure_future(leave())}
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    for task in done:
        task.result()


async def hand_on(send: Send, data: bytes, *, last: bool = False) -> None:
    """Send a piece of a body.

    Raises:
        NotRead: nobody takes it.
    """
    if not data and not last:
        return
    try:
        async with asyncio.timeout(UNREAD_SECONDS):
            await send({"type": "http.response.body", "body": data, "more_body": not last})
    except TimeoutError as error:
        raise NotRead(f"nothing was read for {UNREAD_SECONDS:g} s") from error


def _takes_gzip(request: Request) -> bool:
    for part in request.headers.get("accept-encoding", "").lower().split(","):
        name, _, weight = part.partition(";")
        if name.strip() in ("gzip", "x-gzip"):
            return weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


async def export_endpoint(request: Request) -> Response:
    """Answer with a connection as a file."""

    async def answer(reader: Reader) -> Response:
        viewer = await reader.viewer()
        name = request.path_params["connection"]
        order = order_asked(name, await _asked(request))
        spent = await reader.pay(viewer, cost_of_rows(order, SLICE_ROWS))
        with contextlib.ExitStack() as carried:
            carried.enter_context(request.app.state.exports.one(viewer.user_id))
            headers = {
                "cache-control": "no-store",
                "content-disposition": f'attachment; filename="{name}.{extension_of(order.format)}"',
                "x-request-id": reader.request_id,
                **({} if spent is None else spent.headers()),
            }
            if request.method == "HEAD":
                return Response(headers=headers, media_type=media_type_of(order.format))
            source = pieces(order, reader.viewer, datetime.now(UTC))
            first = await reader.in_turn(viewer, LIGHT_COST, lambda: anext(source))
            return ExportStream(reader, order, source, first, carried.pop_all(), headers, packed=_takes_gzip(request))

    return await told(request, answer)


def export_routes() -> list[Route]:
    """The routes."""
    return [Route("/export/{connection}", export_endpoint, methods=["GET", "POST"])]
