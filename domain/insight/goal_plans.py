"""How a goal can still be reached: what is needed of each step of the funnel per working day, at the own rates.

What is left of the target is spread over the working days that are left, today included while its working hours last.
From there it goes up the funnel (domain/insight/funnel.py): what is needed of the step before is what is needed of a
step, divided by the rate between them. Where a step comes of two (a prospect is reached by a reply or by a call), both
are needed in the mix of the past. Rates are those of the last `BASIS_DAYS` days, drawn towards those of the peers where
the rep has few (domain/insight/rates.py); of a group or the team they are everybody's together. A rate that rests on
fewer than `TRUSTED_EVENTS` events is not used, and the plan ends below it.

The interval: the rates are drawn `DRAWS` times from their posteriors (shares from beta, others from gamma
distributions of their mean and variance) and multiplied; the 10th and the 90th hundredth of what would be needed are
told, which hold it four times in five as far as it depends on the rates.

The plan takes a pace that is kept up: what was begun before the period and ends in it makes up for what is begun in it
and ends after it. It says where that cannot be: where a deal takes longer from its creation on than there is time left,
a step's `in_time` is false.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from domain.access import Sight, Viewer
from domain.errors import Forbidden
from domain.goal_board import GoalBoard
from domain.goal_events import GoalView
from domain.goal_progress import Standing, board_now, people_of, progress_of, standings_in
from domain.insight.forecasts import Forecast, days_ahead, forecasts_of
from domain.insight.funnel import ORDER, Step
from domain.insight.plan_basis import Basis, chain_to, read_basis
from domain.insight.rates import Counts, Kind, Posterior
from domain.insight.robust import Floats
from domain.insight.series import read_series
from domain.insight.words import counted, day, number, shown_rate, trials
from domain.metrics import BASE_SUM_NAMES, METRICS, MetricUnit, unavailable_reason
from domain.models.people import Permission
from domain.pacing import GoalStatus, Progress
from domain.periods import Calendar, Days
from domain.workdays import PersonalTime

if TYPE_CHECKING:
    from domain.database import Connection

DRAWS = 4_000
TRUSTED_EVENTS = 5.0
COVERAGE = 0.8
HOPELESS = 0.01
"""A smaller chance than this at the pace of the past, and a need beyond the best stretch of it, is out of reach."""
_SEED = 19_750_206


class Outcome(StrEnum):
    """What a plan comes to."""

    PLANNED = "PLANNED"
    ATTAINED = "ATTAINED"
    OUT_OF_REACH = "OUT_OF_REACH"
    NO_TIME_LEFT = "NO_TIME_LEFT"
    RATE = "RATE"
    UNAVAILABLE = "UNAVAILABLE"
    NOT_IN_FORCE = "NOT_IN_FORCE"


@dataclass(frozen=True, slots=True)
class PlanStep:
    """What is needed of one step.

    Args:
        metric: Of what.
        per_day: How much per working day.
        low: The least that may do, four times in five.
        high: The most that may be needed.
        rate: How much of the next step one of it brings; of the goal's own metric 1.
        current: How much per working day it was in the days that the rates rest on.
        basis: Which days and counts the rate rests on, in words.
        in_time: Whether what is begun here now ends within the period, on average.
    """

    metric: str
    per_day: float
    low: float
    high: float
    rate: float
    current: float
    basis: str
    in_time: bool = True


@dataclass(frozen=True, slots=True)
class GoalPlan:
    """How a goal can be reached.

    Args:
        goal: The goal.
        outcome: What the plan comes to.
        days: The days of the period on which the goal holds; None where it holds on none.
        days_left: The working days that are left.
        left: What is left of the target; None of a rate, and where it is not known.
        needed_rate: Of a goal for a rate: what the rest of the period has to bring, at as many trials as so far.
        forecast: Where it will end at the pace of the past.
        steps: What is needed, in the order of the funnel; none where there is nothing to plan.
        explanation: All of it in words.
    """

    goal: GoalView
    outcome: Outcome
    days: Days | None
    days_left: int
    left: float | None
    needed_rate: float | None
    forecast: Forecast | None
    steps: tuple[PlanStep, ...]
    explanation: str


@dataclass(frozen=True, slots=True)
class PlanQuestion:
    """Which goal's plan, and for whom.

    Args:
        viewer: Who asks.
        users: The users in sight.
        calendar: How the team counts days.
        now: The clock.
        available: The metrics whose feeds are connected.
        goal: A goal in sight.
    """

    viewer: Viewer
    users: Sight
    calendar: Calendar
    now: datetime
    available: Collection[str]
    goal: GoalView


async def goal_plan(connection: Connection, asked: PlanQuestion) -> GoalPlan:
    """The plan of a goal in the period that holds today, in a fixed number of statements.

    Raises:
        Forbidden: the viewer sees the goal, but not the numbers of all whom it counts.
    """
    goal, team_id = asked.goal, asked.viewer.team_id
    board, [(_goal, period)] = await board_now(connection, team_id, asked.calendar, [goal], asked.now)
    people = people_of(board, goal)
    if not all(asked.users.sees(team_id, user_id) for user_id in people):
        raise Forbidden(
            "A plan shows the numbers of whom the goal is for: this needs the permission TEAM_VIEW.",
            permission=Permission.TEAM_VIEW.value,
        )
    [standing] = await standings_in(connection, team_id, board, [(goal, period)])
    if standing is None:
        return _nothing(goal, Outcome.NOT_IN_FORCE, None, 0, "The goal holds on no day of its period.")
    days_left = _days_left(board, goal, standing)
    metric = METRICS[goal.metric]
    if goal.metric not in asked.available:
        reason = unavailable_reason(goal.metric)
        return _nothing(goal, Outcome.UNAVAILABLE, standing.window, days_left, reason)
    progress = progress_of(board, goal, period, standing, asked.available)
    assert progress is not None, "the goal holds"
    currency = asked.viewer.currency
    stands = _stands(goal, progress, currency)
    if progress.status is GoalStatus.ATTAINED and not metric.is_quotient:
        return _nothing(goal, Outcome.ATTAINED, standing.window, days_left, f"Attained: {stands}.", left=0.0)
    left = None if metric.is_quotient else max(0.0, float(progress.target) - float(progress.actual or 0))
    if not days_left:
        told = f"No working day is left up to {day(standing.window.last)}: {stands}."
        return _nothing(goal, Outcome.NO_TIME_LEFT, standing.window, 0, told, left=left)
    today = asked.calendar.today(asked.now)
    series = await read_series(connection, team_id, board, [goal], today)
    [forecast] = forecasts_of(board, asked.available, [(goal, period)], [standing], series)
    if left is None:
        ahead = days_ahead(board, goal, standing)
        return _of_rate(goal, standing, progress, days_left, series[0].rows, ahead, forecast, stands)
    need = left / days_left
    basis = await read_basis(connection, asked.viewer, asked.users, goal, asked.available, people, today)
    days_to_go = (standing.window.last - max(today, standing.window.first)).days
    steps, broken = _steps(asked, basis, need, days_to_go, stands)
    outcome, reach = _reach(need, days_left, series[0].rows[:, 0], forecast)
    told = (
        f"{stands[0].upper()}{stands[1:]}, which leaves {counted(goal.metric, need, currency)} per working day for "
        f"{_working_days(days_left)}{reach}."
    )
    if not all(step.in_time for step in steps):
        told += (
            f" A deal takes {number(basis.cycle_days)} days from its creation on average and {days_to_go} are left, so "
            "that what is begun now is mostly won after the period."
        )
    if broken:
        told += f" Too little is known of what comes before {METRICS[broken].label.lower()} to plan it."
    return GoalPlan(goal, outcome, standing.window, days_left, left, None, forecast, steps, told)


def _nothing(
    goal: GoalView, outcome: Outcome, days: Days | None, days_left: int, told: str, *, left: float | None = None
) -> GoalPlan:
    return GoalPlan(goal, outcome, days, days_left, left, None, None, (), told)


def _working_days(count: int) -> str:
    return "the one working day left" if count == 1 else f"the {count} working days left"


def _stands(goal: GoalView, progress: Progress, currency: str) -> str:
    """How the goal stands, in words."""
    if METRICS[goal.metric].is_quotient:
        target = shown_rate(goal.metric, float(progress.target), currency)
        now = "nothing yet" if progress.actual is None else shown_rate(goal.metric, float(progress.actual), currency)
        return f"it stands at {now}, and {target} is asked for"
    done = float(progress.actual or 0)
    said = number(done) if METRICS[goal.metric].unit is MetricUnit.COUNT else counted(goal.metric, done, currency)
    return f"{said} of {counted(goal.metric, float(progress.target), currency)} so far"


def _days_left(board: GoalBoard, goal: GoalView, standing: Standing) -> int:
    """The working days that are left, today included while its working hours last."""
    moment = board.proration.moment
    off = standing.parts[0].off if goal.user_id is not None else ()
    time = PersonalTime(board.proration.work, off)
    first = max(standing.window.first, moment.today)
    over = first == moment.today and moment.share >= 1
    return time.count(first + timedelta(days=over), standing.window.last)


def _of_rate(
    goal: GoalView,
    standing: Standing,
    progress: Progress,
    days_left: int,
    rows: Floats,
    ahead: float,
    forecast: Forecast | None,
    stands: str,
) -> GoalPlan:
    """A rate cannot be spread over days: what the rest of the period has to bring instead, at as many trials a day."""
    told = f"A rate is no amount that could be spread over days: {stands}."
    definition = METRICS[goal.metric]
    sums = dict(zip(BASE_SUM_NAMES, standing.sums, strict=True))
    done = float(sums[definition.numerator])
    scale = definition.scale
    divisor = float(sum(sums[name] for name in definition.denominators)) * scale
    coming = float(rows[:, 1:].sum()) / len(rows) * ahead * scale if len(rows) else 0.0
    if coming <= 0:
        return GoalPlan(goal, Outcome.RATE, standing.window, days_left, None, None, forecast, (), told)
    needed = max(0.0, (float(progress.target) * (divisor + coming) - done) / coming)
    outcome = Outcome.RATE
    if definition.unit is MetricUnit.RATIO and needed > 1:
        outcome = Outcome.OUT_OF_REACH
        told += " Even if all that is to come succeeded, it would not be reached."
    elif definition.unit is MetricUnit.RATIO:
        told += f" With as many a day as so far, the rest of the period has to bring {shown_rate(goal.metric, needed)}."
    return GoalPlan(goal, outcome, standing.window, days_left, None, needed, forecast, (), told)


_LATE = ("CLOSED_WON_COUNT", "CLOSED_WON_AMOUNT")


def _steps(
    asked: PlanQuestion, basis: Basis, need: float, days_to_go: int, stands: str
) -> tuple[tuple[PlanStep, ...], str | None]:
    """What is needed of each step, in the order of the funnel; and the step above which nothing can be told."""
    goal, currency = asked.goal.metric, asked.viewer.currency
    generator = np.random.default_rng(_SEED)
    needs: dict[str, tuple[float, Floats]] = {goal: (need, np.full(DRAWS, need))}
    found = [PlanStep(goal, need, need, need, 1.0, basis.current(goal), f"The goal itself: {stands}.")]
    broken: str | None = None
    for step in chain_to(goal, asked.available):
        if step.target not in needs:
            continue
        counts, rates = basis.rate(step)
        mean, variance = float(rates.mean[basis.place]), float(rates.variance[basis.place])
        mix = _mix(step, basis, generator)
        if not mean > 0 or not float(rates.events[basis.place]) >= TRUSTED_EVENTS or mix is None:
            broken = broken or step.target
            continue
        point, draws = needs[step.target]
        drawn = draws / drawn_rates(step.kind, mean, variance, DRAWS, generator)
        told = _basis_in_words(step, counts, rates, basis, currency)
        late = goal in _LATE and step.target != "CLOSED_WON_AMOUNT" and basis.cycle_days > days_to_go
        for source, (share, shares) in zip(step.sources, mix, strict=True):
            amount, amounts = point / mean * share, drawn * shares
            low, high = np.quantile(amounts, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
            needs[source] = (amount, amounts)
            found.append(
                PlanStep(
                    source,
                    amount,
                    min(float(low), amount),
                    max(float(high), amount),
                    mean,
                    basis.current(source),
                    told,
                    in_time=not late,
                )
            )
    order = {metric: number_of for number_of, metric in enumerate(ORDER)}
    return tuple(sorted(found, key=lambda one: order.get(one.metric, -1))), broken


def _mix(step: Step, basis: Basis, generator: np.random.Generator) -> list[tuple[float, Floats]] | None:
    """Which share of a step's sources is each, as it was; None where nothing was."""
    if len(step.sources) == 1:
        return [(1.0, np.ones(DRAWS))]
    parts = [float(basis.numbers.sums[METRICS[source].numerator][basis.place]) for source in step.sources]
    if not sum(parts):
        return None
    shares = generator.dirichlet([part + 0.5 for part in parts], DRAWS)
    return [(part / sum(parts), shares[:, number_of]) for number_of, part in enumerate(parts)]


def drawn_rates(kind: Kind, mean: float, variance: float, draws: int, generator: np.random.Generator) -> Floats:
    """Rates drawn from a posterior of a mean and a variance."""
    if not variance > 0:
        return np.full(draws, mean)
    found: Floats
    if kind is Kind.SHARE:
        # The pseudo-trials of a beta distribution of that mean and variance.
        trials_of = mean * (1 - mean) / variance - 1
        found = generator.beta(mean * trials_of, (1 - mean) * trials_of, draws)
    else:
        found = generator.gamma(mean * mean / variance, variance / mean, draws)
    return np.maximum(found, 1e-12)


def _basis_in_words(step: Step, counts: Counts, rates: Posterior, basis: Basis, currency: str) -> str:
    a, b = float(counts.a[basis.place]), float(counts.b[basis.place])
    told = (
        f"{counted(step.target, a, currency)} of {b:,.0f} {trials(step)}, {day(basis.days.first)} to "
        f"{day(basis.days.last)} ({basis.worked:.0f} working days)"
    )
    weight = float(rates.prior_weight[basis.place])
    if not weight:
        return f"{told}."
    prior = float(rates.prior_mean[basis.place])
    lent = f"{prior * 100:.1f}%" if step.kind is Kind.SHARE else counted(step.target, prior, currency)
    return (
        f"{told}, drawn towards the peers' {lent}{'' if step.kind is Kind.SHARE else ' each'} by the weight of "
        f"{number(weight)} {trials(step)}."
    )


def _reach(need: float, days_left: int, done: Floats, forecast: Forecast | None) -> tuple[Outcome, str]:
    """Whether so much a day was ever done."""
    if forecast is None or forecast.chance >= HOPELESS or not len(done):
        return Outcome.PLANNED, ""
    length = min(days_left, len(done))
    before = np.concatenate([[0.0], np.cumsum(done)])
    best = float((before[length:] - before[:-length]).max()) / length
    if need <= best:
        return Outcome.PLANNED, ""
    stretch = "any day" if length == 1 else f"any {length} working days"
    return (
        Outcome.OUT_OF_REACH,
        f": more than in {stretch} of the last {len(done)}, of which the best had {number(best)} a day",
    )
