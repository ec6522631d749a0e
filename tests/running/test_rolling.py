"""Two versions of Sideline on one database, under load, while one takes the other's place, and back.

The next version is this one with an overlay: a migration that expands (columns with a default on tables that this
version reads whole rows of, an index on a partitioned table in use) and a field that is served from it.

A. No client sees more than it may try again by the rules (tests/running/load.py), every event comes once and in order
   over both transports, every change and every record has its effect once.
B. A new version on a database that has not been migrated is not ready and says what to do; it is once that is done.
C. The old version works on with the new tables, and is ready on them when it is started anew.
D. A process that is told to stop says at /readyz that it is leaving before it refuses connections.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from domain.migrating import known_migrations
from tests.running.cluster import ROOT, Cluster
from tests.running.load import Load, make_load

PACKAGES = ("api", "cli", "domain", "migrations", "workers")
DRAIN_SECONDS = 1.0
NEXT = "0901_notes"
INDEX = "0902_kinds_index"
MIGRATION = f'''
from tortoise import fields, migrations
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    dependencies = [("sideline", "{known_migrations()[-1]}")]
    operations = [
        ops.AddField("Goal", "note", fields.CharField(max_length=40, db_default="of the next version")),
        ops.AddField("Job", "note", fields.CharField(max_length=40, db_default="")),
        ops.AddField("Event", "note", fields.CharField(max_length=40, db_default="")),
    ]
'''
MIGRATION_OF_INDEX = f'''
from tortoise import migrations

from domain.migrating import AddIndexConcurrently


class Migration(migrations.Migration):
    dependencies = [("sideline", "{NEXT}")]
    atomic = False
    operations = [AddIndexConcurrently("activities_of_kind_idx", "activities", "(team_id, kind)")]
'''
FIELD = """    @strawberry.field(description="What the next version keeps of each goal.")
    async def notes(self, info: Info) -> list[str]:
        async with info.context.acquire() as connection:
            return [row["note"] for row in await connection.fetch("SELECT note FROM goals")]

"""
PLACES = {
    "api/schema/viewer.py": ("    @classmethod\n    def of(cls, viewer", FIELD),
    "domain/models/goals.py": (
        "    metric = fields.CharField(max_length=40)\n    period",
        '    note = fields.CharField(max_length=40, db_default="of the next version")\n',
    ),
    "domain/models/jobs.py": ("    class Meta:", '    note = fields.CharField(max_length=40, db_default="")\n\n'),
    "domain/models/events.py": (
        '    class Meta:\n        table = "events"',
        '    note = fields.CharField(max_length=40, db_default="")\n\n',
    ),
}


def make_next_version(folder: Path) -> None:
    """This tree with the overlay on it."""
    for name in PACKAGES:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("static"))
    for file, (place, text) in PLACES.items():
        before = (folder / file).read_text()
        assert before.count(place) == 1, f"{file}: the overlay's place is not there once"
        (folder / file).write_text(before.replace(place, text + place))
    (folder / "migrations" / f"{NEXT}.py").write_text(MIGRATION)
    (folder / "migrations" / f"{INDEX}.py").write_text(MIGRATION_OF_INDEX)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    (tmp_path / "cluster").mkdir()
    made = Cluster(tmp_path / "cluster", api_count=2, worker_count=2)
    made.more = {"SIDELINE_DRAIN_SECONDS": str(DRAIN_SECONDS)}
    try:
        make_next_version(tmp_path / "next")
        made.start()
        yield made
    finally:
        made.stop()


def migrate(cluster: Cluster, tree: Path) -> str:
    """What `sideline migrate` of a version says."""
    command = [sys.executable, "-m", "cli.main", "migrate"]
    environment = cluster.environment | {"PYTHONPATH": str(tree)}
    done = subprocess.run(command, cwd=cluster.folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


async def readiness(url: str) -> tuple[int, dict[str, object]]:
    """What a process says at /readyz, once it answers."""
    async with httpx.AsyncClient(timeout=5) as client, asyncio.timeout(30):
        while True:
            try:
                answer = await client.get(f"{url}/readyz")
            except httpx.TransportError:
                await asyncio.sleep(0.05)
            else:
                return answer.status_code, answer.json()


async def replace(cluster: Cluster, name: str, tree: Path) -> None:
    """Stop a process in good order, and start it anew from a tree."""
    process = cluster.processes[name]
    process.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(process.wait, 20) in {0, -signal.SIGTERM}
    cluster.own[name] = {"PYTHONPATH": str(tree)}
    cluster.start_process(name)


async def replace_all(cluster: Cluster, tree: Path, names: list[str]) -> None:
    """Each process once the one before it is ready; a worker beside an API process."""
    for name in names:
        await replace(cluster, name, tree)
        if name.startswith("api"):
            url = cluster.urls[int(name.removeprefix("api"))]
            await asyncio.to_thread(cluster.await_ready, url)


async def notes(load: Load) -> list[str]:
    found: list[str] = (await load.ask("{ viewer { notes } }"))["viewer"]["notes"]
    return found


@pytest.mark.timeout(180)
async def test_two_versions_side_by_side(cluster: Cluster, tmp_path: Path) -> None:
    """A, B, C, D."""
    newer = tmp_path / "next"
    load = await make_load(cluster)
    async with load.running():
        # B: somebody starts the next version too early.
        leaving = asyncio.ensure_future(seen_leaving(cluster.urls[1]))
        await replace_all(cluster, newer, ["worker1"])
        await replace(cluster, "api1", newer)
        assert await leaving  # D.
        status, told = await readiness(cluster.urls[1])
        assert (status, told["missing"]) == (503, ["migrations"])
        assert "sideline migrate" in str(told["mend"])
        said = await asyncio.to_thread(migrate, cluster, newer)
        assert said.splitlines()[:2] == [f"applied {NEXT}", f"applied {INDEX}"]
        await asyncio.to_thread(cluster.await_ready, cluster.urls[1])
        assert (await readiness(cluster.urls[0]))[0] == 200  # C.
        await replace_all(cluster, newer, ["api0", "worker"])
        assert set(await notes(load)) == {"of the next version"}
        at_its_height = load.answers

        # Back to the old version, on the new tables.
        assert await asyncio.to_thread(migrate, cluster, ROOT) == "The schema is up to date.\n"
        await replace_all(cluster, ROOT, ["worker", "api0", "worker1", "api1"])
        assert load.answers > at_its_height
    await load.settle()
    await load.check()
    for url in cluster.urls:
        assert await readiness(url) == (200, {"status": "ready"})
    assert load.retried["socket RESTARTING"] + load.retried["socket 1012"] > 0, load.retried
    assert load.retried["sse RESTARTING"] > 0, load.retried
    for name in cluster.processes:
        log = (cluster.folder / f"{name}.log").read_text()
        assert "Traceback" not in log, log[-5000:]


async def seen_leaving(url: str) -> bool:
    """Whether a process says at /readyz that it is leaving, before it is gone."""
    async with httpx.AsyncClient(timeout=5) as client, asyncio.timeout(20):
        while True:
            try:
                answer = await client.get(f"{url}/readyz")
            except httpx.TransportError:
                return False
            if answer.status_code == 503:
                assert answer.json()["missing"] == ["stopping"]
                assert answer.headers["connection"] == "close"
                return True
            await asyncio.sleep(0.02)
