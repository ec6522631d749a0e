"""Documents that syncs keep (domain/sync.py), where activities or people have gone: what may be kept of them no longer.

A document goes with the last activity that it came to. One that came to activities of others too is theirs as well, and
stays. A document that came to none is of whom it names.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson

from domain import integrations
from domain.erased_names import Search

if TYPE_CHECKING:
    from domain.database import Connection

LOT = 500
"""Documents that are looked through in one transaction; each may be large."""
PLACEHOLDER = "Erased account"


async def forget_with_activities(
    connection: Connection, team_id: UUID, gone: Sequence[tuple[str, str]], *, ended: bool
) -> None:
    """Forget the documents that came to none but these activities, whose keys have gone already.

    Served by synced_documents_external_ids_idx and activity_keys_key.

    Args:
        connection: In the transaction that removes the activities.
        team_id: The team.
        gone: The activities, by source and external id.
        ended: Only documents to which nothing more is to come as time goes by, such as a series of meetings has.
    """
    if not gone or not await connection.fetchval(
        "SELECT EXISTS (SELECT 1 FROM synced_documents WHERE team_id = $1)", team_id
    ):
        return
    await connection.execute(
        """
        DELETE FROM synced_documents WHERE id IN (
            SELECT d.id FROM unnest($2::text[], $3::text[]) g (source, name)
            JOIN synced_documents d ON d.team_id = $1 AND d.external_ids @> ARRAY[g.name]
            WHERE (d.again_at IS NULL OR NOT $4) AND NOT EXISTS (
                SELECT 1 FROM unnest(d.external_ids) x (name)
                JOIN activity_keys k ON k.team_id = $1 AND k.source = g.source AND k.external_id = x.name
                WHERE k.occurred_at IS NOT NULL
            )
        )
        """,
        team_id,
        [source for source, _name in gone],
        [name for _source, name in gone],
        ended,
    )


async def erase_connections(connection: Connection, team_id: UUID, user_id: UUID) -> None:
    """Forget a person's own connections, with their secrets, documents and what an account may still be asked."""
    rows = await connection.fetch(
        "SELECT account_id FROM integrations WHERE team_id = $1 AND owner_id = $2", team_id, user_id
    )
    await integrations.end_of_user(connection, team_id, user_id)
    await connection.execute(
        "DELETE FROM account_budgets b USING unnest($2::text[]) a (id) "
        "WHERE b.team_id = $1 AND strpos(b.account, a.id) > 0",
        team_id,
        [row["account_id"] for row in rows if row["account_id"]],
    )


async def erase_documents(
    connection: Connection, team_id: UUID, search: Search, after: UUID
) -> tuple[int, UUID | None]:
    """Forget documents that name a person and came to no activity, or were refused; one lot, by their ids. Returns how
    many, and the last that was looked at; None at the end."""
    rows = await connection.fetch(
        """
        SELECT id, data, state FROM synced_documents
        WHERE team_id = $1 AND id > $2 AND (external_ids = '{}' OR mapped IS NULL) AND again_at IS NULL
        ORDER BY id LIMIT $3
        """,
        team_id,
        after,
        LOT,
    )
    named = [
        row["id"]
        for row in rows
        if search.finds_in_document(row["data"]) or search.finds_in_document(row["state"] or "")
    ]
    await connection.execute(
        "DELETE FROM synced_documents WHERE team_id = $1 AND id = ANY ($2::uuid[])", team_id, named
    )
    return len(named), rows[-1]["id"] if rows else None


async def erase_refused_documents(
    connection: Connection, team_id: UUID, search: Search, after: UUID
) -> tuple[int, UUID | None]:
    """The same of documents that wait in quarantine."""
    rows = await connection.fetch(
        "SELECT id, data, reason FROM quarantined_documents WHERE team_id = $1 AND id > $2 ORDER BY id LIMIT $3",
        team_id,
        after,
        LOT,
    )
    named = [
        row["id"] for row in rows if search.finds_in_document(row["data"]) or search.finds_in_document(row["reason"])
    ]
    await connection.execute(
        "DELETE FROM quarantined_documents WHERE team_id = $1 AND id = ANY ($2::uuid[])", team_id, named
    )
    return len(named), rows[-1]["id"] if rows else None


async def erase_from_connections(connection: Connection, team_id: UUID, search: Search) -> int:
    """Take a person out of what the team's connections say of themselves: samples, the account, the last error.
    Returns how many connections did."""
    rows = await connection.fetch(
        "SELECT id, account_name, samples, last_error FROM integrations WHERE team_id = $1 FOR NO KEY UPDATE", team_id
    )
    count = 0
    for row in rows:
        samples = [
            one for one in orjson.loads(row["samples"]) if not search.finds_in_document(orjson.dumps(one).decode())
        ]
        columns: dict[str, Any] = {}
        if len(samples) < len(orjson.loads(row["samples"])):
            columns["samples"] = orjson.dumps(samples).decode()
        if row["account_name"] and search.finds_in_document(row["account_name"]):
            columns["account_name"] = PLACEHOLDER
        if row["last_error"] and search.finds_in_document(row["last_error"]):
            columns["last_error"] = None
        if columns:
            count += 1
            assignments = ", ".join(f"{name} = ${place}" for place, name in enumerate(columns, 3))
            await connection.execute(
                f"UPDATE integrations SET {assignments} WHERE team_id = $1 AND id = $2",
                team_id,
                row["id"],
                *columns.values(),
            )
    return count


async def prune_refused(connection: Connection, before: UUID, lot: int) -> int:
    """Forget quarantined documents whose ids are smaller, and which are thus older; one lot. Returns how many. The
    vendor has them still."""
    rows = await connection.fetch(
        "DELETE FROM quarantined_documents WHERE id IN (SELECT id FROM quarantined_documents WHERE id < $1 LIMIT $2) "
        "RETURNING 1",
        before,
        lot,
    )
    return len(rows)
