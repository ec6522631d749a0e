"""Looks through every column of every table of a team for texts, whatever the tables are."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from domain.database import Connection

TEXTS = ("text", "character varying", "json", "jsonb", "ARRAY", "name", "xml")


async def find_traces(connection: Connection, team_id: UUID, needles: Iterable[str]) -> set[tuple[str, str, str]]:
    """Where a team's rows hold one of some texts, in any case: (table, column, text). Needs the owner's connection."""
    columns = await connection.fetch(
        """
        SELECT c.table_name, c.column_name, c.data_type FROM information_schema.columns c
        JOIN pg_class t ON t.oid = format('public.%I', c.table_name)::regclass AND NOT t.relispartition
        WHERE c.table_schema = 'public' AND t.relkind IN ('r', 'p') ORDER BY 1, 2
        """
    )
    owned = {row["table_name"] for row in columns if row["column_name"] == "team_id"}
    found = set()
    for table, column, kind in columns:
        if kind not in TEXTS and kind != "bytea":
            continue
        # A table without teams is looked through as a whole.
        condition = "team_id = $1" if table in owned else "id = $1" if table == "teams" else "$1::uuid IS NOT NULL"
        for needle in needles:
            # JSON may have written what is not ASCII or is a quote with escapes: needles are plain words.
            assert needle.isascii()
            if kind == "bytea":
                matches, given = f"position($2::bytea IN {column}) > 0", needle.encode()
            else:
                matches, given = f"strpos(lower({column}::text), $2) > 0", needle.lower()
            if await connection.fetchval(
                f"SELECT EXISTS (SELECT 1 FROM {table} WHERE {condition} AND {matches})", team_id, given
            ):
                found.add((table, column, needle))
    return found
