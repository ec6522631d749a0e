"""What every contract double shares: a real HTTP server on a free port, a log of requests, and faults on demand.

A double is written from its vendor's documentation, named in the docstring of its module. Faults are taken one a
request, in the order in which they were given, by requests that are not for tokens.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong with one request.

    Args:
        status: Answer with this status; None lets the request through.
        headers: With these headers.
        body: And this body.
        cut: Send the answer's head and half of its body, then drop the connection.
        slow_seconds: Wait so long first.
        expire: Treat the access token as ended, whatever it is.
        mangle: Change the JSON of the true answer.
    """

    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: str = '{"error": "told to fail"}'
    cut: bool = False
    slow_seconds: float = 0.0
    expire: bool = False
    mangle: Callable[[Any], Any] | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """A request that came."""

    method: str
    path: str
    query: str
    status: int


class Double:
    """A vendor's API, in a thread of this process, at `base_url`.

    Subclasses name their `kind` and `routes()`, and say how things come, change, break and go, so that one suite of
    tests serves all:

    - `add(count)` makes so many things and returns the external ids of the activities that a sync must bring of them;
    - `change(external_id)` changes something that shows in the activity; `remove(external_id)` deletes it there;
    - `spoil(external_id)` turns it into something that cannot be mapped, `mend(external_id)` turns it back;
    - `settings` and `secrets` are what a connection is told; `people` the addresses of who owns the things;
    - `token_paths` are the paths that faults spare.
    """

    kind: str
    token_paths: frozenset[str] = frozenset()
    settings: dict[str, str]
    secrets: dict[str, str]
    people: tuple[str, ...] = ("rep@double.test", "other@double.test")

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.faults: deque[Fault] = deque()
        self.settings = {}
        self.secrets = {}
        self.lock = threading.RLock()
        self._socket = socket.create_server(("127.0.0.1", 0))
        # What is accepted inherits it; without, each answer waits some 40 ms for an acknowledgement.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.base_url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        app: ASGIApp = _Faulty(self, Starlette(routes=self.routes()))
        self._server = _Server(
            uvicorn.Config(app, log_level="critical", lifespan="off", timeout_graceful_shutdown=1, http="h11")
        )
        self._thread = threading.Thread(target=lambda: asyncio.run(self._server.serve([self._socket])), daemon=True)

    def routes(self) -> list[BaseRoute]:
        """The API's routes."""
        raise NotImplementedError

    def add(self, count: int) -> list[str]:
        """Make things; the external ids of their activities."""
        raise NotImplementedError

    def change(self, external_id: str) -> None:
        """Change a thing."""
        raise NotImplementedError

    def remove(self, external_id: str) -> None:
        """Delete a thing."""
        raise NotImplementedError

    def removable(self, external_ids: list[str]) -> str:
        """One of some things whose deletion the vendor tells of; not all vendors tell of all."""
        return external_ids[2]

    def spoil(self, external_id: str) -> None:
        """Make a thing that cannot be mapped of it."""
        raise NotImplementedError

    def mend(self, external_id: str) -> None:
        """Make it whole again."""
        raise NotImplementedError

    def token_ended(self, request: Request) -> Response:
        """What the vendor answers to an access token that has ended."""
        return JSONResponse({"error": "invalid_token"}, status_code=401)

    def checked(self, request: Request, status: int, body: Any) -> None:
        """Hold an answer against the vendor's own description, where there is one. Raises AssertionError."""

    @property
    def requests(self) -> list[str]:
        """The paths asked for so far, without tokens."""
        return [one.path for one in self.seen if one.path not in self.token_paths]

    def __enter__(self) -> Self:
        self._thread.start()
        while not self._server.started:
            if not self._thread.is_alive():
                raise RuntimeError("the double did not start")
            threading.Event().wait(0.005)
        return self

    def __exit__(self, *_exception: object) -> None:
        self._server.stop()
        self._thread.join(timeout=10)
        self._socket.close()


class _Server(uvicorn.Server):
    """Ends at once when it is told to, rather than at its next look, and waits for nobody."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._told = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As ever."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)

    async def main_loop(self) -> None:
        """Until stop()."""
        await self.on_tick(0)
        await self._told.wait()

    def stop(self) -> None:
        """From another thread."""
        self.should_exit = self.force_exit = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._told.set)


class _Faulty:
    """Lets a fault happen instead of, before or after the true answer."""

    def __init__(self, double: Double, app: ASGIApp) -> None:
        self._double = double
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        double, path = self._double, scope["path"]
        with double.lock:
            fault = double.faults.popleft() if double.faults and path not in double.token_paths else Fault()
        if fault.slow_seconds:
            await asyncio.sleep(fault.slow_seconds)
        request = Request(scope, receive)
        if fault.expire:
            answer = double.token_ended(request)
        elif fault.status is not None:
            answer = Response(fault.body, fault.status, fault.headers, media_type="application/json")
        else:
            answer = await _capture(self._app, scope, receive)
            if fault.mangle is not None:
                answer = JSONResponse(fault.mangle(orjson.loads(answer.body)), answer.status_code)
        with double.lock:
            double.seen.append(Seen(scope["method"], path, scope["query_string"].decode(), answer.status_code))
        if not fault.cut:
            await answer(scope, receive, send)
            return
        length = max(len(answer.body), 2)
        headers = [(b"content-type", b"application/json"), (b"content-length", str(length + 1000).encode())]
        await send({"type": "http.response.start", "status": answer.status_code, "headers": headers})
        await send({"type": "http.response.body", "body": bytes(answer.body)[: length // 2], "more_body": True})
        raise ConnectionAbortedError("told to break off")


async def _capture(app: ASGIApp, scope: Scope, receive: Receive) -> Response:
    """The whole answer of an application, before any of it is sent."""
    head: dict[str, Any] = {}
    body = bytearray()

    async def keep(message: Any) -> None:
        if message["type"] == "http.response.start":
            head.update(message)
        else:
            body.extend(message.get("body", b""))

    await app(scope, receive, keep)
    response = Response(bytes(body), head["status"])
    response.raw_headers = [pair for pair in head["headers"] if pair[0] != b"content-length"]
    response.headers["content-length"] = str(len(body))
    return response
