"""What an iCalendar text says of one event (RFC 5545): its occurrences, as `domain.meetings` takes them.

A text holds all components of one UID: the event itself, if it is known, and exceptions of its series (RECURRENCE-ID,
also for THISANDFUTURE), with definitions of time zones that it uses.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from itertools import groupby
from typing import Any, Final
from urllib.parse import unquote

from domain.connectors import Mapped, MappingContext
from domain.meetings import UPCOMING, Attendee, AttendeeStatus, Occurrence, meetings_of, occurrence_key
from domain.records import LATEST, RecordRefused
from domain.recurrence import Rule, read_rule, starts_of
from workers.connectors.ical.values import Component, Property, read_components, read_duration, read_text, read_time
from workers.connectors.ical.zones import zone_defined, zone_named

WANTED: Final = frozenset(
    "UID DTSTART DTEND DURATION RRULE RDATE EXDATE RECURRENCE-ID SUMMARY STATUS SEQUENCE CREATED ORGANIZER ATTENDEE "
    "X-MICROSOFT-CDO-ALLDAYEVENT TZID X-LIC-LOCATION TZOFFSETFROM TZOFFSETTO".split()
)
"""The lines that are read."""

FIRST_YEAR: Final = 1900
"""Events of before are refused: nobody met then."""
OLDEST_CREATION: Final = datetime(1980, 1, 1, tzinfo=UTC)
"""What was made before calendars were has a date that stands for none."""

_ANSWERS: Final[Mapping[str, AttendeeStatus]] = {
    "ACCEPTED": "accepted",
    "DECLINED": "declined",
    "TENTATIVE": "tentative",
}


@dataclass(frozen=True, slots=True)
class Moment:
    """A time as it is written: by a wall clock, in a zone."""

    wall: datetime
    zone: tzinfo

    @property
    def utc(self) -> datetime:
        """The same in UTC. Raises RecordRefused at the ends of time."""
        try:
            return self.wall.replace(tzinfo=self.zone).astimezone(UTC)
        except OverflowError as error:
            raise RecordRefused("OUT_OF_RANGE", None, f"{self.wall.isoformat()} is beyond all calendars.") from error


@dataclass(frozen=True, slots=True)
class Event:
    """A VEVENT.

    Args:
        begins: When it starts; a day starts at its midnight.
        duration: How long it takes.
        all_day: It has days, not times.
        original: Which occurrence of its series it is an exception of; None for the event itself.
        onwards: It stands for all that follow too.
        sequence: Grows with each change that matters; the higher one counts.
        rules: How it recurs.
        additions: Further starts, and how long those take, where it is told.
        exclusions: Starts that do not take place, in UTC.
        excluded_days: Days on which it does not take place.
        cancelled, title, organizer, attendees, created_at: As in `domain.meetings.Occurrence`.
    """

    begins: Moment
    duration: timedelta
    all_day: bool
    original: Moment | None
    onwards: bool
    sequence: int
    rules: tuple[Rule, ...]
    additions: tuple[tuple[Moment, timedelta | None], ...]
    exclusions: frozenset[datetime]
    excluded_days: frozenset[date]
    cancelled: bool
    title: str | None
    organizer: str | None
    attendees: tuple[Attendee, ...]
    created_at: datetime | None

    @property
    def recurs(self) -> bool:
        """Whether it makes a series."""
        return bool(self.rules or self.additions)


def map_event(
    text: str, floating: str | None, own: Iterable[str], context: MappingContext, state: Mapping[str, Any] | None
) -> Mapped:
    """The meetings of one event.

    Args:
        text: Its components.
        floating: The name of the calendar's zone, in which times without a zone are read; else in the team's.
        own: Other addresses of the connection's owner.
        context: What it is mapped against.
        state: What its last mapping left.

    Raises:
        RecordRefused: the text makes no sense.
    """
    owner = context.owner
    if owner is None:
        return Mapped(records=())
    zone = (floating and zone_named(floating)) or zone_named(context.timezone) or UTC
    uid, events = read_events(text, zone, owner, frozenset(address.lower() for address in own))
    if state is None and not any(event.attendees for event in events):
        # Most of a calendar: one's own, with nobody else. There is no need to work its days out.
        return Mapped(records=())
    return meetings_of(uid, list(occurrences_of(events, context.now)), context, state)


def read_events(text: str, floating: tzinfo, owner: str, own: Collection[str]) -> tuple[str, list[Event]]:
    """The UID of a text, and its events.

    Args:
        text: Components of one UID.
        floating: The zone of times without one.
        owner: Whose calendar it is. What has no organizer is theirs: it was put into their calendar by nobody else.
        own: Other addresses of theirs.

    Raises:
        RecordRefused: it makes no sense, or holds several UIDs or none.
    """
    components = list(_events_and_zones(read_components(text, WANTED)))
    zones = _Zones(floating, [one for one in components if one.name == "VTIMEZONE"])
    vevents = [one for one in components if one.name == "VEVENT"]
    uids = {one.value("UID") or "" for one in vevents}
    if len(uids) != 1 or "" in uids:
        raise RecordRefused("INVALID", "UID", f"UID: an event has one, this has {len(uids - {''})}.")
    people = _People(owner, own)
    master = max((one for one in vevents if not _is_exception(one)), key=_sequence, default=None)
    series = None
    if master is not None and (line := master.first("DTSTART")):
        series = zones.moment(line, floating)
    events = [_event(one, zones, people, series) for one in vevents if one is master or _is_exception(one)]
    return uids.pop(), events


def _events_and_zones(components: Iterable[Component]) -> Iterator[Component]:
    for one in components:
        if one.name == "VCALENDAR":
            yield from one.components
        else:
            yield one


def _is_exception(component: Component) -> bool:
    return component.first("RECURRENCE-ID") is not None


def _sequence(component: Component) -> int:
    text = component.value("SEQUENCE") or ""
    return int(text) if len(text) < 10 and text.isascii() and text.isdigit() else 0


class _Zones:
    """The zones of one text."""

    def __init__(self, floating: tzinfo, definitions: Iterable[Component]) -> None:
        self.floating = floating
        self._definitions = {one.value("TZID"): one for one in definitions}
        self._found: dict[str, tzinfo] = {}

    def moment(self, line: Property, default: tzinfo, value: str | None = None) -> Moment:
        """A line's time, or one of its times.

        Args:
            line: The line.
            default: The zone, if it names none.
            value: One of its values.
        """
        read = read_time(line, value)
        if not isinstance(read, datetime):
            return Moment(datetime.combine(read, time()), default)
        if read.tzinfo is not None:
            return Moment(read.replace(tzinfo=None), UTC)
        name = line.parameters.get("TZID")
        return Moment(read, default if name is None else self._named(name))

    def _named(self, name: str) -> tzinfo:
        """The zone of a name. One that nobody defines is taken for the calendar's own."""
        if name not in self._found:
            found = zone_named(name)
            if found is None and name in self._definitions:
                found = zone_defined(self._definitions[name])
            self._found[name] = found or self.floating
        return self._found[name]


@dataclass(frozen=True, slots=True)
class _People:
    """Whose calendar it is, by all their addresses."""

    owner: str
    own: Collection[str]

    def address(self, line: Property) -> str | None:
        """Whom a line names; None if it does not tell by an address of mail."""
        value = line.value.strip()
        if value[:7].lower() == "mailto:":
            value = unquote(value[7:])
        elif "@" not in value or ":" in value or "/" in value:
            value = line.parameters.get("EMAIL", "")
        value = value.partition("?")[0].strip().lower()
        if "@" not in value or len(value) > 320:
            return None
        return self.owner if value in self.own else value


def _event(component: Component, zones: _Zones, people: _People, series: Moment | None) -> Event:
    line = component.first("DTSTART")
    if line is None:
        raise RecordRefused("INVALID", "DTSTART", "DTSTART: an event says when it starts.")
    begins = zones.moment(line, zones.floating if series is None else series.zone)
    if begins.wall.year < FIRST_YEAR or begins.wall.year > LATEST.year + 100:
        raise RecordRefused("OUT_OF_RANGE", "DTSTART", f"DTSTART: {begins.wall.date()} is no day to meet on.")
    day = not isinstance(read_time(line), datetime)
    all_day = day or (component.value("X-MICROSOFT-CDO-ALLDAYEVENT") or "").upper() == "TRUE"
    exclusions, excluded_days = _exclusions(component, zones, begins.zone)
    original, onwards = None, False
    if (identity := component.first("RECURRENCE-ID")) is not None:
        original = _original(identity, zones, series or begins)
        onwards = identity.parameters.get("RANGE", "").upper() == "THISANDFUTURE"
    summary = component.value("SUMMARY")
    organizer = component.first("ORGANIZER")
    return Event(
        begins=begins,
        duration=_duration(component, zones, begins, day=day),
        all_day=all_day,
        original=original,
        onwards=onwards,
        sequence=_sequence(component),
        rules=tuple(read_rule(line.value) for line in component.all("RRULE") if not all_day),
        additions=tuple(_additions(component, zones, begins.zone)),
        exclusions=exclusions,
        excluded_days=excluded_days,
        cancelled=(component.value("STATUS") or "").upper() in ("CANCELLED", "CANCELED"),
        title=None if summary is None else read_text(summary),
        organizer=people.owner if organizer is None else people.address(organizer),
        attendees=tuple(_attendees(component, people)),
        created_at=_created_at(component, zones, begins.zone),
    )


def _original(line: Property, zones: _Zones, series: Moment) -> Moment:
    moment = zones.moment(line, series.zone)
    if not isinstance(read_time(line), datetime):
        # Some clients name the day alone: the series' time on it is meant.
        moment = Moment(datetime.combine(moment.wall.date(), series.wall.time()), series.zone)
    return moment


def _duration(component: Component, zones: _Zones, begins: Moment, *, day: bool) -> timedelta:
    if (end := component.first("DTEND")) is not None:
        return zones.moment(end, begins.zone).utc - begins.utc
    if (length := component.first("DURATION")) is not None:
        return read_duration(length)
    return timedelta(days=1) if day else timedelta()


def _additions(component: Component, zones: _Zones, zone: tzinfo) -> Iterator[tuple[Moment, timedelta | None]]:
    for line in component.all("RDATE"):
        for value in filter(None, line.value.split(",")):
            start, slash, end = value.partition("/")
            moment = zones.moment(line, zone, start)
            if not slash:
                yield moment, None
            elif end.strip().upper().startswith(("P", "+P")):
                yield moment, read_duration(line, end)
            else:
                yield moment, zones.moment(line, zone, end).utc - moment.utc


def _exclusions(component: Component, zones: _Zones, zone: tzinfo) -> tuple[frozenset[datetime], frozenset[date]]:
    moments: set[datetime] = set()
    days: set[date] = set()
    for line in component.all("EXDATE"):
        for value in filter(None, line.value.split(",")):
            read = read_time(line, value)
            if isinstance(read, datetime):
                moments.add(zones.moment(line, zone, value).utc)
            else:
                days.add(read)
    return frozenset(moments), frozenset(days)


def _attendees(component: Component, people: _People) -> Iterator[Attendee]:
    for line in component.all("ATTENDEE"):
        address = people.address(line)
        if address is None or line.parameters.get("CUTYPE", "").upper() in ("ROOM", "RESOURCE"):
            continue
        answer = line.parameters.get("PARTSTAT", "").upper()
        yield Attendee(address, _ANSWERS.get(answer, "needs_action"))


def _created_at(component: Component, zones: _Zones, zone: tzinfo) -> datetime | None:
    """When it was made; None where that is not told or is nonsense, as Google's year 0 is."""
    line = component.first("CREATED")
    if line is None:
        return None
    try:
        created_at = zones.moment(line, zone).utc
    except RecordRefused:
        return None
    return created_at if created_at >= OLDEST_CREATION else None


def occurrences_of(events: Sequence[Event], now: datetime) -> Iterator[Occurrence]:
    """The occurrences of an event, those of a series up to enough that end after now.

    Args:
        events: All its components.
        now: The clock.

    Raises:
        RecordRefused: it recurs more often than a meeting does.
    """
    master = next((event for event in events if event.original is None), None)
    exceptions = _exceptions(events)
    if master is not None and not master.recurs and not exceptions:
        yield _occurrence(master, None, master.begins.utc, master.duration)
        return
    met: set[datetime] = set()
    if master is not None and not master.all_day:
        onwards = sorted(
            ((original, event) for original, event in exceptions.items() if event.onwards), key=lambda pair: pair[0]
        )
        ahead = 0
        for wall, length in _starts(master):
            start = Moment(wall, master.begins.zone)
            original = start.utc
            if original in exceptions:
                met.add(original)
                yield _occurrence(exceptions[original], original)
                continue
            event = master
            for since, later in onwards:
                if since > original:
                    break
                event = later
            if event is not master:
                # All that follow are moved by as much as the exception was.
                assert event.original is not None
                start = Moment(wall + (event.begins.wall - _in_zone(event.original, start.zone)), event.begins.zone)
                length = None
            begins = start.utc
            yield _occurrence(event, original, begins, event.duration if length is None else length)
            ahead += begins > now
            if ahead > UPCOMING:
                break
    for original, event in exceptions.items():
        if original not in met and (master is None or not _is_excluded(master, original)):
            yield _occurrence(event, original)


def _exceptions(events: Sequence[Event]) -> dict[datetime, Event]:
    """Exceptions by the start that they are of."""
    found: dict[datetime, Event] = {}
    for event in events:
        if event.original is not None:
            original = event.original.utc
            if original not in found or found[original].sequence <= event.sequence:
                found[original] = event
    return found


def _in_zone(moment: Moment, zone: tzinfo) -> datetime:
    """The wall clock of a zone at a moment."""
    return moment.wall if moment.zone is zone else moment.utc.astimezone(zone).replace(tzinfo=None)


def _starts(master: Event) -> Iterator[tuple[datetime, timedelta | None]]:
    """The starts of a series by its own wall clock, in order, without those that are excluded; with how long each one
    takes, where that is told for it alone."""
    zone = master.begins.zone
    last = LATEST.replace(tzinfo=None) + timedelta(days=1)
    lengths = {_in_zone(moment, zone): length for moment, length in master.additions}
    sources: list[Iterable[datetime]] = [[master.begins.wall], sorted(lengths)]
    sources += [_rule_starts(rule, master.begins, last) for rule in master.rules]
    for wall, _ in groupby(heapq.merge(*sources)):
        if wall > last:
            return
        if wall.date() not in master.excluded_days and Moment(wall, zone).utc not in master.exclusions:
            yield wall, lengths.get(wall)


def _rule_starts(rule: Rule, begins: Moment, last: datetime) -> Iterator[datetime]:
    until = rule.until
    for wall in starts_of(rule, begins.wall, last):
        if until is None:
            late = False
        elif not isinstance(until, datetime):
            late = wall.date() > until
        elif until.tzinfo is None:
            late = wall > until
        else:
            late = Moment(wall, begins.zone).utc > until
        if late:
            return
        yield wall


def _is_excluded(master: Event, original: datetime) -> bool:
    return original in master.exclusions or original.astimezone(master.begins.zone).date() in master.excluded_days


def _occurrence(
    event: Event, original: datetime | None, begins: datetime | None = None, length: timedelta | None = None
) -> Occurrence:
    starts_at = event.begins.utc if begins is None else begins
    try:
        ends_at = starts_at + (event.duration if length is None else length)
    except OverflowError as error:
        raise RecordRefused("OUT_OF_RANGE", "DURATION", "DURATION: longer than time itself.") from error
    return Occurrence(
        key=None if original is None else occurrence_key(original),
        starts_at=starts_at,
        ends_at=ends_at,
        all_day=event.all_day,
        cancelled=event.cancelled,
        title=event.title,
        organizer=event.organizer,
        creator=None,
        attendees=event.attendees,
        created_at=event.created_at,
    )
