"""Small clients of the streams, for tests: they say what came, and do nothing else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import websockets

EVENTS = """subscription($after: String, $filter: GoalFilter) {
  goalEvents(after: $after, filter: $filter) { cursor type goal { id target subject { ... on User { name } } } }
}"""


@dataclass
class Socket:
    """A graphql-transport-ws connection."""

    raw: Any
    ids: int = 0
    pings: int = 0
    waiting: dict[str, asyncio.Queue[dict[str, Any]]] = field(default_factory=dict)

    async def read(self) -> None:
        """Hand messages to whoever waits for them; answers pings."""
        async for text in self.raw:
            message = json.loads(text)
            if message["type"] == "ping":
                self.pings += 1
                await self.raw.send('{"type":"pong"}')
            elif "id" in message:
                await self.waiting[message["id"]].put(message)

    async def subscribe(self, document: str, **variables: Any) -> asyncio.Queue[dict[str, Any]]:
        """Start an operation; its messages come through the queue."""
        self.ids += 1
        name = str(self.ids)
        queue = self.waiting[name] = asyncio.Queue()
        await self.raw.send(
            json.dumps({"id": name, "type": "subscribe", "payload": {"query": document, "variables": variables}})
        )
        return queue


@asynccontextmanager
async def socket(url: str, token: str, **options: Any) -> AsyncIterator[Socket]:
    """An open connection."""
    address = url.replace("http", "ws", 1) + "/graphql"
    async with websockets.connect(address, subprotocols=["graphql-transport-ws"], **options) as raw:  # type: ignore[list-item]
        await raw.send(json.dumps({"type": "connection_init", "payload": {"authorization": f"Bearer {token}"}}))
        assert json.loads(await raw.recv())["type"] == "connection_ack"
        client = Socket(raw)
        reading = asyncio.ensure_future(client.read())
        try:
            yield client
        finally:
            reading.cancel()
            await asyncio.wait({reading})


async def take(queue: asyncio.Queue[dict[str, Any]], count: int, seconds: float = 15.0) -> list[Any]:
    """The next answers of an operation."""
    found = []
    async with asyncio.timeout(seconds):
        while len(found) < count:
            message = await queue.get()
            assert message["type"] == "next", message
            assert "errors" not in message["payload"], message
            found.append(message["payload"]["data"])
    return found


async def sse(url: str, token: str, document: str, **variables: Any) -> AsyncIterator[dict[str, Any]]:
    """The answers of a stream of server-sent events; pings are left out, `complete` ends it."""
    async with (
        httpx.AsyncClient(timeout=30) as client,
        client.stream(
            "POST",
            f"{url}/graphql",
            json={"query": document, "variables": variables},
            headers={"accept": "text/event-stream", "authorization": f"Bearer {token}"},
        ) as response,
    ):
        if response.status_code != 200:
            said = (await response.aread()).decode()
            raise httpx.HTTPStatusError(said, request=response.request, response=response)
        assert response.headers["content-type"].startswith("text/event-stream")
        kind = ""
        async for line in response.aiter_lines():
            if line.startswith("event: "):
                kind = line.removeprefix("event: ")
            elif line.startswith("data:") and kind == "next":
                yield json.loads(line.removeprefix("data:"))
            elif line.startswith("data:") and kind == "complete":
                return
