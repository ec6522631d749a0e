"""Putting and cancelling actions; what becomes of them when time has passed, or their person is erased.

Invariants:
A. The same key is the same action: put again it is changed; with another time, rule or zone it begins anew.
B. What has ended and comes to the same time again stays ended; what was cancelled lives again.
C. Everything of an erased person's goes: actions, history, messages, and snapshots with their name in them.
D. What ended long ago goes, what goes on stays.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from domain import action_runs, actions, erasure, messages, personal_data, snapshots
from domain.actions import NewAction, cancel_actions, put_action, put_actions
from domain.database import ALL_TEAMS, acquire, transaction
from domain.errors import Invalid
from domain.messages import NewMessage, queue_message
from domain.models.base import new_id
from tests.factories import make_role, make_team, make_user, viewer_of

NOW = datetime.now(UTC).replace(microsecond=0)
LATER = NOW + timedelta(days=2)


class Team:
    async def open(self) -> Team:
        async with acquire(ALL_TEAMS) as connection:
            self.id = await make_team(connection, timezone="America/New_York")
            role = await make_role(connection, self.id)
            self.admin = await make_user(connection, self.id, await make_role(connection, self.id, is_admin=True))
            self.user = await make_user(connection, self.id, role, email=f"{new_id().hex}@gone.test")
        return self

    async def put(self, key: str = "k", **values: Any) -> UUID:
        given = {"kind": "digest", "title": "T", "due_at": LATER, "user_id": self.user, **values}
        async with transaction(self.id) as connection:
            return await put_action(connection, self.id, NewAction(key=key, **given))

    async def row(self, action_id: UUID) -> Any:
        async with acquire(self.id) as connection:
            return await connection.fetchrow("SELECT * FROM scheduled_actions WHERE id = $1", action_id)


@pytest.fixture
async def team(database: str) -> Team:
    return await Team().open()


async def test_the_same_key_is_the_same_action(team: Team) -> None:
    first = await team.put()
    before = await team.row(first)
    assert await team.put() == first
    assert await team.row(first) == before, "the same again changes nothing"
    assert await team.put(title="Other", arguments={"a": 1}) == first
    row = await team.row(first)
    assert (row["title"], json.loads(row["arguments"]), row["fence"]) == ("Other", {"a": 1}, before["fence"])
    await team.put(due_at=LATER + timedelta(hours=1))
    row = await team.row(first)
    assert (row["due_at"], row["fence"]) == (LATER + timedelta(hours=1), before["fence"] + 1)


async def test_what_was_cancelled_lives_again_and_what_was_done_does_not(team: Team) -> None:
    action = await team.put()
    for _ in range(2):
        async with transaction(team.id) as connection:
            await cancel_actions(connection, team.id, ["k", "never"], reason="R")
    row = await team.row(action)
    assert (row["state"], row["last_error"], row["occurrence"]) == ("CANCELLED", "R", 2)
    await team.put()
    assert (await team.row(action))["state"] == "SCHEDULED"
    async with transaction(team.id) as connection:
        await connection.execute(
            "UPDATE scheduled_actions SET state = 'SUCCEEDED', ended_at = now() WHERE id = $1", action
        )
    await team.put()
    assert (await team.row(action))["state"] == "SUCCEEDED"
    await team.put(due_at=LATER + timedelta(days=1))
    assert (await team.row(action))["state"] == "SCHEDULED"


async def test_a_rule_begins_with_the_first_time_that_it_gives(team: Team) -> None:
    action = await team.put(recurrence="rrule:FREQ=WEEKLY;BYDAY=MO".replace("rrule:", "RRULE:"), due_at=LATER)
    row = await team.row(action)
    assert row["due_at"] >= LATER
    assert row["due_at"].astimezone(actions.zone_named("America/New_York")).weekday() == 0
    assert row["recurrence"] == "FREQ=WEEKLY;BYDAY=MO"
    assert await team.put(recurrence="FREQ=WEEKLY;BYDAY=MO", due_at=LATER) == action
    assert (await team.row(action))["fence"] == row["fence"], "worked out again, it comes to the same"


async def test_what_does_not_fit(team: Team) -> None:
    for values in ({"key": ""}, {"title": "\0"}, {"kind": "x" * 41}, {"timezone": "Nowhere"}, {"recurrence": "x"}):
        with pytest.raises(Invalid):
            await team.put(**values)
    async with transaction(team.id) as connection:
        with pytest.raises(Invalid, match="one key"):
            await put_actions(connection, team.id, [NewAction("a", "digest", "T", LATER)] * 2)
        assert await put_actions(connection, team.id, []) == []
        with pytest.raises(Invalid, match="address"):
            await queue_message(connection, team.id, NewMessage("k"))


async def fill(team: Team) -> UUID:
    action = await team.put()
    async with transaction(team.id) as connection:
        await cancel_actions(connection, team.id, ["k"])
        await queue_message(
            connection, team.id, NewMessage("m", user_id=team.user, template="digest", action_id=action)
        )
        email = await connection.fetchval("SELECT email FROM users WHERE id = $1", team.user)
        await queue_message(connection, team.id, NewMessage("a", address=email.upper(), content={"text": "t"}))
        for owner, subjects, whole in (
            (team.user, [], False),
            (team.admin, [team.user], False),
            (team.admin, [], True),
        ):
            await connection.execute(
                "INSERT INTO report_snapshots (id, team_id, user_id, title, from_day, to_day, whole_team, subjects, "
                "table_csv, picture_png, expires_at) VALUES ($1, $2, $3, 't', '2026-01-01', '2026-01-02', $4, $5, 'a', "
                "'b', now() + interval '1 day')",
                new_id(),
                team.id,
                owner,
                whole,
                subjects,
            )
    return action


async def counts(team: Team) -> list[int]:
    async with acquire(team.id) as connection:
        return [
            await connection.fetchval(f"SELECT count(*) FROM {table}")
            for table in ("scheduled_actions", "action_runs", "outgoing_messages", "report_snapshots")
        ]


async def test_nothing_of_an_erased_person_is_left(team: Team) -> None:
    await fill(team)
    assert await counts(team) == [1, 1, 2, 3]
    async with acquire(ALL_TEAMS) as connection:
        admin = await viewer_of(connection, team.admin)
    async with transaction(team.id) as connection:
        await erasure.erase_user(connection, admin, team.user, now=NOW)
    assert await counts(team) == [0, 0, 0, 0]


async def test_a_persons_own_data_names_them(team: Team) -> None:
    action = await fill(team)
    async with acquire(ALL_TEAMS) as connection:
        viewer = await viewer_of(connection, team.user)
    export = await personal_data.begin_export(viewer, team.user)
    lines = [json.loads(line) async for part in export.lines() for line in part.splitlines() if line]
    found = {line["record"]: line for line in lines}
    assert found["scheduledAction"]["state"] == "CANCELLED"
    assert found["message"]["channel"] == "MAIL"
    assert found["reportSnapshot"]["title"] == "t"
    assert action


async def test_what_ended_long_ago_goes(team: Team) -> None:
    await fill(team)
    kept = await team.put("goes on")
    async with transaction(team.id) as connection:
        await connection.execute("UPDATE scheduled_actions SET ended_at = now() - interval '91 d' WHERE key = 'k'")
        await connection.execute(
            "UPDATE outgoing_messages SET state = 'SENT', ended_at = now() - interval '31 days' WHERE key = 'm'"
        )
        await connection.execute("UPDATE report_snapshots SET expires_at = now() WHERE whole_team")
    async with acquire(ALL_TEAMS) as connection:
        assert await action_runs.prune(connection, actions.KEPT, actions.RUNS_KEPT) >= 1
        assert await messages.prune(connection) >= 1
        assert await snapshots.prune(connection) >= 1
    assert await counts(team) == [1, 0, 1, 2]
    assert (await team.row(kept))["state"] == "SCHEDULED"
