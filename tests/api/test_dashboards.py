"""Dashboards through GraphQL.

Invariants:
A. The short way of execution gives what graphql-core's ordinary way gives, for any selection.
B. A dashboard costs a fixed number of statements, however many reps and fields.
C. Peers' statistics are those of a brute force.
D. A range or a page that does not fit is refused by name.
"""

from __future__ import annotations

import statistics
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from random import Random
from typing import Any
from uuid import UUID

import asyncpg
import pytest

import api.execution
from domain import ingest
from domain.database import ALL_TEAMS, acquire
from domain.metrics import METRICS
from domain.records import decode_mapping
from tests.api.conftest import Api
from tests.factories import make_group, make_role, make_team, make_user
from tests.oracle.recount import metric, newest, recount
from tests.records import random_record

RANGE = '{from: "2026-02-15", to: "2026-04-10"}'


async def build(size: int, reps: int) -> tuple[UUID, list[UUID], list[dict[str, Any]]]:
    async with acquire(ALL_TEAMS) as connection:
        team_id = await make_team(connection, timezone="America/New_York")
        admin = await make_role(connection, team_id, is_admin=True)
        group = await make_group(connection, team_id, "group")
        boss = await make_user(connection, team_id, admin, is_rep=False)
        users = [await make_user(connection, team_id, admin, group_id=group) for _ in range(reps)]
    random = Random(size)
    emails = [f"{user.hex}@example.test" for user in users]
    records = [random_record(random, emails, f"a{number}", 1) for number in range(size)]
    await ingest.take_in(team_id, "test", [(n, decode_mapping(one)) for n, one in enumerate(records)])
    return boss, users, records


DOCUMENT = f"""
query Everything($skip: Boolean = true, $interval: TrendInterval = WEEK) {{
  teamDashboard(range: {RANGE}, compare: PREVIOUS_PERIOD) {{
    metrics {{ ...Cell metric again: value available @skip(if: $skip) }}
    groups {{ group {{ name }} metrics {{ __typename metric value previous change changeRatio goal attainment }} }}
    reps(first: 3, sortBy: EMAILS_SENT) {{
      nodes {{ rank metrics {{ metric progress {{ status }} months: trend(interval: MONTH) {{ start end value }} }} }}
    }}
  }}
  individualDashboard(range: {RANGE}) {{ metrics {{ mine {{ metric value trend(interval: $interval) {{ value }} }} }} }}
}}
fragment Cell on MetricValue {{
  value previous available trend(interval: $interval) {{ __typename start end value goal }}
}}
"""


async def test_the_short_way_is_the_ordinary_way(api_: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    boss, _users, _records = await build(150, 5)
    token = await api_.token(boss)
    short = await api_.data(token, DOCUMENT)
    planned = [0]
    make = api.execution.SidelineExecutor._make_plan

    def no_plan(self: Any, *arguments: Any) -> None:
        planned[0] += make(self, *arguments) is not None

    monkeypatch.setattr(api.execution.SidelineExecutor, "_make_plan", no_plan)
    assert await api_.data(token, DOCUMENT) == short
    assert planned[0] >= 3


async def test_selections_that_come_out_empty(api_: Api) -> None:
    """A."""
    boss, _users, _records = await build(151, 3)
    token = await api_.token(boss)
    head = "teamDashboard(range: {named: LAST_30_DAYS}, metrics: [CALLS_LOGGED, SHOW_RATE])"
    cells = "metrics { trend(interval: null) { start @skip(if: true) } }"
    found = await api_.data(
        token,
        f"{{ {head} {{ metrics {{ value @skip(if: true) }} reps {{ nodes {{ {cells} }} }} }}"
        " again: individuals(range: {named: LAST_30_DAYS})"
        " { nodes { metrics { value @include(if: false) } } } }",
    )
    assert found["teamDashboard"]["metrics"] == [{}, {}]
    # Without an interval it is by day.
    points = [[len(cell["trend"]) for cell in row["metrics"]] for row in found["teamDashboard"]["reps"]["nodes"]]
    assert points == [[30, 30]] * len(points)
    assert points
    assert all(row["metrics"] == [{}] * len(METRICS) for row in found["again"]["nodes"])


@pytest.fixture
def api_(api: Api) -> Api:
    """The application; the name leaves the package `api` in reach."""
    return api


@asynccontextmanager
async def counting(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[str]]:
    seen: list[str] = []
    with monkeypatch.context() as patch:
        for name in ("fetch", "fetchrow", "fetchval", "execute"):
            original = getattr(asyncpg.Connection, name)

            def wrapped(self: Any, query: str, *rest: Any, original: Any = original, **options: Any) -> Any:
                if "tokens SET last_used_at" not in query:
                    seen.append(query)
                return original(self, query, *rest, **options)

            patch.setattr(asyncpg.Connection, name, wrapped)
        yield seen


async def test_a_fixed_number_of_statements(api_: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = set()
    for reps in (2, 9):
        boss, _users, _records = await build(40, reps)
        token = await api_.token(boss)
        async with counting(monkeypatch) as seen:
            await api_.data(
                token,
                f"""{{ teamDashboard(range: {RANGE}) {{
                    metrics {{ value }} groups {{ group {{ name }} metrics {{ value }} }}
                    reps(first: 50) {{ totalCount nodes {{ user {{ name group {{ name }} }} metrics {{ value }} }} }}
                }} }}""",
            )
        counts.add(len(seen))
    assert len(counts) == 1
    assert counts.pop() <= 8


async def test_peers_equal_a_brute_force(api_: Api) -> None:
    _boss, users, records = await build(400, 6)
    token = await api_.token(users[0])
    found = await api_.data(
        token,
        """{ individualDashboard(range: {from: "2026-01-01", to: "2026-12-31"},
            metrics: [EMAILS_SENT, REPLY_RATE, BOUNCE_RATE, CLOSED_WON_AMOUNT, TALK_RATIO]) {
            metrics { mine { metric value } peerCount peerAverage peerMedian percentile } } }""",
    )
    sums: dict[str, dict[str, Decimal]] = {f"{user.hex}@example.test": {} for user in users}
    for (email, _day), part in recount(newest(records), "America/New_York").items():
        for name, value in part.items():
            sums[email][name] = sums[email].get(name, Decimal(0)) + value
    mine, *peers = [sums[f"{user.hex}@example.test"] for user in users]
    for one in found["individualDashboard"]["metrics"]:
        key = one["mine"]["metric"]
        assert one["peerCount"] == 5
        own = metric(key, mine)
        assert one["mine"]["value"] == (None if own is None else f"{own.normalize():f}")
        values = [value for value in (metric(key, peer) for peer in peers) if value is not None]
        assert abs(Decimal(one["peerMedian"]) - statistics.median(values)) <= Decimal("0.000001")
        total: dict[str, Decimal] = {}
        for peer in peers:
            for name, value in peer.items():
                total[name] = total.get(name, Decimal(0)) + value
        whole = metric(key, total)
        assert whole is not None
        average = whole if key not in ("EMAILS_SENT", "CLOSED_WON_AMOUNT") else whole / 5
        assert abs(Decimal(one["peerAverage"]) - average) <= Decimal("0.000001")
        if key == "TALK_RATIO":
            assert one["percentile"] is None
        else:
            assert own is not None
            worse = [value for value in values if (value > own if key == "BOUNCE_RATE" else value < own)]
            ties = [value for value in values if value == own]
            assert one["percentile"] == pytest.approx((len(worse) + len(ties) / 2) / len(values))


@pytest.mark.parametrize(
    ("argument", "path"),
    [
        ("range: {}", ["range"]),
        ('range: {named: TODAY, from: "2026-01-01"}', ["range"]),
        ('range: {from: "2026-02-01", to: "2026-01-01"}', ["range", "from"]),
        ('range: {from: "1990-02-01", to: "1990-03-01"}', ["range"]),
    ],
)
async def test_a_range_that_does_not_fit(api_: Api, argument: str, path: list[str]) -> None:
    boss, _users, _records = await build(1, 1)
    answer = await api_.query(await api_.token(boss), f"{{ teamDashboard({argument}) {{ from }} }}")
    extensions = answer["errors"][0]["extensions"]
    assert (extensions["code"], extensions["input"]) == ("INVALID", path)


async def test_a_cursor_of_another_list_is_refused(api_: Api) -> None:
    boss, _users, _records = await build(10, 3)
    token = await api_.token(boss)
    cursor = (await api_.data(token, "{ users(first: 1) { pageInfo { endCursor } } }"))["users"]["pageInfo"][
        "endCursor"
    ]
    answer = await api_.query(token, "query($c: String) { activities(after: $c) { totalCount } }", c=cursor)
    assert answer["errors"][0]["extensions"]["code"] == "INVALID"
    answer = await api_.query(token, "{ users(first: 501) { totalCount } }")
    assert answer["errors"][0]["extensions"]["input"] == ["first"]
