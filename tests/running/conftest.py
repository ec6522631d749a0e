"""A whole installation, started as an operator starts it, on services of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.services import lay_demo_home

ROOT = Path(__file__).parents[2]
START_SECONDS = 150.0


def free_port() -> int:
    """A port that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Installation:
    """A process that `sideline up` or `make run` is, and what it said."""

    def __init__(
        self, command: list[str], *, home: Path, cwd: Path = ROOT, environment: dict[str, str] | None = None
    ) -> None:
        self.home = home
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        base = dict(os.environ) if environment is None else environment
        base = base | {"SIDELINE_HOME": str(home), "PORT": str(self.port)}
        self.process = subprocess.Popen(
            command,
            cwd=cwd,
            env=base,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.said: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(line)

    @property
    def text(self) -> str:
        """Everything that it said."""
        return "".join(self.said)

    def await_up(self) -> float:
        """Wait until it is up. Returns the seconds that it took."""
        began = time.monotonic()
        while "Ctrl-C stops everything" not in self.text:
            assert self.process.poll() is None, self.text
            assert time.monotonic() - began < START_SECONDS, self.text
            time.sleep(0.05)
        return time.monotonic() - began

    def tokens(self) -> dict[str, str]:
        """The demo people's tokens as they were printed."""
        return dict(re.findall(r"^(\S+@demo\.test)\s+\S+\s+(sl_\S+)\s*$", self.text, re.MULTILINE))

    def pids(self) -> list[int]:
        """The processes below it."""
        found = subprocess.run(["ps", "-eo", "pid=,args="], capture_output=True, text=True, check=True).stdout
        mine = []
        for line in found.splitlines():
            pid, _, command = line.strip().partition(" ")
            environment = Path(f"/proc/{pid}/environ")
            try:
                inherited = f"SIDELINE_HOME={self.home}".encode() in environment.read_bytes()
            except OSError:
                inherited = False
            if inherited or str(self.home) in command:
                mine.append(int(pid))
        return mine

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to stop, and wait for it."""
        if number is signal.SIGINT:
            os.killpg(self.process.pid, number)  # as a terminal does at Ctrl-C
        else:
            self.process.send_signal(number)
        code = self.process.wait(timeout=60)
        self._reader.join(timeout=10)
        return code

    def query(self, token: str, document: str, **variables: Any) -> Any:
        """The data of an answer."""
        answer = httpx.post(
            f"{self.url}/graphql",
            json={"query": document, "variables": variables},
            headers={"authorization": f"Bearer {token}"},
            timeout=30,
        ).json()
        assert "errors" not in answer, answer
        return answer["data"]


@dataclass
class Running:
    """The installation of a module's tests."""

    installation: Installation
    tokens: dict[str, str]

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `sideline …` beside it."""
        environment = os.environ | {"SIDELINE_HOME": str(self.installation.home)}
        return subprocess.run(
            [sys.executable, "-m", "cli.main", *arguments],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A running demo installation, whose team has been seeded before."""
    home = tmp_path_factory.mktemp("installation") / "home"
    lay_demo_home(home)
    installation = Installation([sys.executable, "-m", "cli.main", "up"], home=home)
    try:
        installation.await_up()
        assert json.loads((home / "run.json").read_text())["url"] == installation.url
        yield Running(installation, installation.tokens())
    finally:
        if installation.process.poll() is None:
            installation.stop()
    assert installation.pids() == []
