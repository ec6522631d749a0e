"""Who may see coaching plans and sessions.

Invariants:
A. Predicate, SQL filter and brute force agree for every viewer and every plan, session and series, in any world.
B. Nothing of another team is in sight.
"""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from domain import access, access_plans, plan_series, plan_sessions, plans
from domain.access_plans import Circle
from domain.database import ALL_TEAMS, acquire, connect, disconnect
from domain.models import PlanStatus
from domain.models.base import new_id
from domain.models.people import Permission
from tests.factories import make_group, make_role, make_team, make_user, viewer_of


def test_predicate_filter_and_brute_force_agree(database_url: str) -> None:
    @settings(max_examples=12)
    @given(seed=st.integers(0, 2**32))
    def run(seed: int) -> None:
        asyncio.run(_agree(database_url, Random(seed)))

    run()


async def _agree(database_url: str, random: Random) -> None:
    await connect(database_url, pool_size=2)
    try:
        async with acquire(ALL_TEAMS) as connection:
            executive = random.random() < 0.5
            team = await make_team(connection, executive_visibility=executive)
            other = await make_team(connection, executive_visibility=True)
            people, made = await _world(connection, team, random)
            strangers, strange = await _world(connection, other, random)
            for viewer_id in [*people, *strangers]:
                viewer = await viewer_of(connection, viewer_id)
                users = await access.see_users(connection, viewer)
                plan_sight = await access_plans.see_plans(connection, viewer)
                session_sight = await access_plans.see_sessions(connection, viewer)
                everything = [*made, *strange]
                found_plans = await plans.plans_by_id(connection, plan_sight, [one[1] for one in everything])
                found_sessions = await plan_sessions.sessions_by_id(
                    connection, session_sight, [one[2] for one in everything]
                )
                found_series = await plan_series.series_by_id(
                    connection, session_sight.own(), [one[3] for one in everything]
                )
                for team_id, plan_id, session_id, series_id, circle, status in everything:
                    here = team_id == viewer.team_id
                    coaching = viewer_id == circle.coach_id or viewer_id in circle.co_coach_ids
                    plan_seen = here and (
                        coaching or (status is not PlanStatus.DRAFT and users.sees(team_id, circle.user_id))
                    )
                    assert plan_sight.sees(team_id, circle, status) == plan_seen
                    assert (plan_id in found_plans) == plan_seen
                    part = coaching or viewer_id == circle.user_id
                    is_executive = viewer.is_admin and (executive or viewer.team_id == other)
                    assert session_sight.sees(team_id, circle) == (here and (part or is_executive))
                    assert (session_id in found_sessions) == (here and (part or is_executive))
                    assert (series_id in found_series) == (here and part)
    finally:
        await disconnect()


Made = tuple[UUID, UUID, UUID, UUID, Circle, PlanStatus]


async def _world(connection: Any, team: UUID, random: Random) -> tuple[list[UUID], list[Made]]:
    groups: list[UUID | None] = [None]
    for _ in range(random.randrange(3)):
        groups.append(await make_group(connection, team, f"g{len(groups)}", random.choice(groups)))
    admin = await make_role(connection, team, is_admin=True)
    roles = [admin, await make_role(connection, team, Permission.TEAM_VIEW), await make_role(connection, team)]
    people: list[UUID] = []
    for _ in range(5):
        manager = random.choice([None, *people])
        people.append(
            await make_user(connection, team, random.choice(roles), group_id=random.choice(groups), manager_id=manager)
        )
    made: list[Made] = []
    for _ in range(5):
        user, coach, *others = random.sample(people, 4)
        co_coaches = frozenset(random.sample(others, random.randrange(3)))
        status = random.choice(list(PlanStatus))
        closed = status in (PlanStatus.COMPLETED, PlanStatus.ABANDONED)
        ids = {name: new_id() for name in ("plan_id", "series_id", "session_id")}
        await connection.execute(
            "INSERT INTO coaching_plans (id, team_id, user_id, coach_id, title, status, starts_on, closed_on) "
            "VALUES ($1, $2, $3, $4, 't', $5, '2026-03-01', CASE WHEN $6 THEN '2026-03-02'::date END)",
            ids["plan_id"],
            team,
            user,
            coach,
            status.value,
            closed,
        )
        await connection.execute(
            "INSERT INTO coaching_series (id, team_id, user_id, coach_id, title, rule, timezone, first_local, "
            "duration_minutes) VALUES ($1, $2, $3, $4, 't', 'FREQ=WEEKLY', 'UTC', '2026-03-01T10:00:00', 30)",
            ids["series_id"],
            team,
            user,
            coach,
        )
        await connection.execute(
            "INSERT INTO coaching_sessions (id, team_id, user_id, coach_id, title, starts_at, duration_minutes) "
            "VALUES ($1, $2, $3, $4, 't', '2026-03-01T10:00:00Z', 30)",
            ids["session_id"],
            team,
            user,
            coach,
        )
        for column, subject in ids.items():
            await plans.set_co_coaches(connection, team, column, subject, co_coaches)
        circle = Circle(user, coach, co_coaches)
        made.append((team, ids["plan_id"], ids["session_id"], ids["series_id"], circle, status))
    return people, made
