"""What a dashboard was asked for, and the few statements that answer it, each made once however many fields ask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from functools import partial
from typing import Any, Protocol
from uuid import UUID

import strawberry
from strawberry.types.nodes import SelectedField

from api.context import Context
from api.schema.metrics import MetricRow, TrendSource
from domain import access, dashboards, people
from domain.access import Sight
from domain.dashboards import Audience, RankingRequest, Rankings, SumsPair, TeamNumbers, TrendStep
from domain.errors import Invalid, NotFound
from domain.goal_board import GoalBoard, SubjectGoals, load_board
from domain.ids import decode_id
from domain.metrics import METRICS, NO_SUMS, available_metrics, compute
from domain.pacing import GoalStatus
from domain.paging import page_request
from domain.peers import NO_PEERS, PeerStatistics, peer_statistics
from domain.periods import Comparison, Days, NamedRange, TrendInterval, compared_with, explicit_range, named_range

DEFAULT_SORT = "CLOSED_WON_AMOUNT"


class RangeArgument(Protocol):
    """A RangeInput."""

    @property
    def named(self) -> NamedRange | None: ...
    @property
    def first(self) -> date | None: ...
    @property
    def last(self) -> date | None: ...


def days_of(context: Context, given: RangeArgument) -> Days:
    """The days of a range.

    Raises:
        Invalid: it is neither a name nor two dates, or the dates do not fit.
    """
    dates = given.first is not None or given.last is not None
    if given.named is not None and not dates:
        return named_range(given.named, context.calendar, context.calendar.today(context.now))
    if given.named is None and given.first is not None and given.last is not None:
        return explicit_range(given.first, given.last)
    raise Invalid("range: give either named, or both from and to.", path=("range",))


def _keys(metrics: Sequence[Any] | None) -> tuple[str, ...]:
    return tuple(METRICS) if metrics is None else tuple(dict.fromkeys(metric.value for metric in metrics))


class _Trends:
    """Trends of one dashboard: one statement a section and interval."""

    def __init__(self, context: Context, name: str, audience: Audience, days: Days) -> None:
        self._context = context
        self._name = name
        self._audience = audience
        self._days = days

    def source(self, by: str, key: UUID | None) -> TrendSource:
        """The trend of one subject."""

        async def steps(interval: TrendInterval) -> Sequence[TrendStep]:
            found = await self._context.once(f"{self._name}:trend:{by}:{interval}", lambda: self._load(by, interval))
            return found.get(key) or dashboards.empty_trend(self._days, interval, self._context.calendar)

        return steps

    async def _load(self, by: str, interval: TrendInterval) -> Mapping[UUID | None, tuple[TrendStep, ...]]:
        async with self._context.acquire() as connection:
            return await dashboards.trends(
                connection, self._audience, self._days, interval, self._context.calendar, by=by
            )


@dataclass
class TeamQuestion:
    """A team dashboard, or a list of reps.

    Args:
        context: The request's.
        name: Tells this dashboard from others of the same request.
        days: The range.
        previous: The range of the comparison.
        keys: The metrics.
        available: Those whose feed is connected.
        audience: Whose numbers.
        foreseen: The page of reps that the document asks for, so that one statement brings everything.
        search: A part of a name or email.
    """

    context: Context
    name: str
    days: Days
    previous: Days | None
    keys: tuple[str, ...]
    available: frozenset[str]
    audience: Audience
    foreseen: RankingRequest
    search: str | None = None

    def __post_init__(self) -> None:
        self._trends = _Trends(self.context, self.name, self.audience, self.days)

    def row(self, sums: SumsPair, by: str, key: UUID | None) -> MetricRow:
        """A subject's metrics."""
        return MetricRow(self.keys, sums, self.available, self._trends.source(by, key), partial(self._goals, by, key))

    async def _board(self) -> GoalBoard:
        """The goals that count over the range, of those whose goals the viewer may see."""

        async def load() -> GoalBoard:
            users = (await self.context.goal_sight()).users
            async with self.context.acquire() as connection:
                return await load_board(
                    connection,
                    self.context.viewer.team_id,
                    self.context.calendar,
                    self.context.now,
                    self.days,
                    metrics=self.keys,
                    user_ids=None if users.everything else sorted(users.ids),
                )

        return await self.context.once(f"{self.name}:board", load)

    async def _goals(self, by: str, key: UUID | None) -> SubjectGoals:
        """What was asked of a subject, as far as the viewer may see it: all of it or nothing."""
        return await self.context.once(f"{self.name}:goals:{by}:{key}", lambda: self._find_goals(by, key))

    async def _find_goals(self, by: str, key: UUID | None) -> SubjectGoals:
        board, sight, team_id = await self._board(), await self.context.goal_sight(), self.context.viewer.team_id
        if by == "user" and key is not None and sight.sees(team_id, key, None):
            return board.of_user(key, self.keys, self.days)
        group_id = key if by == "group" else self.audience.group_id
        if by != "user" and group_id is not None:
            return board.of_group(group_id, self.keys if sight.sees(team_id, None, group_id) else (), self.days)
        users = self.audience.users
        if by == "total" and sight.team:
            return board.of_team(team_id, self.keys, self.days)
        if by == "total" and not users.everything and all(sight.sees(team_id, one, None) for one in users.ids):
            return board.of_people(users.ids, self.keys, self.days)
        return board.of_people((), (), self.days)

    async def falling_behind(self, first: int) -> list[tuple[int, UUID, MetricRow]]:
        """Reps who are at risk or behind over the range, the slowest first: by the slowest of their goals that are at
        risk or behind, and where these are equal by the next.

        Raises:
            Invalid: `first` does not fit.
        """
        limit = page_request(first, None).limit
        board, sight = await self._board(), await self.context.goal_sight()
        async with self.context.acquire() as connection:
            numbers = await dashboards.user_numbers(connection, self.audience, self.days, self.previous)
            people = await dashboards.listed_people(connection, self.audience)
        nothing = SumsPair(NO_SUMS, None if self.previous is None else NO_SUMS)
        slow: list[tuple[list[Decimal], UUID]] = []
        for user_id in people:
            if not sight.users.sees(sight.users.team_id, user_id):
                continue
            goals = board.of_user(user_id, self.keys, self.days)
            sums = numbers.get(user_id, nothing).current
            paces = [
                found.pace
                for key, parts in goals.parts.items()
                if parts and key in self.available
                if (found := goals.progress(key, compute(key, sums))) is not None
                and found.pace is not None
                and found.status in (GoalStatus.AT_RISK, GoalStatus.BEHIND)
            ]
            if paces:
                slow.append((sorted(paces), user_id))
        slow.sort()
        ranked = []
        for paces, user_id in slow[:limit]:
            rank = 1 + sum(1 for others, _other in slow if others < paces)
            ranked.append((rank, user_id, self.rep_row(user_id, numbers.get(user_id, nothing))))
        return ranked

    def rep_row(self, user_id: UUID, sums: SumsPair) -> MetricRow:
        """A rep's metrics."""
        return self.row(sums, "user", user_id)

    def request(self, first: int | None, after: str | None, sort_by: str | None, descending: bool) -> RankingRequest:
        """Which page of reps."""
        return RankingRequest(
            page_request(first, after), sort_by or self._default_sort(), descending=descending, search=self.search
        )

    def _default_sort(self) -> str:
        if len(self.keys) < len(METRICS) and self.keys:
            return self.keys[0]
        if DEFAULT_SORT in self.available:
            return DEFAULT_SORT
        return next((key for key in self.keys if key in self.available), DEFAULT_SORT)

    async def _numbers(self) -> TeamNumbers:
        async def load() -> TeamNumbers:
            async with self.context.acquire() as connection:
                return await dashboards.team_numbers(connection, self.audience, self.days, self.previous, self.foreseen)

        return await self.context.once(f"{self.name}:numbers", load)

    async def total_row(self) -> MetricRow:
        """The totals."""
        return self.row((await self._numbers()).total, "total", None)

    async def group_rows(self) -> list[tuple[UUID, MetricRow]]:
        """The groups' rows."""
        found = await self._numbers()
        return [(group_id, self.row(sums, "group", group_id)) for group_id, sums in found.groups]

    async def reps(self, first: int | None, after: str | None, sort_by: str | None, descending: bool) -> Rankings:
        """A page of reps; out of the dashboard's one statement when the document showed it coming."""
        request = self.request(first, after, sort_by, descending)
        if request == self.foreseen:
            return (await self._numbers()).reps
        return await self.list_reps(request)

    async def list_reps(self, request: RankingRequest) -> Rankings:
        """A page of reps by a statement of its own."""
        async with self.context.acquire() as connection:
            return await dashboards.rankings(connection, self.audience, self.days, self.previous, request)


async def ask_team(
    info: strawberry.Info[Context],
    given: RangeArgument,
    comparison: Comparison | None,
    group_id: str | None,
    metrics: Sequence[Any] | None,
    *,
    search: str | None = None,
    user_id: UUID | None = None,
) -> TeamQuestion:
    """What a team dashboard or a list of reps was asked for.

    Raises:
        Invalid: the range or a page does not fit.
        Forbidden: the viewer may not filter by group.
        NotFound: the group is not in sight.
    """
    context = info.context
    days = days_of(context, given)
    users, groups = await context.users_in_sight(), await context.groups_in_sight()
    chosen = None if group_id is None else decode_id(group_id, "Group", path=("groupId",))
    if chosen is not None:
        access.require_group(context.viewer, groups, chosen)
    question = TeamQuestion(
        context=context,
        name="/".join(str(part) for part in info.path.as_list()),
        days=days,
        previous=compared_with(days, comparison or Comparison.NONE, context.calendar),
        keys=_keys(metrics),
        available=available_metrics(await context.feeds()),
        audience=Audience(users, groups, chosen, user_id),
        foreseen=RankingRequest(page_request(0, None), DEFAULT_SORT),
        search=search,
    )
    return replace(question, foreseen=_foreseen(info, question))


def _foreseen(info: strawberry.Info[Context], question: TeamQuestion) -> RankingRequest:
    """The first page of reps that the document asks for below this field; an empty one if it asks for none."""
    for selection in _below(info.selected_fields[0].selections):
        if selection.name == "reps":
            given = selection.arguments
            first = given.get("first")
            # Numbers of the document's own come as text, those of variables as numbers.
            return question.request(
                None if first is None else int(first),
                given.get("after"),
                given.get("sortBy"),
                given.get("descending", True) is not False,
            )
    return question.request(0, None, None, True)


def _below(selections: Sequence[Any]) -> list[SelectedField]:
    found: list[SelectedField] = []
    for selection in selections:
        if isinstance(selection, SelectedField):
            found.append(selection)
        else:
            found += _below(selection.selections)
    return found


@dataclass
class IndividualQuestion:
    """An individual dashboard: the rep's numbers, and the peers' where the viewer may see them."""

    team: TeamQuestion
    user_id: UUID
    peers: Sight | None
    fewest_peers: int

    async def rows(self) -> list[tuple[MetricRow, PeerStatistics]]:
        """Each metric with the peers' statistics."""
        team = self.team
        peer_ids = self.peers.ids if self.peers is not None else frozenset()
        shown = Sight(team.audience.users.team_id, False, peer_ids | {self.user_id})
        async with team.context.acquire() as connection:
            found = await dashboards.user_numbers(
                connection, Audience(shown, team.audience.groups), team.days, team.previous
            )
        nothing = SumsPair(NO_SUMS, None if team.previous is None else NO_SUMS)
        mine = found.get(self.user_id, nothing)
        peers = [found.get(peer, nothing).current for peer in peer_ids]
        answer = []
        for key in team.keys:
            row = replace(team.row(mine, "user", self.user_id), keys=(key,))
            statistics = NO_PEERS
            if key in team.available:
                statistics = peer_statistics(key, row.value(key), peers, fewest=self.fewest_peers)
            answer.append((row, statistics))
        return answer


async def ask_individual(
    info: strawberry.Info[Context],
    given: RangeArgument,
    comparison: Comparison | None,
    user_id: str | None,
    metrics: Sequence[Any] | None,
) -> IndividualQuestion:
    """What an individual dashboard was asked for; one's own without a user.

    Raises:
        Invalid: the range does not fit.
        NotFound: the user is not in sight.
    """
    context = info.context
    viewer = context.viewer
    chosen = viewer.user_id if user_id is None else decode_id(user_id, "User", path=("userId",))
    users = await context.users_in_sight()
    if await context.users.load(chosen) is None:
        raise NotFound("No such user.", path=("userId",))
    team = await ask_team(info, given, comparison, None, metrics, user_id=chosen)
    async with context.acquire() as connection:
        peers = await people.peers_of(connection, viewer.team_id, chosen)
    shown = access.see_peers(viewer, users, chosen, peers)
    return IndividualQuestion(team, chosen, shown, access.fewest_peers(viewer, users, peers))
