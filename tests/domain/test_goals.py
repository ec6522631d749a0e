"""Setting and removing goals.

Invariants:
A. All or nothing: an item that is refused is named, and nothing is written.
B. Versions of a goal never overlap, and what was asked of any day before today never changes.
C. Whoever set last, the history is one: numbers without gaps, at most one version that goes on.
D. A repeated key answers as the first time and writes nothing; one key is one input.
E. Every change has its event in the same transaction, with positions that grow by one.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest

from domain import access, events, goals
from domain.database import ALL_TEAMS, acquire, in_transaction
from domain.errors import Conflict, Forbidden, Invalid, Refused
from domain.goal_events import GoalEvent, GoalFilter, GoalView
from domain.goals import RemoveGoals, SetGoals, Subject
from domain.identity import Identity
from domain.models.goals import GoalPeriod
from domain.paging import page_request
from tests.factories import make_group, make_role, make_team, make_user, viewer_of

pytestmark = pytest.mark.usefixtures("database")
NOW = datetime(2026, 6, 16, 13, tzinfo=UTC)  # a Tuesday


class Scene:
    """A team with an admin, a manager of a group with two reps, and a rep elsewhere."""

    async def build(self, **columns: Any) -> Scene:
        async with acquire(ALL_TEAMS) as connection:
            self.team_id = await make_team(connection, **columns)
            admin = await make_role(connection, self.team_id, is_admin=True, name="Admin")
            manager = await make_role(connection, self.team_id, "TEAM_VIEW", "MANAGE_GOALS")
            user = await make_role(connection, self.team_id)
            self.group = await make_group(connection, self.team_id, "East")
            self.below = await make_group(connection, self.team_id, "East 1", self.group)
            self.other = await make_group(connection, self.team_id, "West")
            self.admin = await viewer_of(connection, await make_user(connection, self.team_id, admin))
            self.manager = await viewer_of(
                connection, await make_user(connection, self.team_id, manager, group_id=self.group)
            )
            self.rep = await viewer_of(connection, await make_user(connection, self.team_id, user, group_id=self.below))
            self.rep2 = await make_user(connection, self.team_id, user, group_id=self.below)
            self.far = await make_user(connection, self.team_id, user, group_id=self.other)
        return self

    async def set(
        self, viewer: Identity, target: object, *subjects: Subject, now: datetime = NOW, **more: Any
    ) -> list[GoalView]:
        request = SetGoals(
            **{
                "metric": "CALLS_LOGGED",
                "period": GoalPeriod.MONTH,
                "target": Decimal(str(target)),
                "subjects": subjects,
                **more,
            }
        )
        return await in_transaction(ALL_TEAMS, lambda connection: goals.set_goals(connection, viewer, request, now))

    async def remove(self, viewer: Identity, *ids: UUID | None, now: datetime = NOW, **more: Any) -> list[GoalView]:
        request = RemoveGoals(tuple((one, ("input", "goalIds", str(n))) for n, one in enumerate(ids)), **more)
        return await in_transaction(ALL_TEAMS, lambda connection: goals.remove_goals(connection, viewer, request, now))

    async def events(self) -> list[GoalEvent]:
        async with acquire(ALL_TEAMS) as connection:
            return [GoalEvent.of(one) for one in await events.read_events(connection, self.team_id, 0, 1000)]

    async def history(self, goal: GoalView) -> list[tuple[int, int, date, date | None]]:
        assert goal.id is not None
        async with acquire(ALL_TEAMS) as connection:
            found = (await goals.histories(connection, self.team_id, [goal.id]))[goal.id]
        return [(one.number, int(one.target), one.effective_from, one.effective_to) for one in reversed(found)]

    async def listed(self, viewer: Identity, **wanted: Any) -> list[GoalView]:
        async with acquire(ALL_TEAMS) as connection:
            sight = await access.see_goals(connection, viewer)
            page = await goals.list_goals(connection, sight, GoalFilter(**wanted), NOW.date(), page_request(500, None))
            assert await goals.count_goals(connection, sight, GoalFilter(**wanted), NOW.date()) == len(page.nodes)
        return list(page.nodes)


def user(user_id: UUID, place: int = 0) -> Subject:
    return Subject(user_id, None, ("input", "userIds", str(place)))


def group(group_id: UUID) -> Subject:
    return Subject(None, group_id, ("input", "groupIds", "0"))


async def test_a_history() -> None:
    scene = await Scene().build()
    me = user(scene.rep.user_id)
    (first,) = await scene.set(scene.manager, 100, me)
    assert (first.newest.number, first.newest.effective_from) == (1, date(2026, 6, 1))
    (same,) = await scene.set(scene.manager, 100, me)
    assert same.newest == first.newest
    (second,) = await scene.set(scene.manager, 120, me)
    assert (second.newest.number, second.newest.effective_from) == (2, date(2026, 6, 16))
    await scene.set(scene.manager, 130, me)  # the same day again: 120 never counted
    await scene.set(scene.manager, 150, me, effective_from=date(2026, 9, 1))
    await scene.set(scene.rep, 140, me, now=NOW + timedelta(days=2))  # before September came
    assert await scene.history(first) == [
        (1, 100, date(2026, 6, 1), date(2026, 6, 15)),
        (2, 120, date(2026, 6, 16), date(2026, 6, 15)),
        (3, 130, date(2026, 6, 16), date(2026, 6, 17)),
        (4, 150, date(2026, 9, 1), date(2026, 8, 31)),
        (5, 140, date(2026, 6, 18), None),
    ]
    (removed,) = await scene.remove(scene.manager, first.id, now=NOW + timedelta(days=9))
    assert removed.newest.effective_to == date(2026, 6, 24)
    (again,) = await scene.remove(scene.manager, first.id, now=NOW + timedelta(days=9))
    assert again == removed
    (new,) = await scene.set(scene.manager, 90, me, now=NOW + timedelta(days=20))
    assert new.newest.number == 6
    told = await scene.events()
    assert [one.stored.position for one in told] == list(range(1, len(told) + 1))
    assert [one.stored.type.value.removeprefix("GOAL_") for one in told] == [
        "CREATED",
        "UPDATED",
        "UPDATED",
        "UPDATED",
        "UPDATED",
        "REMOVED",
        "CREATED",
    ]
    assert told[1].before is not None
    assert (told[1].before.target, told[1].stored.actor_id) == (100, scene.manager.user_id)
    assert told[5].after is None


async def test_refusals_name_their_item_and_write_nothing() -> None:
    scene = await Scene().build()
    with pytest.raises(Refused) as refused:
        await scene.set(scene.manager, 10, user(scene.rep.user_id, 0), user(scene.far, 1), group(scene.other))
    assert [(one.code, one.path) for one in refused.value.items] == [
        ("NOT_FOUND", ("input", "userIds", "1")),
        ("NOT_FOUND", ("input", "groupIds", "0")),
    ]
    assert await scene.listed(scene.admin) == []
    assert await scene.events() == []
    for bad in (
        {"target": "0"},
        {"target": "-1"},
        {"target": "1.00001"},
        {"target": "1e30"},
        {"metric": "BOUNCE_RATE", "target": "0.1"},
        {"metric": "REPLY_RATE", "target": "25"},
        {"effective_from": date(1900, 1, 1)},
    ):
        with pytest.raises(Invalid):
            await scene.set(scene.manager, bad.pop("target", 10), user(scene.rep.user_id), **bad)
    with pytest.raises(Invalid):
        await scene.set(scene.manager, 10)
    await scene.set(scene.manager, 10, user(scene.rep.user_id))
    with pytest.raises(Refused) as late:
        await scene.set(scene.manager, 11, user(scene.rep.user_id), effective_from=date(2026, 6, 15))
    assert late.value.items[0].path == ("input", "userIds", "0")
    with pytest.raises(Invalid):
        await scene.remove(scene.manager, (await scene.listed(scene.rep))[0].id, effective_from=date(2026, 6, 1))
    with pytest.raises(Refused):
        await scene.remove(scene.manager, (await scene.listed(scene.rep))[0].id, None)


async def test_who_may_change_which() -> None:
    scene = await Scene().build()
    await scene.set(scene.rep, 10, user(scene.rep.user_id))
    with pytest.raises(Forbidden) as forbidden:
        await scene.set(scene.rep, 10, user(scene.rep2))
    assert forbidden.value.permission == "MANAGE_GOALS"
    with pytest.raises(Forbidden):
        await scene.set(scene.rep, 10, Subject(None, None, ()))
    with pytest.raises(Refused):
        await scene.set(scene.manager, 10, Subject(None, None, ("input", "team")))
    await scene.set(scene.admin, 10, Subject(None, None, ("input", "team")), user(scene.far))
    assert [goal.user_id for goal in await scene.listed(scene.rep)] == [scene.rep.user_id]
    far = next(goal for goal in await scene.listed(scene.admin) if goal.user_id == scene.far)
    with pytest.raises(Refused):
        await scene.remove(scene.manager, far.id)
    async with acquire(ALL_TEAMS) as connection:
        await connection.execute("UPDATE teams SET reps_edit_own_goals = false WHERE id = $1", scene.team_id)
        rep = await viewer_of(connection, scene.rep.user_id)
    with pytest.raises(Forbidden):
        await scene.set(rep, 11, user(rep.user_id))
    with pytest.raises(Forbidden):
        await scene.remove(rep, (await scene.listed(rep))[0].id)
    await scene.set(scene.manager, 11, user(rep.user_id))


async def test_own_and_derived() -> None:
    scene = await Scene().build()
    await scene.set(scene.admin, 10, user(scene.rep.user_id), user(scene.rep2, 1), user(scene.far, 2))
    await scene.set(scene.admin, "0.3", user(scene.rep.user_id), metric="REPLY_RATE")

    def of(found: list[GoalView], group_id: UUID | None) -> GoalView:
        return next(one for one in found if one.user_id is None and one.group_id == group_id)

    found = await scene.listed(scene.admin)
    assert [(of(found, one).derived, of(found, one).newest.target) for one in (scene.group, scene.below, None)] == [
        (True, 20),
        (True, 20),
        (True, 30),
    ]
    assert {one.metric for one in found if one.derived} == {"CALLS_LOGGED"}  # rates do not add up
    await scene.set(scene.manager, 50, group(scene.group))
    found = await scene.listed(scene.manager)
    assert (of(found, scene.group).derived, of(found, scene.group).newest.target) == (False, 50)
    assert not any(
        one.group_id == scene.other or one.user_id == scene.far or one.subject_id == scene.team_id for one in found
    )
    assert {one.group_id for one in await scene.listed(scene.manager, group_ids=(scene.group,))} == {scene.group}
    assert {one.user_id for one in await scene.listed(scene.manager, user_ids=(scene.rep2,))} == {scene.rep2}


async def test_pages_of_goals() -> None:
    scene = await Scene().build()
    for period in GoalPeriod:
        await scene.set(scene.admin, 10, user(scene.rep.user_id), user(scene.rep2, 1), period=period)
    every = await scene.listed(scene.admin)
    found, cursor = [], None
    async with acquire(ALL_TEAMS) as connection:
        sight = await access.see_goals(connection, scene.admin)
        while True:
            page = await goals.list_goals(connection, sight, GoalFilter(), NOW.date(), page_request(4, cursor))
            found += page.nodes
            if not page.has_next:
                break
            cursor = page.cursors[-1]
    assert found == every
    assert len(every) == 25


async def test_expected_versions() -> None:
    scene = await Scene().build()
    me = user(scene.rep.user_id)
    await scene.set(scene.manager, 10, me, expected={scene.rep.user_id: (0, ())})
    with pytest.raises(Refused) as stale:
        await scene.set(scene.manager, 11, me, expected={scene.rep.user_id: (0, ())})
    assert stale.value.items[0].code == "CONFLICT"
    (goal,) = await scene.set(scene.manager, 11, me, expected={scene.rep.user_id: (1, ())})
    await scene.remove(scene.manager, goal.id)
    with pytest.raises(Refused):  # removed meanwhile
        await scene.set(scene.manager, 12, me, expected={scene.rep.user_id: (2, ())})
    with pytest.raises(Refused):  # of somebody who is not in the input
        await scene.set(scene.manager, 12, me, expected={scene.rep2: (0, ("input", "expectedVersions", "0"))})


async def test_idempotency_keys() -> None:
    scene = await Scene().build()
    me = user(scene.rep.user_id)
    (first,) = await scene.set(scene.manager, 10, me, idempotency_key="k")
    await scene.set(scene.manager, 20, me)
    (repeated,) = await scene.set(scene.manager, 10, me, idempotency_key="k")
    assert repeated == first
    assert len(await scene.events()) == 2
    with pytest.raises(Conflict):
        await scene.set(scene.manager, 11, me, idempotency_key="k")
    await scene.set(scene.rep, 11, me, idempotency_key="k")  # keys are each sender's own
    removed = await scene.remove(scene.manager, first.id, idempotency_key="r")
    assert await scene.remove(scene.manager, first.id, idempotency_key="r") == removed
    assert len(await scene.events()) == 4
    with pytest.raises(Refused):
        await scene.set(scene.manager, 10, user(scene.far), idempotency_key="f")
    async with acquire(ALL_TEAMS) as connection:
        await connection.execute("UPDATE idempotency_keys SET created_at = now() - interval '8 days'")
    await scene.set(scene.manager, 12, me, idempotency_key="k")  # after a week it is a new one
    answers = await asyncio.gather(
        *(scene.set(scene.manager, 30, user(scene.rep2), idempotency_key="at once") for _ in range(6))
    )
    assert all(answer == answers[0] for answer in answers)
    assert len(await scene.events()) == 6


async def test_many_managers_at_once() -> None:
    scene = await Scene().build()
    ids = [scene.rep.user_id, scene.rep2, scene.far]
    chance = random.Random(7)

    def one(number: int) -> Callable[[], Awaitable[object]]:
        chosen = chance.sample(ids, 2)
        subjects = [user(user_id, place) for place, user_id in enumerate(chosen)]
        return lambda: scene.set(scene.admin, 100 + number, *subjects)

    await asyncio.gather(*(one(number)() for number in range(30)))
    listed = [goal for goal in await scene.listed(scene.admin) if not goal.derived]
    total = 0
    for goal in listed:
        history = await scene.history(goal)
        total += len(history)
        assert [number for number, *_ in history] == list(range(1, len(history) + 1))
        assert [last for *_, last in history].count(None) == 1
        held = [(first, last or date.max) for _, _, first, last in history if last is None or last >= first]
        assert all(a[1] < b[0] for a, b in pairwise(held))
    told = await scene.events()
    assert [one.stored.position for one in told] == list(range(1, total + 1))
    last = {one.goal.user_id: one.goal.newest.target for one in told}
    assert last == {goal.user_id: goal.newest.target for goal in listed}
