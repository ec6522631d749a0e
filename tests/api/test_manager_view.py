"""The tab Manager View.

Invariants:
A. The numbers are those of a brute force over all rows, for every role's sight, on both sides of midnight.
B. It needs TEAM_VIEW; nobody out of sight is named, as a manager, as a rep, or as not coached.
C. Of sessions the count is told, and nothing by which one could be found.
D. It costs a fixed number of statements, however many managers, reps and plans.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from domain import access
from domain.database import ALL_TEAMS, acquire
from domain.ids import decode_any_id
from domain.models.base import new_id
from domain.models.people import Permission
from tests.api.conftest import Api
from tests.api.test_dashboards import counting
from tests.factories import make_group, make_role, make_team, make_user, viewer_of
from tests.oracle import manager_view as oracle

ZONE = "America/New_York"
DOCUMENT = """
query($range: RangeInput!, $days: Int) {
  managerView(range: $range, notCoachedDays: $days) {
    managers {
      manager { id } conversationsReviewed scorecardsFilled comments sessionsHeld repsCoached plans
      focusBetter focusWorse focusUnclear focusUntold
      reps { user { id } isReport conversationsReviewed scorecardsFilled comments sessionsHeld plans }
    }
    notCoachedLately { id } notCoachedCount notCoached { user { id } lastCoachedAt }
  }
}
"""
FIELDS = {
    "conversationsReviewed": "review",
    "scorecardsFilled": "scorecard",
    "comments": "comment",
    "sessionsHeld": "session",
}


async def insert(connection: Any, table: str, **columns: Any) -> UUID:
    row_id: UUID = columns.setdefault("id", new_id())
    places = ", ".join(f"${n}" for n in range(1, len(columns) + 1))
    await connection.execute(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})", *columns.values())
    return row_id


class Floor:
    """Two branches of groups with managers and reps, a head of one, an Admin; coaching of every sort at random."""

    async def build(self, seed: int, size: int = 3) -> Floor:
        random = Random(seed)
        self.today = datetime.now(ZoneInfo(ZONE)).date()
        async with acquire(ALL_TEAMS) as connection:
            self.team = await make_team(connection, timezone=ZONE)
            admin = await make_role(connection, self.team, is_admin=True)
            manager = await make_role(connection, self.team, Permission.TEAM_VIEW)
            user = await make_role(connection, self.team)
            self.viewers = {"admin": await make_user(connection, self.team, admin, is_rep=False)}
            self.managers, self.reps = [], []
            for branch in ("north", "south"):
                top = await make_group(connection, self.team, branch)
                head = await make_user(connection, self.team, manager, group_id=top, is_rep=False)
                self.viewers[branch] = head
                self.managers.append(head)
                for number in range(2):
                    group = await make_group(connection, self.team, f"{branch} {number}", top)
                    boss = await make_user(
                        connection, self.team, manager, group_id=group, manager_id=head, is_rep=False
                    )
                    self.managers.append(boss)
                    self.viewers[f"{branch} {number}"] = boss
                    for _ in range(size):
                        started = self.today - timedelta(random.randrange(5, 400))
                        self.reps.append(
                            await make_user(
                                connection, self.team, user, group_id=group, manager_id=boss, started_on=started
                            )
                        )
            self.viewers["rep"] = self.reps[0]
            template = await insert(connection, "scorecard_templates", team_id=self.team, name="Discovery")
            await insert(
                connection,
                "scorecard_versions",
                team_id=self.team,
                template_id=template,
                version=1,
                questions='[{"key": "q"}]',
            )
            people = [*self.managers, *self.reps, self.viewers["admin"]]
            for _ in range(size * 40):
                rep, who = random.choice(self.reps), random.choice(people)
                at = datetime.now(UTC) - timedelta(hours=random.randrange(1, 24 * 90))
                await self._act(connection, random, rep, who, at, template)
        return self

    async def _act(self, connection: Any, random: Random, rep: UUID, who: UUID, at: datetime, template: UUID) -> None:
        film = await insert(connection, "films", team_id=self.team, user_id=rep)
        of = {"team_id": self.team, "activity_id": film, "user_id": rep}
        match random.randrange(4):
            case 0 if who != rep:
                await insert(connection, "reviews", **of, reviewer_id=who, way="MARKED", created_at=at)
            case 1:
                state = random.choice(["DRAFT", "SUBMITTED"])
                relation = "SELF" if who == rep else random.choice(["PEER", "MANAGER"])
                done = state == "SUBMITTED"
                await insert(
                    connection,
                    "scorecards",
                    **of,
                    scorer_id=who,
                    template_id=template,
                    version=1,
                    relation=relation,
                    state=state,
                    answers="{}",
                    score=50 if done else None,
                    submitted_at=at if done else None,
                )
            case 2:
                gone = random.random() < 0.2
                await insert(
                    connection,
                    "comments",
                    **of,
                    author_id=who,
                    body=None if gone else "x",
                    created_at=at,
                    deleted_at=at if gone else None,
                    deleted_by_id=who if gone else None,
                )
            case _ if who != rep:
                state = random.choice(["HELD", "PLANNED", "CANCELLED", "MISSED"])
                await insert(
                    connection,
                    "coaching_sessions",
                    team_id=self.team,
                    user_id=rep,
                    coach_id=who,
                    title="x",
                    starts_at=at,
                    duration_minutes=30,
                    state=state,
                    held_at=at if state == "HELD" else None,
                )

    async def seen(self, viewer_id: UUID) -> set[UUID]:
        async with acquire(ALL_TEAMS) as connection:
            sight = await access.see_users(connection, await viewer_of(connection, viewer_id))
            rows = await connection.fetch("SELECT id FROM users WHERE team_id = $1", self.team)
        return {row["id"] for row in rows if sight.sees(self.team, row["id"])}


def bare(global_id: str) -> UUID:
    decoded = decode_any_id(global_id)
    assert decoded is not None
    return decoded[1]


@pytest.mark.parametrize("seed", [1, 2])
async def test_the_numbers_are_those_of_a_brute_force(api: Api, seed: int) -> None:
    floor = await Floor().build(seed)
    first, last = floor.today - timedelta(40), floor.today - timedelta(3)
    async with acquire(ALL_TEAMS) as connection:
        acts = await oracle.acts_of(connection, floor.team)
        people = {
            row["id"]: row for row in await connection.fetch("SELECT * FROM users WHERE team_id = $1", floor.team)
        }
    assert {what for what, *_rest in acts} == set(FIELDS.values())
    for name, viewer in floor.viewers.items():
        token = await api.token(viewer)
        variables = {"range": {"from": first.isoformat(), "to": last.isoformat()}, "days": 20}
        answer = await api.query(token, DOCUMENT, **variables)
        if name == "rep":
            assert answer["errors"][0]["extensions"]["permission"] == "TEAM_VIEW"
            continue
        assert "errors" not in answer, answer
        view = answer["data"]["managerView"]
        seen = await floor.seen(viewer)
        wanted = oracle.counts(acts, seen, first, last, ZONE)
        found = {}
        for row in view["managers"]:
            manager = bare(row["manager"]["id"])
            assert manager in seen
            assert row["repsCoached"] == len({rep for who, rep in wanted if who == manager})
            for field in FIELDS:
                assert row[field] == sum(rep[field] for rep in row["reps"])
            for rep in row["reps"]:
                one = bare(rep["user"]["id"])
                assert one in seen
                assert rep["isReport"] == (people[one]["manager_id"] == manager)
                told = {what: rep[field] for field, what in FIELDS.items() if rep[field]}
                if told:
                    found[manager, one] = told
        assert found == {key: dict(value) for key, value in wanted.items()}, name
        since = floor.today - timedelta(19)
        expected = {}
        for rep in floor.reps:
            at = oracle.last_coached(acts, rep, seen)
            late = at is None or at.astimezone(ZoneInfo(ZONE)).date() < since
            if rep in seen and late and people[rep]["started_on"] <= since:
                expected[rep] = at
        told_at = {
            bare(one["user"]["id"]): one["lastCoachedAt"] and datetime.fromisoformat(one["lastCoachedAt"])
            for one in view["notCoached"]
        }
        assert told_at == expected
        assert [bare(one["id"]) for one in view["notCoachedLately"]] == list(told_at)
        assert view["notCoachedCount"] == len(expected)


async def test_a_fixed_number_of_statements(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = set()
    for size in (1, 5):
        floor = await Floor().build(size, size)
        async with acquire(ALL_TEAMS) as connection:
            for rep in floor.reps:
                plan = await insert(
                    connection,
                    "coaching_plans",
                    team_id=floor.team,
                    user_id=rep,
                    coach_id=floor.managers[1],
                    title="x",
                    status="ACTIVE",
                    starts_on=date.today() - timedelta(30),
                )
                await insert(
                    connection, "plan_focuses", team_id=floor.team, plan_id=plan, metric="CALLS_LOGGED", position=0
                )
        token = await api.token(floor.viewers["admin"])
        async with counting(monkeypatch) as statements:
            answer = await api.data(token, DOCUMENT, range={"named": "LAST_90_DAYS"}, days=30)
        counts.add(sum("set_config" not in one for one in statements))
        rows = {bare(row["manager"]["id"]): row for row in answer["managerView"]["managers"]}
        assert rows[floor.managers[1]]["plans"] == len(floor.reps)
        assert rows[floor.managers[1]]["focusUntold"] == len(floor.reps)
    assert len(counts) == 1


async def test_days_that_do_not_fit_are_refused(api: Api) -> None:
    floor = await Floor().build(3, 1)
    token = await api.token(floor.viewers["admin"])
    answer = await api.query(token, DOCUMENT, range={"named": "THIS_MONTH"}, days=0)
    assert "notCoachedDays" in answer["errors"][0]["message"]
