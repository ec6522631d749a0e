"""Users, members and groups, as files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from domain import access, people
from domain.access import Sight
from domain.exports.columns import Chosen, Column, ColumnKind, within
from domain.exports.source import (
    Exportable,
    Look,
    NoArguments,
    Rows,
    Text,
    id_column,
    one_of,
    person_columns,
    row_id,
    users_of,
)
from domain.ids import encode_id
from domain.models import Group, Role, User
from domain.paging import PageRequest
from domain.people import UserFilter, UserOrder


@dataclass(frozen=True, slots=True)
class UserRow:
    """A user, with who and what belongs to them."""

    user: User
    group: Group | None
    manager: User | None
    role: Role | None


_USER_COLUMNS: tuple[Column[UserRow], ...] = (
    id_column("User", lambda row: row.user.id),
    Column("name", ColumnKind.STRING, lambda row: row.user.name),
    Column("email", ColumnKind.STRING, lambda row: row.user.email),
    Column("active", ColumnKind.BOOLEAN, lambda row: row.user.active),
    Column("erased", ColumnKind.BOOLEAN, lambda row: row.user.erased_at is not None),
    Column("isRep", ColumnKind.BOOLEAN, lambda row: row.user.is_rep),
    Column("dealsAccess", ColumnKind.BOOLEAN, lambda row: row.user.deals_access),
    Column("group.id", ColumnKind.ID, lambda row: within(row.group, lambda one: encode_id("Group", one.id))),
    Column("group.name", ColumnKind.STRING, lambda row: within(row.group, lambda one: one.name)),
    *person_columns("manager", lambda row: row.manager),
    Column("role.id", ColumnKind.ID, lambda row: within(row.role, lambda one: encode_id("Role", one.id))),
    Column("role.name", ColumnKind.STRING, lambda row: within(row.role, lambda one: one.name)),
)


class UserFilterArgument(NoArguments, frozen=True):
    """Which users; all conditions must hold."""

    search: Text | None = None
    group_id: Text | None = None
    active: bool | None = None

    def to_domain(self) -> UserFilter:
        """As the domain has it."""
        return UserFilter(self.search, row_id(self.group_id, "Group", "filter", "groupId"), None, self.active)


class MembersArguments(NoArguments, frozen=True):
    """Of `members`."""

    filter: UserFilterArgument = UserFilterArgument()


class UsersArguments(MembersArguments, frozen=True):
    """Of `users`."""

    order_by: Text = UserOrder.NAME.name


async def groups_of(look: Look, ids: Iterable[UUID | None]) -> dict[UUID | None, Group]:
    """Groups of the team, by their ids."""
    wanted = sorted({one for one in ids if one is not None})
    if not wanted:
        return {}
    found = await people.groups_by_id(look.connection, look.viewer.team_id, wanted)
    return {group.id: group for group in found if group is not None}


async def _user_rows(look: Look, users: tuple[User, ...], chosen: Chosen[Any]) -> list[UserRow]:
    groups: Mapping[UUID | None, Group] = {}
    managers: Mapping[UUID | None, User] = {}
    roles: Mapping[UUID, Role] = {}
    if chosen.any("group"):
        groups = await groups_of(look, {user.group_id for user in users})
    if chosen.any("manager"):
        managers = await users_of(look, (user.manager_id for user in users))
    if chosen.any("role"):
        wanted = sorted({user.role_id for user in users})
        found = await people.roles_by_id(look.connection, look.viewer.team_id, wanted)
        roles = {role.id: role for role in found if role is not None}
    return [
        UserRow(user, groups.get(user.group_id), managers.get(user.manager_id), roles.get(user.role_id))
        for user in users
    ]


async def _read_users(look: Look, given: UsersArguments, request: PageRequest, chosen: Chosen[Any]) -> Rows[UserRow]:
    wanted = given.filter.to_domain()
    if wanted.group_id is not None:
        access.require_group(look.viewer, look.standing.groups, wanted.group_id)
    order = one_of(UserOrder, given.order_by, "orderBy")
    page = await people.list_users(look.connection, look.standing.users, wanted, order, request)
    return Rows.of(page, await _user_rows(look, page.nodes, chosen))


async def _count_users(look: Look, given: UsersArguments) -> int:
    return await people.count_users(look.connection, look.standing.users, given.filter.to_domain())


async def _read_members(
    look: Look, given: MembersArguments, request: PageRequest, chosen: Chosen[Any]
) -> Rows[UserRow]:
    sight = access.see_members(look.viewer)
    page = await people.list_users(look.connection, sight, given.filter.to_domain(), UserOrder.NAME, request)
    return Rows.of(page, await _user_rows(look, page.nodes, chosen))


async def _count_members(look: Look, given: MembersArguments) -> int:
    return await people.count_users(look.connection, access.see_members(look.viewer), given.filter.to_domain())


@dataclass(frozen=True, slots=True)
class GroupRow:
    """A group, with the one above."""

    group: Group
    parent: Group | None


_GROUP_COLUMNS: tuple[Column[GroupRow], ...] = (
    id_column("Group", lambda row: row.group.id),
    Column("name", ColumnKind.STRING, lambda row: row.group.name),
    Column("parent.id", ColumnKind.ID, lambda row: within(row.parent, lambda one: encode_id("Group", one.id))),
    Column("parent.name", ColumnKind.STRING, lambda row: within(row.parent, lambda one: one.name)),
)


async def _read_groups(look: Look, _given: NoArguments, request: PageRequest, chosen: Chosen[Any]) -> Rows[GroupRow]:
    sight: Sight = look.standing.groups
    page = await people.list_groups(look.connection, sight, request)
    above: Mapping[UUID | None, Group] = {}
    if chosen.any("parent"):
        parents = {group.parent_id for group in page.nodes}
        seen = {one for one in parents if one is not None and sight.sees(look.viewer.team_id, one)}
        above = await groups_of(look, seen)
    return Rows.of(page, [GroupRow(group, above.get(group.parent_id)) for group in page.nodes])


async def _count_groups(look: Look, _given: NoArguments) -> int:
    return await people.count_groups(look.connection, look.standing.groups)


USERS = Exportable(
    "users", "Query.users", "The users in sight.", _USER_COLUMNS, UsersArguments, _read_users, _count_users
)
MEMBERS = Exportable(
    "members",
    "Query.members",
    "All who are on the team: who they are, not what they did. Needs MANAGE_TEAM.",
    _USER_COLUMNS,
    MembersArguments,
    _read_members,
    _count_members,
)
GROUPS = Exportable(
    "groups",
    "Query.groups",
    "The groups in sight, by name.",
    _GROUP_COLUMNS,
    NoArguments,
    _read_groups,
    _count_groups,
)
EXPORTABLES = (USERS, MEMBERS, GROUPS)
