"""Opportunities and deals: what documents of a CRM come to by a field mapping, and which mappings are refused.

A. Days, outcomes and owners by history agree with an independent computation, in time zones with and without DST.
B. An amount is the number that the vendor wrote, to the last digit.
C. Whatever a document holds, it becomes a record that is taken in, or is refused with a code, a field and a mend.
D. A mapping that cannot be is refused at each place that is wrong; one that does not fit the CRM names what does.
E. A preview is what a sync would take in.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.connectors import DescribedField, Document, MappingContext
from domain.errors import Refused
from domain.field_mapping import ByField, ByHistory, ClosedNotWon, Credit, FieldMapping, InStages, WhenCreated
from domain.opportunities import check_mapping, map_document, map_opportunity, preview, read_mapping
from domain.records import OpportunityRecord, RecordRefused, decode_mapping
from tests.oracle import opportunities as oracle

STAGES = ("Lead", "Proposal", "Negotiation", "Won", "Signed", "Lost")
BY_STAGES: dict[str, Any] = {
    "name": "Name",
    "stage": "Stage",
    "amount": "Amount",
    "currency": "Currency",
    "createdOn": {"field": "Created"},
    "pipeline": {"stages": ["Proposal", "Negotiation"]},
    "won": {"stages": ["Won", "Signed"]},
    "lost": {"stages": ["Lost"]},
    "closedOn": {"history": True},
    "owner": "Owner",
    "credit": "CURRENT_OWNER",
}
BY_FIELDS: dict[str, Any] = BY_STAGES | {
    "pipeline": {"field": "Qualified"},
    "won": {"field": "IsWon"},
    "lost": {"fields": {"closed": "IsClosed", "won": "IsWon"}},
    "closedOn": {"field": "Closed"},
}
CONTEXT = MappingContext(
    now=datetime(2026, 6, 1, tzinfo=UTC),
    timezone="America/New_York",
    currency="USD",
    domains=frozenset(),
    owner=None,
    members=frozenset({"ann@a.test", "bob@a.test"}),
    mapping=BY_STAGES,
    syncs=frozenset({"opportunities", "deals"}),
    rate=lambda currency, day: {"EUR": Decimal("1.25"), "JPY": Decimal(day.day)}.get(currency),
    settings={},
)
FIELDS: dict[str, Any] = {
    "Name": "Acme",
    "Stage": "Proposal",
    "Amount": "1200.50",
    "Currency": None,
    "Created": "2026-03-02T15:00:00.000+0000",
    "Qualified": None,
    "IsWon": False,
    "IsClosed": False,
    "Closed": None,
    "Owner": "u1",
    "Maker": "u2",
    "Rep": None,
}
HISTORY: dict[str, Any] = {
    "Stage": [["2026-03-02T15:00:00Z", "Lead"], ["2026-03-05T03:00:00Z", "Proposal"]],
    "Owner": [["2026-03-02T15:00:00Z", "u2"], ["2026-03-06T12:00:00Z", "u1"]],
}
PEOPLE = {"u1": "Ann@a.test", "u2": "bob@a.test", "u3": None}
DESCRIBED = (
    DescribedField("Name", "Name", "text"),
    DescribedField("Stage", "Deal stage", "choice", STAGES),
    DescribedField("Amount", "Amount", "money"),
    DescribedField("Currency", "Currency", "choice", ("USD", "EUR")),
    DescribedField("Created", "Created", "datetime"),
    DescribedField("Qualified", "Qualified on", "date"),
    DescribedField("Closed", "Close date", "date"),
    DescribedField("IsWon", "Won", "boolean"),
    DescribedField("IsClosed", "Closed", "boolean"),
    DescribedField("Owner", "Owner", "user"),
    DescribedField("Maker", "Created by", "user"),
    DescribedField("Rep", "Sales rep", "user"),
)


def document(history: Mapping[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    return {"fields": FIELDS | fields, "history": HISTORY | dict(history or {}), "people": PEOPLE}


def stages(*changes: tuple[str, str]) -> dict[str, Any]:
    return {"Stage": [[at, stage] for at, stage in changes]}


def record_of(data: Any, mapping: Mapping[str, Any] = BY_STAGES, context: MappingContext = CONTEXT) -> dict[str, Any]:
    (record,) = map_opportunity("d1", data, read_mapping(mapping), context).records
    assert isinstance(record, dict)
    json.dumps(record)  # It can be kept and digested.
    assert isinstance(decode_mapping(record), OpportunityRecord)
    return record


def refusal_of(
    data: Any, mapping: Mapping[str, Any] = BY_STAGES, context: MappingContext = CONTEXT
) -> tuple[str, str | None]:
    with pytest.raises(RecordRefused) as refused:
        map_opportunity("d1", data, read_mapping(mapping), context)
    assert refused.value.message.startswith(refused.value.field or "The ")
    return refused.value.code, refused.value.field


# What comes of a document


def test_an_open_opportunity() -> None:
    assert record_of(document()) == {
        "kind": "opportunity",
        "externalId": "d1",
        "user": "ann@a.test",
        "occurredAt": "2026-03-02T15:00:00+00:00",
        "name": "Acme",
        "stage": "Proposal",
        "createdOn": "2026-03-02",
        "pipelineOn": "2026-03-04",  # 22:00 in New York.
        "amount": "1200.5",
        "currency": "USD",
    }


def test_the_same_as_json_that_nobody_has_looked_at() -> None:
    assert record_of(json.dumps(document()).encode()) == record_of(document())


def test_one_that_was_opened_again_is_open_and_one_won_again_counts_on_the_last_day() -> None:
    won = ("2026-03-10T12:00:00Z", "Won")
    lost, again = ("2026-03-11T12:00:00Z", "Lost"), ("2026-03-20T12:00:00Z", "Won")
    reopened = ("2026-03-12T12:00:00Z", "Negotiation")
    lead = ("2026-03-02T15:00:00Z", "Lead")
    record = record_of(document(stages(lead, won), Stage="Won"))
    assert (record["closedOn"], record["won"]) == ("2026-03-10", True)
    record = record_of(document(stages(lead, won, reopened), Stage="Negotiation"))
    assert "closedOn" not in record
    assert "won" not in record
    record = record_of(document(stages(lead, won, lost, again), Stage="Won"))
    assert (record["closedOn"], record["won"]) == ("2026-03-20", True)
    record = record_of(document(stages(lead, won, lost), Stage="Lost"))
    assert (record["closedOn"], record["won"]) == ("2026-03-11", False)


def test_from_one_won_stage_to_another_is_no_new_closing() -> None:
    changes = stages(
        ("2026-03-02T15:00:00Z", "Lead"), ("2026-03-10T12:00:00Z", "Won"), ("2026-04-01T12:00:00Z", "Signed")
    )
    assert record_of(document(changes, Stage="Signed"))["closedOn"] == "2026-03-10"


def test_what_came_and_went_in_one_instant_was_not_closed_anew() -> None:
    lead, won = ("2026-03-02T15:00:00Z", "Lead"), ("2026-03-10T12:00:00Z", "Won")
    blink = ("2026-03-20T12:00:00Z", "Negotiation"), ("2026-03-20T12:00:00Z", "Won")
    assert record_of(document(stages(lead, won, *blink), Stage="Won"))["closedOn"] == "2026-03-10"


def test_a_history_that_is_not_in_order_is_put_in_order() -> None:
    lead, won = ("2026-03-02T15:00:00Z", "Lead"), ("2026-03-10T12:00:00Z", "Won")
    assert record_of(document(stages(won, lead), Stage="Won"))["closedOn"] == "2026-03-10"
    proposed = ("2026-03-10T07:00:00-05:00", "Proposal")
    assert record_of(document(stages(proposed, lead)))["pipelineOn"] == "2026-03-10"


def test_what_was_never_in_the_pipeline_is_none_even_if_it_was_won() -> None:
    changes = stages(("2026-03-02T15:00:00Z", "Lead"), ("2026-03-10T12:00:00Z", "Won"))
    record = record_of(document(changes, Stage="Won"))
    assert record["pipelineOn"] is None
    made = decode_mapping(record)
    assert isinstance(made, OpportunityRecord)
    assert made.pipeline_on is None


def test_what_was_made_in_the_pipeline_entered_it_on_the_created_day() -> None:
    # Noted a second later, which is another day in New York.
    changes = stages(("2026-03-03T05:00:00Z", "Proposal"))
    data = document(changes, Created="2026-03-03T04:59:59Z")
    assert record_of(data)["pipelineOn"] == record_of(data)["createdOn"] == "2026-03-02"


def test_closing_by_fields_of_which_there_is_no_history() -> None:
    changes = stages(
        ("2026-03-02T15:00:00Z", "Lead"), ("2026-03-10T12:00:00Z", "Won"), ("2026-04-01T12:00:00Z", "Signed")
    )
    data = document(changes, Stage="Signed", IsWon="true", IsClosed="true", Closed="2026-05-31", Qualified="2026-03-09")
    assert record_of(data, BY_FIELDS)["closedOn"] == "2026-05-31"
    assert record_of(data, BY_FIELDS)["pipelineOn"] == "2026-03-09"
    by_history = BY_FIELDS | {"closedOn": {"history": True}}
    assert record_of(data, by_history)["closedOn"] == "2026-04-01"  # When it came into its present stage.
    data["history"] |= {
        "IsWon": [["2026-03-02T15:00:00Z", False], ["2026-03-10T12:00:00Z", True]],
        "IsClosed": [["2026-03-02T15:00:00Z", "false"], ["2026-03-10T12:00:00Z", "true"]],
    }
    assert record_of(data, by_history)["closedOn"] == "2026-03-10"


def test_a_history_that_is_ahead_behind_or_knows_an_old_name() -> None:
    lead, won = ("2026-03-02T15:00:00Z", "Lead"), ("2026-03-10T12:00:00Z", "Won")
    reopened = ("2026-03-12T12:00:00Z", "Negotiation")
    assert record_of(document(stages(lead, won, reopened), Stage="Won"))["closedOn"] == "2026-03-10"
    assert (
        record_of(document(stages(lead, ("2026-03-10T12:00:00Z", "Gewonnen")), Stage="Won"))["closedOn"] == "2026-03-10"
    )
    renamed = stages(lead, ("2026-03-10T12:00:00Z", "Angebot"))
    assert record_of(document(renamed, Stage="Proposal"))["pipelineOn"] == "2026-03-10"
    nothing = document({"Stage": []}, Stage="Won")
    assert record_of(nothing)["closedOn"] == "2026-03-02"


def test_dates_that_have_no_time_stay_as_they_are() -> None:
    record = record_of(document(Created="2026-03-08"))
    assert (record["createdOn"], record["occurredAt"]) == ("2026-03-08", "2026-03-08T00:00:00-05:00")


def test_money_has_the_rate_of_the_closed_day_else_of_the_created_day() -> None:
    closed = document(Amount=10, Currency="jpy", Stage="Won", IsWon=True, IsClosed=True, Closed="2026-03-29")
    record = record_of(closed, BY_FIELDS)
    assert (record["amount"], record["currency"], record["exchangeRate"]) == ("10", "JPY", "29")
    assert record_of(document(Amount=10, Currency="JPY"))["exchangeRate"] == "2"
    assert "exchangeRate" not in record_of(document(Amount=10, Currency="USD"))
    assert "currency" not in record_of(document(Amount="", Currency="GBP"))
    assert refusal_of(document(Currency="GBP")) == ("NO_EXCHANGE_RATE", "currency")
    assert record_of(document(), BY_STAGES | {"currency": None})["currency"] == "USD"
    assert "amount" not in record_of(document(), BY_STAGES | {"amount": None})


def test_each_part_of_the_sync_brings_its_own() -> None:
    won = document(stages(("2026-03-02T15:00:00Z", "Proposal"), ("2026-03-10T12:00:00Z", "Won")), Stage="Won")
    opportunities = record_of(won, context=replace(CONTEXT, syncs=frozenset({"opportunities"})))
    assert opportunities["createdOn"] == "2026-03-02"
    assert not {"amount", "currency", "closedOn", "won"} & set(opportunities)
    assert opportunities["pipelineOn"] is None
    deals = record_of(won, BY_STAGES | {"pipeline": {"created": True}}, replace(CONTEXT, syncs=frozenset({"deals"})))
    assert "createdOn" not in deals
    assert (deals["pipelineOn"], deals["closedOn"], deals["amount"]) == ("2026-03-02", "2026-03-10", "1200.5")
    assert map_opportunity("d1", won, read_mapping(BY_STAGES), replace(CONTEXT, syncs=frozenset())).records == ()


def test_whose_it_is() -> None:
    won = document(stages(("2026-03-02T15:00:00Z", "Lead"), ("2026-03-05T12:00:00Z", "Won")), Stage="Won")
    at_close = BY_STAGES | {"credit": "OWNER_AT_CLOSE"}
    assert record_of(won)["user"] == "ann@a.test"
    assert record_of(won, at_close)["user"] == "bob@a.test"
    assert record_of(document(), at_close)["user"] == "ann@a.test"
    late = won | {
        "history": won["history"] | {"Owner": [["2026-03-06T12:00:00Z", "u3"], ["2026-03-07T12:00:00Z", "u1"]]}
    }
    assert record_of(late, at_close)["user"] == "u3"  # Nobody is known to have had it before.
    assert record_of(won | {"history": won["history"] | {"Owner": []}}, at_close)["user"] == "ann@a.test"
    assert record_of(document(Owner="u1"), BY_STAGES | {"credit": "CREATOR"})["user"] == "bob@a.test"
    made = document({"Owner": [["2026-03-02T15:00:00Z", None], ["2026-03-03T15:00:00Z", "u1"]]})
    assert record_of(made, BY_STAGES | {"credit": "CREATOR"})["user"] == "ann@a.test"
    assert record_of(document(Maker="u3"), BY_STAGES | {"credit": "CREATOR", "creator": "Maker"})["user"] == "u3"
    assert record_of(document(Rep="u3"), BY_STAGES | {"credit": {"field": "Rep"}})["user"] == "u3"
    assert refusal_of(document(), BY_STAGES | {"credit": {"field": "Rep"}}) == ("NO_OWNER", "user")
    assert refusal_of(document(Owner="")) == ("NO_OWNER", "user")


def test_the_owner_at_close_where_only_the_day_is_known() -> None:
    owners = [["2026-03-02T15:00:00Z", "u2"], ["2026-03-07T03:00:00Z", "u1"], ["2026-03-07T12:00:00Z", "u3"]]
    data = document({"Owner": owners}, Stage="Won", IsWon=True, IsClosed=True, Closed="2026-03-06")
    del data["history"]["Stage"]
    mapping = BY_FIELDS | {"credit": "OWNER_AT_CLOSE", "pipeline": {"created": True}}
    assert record_of(data, mapping)["user"] == "ann@a.test"  # Still the 6th in New York.
    data["fields"]["Closed"] = "2026-03-07T02:59:59Z"
    assert record_of(data, mapping)["user"] == "bob@a.test"


def test_a_history_that_the_crm_does_not_keep_is_told() -> None:
    data = document(Stage="Won", IsWon=True, IsClosed=True, Closed="2026-03-06")
    data["history"] = {}
    assert refusal_of(data) == ("NO_HISTORY", "pipelineOn")
    assert refusal_of(data, BY_STAGES | {"pipeline": {"created": True}}) == ("NO_HISTORY", "closedOn")
    assert refusal_of(data, BY_FIELDS | {"credit": "OWNER_AT_CLOSE"}) == ("NO_HISTORY", "user")
    assert refusal_of(data, BY_FIELDS | {"credit": "CREATOR"}) == ("NO_HISTORY", "user")
    assert record_of(data, BY_FIELDS)["closedOn"] == "2026-03-06"


@pytest.mark.parametrize(
    ("fields", "code", "field"),
    [
        ({"Stage": None}, "INVALID", "stage"),
        ({"Stage": ["Won"]}, "INVALID", "stage"),
        ({"Created": None}, "INVALID", "createdOn"),
        ({"Created": "yesterday"}, "INVALID", "createdOn"),
        ({"Created": "2026-03-02T15:00:00"}, "INVALID", "createdOn"),
        ({"Created": 1772463600000}, "INVALID", "createdOn"),
        ({"Created": "0001-01-01T00:00:00+14:00"}, "OUT_OF_RANGE", "createdOn"),
        ({"Amount": "a lot"}, "INVALID", "amount"),
        ({"Amount": True}, "INVALID", "amount"),
        ({"Amount": "NaN"}, "OUT_OF_RANGE", "amount"),
        ({"Amount": "1e400000000"}, "OUT_OF_RANGE", "amount"),
        ({"IsWon": "perhaps"}, "INVALID", "won"),
        ({"Stage": "Won", "IsWon": True, "IsClosed": True}, "INVALID", "closedOn"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(fields: dict[str, Any], code: str, field: str) -> None:
    assert refusal_of(document(**fields), BY_FIELDS) == (code, field)


def test_a_field_that_is_not_there_is_refused_by_name() -> None:
    data = document()
    del data["fields"]["Amount"]
    assert refusal_of(data) == ("MISSING_FIELD", "amount")


def test_both_won_and_lost_is_refused() -> None:
    mapping = BY_STAGES | {"won": {"field": "IsWon"}}
    assert refusal_of(document(Stage="Lost", IsWon=True), mapping) == ("INVALID", "won")


def test_a_deal_without_a_name_is_called_by_its_id() -> None:
    assert record_of(document(Name=" "))["name"] == "d1"
    assert len(record_of(document(Name="x" * 5000))["name"]) == 2000


def test_a_document_that_cannot_be_read_and_a_mapping_that_is_none() -> None:
    for data in (None, b"{", "[]", {"fields": []}, {"history": {}}, {"fields": {}, "history": {"Stage": [1]}}, b"\xff"):
        assert refusal_of(data) == ("INVALID", None)
    with pytest.raises(RecordRefused) as refused:
        map_document(Document("Deal", "d1", document()), replace(CONTEXT, mapping={"name": "Name"}))
    assert refused.value.code == "INVALID_MAPPING"
    assert map_document(Document("Deal", "d1", document()), CONTEXT).records


# A. Against the oracle

instants = st.datetimes(datetime(2024, 1, 1), datetime(2026, 1, 1)).map(
    lambda naive: naive.replace(tzinfo=UTC, microsecond=0)
)


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[tuple[datetime, str]], list[tuple[datetime, str]]]:
    created = draw(instants)
    # Many at the edges of days, and some in one second.
    steps = st.sampled_from((0, 1, 59, 1800, 3600, 3 * 3600, 86_399, 86_400, 40 * 86_400))

    def changes(values: st.SearchStrategy[str]) -> list[tuple[datetime, str]]:
        at, made = created, []
        for value in draw(st.lists(values, min_size=1, max_size=9)):
            made.append((at, value))
            at += timedelta(seconds=draw(steps))
        return made

    return changes(st.sampled_from(STAGES)), changes(st.sampled_from(("u1", "u2", "u3")))


def iso(changes: list[tuple[datetime, str]], offset: int) -> list[list[str]]:
    """A history as a vendor of some time zone gives it."""
    zone = timezone(timedelta(hours=offset))
    return [[at.astimezone(zone).isoformat(), value] for at, value in changes]


@given(
    histories(),
    st.sampled_from(sorted(oracle.ZONES)),
    st.integers(-11, 13),
    st.sets(st.sampled_from(STAGES)),
    st.sets(st.sampled_from(STAGES), min_size=1, max_size=3),
    st.booleans(),
)
def test_days_and_owners_by_history_agree_with_the_oracle(
    both: tuple[list[tuple[datetime, str]], list[tuple[datetime, str]]],
    zone: str,
    offset: int,
    pipeline: set[str],
    won: set[str],
    by_fields: bool,
) -> None:
    changes, owners = both
    created = changes[0][0]
    lost = set(STAGES) - won - {"Lead", "Proposal"} or {"Elsewhere"}
    closed = oracle.closing(changes, won, lost)
    now = changes[-1][1]
    data = document(
        {"Stage": iso(changes, offset), "Owner": iso(owners, offset)},
        Stage=now,
        Owner=owners[-1][1],
        Created=created.isoformat(),
        IsWon=now in won,
        IsClosed=now in won | lost,
    )
    mapping = BY_STAGES | {
        "pipeline": {"stages": sorted(pipeline) or ["Elsewhere"]},
        "won": {"stages": sorted(won)},
        "lost": {"stages": sorted(lost)},
        "credit": "OWNER_AT_CLOSE",
    }
    if by_fields:
        mapping |= {"won": BY_FIELDS["won"], "lost": BY_FIELDS["lost"]}
        data["history"] |= {
            "IsWon": [[at, stage in won] for at, stage in iso(changes, offset)],
            "IsClosed": [[at, stage in won | lost] for at, stage in iso(changes, offset)],
        }
    record = record_of(data, mapping, replace(CONTEXT, timezone=zone))
    pipeline_day = oracle.pipeline_day(changes, pipeline, created, zone)
    assert record["createdOn"] == oracle.local_day(created, zone).isoformat()
    assert record["pipelineOn"] == (None if pipeline_day is None else pipeline_day.isoformat())
    assert record.get("closedOn") == (None if closed is None else oracle.local_day(closed, zone).isoformat())
    assert record.get("won") == (None if closed is None else now in won)
    assert record["user"] == {"u1": "ann@a.test", "u2": "bob@a.test", "u3": "u3"}[oracle.owner_at_close(owners, closed)]


# B. Amounts


@given(st.decimals(-(10**13), 10**13, places=2), st.sampled_from(("float", "json", "text", "bulk")))
def test_an_amount_is_what_the_vendor_wrote(amount: Decimal, way: str) -> None:
    # Fifteen digits are what a float carries whole; more come as text or as JSON that keeps its digits.
    written = format(amount, "f")
    if way == "float":
        data: Any = document(Amount=json.loads(written))
    elif way == "json":
        data = json.dumps(document(Amount="#")).replace('"#"', written).encode()
    else:
        data = document(Amount=written if way == "text" else f"{written}00")
    made = decode_mapping(record_of(data))
    assert isinstance(made, OpportunityRecord)
    assert made.amount == amount
    assert record_of(data)["amount"] == record_of(document(Amount=written))["amount"]


# C. Anything

anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from(
        (*STAGES, "u1", "USD", "2026-03-02", "2026-03-02T15:00:00Z", "9999-12-31T23:59:59-12:00", "true")
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(tuple(FIELDS)), inner, max_size=3),
    max_leaves=6,
)


@given(
    st.dictionaries(st.sampled_from(tuple(FIELDS)), anything),
    st.dictionaries(st.sampled_from(("Stage", "Owner", "IsWon", "IsClosed")), anything),
    anything,
    st.sampled_from((BY_STAGES, BY_FIELDS, BY_FIELDS | {"closedOn": {"history": True}})),
    st.sampled_from(("CURRENT_OWNER", "CREATOR", "OWNER_AT_CLOSE")),
)
def test_whatever_a_document_holds_it_is_mapped_or_refused(
    fields: dict[str, Any], history: dict[str, Any], people: Any, mapping: dict[str, Any], credit: str
) -> None:
    data = {"fields": FIELDS | fields, "history": HISTORY | history, "people": people}
    with suppress(RecordRefused):
        mapped = map_opportunity("d1", data, read_mapping(mapping | {"credit": credit}), CONTEXT)
        decode_mapping(mapped.records[0])  # type: ignore[arg-type]


# D. Mappings


def test_reading_a_mapping() -> None:
    assert read_mapping(BY_FIELDS | {"creator": "Maker", "credit": {"field": "Rep"}}) == FieldMapping(
        name="Name",
        stage="Stage",
        amount="Amount",
        currency="Currency",
        created_on="Created",
        pipeline=ByField("Qualified"),
        won=ByField("IsWon"),
        lost=ClosedNotWon("IsClosed", "IsWon"),
        closed_on=ByField("Closed"),
        owner="Owner",
        credit=ByField("Rep"),
        creator="Maker",
    )
    mapping = read_mapping(BY_STAGES | {"pipeline": {"created": True}})
    assert mapping.won == InStages(("Won", "Signed"))
    assert (mapping.pipeline, mapping.closed_on, mapping.credit) == (WhenCreated(), ByHistory(), Credit.CURRENT_OWNER)
    assert mapping.fields == {"Name", "Stage", "Amount", "Currency", "Created", "Owner"}


def test_a_mapping_is_refused_at_each_place_that_is_wrong() -> None:
    given_: dict[str, Any] = {
        "name": "",
        "stage": 7,
        "createdOn": "Created",
        "pipeline": {"stages": ["Proposal", 3]},
        "won": {"stages": []},
        "lost": {"fields": {"closed": "IsClosed"}},
        "closedOn": {"history": False},
        "credit": "NOBODY",
        "ownr": "Owner",
    }
    with pytest.raises(Refused) as refused:
        read_mapping(given_)
    assert {item.path: item.code for item in refused.value.items} == {
        ("ownr",): "UNKNOWN_KEY",
        ("name",): "INVALID",
        ("stage",): "INVALID",
        ("createdOn",): "INVALID",
        ("pipeline", "stages", "1"): "INVALID",
        ("won", "stages"): "INVALID",
        ("lost", "fields"): "INVALID",
        ("closedOn", "history"): "INVALID",
        ("owner",): "MISSING",
        ("credit",): "INVALID",
    }
    messages = {item.path: item.message for item in refused.value.items}
    assert messages[("ownr",)] == "ownr: a field mapping has no such part; did you mean owner?"
    assert "CURRENT_OWNER or CREATOR or OWNER_AT_CLOSE" in messages[("credit",)]


@given(anything | st.dictionaries(st.sampled_from(tuple(BY_FIELDS)), anything))
def test_whatever_a_mapping_is_it_is_read_or_refused(given_: Any) -> None:
    with suppress(Refused):
        assert isinstance(read_mapping(given_), FieldMapping)


def problems(**changed: Any) -> dict[tuple[str, ...], tuple[str, str]]:
    found = check_mapping(read_mapping(BY_FIELDS | changed), DESCRIBED)
    return {item.path: (item.code, item.message) for item in found}


def test_mappings_that_fit() -> None:
    assert problems() == {}
    assert check_mapping(read_mapping(BY_STAGES), DESCRIBED) == []


def test_a_field_that_the_crm_does_not_have() -> None:
    assert problems(amount="Amuont") == {
        ("amount",): ("UNKNOWN_FIELD", "amount: the CRM has no field 'Amuont'; did you mean Amount?")
    }
    (told,) = problems(closedOn={"field": "Close date"}).values()
    assert told == ("UNKNOWN_FIELD", "closedOn: the CRM has no field 'Close date'; its name is Closed.")
    (told,) = problems(owner="Sales Rep").values()
    assert told[1].endswith("did you mean Rep?")
    assert problems(name="Xyzzy")[("name",)][1].endswith("no field 'Xyzzy'.")


def test_a_field_of_the_wrong_type() -> None:
    found = problems(amount="Closed", owner="Name", pipeline={"field": "IsWon"}, credit={"field": "Stage"})
    assert {path: code for path, (code, _message) in found.items()} == {
        ("amount",): "WRONG_TYPE",
        ("owner",): "WRONG_TYPE",
        ("pipeline", "field"): "WRONG_TYPE",
        ("credit", "field"): "WRONG_TYPE",
    }
    assert found[("amount",)][1] == (
        "amount: Closed (Close date) is of the type date; choose one of the type money or number, such as Amount."
    )


def test_a_stage_that_is_none() -> None:
    found = problems(won={"stages": ["Won", "signed"]}, pipeline={"stages": ["Xyzzy"]})
    assert found == {
        ("pipeline", "stages", "0"): (
            "UNKNOWN_STAGE",
            "pipeline: Stage has no value 'Xyzzy'; its values are Lead, Proposal, Negotiation, Won, Signed, ….",
        ),
        ("won", "stages", "1"): ("UNKNOWN_STAGE", "won: Stage has no value 'signed'; did you mean Signed?"),
    }


def test_contradictions() -> None:
    both = check_mapping(read_mapping(BY_STAGES | {"lost": {"stages": ["Lost", "Won"]}}), DESCRIBED)
    assert [(item.code, item.path) for item in both] == [("CONTRADICTION", ("lost", "stages", "1"))]
    assert "leave it in one of the two" in both[0].message
    assert list(problems(won={"field": "IsClosed"})) == [("won", "field")]
    assert list(problems(lost={"fields": {"closed": "IsWon", "won": "IsWon"}})) == [("lost", "fields", "won")]
    assert list(problems(closedOn={"field": "Created"})) == [("closedOn", "field")]


# E. Preview


def test_a_preview_is_what_a_sync_would_take_in() -> None:
    won = {"Stage": "Won", "IsWon": True, "IsClosed": True, "Closed": "2026-04-01", "Qualified": "2026-03-03"}
    samples = [
        Document("Deal", "1", document(Amount="100", **won)),
        Document("Deal", "2", document(Amount="100", Currency="EUR", **won)),
        Document("Deal", "3", document(Amount="7.5", Qualified="2026-03-03")),
        Document("Deal", "4", document(Amount="9", Owner="u3", **won)),
        Document("Deal", "5", document(Amount="9", Currency="GBP", **won)),
        Document("Deal", "6", document(Amount="9", Stage="Lost", IsClosed=True, Closed="2026-04-01")),
        Document("Deal", "7", document(Amount="9", Created="1999-01-01")),
    ]
    told = preview(read_mapping(BY_FIELDS), samples, CONTEXT)
    assert [row.document_id for row in told.rows] == ["1", "2", "3", "4", "5", "6", "7"]
    assert [row.refusal.code if row.refusal else None for row in told.rows] == [
        None,
        None,
        None,
        "UNKNOWN_USER",
        "NO_EXCHANGE_RATE",
        None,
        "OUT_OF_RANGE",
    ]
    assert [row.record is None for row in told.rows] == [False, False, False, True, True, False, True]
    sums = told.sums
    assert (sums.opportunities_created, sums.closed_won_count) == (4, 2)
    assert (sums.new_pipeline, sums.closed_won_amount) == (Decimal("232.5"), Decimal(225))
    nothing = preview(read_mapping(BY_FIELDS), samples, replace(CONTEXT, syncs=frozenset()))
    assert all(row.record is None and row.refusal is None for row in nothing.rows)
    assert nothing.sums.opportunities_created == 0
