"""Teams and people for tests, straight into the tables."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from domain.database import Connection
from domain.identity import Identity, identify_user
from domain.models.base import new_id


async def _insert(connection: Connection, table: str, **columns: Any) -> UUID:
    row_id = columns.setdefault("id", new_id())
    names = ", ".join(columns)
    places = ", ".join(f"${number}" for number in range(1, len(columns) + 1))
    await connection.execute(f"INSERT INTO {table} ({names}) VALUES ({places})", *columns.values())
    return row_id


async def make_team(connection: Connection, **columns: Any) -> UUID:
    """A team; UTC unless told otherwise."""
    return await _insert(connection, "teams", **{"name": "Team", **columns})


async def make_role(
    connection: Connection, team_id: UUID, *permissions: str, is_admin: bool = False, name: str | None = None
) -> UUID:
    """A role with some permissions."""
    row_id = new_id()
    return await _insert(
        connection,
        "roles",
        id=row_id,
        team_id=team_id,
        name=name or f"Role {row_id}",
        permissions=[str(permission) for permission in permissions],
        is_admin=is_admin,
        built_in=is_admin,
    )


async def make_group(connection: Connection, team_id: UUID, name: str, parent_id: UUID | None = None) -> UUID:
    """A group."""
    return await _insert(connection, "groups", team_id=team_id, name=name, parent_id=parent_id)


async def make_user(
    connection: Connection,
    team_id: UUID,
    role_id: UUID,
    *,
    email: str | None = None,
    name: str | None = None,
    **columns: Any,
) -> UUID:
    """A user."""
    row_id = new_id()
    address = email or f"{row_id.hex}@example.test"
    return await _insert(
        connection,
        "users",
        **{"id": row_id, "team_id": team_id, "role_id": role_id, "email": address, "name": name or address, **columns},
    )


async def viewer_of(connection: Connection, user_id: UUID) -> Identity:
    """A user as they stand now."""
    team_id = await connection.fetchval("SELECT team_id FROM users WHERE id = $1", user_id)
    identity = await identify_user(connection, team_id, user_id)
    assert identity is not None
    return identity
