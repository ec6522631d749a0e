"""Activities in the form in which they come in, going out."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from uuid import UUID

from domain.bodies import Sealer

FIELDS: Mapping[str, Mapping[str, str]] = {
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
        "recordingUrl": "recording_url",
        "recordedExternalId": "recorded_external_id",
        "recordedSource": "recorded_source",
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
"""The columns of `activities` that hold the fields of each kind of record."""
ACTIVITIES = """
    SELECT a.*, u.email, b.body, b.key_id, b.sealed, k.version,
        CASE WHEN a.amount <> 0 AND a.currency <> t.currency THEN a.team_amount / a.amount END AS exchange_rate
    FROM activities a JOIN users u ON u.id = a.user_id JOIN teams t ON t.id = a.team_id
    JOIN activity_keys k ON k.id = a.id
    LEFT JOIN email_bodies b ON a.body_stored AND b.team_id = a.team_id AND b.id = a.id"""
"""Rows for `activity_record`."""


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
    for name, column in FIELDS[row["kind"]].items():
        if name == "body" and not with_body:
            continue
        value = row[column]
        if name == "body" and row["sealed"] is not None:
            value = keys[row["key_id"]].open(row["external_id"], row["sealed"])
        if value is not None or name == "pipelineOn":  # Absent, it is the created day; see domain/records.py.
            record[name] = format(value, "f") if isinstance(value, Decimal) else value
    return record
