"""A rep's number beside those of the peers: average, median, percentile; no names."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal

from domain.metrics import METRICS, NO_SUMS, RATIO_STEP, Direction, Number, Sums, compute


@dataclass(frozen=True, slots=True)
class PeerStatistics:
    """Where a number stands among the peers'.

    Args:
        count: How many peers there are.
        average: Their average; of a quotient, the quotient of their sums.
        median: The median of those who have a value.
        percentile: The share of them that the rep does better than, from 0 to 1; a tie counts half. None where neither
            way is better.
    """

    count: int
    average: Decimal | None
    median: Decimal | None
    percentile: float | None


NO_PEERS = PeerStatistics(0, None, None, None)


def peer_statistics(key: str, mine: Number | None, peers: Sequence[Sums], *, fewest: int) -> PeerStatistics:
    """Compare a metric's value with the peers' base sums over the same days.

    Args:
        key: The metric.
        mine: The rep's value.
        peers: Each peer's base sums.
        fewest: Where fewer peers than this have a value, nothing is told of it.
    """
    if not peers:
        return NO_PEERS
    metric = METRICS[key]
    values = [value for value in (compute(key, sums) for sums in peers) if value is not None]
    if len(values) < fewest:
        return PeerStatistics(len(peers), None, None, None)
    total = tuple(map(sum, zip(*peers, strict=True)))
    average = compute(key, total if peers else NO_SUMS)
    if average is not None and not metric.is_quotient:
        average = _round(Decimal(average) / len(peers))
    median = _round(statistics.median(map(Decimal, values))) if values else None
    percentile = None
    if mine is not None and values and metric.direction is not Direction.BAND:
        lower = metric.direction is Direction.LOWER
        worse = sum(1 for value in values if (value > mine if lower else value < mine))
        percentile = (worse + values.count(mine) / 2) / len(values)
    return PeerStatistics(len(peers), None if average is None else Decimal(average), median, percentile)


def _round(value: Decimal) -> Decimal:
    return value.quantize(RATIO_STEP, ROUND_HALF_EVEN)
