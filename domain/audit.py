"""The audit log: who did or saw what of consequence, when, from where, before and after.

An entry is written in the transaction of what it tells of. Entries of a team form a chain: each holds the hash of the
one before, so that an entry which was changed, removed or slipped in later breaks it; who keeps the last hash elsewhere
notices even a chain that was made anew. What an entry tells in detail enters the chain by its salted hash, so that the
details of a person can be erased and the chain still stands.

    details_hash = SHA-256(salt || details)
    hash = SHA-256(JSON array: team, position, at, action, actor, subject type, subject, request id, details_hash,
                   previous hash; ids and hashes in hex, the time in ISO 8601 with microseconds, UTC)
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson

from domain import access
from domain.access import Viewer
from domain.models import AuditEntry
from domain.models.base import new_id
from domain.paging import Page, PageRequest, decode_cursor, encode_cursor, page_of

if TYPE_CHECKING:
    from domain.database import Connection

GENESIS = bytes(32)
"""What a team's first entry follows."""
SALT_BYTES = 16
VERIFY_LOT = 1000
FORGET_LOT = 5_000


class AuditAction(StrEnum):
    """What is written down."""

    USER_INVITED = "USER_INVITED"
    USER_UPDATED = "USER_UPDATED"
    USER_DEACTIVATED = "USER_DEACTIVATED"
    USER_REACTIVATED = "USER_REACTIVATED"
    GROUP_CREATED = "GROUP_CREATED"
    GROUP_UPDATED = "GROUP_UPDATED"
    GROUP_REMOVED = "GROUP_REMOVED"
    ROLE_CREATED = "ROLE_CREATED"
    ROLE_UPDATED = "ROLE_UPDATED"
    ROLE_REMOVED = "ROLE_REMOVED"
    TOKEN_CREATED = "TOKEN_CREATED"
    TOKEN_REVOKED = "TOKEN_REVOKED"
    SETTINGS_UPDATED = "SETTINGS_UPDATED"
    INTEGRATION_CONNECTED = "INTEGRATION_CONNECTED"
    INTEGRATION_UPDATED = "INTEGRATION_UPDATED"
    INTEGRATION_DISCONNECTED = "INTEGRATION_DISCONNECTED"
    FIELD_MAPPING_SET = "FIELD_MAPPING_SET"
    EXCHANGE_RATES_SET = "EXCHANGE_RATES_SET"
    DOCUMENT_TRUSTED = "DOCUMENT_TRUSTED"
    DOCUMENT_NOT_TRUSTED = "DOCUMENT_NOT_TRUSTED"
    EMAIL_BODY_READ = "EMAIL_BODY_READ"
    EMAIL_BODIES_EXPORTED = "EMAIL_BODIES_EXPORTED"
    COACHING_SESSION_READ = "COACHING_SESSION_READ"
    USER_ERASED = "USER_ERASED"
    PERSON_EXPORTED = "PERSON_EXPORTED"
    COMMENT_DELETED = "COMMENT_DELETED"
    SCORECARD_REMOVED = "SCORECARD_REMOVED"
    SCORECARD_TEMPLATE_CREATED = "SCORECARD_TEMPLATE_CREATED"
    SCORECARD_TEMPLATE_UPDATED = "SCORECARD_TEMPLATE_UPDATED"
    FEEDBACK_REQUESTED = "FEEDBACK_REQUESTED"
    CONNECTION_EXPORTED = "CONNECTION_EXPORTED"
    DIALER_CREATED = "DIALER_CREATED"
    DIALER_ROTATED = "DIALER_ROTATED"
    DIALER_REMOVED = "DIALER_REMOVED"
    LIVE_CALL_JOINED = "LIVE_CALL_JOINED"
    LIVE_CALL_CONNECTED = "LIVE_CALL_CONNECTED"
    LIVE_CALL_MODE_CHANGED = "LIVE_CALL_MODE_CHANGED"
    LIVE_CALL_LEFT = "LIVE_CALL_LEFT"
    SCORE_DEFINITION_SET = "SCORE_DEFINITION_SET"
    SCORE_DEFINITION_REMOVED = "SCORE_DEFINITION_REMOVED"
    ACCOLADE_RULE_SET = "ACCOLADE_RULE_SET"
    ACCOLADE_RULE_REMOVED = "ACCOLADE_RULE_REMOVED"
    ACCOLADE_GRANTED = "ACCOLADE_GRANTED"
    ACCOLADE_REVOKED = "ACCOLADE_REVOKED"


@dataclass(frozen=True, slots=True)
class NewEntry:
    """An entry that is about to be written.

    Args:
        action: What happened.
        subject: The type and the id of what it happened to.
        before: What it was, as JSON.
        after: What it is now, as JSON.
    """

    action: AuditAction
    subject: tuple[str, UUID] | None = None
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which entries.

    Args:
        actor_id: Done by this user.
        subject_id: Done to this object.
        actions: Of these kinds.
        since: From this instant on.
        until: Before this instant.
    """

    actor_id: UUID | None = None
    subject_id: UUID | None = None
    actions: tuple[AuditAction, ...] | None = None
    since: datetime | None = None
    until: datetime | None = None


def _plain(value: object) -> object:
    if isinstance(value, UUID):
        return str(value)
    return sorted(value) if isinstance(value, set | frozenset) else str(value)


def details_hash(salt: bytes, details: str) -> bytes:
    """What the chain holds of an entry's details."""
    return hashlib.sha256(salt + details.encode()).digest()


def entry_hash(entry: Mapping[str, Any]) -> bytes:
    """The hash of an entry, by the names of its columns."""
    parts = [
        entry["team_id"].hex,
        entry["position"],
        entry["at"].astimezone(UTC).isoformat(timespec="microseconds"),
        entry["action"],
        None if entry["actor_id"] is None else entry["actor_id"].hex,
        entry["subject_type"],
        None if entry["subject_id"] is None else entry["subject_id"].hex,
        entry["request_id"],
        entry["details_hash"].hex(),
        entry["previous_hash"].hex(),
    ]
    return hashlib.sha256(orjson.dumps(parts)).digest()


async def record(connection: Connection, viewer: Viewer, entries: Sequence[NewEntry]) -> None:
    """Write entries in the caller's transaction, near its end: the lock of the team's chain is held until the commit.

    A transaction that also records events writes its audit entries first.
    """
    if entries:
        await _append(connection, viewer.team_id, viewer.user_id, viewer, entries)


async def record_for_operator(connection: Connection, team_id: UUID, entries: Sequence[NewEntry]) -> None:
    """The same for what the operator did, or a worker on its own."""
    if entries:
        await _append(connection, team_id, None, None, entries)


async def _append(
    connection: Connection, team_id: UUID, actor_id: UUID | None, origin: Viewer | None, entries: Sequence[NewEntry]
) -> None:
    await connection.execute(
        "INSERT INTO audit_heads (id, team_id, hash, kept_after_hash) VALUES ($1, $2, $3, $3) ON CONFLICT DO NOTHING",
        new_id(),
        team_id,
        GENESIS,
    )
    head = await connection.fetchrow(
        "SELECT position, hash, clock_timestamp() AS now FROM audit_heads WHERE team_id = $1 FOR UPDATE", team_id
    )
    previous, position, rows = head["hash"], head["position"], []
    for entry in entries:
        position += 1
        told = {
            "address": None if origin is None else origin.address,
            "credential": None if origin is None or origin.token_id is None else origin.token_id,
            "before": entry.before,
            "after": entry.after,
        }
        told = {key: value for key, value in told.items() if value is not None}
        details, salt = orjson.dumps(told, default=_plain).decode(), secrets.token_bytes(SALT_BYTES)
        kind, subject_id = entry.subject or (None, None)
        row = {
            "id": new_id(),
            "team_id": team_id,
            "position": position,
            "at": head["now"],
            "action": entry.action.value,
            "actor_id": actor_id,
            "subject_type": kind,
            "subject_id": subject_id,
            "request_id": None if origin is None else origin.request_id,
            "salt": salt,
            "details": details,
            "details_hash": details_hash(salt, details),
            "previous_hash": previous,
        }
        # asyncpg gives and takes its own kind of UUID; the hash needs but hex.
        previous = row["hash"] = entry_hash(row)
        rows.append(row)
    names = list(rows[0])
    places = ", ".join(f"${number}" for number in range(1, len(names) + 1))
    await connection.executemany(
        f"INSERT INTO audit_entries ({', '.join(names)}) VALUES ({places})", [tuple(row.values()) for row in rows]
    )
    await connection.execute(
        "UPDATE audit_heads SET position = $2, hash = $3 WHERE team_id = $1", team_id, position, previous
    )


async def forget_old_entries(connection: Connection, team_id: UUID, before: datetime) -> int:
    """Remove the oldest entries of a team, those written before an instant; one lot, in the caller's transaction, which
    is the owner's. Returns how many: call it again until there are none.

    What the first entry that is left follows is kept with the head, so that the chain verifies from there.
    """
    head = await connection.fetchrow("SELECT kept_after FROM audit_heads WHERE team_id = $1 FOR UPDATE", team_id)
    if head is None:
        return 0
    # The chain is cut at its beginning: an entry that a clock set back made older than those before it waits for them.
    last = await connection.fetchrow(
        """
        WITH oldest AS (
            SELECT position, at, hash FROM audit_entries WHERE team_id = $1 AND position > $2 ORDER BY position LIMIT $4
        )
        SELECT position, hash FROM oldest WHERE position < coalesce(
            (SELECT min(position) FROM oldest WHERE at >= $3), (SELECT max(position) + 1 FROM oldest)
        ) ORDER BY position DESC LIMIT 1
        """,
        team_id,
        head["kept_after"],
        before,
        FORGET_LOT,
    )
    if last is None:
        return 0
    await connection.execute("SELECT set_config('sideline.audit_retention', 'on', true)")
    gone = await connection.fetch(
        "DELETE FROM audit_entries WHERE team_id = $1 AND position <= $2 RETURNING 1", team_id, last["position"]
    )
    await connection.execute("SELECT set_config('sideline.audit_retention', '', true)")
    await connection.execute(
        "UPDATE audit_heads SET kept_after = $2, kept_after_hash = $3 WHERE team_id = $1",
        team_id,
        last["position"],
        last["hash"],
    )
    return len(gone)


def _condition(team_id: UUID, wanted: AuditFilter, arguments: list[object]) -> str:
    arguments.append(team_id)
    condition = "team_id = $1"
    for column, sign, value in (
        ("actor_id", "=", wanted.actor_id),
        ("subject_id", "=", wanted.subject_id),
        ("at", ">=", wanted.since),
        ("at", "<", wanted.until),
    ):
        if value is not None:
            arguments.append(value)
            condition += f" AND {column} {sign} ${len(arguments)}"
    if wanted.actions is not None:
        arguments.append([action.value for action in wanted.actions])
        condition += f" AND action = ANY (${len(arguments)}::text[])"
    return condition


async def list_entries(
    connection: Connection, viewer: Viewer, wanted: AuditFilter, request: PageRequest
) -> Page[AuditEntry]:
    """A page of the team's log, the newest first. Served by audit_entries_position_key.

    Raises:
        Forbidden: the viewer is not an Admin.
    """
    access.require_admin(viewer)
    arguments: list[object] = []
    condition = _condition(viewer.team_id, wanted, arguments)
    if request.cursor is not None:
        arguments += decode_cursor("audit", request.cursor, (int,))
        condition += f" AND position {'>' if request.backward else '<'} ${len(arguments)}"
    arguments.append(request.limit + 1)
    rows = await connection.fetch(
        f"SELECT * FROM audit_entries WHERE {condition} "
        f"ORDER BY position {'ASC' if request.backward else 'DESC'} LIMIT ${len(arguments)}",
        *arguments,
    )
    found = [AuditEntry._init_from_db(**dict(row)) for row in rows]
    return page_of(request, found, [encode_cursor("audit", entry.position) for entry in found])


async def count_entries(connection: Connection, viewer: Viewer, wanted: AuditFilter) -> int:
    """How many entries there are.

    Raises:
        Forbidden: the viewer is not an Admin.
    """
    access.require_admin(viewer)
    arguments: list[object] = []
    condition = _condition(viewer.team_id, wanted, arguments)
    return int(await connection.fetchval(f"SELECT count(*) FROM audit_entries WHERE {condition}", *arguments))


@dataclass(frozen=True, slots=True)
class Verification:
    """What a look at a team's chain found.

    Args:
        entries: How many entries hold together.
        erased: How many of them have lost their details, as they may.
        head: The hash of the last one, hex: kept elsewhere, it proves that the chain was not made anew.
        broken_at: The position of the first entry that does not fit, or None.
        reason: Why it does not.
    """

    entries: int
    erased: int
    head: str
    broken_at: int | None = None
    reason: str | None = None


async def verify(connection: Connection, team_id: UUID) -> Verification:
    """Walk a team's chain from its first entry that is kept to its head. Needs a transaction that sees one moment."""
    head = await connection.fetchrow("SELECT * FROM audit_heads WHERE team_id = $1", team_id)
    if head is None:
        stray = await connection.fetchval("SELECT min(position) FROM audit_entries WHERE team_id = $1", team_id)
        reason = None if stray is None else "there are entries, but no head: the head was removed"
        return Verification(0, 0, GENESIS.hex(), stray, reason)
    previous, position = head["kept_after_hash"], head["kept_after"]
    entries = erased = 0
    while True:
        rows = await connection.fetch(
            "SELECT * FROM audit_entries WHERE team_id = $1 AND position > $2 ORDER BY position LIMIT $3",
            team_id,
            position,
            VERIFY_LOT,
        )
        for row in rows:
            reason = _misfit(row, position, previous)
            if reason is not None:
                return Verification(entries, erased, previous.hex(), position + 1, reason)
            entries += 1
            erased += row["details"] is None
            position, previous = row["position"], row["hash"]
        if not rows:
            break
    if (position, previous) != (head["position"], head["hash"]):
        reason = f"the chain ends at {position}, its head says {head['position']}: entries at its end are missing"
        return Verification(entries, erased, previous.hex(), position + 1, reason)
    return Verification(entries, erased, previous.hex())


def _misfit(row: Any, position: int, previous: bytes) -> str | None:
    if row["position"] != position + 1:
        return f"entry {position + 1} is missing"
    if row["previous_hash"] != previous:
        return "it does not follow the entry before"
    if row["details"] is not None and details_hash(row["salt"] or b"", row["details"]) != row["details_hash"]:
        return "its details were changed"
    if entry_hash(row) != row["hash"]:
        return "it was changed"
    return None
