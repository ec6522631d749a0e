"""Public clients and audits take the schema and the server as they are.

A. npm's graphql-http finds nothing to say against the server: MUST, SHOULD and MAY.
B. relay-compiler and Apollo's code generator accept the schema, and what they make of documents compiles.
C. A typed Python client that ariadne-codegen makes reads, writes and subscribes.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.running.conftest import ROOT, Running
from tests.services import lay_packages

CLIENTS = ROOT / "tests" / "clients"
SNAPSHOT = ROOT / "api" / "schema" / "schema.graphql"
BIN = Path(sys.executable).parent


def run(folder: Path, *command: str) -> str:
    """What a command says, which must end well."""
    environment = os.environ | {"PATH": f"{BIN}:{os.environ['PATH']}"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=180
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tools of npm installed, the snapshot and the documents of GraphiQL's tabs."""
    folder = tmp_path_factory.mktemp("clients") / "tools"
    shutil.copytree(CLIENTS, folder)
    shutil.copy(SNAPSHOT, folder)
    (folder / "documents").mkdir()
    for document in (ROOT / "web" / "src" / "examples").glob("*.graphql"):
        shutil.copy(document, folder / "documents")
    lay_packages(CLIENTS, folder)
    return folder


def test_graphql_over_http(tools: Path, running: Running) -> None:
    """A."""
    said = run(tools, "node", "audit.mjs", f"{running.installation.url}/graphql", running.tokens["manager@demo.test"])
    findings = [json.loads(line) for line in said.splitlines()]
    assert len(findings) >= 61
    assert [finding for finding in findings if finding["status"] != "ok"] == []


def test_relay_compiler(tools: Path) -> None:
    """B."""
    run(tools, "npx", "relay-compiler")
    assert len(list(tools.glob("relay/__generated__/*.graphql.ts"))) >= 6


def test_apollo_code_generator(tools: Path) -> None:
    """B."""
    run(tools, "npx", "graphql-codegen")
    run(tools, "npx", "tsc", "-p", ".")


def test_typed_python_client(tmp_path: Path, running: Running) -> None:
    """C. It needs another graphql-core than the server, hence an environment of its own."""
    folder = tmp_path / "python"
    shutil.copytree(CLIENTS / "python", folder)
    shutil.copy(SNAPSHOT, folder)
    run(folder, "uv", "venv", "--quiet", "--python", sys.executable, "environment")
    python = folder / "environment" / "bin" / "python"
    packages = str(CLIENTS / "requirements.txt")
    run(folder, "uv", "pip", "install", "--quiet", "--python", str(python), "--require-hashes", "-r", packages)
    run(folder, str(python), "-m", "ariadne_codegen")
    said = run(folder, str(python), "use.py", f"{running.installation.url}/graphql", running.tokens["admin@demo.test"])
    assert said == "ok\n"
