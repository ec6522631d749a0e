"""Goals that PostgreSQL adds up are the goals that GoalBoard lays out, for any subject, range, leave and career."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from uuid import UUID, uuid4

import pytest

from domain.database import ALL_TEAMS, Connection, acquire
from domain.goal_board import SubjectGoals, load_board, load_frame
from domain.goal_totals import load_goals_of, load_totals
from domain.models.base import new_id
from domain.models.goals import GoalPeriod
from domain.pacing import Progress
from domain.periods import Calendar, Days
from tests.factories import make_group, make_role, make_team, make_user

pytestmark = pytest.mark.usefixtures("database")
METRICS = ("CALLS_LOGGED", "MEETINGS_HELD", "REPLY_RATE")
FIRST = date(2026, 1, 1)
RANGES = (
    Days(date(2026, 3, 1), date(2026, 3, 31)),
    Days(date(2026, 3, 4), date(2026, 3, 4)),
    Days(date(2026, 3, 2), date(2026, 3, 8)),
    Days(date(2026, 1, 17), date(2026, 5, 3)),
    Days(date(2026, 1, 1), date(2026, 12, 31)),
)


class Scene:
    """A team with groups in a tree, people in and out of it, some with leave, and goals of all periods."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.people: list[UUID] = []
        self.groups: list[UUID] = []

    def day(self) -> date:
        return FIRST + timedelta(days=self.random.randrange(365))

    async def build(self) -> None:
        chance = self.random
        async with acquire(ALL_TEAMS) as connection:
            self.team_id = await make_team(connection, timezone="UTC", holiday_country="DE")
            role = await make_role(connection, self.team_id)
            for number in range(5):
                parent = chance.choice([None, *self.groups])
                self.groups.append(await make_group(connection, self.team_id, f"group {number}", parent))
            for _ in range(9):
                group = chance.choice([None, *self.groups])
                user_id = await make_user(connection, self.team_id, role, group_id=group)
                self.people.append(user_id)
                started, ended = chance.choice([None, self.day()]), chance.choice([None, self.day()])
                if started is None or ended is None or started <= ended:
                    await connection.execute(
                        "UPDATE users SET started_on = $2, ended_on = $3 WHERE id = $1", user_id, started, ended
                    )
                for _ in range(chance.choice([0, 0, 1, 2])):
                    first = self.day()
                    await connection.execute(
                        "INSERT INTO days_off (id, team_id, user_id, first_day, last_day) VALUES ($1, $2, $3, $4, $5)",
                        new_id(),
                        self.team_id,
                        user_id,
                        first,
                        first + timedelta(days=chance.randrange(12)),
                    )
            subjects: list[tuple[UUID | None, UUID | None]] = [(None, None)]
            subjects += [(user_id, None) for user_id in self.people]
            subjects += [(None, group_id) for group_id in self.groups[:2]]
            for user_id, group_id in subjects:
                for metric in METRICS:
                    for period in chance.sample(list(GoalPeriod), chance.choice([0, 1, 2, 3])):
                        await self._goal(connection, user_id, group_id, metric, period)

    async def _goal(
        self, connection: Connection, user_id: UUID | None, group_id: UUID | None, metric: str, period: GoalPeriod
    ) -> None:
        goal_id, first = uuid4(), self.day() - timedelta(days=200)
        await connection.execute(
            "INSERT INTO goals (id, team_id, user_id, group_id, metric, period) VALUES ($1, $2, $3, $4, $5, $6)",
            goal_id,
            self.team_id,
            user_id,
            group_id,
            metric,
            period.value,
        )
        for version in range(1, self.random.choice([2, 2, 3, 4])):
            # A version that never counted ends the day before it begins.
            length = self.random.choice([-1, 20, 90, None])
            last = None if length is None else first + timedelta(days=length)
            await connection.execute(
                "INSERT INTO goal_versions (id, team_id, goal_id, version, target, effective_from, effective_to) "
                "VALUES ($1, $2, $3, $4, $5, $6, $7)",
                new_id(),
                self.team_id,
                goal_id,
                version,
                Decimal(self.random.randrange(1, 10_000)) / 100,
                first,
                last,
            )
            if last is None:
                return
            first = last + timedelta(days=1)


def told(goals: SubjectGoals) -> dict[str, tuple[Fraction | None, Progress | None]]:
    """All that a subject's goals say."""
    return {metric: (goals.target(metric), goals.progress(metric, 17)) for metric in METRICS}


@pytest.mark.parametrize("seed", range(12))
async def test_the_two_ways_are_one(seed: int) -> None:
    scene = Scene(seed)
    await scene.build()
    calendar, now = Calendar("UTC"), datetime(2026, 3, 11, 13, tzinfo=UTC)
    some = sorted(scene.random.sample(scene.people, 5))
    said = 0
    async with acquire(ALL_TEAMS) as connection:
        for days in RANGES:
            frame = await load_frame(connection, scene.team_id, calendar, now, days)
            for ids in (None, some):
                board = await load_board(connection, scene.team_id, calendar, now, days, user_ids=ids)
                totals = await load_totals(connection, scene.team_id, frame, METRICS, user_ids=ids)
                of = await load_goals_of(connection, scene.team_id, frame, METRICS, ids or scene.people)
                assert told(totals.of_team(scene.team_id, METRICS)) == told(board.of_team(scene.team_id, METRICS, days))
                assert told(totals.of_people(METRICS)) == told(board.of_people(ids or scene.people, METRICS, days))
                for group_id in scene.groups:
                    whole = told(board.of_group(group_id, METRICS, days))
                    assert told(totals.of_group(group_id, METRICS)) == whole
                    said += sum(target is not None for target, _progress in whole.values())
                for user_id in ids or scene.people:
                    assert told(of.get(user_id, frame.goals({}))) == told(board.of_user(user_id, METRICS, days))
    assert said > 20
