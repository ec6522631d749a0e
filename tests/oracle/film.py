"""Films counted from their own tables, and Krippendorff's alpha by its coincidences; no code of domain/."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from tests.oracle.recount import Film


def films(
    names: Mapping[Any, str],
    reviews: Iterable[Mapping[str, Any]],
    cards: Iterable[Mapping[str, Any]],
    rounds: Iterable[Mapping[str, Any]],
) -> dict[str, Film]:
    """What was said of each activity, by its external id, from the rows of the tables."""
    closed = {one["id"] for one in rounds if one["closed_at"] is not None}
    reviewed = {names[one["activity_id"]] for one in reviews}
    scores: dict[str, list[Decimal]] = defaultdict(list)
    for card in cards:
        counts = card["submitted_at"] is not None and card["relation"] != "SELF" and card["score"] is not None
        if counts and (card["calibration_id"] is None or card["calibration_id"] in closed):
            scores[names[card["activity_id"]]].append(card["score"])
    return {name: Film(name in reviewed, tuple(scores[name])) for name in names.values()}


def alpha(units: Sequence[Sequence[Decimal]]) -> float | None:
    """Krippendorff's alpha, interval, by the matrix of coincidences (Krippendorff 2011, sections C and E)."""
    coincidences: Counter[tuple[Decimal, Decimal]] = Counter()
    weights: dict[tuple[Decimal, Decimal], float] = defaultdict(float)
    for unit in units:
        if len(unit) < 2:
            continue
        for first in range(len(unit)):
            for second in range(len(unit)):
                if first != second:
                    pair = (unit[first], unit[second])
                    coincidences[pair] += 1
                    weights[pair] += 1 / (len(unit) - 1)
    if sum(len(unit) > 1 for unit in units) < 2:
        return None
    totals: dict[Decimal, float] = defaultdict(float)
    for (value, _), weight in weights.items():
        totals[value] += weight
    count = sum(totals.values())
    observed = sum(weight * float(a - b) ** 2 for (a, b), weight in weights.items())
    expected = sum(totals[a] * totals[b] * float(a - b) ** 2 for a in totals for b in totals)
    if expected == 0:
        return None
    return 1 - (count - 1) * observed / expected
