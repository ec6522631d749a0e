"""What is not kept any more.

Invariants:
A. Activities whose last day is over go with their keys and bodies; no number of any day or month changes.
B. Any sequence of imports, corrections, deletions, late versions, closings and time zones ends in the numbers of a
   model kept by hand; back in the old time zone, the numbers are those of before.
C. An old file again counts nothing and leaves nothing behind but the reason.
D. Days are whole local days, over DST and where midnight is skipped.
E. Retention may be broken off by a kill, runs in lots, beside itself and beside importers.
F. The oldest audit entries go; the chain verifies from there, and tampering is found as before.
G. Refused records, raw uploads, jobs and sessions have a bounded life.
H. Who may not manage the team changes nothing; the audit log's days are Admin's; what does not fit is told by name.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain import audit, books, imports, ingest, jobs, retention, rollups, team_settings
from domain.audit import AuditAction, NewEntry
from domain.database import ALL_TEAMS, Connection, acquire, connect, disconnect, in_transaction, transaction
from domain.errors import Forbidden, Invalid
from domain.imports import ImportOptions
from domain.models.tokens import TokenKind
from domain.records import decode_json
from domain.retention import TeamRetention
from domain.team_settings import SettingsChange
from domain.tokens import create_token
from tests.domain.test_imports import import_of, ndjson, run, upload
from tests.domain.test_ingest import ZONES, random_history, stored, take, team_with_users
from tests.factories import make_role, make_team, make_user, viewer_of
from tests.oracle.closed_books import ClosedBooks
from tests.records import SPAN_DAYS, START

ROOT = Path(__file__).parents[2]
END = START + timedelta(days=SPAN_DAYS)


def keeps(team_id: UUID, zone: str, **days: int) -> TeamRetention:
    wanted = {"keep_activities_days": None, "keep_bodies_days": None, "keep_audit_days": None, **days}
    return TeamRetention(team_id=team_id, timezone=zone, **wanted)


async def set_days(team_id: UUID, column: str, days: int | None) -> None:
    async with acquire(team_id) as connection:
        await connection.execute(f"UPDATE teams SET {column} = $1", days)


async def forget(team_id: UUID, zone: str, days: int, now: datetime) -> int:
    await set_days(team_id, "keep_activities_days", days)
    return await retention.forget(keeps(team_id, zone, keep_activities_days=days), now)


async def numbers(team_id: UUID, users: dict[UUID, str]) -> Any:
    async with acquire(ALL_TEAMS) as connection:
        return await stored(connection, team_id, users)


async def move(team_id: UUID, zone: str) -> None:
    async def work(connection: Connection) -> None:
        await rollups.rebuild(connection, team_id, timezone=zone)

    await in_transaction(ALL_TEAMS, work)


async def rows_of(team_id: UUID) -> tuple[set[str], set[str], int]:
    """The activities, the keys of activities, and how many bodies there are."""
    async with acquire(ALL_TEAMS) as connection:
        held = await connection.fetch("SELECT external_id FROM activities WHERE team_id = $1", team_id)
        keys = await connection.fetch("SELECT external_id, occurred_at FROM activity_keys WHERE team_id = $1", team_id)
        bodies = await connection.fetchval("SELECT count(*) FROM email_bodies WHERE team_id = $1", team_id)
    return (
        {row["external_id"] for row in held},
        {row["external_id"] for row in keys if row["occurred_at"] is not None},
        bodies,
    )


def bound_of(zone: str, days: int, now: datetime) -> tuple[datetime, date]:
    """The same as the domain's, by looking for it: the first instant whose local day is kept."""
    first = now.astimezone(ZoneInfo(zone)).date() - timedelta(days=days)
    low, high = now - timedelta(days=days + 3), now
    while high - low > timedelta(seconds=1):
        middle = low + (high - low) / 2
        if middle.astimezone(ZoneInfo(zone)).date() >= first:
            high = middle
        else:
            low = middle
    return high.replace(microsecond=0), first


@pytest.mark.parametrize("zone", ZONES)
def test_any_sequence_equals_the_model(database_url: str, zone: str) -> None:
    @settings(max_examples=5)
    @given(seed=st.integers(0, 2**32), size=st.integers(1, 40))
    def run_one(seed: int, size: int) -> None:
        asyncio.run(_any_sequence(database_url, zone, Random(seed), size))

    run_one()


async def _any_sequence(url: str, zone: str, random: Random, size: int) -> None:
    await connect(url, pool_size=2)
    try:
        team_id, users = await team_with_users(zone)
        model = ClosedBooks(zone)
        waiting = random_history(random.randrange(2**32), list(users.values()), size)
        seen: list[dict[str, Any]] = []
        while waiting or random.random() < 0.7:
            match random.choice(("take", "take", "again", "forget", "move")):
                case "take":
                    count = random.randrange(1, 10)
                    batch, waiting = waiting[:count], waiting[count:]
                    await _take_both(team_id, model, batch)
                    seen += batch
                case "again":
                    await _take_both(team_id, model, random.sample(seen, k=len(seen) // 2))
                case "forget":
                    before = await numbers(team_id, users)
                    days = random.randrange(1, SPAN_DAYS)
                    await forget(team_id, model.zone, days, END)
                    model.forget(*bound_of(model.zone, days, END))
                    assert await numbers(team_id, users) == before, "retention changes no number"
                case "move":
                    model.move(random.choice(ZONES))
                    await move(team_id, model.zone)
            found = await numbers(team_id, users)
            assert found == (model.days(), model.months())
            held, keys, bodies = await rows_of(team_id)
            assert held == keys == set(model.held)
            assert bodies == sum(record.get("body") is not None for record in model.held.values())
    finally:
        await disconnect()


async def _take_both(team_id: UUID, model: ClosedBooks, batch: Sequence[dict[str, Any]]) -> None:
    # Each activity once a batch: which of two versions counts then is told in test_ingest.
    waiting = list(batch)
    while waiting:
        share = list({record["externalId"]: record for record in reversed(waiting)}.values())
        for record in share:
            waiting.remove(record)
        told = [(number, "TOO_OLD") for number, record in enumerate(share) if not model.take(record)]
        outcome = await take(team_id, share)
        assert [(error.position, error.code) for error in outcome.errors] == told


@pytest.mark.parametrize("there", ["Pacific/Kiritimati", "Pacific/Pago_Pago", "Asia/Kathmandu"])
async def test_another_time_zone_and_back(database: str, there: str) -> None:
    team_id, users = await team_with_users("America/New_York")
    records = random_history(17, list(users.values()), 200)
    await take(team_id, records)
    before = await numbers(team_id, users)
    assert await forget(team_id, "America/New_York", 30, END) > 0
    assert await numbers(team_id, users) == before
    await move(team_id, there)
    moved = await numbers(team_id, users)
    assert moved != before
    assert _totals(moved) == _totals(before)
    await move(team_id, there)
    assert await numbers(team_id, users) == moved
    await move(team_id, "America/New_York")
    assert await numbers(team_id, users) == before


def _totals(found: Any) -> dict[tuple[str, str], Any]:
    totals: dict[tuple[str, str], Any] = {}
    for (user, _day), sums in found[0].items():
        for name, value in sums.items():
            totals[user, name] = totals.get((user, name), 0) + value
    return totals


async def test_a_rebuild_repairs_what_can_be_recounted(database: str) -> None:
    team_id, users = await team_with_users("UTC")
    await take(team_id, random_history(19, list(users.values()), 200))
    await forget(team_id, "UTC", 30, END)
    before = await numbers(team_id, users)
    async with acquire(team_id) as connection:
        await connection.execute(
            "UPDATE rollup_days SET emails_sent = 77 WHERE day >= $1", (END - timedelta(days=30)).date()
        )
    assert await numbers(team_id, users) != before

    async def work(connection: Connection) -> None:
        await rollups.rebuild(connection, team_id)

    await in_transaction(team_id, work)
    assert await numbers(team_id, users) == before


CALL = {"kind": "call", "externalId": "c", "version": 1, "connected": True, "durationSeconds": 60}
DEAL = {"kind": "opportunity", "externalId": "d", "name": "Deal", "stage": "Open", "amount": "100"}


async def test_a_deal_made_long_ago_that_closes_today(database: str) -> None:
    team_id, users = await team_with_users("UTC")
    user = next(iter(users.values()))
    made = {**DEAL, "user": user, "occurredAt": "2026-02-20T10:00:00Z", "createdOn": "2026-02-20", "version": 1}
    await take(team_id, [made])
    await forget(team_id, "UTC", 10, END)
    assert (await rows_of(team_id))[0] == set(), "nothing of it counts on a day that is kept"
    won = {**made, "version": 2, "stage": "Won", "closedOn": "2026-04-20", "won": True}
    assert (await take(team_id, [won])).accepted == 1
    days, _months = await numbers(team_id, users)
    assert days == {
        (user, date(2026, 2, 20)): {"opportunities_created": 1, "new_pipeline": 100},
        (user, date(2026, 4, 20)): {
            "closed_won_count": 1,
            "closed_won_amount": 100,
            "sales_cycle_days": 59,
            "sales_cycle_count": 1,
        },
    }
    await take(team_id, [{"kind": "opportunity", "externalId": "d", "version": 3, "deleted": True}])
    assert list((await numbers(team_id, users))[0]) == [(user, date(2026, 2, 20))], "closed books stay closed"


async def test_an_old_file_again_counts_nothing_and_leaves_nothing(database: str) -> None:
    team_id, users = await team_with_users("UTC")
    records = [one for one in random_history(23, list(users.values()), 200) if not one.get("deleted")]
    for _ in range(2):
        job_id = await upload(team_id, ndjson(records), ImportOptions("test", "ndjson"))
        await run(job_id)
    before = await numbers(team_id, users)
    await forget(team_id, "UTC", 1, END + timedelta(days=60))
    assert await rows_of(team_id) == (set(), set(), 0)
    job_id = await upload(team_id, ndjson(records), ImportOptions("test", "ndjson"))
    await run(job_id)
    done = await import_of(team_id, job_id)
    assert (done.accepted, done.unchanged, done.rejected) == (0, 0, len(records))
    assert await numbers(team_id, users) == before
    async with acquire(team_id) as connection:
        rows = await connection.fetch("SELECT code, field, reason, record FROM quarantined_records")
    assert {(row["code"], row["field"], row["record"]) for row in rows} == {("TOO_OLD", "occurredAt", "")}
    assert "from 2026-06-19 on" in rows[0]["reason"]
    # There is nothing to try again.
    assert await imports.retry_quarantined(team_id, done.id) == ingest.Outcome(0, 0, ())


async def test_what_waited_in_quarantine_grows_too_old_there(database: str) -> None:
    team_id, _users = await team_with_users("UTC")
    late = {**CALL, "user": "late@example.test", "occurredAt": "2026-02-20T10:00:00Z"}
    job_id = await upload(team_id, ndjson([late]), ImportOptions("test", "ndjson"))
    await run(job_id)
    await forget(team_id, "UTC", 1, END)
    async with acquire(ALL_TEAMS) as connection:
        await make_user(connection, team_id, await make_role(connection, team_id), email="late@example.test")
    outcome = await imports.retry_quarantined(team_id, (await import_of(team_id, job_id)).id)
    assert [error.code for error in outcome.errors] == ["TOO_OLD"]
    async with acquire(team_id) as connection:
        row = await connection.fetchrow("SELECT code, record FROM quarantined_records")
    assert tuple(row) == ("TOO_OLD", "")


async def test_a_batch_read_before_the_books_were_closed_is_read_again(database: str) -> None:
    team_id, users = await team_with_users("UTC")
    user = next(iter(users.values()))
    item = (0, decode_json(json.dumps({**CALL, "user": user, "occurredAt": "2026-02-20T10:00:00Z"})))
    async with acquire(team_id) as connection:
        prepared = ingest.prepare([item], *await ingest.read_importing(connection, team_id, [item]))
    await forget(team_id, "UTC", 1, END)

    async def work(connection: Connection) -> ingest.Outcome:
        return await ingest.take_in_within(connection, team_id, "test", prepared)

    outcome = await in_transaction(team_id, work)
    assert [error.code for error in outcome.errors] == ["TOO_OLD"]
    assert (await numbers(team_id, users)) == ({}, {})


async def test_keys_of_deleted_activities_go_with_their_time(database: str) -> None:
    team_id, _users = await team_with_users("UTC")
    await take(team_id, [{"kind": "call", "externalId": f"k{n}", "version": 1, "deleted": True} for n in range(3)])
    now = datetime.now(UTC)
    await forget(team_id, "UTC", 1, now)
    async with acquire(team_id) as connection:
        assert await connection.fetchval("SELECT count(*) FROM activity_keys") == 3
    await forget(team_id, "UTC", 1, now + timedelta(days=3))
    async with acquire(team_id) as connection:
        assert await connection.fetchval("SELECT count(*) FROM activity_keys") == 0


# Midnight is skipped in Beirut on 2026-03-29 and is there twice in Havana on 2026-11-01; Apia had no 2011-12-30.
SKIPPED = (
    ("Asia/Beirut", date(2026, 3, 29)),
    ("America/Havana", date(2026, 11, 1)),
    ("Pacific/Apia", date(2011, 12, 30)),
)


@pytest.mark.parametrize(("zone", "day"), SKIPPED)
def test_days_where_the_clock_jumps(zone: str, day: date) -> None:
    start = books.day_start(zone, day)
    assert start.astimezone(ZoneInfo(zone)).date() >= day
    assert (start - timedelta(microseconds=1)).astimezone(ZoneInfo(zone)).date() < day


@given(
    zone=st.sampled_from([*ZONES, *(zone for zone, _ in SKIPPED), "Africa/Cairo", "America/Sao_Paulo"]),
    day=st.dates(date(2010, 1, 1), date(2035, 1, 1)),
)
def test_whole_days(zone: str, day: date) -> None:
    start = books.day_start(zone, day)
    assert start.astimezone(ZoneInfo(zone)).date() >= day
    assert (start - timedelta(microseconds=1)).astimezone(ZoneInfo(zone)).date() < day
    assert books.bound_after(zone, 3, start).day <= day - timedelta(days=3) + timedelta(days=1)


async def test_the_last_instant_of_a_day_goes_and_the_first_of_the_next_stays(database: str) -> None:
    team_id, users = await team_with_users("Asia/Beirut")
    user = next(iter(users.values()))
    # Local days of 23 hours: 2026-03-29 began at 22:00 UTC of the 28th.
    times = {"before": "2026-03-28T21:59:59.999999Z", "after": "2026-03-28T22:00:00Z"}
    await take(team_id, [{**CALL, "externalId": key, "user": user, "occurredAt": at} for key, at in times.items()])
    assert await forget(team_id, "Asia/Beirut", 2, datetime(2026, 3, 31, 20, 59, tzinfo=UTC)) == 1
    assert (await rows_of(team_id))[0] == {"after"}
    async with acquire(team_id) as connection:
        row = await connection.fetchrow("SELECT activities_from, activities_from_at FROM teams")
    assert tuple(row) == (date(2026, 3, 29), datetime(2026, 3, 28, 22, tzinfo=UTC))


async def test_a_longer_time_does_not_open_the_books_again(database: str) -> None:
    team_id, users = await team_with_users("UTC")
    await take(team_id, random_history(29, list(users.values()), 60))
    await forget(team_id, "UTC", 10, END)
    async with acquire(team_id) as connection:
        bound = await connection.fetchval("SELECT activities_from FROM teams")
    for days in (40, None):
        await set_days(team_id, "keep_activities_days", days)
        assert (
            await retention.forget(keeps(team_id, "UTC", **({"keep_activities_days": days} if days else {})), END) == 0
        )
        async with acquire(team_id) as connection:
            assert await connection.fetchval("SELECT activities_from FROM teams") == bound


async def test_lots_and_two_workers_beside_importers(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "ACTIVITY_LOT", 7)
    team_id, users = await team_with_users("America/New_York")
    records = random_history(37, list(users.values()), 240)
    await take(team_id, records[:120])
    async with acquire(ALL_TEAMS) as connection:
        await connection.execute("UPDATE teams SET keep_activities_days = 25 WHERE id = $1", team_id)
    team = keeps(team_id, "America/New_York", keep_activities_days=25)

    async def importer(share: list[dict[str, Any]]) -> None:
        for start in range(0, len(share), 5):
            outcome = await take(team_id, share[start : start + 5])
            assert {error.code for error in outcome.errors} <= {"TOO_OLD"}

    async def forgetter(after: int) -> None:
        for step in range(3):
            await retention.forget(team, END + timedelta(days=after + step))

    await asyncio.gather(importer(records[100:]), importer(records[::-1]), forgetter(0), forgetter(1))
    found = await numbers(team_id, users)
    held, keys, _bodies = await rows_of(team_id)
    assert held == keys
    # What is open is what a recount of the activities gives; a rebuild would otherwise change it.
    await move(team_id, "America/New_York")
    assert await numbers(team_id, users) == found


_KILLED = """
import asyncio, sys
from datetime import datetime
from uuid import UUID
from domain import retention
from domain.database import connect
retention.ACTIVITY_LOT = 3

async def main():
    await connect(sys.argv[1], pool_size=2)
    print("ready", flush=True)
    team = retention.TeamRetention(UUID(sys.argv[2]), "UTC", 1, 1, None)
    await retention.forget(team, datetime.fromisoformat(sys.argv[3]))
asyncio.run(main())
"""


async def test_killed_at_any_point(database: str) -> None:
    team_id, users = await team_with_users("UTC")
    await take(team_id, random_history(41, list(users.values()), 900))
    before = await numbers(team_id, users)
    await set_days(team_id, "keep_activities_days", 1)
    now = END + timedelta(days=60)
    for _ in range(2):
        left = len((await rows_of(team_id))[0])
        process = subprocess.Popen(
            [sys.executable, "-c", _KILLED, database, str(team_id), now.isoformat()],
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        assert process.stdout is not None
        await asyncio.to_thread(process.stdout.readline)
        while len((await rows_of(team_id))[0]) > left - 20:
            assert process.poll() is None, "it ended before it was killed: give it more to do"
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert await numbers(team_id, users) == before
        held, keys, _bodies = await rows_of(team_id)
        assert held == keys
        assert held
    await retention.forget(keeps(team_id, "UTC", keep_activities_days=1), now)
    assert await rows_of(team_id) == (set(), set(), 0)
    assert await numbers(team_id, users) == before


async def write_log(team_id: UUID, count: int, at: datetime | None = None) -> None:
    """Entries, written at the database's clock or, by hand, as if at another time."""
    for number in range(count):

        async def work(connection: Connection, number: int = number) -> None:
            entry = NewEntry(AuditAction.GROUP_CREATED, None, None, {"number": number})
            await audit.record_for_operator(connection, team_id, [entry])

        await in_transaction(team_id, work)
    if at is None:
        return
    async with transaction(ALL_TEAMS) as connection:
        await connection.execute("ALTER TABLE audit_entries DISABLE TRIGGER USER")
        rows = await connection.fetch("SELECT * FROM audit_entries WHERE team_id = $1 ORDER BY position", team_id)
        previous = audit.GENESIS
        for row in rows:
            entry = dict(row) | {"at": at + timedelta(hours=row["position"]), "previous_hash": previous}
            previous = audit.entry_hash(entry)
            await connection.execute(
                "UPDATE audit_entries SET at = $2, previous_hash = $3, hash = $4 WHERE id = $1",
                row["id"],
                entry["at"],
                entry["previous_hash"],
                previous,
            )
        await connection.execute("UPDATE audit_heads SET hash = $2 WHERE team_id = $1", team_id, previous)
        await connection.execute("ALTER TABLE audit_entries ENABLE TRIGGER USER")


async def verify(team_id: UUID) -> audit.Verification:
    async with acquire(ALL_TEAMS) as connection:
        return await audit.verify(connection, team_id)


async def test_the_oldest_audit_entries_go(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "FORGET_LOT", 3)
    async with acquire(ALL_TEAMS) as connection:
        team_id = await make_team(connection, timezone="Europe/Berlin")
    began = datetime(2026, 3, 1, 12, tzinfo=UTC)
    await write_log(team_id, 20, began)
    whole = await verify(team_id)
    assert (whole.entries, whole.reason) == (20, None)
    # The 2nd of March began in Berlin at 23:00 UTC of the 1st: eleven entries, at 13:00 to 23:00, and ten before it.
    team = keeps(team_id, "Europe/Berlin", keep_audit_days=30)
    both = await asyncio.gather(*(retention.forget(team, datetime(2026, 4, 1, 8, tzinfo=UTC)) for _ in range(2)))
    assert sum(both) == 10
    found = await verify(team_id)
    assert (found.entries, found.reason, found.head) == (10, None, whole.head)
    await write_log(team_id, 1)
    assert (await verify(team_id)).entries == 11
    async with transaction(ALL_TEAMS) as connection:
        await connection.execute("ALTER TABLE audit_entries DISABLE TRIGGER USER")
        await connection.execute("DELETE FROM audit_entries WHERE team_id = $1 AND position = 11", team_id)
        await connection.execute("ALTER TABLE audit_entries ENABLE TRIGGER USER")
    found = await verify(team_id)
    assert (found.broken_at, found.reason) == (11, "entry 11 is missing")


async def test_all_audit_entries_go_and_the_chain_goes_on(database: str) -> None:
    async with acquire(ALL_TEAMS) as connection:
        team_id = await make_team(connection)
    await write_log(team_id, 3)
    team = keeps(team_id, "UTC", keep_audit_days=30)
    assert await retention.forget(team, datetime.now(UTC) + timedelta(days=40)) == 3
    assert await retention.forget(team, datetime.now(UTC) + timedelta(days=40)) == 0
    found = await verify(team_id)
    assert (found.entries, found.reason) == (0, None)
    await write_log(team_id, 2)
    found = await verify(team_id)
    assert (found.entries, found.reason) == (2, None)


async def _age(statement: str, *arguments: object) -> None:
    async with acquire(ALL_TEAMS) as connection:
        await connection.execute(statement, *arguments)


async def _count(table: str, team_id: UUID) -> int:
    async with acquire(ALL_TEAMS) as connection:
        return int(await connection.fetchval(f"SELECT count(*) FROM {table} WHERE team_id = $1", team_id))


async def test_leftovers_have_a_bounded_life(database: str) -> None:
    team_id, users = await team_with_users("UTC")
    user = next(iter(users.values()))
    data = ndjson([{**CALL, "user": user, "occurredAt": "2026-03-01T10:00:00Z"}, {**CALL, "user": "x", "version": 2}])
    done_id = await upload(team_id, data, ImportOptions("test", "ndjson"))
    await run(done_id)
    failed_id = await upload(team_id, data, ImportOptions("test", "ndjson"))
    waiting_id = await upload(team_id, data, ImportOptions("test", "ndjson"))
    async with acquire(ALL_TEAMS) as connection:
        job = await jobs.claim_job(connection, "test", job_id=failed_id)
        assert job is not None
        await jobs.fail_job(connection, job, "It is damaged.", retry_in=None)
        broken = await imports._create_import(connection, team_id, ImportOptions("test", "ndjson"))
        await connection.execute(
            "INSERT INTO import_chunks (id, team_id, upload_id, number, data) VALUES (uuidv7(), $1, $2, 0, 'x')",
            team_id,
            broken,
        )
    assert await _count("import_chunks", team_id) == 3
    await retention.forget_leftovers()
    assert await _count("import_chunks", team_id) == 2, "the failed job's are gone"
    await _age("UPDATE imports SET created_at = now() - interval '2 days' WHERE id = $1", broken)
    await retention.forget_leftovers()
    assert await _count("import_chunks", team_id) == 1, "so are those of an upload that broke off"
    assert (await _count("imports", team_id), await _count("quarantined_records", team_id)) == (4, 1)
    await _age("UPDATE imports SET created_at = now() - interval '91 days' WHERE team_id = $1", team_id)
    await retention.forget_leftovers()
    assert (await _count("imports", team_id), await _count("quarantined_records", team_id)) == (1, 0)
    assert await _count("jobs", team_id) == 3
    await _age("UPDATE jobs SET finished_at = now() - interval '91 days' WHERE finished_at IS NOT NULL")
    await retention.forget_leftovers()
    async with acquire(ALL_TEAMS) as connection:
        rows = await connection.fetch("SELECT id FROM jobs WHERE team_id = $1", team_id)
    assert [row["id"] for row in rows] == [waiting_id]
    await run(waiting_id)


async def test_a_retry_that_took_a_record_in_keeps_no_copy(database: str) -> None:
    team_id, _users = await team_with_users("UTC")
    late = {**CALL, "user": "late@example.test", "occurredAt": "2026-03-01T10:00:00Z"}
    job_id = await upload(team_id, ndjson([late]), ImportOptions("test", "ndjson"))
    await run(job_id)
    async with acquire(ALL_TEAMS) as connection:
        await make_user(connection, team_id, await make_role(connection, team_id), email="late@example.test")
    assert (await imports.retry_quarantined(team_id, (await import_of(team_id, job_id)).id)).accepted == 1
    async with acquire(team_id) as connection:
        row = await connection.fetchrow("SELECT record, resolved_at FROM quarantined_records")
    assert row["record"] == ""
    assert row["resolved_at"] is not None


async def test_ended_sessions_go_and_tokens_stay(database: str) -> None:
    async with acquire(ALL_TEAMS) as connection:
        team_id = await make_team(connection)
        user_id = await make_user(connection, team_id, await make_role(connection, team_id))
        for kind, days in ((TokenKind.SESSION, -31), (TokenKind.SESSION, -1), (TokenKind.API, -31)):
            await create_token(
                connection, team_id, user_id, name="x", kind=kind, expires_at=datetime.now(UTC) + timedelta(days=days)
            )
    await retention.forget_leftovers()
    async with acquire(team_id) as connection:
        rows = await connection.fetch("SELECT kind FROM tokens ORDER BY id")
    assert [row["kind"] for row in rows] == ["session", "api"]


async def test_who_may_decide_and_what_fits(database: str) -> None:
    async with acquire(ALL_TEAMS) as connection:
        team_id = await make_team(connection)
        admin = await viewer_of(
            connection, await make_user(connection, team_id, await make_role(connection, team_id, is_admin=True))
        )
        clerk = await viewer_of(
            connection, await make_user(connection, team_id, await make_role(connection, team_id, "MANAGE_TEAM"))
        )
        rep = await viewer_of(connection, await make_user(connection, team_id, await make_role(connection, team_id)))

    async def change(viewer: Any, **values: int) -> Any:
        return await in_transaction(
            team_id, partial(team_settings.update_settings, viewer=viewer, change=SettingsChange(**values))
        )

    team = await change(clerk, keep_activities_days=400)
    assert (team.keep_activities_days, team.keep_audit_days) == (400, None)
    assert (await change(admin, keep_audit_days=365)).keep_audit_days == 365
    assert (await change(clerk, keep_activities_days=0)).keep_activities_days is None
    with pytest.raises(Forbidden) as refused:
        await change(clerk, keep_audit_days=30)
    assert refused.value.permission == "Admin"
    with pytest.raises(Forbidden):
        await change(rep, keep_activities_days=30)
    for values, field in (
        ({"keep_activities_days": -1}, "keepActivitiesDays"),
        ({"keep_activities_days": 36_501}, "keepActivitiesDays"),
        ({"keep_audit_days": 29}, "keepAuditDays"),
    ):
        with pytest.raises(Invalid) as wrong:
            await change(admin, **values)
        assert wrong.value.path == ("input", field)
    async with acquire(team_id) as connection:
        teams = [team async for team in _forgetting(connection) if team.team_id == team_id]
    assert teams == [keeps(team_id, "UTC", keep_audit_days=365)]


async def _forgetting(connection: Connection) -> Any:
    for team in await retention.teams_that_forget(connection):
        yield team
