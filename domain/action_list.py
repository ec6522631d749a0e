"""Reading scheduled actions: the list, one by one, their history, and what they sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from domain.access_actions import ActionSight
from domain.action_changes import action_of
from domain.models.actions import ActionRun, MessageChannel, MessageState, ScheduledAction
from domain.models.jobs import JobState
from domain.paging import Page, PageRequest, decode_cursor, encode_cursor, page_of

if TYPE_CHECKING:
    from domain.database import Connection


@dataclass(frozen=True, slots=True)
class ActionFilter:
    """Which actions; None: all.

    Args:
        user_id: Of this person.
        states: In one of these states.
        kinds: Of one of these kinds.
        from_at: Due at this moment or later.
        to_at: Due before this moment.
    """

    user_id: UUID | None = None
    states: tuple[JobState, ...] | None = None
    kinds: tuple[str, ...] | None = None
    from_at: datetime | None = None
    to_at: datetime | None = None


def _condition(sight: ActionSight, wanted: ActionFilter, arguments: list[object]) -> str:
    condition = sight.filter("a", arguments)
    parts: list[tuple[str, object]] = []
    if wanted.user_id is not None:
        parts.append(("a.user_id = ${}", wanted.user_id))
    if wanted.states is not None:
        parts.append(("a.state = ANY (${}::text[])", [one.value for one in wanted.states]))
    if wanted.kinds is not None:
        parts.append(("a.kind = ANY (${}::text[])", [one.replace("\0", "") for one in wanted.kinds]))
    if wanted.from_at is not None:
        parts.append(("a.due_at >= ${}", wanted.from_at))
    if wanted.to_at is not None:
        parts.append(("a.due_at < ${}", wanted.to_at))
    for part, value in parts:
        arguments.append(value)
        condition += " AND " + part.format(len(arguments))
    return condition


async def list_actions(
    connection: Connection, sight: ActionSight, wanted: ActionFilter, request: PageRequest
) -> Page[ScheduledAction]:
    """A page of the actions in sight, by when they are due. Served by scheduled_actions_due_idx and _user_idx."""
    arguments: list[object] = []
    condition = _condition(sight, wanted, arguments)
    if request.cursor is not None:
        arguments += decode_cursor("actions", request.cursor, (datetime, UUID))
        sign = "<" if request.backward else ">"
        condition += f" AND (a.due_at, a.id) {sign} (${len(arguments) - 1}, ${len(arguments)})"
    arguments.append(request.limit + 1)
    direction = "DESC" if request.backward else "ASC"
    rows = await connection.fetch(
        f"SELECT a.* FROM scheduled_actions a WHERE {condition} "
        f"ORDER BY a.due_at {direction}, a.id {direction} LIMIT ${len(arguments)}",
        *arguments,
    )
    found = [action_of(row) for row in rows]
    return page_of(request, found, [encode_cursor("actions", one.due_at.isoformat(), str(one.id)) for one in found])


async def count_actions(connection: Connection, sight: ActionSight, wanted: ActionFilter) -> int:
    """How many actions in sight there are."""
    arguments: list[object] = []
    condition = _condition(sight, wanted, arguments)
    return int(await connection.fetchval(f"SELECT count(*) FROM scheduled_actions a WHERE {condition}", *arguments))


async def actions_by_id(connection: Connection, sight: ActionSight, ids: Sequence[UUID]) -> dict[UUID, ScheduledAction]:
    """Those of some actions that are in sight."""
    arguments: list[object] = [list(ids)]
    condition = sight.filter("a", arguments)
    rows = await connection.fetch(
        f"SELECT a.* FROM scheduled_actions a WHERE a.id = ANY ($1::uuid[]) AND {condition}", *arguments
    )
    return {row["id"]: action_of(row) for row in rows}


async def list_runs(connection: Connection, team_id: UUID, action_id: UUID, request: PageRequest) -> Page[ActionRun]:
    """The occurrences of an action in sight that have ended, the newest first. Served by action_runs_key."""
    after = None
    if request.cursor is not None:
        (after,) = decode_cursor("runs", request.cursor, (int,))
    sign, direction = (">", "ASC") if request.backward else ("<", "DESC")
    rows = await connection.fetch(
        "SELECT * FROM action_runs WHERE team_id = $1 AND action_id = $2 "
        f"AND ($3::bigint IS NULL OR occurrence {sign} $3) ORDER BY occurrence {direction} LIMIT $4",
        team_id,
        action_id,
        after,
        request.limit + 1,
    )
    found = [ActionRun._init_from_db(**dict(row)) for row in rows]
    return page_of(request, found, [encode_cursor("runs", str(one.occurrence)) for one in found])


async def first_runs(
    connection: Connection, team_id: UUID, asked: Sequence[tuple[UUID, PageRequest]]
) -> list[Page[ActionRun]]:
    """The first pages of the histories of some actions in sight, in one statement. Served by action_runs_key."""
    rows = await connection.fetch(
        """
        SELECT a.place, r.* FROM unnest($2::uuid[], $3::int[]) WITH ORDINALITY AS a (action_id, wanted, place)
        CROSS JOIN LATERAL (
            SELECT * FROM action_runs r WHERE r.team_id = $1 AND r.action_id = a.action_id
            ORDER BY r.occurrence DESC LIMIT a.wanted
        ) r ORDER BY a.place, r.occurrence DESC
        """,
        team_id,
        [action_id for action_id, _request in asked],
        [request.limit + 1 for _action_id, request in asked],
    )
    found: list[list[ActionRun]] = [[] for _ in asked]
    for row in rows:
        values = dict(row)
        found[values.pop("place") - 1].append(ActionRun._init_from_db(**values))
    return [
        page_of(request, runs, [encode_cursor("runs", str(one.occurrence)) for one in runs])
        for (_action_id, request), runs in zip(asked, found, strict=True)
    ]


async def count_runs(connection: Connection, team_id: UUID, action_id: UUID) -> int:
    """How many entries its history has."""
    return int(
        await connection.fetchval(
            "SELECT count(*) FROM action_runs WHERE team_id = $1 AND action_id = $2", team_id, action_id
        )
    )


@dataclass(frozen=True, slots=True)
class SentMessage:
    """What an occurrence let go out, and whether it did; not what it said."""

    channel: MessageChannel
    user_id: UUID | None
    state: MessageState
    attempts: int
    error: str | None
    created_at: datetime
    ended_at: datetime | None


async def messages_of_runs(
    connection: Connection, team_id: UUID, runs: Sequence[tuple[UUID, int]]
) -> dict[tuple[UUID, int], list[SentMessage]]:
    """What some occurrences of actions in sight let go out, in one statement. Served by
    outgoing_messages_action_idx."""
    rows = await connection.fetch(
        """
        SELECT m.action_id, m.occurrence, m.channel, m.user_id, m.state, m.attempts, m.last_error, m.created_at,
            m.ended_at
        FROM unnest($2::uuid[], $3::int[]) AS r (action_id, occurrence)
        JOIN outgoing_messages m ON m.team_id = $1 AND m.action_id = r.action_id AND m.occurrence = r.occurrence
        ORDER BY m.id
        """,
        team_id,
        [action_id for action_id, _number in runs],
        [number for _action_id, number in runs],
    )
    found: dict[tuple[UUID, int], list[SentMessage]] = {run: [] for run in runs}
    for row in rows:
        found[row["action_id"], row["occurrence"]].append(
            SentMessage(
                MessageChannel(row["channel"]),
                row["user_id"],
                MessageState(row["state"]),
                row["attempts"],
                row["last_error"],
                row["created_at"],
                row["ended_at"],
            )
        )
    return found
