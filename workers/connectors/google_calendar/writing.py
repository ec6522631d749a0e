"""Putting coaching sessions into the primary Google Calendar, and taking them out again.

An event is inserted under an id of ours, which Google takes if it is of the alphabet of base32hex: the UID up to its @
is. So what is put twice is one event (409), and its iCalUID, which Google makes of the id, begins as our UIDs do: the
sync knows it for no meeting. Google's iCalUID is not the UID of our mails, so that Google tells the guests
(`sendUpdates`) and we do not.

Before anything is written what is there is read, and written only if it is other than it should be: a delivery that
runs again tells nobody twice. It is written on the condition that it is as it was read (If-Match). Guests' answers
stay. What somebody has changed by hand is put back: the session stands as Sideline has it.

A series is a recurring event. An occurrence that was moved, or is called otherwise, is an instance that was changed;
one that does not take place, an instance that was deleted.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import quote

import httpx

from domain import actions
from domain.connectors import RemoteUnavailable, SignInNeeded
from domain.plan_invitations import NOBODYS, Invitation, Override
from domain.recurrence import instant_of
from workers.connectors.base import Placed, Session
from workers.connectors.calendars import read_list, read_object, read_text, require_chosen
from workers.connectors.google_calendar.client import EVENTS, LIST_SIZE, VENDOR, raise_for
from workers.connectors.google_calendar.manifest import WRITE_SCOPE

_TELL: Final = {"sendUpdates": "all"}
_NOT_THERE: Final = (404, 410)
_THERE_ALREADY: Final = 409
_CHANGED: Final = 412
_FORBIDDEN: Final = 403
_ATTEMPTS: Final = 4
_FIELDS: Final = (
    "id,etag,status,summary,visibility,start,end,recurrence,recurringEventId,originalStartTime,"
    "attendees(email,displayName,self,organizer,optional,responseStatus,comment,additionalGuests)"
)


def place_of(session: Session, uid: str) -> str:
    """Where the event of a UID lies in a connection's calendar.

    Raises:
        RemoteRefused, SignInNeeded: nowhere: it is for reading alone.
    """
    require_writing(session)
    return event_id_of(uid)


def event_id_of(uid: str) -> str:
    """Google's id of the event of a UID: 5 to 1024 of the characters 0-9 and a-v.

    >>> event_id_of("sidelinecoaching0190c2a4f5d07cf0a1b2c3d4e5f60718@sideline")
    'sidelinecoaching0190c2a4f5d07cf0a1b2c3d4e5f60718'
    """
    return uid.partition("@")[0]


def require_writing(session: Session) -> None:
    """Refuse a connection that is for reading alone.

    Raises:
        RemoteRefused: its owner has not chosen to have invitations written.
        SignInNeeded: they have, but have not given the permission.
    """
    require_chosen(session, VENDOR)
    if WRITE_SCOPE not in session.secrets.get("scope", "").split():
        raise SignInNeeded(
            f"The permission to write to the calendar was not given: sign in to {VENDOR} again and leave it ticked."
        )


async def put_event(session: Session, invitation: Invitation) -> Placed:
    """Bring the event, and of a series its instances, in line with an invitation.

    Raises:
        SyncProblem: it cannot be done now, or at all; RemoteRefused and SignInNeeded where it is for reading alone.
    """
    require_writing(session)
    event_id = event_id_of(invitation.row.uid)
    zone = actions.zone_named(invitation.timezone)
    body = _body(invitation, invitation.title, instant_of(invitation.first_local, zone), invitation.duration_minutes)
    if invitation.rule is not None:
        until = "" if invitation.until is None else f";UNTIL={invitation.until.astimezone(UTC):%Y%m%dT%H%M%SZ}"
        body["recurrence"] = [f"RRULE:{invitation.rule}{until}"]
    etag = await _settle(session, event_id, body)
    if invitation.rule is not None:
        await _settle_instances(session, event_id, invitation)
    return Placed(event_id, etag)


async def remove_event(session: Session, place: str) -> None:
    """Take an event out, and have its guests told; what is gone already is gone.

    Raises:
        SyncProblem: it cannot be done now, or at all.
    """
    require_writing(session)
    response = await session.request("DELETE", _path(place), params=_TELL, expected=(_FORBIDDEN, *_NOT_THERE))
    if response.status_code not in _NOT_THERE:
        raise_for(response, "write to")


async def _settle(session: Session, event_id: str, body: Mapping[str, Any]) -> str | None:
    """Make an event be as it should. Returns its state there."""
    for _ in range(_ATTEMPTS):
        found = await _read(session, event_id)
        if found is None:
            response = await session.request(
                "POST", EVENTS, params=_TELL, json={**body, "id": event_id}, expected=(_FORBIDDEN, _THERE_ALREADY)
            )
            if response.status_code == _THERE_ALREADY:
                continue
        elif _stands(found, body):
            return read_text(found, "etag")
        else:
            response = await _patch(session, event_id, body, found)
            if response.status_code in (*_NOT_THERE, _CHANGED):
                continue
        raise_for(response, "write to")
        return read_text(read_object(response, VENDOR), "etag")
    raise RemoteUnavailable("The event in Google Calendar changes all the time; it is tried again later.")


async def _settle_instances(session: Session, event_id: str, invitation: Invitation) -> None:
    """Make the instances of a series be as they should: those that are not as the series has them, and those that were
    not and now are."""
    changed = await _changed_instances(session, event_id)
    wanted = {one.occurrence_at: one for one in invitation.overrides}
    for original in sorted({*changed, *wanted}):
        if invitation.until is not None and original > invitation.until:
            # What was changed of a series outlives its end.
            if changed[original].get("status") != "cancelled":
                await _delete_instance(session, changed[original])
            continue
        override = wanted.get(original) or Override(original, original, invitation.duration_minutes, invitation.title)
        found = changed.get(original) or await _instance(session, event_id, original)
        if override.starts_at is None:
            if found is not None and found.get("status") != "cancelled":
                await _delete_instance(session, found)
            continue
        for _ in range(_ATTEMPTS):
            if found is None:
                raise RemoteUnavailable(
                    f"Google Calendar knows no occurrence of the series at {original.isoformat()}; it is tried again "
                    "later."
                )
            body = _body(invitation, override.title, override.starts_at, override.duration_minutes)
            if _stands(found, body):
                break
            response = await _patch(session, str(found.get("id")), body, found)
            if response.status_code not in (*_NOT_THERE, _CHANGED):
                raise_for(response, "write to")
                break
            found = await _instance(session, event_id, original)
        else:
            raise RemoteUnavailable("The event in Google Calendar changes all the time; it is tried again later.")


async def _delete_instance(session: Session, instance: Mapping[str, Any]) -> None:
    await remove_event(session, str(instance.get("id")))


async def _patch(session: Session, event_id: str, body: Mapping[str, Any], found: Mapping[str, Any]) -> httpx.Response:
    etag = read_text(found, "etag")
    return await session.request(
        "PATCH",
        _path(event_id),
        params=_TELL,
        json={**body, "attendees": _with_answers(body["attendees"], found)},
        headers={} if etag is None else {"if-match": etag},
        expected=(_FORBIDDEN, *_NOT_THERE, _CHANGED),
    )


async def _read(session: Session, event_id: str) -> Mapping[str, Any] | None:
    """An event, a deleted one too; None if there has never been one."""
    response = await session.request(
        "GET", _path(event_id), params={"fields": _FIELDS}, expected=(_FORBIDDEN, *_NOT_THERE)
    )
    if response.status_code in _NOT_THERE:
        return None
    raise_for(response, "write to")
    return read_object(response, VENDOR)


async def _changed_instances(session: Session, event_id: str) -> dict[datetime, Mapping[str, Any]]:
    """The instances of a series that are not as the series has them, by where they originally start."""
    found: dict[datetime, Mapping[str, Any]] = {}
    page: str | None = None
    while True:
        params = {
            "iCalUID": f"{event_id}@google.com",
            "showDeleted": "true",
            "singleEvents": "false",
            "maxResults": LIST_SIZE,
            "fields": f"nextPageToken,items({_FIELDS})",
        }
        if page is not None:
            params["pageToken"] = page
        response = await session.request("GET", EVENTS, params=params, expected=(_FORBIDDEN,))
        raise_for(response, "write to")
        answer = read_object(response, VENDOR)
        for item in read_list(answer, "items", VENDOR):
            if not isinstance(item, dict) or item.get("recurringEventId") != event_id:
                continue
            original = _instant(item.get("originalStartTime"))
            if original is not None:
                found[original] = item
        page = read_text(answer, "nextPageToken")
        if page is None:
            return found


async def _instance(session: Session, event_id: str, original: datetime) -> Mapping[str, Any] | None:
    """The instance of a series that originally starts at a time; None if there is none."""
    params = {
        "originalStart": original.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "showDeleted": "true",
        "fields": f"items({_FIELDS})",
    }
    response = await session.request(
        "GET", f"{_path(event_id)}/instances", params=params, expected=(_FORBIDDEN, *_NOT_THERE)
    )
    if response.status_code in _NOT_THERE:
        return None
    raise_for(response, "write to")
    for item in read_list(read_object(response, VENDOR), "items", VENDOR):
        if isinstance(item, dict) and _instant(item.get("originalStartTime")) == original and read_text(item, "id"):
            return item
    return None


def _path(event_id: str) -> str:
    return f"{EVENTS}/{quote(event_id, safe='')}"


def _body(invitation: Invitation, title: str, starts_at: datetime, minutes: int) -> dict[str, Any]:
    """What an event tells: neither agenda nor notes."""
    return {
        "status": "confirmed",
        "summary": title,
        "visibility": "private",
        "start": _when(invitation, starts_at),
        "end": _when(invitation, starts_at + timedelta(minutes=minutes)),
        "attendees": [
            {"email": one.email, "displayName": one.name}
            for one in invitation.guests
            if not one.email.endswith(NOBODYS)
        ],
    }


def _when(invitation: Invitation, instant: datetime) -> dict[str, str]:
    local = instant.astimezone(actions.zone_named(invitation.timezone))
    return {"dateTime": local.isoformat(timespec="seconds"), "timeZone": invitation.timezone}


def _stands(found: Mapping[str, Any], body: Mapping[str, Any]) -> bool:
    """Whether an event is as it should be, as far as we say how it should."""
    if any(found.get(name) != body[name] for name in ("status", "summary", "visibility")):
        return False
    if any(_instant(found.get(name)) != _instant(body[name]) for name in ("start", "end")):
        return False
    if "recurrence" in body:
        start = found.get("start")
        if not isinstance(start, dict) or start.get("timeZone") != body["start"]["timeZone"]:
            return False
        if _rules(found.get("recurrence")) != _rules(body["recurrence"]):
            return False
    return {*_answers(found)} == {one["email"].lower() for one in body["attendees"]}


def _rules(recurrence: Any) -> set[frozenset[str]] | None:
    """The lines of a recurrence, whatever the order of their parts."""
    if not isinstance(recurrence, list) or not all(isinstance(line, str) for line in recurrence):
        return None
    return {frozenset(line.removeprefix("RRULE:").split(";")) for line in recurrence}


def _answers(found: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The guests of an event with their answers, by lower-case address; whose calendar it is, is no guest."""
    attendees = found.get("attendees")
    return {
        one["email"].lower(): one
        for one in (attendees if isinstance(attendees, list) else ())
        if isinstance(one, dict) and isinstance(one.get("email"), str) and not one.get("self")
    }


def _with_answers(attendees: list[dict[str, str]], found: Mapping[str, Any]) -> list[dict[str, Any]]:
    answers = _answers(found)
    return [{**answers.get(one["email"].lower(), {}), **one} for one in attendees]


def _instant(when: Any) -> datetime | None:
    text = when.get("dateTime") if isinstance(when, dict) else None
    try:
        instant = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return None if instant is None or instant.tzinfo is None else instant.astimezone(UTC)
