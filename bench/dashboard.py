"""The team dashboard at the server against one bare query that returns the same numbers, as JSON."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from api.app import create_app
from bench.measure import Comparison, compare
from domain import database, teams
from domain.database import ALL_TEAMS, acquire
from domain.metrics import BASE_SUM_NAMES, BASE_SUMS, METRICS, RATIO_STEP, sql_expression
from domain.settings import Settings
from domain.tokens import create_token

REPS = 500
GROUPS = 24
GOAL = 2.0
ROUNDS = 40
FIRST, LAST = date(2026, 7, 1), date(2026, 9, 30)
BEFORE_FIRST, BEFORE_LAST = date(2026, 4, 1), date(2026, 6, 30)
TOP = 50

_DOCUMENT = """
query Bench($range: RangeInput!) {
  teamDashboard(range: $range) {
    from to
    metrics { metric value previous change }
    groups { group { id name } metrics { metric value previous change } }
    reps(first: 50, sortBy: CLOSED_WON_AMOUNT) {
      totalCount
      nodes { rank user { id name } metrics { metric value previous change } }
    }
  }
}
"""


async def _team() -> tuple[UUID, str]:
    async with acquire(ALL_TEAMS) as connection:
        team_id = await teams.create_team(connection, name="Dashboard")
        admin = await teams.role_named(connection, team_id, teams.ADMIN)
        user = await teams.role_named(connection, team_id, teams.USER)
        boss = await teams.create_user(
            connection, team_id, name="Boss", email="boss@example.test", role_id=admin, is_rep=False
        )
        groups = [await teams.create_group(connection, team_id, f"Group {number:02}") for number in range(GROUPS)]
        for number in range(REPS):
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
                generate_series('2026-01-01'::date, '2026-12-31', '1 day') d (day)
            WHERE u.team_id = $1 AND u.is_rep AND extract(isodow FROM d.day) < 6
            """,
            team_id,
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
        await connection.execute("ANALYZE")
        token = await create_token(connection, team_id, boss, name="bench")
    return team_id, token.text


def _floor_sql() -> str:
    """One statement by hand: the quotients are SQL's, every number comes as text."""
    sums = ", ".join(f"sum(r.{base.name}){'' if base.money else '::bigint'} AS {base.name}" for base in BASE_SUMS)
    again = ", ".join(f"sum(x.{base.name}){'' if base.money else '::bigint'} AS {base.name}" for base in BASE_SUMS)
    values = ", ".join(f"round({sql_expression(key, 's')}, 6) AS {key.lower()}" for key in METRICS)
    cells = ", ".join(
        f"trim_scale(c.{key.lower()})::text, trim_scale(p.{key.lower()})::text,"
        f" trim_scale(c.{key.lower()} - p.{key.lower()})::text"
        for key in METRICS
    )
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
    SELECT c.section, c.id, c.name, c.place, {cells}
    FROM numbers c LEFT JOIN numbers p ON p.section = c.section AND p.id IS NOT DISTINCT FROM c.id AND p.period = 1
    WHERE c.period = 0 ORDER BY c.section, c.place, c.name, c.id
    """


def _floor_json(rows: list[Any]) -> bytes:
    keys = list(METRICS)
    sections: dict[int, list[Any]] = {0: [], 1: [], 2: []}
    for row in rows:
        section, row_id, name, place, *numbers = row
        cells = [
            {"metric": key, "value": value, "previous": previous, "change": change}
            for key, value, previous, change in zip(keys, numbers[::3], numbers[1::3], numbers[2::3], strict=True)
        ]
        sections[section].append({"id": row_id, "name": name, "rank": place, "metrics": cells})
    return orjson.dumps(sections, option=orjson.OPT_NON_STR_KEYS, default=str)


async def measure(database_url: str, redis_url: str) -> list[Comparison]:
    """500 reps, one quarter beside the one before, all metrics, group rows, the top 50 reps."""
    settings = Settings(database_url=database_url, redis_url=redis_url, cost_per_minute=10**12)
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        team_id, token = await _team()
        document = {"query": _DOCUMENT, "variables": {"range": {"from": str(FIRST), "to": str(LAST)}}}
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
        answer = bytearray()

        async def ours() -> None:
            answer.clear()

            async def receive() -> dict[str, Any]:
                return {"type": "http.request", "body": body, "more_body": False}

            async def send(message: dict[str, Any]) -> None:
                answer.extend(message.get("body", b""))

            await app({**scope}, receive, send)  # type: ignore[arg-type]

        bare = await asyncpg.connect(database_url, server_settings={"jit": "off"})
        statement = _floor_sql()
        out = bytearray()

        async def floor() -> None:
            rows = await bare.fetch(statement, team_id, FIRST, BEFORE_FIRST, LAST)
            out[:] = _floor_json(rows)

        try:
            found = await compare("team dashboard, 500 reps", ours, floor, goal=GOAL, rounds=ROUNDS)
        finally:
            await bare.close()
        _check(orjson.loads(bytes(answer)), orjson.loads(bytes(out)))
    await database.disconnect()
    return [found]


def _check(answer: Any, floor: Any) -> None:
    """Both said the same."""
    assert "errors" not in answer, answer["errors"]
    found = answer["data"]["teamDashboard"]
    ours = [
        [found["metrics"]],
        [row["metrics"] for row in found["groups"]],
        [row["metrics"] for row in found["reps"]["nodes"]],
    ]
    for section, rows in enumerate(ours):
        bare = floor[str(section)]
        assert len(rows) == len(bare), (section, len(rows), len(bare))
        for mine, its in zip(rows, bare, strict=True):
            for cell, other in zip(mine, its["metrics"], strict=True):
                for name in ("value", "previous", "change"):
                    # Halves: SQL rounds them away from zero, we to even.
                    distance = abs(Decimal(cell[name]) - Decimal(other[name]))
                    assert distance <= 2 * RATIO_STEP, (section, cell, other)
