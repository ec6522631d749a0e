"""What a document asks for below a field, for resolvers that read only that."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import strawberry
from strawberry.types.nodes import SelectedField


def fields_below(info: strawberry.Info[Any]) -> list[SelectedField]:
    """The fields that are selected of what this field answers, those of fragments among them."""
    return _fields(info.selected_fields[0].selections)


def asks_for(fields: Sequence[SelectedField], names: Collection[str]) -> bool:
    """Whether one of some names is among the fields, or anywhere below them."""
    return any(field.name in names or asks_for(_fields(field.selections), names) for field in fields)


def fields_named(fields: Sequence[SelectedField], name: str) -> Iterator[SelectedField]:
    """The fields of a name among some, and anywhere below them."""
    for field in fields:
        if field.name == name:
            yield field
        yield from fields_named(_fields(field.selections), name)


def _fields(selections: Sequence[Any]) -> list[SelectedField]:
    found: list[SelectedField] = []
    for selection in selections:
        if isinstance(selection, SelectedField):
            found.append(selection)
        else:
            found += _fields(selection.selections)
    return found
