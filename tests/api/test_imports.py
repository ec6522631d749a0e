"""Activities in, through HTTP: the mutation, and `POST /import`."""

from __future__ import annotations

import gzip
import json
from typing import Any
from uuid import UUID

import httpx

from domain.database import ALL_TEAMS, acquire
from domain.ids import decode_any_id
from domain.imports import run_upload
from domain.jobs import claim_job
from tests.api.conftest import Api
from tests.factories import make_role, make_team, make_user

CALL = {"kind": "call", "externalId": "a", "user": "rep@x.test", "occurredAt": "2026-03-01T10:00:00Z", "version": 1}


async def people(*permissions: str) -> UUID:
    async with acquire(ALL_TEAMS) as connection:
        team_id = await make_team(connection)
        role = await make_role(connection, team_id, *permissions)
        await make_user(connection, team_id, role, email="rep@x.test")
        return await make_user(connection, team_id, role)


IMPORT = """mutation($input: ImportActivitiesInput!) { importActivities(input: $input) {
    accepted unchanged rejected errors { code message path } job { id } } }"""


async def test_the_mutation_takes_the_good_ones(api: Api) -> None:
    token = await api.token(await people("MANAGE_TEAM"))
    records: list[Any] = [CALL, {**CALL, "externalId": "b", "connected": "perhaps"}, 7, {**CALL, "externalId": ""}]
    dry = await api.data(token, IMPORT, input={"source": "s", "records": records, "dryRun": True})
    for _ in range(2):
        assert (dry["importActivities"]["accepted"], dry["importActivities"]["rejected"]) == (1, 3)
        dry = await api.data(token, IMPORT, input={"source": "s", "records": records, "dryRun": True})
    found = (await api.data(token, IMPORT, input={"source": "s", "records": records}))["importActivities"]
    assert [error["path"] for error in found["errors"]] == [
        ["input", "records", "1", "connected"],
        ["input", "records", "2"],
        ["input", "records", "3", "externalId"],
    ]
    again = (await api.data(token, IMPORT, input={"source": "s", "records": [CALL]}))["importActivities"]
    assert (again["accepted"], again["unchanged"]) == (0, 1)
    for source, records, path in ((" ", [], ["input", "source"]), ("s", [CALL] * 10_001, ["input", "records"])):
        refused = (await api.data(token, IMPORT, input={"source": source, "records": records}))["importActivities"]
        assert (refused["accepted"], refused["errors"][0]["code"]) == (0, "INVALID")
        assert refused["errors"][0]["path"] == path


async def send(api: Api, token: str, path: str, data: bytes, **headers: str) -> httpx.Response:
    return await api.http.post(path, content=data, headers={"authorization": f"Bearer {token}", **headers})


async def test_a_file_becomes_a_job(api: Api) -> None:
    user_id = await people("MANAGE_TEAM")
    token = await api.token(user_id)
    data = gzip.compress(json.dumps(CALL).encode() + b"\nnonsense\n")
    answer = await send(api, token, "/import?source=s&format=ndjson", data)
    assert answer.status_code == 202
    global_id = answer.json()["job"]["id"]
    document = """query($id: ID!) { job(id: $id) { state progress processed import { id accepted rejected quarantined {
        totalCount nodes { position code reason record } } } } }"""
    assert (await api.data(token, document, id=global_id))["job"]["state"] == "SCHEDULED"
    decoded = decode_any_id(global_id)
    assert decoded is not None
    async with acquire(ALL_TEAMS) as connection:
        job = await claim_job(connection, "test", job_id=decoded[1])
    assert job is not None
    await run_upload(job)
    found = (await api.data(token, document, id=global_id))["job"]
    assert (found["state"], found["progress"], found["processed"]) == ("SUCCEEDED", 1.0, 2)
    waiting = found["import"]["quarantined"]
    assert (found["import"]["accepted"], waiting["totalCount"]) == (1, 1)
    assert (waiting["nodes"][0]["position"], waiting["nodes"][0]["record"]) == (2, "nonsense")
    retried = await api.data(
        token,
        "mutation($id: ID!) { retryQuarantined(input: {importId: $id}) { accepted rejected errors { path } } }",
        id=found["import"]["id"],
    )
    assert retried["retryQuarantined"]["rejected"] == 1
    async with acquire(ALL_TEAMS) as connection:
        stranger = await make_user(connection, job.team_id, await make_role(connection, job.team_id, "TEAM_VIEW"))
    assert (await api.data(await api.token(stranger), document, id=global_id))["job"] is None


async def test_what_does_not_fit_is_refused(api: Api) -> None:
    token = await api.token(await people("MANAGE_TEAM"))
    data = json.dumps(CALL).encode()
    for path, field in (
        ("/import?source=s", "format"),
        ("/import?source=s&format=xml", "format"),
        ("/import?format=csv", "source"),
        ("/import?source=s&format=csv&dryRun=perhaps", "dryRun"),
    ):
        answer = await send(api, token, path, data)
        assert (answer.status_code, answer.json()["errors"][0]["extensions"]["input"]) == (400, [field])
    assert (await send(api, token, "/import?source=s&format=csv", b"")).status_code == 400
    assert (await send(api, "sl_no", "/import?source=s&format=csv", data)).status_code == 401
    rep = await api.token(await people("TEAM_VIEW"))
    assert (await send(api, rep, "/import?source=s&format=csv", data)).status_code == 403
    reader = await api.token(await people("MANAGE_TEAM"), scopes=["READ"])
    assert (await send(api, reader, "/import?source=s&format=csv", data)).status_code == 403


async def test_refused_records_are_read_by_who_brought_them_and_by_admin(api: Api) -> None:
    async with acquire(ALL_TEAMS) as connection:
        team_id = await make_team(connection)
        manager = await make_role(connection, team_id, "MANAGE_TEAM")
        admin_role = await make_role(connection, team_id, is_admin=True, name="Admin")
        bringer, other = [await make_user(connection, team_id, manager) for _ in range(2)]
        admin = await make_user(connection, team_id, admin_role)
    email = {"kind": "email", "externalId": "1", "user": "nobody@x.test", "body": "secret"}
    line = json.dumps({**email, "occurredAt": "2026-01-05T00:00:00Z"})
    headers = {"authorization": f"Bearer {await api.token(bringer)}"}
    response = await api.http.post("/import?source=s&format=ndjson", content=line, headers=headers)
    job_id = response.json()["job"]["id"]
    decoded = decode_any_id(job_id)
    assert decoded is not None
    async with acquire(ALL_TEAMS) as connection:
        job = await claim_job(connection, "test", job_id=decoded[1])
    assert job is not None
    await run_upload(job)
    question = "query($id: ID!) { job(id: $id) { import { quarantined { nodes { reason record } } } } }"
    for who, readable in ((bringer, True), (other, False), (admin, True)):
        answer = await api.query(await api.token(who), question, id=job_id)
        (record,) = answer["data"]["job"]["import"]["quarantined"]["nodes"]
        assert record["reason"]
        assert (record["record"] is not None) is readable
        missing = [error["extensions"]["permission"] for error in answer.get("errors", [])]
        assert missing == ([] if readable else ["Admin"])
