"""The requests that are made of HubSpot's API, and how its answers are read.

From HubSpot's developer documentation:

- "Search the CRM": at most 200 results a page, 10,000 a query, 5 searches a second and account; what was just made or
  changed takes "a few moments" to be found.
- "Deals", "Read a batch of deals": 100 deals a request, 50 with the history of properties. A deal that was merged into
  another answers with the other's id ("Announcement: Deals now support merging").
- "Owners", "Properties", "Pipelines", "Associations v3", "Account information API".
- "API usage guidelines and limits": 429 with `policyName` (SECONDLY, TEN_SECONDLY_ROLLING, DAILY), the daily limit ends
  at midnight in the account's time zone; 423 while a record is locked, 477 with Retry-After while the account is moved.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import httpx
import orjson

from domain.connectors import RateLimited, RemoteUnavailable
from workers.connectors.base import Session

DEALS_PATH = "/crm/v3/objects/0-3"
COMPANIES_PATH = "/crm/v3/associations/deals/companies/batch/read"
OWNERS_PATH = "/crm/v3/owners"

PAGE = 100
"""Deals a page: the most that a listing gives."""
BATCH_WITH_HISTORY = 50
OWNERS_PAGE = 500
OWNERS_ONE_BY_ONE = 5
"""Up to so many owners are asked for by their ids; more, by the list of all."""
SEARCH_COST = 2

LOCKED, TOO_MANY, MOVING = 423, 429, 477
PATIENCE_SECONDS = {LOCKED: 2.0, TOO_MANY: 10.0, MOVING: 3600.0}
"""How long to wait where the answer does not say."""
POLICY_SECONDS = {"SECONDLY": 1.0, "TEN_SECONDLY_ROLLING": 10.0}
UNKNOWN_ZONE_SECONDS = 3600.0
"""How long to wait at the daily limit of an account whose midnight is not known."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found.

    Args:
        deals: A page of deals.
        total: How many deals there are in all.
        more: There are more than these.
    """

    deals: tuple[Mapping[str, Any], ...]
    total: int
    more: bool


@dataclass(frozen=True, slots=True)
class Listed:
    """A page of a listing.

    Args:
        deals: Its deals.
        after: From where the next goes on; None at the end.
    """

    deals: tuple[Mapping[str, Any], ...]
    after: str | None


def condition(name: str, operator: str, value: int | str) -> dict[str, str]:
    """A filter of a search."""
    return {"propertyName": name, "operator": operator, "value": str(value)}


class Api:
    """HubSpot, as one connection sees it. Every method raises SyncProblem as the session does."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def account(self) -> Mapping[str, Any]:
        """The account's id, currency and time zone."""
        answer: Mapping[str, Any] = await self._ask("GET", "/account-info/v3/details")
        if not isinstance(answer.get("portalId"), int):
            raise _misunderstood("the account's details")
        return answer

    async def properties(self) -> tuple[Mapping[str, Any], ...]:
        """How the account describes its deals."""
        return _results(await self._ask("GET", "/crm/v3/properties/0-3"))

    async def stages(self) -> dict[str, str]:
        """The stages of all pipelines by their ids, in their order: labels, with the pipeline's where there are more
        than one.
        """
        pipelines = sorted(_results(await self._ask("GET", "/crm/v3/pipelines/0-3")), key=_display_order)
        stages: dict[str, str] = {}
        for pipeline in pipelines:
            of_this = pipeline.get("stages")
            for stage in sorted(_mappings(of_this), key=_display_order):
                name = stage.get("label") or stage.get("id")
                if isinstance(stage.get("id"), str):
                    stages[stage["id"]] = f"{name} ({pipeline.get('label')})" if len(pipelines) > 1 else str(name)
        return stages

    async def search(self, conditions: Sequence[Mapping[str, str]], *, sort: str, limit: int) -> Found:
        """Deals that meet all conditions.

        Args:
            conditions: See `condition`.
            sort: The property to sort by, with a minus for the greatest first.
            limit: The most deals that are given.
        """
        body = {
            "filterGroups": [{"filters": list(conditions)}] if conditions else [],
            "sorts": [sort],
            "properties": ["hs_lastmodifieddate"],
            "limit": limit,
            "after": "0",
        }
        answer = await self._ask("POST", f"{DEALS_PATH}/search", json=body, cost=SEARCH_COST)
        deals, total = _results(answer), answer.get("total")
        if not isinstance(total, int):
            raise _misunderstood("a search")
        return Found(deals, total, more=_after(answer) is not None or len(deals) >= limit)

    async def list_deals(self, after: str | None, *, archived: bool = False) -> Listed:
        """A page of all deals, or of all that are archived."""
        params = {"limit": PAGE, "archived": "true" if archived else "false"}
        answer = await self._ask("GET", DEALS_PATH, params=params if after is None else params | {"after": after})
        return Listed(_results(answer), _after(answer))

    async def read_deals(
        self, ids: Sequence[str], properties: Sequence[str], histories: Sequence[str]
    ) -> list[Mapping[str, Any]]:
        """Deals with properties and their histories; those that are gone are left out, each comes once."""
        deals: dict[str, Mapping[str, Any]] = {}
        for batch in _batches(ids, BATCH_WITH_HISTORY):
            body = {
                "inputs": [{"id": one} for one in batch],
                "properties": list(properties),
                "propertiesWithHistory": list(histories),
            }
            answer = await self._ask("POST", f"{DEALS_PATH}/batch/read", json=body, params={"archived": "false"})
            for error in _mappings(answer.get("errors")):
                if error.get("category") != "OBJECT_NOT_FOUND":
                    raise RemoteUnavailable(f"HubSpot did not give all deals: {error.get('message')}")
            deals |= {deal["id"]: deal for deal in _results(answer) if isinstance(deal.get("id"), str)}
        return list(deals.values())

    async def companies(self, ids: Sequence[str]) -> dict[str, list[str]] | None:
        """The companies that deals are associated with; None if the account does not let us see them."""
        body = {"inputs": [{"id": one} for one in ids]}
        answer = await self._ask("POST", COMPANIES_PATH, json=body, refusal=403)
        if answer is None:
            return None
        found: dict[str, list[str]] = {}
        for one in _results(answer):
            deal = one.get("from")
            to = sorted({str(company.get("id")) for company in _mappings(one.get("to"))})
            if isinstance(deal, Mapping) and to:
                found[str(deal.get("id"))] = to
        return found

    async def owners(self, ids: Iterable[str]) -> dict[str, str | None]:
        """The email addresses of owners, those who have left among them; None of who has none or is not known."""
        asked = dict.fromkeys(ids)
        wanted = {one for one in asked if one.isdecimal()}
        known: dict[str, str | None] = {}
        if len(wanted) <= OWNERS_ONE_BY_ONE:
            for one in wanted:
                known[one] = await self._owner(one)
            return asked | known
        for archived in ("false", "true"):
            after: str | None = None
            while len(known) < len(wanted):
                params = {"limit": OWNERS_PAGE, "archived": archived}
                answer = await self._ask(
                    "GET", OWNERS_PATH, params=params if after is None else params | {"after": after}
                )
                for owner in _results(answer):
                    if owner.get("id") in wanted and owner["id"] not in known:
                        known[owner["id"]] = _email(owner)
                after = _after(answer)
                if after is None:
                    break
        return asked | known

    async def _owner(self, owner_id: str) -> str | None:
        for archived in ("false", "true"):
            params = {"archived": archived}
            answer = await self._ask("GET", f"{OWNERS_PATH}/{owner_id}", params=params, refusal=404)
            if answer is not None:
                return _email(answer)
        return None

    async def _ask(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        cost: int = 1,
        refusal: int | None = None,
    ) -> Any:
        """The JSON object of an answer; None where the refusal came that is reckoned with."""
        expected = (*PATIENCE_SECONDS, *(() if refusal is None else (refusal,)))
        response = await self._session.request(method, path, params=params, json=json, cost=cost, expected=expected)
        if response.status_code in PATIENCE_SECONDS:
            raise self._patience(response)
        if response.status_code == refusal:
            return None
        answer = _object(response)
        if answer is None:
            raise _misunderstood(path)
        return answer

    def _patience(self, response: httpx.Response) -> RateLimited:
        answer = _object(response) or {}
        policy, message = str(answer.get("policyName", "")).upper(), str(answer.get("message", "")).strip()
        told = response.headers.get("retry-after", "")
        if told.isdecimal():
            seconds = float(told)
        elif policy == "DAILY" or "daily limit" in message.lower():
            seconds = self._until_midnight()
        else:
            seconds = POLICY_SECONDS.get(policy, PATIENCE_SECONDS[response.status_code])
        return RateLimited(f"HubSpot asks for patience: {message or response.status_code}", seconds)

    def _until_midnight(self) -> float:
        try:
            zone = ZoneInfo(self._session.settings["time_zone"])
        except (KeyError, ValueError, ZoneInfoNotFoundError):
            return UNKNOWN_ZONE_SECONDS
        today = self._session.now.astimezone(zone).date()
        midnight = datetime.combine(today + timedelta(days=1), time(), zone)
        return (midnight.astimezone(UTC) - self._session.now).total_seconds()


def _object(response: httpx.Response) -> dict[str, Any] | None:
    try:
        answer = orjson.loads(response.content)
    except orjson.JSONDecodeError:
        return None
    return answer if isinstance(answer, dict) else None


def _misunderstood(what: str) -> RemoteUnavailable:
    return RemoteUnavailable(f"HubSpot's answer to {what} is not what its documentation says.")


def _results(answer: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    results = answer.get("results")
    if not isinstance(results, list):
        raise _misunderstood("a request")
    return tuple(_mappings(results))


def _mappings(values: Any) -> Iterator[Mapping[str, Any]]:
    """Those of a list that are objects."""
    return (one for one in (values if isinstance(values, list) else ()) if isinstance(one, Mapping))


def _after(answer: Mapping[str, Any]) -> str | None:
    paging = answer.get("paging")
    following = paging.get("next") if isinstance(paging, Mapping) else None
    after = following.get("after") if isinstance(following, Mapping) else None
    return str(after) if after else None


def _email(owner: Mapping[str, Any]) -> str | None:
    email = owner.get("email")
    return email.strip().lower() or None if isinstance(email, str) else None


def _display_order(one: Mapping[str, Any]) -> int:
    order = one.get("displayOrder")
    return order if isinstance(order, int) else 0


def _batches(ids: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (ids[start : start + size] for start in range(0, len(ids), size))
