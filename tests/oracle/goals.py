"""What a goal asks for, day by day, sharing no code with domain/.

Every working day of a period carries the same part of the period's target; a range asks for what its days carry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction

ONE = timedelta(days=1)


@dataclass(frozen=True)
class World:
    """How a team counts days."""

    week_start: int
    fiscal_month: int
    weekly: bool
    works: Callable[[date], bool]

    def year_of(self, day: date) -> date:
        """The first day of the fiscal year."""
        if not self.weekly:
            while not (day.day == 1 and day.month == self.fiscal_month):
                day -= ONE
            return day
        while True:
            if day.isoweekday() == self.week_start:
                near = [day + n * ONE for n in range(-3, 4)]
                if any(one.month == self.fiscal_month and one.day == 1 for one in near):
                    return day
            day -= ONE

    def label(self, kind: str, day: date) -> object:
        """Days of one period have one label."""
        if kind == "DAY":
            return day
        if kind == "WEEK":
            while day.isoweekday() != self.week_start:
                day -= ONE
            return day
        year = self.year_of(day)
        if kind == "YEAR":
            return year
        if self.weekly:
            week = (day - year).days // 7
            quarter = min(week // 13, 3)
            month = [0] * 4 + [1] * 4 + [2] * 6
            return (year, quarter) if kind == "QUARTER" else (year, quarter, month[week - quarter * 13])
        if kind == "MONTH":
            return (day.year, day.month)
        return (year, (day.month - self.fiscal_month) % 12 // 3)

    def period(self, kind: str, day: date) -> list[date]:
        """The days of a period."""
        label = self.label(kind, day)
        first = last = day
        while self.label(kind, first - ONE) == label:
            first -= ONE
        while self.label(kind, last + ONE) == label:
            last += ONE
        return [first + n * ONE for n in range((last - first).days + 1)]


@dataclass(frozen=True)
class Held:
    """A target from one day to another, for somebody who works on some days."""

    kind: str
    first: date
    last: date | None
    target: Fraction
    works: Callable[[date], bool]

    def holds(self, day: date) -> bool:
        """Whether it holds on a day."""
        return self.first <= day and (self.last is None or day <= self.last)


def asked(
    world: World, held: Iterable[Held], days: list[date], today: date, share: Fraction
) -> tuple[Fraction, Fraction]:
    """The target of a sum over some days, and what of it is due by now."""
    target = due = Fraction(0)
    periods: dict[tuple[str, object], int] = {}
    for one in held:
        for day in days:
            if not one.holds(day) or not one.works(day):
                continue
            key = (one.kind, world.label(one.kind, day), id(one.works))
            if key not in periods:
                periods[key] = sum(1 for other in world.period(one.kind, day) if one.works(other))
            part = one.target / periods[key]
            target += part
            due += part if day < today else part * share if day == today else 0
    return target, due


def rate(held: Iterable[Held], days: list[date]) -> Fraction | None:
    """The target of a rate over some days."""
    pairs = [(one.target, one.works(day)) for one in held for day in days if one.holds(day)]
    working = [target for target, works in pairs if works]
    chosen = working or [target for target, _works in pairs]
    return sum(chosen, Fraction(0)) / len(chosen) if chosen else None
