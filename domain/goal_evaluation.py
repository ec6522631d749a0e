"""Telling how goals stand: a team's goals are evaluated after its numbers have changed, and at its midnight.

Every period of a goal begins `ON_TRACK`. What is told is kept in goal_states and committed together with its event, so
that each crossing is told once, whoever evaluates and however often. The period that holds today and the one before it
are looked at: what comes late to a period that has just ended still counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID
from zoneinfo import ZoneInfo

from domain import events
from domain.events import EventType, NewEvent
from domain.goal_board import load_board
from domain.goal_events import GoalView, StatusChange, goal_payload
from domain.goal_progress import parts_in, progress_in
from domain.goals import all_goals
from domain.models.base import new_id
from domain.models.teams import FiscalCalendar
from domain.pacing import GoalStatus, told_status
from domain.periods import Calendar, Days

if TYPE_CHECKING:
    from domain.database import Connection

LONGEST_BACK_DAYS = 800
"""A goal that ended longer ago touches neither the present period nor the one before it."""


async def teams_due(connection: Connection) -> list[UUID]:
    """Teams whose numbers have changed, or whose midnight has come. Served by the indexes of both tables."""
    rows = await connection.fetch(
        "SELECT DISTINCT team_id FROM metric_changes UNION SELECT team_id FROM goal_evaluations WHERE due_at <= now()"
    )
    return [row["team_id"] for row in rows]


async def calendar_of_team(connection: Connection, team_id: UUID) -> Calendar:
    """How a team counts days."""
    row = await connection.fetchrow(
        "SELECT timezone, week_start, fiscal_year_start_month, fiscal_calendar FROM teams WHERE id = $1", team_id
    )
    timezone, week_start, month, kind = row
    return Calendar(timezone, week_start, month, kind == FiscalCalendar.FOUR_FOUR_FIVE)


async def evaluate_team(connection: Connection, team_id: UUID, now: datetime) -> bool:
    """Evaluate a team's goals in the caller's transaction. Returns False while somebody else does it.

    The marks of changes that this transaction sees go with it; what is committed meanwhile leaves its own.
    """
    await connection.execute(
        "INSERT INTO goal_evaluations (id, team_id) VALUES ($1, $2) ON CONFLICT DO NOTHING", new_id(), team_id
    )
    mine = await connection.fetchval(
        "SELECT true FROM goal_evaluations WHERE team_id = $1 FOR UPDATE SKIP LOCKED", team_id
    )
    if not mine:
        return False
    await connection.execute("DELETE FROM metric_changes WHERE team_id = $1", team_id)
    calendar = await calendar_of_team(connection, team_id)
    today = calendar.today(now)
    told = await _crossings(connection, team_id, calendar, now)
    await connection.executemany(
        """
        INSERT INTO goal_states (id, team_id, goal_id, period_start, status) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (team_id, goal_id, period_start) DO UPDATE SET status = EXCLUDED.status, changed_at = now()
        """,
        [(new_id(), team_id, goal.id, change.period_start, change.after.value) for goal, change in told],
    )
    midnight = datetime.combine(today + timedelta(days=1), datetime.min.time(), ZoneInfo(calendar.timezone))
    await connection.execute(
        "UPDATE goal_evaluations SET generation = generation + 1, due_at = $2 WHERE team_id = $1", team_id, midnight
    )
    await events.record(
        connection,
        team_id,
        [
            NewEvent(
                EventType.GOAL_ATTAINED if change.after is GoalStatus.ATTAINED else EventType.GOAL_STATUS_CHANGED,
                goal_payload(goal, goal.newest, goal.newest, change),
            )
            for goal, change in told
        ],
    )
    return True


async def _crossings(
    connection: Connection, team_id: UUID, calendar: Calendar, now: datetime
) -> Sequence[tuple[GoalView, StatusChange]]:
    today = calendar.today(now)
    goals = await all_goals(connection, team_id, today - timedelta(days=LONGEST_BACK_DAYS))
    if not goals:
        return []
    periods: dict[UUID, tuple[Days, Days]] = {}
    for goal in goals:
        assert goal.id is not None, "only goals with rows are told of"
        current = calendar.period(goal.period, today)
        periods[goal.id] = (calendar.period(goal.period, current.first - timedelta(days=1)), current)
    days = Days(
        min(before.first for before, _current in periods.values()),
        max(current.last for _before, current in periods.values()),
    )
    board = await load_board(connection, team_id, calendar, now, days)
    asked = [
        (goal, period) for goal in goals for period in periods[goal.id or team_id] if parts_in(board, goal, period)
    ]
    rows = await connection.fetch(
        "SELECT goal_id, period_start, status FROM goal_states WHERE team_id = $1 AND period_start >= $2",
        team_id,
        days.first,
    )
    known = {(row["goal_id"], row["period_start"]): GoalStatus(row["status"]) for row in rows}
    found = []
    for (goal, period), progress in zip(asked, await progress_in(connection, team_id, board, asked), strict=True):
        if progress is None:
            continue
        before = known.get((goal.id or team_id, period.first), GoalStatus.ON_TRACK)
        after = told_status(before, progress, board.thresholds)
        if after is not before:
            found.append((goal, StatusChange(period.first, before, after, progress.actual, progress.target)))
    return found


async def generations(connection: Connection, team_ids: Sequence[UUID]) -> dict[UUID, int]:
    """How often the goals of some teams have been evaluated: it grows whenever their numbers may have changed."""
    rows = await connection.fetch(
        "SELECT team_id, generation FROM goal_evaluations WHERE team_id = ANY ($1::uuid[])", list(team_ids)
    )
    return {row["team_id"]: row["generation"] for row in rows}
