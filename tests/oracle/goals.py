"""What a goal asks for, day by day, sharing no code with domain/.

Every working day of a period carries the same part of the period's target; a range asks for what its days carry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction

ONE = timedelta(days=1)


@dataclass(frozen=True)
class World:
    """How a team counts days."""

    week_start: int
    fiscal_month: int
    weekly: bool
    works: Callable[[date], bool]
    _labels: dict[tuple[str, date], object] = field(default_factory=dict, init=False, repr=False, compare=False)

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
        if (kind, day) not in self._labels:
            self._labels[kind, day] = self._label(kind, day)
        return self._labels[kind, day]

    def _label(self, kind: str, day: date) -> object:
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


SHORTEST = {"DAY": 1, "WEEK": 7, "MONTH": 28, "QUARTER": 90, "YEAR": 364}


def counting(held: Iterable[Held], days: list[date]) -> list[Held]:
    """Of a subject's goals for one metric, those of the period that counts over a range."""
    there = [one for one in held if any(one.holds(day) for day in days)]
    kinds = {one.kind for one in there}
    fitting = [kind for kind in kinds if SHORTEST[kind] <= len(days)]
    if not kinds:
        return []
    chosen = max(fitting, key=SHORTEST.__getitem__) if fitting else min(kinds, key=SHORTEST.__getitem__)
    return [one for one in there if one.kind == chosen]


def six_places(value: Fraction) -> Decimal:
    """Rounded half to even."""
    scaled = value * 10**6
    whole, rest = divmod(scaled.numerator, scaled.denominator)
    double = 2 * rest
    if double > scaled.denominator or (double == scaled.denominator and whole % 2):
        whole += 1
    return Decimal(whole) / 10**6
