"""All goals that count over some days, laid out so that any subject's share of any range can be read off.

A rep who changed groups counts, with all numbers and all goals, in the group where they are now: a group's row sums
what its present members did over the whole range, and its derived goal sums what was asked of those same people. A goal
that a group has of its own stays the group's. What was asked of people in a group below counts in the groups above as
well, as their numbers do.

There is no derived goal for a quotient: targets of rates do not add up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any
from uuid import UUID

from domain.metrics import METRICS, Number
from domain.models.goals import GoalPeriod
from domain.pacing import Part, Progress, Proration, Thresholds, choose_period, merged
from domain.periods import Calendar, Days, overlap
from domain.workdays import read_days_off, read_work_calendar

if TYPE_CHECKING:
    from domain.database import Connection

_Kinds = dict[GoalPeriod, tuple[Part, ...]]


@dataclass(frozen=True, slots=True)
class SubjectGoals:
    """What was asked of one subject over a range: for each metric the parts that count.

    Args:
        proration: How shares are counted.
        thresholds: The team's.
        days: The range.
        parts: By metric.
    """

    proration: Proration
    thresholds: Thresholds
    days: Days
    parts: Mapping[str, tuple[Part, ...]]

    def target(self, metric: str, days: Days | None = None) -> Fraction | None:
        """The goal over the range, or over a step of it."""
        parts = self.parts.get(metric)
        if not parts:
            return None
        return self.proration.target(parts, days or self.days, quotient=METRICS[metric].is_quotient)

    def progress(self, metric: str, actual: Number | None) -> Progress | None:
        """How the goal stands over the range, with what was done in it."""
        parts = self.parts.get(metric)
        if not parts:
            return None
        return self.proration.progress(parts, self.days, actual, self.thresholds, quotient=METRICS[metric].is_quotient)

    def slowness(self, metric: str, actual: Number | None) -> Decimal | None:
        """The pace of the goal, if it is at risk or behind."""
        parts = self.parts.get(metric)
        if not parts:
            return None
        return self.proration.slowness(parts, self.days, actual, self.thresholds, quotient=METRICS[metric].is_quotient)


@dataclass(frozen=True, slots=True)
class GoalFrame:
    """What it takes to tell shares of goals over a range.

    Args:
        days: The range.
        proration: How shares are counted.
        thresholds: The team's.
        off: The working days that people take off; who takes none is left out.
    """

    days: Days
    proration: Proration
    thresholds: Thresholds
    off: Mapping[UUID, tuple[date, ...]]

    def goals(self, parts: Mapping[str, tuple[Part, ...]]) -> SubjectGoals:
        """What was asked of a subject, by metric."""
        return SubjectGoals(self.proration, self.thresholds, self.days, parts)


async def load_frame(connection: Connection, team_id: UUID, calendar: Calendar, now: datetime, days: Days) -> GoalFrame:
    """How a team counts shares of a range.

    Args:
        connection: Where to read.
        team_id: The team.
        calendar: How the team counts periods.
        now: The clock.
        days: The range.
    """
    span = span_of(calendar, days)
    work = await read_work_calendar(connection, team_id, span)
    taken = await read_days_off(connection, team_id, span)
    thresholds = await connection.fetchrow("SELECT on_track_pace, at_risk_pace FROM teams WHERE id = $1", team_id)
    assert thresholds is not None, "the team is the viewer's"
    off = {user_id: found for user_id, ranges in taken.items() if (found := work.worked_days(ranges))}
    return GoalFrame(
        days,
        Proration(calendar, work, work.rules.moment(now)),
        Thresholds(Fraction(thresholds["on_track_pace"]), Fraction(thresholds["at_risk_pace"])),
        off,
    )


@dataclass(frozen=True, slots=True)
class GoalBoard:
    """The goals of a team, or of some of its people.

    Args:
        proration: How shares are counted.
        thresholds: The team's.
        own: Every subject's own goals, by (user, group or team) and metric.
        members: The people of each group and of all groups below it.
        people: Everybody who may have goals.
        off: The working days that people take off.
    """

    proration: Proration
    thresholds: Thresholds
    own: Mapping[tuple[UUID, str], _Kinds]
    members: Mapping[UUID, Sequence[UUID]]
    people: frozenset[UUID]
    off: Mapping[UUID, tuple[date, ...]] = field(default_factory=dict)

    def chosen(self, subject_id: UUID, metric: str, days: Days) -> tuple[Part, ...]:
        """The parts of a subject's own goal that counts over a range; see pacing.choose_period."""
        kinds = self.own.get((subject_id, metric))
        if not kinds:
            return ()
        held = [
            kind
            for kind, parts in kinds.items()
            if any(overlap(days, part.first, part.last) is not None for part in parts)
        ]
        return kinds[choose_period(held, days)] if held else ()

    def of_user(self, user_id: UUID, metrics: Iterable[str], days: Days) -> SubjectGoals:
        """A rep's goals over a range."""
        return self._goals({metric: self.chosen(user_id, metric, days) for metric in metrics}, days)

    def of_group(self, group_id: UUID, metrics: Iterable[str], days: Days) -> SubjectGoals:
        """A group's goals over a range: own, or derived from its members'."""
        return self._own_or_sum(group_id, self.members.get(group_id, ()), metrics, days)

    def of_team(self, team_id: UUID, metrics: Iterable[str], days: Days) -> SubjectGoals:
        """The team's goals over a range: own, or derived from everybody's."""
        return self._own_or_sum(team_id, sorted(self.people), metrics, days)

    def of_people(self, user_ids: Iterable[UUID], metrics: Iterable[str], days: Days) -> SubjectGoals:
        """What was asked of some people together."""
        ids = list(user_ids)
        return self._goals({metric: self.summed(ids, metric, days) for metric in metrics}, days)

    def _own_or_sum(
        self, subject_id: UUID, user_ids: Sequence[UUID], metrics: Iterable[str], days: Days
    ) -> SubjectGoals:
        return self._goals(
            {
                metric: self.chosen(subject_id, metric, days) or self.summed(user_ids, metric, days)
                for metric in metrics
            },
            days,
        )

    def summed(
        self, user_ids: Iterable[UUID], metric: str, days: Days, kind: GoalPeriod | None = None
    ) -> tuple[Part, ...]:
        """The goals of some people added up; of a kind, or those that count over the range."""
        if METRICS[metric].is_quotient:
            return ()
        found: list[Part] = []
        for user_id in user_ids:
            if kind is None:
                found += self.chosen(user_id, metric, days)
            else:
                found += self.own.get((user_id, metric), {}).get(kind, ())
        return merged(found)

    def _goals(self, parts: dict[str, tuple[Part, ...]], days: Days) -> SubjectGoals:
        return SubjectGoals(self.proration, self.thresholds, days, parts)


def span_of(calendar: Calendar, days: Days) -> Days:
    """Days that hold every whole period that a range touches."""
    first = calendar.period(GoalPeriod.YEAR, days.first).first
    last = calendar.period(GoalPeriod.YEAR, days.last).last
    return Days(first - timedelta(days=7), last + timedelta(days=7))


async def load_board(
    connection: Connection,
    team_id: UUID,
    calendar: Calendar,
    now: datetime,
    days: Days,
    *,
    metrics: Sequence[str] | None = None,
    user_ids: Sequence[UUID] | None = None,
) -> GoalBoard:
    """The goals of a team that count over some days, in a fixed number of statements.

    Args:
        connection: Where to read.
        team_id: The team; what of it the viewer may see is the caller's to know.
        calendar: How the team counts periods.
        now: The clock.
        days: The days.
        metrics: Only these.
        user_ids: Of users, only these ones' goals; groups' and the team's are always there.
    """
    frame = await load_frame(connection, team_id, calendar, now, days)
    # Served by users (team_id, …), goals_subject_key and goal_versions_goal_idx.
    people = await connection.fetch(
        "SELECT id, group_id, started_on, ended_on FROM users WHERE team_id = $1 "
        "AND ($2::uuid[] IS NULL OR id = ANY ($2))",
        team_id,
        None if user_ids is None else list(user_ids),
    )
    groups = await connection.fetch("SELECT id, parent_id FROM groups WHERE team_id = $1", team_id)
    rows = await connection.fetch(
        """
        SELECT g.user_id, g.group_id, g.metric, g.period, v.target, v.effective_from, v.effective_to
        FROM goals g JOIN goal_versions v ON v.team_id = g.team_id AND v.goal_id = g.id
        WHERE g.team_id = $1 AND v.effective_from <= $3 AND (v.effective_to IS NULL OR v.effective_to >= $2)
            AND v.effective_to IS DISTINCT FROM v.effective_from - 1
            AND ($4::text[] IS NULL OR g.metric = ANY ($4))
            AND ($5::uuid[] IS NULL OR g.user_id IS NULL OR g.user_id = ANY ($5))
        ORDER BY g.id, v.effective_from
        """,
        team_id,
        days.first,
        days.last,
        None if metrics is None else list(metrics),
        None if user_ids is None else list(user_ids),
    )
    persons = {row["id"]: row for row in people}
    off = {user_id: taken for user_id, taken in frame.off.items() if user_id in persons}
    own: dict[tuple[UUID, str], dict[GoalPeriod, list[Part]]] = {}
    for row in rows:
        part = _part(row, persons, off)
        if part is not None:
            subject_id = row["user_id"] or row["group_id"] or team_id
            own.setdefault((subject_id, row["metric"]), {}).setdefault(part.kind, []).append(part)
    return GoalBoard(
        frame.proration,
        frame.thresholds,
        {key: {kind: tuple(parts) for kind, parts in kinds.items()} for key, kinds in own.items()},
        _closure(groups, people),
        frozenset(persons),
        off,
    )


def _part(row: Any, persons: Mapping[UUID, Any], off: Mapping[UUID, tuple[date, ...]]) -> Part | None:
    """A version as a part; a person's only within the time that they are with the team."""
    first, last, user_id = row["effective_from"], row["effective_to"], row["user_id"]
    if user_id is not None:
        person = persons[user_id]
        if person["started_on"] is not None:
            first = max(first, person["started_on"])
        if person["ended_on"] is not None:
            last = person["ended_on"] if last is None else min(last, person["ended_on"])
        if last is not None and last < first:
            return None
    return Part(GoalPeriod(row["period"]), first, last, Fraction(row["target"]), off.get(user_id, ()))


def _closure(groups: Iterable[Any], people: Iterable[Any]) -> dict[UUID, list[UUID]]:
    """The people of each group and of all groups below it."""
    parents = {row["id"]: row["parent_id"] for row in groups}
    found: dict[UUID, list[UUID]] = {group_id: [] for group_id in parents}
    for person in people:
        group_id = person["group_id"]
        while group_id in parents:
            found[group_id].append(person["id"])
            group_id = parents[group_id]
    return found
