"""Queries that are answered by a streaming replica which is seconds behind.

A. Whoever changed something sees it at once, by every API process, whatever the replica shows.
B. Others may see the time before, for as long as the replica is behind: it is read.
C. Who may see what is as it is now.
D. A replica that is away is not asked: everything goes on.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from uuid import UUID

import asyncpg
import httpx
import pytest

from cli.embedded.postgres import binaries
from cli.embedded.processes import Launcher, free_port, wait_until
from domain.models.people import Permission
from domain.tokens import create_token
from tests.factories import make_role, make_user
from tests.running.cluster import Cluster

BEHIND_SECONDS = 3
SETTINGS = "query { teamSettings { workWeek } }"
CHANGE = """mutation($week: [Weekday!]!) { updateTeamSettings(input: {workWeek: $week}) {
    settings { workWeek } errors { message } } }"""


class Standby:
    """A streaming replica of a cluster's PostgreSQL, some seconds behind."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.data = folder / "data"
        primary = urlsplit(cluster.postgres.url)
        port = free_port()
        self.url = cluster.postgres.url.replace(f":{primary.port}/", f":{port}/")
        programs = binaries()
        folder.mkdir(mode=0o700)
        launcher = Launcher([self.data, programs / "postgres"], lambda _text: None)
        if launcher.owner:
            os.chown(folder, *launcher.owner)
        password = unquote(primary.password or "")
        address = f"host=127.0.0.1 port={primary.port} user={primary.username} password={password}"
        launcher.run(
            [str(programs / "pg_basebackup"), "-D", str(self.data), "-d", address, "-R", "-X", "stream", "-c", "fast"]
        )
        command = [str(programs / "postgres"), "-D", str(self.data), "-c", f"port={port}"]
        for setting in (
            "unix_socket_directories=",
            "listen_addresses=127.0.0.1",
            "max_connections=200",
            f"recovery_min_apply_delay={BEHIND_SECONDS}s",
        ):
            command += ["-c", setting]
        log = folder / "postgres.log"
        self.process = launcher.start(command, log, on_orphaned=signal.SIGINT)
        wait_until(self._ready, seconds=60, process=self.process, what="the standby", log=log)

    def _ready(self) -> bool:
        file = self.data / "postmaster.pid"
        lines = file.read_text().splitlines() if file.exists() else []
        return len(lines) > 7 and lines[7].strip() in {"ready", "standby"}

    def stop(self) -> None:
        """Stop it."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(30)


@pytest.fixture
def replicated(tmp_path: Path) -> Iterator[tuple[Cluster, Standby]]:
    (tmp_path / "cluster").mkdir()
    cluster = Cluster(tmp_path / "cluster", api_count=2)
    standbys: list[Standby] = []

    def add_standby() -> dict[str, str]:
        standbys.append(Standby(cluster, tmp_path / "standby"))
        return {"SIDELINE_REPLICA_URL": standbys[0].url}

    try:
        cluster.start(before=add_standby)
        yield cluster, standbys[0]
    finally:
        cluster.stop()
        for standby in standbys:
            standby.stop()


async def test_a_replica_that_is_behind(replicated: tuple[Cluster, Standby]) -> None:
    """A to D."""
    cluster, standby = replicated
    team_id, mine, _reps = await cluster.make_team()

    async def another(connection: asyncpg.Connection) -> tuple[str, UUID]:
        role = await make_role(connection, team_id, "MANAGE_TEAM", name="Manager")
        user = await make_user(connection, team_id, role)
        return (await create_token(connection, team_id, user, name="test")).text, role

    theirs, role = await cluster.run(another)
    async with httpx.AsyncClient(timeout=30) as client:

        async def ask(url: str, token: str, document: str, **variables: Any) -> Any:
            sent = {"query": document, "variables": variables}
            answer = await client.post(f"{url}/graphql", json=sent, headers={"authorization": f"Bearer {token}"})
            return answer.json()

        async def week(url: str, token: str) -> list[str]:
            found: list[str] = (await ask(url, token, SETTINGS))["data"]["teamSettings"]["workWeek"]
            return found

        async def all_shown(token: str, wanted: list[str]) -> None:
            async with asyncio.timeout(30):
                while any([await week(url, token) != wanted for url in cluster.urls]):
                    await asyncio.sleep(0.05)

        seen_before = 0
        changes = itertools.cycle((["MONDAY"], ["MONDAY", "FRIDAY"], ["TUESDAY"], ["SUNDAY"]))
        async with asyncio.timeout(60):
            # The replica is used from when it is known to be less than a few seconds behind.
            while seen_before < 6:
                days = next(changes)
                changed = await ask(cluster.urls[0], mine, CHANGE, week=days)
                assert changed["data"]["updateTeamSettings"]["errors"] == []
                for url in cluster.urls:
                    assert await week(url, mine) == days  # A
                    seen_before += await week(url, theirs) != days  # B
                await asyncio.sleep(0.1)

        async def forbid(connection: asyncpg.Connection) -> None:
            await connection.execute("UPDATE roles SET permissions = '{}' WHERE id = $1", role)

        await cluster.run(forbid)
        refused = await ask(cluster.urls[1], theirs, "{ webhookEndpoints { id } }")
        assert refused["errors"][0]["extensions"]["permission"] == Permission.MANAGE_TEAM  # C

        await all_shown(theirs, days)
        await asyncio.to_thread(standby.stop)
        changed = await ask(cluster.urls[0], mine, CHANGE, week=["SATURDAY"])
        assert changed["data"]["updateTeamSettings"]["settings"] == {"workWeek": ["SATURDAY"]}
        await all_shown(theirs, ["SATURDAY"])  # D
