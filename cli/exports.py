"""Connections as files, written as a user may see them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from domain.database import ALL_TEAMS, acquire
from domain.errors import Invalid
from domain.exports.reading import order_of, pieces
from domain.exports.source import PAGE_ROWS
from domain.identity import Identity, identify_user
from domain.models import User


def arguments_of(given: Sequence[str]) -> Mapping[str, Any]:
    """Arguments that were given as name=value; a value that is an object or a list is JSON.

    Raises:
        Invalid: one is none.
    """
    found: dict[str, Any] = {}
    for one in given:
        name, sign, text = one.partition("=")
        if not sign:
            raise Invalid(f"--argument {one}: give name=value.")
        try:
            found[name] = orjson.loads(text) if text[:1] in ("{", "[") else text
        except orjson.JSONDecodeError as error:
            raise Invalid(f"--argument {name}: no JSON: {error}.") from error
    return found


async def write_connection(
    user: User,
    name: str,
    format_name: str,
    fields: Sequence[str] | None,
    arguments: Sequence[str],
    write: Callable[[bytes], Any],
) -> int:
    """Write a connection as a user may see it. Returns how many rows.

    Raises:
        DomainError: what the connection's own query raises.
        Invalid: something does not fit, or the user is not active.
    """
    order = order_of(name, format_name, fields, arguments_of(arguments))

    async def viewer() -> Identity:
        async with acquire(ALL_TEAMS) as connection:
            found = await identify_user(connection, user.team_id, user.id)
        if found is None:
            raise Invalid(f"{user.email} is not active.")
        return found

    rows = 0
    async for piece in pieces(order, viewer, datetime.now(UTC), largest_lot=PAGE_ROWS):
        write(piece.data)
        rows += piece.rows
    return rows
