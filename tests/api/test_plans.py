"""Coaching plans and sessions through GraphQL.

Invariants:
A. A draft exists for who coaches; a plan for the rep and, with TEAM_VIEW, for who has the rep in scope; agenda and
   shared notes are for those who take part; a private note exists for who coaches alone.
B. A session exists for those who take part: for nobody else by list, count, id, plan or error, Admins included.
C. With executive visibility an Admin reads sessions, each reading stands in the audit log, and private notes stay
   private; nobody changes sessions of others.
D. What is hidden answers as what never was.
E. Before and now are for who may see the rep's numbers.
F. Lists cost a fixed number of statements.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from domain import ingest
from domain.database import ALL_TEAMS, acquire
from domain.ids import encode_id
from domain.models.base import new_id
from domain.models.people import Permission
from domain.records import decode_mapping
from tests.api.conftest import Api
from tests.api.test_dashboards import counting
from tests.factories import make_group, make_role, make_team, make_user

PLAN = """
fragment P on CoachingPlan {
  id title status agenda notes version coach { name email } user { name } coCoaches { name }
  focus { metric target before now comparison { reason peerCount } }
  items { id title dueOn doneAt doneBy { name } } noteEntries { id body visibility author { name } }
}
"""
CREATE = (
    "mutation($input: CreateCoachingPlanInput!) { createCoachingPlan(input: $input) { plan { ...P } "
    "errors { code message path } } }" + PLAN
)
UPDATE = (
    "mutation($input: UpdateCoachingPlanInput!) { updateCoachingPlan(input: $input) { plan { ...P } "
    "errors { code message path } } }" + PLAN
)
NOTE = (
    "mutation($input: AddCoachingNoteInput!) { addCoachingNote(input: $input) { note { id body } "
    "errors { code message path } } }"
)
NODE = (
    "query($id: ID!) { node(id: $id) { id __typename ... on CoachingPlan { title agenda notes noteEntries { body } } "
    "} }"
)
SESSION = """
fragment S on CoachingSession {
  id title agenda state startsAt endsAt heldAt rescheduledCount version user { name } coach { name } coCoaches { name }
  notes { id body visibility } film { id } plan { id } invitation { uid delivered way error }
}
"""
PLAN_SESSION = (
    "mutation($input: PlanCoachingSessionInput!) { planCoachingSession(input: $input) { session { ...S } "
    "errors { code message path } } }" + SESSION
)
SESSIONS = (
    "query($filter: CoachingSessionFilter) { coachingSessions(filter: $filter) { totalCount nodes { ...S } } }"
    + SESSION
)
SESSION_NODE = "query($id: ID!) { node(id: $id) { id ... on CoachingSession { ...S } } }" + SESSION


class Room:
    """A group with a manager, two reps and a co-coach, an Admin, and a manager of another branch."""

    async def build(self, api: Api) -> Room:
        async with acquire(ALL_TEAMS) as connection:
            self.team = await make_team(connection)
            admin = await make_role(connection, self.team, is_admin=True)
            manager = await make_role(connection, self.team, Permission.TEAM_VIEW)
            user = await make_role(connection, self.team)
            sales = await make_group(connection, self.team, "sales")
            other = await make_group(connection, self.team, "other")
            self.ids: dict[str, UUID] = {}
            for name, role, group in (
                ("admin", admin, None),
                ("coach", manager, sales),
                ("co", user, sales),
                ("rep", user, sales),
                ("peer", user, sales),
                ("boss", manager, sales),
                ("stranger", manager, other),
            ):
                self.ids[name] = await make_user(
                    connection, self.team, role, group_id=group, name=name, is_rep=name in ("rep", "peer", "co")
                )
        self.tokens = {name: await api.token(one) for name, one in self.ids.items()}
        self.api = api
        return self

    def user(self, name: str) -> str:
        return encode_id("User", self.ids[name])

    async def ask(self, who: str, document: str, **variables: Any) -> Any:
        return await self.api.data(self.tokens[who], document, **variables)

    async def actions(self) -> set[tuple[str, str, str]]:
        """The scheduled actions of the team's sessions."""
        async with acquire(ALL_TEAMS) as connection:
            rows = await connection.fetch(
                "SELECT a.kind, u.name, a.state FROM scheduled_actions a JOIN users u ON u.id = a.user_id "
                "WHERE a.team_id = $1",
                self.team,
            )
        return {tuple(row) for row in rows}

    async def plan(self, **more: Any) -> Any:
        given = {"userId": self.user("rep"), "title": "Calls", "coCoachIds": [self.user("co")], **more}
        answer = (await self.ask("coach", CREATE, input=given))["createCoachingPlan"]
        assert answer["errors"] == []
        return answer["plan"]

    async def session(self, **more: Any) -> Any:
        at = datetime.now(UTC).replace(microsecond=0) + timedelta(days=2)
        given = {"userId": self.user("rep"), "startsAt": at.isoformat(), "coCoachIds": [self.user("co")], **more}
        answer = (await self.ask("coach", PLAN_SESSION, input=given))["planCoachingSession"]
        assert answer["errors"] == []
        return answer["session"]


@pytest.fixture
async def room(api: Api) -> Room:
    """Somebody in each part."""
    return await Room().build(api)


EVERYBODY = ("admin", "coach", "co", "rep", "peer", "boss", "stranger")


async def test_who_sees_a_plan_and_what_of_it(room: Room) -> None:
    plan = await room.plan(draft=True, agenda="Openers", focus=[{"metric": "CALLS_LOGGED", "target": "40"}])
    for visibility, body in (("SHARED", "for both"), ("PRIVATE", "for coaches")):
        await room.ask("coach", NOTE, input={"planId": plan["id"], "body": body, "visibility": visibility})
    hidden = await room.api.query(room.tokens["rep"], NODE, id=encode_id("CoachingPlan", new_id()))
    for name in EVERYBODY:
        seen = (await room.ask(name, NODE, id=plan["id"]))["node"]
        listed = (
            (await room.ask(name, "query($id: ID) { coachingPlans(userId: $id) { id } }", id=room.user("rep")))[
                "coachingPlans"
            ]
            if name in ("admin", "coach", "co", "rep", "boss")
            else []
        )
        assert (seen is not None) == (name in ("coach", "co")), name
        assert len(listed) == (name in ("coach", "co")), name
        if seen is None:
            assert (await room.api.query(room.tokens[name], NODE, id=plan["id"]))["data"] == hidden["data"]
    answer = await room.ask("coach", UPDATE, input={"planId": plan["id"], "status": "ACTIVE", "expectedVersion": 1})
    assert answer["updateCoachingPlan"]["errors"] == []
    expected = {
        "coach": ("Openers", "for both", ["for both", "for coaches"]),
        "co": ("Openers", "for both", ["for both", "for coaches"]),
        "rep": ("Openers", "for both", ["for both"]),
        "admin": (None, None, []),
        "boss": (None, None, []),
    }
    for name in EVERYBODY:
        seen = (await room.ask(name, NODE, id=plan["id"]))["node"]
        if name not in expected:
            assert seen is None, name
            continue
        told = (seen["agenda"], seen["notes"], [note["body"] for note in seen["noteEntries"]])
        assert told == expected[name], name


async def test_who_changes_a_plan(room: Room) -> None:
    plan = await room.plan(items=[{"title": "Listen to a call", "dueDays": 7}])
    item = plan["items"][0]
    assert item["dueOn"] == (date.today() + timedelta(days=7)).isoformat()
    change = (
        "mutation($input: UpdatePlanItemInput!) { updatePlanItem(input: $input) { plan { items { doneBy { name } } } "
        "errors { code path } } }"
    )
    for name in ("peer", "stranger"):
        answer = (await room.ask(name, change, input={"itemId": item["id"], "done": True}))["updatePlanItem"]
        never = await room.ask(name, change, input={"itemId": encode_id("PlanItem", new_id()), "done": True})
        assert (
            answer
            == never["updatePlanItem"]
            == {
                "plan": None,
                "errors": [{"code": "NOT_FOUND", "path": ["input", "itemId"]}],
            }
        )
    for name in ("admin", "boss"):
        answer = await room.api.query(room.tokens[name], change, input={"itemId": item["id"], "done": True})
        assert answer["errors"][0]["extensions"]["code"] == "FORBIDDEN", name
    answer = (await room.ask("rep", change, input={"itemId": item["id"], "done": True}))["updatePlanItem"]
    assert answer["plan"]["items"] == [{"doneBy": {"name": "rep"}}]
    refused = await room.api.query(room.tokens["rep"], change, input={"itemId": item["id"], "title": "Nothing"})
    assert refused["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    refused = await room.api.query(room.tokens["rep"], UPDATE, input={"planId": plan["id"], "status": "COMPLETED"})
    assert refused["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    refused = await room.api.query(
        room.tokens["rep"], NOTE, input={"planId": plan["id"], "body": "x", "visibility": "PRIVATE"}
    )
    assert refused["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    stale = await room.ask("co", UPDATE, input={"planId": plan["id"], "title": "x", "expectedVersion": 9})
    assert stale["updateCoachingPlan"]["errors"][0]["code"] == "CONFLICT"
    handed = await room.ask("coach", UPDATE, input={"planId": plan["id"], "coachId": room.user("co")})
    assert handed["updateCoachingPlan"]["plan"]["coach"]["name"] == "co"
    assert handed["updateCoachingPlan"]["plan"]["coCoaches"] == []


async def test_who_may_be_coached_and_take_part(room: Room) -> None:
    for name in ("rep", "co"):
        answer = await room.api.query(room.tokens[name], CREATE, input={"userId": room.user("peer"), "title": "x"})
        assert answer["errors"][0]["extensions"]["permission"] == "TEAM_VIEW"
    for given, code, path in (
        ({"userId": room.user("stranger"), "title": "x"}, "NOT_FOUND", "userId"),
        ({"userId": encode_id("User", new_id()), "title": "x"}, "NOT_FOUND", "userId"),
        ({"userId": room.user("coach"), "title": "x"}, "INVALID", "userId"),
        ({"userId": room.user("rep"), "title": " "}, "INVALID", "title"),
        ({"userId": room.user("rep"), "title": "x", "coCoachIds": [room.user("stranger")]}, "NOT_FOUND", "coCoachIds"),
        ({"userId": room.user("rep"), "title": "x", "coCoachIds": [room.user("rep")]}, "INVALID", "coCoachIds"),
        (
            {"userId": room.user("rep"), "title": "x", "startsOn": "2026-02-02", "endsOn": "2026-02-01"},
            "INVALID",
            "endsOn",
        ),
    ):
        errors = (await room.ask("coach", CREATE, input=given))["createCoachingPlan"]["errors"]
        assert [(one["code"], one["path"][1]) for one in errors] == [(code, path)]


async def test_a_template_begins_a_plan(room: Room) -> None:
    save = (
        "mutation($input: SaveCoachingTemplateInput!) { saveCoachingTemplate(input: $input) { template { id name } "
        "errors { code path } } }"
    )
    given = {
        "name": "New hire",
        "agenda": "Week one",
        "focus": [{"metric": "CALLS_LOGGED", "target": "40"}, {"metric": "REPLY_RATE", "target": "0.1"}],
        "items": [{"title": "Shadow a call", "dueDays": 3}],
    }
    template = (await room.ask("coach", save, input=given))["saveCoachingTemplate"]["template"]
    again = (await room.ask("boss", save, input={"name": "new HIRE"}))["saveCoachingTemplate"]
    assert again == {"template": None, "errors": [{"code": "CONFLICT", "path": ["input", "name"]}]}
    refused = await room.api.query(room.tokens["boss"], save, input={"name": "Mine", "templateId": template["id"]})
    assert refused["errors"][0]["extensions"]["permission"] == "MANAGE_TEAM"
    plan = await room.plan(
        title=None,
        templateId=template["id"],
        focus=[{"metric": "REPLY_RATE", "target": "0.2"}],
        items=[{"title": "Write an opener"}],
        startsOn="2026-03-02",
    )
    assert plan["title"] == "New hire"
    assert plan["agenda"] == "Week one"
    assert [(one["metric"], one["target"]) for one in plan["focus"]] == [("CALLS_LOGGED", "40"), ("REPLY_RATE", "0.2")]
    assert [(one["title"], one["dueOn"]) for one in plan["items"]] == [
        ("Shadow a call", "2026-03-05"),
        ("Write an opener", None),
    ]


async def test_a_session_exists_for_those_who_take_part(room: Room) -> None:
    plan = await room.plan()
    session = await room.session(agenda="Secret", planId=plan["id"])
    await room.ask("coach", NOTE, input={"sessionId": session["id"], "body": "kept", "visibility": "PRIVATE"})
    await room.ask("rep", NOTE, input={"sessionId": session["id"], "body": "told"})
    hidden = await room.api.query(room.tokens["admin"], SESSION_NODE, id=encode_id("CoachingSession", new_id()))
    change = (
        "mutation($input: UpdateCoachingSessionInput!) { updateCoachingSession(input: $input) { session { id } "
        "errors { code message path } } }"
    )
    for name in EVERYBODY:
        inside = name in ("coach", "co", "rep")
        answer = await room.api.query(room.tokens[name], SESSION_NODE, id=session["id"])
        listed = (await room.ask(name, SESSIONS, filter={"everybody": True}))["coachingSessions"]
        assert listed["totalCount"] == len(listed["nodes"]) == inside, name
        if not inside:
            assert answer == hidden | {"extensions": answer["extensions"]}, name
            changed = await room.ask(name, change, input={"sessionId": session["id"], "title": "x"})
            never = await room.ask(
                name, change, input={"sessionId": encode_id("CoachingSession", new_id()), "title": "x"}
            )
            assert changed == never
            noted = await room.ask(name, NOTE, input={"sessionId": session["id"], "body": "x"})
            assert noted["addCoachingNote"]["errors"][0]["code"] == "NOT_FOUND"
            continue
        seen = answer["data"]["node"]
        assert seen["agenda"] == "Secret"
        assert [note["body"] for note in seen["notes"]] == (["told"] if name == "rep" else ["kept", "told"])
        assert (seen["invitation"] is None) == (name == "rep")


async def test_executive_visibility_reads_and_is_written_down(room: Room) -> None:
    session = await room.session(agenda="Secret")
    await room.ask("coach", NOTE, input={"sessionId": session["id"], "body": "kept", "visibility": "PRIVATE"})
    switch = (
        "mutation($on: Boolean!) { updateTeamSettings(input: {executiveVisibility: $on}) "
        "{ settings { executiveVisibility } errors { code } } }"
    )
    refused = await room.api.query(room.tokens["coach"], switch, on=True)
    assert refused["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    assert (await room.ask("admin", switch, on=True))["updateTeamSettings"]["settings"]["executiveVisibility"]
    log = "{ auditLog(first: 20) { nodes { action actor { name } subjectId after } } }"
    assert (await room.ask("admin", SESSIONS))["coachingSessions"]["totalCount"] == 0, "only when asked for"
    listed = (await room.ask("admin", SESSIONS, filter={"everybody": True}))["coachingSessions"]
    assert [one["agenda"] for one in listed["nodes"]] == ["Secret"]
    assert listed["nodes"][0]["notes"] == []
    assert listed["nodes"][0]["invitation"] is None
    assert (await room.ask("admin", SESSION_NODE, id=session["id"]))["node"]["agenda"] == "Secret"
    entries = (await room.ask("admin", log))["auditLog"]["nodes"]
    assert [(one["action"], one["actor"]["name"]) for one in entries] == [
        ("COACHING_SESSION_READ", "admin"),
        ("COACHING_SESSION_READ", "admin"),
        ("SETTINGS_UPDATED", "admin"),
    ]
    for name in ("boss", "stranger", "peer"):
        assert (await room.ask(name, SESSIONS, filter={"everybody": True}))["coachingSessions"]["totalCount"] == 0
    record = (
        "mutation($input: RecordCoachingSessionInput!) { recordCoachingSession(input: $input) { errors { code } } }"
    )
    answer = await room.ask("admin", record, input={"sessionId": session["id"], "state": "CANCELLED"})
    assert answer["recordCoachingSession"]["errors"] == [{"code": "NOT_FOUND"}]
    await room.ask("admin", switch, on=False)
    assert (await room.ask("admin", SESSION_NODE, id=session["id"]))["node"] is None


async def test_the_life_of_a_session(room: Room) -> None:
    session = await room.session()
    update = (
        "mutation($input: UpdateCoachingSessionInput!) { updateCoachingSession(input: $input) { session { ...S } "
        "errors { code path } } }" + SESSION
    )
    record = (
        "mutation($input: RecordCoachingSessionInput!) { recordCoachingSession(input: $input) { session { ...S } "
        "errors { code path } } }" + SESSION
    )
    later = (datetime.now(UTC) + timedelta(days=3)).replace(microsecond=0).isoformat()
    moved = await room.ask("co", update, input={"sessionId": session["id"], "startsAt": later})
    assert moved["updateCoachingSession"]["session"]["state"] == "RESCHEDULED"
    assert moved["updateCoachingSession"]["session"]["rescheduledCount"] == 1
    early = await room.ask("coach", record, input={"sessionId": session["id"], "state": "HELD"})
    assert early["recordCoachingSession"]["errors"] == [{"code": "INVALID", "path": ["input", "heldAt"]}]
    refused = await room.api.query(room.tokens["rep"], record, input={"sessionId": session["id"], "state": "MISSED"})
    assert refused["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    assert await room.actions() == {
        ("coaching_session", "rep", "SCHEDULED"),
        ("coaching_session", "coach", "SCHEDULED"),
        ("coaching_reminder", "rep", "SCHEDULED"),
        ("coaching_reminder", "coach", "SCHEDULED"),
    }
    off = await room.ask("coach", record, input={"sessionId": session["id"], "state": "CANCELLED"})
    assert off["recordCoachingSession"]["session"]["state"] == "CANCELLED"
    assert {state for _kind, _name, state in await room.actions()} == {"CANCELLED"}
    back = await room.ask("coach", record, input={"sessionId": session["id"], "state": "PLANNED"})
    assert back["recordCoachingSession"]["session"]["state"] == "RESCHEDULED"
    past = (datetime.now(UTC) - timedelta(days=1)).replace(microsecond=0).isoformat()
    held = await room.ask("coach", update, input={"sessionId": session["id"], "startsAt": past})
    assert held["updateCoachingSession"]["errors"] == []
    held = await room.ask("coach", record, input={"sessionId": session["id"], "state": "HELD"})
    assert datetime.fromisoformat(held["recordCoachingSession"]["session"]["heldAt"]) == datetime.fromisoformat(past)
    again = await room.ask("coach", update, input={"sessionId": session["id"], "startsAt": later})
    assert again["updateCoachingSession"]["errors"][0]["code"] == "CONFLICT"


async def test_film_is_the_reps_and_in_sight(room: Room) -> None:
    emails = {}
    async with acquire(ALL_TEAMS) as connection:
        for row in await connection.fetch("SELECT id, email FROM users WHERE team_id = $1", room.team):
            emails[row["id"]] = row["email"]
    records = [
        {
            "kind": "call",
            "externalId": name,
            "user": emails[room.ids[name]],
            "occurredAt": "2026-03-10T12:00:00Z",
            "durationSeconds": 60,
            "connected": True,
        }
        for name in ("rep", "peer")
    ]
    await ingest.take_in(room.team, "test", [(n, decode_mapping(one)) for n, one in enumerate(records)])
    async with acquire(ALL_TEAMS) as connection:
        rows = await connection.fetch("SELECT id, external_id FROM activities WHERE team_id = $1", room.team)
    calls = {row["external_id"]: encode_id("CallActivity", row["id"]) for row in rows}
    session = await room.session()
    attach = (
        "mutation($input: SessionFilmInput!) { attachSessionFilm(input: $input) { session { film { id } } "
        "errors { code path } } }"
    )
    good = {"sessionId": session["id"], "activityIds": [calls["rep"], calls["rep"]]}
    for name in ("rep", "coach"):
        answer = (await room.ask(name, attach, input=good))["attachSessionFilm"]
        assert answer == {"session": {"film": [{"id": calls["rep"]}]}, "errors": []}
    bad = await room.ask("coach", attach, input={"sessionId": session["id"], "activityIds": [calls["peer"]]})
    assert bad["attachSessionFilm"]["errors"][0]["path"] == ["input", "activityIds", "0"]
    seen = (await room.ask("co", SESSION_NODE, id=session["id"]))["node"]
    assert seen["film"] == [], "a co-coach without TEAM_VIEW does not see the rep's calls"
    detach = attach.replace("attachSessionFilm", "detachSessionFilm")
    await room.ask("coach", detach, input={"sessionId": session["id"], "activityIds": [calls["rep"]]})
    assert (await room.ask("rep", SESSION_NODE, id=session["id"]))["node"]["film"] == []


async def test_numbers_are_for_who_may_see_them(room: Room) -> None:
    async with acquire(ALL_TEAMS) as connection:
        await connection.execute(
            "INSERT INTO team_feeds (id, team_id, feed) VALUES ($1, $2, 'calls')", new_id(), room.team
        )
        email = await connection.fetchval("SELECT email FROM users WHERE id = $1", room.ids["rep"])
    today = date.today()
    records = [
        {
            "kind": "call",
            "externalId": f"{days}",
            "user": email,
            "occurredAt": f"{today - timedelta(days=days)}T12:00:00Z",
            "durationSeconds": 60,
            "connected": True,
        }
        for days in range(1, 40)
    ]
    await ingest.take_in(room.team, "test", [(n, decode_mapping(one)) for n, one in enumerate(records)])
    start = (today - timedelta(days=7)).isoformat()
    plan = await room.plan(startsOn=start, focus=[{"metric": "CALLS_LOGGED", "target": "40"}])
    document = (
        "query($id: ID!) { node(id: $id) { ... on CoachingPlan { focus { before now comparison { reason } } } } }"
    )
    for name in ("coach", "rep", "admin", "boss"):
        focus = (await room.ask(name, document, id=plan["id"]))["node"]["focus"][0]
        assert (focus["before"], focus["now"]) == ("7", "7"), name
        assert focus["comparison"]["reason"], name
    focus = (await room.ask("co", document, id=plan["id"]))["node"]["focus"][0]
    assert focus == {"before": None, "now": None, "comparison": None}


async def test_lists_cost_a_fixed_number_of_statements(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    document = "{ coachingPlans { ...P } coachingSessions { totalCount nodes { ...S } } }" + PLAN + SESSION
    counts = []
    for size in (1, 6):
        while len((await room.ask("coach", "{ coachingPlans { id } }"))["coachingPlans"]) < size:
            plan = await room.plan(
                focus=[{"metric": "CALLS_LOGGED"}, {"metric": "REPLY_RATE"}],
                startsOn="2026-03-02",
                items=[{"title": "x"}],
            )
            await room.ask("coach", NOTE, input={"planId": plan["id"], "body": "x"})
            await room.session(planId=plan["id"])
        async with counting(monkeypatch) as statements:
            await room.ask("coach", document)
        # A connection that was last another team's is told the team first.
        counts.append(sum("set_config" not in one for one in statements))
    assert counts[0] == counts[1]
