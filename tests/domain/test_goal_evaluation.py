"""Telling how goals stand.

Invariants:
A. Each crossing is told once, however often and by however many it is evaluated, and only when it has happened.
B. The told statuses of a period form a chain: each begins where the one before ended.
C. A number that sways around a threshold does not flood.
D. What comes late to a period that has just ended still counts; a period's end tells how it ended.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from domain import events, ingest
from domain.database import ALL_TEAMS, acquire, in_transaction
from domain.goal_evaluation import evaluate_team, teams_due
from domain.goal_events import GoalEvent
from domain.models.goals import GoalPeriod
from domain.records import decode_mapping
from tests.domain.test_goals import Scene, user

pytestmark = pytest.mark.usefixtures("database")
MONDAY = datetime(2026, 6, 15, 17, tzinfo=UTC)


async def calls(scene: Scene, count: int, day: date, start: int = 0) -> None:
    """The rep has made so many calls on a day, and no more."""
    records = [
        {
            "kind": "call",
            "externalId": f"{day}:{number}",
            "user": scene.rep.user_email,
            "occurredAt": f"{day}T12:00:00Z",
            "version": start,
            **({} if number < count else {"deleted": True}),
        }
        for number in range(200)
    ]
    await ingest.take_in(scene.team_id, "test", [(n, decode_mapping(one)) for n, one in enumerate(records)])


async def evaluate(scene: Scene, now: datetime) -> list[tuple[str, str, str]]:
    """Evaluate, and say what was told by now: type, status before and after."""
    await in_transaction(ALL_TEAMS, lambda connection: evaluate_team(connection, scene.team_id, now))
    return [
        (one.stored.type.value, one.status.before.value, one.status.after.value)
        for one in await scene.events()
        if one.status is not None
    ]


async def weekly(scene: Scene, target: int = 100) -> None:
    await scene.set(
        scene.admin,
        target,
        user(scene.rep.user_id),
        period=GoalPeriod.WEEK,
        effective_from=date(2026, 1, 5),
        now=MONDAY,
    )


async def quiet(scene: Scene, now: datetime) -> None:
    """The week before was attained, so that it tells nothing more."""
    before = (now - timedelta(days=7)).date()
    await calls(scene, 100, before, start=1)
    assert await evaluate(scene, now) == [("GOAL_ATTAINED", "ON_TRACK", "ATTAINED"), *(await _told(scene, now))]


async def _told(scene: Scene, now: datetime) -> list[Any]:
    return [
        (one.stored.type.value, one.status.before.value, one.status.after.value)
        for one in await scene.events()
        if one.status is not None and one.status.period_start > now.date() - timedelta(days=7)
    ]


async def test_each_crossing_is_told_once() -> None:
    scene = await Scene().build()
    await weekly(scene)
    await calls(scene, 20, MONDAY.date(), start=1)
    await quiet(scene, MONDAY)  # Monday evening: 20 of 100 are due and done
    tuesday, wednesday = MONDAY + timedelta(days=1), MONDAY + timedelta(days=2)
    assert (await evaluate(scene, tuesday))[1:] == [("GOAL_STATUS_CHANGED", "ON_TRACK", "BEHIND")]
    await asyncio.gather(*(evaluate(scene, tuesday) for _ in range(5)))
    assert len(await evaluate(scene, tuesday)) == 2
    await calls(scene, 30, tuesday.date(), start=1)
    assert (await evaluate(scene, wednesday))[2:] == [("GOAL_STATUS_CHANGED", "BEHIND", "AT_RISK")]
    await calls(scene, 80, wednesday.date(), start=1)
    assert (await evaluate(scene, wednesday))[3:] == [("GOAL_ATTAINED", "AT_RISK", "ATTAINED")]
    last = (await scene.events())[-1]
    assert last.status is not None
    assert (last.status.actual, last.status.target, last.status.period_start) == (130, 100, date(2026, 6, 15))
    assert last.stored.actor_id is None


async def test_a_swaying_number_does_not_flood() -> None:
    scene = await Scene().build()
    await weekly(scene)
    await quiet(scene, MONDAY - timedelta(hours=17))  # nothing is due yet
    told = []
    for version, count in enumerate((20, 19, 20, 19, 20, 19, 18, 19, 20), 2):
        await calls(scene, count, MONDAY.date(), start=version)
        told = (await evaluate(scene, MONDAY))[1:]
    # 19 of 20 are within the hysteresis, 18 are not.
    assert told == [("GOAL_STATUS_CHANGED", "ON_TRACK", "AT_RISK"), ("GOAL_STATUS_CHANGED", "AT_RISK", "ON_TRACK")]
    for version, count in enumerate((100, 99, 100, 98, 101, 90, 100), 20):
        await calls(scene, count, MONDAY.date(), start=version)
        told = (await evaluate(scene, MONDAY))[3:]
    assert told == [
        ("GOAL_ATTAINED", "ON_TRACK", "ATTAINED"),
        ("GOAL_STATUS_CHANGED", "ATTAINED", "ON_TRACK"),
        ("GOAL_ATTAINED", "ON_TRACK", "ATTAINED"),
    ]


async def test_the_end_of_a_period_and_what_comes_late() -> None:
    scene = await Scene().build()
    await weekly(scene)
    await quiet(scene, MONDAY - timedelta(hours=17))
    await calls(scene, 90, date(2026, 6, 17), start=1)
    following = MONDAY + timedelta(days=7) - timedelta(hours=16, minutes=59)  # the midnight after
    assert (await evaluate(scene, following))[1:] == [("GOAL_STATUS_CHANGED", "ON_TRACK", "AT_RISK")]
    await calls(scene, 100, date(2026, 6, 17), start=2)
    found = await evaluate(scene, following + timedelta(hours=1))
    assert found[2:] == [("GOAL_ATTAINED", "AT_RISK", "ATTAINED")]
    assert all(one.status is None or one.status.period_start < following.date() for one in await scene.events())


async def test_marks_wake_the_evaluator_and_midnight_does() -> None:
    scene = await Scene().build(timezone="America/New_York")
    await weekly(scene)
    async with acquire(ALL_TEAMS) as connection:
        assert scene.team_id in await teams_due(connection)
    now = datetime.now(UTC)
    await evaluate(scene, now)
    async with acquire(ALL_TEAMS) as connection:
        assert scene.team_id not in await teams_due(connection)
        due = await connection.fetchval("SELECT due_at FROM goal_evaluations WHERE team_id = $1", scene.team_id)
        assert now < due <= now + timedelta(hours=25)
        assert due.astimezone(ZoneInfo("America/New_York")).hour == 0
        await connection.execute("UPDATE goal_evaluations SET due_at = now() WHERE team_id = $1", scene.team_id)
        assert scene.team_id in await teams_due(connection)
    await evaluate(scene, now)
    await calls(scene, 1, date(2026, 6, 15), start=1)
    async with acquire(ALL_TEAMS) as connection:
        assert scene.team_id in await teams_due(connection)


async def test_a_killed_evaluation_leaves_its_marks() -> None:
    scene = await Scene().build()
    await weekly(scene, 10)
    await calls(scene, 20, MONDAY.date(), start=1)

    async def die(connection: Any) -> None:
        await evaluate_team(connection, scene.team_id, MONDAY)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await in_transaction(ALL_TEAMS, die)
    assert all(one.status is None for one in await scene.events())
    async with acquire(ALL_TEAMS) as connection:
        assert scene.team_id in await teams_due(connection)
    assert [after for _type, _before, after in await evaluate(scene, MONDAY)] == ["BEHIND", "ATTAINED"]


async def test_chains_under_many_changes() -> None:
    scene = await Scene().build()
    await weekly(scene)
    for version, count in enumerate((5, 40, 120, 60, 10, 100, 0), 1):
        await calls(scene, count, MONDAY.date(), start=version)
        await asyncio.gather(*(evaluate(scene, MONDAY + timedelta(days=1)) for _ in range(2)))
    chains: dict[tuple[Any, date], str] = {}
    found: list[GoalEvent] = await scene.events()
    for one in found:
        if one.status is not None:
            key = (one.goal.id, one.status.period_start)
            assert chains.get(key, "ON_TRACK") == one.status.before
            assert one.status.before != one.status.after
            chains[key] = one.status.after
            attained = one.stored.type is events.EventType.GOAL_ATTAINED
            assert attained == (one.status.after == "ATTAINED")
            assert one.status.target == Decimal(100)
    assert [one.stored.position for one in found] == list(range(1, len(found) + 1))
