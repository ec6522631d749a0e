"""Events of Microsoft 365, read as occurrences."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Struct, field

from domain.connectors import Mapped, MappingContext
from domain.meetings import COACHING_UID, Attendee, AttendeeStatus, Occurrence, meetings_of, occurrence_key
from domain.records import RecordRefused
from workers.connectors.calendars import whole_instances

_STATUSES: Final[Mapping[str, AttendeeStatus]] = {
    "accepted": "accepted",
    "organizer": "accepted",
    "declined": "declined",
    "tentativelyaccepted": "tentative",
}
_UNKNOWN_BEFORE = datetime(2000, 1, 1, tzinfo=UTC)
"""What Exchange does not know was in the year 1."""


class _When(Struct, rename="camel", frozen=True):
    date_time: str | None = None
    time_zone: str | None = None


class _Address(Struct, frozen=True):
    address: str | None = None


class _Status(Struct, frozen=True):
    response: str | None = None


class _Person(Struct, rename="camel", frozen=True):
    email_address: _Address | None = None
    type: str | None = None
    status: _Status | None = None


class _Event(Struct, rename="camel", frozen=True):
    id: str
    i_cal_uid: str | None = field(name="iCalUId", default=None)
    subject: str | None = None
    start: _When | None = None
    end: _When | None = None
    original_start: str | None = None
    is_all_day: bool | None = None
    is_cancelled: bool | None = None
    is_organizer: bool | None = None
    organizer: _Person | None = None
    attendees: list[_Person] | None = None
    created_date_time: str | None = None
    transaction_id: str | None = None


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
        raise RecordRefused("INVALID", None, f"The event is not as Microsoft describes events: {error}.") from error
    if event.transaction_id is not None and event.transaction_id.startswith(COACHING_UID):
        # A coaching session that Sideline put there: Microsoft gives iCalUIds of its own, so that is how it is known.
        return Mapped(records=())
    if instances is None:
        occurrences = [_occurrence(event, None, context)]
    else:
        occurrences = [_occurrence(one, _key(one), context) for one in instances]
    # Each occurrence of a series has an iCalUId of its own; the series' is what all calendars share.
    return meetings_of(event.i_cal_uid or event.id, occurrences, context, state)


def _key(instance: _Event) -> str:
    if instance.original_start is None:
        return occurrence_key(_required(instance.start, "start"))
    return occurrence_key(_instant(instance.original_start, "UTC", "originalStart"))


def _occurrence(event: _Event, key: str | None, context: MappingContext) -> Occurrence:
    starts_at = _required(event.start, "start")
    # The owner may have other addresses than the one that the team knows.
    is_own = event.is_organizer is True and context.owner is not None
    return Occurrence(
        key=key,
        starts_at=starts_at,
        ends_at=_instant_of(event.end, "end") or starts_at,
        all_day=event.is_all_day is True,
        cancelled=event.is_cancelled is True,
        title=event.subject,
        organizer=context.owner if is_own else _email(event.organizer),
        creator=None,
        attendees=tuple(
            Attendee(email, _status(person))
            for person in event.attendees or ()
            if (person.type or "").lower() != "resource" and (email := _email(person)) is not None
        ),
        created_at=_created(event.created_date_time),
    )


def _email(person: _Person | None) -> str | None:
    address = person.email_address.address if person is not None and person.email_address is not None else None
    return address.strip().lower() or None if address is not None else None


def _status(person: _Person) -> AttendeeStatus:
    response = person.status.response if person.status is not None else None
    return _STATUSES.get((response or "").lower(), "needs_action")


def _required(when: _When | None, name: str) -> datetime:
    instant = _instant_of(when, name)
    if instant is None:
        raise RecordRefused("INVALID", name, f"{name}: the event has none.")
    return instant


def _instant_of(when: _When | None, name: str) -> datetime | None:
    return None if when is None or when.date_time is None else _instant(when.date_time, when.time_zone or "UTC", name)


def _instant(text: str, timezone: str, name: str) -> datetime:
    try:
        instant = datetime.fromisoformat(text)
        if instant.tzinfo is None:
            # Times are asked for in UTC; Windows' own names of zones are therefore not looked up.
            instant = instant.replace(tzinfo=ZoneInfo(timezone))
        return instant.astimezone(UTC)
    # What names no zone is a KeyError or a ValueError; a directory of zones, an OSError.
    except (ValueError, OverflowError, KeyError, OSError) as error:
        raise RecordRefused("INVALID", name, f"{name}: {text!r} in {timezone!r} is no time.") from error


def _created(text: str | None) -> datetime | None:
    try:
        instant = None if text is None else datetime.fromisoformat(text)
    except ValueError:
        return None
    if instant is None or instant.tzinfo is None or instant < _UNKNOWN_BEFORE:
        return None
    return instant
