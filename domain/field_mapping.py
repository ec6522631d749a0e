"""Field mappings: which fields of a CRM make an opportunity, as a team says it, read and held against the CRM.

A mapping is JSON:

    {"name": "Name", "stage": "StageName", "amount": "Amount", "currency": null,
     "createdOn": {"field": "CreatedDate"},
     "pipeline": {"stages": ["Proposal", "Negotiation"]},
     "won": {"field": "IsWon"}, "lost": {"fields": {"closed": "IsClosed", "won": "IsWon"}},
     "closedOn": {"history": true},
     "owner": "OwnerId", "credit": "CURRENT_OWNER"}

    pipeline  {"stages": [...]}, {"field": a date}, {"created": true}
    won       {"stages": [...]}, {"field": a boolean}
    lost      {"stages": [...]}, {"fields": {"closed": a boolean, "won": a boolean}}
    closedOn  {"history": true}, {"field": a date}
    credit    one of `Credit`, {"field": a user}
    currency  a field; null, or left out, is the team's
    amount    a field; null, or left out, is none
    creator   the user field of who made it; may be left out

What each comes to is said in domain/opportunities.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from typing import Any, TypeVar

from domain.connectors import DescribedField
from domain.errors import ItemError, Refused

NAME_LIMIT = 255
"""The longest name of a field or stage."""
STAGES_LIMIT = 500
"""The most stages that one rule names."""


class Credit(StrEnum):
    """Whose an opportunity is."""

    CURRENT_OWNER = "CURRENT_OWNER"
    """Who owns it now."""
    CREATOR = "CREATOR"
    """Who made it: the mapping's `creator` where it names one, else the first owner by history."""
    OWNER_AT_CLOSE = "OWNER_AT_CLOSE"
    """Who owned it when it was closed, by history; who owns it now while it is open."""


@dataclass(frozen=True, slots=True)
class InStages:
    """It is, or was, in one of these stages."""

    stages: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ByField:
    """A field of the CRM says it."""

    field: str


@dataclass(frozen=True, slots=True)
class ClosedNotWon:
    """Two boolean fields say it: closed, and not won."""

    closed: str
    won: str


@dataclass(frozen=True, slots=True)
class WhenCreated:
    """With its creation."""


@dataclass(frozen=True, slots=True)
class ByHistory:
    """The history of its stages says it."""


@dataclass(frozen=True, slots=True)
class FieldMapping:
    """Where everything that makes an opportunity comes from.

    Args:
        name: The field of its name.
        stage: The field of its stage.
        amount: The field of its amount; None for none.
        currency: The field of its currency; None for the team's.
        created_on: The field of when it was made.
        pipeline: When it entered the pipeline.
        won: When it counts as won.
        lost: When it counts as lost.
        closed_on: On which day it was closed.
        owner: The field of who owns it.
        credit: Whose it is.
        creator: The field of who made it, if one tells.
    """

    name: str
    stage: str
    amount: str | None
    currency: str | None
    created_on: str
    pipeline: InStages | ByField | WhenCreated
    won: InStages | ByField
    lost: InStages | ClosedNotWon
    closed_on: ByHistory | ByField
    owner: str
    credit: Credit | ByField
    creator: str | None = None

    @property
    def fields(self) -> frozenset[str]:
        """The CRM's fields that the mapping needs."""
        return frozenset(name for _path, name, _types in _uses(self))


def read_mapping(given: Any) -> FieldMapping:
    """Read a mapping.

    Args:
        given: JSON that has been decoded.

    Raises:
        Refused: it is none; an item for each part that is wrong.
    """
    if not isinstance(given, Mapping):
        raise Refused([ItemError("INVALID", "A field mapping is a JSON object.", ())])
    problems = [
        ItemError(
            "UNKNOWN_KEY", f"{key}: a field mapping has no such part{_near(str(key), _PARTS) or '.'}", (str(key),)
        )
        for key in given
        if key not in _PARTS
    ]
    values: dict[str, Any] = {}
    for key, (attribute, read) in _PARTS.items():
        if key not in given and key not in _OPTIONAL:
            problems.append(ItemError("MISSING", f"{key}: a field mapping needs this part.", (key,)))
            continue
        values[attribute] = read(given.get(key), (key,), problems)
    if problems:
        raise Refused(problems)
    return FieldMapping(**values)


def check_mapping(mapping: FieldMapping, described: Sequence[DescribedField]) -> list[ItemError]:
    """What is wrong with a mapping, seen the fields that a CRM has: codes UNKNOWN_FIELD, WRONG_TYPE, UNKNOWN_STAGE and
    CONTRADICTION; the message names the mend, the path the part of the mapping.
    """
    fields = {field.name: field for field in described}
    names = dict.fromkeys([*fields, *(field.label for field in described)])
    problems: list[ItemError] = []
    for path, name, types in _uses(mapping):
        field = fields.get(name)
        if field is None:
            labelled = [field.name for field in described if field.label == name]
            near = f"; its name is {labelled[0]}." if labelled else _near(name, names, fields=described) or "."
            problems.append(ItemError("UNKNOWN_FIELD", f"{path[0]}: the CRM has no field {name!r}{near}", path))
        elif field.type not in types:
            fitting = _few(other.name for other in described if other.type in types)
            mend = f"choose one of the type {' or '.join(types)}" + (f", such as {fitting}" if fitting else "")
            problems.append(
                ItemError("WRONG_TYPE", f"{path[0]}: {name} ({field.label}) is of the type {field.type}; {mend}.", path)
            )
    stage = fields.get(mapping.stage)
    if stage is not None and stage.values:
        problems += _unknown_stages(mapping, stage)
    return problems + _contradictions(mapping)


def _unknown_stages(mapping: FieldMapping, stage: DescribedField) -> list[ItemError]:
    return [
        ItemError(
            "UNKNOWN_STAGE",
            f"{key}: {stage.name} has no value {name!r}"
            + (_near(name, stage.values) or f"; its values are {_few(stage.values)}."),
            (key, "stages", str(position)),
        )
        for key, rule in (("pipeline", mapping.pipeline), ("won", mapping.won), ("lost", mapping.lost))
        if isinstance(rule, InStages)
        for position, name in enumerate(rule.stages)
        if name not in stage.values
    ]


def _contradictions(mapping: FieldMapping) -> list[ItemError]:
    won, lost = mapping.won, mapping.lost
    found: list[tuple[str, tuple[str, ...]]] = []
    if isinstance(won, InStages) and isinstance(lost, InStages):
        found += [
            (f"lost: the stage {name!r} is also won; leave it in one of the two.", ("lost", "stages", str(position)))
            for position, name in enumerate(lost.stages)
            if name in won.stages
        ]
    if isinstance(lost, ClosedNotWon):
        if lost.closed == lost.won:
            found.append(
                (
                    f"lost: nothing is ever lost if {lost.closed} says both closed and won; name two fields.",
                    ("lost", "fields", "won"),
                )
            )
        elif isinstance(won, ByField) and won.field == lost.closed:
            found.append(
                (
                    f"won: {won.field} says that an opportunity is closed, lost or not; name the field that says won, "
                    f"such as {lost.won}.",
                    ("won", "field"),
                )
            )
    if isinstance(mapping.closed_on, ByField) and mapping.closed_on.field == mapping.created_on:
        found.append(
            (
                f"closedOn: {mapping.created_on} says when an opportunity was made; name the field of its closing, or "
                'give {"history": true}.',
                ("closedOn", "field"),
            )
        )
    return [ItemError("CONTRADICTION", message, path) for message, path in found]


_TEXTS = ("text", "choice")
_DAYS = ("date", "datetime")

Path = tuple[str, ...]


def _uses(mapping: FieldMapping) -> list[tuple[Path, str, tuple[str, ...]]]:
    """Each use of a field: where in the mapping, which, and what types will do."""
    uses: list[tuple[Path, str | None, tuple[str, ...]]] = [
        (("name",), mapping.name, _TEXTS),
        (("stage",), mapping.stage, _TEXTS),
        (("amount",), mapping.amount, ("money", "number")),
        (("currency",), mapping.currency, _TEXTS),
        (("createdOn", "field"), mapping.created_on, _DAYS),
        (("owner",), mapping.owner, ("user",)),
        (("creator",), mapping.creator, ("user",)),
    ]
    if isinstance(mapping.pipeline, ByField):
        uses.append((("pipeline", "field"), mapping.pipeline.field, _DAYS))
    if isinstance(mapping.won, ByField):
        uses.append((("won", "field"), mapping.won.field, ("boolean",)))
    if isinstance(mapping.lost, ClosedNotWon):
        uses.append((("lost", "fields", "closed"), mapping.lost.closed, ("boolean",)))
        uses.append((("lost", "fields", "won"), mapping.lost.won, ("boolean",)))
    if isinstance(mapping.closed_on, ByField):
        uses.append((("closedOn", "field"), mapping.closed_on.field, _DAYS))
    if isinstance(mapping.credit, ByField):
        uses.append((("credit", "field"), mapping.credit.field, ("user",)))
    return [(path, name, types) for path, name, types in uses if name is not None]


def _near(name: str, known: Iterable[str], *, fields: Sequence[DescribedField] = ()) -> str:
    """A question that names what may have been meant; nothing where nothing is near."""
    by_key: dict[str, str] = {}
    for one in known:
        by_key.setdefault(one.casefold(), one)
    names = {field.label: field.name for field in reversed(fields)} | {field.name: field.name for field in fields}
    matches = (by_key[key] for key in get_close_matches(name.casefold(), by_key, n=3, cutoff=0.6))
    near = list(dict.fromkeys(names.get(match, match) for match in matches))
    return f"; did you mean {' or '.join(near)}?" if near else ""


def _few(names: Iterable[str]) -> str:
    found = list(names)
    return ", ".join(found[:5]) + (", …" if len(found) > 5 else "")


Value = TypeVar("Value")
_Problems = list[ItemError]
_Reader = Callable[[Any, Path, _Problems], Any]


def _field(value: Any, path: Path, problems: _Problems) -> str | None:
    if isinstance(value, str) and 0 < len(value) <= NAME_LIMIT and "\0" not in value:
        return value
    problems.append(ItemError("INVALID", f"{path[0]}: give the name of a field of the CRM, as text.", path))
    return None


def _optional_field(value: Any, path: Path, problems: _Problems) -> str | None:
    return None if value is None else _field(value, path, problems)


def _stages(value: Any, path: Path, problems: _Problems) -> InStages | None:
    if not isinstance(value, list | tuple) or not 0 < len(value) <= STAGES_LIMIT:
        problems.append(ItemError("INVALID", f"{path[0]}: give a list of 1 to {STAGES_LIMIT} stages.", path))
        return None
    wrong = [
        position
        for position, name in enumerate(value)
        if not isinstance(name, str) or not 0 < len(name) <= NAME_LIMIT or "\0" in name
    ]
    problems += [
        ItemError("INVALID", f"{path[0]}: a stage is a text of 1 to {NAME_LIMIT} characters.", (*path, str(position)))
        for position in wrong
    ]
    return None if wrong else InStages(tuple(value))


def _by_field(value: Any, path: Path, problems: _Problems) -> ByField | None:
    name = _field(value, path, problems)
    return None if name is None else ByField(name)


def _true(made: Value) -> Callable[[Any, Path, _Problems], Value | None]:
    def read(value: Any, path: Path, problems: _Problems) -> Value | None:
        if value is True:
            return made
        problems.append(ItemError("INVALID", f"{path[0]}: {path[-1]} can only be true.", path))
        return None

    return read


def _closed_not_won(value: Any, path: Path, problems: _Problems) -> ClosedNotWon | None:
    if not isinstance(value, Mapping) or set(value) != {"closed", "won"}:
        problems.append(ItemError("INVALID", f'{path[0]}: give {{"closed": a field, "won": a field}}.', path))
        return None
    closed = _field(value["closed"], (*path, "closed"), problems)
    won = _field(value["won"], (*path, "won"), problems)
    return None if closed is None or won is None else ClosedNotWon(closed, won)


_FORMS = {
    "stages": '{"stages": [...]}',
    "field": '{"field": "..."}',
    "fields": '{"fields": {"closed": "...", "won": "..."}}',
    "created": '{"created": true}',
    "history": '{"history": true}',
}


def _one_of(readers: Mapping[str, _Reader], words: Sequence[str] = ()) -> _Reader:
    """A reader of an object with exactly one of these keys, or of one of some words."""

    def read(value: Any, path: Path, problems: _Problems) -> Any:
        if isinstance(value, str) and value in words:
            return Credit(value)
        if isinstance(value, Mapping) and len(value) == 1:
            key = next(iter(value))
            if key in readers:
                return readers[key](value[key], (*path, key), problems)
        forms = " or ".join([*words, *(_FORMS[key] for key in readers)])
        problems.append(ItemError("INVALID", f"{path[0]}: give {forms}.", path))
        return None

    return read


def _created_on(value: Any, path: Path, problems: _Problems) -> str | None:
    rule: ByField | None = _one_of({"field": _by_field})(value, path, problems)
    return None if rule is None else rule.field


_PARTS: dict[str, tuple[str, _Reader]] = {
    "name": ("name", _field),
    "stage": ("stage", _field),
    "amount": ("amount", _optional_field),
    "currency": ("currency", _optional_field),
    "createdOn": ("created_on", _created_on),
    "pipeline": (
        "pipeline",
        _one_of({"stages": _stages, "field": _by_field, "created": _true(WhenCreated())}),
    ),
    "won": ("won", _one_of({"stages": _stages, "field": _by_field})),
    "lost": ("lost", _one_of({"stages": _stages, "fields": _closed_not_won})),
    "closedOn": ("closed_on", _one_of({"history": _true(ByHistory()), "field": _by_field})),
    "owner": ("owner", _field),
    "credit": ("credit", _one_of({"field": _by_field}, words=tuple(Credit))),
    "creator": ("creator", _optional_field),
}
"""The parts of a mapping's JSON: the attribute that each becomes, and its reader."""

_OPTIONAL = frozenset({"amount", "currency", "creator"})
