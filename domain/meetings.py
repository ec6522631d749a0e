"""Meetings: what calendars mean, whichever vendor keeps them. This page is the law for all of them.

**What counts.** An occurrence of an event counts if it is not all-day, is not cancelled, has at least one attendee from
outside who has not declined, and the credited person has not declined. From outside is who is neither a member of the
team nor has an address in one of its mail domains (or in a subdomain of one); rooms, resources and group calendars are
nobody. Internal meetings do not count, and coaching sessions that Sideline put into the calendar do not, whoever is
invited.

**Whose it is.** Who books gets the credit: the creator, if on the team, else the organizer, if on the team. What an
outsider organizes counts for nobody. A connection brings a meeting only if the credited person is its owner: each user
connects their own calendar, so nothing is counted twice when colleagues share a meeting.

**When it was booked**, which is a record's `occurredAt`: the first counting occurrence of an event when it was created;
each further one of a series when it was created or when the counting one before it (by start) ended, whichever is
later. So a series books its next meeting when the last one is over: the numbers of past days do not change as time goes
by, and a weekly meeting is not 52 bookings on one day. What is not booked yet by now is not told yet. Where a calendar
does not tell when an event was created, it is booked when it was first seen, but not after its start, and its further
occurrences at the end of the one before. A booking before or after the years that records may have
(`domain.records.EARLIEST`, `LATEST`) is moved to their edge; a meeting that starts outside of them is left out.

**How it stands.** "booked" until its end, "held" from then on. One that was told and then was cancelled, was declined
by the credited person or by everybody from outside, or went missing from its series, becomes "cancelled" rather than
vanish; if it never was told, there is nothing to say. One that is no meeting of the owner's with outsiders any more
(the organizer changed, the guests were taken off, it became all-day) is taken back. Calendars do not tell who did not
come, so "no_show" is left to sources that do.

**Moved.** A meeting that is moved is booked once: its `rescheduledCount` grows by one and its `occurredAt` stays. Moves
are seen by comparing with what was told before: two between two syncs count as one, and one that was moved back in
between as none. A cancelled one that comes back goes on where it was.

**Who it is.** `externalId` is the event's uid, or `uid/key` in a series, where the key is the occurrence's original
start: a moved occurrence stays itself. Moving a whole series (or making one of a single event, or the reverse) gives
its occurrences new keys: if more than half of those told, and of those that came next, are gone, then each that is gone
is taken to be the nearest one that was not there before, at most seven days away. If it is over, it stays as it was,
and what is still to come is another meeting; if not, it was moved.

**Long ago.** What ended more than 400 days ago stays as it was told, whatever becomes of the event, and comes out of
the state, so that a calendar need not be read further back: `Mapped.records` names all that stand, however old. The
state takes a few bytes for each of them.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, TypeAlias

from domain.connectors import Mapped, MappingContext
from domain.records import EARLIEST, LATEST, RecordRefused

AttendeeStatus: TypeAlias = Literal["accepted", "declined", "tentative", "needs_action"]

LOOK_BACK: Final = timedelta(days=400)
"""What ended longer ago than this stays as it was told."""

COACHING_UID: Final = "sidelinecoaching"
"""What the UIDs begin with of the coaching sessions that Sideline itself puts into calendars: they come back by the
sync, and are no meetings with customers."""

UPCOMING: Final = 8
"""The keys of so many occurrences that are not told yet are remembered, to tell a series that was moved from one of
which some occurrences are gone. A caller lists at least so many that end after now, if the series has them."""

REACH: Final = timedelta(days=7)
"""How far from its old place an occurrence with a new key is looked for."""

ID_LENGTH: Final = 255
TITLE_LENGTH: Final = 2000

_NOBODY: Final = ("resource.calendar.google.com", "group.calendar.google.com")
_STATUSES: Final = ("held", "booked", "cancelled")
_KEPT: Final = ("", "moved", "alone")


@dataclass(frozen=True, slots=True)
class Attendee:
    """Somebody who was invited.

    Args:
        email: Their address, lower case.
        status: What they answered.
    """

    email: str
    status: AttendeeStatus


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One occurrence of an event, as it now stands.

    Args:
        key: Within a series the original start, as `occurrence_key` writes it; None for a single event.
        starts_at: With a time zone. Of a cancelled one, times need not be true.
        ends_at: With a time zone.
        all_day: It has days, not times.
        cancelled: It does not take place.
        title: What it is called.
        organizer: Lower-case address of who invites.
        creator: Lower-case address of who booked it, where the vendor tells.
        attendees: Who is invited; no rooms, where the vendor tells them from people.
        created_at: When it was made, with a time zone, where the vendor tells.
    """

    key: str | None
    starts_at: datetime
    ends_at: datetime
    all_day: bool
    cancelled: bool
    title: str | None
    organizer: str | None
    creator: str | None
    attendees: tuple[Attendee, ...]
    created_at: datetime | None


def occurrence_key(original_start: datetime) -> str:
    """How the original start of an occurrence is written: UTC, to the second. A day is written as its midnight in UTC.

    >>> occurrence_key(datetime.fromisoformat("2026-03-30T09:00:00+02:00"))
    '2026-03-30T07:00:00+00:00'
    """
    return original_start.astimezone(UTC).replace(microsecond=0).isoformat()


def meetings_of(
    uid: str, occurrences: Sequence[Occurrence], context: MappingContext, state: Mapping[str, Any] | None
) -> Mapped:
    """The meetings that an event comes to, all of them.

    Args:
        uid: The event's id, the same in every calendar that has it.
        occurrences: All of a series that end after 400 days before now, in any order, up to the `UPCOMING`th that ends
            after now and is not cancelled; without a state, as far back as the calendar goes. What is missing is taken
            for cancelled. Of two with the same key the last one stands.
        context: What it is mapped against.
        state: What the last mapping of the same event left.

    Raises:
        RecordRefused: an occurrence makes no sense.
    """
    if context.owner is None or uid.startswith(COACHING_UID):
        return Mapped(records=())
    now = context.now
    memory = _remembered(state)
    listed = {_seconds_of_key(one.key): one for one in occurrences}
    verdicts = {key: _verdict(one, context) for key, one in listed.items()}
    counting = {key: _checked(one) for key, one in listed.items() if verdicts[key] == "counts"}

    rows: list[_Row] = []
    for row in _rekeyed(memory, listed, counting, now):
        if row.kept or (row.ends < _seconds(now - LOOK_BACK) and row.status != "booked"):
            rows.append(row)
        elif row.current in listed:
            rows.extend(_followed(row, listed[row.current], verdicts[row.current], now))
        elif row.ends < _seconds(now - LOOK_BACK):
            rows.append(replace(row, status="held"))
        else:
            rows.append(replace(row, status="cancelled"))

    told = {row.current for row in rows} | {row.key for row in rows}
    bookings = _bookings(counting, rows, memory.settled_before, now)
    for key, booked_at in bookings.items():
        if key not in told and booked_at <= now and _in_range(counting[key]):
            rows.append(_told(key, counting[key], booked_at, now))
    if not rows:
        return Mapped(records=(), again_at=min((at for at in bookings.values() if at > now), default=None))
    rows.sort(key=lambda row: (row.starts, row.key is not None, row.key or 0))
    told = {row.current for row in rows}
    changes = [at for key, at in bookings.items() if key not in told and at > now]
    changes += [_instant(row.ends) for row in rows if row.status == "booked"]
    upcoming = sorted(key for key, one in listed.items() if key is not None and key not in told and one.ends_at > now)
    return Mapped(
        records=[_record(uid, row, context.owner) for row in rows],
        state=_packed(rows, upcoming[:UPCOMING], now),
        again_at=min(changes, default=None),
    )


Verdict: TypeAlias = Literal["counts", "off", "not"]


def _verdict(one: Occurrence, context: MappingContext) -> Verdict:
    """Whether an occurrence counts, is off (cancelled or declined), or is no meeting of the owner's with outsiders."""
    if one.cancelled:
        return "off"
    if one.all_day or credited(one, context) != context.owner:
        return "not"
    guests = [attendee for attendee in one.attendees if is_outside(attendee.email, context)]
    if not guests:
        return "not"
    declined = {attendee.email for attendee in one.attendees if attendee.status == "declined"}
    if context.owner in declined or all(guest.email in declined for guest in guests):
        return "off"
    return "counts"


def credited(one: Occurrence, context: MappingContext) -> str | None:
    """The address of who booked an occurrence: its creator, if on the team, else its organizer, if on the team."""
    for email in (one.creator, one.organizer):
        if email is not None and (email in context.members or email == context.owner):
            return email
    return None


def is_outside(email: str, context: MappingContext) -> bool:
    """Whether somebody is not of the team. Rooms, resources and group calendars are nobody, so they are not either."""
    if email in context.members or email == context.owner:
        return False
    _, at, domain = email.rpartition("@")
    if not at or domain.endswith(_NOBODY):
        return False
    return not any(domain == own or domain.endswith(f".{own}") for own in context.domains)


def _checked(one: Occurrence) -> Occurrence:
    for field, instant in (("startsAt", one.starts_at), ("endsAt", one.ends_at), ("createdAt", one.created_at)):
        if instant is not None and instant.tzinfo is None:
            raise RecordRefused("INVALID", field, f"{field}: {instant.isoformat()} has no time zone.")
    if one.ends_at < one.starts_at:
        raise RecordRefused("INVALID", "endsAt", "endsAt: a meeting cannot end before it starts.")
    return one


def _in_range(one: Occurrence) -> bool:
    return EARLIEST <= one.starts_at < LATEST


def _status(one: Occurrence, now: datetime) -> str:
    return "held" if _instant(_seconds(one.ends_at)) <= now else "booked"


def _title(title: str | None) -> str | None:
    return None if title is None else title.replace("\0", "")[:TITLE_LENGTH]


def _followed(row: _Row, one: Occurrence, verdict: Verdict, now: datetime) -> Iterable[_Row]:
    """What was told, as it now stands; nothing if it is taken back."""
    if verdict == "not":
        return ()
    if verdict == "off" or not _in_range(one):
        return (replace(row, status="cancelled"),)
    starts = _seconds(one.starts_at)
    return (
        replace(
            row,
            starts=starts,
            ends=_seconds(one.ends_at),
            status=_status(one, now),
            moves=row.moves + (starts != row.starts),
            title=_title(one.title),
        ),
    )


def _told(key: _Key, one: Occurrence, booked_at: datetime, now: datetime) -> _Row:
    """A meeting that is told for the first time."""
    return _Row(
        key=key,
        current=key,
        starts=_seconds(one.starts_at),
        ends=_seconds(one.ends_at),
        booked=_seconds(min(max(booked_at, EARLIEST), LATEST - timedelta(seconds=1))),
        status=_status(one, now),
        moves=0,
        title=_title(one.title),
        kept="",
    )


def _bookings(
    counting: Mapping[_Key, Occurrence], rows: Iterable[_Row], settled_before: int | None, now: datetime
) -> dict[_Key, datetime]:
    """When each counting occurrence is booked, of those that are not settled.

    Args:
        counting: The occurrences.
        rows: What was told.
        settled_before: What ended before, in seconds since 1970, was told if it ever will be; None if nothing was told.
        now: The clock.
    """
    order = sorted(counting, key=lambda key: (counting[key].starts_at, key is not None, key or 0))
    previous: datetime | None = None
    if settled_before is not None:
        order = [key for key in order if _seconds(counting[key].ends_at) >= settled_before]
        settled = [row for row in rows if row.ends < settled_before and row.status == "held"]
        if settled:
            previous = _instant(max(settled, key=lambda row: row.starts).ends)
    bookings: dict[_Key, datetime] = {}
    for key in order:
        one = counting[key]
        if previous is None:
            bookings[key] = min(now, one.starts_at) if one.created_at is None else one.created_at
        else:
            bookings[key] = previous if one.created_at is None else max(one.created_at, previous)
        previous = one.ends_at
    return bookings


def _rekeyed(
    memory: _Memory, listed: Mapping[_Key, Occurrence], counting: Mapping[_Key, Occurrence], now: datetime
) -> list[_Row]:
    """What was told, with the keys that it has in the calendar now."""
    since = (memory.settled_before or 0) - int(REACH.total_seconds())
    standing = [row for row in memory.rows if row.status != "cancelled" and row.kept != "alone" and row.ends >= since]
    gone = [row for row in standing if row.current not in listed]
    missing = len(gone) + len(memory.upcoming - listed.keys())
    if not gone or 2 * missing <= len(standing) + len(memory.upcoming):
        return memory.rows
    known = {row.current for row in memory.rows} | memory.upcoming
    unknown = [(key, one) for key, one in counting.items() if key not in known]
    new = _Places((_seconds(one.starts_at) if key is None else key, key) for key, one in unknown)
    over = _Places(place for place in new.places if counting[place[1]].ends_at <= now)
    found: dict[_Key, _Row] = {}
    for row in gone:
        begins = row.starts if row.current is None else row.current
        if _instant(row.ends) > now:
            if (place := new.nearest(begins)) is not None:
                new.places.remove(place)
                over.places = [one for one in over.places if one != place]
                found[row.current] = replace(row, current=place[1])
        elif (place := over.nearest(begins)) is not None:
            over.places.remove(place)
            new.places.remove(place)
            found[row.current] = replace(row, current=place[1], kept="moved")
        elif new.nearest(begins) is not None:
            # What it was moved to is still to come, and is another meeting: this one is over.
            found[row.current] = replace(row, kept="alone")
    return [found.get(row.current, row) for row in memory.rows]


class _Places:
    """Occurrences by their original starts, in seconds since 1970."""

    def __init__(self, places: Iterable[tuple[int, _Key]]) -> None:
        self.places = sorted(places, key=lambda place: (place[0], place[1] or 0))

    def nearest(self, starts: int) -> tuple[int, _Key] | None:
        """The one that starts nearest to a moment, if one does within `REACH`."""
        place = bisect_left(self.places, starts, key=lambda one: one[0])
        near = self.places[max(place - 1, 0) : place + 1]
        near = [one for one in near if abs(one[0] - starts) <= REACH.total_seconds()]
        return min(near, key=lambda one: abs(one[0] - starts), default=None)


_Key: TypeAlias = "int | None"
"""The original start of an occurrence in seconds since 1970; None for a single event."""


@dataclass(frozen=True, slots=True)
class _Row:
    """A meeting that was told; times in seconds since 1970.

    Args:
        key: The key under which it was told first.
        current: The key that it has in the calendar now.
        starts: When it starts.
        ends: When it ends.
        booked: When it was booked.
        status: "held", "booked" or "cancelled".
        moves: How often it was moved.
        title: What it is called.
        kept: Why it stays as it is, whatever becomes of the event: "moved", since it was over when its series was moved
            and got its current key; "alone", since nothing in the calendar is it any more. Empty if it does not.
    """

    key: _Key
    current: _Key
    starts: int
    ends: int
    booked: int
    status: str
    moves: int
    title: str | None
    kept: str


@dataclass(frozen=True, slots=True)
class _Memory:
    """What a state holds.

    Args:
        rows: All that was told.
        upcoming: The keys that came next.
        settled_before: What ended before, in seconds since 1970, was told if it ever will be: 400 days before the last
            mapping. None if nothing was told.
    """

    rows: list[_Row]
    upcoming: frozenset[_Key]
    settled_before: int | None


def _packed(rows: Sequence[_Row], upcoming: Sequence[int], now: datetime) -> dict[str, Any]:
    """A state. A row is a list of differences from what the row before lets expect, without the zeros at its end; in an
    undisturbed series that is one number a row."""
    titles: dict[str | None, int] = {}
    packed: list[Any] = []
    before = _START
    for row in rows:
        values = [
            None if row.key is None else row.key - (before.key or 0),
            row.starts - (row.key or 0),
            (row.ends - row.starts) - (before.ends - before.starts),
            row.booked - before.ends,
            _STATUSES.index(row.status),
            row.moves,
            titles.setdefault(row.title, len(titles)),
            _KEPT.index(row.kept),
            0 if row.current == row.key else [row.current],
        ]
        while len(values) > 1 and values[-1] == 0:
            values.pop()
        packed.append(values[0] if len(values) == 1 else values)
        before = row
    return {"rows": packed, "titles": list(titles), "upcoming": list(upcoming), "at": _seconds(now)}


def _remembered(state: Mapping[str, Any] | None) -> _Memory:
    """What `_packed` packed."""
    if state is None:
        return _Memory([], frozenset(), None)
    rows: list[_Row] = []
    before = _START
    for packed in state["rows"]:
        values = packed if isinstance(packed, list) else [packed]
        values = [*values, *[0] * (9 - len(values))]
        key = None if values[0] is None else values[0] + (before.key or 0)
        starts = values[1] + (key or 0)
        row = _Row(
            key=key,
            current=values[8][0] if values[8] else key,
            starts=starts,
            ends=starts + values[2] + (before.ends - before.starts),
            booked=values[3] + before.ends,
            status=_STATUSES[values[4]],
            moves=values[5],
            title=state["titles"][values[6]],
            kept=_KEPT[values[7]],
        )
        rows.append(row)
        before = row
    return _Memory(rows, frozenset(state["upcoming"]), state["at"] - int(LOOK_BACK.total_seconds()))


_START: Final = _Row(key=None, current=None, starts=0, ends=0, booked=0, status="held", moves=0, title=None, kept="")


def _record(uid: str, row: _Row, owner: str) -> dict[str, Any]:
    return {
        "kind": "meeting",
        "externalId": external_id(uid, None if row.key is None else occurrence_key(_instant(row.key))),
        "user": owner,
        "occurredAt": _instant(row.booked).isoformat(),
        "startsAt": _instant(row.starts).isoformat(),
        "endsAt": _instant(row.ends).isoformat(),
        "title": row.title,
        "status": row.status,
        "rescheduledCount": row.moves,
    }


def external_id(uid: str, key: str | None) -> str:
    """What identifies an occurrence among all meetings of a team; a uid that is too long for it, or holds what text
    cannot, is stood for by its digest."""
    suffix = "" if key is None else f"/{key}"
    if "\0" in uid or len(uid) + len(suffix) > ID_LENGTH:
        uid = f"sha256:{hashlib.sha256(uid.encode('utf-8', 'surrogatepass')).hexdigest()}"
    return f"{uid}{suffix}"


def _seconds(instant: datetime) -> int:
    return int(instant.timestamp() // 1)


def _seconds_of_key(key: str | None) -> _Key:
    if key is None:
        return None
    try:
        original_start = datetime.fromisoformat(key)
    except ValueError as error:
        raise RecordRefused("INVALID", "key", f"key: {key!r} is no time in ISO 8601.") from error
    if original_start.tzinfo is None:
        raise RecordRefused("INVALID", "key", f"key: {key!r} has no time zone.")
    return _seconds(original_start)


def _instant(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
