"""Salesloft's API v2 (Platform), as far as the connector asks it, and the token endpoint of its accounts.

Written from Salesloft's documentation (Salesloft Developer Portal): "Request & Response Format", "Filtering, Paging &
Sorting" (invalid pages are corrected, unknown filters passed over, invalid sorts answered with 422), "Rate Limits"
(600 cost a minute and team, deep pages cost more, headers tell), "OAuth - Authorization Code" (tokens of two hours,
refresh tokens that end when they have been used), "API Key Authentication", "Scopes" (`email_contents:read` is
privileged, and scoped fields need it), "Building an Efficient Cursor Poller", "List users", "List emails", "List
calls", "List cadence memberships", "List cadences", "List steps", "List tasks", "List meetings", "Fetch
conversations", "Fetch current team".

What of it stood in Salesloft's published description of 2019 is held against that description, requests and answers:
`tests/doubles/vendor/salesloft-platform-openapi.json`. Its ways: every response refers to Account, so the double names
the schema of each list itself; nulls are not described; paths end in `.json`, which today's documentation leaves out.
Fields and parameters that came later are named in `NEWER_FIELDS` and `NEWER_PARAMETERS`; conversations, meetings and
tasks came later altogether.

An incremental listing does not tell that something was deleted, but for meetings, which come with `canceled_at`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from urllib.parse import parse_qs
from uuid import uuid4

import orjson
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from tests.doubles.base import Double
from tests.doubles.openapi import Description

DESCRIPTION = Description.load("salesloft-platform-openapi.json", nulls=True)

SCHEMAS = {
    "/v2/users": "user",
    "/v2/activities/emails": "Email",
    "/v2/activities/calls": "Call",
    "/v2/cadences": "Cadence",
    "/v2/cadence_memberships": "CadenceMembership",
    "/v2/steps": "Step",
    "/v2/actions": "Action",
    "/v2/team": "Team",
}
"""What the lists of 2019 hold."""

NEWER_FIELDS = {
    "user": {"guid"},
    "Email": {"cadence", "step", "subject", "body"},
    "Call": {"cadence", "step", "connected", "positive"},
    "CadenceMembership": {"currently_on_cadence"},
    "Step": {"name"},
    "Action": {"cadence", "step"},
}
NEWER_PARAMETERS = {
    "/v2/users": {"per_page", "page"},
    "/v2/activities/emails": {"scoped_fields"},
}

SORTS = {
    "/v2/users": ("id",),
    "/v2/meetings": ("start_time", "created_at", "updated_at"),
}
_SORTS = ("updated_at", "created_at")

DEEP_PAGES = ((501, 30), (251, 10), (151, 8), (101, 3))
TOKEN_SECONDS = 7200
_EASTERN = timezone(timedelta(hours=-5))
_KINDS = ("email", "call", "membership", "conversation", "meeting", "task")
_REFUSED_FIELDS = "Requested scoped field(s) could not be returned, required scope access not included."

Row = dict[str, Any]


class SalesloftDouble(Double):
    """Salesloft with one team of two users.

    `rows` holds the entries by path; `limit` is what a minute may cost; `scopes` what the token may do.
    """

    kind = "salesloft"
    token_paths = frozenset({"/oauth/token"})

    def __init__(self) -> None:
        self.limit = 600
        self.scopes = {
            "team:read",
            "emails:read",
            "email_contents:read",
            "calls:read",
            "cadences:read",
            "conversations:read",
            "meetings:read",
            "tasks:read",
            "actions:read",
        }
        self.filters_meetings = True
        self.rows: dict[str, dict[Any, Row]] = {path: {} for path in _SCOPES}
        self.costs: list[int] = []
        self.problems: list[str] = []
        self._minute = (0, 0)
        self._last = datetime.now(UTC)
        self._number = 1000
        self._spoiled: dict[str, Any] = {}
        super().__init__()
        self.secrets = {
            "access_token": "first-access",
            "refresh_token": "first-refresh",
            "expires_at": (datetime.now(UTC) + timedelta(seconds=TOKEN_SECONDS)).isoformat(),
        }
        self.tokens = {"first-access"}
        self.refresh_tokens = {"first-refresh"}
        self.api_key = "ak_" + "0" * 64
        self.users = [self.user(email) for email in self.people]
        self.cadence = self.make("/v2/cadences", {"name": "New business", "archived_at": None, "team_cadence": True})
        self.step = self.make(
            "/v2/steps",
            {
                "name": "Introduction",
                "display_name": "Day 1: Step 1 - Email",
                "day": 1,
                "step_number": 1,
                "type": "email",
                "disabled": False,
                "cadence": self.reference("/v2/cadences", self.cadence["id"]),
            },
        )

    def routes(self) -> list[BaseRoute]:
        lists: list[BaseRoute] = [Route(path, self._list) for path in _SCOPES if path != "/v2/team"]
        return [Route("/oauth/token", self._token, methods=["POST"]), Route("/v2/team", self._team), *lists]

    # What there is

    def now(self) -> datetime:
        """Salesloft's clock: the real one, and never twice the same instant."""
        self._last = max(self._last + timedelta(microseconds=1), datetime.now(UTC))
        return self._last

    def make(self, path: str, fields: Row, identity: Any = None) -> Row:
        """Put an entry into a list."""
        with self.lock:
            self._number += 1
            at = self.now()
            row = {
                "id": identity or self._number,
                "created_at": _text(path, at),
                "updated_at": _text(path, at),
                **fields,
            }
            self.rows[path][row["id"]] = row
            return row

    def touch(self, path: str, row: Row) -> None:
        """Say that an entry has been changed now."""
        with self.lock:
            row["updated_at"] = _text(path, self.now())

    def reference(self, path: str, identity: Any) -> Row:
        """An entry as another names it."""
        return {"_href": f"{self.base_url}{path}/{identity}", "id": identity}

    def user(self, email: str, *, active: bool = True) -> Row:
        """A user."""
        return self.make(
            "/v2/users",
            {
                "guid": str(uuid4()),
                "name": email.partition("@")[0].title(),
                "first_name": email.partition("@")[0].title(),
                "last_name": "Double",
                "email": email,
                "active": active,
                "time_zone": "US/Eastern",
                "team_admin": False,
                "group": None,
                "team": self.reference("/v2/team", 104779),
            },
        )

    def email(self, user: Row, *, from_step: bool = False, **fields: Any) -> Row:
        """An email that was sent."""
        sent = _text("/v2/activities/emails", self.now())
        return self.make(
            "/v2/activities/emails",
            {
                "recipient_email_address": "buyer@customer.test",
                "status": "sent",
                "bounced": False,
                "send_after": None,
                "sent_at": sent,
                "view_tracking": True,
                "click_tracking": False,
                "headers": {},
                "counts": {
                    "clicks": 0,
                    "views": 1,
                    "replies": 0,
                    "unique_devices": 0,
                    "unique_locations": 0,
                    "attachments": 0,
                },
                "user": self.reference("/v2/users", user["id"]),
                "recipient": {"id": 6509414},
                "mailing": {"id": 3124568},
                "action": {"id": 343305169} if from_step else None,
                "crm_activity": None,
                "cadence": self.reference("/v2/cadences", self.cadence["id"]) if from_step else None,
                "step": self.reference("/v2/steps", self.step["id"]) if from_step else None,
                "subject": "Hello",
                "body": "<p>Hello</p>",
            }
            | fields,
        )

    def call(self, user: Row, *, from_step: bool = False, **fields: Any) -> Row:
        """A call that was logged."""
        return self.make(
            "/v2/activities/calls",
            {
                "to": "+1234445556",
                "duration": 61,
                "sentiment": "Customer",
                "disposition": "Connected",
                "connected": True,
                "positive": False,
                "recordings": [],
                "user": self.reference("/v2/users", user["id"]),
                "action": {"id": 343305170} if from_step else None,
                "called_person": {"id": 6509414},
                "crm_activity": None,
                "note": None,
                "cadence": self.reference("/v2/cadences", self.cadence["id"]) if from_step else None,
                "step": self.reference("/v2/steps", self.step["id"]) if from_step else None,
            }
            | fields,
        )

    def membership(self, user: Row, **fields: Any) -> Row:
        """A person who was added to the cadence."""
        added = _text("/v2/cadence_memberships", self.now())
        return self.make(
            "/v2/cadence_memberships",
            {
                "added_at": added,
                "person_deleted": False,
                "currently_on_cadence": True,
                "current_state": "staged",
                "cadence": self.reference("/v2/cadences", self.cadence["id"]),
                "person": {"id": 6509414},
                "user": self.reference("/v2/users", user["id"]),
                "latest_action": None,
                "counts": {"views": 0, "clicks": 0, "replies": 0, "calls": 0, "sent_emails": 0, "bounces": 0},
            }
            | fields,
        )

    def conversation(self, user: Row, **fields: Any) -> Row:
        """A call or meeting that was recorded."""
        begins = self.now() - timedelta(hours=1)
        return self.make(
            "/v2/conversations",
            {
                "duration": 754_321,
                "is_api": False,
                "platform": "zoom",
                "media_type": "video",
                "organization_id": str(uuid4()),
                "title": "Discovery",
                "owner_id": user["guid"],
                "user_guid": user["guid"],
                "started_recording_at": int(begins.timestamp() * 1000),
                "event_start_date": _text("/v2/conversations", begins),
                "event_end_date": _text("/v2/conversations", begins + timedelta(minutes=30)),
                "language_code": "en-US",
                "recording": {"id": "1"},
            }
            | fields,
            str(uuid4()),
        )

    def meeting(self, user: Row, *, begins: datetime | None = None, **fields: Any) -> Row:
        """A meeting that was booked in Salesloft; in three days unless told otherwise."""
        begins = begins or self.now() + timedelta(days=3)
        return self.make(
            "/v2/meetings",
            {
                "title": "Demonstration",
                "start_time": _text("/v2/meetings", begins),
                "end_time": _text("/v2/meetings", begins + timedelta(minutes=30)),
                "calendar_id": user["email"],
                "calendar_type": "gmail",
                "recipient_name": "Buyer",
                "recipient_email": "buyer@customer.test",
                "event_id": "rf641atglm8tt4hkbu91kv1p6c",
                "guests": [],
                "attendees": [],
                "event_source": "internal",
                "canceled_at": None,
                "all_day": False,
                "no_show": False,
                "i_cal_uid": "rf641atglm8tt4hkbu91kv1p6c@google.com",
                "status": "booked",
                "reschedule_status": None,
                "booked_by_user": self.reference("/v2/users", user["guid"]),
                "owned_by_user": self.reference("/v2/users", user["guid"]),
            }
            | fields,
        )

    def task(self, user: Row, **fields: Any) -> Row:
        """A task that was completed."""
        return self.make(
            "/v2/tasks",
            {
                "subject": "Send the proposal",
                "description": None,
                "due_date": "2026-11-02",
                "current_state": "completed",
                "task_type": "general",
                "completed_at": _text("/v2/tasks", self.now()),
                "completed_by": self.reference("/v2/users", user["id"]),
                "user": self.reference("/v2/users", user["id"]),
            }
            | fields,
        )

    def action(self, user: Row, **fields: Any) -> Row:
        """A step of a cadence that somebody has before them; it vanishes when it is completed."""
        return self.make(
            "/v2/actions",
            {
                "due": True,
                "type": "phone",
                "status": "in_progress",
                "due_on": _text("/v2/actions", self.now() + timedelta(hours=3)),
                "action_details": {"id": 123},
                "user": self.reference("/v2/users", user["id"]),
                "person": {"id": 6509414},
                "cadence": self.reference("/v2/cadences", self.cadence["id"]),
                "step": self.reference("/v2/steps", self.step["id"]),
            }
            | fields,
        )

    # The uniform interface

    def add(self, count: int) -> list[str]:
        made = []
        for number in range(count):
            kind = _KINDS[number % len(_KINDS)]
            row = getattr(self, kind)(self.users[number % len(self.users)])
            made.append(f"{kind}:{row['id']}")
        return made

    def change(self, external_id: str) -> None:
        kind, path, row = self._find(external_id)
        with self.lock:
            if kind == "email":
                row["counts"]["views"] += 1
            elif kind == "membership":
                row["added_at"] = _text(path, self.now())
            elif kind == "conversation":
                row["duration"] += 60_000
            else:
                field = {"call": "disposition", "meeting": "title", "task": "subject"}[kind]
                row[field] = f"{row[field]} again"
            self.touch(path, row)

    def remove(self, external_id: str) -> None:
        kind, path, row = self._find(external_id)
        with self.lock:
            if kind == "meeting":
                row["canceled_at"] = _text(path, self.now())
                self.touch(path, row)
            else:
                del self.rows[path][row["id"]]

    def removable(self, external_ids: list[str]) -> str:
        """A meeting: of nothing else does Salesloft tell that it is gone."""
        return next(name for name in external_ids if name.startswith("meeting:"))

    def spoil(self, external_id: str) -> None:
        kind, path, row = self._find(external_id)
        field = _TIMES[kind]
        with self.lock:
            self._spoiled[external_id] = row[field]
            row[field] = "yesterday"
            self.touch(path, row)

    def mend(self, external_id: str) -> None:
        kind, path, row = self._find(external_id)
        with self.lock:
            row[_TIMES[kind]] = self._spoiled.pop(external_id)
            self.touch(path, row)

    def _find(self, external_id: str) -> tuple[str, str, Row]:
        kind, _, identity = external_id.partition(":")
        path = _PATHS[kind]
        return kind, path, next(row for key, row in self.rows[path].items() if str(key) == identity)

    def token_ended(self, request: Request) -> Response:
        return JSONResponse({"error": "The access token expired"}, status_code=401)

    # What it answers

    async def _token(self, request: Request) -> Response:
        raw = await request.body()
        if "json" in request.headers.get("content-type", ""):
            asked = orjson.loads(raw)
        else:
            asked = {name: values[-1] for name, values in parse_qs(raw.decode()).items()}
        with self.lock:
            if asked.get("grant_type") != "refresh_token" or asked.get("refresh_token") not in self.refresh_tokens:
                problem = "The provided authorization grant is invalid, expired, revoked"
                return JSONResponse({"error": "invalid_grant", "error_description": problem}, status_code=401)
            access, refresh = f"access-{uuid4().hex}", f"refresh-{uuid4().hex}"
            self.refresh_tokens, self.tokens = {refresh}, {access}
        return JSONResponse(
            {
                "access_token": access,
                "token_type": "bearer",
                "expires_in": TOKEN_SECONDS,
                "refresh_token": refresh,
                "scope": " ".join(sorted(self.scopes)),
                "created_at": int(time.time()),
            }
        )

    async def _team(self, request: Request) -> Response:
        team = {
            "id": 104779,
            "name": "Double Trouble",
            "plan": "enterprise",
            "created_at": "2021-09-03T12:03:15.863631-04:00",
            "updated_at": "2021-09-03T12:03:15.863631-04:00",
        }
        return self._guarded(request, 1, lambda: JSONResponse({"data": team}))

    async def _list(self, request: Request) -> Response:
        page = _page(request.query_params.get("page"))
        return self._guarded(request, page, lambda: self._answer(request, page))

    def _guarded(self, request: Request, page: int, answer: Callable[[], Response]) -> Response:
        """Who may ask, at what cost, held against the description."""
        with self.lock:
            kind, _, token = request.headers.get("authorization", "").partition(" ")
            if kind != "Bearer" or token not in {*self.tokens, self.api_key}:
                return JSONResponse({"error": "No Bearer Token attached to request"}, status_code=401)
            cost = next((cost for first, cost in DEEP_PAGES if page >= first), 1)
            self.costs.append(cost)
            minute, spent = int(time.time()) // 60, 0
            if self._minute[0] == minute:
                spent = self._minute[1]
            self._minute = (minute, spent + cost)
            headers = {
                "x-ratelimit-limit-minute": str(self.limit),
                "x-ratelimit-remaining-minute": str(max(0, self.limit - spent - cost)),
                "x-ratelimit-endpoint-cost": str(cost),
            }
            if spent + cost > self.limit:
                return JSONResponse({"error": "Too many requests"}, status_code=429, headers=headers)
            if _SCOPES[request.url.path] not in self.scopes:
                return JSONResponse({"error": "You are not authorized"}, status_code=403, headers=headers)
            response = answer()
            if response.status_code == 200:
                self.checked(request, 200, orjson.loads(response.body))
            response.headers.update(headers)
            return response

    def checked(self, request: Request, status: int, body: Any) -> None:
        path = request.url.path
        if path not in SCHEMAS:
            return
        known = NEWER_PARAMETERS.get(path, set())
        query = [(name, value) for name, value in request.query_params.multi_items() if _base(name) not in known]
        try:
            DESCRIPTION.request("GET", f"{path}.json", query)
            schema = SCHEMAS[path]
            rows = body["data"] if isinstance(body["data"], list) else [body["data"]]
            for row in rows:
                newer = NEWER_FIELDS.get(schema, set())
                DESCRIPTION.component(schema, {name: value for name, value in row.items() if name not in newer})
        except AssertionError as problem:
            self.problems.append(str(problem))
            raise

    def _answer(self, request: Request, page: int) -> Response:
        path, query = request.url.path, request.query_params
        per_page = _page(query.get("per_page"), 25)
        per_page = per_page if per_page <= 100 else 25
        sorts = SORTS.get(path, _SORTS)
        sort_by, direction = query.get("sort_by", sorts[0]), query.get("sort_direction", "DESC").upper()
        if sort_by not in sorts or direction not in ("ASC", "DESC"):
            return JSONResponse({"errors": {"sort_by": ["is invalid"]}}, status_code=422)
        fields = query.getlist("scoped_fields[]")
        if fields and "email_contents:read" not in self.scopes:
            return JSONResponse({"error": _REFUSED_FIELDS}, status_code=422)
        try:
            rows = self._filtered(path, query)
        except ValueError:
            return JSONResponse({"errors": {"updated_at": ["is not a valid iso8601 timestamp"]}}, status_code=422)
        rows.sort(key=lambda row: (_key(row[sort_by]), row["id"]), reverse=direction == "DESC")
        begin = (page - 1) * per_page
        shown = rows[begin : begin + per_page]
        if path == "/v2/activities/emails":
            hidden = {"subject", "body"} - set(fields)
            shown = [{name: value for name, value in row.items() if name not in hidden} for row in shown]
        paging: Row = {
            "per_page": per_page,
            "current_page": page,
            "next_page": page + 1 if begin + per_page < len(rows) else None,
            "prev_page": page - 1 if page > 1 else None,
        }
        if query.get("include_paging_counts") == "true":
            paging |= {"total_pages": -(-len(rows) // per_page), "total_count": len(rows)}
        sorting = {
            "sort_by": sort_by,
            "sort_direction": f"{direction} NULLS {'LAST' if direction == 'DESC' else 'FIRST'}",
        }
        return JSONResponse({"metadata": {"filtering": {}, "paging": paging, "sorting": sorting}, "data": shown})

    def _filtered(self, path: str, query: Mapping[str, str]) -> list[Row]:
        rows = list(self.rows[path].values())
        if ids := query.getlist("ids[]"):  # type: ignore[attr-defined]
            rows = [row for row in rows if str(row["id"]) in ids]
        for name, value in query.items():
            field, _, operator = name.partition("[")
            known = field in ("start_time", "created_at") if path == "/v2/meetings" else field == "updated_at"
            if path == "/v2/actions":
                known = field == "due_on"
            if path == "/v2/meetings" and field == "updated_at":
                known = self.filters_meetings
            compare = _OPERATORS.get(operator.removesuffix("]"))
            if known and compare is not None:
                bound = datetime.fromisoformat(value)
                rows = [row for row in rows if compare(_key(row[field]), bound)]
        if path == "/v2/meetings" and query.get("show_deleted") != "true":
            rows = [row for row in rows if row["canceled_at"] is None]
        return rows


_PATHS = {
    "email": "/v2/activities/emails",
    "call": "/v2/activities/calls",
    "membership": "/v2/cadence_memberships",
    "conversation": "/v2/conversations",
    "meeting": "/v2/meetings",
    "task": "/v2/tasks",
}
_SCOPES = {
    "/v2/team": "team:read",
    "/v2/users": "team:read",
    "/v2/cadences": "cadences:read",
    "/v2/steps": "cadences:read",
    "/v2/activities/emails": "emails:read",
    "/v2/activities/calls": "calls:read",
    "/v2/cadence_memberships": "cadences:read",
    "/v2/conversations": "conversations:read",
    "/v2/meetings": "meetings:read",
    "/v2/tasks": "tasks:read",
    "/v2/actions": "actions:read",
}
_TIMES = {
    "email": "sent_at",
    "call": "created_at",
    "membership": "added_at",
    "conversation": "event_start_date",
    "meeting": "end_time",
    "task": "completed_at",
}
"""Of each kind, a time without which it makes no sense, and by which nothing is sorted."""

_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "gt": lambda value, bound: value > bound,
    "gte": lambda value, bound: value >= bound,
    "lt": lambda value, bound: value < bound,
    "lte": lambda value, bound: value <= bound,
}


def _text(path: str, at: datetime) -> str:
    """A time as the older lists tell it, in the team's zone, or as the newer ones do."""
    if path in SCHEMAS:
        return at.astimezone(_EASTERN).isoformat(timespec="microseconds")
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _key(value: Any) -> Any:
    return datetime.fromisoformat(value) if isinstance(value, str) else value


def _page(text: str | None, default: int = 1) -> int:
    return int(text) if text is not None and text.isdigit() and int(text) >= 1 else default


def _base(name: str) -> str:
    return name.partition("[")[0]
