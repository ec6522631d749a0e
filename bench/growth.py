"""How the cost grows with a team's activities: the same questions to clusters of several sizes, in turns.

    python -m bench.growth build --size 10 --data DIR     a cluster with 10 million activities in DIR/10
    python -m bench.growth measure --data DIR             all clusters that were built there

Each size has a PostgreSQL and an API process of its own; reps, years, goals and rows of rollups are the same at every
size. What counts is the median at a size over that at the smallest.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.client import Client, Question
from bench.connections import PAGE
from bench.growing import BUILT, Built, build, built_in
from bench.measure import Comparison
from bench.people import Quarters
from bench.processes import listening, running
from cli.embedded.postgres import EmbeddedPostgres
from cli.embedded.processes import free_port
from cli.embedded.redis import EmbeddedRedis
from domain import database
from domain.ids import encode_id
from domain.secrets import make_key

MILLION = 1_000_000
ROUNDS = 25
WARM_ROUNDS = 5
GOAL = 1.5
"""Flat: the largest size against the smallest."""

Make = Callable[["_Cluster"], Question]


@dataclass(frozen=True, slots=True)
class Point:
    """A median.

    Args:
        name: Of what.
        activities: How many the team has.
        milliseconds: How long it took.
    """

    name: str
    activities: int
    milliseconds: float


@dataclass(frozen=True, slots=True)
class _Cluster:
    """A size that runs."""

    built: Built
    port: int
    numbers: Iterator[int]

    @property
    def quarter(self) -> dict[str, str]:
        """The last quarter that was over when it was built."""
        quarters = Quarters.until(self.built.last)
        return {"from": str(quarters.first), "to": str(quarters.last)}

    def question(self, document: str, **variables: Any) -> Question:
        """As the team's Admin."""
        return Question.of(self.port, document, variables, self.built.staff.token)


_CELL = "metric value previous change"
_ACTIVITIES = f"activities(first: {PAGE}) {{ nodes {{ id occurredAt source externalId user {{ id name }} }} }}"
_RANGED = "query($range: RangeInput!)"


def _over_quarter(document: str) -> Make:
    return lambda cluster: cluster.question(f"{_RANGED} {{ {document} }}", range=cluster.quarter)


def _of_rep(document: str) -> Make:
    return lambda cluster: cluster.question(document, user=encode_id("User", cluster.built.staff.reps[7]))


def _import_one(cluster: _Cluster) -> Question:
    number = next(cluster.numbers)
    return cluster.question(
        "mutation($input: ImportActivitiesInput!) { importActivities(input: $input) { accepted errors { message } } }",
        input={
            "source": "bench",
            "records": [
                {
                    "kind": "call",
                    "externalId": f"grown {number}",
                    "user": f"rep007@{cluster.built.staff.team_id}.test",
                    "occurredAt": f"{cluster.built.last}T15:00:00Z",
                    "durationSeconds": 120,
                    "connected": True,
                    "version": 1,
                }
            ],
        },
    )


QUESTIONS: dict[str, Make] = {
    "team dashboard": _over_quarter(
        f"teamDashboard(range: $range) {{ metrics {{ {_CELL} }} groups {{ group {{ id name }} metrics {{ {_CELL} }} }} "
        f"reps(first: 50, sortBy: CLOSED_WON_AMOUNT) {{ nodes {{ rank user {{ id name }} metrics {{ {_CELL} }} }} }} }}"
    ),
    "team dashboard with goals": _over_quarter(
        "teamDashboard(range: $range) { metrics { metric value goal attainment progress { status } } "
        "groups { group { id } metrics { metric value goal attainment progress { status } } } }"
    ),
    "trends by week": _over_quarter(
        "teamDashboard(range: $range, compare: NONE) { metrics { metric trend(interval: WEEK) { start value } } }"
    ),
    "who falls behind": _over_quarter(
        "teamDashboard(range: $range, compare: NONE) { fallingBehind(first: 10) { rank user { id name } } }"
    ),
    "list of reps": _over_quarter(
        "individuals(range: $range, first: 50, sortBy: CALLS_LOGGED) "
        "{ nodes { rank user { id } metrics { metric value } } }"
    ),
    "individual dashboard": lambda cluster: cluster.question(
        "query($range: RangeInput!, $user: ID!) { individualDashboard(range: $range, userId: $user) "
        f"{{ metrics {{ mine {{ {_CELL} }} peerAverage peerMedian percentile }} }} }}",
        range=cluster.quarter,
        user=encode_id("User", cluster.built.staff.reps[7]),
    ),
    "manager view": _over_quarter(
        "managerView(range: $range) { managers { manager { id } comments } notCoachedCount }"
    ),
    f"{PAGE} newest activities": lambda cluster: cluster.question(f"{{ {_ACTIVITIES} }}"),
    f"{PAGE} newest activities of a rep": _of_rep(
        f"query($user: ID!) {{ node(id: $user) {{ ... on User {{ {_ACTIVITIES} }} }} }}"
    ),
    f"{PAGE} newest conversations": lambda cluster: cluster.question(
        f"{{ activities(first: {PAGE}, filter: {{kinds: [CONVERSATION]}}) {{ nodes {{ id user {{ id }} }} }} }}"
    ),
    f"{PAGE} users": lambda cluster: cluster.question(f"{{ users(first: {PAGE}) {{ nodes {{ id name }} }} }}"),
    "import of one activity": _import_one,
}


def sizes_in(data: Path) -> list[Path]:
    """The folders of the clusters that were built, the smallest first."""
    found = [folder for folder in data.iterdir() if (folder / BUILT).exists()]
    return sorted(found, key=lambda folder: built_in(folder).activities)


@asynccontextmanager
async def _clusters(data: Path) -> AsyncIterator[list[_Cluster]]:
    """All sizes, each with its PostgreSQL and API; one Redis for all."""
    with ExitStack() as stack:
        redis = EmbeddedRedis(Path(stack.enter_context(tempfile.TemporaryDirectory())) / "redis")
        stack.callback(redis.stop)
        redis_url = redis.start()
        found = []
        for number, folder in enumerate(sizes_in(data)):
            postgres = EmbeddedPostgres(folder)
            stack.callback(postgres.stop)
            url, port = postgres.start(), free_port()
            # It may have been built before a migration.
            await database.migrate(url)
            environment = {
                "SIDELINE_DATABASE_URL": url,
                "SIDELINE_REDIS_URL": f"{redis_url}/{number}",
                "SIDELINE_SECRET_KEYS": make_key(),
                "SIDELINE_COST_PER_MINUTE": str(10**12),
                "SIDELINE_LOG_LEVEL": "warning",
                "PORT": str(port),
            }
            stack.enter_context(running([([sys.executable, "-m", "api"], environment)]))
            # Numbers that no run before has used.
            found.append(_Cluster(built_in(folder), port, itertools.count(time.time_ns())))
        yield found


async def _rounds(cluster: _Cluster, make: Make, rounds: int) -> list[float]:
    times = []
    async with Client(cluster.port) as client:
        for _ in range(rounds):
            question = make(cluster)
            began = time.perf_counter()
            answer = await client.ask(question)
            times.append(time.perf_counter() - began)
            if b'"errors":[{' in answer or b'"data":null' in answer:
                raise RuntimeError(answer[:500].decode(errors="replace"))
    return times


async def measure(data: Path) -> tuple[list[Comparison], list[Point]]:
    """The largest size against the smallest, for each question; and all medians.

    Raises:
        FileNotFoundError: fewer than two sizes were built.
    """
    if not data.is_dir() or len(sizes_in(data)) < 2:
        raise FileNotFoundError(
            f"{data} holds fewer than two sizes: python -m bench.growth build --size … --data {data}"
        )
    async with _clusters(data) as clusters:
        await asyncio.gather(*(listening(cluster.port) for cluster in clusters))
        found: list[Comparison] = []
        points: list[Point] = []
        for name, make in QUESTIONS.items():
            for cluster in clusters:
                await _rounds(cluster, make, WARM_ROUNDS)
            times: list[list[float]] = [[] for _ in clusters]
            for _ in range(ROUNDS):
                for cluster, taken in zip(clusters, times, strict=True):
                    taken += await _rounds(cluster, make, 1)
            medians = [
                Point(name, cluster.built.activities, statistics.median(taken) * 1e3)
                for cluster, taken in zip(clusters, times, strict=True)
            ]
            points += medians
            found.append(_flat(name, medians))
    return found, points


def _flat(name: str, medians: list[Point]) -> Comparison:
    first, last = medians[0], medians[-1]
    detail = ", ".join(f"{one.milliseconds:.1f} ms at {one.activities / MILLION:g} M" for one in medians)
    return Comparison(
        f"{name}: {last.activities / MILLION:g} million activities beside {first.activities / MILLION:g}",
        last.milliseconds / first.milliseconds,
        GOAL,
        detail,
        ours=last.milliseconds,
        floor=first.milliseconds,
    )


def main() -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.growth", description="Growth with the number of activities.")
    commands = parser.add_subparsers(dest="command", required=True)
    building = commands.add_parser("build", help="make a cluster; minutes a 10 million, some 600 bytes an activity")
    building.add_argument("--size", type=float, required=True, help="millions of activities")
    building.add_argument("--data", type=Path, required=True)
    commands.add_parser("measure", help="measure the clusters").add_argument("--data", type=Path, required=True)
    given = parser.parse_args()
    if given.command == "build":
        asyncio.run(build(given.data / f"{given.size:g}", int(given.size * MILLION)))
        return 0
    found, _points = asyncio.run(measure(given.data))
    for one in found:
        print(one.line(), flush=True)
    return 0 if all(one.met for one in found) else 1


if __name__ == "__main__":
    raise SystemExit(main())
