"""Ranges of local days: named ones, comparisons, and the intervals of trends.

A local day is a day of the team's time zone. All ranges are inclusive at both ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from domain.errors import Invalid
from domain.models.goals import GoalPeriod
from domain.records import EARLIEST, LATEST

LONGEST_RANGE_DAYS = 366 * 10


class NamedRange(StrEnum):
    """Ranges by name, relative to today."""

    TODAY = "TODAY"
    YESTERDAY = "YESTERDAY"
    THIS_WEEK = "THIS_WEEK"
    LAST_WEEK = "LAST_WEEK"
    THIS_MONTH = "THIS_MONTH"
    LAST_MONTH = "LAST_MONTH"
    THIS_QUARTER = "THIS_QUARTER"
    LAST_QUARTER = "LAST_QUARTER"
    THIS_YEAR = "THIS_YEAR"
    LAST_30_DAYS = "LAST_30_DAYS"
    LAST_90_DAYS = "LAST_90_DAYS"


class Comparison(StrEnum):
    """What a range is compared with."""

    NONE = "NONE"
    PREVIOUS_PERIOD = "PREVIOUS_PERIOD"
    SAME_PERIOD_LAST_YEAR = "SAME_PERIOD_LAST_YEAR"


class TrendInterval(StrEnum):
    """The steps of a trend."""

    DAY = "DAY"
    WEEK = "WEEK"
    MONTH = "MONTH"


@dataclass(frozen=True, slots=True)
class Days:
    """From one local day to another, both inclusive."""

    first: date
    last: date

    @property
    def count(self) -> int:
        """How many days."""
        return (self.last - self.first).days + 1


@dataclass(frozen=True, slots=True)
class Calendar:
    """How a team counts days, weeks, months, quarters and years.

    Months are those of the year, or, with `four_four_five`, of 4, 4 and 5 whole weeks in each quarter. Such a year
    begins on the week start nearest to the first of `fiscal_year_start_month`; where that leaves 53 weeks, the last
    month has six. Source: National Retail Federation, 4-5-4 calendar, in its 4-4-5 form.

    Args:
        timezone: IANA name.
        week_start: ISO weekday, 1 is Monday.
        fiscal_year_start_month: 1 to 12.
        four_four_five: Whether months are made of whole weeks.
    """

    timezone: str
    week_start: int = 1
    fiscal_year_start_month: int = 1
    four_four_five: bool = False

    def today(self, now: datetime) -> date:
        """The local day of an instant."""
        return now.astimezone(ZoneInfo(self.timezone)).date()

    def start_of_week(self, day: date) -> date:
        """The first day of the week of a day."""
        return day - timedelta(days=(day.isoweekday() - self.week_start) % 7)

    def month_number(self, day: date) -> int:
        """The number of the month of a day; months are numbered without gaps."""
        if not self.four_four_five:
            return day.year * 12 + day.month - 1
        year = next(year for year in (day.year + 1, day.year, day.year - 1) if self._year_start(year) <= day)
        weeks = (day - self._year_start(year)).days // 7
        return year * 12 + min(weeks // 13, 3) * 3 + min((weeks - min(weeks // 13, 3) * 13) // 4, 2)

    def month_start(self, number: int) -> date:
        """The first day of the month of a number."""
        year, month = divmod(number, 12)
        if not self.four_four_five:
            return date(year, month + 1, 1)
        return self._year_start(year) + timedelta(weeks=month // 3 * 13 + month % 3 * 4)

    def months(self, number: int, count: int = 1) -> Days:
        """So many whole months, from the one of a number on."""
        return Days(self.month_start(number), self.month_start(number + count) - timedelta(days=1))

    def period(self, kind: GoalPeriod, day: date) -> Days:
        """The period of a kind that holds a day."""
        if kind is GoalPeriod.DAY:
            return Days(day, day)
        if kind is GoalPeriod.WEEK:
            start = self.start_of_week(day)
            return Days(start, start + timedelta(days=6))
        count = _MONTHS_OF[kind]
        first_month = 0 if self.four_four_five else self.fiscal_year_start_month - 1
        number = self.month_number(day)
        return self.months(number - (number - first_month) % count, count)

    def _year_start(self, year: int) -> date:
        first = date(year, self.fiscal_year_start_month, 1)
        after = (first.isoweekday() - self.week_start) % 7
        return first - timedelta(days=after) if after <= 3 else first + timedelta(days=7 - after)


_MONTHS_OF = {GoalPeriod.MONTH: 1, GoalPeriod.QUARTER: 3, GoalPeriod.YEAR: 12}


def add_months(day: date, months: int) -> date:
    """The same day some months away; the month's last day where it has no such day."""
    number = day.year * 12 + day.month - 1 + months
    year, month = divmod(number, 12)
    following = date(year + (month == 11), (month + 1) % 12 + 1, 1)
    return date(year, month + 1, min(day.day, (following - timedelta(days=1)).day))


def named_range(name: NamedRange, calendar: Calendar, today: date) -> Days:
    """The days of a named range. `THIS_…` ends with its period, not today, so that goals cover the whole of it."""
    yesterday = today - timedelta(days=1)
    match name:
        case NamedRange.TODAY:
            return Days(today, today)
        case NamedRange.YESTERDAY:
            return Days(yesterday, yesterday)
        case NamedRange.THIS_WEEK:
            return calendar.period(GoalPeriod.WEEK, today)
        case NamedRange.LAST_WEEK:
            return calendar.period(GoalPeriod.WEEK, today - timedelta(days=7))
        case NamedRange.THIS_MONTH:
            return calendar.period(GoalPeriod.MONTH, today)
        case NamedRange.LAST_MONTH:
            return _before(calendar, GoalPeriod.MONTH, today)
        case NamedRange.THIS_QUARTER:
            return calendar.period(GoalPeriod.QUARTER, today)
        case NamedRange.LAST_QUARTER:
            return _before(calendar, GoalPeriod.QUARTER, today)
        case NamedRange.THIS_YEAR:
            return calendar.period(GoalPeriod.YEAR, today)
        case NamedRange.LAST_30_DAYS:
            return Days(today - timedelta(days=29), today)
        case NamedRange.LAST_90_DAYS:
            return Days(today - timedelta(days=89), today)


def _before(calendar: Calendar, kind: GoalPeriod, day: date) -> Days:
    return calendar.period(kind, calendar.period(kind, day).first - timedelta(days=1))


def explicit_range(first: date, last: date) -> Days:
    """The days between two dates.

    Raises:
        Invalid: the dates are in the wrong order, too far apart, or out of the years that are kept.
    """
    if first > last:
        raise Invalid(f"range: from {first} is after to {last}; swap them.", path=("range", "from"))
    if (last - first).days >= LONGEST_RANGE_DAYS:
        raise Invalid("range: at most ten years at once; choose a shorter range.", path=("range",))
    if first < EARLIEST.date() or last >= LATEST.date():
        raise Invalid(f"range: choose days from {EARLIEST:%Y} to {LATEST.year - 1}.", path=("range",))
    return Days(first, last)


def compared_with(days: Days, comparison: Comparison, calendar: Calendar) -> Days | None:
    """The days that a range is compared with.

    The period before a range of whole months is the same number of whole months before it; before any other range,
    the same number of days. The same period of last year has the same months, or else the same dates; the end of a
    month stays the end. Months are the calendar's.
    """
    if comparison is Comparison.NONE:
        return None
    first, after = calendar.month_number(days.first), calendar.month_number(days.last + timedelta(days=1))
    count = after - first
    whole_months = (
        count > 0
        and calendar.month_start(first) == days.first
        and calendar.month_start(after) == days.last + timedelta(days=1)
    )
    if whole_months:
        return calendar.months(first - (12 if comparison is Comparison.SAME_PERIOD_LAST_YEAR else count), count)
    if comparison is Comparison.SAME_PERIOD_LAST_YEAR:
        return Days(add_months(days.first, -12), add_months(days.last, -12))
    return Days(days.first - timedelta(days=days.count), days.first - timedelta(days=1))


def intervals(days: Days, interval: TrendInterval, calendar: Calendar) -> Iterator[Days]:
    """The steps of a trend over a range; the first and the last may be cut by the range's ends."""
    start = days.first
    while start <= days.last:
        whole = calendar.period(GoalPeriod(interval.value), start)
        yield Days(start, min(whole.last, days.last))
        start = whole.last + timedelta(days=1)


def overlap(one: Days, first: date, last: date | None) -> Days | None:
    """What a range has in common with the days from one to another (None: for ever)."""
    begin, end = max(one.first, first), one.last if last is None else min(one.last, last)
    return Days(begin, end) if begin <= end else None
