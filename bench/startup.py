"""How long an API process takes from its start to `/readyz`, its database migrated, against a bare one with one field
and a pool; and how much memory it holds then and gains by each thousand subscribers, against a bare relay.
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.fanout import TEAMS, Clients, connect, hellos_of, make_teams
from bench.measure import Comparison
from bench.processes import START_SECONDS, listening, running
from cli.embedded.processes import free_port
from domain import database
from domain.secrets import make_key

STARTS = 7
SUBSCRIBERS = 2_000
MEMORY_GOAL = 3.0
STEP_SECONDS = 0.005
SETTLE_SECONDS = 3.0


async def _ready(port: int) -> bool:
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    try:
        writer.write(b"GET /readyz HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n")
        return b" 200 " in await reader.readline()
    finally:
        writer.close()


async def _start(command: Sequence[str], environment: Mapping[str, str], port: int) -> float:
    """Seconds from a process's start to its readiness; it is stopped again."""
    began = time.perf_counter()
    with running([(command, environment)]):
        async with asyncio.timeout(START_SECONDS):
            while not await _ready(port):
                await asyncio.sleep(STEP_SECONDS)
        return time.perf_counter() - began


def _environment(database_url: str, redis_url: str, port: int) -> dict[str, str]:
    return {
        "SIDELINE_DATABASE_URL": database_url,
        "SIDELINE_REDIS_URL": redis_url,
        "SIDELINE_SECRET_KEYS": make_key(),
        "SIDELINE_LOG_LEVEL": "warning",
        "PORT": str(port),
    }


async def startup(database_url: str, redis_url: str, starts: int = STARTS) -> list[Comparison]:
    """So many starts of each, in turns, after one of each that is not counted."""
    port = free_port()
    environment = _environment(database_url, redis_url, port)
    commands = {
        "ours": [str(Path(sys.executable).parent / "sideline"), "api"],
        "bare": [sys.executable, "-m", "bench.bare_api"],
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for number in range(starts + 1):
        for name, command in commands.items():
            seconds = await _start(command, environment, port)
            if number:
                times[name].append(seconds)
    us, it = (statistics.median(times[name]) for name in commands)
    detail = f"{us * 1e3:.0f} ms against {it * 1e3:.0f} ms from the start of the process, {starts} starts"
    return [Comparison("start of the API until ready", us / it, None, detail, ours=us * 1e3, floor=it * 1e3)]


def resident_megabytes(process: subprocess.Popen[bytes]) -> float:
    """The memory that a process holds."""
    found = subprocess.run(["ps", "-o", "rss=", "-p", str(process.pid)], capture_output=True, text=True, check=True)
    return int(found.stdout) / 1024


async def subscribers(database_url: str, redis_url: str, count: int = SUBSCRIBERS) -> list[Comparison]:
    """Memory gained by so many subscribers of goal events, by the thousand."""
    count -= count % TEAMS
    await database.connect(database_url, pool_size=4)
    try:
        tokens = await make_teams()
    finally:
        await database.disconnect()
    port, bare_port = free_port(), free_port()
    environment = {
        **_environment(database_url, redis_url, port),
        "SIDELINE_STREAMS_PER_USER": str(count),
        "SIDELINE_COST_PER_MINUTE": str(10**12),
        "BENCH_BARE_PORT": str(bare_port),
        "BENCH_SUBSCRIBERS": str(count),
        "BENCH_TEAMS": str(TEAMS),
    }
    commands = [([sys.executable, "-m", module], environment) for module in ("api", "bench.bare_relay")]
    gained, held = [], []
    with running(commands) as processes:
        await asyncio.gather(listening(port), listening(bare_port))
        nothing: list[list[bytes]] = [[] for _ in range(count)]
        sides = ((port, hellos_of(tokens, count)), (bare_port, nothing))
        for process, (where, hellos) in zip(processes, sides, strict=True):
            # The first connections bring what is loaded once.
            for transport in await connect(where, Clients(), hellos[:TEAMS]):
                transport.close()
            await asyncio.sleep(SETTLE_SECONDS)
            before = resident_megabytes(process)
            transports = await connect(where, Clients(), hellos)
            await asyncio.sleep(SETTLE_SECONDS)
            gained.append((resident_megabytes(process) - before) * 1000 / count)
            held.append(before)
            for transport in transports:
                transport.close()
    us, it = gained
    detail = f"{us:.1f} MB against {it:.1f} MB, {count:,} subscribers; before them {held[0]:.0f} and {held[1]:.0f} MB"
    return [Comparison("memory per 1,000 subscribers", us / it, MEMORY_GOAL, detail, ours=us, floor=it, unit="MB")]
