"""The team dashboard against one bare query that returns the same numbers, as JSON; without goals, and with them.

Goals: each rep has one for each of eleven metrics, by month and by quarter, in five sizes, one of them for a rate.
Asked for are each cell's goal, attainment and status. The range is a quarter that is over, so that what is expected
by now is the goal itself.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg
import orjson
from starlette.applications import Starlette

from api.app import create_app
from bench.measure import Comparison, compare
from domain import goals, teams
from domain.database import ALL_TEAMS, acquire, transaction
from domain.goals import SetGoals, Subject
from domain.identity import identify_user
from domain.metrics import BASE_SUM_NAMES, BASE_SUMS, METRICS, RATIO_STEP, sql_expression
from domain.models.goals import GoalPeriod
from domain.settings import Settings
from domain.tokens import create_token

REPS = 500
GROUPS = 24
GOAL = 2.0
ROUNDS = 40
TOP = 50
RATE = "REPLY_RATE"
ASKED = {
    "CALLS_LOGGED": (GoalPeriod.MONTH, "200"),
    "CALLS_CONNECTED": (GoalPeriod.MONTH, "190"),
    "EMAILS_SENT": (GoalPeriod.MONTH, "210"),
    "EMAILS_REPLIED": (GoalPeriod.MONTH, "220"),
    "MEETINGS_BOOKED": (GoalPeriod.MONTH, "180"),
    "MEETINGS_HELD": (GoalPeriod.QUARTER, "600"),
    "CONVERSATIONS_RECORDED": (GoalPeriod.QUARTER, "650"),
    "TASKS_COMPLETED": (GoalPeriod.MONTH, "200"),
    "CLOSED_WON_COUNT": (GoalPeriod.QUARTER, "620"),
    "CLOSED_WON_AMOUNT": (GoalPeriod.QUARTER, "320000"),
    RATE: (GoalPeriod.QUARTER, "0.8"),
}
"""By metric, what the reps of the middle size are asked for."""
SIZES = ("0.8", "0.9", "1", "1.1", "1.2")

_CELL = "metric value previous change"
_CELL_WITH_GOAL = f"{_CELL} goal attainment progress {{ status }}"
_DOCUMENT = """
query Bench($range: RangeInput!) {
  teamDashboard(range: $range) {
    from to
    metrics { CELL }
    groups { group { id name } metrics { CELL } }
    reps(first: 50, sortBy: CLOSED_WON_AMOUNT) {
      totalCount
      nodes { rank user { id name } metrics { CELL } }
    }
  }
}
"""


@dataclass(frozen=True, slots=True)
class Quarters:
    """The last quarter that is over, and the one before."""

    first: date
    last: date
    before: date

    @classmethod
    def until(cls, today: date) -> Quarters:
        """As of a day."""
        running = date(today.year, (today.month - 1) // 3 * 3 + 1, 1)
        starts = [running]
        for _ in range(2):
            end = starts[-1] - timedelta(days=1)
            starts.append(date(end.year, (end.month - 1) // 3 * 3 + 1, 1))
        return cls(starts[1], running - timedelta(days=1), starts[2])


async def _team(quarters: Quarters, reps: int) -> tuple[UUID, str]:
    async with acquire(ALL_TEAMS) as connection:
        team_id = await teams.create_team(connection, name="Dashboard")
        admin = await teams.role_named(connection, team_id, teams.ADMIN)
        user = await teams.role_named(connection, team_id, teams.USER)
        boss = await teams.create_user(
            connection, team_id, name="Boss", email="boss@example.test", role_id=admin, is_rep=False
        )
        groups = [await teams.create_group(connection, team_id, f"Group {number:02}") for number in range(GROUPS)]
        for number in range(reps):
            await teams.create_user(
                connection,
                team_id,
                name=f"Rep {number:03}",
                email=f"rep{number}@dashboard.test",
                role_id=user,
                group_id=groups[number % GROUPS],
            )
        names = ", ".join(BASE_SUM_NAMES)
        # Amounts with cents: no two reps share a rank, so that both sides put the same ones first.
        values = ", ".join(
            "(random() * 9999)::numeric(8, 2)" if base.money else "(random() * 20)::int" for base in BASE_SUMS
        )
        await connection.execute(
            f"""
            INSERT INTO rollup_days (team_id, user_id, day, {names})
            SELECT u.team_id, u.id, d.day, {values} FROM users u,
                generate_series($2::date - 180, $3::date + 90, '1 day') d (day)
            WHERE u.team_id = $1 AND u.is_rep AND extract(isodow FROM d.day) < 6
            """,
            team_id,
            quarters.before,
            quarters.last,
        )
        sums = ", ".join(f"sum({name})" for name in BASE_SUM_NAMES)
        await connection.execute(
            f"""
            INSERT INTO rollup_months (team_id, user_id, month, {names})
            SELECT team_id, user_id, date_trunc('month', day)::date, {sums} FROM rollup_days WHERE team_id = $1
            GROUP BY 1, 2, 3
            """,
            team_id,
        )
        for feed in sorted({metric.feed.value for metric in METRICS.values()}):
            await connection.execute(
                "INSERT INTO team_feeds (id, team_id, feed) VALUES (uuidv7(), $1, $2)", team_id, feed
            )
        token = await create_token(connection, team_id, boss, name="bench")
        await _set_goals(team_id, boss, quarters.before)
        await connection.execute("ANALYZE")
    return team_id, token.text


async def _set_goals(team_id: UUID, boss: UUID, first: date) -> None:
    async with transaction(team_id) as connection:
        viewer = await identify_user(connection, team_id, boss)
        assert viewer is not None, "the boss has just been made"
        rows = await connection.fetch("SELECT id FROM users WHERE team_id = $1 AND is_rep ORDER BY id", team_id)
        for metric, (period, middle) in ASKED.items():
            for place, size in enumerate(SIZES):
                subjects = tuple(Subject(row["id"], None, ()) for row in rows[place :: len(SIZES)])
                request = SetGoals(metric, period, Decimal(middle) * Decimal(size), subjects, effective_from=first)
                await goals.set_goals(connection, viewer, request, datetime.now(UTC))


def _floor_sql(*, goals_too: bool) -> str:
    """One statement by hand: the quotients are SQL's, every number comes as text."""
    sums = ", ".join(f"sum(r.{base.name}){'' if base.money else '::bigint'} AS {base.name}" for base in BASE_SUMS)
    again = ", ".join(f"sum(x.{base.name}){'' if base.money else '::bigint'} AS {base.name}" for base in BASE_SUMS)
    values = ", ".join(f"round({sql_expression(key, 's')}, 6) AS {key.lower()}" for key in METRICS)
    cells = ", ".join(
        f"trim_scale(c.{key.lower()})::text, trim_scale(p.{key.lower()})::text,"
        f" trim_scale(c.{key.lower()} - p.{key.lower()})::text"
        + (_goal_cells(f"c.{key.lower()}", f"a.goal_{key.lower()}") if goals_too and key in ASKED else "")
        for key in METRICS
    )
    asked, joined = (_ASKED, "LEFT JOIN asked a ON a.section = c.section AND a.id IS NOT DISTINCT FROM c.id")
    if not goals_too:
        asked = joined = ""
    names = ", ".join(BASE_SUM_NAMES)
    return f"""
    WITH per_user AS MATERIALIZED (
        SELECT r.user_id, (r.month < $2)::int AS period, {sums} FROM rollup_months r
        WHERE r.team_id = $1 AND r.month BETWEEN $3 AND $4 GROUP BY r.user_id, period
    ), top AS (
        SELECT x.user_id, rank() OVER (ORDER BY x.closed_won_amount DESC) AS place FROM per_user x
        WHERE x.period = 0 ORDER BY x.closed_won_amount DESC LIMIT {TOP}
    ), shown AS (
        SELECT 0 AS section, NULL::uuid AS id, 'Team' AS name, 0::bigint AS place, x.period, {again}
        FROM per_user x GROUP BY x.period
        UNION ALL
        SELECT 1, g.id, g.name, 0, x.period, {again} FROM per_user x
        JOIN users u ON u.id = x.user_id JOIN groups g ON g.id = u.group_id GROUP BY g.id, g.name, x.period
        UNION ALL
        SELECT 2, u.id, u.name, t.place, x.period, {names} FROM top t
        JOIN per_user x USING (user_id) JOIN users u ON u.id = x.user_id
    ), numbers AS MATERIALIZED (SELECT s.section, s.id, s.name, s.place, s.period, {values} FROM shown s)
    {asked}
    SELECT c.section, c.id, c.name, c.place, {cells}
    FROM numbers c LEFT JOIN numbers p ON p.section = c.section AND p.id IS NOT DISTINCT FROM c.id AND p.period = 1
    {joined}
    WHERE c.period = 0 ORDER BY c.section, c.place, c.name, c.id
    """


def _goal_cells(value: str, goal: str) -> str:
    return f""", trim_scale(round({goal}, 6))::text, trim_scale(round({value} / {goal}, 6))::text,
        CASE WHEN {goal} IS NULL THEN NULL WHEN {value} >= {goal} THEN 'ATTAINED' WHEN {value} IS NULL THEN 'ON_TRACK'
            WHEN {value} >= 0.8 * {goal} THEN 'AT_RISK' ELSE 'BEHIND' END"""


_PIVOT = ", ".join(f"sum(o.goal) FILTER (WHERE o.metric = '{key}') AS goal_{key.lower()}" for key in ASKED)
_ASKED = f"""
    , working AS (
        SELECT d.day BETWEEN $2 AND $4 AS within, date_trunc('month', d.day) AS month,
            date_trunc('quarter', d.day) AS quarter
        FROM generate_series(date_trunc('quarter', $2::date), $4::date + 92, interval '1 day') d (day)
        WHERE extract(isodow FROM d.day) < 6
    ), shares AS (
        SELECT 'MONTH' AS period, sum(share) AS share FROM (
            SELECT count(*) FILTER (WHERE within)::numeric / count(*) AS share FROM working GROUP BY month) m
        UNION ALL
        SELECT 'QUARTER', sum(share) FROM (
            SELECT count(*) FILTER (WHERE within)::numeric / count(*) AS share FROM working GROUP BY quarter) q
    ), owed AS MATERIALIZED (
        SELECT g.user_id, g.metric, CASE WHEN g.metric = '{RATE}' THEN v.target ELSE v.target * s.share END AS goal
        FROM goals g JOIN goal_versions v ON v.team_id = g.team_id AND v.goal_id = g.id
        JOIN shares s ON s.period = g.period
        WHERE g.team_id = $1 AND v.effective_from <= $2 AND (v.effective_to IS NULL OR v.effective_to >= $4)
    ), asked AS (
        SELECT 0 AS section, NULL::uuid AS id, {_PIVOT} FROM owed o WHERE o.metric <> '{RATE}'
        UNION ALL
        SELECT 1, u.group_id, {_PIVOT} FROM owed o JOIN users u ON u.id = o.user_id WHERE o.metric <> '{RATE}'
        GROUP BY u.group_id
        UNION ALL
        SELECT 2, o.user_id, {_PIVOT} FROM owed o JOIN top t USING (user_id) GROUP BY o.user_id
    )"""


def _floor_json(rows: list[Any], *, goals_too: bool) -> bytes:
    sections: dict[int, list[Any]] = {0: [], 1: [], 2: []}
    for row in rows:
        section, row_id, name, place, *numbers = row
        cells, at = [], 0
        for key in METRICS:
            cell = {"metric": key, "value": numbers[at], "previous": numbers[at + 1], "change": numbers[at + 2]}
            at += 3
            if goals_too:
                goal = attainment = status = None
                if key in ASKED:
                    goal, attainment, status = numbers[at : at + 3]
                    at += 3
                cell |= {"goal": goal, "attainment": attainment, "progress": status and {"status": status}}
            cells.append(cell)
        sections[section].append({"id": row_id, "name": name, "rank": place, "metrics": cells})
    return orjson.dumps(sections, option=orjson.OPT_NON_STR_KEYS, default=str)


async def measure(database_url: str, redis_url: str, reps: int = REPS) -> list[Comparison]:
    """So many reps, one quarter beside the one before, all metrics, group rows, the top 50 reps; twice."""
    settings = Settings(database_url=database_url, redis_url=redis_url, cost_per_minute=10**12)
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        quarters = Quarters.until(datetime.now(UTC).date() - timedelta(days=1))
        team_id, token = await _team(quarters, reps)
        bare = await asyncpg.connect(database_url, server_settings={"jit": "off"})
        try:
            return [
                await _compare(app, bare, team_id, token, quarters, reps, goals_too=goals_too)
                for goals_too in (False, True)
            ]
        finally:
            await bare.close()


async def _compare(
    app: Starlette,
    bare: Any,
    team_id: UUID,
    token: str,
    quarters: Quarters,
    reps: int,
    *,
    goals_too: bool,
) -> Comparison:
    document = {
        "query": _DOCUMENT.replace("CELL", _CELL_WITH_GOAL if goals_too else _CELL),
        "variables": {"range": {"from": str(quarters.first), "to": str(quarters.last)}},
    }
    body = orjson.dumps(document)
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/graphql",
        "raw_path": b"/graphql",
        "root_path": "",
        "scheme": "http",
        "query_string": b"",
        "http_version": "1.1",
        "server": ("localhost", 80),
        "headers": [
            (b"host", b"localhost"),
            (b"content-type", b"application/json"),
            (b"authorization", f"Bearer {token}".encode()),
        ],
    }
    answer, out = bytearray(), bytearray()

    async def ours() -> None:
        answer.clear()
        asked = False

        async def receive() -> dict[str, Any]:
            nonlocal asked
            if asked:
                # The client stays: whoever waits for it to leave waits.
                await asyncio.Event().wait()
            asked = True
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            answer.extend(message.get("body", b""))

        await app({**scope}, receive, send)  # type: ignore[arg-type]

    statement = _floor_sql(goals_too=goals_too)

    async def floor() -> None:
        rows = await bare.fetch(statement, team_id, quarters.first, quarters.before, quarters.last)
        out[:] = _floor_json(rows, goals_too=goals_too)

    name = f"team dashboard{' with goals' if goals_too else ''}, {reps} reps"
    found = await compare(name, ours, floor, goal=GOAL, rounds=ROUNDS)
    _check(orjson.loads(bytes(answer)), orjson.loads(bytes(out)), goals_too=goals_too)
    return found


def _check(answer: Any, floor: Any, *, goals_too: bool) -> None:
    """Both said the same."""
    assert "errors" not in answer, answer["errors"]
    found = answer["data"]["teamDashboard"]
    ours = [
        [found["metrics"]],
        [row["metrics"] for row in found["groups"]],
        [row["metrics"] for row in found["reps"]["nodes"]],
    ]
    numbers = ("value", "previous", "change", *(("goal", "attainment") if goals_too else ()))
    goals_seen = 0
    for section, rows in enumerate(ours):
        bare = floor[str(section)]
        assert len(rows) == len(bare), (section, len(rows), len(bare))
        for mine, its in zip(rows, bare, strict=True):
            for cell, other in zip(mine, its["metrics"], strict=True):
                for name in numbers:
                    assert (cell[name] is None) == (other[name] is None), (section, cell, other)
                    if cell[name] is not None:
                        # Halves: SQL rounds them away from zero, we to even.
                        distance = abs(Decimal(cell[name]) - Decimal(other[name]))
                        assert distance <= 2 * RATIO_STEP, (section, cell, other)
                if goals_too:
                    assert cell["progress"] == other["progress"], (section, cell, other)
                    goals_seen += cell["goal"] is not None
    # Groups and the team have no goals for a rate: targets of rates do not add up.
    sums = len(ASKED) - 1
    assert not goals_too or goals_seen == len(ours[2]) * len(ASKED) + (1 + GROUPS) * sums, goals_seen
