"""Random activity records for tests: dicts as a client sends them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any

START = datetime(2026, 2, 20, tzinfo=UTC)
SPAN_DAYS = 60
KINDS = ("email", "call", "meeting", "conversation", "cadence_step", "opportunity", "task")


def random_record(random: Random, users: list[str], external_id: str, version: int) -> dict[str, Any]:
    """A record of any kind."""

    def moment() -> str:
        return (START + timedelta(seconds=random.randrange(SPAN_DAYS * 86_400))).isoformat()

    def day() -> date:
        return (START + timedelta(days=random.randrange(SPAN_DAYS))).date()

    if random.random() < 0.1:
        return {"kind": random.choice(KINDS), "externalId": external_id, "version": version, "deleted": True}
    kind = random.choice(KINDS)
    record: dict[str, Any] = {
        "kind": kind,
        "externalId": external_id,
        "version": version,
        "user": random.choice(users),
        "occurredAt": moment(),
    }
    match kind:
        case "email":
            record |= {"bounced": random.random() < 0.2, "openCount": random.randrange(3), "subject": "Hello"}
            if random.random() < 0.4:
                record["repliedAt"] = moment()
            if random.random() < 0.3:
                record["body"] = f"Body {version}"
        case "call":
            record |= {"connected": random.random() < 0.5, "durationSeconds": random.randrange(900)}
        case "meeting":
            starts = datetime.fromisoformat(moment())
            record |= {
                "startsAt": starts.isoformat(),
                "endsAt": (starts + timedelta(minutes=30)).isoformat(),
                "status": random.choice(("booked", "held", "cancelled", "no_show")),
                "rescheduledCount": random.randrange(2),
            }
        case "conversation":
            record |= {"durationSeconds": random.randrange(60, 3600)}
            if random.random() < 0.8:
                record["talkRatio"] = str(random.randrange(1001) / 1000)
            if random.random() < 0.8:
                record["questionsAsked"] = random.randrange(20)
        case "cadence_step":
            record |= {
                "cadence": "New",
                "step": 1,
                "status": random.choice(("added", "completed", "overdue", "skipped")),
            }
        case "task":
            record |= {"completedAt": moment()}
        case "opportunity":
            record |= {"name": "Deal", "stage": "Open", "amount": str(random.randrange(1, 10**7) / 100)}
            created = day()
            if random.random() < 0.8:
                record["createdOn"] = created.isoformat()
            if random.random() < 0.3:
                record |= {"currency": "EUR", "exchangeRate": "1.0937"}
            if random.random() < 0.6:
                record |= {
                    "closedOn": (created + timedelta(days=random.randrange(20))).isoformat(),
                    "won": random.random() < 0.5,
                }
    return record
