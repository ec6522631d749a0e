"""The comparison of a plan's focus, once more: from the activities themselves, in plain Python, with fractions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from fractions import Fraction
from math import ceil


def median(values: Sequence[Fraction]) -> Fraction:
    """The middle one, or the mean of the two in the middle."""
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def working_days(first: date, last: date, off: Sequence[tuple[date, date]]) -> int:
    """Mondays to Fridays that nobody took off."""
    days = [first + timedelta(n) for n in range((last - first).days + 1)]
    return sum(day.weekday() < 5 and not any(begin <= day <= end for begin, end in off) for day in days)


def per_week(counts: Mapping[date, int], first: date, last: date, off: Sequence[tuple[date, date]]) -> Fraction | None:
    """A count per working week."""
    days = working_days(first, last, off)
    total = sum(count for day, count in counts.items() if first <= day <= last)
    return Fraction(total, days) * 5 if days else None


def rate(parts: Mapping[date, int], wholes: Mapping[date, int], first: date, last: date) -> tuple[Fraction | None, int]:
    """A quotient of sums, and how many tries it stands on."""
    part = sum(count for day, count in parts.items() if first <= day <= last)
    whole = sum(count for day, count in wholes.items() if first <= day <= last)
    return (Fraction(part, whole) if whole else None), whole


def effect(mine: tuple[Fraction, Fraction], peers: Sequence[tuple[Fraction, Fraction]]) -> Fraction:
    """The rep's change without that of the peers."""
    return (mine[1] - mine[0]) - median([after - before for before, after in peers])


def interval(mine: tuple[Fraction, Fraction], peers: Sequence[tuple[Fraction, Fraction]]) -> tuple[Fraction, Fraction]:
    """The effect's interval with 80 %, by placebos."""
    changes = [after - before for before, after in peers]
    placebos = sorted(
        abs(change - median(changes[:place] + changes[place + 1 :])) for place, change in enumerate(changes)
    )
    rank = ceil(Fraction(4, 5) * (len(changes) + 1))
    spread = placebos[min(rank, len(placebos)) - 1]
    middle = effect(mine, peers)
    return middle - spread, middle + spread
