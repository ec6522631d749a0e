"""Events of Google Calendar, read as occurrences."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Struct, field

from domain.connectors import Mapped, MappingContext
from domain.meetings import Attendee, AttendeeStatus, Occurrence, meetings_of, occurrence_key
from domain.records import RecordRefused
from workers.connectors.calendars import whole_instances

NOT_MEETINGS: Final = frozenset({"outOfOffice", "focusTime", "workingLocation", "birthday"})
"""Types of events that are nobody's meeting. One that is not known counts like any other, by who is invited."""

_STATUSES: Final[Mapping[str | None, AttendeeStatus]] = {
    "accepted": "accepted",
    "declined": "declined",
    "tentative": "tentative",
}
_UNKNOWN_BEFORE = datetime(2000, 1, 1, tzinfo=UTC)
"""Events that were imported have been created in the year 0 or 1900."""


class _When(Struct, rename="camel", frozen=True):
    date: str | None = None
    date_time: str | None = None
    time_zone: str | None = None


class _Person(Struct, rename="camel", frozen=True):
    email: str | None = None
    is_self: bool | None = field(name="self", default=None)
    resource: bool | None = None
    response_status: str | None = None


class _Event(Struct, rename="camel", frozen=True):
    id: str
    i_cal_uid: str | None = field(name="iCalUID", default=None)
    status: str | None = None
    event_type: str | None = None
    created: str | None = None
    summary: str | None = None
    creator: _Person | None = None
    organizer: _Person | None = None
    attendees: list[_Person] | None = None
    start: _When | None = None
    end: _When | None = None
    original_start_time: _When | None = None


def is_meeting(event: Mapping[str, Any]) -> bool:
    """Whether an event, as Google gave it, is of a type that meetings have."""
    event_type = event.get("eventType")
    return not isinstance(event_type, str) or event_type not in NOT_MEETINGS


def map_event(data: Any, context: MappingContext, state: Mapping[str, Any] | None) -> Mapped:
    """What a document comes to: a single event, or a series as `{"master": …, "instances": […]}`.

    Raises:
        RecordRefused: it makes no sense.
    """
    try:
        if isinstance(data, dict) and "instances" in data:
            event = msgspec.convert(data.get("master"), _Event)
            instances = msgspec.convert(whole_instances(data), list[_Event])
        else:
            event, instances = msgspec.convert(data, _Event), None
    except msgspec.ValidationError as error:
        raise RecordRefused("INVALID", None, f"The event is not as Google describes events: {error}.") from error
    if event.event_type in NOT_MEETINGS:
        return Mapped(records=())
    if instances is None:
        occurrences = [_occurrence(event, None, context)]
    else:
        occurrences = [_occurrence(one, _key(one), context) for one in instances]
    return meetings_of(event.i_cal_uid or event.id, occurrences, context, state)


def _key(instance: _Event) -> str:
    original = _instant(instance.original_start_time, "originalStartTime")
    return occurrence_key(original or _required(instance.start, "start"))


def _occurrence(event: _Event, key: str | None, context: MappingContext) -> Occurrence:
    cancelled = event.status == "cancelled"
    # A cancelled instance has no more than its id and its original start.
    start = event.start or (event.original_start_time if cancelled else None)
    starts_at = _required(start, "start")
    return Occurrence(
        key=key,
        starts_at=starts_at,
        ends_at=starts_at if cancelled else _instant(event.end, "end") or starts_at,
        all_day=start is not None and start.date is not None,
        cancelled=cancelled,
        title=event.summary,
        organizer=_email(event.organizer, context),
        creator=_email(event.creator, context),
        attendees=tuple(
            Attendee(email, _STATUSES.get(person.response_status, "needs_action"))
            for person in event.attendees or ()
            if not person.resource and (email := _email(person, context)) is not None
        ),
        created_at=_created(event.created),
    )


def _email(person: _Person | None, context: MappingContext) -> str | None:
    """The address of somebody; that of the connection's owner if the entry is theirs, whatever alias it names."""
    if person is None:
        return None
    if person.is_self and context.owner is not None:
        return context.owner
    return person.email.strip().lower() or None if person.email is not None else None


def _required(when: _When | None, name: str) -> datetime:
    instant = _instant(when, name)
    if instant is None:
        raise RecordRefused("INVALID", name, f"{name}: the event has none.")
    return instant


def _instant(when: _When | None, name: str) -> datetime | None:
    if when is None:
        return None
    try:
        if when.date_time is not None:
            instant = datetime.fromisoformat(when.date_time)
            if instant.tzinfo is None:
                instant = instant.replace(tzinfo=ZoneInfo(when.time_zone or ""))
            return instant.astimezone(UTC)
        if when.date is not None:
            return datetime.combine(date.fromisoformat(when.date), time(), UTC)
    # What names no zone is a KeyError or a ValueError; a directory of zones, an OSError.
    except (ValueError, OverflowError, KeyError, OSError) as error:
        raise RecordRefused("INVALID", name, f"{name}: {when.date_time or when.date!r} is no time.") from error
    return None


def _created(text: str | None) -> datetime | None:
    try:
        instant = None if text is None else datetime.fromisoformat(text)
    except ValueError:
        return None
    if instant is None or instant.tzinfo is None or instant < _UNKNOWN_BEFORE:
        return None
    return instant
