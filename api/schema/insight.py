"""What to coach whom on, and how a goal can still be reached."""

from datetime import date
from decimal import Decimal

import strawberry

from api.context import Context
from api.resolvers import insight as resolvers
from api.schema.dashboards import RangeInput
from api.schema.fields import reading
from api.schema.goals import Goal
from api.schema.metrics import Metric
from api.schema.outlooks import GoalOutlook
from api.schema.people import User
from domain.insight import GoalPlan as DomainPlan
from domain.insight import Measure, Opportunity, Outcome, PlanStep
from domain.insight.forecasts import COVERAGE
from domain.paging import DEFAULT_PAGE

Info = strawberry.Info[Context]

GapMeasure = strawberry.enum(
    Measure,
    name="GapMeasure",
    description="What a gap's value is. RATE: the metric's own value. PER_WORKING_DAY: how much of it per working day "
    "worked. PER_STEP_BEFORE: how much of it for each of the step before in the funnel.",
)
GoalPlanOutcome = strawberry.enum(
    Outcome,
    name="GoalPlanOutcome",
    description="What a plan comes to. PLANNED: the steps say what is needed. OUT_OF_REACH: they do too, but it is "
    "more than was ever done in as many working days; of a rate, more than all. ATTAINED: nothing is left to do. "
    "NO_TIME_LEFT: no working day is left. RATE: the goal is for a rate, which cannot be spread over days. "
    "UNAVAILABLE: what feeds the metric is not connected. NOT_IN_FORCE: the goal holds on no day of the period.",
)

_PLACES = Decimal("0.000001")


def _decimal(value: float) -> Decimal:
    return Decimal(value).quantize(_PLACES)


@strawberry.type(
    description="A gap of a rep that is worth a talk: so far below the peers that chance is no explanation. Peers are "
    "the other reps of the smallest group around the rep that is large enough; none is named."
)
class CoachingOpportunity:
    metric: Metric = strawberry.field(description="In what.")
    measure: GapMeasure = strawberry.field(description="What value and peerMedian are.")
    per_metrics: list[Metric] = strawberry.field(description="The steps before, where it is measured by them.")
    value: Decimal | None = strawberry.field(description="The rep's value.")
    peer_median: Decimal | None = strawberry.field(description="The peers' median.")
    gap: Decimal | None = strawberry.field(description="value - peerMedian.")
    robust_z: float | None = strawberry.field(
        description="0.6745 x gap / the median absolute deviation of the peers; beyond 3.5 either way is an outlier."
    )
    peer_count: int = strawberry.field(description="How many peers have a value.")
    expected_gain: Decimal | None = strawberry.field(
        description="What the rep would bring more of gainMetric in a quarter at the peers' median, at the rep's own "
        "rates from there; null where nothing is known to come of it."
    )
    expected_gain_low: Decimal | None = strawberry.field(description="It will be less once in ten times.")
    expected_gain_high: Decimal | None = strawberry.field(description="It will be more once in ten times.")
    gain_metric: Metric | None = strawberry.field(
        description="Of what: the farthest metric down the funnel for which the rep has a goal that the viewer may "
        "see; without one, the end of the funnel."
    )
    goal_share: float | None = strawberry.field(
        description="expectedGain as a share of what that goal asks for in the quarter; null without a goal."
    )
    first: date = strawberry.field(name="from", description="The first of the days that were looked at.")
    last: date = strawberry.field(name="to", description="The last of them: whole days before today alone.")
    working_days: int = strawberry.field(description="How many working days the rep worked in them.")
    explanation: str = strawberry.field(description="All of it in a sentence.")
    found: strawberry.Private[Opportunity]

    @classmethod
    def of(cls, found: Opportunity) -> "CoachingOpportunity":
        gap, gain = found.gap, found.gain
        return cls(
            metric=Metric[gap.lever.metric],
            measure=gap.lever.measure,
            per_metrics=[Metric[one] for one in gap.lever.per],
            value=_decimal(gap.value),
            peer_median=_decimal(gap.median),
            gap=_decimal(gap.value) - _decimal(gap.median),
            robust_z=gap.z,
            peer_count=gap.peers,
            expected_gain=None if gain is None else _decimal(gain.expected),
            expected_gain_low=None if gain is None else _decimal(gain.low),
            expected_gain_high=None if gain is None else _decimal(gain.high),
            gain_metric=None if gain is None else Metric[gain.metric],
            goal_share=None if gain is None or not found.goal else gain.expected / found.goal,
            first=found.days.first,
            last=found.days.last,
            working_days=int(gap.days),
            explanation=found.explanation,
            found=found,
        )

    @strawberry.field(description="The rep.")
    async def user(self, info: Info) -> User:
        found = await info.context.users.load(self.found.user_id)
        assert found is not None, "the rep is in sight"
        return User.of(found)


@strawberry.type(description="What is needed of one step of the funnel.")
class GoalPlanStep:
    metric: Metric = strawberry.field(description="Of what.")
    per_working_day: Decimal = strawberry.field(description="How much per working day that is left.")
    low: Decimal = strawberry.field(
        description="The rates being as unsure as they are, less will do once in ten times."
    )
    high: Decimal = strawberry.field(description="More will be needed once in ten times.")
    rate: float = strawberry.field(
        description="How much of the next step one of it brings; of the goal's own metric 1."
    )
    current: Decimal = strawberry.field(
        description="How much per working day it was so far, over the days of the basis."
    )
    takes_effect_in_time: bool = strawberry.field(
        description="Whether what is begun here now ends within the period, on average."
    )
    basis: str = strawberry.field(description="Which days and counts the rate rests on, in words.")

    @classmethod
    def of(cls, step: PlanStep) -> "GoalPlanStep":
        return cls(
            metric=Metric[step.metric],
            per_working_day=_decimal(step.per_day),
            low=_decimal(step.low),
            high=_decimal(step.high),
            rate=step.rate,
            current=_decimal(step.current),
            takes_effect_in_time=step.in_time,
            basis=step.basis,
        )


@strawberry.type(
    description="How a goal can be reached by the end of the period that holds today: what is needed of each step of "
    "the funnel per working day, at the own rates."
)
class GoalPlan:
    goal: Goal = strawberry.field(description="The goal.")
    outcome: GoalPlanOutcome = strawberry.field(description="What the plan comes to.")
    first: date | None = strawberry.field(
        name="from", description="The first day on which the goal holds in the period."
    )
    last: date | None = strawberry.field(name="to", description="The last one.")
    working_days_left: int = strawberry.field(
        description="Working days that are left; today among them while its working hours last."
    )
    remaining: Decimal | None = strawberry.field(description="What is left of the target; null of a rate.")
    needed_rate: Decimal | None = strawberry.field(
        description="Of a goal for a rate: what the rest of the period has to bring, at as many trials a day."
    )
    outlook: GoalOutlook | None = strawberry.field(description="Where the goal will end at the pace so far.")
    steps: list[GoalPlanStep] = strawberry.field(
        description="What is needed, the farthest from the deal first, the goal's own metric last; none where there is "
        "nothing to plan."
    )
    coverage: float = strawberry.field(description="How often low and high of a step hold what is needed: 0.8.")
    explanation: str = strawberry.field(description="All of it in words.")

    @classmethod
    def of(cls, goal: Goal, plan: DomainPlan) -> "GoalPlan":
        return cls(
            goal=goal,
            outcome=plan.outcome,
            first=None if plan.days is None else plan.days.first,
            last=None if plan.days is None else plan.days.last,
            working_days_left=plan.days_left,
            remaining=None if plan.left is None else _decimal(plan.left),
            needed_rate=None if plan.needed_rate is None else _decimal(plan.needed_rate),
            outlook=None if plan.forecast is None else GoalOutlook.of(plan.forecast),
            steps=[GoalPlanStep.of(step) for step in plan.steps],
            coverage=COVERAGE,
            explanation=plan.explanation,
        )


@strawberry.type
class InsightQuery:
    @reading(
        "The one or two gaps that matter of each rep in sight, what matters most first. Without TEAM_VIEW the viewer's "
        "own, where the group is large enough. No insight is better than a wrong one: mostly there is none."
    )
    async def coaching_opportunities(
        self, info: Info, range: RangeInput, user_id: strawberry.ID | None = None, first: int = DEFAULT_PAGE
    ) -> list[CoachingOpportunity]:
        found = await resolvers.opportunities(info.context, range, user_id, first)
        return [CoachingOpportunity.of(one) for one in found]

    @reading("How a goal in sight can be reached; it shows the numbers of whom the goal is for.")
    async def goal_plan(self, info: Info, goal_id: strawberry.ID) -> GoalPlan:
        goal, plan = await resolvers.plan(info.context, goal_id)
        return GoalPlan.of(goal, plan)
