"""Google Calendar, against a double of its API.

Invariants:
A. A sync brings all meetings, single and of series, and one that finds nothing new is one request.
B. Whatever happens to an event or to one instance of a series shows after the next sync, once; killed between pages,
   a sync goes on and comes to the same.
C. Tokens that Google does not know any more, and three months, make a full listing; nothing old is lost by it.
D. Errors are told for what they are.
E. Nothing that Google says in place of an event raises anything but RecordRefused.
F. Only what a meeting is made of is fetched.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.connectors import (
    CursorExpired,
    Document,
    Mapped,
    RateLimited,
    RemoteRefused,
    RemoteUnavailable,
    SignInNeeded,
)
from domain.records import MeetingRecord, RecordRefused, decode_mapping
from tests.doubles.base import Fault
from tests.doubles.google_calendar import EVENTS_SCOPE, GoogleCalendarDouble, _parse_fields, _selected
from tests.workers.connectors.session import TestSession, pull_all
from tests.workers.connectors.shelf import COLLEAGUE, OWNER, Shelf, context_at
from workers.connectors import all_connectors
from workers.connectors.google_calendar import client, connector

NOW = datetime(2026, 3, 20, 12, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def double() -> Iterator[GoogleCalendarDouble]:
    with GoogleCalendarDouble() as running:
        running.clock = lambda: NOW
        yield running


@pytest.fixture(scope="module")
def untouched() -> Iterator[GoogleCalendarDouble]:
    """A double for tests that leave it as it is."""
    with GoogleCalendarDouble() as running:
        yield running


def session_with(double: GoogleCalendarDouble) -> TestSession:
    return TestSession(double.base_url, double.settings, double.secrets, manifest=connector.manifest, now=NOW)


@pytest.fixture
async def session(double: GoogleCalendarDouble) -> AsyncIterator[TestSession]:
    async with session_with(double) as opened:
        yield opened


@pytest.fixture
def shelf(session: TestSession) -> Shelf:
    return Shelf(connector, session)


def weekly(double: GoogleCalendarDouble, first: datetime, count: int, **more: Any) -> str:
    """A series; its id."""
    return double.put_event(first, step=7 * DAY, count=count, created=first - DAY, **more)


async def test_it_is_found_by_its_kind() -> None:
    assert all_connectors()["google_calendar"] is connector
    assert connector.manifest.keeps_documents
    assert connector.manifest.oauth is not None
    assert all(scope.reason for scope in connector.manifest.oauth.scopes)


# A.


async def test_a_sync_brings_all_meetings(double: GoogleCalendarDouble, shelf: Shelf) -> None:
    expected = double.add(600)
    await shelf.sync()
    assert set(shelf.meetings) == set(expected)
    assert all(one["user"] == OWNER for one in shelf.meetings.values())
    assert all(isinstance(decode_mapping(one), MeetingRecord) for one in shelf.meetings.values())
    before = len(double.requests)
    await shelf.sync()
    assert len(double.requests) == before + 1


async def test_a_series_is_one_document_with_all_its_instances(double: GoogleCalendarDouble, shelf: Shelf) -> None:
    double.page_limit = 2
    series = weekly(double, NOW - 21 * DAY, 5)
    await shelf.sync()
    document = shelf.documents["event", series]
    assert len(document.data["instances"]) == 5
    originals = double.originals(series)
    told = [f"{series}@google.com/{one.astimezone(UTC).isoformat()}" for one in originals]
    # Three are over, and the fourth was booked at the end of the third; the fifth is not booked yet.
    assert list(shelf.meetings) == told[:4]
    assert [one["status"] for one in shelf.meetings.values()] == ["held", "held", "held", "booked"]


async def test_instances_keep_their_hour_when_clocks_change(double: GoogleCalendarDouble, shelf: Shelf) -> None:
    series = weekly(double, datetime(2026, 3, 19, 9, tzinfo=UTC), 3)  # 10:00 in Berlin; summer time begins on 29 March
    shelf.session.now = NOW + 20 * DAY
    await shelf.sync()
    assert [one["startsAt"] for one in shelf.meetings.values()] == [
        "2026-03-19T09:00:00+00:00",
        "2026-03-26T09:00:00+00:00",
        "2026-04-02T08:00:00+00:00",
    ]
    assert {name.partition("/")[0] for name in shelf.meetings} == {f"{series}@google.com"}


async def test_what_ended_before_the_first_day_is_left_out(double: GoogleCalendarDouble, shelf: Shelf) -> None:
    old = double.put_event(NOW - 500 * DAY)
    weekly(double, NOW - 900 * DAY, 4)
    recent = double.put_event(NOW - 300 * DAY, created=NOW - 301 * DAY)
    await shelf.sync()
    assert set(shelf.meetings) == {f"{recent}@google.com"}
    double.put(replace(double.events[old], summary="Renamed long after"))
    await shelf.sync()
    assert set(shelf.meetings) == {f"{recent}@google.com"}


async def test_a_first_day_may_be_chosen(double: GoogleCalendarDouble, shelf: Shelf) -> None:
    old = double.put_event(NOW - 500 * DAY, created=NOW - 501 * DAY)
    shelf.session.settings["since"] = "2024-01-01"
    await shelf.sync()
    assert set(shelf.meetings) == {f"{old}@google.com"}
    shelf.session.settings["since"] = "2026-01-01"
    await shelf.sync()
    assert shelf.meetings == {}


@pytest.mark.parametrize("said", ["yesterday", "2026-13-01", "2030-01-01"])
async def test_a_first_day_that_is_none_is_refused(untouched: GoogleCalendarDouble, said: str) -> None:
    async with session_with(untouched) as session:
        session.settings["since"] = said
        with pytest.raises(RemoteRefused, match="since"):
            await connector.check(session)
        with pytest.raises(RemoteRefused, match="since"):
            await connector.pull(session, None)


# B.


async def test_changes_show_after_the_next_sync(double: GoogleCalendarDouble, shelf: Shelf) -> None:
    changed, removed, spoiled, kept = double.add(4)
    await shelf.sync()
    double.change(changed)
    double.remove(removed)
    double.spoil(spoiled)
    [added] = double.add(1)
    await shelf.sync()
    assert shelf.meetings[changed]["title"] == "Demo 0 (changed)"
    assert removed not in shelf.meetings
    assert added in shelf.meetings
    assert kept in shelf.meetings
    [refusal] = shelf.refused.values()
    assert (refusal.code, refusal.field) == ("INVALID", "start")
    double.mend(spoiled)
    await shelf.sync()
    assert shelf.refused == {}
    assert set(shelf.meetings) == {changed, spoiled, kept, added}


async def test_a_moved_meeting_is_the_same_meeting(double: GoogleCalendarDouble, shelf: Shelf) -> None:
    event_id = double.put_event(NOW + DAY)
    await shelf.sync()
    event = double.events[event_id]
    double.put(replace(event, start=event.start + DAY, end=event.end + DAY))
    await shelf.sync()
    [meeting] = shelf.meetings.values()
    assert (meeting["rescheduledCount"], meeting["startsAt"]) == (1, (NOW + 2 * DAY).isoformat())


async def test_an_instance_that_changes_brings_its_whole_series(double: GoogleCalendarDouble, shelf: Shelf) -> None:
    series = weekly(double, NOW - 13 * DAY, 6)
    first, second, third, *_ = double.originals(series)
    await shelf.sync()
    names = list(shelf.meetings)
    assert len(names) == 3
    double.put_instance(series, third, start=third + timedelta(hours=3), end=third + timedelta(hours=4))
    double.put_instance(series, second, cancelled=True)
    before = len(double.requests)
    await shelf.sync()
    assert double.requests[before:] == [
        "/calendar/v3/calendars/primary/events",
        f"/calendar/v3/calendars/primary/events/{series}",
        f"/calendar/v3/calendars/primary/events/{series}/instances",
    ]
    told = [shelf.meetings[name] for name in names]
    assert [one["status"] for one in told] == ["held", "cancelled", "booked"]
    assert [one["rescheduledCount"] for one in told] == [0, 0, 1]
    assert told[2]["startsAt"] == (third + timedelta(hours=3)).astimezone(UTC).isoformat()
    assert first.astimezone(UTC).isoformat() in names[0]


async def test_a_series_is_kept_without_what_its_instances_have_in_common(
    double: GoogleCalendarDouble, shelf: Shelf
) -> None:
    series = weekly(double, NOW - 20 * DAY, 5)
    originals = double.originals(series)
    double.put_instance(series, originals[1], attendees=(), summary="Nobody else")
    double.put_instance(series, originals[3], cancelled=True)
    await shelf.sync()
    plain, exception, _, cancelled, _ = shelf.documents["event", series].data["instances"]
    assert set(plain) == {"originalStartTime"}
    assert exception["summary"] == "Nobody else"
    assert exception["attendees"] == []
    assert cancelled["status"] == "cancelled"
    assert [one["startsAt"] for one in shelf.meetings.values()] == [
        originals[place].astimezone(UTC).isoformat() for place in (0, 2, 4)
    ]


async def test_a_deleted_series_goes_as_a_whole(double: GoogleCalendarDouble, shelf: Shelf) -> None:
    series = weekly(double, NOW - 13 * DAY, 6)
    double.put_instance(series, double.originals(series)[1], summary="Another title")
    await shelf.sync()
    assert shelf.meetings
    double.put_instance(series, double.originals(series)[2], cancelled=True)
    double.delete(series)
    await shelf.sync()
    assert shelf.documents == {}
    assert shelf.meetings == {}


async def test_an_instance_whose_series_is_not_in_the_calendar_is_nobodys(
    double: GoogleCalendarDouble, shelf: Shelf
) -> None:
    series = weekly(double, NOW - 13 * DAY, 6)
    double.put_instance(series, double.originals(series)[0], summary="Come to this one")
    del double.events[series]
    await shelf.sync()
    assert shelf.documents == {}


async def test_a_page_that_was_not_committed_comes_again(double: GoogleCalendarDouble, session: TestSession) -> None:
    double.page_limit = 5
    singles = double.add(12)
    series = [weekly(double, NOW - 13 * DAY + timedelta(minutes=number), 2) for number in range(12)]
    cursor: Any = None
    seen: list[Document] = []
    done = False
    while not done:
        killed, page = await connector.pull(session, cursor), await connector.pull(session, cursor)
        assert list(killed.documents) == list(page.documents)
        assert len(page.documents) <= client.LIST_SIZE
        seen += page.documents
        cursor, done = orjson.loads(orjson.dumps(page.cursor)), page.done
    assert sorted(one.id for one in seen) == sorted([name.removesuffix("@google.com") for name in singles] + series)
    pages, _ = await pull_all(connector, session, cursor)
    assert [len(page.documents) for page in pages] == [0]


async def test_what_changes_during_a_listing_is_not_missed(double: GoogleCalendarDouble, session: TestSession) -> None:
    double.page_limit = 5
    names = double.add(12)
    first = await connector.pull(session, None)
    assert first.begins_full
    double.change(names[0])
    [added] = double.add(1)
    pages, cursor = await pull_all(connector, session, first.cursor)
    later, _ = await pull_all(connector, session, cursor)
    told = [document for page in (*pages, *later) for document in page.documents]
    assert not any(page.begins_full for page in (*pages, *later))
    assert {f"{document.id}@google.com" for document in told} >= {names[0], added}


# C.


async def test_tokens_that_are_gone_make_a_full_listing(double: GoogleCalendarDouble, shelf: Shelf) -> None:
    kept, removed = double.add(2)
    await shelf.sync()
    double.remove(removed)
    double.expire_sync_tokens()
    with pytest.raises(CursorExpired):
        await connector.pull(shelf.session, shelf.cursor)
    await shelf.sync()
    assert set(shelf.meetings) == {kept}


async def test_a_page_token_that_is_gone_makes_a_full_listing(
    double: GoogleCalendarDouble, session: TestSession
) -> None:
    double.page_limit = 5
    double.add(12)
    page = await connector.pull(session, None)
    double._listings.clear()
    with pytest.raises(CursorExpired):
        await connector.pull(session, page.cursor)


async def test_everything_is_listed_anew_after_90_days_and_nothing_old_is_lost(
    double: GoogleCalendarDouble, shelf: Shelf
) -> None:
    old = double.put_event(NOW - 400 * DAY, created=NOW - 401 * DAY)
    series = double.put_event(NOW, step=7 * DAY, count=120, created=NOW - DAY)
    await shelf.sync()
    assert len(shelf.documents["event", series].data["instances"]) == 58
    assert f"{old}@google.com" in shelf.meetings
    shelf.session.now = NOW + 89 * DAY
    before = len(double.requests)
    await shelf.sync()
    assert len(double.requests) == before + 1
    shelf.session.now = NOW + 91 * DAY
    await shelf.sync()
    assert len(shelf.documents["event", series].data["instances"]) == 71
    assert shelf.meetings[f"{old}@google.com"]["status"] == "held"


# D.


async def test_a_check_tells_whose_calendar_it_is(session: TestSession) -> None:
    account = await connector.check(session)
    assert (account.name, account.id) == (OWNER, OWNER)
    assert account.settings == {"since": "2025-02-06"}
    session.settings["since"] = "2025-06-01"
    assert (await connector.check(session)).settings == {"since": "2025-06-01"}


async def test_a_permission_that_was_not_ticked_is_asked_for(
    double: GoogleCalendarDouble, session: TestSession
) -> None:
    double.granted.discard(EVENTS_SCOPE)
    with pytest.raises(SignInNeeded, match="ticked"):
        await connector.check(session)
    with pytest.raises(SignInNeeded, match="ticked"):
        await connector.pull(session, None)


async def test_a_token_that_ended_is_refreshed_and_a_revoked_one_is_not(
    double: GoogleCalendarDouble, session: TestSession
) -> None:
    double.tokens.end_access()
    await connector.check(session)
    assert session.refreshed == 1
    double.tokens.revoke()
    with pytest.raises(SignInNeeded):
        await connector.check(session)


@pytest.mark.parametrize("status", [403, 429])
async def test_a_rate_limit_is_waited_for(double: GoogleCalendarDouble, session: TestSession, status: int) -> None:
    double.limit_status, double.requests_a_minute = status, 1
    await connector.pull(session, None)
    with pytest.raises(RateLimited) as refused:
        await connector.pull(session, None)
    assert refused.value.retry_after_seconds >= 1


@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        (Fault(status=500), RemoteUnavailable),
        (Fault(status=503, headers={"retry-after": "7"}), RateLimited),
        (Fault(status=403, body='{"error": {"errors": [{"reason": "accessNotConfigured"}]}}'), RemoteRefused),
        (Fault(status=403, body='{"error": {"message": "Not for you", "errors": null}}'), RemoteRefused),
        (Fault(status=403, body="<html>"), RemoteRefused),
        (
            Fault(status=403, body='{"error": {"details": [{"reason": "ACCESS_TOKEN_SCOPE_INSUFFICIENT"}]}}'),
            SignInNeeded,
        ),
        (Fault(status=400, body='{"error": {"errors": [{"reason": "badRequest"}]}}'), RemoteRefused),
        (Fault(status=200, body="<html>"), RemoteUnavailable),
        (Fault(status=200, body="[]"), RemoteUnavailable),
        (Fault(status=200, body='{"items": {}}'), RemoteUnavailable),
        (Fault(status=200, body='{"items": []}'), RemoteUnavailable),
        (Fault(cut=True), RemoteUnavailable),
    ],
)
async def test_what_goes_wrong_is_told(untouched: GoogleCalendarDouble, fault: Fault, problem: type[Exception]) -> None:
    untouched.faults.append(fault)
    async with session_with(untouched) as session:
        with pytest.raises(problem):
            await connector.pull(session, None)


async def test_a_series_that_vanishes_while_it_is_fetched_is_gone(double: GoogleCalendarDouble, shelf: Shelf) -> None:
    series = weekly(double, NOW - 13 * DAY, 6)
    await shelf.sync()
    double.put_instance(series, double.originals(series)[0], summary="Other")
    page = await connector.pull(shelf.session, shelf.cursor)
    assert page.cursor["series"] == [series]
    double.faults.extend([Fault(), Fault(status=410, body='{"error": {}}')])
    page = await connector.pull(shelf.session, page.cursor)
    assert page.documents == [Document("event", series, deleted=True)]
    assert page.done


# E.


async def test_events_without_a_shape_are_refused_and_the_rest_goes_on(
    double: GoogleCalendarDouble, shelf: Shelf
) -> None:
    names = double.add(3)

    def mangle(answer: dict[str, Any]) -> dict[str, Any]:
        answer["items"] += [None, 7, {"summary": "no id"}, {"id": "strange", "start": 5, "eventType": "somethingNew"}]
        answer["items"] += [
            {"id": "odd", "eventType": ["x"], "recurringEventId": ""},
            {"id": "long\0" * 200, "start": 5},
        ]
        return answer

    double.faults.append(Fault(mangle=mangle))
    await shelf.sync()
    assert set(shelf.meetings) == set(names)
    assert len(shelf.refused) == 6
    assert all(len(document_id) <= 512 and "\0" not in document_id for _, document_id in shelf.documents)


async def test_half_a_surrogate_pair_is_no_reason_to_stop(double: GoogleCalendarDouble, shelf: Shelf) -> None:
    event = '{"id": "a", "iCalUID": "a@x", "summary": "Cut \\ud83d", "start": {"date": "2026-03-01"}}'
    double.faults.append(Fault(status=200, body=f'{{"items": [{event}], "nextSyncToken": "sync-1-0"}}'))
    await shelf.sync()
    assert shelf.documents["event", "a"].data["summary"] == "Cut ?"


EVENT: dict[str, Any] = {
    "id": "one",
    "iCalUID": "one@google.com",
    "status": "confirmed",
    "eventType": "default",
    "created": "2026-03-10T10:00:00.000Z",
    "summary": "Demo",
    "creator": {"email": OWNER},
    "organizer": {"email": OWNER},
    "attendees": [
        {"email": OWNER, "responseStatus": "accepted"},
        {"email": "ann@customer.test", "responseStatus": "needsAction"},
    ],
    "start": {"dateTime": "2026-03-22T10:00:00+01:00"},
    "end": {"dateTime": "2026-03-22T11:00:00+01:00"},
}


def records(data: Any, state: Any = None) -> list[Any]:
    return list(connector.map(Document("event", "one", data), context_at(NOW), state).records)


def test_an_event_is_read_as_a_meeting() -> None:
    assert records(EVENT) == [
        {
            "kind": "meeting",
            "externalId": "one@google.com",
            "user": OWNER,
            "occurredAt": "2026-03-10T10:00:00+00:00",
            "startsAt": "2026-03-22T09:00:00+00:00",
            "endsAt": "2026-03-22T10:00:00+00:00",
            "title": "Demo",
            "status": "booked",
            "rescheduledCount": 0,
        }
    ]


@pytest.mark.parametrize(
    "change",
    [
        {"eventType": "outOfOffice"},
        {"eventType": "focusTime"},
        {"eventType": "workingLocation"},
        {"eventType": "birthday"},
        {"start": {"date": "2026-03-22"}, "end": {"date": "2026-03-23"}},
        {"attendees": [{"email": OWNER}, {"email": COLLEAGUE}]},
        {"attendees": [{"email": "ann@customer.test", "resource": True}]},
        {"attendees": [{"email": "room@resource.calendar.google.com"}]},
        {"attendees": [{"email": "ann@customer.test", "responseStatus": "declined"}]},
        {"attendees": [{"email": OWNER, "responseStatus": "declined"}, {"email": "ann@customer.test"}]},
        {"attendees": None},
        {"attendees": [{"displayName": "Somebody"}]},
        {"creator": {"email": COLLEAGUE}},
        {"creator": {"email": "ann@customer.test"}, "organizer": {"email": "ann@customer.test"}},
        {"creator": None, "organizer": None},
        {"status": "cancelled"},
        {"status": "cancelled", "start": None, "originalStartTime": {"dateTime": "2026-03-22T10:00:00+01:00"}},
    ],
)
def test_what_is_no_meeting_comes_to_nothing(change: dict[str, Any]) -> None:
    assert records(EVENT | change) == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"eventType": "fromTheFuture"}, {}),
        ({"eventType": None}, {}),
        ({"transparency": "transparent", "visibility": "private", "conferenceData": {"x": []}}, {}),
        ({"creator": {"email": "alias@elsewhere.test", "self": True}}, {}),
        ({"creator": {"email": "ANN@customer.test"}, "organizer": {"email": "REP@double.test "}}, {}),
        ({"created": None}, {"occurredAt": NOW.isoformat()}),
        ({"created": "1900-01-01T12:00:00.000Z"}, {"occurredAt": NOW.isoformat()}),
        ({"created": "0000-12-31T00:00:00.000Z"}, {"occurredAt": NOW.isoformat()}),
        ({"summary": None}, {"title": None}),
        ({"end": None}, {"endsAt": "2026-03-22T09:00:00+00:00"}),
        ({"iCalUID": None}, {"externalId": "one"}),
        ({"start": {"dateTime": "2026-03-22T10:00:00", "timeZone": "Europe/Berlin"}}, {}),
    ],
)
def test_what_is_a_meeting_all_the_same(change: dict[str, Any], told: dict[str, Any]) -> None:
    [record] = records(EVENT | change)
    assert record == records(EVENT)[0] | told


def test_ones_own_answer_counts_under_any_alias() -> None:
    own = {"email": "rep.lastname@double.test", "self": True, "responseStatus": "declined"}
    assert records(EVENT | {"attendees": [own, {"email": "ann@customer.test"}]}) == []


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"start": None}, "start"),
        ({"start": {}}, "start"),
        ({"start": {"dateTime": "soon"}}, "start"),
        ({"start": {"dateTime": "2026-03-22T10:00:00"}}, "start"),
        ({"start": {"dateTime": "2026-03-22T10:00:00", "timeZone": "Nowhere/Land"}}, "start"),
        ({"start": {"dateTime": "2026-03-22T10:00:00", "timeZone": "../etc"}}, "start"),
        ({"start": {"dateTime": "0001-01-01T00:00:00+10:00"}}, "start"),
        ({"start": {"date": "2026-02-30"}}, "start"),
        ({"end": {"dateTime": "2026-03-22T09:00:00+01:00"}}, "endsAt"),
        ({"start": 5}, None),
        ({"attendees": {}}, None),
        ({"id": None}, None),
    ],
)
def test_what_makes_no_sense_is_refused(change: dict[str, Any], field: str | None) -> None:
    with pytest.raises(RecordRefused) as refused:
        records(EVENT | change)
    assert (refused.value.code, refused.value.field) == ("INVALID", field)


_SURPRISES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=12)
    | st.sampled_from(
        ["2026-03-22T10:00:00+01:00", "9999-12-31T23:59:59-12:00", "0001-01-01", "UTC", "cancelled", OWNER]
    ),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["email", "self", "date", "dateTime", "timeZone", "responseStatus", "id"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*EVENT, "originalStartTime", "recurringEventId"]), _SURPRISES), st.booleans())
def test_nothing_but_refusals_comes_of_surprises(surprises: dict[str, Any], in_series: bool) -> None:
    event = EVENT | surprises
    data = {"master": EVENT, "instances": [event, EVENT]} if in_series else event
    try:
        mapped = connector.map(Document("event", "one", data), context_at(NOW), None)
    except RecordRefused:
        return
    assert isinstance(mapped, Mapped)
    for record in mapped.records:
        assert isinstance(record, dict)
        assert isinstance(decode_mapping(record), MeetingRecord)


# F.


async def test_only_what_a_meeting_is_made_of_is_fetched(double: GoogleCalendarDouble, shelf: Shelf) -> None:
    double.add(1)
    double.put_event(NOW, event_type="focusTime")
    weekly(double, NOW - 13 * DAY, 3)
    weekly(double, NOW - 13 * DAY, 3, event_type="workingLocation")
    await shelf.sync()
    assert len(shelf.documents) == 2
    text = orjson.dumps([document.data for document in shelf.documents.values()])
    assert b"Between us" not in text
    assert b"hangout" not in text


def test_the_double_reads_selectors() -> None:
    answer = {"a": 1, "b": [{"c": 1, "d": 2}, {"c": 3}], "e": {"f": {"g": 1, "h": 2}, "i": 3}}
    assert _selected(answer, _parse_fields("b(c),e/f/g")) == {"b": [{"c": 1}, {"c": 3}], "e": {"f": {"g": 1}}}
    assert _selected(answer, _parse_fields("e/*/h,a")) == {"a": 1, "e": {"f": {"h": 2}, "i": 3}}
    with pytest.raises(ValueError, match="parenthesis"):
        _parse_fields("a(b")


@pytest.mark.parametrize(
    ("params", "status"),
    [
        ({"syncToken": "sync-9-9"}, 410),
        ({"syncToken": "nonsense"}, 400),
        ({"syncToken": "sync-9-9", "timeMin": "2026-01-01T00:00:00Z"}, 400),
        ({"syncToken": "sync-9-9", "showDeleted": "false"}, 400),
        ({"timeMin": "2026-01-01"}, 400),
        ({"timeMin": "2026-01-02T00:00:00Z", "timeMax": "2026-01-01T00:00:00Z"}, 400),
        ({"maxResults": 2501}, 400),
        ({"pageToken": "nonsense"}, 400),
        ({"fields": "items("}, 400),
        ({"surprise": 1}, 400),
        ({}, 200),
    ],
)
async def test_the_double_is_as_strict_as_google(
    untouched: GoogleCalendarDouble, params: dict[str, Any], status: int
) -> None:
    async with session_with(untouched) as session:
        response = await session.request("GET", client.EVENTS, params=params, expected=(400, 410))
    assert response.status_code == status
