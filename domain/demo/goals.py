"""What is asked of the demo team."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from uuid import UUID

from domain import goals, team_settings
from domain.database import Connection
from domain.demo.history import LEAVE_DAYS
from domain.demo.people import REPS, Rep, Story, demo_admin
from domain.goals import SetGoals, Subject
from domain.models.goals import GoalPeriod
from domain.periods import Days

_QUIET, _BUSY = 0.9, 1.1
"""Below and above these levels of activity a rep has smaller and larger goals."""
_REP_GOALS = {
    ("CALLS_LOGGED", GoalPeriod.WEEK): ("13", "17", "20"),
    ("EMAILS_SENT", GoalPeriod.WEEK): ("19", "24", "29"),
    ("MEETINGS_BOOKED", GoalPeriod.MONTH): ("9", "11", "13"),
    ("CLOSED_WON_AMOUNT", GoalPeriod.QUARTER): ("36000", "48000", "60000"),
    ("REPLY_RATE", GoalPeriod.QUARTER): ("0.085", "0.09", "0.095"),
}


def _tier(rep: Rep) -> int:
    return 0 if rep.activity < _QUIET else 2 if rep.activity > _BUSY else 1


async def create_goals(connection: Connection, team_id: UUID, anchor: date, history_days: int) -> None:
    """Set goals that hold since the history began, and the leave of the rep who was away; once for a team."""
    if await connection.fetchval("SELECT EXISTS (SELECT 1 FROM goals WHERE team_id = $1)", team_id):
        return
    admin = await demo_admin(connection, team_id)
    rows = await connection.fetch("SELECT id, email FROM users WHERE team_id = $1", team_id)
    users = {row["email"]: row["id"] for row in rows}
    groups = {
        row["name"]: row["id"]
        for row in await connection.fetch("SELECT id, name FROM groups WHERE team_id = $1", team_id)
    }
    first, now = anchor - timedelta(days=history_days), datetime.now(UTC)

    async def set_goal(metric: str, period: GoalPeriod, target: str, *subjects: Subject) -> None:
        request = SetGoals(metric, period, Decimal(target), subjects, effective_from=first)
        await goals.set_goals(connection, admin, request, now)

    for (metric, period), targets in _REP_GOALS.items():
        for tier, target in enumerate(targets):
            chosen = [Subject(users[rep.email], None, ()) for rep in REPS if _tier(rep) == tier]
            await set_goal(metric, period, target, *chosen)
    await set_goal("CLOSED_WON_AMOUNT", GoalPeriod.QUARTER, "650000", Subject(None, groups["East"], ()))
    await set_goal("CLOSED_WON_AMOUNT", GoalPeriod.YEAR, "9500000", Subject(None, None, ()))
    away = Days(anchor - timedelta(days=LEAVE_DAYS[0]), anchor - timedelta(days=LEAVE_DAYS[1]))
    for rep in REPS:
        if rep.story is Story.ON_LEAVE:
            await team_settings.add_days_off(connection, admin, users[rep.email], away, "Parental leave")
