"""What a digest and a goal reminder tell: composed for one reader, as they may see it at that moment.

What happened (totals of the people in the reader's sight, against the range before), goals at risk and behind (those
that the reader may read, of people whom they may see), who falls behind, and the reader's own upcoming work. A fixed
number of statements, however many people there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID
from zoneinfo import ZoneInfo

from domain.access import Viewer, see_goals, see_groups, see_users
from domain.dashboards import Audience, user_numbers
from domain.goal_events import GoalFilter, GoalView
from domain.goal_progress import progress_now
from domain.goals import list_goals
from domain.identity import calendar_of
from domain.ids import encode_id
from domain.metrics import METRICS, NO_SUMS, MetricUnit, Number, Sums, available_metrics, compute
from domain.pacing import GoalStatus, Progress
from domain.paging import PageRequest
from domain.people import connected_feeds
from domain.periods import Comparison, Days, NamedRange, compared_with, named_range

if TYPE_CHECKING:
    from domain.database import Connection

HEADLINES = (
    "EMAILS_SENT",
    "EMAILS_REPLIED",
    "CALLS_LOGGED",
    "CALLS_CONNECTED",
    "MEETINGS_BOOKED",
    "MEETINGS_HELD",
    "OPPORTUNITIES_CREATED",
    "NEW_PIPELINE",
    "CLOSED_WON_COUNT",
    "CLOSED_WON_AMOUNT",
)
"""The metrics of what happened; those that nothing feeds are left out."""
GOALS_READ = 20_000
"""Goals that one digest looks at, at most."""
GOALS_SHOWN = 10
PEOPLE_SHOWN = 10
WORK_SHOWN = 10
_SLOW = (GoalStatus.AT_RISK, GoalStatus.BEHIND)


@dataclass(frozen=True, slots=True)
class Total:
    """A metric over the range, and over the one before."""

    metric: str
    value: Number | None
    previous: Number | None


@dataclass(frozen=True, slots=True)
class GoalLine:
    """How a goal stands.

    Args:
        goal: The goal.
        name: Whose it is.
        progress: How it stands.
    """

    goal: GoalView
    name: str
    progress: Progress


@dataclass(frozen=True, slots=True)
class WorkLine:
    """Something that comes up, by the wall clock of the reader's team."""

    local_time: datetime
    kind: str
    title: str


@dataclass(frozen=True, slots=True)
class Digest:
    """What is told.

    Args:
        reader: Who reads it.
        days: The range.
        people: How many people the totals are of.
        totals: What happened.
        goals: Goals at risk or behind, the slowest first; of a reminder, all of the reader's own.
        goals_more: So many more.
        behind: Other people who fall behind, the slowest first, each with the pace of their slowest goal.
        work: What comes up.
        work_more: So much more.
    """

    reader: Viewer
    days: Days
    people: int
    totals: tuple[Total, ...]
    goals: tuple[GoalLine, ...]
    goals_more: int
    behind: tuple[tuple[UUID, str, Decimal], ...]
    work: tuple[WorkLine, ...]
    work_more: int


async def compose_digest(connection: Connection, reader: Viewer, range_name: NamedRange, now: datetime) -> Digest:
    """What a digest tells its reader now."""
    calendar = calendar_of(reader)
    days = named_range(range_name, calendar, calendar.today(now))
    previous = compared_with(days, Comparison.PREVIOUS_PERIOD, calendar)
    users = await see_users(connection, reader)
    audience = Audience(users, await see_groups(connection, reader))
    numbers = await user_numbers(connection, audience, days, previous)
    available = available_metrics(await connected_feeds(connection, reader.team_id))
    current = _added([pair.current for pair in numbers.values()])
    before = _added([pair.previous for pair in numbers.values() if pair.previous is not None])
    totals = tuple(
        Total(key, compute(key, current), compute(key, before) if previous is not None else None)
        for key in HEADLINES
        if key in available
    )
    lines = [line for line in await _goal_lines(connection, reader, now) if line.progress.status in _SLOW]
    lines.sort(key=_by_pace)
    behind: dict[UUID, tuple[UUID, str, Decimal]] = {}
    for line in lines:
        user_id = line.goal.user_id
        if user_id is not None and user_id != reader.user_id and line.progress.pace is not None:
            behind.setdefault(user_id, (user_id, line.name, line.progress.pace))
    span = timedelta(days=7) if days.count > 1 else timedelta(days=2)
    work, more = await _upcoming(connection, reader, now, now + span)
    # One's own goals first: who falls behind among the others has a list of their own.
    shown = sorted(lines, key=lambda line: (line.goal.user_id != reader.user_id, _by_pace(line)))
    return Digest(
        reader,
        days,
        len(numbers),
        totals,
        tuple(shown[:GOALS_SHOWN]),
        max(len(shown) - GOALS_SHOWN, 0),
        tuple(list(behind.values())[:PEOPLE_SHOWN]),
        work,
        more,
    )


async def compose_reminder(connection: Connection, reader: Viewer, now: datetime) -> Digest:
    """What a goal reminder tells: how the reader's own goals stand, and who of the others falls behind."""
    lines = await _goal_lines(connection, reader, now)
    own = sorted((line for line in lines if line.goal.user_id == reader.user_id), key=_by_pace)
    behind: dict[UUID, tuple[UUID, str, Decimal]] = {}
    for line in sorted(lines, key=_by_pace):
        user_id, pace = line.goal.user_id, line.progress.pace
        if user_id is not None and user_id != reader.user_id and line.progress.status in _SLOW and pace is not None:
            behind.setdefault(user_id, (user_id, line.name, pace))
    today = calendar_of(reader).today(now)
    return Digest(
        reader,
        Days(today, today),
        0,
        (),
        tuple(own[:GOALS_SHOWN]),
        max(len(own) - GOALS_SHOWN, 0),
        tuple(list(behind.values())[:PEOPLE_SHOWN]),
        (),
        0,
    )


def is_slow(digest: Digest) -> bool:
    """Whether a goal is at risk or behind, the reader's or somebody's in their sight."""
    return bool(digest.behind) or any(line.progress.status in _SLOW for line in digest.goals)


def _by_pace(line: GoalLine) -> tuple[Decimal, str, str]:
    pace = line.progress.pace
    return (Decimal(10**9) if pace is None else pace, line.name, line.goal.metric)


def _added(rows: Sequence[Sums]) -> Sums:
    return tuple(map(sum, zip(*rows, strict=True))) if rows else NO_SUMS


async def _goal_lines(connection: Connection, reader: Viewer, now: datetime) -> list[GoalLine]:
    """How the goals stand that the reader may read, of people whom they may see."""
    calendar = calendar_of(reader)
    today = calendar.today(now)
    sight, users = await see_goals(connection, reader), await see_users(connection, reader)
    arguments: list[object] = []
    condition = users.filter("id", arguments)
    rows = await connection.fetch(f"SELECT id, name FROM users WHERE {condition} AND active", *arguments)
    names = {row["id"]: row["name"] for row in rows}
    wanted = GoalFilter(user_ids=tuple(names))
    page = await list_goals(connection, sight, wanted, today, PageRequest(GOALS_READ, False, None))
    goals = [goal for goal in page.nodes if goal.user_id in names and goal.newest.effective_from <= today]
    progress = await progress_now(connection, reader.team_id, calendar, goals, now)
    return [GoalLine(goal, names[goal.user_id], one) for goal, one in zip(goals, progress, strict=True) if goal.user_id]


async def _upcoming(
    connection: Connection, reader: Viewer, first: datetime, last: datetime
) -> tuple[tuple[WorkLine, ...], int]:
    """The reader's own actions that come up. Served by scheduled_actions_user_idx."""
    rows = await connection.fetch(
        """
        SELECT due_at, kind, title, count(*) OVER () AS total FROM scheduled_actions
        WHERE team_id = $1 AND user_id = $2 AND state = 'SCHEDULED' AND paused_at IS NULL AND due_at >= $3
            AND due_at < $4 AND kind NOT IN ('digest', 'goal_reminder', 'report_snapshot', 'sync')
        ORDER BY due_at, id LIMIT $5
        """,
        reader.team_id,
        reader.user_id,
        first,
        last,
        WORK_SHOWN,
    )
    zone = ZoneInfo(reader.timezone)
    lines = tuple(WorkLine(row["due_at"].astimezone(zone), row["kind"], row["title"]) for row in rows)
    return lines, (rows[0]["total"] - len(rows)) if rows else 0


def shown(key: str, value: Number | None, currency: str) -> str:
    """A metric's value for people."""
    if value is None:
        return "-"
    unit = METRICS[key].unit
    if unit is MetricUnit.RATIO:
        return f"{Decimal(value) * 100:.1f} %"
    if unit is MetricUnit.MONEY:
        return f"{Decimal(value):,.0f} {currency}"
    if unit is MetricUnit.SECONDS:
        minutes = int(value) // 60
        return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min"
    number = Decimal(value)
    return f"{number:,.0f}" if number == number.to_integral_value() else f"{number:,.1f}"


def to_json(digest: Digest, title: str) -> dict[str, Any]:
    """A digest as a webhook tells it."""

    def text(value: Number | None) -> str | None:
        return None if value is None else str(value)

    return {
        "title": title,
        "reader": encode_id("User", digest.reader.user_id),
        "from": digest.days.first.isoformat(),
        "to": digest.days.last.isoformat(),
        "people": digest.people,
        "totals": [
            {"metric": one.metric, "value": text(one.value), "previous": text(one.previous)} for one in digest.totals
        ],
        "goalsAtRisk": [
            {
                "goal": None if line.goal.id is None else encode_id("Goal", line.goal.id),
                "user": encode_id("User", line.goal.subject_id),
                "name": line.name,
                "metric": line.goal.metric,
                "period": line.goal.period.value,
                "status": line.progress.status.value,
                "actual": text(line.progress.actual),
                "target": text(line.progress.target),
                "pace": text(line.progress.pace),
            }
            for line in digest.goals
        ],
        "fallingBehind": [
            {"user": encode_id("User", user_id), "name": name, "pace": str(pace)}
            for user_id, name, pace in digest.behind
        ],
        "upcoming": [
            {"dueAt": line.local_time.isoformat(), "kind": line.kind, "title": line.title} for line in digest.work
        ],
    }
