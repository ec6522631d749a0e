"""Scores and accolades through GraphQL.

Invariants:
A. Own scores and accolades need nothing; others' need TEAM_VIEW in scope; targets and attainments need MANAGE_GOALS.
B. Definitions and rules are managed with MANAGE_TEAM; everybody knows how they are scored themselves.
C. A leaderboard, the scores of a list of reps, and their trends cost a fixed number of statements.
D. Accolades are told to their own subscribers and endpoints, and to nobody who asked for goals alone.
"""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID

import pytest

from domain import accolades, webhooks
from domain.accolade_evaluation import evaluate_accolades
from domain.accolades import GrantAccolade
from domain.database import ALL_TEAMS, acquire, in_transaction
from domain.goal_events import GoalFilter
from domain.ids import encode_id
from domain.models.base import new_id
from domain.models.scores import ScoreKind
from domain.secrets import SecretBox
from domain.webhooks import Claim, EndpointChange
from tests.api import test_streams
from tests.api.conftest import Api
from tests.api.test_dashboards import counting
from tests.conftest import TEST_KEY
from tests.domain.test_scores import FIRST, NOW, keep_definition, keep_goal, keep_rollup
from tests.factories import make_group, make_role, make_team, make_user, viewer_of
from tests.oracle.scores import Version
from tests.streams import EVENTS, socket, take

JUNE = '{from: "2026-06-01", to: "2026-06-30"}'
BOARD = f"""
query($kind: ScoreKind! = ACTIVITY, $first: Int, $after: String, $group: ID, $role: ID) {{
  scores(range: {JUNE}, kind: $kind, first: $first, after: $after, groupId: $group, roleId: $role) {{
    totalCount pageInfo {{ hasNextPage endCursor }}
    nodes {{ rank user {{ id }} score {{ value pace previous change gap workingDays
      components {{ metric weight actual target attainment counted contribution gap from to version }}
      trend(interval: MONTH) {{ start end value }} }} }}
  }}
}}"""


@pytest.fixture
def api_(api: Api) -> Api:
    """The application; the name leaves the package `api` in reach."""
    return api


class Scene:
    """A manager with a group of reps, a rep elsewhere, all scored by one role."""

    async def build(self, reps: int = 3) -> Scene:
        async with acquire(ALL_TEAMS) as connection:
            self.team_id = await make_team(connection)
            for feed in ("calls", "email"):
                await connection.execute(
                    "INSERT INTO team_feeds (id, team_id, feed) VALUES ($1, $2, $3)", new_id(), self.team_id, feed
                )
            self.admin_role = await make_role(connection, self.team_id, is_admin=True)
            self.admin = await make_user(connection, self.team_id, self.admin_role, is_rep=False)
            self.role = await make_role(connection, self.team_id)
            self.group = await make_group(connection, self.team_id, "East")
            self.west = await make_group(connection, self.team_id, "West")
            self.boss = await make_user(connection, self.team_id, self.role, group_id=self.group, is_rep=False)
            self.reps = [
                await make_user(connection, self.team_id, self.role, group_id=self.group, name=f"Rep {number}")
                for number in range(reps)
            ]
            self.far = await make_user(connection, self.team_id, self.role, group_id=self.west)
            version = Version(FIRST, None, Fraction(2), {"CALLS_LOGGED": Fraction(60), "EMAILS_SENT": Fraction(40)})
            for kind in ScoreKind:
                await keep_definition(connection, self.team_id, self.role, kind, [version])
            for number, user_id in enumerate([*self.reps, self.far]):
                for metric in ("CALLS_LOGGED", "EMAILS_SENT"):
                    await keep_goal(connection, self.team_id, user_id, metric, "MONTH", [(FIRST, None, Decimal(10))])
                await keep_rollup(
                    connection, self.team_id, user_id, date(2026, 6, 3), calls_logged=10 - number, emails_sent=5
                )
        return self

    async def become(self, *permissions: str, is_admin: bool = False) -> None:
        async with acquire(ALL_TEAMS) as connection:
            role = self.admin_role if is_admin else await make_role(connection, self.team_id, *permissions)
            await connection.execute("UPDATE users SET role_id = $2 WHERE id = $1", self.boss, role)

    async def accolade(self, user_id: UUID, title: str = "Well done") -> None:
        async with acquire(ALL_TEAMS) as connection:
            admin = await viewer_of(connection, self.admin)
        request = GrantAccolade(user_id, title, "For Jane.")
        await in_transaction(self.team_id, lambda connection: accolades.grant_by_hand(connection, admin, request, NOW))


def ids(found: dict[str, Any]) -> list[str]:
    return [node["user"]["id"] for node in found["scores"]["nodes"]]


async def test_a_leaderboard(api_: Api) -> None:
    scene = await Scene().build()
    await scene.become("TEAM_VIEW", "MANAGE_GOALS")
    token = await api_.token(scene.boss)
    found = (await api_.data(token, BOARD))["scores"]
    assert found["totalCount"] == 3
    assert [(node["rank"], node["score"]["value"]) for node in found["nodes"]] == [(1, "80"), (2, "74"), (3, "68")]
    score = found["nodes"][0]["score"]
    assert score["components"][0] == {
        "metric": "CALLS_LOGGED",
        "weight": "60",
        "actual": "10",
        "target": "10",
        "attainment": "1",
        "counted": "1",
        "contribution": "60",
        "gap": None,
        "from": "2026-06-01",
        "to": "2026-06-30",
        "version": 1,
    }
    assert (score["previous"], score["change"]) == ("0", "80")
    assert score["trend"] == [{"start": "2026-06-01", "end": "2026-06-30", "value": "80"}]
    page = (await api_.data(token, BOARD, first=2))["scores"]
    rest = (await api_.data(token, BOARD, first=2, after=page["pageInfo"]["endCursor"]))["scores"]
    assert [*page["nodes"], *rest["nodes"]] == found["nodes"]
    groups = await api_.data(
        token,
        f"{{ groupScores(range: {JUNE}, kind: ACTIVITY) {{ group {{ name }} value previous change scoredMembers"
        " trend(interval: MONTH) { value } } }",
    )
    assert groups["groupScores"] == [
        {
            "group": {"name": "East"},
            "value": "74",
            "previous": "0",
            "change": "74",
            "scoredMembers": 3,
            "trend": [{"value": "74"}],
        }
    ]


async def test_who_sees_whose_scores(api_: Api) -> None:
    scene = await Scene().build()
    mine = [encode_id("User", one) for one in scene.reps]
    rep = await api_.token(scene.reps[1])
    found = await api_.data(rep, BOARD)
    assert ids(found) == [mine[1]]
    assert len(found["scores"]["nodes"][0]["score"]["components"]) == 2
    answer = await api_.query(rep, BOARD, group=encode_id("Group", scene.group))
    assert answer["errors"][0]["extensions"]["permission"] == "TEAM_VIEW"
    assert (await api_.data(rep, f"{{ groupScores(range: {JUNE}, kind: ACTIVITY) {{ value }} }}"))["groupScores"] == []

    token = await api_.token(scene.boss)
    await scene.become("TEAM_VIEW")
    found = await api_.data(token, BOARD)
    assert ids(found) == mine
    assert [node["score"]["components"] for node in found["scores"]["nodes"]] == [None] * 3
    for variables in ({"group": encode_id("Group", scene.west)}, {"role": encode_id("Role", new_id())}):
        answer = await api_.query(token, BOARD, **variables)
        assert answer["errors"][0]["extensions"]["code"] == "NOT_FOUND"
    assert ids(await api_.data(token, BOARD, role=encode_id("Role", scene.role))) == mine
    # Goals in scope are no data in scope.
    await scene.become("MANAGE_GOALS")
    assert ids(await api_.data(token, BOARD)) == []
    await scene.become(is_admin=True)
    assert len(ids(await api_.data(token, BOARD))) == 4


async def test_scores_of_people_in_other_places(api_: Api) -> None:
    scene = await Scene().build()
    await scene.become("TEAM_VIEW", "MANAGE_GOALS")
    token = await api_.token(scene.boss)
    rep = encode_id("User", scene.reps[0])
    found = await api_.data(
        token,
        f"""query($id: ID!) {{
            node(id: $id) {{ ... on User {{ scores(range: {JUNE}, compare: PREVIOUS_PERIOD) {{ kind value previous }}
                now: scores {{ kind }} }} }}
            individualDashboard(range: {JUNE}, userId: $id) {{ scores {{ kind value }} }}
            teamDashboard(range: {JUNE}) {{ reps(first: 1, sortBy: CALLS_LOGGED) {{ nodes {{ scores {{ value previous }}
                }} }} }}
        }}""",
        id=rep,
    )
    assert found["node"]["scores"] == [
        {"kind": "ACTIVITY", "value": "80", "previous": "0"},
        {"kind": "OBJECTIVE", "value": "80", "previous": "0"},
    ]
    assert len(found["node"]["now"]) == 2
    assert [one["value"] for one in found["individualDashboard"]["scores"]] == ["80", "80"]
    assert found["teamDashboard"]["reps"]["nodes"][0]["scores"][0] == {"value": "80", "previous": "0"}
    # The manager knows of people whose goals or whose place they manage, not of their data.
    await scene.become("MANAGE_TEAM")
    found = await api_.data(token, "{ members { nodes { id scores { value } accolades { totalCount } } } }")
    others = [one for one in found["members"]["nodes"] if one["id"] != encode_id("User", scene.boss)]
    assert {json.dumps(one["scores"]) for one in others} == {"[]"}


async def test_a_fixed_number_of_statements(api_: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    documents = (
        f"""{{ scores(range: {JUNE}, kind: ACTIVITY, first: 50) {{ totalCount nodes {{ rank user {{ name }}
            score {{ value previous components {{ contribution }} trend(interval: WEEK) {{ value }} }} }} }} }}""",
        f"{{ groupScores(range: {JUNE}, kind: OBJECTIVE) {{ group {{ name }} value trend {{ value }} }} }}",
        f"{{ teamDashboard(range: {JUNE}) {{ reps(first: 50) {{ nodes {{ scores {{ value trend {{ value }} }} }} }} }}"
        " }",
        "{ accolades(first: 50) { totalCount nodes { title user { name } rule { name } grantedBy { name } } } }",
    )
    counts: dict[str, set[int]] = {document: set() for document in documents}
    for reps in (2, 9):
        scene = await Scene().build(reps)
        await scene.become(is_admin=True)
        for user_id in scene.reps:
            await scene.accolade(user_id)
        token = await api_.token(scene.boss)
        for document in documents:
            async with counting(monkeypatch) as seen:
                await api_.data(token, document)
            counts[document].add(len(seen))
    assert all(len(found) == 1 for found in counts.values()), counts.values()
    assert max(max(found) for found in counts.values()) <= 45


SET = """mutation($input: SetScoreDefinitionInput!) { setScoreDefinition(input: $input) {
    definition { id kind version cap effectiveFrom role { id } components { metric weight }
        history { version setBy { id } } }
    errors { code path message } } }"""


async def test_defining(api_: Api) -> None:
    scene = await Scene().build()
    token = await api_.token(scene.boss)
    await scene.become("TEAM_VIEW", "MANAGE_GOALS")
    role = encode_id("Role", scene.role)
    components = [{"metric": "CALLS_LOGGED", "weight": "25"}, {"metric": "EMAILS_SENT", "weight": 75}]
    given = {"roleId": role, "kind": "ACTIVITY", "components": components, "expectedVersion": 1}
    answer = await api_.query(token, SET, input=given)
    assert answer["errors"][0]["extensions"]["permission"] == "MANAGE_TEAM"
    await scene.become("MANAGE_TEAM")
    made = (await api_.data(token, SET, input=given))["setScoreDefinition"]
    assert made["errors"] == []
    assert (made["definition"]["version"], made["definition"]["cap"]) == (2, "2")
    assert made["definition"]["components"][1] == {"metric": "EMAILS_SENT", "weight": "75"}
    assert [one["version"] for one in made["definition"]["history"]] == [2, 1]
    assert made["definition"]["history"][0]["setBy"] == {"id": encode_id("User", scene.boss)}
    refused = (await api_.data(token, SET, input=given))["setScoreDefinition"]
    assert [(one["code"], one["path"]) for one in refused["errors"]] == [("CONFLICT", ["input", "expectedVersion"])]
    wrong = given | {"components": components[:1], "expectedVersion": 2}
    refused = (await api_.data(token, SET, input=wrong))["setScoreDefinition"]
    assert [(one["code"], one["path"]) for one in refused["errors"]] == [("INVALID", ["input", "components"])]
    # A rep knows how they are scored, and nothing of other roles.
    rep = await api_.token(scene.reps[0])
    found = await api_.data(rep, "{ scoreDefinitions { id kind role { id } } }")
    assert [one["role"]["id"] for one in found["scoreDefinitions"]] == [role, role]
    definition = made["definition"]["id"]
    assert (await api_.data(rep, "query($id: ID!) { node(id: $id) { id } }", id=definition))["node"]["id"] == definition
    removal = (
        "mutation($id: ID!) { removeScoreDefinition(input: {definitionId: $id}) { definition { effectiveTo }"
        " errors { code } } }"
    )
    answer = await api_.query(rep, removal, id=definition)
    assert answer["errors"][0]["extensions"]["permission"] == "MANAGE_TEAM"
    assert (await api_.data(token, removal, id=definition))["removeScoreDefinition"]["errors"] == []
    assert (await api_.data(token, removal, id="none"))["removeScoreDefinition"]["errors"] == [{"code": "NOT_FOUND"}]
    kinds = await api_.data(rep, "{ scoreDefinitions { kind } all: scoreDefinitions(includeEnded: true) { kind } }")
    assert [len(kinds["scoreDefinitions"]), len(kinds["all"])] == [1, 2]
    async with acquire(ALL_TEAMS) as connection:
        other = await make_role(connection, scene.team_id)
        loner = await make_user(connection, scene.team_id, other, group_id=scene.west)
    lonely = await api_.token(loner)
    assert (await api_.data(lonely, "{ scoreDefinitions(includeEnded: true) { id } }"))["scoreDefinitions"] == []
    assert (await api_.data(lonely, "query($id: ID!) { node(id: $id) { id } }", id=definition))["node"] is None


RULE = """mutation($input: SetAccoladeRuleInput!) { setAccoladeRule(input: $input) {
    rule { id name kind metric period levels countsFrom version } errors { code path } } }"""
ACCOLADES = (
    "{ accolades { totalCount nodes { id title message milestone level value achievedOn user { id } rule { name }"
    " grantedBy { id } } } }"
)


async def test_accolades(api_: Api) -> None:
    scene = await Scene().build()
    token = await api_.token(scene.boss)
    given = {
        "name": "Calls",
        "kind": "TOTAL",
        "metric": "CALLS_LOGGED",
        "levels": ["9", 10],
        "countsFrom": "2026-01-01",
    }
    await scene.become("TEAM_VIEW")
    answer = await api_.query(token, RULE, input=given)
    assert answer["errors"][0]["extensions"]["permission"] == "MANAGE_TEAM"
    await scene.become("TEAM_VIEW", "MANAGE_TEAM")
    made = (await api_.data(token, RULE, input=given))["setAccoladeRule"]
    assert made["rule"]["levels"] == ["9", "10"]
    assert (await api_.data(token, RULE, input=given))["setAccoladeRule"]["errors"] == [
        {"code": "CONFLICT", "path": ["input", "name"]}
    ]
    await in_transaction(scene.team_id, lambda connection: evaluate_accolades(connection, scene.team_id, NOW))
    grant = """mutation($user: ID!, $key: String) { grantAccolade(input: {userId: $user, title: "Thanks",
        message: "Well", idempotencyKey: $key}) { accolade { id grantedBy { id } } errors { code path } } }"""
    for _ in range(2):
        by_hand = (await api_.data(token, grant, user=encode_id("User", scene.reps[2]), key="k"))["grantAccolade"]
    assert by_hand["accolade"]["grantedBy"] == {"id": encode_id("User", scene.boss)}
    for user_id in (scene.far, new_id()):
        refused = (await api_.data(token, grant, user=encode_id("User", user_id)))["grantAccolade"]
        assert refused["errors"] == [{"code": "NOT_FOUND", "path": ["input", "userId"]}]
    found = (await api_.data(token, ACCOLADES))["accolades"]
    assert found["totalCount"] == 4
    # The far one's is hidden; a rep sees their own.
    rep = await api_.token(scene.reps[0])
    mine = (await api_.data(rep, ACCOLADES))["accolades"]
    assert sorted(one["milestone"] for one in mine["nodes"]) == ["10", "9"]
    assert mine["nodes"][0]["rule"] == {"name": "Calls"}
    hidden = next(one for one in found["nodes"] if one["user"]["id"] == encode_id("User", scene.reps[2]))["id"]
    node = "query($id: ID!) { node(id: $id) { id } }"
    assert (await api_.data(rep, node, id=hidden))["node"] is None
    assert (await api_.data(token, node, id=hidden))["node"] == {"id": hidden}
    assert (await api_.data(rep, node, id=made["rule"]["id"]))["node"] is not None
    revoke = (
        "mutation($id: ID!) { revokeAccolade(input: {accoladeId: $id}) { accolade { revokedAt } errors { code } } }"
    )
    assert (await api_.data(rep, revoke, id=hidden))["revokeAccolade"]["errors"] == [{"code": "NOT_FOUND"}]
    answer = await api_.query(rep, revoke, id=mine["nodes"][0]["id"])
    assert answer["errors"][0]["extensions"]["permission"] == "MANAGE_TEAM"
    assert (await api_.data(token, revoke, id=hidden))["revokeAccolade"]["accolade"]["revokedAt"] is not None
    assert (await api_.data(token, ACCOLADES))["accolades"]["totalCount"] == 3
    seen = await api_.data(token, "{ accolades(filter: {includeRevoked: true}) { totalCount } accoladeRules { name } }")
    assert seen == {"accolades": {"totalCount": 4}, "accoladeRules": [{"name": "Calls"}]}


served = test_streams.served
ACCOLADE_EVENTS = (
    "subscription($after: String) { accoladeEvents(after: $after) { cursor type at actor { id }"
    " accolade { title message user { id } } } }"
)


async def test_accolades_are_told_to_who_asks_for_them(served: test_streams.Served) -> None:
    team = await served.team()
    token = await team.token(team.manager.user_id)

    async def grant(user_id: UUID, title: str) -> None:
        request = GrantAccolade(user_id, title)
        await in_transaction(
            team.team_id, lambda connection: accolades.grant_by_hand(connection, team.admin, request, NOW)
        )

    await team.set()
    (begin,) = await team.cursors()
    await grant(team.reps[0], "One")
    async with socket(served.url, token) as client:
        goals = await client.subscribe(EVENTS, after=begin)
        told = await client.subscribe(ACCOLADE_EVENTS, after=begin)
        (first,) = await take(told, 1)
        assert first["accoladeEvents"]["type"] == "ACCOLADE_GRANTED"
        assert first["accoladeEvents"]["accolade"]["title"] == "One"
        assert first["accoladeEvents"]["actor"] is None  # the admin is out of the manager's sight
        await grant(team.far, "Hidden")
        await team.set()
        await grant(team.reps[1], "Two")
        await team.set()
        (second,) = await take(told, 1)
        assert second["accoladeEvents"]["accolade"] == {
            "title": "Two",
            "message": None,
            "user": {"id": encode_id("User", team.reps[1])},
        }
        # Who asked for goals alone is told of goals alone, in order.
        found = await take(goals, 2)
        assert [one["goalEvents"]["type"] for one in found] == ["GOAL_UPDATED", "GOAL_UPDATED"]
        rest = await client.subscribe(ACCOLADE_EVENTS, after=first["accoladeEvents"]["cursor"])
        assert (await take(rest, 1))[0]["accoladeEvents"] == second["accoladeEvents"]


async def test_endpoints_are_sent_accolades_if_they_ask(api_: Api) -> None:
    scene = await Scene().build()
    box = SecretBox([TEST_KEY])
    await scene.become("TEAM_VIEW", "MANAGE_TEAM", "MANAGE_GOALS")
    token = await api_.token(scene.boss)
    create = """mutation($also: Boolean) {
        createWebhookEndpoint(input: {url: "https://example.com/x", accolades: $also}) {
            endpoint { id accolades } errors { code } } }"""
    made = [(await api_.data(token, create, also=also))["createWebhookEndpoint"] for also in (True, None)]
    assert [one["endpoint"]["accolades"] for one in made] == [True, False]
    await scene.accolade(scene.reps[0])
    await scene.accolade(scene.far)
    sent: list[list[Any]] = []
    async with acquire(ALL_TEAMS) as connection:
        boss = await viewer_of(connection, scene.boss)
        narrow = EndpointChange("https://example.com/y", accolades=True, goals=GoalFilter(user_ids=(scene.reps[1],)))
        await webhooks.create_endpoint(connection, boss, box, narrow, private_allowed=False)
        await connection.execute("UPDATE webhook_endpoints SET position = 0 WHERE team_id = $1", scene.team_id)
        for endpoint in await webhooks.list_endpoints(connection, boss):
            page = await webhooks.next_events(connection, Claim(endpoint, "test"), 10)
            sent.append([None if one.body is None else json.loads(one.body) for one in page])
    (told, hidden), nothing, narrowed = sent
    assert (hidden, nothing, narrowed) == (None, [None, None], [None, None])
    assert told["type"] == "ACCOLADE_GRANTED"
    assert told["data"]["accolade"]["title"] == "Well done"
    assert told["data"]["accolade"]["grantedBy"] is None
    assert told["data"]["user"] == encode_id("User", scene.reps[0])
    update = """mutation($id: ID!) { updateWebhookEndpoint(input: {endpointId: $id, accolades: false})
        { endpoint { accolades } errors { code } } }"""
    changed = await api_.data(token, update, id=made[0]["endpoint"]["id"])
    assert changed["updateWebhookEndpoint"]["endpoint"] == {"accolades": False}
