"""Insight on the demo team and on hand-made rows.

Invariants:
A. The demo's rep in trouble is named among the first, with what is behind it; the rep on leave, the rising one and the
   new hires are not, and nearly all others are not.
B. Days off, absences that nobody entered, and the first days of a new rep do not count as working days.
C. A plan is the division of what is left by the rates, which are a plain recomputation's.
D. Plans without an answer say so.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from domain import access, goals, people
from domain.database import ALL_TEAMS, Connection, acquire
from domain.demo import seed_demo
from domain.demo.people import REPS, Story
from domain.errors import Forbidden, Invalid
from domain.goal_events import GoalFilter, GoalView
from domain.goals import SetGoals, Subject
from domain.identity import Identity, calendar_of
from domain.insight import Opportunity, Outcome, PlanQuestion, Question, coaching_opportunities, goal_plan
from domain.insight.numbers import read_numbers, read_people
from domain.metrics import METRICS, available_metrics
from domain.models.base import new_id
from domain.models.goals import GoalPeriod
from domain.paging import page_request
from domain.periods import Days, NamedRange, named_range
from domain.workdays import read_days_off, read_work_calendar
from tests.factories import make_group, make_role, make_team, make_user, viewer_of
from tests.oracle import insight as oracle

TODAY = date(2026, 11, 24)
NOW = datetime(2026, 11, 24, 9, tzinfo=ZoneInfo("America/New_York"))


async def _asked(connection: Connection, viewer: Identity, days: Days, now: datetime = NOW) -> Question:
    return Question(
        viewer=viewer,
        users=await access.see_users(connection, viewer),
        goals=await access.see_goals(connection, viewer),
        calendar=calendar_of(viewer),
        days=days,
        now=now,
        available=available_metrics(await people.connected_feeds(connection, viewer.team_id)),
    )


async def _ask(email: str, name: NamedRange = NamedRange.LAST_30_DAYS) -> list[tuple[str, Opportunity]]:
    async with acquire(ALL_TEAMS) as connection:
        viewer = await viewer_of(connection, await connection.fetchval("SELECT id FROM users WHERE email = $1", email))
        calendar = calendar_of(viewer)
        days = named_range(name, calendar, calendar.today(NOW))
        found = await coaching_opportunities(connection, await _asked(connection, viewer, days))
        names = {row["id"]: row["name"] for row in await connection.fetch("SELECT id, name FROM users")}
    return [(names[one.user_id], one) for one in found]


def _named(story: Story) -> str:
    return next(rep.name for rep in REPS if rep.story is story)


async def _goal(connection: Connection, viewer: Identity, user_id: UUID | None, metric: str) -> GoalView:
    sight = await access.see_goals(connection, viewer)
    wanted = GoalFilter(user_ids=None if user_id is None else (user_id,), metrics=(metric,))
    page = await goals.list_goals(connection, sight, wanted, TODAY, page_request(500, None))
    return next(goal for goal in page.nodes if goal.user_id == user_id and goal.group_id is None)


async def test_the_demo(fresh_database: str) -> None:
    await seed_demo(TODAY, history_days=150)
    await _names_the_rep_in_trouble()
    await _plans_as_the_oracle()


async def _names_the_rep_in_trouble() -> None:
    trouble = _named(Story.IN_TROUBLE)
    by_admin = await _ask("admin@demo.test")
    order = list(dict.fromkeys(name for name, _one in by_admin))
    assert trouble in order[:3]
    assert 1 <= len(order) <= 6, "of 48"
    quiet = {_named(Story.ON_LEAVE), _named(Story.RISING)}
    quiet |= {rep.name for rep in REPS if rep.hired_days_ago is not None and rep.hired_days_ago <= 150}
    for name in NamedRange.LAST_30_DAYS, NamedRange.LAST_90_DAYS, NamedRange.THIS_QUARTER:
        named = {rep for rep, _one in await _ask("admin@demo.test", name)}
        assert not named & quiet
        assert len(named) <= 8
    # The rep's own manager is told first of all, in words with the numbers.
    by_manager = await _ask("manager@demo.test")
    name, first = by_manager[0]
    assert name == trouble
    gap = first.gap
    assert gap.lever.metric in ("CALLS_LOGGED", "EMAILS_SENT", "CONNECT_RATE", "REPLY_RATE")
    assert gap.value < 0.7 * gap.median
    assert gap.lagging is not None
    assert gap.lagging[0] >= 3
    assert first.gain is not None
    assert first.goal is not None
    assert first.gain.low < first.gain.expected < first.gain.high
    assert first.explanation.startswith(f"{trouble}'s ")
    assert "the median of 11 peers in East" in first.explanation
    assert not any(rep.name in first.explanation for rep in REPS if rep.name != trouble)
    # What Admin and the manager are told of one rep is the same.
    assert [one.gap for rep, one in by_admin if rep == trouble] == [
        one.gap for rep, one in by_manager if rep == trouble
    ]
    # A lead of four has too few in sight, a rep without TEAM_VIEW too small a group: nothing is told.
    assert await _ask("lead@demo.test") == []
    assert await _ask("rep@demo.test") == []


async def _rows_of(connection: Connection, user_id: UUID, first: date, last: date) -> list[dict[str, float]]:
    rows = await connection.fetch(
        "SELECT * FROM rollup_days WHERE user_id = $1 AND day BETWEEN $2 AND $3", user_id, first, last
    )
    names = {definition.numerator for definition in METRICS.values()} | {
        name for definition in METRICS.values() for name in definition.denominators
    }
    return [{name: float(row[name]) for name in names} for row in rows]


async def _plans_as_the_oracle() -> None:
    async with acquire(ALL_TEAMS) as connection:
        admin = await viewer_of(
            connection, await connection.fetchval("SELECT id FROM users WHERE email = 'admin@demo.test'")
        )
        rep = next(one for one in REPS if one.name == _named(Story.RISING))
        user_id = await connection.fetchval("SELECT id FROM users WHERE email = $1", rep.email)
        goal = await _goal(connection, admin, user_id, "MEETINGS_BOOKED")
        raised = SetGoals("MEETINGS_BOOKED", GoalPeriod.MONTH, Decimal(2_000), (Subject(user_id, None, ()),))
        await goals.set_goals(connection, admin, raised, NOW)
        goal = await _goal(connection, admin, user_id, "MEETINGS_BOOKED")
        users = await access.see_users(connection, admin)
        available = available_metrics(await people.connected_feeds(connection, admin.team_id))
        asked = PlanQuestion(admin, users, calendar_of(admin), NOW, available, goal)
        plan = await goal_plan(connection, asked)
        # Tuesday to Monday, Thanksgiving not among them.
        assert plan.days_left == 4
        assert plan.left is not None
        assert plan.steps[-1].metric == "MEETINGS_BOOKED"
        assert plan.steps[-1].per_day == pytest.approx(plan.left / 4)
        assert plan.outcome is Outcome.OUT_OF_REACH
        first, last = TODAY - timedelta(days=180), TODAY - timedelta(days=1)
        own = await _rows_of(connection, user_id, first, last)
        east = await connection.fetch(
            "SELECT u.id FROM users u JOIN groups g ON g.id = u.group_id WHERE u.is_rep AND u.active "
            "AND g.name LIKE 'East%' AND u.id <> $1",
            user_id,
        )
        peers = [await _rows_of(connection, row["id"], first, last) for row in east]
        # The hire of 75 days ago has worked enough days to tell something.
        steps = {step.metric: step for step in plan.steps}
        reached = (oracle.EMAILS, oracle.CALLS)
        rates = {
            "EMAILS_REPLIED": oracle.Rate("count", "meetings_booked", reached),
            "CALLS_LOGGED": oracle.Rate("share", "calls_connected", ("calls_logged",)),
            "EMAILS_SENT": oracle.Rate("share", "emails_replied", ("emails_sent",)),
        }
        for metric, rate in rates.items():
            known = oracle.posterior(rate, own, peers, [own, *peers])
            assert known is not None
            assert steps[metric].rate == pytest.approx(known[0], rel=1e-6)
            assert steps[metric].low <= steps[metric].per_day <= steps[metric].high
        replied, connected = (sum(day[name] for day in own) for name in reached)
        need = plan.left / 4 / steps["EMAILS_REPLIED"].rate
        assert steps["EMAILS_REPLIED"].per_day == pytest.approx(need * replied / (replied + connected))
        assert steps["CALLS_CONNECTED"].per_day == pytest.approx(need * connected / (replied + connected))
        assert steps["EMAILS_SENT"].per_day == pytest.approx(
            steps["EMAILS_REPLIED"].per_day / steps["EMAILS_SENT"].rate
        )
        assert f"{sum(day['emails_replied'] for day in own):.0f} replies of " in steps["EMAILS_SENT"].basis
        # The team's plan counts everybody's.
        team = await _goal(connection, admin, None, "CLOSED_WON_AMOUNT")
        whole = await goal_plan(connection, PlanQuestion(admin, users, calendar_of(admin), NOW, available, team))
        assert [step.metric for step in whole.steps] == [
            "EMAILS_SENT",
            "EMAILS_REPLIED",
            "CALLS_LOGGED",
            "CALLS_CONNECTED",
            "MEETINGS_BOOKED",
            "MEETINGS_HELD",
            "OPPORTUNITIES_CREATED",
            "CLOSED_WON_COUNT",
            "CLOSED_WON_AMOUNT",
        ]
        won = await connection.fetchrow(
            "SELECT sum(closed_won_count) AS won, sum(closed_won_count + closed_lost_count) AS closed "
            "FROM rollup_days WHERE day BETWEEN $1 AND $2",
            first,
            last,
        )
        rate = next(step.rate for step in whole.steps if step.metric == "OPPORTUNITIES_CREATED")
        assert rate == pytest.approx((float(won["won"]) + 0.5) / (float(won["closed"]) + 1))


class Team:
    """A team with rows of its own making."""

    def __init__(self) -> None:
        self.users: list[UUID] = []

    async def build(self, connection: Connection, reps: int, **columns: Any) -> Team:
        self.id = await make_team(connection, **columns)
        self.role = await make_role(connection, self.id)
        self.admin = await make_user(
            connection, self.id, await make_role(connection, self.id, is_admin=True), is_rep=False
        )
        group = await make_group(connection, self.id, "group")
        self.users = [await make_user(connection, self.id, self.role, group_id=group) for _ in range(reps)]
        for feed in ("email", "calls"):
            await connection.execute(
                "INSERT INTO team_feeds (id, team_id, feed) VALUES ($1, $2, $3)", new_id(), self.id, feed
            )
        return self

    async def works(self, connection: Connection, user_id: UUID, days: list[date], **sums: int) -> None:
        names = list(sums)
        await connection.executemany(
            f"INSERT INTO rollup_days (id, team_id, user_id, day, {', '.join(names)}) "
            f"VALUES ($1, $2, $3, $4, {', '.join(f'${number + 5}' for number in range(len(names)))})",
            [(new_id(), self.id, user_id, day, *sums.values()) for day in days],
        )
        months: dict[date, int] = {}
        for day in days:
            months[day.replace(day=1)] = months.get(day.replace(day=1), 0) + 1
        await connection.executemany(
            f"INSERT INTO rollup_months (id, team_id, user_id, month, {', '.join(names)}) "
            f"VALUES ($1, $2, $3, $4, {', '.join(f'${number + 5}' for number in range(len(names)))})",
            [
                (new_id(), self.id, user_id, month, *(value * count for value in sums.values()))
                for month, count in months.items()
            ],
        )


def weekdays(first: date, last: date) -> list[date]:
    """Mondays to Fridays."""
    found = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    return [day for day in found if day.weekday() < 5]


async def test_which_days_count(database: str) -> None:
    window = Days(date(2026, 6, 1), date(2026, 8, 31))
    everyday = weekdays(window.first, window.last)
    assert len(everyday) == 66
    async with acquire(ALL_TEAMS) as connection:
        team = await Team().build(connection, 8)
        always, leave, absent, new, unsaid, rare, gone, weekend = team.users
        old = [date(2026, 1, 5)]
        away = set(weekdays(date(2026, 7, 6), date(2026, 7, 17)))
        await team.works(connection, always, old + everyday, emails_sent=5)
        await team.works(connection, leave, old + [day for day in everyday if day not in away], emails_sent=5)
        await connection.execute(
            "INSERT INTO days_off (id, team_id, user_id, first_day, last_day) VALUES ($1, $2, $3, $4, $5)",
            new_id(),
            team.id,
            leave,
            date(2026, 7, 4),
            date(2026, 7, 19),
        )
        # The same absence, which nobody has entered.
        await team.works(connection, absent, old + [day for day in everyday if day not in away], emails_sent=5)
        await connection.execute("UPDATE users SET started_on = '2026-05-04' WHERE id = $1", new)
        await team.works(connection, new, [day for day in everyday if day >= date(2026, 5, 4)], emails_sent=5)
        # Who began when nobody has said: the first month with numbers.
        await team.works(connection, unsaid, weekdays(date(2026, 5, 11), window.last), emails_sent=5)
        # Somebody with one deal every other week is not absent in between.
        await team.works(connection, rare, old + everyday[::8], emails_sent=1)
        await connection.execute("UPDATE users SET ended_on = '2026-06-30' WHERE id = $1", gone)
        await team.works(connection, gone, old + everyday, emails_sent=5)
        saturdays = [day + timedelta(days=5) for day in everyday[:-5] if day.weekday() == 0]
        await team.works(connection, weekend, old + everyday + saturdays, emails_sent=5)
        persons = await read_people(connection, team.id)
        work = await read_work_calendar(connection, team.id, window)
        off = await read_days_off(connection, team.id, window)
        numbers = await read_numbers(connection, team.id, persons, window, work, off, [(("emails_sent",), ())])
    worked = {person.id: days for person, days in zip(persons, numbers.days, strict=True)}
    sent = {person.id: one for person, one in zip(persons, numbers.sums["emails_sent"], strict=True)}
    assert worked[always] == 66
    assert worked[leave] == worked[absent] == 56
    assert worked[new] == len(weekdays(date(2026, 8, 2), window.last))
    assert sent[new] == worked[new] * 5
    assert worked[unsaid] == len(weekdays(date(2026, 7, 30), window.last))
    assert worked[rare] == 66
    assert worked[gone] == len(weekdays(window.first, date(2026, 6, 30)))
    assert worked[weekend] == 66
    assert sent[weekend] == (66 + len(saturdays)) * 5
    aa = numbers.squares[(("emails_sent",), ())][0]
    assert aa[persons.index(next(person for person in persons if person.id == always))] == 66 * 25
    assert np.isfinite(numbers.days).all()


async def test_new_reps_and_small_groups_are_told_nothing_of(database: str) -> None:
    window = Days(date(2026, 6, 1), date(2026, 8, 31))
    now = datetime(2026, 9, 1, 12, tzinfo=UTC)
    async with acquire(ALL_TEAMS) as connection:
        team = await Team().build(connection, 10)
        everyday = weekdays(window.first, window.last)
        for number, user_id in enumerate(team.users):
            await team.works(connection, user_id, [date(2026, 1, 5)], emails_sent=1)
            await team.works(
                connection,
                user_id,
                everyday,
                emails_sent=2 if number == 0 else 9 + number % 3,
                emails_delivered=2 if number == 0 else 9 + number % 3,
            )
        viewer = await viewer_of(connection, team.admin)

        async def named(**columns: Any) -> list[UUID]:
            for name, value in columns.items():
                await connection.execute(f"UPDATE users SET {name} = $2 WHERE id = $1", team.users[0], value)
            found = await coaching_opportunities(connection, await _asked(connection, viewer, window, now))
            return [one.user_id for one in found]

        assert await named() == [team.users[0]]
        assert await named(started_on=date(2026, 5, 20)) == [], "still new"
        assert await named(started_on=None, active=False) == []
        assert await named(active=True) == [team.users[0]]
        assert await named(group_id=None) == [], "without a group there are no peers"
        longest = await _asked(connection, viewer, Days(date(2024, 1, 1), date(2026, 8, 31)), now)
        with pytest.raises(Invalid, match="366 days"):
            await coaching_opportunities(connection, longest)
        future = Days(date(2026, 9, 1), date(2026, 9, 30))
        assert await coaching_opportunities(connection, await _asked(connection, viewer, future, now)) == []


async def test_plans_without_an_answer_say_so(database: str) -> None:
    # A Thursday in September, at noon of a working day from nine to five.
    now = datetime(2026, 9, 24, 13, tzinfo=UTC)
    async with acquire(ALL_TEAMS) as connection:
        team = await Team().build(connection, 2)
        rep, other = team.users
        everyday = weekdays(date(2026, 6, 1), date(2026, 9, 23))
        await team.works(connection, rep, everyday, emails_sent=10, emails_delivered=10, emails_replied=1)
        viewer = await viewer_of(connection, team.admin)
        users = await access.see_users(connection, viewer)
        available = available_metrics(await people.connected_feeds(connection, team.id))

        async def plan(
            user_id: UUID, metric: str, target: str, period: GoalPeriod = GoalPeriod.MONTH, when: datetime = now
        ) -> Any:
            request = SetGoals(metric, period, Decimal(target), (Subject(user_id, None, ()),))
            [goal] = await goals.set_goals(connection, viewer, request, now)
            return await goal_plan(connection, PlanQuestion(viewer, users, calendar_of(viewer), when, available, goal))

        attained = await plan(rep, "EMAILS_SENT", "100")
        assert (attained.outcome, attained.steps, attained.left) == (Outcome.ATTAINED, (), 0)
        missing = await plan(rep, "MEETINGS_BOOKED", "5")
        assert (missing.outcome, missing.steps) == (Outcome.UNAVAILABLE, ())
        assert "calendar" in missing.explanation
        over = await plan(rep, "EMAILS_REPLIED", "90", when=datetime(2026, 9, 30, 17, 30, tzinfo=UTC))
        assert (over.outcome, over.days_left, over.steps) == (Outcome.NO_TIME_LEFT, 0, ())
        assert over.left == 90 - 17
        reply = await plan(rep, "REPLY_RATE", "0.11")
        assert reply.outcome is Outcome.RATE
        # 17 days of 10 emails with one reply each are done, 4.5 such days to come.
        assert reply.needed_rate == pytest.approx((0.11 * (170 + 45) - 17) / 45)
        assert (await plan(rep, "REPLY_RATE", "0.9", GoalPeriod.QUARTER)).outcome is Outcome.OUT_OF_REACH
        few = await plan(rep, "EMAILS_REPLIED", "70", GoalPeriod.QUARTER)
        assert few.days_left == 5
        assert few.steps[-1].per_day == pytest.approx((70 - len(weekdays(date(2026, 7, 1), date(2026, 9, 23)))) / 5)
        sent = next(step for step in few.steps if step.metric == "EMAILS_SENT")
        assert sent.rate == pytest.approx((len(everyday) + 0.5) / (10 * len(everyday) + 1))
        assert sent.current == pytest.approx(10)
        # Nothing is known of somebody who did nothing yet: only the goal itself is spread.
        unknown = await plan(other, "EMAILS_REPLIED", "30")
        assert [step.metric for step in unknown.steps] == ["EMAILS_REPLIED"]
        assert "Too little is known" in unknown.explanation
        assert unknown.forecast is None
        aside = await plan(rep, "CALLS_LOGGED", "40")
        assert [step.metric for step in aside.steps] == ["CALLS_LOGGED"]
        # Whoever sees the goal but not the numbers is told which permission is missing.
        manager = await make_user(connection, team.id, await make_role(connection, team.id, "MANAGE_GOALS"))
        blind = await viewer_of(connection, manager)
        goal = await _goal(connection, viewer, rep, "CALLS_LOGGED")
        sight = await access.see_users(connection, blind)
        with pytest.raises(Forbidden) as refused:
            await goal_plan(connection, PlanQuestion(blind, sight, calendar_of(blind), now, available, goal))
        assert refused.value.permission == "TEAM_VIEW"
