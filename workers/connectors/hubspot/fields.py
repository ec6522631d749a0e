"""How HubSpot describes its deals, and how a deal becomes the neutral data of domain/opportunities.py."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, TypeAlias

from domain.connectors import DescribedField

STAGE, OWNER, CURRENCY, MERGED = "dealstage", "hubspot_owner_id", "deal_currency_code", "hs_merged_object_ids"
HISTORIES = (STAGE, OWNER)
"""The properties whose history is kept."""

ALWAYS = (
    "dealname",
    STAGE,
    "pipeline",
    "amount",
    CURRENCY,
    "amount_in_home_currency",
    "hs_exchange_rate",
    "createdate",
    "closedate",
    "hs_is_closed",
    "hs_is_closed_won",
    OWNER,
    "hs_createdate",
    "hs_lastmodifieddate",
    MERGED,
)
"""Properties that are asked for even where HubSpot hides them from people."""

TIMINGS = (
    "hs_date_entered_",
    "hs_date_exited_",
    "hs_time_in_",
    "hs_v2_date_exited_",
    "hs_v2_latest_time_in_",
    "hs_v2_cumulative_time_in_",
)
"""Prefixes of properties that there are several of for each stage; what they say is in the history of stages, and
`hs_v2_date_entered_` says the rest."""

MADE_WITH = timedelta(minutes=1)
"""A history that begins so soon after its deal is what the deal was made with."""

FieldType: TypeAlias = Literal["text", "number", "money", "date", "datetime", "boolean", "choice", "user"]


def person_id(owner_id: str) -> str:
    """How an owner is called outside this folder."""
    return f"hubspot:{owner_id}"


def describe(properties: Iterable[Mapping[str, Any]], stages: Mapping[str, str]) -> tuple[DescribedField, ...]:
    """The fields that a mapping can go by, in the order of their labels.

    Args:
        properties: As HubSpot describes them.
        stages: The labels of the stages of all pipelines by their ids.
    """
    described = [_described(one, stages) for one in properties if _is_offered(one)]
    return tuple(sorted(described, key=lambda field: (field.label.casefold(), field.name)))


def _is_offered(one: Mapping[str, Any]) -> bool:
    name = one.get("name")
    if not isinstance(name, str) or one.get("archived") is True:
        return False
    if name in ALWAYS:
        return name != MERGED
    return one.get("hidden") is not True and not name.startswith(TIMINGS)


def _described(one: Mapping[str, Any], stages: Mapping[str, str]) -> DescribedField:
    name = one["name"]
    label = one.get("label")
    kind = field_type(one)
    options = {} if kind != "choice" else stages if name == STAGE else _options(one)
    values = tuple(options)
    return DescribedField(
        name, label if isinstance(label, str) and label else name, kind, values, tuple(options.values())
    )


def field_type(one: Mapping[str, Any]) -> FieldType:
    """What a property holds ("Properties": types and field types)."""
    several = one.get("fieldType") == "checkbox"
    if one.get("name") == OWNER or (one.get("referencedObjectType") == "OWNER" and not several):
        return "user"
    kind = one.get("type")
    if kind == "number":
        money = one.get("showCurrencySymbol") is True or one.get("numberDisplayHint") == "currency"
        return "money" if money else "number"
    if kind == "enumeration":
        if one.get("fieldType") == "booleancheckbox":
            return "boolean"
        return "text" if several else "choice"
    plain: Mapping[Any, FieldType] = {"bool": "boolean", "date": "date", "datetime": "datetime"}
    return plain.get(kind, "text")


def _options(one: Mapping[str, Any]) -> dict[str, str]:
    options = one.get("options")
    return {
        option["value"]: str(option.get("label") or option["value"])
        for option in (options if isinstance(options, list) else ())
        if isinstance(option, Mapping) and isinstance(option.get("value"), str)
    }


def owners_of(deal: Mapping[str, Any], types: Mapping[str, FieldType]) -> Iterator[str]:
    """The ids of the owners that a deal and its history name."""
    for name, value in _mapping(deal.get("properties")).items():
        if types.get(name) == "user" and isinstance(value, str) and value:
            yield value
    for _at, value in _versions(deal, OWNER):
        if isinstance(value, str) and value:
            yield value


def merged_into(deal: Mapping[str, Any]) -> list[str]:
    """The ids of the deals that went up in this one: it is the same under each of them."""
    given = _mapping(deal.get("properties")).get(MERGED)
    parts = given.split(";") if isinstance(given, str) else []
    return [one.strip() for one in parts if one.strip().isdecimal() and one.strip() != deal.get("id")]


def neutral(
    deal: Mapping[str, Any],
    types: Mapping[str, FieldType],
    stages: Mapping[str, str],
    emails: Mapping[str, str | None],
    companies: Iterable[str] | None,
    company_currency: str | None,
) -> dict[str, Any]:
    """A deal as domain/opportunities.py reads it. Whatever it holds, this raises nothing: mapping tells what is wrong.

    Beside what is read there, `companies` has the ids of the companies that it is associated with, `labels` the name
    of its stage, and `companyCurrency` the currency of `amount_in_home_currency`.

    Args:
        deal: As HubSpot gave it, with the history of `HISTORIES`.
        types: What its properties hold.
        stages: The labels of the stages by their ids.
        emails: The addresses of the owners.
        companies: Ids; None where they are not known.
        company_currency: What HubSpot takes an amount without a currency to be in.
    """
    given = _mapping(deal.get("properties"))
    fields = {name: _value(given.get(name), types.get(name)) for name in dict.fromkeys((*types, *ALWAYS))}
    if not fields[CURRENCY] and company_currency:
        fields[CURRENCY] = company_currency
    history = {
        STAGE: _history(deal, STAGE, None),
        OWNER: _history(deal, OWNER, "user"),
    }
    data: dict[str, Any] = {
        "fields": fields,
        "history": history,
        "people": {person_id(owner): emails.get(owner) for owner in sorted(set(owners_of(deal, types)))},
        "labels": {stage: stages[stage] for stage in (given.get(STAGE),) if isinstance(stage, str) and stage in stages},
        "companyCurrency": company_currency,
    }
    if companies is not None:
        data["associations"] = {"companies": sorted(companies)}
    return data


def _history(deal: Mapping[str, Any], name: str, kind: FieldType | None) -> list[list[Any]]:
    """All changes of a property, the oldest first; HubSpot gives the newest first.

    Where the first came after the deal was made, it was made without; or HubSpot has more versions than it gives, and
    the same is the best that can be said.
    """
    versions = [[at, _value(value, kind)] for at, value in reversed(list(_versions(deal, name)))]
    versions.sort(key=lambda version: str(version[0]))
    made = _mapping(deal.get("properties")).get("hs_createdate") or deal.get("createdAt")
    made_at, first_at = instant(made), instant(versions[0][0]) if versions else None
    if made_at is not None and first_at is not None and first_at - made_at > MADE_WITH:
        versions.insert(0, [made_at.isoformat(), None])
    return versions


def _versions(deal: Mapping[str, Any], name: str) -> Iterator[tuple[Any, Any]]:
    versions = _mapping(deal.get("propertiesWithHistory")).get(name)
    for version in versions if isinstance(versions, list) else ():
        if isinstance(version, Mapping):
            yield _value(version.get("timestamp"), "datetime"), version.get("value")


def _value(value: Any, kind: FieldType | None) -> Any:
    """A value as domain/opportunities.py reads it; one that is not what it should be stays as it is."""
    if value == "" or value is None:
        return None
    if kind == "user" and isinstance(value, str | int):
        return person_id(str(value))
    if kind in ("date", "datetime") and (at := _epoch(value)) is not None:
        return at.date().isoformat() if kind == "date" else at.isoformat()
    return value


def _epoch(value: Any) -> datetime | None:
    """An instant that is given as milliseconds since 1970, as older answers and imports have it."""
    if isinstance(value, bool) or not (isinstance(value, int) or (isinstance(value, str) and _is_integer(value))):
        return None
    try:
        return datetime.fromtimestamp(int(value) / 1000, UTC)
    except (OverflowError, OSError, ValueError):
        return None


def _is_integer(text: str) -> bool:
    digits = text.removeprefix("-")
    return digits.isascii() and digits.isdecimal() and len(digits) <= 18


def instant(value: Any) -> datetime | None:
    """An instant, ISO or milliseconds since 1970; None where it is neither."""
    if (at := _epoch(value)) is not None:
        return at
    if not isinstance(value, str):
        return None
    try:
        at = datetime.fromisoformat(value)
        return at.astimezone(UTC) if at.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
