"""The lines and values of iCalendar (RFC 5545), read by the library `icalendar`.

Its components are not used: they resolve time zones by a table that all calendars of a process share, in which the
first calendar that defines a name ("Customized Time Zone") defines it for all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Any, Final

from icalendar.parser import Contentline, Contentlines, unescape_backslash
from icalendar.prop import vDDDTypes, vDuration

from domain.records import RecordRefused

_read_time: Final[Callable[[str], Any]] = vDDDTypes.from_ical
_read_duration: Final[Callable[[str], timedelta]] = vDuration.from_ical
_read_text: Final[Callable[[str], str]] = unescape_backslash
_read_lines: Final[Callable[[str], list[Contentline]]] = Contentlines.from_ical

DEPTH_LIMIT: Final = 8
"""Components within components; of iCalendar's own none is deeper than three."""


@dataclass(frozen=True, slots=True)
class Property:
    """A line: its name, its parameters with their values as they came, and its value, not read yet."""

    name: str
    parameters: dict[str, str]
    value: str


@dataclass(frozen=True, slots=True)
class Component:
    """What is between a BEGIN and its END, with the lines that were asked for."""

    name: str
    properties: list[Property] = field(default_factory=list)
    components: list[Component] = field(default_factory=list)

    def all(self, name: str) -> Iterator[Property]:
        """The lines of a name."""
        return (one for one in self.properties if one.name == name)

    def first(self, name: str) -> Property | None:
        """The first line of a name."""
        return next(self.all(name), None)

    def value(self, name: str) -> str | None:
        """The value of the first line of a name, without space around it."""
        one = self.first(name)
        return None if one is None else one.value.strip()


def read_components(text: str, wanted: frozenset[str]) -> list[Component]:
    """The outermost components of a text. A line that is none is passed over, as is one of a name that is not wanted.

    Raises:
        RecordRefused: components are not closed, or nested too deeply.
    """
    top = Component("")
    open_components = [top]
    for line in _read_lines(text):
        name = line.partition(":")[0].partition(";")[0].strip().upper()
        if name == "BEGIN":
            component = Component(line.partition(":")[2].strip().upper())
            open_components[-1].components.append(component)
            open_components.append(component)
            if len(open_components) > DEPTH_LIMIT:
                raise RecordRefused("INVALID", None, f"Components are nested more than {DEPTH_LIMIT} deep.")
        elif name == "END":
            if len(open_components) == 1 or open_components.pop().name != line.partition(":")[2].strip().upper():
                raise RecordRefused("INVALID", None, "A component of the calendar is not closed by its own END.")
        elif name in wanted and (found := _property(name, line)):
            open_components[-1].properties.append(found)
    if len(open_components) > 1:
        raise RecordRefused("INVALID", None, f"The component {open_components[-1].name[:40]} is not closed.")
    return top.components


def _property(name: str, line: Contentline) -> Property | None:
    try:
        _, parameters, value = line.raw_parts()
    except ValueError:
        return None  # Half a line tells nothing; what is missing is told by whoever needs it.
    values = {key.upper(): one if isinstance(one, str) else str(one[0]) for key, one in parameters.items() if one}
    return Property(name, values, value)


def read_text(value: str) -> str:
    """A TEXT value, unescaped."""
    return _read_text(value)


def read_time(one: Property, value: str | None = None) -> date | datetime:
    """A DATE or DATE-TIME: a date, a datetime in UTC, or a datetime of the wall clock without a zone.

    Args:
        one: The line, for what it is called.
        value: One of its values; all of it unless told otherwise.

    Raises:
        RecordRefused: it is none.
    """
    text = (one.value if value is None else value).strip()
    try:
        read = _read_time(text)
    except (ValueError, OverflowError) as error:
        raise RecordRefused("INVALID", one.name, f"{one.name}: {text[:40]!r} is no date and no time.") from error
    if not isinstance(read, date):
        raise RecordRefused("INVALID", one.name, f"{one.name}: {text[:40]!r} is no date and no time.")
    if isinstance(read, datetime) and one.parameters.get("VALUE", "").upper() == "DATE" and read.time() == time():
        return read.date()
    return read


def read_duration(one: Property, value: str | None = None) -> timedelta:
    """A DURATION.

    Raises:
        RecordRefused: it is none.
    """
    text = (one.value if value is None else value).strip()
    try:
        return _read_duration(text)
    except (ValueError, OverflowError) as error:
        raise RecordRefused("INVALID", one.name, f"{one.name}: {text[:40]!r} is no duration.") from error
