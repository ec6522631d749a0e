"""Pages of SCIM's lists: by index, as the protocol has it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar
from uuid import UUID

from scim2_models.path import AttrPath, FilterNode

from domain.access import Sight
from domain.directory.filters import Resource, condition, order

if TYPE_CHECKING:
    import asyncpg

    from domain.database import Connection

LARGEST_PAGE = 200
DEFAULT_PAGE = 100

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Query:
    """Which part of a list, and in which order.

    Args:
        wanted: The filter.
        sort_by: The attribute to sort by; by id without one, so by when it was made.
        descending: The other way round.
        offset: How many to pass over.
        limit: How many to give, at most `LARGEST_PAGE`.
        lenient: Whether attributes that the resource has not got count as ones without a value.
    """

    wanted: FilterNode | None = None
    sort_by: AttrPath | None = None
    descending: bool = False
    offset: int = 0
    limit: int = DEFAULT_PAGE
    lenient: bool = False


@dataclass(frozen=True, slots=True)
class Listing(Generic[Item]):
    """A page, and how many there are on all of them."""

    total: int
    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class Source:
    """Where a list comes from.

    Args:
        resource: What a filter or an order may name.
        columns: What is selected.
        tables: From where.
        alias: The table whose rows are listed.
        visible: The condition on what the identity provider knows.
    """

    resource: Resource
    columns: str
    tables: str
    alias: str
    visible: str


async def fetch_page(
    connection: Connection, sight: Sight, query: Query, source: Source
) -> tuple[int, list[asyncpg.Record]]:
    """How many rows there are, and one page of them.

    Raises:
        Invalid: the filter or the order names what is not there.
    """
    arguments: list[object] = []
    key = f"{source.alias}.id"
    where = f"{sight.filter(key, arguments, team_column=f'{source.alias}.team_id')} AND {source.visible}"
    if query.wanted is not None:
        where += f" AND {condition(query.wanted, source.resource, arguments, lenient=query.lenient)}"
    sorting = key
    if query.sort_by is not None:
        head = order(query.sort_by, source.resource, descending=query.descending, lenient=query.lenient)
        sorting = f"{head}, {key}" if head else key
    total = int(await connection.fetchval(f"SELECT count(*) FROM {source.tables} WHERE {where}", *arguments))
    if query.limit == 0 or query.offset >= total:
        return total, []
    arguments += [query.limit, query.offset]
    rows = await connection.fetch(
        f"SELECT {source.columns} FROM {source.tables} WHERE {where} ORDER BY {sorting} "
        f"LIMIT ${len(arguments) - 1} OFFSET ${len(arguments)}",
        *arguments,
    )
    return total, rows


async def fetch_one(connection: Connection, sight: Sight, row_id: UUID, source: Source) -> asyncpg.Record | None:
    """One row that the identity provider knows; None where there is none."""
    arguments: list[object] = [row_id]
    key = f"{source.alias}.id"
    seen = sight.filter(key, arguments, team_column=f"{source.alias}.team_id")
    return await connection.fetchrow(
        f"SELECT {source.columns} FROM {source.tables} WHERE {key} = $1 AND {seen} AND {source.visible}", *arguments
    )
