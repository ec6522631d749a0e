"""HubSpot's CRM API, as far as deals are concerned.

Written from HubSpot's developer documentation:

- "Deals", "List", "Read a batch of deals", "Search for deals", "Owners", "Pipelines", "Properties": the vendor's own
  OpenAPI files in tests/doubles/vendor/hubspot/. Every request that comes and every answer that goes is held against
  them; what does not fit is kept in `violations` and raised when the double ends.
- "Search the CRM": 200 results a page, 10,000 a query, bodies of 3,000 characters, and that new and changed records
  take a moment to be found (`hold_index`).
- "Announcement: Deals now support merging": a merged deal answers with the id of the one that it went up in.
- "Associations v3", "Account information API", "Manage OAuth access tokens with the 2026-03 API", "API usage guidelines
  and limits": these have no file there; their answers are as the pages show them.

One departure from the files: they say that each property of a deal is text, but for one without a value that was asked
for by name HubSpot answers null, as the examples of its guides show.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any
from urllib.parse import parse_qsl
from uuid import uuid4

import orjson
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from tests.doubles.base import Double, Fault
from tests.doubles.openapi import Description, Undescribed
from tests.doubles.tokens import Tokens

DEALS_PATH = "/crm/v3/objects/0-3"
TOKEN_PATH = "/oauth/2026-03/token"
COMPANIES_PATH = "/crm/v3/associations/deals/companies/batch/read"
ACCOUNT_PATH = "/account-info/v3/details"
SCOPES = ("oauth", "crm.objects.deals.read", "crm.schemas.deals.read", "crm.objects.owners.read")

_NULLS = ("SimplePublicObject.properties.*", "SimplePublicObjectWithAssociations.properties.*")
DESCRIPTIONS = tuple(
    Description.load(f"hubspot/{name}.json", nulls=_NULLS) for name in ("deals", "owners", "pipelines", "properties")
)

STAGES = {
    "default": [
        ("appointmentscheduled", "Appointment scheduled", False, False),
        ("contractsent", "Contract sent", False, False),
        ("closedwon", "Closed won", True, True),
        ("closedlost", "Closed lost", True, False),
    ],
    "7812045": [("34829134", "Renewal due", False, False), ("34829135", "Renewed", True, True)],
}
PIPELINES = {"default": "Sales", "7812045": "Renewals"}
DEFAULT_PROPERTIES = ("dealname", "amount", "closedate", "pipeline", "dealstage")
SYSTEM_PROPERTIES = ("createdate", "hs_lastmodifieddate", "hs_object_id")
NUMBERS = frozenset({"amount", "amount_in_home_currency", "hs_exchange_rate", "hs_object_id"})
INSTANTS = frozenset({"createdate", "closedate", "hs_createdate", "hs_lastmodifieddate"})


def _property(name: str, label: str, kind: str, field: str, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "label": label,
        "type": kind,
        "fieldType": field,
        "description": "",
        "groupName": "dealinformation",
        "options": [],
        "displayOrder": -1,
        "hidden": False,
        "hubspotDefined": not name.startswith("my_"),
        "archived": False,
        **more,
    }


def _option(value: str, label: str) -> dict[str, Any]:
    return {"value": value, "label": label, "hidden": False, "displayOrder": -1}


PROPERTIES = [
    _property("dealname", "Deal Name", "string", "text"),
    _property("amount", "Amount", "number", "number", showCurrencySymbol=True),
    _property("amount_in_home_currency", "Amount in company currency", "number", "number", showCurrencySymbol=True),
    _property("hs_exchange_rate", "Exchange rate", "number", "number"),
    _property("deal_currency_code", "Currency", "enumeration", "select", options=[_option("EUR", "Euro (€)")]),
    _property("dealstage", "Deal Stage", "enumeration", "radio", options=[_option("closedwon", "Closed won")]),
    _property(
        "pipeline",
        "Pipeline",
        "enumeration",
        "select",
        options=[_option(key, label) for key, label in PIPELINES.items()],
    ),
    _property("createdate", "Create Date", "datetime", "date"),
    _property("closedate", "Close Date", "datetime", "date"),
    _property("hs_createdate", "Object create date/time", "datetime", "date", hidden=True),
    _property("hs_lastmodifieddate", "Last Modified Date", "datetime", "date"),
    _property("hs_is_closed", "Is Deal Closed?", "bool", "booleancheckbox"),
    _property("hs_is_closed_won", "Is Closed Won", "bool", "booleancheckbox"),
    _property("hs_object_id", "Record ID", "number", "number"),
    _property("hs_merged_object_ids", "Merged record IDs", "enumeration", "checkbox", hidden=True),
    _property(
        "hubspot_owner_id",
        "Deal owner",
        "enumeration",
        "select",
        externalOptions=True,
        referencedObjectType="OWNER",
    ),
    _property("hs_all_owner_ids", "All Owner IDs", "enumeration", "checkbox", referencedObjectType="OWNER"),
    _property("hs_v2_date_entered_closedwon", 'Date entered "Closed won"', "datetime", "calculation_read_time"),
    _property("hs_time_in_closedwon", 'Time in "Closed won"', "number", "calculation_equation"),
    _property("hs_internal", "Internal", "string", "text", hidden=True),
    _property("my_signed_on", "Signed on", "date", "date"),
    _property("my_score", "Score", "number", "number", numberDisplayHint="formatted"),
    _property("my_fee", "Fee", "number", "number", numberDisplayHint="currency"),
    _property("my_engineer", "Sales engineer", "enumeration", "select", referencedObjectType="OWNER"),
    _property("my_tags", "Tags", "enumeration", "checkbox", options=[_option("new", "New"), _option("old", "Old")]),
    _property(
        "my_region", "Region", "enumeration", "select", options=[_option("north", "North"), _option("s", "South")]
    ),
    _property(
        "my_strategic",
        "Strategic",
        "enumeration",
        "booleancheckbox",
        options=[_option("true", "Yes"), _option("false", "No")],
    ),
]


def iso(at: datetime) -> str:
    """An instant as HubSpot writes it."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def rate_limited(policy: str, *, status: int = 429, headers: Mapping[str, str] | None = None) -> Fault:
    """What HubSpot answers when a limit is reached: SECONDLY, TEN_SECONDLY_ROLLING or DAILY."""
    body = {
        "status": "error",
        "message": f"You have reached your {policy.lower()} limit.",
        "errorType": "RATE_LIMIT",
        "correlationId": str(uuid4()),
        "policyName": policy,
        "requestId": str(uuid4()),
    }
    return Fault(status=status, headers=dict(headers or {}), body=orjson.dumps(body).decode())


class HubSpotDouble(Double):
    """An account of HubSpot.

    `hold_index` keeps search behind until `catch_up()`. `deals` holds everything that there is, archived or not;
    `limits` is what a page and a query may hold at most, so that tests can do with few deals.
    """

    kind = "hubspot"
    token_paths = frozenset({TOKEN_PATH})

    def __init__(self) -> None:
        self.tokens = Tokens(
            " ".join(SCOPES),
            rotates=False,
            refused=lambda error: {"status": "error", "error": error, "error_description": "The grant is not valid."},
        )
        self.deals: dict[str, dict[str, Any]] = {}
        self.merged: dict[str, str] = {}
        self.index: dict[str, dict[str, Any]] = {}
        self.hold_index = False
        self.sees_companies = True
        self.owners: dict[str, dict[str, Any]] = {}
        self.limits = {"list": 100, "batch": 100, "with_history": 50, "search": 200, "query": 10_000, "owners": 500}
        self.failed_reads: set[str] = set()
        self.violations: list[str] = []
        self._behind: set[str] = set()
        self._next_id = 46_789_043
        self._clock = datetime(2000, 1, 1, tzinfo=UTC)
        self._whole: dict[str, str | None] = {}
        super().__init__()
        self.secrets = self.tokens.secrets()
        for email in self.people:
            self.add_owner(email)

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        super().__exit__(kind, error, trace)
        if self.violations and error is None:
            raise AssertionError("not as HubSpot describes it: " + "; ".join(self.violations[:3]))

    def routes(self) -> list[BaseRoute]:
        return [Route("/{path:path}", self._serve, methods=["GET", "POST"])]

    # What happens at the vendor's

    def now(self) -> datetime:
        """HubSpot's clock; no two things happen at one instant unless they are told to."""
        now = datetime.now(UTC)
        now = now.replace(microsecond=now.microsecond // 1000 * 1000)
        self._clock = max(now, self._clock + timedelta(milliseconds=1))
        return self._clock

    def add_owner(self, email: str | None, *, archived: bool = False, kind: str = "PERSON") -> str:
        """Somebody who can own deals; returns the id."""
        owner_id = str(101 + len(self.owners))
        at = iso(self.now())
        owner = {"id": owner_id, "type": kind, "createdAt": at, "updatedAt": at, "archived": archived}
        self.owners[owner_id] = owner | ({} if email is None else {"email": email, "firstName": "A", "lastName": "B"})
        return owner_id

    def owner_id(self, email: str) -> str:
        """The id of whose address this is."""
        return next(one["id"] for one in self.owners.values() if one.get("email") == email)

    def add(self, count: int) -> list[str]:
        with self.lock:
            at = self.now()
            return [self.add_deal(at=at, owner=self.people[number % len(self.people)]) for number in range(count)]

    def add_deal(self, *, at: datetime | None = None, owner: str | None = None, **properties: str | None) -> str:
        """A deal with these properties besides the usual ones; made at an instant, owned by an address."""
        with self.lock:
            at = self.now() if at is None else at
            deal_id = str(self._next_id)
            self._next_id += 7
            values: dict[str, str | None] = {
                "dealname": f"Deal {deal_id}",
                "amount": "1200.50",
                "deal_currency_code": "USD",
                "pipeline": "default",
                "dealstage": "appointmentscheduled",
                "hubspot_owner_id": None if owner is None else self.owner_id(owner),
                "createdate": iso(at),
                "hs_createdate": iso(at),
                "hs_object_id": deal_id,
                **properties,
            }
            self.deals[deal_id] = {"properties": values, "history": {}, "archivedAt": None, "companies": []}
            for name in ("dealstage", "hubspot_owner_id"):
                if values[name] is not None:
                    self._remember(deal_id, name, values[name], at)
            self._derive(deal_id)
            self._touched(deal_id, at)
            return deal_id

    def set(self, deal_id: str, *, at: datetime | None = None, **properties: str | None) -> None:
        """Change properties of a deal."""
        with self.lock:
            at = self.now() if at is None else at
            deal = self.deals[deal_id]
            for name, value in properties.items():
                if name in ("dealstage", "hubspot_owner_id") and deal["properties"].get(name) != value:
                    self._remember(deal_id, name, value or "", at)
                deal["properties"][name] = value
            self._derive(deal_id)
            self._touched(deal_id, at)

    def change(self, external_id: str) -> None:
        name = self.deals[external_id]["properties"]["dealname"]
        self.set(external_id, dealname=f"{name} (changed)")

    def remove(self, external_id: str) -> None:
        with self.lock:
            self.deals[external_id]["archivedAt"] = iso(self.now())
            self._index(external_id)

    def restore(self, external_id: str) -> None:
        """Take a deal out of the recycling bin; when it was changed last stays as it was."""
        with self.lock:
            self.deals[external_id]["archivedAt"] = None
            self._index(external_id)

    def purge(self, external_id: str) -> None:
        """Let a deal go for good, out of the recycling bin too."""
        with self.lock:
            del self.deals[external_id]
            self.index.pop(external_id, None)

    def merge(self, primary: str, other: str) -> str:
        """Merge two deals into a third; returns its id."""
        with self.lock:
            both = [self.deals.pop(primary), self.deals.pop(other)]
            for gone in (primary, other):
                self.index.pop(gone, None)
            kept = {name: value for name, value in both[0]["properties"].items() if not name.startswith("hs_")}
            new = self.add_deal(**kept, hs_merged_object_ids=f"{primary};{other}")
            history = self.deals[new]["history"]
            for name in history:
                parts = [*both[0]["history"].get(name, ()), *both[1]["history"].get(name, ()), *history[name]]
                history[name] = sorted(parts, key=lambda version: version["timestamp"], reverse=True)
            self.merged |= {primary: new, other: new}
            return new

    def spoil(self, external_id: str) -> None:
        self._whole[external_id] = self.deals[external_id]["properties"]["createdate"]
        self.set(external_id, createdate="")

    def mend(self, external_id: str) -> None:
        self.set(external_id, createdate=self._whole.pop(external_id))

    def associate(self, deal_id: str, company: str) -> None:
        """Associate a deal with a company."""
        self.deals[deal_id]["companies"].append(company)

    def catch_up(self) -> None:
        """Let search find what happened while it was held."""
        with self.lock:
            self.hold_index = False
            for deal_id in self._behind:
                self._index(deal_id)
            self._behind.clear()

    def _remember(self, deal_id: str, name: str, value: str | None, at: datetime) -> None:
        version = {"value": value, "timestamp": iso(at), "sourceType": "CRM_UI", "sourceId": "userId:9"}
        self.deals[deal_id]["history"].setdefault(name, []).insert(0, version)

    def _derive(self, deal_id: str) -> None:
        """What HubSpot works out of a deal's stage and currency."""
        values = self.deals[deal_id]["properties"]
        stages = {key: (closed, won) for pipeline in STAGES.values() for key, _label, closed, won in pipeline}
        closed, won = stages.get(values["dealstage"] or "", (False, False))
        values["hs_is_closed"], values["hs_is_closed_won"] = str(closed).lower(), str(won).lower()
        if values.get("deal_currency_code") == "USD" and values["amount"]:
            values["amount_in_home_currency"], values["hs_exchange_rate"] = values["amount"], "1.0"

    def _touched(self, deal_id: str, at: datetime) -> None:
        self.deals[deal_id]["properties"]["hs_lastmodifieddate"] = iso(at)
        self._index(deal_id)

    def _index(self, deal_id: str) -> None:
        if self.hold_index:
            self._behind.add(deal_id)
        elif deal_id in self.deals and self.deals[deal_id]["archivedAt"] is None:
            self.index[deal_id] = dict(self.deals[deal_id]["properties"])
        else:
            self.index.pop(deal_id, None)

    # The API

    def token_ended(self, request: Request) -> Response:
        return _error(401, "EXPIRED_AUTHENTICATION", "The OAuth token used to make this call expired.")

    def checked(self, request: Request, status: int, body: Any) -> None:
        for description in DESCRIPTIONS:
            if description.describes(request.method, request.url.path):
                description.response(request.method, request.url.path, status, body)

    async def _serve(self, request: Request) -> Response:
        raw = await request.body()
        if request.url.path == TOKEN_PATH:
            return await self._token(request)
        with self.lock:
            if not self.tokens.accepts(request):
                return self.token_ended(request)
            try:
                body = orjson.loads(raw) if raw else None
                self._asked(request, body)
                response = self._answer(request, body)
                self.checked(request, response.status_code, orjson.loads(response.body))
            except Undescribed as error:
                self.violations.append(str(error))
                return _error(400, "VALIDATION_ERROR", str(error))
        if not request.url.path.endswith("/search"):
            response.headers["x-hubspot-ratelimit-interval-milliseconds"] = "10000"
            response.headers["x-hubspot-ratelimit-max"] = "110"
        return response

    def _asked(self, request: Request, body: Any) -> None:
        """Hold a request against the description, where there is one."""
        for description in DESCRIPTIONS:
            if description.describes(request.method, request.url.path):
                query = request.query_params.multi_items()
                description.request(request.method, request.url.path, query, body)
                return
        if (request.method, request.url.path) not in {("GET", ACCOUNT_PATH), ("POST", COMPANIES_PATH)}:
            raise Undescribed(f"{request.method} {request.url.path} is not described")

    def _answer(self, request: Request, body: Any) -> JSONResponse:
        path, query = request.url.path, request.query_params
        archived = query.get("archived") == "true"
        if path == ACCOUNT_PATH:
            return JSONResponse(self._account())
        if path == "/crm/v3/properties/0-3":
            return JSONResponse({"results": PROPERTIES})
        if path == "/crm/v3/pipelines/0-3":
            return JSONResponse({"results": _pipelines()})
        if path == DEALS_PATH:
            return self._list(query, archived)
        if path == f"{DEALS_PATH}/search":
            return self._search(body)
        if path == f"{DEALS_PATH}/batch/read":
            return self._read(body, archived)
        if path == COMPANIES_PATH:
            return self._companies(body)
        if path == "/crm/v3/owners":
            return self._list_owners(query, archived)
        if path.startswith("/crm/v3/owners/"):
            owner = self.owners.get(path.rpartition("/")[2])
            if owner is None or owner["archived"] is not archived:
                return _error(404, "OBJECT_NOT_FOUND", "No owner of this id.")
            return JSONResponse(owner)
        raise Undescribed(f"{request.method} {path} is not a part of this double")

    async def _token(self, request: Request) -> Response:
        """The token endpoint: everything stands in the body; a refresh token stays what it is."""
        form = dict(parse_qsl((await request.body()).decode()))
        if request.method != "POST" or request.url.query or not form.get("client_secret"):
            return JSONResponse({"status": "error", "error": "invalid_client"}, status_code=400)
        response = await self.tokens.endpoint(request)
        if response.status_code != 200:
            return response
        more = {"hub_id": 62515, "user_id": 9, "scopes": list(SCOPES), "expires_in": 1800}
        return JSONResponse({"refresh_token": form.get("refresh_token")} | orjson.loads(response.body) | more)

    def _account(self) -> dict[str, Any]:
        return {
            "portalId": 62515,
            "accountType": "STANDARD",
            "timeZone": "America/New_York",
            "companyCurrency": "USD",
            "additionalCurrencies": ["EUR"],
            "utcOffset": "-05:00",
            "utcOffsetMilliseconds": -18000000,
            "uiDomain": "app.hubspot.com",
            "dataHostingLocation": "na1",
        }

    def _shown(self, deal_id: str, properties: Iterable[str], histories: Iterable[str] = ()) -> dict[str, Any]:
        deal = self.deals[deal_id]
        names = dict.fromkeys((*(properties or DEFAULT_PROPERTIES), *SYSTEM_PROPERTIES, *histories))
        known = {one["name"] for one in PROPERTIES}
        values = deal["properties"]
        shown: dict[str, Any] = {
            "id": deal_id,
            "properties": {name: values.get(name) for name in names if name in known},
            "createdAt": values["hs_createdate"],
            "updatedAt": values["hs_lastmodifieddate"],
            "archived": deal["archivedAt"] is not None,
        }
        if deal["archivedAt"] is not None:
            shown["archivedAt"] = deal["archivedAt"]
        if histories:
            shown["propertiesWithHistory"] = {name: deal["history"].get(name, []) for name in histories}
        return shown

    def _list(self, query: Mapping[str, str], archived: bool) -> JSONResponse:
        histories = query["propertiesWithHistory"].split(",") if "propertiesWithHistory" in query else []
        limit, most = int(query.get("limit", "10")), self.limits["with_history" if histories else "list"]
        if limit > 100:
            return _error(400, "VALIDATION_ERROR", f"At most 100 records, not {limit}.")
        limit = min(limit, most)
        begin = int(query.get("after", "0"))
        ids = sorted(int(one) for one, deal in self.deals.items() if (deal["archivedAt"] is not None) is archived)
        page = [one for one in ids if one >= begin]
        properties = query["properties"].split(",") if "properties" in query else []
        answer: dict[str, Any] = {"results": [self._shown(str(one), properties, histories) for one in page[:limit]]}
        if len(page) > limit:
            answer["paging"] = _next(str(page[limit]))
        return JSONResponse(answer)

    def _read(self, body: Mapping[str, Any], archived: bool) -> JSONResponse:
        ids = [one["id"] for one in body["inputs"]]
        most = self.limits["with_history" if body["propertiesWithHistory"] else "batch"]
        if len(ids) > most:
            return _error(400, "VALIDATION_ERROR", f"At most {most} inputs, not {len(ids)}.")
        found = {self.merged.get(one, one): one for one in ids}
        there = [one for one in found if one in self.deals and (self.deals[one]["archivedAt"] is not None) is archived]
        missing = [found[one] for one in found if one not in there]
        failed = [one for one in there if one in self.failed_reads]
        results = [
            self._shown(one, body["properties"], body["propertiesWithHistory"]) for one in there if one not in failed
        ]
        at = iso(datetime.now(UTC))
        answer: dict[str, Any] = {"status": "COMPLETE", "results": results, "startedAt": at, "completedAt": at}
        errors = [_batch_error("OBJECT_NOT_FOUND", missing)] if missing else []
        errors += [_batch_error("INTERNAL_ERROR", failed)] if failed else []
        if not errors:
            return JSONResponse(answer)
        return JSONResponse(answer | {"numErrors": len(errors), "errors": errors}, status_code=207)

    def _search(self, body: Mapping[str, Any]) -> JSONResponse:
        after, limit = int(body["after"] or 0), body["limit"]
        if len(orjson.dumps(body)) > 3000 or len(body["filterGroups"]) > 5 or len(body["sorts"]) > 1:
            return _error(400, "VALIDATION_ERROR", "The search is too large.")
        if limit > self.limits["search"] or after + limit > self.limits["query"]:
            return _error(400, "VALIDATION_ERROR", "Paging goes beyond what a search gives.")
        groups = [group["filters"] for group in body["filterGroups"]]
        found = [
            deal_id
            for deal_id, values in self.index.items()
            if not groups or any(all(_meets(values, one) for one in group) for group in groups)
        ]
        sort = (body["sorts"] or ["hs_object_id"])[0]
        name = sort.removeprefix("-")
        found.sort(key=lambda one: _comparable(name, self.index[one].get(name)) or 0, reverse=sort.startswith("-"))
        page = found[after : after + limit]
        names = dict.fromkeys((*(body["properties"] or DEFAULT_PROPERTIES), *SYSTEM_PROPERTIES))
        results = [
            {
                "id": one,
                "properties": {name: self.index[one].get(name) for name in names},
                "createdAt": self.index[one]["hs_createdate"],
                "updatedAt": self.index[one]["hs_lastmodifieddate"],
                "archived": False,
            }
            for one in page
        ]
        answer: dict[str, Any] = {"total": len(found), "results": results}
        if len(found) > after + limit:
            answer["paging"] = _next(str(after + limit))
        return JSONResponse(answer)

    def _companies(self, body: Mapping[str, Any]) -> JSONResponse:
        if not self.sees_companies:
            return _error(403, "MISSING_SCOPES", "This app hasn't been granted all required scopes to make this call.")
        ids = [one["id"] for one in body["inputs"]]
        if len(ids) > 1000:
            return _error(400, "VALIDATION_ERROR", "At most 1000 inputs.")
        at = iso(datetime.now(UTC))
        results = [
            {"from": {"id": one}, "to": [{"id": company, "type": "deal_to_company"} for company in companies]}
            for one in ids
            if (companies := self.deals.get(one, {}).get("companies"))
        ]
        answer: dict[str, Any] = {"status": "COMPLETE", "results": results, "startedAt": at, "completedAt": at}
        if len(results) == len(ids):
            return JSONResponse(answer)
        none = [one for one in ids if not self.deals.get(one, {}).get("companies")]
        error = _batch_error("OBJECT_NOT_FOUND", none) | {
            "subCategory": "crm.associations.NO_ASSOCIATIONS_FOUND",
            "message": "No company is associated with these deals.",
        }
        return JSONResponse(answer | {"numErrors": 1, "errors": [error]}, status_code=207)

    def _list_owners(self, query: Mapping[str, str], archived: bool) -> JSONResponse:
        limit, begin = int(query.get("limit", "100")), int(query.get("after", "0"))
        if limit > 500:
            return _error(400, "VALIDATION_ERROR", "At most 500 owners.")
        limit = min(limit, self.limits["owners"])
        owners = [one for one in self.owners.values() if one["archived"] is archived and int(one["id"]) >= begin]
        answer: dict[str, Any] = {"results": owners[:limit]}
        if len(owners) > limit:
            answer["paging"] = _next(owners[limit]["id"])
        return JSONResponse(answer)


def _next(after: str) -> dict[str, Any]:
    return {"next": {"after": after, "link": f"?after={after}"}}


def _error(status: int, category: str, message: str) -> JSONResponse:
    body = {"message": message, "correlationId": str(uuid4()), "category": category}
    return JSONResponse(body, status_code=status)


def _batch_error(category: str, ids: list[str]) -> dict[str, Any]:
    return {
        "status": "error",
        "category": category,
        "message": f"Could not get some deals: {category}.",
        "context": {"ids": ids},
        "errors": [],
        "links": {},
    }


def _pipelines() -> list[dict[str, Any]]:
    at = "2020-01-01T00:00:00Z"
    return [
        {
            "id": key,
            "label": label,
            "displayOrder": order,
            "createdAt": at,
            "updatedAt": at,
            "archived": False,
            "stages": [
                {
                    "id": stage,
                    "label": name,
                    "displayOrder": place,
                    "metadata": {"isClosed": str(closed).lower(), "probability": "1.0" if won else "0.2"},
                    "createdAt": at,
                    "updatedAt": at,
                    "archived": False,
                    "writePermissions": "CRM_PERMISSIONS_ENFORCEMENT",
                }
                for place, (stage, name, closed, won) in enumerate(STAGES[key])
            ],
        }
        for order, (key, label) in enumerate(PIPELINES.items())
    ]


def _comparable(name: str, value: str | None) -> Any:
    """A value as search compares it."""
    if value in (None, ""):
        return None
    assert value is not None
    if name in INSTANTS:
        if value.isdecimal():
            return int(value)
        return round(datetime.fromisoformat(value).timestamp() * 1000)
    return float(value) if name in NUMBERS else value


def _meets(values: Mapping[str, Any], condition: Mapping[str, Any]) -> bool:
    name, operator = condition["propertyName"], condition["operator"]
    held = _comparable(name, values.get(name))
    if operator == "HAS_PROPERTY":
        return held is not None
    if operator == "NOT_HAS_PROPERTY":
        return held is None
    if held is None:
        return operator == "NEQ"
    wanted = _comparable(name, condition["value"])
    return bool(
        {
            "EQ": held == wanted,
            "NEQ": held != wanted,
            "GT": held > wanted,
            "GTE": held >= wanted,
            "LT": held < wanted,
            "LTE": held <= wanted,
        }[operator]
    )
