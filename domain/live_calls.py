"""Calls in progress: what dialers tell becomes rows, and who may see them.

Each event of a call is merged into its facts (domain/live_call_events.py) under the call's lock, and the row is what
follows from the facts: any order and repetition of the same events ends in the same row. A call of which nothing is
heard for its lease has ended; should an event show later that it went on, it is back.

Every change that can be seen gets a number in its transaction (domain/live_changes.py), by which subscribers find it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson

from domain import dialers
from domain.access import Sight
from domain.errors import Invalid
from domain.live_call_events import (
    CallEvent,
    Ending,
    Facts,
    check_time,
    merge,
    read_facts,
    standing,
    write_facts,
)
from domain.live_changes import dismiss, mark
from domain.live_consent import KEEP_DAYS, enforce, read_studio
from domain.models import Dialer, LiveCall, LiveCallParticipant
from domain.models.base import new_id
from domain.models.live_calls import LiveCallState
from domain.paging import Page, PageRequest, decode_cursor, encode_cursor, page_of
from domain.rows import gathered

if TYPE_CHECKING:
    from domain.database import Connection

LAPSE_LOT = 200
PRUNE_LOT = 1_000
CHANGES_LOT = 200
"""Calls that a subscriber is given at once."""

FIELDS = (
    "id, team_id, dialer_id, external_id, user_id, state, direction, counterpart, user_jurisdiction, "
    "counterpart_jurisdiction, conference, user_leg, started_at, answered_at, ended_at, end_reason, leased_until, "
    "facts, change, look_at"
)
_SEEN = (
    "user_id state direction counterpart user_jurisdiction counterpart_jurisdiction started_at answered_at ended_at "
    "end_reason"
).split()
"""Columns whose change can be seen."""
_WRITTEN = [*_SEEN, "conference", "user_leg", "leased_until", "facts"]


@dataclass(frozen=True, slots=True)
class TakenIn:
    """What became of an event.

    Args:
        call_id: The call; None where the event was of no use.
        repeated: The message came before.
        changed: Whether something that can be seen has changed.
    """

    call_id: UUID | None
    repeated: bool = False
    changed: bool = False


def call_of(row: Any) -> LiveCall:
    """A row as its model."""
    values = {name: row[name] for name in FIELDS.split(", ")}
    values["facts"] = orjson.loads(values["facts"])
    return LiveCall._init_from_db(**values)


async def take_in(
    connection: Connection, dialer: Dialer, event: CallEvent, now: datetime, *, message: tuple[str, bytes] | None = None
) -> TakenIn:
    """Take in what a dialer tells, in the caller's transaction.

    Args:
        connection: In a transaction.
        dialer: Who tells it.
        event: What.
        now: The clock.
        message: The id and the body of the message that it came by.

    Raises:
        Invalid: it names nobody on the team, or is from the future.
        MessageReused: another message had this id.
    """
    useful = check_time(event, now)
    if message is not None and not await dialers.take_message(connection, dialer, *message):
        return TakenIn(None, repeated=True)
    await dialers.heard(connection, dialer, now)
    if not useful:
        return TakenIn(None)
    if event.data.user is not None and await _find_user(connection, dialer.team_id, event.data.user) is None:
        raise Invalid("user: nobody on the team has this email address or id.", path=("data", "user"))
    row = await _locked(connection, dialer, event.data.call)
    if row is None:
        first = merge(Facts(), event)
        stands = standing(first, now)
        # Nothing of it is seen before the row is worked out below, in the same transaction.
        await connection.execute(
            """
            INSERT INTO live_calls
                (id, team_id, dialer_id, external_id, state, started_at, ended_at, leased_until, facts)
            VALUES ($1, $2, $3, $4, 'ENDED', $5, $5, $6, '{}') ON CONFLICT DO NOTHING
            """,
            new_id(),
            dialer.team_id,
            dialer.id,
            event.data.call,
            stands.started_at,
            stands.leased_until,
        )
        row = await _locked(connection, dialer, event.data.call)
        assert row is not None, "it is there now, whoever made it"
    if row["erased"]:
        return TakenIn(None)
    changed = await _write(connection, row, merge(read_facts(row["facts"]), event), now)
    return TakenIn(row["id"], changed=changed)


async def _locked(connection: Connection, dialer: Dialer, external_id: str) -> Any:
    """Served by live_calls_external_key."""
    return await connection.fetchrow(
        f"""
        SELECT {", ".join("c." + name for name in FIELDS.split(", "))}, u.erased_at IS NOT NULL AS erased
        FROM live_calls c LEFT JOIN users u ON u.team_id = c.team_id AND u.id = c.user_id
        WHERE c.team_id = $1 AND c.dialer_id = $2 AND c.external_id = $3 FOR NO KEY UPDATE OF c
        """,
        dialer.team_id,
        dialer.id,
        external_id,
    )


async def _find_user(connection: Connection, team_id: UUID, name: str) -> UUID | None:
    """Served by users_team_id_email_key and users_external_ids_idx."""
    found: UUID | None = await connection.fetchval(
        """
        SELECT id FROM users WHERE team_id = $1 AND lower(email) = lower($2) AND erased_at IS NULL
        UNION ALL
        SELECT id FROM users WHERE team_id = $1 AND external_ids && ARRAY[$2]::text[] AND erased_at IS NULL
        LIMIT 1
        """,
        team_id,
        name,
    )
    return found


async def _write(connection: Connection, row: Any, facts: Facts, now: datetime) -> bool:
    """Make a locked row what follows from its facts. Returns whether a change can be seen."""
    stands = standing(facts, now)
    before_user = read_facts(row["facts"])["user"]
    user_id = row["user_id"]
    if facts["user"] is not None and (user_id is None or facts["user"] != before_user):
        user_id = await _find_user(connection, row["team_id"], facts["user"])
    after: dict[str, Any] = {
        "user_id": user_id,
        "state": stands.state.value,
        "direction": facts["direction"],
        "counterpart": facts["counterpart"],
        "user_jurisdiction": facts["user_jurisdiction"],
        "counterpart_jurisdiction": facts["counterpart_jurisdiction"],
        "started_at": stands.started_at,
        "answered_at": stands.answered_at,
        "ended_at": stands.ended_at,
        "end_reason": stands.end_reason,
        "conference": facts["conference"],
        "user_leg": facts["user_leg"],
        "leased_until": stands.leased_until,
        "facts": write_facts(facts),
    }
    fresh = row["facts"] == "{}"
    if (
        not fresh
        and read_facts(row["facts"]) == facts
        and all(row[name] == after[name] for name in _WRITTEN if name != "facts")
    ):
        return False
    await connection.execute(
        "UPDATE live_calls SET "
        + ", ".join(
            f"{name} = ${place}{'::jsonb' if name == 'facts' else ''}" for place, name in enumerate(_WRITTEN, 3)
        )
        + " WHERE team_id = $1 AND id = $2",
        row["team_id"],
        row["id"],
        *(after[name] for name in _WRITTEN),
    )
    if not fresh and all(row[name] == after[name] for name in _SEEN):
        return False
    await _settle(connection, row, after)
    if user_id is None and row["user_id"] is None:
        return False
    await mark(connection, row["team_id"], [row["id"]])
    return True


async def _settle(connection: Connection, row: Any, after: dict[str, Any]) -> None:
    """See to it that nobody is on a call that has ended, is somebody else's now, or may not be listened to."""
    if after["state"] == LiveCallState.ENDED:
        await dismiss(connection, row["team_id"], row["id"], "CALL_ENDED")
        return
    if row["user_id"] is not None and after["user_id"] != row["user_id"]:
        await dismiss(connection, row["team_id"], row["id"], "CALL_PASSED_ON")
    places = ("user_jurisdiction", "counterpart_jurisdiction")
    if any(row[name] != after[name] for name in places):
        studio = await read_studio(connection, row["team_id"])
        await enforce(connection, row["team_id"], {"id": row["id"], **{name: after[name] for name in places}}, studio)


async def lapsed(connection: Connection, now: datetime) -> list[tuple[UUID, UUID]]:
    """Calls, with their teams, of which nothing was heard for their lease. Served by live_calls_lease_idx."""
    rows = await connection.fetch(
        "SELECT team_id, id FROM live_calls WHERE state <> 'ENDED' AND leased_until <= $1 "
        "ORDER BY leased_until LIMIT $2",
        now,
        LAPSE_LOT,
    )
    return [(row["team_id"], row["id"]) for row in rows]


async def end_lapsed(connection: Connection, team_id: UUID, call_id: UUID, now: datetime) -> bool:
    """End a call whose lease has lapsed, in the caller's transaction, unless an event came meanwhile."""
    row = await connection.fetchrow(
        f"SELECT {FIELDS} FROM live_calls WHERE team_id = $1 AND id = $2 FOR NO KEY UPDATE", team_id, call_id
    )
    return row is not None and await _write(connection, row, read_facts(row["facts"]), now)


@dataclass(frozen=True, slots=True)
class CallFilter:
    """Which calls.

    Args:
        user_ids: Of these users; None for all in sight.
        with_ended: Those that have ended too, as long as they are kept.
    """

    user_ids: tuple[UUID, ...] | None = None
    with_ended: bool = False


def _condition(sight: Sight, wanted: CallFilter, arguments: list[object]) -> str:
    condition = sight.filter("c.user_id", arguments, team_column="c.team_id") + " AND c.user_id IS NOT NULL"
    if wanted.user_ids is not None:
        arguments.append(list(wanted.user_ids))
        condition += f" AND c.user_id = ANY (${len(arguments)}::uuid[])"
    if not wanted.with_ended:
        condition += " AND c.state <> 'ENDED' AND c.leased_until > now()"
    return condition


async def list_calls(connection: Connection, sight: Sight, wanted: CallFilter, request: PageRequest) -> Page[LiveCall]:
    """A page of calls in sight, the latest first.

    Served by live_calls_live_idx, and with those that have ended by the index on (team_id, started_at, id).
    """
    arguments: list[object] = []
    condition = _condition(sight, wanted, arguments)
    if request.cursor is not None:
        arguments += decode_cursor("liveCalls", request.cursor, (datetime, UUID))
        sign = ">" if request.backward else "<"
        condition += f" AND (c.started_at, c.id) {sign} (${len(arguments) - 1}, ${len(arguments)})"
    arguments.append(request.limit + 1)
    order = "ASC" if request.backward else "DESC"
    rows = await connection.fetch(
        f"SELECT {FIELDS} FROM live_calls c WHERE {condition} ORDER BY c.started_at {order}, c.id {order} "
        f"LIMIT ${len(arguments)}",
        *arguments,
    )
    found = [call_of(row) for row in rows]
    cursors = [encode_cursor("liveCalls", call.started_at.isoformat(), str(call.id)) for call in found]
    return page_of(request, found, cursors)


async def count_calls(connection: Connection, sight: Sight, wanted: CallFilter) -> int:
    """How many calls are in sight."""
    arguments: list[object] = []
    condition = _condition(sight, wanted, arguments)
    return int(await connection.fetchval(f"SELECT count(*) FROM live_calls c WHERE {condition}", *arguments))


async def calls_by_id(connection: Connection, sight: Sight, ids: Sequence[UUID]) -> list[LiveCall | None]:
    """Calls in sight by their ids, None for each that is not there."""
    arguments: list[object] = [list(ids)]
    condition = _condition(sight, CallFilter(with_ended=True), arguments)
    rows = await connection.fetch(
        f"SELECT {FIELDS} FROM live_calls c WHERE c.id = ANY ($1::uuid[]) AND {condition}", *arguments
    )
    found = {row["id"]: call_of(row) for row in rows}
    return [found.get(one) for one in ids]


_LAST_ID = UUID(int=2**128 - 1)


@dataclass(frozen=True, slots=True)
class Place:
    """Up to where a subscriber has been given the changes; the id tells calls with one number apart."""

    change: int
    call_id: UUID = _LAST_ID


async def current_calls(connection: Connection, sight: Sight) -> tuple[Place, list[LiveCall]]:
    """All calls in progress in sight, and the place behind which every later change is; one statement sees both."""
    arguments: list[object] = []
    condition = _condition(sight, CallFilter(), arguments)
    rows = await connection.fetch(
        f"""
        WITH head AS (SELECT coalesce(max(position), 0) AS position FROM live_call_heads WHERE team_id = $1)
        SELECT head.position, c.* FROM head LEFT JOIN LATERAL (
            SELECT {FIELDS} FROM live_calls c WHERE {condition}
        ) c ON true ORDER BY c.started_at, c.id
        """,
        *arguments,
    )
    return Place(rows[0]["position"]), [call_of(row) for row in rows if row["id"] is not None]


async def changes_after(connection: Connection, sight: Sight, place: Place) -> list[LiveCall]:
    """The calls in sight that have changed after a place, in the order of their last changes, so many at once. Served
    by the index on (team_id, change)."""
    arguments: list[object] = []
    condition = _condition(sight, CallFilter(with_ended=True), arguments)
    arguments += [place.change, place.call_id, CHANGES_LOT]
    n = len(arguments)
    rows = await connection.fetch(
        f"SELECT {FIELDS} FROM live_calls c WHERE {condition} AND (c.change, c.id) > (${n - 2}, ${n - 1}) "
        f"ORDER BY c.change, c.id LIMIT ${n}",
        *arguments,
    )
    return [call_of(row) for row in rows]


async def participants_of(
    connection: Connection, team_id: UUID, call_ids: Sequence[UUID]
) -> dict[UUID, list[LiveCallParticipant]]:
    """Who is or was on some calls, in the order in which they came. Served by live_call_participants_key."""
    rows = await connection.fetch(
        "SELECT * FROM live_call_participants WHERE team_id = $1 AND call_id = ANY ($2::uuid[]) "
        "ORDER BY requested_at, id",
        team_id,
        list(call_ids),
    )
    return gathered(call_ids, rows, "call_id", lambda row: LiveCallParticipant._init_from_db(**dict(row)))


async def prune(connection: Connection) -> int:
    """Forget calls that ended longer ago than their team keeps them, with notes and participants; one lot. Served by
    live_calls_ended_idx."""
    gone = await connection.fetch(
        """
        DELETE FROM live_calls WHERE id IN (
            SELECT c.id FROM teams t LEFT JOIN live_call_settings s ON s.team_id = t.id
            CROSS JOIN LATERAL (
                SELECT id FROM live_calls c WHERE c.team_id = t.id AND c.state = 'ENDED' AND c.look_at IS NULL
                    AND c.ended_at < now() - make_interval(days => coalesce(s.keep_days, $1)) LIMIT $2
            ) c LIMIT $2
        ) RETURNING 1
        """,
        KEEP_DAYS,
        PRUNE_LOT,
    )
    return len(gone)


async def erase_calls(connection: Connection, team_id: UUID, user_id: UUID) -> int:
    """Take away what live calls hold of a person, in the caller's transaction: calls of theirs end and lose what was
    said of them, their notes and the notes on their calls go, and where they were rung. The empty rows go with the
    team's retention, once nobody is on the line any more. Returns how many rows lost something.

    Served by the indexes on (team_id, user_id, started_at) and (team_id, author_id, id).
    """
    now = datetime.now(UTC)
    rows = await connection.fetch(
        f"SELECT {FIELDS} FROM live_calls WHERE team_id = $1 AND user_id = $2 ORDER BY id FOR NO KEY UPDATE",
        team_id,
        user_id,
    )
    count = 0
    for row in rows:
        stands = standing(read_facts(row["facts"]), now)
        at = stands.ended_at or min(now, stands.leased_until)
        key = (2**53, int(at.timestamp() * 1_000_000), "erased")
        kept = Facts(
            first=stands.started_at,
            answered=stands.answered_at,
            ending=Ending(key, at, stands.end_reason or "ERASED"),
            lease=stands.leased_until,
        )
        if read_facts(row["facts"]) != kept:
            count += 1
            await _write(connection, row, kept, now)
    count += len(
        await connection.fetch(
            """
            DELETE FROM live_call_notes n USING live_calls c
            WHERE n.team_id = $1 AND c.team_id = $1 AND c.id = n.call_id AND (c.user_id = $2 OR n.author_id = $2)
            RETURNING 1
            """,
            team_id,
            user_id,
        )
    )
    await connection.execute(
        "UPDATE live_call_participants SET address = NULL WHERE team_id = $1 AND user_id = $2 AND address IS NOT NULL",
        team_id,
        user_id,
    )
    return count
