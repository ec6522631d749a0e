"""Ranges of days.

Invariants: a named range holds its day and is whole; steps partition a range; a comparison ends where its rule says.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import Invalid
from domain.models.goals import GoalPeriod
from domain.periods import (
    Calendar,
    Comparison,
    Days,
    NamedRange,
    TrendInterval,
    compared_with,
    explicit_range,
    intervals,
    named_range,
)

DAYS = st.dates(date(2012, 1, 1), date(2033, 12, 31))
CALENDARS = st.builds(Calendar, st.just("UTC"), st.integers(1, 7), st.integers(1, 12))


@given(today=DAYS, calendar=CALENDARS)
def test_named_ranges(today: date, calendar: Calendar) -> None:
    ranges = {name: named_range(name, calendar, today) for name in NamedRange}
    for name in ("TODAY", "THIS_WEEK", "THIS_MONTH", "THIS_QUARTER", "THIS_YEAR", "LAST_30_DAYS", "LAST_90_DAYS"):
        assert ranges[NamedRange(name)].first <= today <= ranges[NamedRange(name)].last
    assert ranges[NamedRange.YESTERDAY] == Days(today - timedelta(days=1), today - timedelta(days=1))
    for unit in ("WEEK", "MONTH", "QUARTER"):
        this, last = ranges[NamedRange(f"THIS_{unit}")], ranges[NamedRange(f"LAST_{unit}")]
        assert last.last + timedelta(days=1) == this.first
    assert ranges[NamedRange.THIS_WEEK].first.isoweekday() == calendar.week_start
    assert ranges[NamedRange.THIS_WEEK].count == 7
    year, quarter = ranges[NamedRange.THIS_YEAR], ranges[NamedRange.THIS_QUARTER]
    assert (year.first.month, year.first.day) == (calendar.fiscal_year_start_month, 1)
    assert year.count in (365, 366)
    assert (quarter.first.month - calendar.fiscal_year_start_month) % 3 == 0
    assert year.first <= quarter.first
    assert quarter.last <= year.last
    assert ranges[NamedRange.LAST_30_DAYS].count == 30
    assert ranges[NamedRange.LAST_90_DAYS].count == 90


@given(first=DAYS, length=st.integers(0, 400), interval=st.sampled_from(TrendInterval), calendar=CALENDARS)
def test_steps_partition_a_range(first: date, length: int, interval: TrendInterval, calendar: Calendar) -> None:
    days = Days(first, first + timedelta(days=length))
    steps = list(intervals(days, interval, calendar))
    assert steps[0].first == days.first
    assert steps[-1].last == days.last
    for before, after in pairwise(steps):
        assert before.last + timedelta(days=1) == after.first
    for step in steps[1:]:
        if interval is TrendInterval.WEEK:
            assert step.first.isoweekday() == calendar.week_start
        if interval is TrendInterval.MONTH:
            assert step.first.day == 1


@given(first=DAYS, length=st.integers(0, 400))
def test_comparisons(first: date, length: int) -> None:
    days = Days(first, first + timedelta(days=length))
    before = compared_with(days, Comparison.PREVIOUS_PERIOD, Calendar("UTC"))
    assert before is not None
    assert before.last + timedelta(days=1) == days.first
    after = days.last + timedelta(days=1)
    if not (days.first.day == 1 and after.day == 1):
        assert before.count == days.count
    else:
        assert before.first.day == 1
    year = compared_with(days, Comparison.SAME_PERIOD_LAST_YEAR, Calendar("UTC"))
    assert year is not None
    assert (year.first.month, year.first.year) == (days.first.month, days.first.year - 1)
    assert compared_with(days, Comparison.NONE, Calendar("UTC")) is None


def test_the_known_ones() -> None:
    quarter = Days(date(2026, 1, 1), date(2026, 3, 31))
    calendar = Calendar("UTC")
    assert compared_with(quarter, Comparison.PREVIOUS_PERIOD, calendar) == Days(date(2025, 10, 1), date(2025, 12, 31))
    leap = Days(date(2024, 2, 1), date(2024, 2, 29))
    assert compared_with(leap, Comparison.SAME_PERIOD_LAST_YEAR, calendar) == Days(date(2023, 2, 1), date(2023, 2, 28))
    february = Days(date(2025, 2, 1), date(2025, 2, 28))
    assert compared_with(february, Comparison.SAME_PERIOD_LAST_YEAR, calendar) == Days(
        date(2024, 2, 1), date(2024, 2, 29)
    )


WEEKLY = st.builds(Calendar, st.just("UTC"), st.integers(1, 7), st.integers(1, 12), st.just(True))


@given(day=DAYS, calendar=WEEKLY)
def test_months_of_whole_weeks(day: date, calendar: Calendar) -> None:
    """A 4-4-5 year partitions into quarters of 4, 4 and 5 weeks; a long one has its 53rd week at its end."""
    year = calendar.period(GoalPeriod.YEAR, day)
    assert year.first <= day <= year.last
    assert year.count in (364, 371)
    first = min(
        (date(number, calendar.fiscal_year_start_month, 1) for number in (day.year - 1, day.year, day.year + 1)),
        key=lambda one: abs((one - year.first).days),
    )
    assert abs((first - year.first).days) <= 3
    starts, weeks = year.first, []
    while starts <= year.last:
        month = calendar.period(GoalPeriod.MONTH, starts)
        assert month.first == starts
        assert starts.isoweekday() == calendar.week_start
        weeks.append(month.count / 7)
        starts = month.last + timedelta(days=1)
    assert weeks[:11] == [4, 4, 5, 4, 4, 5, 4, 4, 5, 4, 4]
    assert weeks[11:] == [5 + (year.count - 364) // 7]
    quarter = calendar.period(GoalPeriod.QUARTER, day)
    assert quarter.first <= day <= quarter.last
    assert (quarter.first - year.first).days % 91 == 0
    assert compared_with(quarter, Comparison.PREVIOUS_PERIOD, calendar) == calendar.period(
        GoalPeriod.QUARTER, quarter.first - timedelta(days=1)
    )


def test_a_known_445_year() -> None:
    """Sundays nearest to February 1st: the fiscal years 2023 (53 weeks) and 2024 of the retail calendar."""
    calendar = Calendar("UTC", 7, 2, True)
    assert calendar.period(GoalPeriod.YEAR, date(2023, 6, 1)) == Days(date(2023, 1, 29), date(2024, 2, 3))
    assert calendar.period(GoalPeriod.YEAR, date(2024, 6, 1)) == Days(date(2024, 2, 4), date(2025, 2, 1))


@pytest.mark.parametrize(
    ("zone", "moment", "day"),
    [
        ("America/New_York", "2026-03-08T04:59:00", "2026-03-07"),  # the day on which the clocks go forward
        ("America/New_York", "2026-03-09T03:59:00", "2026-03-08"),
        ("America/New_York", "2026-11-02T04:59:00", "2026-11-01"),  # and back
        ("Australia/Lord_Howe", "2026-04-04T13:00:00", "2026-04-05"),
    ],
)
def test_today_is_a_local_day(zone: str, moment: str, day: str) -> None:
    assert Calendar(zone).today(datetime.fromisoformat(moment).replace(tzinfo=UTC)) == date.fromisoformat(day)


def test_ranges_that_do_not_fit() -> None:
    with pytest.raises(Invalid):
        explicit_range(date(2026, 2, 1), date(2026, 1, 1))
    with pytest.raises(Invalid):
        explicit_range(date(2011, 1, 1), date(2030, 1, 1))
    with pytest.raises(Invalid):
        explicit_range(date(2001, 1, 1), date(2001, 2, 1))
