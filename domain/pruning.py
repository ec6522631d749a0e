"""Forgetting rows whose time has passed."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from domain.database import Connection


async def prune_by_age(connection: Connection, table: str, column: str, lot: int, kept: timedelta = timedelta()) -> int:
    """Forget rows of a table whose instant in a column is older than they are kept; one lot. Needs the owner's
    connection. Returns how many.

    Team by team, served by the table's index on (team_id, the column).
    """
    rows = await connection.fetch(
        f"""
        DELETE FROM {table} WHERE (team_id, id) IN (
            SELECT p.team_id, p.id FROM teams t CROSS JOIN LATERAL (
                SELECT x.team_id, x.id FROM {table} x
                WHERE x.team_id = t.id AND x.{column} < now() - $1::interval LIMIT $2
            ) p LIMIT $2
        ) RETURNING 1
        """,
        kept,
        lot,
    )
    return len(rows)
