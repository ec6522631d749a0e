"""Time zones of calendars: IANA's, by whatever name a calendar gives them, or as the calendar itself defines them."""

from __future__ import annotations

from bisect import bisect_right
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

from icalendar.timezone.windows_to_olson import WINDOWS_TO_OLSON

from domain.records import LATEST, RecordRefused
from domain.recurrence import read_rule, starts_of
from workers.connectors.ical.values import Component, read_time

_FIRST: Final = datetime(1972, 1, 1)
_LAST: Final = LATEST.replace(tzinfo=None) + timedelta(days=370)
_OTHER_NAMES: Final = {"Z": "UTC", "tzone://Microsoft/Utc": "UTC", "Coordinated Universal Time": "UTC"}


@lru_cache(1)
def _iana() -> dict[str, str]:
    """IANA's names by what they are without regard to case."""
    return {name.lower(): name for name in available_timezones()}


def zone_named(name: str) -> tzinfo | None:
    """The zone of a name: IANA's, Windows', or IANA's behind a maker's prefix ("/mozilla.org/20070129_1/Europe/Rome").

    >>> str(zone_named("W. Europe Standard Time"))
    'Europe/Berlin'
    """
    cleaned = name.strip().strip('"')
    begins_global = cleaned.startswith("/")
    cleaned = cleaned.strip("/")
    cleaned = WINDOWS_TO_OLSON.get(cleaned) or _OTHER_NAMES.get(cleaned) or cleaned
    parts = cleaned.lower().split("/")
    # The longest first, so that America/Argentina/Salta is not taken for something shorter.
    for begins in range(len(parts) if begins_global else 1):
        found = _iana().get("/".join(parts[begins:]))
        if found is not None:
            return ZoneInfo(found)
    return None


def zone_defined(component: Component) -> tzinfo:
    """The zone that a VTIMEZONE defines: that of the name that it says it is, or its own rules.

    Raises:
        RecordRefused: it defines none.
    """
    location = component.value("X-LIC-LOCATION") or component.value("TZID")
    known = zone_named(location) if location else None
    return known or DefinedZone(component)


class DefinedZone(tzinfo):
    """A zone by its own rules, from 1972 until a year after the last that records may have."""

    def __init__(self, component: Component) -> None:
        changes: list[tuple[datetime, timedelta, timedelta]] = []
        for part in component.components:
            if part.name in ("STANDARD", "DAYLIGHT"):
                before, after = _offset(part, "TZOFFSETFROM"), _offset(part, "TZOFFSETTO")
                changes += [(wall - before, before, after) for wall in _onsets(part, before)]
        if not changes:
            raise RecordRefused("INVALID", "VTIMEZONE", "VTIMEZONE: defines neither standard nor daylight time.")
        changes.sort()
        self._moments = [moment for moment, _, _ in changes]
        self._offsets = [after for _, _, after in changes]
        self._first = changes[0][1]
        self._name = component.value("TZID") or ""

    def _offset_at(self, moment: datetime) -> timedelta:
        """The offset at a moment of UTC, given without a zone."""
        place = bisect_right(self._moments, moment)
        return self._offsets[place - 1] if place else self._first

    def utcoffset(self, at: datetime | None) -> timedelta | None:
        if at is None:
            return None
        wall = at.replace(tzinfo=None)
        early, late = self._offset_at(wall - timedelta(days=1)), self._offset_at(wall + timedelta(days=1))
        fitting = [offset for offset in (early, late) if self._offset_at(wall - offset) == offset]
        if not fitting:
            # The clock was put over this time: it is read as if it had not been yet.
            return early
        return fitting[-1] if at.fold else fitting[0]

    def dst(self, at: datetime | None) -> timedelta | None:
        return None if at is None else timedelta()

    def tzname(self, at: datetime | None) -> str | None:
        return self._name

    def fromutc(self, at: datetime) -> datetime:
        moment = at.replace(tzinfo=None)
        wall = moment + self._offset_at(moment)
        local = wall.replace(tzinfo=self)
        return local if local.utcoffset() == self._offset_at(moment) else local.replace(fold=1)


def _offset(part: Component, name: str) -> timedelta:
    text = part.value(name) or ""
    sign, digits = text[:1], text[1:]
    if sign not in ("+", "-") or len(digits) not in (4, 6) or not (digits.isascii() and digits.isdigit()):
        raise RecordRefused("INVALID", name, f"{name}: {text[:20]!r} is no offset such as +0100.")
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:4]), seconds=int(digits[4:] or 0))
    if offset >= timedelta(days=1):
        raise RecordRefused("INVALID", name, f"{name}: {text[:20]!r} is a day or more.")
    return offset if sign == "+" else -offset


def _onsets(part: Component, before: timedelta) -> list[datetime]:
    """When the part of a zone begins, by the wall clock of before."""
    begins = part.first("DTSTART")
    if begins is None:
        raise RecordRefused("INVALID", "DTSTART", "DTSTART: missing in a VTIMEZONE.")
    first = _wall(read_time(begins), before)
    if first < _FIRST:
        # Windows dates its zones from 1601: those years are of no use. 1972 has a 29th of February.
        first = first.replace(year=_FIRST.year)
    onsets = [first]
    for line in part.all("RDATE"):
        onsets += [_wall(read_time(line, value), before) for value in line.value.split(",")]
    for line in part.all("RRULE"):
        rule = read_rule(line.value)
        until = _LAST if rule.until is None else min(_LAST, _wall(rule.until, before))
        onsets += starts_of(rule, first, until)
    return onsets


def _wall(at: date, offset: timedelta) -> datetime:
    """A time by the wall clock; a date is its midnight."""
    if not isinstance(at, datetime):
        return datetime(at.year, at.month, at.day)
    return at if at.tzinfo is None else (at.astimezone(UTC) + offset).replace(tzinfo=None)
