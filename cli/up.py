"""`sideline up`: everything in one command, started in order, watched, and stopped in order."""

from __future__ import annotations

import asyncio
import base64
import fcntl
import hashlib
import hmac
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import IO

import httpx
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from cli.embedded.postgres import EmbeddedPostgres
from cli.embedded.processes import ServiceError, end_with_parent, free_port, stop, tail
from cli.embedded.redis import EmbeddedRedis
from cli.installation import RUN_FILE, Running, kept_secret, read_running, with_secret_keys, write_running
from domain import bodies, database, people
from domain.demo import seed_demo
from domain.identity import identify_by_digest
from domain.settings import Settings
from domain.tokens import PREFIX, create_token, digest_of

READY_SECONDS = 60.0
STOP_SECONDS = 20.0
LOOK_SECONDS = 0.25
RESTART_SECONDS = (0.5, 1.0, 2.0, 5.0, 10.0)
"""How long a child that died waits for its next start; the last one goes on."""
STEADY_SECONDS = 60.0
"""A child that has run this long begins with the first wait again."""


class _Stop(BaseException):
    """Somebody asked to stop."""


@dataclass
class _Child:
    """A process of ours that is started again when it dies."""

    name: str
    command: list[str]
    environment: dict[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    deaths: int = 0
    started_at: float = 0.0
    again_at: float = field(default=0.0)

    def start(self) -> None:
        """Start it; its output goes to its log."""
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                self.command,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=end_with_parent(signal.SIGTERM),
            )
        self.started_at = time.monotonic()

    def stop(self) -> None:
        """Let it finish, then end it."""
        if self.process is not None:
            stop(self.process, (signal.SIGTERM,), seconds=STOP_SECONDS)
            self.process = None


class Supervisor:
    """One run of `sideline up`.

    Args:
        settings: The settings.
        console: Where progress is shown.
        demo: Whether the demo team is seeded and its people are offered.
    """

    def __init__(self, settings: Settings, console: Console, *, demo: bool) -> None:
        self.settings = settings
        self.console = console
        self.demo = demo
        self.home = settings.home.resolve()
        self.postgres = None if settings.database_url else EmbeddedPostgres(self.home / "postgres", say=self._say)
        self.redis = None if settings.redis_url else EmbeddedRedis(self.home / "redis")
        self.children: list[_Child] = []
        self._asked = threading.Event()
        self._running = False

    def run(self) -> int:
        """Start, watch, stop. Returns the exit code."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        code = 0
        lock: IO[str] | None = None
        try:
            lock = self._take_home()
            self._start()
            self._watch()
        except _Stop:
            code = 0
        except ServiceError as error:
            self.console.print(f"[red]{error}[/red]")
            code = 1
        finally:
            self._running = True  # From here on a signal changes nothing: everything is stopping.
            if lock is not None:
                self._stop()
                lock.close()
        return code

    def _say(self, text: str) -> None:
        self.console.print(text, highlight=False)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._asked.set()
        if not self._running:
            raise _Stop

    def _take_home(self) -> IO[str]:
        self.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = (self.home / "up.lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.close()
            running = read_running(self.home)
            where = f" at {running.url} (process {running.pid})" if running else ""
            raise ServiceError(f"Sideline runs already{where}, with its data in {self.home}.") from error
        wanted = self.settings.port
        if wanted and free_port(wanted) != wanted:
            lock.close()
            raise ServiceError(f"Port {wanted} is taken: choose another one with PORT={wanted + 1}.")
        return lock

    def _start(self) -> None:
        began = time.monotonic()
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=self.console) as progress:

            def step(text: str, total: int = 1) -> TaskID:
                if not self.console.is_terminal:
                    self._say(f"· {text}")
                return progress.add_task(text, total=total)

            task = step("PostgreSQL")
            database_url = self.postgres.start() if self.postgres else self.settings.require_database_url()
            progress.update(task, completed=1)
            task = step("Redis")
            redis_url = self.redis.start() if self.redis else self.settings.require_redis_url()
            progress.update(task, completed=1)
            task = step("Migrations")
            asyncio.run(database.migrate(database_url))
            progress.update(task, completed=1)
            tokens: list[tuple[people.DemoPerson, str]] = []
            if self.demo:
                task = step("Demo team")

                def seeded(done: int, total: int) -> None:
                    progress.update(task, completed=done, total=max(total, 1))

                tokens = asyncio.run(self._seed(database_url, seeded))
                progress.update(task, completed=1, total=1)
            port = self.settings.port or free_port()
            url = f"http://{self.settings.host}:{port}"
            task = step("API and worker")
            self._start_children(database_url, redis_url, port)
            self._await_ready(url)
            progress.update(task, completed=1)
        write_running(self.home, Running(os.getpid(), url, database_url, redis_url))
        self._announce(url, tokens, time.monotonic() - began)

    async def _seed(self, database_url: str, seeded: object) -> list[tuple[people.DemoPerson, str]]:
        await database.connect(database_url, pool_size=4)
        try:
            bodies.use_keys(with_secret_keys(self.settings).secret_box())
            await seed_demo(on_progress=seeded)  # type: ignore[arg-type]
            async with database.acquire(database.ALL_TEAMS) as connection:
                found = await people.demo_people(connection)
                return [(person, await self._demo_token(connection, person.email)) for person in found]
        finally:
            await database.disconnect()

    async def _demo_token(self, connection: database.Connection, email: str) -> str:
        """The demo person's token: the same at every start, another one after it was revoked."""
        identity = await people.demo_identity(connection, email)
        assert identity is not None
        for generation in range(1_000):
            mark = hmac.new(self._key(), f"demo:{email}:{generation}".encode(), hashlib.sha256).digest()
            text = PREFIX + base64.urlsafe_b64encode(mark).decode().rstrip("=")
            await create_token(connection, identity.team_id, identity.user_id, name="Demo", secret=text)
            if await identify_by_digest(connection, digest_of(text)) is not None:
                return text
        raise ServiceError(f"All tokens of {email} are revoked.")

    def _key(self) -> bytes:
        return bytes.fromhex(kept_secret(self.home, "token.key", lambda: secrets.token_hex(32)))

    def _start_children(self, database_url: str, redis_url: str, port: int) -> None:
        environment = os.environ | {
            "SIDELINE_HOME": str(self.home),
            "SIDELINE_DATABASE_URL": database_url,
            "SIDELINE_REDIS_URL": redis_url,
            "SIDELINE_DEMO": "true" if self.demo else "false",
            "SIDELINE_DEMO_CALLS": "true" if self.demo else "false",
            "SIDELINE_SECRET_KEYS": with_secret_keys(self.settings).secret_keys or "",
        }
        environment.pop("SIDELINE_PORT", None)
        environment |= {"PORT": str(port), "SIDELINE_HOST": self.settings.host}
        of_worker = dict(environment)
        if self.settings.metrics_port is not None:
            # Each process has numbers of its own.
            of_worker["SIDELINE_METRICS_PORT"] = str(self.settings.metrics_port + 1)
        self.children = [
            _Child("API", [sys.executable, "-m", "api"], environment, self.home / "api.log"),
            _Child("worker", [sys.executable, "-m", "workers"], of_worker, self.home / "worker.log"),
        ]
        for child in self.children:
            child.start()

    def _await_ready(self, url: str) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while True:
            for child in self.children:
                if child.process is None or child.process.poll() is not None:
                    raise ServiceError(f"The {child.name} ended at its start. {tail(child.log)}")
            try:
                if httpx.get(f"{url}/readyz", timeout=2.0).status_code == 200:
                    return
            except httpx.TransportError:
                pass  # It does not listen yet; the deadline decides.
            if time.monotonic() > deadline:
                raise ServiceError(f"The API was not ready within {READY_SECONDS:.0f} s. {tail(self.children[0].log)}")
            self._asked.wait(LOOK_SECONDS / 5)

    def _announce(self, url: str, tokens: list[tuple[people.DemoPerson, str]], seconds: float) -> None:
        self._say(f"\nSideline is up after {seconds:.1f} s.")
        self._say(f"  GraphiQL  {url}/graphql")
        self._say(f"  health    {url}/healthz   {url}/readyz")
        self._say(f"  data      {self.home}\n")
        if tokens:
            table = Table(box=None, pad_edge=False)
            for title in ("demo person", "role", "bearer token"):
                table.add_column(title, no_wrap=True)
            for person, token in tokens:
                table.add_row(person.email, person.role, token)
            Console(file=self.console.file, width=140, force_terminal=self.console.is_terminal).print(table)
        self._say("\nCtrl-C stops everything.")

    def _watch(self) -> None:
        self._running = True
        while not self._asked.is_set():
            now = time.monotonic()
            for service in (self.postgres, self.redis):
                if service is not None and service.process is not None and service.process.poll() is not None:
                    self._say(f"{type(service).__name__.removeprefix('Embedded')} ended; starting it again")
                    service.start()
            for child in self.children:
                self._look_after(child, now)
            self._asked.wait(LOOK_SECONDS)

    def _look_after(self, child: _Child, now: float) -> None:
        if child.process is not None and child.process.poll() is not None:
            if now - child.started_at > STEADY_SECONDS:
                child.deaths = 0
            wait = RESTART_SECONDS[min(child.deaths, len(RESTART_SECONDS) - 1)]
            self._say(
                f"The {child.name} ended with code {child.process.returncode}; again in {wait} s. {tail(child.log)}"
            )
            child.deaths += 1
            child.process = None
            child.again_at = now + wait
        elif child.process is None and now >= child.again_at:
            child.start()

    def _stop(self) -> None:
        if self.children or (self.postgres and self.postgres.process):
            self._say("\nStopping")
        (self.home / RUN_FILE).unlink(missing_ok=True)
        for child in self.children:
            child.stop()
        if self.redis is not None:
            self.redis.stop()
        if self.postgres is not None:
            self.postgres.stop()
