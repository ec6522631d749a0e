"""Deals of HubSpot, against a double that is held to HubSpot's own description.

Invariants:
A. A deal becomes a record on the right days, in the right currency, of the right person, by the default mapping.
B. Whatever a deal holds, mapping answers with a record or a RecordRefused, and pulling goes on.
C. Nothing that changed is lost: equal instants, changes while pages are read, a search that is behind, more deals than
   a query gives, pages that come twice.
D. What is gone is told gone: archived, merged, purged.
E. A sync that finds nothing asks once; every page asks for a bounded number.
F. HubSpot's limits and refusals are told as what they are.
G. Every request and answer is as HubSpot describes it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import msgspec
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.connectors import (
    Cursor,
    CursorExpired,
    Document,
    Manifest,
    MappingContext,
    Page,
    Person,
    RateLimited,
    RemoteRefused,
    RemoteUnavailable,
    SignInNeeded,
)
from domain.field_mapping import check_mapping, read_mapping
from domain.records import OpportunityRecord, RecordRefused, decode_mapping
from tests.doubles.base import Fault
from tests.doubles.hubspot import COMPANIES_PATH, DEALS_PATH, HubSpotDouble, iso, rate_limited
from tests.workers.connectors.session import TestSession, pull_all
from workers.connectors import hubspot
from workers.connectors.hubspot import api, connector
from workers.connectors.hubspot.fields import field_type, instant, neutral

REP, OTHER = HubSpotDouble.people
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


@pytest.fixture
def double() -> Iterator[HubSpotDouble]:
    with HubSpotDouble() as running:
        yield running


@asynccontextmanager
async def session_with(double: HubSpotDouble, *, later: timedelta = timedelta()) -> AsyncIterator[TestSession]:
    settings = {"company_currency": "USD", "time_zone": "America/New_York"}
    now = datetime.now(UTC) + later
    async with TestSession(double.base_url, settings, double.secrets, manifest=connector.manifest, now=now) as session:
        yield session


async def sync(
    double: HubSpotDouble, cursor: Cursor | None = None, *, later: timedelta = timedelta()
) -> tuple[list[Page], Cursor, list[str]]:
    """A whole sync: its pages, the next cursor, and what was asked for."""
    asked = len(double.seen)
    async with session_with(double, later=later) as session:
        pages, cursor = await pull_all(connector, session, cursor)
    return pages, cursor, [one.path for one in double.seen[asked:] if one.path not in double.token_paths]


def documents(pages: list[Page]) -> dict[str, Document]:
    """The last of each document."""
    return {one.id: one for page in pages for one in page.documents}


def context(**changes: Any) -> MappingContext:
    values: dict[str, Any] = {
        "now": NOW,
        "timezone": "America/New_York",
        "currency": "USD",
        "domains": frozenset({"double.test"}),
        "owner": None,
        "members": frozenset(HubSpotDouble.people),
        "mapping": connector.manifest.default_mapping,
        "syncs": frozenset({"opportunities", "deals"}),
        "rate": lambda _currency, _day: None,
        "settings": {},
    }
    return MappingContext(**(values | changes))


def record(document: Document, **changes: Any) -> OpportunityRecord:
    mapped = connector.map(document, context(**changes), None)
    assert len(mapped.records) == 1
    given = mapped.records[0]
    assert isinstance(given, Mapping)
    decoded = decode_mapping(given)
    assert isinstance(decoded, OpportunityRecord)
    return decoded


# Mapping


async def test_a_deal_becomes_an_opportunity_on_the_right_days(double: HubSpotDouble) -> None:
    """A, G: 03:00 UTC is the day before in New York; the close date that people wrote does not count."""
    made = datetime(2026, 3, 2, 3, tzinfo=UTC)
    deal = double.add_deal(at=made, owner=REP, amount="99.50", closedate="2026-12-31T00:00:00Z")
    double.set(deal, at=made + timedelta(days=3), dealstage="contractsent")
    double.set(deal, at=made + timedelta(days=9), dealstage="closedwon", hubspot_owner_id=double.owner_id(OTHER))
    pages, _cursor, _asked = await sync(double)
    found = record(documents(pages)[deal])
    assert (found.created_on, found.pipeline_on) == (date(2026, 3, 1), date(2026, 3, 1))
    assert (found.closed_on, found.won) == (date(2026, 3, 10), True)
    assert (found.external_id, found.user, found.name) == (deal, OTHER, f"Deal {deal}")
    assert (found.stage, found.amount, found.currency) == ("Closed won (Sales)", Decimal("99.50"), "USD")
    mapping = dict(connector.manifest.default_mapping or {})
    by_stage = record(
        documents(pages)[deal],
        mapping=mapping | {"credit": "CREATOR", "pipeline": {"stages": ["contractsent"]}},
    )
    assert (by_stage.user, by_stage.pipeline_on) == (REP, date(2026, 3, 4))


async def test_lost_open_and_reopened(double: HubSpotDouble) -> None:
    """A."""
    made = datetime(2026, 3, 2, 15, tzinfo=UTC)
    lost, opened = (double.add_deal(at=made, owner=REP) for _ in range(2))
    for deal in (lost, opened):
        double.set(deal, at=made + timedelta(days=2), dealstage="closedlost")
    double.set(opened, at=made + timedelta(days=4), dealstage="contractsent")
    found = documents((await sync(double))[0])
    assert (record(found[lost]).closed_on, record(found[lost]).won) == (date(2026, 3, 4), False)
    assert (record(found[opened]).closed_on, record(found[opened]).won) == (None, None)


async def test_money_in_other_currencies(double: HubSpotDouble) -> None:
    """A: HubSpot's own conversion where it is to the team's currency, else the team's rate; no code: the account's."""
    converted = double.add_deal(
        owner=REP, amount="200", deal_currency_code="EUR", amount_in_home_currency="217.90", hs_exchange_rate="1.08"
    )
    nothing = double.add_deal(owner=REP, amount="0", deal_currency_code="EUR", hs_exchange_rate="1.08")
    unknown = double.add_deal(owner=REP, amount="10", deal_currency_code="GBP")
    absent = double.add_deal(owner=REP, amount="7", deal_currency_code=None)
    none = double.add_deal(owner=REP, amount=None)
    found = documents((await sync(double))[0])
    assert record(found[converted]).exchange_rate == Decimal("1.0895")
    assert record(found[nothing]).exchange_rate == Decimal("1.08")
    assert record(found[none]).amount is None
    assert record(found[absent]).currency == "USD"
    with pytest.raises(RecordRefused, match="no rate of GBP"):
        record(found[unknown])
    by_team = record(found[converted], currency="CHF", rate=lambda currency, _day: {"EUR": Decimal("0.95")}[currency])
    assert by_team.exchange_rate == Decimal("0.95")
    only_opportunities = record(found[unknown], syncs=frozenset({"opportunities"}))
    assert only_opportunities.amount is None


async def test_other_fields_can_be_mapped(double: HubSpotDouble) -> None:
    """A: what the check describes is in the documents, with nulls where HubSpot has none."""
    engineer = double.owner_id(OTHER)
    signed = double.add_deal(
        owner=REP, my_signed_on="2026-02-03", my_engineer=engineer, my_fee="12", dealstage="34829135"
    )
    double.set(signed, my_strategic="true", my_signed_on="1770076800000", closedate="1770076800000")
    bare = double.add_deal(owner=REP)
    mapping = dict(connector.manifest.default_mapping or {}) | {
        "closedOn": {"field": "my_signed_on"},
        "credit": {"field": "my_engineer"},
        "amount": "my_fee",
        "won": {"field": "my_strategic"},
        "lost": {"stages": ["closedlost"]},
    }
    async with session_with(double) as session:
        account = await connector.check(session)
    assert check_mapping(read_mapping(mapping), account.fields) == []
    found = documents((await sync(double))[0])
    made = record(found[signed], mapping=mapping)
    assert (made.closed_on, made.won, made.user, made.amount) == (date(2026, 2, 3), True, OTHER, Decimal(12))
    assert found[signed].data["fields"]["closedate"] == "2026-02-03T00:00:00+00:00"
    with pytest.raises(RecordRefused) as refused:
        record(found[bare], mapping=mapping)
    assert refused.value.code == "NO_OWNER"


async def test_owners(double: HubSpotDouble) -> None:
    """A: those who have left still have an address; who has none is known by the id; nobody is refused."""
    left = double.add_owner("Left@Double.test ", archived=True)
    queue = double.add_owner(None, kind="QUEUE")
    deals = {owner: double.add_deal(hubspot_owner_id=owner) for owner in (left, queue, "999999", "not-a-number", None)}
    late = double.add_deal()
    double.set(late, at=double.now() + timedelta(days=1), hubspot_owner_id=left)
    pages, _cursor, asked = await sync(double)
    found = documents(pages)
    assert record(found[deals[left]]).user == "left@double.test"
    assert record(found[deals[queue]]).user == f"hubspot:{queue}"
    assert record(found[deals["999999"]]).user == "hubspot:999999"
    with pytest.raises(RecordRefused) as refused:
        record(found[deals[None]])
    assert refused.value.code == "NO_OWNER"
    assert Person(f"hubspot:{left}", "left@double.test") in pages[0].people
    assert found[late].data["history"]["hubspot_owner_id"][0][1] is None
    assert sum(path.startswith("/crm/v3/owners") for path in asked) <= 6


async def test_many_owners_are_asked_for_at_once(double: HubSpotDouble) -> None:
    """E."""
    double.limits["owners"] = 5
    owners = [double.add_owner(f"{number}@double.test", archived=number % 3 == 0) for number in range(18)]
    deals = [double.add_deal(hubspot_owner_id=owner) for owner in owners]
    pages, cursor, asked = await sync(double)
    found = documents(pages)
    assert [record(found[deal]).user for deal in deals] == [f"{number}@double.test" for number in range(18)]
    assert asked.count("/crm/v3/owners") == 5
    assert "known" not in cursor


def test_the_default_mapping_is_one() -> None:
    assert read_mapping(connector.manifest.default_mapping).stage == "dealstage"


def test_the_manifest_survives_the_table() -> None:
    manifest = connector.manifest
    assert msgspec.convert(orjson.loads(orjson.dumps(msgspec.to_builtins(manifest))), Manifest) == manifest


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
TYPES = {
    "dealname": "text",
    "dealstage": "choice",
    "createdate": "datetime",
    "closedate": "date",
    "hubspot_owner_id": "user",
    "hs_is_closed": "boolean",
    "my_engineer": "user",
}
PROPERTIES = st.dictionaries(
    st.sampled_from([*hubspot.ALWAYS, "my_engineer", "closedate"]),
    JSON | st.sampled_from(["true", "false", "2026-01-02T03:04:05.678Z", "1770076800000", "closedwon", "12.5", "EUR"]),
)
VERSIONS = st.lists(
    st.fixed_dictionaries({"timestamp": JSON | st.just("2026-01-02T03:04:05Z"), "value": JSON}) | JSON, max_size=4
)


@given(
    deal=st.fixed_dictionaries(
        {"id": st.just("7")},
        optional={
            "properties": PROPERTIES | JSON,
            "propertiesWithHistory": st.dictionaries(
                st.sampled_from(["dealstage", "hubspot_owner_id"]), VERSIONS | JSON
            )
            | JSON,
            "createdAt": JSON | st.just("2026-01-02T03:04:05.678Z"),
        },
    ),
    currency=st.sampled_from(["USD", "EUR", None]),
)
def test_surprises_are_refused_and_nothing_else(deal: dict[str, Any], currency: str | None) -> None:
    """B."""
    data = neutral(deal, TYPES, {"closedwon": "Won"}, {}, None, currency)  # type: ignore[arg-type]
    data = orjson.loads(orjson.dumps(data, option=orjson.OPT_NON_STR_KEYS))
    hubspot.merged_into(deal)
    for held in (data, orjson.dumps(data)):
        try:
            mapped = connector.map(Document("deals", "7", held), context(), None)
        except RecordRefused:
            continue
        assert all(isinstance(one, Mapping) for one in mapped.records)


@given(data=JSON)
def test_documents_of_another_form_are_refused(data: Any) -> None:
    """B."""
    with pytest.raises(RecordRefused):
        connector.map(Document("deals", "7", data), context(), None)
    with pytest.raises(RecordRefused):
        connector.map(Document("deals", "7", b"{"), context(), None)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("2026-01-02T03:04:05.678Z", datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)),
        ("1767322800000", datetime(2026, 1, 2, 3, tzinfo=UTC)),
        (-1000, datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("2026-01-02", None),
        ("9" * 18, None),
        ("9999-12-31T23:59:59-23:00", None),
        ("", None),
        (True, None),
        (None, None),
        ([], None),
    ],
)
def test_instants(given: Any, expected: datetime | None) -> None:
    assert instant(given) == expected


def test_types_of_properties() -> None:
    known = {
        "money": {"type": "number", "showCurrencySymbol": True},
        "number": {"type": "number"},
        "boolean": {"type": "enumeration", "fieldType": "booleancheckbox"},
        "choice": {"type": "enumeration", "fieldType": "select"},
        "user": {"type": "enumeration", "referencedObjectType": "OWNER"},
        "date": {"type": "date"},
        "datetime": {"type": "datetime"},
        "text": {"type": "something of next year"},
    }
    assert {field_type(one) for one in known.values()} == set(known)
    assert all(field_type(one) == kind for kind, one in known.items())
    assert field_type({}) == "text"


# The check


async def test_check(double: HubSpotDouble) -> None:
    """G: the account, its fields with the stages of all pipelines, and its ten newest deals."""
    deals = double.add(8) + double.add(8)
    async with session_with(double) as session:
        account = await connector.check(session)
    assert (account.id, account.name) == ("62515", "HubSpot account 62515")
    assert account.settings == {"company_currency": "USD", "time_zone": "America/New_York"}
    fields = {field.name: field for field in account.fields}
    assert fields["dealstage"].values[-1] == "34829135"
    assert fields["dealstage"].labels[-1] == "Renewed (Renewals)"
    assert fields["hubspot_owner_id"].type == "user"
    assert fields["hs_all_owner_ids"].type == "text"
    assert fields["my_fee"].type == "money"
    assert not fields.keys() & {"hs_internal", "hs_time_in_closedwon", "hs_merged_object_ids"}
    assert check_mapping(read_mapping(connector.manifest.default_mapping), account.fields) == []
    assert len(account.samples) == 10
    assert set(deals[8:]) <= {sample.id for sample in account.samples}
    assert all(record(sample).user in double.people for sample in account.samples)


async def test_check_of_an_empty_account(double: HubSpotDouble) -> None:
    async with session_with(double) as session:
        assert (await connector.check(session)).samples == ()


# Pulling


async def test_the_first_sync_lists_all_and_the_next_asks_once(double: HubSpotDouble) -> None:
    """C, E, G."""
    deals = double.add(230)
    pages, cursor, asked = await sync(double)
    assert [page.begins_full for page in pages] == [True, False, False]
    assert [len(page.documents) for page in pages] == [100, 100, 30]
    assert pages[0].total == 230
    assert sorted(documents(pages)) == sorted(deals)
    assert asked.count(f"{DEALS_PATH}/batch/read") == 5
    assert len(orjson.dumps(cursor)) < 400
    for later in (timedelta(), timedelta(minutes=20), timedelta(hours=20)):
        pages, again, asked = await sync(double, cursor, later=later)
        assert documents(pages) == {}
        assert asked == [f"{DEALS_PATH}/search"]
        assert again == cursor


async def test_changes_and_new_deals(double: HubSpotDouble) -> None:
    """C, E: and a quiet time after, in which the last minutes are looked through once more, and then no more."""
    deals = double.add(5)
    _pages, cursor, _asked = await sync(double)
    double.change(deals[2])
    new = double.add(1)
    pages, cursor, _asked = await sync(double, cursor)
    found = documents(pages)
    assert {deals[2], *new} <= set(found)
    assert record(found[deals[2]]).name == f"Deal {deals[2]} (changed)"
    assert not any(page.begins_full for page in pages)
    pages, cursor, asked = await sync(double, cursor)
    assert (documents(pages), len(asked)) == ({}, 1)
    pages, cursor, _asked = await sync(double, cursor, later=timedelta(minutes=6))
    assert {deals[2], *new} <= set(documents(pages))
    pages, cursor, asked = await sync(double, cursor, later=timedelta(minutes=12))
    assert (documents(pages), len(asked)) == ({}, 1)


async def test_more_changes_at_one_instant_than_a_query_gives(double: HubSpotDouble) -> None:
    """C: a bulk edit gives all deals the same instant of change."""
    double.limits["query"] = 150
    deals = double.add(320)
    _pages, cursor, _asked = await sync(double)
    at = double.now()
    for deal in deals:
        double.set(deal, at=at, dealname="edited in bulk")
    pages, cursor, _asked = await sync(double, cursor)
    assert set(documents(pages)) == set(deals)
    assert [len(page.documents) for page in pages] == [100, 100, 100, 20]
    assert all(one.data["fields"]["dealname"] == "edited in bulk" for one in documents(pages).values())


async def test_deals_that_change_while_pages_are_read(double: HubSpotDouble) -> None:
    """C: they leave the window, and come with the next."""
    deals = double.add(250)
    _pages, cursor, _asked = await sync(double)
    for deal in deals:
        double.change(deal)
    async with session_with(double) as session:
        first = await connector.pull(session, cursor)
        assert not first.done
        moved = {deals[3], deals[130], deals[249]}
        for deal in moved:
            double.set(deal, dealname="again")
        rest, cursor = await pull_all(connector, session, first.cursor)
    assert set(documents([first, *rest])) | moved == set(deals)
    pages, cursor, _asked = await sync(double, cursor)
    assert {one.id for one in documents(pages).values() if one.data["fields"]["dealname"] == "again"} == moved


async def test_deals_that_change_while_all_are_listed(double: HubSpotDouble) -> None:
    """C."""
    deals = double.add(150)
    async with session_with(double) as session:
        first = await connector.pull(session, None)
        double.change(deals[0])
        late = double.add_deal(owner=REP)
        rest, cursor = await pull_all(connector, session, first.cursor)
    assert {*deals, late} == set(documents([first, *rest]))
    found = documents((await sync(double, cursor))[0])
    assert record(found[deals[0]]).name.endswith("(changed)")
    assert late in found


async def test_a_page_may_come_twice(double: HubSpotDouble) -> None:
    """C: a worker that died before it committed pulls the same page again."""
    double.add(120)
    async with session_with(double) as session:
        first = await connector.pull(session, None)
        again = await connector.pull(session, None)
        assert [one.id for one in first.documents] == [one.id for one in again.documents]
        second = await connector.pull(session, first.cursor)
        assert second.documents == (await connector.pull(session, first.cursor)).documents


@pytest.mark.parametrize("quiet", [True, False])
async def test_a_search_that_is_behind(double: HubSpotDouble, quiet: bool) -> None:
    """C: what search finds late is found, whether anything newer happens or not."""
    deals = double.add(3)
    _pages, cursor, _asked = await sync(double)
    double.hold_index = True
    double.change(deals[0])
    late = double.add_deal(owner=REP)
    double.hold_index = False
    double.change(deals[1])
    pages, cursor, _asked = await sync(double, cursor)
    assert deals[1] in documents(pages)
    assert late not in documents(pages)
    double.catch_up()
    if not quiet:
        double.change(deals[2])
    pages, cursor, _asked = await sync(double, cursor, later=timedelta(minutes=6))
    assert {deals[0], late} <= set(documents(pages))
    assert record(documents(pages)[deals[0]]).name.endswith("(changed)")


async def test_search_is_only_asked_for_ids(double: HubSpotDouble) -> None:
    """C: what it holds of a deal may be old."""
    deal = double.add_deal(owner=REP)
    _pages, cursor, _asked = await sync(double)
    double.change(deal)
    double.hold_index = True
    double.set(deal, dealname="newer than search")
    pages, _cursor, _asked = await sync(double, cursor)
    assert record(documents(pages)[deal]).name == "newer than search"


# What is gone


async def test_archived_deals(double: HubSpotDouble) -> None:
    """D, E: also the newest of all, and one that was made and archived between two syncs."""
    deals = double.add(6)
    double.remove(deals[5])
    _pages, cursor, _asked = await sync(double)
    double.change(deals[4])
    _pages, cursor, _asked = await sync(double, cursor)
    double.remove(deals[4])
    double.remove(deals[0])
    double.remove(double.add_deal(owner=REP))
    double.add_deal(owner=REP)
    pages, cursor, asked = await sync(double, cursor)
    gone = {one.id for page in pages for one in page.documents if one.deleted}
    assert {deals[4], deals[0]} <= gone
    assert not gone & set(deals[1:4])
    assert asked.count(DEALS_PATH) == 1
    _pages, cursor, asked = await sync(double, cursor)
    assert asked == [f"{DEALS_PATH}/search"]


async def test_only_a_deletion(double: HubSpotDouble) -> None:
    """D."""
    deals = double.add(3)
    _pages, cursor, _asked = await sync(double)
    double.remove(deals[1])
    pages, _cursor, asked = await sync(double, cursor)
    found = documents(pages)
    assert found[deals[1]].deleted
    assert len(asked) <= 12


async def test_archived_deals_are_looked_for_once_a_day(double: HubSpotDouble) -> None:
    """D: one archived while another came back leaves the number as it was."""
    deals = double.add(3)
    double.remove(deals[0])
    _pages, cursor, _asked = await sync(double)
    double.restore(deals[0])
    double.remove(deals[1])
    pages, cursor, _asked = await sync(double, cursor)
    assert documents(pages) == {}
    pages, cursor, asked = await sync(double, cursor, later=timedelta(days=1, minutes=1))
    assert [(one.id, one.deleted) for one in pages[0].documents] == [(deals[1], True)]
    assert asked == [f"{DEALS_PATH}/search", DEALS_PATH]
    _pages, cursor, asked = await sync(double, cursor, later=timedelta(days=1, minutes=20))
    assert len(asked) == 1


async def test_all_are_listed_anew_once_a_week(double: HubSpotDouble) -> None:
    """D: what left the recycling bin for good, or came back out of it, no other way tells."""
    deals = double.add(4)
    double.remove(deals[0])
    _pages, cursor, _asked = await sync(double)
    double.restore(deals[0])
    double.purge(deals[1])
    pages, cursor, _asked = await sync(double, cursor, later=timedelta(days=7, minutes=1))
    assert pages[0].begins_full
    assert set(documents(pages)) == {deals[0], deals[2], deals[3]}
    pages, cursor, _asked = await sync(double, cursor, later=timedelta(days=7, minutes=20))
    assert documents(pages) == {}


async def test_many_archived_deals(double: HubSpotDouble) -> None:
    """D."""
    deals = double.add(230)
    _pages, cursor, _asked = await sync(double)
    for deal in deals[:220]:
        double.remove(deal)
    pages, _cursor, _asked = await sync(double, cursor)
    assert {one.id for page in pages for one in page.documents if one.deleted} == set(deals[:220])


async def test_merged_deals(double: HubSpotDouble) -> None:
    """D: both make way for the third, whose history is that of both."""
    deals = double.add(3)
    _pages, cursor, _asked = await sync(double)
    merged = double.merge(deals[0], deals[1])
    pages, cursor, _asked = await sync(double, cursor)
    found = documents(pages)
    assert found[deals[0]].deleted
    assert found[deals[1]].deleted
    assert record(found[merged]).external_id == merged
    assert len(found[merged].data["history"]["dealstage"]) == 3
    # Search may still find one that is not there any more.
    double.index[deals[0]] = dict(double.index[merged]) | {"hs_object_id": deals[0]}
    double.change(merged)
    found = documents((await sync(double, cursor))[0])
    assert found[deals[0]].deleted
    assert not found[merged].deleted


async def test_deals_that_vanish_between_search_and_reading(double: HubSpotDouble) -> None:
    """B, D."""
    deals = double.add(4)
    _pages, cursor, _asked = await sync(double)
    double.hold_index = True
    for deal in deals:
        double.change(deal)
    double.index |= {deal: dict(double.deals[deal]["properties"]) for deal in deals}
    double.remove(deals[1])
    pages, cursor, _asked = await sync(double, cursor)
    assert set(documents(pages)) == {deals[0], deals[2], deals[3]}
    double.catch_up()
    assert documents((await sync(double, cursor))[0])[deals[1]].deleted


async def test_deals_that_hubspot_fails_to_give_are_not_passed_over(double: HubSpotDouble) -> None:
    """C, F."""
    deals = double.add(2)
    double.failed_reads = {deals[1]}
    with pytest.raises(RemoteUnavailable, match="did not give all deals"):
        await sync(double)
    double.failed_reads = set()
    assert set(documents((await sync(double))[0])) == set(deals)


# Associations


async def test_companies(double: HubSpotDouble) -> None:
    deals = double.add(2)
    double.associate(deals[0], "55")
    double.associate(deals[0], "54")
    found = documents((await sync(double))[0])
    assert found[deals[0]].data["associations"] == {"companies": ["54", "55"]}
    assert found[deals[1]].data["associations"] == {"companies": []}


async def test_companies_that_the_account_does_not_show(double: HubSpotDouble) -> None:
    """E: it is asked once a sync."""
    double.sees_companies = False
    double.add(130)
    pages, _cursor, asked = await sync(double)
    assert len(documents(pages)) == 130
    assert all("associations" not in one.data for one in documents(pages).values())
    assert asked.count(COMPANIES_PATH) == 1


# Limits, refusals, surprises


@pytest.mark.parametrize(
    ("fault", "seconds"),
    [
        (rate_limited("SECONDLY"), 1.0),
        (rate_limited("TEN_SECONDLY_ROLLING"), 10.0),
        (rate_limited("TEN_SECONDLY_ROLLING", headers={"Retry-After": "7"}), 7.0),
        (Fault(status=429, body="<html>"), 10.0),
        (Fault(status=423), 2.0),
        (Fault(status=477), 3600.0),
        (Fault(status=477, headers={"Retry-After": "86400"}), 86400.0),
    ],
)
async def test_patience(double: HubSpotDouble, fault: Fault, seconds: float) -> None:
    """F."""
    double.faults.append(fault)
    async with session_with(double) as session:
        with pytest.raises(RateLimited) as limited:
            await connector.pull(session, None)
    assert limited.value.retry_after_seconds == seconds


@pytest.mark.parametrize(
    ("zone", "now", "seconds"),
    [
        ("America/New_York", datetime(2026, 11, 26, 4, 30, tzinfo=UTC), 1800.0),
        # The night on which clocks go back has 25 hours.
        ("America/New_York", datetime(2026, 11, 1, 4, tzinfo=UTC), 25 * 3600.0),
        ("US/Eastern", datetime(2026, 7, 1, 3, 59, 30, tzinfo=UTC), 30.0),
        ("Middle/Earth", NOW, 3600.0),
        ("", NOW, 3600.0),
        (None, NOW, 3600.0),
    ],
)
async def test_the_daily_limit_ends_at_the_accounts_midnight(
    double: HubSpotDouble, zone: str | None, now: datetime, seconds: float
) -> None:
    """F."""
    double.faults.append(rate_limited("DAILY"))
    settings = {} if zone is None else {"time_zone": zone}
    async with TestSession(double.base_url, settings, double.secrets, manifest=connector.manifest, now=now) as session:
        with pytest.raises(RateLimited, match="daily limit") as limited:
            await connector.pull(session, None)
    assert limited.value.retry_after_seconds == seconds


async def test_tokens_end_and_are_refreshed(double: HubSpotDouble) -> None:
    """F."""
    double.add(2)
    double.tokens.end_access()
    async with session_with(double) as session:
        pages, _cursor = await pull_all(connector, session)
        assert session.refreshed == 1
    assert len(documents(pages)) == 2
    double.tokens.revoke()
    async with session_with(double) as session:
        with pytest.raises(SignInNeeded):
            await connector.pull(session, None)


@pytest.mark.parametrize(
    "mangle",
    [
        lambda _answer: [],
        lambda _answer: "no",
        lambda answer: {key: value for key, value in answer.items() if key != "results"},
        lambda answer: answer | {"results": {}},
        lambda answer: answer | {"total": "many"},
        lambda answer: answer | {"results": [{"id": "1", "properties": {}}]},
        lambda answer: answer | {"results": [{"id": "1", "properties": None, "updatedAt": "yesterday"}]},
    ],
)
async def test_answers_that_cannot_be_understood(double: HubSpotDouble, mangle: Callable[[Any], Any]) -> None:
    """B, F: they are tried again later."""
    double.add(1)
    double.faults.append(Fault(mangle=mangle))
    with pytest.raises(RemoteUnavailable):
        await sync(double)


async def test_deals_of_a_strange_form_do_not_stop_the_rest(double: HubSpotDouble) -> None:
    """B: those that can be named wait in quarantine."""
    deals = double.add(3)

    def strange(answer: Any) -> Any:
        answer["results"][0] |= {"properties": None, "propertiesWithHistory": [], "next_year": {}}
        return answer | {"results": [*answer["results"], None, {"no": "id"}, {"id": 7}]}

    double.faults.extend([Fault()] * 4 + [Fault(mangle=strange)])
    found = documents((await sync(double))[0])
    assert set(found) == set(deals)
    outcomes = []
    for deal in deals:
        try:
            outcomes.append(record(found[deal]).external_id)
        except RecordRefused:
            outcomes.append("refused")
    assert outcomes == ["refused", *deals[1:]]


async def test_a_search_that_does_not_go_on_is_told(double: HubSpotDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    """F: rather than asked for ever."""
    monkeypatch.setattr(hubspot, "PAGE", 2)
    monkeypatch.setattr("tests.doubles.hubspot._meets", lambda _values, _condition: True)
    deals = double.add(5)
    _pages, cursor, _asked = await sync(double)
    for deal in deals:
        double.change(deal)
    with pytest.raises(RemoteUnavailable, match="does not go on"):
        await sync(double, cursor)


@pytest.mark.parametrize("status", [400, 403, 404])
async def test_refusals(double: HubSpotDouble, status: int) -> None:
    """F."""
    double.faults.append(Fault(status=status))
    with pytest.raises(RemoteRefused):
        await sync(double)


async def test_a_cursor_of_another_version_begins_anew(double: HubSpotDouble) -> None:
    async with session_with(double) as session:
        for cursor in ({}, {"since": 1}, {"full_at": "yesterday"}):
            with pytest.raises(CursorExpired):
                await connector.pull(session, cursor)


async def test_what_a_deal_costs(double: HubSpotDouble) -> None:
    """E: five requests for 100 deals, and four a sync."""
    double.add(300)
    async with session_with(double) as session:
        await pull_all(connector, session)
        assert session.spent <= 3 * 4 + 2 * api.SEARCH_COST + 6


# The double


async def test_the_double_holds_both_sides_to_the_description() -> None:
    """G: a request that HubSpot does not describe is refused, and told when the double ends."""

    async def ask(double: HubSpotDouble, method: str, path: str, body: Any = None) -> int:
        async with httpx.AsyncClient(base_url=double.base_url) as client:
            headers = {"authorization": f"Bearer {double.secrets['access_token']}"}
            return (await client.request(method, path, json=body, headers=headers)).status_code

    search = {"filterGroups": [], "sorts": [], "properties": [], "limit": 10, "after": "0"}
    for method, path, body in (
        ("GET", f"{DEALS_PATH}?limit=many", None),
        ("GET", f"{DEALS_PATH}?page=2", None),
        ("GET", "/crm/v3/objects/deals", None),
        ("POST", f"{DEALS_PATH}/search", {"limit": 10}),
        ("POST", f"{DEALS_PATH}/search", search | {"sorts": [{"propertyName": "amount"}]}),
        ("POST", f"{DEALS_PATH}/batch/read", {"inputs": [{"id": "1"}]}),
    ):
        with pytest.raises(AssertionError, match="not as HubSpot describes it"), HubSpotDouble() as double:
            assert await ask(double, method, path, body) == 400
    with pytest.raises(AssertionError, match="not as HubSpot describes it"), HubSpotDouble() as double:  # noqa: PT012
        deal = double.add_deal(owner=REP)
        double.deals[deal]["properties"]["hs_createdate"] = "1770076800000"
        assert await ask(double, "GET", DEALS_PATH) == 400
    with HubSpotDouble() as double:
        double.add_deal(owner=REP, createdate=iso(NOW))
        assert await ask(double, "POST", f"{DEALS_PATH}/search", search) == 200
        assert await ask(double, "POST", f"{DEALS_PATH}/search", search | {"after": "9995"}) == 400
        assert await ask(double, "POST", f"{DEALS_PATH}/search", search | {"limit": 201}) == 400
