"""What Microsoft Graph can say of a recurrence rule, and by what names it knows time zones.

Graph's patterns say less than RRULE does, and one thing otherwise: in a month that is too short for it, "on the 31st"
is the last day to Exchange and no day to RFC 5545. A rule that cannot be said exactly is not said at all.

Graph takes the names that Windows has for time zones, and some of IANA's. A zone of IANA's that Windows has no name for
goes by one whose clocks show the same.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any, Final
from zoneinfo import ZoneInfo

from icalendar.timezone.windows_to_olson import WINDOWS_TO_OLSON

from domain.recurrence import DAILY, MONTHLY, WEEKLY, Rule

DAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_INDEXES: Final[Mapping[int, str]] = {1: "first", 2: "second", 3: "third", 4: "fourth", -1: "last"}
_LONGEST_INTERVAL: Final = 99
_SHORTEST_MONTH: Final = 28
_A_COMMON_YEAR: Final = 2023
_TELLING: Final[Mapping[str, tuple[str, ...]]] = {
    "daily": ("interval",),
    "weekly": ("interval", "daysOfWeek"),
    "absoluteMonthly": ("interval", "dayOfMonth"),
    "relativeMonthly": ("interval", "daysOfWeek", "index"),
    "absoluteYearly": ("interval", "dayOfMonth", "month"),
    "relativeYearly": ("interval", "daysOfWeek", "index", "month"),
}
"""What of a pattern says something, by its type; Graph fills the rest with defaults."""
_UTC_NAMES: Final = ("UTC", "Etc/UTC", "Etc/GMT", "GMT")
_COMPARED_FROM, _COMPARED_HOURS = datetime(2024, 1, 1, tzinfo=UTC), 4 * 366 * 24


def pattern_of(rule: Rule, first: datetime) -> dict[str, Any] | None:
    """A rule as Graph's recurrence pattern; None if Graph cannot say it.

    Args:
        rule: Without a count and an end.
        first: The wall clock of the first start, which the rule gives.

    >>> from domain.recurrence import read_rule
    >>> pattern_of(read_rule("FREQ=MONTHLY;BYDAY=-1FR"), datetime(2026, 10, 30))
    {'type': 'relativeMonthly', 'interval': 1, 'daysOfWeek': ['friday'], 'index': 'last'}
    >>> pattern_of(read_rule("FREQ=MONTHLY;BYMONTHDAY=31"), datetime(2026, 10, 31)) is None
    True
    """
    if rule.interval > _LONGEST_INTERVAL or rule.week_numbers or rule.year_days or rule.hours or rule.minutes:
        return None
    if rule.seconds:
        return None
    if rule.frequency == DAILY:
        return _daily(rule)
    if rule.frequency == WEEKLY:
        return _weekly(rule, first)
    if rule.frequency == MONTHLY:
        return _monthly(rule, first)
    return _yearly(rule, first)


def _daily(rule: Rule) -> dict[str, Any] | None:
    if rule.months or rule.month_days or rule.positions:
        return None
    if not rule.weekdays:
        return {"type": "daily", "interval": rule.interval}
    if rule.interval > 1 or any(which for which, _ in rule.weekdays):
        return None
    return _week(1, {day for _, day in rule.weekdays}, rule.week_start)


def _weekly(rule: Rule, first: datetime) -> dict[str, Any] | None:
    if rule.months or rule.month_days or rule.positions or any(which for which, _ in rule.weekdays):
        return None
    return _week(rule.interval, {day for _, day in rule.weekdays} or {first.weekday()}, rule.week_start)


def _week(interval: int, days: set[int], week_start: int) -> dict[str, Any]:
    names = [DAYS[day] for day in sorted(days)]
    return {"type": "weekly", "interval": interval, "daysOfWeek": names, "firstDayOfWeek": DAYS[week_start]}


def _monthly(rule: Rule, first: datetime) -> dict[str, Any] | None:
    if rule.months:
        return None
    if rule.weekdays:
        return None if (chosen := _chosen_weekday(rule)) is None else _typed("relativeMonthly", rule) | chosen
    days = rule.month_days or (first.day,)
    if rule.positions or len(days) > 1 or not 1 <= days[0] <= _SHORTEST_MONTH:
        return None
    return _typed("absoluteMonthly", rule) | {"dayOfMonth": days[0]}


def _yearly(rule: Rule, first: datetime) -> dict[str, Any] | None:
    if rule.interval > 1 or len(rule.months) > 1:
        return None
    if rule.weekdays:
        # Without a month, "the second Tuesday" is one of the year.
        chosen = _chosen_weekday(rule) if rule.months else None
        return None if chosen is None else _typed("relativeYearly", rule) | chosen | {"month": rule.months[0]}
    if rule.positions or len(rule.month_days) > 1 or (rule.month_days and not rule.months):
        return None
    month = rule.months[0] if rule.months else first.month
    day = rule.month_days[0] if rule.month_days else first.day
    if not 1 <= day <= monthrange(_A_COMMON_YEAR, month)[1]:
        return None
    return _typed("absoluteYearly", rule) | {"dayOfMonth": day, "month": month}


def _typed(kind: str, rule: Rule) -> dict[str, Any]:
    return {"type": kind, "interval": rule.interval}


def _chosen_weekday(rule: Rule) -> dict[str, Any] | None:
    """The one day of the week that a month has it on, and which of them."""
    if rule.month_days or len(rule.weekdays) != 1 or len(rule.positions) > 1:
        return None
    which, day = rule.weekdays[0]
    if rule.positions and which:
        return None
    index = _INDEXES.get(rule.positions[0] if rule.positions else which)
    return None if index is None else {"daysOfWeek": [DAYS[day]], "index": index}


def recurrence_of(pattern: Mapping[str, Any], first: date, last: date | None, timezone: str) -> dict[str, Any]:
    """A pattern with its range, as Graph takes it."""
    bounds = {"type": "noEnd"} if last is None else {"type": "endDate", "endDate": last.isoformat()}
    return {
        "pattern": dict(pattern),
        "range": {**bounds, "startDate": first.isoformat(), "recurrenceTimeZone": timezone},
    }


def is_same_recurrence(found: Any, wanted: Mapping[str, Any]) -> bool:
    """Whether a recurrence that Graph tells is one that was given to it, as far as both say something."""
    pattern = found.get("pattern") if isinstance(found, dict) else None
    bounds = found.get("range") if isinstance(found, dict) else None
    if not isinstance(pattern, dict) or not isinstance(bounds, dict):
        return False
    kind = wanted["pattern"]["type"]
    names = _TELLING[kind]
    if kind == "weekly" and wanted["pattern"]["interval"] > 1:
        names = (*names, "firstDayOfWeek")
    if pattern.get("type") != kind or any(
        _plain(pattern.get(name)) != _plain(wanted["pattern"][name]) for name in names
    ):
        return False
    return bounds.get("type") == wanted["range"]["type"] and (
        bounds.get("type") != "endDate" or bounds.get("endDate") == wanted["range"]["endDate"]
    )


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return frozenset(str(one).lower() for one in value)
    return value.lower() if isinstance(value, str) else value


@lru_cache(maxsize=1000)
def zone_name_of(timezone: str) -> str:
    """What Graph calls a zone.

    >>> zone_name_of("America/New_York"), zone_name_of("America/Detroit"), zone_name_of("Etc/UTC")
    ('Eastern Standard Time', 'Eastern Standard Time', 'UTC')
    """
    if timezone in _UTC_NAMES:
        return "UTC"
    for name, same in WINDOWS_TO_OLSON.items():
        if same == timezone:
            return name
    for name in WINDOWS_TO_OLSON:
        if is_same_zone(name, timezone):
            return name
    return timezone


@lru_cache(maxsize=1000)
def is_same_zone(told: str, timezone: str) -> bool:
    """Whether clocks of a zone that Graph tells show the same as a zone of ours. Of a name that nobody knows that
    cannot be said: it is taken to be so."""
    name = WINDOWS_TO_OLSON.get(told, told)
    if name == timezone or (name in _UTC_NAMES and timezone in _UTC_NAMES):
        return True
    try:
        one, other = ZoneInfo(name), ZoneInfo(timezone)
    # What names no zone is a KeyError or a ValueError; a directory of zones, an OSError.
    except (KeyError, ValueError, OSError):
        return True
    # Days first, which tell most zones apart at once; then hours, for clocks change at midnight here and at two there.
    return all(
        _offset(one, hours) == _offset(other, hours) for step in (24, 1) for hours in range(0, _COMPARED_HOURS, step)
    )


def _offset(zone: ZoneInfo, hours: int) -> timedelta | None:
    return (_COMPARED_FROM + timedelta(hours=hours)).astimezone(zone).utcoffset()
