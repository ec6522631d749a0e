"""PostgreSQL itself keeps teams apart.

Invariants:
A. A connection for a team sees, changes and removes no row of another team, whatever its statement says.
B. It cannot write a row into another team either.
C. A connection without a team sees nothing.
D. Every table that holds a team's rows stands behind the wall; a new one fails here until it does.
E. With the filter of the domain's own queries taken out, their answers stay within the team.
F. Partitions cannot be reached round their tables; the audit log cannot be changed or removed.
"""

from __future__ import annotations

import asyncpg
import pytest

from domain import database as domain_database
from domain import people
from domain.access import Sight
from domain.database import ALL_TEAMS, acquire
from domain.models.base import new_id
from domain.paging import page_request
from domain.people import UserFilter, UserOrder
from tests.factories import make_group, make_role, make_team, make_user


async def two_teams() -> list[tuple[object, object]]:
    made = []
    async with acquire(ALL_TEAMS) as connection:
        for _ in range(2):
            team_id = await make_team(connection)
            await make_group(connection, team_id, "Group")
            made.append((team_id, await make_user(connection, team_id, await make_role(connection, team_id))))
    return made


async def test_a_team_never_touches_another(database: str) -> None:
    (ours, our_user), (theirs, their_user) = await two_teams()
    async with acquire(ours) as connection:  # type: ignore[arg-type]
        for table in ("users", "roles", "groups"):
            assert {row["team_id"] for row in await connection.fetch(f"SELECT team_id FROM {table}")} == {ours}
        assert [row["id"] for row in await connection.fetch("SELECT id FROM teams")] == [ours]
        assert await connection.execute("UPDATE users SET name = 'x'") == "UPDATE 1"
        assert await connection.execute("UPDATE users SET name = 'x' WHERE id = $1", their_user) == "UPDATE 0"
        assert await connection.execute("DELETE FROM groups WHERE team_id = $1", theirs) == "DELETE 0"
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
            await connection.execute("UPDATE users SET team_id = $1 WHERE id = $2", theirs, our_user)
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
            await make_group(connection, theirs, "Ours now")  # type: ignore[arg-type]
    # The same pooled connection, for the other team.
    async with acquire(theirs) as connection:  # type: ignore[arg-type]
        assert [row["id"] for row in await connection.fetch("SELECT id FROM users")] == [their_user]


async def test_without_a_team_nothing_is_seen(database: str) -> None:
    await two_teams()
    async with database_pool().acquire() as connection:
        await connection.execute("SELECT set_config($1, '', false)", "sideline.team")
        assert await connection.fetchval("SELECT count(*) FROM users") == 0
        assert await connection.fetchval("SELECT count(*) FROM teams") == 0
        await connection.execute("SELECT set_config($1, $2, false)", "sideline.team", str(new_id()))
        assert await connection.fetchval("SELECT count(*) FROM users") == 0


def database_pool() -> asyncpg.Pool:
    return domain_database._pool(new_id())


async def test_a_query_without_its_filter_stays_within_the_team(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (ours, our_user), (theirs, _) = await two_teams()
    monkeypatch.setattr(Sight, "filter", lambda self, column, arguments, *, team_column="team_id": "true")
    everybody = Sight(theirs, True, frozenset())  # type: ignore[arg-type]
    async with acquire(ALL_TEAMS) as connection:
        page = await people.list_users(connection, everybody, UserFilter(), UserOrder.NAME, page_request(100, None))
        assert len({user.team_id for user in page.nodes}) > 1, "without wall and filter all teams would be seen"
    async with acquire(ours) as connection:  # type: ignore[arg-type]
        page = await people.list_users(connection, everybody, UserFilter(), UserOrder.NAME, page_request(100, None))
        assert [user.id for user in page.nodes] == [our_user]
        assert await people.count_users(connection, everybody, UserFilter()) == 1


async def test_every_table_stands_behind_the_wall(database: str) -> None:
    async with acquire(ALL_TEAMS) as connection:
        rows = await connection.fetch(
            """
            SELECT c.relname, c.relrowsecurity, p.polname,
                has_table_privilege('sideline_app', c.oid, 'SELECT') AS readable, c.relispartition
            FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = 'public'
            LEFT JOIN pg_policy p ON p.polrelid = c.oid
            WHERE c.relkind IN ('r', 'p')
            """
        )
    assert rows
    for row in rows:
        if row["relispartition"] or not row["readable"]:
            assert not row["readable"], f"{row['relname']}: a partition is reached through its table alone"
            continue
        assert row["relrowsecurity"], f"{row['relname']} shows sideline_app all teams: wall it in a migration"
        assert row["polname"], row["relname"]
    unreadable = {row["relname"] for row in rows if not row["readable"] and not row["relispartition"]}
    assert len(unreadable) == 1, f"only the migrations' own table is closed to the application: {unreadable}"


async def test_the_audit_log_is_only_added_to(database: str) -> None:
    (ours, _), _ = await two_teams()
    async with acquire(ours) as connection:  # type: ignore[arg-type]
        for statement in (
            "DELETE FROM audit_entries",
            "UPDATE audit_entries SET action = 'x'",
            "TRUNCATE audit_entries",
            "SELECT * FROM activities_2026",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
