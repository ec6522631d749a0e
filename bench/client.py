"""A client that costs little: HTTP/1.1 on one connection that stays, for asking a server the same thing many times."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import orjson


@dataclass(frozen=True, slots=True)
class Question:
    """A GraphQL request, ready to be sent.

    Args:
        port: The server's, on 127.0.0.1.
        request: The head and the body.
    """

    port: int
    request: bytes

    @classmethod
    def of(cls, port: int, query: str, variables: dict[str, Any], token: str | None = None) -> Question:
        """From a document and its variables."""
        body = orjson.dumps({"query": query, "variables": variables})
        allowed = "" if token is None else f"authorization: Bearer {token}\r\n"
        head = (
            f"POST /graphql HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\naccept: application/json\r\n"
            f"content-type: application/json\r\n{allowed}content-length: {len(body)}\r\n\r\n"
        )
        return cls(port, head.encode() + body)


class Client:
    """One connection.

    Args:
        port: The server's, on 127.0.0.1.
    """

    def __init__(self, port: int) -> None:
        self._port = port

    async def __aenter__(self) -> Client:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port, limit=2**26)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()
        await self._writer.wait_closed()

    async def ask(self, question: Question) -> bytes:
        """The body of the answer.

        Raises:
            RuntimeError: the status is not 200.
        """
        self._writer.write(question.request)
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        body = await self._chunks() if b"transfer-encoding: chunked" in head else await self._counted(head)
        if b" 200 " not in head[:15]:
            raise RuntimeError(f"{head[:15].decode()}: {body[:500].decode(errors='replace')}")
        return body

    async def _counted(self, head: bytes) -> bytes:
        length = head.partition(b"content-length:")[2].partition(b"\r\n")[0]
        return await self._reader.readexactly(int(length))

    async def _chunks(self) -> bytes:
        found = bytearray()
        while size := int(await self._reader.readuntil(b"\r\n"), 16):
            found += await self._reader.readexactly(size)
            await self._reader.readexactly(2)
        await self._reader.readexactly(2)
        return bytes(found)


async def answer(question: Question) -> Any:
    """The data of the answer.

    Raises:
        RuntimeError: there are errors in it.
    """
    async with Client(question.port) as client:
        found = orjson.loads(await client.ask(question))
    if found.get("errors"):
        raise RuntimeError(f"{found['errors'][:3]}")
    return found["data"]


async def latency(question: Question, seconds: float) -> list[float]:
    """Ask again and again, one after the other, for some seconds. Returns how long each took, in seconds."""
    times: list[float] = []
    async with Client(question.port) as client:
        until = time.perf_counter() + seconds
        while (began := time.perf_counter()) < until:
            await client.ask(question)
            times.append(time.perf_counter() - began)
    return times


async def throughput(question: Question, seconds: float, connections: int) -> float:
    """Ask on several connections at once for some seconds. Returns answers a second."""
    counts: Sequence[list[float]] = await asyncio.gather(*(latency(question, seconds) for _ in range(connections)))
    return sum(map(len, counts)) / seconds


def median(rounds: Sequence[Sequence[float]]) -> float:
    """The median of all of several rounds."""
    return statistics.median(one for times in rounds for one in times)
