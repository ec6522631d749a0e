"""What the history of an opportunity says, worked out again, sharing no code with domain/.

Nothing here walks a history: every question is asked of "the value at a moment", for every moment at which something
changed. The offsets of time zones are written out by their laws.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from typing import TypeVar

Value = TypeVar("Value")
Changes = Sequence[tuple[datetime, Value]]


def _sunday(year: int, month: int, number: int) -> date:
    """The first (1), second (2), ... or last (-1) Sunday of a month."""
    days = [date(year, month, 1) + timedelta(days=n) for n in range(31)]
    sundays = [day for day in days if day.month == month and day.isoweekday() == 7]
    return sundays[number - 1] if number > 0 else sundays[number]


def _at(day: date, hour: int) -> datetime:
    return datetime(day.year, day.month, day.day, hour, tzinfo=UTC)


def _new_york(instant: datetime) -> timedelta:
    summer = _at(_sunday(instant.year, 3, 2), 7) <= instant < _at(_sunday(instant.year, 11, 1), 6)
    return timedelta(hours=-4 if summer else -5)


def _auckland(instant: datetime) -> timedelta:
    # Both changes are at 14:00 UTC of the Saturday before.
    ends = _at(_sunday(instant.year, 4, 1) - timedelta(days=1), 14)
    begins = _at(_sunday(instant.year, 9, -1) - timedelta(days=1), 14)
    return timedelta(hours=12 if ends <= instant < begins else 13)


ZONES: dict[str, Callable[[datetime], timedelta]] = {
    "America/New_York": _new_york,
    "Pacific/Auckland": _auckland,
    "Asia/Kolkata": lambda _instant: timedelta(hours=5, minutes=30),
    "UTC": lambda _instant: timedelta(),
}


def local_day(instant: datetime, zone: str) -> date:
    """The day that a clock on the wall shows."""
    instant = instant.astimezone(UTC)
    return instant.astimezone(timezone(ZONES[zone](instant))).date()


def value_at(changes: Changes[Value], moment: datetime) -> Value:
    """What held at a moment; before all changes, what held first."""
    held = changes[0][1]
    for at, value in changes:
        if at <= moment:
            held = value
    return held


def closing(stages: Changes[str], won: set[str], lost: set[str]) -> datetime | None:
    """When the present outcome began; None while there is none."""

    def outcome(moment: datetime) -> str:
        stage = value_at(stages, moment)
        return "won" if stage in won else "lost" if stage in lost else "open"

    moments = sorted({at for at, _stage in stages})
    now = outcome(moments[-1])
    if now == "open":
        return None
    return min(one for one in moments if all(outcome(later) == now for later in moments if later >= one))


def pipeline_day(stages: Changes[str], wanted: set[str], created: datetime, zone: str) -> date | None:
    """The day on which it first came into one of some stages."""
    if stages[0][1] in wanted:
        return local_day(created, zone)
    entered = [at for at, stage in stages if stage in wanted]
    return local_day(min(entered), zone) if entered else None


def owner_at_close(owners: Changes[str], closed: datetime | None) -> str:
    """Whose it was when it was closed; whose it is while it is open."""
    return owners[-1][1] if closed is None else value_at(owners, closed)
