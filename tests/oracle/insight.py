"""Coaching opportunities and plans recomputed in plain Python, one rep at a time, sharing no code with domain/.

Written from the method as docs/insight.md tells it: lists and loops, `statistics` and `fractions`, no arrays.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

NORMAL = NormalDist()
Days = Sequence[Mapping[str, float]]
"""What a rep did, a mapping of base sums for each day worked."""


def distance(own: float, others: Sequence[float]) -> tuple[float, float, float | None]:
    """The others' median and spread, and the modified z-score of one's own value."""
    median = statistics.median(others)
    deviations = [abs(one - median) for one in others]
    mad = statistics.median(deviations)
    spread = mad / 0.6745 if mad else 1.253314 * statistics.fmean(deviations)
    return median, spread, (own - median) / spread if spread else None


def stands(p_values: Mapping[object, float], rate: float) -> set[object]:
    """Benjamini and Hochberg, step by step."""
    ordered = sorted(p_values.items(), key=lambda item: item[1])
    last = 0
    for number, (_key, p_value) in enumerate(ordered, 1):
        if p_value <= rate * number / len(ordered):
            last = number
    if not last:
        return set()
    limit = ordered[last - 1][1]
    return {key for key, p_value in ordered if p_value <= limit}


@dataclass(frozen=True)
class Rate:
    """What of what, and how it comes about: share, count or mean."""

    kind: str
    above: str
    below: tuple[str, ...]

    def a(self, days: Days) -> float:
        """The numerator."""
        return math.fsum(day.get(self.above, 0) for day in days)

    def b(self, days: Days) -> float:
        """The divisor; working days without one."""
        return math.fsum(self.of_day(day) for day in days)

    def of_day(self, day: Mapping[str, float]) -> float:
        """The divisor of one day."""
        return sum(day.get(name, 0) for name in self.below) if self.below else 1.0

    def residual(self, days: Days) -> float | None:
        """How much the days scatter around the rate, corrected for having estimated it."""
        b = self.b(days)
        active = sum(1 for day in days if self.of_day(day) > 0)
        if not b or active < 2:
            return None
        rate = self.a(days) / b
        return (
            math.fsum((day.get(self.above, 0) - rate * self.of_day(day)) ** 2 for day in days) * active / (active - 1)
        )

    def unit_variance(self, rate: float, team: Sequence[Days]) -> float:
        """The variance that one unit of the divisor brings."""
        if self.kind == "share":
            return rate * (1 - rate)
        if self.kind == "count":
            return rate
        known = [(self.residual(days), self.b(days)) for days in team]
        total = math.fsum(b for residual, b in known if residual is not None)
        return math.fsum(residual for residual, _b in known if residual is not None) / total

    def dispersion(self, team: Sequence[Days]) -> float:
        """By how much the days scatter more than chance."""
        if self.kind == "mean":
            return 1.0
        seen = expected = 0.0
        for days in team:
            residual, b = self.residual(days), self.b(days)
            if residual is not None and b:
                chance = b * self.unit_variance(self.a(days) / b, team)
                if chance > 0:
                    seen, expected = seen + residual, expected + chance
        return max(1.0, seen / expected) if expected else 1.0


def posterior(rate: Rate, own: Days, peers: Sequence[Days], team: Sequence[Days]) -> tuple[float, float, float] | None:
    """Mean, variance and events of a rep's rate, drawn towards the peers'; None where nothing is known."""
    a, b = rate.a(own), rate.b(own)
    telling = [(rate.a(days), rate.b(days)) for days in peers if rate.b(days) > 0]
    total = math.fsum(n for _x, n in telling)
    if len(telling) >= 3 and total:
        mean = math.fsum(x for x, _n in telling) / total
        variance = rate.unit_variance(mean, team)
        scatter = math.fsum(n * (x / n - mean) ** 2 for x, n in telling)
        room = total - math.fsum(n * n for _x, n in telling) / total
        between = (scatter - variance * (len(telling) - 1)) / room if room else 0
        weight = variance / between if between > 0 else math.inf
        if rate.kind == "share":
            weight -= 1
        weight = min(max(weight, 1.0), max(total, 1.0))
        lent, units = mean * weight, weight
    else:
        lent, units = {"share": (0.5, 1.0), "count": (0.5, 0.0), "mean": (0.0, 0.0)}[rate.kind]
    if not units + b:
        return None
    mean = (lent + a) / (units + b)
    if rate.kind == "share":
        return mean, mean * (1 - mean) / (units + b + 1), lent + a
    return mean, rate.unit_variance(mean, team) / (units + b), (units + b) if rate.kind == "mean" else lent + a


EMAILS, CALLS = "emails_replied", "calls_connected"
FUNNEL = {
    # What comes of it: by which rate, and whose count that is.
    "emails_sent": (Rate("share", "emails_delivered", ("emails_sent",)), "emails_delivered"),
    "emails_delivered": (Rate("share", "emails_replied", ("emails_delivered",)), "emails_replied"),
    "emails_replied": (Rate("count", "meetings_booked", (EMAILS, CALLS)), "meetings_booked"),
    "calls_logged": (Rate("share", "calls_connected", ("calls_logged",)), "calls_connected"),
    "calls_connected": (Rate("count", "meetings_booked", (EMAILS, CALLS)), "meetings_booked"),
    "meetings_booked": (Rate("share", "meetings_held", ("meetings_held", "meetings_no_show")), "meetings_held"),
    "meetings_held": (Rate("count", "opportunities_created", ("meetings_held",)), "opportunities_created"),
    "opportunities_created": (
        Rate("share", "closed_won_count", ("closed_won_count", "closed_lost_count")),
        "closed_won_count",
    ),
    "closed_won_count": (Rate("mean", "closed_won_amount", ("closed_won_count",)), "closed_won_amount"),
}
LEVERS = {
    # Shown as (metric, measure): the rate, whether lower is better, what it moves, whether it is an outcome.
    ("BOUNCE_RATE", "RATE"): (Rate("share", "emails_bounced", ("emails_sent",)), True, "emails_delivered", False),
    ("REPLY_RATE", "RATE"): (Rate("share", "emails_replied", ("emails_delivered",)), False, "emails_replied", False),
    ("CONNECT_RATE", "RATE"): (Rate("share", "calls_connected", ("calls_logged",)), False, "calls_connected", False),
    ("MEETINGS_BOOKED", "PER_STEP_BEFORE"): (
        Rate("count", "meetings_booked", (EMAILS, CALLS)),
        False,
        "meetings_booked",
        False,
    ),
    ("SHOW_RATE", "RATE"): (
        Rate("share", "meetings_held", ("meetings_held", "meetings_no_show")),
        False,
        "meetings_held",
        False,
    ),
    ("OPPORTUNITIES_CREATED", "PER_STEP_BEFORE"): (
        Rate("count", "opportunities_created", ("meetings_held",)),
        False,
        "opportunities_created",
        False,
    ),
    ("WIN_RATE", "RATE"): (
        Rate("share", "closed_won_count", ("closed_won_count", "closed_lost_count")),
        False,
        "closed_won_count",
        False,
    ),
    ("AVERAGE_DEAL", "RATE"): (
        Rate("mean", "closed_won_amount", ("closed_won_count",)),
        False,
        "closed_won_amount",
        False,
    ),
    ("EMAILS_SENT", "PER_WORKING_DAY"): (Rate("count", "emails_sent", ()), False, "emails_sent", False),
    ("CALLS_LOGGED", "PER_WORKING_DAY"): (Rate("count", "calls_logged", ()), False, "calls_logged", False),
    ("MEETINGS_BOOKED", "PER_WORKING_DAY"): (Rate("count", "meetings_booked", ()), False, "meetings_booked", True),
    ("MEETINGS_HELD", "PER_WORKING_DAY"): (Rate("count", "meetings_held", ()), False, "meetings_held", True),
    ("OPPORTUNITIES_CREATED", "PER_WORKING_DAY"): (
        Rate("count", "opportunities_created", ()),
        False,
        "opportunities_created",
        True,
    ),
    ("CLOSED_WON_COUNT", "PER_WORKING_DAY"): (Rate("count", "closed_won_count", ()), False, "closed_won_count", True),
}
POSITION = {name: number for number, name in enumerate([*FUNNEL, "closed_won_amount"])}
LEADS_TO = {
    name: [other for other in POSITION if POSITION[other] <= POSITION[name]] for name in POSITION
}  # Emails and calls both come before meetings.
LEADS_TO["emails_replied"] = ["emails_sent", "emails_delivered", "emails_replied"]
LEADS_TO["calls_connected"] = ["calls_logged", "calls_connected"]


@dataclass
class Found:
    """A gap, as far as the two computations are compared."""

    rep: int
    metric: str
    measure: str
    value: float
    median: float
    z: float
    p_value: float
    gains: list[tuple[str, float, float]]
    share: float


def gaps(team: Sequence[Days], horizon: float) -> list[Found]:
    """The one or two gaps of each rep of a team who are all peers of each other."""
    tests: dict[tuple[int, tuple[str, str]], tuple[float, float, float, float, float]] = {}
    p_values: dict[object, float] = {}
    for key, (rate, lower, _moves, _outcome) in LEVERS.items():
        scatter = rate.dispersion(team)
        for rep, days in enumerate(team):
            b = rate.b(days)
            if not b:
                continue
            value = rate.a(days) / b
            others = [
                rate.a(peer) / rate.b(peer) for number, peer in enumerate(team) if number != rep and rate.b(peer) > 0
            ]
            if len(others) < 5:
                continue
            median, spread, z = distance(value, others)
            sign = 1 if lower else -1
            expected = b * median
            if rate.kind == "share":
                enough = min(expected, b - expected) >= 5
            elif rate.kind == "count":
                enough = expected >= 5
            else:
                enough = b >= 10 and sum(1 for day in days if rate.of_day(day) > 0) >= 10
            unsure = rate.unit_variance(median, team) * scatter / b + math.pi / 2 * spread**2 / len(others)
            score = math.nan
            if enough and unsure > 0:
                score = sign * (value - median) / math.sqrt(unsure)
                p_values[(rep, key)] = NORMAL.cdf(-score)
            tests[(rep, key)] = (value, median, math.nan if z is None else z, spread, score)
    named = stands(p_values, 0.01)
    whole = _lagging_as_a_whole(team, tests)
    found: list[Found] = []
    for rep in range(len(team)):
        mine: dict[tuple[str, str], Found] = {}
        for key, (_rate, lower, _moves, outcome) in LEVERS.items():
            if (rep, key) not in tests or (rep, key) not in p_values:
                continue
            value, median, z, spread, _score = tests[(rep, key)]
            sign = 1 if lower else -1
            lags = sign * (value - median) >= 0.1 * abs(median)
            peers = sum(1 for number, peer in enumerate(team) if number != rep and LEVERS[key][0].b(peer) > 0)
            alone = (rep, key) in named and lags and sign * z >= (2.5 if peers >= 8 else 3.5)
            part = rep in whole and not outcome and lags and sign * z >= 1 and p_values[(rep, key)] <= 0.05
            if alone or part:
                gains, share = _gains(team, rep, key, value, median, spread, peers, horizon)
                mine[key] = Found(rep, *key, value, median, z, p_values[(rep, key)], gains, share)
        levers = [one for key, one in mine.items() if not LEVERS[key][3]]
        outcomes = [one for key, one in mine.items() if LEVERS[key][3]]
        if outcomes:
            first = min(outcomes, key=lambda one: POSITION[LEVERS[(one.metric, one.measure)][2]])
            before = LEADS_TO[LEVERS[(first.metric, first.measure)][2]]
            if not any(LEVERS[(one.metric, one.measure)][2] in before for one in levers):
                levers.append(first)
        found += sorted(levers, key=lambda one: (-one.share, -abs(one.z)))[:2]
    return sorted(found, key=lambda one: (-one.share, -abs(one.z)))


def _lagging_as_a_whole(
    team: Sequence[Days], tests: Mapping[tuple[int, tuple[str, str]], tuple[float, float, float, float, float]]
) -> set[object]:
    together: dict[object, float] = {}
    distances: dict[object, float] = {}
    for rep in range(len(team)):
        own = [
            (tests[(rep, key)][4], (1 if lower else -1) * tests[(rep, key)][2])
            for key, (_rate, lower, _moves, outcome) in LEVERS.items()
            if not outcome and (rep, key) in tests
        ]
        own = [(score, z) for score, z in own if not math.isnan(score) and not math.isnan(z)]
        if len(own) >= 2:
            together[rep] = NORMAL.cdf(-sum(score for score, _z in own) / math.sqrt(len(own)))
            distances[rep] = sum(z for _score, z in own) / math.sqrt(len(own))
    return {rep for rep in stands(together, 0.01) if distances[rep] >= 2}


def _gains(
    team: Sequence[Days],
    rep: int,
    key: tuple[str, str],
    value: float,
    median: float,
    spread: float,
    peers: int,
    horizon: float,
) -> tuple[list[tuple[str, float, float]], float]:
    rate, _lower, moves, _outcome = LEVERS[key]
    days = team[rep]
    others = [peer for number, peer in enumerate(team) if number != rep]
    b, gap = rate.b(days), abs(value - median)
    amount = b * gap / len(days) * horizon
    unsure = rate.unit_variance(value, team) * rate.dispersion(team) / b + math.pi / 2 * spread**2 / peers
    relative = unsure / gap**2
    gains = [(moves, amount, relative)]
    while moves in FUNNEL:
        step, moves = FUNNEL[moves]
        known = posterior(step, days, others, team)
        if known is None or known[0] <= 0 or known[2] < 3:
            break
        amount, relative = amount * known[0], relative + known[1] / known[0] ** 2
        gains.append((moves, amount, relative))
    name, last, _relative = gains[-1]
    brought = (
        math.fsum(day.get(name, 0) for peer in others for day in peer) / sum(len(peer) for peer in others) * horizon
    )
    return gains, last / brought if brought > 0 else 0.0
