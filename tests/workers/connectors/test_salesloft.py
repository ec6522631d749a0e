"""Salesloft: what is pulled in what order and at what cost, that nothing falls between pages, and what it comes to.

The double holds every request and answer that Salesloft's description of 2019 knows against it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.connectors import (
    Cursor,
    Document,
    MappingContext,
    Page,
    RateLimited,
    RemoteRefused,
    RemoteUnavailable,
    SignInNeeded,
)
from domain.records import (
    CadenceStepRecord,
    CallRecord,
    ConversationRecord,
    EmailRecord,
    MeetingRecord,
    RecordRefused,
    TaskRecord,
    TombstoneRecord,
    decode_mapping,
)
from tests.doubles.base import Fault
from tests.doubles.salesloft import SalesloftDouble
from tests.workers.connectors.session import TestSession, pull_all
from workers.connectors import all_connectors
from workers.connectors.salesloft import connector
from workers.connectors.salesloft.client import cost_of
from workers.connectors.salesloft.manifest import LISTINGS
from workers.connectors.salesloft.mapping import _READERS

NOW = datetime(2026, 11, 2, 15, 0, tzinfo=UTC)
QUIET_REQUESTS = 1 + len(LISTINGS)


@pytest.fixture
def double() -> Iterator[SalesloftDouble]:
    with SalesloftDouble() as running:
        yield running
        assert running.problems == []


@pytest.fixture(scope="module")
def made() -> Iterator[SalesloftDouble]:
    """A double that only makes entries, for what needs no answers of its own."""
    with SalesloftDouble() as maker:
        yield maker


@pytest.fixture
async def session(double: SalesloftDouble) -> AsyncIterator[TestSession]:
    async with TestSession(
        double.base_url, double.settings, double.secrets, manifest=connector.manifest
    ) as open_session:
        yield open_session


def context(now: datetime = NOW) -> MappingContext:
    return MappingContext(
        now=now,
        timezone="UTC",
        currency="USD",
        domains=frozenset(),
        owner=None,
        members=frozenset(),
        mapping={},
        syncs=frozenset(),
        rate=lambda _currency, _day: None,
        settings={},
    )


def documents(pages: list[Page]) -> list[Document]:
    return [document for page in pages for document in page.documents]


def records(pages: list[Page], now: datetime | None = None) -> dict[str, Any]:
    """What pages come to, by external id, the last counts."""
    found = {}
    for document in documents(pages):
        for raw in connector.map(document, context(now or datetime.now(UTC)), None).records:
            assert isinstance(raw, Mapping)
            record = decode_mapping(raw)
            assert record.external_id == f"{document.object}:{document.id}"
            found[record.external_id] = record
    return found


def one_of(object_name: str, row: dict[str, Any], **more: Any) -> Document:
    return Document(object_name, str(row["id"]), {"row": row, **more})


def mapped(document: Document, now: datetime = NOW) -> Any:
    (raw,) = connector.map(document, context(now), None).records
    assert isinstance(raw, Mapping)
    return decode_mapping(raw)


# The manifest.


def test_the_connector_is_found_and_asks_for_reading_alone() -> None:
    assert all_connectors()["salesloft"] is connector
    manifest = connector.manifest
    assert manifest.oauth is not None
    assert {scope.name.rpartition(":")[2] for scope in manifest.oauth.scopes} == {"read"}
    assert all(scope.reason for scope in manifest.oauth.scopes)
    assert all(setting.help for setting in manifest.settings)


@pytest.mark.parametrize(
    ("page", "cost"),
    [(1, 1), (100, 1), (101, 3), (150, 3), (151, 8), (250, 8), (251, 10), (500, 10), (501, 30), (9_999, 30)],
)
def test_deep_pages_cost_what_salesloft_says(page: int, cost: int) -> None:
    assert cost_of(page) == cost


# Checking.


async def test_a_check_names_the_team(session: TestSession) -> None:
    account = await connector.check(session)
    assert (account.name, account.id) == ("Double Trouble", "104779")


@pytest.mark.parametrize(
    ("scope", "told"), [("team:read", "the team"), ("calls:read", "calls"), ("conversations:read", "conversations")]
)
async def test_a_check_says_which_scope_is_missing(
    double: SalesloftDouble, session: TestSession, scope: str, told: str
) -> None:
    double.scopes.discard(scope)
    with pytest.raises(RemoteRefused, match=f"read {told}.*{scope}"):
        await connector.check(session)


async def test_what_is_left_out_is_neither_checked_nor_read(double: SalesloftDouble, session: TestSession) -> None:
    double.add(12)
    double.email(double.users[0], from_step=True)
    double.scopes -= {"conversations:read", "cadences:read"}
    session.settings["without"] = "conversations, Cadences,meetings"
    await connector.check(session)
    double.scopes.add("cadences:read")  # Emails name their cadence whatever else is left out.
    pages, _ = await pull_all(connector, session)
    kinds = {document.object for document in documents(pages)}
    assert kinds == {"email", "call", "task"}
    assert not {"/v2/conversations", "/v2/meetings", "/v2/cadence_memberships"} & set(double.requests)


async def test_a_part_that_there_is_not_is_refused(session: TestSession) -> None:
    session.settings["without"] = "faxes"
    with pytest.raises(RemoteRefused, match="faxes"):
        await connector.check(session)
    with pytest.raises(RemoteRefused, match="emails, calls"):
        await connector.pull(session, None)


# Signing in.


async def test_a_key_is_taken_instead_of_a_sign_in(double: SalesloftDouble) -> None:
    double.add(1)
    async with TestSession(double.base_url, {}, {"api_key": double.api_key}) as session:
        await connector.check(session)
        pages, _ = await pull_all(connector, session)
    assert len(records(pages)) == 1


async def test_a_wrong_key_asks_for_a_person(double: SalesloftDouble) -> None:
    async with TestSession(double.base_url, {}, {"api_key": "ak_wrong"}) as session:
        with pytest.raises(SignInNeeded):
            await connector.check(session)


async def test_an_ended_token_is_renewed_with_a_refresh_token_that_changes(
    double: SalesloftDouble, session: TestSession
) -> None:
    double.add(6)
    double.tokens.clear()
    pages, _ = await pull_all(connector, session)
    assert len(records(pages)) == 6
    assert session.refreshed == 1
    assert session.secrets["refresh_token"] != "first-refresh"


# Pulling.


async def test_everything_comes_with_its_people_first(double: SalesloftDouble, session: TestSession) -> None:
    expected = double.add(24)
    pages, _ = await pull_all(connector, session)
    assert pages[0].begins_full
    assert not any(page.begins_full for page in pages[1:])
    assert not pages[0].documents
    names = {(person.id, person.email) for person in pages[0].people}
    assert names == {(f"salesloft:{user[field]}", user["email"]) for user in double.users for field in ("id", "guid")}
    found = records(pages)
    assert set(found) == set(expected)
    assert {record.user for record in found.values()} <= {name for name, _ in names}


async def test_a_sync_that_finds_nothing_asks_once_for_each_list(double: SalesloftDouble, session: TestSession) -> None:
    double.add(60)
    _, cursor = await pull_all(connector, session)
    asked = len(double.requests)
    _, cursor = await pull_all(connector, session, cursor)
    again = len(double.requests) - asked
    assert again <= QUIET_REQUESTS + 2  # Cadences' names, for memberships of the minute before.
    session.now += timedelta(minutes=10)
    for listing in cursor:
        if listing not in ("users", "begun"):
            later = datetime.now(UTC) + timedelta(seconds=1)
            cursor = {**cursor, listing: {"since": later.isoformat()}}
    asked = len(double.requests)
    pages, _ = await pull_all(connector, session, cursor)
    assert documents(pages) == []
    assert len(double.requests) - asked == QUIET_REQUESTS
    assert session.spent == len(double.requests)


async def test_a_sync_that_finds_nothing_costs_the_same_however_much_there_is(
    double: SalesloftDouble, session: TestSession
) -> None:
    for _ in range(450):
        double.email(double.users[0])
    _, cursor = await pull_all(connector, session)
    asked = len(double.requests)
    pages, _ = await pull_all(connector, session, cursor)
    # All of it is of the last minute, of which no more than two pages come again.
    assert 100 <= len(documents(pages)) <= 200
    assert len(double.requests) - asked <= QUIET_REQUESTS + 2


async def test_no_page_is_a_deep_one_and_nothing_is_lost(double: SalesloftDouble, session: TestSession) -> None:
    expected = {f"call:{double.call(double.users[0])['id']}" for _ in range(434)}
    pages, _ = await pull_all(connector, session)
    assert set(records(pages)) == expected
    assert set(double.costs) == {1}
    numbers = {seen.query.partition("&page=")[2].partition("&")[0] for seen in double.seen if "calls" in seen.path}
    assert numbers == {"1"}


async def test_entries_of_one_instant_that_fill_pages_all_come(double: SalesloftDouble, session: TestSession) -> None:
    expected = {f"call:{double.call(double.users[0])['id']}" for _ in range(420)}
    rows = list(double.rows["/v2/activities/calls"].values())
    for row in rows[50:400]:
        row["updated_at"] = rows[50]["updated_at"]
    pages, cursor = await pull_all(connector, session)
    assert set(records(pages)) == expected
    late = double.call(double.users[0])
    pages, _ = await pull_all(connector, session, cursor)
    assert f"call:{late['id']}" in records(pages)


async def test_a_change_during_a_sync_is_seen(double: SalesloftDouble, session: TestSession) -> None:
    calls = [double.call(double.users[0]) for _ in range(250)]
    cursor: Cursor | None = None
    found: dict[str, Any] = {}
    changed = False
    while True:
        page = await connector.pull(session, cursor)
        found |= records([page])
        cursor = page.cursor
        if page.documents and not changed:
            changed = True
            double.change(f"call:{calls[0]['id']}")
        if page.done:
            break
    assert found[f"call:{calls[0]['id']}"].disposition == "Connected again"
    assert len(found) == 250


async def test_an_entry_that_becomes_visible_late_is_not_missed(double: SalesloftDouble, session: TestSession) -> None:
    double.add(6)
    late = double.call(double.users[0])
    double.rows["/v2/activities/calls"].pop(late["id"])
    double.call(double.users[0])
    _, cursor = await pull_all(connector, session)
    double.rows["/v2/activities/calls"][late["id"]] = late
    pages, _ = await pull_all(connector, session, cursor)
    assert f"call:{late['id']}" in records(pages)


async def test_a_kill_between_pages_repeats_at_most_a_page(double: SalesloftDouble, session: TestSession) -> None:
    double.add(240)
    pages, _ = await pull_all(connector, session)
    cursor: Cursor | None = None
    for page in pages:
        again = await connector.pull(session, cursor)
        assert [one.id for one in again.documents] == [one.id for one in page.documents]
        cursor = page.cursor


async def test_changes_come_alone(double: SalesloftDouble, session: TestSession) -> None:
    made = double.add(12)
    _, cursor = await pull_all(connector, session)
    for listing, place in cursor.items():
        if listing not in ("users", "begun"):
            cursor = {**cursor, listing: {"since": datetime.now(UTC).isoformat()}}
        assert place
    for external_id in made[:6]:
        double.change(external_id)
    pages, _ = await pull_all(connector, session, cursor)
    assert set(records(pages)) == set(made[:6])


async def test_meetings_come_whole_where_their_filter_is_not_known(
    double: SalesloftDouble, session: TestSession
) -> None:
    double.filters_meetings = False
    expected = {f"meeting:{double.meeting(double.users[0])['id']}" for _ in range(350)}
    pages, cursor = await pull_all(connector, session)
    assert set(records(pages)) == expected
    assert double.requests.count("/v2/meetings") <= 7
    double.change(min(expected))
    pages, _ = await pull_all(connector, session, cursor)
    assert records(pages)[min(expected)].title == "Demonstration again"


async def test_a_meeting_is_held_an_hour_after_it_began_without_a_change(
    double: SalesloftDouble, session: TestSession
) -> None:
    begins = datetime.now(UTC) + timedelta(days=3)
    meeting = double.meeting(double.users[0], begins=begins)
    cancelled = double.meeting(double.users[0], begins=begins, canceled_at=meeting["created_at"])
    pages, cursor = await pull_all(connector, session)
    booked = records(pages)[f"meeting:{meeting['id']}"]
    assert booked.status == "booked"
    cursor = {**cursor, "meetings": {"since": (datetime.now(UTC) + timedelta(seconds=1)).isoformat()}}
    session.now = begins + timedelta(minutes=59)
    pages, cursor = await pull_all(connector, session, cursor)
    assert records(pages, session.now) == {}
    session.now = begins + timedelta(minutes=75)
    pages, _ = await pull_all(connector, session, cursor)
    found = records(pages, session.now)
    held = found[f"meeting:{meeting['id']}"]
    assert held.status == "held"
    assert held.updated_at == begins + timedelta(hours=1) > booked.updated_at
    assert found[f"meeting:{cancelled['id']}"].status == "cancelled"


async def test_users_are_listed_once_a_day_and_new_ones_at_once(double: SalesloftDouble, session: TestSession) -> None:
    for number in range(250):
        double.user(f"rep{number}@double.test")
    pages, cursor = await pull_all(connector, session)
    assert len({person.email for page in pages for person in page.people}) == 252
    asked = double.requests.count("/v2/users")
    assert asked == 3
    newcomer = double.user("new@double.test")
    pages, cursor = await pull_all(connector, session, cursor)
    assert newcomer["email"] in {person.email for page in pages for person in page.people}
    assert double.requests.count("/v2/users") - asked == 1
    for number in range(130):
        double.user(f"more{number}@double.test")
    pages, cursor = await pull_all(connector, session, cursor)
    assert {f"more{number}@double.test" for number in range(130)} <= {
        person.email for page in pages for person in page.people
    }
    double.users[0]["email"] = "renamed@double.test"
    session.now += timedelta(days=1)
    pages, _ = await pull_all(connector, session, cursor)
    assert "renamed@double.test" in {person.email for page in pages for person in page.people}


async def test_names_of_cadences_and_numbers_of_steps_come_with_what_names_them(
    double: SalesloftDouble, session: TestSession
) -> None:
    email = double.email(double.users[0], from_step=True)
    call = double.call(double.users[1], from_step=True)
    unseen = double.membership(double.users[0], cadence={"id": 4711})
    pending = double.email(double.users[0], from_step=True, sent_at=None, status="scheduled")
    found = records((await pull_all(connector, session))[0])
    assert found[f"email:{email['id']}"].cadence == "New business"
    for object_name, row in (("email_step", email), ("call_step", call)):
        step = found[f"{object_name}:{row['id']}"]
        assert isinstance(step, CadenceStepRecord)
        assert (step.cadence, step.step, step.status) == ("New business", 1, "completed")
    assert found[f"membership:{unseen['id']}"].cadence == "Cadence 4711"
    assert not {f"email:{pending['id']}", f"email_step:{pending['id']}"} & set(found)
    # A name is asked for once a sync.
    assert double.requests.count("/v2/cadences") == 2
    assert double.requests.count("/v2/steps") == 1


async def test_subjects_come_where_they_may_be_read_and_bodies_if_asked_for(
    double: SalesloftDouble, session: TestSession
) -> None:
    key = f"email:{double.email(double.users[0])['id']}"
    record = records((await pull_all(connector, session))[0])[key]
    assert (record.subject, record.body) == ("Hello", None)
    session.settings["bodies"] = "yes"
    record = records((await pull_all(connector, session))[0])[key]
    assert (record.subject, record.body) == ("Hello", "<p>Hello</p>")
    double.scopes.discard("email_contents:read")
    record = records((await pull_all(connector, session))[0])[key]
    assert (record.subject, record.body) == (None, None)


async def test_what_was_removed_is_told_of_meetings(double: SalesloftDouble, session: TestSession) -> None:
    made = double.add(6)
    _, cursor = await pull_all(connector, session)
    meeting = next(name for name in made if name.startswith("meeting"))
    double.remove(meeting)
    pages, _ = await pull_all(connector, session, cursor)
    assert records(pages)[meeting].status == "cancelled"


async def test_what_cannot_be_mapped_is_refused_alone_and_is_whole_again_when_mended(
    double: SalesloftDouble, session: TestSession
) -> None:
    made = double.add(6)
    for external_id in made:
        double.spoil(external_id)
    pages, cursor = await pull_all(connector, session)
    for document in documents(pages):
        with pytest.raises(RecordRefused) as refusal:
            connector.map(document, context(datetime.now(UTC)), None)
        assert refusal.value.field is not None
    for external_id in made:
        double.mend(external_id)
    pages, _ = await pull_all(connector, session, cursor)
    assert set(records(pages)) == set(made)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault(status=500), RemoteUnavailable),
        (Fault(status=502, body="<html>"), RemoteUnavailable),
        (Fault(status=429), RateLimited),
        (Fault(status=503, headers={"retry-after": "7"}), RateLimited),
        (Fault(status=400), RemoteRefused),
        (Fault(cut=True), RemoteUnavailable),
        (Fault(mangle=lambda _: []), RemoteUnavailable),
        (Fault(mangle=lambda _: {"data": {"id": 1}}), RemoteUnavailable),
        (Fault(status=200, body="no json"), RemoteUnavailable),
    ],
)
async def test_faults_have_their_names_and_the_same_pull_goes_on(
    double: SalesloftDouble, session: TestSession, fault: Fault, error: type[Exception]
) -> None:
    expected = double.add(12)
    first = await connector.pull(session, None)
    double.faults.append(fault)
    with pytest.raises(error):
        await connector.pull(session, first.cursor)
    pages, _ = await pull_all(connector, session, first.cursor)
    assert set(records(pages)) == set(expected)


async def test_an_answer_without_paging_goes_on_while_pages_are_full(
    double: SalesloftDouble, session: TestSession
) -> None:
    expected = {f"email:{double.email(double.users[0])['id']}" for _ in range(150)}
    double.faults.extend([Fault(mangle=lambda body: {"data": body["data"]})] * 4)
    pages, _ = await pull_all(connector, session)
    assert set(records(pages)) == expected


async def test_entries_that_are_no_objects_are_refused_alone(double: SalesloftDouble, session: TestSession) -> None:
    expected = double.email(double.users[0])
    first = await connector.pull(session, None)
    double.faults.append(Fault(mangle=lambda body: {**body, "data": [*body["data"], None, "x", {"updated_at": 5}]}))
    page = await connector.pull(session, first.cursor)
    good, *bad = page.documents
    assert mapped(good).external_id == f"email:{expected['id']}"
    assert len({document.id for document in bad}) == 3
    for document in bad:
        with pytest.raises(RecordRefused):
            connector.map(document, context(), None)


async def test_the_teams_budget_is_told_to_whoever_asks(double: SalesloftDouble) -> None:
    headers = {"authorization": f"Bearer {double.api_key}"}
    async with httpx.AsyncClient(base_url=double.base_url, headers=headers) as client:
        answer = await client.get("/v2/users", params={"page": 501})
        assert answer.headers["x-ratelimit-endpoint-cost"] == "30"
        assert int(answer.headers["x-ratelimit-remaining-minute"]) == double.limit - 30
        double.limit = 30
        assert (await client.get("/v2/users")).status_code == 429
        assert (await client.get("/v2/activities/calls", params={"sort_by": "duration"})).status_code in (422, 429)


# Mapping.


def test_an_email(made: SalesloftDouble) -> None:
    row = made.email(
        made.users[0],
        sent_at="2021-09-16T11:02:51.405506-04:00",
        updated_at="2021-09-16T11:03:06.789805-04:00",
        bounced=True,
        subject="s" * 3000,
        counts={"views": 3, "replies": 2, "clicks": 1},
    )
    record = mapped(one_of("email", row))
    assert isinstance(record, EmailRecord)
    assert record.user == f"salesloft:{made.users[0]['id']}"
    assert record.occurred_at == datetime(2021, 9, 16, 15, 2, 51, 405506, tzinfo=UTC)
    assert record.updated_at == record.replied_at == datetime(2021, 9, 16, 15, 3, 6, 789805, tzinfo=UTC)
    assert (record.bounced, record.open_count, record.subject, record.cadence) == (True, 3, "s" * 2000, None)


def test_an_email_without_counts_was_neither_opened_nor_replied_to(made: SalesloftDouble) -> None:
    record = mapped(one_of("email", made.email(made.users[0], counts=None, bounced=None, subject=None)))
    assert (record.open_count, record.replied_at, record.bounced) == (0, None, False)


@pytest.mark.parametrize(
    ("fields", "connected"),
    [
        ({"connected": True, "disposition": "Left Voicemail"}, True),
        ({"connected": False, "disposition": "Connected"}, False),
        ({"connected": None, "disposition": "connected "}, True),
        ({"connected": None, "disposition": "No Answer"}, False),
        ({"connected": None, "disposition": None}, False),
    ],
)
def test_a_call_connects_as_salesloft_says_or_by_its_disposition(
    made: SalesloftDouble, fields: dict[str, Any], connected: bool
) -> None:
    record = mapped(one_of("call", made.call(made.users[0], duration=None, **fields)))
    assert isinstance(record, CallRecord)
    assert (record.connected, record.duration_seconds) == (connected, 0)


def test_a_conversation_lasts_seconds_not_milliseconds(made: SalesloftDouble) -> None:
    record = mapped(one_of("conversation", made.conversation(made.users[1])))
    assert isinstance(record, ConversationRecord)
    assert record.duration_seconds == 754
    assert record.talk_ratio is None
    assert record.user == f"salesloft:{made.users[1]['guid']}"


def test_who_was_added_again_counts_on_the_later_day(made: SalesloftDouble) -> None:
    row = made.membership(made.users[0], added_at="2023-03-07T12:12:53.179454-05:00")
    record = mapped(one_of("membership", row, cadence="New business"))
    assert (record.status, record.cadence) == ("added", "New business")
    assert record.occurred_at.day == 7


@pytest.mark.parametrize(
    ("fields", "status", "rescheduled"),
    [
        ({}, "held", 0),
        ({"no_show": True}, "no_show", 0),
        ({"canceled_at": "2026-11-01T10:00:00Z", "no_show": True}, "cancelled", 0),
        ({"reschedule_status": "booked"}, "held", 1),
        ({"reschedule_status": "failed", "status": "pending"}, "held", 0),
        ({"status": "something new", "no_show": None}, "held", 0),
    ],
)
def test_a_meeting_that_began_two_hours_ago(
    made: SalesloftDouble, fields: dict[str, Any], status: str, rescheduled: int
) -> None:
    record = mapped(one_of("meeting", made.meeting(made.users[0], begins=NOW - timedelta(hours=2), **fields)))
    assert isinstance(record, MeetingRecord)
    assert (record.status, record.rescheduled_count) == (status, rescheduled)


def test_a_change_after_a_meeting_was_held_is_the_newer_one(made: SalesloftDouble) -> None:
    row = made.meeting(made.users[0], begins=NOW - timedelta(hours=2), updated_at="2026-11-02T14:30:00Z")
    assert mapped(one_of("meeting", row)).updated_at == datetime(2026, 11, 2, 14, 30, tzinfo=UTC)
    row["updated_at"] = "2026-11-01T14:30:00Z"
    assert mapped(one_of("meeting", row)).updated_at == NOW - timedelta(hours=1)
    assert mapped(one_of("meeting", row), NOW - timedelta(hours=2)).updated_at == datetime(
        2026, 11, 1, 14, 30, tzinfo=UTC
    )


def test_a_meeting_of_a_calendar_is_left_to_the_calendar(made: SalesloftDouble) -> None:
    row = made.meeting(made.users[0], event_source="external")
    assert connector.map(one_of("meeting", row), context(), None).records == ()


def test_a_meeting_that_could_not_be_made_and_a_task_that_is_open_are_taken_back(made: SalesloftDouble) -> None:
    failed = mapped(one_of("meeting", made.meeting(made.users[0], status="failed")))
    opened = mapped(one_of("task", made.task(made.users[0], current_state="scheduled")))
    for record in (failed, opened):
        assert isinstance(record, TombstoneRecord)
        assert record.updated_at is not None


def test_a_task_counts_for_who_completed_it(made: SalesloftDouble) -> None:
    row = made.task(made.users[0], completed_by={"id": made.users[1]["id"]}, completed_at="2026-11-01T10:00:00Z")
    record = mapped(one_of("task", row))
    assert isinstance(record, TaskRecord)
    assert record.user == f"salesloft:{made.users[1]['id']}"
    assert record.completed_at == record.occurred_at == datetime(2026, 11, 1, 10, tzinfo=UTC)


_SURPRISES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(["2026-11-02T10:00:00Z", "2026-11-02", "9999-12-31T23:59:59-12:00", "completed", "external"]),
    st.lists(st.none(), max_size=2),
    st.dictionaries(st.sampled_from(["id", "views", "replies"]), st.one_of(st.integers(), st.text(max_size=3))),
)
_FIELDS = (
    "id updated_at created_at sent_at counts user subject body bounced cadence step duration disposition sentiment "
    "connected added_at user_guid owner_id event_start_date event_source status start_time end_time title canceled_at "
    "no_show reschedule_status booked_by_user owned_by_user current_state completed_at completed_by"
).split()


@given(
    st.sampled_from([*_READERS, "something else"]),
    st.dictionaries(st.sampled_from(_FIELDS), _SURPRISES),
    st.dictionaries(st.sampled_from(["cadence", "step"]), _SURPRISES),
)
def test_surprises_are_refused_and_never_raise_anything_else(
    object_name: str, row: dict[str, Any], more: dict[str, Any]
) -> None:
    document = Document(object_name, "1", {**more, "row": row})
    try:
        result = connector.map(document, context(), None)
    except RecordRefused:
        return
    assert len(result.records) <= 1
    for raw in result.records:
        assert isinstance(raw, Mapping)
        decode_mapping(raw)


@pytest.mark.parametrize("data", [None, 1, "x", [], {}, {"row": None}, {"row": []}])
def test_a_document_without_an_entry_is_refused(data: Any) -> None:
    with pytest.raises(RecordRefused):
        connector.map(Document("email", "1", data), context(), None)
