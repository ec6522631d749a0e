"""Managing webhook endpoints through GraphQL; tests/workers/test_webhooks.py delivers to them.

Invariants:
A. A secret is shown once, when it is made, and never lies readable in the database.
B. The test button's message is signed, and what became of it is in the log.
C. What is refused is told in the payload, by the input's path.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from standardwebhooks import Webhook

from domain.database import ALL_TEAMS, acquire
from domain.ids import encode_id
from domain.models.base import new_id
from tests.api.conftest import Api
from tests.factories import make_role, make_team, make_user
from workers.jobs import HANDLERS
from workers.main import JobWorker
from workers.webhooks import EndpointTester

FIELDS = (
    "endpoint { id url description types state cursor failures filter { userIds metrics } } secret errors { code path }"
)


async def admin_of(api: Api) -> tuple[Any, str]:
    async with acquire(ALL_TEAMS) as connection:
        team_id = await make_team(connection)
        role = await make_role(connection, team_id, is_admin=True, name="Admin")
        user = await make_user(connection, team_id, role)
    return user, await api.token(user)


async def change(api: Api, token: str, name: str, **given: Any) -> Any:
    kind = {
        "create": "CreateWebhookEndpointInput",
        "update": "UpdateWebhookEndpointInput",
        "replay": "ReplayWebhookEndpointInput",
    }.get(name.split("Webhook")[0], "WebhookEndpointInput")
    document = f"mutation($input: {kind}!) {{ {name}(input: $input) {{ {FIELDS} }} }}"
    return (await api.data(token, document, input=given))[name]


async def test_an_endpoint_through_its_life(api: Api) -> None:
    user, token = await admin_of(api)
    mine = encode_id("User", user)
    made = await change(
        api,
        token,
        "createWebhookEndpoint",
        url="https://example.com/hook",
        description="CRM",
        types=["GOAL_ATTAINED"],
        filter={"userIds": [mine], "metrics": ["EMAILS_SENT"]},
    )
    endpoint, secret = made["endpoint"], made["secret"]
    assert secret.startswith("whsec_")
    assert (endpoint["state"], endpoint["types"], endpoint["failures"]) == ("ACTIVE", ["GOAL_ATTAINED"], 0)
    assert endpoint["filter"] == {"userIds": [mine], "metrics": ["EMAILS_SENT"]}
    async with acquire(ALL_TEAMS) as connection:
        stored = await connection.fetchval("SELECT secret FROM webhook_endpoints WHERE owner_id = $1", user)
    assert secret.encode() not in stored
    assert secret.removeprefix("whsec_").encode() not in stored
    paused = await change(api, token, "updateWebhookEndpoint", endpointId=endpoint["id"], paused=True, types=[])
    assert (paused["endpoint"]["state"], paused["endpoint"]["types"], paused["secret"]) == ("PAUSED", [], None)
    going = await change(api, token, "updateWebhookEndpoint", endpointId=endpoint["id"], paused=False)
    assert going["endpoint"]["state"] == "ACTIVE"
    rotated = await change(api, token, "rotateWebhookSecret", endpointId=endpoint["id"])
    assert rotated["secret"] not in (None, secret)
    again = await change(api, token, "replayWebhookEndpoint", endpointId=endpoint["id"], after=endpoint["cursor"])
    assert again["errors"] == []
    listed = await api.data(token, "{ webhookEndpoints { id deliveries { totalCount } } }")
    assert listed["webhookEndpoints"] == [{"id": endpoint["id"], "deliveries": {"totalCount": 0}}]
    node = "query($id: ID!) { node(id: $id) { ... on WebhookEndpoint { url } } }"
    assert (await api.data(token, node, id=endpoint["id"]))["node"] == {"url": "https://example.com/hook"}
    _other, stranger = await admin_of(api)
    assert (await api.data(stranger, node, id=endpoint["id"]))["node"] is None
    assert (await change(api, stranger, "deleteWebhookEndpoint", endpointId=endpoint["id"]))["errors"][0] == {
        "code": "NOT_FOUND",
        "path": ["input", "endpointId"],
    }
    assert (await change(api, token, "deleteWebhookEndpoint", endpointId=endpoint["id"]))["errors"] == []
    assert (await api.data(token, "{ webhookEndpoints { id } }"))["webhookEndpoints"] == []


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ({"url": "http://example.com/"}, "url"),
        ({"url": "https://10.0.0.1/"}, "url"),
        ({"url": "https://example.com/", "description": "x" * 201}, "description"),
    ],
)
async def test_what_is_refused(api: Api, given: dict[str, Any], path: str) -> None:
    _user, token = await admin_of(api)
    refused = await change(api, token, "createWebhookEndpoint", **given)
    assert (refused["endpoint"], refused["secret"]) == (None, None)
    assert refused["errors"] == [{"code": "INVALID", "path": ["input", path]}]


async def test_a_cursor_that_is_none(api: Api) -> None:
    _user, token = await admin_of(api)
    made = await change(api, token, "createWebhookEndpoint", url="https://example.com/")
    refused = await change(api, token, "replayWebhookEndpoint", endpointId=made["endpoint"]["id"], after="nonsense")
    assert refused["errors"][0]["code"] == "CURSOR_UNKNOWN"
    missing = encode_id("WebhookEndpoint", new_id())
    refused = await change(api, token, "replayWebhookEndpoint", endpointId=missing, after="nonsense")
    assert refused["errors"][0]["code"] == "NOT_FOUND"


async def test_the_test_button(api: Api, redis_url: str) -> None:
    api.app.state.settings.webhooks_to_private_addresses = True
    got: list[tuple[dict[str, str], bytes]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        headers = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if line)
        original = {line.split(": ", 1)[0].lower(): line.split(": ", 1)[1] for line in head.split("\r\n")[1:] if line}
        got.append((original, await reader.readexactly(int(headers["content-length"]))))
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    _user, token = await admin_of(api)
    made = await change(api, token, "createWebhookEndpoint", url=f"http://127.0.0.1:{port}/x")
    tester = EndpointTester(private_allowed=True, box=api.app.state.secret_box)
    worker = JobWorker(redis_url, handlers={**HANDLERS, "webhook_test": tester.run})
    running = asyncio.ensure_future(worker.run())
    document = "mutation($id: ID!) { testWebhookEndpoint(input: {endpointId: $id}) { job { id } errors { code } } }"
    job = (await api.data(token, document, id=made["endpoint"]["id"]))["testWebhookEndpoint"]["job"]
    async with asyncio.timeout(20):
        while True:
            found = await api.data(token, "query($id: ID!) { job(id: $id) { state error } }", id=job["id"])
            if found["job"]["state"] in ("SUCCEEDED", "FAILED"):
                break
            await asyncio.sleep(0.05)
    assert found["job"] == {"state": "SUCCEEDED", "error": None}
    headers, body = got[0]
    assert Webhook(made["secret"]).verify(body, headers)["type"] == "TEST"
    log = await api.data(
        token, "{ webhookEndpoints { deliveries { nodes { type cursor statusCode error attempt } } } }"
    )
    assert log["webhookEndpoints"][0]["deliveries"]["nodes"] == [
        {"type": "TEST", "cursor": None, "statusCode": 204, "error": None, "attempt": 1}
    ]
    server.close()
    job = (await api.data(token, document, id=made["endpoint"]["id"]))["testWebhookEndpoint"]["job"]
    async with asyncio.timeout(20):
        while found["job"]["state"] != "FAILED":
            found = await api.data(token, "query($id: ID!) { job(id: $id) { state error } }", id=job["id"])
            await asyncio.sleep(0.05)
    assert "cannot be reached" in found["job"]["error"]
    worker.stop()
    await running
