"""The Live Call Studio over the API.

Invariants:
A. Nothing but a dialer's own signature, of now, brings an event in; what is wrong with a message is told by a code, and
   of whom it is not, nothing is told.
B. A repeat changes nothing; an id that comes again with another body is refused.
C. Calls, notes and places on calls are seen by who has both permissions of the studio, within their scope.
D. Joining is refused with a code for each reason, and capacity holds whoever comes at once.
E. A subscriber is given the calls in progress, then every change in scope, with the rights of that moment, over both
   transports; the end of the rights or the credential ends the stream.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import orjson
import pytest
import standardwebhooks
from twilio.request_validator import RequestValidator

from api import live_feed
from api.resolvers import live_calls as resolvers
from domain import dialers
from domain.database import ALL_TEAMS, acquire
from domain.ids import encode_id
from domain.live_call_events import LARGEST_EVENT_BYTES
from domain.models import LiveCall
from domain.models.base import new_id
from domain.models.live_calls import TelephonyKind
from domain.models.people import Permission
from domain.tokens import create_token, revoke_token
from domain.webhooks import make_secret
from tests.api.conftest import Api
from tests.api.test_streams import Served, served  # noqa: F401
from tests.factories import make_role, make_user
from tests.live import ACCOUNT, LiveTeam, event
from tests.streams import socket, sse, take

CALLS = (
    "{ liveCalls { totalCount nodes { id state counterpart user { name } joined { user { name } mode } listening } } }"
)
EVENTS = "subscription { liveCallEvents { id state counterpart user { name } joined { mode state user { name } } } }"
JOIN = """mutation($id: ID!, $mode: JoinMode!, $ok: Boolean, $phone: String) {
  joinLiveCall(input: {callId: $id, mode: $mode, consentAcknowledged: $ok, phone: $phone}) {
    call { id joined { mode state } } errors { code path } } }"""


def signed(secret: str, body: bytes, *, message: str | None = None, at: datetime | None = None) -> dict[str, str]:
    """The headers that a dialer sends, made by the reference library of Standard Webhooks."""
    message, at = message or f"msg_{uuid4().hex}", at or datetime.now(UTC)
    return {
        "content-type": "application/json",
        "webhook-id": message,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": standardwebhooks.Webhook(secret).sign(message, at, body.decode()),
    }


def body_of(kind: str, call: str = "1", at: datetime | None = None, **data: Any) -> bytes:
    stamp = (at or datetime.now(UTC)).isoformat()
    return orjson.dumps({"type": f"call.{kind}", "timestamp": stamp, "data": {"call": call, **data}})


async def send(api: Api, team: LiveTeam, body: bytes, **headers: str) -> httpx.Response:
    """A message to the team's dialer; signed unless told otherwise."""
    path = f"/live-calls/{encode_id('Dialer', team.dialer.id)}"
    return await api.http.post(path, content=body, headers={**signed(team.secret, body), **headers})


def code_of(response: httpx.Response) -> str:
    found: str = response.json()["errors"][0]["extensions"]["code"]
    return found


async def test_signed_events_come_in_once(api: Api) -> None:
    team = await LiveTeam().build()
    user = await team.email(team.reps[0])
    body = body_of("started", user=user, counterpart="Dana")
    headers = signed(team.secret, body)
    path = f"/live-calls/{encode_id('Dialer', team.dialer.id)}"
    first = await api.http.post(path, content=body, headers=headers)
    assert (first.status_code, first.json()["status"]) == (200, "taken")
    again = await api.http.post(path, content=body, headers=headers)
    assert (again.status_code, again.json()["status"]) == (200, "repeated")
    other = body_of("ended")
    reused = await api.http.post(path, content=other, headers=signed(team.secret, other, message=headers["webhook-id"]))
    assert (reused.status_code, code_of(reused)) == (409, "MESSAGE_ID_REUSED")
    token = await api.token(team.managers[0])
    (call,) = (await api.data(token, CALLS))["liveCalls"]["nodes"]
    assert call == {
        "id": first.json()["liveCall"]["id"],
        "state": "RINGING",
        "counterpart": "Dana",
        "user": {"name": "Rep 0"},
        "joined": [],
        "listening": 0,
    }
    old = await send(api, team, body_of("updated", at=datetime.now(UTC) - timedelta(days=20), counterpart="x"))
    assert old.json() == {"status": "ignored", "liveCall": None}


async def test_nothing_else_comes_in(api: Api) -> None:
    team, other = await LiveTeam().build(), await LiveTeam().build()
    body = body_of("started", user=await team.email(team.reps[0]))
    now = datetime.now(UTC)
    good = signed(team.secret, body)
    attacks: dict[str, dict[str, str]] = {
        "no signature": {**good, "webhook-signature": ""},
        "other body": signed(team.secret, body + b" "),
        "other team's secret": signed(other.secret, body),
        "nobody's secret": signed(make_secret(), body),
        "too old": signed(team.secret, body, at=now - timedelta(seconds=301)),
        "too new": signed(team.secret, body, at=now + timedelta(seconds=310)),
        "other id": {**good, "webhook-id": "msg_other"},
        "other time": {**good, "webhook-timestamp": str(int(now.timestamp()) - 1)},
        "other version": {**good, "webhook-signature": good["webhook-signature"].replace("v1,", "v2,")},
        "no version": {**good, "webhook-signature": good["webhook-signature"].removeprefix("v1,")},
        "half of it": {**good, "webhook-signature": good["webhook-signature"][:20]},
        "not ASCII": {**good, "webhook-signature": "v1,é"},
    }
    path = f"/live-calls/{encode_id('Dialer', team.dialer.id)}"
    answers = {}
    for name, headers in attacks.items():
        sent = {key.encode(): value.encode("latin-1") for key, value in headers.items()}
        response = await api.http.post(path, content=body, headers=sent)
        assert (response.status_code, code_of(response)) == (401, "UNAUTHENTICATED"), name
        answers[name] = response.json()["errors"][0]["message"]
    unknown = await api.http.post(f"/live-calls/{encode_id('Dialer', new_id())}", content=body, headers=good)
    assert unknown.status_code == 401
    assert {*answers.values(), unknown.json()["errors"][0]["message"]} == {answers["other body"]}
    assert (await api.http.post("/live-calls/nonsense", content=body, headers=good)).status_code == 401
    for name, value in (("webhook-id", ""), ("webhook-timestamp", "yesterday"), ("webhook-id", "x" * 201)):
        response = await api.http.post(path, content=body, headers={**good, name: value})
        assert (response.status_code, code_of(response)) == (400, "INVALID")
    many = await api.http.post(path, content=body, headers={**good, "webhook-signature": "v1,x " * 20})
    assert many.status_code == 400
    async with acquire(ALL_TEAMS) as connection:
        count = await connection.fetchval("SELECT count(*) FROM live_calls WHERE team_id = $1", team.team_id)
        assert count == 0
        assert not await connection.fetchval("SELECT count(*) FROM dialer_messages WHERE team_id = $1", team.team_id)


async def test_what_a_message_may_hold(api: Api) -> None:
    team = await LiveTeam().build()
    large = b'{"type":"' + b"x" * LARGEST_EVENT_BYTES + b'"}'
    response = await send(api, team, large)
    assert (response.status_code, code_of(response)) == (400, "LIMIT_EXCEEDED")

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"x" * 1024

    path = f"/live-calls/{encode_id('Dialer', team.dialer.id)}"
    streamed = await api.http.post(path, content=pieces(), headers=signed(team.secret, b""))
    assert code_of(streamed) == "LIMIT_EXCEEDED"
    for body, field in (
        (b"{", "body"),
        (body_of("moved"), "body"),
        (body_of("started", user="nobody@nowhere.test"), "user"),
        (body_of("started", at=datetime.now(UTC) + timedelta(hours=1)), "timestamp"),
        (body_of("started", userJurisdiction="California"), "userJurisdiction"),
    ):
        response = await send(api, team, body)
        assert (response.status_code, code_of(response)) == (400, "INVALID")
        assert response.json()["errors"][0]["extensions"]["input"][-1] == field
    # A message that was refused may come again, mended, with the same id.
    headers = signed(team.secret, body_of("started", user="nobody@nowhere.test"))
    mended = body_of("started", user=await team.email(team.reps[0]))
    response = await send(api, team, mended, **signed(team.secret, mended, message=headers["webhook-id"]))
    assert response.json()["status"] == "taken"


async def test_without_a_key_no_signature_can_be_checked(api: Api) -> None:
    team = await LiveTeam().build()
    api.app.state.secret_box = None
    response = await send(api, team, body_of("started"))
    assert (response.status_code, code_of(response)) == (503, "UNAVAILABLE")


CREATE = """mutation($input: CreateDialerInput!) { createDialer(input: $input) {
  dialer { id name telephony accountName webhookPath twilioCallbackPath } secret errors { code path } } }"""


async def test_dialers_are_managed_by_who_manages_the_team(api: Api) -> None:
    team = await LiveTeam().build()
    async with acquire(ALL_TEAMS) as connection:
        role = await make_role(connection, team.team_id, Permission.MANAGE_TEAM)
        keeper = await make_user(connection, team.team_id, role)
    token = await api.token(keeper)
    account = {"accountSid": ACCOUNT.account_sid, "authToken": ACCOUNT.auth_token, "callerId": ACCOUNT.caller_id}
    given = {"name": "Phones", "telephony": "TWILIO", "twilio": account}
    made = (await api.data(token, CREATE, input=given))["createDialer"]
    dialer = made["dialer"]
    assert (dialer["name"], dialer["telephony"], dialer["accountName"]) == ("Phones", "TWILIO", ACCOUNT.account_sid)
    assert dialer["twilioCallbackPath"] == dialer["webhookPath"] + "/twilio"
    for wrong, path in (
        ({"name": ""}, ["input", "name"]),
        ({"name": "Phones"}, ["input", "name"]),
        ({"name": "x", "telephony": "TWILIO"}, ["input", "twilio"]),
        ({"name": "x", "twilio": account}, ["input", "twilio"]),
        (
            {"name": "x", "telephony": "TWILIO", "twilio": {**account, "accountSid": "x"}},
            ["input", "twilio", "accountSid"],
        ),
    ):
        refused = (await api.data(token, CREATE, input=wrong))["createDialer"]
        assert refused["errors"][0]["path"] == path
    async with acquire(ALL_TEAMS) as connection:
        row = await connection.fetchrow("SELECT * FROM dialers WHERE name = 'Phones' AND team_id = $1", team.team_id)
        audited = await connection.fetch("SELECT action FROM audit_entries WHERE team_id = $1", team.team_id)
    stored = bytes(row["secret"]) + bytes(row["account"])
    assert made["secret"].encode() not in stored
    assert ACCOUNT.auth_token.encode() not in stored
    assert "DIALER_CREATED" in {entry["action"] for entry in audited}
    # Rotation: the old secret signs for the overlap alone.
    rotate = (
        "mutation($id: ID!, $n: Int!) { rotateDialerSecret(input: {dialerId: $id, overlapMinutes: $n})"
        " { secret errors { code } } }"
    )
    body = body_of("heartbeat")

    async def status(secret: str) -> int:
        return (await api.http.post(dialer["webhookPath"], content=body, headers=signed(secret, body))).status_code

    second = (await api.data(token, rotate, id=dialer["id"], n=10))["rotateDialerSecret"]["secret"]
    assert (await status(made["secret"]), await status(second)) == (200, 200)
    third = (await api.data(token, rotate, id=dialer["id"], n=0))["rotateDialerSecret"]["secret"]
    assert (await status(second), await status(made["secret"]), await status(third)) == (401, 401, 200)
    bad = (await api.data(token, rotate, id=dialer["id"], n=-1))["rotateDialerSecret"]
    assert bad["errors"] == [{"code": "INVALID"}]
    listed = (await api.data(token, "{ dialers { id name } }"))["dialers"]
    assert "Phones" in {one["name"] for one in listed}
    remove = "mutation($id: ID!) { removeDialer(input: {dialerId: $id}) { errors { code } } }"
    # Whoever does not manage the team learns nothing of it.
    for who in (team.managers[0], team.reps[0]):
        other = await api.token(who)
        documents: list[tuple[str, dict[str, Any]]] = [("{ dialers { id } }", {}), (CREATE, {"input": {"name": "x"}})]
        for document, variables in documents:
            answer = await api.query(other, document, **variables)
            assert answer["errors"][0]["extensions"]["permission"] == "MANAGE_TEAM"
        assert (await api.data(other, "query($id: ID!) { node(id: $id) { id } }", id=dialer["id"]))["node"] is None
    stranger = await LiveTeam().build()
    foreign = await api.token(stranger.admin_id)
    assert (await api.data(foreign, remove, id=dialer["id"]))["removeDialer"]["errors"] == [{"code": "NOT_FOUND"}]
    assert (await api.data(token, remove, id=dialer["id"]))["removeDialer"]["errors"] == []
    assert await status(third) == 401
    assert (await api.data(token, remove, id=dialer["id"]))["removeDialer"]["errors"] == [{"code": "NOT_FOUND"}]


async def test_who_sees_calls(api: Api) -> None:
    team = await LiveTeam().build()
    await team.call("mine", team.reps[0])
    await team.call("far", team.far)
    calls = {"mine": await team.row("mine"), "far": await team.row("far")}
    node = "query($id: ID!) { node(id: $id) { ... on LiveCall { id } } }"
    expected: dict[tuple[Permission, ...], Any] = {
        (): "LIVE_CALL_STUDIO",
        (Permission.TEAM_VIEW,): "LIVE_CALL_STUDIO",
        (Permission.MANAGE_TEAM, Permission.MANAGE_GOALS): "LIVE_CALL_STUDIO",
        (Permission.LIVE_CALL_STUDIO,): "TEAM_VIEW",
        (Permission.LIVE_CALL_STUDIO, Permission.TEAM_VIEW): {"mine"},
    }
    for permissions, wanted in expected.items():
        async with acquire(ALL_TEAMS) as connection:
            role = await make_role(connection, team.team_id, *permissions)
            who = await make_user(connection, team.team_id, role, group_id=team.group)
        token = await api.token(who)
        answer = await api.query(token, CALLS)
        if isinstance(wanted, str):
            assert answer["errors"][0]["extensions"]["permission"] == wanted
            seen = set()
        else:
            seen = wanted
            assert answer["data"]["liveCalls"]["totalCount"] == len(wanted)
        for name, call in calls.items():
            found = (await api.data(token, node, id=encode_id("LiveCall", call.id)))["node"]
            assert (found is not None) is (name in seen), (permissions, name)
            joined = await api.query(token, JOIN, id=encode_id("LiveCall", call.id), mode="LISTEN")
            if isinstance(wanted, str):
                assert joined["errors"][0]["extensions"]["permission"] == wanted
            elif name not in seen:
                assert joined["data"]["joinLiveCall"]["errors"] == [{"code": "NOT_FOUND", "path": ["input", "callId"]}]
    admin = await api.token(team.admin_id)
    assert (await api.data(admin, CALLS))["liveCalls"]["totalCount"] == 2
    stranger = await api.token((await LiveTeam().build()).admin_id)
    assert (await api.data(stranger, CALLS))["liveCalls"]["totalCount"] == 0
    assert (await api.data(stranger, node, id=encode_id("LiveCall", calls["mine"].id)))["node"] is None


async def join(api: Api, token: str, call: LiveCall, mode: str = "LISTEN", **more: Any) -> list[str]:
    """The codes with which joining is refused."""
    answer = await api.data(token, JOIN, id=encode_id("LiveCall", call.id), mode=mode, **more)
    return [error["code"] for error in answer["joinLiveCall"]["errors"]]


async def test_joining_is_refused_with_a_reason(api: Api) -> None:
    team = await LiveTeam().build()
    token = await api.token(team.managers[0])
    call = await team.call()
    async with acquire(ALL_TEAMS) as connection:
        await connection.execute("UPDATE users SET role_id = $2 WHERE id = $1", team.reps[0], team.manager_role)
    assert await join(api, await api.token(team.reps[0]), call) == ["INVALID"], "one's own"
    assert await join(api, token, call) == []
    assert await join(api, token, call) == [], "again"
    assert await join(api, token, await team.call("2", team.reps[1])) == ["ON_ANOTHER_CALL"]
    leave = "mutation($id: ID!) { leaveLiveCall(input: {callId: $id}) { call { id } errors { code } } }"
    change = "mutation($id: ID!) { changeLiveCallMode(input: {callId: $id, mode: BARGE}) { errors { code } } }"
    own = encode_id("LiveCall", call.id)
    assert (await api.data(token, change, id=own))["changeLiveCallMode"]["errors"] == []
    assert (await api.data(token, leave, id=own))["leaveLiveCall"]["errors"] == []
    assert (await api.data(token, change, id=own))["changeLiveCallMode"]["errors"] == [{"code": "NOT_ON_THE_CALL"}]
    await team.tell(event("ended", "2"))
    assert await join(api, token, await team.row("2")) == ["CALL_ENDED"]
    # A dialer whose calls are shown only, and one that has to ring.
    silent = await LiveTeam().build(TelephonyKind.NONE)
    assert await join(api, await api.token(silent.managers[0]), await silent.call()) == ["NOT_JOINABLE"]
    ringing = await LiveTeam().build(TelephonyKind.TWILIO)
    other = await api.token(ringing.managers[0])
    for phone in (None, "0555", "sip:x@y", "+1555" + "0" * 30, "client:a b"):
        assert await join(api, other, await ringing.call(), phone=phone) == ["INVALID"]
    assert await join(api, other, await ringing.call(), phone="client:morgan") == []


SETTINGS = """mutation($input: UpdateLiveCallSettingsInput!) { updateLiveCallSettings(input: $input) {
  settings { unknownRule listenersPerCall jurisdictions { code rule banner } } errors { code path } } }"""
CONSENT = "query($id: ID!) { node(id: $id) { ... on LiveCall { consent { rule banner acknowledgementNeeded } } } }"


async def test_consent_by_jurisdiction(api: Api) -> None:
    team = await LiveTeam().build()
    admin, token = await api.token(team.admin_id), await api.token(team.managers[0])
    rules = [
        {"code": "US", "rule": "ONE_PARTY"},
        {"code": "US-CA", "rule": "ALL_PARTY", "banner": "California: tell them."},
        {"code": "DE", "rule": "FORBIDDEN", "banner": "Not in Germany."},
    ]
    given = {"jurisdictions": rules, "unknownRule": "ALL_PARTY"}
    saved = (await api.data(admin, SETTINGS, input=given))["updateLiveCallSettings"]
    assert saved["errors"] == []
    assert [one["code"] for one in saved["settings"]["jurisdictions"]] == ["DE", "US", "US-CA"]
    refused = await api.query(token, SETTINGS, input=given)
    assert refused["errors"][0]["extensions"]["permission"] == "MANAGE_TEAM"
    for wrong in (
        {"listenersPerCall": 51},
        {"keepDays": 0},
        {"jurisdictions": [{"code": "California", "rule": "ALL_PARTY"}]},
        {"unknownBanner": "x" * 501},
    ):
        found = (await api.data(admin, SETTINGS, input=wrong))["updateLiveCallSettings"]
        assert found["errors"][0]["code"] == "INVALID"
    expected: list[tuple[str | None, str | None, str, list[str]]] = [
        ("US-NY", "US-TX", "ONE_PARTY", []),
        ("US-NY", "US-CA", "ALL_PARTY", ["CONSENT_NEEDED"]),
        ("US-CA", "US-NY", "ALL_PARTY", ["CONSENT_NEEDED"]),
        ("US-NY", None, "ALL_PARTY", ["CONSENT_NEEDED"]),
        ("US-NY", "FR", "ALL_PARTY", ["CONSENT_NEEDED"]),
        ("US-CA", "DE", "FORBIDDEN", ["CONSENT_FORBIDDEN"]),
    ]
    leave = "mutation($id: ID!) { leaveLiveCall(input: {callId: $id}) { errors { code } } }"
    for number, (ours, theirs, rule, codes) in enumerate(expected):
        call = await team.call(f"c{number}", userJurisdiction=ours, counterpartJurisdiction=theirs)
        own = encode_id("LiveCall", call.id)
        consent = (await api.data(token, CONSENT, id=own))["node"]["consent"]
        assert (consent["rule"], consent["acknowledgementNeeded"]) == (rule, rule == "ALL_PARTY")
        if theirs == "US-CA":
            assert consent["banner"] == "California: tell them."
        assert await join(api, token, call) == codes
        if rule == "FORBIDDEN":
            assert await join(api, token, call, ok=True) == ["CONSENT_FORBIDDEN"]
            continue
        assert await join(api, token, call, ok=True) == []
        assert (await api.data(token, leave, id=own))["leaveLiveCall"]["errors"] == []
    # Stricter rules take off who is on a call without having acknowledged.
    call = await team.call("last", userJurisdiction="US-NY", counterpartJurisdiction="US-TX")
    assert await join(api, token, call) == []
    await api.data(admin, SETTINGS, input={"jurisdictions": [{"code": "US", "rule": "ALL_PARTY"}]})
    (place,) = await team.places(call)
    assert (place.state, place.reason) == ("LEAVING", "CONSENT_NEEDED")


@pytest.mark.parametrize("per_team", [False, True])
async def test_capacity_holds_whoever_comes_at_once(api: Api, per_team: bool) -> None:
    team = await LiveTeam().build(managers=6, reps=6)
    limits = {"listeners_per_call": 50, "listeners_per_team": 2} if per_team else {"listeners_per_call": 2}
    await team.allow("ONE_PARTY", **limits)
    calls = [await team.call(f"c{n}", team.reps[n]) for n in range(6)] if per_team else [await team.call()] * 6
    tokens = [await api.token(one) for one in team.managers]
    found = await asyncio.gather(*(join(api, token, call) for token, call in zip(tokens, calls, strict=True)))
    assert sorted(found) == [[], [], *[["CAPACITY_REACHED"]] * 4]
    # Who leaves makes room.
    on = found.index([])
    leave = "mutation($id: ID!) { leaveLiveCall(input: {callId: $id}) { errors { code } } }"
    await api.data(tokens[on], leave, id=encode_id("LiveCall", calls[on].id))
    off = found.index(["CAPACITY_REACHED"])
    assert await join(api, tokens[off], calls[off]) == []
    # One manager on many calls at once comes onto one.
    alone = await LiveTeam().build(reps=5)
    many = [await alone.call(f"c{n}", alone.reps[n]) for n in range(5)]
    token = await api.token(alone.managers[0])
    found = await asyncio.gather(*(join(api, token, call) for call in many))
    assert sorted(found) == [[], *[["ON_ANOTHER_CALL"]] * 4]


NOTE = """mutation($id: ID!, $text: String!, $private: Boolean, $at: Int) {
  addLiveCallNote(input: {callId: $id, text: $text, private: $private, atSecond: $at}) {
    note { id atSecond text private author { name } } errors { code path } } }"""
NOTES = "query($id: ID!) { node(id: $id) { ... on LiveCall { notes { totalCount nodes { text atSecond } } } } }"


async def test_notes(api: Api) -> None:
    team = await LiveTeam().build()
    first, second = [await api.token(one) for one in team.managers]
    call = await team.call()
    own = encode_id("LiveCall", call.id)

    async def note(token: str, text: str, **more: Any) -> Any:
        return (await api.data(token, NOTE, id=own, text=text, **more))["addLiveCallNote"]

    shared = await note(first, "asks well")
    assert shared["note"]["author"] == {"name": "Manager 0"}
    assert 30 <= shared["note"]["atSecond"] < 60
    assert (await note(first, "mine", private=True, at=3))["errors"] == []
    assert (await note(first, "x", at=3600))["errors"][0]["path"] == ["input", "atSecond"]
    assert (await note(first, " "))["errors"][0]["path"] == ["input", "text"]

    async def texts(token: str) -> list[str]:
        return [one["text"] for one in (await api.data(token, NOTES, id=own))["node"]["notes"]["nodes"]]

    assert await texts(first) == ["mine", "asks well"]
    assert await texts(second) == ["asks well"]
    assert await texts(await api.token(team.admin_id)) == ["asks well"], "a private note is the author's alone"
    remove = "mutation($id: ID!) { removeLiveCallNote(input: {noteId: $id}) { errors { code } } }"
    missing = [{"code": "NOT_FOUND"}]
    assert (await api.data(second, remove, id=shared["note"]["id"]))["removeLiveCallNote"]["errors"] == missing
    assert (await api.data(first, remove, id=shared["note"]["id"]))["removeLiveCallNote"]["errors"] == []
    assert await texts(second) == []
    far = await team.call("far", team.far)
    hidden = await api.data(first, NOTE, id=encode_id("LiveCall", far.id), text="x")
    assert hidden["addLiveCallNote"]["errors"] == [{"code": "NOT_FOUND", "path": ["input", "callId"]}]


async def test_a_list_costs_the_same_however_long_it_is(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    team = await LiveTeam().build(managers=6, reps=6)
    token = await api.token(team.managers[0])
    statements: list[str] = []
    execute = asyncpg.Connection._execute

    async def counted(self: Any, query: str, *rest: Any, **named: Any) -> Any:
        statements.append(query)
        return await execute(self, query, *rest, **named)

    monkeypatch.setattr(asyncpg.Connection, "_execute", counted)
    document = (
        "{ liveCalls { totalCount nodes { id user { name } consent { rule } listening joined { user { name } } } } }"
    )

    async def cost() -> int:
        await api.data(token, document)
        statements.clear()
        await api.data(token, document)
        return len([one for one in statements if "set_config" not in one])

    await team.join(await team.call("0"), team.managers[0])
    one = await cost()
    for number in range(1, 6):
        call = await team.call(str(number), team.reps[number])
        await team.join(call, team.managers[number])
    assert await cost() == one


def twilio_signed(team: LiveTeam, url: str, form: dict[str, str], token: str = ACCOUNT.auth_token) -> dict[str, str]:
    return {
        "X-Twilio-Signature": RequestValidator(token).compute_signature(url, form),
        "content-type": "application/x-www-form-urlencoded",
    }


async def call_back(
    api: Api, team: LiveTeam, form: dict[str, str], query: str = "", *, token: str = ACCOUNT.auth_token
) -> httpx.Response:
    """A status callback of Twilio's."""
    url = f"http://sideline.test/live-calls/{encode_id('Dialer', team.dialer.id)}/twilio{query}"
    return await api.http.post(url, data=form, headers=twilio_signed(team, url, form, token))


async def test_twilio_tells_of_calls(api: Api) -> None:
    team = await LiveTeam().build(TelephonyKind.TWILIO)
    rep = "CA" + "c" * 32
    base = {"AccountSid": ACCOUNT.account_sid, "CallSid": rep, "From": "+15550100", "To": "+15550199"}
    base |= {"Direction": "outbound-api"}
    query = f"?user={await team.email(team.reps[0])}&counterpartJurisdiction=US-CA"
    now = datetime.now(UTC)

    def at(seconds: int) -> str:
        return (now + timedelta(seconds=seconds)).strftime("%a, %d %b %Y %H:%M:%S +0000")

    told = [
        {**base, "CallStatus": "initiated", "SequenceNumber": "0", "Timestamp": at(-30)},
        {**base, "CallStatus": "ringing", "SequenceNumber": "1", "Timestamp": at(-29)},
        {**base, "CallStatus": "in-progress", "SequenceNumber": "2", "Timestamp": at(-20)},
    ]
    for form in reversed(told):
        response = await call_back(api, team, form, query)
        assert (response.status_code, response.json()["status"]) == (200, "taken"), response.text
    row = await team.row(rep)
    assert (row.state, row.user_id, row.user_leg) == ("IN_PROGRESS", team.reps[0], rep)
    assert (row.counterpart, row.direction, row.counterpart_jurisdiction) == ("+15550199", "OUTBOUND", "US-CA")
    conference = {"AccountSid": ACCOUNT.account_sid, "ConferenceSid": "CF" + "d" * 32, "FriendlyName": rep}
    await call_back(api, team, {**conference, "StatusCallbackEvent": "participant-join", "CallSid": rep})
    assert (await team.row(rep)).conference == "CF" + "d" * 32
    mute = await call_back(api, team, {**conference, "StatusCallbackEvent": "participant-mute", "CallSid": rep})
    assert mute.json()["status"] == "ignored"
    await call_back(api, team, {**base, "CallStatus": "completed", "Timestamp": at(0)}, query)
    row = await team.row(rep)
    assert (row.state, row.end_reason) == ("ENDED", "COMPLETED")


async def test_twilio_tells_of_managers_legs(api: Api) -> None:
    team = await LiveTeam().build(TelephonyKind.TWILIO)
    call = await team.call()
    await team.join(call)
    (place,) = await team.places(call)
    await team.set("UPDATE live_call_participants SET leg = 'CA1', carried_version = 1 WHERE team_id = $1")
    query = f"?participant={place.id.hex}"

    async def tell(status: str, sid: str = "CA1") -> str:
        response = await call_back(api, team, {"CallSid": sid, "CallStatus": status}, query)
        return str(response.json()["status"])

    assert await tell("in-progress", "CA-of-before") == "ignored"
    assert await tell("in-progress") == "taken"
    assert await tell("in-progress") == "ignored"
    assert await tell("completed") == "taken"
    assert await tell("in-progress") == "ignored", "late"
    (place,) = await team.places(call)
    assert (place.state, place.reason) == ("LEFT", "HUNG_UP")
    await team.join(call)
    assert await tell("busy") == "taken"
    (place,) = await team.places(call)
    assert (place.state, place.reason) == ("FAILED", "BUSY")


async def test_callbacks_that_are_not_twilios(api: Api) -> None:
    team, other = await LiveTeam().build(TelephonyKind.TWILIO), await LiveTeam().build()
    form = {"CallSid": "CA1", "CallStatus": "ringing", "Direction": "inbound", "From": "+15550111", "To": "+15550100"}
    assert (await call_back(api, team, form, token="another")).status_code == 401
    url = f"http://sideline.test/live-calls/{encode_id('Dialer', team.dialer.id)}/twilio"
    headers = twilio_signed(team, url, form)
    assert (await api.http.post(url, data={**form, "CallStatus": "completed"}, headers=headers)).status_code == 401
    assert (await api.http.post(url + "?user=x", data=form, headers=headers)).status_code == 401
    assert (await api.http.post(url, data=form)).status_code == 401
    # A dialer without an account has nothing that Twilio could sign with.
    assert (await call_back(api, other, form, token="0" * 32)).status_code == 401
    assert (await api.http.post(url, data=form, headers=headers)).status_code == 200
    assert (await team.row("CA1")).user_id is None, "nobody's, and in nobody's sight"
    assert (await api.data(await api.token(team.admin_id), CALLS))["liveCalls"]["totalCount"] == 0


async def until(condition: Any, seconds: float = 15.0) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.02)


@pytest.fixture(params=["websocket", "sse"])
async def watching(request: pytest.FixtureRequest) -> Any:
    """Starts a subscription over a transport; what comes goes into a list."""

    def start(url: str, token: str, into: list[Any]) -> asyncio.Task[None]:
        async def over_socket() -> None:
            async with socket(url, token) as client:
                queue = await client.subscribe(EVENTS)
                while True:
                    into.extend(one["liveCallEvents"] for one in await take(queue, 1, 30))

        async def over_sse() -> None:
            async for answer in sse(url, token, EVENTS):
                into.append(answer["data"]["liveCallEvents"])  # noqa: PERF401

        return asyncio.ensure_future(over_socket() if request.param == "websocket" else over_sse())

    return start


async def test_a_studio_as_a_manager_sees_it(served: Served, watching: Any) -> None:  # noqa: F811
    """Over a real server and a real worker, from the first ring to the end."""
    team = await LiveTeam().build()
    await team.call("there already", team.reps[1])
    await team.call("out of sight", team.far)
    async with acquire(ALL_TEAMS) as connection:
        token = (await create_token(connection, team.team_id, team.managers[0], name="test")).text
    seen: list[Any] = []
    task = watching(served.url, token, seen)
    path = f"{served.url}/live-calls/{encode_id('Dialer', team.dialer.id)}"
    try:
        await until(lambda: _true(len(seen) == 1))
        assert (seen[0]["user"]["name"], seen[0]["state"]) == ("Rep 1", "IN_PROGRESS")
        async with httpx.AsyncClient() as http:

            async def tell(kind: str, **data: Any) -> None:
                body = body_of(kind, "live", **data)
                answer = await http.post(path, content=body, headers=signed(team.secret, body))
                assert answer.status_code == 200, answer.text

            user, place = await team.email(team.reps[0]), "US-NY"
            await tell("started", user=user, userJurisdiction=place, counterpartJurisdiction=place)
            await until(lambda: _true(seen[-1]["state"] == "RINGING"))
            await tell("answered")
            await until(lambda: _true(seen[-1]["state"] == "IN_PROGRESS"))
            count = len(seen)
            await tell("heartbeat")
            call = seen[-1]["id"]
            headers = {"authorization": f"Bearer {token}"}
            asked = {"query": JOIN, "variables": {"id": call, "mode": "WHISPER"}}
            joined = (await http.post(f"{served.url}/graphql", json=asked, headers=headers)).json()
            assert joined["data"]["joinLiveCall"]["errors"] == []
            await until(lambda: _true(any(_places(one) == [("WHISPER", "CONNECTED")] for one in seen)))
            assert [_places(one) for one in seen[count:] if one["id"] == call][-1] == [("WHISPER", "CONNECTED")]
            await tell("ended", reason="COMPLETED")
            await until(lambda: _true(_places(seen[-1]) == [("WHISPER", "LEFT")]))
        assert seen[-1]["state"] == "ENDED"
        assert {one["user"]["name"] for one in seen} == {"Rep 0", "Rep 1"}
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.wait({task})


def _places(call: Any) -> list[tuple[str, str]]:
    return [(one["mode"], one["state"]) for one in call["joined"]]


async def _true(value: bool) -> bool:
    return value


async def test_rights_count_at_each_event(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    monkeypatch.setattr(resolvers, "LOOK_AGAIN_SECONDS", 0.1)
    team = await LiveTeam().build()
    async with acquire(ALL_TEAMS) as connection:
        made = await create_token(connection, team.team_id, team.managers[0], name="test")
    await team.call("far", team.far)

    async def move(user_id: UUID, group_id: UUID) -> None:
        async with acquire(ALL_TEAMS) as connection:
            await connection.execute("UPDATE users SET group_id = $2 WHERE id = $1", user_id, group_id)

    async with socket(served.url, made.text) as client:
        queue = await client.subscribe(EVENTS)
        await team.call("mine")
        assert (await take(queue, 1))[0]["liveCallEvents"]["user"]["name"] == "Rep 0"
        # Who comes into scope brings the call in progress; who leaves takes it along.
        await move(team.far, team.group)
        while (await take(queue, 1))[0]["liveCallEvents"]["user"]["name"] == "Rep 0":
            pass
        await move(team.reps[0], team.branch)
        await team.tell(event("updated", "mine", counterpart="hidden"))
        await team.tell(event("updated", "far", counterpart="shown"))
        names = []
        while not names or names[-1] != "shown":
            names.append((await take(queue, 1))[0]["liveCallEvents"]["counterpart"])
        assert "hidden" not in names
        # Without the permission the stream ends with a reason.
        async with acquire(ALL_TEAMS) as connection:
            await connection.execute("UPDATE users SET role_id = $2 WHERE id = $1", team.managers[0], team.rep_role)
        async with asyncio.timeout(15):
            while (message := await queue.get())["type"] == "next":
                pass
        assert message["type"] == "error"
        assert message["payload"][0]["extensions"]["permission"] == "LIVE_CALL_STUDIO"
        refused = await client.subscribe(EVENTS)
        async with asyncio.timeout(15):
            message = await refused.get()
        assert "LIVE_CALL_STUDIO" in orjson.dumps(message).decode()
    async with acquire(ALL_TEAMS) as connection:
        await connection.execute("UPDATE users SET role_id = $2 WHERE id = $1", team.managers[0], team.manager_role)
    async with socket(served.url, made.text) as client:
        queue = await client.subscribe(EVENTS)
        await take(queue, 1)
        async with acquire(ALL_TEAMS) as connection:
            await revoke_token(connection, team.team_id, made.id)
        async with asyncio.timeout(15):
            await client.raw.wait_closed()
        assert client.raw.close_code == 4401


async def test_hints_that_are_lost_cost_a_moment(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    """Nobody publishes anything: PostgreSQL is asked."""
    monkeypatch.setattr(live_feed, "POLL_SECONDS", 0.1)
    team = await LiveTeam().build()
    async with acquire(ALL_TEAMS) as connection:
        token = (await create_token(connection, team.team_id, team.admin_id, name="test")).text
    async with socket(served.url, token) as client:
        queue = await client.subscribe(EVENTS)
        for number in range(30):
            await team.call(f"c{number}", team.reps[number % 3])
        found = set()
        while len(found) < 30:
            call = (await take(queue, 1))[0]["liveCallEvents"]
            if call["state"] == "IN_PROGRESS":
                found.add(call["id"])


def test_the_clock_of_messages_is_ours() -> None:
    assert timedelta(minutes=5) == dialers.TOLERANCE
    assert dialers.MESSAGES_KEPT > dialers.TOLERANCE * 2
