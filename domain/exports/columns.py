"""What a row of an export holds: typed columns, named as the fields of GraphQL are, with points where those nest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from typing import Any, Final, Generic, TypeVar

from domain.errors import Invalid

Row = TypeVar("Row")

MOST_COLUMNS = 400
"""Of one export."""


class ColumnKind(StrEnum):
    """The type of a column's values."""

    ID = "ID"
    STRING = "STRING"
    ENUM = "ENUM"
    INT = "INT"
    FLOAT = "FLOAT"
    DECIMAL = "DECIMAL"
    BOOLEAN = "BOOLEAN"
    DATE = "DATE"
    DATETIME = "DATETIME"
    JSON = "JSON"


class _Gap(StrEnum):
    ABSENT = "absent"
    NO_OBJECT = "no object"


ABSENT: Final = _Gap.ABSENT
"""The row has no such field: an empty cell, and not there at all in NDJSON."""
NO_OBJECT: Final = _Gap.NO_OBJECT
"""The object around the field is null: an empty cell, and `null` for the object in NDJSON."""


@dataclass(frozen=True, slots=True)
class Column(Generic[Row]):
    """A column.

    Args:
        name: As the field is called, from the row on: `externalId`, `user.email`.
        kind: What its values are.
        value: The value of a row: as Python has it, None, `ABSENT` or `NO_OBJECT`.
        chosen_only: Whether it is there only when it is asked for.
    """

    name: str
    kind: ColumnKind
    value: Callable[[Row], Any]
    chosen_only: bool = False


def within(found: Any, read: Callable[[Any], Any]) -> Any:
    """A value of an object that may not be there."""
    return NO_OBJECT if found is None else read(found)


@dataclass(frozen=True, slots=True)
class Chosen(Generic[Row]):
    """The columns of one export, in its order.

    Args:
        columns: At least one.
    """

    columns: tuple[Column[Row], ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(column.name for column in self.columns)

    def any(self, *prefixes: str) -> bool:
        """Whether a column with one of these names is there, or one below it (`user` for `user.email`)."""
        return any(name == prefix or name.startswith(f"{prefix}.") for name in self.names for prefix in prefixes)

    def values(self, row: Row) -> list[Any]:
        """A row's values."""
        return [column.value(row) for column in self.columns]


def choose(
    columns: Sequence[Column[Row]], fields: Sequence[str] | None, usual: Callable[[str], bool] = lambda _name: True
) -> Chosen[Row]:
    """The columns that are asked for, in the order in which they are.

    Args:
        columns: All that there are.
        fields: Names; one of an object stands for all columns below it. None for the usual ones.
        usual: Of the usual ones, which.

    Raises:
        Invalid: there is no such column, or there are none or too many.
    """
    if fields is None:
        return Chosen(tuple(column for column in columns if not column.chosen_only and usual(column.name)))
    found: dict[str, Column[Row]] = {}
    for field in fields:
        matching = [column for column in columns if column.name == field or column.name.startswith(f"{field}.")]
        if not matching:
            near = get_close_matches(field, [column.name for column in columns], 3)
            hint = f" Did you mean {' or '.join(near)}?" if near else ""
            raise Invalid(f"fields: there is no {field[:100]!r}.{hint}", path=("fields",))
        found |= {column.name: column for column in matching}
    if not found:
        raise Invalid("fields: name at least one, or leave it out.", path=("fields",))
    if len(found) > MOST_COLUMNS:
        raise Invalid(f"fields: at most {MOST_COLUMNS} at once.", path=("fields",))
    return Chosen(tuple(found.values()))
