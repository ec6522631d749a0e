"""Webhooks, delivered by a real worker's loops to real HTTP servers.

Invariants:
A. What is sent verifies with a public Standard Webhooks library.
B. Each endpoint has its events in order and at least once, through failures, restarts of the receiver and replays.
C. Nothing is given that the endpoint's owner may not see when it is sent.
D. Private addresses are refused however they are dressed: a literal, a name, a name that changes, a redirect.
E. A receiver that hangs, or answers with 200 MB, harms no other.
F. What fails for three days is parked and shown, and replayed from a cursor.
"""

from __future__ import annotations

import asyncio
import json
import socket as sockets
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
import uvicorn
from standardwebhooks import Webhook
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from domain import events, goals, webhooks
from domain.database import ALL_TEAMS, acquire, in_transaction
from domain.errors import Invalid
from domain.goals import SetGoals, Subject
from domain.identity import Identity
from domain.models import WebhookEndpoint
from domain.models.goals import GoalPeriod
from domain.models.people import Permission
from domain.paging import page_request
from domain.webhooks import EndpointChange
from tests.api.conftest import settings_for
from tests.factories import make_group, make_role, make_team, make_user, viewer_of
from workers import constants, sending
from workers.main import loops
from workers.sending import PublicBackend, Sender

pytestmark = pytest.mark.usefixtures("database")


@dataclass
class Receiver:
    """A server that does what a test says, and keeps what it was sent."""

    url: str = ""
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    behave: Callable[[Request], Awaitable[Response]] | None = None

    async def take(self, request: Request) -> Response:
        body = await request.body()
        answer = PlainTextResponse("thanks") if self.behave is None else await self.behave(request)
        if answer.status_code < 300:
            self.got.append((dict(request.headers), body))
        return answer

    async def wait_for(self, count: int, seconds: float = 20.0) -> list[dict[str, Any]]:
        async with asyncio.timeout(seconds):
            while len(self.got) < count:
                await asyncio.sleep(0.02)
        return [json.loads(body) for _headers, body in self.got]


@pytest.fixture
async def receivers() -> AsyncIterator[Callable[[], Awaitable[Receiver]]]:
    running: list[tuple[uvicorn.Server, asyncio.Future[Any]]] = []

    async def start() -> Receiver:
        receiver = Receiver()
        app = Starlette(routes=[Route("/{rest:path}", receiver.take, methods=["POST", "GET"])])
        config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", lifespan="off")
        server = uvicorn.Server(config)
        running.append((server, asyncio.ensure_future(server.serve(sockets=[config.bind_socket()]))))
        while not server.started:
            await asyncio.sleep(0.01)
        receiver.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/hook"
        return receiver

    yield start
    for server, task in running:
        server.force_exit = server.should_exit = True
        await task


@dataclass
class Team:
    team_id: UUID
    admin: Identity
    reps: list[UUID]
    settings: Any
    number: int = 0

    @property
    def box(self) -> Any:
        return self.settings.secret_box()

    async def set(self, *user_ids: UUID) -> None:
        self.number += 1
        subjects = tuple(Subject(one, None, ()) for one in user_ids or (self.reps[0],))
        request = SetGoals("CALLS_LOGGED", GoalPeriod.MONTH, Decimal(self.number), subjects)
        now = datetime.now(UTC)
        await in_transaction(ALL_TEAMS, lambda connection: goals.set_goals(connection, self.admin, request, now))

    async def endpoint(self, url: str, owner: Identity | None = None, **change: Any) -> tuple[WebhookEndpoint, str]:
        wanted = EndpointChange(url=url, **change)
        return await in_transaction(
            ALL_TEAMS,
            lambda connection: webhooks.create_endpoint(
                connection, owner or self.admin, self.box, wanted, private_allowed=True
            ),
        )

    async def look(self, endpoint: WebhookEndpoint) -> WebhookEndpoint:
        async with acquire(ALL_TEAMS) as connection:
            found = await webhooks.find_endpoint(connection, self.admin, endpoint.id)
        assert found is not None
        return found

    async def log(self, endpoint: WebhookEndpoint) -> list[Any]:
        async with acquire(ALL_TEAMS) as connection:
            page = await webhooks.list_deliveries(connection, self.team_id, endpoint.id, page_request(500, None))
        return list(reversed(page.nodes))

    async def until(self, endpoint: WebhookEndpoint, condition: Callable[[WebhookEndpoint], bool]) -> WebhookEndpoint:
        async with asyncio.timeout(20):
            while not condition(found := await self.look(endpoint)):
                await asyncio.sleep(0.05)
        return found


async def make(database_url: str, redis_url: str) -> Team:
    async with acquire(ALL_TEAMS) as connection:
        team_id = await make_team(connection)
        group = await make_group(connection, team_id, "East")
        admin = await make_role(connection, team_id, is_admin=True, name="Admin")
        user = await make_role(connection, team_id)
        viewer = await viewer_of(connection, await make_user(connection, team_id, admin))
        reps = [await make_user(connection, team_id, user, group_id=place) for place in (group, None)]
    settings = settings_for(database_url, redis_url, webhooks_to_private_addresses=True)
    return Team(team_id, viewer, reps, settings)


@pytest.fixture
async def team(database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Team]:
    monkeypatch.setattr(constants, "DELIVERY_SECONDS", 0.1)
    monkeypatch.setattr(webhooks, "RETRY_FIRST_SECONDS", 0.1)
    made = await make(database_url, redis_url)
    async with loops(made.settings):
        yield made


async def test_signed_and_in_order(team: Team, receivers: Any) -> None:
    receiver = await receivers()
    await team.set()  # before the endpoint was made
    endpoint, secret = await team.endpoint(receiver.url)
    for _ in range(5):
        await team.set(*team.reps)
    bodies = await receiver.wait_for(10)
    for headers, body in receiver.got:
        verified = Webhook(secret).verify(body, headers)
        assert verified == json.loads(body)
        assert headers["user-agent"].startswith("Sideline")
    async with acquire(ALL_TEAMS) as connection:
        stored = await events.read_events(connection, team.team_id, 1, 100)
    assert [body["cursor"] for body in bodies] == [events.cursor_of(team.team_id, one.position) for one in stored]
    assert [headers["webhook-id"] for headers, _ in receiver.got] == [f"msg_{one.id.hex}" for one in stored]
    assert bodies[0]["type"] == "GOAL_UPDATED"
    assert bodies[1]["type"] == "GOAL_CREATED"
    assert Decimal(bodies[0]["data"]["after"]["target"]) == 2
    found = await team.until(endpoint, lambda one: one.position == stored[-1].position)
    assert found.failures == 0
    log = await team.log(endpoint)
    assert [(one.status_code, one.error, one.response) for one in log] == [(200, None, "thanks")] * 10


async def test_failures_are_retried_in_order(team: Team, receivers: Any) -> None:
    receiver = await receivers()
    failures = 3

    async def fail(_request: Request) -> Response:
        nonlocal failures
        failures -= 1
        return PlainTextResponse("no", 503 if failures > 0 else 200)

    receiver.behave = fail
    endpoint, _secret = await team.endpoint(receiver.url)
    for _ in range(3):
        await team.set()
    bodies = await receiver.wait_for(3)
    assert [Decimal(body["data"]["after"]["target"]) for body in bodies] == [1, 2, 3]
    await team.until(endpoint, lambda one: one.position == 3)
    log = await team.log(endpoint)
    assert [(one.attempt, one.status_code) for one in log] == [(1, 503), (2, 503), (3, 200), (1, 200), (1, 200)]
    assert len({one.message_id for one in log[:3]}) == 1


async def test_types_filters_and_the_owners_rights(team: Team, receivers: Any) -> None:
    one, two, three = await receivers(), await receivers(), await receivers()
    async with acquire(ALL_TEAMS) as connection:
        role = await make_role(connection, team.team_id, *Permission)
        group = await connection.fetchval("SELECT group_id FROM users WHERE id = $1", team.reps[0])
        owner = await viewer_of(connection, await make_user(connection, team.team_id, role, group_id=group))
    from domain.goal_events import GoalFilter

    await team.endpoint(one.url, types=(events.EventType.GOAL_CREATED,))
    await team.endpoint(two.url, goals=GoalFilter(user_ids=(team.reps[1],)))
    mine, _secret = await team.endpoint(three.url, owner)
    await team.set(*team.reps)
    await team.set(*team.reps)
    assert [body["type"] for body in await one.wait_for(2)] == ["GOAL_CREATED"] * 2
    subjects = {body["data"]["goal"]["subject"]["id"] for body in await two.wait_for(2)}
    bodies = await three.wait_for(2)
    assert {body["data"]["goal"]["subject"]["id"] for body in bodies}.isdisjoint(subjects)
    assert {body["data"]["actor"] for body in bodies} == {None}  # the admin is out of the owner's sight
    await team.until(mine, lambda found: found.position == 4)
    async with acquire(ALL_TEAMS) as connection:
        await connection.execute("UPDATE users SET active = false WHERE id = $1", owner.user_id)
    await team.set()
    found = await team.until(mine, lambda found: found.state == "PARKED")
    assert "owner" in (found.last_error or "")
    assert (len(one.got), len(two.got), len(three.got)) == (2, 2, 2)


async def test_a_hanging_and_a_flooding_receiver_harm_nobody(
    team: Team, receivers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "ATTEMPT_SECONDS", 1.0)
    hanging, flooding, good = await receivers(), await receivers(), await receivers()
    sent = 0

    async def hang(_request: Request) -> Response:
        await asyncio.sleep(60)
        return PlainTextResponse("late")

    async def flood(request: Request) -> Response:
        async def pieces() -> AsyncIterator[bytes]:
            nonlocal sent
            for _ in range(3200):
                if await request.is_disconnected():
                    return
                sent += 65_536
                yield b"x" * 65_536

        return StreamingResponse(pieces(), status_code=200)

    hanging.behave, flooding.behave = hang, flood
    slow, _ = await team.endpoint(hanging.url)
    wet, _ = await team.endpoint(flooding.url)
    fine, _ = await team.endpoint(good.url)
    for _ in range(4):
        await team.set()
    await good.wait_for(4, seconds=5)
    await team.until(fine, lambda one: one.position == 4)
    await team.until(wet, lambda one: one.position == 4)
    found = await team.until(slow, lambda one: one.failures >= 1)
    assert "did not answer" in (found.last_error or "")
    assert sent < 4 * 50_000_000  # of 4 x 200 MB
    assert all(len(one.response) <= sending.RESPONSE_BYTES for one in await team.log(wet))


async def test_parked_after_three_days_and_replayed(team: Team, receivers: Any) -> None:
    receiver = await receivers()
    broken = True

    async def fail(_request: Request) -> Response:
        return PlainTextResponse("no", 500 if broken else 200)

    receiver.behave = fail
    endpoint, _secret = await team.endpoint(receiver.url)
    await team.set()
    await team.until(endpoint, lambda one: one.failures >= 1)
    async with acquire(ALL_TEAMS) as connection:
        await connection.execute(
            "UPDATE webhook_endpoints SET failing_since = $2, due_at = now() WHERE id = $1",
            endpoint.id,
            datetime.now(UTC) - timedelta(days=3),
        )
    parked = await team.until(endpoint, lambda one: one.state == "PARKED")
    assert "500" in (parked.last_error or "")
    await team.set()
    broken = False
    start = events.cursor_of(team.team_id, 0)
    await in_transaction(ALL_TEAMS, lambda connection: webhooks.replay(connection, team.admin, endpoint.id, start))
    bodies = await receiver.wait_for(2)
    await in_transaction(ALL_TEAMS, lambda connection: webhooks.replay(connection, team.admin, endpoint.id, start))
    again = (await receiver.wait_for(4))[2:]
    assert bodies == again
    gone = await receivers()
    gone.behave = lambda _request: asyncio.sleep(0, Response(status_code=410))
    other, _secret = await team.endpoint(gone.url)
    await team.set()
    await team.until(other, lambda one: one.state == "PARKED")


def test_the_waits_grow_to_hours() -> None:
    waits = [webhooks.retry_seconds(failures, 1.0) for failures in range(1, 30)]
    assert waits[:4] == [5, 10, 20, 40]
    assert waits[-1] == 6 * 3600
    assert webhooks.retry_seconds(10_000, 0.0) == 3 * 3600


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/",
        "https://localhost/",
        "https://127.0.0.1/",
        "https://127.1.2.3:8443/x",
        "https://10.0.0.8/",
        "https://192.168.1.1/",
        "https://169.254.169.254/latest/meta-data",
        "https://[::1]/",
        "https://[fd00::1]/",
        "https://[fe80::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://[64:ff9b::a00:1]/",
        "https://[2002:7f00:1::]/",
        "https://0.0.0.0/",
        "https://224.0.0.1/",
        "https://user:pass@example.com/",
        "ftp://example.com/",
        "https:///path",
        "https://exämple.com/",
        "https://[nonsense/",
        "x",
    ],
)
def test_addresses_that_are_refused(url: str) -> None:
    with pytest.raises(Invalid):
        webhooks.check_url(url, private_allowed=False)


def test_addresses_that_are_not() -> None:
    for url in ("https://example.com/hook", "https://8.8.8.8/", "https://[2606:4700::1111]/x"):
        webhooks.check_url(url, private_allowed=False)
    webhooks.check_url("http://127.0.0.1:9/", private_allowed=True)


async def test_where_a_name_leads_is_checked_when_it_is_used(monkeypatch: pytest.MonkeyPatch, receivers: Any) -> None:
    """A name that led to a public address when the endpoint was made, and leads home when it is delivered to."""
    receiver = await receivers()
    port = int(receiver.url.split(":")[2].split("/")[0])
    loop = asyncio.get_running_loop()
    answers = [
        [(sockets.AF_INET, sockets.SOCK_STREAM, 6, "", ("127.0.0.1", port))],
        [
            (sockets.AF_INET, sockets.SOCK_STREAM, 6, "", ("93.184.215.14", port)),
            (sockets.AF_INET, sockets.SOCK_STREAM, 6, "", ("169.254.169.254", port)),
        ],
    ]

    async def resolve(*_arguments: Any, **_options: Any) -> Any:
        return answers.pop(0)

    monkeypatch.setattr(loop, "getaddrinfo", resolve)
    sender = Sender(private_allowed=False)
    for _ in range(2):
        attempt = await sender.send(f"http://rebind.example:{port}/hook", {}, b"{}")
        assert attempt.status_code is None
        assert "not of the public internet" in (attempt.error or "")
    await sender.close()
    assert receiver.got == []
    with pytest.raises(sending.ForbiddenAddress):
        await PublicBackend(private_allowed=True).connect_unix_socket("/x")


async def test_a_redirect_is_a_failure(team: Team, receivers: Any) -> None:
    home, door = await receivers(), await receivers()
    door.behave = lambda _request: asyncio.sleep(0, RedirectResponse(home.url, 307))
    endpoint, _secret = await team.endpoint(door.url)
    await team.set()
    found = await team.until(endpoint, lambda one: one.failures >= 1)
    assert "307" in (found.last_error or "")
    assert home.got == []


async def test_a_deliverer_that_dies_is_followed_by_another(
    database_url: str, redis_url: str, receivers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first dies after the receiver has said yes and before that is committed: the same message comes again."""
    monkeypatch.setattr(constants, "DELIVERY_SECONDS", 0.1)
    monkeypatch.setattr(webhooks, "LEASE_SECONDS", 0.5)
    made = await make(database_url, redis_url)
    receiver = await receivers()
    original = webhooks.finish

    async def die(*_arguments: Any) -> bool:
        raise OSError("killed")

    monkeypatch.setattr(webhooks, "finish", die)
    async with loops(made.settings):
        endpoint, _secret = await made.endpoint(receiver.url)
        await made.set()
        await receiver.wait_for(1)
    monkeypatch.setattr(webhooks, "finish", original)
    async with loops(made.settings):
        await made.until(endpoint, lambda one: one.position == 1)
    ids = {headers["webhook-id"] for headers, _body in receiver.got}
    assert len(ids) == 1
    assert len(receiver.got) >= 2
