"""Microsoft Graph v1.0, as far as calendars are read.

Written from Microsoft's documentation of Graph: "event: delta" (parameters, `@removed`, also of what lies outside of
the view), "Get incremental changes to events in a calendar view" (links and their tokens), "Use delta query to track
changes" (410 with a Location, `syncStateNotFound`, replays), "List instances", "Get event" (the time zone preferred),
"Get calendar", "event resource type" (an iCalUId for each occurrence), "Use query parameters" ($select, $top),
"Microsoft Graph error responses and resource types", "Service-specific throttling limits" (10,000 requests in 10
minutes an app and mailbox) and "Throttling guidance" (429, Retry-After); and from "Microsoft identity platform and
OAuth 2.0 authorization code flow" and "Refresh tokens" (each refresh brings another refresh token, the old one goes on
working).

Beyond the documentation, as developers report in its issues: deltas bring occurrences with `id`, `seriesMasterId`,
`type`, `start` and `end` alone (issue 7632); a series that changed comes whole, on one page, and a deleted occurrence
not at all (pull request 4501); the code of a token that is gone is `SyncStateNotFound` (issue 2350); a view may span
1,825 days.
"""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from domain.meetings import external_id, occurrence_key
from tests.doubles.base import Double
from tests.doubles.tokens import Tokens

LONGEST_VIEW = timedelta(days=1825)
_UNSUPPORTED_IN_DELTA = ("$select", "$expand", "$filter", "$orderby", "$search", "$top")


@dataclass(frozen=True, slots=True)
class Event:
    """An event in the calendar.

    Args:
        id: Microsoft's id.
        start: When it starts.
        end: When it ends.
        created: When it was made.
        subject: Its title.
        attendees: Who is invited, as the API tells it.
        organizer: Who invites.
        is_cancelled: Its organizer has cancelled it; it still stands in the calendar.
        is_all_day: It has days, not times.
        step: How far its occurrences are apart; None for one that does not recur.
        count: How many there are.
        exceptions: Occurrences that were changed, by their original start.
        deleted: The original starts of occurrences that are gone.
        changed: The place of its last change among all changes.
        spoiled: It tells no time.
    """

    id: str
    start: datetime
    end: datetime
    created: datetime
    subject: str
    attendees: tuple[Mapping[str, Any], ...]
    organizer: str
    is_cancelled: bool = False
    is_all_day: bool = False
    step: timedelta | None = None
    count: int = 1
    exceptions: Mapping[datetime, Event] = field(default_factory=dict)
    deleted: frozenset[datetime] = frozenset()
    changed: int = 0
    spoiled: bool = False

    @property
    def uid(self) -> str:
        return f"040000008200E00074C5B7101A82E008{self.id.encode().hex().upper()}"


@dataclass(frozen=True, slots=True)
class _Token:
    """What a token in a link stands for.

    Args:
        start: The view's beginning.
        end: The view's end.
        sequence: Up to which change it has been told.
        before: What the sequence was a round earlier, for replays.
        left: What is still to be given in the round; None if it is for the next round.
    """

    start: datetime
    end: datetime
    sequence: int
    before: int
    left: tuple[list[dict[str, Any]], ...] | None


class _Refused(Exception):
    def __init__(self, response: Response) -> None:
        super().__init__()
        self.response = response


class Microsoft365Double(Double):
    """The default calendar of the first of `people`."""

    kind = "microsoft365"
    token_paths = frozenset({"/common/oauth2/v2.0/token"})

    def __init__(self) -> None:
        self.events: dict[str, Event] = {}
        self.gone: dict[str, int] = {}
        self.sequence = 0
        self.clock: Callable[[], datetime] = lambda: datetime.now(UTC)
        self.granted = {"Calendars.Read"}
        self.requests_in_ten_minutes = 10_000
        self.page_limit = 1000
        self.replays = False
        self.expired_status = 410
        self.has_mailbox = True
        self.tokens = Tokens(
            "Calendars.Read",
            rotates=True,
            refused=lambda error: {
                "error": error,
                "error_description": "AADSTS700082: The refresh token has expired due to inactivity.",
                "error_codes": [700082],
            },
        )
        self._external: dict[str, str] = {}
        self._links: dict[str, _Token] = {}
        self._spent: deque[float] = deque()
        super().__init__()
        self.secrets = self.tokens.secrets()

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/common/oauth2/v2.0/token", self.tokens.endpoint, methods=["POST"]),
            Route("/v1.0/me", self._guarded(self._me, "User.Read")),
            Route("/v1.0/me/calendar", self._guarded(self._calendar, "Calendars.Read")),
            Route("/v1.0/me/calendarView/delta", self._guarded(self._delta, "Calendars.Read")),
            Route("/v1.0/me/events/{event}", self._guarded(self._get, "Calendars.Read")),
            Route("/v1.0/me/events/{event}/instances", self._guarded(self._instances, "Calendars.Read")),
        ]

    # What tests do to the calendar.

    def add(self, count: int) -> list[str]:
        now = self.clock()
        today = now.replace(hour=10, minute=0, second=0, microsecond=0)
        found = []
        for number in range(count):
            start = today + timedelta(days=number % 30 - 15, minutes=30 * (number // 30 % 16))
            event_id = self.put_event(start, created=min(start, now) - timedelta(days=2), subject=f"Demo {number}")
            found.append(self.events[event_id].uid)
        return found

    def change(self, external_id: str) -> None:
        event = self.events[self._external[external_id]]
        self.put(replace(event, subject=f"{event.subject} (changed)"))

    def remove(self, external_id: str) -> None:
        self.delete(self._external[external_id])

    def spoil(self, external_id: str) -> None:
        self.put(replace(self.events[self._external[external_id]], spoiled=True))

    def mend(self, external_id: str) -> None:
        self.put(replace(self.events[self._external[external_id]], spoiled=False))

    def put_event(
        self,
        start: datetime,
        *,
        minutes: int = 30,
        created: datetime | None = None,
        subject: str = "Demo",
        guests: Iterable[str] = ("ann@customer.test",),
        attendees: Iterable[Mapping[str, Any]] = (),
        organizer: str | None = None,
        is_all_day: bool = False,
        step: timedelta | None = None,
        count: int = 1,
    ) -> str:
        """Make an event, or a series; its id."""
        with self.lock:
            event_id = f"AAMkAD{self.sequence:05d}-_A="
            invited = [attendee(guest, "none") for guest in guests]
            self.put(
                Event(
                    id=event_id,
                    start=start,
                    end=start + timedelta(minutes=minutes),
                    created=created or self.clock() - timedelta(days=2),
                    subject=subject,
                    attendees=(*invited, *attendees),
                    organizer=organizer or self.people[0],
                    is_all_day=is_all_day,
                    step=step,
                    count=count,
                )
            )
            event = self.events[event_id]
            for original in _originals(event) if step is not None else (None,):
                key = None if original is None else occurrence_key(original)
                self._external[external_id(event.uid, key)] = event_id
            return event_id

    def put(self, event: Event) -> None:
        """Keep an event as it now is."""
        with self.lock:
            self.sequence += 1
            self.events[event.id] = replace(event, changed=self.sequence)

    def delete(self, event_id: str) -> None:
        """Delete an event; of a series, all of it."""
        with self.lock:
            event = self.events.pop(event_id)
            self.sequence += 1
            for gone in [event_id, *(_occurrence_id(event, one) for one in _originals(event) if event.step)]:
                self.gone[gone] = self.sequence

    def put_exception(self, event_id: str, original: datetime, **changes: Any) -> None:
        """Change one occurrence of a series."""
        event = self.events[event_id]
        self.put(replace(event, exceptions={**event.exceptions, original: replace(_at(event, original), **changes)}))

    def delete_occurrence(self, event_id: str, original: datetime) -> None:
        """Delete one occurrence of a series."""
        event = self.events[event_id]
        self.put(replace(event, deleted=event.deleted | {original}))

    def expire_links(self) -> None:
        """Microsoft Graph forgets all links that it gave."""
        self._links.clear()

    def token_ended(self, request: Request) -> Response:
        return _error(401, "InvalidAuthenticationToken", "Lifetime validation failed, the token is expired.")

    # The API.

    def _guarded(self, answer: Callable[[Request], dict[str, Any]], scope: str) -> Callable[[Request], Response]:
        def endpoint(request: Request) -> Response:
            with self.lock:
                if not self.tokens.accepts(request):
                    return self.token_ended(request)
                if scope not in self.granted:
                    return _error(403, "Authorization_RequestDenied", "Insufficient privileges.")
                if self._exceeds_limit():
                    response = _error(429, "ApplicationThrottled", "Application is over its request limit.")
                    response.headers["retry-after"] = "10"
                    return response
                if not self.has_mailbox:
                    message = "The mailbox is either inactive, soft-deleted, or is hosted on-premise."
                    return _error(404, "MailboxNotEnabledForRESTAPI", message)
                try:
                    return JSONResponse(answer(request))
                except _Refused as refusal:
                    return refusal.response

        return endpoint

    def _exceeds_limit(self) -> bool:
        now = time.monotonic()
        while self._spent and now - self._spent[0] >= 600:
            self._spent.popleft()
        if len(self._spent) >= self.requests_in_ten_minutes:
            return True
        self._spent.append(now)
        return False

    def _me(self, _request: Request) -> dict[str, Any]:
        return {"id": "1", "mail": self.people[0], "userPrincipalName": self.people[0]}

    def _calendar(self, request: Request) -> dict[str, Any]:
        calendar = {
            "id": "AAMkAGI2TGuLAAA=",
            "name": "Calendar",
            "isDefaultCalendar": True,
            "canEdit": True,
            "owner": {"name": "Rep", "address": self.people[0]},
        }
        return _projected(calendar, request)

    def _delta(self, request: Request) -> dict[str, Any]:
        query = dict(request.query_params)
        size = _page_size(request)
        if token := query.get("$skiptoken") or query.get("$deltatoken"):
            known = self._links.get(token)
            if known is None:
                raise _Refused(self._expired())
            if known.left is None:
                since = known.before if self.replays else known.sequence
                known = self._round(known.start, known.end, since, known.sequence)
        else:
            for name in _UNSUPPORTED_IN_DELTA:
                if name in query:
                    _refuse(400, "ErrorInvalidUrlQuery", f"{name} is not supported with change tracking.")
            start, end = _checked_view(query)
            known = self._round(start, end, None, 0)
        return self._page(known, size)

    def _page(self, token: _Token, size: int) -> dict[str, Any]:
        left = list(token.left or ())
        value: list[dict[str, Any]] = []
        # What belongs together is not parted, though a page is longer for it.
        while left and (not value or len(value) + len(left[0]) <= size):
            value += left.pop(0)
        answer: dict[str, Any] = {"@odata.context": f"{self.base_url}/v1.0/$metadata#Collection(event)", "value": value}
        name = f"R0us{len(self._links)}"
        path = f"{self.base_url}/v1.0/me/calendarView/delta"
        if left:
            self._links[name] = replace(token, left=tuple(left))
            return answer | {"@odata.nextLink": f"{path}?$skiptoken={name}"}
        self._links[name] = replace(token, left=None)
        return answer | {"@odata.deltaLink": f"{path}?$deltatoken={name}"}

    def _round(self, start: datetime, end: datetime, since: int | None, before: int) -> _Token:
        """Everything in a view, or what has changed since a place among the changes."""
        lots: list[list[dict[str, Any]]] = []
        for event in self.events.values():
            if since is not None and event.changed <= since:
                continue
            lot = self._in_view(event, start, end)
            if lot or since is None:
                lots.append(lot)
            else:
                lots.append([_removed(event.id)])
        if since is not None:
            lots += [[_removed(gone)] for gone, changed in self.gone.items() if changed > since]
        return _Token(start, end, self.sequence, before, tuple(lot for lot in lots if lot))

    def _in_view(self, event: Event, start: datetime, end: datetime) -> list[dict[str, Any]]:
        if event.step is None:
            return [self._resource(event)] if event.end > start and event.start < end else []
        lot = []
        for original in _originals(event):
            one = _at(event, original)
            if original in event.deleted or one.end <= start or one.start >= end:
                continue
            whole = self._resource(one, event, original)
            if whole["type"] == "occurrence":
                told = ("@odata.type", "@odata.etag", "id", "seriesMasterId", "type", "start", "end")
                whole = {name: whole[name] for name in told}
            lot.append(whole)
        return [self._resource(event), *lot] if lot else []

    def _get(self, request: Request) -> dict[str, Any]:
        return _projected(self._resource(self._found(request)), request)

    def _instances(self, request: Request) -> dict[str, Any]:
        query = dict(request.query_params)
        event = self._found(request)
        start, end = _checked_view(query)
        if not query.get("$top", "10").isdigit() or not 1 <= int(query.get("$top", "10")) <= 1000:
            _refuse(400, "ErrorInvalidUrlQueryOption", "$top is from 1 to 1000.")
        found = []
        for original in _originals(event) if event.step is not None else ():
            one = _at(event, original)
            if original not in event.deleted and one.end > start and one.start < end:
                found.append(_projected(self._resource(one, event, original), request))
        begin, size = int(query.get("$skip", "0")), min(int(query.get("$top", "10")), self.page_limit)
        answer: dict[str, Any] = {"value": found[begin : begin + size]}
        if begin + size < len(found):
            following = urlencode({**query, "$skip": begin + size}, safe="$")
            answer["@odata.nextLink"] = f"{self.base_url}{request.scope['raw_path'].decode()}?{following}"
        return answer

    def _found(self, request: Request) -> Event:
        event = self.events.get(request.path_params["event"])
        if event is None:
            _refuse(404, "ErrorItemNotFound", "The specified object was not found in the store.")
        return event

    def _expired(self) -> Response:
        message = "The sync state generation is not found; generation=149;[highest=157][157][155][156]."
        response = _error(self.expired_status, "SyncStateNotFound", message)
        if self.expired_status == 410:
            response.headers["location"] = f"{self.base_url}/v1.0/me/calendarView/delta?$deltatoken="
        return response

    def _resource(self, event: Event, master: Event | None = None, original: datetime | None = None) -> dict[str, Any]:
        """An event as the API shows it, if times are preferred in UTC."""
        event_id, uid, kind = event.id, event.uid, "singleInstance" if event.step is None else "seriesMaster"
        if master is not None and original is not None:
            event_id = _occurrence_id(master, original)
            uid = f"{master.uid}{original.astimezone(UTC):%Y%m%d}"
            kind = "exception" if original in master.exceptions else "occurrence"
        return {
            "@odata.type": "#microsoft.graph.event",
            "@odata.etag": f'W/"{event.changed}"',
            "id": event_id,
            "createdDateTime": _iso(event.created),
            "lastModifiedDateTime": _iso(event.created),
            "changeKey": str(event.changed),
            "iCalUId": uid,
            "subject": event.subject,
            "bodyPreview": "Dial in: 1234.",
            "body": {"contentType": "html", "content": "<html>Dial in: 1234. Between us: they pay late.</html>"},
            "isAllDay": event.is_all_day,
            "isCancelled": event.is_cancelled,
            "isOrganizer": event.organizer == self.people[0],
            "responseRequested": True,
            "seriesMasterId": None if master is None else master.id,
            "showAs": "busy",
            "type": kind,
            "webLink": "https://outlook.office365.com/owa/?itemid=1",
            "originalStart": None if original is None else _iso(original),
            "originalStartTimeZone": "W. Europe Standard Time",
            "recurrence": None if event.step is None else {"pattern": {"type": "daily", "interval": event.step.days}},
            "responseStatus": {"response": "organizer", "time": "0001-01-01T00:00:00Z"},
            "start": {"dateTime": "soon", "timeZone": "UTC"} if event.spoiled else _when(event.start),
            "end": _when(event.end),
            "location": {"displayName": "Room 1"},
            "attendees": [dict(one) for one in event.attendees],
            "organizer": {"emailAddress": {"name": "Somebody", "address": event.organizer}},
        }


def attendee(email: str, response: str, kind: str = "required") -> dict[str, Any]:
    """An attendee as the API tells it."""
    return {
        "type": kind,
        "status": {"response": response, "time": "0001-01-01T00:00:00Z"},
        "emailAddress": {"name": email.partition("@")[0], "address": email},
    }


def _originals(event: Event) -> list[datetime]:
    step = event.step or timedelta()
    return [event.start + number * step for number in range(event.count)]


def _at(event: Event, original: datetime) -> Event:
    """An occurrence of a series."""
    if original in event.exceptions:
        return event.exceptions[original]
    return replace(event, start=original, end=original + (event.end - event.start), step=None, exceptions={})


def _occurrence_id(event: Event, original: datetime) -> str:
    return f"{event.id.removesuffix('=')}Occ{original.astimezone(UTC):%Y%m%d%H%M}="


def _removed(event_id: str) -> dict[str, Any]:
    return {"@odata.type": "#microsoft.graph.event", "id": event_id, "@removed": {"reason": "deleted"}}


def _iso(instant: datetime) -> str:
    return f"{instant.astimezone(UTC):%Y-%m-%dT%H:%M:%S}Z"


def _when(instant: datetime) -> dict[str, str]:
    return {"dateTime": f"{instant.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.0000000", "timeZone": "UTC"}


def _page_size(request: Request) -> int:
    prefer = request.headers.get("prefer", "")
    if "outlook.timezone" in prefer and 'outlook.timezone="UTC"' not in prefer:
        _refuse(400, "ErrorInvalidTimeZone", "This double knows UTC alone.")
    asked = re.search(r"odata\.maxpagesize=(\d+)", prefer)
    return int(asked[1]) if asked else 10


def _checked_view(query: Mapping[str, str]) -> tuple[datetime, datetime]:
    given = {name.lower(): value for name, value in query.items()}
    found = []
    for name in ("startdatetime", "enddatetime"):
        if name not in given:
            _refuse(400, "ErrorInvalidParameter", f"This request requires a time window; {name} is missing.")
        try:
            instant = datetime.fromisoformat(given[name])
        except ValueError:
            _refuse(400, "ErrorInvalidParameter", f"The value {given[name]!r} of {name} is invalid.")
        found.append(instant if instant.tzinfo else instant.replace(tzinfo=UTC))
    start, end = found
    if end <= start:
        _refuse(400, "ErrorInvalidRequest", "Your request can't be completed. The end is not after the start.")
    if end - start > LONGEST_VIEW:
        message = (
            "The range between the start and end dates is greater than the allowed range. Maximum number of days: 1825"
        )
        _refuse(400, "ErrorInvalidRequest", f"Your request can't be completed. {message}")
    return start, end


def _projected(resource: dict[str, Any], request: Request) -> dict[str, Any]:
    selected = request.query_params.get("$select")
    if selected is None:
        return resource
    names = selected.split(",")
    for name in names:
        if name not in resource:
            _refuse(400, "RequestBroker--ParseUri", f"Could not find a property named {name!r}.")
    return {name: value for name, value in resource.items() if name in names or name in ("@odata.etag", "id")}


def _refuse(status: int, code: str, message: str) -> Any:
    raise _Refused(_error(status, code, message))


def _error(status: int, code: str, message: str) -> Response:
    inner = {"request-id": "1137f277-eab4-4b9b-bb13-2ceb880bffcb", "date": "2026-01-01T00:00:00"}
    return JSONResponse({"error": {"code": code, "message": message, "innerError": inner}}, status)
