"""Goals through GraphQL.

Invariants:
A. Every goal, attainment and progress that a dashboard shows equals the oracle's day-by-day sum: for reps, groups and
   the total, for trends, under any calendar, with leave, people who join and leave, and goals that change in the middle
   of a period.
B. Nobody is shown a goal that they may not see: without MANAGE_GOALS, only one's own.
C. `fallingBehind` is in the order of pace.
D. The two ways of answering rows of metrics agree on goals.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID

import pytest

from domain import ingest
from domain.database import ALL_TEAMS, acquire
from domain.ids import encode_id
from domain.metrics import METRICS
from domain.models.base import new_id
from domain.records import decode_mapping
from tests.api.conftest import Api
from tests.factories import make_group, make_role, make_team, make_user
from tests.oracle.boards import CELLS, Board
from tests.oracle.goals import Held, World, asked, rate, six_places

TODAY = datetime.now(UTC).date()
ONE = timedelta(days=1)
METRICS_SHOWN = ("EMAILS_SENT", "CALLS_LOGGED", "CONNECT_RATE", "CLOSED_WON_COUNT")
DASHBOARD = f"""query($range: RangeInput!, $group: ID) {{
  teamDashboard(range: $range, groupId: $group, metrics: [{" ".join(METRICS_SHOWN)}]) {{
    metrics {{ {CELLS} trend(interval: WEEK) {{ start end goal }} }}
    groups {{ group {{ id }} metrics {{ {CELLS} }} }}
    reps(first: 100) {{ nodes {{ user {{ id }} metrics {{ {CELLS} }} }} }}
    fallingBehind(first: 100) {{ rank user {{ id }} metrics {{ metric progress {{ pace status }} }} }}
  }} }}"""


class Scene(Board):
    """A random team: two levels of groups, people who come, go and are away, goals of every kind."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.chance = random.Random(seed)

    async def build(self) -> None:
        chance = self.chance
        week = chance.choice([31, 31, 127, 62, 21])
        weekly, start, month = chance.random() < 0.4, chance.randint(1, 7), chance.randint(1, 12)
        free = {TODAY + chance.randint(-200, 100) * ONE for _ in range(10)}
        self.world = World(start, month, weekly, lambda day: bool(week >> day.weekday() & 1) and day not in free)
        async with acquire(ALL_TEAMS) as connection:
            self.team_id = await make_team(
                connection,
                week_start=start,
                fiscal_year_start_month=month,
                fiscal_calendar="FOUR_FOUR_FIVE" if weekly else "MONTHS",
                work_week=week,
                work_day_start_minute=0,
                work_day_end_minute=1,
            )
            for day in free:
                await connection.execute(
                    "INSERT INTO holidays (id, team_id, day, name) VALUES ($1, $2, $3, 'free')",
                    new_id(),
                    self.team_id,
                    day,
                )
            self.admin_role = await make_role(connection, self.team_id, is_admin=True, name="Admin")
            self.role = await make_role(connection, self.team_id)
            top = await make_group(connection, self.team_id, "top")
            groups = [top, await make_group(connection, self.team_id, "below", top)]
            groups.append(await make_group(connection, self.team_id, "other"))
            self.parents = {groups[0]: None, groups[1]: top, groups[2]: None}
            for number in range(6):
                group = groups[number % 3] if number < 5 else None
                joined = TODAY - chance.randint(0, 120) * ONE if chance.random() < 0.3 else None
                left = TODAY + chance.randint(-20, 20) * ONE if chance.random() < 0.2 else None
                if joined and left and left < joined:
                    left = None
                user = await make_user(
                    connection,
                    self.team_id,
                    self.role,
                    group_id=group,
                    email=f"u{number}@x.test",
                    name=f"U{number}",
                    started_on=joined,
                    ended_on=left,
                )
                self.users[user] = group
                away = []
                for _ in range(chance.randint(0, 2)):
                    first = TODAY + chance.randint(-100, 30) * ONE
                    last = first + chance.randint(0, 12) * ONE
                    away.append((first, last))
                    await connection.execute(
                        "INSERT INTO days_off (id, team_id, user_id, first_day, last_day) VALUES ($1, $2, $3, $4, $5)",
                        new_id(),
                        self.team_id,
                        user,
                        first,
                        last,
                    )
                await self._goals(connection, user, None, self._works(away), joined, left)
            for group in groups:
                if chance.random() < 0.5:
                    await self._goals(connection, None, group, self.world.works, None, None)
        records = [
            {
                "kind": chance.choice(["email", "call"]),
                "externalId": str(number),
                "user": f"u{chance.randrange(6)}@x.test",
                "occurredAt": datetime.combine(
                    TODAY - chance.randint(0, 100) * ONE, datetime.min.time(), UTC
                ).isoformat(),
                "connected": chance.random() < 0.5,
                "subject": "x",
            }
            for number in range(300)
        ]
        for record in records:
            del record["connected" if record["kind"] == "email" else "subject"]
        outcome = await ingest.take_in(
            self.team_id, "test", [(n, decode_mapping(one)) for n, one in enumerate(records)]
        )
        assert not outcome.errors

    def _works(self, away: list[tuple[date, date]]) -> Callable[[date], bool]:
        return lambda day: self.world.works(day) and not any(first <= day <= last for first, last in away)

    async def _goals(
        self,
        connection: Any,
        user: UUID | None,
        group: UUID | None,
        works: Callable[[date], bool],
        joined: date | None,
        left: date | None,
    ) -> None:
        chance = self.chance
        for metric in ("EMAILS_SENT", "CALLS_LOGGED", "CONNECT_RATE"):
            for kind in chance.sample(["DAY", "WEEK", "MONTH", "QUARTER", "YEAR"], chance.randint(0, 2)):
                goal_id = new_id()
                await connection.execute(
                    "INSERT INTO goals (id, team_id, user_id, group_id, metric, period) "
                    "VALUES ($1, $2, $3, $4, $5, $6)",
                    goal_id,
                    self.team_id,
                    user,
                    group,
                    metric,
                    kind,
                )
                edges = sorted({TODAY + chance.randint(-120, 40) * ONE for _ in range(chance.randint(1, 3))})
                for number, first in enumerate(edges, 1):
                    more = number < len(edges)
                    last = edges[number] - ONE if more else None if chance.random() < 0.8 else first + 30 * ONE
                    target = Fraction(chance.randint(1, 80), 100 if metric == "CONNECT_RATE" else 1)
                    await connection.execute(
                        "INSERT INTO goal_versions (id, team_id, goal_id, version, target, effective_from, "
                        "effective_to) VALUES ($1, $2, $3, $4, $5, $6, $7)",
                        new_id(),
                        self.team_id,
                        goal_id,
                        number,
                        Decimal(target.numerator) / target.denominator,
                        first,
                        last,
                    )
                    begin = max(first, joined) if joined else first
                    end = min(last or left, left) if left else last
                    if end is None or end >= begin:
                        self.held.setdefault((user or group or self.team_id, metric), []).append(
                            Held(kind, begin, end, target, works)
                        )


@pytest.mark.parametrize("seed", range(6))
async def test_dashboards_equal_the_oracle(api: Api, seed: int) -> None:
    scene = Scene(seed)
    await scene.build()
    async with acquire(ALL_TEAMS) as connection:
        admin = await make_user(connection, scene.team_id, scene.admin_role, is_rep=False)
    token = await api.token(admin)
    chance = random.Random(seed)
    for length in (1, 8, 45, 100):
        first = TODAY - chance.randint(0, length) * ONE
        days = [first + n * ONE for n in range(length)]
        variables = {"range": {"from": days[0].isoformat(), "to": days[-1].isoformat()}}
        found = (await api.data(token, DASHBOARD, **variables))["teamDashboard"]
        everybody = list(scene.users)
        for cell in found["metrics"]:
            held = scene.of_many(scene.team_id, everybody, cell["metric"], days)
            scene.check(cell, held, days, TODAY)
            for point in cell["trend"]:
                step = [day for day in days if point["start"] <= day.isoformat() <= point["end"]]
                there = [one for one in held if any(one.holds(day) for day in step)]
                if METRICS[cell["metric"]].is_quotient:
                    mean = rate(there, step)
                    wanted = None if mean is None else six_places(mean)
                else:
                    wanted = six_places(asked(scene.world, there, step, TODAY, Fraction(1))[0]) if there else None
                assert (None if point["goal"] is None else Decimal(point["goal"])) == wanted
        assert len(found["groups"]) == 3
        by_id = {encode_id("Group", group): group for group in scene.parents}
        for row in found["groups"]:
            group = by_id[row["group"]["id"]]
            for cell in row["metrics"]:
                scene.check(cell, scene.of_many(group, scene.members(group), cell["metric"], days), days, TODAY)
        users = {encode_id("User", user): user for user in scene.users}
        slow = {}
        for row in found["reps"]["nodes"]:
            user = users[row["user"]["id"]]
            for cell in row["metrics"]:
                scene.check(cell, scene.of(user, cell["metric"], days), days, TODAY)
            paces = sorted(
                Decimal(cell["progress"]["pace"])
                for cell in row["metrics"]
                if cell["progress"] and cell["progress"]["status"] in ("AT_RISK", "BEHIND")
            )
            if paces:
                slow[row["user"]["id"]] = paces
        shown = [row["user"]["id"] for row in found["fallingBehind"]]
        assert sorted(shown) == sorted(slow)
        assert [slow[one] for one in shown] == sorted(slow.values())
        chosen = chance.choice(list(scene.parents))
        narrowed = await api.data(token, DASHBOARD, **variables, group=encode_id("Group", chosen))
        for cell in narrowed["teamDashboard"]["metrics"]:
            scene.check(cell, scene.of_many(chosen, scene.members(chosen), cell["metric"], days), days, TODAY)


async def test_the_two_ways_agree_on_goals(api: Api) -> None:
    """An @include that the short way does not plan with gives the same cells as the short way."""
    scene = Scene(3)
    await scene.build()
    async with acquire(ALL_TEAMS) as connection:
        admin = await make_user(connection, scene.team_id, scene.admin_role)
    token = await api.token(admin)
    cells = CELLS + " trend(interval: MONTH) { start goal }"
    head = "teamDashboard(range: {named: LAST_90_DAYS})"
    short = await api.data(token, f"{{ {head} {{ metrics {{ {cells} }} }} }}")
    from api import execution

    plan = execution.SidelineExecutor._make_plan
    try:
        execution.SidelineExecutor._make_plan = lambda *_arguments: None  # type: ignore[method-assign]
        long = await api.data(token, f"{{ {head} {{ metrics {{ {cells} }} }} }}")
    finally:
        execution.SidelineExecutor._make_plan = plan  # type: ignore[method-assign]
    assert short == long
    assert any(cell["goal"] for cell in short["teamDashboard"]["metrics"])


@pytest.mark.parametrize(
    ("permissions", "others", "total"),
    [((), False, "own"), (("TEAM_VIEW",), False, None), (("TEAM_VIEW", "MANAGE_GOALS"), True, "all")],
)
async def test_whose_goals_are_shown(api: Api, permissions: tuple[str, ...], others: bool, total: str | None) -> None:
    async with acquire(ALL_TEAMS) as connection:
        team_id = await make_team(connection)
        group = await make_group(connection, team_id, "mine")
        role = await make_role(connection, team_id, *permissions)
        admin = await make_user(connection, team_id, await make_role(connection, team_id, is_admin=True, name="Admin"))
        users = [await make_user(connection, team_id, role, group_id=group, name=f"U{n}") for n in range(2)]
    tokens = [await api.token(user) for user in (admin, *users)]
    mutation = """mutation($users: [ID!]) { setGoals(input: {
        metric: EMAILS_SENT, period: YEAR, target: "100", userIds: $users}) { errors { code } goals { id } } }"""
    ids = [encode_id("User", user) for user in users]
    assert (await api.data(tokens[0], mutation, users=ids))["setGoals"]["errors"] == []
    document = """{ teamDashboard(range: {named: THIS_YEAR}, metrics: [EMAILS_SENT]) {
        metrics { goal progress { target } trend(interval: MONTH) { goal } } groups { metrics { goal } }
        reps { nodes { user { id } metrics { goal } } } fallingBehind { user { id } } }
        goals { totalCount nodes { subject { ... on User { id } } } }
        viewer { user { goals { totalCount } daysOff(from: "2026-01-01", to: "2026-12-31") { id } } } }"""
    data = await api.data(tokens[1], document)
    found = data["teamDashboard"]
    for row in found["reps"]["nodes"]:
        mine = row["user"]["id"] == ids[0]
        assert row["metrics"][0]["goal"] == ("100" if mine or others else None)
    shown = found["metrics"][0]
    assert shown["goal"] == {"own": "100", None: None, "all": "200"}[total]
    assert (shown["progress"] is None) == (total is None)
    assert all((point["goal"] is None) == (total is None) for point in shown["trend"])
    assert all((row["metrics"][0]["goal"] == "200") == others for row in found["groups"])
    # With MANAGE_GOALS: two reps and the derived one of the group.
    assert data["goals"]["totalCount"] == (3 if others else 1)
    assert data["viewer"]["user"]["goals"]["totalCount"] == 1
    hidden = await api.data(
        tokens[1], "query($id: ID!) { node(id: $id) { ... on User { goals { totalCount } } } }", id=ids[1]
    )
    if permissions:
        assert hidden["node"]["goals"]["totalCount"] == (1 if others else 0)


async def test_goals_from_end_to_end(api: Api) -> None:
    """What a manager does in GraphiQL."""
    scene = Scene(1)
    await scene.build()
    async with acquire(ALL_TEAMS) as connection:
        admin = await make_user(connection, scene.team_id, scene.admin_role, name="Ada")
        await connection.execute("DELETE FROM goal_versions WHERE team_id = $1", scene.team_id)
        await connection.execute("DELETE FROM goals WHERE team_id = $1", scene.team_id)
    token = await api.token(admin)
    users = [encode_id("User", user) for user in scene.users]
    mutation = """mutation($input: SetGoalsInput!) { setGoals(input: $input) {
        goals { id version target derived effectiveFrom setBy { name } subject { __typename ... on User { name } }
            progress { target status } history { version target effectiveTo } }
        errors { code message path } } }"""
    given = {"metric": "MEETINGS_BOOKED", "period": "WEEK", "target": "12.50", "userIds": users, "idempotencyKey": "x"}
    done = (await api.data(token, mutation, input=given))["setGoals"]
    assert done["errors"] == []
    assert [goal["subject"]["name"] for goal in done["goals"]] == [f"U{n}" for n in range(6)]
    assert {goal["target"] for goal in done["goals"]} == {"12.5"}
    assert done["goals"][0]["setBy"] == {"name": "Ada"}
    assert (await api.data(token, mutation, input=given))["setGoals"] == done
    bad = {**given, "idempotencyKey": "y", "userIds": [users[0], encode_id("User", new_id()), "junk"]}
    refused = (await api.data(token, mutation, input=bad))["setGoals"]
    assert refused["goals"] == []
    assert [error["path"] for error in refused["errors"]] == [["input", "userIds", "2"]]
    bad["userIds"] = bad["userIds"][:2]
    refused = (await api.data(token, mutation, input=bad))["setGoals"]
    assert [(error["code"], error["path"]) for error in refused["errors"]] == [("NOT_FOUND", ["input", "userIds", "1"])]
    stale = {**given, "idempotencyKey": None, "target": "13"}
    stale["expectedVersions"] = [{"subjectId": users[3], "version": 7}]
    refused = (await api.data(token, mutation, input=stale))["setGoals"]
    assert [(error["code"], error["path"]) for error in refused["errors"]] == [("CONFLICT", ["input", "userIds", "3"])]
    rate_goal = {"metric": "BOUNCE_RATE", "period": "WEEK", "target": "1", "userIds": users}
    refused = (await api.data(token, mutation, input=rate_goal))["setGoals"]
    assert refused["errors"][0]["path"] == ["input", "metric"]
    listed = await api.data(
        token,
        "{ goals(filter: {metrics: [MEETINGS_BOOKED]}) { totalCount nodes { id derived subject { __typename } } } }",
    )
    derived = [goal for goal in listed["goals"]["nodes"] if goal["derived"]]
    assert len(derived) == 4
    node = """query($id: ID!) { node(id: $id) {
        id ... on Goal { derived target progress { target } history { version } } } }"""
    for goal in listed["goals"]["nodes"]:
        assert (await api.data(token, node, id=goal["id"]))["node"]["id"] == goal["id"]
    ids = [goal["id"] for goal in done["goals"]]
    remove = """mutation($ids: [ID!]!) { removeGoals(input: {goalIds: $ids}) {
        goals { effectiveTo } errors { code path } } }"""
    refused = (await api.data(token, remove, ids=[ids[0], derived[0]["id"]]))["removeGoals"]
    assert refused == {"goals": [], "errors": [{"code": "NOT_FOUND", "path": ["input", "goalIds", "1"]}]}
    removed = (await api.data(token, remove, ids=ids))["removeGoals"]
    assert {goal["effectiveTo"] for goal in removed["goals"]} == {(TODAY - ONE).isoformat()}
    assert (await api.data(token, "{ goals { totalCount } }"))["goals"]["totalCount"] == 0
    kept = await api.data(token, "{ goals(filter: {includeEnded: true}) { totalCount } }")
    assert kept["goals"]["totalCount"] == 6


async def test_settings_holidays_and_days_off(api: Api) -> None:
    async with acquire(ALL_TEAMS) as connection:
        team_id = await make_team(connection)
        admin = await make_user(connection, team_id, await make_role(connection, team_id, is_admin=True, name="Admin"))
        user = await make_user(connection, team_id, await make_role(connection, team_id), name="Ann")
        other = await make_user(connection, team_id, await make_role(connection, team_id), name="Bo")
    token, own = await api.token(admin), await api.token(user)
    update = """mutation($input: UpdateTeamSettingsInput!) { updateTeamSettings(input: $input) {
        settings { weekStart workWeek workDayStart workDayEnd holidayCountry fiscalCalendar atRiskPace }
        errors { path } } }"""
    given = {
        "weekStart": "SUNDAY",
        "workWeek": ["SUNDAY", "MONDAY", "TUESDAY"],
        "workDayStart": "08:30:00",
        "workDayEnd": "00:00:00",
        "holidayCountry": "us",
        "fiscalCalendar": "FOUR_FOUR_FIVE",
        "atRiskPace": "0.7",
    }
    done = (await api.data(token, update, input=given))["updateTeamSettings"]
    assert done == {
        "settings": {
            "weekStart": "SUNDAY",
            "workWeek": ["MONDAY", "TUESDAY", "SUNDAY"],
            "workDayStart": "08:30",
            "workDayEnd": "24:00",
            "holidayCountry": "US",
            "fiscalCalendar": "FOUR_FOUR_FIVE",
            "atRiskPace": "0.7",
        },
        "errors": [],
    }
    for bad, path in (
        ({"holidayCountry": "XX"}, "holidayCountry"),
        ({"holidaySubdivision": "nowhere"}, "holidaySubdivision"),
        ({"workWeek": []}, "workWeek"),
        ({"atRiskPace": "2"}, "atRiskPace"),
        ({"fiscalYearStartMonth": 13}, "fiscalYearStartMonth"),
        ({"workDayStart": "20:00:00", "workDayEnd": "19:00:00"}, "workDayEnd"),
    ):
        refused = (await api.data(token, update, input=bad))["updateTeamSettings"]
        assert (refused["settings"], refused["errors"]) == (None, [{"path": ["input", path]}])
    listed = '{ holidays(from: "2026-07-01", to: "2026-07-31") { day name working own } }'
    assert [day["day"] for day in (await api.data(token, listed))["holidays"]] == ["2026-07-03", "2026-07-04"]
    for name, working in (("2026-07-03", True), ("2026-07-10", False)):
        await api.data(
            token,
            f'mutation {{ setHoliday(input: {{day: "{name}", name: "Ours", working: {str(working).lower()}}}) '
            "{ holiday { day } errors { code } } }",
        )
    days = (await api.data(token, listed))["holidays"]
    assert [(day["day"], day["working"], day["own"]) for day in days] == [
        ("2026-07-03", True, True),
        ("2026-07-04", False, False),
        ("2026-07-10", False, True),
    ]
    await api.data(token, 'mutation { removeHoliday(input: {day: "2026-07-03"}) { errors { code } } }')
    assert (await api.data(token, listed))["holidays"][0]["working"] is False
    add = """mutation($id: ID!) {
        addDaysOff(input: {userId: $id, from: "2026-08-03", to: "2026-08-14", reason: "Sea"}) {
        daysOff { id from to reason user { name } } errors { code path } } }"""
    mine = (await api.data(own, add, id=encode_id("User", user)))["addDaysOff"]
    assert (mine["daysOff"]["user"], mine["daysOff"]["to"], mine["errors"]) == ({"name": "Ann"}, "2026-08-14", [])
    refused = await api.query(own, add, id=encode_id("User", other))
    assert refused["errors"][0]["extensions"]["permission"] == "MANAGE_GOALS"
    take_back = "mutation($id: ID!) { removeDaysOff(input: {daysOffId: $id}) { daysOff { from } errors { code } } }"
    back = (await api.data(token, take_back, id=mine["daysOff"]["id"]))["removeDaysOff"]
    assert back == {"daysOff": {"from": "2026-08-03"}, "errors": []}
    again = (await api.data(own, take_back, id=mine["daysOff"]["id"]))["removeDaysOff"]
    assert again["errors"] == [{"code": "NOT_FOUND"}]
