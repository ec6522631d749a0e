"""Goal events to 2,000 subscribers of one API process, against a bare relay from a Redis stream to WebSockets.

Both have the same number of connections, the same load in the same lots, and the same client, which reads frames off
its sockets and does nothing else but note when each came. Times are from the commit (or the bare relay's XADD) to the
client. Every part is a process of its own.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from bench.measure import Comparison
from bench.processes import listening, running
from cli.embedded.processes import free_port
from domain import database
from domain.secrets import make_key
from domain.teams import ADMIN, create_team, create_user, role_named
from domain.tokens import create_token

SUBSCRIBERS = 2_000
TEAMS = 40
EVENTS_A_SECOND = 200
LOT = 10
"""Goals of one mutation, as a manager sets them for a group of ten."""
SECONDS = 6.0
WARM_SECONDS = 2.0
ROUNDS = 3
LOTS = int((SECONDS + WARM_SECONDS) * EVENTS_A_SECOND / LOT)
GOAL = 3.0
STALL_GOAL_SECONDS = 0.1
BARE_STREAM = "bench:bare"
SERVERS = ("bench.serve", "bench.bare_relay", "workers")
TEAM_NAME = "Fan-out"
DOCUMENT = "subscription { goalEvents { cursor type at goal { id metric period target version } } }"
_AT = re.compile(rb'"at":"([^"]+)"')


@dataclass
class Clients:
    """Connections that count what comes."""

    latencies: list[float] = field(default_factory=list)
    measuring: bool = False
    received: int = 0
    ready: int = 0


class _Client(asyncio.Protocol):
    """One WebSocket, by hand."""

    def __init__(self, clients: Clients, hello: list[bytes], acknowledged: bytes) -> None:
        self._clients = clients
        self._hello = hello
        self._acknowledged = acknowledged
        self._buffer = b""
        self._upgraded = False
        self._transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        key = base64.b64encode(os.urandom(16)).decode()
        transport.write(
            "GET /graphql HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n".encode()
        )

    def _send(self, text: bytes) -> None:
        length = len(text)
        size = bytes([0x80 | length]) if length < 126 else bytes([0xFE]) + length.to_bytes(2, "big")
        self._transport.write(b"\x81" + size + b"\0\0\0\0" + text)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._upgraded:
            head, found, rest = self._buffer.partition(b"\r\n\r\n")
            if not found:
                return
            assert b" 101 " in head, head
            self._upgraded, self._buffer = True, rest
            for text in self._hello:
                self._send(text)
            if not self._hello:
                self._clients.ready += 1
        buffer, start = self._buffer, 0
        while len(buffer) - start >= 2:
            length, begin = buffer[start + 1] & 127, start + 2
            if length == 126:
                length, begin = int.from_bytes(buffer[start + 2 : start + 4], "big"), start + 4
            if len(buffer) < begin + length:
                break
            self._take(buffer[start] & 15, buffer[begin : begin + length])
            start = begin + length
        self._buffer = buffer[start:]

    def _take(self, kind: int, text: bytes) -> None:
        clients = self._clients
        if kind == 9:
            self._transport.write(b"\x8a\x80\0\0\0\0")
            return
        found = _AT.search(text)
        if found is not None:
            clients.received += 1
            if clients.measuring:
                clients.latencies.append(time.time() - datetime.fromisoformat(found[1].decode()).timestamp())
        elif self._acknowledged in text:
            clients.ready += 1
        elif b'"ping"' in text:
            self._send(b'{"type":"pong"}')
        elif b'"error"' in text:
            raise RuntimeError(text)


def hellos_of(tokens: Sequence[str], subscribers: int) -> list[list[bytes]]:
    """What each of so many subscribers says first, equally many of each team."""
    return [
        [
            json.dumps({"type": "connection_init", "payload": {"authorization": f"Bearer {token}"}}).encode(),
            json.dumps({"id": "1", "type": "subscribe", "payload": {"query": DOCUMENT}}).encode(),
        ]
        for token in tokens
        for _ in range(subscribers // len(tokens))
    ]


async def connect(port: int, clients: Clients, hellos: list[list[bytes]]) -> list[Any]:
    """Open a connection for each greeting. Returns their transports, once all are acknowledged."""
    loop = asyncio.get_running_loop()
    transports = []
    for number, hello in enumerate(hellos):
        transport, _protocol = await loop.create_connection(
            lambda hello=hello: _Client(clients, hello, b"connection_ack"),  # type: ignore[misc]
            "127.0.0.1",
            port,
        )
        transports.append(transport)
        if number % 50 == 0:
            await asyncio.sleep(0.01)
    async with asyncio.timeout(60):
        while clients.ready < len(hellos):
            await asyncio.sleep(0.05)
    return transports


async def _drive(
    name: str, first: int, clients: Clients, environment: dict[str, str], subscribers: int
) -> tuple[list[float], bool]:
    """Have the load written; returns the latencies, and whether everything arrived."""
    expected = LOTS * LOT * (subscribers // TEAMS)
    clients.latencies, clients.received = [], 0
    writer = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.writer", name, str(first), env=os.environ | environment
    )
    while not clients.received:
        await asyncio.sleep(0.01)
    await asyncio.sleep(WARM_SECONDS)
    clients.measuring = True
    await writer.wait()
    deadline = time.monotonic() + 60
    while clients.received < expected and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
    return clients.latencies, clients.received == expected


async def make_teams() -> list[str]:
    """Makes the teams. Returns a token of each one's admin."""
    found = []
    for number in range(TEAMS):
        async with database.acquire(database.ALL_TEAMS) as connection:
            team_id = await create_team(connection, name=f"{TEAM_NAME} {number}")
            admin = await role_named(connection, team_id, ADMIN)
            users = [
                await create_user(connection, team_id, name=f"U{one}", email=f"u{one}@fan{number}.test", role_id=admin)
                for one in range(LOT)
            ]
            token = await create_token(connection, team_id, users[0], name="bench")
        found.append(token.text)
    return found


def _p99(latencies: list[float]) -> float:
    return statistics.quantiles(latencies, n=100)[98]


async def measure(database_url: str, redis_url: str, subscribers: int = SUBSCRIBERS) -> list[Comparison]:
    """Both in turns; the median of the rounds' p99s counts, and the largest stall of all."""
    subscribers -= subscribers % TEAMS
    await database.connect(database_url, pool_size=4)
    tokens = await make_teams()
    hellos = hellos_of(tokens, subscribers)
    bare_port, port = free_port(), free_port()
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        stalls = Path(folder) / "stalls"
        environment = {
            "SIDELINE_DATABASE_URL": database_url,
            "SIDELINE_REDIS_URL": redis_url,
            "SIDELINE_SECRET_KEYS": make_key(),
            "SIDELINE_COST_PER_MINUTE": str(10**12),
            "SIDELINE_STREAMS_PER_USER": str(subscribers),
            "BENCH_SUBSCRIBERS": str(subscribers),
            "BENCH_PORT": str(port),
            "BENCH_BARE_PORT": str(bare_port),
            "BENCH_TEAMS": str(TEAMS),
            "BENCH_STALLS": str(stalls),
        }
        commands = [([sys.executable, "-m", name], environment) for name in SERVERS]
        with running(commands, log=log):
            await asyncio.gather(listening(port), listening(bare_port))
            found = await _turns(hellos, bare_port, port, environment)
        stall = float(stalls.read_text())
    await database.disconnect()
    bound = STALL_GOAL_SECONDS
    detail = f"{stall * 1e3:.0f} ms, of {bound * 1e3:.0f} ms allowed"
    return [
        *found,
        Comparison("largest event loop stall", stall / bound, 1.0, detail, ours=stall * 1e3, floor=bound * 1e3),
    ]


async def _turns(hellos: list[list[bytes]], bare_port: int, port: int, environment: dict[str, str]) -> list[Comparison]:
    bests: dict[str, list[float]] = {"bare": [], "ours": []}
    complete = True
    for number in range(ROUNDS):
        nothing: list[list[bytes]] = [[] for _ in hellos]
        for name, where, greetings in (("bare", bare_port, nothing), ("ours", port, hellos)):
            clients = Clients()
            transports = await connect(where, clients, greetings)
            await asyncio.sleep(1.0)
            latencies, arrived = await _drive(name, number * LOTS, clients, environment, len(hellos))
            complete = complete and arrived
            bests[name].append(_p99(latencies))
            for transport in transports:
                transport.close()
            await asyncio.sleep(1.0)
    us, it = statistics.median(bests["ours"]), statistics.median(bests["bare"])
    rounds = ", ".join(f"{a * 1e3:.1f}/{b * 1e3:.1f}" for a, b in zip(bests["ours"], bests["bare"], strict=True))
    detail = (
        f"p99 {us * 1e3:.1f} ms against {it * 1e3:.1f} ms, rounds {rounds}; {len(hellos)} subscribers in {TEAMS} "
        f"teams, {EVENTS_A_SECOND} events a second, {EVENTS_A_SECOND * len(hellos) // TEAMS} deliveries a second, "
        f"{'all delivered' if complete else 'NOT all delivered'}"
    )
    ratio = us / it if complete else None
    return [Comparison("fan-out of goal events, p99", ratio, GOAL, detail, ours=us * 1e3, floor=it * 1e3)]


if __name__ == "__main__":
    from bench.__main__ import alone

    raise SystemExit(alone(measure))
