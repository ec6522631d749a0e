"""Who gets which answer from each field and each argument, over every role and relation, against tests/api/matrix.txt.

The fields are found by introspection: a field, an argument with an id, or a type that is new fails here until its rule
stands in the matrix. `WRITE_MATRIX=1 pytest tests/api/test_matrix.py` writes it anew; what changes is to be
read like code.

A line of a node's field: a character for each relation. `v` a value, `-` null, `0` an empty list, `x` null beside
FORBIDDEN, `.` the object does not exist for the viewer.
A line of an argument: `v` taken, `x` FORBIDDEN, `.` as for an id never issued.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from graphql import (
    GraphQLInputObjectType,
    GraphQLObjectType,
    get_named_type,
    is_leaf_type,
    is_required_argument,
)

from api.schema.root import schema
from domain import ingest
from domain.database import ALL_TEAMS, acquire
from domain.ids import encode_id
from domain.models.base import new_id
from domain.models.people import Permission
from domain.records import decode_mapping
from tests.api.conftest import Api
from tests.factories import make_group, make_role, make_team, make_user

FILE = Path(__file__).with_name("matrix.txt")
WRITE = "WRITE_MATRIX"
RELATIONS = "me same below above branch report loose gone stranger".split()
ROLES = ["none", *(permission.value for permission in Permission), "everything", "admin"]
RECORDS: dict[str, dict[str, Any]] = {
    "EmailActivity": {
        "kind": "email",
        "subject": "s",
        "body": "b",
        "cadence": "c",
        "repliedAt": "2026-03-11T12:00:00Z",
    },
    "CallActivity": {"kind": "call", "durationSeconds": 9, "connected": True, "disposition": "d", "sentiment": "s"},
    "MeetingActivity": {
        "kind": "meeting",
        "startsAt": "2026-03-11T12:00:00Z",
        "endsAt": "2026-03-11T13:00:00Z",
        "status": "held",
        "title": "t",
    },
    "ConversationActivity": {
        "kind": "conversation",
        "durationSeconds": 60,
        "talkRatio": "0.5",
        "longestMonologueSeconds": 3,
        "questionsAsked": 2,
        "patienceSeconds": "1.5",
    },
    "CadenceStepActivity": {"kind": "cadence_step", "cadence": "c", "step": 1, "status": "completed"},
    "OpportunityActivity": {
        "kind": "opportunity",
        "name": "n",
        "stage": "s",
        "amount": "10",
        "currency": "USD",
        "createdOn": "2026-03-01",
        "closedOn": "2026-03-09",
        "won": True,
    },
    "TaskActivity": {"kind": "task", "completedAt": "2026-03-11T12:00:00Z", "title": "t"},
}
RANGE = '{from: "2026-03-01", to: "2026-03-31"}'
USER_ARGUMENTS = {
    "Query.activities(filter.userId)": "query($id: ID!) { activities(filter: {userId: $id}) { totalCount } }",
    "Query.individualDashboard(userId)": f"query($id: ID!) {{ individualDashboard(range: {RANGE}, userId: $id)"
    " { user { id } } }",
    "Query.goals(filter.userIds)": "query($id: ID!) { goals(filter: {userIds: [$id]}) { totalCount } }",
    "Query.tokens(userId)": "query($id: ID) { tokens(userId: $id) { id } }",
    "Query.auditLog(filter.userId)": "query($id: ID!) { auditLog(filter: {userId: $id}) { totalCount } }",
    "Query.auditLog(filter.actorId)": "query($id: ID!) { auditLog(filter: {actorId: $id}) { totalCount } }",
    "Query.node(id)": "query($id: ID!) { node(id: $id) { id } }",
    "Query.nodes(ids)": "query($id: ID!) { nodes(ids: [$id]) { id } }",
    "Mutation.updateUser(input.userId)": "mutation($id: ID!) { updateUser(input: {userId: $id}) { errors { code } } }",
    "Mutation.reactivateUser(input.userId)": "mutation($id: ID!) { reactivateUser(input: {userId: $id})"
    " { errors { code } } }",
    "Mutation.setGoals(input.userIds)": "mutation($id: ID!) { setGoals(input: {metric: CALLS_LOGGED, period: WEEK,"
    ' target: "5", userIds: [$id]}) { errors { code } } }',
    "Mutation.addDaysOff(input.userId)": 'mutation($id: ID!) { addDaysOff(input: {userId: $id, from: "2026-03-01",'
    ' to: "2026-03-01"}) { errors { code } } }',
}
GROUP_ARGUMENTS = {
    "Query.activities(filter.groupId)": "query($id: ID!) { activities(filter: {groupId: $id}) { totalCount } }",
    "Query.users(filter.groupId)": "query($id: ID!) { users(filter: {groupId: $id}) { totalCount } }",
    "Query.teamDashboard(groupId)": f"query($id: ID!) {{ teamDashboard(range: {RANGE}, groupId: $id) {{ from }} }}",
    "Query.individuals(groupId)": f"query($id: ID!) {{ individuals(range: {RANGE}, groupId: $id) {{ totalCount }} }}",
    "Query.goals(filter.groupIds)": "query($id: ID!) { goals(filter: {groupIds: [$id]}) { totalCount } }",
    "Query.members(filter.groupId)": "query($id: ID!) { members(filter: {groupId: $id}) { totalCount } }",
    "Mutation.updateGroup(input.groupId)": "mutation($id: ID!) { updateGroup(input: {groupId: $id})"
    " { errors { code } } }",
    "Mutation.setGoals(input.groupIds)": "mutation($id: ID!) { setGoals(input: {metric: CALLS_LOGGED, period: WEEK,"
    ' target: "5", groupIds: [$id]}) { errors { code } } }',
}
ELSEWHERE = {
    "Mutation.deactivateUser(input.userId)": "the same rule as updateUser; tests/domain/test_administration.py",
    "Mutation.eraseUser(input.userId)": "Admin, not oneself; tests/domain/test_erasure.py",
    "Mutation.inviteUser(input.groupId)": "MANAGE_TEAM; tests/domain/test_administration.py",
    "Mutation.inviteUser(input.managerId)": "MANAGE_TEAM; tests/domain/test_administration.py",
    "Mutation.inviteUser(input.roleId)": "MANAGE_TEAM and the role's own; tests/domain/test_administration.py",
    "Mutation.updateUser(input.groupId)": "MANAGE_TEAM; tests/domain/test_administration.py",
    "Mutation.updateUser(input.managerId)": "MANAGE_TEAM; tests/domain/test_administration.py",
    "Mutation.updateUser(input.roleId)": "MANAGE_TEAM and the role's own; tests/domain/test_administration.py",
    "Mutation.createGroup(input.parentId)": "MANAGE_TEAM; tests/domain/test_administration.py",
    "Mutation.updateGroup(input.parentId)": "MANAGE_TEAM; tests/domain/test_administration.py",
    "Mutation.removeGroup(input.groupId)": "MANAGE_TEAM; tests/domain/test_administration.py",
    "Mutation.updateRole(input.roleId)": "MANAGE_TEAM and the role's own; tests/domain/test_administration.py",
    "Mutation.removeRole(input.roleId)": "MANAGE_TEAM and the role's own; tests/domain/test_administration.py",
    "Mutation.createToken(input.userId)": "oneself or Admin; tests/api/test_administration.py",
    "Mutation.revokeToken(input.tokenId)": "oneself or MANAGE_TEAM; tests/api/test_administration.py",
    "Mutation.removeGoals(input.goalIds)": "as the goal's subject; tests/api/test_goals.py",
    "Mutation.setGoals(input.expectedVersions.subjectId)": "names a subject of the same input",
    "Mutation.removeDaysOff(input.daysOffId)": "as the person's goals; tests/domain/test_goals.py",
    "Mutation.retryQuarantined(input.importId)": "MANAGE_TEAM; tests/api/test_permissions.py",
    "Query.job(id)": "who asked for it, and MANAGE_TEAM; tests/api/test_permissions.py",
    "Subscription.jobProgress(jobId)": "as job; tests/api/test_streams.py",
    "Subscription.goalEvents(filter.userIds)": "narrows what is in sight; tests/api/test_streams.py",
    "Subscription.goalEvents(filter.groupIds)": "narrows what is in sight; tests/api/test_streams.py",
    "Subscription.metricsUpdated(groupId)": "as teamDashboard; tests/api/test_streams.py",
    "User.activities(filter.userId)": "narrows what is in sight",
    "User.activities(filter.groupId)": "as Query.activities",
    **{
        f"Mutation.{name}WebhookEndpoint(input.{field})": "MANAGE_TEAM; tests/api/test_webhooks.py"
        for name in ("create", "update", "delete", "replay", "test", "pause", "resume")
        for field in ("endpointId", "filter.userIds", "filter.groupIds")
    },
    **{
        f"Mutation.{verb}Integration(input.integrationId)": "one's own; the team's with MANAGE_TEAM;"
        " tests/api/test_integrations.py"
        for verb in ("authorize", "update", "disconnect", "sync")
    },
    "Mutation.previewFieldMapping(input.integrationId)": "MANAGE_TEAM; tests/api/test_integrations.py",
    "Mutation.setFieldMapping(input.integrationId)": "MANAGE_TEAM; tests/api/test_integrations.py",
    "Mutation.cancelJob(input.jobId)": "as job; tests/api/test_integrations.py",
    "Mutation.rotateWebhookSecret(input.endpointId)": "MANAGE_TEAM; tests/api/test_webhooks.py",
}


class World:
    """A team with somebody in each relation to the viewer, each with one of everything; with groups or without."""

    def __init__(self, *, grouped: bool) -> None:
        self.grouped = grouped
        self.nodes: dict[str, dict[str, str]] = {}
        self.users: dict[str, UUID] = {}
        self.groups: dict[str, UUID] = {}

    async def build(self) -> World:
        async with acquire(ALL_TEAMS) as connection:
            self.team = await make_team(connection)
            other_team = await make_team(connection)
            role, other_role = await make_role(connection, self.team), await make_role(connection, other_team)
            above = await self._group(connection, "above", None)
            mine = await self._group(connection, "me", above)
            if mine is not None:
                self.groups["same"] = mine
            below = await self._group(connection, "below", mine)
            branch = await self._group(connection, "branch", None)
            me = self.viewer = await make_user(connection, self.team, role, group_id=mine)
            places: dict[str, dict[str, Any]] = {
                "same": {"group_id": mine},
                "below": {"group_id": below},
                "above": {"group_id": above},
                "branch": {"group_id": branch},
                "report": {"group_id": branch, "manager_id": me},
                "loose": {},
                "gone": {"group_id": mine, "active": False},
            }
            self.users["me"] = me
            for name, place in places.items():
                self.users[name] = await make_user(connection, self.team, role, **place)
            await connection.execute("UPDATE users SET manager_id = $2 WHERE id = $1", me, self.users["above"])
            self.users["stranger"] = await make_user(connection, other_team, other_role)
            if self.grouped:
                self.groups["stranger"] = await make_group(connection, other_team, "stranger")
            for relation, user_id in self.users.items():
                await self._goal(connection, relation, user_id)
                await self._calendar(connection, relation, user_id)
        for relation, user_id in self.users.items():
            team = other_team if relation == "stranger" else self.team
            await self._activities(team, relation, user_id)
        return self

    async def _group(self, connection: Any, name: str, parent: UUID | None) -> UUID | None:
        if not self.grouped:
            return None
        self.groups[name] = await make_group(connection, self.team, name, parent)
        return self.groups[name]

    async def _calendar(self, connection: Any, relation: str, user_id: UUID) -> None:
        """A calendar that somebody has connected: nobody's business but theirs."""
        row_id = new_id()
        await connection.execute(
            "INSERT INTO integrations (id, team_id, kind, name, owner_id, state, interval_minutes) "
            "SELECT $1, team_id, 'caldav', 'Calendar', id, 'ACTIVE', 15 FROM users WHERE id = $2",
            row_id,
            user_id,
        )
        self.nodes.setdefault("Integration", {})[relation] = encode_id("Integration", row_id)

    async def _goal(self, connection: Any, relation: str, user_id: UUID) -> None:
        goal_id = new_id()
        team = await connection.fetchval("SELECT team_id FROM users WHERE id = $1", user_id)
        await connection.execute(
            "INSERT INTO goals (id, team_id, user_id, metric, period) VALUES ($1, $2, $3, 'EMAILS_SENT', 'WEEK')",
            goal_id,
            team,
            user_id,
        )
        await connection.execute(
            "INSERT INTO goal_versions (id, team_id, goal_id, version, target, effective_from, set_by_id) "
            "VALUES ($1, $2, $3, 1, 5, '2026-01-01', $4)",
            new_id(),
            team,
            goal_id,
            user_id,
        )
        self.nodes.setdefault("Goal", {})[relation] = encode_id("Goal", goal_id)

    async def _activities(self, team: UUID, relation: str, user_id: UUID) -> None:
        async with acquire(ALL_TEAMS) as connection:
            email = await connection.fetchval("SELECT email FROM users WHERE id = $1", user_id)
        records = [
            {**record, "externalId": f"{relation} {name}", "user": email, "occurredAt": "2026-03-10T12:00:00Z"}
            for name, record in RECORDS.items()
        ]
        outcome = await ingest.take_in(team, "test", [(n, decode_mapping(one)) for n, one in enumerate(records)])
        assert outcome.accepted == len(records), outcome.errors
        async with acquire(ALL_TEAMS) as connection:
            rows = await connection.fetch("SELECT id, external_id FROM activities WHERE user_id = $1", user_id)
        for row in rows:
            name = row["external_id"].removeprefix(f"{relation} ")
            self.nodes.setdefault(name, {})[relation] = encode_id(name, row["id"])
        self.nodes.setdefault("User", {})[relation] = encode_id("User", user_id)
        if relation in self.groups:
            self.nodes.setdefault("Group", {})[relation] = encode_id("Group", self.groups[relation])

    async def become(self, role: str) -> None:
        allowed = {"none": [], "everything": list(Permission), "admin": []}.get(role, [role])
        async with acquire(ALL_TEAMS) as connection:
            known = await connection.fetchval("SELECT id FROM roles WHERE team_id = $1 AND name = $2", self.team, role)
            role_id = known or await make_role(connection, self.team, *allowed, is_admin=role == "admin", name=role)
            await connection.execute("UPDATE users SET role_id = $2 WHERE id = $1", self.viewer, role_id)


def _selection(made: GraphQLObjectType) -> dict[str, str]:
    """Every field of a type that needs no argument, with what to ask of it."""
    found = {}
    for name, field in made.fields.items():
        named = get_named_type(field.type)
        arguments = ""
        if any(is_required_argument(argument) for argument in field.args.values()):
            arguments = '(from: "2026-03-01", to: "2026-03-02")'
            assert set(field.args) == {"from", "to"}, f"{made}.{name}: say in the test how to ask for it"
        below = (
            "" if is_leaf_type(named) else " { totalCount }" if str(named).endswith("Connection") else " { __typename }"
        )
        found[name] = f"{name}{arguments}{below}"
    return found


def _outcome(data: Any, name: str, forbidden: set[str]) -> str:
    if data is None:
        return "."
    if name in forbidden:
        return "x"
    value = data[name]
    if value in ([], {"totalCount": 0}):
        return "0"
    return "-" if value is None else "v"


async def _node_lines(api: Api, token: str, world: World, role: str) -> list[str]:
    lines = []
    for type_name, ids in sorted(world.nodes.items()):
        made = schema._schema.type_map[type_name]
        assert isinstance(made, GraphQLObjectType)
        fields = _selection(made)
        document = f"query($id: ID!) {{ node(id: $id) {{ ... on {type_name} {{ {' '.join(fields.values())} }} }} }}"
        outcomes: dict[str, str] = dict.fromkeys(fields, "")
        for relation in RELATIONS:
            if relation not in ids:
                outcomes = {name: shown + " " for name, shown in outcomes.items()}
                continue
            answer = await api.query(token, document, id=ids[relation])
            errors = answer.get("errors", [])
            assert all(error["extensions"]["code"] == "FORBIDDEN" for error in errors), errors
            forbidden = {error["path"][1] for error in errors}
            data = answer["data"]["node"]
            for name in fields:
                outcomes[name] += _outcome(data, name, forbidden)
        lines += [f"{type_name}.{name} | {_place(world)} | {role} | {shown}" for name, shown in outcomes.items()]
    return lines


def _place(world: World) -> str:
    return "groups" if world.grouped else "no groups"


async def _argument_lines(api: Api, token: str, world: World, role: str) -> list[str]:
    lines = []
    for documents, rows, type_name in (
        (USER_ARGUMENTS, world.users, "User"),
        (GROUP_ARGUMENTS, world.groups, "Group"),
    ):
        for argument, document in documents.items():
            never = await api.query(token, document, id=encode_id(type_name, new_id()))
            shown = ""
            for relation in RELATIONS:
                if relation not in rows:
                    shown += " "
                    continue
                answer = await api.query(token, document, id=encode_id(type_name, rows[relation]))
                shown += _taken(answer, never)
            lines.append(f"{argument} | {_place(world)} | {role} | {shown}")
    return lines


def _taken(answer: dict[str, Any], never: dict[str, Any]) -> str:
    if any(error["extensions"]["code"] == "FORBIDDEN" for error in answer.get("errors", [])):
        return "x"
    return "." if _told(answer) == _told(never) else "v"


def _told(answer: dict[str, Any]) -> Any:
    errors = [error | {"extensions": error["extensions"] | {"requestId": ""}} for error in answer.get("errors", [])]
    return answer.get("data"), errors


def _held_lines() -> list[str]:
    """The fields of types that are no nodes of their own: seen by who sees what holds them."""
    graphql = schema._schema
    reached = {*RECORDS, "User", "Group", "Goal", "Integration"}
    lines = []
    for name, made in sorted(graphql.type_map.items()):
        if isinstance(made, GraphQLObjectType) and not name.startswith("__") and name not in reached:
            lines += [f"{name}.{field} | as what holds it" for field in made.fields]
    return lines


@pytest.mark.timeout(240)
async def test_every_field_and_argument_answers_as_the_matrix_says(api: Api) -> None:
    lines = _held_lines()
    for grouped in (True, False):
        for role in ROLES:
            # A world of its own for each role: the mutations among the arguments leave nothing for the next.
            world = await World(grouped=grouped).build()
            await world.become(role)
            token = await api.token(world.viewer)
            lines += await _node_lines(api, token, world, role)
            lines += await _argument_lines(api, token, world, role)
    found = f"# {' '.join(RELATIONS)}\n" + "\n".join(sorted(lines)) + "\n"
    if os.environ.get(WRITE):
        FILE.write_text(found)
    known, now = FILE.read_text().splitlines(), found.splitlines()
    differences = [f"- {line}" for line in known if line not in set(now)]
    differences += [f"+ {line}" for line in now if line not in set(known)]
    assert not differences, "\n".join(differences[:40])


def _id_arguments() -> set[str]:
    """Every argument of the schema that takes an id, with its way through the inputs."""
    graphql = schema._schema
    found: set[str] = set()

    def walk(named: Any, path: str, seen: tuple[str, ...]) -> None:
        if isinstance(named, GraphQLInputObjectType):
            for name, field in named.fields.items():
                if named.name not in seen:
                    walk(get_named_type(field.type), f"{path}.{name}", (*seen, named.name))
        elif named.name == "ID":
            found.add(path + ")")

    for type_name, made in graphql.type_map.items():
        if isinstance(made, GraphQLObjectType) and not type_name.startswith("__"):
            for field_name, field in made.fields.items():
                for name, argument in field.args.items():
                    walk(get_named_type(argument.type), f"{type_name}.{field_name}({name}", ())
    return found


def test_every_argument_with_an_id_has_its_rule() -> None:
    stated = {*USER_ARGUMENTS, *GROUP_ARGUMENTS, *ELSEWHERE}
    assert _id_arguments() - stated == set(), "state the rule of these arguments"
