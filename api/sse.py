"""GraphQL over server-sent events, in the distinct connections mode of graphql-sse
(https://github.com/enisdenjo/graphql-sse, PROTOCOL.md): one request, one operation, one stream.

Errors come as a `next` event whose answer has `errors`; `complete` ends the stream. A stream that cannot be written for
`SEND_SECONDS` is cut off.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from functools import partial
from typing import Any

import orjson
import structlog
from graphql import GraphQLError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import StreamingResponse

from api.connections import Watched
from api.context import Context
from api.errors import UNREACHABLE, to_graphql_error
from api.reading import asked_in_address, check_operation, decode_object
from api.streaming import Operation, Refused, answers
from api.subscriptions import hub_of
from domain.errors import Invalid, Unauthenticated

log = structlog.get_logger(__name__)

MEDIA_TYPE = "text/event-stream"
SEND_SECONDS = 30.0
_COMPLETE = b"event: complete\ndata:\n\n"
_PING = b":\n\n"


def wants_events(request: Request) -> bool:
    """Whether the client asks for a stream of events."""
    return MEDIA_TYPE in request.headers.get("accept", "")


async def read_operation(request: Request) -> Operation:
    """The operation of a request: the body's JSON, or the query string's parameters.

    Raises:
        Invalid: it is neither.
    """
    given: dict[str, Any]
    if request.method == "GET":
        given = asked_in_address(request.query_params)
    elif request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Invalid("Send JSON with the content type application/json.", path=("content-type",))
    else:
        given = decode_object(await request.body(), "body")
        check_operation(given)
    if not given.get("query"):
        raise Invalid("query: give a GraphQL document.", path=("query",))
    return Operation(
        given["query"], given.get("variables"), given.get("operationName"), read_only=request.method == "GET"
    )


def _next(*answers: str) -> bytes:
    return "".join(f"event: next\ndata: {answer}\n\n" for answer in answers).encode()


async def _frames(context: Context, operation: Operation) -> AsyncGenerator[bytes, None]:
    """The frames of a stream, up to `complete`."""
    try:
        async with aclosing(answers(context, operation)) as stream:
            async for lot in stream:
                yield _next(*lot)
    except UNREACHABLE as error:
        # Without `complete`: a client knows that for a lost connection, comes again, and goes on after its cursor.
        log.warning("sse.unreachable", error=repr(error))
        raise ClientDisconnect from error
    except Refused as refused:
        yield _next(orjson.dumps({"errors": [error.formatted for error in refused.errors]}).decode())
    except Exception as error:
        told = to_graphql_error(GraphQLError(str(error), original_error=error), context.request_id)
        yield _next(orjson.dumps({"errors": [told.formatted]}).decode())
    yield _COMPLETE


async def _stream(context: Context, operation: Operation) -> AsyncIterator[bytes]:
    with hub_of(context).serving():
        async with aclosing(_watched(context, operation)) as frames:
            async for frame in frames:
                yield frame


async def _watched(context: Context, operation: Operation) -> AsyncGenerator[bytes, None]:
    """The frames, with pings while nothing happens, until the end or the credential's."""
    state = context.connection.app.state
    ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    watched = Watched(context, partial(ended.set_result, None))
    state.watchman.add(watched)
    frames = _frames(context, operation)
    following: asyncio.Future[bytes] | None = None
    try:
        # Headers leave with the first bytes: the client knows that it is connected.
        yield _PING
        while True:
            following = following or asyncio.ensure_future(anext(frames))
            either: list[asyncio.Future[Any]] = [ended, following]
            await asyncio.wait(either, timeout=state.settings.ping_seconds, return_when=asyncio.FIRST_COMPLETED)
            if following.done():
                try:
                    yield following.result()
                except StopAsyncIteration:
                    return
                following = None
            elif ended.done():
                refusal = Unauthenticated("Your credential has ended: sign in again, and go on after your cursor.")
                error = to_graphql_error(GraphQLError("", original_error=refusal), context.request_id)
                yield _next(orjson.dumps({"errors": [error.formatted]}).decode())
                yield _COMPLETE
                return
            else:
                yield _PING
    finally:
        state.watchman.discard(watched)
        if following is not None:
            following.cancel()
            await asyncio.wait({following})
        await frames.aclose()


class EventStream(StreamingResponse):
    """A stream that is cut off when it cannot be written."""

    async def stream_response(self, send: Any) -> None:
        """Send the frames."""

        async def bounded(message: Any) -> None:
            try:
                async with asyncio.timeout(SEND_SECONDS):
                    await send(message)
            except TimeoutError as error:
                log.info("sse.slow_reader")
                raise ClientDisconnect from error

        await super().stream_response(bounded)


async def respond(context: Context, request: Request) -> EventStream:
    """The answer to a request for a stream.

    Raises:
        Invalid: the request holds no operation.
    """
    operation = await read_operation(request)
    return EventStream(
        _stream(context, operation),
        media_type=MEDIA_TYPE,
        headers={
            "cache-control": "no-store",
            # Proxies that gather answers would hold the events back.
            "x-accel-buffering": "no",
            "x-request-id": context.request_id,
        },
    )
