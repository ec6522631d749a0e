"""What calendars mean: bookings, states and moves of meetings.

Invariants:
A. However often and whenever a calendar that does not change is synced, the end is the same, and it is what an
   independent count says: which occurrences count, when each was booked, how it stands.
B. A caller that lists no more than 400 days back gets the same as one that lists all.
C. Moves of meetings to come change nothing but their times and their counts of moves.
D. Whatever is changed, what was told stays told: its identity and its booking never change, it does not vanish, and how
   it stands is what a fresh look says, or cancelled.
E. What ended more than 400 days ago stays as it was.
F. A series that is moved as a whole does not count its past twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import orjson
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from domain.connectors import Mapped, MappingContext
from domain.meetings import (
    COACHING_UID,
    LOOK_BACK,
    UPCOMING,
    Attendee,
    AttendeeStatus,
    Occurrence,
    external_id,
    meetings_of,
    occurrence_key,
)
from domain.records import LATEST, RecordRefused, decode_mapping

OWNER, COLLEAGUE, CUSTOMER = "rep@team.test", "colleague@team.test", "buyer@customer.test"
BERLIN = ZoneInfo("Europe/Berlin")
HOUR, DAY, WEEK = timedelta(hours=1), timedelta(days=1), timedelta(weeks=1)
START = datetime(2026, 3, 2, 9, tzinfo=UTC)
CREATED = datetime(2026, 2, 20, 12, tzinfo=UTC)


def context(now: datetime, **changes: Any) -> MappingContext:
    return replace(
        MappingContext(
            now=now,
            timezone="Europe/Berlin",
            currency="EUR",
            domains=frozenset({"team.test"}),
            owner=OWNER,
            members=frozenset({OWNER, COLLEAGUE, "friend@elsewhere.test"}),
            mapping={},
            syncs=frozenset(),
            rate=lambda _currency, _day: None,
            settings={},
        ),
        **changes,
    )


def attendee(email: str, status: AttendeeStatus = "accepted") -> Attendee:
    return Attendee(email, status)


def occurrence(starts_at: datetime = START, length: timedelta = HOUR, **changes: Any) -> Occurrence:
    made = Occurrence(
        key=None,
        starts_at=starts_at,
        ends_at=starts_at + length,
        all_day=False,
        cancelled=False,
        title="Demo",
        organizer=OWNER,
        creator=None,
        attendees=(attendee(OWNER), attendee(CUSTOMER)),
        created_at=CREATED,
    )
    return replace(made, **changes)


def series(count: int, step: timedelta = WEEK, first: datetime = START, **changes: Any) -> list[Occurrence]:
    starts = [first + step * place for place in range(count)]
    return [occurrence(start, key=occurrence_key(start), **changes) for start in starts]


def told(mapped: Mapped) -> dict[str, dict[str, Any]]:
    """Records by their ids; each is one that can be taken in."""
    records: dict[str, dict[str, Any]] = {}
    for record in mapped.records:
        assert isinstance(record, dict)
        decode_mapping(record)
        assert record["externalId"] not in records
        records[record["externalId"]] = record
    return records


def sync(
    occurrences: Sequence[Occurrence], now: datetime, before: Mapped | None = None, uid: str = "u", **changes: Any
) -> Mapped:
    """Map, with a state that has been through the table."""
    state = None if before is None or before.state is None else orjson.loads(orjson.dumps(before.state))
    return meetings_of(uid, occurrences, context(now, **changes), state)


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


# What counts, and whose it is.


def counts(one: Occurrence, **changes: Any) -> bool:
    return bool(sync([one], START - DAY, **changes).records)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, True),
        ({"all_day": True}, False),
        ({"cancelled": True}, False),
        ({"attendees": ()}, False),
        ({"attendees": (attendee(OWNER), attendee(COLLEAGUE))}, False),
        ({"attendees": (attendee(OWNER), attendee("somebody@team.test"))}, False),
        ({"attendees": (attendee(OWNER), attendee("somebody@eu.team.test"))}, False),
        ({"attendees": (attendee(OWNER), attendee("somebody@notteam.test"))}, True),
        ({"attendees": (attendee(OWNER), attendee("friend@elsewhere.test"))}, False),
        ({"attendees": (attendee(OWNER), attendee("room-1@resource.calendar.google.com"))}, False),
        ({"attendees": (attendee(OWNER), attendee("no address"))}, False),
        ({"attendees": (attendee(OWNER), attendee(CUSTOMER, "declined"))}, False),
        ({"attendees": (attendee(CUSTOMER, "declined"), attendee("boss@customer.test", "needs_action"))}, True),
        ({"attendees": (attendee(OWNER, "declined"), attendee(CUSTOMER))}, False),
        ({"attendees": (attendee(OWNER, "tentative"), attendee(CUSTOMER, "tentative"))}, True),
        ({"attendees": (attendee(CUSTOMER),)}, True),
        ({"organizer": COLLEAGUE}, False),
        ({"organizer": CUSTOMER}, False),
        ({"organizer": None}, False),
        ({"organizer": CUSTOMER, "creator": OWNER}, True),
        ({"organizer": OWNER, "creator": COLLEAGUE}, False),
        ({"organizer": OWNER, "creator": CUSTOMER}, True),
        ({"organizer": OWNER, "creator": "assistant@team.test"}, True),
    ],
)
def test_what_counts_and_for_whom(changes: dict[str, Any], expected: bool) -> None:
    assert counts(occurrence(**changes)) is expected


@pytest.mark.parametrize("host", ["sideline", "google.com"])
def test_a_coaching_session_of_ours_is_no_meeting_whoever_is_invited(host: str) -> None:
    uid = f"{COACHING_UID}0190c2a4f5d07cf0a1b2c3d4e5f60718@{host}"
    assert meetings_of(uid, [occurrence()], context(START + DAY), None).records == ()
    assert len(meetings_of(f"not{uid}", [occurrence()], context(START + DAY), None).records) == 1


def test_a_connection_of_nobody_brings_nothing() -> None:
    assert not counts(occurrence(), owner=None)


def test_a_shared_meeting_is_counted_once() -> None:
    shared = occurrence(attendees=(attendee(OWNER), attendee(COLLEAGUE), attendee(CUSTOMER)))
    assert [counts(shared, owner=owner) for owner in (OWNER, COLLEAGUE)] == [True, False]


# When it was booked, and how it stands.


def test_a_single_meeting_from_booking_to_its_end() -> None:
    before = sync([occurrence()], CREATED - HOUR)
    assert (before.records, before.state, before.again_at) == ((), None, CREATED)
    booked = sync([occurrence()], CREATED, before)
    assert told(booked) == {
        "u": {
            "kind": "meeting",
            "externalId": "u",
            "user": OWNER,
            "occurredAt": CREATED.isoformat(),
            "startsAt": START.isoformat(),
            "endsAt": (START + HOUR).isoformat(),
            "title": "Demo",
            "status": "booked",
            "rescheduledCount": 0,
        }
    }
    assert booked.again_at == START + HOUR
    held = sync([occurrence()], START + HOUR, booked)
    assert (told(held)["u"]["status"], held.again_at) == ("held", None)


def test_a_series_books_its_next_when_the_last_is_over() -> None:
    found = told(sync(series(60), START + 2 * WEEK + DAY))
    assert [(one["occurredAt"], one["status"]) for one in found.values()] == [
        (CREATED.isoformat(), "held"),
        ((START + HOUR).isoformat(), "held"),
        ((START + WEEK + HOUR).isoformat(), "held"),
        ((START + 2 * WEEK + HOUR).isoformat(), "booked"),
    ]
    assert list(found) == [f"u/{occurrence_key(START + place * WEEK)}" for place in range(4)]


def test_only_counting_occurrences_are_in_the_chain() -> None:
    first, second, third = series(3)
    second = replace(second, cancelled=True)
    found = told(sync([first, second, third], START + DAY))
    assert [one["occurredAt"] for one in found.values()] == [CREATED.isoformat(), (START + HOUR).isoformat()]
    assert list(found)[1].endswith(str(third.key))


def test_again_at_is_when_something_changes() -> None:
    now = CREATED
    mapped = sync(series(4), now)
    for _ in range(4):
        assert mapped.again_at is not None
        assert told(sync(series(4), mapped.again_at - timedelta(seconds=1), mapped)) == told(mapped)
        changed = sync(series(4), mapped.again_at, mapped)
        assert told(changed) != told(mapped)
        mapped = changed
    assert mapped.again_at is None


def test_an_unknown_creation_is_when_it_was_seen_but_not_after_its_start() -> None:
    unknown = occurrence(created_at=None)
    seen = sync([unknown], START - DAY)
    assert told(seen)["u"]["occurredAt"] == (START - DAY).isoformat()
    assert told(sync([unknown], START + DAY, seen))["u"]["occurredAt"] == (START - DAY).isoformat()
    assert told(sync([unknown], START + DAY))["u"]["occurredAt"] == START.isoformat()
    later = told(sync(series(3, created_at=None), START + 3 * WEEK))
    assert [one["occurredAt"] for one in later.values()] == [
        START.isoformat(),
        (START + HOUR).isoformat(),
        (START + WEEK + HOUR).isoformat(),
    ]


def test_bookings_stay_in_the_years_of_records() -> None:
    ancient = occurrence(datetime(2011, 1, 3, 9, tzinfo=UTC), created_at=datetime(1999, 1, 1, tzinfo=UTC))
    assert told(sync([ancient], START))["u"]["occurredAt"] == "2010-01-01T00:00:00+00:00"
    assert not sync([occurrence(datetime(2009, 12, 31, 9, tzinfo=UTC))], START).records
    assert not sync([occurrence(LATEST, created_at=CREATED)], START).records
    across = series(3, first=datetime(2009, 12, 25, 9, tzinfo=UTC), created_at=datetime(2009, 12, 1, tzinfo=UTC))
    assert [one["occurredAt"] for one in told(sync(across, START)).values()] == [
        "2010-01-01T00:00:00+00:00",
        "2010-01-01T10:00:00+00:00",
    ]


def test_a_meeting_of_no_length_and_titles_that_do_not_fit() -> None:
    found = told(sync([occurrence(length=timedelta(), title="a\0b" + "x" * 3000)], START))["u"]
    assert found["status"] == "held"
    assert found["title"] == "ab" + "x" * 1998


def test_long_ids_are_digested() -> None:
    assert external_id("a" * 255, None) == "a" * 255
    for uid, key in (("a" * 256, None), ("a" * 250, "2026-03-02T09:00:00+00:00"), ("a\0b", None)):
        made = external_id(uid, key)
        assert len(made) <= 255
        assert "\0" not in made
        assert made.startswith("sha256:")
        assert made.endswith(key or "")
    assert external_id("a" * 300, None) != external_id("a" * 299, None)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"ends_at": START - HOUR}, "endsAt"),
        ({"starts_at": START.replace(tzinfo=None)}, "startsAt"),
        ({"created_at": START.replace(tzinfo=None)}, "createdAt"),
        ({"key": "yesterday"}, "key"),
        ({"key": "2026-03-02T09:00:00"}, "key"),
    ],
)
def test_nonsense_is_refused(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(RecordRefused) as refused:
        sync([occurrence(**changes)], START)
    assert refused.value.field == field


# Moves, cancellations, and what comes back.


def test_a_moved_meeting_is_booked_once() -> None:
    first = sync([occurrence()], CREATED)
    moved = sync([occurrence(START + DAY)], CREATED + HOUR, first)
    again = sync([occurrence(START + 2 * DAY)], CREATED + 2 * HOUR, moved)
    longer = sync([occurrence(START + 2 * DAY, 2 * HOUR)], CREATED + 3 * HOUR, again)
    assert [told(one)["u"]["rescheduledCount"] for one in (first, moved, again, longer)] == [0, 1, 2, 2]
    assert {told(one)["u"]["occurredAt"] for one in (first, moved, again, longer)} == {CREATED.isoformat()}
    assert told(longer)["u"]["endsAt"] == (START + 2 * DAY + 2 * HOUR).isoformat()


def test_a_meeting_that_is_moved_after_its_end_is_booked_again_for_later() -> None:
    held = sync([occurrence()], START + HOUR)
    moved = sync([occurrence(START + DAY)], START + 2 * HOUR, held)
    assert (told(moved)["u"]["status"], moved.again_at) == ("booked", START + DAY + HOUR)


@pytest.mark.parametrize(
    "off",
    [
        {"cancelled": True},
        {"cancelled": True, "attendees": (), "organizer": None},
        {"attendees": (attendee(OWNER), attendee(CUSTOMER, "declined"))},
        {"attendees": (attendee(OWNER, "declined"), attendee(CUSTOMER))},
    ],
)
def test_what_was_told_is_cancelled_and_comes_back(off: dict[str, Any]) -> None:
    booked = sync([occurrence()], CREATED)
    cancelled = sync([occurrence(**off)], CREATED + HOUR, booked)
    assert told(cancelled)["u"] == {**told(booked)["u"], "status": "cancelled"}
    assert cancelled.again_at is None
    assert not sync([occurrence(**off)], CREATED + HOUR).records
    back = sync([occurrence(START + DAY)], CREATED + 2 * HOUR, cancelled)
    assert (told(back)["u"]["status"], told(back)["u"]["rescheduledCount"]) == ("booked", 1)


@pytest.mark.parametrize("key", [None, occurrence_key(START)])
def test_what_is_no_meeting_of_the_owners_any_more_is_taken_back(key: str | None) -> None:
    booked = sync([occurrence(key=key)], CREATED)
    for no_more in ({"organizer": COLLEAGUE}, {"attendees": (attendee(OWNER),)}, {"all_day": True}):
        taken_back = sync([occurrence(key=key, **no_more)], CREATED + HOUR, booked)
        assert (taken_back.records, taken_back.state) == ((), None)


def test_what_goes_missing_from_a_series_is_cancelled() -> None:
    now = START + WEEK + DAY
    before = sync(series(20), now)
    after = sync([one for one in series(20) if one.starts_at != START + 2 * WEEK], now + HOUR, before)
    assert [one["status"] for one in told(after).values()] == ["held", "held", "cancelled", "booked"]
    # The next is booked in its place, and had been so since the last one ended.
    assert list(told(after).values())[3]["occurredAt"] == (START + WEEK + HOUR).isoformat()


def test_an_ended_series_cancels_what_was_to_come() -> None:
    now = START + WEEK + DAY
    before = sync(series(20), now)
    after = sync(series(2), now + HOUR, before)
    assert [one["status"] for one in told(after).values()] == ["held", "held", "cancelled"]
    assert after.again_at is None


# Series that are moved as a whole.


@pytest.mark.parametrize("shift", [HOUR, -HOUR, DAY, 3 * DAY, -2 * DAY])
@pytest.mark.parametrize(("weeks", "days"), [(1, 3), (5, 3), (30, 4), *((70, days) for days in range(4, 7))])
def test_a_series_that_is_moved_does_not_count_its_past_twice(shift: timedelta, weeks: int, days: int) -> None:
    now = START + weeks * WEEK - days * DAY
    before = sync(series(100), now)
    after = sync(series(100, first=START + shift), now + HOUR, before)
    old, new = told(before), told(after)
    # What is over stays, what was next is moved. In the week of the last that is over, another one comes.
    another = int(days in (5, 6) and shift == 3 * DAY)
    assert len(new) == len(old) + another
    assert [new[name] for name in old][:-1] == list(old.values())[:-1]
    upcoming = new[list(old)[-1]]
    assert upcoming["startsAt"] == (START + weeks * WEEK + shift).isoformat()
    assert (upcoming["rescheduledCount"], upcoming["status"]) == (1, "booked")
    # And so it goes on.
    end = told(sync(series(100, first=START + shift), now + 3 * WEEK + HOUR, after))
    assert [one["status"] for one in end.values()] == ["held"] * (weeks + 3) + ["booked"]
    assert [one["rescheduledCount"] for one in end.values()] == [0] * (weeks + another) + [1] + [0] * (3 - another)


def test_a_series_that_is_moved_again_and_again() -> None:
    now = START + 10 * WEEK + DAY
    mapped = sync(series(30), now)
    first = told(mapped)
    for moves in range(1, 5):
        mapped = sync(series(30, first=START - moves * 3 * DAY), now + moves * HOUR, mapped)
        # What was next is moved to before now, so what comes after it is next.
        assert len(mapped.records) == len(first) + (moves > 1)
        assert [told(mapped)[name] for name in first][:-1] == list(first.values())[:-1]


def test_what_stayed_alone_is_not_looked_for_again() -> None:
    now = START + 10 * WEEK - 5 * DAY
    before = sync(series(30), now)
    moved = sync(series(30, first=START + 3 * DAY), now + HOUR, before)
    assert len(moved.records) == len(before.records) + 1
    # The other one is over as well by the next move.
    later = sync(series(30, first=START + 3 * DAY), now + 4 * DAY, moved)
    again = sync(series(30, first=START + 3 * DAY + HOUR), now + 4 * DAY + HOUR, later)
    assert told(again).keys() == told(later).keys()
    for name, one in told(later).items():
        if one["status"] == "held":
            assert told(again)[name] == one
        else:
            assert told(again)[name]["startsAt"] == (moment(one["startsAt"]) + HOUR).isoformat()


def test_a_start_that_is_free_again_is_not_told_under_a_name_that_is_taken() -> None:
    before = sync(series(9), CREATED)
    moved = sync(series(9, first=START + HOUR), CREATED + HOUR, before)
    assert [one["startsAt"] for one in told(moved).values()] == [(START + HOUR).isoformat()]
    both = sync([*series(9, first=START + HOUR), *series(1)], CREATED + 2 * HOUR, moved)
    assert told(both) == told(moved)


def test_a_single_meeting_that_becomes_a_series_and_back() -> None:
    single = sync([occurrence()], CREATED)
    many = sync(series(10), CREATED + HOUR, single)
    assert told(many) == told(single)
    on = sync(series(10), START + DAY, many)
    assert list(told(on)) == ["u", f"u/{occurrence_key(START + WEEK)}"]
    back = sync([occurrence()], START + 2 * DAY, on)
    assert told(back)["u"]["status"] == "held"
    assert told(back)[f"u/{occurrence_key(START + WEEK)}"]["status"] == "cancelled"


def test_one_that_goes_missing_is_not_taken_for_another() -> None:
    step = 12 * HOUR
    now = START + 10 * step - HOUR
    before = sync(series(60, step), now)
    # The next is cancelled, and nobody looks for a week, in which others are over.
    left = [one for one in series(60, step) if one.starts_at != START + 10 * step]
    after = told(sync(left, now + WEEK, before))
    assert after[f"u/{occurrence_key(START + 10 * step)}"]["status"] == "cancelled"
    assert [one["status"] for one in after.values()].count("held") == 23


def test_the_last_that_is_left_is_not_taken_for_the_first() -> None:
    four = series(4, 2 * DAY)
    before = sync(four, CREATED)
    after = told(sync(four[3:], CREATED + HOUR, before))
    assert [(one["status"], one["rescheduledCount"]) for one in after.values()] == [("cancelled", 0), ("booked", 0)]


# What is long ago.


def test_what_is_long_ago_stays_and_the_state_stays_small() -> None:
    weeks = 5 * 52
    now = START + weeks * WEEK + DAY
    everything = series(weeks + 10)
    first = sync(everything, now)
    assert len(first.records) == weeks + 2
    assert len(orjson.dumps(first.state)) < 20 * weeks
    recent = [one for one in everything if one.ends_at >= now - LOOK_BACK]
    assert told(sync(recent, now, first)) == told(first)
    # Whatever is done to the past in the calendar, or to all of the series.
    renamed = [
        replace(one, title="Other", starts_at=one.starts_at + HOUR, ends_at=one.ends_at + HOUR) for one in recent
    ]
    after = told(sync(renamed, now, first))
    old = [name for name, one in told(first).items() if moment(one["endsAt"]) < now - LOOK_BACK]
    assert len(old) > 200
    assert {name: after[name] for name in old} == {name: told(first)[name] for name in old}
    emptied = told(sync([], now, first))
    assert set(emptied) == set(told(first))
    assert {emptied[name]["status"] for name in old} == {"held"}
    assert {one["status"] for name, one in emptied.items() if name not in old} == {"cancelled"}


def test_what_was_never_told_of_long_ago_is_not_told_late() -> None:
    now = datetime(2026, 3, 2, tzinfo=UTC)
    internal = replace(occurrence(now - 500 * DAY, key=occurrence_key(now - 500 * DAY)), attendees=(attendee(OWNER),))
    recent = occurrence(now - 10 * DAY, key=occurrence_key(now - 10 * DAY))
    before = sync([internal, recent], now)
    assert len(before.records) == 1
    opened = replace(internal, attendees=(attendee(CUSTOMER),))
    assert told(sync([opened, recent], now, before)) == told(before)


def test_a_meeting_nobody_looked_at_for_years_was_held() -> None:
    booked = sync(series(3), START + HOUR)
    assert [one["status"] for one in told(booked).values()] == ["held", "booked"]
    much_later = START + 1000 * DAY
    assert [one["status"] for one in told(sync(series(3), much_later, booked)).values()] == ["held"] * 3
    assert [one["status"] for one in told(sync([], much_later, booked)).values()] == ["held"] * 2


@pytest.mark.parametrize("step", [399 * DAY, 401 * DAY, 500 * DAY])
def test_a_series_with_years_in_between_is_booked_one_after_the_other(step: timedelta) -> None:
    rare = series(5, step)
    mapped = None
    for days in range(0, 4 * step.days, 30):
        mapped = sync(rare, START + days * DAY, mapped)
        assert told(mapped) == told(sync(rare, START + days * DAY))
    assert mapped is not None
    assert [one["occurredAt"] for one in told(mapped).values()] == [
        CREATED.isoformat(),
        *((START + place * step + HOUR).isoformat() for place in range(4)),
    ]


def test_what_is_settled_is_still_the_one_before() -> None:
    first, second = series(2, 500 * DAY)
    declined = replace(second, attendees=(attendee(CUSTOMER, "declined"),))
    mapped = sync([first, declined], START + DAY)
    mapped = sync([first, declined], START + 420 * DAY, mapped)
    accepted = told(sync([second], START + 450 * DAY, mapped))
    assert [one["occurredAt"] for one in accepted.values()] == [CREATED.isoformat(), (START + HOUR).isoformat()]


# An independent count.


@dataclass(frozen=True)
class Plan:
    """A series by the wall clock of Berlin.

    Args:
        first: Its first day, from 2026-01-01 on.
        step: Days from one to the next.
        count: How many.
        hour: When it starts.
        minutes: How long it takes.
        created: How many days before its first day it was made; after it, below 0.
        off: Places that are cancelled, declined or missing.
        moved: Minutes by which places are moved.
    """

    first: int
    step: int
    count: int
    hour: int
    minutes: int
    created: int
    off: dict[int, str]
    moved: dict[int, int]

    def original(self, place: int) -> datetime:
        day = datetime(2026, 1, 1, self.hour) + timedelta(days=self.first + self.step * place)
        return day.replace(tzinfo=BERLIN).astimezone(UTC)

    def starts(self, place: int) -> datetime:
        return self.original(place) + timedelta(minutes=self.moved.get(place, 0))

    def ends(self, place: int) -> datetime:
        return self.starts(place) + timedelta(minutes=self.minutes)

    @property
    def created_at(self) -> datetime:
        return self.original(0) - timedelta(days=self.created)

    def occurrences(self) -> list[Occurrence]:
        made = []
        for place in range(self.count):
            off = self.off.get(place)
            if off == "missing":
                continue
            made.append(
                occurrence(
                    self.starts(place),
                    timedelta(minutes=self.minutes),
                    key=occurrence_key(self.original(place)),
                    created_at=self.created_at,
                    cancelled=off == "cancelled",
                    attendees=(
                        attendee(OWNER),
                        attendee(CUSTOMER, "declined" if off == "declined" else "accepted"),
                    ),
                )
            )
        return made

    def expected(self, now: datetime) -> dict[str, tuple[str, str, str]]:
        """By id: when it was booked, when it starts, how it stands. Counted by hand, one occurrence after another."""
        found = {}
        previous_end = None
        for place in sorted((place for place in range(self.count) if place not in self.off), key=self.starts):
            booked = self.created_at
            if previous_end is not None and previous_end > booked:
                booked = previous_end
            previous_end = self.ends(place)
            if booked <= now:
                status = "held" if self.ends(place) <= now else "booked"
                key = self.original(place).strftime("%Y-%m-%dT%H:%M:%S+00:00")
                found[f"u/{key}"] = (booked.isoformat(), self.starts(place).isoformat(), status)
        return found


def summary(mapped: Mapped) -> dict[str, tuple[str, str, str]]:
    return {name: (one["occurredAt"], one["startsAt"], one["status"]) for name, one in told(mapped).items()}


@st.composite
def plans(draw: st.DrawFn, most: int = 80) -> Plan:
    step = draw(st.sampled_from([1, 2, 7, 7, 14, 28]))
    count = draw(st.integers(1, most))
    places = st.integers(0, count - 1)
    return Plan(
        first=draw(st.integers(0, 120)),
        step=step,
        count=count,
        hour=draw(st.integers(5, 20)),
        minutes=draw(st.integers(0, 240)),
        created=draw(st.integers(-5 * step, 30)),
        off=draw(st.dictionaries(places, st.sampled_from(["cancelled", "declined", "missing"]), max_size=6)),
        moved=draw(st.dictionaries(places, st.integers(-step * 1440, step * 1440), max_size=6)),
    )


def clocks(most: timedelta) -> st.SearchStrategy[list[datetime]]:
    """Times of syncs, in their order; none is more than `most` after the one before."""
    gaps = st.lists(st.integers(0, int(most.total_seconds() // 60)), min_size=1, max_size=14)

    def times(minutes: list[int]) -> list[datetime]:
        now, found = datetime(2025, 12, 1, tzinfo=UTC), []
        for gap in minutes:
            now += timedelta(minutes=gap)
            found.append(now)
        return found

    return gaps.map(times)


PROPERTY = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@PROPERTY
@given(plans(), clocks(900 * DAY))
def test_any_number_of_syncs_ends_as_one_does(plan: Plan, nows: list[datetime]) -> None:
    mapped = None
    for now in nows:
        mapped = sync(plan.occurrences(), now, mapped)
        assert summary(mapped) == plan.expected(now)
        assert {one["rescheduledCount"] for one in told(mapped).values()} <= {0}
    assert mapped is not None
    assert told(mapped) == told(sync(plan.occurrences(), nows[-1]))


@PROPERTY
@given(plans(), clocks(60 * DAY))
def test_a_window_of_a_calendar_is_as_good_as_all_of_it(plan: Plan, nows: list[datetime]) -> None:
    mapped = None
    for now in nows:
        listed = plan.occurrences()
        if mapped is not None:
            ahead = sorted(one.starts_at for one in listed if one.ends_at > now and not one.cancelled)
            until = ahead[UPCOMING - 1] if len(ahead) >= UPCOMING else None
            listed = [
                one
                for one in listed
                if one.ends_at >= now - LOOK_BACK and (until is None or one.starts_at <= until or one.cancelled)
            ]
        mapped = sync(listed, now, mapped)
        assert summary(mapped) == plan.expected(now)


@PROPERTY
@given(plans(30), clocks(9 * DAY), st.data())
def test_moves_of_what_is_to_come_change_nothing_but_times(
    plan: Plan, nows: list[datetime], data: st.DataObject
) -> None:
    plan = replace(plan, moved={})
    mapped, seen = None, dict[int, datetime]()
    moves = dict[int, int]()
    for now in nows:
        # Between two syncs, some that have not ended are moved, none past its neighbours, none into the past.
        for place in data.draw(st.lists(st.integers(0, plan.count - 1), max_size=3)):
            slack = plan.step * 1440 - plan.minutes - 1
            moved = replace(plan, moved={**plan.moved, place: data.draw(st.integers(0, max(slack // 2, 0)))})
            if plan.ends(place) > now and moved.starts(place) >= now:
                plan = moved
        mapped = sync(plan.occurrences(), now, mapped)
        for place in range(plan.count):
            if f"u/{occurrence_key(plan.original(place))}" in told(mapped):
                moves[place] = moves.get(place, 0) + (seen.get(place, plan.starts(place)) != plan.starts(place))
                seen[place] = plan.starts(place)
    assert mapped is not None
    assert summary(mapped) == plan.expected(nows[-1])
    assert summary(mapped) == summary(sync(plan.occurrences(), nows[-1]))
    for place, expected in moves.items():
        assert told(mapped)[f"u/{occurrence_key(plan.original(place))}"]["rescheduledCount"] == expected


def changed(plan: Plan, data: st.DataObject) -> Plan:
    """The plan after a few changes of any kind."""
    for _ in range(data.draw(st.integers(0, 3))):
        place = data.draw(st.integers(0, plan.count - 1))
        kind = data.draw(st.sampled_from(["off", "on", "move", "longer"]))
        if kind == "off":
            off = data.draw(st.sampled_from(["cancelled", "declined", "missing"]))
            plan = replace(plan, off={**plan.off, place: off})
        elif kind == "on":
            plan = replace(plan, off={other: off for other, off in plan.off.items() if other != place})
        elif kind == "move":
            plan = replace(plan, moved={**plan.moved, place: data.draw(st.integers(-20_000, 20_000))})
        else:
            plan = replace(plan, minutes=data.draw(st.integers(0, 240)))
    return plan


@PROPERTY
@given(plans(30), clocks(20 * DAY), st.data())
def test_what_was_told_stays_told_whatever_is_changed(plan: Plan, nows: list[datetime], data: st.DataObject) -> None:
    mapped, bookings = None, dict[str, str]()
    counts_of_moves = dict[str, int]()
    for now in nows:
        plan = changed(plan, data)
        # So many missing at once would be a series that was moved as a whole.
        if sum(off == "missing" for off in plan.off.values()) * 3 > min(plan.count, UPCOMING):
            plan = replace(plan, off={})
        mapped = sync(plan.occurrences(), now, mapped)
        found, fresh = told(mapped), summary(sync(plan.occurrences(), now))
        for name, one in found.items():
            assert bookings.setdefault(name, one["occurredAt"]) == one["occurredAt"]
            assert one["rescheduledCount"] >= counts_of_moves.get(name, 0)
            counts_of_moves[name] = one["rescheduledCount"]
            if name in fresh:
                assert (one["startsAt"], one["status"]) == fresh[name][1:]
        assert bookings.keys() <= found.keys()
        assert fresh.keys() <= found.keys()
        on = {f"u/{occurrence_key(plan.original(place))}" for place in range(plan.count) if place not in plan.off}
        assert {name for name, one in found.items() if one["status"] == "cancelled"} == set(found) - on


def shifted(occurrences: Iterable[Occurrence], by: timedelta) -> list[Occurrence]:
    """The occurrences of a series that was moved as a whole: their original starts are others."""
    return [
        replace(
            one,
            key=occurrence_key(moment(str(one.key)) + by),
            starts_at=one.starts_at + by,
            ends_at=one.ends_at + by,
        )
        for one in occurrences
    ]


@PROPERTY
@given(
    plans(60),
    clocks(30 * DAY),
    st.dictionaries(st.integers(1, 13), st.integers(-3 * 1440, 3 * 1440).filter(bool), min_size=1, max_size=4),
)
@example(Plan(0, 7, 40, 9, 30, 3, {}, {}), [datetime(2026, month, 1, tzinfo=UTC) for month in range(2, 9)], {1: 60})
@example(
    Plan(0, 7, 40, 9, 30, 3, {}, {}),
    [datetime(2026, month, 1, tzinfo=UTC) for month in range(2, 9)],
    {1: 60, 3: 30, 5: -90, 6: 60},
)
def test_a_series_moved_at_any_time_tells_nothing_twice(
    plan: Plan, nows: list[datetime], shifts: dict[int, int]
) -> None:
    plan = replace(plan, off={}, moved={}, step=max(plan.step, 7), minutes=max(plan.minutes, 1))
    before = after = None
    by, moves = timedelta(), 0
    for place, now in enumerate(nows):
        if place in shifts:
            by += timedelta(minutes=shifts[place])
            moves += 1
        before, after = after, sync(shifted(plan.occurrences(), by), now, after)
        if before is not None:
            old, new = told(before), told(after)
            assert old.keys() <= new.keys()
            for name, one in old.items():
                assert new[name]["occurredAt"] == one["occurredAt"]
                assert new[name]["status"] != "cancelled"
                if one["status"] == "held":
                    assert new[name] == one
    assert after is not None
    # As many as there would be without a move, give or take the one whose turn comes earlier or later by each.
    assert abs(len(after.records) - len(plan.expected(nows[-1]))) <= moves + 1


@PROPERTY
@given(
    st.lists(
        st.tuples(
            st.one_of(st.none(), st.integers(-(10**9), 4 * 10**9)),
            st.integers(-(10**6), 10**6),
            st.integers(0, 10**5),
            st.integers(-(10**9), 2 * 10**9),
            st.sampled_from(["held", "booked", "cancelled"]),
            st.integers(0, 5),
            st.one_of(st.none(), st.text(max_size=5)),
            st.sampled_from(["", "moved", "alone"]),
            st.one_of(st.none(), st.integers(-(10**9), 4 * 10**9)),
        ),
        max_size=12,
    )
)
def test_a_state_holds_what_was_put_into_it(parts: Iterable[tuple[Any, ...]]) -> None:
    from domain.meetings import _packed, _remembered, _Row

    rows = [
        _Row(
            key=key,
            current=current,
            starts=(key or 0) + offset,
            ends=(key or 0) + offset + length,
            booked=booked,
            status=status,
            moves=moves,
            title=title,
            kept=kept,
        )
        for key, offset, length, booked, status, moves, title, kept, current in parts
    ]
    state = orjson.loads(orjson.dumps(_packed(rows, [1, 2], START)))
    memory = _remembered(state)
    assert memory.rows == rows
    assert memory.upcoming == {1, 2}
    assert memory.settled_before == int((START - LOOK_BACK).timestamp())
