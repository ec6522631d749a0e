"""Documents of opportunities: what was read of each, with its histories and the addresses of its people.

Each costs one query for a whole page of opportunities, never one for each. The history of stages is whole. That of
other fields goes back to when Salesforce began to keep it, and at most 24 months: what a field held then counts from
the opportunity's making.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from domain.connectors import Document, RemoteUnavailable
from workers.connectors.salesforce.client import Client, Fault, quoted
from workers.connectors.salesforce.manifest import OBJECT
from workers.connectors.salesforce.schema import CURRENCY, UNMAPPED, Selection

Row = Mapping[str, Any]
Changes = list[list[Any]]

IDS_PER_QUERY = 300
"""So that a query stays below the 16,384 bytes that an address may have."""

_ID = re.compile(r"[A-Za-z0-9]{15}(?:[A-Za-z0-9]{3})?")
_UTC = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?)\+0000")
_CHECK = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"


def full_id(value: Any) -> str | None:
    """An id in its form of 18 characters; None if it is no id."""
    if not isinstance(value, str) or not _ID.fullmatch(value):
        return None
    if len(value) == 18:
        return value
    parts = (value[start : start + 5] for start in (0, 5, 10))
    return value + "".join(
        _CHECK[sum(letter.isupper() << place for place, letter in enumerate(part))] for part in parts
    )


def canonical(value: Any) -> Any:
    """A value as both APIs may give it, in one form: instants with Z, empty text as None."""
    if isinstance(value, str):
        return _UTC.sub(r"\1Z", value) or None
    return value


@dataclass(frozen=True, slots=True)
class Stages:
    """What Salesforce says of each stage now.

    Args:
        closed: By a stage's name, whether an opportunity in it is closed.
        won: By a stage's name, whether it is won.
    """

    closed: Mapping[str, bool]
    won: Mapping[str, bool]


async def make_documents(client: Client, rows: Sequence[Row], selection: Selection) -> list[Document]:
    """The documents of some opportunities.

    Args:
        client: For their histories and people.
        rows: What was read of them.
        selection: What is read.
    """
    gone = [Document(OBJECT, _id_of(row), None, True) for row in rows if row.get("IsDeleted") in (True, "true")]
    live = {_id_of(row): row for row in rows if row.get("IsDeleted") not in (True, "true")}
    if not live:
        return gone
    data: dict[str, dict[str, Any]] = {}
    for opportunity_id, row in live.items():
        data[opportunity_id] = {"fields": _fields(row, selection), "history": {}, "people": {}}
    await _add_stages(client, data, live, selection)
    await _add_histories(client, data, live, selection)
    await _add_people(client, data, selection)
    return gone + [Document(OBJECT, opportunity_id, one) for opportunity_id, one in data.items()]


def _id_of(row: Row) -> str:
    opportunity_id = full_id(row.get("Id"))
    if opportunity_id is None:
        raise RemoteUnavailable("Salesforce gives an opportunity without an id.")
    return opportunity_id


def _fields(row: Row, selection: Selection) -> dict[str, Any]:
    fields = {name: canonical(row.get(name)) for name in selection.fields if name not in UNMAPPED}
    for name in selection.booleans:
        # The Bulk API gives texts.
        if fields.get(name) in ("true", "false"):
            fields[name] = fields[name] == "true"
    for name in selection.users:
        fields[name] = full_id(fields.get(name)) or fields.get(name)
    if not selection.currencies:
        fields[CURRENCY] = None
    return fields


async def _rows_of(client: Client, soql: str, ids: Sequence[str], *, deleted: bool = False) -> dict[str, list[Row]]:
    """Rows by the opportunity that they belong to, in the query's order."""
    found: dict[str, list[Row]] = {}
    for start in range(0, len(ids), IDS_PER_QUERY):
        answer = await client.query(soql.format(ids=quoted(ids[start : start + IDS_PER_QUERY])), deleted=deleted)
        for row in answer.rows:
            owner = full_id(row.get("OpportunityId"))
            if owner is not None:
                found.setdefault(owner, []).append(row)
    return found


async def _add_stages(
    client: Client, data: Mapping[str, dict[str, Any]], live: Mapping[str, Row], selection: Selection
) -> None:
    """The history of stages, and with it that of being closed and won."""
    rows = await _rows_of(
        client,
        "SELECT OpportunityId, StageName, CreatedDate FROM OpportunityHistory WHERE OpportunityId IN ({ids}) "
        "ORDER BY CreatedDate, Id",
        list(data),
    )
    outcomes = {"IsClosed", "IsWon"} & set(selection.fields)
    stages = await _read_stages(client) if outcomes else Stages({}, {})
    for opportunity_id, one in data.items():
        created = canonical(live[opportunity_id].get("CreatedDate"))
        changes = _runs(
            [canonical(row.get("CreatedDate")), row.get("StageName")] for row in rows.get(opportunity_id, [])
        ) or [[created, one["fields"].get("StageName")]]
        one["history"]["StageName"] = changes
        for name, said in (("IsClosed", stages.closed), ("IsWon", stages.won)):
            if name in outcomes and all(stage in said for _at, stage in changes):
                one["history"][name] = _runs([at, said[stage]] for at, stage in changes)


async def _read_stages(client: Client) -> Stages:
    answer = await client.query("SELECT ApiName, MasterLabel, IsClosed, IsWon FROM OpportunityStage")
    closed: dict[str, bool] = {}
    won: dict[str, bool] = {}
    # The history names a stage by its API name; an old one may name its label.
    for key in ("MasterLabel", "ApiName"):
        for row in answer.rows:
            if isinstance(row.get(key), str):
                closed[row[key]] = row.get("IsClosed") is True
                won[row[key]] = row.get("IsWon") is True
    return Stages(closed, won)


async def _add_histories(
    client: Client, data: Mapping[str, dict[str, Any]], live: Mapping[str, Row], selection: Selection
) -> None:
    """The histories of the other fields whose changes Salesforce keeps. A change of a user has two rows: one with
    names, one with ids.
    """
    if not selection.tracked:
        return
    names = {_history_name(field): field for field in selection.tracked}
    try:
        rows = await _rows_of(
            client,
            "SELECT OpportunityId, Field, OldValue, NewValue, CreatedDate FROM OpportunityFieldHistory "
            f"WHERE OpportunityId IN ({{ids}}) AND Field IN ({quoted(names)}) ORDER BY CreatedDate, Id",
            list(data),
            deleted=True,  # Only so Salesforce gives what is older than 18 months.
        )
    except Fault as fault:
        if fault.code != "INVALID_TYPE":
            raise
        return
    for opportunity_id, one in data.items():
        created = canonical(live[opportunity_id].get("CreatedDate"))
        by_field = {
            names[name]: list(those)
            for name, those in groupby(
                sorted(rows.get(opportunity_id, []), key=lambda row: str(row.get("Field"))),
                key=lambda row: str(row.get("Field")),
            )
            if name in names
        }
        for field in selection.tracked:
            changes = [_change(row, user=field in selection.users) for row in by_field.get(field, [])]
            told = [change for change in changes if change is not None]
            if told:
                first = [created, told[0][1]]
                one["history"][field] = _runs([first, *([at, after] for at, _before, after in told)])
            else:
                one["history"][field] = [[created, one["fields"].get(field)]]


def _history_name(field: str) -> str:
    """What OpportunityFieldHistory calls a field: standard references without their Id."""
    return field.removesuffix("Id") if not field.endswith("__c") else field


def _change(row: Row, *, user: bool) -> tuple[Any, Any, Any] | None:
    before, after = row.get("OldValue"), row.get("NewValue")
    if user:
        ids = full_id(before), full_id(after)
        if any(value is not None and id is None for value, id in zip((before, after), ids, strict=True)):
            return None  # The row with names.
        before, after = ids
    return canonical(row.get("CreatedDate")), canonical(before), canonical(after)


def _runs(changes: Iterable[list[Any]]) -> Changes:
    """Changes without those that change nothing: Salesforce also notes a stage when only the amount has changed."""
    runs: Changes = []
    for change in changes:
        if not runs or runs[-1][1] != change[1]:
            runs.append(change)
    return runs


async def _add_people(client: Client, data: Mapping[str, dict[str, Any]], selection: Selection) -> None:
    """The addresses of the users that the documents name."""
    named = {opportunity_id: _users_of(one, selection) for opportunity_id, one in data.items()}
    ids = sorted({user for users in named.values() for user in users})
    emails: dict[str, str | None] = dict.fromkeys(ids)
    for start in range(0, len(ids), IDS_PER_QUERY):
        lot = quoted(ids[start : start + IDS_PER_QUERY])
        for row in (await client.query(f"SELECT Id, Email FROM User WHERE Id IN ({lot})")).rows:
            user, email = full_id(row.get("Id")), row.get("Email")
            if user in emails and isinstance(email, str) and email.strip():
                emails[user] = email.strip().lower()
    for opportunity_id, one in data.items():
        one["people"] = {user: emails[user] for user in sorted(named[opportunity_id])}


def _users_of(one: Mapping[str, Any], selection: Selection) -> set[str]:
    values = [one["fields"].get(name) for name in selection.users]
    values += [value for name in selection.users for _at, value in one["history"].get(name, [])]
    return {user for user in map(full_id, values) if user is not None}
