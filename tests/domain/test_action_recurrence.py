"""When actions come again, against two independent implementations: python-dateutil and recurring-ical-events.

Invariants:
A. Without clock changes, the occurrences are those of dateutil.
B. In every zone, an occurrence is at the rule's wall clock; where the clock skips that time, it is moved forward by the
   gap; where it shows it twice, it is the first. So recurring-ical-events has it too.
C. `next_instant` gives the same series from whatever moment it is asked, in order, each moment once.
D. `count` and `until` end the series.
E. By the catch-up rule, each occurrence that fell due has exactly one end, and what comes next lies ahead.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
import recurring_ical_events
from dateutil import tz
from dateutil.rrule import rrulestr
from hypothesis import assume, given
from hypothesis import strategies as st
from icalendar import Calendar

from domain.action_runs import LATE_AFTER, DueAction, occurrence_of
from domain.actions import plan, rule_of
from domain.errors import Invalid
from domain.models.actions import CatchUp
from domain.models.base import new_id
from domain.recurrence import instant_of, next_instant, read_rule, wall_of

ZONES = (
    "America/New_York",
    "Europe/Berlin",
    "Europe/London",
    "Australia/Lord_Howe",  # Half an hour.
    "America/Sao_Paulo",
    "Asia/Kolkata",
    "Pacific/Apia",  # Skipped the 30th of December 2011.
    "Africa/Casablanca",
    "America/St_Johns",
    "UTC",
)
RULES = (
    "FREQ=DAILY",
    "FREQ=DAILY;INTERVAL=3",
    "FREQ=DAILY;BYHOUR=1,2,3;BYMINUTE=30",
    "FREQ=WEEKLY;BYDAY=MO,WE,FR",
    "FREQ=WEEKLY;INTERVAL=2;BYDAY=SU",
    "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,SU;WKST=SU",
    "FREQ=MONTHLY",
    "FREQ=MONTHLY;BYMONTHDAY=31",
    "FREQ=MONTHLY;BYMONTHDAY=-1",
    "FREQ=MONTHLY;INTERVAL=2;BYDAY=2SU",
    "FREQ=MONTHLY;BYDAY=-1FR",
    "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1",
    "FREQ=YEARLY",
    "FREQ=YEARLY;BYMONTH=3,11;BYDAY=2SU",
)


def series(rule: str, first: datetime, zone: ZoneInfo, after: datetime, many: int) -> list[datetime]:
    found: list[datetime] = []
    while len(found) < many:
        at = next_instant(read_rule(rule), first, zone, found[-1] if found else after)
        if at is None:
            break
        found.append(at)
    return found


walls = st.datetimes(datetime(2009, 1, 1), datetime(2030, 12, 31)).map(lambda at: at.replace(microsecond=0, second=0))


@given(st.sampled_from(RULES), walls)
def test_without_clock_changes_as_dateutil(rule: str, first: datetime) -> None:
    found = series(rule, first, ZoneInfo("UTC"), first.replace(tzinfo=UTC) - timedelta(seconds=1), 12)
    expected = [at.replace(tzinfo=UTC) for at, _ in zip(rrulestr(rule, dtstart=first), range(12), strict=False)]
    assert found == expected


@given(st.sampled_from(RULES), walls, st.sampled_from(ZONES))
def test_in_every_zone_by_the_wall_clock(rule: str, first: datetime, name: str) -> None:
    zone = ZoneInfo(name)
    begins = instant_of(first, zone)
    found = series(rule, first, zone, begins - timedelta(seconds=1), 12)
    # dateutil's own zones, and its own word on what does not exist.
    walls = [at for at, _ in zip(rrulestr(rule, dtstart=first), range(40), strict=False)]
    other = tz.gettz(name)
    assert other is not None
    expected = sorted(
        {tz.resolve_imaginary(at.replace(tzinfo=other, fold=0)).astimezone(UTC).replace(tzinfo=UTC) for at in walls}
    )
    # dateutil does not know how zones go on after 2037.
    known = [at for at in expected if at >= begins and at.year < 2037][:12]
    assert found[: len(known)] == known
    assert all(one < other for one, other in pairwise(found))


@given(st.sampled_from(RULES), walls, st.sampled_from(ZONES), st.integers(0, 400 * 86_400))
def test_asked_from_anywhere_it_is_the_same_series(rule: str, first: datetime, name: str, seconds: int) -> None:
    zone = ZoneInfo(name)
    begins = instant_of(first, zone)
    after = begins + timedelta(seconds=seconds)
    following = next_instant(read_rule(rule), first, zone, after)
    walked = begins - timedelta(seconds=1)
    for _ in range(1_300):
        at = next_instant(read_rule(rule), first, zone, walked)
        assert at is not None
        walked = at
        if walked > after:
            break
    assert following == walked


SPRING = [  # Berlin, 2026: 02:00 becomes 03:00 on the 29th of March.
    ("2026-03-28T02:30", "2026-03-28T01:30+00:00"),
    ("2026-03-29T02:30", "2026-03-29T01:30+00:00"),  # 03:30 on that day's clock.
    ("2026-03-30T02:30", "2026-03-30T00:30+00:00"),
]
AUTUMN = [  # 03:00 becomes 02:00 on the 25th of October.
    ("2026-10-24T02:30", "2026-10-24T00:30+00:00"),
    ("2026-10-25T02:30", "2026-10-25T00:30+00:00"),  # The first of the two.
    ("2026-10-26T02:30", "2026-10-26T01:30+00:00"),
]


@pytest.mark.parametrize("days", [SPRING, AUTUMN], ids=["spring", "autumn"])
def test_across_clock_changes_as_calendars_have_it(days: list[tuple[str, str]]) -> None:
    zone, first = ZoneInfo("Europe/Berlin"), datetime.fromisoformat(days[0][0])
    found = series("FREQ=DAILY", first, zone, instant_of(first, zone) - timedelta(seconds=1), 3)
    assert found == [datetime.fromisoformat(at) for _wall, at in days]
    calendar = Calendar.from_ical(
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//t//t\r\nBEGIN:VEVENT\r\nUID:1\r\nDTSTAMP:20260101T000000Z\r\n"
        f"DTSTART;TZID=Europe/Berlin:{first:%Y%m%dT%H%M%S}\r\nRRULE:FREQ=DAILY\r\nSUMMARY:x\r\n"
        "END:VEVENT\r\nEND:VCALENDAR\r\n"
    )
    assert isinstance(calendar, Calendar)
    events = recurring_ical_events.of(calendar).between(first.date(), first.date() + timedelta(days=3))
    told = sorted(event["DTSTART"].dt.astimezone(UTC) for event in events)
    assert told == found


def test_a_day_that_is_not_is_skipped() -> None:
    zone, first = ZoneInfo("Europe/Berlin"), datetime(2026, 1, 31, 9)
    found = series("FREQ=MONTHLY", first, zone, instant_of(first, zone) - timedelta(seconds=1), 5)
    assert [wall_of(at, zone).date() for at in found] == [date(2026, month, 31) for month in (1, 3, 5, 7, 8)]
    leap = series("FREQ=YEARLY", datetime(2024, 2, 29, 9), zone, datetime(2024, 1, 1, tzinfo=UTC), 3)
    assert [at.year for at in leap] == [2024, 2028, 2032]


@given(st.sampled_from(RULES), walls, st.sampled_from(ZONES), st.integers(1, 8))
def test_count_and_until_end_it(rule: str, first: datetime, name: str, count: int) -> None:
    zone = ZoneInfo(name)
    begins = instant_of(first, zone) - timedelta(seconds=1)
    all_of_them = series(rule, first, zone, begins, count + 1)
    counted = series(f"{rule};COUNT={count}", first, zone, begins, count + 5)
    assert len(counted) <= count  # Two that come to one moment are one.
    assert counted == all_of_them[: len(counted)]
    last = all_of_them[count - 1]
    ended = series(f"{rule};UNTIL={last:%Y%m%dT%H%M%SZ}", first, zone, begins, count + 5)
    assert ended == all_of_them[:count]


def test_a_rule_that_never_comes_true_ends() -> None:
    zone = ZoneInfo("UTC")
    never = read_rule("FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30")
    assert next_instant(never, datetime(2026, 1, 1), zone, datetime(2026, 1, 1, tzinfo=UTC)) is None
    with pytest.raises(Invalid, match="no time from then on"):
        plan(datetime.now(UTC), "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30", "UTC")


@pytest.mark.parametrize(
    "text",
    [
        "FREQ=HOURLY",
        "FREQ=DAILY;BYMINUTE=0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24",
        "FREQ=DAILY;COUNT=0",
        "FREQ=DAILY;COUNT=-1",
        "FREQ=DAILY;COUNT=100000",
        "FREQ=DAILY;INTERVAL=100000",
        "nonsense",
        "",
        "FREQ=DAILY;" + "X" * 600,
        "FREQ=DAILY\0",
    ],
)
def test_what_an_action_may_not_recur(text: str) -> None:
    with pytest.raises(Invalid, match="recurrence"):
        rule_of(text)


def due(recurrence: str | None, due_at: datetime, catch_up: CatchUp, name: str = "UTC") -> DueAction:
    local = wall_of(due_at, ZoneInfo(name)).isoformat(timespec="seconds")
    started = local if recurrence else None
    return DueAction(
        new_id(),
        new_id(),
        "k",
        "t",
        None,
        None,
        {},
        started,
        recurrence,
        name,
        catch_up,
        1,
        due_at,
        due_at,
        False,
        1,
        1,
    )


@given(
    st.sampled_from(RULES),
    walls,
    st.sampled_from(ZONES),
    st.sampled_from(list(CatchUp)),
    st.integers(0, 60 * 86_400),
)
def test_catching_up_ends_each_once(rule: str, first: datetime, name: str, catch_up: CatchUp, late: int) -> None:
    zone = ZoneInfo(name)
    begins = next_instant(read_rule(rule), first, zone, instant_of(first, zone) - timedelta(seconds=1))
    assert begins is not None
    assume(begins == instant_of(wall_of(begins, zone), zone))
    now = begins + timedelta(seconds=late)
    action = due(rule, begins, catch_up, name)
    fallen = [at for at in series(rule, wall_of(begins, zone), zone, begins - timedelta(seconds=1), 300) if at <= now]
    found = occurrence_of(action, now)
    if catch_up is CatchUp.RUN_ALL:
        assert (found.number, found.due_at, found.runs, found.passed_over) == (1, begins, True, 0)
        return
    assert found.number == len(fallen)
    assert found.passed_over == len(fallen) - 1
    assert found.due_at == fallen[-1]
    assert found.next_at is None or found.next_at > now
    assert found.runs == (catch_up is CatchUp.RUN_ONCE or now - fallen[-1] <= LATE_AFTER)
