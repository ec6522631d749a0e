"""What becomes of coaching plans and sessions when a person is erased.

Of a rep: their plans go, with focus, items and notes; sessions stay as what counts (when, with whom, held or not),
without title, agenda, notes and film; what was still to come is cancelled, series end.
Of a coach: what they wrote down goes, theirs and shared alike; sessions still to come are cancelled, series end; plans
stay with the rep and the co-coaches.
Of both: their address goes out of the lists of who was told by mail.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

from domain import plan_actions, plan_invitations, plan_series
from domain.models import CoachingSeries, CoachingSession

if TYPE_CHECKING:
    from domain.database import Connection

TITLE = "Coaching session"

# Served by the indexes of each table on the rep, the coach and the author.
_STATEMENTS = (
    "DELETE FROM coaching_notes WHERE team_id = $1 AND author_id = $2",
    "DELETE FROM coaching_notes n USING coaching_sessions s WHERE n.team_id = $1 AND s.team_id = $1 "
    "AND s.id = n.session_id AND s.user_id = $2",
    "DELETE FROM session_activities a USING coaching_sessions s WHERE a.team_id = $1 AND s.team_id = $1 "
    "AND s.id = a.session_id AND s.user_id = $2",
    "UPDATE session_activities SET attached_by_id = NULL WHERE team_id = $1 AND attached_by_id = $2",
    "DELETE FROM co_coaches WHERE team_id = $1 AND user_id = $2",
    "UPDATE coaching_programs SET manager_ids = array_remove(manager_ids, $2::uuid) "
    "WHERE team_id = $1 AND $2::uuid = ANY (manager_ids)",
    *(
        f"UPDATE {table} SET title = '{TITLE}', agenda = NULL, plan_id = NULL WHERE team_id = $1 AND user_id = $2"
        for table in ("coaching_sessions", "coaching_series")
    ),
    "DELETE FROM coaching_plans WHERE team_id = $1 AND user_id = $2",
)


async def erase(connection: Connection, team_id: UUID, user_id: UUID, email: str, at: datetime) -> None:
    """Take a person out of coaching, in the caller's transaction.

    Args:
        connection: Where.
        team_id: The team.
        user_id: The person.
        email: The address that they had.
        at: The clock.
    """
    now = at.astimezone(UTC)
    rows = await connection.fetch(
        "SELECT * FROM coaching_series WHERE team_id = $1 AND (user_id = $2 OR coach_id = $2) "
        "AND (ended_on IS NULL OR ended_on > $3)",
        team_id,
        user_id,
        now.date(),
    )
    series = [CoachingSeries._init_from_db(**dict(row)) for row in rows]
    await plan_series.finish_series(connection, team_id, series, now.date(), now)
    rows = await connection.fetch(
        """
        UPDATE coaching_sessions SET state = 'CANCELLED', version = version + 1, changed_at = now()
        WHERE team_id = $1 AND (user_id = $2 OR coach_id = $2) AND starts_at > $3
            AND state IN ('PLANNED', 'RESCHEDULED') RETURNING *
        """,
        team_id,
        user_id,
        now,
    )
    sessions = [CoachingSession._init_from_db(**dict(row)) for row in rows]
    await plan_actions.put(connection, team_id, sessions)
    for session in sessions:
        await plan_invitations.touch_session(connection, team_id, session)
    for statement in _STATEMENTS:
        await connection.execute(statement, team_id, user_id)
    await connection.execute(
        "UPDATE coaching_invitations SET mailed_to = array_remove(mailed_to, lower($2)) "
        "WHERE team_id = $1 AND lower($2) = ANY (mailed_to)",
        team_id,
        email,
    )
