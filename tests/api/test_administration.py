"""Administration through GraphQL.

Invariants:
A. What a manager of the team does through the API takes effect on the next request and on open streams.
B. What a rule refuses is told in the payload with the path of the input; nothing is written.
C. `members` shows who is on the team to who manages it, and nothing of what they did.
D. Tokens are listed, made and ended; a text is shown once; no credential makes a stronger one.
E. The audit log is paged by cursor, filtered, and for Admin alone.
F. `viewer.coaching` says what the design says for each combination of permissions.
"""

from __future__ import annotations

import asyncio
from itertools import chain, combinations
from typing import Any
from uuid import UUID

import pytest

from domain.database import ALL_TEAMS, acquire
from domain.ids import encode_id
from domain.models.people import Permission
from tests.api.conftest import Api
from tests.factories import make_group, make_role, make_team, make_user


class Team:
    """A team with an Admin, a clerk who manages it, and a rep."""

    async def make(self, api: Api) -> Team:
        self.api = api
        async with acquire(ALL_TEAMS) as connection:
            self.team = await make_team(connection)
            self.group = await make_group(connection, self.team, "West")
            self.admin_role = await make_role(connection, self.team, is_admin=True, name="Admin")
            self.user_role = await make_role(connection, self.team, name="User")
            self.clerk_role = await make_role(connection, self.team, "MANAGE_TEAM", name="Clerk")
            self.admin = await make_user(connection, self.team, self.admin_role, name="Ada")
            self.clerk = await make_user(connection, self.team, self.clerk_role, name="Cleo")
            self.rep = await make_user(connection, self.team, self.user_role, name="Rob")
        self.admin_token, self.clerk_token, self.rep_token = [
            await api.token(user) for user in (self.admin, self.clerk, self.rep)
        ]
        return self

    async def change(self, token: str, name: str, wanted: str, /, **given: Any) -> dict[str, Any]:
        kind = name[0].upper() + name[1:] + "Input"
        document = f"mutation($input: {kind}!) {{ {name}(input: $input) {{ {wanted} errors {{ code path }} }} }}"
        answer: dict[str, Any] = (await self.api.data(token, document, input=given))[name]
        return answer


def user_id(row_id: UUID) -> str:
    return encode_id("User", row_id)


async def test_a_person_comes_moves_and_goes(api: Api) -> None:
    team = await Team().make(api)
    made = await team.change(
        team.clerk_token,
        "inviteUser",
        "user { id name email group { name } active }",
        name="Nia",
        email="nia@new.test",
        roleId=encode_id("Role", team.user_role),
        groupId=encode_id("Group", team.group),
    )
    assert made["errors"] == []
    assert made["user"] | {"id": ""} == {
        "id": "",
        "name": "Nia",
        "email": "nia@new.test",
        "group": {"name": "West"},
        "active": True,
    }
    nia = made["user"]["id"]
    moved = await team.change(team.clerk_token, "updateUser", "user { group { name } }", userId=nia, groupId=None)
    assert moved == {"user": {"group": None}, "errors": []}
    text = await team.change(
        team.admin_token, "createToken", "text token { id scopes }", name="Phone", scopes=["READ"], userId=nia
    )
    assert text["token"]["scopes"] == ["READ"]
    assert (await api.data(text["text"], "{ viewer { user { name } } }"))["viewer"]["user"]["name"] == "Nia"
    gone = await team.change(team.clerk_token, "deactivateUser", "user { active }", userId=nia, endedOn="2026-12-24")
    assert gone == {"user": {"active": False}, "errors": []}
    response = await api.http.post(
        "/graphql", json={"query": "{ __typename }"}, headers={"authorization": f"Bearer {text['text']}"}
    )
    assert response.status_code == 401
    back = await team.change(team.clerk_token, "reactivateUser", "user { active }", userId=nia)
    assert back["user"] == {"active": True}
    log = "{ auditLog(first: 2) { totalCount nodes { action subjectId actor { name } } pageInfo { endCursor } } }"
    page = (await api.data(team.admin_token, log))["auditLog"]
    assert page["totalCount"] == 5
    assert [(one["action"], one["actor"]["name"]) for one in page["nodes"]] == [
        ("USER_REACTIVATED", "Cleo"),
        ("USER_DEACTIVATED", "Cleo"),
    ]
    assert page["nodes"][0]["subjectId"] == nia
    rest = await api.data(
        team.admin_token,
        "query($after: String) { auditLog(after: $after, filter: {actions: [USER_INVITED, USER_UPDATED]})"
        " { nodes { action before after requestId erased } } }",
        after=page["pageInfo"]["endCursor"],
    )
    updated, invited = rest["auditLog"]["nodes"]
    assert (updated["before"], updated["after"]) == ({"group_id": str(team.group)}, {"group_id": None})
    assert invited["after"]["email"] == "nia@new.test"
    assert invited["requestId"]
    assert not invited["erased"]


async def test_what_a_rule_refuses_is_in_the_payload(api: Api) -> None:
    team = await Team().make(api)
    for name, given, code, path in (
        ("updateUser", {"userId": user_id(team.rep), "name": " "}, "INVALID", "name"),
        ("updateUser", {"userId": user_id(team.rep), "name": None}, "INVALID", "name"),
        ("updateUser", {"userId": user_id(team.rep), "managerId": user_id(team.rep)}, "INVALID", "managerId"),
        ("updateUser", {"userId": user_id(team.rep), "groupId": "none"}, "NOT_FOUND", "groupId"),
        ("deactivateUser", {"userId": user_id(team.admin)}, "CONFLICT", None),
        ("removeRole", {"roleId": encode_id("Role", team.user_role)}, "CONFLICT", "roleId"),
        (
            "updateGroup",
            {"groupId": encode_id("Group", team.group), "parentId": encode_id("Group", team.group)},
            "INVALID",
            "parentId",
        ),
    ):
        wanted = {"updateUser": "user { id }", "deactivateUser": "user { id }", "removeRole": "role { id }"}
        answer = await team.change(team.admin_token, name, wanted.get(name, "group { id }"), **given)
        assert answer["errors"] == [{"code": code, "path": ["input", path] if path else ["input"]}], (name, given)
    counted = await api.data(team.admin_token, "{ auditLog { totalCount } }")
    assert counted["auditLog"]["totalCount"] == 0


async def test_a_clerk_sees_who_but_not_what(api: Api) -> None:
    team = await Team().make(api)
    document = "{ members { totalCount nodes { name role { name } activities { totalCount } goals { totalCount } } } }"
    members = (await api.data(team.clerk_token, document))["members"]
    assert members["totalCount"] == 3
    assert [node["name"] for node in members["nodes"]] == ["Ada", "Cleo", "Rob"]
    assert all(node["activities"]["totalCount"] == 0 for node in members["nodes"])
    users = await api.data(team.clerk_token, "{ users { totalCount } }")
    assert users["users"]["totalCount"] == 1, "without TEAM_VIEW only themselves"
    answer = await api.query(team.rep_token, document)
    assert answer["errors"][0]["extensions"]["permission"] == "MANAGE_TEAM"
    raised = await api.query(
        team.clerk_token,
        "mutation($i: UpdateUserInput!) { updateUser(input: $i) { user { id } } }",
        i={"userId": user_id(team.clerk), "roleId": encode_id("Role", team.admin_role)},
    )
    assert raised["errors"][0]["extensions"]["code"] == "FORBIDDEN"


async def test_tokens(api: Api) -> None:
    team = await Team().make(api)
    made = await team.change(team.rep_token, "createToken", "text token { id }", name="Mine", scopes=["READ", "WRITE"])
    token = made["token"]["id"]
    # A credential cannot outgrow itself by making another.
    stronger = await api.query(made["text"], 'mutation { createToken(input: {name: "x", scopes: [IMPORT]}) { text } }')
    assert stronger["errors"][0]["extensions"]["permission"] == "scope:IMPORT"
    names = [one["name"] for one in (await api.data(team.rep_token, "{ tokens { name } }"))["tokens"]]
    assert names == ["Mine", "test"]
    others = "query($id: ID) { tokens(userId: $id) { id } }"
    assert len((await api.data(team.clerk_token, others, id=user_id(team.rep)))["tokens"]) == 2
    hidden = await api.query(team.rep_token, others, id=user_id(team.admin))
    never = await api.query(team.rep_token, others, id="none")
    assert hidden["errors"][0]["message"] == never["errors"][0]["message"] == "No such user."
    ended = await team.change(team.clerk_token, "revokeToken", "token { revokedAt }", tokenId=token)
    assert ended["token"]["revokedAt"]
    foreign = await team.change(team.rep_token, "revokeToken", "token { id }", tokenId=encode_id("Token", team.admin))
    assert foreign["errors"][0]["code"] == "NOT_FOUND"


@pytest.mark.parametrize(
    "allowed", list(chain.from_iterable(combinations(Permission, size) for size in range(len(Permission) + 1)))
)
async def test_coaching_says_what_will_work(api: Api, allowed: tuple[Permission, ...]) -> None:
    async with acquire(ALL_TEAMS) as connection:
        team = await make_team(connection)
        user = await make_user(connection, team, await make_role(connection, team, *allowed))
    document = "{ viewer { permissions coaching { landingTab tabs canFilterByUser canFilterByGroup canManageGoals } } }"
    viewer = (await api.data(await api.token(user), document))["viewer"]
    view, live = Permission.TEAM_VIEW in allowed, Permission.LIVE_CALL_STUDIO in allowed
    tabs = ["TEAM", "INDIVIDUAL", *(["MANAGER_VIEW"] if view else []), "INDIVIDUAL_VIEW", "SCHEDULED_ACTIONS"]
    assert viewer == {
        "permissions": [permission.value for permission in Permission if permission in allowed],
        "coaching": {
            "landingTab": "TEAM" if view else "INDIVIDUAL",
            "tabs": [*tabs, *(["LIVE_CALL_STUDIO"] if view and live else [])],
            "canFilterByUser": view,
            "canFilterByGroup": view,
            "canManageGoals": Permission.MANAGE_GOALS in allowed,
        },
    }


async def test_the_last_admin_stays_even_when_two_go_at_once(api: Api) -> None:
    team = await Team().make(api)
    promoted = await team.change(
        team.admin_token,
        "updateUser",
        "user { role { name } }",
        userId=user_id(team.rep),
        roleId=encode_id("Role", team.admin_role),
    )
    assert promoted["user"]["role"]["name"] == "Admin"
    both = await asyncio.gather(
        team.change(team.admin_token, "deactivateUser", "user { active }", userId=user_id(team.admin)),
        team.change(team.rep_token, "deactivateUser", "user { active }", userId=user_id(team.rep)),
    )
    assert sorted(len(one["errors"]) for one in both) == [0, 1]
