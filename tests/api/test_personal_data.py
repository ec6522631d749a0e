"""A person's data, kept, given out and erased through the API.

Invariants:
A. A person gets all that is about them, Admin gets it of anybody, nobody else gets anything or learns who there is.
B. The export is whole: every activity, body, rollup, goal, day off, token and entry, and a last line that says so.
C. No secret, digest or key, and nothing of others that the reader may not see, is in it.
D. An export by somebody else is in the audit log before it is given; one's own is not.
E. It is streamed in pages, holds no connection between them, and is paid for from the credential's budget.
F. eraseUser and the settings of retention do what the domain says; dashboards show the same numbers before and after.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from domain import administration, erasure, personal_data, retention
from domain.database import ALL_TEAMS, acquire
from domain.ids import decode_any_id, encode_id
from domain.retention import TeamRetention
from tests.api.conftest import Api
from tests.conftest import TEST_KEY
from tests.domain.test_erasure import BODY, EMAIL, NAME, NOW, SUBJECT, ZONE, Office
from tests.factories import make_role, make_team, make_user

ROOT = Path(__file__).parents[2]


@pytest.fixture
async def office(api: Api) -> Office:
    """A team in which Ada did much."""
    made = await Office().open(90)
    await made.remember()
    return made


def path_of(user_id: UUID) -> str:
    return f"/people/{encode_id('User', user_id)}/export"


async def get(api: Api, token: str, path: str) -> httpx.Response:
    return await api.http.get(path, headers={"authorization": f"Bearer {token}"})


def by_record(text: str) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for line in text.splitlines():
        record = json.loads(line)
        found.setdefault(record["record"], []).append(record)
    assert found["end"] == [{"record": "end", "records": sum(map(len, found.values())) - 1}]
    return found


async def test_a_person_gets_all_that_is_about_them(api: Api, office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(personal_data, "PAGE_ROWS", 7)
    monkeypatch.setattr(personal_data, "AUDIT_PAGE_ROWS", 3)
    monkeypatch.setattr(personal_data, "LINES_BYTES", 200)
    token = await api.token(office.ada_id)
    answer = await get(api, token, "/people/me/export")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert answer.headers["cache-control"] == "no-store"
    assert "attachment" in answer.headers["content-disposition"]
    found = by_record(answer.text)
    assert (await get(api, token, path_of(office.ada_id))).text.count("\n") >= answer.text.count("\n")
    (profile,) = found["profile"]
    assert (profile["name"], profile["email"], profile["externalIds"]) == (NAME, EMAIL, ["crm-ada-4711", "sf-ada-0815"])
    assert profile["startedOn"] == "2026-01-05"
    (place,) = found["place"]
    assert place["role"]["name"] == "Strong"
    assert [group["name"] for group in place["groups"]] == ["North"]
    async with acquire(office.team) as connection:
        rows = await connection.fetch("SELECT * FROM activities WHERE user_id = $1", office.ada_id)
        days = await connection.fetch("SELECT * FROM rollup_days WHERE user_id = $1", office.ada_id)
    assert sorted(one["externalId"] for one in found["activity"]) == sorted(row["external_id"] for row in rows)
    assert all(one["user"] == EMAIL and one["source"] == "test" for one in found["activity"])
    emails = [one for one in found["activity"] if one["kind"] == "email"]
    assert len(emails) > 3
    assert all((one["subject"], one["body"]) == (SUBJECT, BODY) for one in emails)
    total = sum(Decimal(one.get("newPipeline", 0)) for one in found["rollupDay"])
    assert total == sum(row["new_pipeline"] for row in days)
    assert sum(one.get("emailsSent", 0) for one in found["rollupDay"]) == len(emails)
    (goal,) = found["goal"]
    assert (goal["metric"], [version["target"] for version in goal["versions"]]) == (
        "EMAILS_SENT",
        ["40.0000", "50.0000"],
    )
    assert goal["versions"][0]["setBy"] == encode_id("User", office.ada_id)
    (days_off,) = found["daysOff"]
    assert (days_off["from"], days_off["to"], days_off["reason"]) == ("2026-03-02", "2026-03-06", "Scarlet fever")
    assert {one["name"] for one in found["token"]} >= {"Ada phone", "Ada phone 2", "Ada phone browser"}
    assert [one["url"] for one in found["webhookEndpoint"]] == ["https://ada-hook.test/in"]
    assert {one["position"] for one in found["refusedRecord"]} >= {1, 2}
    assert all(one["text"] for one in found["refusedRecord"])
    told = {one["action"]: one for one in found["auditEntry"]}
    assert {"USER_INVITED", "USER_UPDATED", "TOKEN_CREATED", "EMAIL_BODY_READ", "GROUP_CREATED"} <= set(told)
    assert told["USER_UPDATED"]["after"]["email"] == EMAIL
    assert told["GROUP_CREATED"]["address"] == "198.51.100.77"
    assert "after" not in told["EMAIL_BODY_READ"]


async def test_nothing_secret_and_nothing_of_others_is_in_it(api: Api, office: Office) -> None:
    admin = replace(office.admin, address="203.0.113.9")
    await office.do(administration.update_user, office.ada_id, {"deals_access": True}, by=admin)
    await office.do(administration.update_user, office.colleague_id, {"name": "Hopper"}, by=office.ada)
    async with acquire(ALL_TEAMS) as connection:
        await connection.execute("UPDATE users SET manager_id = $2 WHERE id = $1", office.ada_id, office.admin.user_id)
        plain = await make_role(connection, office.team, name="Plain")
        await connection.execute("UPDATE users SET role_id = $2 WHERE id = $1", office.ada_id, plain)
        digests = await connection.fetch("SELECT digest FROM tokens WHERE team_id = $1", office.team)
        secret = await connection.fetchval("SELECT secret FROM webhook_endpoints WHERE team_id = $1", office.team)
    mine = (await get(api, await api.token(office.ada_id), "/people/me/export")).text
    assert not any(row["digest"] in mine for row in digests)
    assert bytes(secret).hex() not in mine
    assert secret.decode() not in mine
    for word in ("grace@navy.test", "Grace", "Hopper", "Charles", "203.0.113.9", "hash", "salt", "digest", "sl_"):
        assert word not in mine, word
    theirs = by_record((await get(api, await api.token(office.admin.user_id), path_of(office.ada_id))).text)
    assert theirs["place"][0]["manager"]["name"] == "Charles"
    assert by_record(mine)["place"][0]["manager"] == {"id": encode_id("User", office.admin.user_id), "name": None}


async def test_who_may_have_it(api: Api, office: Office) -> None:
    async with acquire(ALL_TEAMS) as connection:
        other_team = await make_team(connection)
        stranger = await make_user(connection, other_team, await make_role(connection, other_team))
        boss_role = await make_role(connection, office.team, "TEAM_VIEW", "VIEW_EMAIL_CONTENT", "MANAGE_TEAM")
        boss = await make_user(connection, office.team, boss_role)
    path, never = path_of(office.ada_id), path_of(UUID(int=7))

    def told(answer: httpx.Response) -> tuple[int, Any]:
        (error,) = answer.json()["errors"]
        return answer.status_code, (error["message"], error["extensions"] | {"requestId": ""})

    for user in (boss, office.colleague_id):
        token = await api.token(user)
        assert told(await get(api, token, path)) == told(await get(api, token, never))
        assert told(await get(api, token, path))[1][1]["permission"] == "Admin"
    admin = await api.token(office.admin.user_id)
    assert told(await get(api, admin, path_of(stranger))) == told(await get(api, admin, never))
    assert told(await get(api, admin, never))[0] == 404
    assert (await get(api, admin, "/people/none/export")).status_code == 404
    assert (await get(api, "sl_none", path)).status_code == 401
    writer = await api.token(office.ada_id, scopes=["WRITE"])
    assert told(await get(api, writer, "/people/me/export"))[1][1]["permission"] == "scope:READ"
    bound = await api.token(office.ada_id, trusted_documents_only=True)
    assert told(await get(api, bound, "/people/me/export"))[1][1]["permission"] == "trustedDocumentsOnly"
    log = "{ auditLog(filter: {actions: [PERSON_EXPORTED]}) { totalCount } }"
    assert (await api.data(admin, log))["auditLog"]["totalCount"] == 0, "what was refused is not told"
    assert (await get(api, await api.token(office.ada_id), "/people/me/export")).status_code == 200
    assert (await api.data(admin, log))["auditLog"]["totalCount"] == 0
    assert (await get(api, admin, path)).status_code == 200
    log = "{ auditLog(filter: {actions: [PERSON_EXPORTED]}) { nodes { actor { id } subjectId address requestId } } }"
    (entry,) = (await api.data(admin, log))["auditLog"]["nodes"]
    assert entry["actor"]["id"] == encode_id("User", office.admin.user_id)
    assert entry["subjectId"] == encode_id("User", office.ada_id)
    assert entry["address"]
    assert entry["requestId"]


async def test_it_is_paid_for(api: Api, office: Office) -> None:
    token = await api.token(office.ada_id, cost_per_minute=1_000)
    first = await get(api, token, "/people/me/export")
    assert first.status_code == 200
    assert first.headers["ratelimit"].startswith('"cost";r=0')
    second = await get(api, token, "/people/me/export")
    assert second.status_code == 429
    assert int(second.headers["retry-after"]) > 0
    assert second.json()["errors"][0]["extensions"]["code"] == "RATE_LIMITED"


async def test_a_slow_reader_holds_no_connection(api: Api, office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(personal_data, "LINES_BYTES", 1)
    export = await personal_data.begin_export(office.ada, office.ada_id)
    lines = export.lines()
    # As many as the pool has connections, and some: each stands in the middle of a page.
    readers = [lines, *(export.lines() for _ in range(20))]
    for reader in readers:
        for _ in range(12):
            await anext(reader)
    assert (await api.data(await api.token(office.ada_id), "{ viewer { user { id } } }"))["viewer"]
    for reader in readers:
        await reader.aclose()


RANGES = (
    '{from: "2026-02-20", to: "2026-05-10"}',
    '{from: "2026-03-01", to: "2026-03-31"}',
    '{from: "2026-02-27", to: "2026-04-02"}',
    '{from: "2026-03-17", to: "2026-03-17"}',
    '{from: "2025-06-01", to: "2026-12-31"}',
)


async def dashboards(api: Api, token: str) -> list[Any]:
    cell = "metric value previous change goal attainment"
    found = []
    for days in RANGES:
        answer = await api.data(
            token,
            f"""{{ teamDashboard(range: {days}, compare: SAME_PERIOD_LAST_YEAR) {{
                metrics {{ {cell} trend(interval: WEEK) {{ start value }} }}
                groups {{ group {{ id }} metrics {{ {cell} }} }}
                reps(first: 50) {{ nodes {{ rank user {{ id }} metrics {{ {cell} }} }} }} }} }}""",
        )
        # Reps of one rank stand in the order of their names.
        answer["teamDashboard"]["reps"]["nodes"].sort(key=lambda node: (node["rank"], node["user"]["id"]))
        found.append(answer)
    return found


async def test_dashboards_show_the_same_before_and_after(api: Api, office: Office) -> None:
    admin = await api.token(office.admin.user_id)
    ada = encode_id("User", office.ada_id)
    document = 'mutation($id: ID!) { deactivateUser(input: {userId: $id, endedOn: "2026-04-21"}) { errors { code } } }'
    await api.data(admin, document, id=ada)
    before = await dashboards(api, admin)
    settings = "mutation($i: UpdateTeamSettingsInput!) { updateTeamSettings(input: $i) { errors { code path } settings"
    settings += " { keepActivitiesDays keepAuditDays keepBodiesDays activitiesFrom } } }"
    changed = await api.data(admin, settings, i={"keepActivitiesDays": 25, "keepAuditDays": 400, "keepBodiesDays": 5})
    assert changed["updateTeamSettings"] == {
        "errors": [],
        "settings": {"keepActivitiesDays": 25, "keepAuditDays": 400, "keepBodiesDays": 5, "activitiesFrom": None},
    }
    await retention.forget(TeamRetention(office.team, ZONE, 25, 5, 400), NOW)
    kept = "{ teamSettings { keepActivitiesDays activitiesFrom } activities { totalCount } }"
    found = await api.data(admin, kept)
    # NOW is still the day before in New York.
    assert found["teamSettings"] == {"keepActivitiesDays": 25, "activitiesFrom": "2026-03-26"}
    assert await dashboards(api, admin) == before
    erase = "mutation($id: ID!) { eraseUser(input: {userId: $id}) { user { id name email active erased group { name } }"
    erase += " job { id kind state } errors { code path } } }"
    done = (await api.data(admin, erase, id=ada))["eraseUser"]
    assert done["user"] == {
        "id": ada,
        "name": "Erased person",
        "email": f"erased-{office.ada_id.hex}@erased.invalid",
        "active": False,
        "erased": True,
        "group": {"name": "North"},
    }
    assert (done["job"]["kind"], done["job"]["state"], done["errors"]) == ("erase_person", "SCHEDULED", [])
    decoded = decode_any_id(done["job"]["id"])
    assert decoded is not None
    await erasure.run(await office.claim(decoded[1]))
    job = await api.data(admin, "query($id: ID!) { job(id: $id) { state progress } }", id=done["job"]["id"])
    assert job["job"] == {"state": "SUCCEEDED", "progress": 1.0}
    assert await office.traces() == set()
    assert await dashboards(api, admin) == before
    for zone in ("Asia/Tokyo", ZONE):
        await office.move(zone)
    assert await dashboards(api, admin) == before
    left = by_record((await get(api, admin, path_of(office.ada_id))).text)
    assert "activity" not in left
    assert "token" not in left
    assert left["rollupDay"]
    log = "{ auditLog(first: 100) { nodes { action erased before after actor { name } } } }"
    entries = (await api.data(admin, log))["auditLog"]["nodes"]
    assert {entry["action"] for entry in entries if entry["erased"]} >= {"USER_INVITED", "GROUP_CREATED"}
    assert "Erased person" in {entry["actor"]["name"] for entry in entries if entry["actor"]}


async def test_what_a_rule_refuses_is_told(api: Api, office: Office) -> None:
    admin = await api.token(office.admin.user_id)
    erase = "mutation($id: ID!) { eraseUser(input: {userId: $id}) { user { id } job { id } errors { code path } } }"
    for user_id, code in ((office.admin.user_id, "INVALID"), (UUID(int=7), "NOT_FOUND")):
        found = (await api.data(admin, erase, id=encode_id("User", user_id)))["eraseUser"]
        assert found == {"user": None, "job": None, "errors": [{"code": code, "path": ["input", "userId"]}]}
    ada = await api.token(office.ada_id)
    answer = await api.query(ada, erase, id=encode_id("User", office.colleague_id))
    assert answer["errors"][0]["extensions"]["permission"] == "Admin"
    settings = "mutation($i: UpdateTeamSettingsInput!) { updateTeamSettings(input: $i) { errors { code path } } }"
    refused = (await api.data(admin, settings, i={"keepAuditDays": 7}))["updateTeamSettings"]
    assert refused["errors"] == [{"code": "INVALID", "path": ["input", "keepAuditDays"]}]
    answer = await api.query(ada, settings, i={"keepAuditDays": 90})
    assert answer["errors"][0]["extensions"]["permission"] == "Admin"


async def test_erasing_ends_access_at_once(api: Api, office: Office) -> None:
    ada = await api.token(office.ada_id)
    await api.data(ada, "{ viewer { user { id } } }")
    await office.erase()
    answer = await api.http.post(
        "/graphql", json={"query": "{ __typename }"}, headers={"authorization": f"Bearer {ada}"}
    )
    assert answer.status_code == 401
    assert (await get(api, ada, "/people/me/export")).status_code == 401


async def command(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {
        "SIDELINE_DATABASE_URL": url,
        "SIDELINE_SECRET_KEYS": TEST_KEY,
        "PYTHONPATH": str(ROOT),
    }
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "cli.main", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


async def test_the_operator_exports_and_erases(database: str) -> None:
    office = await Office().open(30)
    await office.remember()
    name = f"Team {office.team}"
    async with acquire(ALL_TEAMS) as connection:
        await connection.execute("UPDATE teams SET name = $2 WHERE id = $1", office.team, name)
    out = await command(database, "person", "export", EMAIL, "--team", name)
    assert out.returncode == 0, out.stderr
    assert by_record(out.stdout)["profile"][0]["name"] == NAME
    asked = await command(database, "person", "erase", EMAIL, "--team", name)
    assert asked.returncode != 0, "it asks first, and nobody answered"
    assert await office.traces() != set()
    done = await command(database, "person", "erase", EMAIL, "--team", name, "--yes")
    assert done.returncode == 0, done.stderr
    assert "erased" in done.stdout
    assert await office.traces() == set()
    async with acquire(office.team) as connection:
        rows = await connection.fetch("SELECT action, actor_id FROM audit_entries ORDER BY position DESC LIMIT 2")
        job = await connection.fetchrow("SELECT state, requested_by_id FROM jobs WHERE kind = $1", erasure.KIND)
    assert [tuple(row) for row in rows] == [("USER_ERASED", None), ("PERSON_EXPORTED", None)]
    assert tuple(job) == ("SUCCEEDED", None)
