"""Carrying scheduled actions out, on real PostgreSQL.

Invariants:
A. Each occurrence has its effect exactly once: with two runners at once, and with one killed in the middle.
B. What is paused, cancelled or not due is never carried out; what is taken away while it runs does not commit.
C. What fell due while nothing ran is treated by the catch-up rule; its history says so.
D. An action is carried out with the rights that its maker has at that moment.
E. One that is broken harms no other.
F. Teams take turns.
"""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from domain import action_changes, action_runs, goals, snapshots
from domain.access import Viewer
from domain.access_actions import see_snapshots
from domain.action_kinds import KindOptions, RollOver
from domain.action_runs import Outcome
from domain.actions import NewAction, cancel_actions, put_action, put_actions
from domain.database import ALL_TEAMS, Connection, acquire, transaction
from domain.errors import Invalid, NotFound
from domain.models.actions import CatchUp
from domain.models.base import new_id
from domain.models.goals import GoalPeriod
from domain.models.people import Permission
from tests.factories import make_role, make_team, make_user, viewer_of
from workers.actions import KINDS, Batch, Kind, Runner

NOW = datetime.now(UTC).replace(microsecond=0)
LATE = NOW - timedelta(minutes=1)
EFFECT = "effect"


async def _effect(connection: Connection, batch: Batch) -> Mapping[UUID, Outcome]:
    """One row for each occurrence: a second one of the same is seen by the tests."""
    for occurrence in batch.occurrences:
        action = occurrence.action
        if action.arguments.get("refuses"):
            raise Invalid("It does not fit.")
        if action.arguments.get("breaks"):
            raise RuntimeError("broken")
        await connection.execute(
            "INSERT INTO idempotency_keys (id, team_id, user_id, key, digest) VALUES ($1, $2, $3, $4, 'effect')",
            new_id(),
            batch.team_id,
            action.user_id,
            f"{occurrence.run_key}:{new_id()}",
        )
    return {}


TEST_KINDS = {**KINDS, EFFECT: Kind(_effect)}


class Team:
    """A team with a manager, and a rep below."""

    id: UUID
    manager: UUID
    rep: UUID

    async def open(self, **columns: Any) -> Team:
        async with acquire(ALL_TEAMS) as connection:
            self.id = await make_team(connection, **columns)
            lead = await make_role(connection, self.id, Permission.TEAM_VIEW, Permission.MANAGE_GOALS)
            self.user_role = await make_role(connection, self.id)
            self.manager = await make_user(connection, self.id, lead, name="Mara")
            self.rep = await make_user(connection, self.id, self.user_role, name="Rita", manager_id=self.manager)
        return self

    async def viewer(self, user_id: UUID) -> Viewer:
        async with acquire(ALL_TEAMS) as connection:
            return await viewer_of(connection, user_id)

    async def put(self, key: str, due_at: datetime = LATE, **values: Any) -> UUID:
        given = {"kind": EFFECT, "title": key, "user_id": self.rep, "created_by_id": self.rep, **values}
        async with transaction(self.id) as connection:
            return await put_action(connection, self.id, NewAction(key=key, due_at=due_at, **given))

    async def row(self, action_id: UUID) -> Any:
        async with acquire(self.id) as connection:
            return await connection.fetchrow("SELECT * FROM scheduled_actions WHERE id = $1", action_id)

    async def history(self, action_id: UUID) -> list[tuple[int, int, str]]:
        async with acquire(self.id) as connection:
            rows = await connection.fetch(
                "SELECT occurrence, occurrences, state FROM action_runs WHERE action_id = $1 ORDER BY occurrence",
                action_id,
            )
        return [tuple(row) for row in rows]

    async def effects(self, action_id: UUID) -> list[int]:
        """The numbers of the occurrences that had their effect, once for each time."""
        async with acquire(self.id) as connection:
            rows = await connection.fetch(
                "SELECT key FROM idempotency_keys WHERE team_id = $1 AND digest = 'effect' AND key LIKE $2 ORDER BY id",
                self.id,
                f"{action_id}:%",
            )
        return [int(row["key"].split(":")[1]) for row in rows]


@pytest.fixture
async def team(emptied_database: str) -> Team:
    return await Team().open()


def runner(**options: Any) -> Runner:
    return Runner(f"test:{new_id()}", kinds=TEST_KINDS, **options)


async def run(one: Runner | None = None) -> None:
    """Carry out all that is due."""
    worker = one or runner()
    try:
        while await worker.step():
            pass
        while worker._slow:
            await asyncio.wait(worker._slow)
            await worker.step()
    finally:
        await worker.stop()


async def test_each_is_done_once_by_two_runners_at_once(team: Team) -> None:
    async with transaction(team.id) as connection:
        ids = await put_actions(
            connection,
            team.id,
            [NewAction(f"k{n}", EFFECT, "T", LATE, user_id=team.rep, created_by_id=team.rep) for n in range(300)],
        )
    await asyncio.gather(*(run(runner(lot=40)) for _ in range(3)))
    async with acquire(team.id) as connection:
        rows = await connection.fetch(
            "SELECT split_part(key, ':', 1) AS id, count(*) AS times FROM idempotency_keys "
            "WHERE digest = 'effect' GROUP BY 1"
        )
        states = await connection.fetch("SELECT state, count(*) AS n FROM scheduled_actions GROUP BY state")
        runs = await connection.fetchval("SELECT count(*) FROM action_runs WHERE state = 'SUCCEEDED'")
    assert {row["id"] for row in rows} == {str(one) for one in ids}
    assert {row["times"] for row in rows} == {1}
    assert [tuple(row) for row in states] == [("SUCCEEDED", 300)]
    assert runs == 300


async def test_what_a_dead_runner_had_is_done_once(team: Team) -> None:
    action = await team.put("k")
    async with acquire(ALL_TEAMS) as connection:
        claimed = await action_runs.claim(connection, "dead", 10, lease_seconds=-1)
        assert [one.id for one in claimed] == [action]
        assert await action_runs.claim(connection, "other", 10) == []
        assert await action_runs.free_lapsed(connection) == 1
    await run()
    # The dead one was only slow: it comes back with what it had in hand, and finds that it is not its any more.
    late = runner()
    await late._run(claimed)
    assert await team.effects(action) == [1]
    assert await team.history(action) == [(1, 1, "SUCCEEDED")]
    assert (await team.row(action))["attempts"] == 2


async def test_a_lease_is_renewed(team: Team) -> None:
    await team.put("k")
    async with acquire(ALL_TEAMS) as connection:
        claimed = await action_runs.claim(connection, "here", 10, lease_seconds=-1)
        await action_runs.renew(connection, "here", claimed)
        assert await action_runs.free_lapsed(connection) == 0


@pytest.mark.parametrize("what", ["pause", "cancel", "reschedule", "cancel_actions"])
async def test_what_is_taken_away_while_it_runs_does_not_commit(team: Team, what: str) -> None:
    action = await team.put("k")
    async with acquire(ALL_TEAMS) as connection:
        claimed = await action_runs.claim(connection, "slow", 10)
    viewer = await team.viewer(team.rep)
    async with transaction(team.id) as connection:
        if what == "pause":
            await action_changes.pause(connection, viewer, [action])
        elif what == "cancel":
            await action_changes.cancel(connection, viewer, [action])
        elif what == "cancel_actions":
            await cancel_actions(connection, team.id, ["k"])
        else:
            later = action_changes.Reschedule(NOW + timedelta(days=1))
            await action_changes.reschedule(connection, viewer, [action], later)
    await runner()._run(claimed)
    await run()
    assert await team.effects(action) == []
    state = (await team.row(action))["state"]
    assert state == ("CANCELLED" if "cancel" in what else "SCHEDULED")


async def test_paused_and_cancelled_ones_never_run_and_resumed_ones_do(team: Team) -> None:
    paused, gone, future = await team.put("p"), await team.put("c"), await team.put("f", NOW + timedelta(hours=1))
    viewer = await team.viewer(team.rep)
    async with transaction(team.id) as connection:
        await action_changes.pause(connection, viewer, [paused])
        await action_changes.cancel(connection, viewer, [gone])
    await run()
    assert [await team.effects(one) for one in (paused, gone, future)] == [[], [], []]
    async with transaction(team.id) as connection:
        await action_changes.resume(connection, viewer, [paused])
    await run()
    assert await team.effects(paused) == [1]
    assert await team.history(gone) == [(1, 1, "CANCELLED")]


async def test_running_now_leaves_the_rule_as_it_is(team: Team) -> None:
    due = NOW + timedelta(days=2)
    daily = await team.put("d", due, recurrence="FREQ=DAILY;COUNT=2")
    once = await team.put("o", due)
    viewer = await team.viewer(team.rep)
    for _ in range(2):  # Asked twice before it ran, it runs once.
        async with transaction(team.id) as connection:
            await action_changes.run_now(connection, viewer, [daily, once])
    await run()
    row = await team.row(daily)
    assert await team.effects(daily) == [1]
    assert (row["state"], row["due_at"], row["occurrence"], row["extra"]) == ("SCHEDULED", due, 2, False)
    assert await team.effects(once) == [1]
    assert (await team.row(once))["state"] == "SUCCEEDED"
    async with transaction(team.id) as connection:  # Once more.
        await action_changes.run_now(connection, viewer, [once])
    await run()
    assert await team.effects(once) == [1, 2]


@pytest.mark.parametrize(
    ("catch_up", "effects", "history"),
    [
        (
            CatchUp.RUN_ALL,
            [1, 2, 3, 4],
            [(1, 1, "SUCCEEDED"), (2, 1, "SUCCEEDED"), (3, 1, "SUCCEEDED"), (4, 1, "SUCCEEDED")],
        ),
        (CatchUp.RUN_ONCE, [4], [(1, 3, "MISSED"), (4, 1, "SUCCEEDED")]),
        (CatchUp.SKIP, [], [(1, 4, "MISSED")]),
    ],
)
async def test_catching_up(team: Team, catch_up: CatchUp, effects: list[int], history: list[Any]) -> None:
    first = NOW - timedelta(days=3, hours=1)
    action = await team.put("d", first, recurrence="FREQ=DAILY", catch_up=catch_up)
    await run()
    assert await team.effects(action) == effects
    assert await team.history(action) == history
    row = await team.row(action)
    assert (row["state"], row["due_at"], row["occurrence"]) == ("SCHEDULED", first + timedelta(days=4), 5)


async def test_skip_runs_what_is_due_just_now(team: Team) -> None:
    first = NOW - timedelta(days=2, minutes=1)
    action = await team.put("d", first, recurrence="FREQ=DAILY;COUNT=3", catch_up=CatchUp.SKIP)
    once = await team.put("o", NOW - timedelta(hours=1), catch_up=CatchUp.SKIP)
    await run()
    assert await team.history(action) == [(1, 2, "MISSED"), (3, 1, "SUCCEEDED")]
    assert (await team.row(action))["state"] == "SUCCEEDED"
    assert await team.history(once) == [(1, 1, "MISSED")]
    row = await team.row(once)
    assert (row["state"], row["last_error"]) == ("MISSED", "Fell due while nothing ran.")


async def test_a_snooze_moves_one_occurrence(team: Team) -> None:
    first = NOW + timedelta(hours=1)
    action = await team.put("d", first, recurrence="FREQ=DAILY")
    viewer = await team.viewer(team.rep)
    async with transaction(team.id) as connection:
        await action_changes.snooze(connection, viewer, [action], NOW + timedelta(hours=5), NOW)
    row = await team.row(action)
    assert (row["planned_at"], row["due_at"]) == (first, NOW + timedelta(hours=5))
    async with acquire(ALL_TEAMS) as connection:  # Its time has come.
        await connection.execute("UPDATE scheduled_actions SET run_at = now() WHERE id = $1", action)
    await run()
    assert (await team.row(action))["due_at"] == first + timedelta(days=1)


async def test_one_that_is_broken_harms_no_other(team: Team) -> None:
    good = await team.put("g")
    broken = await team.put("b", arguments={"breaks": True})
    refused = await team.put("r", arguments={"refuses": True})
    unknown = await team.put("u", kind="nobody_knows")
    await run()
    assert await team.effects(good) == [1]
    row = await team.row(broken)
    assert (row["state"], row["attempts"], row["last_error"]) == ("SCHEDULED", 1, "RuntimeError: broken")
    assert row["run_at"] > datetime.now(UTC)
    assert (await team.row(refused))["last_error"] == "It does not fit."
    assert [await team.history(one) for one in (refused, unknown)] == [[(1, 1, "FAILED")]] * 2
    for _ in range(action_runs.ATTEMPTS_LIMIT):
        async with acquire(ALL_TEAMS) as connection:
            await connection.execute("UPDATE scheduled_actions SET run_at = now() WHERE id = $1", broken)
        await run()
    assert (await team.row(broken))["state"] == "FAILED"
    assert await team.history(broken) == [(1, 1, "FAILED")]


async def test_a_recurring_one_goes_on_after_a_failure(team: Team) -> None:
    action = await team.put("r", NOW - timedelta(minutes=5), recurrence="FREQ=DAILY", arguments={"refuses": True})
    await run()
    row = await team.row(action)
    assert (row["state"], row["last_error"], row["occurrence"]) == ("SCHEDULED", "It does not fit.", 2)


async def test_the_makers_rights_of_that_moment_count(team: Team) -> None:
    orphaned = await team.put("o", created_by_id=team.manager)
    for_the_gone = await team.put("g", created_by_id=team.manager)
    async with acquire(ALL_TEAMS) as connection:
        await connection.execute("UPDATE users SET active = false WHERE id = $1", team.manager)
    await run()
    assert (await team.row(orphaned))["last_error"] == "Who made this does not work with the team any more."
    assert await team.history(for_the_gone) == [(1, 1, "CANCELLED")]
    async with acquire(ALL_TEAMS) as connection:
        await connection.execute(
            "UPDATE users SET active = true, role_id = $2 WHERE id = $1", team.manager, team.user_role
        )
    demoted = await team.put("d", created_by_id=team.manager)
    await run()
    assert (await team.row(demoted))["last_error"] == "Who made this may not have it done any more."
    async with acquire(ALL_TEAMS) as connection:
        await connection.execute("UPDATE users SET active = false WHERE id = $1", team.rep)
    gone = await team.put("x", created_by_id=None)
    await run()
    assert (await team.row(gone))["state"] == "CANCELLED"
    assert await team.effects(gone) == []


async def test_teams_take_turns(team: Team) -> None:
    other = await Team().open()
    async with transaction(team.id) as connection:
        await put_actions(
            connection,
            team.id,
            [NewAction(f"k{n}", EFFECT, "T", LATE - timedelta(days=1), user_id=team.rep) for n in range(50)],
        )
    await other.put("late")
    async with acquire(ALL_TEAMS) as connection:
        claimed = await action_runs.claim(connection, "here", 10)
    assert sum(one.team_id == other.id for one in claimed) == 1
    assert sum(one.team_id == team.id for one in claimed) == 5


async def test_rolling_goals_over(team: Team) -> None:
    manager = await team.viewer(team.manager)
    subject = goals.Subject(team.rep, None, ())
    async with transaction(team.id) as connection:
        await goals.set_goals(
            connection, manager, goals.SetGoals("MEETINGS_BOOKED", GoalPeriod.MONTH, Decimal(10), (subject,)), NOW
        )
    wanted = action_changes.CreateActions(
        "goal_rollover",
        LATE,
        recurrence="FREQ=MONTHLY;COUNT=1",
        options=KindOptions(
            roll_over=RollOver("MEETINGS_BOOKED", GoalPeriod.MONTH, growth=Decimal("1.1"), user_ids=(team.rep,))
        ),
    )
    async with transaction(team.id) as connection:
        (action,) = await action_changes.create_actions(connection, manager, wanted)
    await run()
    async with acquire(team.id) as connection:
        versions = await connection.fetch("SELECT version, target, set_by_id FROM goal_versions ORDER BY version")
    assert [(row["version"], float(row["target"]), row["set_by_id"]) for row in versions] == [
        (1, 10.0, team.manager),
        (2, 11.0, team.manager),
    ]
    assert await team.history(action) == [(1, 1, "SUCCEEDED")]


async def test_a_snapshot_is_for_who_may_see_all_in_it(team: Team) -> None:
    async with acquire(ALL_TEAMS) as connection:
        lone = await make_user(connection, team.id, team.user_role, name="=cmd()|' /C calc'!A0")
        admin = await make_user(connection, team.id, await make_role(connection, team.id, is_admin=True))
        await connection.execute(
            "INSERT INTO groups (id, team_id, name) VALUES ($1, $2, 'Far')", far := new_id(), team.id
        )
        await connection.execute("UPDATE users SET group_id = $1 WHERE id = $2", far, lone)
    mine = await team.put(
        "m", kind="report_snapshot", user_id=team.manager, created_by_id=team.manager, arguments=SNAPSHOT
    )
    all_of_it = await team.put("a", kind="report_snapshot", user_id=admin, created_by_id=admin, arguments=SNAPSHOT)
    await run()
    assert [await team.history(one) for one in (mine, all_of_it)] == [[(1, 1, "SUCCEEDED")]] * 2

    async def seen(user_id: UUID) -> dict[UUID, UUID]:
        viewer = await team.viewer(user_id)
        async with acquire(team.id) as connection:
            sight = await see_snapshots(connection, viewer)
            page = await snapshots.list_snapshots(connection, sight, snapshots.PageRequest(10, False, None))
            found = {one.action_id: one.id for one in page.nodes}
            for one in await connection.fetch("SELECT id, user_id, subjects, whole_team FROM report_snapshots"):
                shown = sight.sees(team.id, one["user_id"], one["subjects"], whole_team=one["whole_team"])
                assert shown == (one["id"] in found.values()), "the predicate and the filter answer alike"
        return found

    assert set(await seen(team.manager)) == {mine}
    assert set(await seen(admin)) == {mine, all_of_it}
    assert set(await seen(team.rep)) == set()
    viewer = await team.viewer(admin)
    files = await seen(admin)
    async with acquire(team.id) as connection:
        sight = await see_snapshots(connection, viewer)
        picture = await snapshots.read_file(connection, sight, files[all_of_it], "png")
        table = await snapshots.read_file(connection, sight, files[all_of_it], "csv")
        assert picture.content.startswith(b"\x89PNG\r\n\x1a\n")
        rows = list(csv.reader(io.StringIO(table.content.decode())))
        assert rows[0][:3] == ["name", "from", "to"]
        assert {row[0] for row in rows[1:]} >= {"Total", "Rita", "'=cmd()|' /C calc'!A0"}
        with pytest.raises(NotFound):
            await snapshots.read_file(
                connection, await see_snapshots(connection, await team.viewer(team.rep)), files[mine], "csv"
            )
    # Somebody in it goes out of the manager's sight: so does the snapshot.
    async with acquire(ALL_TEAMS) as connection:
        await connection.execute("UPDATE users SET manager_id = NULL WHERE id = $1", team.rep)
    assert set(await seen(team.manager)) == set()


SNAPSHOT = {"range": "LAST_30_DAYS", "group": None, "metrics": None, "mail": False, "keep_days": 3}


async def test_a_letter_is_queued_once_for_each_occurrence(team: Team) -> None:
    first = NOW - timedelta(days=2, hours=1)
    action = await team.put(
        "d", first, kind="digest", recurrence="FREQ=DAILY", catch_up=CatchUp.RUN_ALL, arguments={"range": "YESTERDAY"}
    )
    await asyncio.gather(run(), run())
    async with acquire(team.id) as connection:
        rows = await connection.fetch("SELECT occurrence, user_id, template FROM outgoing_messages ORDER BY occurrence")
    assert [tuple(row) for row in rows] == [(n, team.rep, "digest") for n in (1, 2, 3)]
    assert action
