"""How the API is served: by uvicorn, with an end to what a stranger could hold open for ever.

uvicorn leaves these to a proxy that may not be there: a connection that asks nothing, a head or a trailer without end,
a body that nobody reads any more, an answer that nobody fetches, requests piled up on one connection, pings whose
pongs are not read. Each holds a descriptor or memory. Here each has a bound, and when the process runs out of
descriptors, the connection that has asked nothing for longest makes room.
"""

from __future__ import annotations

import asyncio
import resource
import socket
import sys
from functools import partial
from typing import Any
from uuid import uuid4

import orjson
import structlog
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.protocol import State

from api.websockets import MESSAGE_LIMIT_BYTES
from domain.settings import Settings

log = structlog.get_logger(__name__)

SILENT_SECONDS = 10.0
"""A connection without a whole request's head for so long is cut."""
STALLED_SECONDS = 30.0
STALLED_BYTES = 16_384
"""Who fetches less than this of a finished answer in that time is cut."""
HEAD_LIMIT_BYTES = 65_536
"""Of a request's head, and of anything else that is neither head nor body."""
PIPELINE_LIMIT = 16
"""Requests that wait on one connection for the answer to the one before."""
FRAGMENT_LIMIT = 1_000
"""Frames of one WebSocket message."""
CLOSE_SECONDS = 2.0
"""How long the other side of a WebSocket has to answer a close."""
DESCRIPTORS_WANTED = 65_536
DESCRIPTORS_KEPT = 200
"""Not for clients: PostgreSQL, Redis, files."""
SMALLEST_ROOM = 50
TICKS_BETWEEN_LOOKS = 10
"""uvicorn ticks ten times a second."""


class Room:
    """The connections that ask nothing at the moment, who has been silent for longest first.

    The process may be leaving: then each connection is closed by the answer that it waits for.

    Args:
        limit: How many connections of all kinds there may be.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.silent: dict[HttpProtocol, None] = {}
        self.leaving = False

    def make(self, open_connections: int) -> None:
        """Cut the longest silent one if there are too many connections."""
        if open_connections > self.limit and self.silent:
            oldest = next(iter(self.silent))
            del self.silent[oldest]
            oldest.transport.abort()


class _Finished:
    """What is left to send of an answer that is finished, and whether somebody fetches it."""

    def __init__(self) -> None:
        self._unsent = 0
        self._since = 0.0

    def stalled(self, transport: asyncio.Transport, now: float) -> bool:
        """Whether too little of it has gone for too long."""
        unsent = transport.get_write_buffer_size()
        if not unsent or not self._since or unsent <= self._unsent - STALLED_BYTES:
            self._unsent, self._since = unsent, now
        return now - self._since > STALLED_SECONDS


class HttpProtocol(HttpToolsProtocol):
    """uvicorn's, with bounds.

    Args:
        room: Of the process.
    """

    def __init__(self, *args: Any, room: Room, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._room = room
        self._unspent_bytes = 0
        self._silent_since = 0.0
        self._answering: RequestResponseCycle | None = None
        self._finished = _Finished()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Somebody is there."""
        super().connection_made(transport)
        self._fall_silent()
        self._room.make(len(self.connections))

    def connection_lost(self, exc: Exception | None) -> None:
        """Somebody is gone, and waits for no answer any more."""
        self._room.silent.pop(self, None)
        self.pipeline.clear()
        if self._answering is not None and not self._answering.response_complete:
            # uvicorn tells the request that came last; another one may still be worked at.
            self._answering.disconnected = True
            self._answering.message_event.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes, which have to become a head or a piece of a body soon."""
        if self.transport.is_closing():
            return
        self._unspent_bytes += len(data)
        super().data_received(data)
        if self._unspent_bytes > HEAD_LIMIT_BYTES and not self.transport.is_closing():
            self._refuse(431, "LIMIT_EXCEEDED", f"The head of a request has at most {HEAD_LIMIT_BYTES} bytes.")

    def on_headers_complete(self) -> None:
        """A whole head: the connection asks something."""
        self._unspent_bytes = 0
        self._room.silent.pop(self, None)
        super().on_headers_complete()
        if len(self.pipeline) > PIPELINE_LIMIT:
            self.transport.abort()

    def on_body(self, body: bytes) -> None:
        """A piece of a body."""
        self._unspent_bytes = 0
        super().on_body(body)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answering = cycle
        # A proxy is to send its next request elsewhere; one that is on its way already keeps the connection.
        if self._room.leaving and not self.pipeline:
            cycle.keep_alive = False
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        """The answer is written; a request may wait for its own already."""
        self._finished = _Finished()
        waiting = bool(self.pipeline)
        super().on_response_complete()
        if not waiting:
            self._fall_silent()

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP gets a refusal like any other."""
        self._refuse(400, "BAD_REQUEST", msg)

    def tend(self, now: float) -> None:
        """Cut the connection if it holds nothing but space."""
        asking = self.cycle is not None and not self.cycle.response_complete
        if asking and not self.transport.is_closing():
            return
        if self.transport.get_write_buffer_size():
            if self._finished.stalled(self.transport, now):
                self.transport.abort()
        elif now - self._silent_since > SILENT_SECONDS:
            self.transport.abort()

    def _fall_silent(self) -> None:
        self._silent_since = self.loop.time()
        if not self.transport.is_closing():
            self._room.silent[self] = None

    def _refuse(self, status: int, code: str, message: str) -> None:
        if self.cycle is not None and (self.cycle.more_body or not self.cycle.response_complete):
            # The request has its answer, or is about to; there is no second one.
            self.transport.abort()
            return
        request_id = uuid4().hex
        body = orjson.dumps({"errors": [{"message": message, "extensions": {"code": code, "requestId": request_id}}]})
        head = (
            f"HTTP/1.1 {status} \r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
            f"x-request-id: {request_id}\r\nconnection: close\r\n\r\n"
        )
        log.info("http.refused", request_id=request_id, code=code)
        self.transport.write(head.encode() + body)
        self.transport.close()


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """uvicorn's, with bounds."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.close_timeout = CLOSE_SECONDS
        self._finished = _Finished()

    def shutdown(self) -> None:
        """Say goodbye, unless the other side has said it already: that would end the process's own goodbyes."""
        if self.handshake_complete and self.conn.state is not State.OPEN:
            self.stop_keepalive()
            self.transport.close()
        else:
            super().shutdown()

    def handle_ping(self) -> None:
        """Answer a ping, unless the answers to those before are not read."""
        if self.writable.is_set():
            super().handle_ping()
        else:
            self.transport.abort()

    def handle_cont(self, event: Any) -> None:
        """Take a further frame of a message."""
        if len(self.frames) >= FRAGMENT_LIMIT:
            self.transport.abort()
        else:
            super().handle_cont(event)

    def tend(self, now: float) -> None:
        """Cut the connection if it was closed and its end is not fetched; api/websockets.py tends the open ones."""
        if (self.close_sent or self.transport.is_closing()) and self._finished.stalled(self.transport, now):
            self.transport.abort()


class Server(uvicorn.Server):
    """uvicorn's, looking after its connections.

    Told to stop, it says so at /readyz, and goes on taking requests until balancers have turned elsewhere.

    Args:
        room: Of the process.
        drain_seconds: How long that takes.
    """

    def __init__(self, config: uvicorn.Config, *, room: Room, drain_seconds: float) -> None:
        super().__init__(config)
        self._room = room
        self._drain_seconds = drain_seconds
        self._leaves_at: float | None = None

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no more connections; streams say where to go on, requests get their answers, then the rest is closed."""
        for server in self.servers:
            server.close()
        await self.lifespan.state["hub"].end_streams()
        await super().shutdown(sockets)

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second. Returns whether it is time to end."""
        if counter % TICKS_BETWEEN_LOOKS == 0:
            now = asyncio.get_running_loop().time()
            for connection in list(self.server_state.connections):
                connection.tend(now)  # type: ignore[union-attr]
        return await super().on_tick(counter) and (self.force_exit or self._drained())

    def _drained(self) -> bool:
        now = asyncio.get_running_loop().time()
        if self._leaves_at is None:
            self._leaves_at = now + self._drain_seconds
            self._room.leaving = True
            self.lifespan.state["leaving"].set()
        return now >= self._leaves_at


def raise_descriptor_limit() -> int:
    """Ask for as many descriptors as are wanted and allowed. Returns how many there may be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS_WANTED if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS_WANTED)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return wanted if soft == resource.RLIM_INFINITY else soft


def server_of(settings: Settings, *, app: str, access_log: bool) -> Server:
    """The server of an application's factory."""
    room = Room(max(raise_descriptor_limit() - DESCRIPTORS_KEPT, SMALLEST_ROOM))
    configuration = uvicorn.Config(
        app,
        factory=True,
        host=settings.host,
        port=settings.port,
        log_level=settings.log_level,
        access_log=access_log,
        server_header=False,
        timeout_graceful_shutdown=10,
        http=partial(HttpProtocol, room=room),  # type: ignore[arg-type]
        ws=WebSocketProtocol,
        ws_max_size=MESSAGE_LIMIT_BYTES,
        # A compressor for each of thousands of streams costs more than it saves.
        ws_per_message_deflate=False,
    )
    return Server(configuration, room=room, drain_seconds=settings.drain_seconds)


def serve(settings: Settings, *, app: str = "api.app:app_from_environment", access_log: bool = False) -> None:
    """Serve until told to stop; leaves with a failure when it cannot start."""
    server = server_of(settings, app=app, access_log=access_log)
    server.run()
    if not server.started:
        sys.exit(3)
