"""What a dashboard was asked for, and the few statements that answer it, each made once however many fields ask."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from functools import partial
from types import MappingProxyType
from typing import Any, Protocol
from uuid import UUID

import strawberry
from strawberry.types.nodes import SelectedField

from api.context import Context
from api.loading import Loader
from api.schema.metrics import MetricRow, TrendSource
from api.selections import asks_for, fields_below, fields_named
from domain import access, dashboards, people
from domain.access import Sight
from domain.dashboards import Audience, RankingRequest, Rankings, SumsPair, TeamNumbers, TrendStep
from domain.errors import Invalid, NotFound
from domain.goal_board import GoalFrame, SubjectGoals, load_frame
from domain.goal_totals import GoalTotals, load_goals_of, load_totals
from domain.ids import decode_id
from domain.metrics import METRICS, NO_SUMS, available_metrics, compute
from domain.paging import page_request
from domain.peers import NO_PEERS, PeerStatistics, peer_statistics
from domain.periods import Comparison, Days, NamedRange, TrendInterval, compared_with, explicit_range, named_range

DEFAULT_SORT = "CLOSED_WON_AMOUNT"
_OF_GOALS = frozenset({"goal", "attainment", "progress"})
"""Fields that only goals answer."""
_OF_ALL = frozenset({"metrics", "groups"})
"""Fields of the team's dashboard that all reps together answer."""


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
    """Trends of one dashboard: one statement a section and interval, of reps for those who are asked for together."""

    def __init__(self, context: Context, name: str, audience: Audience, days: Days) -> None:
        self._context = context
        self._name = name
        self._audience = audience
        self._days = days
        self._reps: dict[TrendInterval, Loader[UUID, Sequence[TrendStep]]] = {}

    def source(self, by: str, key: UUID | None) -> TrendSource:
        """The trend of one subject."""

        async def steps(interval: TrendInterval) -> Sequence[TrendStep]:
            if by == "user" and key is not None:
                if interval not in self._reps:
                    self._reps[interval] = self._context.loader(partial(self.of_reps, interval))
                return await self._reps[interval].load(key)
            name = f"{self._name}:trend:{by}:{interval}"
            found = await self._context.once(name, lambda: self._load(by, interval))
            return found.get(key) or self._empty(interval)

        return steps

    async def of_reps(self, interval: TrendInterval, user_ids: list[UUID]) -> list[Sequence[TrendStep]]:
        """The trends of some reps, in their order."""
        found, nothing = await self._load("user", interval, user_ids), self._empty(interval)
        return [found.get(user_id, nothing) for user_id in user_ids]

    def _empty(self, interval: TrendInterval) -> Sequence[TrendStep]:
        return dashboards.empty_trend(self._days, interval, self._context.calendar)

    async def _load(
        self, by: str, interval: TrendInterval, user_ids: Sequence[UUID] | None = None
    ) -> Mapping[UUID | None, tuple[TrendStep, ...]]:
        async with self._context.acquire() as connection:
            return await dashboards.trends(
                connection,
                self._audience,
                self._days,
                interval,
                self._context.calendar,
                by=by,
                user_ids=user_ids,
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
        with_goals: Whether the document asks how goals stand, so that they come with the numbers.
        with_trends: The intervals of the trends that it asks for, of reps.
        reps_alone: Whether it asks for reps, and neither for the totals nor for groups.
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
    with_goals: bool = False
    with_trends: frozenset[TrendInterval] = frozenset()
    reps_alone: bool = False
    search: str | None = None

    def __post_init__(self) -> None:
        self._trends = _Trends(self.context, self.name, self.audience, self.days)

    def row(
        self,
        sums: SumsPair,
        by: str,
        key: UUID | None,
        goals: SubjectGoals | None = None,
        trends: Mapping[TrendInterval, Sequence[TrendStep]] = MappingProxyType({}),
    ) -> MetricRow:
        """A subject's metrics, with the goals and trends that are there already."""
        source, bring_goals = self._trends.source(by, key), partial(self._goals, by, key)
        return MetricRow(self.keys, sums, self.available, source, bring_goals, goals, trends)

    async def _frame(self) -> GoalFrame:
        async def load() -> GoalFrame:
            context = self.context
            async with context.acquire() as connection:
                return await load_frame(connection, context.viewer.team_id, context.calendar, context.now, self.days)

        return await self.context.once(f"{self.name}:frame", load)

    async def _totals(self, users: Sight) -> GoalTotals:
        """What was asked of groups, of the team, and of some people together."""

        async def load() -> GoalTotals:
            frame = await self._frame()
            async with self.context.acquire() as connection:
                return await load_totals(
                    connection,
                    self.context.viewer.team_id,
                    frame,
                    self.keys,
                    user_ids=None if users.everything else sorted(users.ids),
                )

        return await self.context.once(f"{self.name}:totals:{users.everything or sorted(users.ids)}", load)

    async def _goals(self, by: str, key: UUID | None) -> SubjectGoals:
        """What was asked of a subject, as far as the viewer may see it: all of it or nothing."""
        return await self.context.once(f"{self.name}:goals:{by}:{key}", lambda: self._find_goals(by, key))

    async def _find_goals(self, by: str, key: UUID | None) -> SubjectGoals:
        if by == "user" and key is not None:
            return (await self._goals_of([key]))[key]
        frame, sight, team_id = await self._frame(), await self.context.goal_sight(), self.context.viewer.team_id
        group_id = key if by == "group" else self.audience.group_id
        if group_id is not None:
            if sight.sees(team_id, None, group_id):
                return (await self._totals(sight.users)).of_group(group_id, self.keys)
            return frame.goals({})
        users = self.audience.users
        if sight.team:
            return (await self._totals(sight.users)).of_team(team_id, self.keys)
        if not users.everything and all(sight.sees(team_id, one, None) for one in users.ids):
            return (await self._totals(users)).of_people(self.keys)
        return frame.goals({})

    async def _goals_of(self, user_ids: Collection[UUID]) -> dict[UUID, SubjectGoals]:
        """What was asked of some people, each as far as the viewer may see it."""
        frame, sight, team_id = await self._frame(), await self.context.goal_sight(), self.context.viewer.team_id
        seen = [user_id for user_id in user_ids if sight.sees(team_id, user_id, None)]
        async with self.context.acquire() as connection:
            found = await load_goals_of(connection, team_id, frame, self.keys, seen)
        nothing = frame.goals({})
        return {user_id: found.get(user_id, nothing) for user_id in user_ids}

    async def falling_behind(self, first: int) -> list[tuple[int, UUID, MetricRow]]:
        """Reps who are at risk or behind over the range, the slowest first: by the slowest of their goals that are at
        risk or behind, and where these are equal by the next.

        Raises:
            Invalid: `first` does not fit.
        """
        limit = page_request(first, None).limit
        async with self.context.acquire() as connection:
            people = await dashboards.listed_people(connection, self.audience)
        numbers, asked = await asyncio.gather(self._user_numbers(), self._goals_of(people))
        nothing = SumsPair(NO_SUMS, None if self.previous is None else NO_SUMS)
        slow: list[tuple[list[Decimal], UUID]] = []
        for user_id, goals in asked.items():
            sums = numbers.get(user_id, nothing).current
            paces = [
                pace
                for key in goals.parts
                if key in self.available and (pace := goals.slowness(key, compute(key, sums))) is not None
            ]
            if paces:
                slow.append((sorted(paces), user_id))
        slow.sort()
        ranked = []
        for paces, user_id in slow[:limit]:
            rank = 1 + sum(1 for others, _other in slow if others < paces)
            ranked.append((rank, user_id, self.row(numbers.get(user_id, nothing), "user", user_id, asked[user_id])))
        return ranked

    async def _user_numbers(self) -> Mapping[UUID, SumsPair]:
        async with self.context.acquire() as connection:
            return await dashboards.user_numbers(connection, self.audience, self.days, self.previous)

    async def rep_rows(self, reps: Sequence[tuple[UUID, SumsPair]]) -> list[MetricRow]:
        """The metrics of some reps."""
        ids = [user_id for user_id, _sums in reps]
        goals = await self._goals_of(ids) if self.with_goals else {}
        trends = {interval: await self._trends.of_reps(interval, ids) for interval in self.with_trends}
        return [
            self.row(
                sums,
                "user",
                user_id,
                goals.get(user_id),
                {interval: found[place] for interval, found in trends.items()},
            )
            for place, (user_id, sums) in enumerate(reps)
        ]

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

    async def _numbers_and_goals(self) -> TeamNumbers:
        """The numbers; where the document asks for goals, what was asked of all is on its way meanwhile."""
        if not self.with_goals:
            return await self._numbers()
        numbers, _goals = await asyncio.gather(self._numbers(), self._goals("total", None))
        return numbers

    async def total_row(self) -> MetricRow:
        """The totals."""
        numbers = await self._numbers_and_goals()
        return self.row(numbers.total, "total", None, await self._goals("total", None) if self.with_goals else None)

    async def group_rows(self) -> list[tuple[UUID, MetricRow]]:
        """The groups' rows."""
        numbers = await self._numbers_and_goals()
        rows = []
        for group_id, sums in numbers.groups:
            goals = await self._find_goals("group", group_id) if self.with_goals else None
            rows.append((group_id, self.row(sums, "group", group_id, goals)))
        return rows

    async def reps(self, first: int | None, after: str | None, sort_by: str | None, descending: bool) -> Rankings:
        """A page of reps; out of the dashboard's one statement when the document showed it coming."""
        request = self.request(first, after, sort_by, descending)
        if request == self.foreseen and not self.reps_alone:
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
    below = fields_below(info)
    reps = [field for field in below if field.name == "reps"] if info.field_name == "teamDashboard" else below
    return replace(
        question,
        foreseen=_foreseen(below, question),
        with_goals=asks_for(below, _OF_GOALS),
        with_trends=frozenset(
            TrendInterval(field.arguments.get("interval") or TrendInterval.DAY) for field in fields_named(reps, "trend")
        ),
        reps_alone=not any(field.name in _OF_ALL for field in below),
    )


def _foreseen(selections: Sequence[SelectedField], question: TeamQuestion) -> RankingRequest:
    """The first page of reps that the document asks for below this field; an empty one if it asks for none."""
    for selection in selections:
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
        [whole] = await team.rep_rows([(self.user_id, mine)])
        for key in team.keys:
            row = replace(whole, keys=(key,))
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
