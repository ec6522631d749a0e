"""Events of iCalendar: rules, zones and series, held against libraries that are not used for them.

Invariants:
A. A rule gives the starts that dateutil gives, where dateutil keeps to RFC 5545.
B. A rule that never comes true, or too often, costs little.
C. A zone that a calendar defines tells the same time as IANA's own definition of it.
D. A series with additions, exclusions and exceptions has the occurrences that recurring-ical-events finds.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

import icalendar
import pytest
import recurring_ical_events
from dateutil.rrule import rrulestr
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from domain import recurrence as rules_module
from domain.meetings import UPCOMING, Occurrence, occurrence_key
from domain.records import LATEST, RecordRefused
from domain.recurrence import STARTS_LIMIT, WEEKDAYS, read_rule, starts_of
from workers.connectors.ical.events import WANTED, occurrences_of, read_events
from workers.connectors.ical.values import read_components
from workers.connectors.ical.zones import DefinedZone, zone_defined, zone_named

PROPERTY = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
BERLIN = ZoneInfo("Europe/Berlin")
OWNER, CUSTOMER = "rep@team.test", "buyer@customer.test"
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
"""A clock at which everything is still to come."""


def numbers(least: int, most: int, *, from_end: bool = False) -> st.SearchStrategy[str]:
    values = st.integers(least, most)
    if from_end:
        values = values | st.integers(-most, -least)
    return st.lists(values, min_size=1, max_size=3, unique=True).map(lambda found: ",".join(map(str, found)))


@st.composite
def rules(draw: st.DrawFn) -> str:
    """Rules of which dateutil makes what RFC 5545 says: no mixture of "every" and "the second Monday", no positions
    within the first, cut week, no weeks at the turn of the year."""
    frequency = draw(st.sampled_from(["DAILY", "WEEKLY", "MONTHLY", "YEARLY"]))
    parts = {"FREQ": frequency}

    def maybe(name: str, values: st.SearchStrategy[Any]) -> None:
        if draw(st.integers(0, 3)) == 0:
            parts[name] = str(draw(values))

    maybe("INTERVAL", st.integers(1, 6))
    maybe("COUNT", st.integers(1, 40))
    maybe("BYMONTH", numbers(1, 12))
    maybe("WKST", st.sampled_from(WEEKDAYS))
    maybe("BYHOUR", numbers(0, 23))
    maybe("BYMINUTE", numbers(0, 59))
    if frequency != "WEEKLY":
        maybe("BYMONTHDAY", numbers(1, 31, from_end=True))
        maybe("BYSETPOS", numbers(1, 4, from_end=True))
    if frequency == "YEARLY":
        maybe("BYYEARDAY", numbers(1, 366, from_end=True))
        if "BYSETPOS" not in parts:
            maybe("BYWEEKNO", numbers(2, 51))
    days = draw(st.lists(st.sampled_from(WEEKDAYS), max_size=3, unique=True))
    if days:
        which = draw(st.sampled_from(["", "1", "2", "4", "-1", "-3"])) if frequency in ("MONTHLY", "YEARLY") else ""
        parts["BYDAY"] = ",".join(which + day for day in days)
    return ";".join(f"{name}={value}" for name, value in parts.items())


@PROPERTY
@given(rules(), st.integers(0, 3000), st.integers(1, 1500))
def test_rules_give_what_dateutil_gives(rule: str, first_day: int, days: int) -> None:
    first = datetime(2016, 1, 1, 9, 30) + timedelta(days=first_day)
    last = first + timedelta(days=days)
    found = list(starts_of(read_rule(rule), first, last))
    # For what does not come in ten years, dateutil may look until the year 9999.
    assume(found or any(True for _ in starts_of(read_rule(rule), first, first + timedelta(days=3650))))
    try:
        expected = rrulestr(rule, dtstart=first).between(first, last, inc=True)
    except IndexError:
        assume(False)  # An error of dateutil's own, in years that begin late in a week.
    assert found == expected


@pytest.mark.parametrize(
    ("rule", "first", "expected"),
    [
        # Of RFC 5545, 3.8.5.3, with its own results.
        ("FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST=MO", (1997, 8, 5), "0805 0810 0819 0824"),
        ("FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST=SU", (1997, 8, 5), "0805 0817 0819 0831"),
        ("FREQ=MONTHLY;COUNT=3;BYDAY=TU,WE,TH;BYSETPOS=3", (1997, 9, 4), "0904 1007 1106"),
        ("FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-2;COUNT=4", (1997, 9, 29), "0929 1030 1127 1230"),
        ("FREQ=MONTHLY;COUNT=5;BYMONTHDAY=15,30", (2007, 1, 15), "0115 0130 0215 0315 0330"),
        ("FREQ=MONTHLY;BYMONTHDAY=-3;COUNT=4", (1997, 9, 28), "0928 1029 1128 1229"),
        ("FREQ=MONTHLY;COUNT=3;BYDAY=FR;BYMONTHDAY=13", (1998, 2, 13), "0213 0313 1113"),
        ("FREQ=YEARLY;BYDAY=20MO;COUNT=3", (1997, 5, 19), "0519 0518 0517"),
        ("FREQ=YEARLY;BYWEEKNO=20;BYDAY=MO;COUNT=3", (1997, 5, 12), "0512 0511 0517"),
        (
            "FREQ=YEARLY;INTERVAL=4;BYMONTH=11;BYDAY=TU;BYMONTHDAY=2,3,4,5,6,7,8;COUNT=3",
            (1996, 11, 5),
            "1105 1107 1102",
        ),
        # A week belongs to the year that most of it is in: the 31st of December 2018 is of the first of 52 weeks.
        ("FREQ=YEARLY;BYWEEKNO=-52;BYDAY=MO;BYMONTH=12;COUNT=1", (2016, 5, 19), "1231"),
        # Every month has no 31st, and the 29th of February comes every four years.
        ("FREQ=MONTHLY;COUNT=4", (2026, 1, 31), "0131 0331 0531 0731"),
        ("FREQ=YEARLY;COUNT=3", (2024, 2, 29), "0229 0229 0229"),
        ("FREQ=WEEKLY;BYDAY=MO,TU,FR;BYSETPOS=2;COUNT=2", (2018, 5, 15), "0515 0522"),
        ("freq=daily;count=2;", (2026, 1, 1), "0101 0102"),
    ],
)
def test_rules_of_the_standard(rule: str, first: tuple[int, int, int], expected: str) -> None:
    starts = starts_of(read_rule(rule), datetime(*first, 9), datetime(2040, 1, 1))
    assert " ".join(f"{start:%m%d}" for start in islice(starts, 5)) == expected


@pytest.mark.parametrize(
    "rule",
    [
        "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=DAILY;INTERVAL=7;BYDAY=TU",
        "FREQ=WEEKLY;BYSETPOS=7",
        "FREQ=MONTHLY;INTERVAL=12;BYMONTH=7",
        "FREQ=YEARLY;BYWEEKNO=1;BYMONTH=7",
        "FREQ=DAILY;BYYEARDAY=366;BYMONTH=1",
        "FREQ=YEARLY;INTERVAL=4000000",
        "FREQ=DAILY;COUNT=1000000;BYMONTH=2;BYMONTHDAY=30",
    ],
)
def test_what_never_comes_true_costs_little(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at = 0
    kept = rules_module._kept

    def counted(one: Any, days: list[date]) -> list[date]:
        nonlocal looked_at
        looked_at += len(days)
        return kept(one, days)

    monkeypatch.setattr(rules_module, "_kept", counted)
    first, last = datetime(1900, 1, 8, 9), LATEST.replace(tzinfo=None)
    assert len(list(starts_of(read_rule(rule), first, last))) <= 1
    # Each day at most once, and the rest of the last period.
    assert looked_at <= (last - first).days + 366


@pytest.mark.parametrize("rule", ["FREQ=DAILY;BYHOUR=" + ",".join(map(str, range(24))), "FREQ=DAILY;COUNT=30000"])
def test_what_recurs_too_often_is_refused(rule: str) -> None:
    starts = starts_of(read_rule(rule), datetime(1950, 1, 1), LATEST.replace(tzinfo=None))
    assert sum(1 for _ in islice(starts, STARTS_LIMIT)) == STARTS_LIMIT
    with pytest.raises(RecordRefused) as refused:
        next(starts)
    assert refused.value.field == "RRULE"


@pytest.mark.parametrize(
    "rule",
    [
        "",
        "weekly",
        "FREQ=SECONDLY",
        "FREQ=HOURLY;COUNT=2",
        "FREQ=FORTNIGHTLY",
        "FREQ=DAILY;INTERVAL=0",
        "FREQ=DAILY;INTERVAL=x",
        "FREQ=DAILY;COUNT=" + "9" * 5000,
        "FREQ=DAILY;UNTIL=tomorrow",
        "FREQ=DAILY;UNTIL=P1D",
        "FREQ=DAILY;UNTIL=120000",
        "FREQ=MONTHLY;BYMONTHDAY=0",
        "FREQ=MONTHLY;BYMONTHDAY=32",
        "FREQ=MONTHLY;BYDAY=XX",
        "FREQ=MONTHLY;BYDAY=1.5MO",
        "FREQ=YEARLY;BYMONTH=-1",
        "FREQ=WEEKLY;WKST=0",
    ],
)
def test_what_is_no_rule_is_refused(rule: str) -> None:
    with pytest.raises(RecordRefused) as refused:
        read_rule(rule)
    assert refused.value.field == "RRULE"


# Zones.


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Europe/Berlin", "Europe/Berlin"),
        ("europe/berlin", "Europe/Berlin"),
        ("W. Europe Standard Time", "Europe/Berlin"),
        ("Eastern Standard Time", "America/New_York"),
        ("/mozilla.org/20070129_1/Europe/Paris", "Europe/Paris"),
        ("/freeassociation.sourceforge.net/America/Argentina/Salta", "America/Argentina/Salta"),
        ('"Europe/Rome"', "Europe/Rome"),
        ("tzone://Microsoft/Utc", "UTC"),
        ("UTC", "Etc/UTC"),
        ("Customized Time Zone", None),
        ("Somewhere/Berlin", None),
        ("../etc/passwd", None),
        ("", None),
    ],
)
def test_names_of_zones(name: str, expected: str | None) -> None:
    found = zone_named(name)
    assert (None if found is None else str(found)) == expected


def defined(text: str, name: str = "Customized Time Zone") -> DefinedZone:
    lines = f"BEGIN:VTIMEZONE\nTZID:{name}\n{text}END:VTIMEZONE\n"
    zone = zone_defined(read_components(lines, WANTED)[0])
    assert isinstance(zone, DefinedZone)
    return zone


def part(kind: str, begins: str, before: str, after: str, rest: str = "") -> str:
    return f"BEGIN:{kind}\nDTSTART:{begins}\nTZOFFSETFROM:{before}\nTZOFFSETTO:{after}\n{rest}END:{kind}\n"


OUTLOOK_BERLIN = part(
    "STANDARD", "16010101T030000", "+0200", "+0100", "RRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=10\n"
) + part("DAYLIGHT", "16010101T020000", "+0100", "+0200", "RRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=3\n")
NEW_YORK = part("DAYLIGHT", "20070311T020000", "-0500", "-0400", "RRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=2SU\n") + part(
    "STANDARD", "20071104T020000", "-0400", "-0500", "RRULE:FREQ=YEARLY;BYMONTH=11;BYDAY=1SU\n"
)


@PROPERTY
@given(
    st.sampled_from([(OUTLOOK_BERLIN, "Europe/Berlin", 1998), (NEW_YORK, "America/New_York", 2008)]),
    st.integers(0, 37 * 365 * 24 * 4),
    st.sampled_from([0, 1]),
)
def test_a_defined_zone_tells_the_time_of_its_place(case: tuple[str, str, int], quarters: int, fold: int) -> None:
    text, name, year = case
    wall = datetime(year, 1, 1) + timedelta(minutes=15 * quarters)
    assume(wall < LATEST.replace(tzinfo=None))
    mine, theirs = wall.replace(tzinfo=defined(text), fold=fold), wall.replace(tzinfo=ZoneInfo(name), fold=fold)
    there = theirs.astimezone(UTC).astimezone(ZoneInfo(name)).replace(tzinfo=None)
    if there == wall or fold == 0:
        assert mine.astimezone(UTC) == theirs.astimezone(UTC)
    back = theirs.astimezone(UTC).astimezone(mine.tzinfo)
    assert back.replace(tzinfo=None) == there


def test_a_zone_with_dates_and_one_without_changes() -> None:
    zone = defined(
        part("STANDARD", "20200101T000000", "+0300", "+0300")
        + part("DAYLIGHT", "20260301T000000", "+0300", "+0400", "")
    )
    assert datetime(2026, 2, 1, 12, tzinfo=zone).astimezone(UTC).hour == 9
    assert datetime(2026, 4, 1, 12, tzinfo=zone).astimezone(UTC).hour == 8
    dated = defined(part("STANDARD", "20200101T000000", "+0000", "+0100", "RDATE:20260101T000000\n"))
    assert datetime(2019, 1, 1, 12, tzinfo=dated).astimezone(UTC).hour == 12
    assert datetime(2026, 6, 1, 12, tzinfo=dated).astimezone(UTC).hour == 11


@pytest.mark.parametrize(
    "text",
    [
        "",
        part("STANDARD", "20200101T000000", "0300", "+0300"),
        part("STANDARD", "20200101T000000", "+03", "+0300"),
        part("STANDARD", "20200101T000000", "+9900", "+0300"),
        part("STANDARD", "yesterday", "+0300", "+0300"),
        part("STANDARD", "20200101T000000", "+0300", "+0300", "RRULE:FREQ=SECONDLY\n"),
        "BEGIN:STANDARD\nTZOFFSETFROM:+0100\nTZOFFSETTO:+0100\nEND:STANDARD\n",
    ],
)
def test_what_defines_no_zone_is_refused(text: str) -> None:
    with pytest.raises(RecordRefused):
        defined(text)


# Series.


def event(*lines: str, uid: str = "u") -> str:
    body = "".join(f"{line}\n" for line in lines)
    return f"BEGIN:VEVENT\nUID:{uid}\nORGANIZER:mailto:{OWNER}\nATTENDEE:mailto:{CUSTOMER}\n{body}END:VEVENT\n"


def found_in(text: str, now: datetime = LONG_AGO, floating: Any = BERLIN) -> list[Occurrence]:
    _, events = read_events(text, floating, OWNER, frozenset())
    return sorted(occurrences_of(events, now), key=lambda one: (one.starts_at, one.key or ""))


def starts(found: Iterable[Occurrence]) -> list[str]:
    return [f"{one.starts_at:%m%dT%H%M}" for one in found]


def test_nine_in_berlin_stays_nine_over_the_change_of_clocks() -> None:
    text = event("DTSTART;TZID=Europe/Berlin:20260323T090000", "DURATION:PT45M", "RRULE:FREQ=WEEKLY;COUNT=3")
    found = found_in(text)
    assert starts(found) == ["0323T0800", "0330T0700", "0406T0700"]
    assert [one.key for one in found] == [occurrence_key(one.starts_at) for one in found]
    assert {one.ends_at - one.starts_at for one in found} == {timedelta(minutes=45)}


def test_what_falls_into_the_gap_of_the_clock_is_an_hour_later() -> None:
    text = event("DTSTART;TZID=Europe/Berlin:20260328T023000", "DURATION:PT1H", "RRULE:FREQ=DAILY;COUNT=3")
    assert starts(found_in(text)) == ["0328T0130", "0329T0130", "0330T0030"]


@pytest.mark.parametrize(
    ("until", "count"),
    [
        ("20260316T080000Z", 3),
        ("20260316T075959Z", 2),
        ("20260316", 3),
        ("20260315", 2),
        ("20260316T090000", 3),
        ("20260316T085959", 2),
    ],
)
def test_until_is_the_last_that_may_be(until: str, count: int) -> None:
    text = event("DTSTART;TZID=Europe/Berlin:20260302T090000", f"RRULE:FREQ=WEEKLY;UNTIL={until}")
    assert len(found_in(text)) == count


def test_times_without_a_zone_are_of_the_calendars_zone() -> None:
    text = event("DTSTART:20260302T090000", "DTEND:20260302T100000", "RRULE:FREQ=DAILY;UNTIL=20260303T150000Z")
    assert starts(found_in(text, floating=ZoneInfo("America/New_York"))) == ["0302T1400", "0303T1400"]
    unknown = event("DTSTART;TZID=Nowhere:20260302T090000")
    assert starts(found_in(unknown)) == ["0302T0800"]


def test_exclusions_by_time_and_by_day_in_any_zone() -> None:
    text = event(
        "DTSTART;TZID=Europe/Berlin:20260302T090000",
        "RRULE:FREQ=DAILY;COUNT=7",
        "EXDATE:20260303T080000Z",
        "EXDATE;TZID=America/New_York:20260304T030000",
        "EXDATE;VALUE=DATE:20260305",
        "EXDATE:20260306T090000,20260307T090000",
    )
    assert starts(found_in(text)) == ["0302T0800", "0308T0800"]


def test_additions_and_periods() -> None:
    text = event(
        "DTSTART;TZID=Europe/Berlin:20260302T090000",
        "DURATION:PT1H",
        "RRULE:FREQ=DAILY;COUNT=2",
        "RDATE;TZID=Europe/Berlin:20260310T150000,20260303T090000",
        "RDATE;VALUE=PERIOD:20260311T100000Z/PT3H,20260312T100000Z/20260312T120000Z",
    )
    found = found_in(text)
    assert starts(found) == ["0302T0800", "0303T0800", "0310T1400", "0311T1000", "0312T1000"]
    assert [(one.ends_at - one.starts_at) / timedelta(hours=1) for one in found] == [1, 1, 1, 3, 2]


def test_exceptions_keep_the_start_that_they_were_given() -> None:
    text = event("DTSTART;TZID=Europe/Berlin:20260302T090000", "RRULE:FREQ=WEEKLY;COUNT=4", "SUMMARY:Weekly") + "".join(
        [
            event(
                "RECURRENCE-ID;TZID=Europe/Berlin:20260309T090000", "DTSTART:20260310T140000Z", "SUMMARY:Moved\\, late"
            ),
            event("RECURRENCE-ID:20260316T080000Z", "DTSTART;TZID=Europe/Berlin:20260316T090000", "STATUS:CANCELLED"),
            event("RECURRENCE-ID;VALUE=DATE:20260323", "DTSTART;TZID=Europe/Berlin:20260323T110000"),
        ]
    )
    found = found_in(text)
    assert [(f"{one.starts_at:%m%dT%H%M}", (one.key or "")[5:13], one.cancelled, one.title) for one in found] == [
        ("0302T0800", "03-02T08", False, "Weekly"),
        ("0310T1400", "03-09T08", False, "Moved, late"),
        ("0316T0800", "03-16T08", True, None),
        ("0323T1000", "03-23T08", False, None),
    ]


def test_a_later_version_of_an_exception_counts() -> None:
    exceptions = [
        event("RECURRENCE-ID:20260309T080000Z", f"SEQUENCE:{number}", f"DTSTART:202603{10 + number}T080000Z")
        for number in (2, 3, 1)
    ]
    text = event("DTSTART:20260302T080000Z", "RRULE:FREQ=WEEKLY;COUNT=2") + "".join(exceptions)
    assert starts(found_in(text)) == ["0302T0800", "0313T0800"]


def test_this_and_all_that_follow() -> None:
    text = (
        event("DTSTART;TZID=Europe/Berlin:20260316T090000", "DURATION:PT1H", "RRULE:FREQ=WEEKLY;COUNT=5", "SUMMARY:A")
        + event(
            "RECURRENCE-ID;RANGE=THISANDFUTURE;TZID=Europe/Berlin:20260323T090000",
            "DTSTART;TZID=Europe/Berlin:20260324T100000",
            "DURATION:PT2H",
            "SUMMARY:B",
        )
        + event("RECURRENCE-ID:20260406T070000Z", "DTSTART:20260406T120000Z", "SUMMARY:C")
    )
    found = found_in(text)
    assert [(f"{one.starts_at:%m%dT%H%M}", (one.key or "")[5:13], one.title) for one in found] == [
        ("0316T0800", "03-16T08", "A"),
        ("0324T0900", "03-23T08", "B"),
        ("0331T0800", "03-30T07", "B"),
        ("0406T1200", "04-06T07", "C"),
        ("0414T0800", "04-13T07", "B"),
    ]
    assert found[2].ends_at - found[2].starts_at == timedelta(hours=2)


def test_an_exception_of_a_series_that_is_not_there() -> None:
    found = found_in(event("RECURRENCE-ID:20260309T080000Z", "DTSTART:20260310T080000Z"))
    assert [(one.key, one.starts_at.day) for one in found] == [("2026-03-09T08:00:00+00:00", 10)]


def test_days_are_all_day_and_a_series_of_them_is_not_worked_out() -> None:
    single = found_in(event("DTSTART;VALUE=DATE:20260302"))
    assert [(one.all_day, one.key) for one in single] == [(True, None)]
    assert found_in(event("DTSTART:20260302T000000", "X-MICROSOFT-CDO-ALLDAYEVENT:TRUE"))[0].all_day
    series = found_in(
        event("DTSTART;VALUE=DATE:20260302", "RRULE:FREQ=DAILY")
        + event("RECURRENCE-ID;VALUE=DATE:20260303", "DTSTART:20260303T080000Z")
    )
    assert [(one.all_day, one.starts_at.hour) for one in series if not one.all_day] == [(False, 8)]


def test_an_endless_series_goes_as_far_as_meetings_need_it() -> None:
    text = event("DTSTART:20260302T080000Z", "DURATION:PT1H", "RRULE:FREQ=WEEKLY")
    now = datetime(2027, 3, 2, tzinfo=UTC)
    found = found_in(text, now)
    assert sum(one.ends_at <= now for one in found) == 53
    assert UPCOMING <= sum(one.ends_at > now for one in found) <= UPCOMING + 1
    assert len(found_in(text, LATEST + timedelta(days=400))) < 600


CANCELLED = ("cancelled", "missing")


@st.composite
def calendars(draw: st.DrawFn) -> str:
    """A series of a few weeks by the wall clock of some place, with all that can happen to it."""
    zone = draw(st.sampled_from(["Europe/Berlin", "America/New_York", "Asia/Kolkata", "Pacific/Auckland", "UTC"]))
    # Neither at night, where clocks change, nor so long that they do meanwhile: there, readings differ.
    first = datetime(2026, 2, 1, draw(st.integers(6, 16)), 30) + timedelta(days=draw(st.integers(0, 300)))
    step = draw(st.sampled_from([1, 2, 7]))
    count = draw(st.integers(2, 30))
    rule = f"RRULE:FREQ={'WEEKLY' if step == 7 else 'DAILY'};INTERVAL={1 if step == 7 else step};COUNT={count}"

    def wall(at: datetime) -> str:
        return f";TZID={zone}:{at:%Y%m%dT%H%M%S}"

    places = st.lists(st.integers(0, count - 1), max_size=4, unique=True)
    excluded = draw(places)
    moved = [place for place in draw(places) if place not in excluded]
    added = [first + timedelta(days=step * place, hours=3) for place in draw(places)]
    lines = [f"DTSTART{wall(first)}", "DURATION:PT45M", rule, "SUMMARY:Series", "SEQUENCE:1"]
    lines += [f"EXDATE{wall(first + timedelta(days=step * place))}" for place in excluded]
    lines += [f"RDATE{wall(at)}" for at in added]
    text = event(*lines)
    for place in moved:
        original = first + timedelta(days=step * place)
        by = draw(st.integers(-300, 300))
        text += event(
            f"RECURRENCE-ID{wall(original)}",
            f"DTSTART{wall(original + timedelta(minutes=by))}",
            "DURATION:PT30M",
            f"SUMMARY:Moved {place}",
            "SEQUENCE:1",
        )
    if draw(st.booleans()):
        place = draw(st.integers(0, count - 1))
        original = first + timedelta(days=step * place)
        if place not in excluded and place not in moved:
            text += event(
                f"RECURRENCE-ID;RANGE=THISANDFUTURE{wall(original)}",
                f"DTSTART{wall(original + timedelta(hours=draw(st.integers(-3, 3))))}",
                "DURATION:PT20M",
                "SUMMARY:Onwards",
                "SEQUENCE:1",
            )
    return text


@PROPERTY
@given(calendars())
def test_series_have_the_occurrences_that_another_library_finds(text: str) -> None:
    calendar = icalendar.Calendar.from_ical(f"BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:x\n{text}END:VCALENDAR\n")
    others = recurring_ical_events.of(calendar).between(date(2025, 12, 1), date(2028, 1, 1))
    expected = sorted(
        (one["DTSTART"].dt.astimezone(UTC), one["DTEND"].dt.astimezone(UTC), str(one["SUMMARY"])) for one in others
    )
    found = found_in(text, datetime(2028, 1, 1, tzinfo=UTC))
    assert sorted((one.starts_at, one.ends_at, one.title or "") for one in found) == expected
    assert len({one.key for one in found}) == len(found)


@pytest.mark.parametrize(
    ("text", "field"),
    [
        (event("SUMMARY:Never"), "DTSTART"),
        (event("DTSTART:soon"), "DTSTART"),
        (event("DTSTART:16010101T000000Z"), "DTSTART"),
        (event("DTSTART:99990101T000000Z"), "DTSTART"),
        (event("DTSTART:20260302T080000Z", "DTEND:never"), "DTEND"),
        (event("DTSTART:20260302T080000Z", "DTEND;TZID=America/New_York:99991231T235959"), None),
        (event("DTSTART:20260302T080000Z", "DURATION:long"), "DURATION"),
        (event("DTSTART:20260302T080000Z", "DURATION:P999999999D"), "DURATION"),
        (event("DTSTART:20260302T080000Z", "RRULE:FREQ=SECONDLY"), "RRULE"),
        (event("DTSTART:20260302T080000Z", "RRULE:FREQ=DAILY", "EXDATE:x"), "EXDATE"),
        (event("DTSTART:20260302T080000Z", "RDATE:x/y"), "RDATE"),
        (event("DTSTART:20260302T080000Z", "RECURRENCE-ID:x"), "RECURRENCE-ID"),
        (event("DTSTART:20260302T080000Z", uid=""), "UID"),
        (event("DTSTART:20260302T080000Z") + event("DTSTART:20260302T080000Z", uid="v"), "UID"),
        ("BEGIN:VEVENT\nUID:u\n", None),
        ("BEGIN:VEVENT\nUID:u\nEND:VTODO\n", None),
        ("END:VEVENT\n", None),
        ("BEGIN:X\n" * 100, None),
        ("", "UID"),
    ],
)
def test_nonsense_is_refused_by_name(text: str, field: str | None) -> None:
    with pytest.raises(RecordRefused) as refused:
        found_in(text)
    assert refused.value.field == field


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_whatever_a_calendar_holds_is_read_or_refused(data: st.DataObject) -> None:
    names = [*sorted(WANTED), "BEGIN", "END"]
    values = st.one_of(
        st.text(max_size=12),
        st.sampled_from(
            "VEVENT VTIMEZONE STANDARD 20260302T080000Z 20260302 99991231T235959Z 00010101T000000 PT1H -P1D +0100 u "
            "FREQ=DAILY FREQ=YEARLY;BYDAY=-1SU FREQ=MONTHLY;UNTIL=20261231 20260302T080000Z/PT1H mailto:a@b.test "
            "TRUE".split()
        ),
    )
    parameters = st.sampled_from(
        ["", ";TZID=Z", ";TZID=Europe/Berlin", ";VALUE=DATE", ";RANGE=THISANDFUTURE", ';X="', ";="]
    )
    lines = data.draw(st.lists(st.tuples(st.sampled_from(names), parameters, values), max_size=10))
    body = "".join(f"{name}{parameter}:{value}\n" for name, parameter, value in lines)
    text = f"BEGIN:VEVENT\nUID:u\nDTSTART:20260302T080000Z\n{body}END:VEVENT\n"
    with contextlib.suppress(RecordRefused):
        list(islice(found_in(text, datetime(2027, 1, 1, tzinfo=UTC)), 5))
