"""Scalars: exact decimals as strings, everything else as Strawberry has it."""

from decimal import Decimal, InvalidOperation
from typing import Any, NewType

import strawberry
from graphql import GraphQLError


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
    try:
        parsed = Decimal(str(value))
    except InvalidOperation:
        parsed = Decimal("NaN")
    if isinstance(value, bool) or not parsed.is_finite():
        raise GraphQLError(f'Decimal: {value!r} is not a number; give one such as "12.50".')
    return parsed


DECIMAL = strawberry.scalar(
    name="Decimal",
    description="An exact decimal number, as a string in JSON.",
    serialize=decimal_text,
    parse_value=_parse_decimal,
)

SCALARS: dict[Any, Any] = {Decimal: DECIMAL}

Json = NewType("Json", object)
