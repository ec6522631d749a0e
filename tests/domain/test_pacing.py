"""A goal's share of any range, what is due by now, and its status.

Invariants:
A. Over any range a goal asks for what its working days carry (the oracle's day-by-day sum), and so much is due.
B. Steps that partition a range add up to it.
C. Over one whole period that a version holds throughout, the target is the version's, whatever days off lie in it.
D. A told status never flips while the number sways within the hysteresis.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.models.goals import GoalPeriod
from domain.pacing import (
    HYSTERESIS,
    GoalStatus,
    Part,
    Proration,
    Thresholds,
    choose_period,
    merged,
    rounded,
    told_status,
)
from domain.periods import Calendar, Days
from domain.workdays import Moment, WorkCalendar, WorkRules
from tests.oracle import goals as oracle

FIRST = date(2024, 1, 1)
SPAN = Days(date(2021, 12, 1), date(2028, 2, 1))
OFFSET = st.integers(0, 800)


@st.composite
def worlds(draw: st.DrawFn) -> tuple[Calendar, WorkCalendar, oracle.World]:
    """A team's calendar with its oracle."""
    calendar = Calendar("UTC", draw(st.integers(1, 7)), draw(st.integers(1, 12)), draw(st.booleans()))
    week = draw(st.integers(1, 127))
    own = {FIRST + timedelta(days=day): works for day, works in draw(st.dictionaries(OFFSET, st.booleans())).items()}
    work = WorkCalendar(WorkRules("UTC", week), SPAN, own)

    def works(day: date) -> bool:
        return own.get(day, True) and bool(week >> day.weekday() & 1)

    return (
        calendar,
        work,
        oracle.World(calendar.week_start, calendar.fiscal_year_start_month, calendar.four_four_five, works),
    )


@given(
    world=worlds(),
    kind=st.sampled_from(GoalPeriod),
    start=OFFSET,
    length=st.integers(0, 200),
    cuts=st.lists(OFFSET, max_size=3),
    leave=st.lists(st.tuples(OFFSET, st.integers(0, 20)), max_size=3),
    today=OFFSET,
    share=st.fractions(0, 1),
    targets=st.lists(st.integers(1, 1000), min_size=4, max_size=4),
)
@settings(max_examples=60)
def test_shares_equal_the_oracle(
    world: tuple[Calendar, WorkCalendar, oracle.World],
    kind: GoalPeriod,
    start: int,
    length: int,
    cuts: list[int],
    leave: list[tuple[int, int]],
    today: int,
    share: Fraction,
    targets: list[int],
) -> None:
    calendar, work, told = world
    taken = [Days(FIRST + timedelta(days=a), FIRST + timedelta(days=a + n)) for a, n in leave]
    off = work.worked_days(taken)

    def works(day: date) -> bool:
        return told.works(day) and not any(days.first <= day <= days.last for days in taken)

    days = Days(FIRST + timedelta(days=start), FIRST + timedelta(days=start + length))
    edges = sorted({FIRST + timedelta(days=cut) for cut in cuts})
    bounds = list(pairwise([*edges, None])) if edges else []
    parts, held = [], []
    for (first, after), target in zip(bounds, targets, strict=False):
        assert first is not None
        last = None if after is None else after - timedelta(days=1)
        parts.append(Part(kind, first, last, Fraction(target), off))
        held.append(oracle.Held(kind.value, first, last, Fraction(target), works))
    moment = Moment(FIRST + timedelta(days=today), share)
    proration = Proration(calendar, work, moment)
    listed = [days.first + timedelta(days=n) for n in range(days.count)]
    found = proration.sums(parts, days)
    if found is None:
        assert not any(one.holds(day) for one in held for day in listed)
    else:
        assert found == oracle.asked(told, held, listed, moment.today, share)
        middle = days.first + timedelta(days=days.count // 2)
        if middle > days.first:
            halves = [Days(days.first, middle - timedelta(days=1)), Days(middle, days.last)]
            assert sum((proration.sums(parts, half) or (Fraction(0), 0))[0] for half in halves) == found[0]
    assert proration.mean(parts, days) == oracle.rate(held, listed)
    together = merged([*parts, *parts])
    assert len(together) == len(parts)
    doubled = proration.sums(together, days)
    assert doubled == (None if found is None else (2 * found[0], 2 * found[1]))
    whole = calendar.period(kind, days.first)
    throughout = Part(kind, whole.first, None, Fraction(7), off)
    asked = proration.sums([throughout], whole)
    worked = any(works(whole.first + timedelta(days=n)) for n in range(whole.count))
    assert asked is not None
    assert asked[0] == (7 if worked else 0)


MONTH = Days(date(2026, 6, 1), date(2026, 6, 30))  # 22 working days


def _progress(actual: object, target: int, today: date, share: Fraction = Fraction(0)) -> object:
    work = WorkCalendar(WorkRules("UTC"), Days(date(2026, 1, 1), date(2026, 12, 31)))
    proration = Proration(Calendar("UTC"), work, Moment(today, share))
    part = Part(GoalPeriod.MONTH, MONTH.first, None, Fraction(target))
    found = proration.progress([part], MONTH, actual, Thresholds(), quotient=False)  # type: ignore[arg-type]
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("actual", "today", "expected", "pace", "forecast", "status"),
    [
        (0, "2026-06-01", "0", None, None, "ON_TRACK"),
        (50, "2026-06-16", "50", "1", "100", "ON_TRACK"),
        (45, "2026-06-16", "50", "0.9", "90", "AT_RISK"),
        (40, "2026-06-16", "50", "0.8", "80", "AT_RISK"),
        (39, "2026-06-16", "50", "0.78", "78", "BEHIND"),
        (100, "2026-06-16", "50", "2", "200", "ATTAINED"),
        (99, "2026-07-05", "100", "0.99", "99", "AT_RISK"),
    ],
)
def test_progress(actual: int, today: str, expected: str, pace: str | None, forecast: str | None, status: str) -> None:
    found = _progress(actual, 100, date.fromisoformat(today))
    assert found.expected_by_now == Decimal(expected)  # type: ignore[attr-defined]
    assert found.pace == (None if pace is None else Decimal(pace))  # type: ignore[attr-defined]
    assert found.forecast == (None if forecast is None else Decimal(forecast))  # type: ignore[attr-defined]
    assert found.status == GoalStatus(status)  # type: ignore[attr-defined]
    assert found.attainment == Decimal(actual) / 100  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("zone", "moment", "share"),
    [
        ("UTC", "2026-06-16T08:00:00", Fraction(0)),
        ("UTC", "2026-06-16T13:00:00", Fraction(1, 2)),
        ("UTC", "2026-06-16T20:00:00", Fraction(1)),
        # The clocks went forward at two: 13:00 on the wall is the middle of the working hours all the same.
        ("America/New_York", "2026-03-08T17:00:00", Fraction(1, 2)),
        ("America/New_York", "2026-11-01T18:00:00", Fraction(1, 2)),
    ],
)
def test_the_share_of_today(zone: str, moment: str, share: Fraction) -> None:
    assert WorkRules(zone).moment(datetime.fromisoformat(moment).replace(tzinfo=UTC)).share == share


@given(
    values=st.lists(st.integers(0, 130), min_size=1, max_size=20),
    day=st.integers(2, 30),
    start=st.sampled_from(GoalStatus),
)
def test_a_swaying_number_is_told_once(values: list[int], day: int, start: GoalStatus) -> None:
    status = start
    for value in values:
        progress = _progress(value, 100, date(2026, 6, day))
        after = told_status(status, progress, Thresholds())  # type: ignore[arg-type]
        assert told_status(after, progress, Thresholds()) is after  # type: ignore[arg-type]
        rank = ["BEHIND", "AT_RISK", "ON_TRACK", "ATTAINED"].index
        shown = progress.status  # type: ignore[attr-defined]
        assert rank(after) >= rank(shown)
        if rank(shown) >= rank(status):
            assert after is shown
        status = after


def test_hysteresis_at_a_threshold() -> None:
    thresholds = Thresholds()
    day = date(2026, 6, 16)  # 50 of 100 are due
    status, told = GoalStatus.ON_TRACK, []
    for value in (50, 49, 50, 48, 49, 50, 47, 50, 49):
        after = told_status(status, _progress(value, 100, day), thresholds)  # type: ignore[arg-type]
        if after is not status:
            told.append((value, after))
        status = after
    assert told == [(47, GoalStatus.AT_RISK), (50, GoalStatus.ON_TRACK)]
    assert Fraction(1, 20) == HYSTERESIS


def test_which_goal_counts() -> None:
    both = [GoalPeriod.MONTH, GoalPeriod.WEEK]
    assert choose_period(both, MONTH) is GoalPeriod.MONTH
    assert choose_period(both, Days(MONTH.first, MONTH.first + timedelta(days=9))) is GoalPeriod.WEEK
    assert choose_period(both, Days(MONTH.first, MONTH.first)) is GoalPeriod.WEEK
    assert choose_period([GoalPeriod.YEAR], MONTH) is GoalPeriod.YEAR
    assert choose_period([*GoalPeriod], Days(date(2026, 1, 1), date(2026, 3, 31))) is GoalPeriod.QUARTER


def test_rounding_is_half_to_even() -> None:
    assert rounded(Fraction(5, 10_000_000)) == Decimal(0)
    assert rounded(Fraction(15, 10_000_000)) == Decimal("0.000002")
