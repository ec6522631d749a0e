"""Metrics, their values, trends and progress."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import Enum
from typing import Any, cast

import strawberry

from api.context import Context
from domain import metrics, periods
from domain.dashboards import SumsPair, TrendStep
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


@strawberry.enum(description="How a goal stands.")
class GoalStatus(Enum):
    ATTAINED = "ATTAINED"
    ON_TRACK = "ON_TRACK"
    AT_RISK = "AT_RISK"
    BEHIND = "BEHIND"


@strawberry.type(description="How far a goal's period has come, and how far the goal.")
class GoalProgress:
    period_start: date = strawberry.field(description="The period's first day.")
    period_end: date = strawberry.field(description="The period's last day.")
    actual: Decimal | None = strawberry.field(description="What has been done.")
    target: Decimal = strawberry.field(description="What is to be done.")
    attainment: Decimal | None = strawberry.field(description="actual / target.")
    expected_by_now: Decimal | None = strawberry.field(
        description="target x the share of the period's working time that has gone by."
    )
    pace: Decimal | None = strawberry.field(description="actual / expectedByNow.")
    forecast: Decimal | None = strawberry.field(description="The actual at the period's end, at this pace.")
    status: GoalStatus = strawberry.field(description="How the goal stands.")


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


@dataclass(frozen=True, slots=True, eq=False)
class MetricRow:
    """The metrics of one subject: a list of MetricValue that api/execution.py can answer without making them.

    Args:
        keys: The metrics, in the order of the answer.
        sums: The base sums of the range and of the comparison.
        available: The metrics whose feed is connected.
        trend: Brings the steps of a trend.
    """

    keys: tuple[str, ...]
    sums: SumsPair
    available: frozenset[str]
    trend: TrendSource

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

    @strawberry.field(description="The goal's share of the range; null without a goal.")
    def goal(self) -> Decimal | None:
        return None

    @strawberry.field(description="value / goal; null without a goal.")
    def attainment(self) -> Decimal | None:
        return None

    @strawberry.field(description="How the goal's period stands; null without a goal.")
    def progress(self) -> GoalProgress | None:
        return None

    @strawberry.field(description="Whether what feeds the metric is connected.")
    def available(self) -> bool:
        return self.key in self.row.available

    @strawberry.field(description="The metric over the steps of the range.")
    async def trend(self, interval: TrendInterval = periods.TrendInterval.DAY) -> list[TrendPoint]:
        steps = await self.row.trend(interval)
        available = self.key in self.row.available
        return [
            TrendPoint(
                start=step.days.first,
                end=step.days.last,
                value=_decimal(compute(self.key, step.sums)) if available else None,
            )
            for step in steps
        ]
