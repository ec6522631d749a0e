"""Managers on live calls: what workers carry out at the telephony provider, and how its line and our rows are one.

**Carrying out.** A participant whose `carried_version` is behind its `version` is claimed with a lease and a fence. The
provider is asked, then the outcome is committed if the fence is still the claim's. A worker that dies in between leaves
a leg that no row knows; the next claim finds it by its label before it asks for another one, so that one version brings
one leg.

**Looking.** While somebody is on a call, and for some time after, who is on the line is held against the rows every
`LOOK_SECONDS`: a leg that no row wants is taken off; a row whose leg is gone has left; who is seen is believed in for
`SEEN_SECONDS` more, and who is not, as the provider cannot be reached, is to leave; who may not see the call any more,
is to leave. So nobody stays on a call unseen, whoever dies when. In the end the provider hangs up by itself
(`telephony.LONGEST_LEG_SECONDS`).

Every outcome locks the call, then its participants, then the audit log's and the changes' head.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from domain import access, audit
from domain.audit import AuditAction, NewEntry
from domain.identity import identify_user
from domain.live_changes import LEFT_BY_THEMSELVES, dismiss, mark, wake_workers
from domain.models.live_calls import JoinMode, LiveCallState, ParticipantState, TelephonyKind
from domain.telephony import LONGEST_LEG_SECONDS, RING_SECONDS, Leg, LegState, participant_of

if TYPE_CHECKING:
    from domain.database import Connection

LEASE_SECONDS = 40.0
"""How long a claim holds; longer than all that one claim asks of a provider can take."""
JOIN_SECONDS = 60.0
"""Who is not on the line so long after they asked has failed to join."""
LOOK_SECONDS = 10.0
"""How often the line is looked at while somebody is on it."""
RINGING_LOOK_SECONDS = 2.0
"""How soon after somebody was rung."""
SEEN_SECONDS = 60.0
"""How long who was seen on the line is believed in."""
SETTLED_SECONDS = 60.0
"""A line that was empty so long after the last request is looked at no more."""
CLOCKS_SECONDS = 2.0
"""So far may the clocks of two workers be apart."""
RETRY_SECONDS = (0.5, 1.0, 2.0, 5.0, 10.0)
LOOKS_LOT = 50


@dataclass(frozen=True, slots=True)
class LineRow:
    """A call as its provider knows it, with what lets us in still sealed."""

    team_id: UUID
    call_id: UUID
    dialer_id: UUID
    telephony: TelephonyKind
    conference: str | None
    user_leg: str | None
    account: bytes | None


@dataclass(frozen=True, slots=True)
class Claim:
    """A participant in the hands of a worker, while the lease holds.

    Args:
        line: The call.
        participant_id: Whose it is.
        wanted: True to be on the line, False to be off it.
        mode: How.
        address: Where they are rung.
        leg: The last leg that is known.
        version: What is carried out.
        fence: The claim's.
        attempts: With this one.
    """

    line: LineRow
    participant_id: UUID
    wanted: bool
    mode: JoinMode
    address: str | None
    leg: str | None
    version: int
    fence: int
    attempts: int


_LINE = "c.team_id, c.id AS call_id, c.dialer_id, d.telephony, c.conference, c.user_leg, d.account"


def _line(row: Any) -> LineRow:
    return LineRow(
        row["team_id"],
        row["call_id"],
        row["dialer_id"],
        TelephonyKind(row["telephony"]),
        row["conference"],
        row["user_leg"],
        row["account"],
    )


async def claim_due(connection: Connection, holder: str, limit: int) -> list[Claim]:
    """Take participants whose wish is not carried out yet. Served by live_call_participants_due_idx."""
    rows = await connection.fetch(
        f"""
        WITH claimed AS (
            UPDATE live_call_participants SET holder = $1, fence = fence + 1, attempts = attempts + 1,
                leased_until = clock_timestamp() + make_interval(secs => $3)
            WHERE id IN (
                SELECT id FROM live_call_participants
                WHERE carried_version < version AND state IN ('REQUESTED', 'CONNECTED', 'LEAVING')
                    AND due_at <= clock_timestamp() AND (leased_until IS NULL OR leased_until < clock_timestamp())
                ORDER BY due_at LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED
            ) RETURNING *
        )
        SELECT p.id AS participant_id, p.state, p.mode, p.address, p.leg, p.version, p.fence, p.attempts, {_LINE}
        FROM claimed p JOIN live_calls c ON c.team_id = p.team_id AND c.id = p.call_id
        JOIN dialers d ON d.team_id = c.team_id AND d.id = c.dialer_id
        """,
        holder,
        limit,
        LEASE_SECONDS,
    )
    return [
        Claim(
            _line(row),
            row["participant_id"],
            row["state"] != ParticipantState.LEAVING,
            JoinMode(row["mode"]),
            row["address"],
            row["leg"],
            row["version"],
            row["fence"],
            row["attempts"],
        )
        for row in rows
    ]


async def _lock(connection: Connection, claim: Claim) -> tuple[Any, Any]:
    """The call and the participant of a claim, locked; the participant is None when it is somebody else's by now."""
    call = await lock_call(connection, claim.line.team_id, claim.line.call_id)
    row = await connection.fetchrow(
        "SELECT * FROM live_call_participants WHERE team_id = $1 AND id = $2 AND fence = $3 FOR NO KEY UPDATE",
        claim.line.team_id,
        claim.participant_id,
        claim.fence,
    )
    return call, row


async def lock_call(connection: Connection, team_id: UUID, call_id: UUID) -> Any:
    """Hold a call's row until the caller's transaction ends."""
    return await connection.fetchrow(
        "SELECT id, team_id, user_id, state, look_at FROM live_calls WHERE team_id = $1 AND id = $2 FOR NO KEY UPDATE",
        team_id,
        call_id,
    )


async def _set(connection: Connection, row: Any, **columns: Any) -> None:
    assignments = ", ".join(f"{name} = ${place}" for place, name in enumerate(columns, 3))
    await connection.execute(
        f"UPDATE live_call_participants SET {assignments} WHERE team_id = $1 AND id = $2",
        row["team_id"],
        row["id"],
        *columns.values(),
    )


_RELEASED: dict[str, Any] = {"holder": None, "leased_until": None}


async def carried(connection: Connection, claim: Claim, leg: Leg | None, now: datetime) -> bool:
    """Commit that a claim was carried out, in the caller's transaction: with the leg that is on the line, or None when
    nobody is. Returns False when the claim is somebody else's by now: what it left on the line is found by looking."""
    call, row = await _lock(connection, claim)
    if row is None:
        return False
    columns: dict[str, Any] = {**_RELEASED, "carried_at": now, "attempts": 0}
    columns["carried_version"] = max(row["carried_version"], claim.version)
    entries: list[NewEntry] = []
    if leg is not None:
        columns["leg"] = leg.id
        if leg.state is LegState.CONNECTED and row["state"] == ParticipantState.REQUESTED:
            columns |= _connected(now)
            entries.append(_entry(AuditAction.LIVE_CALL_CONNECTED, call, row, None))
        # Who has just been rung is looked at soon, in case nobody tells us that they have answered.
        await look_soon(connection, claim.line.team_id, claim.line.call_id, RINGING_LOOK_SECONDS)
    elif row["state"] == ParticipantState.LEAVING and row["version"] == claim.version:
        columns |= _left(now, row["reason"])
        entries += _leaving_entry(call, row, row["reason"])
    elif not claim.wanted:
        # They want to be on again meanwhile.
        columns["leg"] = None
    await _set(connection, row, **columns)
    await audit.record_for_operator(connection, claim.line.team_id, entries)
    if "state" in columns:
        await mark(connection, claim.line.team_id, [claim.line.call_id])
    if row["version"] > claim.version:
        await wake_workers(connection, claim.line.team_id)
    return True


def _connected(now: datetime) -> dict[str, Any]:
    return {
        "state": ParticipantState.CONNECTED.value,
        "joined_at": now,
        "seen_until": now + timedelta(seconds=SEEN_SECONDS),
    }


def _left(now: datetime, reason: str | None) -> dict[str, Any]:
    return {"state": ParticipantState.LEFT.value, "left_at": now, "reason": reason, "address": None}


def _entry(action: AuditAction, call: Any, row: Any, reason: str | None) -> NewEntry:
    after = {"user_id": call["user_id"], "manager_id": row["user_id"], "mode": row["mode"]}
    return NewEntry(action, ("LiveCall", call["id"]), after=after | ({} if reason is None else {"reason": reason}))


def _leaving_entry(call: Any, row: Any, reason: str | None) -> list[NewEntry]:
    """Who asked to leave was told of then."""
    return [] if reason == LEFT_BY_THEMSELVES else [_entry(AuditAction.LIVE_CALL_LEFT, call, row, reason)]


async def refused(connection: Connection, claim: Claim, reason: str, now: datetime) -> bool:
    """Commit that the provider will not do it: who wanted to join has failed; whose mode cannot be changed is taken
    off, so that nobody is heard who thinks that they are not; who cannot be taken off by our asking is waited for."""
    call, row = await _lock(connection, claim)
    if row is None:
        return False
    if row["state"] == ParticipantState.LEAVING:
        return await _postpone(connection, claim, call, row, now, RETRY_SECONDS[-1])
    if row["state"] == ParticipantState.CONNECTED:
        await _set(connection, row, **_RELEASED)
        await dismiss(connection, row["team_id"], call["id"], "MODE_REFUSED", user_ids=[row["user_id"]])
        await mark(connection, row["team_id"], [call["id"]])
        return True
    await _fail(connection, claim, call, row, reason, now)
    return True


async def _fail(connection: Connection, claim: Claim, call: Any, row: Any, reason: str, now: datetime) -> None:
    await _set(
        connection,
        row,
        **_RELEASED,
        state=ParticipantState.FAILED.value,
        left_at=now,
        reason=reason[:200],
        address=None,
        carried_version=row["version"],
        carried_at=now,
    )
    await audit.record_for_operator(
        connection, row["team_id"], [_entry(AuditAction.LIVE_CALL_LEFT, call, row, reason[:200])]
    )
    await mark(connection, row["team_id"], [claim.line.call_id])


async def postponed(
    connection: Connection, claim: Claim, reason: str, now: datetime, wait_seconds: float | None = None
) -> bool:
    """Commit that it could not be done now: it is tried again, but joining only for `JOIN_SECONDS`."""
    call, row = await _lock(connection, claim)
    if row is None:
        return False
    late = now - row["requested_at"] > timedelta(seconds=JOIN_SECONDS)
    if row["state"] == ParticipantState.REQUESTED and late:
        await _fail(connection, claim, call, row, reason, now)
        return True
    given = RETRY_SECONDS[min(claim.attempts, len(RETRY_SECONDS)) - 1]
    return await _postpone(connection, claim, call, row, now, max(given, wait_seconds or 0.0))


async def _postpone(
    connection: Connection, claim: Claim, call: Any, row: Any, now: datetime, wait_seconds: float
) -> bool:
    gone_by_itself = now - (row["joined_at"] or row["requested_at"]) > timedelta(seconds=LONGEST_LEG_SECONDS)
    if row["state"] == ParticipantState.LEAVING and gone_by_itself:
        await _set(connection, row, **_RELEASED, **_left(now, row["reason"]), carried_version=row["version"])
        await audit.record_for_operator(connection, row["team_id"], _leaving_entry(call, row, row["reason"]))
        await mark(connection, row["team_id"], [claim.line.call_id])
        return True
    await _set(connection, row, **_RELEASED, due_at=now + timedelta(seconds=wait_seconds))
    return True


async def released(connection: Connection, claim: Claim) -> None:
    """Let go of a claim whose worker stops."""
    await connection.execute(
        "UPDATE live_call_participants SET holder = NULL, leased_until = NULL "
        "WHERE team_id = $1 AND id = $2 AND fence = $3",
        claim.line.team_id,
        claim.participant_id,
        claim.fence,
    )


async def told_of_leg(
    connection: Connection,
    team_id: UUID,
    participant_id: UUID,
    leg_id: str,
    *,
    connected: bool,
    reason: str,
    now: datetime,
) -> UUID | None:
    """Take in what the provider tells of a leg by itself, in the caller's transaction. What it tells of another leg
    than the row's last one is of no use: looking finds it. Returns the call, if something changed.

    Args:
        connection: In a transaction.
        team_id: The team.
        participant_id: Whose leg it is.
        leg_id: The leg.
        connected: Whether it is on the line; else it is over.
        reason: Why it is over.
        now: The clock.
    """
    call_id = await connection.fetchval(
        "SELECT call_id FROM live_call_participants WHERE team_id = $1 AND id = $2", team_id, participant_id
    )
    if call_id is None:
        return None
    call = await lock_call(connection, team_id, call_id)
    row = await connection.fetchrow(
        "SELECT * FROM live_call_participants WHERE team_id = $1 AND id = $2 FOR NO KEY UPDATE", team_id, participant_id
    )
    if row["leg"] != leg_id:
        return None
    if not await _match(connection, call, row, connected, reason, now):
        return None
    await mark(connection, team_id, [call_id])
    return UUID(str(call_id))


async def _match(connection: Connection, call: Any, row: Any, connected: bool, reason: str, now: datetime) -> bool:
    """Make a row what is known of its leg. Returns whether that can be seen."""
    state = row["state"]
    if connected:
        if state != ParticipantState.REQUESTED:
            return False
        await _set(connection, row, **_connected(now))
        entries = [_entry(AuditAction.LIVE_CALL_CONNECTED, call, row, None)]
        await audit.record_for_operator(connection, row["team_id"], entries)
        return True
    over = {"carried_version": row["version"], "carried_at": now}
    if state == ParticipantState.REQUESTED:
        values = {**_left(now, reason), "state": ParticipantState.FAILED.value}
        entries = [_entry(AuditAction.LIVE_CALL_LEFT, call, row, reason)]
    elif state == ParticipantState.CONNECTED:
        values, entries = _left(now, reason), [_entry(AuditAction.LIVE_CALL_LEFT, call, row, reason)]
    elif state == ParticipantState.LEAVING:
        values, entries = _left(now, row["reason"]), _leaving_entry(call, row, row["reason"])
    else:
        return False
    await _set(connection, row, **over, **values)
    await audit.record_for_operator(connection, row["team_id"], entries)
    return True


async def look_soon(connection: Connection, team_id: UUID, call_id: UUID, seconds: float) -> None:
    """Have the line of a call looked at in some seconds, or before."""
    await connection.execute(
        """
        UPDATE live_calls SET look_at = least(look_at, now() + make_interval(secs => $3))
        WHERE team_id = $1 AND id = $2
        """,
        team_id,
        call_id,
        seconds,
    )


async def claim_looks(connection: Connection, limit: int = LOOKS_LOT) -> list[LineRow]:
    """Take calls whose line is to be looked at; nobody else looks at them for `LOOK_SECONDS`. Served by
    live_calls_look_idx."""
    rows = await connection.fetch(
        f"""
        WITH claimed AS (
            UPDATE live_calls SET look_at = clock_timestamp() + make_interval(secs => $2)
            WHERE id IN (
                SELECT id FROM live_calls WHERE look_at <= clock_timestamp()
                ORDER BY look_at LIMIT $1 FOR NO KEY UPDATE SKIP LOCKED
            ) RETURNING *
        )
        SELECT {_LINE} FROM claimed c JOIN dialers d ON d.team_id = c.team_id AND d.id = c.dialer_id
        """,
        limit,
        LOOK_SECONDS,
    )
    return [_line(row) for row in rows]


@dataclass(frozen=True, slots=True)
class Held:
    """What is to be done at the provider after a look.

    Args:
        strays: Legs that nobody wants: they are to be taken off.
        over: The call is over: so is everybody of ours.
    """

    strays: tuple[Leg, ...]
    over: bool


async def looked(connection: Connection, line: LineRow, legs: Sequence[Leg], asked_at: datetime, now: datetime) -> Held:
    """Hold the rows of a call against the legs that its provider named, in the caller's transaction.

    Args:
        connection: In a transaction.
        line: The call.
        legs: Who of ours is on the line; nobody when the call is over there.
        asked_at: Before the provider was asked: what was committed later, it may not have known.
        now: The clock.
    """
    call = await lock_call(connection, line.team_id, line.call_id)
    if call is None:
        return Held(tuple(legs), True)
    rows = await connection.fetch(
        "SELECT * FROM live_call_participants WHERE team_id = $1 AND call_id = $2 ORDER BY id FOR NO KEY UPDATE",
        line.team_id,
        line.call_id,
    )
    by_id = {leg.id: leg for leg in legs}
    changed = False
    for row in rows:
        if _in_hand(row, asked_at):
            continue
        changed |= await _hold(connection, call, row, by_id.get(row["leg"]), now)
    forbidden = await _not_allowed(connection, call, rows)
    if forbidden:
        count = await dismiss(connection, line.team_id, line.call_id, "NOT_ALLOWED", user_ids=forbidden)
        changed |= count > 0
    if call["state"] == LiveCallState.ENDED:
        changed |= await dismiss(connection, line.team_id, line.call_id, "CALL_ENDED") > 0
    if not legs and _settled(rows, now):
        await connection.execute(
            "UPDATE live_calls SET look_at = NULL WHERE team_id = $1 AND id = $2", line.team_id, line.call_id
        )
    if changed:
        await mark(connection, line.team_id, [line.call_id])
    strays = tuple(leg for leg in legs if not _wanted(leg, rows, asked_at))
    return Held(strays, call["state"] == LiveCallState.ENDED)


def _in_hand(row: Any, asked_at: datetime) -> bool:
    """Whether a worker is at it, or was after the provider was asked."""
    before = asked_at - timedelta(seconds=CLOCKS_SECONDS)
    claimed = row["leased_until"] is not None and row["leased_until"] > before
    lately = row["carried_at"] is not None and row["carried_at"] >= before
    return claimed or lately


async def _hold(connection: Connection, call: Any, row: Any, leg: Leg | None, now: datetime) -> bool:
    state = row["state"]
    if leg is not None and leg.state is LegState.CONNECTED:
        if state == ParticipantState.REQUESTED:
            return await _match(connection, call, row, True, "", now)
        if state == ParticipantState.CONNECTED:
            again = {}
            if leg.mode.value != row["mode"] and row["carried_version"] == row["version"]:
                # The line is not as we left it.
                again = {"version": row["version"] + 1, "due_at": now}
                await wake_workers(connection, row["team_id"])
            await _set(connection, row, seen_until=now + timedelta(seconds=SEEN_SECONDS), **again)
        return False
    if leg is not None or row["leg"] is None:
        return False
    if state == ParticipantState.CONNECTED:
        return await _match(connection, call, row, False, "HUNG_UP", now)
    rang = timedelta(seconds=RING_SECONDS)
    if row["carried_version"] < row["version"]:
        return False
    # A provider may name who is rung only once they are there.
    if state == ParticipantState.REQUESTED and (row["carried_at"] is None or now - row["carried_at"] > rang):
        return await _match(connection, call, row, False, "NO_ANSWER", now)
    if state == ParticipantState.LEAVING:
        return await _match(connection, call, row, False, "", now)
    return False


async def _not_allowed(connection: Connection, call: Any, rows: Iterable[Any]) -> list[UUID]:
    """Who is on the call and may not see it any more: their role, their place, or the rep's, has changed."""
    found = []
    for row in rows:
        if row["state"] not in (ParticipantState.REQUESTED, ParticipantState.CONNECTED):
            continue
        viewer = await identify_user(connection, row["team_id"], row["user_id"])
        sight = None if viewer is None else await access.see_live_calls(connection, viewer)
        if sight is None or call["user_id"] is None or not sight.sees(row["team_id"], call["user_id"]):
            found.append(row["user_id"])
    return found


def _settled(rows: Iterable[Any], now: datetime) -> bool:
    """Whether nobody is on a call, and nobody was asked for lately whose leg might come yet."""
    for row in rows:
        if row["state"] not in (ParticipantState.LEFT, ParticipantState.FAILED):
            return False
        last = max(at for at in (row["carried_at"], row["leased_until"], row["requested_at"]) if at is not None)
        if now - last < timedelta(seconds=SETTLED_SECONDS):
            return False
    return True


def _wanted(leg: Leg, rows: Iterable[Any], asked_at: datetime) -> bool:
    """Whether a leg is a row's, or may become one's."""
    owner = participant_of(leg.label)
    for row in rows:
        if row["id"] == owner:
            if row["state"] in (ParticipantState.LEFT, ParticipantState.FAILED):
                return False
            # Who is at it takes off, or adopts, what is there.
            return bool(row["leg"] == leg.id or _in_hand(row, asked_at) or row["carried_version"] < row["version"])
    return False


async def unseen(connection: Connection, line: LineRow, now: datetime) -> bool:
    """The line of a call could not be looked at, in the caller's transaction: who was not seen for `SEEN_SECONDS` is to
    leave. Returns whether somebody is."""
    await lock_call(connection, line.team_id, line.call_id)
    rows = await connection.fetch(
        "SELECT user_id FROM live_call_participants WHERE team_id = $1 AND call_id = $2 AND state = 'CONNECTED' "
        "AND seen_until < $3",
        line.team_id,
        line.call_id,
        now,
    )
    if not rows:
        return False
    await dismiss(connection, line.team_id, line.call_id, "NOT_SEEN", user_ids=[row["user_id"] for row in rows])
    await mark(connection, line.team_id, [line.call_id])
    return True
