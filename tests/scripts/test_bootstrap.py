"""The environment is made by uv on a machine that is set up for pip alone, and by pip where uv cannot.

That uv really makes it shows the fresh clone in `tests/running/test_installation.py`.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import sys
import venv
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest

from tests.running.conftest import ROOT

UV = """#!{python}
import json, os, sys
with open({told!r}, "a") as file:
    file.write(json.dumps([sys.argv[1:], dict(os.environ)]) + "\\n")
sys.exit(os.path.exists({broken!r}))
"""
"""A stand-in for uv, which tells what it was told."""


@pytest.fixture
def bootstrap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, for a project of its own."""
    spec = importlib.util.spec_from_file_location("bootstrap", ROOT / "scripts" / "bootstrap.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    project, environment = tmp_path / "project", tmp_path / "project" / ".venv"
    (project / "requirements").mkdir(parents=True)
    (project / "pyproject.toml").write_text("[project]\nname = 'sideline'\nversion = '1'\n")
    made.ROOT, made.VENV, made.PYTHON = project, environment, environment / "bin" / "python"
    made.UV, made.UV_LOCK = environment / "bin" / "uv", project / "requirements" / "uv.txt"
    made.PIP_INSTALL = (made.PYTHON, *made.PIP_INSTALL[1:])
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    return made


def stand_in(folder: Path, script: str) -> str:
    """Put a wheel of uv that is nothing but a script into a folder. Returns its line of a lock."""
    files = {
        "uv-1.0.data/scripts/uv": script,
        "uv-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: uv\nVersion: 1.0\n",
        "uv-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    path = folder / "uv-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            member = zipfile.ZipInfo(name)
            member.external_attr = 0o100755 << 16
            archive.writestr(member, text)
        archive.writestr("uv-1.0.dist-info/RECORD", "".join(f"{name},,\n" for name in files))
    return f"uv==1.0 --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"


def own_options(options: Callable[[str], dict[str, str]], listed: str) -> dict[str, str]:
    """pip's options but those of the machine that the test runs on, which the file of the test does not replace."""
    return {name: value for name, value in options(listed).items() if name in ("index-url", "find-links", "constraint")}


def test_options_of_a_place_nearer_by_win(bootstrap: ModuleType) -> None:
    listed = "global.index-url='https://a/simple'\nglobal.timeout='5'\ninstall.timeout='6'\ndownload.timeout='7'\n"
    assert bootstrap.pip_options(listed) == {"index-url": "https://a/simple", "timeout": "6"}
    assert bootstrap.pip_options(listed + ":env:.timeout='8'\n")["timeout"] == "8"


def test_uv_is_told_all_of_it(bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    found = bootstrap.uv_environment(
        {
            "index-url": "https://a/simple",
            "extra-index-url": "\nhttps://b/simple\nhttps://c/simple",
            "find-links": "/one /two",
            "cert": "/ca.pem",
            "proxy": "http://proxy:1",
            "quiet": "1",
        }
    )
    assert found == {
        "UV_DEFAULT_INDEX": "https://a/simple",
        "UV_INDEX": "https://b/simple https://c/simple",
        "UV_FIND_LINKS": "/one,/two",
        "SSL_CERT_FILE": "/ca.pem",
        **dict.fromkeys(("ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY"), "http://proxy:1"),
    }
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/pip-reads-it.pem")
    assert bootstrap.uv_environment({}) == {"SSL_CERT_FILE": "/pip-reads-it.pem"}
    assert bootstrap.uv_environment({"cert": "/ca.pem"}) == {"SSL_CERT_FILE": "/ca.pem"}


@pytest.mark.parametrize("option", ["no-index", "keyring-provider", "no-binary", "what-comes-next-year"])
def test_what_uv_has_no_words_for_is_left_to_pip(bootstrap: ModuleType, option: str) -> None:
    assert bootstrap.uv_environment({"index-url": "https://a/simple", option: "1"}) is None


def test_with_nothing_but_a_file_of_pips(
    bootstrap: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """It says where packages are, and what they may be: first uv is not there, then it fails, then it works."""
    shelf, told, broken = tmp_path / "shelf", tmp_path / "told", tmp_path / "broken"
    shelf.mkdir()
    (tmp_path / "constraints.txt").write_text("something<2\n")
    (tmp_path / "pip.conf").write_text(
        f"[global]\nindex-url = {(tmp_path / 'none').as_uri()}\n"
        f"[install]\nfind-links = {shelf}\nconstraint = {tmp_path / 'constraints.txt'}\n"
    )
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    monkeypatch.setattr(bootstrap, "pip_options", partial(own_options, bootstrap.pip_options))
    venv.create(bootstrap.VENV, with_pip=True)
    by_pip: list[str] = []
    monkeypatch.setattr(bootstrap, "run", lambda *command: by_pip.append(str(command[-1])))
    lock = bootstrap.ROOT / "requirements" / "runtime.txt"

    def said() -> str:
        by_pip.clear()
        bootstrap.install(lock)
        text: str = capfd.readouterr().err
        return text

    bootstrap.UV_LOCK.write_text("uv==1.0 --hash=sha256:" + "0" * 64)
    assert "[setup] uv is not to be had here: pip does it" in said()
    assert by_pip == [str(lock), str(bootstrap.ROOT)]

    bootstrap.UV_LOCK.write_text(stand_in(shelf, UV.format(python=sys.executable, told=str(told), broken=str(broken))))
    broken.touch()
    assert "[setup] uv finds that the packages are not those of pip's constraints: pip does it" in said()
    assert by_pip == [str(lock), str(bootstrap.ROOT)]

    broken.unlink()
    told.unlink()
    assert said() == ""
    assert by_pip == []
    asked, locked, itself = [json.loads(line) for line in told.read_text().splitlines()]
    assert {"--dry-run", str(lock)} <= set(asked[0])
    assert asked[1]["UV_CONSTRAINT"] == str(tmp_path / "constraints.txt")
    assert {"--require-hashes", str(lock)} <= set(locked[0])
    assert itself[0][-2:] == ["-e", str(bootstrap.ROOT)]
    for _, environment in (locked, itself):
        assert "UV_CONSTRAINT" not in environment
        assert environment["UV_FIND_LINKS"] == str(shelf)
        assert environment["UV_DEFAULT_INDEX"] == (tmp_path / "none").as_uri()
