"""What a client sends, as JSON: decoded where the number of values in it is bounded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from domain.errors import DomainError, Invalid

LARGEST_NUMBER_OF_VALUES = 250_000
"""Values of one JSON text. Each is looked at in Python; a text has at most one more than it has commas, and counting
those costs nothing."""


class BodyTooSlow(DomainError):
    """The request's body comes so slowly that it holds the connection for nothing."""

    code = "TIMEOUT"


class TooManyValues(Invalid):
    """The JSON holds more values than are looked at."""

    code = "LIMIT_EXCEEDED"


def decode_object(text: bytes | str, name: str) -> dict[str, Any]:
    """A JSON object.

    Args:
        text: As it came.
        name: What the client calls it.

    Raises:
        Invalid: it is no JSON, no object, not UTF-8 or nested without end.
        TooManyValues: there is too much in it.
    """
    if text.count("," if isinstance(text, str) else b",") >= LARGEST_NUMBER_OF_VALUES:  # type: ignore[arg-type]
        raise TooManyValues(
            f"{name}: more than {LARGEST_NUMBER_OF_VALUES} values; send less at once, files to POST /import.",
            path=(name,),
        )
    try:
        decoded = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise Invalid(f"{name}: no JSON: {error}.", path=(name,)) from error
    if not isinstance(decoded, dict):
        raise Invalid(f"{name}: send one JSON object; batches are off.", path=(name,))
    return decoded


def check_operation(given: dict[str, Any]) -> None:
    """Check the types of what a request for an operation holds.

    Raises:
        Invalid: one does not fit.
    """
    for name, kind, told in (
        ("query", str, "a GraphQL document"),
        ("operationName", str, "a name"),
        ("variables", dict, "an object"),
        ("extensions", dict, "an object"),
    ):
        value = given.get(name)
        if value is not None and not isinstance(value, kind):
            raise Invalid(f"{name}: give {told}, or leave it out.", path=(name,))


def asked_in_address(parameters: Mapping[str, str]) -> dict[str, Any]:
    """What the parameters of an address ask for; variables and extensions are JSON there.

    Raises:
        Invalid: one does not fit.
    """
    asked: dict[str, Any] = dict(parameters)
    for name in ("variables", "extensions"):
        if asked.get(name):
            asked[name] = decode_object(asked[name], name)
        else:
            asked.pop(name, None)
    return asked
