"""Connections whose process stands still.

Invariant: a transaction that its process has left standing ends, its rows are free for others, and who comes back to it
is told so by an error that is tried again.
"""

from __future__ import annotations

import asyncpg
import pytest

from domain.database import ALL_TEAMS, CONNECTION_ERRORS, acquire, connect, disconnect, transaction
from tests.factories import make_team


@pytest.mark.usefixtures("database")
async def test_a_transaction_that_stands_still_ends(database_url: str) -> None:
    async with acquire(ALL_TEAMS) as connection:
        team_id = await make_team(connection)
    await disconnect()
    await connect(database_url, idle_seconds=0.2)
    other = await asyncpg.connect(database_url)
    try:

        async def stand_still() -> None:
            async with transaction(team_id) as connection:
                await connection.execute("UPDATE teams SET name = 'mine' WHERE id = $1", team_id)
                # Waits for the row until PostgreSQL takes it from whoever stands still.
                await other.execute("UPDATE teams SET name = 'yours' WHERE id = $1", team_id)
                await connection.execute("UPDATE teams SET name = 'mine after all' WHERE id = $1", team_id)

        with pytest.raises(CONNECTION_ERRORS):
            await stand_still()
        assert await other.fetchval("SELECT name FROM teams WHERE id = $1", team_id) == "yours"
        async with transaction(team_id) as connection:
            assert await connection.fetchval("SELECT name FROM teams WHERE id = $1", team_id) == "yours"
    finally:
        await other.close()
