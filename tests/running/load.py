"""Light load of all kinds on a cluster, by clients who may try again what the README allows, and nothing else.

Such a client is sent to a process that is ready, as by a balancer that asks /readyz. It tries again: a connection that
is refused, 503, the code UNAVAILABLE, and a stream that ended with RESTARTING, from its cursor. A connection that is
dropped under a request, a 500, or a stream that ends without a word is a failure.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx
import websockets

from domain.events import cursor_of
from tests.running.cluster import SET_GOALS, Cluster
from tests.streams import EVENTS, sse

LOOK_SECONDS = 0.1
"""How often the balancer asks each process whether it is ready."""
PAUSE_SECONDS = 0.1
BATCH_RECORDS = 20
BOARD = """{ teamDashboard(range: {named: THIS_QUARTER}) { metrics { metric value } reps(first: 3) { nodes { rank } } }
    users(first: 5) { nodes { name } } }"""
CLOSED_TO_RETURN = frozenset({1012, 1013})
"""WebSocket close codes that say: come again."""
RETURN_CODES = frozenset({"RESTARTING", "UNAVAILABLE"})


class Balancer:
    """Sends each request to the next process that is ready.

    Args:
        urls: The processes.
    """

    def __init__(self, urls: list[str]) -> None:
        self._urls = urls
        self._ready: list[str] = []
        self._turn = 0

    async def look(self) -> None:
        """Ask each process, again and again, until cancelled."""
        async with httpx.AsyncClient(timeout=2) as client:
            while True:
                self._ready = [url for url in self._urls if await self.is_ready(client, url)]
                await asyncio.sleep(LOOK_SECONDS)

    @staticmethod
    async def is_ready(client: httpx.AsyncClient, url: str) -> bool:
        try:
            return (await client.get(f"{url}/readyz")).status_code == 200
        except httpx.TransportError:
            return False

    async def next(self) -> str:
        """The process whose turn it is, once there is one."""
        while not self._ready:
            await asyncio.sleep(LOOK_SECONDS)
        self._turn += 1
        return self._ready[self._turn % len(self._ready)]


class Load:
    """What clients do all the while, and what became of it.

    Args:
        cluster: What they do it to.
        team_id: Their team.
        token: Of an Admin on it.
        reps: Global ids of people whose goals are set.
        emails: Addresses of people whose activities are imported.
    """

    def __init__(self, cluster: Cluster, team_id: UUID, token: str, reps: list[str], emails: list[str]) -> None:
        self.cluster = cluster
        self.team_id = team_id
        self.headers = {"authorization": f"Bearer {token}"}
        self.token = token
        self.reps = reps
        self.emails = emails
        self.balancer = Balancer(cluster.urls)
        self.retried: Counter[str] = Counter()
        self.changes = 0
        self.records = 0
        self.answers = 0
        self.followed: dict[str, list[str]] = {"socket": [], "sse": []}
        self._leaving = asyncio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """All of it, while the context is open; what goes wrong is raised at its end at the latest."""
        looking = asyncio.ensure_future(self.balancer.look())
        work = [asyncio.ensure_future(one()) for one in (self._read, self._change, self._import)]
        streams = [asyncio.ensure_future(self._follow(kind)) for kind in self.followed]
        try:
            yield
            self._leaving.set()
            async with asyncio.timeout(30):
                await asyncio.gather(*work)
                expected = await self.cluster.cursors(self.team_id)
                while any(len(got) < len(expected) for got in self.followed.values()):
                    for stream in streams:
                        if stream.done():
                            await stream
                    await asyncio.sleep(0.05)
        finally:
            for task in (looking, *work, *streams):
                task.cancel()
            await asyncio.wait((looking, *work, *streams))
        for stream in streams:
            if not stream.cancelled():
                await stream

    async def ask(self, document: str, **variables: Any) -> dict[str, Any]:
        """The data of an operation."""
        body = {"query": document, "variables": variables}
        answer = await self._send("/graphql", json=body)
        found: dict[str, Any] = answer.json()
        return found["data"]

    async def _send(self, path: str, **content: Any) -> httpx.Response:
        while True:
            url = await self.balancer.next()
            try:
                async with httpx.AsyncClient(timeout=30) as client:
                    answer = await client.post(url + path, headers=self.headers, **content)
            except httpx.ConnectError:
                self.retried["refused"] += 1
                continue
            body = answer.json()
            codes = {error["extensions"]["code"] for error in body.get("errors", ())}
            if answer.status_code == 503 or codes == {"UNAVAILABLE"}:
                self.retried["unavailable"] += 1
                await asyncio.sleep(PAUSE_SECONDS)
                continue
            assert answer.status_code in (200, 202), (url, answer.status_code, answer.text)
            assert not codes, (url, answer.text)
            self.answers += 1
            return answer

    async def _read(self) -> None:
        while not self._leaving.is_set():
            assert (await self.ask(BOARD))["teamDashboard"]["metrics"]
            await asyncio.sleep(PAUSE_SECONDS)

    async def _change(self) -> None:
        while not self._leaving.is_set():
            number = self.changes + 1
            given = {
                "metric": "CALLS_LOGGED",
                "period": "MONTH",
                "target": str(number),
                "userIds": [self.reps[number % len(self.reps)]],
                "idempotencyKey": f"change {number}",
            }
            assert (await self.ask(SET_GOALS, input=given))["setGoals"]["errors"] == []
            self.changes = number
            await asyncio.sleep(PAUSE_SECONDS)

    async def _import(self) -> None:
        while not self._leaving.is_set():
            lines = [
                json.dumps(
                    {
                        "kind": "email",
                        "externalId": f"email {number}",
                        "user": self.emails[number % len(self.emails)],
                        "occurredAt": datetime.now(UTC).isoformat(),
                        "subject": "Hello",
                    }
                )
                for number in range(self.records, self.records + BATCH_RECORDS)
            ]
            await self._send("/import?source=load&format=ndjson", content="\n".join(lines))
            self.records += BATCH_RECORDS
            await asyncio.sleep(3 * PAUSE_SECONDS)

    async def _follow(self, kind: str) -> None:
        """Subscribe, from the cursor that was kept, again and again."""
        got = self.followed[kind]
        follow = self._follow_socket if kind == "socket" else self._follow_sse
        while True:
            url = await self.balancer.next()
            try:
                await follow(url, got)
            except (httpx.ConnectError, ConnectionRefusedError):
                self.retried[f"{kind} refused"] += 1
            await asyncio.sleep(0.02)

    def _after(self, got: list[str]) -> str:
        return got[-1] if got else cursor_of(self.team_id, 0)

    def _take(self, kind: str, told: dict[str, Any], got: list[str]) -> bool:
        """Keep an event's cursor. Returns whether the stream goes on."""
        if not told.get("errors"):
            got.append(told["data"]["goalEvents"]["cursor"])
            return True
        (extensions,) = (error["extensions"] for error in told["errors"])
        assert extensions["code"] in RETURN_CODES, told
        assert extensions.get("cursor", self._after(got)) == self._after(got), told
        self.retried[f"{kind} {extensions['code']}"] += 1
        return False

    async def _follow_sse(self, url: str, got: list[str]) -> None:
        try:
            async for told in sse(url, self.token, EVENTS, after=self._after(got)):
                if not self._take("sse", told, got):
                    return
        except httpx.HTTPStatusError as error:
            if error.response.status_code != 503:
                raise
            self.retried["sse unavailable"] += 1
            return
        raise AssertionError("a stream ended without a word")

    async def _follow_socket(self, url: str, got: list[str]) -> None:
        address = url.replace("http", "ws", 1) + "/graphql"
        try:
            async with websockets.connect(address, subprotocols=["graphql-transport-ws"]) as raw:  # type: ignore[list-item]
                await raw.send(json.dumps({"type": "connection_init", "payload": self.headers}))
                assert json.loads(await raw.recv())["type"] == "connection_ack"
                asked = {"query": EVENTS, "variables": {"after": self._after(got)}}
                await raw.send(json.dumps({"type": "subscribe", "id": "1", "payload": asked}))
                async for text in raw:
                    message = json.loads(text)
                    if message["type"] == "ping":
                        await raw.send('{"type":"pong"}')
                    elif message["type"] == "error":
                        assert not self._take("socket", {"errors": message["payload"]}, got)
                        return
                    else:
                        assert message["type"] == "next", message
                        assert self._take("socket", message["payload"], got), message
        except websockets.ConnectionClosedError as error:
            if error.rcvd is None or error.rcvd.code not in CLOSED_TO_RETURN:
                raise
            self.retried[f"socket {error.rcvd.code}"] += 1
            return
        raise AssertionError("a stream ended without a word")

    async def settle(self) -> None:
        """Wait until every job is done."""
        async with asyncio.timeout(30):
            while await self._value("SELECT count(*) FROM jobs WHERE state IN ('SCHEDULED', 'RUNNING')"):
                await asyncio.sleep(0.1)

    async def check(self) -> None:
        """Every event came once and in order by each transport; every change and every record had its effect once."""
        expected = await self.cluster.cursors(self.team_id)
        assert len(expected) == self.changes, "one change, one event, however often it was sent"
        assert self.changes
        assert self.records
        for kind, got in self.followed.items():
            assert got == expected, kind
        states = await self._value("SELECT array_agg(DISTINCT state) FROM jobs WHERE kind = 'import'")
        assert states == ["SUCCEEDED"]
        imports = await self._value("SELECT count(*) FROM jobs WHERE kind = 'import'")
        assert imports == self.records // BATCH_RECORDS
        keys = "SELECT count(*) FROM activity_keys WHERE team_id = $1"
        assert await self._value(keys, self.team_id) == self.records
        sums = "SELECT sum(emails_sent)::bigint FROM rollup_days WHERE team_id = $1"
        assert await self._value(sums, self.team_id) == self.records
        heads = "event_heads h JOIN event_relays r USING (team_id)"
        async with asyncio.timeout(10):
            while await self._value(f"SELECT h.position - r.position FROM {heads} WHERE team_id = $1", self.team_id):
                await asyncio.sleep(0.1)

    async def _value(self, statement: str, *arguments: Any) -> Any:
        return await self.cluster.run(lambda connection: connection.fetchval(statement, *arguments))


async def make_load(cluster: Cluster) -> Load:
    """A team with its load."""
    team_id, token, reps = await cluster.make_team()
    rows = await cluster.run(lambda connection: connection.fetch("SELECT email FROM users WHERE team_id = $1", team_id))
    return Load(cluster, team_id, token, reps, [row["email"] for row in rows])
