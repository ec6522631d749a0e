"""The ranked lists of reps, as files: a rep a row, a column for each metric."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction
from typing import Any

from domain import access, dashboards
from domain.dashboards import Audience, RankingRequest, SumsPair
from domain.exports.columns import Chosen, Column, ColumnKind
from domain.exports.goals import metric_key, metric_keys
from domain.exports.source import (
    WHOLE_LIST_ROWS,
    Exportable,
    Look,
    NoArguments,
    RangeArgument,
    Rows,
    Text,
    Texts,
    one_of,
    person_columns,
    row_id,
    users_of,
)
from domain.goal_board import SubjectGoals, load_board
from domain.metrics import METRICS, RATIO_STEP, Number, available_metrics, compute
from domain.models import Permission, User
from domain.pacing import rounded
from domain.paging import PageRequest
from domain.people import connected_feeds
from domain.periods import Comparison, Days, compared_with

_K = ColumnKind
DEFAULT_SORT = "CLOSED_WON_AMOUNT"
_PARTS = ("value", "previous", "change", "changeRatio", "goal", "attainment")


@dataclass(frozen=True, slots=True)
class RepRow:
    """A rep's place and numbers.

    Args:
        rank: The place; equal numbers share one.
        user: The rep.
        sums: The base sums.
        available: The metrics whose feed is connected.
        goals: What was asked of the rep, where the viewer may see it; None where it was not asked for.
    """

    rank: int
    user: User
    sums: SumsPair
    available: frozenset[str]
    goals: SubjectGoals | None

    def value(self, key: str) -> Number | None:
        """A metric over the range."""
        return compute(key, self.sums.current) if key in self.available else None

    def previous(self, key: str) -> Number | None:
        """A metric over the range of the comparison."""
        if self.sums.previous is None or key not in self.available:
            return None
        return compute(key, self.sums.previous)

    def part(self, key: str, part: str) -> Number | None:
        """A metric's value, or what is told beside it."""
        value, previous = self.value(key), self.previous(key)
        match part:
            case "value":
                return value
            case "previous":
                return previous
            case "change":
                return None if value is None or previous is None else value - previous
            case "changeRatio":
                if value is None or not previous:
                    return None
                return (Decimal(value - previous) / Decimal(previous)).quantize(RATIO_STEP, ROUND_HALF_EVEN)
        target = None if self.goals is None else self.goals.target(key)
        if part == "goal":
            return None if target is None else rounded(target)
        return None if value is None or not target else rounded(Fraction(value) / target)


def _metric_column(key: str, part: str) -> Column[RepRow]:
    def read(row: RepRow) -> Decimal | None:
        found = row.part(key, part)
        return None if found is None else Decimal(found)

    return Column(f"metrics.{key}.{part}", _K.DECIMAL, read, chosen_only=part != "value")


COLUMNS: tuple[Column[RepRow], ...] = (
    Column("rank", _K.INT, lambda row: row.rank),
    *person_columns("user", lambda row: row.user),
    *(_metric_column(key, part) for key in METRICS for part in _PARTS),
)


class IndividualsArguments(NoArguments, frozen=True, kw_only=True):
    """Of `individuals`."""

    range: RangeArgument
    search: Text | None = None
    group_id: Text | None = None
    sort_by: Text | None = None
    descending: bool = True


class RepsArguments(NoArguments, frozen=True, kw_only=True):
    """Of `teamDashboard` and its `reps`."""

    range: RangeArgument
    compare: Text = Comparison.PREVIOUS_PERIOD.value
    group_id: Text | None = None
    metrics: Texts | None = None
    sort_by: Text | None = None
    descending: bool = True


@dataclass(frozen=True, slots=True)
class _Question:
    days: Days
    previous: Days | None
    keys: tuple[str, ...]
    audience: Audience
    search: str | None
    sort_by: str | None
    descending: bool


def _individuals(look: Look, given: IndividualsArguments) -> _Question:
    access.require(look.viewer, Permission.TEAM_VIEW)
    return _question(look, given, Comparison.NONE, None, given.search)


def _reps(look: Look, given: RepsArguments) -> _Question:
    comparison = one_of(Comparison, given.compare, "compare")
    return _question(look, given, comparison, metric_keys(given.metrics, "metrics"), None)


def _question(
    look: Look,
    given: IndividualsArguments | RepsArguments,
    comparison: Comparison,
    keys: tuple[str, ...] | None,
    search: str | None,
) -> _Question:
    days = given.range.days(look)
    chosen = row_id(given.group_id, "Group", "groupId")
    if chosen is not None:
        access.require_group(look.viewer, look.standing.groups, chosen)
    return _Question(
        days,
        compared_with(days, comparison, look.calendar),
        tuple(METRICS) if keys is None else keys,
        Audience(look.standing.users, look.standing.groups, chosen),
        search,
        None if given.sort_by is None else metric_key(given.sort_by, "sortBy"),
        given.descending,
    )


def _default_sort(keys: tuple[str, ...], available: frozenset[str]) -> str:
    """As the dashboard has it."""
    if len(keys) < len(METRICS) and keys:
        return keys[0]
    if DEFAULT_SORT in available:
        return DEFAULT_SORT
    return next((key for key in keys if key in available), DEFAULT_SORT)


async def _read(look: Look, asked: _Question, page: PageRequest, chosen: Chosen[Any]) -> Rows[RepRow]:
    team_id = look.viewer.team_id
    available = available_metrics(await connected_feeds(look.connection, team_id))
    sort_by = asked.sort_by or _default_sort(asked.keys, available)
    request = RankingRequest(page, sort_by, descending=asked.descending, search=asked.search)
    found = await dashboards.rankings(look.connection, asked.audience, asked.days, asked.previous, request)
    users = await users_of(look, (one.user_id for one in found.page.nodes))
    board = None
    wanted = [name for name in chosen.names if name.endswith((".goal", ".attainment"))]
    keys = tuple(dict.fromkeys(name.split(".")[1] for name in wanted))
    goal_users = look.standing.goals.users
    if keys:
        board = await load_board(
            look.connection,
            team_id,
            look.calendar,
            look.moment,
            asked.days,
            metrics=keys,
            user_ids=None if goal_users.everything else sorted(goal_users.ids),
        )
    rows = [
        RepRow(
            one.rank,
            users[one.user_id],
            one.sums,
            available,
            board.of_user(one.user_id, keys, asked.days)
            if board is not None and goal_users.sees(team_id, one.user_id)
            else None,
        )
        for one in found.page.nodes
        # Somebody may have moved out of sight between the two statements.
        if one.user_id in users
    ]
    return Rows.of(found.page, rows)


async def _count(look: Look, asked: _Question) -> int:
    nobody = RankingRequest(PageRequest(0, False, None), DEFAULT_SORT, search=asked.search)
    found = await dashboards.rankings(look.connection, asked.audience, asked.days, None, nobody)
    return found.total_count


async def _read_individuals(
    look: Look, given: IndividualsArguments, request: PageRequest, chosen: Chosen[Any]
) -> Rows[RepRow]:
    return await _read(look, _individuals(look, given), request, chosen)


async def _count_individuals(look: Look, given: IndividualsArguments) -> int:
    return await _count(look, _individuals(look, given))


async def _read_reps(look: Look, given: RepsArguments, request: PageRequest, chosen: Chosen[Any]) -> Rows[RepRow]:
    return await _read(look, _reps(look, given), request, chosen)


async def _count_reps(look: Look, given: RepsArguments) -> int:
    return await _count(look, _reps(look, given))


def _of_metrics(given: RepsArguments) -> Callable[[str], bool]:
    keys = set(metric_keys(given.metrics, "metrics") or METRICS)
    return lambda name: not name.startswith("metrics.") or name.split(".")[1] in keys


INDIVIDUALS = Exportable(
    "individuals",
    "Query.individuals",
    "The list of reps in sight, ranked by a metric, with a column for each metric. Needs TEAM_VIEW.",
    COLUMNS,
    IndividualsArguments,
    _read_individuals,
    _count_individuals,
    page_rows=WHOLE_LIST_ROWS,
    whole=True,
)
REPS = Exportable(
    "teamDashboard.reps",
    "TeamDashboard.reps",
    "The reps of the tab Team, ranked by a metric, with a column for each metric and for what it is compared with.",
    COLUMNS,
    RepsArguments,
    _read_reps,
    _count_reps,
    page_rows=WHOLE_LIST_ROWS,
    whole=True,
    usual=_of_metrics,
)
EXPORTABLES = (INDIVIDUALS, REPS)
