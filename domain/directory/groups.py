"""Groups as an identity provider sees them: list, read, create, change, remove. Their place in the tree stays ours."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from domain import access, administration
from domain.access import Viewer
from domain.directory.filters import Column, Complex, Kind, Resource
from domain.directory.listing import Listing, Query, Source, fetch_one, fetch_page
from domain.directory.users import VISIBLE
from domain.errors import Invalid, NotFound
from domain.ids import encode_id

if TYPE_CHECKING:
    from domain.database import Connection

SCHEMA = "urn:ietf:params:scim:schemas:core:2.0:Group"
MEMBERS_LIMIT = 5000
"""Members that one request may add or remove; the rest come with the next."""

# Served by users (team_id, group_id).
_MEMBERS = f"users x WHERE x.team_id = g.team_id AND x.group_id = g.id AND {VISIBLE.format('x')}"


def _some_member(condition: str) -> str:
    return f"EXISTS (SELECT 1 FROM {_MEMBERS} AND {condition})"


GROUPS = Resource(
    SCHEMA,
    {
        "id": Column("g.id", Kind.ID, exact=True, type_name="Group"),
        "externalid": Column("g.scim_external_id", exact=True, optional=True),
        "displayname": Column("g.name"),
        "members": Complex(
            {
                "value": Column("x.id", Kind.ID, exact=True, type_name="User"),
                "type": Column("'User'::text"),
            },
            value="value",
            some=_some_member,
            selectable=True,
            sortable=False,
        ),
        "schemas": Complex({"value": Column(f"'{SCHEMA}'::text")}, value="value"),
        "meta": Complex(
            {
                "resourcetype": Column("'Group'::text", exact=True),
                "created": Column("g.created_at", Kind.TIME),
                "lastmodified": Column("g.changed_at", Kind.TIME),
            }
        ),
    },
)
"""What a filter on groups may name."""

_SOURCE = Source(
    GROUPS,
    columns=f"""
        g.id, g.scim_external_id AS external_id, g.name, g.created_at, g.changed_at,
        (SELECT md5(string_agg(x.id::text, ' ' ORDER BY x.id)) FROM {_MEMBERS}) AS members_digest
        """,
    tables="groups g",
    alias="g",
    visible="true",
)


@dataclass(frozen=True, slots=True)
class DirectoryGroup:
    """A group as the identity provider knows it.

    Args:
        external_id: The provider's own id of it.
        members_digest: Another one when others are in it; None while it is empty.
    """

    id: UUID
    external_id: str | None
    name: str
    created_at: datetime
    changed_at: datetime
    members_digest: str | None


async def list_groups(connection: Connection, viewer: Viewer, query: Query) -> Listing[DirectoryGroup]:
    """A page of the groups.

    Raises:
        Forbidden: the viewer lacks `MANAGE_TEAM`.
        Invalid: the filter or the order names what is not there.
    """
    total, rows = await fetch_page(connection, access.see_members(viewer), query, _SOURCE)
    return Listing(total, tuple(DirectoryGroup(**dict(row)) for row in rows))


async def get_group(connection: Connection, viewer: Viewer, group_id: UUID) -> DirectoryGroup:
    """One group.

    Raises:
        Forbidden: the viewer lacks `MANAGE_TEAM`.
        NotFound: there is no such group.
    """
    row = await fetch_one(connection, access.see_members(viewer), group_id, _SOURCE)
    if row is None:
        raise NotFound("No such group.")
    return DirectoryGroup(**dict(row))


async def members_of(connection: Connection, viewer: Viewer, group_ids: Iterable[UUID]) -> dict[UUID, tuple[UUID, ...]]:
    """The members of some groups, whom the provider knows, in the order of their ids.

    Raises:
        Forbidden: the viewer lacks `MANAGE_TEAM`.
    """
    arguments: list[object] = [list(group_ids)]
    seen = access.see_members(viewer).filter("x.id", arguments, team_column="x.team_id")
    rows = await connection.fetch(
        f"SELECT x.group_id, array_agg(x.id ORDER BY x.id) AS members FROM users x "
        f"WHERE x.group_id = ANY ($1::uuid[]) AND {seen} AND {VISIBLE.format('x')} GROUP BY x.group_id",
        *arguments,
    )
    return {row["group_id"]: tuple(row["members"]) for row in rows}


async def create_group(
    connection: Connection, viewer: Viewer, *, name: str, external_id: str | None, members: Iterable[UUID]
) -> DirectoryGroup:
    """Make a group at the top of the tree, and move people into it.

    Raises:
        Forbidden: the viewer lacks `MANAGE_TEAM`, or one of the members may do more than the viewer.
        Conflict: another group has the external id.
        Invalid: a value does not fit; there is no such member; there are too many at once.
    """
    group = await administration.create_group(connection, viewer, name, None, scim_external_id=external_id)
    await _add(connection, viewer, group.id, frozenset(members))
    return await get_group(connection, viewer, group.id)


async def change_group(
    connection: Connection,
    viewer: Viewer,
    group: DirectoryGroup,
    *,
    name: str,
    external_id: str | None,
    members: Iterable[UUID] | None,
) -> DirectoryGroup:
    """Make a group what it is to be; where it stands in the tree, it stays.

    Args:
        connection: Inside a transaction in which `administration.begin` came first.
        viewer: Who asks.
        group: As it stands now.
        name: Its name.
        external_id: The provider's own id of it.
        members: Everybody who is to be in it; as they are if None.

    Raises:
        Forbidden: the viewer lacks `MANAGE_TEAM`, or somebody who is to move may do more than the viewer.
        Conflict: another group has the external id.
        Invalid: a value does not fit; there is no such member; too many move at once.
    """
    columns: dict[str, Any] = {"name": name, "scim_external_id": external_id}
    await administration.update_group(connection, viewer, group.id, columns)
    if members is not None:
        wanted = frozenset(members)
        present = frozenset((await members_of(connection, viewer, [group.id])).get(group.id, ()))
        leaving = present - wanted
        _require_few(leaving)
        await administration.move_users(connection, viewer, leaving, None)
        await _add(connection, viewer, group.id, wanted - present)
    return await get_group(connection, viewer, group.id)


async def remove_group(connection: Connection, viewer: Viewer, group_id: UUID) -> None:
    """Let everybody leave a group, whether the provider knows them or not, and remove it.

    Raises:
        Forbidden: the viewer lacks `MANAGE_TEAM`, or one of the members may do more than the viewer.
        NotFound: there is no such group.
        Conflict: it has groups below it, or goals, whose history would be lost.
    """
    await administration.begin(connection, viewer)
    await get_group(connection, viewer, group_id)
    rows = await connection.fetch("SELECT id FROM users WHERE team_id = $1 AND group_id = $2", viewer.team_id, group_id)
    await administration.move_users(connection, viewer, [row["id"] for row in rows], None)
    await administration.remove_group(connection, viewer, group_id)


async def _add(connection: Connection, viewer: Viewer, group_id: UUID, joining: frozenset[UUID]) -> None:
    if not joining:
        return
    _require_few(joining)
    arguments: list[object] = [list(joining)]
    seen = access.see_members(viewer).filter("x.id", arguments, team_column="x.team_id")
    rows = await connection.fetch(
        f"SELECT x.id FROM users x WHERE x.id = ANY ($1::uuid[]) AND {seen} AND {VISIBLE.format('x')}", *arguments
    )
    unknown = joining - {row["id"] for row in rows}
    if unknown:
        raise Invalid(f"members: there is no user {encode_id('User', min(unknown))}.", path=("members",))
    await administration.move_users(connection, viewer, joining, group_id)


def _require_few(moving: frozenset[UUID]) -> None:
    if len(moving) > MEMBERS_LIMIT:
        raise Invalid(
            f"members: at most {MEMBERS_LIMIT} may move at once; send the rest in another PATCH.", path=("members",)
        )
