"""Users, groups and roles as a viewer may see them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from uuid import UUID

from domain.access import Sight, Viewer, may
from domain.identity import Identity, identify_user
from domain.models.people import Group, Permission, Role, User
from domain.paging import Page, PageRequest, decode_cursor, encode_cursor, page_of

if TYPE_CHECKING:
    from domain.database import Connection

_USER_COLUMNS = (
    "u.id, u.team_id, u.name, u.email, u.active, u.is_rep, u.deals_access, u.role_id, u.group_id, u.manager_id, "
    "u.external_ids, u.started_on, u.ended_on, u.created_at, u.scim_external_id, u.scim_user_name, u.scim_removed_at, "
    "u.formatted_name, u.given_name, u.family_name, u.erased_at, u.changed_at"
)


class UserOrder(StrEnum):
    """How a list of users is sorted."""

    NAME = "name"
    EMAIL = "email"


@dataclass(frozen=True, slots=True)
class UserFilter:
    """Which users.

    Args:
        search: A part of the name or email, in any case.
        group_id: Members of this group and of all groups below it.
        direct_group_id: Members of this group alone.
        active: Only active ones, or only inactive ones.
    """

    search: str | None = None
    group_id: UUID | None = None
    direct_group_id: UUID | None = None
    active: bool | None = None


def like_pattern(search: str) -> str:
    """A LIKE pattern that finds the text anywhere; `%` and `_` in it stand for themselves."""
    escaped = search.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
    return f"%{escaped}%"


def groups_from(team_id: UUID, group_id: UUID, arguments: list[object]) -> str:
    """A group and all groups below it, as SQL; its parameters are appended to `arguments`. Served by groups
    (team_id, parent_id)."""
    arguments += [group_id, team_id]
    n = len(arguments)
    return f"""
        WITH RECURSIVE below AS (
            SELECT ${n - 1}::uuid AS id
            UNION SELECT g.id FROM groups g JOIN below b ON g.team_id = ${n} AND g.parent_id = b.id
        ) SELECT id FROM below"""


def user_condition(sight: Sight, wanted: UserFilter, arguments: list[object]) -> str:
    """A condition on users `u`: in sight, and wanted. Its parameters are appended to `arguments`."""
    condition = sight.filter("u.id", arguments, team_column="u.team_id")
    if wanted.search:
        arguments.append(like_pattern(wanted.search))
        condition += f" AND (u.name ILIKE ${len(arguments)} OR u.email ILIKE ${len(arguments)})"
    if wanted.direct_group_id is not None:
        arguments.append(wanted.direct_group_id)
        condition += f" AND u.group_id = ${len(arguments)}"
    if wanted.group_id is not None:
        condition += f" AND u.group_id IN ({groups_from(sight.team_id, wanted.group_id, arguments)})"
    if wanted.active is not None:
        arguments.append(wanted.active)
        condition += f" AND u.active = ${len(arguments)}"
    return condition


async def list_users(
    connection: Connection, sight: Sight, wanted: UserFilter, order: UserOrder, request: PageRequest
) -> Page[User]:
    """A page of the users in sight. Served by users (team_id, name, id) or (team_id, email, id)."""
    arguments: list[object] = []
    condition = user_condition(sight, wanted, arguments)
    column = f"u.{order.value}"
    if request.cursor is not None:
        value, user_id = decode_cursor(f"users:{order.value}", request.cursor, (str, UUID))
        arguments += [value, user_id]
        sign = "<" if request.backward else ">"
        condition += f" AND ({column}, u.id) {sign} (${len(arguments) - 1}::varchar, ${len(arguments)}::uuid)"
    direction = "DESC" if request.backward else "ASC"
    arguments.append(request.limit + 1)
    rows = await connection.fetch(
        f"SELECT {_USER_COLUMNS} FROM users u WHERE {condition} "
        f"ORDER BY {column} {direction}, u.id {direction} LIMIT ${len(arguments)}",
        *arguments,
    )
    users = [User._init_from_db(**dict(row)) for row in rows]
    return page_of(
        request,
        users,
        [encode_cursor(f"users:{order.value}", getattr(user, order.value), str(user.id)) for user in users],
    )


async def count_users(connection: Connection, sight: Sight, wanted: UserFilter) -> int:
    """How many users in sight there are."""
    arguments: list[object] = []
    condition = user_condition(sight, wanted, arguments)
    return int(await connection.fetchval(f"SELECT count(*) FROM users u WHERE {condition}", *arguments))


async def users_by_id(connection: Connection, sight: Sight, ids: Sequence[UUID]) -> list[User | None]:
    """Users by their ids, None for each that is not in sight."""
    arguments: list[object] = [list(ids)]
    condition = sight.filter("u.id", arguments, team_column="u.team_id")
    rows = await connection.fetch(
        f"SELECT {_USER_COLUMNS} FROM users u WHERE u.id = ANY ($1::uuid[]) AND {condition}", *arguments
    )
    return _in_order(ids, (User._init_from_db(**dict(row)) for row in rows))


async def list_groups(connection: Connection, sight: Sight, request: PageRequest) -> Page[Group]:
    """A page of the groups in sight, by name."""
    arguments: list[object] = []
    condition = sight.filter("g.id", arguments, team_column="g.team_id")
    if request.cursor is not None:
        name, group_id = decode_cursor("groups", request.cursor, (str, UUID))
        arguments += [name, group_id]
        condition += f" AND (g.name, g.id) > (${len(arguments) - 1}::varchar, ${len(arguments)}::uuid)"
    arguments.append(request.limit + 1)
    rows = await connection.fetch(
        f"SELECT g.* FROM groups g WHERE {condition} ORDER BY g.name, g.id LIMIT ${len(arguments)}",
        *arguments,
    )
    groups = [Group._init_from_db(**dict(row)) for row in rows]
    return page_of(request, groups, [encode_cursor("groups", group.name, str(group.id)) for group in groups])


async def count_groups(connection: Connection, sight: Sight) -> int:
    """How many groups in sight there are."""
    arguments: list[object] = []
    condition = sight.filter("g.id", arguments, team_column="g.team_id")
    return int(await connection.fetchval(f"SELECT count(*) FROM groups g WHERE {condition}", *arguments))


async def groups_by_id(connection: Connection, team_id: UUID, ids: Sequence[UUID]) -> list[Group | None]:
    """Groups of a team by their ids. Whether the viewer may see them is the caller's question to domain.access."""
    rows = await connection.fetch(
        "SELECT * FROM groups WHERE team_id = $1 AND id = ANY ($2::uuid[])",
        team_id,
        list(ids),
    )
    return _in_order(ids, (Group._init_from_db(**dict(row)) for row in rows))


async def list_roles(connection: Connection, viewer: Viewer) -> list[Role]:
    """The team's roles for who manages the team, the viewer's own for others."""
    everything = may(viewer, Permission.MANAGE_TEAM)
    rows = await connection.fetch(
        "SELECT id, team_id, name, permissions, built_in, is_admin FROM roles "
        "WHERE team_id = $1 AND ($2 OR id = $3) ORDER BY built_in DESC, name",
        viewer.team_id,
        everything,
        viewer.role_id,
    )
    return [Role._init_from_db(**dict(row)) for row in rows]


async def roles_by_id(connection: Connection, team_id: UUID, ids: Sequence[UUID]) -> list[Role | None]:
    """Roles of a team by their ids."""
    rows = await connection.fetch(
        "SELECT id, team_id, name, permissions, built_in, is_admin FROM roles "
        "WHERE team_id = $1 AND id = ANY ($2::uuid[])",
        team_id,
        list(ids),
    )
    return _in_order(ids, (Role._init_from_db(**dict(row)) for row in rows))


def _in_order(ids: Sequence[UUID], rows: Iterable[Any]) -> list[Any]:
    found = {row.id: row for row in rows}
    return [found.get(key) for key in ids]


async def peers_of(connection: Connection, team_id: UUID, user_id: UUID) -> frozenset[UUID]:
    """The other active reps of a user's group; of the whole team where the team has no groups.

    A user without a group, in a team that has groups, has no peers.
    """
    rows = await connection.fetch(
        """
        SELECT p.id FROM users u JOIN users p ON p.team_id = u.team_id AND p.id <> u.id AND p.active AND p.is_rep
        WHERE u.team_id = $1 AND u.id = $2
            AND (p.group_id = u.group_id OR NOT EXISTS (SELECT 1 FROM groups g WHERE g.team_id = $1))
        """,
        team_id,
        user_id,
    )
    return frozenset(row["id"] for row in rows)


async def connected_feeds(connection: Connection, team_id: UUID) -> frozenset[str]:
    """The feeds that have brought the team activities."""
    rows = await connection.fetch("SELECT feed FROM team_feeds WHERE team_id = $1", team_id)
    return frozenset(row["feed"] for row in rows)


DEMO_EMAILS = ("admin@demo.test", "ops@demo.test", "manager@demo.test", "lead@demo.test", "rep@demo.test")
"""The people of the demo team that anybody may be signed in as in demo mode."""


@dataclass(frozen=True, slots=True)
class DemoPerson:
    """A person that demo mode offers."""

    email: str
    name: str
    role: str
    team: str


async def demo_people(connection: Connection) -> list[DemoPerson]:
    """The people that demo mode offers; only of teams that are demo teams."""
    rows = await connection.fetch(
        """
        SELECT u.email, u.name, r.name AS role, t.name AS team
        FROM users u JOIN teams t ON t.id = u.team_id AND t.demo
        JOIN roles r ON r.team_id = u.team_id AND r.id = u.role_id
        WHERE lower(u.email) = ANY ($1::text[]) AND u.active ORDER BY array_position($1::text[], lower(u.email))
        """,
        list(DEMO_EMAILS),
    )
    return [DemoPerson(**dict(row)) for row in rows]


async def demo_identity(connection: Connection, email: str) -> Identity | None:
    """One of the people that demo mode offers."""
    if email.lower() not in DEMO_EMAILS:
        return None
    row = await connection.fetchrow(
        "SELECT u.team_id, u.id FROM users u JOIN teams t ON t.id = u.team_id AND t.demo "
        "WHERE lower(u.email) = lower($1)",
        email,
    )
    return None if row is None else await identify_user(connection, row["team_id"], row["id"])


async def find_users(connection: Connection, email: str) -> list[User]:
    """The users of all teams with an email address, in any case; for the operator."""
    rows = await connection.fetch(
        f"SELECT {_USER_COLUMNS} FROM users u WHERE lower(u.email) = lower($1) ORDER BY u.id", email
    )
    return [User._init_from_db(**dict(row)) for row in rows]
