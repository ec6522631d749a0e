"""What subjects did on their last working days, and how their team's level changes with the weekday and the month.

domain/insight/forecasts.py draws from it, and says what each is good for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import numpy as np

from domain.goal_board import GoalBoard
from domain.goal_events import GoalView
from domain.goal_progress import people_of
from domain.insight.robust import Booleans, Floats, Integers
from domain.metrics import METRICS, MetricUnit
from domain.periods import Days, add_months
from domain.workdays import WorkCalendar, read_days_off, read_work_calendar

if TYPE_CHECKING:
    from domain.database import Connection

HISTORY_DAYS = 60
CALENDAR_DAYS = 150
"""How far back the working days of the history are looked for."""
DRIFT_MONTHS = 12
FEWEST_MONTHS = 3
WEEKDAY_PEOPLE = 500
WEEKDAY_DAYS = 90
"""Calendar days that the levels of weekdays rest on."""


@dataclass(frozen=True, slots=True)
class Series:
    """What a subject did on its last working days, the oldest first.

    Args:
        rows: A row a day, a column a base sum.
        weekdays: The weekday of each day, 0 for Monday.
        levels: The level of each weekday against the mean day.
        drift: The standard deviation of the logarithm of the team's level from a month to the next.
    """

    rows: Floats
    weekdays: Integers
    levels: Floats
    drift: float = 0.0


def sums_of(metric: str) -> tuple[str, ...]:
    """The base sums that a metric is made of."""
    definition = METRICS[metric]
    return (definition.numerator, *definition.denominators)


def amounts_of(rows: Floats) -> Floats:
    """What tells how busy a day was: the base sum, or the divisor of a rate."""
    found: Floats = rows[:, 1:].sum(axis=1) if rows.shape[1] > 1 else rows[:, 0]
    return found


def weekday_levels(rows: Floats, weekdays: Integers) -> Floats:
    """The level of each weekday against the mean day, drawn towards 1; of a rate, that of its divisor."""
    levels = np.ones(7)
    amounts = amounts_of(rows)
    mean = float(amounts.mean()) if len(amounts) else 0.0
    count = np.bincount(weekdays, minlength=7)
    kinds = int((count > 0).sum())
    if mean <= 0 or kinds < 4 or len(amounts) <= kinds:
        # Three or fewer weekdays cannot be drawn together.
        return levels
    own = np.bincount(weekdays, weights=amounts, minlength=7) / np.maximum(count, 1)
    within = float(((amounts - own[weekdays]) ** 2).sum()) / (len(amounts) - kinds)
    between = float((count * (own - mean) ** 2).sum())
    kept = max(0.0, 1 - (kinds - 3) * within / between) if between > 0 else 0.0
    levels[count > 0] += kept * (own[count > 0] / mean - 1)
    return np.maximum(levels, 0.1)


async def read_series(
    connection: Connection,
    team_id: UUID,
    board: GoalBoard,
    goals: Sequence[GoalView],
    today: date,
    *,
    longest: int = HISTORY_DAYS,
    back_days: int = CALENDAR_DAYS,
) -> list[Series]:
    """The last working days before today of each goal's subject, in a fixed number of statements."""
    names = sorted({name for goal in goals for name in sums_of(goal.metric)})
    base = today - timedelta(days=back_days)
    subjects: dict[UUID, int] = {}
    members: list[tuple[int, UUID]] = []
    for goal in goals:
        if goal.subject_id not in subjects:
            place = subjects[goal.subject_id] = len(subjects)
            members += [(place, user_id) for user_id in people_of(board, goal)]
    columns = ", ".join(f"sum(r.{name})::float8" for name in names)
    # Served by the primary key of rollup_days, or by rollup_days_day_idx where everybody is asked for.
    rows = await connection.fetch(
        f"""
        SELECT m.place, r.day - $4::date AS day, {columns}
        FROM unnest($2::int[], $3::uuid[]) AS m (place, user_id)
        JOIN rollup_days r ON r.team_id = $1 AND r.user_id = m.user_id AND r.day >= $4::date AND r.day < $5::date
        GROUP BY m.place, r.day
        """,
        team_id,
        [place for place, _user_id in members],
        [user_id for _place, user_id in members],
        base,
        today,
    )
    began = {
        row["id"]: row["started_on"]
        for row in await connection.fetch(
            "SELECT id, started_on FROM users WHERE team_id = $1 AND id = ANY ($2::uuid[]) AND started_on IS NOT NULL",
            team_id,
            [goal.user_id for goal in goals if goal.user_id is not None],
        )
    }
    table = np.array([tuple(row) for row in rows], dtype=np.float64).reshape(len(rows), len(names) + 2)
    span = Days(min(base, today - timedelta(days=31 * (DRIFT_MONTHS + 1))), today)
    work = await read_work_calendar(connection, team_id, span)
    taken = await read_days_off(connection, team_id, span)
    works = np.array([work.is_working(base + timedelta(days=number)) for number in range(back_days)])
    drifts = await _read_drifts(connection, team_id, sorted({goal.metric for goal in goals}), work, today)
    levels = await _read_levels(connection, team_id, sorted({goal.metric for goal in goals}), work, today)
    made: dict[UUID, tuple[Floats, Integers]] = {}
    for goal in goals:
        if goal.subject_id in made:
            continue
        mine = table[table[:, 0] == subjects[goal.subject_id]]
        begin = int(mine[:, 1].min()) if len(mine) else back_days
        if goal.user_id in began:
            begin = max(begin, (began[goal.user_id] - base).days)
        counts = works.copy()
        for day in work.worked_days(taken.get(goal.subject_id, ())):
            if day < today:
                counts[(day - base).days] = False
        counts[: max(begin, 0)] = False
        weekdays = (np.nonzero(counts)[0] + base.weekday()) % 7
        made[goal.subject_id] = (_by_working_day(mine, counts, len(names))[-longest:], weekdays[-longest:])
    return [
        Series(
            made[goal.subject_id][0][:, [names.index(name) for name in sums_of(goal.metric)]],
            made[goal.subject_id][1],
            levels[goal.metric],
            drifts[goal.metric],
        )
        for goal in goals
    ]


async def _read_levels(
    connection: Connection, team_id: UUID, metrics: Sequence[str], work: WorkCalendar, today: date
) -> dict[str, Floats]:
    """The levels of the weekdays. Served by the primary keys of users and rollup_days."""
    names = sorted({name for metric in metrics for name in sums_of(metric)})
    base = today - timedelta(days=WEEKDAY_DAYS)
    rows = await connection.fetch(
        f"""
        SELECT r.day - $2::date AS day, {", ".join(f"sum(r.{name})::float8" for name in names)}
        FROM (SELECT u.id FROM users u WHERE u.team_id = $1 AND u.active AND u.is_rep ORDER BY u.id LIMIT $4) p
        JOIN rollup_days r ON r.team_id = $1 AND r.user_id = p.id AND r.day >= $2::date AND r.day < $3::date
        GROUP BY r.day
        """,
        team_id,
        base,
        today,
        WEEKDAY_PEOPLE,
    )
    works = np.array([work.is_working(base + timedelta(days=number)) for number in range(WEEKDAY_DAYS)])
    table = np.array([(0, *row) for row in rows], dtype=np.float64).reshape(len(rows), len(names) + 2)
    by_day = _by_working_day(table, works, len(names))
    weekdays = (np.nonzero(works)[0] + base.weekday()) % 7
    return {
        metric: weekday_levels(by_day[:, [names.index(name) for name in sums_of(metric)]], weekdays)
        for metric in metrics
    }


async def _read_drifts(
    connection: Connection, team_id: UUID, metrics: Sequence[str], work: WorkCalendar, today: date
) -> dict[str, float]:
    """How much the team's level changes from month to month. Served by rollup_months_month_idx."""
    levels = [_level_of(metric) for metric in metrics]
    names = sorted({name for counted, by in levels if counted is not None for name in (counted, *by)})
    found = dict.fromkeys(metrics, 0.0)
    if not names:
        return found
    this_month = today.replace(day=1)
    rows = await connection.fetch(
        f"""
        SELECT r.month, count(*)::int AS people, {", ".join(f"sum(r.{name})::float8" for name in names)}
        FROM rollup_months r WHERE r.team_id = $1 AND r.month >= $2 AND r.month < $3 GROUP BY r.month ORDER BY r.month
        """,
        team_id,
        add_months(this_month, -DRIFT_MONTHS),
        this_month,
    )
    # A first month is seldom a whole one.
    whole = rows[1:]
    if len(whole) < FEWEST_MONTHS:
        return found
    days = [float(work.count(row["month"], add_months(row["month"], 1) - timedelta(days=1))) for row in whole]
    sums = np.array([tuple(row)[2:] for row in whole], dtype=np.float64)
    people = np.array([row["people"] for row in whole], dtype=np.float64)
    for metric in metrics:
        counted, by = _level_of(metric)
        if counted is not None:
            divisor = sums[:, [names.index(name) for name in by]].sum(axis=1) if by else people * np.array(days)
            found[metric] = drift_of(sums[:, names.index(counted)], divisor)
    return found


_COUNT_OF = {"new_pipeline": "opportunities_created", "closed_won_amount": "closed_won_count"}
"""Amounts drift as the deals do that they are made of."""


def _level_of(metric: str) -> tuple[str | None, tuple[str, ...]]:
    """The count whose level tells how a metric drifts, and what it is divided by if not by days; None for a mean, whose
    chance is not known."""
    definition = METRICS[metric]
    if not definition.is_quotient:
        return _COUNT_OF.get(definition.numerator, definition.numerator), ()
    return (definition.numerator if definition.unit is MetricUnit.RATIO and definition.scale == 1 else None), (
        definition.denominators
    )


def drift_of(counts: Floats, divisors: Floats) -> float:
    """The standard deviation of the steps of the logarithm of a level, less what chance explains of it.

    Args:
        counts: Of each month.
        divisors: What they are divided by.
    """
    # Before its first count there was no level, and its first month is seldom a whole one.
    begun = np.cumsum(np.cumsum(counts) > 0) > 1
    counts, divisors = counts[begun] + 0.5, divisors[begun]
    if len(counts) < FEWEST_MONTHS or (divisors <= 0).any():
        return 0.0
    steps = np.diff(np.log(counts / divisors))
    chance = float((1 / counts[1:] + 1 / counts[:-1]).mean())
    return float(np.sqrt(max(0.0, float((steps**2).mean()) - chance)))


def _by_working_day(rows: Floats, works: Booleans, width: int) -> Floats:
    """Rows by calendar day as rows by working day; what is done on another day goes to the working day before it."""
    place = np.cumsum(works) - 1
    found = np.zeros((int(works.sum()), width))
    if len(found):
        at = place[rows[:, 1].astype(np.int64)]
        np.add.at(found, at[at >= 0], rows[at >= 0, 2:])
    return found
