"""Integrators with public clients, under fire.

Invariants:
A. graphql-ws, graphql-sse (npm) and gql (PyPI) each go on by themselves after a killed connection, a killed API process
   and a restarted, empty Redis.
B. With kill -9 of the API, the relay (in the worker), the worker, Redis and PostgreSQL at random points under a steady
   flow of goal changes, and of the integrators themselves, every committed change reaches every durable reader exactly
   once by cursor, in order, and none is invented.
"""

from __future__ import annotations

import asyncio
import random
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from tests.receivers import receiving
from tests.running.cluster import ROOT, Cluster, set_goal
from tests.running.integrators import Integrator
from tests.services import lay_packages


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The examples with their packages, as their reader installs them."""
    folder = tmp_path_factory.mktemp("examples")
    for name in ("integrator.py", "integrator.mjs", "package.json"):
        shutil.copy(ROOT / "examples" / name, folder / name)
    lay_packages(ROOT / "examples", folder)
    return folder


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(tmp_path, api_count=2)
    try:
        made.start()
        yield made
    finally:
        made.stop()


@asynccontextmanager
async def receiver() -> AsyncIterator[tuple[str, list[str]]]:
    """A webhook receiver: its address, and the cursors that it was sent."""
    got: list[str] = []

    async def take(request: Request) -> Response:
        body = await request.json()
        got.append(body["cursor"])
        return PlainTextResponse("")

    async with receiving(take) as address:
        yield address, got


async def steady(cluster: Cluster, token: str, reps: list[str], done: asyncio.Event) -> int:
    """Change goals all the while, through either API process. Returns how many changes were answered."""
    chance = random.Random(5)
    number = 0
    async with httpx.AsyncClient(timeout=10) as client:
        while not done.is_set():
            number += 1
            await set_goal(client, chance.choice(cluster.urls), token, chance.choice(reps), number)
            await asyncio.sleep(chance.random() / 30)
    return number


async def agree(cluster: Cluster, team_id: Any, integrators: list[Integrator], count: int) -> list[str]:
    """Wait until every integrator has what was committed, and check that it has nothing else."""
    expected = await cluster.cursors(team_id)
    assert len(expected) >= count
    for one in integrators:
        try:
            async with asyncio.timeout(45):
                while len(one.cursors()) < len(expected):
                    await asyncio.sleep(0.1)
        except TimeoutError:
            pytest.fail(f"{one.name} has {len(one.cursors())} of {len(expected)}: {one.log.read_text()[-2000:]}")
        assert one.cursors() == expected, one.name
    return expected


def start_integrators(cluster: Cluster, examples: Path, token: str, folder: Path, start: str) -> list[Integrator]:
    names = ["graphql-ws", "graphql-sse", "gql"]
    made = [
        Integrator(name, examples, cluster.urls[place % 2], token, folder / f"{name}.ndjson")
        for place, name in enumerate(names)
    ]
    for one in made:
        one.start(start)
    return made


async def test_public_clients_resume(cluster: Cluster, examples: Path, tmp_path: Path) -> None:
    from domain.events import cursor_of

    team_id, token, reps = await cluster.make_team()
    integrators = start_integrators(cluster, examples, token, tmp_path, cursor_of(team_id, 0))
    done = asyncio.Event()
    writing = asyncio.ensure_future(steady(cluster, token, reps, done))
    supervising = asyncio.ensure_future(cluster.supervise())
    try:
        async with asyncio.timeout(45):
            while not all(one.cursors() for one in integrators):
                await asyncio.sleep(0.1)
        for name in ("api0", "api1", "redis"):
            await asyncio.to_thread(cluster.kill, name)
            await asyncio.sleep(1.5)
        # An integrator that was away meanwhile.
        for one in integrators:
            one.kill()
        await asyncio.sleep(1.0)
        for one in integrators:
            one.start("never looked at")
        done.set()
        count = await asyncio.wait_for(writing, 60)
        await agree(cluster, team_id, integrators, count)
    finally:
        writing.cancel()
        supervising.cancel()
        for one in integrators:
            one.kill()


CREATE = """mutation($url: String!) { createWebhookEndpoint(input: {url: $url}) {
    endpoint { id } secret errors { code message } } }"""


@pytest.mark.parametrize("seed", [11, 22])
async def test_nothing_is_lost_or_invented_whatever_dies(
    cluster: Cluster, examples: Path, tmp_path: Path, seed: int
) -> None:
    from domain.events import cursor_of

    chance = random.Random(seed)
    team_id, token, reps = await cluster.make_team()
    async with receiver() as (address, sent), httpx.AsyncClient(timeout=10) as client:
        answer = await client.post(
            f"{cluster.urls[0]}/graphql",
            json={"query": CREATE, "variables": {"url": address}},
            headers={"authorization": f"Bearer {token}"},
        )
        assert answer.json()["data"]["createWebhookEndpoint"]["errors"] == [], answer.text
        integrators = start_integrators(cluster, examples, token, tmp_path, cursor_of(team_id, 0))
        done = asyncio.Event()
        writing = asyncio.ensure_future(steady(cluster, token, reps, done))
        supervising = asyncio.ensure_future(cluster.supervise())
        try:
            victims = ["worker", "postgres", "api0", "redis", "worker", "api1", "postgres", "integrator"]
            chance.shuffle(victims)
            for victim in victims:
                await asyncio.sleep(chance.uniform(0.3, 1.2))
                if victim == "integrator":
                    for one in integrators:
                        one.kill()
                        one.start("never looked at")
                else:
                    await asyncio.to_thread(cluster.kill, victim)
            await asyncio.sleep(0.5)
            done.set()
            count = await asyncio.wait_for(writing, 60)
            expected = await agree(cluster, team_id, integrators, count)
            assert len(expected) == count  # one change, one event, however often it was sent
            async with asyncio.timeout(90):
                while not sent or sent[-1] != expected[-1]:
                    await asyncio.sleep(0.1)
        finally:
            writing.cancel()
            supervising.cancel()
            for one in integrators:
                one.kill()
    # At least once and in order: without the repeats, exactly what was committed.
    assert list(dict.fromkeys(sent)) == expected


def test_the_examples_are_short() -> None:
    for name in ("integrator.py", "integrator.mjs"):
        lines = (ROOT / "examples" / name).read_text().splitlines()
        assert len(lines) <= 50, name
