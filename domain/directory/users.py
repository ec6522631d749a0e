"""People as an identity provider sees them: list, read, create, change, remove."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

from domain import access, administration
from domain.access import Viewer
from domain.directory.filters import Column, Complex, Kind, Resource
from domain.directory.listing import Listing, Query, Source, fetch_one, fetch_page
from domain.errors import Conflict, Invalid, NotFound

if TYPE_CHECKING:
    from domain.database import Connection

SCHEMA = "urn:ietf:params:scim:schemas:core:2.0:User"
ENTERPRISE_SCHEMA = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"

_ROLE = "CASE WHEN r.built_in AND NOT r.is_admin THEN NULL ELSE r.name END"


def _where(present: str, condition: str) -> str:
    return f"({present} AND ({condition}))"


def _some_schema(condition: str) -> str:
    schemas = f"CASE WHEN m.id IS NULL THEN ARRAY['{SCHEMA}'] ELSE ARRAY['{SCHEMA}', '{ENTERPRISE_SCHEMA}'] END"
    return f"EXISTS (SELECT 1 FROM unnest({schemas}) AS s (value) WHERE {condition})"


USERS = Resource(
    SCHEMA,
    {
        "id": Column("u.id", Kind.ID, exact=True, type_name="User"),
        "externalid": Column("u.scim_external_id", exact=True, optional=True),
        # The very expression of users_scim_user_name_key, which serves `userName eq`.
        "username": Column("coalesce(u.scim_user_name, u.email)"),
        "displayname": Column("u.name"),
        "active": Column("u.active", Kind.BOOLEAN),
        "name": Complex(
            {
                "formatted": Column("u.formatted_name", optional=True),
                "givenname": Column("u.given_name", optional=True),
                "familyname": Column("u.family_name", optional=True),
            }
        ),
        "emails": Complex(
            {
                "value": Column("u.email"),
                "type": Column("'work'::text"),
                "primary": Column("true::boolean", Kind.BOOLEAN),
            },
            value="value",
            selectable=True,
        ),
        "roles": Complex(
            {"value": Column(_ROLE)}, value="value", some=partial(_where, f"({_ROLE}) IS NOT NULL"), selectable=True
        ),
        "groups": Complex(
            {
                "value": Column("u.group_id", Kind.ID, exact=True, type_name="Group"),
                "display": Column("g.name"),
                "type": Column("'direct'::text"),
            },
            value="value",
            some=partial(_where, "u.group_id IS NOT NULL"),
            selectable=True,
        ),
        "schemas": Complex({"value": Column("s.value")}, value="value", some=_some_schema, sortable=False),
        "meta": Complex(
            {
                "resourcetype": Column("'User'::text", exact=True),
                "created": Column("u.created_at", Kind.TIME),
                "lastmodified": Column("u.changed_at", Kind.TIME),
            }
        ),
    },
    {
        ENTERPRISE_SCHEMA: {
            "manager": Complex(
                {"value": Column("m.id", Kind.ID, exact=True, type_name="User")},
                value="value",
                some=partial(_where, "m.id IS NOT NULL"),
            )
        }
    },
)
"""What a filter on people may name."""

VISIBLE = "{0}.scim_removed_at IS NULL AND {0}.erased_at IS NULL"
"""The condition on a person, by the alias of `users`, whom the identity provider knows."""

_SOURCE = Source(
    USERS,
    columns=f"""
        u.id, coalesce(u.scim_user_name, u.email) AS user_name, u.scim_external_id AS external_id, u.name, u.email,
        u.formatted_name, u.given_name, u.family_name, u.active, {_ROLE} AS role, u.group_id, g.name AS group_name,
        m.id AS manager_id, u.created_at, u.changed_at
        """,
    tables=f"""
        users u JOIN roles r ON r.team_id = u.team_id AND r.id = u.role_id
        LEFT JOIN groups g ON g.team_id = u.team_id AND g.id = u.group_id
        LEFT JOIN users m ON m.team_id = u.team_id AND m.id = u.manager_id AND {VISIBLE.format("m")}
        """,
    alias="u",
    visible=VISIBLE.format("u"),
)


@dataclass(frozen=True, slots=True)
class DirectoryUser:
    """A person as the identity provider knows them.

    Args:
        user_name: Theirs at the provider; the email address where it gave no other.
        external_id: The provider's own id of them.
        name: What Sideline shows.
        role: The name of their role; None for the built-in `User`.
        manager_id: Whom they report to, where the provider knows that person.
    """

    id: UUID
    user_name: str
    external_id: str | None
    name: str
    email: str
    formatted_name: str | None
    given_name: str | None
    family_name: str | None
    active: bool
    role: str | None
    group_id: UUID | None
    group_name: str | None
    manager_id: UUID | None
    created_at: datetime
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class UserValues:
    """What a person is to be.

    Args:
        user_name: Unique in the team, whatever the case of its letters.
        name: What Sideline shows; made from the other names if None.
        email: The address; the user name, where that is one, if None.
        role: The name of a role of the team's; None for the built-in `User`.
        manager_id: Whom they report to.
    """

    user_name: str
    external_id: str | None = None
    name: str | None = None
    email: str | None = None
    formatted_name: str | None = None
    given_name: str | None = None
    family_name: str | None = None
    active: bool = True
    role: str | None = None
    manager_id: UUID | None = None


def shown_name(person: DirectoryUser | UserValues) -> str:
    """The name that Sideline shows of a person of whom nothing else is said."""
    parts = " ".join(part for part in (person.given_name, person.family_name) if part)
    return person.formatted_name or parts or person.user_name


def is_address(text: str) -> bool:
    """Whether a user name can be an email address."""
    name, _, host = text.rpartition("@")
    return bool(name and host) and not any(character.isspace() for character in text)


async def list_users(connection: Connection, viewer: Viewer, query: Query) -> Listing[DirectoryUser]:
    """A page of the people.

    Raises:
        Forbidden: the viewer lacks `MANAGE_TEAM`.
        Invalid: the filter or the order names what is not there.
    """
    total, rows = await fetch_page(connection, access.see_members(viewer), query, _SOURCE)
    return Listing(total, tuple(DirectoryUser(**dict(row)) for row in rows))


async def get_user(connection: Connection, viewer: Viewer, user_id: UUID) -> DirectoryUser:
    """One person.

    Raises:
        Forbidden: the viewer lacks `MANAGE_TEAM`.
        NotFound: there is nobody whom the provider knows by this id.
    """
    row = await fetch_one(connection, access.see_members(viewer), user_id, _SOURCE)
    if row is None:
        raise NotFound("No such user.")
    return DirectoryUser(**dict(row))


async def create_user(connection: Connection, viewer: Viewer, wanted: UserValues, *, now: datetime) -> DirectoryUser:
    """Take somebody onto the team; or back, if the provider had removed them.

    Raises:
        Forbidden: the viewer lacks `MANAGE_TEAM`, or the role allows more than the viewer's.
        Conflict: the team has somebody with this user name, external id or address.
        Invalid: a value does not fit; there is no such role or manager.
    """
    await administration.begin(connection, viewer)
    columns = await _columns(connection, viewer, wanted, None)
    former = await _former(connection, viewer, columns, wanted)
    await _require_free(connection, viewer, columns, except_id=former)
    if former is None:
        user_id = (await administration.invite_user(connection, viewer, columns)).id
    else:
        user_id = former
        await administration.reactivate_user(connection, viewer, user_id)
        await administration.update_user(connection, viewer, user_id, {**columns, "group_id": None})
    if not wanted.active:
        await administration.deactivate_user(connection, viewer, user_id, now=now)
    return await get_user(connection, viewer, user_id)


async def change_user(
    connection: Connection, viewer: Viewer, user: DirectoryUser, wanted: UserValues, *, now: datetime
) -> DirectoryUser:
    """Make a person what they are to be.

    Args:
        connection: Inside a transaction in which `administration.begin` came first.
        viewer: Who asks.
        user: As they stand now.
        wanted: As they are to stand.
        now: The clock.

    Raises:
        Forbidden: the viewer lacks `MANAGE_TEAM`, or a role, theirs or the new one, allows more than the viewer's.
        Conflict: somebody else has the user name, the external id or the address; it is the last Admin.
        Invalid: a value does not fit; there is no such role or manager; the reporting line would become a circle.
    """
    columns = await _columns(connection, viewer, wanted, user)
    if {"email", "scim_user_name", "scim_external_id"} & set(columns):
        await _require_free(connection, viewer, columns, except_id=user.id)
    if columns:
        await administration.update_user(connection, viewer, user.id, columns)
    if wanted.active and not user.active:
        await administration.reactivate_user(connection, viewer, user.id)
    elif user.active and not wanted.active:
        await administration.deactivate_user(connection, viewer, user.id, now=now)
    return await get_user(connection, viewer, user.id)


async def remove_user(connection: Connection, viewer: Viewer, user_id: UUID, *, now: datetime) -> None:
    """End somebody's access, and be gone for the provider; what they did stays in Sideline.

    Raises:
        Forbidden: the viewer lacks `MANAGE_TEAM`, or the person may do more than the viewer.
        NotFound: there is nobody whom the provider knows by this id.
        Conflict: it is the last Admin.
    """
    await administration.begin(connection, viewer)
    await get_user(connection, viewer, user_id)
    await administration.deactivate_user(connection, viewer, user_id, now=now, removed=True)


async def _columns(
    connection: Connection, viewer: Viewer, wanted: UserValues, user: DirectoryUser | None
) -> dict[str, Any]:
    """What has to be written: everything of somebody new, else what differs from how they are seen.

    What the provider cannot see, such as a manager whom it removed, is thereby left alone.
    """
    email = wanted.email or (wanted.user_name if is_address(wanted.user_name) else user.email if user else None)
    if not wanted.user_name.strip():
        raise Invalid("userName: give 1 to 255 characters.", path=("userName",))
    if email is None:
        raise Invalid("emails: give an address, or a userName that is one.", path=("emails",))
    told = {
        "name": wanted.name or shown_name(wanted)[: administration.NAME_LIMIT],
        "scim_external_id": wanted.external_id,
        "formatted_name": wanted.formatted_name,
        "given_name": wanted.given_name,
        "family_name": wanted.family_name,
    }
    seen = () if user is None else (user.name, user.external_id, user.formatted_name, user.given_name, user.family_name)
    columns: dict[str, Any] = (
        told
        if user is None
        else {column: value for (column, value), before in zip(told.items(), seen, strict=True) if value != before}
    )
    if user is None or (wanted.user_name, email) != (user.user_name, user.email):
        # The user name stands for itself only where it is not the address: who changes the address changes both.
        columns |= {"email": email, "scim_user_name": None if wanted.user_name == email else wanted.user_name}
    if user is None or wanted.role != user.role:
        columns["role_id"] = await _role_id(connection, viewer, wanted.role)
    if user is None or wanted.manager_id != user.manager_id:
        if wanted.manager_id is not None:
            await _require_known(connection, viewer, wanted.manager_id)
        columns["manager_id"] = wanted.manager_id
    return columns


async def _role_id(connection: Connection, viewer: Viewer, name: str | None) -> UUID:
    """A role by its very name, else by its name in any case. Served by roles_team_id_name_key."""
    found: UUID | None = await connection.fetchval(
        """
        SELECT id FROM roles WHERE team_id = $1
            AND CASE WHEN $2::text IS NULL THEN built_in AND NOT is_admin ELSE lower(name) = lower($2) END
        ORDER BY name = $2 DESC, name LIMIT 1
        """,
        viewer.team_id,
        name,
    )
    if found is None and name is None:
        raise Conflict("The team has no role for people of whom none is said: name one in roles.", path=("roles",))
    if found is None:
        raise Invalid(f"roles: the team has no role {(name or '')[:80]!r}.", path=("roles",))
    return found


async def _require_known(connection: Connection, viewer: Viewer, manager_id: UUID) -> None:
    try:
        await get_user(connection, viewer, manager_id)
    except NotFound as error:
        raise Invalid("manager: there is no such user.", path=("manager",)) from error


# Served by users_scim_user_name_key, users_scim_external_id_key and users_team_id_email_key.
_SAME = "(lower(coalesce(scim_user_name, email)) = lower($2) OR scim_external_id = $3 OR lower(email) = lower($4))"


async def _former(connection: Connection, viewer: Viewer, columns: dict[str, Any], wanted: UserValues) -> UUID | None:
    """The person whom the provider removed and now means again: by user name, else external id, else address."""
    found: UUID | None = await connection.fetchval(
        f"""
        SELECT id FROM users WHERE team_id = $1 AND scim_removed_at IS NOT NULL AND erased_at IS NULL AND {_SAME}
        ORDER BY lower(coalesce(scim_user_name, email)) = lower($2) DESC,
            coalesce(scim_external_id = $3, false) DESC, id LIMIT 1
        """,
        viewer.team_id,
        wanted.user_name,
        columns["scim_external_id"],
        columns["email"],
    )
    return found


async def _require_free(
    connection: Connection, viewer: Viewer, columns: dict[str, Any], *, except_id: UUID | None
) -> None:
    """Refuse what somebody else on the team has, whether the provider knows them or not."""
    email = columns.get("email")
    row = await connection.fetchrow(
        f"""
        SELECT coalesce(bool_or(lower(coalesce(scim_user_name, email)) = lower($2)), false) AS user_name,
            coalesce(bool_or(scim_external_id = $3), false) AS external_id
        FROM users WHERE team_id = $1 AND id IS DISTINCT FROM $5 AND {_SAME} HAVING count(*) > 0
        """,
        viewer.team_id,
        columns.get("scim_user_name") or email,
        columns.get("scim_external_id"),
        email,
        except_id,
    )
    if row is None:
        return
    field = "userName" if row["user_name"] else "externalId" if row["external_id"] else "emails"
    raise Conflict(f"{field}: somebody else on the team has it.", path=(field,))
