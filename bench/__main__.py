"""`python -m bench [part[=size] …]`: every measurement with its floor, taken in turns in one run.

Only the ratios mean something. Without parts, all of them at their usual sizes; `python -m bench dashboard
syncing=1000000` those alone. Each part has a database of its own and a longest time, after which it has missed its
goal. `--growth DIR` measures the clusters that `python -m bench.growth build` has made there, too. `--results` writes
what was found to bench/results.json, bench/RESULTS.md and bench/results.svg.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import structlog
from rich.console import Console
from rich.table import Table

from bench import (
    actions,
    connections,
    dashboard,
    dashboards,
    fanout,
    growth,
    importing,
    jobs,
    mutation,
    peers,
    people,
    results,
    startup,
    syncing,
)
from bench.growth import Point
from bench.measure import Comparison
from bench.results import Run, machine
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
    "dashboard": Part(dashboard.measure, people.REPS, "reps", 60),
    "dashboards": Part(dashboards.measure, people.REPS, "reps", 120),
    "connections": Part(connections.measure, connections.ACTIVITIES, "activities", 120),
    "mutation": Part(mutation.measure, mutation.SUBJECTS, "reps", 60),
    "peers": Part(peers.measure, peers.ACTIVITIES, "activities", 300),
    "importing": Part(importing.measure, importing.ROWS, "records", 90),
    "syncing": Part(syncing.first_sync, syncing.ROWS, "records", 90),
    "scheduled": Part(syncing.scheduled, syncing.INTEGRATIONS, "integrations", 120),
    "jobs": Part(jobs.measure, jobs.JOBS, "jobs", 180),
    "actions": Part(_actions, actions.ACTIONS, "actions", 180),
    "fanout": Part(fanout.measure, fanout.SUBSCRIBERS, "subscribers", 150),
    "subscribers": Part(startup.subscribers, startup.SUBSCRIBERS, "subscribers", 90),
    "startup": Part(startup.startup, startup.STARTS, "starts", 120),
}
GROWTH_SECONDS = 300.0


def collect(parts: dict[str, tuple[Measure, float]], growth_folder: Path | None = None) -> Run:
    """Start the services and measure each part within its seconds.

    Args:
        parts: By name, what measures and how long at most.
        growth_folder: Where clusters of several sizes were built; measured after the parts.
    """
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    found: dict[str, list[Comparison]] = {}
    points: list[Point] = []
    began = datetime.now(UTC)
    with tempfile.TemporaryDirectory() as folder:
        postgres, redis = EmbeddedPostgres(Path(folder) / "postgres"), EmbeddedRedis(Path(folder) / "redis")
        try:
            url, redis_url = postgres.start(), redis.start()
            asyncio.run(migrate(url))
            for number, (name, (measure, seconds)) in enumerate(parts.items()):
                with _told(name):
                    found[name] = asyncio.run(_within(name, measure, seconds, url, f"{redis_url}/{number}"))
                    _say(found[name])
        finally:
            redis.stop()
            postgres.stop()
    if growth_folder is not None:
        with _told("growth"):
            found["growth"], points = asyncio.run(growth.measure(growth_folder))
            _say(found["growth"])
    seconds = (datetime.now(UTC) - began).total_seconds()
    return Run(began, round(seconds), machine(), found, points)


@contextmanager
def _told(name: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    print(f"       {name} took {time.monotonic() - began:.0f} s", flush=True)


def _say(found: Sequence[Comparison]) -> None:
    for one in found:
        print(one.line(), flush=True)


def run(parts: dict[str, tuple[Measure, float]], growth_folder: Path | None = None, *, keep: bool = False) -> int:
    """Measure, print a table, and keep the results if wanted. Returns 1 if a goal is missed."""
    done = collect(parts, growth_folder)
    found = [one for several in done.found.values() for one in several]
    Console(width=160, highlight=False).print(_table(found))
    if keep:
        results.keep(done)
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
        return [Comparison(name, None, None, f"not over after {seconds:.0f} s")]


def _at_database(url: str, name: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


def _table(found: Sequence[Comparison]) -> Table:
    table = Table("measurement", "ratio", "goal", "", "behind it", box=None, pad_edge=False)
    for one in found:
        goal = "" if one.goal is None else f"{one.goal:.1f}"
        table.add_row(one.name, one.told_ratio, goal, one.mark, one.detail)
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
    parser.add_argument("--growth", type=Path, metavar="DIR", help="measure the clusters that were built there, too")
    parser.add_argument("--results", action="store_true", help="write bench/RESULTS.md and what belongs to it")
    given = parser.parse_args()
    chosen = dict(given.part) or {name: part.size for name, part in PARTS.items()}
    if not given.part and not peers.installed():
        print(f"peers left out: {peers.HOW_TO_INSTALL}", flush=True)
        del chosen["peers"]

    def bound(part: Part, size: int) -> tuple[Measure, float]:
        return lambda url, redis_url: part.measure(url, redis_url, size), part.seconds * max(1.0, size / part.size)

    wanted = {name: bound(PARTS[name], size) for name, size in chosen.items()}
    return run(wanted, given.growth, keep=given.results)


if __name__ == "__main__":
    raise SystemExit(main())
