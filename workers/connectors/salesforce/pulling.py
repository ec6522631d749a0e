"""How opportunities come from Salesforce.

First everything: up to SMALL opportunities page by page in the order of their ids, more of them by a query job of the
Bulk API, which Salesforce prepares while the sync waits and is asked again. Then, in that sync and in all later ones,
what has changed: by SystemModstamp and id, so that opportunities of one second are not lost between pages, from a while
before the last sync began, so that changes are not lost that were being written then. Deletions come with the changes
while they lie in the recycle bin, and from Salesforce's log of deletions after.

What is read of each opportunity are the fields of the default mapping and those that the mapping in force names, which
the runner tells in the setting `fields` (names with commas); a mapping that names another field begins everything anew.
The runner tells the team's currency in the setting `currency`, in which exchange rates are given.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import orjson

from domain.connectors import (
    Account,
    Cursor,
    CursorExpired,
    Document,
    Mapped,
    MappingContext,
    Page,
    Rate,
    RateLimited,
    RemoteRefused,
    RemoteUnavailable,
)
from domain.opportunities import map_document
from domain.records import RecordRefused
from workers.connectors.base import Session
from workers.connectors.salesforce.client import Client, Fault, quoted
from workers.connectors.salesforce.documents import IDS_PER_QUERY, canonical, full_id, make_documents
from workers.connectors.salesforce.manifest import MANIFEST, OBJECT
from workers.connectors.salesforce.rates import read_rates
from workers.connectors.salesforce.schema import (
    Selection,
    all_fields,
    described_fields,
    select_fields,
    tracked_fields,
    wanted_fields,
)

PAGE = 300
SMALL = 2_000
"""From how many records on Salesforce advises the Bulk API."""
SAMPLES = 10
OVERLAP = timedelta(minutes=10)
"""How long a transaction at Salesforce's may take, after which its changes show with the stamps of their making."""
DELETIONS_KEPT = timedelta(days=14)
"""Salesforce tells of deletions for 15 days; a day less, for clocks."""
SEEN_LIMIT = 200
"""How many opportunities of the overlap are remembered, so that they are not fetched again with all their histories."""
DELETED_LIMIT = 10_000
"""From how many deletions on everything is listed anew rather than each looked after."""
CHECKED_EVERY = timedelta(days=1)
"""How often it is looked what fields there are and which keep a history, though nothing asks for it."""
WAIT_SECONDS = (5.0, 60.0)
TRIES = 3


class State(msgspec.Struct, omit_defaults=True):
    """The cursor.

    Args:
        selection: What is read.
        wanted: What was to be read.
        since: From when on changes are to come.
        deleted_since: From when on deletions are to come.
        checked: When it was last looked what there is.
        phase: What is going on: everything by ids, by a job, or changes.
        job: The job.
        locator: Where the job's next results begin.
        loaded: How many of its results there have been.
        tries: How many jobs have failed.
        after: The last id of everything; of changes, the last stamp and id.
        began: When the changes of this sync were first asked for, by Salesforce's clock; None between syncs.
        seen: Digests of the opportunities that the last sync brought since then less the overlap.
        seen_now: The same of this sync.
        deletions: A digest of the log of deletions as it last was.
        rates: The stamp of the newest rate.
        fresh: Everything has just been listed; what follows are the changes since that began.
    """

    selection: Selection
    wanted: list[str]
    since: datetime
    deleted_since: datetime
    checked: datetime
    phase: str = "changes"
    job: str | None = None
    locator: str | None = None
    loaded: int = 0
    tries: int = 0
    after: list[str] = []
    began: datetime | None = None
    seen: dict[str, str] = {}
    seen_now: dict[str, str] = {}
    deletions: str = ""
    rates: str | None = None
    fresh: bool = True

    def cursor(self) -> Cursor:
        """It as JSON."""
        cursor: dict[str, Any] = msgspec.to_builtins(self)
        return cursor


class Salesforce:
    """The connector."""

    manifest = MANIFEST

    async def check(self, session: Session) -> Account:
        """The organization, the fields of its opportunities and the ten newest."""
        client = Client(session)
        organizations = (await client.query("SELECT Id, Name FROM Organization LIMIT 1")).rows
        told = await client.describe(OBJECT)
        selection = all_fields(told, await tracked_fields(client))
        soql = f"SELECT FIELDS(ALL) FROM {OBJECT} ORDER BY CreatedDate DESC, Id DESC LIMIT {SAMPLES}"
        rows = (await client.query(soql)).rows
        organization = full_id(organizations[0].get("Id")) if organizations else None
        if organization is None:
            raise RemoteUnavailable("Salesforce does not tell whose organization it is.")
        return Account(
            name=str(organizations[0].get("Name") or organization),
            id=organization,
            fields=described_fields(told),
            samples=tuple(await make_documents(client, rows, selection)),
        )

    async def pull(self, session: Session, cursor: Cursor | None) -> Page:
        """The next page; see the module."""
        client = Client(session)
        state = None if cursor is None else _read_cursor(cursor)
        if state is None or await _is_outdated(client, session, state):
            return await _begin(client, session)
        if state.phase == "changes" and session.now - state.since > DELETIONS_KEPT:
            raise CursorExpired("Salesforce does not tell any more what was deleted since the last sync.")
        try:
            if state.phase == "job":
                return await _load_results(client, session, state)
            if state.phase == "ids":
                return await _load_by_id(client, state)
            return await _changes(client, session, state)
        except Fault as fault:
            if fault.code != "INVALID_FIELD":
                raise
            # A field has gone, or may not be seen any more. If the mapping in force names it, this tells which.
            before, state.selection = state.selection, await select_fields(client, session.settings)
            if state.selection.fields == before.fields:
                raise
            if state.phase == "job":
                await _create_job(client, state)
            return Page((), state.cursor(), done=False)

    def map(self, document: Document, context: MappingContext, state: Mapping[str, Any] | None) -> Mapped:
        """What an opportunity comes to by the team's field mapping."""
        if document.object != OBJECT:
            raise RecordRefused("INVALID", None, f"{document.object!r} is no object that is mapped.")
        return map_document(document, context)


def _read_cursor(cursor: Cursor) -> State:
    try:
        return msgspec.convert(cursor, State)
    except msgspec.ValidationError as error:
        raise CursorExpired("The cursor is of another version; the sync begins anew.") from error


async def _is_outdated(client: Client, session: Session, state: State) -> bool:
    """Whether documents that are kept lack something that is wanted and to be had now, so that everything is to be read
    anew: a field that a new mapping names, one that could not be seen before, a history that is kept by now.
    """
    if wanted_fields(session.settings) - set(state.wanted):
        return True
    if state.phase != "changes" or state.began is not None:
        return False
    if not state.selection.missing and session.now - state.checked < CHECKED_EVERY:
        return False
    before, state.selection = state.selection, await select_fields(client, session.settings)
    state.checked = session.now
    return bool(
        set(state.selection.fields) - set(before.fields)
        or set(state.selection.tracked) - set(before.tracked)
        or state.selection.currencies > before.currencies
    )


# Everything


async def _begin(client: Client, session: Session) -> Page:
    """Look what there is, and begin with everything."""
    selection = await select_fields(client, session.settings)
    total: int | None = None
    try:
        answer = await client.query(f"SELECT COUNT() FROM {OBJECT}")
        total, at = answer.total, answer.at
    except RemoteUnavailable:
        # So many that they cannot be counted in time; a job does not mind.
        at = session.now
    state = State(
        selection=selection,
        wanted=sorted(wanted_fields(session.settings)),
        since=at - OVERLAP,
        deleted_since=at - OVERLAP,
        checked=session.now,
        phase="ids",
    )
    if total is None or total > SMALL:
        await _create_job(client, state)
    if state.phase == "job":
        return Page((), state.cursor(), done=False, begins_full=True, total=total)
    page = await _load_by_id(client, state)
    return Page(page.documents, page.cursor, done=False, begins_full=True, total=total)


async def _create_job(client: Client, state: State) -> None:
    try:
        job = await client.create_job(f"SELECT {', '.join(state.selection.fields)} FROM {OBJECT}")
    except Fault as fault:
        if fault.code.replace("_", "").upper() != "FEATURENOTENABLED":
            raise
        state.phase = "ids"  # An edition without the Bulk API.
        return
    state.phase, state.job, state.locator, state.loaded = "job", job.id, None, 0


async def _load_by_id(client: Client, state: State) -> Page:
    after = f"WHERE Id > {quoted(state.after)} " if state.after else ""
    soql = f"SELECT {', '.join(state.selection.fields)} FROM {OBJECT} {after}ORDER BY Id LIMIT {PAGE}"
    rows = (await client.query(soql)).rows
    documents = await make_documents(client, rows, state.selection)
    if len(rows) < PAGE:
        state.phase, state.after = "changes", []
    else:
        state.after = [documents[-1].id]
    return Page(documents, state.cursor(), done=False)


async def _load_results(client: Client, session: Session, state: State) -> Page:
    assert state.job is not None
    total: int | None = None
    if state.locator is None:
        try:
            job, at = await client.job(state.job)
        except Fault as fault:
            if fault.status != 404:
                raise
            raise CursorExpired("Salesforce has thrown the prepared load away; it begins anew.") from fault
        if job.state in ("Failed", "Aborted"):
            return await _try_again(client, state, job.errorMessage or job.state)
        if job.state != "JobComplete":
            raise RateLimited("Salesforce is preparing the first load; it goes on by itself.", _patience(job, at))
        total = job.numberRecordsProcessed
    try:
        results = await client.results(state.job, state.locator, PAGE, state.selection.fields)
    except Fault as fault:
        if fault.status != 404:
            raise
        raise CursorExpired("Salesforce has thrown the prepared load away; it begins anew.") from fault
    documents = await make_documents(client, results.rows, state.selection)
    state.loaded += len(results.rows)
    state.locator = results.locator
    if results.locator is None:
        job, _at = await client.job(state.job)
        if job.numberRecordsProcessed is not None and state.loaded < job.numberRecordsProcessed:
            raise RemoteUnavailable(
                f"Salesforce's results broke off after {state.loaded} of {job.numberRecordsProcessed} opportunities."
            )
        state.phase, state.job, state.tries = "changes", None, 0
    return Page(documents, state.cursor(), done=False, total=total)


def _patience(job: Any, at: datetime) -> float:
    """How long to wait for a job: the longer the longer it takes already."""
    try:
        age = (at - datetime.fromisoformat(job.createdDate)).total_seconds()
    except (ValueError, TypeError):
        age = 0.0
    return min(max(age / 4, WAIT_SECONDS[0]), WAIT_SECONDS[1])


async def _try_again(client: Client, state: State, reason: str) -> Page:
    if "INVALID_FIELD" in reason or "No such column" in reason:
        raise Fault(f"Salesforce could not prepare the load: {reason}", "INVALID_FIELD", 400)
    if state.tries >= TRIES:
        raise RemoteRefused(f"Salesforce could not prepare the load, {TRIES} times: {reason}")
    state.tries += 1
    await _create_job(client, state)
    return Page((), state.cursor(), done=False)


# Changes


async def _changes(client: Client, session: Session, state: State) -> Page:
    """What has changed; with the last page, what was deleted and how rates stand."""
    answer = await client.query(_changes_soql(state), deleted=True)
    if state.began is None:
        state.began, state.seen_now = answer.at, {}
    news = [row for row in answer.rows if not _has_seen(state, row)]
    documents = await make_documents(client, news, state.selection)
    if len(answer.rows) >= PAGE:
        state.after = _place(answer.rows[-1])
        return Page(documents, state.cursor(), done=False)
    began = state.began
    documents += await _deletions(client, state, began)
    rates = await _rates(client, session, state)
    state.since = max(state.since, began - OVERLAP)
    state.after, state.began, state.seen, state.seen_now = [], None, state.seen_now, {}
    state.fresh = False
    return Page(documents, state.cursor(), done=True, rates=rates)


def _changes_soql(state: State) -> str:
    if state.after:
        stamp, last = state.after
        condition = f"SystemModstamp > {stamp} OR (SystemModstamp = {stamp} AND Id > {quoted([last])})"
    else:
        condition = f"SystemModstamp >= {_literal(state.since)}"
    return (
        f"SELECT {', '.join(state.selection.fields)} FROM {OBJECT} WHERE {condition} "
        f"ORDER BY SystemModstamp, Id LIMIT {PAGE}"
    )


def _literal(instant: datetime) -> str:
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _place(row: Mapping[str, Any]) -> list[str]:
    """Where a row stands in the order of changes."""
    stamp, opportunity_id = _stamp(row), full_id(row.get("Id"))
    if stamp is None or opportunity_id is None:
        raise RemoteUnavailable("Salesforce gives an opportunity without its SystemModstamp.")
    return [stamp.isoformat(timespec="milliseconds").replace("+00:00", "Z"), opportunity_id]


def _stamp(row: Mapping[str, Any]) -> datetime | None:
    try:
        return datetime.fromisoformat(canonical(row.get("SystemModstamp"))).astimezone(UTC)
    except (TypeError, ValueError):
        return None


def _has_seen(state: State, row: Mapping[str, Any]) -> bool:
    """Whether the last sync brought a row of the overlap as it is; remembers it for the next."""
    opportunity_id, stamp = full_id(row.get("Id")), _stamp(row)
    digest = hashlib.sha256(orjson.dumps(dict(row), option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]
    if opportunity_id is None or stamp is None or state.began is None:
        return False
    if stamp >= state.began - OVERLAP and len(state.seen_now) < SEEN_LIMIT:
        state.seen_now[opportunity_id] = digest
    return state.seen.get(opportunity_id) == digest


async def _deletions(client: Client, state: State, began: datetime) -> list[Document]:
    """What the log of deletions tells; what was taken out of the recycle bin again is not deleted."""
    start = max(min(state.deleted_since, began - OVERLAP), began - DELETIONS_KEPT)
    try:
        told = await client.deleted(OBJECT, start, began)
    except Fault as fault:
        if fault.code not in ("INVALID_REPLICATION_DATE", "EXCEEDED_ID_LIMIT"):
            raise
        raise CursorExpired("Salesforce does not tell any more what was deleted since the last sync.") from fault
    # A long transaction holds the log back: what it deletes is told later, with the times of its making.
    state.deleted_since = min(_instant(told.latestDateCovered) or began, began)
    ids = {full_id(one.id): one.deletedDate for one in told.deletedRecords}
    digest = hashlib.sha256(orjson.dumps(sorted(map(str, ids.items())))).hexdigest()[:16]
    if not ids or digest == state.deletions:
        return []
    state.deletions = digest
    if len(ids) > DELETED_LIMIT and not state.fresh:
        raise CursorExpired(f"{len(ids)} opportunities were deleted; everything is listed anew.")
    gone = sorted(one for one in ids if one is not None)
    living = set()
    for lot in _lots(gone):
        answer = await client.query(f"SELECT Id FROM {OBJECT} WHERE Id IN ({quoted(lot)})")
        living |= {full_id(row.get("Id")) for row in answer.rows}
    return [Document(OBJECT, one, None, True) for one in gone if one not in living]


def _lots(ids: Sequence[str]) -> list[Sequence[str]]:
    return [ids[start : start + IDS_PER_QUERY] for start in range(0, len(ids), IDS_PER_QUERY)]


def _instant(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        return None


async def _rates(client: Client, session: Session, state: State) -> list[Rate]:
    currency = session.settings.get("currency")
    if not state.selection.currencies or not currency:
        return []
    rates, state.rates = await read_rates(client, currency, state.rates)
    return rates
