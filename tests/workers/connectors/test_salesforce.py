"""The Salesforce connector against a double of Salesforce.

A. Everything comes, with histories and people, by pages or by a query job, however the answers are cut up.
B. Changes come once each sync, none is lost in ties, between pages, or by a transaction that ends late; a sync without
   news costs two requests.
C. What is deleted goes: from the recycle bin, from the log of deletions; what is taken back stays.
D. A schema that changes begins anew, or is told with the field's name.
E. Limits, ended tokens and faults are told as what they are.
F. Exchange rates are in the team's currency.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import orjson
import pytest

from domain.connectors import (
    Cursor,
    CursorExpired,
    Document,
    MappingContext,
    Page,
    Rate,
    RateLimited,
    RemoteRefused,
    RemoteUnavailable,
    SignInNeeded,
)
from domain.field_mapping import check_mapping, read_mapping
from domain.opportunities import preview
from domain.records import OpportunityRecord, RecordRefused, decode_mapping
from tests.doubles.base import Fault
from tests.doubles.salesforce import API, Column, SalesforceDouble
from tests.workers.connectors.session import TestSession
from workers.connectors.salesforce import connector
from workers.connectors.salesforce.documents import full_id
from workers.connectors.salesforce.manifest import DEFAULT_MAPPING, MANIFEST
from workers.connectors.salesforce.rates import convert

MEMBERS = ("rep@double.test", "other@double.test")


@pytest.fixture
def org() -> Iterator[SalesforceDouble]:
    with SalesforceDouble() as double:
        yield double


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of three, and query jobs from seven opportunities on."""
    monkeypatch.setattr("workers.connectors.salesforce.pulling.PAGE", 3)
    monkeypatch.setattr("workers.connectors.salesforce.pulling.SMALL", 6)


@asynccontextmanager
async def session_of(org: SalesforceDouble, **settings: str) -> AsyncIterator[TestSession]:
    async with TestSession(
        org.base_url, org.settings | settings, org.secrets, manifest=MANIFEST, now=org.now
    ) as session:
        yield session


def context(**changed: Any) -> MappingContext:
    return replace(
        MappingContext(
            now=datetime.now(UTC),
            timezone="UTC",
            currency="USD",
            domains=frozenset(),
            owner=None,
            members=frozenset(MEMBERS),
            mapping=DEFAULT_MAPPING,
            syncs=frozenset({"opportunities", "deals"}),
            rate=lambda _currency, _day: None,
            settings={},
        ),
        **changed,
    )


async def sync(
    org: SalesforceDouble, cursor: Cursor | None = None, **settings: str
) -> tuple[dict[str, Document], list[Page], Cursor]:
    """A whole sync; where Salesforce asks to wait, its clock goes on by as much."""
    pages: list[Page] = []
    async with session_of(org, **settings) as session:
        while not pages or not pages[-1].done:
            session.now = org.now
            try:
                page = await connector.pull(session, cursor)
            except RateLimited as limited:
                org.advance(seconds=limited.retry_after_seconds)
                continue
            pages.append(page)
            cursor = orjson.loads(orjson.dumps(page.cursor))
            assert len(pages) < 100
    assert cursor is not None
    documents = [document for page in pages for document in page.documents]
    return {document.id: document for document in documents}, pages, cursor


def record_of(document: Document, **changed: Any) -> OpportunityRecord:
    (record,) = connector.map(document, context(**changed), None).records
    made = decode_mapping(record)  # type: ignore[arg-type]
    assert isinstance(made, OpportunityRecord)
    return made


def test_what_it_is() -> None:
    assert connector.manifest is MANIFEST
    assert read_mapping(MANIFEST.default_mapping).owner == "OwnerId"
    assert MANIFEST.oauth is not None
    assert [scope.name for scope in MANIFEST.oauth.scopes] == ["api", "refresh_token"]


async def test_a_check_tells_the_organization_its_fields_and_the_newest(org: SalesforceDouble) -> None:
    org.columns["SDR__c"] = Column("reference", "SDR", reference=("User",))
    for number in range(12):
        org.advance(minutes=1)
        org.create(Name=f"Deal {number}")
    async with session_of(org) as session:
        account = await connector.check(session)
    assert (account.name, account.id) == ("Double Ltd.", "00DdL0000000001UAA")
    types = {field.name: field.type for field in account.fields}
    assert (types["Amount"], types["CloseDate"], types["OwnerId"], types["SDR__c"], types["StageName"]) == (
        "money",
        "date",
        "user",
        "user",
        "choice",
    )
    assert "AccountId" not in types
    assert "Description" not in types
    stage = next(field for field in account.fields if field.name == "StageName")
    assert stage.values[-2:] == ("Closed Won", "Closed Lost")
    assert check_mapping(read_mapping(DEFAULT_MAPPING), account.fields) == []
    names = [sample.data["fields"]["Name"] for sample in account.samples]
    assert sorted(names) == sorted(f"Deal {number}" for number in range(2, 12))
    assert all("SDR__c" in sample.data["fields"] for sample in account.samples)
    told = preview(read_mapping(DEFAULT_MAPPING), account.samples, context())
    assert told.sums.opportunities_created == 10
    assert told.sums.new_pipeline == Decimal(10005)


# A. Everything


async def test_what_a_document_holds(org: SalesforceDouble) -> None:
    first, second = list(org.users)
    boss = org.user(None)
    created = org.now
    deal = org.create(OwnerId=first, Amount=Decimal("1234567890123.45"))
    org.advance(days=1)
    proposed = org.now
    org.update(deal, StageName="Proposal")
    org.advance(days=1)
    org.update(deal, Amount=Decimal("1234567890123.46"))  # Notes the same stage again.
    moved = org.now
    org.update(deal, OwnerId=second)
    org.advance(days=1)
    won = org.now
    org.update(deal, StageName="Closed Won", OwnerId=boss)
    documents, _pages, _cursor = await sync(org)

    def stamp(instant: datetime) -> str:
        return instant.strftime("%Y-%m-%dT%H:%M:%S.000Z")

    data = documents[deal].data
    assert data["fields"]["Amount"] == "1234567890123.46"
    assert data["fields"]["IsWon"] is True
    assert data["fields"]["CurrencyIsoCode"] is None
    assert not {"attributes", "SystemModstamp", "IsDeleted"} & set(data["fields"])
    assert data["history"] == {
        "StageName": [[stamp(created), "Prospecting"], [stamp(proposed), "Proposal"], [stamp(won), "Closed Won"]],
        "IsClosed": [[stamp(created), False], [stamp(won), True]],
        "IsWon": [[stamp(created), False], [stamp(won), True]],
        "OwnerId": [[stamp(created), first], [stamp(moved), second], [stamp(won), boss]],
    }
    assert data["people"] == {first: "rep@double.test", second: "other@double.test", boss: None}
    record = record_of(documents[deal], mapping=DEFAULT_MAPPING | {"closedOn": {"history": True}, "credit": "CREATOR"})
    assert record.amount == Decimal("1234567890123.46")
    assert (record.user, record.closed_on, record.won) == ("rep@double.test", won.date(), True)


async def test_owners_have_a_history_only_where_salesforce_keeps_one(org: SalesforceDouble) -> None:
    org.tracked.clear()
    deal = org.create(StageName="Closed Won")
    documents, _pages, _cursor = await sync(org)
    assert "OwnerId" not in documents[deal].data["history"]
    with pytest.raises(RecordRefused) as refused:
        record_of(documents[deal], mapping=DEFAULT_MAPPING | {"credit": "OWNER_AT_CLOSE"})
    assert refused.value.code == "NO_HISTORY"
    assert record_of(documents[deal]).user == "rep@double.test"


async def test_histories_of_two_years_come_whole(org: SalesforceDouble) -> None:
    first, second = list(org.users)
    org.advance(days=-650)
    deal = org.create(OwnerId=first)
    org.advance(days=20)
    org.update(deal, OwnerId=second)
    org.advance(days=630)
    documents, _pages, _cursor = await sync(org)
    assert [owner for _at, owner in documents[deal].data["history"]["OwnerId"]] == [first, second]


async def test_a_history_that_is_kept_from_now_on_reads_everything_anew_within_a_day(org: SalesforceDouble) -> None:
    org.tracked.clear()
    deal = org.create()
    _documents, _pages, cursor = await sync(org)
    org.tracked.add("OwnerId")
    org.advance(hours=12)
    _documents, pages, cursor = await sync(org, cursor)
    assert not pages[0].begins_full
    org.advance(hours=12)
    documents, pages, cursor = await sync(org, cursor)
    assert pages[0].begins_full
    assert "OwnerId" in documents[deal].data["history"]
    org.advance(hours=25)
    _documents, pages, _cursor = await sync(org, cursor)
    assert not pages[0].begins_full


async def test_a_stage_that_salesforce_does_not_know_any_more(org: SalesforceDouble) -> None:
    deal = org.create(StageName="Closed Won")
    org.history[0]["StageName"] = "Gewonnen"
    documents, _pages, _cursor = await sync(org)
    assert set(documents[deal].data["history"]) == {"StageName", "OwnerId"}
    assert record_of(documents[deal], mapping=DEFAULT_MAPPING | {"closedOn": {"history": True}}).won is True


@pytest.mark.parametrize("count", [0, 1, 3, 6, 7, 20])
@pytest.mark.usefixtures("small_pages")
async def test_everything_comes_by_pages_or_by_a_job(org: SalesforceDouble, count: int) -> None:
    org.rest_page = 2
    org.job_states = ["UploadComplete", "InProgress"]
    ids = org.add(count)
    documents, pages, _cursor = await sync(org)
    assert sorted(documents) == sorted(ids)
    assert [page.begins_full for page in pages] == [True] + [False] * (len(pages) - 1)
    assert pages[0].total == count
    assert max(len(page.documents) for page in pages) <= 3
    assert bool(org.jobs) == (count > 6)
    assert {record_of(document).user for document in documents.values()} <= set(MEMBERS)


@pytest.mark.usefixtures("small_pages")
async def test_both_ways_make_the_same_documents(org: SalesforceDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    org.columns["Note__c"] = Column("string", "Note")
    for number in range(7):
        org.create(Note__c=f'Say "{number}",\nthen go', Amount=None if number else Decimal("10.10"))
    by_job, _pages, _cursor = await sync(org, fields="Note__c")
    assert org.jobs
    monkeypatch.setattr("workers.connectors.salesforce.pulling.SMALL", 1_000)
    by_pages, _pages, _cursor = await sync(org, fields="Note__c")
    assert by_job == by_pages
    assert by_job[min(by_job)].data["fields"]["Note__c"] == 'Say "0",\nthen go'


@pytest.mark.usefixtures("small_pages")
async def test_what_changes_while_everything_is_loaded_comes_after(org: SalesforceDouble) -> None:
    ids = org.add(8)
    async with session_of(org) as session:
        page = await connector.pull(session, None)
        assert page.documents == ()
        org.update(ids[0], Name="Changed")
        new = org.create()
        org.remove(ids[1])
        documents = {}
        while not page.done:
            page = await connector.pull(session, orjson.loads(orjson.dumps(page.cursor)))
            documents |= {document.id: document for document in page.documents}
    assert documents[ids[0]].data["fields"]["Name"] == "Changed"
    assert new in documents
    assert documents[ids[1]].deleted
    assert len(documents) == 9


@pytest.mark.usefixtures("small_pages")
async def test_while_a_job_runs_salesforce_is_asked_less_and_less_often(org: SalesforceDouble) -> None:
    org.add(7)
    org.job_states = ["InProgress"] * 5
    waits = []
    async with session_of(org) as session:
        page = await connector.pull(session, None)
        for _ in range(5):
            with pytest.raises(RateLimited) as limited:
                await connector.pull(session, page.cursor)
            waits.append(limited.value.retry_after_seconds)
            org.advance(seconds=120)
        page = await connector.pull(session, page.cursor)
    assert len(page.documents) == 3
    assert waits[0] == 5.0
    assert waits == sorted(waits)
    assert waits[-1] == 60.0


@pytest.mark.usefixtures("small_pages")
async def test_a_job_that_fails_is_made_again_then_told(org: SalesforceDouble) -> None:
    org.add(7)
    org.job_error = "InternalServerError : Retry later"
    async with session_of(org) as session:
        page = await connector.pull(session, None)
        for _ in range(3):
            page = await connector.pull(session, page.cursor)
            assert (page.documents, page.done) == ((), False)
        with pytest.raises(RemoteRefused, match="Retry later"):
            await connector.pull(session, page.cursor)
    assert len(org.jobs) == 4


@pytest.mark.usefixtures("small_pages")
async def test_results_that_are_gone_or_broken_off(org: SalesforceDouble) -> None:
    org.add(7)
    async with session_of(org) as session:
        page = await connector.pull(session, None)
        org.strip_locator = True
        with pytest.raises(RemoteUnavailable, match="3 of 7"):
            await connector.pull(session, page.cursor)
        org.strip_locator = False
        page = await connector.pull(session, page.cursor)
        org.advance(days=8)
        with pytest.raises(CursorExpired):
            await connector.pull(session, page.cursor)


@pytest.mark.usefixtures("small_pages")
async def test_without_the_bulk_api_everything_comes_by_pages(org: SalesforceDouble) -> None:
    org.bulk_enabled = False
    ids = org.add(8)
    documents, _pages, _cursor = await sync(org)
    assert sorted(documents) == sorted(ids)


# B. Changes


async def test_a_sync_without_news_costs_two_requests(org: SalesforceDouble) -> None:
    ids = org.add(30)
    _documents, _pages, cursor = await sync(org)
    _documents, pages, cursor = await sync(org, cursor)
    assert not any(page.documents for page in pages[1:])
    for minutes in (0, 1, 60):
        org.advance(minutes=minutes)
        before = len(org.requests)
        documents, pages, cursor = await sync(org, cursor)
        assert documents == {}
        assert len(pages) == 1
        assert len(org.requests) - before == 2
    org.change(ids[4])
    documents, _pages, _cursor = await sync(org, cursor)
    assert list(documents) == [ids[4]]


@pytest.mark.usefixtures("small_pages")
async def test_the_cost_of_a_page_does_not_grow_with_its_opportunities(
    org: SalesforceDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.connectors.salesforce.pulling.PAGE", 300)
    monkeypatch.setattr("workers.connectors.salesforce.pulling.SMALL", 1_000)
    costs = []
    for count in (1, 250):
        org.add(count)
        before = len(org.requests)
        await sync(org)
        costs.append(len(org.requests) - before)
    assert costs[0] == costs[1]


@pytest.mark.usefixtures("small_pages")
async def test_changes_of_one_second_are_not_lost_between_pages(org: SalesforceDouble) -> None:
    ids = org.add(20)
    _documents, _pages, cursor = await sync(org)
    org.advance(hours=1)
    at = org.now
    for one in ids[:11]:
        org.update(one, Name="Changed at once")
        org.opportunities[one].values["SystemModstamp"] = at
    documents, pages, _cursor = await sync(org, cursor)
    assert sorted(documents) == sorted(ids[:11])
    assert len(pages) == 7  # With those of before, which are in the overlap and have not changed.


@pytest.mark.usefixtures("small_pages")
async def test_what_changes_during_a_sync_comes_in_it_or_in_the_next(org: SalesforceDouble) -> None:
    ids = org.add(12)
    _documents, _pages, cursor = await sync(org)
    org.advance(hours=1)
    for one in ids:
        org.update(one, Name="First")
    names: dict[str, str] = {}
    async with session_of(org) as session:
        page = await connector.pull(session, cursor)
        names |= {document.id: document.data["fields"]["Name"] for document in page.documents}
        for one in (ids[0], ids[-1]):
            org.update(one, Name="Second")
        while not page.done:
            page = await connector.pull(session, page.cursor)
            names |= {document.id: document.data["fields"]["Name"] for document in page.documents}
    documents, _pages, _cursor = await sync(org, page.cursor)
    names |= {document.id: document.data["fields"]["Name"] for document in documents.values()}
    assert names == dict.fromkeys(ids, "First") | {ids[0]: "Second", ids[-1]: "Second"}


async def test_a_transaction_that_ends_late_is_not_missed(org: SalesforceDouble) -> None:
    deal, other = org.add(2)
    _documents, _pages, cursor = await sync(org)
    org.advance(minutes=30)
    begun = org.now
    org.advance(minutes=4)
    org.change(other)
    _documents, _pages, cursor = await sync(org, cursor)
    org.change(deal)
    org.opportunities[deal].values["SystemModstamp"] = begun  # Written before the last sync, to be seen only now.
    documents, _pages, _cursor = await sync(org, cursor)
    assert list(documents) == [deal]


async def test_a_second_change_within_the_same_second_is_not_taken_for_the_first(org: SalesforceDouble) -> None:
    (deal,) = org.add(1)
    _documents, _pages, cursor = await sync(org)
    stamp = org.opportunities[deal].values["SystemModstamp"]
    _documents, _pages, cursor = await sync(org, cursor)
    org.update(deal, Amount=Decimal(2))
    org.opportunities[deal].values["SystemModstamp"] = stamp
    documents, _pages, _cursor = await sync(org, cursor)
    assert documents[deal].data["fields"]["Amount"] == "2.0"


@pytest.mark.usefixtures("small_pages")
async def test_a_page_that_was_not_kept_comes_again(org: SalesforceDouble) -> None:
    ids = org.add(5)
    async with session_of(org) as session:
        first = await connector.pull(session, None)
        again = await connector.pull(session, first.cursor)
        same = await connector.pull(session, first.cursor)
    assert {document.id for document in again.documents} == {document.id for document in same.documents} == set(ids[3:])


# C. Deletions


async def test_what_is_deleted_goes_and_what_is_taken_back_stays(org: SalesforceDouble) -> None:
    binned, purged, back, other, kept = org.add(5)
    _documents, _pages, cursor = await sync(org)
    org.advance(hours=1)
    for one in (binned, purged, back):
        org.remove(one)
    org.purge(purged)
    documents, _pages, cursor = await sync(org, cursor)
    assert {one.id: one.deleted for one in documents.values()} == {binned: True, purged: True, back: True}
    org.advance(hours=1)
    org.undelete(back)  # The log may go on telling of it.
    org.remove(other)
    documents, _pages, cursor = await sync(org, cursor)
    assert {one: documents[one].deleted for one in (back, other)} == {back: False, other: True}
    org.advance(hours=1)
    org.remove(back)
    documents, _pages, _cursor = await sync(org, cursor)
    assert documents[back].deleted
    assert kept not in documents


async def test_what_the_log_has_forgotten_comes_from_the_recycle_bin(org: SalesforceDouble) -> None:
    deal, _other = org.add(2)
    _documents, _pages, cursor = await sync(org)
    org.advance(hours=1)
    org.remove(deal)
    org.deleted_log.clear()
    documents, _pages, _cursor = await sync(org, cursor)
    assert {one.id: one.deleted for one in documents.values()} == {deal: True}


async def test_a_log_that_is_held_back_by_a_long_transaction(org: SalesforceDouble) -> None:
    late, other = org.add(2)
    _documents, _pages, cursor = await sync(org)
    org.advance(hours=1)
    org.latest_covered = begun = org.now
    org.advance(hours=3)
    org.remove(other)
    documents, _pages, cursor = await sync(org, cursor)
    assert list(documents) == [other]
    org.advance(hours=1)
    org.purge(late)
    org.deleted_log.append((late, begun + timedelta(minutes=1)))
    documents, _pages, cursor = await sync(org, cursor)
    assert documents[late].deleted
    before = len(org.requests)
    documents, _pages, _cursor = await sync(org, cursor)
    assert documents == {}
    assert len(org.requests) - before == 2


async def test_after_two_weeks_everything_is_listed_anew(org: SalesforceDouble) -> None:
    org.add(2)
    _documents, _pages, cursor = await sync(org)
    org.advance(days=13)
    _documents, _pages, cursor = await sync(org, cursor)
    org.advance(days=15)
    async with session_of(org) as session:
        with pytest.raises(CursorExpired):
            await connector.pull(session, cursor)


async def test_after_a_mass_deletion_everything_is_listed_anew_once(
    org: SalesforceDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.connectors.salesforce.pulling.DELETED_LIMIT", 3)
    ids = org.add(6)
    _documents, _pages, cursor = await sync(org)
    org.advance(hours=1)
    for one in ids[:4]:
        org.remove(one)
        org.purge(one)
    async with session_of(org) as session:
        with pytest.raises(CursorExpired, match="4 opportunities were deleted"):
            await connector.pull(session, cursor)
    documents, _pages, _cursor = await sync(org)
    assert {one.id for one in documents.values() if not one.deleted} == set(ids[4:])


async def test_a_cursor_of_another_version_begins_anew(org: SalesforceDouble) -> None:
    async with session_of(org) as session:
        with pytest.raises(CursorExpired):
            await connector.pull(session, {"from": "yesterday"})


# D. The schema


async def test_a_mapping_that_names_another_field_reads_everything_anew(org: SalesforceDouble) -> None:
    org.columns["SDR__c"] = Column("reference", "SDR", reference=("User",))
    second = list(org.users)[1]
    deal = org.create(SDR__c=second)
    documents, _pages, cursor = await sync(org)
    assert "SDR__c" not in documents[deal].data["fields"]
    org.advance(hours=1)
    documents, pages, cursor = await sync(org, cursor, fields="SDR__c,Amount")
    assert pages[0].begins_full
    mapping = DEFAULT_MAPPING | {"credit": {"field": "SDR__c"}}
    assert record_of(documents[deal], mapping=mapping).user == "other@double.test"
    _documents, pages, _cursor = await sync(org, cursor, fields="Amount")
    assert not pages[0].begins_full


async def test_a_field_that_the_mapping_names_and_that_goes_is_told_by_name(org: SalesforceDouble) -> None:
    org.columns["Deal_Size__c"] = Column("currency", "Deal size")
    org.create(Deal_Size__c=Decimal(5))
    _documents, _pages, cursor = await sync(org, fields="Deal_Size__c")
    org.columns["Deal_Size_2__c"] = org.columns.pop("Deal_Size__c")
    async with session_of(org, fields="Deal_Size__c") as session:
        with pytest.raises(RemoteRefused) as refused:
            await connector.pull(session, cursor)
        assert refused.value.message == (
            "Salesforce's Opportunity has no field Deal_Size__c any more (is it Deal_Size_2__c?): let the "
            "integration's user see it, or save a field mapping that names another."
        )


async def test_a_field_that_no_mapping_names_may_go_and_come_back(org: SalesforceDouble) -> None:
    deal = org.create()
    _documents, _pages, cursor = await sync(org)
    amount = org.columns.pop("Amount")
    org.advance(hours=1)
    org.update(deal, Name="Changed")
    documents, pages, cursor = await sync(org, cursor)
    assert not any(page.begins_full for page in pages)
    with pytest.raises(RecordRefused) as refused:
        record_of(documents[deal])
    assert (refused.value.code, refused.value.field) == ("MISSING_FIELD", "amount")
    org.columns["Amount"] = amount
    org.advance(hours=1)
    documents, pages, _cursor = await sync(org, cursor)
    assert pages[0].begins_full
    assert record_of(documents[deal]).amount == Decimal("1000.5")


async def test_surprises_in_a_document_are_refused_and_the_rest_goes_on(org: SalesforceDouble) -> None:
    bad, good = org.add(2)
    org.spoil(bad)
    documents, _pages, cursor = await sync(org)
    with pytest.raises(RecordRefused) as refused:
        record_of(documents[bad])
    assert (refused.value.code, refused.value.field) == ("INVALID", "stage")
    assert record_of(documents[good]).external_id == good
    org.mend(bad)
    documents, _pages, _cursor = await sync(org, cursor)
    assert record_of(documents[bad]).stage == "Prospecting"
    with pytest.raises(RecordRefused):
        connector.map(Document("Account", "1", {}), context(), None)


# E. Faults


async def test_an_ended_token_is_refreshed_and_a_refused_refresh_asks_for_a_person(org: SalesforceDouble) -> None:
    org.add(1)
    org.access_token = "another"
    async with session_of(org) as session:
        page = await connector.pull(session, None)
        assert len(page.documents) == 1
        assert session.refreshed == 1
        org.faults.append(Fault(expire=True))
        await connector.pull(session, page.cursor)
        assert session.refreshed == 2
        org.access_token, org.refresh_token = "yet another", "gone"
        with pytest.raises(SignInNeeded):
            await connector.pull(session, page.cursor)


@pytest.mark.parametrize(
    ("message", "seconds"),
    [("TotalRequests Limit exceeded.", 900.0), ("ConcurrentPerOrgLongTxn Limit exceeded.", 30.0)],
)
async def test_a_spent_limit_is_patience_not_failure(org: SalesforceDouble, message: str, seconds: float) -> None:
    org.requests_limit = message
    async with session_of(org) as session:
        with pytest.raises(RateLimited) as limited:
            await connector.pull(session, None)
    assert limited.value.retry_after_seconds == seconds
    assert message in limited.value.message


def error(code: str, status: int = 400) -> Fault:
    return Fault(status=status, body=orjson.dumps([{"errorCode": code, "message": "So it is."}]).decode())


def without(name: str) -> Callable[[Any], Any]:
    return lambda told: {key: value for key, value in told.items() if key != name}


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (error("QUERY_TIMEOUT"), RemoteUnavailable),
        (error("INVALID_QUERY_LOCATOR"), RemoteUnavailable),
        (error("MALFORMED_QUERY"), RemoteRefused),
        (error("API_DISABLED_FOR_ORG", 403), RemoteRefused),
        (Fault(status=403, body="<html>"), RemoteRefused),
        (Fault(status=500), RemoteUnavailable),
        (Fault(status=503), RemoteUnavailable),
        (Fault(cut=True), RemoteUnavailable),
        (Fault(mangle=without("records")), RemoteUnavailable),
        (Fault(mangle=lambda told: told | {"records": [{"Name": "No id"}]}), RemoteUnavailable),
        (
            Fault(mangle=lambda told: told | {"done": False, "nextRecordsUrl": "http://elsewhere.test/"}),
            RemoteUnavailable,
        ),
        (Fault(status=200, body="gibberish"), RemoteUnavailable),
    ],
)
async def test_faults_are_told_as_what_they_are_and_lose_nothing(
    org: SalesforceDouble, fault: Fault, kind: type[Exception]
) -> None:
    ids = org.add(3)
    _documents, _pages, cursor = await sync(org)
    org.advance(hours=1)
    org.change(ids[0])
    org.faults.append(fault)
    async with session_of(org) as session:
        with pytest.raises(kind) as raised:
            await connector.pull(session, cursor)
        assert type(raised.value) is kind or issubclass(type(raised.value), kind)
    documents, _pages, _cursor = await sync(org, cursor)
    assert list(documents) == [ids[0]]


async def test_a_field_that_is_refused_though_it_is_there_is_told_rather_than_tried_for_ever(
    org: SalesforceDouble,
) -> None:
    org.add(1)
    _documents, _pages, cursor = await sync(org)
    org.faults.append(error("INVALID_FIELD"))
    async with session_of(org) as session:
        with pytest.raises(RemoteRefused, match="INVALID_FIELD"):
            await connector.pull(session, cursor)


async def test_any_request_may_fail_and_the_sync_still_brings_everything(org: SalesforceDouble) -> None:
    ids = org.add(3)
    await sync(org)
    for place in range(len(org.requests)):
        org.faults.extend([Fault()] * place + [Fault(status=500)])
        cursor: Cursor | None = None
        found: set[str] = set()
        async with session_of(org) as session:
            for _ in range(10):
                try:
                    page = await connector.pull(session, cursor)
                except RemoteUnavailable:
                    continue
                found |= {document.id for document in page.documents}
                cursor = page.cursor
                if page.done:
                    break
        org.faults.clear()
        assert found == set(ids)


async def test_histories_that_may_not_be_seen(org: SalesforceDouble) -> None:
    """Without the permission to look at the setup, no history of owners is claimed."""
    (deal,) = org.add(1)
    org.faults.extend([Fault(), error("INSUFFICIENT_ACCESS", 403)])
    documents, _pages, _cursor = await sync(org)
    assert "OwnerId" not in documents[deal].data["history"]


# F. Rates


async def test_rates_are_in_the_teams_currency_and_come_only_when_they_change() -> None:
    with SalesforceDouble(currencies=True) as org:
        deal = org.create(CurrencyIsoCode="EUR")
        documents, pages, cursor = await sync(org, currency="USD")
        assert pages[-1].rates == [
            Rate("EUR", date(2000, 1, 1), Decimal("1.25")),
            Rate("JPY", date(2000, 1, 1), Decimal("0.006666666667")),
        ]
        assert record_of(documents[deal], rate=lambda _currency, _day: Decimal("1.25")).exchange_rate == Decimal("1.25")
        with pytest.raises(RecordRefused) as refused:
            record_of(documents[deal])
        assert refused.value.code == "NO_EXCHANGE_RATE"
        _documents, pages, cursor = await sync(org, cursor, currency="USD")
        assert list(pages[-1].rates) == []
        org.advance(hours=1)
        org.rate("EUR", date(2026, 1, 1), "0.5")
        _documents, pages, cursor = await sync(org, cursor, currency="USD")
        assert Rate("EUR", date(2026, 1, 1), Decimal(2)) in pages[-1].rates
        before = Counter(org.requests)
        _documents, pages, cursor = await sync(org, cursor, currency="USD")
        assert list(pages[-1].rates) == []
        assert sum((Counter(org.requests) - before).values()) == 4
        _documents, pages, cursor = await sync(org, cursor, currency="EUR")
        assert Rate("USD", date(2026, 1, 1), Decimal("0.5")) in pages[-1].rates
        assert Rate("JPY", date(2026, 1, 1), Decimal("0.003333333333")) in pages[-1].rates
        _documents, pages, _cursor = await sync(org, cursor, currency="CHF")
        assert list(pages[-1].rates) == []


def test_rates_that_make_no_sense_are_left_out() -> None:
    types = [
        {"IsoCode": "USD", "IsCorporate": True, "ConversionRate": None},
        {"IsoCode": "EUR", "ConversionRate": 0},
        {"IsoCode": "GBP", "ConversionRate": "x"},
        {"IsoCode": None, "ConversionRate": 1},
        {"IsoCode": "CHF", "ConversionRate": "0.9"},
    ]
    dated = [{"IsoCode": "EUR", "StartDate": "2026-13-01", "ConversionRate": 1}, {"StartDate": 7}]
    dated += [{"IsoCode": "EUR", "StartDate": "2026-02-01", "ConversionRate": "0.5"}]
    assert convert(types, dated, "USD") == [
        Rate("CHF", date(2000, 1, 1), Decimal("1.111111111111")),
        Rate("EUR", date(2026, 2, 1), Decimal(2)),
    ]


def test_ids_of_fifteen_characters() -> None:
    assert full_id("001A0000006Vm9r") == "001A0000006Vm9rIAC"
    assert full_id("001A0000006Vm9rIAC") == "001A0000006Vm9rIAC"
    assert full_id("Jane Doe") is None
    assert full_id(None) is None


async def test_the_double_is_strict_about_soql(org: SalesforceDouble) -> None:
    async with session_of(org) as session:
        for soql, code in (
            ("SELECT Id FROM Opportunity WHERE Id > 'a' AND Id < 'b' OR IsWon = true", "MALFORMED_QUERY"),
            ("SELECT FIELDS(ALL) FROM Opportunity", "MALFORMED_QUERY"),
            ("SELECT Id FROM Opportunity WHERE SystemModstamp > '2026-01-01T00:00:00Z'", "INVALID_FIELD"),
            ("SELECT Id FROM OpportunityFieldHistory WHERE NewValue = 'x'", "INVALID_FIELD"),
            ("SELECT Nothing FROM Opportunity", "INVALID_FIELD"),
            ("SELECT Id FROM DatedConversionRate", "INVALID_TYPE"),
        ):
            response = await session.request("GET", f"{API}/query", params={"q": soql}, expected=(400,))
            assert response.json()[0]["errorCode"] == code
