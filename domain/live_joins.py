"""Managers on live calls: what they ask for.

A manager has one place on a call and is on one call at a time. What they ask for is a row with a version and an entry
in the audit log, in one transaction; a worker carries it out (domain/live_lines.py).
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import asyncpg

from domain import access, audit
from domain.access import Viewer
from domain.audit import AuditAction, NewEntry
from domain.errors import Conflict, Invalid, NotFound
from domain.live_calls import FIELDS, call_of
from domain.live_changes import LEFT_BY_THEMSELVES, mark, wake_workers
from domain.live_consent import Studio, consent_of, read_studio
from domain.models import LiveCall
from domain.models.base import new_id
from domain.models.live_calls import JoinMode, LiveCallState, ParticipantState, TelephonyKind

if TYPE_CHECKING:
    from domain.database import Connection

_ADDRESS = re.compile(r"\+[1-9][0-9]{6,14}|client:[A-Za-z0-9_.-]{1,100}")
_PATH = ("input", "callId")
_ON_THE_LINE = (ParticipantState.REQUESTED, ParticipantState.CONNECTED)


class CallEnded(Conflict):
    """The call is over."""

    code = "CALL_ENDED"


class CapacityReached(Conflict):
    """As many managers are on the call, or on calls of the team, as the team allows."""

    code = "CAPACITY_REACHED"


class OnAnotherCall(Conflict):
    """The manager is on another call."""

    code = "ON_ANOTHER_CALL"


class NotOnTheCall(Conflict):
    """The manager is not on the call."""

    code = "NOT_ON_THE_CALL"


class NotJoinable(Conflict):
    """Nobody can be let onto the calls of this dialer."""

    code = "NOT_JOINABLE"


async def _call(connection: Connection, viewer: Viewer, call_id: UUID) -> Any:
    """The row of a call in sight with its dialer's telephony, locked.

    Raises:
        Forbidden: the viewer lacks a permission of the studio.
        NotFound: there is no such call in scope.
    """
    access.require_live_calls(viewer)
    sight = await access.see_live_calls(connection, viewer)
    row = await connection.fetchrow(
        f"""
        SELECT {", ".join("c." + name for name in FIELDS.split(", "))}, d.telephony, d.removed_at
        FROM live_calls c JOIN dialers d ON d.team_id = c.team_id AND d.id = c.dialer_id
        WHERE c.team_id = $1 AND c.id = $2 FOR NO KEY UPDATE OF c
        """,
        viewer.team_id,
        call_id,
    )
    if row is None or row["user_id"] is None or not sight.sees(viewer.team_id, row["user_id"]):
        raise NotFound("No such live call.", path=_PATH)
    return row


async def _mine(connection: Connection, viewer: Viewer, call_id: UUID) -> Any:
    return await connection.fetchrow(
        "SELECT * FROM live_call_participants WHERE team_id = $1 AND call_id = $2 AND user_id = $3 FOR NO KEY UPDATE",
        viewer.team_id,
        call_id,
        viewer.user_id,
    )


def _check_call(row: Any, now: datetime) -> None:
    if row["state"] == LiveCallState.ENDED or row["leased_until"] <= now:
        raise CallEnded("The call is over.", path=_PATH)


def _check_address(telephony: str, address: str | None) -> str | None:
    if telephony == TelephonyKind.LOOPBACK:
        return None
    if address is None or not _ADDRESS.fullmatch(address):
        raise Invalid(
            "phone: say where you are to be rung: a number such as +15550100 or a softphone such as client:morgan.",
            path=("input", "phone"),
        )
    return address


async def join(
    connection: Connection,
    viewer: Viewer,
    call_id: UUID,
    mode: JoinMode,
    *,
    acknowledged: bool,
    address: str | None,
    now: datetime,
) -> LiveCall:
    """Ask to be on a call, in the caller's transaction. Asking again is a change of mode, or nothing.

    Raises:
        Forbidden, NotFound: see `_call`.
        CallEnded: the call is over.
        Invalid: it is the viewer's own call, or the address does not fit.
        NotJoinable: the dialer has no telephony.
        ConsentNeeded, ConsentForbidden: see domain/live_consent.py.
        OnAnotherCall: the viewer is on another call.
        CapacityReached: there is no room.
    """
    row = await _call(connection, viewer, call_id)
    if row["user_id"] == viewer.user_id:
        raise Invalid("callId: this is your own call.", path=_PATH)
    _check_call(row, now)
    if row["telephony"] == TelephonyKind.NONE or row["removed_at"] is not None:
        raise NotJoinable("Nobody can be let onto the calls of this dialer: it has no telephony.", path=_PATH)
    studio = await read_studio(connection, viewer.team_id)
    consent = consent_of(studio, row["user_jurisdiction"], row["counterpart_jurisdiction"])
    mine = await _mine(connection, viewer, call_id)
    there = mine is not None and mine["state"] in _ON_THE_LINE
    acknowledged = acknowledged or (there and mine["consent_acknowledged"])
    consent.check(acknowledged=acknowledged, path=_PATH)
    if there:
        await _change(connection, viewer, row, mine, mode, acknowledged)
        return await _again(connection, row)
    address = _check_address(row["telephony"], address)
    if await connection.fetchval(
        "SELECT true FROM live_call_participants WHERE team_id = $1 AND user_id = $2 "
        "AND state IN ('REQUESTED', 'CONNECTED')",
        viewer.team_id,
        viewer.user_id,
    ):
        raise OnAnotherCall("You are on another call: leave it first.", path=_PATH)
    try:
        await connection.execute(
            """
            INSERT INTO live_call_participants AS p
                (id, team_id, call_id, user_id, mode, state, consent_acknowledged, address)
            VALUES ($1, $2, $3, $4, $5, 'REQUESTED', $6, $7)
            ON CONFLICT (team_id, call_id, user_id) DO UPDATE SET mode = EXCLUDED.mode, state = 'REQUESTED',
                consent_acknowledged = EXCLUDED.consent_acknowledged, address = EXCLUDED.address,
                version = p.version + 1, requested_at = now(), joined_at = NULL, left_at = NULL, reason = NULL,
                seen_until = NULL, due_at = now(), attempts = 0
            """,
            new_id(),
            viewer.team_id,
            call_id,
            viewer.user_id,
            mode.value,
            acknowledged,
            address,
        )
    except asyncpg.UniqueViolationError as error:
        raise OnAnotherCall("You are on another call: leave it first.", path=_PATH) from error
    await connection.execute(
        "UPDATE live_calls SET look_at = now() + interval '5 seconds' WHERE team_id = $1 AND id = $2",
        viewer.team_id,
        call_id,
    )
    after = {"user_id": row["user_id"], "mode": mode.value, "consent_acknowledged": acknowledged}
    await _told(connection, viewer, row, AuditAction.LIVE_CALL_JOINED, after=after)
    await mark(connection, viewer.team_id, [call_id])
    await _check_room(connection, viewer.team_id, call_id, studio)
    await wake_workers(connection, viewer.team_id)
    return await _again(connection, row)


async def _check_room(connection: Connection, team_id: UUID, call_id: UUID, studio: Studio) -> None:
    """Refuse who does not fit in. Counted with the head's lock held: whoever had it before has committed, so that two
    at once do not both find room.

    Raises:
        CapacityReached: there is no room.
    """
    row = await connection.fetchrow(
        """
        SELECT count(*) AS team, count(*) FILTER (WHERE call_id = $2) AS call FROM live_call_participants
        WHERE team_id = $1 AND state IN ('REQUESTED', 'CONNECTED')
        """,
        team_id,
        call_id,
    )
    if row["call"] > studio.listeners_per_call:
        raise CapacityReached(
            f"The team allows {studio.listeners_per_call} managers on one call, and so many are there.", path=_PATH
        )
    if row["team"] > studio.listeners_per_team:
        raise CapacityReached(
            f"The team allows {studio.listeners_per_team} managers on calls at once, and so many are.", path=_PATH
        )


async def change_mode(
    connection: Connection, viewer: Viewer, call_id: UUID, mode: JoinMode, *, acknowledged: bool, now: datetime
) -> LiveCall:
    """Ask for another mode on a call that one is on, in the caller's transaction.

    Raises:
        Forbidden, NotFound: see `_call`.
        CallEnded: the call is over.
        NotOnTheCall: the viewer is not on it.
        ConsentNeeded, ConsentForbidden: see domain/live_consent.py.
    """
    row = await _call(connection, viewer, call_id)
    _check_call(row, now)
    mine = await _mine(connection, viewer, call_id)
    if mine is None or mine["state"] not in _ON_THE_LINE:
        raise NotOnTheCall("You are not on this call: join it.", path=_PATH)
    studio = await read_studio(connection, viewer.team_id)
    acknowledged = acknowledged or mine["consent_acknowledged"]
    consent = consent_of(studio, row["user_jurisdiction"], row["counterpart_jurisdiction"])
    consent.check(acknowledged=acknowledged, path=_PATH)
    await _change(connection, viewer, row, mine, mode, acknowledged)
    return await _again(connection, row)


async def _change(
    connection: Connection, viewer: Viewer, row: Any, mine: Any, mode: JoinMode, acknowledged: bool
) -> None:
    if mine["mode"] == mode and mine["consent_acknowledged"] == acknowledged:
        return
    moved = mine["mode"] != mode
    await connection.execute(
        """
        UPDATE live_call_participants SET mode = $3, consent_acknowledged = $4, version = version + $5, due_at = now(),
            attempts = 0
        WHERE team_id = $1 AND id = $2
        """,
        viewer.team_id,
        mine["id"],
        mode.value,
        acknowledged,
        1 if moved else 0,
    )
    if not moved:
        return
    before, after = {"mode": mine["mode"]}, {"user_id": row["user_id"], "mode": mode.value}
    await _told(connection, viewer, row, AuditAction.LIVE_CALL_MODE_CHANGED, before=before, after=after)
    await mark(connection, viewer.team_id, [row["id"]])
    await wake_workers(connection, viewer.team_id)


async def leave(connection: Connection, viewer: Viewer, call_id: UUID) -> LiveCall:
    """Ask to be off a call, in the caller's transaction; who is off it stays off. One who is on a call that is not in
    scope any more may still leave it.

    Raises:
        NotFound: there is no such call in scope, and the viewer is not on it.
    """
    row = await connection.fetchrow(
        f"SELECT {FIELDS} FROM live_calls WHERE team_id = $1 AND id = $2 FOR NO KEY UPDATE", viewer.team_id, call_id
    )
    mine = None if row is None else await _mine(connection, viewer, call_id)
    if mine is None or mine["state"] not in _ON_THE_LINE:
        row = await _call(connection, viewer, call_id)
        return call_of(row)
    await connection.execute(
        "UPDATE live_call_participants SET state = 'LEAVING', version = version + 1, reason = $3, due_at = now(), "
        "attempts = 0 WHERE team_id = $1 AND id = $2",
        viewer.team_id,
        mine["id"],
        LEFT_BY_THEMSELVES,
    )
    after = {"user_id": row["user_id"], "mode": mine["mode"]}
    await _told(connection, viewer, row, AuditAction.LIVE_CALL_LEFT, after=after)
    await mark(connection, viewer.team_id, [call_id])
    await wake_workers(connection, viewer.team_id)
    return await _again(connection, row)


async def _again(connection: Connection, row: Any) -> LiveCall:
    return call_of(
        await connection.fetchrow(
            f"SELECT {FIELDS} FROM live_calls WHERE team_id = $1 AND id = $2", row["team_id"], row["id"]
        )
    )


async def _told(
    connection: Connection,
    viewer: Viewer,
    row: Any,
    action: AuditAction,
    *,
    before: dict[str, Any] | None = None,
    after: dict[str, Any],
) -> None:
    await audit.record(connection, viewer, [NewEntry(action, ("LiveCall", row["id"]), before, after)])
