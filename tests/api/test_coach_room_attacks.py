"""The coach's room under attack: film, plans, sessions, scores, actions over GraphQL, as somebody who means ill asks.

Invariants:
A. What a viewer may not see of a shared list answers as what never was: in mutations, counts, cursors and filters.
B. A calibration stays blind: nobody leaves it to score beside it.
C. Text, times and numbers that no column holds are refused by name, and are nobody's fault on our side.
D. A session of others does not show, neither by its place in a list nor by its time.
E. Nobody has somebody else's rights used for them: what sets goals with its maker's rights is started and moved by its
   maker, or by an Admin.
F. What hangs on many rows costs a fixed number of statements, however many they are.
"""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from graphql import GraphQLInterfaceType, GraphQLObjectType, build_schema, get_named_type, is_non_null_type

from domain.database import ALL_TEAMS, acquire
from domain.ids import decode_any_id, encode_id
from domain.paging import encode_cursor
from tests.api.conftest import Api
from tests.api.test_actions import Scene
from tests.api.test_dashboards import counting
from tests.api.test_film import SAVE, SUBMIT, TEMPLATE, comment, gid, of, scene, score
from tests.api.test_plans import Room
from tests.domain.film_team import FilmTeam

ITEMS = """query($after: String) { playlists { nodes { items(after: $after) {
    totalCount nodes { id } pageInfo { endCursor } } } } }"""
REMOVE_ITEM = """mutation($id: ID!) { removePlaylistItem(input: {itemId: $id}) { errors { code message path } } }"""
UPDATE_ITEM = """mutation($id: ID!) { updatePlaylistItem(input: {itemId: $id}) { errors { code message path } } }"""
MARK = """mutation($ids: [ID!]) { markMentions(input: {mentionIds: $ids}) { changed errors { code } } }"""


def error_codes(answer: dict[str, Any]) -> list[str]:
    return [one["extensions"]["code"] for one in answer.get("errors", [])]


def without_ids(answer: dict[str, Any]) -> Any:
    """An answer without what tells requests apart."""
    return [
        {**one, "extensions": {name: value for name, value in one["extensions"].items() if name != "requestId"}}
        for one in answer.get("errors", [])
    ], answer["data"]


async def shared_playlist(api: Api, team: FilmTeam) -> str:
    """A playlist of the manager's for all, with two examples of the rep, which the other branch may not see."""
    manager = await api.token(team.users["manager"])
    made = await api.data(
        manager,
        'mutation { createPlaylist(input: {name: "Openings", audience: TEAM}) { playlist { id } errors { message } } }',
    )
    playlist: str = made["createPlaylist"]["playlist"]["id"]
    for name in ("conversation", "call"):
        added = await api.data(
            manager,
            """mutation($input: AddPlaylistItemInput!) { addPlaylistItem(input: $input) { errors { message } } }""",
            input={"playlistId": playlist, "activityId": await gid(team, name)},
        )
        assert added["addPlaylistItem"]["errors"] == []
    return playlist


@pytest.mark.parametrize("document", [REMOVE_ITEM, UPDATE_ITEM])
async def test_a_hidden_example_answers_as_one_that_never_was(api: Api, document: str) -> None:
    team = await scene()
    await shared_playlist(api, team)
    manager, other, rep = [await api.token(team.users[name]) for name in ("manager", "other", "rep")]
    hidden = (await api.data(manager, ITEMS))["playlists"]["nodes"][0]["items"]["nodes"][0]["id"]
    assert (await api.data(other, ITEMS))["playlists"]["nodes"][0]["items"]["totalCount"] == 0
    unknown = without_ids(await api.query(other, document, id=encode_id("PlaylistItem", uuid4())))
    assert without_ids(await api.query(other, document, id=hidden)) == unknown
    # Who sees the example is told whose business it is.
    assert error_codes(await api.query(rep, document, id=hidden)) == ["FORBIDDEN"]


async def test_a_cursor_at_a_hidden_example_tells_nothing(api: Api) -> None:
    team = await scene()
    await shared_playlist(api, team)
    rival, manager = [await api.token(team.users[name]) for name in ("rival", "manager")]
    hidden = [row["id"] for row in await team.fetch("SELECT id FROM playlist_items WHERE team_id = $1 ORDER BY id")]
    await team.take({"kind": "call", "externalId": "theirs", "durationSeconds": 60}, user="rival")
    async with acquire(ALL_TEAMS) as connection:
        await connection.execute(
            "INSERT INTO films (id, team_id, user_id) VALUES ($1, $2, $3)",
            await team.activity("theirs"),
            team.team_id,
            team.users["rival"],
        )
        await connection.execute(
            """INSERT INTO playlist_items (id, team_id, playlist_id, activity_id, user_id, position)
            SELECT $1, team_id, id, $2, $3, 999999 FROM playlists WHERE team_id = $4""",
            uuid4(),
            await team.activity("theirs"),
            team.users["rival"],
            team.team_id,
        )
    for place in (*hidden, uuid4()):
        found = await api.query(rival, ITEMS, after=encode_cursor("playlist items", str(place)))
        assert error_codes(found) == ["INVALID"], place
    first = (await api.data(manager, ITEMS))["playlists"]["nodes"][0]["items"]["nodes"]
    after = encode_cursor("playlist items", str(hidden[0]))
    assert (await api.data(manager, ITEMS, after=after))["playlists"]["nodes"][0]["items"]["nodes"] == first[1:]


async def test_a_mention_out_of_sight_is_no_mention(api: Api) -> None:
    team = await scene()
    lead, rep = [await api.token(team.users[name]) for name in ("lead", "rep")]
    made = await comment(api, rep, await gid(team), mentionIds=[of(team, "lead")])
    assert made["errors"] == []
    mention = (await api.data(lead, "{ mentions { nodes { id } } }"))["mentions"]["nodes"][0]["id"]
    async with acquire(ALL_TEAMS) as connection:
        await connection.execute(
            "UPDATE users SET group_id = $2 WHERE id = $1", team.users["lead"], team.groups["branch"]
        )
    assert (await api.data(lead, "{ mentions { totalCount } }"))["mentions"]["totalCount"] == 0
    for ids in ([mention], None):
        assert (await api.data(lead, MARK, ids=ids))["markMentions"] == {"changed": 0, "errors": []}


async def test_nobody_leaves_a_calibration_to_score_beside_it(api: Api) -> None:
    team = await scene()
    tokens = {name: await api.token(team.users[name]) for name in ("manager", "lead", "rep", "admin")}
    template = (await api.data(tokens["manager"], TEMPLATE))["createScorecardTemplate"]["template"]["id"]
    started = await api.data(
        tokens["manager"],
        """mutation($input: StartCalibrationInput!) { startCalibration(input: $input) {
            calibration { id } errors { message } } }""",
        input={
            "activityId": await gid(team),
            "templateId": template,
            "scorerIds": [of(team, "manager"), of(team, "lead")],
        },
    )
    calibration = started["startCalibration"]["calibration"]["id"]
    drafts = (await api.data(tokens["lead"], "{ scorecards { nodes { id } } }"))["scorecards"]["nodes"]
    await api.data(
        tokens["lead"],
        "mutation($id: ID!) { removeScorecard(input: {scorecardId: $id}) { errors { code } } }",
        id=drafts[0]["id"],
    )
    for name, step in (("lead", 2), ("manager", 4)):
        given = [{"question": "opening", "scale": step}, {"question": "agenda", "yes": False}]
        saved = await api.data(
            tokens[name], SAVE, input={"activityId": await gid(team), "templateId": template, "answers": given}
        )
        card = saved["saveScorecard"]["scorecard"]["id"]
        assert (await api.data(tokens[name], SUBMIT, id=card))["submitScorecard"]["errors"] == []
        if name == "lead":
            for who in ("manager", "rep", "admin"):
                listed = "{ scorecards(filter: {states: [SUBMITTED]}) { totalCount } }"
                assert (await api.data(tokens[who], listed))["scorecards"]["totalCount"] == 0, who
    found = await api.data(
        tokens["rep"], "query($id: ID!) { node(id: $id) { ... on Calibration { state } } }", id=calibration
    )
    assert found["node"]["state"] == "CLOSED"


@pytest.mark.parametrize("text", ["\0", "a\0b", "a\n\0"])
@pytest.mark.parametrize("connection", ["playlists", "users"])
async def test_a_text_that_nothing_holds_in_an_export(api: Api, connection: str, text: str) -> None:
    team = await scene()
    token = await api.token(team.users["manager"])
    arguments = {"search": text} if connection == "playlists" else {"filter": {"search": text}}
    response = await api.http.post(
        f"/export/{connection}",
        json={"format": "csv", **arguments},
        headers={"authorization": f"Bearer {token}"},
    )
    assert (response.status_code, response.json()["errors"][0]["extensions"]["code"]) == (400, "INVALID")
    assert response.json()["errors"][0]["extensions"]["input"][-1] == "search"
    asked = await api.query(
        token,
        """mutation($input: ExportConnectionInput!) { exportConnection(input: $input) { errors { code path } } }""",
        input={"connection": connection, "format": "CSV", "arguments": arguments},
    )
    if "errors" in asked:
        assert error_codes(asked) == ["INVALID"]
    else:
        assert [one["code"] for one in asked["data"]["exportConnection"]["errors"]] == ["INVALID"]


@pytest.mark.parametrize("first", ["0001-01-01T00:00", "9999-12-31T23:59:59"])
@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/New_York"])
async def test_a_series_at_the_ends_of_the_calendar(api: Api, first: str, zone: str) -> None:
    room = await Room().build(api)
    answer = await api.data(
        room.tokens["coach"],
        """mutation($input: CreateCoachingSeriesInput!) { createCoachingSeries(input: $input) {
            series { id } errors { code path } } }""",
        input={"userId": room.user("rep"), "firstStart": first, "rule": "FREQ=WEEKLY", "timezone": zone},
    )
    errors = answer["createCoachingSeries"]["errors"]
    assert [one["code"] for one in errors] == ["INVALID"]
    assert errors[0]["path"][0] == "input"


@pytest.mark.parametrize("email", ["a@x.test\r\nB: c", "a b@x.test", "a@x.test\n", "a\u2028@x.test", "a@x.test\x07"])
async def test_an_address_that_no_letter_could_go_to(api: Api, email: str) -> None:
    """One guest's would keep a whole invitation from everybody."""
    room = await Room().build(api)
    async with acquire(ALL_TEAMS) as connection:
        role = await connection.fetchval("SELECT role_id FROM users WHERE id = $1", room.ids["rep"])
    answer = await api.query(
        room.tokens["admin"],
        """mutation($input: InviteUserInput!) { inviteUser(input: $input) { user { id } errors { code path } } }""",
        input={"email": email, "name": "Guest", "roleId": encode_id("Role", role)},
    )
    assert error_codes(answer) == []
    assert answer["data"]["inviteUser"] == {
        "user": None,
        "errors": [{"code": "INVALID", "path": ["input", "email"]}],
    }


async def test_a_draft_does_not_show_by_a_filter(api: Api) -> None:
    room = await Room().build(api)
    plan = await room.plan(draft=True)
    session = await room.session(planId=plan["id"])
    count = "query($plan: ID!) { coachingSessions(filter: {planId: $plan}) { totalCount nodes { id } } }"
    found = await room.ask("coach", count, plan=plan["id"])
    assert [one["id"] for one in found["coachingSessions"]["nodes"]] == [session["id"]]
    hidden = await room.ask("rep", count, plan=plan["id"])
    assert hidden == await room.ask("rep", count, plan=encode_id("CoachingPlan", uuid4()))
    begin = """mutation($id: ID!) { updateCoachingPlan(input: {planId: $id, status: ACTIVE}) { errors { code } } }"""
    assert (await room.ask("coach", begin, id=plan["id"]))["updateCoachingPlan"]["errors"] == []
    assert (await room.ask("rep", count, plan=plan["id"]))["coachingSessions"]["totalCount"] == 1


async def test_a_session_with_a_coach_out_of_sight_leaves_no_trace(api: Api) -> None:
    room = await Room().build(api)
    view = """{ managerView(range: {named: THIS_MONTH}, notCoachedDays: 1) {
        notCoachedCount notCoached { user { name } lastCoachedAt } managers { manager { name } sessionsHeld } } }"""
    before = await room.ask("coach", view)
    for days in (0, 3):
        at = datetime.now(UTC).replace(microsecond=0) - timedelta(days=days, minutes=1)
        made = await room.ask(
            "admin",
            """mutation($input: PlanCoachingSessionInput!) { planCoachingSession(input: $input) { session { id } } }""",
            input={"userId": room.user("rep"), "startsAt": at.isoformat()},
        )
        held = await room.ask(
            "admin",
            """mutation($id: ID!) { recordCoachingSession(input: {sessionId: $id, state: HELD}) {
                errors { code message } } }""",
            id=made["planCoachingSession"]["session"]["id"],
        )
        assert held["recordCoachingSession"]["errors"] == []
        assert await room.ask("coach", view) == before
    assert await room.ask("admin", view) != before


async def test_a_name_for_templates_is_given_once_whoever_comes_at_once(api: Api) -> None:
    room = await Room().build(api)
    save = """mutation { saveCoachingTemplate(input: {name: "Ramp"}) { template { id } errors { code path } } }"""
    async with acquire(ALL_TEAMS) as first, acquire(ALL_TEAMS) as watcher:
        async with first.transaction():
            await first.execute(
                "INSERT INTO coaching_templates (id, team_id, name, focus, items, created_by_id) "
                "VALUES ($1, $2, 'ramp', '[]', '[]', $3)",
                uuid4(),
                room.team,
                room.ids["boss"],
            )
            second = asyncio.ensure_future(api.query(room.tokens["coach"], save))
            # The second has looked for the name, found it free, and waits for what becomes of the first.
            mine = await first.fetchval("SELECT pg_backend_pid()")
            while not await watcher.fetchval(
                "SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE $1 = ANY (pg_blocking_pids(pid)))", mine
            ):
                assert not second.done(), second.result()
                await asyncio.sleep(0.01)
        answer = await second
    assert error_codes(answer) == []
    assert answer["data"]["saveCoachingTemplate"] == {
        "template": None,
        "errors": [{"code": "CONFLICT", "path": ["input", "name"]}],
    }


@pytest.mark.parametrize(("one", "other"), [("ΟΔΟΣ", "οδοσ"), ("İstanbul", "istanbul"), ("STRASSE", "strasse")])
async def test_a_name_for_rules_is_the_same_to_us_and_to_the_database(api: Api, one: str, other: str) -> None:
    room = await Room().build(api)
    save = """mutation($name: String!) { setAccoladeRule(input: {name: $name, kind: FIRST, metric: EMAILS_SENT}) {
        rule { name } errors { code path } } }"""
    assert (await room.ask("admin", save, name=one))["setAccoladeRule"]["errors"] == []
    answer = await api.query(room.tokens["admin"], save, name=other)
    assert error_codes(answer) == []
    assert [one["code"] for one in answer["data"]["setAccoladeRule"]["errors"]] in ([], ["CONFLICT"])


async def test_nobody_sets_goals_with_the_rights_of_an_admin(api: Api) -> None:
    scene = await Scene().open()
    tokens = {name: await api.token(user) for name, user in scene.viewers.items()}
    due = (datetime.now(UTC) + timedelta(days=30)).isoformat()
    made = await api.data(
        tokens["admin"],
        """mutation($input: CreateScheduledActionInput!) { createScheduledAction(input: $input) {
            actions { id } errors { message } } }""",
        input={
            "kind": "GOAL_ROLLOVER",
            "dueAt": due,
            "rollOver": {
                "metric": "EMAILS_SENT",
                "period": "MONTH",
                "growth": "2",
                "userIds": [encode_id("User", scene.stranger)],
            },
        },
    )
    action = made["createScheduledAction"]["actions"][0]["id"]

    async def change(who: str, name: str, **more: Any) -> list[str]:
        assert SCHEMA.mutation_type is not None
        kind = SCHEMA.mutation_type.fields[name].args["input"].type
        answer = await api.query(
            tokens[who],
            f"mutation($input: {kind}) {{ {name}(input: $input) {{ errors {{ code }} }} }}",
            input={"ids": [action], **more},
        )
        payload = (answer["data"] or {}).get(name) or {"errors": []}
        return error_codes(answer) + [one["code"] for one in payload["errors"]]

    # The Admin is in this manager's group: the action is in sight, the stranger's goals are not.
    for name, more in (
        ("runScheduledActionsNow", {}),
        ("rescheduleScheduledActions", {"dueAt": due, "recurrence": "FREQ=DAILY"}),
        ("resumeScheduledActions", {}),
        ("snoozeScheduledActions", {"until": due}),
    ):
        assert await change("goals", name, **more) == ["FORBIDDEN"], name
    assert await change("goals", "pauseScheduledActions") == []
    for name, more in (("resumeScheduledActions", {}), ("rescheduleScheduledActions", {"dueAt": due})):
        assert await change("admin", name, **more) == [], name
    assert await change("goals", "cancelScheduledActions") == []


@pytest.mark.parametrize(
    "document",
    [
        """{ individualView { activities(first: 50) { nodes { comments(first: 1) { totalCount nodes { body
            answers { body } mentions { name } author { name } } pageInfo { hasNextPage } } } } } }""",
        """{ individualView { activities(first: 50) { nodes { scorecards { totalCount nodes { score } } } } } }""",
        """{ playlists { nodes { items { totalCount nodes { note activity { id } } } } } }""",
    ],
)
async def test_what_hangs_on_many_rows(api: Api, document: str, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = []
    for more in (0, 9):
        team = await scene(more=more)
        token = await api.token(team.users["rep"])
        for number in range(more + 1):
            made = await api.data(
                token,
                "mutation($name: String!) { createPlaylist(input: {name: $name}) { playlist { id } } }",
                name=f"Playlist {number}",
            )
            playlist = made["createPlaylist"]["playlist"]["id"]
            name = "conversation" if number == 0 else f"v{number - 1}"
            await api.data(
                token,
                """mutation($input: AddPlaylistItemInput!) { addPlaylistItem(input: $input) { errors { message } } }""",
                input={"playlistId": playlist, "activityId": await gid(team, name), "note": name},
            )
            for text in ("first", "second"):
                assert (await comment(api, token, await gid(team, name), body=text))["errors"] == []
        first = await api.data(token, document)
        async with counting(monkeypatch) as seen:
            assert await api.data(token, document) == first
        # A connection that served another team before is told of this one.
        counts.append(len([statement for statement in seen if "set_config" not in statement]))
        if "playlists" in first:
            found = [one["items"] for one in first["playlists"]["nodes"]]
            assert [one["totalCount"] for one in found] == [1] * (more + 1)
            assert {one["nodes"][0]["note"] for one in found} == {
                "conversation",
                *(f"v{number}" for number in range(more)),
            }
        elif "comments" in document:
            found = [one["comments"] for one in first["individualView"]["activities"]["nodes"]]
            told = [one for one in found if one["totalCount"]]
            assert len(told) == more + 1
            assert all(one["totalCount"] == 2 and one["pageInfo"]["hasNextPage"] for one in told)
            assert all([each["body"] for each in one["nodes"]] == ["first"] for one in told)
    assert counts[0] == counts[1]


SCHEMA = build_schema((Path(__file__).parents[2] / "api/schema/schema.graphql").read_text())
FILLED = {
    "RangeInput!": '{from: "2026-01-01", to: "2026-12-31"}',
    "ScoreKind!": "ACTIVITY",
    "Int!": "20",
    "Boolean!": "true",
}
ROOTS = (
    "accolades activities calibrations coachingOpportunities coachingPlans coachingPrograms coachingSeries "
    "coachingSessions coachingTemplates exports feedbackRequests groupScores individualView liveCalls managerView "
    "mentions playlists reportSnapshots scheduledActions scorecardTemplates scorecards scores users"
).split()
CHANGING = re.compile(r'"(requestId|lastUsedAt)":"[^"]*"')
"""What is another one in every answer."""


def arguments_of(arguments: dict[str, Any]) -> str | None:
    """What a field needs, filled in; None where that cannot be made up."""
    needed = {name: str(one.type) for name, one in arguments.items() if is_non_null_type(one.type)}
    if any(kind not in FILLED for kind in needed.values()):
        return None
    given = [f"{name}: {FILLED[kind]}" for name, kind in needed.items()]
    given += ["first: 20"] if "first" in arguments and "first" not in needed else []
    return f"({', '.join(given)})" if given else ""


def everything_of(kind: Any, depth: int) -> str:
    """All fields of a type, and all of theirs, so many levels down."""
    kind = get_named_type(kind)
    if not isinstance(kind, GraphQLObjectType | GraphQLInterfaceType):
        return "{ __typename }"
    parts = ["__typename"]
    for name, field in kind.fields.items():
        inner, given = get_named_type(field.type), arguments_of(field.args)
        if given is None:
            continue
        if not hasattr(inner, "fields") and not hasattr(inner, "types"):
            parts.append(name + given)
        elif depth > 0:
            parts.append(f"{name}{given} {everything_of(inner, depth - 1)}")
    return f"{{ {' '.join(parts)} }}"


async def told(api: Api, token: str, document: str, **variables: Any) -> str:
    response = await api.http.post(
        "/graphql",
        json={"query": document, "variables": variables},
        headers={"authorization": f"Bearer {token}"},
    )
    assert "INTERNAL" not in response.text
    assert "LIMIT_EXCEEDED" not in response.text, document[:80]
    return CHANGING.sub("", response.text)


async def all_that_is_told(api: Api, token: str, ids: list[str]) -> dict[str, str]:
    """Every list of the room, and some of its objects."""
    assert SCHEMA.query_type is not None
    found = {}
    for root in ROOTS:
        field = SCHEMA.query_type.fields[root]
        given = arguments_of(field.args)
        assert given is not None, root
        found[root] = await told(api, token, f"{{ {root}{given} {everything_of(field.type, 2)} }}")
    for one in ids:
        found[one] = await node(api, token, one)
    return found


async def node(api: Api, token: str, global_id: str) -> str:
    decoded = decode_any_id(global_id)
    assert decoded is not None
    kind = SCHEMA.type_map[decoded[0]]
    document = f"query($id: ID!) {{ node(id: $id) {{ ... on {decoded[0]} {everything_of(kind, 1)} }} }}"
    return await told(api, token, document, id=global_id)


class Hidden:
    """What others do that a lead of the rep's group, and a peer in it, may not know of. Each text is a secret."""

    def __init__(self, api: Api, team: FilmTeam, tokens: dict[str, str]) -> None:
        self.api, self.team, self.tokens = api, team, tokens
        self.ids: list[str] = []

    async def do(self, who: str, name: str, kept: str | None = None, /, **given: Any) -> Any:
        """A mutation; what it makes is kept among the ids."""
        assert SCHEMA.mutation_type is not None
        field = SCHEMA.mutation_type.fields[name]
        document = (
            f"mutation($input: {field.args['input'].type}) {{ {name}(input: $input) "
            f"{{ {f'{kept} {{ id }}' if kept else ''} errors {{ message }} }} }}"
        )
        made = (await self.api.data(self.tokens[who], document, input=given))[name]
        assert made["errors"] == [], (name, made)
        rows = [] if kept is None else made[kept] if isinstance(made[kept], list) else [made[kept]]
        self.ids += [row["id"] for row in rows]
        return rows[0]["id"] if rows else None

    async def happen(self, plan: str, template: str, playlist: str) -> None:
        """All of it."""
        far = encode_id("ConversationActivity", await self.team.activity("far"))
        near, rep, other = await gid(self.team), of(self.team, "rep"), of(self.team, "other")
        past = (datetime.now(UTC) - timedelta(hours=3)).isoformat()
        soon = (datetime.now(UTC) + timedelta(days=2)).isoformat()
        for whose, film in ((rep, near), (other, far)):
            for at in (past, soon):
                session = await self.do(
                    "admin",
                    "planCoachingSession",
                    "session",
                    userId=whose,
                    startsAt=at,
                    title="secret",
                    agenda="secret",
                )
                for visibility in ("PRIVATE", "SHARED"):
                    await self.do("admin", "addCoachingNote", sessionId=session, body="secret", visibility=visibility)
                await self.do("admin", "attachSessionFilm", sessionId=session, activityIds=[film])
                if at == past:
                    await self.do("admin", "recordCoachingSession", sessionId=session, state="HELD")
        series = {"firstStart": "2026-12-01T09:00", "rule": "FREQ=WEEKLY", "title": "secret"}
        await self.do("admin", "createCoachingSeries", "series", userId=rep, **series)
        await self.do("admin", "createCoachingPlan", "plan", userId=rep, title="secret", draft=True)
        for visibility in ("PRIVATE", "SHARED"):
            await self.do("manager", "addCoachingNote", planId=plan, body="secret", visibility=visibility)
        await self.do("admin", "addComment", "comment", activityId=far, body="secret", mentionIds=[other])
        answers = [{"question": "opening", "scale": 4}, {"question": "agenda", "yes": True}]
        for film, submitted in ((far, True), (near, False)):
            draft = {"activityId": film, "templateId": template, "answers": answers, "note": "secret"}
            card = await self.do("admin", "saveScorecard", "scorecard", **draft)
            if submitted:
                await self.do("admin", "submitScorecard", scorecardId=card)
        await self.do(
            "rival",
            "startCalibration",
            "calibration",
            activityId=far,
            templateId=await self.other_template(),
            scorerIds=[of(self.team, "admin"), of(self.team, "rival")],
        )
        await self.do("admin", "addPlaylistItem", playlistId=playlist, activityId=far, note="secret")
        private = await self.do("admin", "createPlaylist", "playlist", name="secret", audience="PRIVATE")
        await self.do("admin", "addPlaylistItem", playlistId=private, activityId=near, note="secret")
        await self.do(
            "rep", "requestFeedback", "requests", activityId=near, askedIds=[of(self.team, "manager")], message="secret"
        )
        for whose in (other, of(self.team, "admin")):
            action = {"kind": "GOAL_REMINDER", "dueAt": soon, "title": "secret", "userIds": [whose]}
            await self.do("admin", "createScheduledAction", "actions", **action)
        await self.do("admin", "grantAccolade", "accolade", userId=other, title="secret")
        await self.do("admin", "exportConnection", "export", connection="users", format="CSV")

    async def other_template(self) -> str:
        rows = await self.team.fetch("SELECT id FROM scorecard_templates WHERE team_id = $1 ORDER BY id")
        return encode_id("ScorecardTemplate", rows[-1]["id"])


@pytest.mark.parametrize("who", ["lead", "peer", "boss"])
async def test_what_is_hidden_leaves_no_trace(api: Api, who: str) -> None:
    team = await scene()
    await team.take({"kind": "conversation", "externalId": "far", "durationSeconds": 300}, user="other")
    tokens = {name: await api.token(user) for name, user in team.users.items()}
    hidden = Hidden(api, team, tokens)
    template = (await api.data(tokens["manager"], TEMPLATE))["createScorecardTemplate"]["template"]["id"]
    await api.data(tokens["manager"], TEMPLATE.replace("Discovery", "Rounds"))
    await score(api, tokens["manager"], template, await gid(team))
    plan = await hidden.do(
        "manager", "createCoachingPlan", "plan", userId=of(team, "rep"), title="Open", agenda="secret"
    )
    playlist = await hidden.do("admin", "createPlaylist", "playlist", name="Shared", audience="TEAM")
    known = [await gid(team), plan, playlist, template, *(of(team, name) for name in team.users)]
    before = await all_that_is_told(api, tokens[who], known)
    hidden.ids.clear()
    await hidden.happen(plan, template, playlist)
    assert await all_that_is_told(api, tokens[who], known) == before
    assert not any("secret" in text for text in before.values())
    for one in hidden.ids:
        decoded = decode_any_id(one)
        assert decoded is not None
        assert await node(api, tokens[who], one) == await node(api, tokens[who], encode_id(decoded[0], uuid4()))
