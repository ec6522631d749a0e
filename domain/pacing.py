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
from functools import lru_cache

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
    """The paces from which a goal is on track, and at risk, a team's setting; and the attainment that attains it."""

    on_track: Fraction = Fraction(1)
    at_risk: Fraction = Fraction(4, 5)
    attained: Fraction = Fraction(1)

    def lowered(self, slack: Fraction) -> Thresholds:
        """All of them lower by so much."""
        return Thresholds(self.on_track - slack, self.at_risk - slack, self.attained - slack)


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


_Ratio = tuple[int, int]
"""A numerator and a denominator above 0, not reduced: a dashboard shows thousands of goals, and a Fraction looks for
the common divisor at every step."""


def rounded(value: Fraction) -> Decimal:
    """To six places, half to even."""
    return _rounded(value.numerator, value.denominator)


def _rounded(numerator: int, denominator: int) -> Decimal:
    whole, rest = divmod(numerator * 1_000_000, denominator)
    if 2 * rest > denominator or (2 * rest == denominator and whole & 1):
        whole += 1
    return Decimal(whole).scaleb(-6)


_Span = tuple[GoalPeriod, date, date | None, tuple[date, ...]]
"""What parts with the same shares of any range have in common."""


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
        self._held: dict[Days, dict[_Span, tuple[_Ratio, _Ratio] | None]] = {}

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
        found = self._sums(parts, days)
        return None if found is None else (Fraction(*found[0]), Fraction(*found[1]))

    def _sums(self, parts: Iterable[Part], days: Days) -> tuple[_Ratio, _Ratio] | None:
        found: tuple[_Ratio, _Ratio] | None = None
        held = self._held.setdefault(days, {})
        for part in parts:
            key = (part.kind, part.first, part.last, part.off)
            if key in held:
                shares = held[key]
            else:
                shares = held[key] = self._held_share(part, days)
            if shares is not None:
                of = part.target.as_integer_ratio()
                target, expected = _times(of, shares[0]), _times(of, shares[1])
                found = (target, expected) if found is None else (_plus(found[0], target), _plus(found[1], expected))
        return found

    def _held_share(self, part: Part, days: Days) -> tuple[_Ratio, _Ratio] | None:
        common = overlap(days, part.first, part.last)
        if common is None:
            return None
        share, elapsed = self.share(part.kind, common, part.off)
        return share.as_integer_ratio(), elapsed.as_integer_ratio()

    def slowness(
        self, parts: Sequence[Part], days: Days, actual: Number | None, thresholds: Thresholds, *, quotient: bool
    ) -> Decimal | None:
        """The pace of a goal that is at risk or behind; None of one that is not. It is what `progress` says.

        Who looks for the slowest asks about everybody's goals and shows a few.
        """
        found = None if actual is None else self._asked(parts, days, quotient=quotient)
        if actual is None or found is None:
            return None
        done = actual.as_integer_ratio()
        pace = _over(done, found[1])
        slow = _status(_over(done, found[0]), pace, thresholds) in (GoalStatus.AT_RISK, GoalStatus.BEHIND)
        return _rounded(*pace) if slow and pace is not None else None

    def _asked(self, parts: Sequence[Part], days: Days, *, quotient: bool) -> tuple[_Ratio, _Ratio] | None:
        """The target, and what of it is expected by now."""
        if not quotient:
            return self._sums(parts, days)
        mean = self.mean(parts, days)
        return None if mean is None else (mean.as_integer_ratio(), mean.as_integer_ratio())

    def mean(self, parts: Iterable[Part], days: Days) -> Fraction | None:
        """The target of a quotient over some days; None where no part holds."""
        held = [(part, common) for part in parts if (common := overlap(days, part.first, part.last)) is not None]
        if len(held) == 1:
            return held[0][0].target
        weighted = by_days = Fraction(0)
        working = count = 0
        for part, common in held:
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
        found = self._asked(parts, days, quotient=quotient)
        if found is None:
            return None
        target, expected = found
        done = attainment = pace = forecast = None
        if actual is not None:
            done = actual.as_integer_ratio()
            attainment = _over(done, target)
            pace = _over(done, expected)
            forecast = done if quotient else None if pace is None else _times(target, pace)
        return Progress(
            days=days,
            actual=None if actual is None else Decimal(actual),
            target=_rounded(*target),
            attainment=None if attainment is None else _rounded(*attainment),
            expected_by_now=_rounded(*expected),
            pace=None if pace is None else _rounded(*pace),
            forecast=None if forecast is None else _rounded(*forecast),
            status=_status(attainment, pace, thresholds),
        )


def _times(one: _Ratio, other: _Ratio) -> _Ratio:
    return one[0] * other[0], one[1] * other[1]


def _plus(one: _Ratio, other: _Ratio) -> _Ratio:
    if one[1] == other[1]:
        return one[0] + other[0], one[1]
    return one[0] * other[1] + other[0] * one[1], one[1] * other[1]


def _over(done: _Ratio, asked: _Ratio) -> _Ratio | None:
    """One divided by the other, which is never below 0; None where it is 0."""
    return (done[0] * asked[1], done[1] * asked[0]) if asked[0] else None


def _reaches(value: _Ratio, least: Fraction) -> bool:
    return value[0] * least.denominator >= least.numerator * value[1]


def _status(attainment: _Ratio | None, pace: _Ratio | None, least: Thresholds) -> GoalStatus:
    if attainment is not None and _reaches(attainment, least.attained):
        return GoalStatus.ATTAINED
    if pace is None or _reaches(pace, least.on_track):
        return GoalStatus.ON_TRACK
    return GoalStatus.AT_RISK if _reaches(pace, least.at_risk) else GoalStatus.BEHIND


def told_status(before: GoalStatus, progress: Progress, thresholds: Thresholds) -> GoalStatus:
    """The status to tell after `before`: a better one at once, a worse one only when it is worse by `HYSTERESIS`.

    A number that sways around a threshold by less than that is told once.
    """
    if _RANK[progress.status] >= _RANK[before]:
        return progress.status
    attainment, pace = (
        None if value is None else value.as_integer_ratio() for value in (progress.attainment, progress.pace)
    )
    lenient = _status(attainment, pace, thresholds.lowered(HYSTERESIS))
    return min(before, lenient, key=_RANK.__getitem__)


@lru_cache(maxsize=512)
def period_order(count: int) -> tuple[GoalPeriod, ...]:
    """The kinds of period, those first whose goal counts before the others' over so many days: see choose_period."""
    ordered = sorted(_SMALLEST_DAYS, key=_SMALLEST_DAYS.__getitem__)
    fitting = [kind for kind in ordered if _SMALLEST_DAYS[kind] <= count]
    return (*reversed(fitting), *ordered[len(fitting) :])


def choose_period(kinds: Iterable[GoalPeriod], days: Days) -> GoalPeriod:
    """Which of a subject's goals for one metric counts over a range.

    The one with the longest period that the range could hold, else the one with the shortest: over a month the goal for
    a month before the one for a week, over a week the other way round.
    """
    return min(kinds, key=period_order(days.count).index)


def merged(parts: Iterable[Part]) -> tuple[Part, ...]:
    """Parts that hold at the same time for people with the same days off, added up."""
    found: dict[_Span, _Ratio] = {}
    for part in parts:
        key = (part.kind, part.first, part.last, part.off)
        target = part.target.as_integer_ratio()
        found[key] = _plus(found[key], target) if key in found else target
    return tuple(Part(kind, first, last, Fraction(*target), off) for (kind, first, last, off), target in found.items())
