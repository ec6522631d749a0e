"""Migrations beside those who work on the database.

Invariants:
A. A migration that does not get a lock lets those behind it pass, tries again, and ends with an error that says who is
   in the way; what was applied before it stays, nothing of it does, and the next run goes on.
B. A migration and its record are there together or not at all.
C. Two migrators take turns, an index made beside others included, and each migration is applied once.
D. An index is made beside writers, on partitioned tables too; what an interrupted run left is made anew.
E. A version works on a database that is ahead of it, and knows one that is behind.
F. A statement that a migration made stale is prepared anew, within a transaction too.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from tortoise import fields
from tortoise.migrations import operations as ops
from tortoise.migrations.graph import MigrationKey
from tortoise.migrations.loader import MigrationLoader
from tortoise.migrations.migration import Migration
from tortoise.migrations.recorder import MigrationRecorder

from domain import database as domain_database
from domain import migrating
from domain.database import ALL_TEAMS, acquire, in_transaction, is_migrated, migrate
from domain.errors import Unavailable
from domain.migrating import AddIndexConcurrently, known_migrations, missing_migrations
from tests.factories import make_team
from tests.services import TEMPLATE, at_database, execute

LAST = known_migrations()[-1]
Offer = Callable[..., None]


class AddNote(Migration):
    """The next version's, in one transaction."""

    dependencies = [("sideline", LAST)]
    operations = [
        ops.AddField("Goal", "note", fields.CharField(max_length=80, db_default="")),
        ops.AddField("Team", "motto", fields.CharField(max_length=80, db_default="")),
    ]


class AddIndexes(Migration):
    """The one after it, beside others."""

    dependencies = [("sideline", "0901_note")]
    atomic = False
    operations = [
        AddIndexConcurrently("goals_note_idx", "goals", "(team_id, note)"),
        AddIndexConcurrently("activities_title_idx", "activities", "(team_id, user_id, kind)"),
    ]


@pytest.fixture
async def url(services: dict[str, str]) -> AsyncIterator[str]:
    """A migrated database of the test's own."""
    name = f"migrating_{uuid4().hex}"
    await execute(services["database"], f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
    yield at_database(services["database"], name)
    await execute(services["database"], f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def offer(monkeypatch: pytest.MonkeyPatch) -> Offer:
    """Makes this process a version that has more migrations."""
    load = MigrationLoader.load_disk

    def offer(**more: type[Migration]) -> None:
        def load_disk(self: MigrationLoader) -> None:
            load(self)
            for name, kind in more.items():
                key = MigrationKey("sideline", name.removeprefix("m"))
                self.disk_migrations[key] = kind(key.name, "sideline")

        names = (*known_migrations(), *(name.removeprefix("m") for name in more))
        monkeypatch.setattr(MigrationLoader, "load_disk", load_disk)
        monkeypatch.setattr(migrating, "known_migrations", lambda: names)

    return offer


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Locks are given up soon, and tried for three times."""
    monkeypatch.setattr(domain_database, "LOCK_SECONDS", 0.3)
    monkeypatch.setattr(migrating, "LOCK_PAUSES_SECONDS", (0.1, 0.1))


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[asyncpg.Connection[Any]]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def columns(url: str, table: str) -> set[str]:
    async with connected(url) as connection:
        rows = await connection.fetch("SELECT column_name FROM information_schema.columns WHERE table_name = $1", table)
    return {row["column_name"] for row in rows}


async def test_who_holds_a_lock_is_waited_for_and_others_pass(url: str, offer: Offer, quick: None) -> None:
    """A."""
    offer(m0901_note=AddNote)
    said: list[str] = []
    async with connected(url) as holder, connected(url) as reader:
        await holder.execute("SET application_name = 'nightly report'")
        transaction = holder.transaction()
        await transaction.start()
        await holder.execute("LOCK TABLE teams IN ACCESS SHARE MODE")
        migration = asyncio.ensure_future(migrate(url, said.append, said.append))
        while not said:
            # A lock that is asked for in vain keeps readers waiting no longer than it is asked for.
            async with asyncio.timeout(2):
                await reader.fetchval("SELECT count(*) FROM teams")
                await reader.fetchval("SELECT count(*) FROM goals")
        await transaction.rollback()
        async with asyncio.timeout(20):
            await migration
    assert "nightly report" in said[0]
    assert said[-1] == "0901_note"
    assert "note" in await columns(url, "goals")
    assert "motto" in await columns(url, "teams")


async def test_who_never_lets_go_is_named(url: str, offer: Offer, quick: None) -> None:
    """A."""

    class After(Migration):
        dependencies = [("sideline", "0901_note")]
        operations = [
            ops.AddField("User", "nick", fields.CharField(max_length=80, db_default="")),
            ops.AddField("Role", "nick", fields.CharField(max_length=80, db_default="")),
        ]

    offer(m0901_note=AddNote, m0902_after=After)
    applied: list[str] = []
    async with connected(url) as holder:
        await holder.execute("SET application_name = 'forgotten'")
        transaction = holder.transaction()
        await transaction.start()
        await holder.execute("LOCK TABLE roles IN ACCESS SHARE MODE")
        with pytest.raises(Unavailable, match=r"0902_after .*forgotten.*run `sideline migrate` again"):
            await migrate(url, applied.append)
        assert applied == ["0901_note"]
        assert "nick" not in await columns(url, "users")
        assert await missing_migrations(holder) == ["0902_after"]
        await transaction.rollback()
    await migrate(url, applied.append)
    assert applied == ["0901_note", "0902_after"]
    assert "nick" in await columns(url, "roles")


async def test_a_migration_and_its_record_are_one(url: str, offer: Offer, monkeypatch: pytest.MonkeyPatch) -> None:
    """B."""
    offer(m0901_note=AddNote)

    async def dies(*_arguments: object) -> None:
        raise ConnectionResetError

    with monkeypatch.context() as patch:
        patch.setattr(MigrationRecorder, "record_applied", dies)
        with pytest.raises(ConnectionResetError):
            await migrate(url)
    assert "note" not in await columns(url, "goals")
    await migrate(url)
    assert "note" in await columns(url, "goals")


MIGRATE = """
import asyncio, sys
from tortoise.migrations.graph import MigrationKey
from tortoise.migrations.loader import MigrationLoader
from domain.database import migrate
from tests.domain.test_migrating import AddIndexes, AddNote
load = MigrationLoader.load_disk
def more(self):
    load(self)
    for name, kind in (("0901_note", AddNote), ("0902_indexes", AddIndexes)):
        self.disk_migrations[MigrationKey("sideline", name)] = kind(name, "sideline")
MigrationLoader.load_disk = more
asyncio.run(migrate(sys.argv[1], print, lambda text: print(text, file=sys.stderr)))
"""


async def test_two_migrators_take_turns(url: str) -> None:
    """C. Were the second one's waiting a statement, the index would wait for its end, and it for the index's."""

    async def start() -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-c", MIGRATE, url, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )

    runs = []
    async with asyncio.timeout(60), connected(url) as writer, connected(url) as looker:
        try:
            transaction = writer.transaction()
            await transaction.start()
            team_id = await make_team(writer)
            runs.append(await start())
            while not await looker.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
                await asyncio.sleep(0.05)
            runs.append(await start())
            assert runs[1].stderr is not None
            assert b"takes its turn" in await runs[1].stderr.readline()
            await transaction.commit()
            said = [(await run.communicate())[0].decode() for run in runs]
        finally:
            for run in runs:
                if run.returncode is None:
                    run.kill()
    assert [run.returncode for run in runs] == [0, 0], said
    assert said == ["0901_note\n0902_indexes\n", ""]
    async with connected(url) as connection:
        assert await connection.fetchval("SELECT motto FROM teams WHERE id = $1", team_id) == ""


async def indexes(connection: Any) -> dict[str, bool]:
    rows = await connection.fetch(
        "SELECT indexrelid::regclass::text AS name, indisvalid FROM pg_index "
        "WHERE indexrelid::regclass::text ~ 'note_idx|title_idx'"
    )
    return {row["name"]: row["indisvalid"] for row in rows}


async def test_an_index_beside_writers(url: str, offer: Offer, quick: None) -> None:
    """D."""
    offer(m0901_note=AddNote, m0902_indexes=AddIndexes)
    async with connected(url) as connection, connected(url) as writer:
        partitions = [
            row["name"]
            for row in await connection.fetch(
                "SELECT relid::regclass::text AS name FROM pg_partition_tree('activities') WHERE isleaf"
            )
        ]
        years = {f"{name}_title_idx" for name in partitions}
        half = f"{partitions[0]}_title_idx"
        # What a run leaves that ended in the middle.
        await connection.execute(f"CREATE INDEX {half} ON {partitions[0]} (team_id, user_id, kind)")
        await connection.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = to_regclass($1)", half)
        before = await connection.fetchval("SELECT to_regclass($1)::oid", half)
        transaction = writer.transaction()
        await transaction.start()
        await writer.execute("LOCK TABLE activities IN ROW EXCLUSIVE MODE")
        running = asyncio.ensure_future(migrate(url))
        waits = "SELECT count(*) FROM pg_locks WHERE locktype = 'virtualxid' AND NOT granted"
        async with asyncio.timeout(20):
            while not await connection.fetchval(waits) and not running.done():
                await asyncio.sleep(0.02)
            # Longer than a lock is waited for, and writers still pass.
            await asyncio.sleep(0.5)
            assert not running.done()
            await make_team(connection)
            await transaction.commit()
            await running
        made = await indexes(connection)
        assert set(made) == years | {"goals_note_idx", "activities_title_idx"}
        assert all(made.values())
        assert await connection.fetchval("SELECT to_regclass($1)::oid", half) != before
        # Again, as when it ended before it was recorded.
        await connection.execute("DELETE FROM tortoise_migrations WHERE name = '0902_indexes'")
        await connection.execute("DROP INDEX goals_note_idx")
        await migrate(url)
        assert await indexes(connection) == made


async def test_a_database_that_is_ahead_or_behind(url: str, offer: Offer, monkeypatch: pytest.MonkeyPatch) -> None:
    """E."""
    with monkeypatch.context() as patch:
        older = known_migrations()
        offer(m0901_note=AddNote)
        await migrate(url)
        patch.setattr(migrating, "known_migrations", lambda: older)
    monkeypatch.undo()
    applied: list[str] = []
    await migrate(url, applied.append)
    assert applied == []
    await domain_database.connect(url, pool_size=2)
    try:
        assert await is_migrated()
        async with acquire(ALL_TEAMS) as connection:
            await connection.execute("DELETE FROM tortoise_migrations WHERE name = $1", LAST)
            assert await missing_migrations(connection) == [LAST]
        assert not await is_migrated()
    finally:
        await domain_database.disconnect()


async def test_stale_statements_are_prepared_anew(url: str) -> None:
    """F."""
    await domain_database.connect(url, pool_size=2)
    try:
        async with acquire(ALL_TEAMS) as connection:
            team_id = await make_team(connection)

        async def look(connection: domain_database.Connection) -> list[str]:
            return list((await connection.fetchrow("SELECT * FROM teams WHERE id = $1", team_id) or {}).keys())

        before = await in_transaction(team_id, look)
        await execute(url, "ALTER TABLE teams ADD COLUMN motto text NOT NULL DEFAULT ''")
        assert await in_transaction(team_id, look) == [*before, "motto"]
    finally:
        await domain_database.disconnect()
