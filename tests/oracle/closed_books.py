"""A team's numbers while books are closed, kept by hand: what each version added, and what may still be taken out.

Shares no code with domain/. A part of an activity counts on one day; it is open if what it counts on, an instant or a
date, is not before the bound. Only open parts are ever added, taken out, or moved to another day by a new time zone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from tests.oracle.recount import Counts, recount

When = datetime | date
_BOOKED = ("meetings_booked", "meetings_rescheduled")
_CREATED = ("opportunities_created", "new_pipeline")
_TIMES = ("occurredAt", "startsAt", "completedAt")
_DATES = ("createdOn", "closedOn")


def times_of(record: dict[str, Any]) -> list[When]:
    """Everything that says how old an activity is."""
    found: list[When] = [datetime.fromisoformat(record[name]) for name in _TIMES if record.get(name)]
    return found + [date.fromisoformat(record[name]) for name in _DATES if record.get(name)]


def parts_of(record: dict[str, Any]) -> Iterator[tuple[When, Counts]]:
    """What an activity counts, and on what."""
    counts: Counts = defaultdict(Decimal)
    for found in recount([record], "UTC").values():
        for name, value in found.items():
            counts[name] += value

    def of(names: tuple[str, ...] | None, *, but: tuple[str, ...] = ()) -> Counts:
        return {name: value for name, value in counts.items() if (not names or name in names) and name not in but}

    match record["kind"]:
        case "meeting":
            yield datetime.fromisoformat(record["occurredAt"]), of(_BOOKED)
            yield datetime.fromisoformat(record["startsAt"]), of(None, but=_BOOKED)
        case "task":
            yield datetime.fromisoformat(record["completedAt"]), counts
        case "opportunity":
            if record.get("createdOn"):
                yield date.fromisoformat(record["createdOn"]), of(_CREATED)
            if record.get("closedOn"):
                yield date.fromisoformat(record["closedOn"]), of(None, but=_CREATED)
        case _:
            yield datetime.fromisoformat(record["occurredAt"]), counts


class ClosedBooks:
    """The model.

    Args:
        zone: The team's time zone.
    """

    def __init__(self, zone: str) -> None:
        self.zone = zone
        self.bound: tuple[datetime, date] | None = None
        self.versions: dict[str, int] = {}
        self.held: dict[str, dict[str, Any]] = {}
        self.numbers: dict[tuple[str, date], Counts] = defaultdict(lambda: defaultdict(Decimal))

    def _before(self, when: When, bound: tuple[datetime, date]) -> bool:
        return when < bound[0] if isinstance(when, datetime) else when < bound[1]

    def _day(self, when: When) -> date:
        return when.astimezone(ZoneInfo(self.zone)).date() if isinstance(when, datetime) else when

    def _count(self, record: dict[str, Any], sign: int) -> None:
        for when, counts in parts_of(record):
            if self.bound is None or not self._before(when, self.bound):
                for name, value in counts.items():
                    self.numbers[record["user"], self._day(when)][name] += sign * value

    def take(self, record: dict[str, Any]) -> bool:
        """Take a record in. Returns False for one that is too old."""
        key, deleted = record["externalId"], record.get("deleted")
        if not deleted and self.bound is not None and all(self._before(when, self.bound) for when in times_of(record)):
            return False
        if record["version"] <= self.versions.get(key, -1):
            return True
        self.versions[key] = record["version"]
        before = self.held.pop(key, None)
        if before is not None:
            self._count(before, -1)
        if not deleted:
            self.held[key] = record
            self._count(record, 1)
        return True

    def forget(self, instant: datetime, day: date) -> None:
        """Close the books up to a bound and remove what is older."""
        self.bound = (instant, day) if self.bound is None else (max(instant, self.bound[0]), max(day, self.bound[1]))
        for key, record in list(self.held.items()):
            if all(self._before(when, (instant, day)) for when in times_of(record)):
                del self.held[key], self.versions[key]

    def move(self, zone: str) -> None:
        """Change the time zone."""
        for record in self.held.values():
            self._count(record, -1)
        self.zone = zone
        for record in self.held.values():
            self._count(record, 1)

    def days(self) -> dict[tuple[str, date], Counts]:
        """The numbers by person and day, without zeros."""
        found = {key: {name: value for name, value in sums.items() if value} for key, sums in self.numbers.items()}
        return {key: sums for key, sums in found.items() if sums}

    def months(self) -> dict[tuple[str, date], Counts]:
        """The same by month."""
        sums: dict[tuple[str, date], Counts] = defaultdict(lambda: defaultdict(Decimal))
        for (user, day), counts in self.numbers.items():
            for name, value in counts.items():
                sums[user, day.replace(day=1)][name] += value
        found = {key: {name: value for name, value in counts.items() if value} for key, counts in sums.items()}
        return {key: counts for key, counts in found.items() if counts}
