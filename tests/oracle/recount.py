"""Base sums and metrics recounted from the raw records, sharing no code with domain/.

Written from the definitions: a record is a dict as a client sends it. The newest version of an external id counts; a
tombstone counts for nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any
from zoneinfo import ZoneInfo

Counts = dict[str, Decimal]


def newest(batches: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The records that stand after everything was taken in, in whatever order."""
    found: dict[str, dict[str, Any]] = {}
    for record in batches:
        before = found.get(record["externalId"])
        if before is None or record["version"] > before["version"]:
            found[record["externalId"]] = record
    return [record for record in found.values() if not record.get("deleted")]


def local_day(moment: str, zone: str) -> date:
    """The local day of an instant."""
    return datetime.fromisoformat(moment).astimezone(ZoneInfo(zone)).date()


@dataclass(frozen=True)
class Film:
    """What was said of a conversation: whether a manager reviewed it, and the scores that count."""

    reviewed: bool
    scores: tuple[Decimal, ...]


def recount(
    records: Iterable[dict[str, Any]], zone: str, films: Mapping[str, Film] | None = None
) -> dict[tuple[str, date], Counts]:
    """Base sums by (user's email, local day); of conversations also those of their films, by external id."""
    sums: dict[tuple[str, date], Counts] = defaultdict(lambda: defaultdict(Decimal))

    def add(record: dict[str, Any], day: date, name: str, amount: Any = 1) -> None:
        sums[record["user"], day][name] += Decimal(amount)

    for record in records:
        happened = local_day(record["occurredAt"], zone)
        match record["kind"]:
            case "email":
                add(record, happened, "emails_sent")
                add(record, happened, "emails_bounced" if record.get("bounced") else "emails_delivered")
                if record.get("openCount", 0) > 0:
                    add(record, happened, "emails_opened")
                if record.get("repliedAt"):
                    add(record, happened, "emails_replied")
            case "call":
                add(record, happened, "calls_logged")
                if record.get("connected"):
                    add(record, happened, "calls_connected")
                    add(record, happened, "talk_seconds", record.get("durationSeconds", 0))
            case "meeting":
                status = record.get("status", "booked")
                if status != "cancelled":
                    add(record, happened, "meetings_booked")
                if record.get("rescheduledCount", 0) > 0:
                    add(record, happened, "meetings_rescheduled")
                started = local_day(record["startsAt"], zone)
                if status == "held":
                    add(record, started, "meetings_held")
                if status == "no_show":
                    add(record, started, "meetings_no_show")
            case "conversation":
                seconds = record["durationSeconds"]
                add(record, happened, "conversations_recorded")
                if record.get("talkRatio") is not None:
                    parts = (Decimal(str(record["talkRatio"])) * 1_000_000).to_integral_value(ROUND_HALF_EVEN)
                    add(record, happened, "talk_ratio_weighted", parts * seconds)
                    add(record, happened, "talk_ratio_seconds", seconds)
                if record.get("questionsAsked") is not None:
                    add(record, happened, "questions_weighted", record["questionsAsked"] * seconds)
                    add(record, happened, "questions_seconds", seconds)
                film = (films or {}).get(record["externalId"])
                if film is not None and film.reviewed:
                    add(record, happened, "conversations_reviewed")
                for points in () if film is None else film.scores:
                    add(record, happened, "scorecard_points", points * 10_000)
                    add(record, happened, "scorecards_counted")
            case "cadence_step":
                name = {
                    "added": "people_added",
                    "completed": "cadence_steps_completed",
                    "overdue": "cadence_steps_overdue",
                }.get(record.get("status", "completed"))
                if name:
                    add(record, happened, name)
            case "task":
                add(record, local_day(record["completedAt"], zone), "tasks_completed")
            case "opportunity":
                amount = Decimal(str(record.get("amount", 0))) * Decimal(str(record.get("exchangeRate", 1)))
                amount = amount.quantize(Decimal("0.0001"), ROUND_HALF_EVEN)
                created = date.fromisoformat(record["createdOn"]) if record.get("createdOn") else None
                if created:
                    add(record, created, "opportunities_created")
                    add(record, created, "new_pipeline", amount)
                if record.get("closedOn"):
                    closed = date.fromisoformat(record["closedOn"])
                    if record["won"]:
                        add(record, closed, "closed_won_count")
                        add(record, closed, "closed_won_amount", amount)
                        if created:
                            add(record, closed, "sales_cycle_days", (closed - created).days)
                            add(record, closed, "sales_cycle_count")
                    else:
                        add(record, closed, "closed_lost_count")
    return {
        key: {name: value for name, value in found.items() if value}
        for key, found in sums.items()
        if any(found.values())
    }


QUOTIENTS = {
    "REPLY_RATE": ("emails_replied", ["emails_delivered"], 1),
    "OPEN_RATE": ("emails_opened", ["emails_delivered"], 1),
    "BOUNCE_RATE": ("emails_bounced", ["emails_sent"], 1),
    "CONNECT_RATE": ("calls_connected", ["calls_logged"], 1),
    "SHOW_RATE": ("meetings_held", ["meetings_held", "meetings_no_show"], 1),
    "TALK_RATIO": ("talk_ratio_weighted", ["talk_ratio_seconds"], 1_000_000),
    "QUESTIONS_ASKED": ("questions_weighted", ["questions_seconds"], 1),
    "SCORECARD_AVERAGE": ("scorecard_points", ["scorecards_counted"], 1_000_000),
    "WIN_RATE": ("closed_won_count", ["closed_won_count", "closed_lost_count"], 1),
    "AVERAGE_DEAL": ("closed_won_amount", ["closed_won_count"], 1),
    "SALES_CYCLE": ("sales_cycle_days", ["sales_cycle_count"], 1),
}
PLAIN = {
    "EMAILS_SENT": "emails_sent",
    "EMAILS_DELIVERED": "emails_delivered",
    "EMAILS_BOUNCED": "emails_bounced",
    "EMAILS_OPENED": "emails_opened",
    "EMAILS_REPLIED": "emails_replied",
    "CALLS_LOGGED": "calls_logged",
    "CALLS_CONNECTED": "calls_connected",
    "TALK_TIME": "talk_seconds",
    "MEETINGS_BOOKED": "meetings_booked",
    "MEETINGS_HELD": "meetings_held",
    "MEETINGS_RESCHEDULED": "meetings_rescheduled",
    "MEETING_NO_SHOWS": "meetings_no_show",
    "CONVERSATIONS_RECORDED": "conversations_recorded",
    "CONVERSATIONS_REVIEWED": "conversations_reviewed",
    "CADENCE_STEPS_COMPLETED": "cadence_steps_completed",
    "CADENCE_STEPS_OVERDUE": "cadence_steps_overdue",
    "PEOPLE_ADDED": "people_added",
    "TASKS_COMPLETED": "tasks_completed",
    "OPPORTUNITIES_CREATED": "opportunities_created",
    "NEW_PIPELINE": "new_pipeline",
    "CLOSED_WON_COUNT": "closed_won_count",
    "CLOSED_WON_AMOUNT": "closed_won_amount",
}


def metric(key: str, sums: Counts) -> Decimal | None:
    """A metric over base sums; None with nothing to divide by."""
    if key in PLAIN:
        return sums.get(PLAIN[key], Decimal(0))
    numerator, denominators, scale = QUOTIENTS[key]
    divisor = sum((sums.get(name, Decimal(0)) for name in denominators), Decimal(0)) * scale
    if not divisor:
        return None
    return (sums.get(numerator, Decimal(0)) / divisor).quantize(Decimal("0.000001"), ROUND_HALF_EVEN)


def add_up(parts: Iterable[Counts]) -> Counts:
    """The sum of base sums."""
    total: Counts = defaultdict(Decimal)
    for part in parts:
        for name, value in part.items():
            total[name] += value
    return total
