"""Microsoft 365, against a double of Microsoft Graph.

Invariants:
A. A sync brings all meetings, single and of series, and one that finds nothing new is one request.
B. Whatever happens to an event or to one occurrence of a series shows after the next sync, once; a page that was not
   committed comes again.
C. Links that Microsoft does not know any more, and two months, make a full listing; nothing old is lost by it, not even
   where a view cannot reach back to it.
D. Errors are told for what they are, and no link leads a request elsewhere.
E. Nothing that Microsoft says in place of an event raises anything but RecordRefused.
F. Only what a meeting is made of is kept.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
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
from tests.doubles.microsoft365 import Microsoft365Double, _originals, attendee
from tests.workers.connectors.session import TestSession, pull_all
from tests.workers.connectors.shelf import COLLEAGUE, OWNER, Shelf, context_at
from workers.connectors import all_connectors
from workers.connectors.microsoft365 import client, connector

NOW = datetime(2026, 3, 20, 12, tzinfo=UTC)
DAY = timedelta(days=1)
WINDOW = {"startDateTime": "2026-01-01T00:00:00Z", "endDateTime": "2026-12-31T00:00:00Z"}


@pytest.fixture
def double() -> Iterator[Microsoft365Double]:
    with Microsoft365Double() as running:
        running.clock = lambda: NOW
        yield running


@pytest.fixture(scope="module")
def untouched() -> Iterator[Microsoft365Double]:
    """A double for tests that leave it as it is."""
    with Microsoft365Double() as running:
        yield running


def session_with(double: Microsoft365Double) -> TestSession:
    return TestSession(double.base_url, double.settings, double.secrets, manifest=connector.manifest, now=NOW)


@pytest.fixture
async def session(double: Microsoft365Double) -> AsyncIterator[TestSession]:
    async with session_with(double) as opened:
        yield opened


@pytest.fixture
def shelf(session: TestSession) -> Shelf:
    return Shelf(connector, session)


def weekly(double: Microsoft365Double, first: datetime, count: int, **more: Any) -> str:
    """A series; its id."""
    return double.put_event(first, step=7 * DAY, count=count, created=first - DAY, **more)


async def test_it_is_found_by_its_kind() -> None:
    assert all_connectors()["microsoft365"] is connector
    assert connector.manifest.keeps_documents
    assert connector.manifest.oauth is not None
    assert all(scope.reason for scope in connector.manifest.oauth.scopes)


# A.


async def test_a_sync_brings_all_meetings(double: Microsoft365Double, shelf: Shelf) -> None:
    expected = double.add(120)
    await shelf.sync()
    assert set(shelf.meetings) == set(expected)
    assert all(one["user"] == OWNER for one in shelf.meetings.values())
    assert all(isinstance(decode_mapping(one), MeetingRecord) for one in shelf.meetings.values())
    before = len(double.requests)
    await shelf.sync()
    assert double.requests[before:] == [client.DELTA]


async def test_a_series_is_one_document_with_all_its_occurrences(double: Microsoft365Double, shelf: Shelf) -> None:
    double.page_limit = 2
    series = weekly(double, NOW - 21 * DAY, 5)
    await shelf.sync()
    [document] = shelf.documents.values()
    assert document.id == series
    assert len(document.data["instances"]) == 5
    uid = double.events[series].uid
    assert list(shelf.meetings) == [f"{uid}/{one.isoformat()}" for one in _originals(double.events[series])][:4]
    assert [one["status"] for one in shelf.meetings.values()] == ["held", "held", "held", "booked"]


async def test_a_series_of_before_the_view_is_read_from_its_first_day(double: Microsoft365Double, shelf: Shelf) -> None:
    weekly(double, NOW - 700 * DAY, 99)
    double.put_event(NOW - 500 * DAY)
    await shelf.sync()
    [document] = shelf.documents.values()
    assert len(document.data["instances"]) == 57
    assert all(one["startsAt"] > "2025-02-06" for one in shelf.meetings.values())


# B.


async def test_changes_show_after_the_next_sync(double: Microsoft365Double, shelf: Shelf) -> None:
    changed, removed, spoiled, kept = double.add(4)
    await shelf.sync()
    double.change(changed)
    double.remove(removed)
    double.spoil(spoiled)
    [added] = double.add(1)
    await shelf.sync()
    assert shelf.meetings[changed]["title"] == "Demo 0 (changed)"
    assert removed not in shelf.meetings
    assert {added, kept} < set(shelf.meetings)
    [refusal] = shelf.refused.values()
    assert (refusal.code, refusal.field) == ("INVALID", "start")
    double.mend(spoiled)
    await shelf.sync()
    assert shelf.refused == {}
    assert set(shelf.meetings) == {changed, spoiled, kept, added}


async def test_replayed_changes_change_nothing(double: Microsoft365Double, shelf: Shelf) -> None:
    changed, removed, _ = double.add(3)
    weekly(double, NOW - 13 * DAY, 4)
    await shelf.sync()
    double.replays = True
    double.change(changed)
    double.remove(removed)
    await shelf.sync()
    told = dict(shelf.meetings)
    await shelf.sync()
    assert shelf.meetings == told


async def test_a_moved_meeting_is_the_same_meeting(double: Microsoft365Double, shelf: Shelf) -> None:
    event_id = double.put_event(NOW + DAY)
    await shelf.sync()
    event = double.events[event_id]
    double.put(replace(event, start=event.start + DAY, end=event.end + DAY))
    await shelf.sync()
    [meeting] = shelf.meetings.values()
    assert (meeting["rescheduledCount"], meeting["startsAt"]) == (1, (NOW + 2 * DAY).isoformat())


async def test_a_meeting_that_leaves_the_view_goes_and_one_that_enters_comes(
    double: Microsoft365Double, shelf: Shelf
) -> None:
    leaves = double.put_event(NOW + DAY)
    enters = double.put_event(NOW + 900 * DAY)
    await shelf.sync()
    assert set(shelf.meetings) == {double.events[leaves].uid}
    double.put(replace(double.events[leaves], start=NOW + 900 * DAY, end=NOW + 901 * DAY))
    double.put(replace(double.events[enters], start=NOW + DAY, end=NOW + 2 * DAY))
    await shelf.sync()
    assert set(shelf.meetings) == {double.events[enters].uid}


async def test_a_cancelled_meeting_is_cancelled(double: Microsoft365Double, shelf: Shelf) -> None:
    event_id = double.put_event(NOW + DAY)
    await shelf.sync()
    double.put(replace(double.events[event_id], is_cancelled=True))
    await shelf.sync()
    assert [one["status"] for one in shelf.meetings.values()] == ["cancelled"]


async def test_an_occurrence_that_changes_brings_its_whole_series(double: Microsoft365Double, shelf: Shelf) -> None:
    series = weekly(double, NOW - 13 * DAY, 6)
    _, second, third, *_ = _originals(double.events[series])
    await shelf.sync()
    names = list(shelf.meetings)
    double.put_exception(series, third, start=third + timedelta(hours=3), end=third + timedelta(hours=4))
    double.delete_occurrence(series, second)
    before = len(double.requests)
    await shelf.sync()
    assert double.requests[before:] == [
        client.DELTA,
        f"{client.EVENTS}/{series}",
        f"{client.EVENTS}/{series}/instances",
    ]
    told = [shelf.meetings[name] for name in names]
    assert [one["status"] for one in told] == ["held", "cancelled", "booked"]
    assert [one["rescheduledCount"] for one in told] == [0, 0, 1]
    assert told[2]["startsAt"] == (third + timedelta(hours=3)).isoformat()


async def test_a_deleted_series_goes_as_a_whole(double: Microsoft365Double, shelf: Shelf) -> None:
    series = weekly(double, NOW - 13 * DAY, 6)
    await shelf.sync()
    assert shelf.meetings
    double.put_exception(series, NOW - 13 * DAY, subject="Changed, and then deleted")
    double.delete(series)
    await shelf.sync()
    assert shelf.documents == {}


async def test_a_page_that_was_not_committed_comes_again(double: Microsoft365Double, session: TestSession) -> None:
    singles = double.add(60)
    series = [weekly(double, NOW - 13 * DAY + timedelta(minutes=number), 2) for number in range(12)]
    cursor: Any = None
    seen: list[Document] = []
    done = False
    while not done:
        killed, page = await connector.pull(session, cursor), await connector.pull(session, cursor)
        assert list(killed.documents) == list(page.documents)
        assert page.begins_full == (cursor is None)
        seen += page.documents
        cursor, done = orjson.loads(orjson.dumps(page.cursor)), page.done
    assert {one.id for one in seen} == {double._external[name] for name in singles} | set(series)
    assert len(seen) == 72
    pages, _ = await pull_all(connector, session, cursor)
    assert [len(page.documents) for page in pages] == [0]


# C.


@pytest.mark.parametrize("status", [400, 404, 410])
async def test_links_that_are_gone_make_a_full_listing(double: Microsoft365Double, shelf: Shelf, status: int) -> None:
    kept, removed = double.add(2)
    await shelf.sync()
    double.remove(removed)
    double.expire_links()
    double.expired_status = status
    with pytest.raises(CursorExpired):
        await connector.pull(shelf.session, shelf.cursor)
    await shelf.sync()
    assert set(shelf.meetings) == {kept}


async def test_the_view_is_listed_anew_after_60_days_and_nothing_old_is_lost(
    double: Microsoft365Double, shelf: Shelf
) -> None:
    old = double.put_event(NOW - 400 * DAY, created=NOW - 401 * DAY)
    series = double.put_event(NOW, step=7 * DAY, count=120, created=NOW - DAY)
    await shelf.sync()
    assert len(shelf.documents["event", series].data["instances"]) == 58
    shelf.session.now = NOW + 59 * DAY
    before = len(double.requests)
    await shelf.sync()
    assert len(double.requests) == before + 1
    shelf.session.now = NOW + 61 * DAY
    await shelf.sync()
    assert len(shelf.documents["event", series].data["instances"]) == 66
    assert shelf.meetings[double.events[old].uid]["status"] == "held"
    before = len(double.requests)
    await shelf.sync()
    assert len(double.requests) == before + 1


async def test_a_series_is_kept_without_what_its_occurrences_have_in_common(
    double: Microsoft365Double, shelf: Shelf
) -> None:
    series = weekly(double, NOW - 20 * DAY, 5)
    originals = _originals(double.events[series])
    double.put_exception(series, originals[1], attendees=(attendee(COLLEAGUE, "accepted"),), subject="Internal")
    await shelf.sync()
    [plain, exception, *_] = shelf.documents["event", series].data["instances"]
    assert set(plain) == {"originalStart"}
    assert {"subject", "attendees"} < set(exception)
    assert [one["startsAt"] for one in shelf.meetings.values()] == [
        one.isoformat() for place, one in enumerate(originals) if place in (0, 2, 3)
    ]


async def test_what_changed_by_the_end_of_a_view_is_told_before_it_is_listed_anew(
    double: Microsoft365Double, shelf: Shelf
) -> None:
    removed, spared = double.add(2)
    weekly(double, NOW - 13 * DAY, 4)
    await shelf.sync()
    double.remove(removed)
    weekly(double, NOW - 13 * DAY, 4, subject="Another")
    shelf.session.now = NOW + 61 * DAY
    pages, shelf.cursor = await pull_all(connector, shelf.session, shelf.cursor)
    assert [page.begins_full for page in pages] == [False, False, True, False]
    assert [one.deleted for one in pages[0].documents] == [True]
    assert [one.id for one in pages[2].documents] == [double._external[spared]]
    assert len(pages[3].documents) == 2


async def test_a_view_that_cannot_reach_back_makes_nothing_go(double: Microsoft365Double, shelf: Shelf) -> None:
    old = double.put_event(NOW - 300 * DAY, created=NOW - 301 * DAY)
    removed = double.put_event(NOW + DAY)
    await shelf.sync()
    shelf.session.now = NOW + 1500 * DAY
    double.delete(removed)
    double.put_event(shelf.session.now)
    await shelf.sync()
    assert double.events[old].uid in shelf.meetings
    assert len(shelf.meetings) == 2


async def test_another_first_day_makes_a_full_listing(double: Microsoft365Double, shelf: Shelf) -> None:
    double.put_event(NOW - 500 * DAY, created=NOW - 501 * DAY)
    await shelf.sync()
    assert shelf.meetings == {}
    shelf.session.settings["since"] = "2024-01-01"
    await shelf.sync()
    assert len(shelf.meetings) == 1


# D.


async def test_a_check_tells_whose_calendar_it_is_with_no_further_permission(
    double: Microsoft365Double, session: TestSession
) -> None:
    account = await connector.check(session)
    assert (account.name, account.id) == (OWNER, OWNER)
    assert account.settings == {"since": "2025-02-06"}
    assert connector.manifest.oauth is not None
    assert set(connector.manifest.oauth.scopes_for({})) == {*double.granted, "offline_access"}
    assert set(connector.manifest.oauth.scopes_for({"writeInvitations": "false"})) == {
        *double.granted,
        "offline_access",
    }
    chosen = connector.manifest.oauth.scopes_for({"writeInvitations": "true"})
    assert set(chosen) - {*double.granted, "offline_access"} == {"Calendars.ReadWrite"}


async def test_a_calendar_without_an_owner_goes_by_its_id(double: Microsoft365Double, session: TestSession) -> None:
    double.faults.append(Fault(mangle=lambda answer: answer | {"owner": None}))
    assert (await connector.check(session)).id == "aamkagi2tgulaaa="
    double.faults.append(Fault(mangle=lambda _answer: {"owner": None}))
    with pytest.raises(RemoteUnavailable):
        await connector.check(session)


async def test_an_account_without_a_mailbox_is_refused(double: Microsoft365Double, shelf: Shelf) -> None:
    double.has_mailbox = False
    with pytest.raises(RemoteRefused, match="mailbox"):
        await connector.check(shelf.session)
    with pytest.raises(RemoteRefused, match="mailbox"):
        await connector.pull(shelf.session, None)


async def test_a_mailbox_that_is_away_deletes_no_series(double: Microsoft365Double, session: TestSession) -> None:
    weekly(double, NOW - 13 * DAY, 4)
    page = await connector.pull(session, None)
    double.has_mailbox = False
    with pytest.raises(RemoteRefused, match="mailbox"):
        await connector.pull(session, page.cursor)


async def test_a_series_that_vanishes_while_it_is_fetched_is_gone(
    double: Microsoft365Double, session: TestSession
) -> None:
    series = weekly(double, NOW - 13 * DAY, 4)
    page = await connector.pull(session, None)
    double.faults.extend([Fault(), Fault(status=404, body='{"error": {"code": "ErrorItemNotFound"}}')])
    page = await connector.pull(session, page.cursor)
    assert page.documents == [Document("event", series, deleted=True)]
    assert page.done


async def test_refresh_tokens_rotate(double: Microsoft365Double, session: TestSession) -> None:
    first = session.secrets["refresh_token"]
    double.tokens.end_access()
    await connector.check(session)
    assert session.refreshed == 1
    assert session.secrets["refresh_token"] != first
    double.tokens.end_access()
    await connector.check(session)
    double.tokens.revoke()
    with pytest.raises(SignInNeeded):
        await connector.check(session)


async def test_a_code_is_good_once(double: Microsoft365Double) -> None:
    [path] = double.token_paths
    form = {
        "client_id": "client",
        "grant_type": "authorization_code",
        "code": double.tokens.make_code(),
        "redirect_uri": "https://sideline.test/back",
        "code_verifier": "verifier",
    }
    async with httpx.AsyncClient(base_url=double.base_url) as http:
        assert (await http.post(path, data=form | {"code_verifier": ""})).status_code == 400
        answer = (await http.post(path, data=form)).json()
        assert {"access_token", "refresh_token", "expires_in"} <= set(answer)
        assert (await http.post(path, data=form)).json()["error"] == "invalid_grant"
        assert (await http.post(path, data=form | {"grant_type": "password"})).status_code == 400
        assert (await http.post(path, data=form | {"client_id": ""})).status_code == 401


async def test_throttling_is_waited_out(double: Microsoft365Double, session: TestSession) -> None:
    double.requests_in_ten_minutes = 1
    await connector.pull(session, None)
    with pytest.raises(RateLimited) as refused:
        await connector.pull(session, None)
    assert refused.value.retry_after_seconds == 10


@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        (Fault(status=504), RemoteUnavailable),
        (Fault(status=403, body='{"error": {"code": "ErrorAccessDenied"}}'), RemoteRefused),
        (Fault(status=400, body='{"error": {"code": "ErrorInvalidRequest", "message": "No."}}'), RemoteRefused),
        (Fault(status=404, body="<html>"), RemoteRefused),
        (Fault(status=410, body='{"error": 5}'), RemoteRefused),
        (Fault(status=200, body="<html>"), RemoteUnavailable),
        (Fault(status=200, body='{"value": 5}'), RemoteUnavailable),
        (Fault(status=200, body='{"value": []}'), RemoteUnavailable),
        (Fault(status=200, body='{"value": [], "@odata.nextLink": "https://elsewhere.test/"}'), RemoteUnavailable),
        (Fault(cut=True), RemoteUnavailable),
    ],
)
async def test_what_goes_wrong_is_told(untouched: Microsoft365Double, fault: Fault, problem: type[Exception]) -> None:
    untouched.faults.append(fault)
    async with session_with(untouched) as session:
        with pytest.raises(problem):
            await connector.pull(session, None)


async def test_links_are_followed_at_the_address_that_the_operator_set(
    double: Microsoft365Double, session: TestSession
) -> None:
    double.add(60)

    def elsewhere(answer: dict[str, Any]) -> dict[str, Any]:
        link = answer["@odata.nextLink"].replace(double.base_url, "https://graph.microsoft.com")
        return answer | {"@odata.nextLink": link}

    double.faults.append(Fault(mangle=elsewhere))
    pages, _ = await pull_all(connector, session, None)
    assert sum(len(page.documents) for page in pages) == 60


# E.


async def test_events_without_a_shape_are_refused_and_the_rest_goes_on(
    double: Microsoft365Double, shelf: Shelf
) -> None:
    names = double.add(3)

    def mangle(answer: dict[str, Any]) -> dict[str, Any]:
        answer["value"] += [None, 7, {"subject": "no id"}, {"id": "strange", "start": 5, "type": "somethingNew"}]
        return answer

    double.faults.append(Fault(mangle=mangle))
    await shelf.sync()
    assert set(shelf.meetings) == set(names)
    assert len(shelf.refused) == 4


EVENT: dict[str, Any] = {
    "id": "one",
    "iCalUId": "0400one",
    "type": "singleInstance",
    "createdDateTime": "2026-03-10T10:00:00.1234567Z",
    "subject": "Demo",
    "isAllDay": False,
    "isCancelled": False,
    "isOrganizer": True,
    "organizer": {"emailAddress": {"name": "Rep", "address": OWNER}},
    "attendees": [attendee("ann@customer.test", "none")],
    "start": {"dateTime": "2026-03-22T09:00:00.0000000", "timeZone": "UTC"},
    "end": {"dateTime": "2026-03-22T10:00:00.0000000", "timeZone": "UTC"},
}


def records(data: Any, state: Any = None) -> list[Any]:
    return list(connector.map(Document("event", "one", data), context_at(NOW), state).records)


def test_an_event_is_read_as_a_meeting() -> None:
    assert records(EVENT) == [
        {
            "kind": "meeting",
            "externalId": "0400one",
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
        {"isAllDay": True},
        {"isCancelled": True},
        {"attendees": []},
        {"attendees": None},
        {"attendees": [attendee(COLLEAGUE, "accepted")]},
        {"attendees": [attendee("room@customer.test", "accepted", "resource")]},
        {"attendees": [attendee("ann@customer.test", "declined")]},
        {"attendees": [{"type": "required", "emailAddress": {"name": "Somebody"}}]},
        {"isOrganizer": False, "organizer": {"emailAddress": {"address": COLLEAGUE}}},
        {"isOrganizer": False, "organizer": {"emailAddress": {"address": "ann@customer.test"}}},
        {"isOrganizer": False, "organizer": None},
    ],
)
def test_what_is_no_meeting_comes_to_nothing(change: dict[str, Any]) -> None:
    assert records(EVENT | change) == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"showAs": "free", "type": "somethingNew"}, {}),
        ({"organizer": {"emailAddress": {"address": "alias@elsewhere.test"}}}, {}),
        ({"isOrganizer": None, "organizer": {"emailAddress": {"address": "REP@double.test"}}}, {}),
        ({"attendees": [attendee("ann@customer.test", "somethingNew", "somethingNew")]}, {}),
        ({"createdDateTime": None}, {"occurredAt": NOW.isoformat()}),
        ({"createdDateTime": "0001-01-01T00:00:00Z"}, {"occurredAt": NOW.isoformat()}),
        ({"createdDateTime": "never"}, {"occurredAt": NOW.isoformat()}),
        ({"subject": None}, {"title": None}),
        ({"end": None}, {"endsAt": "2026-03-22T09:00:00+00:00"}),
        ({"iCalUId": None}, {"externalId": "one"}),
        ({"start": {"dateTime": "2026-03-22T10:00:00.0000000", "timeZone": "Europe/Berlin"}}, {}),
        ({"start": {"dateTime": "2026-03-22T09:00:00.0000000"}}, {}),
    ],
)
def test_what_is_a_meeting_all_the_same(change: dict[str, Any], told: dict[str, Any]) -> None:
    [record] = records(EVENT | change)
    assert record == records(EVENT)[0] | told


def test_an_occurrence_takes_from_its_series_what_it_does_not_tell() -> None:
    occurrence = {
        "id": "occurrence",
        "originalStart": "2026-03-15T09:00:00Z",
        "start": {"dateTime": "2026-03-15T11:00:00.0000000", "timeZone": "UTC"},
        "end": {"dateTime": "2026-03-15T12:00:00.0000000", "timeZone": "UTC"},
    }
    [record] = records({"master": EVENT, "instances": [occurrence]})
    assert record["externalId"] == "0400one/2026-03-15T09:00:00+00:00"
    assert (record["title"], record["status"]) == ("Demo", "held")
    [record] = records({"master": EVENT, "instances": [occurrence | {"originalStart": None}]})
    assert record["externalId"] == "0400one/2026-03-15T11:00:00+00:00"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"start": None}, "start"),
        ({"start": {}}, "start"),
        ({"start": {"dateTime": "soon", "timeZone": "UTC"}}, "start"),
        ({"start": {"dateTime": "2026-03-22T10:00:00", "timeZone": "W. Europe Standard Time"}}, "start"),
        ({"start": {"dateTime": "2026-03-22T10:00:00", "timeZone": "../etc"}}, "start"),
        ({"start": {"dateTime": "0001-01-01T00:00:00", "timeZone": "Asia/Tokyo"}}, "start"),
        ({"end": {"dateTime": "2026-03-22T08:00:00", "timeZone": "UTC"}}, "endsAt"),
        ({"start": 5}, None),
        ({"attendees": {}}, None),
        ({"isAllDay": "yes"}, None),
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
    | st.sampled_from(["2026-03-22T10:00:00", "9999-12-31T23:59:59-12:00", "0001-01-01", "UTC", "organizer", OWNER]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["emailAddress", "address", "dateTime", "timeZone", "status", "response", "type"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*EVENT, "originalStart"]), _SURPRISES), st.booleans())
def test_nothing_but_refusals_comes_of_surprises(surprises: dict[str, Any], in_series: bool) -> None:
    event = EVENT | surprises
    data = {"master": event, "instances": [event, EVENT]} if in_series else event
    try:
        mapped = connector.map(Document("event", "one", data), context_at(NOW), None)
    except RecordRefused:
        return
    assert isinstance(mapped, Mapped)
    for record in mapped.records:
        assert isinstance(record, dict)
        assert isinstance(decode_mapping(record), MeetingRecord)


# F.


async def test_only_what_a_meeting_is_made_of_is_kept(double: Microsoft365Double, shelf: Shelf) -> None:
    double.add(1)
    weekly(double, NOW - 13 * DAY, 3)
    await shelf.sync()
    assert len(shelf.documents) == 2
    for document in shelf.documents.values():
        assert b"Dial in" not in orjson.dumps(document.data)


@pytest.mark.parametrize(
    ("path", "params", "status"),
    [
        ("/v1.0/me", {}, 403),
        (client.DELTA, {}, 400),
        (client.DELTA, WINDOW | {"startDateTime": "soon"}, 400),
        (client.DELTA, WINDOW | {"startDateTime": "2020-01-01T00:00:00Z"}, 400),
        (client.DELTA, WINDOW | {"endDateTime": "2020-01-01T00:00:00Z"}, 400),
        (client.DELTA, WINDOW | {"$select": "id"}, 400),
        (client.DELTA, {"$deltatoken": "nonsense"}, 410),
        (client.DELTA, WINDOW, 200),
        (f"{client.EVENTS}/one", {}, 404),
        (client.CALENDAR, {"$select": "nonsense"}, 400),
        (client.CALENDAR, {"$select": "name"}, 200),
    ],
)
async def test_the_double_is_as_strict_as_microsoft(
    untouched: Microsoft365Double, path: str, params: dict[str, Any], status: int
) -> None:
    async with session_with(untouched) as session:
        response = await session.request("GET", path, params=params, expected=(400, 403, 404, 410))
    assert response.status_code == status
