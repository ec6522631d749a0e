"""Reading an export: what is asked for, and its pages, each with the rights of its moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from domain import audit
from domain.access import Viewer
from domain.audit import AuditAction, NewEntry
from domain.database import in_transaction
from domain.errors import Conflict, Forbidden, Invalid
from domain.exports.columns import Chosen, choose
from domain.exports.formats import Writer, writer_of
from domain.exports.registry import find_exportable
from domain.exports.source import Exportable, Look, NoArguments
from domain.exports.standing import Standing, standing_of
from domain.paging import PageRequest
from domain.uploads import check_format

if TYPE_CHECKING:
    from domain.database import Connection

SLICE_ROWS = 500
"""So many rows are written at once, and handed on; in between, others get their turn."""
LONGEST_ARGUMENTS = 65_536
"""Characters of an export's arguments, as JSON."""


@dataclass(frozen=True, slots=True)
class Order:
    """What an export is to hold.

    Args:
        source: The connection.
        format: `csv` or `ndjson`.
        chosen: The columns.
        arguments: The connection's arguments.
    """

    source: Exportable
    format: str
    chosen: Chosen[Any]
    arguments: NoArguments

    def writer(self) -> Writer:
        """What writes its rows."""
        return writer_of(self.format, self.chosen, guard=self.source.guard)


def order_of(name: str, format_name: str, fields: Sequence[str] | None, arguments: Mapping[str, Any]) -> Order:
    """What is asked for, checked as far as it can be without a look at the database.

    Args:
        name: The connection.
        format_name: `csv` or `ndjson`.
        fields: The columns; the usual ones if None.
        arguments: The connection's arguments by their names; null is as if left out, and numbers and booleans may be
            text.

    Raises:
        NotFound: there is no such connection.
        Invalid: the format, a field or an argument does not fit.
    """
    source = find_exportable(name)
    check_format(format_name)
    try:
        decoded = msgspec.convert(_without_nulls(arguments), source.arguments, strict=False)
    except msgspec.ValidationError as error:
        told, _, path = str(error).partition(" - at `$")
        steps = tuple(step for step in path.rstrip("`").removeprefix(".").split(".") if step)
        where = ".".join(steps) or "arguments"
        raise Invalid(f"{where}: {told}.", path=steps or ("arguments",)) from error
    chosen = choose(source.columns, fields, source.usual(decoded))
    return Order(source, format_name, chosen, decoded)


def _without_nulls(given: Mapping[str, Any]) -> dict[str, Any]:
    """GraphQL takes a null for an argument that was left out."""
    return {
        name: _without_nulls(value) if isinstance(value, Mapping) else value
        for name, value in given.items()
        if value is not None
    }


@dataclass(frozen=True, slots=True)
class Begun:
    """An export that has begun.

    Args:
        standing: What could be seen then.
        moment: When it was.
    """

    standing: Standing
    moment: datetime


class RightsLost(Conflict):
    """Something that could be seen when the export began cannot be seen any more."""

    code = "RIGHTS_CHANGED"

    def __init__(self) -> None:
        super().__init__("What you may see has become less since this export began: begin it anew.")


async def begin(connection: Connection, viewer: Viewer, order: Order, moment: datetime) -> Begun:
    """Begin an export: it stands in the audit log before a byte of it is given.

    Raises:
        Forbidden: the credential takes trusted documents alone, which an export is none of.
    """
    require_exporting(viewer)
    told = {
        "connection": order.source.name,
        "format": order.format,
        "fields": list(order.chosen.names),
        "arguments": msgspec.to_builtins(order.arguments),
    }
    await audit.record(connection, viewer, [NewEntry(AuditAction.CONNECTION_EXPORTED, None, None, told)])
    return Begun(await standing_of(connection, viewer), moment)


def require_exporting(viewer: Viewer) -> None:
    """Refuse a credential that takes trusted documents alone.

    Raises:
        Forbidden: it does.
    """
    if viewer.trusted_documents_only:
        raise Forbidden("This credential takes trusted documents alone.", permission="trustedDocumentsOnly")


async def look_again(connection: Connection, viewer: Viewer, begun: Begun) -> Look:
    """A look with the rights of this moment, which are all of those of the beginning.

    Raises:
        RightsLost: something is gone.
        Forbidden: the credential takes trusted documents alone by now.
    """
    require_exporting(viewer)
    if not (await standing_of(connection, viewer)).holds(begun.standing):
        raise RightsLost
    return Look(connection, viewer, begun.standing, begun.moment)


@dataclass(frozen=True, slots=True)
class Lot:
    """Some rows.

    Args:
        values: The rows' values.
        cursor: Where the next ones begin; None when these are the last.
    """

    values: list[list[Any]]
    cursor: str | None


async def read_lot(look: Look, order: Order, cursor: str | None, limit: int) -> Lot:
    """Some rows, in the caller's transaction. Raises what the connection's own query raises."""
    request = PageRequest(limit, False, cursor)
    found = await order.source.read(look, order.arguments, request, order.chosen)
    return Lot([order.chosen.values(row) for row in found.rows], found.cursor)


def slices(values: Sequence[Sequence[Any]]) -> Iterator[Sequence[Sequence[Any]]]:
    """The rows of a lot, some at a time."""
    for start in range(0, len(values), SLICE_ROWS):
        yield values[start : start + SLICE_ROWS]


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a file.

    Args:
        data: Its bytes.
        rows: How many rows they are.
    """

    data: bytes
    rows: int


async def pieces(
    order: Order, renew: Callable[[], Awaitable[Viewer]], moment: datetime, *, largest_lot: int = SLICE_ROWS
) -> AsyncGenerator[Piece, None]:
    """A file, piece by piece: the first has its head. Nothing is held between pieces but where it goes on.

    Args:
        order: What it is to hold.
        renew: Who reads, as they stand now; called before each look at the database.
        moment: The clock at the beginning.
        largest_lot: The most rows that are read at once, of connections that are not read whole.

    Raises:
        DomainError: what the connection's own query raises, and whatever `renew` does; when the first piece is asked
            for, or any later one.
        RightsLost: something that could be seen at the beginning is gone.
    """
    writer, begun, cursor = order.writer(), None, None
    limit = order.source.rows_at_once(order.chosen)
    if not order.source.whole:
        limit = min(limit, largest_lot)
    head: bytes | None = writer.head()
    while True:
        viewer = await renew()

        async def work(
            connection: Connection, viewer: Viewer = viewer, begun: Begun | None = begun, cursor: str | None = cursor
        ) -> tuple[Begun, Lot]:
            started = begun or await begin(connection, viewer, order, moment)
            look = await look_again(connection, viewer, started)
            return started, await read_lot(look, order, cursor, limit)

        begun, lot = await in_transaction(viewer.team_id, work)
        for rows in slices(lot.values):
            yield Piece((head or b"") + writer.rows(rows), len(rows))
            head = None
            await asyncio.sleep(0)
        if head is not None:
            # No rows at all.
            yield Piece(head, 0)
            head = None
        if lot.cursor is None:
            return
        cursor = lot.cursor
