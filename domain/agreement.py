"""How far scorers agree: spread, consensus, bias, Krippendorff's alpha. Nothing here touches a table.

**Alpha** for interval data (K. Krippendorff, Computing Krippendorff's Alpha-Reliability, 2011, section C with the
difference function of section E; A. F. Hayes and K. Krippendorff, Communication Methods and Measures 1, 2007). Units
are conversations, values the scores that several scorers gave them. A unit with one value pairs with nothing and is
left out. With n pairable values in all, of which unit u has m_u:

    observed  D_o = 1/n       sum over u of 1/(m_u - 1) x sum over ordered pairs in u of (a - b)^2
    expected  D_e = 1/(n(n-1)) sum over ordered pairs of all values of (a - b)^2
    alpha = 1 - D_o / D_e

1 is agreement without exception, 0 what chance would bring, below 0 less than that; 0.8 is held to be dependable, below
0.667 nothing should be concluded. Without two units that can be paired, or where all values are the same, there is
nothing to tell agreement from, and alpha is None.

**Bias** of a scorer: the mean, over the conversations that others scored too, of the scorer's score less the mean of
the others' scores. 5 means: gives five points more than the others do.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Generic, TypeVar

Scorer = TypeVar("Scorer", bound=Hashable)
Number = Decimal | Fraction


@dataclass(frozen=True, slots=True)
class Spread:
    """How values lie.

    Args:
        count: How many.
        mean: Their mean.
        lowest: The lowest.
        highest: The highest.
        deviation: The mean absolute deviation from the mean.
    """

    count: int
    mean: Fraction
    lowest: Fraction
    highest: Fraction
    deviation: Fraction

    @property
    def width(self) -> Fraction:
        """From the lowest to the highest."""
        return self.highest - self.lowest


def spread(values: Iterable[Number]) -> Spread | None:
    """How values lie; None for none."""
    held = [Fraction(value) for value in values]
    if not held:
        return None
    mean = sum(held, Fraction(0)) / len(held)
    deviation = sum((abs(value - mean) for value in held), Fraction(0)) / len(held)
    return Spread(len(held), mean, min(held), max(held), deviation)


def _squared_differences(values: Sequence[Fraction]) -> Fraction:
    """The sum over ordered pairs of (a - b)^2 = 2 (n sum(x^2) - sum(x)^2)."""
    total = sum(values, Fraction(0))
    squares = sum((value * value for value in values), Fraction(0))
    return 2 * (len(values) * squares - total * total)


def krippendorff_alpha(units: Iterable[Iterable[Number]]) -> float | None:
    """Krippendorff's alpha of interval data, one iterable of values a unit; None where there is nothing to tell."""
    paired = [held for unit in units if len(held := [Fraction(value) for value in unit]) > 1]
    if len(paired) < 2:
        return None
    values = [value for unit in paired for value in unit]
    count = len(values)
    expected = _squared_differences(values) / (count * (count - 1))
    if not expected:
        return None
    observed = sum((_squared_differences(unit) / (len(unit) - 1) for unit in paired), Fraction(0)) / count
    return float(1 - observed / expected)


@dataclass(frozen=True, slots=True)
class Bias(Generic[Scorer]):
    """How somebody scores, against those who scored the same.

    Args:
        scorer: Who.
        count: Over how many conversations.
        mean: By how many points more than the others.
        deviation: The mean of the distances, whichever way.
    """

    scorer: Scorer
    count: int
    mean: Fraction
    deviation: Fraction


def biases(units: Iterable[Mapping[Scorer, Number]]) -> list[Bias[Scorer]]:
    """The bias of each scorer, over units of scores by scorer."""
    differences: defaultdict[Scorer, list[Fraction]] = defaultdict(list)
    for unit in units:
        if len(unit) < 2:
            continue
        total = sum((Fraction(value) for value in unit.values()), Fraction(0))
        for scorer, value in unit.items():
            others = (total - Fraction(value)) / (len(unit) - 1)
            differences[scorer].append(Fraction(value) - others)
    return [
        Bias(
            scorer,
            len(found),
            sum(found, Fraction(0)) / len(found),
            sum((abs(one) for one in found), Fraction(0)) / len(found),
        )
        for scorer, found in differences.items()
    ]
