"""The other dashboards, each against one statement by hand: lists, one rep beside the peers, trends, ranges that cut
months, one group, who falls behind, and who coaches whom. The team's own is bench/dashboard.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from bench.floors import Floored, measure_all, serving
from bench.measure import Comparison
from bench.people import ASKED, RATE, REPS, Quarters, Staff, fill_rollups, make_staff, set_goals, settle
from domain.database import ALL_TEAMS, acquire
from domain.ids import encode_id
from domain.metrics import BASE_SUMS, METRICS, sql_expression
from domain.models.goals import GoalPeriod

ACTS = 5_000
"""Of each kind of coaching."""
COACHES = 24
TOP = 50
BEHIND = 10
LATELY_DAYS = 30

_KEYS = tuple(METRICS)


def _sums(relation: str) -> str:
    return ", ".join(
        f"sum({relation}.{base.name}){'' if base.money else '::bigint'} AS {base.name}" for base in BASE_SUMS
    )


def _values(relation: str, keys: Sequence[str] = _KEYS) -> str:
    return ", ".join(f"round({sql_expression(key, relation)}, 6) AS {key.lower()}" for key in keys)


def _text(relation: str, keys: Sequence[str] = _KEYS) -> str:
    return ", ".join(f"trim_scale({relation}.{key.lower()})::text" for key in keys)


def _compared(keys: Sequence[str] = _KEYS) -> str:
    """Each metric's value, the one before, and the change, out of the relations `c` and `p`."""
    return ", ".join(
        f"trim_scale(c.{key.lower()})::text, trim_scale(p.{key.lower()})::text,"
        f" trim_scale(c.{key.lower()} - p.{key.lower()})::text"
        for key in keys
    )


def _cells(numbers: Sequence[Any], names: Sequence[str], keys: Sequence[str] = _KEYS) -> list[dict[str, Any]]:
    width = len(names)
    return [
        {"metric": key, **dict(zip(names, numbers[at * width : (at + 1) * width], strict=True))}
        for at, key in enumerate(keys)
    ]


def _in_months(periods: str) -> str:
    """Sums by rep and period out of whole months. Served by rollup_months_month_idx."""
    return f"""SELECT r.user_id, {periods} AS period, {_sums("r")} FROM rollup_months r
        WHERE r.team_id = $1 AND r.month BETWEEN $2 AND $3 GROUP BY r.user_id, period"""


def _list(staff: Staff, quarters: Quarters) -> Floored:
    def shape(rows: Sequence[Any]) -> dict[str, Any]:
        nodes = [
            {
                "rank": row[0],
                "user": {"id": row[1], "name": row[2]},
                "metrics": _cells(tuple(row)[4:], ("value",)),
            }
            for row in rows
        ]
        return {"individuals": {"totalCount": rows[0][3], "nodes": nodes}}

    return Floored(
        f"list of reps, the first {TOP} of {len(staff.reps)}, all metrics",
        f"query($range: RangeInput!) {{ individuals(range: $range, first: {TOP}, sortBy: CLOSED_WON_AMOUNT) "
        "{ totalCount nodes { rank user { id name } metrics { metric value } } } }",
        f"""
        WITH summed AS ({_in_months("0")}), ranked AS (
            SELECT s.*, rank() OVER (ORDER BY s.closed_won_amount DESC) AS place, count(*) OVER () AS total
            FROM summed s
        ), page AS (SELECT * FROM ranked ORDER BY closed_won_amount DESC LIMIT {TOP}),
        numbers AS (SELECT s.place, s.total, s.user_id, {_values("s")} FROM page s)
        SELECT n.place, u.id, u.name, n.total, {_text("n")} FROM numbers n JOIN users u ON u.id = n.user_id
        ORDER BY n.place
        """,
        shape,
        {"range": {"from": str(quarters.first), "to": str(quarters.last)}},
        (staff.team_id, quarters.first, quarters.last),
    )


def _individual(staff: Staff, quarters: Quarters) -> Floored:
    rep = staff.reps[7]
    columns = []
    for key, metric in METRICS.items():
        name = key.lower()
        columns += [f"m.{name}", f"b.{name}", f"m.{name} - b.{name}"]
        average = f"t.{name}" if metric.is_quotient else f"round(t.{name} / t.peers, 6)"
        better = {"HIGHER": "<", "LOWER": ">"}.get(metric.direction.value)
        share = "NULL"
        if better is not None:
            share = f"""(SELECT (count(*) FILTER (WHERE q.{name} {better} m.{name})
                + count(*) FILTER (WHERE q.{name} = m.{name}) / 2.0) / nullif(count(q.{name}), 0) FROM peers q)"""
        columns += [
            average,
            f"(SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY q.{name})::numeric FROM peers q)",
            share,
        ]

    def shape(rows: Sequence[Any]) -> dict[str, Any]:
        peers, *numbers = rows[0]
        metrics = []
        for place, key in enumerate(_KEYS):
            value, previous, change, average, median, percentile = numbers[place * 6 : place * 6 + 6]
            metrics.append(
                {
                    "mine": {"metric": key, "value": value, "previous": previous, "change": change},
                    "peerCount": peers,
                    "peerAverage": average,
                    "peerMedian": median,
                    "percentile": None if percentile is None else float(percentile),
                }
            )
        return {"individualDashboard": {"user": {"name": "Rep 007"}, "metrics": metrics}}

    return Floored(
        "individual dashboard beside the peers, all metrics",
        "query($range: RangeInput!, $user: ID!) { individualDashboard(range: $range, userId: $user) { user { name } "
        "metrics { mine { metric value previous change } peerCount peerAverage peerMedian percentile } } }",
        f"""
        WITH shown AS (
            SELECT p.id FROM users u JOIN users p ON p.group_id = u.group_id AND p.active AND p.is_rep
            WHERE u.id = $5 AND p.team_id = $1
        ), summed AS MATERIALIZED (
            SELECT r.user_id, (r.month < $4)::int AS period, {_sums("r")} FROM rollup_months r
            WHERE r.team_id = $1 AND r.month BETWEEN $2 AND $3 AND r.user_id IN (SELECT id FROM shown)
            GROUP BY r.user_id, period
        ), numbers AS MATERIALIZED (SELECT s.user_id, s.period, {_values("s")} FROM summed s),
        peers AS MATERIALIZED (SELECT * FROM numbers n WHERE n.period = 0 AND n.user_id <> $5),
        together AS (SELECT count(*) AS peers, {_sums("s")} FROM summed s WHERE s.period = 0 AND s.user_id <> $5),
        t AS (SELECT s.peers, {_values("s")} FROM together s)
        SELECT t.peers, {", ".join(f"({column})::text" for column in columns)}
        FROM t, numbers m, numbers b
        WHERE m.user_id = $5 AND m.period = 0 AND b.user_id = $5 AND b.period = 1
        """,
        shape,
        {
            "range": {"from": str(quarters.first), "to": str(quarters.last)},
            "user": encode_id("User", rep),
        },
        (staff.team_id, quarters.before, quarters.last, quarters.first, rep),
    )


def _weeks(staff: Staff, quarters: Quarters) -> Floored:
    def shape(rows: Sequence[Any]) -> dict[str, Any]:
        points: list[list[dict[str, Any]]] = [[] for _ in _KEYS]
        for row in rows:
            begin, end, *values = row
            for trend, value in zip(points, values, strict=True):
                trend.append({"start": begin, "end": end, "value": value})
        cells = [{"metric": key, "trend": trend} for key, trend in zip(_KEYS, points, strict=True)]
        return {"teamDashboard": {"metrics": cells}}

    zeros = ", ".join(f"coalesce(s.{base.name}, 0) AS {base.name}" for base in BASE_SUMS)
    return Floored(
        "team trends by week over a quarter, all metrics",
        "query($range: RangeInput!) { teamDashboard(range: $range, compare: NONE) "
        "{ metrics { metric trend(interval: WEEK) { start end value } } } }",
        f"""
        WITH weeks AS (
            SELECT w.week::date AS week FROM generate_series(date_trunc('week', $2::date), $3::date, '7 days') w (week)
        ), summed AS (
            SELECT date_trunc('week', r.day)::date AS week, {_sums("r")} FROM rollup_days r
            WHERE r.team_id = $1 AND r.day BETWEEN $2 AND $3 GROUP BY 1
        ), filled AS (SELECT w.week, {zeros} FROM weeks w LEFT JOIN summed s USING (week)),
        numbers AS (SELECT s.week, {_values("s")} FROM filled s)
        SELECT greatest(n.week, $2)::text, least(n.week + 6, $3)::text, {_text("n")} FROM numbers n ORDER BY n.week
        """,
        shape,
        {"range": {"from": str(quarters.first), "to": str(quarters.last)}},
        (staff.team_id, quarters.first, quarters.last),
    )


def _rep_months(staff: Staff, quarters: Quarters) -> Floored:
    def shape(rows: Sequence[Any]) -> dict[str, Any]:
        nodes: dict[Any, dict[str, Any]] = {}
        for row in rows:
            place, user_id, name, begin, end, *values = row
            node = nodes.get(user_id)
            if node is None:
                cells = [{"metric": key, "trend": []} for key in _KEYS]
                node = nodes[user_id] = {"rank": place, "user": {"id": user_id, "name": name}, "metrics": cells}
            for cell, value in zip(node["metrics"], values, strict=True):
                cell["trend"].append({"start": begin, "end": end, "value": value})
        return {"teamDashboard": {"reps": {"nodes": list(nodes.values())}}}

    return Floored(
        f"trends by month of {TOP} reps over a quarter, all metrics",
        "query($range: RangeInput!) { teamDashboard(range: $range, compare: NONE) "
        f"{{ reps(first: {TOP}, sortBy: CLOSED_WON_AMOUNT) {{ nodes {{ rank user {{ id name }} "
        "metrics { metric trend(interval: MONTH) { start end value } } } } } }",
        f"""
        WITH top AS (
            SELECT r.user_id, rank() OVER (ORDER BY sum(r.closed_won_amount) DESC) AS place FROM rollup_months r
            WHERE r.team_id = $1 AND r.month BETWEEN $2 AND $3 GROUP BY r.user_id
            ORDER BY sum(r.closed_won_amount) DESC LIMIT {TOP}
        ), numbers AS (
            SELECT t.place, t.user_id, s.month, {_values("s")}
            FROM top t JOIN rollup_months s ON s.team_id = $1 AND s.user_id = t.user_id AND s.month BETWEEN $2 AND $3
        )
        SELECT n.place, u.id, u.name, n.month::text, (n.month + interval '1 month' - interval '1 day')::date::text,
            {_text("n")}
        FROM numbers n JOIN users u ON u.id = n.user_id ORDER BY n.place, n.month
        """,
        shape,
        {"range": {"from": str(quarters.first), "to": str(quarters.last)}},
        (staff.team_id, quarters.first, quarters.last),
    )


def _sections(rows: Sequence[Any]) -> dict[str, Any]:
    """A team dashboard's answer: section, id, name, rank, then value, previous and change of each metric."""
    sections: list[list[Any]] = [[], [], []]
    for row in rows:
        section, row_id, name, place, *numbers = row
        cells = _cells(numbers, ("value", "previous", "change"))
        if section == 0:
            sections[0] = cells
        elif section == 1:
            sections[1].append({"group": {"id": row_id, "name": name}, "metrics": cells})
        else:
            sections[2].append({"rank": place, "user": {"id": row_id, "name": name}, "metrics": cells})
    return {"teamDashboard": {"metrics": sections[0], "groups": sections[1], "reps": {"nodes": sections[2]}}}


_TEAM = (
    "query($range: RangeInput!, $compare: Comparison, $group: ID) "
    "{ teamDashboard(range: $range, compare: $compare, groupId: $group) { metrics { metric value previous change } "
    "groups { group { id name } metrics { metric value previous change } } "
    f"reps(first: {TOP}, sortBy: CLOSED_WON_AMOUNT) "
    "{ nodes { rank user { id name } metrics { metric value previous change } } } } }"
)


def _team_sql(per_user: str) -> str:
    """Totals, group rows and the top reps, from sums by `user_id` and `period`."""
    return f"""
    WITH per_user AS MATERIALIZED ({per_user}), top AS (
        SELECT x.user_id, rank() OVER (ORDER BY x.closed_won_amount DESC) AS place FROM per_user x
        WHERE x.period = 0 ORDER BY x.closed_won_amount DESC LIMIT {TOP}
    ), shown AS (
        SELECT 0 AS section, NULL::uuid AS id, 'Team' AS name, 0::bigint AS place, x.period, {_sums("x")}
        FROM per_user x GROUP BY x.period
        UNION ALL
        SELECT 1, g.id, g.name, 0, x.period, {_sums("x")} FROM per_user x
        JOIN users u ON u.id = x.user_id JOIN groups g ON g.id = u.group_id GROUP BY g.id, g.name, x.period
        UNION ALL
        SELECT 2, u.id, u.name, t.place, x.period, {", ".join(f"x.{base.name}" for base in BASE_SUMS)} FROM top t
        JOIN per_user x USING (user_id) JOIN users u ON u.id = x.user_id
    ), numbers AS MATERIALIZED (SELECT s.section, s.id, s.name, s.place, s.period, {_values("s")} FROM shown s)
    SELECT c.section, c.id, c.name, c.place, {_compared()}
    FROM numbers c LEFT JOIN numbers p ON p.section = c.section AND p.id IS NOT DISTINCT FROM c.id AND p.period = 1
    WHERE c.period = 0 ORDER BY c.section, c.place, c.name, c.id
    """


def _year_before(staff: Staff, quarters: Quarters) -> Floored:
    """A range that begins and ends within months, beside the same days a year earlier."""
    first, last = quarters.first + timedelta(days=9), quarters.last - timedelta(days=9)
    arguments: list[Any] = [staff.team_id]
    slices = []
    for period, years in ((0, 0), (1, 1)):
        begin, end = first.replace(year=first.year - years), last.replace(year=last.year - years)
        whole = date(begin.year + begin.month // 12, begin.month % 12 + 1, 1)
        rest = end.replace(day=1)
        for table, column, since, until in (
            ("rollup_days", "day", begin, whole - timedelta(days=1)),
            ("rollup_months", "month", whole, rest - timedelta(days=1)),
            ("rollup_days", "day", rest, end),
        ):
            arguments += [since, until]
            slices.append(
                f"SELECT r.user_id, {period} AS period, {', '.join(f'r.{base.name}' for base in BASE_SUMS)} "
                f"FROM {table} r WHERE r.team_id = $1 "
                f"AND r.{column} BETWEEN ${len(arguments) - 1} AND ${len(arguments)}"
            )
    per_user = f"SELECT s.user_id, s.period, {_sums('s')} FROM ({' UNION ALL '.join(slices)}) s GROUP BY 1, 2"
    return Floored(
        "team dashboard over parts of months beside the year before",
        _TEAM,
        _team_sql(per_user),
        _sections,
        {"range": {"from": str(first), "to": str(last)}, "compare": "SAME_PERIOD_LAST_YEAR", "group": None},
        arguments,
    )


def _one_group(staff: Staff, quarters: Quarters) -> Floored:
    group = staff.groups[3]
    return Floored(
        "team dashboard of one group",
        _TEAM,
        _team_sql(
            f"""SELECT r.user_id, (r.month < $4)::int AS period, {_sums("r")}
            FROM users u JOIN rollup_months r ON r.team_id = $1 AND r.user_id = u.id AND r.month BETWEEN $2 AND $3
            WHERE u.team_id = $1 AND u.group_id = $5 GROUP BY r.user_id, period"""
        ),
        _sections,
        {
            "range": {"from": str(quarters.first), "to": str(quarters.last)},
            "compare": "PREVIOUS_PERIOD",
            "group": encode_id("Group", group),
        },
        (staff.team_id, quarters.before, quarters.last, quarters.first, group),
    )


def _behind(staff: Staff, quarters: Quarters) -> Floored:
    """The quarter is over and whole: a goal by month is owed three times, one by quarter once."""
    paces = " UNION ALL ".join(
        f"SELECT n.user_id, '{key}' AS metric, n.{key.lower()} AS value FROM numbers n" for key in ASKED
    )
    values = ", ".join(
        f"trim_scale(n.{key.lower()})::text, (SELECT trim_scale(round(o.goal, 6))::text FROM owed o "
        f"WHERE o.user_id = n.user_id AND o.metric = '{key}')"
        if key in ASKED
        else f"trim_scale(n.{key.lower()})::text, NULL"
        for key in _KEYS
    )

    def shape(rows: Sequence[Any]) -> dict[str, Any]:
        found = [
            {
                "rank": row[0],
                "user": {"id": row[1], "name": row[2]},
                "metrics": _cells(tuple(row)[3:], ("value", "goal")),
            }
            for row in rows
        ]
        return {"teamDashboard": {"fallingBehind": found}}

    return Floored(
        f"who falls behind, {BEHIND} of {len(staff.reps)} reps, all metrics with goals",
        f"query($range: RangeInput!) {{ teamDashboard(range: $range, compare: NONE) {{ fallingBehind(first: {BEHIND}) "
        "{ rank user { id name } metrics { metric value goal } } } }",
        f"""
        WITH summed AS ({_in_months("0")}),
        numbers AS MATERIALIZED (SELECT s.user_id, {_values("s")} FROM summed s),
        owed AS MATERIALIZED (
            SELECT g.user_id, g.metric,
                v.target * CASE WHEN g.period = '{GoalPeriod.MONTH.value}' AND g.metric <> '{RATE}' THEN 3 ELSE 1 END
                AS goal
            FROM goals g JOIN goal_versions v ON v.team_id = g.team_id AND v.goal_id = g.id
            WHERE g.team_id = $1 AND v.effective_from <= $2 AND (v.effective_to IS NULL OR v.effective_to >= $3)
        ), slow AS (
            SELECT o.user_id, array_agg(round(d.value / o.goal, 6) ORDER BY d.value / o.goal) AS paces
            FROM owed o JOIN ({paces}) d ON d.user_id = o.user_id AND d.metric = o.metric
            WHERE d.value < o.goal GROUP BY o.user_id
        ), placed AS (SELECT s.*, rank() OVER (ORDER BY s.paces) AS place FROM slow s)
        SELECT p.place, u.id, u.name, {values}
        FROM (SELECT * FROM placed ORDER BY place, user_id LIMIT {BEHIND}) p
        JOIN numbers n ON n.user_id = p.user_id JOIN users u ON u.id = p.user_id ORDER BY p.place, u.id
        """,
        shape,
        {"range": {"from": str(quarters.first), "to": str(quarters.last)}},
        (staff.team_id, quarters.first, quarters.last),
    )


_ACTS = (
    ("reviews", "reviewer_id", "created_at", ""),
    ("scorecards", "scorer_id", "submitted_at", "AND x.state = 'SUBMITTED' AND x.relation = 'MANAGER'"),
    (
        "comments",
        "author_id",
        "created_at",
        "AND x.deleted_at IS NULL AND EXISTS (SELECT 1 FROM users a JOIN roles r ON r.id = a.role_id "
        "WHERE a.id = x.author_id AND (r.is_admin OR 'TEAM_VIEW' = ANY (r.permissions)))",
    ),
    ("coaching_sessions", "coach_id", "held_at", "AND x.state = 'HELD'"),
)


async def _coach(staff: Staff, first: date, last: date) -> None:
    """Coaching by the boss and by some reps who lead the others, at random moments."""
    columns = {
        "reviews": ("activity_id, user_id, reviewer_id, way, created_at", "uuidv7(), rep, coach, 'MARKED', at"),
        "scorecards": (
            "activity_id, user_id, scorer_id, template_id, version, relation, state, answers, submitted_at",
            "uuidv7(), rep, coach, uuidv7(), 1, 'MANAGER', 'SUBMITTED', '{}', at",
        ),
        "comments": ("activity_id, user_id, author_id, body, created_at", "uuidv7(), rep, coach, 'Good', at"),
        "coaching_sessions": (
            "user_id, coach_id, title, starts_at, duration_minutes, state, held_at",
            "rep, coach, 'One-on-one', at, 30, 'HELD', at",
        ),
    }
    async with acquire(ALL_TEAMS) as connection, connection.transaction():
        # The films that they are about are not asked for.
        await connection.execute("SET LOCAL session_replication_role = replica")
        for table, (names, values) in columns.items():
            await connection.execute(
                f"""
                INSERT INTO {table} (id, team_id, {names}) SELECT uuidv7(), $1, {values} FROM (
                    SELECT ($2::uuid[])[1 + n % cardinality($2::uuid[])] AS coach,
                        ($3::uuid[])[1 + floor(random() * cardinality($3::uuid[]))::int] AS rep,
                        $4::date + random() * ($5::date - $4::date) * interval '1 day' AS at
                    FROM generate_series(1, {ACTS}) n OFFSET 0
                ) drawn
                """,
                staff.team_id,
                [staff.boss_id, *staff.reps[:COACHES]],
                staff.reps[COACHES:],
                first,
                last,
            )


def _manager_view(staff: Staff, quarters: Quarters, today: date) -> Floored:
    acts = " UNION ALL ".join(
        f"SELECT {number} AS kind, x.{who} AS coach, x.user_id AS rep, x.{at} AS at FROM {table} x "
        f"WHERE x.team_id = $1 AND x.{at} >= $4 {condition}"
        for number, (table, who, at, condition) in enumerate(_ACTS)
    )
    counts = ", ".join(f"count(*) FILTER (WHERE a.kind = {number})" for number in range(len(_ACTS)))

    def shape(rows: Sequence[Any]) -> dict[str, Any]:
        managers = [
            {
                "manager": {"id": row[1], "name": row[2]},
                "conversationsReviewed": row[3],
                "scorecardsFilled": row[4],
                "comments": row[5],
                "sessionsHeld": row[6],
                "repsCoached": row[7],
            }
            for row in rows
            if row[0] == 0
        ]
        reps = [{"id": row[1], "name": row[2]} for row in rows if row[0] == 1]
        return {"managerView": {"managers": managers, "notCoachedCount": len(reps), "notCoachedLately": reps}}

    lately = datetime(today.year, today.month, today.day, tzinfo=UTC) - timedelta(days=LATELY_DAYS - 1)
    since, until = (
        datetime(day.year, day.month, day.day, tzinfo=UTC)
        for day in (quarters.first, quarters.last + timedelta(days=1))
    )
    return Floored(
        f"manager view: {COACHES + 1} coaches, {len(staff.reps)} reps, {ACTS * len(_ACTS):,} acts of coaching",
        "query($range: RangeInput!) { managerView(range: $range) { managers { manager { id name } "
        "conversationsReviewed scorecardsFilled comments sessionsHeld repsCoached } notCoachedCount "
        "notCoachedLately { id name } } }",
        f"""
        WITH acts AS MATERIALIZED ({acts}),
        did (coach, reviews, scorecards, comments, sessions, reps) AS (
            SELECT a.coach, {counts}, count(DISTINCT a.rep) FROM acts a WHERE a.at >= $2 AND a.at < $3 GROUP BY a.coach
        ),
        last AS (SELECT a.rep, max(a.at) AS at FROM acts a GROUP BY a.rep)
        SELECT 0 AS section, u.id, u.name, d.reviews, d.scorecards, d.comments, d.sessions, d.reps,
            NULL::timestamptz AS at
        FROM did d JOIN users u ON u.id = d.coach
        UNION ALL
        SELECT 1, u.id, u.name, 0, 0, 0, 0, 0, l.at FROM users u LEFT JOIN last l ON l.rep = u.id
        WHERE u.team_id = $1 AND u.active AND u.is_rep AND (l.at IS NULL OR l.at < $5)
        ORDER BY section, at NULLS FIRST, name, id
        """,
        shape,
        {"range": {"from": str(quarters.first), "to": str(quarters.last)}},
        (staff.team_id, since, until, lately - timedelta(days=366), lately),
    )


async def measure(database_url: str, redis_url: str, reps: int = REPS) -> list[Comparison]:
    """So many reps, over the last quarter that is over."""
    async with serving(database_url, redis_url) as app:
        today = datetime.now(UTC).date()
        quarters = Quarters.until(today - timedelta(days=1))
        staff = await make_staff("Dashboards", reps)
        await fill_rollups(staff, quarters.first - timedelta(days=400), today)
        await set_goals(staff, quarters.before)
        await _coach(staff, quarters.first, today - timedelta(days=25))
        await settle(database_url)
        questions = [
            make(staff, quarters)
            for make in (_list, _individual, _weeks, _rep_months, _year_before, _one_group, _behind)
        ]
        return await measure_all(app, database_url, staff.token, [*questions, _manager_view(staff, quarters, today)])
