"""What was asked of groups, of a team and of some people over a range, added up by PostgreSQL.

A dashboard shows some rows made of many people's goals, so the goals of a group's people come as one sum for each
metric, period and stretch of days on which they hold. People who take working days off have shares of their own and
come one by one. The rules are those of GoalBoard (domain/goal_board.py), which lays every goal out in memory; a test
holds the two to the same answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any
from uuid import UUID

from domain.goal_board import GoalFrame, SubjectGoals
from domain.metrics import METRICS
from domain.models.goals import GoalPeriod
from domain.pacing import Part, merged, period_order

if TYPE_CHECKING:
    from domain.database import Connection

_Parts = Mapping[str, tuple[Part, ...]]
_PERIODS = {kind.value: kind for kind in GoalPeriod}
_QUOTIENTS = [key for key, metric in METRICS.items() if metric.is_quotient]


@dataclass(frozen=True, slots=True)
class GoalTotals:
    """The goals of a team's groups and of the team over a range.

    Args:
        frame: The range, and how shares of periods are counted.
        own: The goals that groups and the team have of their own.
        members: What was asked of each group's own people together (None: of those without a group).
        below: Each group with all groups below it.
    """

    frame: GoalFrame
    own: Mapping[UUID, _Parts]
    members: Mapping[UUID | None, _Parts]
    below: Mapping[UUID, Sequence[UUID]]

    def of_group(self, group_id: UUID, metrics: Iterable[str]) -> SubjectGoals:
        """A group's goals: own, or derived from its members'."""
        return self._own_or_sum(group_id, self.below.get(group_id, ()), metrics)

    def of_team(self, team_id: UUID, metrics: Iterable[str]) -> SubjectGoals:
        """The team's goals: own, or derived from everybody's."""
        return self._own_or_sum(team_id, self.members, metrics)

    def of_people(self, metrics: Iterable[str]) -> SubjectGoals:
        """What was asked of all the people together that were counted."""
        return self.frame.goals({metric: self._summed(self.members, metric) for metric in metrics})

    def _own_or_sum(self, subject_id: UUID, groups: Iterable[UUID | None], metrics: Iterable[str]) -> SubjectGoals:
        own, groups = self.own.get(subject_id, {}), list(groups)
        return self.frame.goals({metric: own.get(metric) or self._summed(groups, metric) for metric in metrics})

    def _summed(self, groups: Iterable[UUID | None], metric: str) -> tuple[Part, ...]:
        return merged(part for group_id in groups for part in self.members.get(group_id, {}).get(metric, ()))


def _chosen_sql(frame: GoalFrame, team_id: UUID, metrics: Sequence[str], whose: str) -> tuple[str, list[object]]:
    """The versions that count over the range: of each subject's goals for a metric those of the period that goes first.

    Served by goals (team_id, …), goal_versions_goal_idx and users (team_id, …).

    Args:
        whose: A condition on the goal `g`; its own arguments come after these five.
    """
    order = [kind.value for kind in period_order(frame.days.count)]
    arguments: list[object] = [team_id, frame.days.first, frame.days.last, list(metrics), order]
    # A person's goal holds only within the time that the person is with the team; least and greatest pass NULLs over.
    ctes = f"""
    held AS MATERIALIZED (
        SELECT coalesce(g.user_id, g.group_id, g.team_id) AS subject_id, g.user_id, u.group_id, g.metric, g.period,
            v.target, greatest(v.effective_from, u.started_on) AS first, least(v.effective_to, u.ended_on) AS last,
            array_position($5::text[], g.period::text) AS place
        FROM goals g JOIN goal_versions v ON v.team_id = g.team_id AND v.goal_id = g.id
        LEFT JOIN users u ON u.team_id = g.team_id AND u.id = g.user_id
        WHERE g.team_id = $1 AND g.metric = ANY ($4::text[]) AND {whose}
            AND v.effective_from <= $3 AND (v.effective_to IS NULL OR v.effective_to >= $2)
            AND greatest(v.effective_from, u.started_on) <= least(v.effective_to, u.ended_on, $3)
            AND least(v.effective_to, u.ended_on, 'infinity') >= $2
    ),
    chosen AS (
        SELECT h.* FROM held h JOIN (SELECT subject_id, metric, min(place) AS place FROM held GROUP BY 1, 2) b
        USING (subject_id, metric, place)
    )"""
    return ctes, arguments


async def load_totals(
    connection: Connection,
    team_id: UUID,
    frame: GoalFrame,
    metrics: Sequence[str],
    *,
    user_ids: Sequence[UUID] | None = None,
) -> GoalTotals:
    """The goals of groups and of the team over a range, in two statements.

    Args:
        connection: Where to read.
        team_id: The team; what of it the viewer may see is the caller's to know.
        frame: The range, and how shares are counted.
        metrics: Only these.
        user_ids: Only these people's goals are added up; None for everybody's.
    """
    whose = "(g.user_id IS NULL OR g.user_id = ANY ($7::uuid[]))" if user_ids is not None else "true"
    ctes, arguments = _chosen_sql(frame, team_id, metrics, whose)
    arguments.append([user_id for user_id, off in frame.off.items() if off])
    if user_ids is not None:
        arguments.append(list(user_ids))
    rows = await connection.fetch(
        f"""
        WITH {ctes}
        SELECT c.subject_id AS key, c.metric, c.period, c.first, c.last, c.target, NULL::uuid AS user_id, true AS own
        FROM chosen c WHERE c.user_id IS NULL
        UNION ALL
        SELECT c.group_id, c.metric, c.period, c.first, c.last, sum(c.target),
            CASE WHEN c.user_id = ANY ($6::uuid[]) THEN c.user_id END AS away, false
        FROM chosen c WHERE c.user_id IS NOT NULL AND c.metric <> ALL ('{{{",".join(_QUOTIENTS)}}}'::text[])
        GROUP BY c.group_id, c.metric, c.period, c.first, c.last, away
        """,
        *arguments,
    )
    groups = await connection.fetch("SELECT id, parent_id FROM groups WHERE team_id = $1", team_id)
    return GoalTotals(
        frame,
        _by_key(frame, (row for row in rows if row["own"])),
        _by_key(frame, (row for row in rows if not row["own"])),
        _below(groups),
    )


async def load_goals_of(
    connection: Connection, team_id: UUID, frame: GoalFrame, metrics: Sequence[str], user_ids: Sequence[UUID]
) -> dict[UUID, SubjectGoals]:
    """The goals of some people over a range, in one statement; of who has none, nothing."""
    ctes, arguments = _chosen_sql(frame, team_id, metrics, "g.user_id = ANY ($6::uuid[])")
    rows = await connection.fetch(
        f"""
        WITH {ctes}
        SELECT c.user_id AS key, c.metric, c.period, c.first, c.last, c.target, c.user_id FROM chosen c
        """,
        *arguments,
        list(user_ids),
    )
    return {user_id: frame.goals(parts) for user_id, parts in _by_key(frame, rows).items()}


def _by_key(frame: GoalFrame, rows: Iterable[Any]) -> dict[Any, dict[str, tuple[Part, ...]]]:
    found: dict[Any, dict[str, tuple[Part, ...]]] = {}
    # Most people are asked for what others are asked for as well.
    exact: dict[Decimal, Fraction] = {}
    for row in rows:
        key, metric, period, first, last, target, user_id = tuple(row)[:7]
        if target not in exact:
            exact[target] = Fraction(target)
        part = Part(_PERIODS[period], first, last, exact[target], frame.off.get(user_id, ()))
        parts = found.setdefault(key, {})
        parts[metric] = (*parts[metric], part) if metric in parts else (part,)
    return found


def _below(groups: Iterable[Any]) -> dict[UUID, list[UUID]]:
    """Each group with all groups below it."""
    parents = {row["id"]: row["parent_id"] for row in groups}
    found: dict[UUID, list[UUID]] = {group_id: [] for group_id in parents}
    for group_id in parents:
        above = group_id
        while above in parents:
            found[above].append(group_id)
            above = parents[above]
    return found
