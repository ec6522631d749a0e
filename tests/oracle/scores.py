"""What a rep scores, day by day, sharing no code with domain/.

Every day of a version is looked at by itself: whether the version holds, whether the rep works, what was done, and what
part of each goal the day carries.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction

from tests.oracle.goals import Held, World, asked, counting, rate, six_places


@dataclass(frozen=True)
class Version:
    """Weights in percent and a cap, from one day to another."""

    first: date
    last: date | None
    cap: Fraction
    weights: Mapping[str, Fraction]

    def holds(self, day: date) -> bool:
        """Whether it holds on a day."""
        return self.first <= day and (self.last is None or day <= self.last)


@dataclass(frozen=True)
class Rep:
    """A rep: when they work, what they did on a day (numerator, denominator), what was asked of them."""

    works: Callable[[date], bool]
    employed: Callable[[date], bool]
    done: Callable[[str, date], tuple[Decimal, Decimal]]
    goals: Mapping[str, Sequence[Held]]


RATES = {"REPLY_RATE"}


def attainment(
    world: World, rep: Rep, metric: str, days: list[date], over: list[date], today: date, share: Fraction
) -> tuple[Fraction | None, Fraction | None]:
    """What was done against what was asked, and against what was due by now."""
    held = counting(rep.goals.get(metric, ()), over)
    there = [day for day in days if any(one.holds(day) for one in held)]
    if not there:
        return None, None
    counted = [day for day in days if there[0] <= day <= there[-1]]
    done = [rep.done(metric, day) for day in counted]
    numerator = sum((Fraction(one) for one, _of in done), Fraction(0))
    if metric in RATES:
        denominator = sum((Fraction(of) for _one, of in done), Fraction(0))
        if not denominator:
            return None, None
        actual = Fraction(six_places(numerator / denominator))
        target = due = rate(held, days)
    else:
        actual = numerator
        target, due = asked(world, held, days, today, share)
    return (actual / target if target else None), (actual / due if target and due else None)


def score(
    world: World,
    rep: Rep,
    versions: Sequence[Version],
    days: list[date],
    over: list[date],
    available: frozenset[str],
    today: date,
    share: Fraction,
) -> tuple[Fraction | None, Fraction | None]:
    """The score over some days, and its pace."""
    spans: list[tuple[int, Fraction]] = []
    paces: list[tuple[Fraction, Fraction]] = []
    for version in versions:
        held = [day for day in days if version.holds(day)]
        worked = [day for day in held if rep.works(day) and rep.employed(day)]
        gone = sum(
            (Fraction(1) if day < today else share if day == today else Fraction(0) for day in worked), Fraction(0)
        )
        found: list[tuple[Fraction, Fraction]] = []
        due: list[tuple[Fraction, Fraction]] = []
        for metric, weight in version.weights.items():
            if metric not in available or not held:
                continue
            whole, by_now = attainment(world, rep, metric, held, over, today, share)
            if whole is not None:
                found.append((weight, min(max(whole, Fraction(0)), version.cap)))
            if by_now is not None:
                due.append((weight, min(max(by_now, Fraction(0)), version.cap)))
        if found and worked:
            spans.append((len(worked), _mean(found)))
        if due and gone:
            paces.append((gone, _mean(due)))
    return _weighted(spans), _weighted(paces)


def _mean(pairs: list[tuple[Fraction, Fraction]]) -> Fraction:
    return 100 * sum(weight * value for weight, value in pairs) / sum(weight for weight, _value in pairs)


def _weighted(pairs: Sequence[tuple[int | Fraction, Fraction]]) -> Fraction | None:
    total = sum(time for time, _value in pairs)
    return Fraction(sum(time * value for time, value in pairs)) / total if total else None
