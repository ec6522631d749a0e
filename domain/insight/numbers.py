"""The numbers that insight is made of: each rep's base sums over the days that count, in a fixed number of statements.

The days that count of a rep are whole days (before today) of the range, after the first `RAMP_DAYS` with the team and
not after the last one. Who began when nobody has said is read off the first month with numbers, where the team had
numbers before. Working days are the team's, but for the days off of the rep and for absences that nobody has entered: a
run of `ABSENT_DAYS` working days or more without any activity at all, which at the rep's own share of idle days would
come about less than once in `1 / ABSENT_CHANCE` tries.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import numpy as np

from domain.insight.rates import Counts, quotient
from domain.insight.robust import Floats, Integers
from domain.metrics import BASE_SUM_NAMES
from domain.periods import Days
from domain.workdays import PersonalTime, WorkCalendar

if TYPE_CHECKING:
    from domain.database import Connection

RAMP_DAYS = 90
"""So many days from the first one on a new rep is neither compared nor compared with."""
ABSENT_DAYS = 5
ABSENT_CHANCE = 0.001
_IDLE_CALENDAR_DAYS = ABSENT_DAYS + 1
"""Calendar days between two activities below which no run of working days can be an absence."""


@dataclass(frozen=True, slots=True)
class Person:
    """An active rep of the team.

    Args:
        id: The user.
        name: The person's name.
        group_id: The group, if any.
        first: The first day with the team, as far as anything is known of it.
        last: The last one.
    """

    id: UUID
    name: str
    group_id: UUID | None
    first: date | None
    last: date | None


async def read_people(connection: Connection, team_id: UUID) -> list[Person]:
    """The active reps of a team. Served by users (team_id, …) and the primary key of rollup_months."""
    rows = await connection.fetch(
        """
        WITH months AS (
            SELECT r.user_id, min(r.month) AS first FROM rollup_months r WHERE r.team_id = $1 GROUP BY r.user_id
        )
        SELECT u.id, u.name, u.group_id, u.ended_on,
            coalesce(u.started_on, CASE WHEN m.first > (SELECT min(first) FROM months) THEN m.first END) AS began
        FROM users u LEFT JOIN months m ON m.user_id = u.id
        WHERE u.team_id = $1 AND u.active AND u.is_rep ORDER BY u.id
        """,
        team_id,
    )
    return [Person(row["id"], row["name"], row["group_id"], row["began"], row["ended_on"]) for row in rows]


Ratio = tuple[tuple[str, ...], tuple[str, ...]]
"""The base sums of a rate's numerator and of its divisor; without a divisor it is per working day."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """Base sums of some people, each over the days that count.

    Args:
        people: The people, in the order of all arrays.
        days: Working days worked.
        sums: Base sums by name.
        squares: Of each rate: the sums over days of a², a b and b², and the days with any b.
    """

    people: Sequence[Person]
    days: Floats
    sums: Mapping[str, Floats]
    squares: Mapping[Ratio, tuple[Floats, Floats, Floats, Floats]]

    def total(self, names: Iterable[str]) -> Floats:
        """Base sums added up."""
        found: Floats = np.sum([self.sums[name] for name in names], axis=0, dtype=np.float64)
        return found

    def counts(self, ratio: Ratio) -> Counts:
        """A rate's numbers, with the residuals of the days."""
        above, below = ratio
        a = self.total(above)
        b = self.total(below) if below else self.days
        if ratio not in self.squares:
            return Counts(a, b, np.full(a.shape, np.nan))
        aa, ab, bb, active = self.squares[ratio]
        if not below:
            # A working day without anything is a day with a 0.
            ab, bb, active = a, self.days, self.days
        rate = quotient(a, b)
        residuals = np.maximum(aa - 2 * rate * ab + rate * rate * bb, 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            corrected = np.where(active > 1, residuals * active / (active - 1), np.nan)
        return Counts(a, b, corrected)

    def active_days(self, ratio: Ratio) -> Floats:
        """Days with anything to divide by."""
        return self.squares[ratio][3] if ratio[1] else self.days


async def read_numbers(
    connection: Connection,
    team_id: UUID,
    people: Sequence[Person],
    window: Days,
    work: WorkCalendar,
    off: Mapping[UUID, Sequence[Days]],
    ratios: Sequence[Ratio],
    *,
    more: Sequence[str] = (),
    ramp_days: int = RAMP_DAYS,
) -> Numbers:
    """The numbers of some people in two statements.

    Args:
        connection: Where to read.
        team_id: The team.
        people: The people; who of them may be seen by whom is the caller's to know.
        window: Whole days; all before today.
        work: The team's working days; its span holds the window.
        off: The people's days off.
        ratios: The rates whose base sums, and their scatter over days, are asked for.
        more: Base sums beyond these.
        ramp_days: So many days from the first one on do not count.
    """
    base = window.first
    ramp = timedelta(days=ramp_days)
    first = np.array(
        [max(0, ((person.first + ramp) - base).days) if person.first else 0 for person in people], dtype=np.int64
    )
    last = np.array(
        [min(window.count - 1, (person.last - base).days) if person.last else window.count - 1 for person in people],
        dtype=np.int64,
    )
    first = np.minimum(first, window.count)
    arguments: list[object] = [team_id, [person.id for person in people], first.tolist(), last.tolist(), base]
    # Served by the primary key of rollup_days, or by rollup_days_day_idx where everybody is asked for.
    source = f"""
        FROM unnest($2::uuid[], $3::int[], $4::int[]) WITH ORDINALITY AS p (id, first, last, place)
        JOIN rollup_days r ON r.team_id = $1 AND r.user_id = p.id AND r.day BETWEEN $5::date + p.first
            AND $5::date + p.last AND r.day BETWEEN $5::date AND $5::date + {window.count - 1}
            AND ({", ".join(f"r.{name}" for name in BASE_SUM_NAMES)}) <> ({", ".join("0" for _ in BASE_SUM_NAMES)})"""
    names = sorted({*more, *(name for above, below in ratios for name in (*above, *below))})
    columns = [f"sum(r.{name})::float8" for name in names]
    for above, below in ratios:
        a = _added(above)
        b = _added(below) if below else "1"
        columns += [f"sum({a} * {a})", f"sum({a} * {b})", f"sum({b} * {b})", f"count(*) FILTER (WHERE {b} > 0)::float8"]
    rows = await connection.fetch(
        f"SELECT p.place::int, count(*)::int, {', '.join(columns)} {source} GROUP BY p.place", *arguments
    )
    table = np.zeros((len(columns) + 1, len(people)))
    if rows:
        filled = np.array([tuple(row) for row in rows], dtype=np.float64)
        table[:, filled[:, 0].astype(np.int64) - 1] = filled[:, 1:].T
    idle = await connection.fetch(
        f"""
        SELECT place::int, before, after FROM (
            SELECT place, day AS after,
                lag(day, 1, $5::date + first - 1) OVER (PARTITION BY place ORDER BY day) AS before
            FROM (
                SELECT p.place, p.first, r.day {source}
                UNION ALL SELECT place, first, $5::date + last + 1
                FROM unnest($2::uuid[], $3::int[], $4::int[]) WITH ORDINALITY AS q (id, first, last, place)
                WHERE first <= last
            ) days
        ) runs WHERE after - before > {_IDLE_CALENDAR_DAYS}
        """,
        *arguments,
    )
    runs = [(row[0] - 1, Days(row[1] + timedelta(days=1), row[2] - timedelta(days=1))) for row in idle]
    sums = {name: table[number + 1] for number, name in enumerate(names)}
    start = 1 + len(names)
    squares = {}
    for number, ratio in enumerate(ratios):
        at = start + 4 * number
        squares[ratio] = (table[at], table[at + 1], table[at + 2], table[at + 3])
    days = _worked(people, window, first, last, work, off, table[0], runs)
    return Numbers(people, days, sums, squares)


def _added(names: Sequence[str]) -> str:
    return "(" + " + ".join(f"r.{name}::float8" for name in names) + ")"


def _worked(
    people: Sequence[Person],
    window: Days,
    first: Integers,
    last: Integers,
    work: WorkCalendar,
    off: Mapping[UUID, Sequence[Days]],
    active: Floats,
    runs: Sequence[tuple[int, Days]],
) -> Floats:
    """The working days that each has worked."""
    works = [work.is_working(window.first + timedelta(days=number)) for number in range(window.count)]
    before = np.concatenate([[0], np.cumsum(works)])
    days: Floats = (before[np.maximum(last + 1, first)] - before[first]).astype(np.float64)
    times: dict[int, PersonalTime] = {}
    for place, person in enumerate(people):
        taken = off.get(person.id)
        if taken:
            times[place] = PersonalTime(work, work.worked_days(taken))
            start = window.first + timedelta(days=int(first[place]))
            days[place] = times[place].count(start, window.first + timedelta(days=int(last[place])))
    everybody = PersonalTime(work)
    absent: dict[int, list[int]] = {}
    for place, run in runs:
        length = times.get(place, everybody).count(run.first, run.last)
        if length >= ABSENT_DAYS:
            absent.setdefault(place, []).append(length)
    for place, lengths in absent.items():
        # The longest first: what is no absence counts among the idle days of the rest.
        for length in sorted(lengths, reverse=True):
            rest = float(days[place]) - length
            idle = (max(rest - float(active[place]), 0.0) + 1) / (rest + 2)
            if idle**length < ABSENT_CHANCE:
                days[place] = rest
    return days
