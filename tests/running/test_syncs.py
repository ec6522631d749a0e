"""A sync on real processes that are killed at any point.

Invariant: whatever dies in the middle of a sync (kill -9 of the worker, a Redis that comes back empty, PostgreSQL), the
work goes on by itself and ends with every activity there once, and the rollups those of a count of its own.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import httpx
import pytest

from domain import database
from domain.metrics import BASE_SUM_NAMES
from tests.oracle.recount import newest, recount
from tests.records import random_record
from tests.running.cluster import Cluster

ROWS, FILES = 12_000, 8
KILLS = ("worker", "redis", "worker", "postgres")
CONNECT = """mutation($input: ConnectIntegrationInput!) { connectIntegration(input: $input) {
    integration { id } errors { message } } }"""
WATCH = "{ integrations { status lastSyncedAt lastError quarantined } }"


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """An installation that may read files below the test's folder."""
    cluster = Cluster(tmp_path)
    cluster.more = {"SIDELINE_IMPORT_ROOTS": str(tmp_path / "files")}
    cluster.start()
    yield cluster
    cluster.stop()


async def _hurry(cluster: Cluster) -> None:
    """What the dead worker held lapses now rather than in half a minute; a retry that waits is due."""

    async def work(connection: Any) -> None:
        await connection.execute("UPDATE jobs SET leased_until = now() WHERE state = 'RUNNING'")
        await connection.execute("UPDATE jobs SET due_at = now() WHERE state = 'SCHEDULED'")

    await cluster.run(work)


async def _count(cluster: Cluster, team_id: UUID) -> int:
    count: int = await cluster.run(
        lambda connection: connection.fetchval("SELECT count(*) FROM activity_keys WHERE team_id = $1", team_id)
    )
    return count


@pytest.mark.timeout(180)
async def test_a_sync_outlives_every_part(cluster: Cluster, tmp_path: Path) -> None:
    random = Random(7)
    team_id, token, _ = await cluster.make_team()
    emails = [
        row["email"]
        for row in await cluster.run(
            lambda connection: connection.fetch("SELECT email FROM users WHERE team_id = $1", team_id)
        )
    ]
    folder = tmp_path / "files"
    folder.mkdir()
    records = []
    for number in range(ROWS):
        record = random_record(random, emails, f"r{number}", 1)
        record.pop("body", None)
        records.append(record)
    for place in range(0, ROWS, ROWS // FILES):
        lines = [json.dumps(record) + "\n" for record in records[place : place + ROWS // FILES]]
        (folder / f"{place:06}.ndjson").write_text("".join(lines))
    # As a service manager does for a process that ends because PostgreSQL was not there when it started.
    supervisor = asyncio.ensure_future(cluster.supervise())
    async with httpx.AsyncClient(base_url=cluster.urls[0], timeout=30) as http:
        headers = {"authorization": f"Bearer {token}"}

        async def ask(query: str, **variables: Any) -> Any:
            for _ in range(200):
                try:
                    answer = await http.post("/graphql", json={"query": query, "variables": variables}, headers=headers)
                except httpx.TransportError:
                    await asyncio.sleep(0.1)
                    continue
                body = answer.json()
                if "errors" not in body:
                    return body["data"]
                assert body["errors"][0]["extensions"]["code"] == "UNAVAILABLE", body
                await asyncio.sleep(0.1)
            raise AssertionError(cluster.logs())

        given = {"kind": "files", "settings": {"folder": str(folder), "source": "files"}}
        made = await ask(CONNECT, input=given)
        assert made["connectIntegration"]["errors"] == []
        for place, part in enumerate(KILLS, 1):
            # Each at another point of the way.
            deadline = asyncio.get_running_loop().time() + 60
            while await _count(cluster, team_id) < ROWS * place // (len(KILLS) + 2):
                assert asyncio.get_running_loop().time() < deadline, cluster.logs()
                await asyncio.sleep(0.02)
            cluster.kill(part)
            await _hurry(cluster)
        for _ in range(400):
            (row,) = (await ask(WATCH))["integrations"]
            if row["lastSyncedAt"] is not None:
                break
            await _hurry(cluster)
            await asyncio.sleep(0.25)
        assert row["lastSyncedAt"] is not None, cluster.logs()
        assert (row["status"], row["lastError"], row["quarantined"]) == ("ACTIVE", None, 0)
    supervisor.cancel()
    assert await _count(cluster, team_id) == ROWS
    standing = sum(not record.get("deleted", False) for record in records)
    await database.connect(cluster.environment["SIDELINE_DATABASE_URL"], pool_size=2)
    try:
        async with database.acquire(team_id) as connection:
            assert await connection.fetchval("SELECT count(*) FROM activities WHERE team_id = $1", team_id) == standing
            rows = await connection.fetch(
                "SELECT u.email, r.* FROM rollup_days r JOIN users u ON u.id = r.user_id WHERE r.team_id = $1", team_id
            )
    finally:
        await database.disconnect()
    found = {(row["email"], row["day"]): {name: row[name] for name in BASE_SUM_NAMES} for row in rows}
    counted = recount(newest(records), "UTC")
    nothing = dict.fromkeys(BASE_SUM_NAMES, 0)
    for key in {*found, *counted}:
        assert found.get(key, nothing) == nothing | dict(counted.get(key, {})), key
