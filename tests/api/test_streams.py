"""Subscriptions over WebSocket and server-sent events, on a real server with a real relay.

Invariants:
A. Replay and live join without a seam: every event once, in order, however many write meanwhile.
B. Each event is given with the viewer's rights at that moment.
C. A credential's end ends the stream with a typed close, even when nothing happens.
D. A cursor that is unknown or too old is an error, never a silent jump.
E. Who cannot follow is cut, with a cursor that loses nothing.
F. An answer that is the same for all is made once.
G. Numbers come at most once a second, and the last state always comes.
H. An emptied Redis delays and loses nothing.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import httpx
import pytest
import uvicorn
from redis.asyncio import Redis

from api import connections, streaming
from api import hub as hub_module
from api.app import create_app
from domain import events, goals, ingest
from domain.database import ALL_TEAMS, acquire, in_transaction
from domain.goals import SetGoals, Subject
from domain.identity import Identity
from domain.ids import encode_id
from domain.models.goals import GoalPeriod
from domain.records import decode_mapping
from domain.settings import Settings
from domain.tokens import create_token, revoke_token
from tests.api.conftest import settings_for
from tests.factories import make_group, make_role, make_team, make_user, viewer_of
from tests.streams import EVENTS, socket, sse, take
from workers.main import loops


@dataclass
class Served:
    """The application on a port, with the relay and the evaluator of a worker."""

    url: str
    settings: Settings
    redis_url: str

    async def team(self) -> Team:
        """A team with an admin, a manager of a group, and two reps of it."""
        async with acquire(ALL_TEAMS) as connection:
            team_id = await make_team(connection)
            group = await make_group(connection, team_id, "East")
            admin_role = await make_role(connection, team_id, is_admin=True, name="Admin")
            manager_role = await make_role(connection, team_id, "TEAM_VIEW", "MANAGE_GOALS")
            user_role = await make_role(connection, team_id)
            admin = await viewer_of(connection, await make_user(connection, team_id, admin_role))
            manager = await viewer_of(connection, await make_user(connection, team_id, manager_role, group_id=group))
            reps = [
                await make_user(connection, team_id, user_role, group_id=group, name=f"Rep {n}", email=f"rep{n}@x.test")
                for n in range(2)
            ]
            far = await make_user(connection, team_id, user_role, name="Far")
        return Team(team_id, admin, manager, reps, far, user_role)


@dataclass
class Team:
    """Its people."""

    team_id: UUID
    admin: Identity
    manager: Identity
    reps: list[UUID]
    far: UUID
    user_role: UUID
    number: int = 0

    async def token(self, user_id: UUID) -> str:
        async with acquire(ALL_TEAMS) as connection:
            return (await create_token(connection, self.team_id, user_id, name="test")).text

    async def set(self, *user_ids: UUID, period: GoalPeriod = GoalPeriod.MONTH) -> int:
        """Change goals; returns the new target."""
        self.number += 1
        number = self.number
        subjects = tuple(Subject(one, None, ()) for one in user_ids or (self.reps[0],))
        request = SetGoals("CALLS_LOGGED", period, Decimal(number), subjects)
        now = datetime.now(UTC)
        await in_transaction(ALL_TEAMS, lambda connection: goals.set_goals(connection, self.admin, request, now))
        return number

    async def cursors(self) -> list[str]:
        async with acquire(ALL_TEAMS) as connection:
            found = await events.read_events(connection, self.team_id, 0, 100_000)
        return [events.cursor_of(self.team_id, one.position) for one in found]


@pytest.fixture(params=[None])
async def served(
    database_url: str, redis_url: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Served]:
    """With a parameter: how often PostgreSQL is asked for what Redis did not bring, in seconds."""
    monkeypatch.setattr(connections, "WATCH_SECONDS", 0.2)
    if request.param is not None:
        monkeypatch.setattr(hub_module, "POLL_SECONDS", request.param)
    settings = settings_for(database_url, redis_url, ping_seconds=0.2, streams_per_connection=5, streams_per_user=8)
    app = create_app(settings)
    config = uvicorn.Config(
        app, host="127.0.0.1", port=0, log_level="error", lifespan="on", ws_per_message_deflate=False
    )
    server = uvicorn.Server(config)
    running = asyncio.ensure_future(server.serve(sockets=[config.bind_socket()]))
    async with asyncio.timeout(20):
        while not server.started:
            assert not running.done(), running
            await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    async with loops(settings):
        yield Served(f"http://127.0.0.1:{port}", settings, redis_url)
    server.should_exit = True
    await running


async def test_replay_and_live_without_a_seam(served: Served) -> None:
    team = await served.team()
    token = await team.token(team.admin.user_id)
    await team.set(*team.reps)
    writing = True

    async def write(seed: int) -> None:
        chance = random.Random(seed)
        while writing:
            await team.set(chance.choice([*team.reps, team.far]), period=chance.choice([*GoalPeriod]))
            await asyncio.sleep(chance.random() / 50)

    writers = [asyncio.ensure_future(write(seed)) for seed in range(4)]
    async with socket(served.url, token) as client:
        queues = []
        start = events.cursor_of(team.team_id, 0)
        for _ in range(4):
            queues.append(await client.subscribe(EVENTS, after=start))
            await asyncio.sleep(0.15)
        over_sse: list[str] = []

        async def listen() -> None:
            async for answer in sse(served.url, token, EVENTS, after=start):
                # As it comes: the list is looked at meanwhile.
                over_sse.append(answer["data"]["goalEvents"]["cursor"])  # noqa: PERF401

        listening = asyncio.ensure_future(listen())
        await asyncio.sleep(0.5)
        writing = False
        await asyncio.gather(*writers)
        expected = await team.cursors()
        assert len(expected) > 30
        found = [[one["goalEvents"]["cursor"] for one in await take(queue, len(expected))] for queue in queues]
        async with asyncio.timeout(15):
            while len(over_sse) < len(expected):
                await asyncio.sleep(0.01)
        listening.cancel()
        middle = len(expected) // 2
        rest = await client.subscribe(EVENTS, after=expected[middle])
        tail = [one["goalEvents"]["cursor"] for one in await take(rest, len(expected) - middle - 1)]
    assert all(one == expected for one in found)
    assert over_sse == expected
    assert tail == expected[middle + 1 :]


async def test_readers_that_poll_never_skip(served: Served) -> None:
    """Writers hold their transactions open for random times and some roll back; positions stay in commit order."""
    team = await served.team()
    done = False

    async def write(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(15):
            undo = chance.random() < 0.3

            async def work(connection: Any, undo: bool = undo) -> None:
                await asyncio.sleep(chance.random() / 100)
                await events.record(
                    connection, team.team_id, [events.NewEvent(events.EventType.GOAL_CREATED, {}, None)] * 2
                )
                await asyncio.sleep(chance.random() / 100)
                if undo:
                    raise ZeroDivisionError

            try:
                await in_transaction(ALL_TEAMS, work)
            except ZeroDivisionError:
                assert undo

    async def poll() -> list[int]:
        seen: list[int] = []
        while True:
            last_round = done
            async with acquire(ALL_TEAMS) as connection:
                found = await events.read_events(connection, team.team_id, seen[-1] if seen else 0, 3)
            seen += [one.position for one in found]
            if last_round and not found:
                return seen
            await asyncio.sleep(0)

    polling = [asyncio.ensure_future(poll()) for _ in range(2)]
    await asyncio.gather(*(write(seed) for seed in range(5)))
    done = True
    for seen in await asyncio.gather(*polling):
        assert seen == list(range(1, len(await team.cursors()) + 1))


async def test_rights_of_the_moment(served: Served) -> None:
    team = await served.team()
    token = await team.token(team.manager.user_id)
    async with socket(served.url, token) as client:
        queue = await client.subscribe(EVENTS)
        await asyncio.sleep(0.2)
        await team.set(team.far)
        first = await team.set(team.reps[0])
        assert int((await take(queue, 1))[0]["goalEvents"]["goal"]["target"]) == first
        async with acquire(ALL_TEAMS) as connection:
            role = await connection.fetchval("SELECT role_id FROM users WHERE id = $1", team.manager.user_id)
            await connection.execute(
                "UPDATE users SET role_id = $2 WHERE id = $1", team.manager.user_id, team.user_role
            )
        await team.set(team.reps[0])
        own = await team.set(team.manager.user_id)
        assert int((await take(queue, 1))[0]["goalEvents"]["goal"]["target"]) == own
        async with acquire(ALL_TEAMS) as connection:
            await connection.execute("UPDATE users SET role_id = $2 WHERE id = $1", team.manager.user_id, role)
        last = await team.set(team.reps[1])
        assert int((await take(queue, 1))[0]["goalEvents"]["goal"]["target"]) == last


async def test_a_filter(served: Served) -> None:
    team = await served.team()
    token = await team.token(team.admin.user_id)
    async with socket(served.url, token) as client:
        queue = await client.subscribe(
            EVENTS, filter={"userIds": [encode_id("User", team.far)], "periods": ["WEEK"], "metrics": ["CALLS_LOGGED"]}
        )
        await asyncio.sleep(0.2)
        await team.set(team.reps[0], period=GoalPeriod.WEEK)
        await team.set(team.far)
        wanted = await team.set(team.far, period=GoalPeriod.WEEK)
        assert int((await take(queue, 1))[0]["goalEvents"]["goal"]["target"]) == wanted


async def test_a_revoked_token_ends_idle_streams(served: Served) -> None:
    team = await served.team()
    token = await team.token(team.admin.user_id)
    over_sse: list[Any] = []

    async def listen() -> None:
        over_sse.extend([answer async for answer in sse(served.url, token, EVENTS)])

    listening = asyncio.ensure_future(listen())
    async with socket(served.url, token) as client:
        queue = await client.subscribe(EVENTS)
        await asyncio.sleep(0.3)
        async with acquire(ALL_TEAMS) as connection:
            row = await connection.fetchval("SELECT id FROM tokens WHERE user_id = $1", team.admin.user_id)
            await revoke_token(connection, team.team_id, row)
        async with asyncio.timeout(10):
            message = await queue.get()
            await client.raw.wait_closed()
            await listening
    assert message["type"] == "error"
    assert message["payload"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    assert client.raw.close_code == 4401
    assert over_sse[0]["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


async def test_cursors_that_do_not_fit(served: Served) -> None:
    team, other = await served.team(), await served.team()
    token = await team.token(team.admin.user_id)
    await other.set()
    for _ in range(3):
        await team.set()
    cursors = await team.cursors()
    async with acquire(ALL_TEAMS) as connection:
        await connection.execute(
            "UPDATE events SET occurred_at = now() - interval '31 days' WHERE team_id = $1 AND position <= 2",
            team.team_id,
        )
        await events.prune(connection)
    ahead = events.cursor_of(team.team_id, 4)
    cases = {
        "nonsense": "CURSOR_UNKNOWN",
        ahead: "CURSOR_UNKNOWN",
        (await other.cursors())[0]: "CURSOR_UNKNOWN",
        cursors[0]: "CURSOR_EXPIRED",
    }
    async with socket(served.url, token) as client:
        for cursor, code in cases.items():
            queue = await client.subscribe(EVENTS, after=cursor)
            message = await asyncio.wait_for(queue.get(), 10)
            assert (message["type"], message["payload"][0]["extensions"]["code"]) == ("error", code)
            answers = [answer async for answer in sse(served.url, token, EVENTS, after=cursor)]
            assert [answer["errors"][0]["extensions"]["code"] for answer in answers] == [code]
        queue = await client.subscribe(EVENTS, after=events.cursor_of(team.team_id, 2))
        assert (await take(queue, 1))[0]["goalEvents"]["cursor"] == cursors[2] if len(cursors) > 2 else True


async def test_a_slow_reader_is_cut_and_goes_on(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "LOG_EVENTS", 3)
    team = await served.team()
    token = await team.token(team.admin.user_id)
    held = asyncio.Event()
    original = streaming._answer

    async def slow(*arguments: Any) -> str:
        await held.wait()
        return await original(*arguments)

    monkeypatch.setattr(streaming, "_answer", slow)
    async with socket(served.url, token) as client:
        queue = await client.subscribe(EVENTS)
        await asyncio.sleep(0.2)
        await team.set()
        await asyncio.sleep(0.5)
        for _ in range(8):
            await team.set()
        await asyncio.sleep(1.0)
        held.set()
        first = await take(queue, 1)
        message = await asyncio.wait_for(queue.get(), 10)
        assert message["type"] == "error"
        extensions = message["payload"][0]["extensions"]
        assert (extensions["code"], extensions["cursor"]) == ("SLOW_READER", first[0]["goalEvents"]["cursor"])
        again = await client.subscribe(EVENTS, after=extensions["cursor"])
        rest = [one["goalEvents"]["cursor"] for one in await take(again, 8)]
    assert [first[0]["goalEvents"]["cursor"], *rest] == await team.cursors()


async def test_an_answer_that_is_the_same_is_made_once(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    team = await served.team()
    made = 0
    original = streaming._answer

    async def counted(*arguments: Any) -> str:
        nonlocal made
        made += 1
        return await original(*arguments)

    monkeypatch.setattr(streaming, "_answer", counted)
    monkeypatch.setattr(streaming, "_plan", lambda *_arguments: None)
    admin, manager = await team.token(team.admin.user_id), await team.token(team.manager.user_id)
    own = "subscription { goalEvents { cursor goal { setBy { name } subject { ... on User { manager { name } } } } } }"
    async with socket(served.url, admin) as one, socket(served.url, manager) as two:
        same = [await client.subscribe(EVENTS) for client in (one, two) for _ in range(3)]
        differs = await two.subscribe(own)
        await asyncio.sleep(0.3)
        for _ in range(3):
            await team.set()
        for queue in same:
            await take(queue, 3)
        found = await take(differs, 3)
    assert made == 3 + 3
    assert found[0]["goalEvents"]["goal"]["setBy"] is None  # the admin is out of the manager's sight


async def test_the_two_ways_of_answering_agree(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    team = await served.team()
    token = await team.token(team.admin.user_id)
    async with acquire(ALL_TEAMS) as connection:
        await events.record(connection, team.team_id, [])
    await team.set(*team.reps)
    await team.set(team.reps[0])
    goal_id = await _remove_one(team)
    assert goal_id
    document = """subscription($after: String) { it: goalEvents(after: $after) {
        cursor kind: type at statusBefore statusAfter periodStart
        goal { id metric period target effectiveFrom effectiveTo version derived }
        before { version target effectiveFrom effectiveTo setAt } after { version target } } }"""
    start = events.cursor_of(team.team_id, 0)
    async with socket(served.url, token) as client:
        short = await take(await client.subscribe(document, after=start), 4)
    monkeypatch.setattr(streaming, "_plan", lambda *_arguments: None)
    async with socket(served.url, token) as client:
        long = await take(await client.subscribe(document, after=start), 4)
    assert short == long
    assert [one["it"]["kind"] for one in short] == ["GOAL_CREATED", "GOAL_CREATED", "GOAL_UPDATED", "GOAL_REMOVED"]


async def _remove_one(team: Team) -> UUID:
    async with acquire(ALL_TEAMS) as connection:
        goal_id: UUID = await connection.fetchval("SELECT id FROM goals WHERE user_id = $1", team.reps[0])
    request = goals.RemoveGoals(((goal_id, ()),))
    now = datetime.now(UTC)
    await in_transaction(ALL_TEAMS, lambda connection: goals.remove_goals(connection, team.admin, request, now))
    return goal_id


async def test_an_event_that_cannot_be_told_whole_is_not_told(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """The database goes away while an event is answered: the connection ends, and the event comes after it again."""
    from api.context import Context

    team = await served.team()
    token = await team.token(team.admin.user_id)
    original, away = Context._load_goal_subjects, True

    async def load(self: Context, ids: list[UUID]) -> Any:
        if away:
            raise ConnectionRefusedError("away")
        return await original(self, ids)

    monkeypatch.setattr(Context, "_load_goal_subjects", load)
    start = events.cursor_of(team.team_id, 0)
    await team.set()
    async with socket(served.url, token) as client:
        queue = await client.subscribe(EVENTS, after=start)
        async with asyncio.timeout(10):
            await client.raw.wait_closed()
        assert client.raw.close_code == 1013
        assert queue.empty()
    away = False
    async with socket(served.url, token) as client:
        await take(await client.subscribe(EVENTS, after=start), 1)


async def test_caps_and_pings(served: Served) -> None:
    team = await served.team()
    token = await team.token(team.admin.user_id)
    async with socket(served.url, token) as one, socket(served.url, token) as two:
        for client, room in ((one, 5), (two, 3)):
            for _ in range(room):
                await client.subscribe(EVENTS)
            await asyncio.sleep(0.3)
            message = await asyncio.wait_for((await client.subscribe(EVENTS)).get(), 5)
            assert message["payload"][0]["extensions"]["code"] == "TOO_MANY_STREAMS"
        answers = [answer async for answer in sse(served.url, token, EVENTS)]
        assert answers[0]["errors"][0]["extensions"]["code"] == "TOO_MANY_STREAMS"
        assert one.pings > 0
        await one.raw.send('{"id":"1","type":"complete"}')
        await asyncio.sleep(0.2)
        queue = await one.subscribe(EVENTS)
        await asyncio.sleep(0.2)
        await team.set()
        await take(queue, 1)


def _email(number: int) -> dict[str, Any]:
    happened = datetime.now(UTC).isoformat()
    return {"kind": "email", "externalId": str(number), "user": "rep0@x.test", "occurredAt": happened, "subject": "x"}


async def test_numbers(served: Served) -> None:
    team = await served.team()
    token = await team.token(team.admin.user_id)
    document = """subscription { metricsUpdated(range: {named: THIS_YEAR}, metrics: [EMAILS_SENT]) {
        metrics { value } } }"""
    async with socket(served.url, token) as client:
        queue = await client.subscribe(document)
        assert (await take(queue, 1))[0]["metricsUpdated"]["metrics"][0]["value"] is None
        began = asyncio.get_running_loop().time()
        for number in range(30):
            await ingest.take_in(team.team_id, "test", [(0, decode_mapping(_email(number)))])
            await asyncio.sleep(0.03)
        states: list[str] = []
        while not states or states[-1] != "30":
            states.append((await take(queue, 1))[0]["metricsUpdated"]["metrics"][0]["value"])
        seconds = asyncio.get_running_loop().time() - began
        assert len(states) <= seconds / 1.0 + 1
        assert [int(one) for one in states] == sorted(int(one) for one in states)


async def test_an_emptied_redis(served: Served) -> None:
    team = await served.team()
    token = await team.token(team.admin.user_id)
    redis = Redis.from_url(served.redis_url)
    async with socket(served.url, token) as client:
        queue = await client.subscribe(EVENTS)
        await asyncio.sleep(0.2)
        for _ in range(5):
            await team.set()
            await redis.flushdb()
            await team.set()
        found = [one["goalEvents"]["cursor"] for one in await take(queue, 10)]
    await redis.aclose()
    assert found == await team.cursors()


@pytest.mark.parametrize("served", [1000.0], indirect=True)
async def test_redis_brings_what_happens(served: Served) -> None:
    """With nobody asking PostgreSQL now and then, events and numbers arrive by the relay and the evaluator alone."""
    team = await served.team()
    token = await team.token(team.admin.user_id)
    numbers = "subscription { metricsUpdated(range: {named: THIS_YEAR}, metrics: [EMAILS_SENT]) { metrics { value } } }"
    async with socket(served.url, token) as client:
        goal_events, states = await client.subscribe(EVENTS), await client.subscribe(numbers)
        await take(states, 1)
        for _ in range(3):
            await team.set(*team.reps)
            await take(goal_events, 2, seconds=5)
        await ingest.take_in(team.team_id, "test", [(0, decode_mapping(_email(1)))])
        async with asyncio.timeout(10):
            while (await take(states, 1))[0]["metricsUpdated"]["metrics"][0]["value"] != "1":
                pass


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("no json", 4400),
        ('{"type":"strange"}', 4400),
        ('{"type":"connection_init"}', 4429),
        ('{"id":"1","type":"subscribe","payload":{}}', 4400),
        (b"bytes", 4400),
    ],
)
async def test_what_is_no_message(served: Served, message: str | bytes, code: int) -> None:
    team = await served.team()
    async with socket(served.url, await team.token(team.admin.user_id)) as client:
        await client.raw.send(message)
        async with asyncio.timeout(5):
            await client.raw.wait_closed()
        assert client.raw.close_code == code


async def test_queries_and_mutations_over_streams(served: Served) -> None:
    team = await served.team()
    token = await team.token(team.admin.user_id)
    mutation = """mutation($id: ID!) {
        setGoals(input: {metric: CALLS_LOGGED, period: WEEK, target: "5", userIds: [$id]}) {
        goals { target progress { target } } errors { code } } }"""
    async with socket(served.url, token) as client:
        queue = await client.subscribe("{ viewer { user { id } } }")
        (me,) = await take(queue, 1)
        assert (await asyncio.wait_for(queue.get(), 5))["type"] == "complete"
        (done,) = await take(await client.subscribe(mutation, id=me["viewer"]["user"]["id"]), 1)
        assert done["setGoals"] == {"goals": [{"target": "5", "progress": {"target": "5"}}], "errors": []}
        wrong = await asyncio.wait_for((await client.subscribe("{ nothing }")).get(), 5)
        assert (wrong["type"], wrong["payload"][0]["extensions"]["code"]) == ("error", "GRAPHQL_VALIDATION_FAILED")
        # What fails while it is executed is told as over HTTP: by code, and with the id of the request.
        page = "{ teamDashboard(range: {named: TODAY}, metrics: [CALLS_LOGGED]) { reps(first: -1) { totalCount } } }"
        partial = await asyncio.wait_for((await client.subscribe(page)).get(), 5)
        (error,) = partial["payload"]["errors"]
        assert (partial["type"], error["extensions"]["code"]) == ("next", "INVALID")
        assert error["extensions"]["requestId"]
    async with httpx.AsyncClient() as plain:
        told = await plain.post(
            f"{served.url}/graphql", json={"query": EVENTS}, headers={"authorization": f"Bearer {token}"}
        )
    assert "text/event-stream" in told.json()["errors"][0]["message"]
    assert told.json()["errors"][0]["extensions"]["code"] == "BAD_REQUEST"
    answers = [answer async for answer in sse(served.url, token, "{ viewer { user { id } } }")]
    assert [answer["data"] for answer in answers] == [me]
