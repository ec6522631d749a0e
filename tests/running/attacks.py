"""A real API process to attack, an honest user beside the attacker, and what no answer may hold."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import gettempdir
from typing import Any
from uuid import UUID

import asyncpg
import httpx

from cli.embedded.processes import free_port
from domain.ids import encode_id
from domain.models.tokens import TokenKind
from domain.tokens import create_token
from tests.conftest import TEST_KEY
from tests.factories import make_group, make_role, make_team, make_user

ROOT = Path(__file__).parents[2]
SETTLE_SECONDS = 20.0
SPARE_TASKS = 6
"""Tasks that come and go by themselves: what watches, polls and answers this very question."""
SPARE_DESCRIPTORS = 16
"""Connections that a pool opens when it needs them, and keeps."""

FORBIDDEN = (
    *("Traceback", "traceback", "most recent call", "stacktrace", "Exception", '", line '),
    *("asyncpg", "psycopg", "tortoise", "strawberry", "starlette", "uvicorn", "msgspec", "orjson", "redis", "postgres"),
    *("SELECT ", "INSERT ", "UPDATE ", "DELETE FROM", "WHERE ", 'relation "', 'column "', "sideline_app", "pg_"),
    *("site-packages", ".py", str(ROOT), "/tmp/", f"{gettempdir()}/", "/usr/", "/home/"),
    *("NoneType", "KeyError", "TypeError", "ValueError", "AttributeError", "object at 0x", "codec can't"),
    "INTERNAL",
)
"""What an answer never holds: how the server is made is nobody's business."""


def encoded(**request: Any) -> bytes:
    """A request's body."""
    return json.dumps(request).encode()


@dataclass
class Person:
    """Somebody with a token and a browser's session."""

    id: UUID
    token: str
    session: str

    @property
    def bearer(self) -> dict[str, str]:
        """What a program sends."""
        return {"authorization": f"Bearer {self.token}", "content-type": "application/json"}


@dataclass
class Target:
    """The process under attack.

    Args:
        database_url, redis_url: Its services.
        more: Settings of its own, as environment variables.
    """

    database_url: str
    redis_url: str
    folder: Path
    more: dict[str, str] = field(default_factory=dict)
    port: int = 0
    process: subprocess.Popen[bytes] | None = None
    tables: tuple[str, ...] = ()
    admin: Person = field(init=False)
    rep: Person = field(init=False)
    honest: Person = field(init=False)
    ids: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, make the people, and have it open the connections that it keeps."""
        self.port = free_port()
        self.process = self.spawn("tests.running.measured", "api.log")
        asyncio.run(self._make_people())
        deadline = time.monotonic() + 30
        while True:
            try:
                if httpx.get(f"{self.url}/readyz", timeout=2).status_code == 200:
                    asyncio.run(self._warm_up())
                    return
            except httpx.TransportError:
                pass  # It does not listen yet; the deadline decides.
            assert self.process.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.05)

    def spawn(self, module: str, log_name: str) -> subprocess.Popen[bytes]:
        """A process on the same services."""
        environment = os.environ | {
            "SIDELINE_DATABASE_URL": self.database_url,
            "SIDELINE_REDIS_URL": self.redis_url,
            "SIDELINE_SECRET_KEYS": TEST_KEY,
            "SIDELINE_PING_SECONDS": "1",
            "PORT": str(self.port),
            "PYTHONPATH": str(ROOT),
            **self.more,
        }
        with (self.folder / log_name).open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", module], cwd=self.folder, env=environment, stdout=log, stderr=log
            )

    async def _warm_up(self) -> None:
        body = encoded(query="{ users { nodes { group { id } role { id } goals { totalCount } } } metrics { key } }")
        async with self.client(self.admin) as client:
            await asyncio.gather(*(client.post("/graphql", content=body) for _ in range(60)))

    def stop(self) -> None:
        """Stop it by its process id."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def log(self) -> str:
        """What it said last."""
        return (self.folder / "api.log").read_text()[-4000:]

    async def database(self) -> asyncpg.Connection:
        """A connection of the test's own, as the owner."""
        return await asyncpg.connect(self.database_url)

    async def _make_people(self) -> None:
        connection: Any = await self.database()
        try:
            team = await make_team(connection, name="Attacked")
            admin_role = await make_role(connection, team, is_admin=True, name="Admin")
            user_role = await make_role(connection, team, name="User")
            group = await make_group(connection, team, "North")
            self.admin = await self._person(connection, team, admin_role, None)
            self.rep = await self._person(connection, team, user_role, group)
            # Whatever is done to the role and the group that may be attacked, this one's own stay.
            quiet = await make_role(connection, team, name="Quiet")
            self.honest = await self._person(connection, team, quiet, await make_group(connection, team, "South"))
            spare = await make_user(connection, team, user_role, name="Spare", group_id=group)
            self.ids = {
                "User": encode_id("User", spare),
                "Group": encode_id("Group", group),
                "Role": encode_id("Role", user_role),
                "Team": encode_id("Team", team),
            }
            found = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
            # Names of one word are words of the API too.
            self.tables = tuple(row["tablename"] for row in found if "_" in row["tablename"])
        finally:
            await connection.close()

    @staticmethod
    async def _person(connection: Any, team: UUID, role: UUID, group: UUID | None) -> Person:
        user = await make_user(connection, team, role, group_id=group)
        token = await create_token(connection, team, user, name="test")
        session = await create_token(connection, team, user, name="browser", kind=TokenKind.SESSION)
        return Person(user, token.text, session.text)

    @asynccontextmanager
    async def client(self, person: Person | None = None, **options: Any) -> AsyncIterator[httpx.AsyncClient]:
        """A client of any number of connections."""
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
        async with httpx.AsyncClient(
            base_url=self.url, timeout=60, limits=limits, headers=person.bearer if person else {}, **options
        ) as made:
            yield made

    async def measure(self) -> dict[str, int]:
        """What the process holds."""
        async with self.client() as client:
            found: dict[str, int] = (await client.get("/measured")).json()
            return found

    @asynccontextmanager
    async def beside_an_honest_user(self) -> AsyncIterator[None]:
        """Somebody asks and is answered, all the while; and afterwards nothing is left of what happened meanwhile."""
        before = await self.measure()
        over, answered = asyncio.Event(), 0
        document = "query Honest($n: Int!) { viewer { user { id } } users(first: $n) { nodes { id } } metrics { key } }"

        async def ask() -> None:
            nonlocal answered
            mine = encode_id("User", self.honest.id)
            async with self.client(self.honest) as client:
                while True:
                    response = await client.post("/graphql", json={"query": document, "variables": {"n": 5}})
                    assert response.status_code == 200, response.text
                    answer = response.json()
                    assert "errors" not in answer, answer
                    assert answer["data"]["viewer"]["user"]["id"] == mine
                    assert [one["id"] for one in answer["data"]["users"]["nodes"]] == [mine]
                    assert len(answer["data"]["metrics"]) > 30
                    answered += 1
                    if over.is_set():
                        return
                    await asyncio.sleep(0.01)

        asking = asyncio.ensure_future(ask())
        try:
            yield
        except BaseException:
            asking.cancel()
            raise
        over.set()
        await asking
        assert answered >= 1
        await self.settles(before)

    async def settles(self, before: dict[str, int]) -> None:
        """Wait until the process holds no more than it did."""

        now: dict[str, int] = {}

        async def settled() -> bool:
            now.update(await self.measure())
            return (
                now["descriptors"] <= before["descriptors"] + SPARE_DESCRIPTORS
                and now["tasks"] <= before["tasks"] + SPARE_TASKS
                and all(now[name] <= before[name] for name in ("streams", "logs", "connections", "lobby", "lines"))
            )

        await until(settled, lambda: f"{before} became {now}")

    def judge(self, status: int, text: str, *, refused: bool | None = None) -> list[dict[str, Any]]:
        """Hold an answer against the rules of all answers. Returns its errors.

        Args:
            status: Of HTTP.
            text: The body.
            refused: Whether it has to be a refusal; None: either.
        """
        assert status < 500 or "TIMEOUT" in text, text[:1000]
        inside = [one for one in (*FORBIDDEN, *self.tables) if one in text]
        assert not inside, (inside, text[:1000])
        answer = json.loads(text)
        errors: list[dict[str, Any]] = answer.get("errors") or []
        if status >= 400:
            assert errors, text
        for error in errors:
            assert error["message"], error
            assert re.fullmatch("[A-Z_]+", error["extensions"]["code"]), error
            assert re.fullmatch("[0-9a-f]{32}", error["extensions"]["requestId"]), error
        if refused is not None:
            assert bool(errors) is refused, text[:500]
        return errors


async def until(true: Callable[[], Awaitable[bool]], otherwise: Callable[[], str]) -> None:
    """Wait for something that has to come."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while not await true():
        assert time.monotonic() < deadline, otherwise()
        await asyncio.sleep(0.1)


def frame(data: bytes, *, opcode: int = 1, final: bool = True) -> bytes:
    """A WebSocket frame of a client's."""
    head = bytes([(0x80 if final else 0) | opcode])
    if len(data) < 126:
        head += bytes([0x80 | len(data)])
    elif len(data) < 65_536:
        head += bytes([0x80 | 126]) + struct.pack("!H", len(data))
    else:
        head += bytes([0x80 | 127]) + struct.pack("!Q", len(data))
    return head + b"\0\0\0\0" + data


class Plug:
    """A bare TCP connection: says what it is told to, and reads when it is asked to.

    Args:
        port: The server's.
        small: With small buffers, so that what is not read stays with the server.
    """

    def __init__(self, port: int, *, small: bool = False) -> None:
        self._socket = socket.socket()
        if small:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._socket.connect(("127.0.0.1", port))
        self._socket.setblocking(False)

    async def say(self, data: bytes) -> bool:
        """Send. Returns whether the other side still takes it."""
        try:
            async with asyncio.timeout(5):
                await asyncio.get_running_loop().sock_sendall(self._socket, data)
        except (OSError, TimeoutError):
            return False
        return True

    async def hear(self) -> bytes:
        """Everything until the other side closes."""
        heard = b""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(SETTLE_SECONDS):
            while True:
                try:
                    piece = await loop.sock_recv(self._socket, 65_536)
                except OSError:
                    return heard
                if not piece:
                    return heard
                heard += piece

    async def open_websocket(self, headers: str = "") -> None:
        """Ask for a WebSocket, and read no further than that it is there."""
        key = b64encode(os.urandom(16)).decode()
        await self.say(
            f"GET /graphql HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}"
            f"\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: graphql-transport-ws\r\n{headers}\r\n".encode()
        )
        answer = b""
        async with asyncio.timeout(SETTLE_SECONDS):
            while not answer.endswith(b"\r\n\r\n"):
                answer += await asyncio.get_running_loop().sock_recv(self._socket, 1)
        assert answer.startswith(b"HTTP/1.1 101 "), answer

    def close(self) -> None:
        """Hang up."""
        self._socket.close()
