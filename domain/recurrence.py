"""Recurrence rules (RRULE of RFC 5545): the starts that a rule gives, up to a day, or the next one after a moment.

Made for meetings and scheduled actions: a rule recurs by days, weeks, months or years. Whatever a rule says, the work
is bounded by the days between its first start and the last that is asked for, since each of them is looked at at most
once; rules of a feed are a stranger's, and one that never comes true ("every 30th of February") must not keep a worker
busy until the year 9999, as it does dateutil.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from icalendar.prop import vDDDTypes

from domain.records import RecordRefused

DAILY, WEEKLY, MONTHLY, YEARLY = "DAILY", "WEEKLY", "MONTHLY", "YEARLY"
FREQUENCIES: Final = (DAILY, WEEKLY, MONTHLY, YEARLY)
WEEKDAYS: Final = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_read_time: Final[Callable[[str], Any]] = vDDDTypes.from_ical
STARTS_LIMIT: Final = 20_000
"""A rule that starts more often up to the last day that is asked for is refused."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A recurrence rule; empty parts say nothing.

    Args:
        frequency: One of `FREQUENCIES`.
        interval: Every so many of them.
        count: So many starts in all.
        until: The last moment: UTC, or of the wall clock of the event's zone; a date takes in its whole day.
        months: 1 to 12.
        week_numbers: 1 to 53, or from the year's end below 0.
        year_days: 1 to 366, or from the year's end below 0.
        month_days: 1 to 31, or from the month's end below 0.
        weekdays: Which one of its kind (0 for every one, below 0 from the end) and the day, Monday being 0.
        hours: 0 to 23.
        minutes: 0 to 59.
        seconds: 0 to 59.
        positions: Which of the starts of a period, from 1, or from its end below 0.
        week_start: The first day of a week, Monday being 0.
    """

    frequency: str
    interval: int = 1
    count: int | None = None
    until: date | datetime | None = None
    months: tuple[int, ...] = ()
    week_numbers: tuple[int, ...] = ()
    year_days: tuple[int, ...] = ()
    month_days: tuple[int, ...] = ()
    weekdays: tuple[tuple[int, int], ...] = ()
    hours: tuple[int, ...] = ()
    minutes: tuple[int, ...] = ()
    seconds: tuple[int, ...] = ()
    positions: tuple[int, ...] = ()
    week_start: int = 0


def read_rule(text: str) -> Rule:
    """A rule from the value of an RRULE.

    >>> read_rule("FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,WE").weekdays
    ((0, 0), (0, 2))

    Raises:
        RecordRefused: it is none, or recurs by hours or less.
    """
    parts: dict[str, str] = {}
    for part in text.upper().split(";"):
        name, equals, value = part.partition("=")
        if equals:
            parts[name.strip()] = value.strip()
    frequency = parts.get("FREQ", "")
    if frequency not in FREQUENCIES:
        raise RecordRefused(
            "INVALID", "RRULE", f"RRULE: a meeting recurs {', '.join(FREQUENCIES)}, not {frequency[:40]!r}."
        )
    try:
        interval = int(parts.get("INTERVAL", "1"))
        count = int(parts["COUNT"]) if "COUNT" in parts else None
        until = _read_time(parts["UNTIL"]) if "UNTIL" in parts else None
        rule = Rule(
            frequency=frequency,
            interval=interval,
            # Some clients write "for ever" as a count of 0 or less.
            count=count if count is None or count > 0 else None,
            until=until,
            months=_numbers(parts, "BYMONTH", 1, 12),
            week_numbers=_numbers(parts, "BYWEEKNO", 1, 53, from_end=True),
            year_days=_numbers(parts, "BYYEARDAY", 1, 366, from_end=True),
            month_days=_numbers(parts, "BYMONTHDAY", 1, 31, from_end=True),
            weekdays=tuple(_weekday(one) for one in parts.get("BYDAY", "").split(",") if one),
            hours=_numbers(parts, "BYHOUR", 0, 23),
            minutes=_numbers(parts, "BYMINUTE", 0, 59),
            seconds=_numbers(parts, "BYSECOND", 0, 59),
            positions=_numbers(parts, "BYSETPOS", 1, 366, from_end=True),
            week_start=WEEKDAYS.index(parts.get("WKST", "MO")),
        )
        if interval < 1 or not (until is None or isinstance(until, date)):
            raise ValueError(text)
    except (ValueError, IndexError) as error:
        raise RecordRefused("INVALID", "RRULE", f"RRULE: {text[:200]!r} is no rule of RFC 5545.") from error
    return rule


def _numbers(parts: dict[str, str], name: str, least: int, most: int, *, from_end: bool = False) -> tuple[int, ...]:
    numbers = tuple(sorted({int(one) for one in parts.get(name, "").split(",") if one}))
    for number in numbers:
        if not (least <= number <= most or (from_end and least <= -number <= most)):
            raise ValueError(name)
    return numbers


def _weekday(text: str) -> tuple[int, int]:
    return (int(text[:-2]) if text[:-2] else 0, WEEKDAYS.index(text[-2:]))


def starts_of(rule: Rule, first: datetime, last: datetime) -> Iterator[datetime]:
    """The starts of a rule, in their order. `rule.until` is not looked at, since it may be of another zone.

    Args:
        rule: The rule.
        first: The event's own start, wall clock without a zone; comes only if the rule gives it.
        last: The end, wall clock.

    Raises:
        RecordRefused: there are more than `STARTS_LIMIT`.
    """
    yield from _starts(rule, first, last, first)


def _starts(rule: Rule, first: datetime, last: datetime, since: datetime) -> Iterator[datetime]:
    """The starts from `since` on; what lies before is stepped over where nothing is counted."""
    times = _times(rule, first)
    completed = _completed(rule, first.date())
    left = STARTS_LIMIT if rule.count is None else min(rule.count, STARTS_LIMIT)
    earliest = first if rule.count is not None else max(first, since)
    for days in _periods(completed, first.date(), last.date(), earliest.date()):
        for start in _chosen(completed, days, times):
            if start < earliest:
                continue
            if start > last:
                return
            if left == 0:
                if rule.count is not None and rule.count <= STARTS_LIMIT:
                    return
                raise RecordRefused("OUT_OF_RANGE", "RRULE", f"RRULE: recurs more than {STARTS_LIMIT} times.")
            left -= 1
            if start >= since:
                yield start


HORIZON = timedelta(days=41 * 366)
"""So far ahead a rule is followed; the 29th of February on a certain day of the week comes again within 40 years."""
_NEAR = timedelta(hours=26)
"""Walls' clocks that are further apart than this show moments in the same order: no zone has ever skipped more."""


def instant_of(wall: datetime, zone: ZoneInfo) -> datetime:
    """The moment that a wall clock shows a time, in UTC.

    A time that the clock skips (spring) is read with the offset before the gap, which moves it forward by the gap's
    length; of a time that it shows twice (autumn), the first is meant. So RFC 5545, 3.3.5, has it.
    """
    return wall.replace(tzinfo=zone, fold=0).astimezone(UTC)


def wall_of(instant: datetime, zone: ZoneInfo) -> datetime:
    """What a zone's wall clock shows at a moment."""
    return instant.astimezone(zone).replace(tzinfo=None, fold=0)


def next_instant(rule: Rule, first: datetime, zone: ZoneInfo, after: datetime) -> datetime | None:
    """The first moment after another that a rule gives, worked out by the wall clock of a zone; None: there is none.

    What is not a day (the 31st of a month of 30) is skipped, as RFC 5545 has it; two starts that come to the same
    moment, since the clock skipped one of them, are one. `count` counts starts by the wall clock.

    Args:
        rule: The rule; its `until` counts.
        first: The rule's own start by the wall clock; comes only if the rule gives it.
        zone: Whose wall clock.
        after: The moment.
    """
    around = wall_of(after, zone)
    try:
        last = min(around + HORIZON, _last_wall(rule.until, zone))
    except OverflowError:
        last = _last_wall(rule.until, zone)
    found: datetime | None = None
    until_wall = last
    for wall in _starts(rule, first, last, max(around - _NEAR, first)):
        if wall > until_wall:
            break
        instant = instant_of(wall, zone)
        if instant <= after or _is_beyond(rule.until, wall, instant):
            continue
        if found is None:
            until_wall = min(wall + _NEAR, last)
        if found is None or instant < found:
            found = instant
    return found


def _last_wall(until: date | datetime | None, zone: ZoneInfo) -> datetime:
    """No start whose wall clock shows more than this is one that `until` lets through."""
    if until is None:
        return datetime.max
    if not isinstance(until, datetime):
        return datetime.combine(until, time.max)
    try:
        return until if until.tzinfo is None else wall_of(until, zone) + _NEAR
    except OverflowError:
        return datetime.max


def _is_beyond(until: date | datetime | None, wall: datetime, instant: datetime) -> bool:
    if until is None:
        return False
    if not isinstance(until, datetime):
        return wall.date() > until
    return instant > until if until.tzinfo is not None else wall > until


def _completed(rule: Rule, first: date) -> Rule:
    """A rule with what it leaves open as in the event's own start."""
    if rule.week_numbers or rule.year_days or rule.month_days or rule.weekdays:
        return rule
    if rule.frequency == YEARLY:
        return replace(rule, months=rule.months or (first.month,), month_days=(first.day,))
    if rule.frequency == MONTHLY:
        return replace(rule, month_days=(first.day,))
    if rule.frequency == WEEKLY:
        return replace(rule, weekdays=((0, first.weekday()),))
    return rule


def _times(rule: Rule, first: datetime) -> list[time]:
    hours = rule.hours or (first.hour,)
    minutes = rule.minutes or (first.minute,)
    seconds = rule.seconds or (first.second,)
    return [time(hour, minute, second) for hour in hours for minute in minutes for second in seconds]


def _chosen(rule: Rule, days: Sequence[date], times: Sequence[time]) -> Iterable[datetime]:
    """The starts of one period."""
    if not rule.positions:
        return (datetime.combine(day, at) for day in days for at in times)
    # Positions count within days and times: no list of all is made for them.
    total = len(days) * len(times)
    places = {position - 1 if position > 0 else total + position for position in rule.positions}
    return (
        datetime.combine(days[place // len(times)], times[place % len(times)])
        for place in sorted(places)
        if 0 <= place < total
    )


def _periods(rule: Rule, first: date, last: date, since: date) -> Iterator[list[date]]:
    """The days of each period that the rule does not leave out.

    Args:
        rule: The rule, completed.
        first: A day of the first period, from which intervals count.
        last: The last day.
        since: A day of the first period that is wanted, or of one that is left out before it; not before `first`.
    """

    def places(begin: int, end: int, now: int, step: int) -> range:
        return range(begin + (now - begin) // step * step, end, step)

    if rule.frequency == DAILY:
        for ordinal in places(first.toordinal(), last.toordinal() + 1, since.toordinal(), rule.interval):
            yield _kept(rule, [date.fromordinal(ordinal)])
    elif rule.frequency == WEEKLY:
        monday = first.toordinal() - (first.weekday() - rule.week_start) % 7
        for ordinal in places(monday, last.toordinal() + 1, since.toordinal(), 7 * rule.interval):
            yield _kept(rule, [date.fromordinal(ordinal + day) for day in range(7)])
    elif rule.frequency == MONTHLY:
        begin, end, now = first.year * 12 + first.month - 1, last.year * 12 + last.month, since.year * 12
        for month in places(begin, end, now + since.month - 1, rule.interval):
            yield _kept(rule, _days(*divmod(month, 12)))
    else:
        months = [month - 1 for month in rule.months] or range(12)
        for year in places(first.year, last.year + 1, since.year, rule.interval):
            yield _kept(rule, [day for month in months for day in _days(year, month)])


def _days(year: int, month: int) -> list[date]:
    """The days of a month; January is 0."""
    begins = date(year, month + 1, 1)
    return [begins + timedelta(days) for days in range(_month_length(begins))]


def _month_length(day: date) -> int:
    following = date(day.year + day.month // 12, day.month % 12 + 1, 1)
    return (following - day.replace(day=1)).days


def _year_length(year: int) -> int:
    return (date(year + 1, 1, 1) - date(year, 1, 1)).days


def _kept(rule: Rule, days: list[date]) -> list[date]:
    if rule.months:
        days = [day for day in days if day.month in rule.months]
    if rule.month_days:
        days = [
            day for day in days if day.day in rule.month_days or day.day - _month_length(day) - 1 in rule.month_days
        ]
    if rule.year_days:
        days = [
            day
            for day in days
            if (number := day.timetuple().tm_yday) in rule.year_days
            or number - _year_length(day.year) - 1 in rule.year_days
        ]
    if rule.weekdays:
        days = [day for day in days if _on_weekday(day, rule)]
    if rule.week_numbers:
        days = [day for day in days if _in_weeks(day, rule.week_numbers, rule.week_start)]
    return days


def _on_weekday(day: date, rule: Rule) -> bool:
    for which, weekday in rule.weekdays:
        if weekday != day.weekday():
            continue
        if which == 0 or rule.frequency in (DAILY, WEEKLY):
            return True
        if rule.frequency == MONTHLY or rule.months:
            place, length = day.day, _month_length(day)
        else:
            place, length = day.timetuple().tm_yday, _year_length(day.year)
        if which == (place - 1) // 7 + 1 or which == -((length - place) // 7 + 1):
            return True
    return False


def _in_weeks(day: date, numbers: tuple[int, ...], week_start: int) -> bool:
    """Whether the number of a day's week is one of some; the first week of a year has four days of it or more."""
    begins = day - timedelta((day.weekday() - week_start) % 7)
    middle = begins + timedelta(3)
    number = (middle.timetuple().tm_yday - 1) // 7 + 1
    weeks = (_year_length(middle.year) - middle.timetuple().tm_yday) // 7 + number
    return number in numbers or number - weeks - 1 in numbers
