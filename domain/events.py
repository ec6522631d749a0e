"""The outbox: events with positions, written in the transaction of the change that they tell of.

Positions of a team grow by one. They are given under a lock of the team's head that is held until the transaction ends,
so that they follow the order of commits: who has read an event has read all that have a smaller position, or can.
A transaction takes the lock last, just before it commits. Two writers of one team thus wait for each other's commit
and no longer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeAlias
from uuid import UUID

import orjson

from domain.errors import DomainError
from domain.models.base import new_id
from domain.paging import decode_cursor, encode_cursor

if TYPE_CHECKING:
    from domain.database import Connection

EVENTS_CHANNEL = "sideline_events"
"""PostgreSQL's notifications of new events; the payload is the team's id."""
CHANGES_CHANNEL = "sideline_changes"
"""PostgreSQL's notifications of changed numbers; the payload is the team's id."""
EVENTS_STREAM = "sideline:events"
"""The Redis stream that carries events to the API processes."""
NUMBERS_CHANNEL = "sideline:numbers"
"""The Redis channel on which a team whose numbers may have changed is hinted at."""
KEPT_DAYS = 30
_CURSOR = "goalEvents"


class EventType(StrEnum):
    """What happened to a goal."""

    GOAL_CREATED = "GOAL_CREATED"
    GOAL_UPDATED = "GOAL_UPDATED"
    GOAL_REMOVED = "GOAL_REMOVED"
    GOAL_ATTAINED = "GOAL_ATTAINED"
    GOAL_STATUS_CHANGED = "GOAL_STATUS_CHANGED"


class AccoladeEventType(StrEnum):
    """What happened to an accolade."""

    ACCOLADE_GRANTED = "ACCOLADE_GRANTED"
    ACCOLADE_REVOKED = "ACCOLADE_REVOKED"


AnyEventType: TypeAlias = EventType | AccoladeEventType


def event_type(name: str) -> AnyEventType:
    """The type of a name. Events of all kinds share their team's positions; who reads one kind passes over others."""
    return AccoladeEventType(name) if name in AccoladeEventType.__members__ else EventType(name)


class CursorExpired(DomainError):
    """The events after this cursor are not all kept any more."""

    code = "CURSOR_EXPIRED"


class CursorUnknown(DomainError):
    """No such event has been handed out: the text is no cursor of this team's, or it is ahead of the events."""

    code = "CURSOR_UNKNOWN"


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event that is about to be recorded. The payload is JSON; see domain/goal_events.py and domain/accolades.py."""

    type: AnyEventType
    payload: Mapping[str, Any]
    actor_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event as it is kept."""

    id: UUID
    team_id: UUID
    position: int
    type: AnyEventType
    actor_id: UUID | None
    payload: Mapping[str, Any]
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class Head:
    """Where a team's events end, and up to where they are not kept any more."""

    position: int
    pruned_through: int


async def record(connection: Connection, team_id: UUID, events: Sequence[NewEvent]) -> None:
    """Write events in the caller's transaction, as the last thing that it does. Locks the team's head."""
    if not events:
        return
    last = await connection.fetchval(
        """
        INSERT INTO event_heads AS h (id, team_id, position) VALUES ($1, $2, $3)
        ON CONFLICT (team_id) DO UPDATE SET position = h.position + EXCLUDED.position RETURNING position
        """,
        new_id(),
        team_id,
        len(events),
    )
    if last == len(events):
        await connection.execute(
            "INSERT INTO event_relays (id, team_id) VALUES ($1, $2) ON CONFLICT DO NOTHING", new_id(), team_id
        )
    await connection.execute(
        """
        WITH added AS (
            INSERT INTO events (id, team_id, position, type, actor_id, payload, occurred_at)
            SELECT e.id, $1, e.position, e.type, e.actor_id, e.payload::jsonb, clock_timestamp()
            FROM unnest($2::uuid[], $3::bigint[], $4::text[], $5::uuid[], $6::text[])
                e (id, position, type, actor_id, payload)
            RETURNING 1
        )
        SELECT pg_notify($7, $1::text) FROM (SELECT count(*) FROM added) all_of_them
        """,
        team_id,
        [new_id() for _ in events],
        list(range(last - len(events) + 1, last + 1)),
        [event.type.value for event in events],
        [event.actor_id for event in events],
        [orjson.dumps(event.payload).decode() for event in events],
        EVENTS_CHANNEL,
    )


async def mark_changed(connection: Connection, team_id: UUID) -> None:
    """Leave a mark, in the caller's transaction, that a team's numbers may have changed."""
    await connection.execute("INSERT INTO metric_changes (id, team_id) VALUES ($1, $2)", new_id(), team_id)
    await connection.execute("SELECT pg_notify($1, $2)", CHANGES_CHANNEL, str(team_id))


def _stored(row: Any) -> StoredEvent:
    return StoredEvent(
        row["id"],
        row["team_id"],
        row["position"],
        event_type(row["type"]),
        row["actor_id"],
        orjson.loads(row["payload"]),
        row["occurred_at"],
    )


def encode_event(event: StoredEvent) -> bytes:
    """An event as it travels through Redis."""
    return orjson.dumps(
        {
            "id": str(event.id),
            "team_id": str(event.team_id),
            "position": event.position,
            "type": event.type.value,
            "actor_id": None if event.actor_id is None else str(event.actor_id),
            "payload": event.payload,
            "occurred_at": event.occurred_at,
        }
    )


def decode_event(data: bytes) -> StoredEvent:
    """The same back."""
    found = orjson.loads(data)
    return StoredEvent(
        UUID(found["id"]),
        UUID(found["team_id"]),
        found["position"],
        event_type(found["type"]),
        None if found["actor_id"] is None else UUID(found["actor_id"]),
        found["payload"],
        datetime.fromisoformat(found["occurred_at"]),
    )


async def read_events(connection: Connection, team_id: UUID, after: int, limit: int) -> list[StoredEvent]:
    """The next events after a position, in order. Served by events_team_id_position_key."""
    rows = await connection.fetch(
        "SELECT * FROM events WHERE team_id = $1 AND position > $2 ORDER BY position LIMIT $3", team_id, after, limit
    )
    return [_stored(row) for row in rows]


async def read_head(connection: Connection, team_id: UUID) -> Head:
    """Where a team's events end."""
    row = await connection.fetchrow("SELECT position, pruned_through FROM event_heads WHERE team_id = $1", team_id)
    return Head(0, 0) if row is None else Head(*row)


async def read_positions(connection: Connection, team_ids: Sequence[UUID]) -> dict[UUID, int]:
    """Where the events of some teams end."""
    rows = await connection.fetch(
        "SELECT team_id, position FROM event_heads WHERE team_id = ANY ($1::uuid[])", list(team_ids)
    )
    return {row["team_id"]: row["position"] for row in rows}


def cursor_of(team_id: UUID, position: int) -> str:
    """The cursor of an event: what comes after it is what its reader has not had."""
    return encode_cursor(_CURSOR, team_id.hex, position)


async def position_of(connection: Connection, team_id: UUID, cursor: str | None) -> int:
    """The position that a cursor stands for; the end without one.

    Raises:
        CursorUnknown: it is no cursor of the team's events, or is ahead of them.
        CursorExpired: events after it are not kept any more.
    """
    head = await read_head(connection, team_id)
    if cursor is None:
        return head.position
    try:
        team, position = decode_cursor(_CURSOR, cursor, (str, int))
    except DomainError as error:
        raise CursorUnknown(
            "after: this is no cursor of goalEvents; give the cursor of an event, or none to begin from now.",
            path=("after",),
        ) from error
    if team != team_id.hex or not 0 <= position <= head.position:
        raise CursorUnknown(
            "after: no such event was handed out by this team; begin without a cursor, and read the goals anew.",
            path=("after",),
        )
    if position < head.pruned_through:
        raise CursorExpired(
            f"after: events are kept for {KEPT_DAYS} days, and some after this cursor are gone; begin without a "
            "cursor, and read the goals anew.",
            path=("after",),
        )
    return int(position)


async def prune(connection: Connection, *, kept: timedelta = timedelta(days=KEPT_DAYS)) -> int:
    """Forget old events; a reader whose cursor is older is told. Returns how many went.

    Deleted and marked in one statement, so that nobody can read past a gap unawares.
    """
    found: int = await connection.fetchval(
        """
        WITH gone AS (
            DELETE FROM events WHERE occurred_at < now() - $1::interval RETURNING team_id, position
        ), marked AS (
            UPDATE event_heads h SET pruned_through = greatest(h.pruned_through, g.position)
            FROM (SELECT team_id, max(position) AS position FROM gone GROUP BY team_id) g WHERE h.team_id = g.team_id
            RETURNING 1
        )
        SELECT count(*) FROM gone
        """,
        kept,
    )
    return found


async def take_for_relay(connection: Connection, limit: int) -> list[StoredEvent]:
    """The events that are next to be handed on, each team's in order, in the caller's transaction; of the teams that no
    other relay has. The caller commits once they are handed on; if it dies before, they are handed on again, which
    their readers know by the positions.

    Served by events_team_id_position_key.
    """
    rows = await connection.fetch(
        """
        WITH taken AS (
            SELECT r.team_id, r.position FROM event_relays r JOIN event_heads h ON h.team_id = r.team_id
            WHERE h.position > r.position ORDER BY r.team_id LIMIT $1 FOR UPDATE OF r SKIP LOCKED
        ), found AS (
            SELECT e.* FROM taken t CROSS JOIN LATERAL (
                SELECT * FROM events e WHERE e.team_id = t.team_id AND e.position > t.position
                ORDER BY e.position LIMIT $1
            ) e
        ), moved AS (
            UPDATE event_relays r SET position = m.position
            FROM (SELECT team_id, max(position) AS position FROM found GROUP BY team_id) m WHERE r.team_id = m.team_id
        )
        SELECT * FROM found ORDER BY team_id, position
        """,
        limit,
    )
    return [_stored(row) for row in rows]
