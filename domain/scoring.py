"""The formula of a score: weighted attainment of goals, exact, on a scale from 0 to 100 and beyond.

Source: Ambition's help, "Scorecards" (help.ambition.com/docs/scorecards): an activity score and an objective score are
the weighted attainment of metrics' benchmarks on a 0-100+ scale. With 4 deals at a weight of 20 % and 20,000 of revenue
at 80 %, 2 deals and 40,000 score 10 + 160 = 170. Here the benchmark is the metric's goal.

Over a range R, a version of a definition holds on the days D of R, with weights w that are 100 together and a cap c:

    attainment of a metric  a = actual / target
    score(D) = 100 x sum(w x min(max(a, 0), c)) / sum(w)         over the metrics that have an attainment

- **target** is the share of the rep's goal that D's working time carries (domain/pacing.py): days off, holidays, coming
  and leaving in the middle count as they do for goals. Of several goals for a metric it is the one that counts over R.
- **actual** is what was done on the days of D on which the goal held, from the first to the last: what was done before
  a goal began is not held against it, as with the goal's own progress.
- A metric is left out where there is nothing to measure: the rep has no goal for it, the goal asks for nothing there
  (no working time), nothing feeds the metric, or a rate has nothing to divide by. The weights of the others then make
  up 100 %. With all of them left out there is no score, and the reason is told: no score is better than a wrong one.
- **c** keeps one lucky deal from hiding that nothing else was done. It is 200 % unless the definition says otherwise:
  Ambition's own example counts in full, and a metric at ten times its goal counts as twice.
- An unfinished range is measured against its whole goal: a score grows towards 100 as the days go by. Its **pace** is
  the same with what was due by now in place of the target: 100 is on track.

Over a range that crosses a change of weights, each version scores its own days, and

    score(R) = sum(W(D) x score(D)) / sum(W(D))                  over the versions that have a score

with W the rep's working days. A version on whose days the rep did not work counts for nothing. What one component
contributes is its part of that sum, so that the contributions of all components add up to the score.

A group's score is the mean of its members' scores, each counting the same: it tells how its reps do, and nobody's deal
makes up for somebody else's. (Ambition adds up the members' numbers and targets instead, so that one may carry all.)
Members without a score are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction

from domain.metrics import METRICS, Number
from domain.models.scores import ScoreKind
from domain.pacing import Part, Proration
from domain.periods import Days, overlap
from domain.workdays import PersonalTime

DEFAULT_CAP = Decimal(2)
HUNDRED = Decimal(100)


class ScoreGap(StrEnum):
    """Why there is no score, or why a metric is left out of it."""

    NO_DEFINITION = "NO_DEFINITION"
    NO_WORKING_TIME = "NO_WORKING_TIME"
    NO_GOAL = "NO_GOAL"
    UNAVAILABLE = "UNAVAILABLE"
    NOTHING_TO_DIVIDE_BY = "NOTHING_TO_DIVIDE_BY"
    NOTHING_TO_SCORE = "NOTHING_TO_SCORE"


@dataclass(frozen=True, slots=True)
class Weights:
    """A version of a definition, as far as the formula goes.

    Args:
        number: The version's.
        first: The first day.
        last: The last day; None while it goes on.
        cap: What an attainment counts at most; 2 is 200 %.
        weights: Of each metric, in percent.
    """

    number: int
    first: date
    last: date | None
    cap: Fraction
    weights: Mapping[str, Fraction]


@dataclass(frozen=True, slots=True)
class Window:
    """What was asked for a metric on the days of a version: the goal's parts, and the days on which they held."""

    version: Weights
    days: Days
    metric: str
    parts: tuple[Part, ...]
    held: Days | None


@dataclass(frozen=True, slots=True)
class ComponentScore:
    """What a metric adds to a score.

    Args:
        days: The days on which the version holds.
        version: The version's number.
        metric: The metric.
        weight: In percent, as defined.
        actual: What was done.
        target: What was asked.
        attainment: actual / target, uncapped.
        counted: What of the attainment counts.
        contribution: What it adds to the score of the whole range; 0 where it is left out.
        gap: Why it is left out.
    """

    days: Days
    version: int
    metric: str
    weight: Fraction
    actual: Number | None
    target: Fraction | None
    attainment: Fraction | None
    counted: Fraction | None
    contribution: Fraction
    gap: ScoreGap | None


@dataclass(frozen=True, slots=True)
class Score:
    """A rep's score of a kind over some days.

    Args:
        kind: Which score.
        days: The days.
        value: From 0 to 100 and beyond; None where there is nothing to score.
        pace: The same against what was due by now; None while nothing is due.
        working_days: How many days the rep works in them, as far as a definition holds.
        components: Each metric of each version that holds in the range, in the order of the definition.
        gap: Why there is none.
    """

    kind: ScoreKind
    days: Days
    value: Fraction | None
    pace: Fraction | None
    working_days: int
    components: tuple[ComponentScore, ...]
    gap: ScoreGap | None


@dataclass(frozen=True, slots=True)
class Employment:
    """When somebody is with the team, and which working days they take off."""

    started_on: date | None = None
    ended_on: date | None = None
    off: tuple[date, ...] = ()


def windows_of(versions: Iterable[Weights], days: Days, parts_of: Mapping[str, tuple[Part, ...]]) -> tuple[Window, ...]:
    """What is to be measured over some days: for each version that holds there each of its metrics.

    Args:
        versions: Of the definition; none overlaps another.
        days: The days.
        parts_of: The parts of the rep's goals that count, by metric.
    """
    found = []
    for version in sorted(versions, key=lambda one: one.first):
        common = overlap(days, version.first, version.last)
        if common is None:
            continue
        for metric in version.weights:
            held = [
                (part, there)
                for part in parts_of.get(metric, ())
                if (there := overlap(common, part.first, part.last)) is not None
            ]
            span = None
            if held:
                span = Days(min(there.first for _part, there in held), max(there.last for _part, there in held))
            found.append(Window(version, common, metric, tuple(part for part, _there in held), span))
    return tuple(found)


def working_days(proration: Proration, days: Days, person: Employment) -> int:
    """How many days somebody works in some days, while they are with the team."""
    first = days.first if person.started_on is None else max(days.first, person.started_on)
    last = days.last if person.ended_on is None else min(days.last, person.ended_on)
    return PersonalTime(proration.work, person.off).count(first, last)


def score(
    kind: ScoreKind,
    days: Days,
    windows: Sequence[Window],
    actuals: Sequence[Number | None],
    available: frozenset[str],
    proration: Proration,
    person: Employment,
    *,
    with_pace: bool = True,
) -> Score:
    """Put a score together.

    Args:
        kind: Which score.
        days: The range.
        windows: What is measured; see windows_of.
        actuals: What was done in each window.
        available: The metrics whose feed is connected.
        proration: How shares of goals are counted.
        person: When the rep works.
        with_pace: Whether the pace is wanted too.
    """
    if not windows:
        return Score(kind, days, None, None, 0, (), ScoreGap.NO_DEFINITION)
    spans: dict[Days, list[int]] = {}
    for place, window in enumerate(windows):
        spans.setdefault(window.days, []).append(place)
    asked = [_target(window, proration) for window in windows]
    measured = [
        _measure(window, actual, available, target)
        for window, actual, target in zip(windows, actuals, asked, strict=True)
    ]
    worked = {span: working_days(proration, span, person) for span in spans}
    values: dict[Days, tuple[Fraction, Fraction]] = {}
    for span, places in spans.items():
        counting = [place for place in places if measured[place].counted is not None]
        if counting and worked[span]:
            weight = sum((measured[place].weight for place in counting), Fraction(0))
            values[span] = (weight, Fraction(worked[span]))
    total = sum((time for _weight, time in values.values()), Fraction(0))
    value: Fraction | None = Fraction(0) if values else None
    components = []
    for found in measured:
        contribution = Fraction(0)
        if found.counted is not None and found.days in values:
            weight, time = values[found.days]
            contribution = 100 * found.counted * found.weight / weight * time / total
            assert value is not None, "something counts"
            value += contribution
        components.append(_contributing(found, contribution, worked[found.days]))
    working = sum(worked.values())
    gap = None
    if value is None:
        # Why the metrics are left out, where all of them are for one reason.
        gaps = {one.gap for one in components} if working else {ScoreGap.NO_WORKING_TIME}
        gap = gaps.pop() if len(gaps) == 1 else ScoreGap.NOTHING_TO_SCORE
    pace = _pace(windows, measured, asked, proration, person) if with_pace else None
    return Score(kind, days, value, pace, working, tuple(components), gap)


def _contributing(found: ComponentScore, contribution: Fraction, worked: int) -> ComponentScore:
    gap = found.gap
    if gap is None and not worked:
        gap = ScoreGap.NO_WORKING_TIME
    return ComponentScore(
        found.days,
        found.version,
        found.metric,
        found.weight,
        found.actual,
        found.target,
        found.attainment,
        found.counted if gap is None else None,
        contribution,
        gap,
    )


def _target(window: Window, proration: Proration) -> tuple[Fraction, Fraction] | None:
    """What is asked in a window, and what of it is due by now."""
    if METRICS[window.metric].is_quotient:
        mean = proration.mean(window.parts, window.days)
        return None if mean is None else (mean, mean)
    return proration.sums(window.parts, window.days)


def capped(attainment: Fraction, cap: Fraction) -> Fraction:
    """What of an attainment counts."""
    return min(max(attainment, Fraction(0)), cap)


def _measure(
    window: Window, actual: Number | None, available: frozenset[str], asked: tuple[Fraction, Fraction] | None
) -> ComponentScore:
    metric, version = window.metric, window.version
    target = None if asked is None else asked[0]
    attainment, gap = None, None
    if metric not in available:
        actual, gap = None, ScoreGap.UNAVAILABLE
    elif target is None:
        gap = ScoreGap.NO_GOAL
    elif not target:
        gap = ScoreGap.NO_WORKING_TIME
    elif actual is None:
        gap = ScoreGap.NOTHING_TO_DIVIDE_BY
    else:
        attainment = Fraction(actual) / target
    counted = None if attainment is None else capped(attainment, version.cap)
    return ComponentScore(
        window.days,
        version.number,
        metric,
        version.weights[metric],
        actual,
        target,
        attainment,
        counted,
        Fraction(0),
        gap,
    )


def _pace(
    windows: Sequence[Window],
    measured: Sequence[ComponentScore],
    targets: Sequence[tuple[Fraction, Fraction] | None],
    proration: Proration,
    person: Employment,
) -> Fraction | None:
    """The score against what was due by now; each version counts with the working time of its days that has gone by."""
    spans: dict[Days, list[tuple[Fraction, Fraction]]] = {}
    for window, found, asked in zip(windows, measured, targets, strict=True):
        if found.attainment is None or asked is None or not asked[1]:
            continue
        assert found.actual is not None, "it has an attainment"
        counted = capped(Fraction(found.actual) / asked[1], window.version.cap)
        spans.setdefault(window.days, []).append((found.weight, counted))
    total = time = Fraction(0)
    for span, pairs in spans.items():
        gone = _elapsed(proration, span, person)
        weight = sum((weight for weight, _counted in pairs), Fraction(0))
        total += gone * 100 * sum((weight * counted for weight, counted in pairs), Fraction(0)) / weight
        time += gone
    return total / time if time else None


def _elapsed(proration: Proration, days: Days, person: Employment) -> Fraction:
    first = days.first if person.started_on is None else max(days.first, person.started_on)
    last = days.last if person.ended_on is None else min(days.last, person.ended_on)
    if last < first:
        return Fraction(0)
    return PersonalTime(proration.work, person.off).elapsed(first, last, proration.moment)


def mean_score(values: Iterable[Fraction | None]) -> Fraction | None:
    """The score of a group: the mean of those of its members who have one."""
    found = [value for value in values if value is not None]
    return sum(found, Fraction(0)) / len(found) if found else None
