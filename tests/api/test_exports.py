"""Connections as files over HTTP, and files that a worker makes.

Invariants:
A. Every connection of the schema can be exported, or stands among those that cannot, with a reason.
B. For each role an export holds what the connection's pages hold, row for row and field for field, and nothing else;
   what the connection refuses, the export refuses with the same code.
C. What is wrong before the first byte is a typed answer; after it the message has no end, and NDJSON says why.
D. A token that ends, a role that changes end a stream between two pages. Who goes away stops the statement.
E. An export is paid for by its rows, waits for a spent budget, and is carried a few at a time.
F. A file is downloaded whole or by range, by whoever asked for it, while their rights stand.
"""

from __future__ import annotations

import asyncio
import csv
import gzip
import io
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import httpx
import pytest
import uvicorn
from graphql import GraphQLInterfaceType, GraphQLObjectType, get_named_type

from api import exports as api_exports
from api.app import create_app
from api.schema.root import schema
from domain import calibrations, comments, feedback, playlists, scorecard_templates, scorecards
from domain.actions import NewAction, put_action
from domain.calibrations import NewRound
from domain.comments import NewComment
from domain.database import ALL_TEAMS, acquire, in_transaction
from domain.exports import files
from domain.exports.activities import TYPE_NAMES
from domain.exports.registry import EXPORTABLES, NOT_EXPORTED
from domain.exports.source import Exportable
from domain.feedback import NewRequest
from domain.ids import decode_any_id, encode_id
from domain.metrics import METRICS
from domain.models import PlaylistAudience
from domain.models.base import new_id
from domain.playlists import ItemContent, PlaylistContent
from domain.scorecard_rules import Answer, Question, QuestionKind
from domain.scorecards import CardDraft
from domain.settings import Settings
from domain.tokens import create_token, revoke_token
from domain.workdays import WorkRules
from tests.api.conftest import Api, settings_for
from tests.api.test_matrix import ROLES, World
from tests.factories import make_role, make_team, make_user, viewer_of
from workers.exports import Exporter
from workers.jobs import run_claimed
from workers.main import JobWorker

RANGE = {"from": "2026-03-01", "to": "2026-03-31"}


def connections_of_the_schema() -> set[str]:
    """Every field that answers with a page of a list; of what an interface says, the interface's."""
    return {
        f"{name}.{field}"
        for name, made in schema._schema.type_map.items()
        if isinstance(made, GraphQLObjectType | GraphQLInterfaceType) and not name.startswith("__")
        for field, definition in made.fields.items()
        if "pageInfo" in getattr(get_named_type(definition.type), "fields", {})
        and not any(field in one.fields for one in made.interfaces)
    }


def test_no_connection_is_forgotten() -> None:
    exported = {one.coordinate for one in EXPORTABLES.values() if one.coordinate is not None}
    found = connections_of_the_schema()
    assert found - exported - set(NOT_EXPORTED) == set(), "register these in domain/exports/registry.py"
    assert exported - found == set(), "the schema has no such field any more"
    assert not exported & set(NOT_EXPORTED)
    assert all(NOT_EXPORTED.values())


# The oracle: the connection's own pages.

OF_KIND = {
    "EmailActivity": "subject body bounced openCount repliedAt cadence",
    "CallActivity": "durationSeconds connected disposition sentiment",
    "MeetingActivity": "title startsAt endsAt status rescheduledCount",
    "ConversationActivity": "durationSeconds talkRatio longestMonologueSeconds questionsAsked patienceSeconds",
    "CadenceStepActivity": "cadence step status",
    "OpportunityActivity": "name stage amount currency createdOn closedOn won",
    "TaskActivity": "title completedAt",
}
USER = "id name email active erased isRep dealsAccess group { id name } manager { id name email } role { id name }"
INDIVIDUAL = "rank user { id name email } metrics { metric value previous change changeRatio goal attainment }"
SELECTIONS: Mapping[str, str] = {
    "users": USER,
    "members": USER,
    "groups": "id name parent { id name }",
    "activities": "id __typename occurredAt source externalId user { id name email } "
    + " ".join(
        f"... on {kind} {{ {' '.join(f'{kind}_{name}: {name}' for name in names.split())} }}"
        for kind, names in OF_KIND.items()
    ),
    "goals": "id subject { __typename ... on User { id name } ... on Group { id name } ... on Team { id name } } "
    "metric period target effectiveFrom effectiveTo version derived setBy { id name } progress { periodStart periodEnd "
    "actual target attainment expectedByNow pace forecast status }",
    "individuals": INDIVIDUAL,
    "teamDashboard.reps": INDIVIDUAL,
    "auditLog": "position at action actor { id name email } subjectType subjectId requestId address before after "
    "erased hash",
    "scheduledActions": "id kind title user { id name email } createdBy { id name email } dueAt plannedAt "
    "recurrence timezone catchUp state paused occurrence attempts lastError source cadence person range createdAt "
    "endedAt",
    "reportSnapshots": "id title from to reader { id name email } createdAt expiresAt",
    "liveCalls": "id user { id name email } state direction counterpart startedAt answeredAt endedAt endReason "
    "listening joined { user { name } mode joinedAt leftAt }",
    "accolades": "id user { id name email } title message milestone level value firstDay achievedOn grantedAt "
    "revokedAt revokedReason rule { id name } grantedBy { id name email } revokedBy { id name email }",
    "scores": "rank user { id name email } score { kind from to value pace previous change gap workingDays }",
    "scorecards": "id state relation template { id name } version activity { id __typename occurredAt } "
    "rep { id name } scorer { id name } score note answers { question { key } scale yes text remark } revision "
    "createdAt submittedAt",
    "calibrations": "id state template { id name } version activity { id __typename occurredAt } organizer { id name } "
    "dueOn createdAt closedAt",
    "playlists": "id name description audience owner { id name } group { id name } createdAt",
    "feedbackRequests": "id rep { id name } asked { id name } activity { id __typename occurredAt } message dueOn "
    "state reason createdAt closedAt",
    "mentions": "id createdAt readAt comment { id body atSeconds createdAt }",
    "coachingSessions": "id title agenda user { id name email } coach { id name email } coCoaches { id name } startsAt "
    "endsAt durationMinutes state heldAt rescheduledCount occurrenceAt version",
}
ASKED: Mapping[str, tuple[dict[str, Any], str]] = {
    "users": ({"orderBy": "EMAIL"}, "users(first: 25, after: $after, orderBy: EMAIL)"),
    "members": ({}, "members(first: 25, after: $after)"),
    "groups": ({}, "groups(first: 25, after: $after)"),
    "activities": ({}, "activities(first: 25, after: $after)"),
    "goals": ({"filter": {"includeEnded": True}}, "goals(first: 25, after: $after, filter: {includeEnded: true})"),
    "individuals": (
        {"range": RANGE, "sortBy": "EMAILS_SENT"},
        'individuals(first: 25, after: $after, range: {from: "2026-03-01", to: "2026-03-31"}, sortBy: EMAILS_SENT)',
    ),
    "teamDashboard.reps": (
        {"range": RANGE, "descending": False},
        'teamDashboard(range: {from: "2026-03-01", to: "2026-03-31"}) '
        "{ reps(first: 25, after: $after, descending: false)",
    ),
    "scheduledActions": (
        {"filter": {"states": ["SCHEDULED"]}},
        "scheduledActions(first: 25, after: $after, filter: {states: [SCHEDULED]})",
    ),
    "reportSnapshots": ({}, "reportSnapshots(first: 25, after: $after)"),
    "liveCalls": ({"filter": {"withEnded": True}}, "liveCalls(first: 25, after: $after, filter: {withEnded: true})"),
    "accolades": (
        {"filter": {"achievedFrom": "2026-01-01"}},
        'accolades(first: 25, after: $after, filter: {achievedFrom: "2026-01-01"})',
    ),
    "scores": (
        {"range": RANGE, "kind": "ACTIVITY"},
        'scores(first: 25, after: $after, range: {from: "2026-03-01", to: "2026-03-31"}, kind: ACTIVITY)',
    ),
    "scorecards": ({}, "scorecards(first: 25, after: $after)"),
    "calibrations": ({}, "calibrations(first: 25, after: $after)"),
    "playlists": ({}, "playlists(first: 25, after: $after)"),
    "feedbackRequests": ({}, "feedbackRequests(first: 25, after: $after)"),
    "mentions": ({}, "mentions(first: 25, after: $after)"),
    "coachingSessions": ({}, "coachingSessions(first: 25, after: $after)"),
    "auditLog": (
        {"filter": {"actions": ["USER_UPDATED"]}},
        "auditLog(first: 25, after: $after, filter: {actions: [USER_UPDATED]})",
    ),
}


async def pages(api: Api, token: str, name: str) -> list[dict[str, Any]] | str:
    """The nodes of all pages, as rows; or the code that the connection answers with."""
    _arguments, field = ASKED[name]
    nested = name == "teamDashboard.reps"
    document = (
        f"query($after: String) {{ {field} {{ nodes {{ {SELECTIONS[name]} }} pageInfo {{ endCursor hasNextPage }} }}"
        f"{' }' if nested else ''} }}"
    )
    found, after = [], None
    while True:
        answer = await api.query(token, document, after=after)
        refused = {tuple(error["path"]): error["extensions"]["code"] for error in answer.get("errors", [])}
        if answer["data"] is None:
            return str(next(iter(refused.values())))
        page = answer["data"]["teamDashboard"]["reps"] if nested else answer["data"][name]
        for number, node in enumerate(page["nodes"]):
            forbidden = {path[3] for path in refused if path[:3] == (name, "nodes", number)}
            found.append(as_row(name, node, forbidden))
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            return found


def as_row(name: str, node: dict[str, Any], forbidden: set[str]) -> dict[str, Any]:
    """A node as an export has it."""
    if "metrics" in node:
        return node | {
            "metrics": {
                one["metric"]: {part: value for part, value in one.items() if part != "metric"}
                for one in node["metrics"]
            }
        }
    if name == "activities":
        prefix = f"{node['__typename']}_"
        row = {key.removeprefix(prefix): value for key, value in node.items()}
        if "body" in row:
            row["bodyForbidden"] = f"{prefix}body" in forbidden
        return row
    return node


async def furnish(world: World) -> None:
    """An action, a call, an accolade and a session of everybody of the team."""
    async with acquire(ALL_TEAMS) as connection:
        rows = iter(range(10_000))

        async def insert(table: str, **columns: Any) -> UUID:
            made = columns.setdefault("id", new_id())
            places = ", ".join(f"${number}" for number in range(1, len(columns) + 1))
            await connection.execute(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})", *columns.values())
            return made  # type: ignore[no-any-return]

        dialer = await insert("dialers", team_id=world.team, name="Dialer", secret=b"x")
        for relation, user_id in world.users.items():
            if relation == "stranger":
                continue
            number, at = next(rows), datetime(2026, 3, 10, 12, tzinfo=UTC)
            await put_action(
                connection,
                world.team,
                NewAction(
                    f"{relation}",
                    "digest",
                    f"@{relation}",
                    datetime(2027, 1, 1, tzinfo=UTC),
                    user_id,
                    world.users["same"],
                ),
            )
            call = await insert(
                "live_calls",
                team_id=world.team,
                dialer_id=dialer,
                external_id=relation,
                user_id=user_id,
                state="ENDED",
                direction="OUTBOUND",
                counterpart="+1 555",
                started_at=at,
                ended_at=at,
                leased_until=at,
                facts="{}",
            )
            await insert(
                "live_call_participants",
                team_id=world.team,
                call_id=call,
                user_id=world.users["same"],
                mode="LISTEN",
                state="LEFT",
                requested_at=at,
                left_at=at,
            )
            await insert(
                "accolades",
                team_id=world.team,
                user_id=user_id,
                title="=First",
                level=Decimal("-1.50"),
                achieved_on=date(2026, 3, number + 1),
                granted_by_id=world.users["below"],
            )
            await insert(
                "coaching_sessions",
                team_id=world.team,
                user_id=user_id,
                coach_id=world.users["loose"] if relation in ("me", "above") else world.viewer,
                title="Session",
                starts_at=at,
                duration_minutes=30,
            )


async def furnish_film(world: World) -> None:
    """Somebody of rank has said something of everybody's calls; the viewer asks a colleague about one of their own."""
    async with acquire(ALL_TEAMS) as connection:
        role = await make_role(connection, world.team, is_admin=True, name="admin")
        boss = await viewer_of(connection, await make_user(connection, world.team, role, name="Boss"))
        second = await make_user(connection, world.team, role, name="Second")
        me = await viewer_of(connection, world.viewer)
    calls = {
        relation: found[1]
        for relation, given in world.nodes["CallActivity"].items()
        if relation != "stranger" and (found := decode_any_id(given)) is not None
    }
    now = datetime.now(UTC)

    async def work(connection: Any) -> None:
        questions = [Question("calm", "Calm?", QuestionKind.SCALE, 5), Question("said", "Said?", QuestionKind.TEXT)]
        template = await scorecard_templates.create_template(connection, boss, "Calls", None, questions)
        shelf = await playlists.create_playlist(
            connection, boss, PlaylistContent("Good ones", "=1", PlaylistAudience.TEAM, None)
        )
        for relation, call in calls.items():
            mention = (world.viewer,) if relation == "me" else ()
            await comments.add_comment(connection, boss, NewComment(call, f"-{relation}", 3, None, mention))
            answers = (Answer("calm", scale=4), Answer("said", text="@x"))
            card = await scorecards.save_card(connection, boss, CardDraft(call, template.id, answers), now=now)
            await scorecards.submit_card(connection, boss, card.id, expected_revision=None, now=now)
            await playlists.add_item(connection, boss, shelf.id, call, ItemContent(1, 5, "Listen"))
        other = await scorecard_templates.create_template(connection, boss, "Rounds", None, questions)
        await calibrations.start(connection, boss, NewRound(calls["same"], other.id, (boss.user_id, second)))
        await feedback.ask(
            connection, me, NewRequest(calls["me"], (world.users["same"],), "How was I?"), today=now.date()
        )

    await in_transaction(world.team, work)


def flat(row: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in row.items():
        if isinstance(value, dict) and name not in ("before", "after", "joined", "coCoaches", "answers"):
            yield from flat(value, f"{path}{name}.")
        elif value is not None:
            yield f"{path}{name}", value


def as_cell(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return json.dumps(value, separators=(",", ":")) if isinstance(value, dict | list) else str(value)


async def exported(api: Api, token: str, name: str, format_name: str, **more: Any) -> httpx.Response:
    given = {**ASKED[name][0], "format": format_name, "fields": [one.name for one in EXPORTABLES[name].columns], **more}
    return await api.http.post(
        f"/export/{name}", json=given, headers={"authorization": f"Bearer {token}", "accept-encoding": "identity"}
    )


@pytest.mark.timeout(240)
@pytest.mark.parametrize("grouped", [True, False])
async def test_an_export_holds_what_the_pages_hold(api: Api, grouped: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Exportable, "rows_at_once", lambda self, _chosen: 6)
    # The pace of goals moves by the second: the clock on the wall stands still.
    moment, now = WorkRules.moment, datetime.now(UTC)
    monkeypatch.setattr(WorkRules, "moment", lambda self, _now: moment(self, now))
    world = await World(grouped=grouped).build()
    await furnish(world)
    await furnish_film(world)
    async with acquire(ALL_TEAMS) as connection:
        await connection.execute(
            "UPDATE activities SET name = '=1+1', sentiment = '-5' WHERE team_id = $1 AND user_id = $2",
            world.team,
            world.users["same"],
        )
    filled: set[str] = set()
    for role in ROLES:
        await world.become(role)
        token = await api.token(world.viewer)
        if role == "admin":
            document = 'mutation($id: ID!) { updateUser(input: {userId: $id, name: "New"}) { errors { code } } }'
            await api.data(token, document, id=encode_id("User", world.users["same"]))
        for name in ASKED:
            expected = await pages(api, token, name)
            ndjson = await exported(api, token, name, "ndjson")
            if isinstance(expected, str):
                assert ndjson.json()["errors"][0]["extensions"]["code"] == expected, (role, name)
                assert ndjson.status_code == 403
                continue
            rows = [json.loads(line) for line in ndjson.text.splitlines()]
            assert rows == expected, (role, name)
            assert encode_id("User", world.users["stranger"]) not in ndjson.text
            filled |= {name} if rows else set()
            if role not in ("none", "everything", "admin"):
                continue
            table = list(csv.DictReader(io.StringIO((await exported(api, token, name, "csv")).text, newline="")))
            assert len(table) == len(expected)
            for cells, row in zip(table, expected, strict=True):
                # Apostrophes are before what would be a formula, and nowhere else.
                shown = {key: text.removeprefix("'") for key, text in cells.items() if text}
                assert shown == {key: as_cell(value) for key, value in flat(row)}, (role, name)
    assert filled == set(ASKED) - (set() if grouped else {"groups"}), "an equality of nothing proves nothing"


async def test_hidden_rows_are_absent(api: Api) -> None:
    world = await World(grouped=True).build()
    await world.become("none")
    token = await api.token(world.viewer)
    for name, least in (("users", 1), ("activities", len(TYPE_NAMES)), ("goals", 1)):
        lines = (await exported(api, token, name, "ndjson")).text.splitlines()
        assert len(lines) == least
        for relation, user_id in world.users.items():
            assert (encode_id("User", user_id) in "".join(lines)) == (relation == "me"), (name, relation)
    assert (await exported(api, token, "groups", "ndjson")).text == ""
    assert (await exported(api, token, "groups", "csv")).text == "id,name,parent.id,parent.name\r\n"


async def test_texts_of_others_are_told_in_the_log(api: Api) -> None:
    world = await World(grouped=True).build()
    for role, read in (("everything", True), ("TEAM_VIEW", False)):
        await world.become(role)
        async with acquire(ALL_TEAMS) as connection:
            before = await connection.fetchval(
                "SELECT count(*) FROM audit_entries WHERE team_id = $1 AND action = 'EMAIL_BODY_READ'", world.team
            )
        token = await api.token(world.viewer)
        answer = await exported(
            api, token, "activities", "ndjson", fields="id,user.id,body", filter={"kinds": ["EMAIL"]}
        )
        rows = [json.loads(line) for line in answer.text.splitlines()]
        own = encode_id("User", world.viewer)
        assert {row["body"] for row in rows if row["user"]["id"] == own} == {"b"}
        assert {row["body"] for row in rows if row["user"]["id"] != own} == ({"b"} if read else {None})
        async with acquire(ALL_TEAMS) as connection:
            entries = await connection.fetch(
                "SELECT subject_id, details FROM audit_entries WHERE team_id = $1 AND action = 'EMAIL_BODY_READ' "
                "ORDER BY position OFFSET $2",
                world.team,
                before,
            )
        others = {decode_any_id(row["id"])[1] for row in rows if row["user"]["id"] != own}  # type: ignore[index]
        assert {entry["subject_id"] for entry in entries} == (others if read else set())
        assert len(others) == 4


# What is wrong before the first byte.


@dataclass
class Desk:
    """An admin of a team of many, with tokens."""

    team: UUID
    admin: UUID
    token: str


async def desk_of(api: Api, reps: int = 3) -> Desk:
    world = World(grouped=False)
    async with acquire(ALL_TEAMS) as connection:
        world.team = await make_team(connection)
        role = await make_role(connection, world.team, is_admin=True, name="Admin")
        admin = await make_user(connection, world.team, role, name="Admin")
        await connection.execute(
            "INSERT INTO users (id, team_id, role_id, name, email) SELECT gen_random_uuid(), $1, $2, 'Rep ' || n, "
            "'rep' || n || '-' || gen_random_uuid() || '@x.test' FROM generate_series(1, $3::int) n",
            world.team,
            role,
            reps,
        )
    return Desk(world.team, admin, await api.token(admin))


@pytest.mark.parametrize(
    ("path", "status", "code", "field"),
    [
        ("/export/users", 400, "INVALID", "format"),
        ("/export/users?format=xml", 400, "INVALID", "format"),
        ("/export/nobody?format=csv", 404, "NOT_FOUND", "connection"),
        ("/export/users?format=csv&fields=id,nme", 400, "INVALID", "fields"),
        ("/export/users?format=csv&filter={", 400, "INVALID", "filter"),
        ("/export/users?format=csv&orderBy=AGE", 400, "INVALID", "orderBy"),
        ("/export/users?format=csv&first=5", 400, "INVALID", "arguments"),
        ("/export/individuals?format=csv", 400, "INVALID", "arguments"),
        ('/export/individuals?format=csv&range={"named":"NEVER"}', 400, "INVALID", "range"),
        ('/export/activities?format=csv&filter={"userId":"none"}', 404, "NOT_FOUND", "filter"),
        ("/export/webhookEndpoint.deliveries?format=csv&endpointId=none", 404, "NOT_FOUND", "endpointId"),
    ],
)
async def test_what_is_wrong_is_told_before_the_first_byte(
    api: Api, path: str, status: int, code: str, field: str
) -> None:
    desk = await desk_of(api)
    answer = await api.http.get(path, headers={"authorization": f"Bearer {desk.token}"})
    assert answer.status_code == status, answer.text
    extensions = answer.json()["errors"][0]["extensions"]
    assert (extensions["code"], extensions["input"][0]) == (code, field)


async def test_a_token_needs_the_scope_to_read(api: Api) -> None:
    desk = await desk_of(api)
    for scopes, status in ((["READ"], 200), (["WRITE", "IMPORT"], 403)):
        token = await api.token(desk.admin, scopes=scopes)
        answer = await api.http.get("/export/users?format=csv", headers={"authorization": f"Bearer {token}"})
        assert answer.status_code == status
    assert (await api.http.get("/export/users?format=csv")).status_code == 401
    token = await api.token(desk.admin, trusted_documents_only=True)
    answer = await api.http.get("/export/users?format=csv", headers={"authorization": f"Bearer {token}"})
    assert answer.json()["errors"][0]["extensions"]["permission"] == "trustedDocumentsOnly"


async def test_a_spent_budget_is_429_before_and_waited_for_after(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = await desk_of(api, 1_200)
    monkeypatch.setattr(api_exports, "LONGEST_WAIT_SECONDS", 0.01)
    slept = 0
    spend = api_exports.spend

    async def freed(redis: Any, viewer: Any, cost: int, limit: int) -> Any:
        nonlocal slept
        try:
            return await spend(redis, viewer, cost, limit)
        except api_exports.BudgetSpent:
            slept += 1
            await redis.flushdb()
            raise

    token = await api.token(desk.admin, cost_per_minute=8_000)
    header = {"authorization": f"Bearer {token}"}
    monkeypatch.setattr(api_exports, "spend", freed)
    answer = await api.http.get("/export/users?format=ndjson", headers=header)
    assert len(answer.text.splitlines()) == 1_201
    assert slept >= 1
    monkeypatch.setattr(api_exports, "spend", spend)
    answer = await api.http.get("/export/users?format=ndjson", headers=header)
    assert (answer.status_code, answer.json()["errors"][0]["extensions"]["code"]) == (429, "RATE_LIMITED")
    assert int(answer.headers["retry-after"]) > 0
    assert "ratelimit" in answer.headers


async def test_gzip_where_it_is_taken(api: Api) -> None:
    desk = await desk_of(api, 700)
    header = {"authorization": f"Bearer {desk.token}"}
    plain = await api.http.get("/export/users?format=csv", headers=header | {"accept-encoding": "identity"})
    packed = await api.http.get("/export/users?format=csv", headers=header | {"accept-encoding": "br, gzip;q=0.5"})
    refused = await api.http.get("/export/users?format=csv", headers=header | {"accept-encoding": "gzip;q=0"})
    assert "content-encoding" not in plain.headers
    assert "content-encoding" not in refused.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.text == plain.text == refused.text
    assert plain.headers["content-type"] == "text/csv; charset=utf-8"
    assert plain.headers["content-disposition"] == 'attachment; filename="users.csv"'
    head = await api.http.head("/export/users?format=csv", headers=header)
    assert (head.status_code, head.text) == (200, "")


# On a real server.


@dataclass
class Served:
    """The application on a port."""

    url: str
    settings: Settings
    app: Any


@pytest.fixture
async def served(database_url: str, redis_url: str) -> AsyncIterator[Served]:
    settings = settings_for(database_url, redis_url)
    app = create_app(settings)
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="critical", lifespan="on")
    server = uvicorn.Server(config)
    running = asyncio.ensure_future(server.serve(sockets=[config.bind_socket()]))
    async with asyncio.timeout(20):
        while not server.started:
            assert not running.done(), running
            await asyncio.sleep(0.01)
    yield Served(f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}", settings, app)
    server.should_exit = True
    await running


@asynccontextmanager
async def stream(served: Served, token: str, path: str) -> AsyncIterator[httpx.Response]:
    headers = {"authorization": f"Bearer {token}", "accept-encoding": "identity"}
    async with (
        httpx.AsyncClient(timeout=30) as client,
        client.stream("GET", served.url + path, headers=headers) as answer,
    ):
        yield answer


async def team_of(reps: int, *, tokens: int = 1) -> tuple[UUID, UUID, list[Any]]:
    """A manager who sees a whole team of many, with tokens of theirs."""
    async with acquire(ALL_TEAMS) as connection:
        team = await make_team(connection)
        role = await make_role(connection, team, "TEAM_VIEW")
        manager = await make_user(connection, team, role, name="Manager")
        await connection.execute(
            "INSERT INTO users (id, team_id, role_id, name, email) SELECT gen_random_uuid(), $1, $2, "
            "repeat('Rep ', 40) || n, 'rep' || n || '-' || gen_random_uuid() || '@x.test' "
            "FROM generate_series(1, $3::int) n",
            team,
            role,
            reps,
        )
        made = [await create_token(connection, team, manager, name="test") for _ in range(tokens)]
    return team, manager, made


ENDS = ("the token", "the role", "the person")


@pytest.mark.parametrize("ended", ENDS)
@pytest.mark.parametrize("format_name", ["ndjson", "csv"])
async def test_a_stream_ends_with_the_rights_of_its_reader(
    served: Served, ended: str, format_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    team, manager, tokens = await team_of(4_000)
    taken = asyncio.Event()
    hand_on = api_exports.hand_on
    sent = 0

    async def slowly(send: Any, data: bytes, **more: Any) -> None:
        nonlocal sent
        sent += 1
        await hand_on(send, data, **more)
        if sent == 3:
            await taken.wait()

    monkeypatch.setattr(api_exports, "hand_on", slowly)
    text = b""
    async with stream(served, tokens[0].text, f"/export/users?format={format_name}") as answer:
        assert answer.status_code == 200
        source = answer.aiter_raw()
        text += await anext(source)
        async with acquire(ALL_TEAMS) as connection:
            if ended == "the token":
                await revoke_token(connection, team, tokens[0].id)
            elif ended == "the role":
                await connection.execute("UPDATE roles SET permissions = '{}' WHERE team_id = $1", team)
            else:
                await connection.execute("UPDATE users SET active = false WHERE id = $1", manager)
        taken.set()
        cut = False
        try:
            async for piece in source:
                text += piece
        except httpx.RemoteProtocolError:
            cut = True
        assert cut, "the message must not end as a whole one does"
    lines = text.splitlines()
    assert len(lines) < 3_000
    if format_name == "ndjson":
        error = json.loads(lines[-1])["error"]
        assert error["code"] == ("RIGHTS_CHANGED" if ended == "the role" else "UNAUTHENTICATED")
        assert error["requestId"] == answer.headers["x-request-id"]


async def test_who_goes_away_stops_the_statement(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    _team, manager, tokens = await team_of(3_000)
    source = EXPORTABLES["users"]
    reading = asyncio.Event()

    async def slow(look: Any, given: Any, request: Any, chosen: Any) -> Any:
        if request.cursor is not None:
            reading.set()
            await look.connection.execute("SELECT pg_sleep(60) /* the slow page */")
        return await source.read(look, given, request, chosen)

    monkeypatch.setitem(EXPORTABLES, "users", _replaced(source, read=slow))  # type: ignore[arg-type]
    async with stream(served, tokens[0].text, "/export/users?format=csv") as answer:
        assert answer.status_code == 200
        async with asyncio.timeout(20):
            await reading.wait()
        assert served.app.state.exports._count == {manager: 1}
    async with acquire(ALL_TEAMS) as connection, asyncio.timeout(20):
        while await connection.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%the slow page%' AND pid <> pg_backend_pid() "
            "AND state = 'active'"
        ):
            await asyncio.sleep(0.02)
        while served.app.state.exports._count:
            await asyncio.sleep(0.02)


def _replaced(source: Exportable, **changes: Any) -> Exportable:
    from dataclasses import replace

    return replace(source, **changes)


async def test_a_few_at_a_time(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    _team, _manager, tokens = await team_of(10)
    headers = {"authorization": f"Bearer {tokens[0].text}", "accept-encoding": "identity"}
    address, let_go, hand_on = f"{served.url}/export/users?format=csv", asyncio.Event(), api_exports.hand_on

    async def held_back(send: Any, data: bytes, **more: Any) -> None:
        await let_go.wait()
        await hand_on(send, data, **more)

    monkeypatch.setattr(api_exports, "hand_on", held_back)
    async with httpx.AsyncClient(timeout=30) as client:
        held = [
            await client.send(client.build_request("GET", address, headers=headers), stream=True)
            for _ in range(api_exports.EXPORTS_AT_ONCE)
        ]
        refused = await client.get(address, headers=headers)
        assert (refused.status_code, refused.json()["errors"][0]["extensions"]["code"]) == (429, "RATE_LIMITED")
        let_go.set()
        assert {len((await one.aread()).splitlines()) for one in held} == {12}
        assert (await client.get(address, headers=headers)).status_code == 200


# Files.

EXPORT = """mutation($input: ExportConnectionInput!) { exportConnection(input: $input) {
  export { id url rows createdAt expiresAt goneBecause fields } job { id state } errors { code path message } } }"""


async def made(api: Api, token: str, **given: Any) -> dict[str, Any]:
    """Ask for a file, and have a worker make it."""
    answer = (await api.data(token, EXPORT, input=given))["exportConnection"]
    assert answer["errors"] == []
    await work(answer["job"]["id"])
    document = "query($id: ID!) { node(id: $id) { ... on Export { id url rows bytes fileName job { state } } } }"
    found: dict[str, Any] = (await api.data(token, document, id=answer["export"]["id"]))["node"]
    return found


async def work(job_id: str) -> None:
    from domain import jobs

    decoded = decode_any_id(job_id)
    assert decoded is not None
    async with acquire(ALL_TEAMS) as connection:
        claimed = await jobs.claim_job(connection, "worker", job_id=decoded[1])
    assert claimed is not None
    settings = Settings(database_url="postgresql://x", redis_url="redis://x", export_hours=1, export_megabytes=1)
    await run_claimed(claimed, lambda: None, {files.KIND: Exporter(settings).run})


async def test_a_file_is_made_and_downloaded(api: Api) -> None:
    desk = await desk_of(api, 2_500)
    header = {"authorization": f"Bearer {desk.token}"}
    export = await made(
        api, desk.token, connection="users", format="CSV", fields=["email", "id"], arguments={"orderBy": "EMAIL"}
    )
    assert export["job"]["state"] == "SUCCEEDED"
    assert export["rows"] == 2_501
    whole = await api.http.get(export["url"], headers=header)
    streamed = await api.http.get("/export/users?format=csv&fields=email,id&orderBy=EMAIL", headers=header)
    assert gzip.decompress(whole.content).decode() == streamed.text
    assert len(whole.content) == export["bytes"] == int(whole.headers["content-length"])
    assert whole.headers["content-disposition"] == f'attachment; filename="{export["fileName"]}"'
    assert whole.headers["accept-ranges"] == "bytes"
    listed = await api.data(desk.token, "{ exports { id format arguments } }")
    assert listed["exports"] == [{"id": export["id"], "format": "CSV", "arguments": {"orderBy": "EMAIL"}}]
    progress = await api.data(
        desk.token,
        "query($id: ID!) { node(id: $id) { ... on Export { job { progress total kind } } } }",
        id=export["id"],
    )
    assert progress["node"]["job"] == {"progress": 1.0, "total": 2_501, "kind": "export"}


async def test_a_download_goes_on_by_range(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Exportable, "rows_at_once", lambda self, _chosen: 100)
    desk = await desk_of(api, 450)
    header = {"authorization": f"Bearer {desk.token}"}
    url = (await made(api, desk.token, connection="users", format="NDJSON"))["url"]
    whole = await api.http.get(url, headers=header)
    size, tag = len(whole.content), whole.headers["etag"]
    for wanted, start, end in (
        ("bytes=0-0", 0, 1),
        (f"bytes=1000-{size}", 1_000, size),
        ("bytes=500-", 500, size),
        ("bytes=-7", size - 7, size),
        (f"bytes=-{size * 2}", 0, size),
        (f"bytes={size // 3}-{size * 2 // 3}", size // 3, size * 2 // 3 + 1),
    ):
        part = await api.http.get(url, headers=header | {"range": wanted, "if-range": tag})
        assert part.status_code == 206, wanted
        assert part.content == whole.content[start:end], wanted
        assert part.headers["content-range"] == f"bytes {start}-{end - 1}/{size}"
    for ignored in ("bytes=5-2", "lines=1-2", "bytes=0-1,5-6", "bytes=-", "bytes=x-"):
        assert (await api.http.get(url, headers=header | {"range": ignored})).status_code == 200, ignored
    other = await api.http.get(url, headers=header | {"range": "bytes=5-", "if-range": '"other"'})
    assert (other.status_code, len(other.content)) == (200, size)
    for beyond in (f"bytes={size}-", "bytes=-0"):
        refused = await api.http.get(url, headers=header | {"range": beyond})
        assert (refused.status_code, refused.headers["content-range"]) == (416, f"bytes */{size}")
    head = await api.http.head(url, headers=header)
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", str(size))


async def test_a_file_is_for_whoever_asked_for_it(api: Api) -> None:
    desk = await desk_of(api)
    export = await made(api, desk.token, connection="users", format="CSV")
    async with acquire(ALL_TEAMS) as connection:
        other = await connection.fetchval(
            "SELECT id FROM users WHERE team_id = $1 AND id <> $2 LIMIT 1", desk.team, desk.admin
        )
    theirs = await api.token(other)
    answer = await api.http.get(export["url"], headers={"authorization": f"Bearer {theirs}"})
    never = await api.http.get(
        f"/exports/{encode_id('Export', new_id())}", headers={"authorization": f"Bearer {theirs}"}
    )
    assert answer.status_code == never.status_code == 404
    assert answer.json()["errors"][0]["message"] == never.json()["errors"][0]["message"]
    document = "query($id: ID!) { node(id: $id) { id } }"
    assert (await api.data(theirs, document, id=export["id"]))["node"] is None
    writing = await api.token(desk.admin, scopes=["WRITE"])
    assert (await api.http.get(export["url"], headers={"authorization": f"Bearer {writing}"})).status_code == 403
    async with acquire(ALL_TEAMS) as connection:
        await connection.execute(
            "UPDATE roles SET is_admin = false, permissions = '{TEAM_VIEW}' WHERE team_id = $1", desk.team
        )
    header = {"authorization": f"Bearer {desk.token}"}
    refused = await api.http.get(export["url"], headers=header)
    assert (refused.status_code, refused.json()["errors"][0]["extensions"]["code"]) == (409, "RIGHTS_CHANGED")
    delete = (
        "mutation($id: ID!) { deleteExport(input: {exportId: $id}) { export { url goneBecause } errors { code } } }"
    )
    gone = (await api.data(desk.token, delete, id=export["id"]))["deleteExport"]
    assert gone == {"export": {"url": None, "goneBecause": "It was deleted."}, "errors": []}
    assert (await api.data(theirs, delete, id=export["id"]))["deleteExport"]["errors"] == [{"code": "NOT_FOUND"}]
    assert (await api.http.get(export["url"], headers=header)).status_code == 404


async def test_what_cannot_be_exported_is_told_in_the_payload(api: Api) -> None:
    world = await World(grouped=True).build()
    await world.become("none")
    token = await api.token(world.viewer)

    async def errors(**given: Any) -> Any:
        return (await api.data(token, EXPORT, input={"format": "CSV", **given}))["exportConnection"]["errors"]

    assert (await errors(connection="nothing"))[0]["path"] == ["input", "connection"]
    assert (await errors(connection="users", fields=["nme"]))[0]["path"] == ["input", "fields"]
    assert (await errors(connection="users", arguments=[]))[0]["path"] == ["input", "arguments"]
    hidden = {"filter": {"userId": encode_id("User", world.users["branch"])}}
    assert (await errors(connection="activities", arguments=hidden))[0]["code"] == "NOT_FOUND"
    answer = await api.query(token, EXPORT, input={"connection": "auditLog", "format": "CSV"})
    assert answer["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    async with acquire(ALL_TEAMS) as connection:
        assert not await connection.fetchval("SELECT count(*) FROM exports WHERE team_id = $1", world.team)
        assert not await connection.fetchval("SELECT count(*) FROM jobs WHERE team_id = $1", world.team)


async def test_a_worker_makes_files(api: Api, redis_url: str) -> None:
    """The worker's own loop, from the mutation to the file."""
    desk = await desk_of(api, 10)
    answer = (await api.data(desk.token, EXPORT, input={"connection": "groups", "format": "NDJSON"}))[
        "exportConnection"
    ]
    settings = settings_for("postgresql://x", redis_url)
    worker = JobWorker(redis_url, handlers={files.KIND: Exporter(settings).run})
    running = asyncio.ensure_future(worker.run())
    document = "query($id: ID!) { job(id: $id) { state } }"
    try:
        async with asyncio.timeout(30):
            while (await api.data(desk.token, document, id=answer["job"]["id"]))["job"]["state"] != "SUCCEEDED":
                await asyncio.sleep(0.02)
    finally:
        worker.stop()
        await running
    found = await api.http.get(f"/exports/{answer['export']['id']}", headers={"authorization": f"Bearer {desk.token}"})
    assert gzip.decompress(found.content) == b""


async def test_the_catalogue_names_what_there_is(api: Api) -> None:
    desk = await desk_of(api)
    found = (
        await api.data(desk.token, "{ exportableLists { name arguments fields { name kind usual } description } }")
    )["exportableLists"]
    assert [one["name"] for one in found] == list(EXPORTABLES)
    individuals = next(one for one in found if one["name"] == "individuals")
    assert individuals["arguments"] == ["range", "search", "groupId", "sortBy", "descending"]
    shown = {one["name"] for one in individuals["fields"] if one["usual"]}
    assert shown == {"rank", "user.id", "user.name", "user.email", *(f"metrics.{key}.value" for key in METRICS)}
