"""What live calls leave behind.

Invariants:
A. Ended calls go with their notes and places when the team's time for them has passed, and not before.
B. What is said of an erased person goes at once: their calls end, and what comes later of them is not kept.
C. A person's export holds their calls, the calls that they were on, and their notes.
D. Messages' ids go after a day; a removed dialer goes with its last call.
E. The demo's calls follow from the moment alone, come and go, and become no activities.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import orjson
import pytest
from redis.asyncio import Redis

from domain import access, dialers, erasure, jobs, live_calls, live_notes, personal_data
from domain.database import ALL_TEAMS, acquire, in_transaction
from domain.demo import live_calls as demo
from domain.demo.people import create_people
from domain.live_consent import DEFAULTS, Jurisdiction, Studio, consent_of, read_studio
from domain.models.live_calls import ConsentRule, JoinMode, LiveCallState
from tests.live import BOX, LiveTeam, event
from workers.demo_calls import DemoCalls
from workers.jobs import run_claimed


async def note(team: LiveTeam, call: Any, user_id: UUID, text: str, *, private: bool = False) -> None:
    viewer = await team.viewer(user_id)
    work = partial(
        live_notes.add_note,
        viewer=viewer,
        call_id=call.id,
        text=text,
        private=private,
        at_second=None,
        now=datetime.now(UTC),
    )
    await in_transaction(team.team_id, work)


async def counts(team: LiveTeam) -> dict[str, int]:
    tables = "live_calls live_call_notes live_call_participants dialer_messages dialers".split()
    async with acquire(ALL_TEAMS) as connection:
        return {
            table: await connection.fetchval(f"SELECT count(*) FROM {table} WHERE team_id = $1", team.team_id)
            for table in tables
        }


async def prune(work: Any) -> None:
    while await in_transaction(ALL_TEAMS, work):
        pass


async def test_ended_calls_go_in_time(database: str) -> None:
    team = await LiveTeam().build()
    old, new = await team.call("old"), await team.call("new", team.reps[1])
    await team.join(old)
    await note(team, old, team.managers[0], "well done")
    await team.tell(event("ended", "old"), event("ended", "new"))
    await prune(live_calls.prune)
    assert (await counts(team))["live_calls"] == 2
    await team.set(
        "UPDATE live_calls SET started_at = now() - interval '32 days', ended_at = now() - interval '31 days' "
        "WHERE team_id = $1 AND external_id = 'old'"
    )
    await prune(live_calls.prune)
    assert (await counts(team))["live_calls"] == 2, "its line is looked at still"
    await team.set("UPDATE live_calls SET look_at = NULL WHERE team_id = $1")
    await team.allow("ONE_PARTY", keep_days=60)
    await prune(live_calls.prune)
    assert (await counts(team))["live_calls"] == 2, "the team keeps them longer"
    await team.allow("ONE_PARTY", keep_days=30)
    await prune(live_calls.prune)
    left = await counts(team)
    assert (left["live_calls"], left["live_call_notes"], left["live_call_participants"]) == (1, 0, 0)
    assert (await team.row("new")).id == new.id


async def test_messages_and_dialers_go(database: str) -> None:
    team = await LiveTeam().build()
    now = datetime.now(UTC)
    await team.call()
    for name in ("a", "b"):
        work = partial(
            live_calls.take_in, dialer=team.dialer, event=event("heartbeat"), now=now, message=(name, b"body")
        )
        await in_transaction(team.team_id, work)
    old = UUID(int=int((now - timedelta(days=2)).timestamp() * 1000) << 80 | 1)
    await team.set(f"UPDATE dialer_messages SET id = '{old}' WHERE team_id = $1 AND message_id = 'a'")
    await prune(dialers.prune)
    assert (await counts(team))["dialer_messages"] == 1
    admin = await team.viewer(team.admin_id)
    call = await team.row()
    await team.join(call)
    await in_transaction(team.team_id, lambda connection: dialers.remove_dialer(connection, admin, team.dialer.id, now))
    (place,) = await team.places(call)
    assert (place.state, place.reason) == ("LEAVING", "DIALER_REMOVED")
    await prune(dialers.prune_removed)
    assert (await counts(team))["dialers"] == 1
    await team.set("DELETE FROM live_calls WHERE team_id = $1")
    await prune(dialers.prune_removed)
    assert (await counts(team))["dialers"] == 0
    # The name is free again.
    assert (await in_transaction(team.team_id, lambda connection: dialers.list_dialers(connection, admin))) == []


async def erase(team: LiveTeam, user_id: UUID) -> None:
    admin = await team.viewer(team.admin_id)

    async def begin(connection: Any) -> UUID:
        _user, job_id = await erasure.erase_user(connection, admin, user_id, now=datetime.now(UTC))
        return job_id

    job_id = await in_transaction(ALL_TEAMS, begin)
    async with acquire(ALL_TEAMS) as connection:
        claim = await jobs.claim_job(connection, "test", job_id=job_id)
    assert claim is not None
    await run_claimed(claim, lambda: None)


async def test_erasing_a_rep_and_a_manager(database: str) -> None:
    team = await LiveTeam().build()
    call, other = await team.call(counterpart="Dana Secret"), await team.call("2", team.reps[1])
    await team.join(call)
    await note(team, call, team.managers[0], "about the rep")
    await note(team, other, team.managers[0], "by the manager")
    await note(team, other, team.managers[1], "by another one")
    email = await team.email(team.reps[0])
    await erase(team, team.reps[0])
    row = await team.row()
    assert (row.state, row.counterpart, row.user_jurisdiction) == (LiveCallState.ENDED, None, None)
    assert "Secret" not in orjson.dumps(row.facts).decode()
    assert email not in orjson.dumps(row.facts).decode()
    (place,) = await team.places(call)
    assert (place.state, place.address) == ("LEAVING", "+15550111" if place.address else None)
    assert (await counts(team))["live_call_notes"] == 2
    # What the dialer tells of it later is not kept.
    await team.tell(event("updated", counterpart="Dana Secret", at=datetime.now(UTC)))
    assert "Secret" not in orjson.dumps((await team.row()).facts).decode()
    await erase(team, team.managers[0])
    async with acquire(ALL_TEAMS) as connection:
        texts = await connection.fetch("SELECT text FROM live_call_notes WHERE team_id = $1", team.team_id)
    assert [one["text"] for one in texts] == ["by another one"]
    (place,) = await team.places(call)
    assert place.address is None


async def test_a_persons_export(database: str) -> None:
    team = await LiveTeam().build()
    call = await team.call(counterpart="Dana")
    await team.join(call, mode=JoinMode.WHISPER)
    await note(team, call, team.managers[0], "well done", private=True)

    async def export(user_id: UUID, *, by: UUID | None = None) -> list[dict[str, Any]]:
        made = await personal_data.begin_export(await team.viewer(by or team.admin_id), user_id)
        lines = b"".join([lot async for lot in made.lines()]).splitlines()
        return [one for one in map(orjson.loads, lines) if one["record"].startswith("liveCall")]

    (own,) = await export(team.reps[0])
    assert (own["record"], own["counterpart"]) == ("liveCall", "Dana")
    joined, written = await export(team.managers[0], by=team.managers[0])
    # What is private is its author's alone, Admins included.
    assert await export(team.managers[0]) == [joined]
    assert (joined["record"], joined["mode"], joined["state"]) == ("liveCallJoined", "WHISPER", "REQUESTED")
    assert (written["record"], written["text"], written["private"]) == ("liveCallNote", "well done", True)


def test_the_strictest_rule_wins() -> None:
    rules = {
        "US": Jurisdiction(ConsentRule.ONE_PARTY),
        "US-CA": Jurisdiction(ConsentRule.ALL_PARTY, "tell"),
        "US-PA": Jurisdiction(ConsentRule.ALL_PARTY, "say"),
        "DE": Jurisdiction(ConsentRule.FORBIDDEN, "no"),
    }
    studio = Studio(3, 50, 30, Jurisdiction(ConsentRule.ALL_PARTY, "unknown"), rules)
    found = {
        pair: (consent_of(studio, *pair).rule.value, consent_of(studio, *pair).banner)
        for pair in [("US-NY", "US"), ("US-CA", "US-PA"), ("US-CA", "DE"), (None, "US"), ("FR", "US-CA"), ("DE", None)]
    }
    assert found == {
        ("US-NY", "US"): ("ONE_PARTY", None),
        ("US-CA", "US-PA"): ("ALL_PARTY", "tell say"),
        ("US-CA", "DE"): ("FORBIDDEN", "no"),
        (None, "US"): ("ALL_PARTY", "unknown"),
        ("FR", "US-CA"): ("ALL_PARTY", "unknown tell"),
        ("DE", None): ("FORBIDDEN", "no"),
    }
    assert consent_of(DEFAULTS, "US", "US").rule is ConsentRule.ALL_PARTY, "until the team has said otherwise"


def test_private_notes_are_their_authors_in_both_forms() -> None:
    class Reader:
        user_id = UUID(int=1)

    arguments: list[object] = []
    condition = access.notes_filter(Reader(), "n", arguments)  # type: ignore[arg-type]
    assert condition == "(NOT n.private OR n.author_id = $1)"
    assert arguments == [UUID(int=1)]
    for author, private, readable in ((1, True, True), (2, True, False), (2, False, True)):
        assert access.may_read_note(Reader(), UUID(int=author), private=private) is readable  # type: ignore[arg-type]


def test_the_demos_calls_follow_from_the_moment() -> None:
    start = datetime(2026, 11, 2, 15, 0, tzinfo=UTC)
    alive = []
    names: dict[str, demo.DemoCall] = {}
    for minute in range(60):
        now = start + timedelta(minutes=minute)
        calls = demo.calls_at(now)
        assert calls == demo.calls_at(now)
        for call in calls:
            assert names.setdefault(call.name, call) == call
            kinds = [one.type.value for one in call.events(now)]
            assert kinds[0] == "call.started"
            assert ("call.ended" in kinds) is (call.ended_at <= now)
        alive.append(sum(call.ended_at > now for call in calls))
    assert min(alive) >= 3
    assert max(alive) <= len(demo.CALLERS)
    assert any(call.answered_at is None for call in names.values())
    assert {call.counterpart[1] for call in names.values()} == {"US-NY", "US-CA", "US-TX", "DE"}
    managers = [rep for rep in demo.CALLERS if rep.group is not None and rep.group.startswith("East")]
    assert len(managers) >= 6


async def test_the_demo_comes_and_goes(fresh_database: str, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    redis = Redis.from_url(redis_url)
    demo_calls = DemoCalls(BOX, redis)
    assert not await demo_calls.step()
    async with acquire(ALL_TEAMS) as connection:
        assert await connection.fetchval("SELECT count(*) FROM dialers") == 0, "there is no demo team"
    team_id = await in_transaction(ALL_TEAMS, lambda connection: create_people(connection, datetime.now(UTC).date()))
    for worker in (demo_calls, DemoCalls(BOX, redis)):
        await worker.step()
        await worker.step()
    async with acquire(ALL_TEAMS) as connection:
        dialer = await connection.fetchrow("SELECT * FROM dialers")
        rows = await connection.fetch("SELECT * FROM live_calls")
        assert await connection.fetchval("SELECT count(*) FROM activities") == 0
        assert await read_studio(connection, team_id) == demo.STUDIO
    assert (dialer["team_id"], dialer["telephony"]) == (team_id, "LOOPBACK")
    assert {row["external_id"] for row in rows} <= {call.name for call in demo.calls_at(datetime.now(UTC))}
    assert {row["team_id"] for row in rows} == {team_id}
    assert all(row["user_id"] is not None for row in rows)
    assert any(row["state"] == "IN_PROGRESS" for row in rows)
    await redis.aclose()
