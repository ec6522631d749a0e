"""A backup and the archived log bring back the installation as it was at any moment, as docs/operating.md says.

A. Restored to the moment before a disaster, everything committed until then is there and nothing of after.
B. The audit log's chain of hashes verifies, and the installation goes on: positions of events follow on each other.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from urllib.parse import unquote, urlsplit
from uuid import UUID

import asyncpg
import pytest

from cli.embedded.postgres import EmbeddedPostgres, binaries
from cli.embedded.processes import Launcher
from domain import audit, events, goals
from domain.audit import AuditAction
from domain.goals import SetGoals, Subject
from domain.models.goals import GoalPeriod
from tests.factories import make_role, make_team, make_user, viewer_of
from tests.services import lay_migrated_data


@pytest.fixture
def primary(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    """A server that archives its log."""
    made = EmbeddedPostgres(tmp_path / "primary")
    lay_migrated_data(made.folder)
    archive = tmp_path / "archive"
    archive.mkdir(mode=0o777)
    archive.chmod(0o777)
    with (made.data / "postgresql.auto.conf").open("a") as settings:
        settings.write(f"archive_mode = on\narchive_command = 'test ! -f {archive}/%f && cp %p {archive}/%f'\n")
    made.start()
    yield made
    made.stop()


class Installation:
    """A team whose admin sets a rep's goal, again and again."""

    team_id: UUID
    admin: UUID
    rep: UUID

    async def make(self, connection: asyncpg.Connection) -> None:
        self.team_id = await make_team(connection)
        role = await make_role(connection, self.team_id, is_admin=True, name="Admin")
        self.admin = await make_user(connection, self.team_id, role)
        self.rep = await make_user(connection, self.team_id, role)

    async def set_goal(self, connection: asyncpg.Connection, target: int) -> None:
        viewer = await viewer_of(connection, self.admin)
        wanted = SetGoals("CALLS_LOGGED", GoalPeriod.MONTH, Decimal(target), (Subject(self.rep, None, ()),))
        async with connection.transaction():
            # Its events come last.
            told = audit.NewEntry(AuditAction.USER_UPDATED, ("User", self.rep), after={"target": target})
            await audit.record(connection, viewer, [told])
            await goals.set_goals(connection, viewer, wanted, datetime.now(UTC))

    async def targets(self, connection: asyncpg.Connection) -> list[int]:
        found = await events.read_events(connection, self.team_id, 0, 1_000)
        assert [event.position for event in found] == list(range(1, len(found) + 1))
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            verified = await audit.verify(connection, self.team_id)
        assert verified.reason is None
        assert verified.entries == len(found)
        return [int(Decimal(event.payload["after"]["target"])) for event in found]


async def test_to_the_moment_before_a_disaster(primary: EmbeddedPostgres, tmp_path: Path) -> None:
    """A, B."""
    programs = binaries()
    address = urlsplit(primary.url)
    connection = await asyncpg.connect(primary.url)
    installation = Installation()
    await installation.make(connection)
    await installation.set_goal(connection, 1)

    folder = tmp_path / "restored"
    folder.mkdir(mode=0o700)
    launcher = Launcher([folder / "data", programs / "pg_basebackup"], lambda _text: None)
    if launcher.owner:
        os.chown(folder, *launcher.owner)
    where = f"host=127.0.0.1 port={address.port} user={address.username} password={unquote(address.password or '')}"
    backup = [str(programs / "pg_basebackup"), "-D", str(folder / "data"), "-d", where, "-X", "stream", "-c", "fast"]
    await asyncio.to_thread(launcher.run, backup)

    await installation.set_goal(connection, 2)
    await installation.set_goal(connection, 3)
    moment = await connection.fetchval("SELECT clock_timestamp()")
    await installation.set_goal(connection, 4)
    await connection.execute("DELETE FROM goal_versions; DELETE FROM events")
    last = await connection.fetchval("SELECT pg_walfile_name(pg_switch_wal())")
    async with asyncio.timeout(30):
        while not await connection.fetchval("SELECT last_archived_wal >= $1 FROM pg_stat_archiver", last):
            await asyncio.sleep(0.05)
    await connection.close()
    await asyncio.to_thread(primary.stop)

    shutil.copy(primary.folder / "password", folder / "password")
    restored = EmbeddedPostgres(folder)
    with (folder / "data" / "postgresql.auto.conf").open("a") as settings:
        settings.write(
            f"archive_mode = off\nrestore_command = 'cp {tmp_path}/archive/%f %p'\n"
            f"recovery_target_time = '{moment.isoformat()}'\nrecovery_target_action = promote\n"
        )
    (folder / "data" / "recovery.signal").touch()
    await asyncio.to_thread(restored.start)
    try:
        connection = await asyncpg.connect(restored.url)
        async with asyncio.timeout(30):
            while await connection.fetchval("SELECT pg_is_in_recovery()"):
                await asyncio.sleep(0.05)
        assert await installation.targets(connection) == [1, 2, 3]
        await installation.set_goal(connection, 5)
        assert await installation.targets(connection) == [1, 2, 3, 5]
        await connection.close()
    finally:
        await asyncio.to_thread(restored.stop)
