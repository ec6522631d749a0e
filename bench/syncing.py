"""Syncs: a first one of many records against a bulk import of the same file; a thousand that come due at once.

`python -m bench syncing=1000000` runs the first alone, with a million records; `scheduled` is the second.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import orjson

from bench.importing import import_record, import_team
from bench.measure import Comparison, compare
from domain import bodies, database, imports, integrations, jobs
from domain.database import ALL_TEAMS, acquire
from domain.imports import ImportOptions
from domain.models.base import new_id
from domain.secrets import SecretBox, make_key
from domain.uploads import PIECE_BYTES, read_entries
from workers.jobs import run_claimed
from workers.session import Wire
from workers.sync import Syncer, publish

ROWS = 100_000
GOAL = 2.0
"""At least half the rate of the bulk import."""
INTEGRATIONS = 1_000
LATEST_SECONDS = 60.0


async def _integration(team_id: UUID, settings: dict[str, str], account: str, *, due: bool) -> UUID:
    async with acquire(team_id) as connection:
        made: UUID = await connection.fetchval(
            """
            INSERT INTO integrations (id, team_id, kind, name, state, settings, account_id, account_name,
                interval_minutes, next_sync_at)
            VALUES ($1, $2, 'files', 'Files', 'ACTIVE', $3::jsonb, $4, $4, 60,
                CASE WHEN $5 THEN now() END) RETURNING id
            """,
            new_id(),
            team_id,
            orjson.dumps(settings).decode(),
            account,
            due,
        )
    return made


async def first_sync(database_url: str, _redis_url: str, rows: int = ROWS) -> list[Comparison]:
    """The connector `files` through the runner, against `sideline import` of the same file; each round anew."""
    await database.migrate(database_url)
    await database.connect(database_url, pool_size=6)
    box = SecretBox([make_key()])
    bodies.use_keys(box)
    with tempfile.TemporaryDirectory() as folder:
        wire = Wire(private_allowed=True, oauth_clients={}, urls={}, roots=(folder,), box=box)
        try:
            await publish()
            syncer, rounds = Syncer(wire), itertools.count()
            team_id, users = await import_team()
            file, random = Path(folder) / "records.ndjson", Random(1)
            with file.open("w") as output:
                for number in range(rows):
                    output.write(json.dumps(import_record(random, number, list(users), rows)) + "\n")

            def pieces() -> Any:
                with file.open("rb") as opened:
                    while piece := opened.read(PIECE_BYTES):
                        yield piece

            async def ours() -> None:
                source = f"sync {next(rounds)}"
                settings = {"folder": folder, "format": "ndjson", "source": source}
                one = await _integration(team_id, settings, source, due=False)
                async with acquire(ALL_TEAMS) as connection:
                    job_id = await integrations.create_sync(connection, team_id, one, None)
                    claimed = await jobs.claim_job(connection, "bench", job_id=job_id)
                assert claimed is not None
                await run_claimed(claimed, lambda: None, {integrations.SYNC_KIND: syncer.sync})
                async with acquire(team_id) as connection:
                    count = await connection.fetchval(
                        "SELECT count(*) FROM activity_keys WHERE team_id = $1 AND source = $2", team_id, source
                    )
                assert count == rows, f"{count} of {rows}"

            async def floor() -> None:
                entries = read_entries(pieces(), "ndjson", compressed=False)
                options = ImportOptions(f"import {next(rounds)}", "ndjson")
                done = await imports.take_file_in(team_id, options, entries, holder="bench")
                assert done.accepted == rows

            return [await compare(f"first sync of {rows:,} records", ours, floor, goal=GOAL, rounds=3)]
        finally:
            await wire.close()
            await database.disconnect()


async def scheduled(database_url: str, redis_url: str, count: int = INTEGRATIONS) -> list[Comparison]:
    """Integrations of as many teams that come due at once, on two workers: how late the last one starts."""
    await database.migrate(database_url)
    await database.connect(database_url, pool_size=4)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "empty.ndjson").write_text("")
        environment = {
            **os.environ,
            "SIDELINE_DATABASE_URL": database_url,
            "SIDELINE_REDIS_URL": redis_url,
            "SIDELINE_SECRET_KEYS": make_key(),
            "SIDELINE_IMPORT_ROOTS": folder,
            "SIDELINE_LOG_LEVEL": "error",
        }
        workers = []
        try:
            async with acquire(ALL_TEAMS) as connection:
                teams = [new_id() for _ in range(count)]
                await connection.execute(
                    "INSERT INTO teams (id, name) SELECT id, 'Team' FROM unnest($1::uuid[]) t (id)", teams
                )
            workers += [
                await asyncio.create_subprocess_exec(sys.executable, "-m", "workers", env=environment) for _ in range(2)
            ]
            async with acquire(ALL_TEAMS) as connection:
                while not await connection.fetchval("SELECT count(*) FROM connector_kinds WHERE kind = 'files'"):
                    await asyncio.sleep(0.1)
            for team_id in teams:
                await _integration(team_id, {"folder": folder, "format": "ndjson"}, "files", due=False)
            async with acquire(ALL_TEAMS) as connection:
                due = await connection.fetchval(
                    "WITH due AS (UPDATE integrations SET next_sync_at = clock_timestamp() WHERE team_id = ANY "
                    "($1::uuid[]) RETURNING next_sync_at) SELECT max(next_sync_at) FROM due",
                    teams,
                )
                while True:
                    row = await connection.fetchrow(
                        "SELECT count(*) AS done, max(finished_at) AS latest FROM jobs "
                        "WHERE team_id = ANY ($1::uuid[]) AND state = 'SUCCEEDED'",
                        teams,
                    )
                    if row["done"] >= count:
                        break
                    if (datetime.now(UTC) - due).total_seconds() > 3 * LATEST_SECONDS:
                        break
                    await asyncio.sleep(0.2)
            late = (row["latest"] - due).total_seconds()
        finally:
            for worker in workers:
                worker.send_signal(signal.SIGTERM)
            await asyncio.gather(*(worker.wait() for worker in workers))
            await database.disconnect()
    detail = f"{row['done']} syncs of {count} ended within {late:.1f} s on two workers"
    ratio, name = late / LATEST_SECONDS, f"{count:,} integrations due at once, part of a minute"
    return [Comparison(name, ratio, 1.0, detail, ours=late, floor=LATEST_SECONDS, unit="s")]
