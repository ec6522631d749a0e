"""The tabs Team and Individual."""

import asyncio
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated

import strawberry

from api.context import Context
from api.resolvers.dashboards import IndividualQuestion, TeamQuestion
from api.resolvers.scores import ScoreQuestion
from api.schema.metrics import Metric, MetricRow, MetricValue
from api.schema.nodes import Connection, Edge, page_info
from api.schema.people import Group, User
from domain import periods
from domain.dashboards import Rankings
from domain.peers import PeerStatistics

if TYPE_CHECKING:
    from api.schema.scores import Score

Info = strawberry.Info[Context]

NamedRange = strawberry.enum(
    periods.NamedRange,
    name="NamedRange",
    description="Ranges by name. `THIS_…` ends with its period; quarters and years are the team's fiscal ones.",
)
Comparison = strawberry.enum(periods.Comparison, name="Comparison", description="What a range is compared with.")


@strawberry.input(description="Exactly one: a named range, or both dates (inclusive, local days).")
class RangeInput:
    named: NamedRange | None = strawberry.field(default=None, description="A range by name.")
    first: date | None = strawberry.field(default=None, name="from", description="The first day.")
    last: date | None = strawberry.field(default=None, name="to", description="The last day.")


def _scores_over(question: TeamQuestion) -> ScoreQuestion:
    """Scores over the same range, with the same comparison."""
    return ScoreQuestion(question.context, question.days, question.previous)


@strawberry.type(description="A rep's numbers and place in a list.")
class Individual:
    rank: int = strawberry.field(
        description="The place by the metric that sorts the list; equal numbers share a place."
    )
    user: User = strawberry.field(description="The rep.")
    row: strawberry.Private[MetricRow]
    question: strawberry.Private[TeamQuestion]

    @strawberry.field(description="The rep's numbers.")
    def metrics(self) -> list[MetricValue]:
        return self.row  # type: ignore[return-value]

    @strawberry.field(description="The rep's scores over the range, of each kind that the role has.")
    async def scores(self) -> list[Annotated["Score", strawberry.lazy("api.schema.scores")]]:
        from api.schema.scores import scores_of

        return await scores_of(_scores_over(self.question), self.user.row.id)


@strawberry.type(description="A group's numbers: its members' and those of all groups below it.")
class GroupRow:
    group: Group = strawberry.field(description="The group.")
    row: strawberry.Private[MetricRow]

    @strawberry.field(description="The group's numbers.")
    def metrics(self) -> list[MetricValue]:
        return self.row  # type: ignore[return-value]


async def individuals_connection(question: TeamQuestion, found: Rankings) -> Connection[Individual]:
    """A page of ranked reps. The people come with it, so that no rep of the answer waits on its own."""
    page = found.page
    users, rows = await asyncio.gather(
        question.context.users.load_many([one.user_id for one in page.nodes]),
        question.rep_rows([(one.user_id, one.sums) for one in page.nodes]),
    )
    edges = [
        Edge(cursor=cursor, node=Individual(rank=one.rank, user=User.of(user), row=row, question=question))
        for cursor, one, user, row in zip(page.cursors, page.nodes, users, rows, strict=True)
        # Somebody may have moved out of sight between the two statements.
        if user is not None
    ]

    async def count() -> int:
        return found.total_count

    return Connection(
        edges=edges,
        nodes=[edge.node for edge in edges],
        page_info=page_info(page.cursors, page.has_next, page.has_previous),
        count=count,
    )


@strawberry.type(description="The tab Team: totals, groups, leaderboard.")
class TeamDashboard:
    question: strawberry.Private[TeamQuestion]

    @strawberry.field(name="from", description="The range's first day.")
    def first(self) -> date:
        return self.question.days.first

    @strawberry.field(name="to", description="The range's last day.")
    def last(self) -> date:
        return self.question.days.last

    @strawberry.field(description="The totals of everybody in sight.")
    async def metrics(self) -> list[MetricValue]:
        return await self.question.total_row()  # type: ignore[return-value]

    @strawberry.field(description="A row for each group in sight, by name; empty without TEAM_VIEW.")
    async def groups(self) -> list[GroupRow]:
        rows = await self.question.group_rows()
        groups = await self.question.context.groups.load_many([group_id for group_id, _row in rows])
        return [
            GroupRow(group=Group.of(group), row=row)
            for group, (_group_id, row) in zip(groups, rows, strict=True)
            if group is not None
        ]

    @strawberry.field(description="The reps in sight, ranked.")
    async def reps(
        self,
        first: int | None = None,
        after: str | None = None,
        sort_by: Metric | None = None,
        descending: bool | None = True,
    ) -> Connection[Individual]:
        key = None if sort_by is None else sort_by.value
        return await individuals_connection(
            self.question, await self.question.reps(first, after, key, descending is not False)
        )

    @strawberry.field(
        description="The reps who are at risk or behind their goals over the range, the slowest pace first, each by "
        "the slowest of their goals, then the next; of those whose goals the viewer may see."
    )
    async def falling_behind(self, first: int | None = 10) -> list[Individual]:
        found = await self.question.falling_behind(10 if first is None else first)
        users = await self.question.context.users.load_many([user_id for _rank, user_id, _row in found])
        return [
            Individual(rank=rank, user=User.of(user), row=row, question=self.question)
            for (rank, _user_id, row), user in zip(found, users, strict=True)
            if user is not None
        ]


@strawberry.type(description="A rep's number beside those of the peers.")
class IndividualMetric:
    row: strawberry.Private[MetricRow]
    peers: strawberry.Private[PeerStatistics]

    @strawberry.field(description="The rep's own.")
    def mine(self) -> MetricValue:
        return next(iter(self.row))

    @strawberry.field(
        description="How many peers there are: the other active reps of the group; 0 where they are not shown."
    )
    def peer_count(self) -> int:
        return self.peers.count

    @strawberry.field(description="The peers' average; of a quotient, the quotient of their sums.")
    def peer_average(self) -> Decimal | None:
        return self.peers.average

    @strawberry.field(description="The peers' median.")
    def peer_median(self) -> Decimal | None:
        return self.peers.median

    @strawberry.field(
        description="The share of the peers that the rep does better than, from 0 to 1; a tie counts half."
    )
    def percentile(self) -> float | None:
        return self.peers.percentile


@strawberry.type(description="The tab Individual: one rep's numbers beside those of the peers.")
class IndividualDashboard:
    question: strawberry.Private[IndividualQuestion]

    @strawberry.field(name="from", description="The range's first day.")
    def first(self) -> date:
        return self.question.team.days.first

    @strawberry.field(name="to", description="The range's last day.")
    def last(self) -> date:
        return self.question.team.days.last

    @strawberry.field(description="The rep.")
    async def user(self, info: Info) -> User:
        found = await info.context.users.load(self.question.user_id)
        assert found is not None, "the rep is in sight"
        return User.of(found)

    @strawberry.field(description="The rep's metrics.")
    async def metrics(self) -> list[IndividualMetric]:
        return [IndividualMetric(row=row, peers=peers) for row, peers in await self.question.rows()]

    @strawberry.field(description="The rep's scores over the range, of each kind that the role has.")
    async def scores(self) -> list[Annotated["Score", strawberry.lazy("api.schema.scores")]]:
        from api.schema.scores import scores_of

        return await scores_of(_scores_over(self.question.team), self.question.user_id)
