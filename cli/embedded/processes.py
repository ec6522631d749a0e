"""Child processes of the embedded services: started with least rights, ended with their parent, stopped by id."""

from __future__ import annotations

import ctypes
import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

PR_SET_PDEATHSIG = 1
POLL_SECONDS = 0.02
_UNPRIVILEGED_USER = "nobody"


class ServiceError(Exception):
    """A service did not start or stop; the message says why and where its log lies."""


PORT_SECONDS = 10.0
"""How long a server that is started again waits for its port: the processes of the one that died may still hold it."""


def free_port(preferred: int | None = None) -> int:
    """A free port of 127.0.0.1: the preferred one if nobody has it."""
    for port in (preferred, 0):
        if port is None:
            continue
        with socket.socket() as probe:
            # Connections of a server that died, which the system still remembers, do not hold its port.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise ServiceError("No port of 127.0.0.1 is free.")


def kept_port(file: Path, *, again: int = 0) -> int:
    """The port of last time if it is still free, else another one; it is kept for next time.

    Args:
        file: Where it is kept.
        again: The port of a server that others know by it and that is started again: no other one will do.

    Raises:
        ServiceError: the port `again` does not become free.
    """
    if again:
        deadline = time.monotonic() + PORT_SECONDS
        while free_port(again) != again:
            if time.monotonic() > deadline:
                raise ServiceError(f"Port {again} does not become free again.")
            time.sleep(0.05)
        return again
    text = file.read_text().strip() if file.exists() else ""
    port = free_port(int(text) if text.isdigit() else None)
    file.write_text(f"{port}\n")
    return port


def wait_until(
    ready: Callable[[], bool], *, seconds: float, process: subprocess.Popen[bytes], what: str, log: Path
) -> None:
    """Wait for a service.

    Raises:
        ServiceError: it ended, or was not ready in time.
    """
    deadline = time.monotonic() + seconds
    while not ready():
        if process.poll() is not None:
            raise ServiceError(f"{what} ended with code {process.returncode}. {tail(log)}")
        if time.monotonic() > deadline:
            raise ServiceError(f"{what} was not ready within {seconds:.0f} s. {tail(log)}")
        time.sleep(POLL_SECONDS)


def tail(log: Path) -> str:
    """The end of a log, for a message."""
    if not log.exists():
        return ""
    lines = log.read_text(errors="replace").strip().splitlines()[-5:]
    return f"Its log {log} ends with:\n" + "\n".join(f"  {line}" for line in lines)


def stop(process: subprocess.Popen[bytes], signals: Sequence[signal.Signals], *, seconds: float) -> None:
    """End a process: each signal in turn gets its share of the time."""
    for number in signals:
        if process.poll() is not None:
            return
        process.send_signal(number)
        try:
            process.wait(timeout=seconds / len(signals))
        except subprocess.TimeoutExpired:
            continue
    if process.poll() is None:
        process.kill()
        process.wait()


_PROC = Path("/proc")
"""Where Linux tells of processes; elsewhere `ps` does."""


def alive(pid: int) -> bool:
    """Whether a process with this id runs; one that has ended and only waits to be collected does not."""
    if (_PROC / "self").exists():
        try:
            # The state follows the name, which is in parentheses and may hold anything.
            return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except OSError:
            return False
    found = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    state = found.stdout.strip()
    return bool(state) and not state.startswith("Z")


def command_of(pid: int) -> str:
    """A process's command line; empty when there is none."""
    if (_PROC / "self").exists():
        try:
            return (_PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:
            return ""
    found = subprocess.run(["ps", "-ww", "-o", "args=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return found.stdout.strip()


def end_with_parent(number: signal.Signals) -> Callable[[], None] | None:
    """For `preexec_fn`: have Linux send the child a signal when its parent dies, however it dies."""
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None, use_errno=True)
    parent = os.getpid()

    def arm() -> None:
        library.prctl(PR_SET_PDEATHSIG, int(number), 0, 0, 0)
        if os.getppid() != parent:
            os.kill(os.getpid(), number)

    return arm


class Launcher:
    """Starts programs that refuse to run as root: as they are for an ordinary user, as `nobody` for root.

    Args:
        paths: What the programs must reach. Where a folder above is closed to others, `nobody` gets the capability to
            pass by (setpriv), or, where that is not to be had, the folders are opened for passing through.
        say: Told what was opened.
    """

    def __init__(self, paths: Sequence[Path], say: Callable[[str], None]) -> None:
        self.prefix: list[str] = []
        self.credentials: dict[str, object] = {}
        self.owner: tuple[int, int] | None = None
        if os.geteuid() != 0:
            return
        person = pwd.getpwnam(_UNPRIVILEGED_USER)
        self.owner = (person.pw_uid, person.pw_gid)
        closed = [folder for path in paths for folder in path.resolve().parents if not _passable(folder, self.owner)]
        if closed and (prefix := _setpriv(self.owner)):
            self.prefix = prefix
            return
        for folder in dict.fromkeys(closed):
            folder.chmod(stat.S_IMODE(folder.stat().st_mode) | stat.S_IXOTH)
            say(f"{folder} is now open for passing through (o+x): PostgreSQL does not run as root")
        self.credentials = {"user": self.owner[0], "group": self.owner[1], "extra_groups": []}

    def run(self, command: Sequence[str], *, text: str = "") -> None:
        """Run a program to its end.

        Raises:
            ServiceError: it failed; the message has what it said.
        """
        finished = subprocess.run(
            [*self.prefix, *command],
            input=text,
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
            **self.credentials,  # type: ignore[call-overload]
        )
        if finished.returncode:
            raise ServiceError(f"{Path(command[0]).name} failed: {(finished.stderr or finished.stdout).strip()}")

    def start(self, command: Sequence[str], log: Path, *, on_orphaned: signal.Signals) -> subprocess.Popen[bytes]:
        """Start a server that ends with this process; its output goes to a log."""
        prefix = self.prefix
        if prefix:
            prefix = [prefix[0], "--pdeathsig", on_orphaned.name, *prefix[1:]]
        with log.open("ab") as output:
            started: subprocess.Popen[bytes] = subprocess.Popen(
                [*prefix, *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd="/",
                start_new_session=True,
                preexec_fn=None if prefix else end_with_parent(on_orphaned),
                **self.credentials,  # type: ignore[call-overload]
            )
            return started


def _passable(folder: Path, owner: tuple[int, int]) -> bool:
    found = folder.stat()
    if found.st_uid == owner[0]:
        return bool(found.st_mode & stat.S_IXUSR)
    if found.st_gid == owner[1]:
        return bool(found.st_mode & stat.S_IXGRP)
    return bool(found.st_mode & stat.S_IXOTH)


def _setpriv(owner: tuple[int, int]) -> list[str]:
    program = shutil.which("setpriv")
    if program is None:
        return []
    prefix = [
        program,
        f"--reuid={owner[0]}",
        f"--regid={owner[1]}",
        "--clear-groups",
        # Without it access(2), by which PostgreSQL looks for its own programs, would not count the capability.
        "--securebits=+no_setuid_fixup",
        "--inh-caps=+dac_override",
        "--ambient-caps=+dac_override",
    ]
    tried = subprocess.run([*prefix, "true"], capture_output=True, check=False)
    return prefix if tried.returncode == 0 else []
