"""Accolades: who has reached what, granting and revoking.

Invariants:
A. Totals, firsts, bests and streaks are those that a brute force over the days finds: across weekends, holidays, leave.
B. No milestone is granted twice, however often and by however many it is looked for, whatever is corrected, however the
   rule or the calendar changes; a revoked one is not granted again.
C. Each grant commits with its event, or neither does.
D. Looking each day finds what looking once at the end finds.
E. By hand: in scope, not oneself; what does not fit is refused by name.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from random import Random
from typing import Any
from uuid import UUID

import pytest

from domain import access, accolades, erasure, events, personal_data
from domain.access import Sight
from domain.accolade_evaluation import Streak, evaluate_accolades, streaks, teams_due
from domain.accolades import AccoladeFilter, AccoladeView, GrantAccolade, Reached, Rule, SetRule
from domain.database import ALL_TEAMS, acquire, in_transaction
from domain.errors import Conflict, Forbidden, Invalid, NotFound
from domain.events import AccoladeEventType
from domain.goal_evaluation import evaluate_team
from domain.identity import Identity
from domain.models.base import new_id
from domain.models.goals import GoalPeriod
from domain.models.scores import AccoladeKind, ScoreKind
from domain.paging import page_request
from domain.periods import Days
from tests.domain.test_scores import FIRST, keep_definition, keep_goal, keep_rollup
from tests.factories import make_group, make_role, make_team, make_user, viewer_of
from tests.oracle import goals as oracle
from tests.oracle import scores as score_oracle

pytestmark = pytest.mark.usefixtures("database")
NOW = datetime(2026, 6, 16, 13, tzinfo=UTC)  # a Tuesday
WORLD = oracle.World(1, 1, False, lambda day: day.weekday() < 5 and day not in HOLIDAYS)
HOLIDAYS = {date(2026, 4, 6), date(2026, 5, 25), date(2026, 5, 26)}
ONE = timedelta(days=1)
Found = set[tuple[UUID, str, date, Decimal | None]]


class Scene:
    """A team with an admin and some reps."""

    async def build(self, reps: int = 1, **columns: Any) -> Scene:
        async with acquire(ALL_TEAMS) as connection:
            self.team_id = await make_team(connection, **columns)
            for feed in ("calls", "email", "deals"):
                await connection.execute(
                    "INSERT INTO team_feeds (id, team_id, feed) VALUES ($1, $2, $3)", new_id(), self.team_id, feed
                )
            for day in HOLIDAYS:
                await connection.execute(
                    "INSERT INTO holidays (id, team_id, day, name) VALUES ($1, $2, $3, 'x')",
                    new_id(),
                    self.team_id,
                    day,
                )
            admin = await make_role(connection, self.team_id, is_admin=True)
            self.role = await make_role(connection, self.team_id)
            self.group = await make_group(connection, self.team_id, "East")
            self.admin = await viewer_of(connection, await make_user(connection, self.team_id, admin, is_rep=False))
            self.reps = [await make_user(connection, self.team_id, self.role, group_id=self.group) for _ in range(reps)]
        self.done: dict[tuple[UUID, date], int] = {}
        return self

    async def rule(self, kind: AccoladeKind, *levels: int, viewer: Identity | None = None, **more: Any) -> Rule:
        request = SetRule(
            **{
                "rule_id": None,
                "name": f"Rule {new_id()}",
                "kind": kind,
                "metric": None if kind is AccoladeKind.SCORE_STREAK else "CALLS_LOGGED",
                "levels": tuple(map(Decimal, levels)),
                "counts_from": FIRST,
                **more,
            }
        )
        return await in_transaction(
            ALL_TEAMS, lambda connection: accolades.set_rule(connection, viewer or self.admin, request, NOW)
        )

    async def did(self, day: date, calls: int, rep: int = 0) -> None:
        async with acquire(ALL_TEAMS) as connection:
            await keep_rollup(connection, self.team_id, self.reps[rep], day, calls_logged=calls)
        key = (self.reps[rep], day)
        self.done[key] = self.done.get(key, 0) + calls

    async def goal(self, period: str, target: object, rep: int = 0, first: date = FIRST) -> None:
        async with acquire(ALL_TEAMS) as connection:
            versions = [(first, None, Decimal(str(target)))]
            await keep_goal(connection, self.team_id, self.reps[rep], "CALLS_LOGGED", period, versions)

    async def leave(self, first: date, last: date, rep: int = 0) -> None:
        async with acquire(ALL_TEAMS) as connection:
            await connection.execute(
                "INSERT INTO days_off (id, team_id, user_id, first_day, last_day) VALUES ($1, $2, $3, $4, $5)",
                new_id(),
                self.team_id,
                self.reps[rep],
                first,
                last,
            )

    async def look(self, now: datetime = NOW) -> int | None:
        return await in_transaction(self.team_id, lambda connection: evaluate_accolades(connection, self.team_id, now))

    async def all(self, **wanted: Any) -> list[AccoladeView]:
        async with acquire(ALL_TEAMS) as connection:
            sight = Sight(self.team_id, True, frozenset())
            page = await accolades.list_accolades(connection, sight, AccoladeFilter(**wanted), page_request(500, None))
            assert await accolades.count_accolades(connection, sight, AccoladeFilter(**wanted)) == len(page.nodes)
        return list(page.nodes)

    async def granted(self, rule: Rule) -> Found:
        found = await self.all(rule_ids=(rule.id,), include_revoked=True)
        told = {(one.user_id, one.milestone or "", one.achieved_on, one.level) for one in found}
        assert len(told) == len(found)
        return told

    async def told(self) -> list[tuple[AccoladeEventType, UUID]]:
        async with acquire(ALL_TEAMS) as connection:
            stored = await events.read_events(connection, self.team_id, 0, 10_000)
        return [
            (one.type, accolades.payload_ids(one.payload)[0])
            for one in stored
            if isinstance(one.type, AccoladeEventType)
        ]


def days_between(first: date, last: date) -> list[date]:
    return [first + n * ONE for n in range((last - first).days + 1)]


def periods_until(kind: str, first: date, last: date) -> list[list[date]]:
    """The whole periods between two days."""
    found, day = [], first
    while True:
        period = WORLD.period(kind, day)
        if period[-1] > last:
            return found
        if period[0] >= first:
            found.append(period)
        day = period[-1] + ONE


def runs(kept: Iterable[bool | None], periods: list[list[date]]) -> list[list[list[date]]]:
    """The attained periods of each run, by a regular expression over their outcomes."""
    pairs = [(one, period) for one, period in zip(kept, periods, strict=True) if one is not None]
    text = "".join("x" if one else "." for one, _period in pairs)
    return [[period for _one, period in pairs[run.start() : run.end()]] for run in re.finditer("x+", text)]


def levels_of(user_id: UUID, found: list[list[list[date]]], levels: tuple[int, ...]) -> Found:
    return {
        (user_id, f"{run[0][0]}:{level}", run[level - 1][-1], Decimal(level))
        for run in found
        for level in levels
        if len(run) >= level
    }


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("kind", ["DAY", "WEEK", "MONTH"])
async def test_streaks_equal_a_brute_force(seed: int, kind: str) -> None:
    random = Random(seed)
    scene = await Scene().build(3)
    levels = (2, 3, 5)
    goal_rule = await scene.rule(AccoladeKind.GOAL_STREAK, *levels, period=GoalPeriod(kind))
    score_rule = await scene.rule(
        AccoladeKind.SCORE_STREAK,
        *levels,
        period=GoalPeriod(kind),
        score_kind=ScoreKind.ACTIVITY,
        minimum_score=Decimal(80),
    )
    version = score_oracle.Version(FIRST, None, Fraction(2), {"CALLS_LOGGED": Fraction(100)})
    async with acquire(ALL_TEAMS) as connection:
        await keep_definition(connection, scene.team_id, scene.role, ScoreKind.ACTIVITY, [version])
    expected_goals: Found = set()
    expected_scores: Found = set()
    today = NOW.date()
    for number, user_id in enumerate(scene.reps):
        first = FIRST + random.choice((0, 0, 40)) * ONE
        target = {"DAY": 3, "WEEK": 15, "MONTH": 60}[kind]
        await scene.goal(kind, target, number, first)
        away = [(day, day + random.choice((0, 6, 30)) * ONE) for day in random.sample(days_between(FIRST, today), 2)]
        for begin, end in away:
            await scene.leave(begin, end, number)

        def works(day: date, away: list[tuple[date, date]] = away) -> bool:
            return WORLD.works(day) and not any(begin <= day <= end for begin, end in away)

        done: dict[date, int] = {}
        for day in days_between(FIRST, today):
            if works(day) or random.random() < 0.05:
                done[day] = random.choice((2, 3, 4, 5))
                await scene.did(day, done[day], number)
        held = [oracle.Held(kind, first, None, Fraction(target), works)]
        periods = periods_until(kind, FIRST, today - ONE)
        reached: list[bool | None] = []
        scored: list[bool | None] = []
        for period in periods:
            asked, _due = oracle.asked(WORLD, held, period, today, Fraction(0))
            counted = [day for day in period if day >= first]
            calls = sum(done.get(day, 0) for day in counted)
            reached.append(False if not counted else None if not asked else calls >= asked)
            worked = any(works(day) for day in period)
            scored.append(None if not worked else bool(counted and asked) and 100 * calls / asked >= 80)
        expected_goals |= levels_of(user_id, runs(reached, periods), levels)
        expected_scores |= levels_of(user_id, runs(scored, periods), levels)
    await scene.look()
    assert await scene.granted(goal_rule) == expected_goals
    assert await scene.granted(score_rule) == expected_scores
    assert expected_scores
    assert not await scene.look(NOW + timedelta(hours=1))


@pytest.mark.parametrize("seed", range(5))
async def test_totals_firsts_and_bests_equal_a_brute_force(seed: int) -> None:
    random = Random(seed)
    scene = await Scene().build(4)
    levels = (5, 50, 400)
    since = FIRST + random.choice((0, 20)) * ONE
    ever = await scene.rule(AccoladeKind.TOTAL, *levels, counts_from=since)
    weekly = await scene.rule(AccoladeKind.TOTAL, 8, 12, period=GoalPeriod.WEEK, counts_from=since)
    first = await scene.rule(AccoladeKind.FIRST, counts_from=since)
    best = await scene.rule(AccoladeKind.PERSONAL_BEST, period=GoalPeriod.WEEK, counts_from=since)
    expected: dict[UUID, Found] = {rule.id: set() for rule in (ever, weekly, first, best)}
    today = NOW.date()
    for number, user_id in enumerate(scene.reps):
        for day in random.sample(days_between(FIRST, today + 9 * ONE), 70):
            await scene.did(day, random.randrange(6), number)
        mine = {day: calls for (owner, day), calls in scene.done.items() if owner == user_id}

        def crossing(days: list[date], level: int, mine: dict[date, int] = mine) -> date | None:
            total = 0
            for day in days:
                total += mine.get(day, 0)
                if total >= level:
                    return day
            return None

        for level in levels:
            when = crossing(days_between(FIRST, today), level)
            if when is not None and when >= since:
                expected[ever.id].add((user_id, str(level), when, Decimal(level)))
        weeks = [WORLD.period("WEEK", day) for day in days_between(since, today) if day.weekday() == 0 or day == since]
        for week in weeks:
            for level in (8, 12):
                when = crossing([day for day in week if day <= today], level)
                if when is not None and when >= since:
                    expected[weekly.id].add((user_id, f"{week[0]}:{level}", when, Decimal(level)))
        when = crossing(days_between(FIRST, today), 1)
        if when is not None and when >= since:
            expected[first.id].add((user_id, "first", when, None))
        earlier: list[int] = []
        for week in periods_until("WEEK", WORLD.period("WEEK", FIRST)[0], today - ONE):
            total = sum(mine.get(day, 0) for day in week)
            if len(earlier) >= 4 and total > max(earlier) and week[0] >= since:
                expected[best.id].add((user_id, str(week[0]), week[-1], None))
            if total:
                earlier.append(total)
    await scene.look()
    for rule in (ever, weekly, first, best):
        assert await scene.granted(rule) == expected[rule.id], rule.kind
    assert len(await scene.told()) == sum(map(len, expected.values()))
    assert not await scene.look()


async def test_day_by_day_is_the_same_as_at_once() -> None:
    random = Random(8)
    outcomes = []
    plan = [(day, random.choice((0, 2, 3, 4, 5))) for day in days_between(FIRST, date(2026, 4, 20))]
    for daily in (True, False):
        scene = await Scene().build()
        await scene.goal("DAY", 3)
        rules = [
            await scene.rule(AccoladeKind.GOAL_STREAK, 2, 4, period=GoalPeriod.DAY),
            await scene.rule(AccoladeKind.PERSONAL_BEST, period=GoalPeriod.WEEK),
            await scene.rule(AccoladeKind.TOTAL, 10, 14, period=GoalPeriod.WEEK),
            await scene.rule(AccoladeKind.TOTAL, 50, 100),
        ]
        for day, calls in plan:
            if WORLD.works(day):
                await scene.did(day, calls)
            if daily:
                await scene.look(datetime(day.year, day.month, day.day, 23, tzinfo=UTC))
        await scene.look(datetime(2026, 4, 21, 12, tzinfo=UTC))
        outcomes.append([{one[1:] for one in await scene.granted(rule)} for rule in rules])
    assert outcomes[0] == outcomes[1]
    assert all(outcomes[0])


def test_runs_that_may_have_begun_before() -> None:
    periods = [Days(FIRST + n * ONE, FIRST + n * ONE) for n in range(7)]
    ends = [period.last for period in periods]
    assert streaks(periods, [None, True, True, False, True, None, True]) == [
        Streak(ends[1], (ends[1], ends[2]), True),
        Streak(ends[4], (ends[4], ends[6]), False),
    ]
    assert streaks(periods, [False, True, None, False, False, None, None]) == [Streak(ends[1], (ends[1],), False)]


async def test_never_twice_under_many_evaluators() -> None:
    scene = await Scene().build(5)
    rule = await scene.rule(AccoladeKind.TOTAL, 1, 2, 3)
    for rep in range(5):
        await scene.did(date(2026, 5, 4), 3, rep)
    counts = await asyncio.gather(*(scene.look() for _ in range(6)))
    assert sum(count or 0 for count in counts) == 15
    assert len(await scene.granted(rule)) == 15
    assert len(await scene.told()) == 15

    # Even with nobody's lock held, the key of the milestone stands.
    reached = [Reached(user_id, "9", NOW.date(), Decimal(9)) for user_id in scene.reps]
    counts = await asyncio.gather(
        *(
            in_transaction(
                ALL_TEAMS,
                lambda connection: accolades.grant_reached(connection, scene.team_id, [(rule, reached)]),
            )
            for _ in range(6)
        )
    )
    assert sum(count or 0 for count in counts) == 5
    assert len(await scene.told()) == 20
    assert len({one for _type, one in await scene.told()}) == 20


async def test_a_killed_evaluation_leaves_nothing() -> None:
    scene = await Scene().build()
    rule = await scene.rule(AccoladeKind.FIRST)
    await scene.did(date(2026, 5, 4), 1)

    async def die(connection: Any) -> None:
        assert await evaluate_accolades(connection, scene.team_id, NOW) == 1
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await in_transaction(ALL_TEAMS, die)
    assert await scene.granted(rule) == set()
    assert await scene.told() == []
    async with acquire(ALL_TEAMS) as connection:
        assert scene.team_id in await teams_due(connection)
    assert await scene.look() == 1


async def test_when_a_team_is_due() -> None:
    scene = await Scene().build(timezone="America/New_York")

    async def due() -> bool:
        async with acquire(ALL_TEAMS) as connection:
            return scene.team_id in await teams_due(connection)

    assert not await due()  # no rule
    await scene.rule(AccoladeKind.FIRST)
    assert await due()
    now = datetime.now(UTC)
    await in_transaction(ALL_TEAMS, lambda connection: evaluate_team(connection, scene.team_id, now))
    await scene.look(now)
    assert not await due()
    async with acquire(ALL_TEAMS) as connection:
        at = await connection.fetchval("SELECT due_at FROM accolade_evaluations WHERE team_id = $1", scene.team_id)
        assert now < at <= now + timedelta(hours=25)
        await connection.execute("UPDATE accolade_evaluations SET due_at = now() WHERE team_id = $1", scene.team_id)
    assert await due()
    await scene.look(now)
    async with acquire(ALL_TEAMS) as connection:
        await events.mark_changed(connection, scene.team_id)
    await in_transaction(ALL_TEAMS, lambda connection: evaluate_team(connection, scene.team_id, now))
    assert await due()


async def test_corrections_leave_what_was_granted() -> None:
    scene = await Scene().build()
    rule = await scene.rule(AccoladeKind.TOTAL, 5, period=GoalPeriod.WEEK)
    streak = await scene.rule(AccoladeKind.GOAL_STREAK, 2, period=GoalPeriod.WEEK)
    await scene.goal("WEEK", 5, first=date(2026, 5, 18))
    for monday in (date(2026, 6, 1), date(2026, 6, 8)):
        await scene.did(monday, 5)
    await scene.look()
    before = await scene.granted(rule), await scene.granted(streak)
    assert (len(before[0]), len(before[1])) == (2, 1)
    await scene.did(date(2026, 6, 1), -5)
    await scene.look(NOW + timedelta(days=1))
    assert (await scene.granted(rule), await scene.granted(streak)) == before
    # Back again, and the run begins a week earlier now: it is the same streak.
    await scene.did(date(2026, 6, 1), 5)
    await scene.did(date(2026, 5, 25), 5)
    assert await scene.look(NOW + timedelta(days=2)) == 0  # the week of May 25 is too long ago for a total
    assert (await scene.granted(rule), await scene.granted(streak)) == before


async def test_a_new_calendar_grants_no_week_twice() -> None:
    scene = await Scene().build()
    rule = await scene.rule(AccoladeKind.TOTAL, 5, period=GoalPeriod.WEEK)
    for day in (date(2026, 6, 3), date(2026, 6, 10)):
        await scene.did(day, 5)
    assert await scene.look() == 2
    async with acquire(ALL_TEAMS) as connection:
        await connection.execute("UPDATE teams SET week_start = 7 WHERE id = $1", scene.team_id)
        await connection.execute("UPDATE accolade_rules SET evaluated_on = NULL WHERE id = $1", rule.id)
    assert await scene.look() == 0


async def test_a_rule_that_changes() -> None:
    scene = await Scene().build()
    rule = await scene.rule(AccoladeKind.TOTAL, 5, name="Calls")
    await scene.did(date(2026, 6, 3), 12)
    assert await scene.look() == 1
    changed = await scene.rule(
        AccoladeKind.TOTAL, 5, 10, 20, rule_id=rule.id, name="Calls!", expected_version=1, counts_from=None
    )
    assert (changed.id, changed.version, changed.counts_from) == (rule.id, 2, FIRST)
    assert await scene.look() == 1
    assert {one.title for one in await scene.all()} == {"Calls", "Calls!"}
    with pytest.raises(Conflict, match="version 2"):
        await scene.rule(AccoladeKind.TOTAL, 5, rule_id=rule.id, expected_version=1)
    with pytest.raises(Invalid, match="stays"):
        await scene.rule(AccoladeKind.TOTAL, 5, rule_id=rule.id, metric="EMAILS_SENT")
    with pytest.raises(Conflict, match="name"):
        await scene.rule(AccoladeKind.FIRST, name="calls!")

    def remove(connection: Any) -> Any:
        return accolades.remove_rule(connection, scene.admin, rule.id, expected_version=2)

    removed = await in_transaction(ALL_TEAMS, remove)
    assert removed.removed_at is not None
    assert await in_transaction(ALL_TEAMS, remove) == removed
    await scene.did(date(2026, 6, 4), 50)
    assert await scene.look() == 0
    assert len(await scene.all()) == 2
    with pytest.raises(NotFound):
        await scene.rule(AccoladeKind.TOTAL, 5, rule_id=rule.id)
    await scene.rule(AccoladeKind.TOTAL, 5, name="Calls!")
    assert await scene.look() == 1


async def test_streaks_are_judged_when_a_period_ends_and_when_their_rule_changes() -> None:
    scene = await Scene().build()
    await scene.goal("WEEK", 5, first=date(2026, 6, 1))
    rule = await scene.rule(AccoladeKind.GOAL_STREAK, 2, period=GoalPeriod.WEEK)
    await scene.did(date(2026, 6, 3), 5)
    await scene.did(date(2026, 6, 10), 4)
    await scene.did(date(2026, 6, 17), 5)
    assert await scene.look() == 0
    await scene.did(date(2026, 6, 11), 1)
    assert await scene.look(NOW + timedelta(days=1)) == 0  # what came late counts when the next week is over
    assert await scene.look(NOW + timedelta(days=6)) == 1
    assert await scene.look(NOW + timedelta(days=6, hours=1)) == 0
    await scene.rule(AccoladeKind.GOAL_STREAK, 2, 3, period=GoalPeriod.WEEK, rule_id=rule.id, name=rule.name)
    assert await scene.look(NOW + timedelta(days=6, hours=2)) == 1
    assert {(one[1], one[2]) for one in await scene.granted(rule)} == {
        ("2026-06-01:2", date(2026, 6, 14)),
        ("2026-06-01:3", date(2026, 6, 21)),
    }


async def test_two_of_one_name_at_once() -> None:
    scene = await Scene().build()
    made = await asyncio.gather(
        *(scene.rule(AccoladeKind.FIRST, name="First call") for _ in range(4)), return_exceptions=True
    )
    assert sum(isinstance(one, Rule) for one in made) == 1
    assert all(isinstance(one, Rule | Conflict) for one in made)


@pytest.mark.parametrize(
    ("kind", "levels", "more", "path"),
    [
        (AccoladeKind.TOTAL, (), {}, "levels"),
        (AccoladeKind.TOTAL, (5, 5), {}, "levels"),
        (AccoladeKind.TOTAL, (0,), {}, "levels"),
        (AccoladeKind.TOTAL, tuple(range(1, 12)), {}, "levels"),
        (AccoladeKind.TOTAL, (5,), {"metric": "REPLY_RATE"}, "metric"),
        (AccoladeKind.TOTAL, (5,), {"metric": "MEETING_NO_SHOWS"}, "metric"),
        (AccoladeKind.TOTAL, (5,), {"metric": None}, "metric"),
        (AccoladeKind.TOTAL, (5,), {"score_kind": ScoreKind.ACTIVITY}, "scoreKind"),
        (AccoladeKind.FIRST, (), {"period": GoalPeriod.WEEK}, "period"),
        (AccoladeKind.FIRST, (1,), {}, "levels"),
        (AccoladeKind.PERSONAL_BEST, (), {}, "period"),
        (AccoladeKind.GOAL_STREAK, (3,), {}, "period"),
        (AccoladeKind.GOAL_STREAK, (1,), {"period": GoalPeriod.WEEK}, "levels"),
        (AccoladeKind.GOAL_STREAK, (201,), {"period": GoalPeriod.WEEK}, "levels"),
        (AccoladeKind.SCORE_STREAK, (3,), {"period": GoalPeriod.WEEK}, "minimumScore"),
        (AccoladeKind.TOTAL, (5,), {"name": " "}, "name"),
        (AccoladeKind.TOTAL, (5,), {"name": "x" * 101}, "name"),
        (AccoladeKind.TOTAL, (5,), {"description": "a\0b"}, "description"),
        (AccoladeKind.TOTAL, (5,), {"counts_from": date(1900, 1, 1)}, "countsFrom"),
    ],
)
async def test_what_does_not_fit_is_named(
    kind: AccoladeKind, levels: tuple[int, ...], more: dict[str, Any], path: str
) -> None:
    scene = await Scene().build()
    with pytest.raises(Invalid) as error:
        await scene.rule(kind, *levels, **more)
    assert error.value.path == ("input", path)


async def test_by_hand_and_revoked() -> None:
    scene = await Scene().build(2)
    async with acquire(ALL_TEAMS) as connection:
        role = await make_role(connection, scene.team_id, "TEAM_VIEW")
        lead = await viewer_of(connection, await make_user(connection, scene.team_id, role, group_id=scene.group))
        other = await make_group(connection, scene.team_id, "West")
        far = await make_user(connection, scene.team_id, scene.role, group_id=other)
        rep = await viewer_of(connection, scene.reps[0])

    async def grant(viewer: Identity, user_id: UUID, title: str = "Great call", **more: Any) -> AccoladeView:
        request = GrantAccolade(user_id, title, **more)
        return await in_transaction(
            scene.team_id, lambda connection: accolades.grant_by_hand(connection, viewer, request, NOW)
        )

    async def revoke(viewer: Identity, accolade: AccoladeView, reason: str | None = None) -> AccoladeView:
        return await in_transaction(
            scene.team_id, lambda connection: accolades.revoke(connection, viewer, accolade.id, reason, NOW)
        )

    made = await grant(lead, scene.reps[0], message="Well listened.", idempotency_key="k")
    assert await grant(lead, scene.reps[0], message="Well listened.", idempotency_key="k") == made
    assert (made.title, made.message, made.granted_by_id, made.achieved_on) == (
        "Great call",
        "Well listened.",
        lead.user_id,
        NOW.date(),
    )
    with pytest.raises(Invalid, match="themselves"):
        await grant(lead, lead.user_id)
    with pytest.raises(NotFound):
        await grant(lead, far)
    for viewer in (lead, scene.admin):
        with pytest.raises(NotFound):
            await grant(viewer, new_id())
    with pytest.raises(Forbidden, match="TEAM_VIEW"):
        await grant(rep, scene.reps[1])
    for title, more in (
        ("", {}),
        ("x" * 101, {}),
        ("x", {"message": "y" * 1001}),
        ("x", {"achieved_on": NOW.date() + ONE}),
    ):
        with pytest.raises(Invalid):
            await grant(lead, scene.reps[0], title, **more)
    rule = await scene.rule(AccoladeKind.FIRST)
    await scene.did(date(2026, 6, 3), 1)
    await scene.look()
    (by_rule,) = [one for one in await scene.all() if one.rule_id is not None]
    with pytest.raises(Forbidden, match="MANAGE_TEAM"):
        await revoke(rep, made)
    with pytest.raises(Forbidden, match="MANAGE_TEAM"):
        await revoke(lead, by_rule)
    gone = await revoke(scene.admin, by_rule, "Not a call")
    assert (gone.revoked_by_id, gone.revoked_reason) == (scene.admin.user_id, "Not a call")
    assert await revoke(scene.admin, by_rule) == gone
    assert (await revoke(lead, made)).revoked_at is not None
    assert await scene.all() == []
    await scene.look()
    assert len(await scene.granted(rule)) == 1
    async with acquire(ALL_TEAMS) as connection:
        users = await access.see_users(connection, lead)
        assert await accolades.count_accolades(connection, users, AccoladeFilter(include_revoked=True)) == 2
        actions = await connection.fetch(
            "SELECT action FROM audit_entries WHERE team_id = $1 AND action LIKE 'ACCOLADE%' ORDER BY position",
            scene.team_id,
        )
    assert [row["action"] for row in actions] == [
        "ACCOLADE_GRANTED",
        "ACCOLADE_RULE_SET",
        "ACCOLADE_REVOKED",
        "ACCOLADE_REVOKED",
    ]
    assert [kind.value for kind, _id in await scene.told()] == [
        "ACCOLADE_GRANTED",
        "ACCOLADE_GRANTED",
        "ACCOLADE_REVOKED",
        "ACCOLADE_REVOKED",
    ]


async def test_who_left_and_what_is_not_connected_earn_nothing_yet() -> None:
    scene = await Scene().build(2)
    held = await scene.rule(AccoladeKind.TOTAL, 1, metric="MEETINGS_BOOKED")
    rule = await scene.rule(AccoladeKind.TOTAL, 1)
    await scene.did(date(2026, 5, 4), 3, 0)
    await scene.did(date(2026, 5, 4), 3, 1)
    async with acquire(ALL_TEAMS) as connection:
        await connection.execute("UPDATE users SET active = false WHERE id = $1", scene.reps[1])
        await keep_rollup(connection, scene.team_id, scene.reps[0], date(2026, 5, 4), meetings_booked=2)
    assert await scene.look() == 1
    assert {one[0] for one in await scene.granted(rule)} == {scene.reps[0]}
    async with acquire(ALL_TEAMS) as connection:
        await connection.execute(
            "INSERT INTO team_feeds (id, team_id, feed) VALUES ($1, $2, 'calendar')", new_id(), scene.team_id
        )
    assert await scene.look() == 1
    assert len(await scene.granted(held)) == 1


async def test_pages_of_accolades() -> None:
    scene = await Scene().build(3)
    await scene.rule(AccoladeKind.TOTAL, *range(1, 8))
    for rep in range(3):
        await scene.did(date(2026, 5, 4), 7, rep)
    await scene.look()
    sight = Sight(scene.team_id, False, frozenset(scene.reps[:2]))
    gathered: list[UUID] = []
    cursor = None
    async with acquire(ALL_TEAMS) as connection:
        while True:
            page = await accolades.list_accolades(connection, sight, AccoladeFilter(), page_request(4, cursor))
            gathered += [one.id for one in page.nodes]
            if not page.has_next:
                break
            cursor = page.cursors[-1]
        assert len(gathered) == len(set(gathered)) == 14
        found = await accolades.accolades_by_id(connection, sight, [one.id for one in await scene.all()])
        assert set(found) == set(gathered)
        with pytest.raises(Invalid, match="cursor"):
            await accolades.list_accolades(connection, sight, AccoladeFilter(), page_request(4, "x"))


async def test_an_erased_person_keeps_the_count_and_loses_the_words() -> None:
    scene = await Scene().build()
    await scene.rule(AccoladeKind.FIRST, name="First call")
    await scene.did(date(2026, 5, 4), 1)
    await scene.look()
    request = GrantAccolade(scene.reps[0], "For Jane Roe", "Jane Roe did well.")
    await in_transaction(
        scene.team_id, lambda connection: accolades.grant_by_hand(connection, scene.admin, request, NOW)
    )
    export = await personal_data.begin_export(scene.admin, scene.reps[0])
    lines = [json.loads(line) async for piece in export.lines() for line in piece.splitlines()]
    told = [line for line in lines if line["record"] == "accolade"]
    assert [one["title"] for one in told] == ["First call", "For Jane Roe"]
    assert told[1]["grantedBy"] is not None
    await in_transaction(
        scene.team_id, lambda connection: erasure.erase_user(connection, scene.admin, scene.reps[0], now=NOW)
    )
    found = await scene.all()
    assert sorted((one.title, one.message) for one in found) == [("Accolade", None), ("First call", None)]
    await scene.did(date(2026, 5, 4), 5)
    await scene.look()
    assert len(await scene.all()) == 2
