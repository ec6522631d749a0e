"""Microsoft Graph v1.0, as far as calendars are read, and events of the default calendar written.

Written from Microsoft's documentation of Graph: "event: delta" (parameters, `@removed`, also of what lies outside of
the view), "Get incremental changes to events in a calendar view" (links and their tokens), "Use delta query to track
changes" (410 with a Location, `syncStateNotFound`, replays), "List instances", "Get event" (the time zone preferred),
"Get calendar", "event resource type" (an iCalUId for each occurrence), "Use query parameters" ($select, $top),
"Microsoft Graph error responses and resource types", "Service-specific throttling limits" (10,000 requests in 10
minutes an app and mailbox) and "Throttling guidance" (429, Retry-After); and from "Microsoft identity platform and
OAuth 2.0 authorization code flow" and "Refresh tokens" (each refresh brings another refresh token, the old one goes on
working). What is written: "Create event" and "event resource type" (`transactionId`, which is told and does not
change; guests are told), "Update event", "Delete event" (an organizer's deletion tells the guests), "recurrencePattern"
and "recurrenceRange", "dateTimeTimeZone" (zones of Windows, and some of IANA's), "Create single-value extended
property" and "Get singleValueLegacyExtendedProperty" ($filter with `startswith`, $expand); of Exchange:
"AbsoluteMonthlyRecurrence" (the last day of a month that is too short).

Beyond the documentation, as developers report in its issues: deltas bring occurrences with `id`, `seriesMasterId`,
`type`, `start` and `end` alone (issue 7632); a series that changed comes whole, on one page, and a deleted occurrence
not at all (pull request 4501); the code of a token that is gone is `SyncStateNotFound` (issue 2350); a view may span
1,825 days; single events and masters come in deltas with their `transactionId` (issue 294 of
microsoft-graph-docs-contrib). No occurrence is moved past or onto another one (`ErrorOccurrenceCrossingBoundary`, as
Riva's support tells of Exchange).

Not documented anywhere, and so both ways here (`taken_again`): what a `transactionId` that was taken before is answered
with, 409 or the event that there is. Also not documented: whether If-Match is heeded (here it is), and what becomes of
exceptions when the times of a series change (here they go, as in Outlook, or with `keeps_exceptions` outlive even its
end).
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
from zoneinfo import ZoneInfo

import orjson
from dateutil.rrule import DAILY, FR, MO, MONTHLY, SA, SU, TH, TU, WE, WEEKLY, YEARLY, rrule
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from domain.meetings import external_id, occurrence_key
from tests.doubles.base import Double
from tests.doubles.tokens import Tokens

LONGEST_VIEW = timedelta(days=1825)
WRITE_SCOPE = "Calendars.ReadWrite"
_ZONES = {
    "UTC": "UTC",
    "Eastern Standard Time": "America/New_York",
    "W. Europe Standard Time": "Europe/Berlin",
    "America/New_York": "America/New_York",
}
_DAYS = {"monday": MO, "tuesday": TU, "wednesday": WE, "thursday": TH, "friday": FR, "saturday": SA, "sunday": SU}
_INDEXES = {"first": 1, "second": 2, "third": 3, "fourth": 4, "last": -1}
_WRITABLE = {
    "subject",
    "sensitivity",
    "isAllDay",
    "start",
    "end",
    "attendees",
    "recurrence",
    "transactionId",
    "singleValueExtendedProperties",
}
_FILTER = re.compile(
    r"singleValueExtendedProperties/Any\(ep: ep/id eq '([^']+)' and startswith\(ep/value, '([^']*)'\)\)"
)
_EXPAND = re.compile(r"singleValueExtendedProperties\(\$filter=id eq '([^']+)'\)")
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
        recurrence: Of one that was written: its pattern and range.
        zone: Whose wall clock it goes by.
        sensitivity: Who sees it.
        transaction_id: What who made it called the making.
        properties: Extended properties, by their ids.
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
    recurrence: Mapping[str, Any] | None = None
    zone: str = "W. Europe Standard Time"
    sensitivity: str = "normal"
    transaction_id: str | None = None
    properties: Mapping[str, str] = field(default_factory=dict)

    @property
    def recurs(self) -> bool:
        return self.step is not None or self.recurrence is not None

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
        self.taken_again = 409
        self.shows_late = 0
        self.keeps_exceptions = False
        self.told: list[tuple[str, str, frozenset[str]]] = []
        self.before_write: Callable[[], None] | None = None
        self._transactions: dict[str, str] = {}
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
            Route("/v1.0/me/events", self._guarded(self._list, "Calendars.Read"), methods=["GET"]),
            Route("/v1.0/me/events", self._written(self._create), methods=["POST"]),
            Route("/v1.0/me/events/{event}", self._guarded(self._get, "Calendars.Read"), methods=["GET"]),
            Route("/v1.0/me/events/{event}", self._written(self._update), methods=["PATCH"]),
            Route("/v1.0/me/events/{event}", self._written(self._remove), methods=["DELETE"]),
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
            for gone in [event_id, *(_occurrence_id(event, one) for one in _originals(event) if event.recurs)]:
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
                if not self.granted & {scope, *([WRITE_SCOPE] if scope == "Calendars.Read" else [])}:
                    if scope == WRITE_SCOPE:
                        return _error(403, "ErrorAccessDenied", "Access is denied. Check credentials and try again.")
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
        if not event.recurs:
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
        event, original = self._found_one(request)
        if original is None:
            return _projected(self._resource(event), request)
        return _projected(self._resource(_at(event, original), event, original), request)

    def _list(self, request: Request) -> dict[str, Any]:
        query = dict(request.query_params)
        asked, expanded = _FILTER.fullmatch(query.get("$filter", "")), _EXPAND.fullmatch(query.get("$expand", ""))
        if asked is None or expanded is None:
            _refuse(400, "ErrorInvalidUrlQueryFilter", "This double filters by the beginning of an extended property.")
        found = []
        for event in self.events.values():
            if not event.properties.get(asked[1], "-").lower().startswith(asked[2].lower()):
                continue
            shown = _projected(self._resource(event), request)
            held = [{"id": name, "value": value} for name, value in event.properties.items() if name == expanded[1]]
            found.append(shown | {"singleValueExtendedProperties": held})
        if self.shows_late:
            self.shows_late -= 1
            found = []
        return self._sliced(request, found)

    # What is written.

    def _written(self, answer: Callable[[Request, dict[str, Any]], tuple[int, dict[str, Any]]]) -> Any:
        async def endpoint(request: Request) -> Response:
            given = orjson.loads(await request.body() or b"{}")
            status = 200

            def write(request: Request) -> dict[str, Any]:
                nonlocal status
                if self.before_write is not None:
                    meanwhile, self.before_write = self.before_write, None
                    meanwhile()
                status, body = answer(request, given)
                return body

            response = self._guarded(write, WRITE_SCOPE)(request)
            if response.status_code == 200:
                response.status_code = status
                if status == 204:
                    return Response(status_code=204)
            return response

        return endpoint

    def _create(self, _request: Request, given: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        transaction = given.get("transactionId")
        if transaction in self._transactions:
            event = self.events.get(self._transactions[transaction])
            if self.taken_again == 409 or event is None:
                _refuse(409, "ErrorDuplicateTransactionId", "The transaction id has been used before.")
            return 201, self._resource(event)
        if not {"start", "end"} <= set(given):
            _refuse(400, "ErrorInvalidRequest", "Start and end are required.")
        now = self.clock()
        event_id = f"AAMkWritten{self.sequence:05d}="
        blank = Event(event_id, now, now, now, "", (), organizer=self.people[0])
        event = replace(
            _with(blank, given),
            transaction_id=transaction,
            properties={one["id"]: one["value"] for one in given.get("singleValueExtendedProperties", ())},
        )
        if transaction is not None:
            self._transactions[transaction] = event_id
        self.put(event)
        self._tell("create", event_id, event)
        return 201, self._resource(self.events[event_id])

    def _update(self, request: Request, given: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        event, original = self._found_one(request)
        self._check_etag(request, event)
        if "transactionId" in given:
            _refuse(400, "ErrorInvalidPropertySet", "transactionId cannot be changed.")
        if original is None:
            changed = _with(event, given)
            if event.recurs and {"start", "recurrence"} & set(given) and not self.keeps_exceptions:
                changed = replace(changed, exceptions={}, deleted=frozenset())
            self.put(changed)
            self._tell("update", event.id, changed)
            return 200, self._resource(self.events[event.id])
        one = _with(_at(event, original), given)
        others = [place for place in _originals(event) if place != original and place not in event.deleted]
        if any(
            _at(event, place).start < one.end if place > original else _at(event, place).end > one.start
            for place in others
        ):
            message = "Modified occurrence is crossing or overlapping adjacent occurrence."
            _refuse(400, "ErrorOccurrenceCrossingBoundary", message)
        self.put(replace(event, exceptions={**event.exceptions, original: one}))
        self._tell("update", request.path_params["event"], one)
        event = self.events[event.id]
        return 200, self._resource(_at(event, original), event, original)

    def _remove(self, request: Request, _given: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        event, original = self._found_one(request)
        self._check_etag(request, event)
        if original is None:
            self.delete(event.id)
        else:
            self.delete_occurrence(event.id, original)
        self._tell("delete", request.path_params["event"], event)
        return 204, {}

    def _check_etag(self, request: Request, event: Event) -> None:
        etag = f'W/"{event.changed}"'
        if request.headers.get("if-match", etag) != etag:
            _refuse(412, "ErrorIrresolvableConflict", "The send or update operation could not be performed.")

    def _tell(self, what: str, event_id: str, event: Event) -> None:
        guests = frozenset(str(one["emailAddress"]["address"]) for one in event.attendees)
        if guests:
            self.told.append((what, event_id, guests))

    def _found_one(self, request: Request) -> tuple[Event, datetime | None]:
        """An event, or a series and where the occurrence of it starts that is asked for."""
        event_id = request.path_params["event"]
        for event in self.events.values():
            if event.recurs and "Occ" in event_id:
                for original in _originals(event):
                    if _occurrence_id(event, original) == event_id and original not in event.deleted:
                        return event, original
        return self._found(request), None

    def _instances(self, request: Request) -> dict[str, Any]:
        query = dict(request.query_params)
        event = self._found(request)
        start, end = _checked_view(query)
        if not query.get("$top", "10").isdigit() or not 1 <= int(query.get("$top", "10")) <= 1000:
            _refuse(400, "ErrorInvalidUrlQueryOption", "$top is from 1 to 1000.")
        found = []
        for original in _originals(event) if event.recurs else ():
            one = _at(event, original)
            if original not in event.deleted and one.end > start and one.start < end:
                found.append(_projected(self._resource(one, event, original), request))
        return self._sliced(request, found)

    def _sliced(self, request: Request, found: list[dict[str, Any]]) -> dict[str, Any]:
        query = dict(request.query_params)
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
        event_id, uid, kind = event.id, event.uid, "seriesMaster" if event.recurs else "singleInstance"
        if master is not None and original is not None:
            event_id = _occurrence_id(master, original)
            uid = f"{master.uid}{original.astimezone(UTC):%Y%m%d}"
            kind = "exception" if original in master.exceptions else "occurrence"
        return {
            "@odata.type": "#microsoft.graph.event",
            "@odata.etag": f'W/"{(master or event).changed}"',
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
            "recurrence": _recurrence_of(event),
            "sensitivity": event.sensitivity,
            "transactionId": event.transaction_id if master is None else None,
            "originalStartTimeZone": event.zone,
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


def _with(event: Event, given: Mapping[str, Any]) -> Event:
    """An event with what was written of it."""
    if unknown := set(given) - _WRITABLE:
        _refuse(400, "RequestBodyRead", f"This double does not write {sorted(unknown)}.")
    changes: dict[str, Any] = {}
    for name in ("start", "end"):
        if name in given:
            zone = given[name].get("timeZone")
            if zone not in _ZONES:
                _refuse(
                    400, "TimeZoneNotSupportedException", f"A valid TimeZone value must be specified, not {zone!r}."
                )
            # Whatever the name, Exchange tells Windows' own.
            changes["zone"] = next(one for one, same in _ZONES.items() if same == _ZONES[zone])
            wall = datetime.fromisoformat(given[name]["dateTime"])
            assert wall.tzinfo is None
            changes[name] = wall.replace(tzinfo=ZoneInfo(_ZONES[zone])).astimezone(UTC)
    if "recurrence" in given:
        bounds = given["recurrence"]["range"]
        if bounds["startDate"] != given["start"]["dateTime"][:10]:
            _refuse(400, "ErrorPropertyValidationFailure", "startDate has to be the day of start.")
        changes["recurrence"] = given["recurrence"]
    if "attendees" in given:
        none = {"response": "none", "time": "0001-01-01T00:00:00Z"}
        changes["attendees"] = tuple({"status": none, **one} for one in given["attendees"])
    names = {"subject": "subject", "sensitivity": "sensitivity", "isAllDay": "is_all_day"}
    changes |= {ours: given[name] for name, ours in names.items() if name in given}
    return replace(event, **changes)


def _recurrence_of(event: Event) -> dict[str, Any] | None:
    """A recurrence as Graph tells it: with all that was left out."""
    if event.recurrence is None:
        return None if event.step is None else {"pattern": {"type": "daily", "interval": event.step.days}}
    blank = {"month": 0, "dayOfMonth": 0, "daysOfWeek": [], "firstDayOfWeek": "sunday", "index": "first"}
    bounds = {"endDate": "0001-01-01", "numberOfOccurrences": 0}
    return {
        "pattern": blank | event.recurrence["pattern"],
        "range": bounds | event.recurrence["range"],
    }


def _by_pattern(event: Event) -> list[datetime]:
    """Where the occurrences of a written series originally start, for three years."""
    assert event.recurrence is not None
    pattern, bounds, zone = event.recurrence["pattern"], event.recurrence["range"], ZoneInfo(_ZONES[event.zone])
    first = event.start.astimezone(zone).replace(tzinfo=None)
    kind = pattern["type"]
    days = [_DAYS[day] for day in pattern.get("daysOfWeek", ())]
    given: dict[str, Any] = {"interval": pattern["interval"]}
    if kind == "weekly":
        given |= {"byweekday": days, "wkst": _DAYS[pattern["firstDayOfWeek"]]}
    elif kind.startswith("relative"):
        given |= {"byweekday": days, "bysetpos": _INDEXES[pattern.get("index", "first")]}
    elif kind.startswith("absolute"):
        # A month that is too short has it on its last day.
        given |= {"bymonthday": range(1, pattern["dayOfMonth"] + 1), "bysetpos": -1}
    if kind.endswith("Yearly"):
        given["bymonth"] = pattern["month"]
    often = {"daily": DAILY, "weekly": WEEKLY}.get(kind, YEARLY if kind.endswith("Yearly") else MONTHLY)
    walls = rrule(often, dtstart=first, until=first + timedelta(days=1096), **given)
    return [
        wall.replace(tzinfo=zone).astimezone(UTC)
        for wall in walls
        if bounds["type"] == "noEnd" or wall.date().isoformat() <= bounds["endDate"]
    ]


def _originals(event: Event) -> list[datetime]:
    if event.recurrence is not None:
        return sorted({*_by_pattern(event), *event.exceptions})
    step = event.step or timedelta()
    return [event.start + number * step for number in range(event.count)]


def _at(event: Event, original: datetime) -> Event:
    """An occurrence of a series."""
    if original in event.exceptions:
        return event.exceptions[original]
    return replace(
        event, start=original, end=original + (event.end - event.start), step=None, recurrence=None, exceptions={}
    )


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
