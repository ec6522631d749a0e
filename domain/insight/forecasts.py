"""Where goals will end, with an interval that holds the end four times in five.

What is done already stands; what the rest of the period brings is drawn from the subject's own last working days. Days
are drawn with weights that are themselves drawn (the Bayesian bootstrap: Rubin, The Annals of Statistics 1981), so that
the interval knows both how much days differ and how little a few days tell of the days to come: of k days to come out
of h days seen, the sum has about the variance s² (k + k² / h). Of a rate the numerator and the divisor are drawn
together, day by day. What is done on a day off counts with the working day before it.

Two things are put right. Weekdays differ: each day seen is divided by the level of its weekday, and what is to come is
multiplied by the levels of its own; these are the team's, of `WEEKDAY_PEOPLE` reps at most, drawn towards 1 as far as
chance explains them (the positive-part James-Stein estimator: Efron and Morris, JASA 1975). And the level itself
drifts: how much the whole team's level per working day and person changed from each of the last `DRIFT_MONTHS` months
to the next, less what chance explains, is taken for the steps of a random walk from the middle of the days seen to the
middle of those to come, by which all that is drawn is multiplied.

The days are the last `HISTORY_DAYS` working days at most, those alone on which the person was with the team and not
off. With fewer than `FEWEST_DAYS` there is no forecast. `COVERAGE` says how often the end should lie within; the tests
count it on made-up teams whose truth is known, docs/insight.md says what it was on the demo team and on a real CRM's.
What no draw from the past can know is what it has not seen: a season, a campaign.

The same draws serve every goal with as many days seen and to come: one product of matrices, however many goals.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING
from uuid import UUID

import numpy as np

from domain.goal_board import GoalBoard
from domain.goal_events import GoalView
from domain.goal_progress import Standing, board_now, progress_of, standings_in
from domain.insight.rates import quotient
from domain.insight.robust import Floats
from domain.insight.series import Series, amounts_of, read_series, sums_of
from domain.metrics import BASE_SUM_NAMES, METRICS, MetricUnit, available_metrics
from domain.people import connected_feeds
from domain.periods import Calendar, Days

if TYPE_CHECKING:
    from domain.database import Connection

COVERAGE = 0.8
FEWEST_DAYS = 15
DRAWS = 2_000
MONTH_WORKING_DAYS = 21.0
_SEED = 19_810_130
"""Forecasts of the same numbers are the same."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """Where a goal will end.

    Args:
        days: The period.
        low: Below it the end will lie once in ten times.
        median: As often above as below it.
        high: Above it the end will lie once in ten times.
        chance: How probable it is that the goal is attained then.
        seen: How many working days it rests on.
        ahead: How many working days are to come; today counts for the share of it that is left.
    """

    days: Days
    low: Decimal
    median: Decimal
    high: Decimal
    chance: float
    seen: int
    ahead: float


async def forecasts_now(
    connection: Connection, team_id: UUID, calendar: Calendar, goals: Sequence[GoalView], now: datetime
) -> list[Forecast | None]:
    """Where goals will end in the period that is shown of each; None where nothing is to come, the metric is not
    available, or too few days were seen."""
    if not goals:
        return []
    available = available_metrics(await connected_feeds(connection, team_id))
    board, asked = await board_now(connection, team_id, calendar, goals, now)
    standings = await standings_in(connection, team_id, board, asked)
    series = await read_series(connection, team_id, board, goals, calendar.today(now))
    return forecasts_of(board, available, asked, standings, series)


def forecasts_of(
    board: GoalBoard,
    available: Collection[str],
    asked: Sequence[tuple[GoalView, Days]],
    standings: Sequence[Standing | None],
    series: Sequence[Series],
) -> list[Forecast | None]:
    """The same of what has been read."""
    found: list[Forecast | None] = [None] * len(asked)
    alike: dict[tuple[int, float], list[int]] = {}
    for number, ((goal, _days), standing) in enumerate(zip(asked, standings, strict=True)):
        if standing is None or goal.metric not in available:
            continue
        ahead = days_ahead(board, goal, standing)
        seen = len(series[number].rows)
        # Of what was never seen nothing can be drawn.
        if ahead > 0 and seen >= FEWEST_DAYS and series[number].rows[:, 0].any():
            alike.setdefault((seen, ahead), []).append(number)
    for (seen, ahead), numbers in alike.items():
        draws = weights(seen, ahead)
        for number in numbers:
            goal, days = asked[number]
            standing = standings[number]
            assert standing is not None, "only goals that hold are drawn"
            progress = progress_of(board, goal, days, standing, available)
            assert progress is not None, "only goals that hold are drawn"
            done = np.array([float(standing.sums[_POSITION[name]]) for name in sums_of(goal.metric)])
            coming = _weekdays_ahead(board, goal, standing)
            ends = drawn_ends(goal.metric, done, series[number], coming, draws)
            found[number] = _told(goal.metric, days, ends, float(progress.target), seen, ahead)
    return found


def drawn_ends(metric: str, done: Floats, series: Series, coming: Floats, draws: Floats) -> Floats:
    """What a metric will be at the end, draw by draw; not a number where there is nothing to divide by.

    Args:
        metric: The metric.
        done: Its base sums so far.
        series: The days seen.
        coming: How many of the days to come fall on each weekday.
        draws: Of `weights`, for as many days seen and to come.
    """
    definition = METRICS[metric]
    levels, ahead = series.levels, float(coming.sum())
    seen = levels[series.weekdays]
    # What was seen is all spread anew: none of it is lost.
    amounts = amounts_of(series.rows)
    lost = float(amounts.sum()) / float((amounts / seen).sum()) if amounts.any() else 1.0
    rest = draws @ (series.rows / seen[:, None]) * (lost * float((coming * levels).sum()) / ahead)
    if series.drift > 0:
        months = (len(series.rows) + ahead) / 2 / MONTH_WORKING_DAYS
        spread = series.drift * np.sqrt(months)
        walk = np.random.default_rng((_SEED, 1)).standard_normal(len(draws))
        rest[:, 0] *= np.exp(spread * walk - spread * spread / 2)
    total = rest + done
    if not definition.is_quotient:
        # A count ends at a whole number.
        end: Floats = np.rint(total[:, 0]) if definition.unit is MetricUnit.COUNT else total[:, 0]
        return end
    return quotient(total[:, 0], total[:, 1:].sum(axis=1) * definition.scale)


def days_ahead(board: GoalBoard, goal: GoalView, standing: Standing) -> float:
    """The working days of a goal's subject that are to come in its window; of today the share that is left."""
    return float(_weekdays_ahead(board, goal, standing).sum())


def _weekdays_ahead(board: GoalBoard, goal: GoalView, standing: Standing) -> Floats:
    """The same by weekday."""
    moment, work = board.proration.moment, board.proration.work
    first, last = max(standing.window.first, moment.today), standing.window.last
    found = np.zeros(7)
    off = set(standing.parts[0].off) if goal.user_id is not None else set()
    for number in range((last - first).days + 1):
        day = first + timedelta(days=number)
        if work.is_working(day) and day not in off:
            found[day.weekday()] += float(1 - moment.share) if day == moment.today else 1.0
    return found


def weights(seen: int, ahead: float, draws: int = DRAWS) -> Floats:
    """How often each of the days seen comes again in the days ahead: a row a draw, whose sum is `ahead`."""
    generator = np.random.default_rng((_SEED, seen, int(ahead * 1_000)))
    chances = generator.dirichlet(np.ones(seen), size=draws)
    whole = int(ahead)
    found: Floats = generator.multinomial(whole, chances).astype(np.float64)
    if ahead > whole:
        found += (ahead - whole) * generator.multinomial(1, chances)
    return found


def _told(metric: str, days: Days, ends: Floats, target: float, seen: int, ahead: float) -> Forecast | None:
    known = ends[np.isfinite(ends)]
    if len(known) < len(ends) / 2:
        return None
    low, median, high = np.quantile(known, [(1 - COVERAGE) / 2, 0.5, (1 + COVERAGE) / 2])
    digits = 6 if METRICS[metric].is_quotient else 2
    chance = float((known >= target * (1 - 1e-12)).mean())
    return Forecast(days, _shown(low, digits), _shown(median, digits), _shown(high, digits), chance, seen, ahead)


def _shown(value: float, digits: int) -> Decimal:
    return round(Decimal(float(value)), digits)


_POSITION = {name: number for number, name in enumerate(BASE_SUM_NAMES)}
