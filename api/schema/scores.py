"""Scores of roles, and how they are defined."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import date, datetime
from decimal import Decimal
from uuid import UUID

import strawberry

from api.context import Context
from api.resolvers.scores import GroupQuestion, ScoreQuestion
from api.schema.dashboards import Comparison, RangeInput
from api.schema.errors import UserError
from api.schema.metrics import Metric, TrendInterval, shown_goal
from api.schema.nodes import Connection, Edge, Node, global_id, page_info
from api.schema.people import Group, Role, User
from domain import models, periods, scores, scoring
from domain.paging import Page
from domain.score_board import RankedScore

__all__ = ["Comparison", "RangeInput"]

Info = strawberry.Info[Context]

ScoreKind = strawberry.enum(
    models.ScoreKind,
    name="ScoreKind",
    description="ACTIVITY: of what a rep does. OBJECTIVE: of what comes of it.",
)
ScoreGap = strawberry.enum(
    scoring.ScoreGap,
    name="ScoreGap",
    description="Why there is no score, or why a metric is left out of it. NO_DEFINITION: the role has none in the "
    "range. NO_WORKING_TIME: nothing was asked, the person did not work. NO_GOAL: the person has no goal for it. "
    "UNAVAILABLE: nothing feeds the metric. NOTHING_TO_DIVIDE_BY: a rate without a base. NOTHING_TO_SCORE: all metrics "
    "are left out, for different reasons.",
)


@strawberry.type(description="A metric of a score definition, and what it weighs.")
class ScoreWeight:
    metric: Metric = strawberry.field(description="The metric, whose goal is to be attained.")
    weight: Decimal = strawberry.field(description="In percent; all weights of a definition make 100.")


def _weights(version: scores.DefinitionVersion) -> list[ScoreWeight]:
    return [ScoreWeight(metric=Metric[one.metric], weight=one.weight) for one in version.weightings]


@strawberry.type(description="How a score was made, and from when to when.")
class ScoreVersion:
    version: int = strawberry.field(description="Grows by one with every change.")
    components: list[ScoreWeight] = strawberry.field(description="The metrics with their weights.")
    cap: Decimal = strawberry.field(description="What an attainment counted at most; 2 is 200 %.")
    effective_from: date = strawberry.field(description="The first day.")
    effective_to: date | None = strawberry.field(
        description="The last day; null while it goes on; the day before the first where it was replaced before it "
        "counted."
    )
    set_at: datetime = strawberry.field(description="When it was set.")
    row: strawberry.Private[scores.DefinitionVersion]

    @classmethod
    def of(cls, version: scores.DefinitionVersion) -> "ScoreVersion":
        return cls(
            version=version.number,
            components=_weights(version),
            cap=version.cap,
            effective_from=version.effective_from,
            effective_to=version.effective_to,
            set_at=version.set_at,
            row=version,
        )

    @strawberry.field(description="Who set it; null where the viewer may not see them.")
    async def set_by(self, info: Info) -> User | None:
        return await _seen_user(info, self.row)


async def _seen_user(info: Info, version: scores.DefinitionVersion) -> User | None:
    found = None if version.set_by_id is None else await info.context.users.load(version.set_by_id)
    return None if found is None else User.of(found)


@strawberry.type(description="How people of a role are scored: weighted attainment of the goals of some metrics.")
class ScoreDefinition(Node):
    kind: ScoreKind = strawberry.field(description="Which score.")
    components: list[ScoreWeight] = strawberry.field(description="The metrics with their weights, as set last.")
    cap: Decimal = strawberry.field(description="What an attainment counts at most; 2 is 200 %.")
    effective_from: date = strawberry.field(description="The first day of this version.")
    effective_to: date | None = strawberry.field(description="Its last day; null while it goes on.")
    version: int = strawberry.field(
        description="Grows by one with every change: give it as the expected version; 0 for none."
    )
    view: strawberry.Private[scores.DefinitionView]

    @classmethod
    def of(cls, view: scores.DefinitionView) -> "ScoreDefinition":
        newest = view.newest
        return cls(
            id=global_id("ScoreDefinition", view.id),
            kind=view.kind,
            components=_weights(newest),
            cap=newest.cap,
            effective_from=newest.effective_from,
            effective_to=newest.effective_to,
            version=newest.number,
            view=view,
        )

    @strawberry.field(description="Whose.")
    async def role(self, info: Info) -> Role:
        row = await info.context.roles.load(self.view.role_id)
        assert row is not None, "roles with definitions are there"
        return Role.of(row)

    @strawberry.field(description="Who set it; null where the viewer may not see them.")
    async def set_by(self, info: Info) -> User | None:
        return await _seen_user(info, self.view.newest)

    @strawberry.field(description="Every version, the newest first.")
    async def history(self, info: Info) -> list[ScoreVersion]:
        return [ScoreVersion.of(version) for version in await info.context.score_histories.load(self.view.id)]


@strawberry.type(
    description="What a metric adds to a score. A range that crosses a change of weights has each version's metrics."
)
class ScoreComponent:
    first: date = strawberry.field(name="from", description="The first day on which its version holds in the range.")
    last: date = strawberry.field(name="to", description="The last one.")
    version: int = strawberry.field(description="Of the definition.")
    metric: Metric = strawberry.field(description="Which metric.")
    weight: Decimal = strawberry.field(description="In percent, as defined.")
    actual: Decimal | None = strawberry.field(
        description="What was done on these days, while the goal held; null where there is nothing to divide by."
    )
    target: Decimal | None = strawberry.field(description="The goal's share of these days; null without a goal.")
    attainment: Decimal | None = strawberry.field(description="actual / target.")
    counted: Decimal | None = strawberry.field(description="The attainment up to the cap; null where it is left out.")
    contribution: Decimal = strawberry.field(
        description="The points that it adds: those of all components make the score."
    )
    gap: ScoreGap | None = strawberry.field(description="Why it is left out.")

    @classmethod
    def of(cls, one: scoring.ComponentScore) -> "ScoreComponent":
        return cls(
            first=one.days.first,
            last=one.days.last,
            version=one.version,
            metric=Metric[one.metric],
            weight=_shown(one.weight) or Decimal(0),
            actual=None if one.actual is None else Decimal(one.actual),
            target=_shown(one.target),
            attainment=_shown(one.attainment),
            counted=_shown(one.counted),
            contribution=_shown(one.contribution) or Decimal(0),
            gap=one.gap,
        )


_shown = shown_goal


def _change(value: Decimal | None, previous: Decimal | None) -> Decimal | None:
    return None if value is None or previous is None else value - previous


@strawberry.type(description="A score over a step of a range.")
class ScoreTrendPoint:
    start: date = strawberry.field(description="Its first day.")
    end: date = strawberry.field(description="Its last day.")
    value: Decimal | None = strawberry.field(description="The score over these days; null where there is none.")


ScoreTrend = Callable[[periods.TrendInterval], Awaitable[Sequence[tuple[periods.Days, Decimal | None]]]]


async def _points(trend: ScoreTrend, interval: periods.TrendInterval | None) -> list[ScoreTrendPoint]:
    steps = await trend(interval or periods.TrendInterval.WEEK)
    return [ScoreTrendPoint(start=days.first, end=days.last, value=value) for days, value in steps]


@strawberry.type(
    description="A rep's score over a range: the weighted attainment of goals, 100 where all are just attained. "
    "domain/scoring.py has the formula."
)
class Score:
    kind: ScoreKind = strawberry.field(description="Which score.")
    first: date = strawberry.field(name="from", description="The range's first day.")
    last: date = strawberry.field(name="to", description="The range's last day.")
    value: Decimal | None = strawberry.field(
        description="From 0 to 100 and beyond; of a range that is not over, how far it has come. Null where there is "
        "nothing to score."
    )
    pace: Decimal | None = strawberry.field(
        description="The same against what was due by now: 100 is on track. Null while nothing is due."
    )
    previous: Decimal | None = strawberry.field(description="The score over the range of the comparison.")
    gap: ScoreGap | None = strawberry.field(description="Why there is no score.")
    working_days: int = strawberry.field(description="How many days of the range the rep works and is scored on.")
    score: strawberry.Private[scoring.Score]
    question: strawberry.Private[ScoreQuestion]
    user_id: strawberry.Private[UUID]

    @classmethod
    def of(
        cls, question: ScoreQuestion, user_id: UUID, found: scoring.Score, previous: scoring.Score | None
    ) -> "Score":
        return cls(
            kind=found.kind,
            first=found.days.first,
            last=found.days.last,
            value=_shown(found.value),
            pace=_shown(found.pace),
            previous=None if previous is None else _shown(previous.value),
            gap=found.gap,
            working_days=found.working_days,
            score=found,
            question=question,
            user_id=user_id,
        )

    @strawberry.field(description="value - previous.")
    def change(self) -> Decimal | None:
        return _change(self.value, self.previous)

    @strawberry.field(
        description="What each metric adds, with targets and attainments; null where the viewer may not see the "
        "person's goals."
    )
    async def components(self) -> list[ScoreComponent] | None:
        if not await self.question.sees_goals(self.user_id):
            return None
        return [ScoreComponent.of(one) for one in self.score.components]

    @strawberry.field(description="The score over the steps of the range.")
    async def trend(self, interval: TrendInterval | None = periods.TrendInterval.WEEK) -> list[ScoreTrendPoint]:
        return await _points(self.question.trend(self.user_id, self.kind), interval)


@strawberry.type(description="A rep's place in a list of scores.")
class ScoredRep:
    rank: int = strawberry.field(
        description="The place by the score among all that the list holds; equal scores share a place, who has none "
        "comes last."
    )
    user: User = strawberry.field(description="The rep.")
    score: Score = strawberry.field(description="The rep's score.")


async def scored_reps(question: ScoreQuestion, page: Page[RankedScore], total: int) -> Connection[ScoredRep]:
    """A page of ranked reps. The people come with it, so that no rep of the answer waits on its own."""
    users = await question.context.users.load_many([one.user_id for one in page.nodes])
    edges = [
        Edge(
            cursor=cursor,
            node=ScoredRep(
                rank=one.rank, user=User.of(user), score=Score.of(question, one.user_id, one.score, one.previous)
            ),
        )
        for cursor, one, user in zip(page.cursors, page.nodes, users, strict=True)
        # Somebody may have moved out of sight between the two statements.
        if user is not None
    ]

    async def count() -> int:
        return total

    return Connection(
        edges=edges,
        nodes=[edge.node for edge in edges],
        page_info=page_info(page.cursors, page.has_next, page.has_previous),
        count=count,
    )


@strawberry.type(
    description="A group's score: the mean of the scores of its members and of those of all groups below it, each "
    "counting the same."
)
class GroupScore:
    group: Group = strawberry.field(description="The group.")
    kind: ScoreKind = strawberry.field(description="Which score.")
    value: Decimal | None = strawberry.field(description="Null where no member has a score.")
    previous: Decimal | None = strawberry.field(description="The score over the range of the comparison.")
    scored_members: int = strawberry.field(description="How many members have a score.")
    question: strawberry.Private[GroupQuestion]

    @strawberry.field(description="value - previous.")
    def change(self) -> Decimal | None:
        return _change(self.value, self.previous)

    @strawberry.field(description="The score over the steps of the range.")
    async def trend(self, interval: TrendInterval | None = periods.TrendInterval.WEEK) -> list[ScoreTrendPoint]:
        return await _points(self.question.trend(self.group.row.id), interval)


async def group_scores(question: GroupQuestion) -> list[GroupScore]:
    """The groups in sight with their scores, by name."""
    rows = await question.rows()
    groups = await question.context.groups.load_many([group_id for group_id, _value, _previous, _count in rows])
    return [
        GroupScore(
            group=Group.of(group),
            kind=question.kind,
            value=_shown(value),
            previous=_shown(previous),
            scored_members=count,
            question=question,
        )
        for group, (_group_id, value, previous, count) in zip(groups, rows, strict=True)
        if group is not None
    ]


async def scores_of(question: ScoreQuestion, user_id: UUID) -> list[Score]:
    """A person's scores of all kinds that their role has in the range or the comparison's."""
    found = await question.scores_of(user_id)
    return [Score.of(question, user_id, one, previous) for one, previous in found]


@strawberry.input(description="A metric and what it weighs.")
class ScoreWeightInput:
    metric: Metric = strawberry.field(description="A metric that takes a goal.")
    weight: Decimal = strawberry.field(description="In percent; all weights make 100.")


@strawberry.input(description="How people of a role are scored from a day on.")
class SetScoreDefinitionInput:
    role_id: strawberry.ID = strawberry.field(description="Whose.")
    kind: ScoreKind = strawberry.field(description="Which score.")
    components: list[ScoreWeightInput] = strawberry.field(description="The metrics with their weights, 100 together.")
    cap: Decimal | None = strawberry.field(
        default=None,
        description="What an attainment counts at most, from 1 to 10; 2, which is 200 %, without it: one lucky deal "
        "does not hide that nothing else was done.",
    )
    effective_from: date | None = strawberry.field(
        default=None,
        description="The first day. Without it: the start of the fiscal year for a score that never was, today for "
        "others, which cannot be changed for the past.",
    )
    expected_version: int | None = strawberry.field(
        default=None, description="Refuse if the definition is not at this version any more; 0 for none."
    )
    idempotency_key: str | None = strawberry.field(
        default=None, description="A repeated key answers as the first time and writes nothing; kept for a week."
    )


@strawberry.input(description="A score definition to end. Its history and the scores of the past stay.")
class RemoveScoreDefinitionInput:
    definition_id: strawberry.ID = strawberry.field(description="Which.")
    effective_from: date | None = strawberry.field(
        default=None, description="The first day without it; today without it."
    )
    expected_version: int | None = strawberry.field(
        default=None, description="Refuse if the definition is not at this version any more."
    )
    idempotency_key: str | None = strawberry.field(
        default=None, description="A repeated key answers as the first time and writes nothing; kept for a week."
    )


@strawberry.type(description="The definition as it stands.")
class ScoreDefinitionPayload:
    definition: ScoreDefinition | None = strawberry.field(description="Null when it was refused.")
    errors: list[UserError] = strawberry.field(description="Why it was refused.")
