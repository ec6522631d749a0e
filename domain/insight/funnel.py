"""The funnel: what is counted in it, how one step comes of the one before, and what of it a rep can be coached on.

    emails sent -> delivered -> replied \\
                                         prospects reached -> meetings booked -> held -> opportunities -> won -> amount
            calls logged -> connected   /

Meetings are booked with those whom an email or a call has reached; which of the two it was nobody records, so that both
count alike, and each only where it is connected. A step whose own feed, or every feed before it, has brought nothing
is not there: the funnel is then cut, and begins anew below the cut.

A rate of a step says what comes of what in the long run, so its two numbers need not be the same things: what was
booked in a range is held after it, in part, and what is held was booked before. Where outcomes are recorded (held or
missed, won or lost) the rate is of those that have one.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from domain.insight.rates import Kind
from domain.metrics import METRICS, Direction


class Measure(StrEnum):
    """What a gap's value is."""

    RATE = "RATE"
    PER_WORKING_DAY = "PER_WORKING_DAY"
    PER_STEP_BEFORE = "PER_STEP_BEFORE"


@dataclass(frozen=True, slots=True)
class Step:
    """How one count comes of others.

    Args:
        sources: The metrics that it comes of.
        target: The metric.
        kind: The kind of its rate.
        numerator: A base sum.
        denominators: Base sums that add up to the rate's divisor.
    """

    sources: tuple[str, ...]
    target: str
    kind: Kind
    numerator: str
    denominators: tuple[str, ...]


STEPS = (
    Step(("EMAILS_SENT",), "EMAILS_DELIVERED", Kind.SHARE, "emails_delivered", ("emails_sent",)),
    Step(("EMAILS_DELIVERED",), "EMAILS_REPLIED", Kind.SHARE, "emails_replied", ("emails_delivered",)),
    Step(("CALLS_LOGGED",), "CALLS_CONNECTED", Kind.SHARE, "calls_connected", ("calls_logged",)),
    Step(
        ("EMAILS_REPLIED", "CALLS_CONNECTED"),
        "MEETINGS_BOOKED",
        Kind.COUNT,
        "meetings_booked",
        ("emails_replied", "calls_connected"),
    ),
    Step(("MEETINGS_BOOKED",), "MEETINGS_HELD", Kind.SHARE, "meetings_held", ("meetings_held", "meetings_no_show")),
    Step(("MEETINGS_HELD",), "OPPORTUNITIES_CREATED", Kind.COUNT, "opportunities_created", ("meetings_held",)),
    Step(
        ("OPPORTUNITIES_CREATED",),
        "CLOSED_WON_COUNT",
        Kind.SHARE,
        "closed_won_count",
        ("closed_won_count", "closed_lost_count"),
    ),
    Step(("CLOSED_WON_COUNT",), "CLOSED_WON_AMOUNT", Kind.MEAN, "closed_won_amount", ("closed_won_count",)),
)
ASIDE = (
    Step(("EMAILS_SENT",), "EMAILS_OPENED", Kind.SHARE, "emails_opened", ("emails_sent",)),
    Step(("CALLS_CONNECTED",), "TALK_TIME", Kind.MEAN, "talk_seconds", ("calls_connected",)),
    Step(("OPPORTUNITIES_CREATED",), "NEW_PIPELINE", Kind.MEAN, "new_pipeline", ("opportunities_created",)),
)
"""What comes of a step of the funnel, and leads to nothing further in it; a goal may ask for it."""

ORDER = (
    "EMAILS_SENT",
    "EMAILS_DELIVERED",
    "EMAILS_OPENED",
    "EMAILS_REPLIED",
    "CALLS_LOGGED",
    "CALLS_CONNECTED",
    "TALK_TIME",
    "MEETINGS_BOOKED",
    "MEETINGS_HELD",
    "OPPORTUNITIES_CREATED",
    "NEW_PIPELINE",
    "CLOSED_WON_COUNT",
    "CLOSED_WON_AMOUNT",
)
"""The metrics of the funnel, the farthest from the deal first."""


def there(step: Step, available: Collection[str]) -> Step | None:
    """A step as far as its feeds are connected; None where they are not."""
    sources = tuple(source for source in step.sources if source in available)
    if step.target not in available or not sources:
        return None
    if sources == step.sources:
        return step
    denominators = tuple(METRICS[source].numerator for source in sources)
    return Step(sources, step.target, step.kind, step.numerator, denominators)


def steps_of(available: Collection[str]) -> tuple[Step, ...]:
    """The steps of the funnel that are there, the farthest from the deal first."""
    return tuple(found for step in STEPS if (found := there(step, available)) is not None)


def step_to(metric: str, available: Collection[str]) -> Step | None:
    """How a metric comes of the step before; None where it begins the funnel, or is not part of it."""
    return next((there(step, available) for step in (*STEPS, *ASIDE) if step.target == metric), None)


_SENT_TO_REPLIED = Step(("EMAILS_SENT",), "EMAILS_REPLIED", Kind.SHARE, "emails_replied", ("emails_sent",))


def plan_step_to(metric: str, available: Collection[str]) -> Step | None:
    """The same for a plan, in which nobody plans deliveries: replies come of emails sent."""
    if metric == _SENT_TO_REPLIED.target:
        return there(_SENT_TO_REPLIED, available)
    return step_to(metric, available)


def metrics_before(metric: str, available: Collection[str]) -> frozenset[str]:
    """The metrics of the funnel that a metric comes of, with itself."""
    found = {metric}
    for step in reversed(steps_of(available)):
        if step.target in found:
            found.update(step.sources)
    return frozenset(found)


def steps_after(metric: str, available: Collection[str]) -> tuple[Step, ...]:
    """The steps from a metric down to the deal, as far as they are connected."""
    found: list[Step] = []
    for step in steps_of(available):
        if metric in step.sources:
            found.append(step)
            metric = step.target
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Lever:
    """Something that a rep can be coached on.

    Args:
        metric: What it is shown as.
        measure: What its value is.
        kind: The kind of its rate.
        numerator: A base sum.
        denominators: Base sums that add up to the divisor; none for working days.
        lower_is_better: Which way is better.
        scale: What the value is divided by further.
        moves: The metric whose count closing the gap changes; None where nothing is known to come of it.
        per: The steps before, of which it is measured.
        outcome: Whether it is what the levers before it come to, rather than one of them.
    """

    metric: str
    measure: Measure
    kind: Kind
    numerator: str
    denominators: tuple[str, ...] = ()
    lower_is_better: bool = False
    scale: int = 1
    moves: str | None = None
    per: tuple[str, ...] = ()
    outcome: bool = False


_SHOWN_AS = {
    # A catalogue's rate that is the step's rate, or its complement.
    "EMAILS_DELIVERED": "BOUNCE_RATE",
    "EMAILS_REPLIED": "REPLY_RATE",
    "CALLS_CONNECTED": "CONNECT_RATE",
    "MEETINGS_HELD": "SHOW_RATE",
    "CLOSED_WON_COUNT": "WIN_RATE",
    "CLOSED_WON_AMOUNT": "AVERAGE_DEAL",
}
_SKILLS = ("SALES_CYCLE", "LONGEST_MONOLOGUE", "QUESTIONS_ASKED", "PATIENCE")
"""What is known to be better one way, with no count that comes of it."""
_EFFORTS = ("CADENCE_STEPS_COMPLETED",)
_OUTCOMES = ("MEETINGS_BOOKED", "MEETINGS_HELD", "OPPORTUNITIES_CREATED", "CLOSED_WON_COUNT")
_HEADS = ("EMAILS_SENT", "CALLS_LOGGED", "MEETINGS_BOOKED", "MEETINGS_HELD", "OPPORTUNITIES_CREATED")


def levers_of(available: Collection[str]) -> tuple[Lever, ...]:
    """What reps can be coached on with what is connected.

    A step of the funnel counts for what is made of the one before, and only where the funnel begins for how much is
    done per working day: few meetings that come of few calls are one gap, not two. What they come to per working day is
    looked at as an outcome, since somebody who does a little less of everything books far fewer meetings. Of a metric
    with a band neither way is better, so it is no lever.
    """
    found: list[Lever] = []
    for step in STEPS:
        connected = there(step, available)
        if connected is None:
            continue
        shown = METRICS[_SHOWN_AS.get(step.target, step.target)]
        if shown.is_quotient:
            lower = shown.direction is Direction.LOWER
            found.append(
                Lever(
                    shown.key,
                    Measure.RATE,
                    connected.kind,
                    shown.numerator,
                    shown.denominators,
                    lower_is_better=lower,
                    moves=step.target,
                )
            )
        else:
            found.append(
                Lever(
                    shown.key,
                    Measure.PER_STEP_BEFORE,
                    connected.kind,
                    connected.numerator,
                    connected.denominators,
                    moves=step.target,
                    per=connected.sources,
                )
            )
    for key in (*_HEADS, *_EFFORTS):
        if key in available and step_to(key, available) is None:
            moves = key if key in _HEADS else None
            found.append(Lever(key, Measure.PER_WORKING_DAY, Kind.COUNT, METRICS[key].numerator, moves=moves))
    for key in _OUTCOMES:
        if key in available and step_to(key, available) is not None:
            numerator = METRICS[key].numerator
            found.append(Lever(key, Measure.PER_WORKING_DAY, Kind.COUNT, numerator, moves=key, outcome=True))
    for key in _SKILLS:
        if key in available:
            metric = METRICS[key]
            found.append(
                Lever(
                    key,
                    Measure.RATE,
                    Kind.MEAN,
                    metric.numerator,
                    metric.denominators,
                    lower_is_better=metric.direction is Direction.LOWER,
                    scale=metric.scale,
                )
            )
    return tuple(found)
