"""Syncs of what may not be kept any more.

Invariants:
A. An erased person's documents go, kept, quarantined and shown ones, with the person's own connections; a full listing
   that brings them again leaves nothing behind, whether the connector keeps documents or not. Others' stay.
B. A document goes with the last of its activities that is not kept any more, and a full listing does not bring it back.
C. The numbers stay.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from domain import erasure, jobs, kept_documents, retention
from domain.database import ALL_TEAMS, acquire, in_transaction
from domain.models import JobState
from domain.models.base import new_id
from domain.retention import TeamRetention
from tests.oracle.traces import find_traces
from tests.workers.desk import Desk, Shelf, wire_to
from workers import sync as sync_module
from workers.jobs import run_claimed

ADA, REP = "ada@shelf.test", "rep@shelf.test"
NOTE = "Bernoulli numbers"


def shelf_of(monkeypatch: pytest.MonkeyPatch, *, keeps: bool) -> Shelf:
    """The only connector there is."""
    shelf = Shelf(keeps=keeps)
    monkeypatch.setattr(sync_module, "all_connectors", lambda: {shelf.manifest.kind: shelf})
    return shelf


async def traces(desk: Desk) -> set[tuple[str, str, str]]:
    async with acquire(ALL_TEAMS) as connection:
        return await find_traces(connection, desk.team, (ADA, NOTE, "vendor-ada-1"))


async def erase(desk: Desk, email: str) -> None:
    async def work(connection: Any) -> UUID:
        _user, job_id = await erasure.erase_user(connection, desk.admin, desk.people[email], now=datetime.now(UTC))
        return job_id

    job_id = await in_transaction(desk.team, work)
    async with acquire(ALL_TEAMS) as connection:
        job = await jobs.claim_job(connection, "test", job_id=job_id)
    assert job is not None
    await run_claimed(job, lambda: None)
    ended = await desk.job(job_id)
    assert ended.state is JobState.SUCCEEDED, ended.error


async def calls(desk: Desk) -> int:
    async with acquire(desk.team) as connection:
        return int(await connection.fetchval("SELECT coalesce(sum(calls_logged), 0) FROM rollup_days"))


async def kept(desk: Desk) -> set[str]:
    async with acquire(desk.team) as connection:
        return {row["document_id"] for row in await connection.fetch("SELECT document_id FROM synced_documents")}


@pytest.mark.parametrize("keeps", [True, False])
async def test_an_erased_persons_documents(database: str, monkeypatch: pytest.MonkeyPatch, keeps: bool) -> None:
    monkeypatch.setattr(kept_documents, "LOT", 2)
    shelf = shelf_of(monkeypatch, keeps=keeps)
    shelf.full = True
    for number in range(4):
        shelf.put(f"a{number}", user=ADA, note=NOTE)
    shelf.put("bad", user=ADA, seconds=-1, note=NOTE)
    shelf.put("strange", user="nobody@shelf.test", owner="vendor-ada-1", note=NOTE)
    shelf.put("r1", user=REP)
    shelf.put("r-bad", user=REP, seconds=-1)
    if keeps:
        shelf.put("nothing", user=ADA, counts=False, note=NOTE)
    desk = await Desk(wire_to()).open(ADA, REP)
    async with acquire(ALL_TEAMS) as connection:
        await connection.execute("UPDATE users SET external_ids = '{vendor-ada-1}' WHERE id = $1", desk.people[ADA])
        own = new_id()
        await connection.execute(
            "INSERT INTO integrations (id, team_id, kind, name, owner_id, state, interval_minutes, account_id) "
            "VALUES ($1, $2, 'shelf', 'My shelf', $3, 'PAUSED', 60, $4)",
            own,
            desk.team,
            desk.people[ADA],
            ADA,
        )
        await connection.execute(
            "INSERT INTO account_budgets (id, team_id, account, available, filled_at) VALUES ($1, $2, $3, 1, now())",
            new_id(),
            desk.team,
            f"shelf:{ADA}",
        )
    one = await desk.connect("shelf")
    await desk.work()
    async with acquire(ALL_TEAMS) as connection:
        samples = (
            f'[{{"object": "call", "data": {{"user": "{ADA}"}}}}, {{"object": "call", "data": {{"user": "{REP}"}}}}]'
        )
        await connection.execute(
            "UPDATE integrations SET samples = $2::jsonb, account_name = $3, last_error = $4 WHERE id = $1",
            one,
            samples,
            ADA,
            f"The account {ADA} was signed out.",
        )
    before, tables = await calls(desk), {table for table, _column, _needle in await traces(desk)}
    assert before == 5
    assert tables >= {"quarantined_documents", "integrations", "account_budgets", "users"}
    assert ("synced_documents" in tables) is keeps
    await erase(desk, ADA)
    assert await traces(desk) == set()
    row = await desk.integration(one)
    assert (row.account_name, row.last_error, len(row.samples)) == ("Erased account", None, 1)
    assert set(await desk.quarantine()) == {"r-bad"}
    # The vendor has it all still.
    await desk.sync(one)
    assert await traces(desk) == set()
    assert set(await desk.quarantine()) == {"r-bad"}
    assert set(await desk.activities()) == {"call:r1"}
    assert await calls(desk) == before
    if keeps:
        assert await kept(desk) == {"r1", "r-bad"}
        shelf.put("r1", user=REP, seconds=7)
        await desk.sync(one)
        assert (await desk.activities())["call:r1"]["duration_seconds"] == 7


async def test_old_documents_go_with_their_activities(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = shelf_of(monkeypatch, keeps=True)
    shelf.full = True
    for number in range(5):
        shelf.put(f"c{number}")
    shelf.put("later", again_at=(datetime.now(UTC) + timedelta(days=900)).isoformat())
    shelf.put("bad", seconds=-1)
    desk = await Desk(wire_to()).open(REP)
    one = await desk.connect("shelf")
    await desk.work()
    assert len(await kept(desk)) == 7
    before = await calls(desk)
    async with acquire(desk.team) as connection:
        await connection.execute("UPDATE teams SET keep_activities_days = 30")
    now = datetime(2026, 3, 4, 12, tzinfo=UTC) + timedelta(days=60)
    assert await retention.forget(TeamRetention(desk.team, "UTC", 30, None, None), now) == 6
    assert await kept(desk) == {"later", "bad"}, "more is to come of one, and the other waits to be mended"
    await desk.sync(one)
    assert await desk.activities() == {}
    assert "c0" not in await kept(desk)
    assert set(await desk.quarantine()) == {"bad"}, "what is too old is not kept to be mended"
    assert await calls(desk) == before
