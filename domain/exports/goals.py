"""Goals with their progress, as files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from domain import goals
from domain.errors import Invalid
from domain.exports.columns import Chosen, Column, ColumnKind, within
from domain.exports.people import groups_of
from domain.exports.source import (
    Exportable,
    Look,
    NoArguments,
    Rows,
    Text,
    Texts,
    all_of,
    person_columns,
    users_of,
)
from domain.goal_events import GoalFilter, GoalView
from domain.goal_progress import progress_now
from domain.ids import decode_any_id, encode_derived_goal, encode_id
from domain.metrics import METRICS
from domain.models import GoalPeriod, User
from domain.pacing import Progress
from domain.paging import PageRequest

_K = ColumnKind
PAGE_ROWS = 1_000


@dataclass(frozen=True, slots=True)
class GoalRow:
    """A goal, with whose it is, who set it and how it stands."""

    goal: GoalView
    subject_name: str
    set_by: User | None
    progress: Progress | None


def _id(row: GoalRow) -> str:
    goal = row.goal
    if goal.id is not None:
        return encode_id("Goal", goal.id)
    kind = "Group" if goal.group_id is not None else "Team"
    return encode_derived_goal(kind, goal.subject_id, goal.metric, goal.period.value)


def _subject_type(row: GoalRow) -> str:
    return "User" if row.goal.user_id is not None else "Group" if row.goal.group_id is not None else "Team"


def _progress(name: str, kind: ColumnKind, read: Callable[[Progress], Any]) -> Column[GoalRow]:
    return Column(f"progress.{name}", kind, lambda row: within(row.progress, read))


COLUMNS: tuple[Column[GoalRow], ...] = (
    Column("id", _K.ID, _id),
    Column("subject.__typename", _K.STRING, _subject_type),
    Column("subject.id", _K.ID, lambda row: encode_id(_subject_type(row), row.goal.subject_id)),
    Column("subject.name", _K.STRING, lambda row: row.subject_name),
    Column("metric", _K.ENUM, lambda row: row.goal.metric),
    Column("period", _K.ENUM, lambda row: row.goal.period.name),
    Column("target", _K.DECIMAL, lambda row: row.goal.newest.target),
    Column("effectiveFrom", _K.DATE, lambda row: row.goal.newest.effective_from),
    Column("effectiveTo", _K.DATE, lambda row: row.goal.newest.effective_to),
    Column("version", _K.INT, lambda row: row.goal.newest.number),
    Column("derived", _K.BOOLEAN, lambda row: row.goal.derived),
    *person_columns("setBy", lambda row: row.set_by, email=False),
    _progress("periodStart", _K.DATE, lambda found: found.days.first),
    _progress("periodEnd", _K.DATE, lambda found: found.days.last),
    _progress("actual", _K.DECIMAL, lambda found: found.actual),
    _progress("target", _K.DECIMAL, lambda found: found.target),
    _progress("attainment", _K.DECIMAL, lambda found: found.attainment),
    _progress("expectedByNow", _K.DECIMAL, lambda found: found.expected_by_now),
    _progress("pace", _K.DECIMAL, lambda found: found.pace),
    _progress("forecast", _K.DECIMAL, lambda found: found.forecast),
    _progress("status", _K.ENUM, lambda found: found.status.name),
)


class GoalFilterArgument(NoArguments, frozen=True):
    """Which goals; all conditions must hold. userIds and groupIds together mean either."""

    user_ids: Texts | None = None
    group_ids: Texts | None = None
    metrics: Texts | None = None
    periods: Texts | None = None
    include_ended: bool = False

    def to_domain(self) -> GoalFilter:
        """As the domain has it. What is no id of the type finds nothing, as an id never issued."""
        return GoalFilter(
            _rows(self.user_ids, "User"),
            _rows(self.group_ids, "Group"),
            metric_keys(self.metrics, "filter", "metrics"),
            all_of(GoalPeriod, self.periods, "filter", "periods"),
            self.include_ended,
        )


class GoalsArguments(NoArguments, frozen=True):
    """Of `goals`."""

    filter: GoalFilterArgument = GoalFilterArgument()


def metric_key(name: Text, *path: str) -> str:
    """A metric that there is.

    Raises:
        Invalid: there is no such metric.
    """
    if name not in METRICS:
        raise Invalid(f"{'.'.join(path)}: there is no metric {name[:100]!r}.", path=path)
    return name


def metric_keys(names: Texts | None, *path: str) -> tuple[str, ...] | None:
    """The same for some; None stays None."""
    return None if names is None else tuple(dict.fromkeys(metric_key(name, *path) for name in names))


def _rows(given: Texts | None, type_name: str) -> tuple[UUID, ...] | None:
    if given is None:
        return None
    decoded = (decode_any_id(one) for one in given)
    return tuple(found[1] for found in decoded if found is not None and found[0] == type_name)


async def _read(look: Look, given: GoalsArguments, request: PageRequest, chosen: Chosen[Any]) -> Rows[GoalRow]:
    today = look.calendar.today(look.moment)
    page = await goals.list_goals(look.connection, look.standing.goals, given.filter.to_domain(), today, request)
    progress: list[Progress] | None = None
    if chosen.any("progress"):
        progress = await progress_now(look.connection, look.viewer.team_id, look.calendar, page.nodes, look.moment)
    names: dict[UUID, str] = {look.viewer.team_id: look.viewer.team_name}
    if chosen.any("subject"):
        # Whose goals may be seen is known by name, even without TEAM_VIEW.
        people = await users_of(look, (one.user_id for one in page.nodes), sight=look.standing.goals.users)
        names |= {user.id: user.name for user in people.values()}
        groups = await groups_of(look, {one.group_id for one in page.nodes})
        names |= {group.id: group.name for group in groups.values()}
    setters = {}
    if chosen.any("setBy"):
        setters = await users_of(look, (one.newest.set_by_id for one in page.nodes))
    rows = [
        GoalRow(
            goal,
            names.get(goal.subject_id, ""),
            setters.get(goal.newest.set_by_id),
            None if progress is None else progress[number],
        )
        for number, goal in enumerate(page.nodes)
    ]
    return Rows.of(page, rows)


async def _count(look: Look, given: GoalsArguments) -> int:
    today = look.calendar.today(look.moment)
    return await goals.count_goals(look.connection, look.standing.goals, given.filter.to_domain(), today)


EXPORTABLE = Exportable(
    "goals",
    "Query.goals",
    "The viewer's own goals, and those in scope with MANAGE_GOALS; of groups and the team, own or derived.",
    COLUMNS,
    GoalsArguments,
    _read,
    _count,
    page_rows=PAGE_ROWS,
)
EXPORTABLES = (EXPORTABLE,)
