"""Insight in plain sentences: numbers with their units, rounded as a person would say them."""

from __future__ import annotations

from datetime import date

from domain.insight.funnel import Measure, Step
from domain.insight.gaps import Gain, Gap
from domain.insight.rates import Kind
from domain.metrics import METRICS, MetricUnit

_NOUNS = {
    "EMAILS_SENT": ("email sent", "emails sent"),
    "EMAILS_DELIVERED": ("email delivered", "emails delivered"),
    "EMAILS_OPENED": ("email opened", "emails opened"),
    "EMAILS_REPLIED": ("reply", "replies"),
    "CALLS_LOGGED": ("call", "calls"),
    "CALLS_CONNECTED": ("connected call", "connected calls"),
    "MEETINGS_BOOKED": ("meeting booked", "meetings booked"),
    "MEETINGS_HELD": ("meeting held", "meetings held"),
    "OPPORTUNITIES_CREATED": ("opportunity", "opportunities"),
    "CLOSED_WON_COUNT": ("deal won", "deals won"),
    "CADENCE_STEPS_COMPLETED": ("cadence step", "cadence steps"),
}
_TRIALS = {
    "BOUNCE_RATE": ("email sent", "emails sent"),
    "REPLY_RATE": _NOUNS["EMAILS_DELIVERED"],
    "CONNECT_RATE": _NOUNS["CALLS_LOGGED"],
    "SHOW_RATE": ("meeting held or missed", "meetings held or missed"),
    "WIN_RATE": ("deal closed", "deals closed"),
    "AVERAGE_DEAL": _NOUNS["CLOSED_WON_COUNT"],
}


def counted(metric: str, amount: float, currency: str) -> str:
    """An amount of a metric with its unit."""
    unit = METRICS[metric].unit
    if unit is MetricUnit.MONEY:
        return f"{currency} {rounded_money(amount):,.0f}"
    if unit is MetricUnit.SECONDS:
        return f"{seconds(amount)} of {METRICS[metric].label.lower()}"
    said = number(amount)
    one, many = _NOUNS.get(metric, (METRICS[metric].label.lower(),) * 2)
    return f"{said} {one if said == '1' else many}"


def number(amount: float) -> str:
    """A count as one says it: whole from ten on, with two digits that tell below."""
    if abs(amount) >= 9.95:
        return f"{amount:,.0f}"
    text = f"{amount:.1f}" if abs(amount) >= 0.95 else f"{amount:.2f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def seconds(amount: float) -> str:
    """A duration."""
    if amount >= 7_200:
        return f"{number(amount / 3_600)} hours"
    if amount >= 120:
        return f"{number(amount / 60)} minutes"
    return f"{number(amount)} seconds"


def percent(share: float) -> str:
    """A share of 1."""
    text = f"{share * 100:.1f}".removesuffix(".0")
    return f"{text}%"


def day(one: date) -> str:
    """A day."""
    return f"{one.day} {one:%b %Y}"


def shown_value(gap: Gap, value: float, currency: str) -> str:
    """A value of a gap's measure, with its unit."""
    if gap.lever.measure is not Measure.RATE:
        return number(value)
    return shown_rate(gap.lever.metric, value, currency)


def shown_rate(metric: str, value: float, currency: str = "") -> str:
    """A rate with its unit."""
    unit = METRICS[metric].unit
    if unit is MetricUnit.RATIO:
        return percent(value)
    if unit is MetricUnit.MONEY:
        return f"{currency} {rounded_money(value):,.0f}"
    if unit is MetricUnit.SECONDS:
        return seconds(value)
    return f"{number(value)} days" if unit is MetricUnit.DAYS else number(value)


def trials(step: Step) -> str:
    """What a step's rate is of."""
    if len(step.sources) > 1:
        return "prospects reached by a reply or a call"
    if step.target == "MEETINGS_HELD":
        return "meetings held or missed"
    return "deals closed" if step.target == "CLOSED_WON_COUNT" else _NOUNS[step.sources[0]][1]


def _reached(gap: Gap, *, one: bool) -> str:
    """What a step comes of."""
    if len(gap.lever.per) > 1:
        return "prospect reached by a reply or a call" if one else "prospects reached by a reply or a call"
    return _NOUNS[gap.lever.per[0]][0 if one else 1]


def explain(gap: Gap, gain: Gain | None, name: str, currency: str) -> str:
    """A gap in one sentence.

    Args:
        gap: The gap.
        gain: What of its gains is to be told.
        name: The rep's.
        currency: The team's.
    """
    lever = gap.lever
    label = METRICS[lever.metric].label.lower()
    value, median = (shown_value(gap, one, currency) for one in (gap.value, gap.median))
    where = "on the team" if gap.circle is None else f"in {gap.circle}"
    peers = f"the median of {gap.peers} peers {where} is {median}"
    if gap.lagging is not None and gap.lagging[0] > 1:
        peers += f" ({gap.lagging[0]} of the {gap.lagging[1]} steps of the funnel that can be judged lag)"
    more = abs(gap.at_median - gap.events)
    if lever.measure is Measure.PER_WORKING_DAY:
        begun = f"{name}'s {label} are {value} a working day over {gap.days:.0f} days worked where {peers}"
        closing = (
            f"at the peers' pace there would be about {counted(lever.metric, more, currency)} more over those days"
        )
    elif lever.measure is Measure.PER_STEP_BEFORE:
        begun = (
            f"{name} has {value} {_NOUNS[lever.metric][1]} for each of {gap.units:,.0f} "
            f"{_reached(gap, one=gap.units == 1)} where {peers}"
        )
        closing = f"at the peers' rate as many would bring about {counted(lever.metric, more, currency)} more"
    elif lever.kind is Kind.MEAN and lever.moves is None:
        return f"{name}'s {label} is {value} where {peers}."
    else:
        begun = f"{name}'s {label} is {value} of {gap.units:,.0f} {_TRIALS[lever.metric][1]} where {peers}"
        if lever.kind is Kind.MEAN:
            begun = f"{name}'s {label} is {value} over {gap.units:,.0f} {_TRIALS[lever.metric][1]} where {peers}"
        moved = lever.moves or lever.metric
        closing = (
            f"at the peers' {'average' if lever.kind is Kind.MEAN else 'rate'} as many would bring about "
            f"{counted(moved, more, currency)} more"
        )
    if gain is None:
        return f"{begun}: {closing}{_behind(gap)}."
    closing += _behind(gap)
    low, high = _range(gain, currency)
    said = counted(gain.metric, gain.expected, currency)
    if gain.metric == lever.moves:
        return f"{begun}: {closing}, or about {said} ({low} to {high}) more a quarter."
    return f"{begun}: {closing} and, at {name}'s own rates from there, about {said} ({low} to {high}) more a quarter."


def _behind(gap: Gap) -> str:
    said = [f"{METRICS[metric].label.lower()} at {percent(share)} of the peers' median" for metric, share in gap.behind]
    return f" (it comes mostly of {' and '.join(said)})" if said else ""


def rounded_money(amount: float) -> float:
    """To three digits that tell."""
    if amount < 1_000:
        return round(amount)
    return float(round(amount, 3 - len(str(int(amount)))))


def _range(gain: Gain, currency: str) -> tuple[str, str]:
    if METRICS[gain.metric].unit is MetricUnit.MONEY:
        return f"{rounded_money(gain.low):,.0f}", f"{rounded_money(gain.high):,.0f}"
    return number(gain.low), number(gain.high)
