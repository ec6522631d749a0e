"""The Google Calendar API v3, as far as events are read, and written to the primary calendar.

Written from Google's documentation of the Calendar API: "Events" (resource; what is left of cancelled events),
"Events: list" (parameters, and which of them a sync token excludes), "Events: instances", "Events: get",
"Calendars: get", "Synchronize resources efficiently" (sync and page tokens, 410), "Handle API errors" (bodies of
errors), "Usage limits" (403 or 429 beyond 600 requests a minute and user), "Improve performance" (`fields`),
"Events: insert" (ids of one's own: 5 to 1024 of the characters 0-9 and a-v; `sendUpdates`), "Events: patch" (arrays are
replaced), "Events: delete", "Recurring events" (instances that are changed or deleted), "Get specific versions of
resources" (etags, If-Match, 412); and from
"Using OAuth 2.0 for Web Server Applications" (the token endpoint; refresh tokens stay).

Beyond the documentation: a sync token with a parameter that it excludes is answered with the reason
`syncTokenWithRequestRestrictions`, as developers report; a query of a sync that differs from the query that it began
with, of which Google says that its behaviour is undefined, is refused here. The id of an event that was deleted stays
taken (409), as developers report; a patch with `status` "confirmed" brings it back.
"""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import orjson
from dateutil.rrule import rrulestr
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from domain.meetings import external_id, occurrence_key
from tests.doubles.base import Double
from tests.doubles.tokens import Tokens

EVENTS_SCOPE = "https://www.googleapis.com/auth/calendar.events.readonly"
WRITE_SCOPE = "https://www.googleapis.com/auth/calendar.events"
CALENDARS_SCOPE = "https://www.googleapis.com/auth/calendar.calendars.readonly"

_EXCLUDED_BY_SYNC_TOKEN = (
    "iCalUID",
    "orderBy",
    "privateExtendedProperty",
    "q",
    "sharedExtendedProperty",
    "timeMin",
    "timeMax",
    "updatedMin",
)
_LIST_PARAMETERS = {
    *_EXCLUDED_BY_SYNC_TOKEN,
    "alwaysIncludeEmail",
    "eventTypes",
    "fields",
    "maxAttendees",
    "maxResults",
    "pageToken",
    "showDeleted",
    "showHiddenInvitations",
    "singleEvents",
    "syncToken",
    "timeZone",
}
_INSTANCES_PARAMETERS = {
    "alwaysIncludeEmail",
    "fields",
    "maxAttendees",
    "maxResults",
    "originalStart",
    "pageToken",
    "showDeleted",
    "timeMax",
    "timeMin",
    "timeZone",
}
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$")


@dataclass(frozen=True, slots=True)
class Event:
    """An event in the calendar.

    Args:
        id: Google's id.
        start: When it starts.
        end: When it ends.
        created: When it was made.
        summary: Its title.
        attendees: Who is invited, as the API tells it.
        creator: Who booked it.
        organizer: Who invites.
        cancelled: It is deleted.
        all_day: It has days, not times.
        event_type: Its type.
        step: How far its occurrences are apart; None for one that does not recur.
        count: How many there are.
        master_id: Of an instance that was changed: its series.
        original: And where in it.
        changed: The place of its last change among all changes.
        spoiled: It tells no time.
        rule: Of one that was written with a recurrence: its RRULE, without that word.
        zone: Whose wall clock it goes by; the calendar's if None.
        visibility: Who sees it.
    """

    id: str
    start: datetime
    end: datetime
    created: datetime
    summary: str
    attendees: tuple[Mapping[str, Any], ...]
    creator: str
    organizer: str
    cancelled: bool = False
    all_day: bool = False
    event_type: str = "default"
    step: timedelta | None = None
    count: int = 1
    master_id: str | None = None
    original: datetime | None = None
    changed: int = 0
    spoiled: bool = False
    rule: str | None = None
    zone: str | None = None
    visibility: str = "default"

    @property
    def recurs(self) -> bool:
        return self.step is not None or self.rule is not None

    @property
    def uid(self) -> str:
        return f"{self.master_id or self.id}@google.com"


@dataclass(slots=True)
class _Listing:
    """Pages that are under way.

    Args:
        query: What was asked for.
        ids: What is still to be given.
        sequence: The changes up to which the listing goes.
    """

    query: dict[str, str]
    ids: list[str]
    sequence: int


class _Refused(Exception):
    def __init__(self, response: Response) -> None:
        super().__init__()
        self.response = response


class GoogleCalendarDouble(Double):
    """A primary calendar, of the first of `people`."""

    kind = "google_calendar"
    token_paths = frozenset({"/token"})
    zone = ZoneInfo("Europe/Berlin")

    def __init__(self) -> None:
        self.events: dict[str, Event] = {}
        self.sequence = 0
        self.clock: Callable[[], datetime] = lambda: datetime.now(UTC)
        self.granted = {EVENTS_SCOPE, CALENDARS_SCOPE}
        self.requests_a_minute = 600
        self.limit_status = 403
        self.page_limit = 2500
        self.told: list[tuple[str, str, frozenset[str]]] = []
        self.before_write: Callable[[], None] | None = None
        self.tokens = Tokens(
            f"{EVENTS_SCOPE} {CALENDARS_SCOPE}",
            rotates=False,
            refused=lambda error: {"error": error, "error_description": "Token has been expired or revoked."},
        )
        self._external: dict[str, str] = {}
        self._listings: dict[str, _Listing] = {}
        self._sync_tokens: dict[str, tuple[int, dict[str, str]]] = {}
        self._spent: deque[float] = deque()
        super().__init__()
        self.secrets = self.tokens.secrets()

    def routes(self) -> list[BaseRoute]:
        calendar = "/calendar/v3/calendars/{calendar}"
        return [
            Route("/token", self.tokens.endpoint, methods=["POST"]),
            Route(calendar, self._guarded(self._calendar, CALENDARS_SCOPE)),
            Route(f"{calendar}/events", self._guarded(self._list, EVENTS_SCOPE)),
            Route(f"{calendar}/events/{{event}}", self._guarded(self._get, EVENTS_SCOPE)),
            Route(f"{calendar}/events/{{event}}/instances", self._guarded(self._instances, EVENTS_SCOPE)),
            Route(f"{calendar}/events", self._written(self._insert), methods=["POST"]),
            Route(f"{calendar}/events/{{event}}", self._written(self._patch), methods=["PATCH"]),
            Route(f"{calendar}/events/{{event}}", self._written(self._delete), methods=["DELETE"]),
        ]

    # What tests do to the calendar.

    def add(self, count: int) -> list[str]:
        now = self.clock()
        today = now.replace(hour=10, minute=0, second=0, microsecond=0)
        found = []
        for number in range(count):
            start = today + timedelta(days=number % 30 - 15, minutes=30 * (number // 30 % 16))
            event_id = self.put_event(start, created=min(start, now) - timedelta(days=2), summary=f"Demo {number}")
            found.append(self.events[event_id].uid)
        return found

    def change(self, external_id: str) -> None:
        event = self.events[self._external[external_id]]
        self.put(replace(event, summary=f"{event.summary} (changed)", start=event.start, end=event.end))

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
        summary: str = "Demo",
        guests: Iterable[str] = ("ann@customer.test",),
        attendees: Iterable[Mapping[str, Any]] = (),
        creator: str | None = None,
        organizer: str | None = None,
        all_day: bool = False,
        event_type: str = "default",
        step: timedelta | None = None,
        count: int = 1,
    ) -> str:
        """Make an event, or a series; its id."""
        owner = self.people[0]
        with self.lock:
            event_id = f"{len(self.events):05d}event"
            invited = [{"email": owner, "self": True, "organizer": True, "responseStatus": "accepted"}]
            invited += [{"email": guest, "responseStatus": "needsAction"} for guest in guests]
            self.put(
                Event(
                    id=event_id,
                    start=start,
                    end=start + timedelta(minutes=minutes),
                    created=created or self.clock() - timedelta(days=2),
                    summary=summary,
                    attendees=(*invited, *attendees),
                    creator=creator or owner,
                    organizer=organizer or owner,
                    all_day=all_day,
                    event_type=event_type,
                    step=step,
                    count=count,
                )
            )
            for original in self.originals(event_id) if step is not None else (None,):
                key = None if original is None else occurrence_key(original)
                self._external[external_id(self.events[event_id].uid, key)] = event_id
            return event_id

    def put(self, event: Event) -> None:
        """Keep an event as it now is."""
        with self.lock:
            self.sequence += 1
            self.events[event.id] = replace(event, changed=self.sequence)

    def delete(self, event_id: str) -> None:
        """Delete an event; of a series, all of it."""
        with self.lock:
            self.put(replace(self.events[event_id], cancelled=True))

    def originals(self, event_id: str) -> list[datetime]:
        """Where the occurrences of a series originally start."""
        event = self.events[event_id]
        if event.rule is not None:
            return _by_rule(event.rule, event.start, ZoneInfo(event.zone or str(self.zone)))
        assert event.step is not None
        local = event.start.astimezone(self.zone).replace(tzinfo=None)
        return [(local + number * event.step).replace(tzinfo=self.zone) for number in range(event.count)]

    def put_instance(self, event_id: str, original: datetime, **changes: Any) -> str:
        """Change one instance of a series; its id."""
        with self.lock:
            instance = self._instance(self.events[event_id], original)
            self.put(replace(instance, **changes))
            return instance.id

    def expire_sync_tokens(self) -> None:
        """Google forgets all sync tokens that it gave."""
        self._sync_tokens.clear()

    def token_ended(self, request: Request) -> Response:
        return _error(401, "authError", "Invalid Credentials", location="Authorization", location_type="header")

    # The API.

    def _guarded(self, answer: Callable[[Request], dict[str, Any]], scope: str) -> Callable[[Request], Response]:
        def endpoint(request: Request) -> Response:
            with self.lock:
                if not self.tokens.accepts(request):
                    return self.token_ended(request)
                if not self.granted & {scope, *([WRITE_SCOPE] if scope == EVENTS_SCOPE else [])}:
                    return _error(
                        403,
                        "insufficientPermissions",
                        "Request had insufficient authentication scopes.",
                        domain="global",
                    )
                if self._exceeds_limit():
                    return _error(self.limit_status, "rateLimitExceeded", "Rate Limit Exceeded", domain="usageLimits")
                if request.path_params["calendar"] not in ("primary", self.people[0]):
                    return _error(404, "notFound", "Not Found")
                try:
                    body = answer(request)
                except _Refused as refusal:
                    return refusal.response
                selector = request.query_params.get("fields")
                if selector is None:
                    return JSONResponse(body)
                try:
                    return JSONResponse(_selected(body, _parse_fields(selector)))
                except ValueError:
                    return _error(400, "invalidParameter", f"Invalid field selection {selector}", location="fields")

        return endpoint

    def _written(self, answer: Callable[[Request, dict[str, Any]], dict[str, Any]]) -> Any:
        async def endpoint(request: Request) -> Response:
            given = orjson.loads(await request.body() or b"{}")

            def write(request: Request) -> dict[str, Any]:
                if self.before_write is not None:
                    meanwhile, self.before_write = self.before_write, None
                    meanwhile()
                return answer(request, given)

            response = self._guarded(write, WRITE_SCOPE)(request)
            if request.method == "DELETE" and response.status_code == 200:
                return Response(status_code=204)
            return response

        return endpoint

    def _insert(self, request: Request, given: dict[str, Any]) -> dict[str, Any]:
        event_id = str(given.get("id", ""))
        if not re.fullmatch("[0-9a-v]{5,1024}", event_id) or "iCalUID" in given:
            _refuse(400, "invalid", "Invalid resource id value.", location="resource.id")
        if event_id in self.events:
            _refuse(409, "duplicate", "The requested identifier already exists.")
        owner = self.people[0]
        now = self.clock()
        blank = Event(event_id, now, now, now, "", (), creator=owner, organizer=owner)
        if not {"start", "end"} <= set(given):
            _refuse(400, "required", "Missing end time.")
        self.put(self._with(blank, given))
        self._tell(request, "insert", event_id)
        return self._resource(self.events[event_id])

    def _patch(self, request: Request, given: dict[str, Any]) -> dict[str, Any]:
        event = self._found(request)
        self._check_etag(request, event)
        self.put(self._with(event, given))
        self._tell(request, "patch", event.id)
        return self._resource(self.events[event.id])

    def _delete(self, request: Request, _given: dict[str, Any]) -> dict[str, Any]:
        event = self._found(request)
        self._check_etag(request, event)
        if event.cancelled:
            _refuse(410, "deleted", "Resource has been deleted")
        self.put(replace(event, cancelled=True))
        self._tell(request, "delete", event.id)
        return {}

    def _check_etag(self, request: Request, event: Event) -> None:
        if request.headers.get("if-match", f'"{event.changed}"') != f'"{event.changed}"':
            _refuse(412, "conditionNotMet", "Precondition Failed", location="If-Match", location_type="header")

    def _tell(self, request: Request, what: str, event_id: str) -> None:
        if request.query_params.get("sendUpdates") == "all":
            guests = frozenset(str(one["email"]) for one in self.events[event_id].attendees)
            self.told.append((what, event_id, guests))

    def _with(self, event: Event, given: Mapping[str, Any]) -> Event:
        changes: dict[str, Any] = {}
        for name in ("start", "end"):
            if name in given:
                changes[name] = datetime.fromisoformat(given[name]["dateTime"])
                changes["zone"] = given[name].get("timeZone")
        if "recurrence" in given:
            (line,) = given["recurrence"]
            if not line.startswith("RRULE:"):
                _refuse(400, "invalid", "Invalid recurrence rule.", location="recurrence")
            if changes.get("zone") is None:
                _refuse(400, "required", "Missing time zone definition for start time.")
            changes["rule"] = line.removeprefix("RRULE:")
        if "attendees" in given:
            changes["attendees"] = tuple({"responseStatus": "needsAction", **one} for one in given["attendees"])
        for name in ("summary", "visibility"):
            if name in given:
                changes[name] = given[name]
        if "status" in given:
            changes["cancelled"] = given["status"] == "cancelled"
        return replace(event, **changes)

    def _exceeds_limit(self) -> bool:
        now = time.monotonic()
        while self._spent and now - self._spent[0] >= 60:
            self._spent.popleft()
        if len(self._spent) >= self.requests_a_minute:
            return True
        self._spent.append(now)
        return False

    def _calendar(self, _request: Request) -> dict[str, Any]:
        owner = self.people[0]
        return {"kind": "calendar#calendar", "etag": '"1"', "id": owner, "summary": owner, "timeZone": str(self.zone)}

    def _list(self, request: Request) -> dict[str, Any]:
        query = _checked_query(request, _LIST_PARAMETERS)
        if "syncToken" in query:
            if excluded := [name for name in _EXCLUDED_BY_SYNC_TOKEN if name in query]:
                message = "Sync token cannot be used with other request restrictions."
                _refuse(400, "syncTokenWithRequestRestrictions", message, location=excluded[0])
            if query.get("showDeleted") == "false":
                message = "Sync token cannot be used with other request restrictions."
                _refuse(400, "syncTokenWithRequestRestrictions", message, location="showDeleted")
        listing = self._listing(query)
        size = min(int(query.get("maxResults", "250")), self.page_limit)
        now, later = listing.ids[:size], listing.ids[size:]
        answer: dict[str, Any] = {
            "kind": "calendar#events",
            "etag": f'"p{self.sequence}"',
            "summary": self.people[0],
            "timeZone": str(self.zone),
            "accessRole": "owner",
            "items": [self._resource(self.events[event_id]) for event_id in now],
        }
        if later:
            token = f"page-{len(self._listings)}"
            self._listings[token] = replace(listing, ids=later)
            answer["nextPageToken"] = token
        else:
            token = f"sync-{listing.sequence}-{len(self._sync_tokens)}"
            self._sync_tokens[token] = (listing.sequence, _lasting(query))
            answer["nextSyncToken"] = token
        return answer

    def _listing(self, query: dict[str, str]) -> _Listing:
        if "pageToken" in query:
            asked = {name: value for name, value in query.items() if name != "pageToken"}
            listing = self._listings.get(query["pageToken"])
            if listing is None or listing.query != asked:
                _refuse(400, "invalid", "Invalid page token value.", location="pageToken")
            return listing
        if "syncToken" not in query:
            found = [event.id for event in self.events.values() if self._is_listed(event, query)]
            return _Listing(query, found, self.sequence)
        if not re.fullmatch(r"sync-\d+-\d+", query["syncToken"]):
            _refuse(400, "invalid", "Invalid sync token value.", location="syncToken")
        if query["syncToken"] not in self._sync_tokens:
            message = "Sync token is no longer valid, a full sync is required."
            _refuse(410, "fullSyncRequired", message, domain="calendar", location="syncToken")
        since, began_with = self._sync_tokens[query["syncToken"]]
        if _lasting(query) != began_with:
            _refuse(400, "invalid", "A sync goes on with the query that it began with.", location="syncToken")
        return _Listing(query, [event.id for event in self.events.values() if event.changed > since], self.sequence)

    def _is_listed(self, event: Event, query: Mapping[str, str]) -> bool:
        is_shown = not event.cancelled or event.master_id is not None or query.get("showDeleted") == "true"
        if "iCalUID" in query and event.uid != query["iCalUID"]:
            return False
        if not is_shown or "timeMin" not in query:
            return is_shown
        end = event.end if not event.recurs else self.originals(event.id)[-1] + (event.end - event.start)
        return end > datetime.fromisoformat(query["timeMin"])

    def _get(self, request: Request) -> dict[str, Any]:
        return self._resource(self._found(request))

    def _instances(self, request: Request) -> dict[str, Any]:
        query = _checked_query(request, _INSTANCES_PARAMETERS)
        master = self._found(request)
        if not master.recurs:
            _refuse(400, "invalid", "The event does not recur.", location="eventId")
        found = []
        for original in self.originals(master.id):
            instance = self._instance(master, original)
            asked = query.get("originalStart")
            if asked is not None and original != datetime.fromisoformat(asked):
                continue
            if (instance.cancelled or master.cancelled) and query.get("showDeleted") != "true":
                continue
            if "timeMin" in query and instance.end <= datetime.fromisoformat(query["timeMin"]):
                continue
            if "timeMax" in query and instance.start >= datetime.fromisoformat(query["timeMax"]):
                continue
            found.append(instance)
        begin = int(query.get("pageToken", "instances-0").removeprefix("instances-"))
        end = begin + min(int(query.get("maxResults", "250")), self.page_limit)
        answer = {"kind": "calendar#events", "items": [self._resource(one) for one in found[begin:end]]}
        if end < len(found):
            answer["nextPageToken"] = f"instances-{end}"
        return answer

    def _found(self, request: Request) -> Event:
        event_id = request.path_params["event"]
        event = self.events.get(event_id)
        master = self.events.get(event_id.partition("_")[0])
        if event is None and master is not None and master.recurs:
            instances = [self._instance(master, original) for original in self.originals(master.id)]
            event = next((one for one in instances if one.id == event_id), None)
        if event is None:
            _refuse(404, "notFound", "Not Found")
        return event

    def _instance(self, master: Event, original: datetime) -> Event:
        instance_id = f"{master.id}_{original.astimezone(UTC):%Y%m%dT%H%M%SZ}"
        return self.events.get(instance_id) or replace(
            master,
            id=instance_id,
            start=original,
            end=original + (master.end - master.start),
            step=None,
            rule=None,
            count=1,
            master_id=master.id,
            original=original,
        )

    def _resource(self, event: Event) -> dict[str, Any]:
        """An event as the API shows it."""
        head: dict[str, Any] = {"kind": "calendar#event", "etag": f'"{event.changed}"', "id": event.id}
        if event.master_id is not None and event.original is not None:
            head |= {"recurringEventId": event.master_id, "originalStartTime": self._when(event, event.original)}
        if event.cancelled:
            # No more is guaranteed of it.
            return head | {"status": "cancelled"}
        if event.step is not None:
            head["recurrence"] = [f"RRULE:FREQ=DAILY;INTERVAL={event.step.days};COUNT={event.count}"]
        if event.rule is not None:
            head["recurrence"] = [f"RRULE:{event.rule}"]
        if event.visibility != "default":
            head["visibility"] = event.visibility
        return head | {
            "status": "confirmed",
            "htmlLink": f"https://www.google.com/calendar/event?eid={event.id}",
            "created": f"{event.created.astimezone(UTC):%Y-%m-%dT%H:%M:%S.000Z}",
            "updated": f"{event.created.astimezone(UTC):%Y-%m-%dT%H:%M:%S.000Z}",
            "summary": event.summary,
            "description": "<p>Dial in: 1234. Between us: they pay late.</p>",
            "location": "Room 1",
            "creator": self._person(event.creator),
            "organizer": self._person(event.organizer),
            "start": {"dateTime": "soon"} if event.spoiled else self._when(event, event.start),
            "end": self._when(event, event.end),
            "iCalUID": event.uid,
            "sequence": 0,
            "attendees": [dict(one) for one in event.attendees],
            "hangoutLink": "https://meet.google.com/abc",
            "reminders": {"useDefault": True},
            "eventType": event.event_type,
        }

    def _when(self, event: Event, instant: datetime) -> dict[str, str]:
        zone = event.zone or str(self.zone)
        local = instant.astimezone(ZoneInfo(zone))
        if event.all_day:
            return {"date": local.date().isoformat()}
        return {"dateTime": local.isoformat(timespec="seconds"), "timeZone": zone}

    def _person(self, email: str) -> dict[str, Any]:
        return {"email": email, "self": True} if email == self.people[0] else {"email": email}


def _by_rule(rule: str, start: datetime, zone: ZoneInfo) -> list[datetime]:
    """Where the occurrences of a rule start, for three years: by the wall clock; UNTIL is of UTC."""
    parts = dict(part.split("=", 1) for part in rule.split(";"))
    until = parts.pop("UNTIL", None)
    wall = start.astimezone(zone).replace(tzinfo=None)
    walls = rrulestr(";".join(f"{name}={value}" for name, value in parts.items()), dtstart=wall)
    found = [one.replace(tzinfo=zone) for one in walls.between(wall, wall + timedelta(days=1096), inc=True)]
    if until is None:
        return found
    last = datetime.strptime(until, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    return [one for one in found if one <= last]


def _lasting(query: Mapping[str, str]) -> dict[str, str]:
    """What of a query has to be the same for as long as a sync goes on."""
    return {name: query[name] for name in ("showDeleted", "singleEvents", "eventTypes") if name in query}


def _checked_query(request: Request, known: set[str]) -> dict[str, str]:
    query = dict(request.query_params)
    for name, value in query.items():
        if name not in known:
            _refuse(400, "invalidParameter", f"Unknown name {name!r}.", location=name)
        if name in ("timeMin", "timeMax", "updatedMin") and not _RFC3339.match(value):
            _refuse(400, "badRequest", "Bad Request", location=name)
        if name in ("showDeleted", "singleEvents") and value not in ("true", "false"):
            _refuse(400, "invalidParameter", f"Invalid boolean value: {value!r}.", location=name)
    size = query.get("maxResults", "250")
    if not size.isdigit() or not 1 <= int(size) <= 2500:
        _refuse(400, "invalidParameter", f"Invalid integer value: {size!r}.", location="maxResults")
    if "timeMin" in query and "timeMax" in query:
        low, high = (datetime.fromisoformat(query[name]) for name in ("timeMin", "timeMax"))
        if low >= high:
            message = "The specified time range is empty."
            _refuse(400, "timeRangeEmpty", message, domain="calendar", location="timeMax")
    return query


def _refuse(status: int, reason: str, message: str, **where: str) -> Any:
    raise _Refused(_error(status, reason, message, **where))


def _error(
    status: int,
    reason: str,
    message: str,
    *,
    domain: str = "global",
    location: str | None = None,
    location_type: str = "parameter",
) -> Response:
    one = {"domain": domain, "reason": reason, "message": message}
    if location is not None:
        one |= {"locationType": location_type, "location": location}
    return JSONResponse({"error": {"errors": [one], "code": status, "message": message}}, status)


Fields = dict[str, "Fields | None"]
_FIELD_PART = re.compile(r"[A-Za-z*]+|[(),/]")


def _parse_fields(selector: str) -> Fields:
    """Read a partial response's selector, such as `nextPageToken,items(id,start/dateTime)`."""
    parts = _FIELD_PART.findall(selector)
    if "".join(parts) != selector:
        raise ValueError(selector)
    fields, rest = _parse_list(parts)
    if rest:
        raise ValueError(selector)
    return fields


def _parse_list(parts: list[str]) -> tuple[Fields, list[str]]:
    fields: Fields = {}
    while True:
        one, parts = _parse_one(parts)
        fields |= one
        if parts[:1] != [","]:
            return fields, parts
        parts = parts[1:]


def _parse_one(parts: list[str]) -> tuple[Fields, list[str]]:
    if not parts or parts[0] in "(),/":
        raise ValueError("a name is missing")
    name, parts = parts[0], parts[1:]
    if parts[:1] == ["/"]:
        below, parts = _parse_one(parts[1:])
        return {name: below}, parts
    if parts[:1] == ["("]:
        below, parts = _parse_list(parts[1:])
        if parts[:1] != [")"]:
            raise ValueError("a parenthesis is open")
        return {name: below}, parts[1:]
    return {name: None}, parts


def _selected(value: Any, fields: Fields) -> Any:
    if isinstance(value, list):
        return [_selected(one, fields) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        name: one if (below := fields.get(name, fields.get("*"))) is None else _selected(one, below)
        for name, one in value.items()
        if name in fields or "*" in fields
    }
