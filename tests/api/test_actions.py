"""Scheduled actions through GraphQL.

Invariants:
A. One sees one's own; with TEAM_VIEW those of people in scope; with MANAGE_TEAM the team's. What belongs to a coaching
   session is its participants' alone, whatever the permissions. The predicate and the query's filter answer alike.
B. One changes one's own; others' in scope with MANAGE_GOALS or MANAGE_TEAM; the team's with MANAGE_TEAM.
C. A list of actions is changed whole or not at all, with an error for each that stands in the way; a hidden one answers
   as one that never was.
D. The list costs a fixed number of statements, however long it is.
E. Pages go on where they ended, in the order of what is due, whatever comes and goes.
F. Upcoming work is the platform's: one's own to snooze, nobody's to change.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from domain import action_list, action_runs
from domain.access_actions import see_actions
from domain.action_list import ActionFilter
from domain.actions import NewAction, cancel_actions, put_action, put_actions
from domain.database import ALL_TEAMS, acquire, transaction
from domain.ids import encode_id
from domain.models.base import new_id
from domain.models.people import Permission
from domain.paging import page_request
from tests.api.conftest import Api
from tests.api.test_dashboards import counting
from tests.factories import make_group, make_role, make_team, make_user, viewer_of

NOW = datetime.now(UTC).replace(microsecond=0)
SOON = NOW + timedelta(hours=2)
NAMES = "pauseScheduledActions resumeScheduledActions runScheduledActionsNow cancelScheduledActions".split()


class Scene:
    """Viewers of every kind, and people in and out of their scope, each with an action."""

    async def open(self) -> Scene:
        async with acquire(ALL_TEAMS) as connection:
            self.team = await make_team(connection)
            ours, far = await make_group(connection, self.team, "Ours"), await make_group(connection, self.team, "Far")
            roles = {
                "none": await make_role(connection, self.team),
                "view": await make_role(connection, self.team, Permission.TEAM_VIEW),
                "goals": await make_role(connection, self.team, Permission.TEAM_VIEW, Permission.MANAGE_GOALS),
                "only_goals": await make_role(connection, self.team, Permission.MANAGE_GOALS),
                "team": await make_role(connection, self.team, Permission.TEAM_VIEW, Permission.MANAGE_TEAM),
                "admin": await make_role(connection, self.team, is_admin=True),
            }
            self.viewers = {
                name: await make_user(connection, self.team, role, group_id=ours) for name, role in roles.items()
            }
            self.rep = await make_user(connection, self.team, roles["none"], group_id=ours)
            self.stranger = await make_user(connection, self.team, roles["none"], group_id=far)
        self.actions: dict[str, UUID] = {}
        for name, user_id in {**self.viewers, "rep": self.rep, "stranger": self.stranger, "nobody": None}.items():
            await self.put(name, user_id=user_id)
        await self.put("session", kind="coaching_session", user_id=self.rep, created_by_id=self.viewers["view"])
        return self

    async def put(self, name: str, **values: Any) -> str:
        given = {"kind": "goal_reminder", "title": name, "due_at": SOON, **values}
        async with transaction(self.team) as connection:
            self.actions[name] = await put_action(connection, self.team, NewAction(key=name, **given))
        return self.id(name)

    def id(self, name: str) -> str:
        return encode_id("ScheduledAction", self.actions[name])


@pytest.fixture
async def scene(api: Api) -> Scene:
    return await Scene().open()


async def change(api: Api, token: str, name: str, **given: Any) -> Any:
    kind = {
        "createScheduledAction": "CreateScheduledActionInput",
        "rescheduleScheduledActions": "RescheduleScheduledActionsInput",
        "snoozeScheduledActions": "SnoozeScheduledActionsInput",
    }.get(name, "ScheduledActionsInput")
    document = (
        f"mutation($input: {kind}!) {{ {name}(input: $input) {{ "
        "actions { id kind title dueAt plannedAt recurrence state paused occurrence user { id } } "
        "errors { code message path } } }"
    )
    answer = await api.query(token, document, input=given)
    if "errors" in answer:
        return [error["extensions"]["code"] for error in answer["errors"]]
    return answer["data"][name]


def codes(answer: Any) -> list[Any]:
    return [(error["code"], error["path"]) for error in answer["errors"]]


SEEN = {
    "none": {"none"},
    "only_goals": {"only_goals"},
    "view": {"none", "view", "goals", "only_goals", "team", "admin", "rep", "session"},
    "goals": {"none", "view", "goals", "only_goals", "team", "admin", "rep"},
    "team": {"none", "view", "goals", "only_goals", "team", "admin", "rep", "nobody"},
    "admin": {"none", "view", "goals", "only_goals", "team", "admin", "rep", "nobody", "stranger"},
}


@pytest.mark.parametrize("who", SEEN)
async def test_who_sees_which(api: Api, scene: Scene, who: str) -> None:
    token = await api.token(scene.viewers[who])
    answer = (await api.data(token, "{ scheduledActions(first: 50) { totalCount nodes { id title } } }"))[
        "scheduledActions"
    ]
    assert {node["title"] for node in answer["nodes"]} == SEEN[who]
    assert answer["totalCount"] == len(SEEN[who])
    async with acquire(scene.team) as connection:
        sight = await see_actions(connection, await viewer_of(connection, scene.viewers[who]))
        page = await action_list.list_actions(connection, sight, ActionFilter(), page_request(50, None))
        rows = await connection.fetch("SELECT id, kind, user_id, created_by_id FROM scheduled_actions")
    for row in rows:
        shown = sight.sees(scene.team, row["kind"], row["user_id"], row["created_by_id"])
        assert shown == (row["id"] in {one.id for one in page.nodes})
        assert not sight.sees(new_id(), row["kind"], row["user_id"], row["created_by_id"])
    for name in scene.actions:
        found = await api.data(token, "query($id: ID!) { node(id: $id) { id } }", id=scene.id(name))
        assert (found["node"] is not None) == (name in SEEN[who])


CHANGES = {
    "none": {"none"},
    "only_goals": {"only_goals"},
    "view": {"view"},
    "goals": SEEN["goals"],
    "team": SEEN["team"],
    "admin": SEEN["admin"],
}


@pytest.mark.parametrize("who", CHANGES)
async def test_who_changes_which(api: Api, scene: Scene, who: str) -> None:
    token = await api.token(scene.viewers[who])
    for name in scene.actions:
        answer = await change(api, token, "pauseScheduledActions", ids=[scene.id(name)])
        if name not in SEEN[who]:
            assert codes(answer) == [("NOT_FOUND", ["input", "ids", "0"])], name
        elif name == "session":
            assert codes(answer) == [("INVALID", ["input", "ids", "0"])]
        elif name in CHANGES[who]:
            assert answer["errors"] == [], name
            assert answer["actions"][0]["paused"]
        else:
            assert answer == ["FORBIDDEN"], name


async def test_all_or_nothing(api: Api, scene: Scene) -> None:
    token = await api.token(scene.viewers["goals"])
    never = encode_id("ScheduledAction", new_id())
    async with transaction(scene.team) as connection:
        await cancel_actions(connection, scene.team, ["rep"])
    ids = [scene.id("none"), never, scene.id("stranger"), scene.id("rep"), scene.id("view")]
    answer = await change(api, token, "pauseScheduledActions", ids=ids)
    assert answer["actions"] == []
    assert codes(answer) == [
        ("NOT_FOUND", ["input", "ids", "1"]),
        ("NOT_FOUND", ["input", "ids", "2"]),
        ("CONFLICT", ["input", "ids", "3"]),
    ]
    async with acquire(scene.team) as connection:
        assert await connection.fetchval("SELECT count(*) FROM scheduled_actions WHERE paused_at IS NOT NULL") == 0
    answer = await change(api, token, "pauseScheduledActions", ids=[scene.id("none"), scene.id("view")])
    assert [one["title"] for one in answer["actions"]] == ["none", "view"]
    assert codes(await change(api, token, "cancelScheduledActions", ids=["none"])) == [
        ("NOT_FOUND", ["input", "ids", "0"])
    ]
    assert codes(await change(api, token, "cancelScheduledActions", ids=[])) == [("INVALID", ["input", "ids"])]


async def test_an_action_through_its_life(api: Api, scene: Scene) -> None:
    me = scene.viewers["none"]
    token = await api.token(me)
    made = await change(
        api,
        token,
        "createScheduledAction",
        kind="DIGEST",
        dueAt="2027-03-01T08:00:00+01:00",
        recurrence="FREQ=WEEKLY;BYDAY=MO",
        timezone="Europe/Berlin",
        range="LAST_WEEK",
        idempotencyKey="once",
    )
    again = await change(
        api,
        token,
        "createScheduledAction",
        kind="DIGEST",
        dueAt="2027-03-01T08:00:00+01:00",
        recurrence="FREQ=WEEKLY;BYDAY=MO",
        timezone="Europe/Berlin",
        range="LAST_WEEK",
        idempotencyKey="once",
    )
    assert made == again
    (one,) = made["actions"]
    assert (one["kind"], one["title"], one["state"]) == ("digest", "Digest", "SCHEDULED")
    assert one["user"]["id"] == encode_id("User", me)
    assert datetime.fromisoformat(one["dueAt"]) == datetime(2027, 3, 1, 7, tzinfo=UTC)
    ids = [one["id"]]
    assert (await change(api, token, "pauseScheduledActions", ids=ids))["actions"][0]["paused"]
    assert codes(await change(api, token, "runScheduledActionsNow", ids=ids)) == [("CONFLICT", ["input", "ids", "0"])]
    assert not (await change(api, token, "resumeScheduledActions", ids=ids))["actions"][0]["paused"]
    until = (NOW + timedelta(days=3)).isoformat()
    snoozed = (await change(api, token, "snoozeScheduledActions", ids=ids, until=until))["actions"][0]
    assert datetime.fromisoformat(snoozed["dueAt"]) == NOW + timedelta(days=3)
    assert snoozed["plannedAt"] == one["dueAt"]
    moved = await change(api, token, "rescheduleScheduledActions", ids=ids, dueAt="2027-03-02T08:00:00+01:00")
    assert datetime.fromisoformat(moved["actions"][0]["dueAt"]) == datetime(2027, 3, 8, 7, tzinfo=UTC)  # A Monday.
    once = await change(
        api, token, "rescheduleScheduledActions", ids=ids, dueAt="2027-03-02T08:00:00+01:00", recurrence=None
    )
    assert once["actions"][0]["recurrence"] is None
    cancelled = await change(api, token, "cancelScheduledActions", ids=ids)
    assert cancelled["actions"][0]["state"] == "CANCELLED"
    assert (await change(api, token, "cancelScheduledActions", ids=ids))["errors"] == []
    for name in ("pauseScheduledActions", "runScheduledActionsNow"):
        assert codes(await change(api, token, name, ids=ids)) == [("CONFLICT", ["input", "ids", "0"])]
    found = await api.data(
        token,
        "query($id: ID!) { node(id: $id) { ... on ScheduledAction { occurrences { totalCount nodes { number state error"
        " messages { state } } } } } }",
        id=ids[0],
    )
    assert found["node"]["occurrences"] == {
        "totalCount": 1,
        "nodes": [{"number": 1, "state": "CANCELLED", "error": "Cancelled by hand.", "messages": []}],
    }


async def test_making_for_others(api: Api, scene: Scene) -> None:
    rep, far = encode_id("User", scene.rep), encode_id("User", scene.stranger)
    given = {"kind": "GOAL_REMINDER", "dueAt": SOON.isoformat()}
    token = await api.token(scene.viewers["view"])
    assert await change(api, token, "createScheduledAction", **given, userIds=[rep]) == ["FORBIDDEN"]
    token = await api.token(scene.viewers["goals"])
    answer = await change(api, token, "createScheduledAction", **given, userIds=[rep, far, "none"])
    assert codes(answer) == [("NOT_FOUND", ["input", "userIds", "2"])]
    answer = await change(api, token, "createScheduledAction", **given, userIds=[rep, far])
    assert codes(answer) == [("NOT_FOUND", ["input", "userIds", "1"])]
    mine = encode_id("User", scene.viewers["goals"])
    answer = await change(api, token, "createScheduledAction", **given, userIds=[rep, mine])
    assert [one["user"]["id"] for one in answer["actions"]] == [rep, mine]


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ({"kind": "DIGEST", "recurrence": "FREQ=SECONDLY"}, ["recurrence"]),
        ({"kind": "DIGEST", "recurrence": "FREQ=DAILY;UNTIL=20200101T000000Z"}, ["recurrence"]),
        ({"kind": "DIGEST", "timezone": "Mars/Phobos"}, ["timezone"]),
        ({"kind": "DIGEST", "timezone": "../../etc/passwd"}, ["timezone"]),
        ({"kind": "DIGEST", "dueAt": "2099-01-01T00:00:00Z"}, ["dueAt"]),
        ({"kind": "DIGEST", "title": ""}, ["title"]),
        ({"kind": "DIGEST", "title": "x" * 301}, ["title"]),
        ({"kind": "DIGEST", "mail": True}, ["mail"]),
        ({"kind": "DIGEST", "endpointId": "none"}, ["endpointId"]),
        ({"kind": "REPORT_SNAPSHOT", "keepDays": 0}, ["keepDays"]),
        ({"kind": "REPORT_SNAPSHOT", "metrics": []}, ["metrics"]),
        ({"kind": "GOAL_ROLLOVER"}, ["rollOver"]),
        ({"kind": "GOAL_ROLLOVER", "rollOver": {"metric": "CALLS_LOGGED", "period": "WEEK"}}, ["rollOver"]),
        ({"kind": "SYNC"}, ["integrationId"]),
        ({"kind": "SYNC", "integrationId": encode_id("Integration", UUID(int=1))}, ["integrationId"]),
    ],
)
async def test_what_does_not_fit(api: Api, scene: Scene, given: dict[str, Any], path: list[str]) -> None:
    token = await api.token(scene.viewers["admin"])
    answer = await change(api, token, "createScheduledAction", **{"dueAt": SOON.isoformat(), **given})
    assert [error["path"][: len(path) + 1] for error in answer["errors"]] == [["input", *path]], answer
    assert answer["errors"][0]["code"] in ("INVALID", "NOT_FOUND")


LIST = """{ scheduledActions(first: 100) { totalCount nodes { title dueAt state user { name } createdBy { name }
    occurrences(first: 3) { nodes { number state messages { state reader { name } } } } } } }"""


async def test_a_fixed_number_of_statements(api: Api, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = set()
    for many in (3, 40):
        async with transaction(scene.team) as connection:
            await put_actions(
                connection,
                scene.team,
                [
                    NewAction(
                        f"{many}:{n}",
                        "digest",
                        "T",
                        SOON,
                        user_id=list(scene.viewers.values())[n % 5],
                        created_by_id=list(scene.viewers.values())[n % 4],
                    )
                    for n in range(many)
                ],
            )
            await cancel_actions(connection, scene.team, [f"{many}:{n}" for n in range(many)])
        token = await api.token(scene.viewers["admin"])
        await api.data(token, LIST)  # The connections know their team, the token that it was used.
        async with counting(monkeypatch) as seen:
            await api.data(token, LIST)
        counts.add(len(seen))
    assert len(counts) == 1, counts
    assert counts.pop() <= 9


async def test_pages_go_on_where_they_ended(api: Api, scene: Scene) -> None:
    token = await api.token(scene.viewers["admin"])
    for place in range(7):
        await scene.put(f"p{place}", user_id=scene.rep, due_at=SOON + timedelta(minutes=place // 2))
    document = """query($after: String) {
        scheduledActions(first: 2, after: $after, filter: {kinds: ["goal_reminder"]}) {
            nodes { title dueAt } pageInfo { hasNextPage endCursor } } }"""
    titles, dues, after = [], [], None
    while True:
        page = (await api.data(token, document, after=after))["scheduledActions"]
        titles += [node["title"] for node in page["nodes"]]
        dues += [node["dueAt"] for node in page["nodes"]]
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    assert len(titles) == len(set(titles)) == len(scene.actions) - 1
    assert dues == sorted(dues)
    backwards = await api.data(token, "{ scheduledActions(last: 2) { nodes { title } } }")
    assert {node["title"] for node in backwards["scheduledActions"]["nodes"]} <= {f"p{n}" for n in (4, 5, 6)}
    answer = await api.query(token, '{ scheduledActions(after: "x") { totalCount } }')
    assert answer["errors"][0]["extensions"]["code"] == "INVALID"


STEPS = """mutation($steps: [JSON!]!) { importUpcomingSteps(input: {source: "loft", steps: $steps}) {
    changed unchanged errors { code path } } }"""


async def take(api: Api, token: str, *steps: Any) -> Any:
    return (await api.data(token, STEPS, steps=list(steps)))["importUpcomingSteps"]


async def test_upcoming_work(api: Api, scene: Scene) -> None:
    async with acquire(scene.team) as connection:
        email = await connection.fetchval("SELECT email FROM users WHERE id = $1", scene.rep)
    boss, rep = await api.token(scene.viewers["team"]), await api.token(scene.rep)

    def step(number: int, **more: Any) -> dict[str, Any]:
        return {
            "kind": "call",
            "externalId": number,
            "user": email,
            "title": f"Call {number}",
            "dueAt": SOON.isoformat(),
            "cadence": "Outbound",
            "updatedAt": (NOW - timedelta(hours=1)).isoformat(),
            **more,
        }

    async def shown() -> dict[str, Any]:
        found = await api.data(
            rep, '{ scheduledActions(filter: {kinds: ["call"]}) { nodes { id title state dueAt source cadence } } }'
        )
        return {node["title"]: node for node in found["scheduledActions"]["nodes"]}

    taken = await take(
        api, boss, step(1), step(2), step(3), step(4, status="done"), step(5, user="who@example.test"), {"kind": "x"}
    )
    assert (taken["changed"], taken["unchanged"]) == (3, 1)
    assert [(error["code"], error["path"]) for error in taken["errors"]] == [
        ("INVALID", ["input", "steps", "5", "kind"]),
        ("UNKNOWN_USER", ["input", "steps", "4", "user"]),
    ]
    assert await take(api, boss, step(1), step(2), step(3)) == {"changed": 0, "unchanged": 3, "errors": []}
    found = await shown()
    assert set(found) == {"Call 1", "Call 2", "Call 3"}
    assert {(node["state"], node["source"], node["cadence"]) for node in found.values()} == {
        ("SCHEDULED", "loft", "Outbound")
    }
    one, two, three = (found[f"Call {n}"]["id"] for n in (1, 2, 3))

    # The rep's own to snooze, nobody's to change.
    for name in NAMES:
        assert codes(await change(api, rep, name, ids=[one])) == [("INVALID", ["input", "ids", "0"])]
    later = SOON + timedelta(days=1)
    assert (await change(api, rep, "snoozeScheduledActions", ids=[one], until=later.isoformat()))["errors"] == []
    snoozed = await change(api, boss, "snoozeScheduledActions", ids=[two], until=later.isoformat())
    assert codes(snoozed) == [("INVALID", ["input", "ids", "0"])]
    changed = {"updatedAt": NOW.isoformat()}
    await take(
        api,
        boss,
        step(1, title="Call 1", **changed),
        step(2, status="done", **changed),
        step(3, status="cancelled", **changed),
    )
    found = await shown()
    assert datetime.fromisoformat(found["Call 1"]["dueAt"]) == later, "a snooze holds until the platform moves the step"
    assert (found["Call 2"]["state"], found["Call 3"]["state"]) == ("SUCCEEDED", "CANCELLED")
    newest = {"updatedAt": (NOW + timedelta(minutes=1)).isoformat()}
    moved = (SOON + timedelta(hours=5)).isoformat()
    await take(api, boss, step(1, dueAt=moved, **newest), step(3, **newest))
    found = await shown()
    assert datetime.fromisoformat(found["Call 1"]["dueAt"]) == SOON + timedelta(hours=5)
    assert found["Call 3"]["state"] == "SCHEDULED"

    # Past due without a word, it was missed; done later, it was done.
    async with acquire(ALL_TEAMS) as connection:
        await action_runs.miss_upcoming(connection, SOON + timedelta(days=1, hours=1), 100)
        assert (await shown())["Call 3"]["state"] == "MISSED"
        assert (await shown())["Call 1"]["state"] == "SCHEDULED"
    last = {"updatedAt": (NOW + timedelta(minutes=2)).isoformat()}
    await take(api, boss, step(3, title="Call 3", **last))
    assert (await shown())["Call 3"]["state"] == "MISSED", "missed stays missed until the step is moved"
    await take(api, boss, step(3, status="done", updatedAt=(NOW + timedelta(minutes=3)).isoformat()))
    assert (await shown())["Call 3"]["state"] == "SUCCEEDED"
    assert three == (await shown())["Call 3"]["id"]
    # Carried out by no worker, however due it is.
    async with acquire(ALL_TEAMS) as connection:
        await connection.execute(
            "UPDATE scheduled_actions SET run_at = now() - interval '1 hour' WHERE source IS NOT NULL"
        )
        claimed = await action_runs.claim(connection, "test", 1_000)
        assert not {one.id for one in claimed} & {
            row["id"] for row in await connection.fetch("SELECT id FROM scheduled_actions WHERE source IS NOT NULL")
        }
        await action_runs.release(connection, claimed)
    refused = await api.query(rep, STEPS, steps=[step(1)])
    assert refused["errors"][0]["extensions"]["code"] == "FORBIDDEN"


async def test_a_snapshot_is_downloaded_with_the_rights_of_who_downloads(api: Api, scene: Scene) -> None:
    snapshot_id = new_id()
    async with acquire(ALL_TEAMS) as connection:
        await connection.execute(
            "INSERT INTO report_snapshots (id, team_id, user_id, title, from_day, to_day, whole_team, subjects,"
            " table_csv, picture_png, expires_at) VALUES ($1, $2, $3, 'S', '2026-01-01', '2026-01-31', false, $4,"
            " 'a,b', 'png', now() + interval '1 day')",
            snapshot_id,
            scene.team,
            scene.viewers["view"],
            [scene.rep, scene.viewers["view"]],
        )
    path = f"/snapshots/{encode_id('ReportSnapshot', snapshot_id)}"

    async def status(user_id: UUID, end: str = ".csv", **options: Any) -> int:
        token = await api.token(user_id, **options)
        answer = await api.http.get(path + end, headers={"authorization": f"Bearer {token}"})
        if answer.status_code == 200:
            assert answer.content in (b"a,b", b"png")
            assert answer.headers["content-disposition"].startswith('attachment; filename="dashboard-2026-01-01')
        return answer.status_code

    for who in ("view", "goals", "admin"):
        assert await status(scene.viewers[who]) == await status(scene.viewers[who], ".png") == 200
    for who in ("none", "only_goals"):
        assert await status(scene.viewers[who]) == 404
    assert await status(scene.stranger) == 404
    assert await status(scene.viewers["view"], ".exe") == 404
    assert (await api.http.get(f"{path}.csv")).status_code == 401
    token = await api.token(scene.viewers["view"])
    found = await api.data(token, "{ reportSnapshots { totalCount nodes { csv csvPath picturePath reader { id } } } }")
    assert found["reportSnapshots"]["totalCount"] == 1
    assert found["reportSnapshots"]["nodes"][0]["csv"] == "a,b"
    assert found["reportSnapshots"]["nodes"][0]["csvPath"] == f"{path}.csv"
    # Somebody in it moves out of sight.
    async with acquire(ALL_TEAMS) as connection:
        await connection.execute("UPDATE users SET group_id = NULL WHERE id = $1", scene.rep)
    assert await status(scene.viewers["view"]) == 404
    assert await status(scene.viewers["admin"]) == 200
