"""Relay's shapes: nodes, pages, and connections."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Generic, TypeVar
from uuid import UUID

import strawberry

from domain.ids import encode_id
from domain.paging import Page

T = TypeVar("T")


@strawberry.interface(description="Anything with an id of its own.")
class Node:
    id: strawberry.ID = strawberry.field(description="Its global id, opaque.")


@strawberry.type(description="Where a page stands in its list.")
class PageInfo:
    has_next_page: bool = strawberry.field(description="Whether there is more after this page.")
    has_previous_page: bool = strawberry.field(description="Whether there is more before this page.")
    start_cursor: str | None = strawberry.field(description="The cursor of the page's first entry.")
    end_cursor: str | None = strawberry.field(description="The cursor of the page's last entry.")


@strawberry.type(description="An entry of a list.")
class Edge(Generic[T]):
    cursor: str = strawberry.field(description="Where the entry stands; give it as `after` to go on from here.")
    node: T = strawberry.field(description="The entry.")


@strawberry.type(description="A page of a list.")
class Connection(Generic[T]):
    edges: list[Edge[T]] = strawberry.field(description="The entries with their cursors.")
    nodes: list[T] = strawberry.field(description="The entries.")
    page_info: PageInfo = strawberry.field(description="Where the page stands in its list.")
    count: strawberry.Private[Callable[[], Awaitable[int]]]

    @strawberry.field(description="How many entries the whole list has.")
    async def total_count(self) -> int:
        return await self.count()


def global_id(type_name: str, row_id: UUID) -> strawberry.ID:
    """A global id as Strawberry's type."""
    return strawberry.ID(encode_id(type_name, row_id))


def connection_of(page: Page[Any], wrap: Callable[[Any], T], count: Callable[[], Awaitable[int]]) -> Connection[T]:
    """A page of the domain as a connection."""
    nodes = [wrap(node) for node in page.nodes]
    return Connection(
        edges=[Edge(cursor=cursor, node=node) for cursor, node in zip(page.cursors, nodes, strict=True)],
        nodes=nodes,
        page_info=page_info(page.cursors, page.has_next, page.has_previous),
        count=count,
    )


async def connection_read(
    acquire: Callable[[], AbstractAsyncContextManager[Any]],
    read: Callable[[Any], Awaitable[Page[Any]]],
    count: Callable[[Any], Awaitable[int]],
    wrap: Callable[[Any], T],
) -> Connection[T]:
    """A page of the domain as a connection, read at once; the count, if it is asked for.

    Args:
        acquire: Opens a connection to the database.
        read: Reads the page.
        count: Counts the whole list.
        wrap: Makes an entry of a row.
    """

    async def counted() -> int:
        async with acquire() as connection:
            return await count(connection)

    async with acquire() as connection:
        page = await read(connection)
    return connection_of(page, wrap, counted)


def page_info(cursors: Sequence[str], has_next: bool, has_previous: bool) -> PageInfo:
    """Relay's page info."""
    return PageInfo(
        has_next_page=has_next,
        has_previous_page=has_previous,
        start_cursor=cursors[0] if cursors else None,
        end_cursor=cursors[-1] if cursors else None,
    )
