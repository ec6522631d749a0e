"""Insight through GraphQL.

Invariants:
A. One's own needs nothing but a large enough group; others' need TEAM_VIEW and sight; the user filter answers for a
   hidden user as for one that never was.
B. Statistics of peers whom the viewer may not see are not told, nor is any peer named.
C. The number of statements does not depend on how many reps there are.
D. A plan needs the sight of the goal and of the numbers; a hidden goal is one that never was.
E. An outlook lies around the end it tells of, and is asked for many goals at once at the cost of one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from domain.database import ALL_TEAMS, acquire
from domain.ids import encode_id
from domain.models.base import new_id
from tests.api.conftest import Api
from tests.factories import make_group, make_role, make_team, make_user

OPPORTUNITIES = """query($user: ID) { coachingOpportunities(range: {named: LAST_90_DAYS}, userId: $user) {
    user { name } metric measure value peerMedian gap robustZ peerCount expectedGain expectedGainLow expectedGainHigh
    gainMetric goalShare workingDays explanation } }"""
PLAN = """query($id: ID!) { goalPlan(goalId: $id) { goal { id } outcome workingDaysLeft remaining neededRate
    outlook { low median high chance } steps { metric perWorkingDay low high rate current takesEffectInTime basis }
    explanation } }"""


class Scene:
    """A group of reps of whom the first sends a fifth of what the others send, and a group elsewhere."""

    async def build(self, reps: int = 10) -> Scene:
        today = datetime.now(UTC).date()
        days = [day for number in range(1, 91) if (day := today - timedelta(days=number)).weekday() < 5]
        async with acquire(ALL_TEAMS) as connection:
            self.team = await make_team(connection)
            self.role = await make_role(connection, self.team)
            above = await make_group(connection, self.team, "above")
            self.group = await make_group(connection, self.team, "mine", above)
            elsewhere = await make_group(connection, self.team, "elsewhere", above)
            self.boss = await make_user(
                connection, self.team, await make_role(connection, self.team, is_admin=True), is_rep=False
            )
            self.reps = [
                await make_user(connection, self.team, self.role, group_id=self.group, name=f"Rep {number:03}")
                for number in range(reps)
            ]
            self.stranger = await make_user(connection, self.team, self.role, group_id=elsewhere, name="Stranger")
            for feed in ("email", "calendar"):
                await connection.execute(
                    "INSERT INTO team_feeds (id, team_id, feed) VALUES ($1, $2, $3)", new_id(), self.team, feed
                )
            for number, user_id in enumerate(self.reps):
                sent = 2 if number == 0 else 9 + number % 3
                await self._works(connection, user_id, days, sent)
            await self._works(connection, self.stranger, days, 10)
            self.goals = {}
            for user_id in (*self.reps[:2], self.stranger):
                self.goals[user_id] = await self._goal(connection, user_id)
        return self

    async def _works(self, connection: Any, user_id: UUID, days: list[date], sent: int) -> None:
        await connection.executemany(
            "INSERT INTO rollup_days (id, team_id, user_id, day, emails_sent, emails_delivered, emails_replied, "
            "meetings_booked) VALUES ($1, $2, $3, $4, $5, $5, 1, $6)",
            [(new_id(), self.team, user_id, day, sent, int(day.weekday() == 2)) for day in days],
        )
        await connection.execute(
            "INSERT INTO rollup_months (id, team_id, user_id, month, emails_sent) "
            "SELECT uuidv7(), team_id, user_id, date_trunc('month', day)::date, sum(emails_sent) FROM rollup_days "
            "WHERE user_id = $1 GROUP BY 2, 3, 4",
            user_id,
        )

    async def _goal(self, connection: Any, user_id: UUID) -> UUID:
        goal_id = new_id()
        await connection.execute(
            "INSERT INTO goals (id, team_id, user_id, metric, period) VALUES ($1, $2, $3, 'MEETINGS_BOOKED', 'YEAR')",
            goal_id,
            self.team,
            user_id,
        )
        await connection.execute(
            "INSERT INTO goal_versions (id, team_id, goal_id, version, target, effective_from, set_by_id) "
            "VALUES ($1, $2, $3, 1, 500, '2020-01-01', $4)",
            new_id(),
            self.team,
            goal_id,
            user_id,
        )
        return goal_id

    async def member(self, *permissions: str, **columns: Any) -> UUID:
        async with acquire(ALL_TEAMS) as connection:
            role = await make_role(connection, self.team, *permissions)
            return await make_user(connection, self.team, role, is_rep=False, **columns)


@asynccontextmanager
async def counting(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[str]]:
    seen: list[str] = []
    with monkeypatch.context() as patch:
        for name in ("fetch", "fetchrow", "fetchval", "execute"):
            original = getattr(asyncpg.Connection, name)

            def wrapped(self: Any, query: str, *rest: Any, original: Any = original, **options: Any) -> Any:
                if "tokens SET last_used_at" not in query:
                    seen.append(query)
                return original(self, query, *rest, **options)

            patch.setattr(asyncpg.Connection, name, wrapped)
        yield seen


async def test_who_is_told_what(api: Api) -> None:
    scene = await Scene().build()

    async def told(user_id: UUID, of: UUID | None = None) -> list[dict[str, Any]]:
        variables = {} if of is None else {"user": encode_id("User", of)}
        found = await api.data(await api.token(user_id), OPPORTUNITIES, **variables)
        opportunities: list[dict[str, Any]] = found["coachingOpportunities"]
        return opportunities

    by_boss = await told(scene.boss)
    assert [one["user"]["name"] for one in by_boss] == ["Rep 000"]
    [one] = by_boss
    assert (one["metric"], one["measure"], one["peerCount"]) == ("EMAILS_SENT", "PER_WORKING_DAY", 9)
    assert (float(one["value"]), float(one["peerMedian"]), float(one["gap"])) == (2, 10, -8)
    assert one["robustZ"] < -3.5
    assert one["gainMetric"] == "MEETINGS_BOOKED"
    assert 0 < float(one["expectedGainLow"]) < float(one["expectedGain"]) < float(one["expectedGainHigh"])
    assert one["goalShare"] == pytest.approx(float(one["expectedGain"]) / 125, rel=0.1)
    # The rep is told the same of themselves, without TEAM_VIEW, and nobody else is.
    assert await told(scene.reps[0]) == by_boss
    assert await told(scene.reps[1]) == []
    assert not any(f"Rep {number:03}" in one["explanation"] for number in range(1, 10))
    assert await told(scene.boss, scene.reps[0]) == by_boss
    assert await told(scene.boss, scene.reps[1]) == []
    assert await told(scene.reps[0], scene.reps[0]) == by_boss
    lead = await scene.member("TEAM_VIEW", group_id=scene.group)
    [seen] = await told(lead)
    # The lead may not see the rep's goals: what it would bring is told of the end of the funnel, without a share.
    assert seen == one | {"goalShare": None}
    # Who has the rep in sight, but not the peers, is told nothing of it.
    other = await scene.member("TEAM_VIEW")
    async with acquire(ALL_TEAMS) as connection:
        await connection.execute("UPDATE users SET manager_id = $1 WHERE id = $2", other, scene.reps[0])
    assert await told(other) == []
    async with acquire(ALL_TEAMS) as connection:
        await connection.execute("UPDATE teams SET show_peer_statistics = false WHERE id = $1", scene.team)
    assert await told(scene.reps[0]) == []
    assert await told(scene.boss) == by_boss


async def test_a_hidden_user_is_one_that_never_was(api: Api) -> None:
    scene = await Scene().build()
    lead = await api.token(await scene.member("TEAM_VIEW", group_id=scene.group))
    rep = await api.token(scene.reps[0])

    async def ask(token: str, user_id: UUID) -> dict[str, Any]:
        answer = await api.query(token, OPPORTUNITIES, user=encode_id("User", user_id))
        for error in answer.get("errors", ()):
            error["extensions"].pop("requestId")
        return answer

    never = await ask(lead, new_id())
    assert never["errors"][0]["extensions"]["code"] == "NOT_FOUND"
    assert await ask(lead, scene.stranger) == never
    assert await ask(rep, scene.reps[1]) == await ask(rep, new_id())


async def test_the_statements_do_not_grow_with_the_reps(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    counts: dict[str, set[int]] = {"opportunities": set(), "plan": set(), "outlooks": set()}
    for reps in (9, 40):
        scene = await Scene().build(reps)
        token = await api.token(scene.boss)
        goal = encode_id("Goal", scene.goals[scene.reps[0]])
        for name, document, variables in (
            ("opportunities", OPPORTUNITIES, {}),
            ("plan", PLAN, {"id": goal}),
            ("outlooks", "{ goals(first: 100) { nodes { outlook { low high } } } }", {}),
        ):
            async with counting(monkeypatch) as seen:
                await api.data(token, document, **variables)
            counts[name].add(len(seen))
    assert all(len(found) == 1 for found in counts.values()), counts
    assert counts["opportunities"].pop() <= 22


async def test_a_plan(api: Api) -> None:
    scene = await Scene().build()
    mine = encode_id("Goal", scene.goals[scene.reps[1]])
    found = (await api.data(await api.token(scene.reps[1]), PLAN, id=mine))["goalPlan"]
    assert found["goal"]["id"] == mine
    steps = found["steps"]
    assert [step["metric"] for step in steps][-1] == "MEETINGS_BOOKED"
    if found["workingDaysLeft"]:
        assert [step["metric"] for step in steps] == ["EMAILS_SENT", "EMAILS_REPLIED", "MEETINGS_BOOKED"]
        need = float(found["remaining"]) / found["workingDaysLeft"]
        assert float(steps[-1]["perWorkingDay"]) == pytest.approx(need, rel=1e-4)
        for step in steps:
            assert float(step["low"]) <= float(step["perWorkingDay"]) <= float(step["high"])
        assert found["outlook"]["chance"] == 0
        assert float(found["outlook"]["low"]) <= float(found["outlook"]["median"]) <= float(found["outlook"]["high"])

    async def refused(user_id: UUID, goal_id: str) -> tuple[str, str | None]:
        answer = await api.query(await api.token(user_id), PLAN, id=goal_id)
        extensions = answer["errors"][0]["extensions"]
        return extensions["code"], extensions.get("permission")

    assert await refused(scene.reps[0], mine) == ("NOT_FOUND", None)
    assert await refused(scene.reps[0], encode_id("Goal", new_id())) == ("NOT_FOUND", None)
    assert await refused(scene.reps[0], encode_id("User", scene.reps[0])) == ("NOT_FOUND", None)
    manager = await scene.member("MANAGE_GOALS", group_id=scene.group)
    assert await refused(manager, mine) == ("FORBIDDEN", "TEAM_VIEW")
    assert await refused(manager, encode_id("Goal", scene.goals[scene.stranger])) == ("NOT_FOUND", None)
    both = await scene.member("MANAGE_GOALS", "TEAM_VIEW", group_id=scene.group)
    assert (await api.data(await api.token(both), PLAN, id=mine))["goalPlan"]["goal"]["id"] == mine
    # Derived goals have plans too: of the group for who sees all in it, of the team for Admin.
    derived = await api.data(
        await api.token(both), "{ goals { nodes { id derived subject { ... on Group { name } } } } }"
    )
    [group] = [one["id"] for one in derived["goals"]["nodes"] if one["derived"]]
    whole = (await api.data(await api.token(both), PLAN, id=group))["goalPlan"]
    assert whole["goal"]["id"] == group
    assert await refused(manager, group) == ("FORBIDDEN", "TEAM_VIEW")
    assert await refused(scene.reps[0], group) == ("NOT_FOUND", None)


async def test_a_range_or_a_page_that_does_not_fit(api: Api) -> None:
    scene = await Scene().build(2)
    token = await api.token(scene.boss)
    for arguments, path in (
        ('range: {from: "2024-01-01", to: "2025-12-31"}', ["range"]),
        ("range: {}", ["range"]),
        ("range: {named: THIS_YEAR}, first: 501", ["first"]),
    ):
        answer = await api.query(token, f"{{ coachingOpportunities({arguments}) {{ metric }} }}")
        extensions = answer["errors"][0]["extensions"]
        assert (extensions["code"], extensions["input"]) == ("INVALID", path)
