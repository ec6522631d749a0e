"""GraphQL over WebSocket by the graphql-transport-ws protocol (https://github.com/enisdenjo/graphql-ws, PROTOCOL.md).

Each operation is a task that sends its answers as they come. A client that takes nothing of what it is sent for
`SEND_SECONDS` is cut off; every event that it has had carries the cursor to go on from.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import orjson
import structlog
from graphql import GraphQLError
from starlette.types import Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from api.authentication import authenticate, authenticate_header, credential_of
from api.connections import Watched, Watchman
from api.context import Context
from api.errors import UNREACHABLE, to_graphql_error
from api.hub import TooManyStreams
from api.reading import check_operation, decode_object
from api.streaming import Operation, Refused, answers
from api.subscriptions import hub_of
from domain.errors import DomainError, Invalid, Unauthenticated, Unavailable
from domain.identity import Identity

log = structlog.get_logger(__name__)

PROTOCOL = "graphql-transport-ws"
INIT_SECONDS = 10.0
SEND_SECONDS = 30.0
MESSAGE_LIMIT_BYTES = 1_000_000
LOBBY_LIMIT = 1_000
"""Connections that may wait for somebody to sign in on them."""
LONGEST_OPERATION_ID = 1_000
LONGEST_REASON_BYTES = 123

BAD_REQUEST, UNAUTHORIZED, FORBIDDEN = 4400, 4401, 4403
SUBPROTOCOL, INIT_TIMEOUT, EXISTS, TOO_MANY_INITS = 4406, 4408, 4409, 4429
TRY_AGAIN = 1013


_OURS = frozenset({"(ping)", "(end)"})
"""Names of tasks of the connection's own, among those of its operations."""


class _Closed(Exception):
    """The connection is to be closed.

    Args:
        code: Of the protocol, or of RFC 6455.
        reason: Cut to what a close can hold.
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason.encode()[:LONGEST_REASON_BYTES].decode(errors="ignore")


class Lobby:
    """The connections that nobody has signed in on yet, the oldest first."""

    def __init__(self) -> None:
        self._waiting: dict[TransportSocket, None] = {}

    def enter(self, connection: TransportSocket) -> None:
        """A connection has opened; the one that waits for longest makes room where there are too many."""
        if len(self._waiting) >= LOBBY_LIMIT:
            oldest = next(iter(self._waiting))
            self.leave(oldest)
            oldest.make_room()
        self._waiting[connection] = None

    def leave(self, connection: TransportSocket) -> None:
        """Somebody has signed in on it, or it has closed."""
        self._waiting.pop(connection, None)


class TransportSocket:
    """One connection.

    Args:
        websocket: Not yet accepted.
        send: Its way out, without what Starlette checks at every frame.
    """

    def __init__(self, websocket: WebSocket, send: Send) -> None:
        self._socket = websocket
        self._send_raw = send
        self._settings = websocket.app.state.settings
        self._context: Context | None = None
        self._initialized = False
        self._operations: dict[str, asyncio.Task[None]] = {}
        self._sent_at = 0.0
        self._sending = 0
        self._closed: _Closed | None = None
        self._serving: asyncio.Task[Any] | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def serve(self) -> None:
        """Until either side closes it."""
        if PROTOCOL not in self._socket.scope.get("subprotocols", ()):
            await self._socket.accept()
            await self._socket.close(SUBPROTOCOL, "Subprotocol not acceptable")
            return
        await self._socket.accept(subprotocol=PROTOCOL)
        loop = asyncio.get_running_loop()
        self._serving = asyncio.current_task()
        self._timer = loop.call_later(INIT_SECONDS, self._end, INIT_TIMEOUT, "Connection initialisation timeout")
        lobby: Lobby = self._socket.app.state.lobby
        lobby.enter(self)
        watchman: Watchman = self._socket.app.state.watchman
        watched: Watched | None = None
        try:
            async for message in self._messages():
                await self._take(message)
                if self._context is not None and watched is None:
                    lobby.leave(self)
                    watched = Watched(self._context, self._credential_ended, self._tend)
                    watchman.add(watched)
        except asyncio.CancelledError:
            # _end cancels what this waits for; anybody else's cancellation goes on.
            if self._closed is None:
                raise
        except _Closed as closed:
            self._closed = self._closed or closed
        except UNREACHABLE as error:
            log.warning("websocket.unreachable", error=repr(error))
            self._closed = self._closed or _Closed(TRY_AGAIN, "Try again later")
        except (WebSocketDisconnect, RuntimeError) as error:
            log.info("websocket.client_gone", error=repr(error))
        finally:
            self._timer.cancel()
            lobby.leave(self)
            if watched is not None:
                watchman.discard(watched)
            tasks = list(self._operations.values())
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks)
        self._socket.app.state.collector.connection_closed()
        if self._closed is not None:
            await self._say_goodbye(self._closed)

    async def _say_goodbye(self, closed: _Closed) -> None:
        try:
            async with asyncio.timeout(1.0):
                await self._socket.close(closed.code, closed.reason)
        except (TimeoutError, RuntimeError, OSError, WebSocketDisconnect):
            log.info("websocket.gone", code=closed.code)

    def make_room(self) -> None:
        """Close the connection in favour of another one."""
        self._end(TRY_AGAIN, "Try again later")

    def _end(self, code: int, reason: str) -> None:
        """Close the connection, from wherever it is noticed."""
        if self._closed is None:
            self._closed = _Closed(code, reason)
            assert self._serving is not None, "a connection that is served can end"
            self._serving.cancel()

    async def _send(self, *texts: str) -> None:
        """Hand frames to the connection, which waits while the client does not read; see _ping for how long."""
        for text in texts:
            self._sending += 1
            try:
                await self._send_raw({"type": "websocket.send", "text": text})
            except OSError as error:
                raise WebSocketDisconnect(1006) from error
            finally:
                self._sending -= 1
        self._sent_at = asyncio.get_running_loop().time()

    async def _send_message(self, message: dict[str, Any]) -> None:
        await self._send(orjson.dumps(message).decode())

    def _tend(self) -> None:
        """Show an idle client that the connection is alive, and cut one off that does not take what it is sent."""
        idle = asyncio.get_running_loop().time() - self._sent_at
        if self._sending:
            if idle >= SEND_SECONDS:
                self._end(TRY_AGAIN, "SLOW_READER")
        elif idle >= self._settings.ping_seconds:
            # On its own: a client that does not read must not hold up who tends all of them.
            self._operations["(ping)"] = asyncio.ensure_future(self._ping())

    async def _ping(self) -> None:
        try:
            await self._send('{"type":"ping"}')
        except (WebSocketDisconnect, RuntimeError) as error:
            log.info("websocket.client_gone", error=repr(error))
        finally:
            self._operations.pop("(ping)", None)

    async def _messages(self) -> AsyncIterator[Any]:
        while True:
            received = await self._socket.receive()
            if received["type"] == "websocket.disconnect":
                return
            yield received

    async def _take(self, received: Any) -> None:
        text = received.get("text")
        if text is None:
            raise _Closed(BAD_REQUEST, "WebSocket message type must be text")
        if len(text) > MESSAGE_LIMIT_BYTES:
            raise _Closed(BAD_REQUEST, f"A message has at most {MESSAGE_LIMIT_BYTES} characters")
        try:
            message = decode_object(text, "message")
        except Invalid as error:
            raise _Closed(BAD_REQUEST, "A message is one JSON object of moderate size") from error
        kind = message.get("type")
        match kind:
            case "connection_init":
                await self._initialize(message.get("payload"))
            case "ping":
                await self._send_message({"type": "pong"})
            case "pong":
                pass
            case "subscribe":
                await self._subscribe(message)
            case "complete":
                task = self._operations.pop(str(message.get("id")), None)
                if task is not None:
                    task.cancel()
            case _:
                raise _Closed(BAD_REQUEST, "Unknown message type")

    async def _initialize(self, payload: object) -> None:
        if self._initialized:
            raise _Closed(TOO_MANY_INITS, "Too many initialisation requests")
        self._initialized = True
        if payload is not None and not isinstance(payload, dict):
            raise _Closed(BAD_REQUEST, "Invalid connection init payload")
        identify = _identifier(self._socket, payload)
        try:
            viewer = await identify()
        except Unavailable as error:
            raise _Closed(TRY_AGAIN, "Try again later") from error
        except DomainError as error:
            raise _Closed(FORBIDDEN, "Forbidden") from error
        state = self._socket.app.state
        shown = _shown(payload) or credential_of(self._socket)
        self._context = Context(viewer, datetime.now(UTC), self._socket, identify, state.queue, shown)
        await self._send_message({"type": "connection_ack", "payload": {}})
        assert self._timer is not None, "it is served"
        self._timer.cancel()

    def _credential_ended(self) -> None:
        """End everything with a typed close."""
        self._operations["(end)"] = asyncio.ensure_future(self._end_unauthenticated())

    async def _end_unauthenticated(self) -> None:
        assert self._context is not None
        refusal = Unauthenticated("Your credential has ended: sign in again, and go on after your last cursor.")
        error = to_graphql_error(GraphQLError("", original_error=refusal), self._context.request_id)
        for operation_id, task in list(self._operations.items()):
            if task is not asyncio.current_task():
                task.cancel()
            if operation_id in _OURS:
                continue
            await self._send_message({"id": operation_id, "type": "error", "payload": [error.formatted]})
        self._end(UNAUTHORIZED, "Unauthorized")

    async def _subscribe(self, message: dict[str, Any]) -> None:
        if self._context is None:
            raise _Closed(UNAUTHORIZED, "Unauthorized")
        operation_id, payload = message.get("id"), message.get("payload")
        if (
            not isinstance(operation_id, str)
            or len(operation_id) > LONGEST_OPERATION_ID
            or not isinstance(payload, dict)
            or not payload.get("query")
        ):
            raise _Closed(BAD_REQUEST, "A subscribe message has an id, and a payload with a query")
        try:
            check_operation(payload)
        except Invalid as error:
            raise _Closed(BAD_REQUEST, error.message) from error
        if operation_id in self._operations or operation_id in _OURS:
            raise _Closed(EXISTS, f"Subscriber for {operation_id} already exists")
        limit = self._settings.streams_per_connection
        if len(self._operations) >= limit:
            refusal = TooManyStreams(f"At most {limit} operations run at once on a connection: complete some first.")
            told = to_graphql_error(GraphQLError("", original_error=refusal), uuid4().hex)
            await self._send_message({"id": operation_id, "type": "error", "payload": [told.formatted]})
            return
        operation = Operation(payload["query"], payload.get("variables"), payload.get("operationName"))
        self._operations[operation_id] = asyncio.ensure_future(self._run(operation_id, operation))

    async def _run(self, operation_id: str, operation: Operation) -> None:
        assert self._context is not None
        with hub_of(self._context).serving():
            await self._carry_out(self._context, operation_id, operation)

    async def _carry_out(self, signed_in: Context, operation_id: str, operation: Operation) -> None:
        head = '{"id":' + orjson.dumps(operation_id).decode() + ',"type":"next","payload":'
        try:
            context = await signed_in.renewed()
            async with aclosing(answers(context, operation)) as stream:
                async for lot in stream:
                    await self._send(*(head + answer + "}" for answer in lot))
            self._operations.pop(operation_id, None)
            await self._send_message({"id": operation_id, "type": "complete"})
        except Refused as refused:
            self._operations.pop(operation_id, None)
            formatted = [error.formatted for error in refused.errors]
            await self._send_message({"id": operation_id, "type": "error", "payload": formatted})
            if any(
                error.extensions and error.extensions.get("code") == Unauthenticated.code for error in refused.errors
            ):
                self._end(UNAUTHORIZED, "Unauthorized")
        except Unauthenticated:
            await self._end_unauthenticated()
        except (WebSocketDisconnect, RuntimeError) as error:
            log.info("websocket.client_gone", error=repr(error))
        except UNREACHABLE as error:
            # Clients know a close for what it is, come again, and go on after their cursors.
            log.warning("websocket.unreachable", error=repr(error))
            self._end(TRY_AGAIN, "Try again later")
        except Exception as error:
            self._operations.pop(operation_id, None)
            told = to_graphql_error(GraphQLError(str(error), original_error=error), signed_in.request_id)
            await self._send_message({"id": operation_id, "type": "error", "payload": [told.formatted]})


def _identifier(websocket: WebSocket, payload: object) -> Callable[[], Awaitable[Identity]]:
    """Who is at the other end: by the payload's `authorization`, else by the handshake's header or cookie.

    A page of another origin may connect with a token of its own; the cookie counts from the same origin alone.
    """
    given = _shown(payload)

    async def identify() -> Identity:
        if given is not None:
            return await authenticate_header(websocket, given)
        return await authenticate(websocket)

    return identify


def _shown(payload: object) -> str | None:
    """The `authorization` of a connection_init's payload."""
    given = payload.get("authorization", payload.get("Authorization")) if isinstance(payload, dict) else None
    return given if isinstance(given, str) else None
