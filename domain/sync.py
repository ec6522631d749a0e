"""What a sync brings, put into the tables: each batch with its cursor in one transaction, fenced by the job's lease.

Two ways. Documents that are not kept (emails, calls by the million) become records at once. Documents that are kept
(calendars, CRMs) are compared with what was there, mapped with what the last mapping left, and mapped anew when time or
a mapping changes; their activities get a version of ours, which grows only when what a document comes to has changed,
and activities that a document does not come to any more are removed.
"""

from __future__ import annotations

import hashlib
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec
import orjson

from domain import erased_names, ingest, integrations, jobs
from domain.connectors import Account, Cursor, Document, Manifest, Mapped, MappingContext, Person, Rate
from domain.errors import Conflict, NotFound
from domain.field_mapping import read_mapping
from domain.ingest import Item
from domain.jobs import ClaimedJob
from domain.models import Integration, IntegrationState
from domain.models.base import new_id
from domain.models.integrations import CrmPart
from domain.models.teams import Feed
from domain.records import NOT_KEPT, AnyRecord, RecordError, RecordRefused, TombstoneRecord, decode_json, decode_mapping
from domain.secrets import SecretBox
from domain.upcoming import UpcomingStep, read_step, take_steps_in

if TYPE_CHECKING:
    from domain.database import Connection

Map = Callable[[Document, MappingContext, Mapping[str, Any] | None], Mapped]
"""A connector's `map`."""
REMAP_LOT = 500
REFUSED_AGAIN = timedelta(days=1)
"""A document whose meaning changes with time, and that was refused when it did, is looked at again after so long."""
SOURCE_LIMIT = 100
CALENDAR_SOURCE = "calendar"
"""All calendars are one source: a meeting is one, in whatever calendar of a person's it stands."""
PUBLIC_MAIL_DOMAINS = frozenset(
    "gmail.com googlemail.com outlook.com hotmail.com live.com msn.com yahoo.com icloud.com me.com aol.com gmx.de "
    "gmx.net web.de proton.me protonmail.com".split()
)
"""Where anybody has an address: no domain of a team's own."""


def source_of(integration: Integration, manifest: Manifest) -> str:
    """The source of a connection's activities: the same account, connected anew, is the same source."""
    if manifest.feeds == (Feed.CALENDAR,):
        return CALENDAR_SOURCE
    given = integration.settings.get("source")
    source = str(given) if given else f"{manifest.kind}:{integration.account_id}"
    if len(source) <= SOURCE_LIMIT:
        return source
    return f"{manifest.kind}:{hashlib.sha256(source.encode()).hexdigest()[:32]}"


def feeds_of(integration: Integration, manifest: Manifest) -> tuple[Feed, ...]:
    """The feeds that a connection brings: of a CRM, the parts that are switched on."""
    off = {
        feed
        for feed, part in ((Feed.CRM, CrmPart.OPPORTUNITIES), (Feed.DEALS, CrmPart.DEALS))
        if manifest.opportunity_object is not None and part not in integration.syncs
    }
    return tuple(feed for feed in manifest.feeds if feed not in off)


async def open_integration(
    connection: Connection, team_id: UUID, integration_id: UUID, box: SecretBox | None
) -> tuple[Integration, dict[str, Any]]:
    """A connection and its secrets, for the worker that syncs it.

    Raises:
        NotFound: it was disconnected.
        Unavailable: its secrets cannot be opened.
    """
    row = await connection.fetchrow(
        "SELECT * FROM integrations WHERE team_id = $1 AND id = $2", team_id, integration_id
    )
    if row is None:
        raise NotFound("The integration was disconnected.")
    integration = integrations.integration_of(row)
    if integration.secrets is None:
        return integration, {}
    secrets: dict[str, Any] = orjson.loads(integrations.require_box(box).open(integration.secrets))
    return integration, secrets


async def lock_secrets(
    connection: Connection, team_id: UUID, integration_id: UUID, box: SecretBox | None
) -> dict[str, Any]:
    """The secrets as they stand now, locked until the transaction's end: whoever renews them waits for who renews.

    Raises:
        NotFound: the connection is gone.
    """
    held = await connection.fetchval(
        "SELECT secrets FROM integrations WHERE team_id = $1 AND id = $2 FOR NO KEY UPDATE", team_id, integration_id
    )
    if held is None:
        raise NotFound("The integration was disconnected.")
    secrets: dict[str, Any] = orjson.loads(integrations.require_box(box).open(held))
    return secrets


async def save_secrets(
    connection: Connection, team_id: UUID, integration_id: UUID, secrets: Mapping[str, Any], box: SecretBox | None
) -> None:
    """Keep renewed secrets, in the transaction that locked them."""
    await connection.execute(
        "UPDATE integrations SET secrets = $3 WHERE team_id = $1 AND id = $2",
        team_id,
        integration_id,
        integrations.require_box(box).seal(orjson.dumps(dict(secrets))),
    )


async def settings_of_ours(connection: Connection, integration: Integration, manifest: Manifest) -> dict[str, str]:
    """Settings that no person gives: the team's currency, and of a CRM the fields that the mapping in force names.

    Raises:
        Refused: the mapping in force is none.
    """
    currency = await connection.fetchval("SELECT currency FROM teams WHERE id = $1", integration.team_id)
    ours = {"currency": str(currency)}
    if manifest.opportunity_object is not None:
        mapping = read_mapping(await integrations.mapping_of(connection, integration, manifest))
        ours["fields"] = ",".join(sorted(mapping.fields))
    return ours


class _Rates:
    """The rate of a currency on a day: the newest up to it, the team's own before a vendor's."""

    def __init__(self, rows: Iterable[Any]) -> None:
        self._days: dict[str, list[date]] = {}
        self._rates: dict[str, list[Decimal]] = {}
        for row in rows:
            days = self._days.setdefault(row["currency"], [])
            rates = self._rates.setdefault(row["currency"], [])
            if days and days[-1] == row["day"]:
                rates[-1] = row["rate"]
            else:
                days.append(row["day"])
                rates.append(row["rate"])

    def __call__(self, currency: str, day: date) -> Decimal | None:
        place = bisect_right(self._days.get(currency, []), day)
        return self._rates[currency][place - 1] if place else None


async def read_context(
    connection: Connection, integration: Integration, manifest: Manifest, now: datetime
) -> MappingContext:
    """What the connection's documents are mapped against, as it stands now."""
    team = await connection.fetchrow(
        "SELECT timezone, currency, mail_domains FROM teams WHERE id = $1", integration.team_id
    )
    assert team is not None
    people = await connection.fetch(
        "SELECT id, lower(email) AS email, active FROM users WHERE team_id = $1", integration.team_id
    )
    # The team's own rate of a day comes last, and so counts.
    rates = await connection.fetch(
        "SELECT currency, day, rate FROM exchange_rates WHERE team_id = $1 ORDER BY currency, day, source = 'team'",
        integration.team_id,
    )
    domains = (
        set(team["mail_domains"])
        or {row["email"].rpartition("@")[2] for row in people if row["active"]} - PUBLIC_MAIL_DOMAINS
    )
    owner = next((row["email"] for row in people if row["id"] == integration.owner_id), None)
    mapping: Mapping[str, Any] = {}
    if manifest.opportunity_object is not None:
        mapping = await integrations.mapping_of(connection, integration, manifest)
    return MappingContext(
        now=now,
        timezone=team["timezone"],
        currency=team["currency"],
        domains=frozenset(domains),
        owner=owner,
        members=frozenset(row["email"] for row in people),
        mapping=mapping,
        syncs=frozenset(part.lower() for part in integration.syncs),
        rate=_Rates(rates),
        settings={name: str(value) for name, value in integration.settings.items()},
    )


@dataclass(slots=True)
class Batch:
    """Pages that are put into the tables together.

    Args:
        documents: What came.
        cursor: Where the last page ended; None leaves the cursor as it is.
        done: Whether there is no more for now.
        begins_full: Whether a full listing begins with it.
        people: Whose ids are to be known.
        rates: Exchange rates.
        total: How many documents there will be.
    """

    documents: list[Document] = field(default_factory=list)
    cursor: Cursor | None = None
    done: bool = False
    begins_full: bool = False
    people: list[Person] = field(default_factory=list)
    rates: list[Rate] = field(default_factory=list)
    total: int | None = None


@dataclass(slots=True)
class _Kept:
    """A kept document, as it was and as it is to be."""

    document: Document
    data: str | None
    row: Any
    state: str | None = None
    again_at: datetime | None = None
    external_ids: tuple[str, ...] = ()
    digest: str | None = None
    revision: int = 0
    records: tuple[Mapping[str, Any], ...] = ()
    refused: RecordRefused | None = None
    untouched: bool = False
    resend: bool = False


@dataclass(slots=True)
class Ready:
    """A batch that is mapped; what is left is the transaction.

    Args:
        batch: The batch.
        prepared: Its records, as rows.
        refused: Why documents were refused, by their place in the batch.
        kept: The documents that are kept.
        upcoming: Upcoming steps that documents which are not kept tell of.
    """

    batch: Batch
    prepared: ingest.Prepared | None
    refused: list[RecordError]
    kept: list[_Kept]
    upcoming: Sequence[UpcomingStep] = ()


def _text(data: Any) -> str:
    if isinstance(data, bytes):
        return data.decode("utf-8", "replace")
    return orjson.dumps(data, option=orjson.OPT_SORT_KEYS, default=str).decode()


def _decoded(record: Mapping[str, Any] | bytes) -> AnyRecord | TombstoneRecord:
    return decode_json(record) if isinstance(record, bytes) else decode_mapping(record)


async def read_kept(
    connection: Connection, integration: Integration, documents: Sequence[Document]
) -> dict[tuple[str, str], Any]:
    """What is kept of some documents. Served by synced_documents_document_key."""
    rows = await connection.fetch(
        """
        SELECT d.* FROM unnest($3::text[], $4::text[]) w (object, document_id)
        JOIN synced_documents d ON d.team_id = $1 AND d.integration_id = $2
            AND d.object = w.object AND d.document_id = w.document_id
        """,
        integration.team_id,
        integration.id,
        [document.object for document in documents],
        [document.id for document in documents],
    )
    return {(row["object"], row["document_id"]): row for row in rows}


def map_kept(
    batch: Batch, rows: Mapping[tuple[str, str], Any], map_document: Map, context: MappingContext, *, again: bool
) -> list[_Kept]:
    """Map documents that are kept; without a connection, so that a thread can do it.

    Args:
        batch: The documents; of one that comes twice, the last counts.
        rows: What was kept of them.
        map_document: The connector's.
        context: What they are mapped against.
        again: Map those too that have not changed.
    """
    last = {(document.object, document.id): document for document in batch.documents}
    found = []
    now_version = time.time_ns() // 1_000
    for key, document in last.items():
        row = rows.get(key)
        kept = _Kept(document, None if document.deleted else _text(document.data), row)
        found.append(kept)
        if row is not None:
            kept.external_ids, kept.digest = tuple(row["external_ids"]), row["mapped"]
            kept.state, kept.again_at, kept.revision = row["state"], row["again_at"], row["revision"]
            if not document.deleted and not again and row["data"] == kept.data and row["mapped"] is not None:
                kept.untouched = True
                continue
        if document.deleted:
            continue
        state = None if kept.state is None else orjson.loads(kept.state)
        try:
            mapped = map_document(document, context, state)
        except RecordRefused as refusal:
            kept.refused, kept.digest = refusal, None
            if kept.again_at is not None:
                # Time alone may mend it, and it stands in nobody's way until then.
                kept.again_at = context.now + REFUSED_AGAIN
            continue
        kept.records = tuple(record for record in mapped.records if isinstance(record, Mapping))
        kept.state = None if mapped.state is None else _text(mapped.state)
        kept.again_at = mapped.again_at
        digest = hashlib.sha256(_text([dict(record) for record in kept.records]).encode()).hexdigest()
        kept.resend = digest != kept.digest
        kept.digest = digest
        if kept.resend:
            kept.revision = max(kept.revision + 1, now_version)
    return found


def _items_of_kept(kept: Sequence[_Kept], named: frozenset[str]) -> tuple[list[Item], list[RecordError]]:
    """The records and tombstones that documents come to. `named` are external ids that other documents came to too."""
    items: list[Item] = []
    refused: list[RecordError] = []
    for place, one in enumerate(kept):
        if one.untouched:
            continue
        if one.refused is not None:
            refused.append(RecordError(place, one.refused.code, one.refused.field, one.refused.message))
            continue
        before = set(one.external_ids)
        now: dict[str, Mapping[str, Any]] = {str(record["externalId"]): record for record in one.records}
        revision = one.revision if one.resend else max(one.revision + 1, time.time_ns() // 1_000)
        gone = before - set(now) - named
        items += [(place, TombstoneRecord(kind="", external_id=name, deleted=True, version=revision)) for name in gone]
        if one.resend:
            try:
                items += [(place, _decoded({**record, "version": revision})) for record in now.values()]
            except RecordRefused as refusal:
                refused.append(RecordError(place, refusal.code, refusal.field, refusal.message))
                one.digest = None
                continue
        one.external_ids = tuple(now)
        one.revision = revision
    return items, refused


async def names_elsewhere(connection: Connection, integration: Integration, kept: Sequence[_Kept]) -> frozenset[str]:
    """External ids that documents are about to let go of, and that others have come to too: another calendar of the
    same person, an event that has moved. Served by synced_documents_external_ids_idx.
    """
    gone = {
        name
        for one in kept
        if not one.untouched and one.refused is None
        for name in set(one.external_ids) - {str(record["externalId"]) for record in one.records}
    }
    if not gone:
        return frozenset()
    own = [one.row["id"] for one in kept if one.row is not None]
    rows = await connection.fetch(
        """
        SELECT DISTINCT x.name FROM synced_documents d CROSS JOIN unnest(d.external_ids) x (name)
        WHERE d.team_id = $1 AND d.external_ids && $2::text[] AND x.name = ANY ($2::text[]) AND d.id <> ALL ($3::uuid[])
        """,
        integration.team_id,
        sorted(gone),
        own,
    )
    # Documents of the same batch may come to it as well.
    inside = {str(record["externalId"]) for one in kept for record in one.records}
    inside |= {name for one in kept if one.untouched for name in one.external_ids}
    return frozenset({row["name"] for row in rows} | (inside & gone))


async def prepare_kept(connection: Connection, integration: Integration, batch: Batch, kept: list[_Kept]) -> Ready:
    """Make rows of what kept documents came to."""
    named = await names_elsewhere(connection, integration, kept)
    items, refused = _items_of_kept(kept, named)
    prepared = None
    if items:
        prepared = ingest.prepare(items, *await ingest.read_importing(connection, integration.team_id, items))
    return Ready(batch, prepared, refused, kept)


Direct = tuple[list[Item], list[RecordError], list[UpcomingStep]]
"""What documents that are not kept come to: records, refusals by the document's place, and upcoming steps."""


def map_direct(batch: Batch, map_document: Map, context: MappingContext) -> Direct:
    """Map documents that are not kept; without a connection, so that a thread can do it."""
    items: list[Item] = []
    refused: list[RecordError] = []
    steps: list[UpcomingStep] = []
    for place, document in enumerate(batch.documents):
        try:
            if document.deleted:
                gone = TombstoneRecord(kind="", external_id=f"{document.object}:{document.id}", deleted=True)
                items.append((place, gone))
            else:
                mapped = map_document(document, context, None)
                steps += [read_step(one, context.now) for one in mapped.upcoming]
                items += [(place, _decoded(record)) for record in mapped.records]
        except RecordRefused as refusal:
            refused.append(RecordError(place, refusal.code, refusal.field, refusal.message))
    return items, refused, steps


async def prepare_direct(
    connection: Connection, integration: Integration, batch: Batch, mapped: Direct
) -> tuple[Ready, Callable[[], ingest.Prepared]]:
    """What is left to do for documents that are not kept; the second part needs no connection: a thread can do it."""
    items, refused, steps = mapped
    importing, key_id = await ingest.read_importing(connection, integration.team_id, items)
    return Ready(batch, None, refused, [], steps), lambda: ingest.prepare(items, importing, key_id)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job has come.

    Args:
        processed: Documents so far.
        total: Documents in all, if the vendor tells.
    """

    processed: int
    total: int | None


async def store(
    connection: Connection,
    job: ClaimedJob,
    integration: Integration,
    manifest: Manifest,
    ready: Ready,
    progress: Progress,
    job_cursor: Mapping[str, Any],
) -> None:
    """Put a batch into the tables, with its cursor, in the caller's transaction.

    Raises:
        LeaseLost: the job is not the holder's any more; the transaction must not commit.
    """
    team_id, batch = integration.team_id, ready.batch
    await jobs.save_progress(connection, job, job_cursor, progress.processed, progress.total)
    refused = ready.refused
    if ready.prepared is not None:
        outcome = await ingest.take_in_within(
            connection,
            team_id,
            source_of(integration, manifest),
            ready.prepared,
            errors=ready.refused,
            feeds=feeds_of(integration, manifest),
        )
        refused = list(outcome.errors)
    if ready.upcoming:
        # Steps of people who are not on the team are passed over: nobody here waits for them.
        await take_steps_in(connection, team_id, source_of(integration, manifest), ready.upcoming)
    unkept = Counter(error.position for error in refused if error.code in NOT_KEPT)
    refused = [error for error in refused if error.code not in NOT_KEPT]
    if batch.begins_full:
        await connection.execute(
            "UPDATE integrations SET passes = passes + 1, full_pass = passes + 1 WHERE team_id = $1 AND id = $2",
            team_id,
            integration.id,
        )
        integration.passes += 1
        integration.full_pass = integration.passes
    if ready.kept:
        failed = {error.position for error in refused}
        barred = await _barred(connection, team_id, ready.kept, failed, unkept)
        await _forget(connection, team_id, [one for place, one in enumerate(ready.kept) if place in barred])
        kept = [(one, place in failed) for place, one in enumerate(ready.kept) if place not in barred]
        await _keep(connection, integration, kept)
    documents = [one.document for one in ready.kept] if manifest.keeps_documents else batch.documents
    await _quarantine(connection, integration, documents, refused)
    if batch.cursor is not None:
        await connection.execute(
            "UPDATE integrations SET cursor = $3::jsonb WHERE team_id = $1 AND id = $2",
            team_id,
            integration.id,
            orjson.dumps(dict(batch.cursor)).decode(),
        )


async def learn(connection: Connection, integration: Integration, manifest: Manifest, batch: Batch) -> bool:
    """Keep what a batch tells of people and rates, before its documents are mapped against them. Returns whether rates
    have changed; then what was mapped before is to be mapped anew.
    """
    if batch.people:
        await _know_people(connection, integration.team_id, batch.people)
    rates = [(one.currency, one.day, one.rate) for one in batch.rates]
    if not await integrations.keep_rates(connection, integration.team_id, rates, manifest.kind):
        return False
    await connection.execute(
        "UPDATE integrations SET remap_wanted = remap_wanted + 1 WHERE team_id = $1 AND id = $2",
        integration.team_id,
        integration.id,
    )
    return True


async def _know_people(connection: Connection, team_id: UUID, people: Sequence[Person]) -> None:
    """Note people's ids at the vendor's, for who is on the team; a vendor may have several of one. Served by
    users_team_id_email_key.
    """
    known = sorted({(person.email.lower(), person.id) for person in people if person.email})
    await connection.execute(
        """
        UPDATE users u SET external_ids = u.external_ids || p.ids
        FROM (
            SELECT o.id AS user_id, array_agg(n.name ORDER BY n.name) AS ids
            FROM unnest($2::text[], $3::text[]) n (email, name)
            JOIN users o ON o.team_id = $1 AND lower(o.email) = n.email AND NOT n.name = ANY (o.external_ids)
            GROUP BY o.id
        ) p
        WHERE u.team_id = $1 AND u.id = p.user_id
        """,
        team_id,
        [email for email, _ in known],
        [name for _, name in known],
    )


async def _barred(
    connection: Connection, team_id: UUID, kept: Sequence[_Kept], failed: Collection[int], unkept: Mapping[int, int]
) -> frozenset[int]:
    """The places of documents that may not be kept: all that they come to is refused by `NOT_KEPT`, or they come to
    nothing, now and as time goes by, and name an erased person."""
    barred = {place for place, count in unkept.items() if count >= len(kept[place].records)}
    nothing = [
        place
        for place, one in enumerate(kept)
        if one.data is not None and one.again_at is None and not one.untouched and (not one.records or place in failed)
    ]
    named = await erased_names.naming(
        connection, team_id, [kept[place].data or "" for place in nothing], documents=True
    )
    return frozenset(barred | {place for place, erased in zip(nothing, named, strict=True) if erased})


async def _forget(connection: Connection, team_id: UUID, kept: Sequence[_Kept]) -> None:
    await connection.execute(
        "DELETE FROM synced_documents WHERE team_id = $1 AND id = ANY ($2::uuid[])",
        team_id,
        [one.row["id"] for one in kept if one.row is not None],
    )


async def _keep(connection: Connection, integration: Integration, kept: Sequence[tuple[_Kept, bool]]) -> None:
    gone = [one.row["id"] for one, _ in kept if one.document.deleted and one.row is not None]
    if gone:
        await connection.execute(
            "DELETE FROM synced_documents WHERE team_id = $1 AND id = ANY ($2::uuid[])", integration.team_id, gone
        )
    seen = [one.row["id"] for one, _ in kept if one.untouched]
    if seen and integration.full_pass:
        await connection.execute(
            "UPDATE synced_documents SET pass_number = $3 WHERE team_id = $1 AND id = ANY ($2::uuid[])",
            integration.team_id,
            seen,
            integration.full_pass,
        )
    await connection.executemany(
        """
        INSERT INTO synced_documents (id, team_id, integration_id, object, document_id, data, state, external_ids,
            revision, mapped, again_at, pass_number)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
        ON CONFLICT (team_id, integration_id, object, document_id) DO UPDATE SET data = EXCLUDED.data,
            state = EXCLUDED.state, external_ids = EXCLUDED.external_ids, revision = EXCLUDED.revision,
            mapped = EXCLUDED.mapped, again_at = EXCLUDED.again_at,
            pass_number = greatest(synced_documents.pass_number, EXCLUDED.pass_number)
        """,
        [
            (
                new_id(),
                integration.team_id,
                integration.id,
                one.document.object,
                one.document.id,
                one.data,
                one.state,
                list(one.external_ids),
                one.revision,
                None if failed else one.digest,
                one.again_at,
                integration.full_pass,
            )
            for one, failed in kept
            if not one.untouched and not one.document.deleted
        ],
    )


async def _quarantine(
    connection: Connection, integration: Integration, documents: Sequence[Document], refused: Sequence[RecordError]
) -> None:
    """Keep what was refused with its reason, and let go of what has been taken in by now, or may not be kept."""
    # What may not be kept is refused and forgotten; what names an erased person likewise.
    reasons = {error.position: error for error in refused if error.code not in NOT_KEPT}
    texts = [_text(documents[place].data) for place in reasons]
    named = await erased_names.naming(connection, integration.team_id, texts)
    shown = dict(zip(reasons, texts, strict=True))
    for place, erased in zip(list(reasons), named, strict=True):
        if erased:
            del reasons[place]
    texts = [_text(documents[place].data) for place in reasons]
    named = await erased_names.naming(connection, integration.team_id, texts, documents=True)
    for place, erased in zip(list(reasons), named, strict=True):
        if erased:
            del reasons[place]
    well = [document for place, document in enumerate(documents) if place not in reasons]
    await connection.execute(
        """
        DELETE FROM quarantined_documents q USING unnest($3::text[], $4::text[]) w (object, document_id)
        WHERE q.team_id = $1 AND q.integration_id = $2 AND q.object = w.object AND q.document_id = w.document_id
        """,
        integration.team_id,
        integration.id,
        [document.object for document in well],
        [document.id for document in well],
    )
    await connection.executemany(
        """
        INSERT INTO quarantined_documents (id, team_id, integration_id, object, document_id, code, field, reason, data)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
        ON CONFLICT (team_id, integration_id, object, document_id) DO UPDATE
        SET code = EXCLUDED.code, field = EXCLUDED.field, reason = EXCLUDED.reason, data = EXCLUDED.data
        """,
        [
            (
                new_id(),
                integration.team_id,
                integration.id,
                documents[place].object,
                documents[place].id,
                error.code,
                error.field[:100] if error.field else None,
                error.message.replace("\0", " "),
                shown[place].replace("\0", " "),
            )
            for place, error in reasons.items()
        ],
    )


# What is mapped anew.


async def documents_to_sweep(connection: Connection, integration: Integration) -> list[Document]:
    """Documents that a full listing, now at its end, did not name: they are gone at the vendor's."""
    rows = await connection.fetch(
        "SELECT object, document_id FROM synced_documents "
        "WHERE team_id = $1 AND integration_id = $2 AND pass_number < $3 ORDER BY id LIMIT $4",
        integration.team_id,
        integration.id,
        integration.full_pass,
        REMAP_LOT,
    )
    return [Document(row["object"], row["document_id"], None, True) for row in rows]


async def end_pass(connection: Connection, integration: Integration) -> None:
    """The full listing is at its end, and what it did not name is gone."""
    await connection.execute(
        "UPDATE integrations SET full_pass = 0 WHERE team_id = $1 AND id = $2", integration.team_id, integration.id
    )
    integration.full_pass = 0


async def documents_due(connection: Connection, integration: Integration, now: datetime) -> list[Document]:
    """Documents whose meaning changes by now with time alone. Served by synced_documents (…, again_at)."""
    rows = await connection.fetch(
        "SELECT object, document_id, data FROM synced_documents "
        "WHERE team_id = $1 AND integration_id = $2 AND again_at <= $3 ORDER BY again_at, id LIMIT $4",
        integration.team_id,
        integration.id,
        now,
        REMAP_LOT,
    )
    return [Document(row["object"], row["document_id"], orjson.loads(row["data"])) for row in rows]


async def documents_after(
    connection: Connection, integration: Integration, after: UUID
) -> tuple[list[Document], UUID | None]:
    """The next of all documents that are kept, and where the following ones begin; None at the end."""
    rows = await connection.fetch(
        "SELECT id, object, document_id, data FROM synced_documents "
        "WHERE team_id = $1 AND integration_id = $2 AND id > $3 ORDER BY id LIMIT $4",
        integration.team_id,
        integration.id,
        after,
        REMAP_LOT,
    )
    documents = [Document(row["object"], row["document_id"], orjson.loads(row["data"])) for row in rows]
    return documents, rows[-1]["id"] if rows else None


async def documents_quarantined(
    connection: Connection, integration: Integration, after: UUID
) -> tuple[list[Document], UUID | None]:
    """The next of the documents that wait in quarantine, and where the following ones begin."""
    rows = await connection.fetch(
        "SELECT id, object, document_id, data FROM quarantined_documents "
        "WHERE team_id = $1 AND integration_id = $2 AND id > $3 ORDER BY id LIMIT $4",
        integration.team_id,
        integration.id,
        after,
        REMAP_LOT,
    )
    documents = []
    for row in rows:
        try:
            data: Any = orjson.loads(row["data"])
        except orjson.JSONDecodeError:
            data = row["data"].encode()
        documents.append(Document(row["object"], row["document_id"], data))
    return documents, rows[-1]["id"] if rows else None


# Beginnings and ends.


@dataclass(frozen=True, slots=True)
class Left:
    """What a sync still has to do before it is at its end.

    Args:
        remap: The mark up to which documents are to be mapped anew; None where they are not.
        retry: Whether what is quarantined is to be tried again.
    """

    remap: int | None
    retry: bool

    def __bool__(self) -> bool:
        return self.remap is not None or self.retry


async def left_to_do(connection: Connection, integration: Integration) -> Left:
    """What was asked for since the sync began; the row stays locked, so that nothing is asked for unseen until the
    transaction's end.

    Raises:
        NotFound: the connection is gone.
    """
    row = await connection.fetchrow(
        "SELECT remap_wanted, remap_done, retry_wanted FROM integrations WHERE team_id = $1 AND id = $2 "
        "FOR NO KEY UPDATE",
        integration.team_id,
        integration.id,
    )
    if row is None:
        raise NotFound("The integration was disconnected.")
    wanted = row["remap_wanted"] if row["remap_wanted"] > row["remap_done"] else None
    return Left(wanted, row["retry_wanted"])


async def remapped(connection: Connection, integration: Integration, mark: int) -> None:
    """All documents have been mapped by what held when the mark was set."""
    await connection.execute(
        "UPDATE integrations SET remap_done = greatest(remap_done, $3) WHERE team_id = $1 AND id = $2",
        integration.team_id,
        integration.id,
        mark,
    )


async def retried(connection: Connection, integration: Integration) -> None:
    """What was quarantined has been tried again."""
    await connection.execute(
        "UPDATE integrations SET retry_wanted = false WHERE team_id = $1 AND id = $2",
        integration.team_id,
        integration.id,
    )


async def finish(
    connection: Connection, job: ClaimedJob, integration: Integration, manifest: Manifest, now: datetime
) -> None:
    """The sync is at its end: its feeds are connected, even where they have brought nothing yet, if all of them bring
    something sooner or later.

    Raises:
        LeaseLost: the job is not the holder's any more.
    """
    await jobs.finish_job(connection, job)
    await connection.execute(
        "UPDATE integrations SET last_synced_at = $3, last_error = NULL, "
        "state = CASE WHEN state = 'BROKEN' THEN 'ACTIVE' ELSE state END WHERE team_id = $1 AND id = $2",
        integration.team_id,
        integration.id,
        now,
    )
    if not manifest.feeds_by_records:
        await ingest.connect_feeds(connection, integration.team_id, feeds_of(integration, manifest))


async def tell_trouble(connection: Connection, integration: Integration, reason: str, *, broken: bool) -> None:
    """Show why a sync could not go on; a broken connection is not synced by itself any more."""
    await connection.execute(
        "UPDATE integrations SET last_error = $3, "
        "state = CASE WHEN $4 AND state <> 'PAUSED' THEN 'BROKEN' ELSE state END WHERE team_id = $1 AND id = $2",
        integration.team_id,
        integration.id,
        reason,
        broken,
    )


async def begin_anew(connection: Connection, integration: Integration) -> None:
    """Forget the cursor: the next pull lists everything."""
    await connection.execute(
        "UPDATE integrations SET cursor = NULL, full_pass = 0 WHERE team_id = $1 AND id = $2",
        integration.team_id,
        integration.id,
    )
    integration.cursor = None  # type: ignore[assignment]
    integration.full_pass = 0


async def keep_account(connection: Connection, job: ClaimedJob, integration: Integration, account: Account) -> UUID:
    """Keep what a check found, end its job, and begin to sync. Returns the sync's job.

    An account other than before begins anew.

    Raises:
        LeaseLost: the job is not the holder's any more.
        Conflict: another connection of the same audience has the account already.
    """
    twin = await connection.fetchval(
        "SELECT name FROM integrations WHERE team_id = $1 AND kind = $2 AND account_id = $3 AND id <> $4 "
        "AND owner_id IS NOT DISTINCT FROM $5",
        integration.team_id,
        integration.kind,
        account.id,
        integration.id,
        integration.owner_id,
    )
    if twin is not None:
        raise Conflict(f"{account.name} is connected already, as {twin!r}: disconnect one of them.")
    await jobs.finish_job(connection, job)
    await connection.execute(
        """
        UPDATE integrations SET account_id = $3::varchar, account_name = $4, settings = settings || $5::jsonb,
            described = $6::jsonb, samples = $7::jsonb, state = $8, last_error = NULL,
            next_sync_at = now() + make_interval(mins => interval_minutes),
            cursor = CASE WHEN account_id IS DISTINCT FROM $3::varchar THEN NULL ELSE cursor END,
            full_pass = CASE WHEN account_id IS DISTINCT FROM $3::varchar THEN 0 ELSE full_pass END
        WHERE team_id = $1 AND id = $2
        """,
        integration.team_id,
        integration.id,
        account.id[:255],
        account.name[:255],
        orjson.dumps(dict(account.settings)).decode(),
        orjson.dumps([msgspec.to_builtins(one) for one in account.fields]).decode(),
        orjson.dumps([msgspec.to_builtins(one) for one in account.samples], default=str)
        .decode()
        .replace("\\u0000", " "),
        IntegrationState.ACTIVE.value,
    )
    return await integrations.create_sync(connection, integration.team_id, integration.id, None)
