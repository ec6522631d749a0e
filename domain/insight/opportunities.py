"""Coaching opportunities: for each rep in sight the one or two gaps that matter, each in a sentence.

How a gap is found and what closing it would bring is told in domain/insight/gaps.py, with whom a rep is compared in
domain/insight/peers.py, which days count in domain/insight/numbers.py. What it would bring is told of the goal that is
the farthest down the rep's funnel, of those that the viewer may see; without one, of the end of the funnel.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import numpy as np

from domain.access import GoalSight, Sight, Viewer
from domain.errors import Invalid
from domain.goal_board import GoalBoard, load_board
from domain.insight.funnel import ORDER
from domain.insight.gaps import Gain, Gap, find_gaps, ratios_of
from domain.insight.numbers import read_numbers, read_people
from domain.insight.peers import Circles, read_tree
from domain.insight.words import explain
from domain.models.goals import GoalPeriod
from domain.periods import Calendar, Days
from domain.workdays import read_days_off

if TYPE_CHECKING:
    from domain.database import Connection

LONGEST_DAYS = 366


@dataclass(frozen=True, slots=True)
class Question:
    """Whose gaps, and over which days.

    Args:
        viewer: Who asks.
        users: The users in sight.
        goals: The goals in sight.
        calendar: How the team counts days.
        days: The range; of it the whole days before today count.
        now: The clock.
        available: The metrics whose feeds are connected.
        user_id: Only this user's.
    """

    viewer: Viewer
    users: Sight
    goals: GoalSight
    calendar: Calendar
    days: Days
    now: datetime
    available: Collection[str]
    user_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Opportunity:
    """A gap of a rep that is worth a talk.

    Args:
        user_id: The rep.
        gap: The gap.
        days: The days that were looked at.
        gain: What closing it would bring in a quarter, of the goal; None where nothing is known to come of it.
        goal: What the rep's goal asks for of that in the quarter; None without a goal that the viewer may see.
        explanation: All of it in a sentence.
    """

    user_id: UUID
    gap: Gap
    days: Days
    gain: Gain | None
    goal: float | None
    explanation: str


async def coaching_opportunities(connection: Connection, asked: Question) -> list[Opportunity]:
    """The opportunities of everybody in sight, what matters most first, in a fixed number of statements.

    Raises:
        Invalid: the range is longer than `LONGEST_DAYS`.
    """
    if asked.days.count > LONGEST_DAYS:
        raise Invalid(f"range: coaching looks at {LONGEST_DAYS} days at most; choose a shorter range.", path=("range",))
    yesterday = asked.calendar.today(asked.now) - timedelta(days=1)
    if asked.days.first > yesterday or not asked.available:
        return []
    window = Days(asked.days.first, min(asked.days.last, yesterday))
    team_id = asked.viewer.team_id
    quarter = asked.calendar.period(GoalPeriod.QUARTER, window.last)
    goal_users = asked.goals.users
    board = await load_board(
        connection,
        team_id,
        asked.calendar,
        asked.now,
        Days(min(window.first, quarter.first), max(window.last, quarter.last)),
        metrics=ORDER,
        user_ids=None if goal_users.everything else sorted(goal_users.ids),
    )
    work = board.proration.work
    everybody = await read_people(connection, team_id)
    circles = Circles(everybody, await read_tree(connection, team_id), asked.viewer, asked.users)
    wanted = circles.wanted()
    numbers = await read_numbers(
        connection,
        team_id,
        [everybody[place] for place in wanted],
        window,
        work,
        await read_days_off(connection, team_id, window),
        ratios_of(asked.available),
    )
    # The circles are drawn among everybody; the numbers are of those alone that may be needed.
    worked = np.full(len(everybody), np.nan)
    worked[wanted] = numbers.days
    place_of = {place: at for at, place in enumerate(wanted)}
    horizon = work.count(quarter.first, quarter.last)
    drawn = [one.at(place_of) for one in circles.drawn(worked)]
    # Many circles take seconds, in which others are to be answered.
    found = await asyncio.to_thread(find_gaps, numbers, drawn, asked.available, horizon)
    return [
        _told(asked, board, numbers.people[gap.place].id, numbers.people[gap.place].name, gap, window, quarter)
        for gap in found
        if asked.user_id is None or numbers.people[gap.place].id == asked.user_id
    ]


def _told(
    asked: Question, board: GoalBoard, user_id: UUID, name: str, gap: Gap, window: Days, quarter: Days
) -> Opportunity:
    gain = gap.gains[-1] if gap.gains else None
    goal: float | None = None
    if asked.goals.sees(asked.viewer.team_id, user_id, None):
        goals = board.of_user(user_id, [one.metric for one in gap.gains], quarter)
        for one in reversed(gap.gains):
            target = goals.target(one.metric)
            if target:
                gain, goal = one, float(target)
                break
    return Opportunity(user_id, gap, window, gain, goal, explain(gap, gain, name, asked.viewer.currency))
