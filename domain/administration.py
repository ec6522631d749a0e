"""Who is on the team, where, and what they may do; each change with its entry in the audit log.

Changes of one team take turns: they lock its row, so that two of them cannot each take away one of the last two admins,
or together close a circle.

Nobody gives what they do not have: whoever manages the team without being Admin gives and edits only roles whose
permissions they hold themselves, and leaves admins alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import asyncpg

from domain import access, audit, events, integrations, people, teams
from domain.access import Viewer
from domain.audit import AuditAction, NewEntry
from domain.errors import Conflict, Forbidden, Invalid, NotFound
from domain.identity import calendar_of
from domain.models import Group, Role, Token, User
from domain.models.people import Permission
from domain.tokens import CreatedToken, create_token

if TYPE_CHECKING:
    from domain.database import Connection

USER_FIELDS = frozenset(
    "name email role_id group_id manager_id is_rep deals_access external_ids started_on ended_on "
    "scim_external_id scim_user_name formatted_name given_name family_name".split()
)
_PATHS = {
    "role_id": "roleId",
    "group_id": "groupId",
    "manager_id": "managerId",
    "started_on": "startedOn",
    "ended_on": "endedOn",
    "external_ids": "externalIds",
    "scim_external_id": "externalId",
    "scim_user_name": "userName",
    "formatted_name": "name.formatted",
    "given_name": "name.givenName",
    "family_name": "name.familyName",
}
_LIMITS = {
    "scim_external_id": 255,
    "scim_user_name": 255,
    "formatted_name": 400,
    "given_name": 200,
    "family_name": 200,
}
"""Characters of what an identity provider tells; null where it tells nothing."""
_UNIQUE = {"users_scim_external_id_key": "externalId", "users_scim_user_name_key": "userName"}
"""The input behind a unique index of users; any other is the one of email addresses."""
_OF_ERASED = frozenset({"group_id", "manager_id"})
"""What may change of an erased person: where their numbers count."""
NAME_LIMIT = 200
EMAIL_LIMIT = 320
LONGEST_TOKEN_NAME = 200


async def begin(connection: Connection, viewer: Viewer) -> None:
    """Wait for the team's turn to be changed, in the caller's transaction; what is read then stays until the commit.

    Raises:
        Forbidden: the viewer lacks `MANAGE_TEAM`.
    """
    access.require(viewer, Permission.MANAGE_TEAM)
    await connection.execute("SELECT 1 FROM teams WHERE id = $1 FOR NO KEY UPDATE", viewer.team_id)


def _path(field: str) -> tuple[str, ...]:
    return ("input", _PATHS.get(field, field))


def _check_name(name: str, field: str = "name") -> None:
    if not name.strip() or len(name) > NAME_LIMIT or "\0" in name:
        raise Invalid(f"{field}: give 1 to {NAME_LIMIT} characters.", path=_path(field))


async def get_user(connection: Connection, viewer: Viewer, user_id: UUID, *, path: str = "userId") -> User:
    """A member of the viewer's team, as who manages it may know of them.

    Raises:
        Forbidden: the viewer lacks `MANAGE_TEAM`.
        NotFound: there is no such user in the team.
    """
    found = (await people.users_by_id(connection, access.see_members(viewer), [user_id]))[0]
    if found is None:
        raise NotFound("No such user.", path=("input", path))
    return found


async def _get_role(connection: Connection, viewer: Viewer, role_id: UUID) -> Role:
    found = (await people.roles_by_id(connection, viewer.team_id, [role_id]))[0]
    if found is None:
        raise NotFound("No such role.", path=_path("role_id"))
    return found


async def _get_group(connection: Connection, viewer: Viewer, group_id: UUID, *, path: str = "groupId") -> Group:
    found = (await people.groups_by_id(connection, viewer.team_id, [group_id]))[0]
    if found is None:
        raise NotFound("No such group.", path=("input", path))
    return found


def _require_giving(viewer: Viewer, role: Role) -> None:
    """Refuse to give, take or edit a role that allows more than the viewer may do."""
    if viewer.is_admin:
        return
    if role.is_admin or not set(role.permissions) <= viewer.permissions:
        raise Forbidden(
            f"The role {role.name} allows more than yours: only an Admin gives, takes or edits it.", permission="Admin"
        )


async def require_an_admin(connection: Connection, team_id: UUID) -> None:
    """Refuse a change after which nobody could administer the team.

    Raises:
        Conflict: there is no active Admin.
    """
    left = await connection.fetchval(
        "SELECT EXISTS (SELECT 1 FROM users u JOIN roles r ON r.team_id = u.team_id AND r.id = u.role_id "
        "WHERE u.team_id = $1 AND u.active AND r.is_admin)",
        team_id,
    )
    if not left:
        raise Conflict("This is the team's last Admin: make somebody else Admin first.", path=("input",))


def _check_user(values: Mapping[str, Any]) -> None:
    unknown = set(values) - USER_FIELDS
    assert not unknown, unknown
    if "name" in values:
        _check_name(values["name"])
    email = values.get("email")
    if "email" in values and (
        not isinstance(email, str)
        or len(email) > EMAIL_LIMIT
        or email.find("@") < 1
        # A line's end in one guest's address would keep a whole invitation from everybody.
        or any(letter.isspace() or not letter.isprintable() for letter in email)
    ):
        raise Invalid("email: give an address such as rep@example.com.", path=_path("email"))
    if any("\0" in one or not one for one in values.get("external_ids") or ()):
        raise Invalid("externalIds: an id is empty or holds a null character.", path=_path("external_ids"))
    _check_told(values)


def _check_told(values: Mapping[str, Any]) -> None:
    for field, limit in _LIMITS.items():
        told = values.get(field)
        if told is not None and (not told.strip() or len(told) > limit or "\0" in told):
            raise Invalid(f"{_PATHS[field]}: give 1 to {limit} characters.", path=_path(field))


async def _check_references(connection: Connection, viewer: Viewer, values: Mapping[str, Any]) -> None:
    if values.get("role_id") is not None:
        _require_giving(viewer, await _get_role(connection, viewer, values["role_id"]))
    if values.get("group_id") is not None:
        await _get_group(connection, viewer, values["group_id"])
    if values.get("manager_id") is not None:
        await get_user(connection, viewer, values["manager_id"], path="managerId")


async def invite_user(connection: Connection, viewer: Viewer, values: Mapping[str, Any]) -> User:
    """Take somebody onto the team; they sign in by the identity provider, or with a token made for them.

    Args:
        connection: Inside a transaction.
        viewer: Who invites.
        values: The columns of `USER_FIELDS`; name, email and role_id at least.

    Raises:
        Forbidden: the viewer lacks `MANAGE_TEAM`, or the role allows more than the viewer's.
        NotFound: the role, group or manager is not the team's.
        Conflict: the team has somebody with this email address.
        Invalid: a value does not fit.
    """
    await begin(connection, viewer)
    _check_user(values)
    await _check_references(connection, viewer, values)
    given = dict(values)
    later = {
        field: given.pop(field, None)
        for field in ("scim_external_id", "formatted_name", "given_name", "family_name", "ended_on")
    }
    try:
        user_id = await teams.create_user(connection, viewer.team_id, **given)
    except Conflict as error:
        raise Conflict("email: the team has somebody with this address already.", path=_path("email")) from error
    if any(value is not None for value in later.values()):
        await _set_user(connection, viewer.team_id, user_id, later)
    await _mark_groups(connection, viewer.team_id, {given.get("group_id")})
    user = await get_user(connection, viewer, user_id)
    after = {name: getattr(user, name) for name in sorted(USER_FIELDS)}
    await audit.record(connection, viewer, [NewEntry(AuditAction.USER_INVITED, ("User", user_id), None, after)])
    await events.mark_changed(connection, viewer.team_id)
    return user


async def _set_user(connection: Connection, team_id: UUID, user_id: UUID, columns: Mapping[str, Any]) -> None:
    assignments = ", ".join(f"{name} = ${place}" for place, name in enumerate(columns, 3))
    try:
        async with connection.transaction():
            await connection.execute(
                f"UPDATE users SET {assignments}, changed_at = now() WHERE team_id = $1 AND id = $2",
                team_id,
                user_id,
                *columns.values(),
            )
    except asyncpg.UniqueViolationError as error:
        told = _UNIQUE.get(error.constraint_name or "", "email")
        raise Conflict(f"{told}: somebody else on the team has it.", path=("input", told)) from error
    except asyncpg.CheckViolationError as error:
        if error.constraint_name == "users_employment_check":
            raise Invalid("endedOn: not before startedOn.", path=_path("ended_on")) from error
        if error.constraint_name == "users_manager_id_check":
            raise Invalid("managerId: nobody manages themselves.", path=_path("manager_id")) from error
        raise


async def _mark_groups(connection: Connection, team_id: UUID, group_ids: Iterable[UUID | None]) -> None:
    """Note that other people are in some groups than before."""
    await connection.execute(
        "UPDATE groups SET changed_at = now() WHERE team_id = $1 AND id = ANY ($2::uuid[])",
        team_id,
        [group_id for group_id in group_ids if group_id is not None],
    )


async def update_user(connection: Connection, viewer: Viewer, user_id: UUID, values: Mapping[str, Any]) -> User:
    """Change what is known of a member: name, address, role, group, manager, seats, first and last day.

    Raises:
        Forbidden: the viewer lacks `MANAGE_TEAM`, or a role, theirs or the new one, allows more than the viewer's.
        NotFound: the user, role, group or manager is not the team's.
        Conflict: somebody else has the address; it is the last Admin.
        Invalid: a value does not fit; the reporting line would become a circle.
    """
    await begin(connection, viewer)
    user = await get_user(connection, viewer, user_id)
    _require_giving(viewer, await _get_role(connection, viewer, user.role_id))
    changed = {name: value for name, value in values.items() if value != getattr(user, name)}
    if not changed:
        return user
    if user.erased_at is not None and not set(changed) <= _OF_ERASED:
        raise Conflict("This person's data was erased: invite them anew.", path=("input", "userId"))
    _check_user(changed)
    await _check_references(connection, viewer, changed)
    manager_id = changed.get("manager_id")
    if manager_id is not None and await _is_above(connection, viewer.team_id, user_id, manager_id):
        raise Invalid("managerId: this person reports to the user, directly or further down.", path=_path("manager_id"))
    await _set_user(connection, viewer.team_id, user_id, changed)
    if "role_id" in changed:
        await require_an_admin(connection, viewer.team_id)
    if "group_id" in changed:
        await _mark_groups(connection, viewer.team_id, (user.group_id, changed["group_id"]))
    before = {name: getattr(user, name) for name in changed}
    await audit.record(connection, viewer, [NewEntry(AuditAction.USER_UPDATED, ("User", user_id), before, changed)])
    await events.mark_changed(connection, viewer.team_id)
    return await get_user(connection, viewer, user_id)


async def _is_above(connection: Connection, team_id: UUID, user_id: UUID, other_id: UUID) -> bool:
    """Whether somebody stands above another in the reporting line, or is the same."""
    return bool(
        await connection.fetchval(
            """
            WITH RECURSIVE above AS (
                SELECT $3::uuid AS id
                UNION
                SELECT u.manager_id FROM users u JOIN above a ON u.team_id = $1 AND u.id = a.id
                WHERE u.manager_id IS NOT NULL
            )
            SELECT EXISTS (SELECT 1 FROM above WHERE id = $2)
            """,
            team_id,
            user_id,
            other_id,
        )
    )


async def move_users(connection: Connection, viewer: Viewer, user_ids: Iterable[UUID], group_id: UUID | None) -> None:
    """Put members into a group, out of the one that each is in; or out of all groups.

    Args:
        connection: Inside a transaction.
        viewer: Who does it.
        user_ids: Of the team; others are passed over.
        group_id: Where to; None for no group.

    Raises:
        Forbidden: the viewer lacks `MANAGE_TEAM`, or one of the members may do more than the viewer.
        NotFound: there is no such group.
    """
    await begin(connection, viewer)
    if group_id is not None:
        await _get_group(connection, viewer, group_id)
    rows = await connection.fetch(
        "SELECT id, group_id, role_id FROM users WHERE team_id = $1 AND id = ANY ($2::uuid[]) "
        "AND group_id IS DISTINCT FROM $3 ORDER BY id",
        viewer.team_id,
        list(user_ids),
        group_id,
    )
    if not rows:
        return
    for role in await people.roles_by_id(connection, viewer.team_id, list({row["role_id"] for row in rows})):
        if role is not None:
            _require_giving(viewer, role)
    await connection.execute(
        "UPDATE users SET group_id = $3, changed_at = now() WHERE team_id = $1 AND id = ANY ($2::uuid[])",
        viewer.team_id,
        [row["id"] for row in rows],
        group_id,
    )
    await _mark_groups(connection, viewer.team_id, {group_id, *(row["group_id"] for row in rows)})
    after = {"group_id": group_id}
    await audit.record(
        connection,
        viewer,
        [NewEntry(AuditAction.USER_UPDATED, ("User", row["id"]), {"group_id": row["group_id"]}, after) for row in rows],
    )
    await events.mark_changed(connection, viewer.team_id)


async def deactivate_user(
    connection: Connection,
    viewer: Viewer,
    user_id: UUID,
    *,
    now: datetime,
    ended_on: date | None = None,
    removed: bool = False,
) -> User:
    """End a member's access at once: tokens and sessions are revoked, open streams end; their history stays.

    Args:
        connection: Inside a transaction.
        viewer: Who does it.
        user_id: The member.
        now: The clock.
        ended_on: Their last day, from which goals ask nothing more; today if None.
        removed: Whether the identity provider, too, is to know of them no more, until it brings them back.

    Raises:
        Forbidden: the viewer lacks `MANAGE_TEAM`, or the member may do more than the viewer.
        NotFound: there is no such user.
        Conflict: it is the last Admin.
        Invalid: the last day is before the first.
    """
    await begin(connection, viewer)
    user = await get_user(connection, viewer, user_id)
    _require_giving(viewer, await _get_role(connection, viewer, user.role_id))
    after: dict[str, Any] = {}
    if user.active:
        last_day = ended_on or max(calendar_of(viewer).today(now), user.started_on or date.min)
        after |= {"active": False, "ended_on": last_day}
    if removed and user.scim_removed_at is None:
        after["scim_removed_at"] = now
    if not after:
        return user
    before = {name: getattr(user, name) for name in after}
    await _set_user(connection, viewer.team_id, user_id, after)
    await require_an_admin(connection, viewer.team_id)
    if removed:
        await _mark_groups(connection, viewer.team_id, {user.group_id})
    await integrations.end_of_user(connection, viewer.team_id, user_id)
    revoked = await connection.fetch(
        "UPDATE tokens SET revoked_at = now() WHERE team_id = $1 AND user_id = $2 AND revoked_at IS NULL RETURNING id",
        viewer.team_id,
        user_id,
    )
    after["revoked_tokens"] = [row["id"] for row in revoked]
    await audit.record(connection, viewer, [NewEntry(AuditAction.USER_DEACTIVATED, ("User", user_id), before, after)])
    await events.mark_changed(connection, viewer.team_id)
    return await get_user(connection, viewer, user_id)


async def reactivate_user(connection: Connection, viewer: Viewer, user_id: UUID) -> User:
    """Let a former member in again, whoever ended their access; their old tokens stay revoked.

    Raises:
        Forbidden: the viewer lacks `MANAGE_TEAM`, or the member's role allows more than the viewer's.
        NotFound: there is no such user.
        Conflict: the person's data was erased.
    """
    await begin(connection, viewer)
    user = await get_user(connection, viewer, user_id)
    _require_giving(viewer, await _get_role(connection, viewer, user.role_id))
    if user.active:
        return user
    if user.erased_at is not None:
        raise Conflict("This person's data was erased: invite them anew.", path=("input", "userId"))
    after: dict[str, Any] = {"active": True, "ended_on": None}
    if user.scim_removed_at is not None:
        after["scim_removed_at"] = None
    before = {name: getattr(user, name) for name in after}
    await _set_user(connection, viewer.team_id, user_id, after)
    if user.scim_removed_at is not None:
        await _mark_groups(connection, viewer.team_id, {user.group_id})
    await audit.record(connection, viewer, [NewEntry(AuditAction.USER_REACTIVATED, ("User", user_id), before, after)])
    await events.mark_changed(connection, viewer.team_id)
    return await get_user(connection, viewer, user_id)


async def create_group(
    connection: Connection,
    viewer: Viewer,
    name: str,
    parent_id: UUID | None,
    *,
    scim_external_id: str | None = None,
) -> Group:
    """Make a group, below another or at the top.

    Raises:
        Forbidden: the viewer lacks `MANAGE_TEAM`.
        NotFound: there is no such group above.
        Invalid: the name or the external id does not fit.
        Conflict: another group has the external id.
    """
    await begin(connection, viewer)
    _check_name(name)
    _check_told({"scim_external_id": scim_external_id})
    if parent_id is not None:
        await _get_group(connection, viewer, parent_id, path="parentId")
    try:
        group_id = await teams.create_group(
            connection, viewer.team_id, name, parent_id, scim_external_id=scim_external_id
        )
    except Conflict as error:
        raise Conflict("externalId: another group has it.", path=_path("scim_external_id")) from error
    after = {"name": name, "parent_id": parent_id}
    if scim_external_id is not None:
        after["scim_external_id"] = scim_external_id
    await audit.record(connection, viewer, [NewEntry(AuditAction.GROUP_CREATED, ("Group", group_id), None, after)])
    await events.mark_changed(connection, viewer.team_id)
    return await _get_group(connection, viewer, group_id)


async def update_group(connection: Connection, viewer: Viewer, group_id: UUID, values: Mapping[str, Any]) -> Group:
    """Rename a group, or move it and all below it.

    Args:
        connection: Inside a transaction.
        viewer: Who does it.
        group_id: The group.
        values: Of name, parent_id and scim_external_id, what is to change.

    Raises:
        Forbidden: the viewer lacks `MANAGE_TEAM`.
        NotFound: there is no such group, or none above.
        Invalid: the name does not fit; the group would be below itself.
        Conflict: another group has the external id.
    """
    await begin(connection, viewer)
    group = await _get_group(connection, viewer, group_id)
    changed = {name: value for name, value in values.items() if value != getattr(group, name)}
    if not changed:
        return group
    if "name" in changed:
        _check_name(changed["name"])
    _check_told(changed)
    if changed.get("parent_id") is not None:
        await _get_group(connection, viewer, changed["parent_id"], path="parentId")
    assignments = ", ".join(f"{name} = ${place}" for place, name in enumerate(changed, 3))
    try:
        async with connection.transaction():
            await connection.execute(
                f"UPDATE groups SET {assignments}, changed_at = now() WHERE team_id = $1 AND id = $2",
                viewer.team_id,
                group_id,
                *changed.values(),
            )
    except asyncpg.CheckViolationError as error:
        raise Invalid("parentId: a group cannot be below itself.", path=("input", "parentId")) from error
    except asyncpg.UniqueViolationError as error:
        raise Conflict("externalId: another group has it.", path=_path("scim_external_id")) from error
    before = {name: getattr(group, name) for name in changed}
    await audit.record(connection, viewer, [NewEntry(AuditAction.GROUP_UPDATED, ("Group", group_id), before, changed)])
    await events.mark_changed(connection, viewer.team_id)
    return await _get_group(connection, viewer, group_id)


async def remove_group(connection: Connection, viewer: Viewer, group_id: UUID) -> None:
    """Remove an empty group.

    Raises:
        Forbidden: the viewer lacks `MANAGE_TEAM`.
        NotFound: there is no such group.
        Conflict: it has members, groups below it, or goals, whose history would be lost.
    """
    await begin(connection, viewer)
    group = await _get_group(connection, viewer, group_id)
    for table, column, what in (
        ("users", "group_id", "members: move them first"),
        ("groups", "parent_id", "groups below it: move or remove them first"),
        ("goals", "group_id", "goals, whose history stays: rename the group instead"),
    ):
        if await connection.fetchval(
            f"SELECT EXISTS (SELECT 1 FROM {table} WHERE team_id = $1 AND {column} = $2)", viewer.team_id, group_id
        ):
            raise Conflict(f"The group has {what}.", path=("input", "groupId"))
    await connection.execute("DELETE FROM groups WHERE team_id = $1 AND id = $2", viewer.team_id, group_id)
    before = {"name": group.name, "parent_id": group.parent_id}
    await audit.record(connection, viewer, [NewEntry(AuditAction.GROUP_REMOVED, ("Group", group_id), before, None)])
    await events.mark_changed(connection, viewer.team_id)


async def create_role(connection: Connection, viewer: Viewer, name: str, permissions: Iterable[Permission]) -> Role:
    """Make a role.

    Raises:
        Forbidden: the viewer lacks `MANAGE_TEAM`, or a permission that the role is to have.
        Conflict: the team has a role of this name.
        Invalid: the name does not fit.
    """
    await begin(connection, viewer)
    _check_name(name)
    allowed = _require_holding(viewer, permissions)
    try:
        role_id = await teams.create_role(connection, viewer.team_id, name, allowed)
    except Conflict as error:
        raise Conflict("name: the team has a role of this name.", path=("input", "name")) from error
    after = {"name": name, "permissions": sorted(allowed)}
    await audit.record(connection, viewer, [NewEntry(AuditAction.ROLE_CREATED, ("Role", role_id), None, after)])
    return await _get_role(connection, viewer, role_id)


def _require_holding(viewer: Viewer, permissions: Iterable[Permission]) -> frozenset[Permission]:
    wanted = frozenset(permissions)
    for permission in sorted(wanted):
        access.require(viewer, permission)
    return wanted


async def _editable_role(connection: Connection, viewer: Viewer, role_id: UUID) -> Role:
    role = await _get_role(connection, viewer, role_id)
    if role.built_in:
        raise Conflict(f"{role.name} is built in and stays as it is: make a role of your own.", path=_path("role_id"))
    _require_giving(viewer, role)
    return role


async def update_role(
    connection: Connection, viewer: Viewer, role_id: UUID, name: str | None, permissions: Iterable[Permission] | None
) -> Role:
    """Rename a role or change what it allows; it counts for its holders from their next request or event on.

    Raises:
        Forbidden: the viewer lacks `MANAGE_TEAM`, or a permission that the role has or is to have.
        NotFound: there is no such role.
        Conflict: the role is built in; another has the name.
        Invalid: the name does not fit.
    """
    await begin(connection, viewer)
    role = await _editable_role(connection, viewer, role_id)
    wanted: dict[str, Any] = {}
    if name is not None and name != role.name:
        _check_name(name)
        wanted["name"] = name
    if permissions is not None:
        allowed = sorted(_require_holding(viewer, permissions))
        if allowed != sorted(role.permissions):
            wanted["permissions"] = [permission.value for permission in allowed]
    if not wanted:
        return role
    try:
        async with connection.transaction():
            await connection.execute(
                "UPDATE roles SET name = coalesce($3, name), permissions = coalesce($4::text[], permissions) "
                "WHERE team_id = $1 AND id = $2",
                viewer.team_id,
                role_id,
                wanted.get("name"),
                wanted.get("permissions"),
            )
    except asyncpg.UniqueViolationError as error:
        raise Conflict("name: the team has a role of this name.", path=("input", "name")) from error
    before = {field: getattr(role, field) for field in wanted}
    await audit.record(connection, viewer, [NewEntry(AuditAction.ROLE_UPDATED, ("Role", role_id), before, wanted)])
    return await _get_role(connection, viewer, role_id)


async def remove_role(connection: Connection, viewer: Viewer, role_id: UUID) -> None:
    """Remove a role that nobody has.

    Raises:
        Forbidden: the viewer lacks `MANAGE_TEAM`, or a permission that the role has.
        NotFound: there is no such role.
        Conflict: the role is built in, or somebody has it.
    """
    await begin(connection, viewer)
    role = await _editable_role(connection, viewer, role_id)
    if await connection.fetchval(
        "SELECT EXISTS (SELECT 1 FROM users WHERE team_id = $1 AND role_id = $2)", viewer.team_id, role_id
    ):
        raise Conflict("Somebody has this role: give them another first.", path=_path("role_id"))
    await connection.execute("DELETE FROM roles WHERE team_id = $1 AND id = $2", viewer.team_id, role_id)
    before = {"name": role.name, "permissions": role.permissions}
    await audit.record(connection, viewer, [NewEntry(AuditAction.ROLE_REMOVED, ("Role", role_id), before, None)])


async def issue_token(
    connection: Connection,
    viewer: Viewer,
    *,
    user_id: UUID,
    name: str,
    scopes: Iterable[str],
    now: datetime,
    expires_at: datetime | None = None,
    trusted_documents_only: bool = False,
    cost_per_minute: int | None = None,
) -> tuple[CreatedToken, Token]:
    """Make a token: for oneself; for others as Admin. It is good for no more than the credential that asks for it.

    Raises:
        Forbidden: it is for somebody else, or for a use that the viewer's own credential is not for.
        NotFound: there is no such user in the team.
        Invalid: the name, the scopes or the time does not fit.
    """
    if user_id != viewer.user_id:
        access.require_admin(viewer)
    _check_name(name)
    wanted = frozenset(scopes)
    if not wanted <= viewer.scopes:
        beyond = min(wanted - viewer.scopes)
        raise Forbidden(f"Your own credential is not for {beyond}.", permission=f"scope:{beyond}")
    if expires_at is not None and expires_at <= now:
        raise Invalid("expiresAt: give a time to come.", path=("input", "expiresAt"))
    if cost_per_minute is not None and cost_per_minute < 1:
        raise Invalid("costPerMinute: at least 1.", path=("input", "costPerMinute"))
    # Nobody slips a bound of their own credential by making another.
    if viewer.trusted_documents_only and not trusted_documents_only:
        raise Forbidden("Your own credential takes trusted documents alone.", permission="trustedDocumentsOnly")
    if viewer.cost_per_minute is not None and (cost_per_minute or viewer.cost_per_minute + 1) > viewer.cost_per_minute:
        raise Forbidden(f"Your own credential may spend {viewer.cost_per_minute} a minute.", permission="costPerMinute")
    if viewer.expires_at is not None and viewer.token_kind is None:
        raise Forbidden("Sign in with a token or a session to make tokens.", permission="token")
    created = await create_token(
        connection,
        viewer.team_id,
        user_id,
        name=name,
        scopes=wanted,
        expires_at=expires_at,
        trusted_documents_only=trusted_documents_only,
        cost_per_minute=cost_per_minute,
    )
    after = {"user_id": user_id, "name": name, "scopes": sorted(wanted), "expires_at": expires_at}
    await audit.record(connection, viewer, [NewEntry(AuditAction.TOKEN_CREATED, ("Token", created.id), None, after)])
    row = await connection.fetchrow("SELECT * FROM tokens WHERE id = $1", created.id)
    return created, Token._init_from_db(**dict(row))


async def revoke(connection: Connection, viewer: Viewer, token_id: UUID) -> Token:
    """End a token from the next request on: one's own; any of the team's with `MANAGE_TEAM`.

    Raises:
        NotFound: there is no such token that the viewer may end.
    """
    row = await connection.fetchrow(
        "SELECT * FROM tokens WHERE team_id = $1 AND id = $2 AND kind = 'api' FOR UPDATE", viewer.team_id, token_id
    )
    if row is None or not access.may_see_tokens(viewer, row["user_id"]):
        raise NotFound("No such token.", path=("input", "tokenId"))
    if row["revoked_at"] is None:
        await connection.execute(
            "UPDATE tokens SET revoked_at = now() WHERE team_id = $1 AND id = $2", viewer.team_id, token_id
        )
        before = {"user_id": row["user_id"], "name": row["name"]}
        entry = NewEntry(AuditAction.TOKEN_REVOKED, ("Token", token_id), before, None)
        await audit.record(connection, viewer, [entry])
    row = await connection.fetchrow("SELECT * FROM tokens WHERE team_id = $1 AND id = $2", viewer.team_id, token_id)
    return Token._init_from_db(**dict(row))
