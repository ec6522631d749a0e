"""The gaps that matter: who lies how far below the peers in what, for sure, and what closing that would bring.

For each rep of a circle (domain/insight/peers.py) and each lever (domain/insight/funnel.py), a gap is named if all of
this holds:

1. The robust z-score against the peers (domain/insight/robust.py) is `GAP_Z` or more on the worse side; with fewer than
   `ENOUGH_PEERS` peers, whose median absolute deviation is itself rough, `OUTLIER_Z`.
2. The rep lags the peers' median by `LEAST_SHARE` of it at least. What is smaller is not worth a talk.
3. Chance is no explanation. At the peers' median the rep's numbers would have the variance of the rate's kind
   (domain/insight/rates.py), times by how much the circle's days scatter more than that; the median itself is unsure by
   pi / 2 x spread² / peers. The one-sided score test by that (of a share its inversion is the interval of Wilson, JASA
   1927) stands among all reps and levers of the circle at a false discovery rate of `FALSE_SHARE`. That is the guard
   against many comparisons: the more is looked at, the surer each has to be.
4. There were trials enough: at the peers' median `FEWEST_EVENTS` events (of a share, of either outcome) were to be
   expected; of a mean there are `FEWEST_MEANS` units and days.

What it would bring: the rep's own trials at the peers' median, less what came of them, is the change of the count that
the lever moves; it goes down the funnel at the rep's own rates, drawn towards the peers' where the rep has few. It is
told for a quarter of the team's working days. The interval of it takes the relative variances of the gap and of all
rates below it together (the delta method) and covers 80%.

A rep may lag a little in everything, which no lever shows alone. Given what came before, what is made of it is
independent of it, so that the scores of a rep's levers of the funnel can be added up: their sum over the square root of
their number is normal again (Stouffer, The American Soldier 1949), and so are the robust z-scores. Where the sum stands
among the circle's reps at the false discovery rate, and that of the z-scores is `TOGETHER_Z` or more, the rep lags as a
whole. Then those levers are named that lag by `LEAST_SHARE`, by a z-score of `PART_Z` and with a chance of at most
`PART_CHANCE` by themselves: a hierarchy of tests, the whole first (Yekutieli, JASA 2008).

An outcome (meetings booked per working day) is told only of a rep without a gap in what it comes of, the one nearest to
the begin of the funnel; the largest differences behind it are named with it, though chance may explain each alone.

Of a rep's gaps the `MOST_GAPS` are kept that bring most at the end of the funnel, against what the average peer brings
there; gaps of which nothing is known to come go last, by their z-scores.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np

from domain.insight.funnel import ORDER, Lever, Step, levers_of, metrics_before, steps_after, steps_of
from domain.insight.numbers import Numbers, Ratio
from domain.insight.peers import ENOUGH_PEERS, FEWEST_PEERS, Circle
from domain.insight.rates import Counts, Kind, Posterior, dispersion, quotient, shrunken, unit_variance
from domain.insight.robust import Booleans, Distances, Floats, Integers, discoveries, distances, upper_tail
from domain.metrics import METRICS

GAP_Z = 2.5
"""Less than one in a hundred of normally distributed peers."""
TOGETHER_Z = 2.0
PART_Z = 1.0
PART_CHANCE = 0.05
OUTLIER_Z = 3.5
LEAST_SHARE = 0.1
FALSE_SHARE = 0.01
FEWEST_EVENTS = 5.0
FEWEST_MEANS = 10
MOST_GAPS = 2
TRUSTED_EVENTS = 3.0
"""A rate that rests on fewer events, own and the peers' together, carries nothing further down the funnel."""
COVERAGE = 0.8
COVERAGE_Z = NormalDist().inv_cdf((1 + COVERAGE) / 2)


def lever_ratio(lever: Lever) -> Ratio:
    """The base sums that a lever divides."""
    return (lever.numerator,), lever.denominators


def step_ratio(step: Step) -> Ratio:
    """The base sums that a step's rate divides."""
    return (step.numerator,), step.denominators


def ratios_of(available: Collection[str]) -> list[Ratio]:
    """All that is to be read for what is connected."""
    found = [lever_ratio(lever) for lever in levers_of(available)]
    return list(dict.fromkeys([*found, *(step_ratio(step) for step in steps_of(available))]))


@dataclass(frozen=True, slots=True)
class Gain:
    """What closing a gap would bring of one metric over the horizon, and between which numbers it lies."""

    metric: str
    expected: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Gap:
    """A gap of a rep.

    Args:
        place: The rep's place among the people.
        lever: In what.
        value: The rep's value, as the lever measures it.
        median: The peers'.
        z: The robust z-score.
        peers: How many peers have a value.
        units: The rep's divisor: emails, calls, working days.
        events: The rep's numerator.
        at_median: What the numerator would be at the peers' median.
        p_value: The chance of such numbers at the peers' median.
        days: Working days that the rep worked.
        circle: The group whose reps are the peers; None for the team.
        gains: What closing it would bring, along the funnel; the last is the farthest down.
        share: The last gain as a share of what the average peer brings over the horizon; 0 without one.
        lagging: Of a rep who lags as a whole, in how many levers of the funnel, of how many.
        behind: Of an outcome, the levers in which the rep lags most, with the rep's share of the peers' median.
    """

    place: int
    lever: Lever
    value: float
    median: float
    z: float
    peers: int
    units: float
    events: float
    at_median: float
    p_value: float
    days: float
    circle: str | None
    gains: tuple[Gain, ...]
    share: float
    behind: tuple[tuple[str, float], ...] = ()
    lagging: tuple[int, int] | None = None

    @property
    def weight(self) -> tuple[float, float]:
        """What matters more has a greater one."""
        return self.share, abs(self.z)


@dataclass(frozen=True, slots=True)
class _Tested:
    """One lever over all of a circle.

    Args:
        lever: The lever.
        counts: The numbers.
        value: The rates.
        against: The peers'.
        worse: The robust z-score, more where worse.
        lags: Who lags the median by enough to matter.
        score: The same against chance; not a number where there were too few trials.
        p_value: Its tail.
    """

    lever: Lever
    counts: Counts
    value: Floats
    against: Distances
    worse: Floats
    lags: Booleans
    score: Floats
    p_value: Floats

    @property
    def far(self) -> Booleans:
        """Who is so far from the peers that the lever alone tells."""
        least = np.where(self.against.others >= ENOUGH_PEERS, GAP_Z, OUTLIER_Z)
        found: Booleans = self.lags & (self.worse >= least)
        return found

    @property
    def of_funnel(self) -> bool:
        """Whether it counts among the levers that are added up."""
        return self.lever.moves is not None and not self.lever.outcome


def find_gaps(
    numbers: Numbers, circles: Sequence[Circle], available: Collection[str], horizon_days: float
) -> list[Gap]:
    """The one or two gaps that matter of each rep who is judged, what matters most first.

    Args:
        numbers: Everybody's numbers, with the ratios of `ratios_of`.
        circles: Who is compared with whom.
        available: The metrics whose feeds are connected.
        horizon_days: The working days that gains are told for.
    """
    levers, steps = levers_of(available), steps_of(available)
    counts = {ratio: numbers.counts(ratio) for ratio in ratios_of(available)}
    found: list[Gap] = []
    for circle in circles:
        tests = [_test(numbers, circle, lever, counts[lever_ratio(lever)]) for lever in levers]
        if not tests:
            continue
        table = np.array([test.p_value for test in tests])
        stands = discoveries(table, FALSE_SHARE)
        judged = np.isin(circle.members, circle.judged)
        whole, lagging, tested = _together([test for test in tests if test.of_funnel], circle)
        named = [_named(test, stands[number], whole) & judged for number, test in enumerate(tests)]
        if not any(one.any() for one in named):
            continue
        rates = {step.target: shrunken(step.kind, _of(counts[step_ratio(step)], circle.members)) for step in steps}
        by_rep: dict[int, list[Gap]] = {}
        for test, reps in zip(tests, named, strict=True):
            for at in np.nonzero(reps)[0]:
                gap = _gap(numbers, circle, test, int(at), rates, available, horizon_days)
                if whole[at] and test.of_funnel:
                    gap = replace(gap, lagging=(int(lagging[at]), int(tested[at])))
                by_rep.setdefault(gap.place, []).append(gap)
        for gaps in by_rep.values():
            kept = [
                replace(gap, behind=_behind(tests, gap, circle, available)) if gap.lever.outcome else gap
                for gap in _explained(gaps, available)
            ]
            found += sorted(kept, key=lambda gap: gap.weight, reverse=True)[:MOST_GAPS]
    return sorted(found, key=lambda gap: gap.weight, reverse=True)


def _together(tests: Sequence[_Tested], circle: Circle) -> tuple[Booleans, Integers, Integers]:
    """Who lags as a whole; in how many levers, and of how many that could be tested."""
    nobody = np.zeros(len(circle.members), dtype=np.int64)
    if not tests:
        return nobody.astype(np.bool_), nobody, nobody
    scores, worse = np.array([test.score for test in tests]), np.array([test.worse for test in tests])
    made = np.isfinite(scores) & np.isfinite(worse)
    count = made.sum(axis=0)
    root = np.sqrt(np.maximum(count, 1))
    together = np.where(count >= 2, np.where(made, scores, 0).sum(axis=0) / root, np.nan)
    distance = np.where(made, worse, 0).sum(axis=0) / root
    stands = discoveries(np.where(np.isfinite(together), upper_tail(together), np.nan), FALSE_SHARE)
    lagging = (made & np.array([test.lags for test in tests])).sum(axis=0)
    return stands & (distance >= TOGETHER_Z), lagging, count


def _explained(gaps: Sequence[Gap], available: Collection[str]) -> list[Gap]:
    """A rep's gaps without the outcomes that others of them explain."""
    levers = [gap for gap in gaps if not gap.lever.outcome]
    outcomes = [gap for gap in gaps if gap.lever.outcome]
    if not outcomes:
        return levers
    first = min(outcomes, key=lambda gap: ORDER.index(gap.lever.metric))
    explained = {gap.lever.moves for gap in levers} & metrics_before(first.lever.metric, available)
    return levers if explained else [first, *levers]


def _behind(
    tests: Sequence[_Tested], gap: Gap, circle: Circle, available: Collection[str]
) -> tuple[tuple[str, float], ...]:
    """The levers before an outcome in which the rep lags most."""
    at = int(np.nonzero(circle.members == gap.place)[0][0])
    before = metrics_before(gap.lever.metric, available)
    lags: list[tuple[float, str, float]] = []
    for test in tests:
        value, median = float(test.value[at]), float(test.against.median[at])
        if test.lever.outcome or test.lever.moves not in before or not math.isfinite(float(test.p_value[at])):
            continue
        # At a median of 0 no events would have been expected, and nothing tested.
        share = value / median
        lag = 1 / share if test.lever.lower_is_better and share > 0 else share
        if lag <= 1 - LEAST_SHARE:
            lags.append((lag, test.lever.metric, share))
    return tuple((metric, share) for _lag, metric, share in sorted(lags)[:MOST_GAPS])


def _of(counts: Counts, members: Integers) -> Counts:
    return Counts(counts.a[members], counts.b[members], counts.residuals[members])


def _named(test: _Tested, stands: Booleans, whole: Booleans) -> Booleans:
    """Who is named for a lever: alone, or as a part of the whole."""
    named: Booleans = stands & test.far
    if test.of_funnel:
        with np.errstate(invalid="ignore"):
            named |= whole & test.lags & (test.worse >= PART_Z) & (test.p_value <= PART_CHANCE)
    return named


def _test(numbers: Numbers, circle: Circle, lever: Lever, everybody: Counts) -> _Tested:
    ratio = lever_ratio(lever)
    counts = _of(everybody, circle.members)
    value = quotient(counts.a, counts.b)
    against = distances(value)
    sign = 1.0 if lever.lower_is_better else -1.0
    worse = sign * (value - against.median)
    expected = counts.b * against.median
    if lever.kind is Kind.SHARE:
        enough = np.minimum(expected, counts.b - expected) >= FEWEST_EVENTS
    elif lever.kind is Kind.COUNT:
        enough = expected >= FEWEST_EVENTS
    else:
        enough = (numbers.active_days(ratio)[circle.members] >= FEWEST_MEANS) & (counts.b >= FEWEST_MEANS)
    enough &= against.others >= FEWEST_PEERS
    variance = unit_variance(lever.kind, against.median, counts) * dispersion(lever.kind, counts)
    with np.errstate(divide="ignore", invalid="ignore"):
        unsure = quotient(variance, counts.b) + math.pi / 2 * against.spread**2 / np.maximum(against.others, 1)
        score = np.where(enough & (unsure > 0), worse / np.sqrt(unsure), np.nan)
        lags = worse >= LEAST_SHARE * np.abs(against.median)
        p_value = np.where(np.isfinite(score), upper_tail(score), np.nan)
    return _Tested(lever, counts, value, against, sign * against.z, lags, score, p_value)


def _gap(
    numbers: Numbers,
    circle: Circle,
    test: _Tested,
    at: int,
    rates: Mapping[str, Posterior],
    available: Collection[str],
    horizon_days: float,
) -> Gap:
    lever = test.lever
    place = int(circle.members[at])
    units, events = float(test.counts.b[at]), float(test.counts.a[at])
    at_median = units * float(test.against.median[at])
    gains = _gains(test, at, float(numbers.days[place]), rates, available, horizon_days)
    share = 0.0
    if gains:
        others = circle.members[circle.members != place]
        brought = float(numbers.sums[METRICS[gains[-1].metric].numerator][others].sum())
        average = brought / float(numbers.days[others].sum()) * horizon_days
        share = gains[-1].expected / average if average > 0 else 0.0
    return Gap(
        place=place,
        lever=lever,
        value=float(test.value[at]) / lever.scale,
        median=float(test.against.median[at]) / lever.scale,
        z=float(test.against.z[at]),
        peers=int(test.against.others[at]),
        units=units,
        events=events,
        at_median=at_median,
        p_value=float(test.p_value[at]),
        days=float(numbers.days[place]),
        circle=circle.name,
        gains=gains,
        share=share,
    )


def _gains(
    test: _Tested, at: int, days: float, rates: Mapping[str, Posterior], available: Collection[str], horizon: float
) -> tuple[Gain, ...]:
    """What comes of closing a gap, count by count down the funnel."""
    lever = test.lever
    if lever.moves is None or days <= 0:
        return ()
    units = float(test.counts.b[at])
    difference = abs(float(test.value[at]) - float(test.against.median[at]))
    expected = units * difference / days * horizon
    own = float(unit_variance(lever.kind, test.value, test.counts)[at]) * dispersion(lever.kind, test.counts)
    unsure = own / units + math.pi / 2 * float(test.against.spread[at]) ** 2 / int(test.against.others[at])
    relative = unsure / difference**2
    gains = [_gain(lever.moves, expected, relative)]
    for step in steps_after(lever.moves, available):
        rate = rates[step.target]
        mean, events = float(rate.mean[at]), float(rate.events[at])
        if not math.isfinite(mean) or mean <= 0 or events < TRUSTED_EVENTS:
            break
        expected *= mean
        relative += float(rate.variance[at]) / mean**2
        gains.append(_gain(step.target, expected, relative))
    return tuple(gains)


def _gain(metric: str, expected: float, relative: float) -> Gain:
    """A gain with its interval; a gain that may be none begins at 0."""
    reach = COVERAGE_Z * math.sqrt(relative) * expected
    return Gain(metric, expected, max(0.0, expected - reach), expected + reach)
