"""What an organization's opportunities have: which fields there are, which are read, which keep a history."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

from domain.connectors import DescribedField, RemoteRefused
from domain.field_mapping import read_mapping
from workers.connectors.salesforce.client import API, Client, Fault, FieldTold
from workers.connectors.salesforce.manifest import DEFAULT_MAPPING, OBJECT

TOOLING = f"{API}/tooling"
CURRENCY = "CurrencyIsoCode"
NEEDED = ("Id", "CreatedDate", "SystemModstamp", "IsDeleted", "StageName")
"""Fields that the sync itself needs; every user who may read opportunities sees them."""
UNMAPPED = frozenset({"IsDeleted", "SystemModstamp"})
"""Those of them that documents do not hold, so that a document does not change with them."""
TEXT_LIMIT = 255
"""Longer texts are of no use to a field mapping."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,254}")
_Type = Literal["text", "number", "money", "date", "datetime", "boolean", "choice", "user"]
_TYPES: Mapping[str, _Type] = {
    "id": "text",
    "string": "text",
    "textarea": "text",
    "email": "text",
    "phone": "text",
    "url": "text",
    "picklist": "choice",
    "combobox": "choice",
    "currency": "money",
    "double": "number",
    "int": "number",
    "long": "number",
    "percent": "number",
    "date": "date",
    "datetime": "datetime",
    "boolean": "boolean",
}
_WITH_HISTORY = frozenset({"text", "choice", "boolean", "user"})
"""Types of fields whose history a field mapping can use: stages, what is won or lost, who owns."""


@dataclass(frozen=True, slots=True)
class Selection:
    """What is read of each opportunity.

    Args:
        fields: The fields, in a fixed order.
        missing: Fields that are wanted and not there.
        tracked: Those whose history Salesforce keeps.
        users: Those that hold a user's id.
        booleans: Those that are true or false.
        currencies: Whether the organization has several currencies.
    """

    fields: tuple[str, ...]
    missing: tuple[str, ...]
    tracked: tuple[str, ...]
    users: tuple[str, ...]
    booleans: tuple[str, ...]
    currencies: bool


def wanted_fields(settings: Mapping[str, str]) -> frozenset[str]:
    """The fields that are to be read: those of the default mapping, and those that the runner asks for in the setting
    `fields` because the mapping in force names them. What no mapping names is not read.
    """
    asked = {name.strip() for name in settings.get("fields", "").split(",")} - {""}
    return read_mapping(DEFAULT_MAPPING).fields | {name for name in asked if _NAME.fullmatch(name)}


async def select_fields(client: Client, settings: Mapping[str, str]) -> Selection:
    """Look what there is, and choose what is read.

    Raises:
        RemoteRefused: a field that the mapping in force names is not there.
    """
    told = {field.name: field for field in await client.describe(OBJECT)}
    wanted = wanted_fields(settings)
    missing = sorted(wanted - set(told) - {CURRENCY})
    asked = {name.strip() for name in settings.get("fields", "").split(",")}
    lost = [name for name in missing if name in asked]
    if lost:
        raise RemoteRefused(
            "; ".join(_lost(name, told) for name in lost)
            + ": let the integration's user see it, or save a field mapping that names another."
        )
    names = (*NEEDED, *sorted((wanted & set(told)) - set(NEEDED)))
    return _selection(names, missing, told, await tracked_fields(client))


def _lost(name: str, told: Iterable[str]) -> str:
    near = get_close_matches(name, list(told), n=2)
    return f"Salesforce's {OBJECT} has no field {name} any more" + (f" (is it {' or '.join(near)}?)" if near else "")


def all_fields(told: Sequence[FieldTold], tracked: frozenset[str]) -> Selection:
    """Everything that a mapping could name; for samples."""
    by_name = {field.name: field for field in told}
    names = [field.name for field in described_fields(told) if field.name in by_name]
    return _selection((*NEEDED, *(name for name in names if name not in NEEDED)), (), by_name, tracked)


def _selection(
    names: Sequence[str], missing: Sequence[str], told: Mapping[str, FieldTold], tracked: frozenset[str]
) -> Selection:
    types = {name: type_of(told[name]) for name in names if name in told}
    return Selection(
        fields=tuple(names),
        missing=tuple(missing),
        tracked=tuple(
            name
            for name, type in types.items()
            # The history of StageName has an object of its own, which is always kept.
            if name in tracked and type in _WITH_HISTORY and name != "StageName"
        ),
        users=tuple(name for name, type in types.items() if type == "user"),
        booleans=tuple(name for name, type in types.items() if type == "boolean"),
        currencies=CURRENCY in told,
    )


async def tracked_fields(client: Client) -> frozenset[str]:
    """The fields whose history is kept; none where the user may not know (permission View Setup and Configuration)."""
    soql = (
        "SELECT QualifiedApiName FROM FieldDefinition "
        f"WHERE EntityDefinition.QualifiedApiName = '{OBJECT}' AND IsFieldHistoryTracked = true"
    )
    try:
        answer = await client.query(soql, path=TOOLING)
    except Fault:
        return frozenset()
    names = {row.get("QualifiedApiName") for row in answer.rows}
    # The owner is a field of two names.
    return frozenset({"OwnerId" if name == "Owner" else name for name in names if isinstance(name, str)})


def type_of(field: FieldTold) -> _Type | None:
    """What a field holds, in Sideline's words; None where a mapping has no use for it."""
    if field.type == "reference":
        return "user" if "User" in field.referenceTo else None
    if field.type == "textarea" and field.length > TEXT_LIMIT:
        return None
    return _TYPES.get(field.type)


def described_fields(told: Sequence[FieldTold]) -> tuple[DescribedField, ...]:
    """The fields that a mapping may name. CurrencyIsoCode is one even with a single currency: it is null then."""
    found = [
        DescribedField(field.name, field.label, type, tuple(value.value for value in field.picklistValues))
        for field in told
        if (type := type_of(field)) is not None and field.name not in UNMAPPED
    ]
    if all(field.name != CURRENCY for field in found):
        found.append(DescribedField(CURRENCY, "Currency", "text"))
    return tuple(found)
