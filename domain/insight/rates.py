"""Rates of people who did little, drawn towards those of their peers; and how sure they are.

Every rate is a quotient a / b of what came of something and how much of it there was, of one of three kinds:

- a SHARE of trials (replied of delivered): a is binomial, and has the variance p (1 - p) a trial;
- a COUNT per unit (meetings booked per prospect reached, emails per working day): a is Poisson, with m a unit;
- a MEAN (amount per deal, seconds): with the variance per unit that the days show.

Peers' true rates are taken to scatter around their mean m with the variance t. What t is comes from the peers by the
method of moments: the scatter of their rates around m, weighted by b, less what chance alone would bring (Kleinman,
JASA 1973, for shares; DerSimonian and Laird, Controlled Clinical Trials 1986, in general). Then the prior is worth
B = variance per unit / t units of the peers' mean, at least one and never more than the peers have themselves, and a
rep's rate is

    (m B + a) / (B + b)

the mean of the posterior: beta for shares (Beta-binomial), gamma for counts (Gamma-Poisson), normal for means: Casella,
An Introduction to Empirical Bayes Data Analysis, The American Statistician 1985. A rep with many trials keeps their
own rate, one with few has about the peers'. A rep's own numbers are not part of their prior. Without peers who tell
anything, shares have Jeffreys' Beta(1/2, 1/2), counts his Gamma(1/2, 0), means none.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from domain.insight.robust import Booleans, Floats

FEWEST_TELLING = 3
"""Fewer peers with trials than this are no prior."""


class Kind(StrEnum):
    """How a rate's numerator comes about."""

    SHARE = "SHARE"
    COUNT = "COUNT"
    MEAN = "MEAN"


@dataclass(frozen=True, slots=True)
class Counts:
    """The same rate of many people.

    Args:
        a: The numerators.
        b: The denominators.
        residuals: The sum over each person's days of (a of the day - rate x b of the day) squared; not a number where
            nobody has looked.
    """

    a: Floats
    b: Floats
    residuals: Floats


@dataclass(frozen=True, slots=True)
class Posterior:
    """What the rates are, seen together with the peers'.

    Args:
        mean: The rates; not a number where nothing is known.
        variance: How unsure each is.
        prior_mean: The peers' rate; not a number without a prior of peers.
        prior_weight: How many units of b it is worth.
        events: How many events each rests on, own and lent; below a handful nothing should be built on it.
    """

    mean: Floats
    variance: Floats
    prior_mean: Floats
    prior_weight: Floats
    events: Floats


def quotient(a: Floats, b: Floats) -> Floats:
    """a / b; not a number where b is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Floats = np.where(b > 0, a / np.where(b > 0, b, 1), np.nan)
    return found


def unit_variance(kind: Kind, rate: Floats, counts: Counts) -> Floats:
    """The variance that one unit of b brings at a rate; of means, what the days of all show together."""
    if kind is Kind.SHARE:
        found: Floats = rate * (1 - rate)
        return found
    if kind is Kind.COUNT:
        return rate
    known = np.isfinite(counts.residuals) & (counts.b > 0)
    whole = float(counts.b[known].sum())
    shown = float(counts.residuals[known].sum()) / whole if whole else np.nan
    return np.full(rate.shape, shown)


def dispersion(kind: Kind, counts: Counts) -> float:
    """By how much days scatter more than the kind says, pooled over all; never less than 1.

    Days are alike in themselves (a busy day, a good list), so that their counts scatter more than coins do. Of a
    mean the days' own scatter is its variance already.
    """
    if kind is Kind.MEAN:
        return 1.0
    expected = counts.b * unit_variance(kind, quotient(counts.a, counts.b), counts)
    known = np.isfinite(counts.residuals) & np.isfinite(expected) & (expected > 0)
    whole = float(expected[known].sum())
    return max(1.0, float(counts.residuals[known].sum()) / whole) if whole else 1.0


def shrunken(kind: Kind, counts: Counts, telling: Booleans | None = None) -> Posterior:
    """The rates of some people, each drawn towards the others'.

    Args:
        kind: The kind of rate.
        counts: The numbers.
        telling: Who may be a peer; everybody without it.
    """
    a, b = counts.a, counts.b
    lends = (b > 0) if telling is None else (b > 0) & telling
    own = lends.astype(np.float64)
    lent_a, lent_b = np.where(lends, a, 0.0), np.where(lends, b, 0.0)
    square = np.where(lends, lent_a * lent_a / np.where(lends, b, 1.0), 0.0)
    # All sums leave the person out whose prior they make.
    peers = own.sum() - own
    sum_a, sum_b = lent_a.sum() - lent_a, lent_b.sum() - lent_b
    sum_bb = (lent_b * lent_b).sum() - lent_b * lent_b
    prior = np.where(peers >= FEWEST_TELLING, quotient(sum_a, sum_b), np.nan)
    variance = unit_variance(kind, prior, counts)
    scatter = square.sum() - square - quotient(sum_a * sum_a, sum_b)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = (scatter - variance * (peers - 1)) / (sum_b - quotient(sum_bb, sum_b))
        weight = np.where(between > 0, variance / np.where(between > 0, between, 1.0), np.inf)
    if kind is Kind.SHARE:
        weight = weight - 1
    weight = np.clip(np.where(np.isnan(weight), np.inf, weight), 1.0, np.maximum(sum_b, 1.0))
    weight = np.where(np.isfinite(prior), weight, 0.0)
    lent = np.where(weight > 0, prior * weight, 0.0)
    units = weight.copy()
    without = weight == 0
    if kind is Kind.SHARE:
        lent, units = np.where(without, 0.5, lent), np.where(without, 1.0, units)
    elif kind is Kind.COUNT:
        lent = np.where(without, 0.5, lent)
    mean = quotient(lent + a, units + b)
    if kind is Kind.SHARE:
        unsure = mean * (1 - mean) / (units + b + 1)
    else:
        unsure = quotient(unit_variance(kind, mean, counts), units + b)
    events = lent + a if kind is not Kind.MEAN else units + b
    return Posterior(mean, unsure, prior, weight, events)
