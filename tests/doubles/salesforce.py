"""A Salesforce organization: OAuth, SOQL, describe, Get Deleted, query jobs of the Bulk API 2.0.

Written from Salesforce's documentation:
- OAuth: "OAuth 2.0 Web Server Flow for Web App Integration", "OAuth 2.0 Refresh Token Flow for Renewed Sessions"
  (Salesforce Help);
- REST API Developer Guide: "Query", "QueryAll", "QueryAll More Results", "sObject Describe", "sObject Get Deleted",
  "Status Codes and Error Responses";
- Bulk API 2.0 and Bulk API Developer Guide: "Create a Query Job", "Get Information About a Query Job", "Get Results for
  a Query Job";
- SOQL and SOSL Reference: "SELECT" with FIELDS(), "WHERE", "Condition Expression Syntax", "LIMIT", "COUNT()";
- Object Reference: Opportunity, OpportunityHistory, OpportunityFieldHistory, OpportunityStage, User, Organization,
  CurrencyType, DatedConversionRate; Tooling API: FieldDefinition; "Field History Tracking" (Security Guide);
- SOAP API Developer Guide: "getDeleted()", "GetDeletedResult".

Its SOQL is the part that a sync of opportunities needs, and strict about it: unknown objects and fields, literals of
the wrong type, AND beside OR without parentheses, fields that cannot be filtered, FIELDS(ALL) without a LIMIT and too
long addresses are refused as Salesforce refuses them. Its clock is the machine's, moved by `advance`; like Salesforce's
stamps it knows whole seconds.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode

import orjson
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from tests.doubles.base import Double

API = "/services/data/v62.0"
ADDRESS_LIMIT = 16_384
STAGES = (
    ("Prospecting", False, False),
    ("Qualification", False, False),
    ("Proposal", False, False),
    ("Negotiation", False, False),
    ("Closed Won", True, True),
    ("Closed Lost", True, False),
)


@dataclass(frozen=True, slots=True)
class Column:
    """A field of an object."""

    type: str
    label: str = ""
    filterable: bool = True
    reference: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    length: int = 0


def _columns(**types: str) -> dict[str, Column]:
    return {name: Column(type, name) for name, type in types.items()}


def opportunity_columns() -> dict[str, Column]:
    """The fields of opportunities of an organization with one currency."""
    stages = tuple(name for name, _closed, _won in STAGES)
    return {
        "Id": Column("id", "Opportunity ID", length=18),
        "IsDeleted": Column("boolean", "Deleted"),
        "AccountId": Column("reference", "Account ID", reference=("Account",)),
        "Name": Column("string", "Name", length=120),
        "Description": Column("textarea", "Description", filterable=False, length=32_000),
        "StageName": Column("picklist", "Stage", values=stages),
        "Amount": Column("currency", "Amount"),
        "Probability": Column("percent", "Probability (%)"),
        "CloseDate": Column("date", "Close Date"),
        "Type": Column("picklist", "Opportunity Type", values=("New Business", "Existing Business")),
        "IsClosed": Column("boolean", "Closed"),
        "IsWon": Column("boolean", "Won"),
        "OwnerId": Column("reference", "Owner ID", reference=("User",)),
        "CreatedDate": Column("datetime", "Created Date"),
        "CreatedById": Column("reference", "Created By ID", reference=("User",)),
        "LastModifiedDate": Column("datetime", "Last Modified Date"),
        "SystemModstamp": Column("datetime", "System Modstamp"),
    }


OTHERS: dict[str, dict[str, Column]] = {
    "OpportunityHistory": _columns(Id="id", OpportunityId="id", StageName="string", CreatedDate="datetime"),
    "OpportunityFieldHistory": {
        **_columns(Id="id", OpportunityId="id", Field="string", CreatedDate="datetime"),
        "OldValue": Column("anyType", filterable=False),
        "NewValue": Column("anyType", filterable=False),
    },
    "OpportunityStage": _columns(
        Id="id", ApiName="string", MasterLabel="string", IsActive="boolean", IsClosed="boolean", IsWon="boolean"
    ),
    "User": _columns(Id="id", Name="string", Email="email", IsActive="boolean"),
    "Organization": _columns(Id="id", Name="string"),
    "CurrencyType": _columns(
        Id="id",
        IsoCode="string",
        ConversionRate="double",
        IsActive="boolean",
        IsCorporate="boolean",
        SystemModstamp="datetime",
    ),
    "DatedConversionRate": _columns(
        Id="id", IsoCode="string", StartDate="date", ConversionRate="double", SystemModstamp="datetime"
    ),
}
TOOLING = {
    "FieldDefinition": {
        **_columns(QualifiedApiName="string", IsFieldHistoryTracked="boolean"),
        "EntityDefinition.QualifiedApiName": Column("string"),
    }
}


class Refused(Exception):
    """Salesforce refuses a request."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code, self.message, self.status = code, message, status


def iso(instant: datetime) -> str:
    """An instant as the REST API writes it."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000+0000")


# SOQL


_TOKEN = re.compile(
    r"\s*(?:(?P<text>'(?:[^'\\]|\\.)*')|(?P<instant>\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d))|(?P<date>\d{4}-\d\d-\d\d)"
    r"|(?P<number>-?\d+(?:\.\d+)?)|(?P<word>[A-Za-z_][A-Za-z0-9_.]*)|(?P<sign><=|>=|!=|[=<>(),]))"
)
_KINDS = {
    "text": ("id", "string", "picklist", "reference", "email", "textarea"),
    "instant": ("datetime",),
    "date": ("date",),
    "number": ("double", "currency", "percent", "int"),
    "boolean": ("boolean",),
}
_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda one, other: one == other,
    "!=": lambda one, other: one != other,
    "<": lambda one, other: one is not None and one < other,
    ">": lambda one, other: one is not None and one > other,
    "<=": lambda one, other: one is not None and one <= other,
    ">=": lambda one, other: one is not None and one >= other,
}
Row = dict[str, Any]
Test = Callable[[Row], bool]


@dataclass
class Query:
    """A query that was understood."""

    fields: list[str]
    object: str
    test: Test
    order: list[tuple[str, bool]]
    limit: int | None
    count: bool


class _Parser:
    """Reads one query; everything that it does not know is MALFORMED_QUERY."""

    def __init__(self, soql: str, schema: dict[str, dict[str, Column]]) -> None:
        self._schema = schema
        self._tokens: list[tuple[str, str]] = []
        place = 0
        soql = soql.rstrip()
        while place < len(soql):
            match = _TOKEN.match(soql, place)
            if match is None:
                raise Refused("MALFORMED_QUERY", f"unexpected token: {soql[place : place + 10]!r}")
            self._tokens.append((str(match.lastgroup), match[str(match.lastgroup)]))
            place = match.end()
        self._place = 0

    def _peek(self) -> tuple[str, str]:
        return self._tokens[self._place] if self._place < len(self._tokens) else ("end", "")

    def _next(self, *wanted: str) -> str:
        kind, text = self._peek()
        if wanted and text.upper() not in wanted:
            raise Refused("MALFORMED_QUERY", f"unexpected token: {text!r}, expecting {' or '.join(wanted)}")
        self._place += 1
        if kind == "end":
            raise Refused("MALFORMED_QUERY", "unexpected end")
        return text

    def _takes(self, word: str) -> bool:
        if self._peek()[1].upper() != word:
            return False
        self._place += 1
        return True

    def read(self) -> Query:
        self._next("SELECT")
        names, count, everything = self._selected()
        self._next("FROM")
        name = self._next()
        if name not in self._schema:
            raise Refused("INVALID_TYPE", f"sObject type '{name}' is not supported.")
        columns = self._schema[name]
        for field_name in names:
            self._column(name, columns, field_name)
        test: Test = self._either(name, columns) if self._takes("WHERE") else lambda _row: True
        order = self._ordered(name, columns) if self._takes("ORDER") else []
        limit = int(self._next()) if self._takes("LIMIT") else None
        if self._peek()[0] != "end":
            raise Refused("MALFORMED_QUERY", f"unexpected token: {self._peek()[1]!r}")
        if everything:
            if limit is None or limit > 200:
                raise Refused("MALFORMED_QUERY", "The SOQL FIELDS function must have a LIMIT of at most 200")
            names = list(columns)
        return Query(names, name, test, order, limit, count)

    def _selected(self) -> tuple[list[str], bool, bool]:
        first = self._next()
        if first.upper() in ("COUNT", "FIELDS"):
            self._next("(")
            if first.upper() == "FIELDS":
                self._next("ALL")
            self._next(")")
            return [], first.upper() == "COUNT", first.upper() == "FIELDS"
        names = [first]
        while self._takes(","):
            names.append(self._next())
        if len(set(names)) != len(names):
            raise Refused("INVALID_FIELD", "duplicate field selected")
        return names, False, False

    def _column(self, name: str, columns: dict[str, Column], field_name: str) -> Column:
        if field_name not in columns:
            raise Refused(
                "INVALID_FIELD",
                f"No such column '{field_name}' on entity '{name}'. If you are attempting to use a "
                "custom field, be sure to append the '__c' after the custom field name.",
            )
        return columns[field_name]

    def _ordered(self, name: str, columns: dict[str, Column]) -> list[tuple[str, bool]]:
        self._next("BY")
        order = []
        while True:
            field_name = self._next()
            self._column(name, columns, field_name)
            descending = self._takes("DESC")
            if not descending:
                self._takes("ASC")
            order.append((field_name, descending))
            if not self._takes(","):
                return order

    def _either(self, name: str, columns: dict[str, Column]) -> Test:
        tests = [self._term(name, columns)]
        joined: set[str] = set()
        while self._peek()[1].upper() in ("AND", "OR"):
            joined.add(self._next().upper())
            tests.append(self._term(name, columns))
        if len(joined) > 1:
            raise Refused("MALFORMED_QUERY", "unexpected token: AND and OR need parentheses")
        combine = any if joined == {"OR"} else all
        return lambda row: combine(test(row) for test in tests)

    def _term(self, name: str, columns: dict[str, Column]) -> Test:
        if self._takes("("):
            test = self._either(name, columns)
            self._next(")")
            return test
        field_name = self._next()
        column = self._column(name, columns, field_name)
        if not column.filterable:
            raise Refused("INVALID_FIELD", f"field '{field_name}' can not be filtered in a query call")
        if self._takes("IN"):
            self._next("(")
            values = {self._literal(field_name, column)}
            while self._takes(","):
                values.add(self._literal(field_name, column))
            self._next(")")
            return lambda row: row[field_name] in values
        operator = _OPERATORS[self._next(*_OPERATORS)]
        value = self._literal(field_name, column)
        return lambda row: operator(row[field_name], value)

    def _literal(self, field_name: str, column: Column) -> Any:
        kind, text = self._peek()
        if text.upper() in ("TRUE", "FALSE"):
            kind = "boolean"
        if text.upper() == "NULL":
            self._next()
            return None
        if column.type not in _KINDS.get(kind, ()):
            raise Refused(
                "INVALID_FIELD", f"value of filter criterion for field '{field_name}' must be of type {column.type}"
            )
        self._next()
        if kind == "text":
            return re.sub(r"\\(.)", r"\1", text[1:-1])
        if kind == "boolean":
            return text.upper() == "TRUE"
        if kind == "instant":
            return datetime.fromisoformat(text)
        return date.fromisoformat(text) if kind == "date" else Decimal(text)


# The organization


@dataclass
class Opportunity:
    """An opportunity; its values as Python has them."""

    values: Row
    whole: Row | None = None


@dataclass
class Job:
    """A query job."""

    id: str
    created: datetime
    fields: list[str]
    rows: list[Row]
    states: list[str] = field(default_factory=list)
    error: str | None = None


class SalesforceDouble(Double):
    """An organization.

    Args:
        currencies: Of which `USD` is the corporate one and others have rates; without, it has a single currency.
    """

    kind = "salesforce"
    token_paths = frozenset({"/services/oauth2/token"})

    def __init__(self, *, currencies: bool = False) -> None:
        self.offset = timedelta()
        self.columns = opportunity_columns()
        self.tracked = {"OwnerId", "StageName"}
        self.stages = list(STAGES)
        self.rest_page = 2_000
        self.job_states: list[str] = []
        self.job_error: str | None = None
        self.bulk_enabled = True
        self.strip_locator = False
        self.opportunities: dict[str, Opportunity] = {}
        self.history: list[Row] = []
        self.field_history: list[Row] = []
        self.purged: list[str] = []
        self.deleted_log: list[tuple[str, datetime]] = []
        self.latest_covered: datetime | None = None
        self.jobs: dict[str, Job] = {}
        self.locators: dict[str, tuple[list[Row], int]] = {}
        self.currency_types: list[Row] = []
        self.dated_rates: list[Row] = []
        self.advanced_currencies = False
        self.requests_limit: str | None = None
        self.challenges: dict[str, tuple[str, str]] = {}
        self.access_token, self.refresh_token = "00D-access-1", "5Aep-refresh-1"
        self.rotates = False
        self._numbers = itertools.count(1)
        super().__init__()
        self._server.config.date_header = False  # Its own clock tells the date.
        self.users = {
            self._id("005"): {"Name": email.partition("@")[0].title(), "Email": email.replace("rep@", "Rep@")}
            for email in self.people
        }
        if currencies:
            self.columns["CurrencyIsoCode"] = Column("picklist", "Currency", values=("USD", "EUR", "JPY"))
            self.currency_types = [
                self._currency("USD", "1.0", corporate=True),
                self._currency("EUR", "0.8"),
                self._currency("JPY", "150"),
            ]
        self.secrets = {
            "access_token": self.access_token,
            "refresh_token": self.refresh_token,
            "expires_at": (datetime.now(UTC) + timedelta(hours=2)).isoformat(),
        }

    # The clock, ids, and what happens

    @property
    def now(self) -> datetime:
        """The organization's clock; whole seconds."""
        return (datetime.now(UTC) + self.offset).replace(microsecond=0)

    def advance(self, **span: float) -> None:
        """Let time pass."""
        self.offset += timedelta(**span)

    def _id(self, prefix: str) -> str:
        short = f"{prefix}dL{next(self._numbers):010d}"
        letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
        check = (
            letters[sum(1 << place for place, letter in enumerate(short[start : start + 5]) if letter.isupper())]
            for start in (0, 5, 10)
        )
        return short + "".join(check)

    def _currency(self, code: str, rate: str, *, corporate: bool = False) -> Row:
        return {
            "Id": self._id("01L"),
            "IsoCode": code,
            "ConversionRate": Decimal(rate),
            "IsActive": True,
            "IsCorporate": corporate,
            "SystemModstamp": self.now,
        }

    def rate(self, code: str, day: date, rate: str) -> None:
        """Set a rate from a day on, with advanced currency management."""
        self.advanced_currencies = True
        self.dated_rates.append(
            {
                "Id": self._id("04w"),
                "IsoCode": code,
                "StartDate": day,
                "ConversionRate": Decimal(rate),
                "SystemModstamp": self.now,
            }
        )

    def user(self, email: str | None) -> str:
        """Add a user."""
        user_id = self._id("005")
        self.users[user_id] = {"Name": "Somebody", "Email": email}
        return user_id

    def create(self, **values: Any) -> str:
        """Make an opportunity, at this moment."""
        with self.lock:
            opportunity_id = self._id("006")
            owner = values.pop("OwnerId", next(iter(self.users)))
            row = dict.fromkeys(self.columns)
            row |= {
                "Id": opportunity_id,
                "IsDeleted": False,
                "Name": f"Opportunity {opportunity_id}",
                "StageName": "Prospecting",
                "Amount": Decimal("1000.5"),
                "CloseDate": self.now.date(),
                "OwnerId": owner,
                "CreatedById": owner,
                "CreatedDate": self.now,
                "LastModifiedDate": self.now,
                "SystemModstamp": self.now,
            }
            if "CurrencyIsoCode" in self.columns:
                row["CurrencyIsoCode"] = "USD"
            self.opportunities[opportunity_id] = Opportunity(row)
            row |= values
            self._derive(row)
            self._note_stage(row)
            return opportunity_id

    def update(self, opportunity_id: str, **values: Any) -> None:
        """Change an opportunity, at this moment, with the histories that Salesforce keeps of it."""
        with self.lock:
            row = self.opportunities[opportunity_id].values
            before = dict(row)
            row |= values
            row["LastModifiedDate"] = row["SystemModstamp"] = self.now
            self._derive(row)
            if any(before[name] != row[name] for name in ("StageName", "Amount", "CloseDate")):
                self._note_stage(row)
            for name in sorted(self.tracked & set(values)):
                if before[name] != row[name]:
                    self._note_change(opportunity_id, name, before[name], row[name])

    def _derive(self, row: Row) -> None:
        closed, won = next(
            ((closed, won) for name, closed, won in self.stages if name == row["StageName"]), (None, None)
        )
        if row["StageName"] is not None:
            row["IsClosed"], row["IsWon"] = bool(closed), bool(won)

    def _note_stage(self, row: Row) -> None:
        self.history.append(
            {
                "Id": self._id("008"),
                "OpportunityId": row["Id"],
                "StageName": row["StageName"],
                "CreatedDate": self.now,
            }
        )

    def _note_change(self, opportunity_id: str, name: str, before: Any, after: Any) -> None:
        rows = [(before, after)]
        if self.columns[name].reference:
            names = [None if one is None else self.users[one]["Name"] for one in (before, after)]
            rows = [(names[0], names[1]), (before, after)]
        for old, new in rows:
            self.field_history.append(
                {
                    "Id": self._id("017"),
                    "OpportunityId": opportunity_id,
                    "Field": "Owner" if name == "OwnerId" else name,
                    "OldValue": old,
                    "NewValue": new,
                    "CreatedDate": self.now,
                }
            )

    def purge(self, opportunity_id: str) -> None:
        """Take an opportunity out of the recycle bin, for ever."""
        with self.lock:
            del self.opportunities[opportunity_id]

    def undelete(self, opportunity_id: str) -> None:
        """Take an opportunity out of the recycle bin, back among the others."""
        with self.lock:
            self.update(opportunity_id, IsDeleted=False)

    def drop_field(self, name: str) -> None:
        """Delete a field, or hide it from the integration's user."""
        with self.lock:
            del self.columns[name]

    # What all doubles do

    def add(self, count: int) -> list[str]:
        users = list(self.users)
        with self.lock:
            return [
                self.create(OwnerId=users[number % len(users)], StageName=STAGES[number % len(STAGES)][0])
                for number in range(count)
            ]

    def change(self, external_id: str) -> None:
        with self.lock:
            row = self.opportunities[external_id].values
            self.update(external_id, Name=f"{row['Name']}!", Amount=row["Amount"] + 1)

    def remove(self, external_id: str) -> None:
        with self.lock:
            self.update(external_id, IsDeleted=True)
            self.deleted_log.append((external_id, self.now))

    def spoil(self, external_id: str) -> None:
        with self.lock:
            opportunity = self.opportunities[external_id]
            opportunity.whole = {"StageName": opportunity.values["StageName"]}
            opportunity.values |= {"StageName": None, "SystemModstamp": self.now}

    def mend(self, external_id: str) -> None:
        with self.lock:
            opportunity = self.opportunities[external_id]
            opportunity.values |= {**(opportunity.whole or {}), "SystemModstamp": self.now}

    def token_ended(self, request: Request) -> Response:
        return self._refusal(Refused("INVALID_SESSION_ID", "Session expired or invalid", 401))

    # The API

    def routes(self) -> list[BaseRoute]:
        def guarded(handler: Callable[[Request], Any]) -> Callable[[Request], Any]:
            async def answer(request: Request) -> Response:
                body = await request.body()
                with self.lock:
                    response = self._answer(request, body, handler)
                response.headers["date"] = format_datetime(self.now, usegmt=True)
                return response

            return answer

        return [
            Route("/services/oauth2/authorize", self._authorize),
            Route("/services/oauth2/token", self._token, methods=["POST"]),
            Route(f"{API}/query", guarded(lambda request: self._query(request, deleted=False))),
            Route(f"{API}/queryAll", guarded(lambda request: self._query(request, deleted=True))),
            Route(f"{API}/query/{{locator}}", guarded(self._more)),
            Route(f"{API}/tooling/query", guarded(self._tooling)),
            Route(f"{API}/sobjects/Opportunity/describe", guarded(self._describe)),
            Route(f"{API}/sobjects/Opportunity/deleted/", guarded(self._deleted)),
            Route(f"{API}/jobs/query", guarded(self._create_job), methods=["POST"]),
            Route(f"{API}/jobs/query/{{job}}", guarded(self._job)),
            Route(f"{API}/jobs/query/{{job}}/results", guarded(self._results)),
        ]

    def _answer(self, request: Request, body: bytes, handler: Callable[[Request], Any]) -> Response:
        try:
            if request.headers.get("authorization") != f"Bearer {self.access_token}":
                return self.token_ended(request)
            if self.requests_limit is not None:
                raise Refused("REQUEST_LIMIT_EXCEEDED", self.requests_limit, 403)
            if len(request.url.path) + len(request.url.query) > ADDRESS_LIMIT:
                return Response("URI Too Long", 414)
            request.state.body = body
            response: Response = handler(request)
            return response
        except Refused as refused:
            return self._refusal(refused)

    def _refusal(self, refused: Refused) -> Response:
        return JSONResponse([{"message": refused.message, "errorCode": refused.code}], refused.status)

    async def _authorize(self, request: Request) -> Response:
        asked = request.query_params
        code = f"aPrx-{next(self._numbers)}"
        self.challenges[code] = asked.get("code_challenge", ""), asked["redirect_uri"]
        return RedirectResponse(f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked.get('state', '')})}")

    async def _token(self, request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode()))

        def no(error: str, description: str) -> Response:
            return JSONResponse({"error": error, "error_description": description}, 400)

        if not form.get("client_id"):
            return no("invalid_client_id", "client identifier invalid")
        with self.lock:
            told: dict[str, str] = {}
            if form.get("grant_type") == "authorization_code":
                challenge, address = self.challenges.pop(form.get("code", ""), ("", None))
                digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
                if address is None or form.get("redirect_uri") != address:
                    return no("invalid_grant", "expired authorization code")
                if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != challenge:
                    return no("invalid_grant", "invalid code verifier")
                told["refresh_token"] = self.refresh_token
            elif form.get("grant_type") != "refresh_token":
                return no("unsupported_grant_type", "grant type not supported")
            elif form.get("refresh_token") != self.refresh_token:
                return no("invalid_grant", "expired access/refresh token")
            self.access_token = f"00D-access-{next(self._numbers)}"
            if self.rotates and form.get("grant_type") == "refresh_token":
                self.refresh_token = told["refresh_token"] = f"5Aep-refresh-{next(self._numbers)}"
            return JSONResponse(
                told
                | {
                    "access_token": self.access_token,
                    "signature": "c2lnbmF0dXJl",
                    "scope": "refresh_token api",
                    "instance_url": self.base_url,
                    "id": f"{self.base_url}/id/00D000000000001AAA/005000000000001AAA",
                    "token_type": "Bearer",
                    "issued_at": str(int(self.now.timestamp() * 1000)),
                }
            )

    def _tables(self) -> dict[str, dict[str, Column]]:
        tables = {"Opportunity": self.columns, **OTHERS}
        if not self.currency_types:
            del tables["CurrencyType"]
        if not self.advanced_currencies:
            del tables["DatedConversionRate"]
        return tables

    def _rows(self, name: str, *, deleted: bool) -> list[Row]:
        live = {key for key, one in self.opportunities.items() if deleted or not one.values["IsDeleted"]}
        match name:
            case "Opportunity":
                return [self.opportunities[key].values for key in live]
            case "OpportunityHistory":
                return [row for row in self.history if row["OpportunityId"] in live]
            case "OpportunityFieldHistory":
                recent = self.now - timedelta(days=549)
                return [
                    row
                    for row in self.field_history
                    if row["OpportunityId"] in live and (deleted or row["CreatedDate"] > recent)
                ]
            case "OpportunityStage":
                return [
                    {
                        "Id": f"01J{name}",
                        "ApiName": name,
                        "MasterLabel": name.upper(),
                        "IsActive": True,
                        "IsClosed": closed,
                        "IsWon": won,
                    }
                    for name, closed, won in self.stages
                ]
            case "User":
                return [{"Id": key, "IsActive": True, **user} for key, user in self.users.items()]
            case "Organization":
                return [{"Id": "00DdL0000000001UAA", "Name": "Double Ltd."}]
            case "CurrencyType":
                return self.currency_types
            case _:
                return self.dated_rates

    def _run(self, query: Query, rows: list[Row]) -> list[Row]:
        found = [row for row in rows if query.test(row)]
        for name, descending in reversed(query.order):
            found.sort(key=lambda row, name=name: row[name], reverse=descending)
        return [{name: row[name] for name in query.fields} for row in found][: query.limit]

    def _query(self, request: Request, *, deleted: bool) -> Response:
        query = _Parser(request.query_params["q"], self._tables()).read()
        rows = self._rows(query.object, deleted=deleted)
        if query.count:
            return _json({"totalSize": sum(map(query.test, rows)), "done": True, "records": []})
        return self._page(query.object, self._run(query, rows), 0)

    def _page(self, name: str, rows: list[Row], start: int) -> Response:
        page = rows[start : start + self.rest_page]
        path = f"{API}/sobjects/{name}"
        records = [{"attributes": {"type": name, "url": f"{path}/{row.get('Id', '')}"}, **row} for row in page]
        told: dict[str, Any] = {"totalSize": len(rows), "done": True, "records": records}
        if start + len(page) < len(rows):
            locator = f"01gdL{next(self._numbers):013d}-{start + len(page)}"
            self.locators[locator] = ([{"_": name}, *rows], start + len(page))
            told |= {"done": False, "nextRecordsUrl": f"{API}/query/{locator}"}
        return _json(told)

    def _more(self, request: Request) -> Response:
        held = self.locators.get(request.path_params["locator"])
        if held is None:
            raise Refused("INVALID_QUERY_LOCATOR", "invalid query locator")
        (head, *rows), start = held
        return self._page(head["_"], rows, start)

    def _tooling(self, request: Request) -> Response:
        query = _Parser(request.query_params["q"], TOOLING).read()
        rows = [
            {
                "QualifiedApiName": name,
                "IsFieldHistoryTracked": name in self.tracked,
                "EntityDefinition.QualifiedApiName": "Opportunity",
            }
            for name in self.columns
        ]
        return self._page(query.object, self._run(query, rows), 0)

    def _describe(self, _request: Request) -> Response:
        fields = [
            {
                "name": name,
                "label": column.label,
                "type": column.type,
                "length": column.length,
                "nillable": True,
                "referenceTo": list(column.reference),
                "picklistValues": [
                    {"active": True, "defaultValue": False, "label": value, "validFor": None, "value": value}
                    for value in column.values
                ],
            }
            for name, column in self.columns.items()
        ]
        return _json({"name": "Opportunity", "label": "Opportunity", "queryable": True, "fields": fields})

    def _deleted(self, request: Request) -> Response:
        try:
            start, end = (datetime.fromisoformat(request.query_params[name]) for name in ("start", "end"))
        except (KeyError, ValueError) as error:
            raise Refused("INVALID_REPLICATION_DATE", f"not a date: {error}") from error
        start, end = start.replace(second=0), end.replace(second=0)
        if end - start <= timedelta(minutes=1):
            raise Refused("INVALID_REPLICATION_DATE", "endDate must be more than one minute after startDate")
        if start < self.now - timedelta(days=15):
            raise Refused("INVALID_REPLICATION_DATE", "startDate before the replication data that is available")
        # The end's whole minute is not over yet; what is deleted in it is told by the next call too.
        found = [(key, at) for key, at in self.deleted_log if start <= at <= max(end, self.now)]
        return _json(
            {
                "deletedRecords": [{"id": key, "deletedDate": at} for key, at in found],
                "earliestDateAvailable": min((at for _key, at in self.deleted_log), default=self.now),
                "latestDateCovered": self.latest_covered or end,
            }
        )

    # Query jobs

    def _create_job(self, request: Request) -> Response:
        if not self.bulk_enabled:
            raise Refused("FEATURENOTENABLED", "Bulk API is not enabled", 403)
        told = orjson.loads(request.state.body)
        if told.get("operation") != "query" or set(told) - {
            "operation",
            "query",
            "contentType",
            "columnDelimiter",
            "lineEnding",
        }:
            raise Refused("INVALIDJOB", "the job is none")
        query = _Parser(told["query"], self._tables()).read()
        if query.count or "FIELDS(" in told["query"] or query.order or query.limit is not None:
            raise Refused("INVALIDJOB", "not for query jobs")
        job = Job(self._id("750"), self.now, query.fields, self._run(query, self._rows("Opportunity", deleted=False)))
        job.states = list(self.job_states)
        job.error = self.job_error
        self.jobs[job.id] = job
        return _json(self._told_of(job, "UploadComplete"))

    def _told_of(self, job: Job, state: str) -> Row:
        told: Row = {
            "id": job.id,
            "operation": "query",
            "object": "Opportunity",
            "createdDate": job.created,
            "systemModstamp": job.created,
            "state": state,
            "concurrencyMode": "Parallel",
            "contentType": "CSV",
            "apiVersion": 62.0,
            "lineEnding": "LF",
            "columnDelimiter": "COMMA",
        }
        if state == "JobComplete":
            told |= {"numberRecordsProcessed": len(job.rows), "retries": 0, "totalProcessingTime": 334}
        if state == "Failed":
            told["errorMessage"] = job.error
        return told

    def _found(self, request: Request) -> Job:
        job = self.jobs.get(request.path_params["job"])
        if job is None or self.now - job.created > timedelta(days=7):
            raise Refused("NOT_FOUND", "The requested resource does not exist", 404)
        return job

    def _job(self, request: Request) -> Response:
        job = self._found(request)
        if job.states:
            return _json(self._told_of(job, job.states.pop(0)))
        return _json(self._told_of(job, "Failed" if job.error else "JobComplete"))

    def _results(self, request: Request) -> Response:
        job = self._found(request)
        if job.states or job.error:
            raise Refused("INVALIDJOBSTATE", "the job is not complete")
        start = int(base64.b64decode(request.query_params.get("locator", "MA==")))
        end = start + int(request.query_params["maxRecords"])
        text = io.StringIO()
        table = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n")
        table.writerow(job.fields)
        table.writerows([_cell(row[name]) for name in job.fields] for row in job.rows[start:end])
        more = base64.b64encode(str(end).encode()).decode() if end < len(job.rows) else "null"
        headers = {"Sforce-Locator": more, "Sforce-NumberOfRecords": str(len(job.rows[start:end]))}
        return Response(text.getvalue(), 200, {} if self.strip_locator else headers, media_type="text/csv")


def _cell(value: Any) -> str:
    """A value as the Bulk API writes it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%S.000Z")
    return format(value, "f") if isinstance(value, Decimal) else str(value)


def _json(told: Any) -> Response:
    """JSON as Salesforce writes it: instants with +0000, decimals as numbers with a point."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(one) for key, one in value.items()}
        if isinstance(value, list):
            return [plain(one) for one in value]
        if isinstance(value, datetime):
            return iso(value)
        if isinstance(value, date):
            return value.isoformat()
        if isinstance(value, Decimal):
            return orjson.Fragment(format(value, "f") if "." in format(value, "f") else f"{value:f}.0")
        return value

    return Response(orjson.dumps(plain(told)), media_type="application/json")
