"""What Graph can say of rules: said patterns give what the rules give; what cannot be said exactly is not said.

The patterns are worked out by dateutil, as the double has them, the rules by domain/recurrence.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from domain.recurrence import read_rule, starts_of
from tests.doubles.microsoft365 import Event, _originals
from workers.connectors.microsoft365.recurrence import (
    is_same_recurrence,
    is_same_zone,
    pattern_of,
    recurrence_of,
    zone_name_of,
)

NEW_YORK = ZoneInfo("America/New_York")


@pytest.mark.parametrize("first", [datetime(2026, 1, 5, 9, 30), datetime(2026, 10, 28, 17), datetime(2027, 3, 12, 8)])
@pytest.mark.parametrize(
    "text",
    [
        "FREQ=DAILY",
        "FREQ=DAILY;INTERVAL=3",
        "FREQ=DAILY;BYDAY=MO,TU,WE,TH,FR",
        "FREQ=WEEKLY",
        "FREQ=WEEKLY;INTERVAL=2",
        "FREQ=WEEKLY;INTERVAL=2;BYDAY=SU,MO,WE",
        "FREQ=WEEKLY;INTERVAL=2;BYDAY=SU,MO,WE;WKST=SU",
        "FREQ=MONTHLY",
        "FREQ=MONTHLY;INTERVAL=2;BYMONTHDAY=28",
        "FREQ=MONTHLY;BYDAY=2TU",
        "FREQ=MONTHLY;BYDAY=-1FR",
        "FREQ=MONTHLY;BYDAY=TH;BYSETPOS=4",
        "FREQ=YEARLY",
        "FREQ=YEARLY;BYMONTH=6;BYMONTHDAY=30",
        "FREQ=YEARLY;BYMONTH=11;BYDAY=4TH",
    ],
)
def test_what_is_said_is_what_the_rule_gives(text: str, first: datetime) -> None:
    rule = read_rule(text)
    # The first start is one of the rule's.
    first = next(iter(starts_of(rule, first, first + timedelta(days=800))))
    pattern = pattern_of(rule, first)
    assert pattern is not None
    last = first + timedelta(days=1000)
    recurrence = recurrence_of(pattern, first.date(), last.date(), zone_name_of("America/New_York"))
    start = first.replace(tzinfo=NEW_YORK)
    event = Event(
        "one", start, start, start, "", (), "", recurrence=recurrence, zone=recurrence["range"]["recurrenceTimeZone"]
    )
    whole_day = datetime.combine(last.date(), datetime.max.time())
    expected = [one.replace(tzinfo=NEW_YORK).astimezone(UTC) for one in starts_of(rule, first, whole_day)]
    assert _originals(event) == expected
    assert expected


@pytest.mark.parametrize(
    "text",
    [
        "FREQ=MONTHLY;BYMONTHDAY=31",
        "FREQ=MONTHLY;BYMONTHDAY=29",
        "FREQ=MONTHLY;BYMONTHDAY=-1",
        "FREQ=MONTHLY;BYMONTHDAY=1,15",
        "FREQ=MONTHLY;BYDAY=5MO",
        "FREQ=MONTHLY;BYDAY=-2MO",
        "FREQ=MONTHLY;BYDAY=MO",
        "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1",
        "FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13",
        "FREQ=MONTHLY;BYMONTH=1,4,7,10;BYMONTHDAY=1",
        "FREQ=WEEKLY;BYMONTH=1",
        "FREQ=DAILY;INTERVAL=2;BYDAY=MO",
        "FREQ=YEARLY;INTERVAL=2",
        "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29",
        "FREQ=YEARLY;BYDAY=20MO",
        "FREQ=YEARLY;BYMONTHDAY=5",
        "FREQ=YEARLY;BYWEEKNO=7",
        "FREQ=YEARLY;BYYEARDAY=100",
        "FREQ=DAILY;INTERVAL=100",
    ],
)
def test_what_cannot_be_said_exactly_is_not_said(text: str) -> None:
    assert pattern_of(read_rule(text), datetime(2026, 1, 30, 10)) is None


def test_a_month_that_is_too_short_is_not_said() -> None:
    for frequency, day in (("MONTHLY", datetime(2026, 1, 29)), ("YEARLY", datetime(2028, 2, 29))):
        assert pattern_of(read_rule(f"FREQ={frequency}"), day) is None


def test_zones_go_by_names_of_windows() -> None:
    assert zone_name_of("Europe/Berlin") == "W. Europe Standard Time"
    assert zone_name_of("Asia/Kolkata") == "India Standard Time"
    assert zone_name_of("UTC") == zone_name_of("Etc/UTC") == "UTC"
    # None of Windows' names, and clocks that show the same.
    assert zone_name_of("America/Detroit") == "Eastern Standard Time"
    # Cuba's clocks change on the same days, at another hour.
    assert not is_same_zone("Cuba Standard Time", "America/Detroit")
    assert is_same_zone(zone_name_of("Europe/Zurich"), "Europe/Zurich")
    assert not is_same_zone("Pacific Standard Time", "America/New_York")
    assert not is_same_zone("Europe/London", "UTC")
    assert is_same_zone("tzone://Microsoft/Custom", "UTC")


def test_defaults_that_graph_adds_are_no_difference() -> None:
    pattern = pattern_of(read_rule("FREQ=WEEKLY;BYDAY=TU,TH"), datetime(2026, 1, 6, 10))
    assert pattern is not None
    wanted = recurrence_of(pattern, datetime(2026, 1, 6).date(), None, "UTC")
    told = {
        "pattern": {
            "type": "weekly",
            "interval": 1,
            "month": 0,
            "dayOfMonth": 0,
            "daysOfWeek": ["thursday", "tuesday"],
            "firstDayOfWeek": "sunday",
            "index": "first",
        },
        "range": {"type": "noEnd", "startDate": "2026-01-06", "endDate": "0001-01-01", "numberOfOccurrences": 0},
    }
    assert is_same_recurrence(told, wanted)
    assert not is_same_recurrence(told | {"pattern": told["pattern"] | {"daysOfWeek": ["tuesday"]}}, wanted)
    assert not is_same_recurrence(told | {"range": {"type": "endDate", "endDate": "2026-02-01"}}, wanted)
    assert not is_same_recurrence(None, wanted)
