"""Activities going out: in the form in which they come in."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson

from domain import access, audit, bodies
from domain.access import Viewer
from domain.audit import AuditAction, NewEntry
from domain.bodies import Sealer
from domain.database import transaction
from domain.uploads import check_format

CURSOR_ROWS = 2_000
WRITE_CHARACTERS = 65_536

_COMMON = ("kind", "externalId", "user", "occurredAt", "version")
_FIELDS: dict[str, dict[str, str]] = {
    "email": {
        "subject": "name",
        "body": "body",
        "bounced": "bounced",
        "openCount": "open_count",
        "repliedAt": "replied_at",
        "cadence": "cadence",
    },
    "call": {
        "durationSeconds": "duration_seconds",
        "connected": "connected",
        "disposition": "disposition",
        "sentiment": "sentiment",
    },
    "meeting": {
        "startsAt": "starts_at",
        "endsAt": "ends_at",
        "title": "name",
        "status": "status",
        "rescheduledCount": "rescheduled_count",
    },
    "conversation": {
        "durationSeconds": "duration_seconds",
        "talkRatio": "talk_ratio",
        "longestMonologueSeconds": "longest_monologue_seconds",
        "questionsAsked": "questions_asked",
        "patienceSeconds": "patience_seconds",
    },
    "cadence_step": {"cadence": "cadence", "step": "step", "status": "status"},
    "opportunity": {
        "name": "name",
        "stage": "stage",
        "amount": "amount",
        "currency": "currency",
        "exchangeRate": "exchange_rate",
        "createdOn": "created_on",
        "pipelineOn": "pipeline_on",
        "closedOn": "closed_on",
        "won": "won",
    },
    "task": {"completedAt": "completed_at", "title": "name"},
}
ACTIVITIES = """
    SELECT a.*, u.email, b.body, b.key_id, b.sealed, k.version,
        CASE WHEN a.amount <> 0 AND a.currency <> t.currency THEN a.team_amount / a.amount END AS exchange_rate
    FROM activities a JOIN users u ON u.id = a.user_id JOIN teams t ON t.id = a.team_id
    JOIN activity_keys k ON k.id = a.id
    LEFT JOIN email_bodies b ON a.body_stored AND b.team_id = a.team_id AND b.id = a.id"""
"""Rows for `activity_record`."""
COLUMNS = (*_COMMON, *dict.fromkeys(name for fields in _FIELDS.values() for name in fields))


def activity_record(row: Any, keys: Mapping[UUID, Sealer], *, with_body: bool) -> dict[str, Any]:
    """An activity in the form in which it came in.

    Args:
        row: Of activities, with the owner's email, the key's version, and what email_bodies and the rate say.
        keys: The team's data keys.
        with_body: Whether an email's body may be read.

    Raises:
        Unavailable: a body cannot be opened.
    """
    record: dict[str, Any] = {
        "kind": row["kind"],
        "externalId": row["external_id"],
        "user": row["email"],
        "occurredAt": row["occurred_at"],
        "version": row["version"],
    }
    for name, column in _FIELDS[row["kind"]].items():
        if name == "body" and not with_body:
            continue
        value = row[column]
        if name == "body" and row["sealed"] is not None:
            value = keys[row["key_id"]].open(row["external_id"], row["sealed"])
        if value is not None or name == "pipelineOn":  # Absent, it is the created day; see domain/records.py.
            record[name] = format(value, "f") if isinstance(value, Decimal) else value
    return record


async def export_activities(viewer: Viewer, format_name: str, write: Callable[[str], Any]) -> int:
    """Write the activities that a viewer may see, the oldest first; bodies of emails only where they may be read.

    Args:
        viewer: Who looks.
        format_name: `ndjson` or `csv`.
        write: Takes the text, piece by piece; memory stays flat.

    Returns:
        How many activities were written.

    Raises:
        Invalid: there is no such format.
    """
    check_format(format_name)
    buffer = io.StringIO()
    table = csv.DictWriter(buffer, COLUMNS, lineterminator="\r\n")
    if format_name == "csv":
        table.writeheader()
    count = others = 0
    async with transaction(viewer.team_id) as connection:
        sight = await access.see_users(connection, viewer)
        keys = await bodies.sealers(connection, viewer.team_id)
        arguments: list[object] = []
        condition = sight.filter("a.user_id", arguments, team_column="a.team_id")
        # Served by activities_team_idx.
        statement = f"{ACTIVITIES} WHERE {condition} ORDER BY a.occurred_at, a.id"
        async for row in connection.cursor(statement, *arguments, prefetch=CURSOR_ROWS):
            record = activity_record(row, keys, with_body=access.may_read_email_body(viewer, row["user_id"]))
            others += "body" in record and row["user_id"] != viewer.user_id
            count += 1
            if format_name == "csv":
                table.writerow({key: _cell(value) for key, value in record.items()})
            else:
                buffer.write(orjson.dumps(record).decode() + "\n")
            if buffer.tell() > WRITE_CHARACTERS:
                write(buffer.getvalue())
                buffer.seek(0)
                buffer.truncate()
        if others:
            entry = NewEntry(AuditAction.EMAIL_BODIES_EXPORTED, None, None, {"bodies": others})
            await audit.record(connection, viewer, [entry])
    write(buffer.getvalue())
    return count


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
