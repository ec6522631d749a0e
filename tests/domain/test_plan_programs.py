"""Programs of one-on-ones.

Invariants:
A. Whatever happens to the reporting line, after a look the running series are exactly those of the active direct
   reports of the program's active managers: a brute force agrees.
B. Looked at twice, or at once by two, nothing more happens.
C. Who left a manager has nothing planned with them any more; what was held stays.
D. Two reps of a manager never sit at the same time, as long as a week has room.
E. A program begins on its first day, keeps its rhythm, and ends all that it made.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain import plan_programs, plan_series
from domain.access import Viewer
from domain.database import ALL_TEAMS, acquire, connect, disconnect, in_transaction
from domain.errors import Forbidden, NotFound
from domain.models.people import Permission
from domain.plan_programs import NewProgram, ProgramChange, Reconciled
from domain.workdays import WorkRules
from tests.factories import make_role, make_team, make_user, viewer_of

NOW = datetime(2026, 11, 25, 15, 0, tzinfo=UTC)


class Team:
    """Managers and reps, and a program."""

    async def build(self, random: Random) -> Team:
        async with acquire(ALL_TEAMS) as connection:
            self.id = await make_team(connection, timezone="Europe/Berlin")
            self.admin_role = await make_role(connection, self.id, is_admin=True)
            role = await make_role(connection, self.id, Permission.TEAM_VIEW)
            self.admin_id = await make_user(connection, self.id, self.admin_role)
            self.managers = [await make_user(connection, self.id, role) for _ in range(3)]
            self.reps = [
                await make_user(connection, self.id, role, manager_id=random.choice([None, *self.managers]))
                for _ in range(6)
            ]
            self.admin: Viewer = await viewer_of(connection, self.admin_id)
        return self

    async def do(self, work: Any) -> Any:
        return await in_transaction(self.id, work)

    async def people(self) -> dict[UUID, tuple[UUID | None, bool]]:
        async with acquire(ALL_TEAMS) as connection:
            rows = await connection.fetch("SELECT id, manager_id, active FROM users WHERE team_id = $1", self.id)
        return {row["id"]: (row["manager_id"], row["active"]) for row in rows}

    async def running(self, program_id: UUID) -> list[Any]:
        async with acquire(ALL_TEAMS) as connection:
            return list(
                await connection.fetch(
                    "SELECT * FROM coaching_series WHERE program_id = $1 AND ended_on IS NULL ORDER BY id", program_id
                )
            )


def test_whatever_happens_to_the_reporting_line(database_url: str) -> None:
    @settings(max_examples=12)
    @given(seed=st.integers(0, 2**32))
    def run(seed: int) -> None:
        asyncio.run(_agree(database_url, Random(seed)))

    run()


async def _agree(database_url: str, random: Random) -> None:
    await connect(database_url, pool_size=3)
    try:
        team = await Team().build(random)
        chosen = frozenset(random.sample(team.managers, random.randrange(1, 4)))
        new = NewProgram("Weekly", chosen, date(2026, 11, 23), every_weeks=random.randrange(1, 4))
        program = await team.do(lambda connection: plan_programs.create_program(connection, team.admin, new, NOW))
        now = NOW
        for _step in range(4):
            await _check(team, program.id, chosen, now)
            now += timedelta(days=random.randrange(0, 9))
            who = random.choice([*team.reps, *team.managers])
            async with acquire(ALL_TEAMS) as connection:
                match random.randrange(3):
                    case 0:
                        to = random.choice([None, *(one for one in team.managers if one != who)])
                        await connection.execute("UPDATE users SET manager_id = $2 WHERE id = $1", who, to)
                    case 1:
                        await connection.execute("UPDATE users SET active = NOT active WHERE id = $1", who)
                    case _:
                        row = await connection.fetchrow("SELECT role_id FROM users WHERE id = $1", who)
                        await make_user(connection, team.id, row["role_id"], manager_id=random.choice(team.managers))
            at = now
            first, second = await asyncio.gather(
                *(
                    team.do(lambda connection, at=at: plan_programs.reconcile(connection, team.id, program.id, at))
                    for _ in range(2)
                )
            )
            assert Reconciled(0, 0) in (first, second), "one of two at once finds nothing to do"
        await _check(team, program.id, chosen, now)
        at = now
        await team.do(lambda connection: plan_programs.end_program(connection, team.admin, program.id, at))
        assert await team.running(program.id) == []
        async with acquire(ALL_TEAMS) as connection:
            left = await connection.fetchval(
                "SELECT count(*) FROM coaching_sessions WHERE team_id = $1 AND state = 'PLANNED' AND starts_at > $2",
                team.id,
                at + timedelta(days=1),
            )
        assert left == 0
    finally:
        await disconnect()


async def _check(team: Team, program_id: UUID, chosen: frozenset[UUID], now: datetime) -> None:
    people = await team.people()
    expected = {
        (user, manager)
        for user, (manager, active) in people.items()
        if active and manager in chosen and people[manager][1]
    }
    series = await team.running(program_id)
    assert sorted((row["user_id"], row["coach_id"]) for row in series) == sorted(expected)
    for manager in chosen:
        places = [
            (row["program_slot"], row["first_local"][11:], date.fromisoformat(row["first_local"][:10]).weekday())
            for row in series
            if row["coach_id"] == manager
        ]
        assert len({slot for slot, _at, _day in places}) == len({(at, day) for _slot, at, day in places}) == len(places)
    again = await team.do(lambda connection: plan_programs.reconcile(connection, team.id, program_id, now))
    assert again == Reconciled(0, 0)
    async with acquire(ALL_TEAMS) as connection:
        planned = await connection.fetch(
            "SELECT DISTINCT user_id, coach_id FROM coaching_sessions WHERE team_id = $1 AND state = 'PLANNED' "
            "AND starts_at > $2",
            team.id,
            now + timedelta(days=1),
        )
    assert {(row["user_id"], row["coach_id"]) for row in planned} <= expected


async def test_it_begins_on_its_first_day_and_keeps_its_rhythm(database: str) -> None:
    program = plan_programs.CoachingProgram(
        first_day=date(2026, 11, 30),
        start_minute=16 * 60,
        duration_minutes=30,
        every_weeks=2,
        timezone="Europe/Berlin",
        ended_on=None,
    )
    rules = WorkRules("Europe/Berlin")
    starts = [plan_programs.first_start(program, slot, rules, NOW) for slot in range(12)]
    # Two fit into the working hours of a day; the days of a week follow, then they share.
    assert [one.strftime("%a %H:%M") for one in starts[:10]] == [
        f"{day} {at}" for day in ("Mon", "Tue", "Wed", "Thu", "Fri") for at in ("16:00", "16:30")
    ]
    assert starts[10] == starts[0] == datetime(2026, 11, 30, 16)
    late = plan_programs.first_start(program, 0, rules, datetime(2026, 12, 2, tzinfo=UTC))
    assert late == datetime(2026, 12, 14, 16), "two weeks on, not one"


async def test_who_may_make_programs_and_know_of_them(database: str) -> None:
    team = await Team().build(Random(1))
    async with acquire(ALL_TEAMS) as connection:
        head_role = await make_role(connection, team.id, Permission.TEAM_VIEW)
        head_id = await make_user(connection, team.id, head_role)
        await connection.execute(
            "UPDATE users SET manager_id = $2 WHERE id = ANY ($1::uuid[])", team.managers[:2], head_id
        )
        head = await viewer_of(connection, head_id)
        manager = await viewer_of(connection, team.managers[0])
        outsider = await viewer_of(connection, team.managers[2])
        plain = await make_role(connection, team.id)
        rep_id = await make_user(connection, team.id, plain)
        rep = await viewer_of(connection, rep_id)

    def new(*managers: UUID) -> NewProgram:
        return NewProgram("Weekly", frozenset(managers), date(2026, 12, 1))

    async def refused(viewer: Viewer, error: type[Exception], *managers: UUID) -> None:
        try:
            await team.do(lambda connection: plan_programs.create_program(connection, viewer, new(*managers), NOW))
        except error:
            return
        raise AssertionError("it was made")

    await refused(rep, Forbidden, team.managers[0])
    await refused(manager, NotFound, team.managers[1])
    await refused(head, NotFound, team.managers[2])
    made = await team.do(
        lambda connection: plan_programs.create_program(connection, head, new(*team.managers[:2]), NOW)
    )
    for viewer, sees in ((head, True), (manager, True), (team.admin, True), (outsider, False), (rep, False)):
        async with acquire(team.id) as connection:
            found = await plan_programs.programs_by_id(connection, viewer, [made.id])
        assert (made.id in found) == sees
    for viewer, error in ((outsider, NotFound), (manager, Forbidden)):
        try:
            await team.do(
                lambda connection, viewer=viewer: plan_programs.update_program(
                    connection, viewer, made.id, ProgramChange(name="x"), NOW
                )
            )
        except error:
            continue
        raise AssertionError("it was changed")


async def test_many_are_begun_and_ended_in_lots(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_programs, "LOT", 2)
    team = await Team().build(Random(8))
    async with acquire(ALL_TEAMS) as connection:
        await connection.execute(
            "UPDATE users SET manager_id = $2 WHERE id = ANY ($1::uuid[])", team.reps, team.managers[0]
        )
    new = NewProgram("Weekly", frozenset(team.managers), date(2026, 11, 23))
    program = await team.do(lambda connection: plan_programs.create_program(connection, team.admin, new, NOW))
    assert len(await team.running(program.id)) == 2

    async def look() -> int:
        looks = 0
        while (await team.do(lambda connection: plan_programs.reconcile_due(connection, team.id, NOW))).begun:
            looks += 1
        return looks

    assert await look() == 2
    assert len(await team.running(program.id)) == 6
    async with acquire(ALL_TEAMS) as connection:
        await connection.execute(
            "UPDATE users SET manager_id = $2 WHERE id = ANY ($1::uuid[])", team.reps, team.managers[1]
        )
        await connection.execute("UPDATE coaching_programs SET reconciled_at = NULL WHERE id = $1", program.id)
    await look()
    series = await team.running(program.id)
    assert {row["coach_id"] for row in series} == {team.managers[1]}
    assert len(series) == 6
    await team.do(lambda connection: plan_programs.end_program(connection, team.admin, program.id, NOW))
    for _ in range(3):
        await team.do(lambda connection: plan_programs.reconcile_due(connection, team.id, NOW))
    assert await team.running(program.id) == []


async def test_sessions_are_made_ahead_and_once(database: str) -> None:
    team = await Team().build(Random(3))
    new = NewProgram("Weekly", frozenset(team.managers), date(2026, 11, 23))
    await team.do(lambda connection: plan_programs.create_program(connection, team.admin, new, NOW))

    async def count() -> int:
        async with acquire(team.id) as connection:
            return int(await connection.fetchval("SELECT count(*) FROM coaching_sessions WHERE team_id = $1", team.id))

    first = await count()
    await team.do(lambda connection: plan_series.make_due(connection, team.id, NOW))
    assert await count() == first
    later = NOW + timedelta(days=35)
    while await team.do(lambda connection: plan_series.make_due(connection, team.id, later)):
        pass
    reps = len({row["user_id"] for row in await _series(team)})
    assert await count() == first + 5 * reps


async def _series(team: Team) -> list[Any]:
    async with acquire(team.id) as connection:
        return list(await connection.fetch("SELECT * FROM coaching_series WHERE team_id = $1", team.id))
