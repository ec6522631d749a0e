"""Connections through GraphQL.

Invariants:
A. A calendar is its owner's alone: nobody else sees, changes or syncs it, an Admin included.
B. The team's connections need MANAGE_TEAM; deals need the role Admin and the seat; a refusal names what is missing.
C. What is secret is sealed and never comes back, in no field, error or entry of the audit log.
D. A sign-in goes by PKCE, comes back only to who began it, once, in time; by mutation and by the browser's session.
E. `setup` and `metrics` tell each viewer what is done, missing or broken, and the next step.
F. A field mapping is checked against the CRM's fields, previewed without a trace, versioned; the numbers follow.
G. Who leaves the team takes their calendars' secrets and documents with them; their activities stay.
H. What waits in quarantine is read as it came by the connection's owner, and of the team's by Admin.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import httpx
import orjson
import pytest

from api.app import create_app
from domain.database import ALL_TEAMS, acquire
from domain.ids import encode_id
from domain.models.integrations import CrmPart
from tests.api.conftest import Api, settings_for
from tests.conftest import TEST_KEY
from tests.doubles.google_calendar import CALENDARS_SCOPE, EVENTS_SCOPE, WRITE_SCOPE, GoogleCalendarDouble
from tests.doubles.hubspot import HubSpotDouble
from tests.factories import make_role, make_user
from tests.workers.desk import BOX, Desk, wire_to

KINDS = "{ connectorKinds { kind audience crm signsIn settings { name secret required } scopes { name reason } } }"
LIST = (
    "{ integrations { id kind name status account settings syncs lastError quarantined owner { name } "
    "quarantine { nodes { documentId reason } } fieldMapping { version mapping } fieldMappings { version } "
    "fields { name type values } } }"
)
PAYLOAD = "integration { id status } authorizationUrl job { id kind } errors { code message path }"


async def change(api: Api, token: str, name: str, wanted: str = PAYLOAD, /, **given: Any) -> dict[str, Any]:
    """The payload of a mutation."""
    kind = name[0].upper() + name[1:] + "Input"
    document = f"mutation($input: {kind}!) {{ {name}(input: $input) {{ {wanted} }} }}"
    answer: dict[str, Any] = (await api.data(token, document, input=given))[name]
    return answer


async def refused(api: Api, token: str, name: str, /, **given: Any) -> str:
    """The permission that is missing."""
    kind = name[0].upper() + name[1:] + "Input"
    answer = await api.query(
        token, f"mutation($input: {kind}!) {{ {name}(input: $input) {{ errors {{ code }} }} }}", input=given
    )
    (error,) = answer["errors"]
    assert error["extensions"]["code"] == "FORBIDDEN"
    permission: str = error["extensions"]["permission"]
    return permission


@pytest.fixture
async def desk(api: Api) -> Desk:
    """A team with an Admin who has a seat, a clerk who manages it, and two reps."""
    desk = await Desk(wire_to()).open("rep@double.test", "other@double.test")
    async with acquire(ALL_TEAMS) as connection:
        clerk = await make_role(connection, desk.team, "MANAGE_TEAM", "TEAM_VIEW", name="Clerk")
        desk.people["clerk"] = await make_user(connection, desk.team, clerk, email="clerk@double.test")
    return desk


async def test_a_calendar_is_its_owners_alone(api: Api, desk: Desk) -> None:
    rep = await api.token(desk.people["rep@double.test"])
    secrets = {"password": "hunter2-hunter2"}
    made = await change(
        api,
        rep,
        "connectIntegration",
        kind="caldav",
        settings={"url": "https://calendar.example.com/", "username": "rep"},
        secrets=secrets,
    )
    assert made["errors"] == []
    assert (made["integration"]["status"], made["job"]["kind"]) == ("CONNECTING", "check_integration")
    own = (await api.data(rep, LIST))["integrations"]
    assert [one["id"] for one in own] == [made["integration"]["id"]]
    assert "hunter2" not in str(own)
    async with acquire(ALL_TEAMS) as connection:
        row = await connection.fetchrow("SELECT * FROM integrations WHERE team_id = $1", desk.team)
        log = await connection.fetch("SELECT details FROM audit_entries WHERE team_id = $1", desk.team)
    assert b"hunter2" not in row["secrets"]
    assert "hunter2" not in str(dict(row)) + str([dict(entry) for entry in log])
    given = {"integrationId": made["integration"]["id"]}
    for who in (desk.admin_id, desk.people["clerk"], desk.people["other@double.test"]):
        token = await api.token(who)
        assert (await api.data(token, LIST))["integrations"] == []
        node = "query($id: ID!) { node(id: $id) { id } }"
        assert (await api.data(token, node, id=given["integrationId"]))["node"] is None
        for name in ("updateIntegration", "disconnectIntegration", "syncIntegration", "authorizeIntegration"):
            answer = await change(api, token, name, "errors { code path }", **given)
            assert answer["errors"] == [{"code": "NOT_FOUND", "path": ["input", "integrationId"]}], name
    gone = await change(api, rep, "disconnectIntegration", **given)
    assert gone["errors"] == []
    assert (await api.data(rep, LIST))["integrations"] == []


async def test_the_teams_connections_need_rights_that_are_named(api: Api, desk: Desk) -> None:
    secrets = {"access_token": "x"}
    rep, clerk = await api.token(desk.people["rep@double.test"]), await api.token(desk.people["clerk"])
    admin = await api.token(desk.admin_id)
    crm = {"kind": "salesforce", "syncs": ["OPPORTUNITIES"]}
    deals = {"kind": "salesforce", "syncs": ["OPPORTUNITIES", "DEALS"]}
    assert await refused(api, rep, "connectIntegration", **crm) == "MANAGE_TEAM"
    assert await refused(api, clerk, "connectIntegration", **deals) == "Admin"
    async with acquire(ALL_TEAMS) as connection:
        await connection.execute("UPDATE users SET deals_access = false WHERE id = $1", desk.admin_id)
    assert await refused(api, admin, "connectIntegration", **deals) == "dealsAccess"
    async with acquire(ALL_TEAMS) as connection:
        # A seat without the role is refused as well.
        await connection.execute(
            "UPDATE users SET deals_access = true WHERE id = ANY ($1::uuid[])", [desk.admin_id, desk.people["clerk"]]
        )
    assert await refused(api, clerk, "connectIntegration", **deals) == "Admin"
    async with acquire(ALL_TEAMS) as connection:
        made = await connection.fetchval(
            "INSERT INTO integrations (id, team_id, kind, name, state, interval_minutes, syncs, account_id) "
            "VALUES (uuidv7(), $1, 'salesforce', 'CRM', 'ACTIVE', 15, '{OPPORTUNITIES,DEALS}', 'a') RETURNING id",
            desk.team,
        )
    one = encode_id("Integration", made)
    for name, given in (
        ("disconnectIntegration", {}),
        ("updateIntegration", {"secrets": secrets}),
        ("updateIntegration", {"syncs": ["OPPORTUNITIES"]}),
    ):
        assert await refused(api, clerk, name, integrationId=one, **given) == "Admin", name
    paused = await change(api, clerk, "updateIntegration", integrationId=one, paused=True, intervalMinutes=60)
    assert paused["integration"]["status"] == "PAUSED"
    assert (await change(api, clerk, "syncIntegration", integrationId=one))["errors"][0]["code"] == "CONFLICT"
    less = await change(api, admin, "updateIntegration", integrationId=one, syncs=["OPPORTUNITIES"], paused=False)
    assert (less["errors"], less["job"]["kind"]) == ([], "sync")
    rep_sees = await change(api, rep, "updateIntegration", "errors { code }", integrationId=one, paused=True)
    assert rep_sees["errors"] == [{"code": "NOT_FOUND"}]


async def test_bad_input_names_the_field_and_the_mend(api: Api, desk: Desk) -> None:
    rep, admin = await api.token(desk.people["rep@double.test"]), await api.token(desk.admin_id)
    for token, given, path, part in (
        (rep, {"kind": "fax"}, "kind", "caldav"),
        (rep, {"kind": "caldav"}, "settings", "needed"),
        (
            rep,
            {"kind": "caldav", "settings": {"url": "https://x", "username": "r", "colour": "red"}},
            "settings",
            "colour",
        ),
        (
            rep,
            {"kind": "caldav", "settings": {"url": "https://x", "username": "r", "password": "p"}},
            "settings",
            "password",
        ),
        (rep, {"kind": "caldav", "settings": {"url": 5}}, "settings", "text"),
        (
            rep,
            {
                "kind": "caldav",
                "name": " ",
                "settings": {"url": "https://x", "username": "r"},
                "secrets": {"password": "p"},
            },
            "name",
            "1 to 200",
        ),
        (admin, {"kind": "salesforce"}, "syncs", "OPPORTUNITIES"),
        (admin, {"kind": "salesloft", "syncs": ["DEALS"]}, "syncs", "no CRM"),
    ):
        answer = await change(api, token, "connectIntegration", **given)
        assert answer["integration"] is None
        (error,) = answer["errors"]
        assert error["path"][:2] == ["input", path], (given, error)
        assert part in error["message"], (given, error)
    async with acquire(ALL_TEAMS) as connection:
        assert not await connection.fetchval("SELECT count(*) FROM integrations WHERE team_id = $1", desk.team)


async def test_kinds_tell_what_they_ask_for_and_why(api: Api, desk: Desk) -> None:
    rep = await api.token(desk.people["rep@double.test"])
    kinds = {one["kind"]: one for one in (await api.data(rep, KINDS))["connectorKinds"]}
    assert set(kinds) >= {"caldav", "google_calendar", "hubspot", "ical", "microsoft365", "salesforce", "salesloft"}
    for one in kinds.values():
        assert all(scope["reason"] for scope in one["scopes"])
        assert bool(one["scopes"]) == one["signsIn"]


async def test_a_sign_in_comes_back_to_who_began_it(database_url: str, redis_url: str, database: str) -> None:
    with HubSpotDouble() as double:
        settings = settings_for(
            database_url,
            redis_url,
            oauth_clients={"hubspot": {"client_id": "our-id", "client_secret": "our-secret"}},
            connector_urls={"hubspot": double.base_url},
            public_url="https://sideline.example.com",
        )
        app = create_app(settings)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://sideline.test") as http,
        ):
            api = Api(app, http)
            desk = await Desk(wire_to({"hubspot": double.base_url})).open("rep@double.test", "other@double.test")
            admin, rep = await api.token(desk.admin_id), await api.token(desk.people["rep@double.test"])
            made = await change(api, admin, "connectIntegration", kind="hubspot", syncs=["OPPORTUNITIES", "DEALS"])
            assert (made["job"], made["errors"]) == (None, [])
            address = urlsplit(made["authorizationUrl"])
            asked = {name: value[0] for name, value in parse_qs(address.query).items()}
            assert asked["client_id"] == "our-id"
            assert asked["redirect_uri"] == "https://sideline.example.com/oauth/callback"
            assert asked["code_challenge_method"] == "S256"
            assert len(asked["code_challenge"]) == 43
            assert "crm.objects.deals.read" in asked["scope"].split()
            back = {"state": asked["state"], "code": double.tokens.make_code()}
            for token, given in (
                (rep, back),
                (admin, {**back, "state": "x"}),
                (await api.token((await Desk(desk.wire).open()).admin_id), back),
            ):
                answer = await change(api, token, "completeAuthorization", **given)
                assert [error["code"] for error in answer["errors"]] == ["NOT_FOUND"]
            wrong = await change(api, admin, "completeAuthorization", state=asked["state"], code="guessed")
            assert [error["code"] for error in wrong["errors"]] == ["INVALID"]
            done = await change(api, admin, "completeAuthorization", **back)
            assert (done["errors"], done["job"]["kind"]) == ([], "check_integration")
            again = await change(api, admin, "completeAuthorization", **back)
            assert [error["code"] for error in again["errors"]] == ["NOT_FOUND"]
            names = double.add(3)
            await desk.work()
            assert set(await desk.activities()) == set(names)
            one = made["integration"]["id"]
            # A new sign-in lapses.
            begun = await change(api, admin, "authorizeIntegration", integrationId=one)
            state = parse_qs(urlsplit(begun["authorizationUrl"]).query)["state"][0]
            async with acquire(ALL_TEAMS) as connection:
                await connection.execute(
                    "UPDATE integrations SET sign_in = jsonb_set(sign_in, '{until}', '\"2020-01-01T00:00:00+00:00\"') "
                    "WHERE team_id = $1",
                    desk.team,
                )
            late = await change(api, admin, "completeAuthorization", state=state, code=double.tokens.make_code())
            assert [error["code"] for error in late["errors"]] == ["NOT_FOUND"]
            # A browser without a session is not let in by the address alone.
            page = await http.get("/oauth/callback", params={"state": state, "code": "x"})
            assert page.status_code == 401
            assert TEST_KEY not in page.text


async def test_the_permission_to_write_is_asked_for_only_from_who_chose_it(
    database_url: str, redis_url: str, database: str
) -> None:
    with GoogleCalendarDouble() as double:
        settings = settings_for(
            database_url,
            redis_url,
            oauth_clients={"google_calendar": {"client_id": "our-id", "client_secret": "our-secret"}},
            connector_urls={"google_calendar": double.base_url},
            public_url="https://sideline.example.com",
        )
        app = create_app(settings)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://sideline.test") as http,
        ):
            api = Api(app, http)
            desk = await Desk(wire_to({"google_calendar": double.base_url})).open(double.people[0])
            rep = await api.token(desk.people[double.people[0]])

            def asked(answer: Any) -> dict[str, str]:
                assert answer["errors"] == []
                return {name: one[0] for name, one in parse_qs(urlsplit(answer["authorizationUrl"]).query).items()}

            made = await change(api, rep, "connectIntegration", kind="google_calendar")
            assert set(asked(made)["scope"].split()) == {EVENTS_SCOPE, CALENDARS_SCOPE}
            one = made["integration"]["id"]
            wrong = await change(
                api, rep, "updateIntegration", integrationId=one, settings={"writeInvitations": "perhaps"}
            )
            assert [error["code"] for error in wrong["errors"]] == ["INVALID"]
            await change(api, rep, "updateIntegration", integrationId=one, settings={"writeInvitations": "true"})
            again = asked(await change(api, rep, "authorizeIntegration", integrationId=one))
            assert set(again["scope"].split()) == {EVENTS_SCOPE, CALENDARS_SCOPE, WRITE_SCOPE}
            # What was given is kept, for a person can leave it unticked; a renewal keeps it.
            double.tokens.scope = again["scope"]
            back = {"state": again["state"], "code": double.tokens.make_code()}
            assert (await change(api, rep, "completeAuthorization", **back))["errors"] == []
            async with acquire(ALL_TEAMS) as connection:
                sealed = await connection.fetchval("SELECT secrets FROM integrations WHERE team_id = $1", desk.team)
            assert orjson.loads(BOX.open(sealed))["scope"] == again["scope"]


async def test_an_operator_who_has_not_registered_is_told(api: Api, desk: Desk) -> None:
    admin = await api.token(desk.admin_id)
    answer = await api.query(
        admin, 'mutation { connectIntegration(input: {kind: "hubspot", syncs: [OPPORTUNITIES]}) { errors { code } } }'
    )
    (error,) = answer["errors"]
    assert error["extensions"]["code"] == "UNAVAILABLE"
    assert "SIDELINE_OAUTH_CLIENTS__HUBSPOT__CLIENT_ID" in error["message"]
    async with acquire(ALL_TEAMS) as connection:
        assert not await connection.fetchval("SELECT count(*) FROM integrations WHERE team_id = $1", desk.team)


async def _steps(api: Api, user_id: UUID) -> dict[str, tuple[str, str | None]]:
    token = await api.token(user_id)
    steps = (await api.data(token, "{ setup { key state detail nextStep feeds } }"))["setup"]
    assert [step["key"] for step in steps] == ["calendar", "activities", "opportunities", "deals"]
    assert all(step["feeds"] for step in steps)
    return {step["key"]: (step["state"], step["nextStep"]) for step in steps}


async def _available(api: Api, user_id: UUID) -> set[str]:
    found = (await api.data(await api.token(user_id), "{ metrics { key available } }"))["metrics"]
    return {one["key"] for one in found if one["available"]}


async def test_setup_tells_each_viewer_the_next_step(api: Api, desk: Desk) -> None:
    rep, clerk = desk.people["rep@double.test"], desk.people["clerk"]
    assert {state for state, _ in (await _steps(api, rep)).values()} == {"MISSING"}
    assert (await _steps(api, rep))["calendar"][1] == "Connect your calendar: only you can."
    assert "Ask who manages" in ((await _steps(api, rep))["opportunities"][1] or "")
    assert (await _steps(api, clerk))["opportunities"][1].startswith("Connect the CRM")  # type: ignore[union-attr]
    assert "Ask an Admin" in ((await _steps(api, clerk))["deals"][1] or "")
    assert await _available(api, rep) == set()
    with HubSpotDouble() as double:
        desk.go_to(hubspot=double.base_url)
        one = await desk.connect("hubspot", syncs=[CrmPart.OPPORTUNITIES], tokens=double.secrets)
        await desk.work()
        steps = await _steps(api, desk.admin_id)
        assert (steps["opportunities"], steps["deals"][0]) == (("DONE", None), "MISSING")
        # Connected, though nothing has come in yet: zero is a number now.
        assert await _available(api, rep) == {"OPPORTUNITIES_CREATED"}
        double.add(4)
        admin = await api.token(desk.admin_id)
        more = await change(
            api,
            admin,
            "updateIntegration",
            integrationId=encode_id("Integration", one),
            syncs=["OPPORTUNITIES", "DEALS"],
        )
        assert more["errors"] == []
        await desk.work()
        assert (await _steps(api, rep))["deals"] == ("DONE", None)
        assert {"NEW_PIPELINE", "CLOSED_WON_AMOUNT", "WIN_RATE"} <= await _available(api, rep)
        double.tokens.revoke()
        await desk.sync(one)
        steps = await _steps(api, desk.admin_id)
        assert steps["deals"][0] == "BROKEN"
        assert "Sign in again" in (steps["deals"][1] or "")
        admin = await api.token(desk.admin_id)
        (shown,) = (await api.data(admin, "{ integrations { status lastError lastJob { state error } } }"))[
            "integrations"
        ]
        assert (shown["status"], shown["lastJob"]["state"]) == ("BROKEN", "FAILED")
        assert shown["lastJob"]["error"] == shown["lastError"]
        hidden = await api.data(await api.token(rep), "{ setup { key detail } }")
        assert all("HubSpot" not in (step["detail"] or "") for step in hidden["setup"])


async def test_a_mapping_is_checked_previewed_versioned_and_followed(api: Api, desk: Desk) -> None:
    with HubSpotDouble() as double:
        double.add(6)
        desk.go_to(hubspot=double.base_url)
        row_id = await desk.connect("hubspot", syncs=list(CrmPart), tokens=double.secrets)
        await desk.work()
        one = encode_id("Integration", row_id)
        admin, clerk = await api.token(desk.admin_id), await api.token(desk.people["clerk"])
        rep = await api.token(desk.people["rep@double.test"])
        (seen,) = (await api.data(clerk, LIST))["integrations"]
        assert seen["fieldMapping"]["version"] == 0
        assert {"dealname", "amount", "dealstage"} <= {field["name"] for field in seen["fields"]}
        mapping = seen["fieldMapping"]["mapping"]
        assert await refused(api, rep, "setFieldMapping", integrationId=one, mapping=mapping) == "MANAGE_TEAM"
        wrong = await change(api, clerk, "setFieldMapping", integrationId=one, mapping={**mapping, "amount": "amuont"})
        assert wrong["errors"][0]["path"][-1] == "amount"
        assert "amount" in wrong["errors"][0]["message"]
        wanted = "preview { rows { documentId record code } opportunitiesCreated newPipeline } errors { code }"
        before = await desk.activities()
        plain = await change(api, clerk, "previewFieldMapping", wanted, integrationId=one, mapping=mapping)
        assert len(plain["preview"]["rows"]) == 6
        assert plain["preview"]["opportunitiesCreated"] == 6
        without = {**mapping, "amount": None}
        tried = await change(api, clerk, "previewFieldMapping", wanted, integrationId=one, mapping=without)
        assert tried["preview"]["newPipeline"] == "0"
        assert await desk.activities() == before
        assert any(row["amount"] is not None for row in before.values())
        asked = len(double.requests)
        done = await change(api, clerk, "setFieldMapping", integrationId=one, mapping=without, expectedVersion=0)
        assert (done["errors"], done["job"]["kind"]) == ([], "sync")
        stale = await change(api, admin, "setFieldMapping", integrationId=one, mapping=mapping, expectedVersion=0)
        assert [error["code"] for error in stale["errors"]] == ["CONFLICT"]
        await desk.work()
        after = await desk.activities()
        assert set(after) == set(before)
        assert all(row["amount"] is None for row in after.values())
        # The documents are here: the numbers are made anew without asking for them again.
        assert len(double.requests) - asked <= 6
        (seen,) = (await api.data(clerk, LIST))["integrations"]
        assert [version["version"] for version in seen["fieldMappings"]] == [1, 0]
        back = await change(api, clerk, "setFieldMapping", integrationId=one, mapping=mapping, expectedVersion=1)
        assert back["errors"] == []
        await desk.work()
        again = await desk.activities()
        keys = ("amount", "team_amount", "pipeline_on", "closed_on", "won", "created_on", "user_id")
        assert {name: [row[key] for key in keys] for name, row in again.items()} == {
            name: [row[key] for key in keys] for name, row in before.items()
        }


async def test_documents_that_wait_are_read_by_who_may_read_anything(api: Api, desk: Desk) -> None:
    async with acquire(ALL_TEAMS) as connection:
        for owner in (None, desk.people["rep@double.test"]):
            one = await connection.fetchval(
                "INSERT INTO integrations (id, team_id, kind, name, owner_id, state, interval_minutes) "
                "VALUES (uuidv7(), $1, 'files', 'Files', $2, 'ACTIVE', 15) RETURNING id",
                desk.team,
                owner,
            )
            await connection.execute(
                "INSERT INTO quarantined_documents (id, team_id, integration_id, object, document_id, code, reason, "
                "data) VALUES (uuidv7(), $1, $2, 'email', '1', 'INVALID', 'because', 'a body')",
                desk.team,
                one,
            )
    question = "{ integrations { quarantined quarantine { nodes { reason data } } } }"
    for who, data in (
        (desk.admin_id, "a body"),
        (desk.people["clerk"], None),
        (desk.people["rep@double.test"], "a body"),
    ):
        answer = await api.query(await api.token(who), question)
        (shown,) = answer["data"]["integrations"]
        assert shown == {"quarantined": 1, "quarantine": {"nodes": [{"reason": "because", "data": data}]}}
        codes = [(error["extensions"]["code"], error["extensions"]["permission"]) for error in answer.get("errors", [])]
        assert codes == ([] if data else [("FORBIDDEN", "Admin")])


async def test_who_leaves_takes_their_calendar_with_them(api: Api, desk: Desk) -> None:
    rep_id = desk.people["rep@double.test"]
    rep, clerk = await api.token(rep_id), await api.token(desk.people["clerk"])
    await change(
        api,
        rep,
        "connectIntegration",
        kind="caldav",
        settings={"url": "https://calendar.example.com/", "username": "rep"},
        secrets={"password": "p"},
    )
    gone = await change(
        api, clerk, "deactivateUser", "user { active } errors { code }", userId=encode_id("User", rep_id)
    )
    assert gone == {"user": {"active": False}, "errors": []}
    async with acquire(ALL_TEAMS) as connection:
        assert not await connection.fetchval("SELECT count(*) FROM integrations WHERE team_id = $1", desk.team)
        states = await connection.fetch("SELECT state FROM jobs WHERE team_id = $1", desk.team)
    assert [row["state"] for row in states] == ["CANCELLED"]


async def test_a_job_is_cancelled_by_who_sees_it(api: Api, desk: Desk) -> None:
    rep, other = await api.token(desk.people["rep@double.test"]), await api.token(desk.people["other@double.test"])
    made = await change(
        api,
        rep,
        "connectIntegration",
        kind="caldav",
        settings={"url": "https://calendar.example.com/", "username": "rep"},
        secrets={"password": "p"},
    )
    job = made["job"]["id"]
    wanted = "job { state } errors { code }"
    assert (await change(api, other, "cancelJob", wanted, jobId=job))["errors"] == [{"code": "NOT_FOUND"}]
    assert (await change(api, rep, "cancelJob", wanted, jobId=job))["job"] == {"state": "CANCELLED"}
    assert (await change(api, rep, "cancelJob", wanted, jobId=job))["errors"] == [{"code": "CONFLICT"}]


async def test_rates_are_the_teams_own(api: Api, desk: Desk) -> None:
    clerk = await api.token(desk.people["clerk"])
    wanted = "kept errors { code path }"
    rates = [{"currency": "EUR", "day": "2026-01-01", "rate": "1.1"}]
    assert await change(api, clerk, "setExchangeRates", wanted, rates=rates) == {"kept": 1, "errors": []}
    for rate, place in (({"currency": "euro"}, "currency"), ({"rate": "0"}, "rate"), ({"rate": "-1"}, "rate")):
        bad = await change(api, clerk, "setExchangeRates", wanted, rates=[*rates, {**rates[0], **rate}])
        assert bad["errors"] == [{"code": "INVALID", "path": ["input", "rates", "1", place]}]


async def test_mail_domains_are_checked_and_looked_at_anew(api: Api, desk: Desk) -> None:
    admin = await api.token(desk.admin_id)
    wanted = "settings { mailDomains } errors { code path }"
    for bad in (["no dot"], ["a..b"], ["x" * 300 + ".com"], ["-a.com"], [f"d{n}.com" for n in range(101)]):
        answer = await change(api, admin, "updateTeamSettings", wanted, mailDomains=bad)
        assert answer["errors"] == [{"code": "INVALID", "path": ["input", "mailDomains"]}], bad
    async with acquire(ALL_TEAMS) as connection:
        one = await connection.fetchval(
            "INSERT INTO integrations (id, team_id, kind, name, state, interval_minutes) "
            "VALUES (uuidv7(), $1, 'files', 'Files', 'ACTIVE', 15) RETURNING id",
            desk.team,
        )
    given = ["@Example.COM", "sub.example.org", "example.com"]
    answer = await change(api, admin, "updateTeamSettings", wanted, mailDomains=given)
    assert answer == {"settings": {"mailDomains": ["example.com", "sub.example.org"]}, "errors": []}
    assert (await desk.integration(one)).remap_wanted == 1
