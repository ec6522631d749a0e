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
class Calendar:
    """How a team counts days.

    Args:
        timezone: IANA name.
        week_start: ISO weekday, 1 is Monday.
        fiscal_year_start_month: 1 to 12.
    """

    timezone: str
    week_start: int = 1
    fiscal_year_start_month: int = 1

    def today(self, now: datetime) -> date:
        """The local day of an instant."""
        return now.astimezone(ZoneInfo(self.timezone)).date()

    def start_of_week(self, day: date) -> date:
        """The first day of the week of a day."""
        return day - timedelta(days=(day.isoweekday() - self.week_start) % 7)

    def start_of_quarter(self, day: date) -> date:
        """The first day of the fiscal quarter of a day."""
        past = (day.month - self.fiscal_year_start_month) % 3
        return add_months(day.replace(day=1), -past)

    def start_of_year(self, day: date) -> date:
        """The first day of the fiscal year of a day."""
        past = (day.month - self.fiscal_year_start_month) % 12
        return add_months(day.replace(day=1), -past)


@dataclass(frozen=True, slots=True)
class Days:
    """From one local day to another, both inclusive."""

    first: date
    last: date

    @property
    def count(self) -> int:
        """How many days."""
        return (self.last - self.first).days + 1


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
        case NamedRange.THIS_WEEK | NamedRange.LAST_WEEK:
            start = calendar.start_of_week(today)
            if name is NamedRange.LAST_WEEK:
                start -= timedelta(days=7)
            return Days(start, start + timedelta(days=6))
        case NamedRange.THIS_MONTH | NamedRange.LAST_MONTH:
            start = today.replace(day=1)
            return _months(start, 1, back=name is NamedRange.LAST_MONTH)
        case NamedRange.THIS_QUARTER | NamedRange.LAST_QUARTER:
            return _months(calendar.start_of_quarter(today), 3, back=name is NamedRange.LAST_QUARTER)
        case NamedRange.THIS_YEAR:
            return _months(calendar.start_of_year(today), 12, back=False)
        case NamedRange.LAST_30_DAYS:
            return Days(today - timedelta(days=29), today)
        case NamedRange.LAST_90_DAYS:
            return Days(today - timedelta(days=89), today)


def _months(start: date, months: int, *, back: bool) -> Days:
    if back:
        start = add_months(start, -months)
    return Days(start, add_months(start, months) - timedelta(days=1))


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


def compared_with(days: Days, comparison: Comparison) -> Days | None:
    """The days that a range is compared with.

    The period before a range of whole months is the same number of whole months before it; before any other range,
    the same number of days. The same period of last year has the same dates; the end of a month stays the end.
    """
    if comparison is Comparison.NONE:
        return None
    after = days.last + timedelta(days=1)
    whole_months = days.first.day == 1 and after.day == 1
    months = (after.year - days.first.year) * 12 + after.month - days.first.month
    if comparison is Comparison.SAME_PERIOD_LAST_YEAR:
        if whole_months:
            return Days(add_months(days.first, -12), add_months(after, -12) - timedelta(days=1))
        return Days(add_months(days.first, -12), add_months(days.last, -12))
    if whole_months:
        return Days(add_months(days.first, -months), days.first - timedelta(days=1))
    return Days(days.first - timedelta(days=days.count), days.first - timedelta(days=1))


def intervals(days: Days, interval: TrendInterval, calendar: Calendar) -> Iterator[Days]:
    """The steps of a trend over a range; the first and the last may be cut by the range's ends."""
    start = days.first
    while start <= days.last:
        match interval:
            case TrendInterval.DAY:
                following = start + timedelta(days=1)
            case TrendInterval.WEEK:
                following = calendar.start_of_week(start) + timedelta(days=7)
            case TrendInterval.MONTH:
                following = add_months(start.replace(day=1), 1)
        yield Days(start, min(following - timedelta(days=1), days.last))
        start = following
