"""The team's and a rep's dashboard: base sums out of the rollups, in one statement however many reps there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

from domain.access import Sight
from domain.metrics import BASE_SUM_NAMES, BASE_SUMS, METRICS, NO_SUMS, Sums, sql_expression
from domain.paging import Page, PageRequest, decode_cursor, encode_cursor, page_of
from domain.people import groups_from, like_pattern
from domain.periods import Calendar, Days, TrendInterval, add_months, intervals

if TYPE_CHECKING:
    from domain.database import Connection

_FIRST_SUM = 3


@dataclass(frozen=True, slots=True)
class SumsPair:
    """Base sums of a range, and of the range that it is compared with (None where there is no comparison)."""

    current: Sums
    previous: Sums | None


@dataclass(frozen=True, slots=True)
class Ranking:
    """A rep's place in a list, with the numbers."""

    user_id: UUID
    rank: int
    sums: SumsPair


@dataclass(frozen=True, slots=True)
class RankingRequest:
    """Which reps, in which order.

    Args:
        page: Forwards only.
        sort_by: The metric that orders and ranks them.
        descending: The highest first. Reps without a value come last either way.
        search: A part of a name or email, in any case.
    """

    page: PageRequest
    sort_by: str
    descending: bool = True
    search: str | None = None


@dataclass(frozen=True, slots=True)
class Rankings:
    """A page of reps and how many there are."""

    page: Page[Ranking]
    total_count: int


@dataclass(frozen=True, slots=True)
class Audience:
    """Whose numbers: what the viewer sees, and within it the group that they chose.

    Args:
        users: The users in sight.
        groups: The groups in sight.
        group_id: Only members of this group and of all groups below it.
        user_id: Only this user.
    """

    users: Sight
    groups: Sight
    group_id: UUID | None = None
    user_id: UUID | None = None


def _stretches(days: Days, *, by_month: bool = True) -> list[tuple[str, str, date, date]]:
    """The rollups that hold a range: table, column, and from which to which of its values.

    Whole months from the month sums, the days at either end from the day sums.
    """
    first_month = days.first if days.first.day == 1 else add_months(days.first.replace(day=1), 1)
    end_month = (days.last + timedelta(days=1)).replace(day=1)
    if not by_month or first_month >= end_month:
        return [("rollup_days", "day", days.first, days.last)]
    pieces = [("rollup_months", "month", first_month, add_months(end_month, -1))]
    if days.first < first_month:
        pieces.append(("rollup_days", "day", days.first, first_month - timedelta(days=1)))
    if end_month <= days.last:
        pieces.append(("rollup_days", "day", end_month, days.last))
    return pieces


def _rollup_slices(days: Days, period: str, arguments: list[object], *, by_month: bool = True) -> list[str]:
    """The rollups of a range.

    Served by rollup_months_month_idx and rollup_days_day_idx (or the primary keys, for few users).

    Args:
        period: SQL for the column `period`, over the rollups `r` and their `{column}`.
    """
    slices = []
    for table, column, first, last in _stretches(days, by_month=by_month):
        arguments += [first, last]
        slices.append(
            f"SELECT r.user_id, {period.format(column=f'r.{column}')} AS period, "
            f"{', '.join(f'r.{name}' for name in BASE_SUM_NAMES)} FROM {table} r "
            f"WHERE r.team_id = $1 AND r.{column} BETWEEN ${len(arguments) - 1} AND ${len(arguments)}"
        )
    return slices


def _sums(relation: str = "s") -> str:
    return ", ".join(
        f"sum({relation}.{base.name}){'' if base.money else '::bigint'} AS {base.name}" for base in BASE_SUMS
    )


def _people(audience: Audience, arguments: list[object]) -> str:
    """The people whose rollups count. Served by users (team_id, …)."""
    condition = audience.users.filter("u.id", arguments, team_column="u.team_id")
    if audience.user_id is not None:
        arguments.append(audience.user_id)
        condition += f" AND u.id = ${len(arguments)}"
    if audience.group_id is not None:
        condition += f" AND u.group_id IN ({groups_from(audience.users.team_id, audience.group_id, arguments)})"
    return f"SELECT u.id, u.name, u.email, u.group_id, u.active AND u.is_rep AS listed FROM users u WHERE {condition}"


def _is_everybody(audience: Audience) -> bool:
    return audience.users.everything and audience.group_id is None and audience.user_id is None


def _closure(audience: Audience, arguments: list[object]) -> str:
    """Each shown group with all groups below it."""
    condition = audience.groups.filter("g.id", arguments, team_column="g.team_id")
    if audience.group_id is not None:
        condition += f" AND g.id IN ({groups_from(audience.groups.team_id, audience.group_id, arguments)})"
    return f"""
        SELECT g.id AS shown, g.id AS id FROM groups g WHERE {condition}
        UNION SELECT c.shown, g.id FROM groups g JOIN closure c ON g.team_id = $1 AND g.parent_id = c.id"""


def _start(audience: Audience, days: Days, previous: Days | None) -> tuple[str, list[object]]:
    """The people and their rollups: `seen` theirs, `slices` the whole team's, to be read for some of them.

    Both are written out wherever they are read, with the columns that are read.
    """
    arguments: list[object] = [audience.users.team_id]
    people = _people(audience, arguments)
    slices = _rollup_slices(days, "0", arguments)
    if previous is not None:
        slices += _rollup_slices(previous, "1", arguments)
    seen = slices
    if not _is_everybody(audience):
        # Person by person, however many others there are: few are guessed to be many.
        seen = [
            f"SELECT r.* FROM people p CROSS JOIN LATERAL ({one} AND r.user_id = p.id OFFSET 0) r" for one in slices
        ]
    head = f"""
    WITH RECURSIVE people AS MATERIALIZED ({people}),
    slices AS NOT MATERIALIZED ({" UNION ALL ".join(slices)}),
    seen AS NOT MATERIALIZED ({" UNION ALL ".join(seen)})"""
    return head, arguments


_COLUMNS = ", ".join(f"x.{name}" for name in BASE_SUM_NAMES)


def _ranking_sql(request: RankingRequest, arguments: list[object], head: str) -> tuple[str, str]:
    """CTEs for a page of reps and their sums, and its order; ranks and the count are over all that the search leaves.

    Only what sorts is summed for everybody; all base sums for those on the page alone.
    """
    metric = METRICS[request.sort_by]
    sorting = dict.fromkeys((metric.numerator, *metric.denominators))
    # Who is not listed, yet did something in the range; a row whose sums have all gone back to 0 is nothing.
    busy = f"""SELECT ({", ".join(f"sum(s.{name})" for name in BASE_SUM_NAMES)})
        <> ({", ".join("0" for _ in BASE_SUM_NAMES)}) FROM slices s WHERE s.user_id = p.id AND s.period = 0"""
    where = f"(p.listed OR ({busy}))"
    if request.search:
        arguments.append(like_pattern(request.search))
        where += f" AND (p.name ILIKE ${len(arguments)} OR p.email ILIKE ${len(arguments)})"
    zero = "NULL" if metric.is_quotient else "0"
    value = f"CASE WHEN s.user_id IS NULL THEN {zero} ELSE {sql_expression(request.sort_by, 's')} END"
    direction = "DESC" if request.descending else "ASC"
    head += f""",
    sorted AS (
        SELECT s.user_id, {", ".join(f"sum(s.{name}) AS {name}" for name in sorting)}
        FROM seen s WHERE s.period = 0 GROUP BY s.user_id
    ),
    valued AS (
        SELECT p.id, p.name, {value} AS value
        FROM people p LEFT JOIN sorted s ON s.user_id = p.id WHERE {where}
    ),
    ranked AS (
        SELECT id, name, (value IS NULL) AS missing, coalesce(value, 0) AS value,
            rank() OVER (ORDER BY (value IS NULL), value {direction}) AS rank, count(*) OVER () AS total
        FROM valued
    )"""
    after = "true"
    if request.page.cursor is not None:
        missing, number, name, user_id = decode_cursor("reps", request.page.cursor, (bool, Decimal, str, UUID))
        arguments += [missing, number, name, user_id]
        n = len(arguments)
        sign = "<" if request.descending else ">"
        after = f"""(missing > ${n - 3}::boolean OR (missing = ${n - 3} AND (value {sign} ${n - 2}::numeric
            OR (value = ${n - 2} AND (name, id) > (${n - 1}::varchar, ${n}::uuid)))))"""
    arguments.append(request.page.limit + 1)
    head += f""",
    page AS MATERIALIZED (
        SELECT * FROM ranked WHERE {after}
        ORDER BY missing, value {direction}, name, id LIMIT ${len(arguments)}
    ),
    paged AS (
        SELECT page.id AS user_id, x.* FROM page CROSS JOIN LATERAL (
            SELECT s.period, {_sums()} FROM slices s WHERE s.user_id = page.id GROUP BY s.period
        ) x
    )"""
    order = f"page.missing, page.value {direction}, page.name, page.id"
    return head, order


@dataclass(frozen=True, slots=True)
class TeamNumbers:
    """All that the team dashboard shows, but for trends."""

    total: SumsPair
    groups: tuple[tuple[UUID, SumsPair], ...]
    reps: Rankings


async def team_numbers(
    connection: Connection, audience: Audience, days: Days, previous: Days | None, request: RankingRequest
) -> TeamNumbers:
    """The totals, the group rows and a page of reps, in one statement.

    A group's row sums its members and those of all groups below it, so the rows of a tree do not add up to the total.
    """
    head, arguments = _start(audience, days, previous)
    # Each group's own people first: the total and the rows of a tree of groups are sums of these few.
    head += f""",
    closure AS ({_closure(audience, arguments)}),
    own AS MATERIALIZED (
        SELECT p.group_id, s.period, {_sums()} FROM seen s JOIN people p ON p.id = s.user_id
        GROUP BY p.group_id, s.period
    )"""
    head, order = _ranking_sql(request, arguments, head)
    sums = _sums("x")
    statement = f"""{head}
    SELECT 0 AS section, NULL::uuid AS id, x.period, {sums},
        NULL::bigint AS rank, NULL::text AS mark, NULL::text AS name, NULL::bigint AS place
    FROM own x GROUP BY x.period
    UNION ALL
    SELECT 1, c.shown, x.period, {sums}, NULL, NULL, g.name, NULL
    FROM closure c JOIN groups g ON g.team_id = $1 AND g.id = c.shown LEFT JOIN own x ON x.group_id = c.id
    GROUP BY c.shown, g.name, x.period
    UNION ALL
    SELECT 2, page.id, x.period, {_COLUMNS}, page.rank, page.missing::int || ' ' || page.value, page.name,
        row_number() OVER (ORDER BY {order})
    FROM page LEFT JOIN paged x ON x.user_id = page.id
    UNION ALL
    SELECT 3, NULL, NULL, {", ".join("NULL" for _ in BASE_SUM_NAMES)}, count(*), NULL, NULL, NULL FROM ranked
    ORDER BY section, place, name, id
    """
    rows = await connection.fetch(statement, *arguments)
    compared = previous is not None
    sections: dict[int, list[Any]] = {0: [], 1: [], 2: [], 3: []}
    for row in rows:
        sections[row[0]].append(row)
    total = _pairs(sections[0], compared).get(None, _empty(compared))
    groups = tuple((key, pair) for key, pair in _pairs(sections[1], compared).items() if key is not None)
    return TeamNumbers(total, groups, _rankings(sections[2], int(sections[3][0]["rank"]), request, compared))


async def rankings(
    connection: Connection, audience: Audience, days: Days, previous: Days | None, request: RankingRequest
) -> Rankings:
    """A page of reps in one statement."""
    head, arguments = _start(audience, days, previous)
    head, order = _ranking_sql(request, arguments, head)
    rows = await connection.fetch(
        f"""{head}
        SELECT 2 AS section, page.id, x.period, {_COLUMNS}, page.rank,
            page.missing::int || ' ' || page.value AS mark, page.name, row_number() OVER (ORDER BY {order}) AS place
        FROM page LEFT JOIN paged x ON x.user_id = page.id
        UNION ALL
        SELECT 3, NULL, NULL, {", ".join("NULL" for _ in BASE_SUM_NAMES)}, count(*), NULL, NULL, NULL FROM ranked
        ORDER BY section, place
        """,
        *arguments,
    )
    return _rankings(rows[:-1], int(rows[-1]["rank"]), request, previous is not None)


def _sums_of(row: Any) -> Sums:
    return tuple(row)[_FIRST_SUM : _FIRST_SUM + len(BASE_SUM_NAMES)]


def _empty(compared: bool) -> SumsPair:
    return SumsPair(NO_SUMS, NO_SUMS if compared else None)


def _pairs(rows: Sequence[Any], compared: bool) -> dict[UUID | None, SumsPair]:
    """Pair each object's sums of the two periods; the order of the rows is kept."""
    found: dict[UUID | None, dict[int, Sums]] = {}
    for row in rows:
        periods = found.setdefault(row[1], {})
        if row[2] is not None:
            periods[row[2]] = _sums_of(row)
    return {
        key: SumsPair(periods.get(0, NO_SUMS), periods.get(1, NO_SUMS) if compared else None)
        for key, periods in found.items()
    }


def _rankings(rows: Sequence[Any], total: int, request: RankingRequest, compared: bool) -> Rankings:
    pairs = _pairs(rows, compared)
    first_rows: dict[UUID, Any] = {}
    for row in rows:
        first_rows.setdefault(row[1], row)
    found = [Ranking(key, int(row["rank"]), pairs[key]) for key, row in first_rows.items()]
    cursors = []
    for row in first_rows.values():
        missing, value = row["mark"].split(" ", 1)
        cursors.append(encode_cursor("reps", missing == "1", value, row["name"], str(row["id"])))
    return Rankings(page_of(request.page, found, cursors), total)


async def user_numbers(
    connection: Connection, audience: Audience, days: Days, previous: Days | None
) -> Mapping[UUID, SumsPair]:
    """The base sums of each person of an audience, in one statement; people without any are left out."""
    head, arguments = _start(audience, days, previous)
    rows = await connection.fetch(
        f"""{head}
        SELECT 2 AS section, s.user_id, s.period, {_sums()} FROM seen s JOIN people p ON p.id = s.user_id
        GROUP BY s.user_id, s.period""",
        *arguments,
    )
    return {key: pair for key, pair in _pairs(rows, previous is not None).items() if key is not None}


async def listed_people(connection: Connection, audience: Audience) -> list[UUID]:
    """The active reps of an audience."""
    arguments: list[object] = [audience.users.team_id]
    people = _people(audience, arguments)
    rows = await connection.fetch(
        f"SELECT p.id FROM ({people}) p JOIN users x ON x.team_id = $1 AND x.id = p.id WHERE p.listed ORDER BY p.id",
        *arguments,
    )
    return [row["id"] for row in rows]


@dataclass(frozen=True, slots=True)
class TrendStep:
    """The base sums of one step of a trend."""

    days: Days
    sums: Sums


TrendKey = UUID | None
"""A group, a user, or None for the total."""


async def trends(
    connection: Connection,
    audience: Audience,
    days: Days,
    interval: TrendInterval,
    calendar: Calendar,
    *,
    by: str,
    user_ids: Sequence[UUID] | None = None,
) -> Mapping[TrendKey, tuple[TrendStep, ...]]:
    """Trends of the total, of every group row or of reps, in one statement.

    Args:
        by: `total`, `group` or `user`.
        user_ids: Of the audience only these people.
    """
    arguments: list[object] = [audience.users.team_id]
    people = _people(audience, arguments)
    if user_ids is not None:
        arguments.append(list(user_ids))
        people += f" AND u.id = ANY (${len(arguments)}::uuid[])"
    ctes = [f"people AS ({people})"]
    if by == "group":
        ctes.append(f"closure AS ({_closure(audience, arguments)})")
    key, join = {
        "total": ("NULL::uuid", ""),
        "group": ("c.shown", "JOIN closure c ON c.id = p.group_id"),
        "user": ("p.id", ""),
    }[by]
    steps = list(intervals(days, interval, calendar))
    # As text: asyncpg asks the server about an array of dates once a connection. As a row of its own: else it is read
    # anew for every rollup.
    arguments.append([step.first.isoformat() for step in steps])
    ctes.append(f"steps AS MATERIALIZED (SELECT ${len(arguments)}::text[]::date[] AS starts)")
    # A month lies in one step where every step but the first begins with a month.
    by_month = all(step.first.day == 1 for step in steps[1:])
    period = "width_bucket({column}, (SELECT starts FROM steps))"
    slices = _rollup_slices(days, period, arguments, by_month=by_month)
    # Where everybody counts, the team's own rollups are everybody's.
    everybody = by == "total" and _is_everybody(audience)
    rows = await connection.fetch(
        f"""
        WITH RECURSIVE {", ".join(ctes)}
        SELECT {key} AS key, s.period AS step, 0, {_sums()}
        FROM ({" UNION ALL ".join(slices)}) s {"" if everybody else f"JOIN people p ON p.id = s.user_id {join}"}
        GROUP BY 1, 2
        """,
        *arguments,
    )
    found: dict[TrendKey, dict[int, Sums]] = {}
    for row in rows:
        found.setdefault(row[0], {})[row[1]] = _sums_of(row)
    return {
        key: tuple(TrendStep(step, sums.get(number, NO_SUMS)) for number, step in enumerate(steps, 1))
        for key, sums in found.items()
    }


def empty_trend(days: Days, interval: TrendInterval, calendar: Calendar) -> tuple[TrendStep, ...]:
    """The trend of somebody without any numbers."""
    return tuple(TrendStep(step, NO_SUMS) for step in intervals(days, interval, calendar))
