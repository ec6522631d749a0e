"""What every change of a live call leaves behind: its number, in the transaction of the change.

Numbers of a team grow in the order of commits: the head's lock is held until the transaction ends. Who has read all
calls up to a number finds every later change behind it. A transaction takes the lock last, after the audit log's, and
locks a call before its participants, so that nobody waits in a circle.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from domain.models.base import new_id

if TYPE_CHECKING:
    from domain.database import Connection

WORK_CHANNEL = "sideline_live_calls"
"""PostgreSQL's notifications that a worker may have something to carry out; the payload is the team's id."""
HINTS_CHANNEL = "sideline:live_calls"
"""The Redis channel on which a team whose live calls have changed is hinted at."""
ACTIVE = ("REQUESTED", "CONNECTED", "LEAVING")
"""Participants that are, or may be, on the line."""
LEFT_BY_THEMSELVES = "LEFT"
"""The reason of who asked to leave; the audit log told of it then."""


async def mark(connection: Connection, team_id: UUID, call_ids: Sequence[UUID]) -> None:
    """Number the changes of some calls, in the caller's transaction, as the last thing that it writes."""
    position = await connection.fetchval(
        """
        INSERT INTO live_call_heads AS h (id, team_id, position) VALUES ($1, $2, 1)
        ON CONFLICT (team_id) DO UPDATE SET position = h.position + 1 RETURNING position
        """,
        new_id(),
        team_id,
    )
    await connection.execute(
        "UPDATE live_calls SET change = $3 WHERE team_id = $1 AND id = ANY ($2::uuid[])",
        team_id,
        list(call_ids),
        position,
    )


async def wake_workers(connection: Connection, team_id: UUID) -> None:
    """There may be something to carry out at a telephony provider, once the caller's transaction has committed."""
    await connection.execute("SELECT pg_notify($1, $2)", WORK_CHANNEL, str(team_id))


async def dismiss(
    connection: Connection,
    team_id: UUID,
    call_id: UUID,
    reason: str,
    *,
    user_ids: Sequence[UUID] | None = None,
    unacknowledged: bool = False,
) -> int:
    """Have managers taken off a call, in the caller's transaction, which holds the call's lock and marks it.

    Args:
        connection: In a transaction.
        team_id: The team.
        call_id: The call.
        reason: Why, for machines: `CALL_ENDED`.
        user_ids: Only these; all if None.
        unacknowledged: Only who has not acknowledged the banner.

    Returns:
        How many.
    """
    gone = await connection.fetch(
        """
        UPDATE live_call_participants SET state = 'LEAVING', version = version + 1, reason = $3, due_at = now(),
            attempts = 0
        WHERE team_id = $1 AND call_id = $2 AND state IN ('REQUESTED', 'CONNECTED')
            AND ($4::uuid[] IS NULL OR user_id = ANY ($4)) AND NOT ($5 AND consent_acknowledged)
        RETURNING 1
        """,
        team_id,
        call_id,
        reason,
        None if user_ids is None else list(user_ids),
        unacknowledged,
    )
    if gone:
        await wake_workers(connection, team_id)
    return len(gone)


async def read_positions(connection: Connection, team_ids: Sequence[UUID]) -> dict[UUID, int]:
    """Where the changes of some teams end."""
    rows = await connection.fetch(
        "SELECT team_id, position FROM live_call_heads WHERE team_id = ANY ($1::uuid[])", list(team_ids)
    )
    return {row["team_id"]: row["position"] for row in rows}
