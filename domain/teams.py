"""Making teams and their people."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import asyncpg

from domain.errors import Conflict, Invalid, NotFound
from domain.models.base import new_id
from domain.models.people import Permission

if TYPE_CHECKING:
    from domain.database import Connection

ADMIN = "Admin"
USER = "User"


async def _insert(connection: Connection, table: str, what: str, columns: dict[str, Any]) -> UUID:
    row_id = new_id()
    names = ", ".join(["id", *columns])
    places = ", ".join(f"${number}" for number in range(1, len(columns) + 2))
    try:
        async with connection.transaction():
            await connection.execute(f"INSERT INTO {table} ({names}) VALUES ({places})", row_id, *columns.values())
    except asyncpg.UniqueViolationError as error:
        raise Conflict(f"There is such a {what} already: {error.detail}.") from error
    except asyncpg.ForeignKeyViolationError as error:
        raise NotFound(f"The {what} names something that is not there: {error.detail}.") from error
    except (asyncpg.CheckViolationError, asyncpg.StringDataRightTruncationError) as error:
        raise Invalid(f"The {what} does not fit: {error.args[0]}.") from error
    return row_id


async def create_team(
    connection: Connection,
    *,
    name: str,
    timezone: str = "UTC",
    currency: str = "USD",
    holiday_country: str | None = None,
    demo: bool = False,
    created_at: datetime | None = None,
) -> UUID:
    """Make a team with the built-in roles Admin and User.

    Raises:
        Invalid: there is no such time zone, or a value does not fit.
    """
    try:
        ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise Invalid(
            f"There is no time zone {timezone!r}; give an IANA name such as Europe/Berlin.", path=("timezone",)
        ) from error
    columns: dict[str, Any] = {
        "name": name,
        "timezone": timezone,
        "currency": currency,
        "holiday_country": holiday_country,
        "demo": demo,
    }
    if created_at is not None:
        columns["created_at"] = created_at
    team_id = await _insert(connection, "teams", "team", columns)
    admin = {"team_id": team_id, "name": ADMIN, "is_admin": True, "built_in": True, "permissions": [*Permission]}
    await _insert(connection, "roles", "role", admin)
    await _insert(connection, "roles", "role", {"team_id": team_id, "name": USER, "built_in": True, "permissions": []})
    return team_id


async def create_role(connection: Connection, team_id: UUID, name: str, permissions: Iterable[Permission]) -> UUID:
    """Make a role.

    Raises:
        Conflict: the team has one of this name.
    """
    allowed = sorted({permission.value for permission in permissions})
    return await _insert(connection, "roles", "role", {"team_id": team_id, "name": name, "permissions": allowed})


async def create_group(
    connection: Connection,
    team_id: UUID,
    name: str,
    parent_id: UUID | None = None,
    *,
    scim_external_id: str | None = None,
) -> UUID:
    """Make a group, below another one or at the top.

    Raises:
        NotFound: there is no such parent in the team.
        Conflict: another group has the external id.
    """
    columns = {"team_id": team_id, "name": name, "parent_id": parent_id, "scim_external_id": scim_external_id}
    return await _insert(connection, "groups", "group", columns)


async def create_user(
    connection: Connection,
    team_id: UUID,
    *,
    name: str,
    email: str,
    role_id: UUID,
    group_id: UUID | None = None,
    manager_id: UUID | None = None,
    is_rep: bool = True,
    deals_access: bool = False,
    external_ids: Iterable[str] = (),
    started_on: date | None = None,
    scim_user_name: str | None = None,
) -> UUID:
    """Make a user; `started_on` is the first day with the team, where that is known.

    Raises:
        Conflict: the team has somebody with this email address.
        NotFound: the role, group or manager is not the team's.
        Invalid: a value does not fit.
    """
    columns = {
        "team_id": team_id,
        "name": name,
        "email": email,
        "role_id": role_id,
        "group_id": group_id,
        "manager_id": manager_id,
        "is_rep": is_rep,
        "deals_access": deals_access,
        "external_ids": list(external_ids),
        "started_on": started_on,
        "scim_user_name": scim_user_name,
    }
    return await _insert(connection, "users", "user", columns)


async def role_named(connection: Connection, team_id: UUID, name: str) -> UUID:
    """A role by its name.

    Raises:
        NotFound: the team has none.
    """
    found: UUID | None = await connection.fetchval(
        "SELECT id FROM roles WHERE team_id = $1 AND name = $2", team_id, name
    )
    if found is None:
        raise NotFound(f"The team has no role {name!r}.")
    return found


async def find_team(connection: Connection, name: str | None) -> UUID:
    """The team of a name, or the only team; for the operator.

    Raises:
        NotFound: there is none.
        Invalid: there are several.
    """
    rows = await connection.fetch("SELECT id, name FROM teams WHERE $1::text IS NULL OR name = $1 ORDER BY name", name)
    if not rows:
        raise NotFound(f"There is no team {name!r}." if name else "There is no team yet.")
    if len(rows) > 1:
        raise Invalid(
            f"There are {len(rows)} teams ({', '.join(row['name'] for row in rows)}): say which.", path=("team",)
        )
    team_id: UUID = rows[0]["id"]
    return team_id
