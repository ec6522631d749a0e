"""PostgreSQL, Redis, API and worker as processes of their own that a test may kill, one by one."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import httpx

from cli.embedded.postgres import EmbeddedPostgres
from cli.embedded.processes import ServiceError, free_port
from cli.embedded.redis import EmbeddedRedis
from domain.ids import encode_id
from domain.secrets import make_key
from domain.tokens import create_token
from tests.factories import make_role, make_team, make_user
from tests.services import lay_migrated_data

ROOT = Path(__file__).parents[2]
SET_GOALS = (
    """mutation($input: SetGoalsInput!) { setGoals(input: $input) { goals { version } errors { code message } } }"""
)


class Cluster:
    """An installation whose parts can be killed.

    Args:
        folder: Its data.
        api_count: How many API processes, named api0, api1 and so on.
        worker_count: How many workers, named worker, worker1 and so on.
    """

    def __init__(self, folder: Path, *, api_count: int = 1, worker_count: int = 1) -> None:
        self.postgres = EmbeddedPostgres(folder / "postgres")
        self.redis = EmbeddedRedis(folder / "redis", durable=False)
        self.folder = folder
        self.ports = [free_port() for _ in range(api_count)]
        self.workers = ["worker", *(f"worker{number}" for number in range(1, worker_count))]
        self.environment: dict[str, str] = {}
        self.more: dict[str, str] = {}
        self.own: dict[str, dict[str, str]] = {}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def urls(self) -> list[str]:
        """The addresses of the API processes."""
        return [f"http://127.0.0.1:{port}" for port in self.ports]

    def start(self, before: Callable[[], dict[str, str]] = dict) -> None:
        """Start everything. `before` the processes, when PostgreSQL is there, more of their environment may be made."""
        lay_migrated_data(self.postgres.folder)
        self.environment = os.environ | {
            "SIDELINE_DATABASE_URL": self.postgres.start(),
            "SIDELINE_REDIS_URL": self.redis.start() + "/0",
            "SIDELINE_SECRET_KEYS": make_key(),
            "SIDELINE_WEBHOOKS_TO_PRIVATE_ADDRESSES": "true",
            "SIDELINE_PING_SECONDS": "2",
            "PYTHONPATH": str(ROOT),
            **self.more,
        }
        self.environment |= before()
        for number in range(len(self.ports)):
            self.start_process(f"api{number}")
        for name in self.workers:
            self.start_process(name)
        for url in self.urls:
            self.await_ready(url)

    def start_process(self, name: str) -> None:
        """Start an API process or a worker."""
        environment = self.environment | self.own.get(name, {})
        if name in self.workers:
            command = [sys.executable, "-m", "workers"]
        else:
            command = [sys.executable, "-m", "api"]
            environment = environment | {"PORT": str(self.ports[int(name.removeprefix("api"))])}
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(command, cwd=self.folder, env=environment, stdout=log, stderr=log)

    def await_ready(self, url: str, seconds: float = 60.0) -> None:
        """Wait until an API process answers."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                if httpx.get(f"{url}/readyz", timeout=2).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            assert time.monotonic() < deadline, self.logs()
            time.sleep(0.05)

    def logs(self) -> str:
        """What the processes said last."""
        found = []
        for name in self.processes:
            file = self.folder / f"{name}.log"
            found.append(f"{name}: {file.read_text()[-3000:] if file.exists() else ''}")
        return "\n".join(found)

    def kill(self, name: str) -> None:
        """kill -9 something and start it again."""
        if name == "postgres":
            assert self.postgres.process is not None
            self.postgres.process.kill()
            self.postgres.process.wait()
            self._again(self.postgres.start)
        elif name == "redis":
            # Not durable: it comes back empty.
            assert self.redis.process is not None
            self.redis.process.kill()
            self.redis.process.wait()
            self._again(self.redis.start)
        else:
            process = self.processes[name]
            process.kill()
            process.wait()
            self.start_process(name)

    async def supervise(self) -> None:
        """Start what ended by itself again, as a service manager does, until cancelled."""
        while True:
            for name, process in list(self.processes.items()):
                if process.poll() is not None:
                    self.start_process(name)
            await asyncio.sleep(0.3)

    def _again(self, start: Callable[[], object]) -> None:
        for attempt in range(20):
            try:
                start()
            except ServiceError:
                # Backends of the server that was killed may still be on their way out.
                assert attempt < 19
                time.sleep(0.25)
            else:
                return

    def stop(self) -> None:
        """Stop everything, each by its own process id."""
        for process in self.processes.values():
            process.send_signal(signal.SIGTERM)
        for process in self.processes.values():
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.redis.stop()
        self.postgres.stop()

    async def run(self, work: Callable[[asyncpg.Connection], Awaitable[Any]]) -> Any:
        """Run something on a connection of its own."""
        connection = await asyncpg.connect(self.postgres.url)
        try:
            return await work(connection)
        finally:
            await connection.close()

    async def make_team(self) -> tuple[UUID, str, list[str]]:
        """A team with three reps. Returns it, an admin's token and the reps' global ids."""

        async def work(connection: Any) -> tuple[UUID, str, list[str]]:
            team_id = await make_team(connection)
            role = await make_role(connection, team_id, is_admin=True, name="Admin")
            admin = await make_user(connection, team_id, role)
            reps = [await make_user(connection, team_id, role, name=f"Rep {n}") for n in range(3)]
            token = await create_token(connection, team_id, admin, name="test")
            return team_id, token.text, [encode_id("User", rep) for rep in reps]

        found: tuple[UUID, str, list[str]] = await self.run(work)
        return found

    async def cursors(self, team_id: UUID) -> list[str]:
        """The cursors of every committed event, in order."""
        from domain.events import cursor_of

        async def work(connection: Any) -> list[str]:
            rows = await connection.fetch("SELECT position FROM events WHERE team_id = $1 ORDER BY position", team_id)
            return [cursor_of(team_id, row["position"]) for row in rows]

        found: list[str] = await self.run(work)
        return found


async def set_goal(client: httpx.AsyncClient, url: str, token: str, rep: str, number: int) -> None:
    """Set a goal, again and again until an answer comes; the key makes it count once."""
    given = {
        "metric": "CALLS_LOGGED",
        "period": "MONTH",
        "target": str(number),
        "userIds": [rep],
        "idempotencyKey": f"change {number}",
    }
    while True:
        try:
            answer = await client.post(
                f"{url}/graphql",
                json={"query": SET_GOALS, "variables": {"input": given}},
                headers={"authorization": f"Bearer {token}"},
            )
        except httpx.TransportError:
            await asyncio.sleep(0.1)
            continue
        body = answer.json() if answer.headers.get("content-type", "").startswith("application/json") else {}
        if answer.status_code == 200 and body.get("data"):
            assert body["data"]["setGoals"]["errors"] == [], body
            return
        code = body["errors"][0]["extensions"]["code"] if body.get("errors") else answer.status_code
        assert code in ("UNAVAILABLE", 500, 503), body
        await asyncio.sleep(0.1)
