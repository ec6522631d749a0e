"""Requests to Salesloft: what they cost, how they are signed with a key, and what its refusals mean."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import orjson

from domain.connectors import RemoteRefused, RemoteUnavailable
from workers.connectors.base import Session
from workers.connectors.salesloft.manifest import Listing

PER_PAGE = 100
"""The most that Salesloft gives at once."""

_DEEP_PAGES = ((501, 30), (251, 10), (151, 8), (101, 3))
"""From which page on a request costs more than 1 ("Rate Limits")."""

NOT_ALLOWED = (403, 404)


@dataclass(frozen=True, slots=True)
class Answer:
    """A page of a list.

    Args:
        rows: Its entries, as they came.
        more: Salesloft has a next page.
        at: Salesloft's clock; None where it did not tell.
    """

    rows: Sequence[Any]
    more: bool
    at: datetime | None


class _Key(httpx.Auth):
    def __init__(self, key: str) -> None:
        self._header = f"Bearer {key}"

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["authorization"] = self._header
        yield request


def cost_of(page: int) -> int:
    """What a request for a page costs of the 600 a minute."""
    return next((cost for first, cost in _DEEP_PAGES if page >= first), 1)


async def request(
    session: Session, path: str, parameters: Mapping[str, Any], *, page: int = 1, expected: tuple[int, ...] = ()
) -> httpx.Response:
    """Ask; the session signs with its token unless the connection has a key."""
    key = session.secrets.get("api_key")
    return await session.request(
        "GET",
        path,
        params=parameters,
        cost=cost_of(page),
        expected=expected,
        auth=_Key(key) if key else None,
    )


def body_of(response: httpx.Response) -> Mapping[str, Any]:
    """The JSON object of an answer.

    Raises:
        RemoteUnavailable: it is none.
    """
    try:
        body = orjson.loads(response.content)
    except orjson.JSONDecodeError as error:
        raise RemoteUnavailable("Salesloft's answer is no JSON.") from error
    if not isinstance(body, dict):
        raise RemoteUnavailable("Salesloft's answer is no JSON object.")
    return body


def read_page(response: httpx.Response) -> Answer:
    """The page in an answer.

    Raises:
        RemoteUnavailable: there is none.
    """
    body = body_of(response)
    rows, metadata = body.get("data"), body.get("metadata")
    if not isinstance(rows, list):
        raise RemoteUnavailable("Salesloft's answer has no list of data.")
    paging = metadata.get("paging") if isinstance(metadata, dict) else None
    told = isinstance(paging, dict) and "next_page" in paging
    more = paging.get("next_page") is not None if told else len(rows) >= PER_PAGE  # type: ignore[union-attr]
    return Answer(rows, more, _clock(response))


def _clock(response: httpx.Response) -> datetime | None:
    try:
        at = parsedate_to_datetime(response.headers.get("date", ""))
    except ValueError:
        return None
    return at.astimezone(UTC)


async def list_page(session: Session, listing: Listing, parameters: Mapping[str, Any], page: int) -> Answer:
    """A page of a listing.

    Raises:
        RemoteRefused: the connection may not read it; the message names the scope and the way to leave it out.
    """
    asked = {**listing.parameters, **parameters, "per_page": PER_PAGE, "page": page}
    response = await request(session, listing.path, asked, page=page, expected=NOT_ALLOWED)
    if response.status_code in NOT_ALLOWED:
        raise not_allowed(listing.name, listing.scope, listing.part)
    return read_page(response)


def not_allowed(name: str, scope: str, part: str | None) -> RemoteRefused:
    """What is told when Salesloft does not let the connection read something."""
    mend = f"Give the application or key the scope {scope} and connect again"
    if part is not None:
        mend += f", or name {part} in the setting that leaves parts out"
    return RemoteRefused(f"Salesloft does not let this connection read {name}. {mend}.")
