"""How goals stand in a period: what was done while they held, against what was asked.

What counts as done are the days of the period on which a version of the goal holds: a goal that begins on the 15th asks
for the rest of the month, and what was done before the 15th is not held against it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import TYPE_CHECKING
from uuid import UUID

from domain.access import Sight
from domain.dashboards import Audience, user_numbers
from domain.goal_board import GoalBoard, load_board
from domain.goal_events import GoalView
from domain.metrics import METRICS, NO_SUMS, Number, Sums, available_metrics, compute
from domain.pacing import GoalStatus, Part, Progress, rounded
from domain.people import connected_feeds
from domain.periods import Calendar, Days, overlap

if TYPE_CHECKING:
    from domain.database import Connection

FEW_PEOPLE = 200
"""Up to so many, their rollups are looked up one by one; beyond, the whole team's are read."""


def parts_in(board: GoalBoard, goal: GoalView, days: Days) -> tuple[Part, ...]:
    """The parts of a goal that hold within a period."""
    if goal.derived:
        parts = board.summed(people_of(board, goal), goal.metric, days, goal.period)
    else:
        parts = board.own.get((goal.subject_id, goal.metric), {}).get(goal.period, ())
    return tuple(part for part in parts if overlap(days, part.first, part.last) is not None)


def people_of(board: GoalBoard, goal: GoalView) -> Sequence[UUID]:
    """Whose numbers a goal counts."""
    if goal.user_id is not None:
        return (goal.user_id,)
    if goal.group_id is not None:
        return board.members.get(goal.group_id, ())
    return sorted(board.people)


def _window(parts: Sequence[Part], days: Days) -> Days:
    """The days of a period on which some parts hold, from the first to the last."""
    held = [common for part in parts if (common := overlap(days, part.first, part.last)) is not None]
    return Days(min(common.first for common in held), max(common.last for common in held))


@dataclass(frozen=True, slots=True)
class Standing:
    """What a goal's people did in a period.

    Args:
        parts: The parts of the goal that hold in it.
        window: The days of the period on which they hold.
        sums: The base sums of those days.
    """

    parts: tuple[Part, ...]
    window: Days
    sums: Sums


async def standings_in(
    connection: Connection, team_id: UUID, board: GoalBoard, asked: Sequence[tuple[GoalView, Days]]
) -> list[Standing | None]:
    """What was done for goals in periods; None where no version holds. A statement for each run of days among them."""
    parts = [parts_in(board, goal, days) for goal, days in asked]
    members_of = [people_of(board, goal) for goal, _days in asked]
    window_of = [_window(held, days) if held else None for (_goal, days), held in zip(asked, parts, strict=True)]
    windows: dict[Days, set[UUID]] = {}
    for window, members in zip(window_of, members_of, strict=True):
        if window is not None:
            windows.setdefault(window, set()).update(members)
    numbers: dict[Days, Mapping[UUID, Sums]] = {}
    nobody = Sight(team_id, False, frozenset())
    for window, people in windows.items():
        sight = Sight(
            team_id, len(people) > FEW_PEOPLE, frozenset(people) if len(people) <= FEW_PEOPLE else frozenset()
        )
        found = await user_numbers(connection, Audience(sight, nobody), window, None)
        numbers[window] = {user_id: pair.current for user_id, pair in found.items()}
    return [
        None if when is None else Standing(held, when, _summed(numbers[when], members))
        for held, when, members in zip(parts, window_of, members_of, strict=True)
    ]


async def progress_in(
    connection: Connection, team_id: UUID, board: GoalBoard, asked: Sequence[tuple[GoalView, Days]]
) -> list[Progress | None]:
    """How goals stand in periods; None where no version holds."""
    available = available_metrics(await connected_feeds(connection, team_id))
    standings = await standings_in(connection, team_id, board, asked)
    return [
        None if standing is None else progress_of(board, goal, days, standing, available)
        for (goal, days), standing in zip(asked, standings, strict=True)
    ]


def progress_of(
    board: GoalBoard, goal: GoalView, days: Days, standing: Standing, available: Collection[str]
) -> Progress | None:
    """How a goal stands, by what was done for it."""
    actual: Number | None = compute(goal.metric, standing.sums) if goal.metric in available else None
    quotient = METRICS[goal.metric].is_quotient
    return board.proration.progress(standing.parts, days, actual, board.thresholds, quotient=quotient)


def _summed(numbers: Mapping[UUID, Sums], people: Sequence[UUID]) -> Sums:
    if len(people) == 1:
        return numbers.get(people[0], NO_SUMS)
    rows = [numbers[user_id] for user_id in people if user_id in numbers]
    return tuple(map(sum, zip(*rows, strict=True))) if rows else NO_SUMS


def _shown_period(calendar: Calendar, goal: GoalView, board: GoalBoard, now: datetime) -> Days:
    """The period that holds today; before a goal has begun its first one, after it has ended its last one."""
    today = calendar.today(now)
    current = calendar.period(goal.period, today)
    if parts_in(board, goal, current):
        return current
    newest = goal.newest
    if newest.effective_to is not None and newest.effective_to < current.first:
        return calendar.period(goal.period, newest.effective_to)
    if newest.effective_from > current.last:
        return calendar.period(goal.period, newest.effective_from)
    return current


async def progress_now(
    connection: Connection, team_id: UUID, calendar: Calendar, goals: Sequence[GoalView], now: datetime
) -> list[Progress]:
    """How goals stand now, each in the period that holds today.

    A goal that does not hold on any day of its period asks for nothing there: its target is 0.
    """
    if not goals:
        return []
    board, asked = await board_now(connection, team_id, calendar, goals, now)
    nothing = rounded(Fraction(0))
    return [
        found or Progress(period, None, nothing, None, nothing, None, None, GoalStatus.ON_TRACK)
        for found, (_goal, period) in zip(await progress_in(connection, team_id, board, asked), asked, strict=True)
    ]


async def board_now(
    connection: Connection, team_id: UUID, calendar: Calendar, goals: Sequence[GoalView], now: datetime
) -> tuple[GoalBoard, list[tuple[GoalView, Days]]]:
    """What is needed to tell how goals stand now, and the period of each that is shown."""
    today = calendar.today(now)
    edges = [today]
    for goal in goals:
        edges += [goal.newest.effective_from, goal.newest.effective_to or today]
    days = Days(
        min(calendar.period(goal.period, min(edges)).first for goal in goals),
        max(calendar.period(goal.period, max(edges)).last for goal in goals),
    )
    only_users = all(goal.user_id is not None for goal in goals)
    board = await load_board(
        connection,
        team_id,
        calendar,
        now,
        days,
        metrics=sorted({goal.metric for goal in goals}),
        user_ids=sorted({goal.subject_id for goal in goals}) if only_users else None,
    )
    return board, [(goal, _shown_period(calendar, goal, board, now)) for goal in goals]
