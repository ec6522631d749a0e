"""The audit log, deliveries of webhooks, and what waits in quarantine, as files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec
import orjson

from domain import access, audit, events, imports, integrations, jobs, webhooks
from domain.audit import AuditAction, AuditFilter
from domain.errors import NotFound
from domain.exports.columns import Chosen, Column, ColumnKind
from domain.exports.source import (
    HEAVY_PAGE_ROWS,
    Exportable,
    Instant,
    Look,
    NoArguments,
    Rows,
    Text,
    Texts,
    all_of,
    instant,
    person_columns,
    row_id,
    users_of,
)
from domain.ids import encode_id
from domain.models import AuditEntry, Import, QuarantinedDocument, QuarantinedRecord, User, WebhookDelivery
from domain.models.people import Permission
from domain.paging import PageRequest

_K = ColumnKind


@dataclass(frozen=True, slots=True)
class AuditRow:
    """An entry of the audit log, with who did it and what it tells in detail."""

    entry: AuditEntry
    actor: User | None
    told: dict[str, Any]


def _subject_id(row: AuditRow) -> str | None:
    entry = row.entry
    if entry.subject_type is None or entry.subject_id is None:
        return None
    return encode_id(entry.subject_type, entry.subject_id)


AUDIT_COLUMNS: tuple[Column[AuditRow], ...] = (
    Column("position", _K.INT, lambda row: row.entry.position),
    Column("at", _K.DATETIME, lambda row: row.entry.at),
    Column("action", _K.ENUM, lambda row: row.entry.action),
    *person_columns("actor", lambda row: row.actor),
    Column("subjectType", _K.STRING, lambda row: row.entry.subject_type),
    Column("subjectId", _K.ID, _subject_id),
    Column("requestId", _K.STRING, lambda row: row.entry.request_id),
    Column("address", _K.STRING, lambda row: row.told.get("address")),
    Column("before", _K.JSON, lambda row: row.told.get("before")),
    Column("after", _K.JSON, lambda row: row.told.get("after")),
    Column("erased", _K.BOOLEAN, lambda row: row.entry.details is None),
    Column("hash", _K.STRING, lambda row: bytes(row.entry.hash).hex()),
)


class AuditFilterArgument(NoArguments, frozen=True):
    """Which entries; all conditions must hold."""

    actor_id: Text | None = None
    user_id: Text | None = None
    actions: Texts | None = None
    since: Instant | None = msgspec.field(default=None, name="from")
    until: Instant | None = msgspec.field(default=None, name="to")

    def to_domain(self) -> AuditFilter:
        """As the domain has it."""
        return AuditFilter(
            row_id(self.actor_id, "User", "filter", "actorId"),
            row_id(self.user_id, "User", "filter", "userId"),
            all_of(AuditAction, self.actions, "filter", "actions"),
            instant(self.since, "filter", "from"),
            instant(self.until, "filter", "to"),
        )


class AuditArguments(NoArguments, frozen=True):
    """Of `auditLog`."""

    filter: AuditFilterArgument = AuditFilterArgument()


async def _read_audit(look: Look, given: AuditArguments, request: PageRequest, chosen: Chosen[Any]) -> Rows[AuditRow]:
    page = await audit.list_entries(look.connection, look.viewer, given.filter.to_domain(), request)
    actors = await users_of(look, (one.actor_id for one in page.nodes)) if chosen.any("actor") else {}
    return Rows.of(
        page,
        [
            AuditRow(one, actors.get(one.actor_id), {} if one.details is None else orjson.loads(one.details))
            for one in page.nodes
        ],
    )


async def _count_audit(look: Look, given: AuditArguments) -> int:
    return await audit.count_entries(look.connection, look.viewer, given.filter.to_domain())


def _cursor_of(row: WebhookDelivery) -> str | None:
    return None if row.position is None else events.cursor_of(row.team_id, row.position)


DELIVERY_COLUMNS: tuple[Column[WebhookDelivery], ...] = (
    Column("messageId", _K.STRING, lambda row: row.message_id),
    Column("cursor", _K.STRING, _cursor_of),
    Column("type", _K.STRING, lambda row: row.type),
    Column("attempt", _K.INT, lambda row: row.attempt),
    Column("statusCode", _K.INT, lambda row: row.status_code),
    Column("error", _K.STRING, lambda row: row.error),
    Column("response", _K.STRING, lambda row: row.response),
    Column("durationMs", _K.INT, lambda row: row.duration_ms),
    Column("attemptedAt", _K.DATETIME, lambda row: row.attempted_at),
)


class DeliveriesArguments(NoArguments, frozen=True):
    """Of an endpoint's `deliveries`."""

    endpoint_id: Text


async def _endpoint(look: Look, given: DeliveriesArguments) -> UUID:
    access.require(look.viewer, Permission.MANAGE_TEAM)
    endpoint_id = row_id(given.endpoint_id, "WebhookEndpoint", "endpointId")
    assert endpoint_id is not None, "it has no default"
    if await webhooks.find_endpoint(look.connection, look.viewer, endpoint_id) is None:
        raise NotFound("No such webhook endpoint.", path=("endpointId",))
    return endpoint_id


async def _read_deliveries(
    look: Look, given: DeliveriesArguments, request: PageRequest, _chosen: Chosen[Any]
) -> Rows[WebhookDelivery]:
    endpoint_id = await _endpoint(look, given)
    page = await webhooks.list_deliveries(look.connection, look.viewer.team_id, endpoint_id, request)
    return Rows.of(page, page.nodes)


async def _count_deliveries(look: Look, given: DeliveriesArguments) -> int:
    endpoint_id = await _endpoint(look, given)
    return await webhooks.count_deliveries(look.connection, look.viewer.team_id, endpoint_id)


@dataclass(frozen=True, slots=True)
class WaitingRow:
    """Something that waits in quarantine.

    Args:
        row: The record or the document.
        readable: Whether it may be read as it came.
    """

    row: Any
    readable: bool


RECORD_COLUMNS: tuple[Column[WaitingRow], ...] = (
    Column("position", _K.INT, lambda one: one.row.position),
    Column("code", _K.STRING, lambda one: one.row.code),
    Column("field", _K.STRING, lambda one: one.row.field),
    Column("reason", _K.STRING, lambda one: one.row.reason),
    Column("createdAt", _K.DATETIME, lambda one: one.row.created_at),
    Column("record", _K.STRING, lambda one: one.row.record if one.readable else None),
)
DOCUMENT_COLUMNS: tuple[Column[WaitingRow], ...] = (
    Column("object", _K.STRING, lambda one: one.row.object),
    Column("documentId", _K.STRING, lambda one: one.row.document_id),
    Column("code", _K.STRING, lambda one: one.row.code),
    Column("field", _K.STRING, lambda one: one.row.field),
    Column("reason", _K.STRING, lambda one: one.row.reason),
    Column("since", _K.DATETIME, lambda one: one.row.created_at),
    Column("data", _K.STRING, lambda one: one.row.data if one.readable else None),
)


class QuarantinedArguments(NoArguments, frozen=True):
    """Of an import's `quarantined`."""

    import_id: Text


class QuarantineArguments(NoArguments, frozen=True):
    """Of a connection's `quarantine`."""

    integration_id: Text


async def _import(look: Look, given: QuarantinedArguments) -> tuple[Import, UUID | None]:
    """An import and who asked for it, as its job is seen."""
    import_id = row_id(given.import_id, "Import", "importId")
    assert import_id is not None, "it has no default"
    found = await imports.get_import(look.connection, look.viewer.team_id, import_id)
    job = None
    if found is not None and found.job_id is not None:
        job = await jobs.get_job(look.connection, look.viewer.team_id, found.job_id)
    if found is None or job is None or not access.may_see_job(look.viewer, job.requested_by_id):
        raise NotFound("No such import.", path=("importId",))
    return found, job.requested_by_id


async def _read_quarantined(
    look: Look, given: QuarantinedArguments, request: PageRequest, _chosen: Chosen[Any]
) -> Rows[WaitingRow]:
    found, owner_id = await _import(look, given)
    page = await imports.list_quarantine(look.connection, look.viewer.team_id, found.id, request)
    readable = access.may_read_documents(look.viewer, owner_id)
    waiting: list[QuarantinedRecord] = list(page.nodes)
    return Rows.of(page, [WaitingRow(one, readable) for one in waiting])


async def _count_quarantined(look: Look, given: QuarantinedArguments) -> int:
    found, _owner = await _import(look, given)
    return await imports.count_quarantine(look.connection, look.viewer.team_id, found.id)


async def _integration(look: Look, given: QuarantineArguments) -> tuple[UUID, UUID | None]:
    integration_id = row_id(given.integration_id, "Integration", "integrationId")
    assert integration_id is not None, "it has no default"
    sight = access.see_integrations(look.viewer)
    found = (await integrations.integrations_by_id(look.connection, sight, [integration_id]))[0]
    if found is None:
        raise NotFound("No such integration.", path=("integrationId",))
    return found.id, found.owner_id


async def _read_quarantine(
    look: Look, given: QuarantineArguments, request: PageRequest, _chosen: Chosen[Any]
) -> Rows[WaitingRow]:
    integration_id, owner_id = await _integration(look, given)
    page = await integrations.list_quarantined(look.connection, look.viewer.team_id, integration_id, request)
    readable = access.may_read_documents(look.viewer, owner_id)
    waiting: list[QuarantinedDocument] = list(page.nodes)
    return Rows.of(page, [WaitingRow(one, readable) for one in waiting])


async def _count_quarantine(look: Look, given: QuarantineArguments) -> int:
    integration_id, _owner = await _integration(look, given)
    found = await integrations.count_quarantined(look.connection, look.viewer.team_id, [integration_id])
    return found.get(integration_id, 0)


EXPORTABLES = (
    Exportable(
        "auditLog",
        "Query.auditLog",
        "Who did or saw what of consequence, the newest first. For Admin.",
        AUDIT_COLUMNS,
        AuditArguments,
        _read_audit,
        _count_audit,
    ),
    Exportable(
        "webhookEndpoint.deliveries",
        "WebhookEndpoint.deliveries",
        "Every attempt to deliver to an endpoint in the last thirty days, the newest first. Needs MANAGE_TEAM.",
        DELIVERY_COLUMNS,
        DeliveriesArguments,
        _read_deliveries,
        _count_deliveries,
    ),
    Exportable(
        "import.quarantined",
        "Import.quarantined",
        "The records of an import that were refused and wait, in the file's order; as they came for who imported them "
        "and for Admin.",
        RECORD_COLUMNS,
        QuarantinedArguments,
        _read_quarantined,
        _count_quarantined,
        page_rows=HEAVY_PAGE_ROWS,
    ),
    Exportable(
        "integration.quarantine",
        "Integration.quarantine",
        "The documents of a connection that wait, the oldest first; as they came for its owner and for Admin.",
        DOCUMENT_COLUMNS,
        QuarantineArguments,
        _read_quarantine,
        _count_quarantine,
        page_rows=HEAVY_PAGE_ROWS,
    ),
)
