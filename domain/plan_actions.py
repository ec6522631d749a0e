"""The scheduled actions of coaching sessions: the start and a reminder, for the rep and for the coach.

Keys are made of the session and the person, so that a session put again moves its actions; one that has been held,
missed, cancelled or is over has none. They are their person's alone to see (domain/access_actions.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from domain import actions
from domain.actions import NewAction
from domain.models import CoachingSession, SessionState
from domain.models.actions import CatchUp

if TYPE_CHECKING:
    from domain.database import Connection

LEAD = timedelta(days=1)
SHORT_LEAD = timedelta(minutes=15)
"""Of a session that is planned for sooner than `LEAD`."""


def keys_of(session: CoachingSession) -> list[str]:
    """The keys of all actions that a session may have."""
    return [
        f"{kind}:{session.id}:{person}"
        for person in (session.user_id, session.coach_id)
        for kind in (actions.COACHING_SESSION, actions.COACHING_REMINDER)
    ]


def actions_of(session: CoachingSession, now: datetime) -> list[NewAction]:
    """The actions that a session is to have now."""
    starts_at = session.starts_at.astimezone(UTC)
    if session.state not in (SessionState.PLANNED, SessionState.RESCHEDULED) or starts_at <= now:
        return []
    reminder = next((starts_at - lead for lead in (LEAD, SHORT_LEAD) if starts_at - lead > now), None)
    wanted = []
    for person in (session.user_id, session.coach_id):
        for kind, due_at, title in (
            (actions.COACHING_SESSION, starts_at, session.title),
            (actions.COACHING_REMINDER, reminder, f"Soon: {session.title}"),
        ):
            if due_at is not None:
                wanted.append(
                    NewAction(
                        key=f"{kind}:{session.id}:{person}",
                        kind=kind,
                        title=title,
                        due_at=due_at,
                        user_id=person,
                        created_by_id=session.coach_id,
                        catch_up=CatchUp.SKIP,
                        arguments={"session_id": str(session.id), "at": starts_at.isoformat()},
                    )
                )
    return wanted


async def put(connection: Connection, team_id: UUID, sessions: Sequence[CoachingSession]) -> None:
    """Bring the actions of some sessions up to date, in the caller's transaction; a fixed number of statements."""
    now = datetime.now(UTC)
    wanted = [action for session in sessions for action in actions_of(session, now)]
    standing = {action.key for action in wanted}
    await actions.put_actions(connection, team_id, wanted)
    stale = [key for session in sessions for key in keys_of(session) if key not in standing]
    if stale:
        await actions.cancel_actions(connection, team_id, stale)
