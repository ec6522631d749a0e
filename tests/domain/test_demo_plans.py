"""How the demo team coaches: made once, and it tells its story."""

from __future__ import annotations

from datetime import date
from typing import Any

from domain import access, access_plans, manager_view, plan_progress, plans
from domain.database import ALL_TEAMS, acquire
from domain.demo import seed_demo
from domain.demo.people import REPS, Story
from domain.metrics import METRICS
from domain.periods import Days
from domain.plan_progress import Subject
from tests.factories import viewer_of

TODAY = date(2026, 11, 24)


async def test_the_rep_in_trouble_has_a_plan_and_manager_view_shows_it(fresh_database: str) -> None:
    for _ in range(2):
        await seed_demo(TODAY, history_days=90)
    trouble = next(rep for rep in REPS if rep.story is Story.IN_TROUBLE)
    async with acquire(ALL_TEAMS) as connection:
        ids: dict[str, Any] = {row["email"]: row["id"] for row in await connection.fetch("SELECT id, email FROM users")}
        coach = await viewer_of(connection, ids["manager@demo.test"])
        rep = await viewer_of(connection, ids[trouble.email])
        sight = await access.see_users(connection, coach)
        (mine,) = await plans.list_plans(connection, await access_plans.see_plans(connection, rep), None)
        assert (mine.plan.title, mine.plan.status) == ("Back on track", "ACTIVE")
        subject = Subject(
            mine.plan.id, mine.plan.user_id, mine.plan.starts_on, None, tuple(one.metric for one in mine.focus)
        )
        found = await plan_progress.compare(connection, coach, sight, [subject], TODAY, tuple(METRICS))
        assert {one.peer_count >= plan_progress.INTERVAL_PEERS for one in found.values()} == {True}
        assert [one.low is not None for one in found.values()] == [True, True, True]
        days = Days(date(2026, 9, 1), TODAY)
        view = await manager_view.manager_view(connection, coach, sight, days, TODAY, tuple(METRICS))
        own = next(row for row in view.managers if row.manager_id == coach.user_id)
        assert own.total.sessions_held == 6
        assert own.plans == 2
        assert view.not_coached_count == len(view.not_coached) > 0
        series = await connection.fetchval("SELECT count(*) FROM coaching_series WHERE ended_on IS NULL")
        reports = await connection.fetchval(
            "SELECT count(*) FROM users WHERE manager_id = $1 AND active", coach.user_id
        )
    assert series == reports > 10
