"""Scores: their formula, and how they are defined.

Invariants:
A. Over any range, with any weights, versions, goals, days off, holidays and employment, a score is what the oracle
   finds day by day, exactly.
B. The contributions of the components add up to the score.
C. Changing or ending a definition changes no score of the days before.
D. Versions never overlap; whoever set last, the history is one, with numbers without gaps.
E. A repeated key answers as the first time and writes nothing; what does not fit is refused by name.
F. The statements are the same however many reps and ranges are scored.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from random import Random
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from domain import access, scores
from domain.access import Sight
from domain.database import ALL_TEAMS, acquire, in_transaction
from domain.errors import Conflict, Forbidden, Invalid, NotFound
from domain.goal_evaluation import calendar_of_team
from domain.identity import Identity
from domain.metrics import METRICS
from domain.models.base import new_id
from domain.models.scores import ScoreKind
from domain.paging import page_request
from domain.periods import Days, TrendInterval, intervals
from domain.score_board import Asked, Chosen, ScoreBoard, group_scores, load_scores, page_of_scores, rank_scores
from domain.scores import DefinitionView, RemoveDefinition, SetDefinition, Weighting
from domain.scoring import ScoreGap
from tests.factories import make_group, make_role, make_team, make_user, viewer_of
from tests.oracle import goals as goals_oracle
from tests.oracle import scores as oracle

pytestmark = pytest.mark.usefixtures("database")
FIRST = date(2026, 1, 1)
NOW = datetime(2026, 6, 16, 13, tzinfo=UTC)  # a Tuesday; half of the working hours have gone by
COLUMNS = {
    "CALLS_LOGGED": ("calls_logged", None),
    "EMAILS_SENT": ("emails_sent", None),
    "CLOSED_WON_AMOUNT": ("closed_won_amount", None),
    "MEETINGS_BOOKED": ("meetings_booked", None),
    "REPLY_RATE": ("emails_replied", "emails_delivered"),
}


async def keep_rollup(connection: Any, team_id: UUID, user_id: UUID, day: date, **sums: Any) -> None:
    """What somebody did on a day, straight into the rollups."""
    names = list(sums)
    places = ", ".join(f"${n}" for n in range(4, 4 + len(names)))
    adds = ", ".join(f"{name} = r.{name} + EXCLUDED.{name}" for name in names)
    for table, column, when in (("rollup_days", "day", day), ("rollup_months", "month", day.replace(day=1))):
        await connection.execute(
            f"INSERT INTO {table} AS r (team_id, user_id, {column}, {', '.join(names)}) VALUES ($1, $2, $3, {places}) "
            f"ON CONFLICT (team_id, user_id, {column}) DO UPDATE SET {adds}",
            team_id,
            user_id,
            when,
            *sums.values(),
        )


async def keep_goal(
    connection: Any,
    team_id: UUID,
    user_id: UUID,
    metric: str,
    period: str,
    versions: list[tuple[date, date | None, Any]],
) -> None:
    """A goal with its versions, straight into the tables."""
    goal_id = new_id()
    await connection.execute(
        "INSERT INTO goals (id, team_id, user_id, metric, period) VALUES ($1, $2, $3, $4, $5)",
        goal_id,
        team_id,
        user_id,
        metric,
        period,
    )
    for number, (first, last, target) in enumerate(versions, 1):
        await connection.execute(
            "INSERT INTO goal_versions (id, team_id, goal_id, version, target, effective_from, effective_to) "
            "VALUES ($1, $2, $3, $4, $5, $6, $7)",
            new_id(),
            team_id,
            goal_id,
            number,
            target,
            first,
            last,
        )


async def keep_definition(
    connection: Any, team_id: UUID, role_id: UUID, kind: ScoreKind, versions: list[oracle.Version]
) -> None:
    """A definition with its versions, straight into the tables."""
    definition_id = new_id()
    await connection.execute(
        "INSERT INTO score_definitions (id, team_id, role_id, kind) VALUES ($1, $2, $3, $4)",
        definition_id,
        team_id,
        role_id,
        kind.value,
    )
    for number, one in enumerate(versions, 1):
        await connection.execute(
            "INSERT INTO score_versions (id, team_id, definition_id, version, metrics, weights, cap, effective_from, "
            "effective_to) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            new_id(),
            team_id,
            definition_id,
            number,
            list(one.weights),
            [Decimal(weight.numerator) / weight.denominator for weight in one.weights.values()],
            Decimal(one.cap.numerator) / one.cap.denominator,
            one.first,
            one.last,
        )


def listed(days: Days) -> list[date]:
    return [days.first + timedelta(days=n) for n in range(days.count)]


class RandomTeam:
    """A team drawn at random, with what the oracle needs to know of it."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.reps: dict[UUID, oracle.Rep] = {}
        self.versions: dict[tuple[UUID, ScoreKind], list[oracle.Version]] = {}
        self.role_of: dict[UUID, UUID] = {}

    def day(self, span: int = 200) -> date:
        return FIRST + timedelta(days=self.random.randrange(span))

    async def build(self, reps: int = 4) -> RandomTeam:
        random = self.random
        self.week_start, month, week = random.randint(1, 7), random.randint(1, 12), random.choice((31, 31, 63, 21))
        holidays = {self.day(): random.random() < 0.3 for _ in range(6)}
        weekly = random.random() < 0.3

        def works(day: date) -> bool:
            return bool(week >> day.weekday() & 1) and holidays.get(day, True)

        self.world = goals_oracle.World(self.week_start, month, weekly, works)
        feeds = ["email", "calls", "deals", *(["calendar"] if random.random() < 0.7 else [])]
        self.available = frozenset(key for key in COLUMNS if METRICS[key].feed.value in feeds)
        async with acquire(ALL_TEAMS) as connection:
            self.team_id = await make_team(
                connection,
                week_start=self.week_start,
                fiscal_year_start_month=month,
                work_week=week,
                fiscal_calendar="FOUR_FOUR_FIVE" if weekly else "MONTHS",
            )
            for feed in feeds:
                await connection.execute(
                    "INSERT INTO team_feeds (id, team_id, feed) VALUES ($1, $2, $3)", new_id(), self.team_id, feed
                )
            for day, working in holidays.items():
                await connection.execute(
                    "INSERT INTO holidays (id, team_id, day, name, working) VALUES ($1, $2, $3, 'x', $4)",
                    new_id(),
                    self.team_id,
                    day,
                    working,
                )
            self.roles = [await make_role(connection, self.team_id) for _ in range(2)]
            for role_id in self.roles:
                for kind in ScoreKind:
                    if random.random() < 0.85:
                        self.versions[role_id, kind] = self._versions()
                        await keep_definition(connection, self.team_id, role_id, kind, self.versions[role_id, kind])
            for _ in range(reps):
                await self._rep(connection, works)
        return self

    def _versions(self) -> list[oracle.Version]:
        edges = sorted({self.day() for _ in range(self.random.randint(1, 4))})
        found = []
        for place, first in enumerate(edges):
            last = edges[place + 1] - timedelta(days=1) if place + 1 < len(edges) else None
            if self.random.random() < 0.2:
                last = first + timedelta(days=self.random.randint(-1, 20)) if last is None else last - timedelta(days=1)
                if last < first - timedelta(days=1):
                    last = first - timedelta(days=1)
            metrics = self.random.sample(sorted(COLUMNS), self.random.randint(1, 4))
            cuts = sorted(self.random.sample(range(1, 100), len(metrics) - 1))
            weights = [Fraction(b - a) for a, b in zip([0, *cuts], [*cuts, 100], strict=True)]
            cap = Fraction(self.random.choice((100, 150, 200, 1000)), 100)
            found.append(oracle.Version(first, last, cap, dict(zip(metrics, weights, strict=True))))
        return found

    async def _rep(self, connection: Any, works: Callable[[date], bool]) -> None:
        random = self.random
        started = self.day(120) if random.random() < 0.3 else None
        ended = max(self.day(200), started or FIRST) if random.random() < 0.2 else None
        role_id = random.choice(self.roles)
        user_id = await make_user(connection, self.team_id, role_id, started_on=started, ended_on=ended)
        taken = []
        for _ in range(random.randrange(3)):
            first = self.day()
            last = first + timedelta(days=random.randrange(25))
            taken.append((first, last))
            await connection.execute(
                "INSERT INTO days_off (id, team_id, user_id, first_day, last_day) VALUES ($1, $2, $3, $4, $5)",
                new_id(),
                self.team_id,
                user_id,
                first,
                last,
            )

        def at_work(day: date) -> bool:
            return works(day) and not any(first <= day <= last for first, last in taken)

        def employed(day: date) -> bool:
            return (started is None or started <= day) and (ended is None or day <= ended)

        goals: dict[str, list[goals_oracle.Held]] = {}
        for metric in COLUMNS:
            for period in random.sample(["DAY", "WEEK", "MONTH", "QUARTER"], random.choice((0, 1, 1, 2))):
                edges = sorted({FIRST - timedelta(days=40), *(self.day() for _ in range(random.randrange(3)))})
                kept = []
                for place, first in enumerate(edges):
                    last = edges[place + 1] - timedelta(days=1) if place + 1 < len(edges) else None
                    target = Decimal(random.randint(1, 40)) / (100 if metric == "REPLY_RATE" else 1)
                    kept.append((first, last, target))
                    begin = max(first, started) if started is not None else first
                    end = last if ended is None else ended if last is None else min(last, ended)
                    if end is None or begin <= end:
                        goals.setdefault(metric, []).append(
                            goals_oracle.Held(period, begin, end, Fraction(target), at_work)
                        )
                await keep_goal(connection, self.team_id, user_id, metric, period, kept)
        done: dict[tuple[str, date], tuple[Decimal, Decimal]] = {}
        for _ in range(60):
            day = self.day(230)
            sums: dict[str, Any] = {}
            for metric, (column, base) in COLUMNS.items():
                amount = random.randrange(9)
                value = (
                    Decimal(random.randint(-2_000, 90_000)) / 100 if metric == "CLOSED_WON_AMOUNT" else Decimal(amount)
                )
                of = Decimal(amount + random.randrange(3))
                known = done.get((metric, day), (Decimal(0), Decimal(0)))
                done[metric, day] = (known[0] + value, known[1] + of)
                sums[column] = value if metric == "CLOSED_WON_AMOUNT" else int(value)
                if base is not None:
                    sums[base] = int(of)
            await keep_rollup(connection, self.team_id, user_id, day, **sums)
        self.role_of[user_id] = role_id
        self.reps[user_id] = oracle.Rep(
            at_work, employed, lambda metric, day: done.get((metric, day), (Decimal(0), Decimal(0))), goals
        )

    def ranges(self, count: int) -> list[Asked]:
        found = []
        for _ in range(count):
            first = self.day()
            over = Days(first, first + timedelta(days=self.random.choice((0, 6, 13, 30, 90, 150))))
            days = over
            if self.random.random() < 0.5:
                begin = over.first + timedelta(days=self.random.randrange(over.count))
                days = Days(begin, min(begin + timedelta(days=self.random.randrange(15)), over.last))
            found.append(Asked(days, over))
        return found


async def board_of(team_id: UUID, asked: list[Asked], now: datetime = NOW, **chosen: Any) -> ScoreBoard:
    """Everybody's scores."""
    async with acquire(ALL_TEAMS) as connection:
        calendar = await calendar_of_team(connection, team_id)
        sight = Sight(team_id, True, frozenset())
        return await load_scores(connection, Chosen(sight, **chosen), calendar, now, list(ScoreKind), asked)


@pytest.mark.parametrize("seed", range(14))
async def test_scores_equal_a_brute_force(seed: int) -> None:
    team = await RandomTeam(seed).build()
    asked = team.ranges(14)
    board = await board_of(team.team_id, asked)
    valued = 0
    for user_id, rep in team.reps.items():
        for kind in ScoreKind:
            versions = team.versions.get((team.role_of[user_id], kind), [])
            for one in asked:
                found = board.score(user_id, kind, one)
                value, pace = oracle.score(
                    team.world,
                    rep,
                    versions,
                    listed(one.days),
                    listed(one.over),
                    team.available,
                    NOW.date(),
                    Fraction(1, 2),
                )
                assert (found.value, found.pace) == (value, pace), (user_id, kind, one)
                assert sum((part.contribution for part in found.components), Fraction(0)) == (value or 0)
                assert (found.gap is None) == (value is not None)
                assert all((part.gap is None) == (part.counted is not None) for part in found.components)
                held = [day for day in listed(one.days) if any(version.holds(day) for version in versions)]
                assert found.working_days == sum(1 for day in held if rep.works(day) and rep.employed(day))
                valued += value is not None
    assert valued > 10


class Scene:
    """A team with a manager of the team, and a rep who is scored."""

    async def build(self, **columns: Any) -> Scene:
        async with acquire(ALL_TEAMS) as connection:
            self.team_id = await make_team(connection, **columns)
            for feed in ("calls", "email", "deals"):
                await connection.execute(
                    "INSERT INTO team_feeds (id, team_id, feed) VALUES ($1, $2, $3)", new_id(), self.team_id, feed
                )
            admin = await make_role(connection, self.team_id, is_admin=True)
            self.role = await make_role(connection, self.team_id)
            self.group = await make_group(connection, self.team_id, "East")
            self.admin = await viewer_of(connection, await make_user(connection, self.team_id, admin, is_rep=False))
            self.rep = await viewer_of(
                connection, await make_user(connection, self.team_id, self.role, group_id=self.group)
            )
        return self

    async def set(
        self, weights: dict[str, object], *, viewer: Identity | None = None, now: datetime = NOW, **more: Any
    ) -> DefinitionView:
        request = SetDefinition(
            **{
                "role_id": self.role,
                "kind": ScoreKind.ACTIVITY,
                "weightings": tuple(Weighting(metric, Decimal(str(weight))) for metric, weight in weights.items()),
                **more,
            }
        )
        return await in_transaction(
            ALL_TEAMS, lambda connection: scores.set_definition(connection, viewer or self.admin, request, now)
        )

    async def remove(self, view: DefinitionView, *, now: datetime = NOW, **more: Any) -> DefinitionView:
        request = RemoveDefinition(view.id, **more)
        return await in_transaction(
            ALL_TEAMS, lambda connection: scores.remove_definition(connection, self.admin, request, now)
        )

    async def history(self, view: DefinitionView) -> list[tuple[int, date, date | None]]:
        async with acquire(ALL_TEAMS) as connection:
            found = (await scores.histories(connection, self.team_id, [view.id]))[view.id]
        return [(one.number, one.effective_from, one.effective_to) for one in reversed(found)]

    async def goal(self, metric: str, period: str, target: object, first: date = FIRST) -> None:
        async with acquire(ALL_TEAMS) as connection:
            target = Decimal(str(target))
            await keep_goal(connection, self.team_id, self.rep.user_id, metric, period, [(first, None, target)])

    async def did(self, day: date, **sums: Any) -> None:
        async with acquire(ALL_TEAMS) as connection:
            await keep_rollup(connection, self.team_id, self.rep.user_id, day, **sums)

    async def value(self, first: date, last: date, now: datetime = NOW) -> Fraction | None:
        one = Asked(Days(first, last), Days(first, last))
        return (await board_of(self.team_id, [one], now)).score(self.rep.user_id, ScoreKind.ACTIVITY, one).value


JUNE = (date(2026, 6, 1), date(2026, 6, 30))


async def test_the_example_of_the_source() -> None:
    scene = await Scene().build()
    await scene.goal("CLOSED_WON_COUNT", "MONTH", 4)
    await scene.goal("CLOSED_WON_AMOUNT", "MONTH", 20_000)
    await scene.did(date(2026, 6, 9), closed_won_count=2, closed_won_amount=Decimal(40_000))
    await scene.set({"CLOSED_WON_COUNT": 20, "CLOSED_WON_AMOUNT": 80})
    assert await scene.value(*JUNE) == 170
    await scene.did(date(2026, 6, 10), closed_won_amount=Decimal(160_000))
    assert await scene.value(*JUNE) == 170  # ten times the goal counts as twice
    await scene.did(date(2026, 6, 11), closed_won_amount=Decimal(-300_000))
    assert await scene.value(*JUNE) == 10  # what was taken back counts as nothing, and takes nothing from the rest


async def test_weights_of_today_leave_yesterday_alone() -> None:
    scene = await Scene().build()
    await scene.goal("CALLS_LOGGED", "DAY", 10)
    await scene.goal("EMAILS_SENT", "DAY", 10)
    for day in (date(2026, 6, 1) + timedelta(days=number) for number in range(30)):
        if day.weekday() < 5:
            await scene.did(day, calls_logged=10, emails_sent=5)
    first = await scene.set({"CALLS_LOGGED": 100})
    assert await scene.value(date(2026, 6, 8), date(2026, 6, 12)) == 100
    second = await scene.set({"EMAILS_SENT": 100}, expected_version=1)
    assert (second.id, second.newest.number, second.newest.effective_from) == (first.id, 2, NOW.date())
    assert await scene.value(date(2026, 6, 8), date(2026, 6, 15)) == 100
    assert await scene.value(date(2026, 6, 16), date(2026, 6, 19)) == 50
    # The 15th under the old weights, the 16th to the 19th under the new ones: one day to four.
    assert await scene.value(date(2026, 6, 13), date(2026, 6, 21)) == Fraction(100 + 4 * 50, 5)
    await scene.remove(second, now=NOW + timedelta(days=1))
    assert await scene.value(date(2026, 6, 17), date(2026, 6, 19)) is None
    assert await scene.value(date(2026, 6, 13), date(2026, 6, 21)) == 75  # the 15th and the 16th


async def test_why_there_is_no_score() -> None:
    scene = await Scene().build()
    one = Asked(Days(*JUNE), Days(*JUNE))

    async def gap(asked: Asked = one) -> tuple[ScoreGap | None, list[ScoreGap | None]]:
        found = (await board_of(scene.team_id, [asked])).score(scene.rep.user_id, ScoreKind.ACTIVITY, asked)
        return found.gap, [part.gap for part in found.components]

    assert await gap() == (ScoreGap.NO_DEFINITION, [])
    await scene.set({"CALLS_LOGGED": 50, "MEETINGS_BOOKED": 50})
    assert await gap() == (ScoreGap.NOTHING_TO_SCORE, [ScoreGap.NO_GOAL, ScoreGap.UNAVAILABLE])
    await scene.goal("CALLS_LOGGED", "WEEK", 10)
    assert await gap() == (None, [None, ScoreGap.UNAVAILABLE])
    assert await scene.value(*JUNE) == 0
    saturday = Asked(Days(date(2026, 6, 6), date(2026, 6, 7)), Days(date(2026, 6, 6), date(2026, 6, 7)))
    assert (await gap(saturday))[0] is ScoreGap.NO_WORKING_TIME
    await scene.set({"REPLY_RATE": 100}, now=NOW + timedelta(days=60))
    await scene.goal("REPLY_RATE", "QUARTER", "0.1")
    later = Asked(Days(date(2026, 9, 1), date(2026, 9, 30)), Days(date(2026, 9, 1), date(2026, 9, 30)))
    assert await gap(later) == (ScoreGap.NOTHING_TO_DIVIDE_BY, [ScoreGap.NOTHING_TO_DIVIDE_BY])


async def test_a_history_and_who_comes_in_between() -> None:
    scene = await Scene().build()
    view = await scene.set({"CALLS_LOGGED": 100})
    assert (view.newest.number, view.newest.effective_from) == (1, date(2026, 1, 1))
    assert (await scene.set({"CALLS_LOGGED": 100})).newest == view.newest
    await scene.set({"CALLS_LOGGED": 60, "EMAILS_SENT": 40}, effective_from=date(2026, 8, 1))
    await scene.set({"CALLS_LOGGED": 70, "EMAILS_SENT": 30}, now=NOW + timedelta(days=1))
    await scene.set({"CALLS_LOGGED": 70, "EMAILS_SENT": 30}, now=NOW + timedelta(days=1), cap=Decimal("1.5"))
    assert await scene.history(view) == [
        (1, date(2026, 1, 1), date(2026, 6, 16)),
        (2, date(2026, 8, 1), date(2026, 7, 31)),
        (3, date(2026, 6, 17), date(2026, 6, 16)),
        (4, date(2026, 6, 17), None),
    ]
    with pytest.raises(Conflict, match="version 4"):
        await scene.set({"CALLS_LOGGED": 100}, now=NOW + timedelta(days=2), expected_version=3)
    with pytest.raises(Invalid, match="today on"):
        await scene.set({"CALLS_LOGGED": 100}, effective_from=date(2026, 6, 1), now=NOW + timedelta(days=2))
    ended = await scene.remove(view, now=NOW + timedelta(days=9), expected_version=4)
    assert ended.newest.effective_to == date(2026, 6, 24)
    assert await scene.remove(view, now=NOW + timedelta(days=11)) == ended
    again = await scene.set({"CALLS_LOGGED": 100}, now=NOW + timedelta(days=20), expected_version=0)
    assert (again.id, again.newest.number, again.newest.effective_from) == (view.id, 5, date(2026, 7, 6))


async def test_many_at_once_make_one_history() -> None:
    scene = await Scene().build()
    random = Random(5)

    async def one(number: int) -> None:
        await asyncio.sleep(random.random() / 50)
        await scene.set({"CALLS_LOGGED": 100 - number, "EMAILS_SENT": number})

    await asyncio.gather(*(one(number) for number in range(1, 13)))
    view = await scene.set({"CALLS_LOGGED": 100})
    history = await scene.history(view)
    assert [number for number, _first, _last in history] == list(range(1, 14))
    held = [(first, last) for _number, first, last in history if last is None or first <= last]
    assert [last for _first, last in held if last is None] == [None]
    for (_a, end), (begin, _b) in pairwise(held):
        assert end == begin - timedelta(days=1)


async def test_a_repeated_key_writes_nothing() -> None:
    scene = await Scene().build()
    first = await scene.set({"CALLS_LOGGED": 100}, idempotency_key="k")
    await scene.set({"EMAILS_SENT": 100})
    assert await scene.set({"CALLS_LOGGED": 100}, idempotency_key="k") == first
    assert len(await scene.history(first)) == 2
    with pytest.raises(Conflict, match="another input"):
        await scene.set({"CALLS_LOGGED": 90, "EMAILS_SENT": 10}, idempotency_key="k")


@pytest.mark.parametrize(
    ("weights", "more", "path"),
    [
        ({}, {}, ("input", "components")),
        ({"CALLS_LOGGED": 99}, {}, ("input", "components")),
        ({"CALLS_LOGGED": 60, "EMAILS_SENT": 60}, {}, ("input", "components")),
        ({"BOUNCE_RATE": 100}, {}, ("input", "components", "0", "metric")),
        ({"CALLS_LOGGED": 50, "TALK_RATIO": 50}, {}, ("input", "components", "1", "metric")),
        ({"CALLS_LOGGED": "0.001", "EMAILS_SENT": "99.999"}, {}, ("input", "components", "0", "weight")),
        ({"CALLS_LOGGED": 120, "EMAILS_SENT": -20}, {}, ("input", "components", "0", "weight")),
        ({"CALLS_LOGGED": 100}, {"cap": Decimal("0.99")}, ("input", "cap")),
        ({"CALLS_LOGGED": 100}, {"cap": Decimal(11)}, ("input", "cap")),
        ({"CALLS_LOGGED": 100}, {"effective_from": date(1950, 1, 1)}, ("input", "effectiveFrom")),
    ],
)
async def test_what_does_not_fit_is_named(
    weights: dict[str, object], more: dict[str, Any], path: tuple[str, ...]
) -> None:
    scene = await Scene().build()
    with pytest.raises(Invalid) as error:
        await scene.set(weights, **more)
    assert error.value.path == path


async def test_who_may_define() -> None:
    scene = await Scene().build()
    with pytest.raises(Forbidden, match="MANAGE_TEAM"):
        await scene.set({"CALLS_LOGGED": 100}, viewer=scene.rep)
    async with acquire(ALL_TEAMS) as connection:
        stranger = await make_role(connection, await make_team(connection))
        goals_manager = await make_role(connection, scene.team_id, "TEAM_VIEW", "MANAGE_GOALS")
        manager = await viewer_of(
            connection, await make_user(connection, scene.team_id, goals_manager, group_id=scene.group)
        )
        users = await access.see_users(connection, manager)
        seen = await access.see_scored_roles(connection, manager, users)
        assert seen.ids == {scene.role, goals_manager}
        own = await access.see_scored_roles(connection, scene.rep, await access.see_users(connection, scene.rep))
        assert own.ids == {scene.role}
    with pytest.raises(Forbidden, match="MANAGE_TEAM"):
        await scene.set({"CALLS_LOGGED": 100}, viewer=manager)
    with pytest.raises(NotFound):
        await scene.set({"CALLS_LOGGED": 100}, role_id=stranger)


async def test_ranks_pages_and_groups() -> None:
    scene = await Scene().build()
    await scene.set({"CALLS_LOGGED": 100})
    async with acquire(ALL_TEAMS) as connection:
        people = [scene.rep.user_id]
        people += [await make_user(connection, scene.team_id, scene.role, group_id=scene.group) for _ in range(6)]
        people.append(await make_user(connection, scene.team_id, scene.role, active=False))
        for number, user_id in enumerate(people):
            if number != 3:
                await keep_goal(connection, scene.team_id, user_id, "CALLS_LOGGED", "MONTH", [(FIRST, None, 3)])
            done = [4, 1, 1, 9, 0, 7, 1, 2][number]
            await keep_rollup(connection, scene.team_id, user_id, date(2026, 6, 3), calls_logged=done)
    one = Asked(Days(*JUNE), Days(*JUNE))
    board = await board_of(scene.team_id, [one])
    ranked = rank_scores(board, ScoreKind.ACTIVITY, one, None)
    values = [found.score.value for found in ranked]
    third = Fraction(100, 3)
    assert values == [200, 4 * third, 2 * third, third, third, third, 0, None]
    assert [found.rank for found in ranked] == [1, 2, 3, 4, 4, 4, 7, 8]
    gathered: list[UUID] = []
    cursor = None
    while True:
        page = page_of_scores(ranked, page_request(3, cursor))
        gathered += [found.user_id for found in page.nodes]
        if not page.has_next:
            break
        cursor = page.cursors[-1]
    assert gathered == [found.user_id for found in ranked]
    with pytest.raises(Invalid, match="cursor"):
        page_of_scores(ranked, page_request(3, "nonsense"))
    members = {scene.group: people[:7]}
    mean, count = group_scores(board, members, ScoreKind.ACTIVITY, one)[scene.group]
    assert (mean, count) == ((200 + 4 * third + 3 * third + 0) / 6, 6)


async def test_a_fixed_number_of_statements(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = []
    for reps, ranges in ((1, 1), (7, 30)):
        team = await RandomTeam(99).build(reps)
        asked = team.ranges(ranges)
        seen: list[str] = []
        with monkeypatch.context() as patch:
            for name in ("fetch", "fetchrow", "fetchval"):
                original = getattr(asyncpg.Connection, name)

                def wrapped(
                    self: Any,
                    query: str,
                    *rest: Any,
                    original: Any = original,
                    seen: list[str] = seen,
                    **options: Any,
                ) -> Any:
                    seen.append(query)
                    return original(self, query, *rest, **options)

                patch.setattr(asyncpg.Connection, name, wrapped)
            await board_of(team.team_id, asked)
        counts.append(len(seen))
    assert len(set(counts)) == 1
    assert counts[0] <= 12


async def test_steps_of_a_trend_make_the_whole_of_a_count() -> None:
    """Uncapped and without leave, the score of a count over a range is the mean of its steps' by their targets."""
    scene = await Scene().build()
    await scene.goal("CALLS_LOGGED", "DAY", 4)
    await scene.set({"CALLS_LOGGED": 100}, cap=Decimal(10))
    random = Random(3)
    for number in range(91):
        await scene.did(date(2026, 4, 1) + timedelta(days=number), calls_logged=random.randrange(9))
    whole = Days(date(2026, 4, 1), date(2026, 6, 30))
    async with acquire(ALL_TEAMS) as connection:
        calendar = await calendar_of_team(connection, scene.team_id)
    for interval in TrendInterval:
        steps = [Asked(step, whole) for step in intervals(whole, interval, calendar)]
        board = await board_of(scene.team_id, [*steps, Asked(whole, whole)])
        found = [board.score(scene.rep.user_id, ScoreKind.ACTIVITY, step) for step in steps]
        if interval is TrendInterval.DAY:
            continue  # What is done on a weekend counts in no step of its own.
        total = sum((one.value or 0) * one.working_days for one in found) / sum(one.working_days for one in found)
        assert total == board.score(scene.rep.user_id, ScoreKind.ACTIVITY, Asked(whole, whole)).value
