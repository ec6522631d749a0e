"""How a goal stands: its share of any range, what is expected by now, pace, forecast and status.

Design, section 4. With W the working days of the goal's subject (domain/workdays.py), a version of a goal counts over a
range R with

    target x the sum over the goal's periods P of  W(P and R and V) / W(P)

where V are the days on which the version holds, within the time that the rep is with the team. So over its whole period
a goal counts with its whole target, whatever days off lie in it; a range that cuts a period, a version that begins in
the middle of one, and a rep who joins or leaves in the middle of one count for the working days that they share. A
period without a single working day counts for nothing.

A goal for a quotient (a rate) is no quantity that could be cut: over a range it is the mean of its versions' targets,
weighted by the working days that each shares with the range, or by days where there are none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction

from domain.metrics import Number
from domain.models.goals import GoalPeriod
from domain.periods import Calendar, Days, overlap
from domain.workdays import Moment, PersonalTime, WorkCalendar

HYSTERESIS = Fraction(1, 20)
"""How far attainment or pace must fall below the threshold of a status before the status is told to be lost."""

_SMALLEST_DAYS = {
    GoalPeriod.DAY: 1,
    GoalPeriod.WEEK: 7,
    GoalPeriod.MONTH: 28,
    GoalPeriod.QUARTER: 90,
    GoalPeriod.YEAR: 364,
}


class GoalStatus(StrEnum):
    """How a goal stands."""

    ATTAINED = "ATTAINED"
    ON_TRACK = "ON_TRACK"
    AT_RISK = "AT_RISK"
    BEHIND = "BEHIND"


_RANK = {GoalStatus.BEHIND: 0, GoalStatus.AT_RISK: 1, GoalStatus.ON_TRACK: 2, GoalStatus.ATTAINED: 3}


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The paces from which a goal is on track, and at risk; a team's setting."""

    on_track: Fraction = Fraction(1)
    at_risk: Fraction = Fraction(4, 5)


@dataclass(frozen=True, slots=True)
class Part:
    """A target that holds from one day to another (None: for ever), for somebody with certain days off."""

    kind: GoalPeriod
    first: date
    last: date | None
    target: Fraction
    off: tuple[date, ...] = ()


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a goal has come over some days.

    Args:
        days: The days.
        actual: What has been done; None where there is nothing to divide by.
        target: What is to be done.
        attainment: actual / target.
        expected_by_now: The target's share of the working time that has gone by; of a quotient, the target.
        pace: actual / expected_by_now; None while nothing is expected.
        forecast: The actual at the end, at this pace: target x pace; of a quotient, the actual.
        status: `ATTAINED` from the target on; else by the pace; `ON_TRACK` while there is no pace.
    """

    days: Days
    actual: Decimal | None
    target: Decimal
    attainment: Decimal | None
    expected_by_now: Decimal
    pace: Decimal | None
    forecast: Decimal | None
    status: GoalStatus


def rounded(value: Fraction) -> Decimal:
    """To six places, half to even."""
    return Decimal(round(value * 1_000_000)).scaleb(-6)


class Proration:
    """Shares of periods, counted once for all goals that share them.

    Args:
        calendar: How the team counts periods.
        work: The team's working days; its span must hold every period that is asked about.
        moment: Now.
    """

    def __init__(self, calendar: Calendar, work: WorkCalendar, moment: Moment) -> None:
        self.calendar = calendar
        self.work = work
        self.moment = moment
        self._shares: dict[tuple[GoalPeriod, Days, tuple[date, ...]], tuple[Fraction, Fraction]] = {}

    def share(self, kind: GoalPeriod, days: Days, off: tuple[date, ...]) -> tuple[Fraction, Fraction]:
        """How many periods' worth of working time some days are, and how much of it has gone by."""
        key = (kind, days, off)
        found = self._shares.get(key)
        if found is None:
            found = self._shares[key] = self._count(kind, days, off)
        return found

    def _count(self, kind: GoalPeriod, days: Days, off: tuple[date, ...]) -> tuple[Fraction, Fraction]:
        time = PersonalTime(self.work, off)
        if kind is GoalPeriod.DAY:
            return Fraction(time.count(days.first, days.last)), time.elapsed(days.first, days.last, self.moment)
        share = elapsed = Fraction(0)
        start = days.first
        while start <= days.last:
            period = self.calendar.period(kind, start)
            end = min(period.last, days.last)
            if whole := time.count(period.first, period.last):
                share += Fraction(time.count(start, end), whole)
                elapsed += time.elapsed(start, end, self.moment) / whole
            start = period.last + timedelta(days=1)
        return share, elapsed

    def sums(self, parts: Iterable[Part], days: Days) -> tuple[Fraction, Fraction] | None:
        """The target of a sum over some days, and what of it is expected by now; None where no part holds."""
        target = expected = Fraction(0)
        held = False
        for part in parts:
            common = overlap(days, part.first, part.last)
            if common is not None:
                held = True
                share, elapsed = self.share(part.kind, common, part.off)
                target += part.target * share
                expected += part.target * elapsed
        return (target, expected) if held else None

    def mean(self, parts: Iterable[Part], days: Days) -> Fraction | None:
        """The target of a quotient over some days; None where no part holds."""
        weighted = by_days = Fraction(0)
        working = count = 0
        for part in parts:
            common = overlap(days, part.first, part.last)
            if common is not None:
                worked = PersonalTime(self.work, part.off).count(common.first, common.last)
                working, count = working + worked, count + common.count
                weighted, by_days = weighted + part.target * worked, by_days + part.target * common.count
        if working:
            return weighted / working
        return by_days / count if count else None

    def target(self, parts: Sequence[Part], days: Days, *, quotient: bool) -> Fraction | None:
        """The target over some days; None where there is none."""
        if quotient:
            return self.mean(parts, days)
        found = self.sums(parts, days)
        return None if found is None else found[0]

    def progress(
        self, parts: Sequence[Part], days: Days, actual: Number | None, thresholds: Thresholds, *, quotient: bool
    ) -> Progress | None:
        """How a goal stands over some days; None where there is none."""
        if quotient:
            mean = self.mean(parts, days)
            found = None if mean is None else (mean, mean)
        else:
            found = self.sums(parts, days)
        if found is None:
            return None
        target, expected = found
        attainment = pace = forecast = None
        if actual is not None:
            done = Fraction(actual)
            attainment = done / target if target else None
            pace = done / expected if expected else None
            forecast = done if quotient else None if pace is None else target * pace
        return Progress(
            days=days,
            actual=None if actual is None else Decimal(actual),
            target=rounded(target),
            attainment=None if attainment is None else rounded(attainment),
            expected_by_now=rounded(expected),
            pace=None if pace is None else rounded(pace),
            forecast=None if forecast is None else rounded(forecast),
            status=_status(attainment, pace, thresholds, Fraction(0)),
        )


def _status(
    attainment: Fraction | Decimal | None, pace: Fraction | Decimal | None, thresholds: Thresholds, slack: Fraction
) -> GoalStatus:
    if attainment is not None and Fraction(attainment) >= 1 - slack:
        return GoalStatus.ATTAINED
    if pace is None or Fraction(pace) >= thresholds.on_track - slack:
        return GoalStatus.ON_TRACK
    return GoalStatus.AT_RISK if Fraction(pace) >= thresholds.at_risk - slack else GoalStatus.BEHIND


def told_status(before: GoalStatus, progress: Progress, thresholds: Thresholds) -> GoalStatus:
    """The status to tell after `before`: a better one at once, a worse one only when it is worse by `HYSTERESIS`.

    A number that sways around a threshold by less than that is told once.
    """
    if _RANK[progress.status] >= _RANK[before]:
        return progress.status
    lenient = _status(progress.attainment, progress.pace, thresholds, HYSTERESIS)
    return min(before, lenient, key=_RANK.__getitem__)


def choose_period(kinds: Iterable[GoalPeriod], days: Days) -> GoalPeriod:
    """Which of a subject's goals for one metric counts over a range.

    The one with the longest period that the range could hold, else the one with the shortest: over a month the goal for
    a month before the one for a week, over a week the other way round.
    """
    ordered = sorted(kinds, key=_SMALLEST_DAYS.__getitem__)
    fitting = [kind for kind in ordered if _SMALLEST_DAYS[kind] <= days.count]
    return fitting[-1] if fitting else ordered[0]


def merged(parts: Iterable[Part]) -> tuple[Part, ...]:
    """Parts that hold at the same time for people with the same days off, added up."""
    found: dict[tuple[GoalPeriod, date, date | None, tuple[date, ...]], Fraction] = {}
    for part in parts:
        key = (part.kind, part.first, part.last, part.off)
        found[key] = found.get(key, Fraction(0)) + part.target
    return tuple(Part(kind, first, last, target, off) for (kind, first, last, off), target in found.items())
