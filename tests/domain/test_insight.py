"""Gaps, gains and forecasts, on teams whose truth is known.

Invariants:
A. Medians, distances, posteriors, gaps and gains are those of a plain recomputation.
B. Nothing depends on the order of the reps, on the unit of money, or on people who are no peers.
C. A planted gap is found, at the rep and the step where it was planted; a team of equals has hardly any.
D. At the edges (few peers, all alike, nothing to divide by, few trials) there is no gap rather than a wrong one.
E. A forecast's interval holds the end about as often as it says.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from domain.insight import forecasts
from domain.insight.funnel import Measure, levers_of
from domain.insight.gaps import Gap, find_gaps
from domain.insight.rates import Counts, Kind, shrunken
from domain.insight.robust import discoveries, distances
from domain.insight.series import Series, drift_of, weekday_levels
from domain.insight.words import explain
from domain.metrics import METRICS
from tests.made_up_teams import FUNNEL, Truth, circle_of, days_of, numbers_of
from tests.oracle import insight as oracle

HORIZON = 63.0
Days = list[dict[str, float]]


def gaps_of(team: list[Days]) -> list[Gap]:
    return find_gaps(numbers_of(team), [circle_of(len(team))], FUNNEL, HORIZON)


def mixed_team(seed: int, size: int = 10, days: int = 40) -> list[Days]:
    """Reps who differ in everything, one of them by a lot."""
    generator = np.random.default_rng(seed)
    team = []
    for number in range(size):
        level, craft = generator.uniform(0.75, 1.3, 2)
        if number == 0:
            level, craft = level * 0.6, craft * 0.6
        truth = Truth(
            emails=12 * level,
            calls=15 * level,
            reply=0.08 * craft,
            connect=0.2 * craft,
            show=min(0.95, 0.75 * craft),
            opportunity=0.4 * craft,
            win=0.3 * craft,
            deal=9_000 * generator.uniform(0.6, 1.5),
        )
        team.append(days_of(truth, days + int(generator.integers(0, 20)), generator))
    return team


values = st.lists(
    st.one_of(st.integers(0, 5).map(float), st.floats(0, 1e6, allow_nan=False, width=32)), min_size=3, max_size=14
)


@given(values)
@example([1.0, 1.0, 1.0, 5.0])
@example([2.0, 2.0, 2.0])
@example([0.1, 0.1, 0.1, 0.1, 0.3])
def test_distances_equal_the_oracle(sample: list[float]) -> None:
    found = distances(np.array(sample))
    for number, value in enumerate(sample):
        others = sample[:number] + sample[number + 1 :]
        median, spread, z = oracle.distance(value, others)
        assert found.median[number] == pytest.approx(median, abs=1e-12)
        assert found.spread[number] == pytest.approx(spread, rel=1e-9, abs=1e-9)
        assert found.others[number] == len(others)
        if z is None:
            assert math.isnan(found.z[number])
        elif spread > 1e-9 * max(abs(median), 1):
            assert found.z[number] == pytest.approx(z, rel=1e-6, abs=1e-6)


def test_who_has_no_value_is_nobodys_peer() -> None:
    found = distances(np.array([1.0, math.nan, 2.0, 3.0]))
    assert list(found.median) == pytest.approx([2.5, math.nan, 2.0, 1.5], nan_ok=True)
    assert list(found.others) == [2, 3, 2, 2]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_discoveries_equal_the_oracle(p_values: list[float]) -> None:
    found = discoveries(np.array([*p_values, math.nan]), 0.05)
    assert {number for number, stands in enumerate(found) if stands} == oracle.stands(dict(enumerate(p_values)), 0.05)


@pytest.mark.parametrize("seed", range(12))
def test_gaps_equal_the_oracle(seed: int) -> None:
    team = mixed_team(seed)
    found, expected = gaps_of(team), oracle.gaps(team, HORIZON)
    assert [(gap.place, gap.lever.metric, gap.lever.measure) for gap in found] == [
        (one.rep, one.metric, one.measure) for one in expected
    ]
    for gap, one in zip(found, expected, strict=True):
        assert (gap.value, gap.median, gap.z, gap.p_value, gap.share) == pytest.approx(
            (one.value, one.median, one.z, one.p_value, one.share), rel=1e-6
        )
        assert [METRICS[gain.metric].numerator for gain in gap.gains] == [
            name for name, _amount, _relative in one.gains
        ]
        for gain, (_name, amount, relative) in zip(gap.gains, one.gains, strict=True):
            reach = 1.2815515655446004 * math.sqrt(relative) * amount
            assert (gain.expected, gain.low, gain.high) == pytest.approx(
                (amount, max(0.0, amount - reach), amount + reach), rel=1e-6
            )


def test_the_oracle_has_had_something_to_compare() -> None:
    seen = {(one.metric, one.measure) for seed in range(12) for one in oracle.gaps(mixed_team(seed), HORIZON)}
    assert len(seen) >= 4
    shown = {(lever.metric, lever.measure.value) for lever in levers_of(FUNNEL)}
    assert shown == set(oracle.LEVERS)


@pytest.mark.parametrize("kind", Kind)
def test_posteriors_equal_the_oracle(kind: Kind) -> None:
    rate = {
        Kind.SHARE: oracle.Rate("share", "emails_replied", ("emails_delivered",)),
        Kind.COUNT: oracle.Rate("count", "opportunities_created", ("meetings_held",)),
        Kind.MEAN: oracle.Rate("mean", "closed_won_amount", ("closed_won_count",)),
    }[kind]
    for seed in range(4):
        team = [*mixed_team(seed, size=6), []]
        counts = Counts(
            np.array([rate.a(days) for days in team]),
            np.array([rate.b(days) for days in team]),
            np.array([math.nan if (one := rate.residual(days)) is None else one for days in team]),
        )
        found = shrunken(kind, counts)
        for number, days in enumerate(team):
            peers = team[:number] + team[number + 1 :]
            known = oracle.posterior(rate, days, peers, team)
            assert known is not None
            shown = (found.mean[number], found.variance[number], found.events[number])
            assert shown == pytest.approx(known, rel=1e-6)


def test_a_rate_lies_between_the_own_and_the_peers() -> None:
    counts = Counts(np.array([0.0, 40, 50, 60, 45]), np.array([12.0, 500, 500, 500, 500]), np.full(5, math.nan))
    found = shrunken(Kind.SHARE, counts)
    assert 0 < found.mean[0] < found.prior_mean[0]
    alone = shrunken(Kind.SHARE, Counts(np.array([3.0]), np.array([9.0]), np.array([math.nan])))
    assert alone.mean[0] == pytest.approx(0.35)
    assert alone.prior_weight[0] == 0


@settings(max_examples=15)
@given(st.integers(0, 40), st.randoms(use_true_random=False), st.floats(0.01, 1_000))
def test_order_and_units_do_not_matter(seed: int, random: object, factor: float) -> None:
    team = mixed_team(seed, size=9, days=30)
    found = gaps_of(team)
    order = list(range(len(team)))
    random.shuffle(order)  # type: ignore[attr-defined]
    mixed = gaps_of([team[place] for place in order])
    named = {(order[gap.place], gap.lever, round(gap.z, 6), round(gap.share, 6)) for gap in mixed}
    assert named == {(gap.place, gap.lever, round(gap.z, 6), round(gap.share, 6)) for gap in found}
    dear = gaps_of([[day | {"closed_won_amount": day["closed_won_amount"] * factor} for day in days] for days in team])
    assert [(gap.place, gap.lever.metric) for gap in dear] == [(gap.place, gap.lever.metric) for gap in found]
    for gap, other in zip(found, dear, strict=True):
        for gain, scaled in zip(gap.gains, other.gains, strict=True):
            money = factor if gain.metric == "CLOSED_WON_AMOUNT" else 1
            assert scaled.expected == pytest.approx(gain.expected * money, rel=1e-6)


def test_who_is_in_no_circle_changes_nothing() -> None:
    team = mixed_team(3)
    found = gaps_of(team)
    assert found
    strangers = [days_of(Truth(emails=80, reply=0.5), 40, np.random.default_rng(9)) for _ in range(4)]
    again = find_gaps(numbers_of([*team, *strangers]), [circle_of(len(team))], FUNNEL, HORIZON)
    assert [replace(gap, gains=()) for gap in again] == [replace(gap, gains=()) for gap in found]


PLANTED = {
    "EMAILS_SENT": Truth(emails=6),
    "CALLS_LOGGED": Truth(calls=7.5),
    "REPLY_RATE": Truth(reply=0.03),
    "CONNECT_RATE": Truth(connect=0.09),
    "SHOW_RATE": Truth(show=0.45),
    "AVERAGE_DEAL": Truth(deal=3_500),
    "BOUNCE_RATE": Truth(bounce=0.16),
}


@pytest.mark.parametrize("metric", PLANTED)
def test_a_planted_gap_is_found(metric: str) -> None:
    found = wrong = 0
    days = 200 if metric == "AVERAGE_DEAL" else 60
    for seed in range(12):
        generator = np.random.default_rng((seed, 5))
        truths = [PLANTED[metric]] + [Truth()] * 11
        gaps = gaps_of([days_of(truth, days, generator) for truth in truths])
        found += any(gap.place == 0 and gap.lever.metric == metric for gap in gaps)
        wrong += len({gap.place for gap in gaps} - {0})
    assert found >= 11
    assert wrong <= 2, "of 132 reps without a gap"


def test_a_team_of_equals_has_hardly_any_gap() -> None:
    alarms = reps = teams = 0
    for seed in range(120):
        generator = np.random.default_rng((seed, 7))
        size = int(generator.integers(6, 16))
        gaps = gaps_of([days_of(Truth(), int(generator.integers(15, 60)), generator) for _ in range(size)])
        alarms += len({gap.place for gap in gaps})
        teams += bool(gaps)
        reps += size
    assert alarms / reps <= 0.003
    assert teams / 120 <= 0.03


def test_a_little_less_of_everything_is_found() -> None:
    named = 0
    for seed in range(12):
        generator = np.random.default_rng((seed, 11))
        weak = Truth(emails=8.5, calls=10.5, reply=0.055, connect=0.14, show=0.62, opportunity=0.3)
        truths = [weak] + [Truth(emails=12 * f, calls=15 * f) for f in np.linspace(0.85, 1.15, 11)]
        named += any(gap.place == 0 for gap in gaps_of([days_of(truth, 25, generator) for truth in truths]))
    assert named >= 11


def test_at_the_edges_there_is_nothing() -> None:
    generator = np.random.default_rng(1)
    weak = days_of(Truth(emails=3, reply=0.01), 60, generator)
    few = [weak, *(days_of(Truth(), 60, generator) for _ in range(4))]
    assert gaps_of(few) == [], "four peers are too few"
    alike = [dict.fromkeys(weak[0], 0.0) | {"emails_sent": 10.0, "emails_delivered": 10.0}] * 40
    assert gaps_of([[day | {"emails_sent": 1.0} for day in alike], *[alike] * 9]) == [], "no spread, no measure"
    nothing: Days = [{} for _ in range(40)]
    assert gaps_of([nothing] * 10) == []
    assert find_gaps(numbers_of([weak] * 10), [circle_of(10)], frozenset(), HORIZON) == []
    # One reply would be expected: that none came says nothing.
    short = days_of(Truth(emails=1, calls=15, reply=0), 15, generator)
    team = [short, *(days_of(Truth(emails=1), 60, generator) for _ in range(11))]
    assert not [gap for gap in gaps_of(team) if gap.lever.metric == "REPLY_RATE"]


def test_a_band_is_no_lever_and_lower_can_be_better() -> None:
    levers = {lever.metric: lever for lever in levers_of(METRICS)}
    assert "TALK_RATIO" not in levers
    assert levers["BOUNCE_RATE"].lower_is_better
    assert levers["SALES_CYCLE"].lower_is_better
    # Without emails and calls the funnel begins at the meetings.
    assert {lever.metric: lever.measure for lever in levers_of({"MEETINGS_BOOKED", "MEETINGS_HELD", "SHOW_RATE"})} == {
        "MEETINGS_BOOKED": Measure.PER_WORKING_DAY,
        "SHOW_RATE": Measure.RATE,
        "MEETINGS_HELD": Measure.PER_WORKING_DAY,
    }


def test_a_gap_is_told_in_one_sentence() -> None:
    generator = np.random.default_rng(2)
    team = [days_of(truth, 60, generator) for truth in [Truth(reply=0.02)] + [Truth()] * 11]
    gap = next(gap for gap in gaps_of(team) if gap.place == 0)
    told = explain(gap, gap.gains[-1], "Jordan Lee", "USD")
    assert told.startswith(f"Jordan Lee's reply rate is {gap.value * 100:.1f}% of {gap.units:,.0f} emails delivered")
    assert f"the median of 11 peers on the team is {gap.median * 100:.1f}".removesuffix(".0") in told
    assert told.count(". ") == 0
    assert told.endswith("more a quarter.")


@pytest.mark.parametrize(("mean", "days", "metric"), [(4.0, 3, "CALLS_LOGGED"), (4.0, 20, "CALLS_LOGGED")])
def test_a_forecast_holds_the_end_as_often_as_it_says(mean: float, days: int, metric: str) -> None:
    generator = np.random.default_rng((days, 3))
    weekdays = np.arange(60) % 5
    coming = np.bincount(np.arange(days) % 5, minlength=7).astype(float)
    drawn = forecasts.weights(60, float(days), 400)
    held = 0
    trials = 500
    for _ in range(trials):
        # Busy and quiet days: more scatter than chance alone.
        levels = generator.gamma(4, mean / 4, 60 + days)
        done = generator.poisson(levels).astype(float)
        series = Series(done[:60, None], weekdays, np.ones(7))
        ends = forecasts.drawn_ends(metric, np.zeros(1), series, coming, drawn)
        low, high = np.quantile(ends, [0.1, 0.9])
        held += bool(low <= done[60:].sum() <= high)
    assert 0.76 <= held / trials <= 0.9


def test_a_forecast_of_a_rate_holds_the_end_as_often_as_it_says() -> None:
    generator = np.random.default_rng(4)
    drawn = forecasts.weights(60, 30.0, 400)
    coming = np.array([6.0] * 5 + [0, 0])
    held = 0
    for _ in range(400):
        sent = generator.poisson(12, 90)
        replied = generator.binomial(sent, 0.08)
        rows = np.column_stack([replied, sent]).astype(float)
        series = Series(rows[:60], np.arange(60) % 5, np.ones(7))
        so_far = np.array([30.0, 400.0])
        ends = forecasts.drawn_ends("REPLY_RATE", so_far, series, coming, drawn)
        low, high = np.quantile(ends, [0.1, 0.9])
        total = so_far + rows[60:].sum(axis=0)
        held += bool(low <= total[0] / total[1] <= high)
    assert 0.76 <= held / 400 <= 0.88


def test_weekdays_are_put_right_without_losing_anything() -> None:
    weekdays = np.arange(60) % 5
    rows = np.where(weekdays == 4, 2.0, 8.0)[:, None]
    levels = weekday_levels(rows, weekdays)
    assert levels[4] == pytest.approx(2 / rows.mean(), rel=1e-6)
    series = Series(rows, weekdays, levels)
    drawn = forecasts.weights(60, 1.0, 400)
    friday = forecasts.drawn_ends("CALLS_LOGGED", np.zeros(1), series, np.eye(7)[4], drawn)
    assert set(friday) == {2.0}
    noise = np.random.default_rng(1).poisson(5, (60, 1)).astype(float)
    assert np.abs(weekday_levels(noise, weekdays) - 1).max() < 0.2


def test_drift_is_what_chance_does_not_explain() -> None:
    generator = np.random.default_rng(6)
    steady = [drift_of(generator.poisson(400, 12).astype(float), np.ones(12)) for _ in range(60)]
    assert np.mean(steady) < 0.03
    walks = [400 * np.exp(np.cumsum(generator.normal(0, 0.3, 12))) for _ in range(60)]
    found = [drift_of(generator.poisson(walk).astype(float), np.ones(12)) for walk in walks]
    assert np.mean(found) == pytest.approx(0.3, abs=0.04)
    assert drift_of(np.array([0.0, 0, 5]), np.ones(3)) == 0
