"""Where a goal will end."""

from decimal import Decimal

import strawberry

from domain.insight import forecasts


@strawberry.type(
    description="Where a goal will end at the pace of the last working days, between which numbers. It rests on what "
    "the subject did on them, GoalProgress.forecast on the period alone."
)
class GoalOutlook:
    low: Decimal = strawberry.field(description="The end will lie below it once in ten times.")
    median: Decimal = strawberry.field(description="The end will lie above it as often as below.")
    high: Decimal = strawberry.field(description="The end will lie above it once in ten times.")
    coverage: float = strawberry.field(description="How often the end will lie between low and high: 0.8.")
    chance: float = strawberry.field(description="How probable it is that the goal is attained, from 0 to 1.")
    working_days_seen: int = strawberry.field(description="How many working days it rests on.")
    working_days_ahead: float = strawberry.field(
        description="How many working days are to come; today counts for the share of it that is left."
    )

    @classmethod
    def of(cls, forecast: forecasts.Forecast) -> "GoalOutlook":
        return cls(
            low=forecast.low,
            median=forecast.median,
            high=forecast.high,
            coverage=forecasts.COVERAGE,
            chance=forecast.chance,
            working_days_seen=forecast.seen,
            working_days_ahead=forecast.ahead,
        )
