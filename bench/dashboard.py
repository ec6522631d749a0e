"""The team dashboard against one bare query that returns the same numbers, as JSON; without goals, and with them.

Goals: each rep has one for each of eleven metrics, by month and by quarter, in five sizes, one of them for a rate.
Asked for are each cell's goal, attainment and status. The range is a quarter that is over, so that what is expected
by now is the goal itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from bench.floors import Floored, measure_all, serving
from bench.measure import Comparison
from bench.people import ASKED, RATE, REPS, Quarters, Staff, fill_rollups, make_staff, set_goals, settle
from domain.metrics import BASE_SUM_NAMES, BASE_SUMS, METRICS, sql_expression

GOAL = 1.5
TOP = 50

_CELL = "metric value previous change"
_CELL_WITH_GOAL = f"{_CELL} goal attainment progress {{ status }}"
_DOCUMENT = """
query Bench($range: RangeInput!) {
  teamDashboard(range: $range) {
    from to
    metrics { CELL }
    groups { group { id name } metrics { CELL } }
    reps(first: 50, sortBy: CLOSED_WON_AMOUNT) {
      nodes { rank user { id name } metrics { CELL } }
    }
  }
}
"""


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


def _shape(rows: Sequence[Any], quarters: Quarters, *, goals_too: bool) -> dict[str, Any]:
    found: dict[str, Any] = {"from": str(quarters.first), "to": str(quarters.last), "metrics": [], "groups": []}
    nodes = []
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
        if section == 0:
            found["metrics"] = cells
        elif section == 1:
            found["groups"].append({"group": {"id": row_id, "name": name}, "metrics": cells})
        else:
            nodes.append({"rank": place, "user": {"id": row_id, "name": name}, "metrics": cells})
    return {"teamDashboard": {**found, "reps": {"nodes": nodes}}}


def _question(staff: Staff, quarters: Quarters, *, goals_too: bool) -> Floored:
    return Floored(
        f"team dashboard{' with goals' if goals_too else ''}, {len(staff.reps)} reps",
        _DOCUMENT.replace("CELL", _CELL_WITH_GOAL if goals_too else _CELL),
        _floor_sql(goals_too=goals_too),
        lambda rows: _shape(rows, quarters, goals_too=goals_too),
        {"range": {"from": str(quarters.first), "to": str(quarters.last)}},
        (staff.team_id, quarters.first, quarters.before, quarters.last),
        GOAL,
    )


async def measure(database_url: str, redis_url: str, reps: int = REPS) -> list[Comparison]:
    """So many reps, one quarter beside the one before, all metrics, group rows, the top 50 reps; twice."""
    async with serving(database_url, redis_url) as app:
        quarters = Quarters.until(datetime.now(UTC).date() - timedelta(days=1))
        staff = await make_staff("Dashboard", reps)
        await fill_rollups(staff, quarters.before - timedelta(days=180), quarters.last + timedelta(days=90))
        await set_goals(staff, quarters.before)
        await settle(database_url)
        questions = [_question(staff, quarters, goals_too=goals_too) for goals_too in (False, True)]
        return await measure_all(app, database_url, staff.token, questions)
