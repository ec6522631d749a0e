"""Working time: the work week, holidays, and each person's days off.

Working time is counted in working days. A day is a working day of the team when its weekday is one of the work week
and it is no holiday; it is a person's when the person has not taken it off. Today counts by the share of the working
hours that has gone by, so that a goal for a day is not due at midnight.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from fractions import Fraction
from functools import lru_cache
from itertools import accumulate
from typing import TYPE_CHECKING
from uuid import UUID
from zoneinfo import ZoneInfo

import holidays as holiday_library

from domain.errors import Invalid
from domain.periods import Days

if TYPE_CHECKING:
    from domain.database import Connection


@dataclass(frozen=True, slots=True)
class Moment:
    """Now, as working time knows it.

    Args:
        today: The local day.
        share: The share of today's working hours that has gone by, from 0 to 1.
    """

    today: date
    share: Fraction


@dataclass(frozen=True, slots=True)
class WorkRules:
    """When a team works.

    Args:
        timezone: IANA name.
        work_week: Bit 0 is Monday.
        day_start_minute: Minutes after local midnight.
        day_end_minute: Minutes after local midnight.
        country: ISO 3166-1 code of the holiday calendar, or None.
        subdivision: A part of the country with holidays of its own, or None.
    """

    timezone: str
    work_week: int = 31
    day_start_minute: int = 540
    day_end_minute: int = 1020
    country: str | None = None
    subdivision: str | None = None

    def moment(self, now: datetime) -> Moment:
        """An instant as working time knows it; by the clock on the wall, so that DST days have the same hours."""
        local = now.astimezone(ZoneInfo(self.timezone))
        seconds = local.hour * 3600 + local.minute * 60 + local.second
        length = (self.day_end_minute - self.day_start_minute) * 60
        gone = min(max(seconds - self.day_start_minute * 60, 0), length)
        return Moment(local.date(), Fraction(gone, length))


@lru_cache(maxsize=512)
def country_holidays(country: str, subdivision: str | None, year: int) -> Mapping[date, str]:
    """The public holidays of a year, with their names, from the holidays library.

    Raises:
        Invalid: the library knows no such country or subdivision.
    """
    try:
        return dict(holiday_library.country_holidays(country, subdiv=subdivision, years=year))
    except NotImplementedError as error:
        place = country if subdivision is None else f"{country}-{subdivision}"
        raise Invalid(
            f"There is no holiday calendar {place!r}; give an ISO 3166-1 code such as DE, "
            "and a subdivision that it has, or none.",
            path=("holidayCountry",) if subdivision is None else ("holidaySubdivision",),
        ) from error


class WorkCalendar:
    """The working days of a team between two days.

    Args:
        rules: When the team works.
        span: The days that will be asked about.
        own: The team's own holidays (False) and the holidays of its country that it works on (True).
    """

    def __init__(self, rules: WorkRules, span: Days, own: Mapping[date, bool] | None = None) -> None:
        self.rules = rules
        self.span = span
        self._own = own or {}
        self._before = [0, *accumulate(self._works(span.first + timedelta(days=n)) for n in range(span.count))]

    def _works(self, day: date) -> bool:
        rules = self.rules
        if not rules.work_week >> (day.isoweekday() - 1) & 1:
            return False
        if day in self._own:
            return self._own[day]
        return rules.country is None or day not in country_holidays(rules.country, rules.subdivision, day.year)

    def is_working(self, day: date) -> bool:
        """Whether the team works on a day of the span."""
        return self.count(day, day) == 1

    def count(self, first: date, last: date) -> int:
        """The working days from one day to another, both inclusive and within the span."""
        start = self.span.first
        if last < first:
            return 0
        if first < start or last > self.span.last:
            raise ValueError(f"{first} to {last} is not within {self.span}")
        return self._before[(last - start).days + 1] - self._before[(first - start).days]

    def worked_days(self, taken: Iterable[Days]) -> tuple[date, ...]:
        """The working days among some days off, each once, in order; days out of the span do not matter."""
        found = set()
        for days in taken:
            day, last = max(days.first, self.span.first), min(days.last, self.span.last)
            while day <= last:
                if self.is_working(day):
                    found.add(day)
                day += timedelta(days=1)
        return tuple(sorted(found))


@dataclass(frozen=True, slots=True)
class PersonalTime:
    """The working days of one person: the team's, but for those taken off.

    Args:
        team: The team's.
        off: Working days of the team that the person takes off, in order.
    """

    team: WorkCalendar
    off: tuple[date, ...] = ()

    def count(self, first: date, last: date) -> int:
        """The person's working days from one day to another, both inclusive."""
        if last < first:
            return 0
        taken = bisect_right(self.off, last) - bisect_left(self.off, first)
        return self.team.count(first, last) - taken

    def elapsed(self, first: date, last: date, moment: Moment) -> Fraction:
        """How much of that has gone by: whole days before today, and today's share."""
        gone = Fraction(self.count(first, min(last, moment.today - timedelta(days=1))))
        if first <= moment.today <= last and self.count(moment.today, moment.today):
            gone += moment.share
        return gone


async def read_rules(connection: Connection, team_id: UUID) -> WorkRules:
    """When a team works."""
    row = await connection.fetchrow(
        "SELECT timezone, work_week, work_day_start_minute, work_day_end_minute, holiday_country, holiday_subdivision "
        "FROM teams WHERE id = $1",
        team_id,
    )
    return WorkRules(*row)


async def read_work_calendar(connection: Connection, team_id: UUID, span: Days) -> WorkCalendar:
    """The working days of a team between two days. Served by holidays_team_id_day_key."""
    rules = await read_rules(connection, team_id)
    rows = await connection.fetch(
        "SELECT day, working FROM holidays WHERE team_id = $1 AND day BETWEEN $2 AND $3", team_id, span.first, span.last
    )
    return WorkCalendar(rules, span, {row["day"]: row["working"] for row in rows})


async def read_days_off(connection: Connection, team_id: UUID, span: Days) -> dict[UUID, list[Days]]:
    """The days off of a team's people that touch a span. Served by the index of days_off."""
    rows = await connection.fetch(
        "SELECT user_id, first_day, last_day FROM days_off WHERE team_id = $1 AND first_day <= $3 AND last_day >= $2",
        team_id,
        span.first,
        span.last,
    )
    found: dict[UUID, list[Days]] = {}
    for row in rows:
        found.setdefault(row["user_id"], []).append(Days(row["first_day"], row["last_day"]))
    return found
