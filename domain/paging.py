"""Keyset pages: a cursor holds the sort values of the row it stands at, so that rows may come and go around it."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Generic, TypeVar

import msgspec

from domain.errors import Invalid

LARGEST_PAGE = 500
DEFAULT_PAGE = 50
LARGEST_EXPONENT = 1_000
"""Of a number in a cursor; what metrics come to is far within."""

Node = TypeVar("Node")


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Which page: so many after a cursor, or so many before one."""

    limit: int
    backward: bool
    cursor: str | None


@dataclass(frozen=True, slots=True)
class Page(Generic[Node]):
    """A page of a list, in the list's order."""

    nodes: tuple[Node, ...]
    cursors: tuple[str, ...]
    has_next: bool
    has_previous: bool


def page_request(
    first: int | None, after: str | None, last: int | None = None, before: str | None = None
) -> PageRequest:
    """Check Relay's four arguments.

    Raises:
        Invalid: they contradict each other or ask for too much.
    """
    if (first is not None or after is not None) and (last is not None or before is not None):
        raise Invalid(
            "Page forwards with first and after, or backwards with last and before, not both.", path=("first",)
        )
    if last is None and before is not None:
        raise Invalid("last: say how many to take before the cursor.", path=("last",))
    backward = last is not None
    limit = last if last is not None else first if first is not None else DEFAULT_PAGE
    if not 0 <= limit <= LARGEST_PAGE:
        name = "last" if backward else "first"
        raise Invalid(f"{name}: from 0 to {LARGEST_PAGE} at once; page on with the cursor.", path=(name,))
    return PageRequest(limit, backward, before if backward else after)


def encode_cursor(list_name: str, *values: object) -> str:
    """A cursor from the name of a list and a row's sort values (strings, numbers as strings, booleans)."""
    return base64.urlsafe_b64encode(msgspec.json.encode([list_name, *values])).decode().rstrip("=")


def _could_be_a_rows(value: object) -> bool:
    """Whether a column could hold it, so that it can be compared with one."""
    if isinstance(value, str):
        return "\0" not in value
    if isinstance(value, int):
        return abs(value) < 2**63
    if isinstance(value, Decimal):
        return value.is_finite() and abs(value.adjusted()) <= LARGEST_EXPONENT
    if isinstance(value, datetime):
        return value.tzinfo is not None and date.min.year < value.year < date.max.year
    return True


def decode_cursor(list_name: str, cursor: str, types: Sequence[type]) -> list[Any]:
    """The sort values in a cursor.

    Raises:
        Invalid: the cursor is not one of this list.
    """
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        values = msgspec.json.decode(raw, type=list[Any])
        if len(values) == len(types) + 1 and values[0] == list_name:
            read: list[Any] = [
                msgspec.convert(value, kind, strict=False) for value, kind in zip(values[1:], types, strict=True)
            ]
            if all(_could_be_a_rows(value) for value in read):
                return read
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        pass  # Answered below: whatever is wrong with it, it is no cursor of this list.
    raise Invalid("This cursor is not one of this list; begin without a cursor.", path=("after",))


def page_of(request: PageRequest, found: Sequence[Node], cursors: Sequence[str]) -> Page[Node]:
    """Cut `limit` rows out of up to `limit + 1` found in the direction of the request."""
    more = len(found) > request.limit
    nodes, marks = tuple(found[: request.limit]), tuple(cursors[: request.limit])
    if request.backward:
        return Page(nodes[::-1], marks[::-1], has_next=request.cursor is not None, has_previous=more)
    return Page(nodes, marks, has_next=more, has_previous=request.cursor is not None)
