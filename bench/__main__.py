"""`python -m bench [part[=size] …]`: every measurement with its floor, taken in turns in one run.

Only the ratios mean something. Without parts, all of them at their usual sizes, in a few minutes; `python -m bench
dashboard syncing=1000000` those alone. Each part has a database of its own and a longest time, after which it has
missed its goal.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import tempfile
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import structlog
from rich.console import Console
from rich.table import Table

from bench import actions, dashboard, fanout, importing, syncing
from bench.measure import Comparison
from cli.embedded.postgres import DATABASE, EmbeddedPostgres
from cli.embedded.redis import EmbeddedRedis
from domain.database import migrate

Measure = Callable[[str, str], Coroutine[Any, Any, list[Comparison]]]


@dataclass(frozen=True, slots=True)
class Part:
    """Something that is measured alone.

    Args:
        measure: Given the addresses of PostgreSQL and Redis, and a size.
        size: The usual one.
        unit: What it counts.
        seconds: After so many, at the usual size, it is given up; with the size it grows.
    """

    measure: Callable[[str, str, int], Coroutine[Any, Any, list[Comparison]]]
    size: int
    unit: str
    seconds: float


async def _actions(database_url: str, redis_url: str, count: int) -> list[Comparison]:
    return await actions.measure(database_url, redis_url, count=count)


PARTS = {
    "importing": Part(importing.measure, importing.ROWS, "records", 90),
    "syncing": Part(syncing.first_sync, syncing.ROWS, "records", 90),
    "scheduled": Part(syncing.scheduled, syncing.INTEGRATIONS, "integrations", 120),
    "dashboard": Part(dashboard.measure, dashboard.REPS, "reps", 60),
    "fanout": Part(fanout.measure, fanout.SUBSCRIBERS, "subscribers", 150),
    "actions": Part(_actions, actions.ACTIONS, "actions", 180),
}


def run(parts: dict[str, tuple[Measure, float]]) -> int:
    """Start the services, measure each part within its seconds, print a table. Returns 1 if a goal is missed."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    found: list[Comparison] = []
    with tempfile.TemporaryDirectory() as folder:
        postgres, redis = EmbeddedPostgres(Path(folder) / "postgres"), EmbeddedRedis(Path(folder) / "redis")
        try:
            url, redis_url = postgres.start(), redis.start()
            asyncio.run(migrate(url))
            for number, (name, (measure, seconds)) in enumerate(parts.items()):
                began = time.monotonic()
                more = asyncio.run(_within(name, measure, seconds, url, f"{redis_url}/{number}"))
                for one in more:
                    print(one.line(), flush=True)
                print(f"       {name} took {time.monotonic() - began:.0f} s", flush=True)
                found += more
        finally:
            redis.stop()
            postgres.stop()
    Console(width=160, highlight=False).print(_table(found))
    return 0 if all(one.met for one in found) else 1


def alone(measure: Measure, *, seconds: float = 1_800.0) -> int:
    """One measurement. Returns 1 if its goal is missed."""
    return run({"this": (measure, seconds)})


async def _within(name: str, measure: Measure, seconds: float, url: str, redis_url: str) -> list[Comparison]:
    connection = await asyncpg.connect(_at_database(url, "postgres"))
    try:
        await connection.execute(f"CREATE DATABASE bench_{name} TEMPLATE {DATABASE}")
    finally:
        await connection.close()
    try:
        async with asyncio.timeout(seconds):
            return await measure(_at_database(url, f"bench_{name}"), redis_url)
    except TimeoutError:
        return [Comparison(name, float("inf"), 0.0, f"not over after {seconds:.0f} s")]


def _at_database(url: str, name: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


def _table(found: Sequence[Comparison]) -> Table:
    table = Table("measurement", "ratio", "goal", "", "behind it", box=None, pad_edge=False)
    for one in found:
        table.add_row(one.name, f"{one.ratio:.2f}", f"{one.goal:.1f}", "met" if one.met else "MISSED", one.detail)
    return table


def _chosen(text: str) -> tuple[str, int]:
    name, _, size = text.partition("=")
    if name not in PARTS:
        raise argparse.ArgumentTypeError(f"there is no part {name!r}: choose from {', '.join(PARTS)}")
    if size and (not size.isdigit() or not int(size)):
        raise argparse.ArgumentTypeError(f"{size!r} is no number of {PARTS[name].unit}")
    return name, int(size) if size else PARTS[name].size


def main() -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure against the floors, as ratios.")
    parts = ", ".join(f"{name} ({part.size:,} {part.unit})" for name, part in PARTS.items())
    parser.add_argument("part", nargs="*", type=_chosen, help=f"part or part=size; without any, all: {parts}")
    chosen = dict(parser.parse_args().part) or {name: part.size for name, part in PARTS.items()}

    def bound(part: Part, size: int) -> tuple[Measure, float]:
        return lambda url, redis_url: part.measure(url, redis_url, size), part.seconds * max(1.0, size / part.size)

    return run({name: bound(PARTS[name], size) for name, size in chosen.items()})


if __name__ == "__main__":
    raise SystemExit(main())
