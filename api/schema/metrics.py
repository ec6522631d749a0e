"""Metrics, their values, trends and progress."""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from typing import Any, cast

import strawberry

from api.context import Context
from domain import metrics, pacing, periods
from domain.dashboards import SumsPair, TrendStep
from domain.goal_board import SubjectGoals
from domain.metrics import METRICS, Number, compute

Info = strawberry.Info[Context]

Metric: Any = strawberry.enum(
    cast("type[Enum]", Enum("Metric", {key: key for key in METRICS})),
    name="Metric",
    description="The measures of what reps do. `metrics` tells what each means.",
)
MetricUnit = strawberry.enum(metrics.MetricUnit, name="MetricUnit", description="What a metric's number counts.")
MetricDirection = strawberry.enum(
    metrics.Direction, name="MetricDirection", description="Which way of a metric's number is better."
)
TrendInterval = strawberry.enum(periods.TrendInterval, name="TrendInterval", description="The steps of a trend.")


GoalStatus = strawberry.enum(pacing.GoalStatus, name="GoalStatus", description="How a goal stands.")


@strawberry.type(
    description="How far a goal has come in a period; in a dashboard, over the dashboard's range, whose share of the "
    "goal is the target."
)
class GoalProgress:
    period_start: date = strawberry.field(description="The first day.")
    period_end: date = strawberry.field(description="The last day.")
    actual: Decimal | None = strawberry.field(
        description="What has been done; null where there is nothing to divide by, or the metric is unavailable."
    )
    target: Decimal = strawberry.field(description="What is to be done.")
    attainment: Decimal | None = strawberry.field(description="actual / target.")
    expected_by_now: Decimal | None = strawberry.field(
        description="target x the share of the working time that has gone by; of a rate, the target."
    )
    pace: Decimal | None = strawberry.field(description="actual / expectedByNow; null while nothing is expected.")
    forecast: Decimal | None = strawberry.field(description="The actual at the end, at this pace.")
    status: GoalStatus = strawberry.field(
        description="ATTAINED from the target on; else by the pace and the team's thresholds."
    )

    @classmethod
    def of(cls, progress: pacing.Progress) -> "GoalProgress":
        return cls(
            period_start=progress.days.first,
            period_end=progress.days.last,
            actual=progress.actual,
            target=progress.target,
            attainment=progress.attainment,
            expected_by_now=progress.expected_by_now,
            pace=progress.pace,
            forecast=progress.forecast,
            status=progress.status,
        )


@strawberry.type(description="A metric of the catalogue.")
class MetricInfo:
    key: Metric = strawberry.field(description="Its name.")
    label: str = strawberry.field(description="Its name for people.")
    unit: MetricUnit = strawberry.field(description="What its number counts.")
    direction: MetricDirection = strawberry.field(description="Which way is better.")
    definition: str = strawberry.field(description="What it means.")
    goalable: bool = strawberry.field(description="Whether a goal can be set for it.")
    available: bool = strawberry.field(description="Whether what feeds it is connected.")
    unavailable_reason: str | None = strawberry.field(description="Why it is not available, and the next step.")


@strawberry.type(description="A step of a trend.")
class TrendPoint:
    start: date = strawberry.field(description="Its first day.")
    end: date = strawberry.field(description="Its last day.")
    value: Decimal | None = strawberry.field(
        description="The metric over these days; null where there is nothing to divide by."
    )
    goal: Decimal | None = strawberry.field(default=None, description="The goal's share of these days.")


TrendSource = Callable[[periods.TrendInterval], Awaitable[Sequence[TrendStep]]]
GoalSource = Callable[[], Awaitable[SubjectGoals]]


@dataclass(frozen=True, slots=True, eq=False)
class MetricRow:
    """The metrics of one subject: a list of MetricValue that api/execution.py can answer without making them.

    Args:
        keys: The metrics, in the order of the answer.
        sums: The base sums of the range and of the comparison.
        available: The metrics whose feed is connected.
        trend: Brings the steps of a trend.
        goals: Brings what was asked of the subject, as far as the viewer may see it.
        known_goals: The same where it came with the numbers.
        known_trends: The steps of the intervals that came with the numbers.
    """

    keys: tuple[str, ...]
    sums: SumsPair
    available: frozenset[str]
    trend: TrendSource
    goals: GoalSource
    known_goals: SubjectGoals | None = None
    known_trends: Mapping[periods.TrendInterval, Sequence[TrendStep]] = field(default_factory=dict)

    def __iter__(self) -> Iterator["MetricValue"]:
        return (MetricValue(row=self, key=key) for key in self.keys)

    def __len__(self) -> int:
        return len(self.keys)

    def value(self, key: str) -> Number | None:
        """The metric over the range."""
        return compute(key, self.sums.current) if key in self.available else None

    def previous(self, key: str) -> Number | None:
        """The metric over the comparison's range."""
        if self.sums.previous is None or key not in self.available:
            return None
        return compute(key, self.sums.previous)


def change(value: Number | None, previous: Number | None) -> Number | None:
    """By how much a value differs from the one before."""
    return None if value is None or previous is None else value - previous


def change_ratio(value: Number | None, previous: Number | None) -> Decimal | None:
    """The change as a share of the value before; None where that is 0."""
    if value is None or previous is None or not previous:
        return None
    return (Decimal(value - previous) / Decimal(previous)).quantize(metrics.RATIO_STEP)


def shown_goal(target: Fraction | None) -> Decimal | None:
    """A goal as it is shown."""
    return None if target is None else pacing.rounded(target)


def attainment(target: Fraction | None, value: Number | None) -> Decimal | None:
    """value / goal; None without either, and where the goal asks for nothing."""
    if value is None or not target:
        return None
    return pacing.rounded(Fraction(value) / target)


def _decimal(value: Number | None) -> Decimal | None:
    return None if value is None else Decimal(value)


@strawberry.type(
    description="A metric's value over a range. "
    "The value is null where there is nothing to divide by, or the metric is unavailable."
)
class MetricValue:
    row: strawberry.Private[MetricRow]
    key: strawberry.Private[str]

    @strawberry.field(description="Which metric.")
    def metric(self) -> Metric:
        return Metric[self.key]

    @strawberry.field(description="Its value over the range.")
    def value(self) -> Decimal | None:
        return _decimal(self.row.value(self.key))

    @strawberry.field(description="Its value over the range of the comparison.")
    def previous(self) -> Decimal | None:
        return _decimal(self.row.previous(self.key))

    @strawberry.field(description="value - previous.")
    def change(self) -> Decimal | None:
        return _decimal(change(self.row.value(self.key), self.row.previous(self.key)))

    @strawberry.field(description="The change as a share of previous; null where that is 0.")
    def change_ratio(self) -> Decimal | None:
        return change_ratio(self.row.value(self.key), self.row.previous(self.key))

    @strawberry.field(description="The goal's share of the range; null without a goal that the viewer may see.")
    async def goal(self) -> Decimal | None:
        return shown_goal((await self.row.goals()).target(self.key))

    @strawberry.field(description="value / goal; null without a goal that the viewer may see.")
    async def attainment(self) -> Decimal | None:
        return attainment((await self.row.goals()).target(self.key), self.row.value(self.key))

    @strawberry.field(description="How the goal stands over the range; null without a goal that the viewer may see.")
    async def progress(self) -> GoalProgress | None:
        found = (await self.row.goals()).progress(self.key, self.row.value(self.key))
        return None if found is None else GoalProgress.of(found)

    @strawberry.field(description="Whether what feeds the metric is connected.")
    def available(self) -> bool:
        return self.key in self.row.available

    @strawberry.field(description="The metric over the steps of the range.")
    async def trend(self, interval: TrendInterval | None = periods.TrendInterval.DAY) -> list[TrendPoint]:
        steps = await self.row.trend(interval or periods.TrendInterval.DAY)
        goals = await self.row.goals()
        available = self.key in self.row.available
        return [
            TrendPoint(
                start=step.days.first,
                end=step.days.last,
                value=_decimal(compute(self.key, step.sums)) if available else None,
                goal=shown_goal(goals.target(self.key, step.days)),
            )
            for step in steps
        ]
