"""Scalars: exact decimals as strings, instants with their offset, everything else as Strawberry has it."""

from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, NewType

import strawberry
from graphql import GraphQLError

LONGEST_DECIMAL = 40
"""Digits on either side of the point, and characters altogether."""


def decimal_text(value: Decimal | int) -> str:
    """A number without exponent or trailing zeros: `1200`, `0.25`."""
    if type(value) is int:
        return str(value)
    text = str(value)
    if "E" in text:
        text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def _parse_decimal(value: Any) -> Decimal:
    given = str(value)
    try:
        parsed = Decimal(given) if len(given) <= LONGEST_DECIMAL else Decimal("NaN")
    except InvalidOperation:
        parsed = Decimal("NaN")
    if isinstance(value, bool) or not parsed.is_finite() or abs(parsed.adjusted()) > LONGEST_DECIMAL:
        raise GraphQLError(
            f'Decimal: give a number of at most {LONGEST_DECIMAL} digits before and after the point, such as "12.50".'
        )
    return parsed


def _parse_datetime(value: Any) -> datetime:
    parsed = None
    if isinstance(value, str):
        try:
            parsed = datetime.fromisoformat(value)
            # What lies beyond the calendar in UTC cannot be compared with anything.
            if parsed.tzinfo is not None:
                return parsed.astimezone(UTC)
        except (ValueError, OverflowError):
            parsed = None
    raise GraphQLError("DateTime: give an instant with its offset, such as 2026-11-02T10:00:00-05:00.")


DECIMAL = strawberry.scalar(
    name="Decimal",
    description="An exact decimal number, as a string in JSON.",
    serialize=decimal_text,
    parse_value=_parse_decimal,
)
DATETIME = strawberry.scalar(
    name="DateTime",
    description="An instant in ISO 8601 with its offset, such as 2026-11-02T10:00:00-05:00.",
    serialize=datetime.isoformat,
    parse_value=_parse_datetime,
)
SCALARS: dict[Any, Any] = {Decimal: DECIMAL, datetime: DATETIME}

Json = NewType("Json", object)
