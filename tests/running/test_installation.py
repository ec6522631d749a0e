"""The installation as operators, integrators and scripts see it."""

from __future__ import annotations

import asyncio
import csv
import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

import httpx
import pytest
import websockets

from tests.running.conftest import ROOT, Installation, Running

MAVEN = ROOT.parent / "shared" / "data" / "maven-crm"
PEOPLE = {"admin@demo.test", "ops@demo.test", "manager@demo.test", "lead@demo.test", "rep@demo.test"}


def test_it_says_where_it_is_and_gives_a_token_a_person(running: Running) -> None:
    assert set(running.tokens) == PEOPLE
    url = running.installation.url
    assert f"{url}/graphql" in running.installation.text
    assert httpx.get(f"{url}/healthz").json() == {"status": "alive"}
    assert httpx.get(f"{url}/readyz").json() == {"status": "ready"}
    mode = stat.S_IMODE((running.installation.home / "run.json").stat().st_mode)
    assert mode == 0o600


def test_the_demo_people_are_who_they_should_be(running: Running) -> None:
    document = (
        "{ viewer { permissions user { name email dealsAccess role { name } group { name } } } users { totalCount } }"
    )
    found = {email: running.installation.query(token, document) for email, token in running.tokens.items()}
    assert found["admin@demo.test"]["viewer"]["user"]["dealsAccess"]
    assert not found["ops@demo.test"]["viewer"]["user"]["dealsAccess"]
    assert found["manager@demo.test"]["viewer"]["user"]["role"]["name"] == "Manager"
    assert set(found["manager@demo.test"]["viewer"]["permissions"]) == {
        "TEAM_VIEW",
        "MANAGE_GOALS",
        "VIEW_EMAIL_CONTENT",
        "LIVE_CALL_STUDIO",
    }
    assert found["lead@demo.test"]["viewer"]["permissions"] == ["TEAM_VIEW"]
    assert found["rep@demo.test"]["viewer"]["permissions"] == []
    assert found["rep@demo.test"]["users"]["totalCount"] == 1
    # The manager, the lead, and twelve reps in three groups below the region.
    assert found["manager@demo.test"]["users"]["totalCount"] == 14
    assert found["admin@demo.test"]["users"]["totalCount"] == 48 + 4 + 1 + 2


def test_a_token_for_anybody(running: Running) -> None:
    environment = os.environ | {"SIDELINE_HOME": str(running.installation.home)}
    made = subprocess.run(
        ["make", "-s", "token", "USER=rep@demo.test"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    token = made.stdout.strip()
    assert made.stdout == f"{token}\n"
    found = running.installation.query(token, "{ viewer { user { email } } }")
    assert found["viewer"]["user"]["email"] == "rep@demo.test"
    nobody = running.command("token", "create", "nobody@demo.test")
    assert nobody.returncode == 1
    assert "Nobody has the email address nobody@demo.test" in nobody.stderr
    without = subprocess.run(
        ["make", "-s", "token"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert "make token USER=" in without.stderr
    listed = running.command("token", "list", "rep@demo.test")
    token_id = listed.stdout.splitlines()[1].split()[0]
    assert running.command("token", "revoke", token_id, "--user", "rep@demo.test").stdout == "revoked\n"
    answer = httpx.post(
        f"{running.installation.url}/graphql",
        json={"query": "{ __typename }"},
        headers={"authorization": f"Bearer {token}"},
    )
    assert answer.status_code == 401


def test_doctor_finds_nothing(running: Running) -> None:
    found = running.command("doctor")
    assert found.returncode == 0, found.stdout
    assert "bad" not in found.stdout


def test_files_in_and_out(running: Running, tmp_path: Path) -> None:
    file = tmp_path / "calls.ndjson"
    record = {"kind": "call", "externalId": "x", "user": "rep@demo.test", "occurredAt": "2026-01-05T10:00:00Z"}
    file.write_text(json.dumps(record) + "\nnonsense\n")
    first = running.command("import", str(file), "--source", "files", "--team", "Sideline Demo")
    assert (first.returncode, first.stdout) == (1, "accepted 1, unchanged 0, rejected 1\n"), first.stderr
    out = running.command("export", "--user", "rep@demo.test", "--team", "Sideline Demo")
    records = [json.loads(line) for line in out.stdout.splitlines()]
    assert {one["user"] for one in records} == {"rep@demo.test"}
    assert any(one["externalId"] == "x" for one in records)
    again = tmp_path / "again.ndjson"
    again.write_text("".join(json.dumps(one) + "\n" for one in records if one["externalId"] != "x"))
    second = running.command("import", str(again), "--source", "demo", "--team", "Sideline Demo")
    assert second.stdout == f"accepted 0, unchanged {len(records) - 1}, rejected 0\n", second.stderr


async def test_a_job_can_be_watched(running: Running) -> None:
    url, token = running.installation.url, running.tokens["admin@demo.test"]
    lines = [
        json.dumps(
            {"kind": "call", "externalId": f"w{n}", "user": "rep@demo.test", "occurredAt": "2026-01-05T10:00:00Z"}
        )
        for n in range(5_000)
    ]
    async with httpx.AsyncClient() as client:
        sent = await client.post(
            f"{url}/import?source=watch&format=ndjson",
            content="\n".join(lines),
            headers={"authorization": f"Bearer {token}"},
        )
    assert sent.status_code == 202
    document = "subscription($id: ID!) { jobProgress(jobId: $id) { state processed progress } }"
    messages = await _subscribe(url, token, document, {"id": sent.json()["job"]["id"]})
    states = [message["payload"]["data"]["jobProgress"] for message in messages if message["type"] == "next"]
    assert states[-1] == {"state": "SUCCEEDED", "processed": 5_000, "progress": 1.0}
    assert [state["processed"] for state in states] == sorted(state["processed"] for state in states)
    assert messages[-1]["type"] == "complete"
    refused = await _subscribe(url, running.tokens["rep@demo.test"], document, {"id": sent.json()["job"]["id"]})
    assert [(message["type"], message["payload"][0]["extensions"]["code"]) for message in refused] == [
        ("error", "NOT_FOUND")
    ]


async def _subscribe(url: str, token: str, document: str, variables: dict[str, str]) -> list[dict[str, object]]:
    address = url.replace("http", "ws", 1) + "/graphql"
    found = []
    async with websockets.connect(address, subprotocols=[websockets.Subprotocol("graphql-transport-ws")]) as socket:
        await socket.send(json.dumps({"type": "connection_init", "payload": {"authorization": f"Bearer {token}"}}))
        assert json.loads(await socket.recv())["type"] == "connection_ack"
        payload = {"query": document, "variables": variables}
        await socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": payload}))
        async with asyncio.timeout(30):
            while True:
                message = json.loads(await socket.recv())
                found.append(message)
                if message["type"] in ("complete", "error"):
                    return found


async def test_a_socket_without_a_token_is_closed(running: Running) -> None:
    address = running.installation.url.replace("http", "ws", 1) + "/graphql"
    async with websockets.connect(address, subprotocols=[websockets.Subprotocol("graphql-transport-ws")]) as socket:
        await socket.send(json.dumps({"type": "connection_init"}))
        await socket.wait_closed()
        assert socket.close_code == 4403


@pytest.mark.skipif(not MAVEN.is_dir(), reason="the CRM example's data is not beside the repository")
def test_the_crm_example(running: Running) -> None:
    environment = os.environ | {"SIDELINE_HOME": str(running.installation.home)}
    for accepted in (8_800, 0):
        made = subprocess.run(
            ["make", "-s", "example-crm", f"CSV_DIR={MAVEN}"],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        assert f"accepted {accepted}, unchanged {8_800 - accepted}, rejected 0" in made.stderr
    token = made.stdout.splitlines()[-1]
    found = running.installation.query(
        token,
        """{ teamDashboard(
            range: {from: "2017-01-01", to: "2017-12-31"}, metrics: [CLOSED_WON_COUNT, CLOSED_WON_AMOUNT]
        ) {
            metrics { value }
            groups { group { name } metrics { value } }
            reps(first: 50, sortBy: CLOSED_WON_AMOUNT) { totalCount nodes { rank user { name } metrics { value } } }
        } }""",
    )["teamDashboard"]
    counts: dict[str, int] = defaultdict(int)
    amounts: dict[str, int] = defaultdict(int)
    with (MAVEN / "sales_teams.csv").open() as file:
        office = {row["sales_agent"]: row["regional_office"] for row in csv.DictReader(file)}
    with (MAVEN / "sales_pipeline.csv").open() as file:
        for row in csv.DictReader(file):
            if row["deal_stage"] == "Won" and row["close_date"].endswith("-17"):
                counts[row["sales_agent"]] += 1
                amounts[row["sales_agent"]] += int(row["close_value"])
    assert found["metrics"] == [{"value": str(sum(counts.values()))}, {"value": str(sum(amounts.values()))}]
    assert found["metrics"] == [{"value": "4238"}, {"value": "10005534"}]
    reps = found["reps"]["nodes"]
    assert len(reps) == len(office) == found["reps"]["totalCount"] == 35
    for one in reps:
        name = one["user"]["name"]
        assert [value["value"] for value in one["metrics"]] == [str(counts[name]), str(amounts[name])]
        assert one["rank"] == 1 + sum(1 for other in office if amounts[other] > amounts[name])
    for row in found["groups"]:
        members = [agent for agent in office if office[agent] == row["group"]["name"]]
        assert row["metrics"][1]["value"] == str(sum(amounts[agent] for agent in members))


def test_a_second_start_on_the_same_home_is_refused(running: Running) -> None:
    second = running.command("up")
    assert second.returncode == 1
    assert "runs already" in second.stdout


def test_a_taken_port_is_named(running: Running, tmp_path: Path) -> None:
    environment = os.environ | {"SIDELINE_HOME": str(tmp_path / "other"), "PORT": str(running.installation.port)}
    second = subprocess.run(
        [sys.executable, "-m", "cli.main", "up"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert second.returncode == 1
    assert f"Port {running.installation.port} is taken" in second.stdout


def test_a_dead_child_is_started_again(running: Running) -> None:
    pids = subprocess.run(["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=True).stdout
    parent = str(running.installation.process.pid)
    worker = next(
        int(line.split()[0]) for line in pids.splitlines() if line.split()[1] == parent and "-m workers" in line
    )
    os.kill(worker, signal.SIGKILL)
    end = time.monotonic() + 20
    while "The worker ended" not in running.installation.text:
        assert time.monotonic() < end, running.installation.text
        time.sleep(0.05)
    assert httpx.get(f"{running.installation.url}/readyz").status_code == 200


CLEAN = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "LANG": "C.UTF-8"} | {
    name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_", "TMPDIR"))
}


@pytest.mark.timeout(600)
def test_the_two_commands_on_a_fresh_machine(tmp_path: Path) -> None:
    """A fresh clone of what is committed, an empty environment, no caches: `make run` twice, and `make test`."""
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    environment = CLEAN | {"PIP_NO_CACHE_DIR": "1"}
    home = tmp_path / "home"
    first = Installation(["make", "run"], home=home, cwd=clone, environment=environment)
    first.await_up()
    tokens = first.tokens()
    assert set(tokens) == PEOPLE
    assert "pip does it" not in first.text
    assert first.stop() in (0, -signal.SIGTERM, 2), first.text
    assert first.pids() == []

    second = Installation(["make", "run"], home=home, cwd=clone, environment=environment)
    assert second.await_up() < 30
    assert second.tokens() == tokens
    found = second.query(tokens["manager@demo.test"], "{ activities { totalCount } }")
    assert found["activities"]["totalCount"] > 1_000
    second.stop(signal.SIGINT)
    assert second.pids() == []

    tested = subprocess.run(
        # One process of xdist's shows it as well as several, each of which compiles all of ours.
        ["make", "test", "ARGS=-n 1 -p no:cacheprovider -q tests/cli/test_embedded.py"],
        cwd=clone,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert tested.returncode == 0, tested.stdout + tested.stderr
