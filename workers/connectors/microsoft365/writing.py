"""Putting coaching sessions into the default calendar of Microsoft 365, and taking them out again.

Graph gives events ids and iCalUIds of its own. So an event bears the beginning of our UID (and, of one occurrence
among several, where that originally starts) as an extended property, by which it is found again, and a `transactionId`
made of the same, which Graph takes once: what is posted twice, because the first answer got lost, is one event. By the
`transactionId` the sync knows it for no meeting.

Before anything is written what is there is read, and only what is other than it should be is written: a delivery that
runs again tells nobody twice. It is written on the condition that it is as it was read (If-Match), but for the last
attempt: Graph's documentation does not say how events heed that. Guests' answers stay. What somebody has changed by
hand is put back: the session stands as Sideline has it. Microsoft 365 tells the guests, of every change, whether it is
asked to or not.

A series is a recurring event where Graph can say its rule (`recurrence.pattern_of`), with exceptions for the
occurrences that were moved or are called otherwise, and without those that do not take place. Exchange moves no
occurrence past another one, and brings none back that was deleted: such an occurrence is an event of its own. Of a rule
that Graph cannot say all are, `LISTED` ahead; the time comes when more are asked for (`plan_invitations.list_further`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import quote

import httpx

from domain import actions
from domain.connectors import RemoteUnavailable, SignInNeeded
from domain.plan_invitations import LISTED_UNTIL, NOBODYS, Invitation, Override
from domain.recurrence import Rule, instant_of, read_rule, starts_of, wall_of
from workers.connectors.base import Placed, Session
from workers.connectors.calendars import AHEAD, read_list, read_object, read_text, require_chosen
from workers.connectors.microsoft365.client import (
    EVENTS,
    IN_UTC,
    INSTANCES_SIZE,
    VENDOR,
    codes_of,
    refusal,
    relative,
    require_mailbox,
    window,
)
from workers.connectors.microsoft365.manifest import WRITE_SCOPE
from workers.connectors.microsoft365.recurrence import (
    is_same_recurrence,
    is_same_zone,
    pattern_of,
    recurrence_of,
    zone_name_of,
)

MARK: Final = "String {c7a5ca4c-f6fd-4512-a0ef-fa9b66c218a7} Name SidelineCoachingSession"
"""The extended property that holds which invitation an event is of, and which occurrence."""
LISTED: Final = timedelta(days=120)
"""So far ahead events are made of a rule that Graph cannot say."""

_FORBIDDEN: Final = 403
_NOT_THERE: Final = 404
_THERE_ALREADY: Final = 409
_CHANGED: Final = 412
_CROSSING: Final = "erroroccurrencecrossingboundary"
_NOT_ALLOWED: Final = frozenset({"erroraccessdenied", "authorization_requestdenied", "accessdenied"})
_ATTEMPTS: Final = 4
_PATIENCE: Final = 3
"""So many deliveries in a row may fail until an event that Graph says to have, and nobody finds, counts as deleted."""
_A_DAY: Final = timedelta(days=1)
_NEAR: Final = timedelta(hours=2)
"""Where a clock skips or repeats an hour, Exchange may mean another moment by the same wall clock's time."""
_FIELDS: Final = (
    "id,type,subject,sensitivity,start,end,isAllDay,isCancelled,attendees,organizer,recurrence,originalStart,"
    "originalStartTimeZone,createdDateTime"
)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """An event as it should be.

    Args:
        key: Which occurrence of a series it is; empty for the event of a session, or of a series.
        title: What it is called.
        starts_at: When it starts.
        minutes: How long it takes.
        recurrence: Of a series.
    """

    key: str
    title: str
    starts_at: datetime
    minutes: int
    recurrence: Mapping[str, Any] | None = None


class _Crossing(Exception):
    """Exchange moves no occurrence past another one."""


def require_writing(session: Session) -> None:
    """Refuse a connection that is for reading alone.

    Raises:
        RemoteRefused: its owner has not chosen to have invitations written.
        SignInNeeded: they have, but have not given the permission.
    """
    require_chosen(session, VENDOR)
    # Some answers name scopes with the address of what they are for before them.
    given = {one.rpartition("/")[2].lower() for one in session.secrets.get("scope", "").split()}
    if WRITE_SCOPE.lower() not in given:
        raise _not_allowed()


def place_of(session: Session, uid: str) -> str:
    """What the events of a UID are found by in a connection's calendar.

    Raises:
        RemoteRefused, SignInNeeded: nothing: it is for reading alone.
    """
    require_writing(session)
    return uid.partition("@")[0]


async def put_event(session: Session, invitation: Invitation) -> Placed:
    """Bring the events of an invitation in line with it.

    Raises:
        SyncProblem: it cannot be done now, or at all; RemoteRefused and SignInNeeded where it is for reading alone.
    """
    name = place_of(session, invitation.row.uid)
    found = await _find(session, name)
    zone = actions.zone_named(invitation.timezone)
    begins = instant_of(invitation.first_local, zone)
    whole = _Wanted("", invitation.title, begins, invitation.duration_minutes)
    if invitation.rule is None:
        await _settle(session, invitation, whole, found.get(""))
        return Placed(name, None)
    rule = read_rule(invitation.rule)
    pattern = pattern_of(rule, invitation.first_local)
    if pattern is None:
        return Placed(name, await _list_occurrences(session, invitation, rule, found))
    last = None if invitation.until is None else wall_of(invitation.until, zone).date()
    recurrence = recurrence_of(pattern, invitation.first_local.date(), last, zone_name_of(invitation.timezone))
    whole = _Wanted("", invitation.title, begins, invitation.duration_minutes, recurrence)
    master = await _settle(session, invitation, whole, found.get(""))
    await _settle_occurrences(session, invitation, rule, str(master.get("id")), found)
    return Placed(name, None)


async def remove_events(session: Session, place: str) -> None:
    """Take the events of an invitation out, and have their guests told; what is gone already is gone.

    Raises:
        SyncProblem: it cannot be done now, or at all.
    """
    require_writing(session)
    for event in (await _find(session, place)).values():
        await _delete(session, event)


async def _find(session: Session, name: str) -> dict[str, Mapping[str, Any]]:
    """The events of an invitation, by which occurrence they are; of copies that somebody made, the first one."""
    found: dict[str, Mapping[str, Any]] = {}
    params: Mapping[str, Any] | None = {
        "$filter": f"singleValueExtendedProperties/Any(ep: ep/id eq '{MARK}' and startswith(ep/value, '{name}'))",
        "$expand": f"singleValueExtendedProperties($filter=id eq '{MARK}')",
        "$select": _FIELDS,
        "$top": INSTANCES_SIZE,
    }
    link: str | None = EVENTS
    while link is not None:
        answer = await _read(session, link, params)
        for event in read_list(answer, "value", VENDOR):
            key = _key_of(event, name)
            if key is not None and (key not in found or _made(event) < _made(found[key])):
                found[key] = event
        following = read_text(answer, "@odata.nextLink")
        link, params = None if following is None else relative(following), None
    return found


def _key_of(event: Any, name: str) -> str | None:
    """Which occurrence an event of ours is; None for what is none, or was called off by hand."""
    if not isinstance(event, dict) or event.get("isCancelled") is True or read_text(event, "id") is None:
        return None
    for one in event.get("singleValueExtendedProperties") or ():
        value = one.get("value") if isinstance(one, dict) and one.get("id") == MARK else None
        if isinstance(value, str) and value.partition("/")[0] == name:
            return value.partition("/")[2]
    return None


def _made(event: Mapping[str, Any]) -> str:
    return str(event.get("createdDateTime") or "")


async def _settle(
    session: Session, invitation: Invitation, wanted: _Wanted, found: Mapping[str, Any] | None
) -> Mapping[str, Any]:
    """Make an event be as it should, from how it was found. Returns it as it then is."""
    name = invitation.row.uid.partition("@")[0]
    for attempt in range(_ATTEMPTS):
        if found is None:
            response = await session.request(
                "POST",
                EVENTS,
                json=_body(invitation, wanted),
                headers={"prefer": IN_UTC},
                expected=(_FORBIDDEN, _NOT_THERE, _THERE_ALREADY),
            )
            if response.status_code == _THERE_ALREADY:
                found = (await _find(session, name)).get(wanted.key)
                if found is None:
                    raise RemoteUnavailable(
                        f"{VENDOR} says that it has the event, and does not show it; it is tried again later."
                    )
                continue
            _require_done(response)
            found = read_object(response, VENDOR)
            # What Graph had already, it may give back as it was.
            continue
        changes = _changes(found, invitation, wanted)
        if not changes:
            return found
        changed = await _patch(session, found, changes, firmly=attempt == _ATTEMPTS - 1)
        if changed is not None:
            return changed
        found = await _get(session, str(found.get("id")))
    raise RemoteUnavailable(f"The event in {VENDOR} changes all the time; it is tried again later.")


async def _list_occurrences(
    session: Session, invitation: Invitation, rule: Rule, found: Mapping[str, Mapping[str, Any]]
) -> str | None:
    """Make the next occurrences of a series be events of their own. Returns until when, if there are more to come."""
    until = session.now + LISTED
    wanted = _occurrences(invitation, rule, session.now, until)
    for original, one in sorted(wanted.items()):
        if one is not None and max(original, one.starts_at) >= session.now:
            await _settle(session, invitation, one, found.get(one.key))
    standing = {one.key for one in wanted.values() if one is not None}
    for key, event in found.items():
        begins = _instant(event.get("start"))
        if key not in standing and (key == "" or begins is None or session.now <= begins):
            await _delete(session, event)
    if invitation.until is not None and invitation.until <= until:
        return None
    return f"{LISTED_UNTIL}{until.isoformat(timespec='seconds')}"


async def _settle_occurrences(
    session: Session, invitation: Invitation, rule: Rule, master_id: str, found: Mapping[str, Mapping[str, Any]]
) -> None:
    """Make the occurrences of a recurring event be as they should, those to come."""
    now = session.now
    ends = [one.starts_at or one.occurrence_at for one in invitation.overrides]
    until = max([now + AHEAD, *ends, *(one.occurrence_at for one in invitation.overrides)])
    wanted = _occurrences(invitation, rule, now, until)
    instances = await _instances(session, master_id, min([now, *wanted]) - _A_DAY, until + _A_DAY)
    for original, one in sorted(wanted.items()):
        near = [place for place in instances if abs(place - original) < _NEAR]
        instance = instances.pop(min(near, key=lambda place: abs(place - original))) if near else None
        own = found.get(_key(original))
        if one is None:
            for event in (instance, own):
                if event is not None:
                    await _delete(session, event)
        elif instance is None:
            # Somebody deleted it there, or it was called off before: Exchange does not bring it back.
            await _settle(session, invitation, one, own)
        elif own is not None:
            await _delete(session, instance)
            await _settle(session, invitation, one, own)
        else:
            try:
                await _settle_instance(session, invitation, one, instance)
            except _Crossing:
                await _delete(session, instance)
                await _settle(session, invitation, one, None)
    # What the rule does not give, an exception that outlives its series' end, and what was moved ahead and called off.
    off = {one.occurrence_at for one in invitation.overrides if one.starts_at is None}
    for original, instance in instances.items():
        begins = _instant(instance.get("start"))
        is_ahead = begins is not None and begins >= now
        is_over = invitation.until is not None and original > invitation.until
        if now <= original <= until or (is_ahead and (original in off or is_over)):
            await _delete(session, instance)
    keys = {_key(original) for original in wanted}
    for key, event in found.items():
        begins = _instant(event.get("start"))
        if key != "" and key not in keys and (begins is None or begins >= now):
            await _delete(session, event)


async def _settle_instance(
    session: Session, invitation: Invitation, wanted: _Wanted, instance: Mapping[str, Any]
) -> None:
    found: Mapping[str, Any] | None = instance
    for attempt in range(_ATTEMPTS):
        if found is None:
            break
        changes = _changes(found, invitation, wanted)
        if not changes or await _patch(session, found, changes, firmly=attempt == _ATTEMPTS - 1) is not None:
            return
        found = await _get(session, str(found.get("id")))
    raise RemoteUnavailable(f"The event in {VENDOR} changes all the time; it is tried again later.")


def _occurrences(invitation: Invitation, rule: Rule, now: datetime, until: datetime) -> dict[datetime, _Wanted | None]:
    """The occurrences from now on, and those of before that were moved, by where they originally start; None for one
    that does not take place."""
    zone = actions.zone_named(invitation.timezone)
    last = until if invitation.until is None else min(until, invitation.until)
    found: dict[datetime, _Wanted | None] = {}
    for wall in starts_of(rule, invitation.first_local, wall_of(last, zone)):
        original = instant_of(wall, zone)
        if now <= original <= last:
            one = Override(original, original, invitation.duration_minutes, invitation.title)
            found[original] = _wanted(one)
    for one in invitation.overrides:
        if one.occurrence_at in found or (one.starts_at is not None and now <= one.starts_at):
            found[one.occurrence_at] = _wanted(one)
    return found


def _wanted(one: Override) -> _Wanted | None:
    if one.starts_at is None:
        return None
    return _Wanted(_key(one.occurrence_at), one.title, one.starts_at, one.duration_minutes)


def _key(original: datetime) -> str:
    return f"{original.astimezone(UTC):%Y%m%dT%H%M%SZ}"


async def _instances(
    session: Session, master_id: str, start: datetime, end: datetime
) -> dict[datetime, Mapping[str, Any]]:
    """The occurrences and exceptions of a series between two times, by where they originally start."""
    found: dict[datetime, Mapping[str, Any]] = {}
    link: str | None = f"{_path(master_id)}/instances"
    params: Mapping[str, Any] | None = window(start, end) | {"$select": _FIELDS, "$top": INSTANCES_SIZE}
    while link is not None:
        answer = await _read(session, link, params)
        for one in read_list(answer, "value", VENDOR):
            if not isinstance(one, dict) or read_text(one, "id") is None or one.get("isCancelled") is True:
                continue
            original = _moment(one.get("originalStart")) or _instant(one.get("start"))
            if original is not None:
                found[original] = one
        following = read_text(answer, "@odata.nextLink")
        link, params = None if following is None else relative(following), None
    return found


async def _read(session: Session, path: str, params: Mapping[str, Any] | None) -> Mapping[str, Any]:
    response = await session.request(
        "GET", path, params=params, headers={"prefer": IN_UTC}, expected=(_FORBIDDEN, _NOT_THERE)
    )
    if response.status_code == _NOT_THERE:
        require_mailbox(response)
        raise RemoteUnavailable(f"The event in {VENDOR} went while it was looked at; it is tried again later.")
    _require_done(response)
    return read_object(response, VENDOR)


async def _get(session: Session, event_id: str) -> Mapping[str, Any] | None:
    """An event as it now is; None if it is gone."""
    response = await session.request(
        "GET",
        _path(event_id),
        params={"$select": _FIELDS},
        headers={"prefer": IN_UTC},
        expected=(_FORBIDDEN, _NOT_THERE),
    )
    if response.status_code == _NOT_THERE:
        require_mailbox(response)
        return None
    _require_done(response)
    return read_object(response, VENDOR)


async def _patch(
    session: Session, found: Mapping[str, Any], changes: Mapping[str, Any], *, firmly: bool
) -> Mapping[str, Any] | None:
    """Change an event, unless `firmly` only if it is as it was found; None if it is not, or is gone.

    Raises:
        _Crossing: it is an occurrence, and another one is in the way.
    """
    etag = None if firmly else read_text(found, "@odata.etag")
    response = await session.request(
        "PATCH",
        _path(str(found.get("id"))),
        json=changes,
        headers={"prefer": IN_UTC} | ({} if etag is None else {"if-match": etag}),
        expected=(400, _FORBIDDEN, _NOT_THERE, _CHANGED),
    )
    if response.status_code == _CHANGED:
        return None
    if response.status_code == _NOT_THERE:
        require_mailbox(response)
        return None
    if response.status_code == 400 and _CROSSING in codes_of(response):
        raise _Crossing
    _require_done(response)
    return read_object(response, VENDOR)


async def _delete(session: Session, event: Mapping[str, Any]) -> None:
    response = await session.request("DELETE", _path(str(event.get("id"))), expected=(_FORBIDDEN, _NOT_THERE))
    if response.status_code == _NOT_THERE:
        require_mailbox(response)
        return
    _require_done(response)


def _require_done(response: httpx.Response) -> None:
    """Tell what a refusal means.

    Raises:
        SignInNeeded: the permission is missing.
        RemoteRefused: it is refused for another reason.
    """
    if response.status_code < 400:
        return
    if response.status_code == _FORBIDDEN and codes_of(response) & _NOT_ALLOWED:
        raise _not_allowed()
    raise refusal(response)


def _not_allowed() -> SignInNeeded:
    return SignInNeeded(
        f"The permission to write to the calendar was not given: sign in to {VENDOR} again and agree to it; an "
        "administrator may have to."
    )


def _path(event_id: str) -> str:
    return f"{EVENTS}/{quote(event_id, safe='')}"


def _body(invitation: Invitation, wanted: _Wanted) -> dict[str, Any]:
    """An event to be made: neither agenda nor notes."""
    row = invitation.row
    name = row.uid.partition("@")[0]
    # One that was delivered, and is gone now, somebody deleted: Graph may not take the same transaction again.
    transaction = f"{name}.{wanted.key or 'whole'}.{row.delivered_sequence + 1}"
    if row.attempts >= _PATIENCE:
        transaction = f"{transaction}.{row.attempts}"
    return {
        **_told(invitation, wanted),
        "attendees": _guests(invitation),
        "transactionId": transaction,
        "singleValueExtendedProperties": [
            {"id": MARK, "value": f"{name}/{wanted.key}" if wanted.key else name},
        ],
    }


def _told(invitation: Invitation, wanted: _Wanted) -> dict[str, Any]:
    body = {
        "subject": wanted.title,
        "sensitivity": "private",
        "isAllDay": False,
        "start": _when(invitation, wanted.starts_at),
        "end": _when(invitation, wanted.starts_at + timedelta(minutes=wanted.minutes)),
    }
    if wanted.recurrence is not None:
        body["recurrence"] = wanted.recurrence
    return body


def _when(invitation: Invitation, instant: datetime) -> dict[str, str]:
    wall = wall_of(instant, actions.zone_named(invitation.timezone))
    return {"dateTime": wall.isoformat(timespec="seconds"), "timeZone": zone_name_of(invitation.timezone)}


def _guests(invitation: Invitation) -> list[dict[str, Any]]:
    return [
        {"type": "required", "emailAddress": {"address": one.email, "name": one.name}}
        for one in invitation.guests
        if not one.email.endswith(NOBODYS)
    ]


def _changes(found: Mapping[str, Any], invitation: Invitation, wanted: _Wanted) -> dict[str, Any]:
    """What has to be written for an event to be as it should; nothing if it is."""
    told = _told(invitation, wanted)
    changes = {name: told[name] for name in ("subject", "sensitivity", "isAllDay") if found.get(name) != told[name]}
    ends_at = wanted.starts_at + timedelta(minutes=wanted.minutes)
    times = {"start", "end", "recurrence"} & set(told)
    stands = (_instant(found.get("start")), _instant(found.get("end"))) == (wanted.starts_at, ends_at)
    if wanted.recurrence is not None:
        stands = (
            stands
            and is_same_recurrence(found.get("recurrence"), wanted.recurrence)
            and is_same_zone(str(found.get("originalStartTimeZone")), invitation.timezone)
        )
    if not stands or "isAllDay" in changes:
        changes |= {name: told[name] for name in times}
    there, invited = _answers(found), _guests(invitation)
    if there.keys() != {one["emailAddress"]["address"].lower() for one in invited}:
        changes["attendees"] = [there.get(one["emailAddress"]["address"].lower(), one) for one in invited]
    return changes


def _answers(found: Mapping[str, Any]) -> dict[str, Any]:
    """The guests of an event with their answers, by lower-case address; who organizes it is no guest."""
    organizer = _address(found.get("organizer"))
    attendees = found.get("attendees")
    people = {_address(one): one for one in (attendees if isinstance(attendees, list) else ())}
    return {address: one for address, one in people.items() if address is not None and address != organizer}


def _address(person: Any) -> str | None:
    email = person.get("emailAddress") if isinstance(person, dict) else None
    address = email.get("address") if isinstance(email, dict) else None
    return address.strip().lower() or None if isinstance(address, str) else None


def _instant(when: Any) -> datetime | None:
    """A moment that Graph tells in UTC, as it was asked to."""
    return _moment(when.get("dateTime")) if isinstance(when, dict) else None


def _moment(text: Any) -> datetime | None:
    try:
        instant = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    if instant is None:
        return None
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)
