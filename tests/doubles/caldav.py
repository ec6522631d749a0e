"""A CalDAV server: Radicale, the real one, in this process, behind a door at which faults happen.

No double of ours stands in for it: discovery, sync tokens, ctags, reports and storage are Radicale's own. What the
conformance suite asks for is done by a client, over HTTP.
"""

from __future__ import annotations

import contextlib
import socket
import tempfile
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx
from radicale import config
from radicale.server import serve
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from tests.doubles.base import Double
from tests.doubles.ical import event_text

PASSWORD = "app-password"
METHODS = ["PROPFIND", "REPORT", "GET", "PUT", "DELETE", "MKCALENDAR", "MKCOL", "PROPPATCH", "MOVE", "OPTIONS"]
_HOP_BY_HOP = {"connection", "content-length", "transfer-encoding", "host", "date", "server", "content-encoding"}


class RadicaleServer:
    """Radicale on a free port, with a folder of its own, for some people who all have the same password."""

    def __init__(self, *people: str) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="radicale-")
        users = Path(self._folder.name, "users")
        users.write_text("".join(f"{person}:{PASSWORD}\n" for person in people))
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        configuration = config.load()
        configuration.update(
            {
                "server": {"hosts": f"127.0.0.1:{port}"},
                "auth": {
                    "type": "htpasswd",
                    "htpasswd_filename": str(users),
                    "htpasswd_encryption": "plain",
                    "delay": "0",
                },
                "storage": {
                    "filesystem_folder": str(Path(self._folder.name, "collections")),
                    "_filesystem_fsync": "False",
                },
            },
            "tests",
            privileged=True,
        )
        self._stop, stopped = socket.socketpair()
        self._thread = threading.Thread(target=serve, args=(configuration, stopped), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        while True:
            try:
                httpx.request("OPTIONS", self.url)
                return self
            except httpx.TransportError:
                if not self._thread.is_alive():
                    raise RuntimeError("Radicale did not start") from None
                threading.Event().wait(0.01)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.close()
        self._thread.join(timeout=10)
        self._folder.cleanup()


class CaldavDouble(Double):
    """Radicale with a calendar of the first person's; the things are meetings with a customer, all over.

    `server` is Radicale itself, to go past the door.
    """

    kind = "caldav"

    def __init__(self) -> None:
        super().__init__()
        self.server = RadicaleServer(*self.people)
        self.settings = {"url": self.base_url, "username": self.people[0]}
        self.secrets = {"password": PASSWORD}
        self.home = f"/{self.people[0]}"
        self._made = 0
        self._events: dict[str, tuple[datetime, str]] = {}
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self._stack.enter_context(self.server)
        self._client = self._stack.enter_context(
            httpx.Client(base_url=self.server.url, auth=(self.people[0], PASSWORD))
        )
        self._client.request("MKCALENDAR", f"{self.home}/meetings/").raise_for_status()
        return super().__enter__()

    def __exit__(self, *exception: object) -> None:
        super().__exit__(*exception)
        self._stack.close()

    def routes(self) -> list[BaseRoute]:
        return [Route("/{path:path}", self._pass_on, methods=METHODS)]

    async def _pass_on(self, request: Request) -> Response:
        """Hand a request to Radicale, and its answer back."""
        headers = {name: value for name, value in request.headers.items() if name not in _HOP_BY_HOP}
        headers["accept-encoding"] = "identity"
        async with httpx.AsyncClient() as client:
            answer = await client.request(
                request.method,
                f"{self.server.url}{request.scope['raw_path'].decode()}",
                headers=headers,
                content=await request.body(),
            )
        kept = {name: value for name, value in answer.headers.items() if name not in _HOP_BY_HOP}
        return Response(answer.content, answer.status_code, kept)

    def _put(self, name: str, starts_at: datetime, title: str, length: timedelta = timedelta(minutes=30)) -> None:
        self._events[name] = (starts_at, title)
        text = event_text(name, starts_at, length, title, self.people[0])
        body = f"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//test//\r\n{text}END:VCALENDAR\r\n"
        self._client.put(
            f"{self.home}/meetings/{name}.ics", content=body, headers={"content-type": "text/calendar"}
        ).raise_for_status()

    def add(self, count: int) -> list[str]:
        names = [f"meeting-{number}@double.test" for number in range(self._made, self._made + count)]
        self._made += count
        begins = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(days=20)
        for place, name in enumerate(names):
            self._put(name, begins + timedelta(hours=place), f"Meeting {name}")
        return names

    def change(self, external_id: str) -> None:
        starts_at, title = self._events[external_id]
        self._put(external_id, starts_at, f"{title}, changed")

    def remove(self, external_id: str) -> None:
        del self._events[external_id]
        self._client.delete(f"{self.home}/meetings/{external_id}.ics").raise_for_status()

    def spoil(self, external_id: str) -> None:
        self._put(external_id, *self._events[external_id], length=timedelta(minutes=-30))

    def mend(self, external_id: str) -> None:
        self._put(external_id, *self._events[external_id])
