"""How far each value of a set lies from all others, robustly, for every value at once.

The centre is the median of the others, the spread their median absolute deviation (MAD); the distance is the modified
z-score 0.6745 (x - median) / MAD. Source: Iglewicz and Hoaglin, How to Detect and Handle Outliers (1993), who call
values beyond 3.5 outliers. Where the MAD is 0, because more than half of the others are equal, the mean absolute
deviation stands in: (x - median) / (1.253314 mean AD), the same authors' fallback. Where all others are equal there is
no spread to measure by, and no distance.

A value is never among its own peers: one bad value would else pull the centre towards itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]

MAD_SCALE = 0.6745
"""The third quartile of the normal distribution: MAD / 0.6745 estimates its standard deviation."""
MEAN_DEVIATION_SCALE = 1.253314
"""The square root of pi / 2: mean AD x 1.253314 estimates the same."""


@dataclass(frozen=True, slots=True)
class Distances:
    """Where each value stands among the others.

    Args:
        median: The others' median; not a number where there are no others.
        spread: The others' standard deviation, estimated robustly; 0 where all others are equal.
        z: The modified z-score; not a number where there is no spread.
        others: How many others there are.
    """

    median: Floats
    spread: Floats
    z: Floats
    others: Integers


def distances(values: Floats) -> Distances:
    """The distance of each value from the others; values that are not a number have none and are nobody's peer."""
    shape = values.shape
    answer = Distances(np.full(shape, np.nan), np.zeros(shape), np.full(shape, np.nan), np.zeros(shape, dtype=np.int64))
    there = np.isfinite(values)
    known = values[there]
    answer.others[:] = len(known)
    answer.others[there] -= 1
    if len(known) < 2:
        return answer
    median = _median_of_others(known, known)
    spread = np.zeros(len(known))
    # Leaving one value out, a median can be one of three values.
    for centre in np.unique(median):
        mine = median == centre
        deviations = np.abs(known - centre)
        mad = _median_of_others(deviations, deviations[mine]) / MAD_SCALE
        mean = (math.fsum(deviations) - deviations[mine]) / (len(known) - 1) * MEAN_DEVIATION_SCALE
        # The sum of what is nothing but rounding is no spread.
        mean[mean <= 1e-12 * max(abs(float(centre)), 1e-300)] = 0.0
        spread[mine] = np.where(mad > 0, mad, mean)
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(spread > 0, (known - median) / spread, np.nan)
    answer.median[there], answer.spread[there], answer.z[there] = median, spread, z
    return answer


def _median_of_others(values: Floats, left_out: Floats) -> Floats:
    """For each of some members of `values`, the median of the rest."""
    ordered = np.sort(values)
    rank = np.searchsorted(ordered, left_out)
    rest = len(values) - 1

    def at(place: int) -> Floats:
        found: Floats = np.where(place < rank, ordered[place], ordered[min(place + 1, rest)])
        return found

    return at(rest // 2) if rest % 2 else (at(rest // 2 - 1) + at(rest // 2)) / 2


def discoveries(p_values: Floats, rate: float) -> Booleans:
    """Which of many tests stand when no more than a share `rate` of those that stand may be false on average.

    Source: Benjamini and Hochberg, Controlling the False Discovery Rate (1995). A test that was not made is not a
    number.
    """
    made = np.isfinite(p_values)
    found = np.zeros(p_values.shape, dtype=np.bool_)
    count = int(made.sum())
    if not count:
        return found
    ordered = np.sort(p_values[made])
    passing = np.nonzero(ordered <= rate * np.arange(1, count + 1) / count)[0]
    if len(passing):
        found[made] = p_values[made] <= ordered[passing[-1]]
    return found


_erfc = np.frompyfunc(math.erfc, 1, 1)


def upper_tail(z: Floats) -> Floats:
    """The chance of a standard normal value of z or more."""
    found: Floats = np.asarray(_erfc(z / math.sqrt(2)), dtype=np.float64) / 2
    return found
