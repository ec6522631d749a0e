"""The demo team.

Invariants: the same every time; tomorrow's run adds tomorrow and never rewrites; a second run changes nothing; the
people and the stories are those that are told of.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from domain.database import ALL_TEAMS, acquire
from domain.demo import seed_demo
from domain.demo.history import is_working_day, records_of
from domain.demo.people import REPS, Story

TODAY = date(2026, 11, 24)
ZONE = ZoneInfo("America/New_York")
_STATE = """
    SELECT md5(string_agg(concat_ws('|', a.external_id, u.email, a.kind, a.occurred_at, a.status, a.replied_at, a.won,
        a.closed_on, a.stage), ',' ORDER BY a.external_id)) FROM activities a JOIN users u ON u.id = a.user_id
"""


async def test_day_by_day_is_the_same_as_at_once(fresh_database: str) -> None:
    for number in range(4):
        await seed_demo(TODAY + timedelta(days=number), history_days=30)
    async with acquire(ALL_TEAMS) as connection:
        by_day = await connection.fetchval(_STATE)
        await connection.execute("DELETE FROM activities")
        await connection.execute("DELETE FROM activity_keys")
        await connection.execute("DELETE FROM jobs")
    again = await seed_demo(TODAY + timedelta(days=3), history_days=30)
    assert again.accepted > 1_000
    async with acquire(ALL_TEAMS) as connection:
        assert await connection.fetchval(_STATE) == by_day


async def test_two_seeders_at_once_and_again(fresh_database: str) -> None:
    outcomes = await asyncio.gather(*(seed_demo(TODAY, history_days=10) for _ in range(2)))
    assert sorted(outcome.accepted > 0 for outcome in outcomes) == [False, True]
    assert (await seed_demo(TODAY, history_days=10)).accepted == 0
    async with acquire(ALL_TEAMS) as connection:
        assert await connection.fetchval("SELECT count(*) FROM teams") == 1
        assert await connection.fetchval("SELECT count(*) FROM users WHERE is_rep") == 48
        assert await connection.fetchval("SELECT count(*) FROM users WHERE is_rep AND group_id IS NULL") == 1
        regions = await connection.fetch(
            """
            SELECT g.name, count(s.id) AS below FROM groups g
            JOIN groups p ON p.id = g.parent_id AND p.parent_id IS NULL
            LEFT JOIN groups s ON s.parent_id = g.id GROUP BY g.name ORDER BY g.name
            """
        )
        assert [tuple(row) for row in regions] == [("East", 3), ("North", 3), ("South", 3), ("West", 3)]
        latest = await connection.fetchval("SELECT max(occurred_at) FROM activities")
    assert latest < datetime(TODAY.year, TODAY.month, TODAY.day, tzinfo=ZONE)


def _per_working_day(story: Story, first: int, last: int) -> float:
    """Records a working day, from so many days before today to so many."""
    rep = next(rep for rep in REPS if rep.story is story)
    cutoff = datetime(TODAY.year, TODAY.month, TODAY.day, tzinfo=ZONE)
    days = [TODAY - timedelta(days=number) for number in range(last, first)]
    working = [day for day in days if is_working_day(day)]
    return sum(len(list(records_of(rep, day, TODAY, cutoff))) for day in working) / len(working)


def test_the_stories_show_in_the_numbers() -> None:
    assert _per_working_day(Story.IN_TROUBLE, 28, 0) < 0.7 * _per_working_day(Story.IN_TROUBLE, 200, 60)
    assert _per_working_day(Story.RISING, 60, 0) > 1.3 * _per_working_day(Story.RISING, 365, 300)
    assert _per_working_day(Story.ON_LEAVE, 69, 29) == 0
    assert _per_working_day(Story.ON_LEAVE, 28, 0) > 1


def test_weekends_and_holidays_are_quiet() -> None:
    cutoff = datetime(TODAY.year, TODAY.month, TODAY.day, tzinfo=ZONE)
    counts: Counter[bool] = Counter()
    for number in range(1, 120):
        day = TODAY - timedelta(days=number)
        for rep in REPS:
            counts[is_working_day(day)] += sum(1 for _ in records_of(rep, day, TODAY, cutoff))
    assert counts[False] < counts[True] / 50
    assert not is_working_day(date(2026, 11, 26))
