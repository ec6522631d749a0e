"""Lists: `GET` of a kind of resources or of the root, and `POST /.search` (RFC 7644, sections 3.4.2 and 3.4.3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from api.scim.calls import Call, split_names
from api.scim.documents import (
    Document,
    Projection,
    answer,
    group_document,
    list_document,
    parse_projection,
    user_document,
)
from api.scim.errors import Refusal
from domain.directory import groups, users
from domain.directory.filters import parse_filter, parse_order, unknown_attributes, unknown_order
from domain.directory.listing import DEFAULT_PAGE, LARGEST_PAGE, Query
from domain.errors import Invalid

if TYPE_CHECKING:
    from domain.database import Connection

_LARGEST_INDEX = 2**31


@dataclass(frozen=True, slots=True)
class Search:
    """What a list is asked for.

    Args:
        query: Which resources.
        start_index: The first one's place, from 1.
        projection: What of each.
    """

    query: Query
    start_index: int
    projection: Projection


async def people(call: Call) -> Response:
    """`GET /Users`."""
    return await _people(call, _of_query(call))


async def search_people(call: Call) -> Response:
    """`POST /Users/.search`."""
    return await _people(call, _of_body(await call.body()))


async def teams_groups(call: Call) -> Response:
    """`GET /Groups`."""
    return await _groups(call, _of_query(call))


async def search_groups(call: Call) -> Response:
    """`POST /Groups/.search`."""
    return await _groups(call, _of_body(await call.body()))


async def everything(call: Call) -> Response:
    """`GET /`."""
    return await _everything(call, _of_query(call))


async def search_everything(call: Call) -> Response:
    """`POST /.search`."""
    return await _everything(call, _of_body(await call.body()))


async def _people(call: Call, search: Search) -> Response:
    async with call.context.acquire() as connection:
        total, found = await _find_people(call, connection, search)
    return answer(list_document(total, search.start_index, found))


async def _groups(call: Call, search: Search) -> Response:
    async with call.context.acquire() as connection:
        total, found = await _find_groups(call, connection, search)
    return answer(list_document(total, search.start_index, found))


async def _everything(call: Call, search: Search) -> Response:
    """People, then groups; each sorted in themselves. An attribute that one of the two has not got has no value there.

    Raises:
        Invalid: neither has an attribute that is named.
    """
    query = replace(search.query, lenient=True)
    if query.wanted is not None:
        nowhere = unknown_attributes(query.wanted, users.USERS) & unknown_attributes(query.wanted, groups.GROUPS)
        if nowhere:
            raise Invalid(f"filter: {min(nowhere)}: there is no such attribute here.", path=("filter",))
    if query.sort_by is not None and all(
        unknown_order(query.sort_by, resource) for resource in (users.USERS, groups.GROUPS)
    ):
        raise Invalid(f"sortBy: nothing can be sorted by {query.sort_by}.", path=("sortBy",))
    async with call.context.acquire() as connection:
        people_total, found = await _find_people(call, connection, replace(search, query=query))
        rest = replace(query, offset=max(query.offset - people_total, 0), limit=query.limit - len(found))
        groups_total, more = await _find_groups(call, connection, replace(search, query=rest))
    return answer(list_document(people_total + groups_total, search.start_index, [*found, *more]))


async def _find_people(call: Call, connection: Connection, search: Search) -> tuple[int, list[Document]]:
    listing = await users.list_users(connection, call.context.viewer, search.query)
    base = call.base
    return listing.total, [search.projection.of(user_document(user, base)) for user in listing.items]


async def _find_groups(call: Call, connection: Connection, search: Search) -> tuple[int, list[Document]]:
    viewer, base = call.context.viewer, call.base
    listing = await groups.list_groups(connection, viewer, search.query)
    members = (
        await groups.members_of(connection, viewer, [group.id for group in listing.items])
        if search.projection.wants("members")
        else {}
    )
    return listing.total, [
        search.projection.of(group_document(group, members.get(group.id, ()), base)) for group in listing.items
    ]


def _of_query(call: Call) -> Search:
    given = call.request.query_params
    names = {key: split_names(given.get(key, "")) for key in ("attributes", "excludedAttributes")}
    return _search(dict(given) | names)


def _of_body(body: Mapping[str, Any]) -> Search:
    return _search(body)


def _search(given: Mapping[str, Any]) -> Search:
    known = {key.lower(): value for key, value in given.items()}
    start_index = _number(known.get("startindex"), "startIndex", 1, smallest=1, largest=_LARGEST_INDEX)
    limit = _number(known.get("count"), "count", DEFAULT_PAGE, smallest=0, largest=LARGEST_PAGE)
    wanted, sort_by = _text(known.get("filter"), "filter"), _text(known.get("sortby"), "sortBy")
    sort_order = _text(known.get("sortorder"), "sortOrder") or "ascending"
    if sort_order.lower() not in ("ascending", "descending"):
        raise Refusal(400, "sortOrder: ascending or descending.", "invalidValue")
    return Search(
        Query(
            wanted=parse_filter(wanted) if wanted else None,
            sort_by=parse_order(sort_by) if sort_by else None,
            descending=sort_order.lower() == "descending",
            offset=start_index - 1,
            limit=limit,
        ),
        start_index,
        parse_projection(_names(known, "attributes"), _names(known, "excludedAttributes")),
    )


def _number(given: Any, name: str, default: int, *, smallest: int, largest: int) -> int:
    """A whole number, brought within its bounds as the protocol says."""
    if given is None or given == "":
        return default
    try:
        number = int(given) if isinstance(given, int | str) and not isinstance(given, bool) else None
    except ValueError:
        number = None
    if number is None:
        raise Refusal(400, f"{name}: give a whole number.", "invalidValue")
    return min(max(number, smallest), largest)


def _text(given: Any, name: str) -> str | None:
    if given is not None and not isinstance(given, str):
        raise Refusal(400, f"{name}: give a string.", "invalidValue")
    return given


def _names(given: Mapping[str, Any], name: str) -> list[str]:
    names = given.get(name.lower()) or []
    if isinstance(names, str):
        return split_names(names)
    if not isinstance(names, list) or not all(isinstance(one, str) for one in names):
        raise Refusal(400, f"{name}: give a list of names.", "invalidValue")
    return names
