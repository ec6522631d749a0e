"""Mapping files: what they make of rows, and how they are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from domain.errors import Invalid
from domain.mapping import email_of, load_mapping
from domain.records import OpportunityRecord
from tests.running.conftest import ROOT

ROW = {
    "opportunity_id": "A1",
    "sales_agent": "Anna Snelling",
    "product": "GTX Basic",
    "account": "Acme",
    "deal_stage": "Won",
    "engage_date": "20-10-16",
    "close_date": "01-03-17",
    "close_value": "1054",
}


def mapped(*rows: dict[str, str]) -> list[Any]:
    mapping = load_mapping(ROOT / "examples" / "maven-crm.toml")
    return [
        entry.record or entry.refusal for entry in mapping.entries(lambda: enumerate([dict(row) for row in rows], 1))
    ]


def test_a_won_a_lost_an_open_and_an_unseen_deal() -> None:
    lost = ROW | {"deal_stage": "Lost", "close_value": "0"}
    engaging = ROW | {"deal_stage": "Engaging", "close_date": "", "close_value": ""}
    prospect = engaging | {"deal_stage": "Prospecting", "engage_date": ""}
    records = mapped(ROW, lost, engaging, prospect)
    assert all(isinstance(record, OpportunityRecord) for record in records)
    won, gone, opened, unseen = records
    assert (won.won, str(won.amount), str(won.closed_on), str(won.created_on)) == (
        True,
        "1054",
        "2017-03-01",
        "2016-10-20",
    )
    assert (gone.won, gone.amount) == (False, None)
    assert (opened.won, opened.closed_on, str(opened.created_on)) == (None, None, "2016-10-20")
    assert (unseen.created_on, unseen.occurred_at.isoformat()) == (None, "2017-03-01T00:00:00+00:00")


def test_a_date_that_is_none_is_refused_by_name() -> None:
    (refusal,) = mapped(ROW | {"close_date": "soon"})
    assert (refusal.code, refusal.field) == ("INVALID", "closedOn")


def test_a_file_without_a_column_is_refused_by_name() -> None:
    with pytest.raises(Invalid, match="no column close_value"):
        mapped({name: cell for name, cell in ROW.items() if name != "close_value"})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kind = \nfile = 1", "line 1"),
        ('kind = "call"', "missing required field `fields`"),
        ('kind = "call"\n[fields]\nuser = { colum = "x" }', "colum"),
        ('kind = "call"\n[fields]\nuser = { column = "x", constant = "y" }', "exactly one"),
        ('kind = "call"\n[fields]\nuser = { column = "x", otherwise = "latest" }', "otherwise"),
    ],
)
def test_a_bad_mapping_is_refused_by_name(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "bad.toml"
    file.write_text(text)
    with pytest.raises(Invalid, match=said):
        load_mapping(file)


def test_addresses_made_from_names() -> None:
    assert email_of("Darcel Schlecht", "x.test") == "darcel.schlecht@x.test"
    assert email_of("José  O'Neill-Ng", "x.test") == "jose.o.neill.ng@x.test"
