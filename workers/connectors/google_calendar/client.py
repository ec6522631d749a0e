"""What is asked of the Google Calendar API v3, and what its errors mean."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

import httpx

from domain.connectors import CursorExpired, RateLimited, RemoteRefused, RemoteUnavailable, SignInNeeded
from workers.connectors.base import Session
from workers.connectors.calendars import read_error, read_list, read_object, read_text

VENDOR: Final = "Google Calendar"
PRIMARY: Final = "/calendar/v3/calendars/primary"
EVENTS: Final = f"{PRIMARY}/events"

LIST_SIZE: Final = 250
INSTANCES_SIZE: Final = 500

RATE_LIMIT_SECONDS: Final = 60.0
"""How long to wait where Google does not tell: its quotas are counted a minute."""

_TIME = "(date,dateTime,timeZone)"
EVENT_FIELDS: Final = (
    "id,iCalUID,status,eventType,created,summary,creator(email,self),organizer(email,self),"
    f"attendees(email,self,resource,responseStatus),start{_TIME},end{_TIME},recurrence,recurringEventId,"
    f"originalStartTime{_TIME}"
)
"""All that a meeting is made of; nothing else is fetched, and so nothing else is kept."""

_NOT_OF_INSTANCES = frozenset({"id", "recurrence", "recurringEventId"})
_LIMITS = frozenset({"rateLimitExceeded", "userRateLimitExceeded", "quotaExceeded", "dailyLimitExceeded"})
_NO_SCOPE = frozenset({"insufficientPermissions", "ACCESS_TOKEN_SCOPE_INSUFFICIENT"})


@dataclass(frozen=True, slots=True)
class EventsPage:
    """A page of events, as Google gave them.

    Args:
        items: The events; not yet looked at.
        next_page: The token of the next page, if there is one.
        next_sync: The token of the next sync, on the last page.
    """

    items: Sequence[Any]
    next_page: str | None
    next_sync: str | None


async def primary_id(session: Session) -> str:
    """The id of the primary calendar: the address of whose it is.

    Raises:
        SyncProblem: it cannot be had.
    """
    email = read_text(read_object(await _get(session, PRIMARY, {"fields": "id"}), VENDOR), "id")
    if email is None:
        raise RemoteUnavailable("Google Calendar did not tell whose calendar it is; it is tried again later.")
    return email


async def may_read_events(session: Session) -> None:
    """Ask for one event.

    Raises:
        SyncProblem: it is not given; SignInNeeded if the permission is missing.
    """
    await _get(session, EVENTS, {"maxResults": 1, "fields": "kind"})


async def list_events(session: Session, since: datetime, sync: str | None, page: str | None) -> EventsPage:
    """A page of everything since a time, or of what has changed since a sync token.

    Raises:
        CursorExpired: Google does not know the tokens any more.
        SyncProblem: for other reasons it cannot be had now.
    """
    params: dict[str, Any] = {
        "maxResults": LIST_SIZE,
        "showDeleted": "true",
        "singleEvents": "false",
        "fields": f"nextPageToken,nextSyncToken,items({EVENT_FIELDS})",
    }
    if sync is None:
        params["timeMin"] = _rfc3339(since)
    else:
        params["syncToken"] = sync
    if page is not None:
        params["pageToken"] = page
    response = await session.request("GET", EVENTS, params=params, expected=(400, 403, 410))
    # Page tokens go bad too, and are then answered with 400.
    if response.status_code == 410 or (response.status_code == 400 and (sync is not None or page is not None)):
        raise CursorExpired("Google Calendar asks for a full listing, as it does from time to time.")
    raise_for(response)
    answer = read_object(response, VENDOR)
    found = EventsPage(
        items=read_list(answer, "items", VENDOR),
        next_page=read_text(answer, "nextPageToken"),
        next_sync=read_text(answer, "nextSyncToken"),
    )
    if found.next_page is None and found.next_sync is None:
        raise RemoteUnavailable("Google Calendar did not tell how to go on after a page; it is tried again later.")
    return found


async def get_series(session: Session, master_id: str, start: datetime, end: datetime) -> Mapping[str, Any] | None:
    """A recurring event with its instances between two times, cancelled ones among them; None if it is deleted. Of an
    instance there is what it does not have from the recurring event.

    Raises:
        SyncProblem: it cannot be had now.
    """
    path = f"{EVENTS}/{quote(master_id, safe='')}"
    response = await _get(session, path, {"fields": EVENT_FIELDS}, expected=(404, 410))
    if response.status_code in (404, 410):
        return None
    master = read_object(response, VENDOR)
    if master.get("status") == "cancelled":
        return None
    instances: list[Any] = []
    page: str | None = None
    while True:
        params: dict[str, Any] = {
            "maxResults": INSTANCES_SIZE,
            "showDeleted": "true",
            "timeMin": _rfc3339(start),
            "timeMax": _rfc3339(end),
            "fields": f"nextPageToken,items({EVENT_FIELDS})",
        }
        if page is not None:
            params["pageToken"] = page
        response = await _get(session, f"{path}/instances", params, expected=(404, 410))
        if response.status_code in (404, 410):
            return None
        answer = read_object(response, VENDOR)
        instances.extend(_differences(item, master) for item in read_list(answer, "items", VENDOR))
        page = read_text(answer, "nextPageToken")
        if page is None:
            return {"master": master, "instances": instances}


def _differences(instance: Any, master: Mapping[str, Any]) -> Any:
    if not isinstance(instance, dict):
        return instance
    # What Google leaves out is empty, whatever the master has there.
    names = sorted({*master, *instance} - _NOT_OF_INSTANCES)
    return {name: instance.get(name) for name in names if instance.get(name) != master.get(name)}


async def _get(
    session: Session, path: str, params: Mapping[str, Any], expected: tuple[int, ...] = ()
) -> httpx.Response:
    response = await session.request("GET", path, params=params, expected=(403, *expected))
    if response.status_code not in expected:
        raise_for(response)
    return response


def raise_for(response: httpx.Response, use: str = "read") -> None:
    """Tell what a 403, or a 400 that no token explains, means.

    Args:
        response: The answer.
        use: What was to be done with the calendar.

    Raises:
        SyncProblem: it is an error.
    """
    if response.status_code < 400:
        return
    error = read_error(response)
    reasons = frozenset(_reasons(error))
    said = str(error.get("message") or f"HTTP {response.status_code}")[:300]
    if reasons & _LIMITS:
        raise RateLimited("Google Calendar asks for patience.", _retry_after(response))
    if reasons & _NO_SCOPE:
        raise SignInNeeded(
            f"The permission to {use} the calendar was not given: connect Google Calendar again and leave it ticked."
        )
    if "accessNotConfigured" in reasons:
        raise RemoteRefused(
            "The Google Calendar API is not switched on for the Google Cloud project of this Sideline: whoever runs it "
            "has to enable it."
        )
    raise RemoteRefused(f"Google Calendar refuses: {said}")


def _reasons(error: Mapping[str, Any]) -> Iterator[str]:
    for key in ("errors", "details"):
        entries = error.get(key)
        for entry in entries if isinstance(entries, list) else ():
            if isinstance(entry, dict) and isinstance(entry.get("reason"), str):
                yield entry["reason"]


def _retry_after(response: httpx.Response) -> float:
    try:
        return max(float(response.headers.get("retry-after", RATE_LIMIT_SECONDS)), 1.0)
    except ValueError:
        return RATE_LIMIT_SECONDS


def _rfc3339(instant: datetime) -> str:
    return instant.isoformat(timespec="seconds").replace("+00:00", "Z")
