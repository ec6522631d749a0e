"""Bulk import against a bare COPY of the same rows into the same table with the same indexes and constraints."""

from __future__ import annotations

import itertools
import json
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

from bench.measure import Comparison, compare
from domain import bodies, database, imports, teams
from domain.database import ALL_TEAMS, acquire
from domain.imports import ImportOptions
from domain.records import CONTENT_COLUMNS, Importing, stage
from domain.secrets import SecretBox, make_key
from domain.uploads import PIECE_BYTES, read_entries

ROWS = 100_000
REPS = 50
GOAL = 3.0
START = datetime(2026, 1, 1, tzinfo=UTC)
SPAN = timedelta(days=300)


def import_record(random: Random, number: int, users: list[str], rows: int = ROWS) -> dict[str, Any]:
    """A record of a file of so many."""
    # In the order of time, as systems write their exports.
    moment = (START + SPAN * number / rows).isoformat()
    record: dict[str, Any] = {
        "externalId": f"x{number}",
        "user": random.choice(users),
        "occurredAt": moment,
        "version": 1,
    }
    kind = random.random()
    if kind < 0.5:
        return record | {"kind": "email", "subject": "Quick question", "openCount": random.randrange(3)}
    if kind < 0.8:
        return record | {"kind": "call", "durationSeconds": 120, "connected": random.random() < 0.3}
    if kind < 0.9:
        return record | {"kind": "cadence_step", "cadence": "New business", "step": 2}
    return record | {"kind": "meeting", "startsAt": moment, "endsAt": moment, "status": "held"}


async def import_team() -> tuple[UUID, dict[str, UUID]]:
    """A team and its reps by their addresses."""
    async with acquire(ALL_TEAMS) as connection:
        team_id = await teams.create_team(connection, name="Import", timezone="America/New_York")
        role_id = await teams.role_named(connection, team_id, teams.USER)
        users = {}
        for number in range(REPS):
            email = f"rep{number}@example.test"
            users[email] = await teams.create_user(connection, team_id, name=email, email=email, role_id=role_id)
    return team_id, users


async def measure(database_url: str, _redis_url: str, rows: int = ROWS) -> list[Comparison]:
    """Import a file of NDJSON, rollups, keys, idempotency and all; each round into a source of its own."""
    await database.migrate(database_url)
    await database.connect(database_url, pool_size=4)
    bodies.use_keys(SecretBox([make_key()]))
    try:
        team_id, users = await import_team()
        floor_team, floor_users = await import_team()
        random = Random(1)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "records.ndjson"
            with file.open("w") as output:
                for number in range(rows):
                    output.write(json.dumps(import_record(random, number, list(users), rows)) + "\n")
            rounds = itertools.count()

            def pieces() -> Any:
                with file.open("rb") as opened:
                    while piece := opened.read(PIECE_BYTES):
                        yield piece

            async def ours() -> None:
                options = ImportOptions(f"bench {next(rounds)}", "ndjson")
                entries = read_entries(pieces(), "ndjson", compressed=False)
                done = await imports.take_file_in(team_id, options, entries, holder="bench")
                assert done.accepted == rows

            # The records have no bodies.
            importing = Importing("USD", floor_users, now_version=1, seal=lambda _id, body: body.encode())
            entries = read_entries(pieces(), "ndjson", compressed=False)
            staged = [stage(entry.record, entry.position, importing) for entry in entries if entry.record is not None]
            columns = ["id", "team_id", "user_id", "kind", "occurred_at", "source", "external_id", *CONTENT_COLUMNS]
            ids = itertools.count()

            def tuples(source: str) -> Any:
                return [
                    (UUID(int=next(ids)), floor_team, row[2], row[3], row[4], source, row[5], *row[10:])
                    for row in staged
                ]

            prepared: list[Any] = []

            async def floor() -> None:
                async with acquire(ALL_TEAMS) as connection, connection.transaction():
                    await connection.copy_records_to_table("activities", records=prepared.pop(), columns=columns)

            # The floor's rows are made before its clock runs.
            prepared.extend(tuples(f"floor {number}") for number in range(4))
            return [await compare(f"bulk import of {rows:,} records", ours, floor, goal=GOAL, rounds=3)]
    finally:
        await database.disconnect()
