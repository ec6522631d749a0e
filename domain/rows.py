"""Rows of many things, taken apart."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

Key = TypeVar("Key")
Made = TypeVar("Made")


def gathered(
    keys: Iterable[Key], rows: Iterable[Any], column: str, make: Callable[[Any], Made]
) -> dict[Key, list[Made]]:
    """What rows make, in their order, by one of their columns; nothing for a key without rows.

    >>> gathered("ab", [{"k": "a", "n": 1}, {"k": "a", "n": 2}], "k", lambda row: row["n"])
    {'a': [1, 2], 'b': []}
    """
    found: dict[Key, list[Made]] = {key: [] for key in keys}
    for row in rows:
        found[row[column]].append(make(row))
    return found
