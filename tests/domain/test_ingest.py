"""Activities in, rollups out.

Invariants:
A. After any sequence of imports, corrections, repeats, late old versions and deletions, activities, day sums and month
   sums equal a brute-force recount of the newest versions.
B. Month sums are the sums of the day sums.
C. The order of arrival does not matter; arriving twice changes nothing.
D. The same version with other content is refused, and nothing of it is taken in.
E. A dry run changes nothing.
F. Two importers at once end where one would have.
G. A process that is killed at any point leaves rollups that agree with the activities.
H. A new time zone gives the sums that it would have given from the start, also while imports go on.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain import ingest, rollups
from domain.database import ALL_TEAMS, Connection, acquire, connect, disconnect, in_transaction
from domain.metrics import BASE_SUM_NAMES
from domain.records import decode_json
from tests.factories import make_role, make_team, make_user
from tests.oracle.recount import Counts, newest, recount
from tests.records import random_record

ZONES = ("UTC", "America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Pacific/Chatham")


async def team_with_users(zone: str, count: int = 3) -> tuple[UUID, dict[UUID, str]]:
    async with acquire(ALL_TEAMS) as connection:
        team_id = await make_team(connection, timezone=zone)
        role_id = await make_role(connection, team_id)
        users = {}
        for _ in range(count):
            user_id = await make_user(connection, team_id, role_id)
            users[user_id] = f"{user_id.hex}@example.test"
    return team_id, users


async def take(team_id: UUID, records: Sequence[dict[str, Any]], **options: Any) -> ingest.Outcome:
    items = [(number, decode_json(json.dumps(record))) for number, record in enumerate(records)]
    return await ingest.take_in(team_id, "test", items, **options)


def _nonzero(row: Any) -> Counts:
    return {name: Decimal(row[name]) for name in BASE_SUM_NAMES if row[name]}


async def stored(
    connection: Connection, team_id: UUID, users: dict[UUID, str]
) -> tuple[dict[tuple[str, date], Counts], dict[tuple[str, date], Counts]]:
    days = await connection.fetch("SELECT * FROM rollup_days WHERE team_id = $1", team_id)
    months = await connection.fetch("SELECT * FROM rollup_months WHERE team_id = $1", team_id)
    return (
        {(users[row["user_id"]], row["day"]): sums for row in days if (sums := _nonzero(row))},
        {(users[row["user_id"]], row["month"]): sums for row in months if (sums := _nonzero(row))},
    )


async def check(team_id: UUID, users: dict[UUID, str], records: Sequence[dict[str, Any]], zone: str) -> None:
    """Invariants A and B."""
    expected = recount(newest(records), zone)
    async with acquire(ALL_TEAMS) as connection:
        days, months = await stored(connection, team_id, users)
        kept = await connection.fetch("SELECT external_id FROM activities WHERE team_id = $1", team_id)
        bodies = await connection.fetchval("SELECT count(*) FROM email_bodies WHERE team_id = $1", team_id)
    assert sorted(row["external_id"] for row in kept) == sorted(record["externalId"] for record in newest(records))
    assert days == expected
    by_month: dict[tuple[str, date], Counts] = defaultdict(lambda: defaultdict(Decimal))
    for (user, day), sums in expected.items():
        for name, value in sums.items():
            by_month[user, day.replace(day=1)][name] += value
    assert months == {
        key: {name: value for name, value in sums.items() if value}
        for key, sums in by_month.items()
        if any(sums.values())
    }
    assert bodies == sum(1 for record in newest(records) if record.get("body") is not None)


def random_history(seed: int, users: list[str], size: int) -> list[dict[str, Any]]:
    """Versions of a few activities in any order, some of them twice."""
    random = Random(seed)
    versions: dict[str, int] = defaultdict(int)
    records = []
    for _ in range(size):
        key = f"a{random.randrange(max(size // 3, 1))}"
        versions[key] += random.randrange(1, 3)
        records.append(random_record(random, users, key, versions[key]))
    records += random.choices(records, k=size // 4)
    random.shuffle(records)
    return records


@pytest.mark.parametrize("zone", ZONES)
def test_any_sequence_equals_a_recount(database_url: str, zone: str) -> None:
    @settings(max_examples=12)
    @given(seed=st.integers(0, 2**32), size=st.integers(1, 40), batch=st.integers(1, 15))
    def run(seed: int, size: int, batch: int) -> None:
        async def body() -> None:
            await connect(database_url, pool_size=2)
            try:
                team_id, users = await team_with_users(zone)
                records = random_history(seed, list(users.values()), size)
                for start in range(0, len(records), batch):
                    outcome = await take(team_id, records[start : start + batch])
                    assert not outcome.errors
                await check(team_id, users, records, zone)
                again = await take(team_id, records)
                assert again.accepted == 0
                await check(team_id, users, records, zone)
            finally:
                await disconnect()

        asyncio.run(body())

    run()


async def test_order_does_not_matter(database: str) -> None:
    team_id, users = await team_with_users("Europe/Berlin")
    records = random_history(7, list(users.values()), 60)
    await take(team_id, records)
    async with acquire(ALL_TEAMS) as connection:
        first = await stored(connection, team_id, users)
    other_id, other_users = await team_with_users("Europe/Berlin")
    renamed = dict(zip(users.values(), other_users.values(), strict=True))
    moved = [{**record, **({"user": renamed[record["user"]]} if "user" in record else {})} for record in records]
    for record in reversed(moved):
        await take(other_id, [record])
    back = {user_id: {new: old for old, new in renamed.items()}[email] for user_id, email in other_users.items()}
    async with acquire(ALL_TEAMS) as connection:
        assert await stored(connection, other_id, back) == first


async def test_same_version_with_other_content_is_refused(database: str) -> None:
    team_id, users = await team_with_users("UTC")
    user = next(iter(users.values()))
    call = {"kind": "call", "externalId": "c", "user": user, "occurredAt": "2026-03-01T10:00:00Z", "version": 5}
    await take(team_id, [call])
    outcome = await take(team_id, [{**call, "connected": True}])
    assert [(error.code, error.field, error.position) for error in outcome.errors] == [
        ("VERSION_CONFLICT", "version", 0)
    ]
    await check(team_id, users, [call], "UTC")


async def test_a_tombstone_before_its_first_version_keeps_it_out(database: str) -> None:
    team_id, users = await team_with_users("UTC")
    user = next(iter(users.values()))
    gone = {"kind": "call", "externalId": "c", "version": 9, "deleted": True}
    late = {"kind": "call", "externalId": "c", "user": user, "occurredAt": "2026-03-01T10:00:00Z", "version": 5}
    await take(team_id, [gone])
    assert (await take(team_id, [late])).unchanged == 1
    await check(team_id, users, [gone, late], "UTC")


async def test_a_dry_run_changes_nothing(database: str) -> None:
    team_id, users = await team_with_users("UTC")
    records = random_history(3, list(users.values()), 20)
    outcome = await take(team_id, records, dry_run=True)
    assert outcome.accepted > 0
    await check(team_id, users, [], "UTC")


async def test_bad_records_are_named_and_the_good_ones_are_taken(database: str) -> None:
    team_id, users = await team_with_users("UTC")
    user = next(iter(users.values()))
    call = {"kind": "call", "externalId": "c", "user": user, "occurredAt": "2026-03-01T10:00:00Z", "version": 1}
    outcome = await take(
        team_id,
        [
            call,
            {**call, "externalId": "d", "user": "nobody@example.test"},
            {**call, "externalId": "e", "occurredAt": "1999-03-01T10:00:00Z"},
        ],
    )
    assert outcome.accepted == 1
    assert [(error.position, error.code, error.field) for error in outcome.errors] == [
        (1, "UNKNOWN_USER", "user"),
        (2, "OUT_OF_RANGE", "occurredAt"),
    ]
    await check(team_id, users, [call], "UTC")


async def test_two_importers_at_once(database: str) -> None:
    for seed in range(5):
        team_id, users = await team_with_users("America/New_York")
        records = random_history(seed, list(users.values()), 90)
        random = Random(seed)

        async def importer(share: list[dict[str, Any]], team_id: UUID = team_id) -> None:
            for start in range(0, len(share), 11):
                assert not (await take(team_id, share[start : start + 11])).errors

        shares = [random.sample(records, k=len(records)) for _ in range(3)]
        await asyncio.gather(*(importer(share) for share in shares))
        await check(team_id, users, records, "America/New_York")


async def test_a_new_time_zone_while_imports_go_on(database: str) -> None:
    team_id, users = await team_with_users("UTC")
    records = random_history(11, list(users.values()), 120)

    async def importer() -> None:
        for start in range(0, len(records), 7):
            await take(team_id, records[start : start + 7])

    async def mover() -> None:
        for zone in ("Asia/Kathmandu", "America/Los_Angeles"):

            async def work(connection: Connection, zone: str = zone) -> None:
                await rollups.rebuild(connection, team_id, timezone=zone)

            await in_transaction(ALL_TEAMS, work)

    await asyncio.gather(importer(), mover())
    await check(team_id, users, records, "America/Los_Angeles")


_KILLED = """
import asyncio, json, sys
from uuid import UUID
from domain import ingest
from domain.database import connect
from domain.records import decode_json

async def main():
    await connect(sys.argv[1], pool_size=2)
    records = json.load(open(sys.argv[3]))
    print("ready", flush=True)
    for start in range(0, len(records), 25):
        batch = records[start:start + 25]
        await ingest.take_in(UUID(sys.argv[2]), "test", [(n, decode_json(json.dumps(r))) for n, r in enumerate(batch)])
asyncio.run(main())
"""


async def test_killed_at_any_point(database: str, tmp_path: Path) -> None:
    team_id, users = await team_with_users("Europe/Berlin")
    records = random_history(5, list(users.values()), 1_500)
    file = tmp_path / "records.json"
    file.write_text(json.dumps(records))
    random = Random(1)
    for _ in range(4):
        process = subprocess.Popen(
            [sys.executable, "-c", _KILLED, database, str(team_id), str(file)],
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        )
        assert process.stdout is not None
        await asyncio.to_thread(process.stdout.readline)
        for _ in range(random.randrange(1, 25)):
            await agree(team_id)
        process.send_signal(signal.SIGKILL)
        process.wait()
        await agree(team_id)
    await take(team_id, records)
    await check(team_id, users, records, "Europe/Berlin")


async def agree(team_id: UUID) -> None:
    """At one moment, the emails and the won amounts of the activities are those of both rollups."""
    async with acquire(ALL_TEAMS) as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        row = await connection.fetchrow(
            """
            SELECT
              (SELECT count(*) FROM activities WHERE team_id = $1 AND kind = 'email'),
              (SELECT coalesce(sum(emails_sent), 0) FROM rollup_days WHERE team_id = $1),
              (SELECT coalesce(sum(emails_sent), 0) FROM rollup_months WHERE team_id = $1),
              (SELECT coalesce(sum(team_amount), 0) FROM activities WHERE team_id = $1 AND won),
              (SELECT coalesce(sum(closed_won_amount), 0) FROM rollup_days WHERE team_id = $1),
              (SELECT coalesce(sum(closed_won_amount), 0) FROM rollup_months WHERE team_id = $1)
            """,
            team_id,
        )
    assert row[0] == row[1] == row[2]
    assert row[3] == row[4] == row[5]
