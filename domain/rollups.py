"""Rollups: base sums per user and local day, and per month, kept in the transaction that changes the activities.

The SQL is made once from the catalogue, so that what an activity adds is said in one place (domain/metrics.py). What
counts on a day whose books are closed adds nothing (domain/books.py).
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from domain import events
from domain.books import DATES, INSTANTS, Books
from domain.errors import Invalid, NotFound
from domain.metrics import BASE_SUM_NAMES, BASE_SUMS, BaseSum
from domain.models.activities import ActivityKind

if TYPE_CHECKING:
    from domain.database import Connection

_DAY_OF = {
    "occurred_at": "CASE WHEN a.kind NOT IN ('opportunity', 'task')"
    " THEN (a.occurred_at AT TIME ZONE {timezone})::date END",
    "starts_at": "(a.starts_at AT TIME ZONE {timezone})::date",
    "completed_at": "(a.completed_at AT TIME ZONE {timezone})::date",
    "created_on": "a.created_on",
    "pipeline_on": "a.pipeline_on",
    "closed_on": "a.closed_on",
}
_SLOT = {name: number for number, name in enumerate(_DAY_OF)}
assert set(_DAY_OF) == {*INSTANTS, *DATES}


def _sum(base: BaseSum) -> str:
    condition = f"a.kind = '{base.kind.value}' AND f.slot = {_SLOT[base.day]}"
    if base.when:
        condition += f" AND ({base.when})"
    return f"coalesce(sum(a.sign * ({base.amount})) FILTER (WHERE {condition}), 0) AS {base.name}"


def day_sums_sql(delta: str, timezone: str, bound: tuple[str, str] | None = None) -> str:
    """SQL for (user_id, day, base sums…) over a relation of activities with a `sign` of 1 or -1.

    Args:
        delta: A relation: a table's name or a parenthesized query.
        timezone: A parameter such as `$2` that holds the team's time zone.
        bound: Parameters that hold the instant and the day at which open books begin.
    """

    def day(name: str) -> str:
        expression = _DAY_OF[name].format(timezone=timezone)
        if bound is None:
            return expression
        return f"CASE WHEN a.{name} >= {bound[name in DATES]} THEN {expression} END"

    days = ", ".join(f"({_SLOT[name]}, {day(name)})" for name in _DAY_OF)
    sums = ",\n    ".join(_sum(base) for base in BASE_SUMS)
    return f"""
    SELECT a.user_id, f.day,
    {sums}
    FROM {delta} a
    CROSS JOIN LATERAL (VALUES {days}) f (slot, day)
    WHERE f.day IS NOT NULL
    GROUP BY a.user_id, f.day"""


_COLUMNS = ", ".join(BASE_SUM_NAMES)
_ADD = ", ".join(f"{name} = r.{name} + EXCLUDED.{name}" for name in BASE_SUM_NAMES)
_MONTH_SUMS = ", ".join(f"sum({name})" for name in BASE_SUM_NAMES)

# Both upserts take their row locks in one order, days before months, so that two importers cannot deadlock.
ADD_DAYS = f"""
INSERT INTO rollup_days AS r (team_id, user_id, day, {_COLUMNS})
SELECT $1, user_id, day, {_COLUMNS} FROM batch_days ORDER BY user_id, day
ON CONFLICT (team_id, user_id, day) DO UPDATE SET {_ADD}
"""

ADD_MONTHS = f"""
INSERT INTO rollup_months AS r (team_id, user_id, month, {_COLUMNS})
SELECT $1, user_id, date_trunc('month', day)::date AS month, {_MONTH_SUMS} FROM batch_days
GROUP BY user_id, month ORDER BY user_id, month
ON CONFLICT (team_id, user_id, month) DO UPDATE SET {_ADD}
"""

CREATE_BATCH_DAYS = (
    "CREATE TEMP TABLE IF NOT EXISTS batch_days (user_id uuid, day date, {columns}) ON COMMIT DELETE ROWS"
)
CREATE_BATCH_DAYS = CREATE_BATCH_DAYS.format(
    columns=", ".join(f"{base.name} {'numeric(24,4)' if base.money else 'bigint'}" for base in BASE_SUMS)
)

ACTIVITY_COLUMNS_OF_SUMS = (
    "user_id, kind, occurred_at, bounced, open_count, replied_at, duration_seconds, connected, starts_at, status, "
    "rescheduled_count, talk_ratio, longest_monologue_seconds, questions_asked, patience_seconds, team_amount, "
    "created_on, pipeline_on, closed_on, won, completed_at, reviewed, score_total, score_count"
)
"""The columns of an activity that base sums are made from."""

assert {base.kind for base in BASE_SUMS} == set(ActivityKind)


async def add(connection: Connection, team_id: UUID, books: Books, delta: str) -> None:
    """Add the base sums of a relation of signed activities to the rollups, in the caller's transaction."""
    await connection.execute(CREATE_BATCH_DAYS)
    await _fill(connection, team_id, books, delta)
    await connection.execute(ADD_DAYS, team_id)
    await connection.execute(ADD_MONTHS, team_id)


async def _fill(connection: Connection, team_id: UUID, books: Books, delta: str, *, before: date | None = None) -> None:
    """Put the base sums of a relation into batch_days; only those of days before one, if one is given."""
    arguments: list[object] = [books.timezone]
    bound = None
    if books.bound is not None:
        arguments += [books.bound.instant, books.bound.day]
        bound = ("$2", "$3")
    conditions = []
    if before is not None:
        arguments.append(before)
        conditions.append(f"s.day < ${len(arguments)}")
    if books.someone_erased:
        arguments.append(team_id)
        conditions.append(f"NOT {_is_erased('s.user_id', f'${len(arguments)}')}")
    sums = day_sums_sql(delta, "$1", bound)
    if conditions:
        sums = f"SELECT * FROM ({sums}) s WHERE {' AND '.join(conditions)}"
    await connection.execute(f"INSERT INTO batch_days (user_id, day, {_COLUMNS}) {sums}", *arguments)


def _is_erased(user: str, team: str) -> str:
    """Served by users_erased_idx."""
    return f"EXISTS (SELECT 1 FROM users e WHERE e.team_id = {team} AND e.id = {user} AND e.erased_at IS NOT NULL)"


async def rebuild(connection: Connection, team_id: UUID, *, timezone: str | None = None) -> None:
    """Make a team's rollups anew from its activities, under a new time zone if one is given.

    What cannot be recounted stays as it is: numbers of closed books (the days before `activities_from`), whose
    activities may be gone, and those of erased people. What was closed stands on days before the bound for good; what
    is open may stand there too, under another time zone than the one in which the books were closed. There it is taken
    out as it counted and put in as it counts now, beside what stays; days from the bound on are made anew. Back in the
    old zone, all numbers are those of before.

    Runs in the caller's transaction: readers go on seeing the old numbers until it commits, importers of the team
    wait for it.

    Raises:
        Invalid: there is no such time zone.
        NotFound: there is no such team.
    """
    if timezone is not None:
        try:
            ZoneInfo(timezone)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise Invalid(
                f"There is no time zone {timezone!r}; give an IANA name such as Europe/Berlin.", path=("timezone",)
            ) from error
    # Importers hold this row FOR SHARE.
    team = await connection.fetchrow(
        "SELECT timezone, activities_from, activities_from_at, erasures FROM teams WHERE id = $1 FOR NO KEY UPDATE",
        team_id,
    )
    if team is None:
        raise NotFound("No such team.")
    before = Books.of(team)
    after = replace(before, timezone=timezone or before.timezone)
    await connection.execute("UPDATE teams SET timezone = $2 WHERE id = $1", team_id, after.timezone)
    await connection.execute(CREATE_BATCH_DAYS)
    # Served by activities_team_idx.
    activities = (
        f"(SELECT {{sign}} AS sign, {ACTIVITY_COLUMNS_OF_SUMS} FROM activities WHERE team_id = '{team_id}'::uuid)"
    )
    first = None if before.bound is None else before.bound.day
    if first is not None:
        await _fill(connection, team_id, before, activities.format(sign=-1), before=first)
        await connection.execute(ADD_DAYS, team_id)
        await connection.execute("TRUNCATE batch_days")
    await connection.execute(
        f"DELETE FROM rollup_days r WHERE team_id = $1 AND ($2::date IS NULL OR day >= $2) "
        f"AND NOT {_is_erased('r.user_id', '$1')}",
        team_id,
        first,
    )
    await _fill(connection, team_id, after, activities.format(sign=1))
    await connection.execute(ADD_DAYS, team_id)
    await connection.execute("DELETE FROM rollup_months WHERE team_id = $1", team_id)
    await connection.execute(
        f"""
        INSERT INTO rollup_months (team_id, user_id, month, {_COLUMNS})
        SELECT $1, user_id, date_trunc('month', day)::date AS month, {_MONTH_SUMS} FROM rollup_days
        WHERE team_id = $1 GROUP BY user_id, month
        """,
        team_id,
    )
    await events.mark_changed(connection, team_id)
