"""Deals of HubSpot as opportunities.

What a sync does:

- The first one lists all deals; so does one a week, for what no other way tells (a deal that came back from the
  recycling bin, one that went out of it for good).
- The others ask one question: which change is the newest, and how many deals are there? HubSpot's search answers both
  at once. If neither has changed, that was all.
- Else the deals changed since are walked by their ids, in a window between two instants of HubSpot's own clock. A deal
  that changes meanwhile leaves the window and is in the next one; equal instants do not matter; and since each page is
  a search of its own, neither does the bound of 10,000 results.
- Search is a moment behind. So each window begins some minutes before the last one ended, and when nothing changes any
  more, those minutes are looked through once again.
- Search knows no archived deals. If fewer of those known before are left, or a day has passed, the archived ones are
  listed. Deals that were merged name the ones that went up in them.
- What search finds is only taken for the ids: properties and history come from where deals are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Literal

import msgspec
import orjson

from domain.connectors import (
    Account,
    Cursor,
    CursorExpired,
    Document,
    Manifest,
    Mapped,
    MappingContext,
    Page,
    Person,
    RemoteUnavailable,
)
from domain.opportunities import map_document
from workers.connectors.base import Session
from workers.connectors.hubspot.api import PAGE, Api, condition
from workers.connectors.hubspot.fields import (
    ALWAYS,
    HISTORIES,
    FieldType,
    describe,
    instant,
    merged_into,
    neutral,
    owners_of,
    person_id,
)
from workers.connectors.hubspot.manifest import DEALS, MANIFEST

FULL_EVERY = timedelta(days=7)
ARCHIVE_EVERY = timedelta(days=1)
LAG = timedelta(minutes=5)
"""How far behind search may be."""
ARCHIVE_OVERLAP = timedelta(days=1)
OWNERS_KEPT = 1000
"""How many owners' addresses a cursor carries from page to page."""
SAMPLES = 10
STAGE_LIMIT = 255
"""The longest name of a stage that a record takes."""

LOWEST_RATE, HIGHEST_RATE = Decimal("1e-9"), Decimal("1e9")

MODIFIED, CREATED, ID = "hs_lastmodifieddate", "hs_createdate", "hs_object_id"


class Known(msgspec.Struct, omit_defaults=True):
    """What a sync has found out about the account and needs for each page; forgotten at its end.

    Args:
        types: What the properties of deals hold.
        stages: The labels of stages.
        owners: The addresses of owners met so far.
        companies: The account lets us see the companies of deals.
    """

    types: dict[str, FieldType]
    stages: dict[str, str]
    owners: dict[str, str | None] = {}
    companies: bool = True


class Position(msgspec.Struct, omit_defaults=True):
    """The cursor. Instants of HubSpot's clock are milliseconds since 1970, those of ours are ISO.

    Args:
        full_at: When the last full listing began; ours.
        archive_at: When it was last known what is archived; ours.
        newest: The newest change of all; HubSpot's.
        total: How many deals there were then.
        again_at: From when on the last minutes before `newest` are to be looked through once more; ours.
        archived: What was archived before this was told gone by the last full listing; HubSpot's.
        step: What the next page is of.
        after: From where that goes on.
        since: Where the window begins; HubSpot's.
        then_archive: After the window, the archived deals are to be listed.
        known: What this sync has found out.
    """

    full_at: datetime
    archive_at: datetime
    newest: int
    total: int
    again_at: datetime | None = None
    archived: int = 0
    step: Literal["rest", "list", "window", "archive"] = "rest"
    after: str | None = None
    since: int = 0
    then_archive: bool = False
    known: Known | None = None


class HubSpot:
    """The connector."""

    manifest: Manifest = MANIFEST

    async def check(self, session: Session) -> Account:
        """The account, the properties of its deals, and its newest deals."""
        api = Api(session)
        account = await api.account()
        currency = account.get("companyCurrency")
        properties, stages = await api.properties(), await api.stages()
        described = describe(properties, stages)
        known = Known({field.name: field.type for field in described}, stages)
        newest = await api.search((), sort=f"-{CREATED}", limit=SAMPLES)
        reader = _Reader(api, known, currency if isinstance(currency, str) else None)
        samples = [one for one in await reader.read(_ids(newest.deals)) if not one.deleted]
        portal = account["portalId"]
        name = account.get("portalName")
        settings = {"company_currency": currency, "time_zone": account.get("timeZone")}
        return Account(
            name=name if isinstance(name, str) and name else f"HubSpot account {portal}",
            id=str(portal),
            fields=described,
            samples=tuple(samples),
            settings={key: value for key, value in settings.items() if isinstance(value, str)},
        )

    async def pull(self, session: Session, cursor: Cursor | None) -> Page:
        """The next page; see the docstring of this module for what it is of."""
        api = Api(session)
        position = None if cursor is None else _position(cursor)
        if position is None or (position.step == "rest" and session.now - position.full_at >= FULL_EVERY):
            newest, total = await _newest(api)
            position = Position(session.now, session.now, newest, total, archived=newest, step="list")
            return replace(await _list(api, session, position), begins_full=True)
        if position.step == "rest" and not await _look(api, session.now, position):
            return _end(position, [])
        if position.step == "list":
            return await _list(api, session, position)
        if position.step == "window":
            return await _window(api, session, position)
        return await _archive(api, session.now, position)

    def map(self, document: Document, context: MappingContext, state: Mapping[str, Any] | None) -> Mapped:
        """One record, by the team's field mapping; the stage by the name that people know."""
        data = _data(document)
        rate = _own_rate(data, context)
        mapped = map_document(document, context if rate is None else replace(context, rate=rate))
        labels = data.get("labels")
        if not isinstance(labels, Mapping) or context.mapping.get("stage") != "dealstage":
            return mapped
        records = [
            {**record, "stage": str(labels.get(record["stage"]) or record["stage"])[:STAGE_LIMIT]}
            for record in mapped.records
            if isinstance(record, Mapping)
        ]
        return replace(mapped, records=records)


class _Reader:
    """Makes documents of deals' ids.

    Args:
        api: Where deals are.
        known: What is known of the account; grows with what is found out.
        company_currency: The account's.
    """

    def __init__(self, api: Api, known: Known, company_currency: str | None) -> None:
        self._api = api
        self._known = known
        self._currency = company_currency
        self.people: list[Person] = []

    async def read(self, ids: list[str]) -> list[Document]:
        """The deals of these ids as documents, and those that went up in them as deleted."""
        if not ids:
            return []
        known = self._known
        types = known.types
        deals = await self._api.read_deals(ids, list(dict.fromkeys((*types, *ALWAYS))), HISTORIES)
        companies: Mapping[str, list[str]] | None = None
        if known.companies and deals:
            companies = await self._api.companies([deal["id"] for deal in deals])
            known.companies = companies is not None
        emails = await self._emails({owner for deal in deals for owner in owners_of(deal, types)})
        documents: list[Document] = []
        for deal in deals:
            of_this = None if companies is None else companies.get(deal["id"], [])
            data = neutral(deal, types, known.stages, emails, of_this, self._currency)
            documents.append(Document(DEALS, deal["id"], data))
            documents += [Document(DEALS, one, deleted=True) for one in merged_into(deal)]
        return documents

    async def _emails(self, owners: set[str]) -> Mapping[str, str | None]:
        kept = self._known.owners
        met = {owner: kept[owner] for owner in owners if owner in kept}
        if missing := sorted(owners - met.keys()):
            met |= await self._api.owners(missing)
        # The ones just met are the likeliest to be met again.
        kept = {owner: email for owner, email in kept.items() if owner not in met} | met
        self._known.owners = dict(list(kept.items())[-OWNERS_KEPT:])
        self.people = [Person(person_id(owner), email) for owner, email in sorted(met.items()) if email]
        return met


def _position(cursor: Cursor) -> Position:
    try:
        return msgspec.convert(dict(cursor), Position)
    except msgspec.ValidationError as error:
        raise CursorExpired(f"The cursor is of another version: {error}.") from error


def _ids(deals: tuple[Mapping[str, Any], ...]) -> list[str]:
    return [deal["id"] for deal in deals if isinstance(deal.get("id"), str)]


def _milliseconds(value: Any) -> int | None:
    at = instant(value)
    return None if at is None else (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


async def _newest(api: Api) -> tuple[int, int]:
    """When the newest change of all was (0 where there are no deals), and how many deals there are."""
    found = await api.search((), sort=f"-{MODIFIED}", limit=1)
    if not found.deals:
        return 0, found.total
    deal = found.deals[0]
    properties = deal.get("properties")
    modified = _milliseconds(properties.get(MODIFIED) if isinstance(properties, Mapping) else None)
    modified = _milliseconds(deal.get("updatedAt")) if modified is None else modified
    if modified is None:
        raise RemoteUnavailable("HubSpot does not say when its newest deal was changed.")
    return modified, found.total


async def _look(api: Api, now: datetime, position: Position) -> bool:
    """Look whether there is something to do, and set the next step."""
    newest, total = await _newest(api)
    moved = (newest, total) != (position.newest, position.total)
    again = position.again_at is not None and now >= position.again_at
    archive = now - position.archive_at >= ARCHIVE_EVERY
    if moved:
        left = total  # All that is there was made before the newest change.
        if newest > position.newest:
            left = (await api.search((condition(CREATED, "LTE", position.newest),), sort=ID, limit=1)).total
        archive = archive or left != position.total
    if moved or again:
        position.step, position.then_archive, position.after = "window", archive, None
        position.since = max(min(position.newest, newest) - LAG // timedelta(milliseconds=1), 0)
        position.newest, position.total = newest, total
        position.again_at = now + LAG if moved else None
    elif archive:
        position.step, position.after = "archive", None
    return moved or again or archive


async def _known(api: Api, position: Position) -> Known:
    if position.known is None:
        stages = await api.stages()
        fields = describe(await api.properties(), stages)
        position.known = Known({field.name: field.type for field in fields}, stages)
    return position.known


async def _read(api: Api, session: Session, position: Position, ids: list[str]) -> tuple[list[Document], list[Person]]:
    if not ids:
        return [], []
    reader = _Reader(api, await _known(api, position), session.settings.get("company_currency"))
    return await reader.read(ids), reader.people


async def _list(api: Api, session: Session, position: Position) -> Page:
    """A page of a listing of all deals."""
    listed = await api.list_deals(position.after)
    documents, people = await _read(api, session, position, _ids(listed.deals))
    if listed.after is None:
        # What changed meanwhile is newer than the newest change that was there when the listing began: the next sync
        # sees it.
        return _end(position, documents, people)
    position.after = listed.after
    return Page(documents, _cursor(position), done=False, people=people, total=position.total)


async def _window(api: Api, session: Session, position: Position) -> Page:
    """A page of the deals that changed in the window, by their ids."""
    conditions = [condition(MODIFIED, "GTE", position.since), condition(MODIFIED, "LTE", position.newest)]
    if position.after is not None:
        conditions.append(condition(ID, "GT", position.after))
    found = await api.search(conditions, sort=ID, limit=PAGE)
    ids = [one for one in _ids(found.deals) if one.isdecimal()]
    documents, people = await _read(api, session, position, ids)
    if found.more and ids:
        last = max(int(one) for one in ids)
        if position.after is not None and last <= int(position.after):
            raise RemoteUnavailable("HubSpot's search does not go on.")
        position.after = str(last)
        return Page(documents, _cursor(position), done=False, people=people)
    if position.then_archive:
        position.step, position.after, position.then_archive = "archive", None, False
        return Page(documents, _cursor(position), done=False, people=people)
    return _end(position, documents, people)


async def _archive(api: Api, now: datetime, position: Position) -> Page:
    """A page of the archived deals; those that were known to be are left out."""
    listed = await api.list_deals(position.after, archived=True)
    since = position.archived - ARCHIVE_OVERLAP // timedelta(milliseconds=1)
    documents: list[Document] = []
    for deal in listed.deals:
        archived = _milliseconds(deal.get("archivedAt"))
        if isinstance(deal.get("id"), str) and (archived is None or archived >= since):
            documents.append(Document(DEALS, deal["id"], deleted=True))
    if listed.after is None:
        position.archive_at = now
        return _end(position, documents)
    position.after = listed.after
    return Page(documents, _cursor(position), done=False)


def _end(position: Position, documents: list[Document], people: list[Person] | None = None) -> Page:
    position.step, position.after, position.known = "rest", None, None
    return Page(documents, _cursor(position), done=True, people=people or ())


def _cursor(position: Position) -> Cursor:
    cursor: dict[str, Any] = msgspec.to_builtins(position)
    return cursor


def _data(document: Document) -> Mapping[str, Any]:
    """What a document holds; nothing where it cannot be read, which mapping it will tell."""
    data = document.data
    if isinstance(data, bytes | bytearray | str):
        try:
            data = orjson.loads(data)
        except orjson.JSONDecodeError:
            return {}
    return data if isinstance(data, Mapping) else {}


def _own_rate(data: Mapping[str, Any], context: MappingContext) -> Callable[[str, date], Decimal | None] | None:
    """The rate by which HubSpot itself converts a deal, if it converts to the team's currency."""
    fields = data.get("fields")
    if not isinstance(fields, Mapping) or data.get("companyCurrency") != context.currency:
        return None
    amount, converted = _decimal(fields.get("amount")), _decimal(fields.get("amount_in_home_currency"))
    # What came of the amount says it without doubt; without an amount, the rate that HubSpot holds for the deal.
    own = converted / amount if amount and converted is not None else _decimal(fields.get("hs_exchange_rate"))
    if own is None or not LOWEST_RATE <= own <= HIGHEST_RATE:
        return None
    currency = fields.get("deal_currency_code")

    def rate(asked: str, day: date) -> Decimal | None:
        return round(own, 12) if asked == currency else context.rate(asked, day)

    return rate


def _decimal(value: Any) -> Decimal | None:
    try:
        number = Decimal(value) if isinstance(value, str) else None
    except InvalidOperation:
        return None
    return number if number is not None and number.is_finite() and -20 <= number.adjusted() <= 20 else None


connector = HubSpot()
