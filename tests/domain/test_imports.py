"""Files in.

Invariants:
A. NDJSON and CSV, plain and gzipped, in pieces of any size, give the same activities.
B. A bad record is kept with its line and reason and stops nobody; a retry takes it in once the reason is gone.
C. A dry run counts and refuses as if, and takes nothing in.
D. A file that breaks off or is damaged fails its job by name; what was read before stays, once.
E. An upload that breaks off leaves nothing behind.
F. Only the holder of the lease commits.
"""

from __future__ import annotations

import asyncio
import csv
import gzip
import io
import json
from collections.abc import AsyncIterator, Iterator
from random import Random
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import imports, jobs
from domain.database import ALL_TEAMS, acquire
from domain.errors import Invalid
from domain.imports import ImportOptions
from domain.jobs import LeaseLost
from domain.models import Import
from domain.records import RecordRefused, decode_json, decode_mapping
from domain.uploads import LINE_LIMIT_BYTES, gunzip, read_entries
from tests.domain.test_ingest import check, random_history, team_with_users
from tests.factories import make_role, make_user


def ndjson(records: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def as_csv(records: list[dict[str, Any]]) -> bytes:
    names = sorted({name for record in records for name in record})
    text = io.StringIO()
    writer = csv.DictWriter(text, names)
    writer.writeheader()
    for record in records:
        writer.writerow(
            {name: str(value).lower() if isinstance(value, bool) else value for name, value in record.items()}
        )
    return b"\xef\xbb\xbf" + text.getvalue().encode()


async def _pieces(data: bytes, size: int = 100_000) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def upload(team_id: UUID, data: bytes, options: ImportOptions) -> UUID:
    return await imports.receive_upload(team_id, None, options, _pieces(data))


async def run(job_id: UUID, holder: str = "test") -> None:
    async with acquire(ALL_TEAMS) as connection:
        job = await jobs.claim_job(connection, holder, job_id=job_id)
    assert job is not None
    await imports.run_upload(job)


async def import_of(team_id: UUID, job_id: UUID) -> Import:
    async with acquire(ALL_TEAMS) as connection:
        found = await imports.import_of_job(connection, team_id, job_id)
    assert found is not None
    return found


@pytest.mark.parametrize("form", ["ndjson", "csv"])
@pytest.mark.parametrize("compressed", [False, True])
async def test_every_form_gives_the_same(database: str, form: str, compressed: bool) -> None:
    team_id, users = await team_with_users("Europe/Berlin")
    records = random_history(21, list(users.values()), 200)
    data = ndjson(records) if form == "ndjson" else as_csv(records)
    if compressed:
        half = len(data) // 2
        data = gzip.compress(data[:half]) + gzip.compress(data[half:])
    job_id = await upload(team_id, data, ImportOptions("test", form, compressed=compressed))
    await run(job_id)
    await check(team_id, users, records, "Europe/Berlin")
    done = await import_of(team_id, job_id)
    assert (done.accepted + done.unchanged, done.rejected) == (len(records), 0)
    async with acquire(ALL_TEAMS) as connection:
        job = await jobs.get_job(connection, team_id, job_id)
        assert job is not None
        assert (job.state.value, job.processed, job.total) == ("SUCCEEDED", len(records), len(records))
        assert await connection.fetchval("SELECT count(*) FROM import_chunks WHERE team_id = $1", team_id) == 0


@given(data=st.binary(max_size=400), size=st.integers(1, 50))
def test_lines_do_not_depend_on_the_pieces(data: bytes, size: int) -> None:
    def cut(step: int) -> Iterator[bytes]:
        return (data[start : start + step] for start in range(0, len(data), step))

    whole = [(entry.position, entry.raw) for entry in read_entries(iter([data]), "ndjson", compressed=False)]
    assert [(entry.position, entry.raw) for entry in read_entries(cut(size), "ndjson", compressed=False)] == whole
    packed = gzip.compress(data)
    pieces = (packed[start : start + size] for start in range(0, len(packed), size))
    assert b"".join(gunzip(pieces)) == data


def test_a_line_without_end_is_refused_and_not_held() -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(12):
            yield b"x" * 2**20
        yield b'\n{"kind":"call","externalId":"a","version":1,"deleted":true}\n'

    first, second = read_entries(endless(), "ndjson", compressed=False)
    assert first.refusal is not None
    assert first.refusal.code == "TOO_LONG"
    assert len(first.raw) < LINE_LIMIT_BYTES
    assert second.record is not None


def test_a_bomb_is_refused() -> None:
    packed = gzip.compress(bytes(200 * 2**20), 9)
    with pytest.raises(Invalid, match="unpacks to far more"):
        for _ in gunzip(iter([packed])):
            pass


async def test_refused_records_wait_and_are_retried(database: str) -> None:
    team_id, users = await team_with_users("UTC")
    user = next(iter(users.values()))
    good = {"kind": "call", "externalId": "a", "user": user, "occurredAt": "2026-03-01T10:00:00Z", "version": 1}
    late = {**good, "externalId": "b", "user": "late@example.test"}
    data = ndjson([good, late]) + b"nonsense\n\n" + ndjson([{**good, "externalId": "c", "durationSeconds": -1}])
    job_id = await upload(team_id, data, ImportOptions("test", "ndjson"))
    await run(job_id)
    done = await import_of(team_id, job_id)
    assert (done.accepted, done.rejected) == (1, 3)
    async with acquire(ALL_TEAMS) as connection:
        rows = await connection.fetch(
            "SELECT position, code, field, record FROM quarantined_records WHERE upload_id = $1 ORDER BY position",
            done.id,
        )
        assert [(row["position"], row["code"], row["field"]) for row in rows] == [
            (2, "UNKNOWN_USER", "user"),
            (3, "INVALID_JSON", None),
            (5, "INVALID", "durationSeconds"),
        ]
        assert json.loads(rows[0]["record"]) == late
        role = await make_role(connection, team_id)
        late_id = await make_user(connection, team_id, role, email="late@example.test")
    outcome = await imports.retry_quarantined(team_id, done.id)
    assert (outcome.accepted, outcome.rejected) == (1, 2)
    await check(team_id, users | {late_id: "late@example.test"}, [good, late], "UTC")
    done = await import_of(team_id, job_id)
    assert (done.accepted, done.rejected) == (2, 2)
    assert (await imports.retry_quarantined(team_id, done.id)).accepted == 0


async def test_csv_rows_are_retried_as_rows(database: str) -> None:
    team_id, users = await team_with_users("UTC")
    records = [
        {
            "kind": "call",
            "externalId": "a",
            "user": "late@example.test",
            "occurredAt": "2026-03-01T10:00:00Z",
            "version": 1,
            "connected": True,
            "durationSeconds": 60,
        }
    ]
    job_id = await upload(team_id, as_csv(records), ImportOptions("test", "csv"))
    await run(job_id)
    async with acquire(ALL_TEAMS) as connection:
        late_id = await make_user(connection, team_id, await make_role(connection, team_id), email="late@example.test")
    done = await import_of(team_id, job_id)
    assert (await imports.retry_quarantined(team_id, done.id)).accepted == 1
    await check(team_id, users | {late_id: "late@example.test"}, records, "UTC")


async def test_a_dry_run_takes_nothing_in(database: str) -> None:
    team_id, users = await team_with_users("UTC")
    records = random_history(8, list(users.values()), 30)
    job_id = await upload(team_id, ndjson(records) + b"nonsense\n", ImportOptions("test", "ndjson", dry_run=True))
    await run(job_id)
    done = await import_of(team_id, job_id)
    assert done.accepted > 0
    assert done.rejected == 1
    await check(team_id, users, [], "UTC")


async def test_a_damaged_file_fails_by_name_and_keeps_what_was_read(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imports, "FIRST_BATCH_ROWS", 10)
    monkeypatch.setattr(imports, "BATCH_ROWS", 10)
    team_id, users = await team_with_users("UTC")
    random = Random(3)
    records = random_history(9, list(users.values()), 3_000)
    random.shuffle(records)
    data = gzip.compress(ndjson(records))
    job_id = await upload(team_id, data[: len(data) // 2], ImportOptions("test", "ndjson", compressed=True))
    with pytest.raises(Invalid, match="ends too early"):
        await run(job_id)
    async with acquire(ALL_TEAMS) as connection:
        job = await jobs.get_job(connection, team_id, job_id)
    assert job is not None
    assert 0 < job.processed < len(records)
    await check(team_id, users, records[: job.processed], "UTC")


async def test_an_upload_that_breaks_off_leaves_nothing(database: str) -> None:
    team_id, _users = await team_with_users("UTC")

    async def broken() -> AsyncIterator[bytes]:
        yield b"x" * (3 * 2**20)
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await imports.receive_upload(team_id, None, ImportOptions("test", "ndjson"), broken())
    with pytest.raises(Invalid, match="empty"):
        await upload(team_id, b"", ImportOptions("test", "ndjson"))
    async with acquire(ALL_TEAMS) as connection:
        for table in ("imports", "import_chunks", "jobs"):
            assert await connection.fetchval(f"SELECT count(*) FROM {table} WHERE team_id = $1", team_id) == 0


async def test_only_the_holder_commits(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imports, "FIRST_BATCH_ROWS", 50)
    monkeypatch.setattr(imports, "BATCH_ROWS", 50)
    team_id, users = await team_with_users("UTC")
    records = random_history(10, list(users.values()), 400)
    job_id = await upload(team_id, ndjson(records), ImportOptions("test", "ndjson"))
    async with acquire(ALL_TEAMS) as connection:
        slow = await jobs.claim_job(connection, "slow", job_id=job_id, lease_seconds=-1.0)
        quick = await jobs.claim_job(connection, "quick", job_id=job_id)
        assert slow is not None
        assert quick is not None
        assert await jobs.claim_job(connection, "third", job_id=job_id) is None

    async def lose() -> None:
        with pytest.raises(LeaseLost):
            await imports.run_upload(slow)

    await asyncio.gather(lose(), imports.run_upload(quick))
    await check(team_id, users, records, "UTC")
    done = await import_of(team_id, job_id)
    assert done.accepted + done.unchanged + done.rejected == len(records)


@pytest.mark.parametrize("field", ["externalId", "user"])
def test_what_a_record_is_looked_up_by_is_text(field: str) -> None:
    """One that PostgreSQL cannot read would fail the look-up of its whole batch."""
    record = {"kind": "call", "externalId": "a", "user": "b", "occurredAt": "2026-01-05T00:00:00Z", field: "x\0"}
    gone = {"kind": "call", "externalId": "a\0", "deleted": True}
    for one in (record, gone):
        with pytest.raises(RecordRefused, match="NUL"):
            decode_json(json.dumps(one))
        with pytest.raises(RecordRefused, match="NUL"):
            decode_mapping(one)
