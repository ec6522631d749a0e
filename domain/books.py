"""A team's books: on which local day an activity counts, and which numbers are closed.

Before old activities are removed, the books of their days are closed (domain/retention.py): no import, correction or
deletion changes a number of a day before the bound any more. Numbers of erased people are closed altogether
(domain/erasure.py). The bound is kept both as a day, for what counts on a date of its own, and as the instant at which
that day began, for what counts by the clock; neither moves with a change of the time zone, so that what is open stays
just what can be recounted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

INSTANTS = ("occurred_at", "starts_at", "completed_at")
"""Columns of an activity that count on the local day of an instant."""
DATES = ("created_on", "pipeline_on", "closed_on")
"""Columns of an activity that are days themselves."""


@dataclass(frozen=True, slots=True)
class Bound:
    """Where open books begin.

    Args:
        day: For days.
        instant: For instants.
    """

    day: date
    instant: datetime

    @classmethod
    def of(cls, team: Mapping[str, Any]) -> Bound | None:
        """A team's, from its row; None while nothing is closed."""
        if team["activities_from"] is None:
            return None
        return cls(team["activities_from"], team["activities_from_at"])

    def closes(self, activity: Mapping[str, Any]) -> bool:
        """Whether all days on which an activity counts are closed; `all_closed` is the same as SQL."""
        return all(
            (at := activity.get(name)) is None or at < limit
            for names, limit in ((INSTANTS, self.instant), (DATES, self.day))
            for name in names
        )


def all_closed(instant: str, day: str) -> str:
    """SQL over a row of activities: whether all days on which it counts are before a bound.

    Args:
        instant: A parameter such as `$2`.
        day: Another.
    """
    return " AND ".join(
        f"({name} IS NULL OR {name} < {limit})"
        for names, limit in ((INSTANTS, instant), (DATES, day))
        for name in names
    )


@dataclass(frozen=True, slots=True)
class Books:
    """How a team's numbers are kept.

    Args:
        timezone: IANA name; decides what a local day is.
        bound: Where open books begin; None while nothing is closed.
        someone_erased: Whether there are people whose numbers are closed.
    """

    timezone: str
    bound: Bound | None = None
    someone_erased: bool = False

    @classmethod
    def of(cls, team: Mapping[str, Any]) -> Books:
        """A team's, from its row."""
        return cls(team["timezone"], Bound.of(team), bool(team["erasures"]))


def day_start(timezone: str, day: date) -> datetime:
    """The first instant of a local day; where the clock skips midnight, the one after the gap."""
    return datetime.combine(day, time(), ZoneInfo(timezone)).astimezone(UTC)


def bound_after(timezone: str, kept_days: int, now: datetime) -> Bound:
    """Where what is kept for some days begins: today and so many days before it are kept."""
    day = now.astimezone(ZoneInfo(timezone)).date() - timedelta(days=kept_days)
    return Bound(day, day_start(timezone, day))
