"""The catalogue of metrics: what each is called, measures, and how it is made from base sums.

A base sum is something that can be added up over days and people: rollups hold one column for each. A metric is a
base sum, or a quotient of two (never a mean of ratios): over any range and any set of people it is computed from the
sums over all of them. With nothing to divide by it is null, not 0.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from enum import StrEnum
from functools import lru_cache
from typing import Literal

from domain.models.activities import ActivityKind
from domain.models.teams import Feed

Number = int | Decimal

RATIO_STEP = Decimal("0.000001")
"""Quotients are rounded half to even to six places."""


class MetricUnit(StrEnum):
    """What a metric's number counts."""

    COUNT = "COUNT"
    SECONDS = "SECONDS"
    MONEY = "MONEY"
    RATIO = "RATIO"
    DAYS = "DAYS"


class Direction(StrEnum):
    """Which way is better."""

    HIGHER = "HIGHER"
    LOWER = "LOWER"
    BAND = "BAND"


@dataclass(frozen=True, slots=True)
class BaseSum:
    """A column of the rollups, and how one activity adds to it.

    Args:
        name: The column.
        kind: The kind of activity that adds to it.
        day: Which local day it counts on: the day of `occurred_at`, `starts_at` or `completed_at` in the team's time
            zone, or one of the activity's own dates.
        amount: SQL over the activity `a`: how much it adds.
        when: SQL over the activity `a`: whether it adds at all.
    """

    name: str
    kind: ActivityKind
    day: Literal["occurred_at", "starts_at", "completed_at", "created_on", "pipeline_on", "closed_on"] = "occurred_at"
    amount: str = "1"
    when: str | None = None
    money: bool = False


_E, _C, _M, _V = ActivityKind.EMAIL, ActivityKind.CALL, ActivityKind.MEETING, ActivityKind.CONVERSATION
_S, _T, _O = ActivityKind.CADENCE_STEP, ActivityKind.TASK, ActivityKind.OPPORTUNITY

BASE_SUMS: tuple[BaseSum, ...] = (
    BaseSum("emails_sent", _E),
    BaseSum("emails_delivered", _E, when="NOT a.bounced"),
    BaseSum("emails_bounced", _E, when="a.bounced"),
    BaseSum("emails_opened", _E, when="a.open_count > 0"),
    BaseSum("emails_replied", _E, when="a.replied_at IS NOT NULL"),
    BaseSum("calls_logged", _C),
    BaseSum("calls_connected", _C, when="a.connected"),
    BaseSum("talk_seconds", _C, amount="a.duration_seconds", when="a.connected"),
    BaseSum("meetings_booked", _M, when="a.status <> 'cancelled'"),
    BaseSum("meetings_rescheduled", _M, when="a.rescheduled_count > 0"),
    BaseSum("meetings_held", _M, day="starts_at", when="a.status = 'held'"),
    BaseSum("meetings_no_show", _M, day="starts_at", when="a.status = 'no_show'"),
    BaseSum("conversations_recorded", _V),
    BaseSum(
        "talk_ratio_weighted",
        _V,
        amount="(a.talk_ratio * 1000000)::bigint * a.duration_seconds",
        when="a.talk_ratio IS NOT NULL",
    ),
    BaseSum("talk_ratio_seconds", _V, amount="a.duration_seconds", when="a.talk_ratio IS NOT NULL"),
    BaseSum(
        "monologue_weighted",
        _V,
        amount="a.longest_monologue_seconds::bigint * a.duration_seconds",
        when="a.longest_monologue_seconds IS NOT NULL",
    ),
    BaseSum("monologue_seconds", _V, amount="a.duration_seconds", when="a.longest_monologue_seconds IS NOT NULL"),
    BaseSum(
        "questions_weighted",
        _V,
        amount="a.questions_asked::bigint * a.duration_seconds",
        when="a.questions_asked IS NOT NULL",
    ),
    BaseSum("questions_seconds", _V, amount="a.duration_seconds", when="a.questions_asked IS NOT NULL"),
    BaseSum(
        "patience_weighted",
        _V,
        amount="(a.patience_seconds * 1000)::bigint * a.duration_seconds",
        when="a.patience_seconds IS NOT NULL",
    ),
    BaseSum("patience_duration_seconds", _V, amount="a.duration_seconds", when="a.patience_seconds IS NOT NULL"),
    BaseSum("people_added", _S, when="a.status = 'added'"),
    BaseSum("cadence_steps_completed", _S, when="a.status = 'completed'"),
    BaseSum("cadence_steps_overdue", _S, when="a.status = 'overdue'"),
    BaseSum("tasks_completed", _T, day="completed_at"),
    BaseSum("opportunities_created", _O, day="created_on"),
    BaseSum("new_pipeline", _O, day="pipeline_on", amount="a.team_amount", money=True),
    BaseSum("closed_won_count", _O, day="closed_on", when="a.won"),
    BaseSum("closed_won_amount", _O, day="closed_on", amount="a.team_amount", when="a.won", money=True),
    BaseSum("closed_lost_count", _O, day="closed_on", when="NOT a.won"),
    BaseSum(
        "sales_cycle_days",
        _O,
        day="closed_on",
        amount="a.closed_on - a.created_on",
        when="a.won AND a.created_on IS NOT NULL",
    ),
    BaseSum("sales_cycle_count", _O, day="closed_on", when="a.won AND a.created_on IS NOT NULL"),
    BaseSum("conversations_reviewed", _V, when="a.reviewed"),
    BaseSum("scorecard_points", _V, amount="(a.score_total * 10000)::bigint", when="a.score_count > 0"),
    BaseSum("scorecards_counted", _V, amount="a.score_count", when="a.score_count > 0"),
)

BASE_SUM_NAMES: tuple[str, ...] = tuple(base.name for base in BASE_SUMS)

FEEDS_OF_KIND: dict[ActivityKind, tuple[Feed, ...]] = {
    _E: (Feed.EMAIL,),
    _C: (Feed.CALLS,),
    _M: (Feed.CALENDAR,),
    _V: (Feed.CONVERSATIONS,),
    _S: (Feed.CADENCE,),
    _T: (Feed.CADENCE,),
    _O: (Feed.CRM, Feed.DEALS),
}
"""By what an activity of a kind may come: an opportunity by the sync of opportunities, that of deals, or both."""


@dataclass(frozen=True, slots=True)
class MetricDefinition:
    """One metric of the catalogue.

    Args:
        key: Its name in the API.
        label: Its name for people.
        unit: What its number counts.
        feed: The stream of activities that it is made of.
        numerator: A base sum.
        denominators: Base sums that add up to the divisor; empty for a plain sum.
        scale: What the numerator's fixed-point column is multiplied by.
        definition: What it means, in a sentence.
    """

    key: str
    label: str
    unit: MetricUnit
    feed: Feed
    numerator: str
    definition: str
    denominators: tuple[str, ...] = ()
    scale: int = 1
    direction: Direction = Direction.HIGHER

    @property
    def goalable(self) -> bool:
        """Whether it takes a goal: attainment and pace grow towards a target, so that more must be better."""
        return self.direction is Direction.HIGHER

    @property
    def is_quotient(self) -> bool:
        """Whether it divides, so that it cannot be added up over days or people."""
        return bool(self.denominators)


_U, _F, _D = MetricUnit, Feed, Direction
_DEFINITIONS: tuple[MetricDefinition, ...] = (
    MetricDefinition("EMAILS_SENT", "Emails sent", _U.COUNT, _F.EMAIL, "emails_sent", "Emails sent."),
    MetricDefinition(
        "EMAILS_DELIVERED",
        "Emails delivered",
        _U.COUNT,
        _F.EMAIL,
        "emails_delivered",
        "Emails sent that did not bounce.",
    ),
    MetricDefinition(
        "EMAILS_REPLIED",
        "Emails replied",
        _U.COUNT,
        _F.EMAIL,
        "emails_replied",
        "Emails that got a reply, counted on the day that they were sent.",
    ),
    MetricDefinition(
        "REPLY_RATE",
        "Reply rate",
        _U.RATIO,
        _F.EMAIL,
        "emails_replied",
        "Emails replied per email delivered.",
        ("emails_delivered",),
    ),
    MetricDefinition(
        "EMAILS_OPENED",
        "Emails opened",
        _U.COUNT,
        _F.EMAIL,
        "emails_opened",
        "Emails opened at least once, counted on the day that they were sent.",
    ),
    MetricDefinition(
        "OPEN_RATE",
        "Open rate",
        _U.RATIO,
        _F.EMAIL,
        "emails_opened",
        "Emails opened per email delivered.",
        ("emails_delivered",),
    ),
    MetricDefinition(
        "EMAILS_BOUNCED",
        "Emails bounced",
        _U.COUNT,
        _F.EMAIL,
        "emails_bounced",
        "Emails that could not be delivered.",
        direction=_D.LOWER,
    ),
    MetricDefinition(
        "BOUNCE_RATE",
        "Bounce rate",
        _U.RATIO,
        _F.EMAIL,
        "emails_bounced",
        "Emails bounced per email sent.",
        ("emails_sent",),
        direction=_D.LOWER,
    ),
    MetricDefinition("CALLS_LOGGED", "Calls logged", _U.COUNT, _F.CALLS, "calls_logged", "Calls made."),
    MetricDefinition(
        "CALLS_CONNECTED", "Calls connected", _U.COUNT, _F.CALLS, "calls_connected", "Calls that reached a person."
    ),
    MetricDefinition(
        "CONNECT_RATE",
        "Connect rate",
        _U.RATIO,
        _F.CALLS,
        "calls_connected",
        "Calls connected per call logged.",
        ("calls_logged",),
    ),
    MetricDefinition(
        "TALK_TIME", "Talk time", _U.SECONDS, _F.CALLS, "talk_seconds", "Duration of connected calls, added up."
    ),
    MetricDefinition(
        "MEETINGS_BOOKED",
        "Meetings booked",
        _U.COUNT,
        _F.CALENDAR,
        "meetings_booked",
        "Meetings booked, on the day of booking; a rescheduled one counts once, a cancelled one not at all.",
    ),
    MetricDefinition(
        "MEETINGS_HELD", "Meetings held", _U.COUNT, _F.CALENDAR, "meetings_held", "Meetings that took place."
    ),
    MetricDefinition(
        "MEETINGS_RESCHEDULED",
        "Meetings rescheduled",
        _U.COUNT,
        _F.CALENDAR,
        "meetings_rescheduled",
        "Meetings moved at least once, on the day of booking.",
        direction=_D.LOWER,
    ),
    MetricDefinition(
        "MEETING_NO_SHOWS",
        "Meeting no-shows",
        _U.COUNT,
        _F.CALENDAR,
        "meetings_no_show",
        "Meetings to which the guest did not come.",
        direction=_D.LOWER,
    ),
    MetricDefinition(
        "SHOW_RATE",
        "Show rate",
        _U.RATIO,
        _F.CALENDAR,
        "meetings_held",
        "Meetings held per meeting held or missed.",
        ("meetings_held", "meetings_no_show"),
    ),
    MetricDefinition(
        "CONVERSATIONS_RECORDED",
        "Conversations recorded",
        _U.COUNT,
        _F.CONVERSATIONS,
        "conversations_recorded",
        "Calls and meetings recorded.",
    ),
    MetricDefinition(
        "TALK_RATIO",
        "Talk ratio",
        _U.RATIO,
        _F.CONVERSATIONS,
        "talk_ratio_weighted",
        "Share of a conversation in which the rep talks, weighted by duration.",
        ("talk_ratio_seconds",),
        scale=1_000_000,
        direction=_D.BAND,
    ),
    MetricDefinition(
        "LONGEST_MONOLOGUE",
        "Longest monologue",
        _U.SECONDS,
        _F.CONVERSATIONS,
        "monologue_weighted",
        "The rep's longest stretch of talk in a conversation, mean weighted by duration.",
        ("monologue_seconds",),
        direction=_D.LOWER,
    ),
    MetricDefinition(
        "QUESTIONS_ASKED",
        "Questions asked",
        _U.COUNT,
        _F.CONVERSATIONS,
        "questions_weighted",
        "Questions that the rep asks in a conversation, mean weighted by duration.",
        ("questions_seconds",),
    ),
    MetricDefinition(
        "PATIENCE",
        "Patience",
        _U.SECONDS,
        _F.CONVERSATIONS,
        "patience_weighted",
        "Silence that the rep leaves after the other side has spoken, mean weighted by duration.",
        ("patience_duration_seconds",),
        scale=1_000,
    ),
    MetricDefinition(
        "CONVERSATIONS_REVIEWED",
        "Conversations reviewed",
        _U.COUNT,
        _F.CONVERSATIONS,
        "conversations_reviewed",
        "Conversations that a manager has reviewed: marked, scored or commented. Counted for the rep whose "
        "conversation it is, on the day of the conversation.",
    ),
    MetricDefinition(
        "SCORECARD_AVERAGE",
        "Scorecard average",
        _U.RATIO,
        _F.CONVERSATIONS,
        "scorecard_points",
        "Mean of the scorecards that others have submitted of a rep's conversations, as a share of the full score: "
        "0.8 is 80 of 100 points. Counted on the day of the conversation; those of a calibration from its end on.",
        ("scorecards_counted",),
        scale=1_000_000,
    ),
    MetricDefinition(
        "CADENCE_STEPS_COMPLETED",
        "Cadence steps completed",
        _U.COUNT,
        _F.CADENCE,
        "cadence_steps_completed",
        "Steps of cadences that were done.",
    ),
    MetricDefinition(
        "CADENCE_STEPS_OVERDUE",
        "Cadence steps overdue",
        _U.COUNT,
        _F.CADENCE,
        "cadence_steps_overdue",
        "Steps of cadences that were not done in time.",
        direction=_D.LOWER,
    ),
    MetricDefinition("PEOPLE_ADDED", "People added", _U.COUNT, _F.CADENCE, "people_added", "People added to cadences."),
    MetricDefinition(
        "TASKS_COMPLETED",
        "Tasks completed",
        _U.COUNT,
        _F.CADENCE,
        "tasks_completed",
        "Tasks done, on the day of doing.",
    ),
    MetricDefinition(
        "OPPORTUNITIES_CREATED",
        "Opportunities created",
        _U.COUNT,
        _F.CRM,
        "opportunities_created",
        "Opportunities created.",
    ),
    MetricDefinition(
        "NEW_PIPELINE",
        "New pipeline",
        _U.MONEY,
        _F.DEALS,
        "new_pipeline",
        "Amount of the opportunities that entered the pipeline, in the team's currency at the day's rate.",
    ),
    MetricDefinition(
        "CLOSED_WON_COUNT",
        "Deals won",
        _U.COUNT,
        _F.DEALS,
        "closed_won_count",
        "Opportunities won, on the day of closing.",
    ),
    MetricDefinition(
        "CLOSED_WON_AMOUNT",
        "Closed won",
        _U.MONEY,
        _F.DEALS,
        "closed_won_amount",
        "Amount of the opportunities won, in the team's currency at the day's rate.",
    ),
    MetricDefinition(
        "WIN_RATE",
        "Win rate",
        _U.RATIO,
        _F.DEALS,
        "closed_won_count",
        "Opportunities won per opportunity closed, won or lost.",
        ("closed_won_count", "closed_lost_count"),
    ),
    MetricDefinition(
        "AVERAGE_DEAL",
        "Average deal",
        _U.MONEY,
        _F.DEALS,
        "closed_won_amount",
        "Amount won per opportunity won.",
        ("closed_won_count",),
    ),
    MetricDefinition(
        "SALES_CYCLE",
        "Sales cycle",
        _U.DAYS,
        _F.DEALS,
        "sales_cycle_days",
        "Days from creation to winning, mean over the opportunities won.",
        ("sales_cycle_count",),
        direction=_D.LOWER,
    ),
)

METRICS: dict[str, MetricDefinition] = {definition.key: definition for definition in _DEFINITIONS}

_POSITION = {name: position for position, name in enumerate(BASE_SUM_NAMES)}

Sums = tuple[Number, ...]
"""Base sums in the order of BASE_SUMS."""

NO_SUMS: Sums = (0,) * len(BASE_SUM_NAMES)


@dataclass(frozen=True, slots=True)
class _Formula:
    numerator: int
    denominators: tuple[int, ...]
    scale: int


_FORMULAS = {
    key: _Formula(
        _POSITION[definition.numerator],
        tuple(_POSITION[name] for name in definition.denominators),
        definition.scale,
    )
    for key, definition in METRICS.items()
}


def compute(key: str, sums: Sums) -> Number | None:
    """A metric's value over some base sums; None where there is nothing to divide by.

    Quotients are Decimal, rounded half to even to six places; plain sums are exact.
    """
    formula = _FORMULAS[key]
    numerator = sums[formula.numerator]
    if not formula.denominators:
        return numerator
    denominator = sums[formula.denominators[0]]
    for position in formula.denominators[1:]:
        denominator += sums[position]
    if not denominator:
        return None
    return (Decimal(numerator) / (denominator * formula.scale)).quantize(RATIO_STEP, ROUND_HALF_EVEN)


def compute_all(keys: tuple[str, ...], sums: Sums) -> list[Number | None]:
    """The same for many metrics at once, without a call for each: a dashboard shows thousands of them."""
    numerators, quotients = _formulas_of(keys)
    values: list[Number | None] = [sums[position] for position in numerators]
    for place, numerator, first, more, scale in quotients:
        divisor = sums[first]
        for position in more:
            divisor += sums[position]
        values[place] = (Decimal(sums[numerator]) / (divisor * scale)).quantize(RATIO_STEP) if divisor else None
    return values


_Quotient = tuple[int, int, int, tuple[int, ...], int]
"""Its place among the keys, its numerator, the first and the further summands of its divisor, its scale."""


@lru_cache(maxsize=256)
def _formulas_of(keys: tuple[str, ...]) -> tuple[tuple[int, ...], tuple[_Quotient, ...]]:
    formulas = [_FORMULAS[key] for key in keys]
    quotients = tuple(
        (place, one.numerator, one.denominators[0], one.denominators[1:], one.scale)
        for place, one in enumerate(formulas)
        if one.denominators
    )
    return tuple(one.numerator for one in formulas), quotients


def available_metrics(feeds: Collection[str]) -> frozenset[str]:
    """The metrics that some connected feeds bring."""
    return frozenset(key for key, metric in METRICS.items() if metric.feed.value in feeds)


def sql_expression(key: str, relation: str) -> str:
    """The same formula in SQL over a relation that has the base sums as columns; for sorting."""
    definition = METRICS[key]
    numerator = f"{relation}.{definition.numerator}"
    if not definition.denominators:
        return f"{numerator}::numeric"
    divisor = " + ".join(f"{relation}.{name}" for name in definition.denominators)
    return f"round({numerator}::numeric / nullif(({divisor}) * {definition.scale}, 0), 12)"


_NEXT_STEP: dict[Feed, str] = {
    Feed.EMAIL: "No emails have come in yet: connect your engagement platform, or import records of the kind email.",
    Feed.CALLS: "No calls have come in yet: connect your dialer, or import records of the kind call.",
    Feed.CALENDAR: "No meetings have come in yet: connect a calendar, or import records of the kind meeting.",
    Feed.CONVERSATIONS: "No recordings have come in yet: connect your recorder, or import records of the kind "
    "conversation.",
    Feed.CADENCE: "No cadence steps have come in yet: connect your engagement platform, or import records of the kinds "
    "cadence_step and task.",
    Feed.CRM: "No opportunities have come in yet: connect your CRM, or import records of the kind opportunity.",
    Feed.DEALS: "No deals have come in yet: let an Admin with access to deals switch on their sync from the CRM, or "
    "import records of the kind opportunity.",
}


def unavailable_reason(key: str) -> str:
    """Why a metric is not available while its feed has brought nothing, and the next step."""
    return _NEXT_STEP[METRICS[key].feed]
