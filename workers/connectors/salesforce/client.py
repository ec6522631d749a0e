"""Salesforce's REST API and Bulk API 2.0, as far as the connector needs them, over a session."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx
import msgspec

from domain.connectors import RateLimited, RemoteRefused, RemoteUnavailable
from workers.connectors.base import Session

API = "/services/data/v62.0"
DAILY_LIMIT_SECONDS = 900.0
"""The limit of requests is over the last 24 hours and refills little by little."""
CONCURRENT_LIMIT_SECONDS = 30.0
TRANSIENT = frozenset(
    {
        "INVALID_QUERY_LOCATOR",
        "OPERATION_TIMED_OUT",
        "QUERY_TIMEOUT",
        "SERVER_UNAVAILABLE",
        "UNABLE_TO_LOCK_ROW",
        "UNKNOWN_EXCEPTION",
    }
)
PAGES_LIMIT = 1_000
"""The most pages that one query is followed through."""


class Fault(RemoteRefused):
    """Salesforce refuses a request, and says why.

    Args:
        code: Salesforce's error code, such as INVALID_FIELD.
        status: Of the answer.
    """

    def __init__(self, message: str, code: str, status: int) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


class Told(msgspec.Struct):
    """One error of an answer."""

    message: str = ""
    errorCode: str = ""


class PicklistValue(msgspec.Struct):
    """A value of a picklist."""

    value: str


class FieldTold(msgspec.Struct):
    """A field as a describe tells it."""

    name: str
    label: str
    type: str
    length: int = 0
    referenceTo: list[str] = []
    picklistValues: list[PicklistValue] = []


class Described(msgspec.Struct):
    """The answer of a describe."""

    fields: list[FieldTold]


class Rows(msgspec.Struct):
    """A page of a query's answer."""

    records: list[dict[str, Any]]
    totalSize: int = 0
    done: bool = True
    nextRecordsUrl: str | None = None


class Job(msgspec.Struct):
    """A query job of the Bulk API."""

    id: str
    state: str
    createdDate: str = ""
    errorMessage: str | None = None
    numberRecordsProcessed: int | None = None


class DeletedRecord(msgspec.Struct):
    """An entry of the log of deletions."""

    id: str
    deletedDate: str


class Deleted(msgspec.Struct):
    """The answer of Get Deleted."""

    deletedRecords: list[DeletedRecord] = []
    earliestDateAvailable: str | None = None
    latestDateCovered: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What a query brought.

    Args:
        rows: The records, numbers with a fraction as text, exactly as they came.
        total: How many records there are.
        at: Salesforce's clock when it answered.
    """

    rows: list[dict[str, Any]]
    total: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Results:
    """A part of a job's results.

    Args:
        rows: Records; all values are text, empty ones None.
        locator: Where the next part begins; None at the end.
    """

    rows: list[dict[str, Any]]
    locator: str | None


Told_ = TypeVar("Told_")


class Client:
    """Salesforce by a session. All methods raise SyncProblem: Fault where Salesforce says no for good."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def query(self, soql: str, *, deleted: bool = False, path: str = API) -> Answer:
        """All rows of a query; it follows `nextRecordsUrl`, for Salesforce may answer with fewer than were asked for.

        Args:
            soql: The query.
            deleted: Rows in the recycle bin too.
            path: The API's; the Tooling API has its own.
        """
        response = await self._request("GET", f"{path}/{'queryAll' if deleted else 'query'}", params={"q": soql})
        at = self._clock(response)
        page = _read(response, Rows)
        rows, total = page.records, page.totalSize
        for _ in range(PAGES_LIMIT):
            if page.done or not page.nextRecordsUrl:
                return Answer(rows, total, at)
            if urlsplit(page.nextRecordsUrl).netloc or not page.nextRecordsUrl.startswith("/"):
                raise RemoteUnavailable("Salesforce names a next page at another address.")
            page = _read(await self._request("GET", page.nextRecordsUrl), Rows)
            rows = rows + page.records
        raise RemoteUnavailable("Salesforce's answer to a query does not end.")

    async def describe(self, name: str) -> list[FieldTold]:
        """The fields of an object that the integration's user may see."""
        return _read(await self._request("GET", f"{API}/sobjects/{name}/describe"), Described).fields

    async def deleted(self, name: str, start: datetime, end: datetime) -> Deleted:
        """The log of deletions in a time of at most 15 days; seconds do not count."""
        params = {"start": _minute(start), "end": _minute(end)}
        return _read(await self._request("GET", f"{API}/sobjects/{name}/deleted/", params=params), Deleted)

    async def create_job(self, soql: str) -> Job:
        """Have a query's results prepared."""
        body = {
            "operation": "query",
            "query": soql,
            "contentType": "CSV",
            "columnDelimiter": "COMMA",
            "lineEnding": "LF",
        }
        return _read(await self._request("POST", f"{API}/jobs/query", json=body), Job)

    async def job(self, job_id: str) -> tuple[Job, datetime]:
        """How a job stands, and Salesforce's clock."""
        response = await self._request("GET", f"{API}/jobs/query/{job_id}")
        return _read(response, Job), self._clock(response)

    async def results(self, job_id: str, locator: str | None, count: int, fields: Sequence[str]) -> Results:
        """A part of a job's results.

        Args:
            job_id: The job.
            locator: Where the part begins; None for the first.
            count: The most rows.
            fields: What the query selects, in its order.
        """
        params: dict[str, Any] = {"maxRecords": count}
        if locator is not None:
            params["locator"] = locator
        response = await self._request(
            "GET", f"{API}/jobs/query/{job_id}/results", params=params, headers={"accept": "text/csv"}
        )
        following = response.headers.get("sforce-locator", "")
        try:
            rows = _read_csv(response.content.decode(), fields)
        except (UnicodeDecodeError, csv.Error) as error:
            raise RemoteUnavailable("Salesforce's results are no CSV.") from error
        return Results(rows, None if following in ("", "null") else following)

    async def _request(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        response = await self._session.request(
            method, url, params=params, json=json, headers=headers, expected=(400, 403, 404)
        )
        if response.status_code < 300:
            return response
        raise _problem(response)

    def _clock(self, response: httpx.Response) -> datetime:
        try:
            return parsedate_to_datetime(response.headers["date"]).astimezone(UTC)
        except (KeyError, ValueError):
            return self._session.now


def _problem(response: httpx.Response) -> Exception:
    try:
        told = msgspec.json.decode(response.content, type=list[Told])[0]
    except (msgspec.MsgspecError, IndexError, UnicodeDecodeError):
        told = Told(errorCode=f"HTTP_{response.status_code}")
    code, message = told.errorCode, told.message.strip()
    if code == "REQUEST_LIMIT_EXCEEDED":
        concurrent = "concurrent" in message.lower()
        return RateLimited(
            f"Salesforce's limit of requests of the organization is spent: {message}",
            CONCURRENT_LIMIT_SECONDS if concurrent else DAILY_LIMIT_SECONDS,
        )
    if code in TRANSIENT:
        return RemoteUnavailable(f"Salesforce could not answer: {code}: {message}")
    if code in ("API_DISABLED_FOR_ORG", "API_CURRENTLY_DISABLED"):
        message = f"{message} Let the organization and the user use the API (permission API Enabled), then sync again."
    return Fault(f"Salesforce refuses: {code}: {message}", code, response.status_code)


def _read(response: httpx.Response, kind: type[Told_]) -> Told_:
    try:
        return msgspec.json.Decoder(kind, float_hook=str).decode(response.content)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise RemoteUnavailable(f"Salesforce's answer is not what it documents: {error}.") from error


def _read_csv(text: str, fields: Sequence[str]) -> list[dict[str, Any]]:
    lines = list(csv.reader(io.StringIO(text, newline="")))
    names = list(fields)
    # Each part has a header; one without is read in the query's order.
    if lines and [name.lower() for name in lines[0]] == [name.lower() for name in names]:
        del lines[0]
    rows = []
    for line in lines:
        if not line:
            continue
        if len(line) != len(names):
            raise csv.Error("a row of another length")
        rows.append({name: value or None for name, value in zip(names, line, strict=True)})
    return rows


def _minute(instant: datetime) -> str:
    return instant.astimezone(UTC).replace(second=0, microsecond=0).isoformat()


def quoted(values: Iterable[str]) -> str:
    """A list of texts for IN."""
    return ", ".join("'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'" for value in values)
