"""Teams to measure with: an Admin with a token, groups, reps, all feeds connected, and goals."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import asyncpg

from domain import goals, teams
from domain.database import ALL_TEAMS, acquire, transaction
from domain.goals import SetGoals, Subject
from domain.identity import identify_user
from domain.ingest import connect_feeds
from domain.metrics import BASE_SUM_NAMES, BASE_SUMS
from domain.models.goals import GoalPeriod
from domain.models.teams import Feed
from domain.tokens import create_token

REPS = 500
GROUPS = 24
RATE = "REPLY_RATE"
ASKED = {
    "CALLS_LOGGED": (GoalPeriod.MONTH, "200"),
    "CALLS_CONNECTED": (GoalPeriod.MONTH, "190"),
    "EMAILS_SENT": (GoalPeriod.MONTH, "210"),
    "EMAILS_REPLIED": (GoalPeriod.MONTH, "220"),
    "MEETINGS_BOOKED": (GoalPeriod.MONTH, "180"),
    "MEETINGS_HELD": (GoalPeriod.QUARTER, "600"),
    "CONVERSATIONS_RECORDED": (GoalPeriod.QUARTER, "650"),
    "TASKS_COMPLETED": (GoalPeriod.MONTH, "200"),
    "CLOSED_WON_COUNT": (GoalPeriod.QUARTER, "620"),
    "CLOSED_WON_AMOUNT": (GoalPeriod.QUARTER, "320000"),
    RATE: (GoalPeriod.QUARTER, "0.8"),
}
"""By metric, what the reps of the middle size are asked for."""
SIZES = ("0.8", "0.9", "1", "1.1", "1.2")


@dataclass(frozen=True, slots=True)
class Quarters:
    """The last quarter that is over, and the one before."""

    first: date
    last: date
    before: date

    @classmethod
    def until(cls, today: date) -> Quarters:
        """As of a day."""
        running = date(today.year, (today.month - 1) // 3 * 3 + 1, 1)
        starts = [running]
        for _ in range(2):
            end = starts[-1] - timedelta(days=1)
            starts.append(date(end.year, (end.month - 1) // 3 * 3 + 1, 1))
        return cls(starts[1], running - timedelta(days=1), starts[2])


@dataclass(frozen=True, slots=True)
class Staff:
    """A team.

    Args:
        team_id: Its id.
        boss_id: Its Admin, who is no rep.
        token: The Admin's.
        groups: Ids, by name.
        reps: Ids, by name; the groups have equally many.
    """

    team_id: UUID
    boss_id: UUID
    token: str
    groups: tuple[UUID, ...]
    reps: tuple[UUID, ...]


async def make_staff(name: str, reps: int = REPS) -> Staff:
    """Make a team without activities and goals."""
    async with acquire(ALL_TEAMS) as connection, connection.transaction():
        team_id = await teams.create_team(connection, name=name)
        admin = await teams.role_named(connection, team_id, teams.ADMIN)
        user = await teams.role_named(connection, team_id, teams.USER)
        boss_id = await teams.create_user(
            connection, team_id, name="Boss", email=f"boss@{team_id}.test", role_id=admin, is_rep=False
        )
        groups = [await teams.create_group(connection, team_id, f"Group {number:02}") for number in range(GROUPS)]
        people = [
            await teams.create_user(
                connection,
                team_id,
                name=f"Rep {number:03}",
                email=f"rep{number:03}@{team_id}.test",
                role_id=user,
                group_id=groups[number % GROUPS],
                manager_id=boss_id,
            )
            for number in range(reps)
        ]
        await connect_feeds(connection, team_id, list(Feed))
        token = await create_token(connection, team_id, boss_id, name="bench")
    return Staff(team_id, boss_id, token.text, tuple(groups), tuple(people))


async def set_goals(staff: Staff, first: date) -> None:
    """Set each rep a goal for each metric of `ASKED` from a day on, in sizes that differ from rep to rep."""
    async with transaction(staff.team_id) as connection:
        viewer = await identify_user(connection, staff.team_id, staff.boss_id)
        assert viewer is not None, "the boss has just been made"
        for metric, (period, middle) in ASKED.items():
            for place, size in enumerate(SIZES):
                subjects = tuple(Subject(user_id, None, ()) for user_id in staff.reps[place :: len(SIZES)])
                request = SetGoals(metric, period, Decimal(middle) * Decimal(size), subjects, effective_from=first)
                await goals.set_goals(connection, viewer, request, datetime.now(UTC))


async def fill_rollups(staff: Staff, first: date, last: date) -> None:
    """Give every rep numbers of every kind for every weekday: what a dashboard reads, without the activities."""
    names = ", ".join(BASE_SUM_NAMES)
    # Amounts with cents: no two reps share a rank, so that ours and a floor put the same ones first.
    values = ", ".join(
        "(random() * 9999)::numeric(8, 2)" if base.money else "(random() * 20)::int" for base in BASE_SUMS
    )
    sums = ", ".join(f"sum({name})" for name in BASE_SUM_NAMES)
    async with acquire(ALL_TEAMS) as connection, connection.transaction():
        await connection.execute(
            f"""
            INSERT INTO rollup_days (team_id, user_id, day, {names})
            SELECT $1, u.id, d.day, {values} FROM unnest($2::uuid[]) u (id),
                generate_series($3::date, $4::date, '1 day') d (day)
            WHERE extract(isodow FROM d.day) < 6
            """,
            staff.team_id,
            staff.reps,
            first,
            last,
        )
        await connection.execute(
            f"""
            INSERT INTO rollup_months (team_id, user_id, month, {names})
            SELECT team_id, user_id, date_trunc('month', day)::date, {sums} FROM rollup_days WHERE team_id = $1
            GROUP BY 1, 2, 3
            """,
            staff.team_id,
        )


async def settle(database_url: str) -> None:
    """What autovacuum will have done a while later: statistics and visibility maps."""
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute("VACUUM ANALYZE")
    finally:
        await connection.close()
