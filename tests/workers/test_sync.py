"""The runner of syncs.

Invariants:
A. Whatever a kill, a fault or a wait interrupts, the activities at the end are those of an undisturbed run; nothing
   twice, nothing lost; no page that was committed is asked for again.
B. A sync that finds nothing asks the vendor once.
C. One sync of a connection at a time; a sync that is asked for meanwhile is the one that runs.
D. Waiting at the vendor's wish costs no attempt; what only a person can mend is parked, shown, and left alone.
E. A bad document never stops the rest; it is gone from quarantine as soon as it, or a newer version, is taken in.
F. Kept documents: what a full listing does not name is removed; time alone maps anew; so does a change of what they are
   mapped by; a document that comes to the same again changes no version.
G. Teams take turns; a team's thousand jobs do not keep another's one from its turn.
H. An account's budget holds over all workers: no window sees more than it allows.
I. Syncs come by their schedule, made once however many workers look.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain import budgets, integrations, jobs
from domain.connectors import (
    Budget,
    CursorExpired,
    RateLimited,
    RemoteRefused,
    RemoteUnavailable,
    SignInNeeded,
)
from domain.database import ALL_TEAMS, acquire, connect, disconnect, in_transaction
from domain.models import IntegrationState, JobState
from domain.models.base import new_id
from tests.factories import make_team
from tests.workers.desk import Desk, Shelf, wire_to
from workers import sync as sync_module

EMAIL = "rep@shelf.test"


@pytest.fixture
def shelf(monkeypatch: pytest.MonkeyPatch) -> Shelf:
    """The only connector there is."""
    return _only(monkeypatch, Shelf())


@pytest.fixture
def keeper(monkeypatch: pytest.MonkeyPatch) -> Shelf:
    """Likewise, one that keeps documents."""
    return _only(monkeypatch, Shelf(keeps=True))


def _only(monkeypatch: pytest.MonkeyPatch, shelf: Shelf) -> Shelf:
    monkeypatch.setattr(sync_module, "all_connectors", lambda: {shelf.manifest.kind: shelf})
    return shelf


async def _desk() -> Desk:
    return await Desk(wire_to()).open(EMAIL)


async def _calls(desk: Desk) -> dict[str, int]:
    return {name: row["duration_seconds"] for name, row in (await desk.activities()).items()}


async def test_everything_comes_then_only_what_is_new(database: str, shelf: Shelf) -> None:
    for number in range(10):
        shelf.put(f"c{number}", seconds=number)
    desk = await _desk()
    one = await desk.connect("shelf")
    await desk.work()
    assert await _calls(desk) == {f"call:c{number}": number for number in range(10)}
    row = await desk.integration(one)
    assert (row.state, row.account_name, row.last_error) == (IntegrationState.ACTIVE, "Shelf", None)
    assert row.last_synced_at is not None
    before = shelf.pulls
    await desk.sync(one)
    assert shelf.pulls == before + 1
    shelf.put("c3", seconds=33)
    shelf.take("c4")
    await desk.sync(one)
    assert (await _calls(desk))["call:c3"] == 33
    assert "call:c4" not in await _calls(desk)


async def test_a_kill_leaves_whole_batches_and_the_cursor_where_they_end(
    database: str, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync_module, "BATCH_DOCUMENTS", 3)
    for number in range(12):
        shelf.put(f"c{number}", seconds=number)
    desk = await _desk()
    await desk.connect("shelf")
    stuck = asyncio.Event()

    async def stop_at_the_third() -> None:
        if shelf.pulls == 3:
            stuck.set()
            await asyncio.Event().wait()

    shelf.before_page = stop_at_the_third
    working = asyncio.ensure_future(desk.work())
    await asyncio.wait_for(stuck.wait(), 20)
    while len(await _calls(desk)) < 6:
        await asyncio.sleep(0.01)
    # As a killed process leaves it: the task is gone, the lease stands until it lapses.
    async with acquire(ALL_TEAMS) as connection:
        await connection.execute(
            "UPDATE jobs SET leased_until = now() - interval '1 s' WHERE team_id = $1 AND state = 'RUNNING'", desk.team
        )
    shelf.before_page = None
    taken: list[int] = []
    pull = shelf.pull

    async def noted(session: Any, cursor: Any) -> Any:
        taken.append(int((cursor or {}).get("at", 0)))
        return await pull(session, cursor)

    monkeypatch.setattr(shelf, "pull", noted)
    await desk.work()
    assert taken[0] == 6
    assert await _calls(desk) == {f"call:c{number}": number for number in range(12)}
    working.cancel()
    await asyncio.wait({working})
    assert await _calls(desk) == {f"call:c{number}": number for number in range(12)}


async def test_a_fault_is_tried_again_and_what_came_before_it_is_kept(database: str, shelf: Shelf) -> None:
    for number in range(7):
        shelf.put(f"c{number}", seconds=number)
    shelf.troubles = [None, RemoteUnavailable("Shelf answered 503.")]
    desk = await _desk()
    one = await desk.connect("shelf")
    done = await desk.work()
    assert sorted(await _calls(desk)) == ["call:c0", "call:c1", "call:c2"]
    job = await desk.job(done[-1])
    assert (job.state, job.attempts, job.error) == (JobState.SCHEDULED, 1, "Shelf answered 503.")
    assert (await desk.integration(one)).last_error == "Shelf answered 503."
    await desk.hurry()
    await desk.work()
    assert len(await _calls(desk)) == 7
    assert (await desk.integration(one)).last_error is None


async def test_waiting_at_the_vendors_wish_costs_no_attempt(database: str, shelf: Shelf) -> None:
    shelf.put("c")
    shelf.troubles = [RateLimited("Shelf asks to wait 120 s.", 120.0)]
    desk = await _desk()
    one = await desk.connect("shelf")
    done = await desk.work()
    job = await desk.job(done[-1])
    assert (job.state, job.attempts) == (JobState.SCHEDULED, 0)
    wait = (job.due_at - datetime.now(UTC)).total_seconds()
    assert 100 < wait <= 120
    async with acquire(desk.team) as connection:
        assert 100 < await budgets.blocked_seconds(connection, desk.team, "shelf:shelf-1") <= 120
    assert (await desk.integration(one)).state is IntegrationState.ACTIVE


@pytest.mark.parametrize("trouble", [SignInNeeded("Sign in again."), RemoteRefused("Shelf refused.")])
async def test_what_only_a_person_can_mend_is_parked(database: str, shelf: Shelf, trouble: Exception) -> None:
    shelf.put("c")
    shelf.troubles = [trouble]
    desk = await _desk()
    one = await desk.connect("shelf")
    done = await desk.work()
    job = await desk.job(done[-1])
    assert (job.state, job.attempts, job.error) == (JobState.FAILED, 1, str(trouble))
    row = await desk.integration(one)
    assert (row.state, row.last_error) == (IntegrationState.BROKEN, str(trouble))
    async with acquire(ALL_TEAMS) as connection:
        await connection.execute("UPDATE integrations SET next_sync_at = now() WHERE id = $1", one)
        await integrations.schedule_due(connection, 1000)
    assert await desk.work() == []
    await desk.sync(one)
    assert (await desk.integration(one)).state is IntegrationState.ACTIVE
    assert len(await _calls(desk)) == 1


async def test_an_expired_cursor_begins_anew(database: str, shelf: Shelf) -> None:
    shelf.put("a")
    desk = await _desk()
    one = await desk.connect("shelf")
    await desk.work()
    shelf.put("b")
    shelf.troubles = [CursorExpired("gone")]
    await desk.sync(one)
    assert sorted(await _calls(desk)) == ["call:a", "call:b"]


async def test_a_bad_document_waits_and_the_rest_goes_on(database: str, shelf: Shelf) -> None:
    shelf.put("good")
    shelf.put("bad", seconds=-1)
    shelf.put("stranger", user="nobody@shelf.test")
    desk = await _desk()
    one = await desk.connect("shelf")
    await desk.work()
    assert sorted(await _calls(desk)) == ["call:good"]
    assert await desk.quarantine() == {"bad": "INVALID", "stranger": "UNKNOWN_USER"}
    async with acquire(desk.team) as connection:
        await connection.execute(
            "UPDATE users SET external_ids = '{nobody@shelf.test}' WHERE id = $1", desk.people[EMAIL]
        )
    await desk.sync(one, retry=True)
    assert await desk.quarantine() == {"bad": "INVALID"}
    shelf.put("bad", seconds=5)
    await desk.sync(one)
    assert await desk.quarantine() == {}
    assert (await _calls(desk))["call:bad"] == 5


async def test_kept_documents_are_swept_mapped_by_time_and_left_alone_otherwise(database: str, keeper: Shelf) -> None:
    soon = datetime.now(UTC) + timedelta(days=1)
    keeper.full = True
    keeper.put("a")
    keeper.put("b", again_at=soon.isoformat())
    keeper.put("c")
    desk = await _desk()
    one = await desk.connect("shelf")
    await desk.work()
    assert sorted(await _calls(desk)) == ["call:a", "call:b", "call:c"]

    async def versions() -> dict[str, int]:
        async with acquire(desk.team) as connection:
            rows = await connection.fetch(
                "SELECT external_id, version FROM activity_keys WHERE team_id = $1", desk.team
            )
        return {row["external_id"]: row["version"] for row in rows}

    first, maps = await versions(), keeper.maps
    await desk.sync(one)
    assert (await versions(), keeper.maps) == (first, maps)
    keeper.take("c")
    await desk.sync(one)
    assert sorted(await _calls(desk)) == ["call:a", "call:b"]
    async with acquire(desk.team) as connection:
        # Time passes.
        past = (datetime.now(UTC) - timedelta(minutes=1)).isoformat()
        await connection.execute(
            "UPDATE synced_documents SET again_at = now(), data = replace(data, $2, $3) WHERE team_id = $1 "
            "AND document_id = 'b'",
            desk.team,
            soon.isoformat(),
            past,
        )
    keeper.log = [
        one if one.id != "b" else type(one)("call", "b", {**one.data, "again_at": past}) for one in keeper.log
    ]
    await desk.sync(one)
    found = await desk.activities()
    assert (found["call:b"]["disposition"], found["call:a"]["disposition"]) == ("due", None)
    keeper.put("a", counts=False)
    keeper.full = False
    await desk.sync(one)
    assert sorted(await _calls(desk)) == ["call:b"]


async def test_a_change_of_what_documents_are_mapped_by_maps_them_anew(database: str, keeper: Shelf) -> None:
    for number in range(5):
        keeper.put(f"c{number}")
    desk = await _desk()
    await desk.connect("shelf")
    await desk.work()
    before, pulls = keeper.maps, keeper.pulls

    async def work(connection: Any) -> None:
        await integrations.want_remap(connection, desk.team, None)

    await in_transaction(desk.team, work)
    await desk.work()
    assert (keeper.maps, keeper.pulls) == (before + 5, pulls + 1)


async def test_one_sync_at_a_time(database: str, shelf: Shelf) -> None:
    shelf.put("c")
    desk = await _desk()
    one = await desk.connect("shelf")
    await desk.work()
    made = set()
    for _ in range(5):
        async with acquire(desk.team) as connection:
            made.add(await integrations.sync_now(connection, desk.admin, one))
    assert len(made) == 1

    async def ask(_: int) -> UUID:
        async with acquire(desk.team) as connection:
            return await integrations.create_sync(connection, desk.team, one, None)

    assert set(await asyncio.gather(*map(ask, range(6)))) == made
    assert await desk.work() == list(made)


async def test_a_pause_ends_a_running_sync_at_its_next_page(database: str, shelf: Shelf) -> None:
    for number in range(9):
        shelf.put(f"c{number}")
    desk = await _desk()
    one = await desk.connect("shelf")
    async with acquire(ALL_TEAMS) as connection:
        check = await jobs.claim_jobs(connection, "desk", 10, kinds=[integrations.CHECK_KIND])
    from workers.jobs import run_claimed

    for claimed in check:
        await run_claimed(claimed, lambda: None, desk.handlers)

    async def pause() -> None:
        if shelf.pulls == 2:
            change = integrations.IntegrationChange(paused=True)
            async with acquire(desk.team) as connection, connection.transaction():
                await integrations.update(connection, desk.admin, one, change, box=None)

    shelf.before_page = pause
    done = await desk.work()
    assert (await desk.job(done[-1])).state is JobState.CANCELLED
    assert len(await _calls(desk)) == 0
    row = await desk.integration(one)
    assert row.state is IntegrationState.PAUSED
    shelf.before_page = None
    async with acquire(desk.team) as connection, connection.transaction():
        await integrations.update(connection, desk.admin, one, integrations.IntegrationChange(paused=False), box=None)
    await desk.work()
    assert len(await _calls(desk)) == 9


async def test_the_schedule_makes_each_sync_once(database: str, shelf: Shelf) -> None:
    desk = await _desk()
    one = await desk.connect("shelf")
    await desk.work()
    async with acquire(ALL_TEAMS) as connection:
        await connection.execute("UPDATE integrations SET next_sync_at = now() - interval '1 day' WHERE id = $1", one)

    async def look(_: int) -> int:
        async with acquire(ALL_TEAMS) as connection:
            return await integrations.schedule_due(connection, 1000)

    await asyncio.gather(*map(look, range(4)))
    assert len(await desk.work()) == 1
    row = await desk.integration(one)
    assert row.next_sync_at is not None
    # What was missed is not made up for one by one.
    assert row.next_sync_at > datetime.now(UTC) - timedelta(minutes=1)


async def test_teams_take_turns(database: str) -> None:
    kind = f"turns-{new_id().hex}"[:40]
    async with acquire(ALL_TEAMS) as connection:
        teams = [await make_team(connection) for _ in range(3)]
        for team, count in zip(teams, (40, 3, 1), strict=True):
            for number in range(count):
                await jobs.create_job(connection, team, kind, run_key=f"{number}", arguments={})
        order: list[int] = []
        running: list[UUID] = []
        while True:
            claimed = await jobs.claim_jobs(connection, "turns", 4 - len(running), kinds=[kind])
            order += [teams.index(one.team_id) for one in claimed]
            running += [one.id for one in claimed]
            if not running:
                break
            await connection.execute(
                "UPDATE jobs SET state = 'SUCCEEDED', lease_holder = NULL, leased_until = NULL WHERE id = $1",
                running.pop(0),
            )
    assert len(order) == 44
    # Whatever chance says among equals: a team's first job never waits for another's third, nor its second for a fifth.
    assert {1, 2} <= set(order[:4])
    assert order[:10].count(1) == 3


async def test_a_batch_of_claims_is_fair_and_no_two_take_the_same(database: str) -> None:
    kind = f"batch-{new_id().hex}"[:40]
    async with acquire(ALL_TEAMS) as connection:
        teams = [await make_team(connection) for _ in range(4)]
        for team in teams:
            for number in range(20):
                await jobs.create_job(connection, team, kind, run_key=f"{number}", arguments={})

    async def claim(holder: int) -> list[jobs.ClaimedJob]:
        async with acquire(ALL_TEAMS) as connection:
            return await jobs.claim_jobs(connection, f"h{holder}", 8, kinds=[kind])

    first = await claim(0)
    assert sorted(teams.index(one.team_id) for one in first) == [0, 0, 1, 1, 2, 2, 3, 3]
    rest: list[jobs.ClaimedJob] = []
    while lot := [one for found in await asyncio.gather(*map(claim, range(1, 5))) for one in found]:
        rest += lot
    ids = [one.id for one in first + rest]
    assert len(ids) == len(set(ids)) == 80


@settings(max_examples=12)
@given(seed=st.integers(0, 10**9))
def test_no_window_sees_more_than_the_budget_allows(database_url: str, seed: int) -> None:
    random = Random(seed)
    budget = Budget(cost=random.choice((20, 100, 600)), seconds=random.choice((1.0, 2.0)))

    async def run() -> None:
        await connect(database_url, pool_size=4)
        try:
            async with acquire(ALL_TEAMS) as connection:
                team = await make_team(connection)
            spent: list[tuple[float, float]] = []
            loop = asyncio.get_running_loop()
            end = loop.time() + 0.4

            async def worker() -> None:
                while loop.time() < end:
                    cost = random.choice((1, 1, 1, 3))
                    async with acquire(team) as connection:
                        began = loop.time()
                        wait = await budgets.spend(connection, team, "vendor:1", cost, budget)
                    if wait:
                        await asyncio.sleep(min(wait, max(end - loop.time(), 0)))
                    else:
                        spent.append((began, cost))

            await asyncio.gather(*(worker() for _ in range(3)))
            # All of it fell within less than one window.
            assert 0 < sum(cost for _, cost in spent) <= budget.cost + 3
        finally:
            await disconnect()

    asyncio.run(run())
