"""What the guides in docs/ show, taken apart and run.

The words behind a fence's language say what becomes of the block:

    as=EMAIL          run it as this demo person: graphql over HTTP (a subscription by server-sent events), sh, python
                      and js as programs that find TOKEN and SIDELINE_URL in their environment
    name=$value,…     what to put where the block has `name: "…"` or "…" within `name: […]`: kept values or `CAST`
    keep=name:path    keep what the answer has there (users.nodes.0.id) for later blocks of the guide
    error=CODE        it is refused with this code
    events=N          a subscription is listened to until N events have come (1), or with `all` until it ends
    before=$name      look this up before the block is sent
    run               a program that needs nobody's token
    answer            json: what the block before it answers, by its shape; `exact` or exact=a,b: these values too
    variables         json: the variables of the next block

A graphql block without `as` is held against the schema alone. Days are written as of `WRITTEN`, a Tuesday, and moved by
whole weeks to where today is.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from graphql import DocumentNode, OperationDefinitionNode, OperationType, parse, print_ast

from domain import webhooks
from tests.running.conftest import ROOT, Running

GUIDES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))
WRITTEN = date(2026, 11, 24)
ADDRESSES = ("http://localhost:8000", "http://127.0.0.1:8000", "localhost:8000", "127.0.0.1:8000")
LISTEN_SECONDS = 40.0
PROGRAM_SECONDS = 90.0
BLANK = '"…"'

_FENCE = re.compile(r"^( *)```(.*)$")
_DAY = re.compile(r"\b20[0-9]{2}-[01][0-9]-[0-3][0-9]\b")
_NAMED = re.compile(r'([A-Za-z]+)"?\s*:\s*$')
_OPEN_LIST = re.compile(r'([A-Za-z]+)"?\s*:\s*\[[^\]\[{}]*$')

CAST: dict[str, tuple[str, str, str]] = {
    "rep": ("rep@demo.test", "{ viewer { user { id } } }", "viewer.user.id"),
    "manager": ("manager@demo.test", "{ viewer { user { id } } }", "viewer.user.id"),
    "lead": ("lead@demo.test", "{ viewer { user { id } } }", "viewer.user.id"),
    "colleague": ("manager@demo.test", "{ users(first: 20) { nodes { id name } } }", "users.nodes.@Casey.id"),
    "conversation": (
        "rep@demo.test",
        "{ activities(first: 1, filter: {kinds: [CONVERSATION]}) { nodes { id } } }",
        "activities.nodes.0.id",
    ),
    "goal": (
        "manager@demo.test",
        "{ goals(first: 1, filter: {metrics: [CALLS_LOGGED]}) { nodes { id } } }",
        "goals.nodes.0.id",
    ),
    "behind": ("manager@demo.test", "{ users(first: 20) { nodes { id name } } }", "users.nodes.@Casey.id"),
    # Not one of a place whose calls nobody may join.
    "call": (
        "manager@demo.test",
        "{ liveCalls(first: 50) { nodes { id consent { rule } } } }",
        "liveCalls.nodes.@_PARTY.id",
    ),
    "role": ("admin@demo.test", "{ roles { id name } }", "roles.@User.id"),
    "template": ("manager@demo.test", "{ scorecardTemplates { id name } }", "scorecardTemplates.0.id"),
}
"""Whom and what the older guides' examples are about: who asks, what, and where the answer has it. `@Name` is the entry
of a list that holds this name."""


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of a guide.

    Args:
        guide: Whose.
        line: Where it begins.
        language: The fence's first word.
        words: The fence's other words.
        text: What it holds.
    """

    guide: Path
    line: int
    language: str
    words: tuple[str, ...]
    text: str

    @property
    def place(self) -> str:
        """For messages."""
        return f"{self.guide.name}:{self.line}"

    def said(self, name: str) -> list[str]:
        """What follows `name=` in the words, each time."""
        return [word.partition("=")[2] for word in self.words if word.startswith(f"{name}=")]

    def first(self, name: str) -> str | None:
        """What follows the first `name=`."""
        return next(iter(self.said(name)), None)


def blocks_of(guide: Path) -> list[Block]:
    """The fenced blocks of a guide, in order."""
    found: list[Block] = []
    inside: tuple[int, str, list[str]] | None = None
    for number, line in enumerate(guide.read_text().splitlines(), 1):
        fence = _FENCE.match(line)
        if fence is None:
            if inside is not None:
                inside[2].append(line)
        elif inside is None:
            inside = (number, fence[2].strip(), [])
        else:
            words = inside[1].split()
            found.append(Block(guide, inside[0], words[0] if words else "", tuple(words[1:]), "\n".join(inside[2])))
            inside = None
    assert inside is None, f"{guide.name}: a fence stays open"
    return found


def moved(text: str, today: date) -> str:
    """A text with its days moved by the whole weeks that have gone by since the guides were written."""
    weeks = (today - WRITTEN).days // 7

    def later(found: re.Match[str]) -> str:
        return (date.fromisoformat(found[0]) + timedelta(weeks=weeks)).isoformat()

    return _DAY.sub(later, text)


def look_up(data: Any, path: str) -> Any:
    """What lies at a path of names, numbers and `@Name`.

    Raises:
        KeyError: nothing does.
    """
    for step in path.split("."):
        try:
            if step.startswith("@"):
                data = next(one for one in data if step[1:] in json.dumps(one, ensure_ascii=False))
            else:
                data = data[int(step)] if isinstance(data, list) else data[step]
        except (StopIteration, IndexError, TypeError) as error:
            raise KeyError(path) from error
    return data


@dataclass
class Reader:
    """Somebody who tries what a guide says, from its first block to its last.

    Args:
        running: The installation.
        folder: Where programs run: it holds what the repository holds.
    """

    running: Running
    folder: Path
    kept: dict[str, str] = field(default_factory=dict)
    answer: Any = None
    variables: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for entry in ROOT.iterdir():
            if entry.name not in {".venv", ".git", ".sideline"}:
                (self.folder / entry.name).symlink_to(entry)
        (self.folder / ".venv").symlink_to(sys.prefix)

    @property
    def url(self) -> str:
        """The installation's address."""
        return self.running.installation.url

    def follow(self, block: Block) -> None:
        """Do what a block says.

        Raises:
            AssertionError: what comes is not what the guide says.
        """
        if block.language == "json":
            if "answer" in block.words:
                exact = None if "exact" in block.words else set((block.first("exact") or "").split(","))
                differences = list(compare(json.loads(block.text), self.answer, exact))
                assert not differences, f"{block.place}: {differences[:5]} in {json.dumps(self.answer)[:3000]}"
            elif "variables" in block.words:
                self.variables = json.loads(self.filled(block, block.text))
        elif block.language == "graphql" and block.first("as"):
            self.ask(block)
        elif block.language in {"sh", "python", "js"} and (block.first("as") or "run" in block.words):
            self.run(block)

    def ask(self, block: Block) -> None:
        """Send a block's operations, one after another."""
        who = block.first("as")
        assert who in self.running.tokens, f"{block.place}: {who} is none of the demo people"
        together: dict[str, Any] = {}
        for name in block.said("before"):
            self.value(name.removeprefix("$"))
        wanted = block.first("error")
        for operation, document in operations_of(block.text):
            text = self.filled(block, document)
            variables, self.variables = self.variables, {}
            if operation is OperationType.SUBSCRIPTION:
                answer = self.listen(who, text, variables, block.first("events") or "1")
            else:
                answer = httpx.post(
                    f"{self.url}/graphql",
                    json={"query": text, "variables": variables},
                    headers={"authorization": f"Bearer {self.running.tokens[who]}"},
                    timeout=60,
                ).json()
            codes = list(codes_in(answer))
            if wanted is None:
                assert not codes, f"{block.place}: {json.dumps(answer)[:2000]}"
            else:
                assert wanted in codes, f"{block.place}: {wanted} is not in {json.dumps(answer)[:2000]}"
            together |= answer.get("data") or {}
            self.keep(block, together)
            self.answer = {"data": together} if wanted is None else answer

    def keep(self, block: Block, data: Any) -> None:
        """Keep what a block wants kept, as far as it is there."""
        for word in block.said("keep"):
            name, _, path = word.partition(":")
            try:
                self.kept[name] = look_up(data, path)
            except KeyError:
                continue

    def listen(self, who: str, text: str, variables: dict[str, Any], count: str) -> dict[str, Any]:
        """The last of the first so many events of a subscription, or of all."""
        headers = {"authorization": f"Bearer {self.running.tokens[who]}", "accept": "text/event-stream"}
        body = {"query": text, "variables": variables}
        deadline = time.monotonic() + LISTEN_SECONDS
        answer: dict[str, Any] = {}
        seen = 0
        with httpx.stream("POST", f"{self.url}/graphql", json=body, headers=headers, timeout=LISTEN_SECONDS) as stream:
            name = ""
            for line in stream.iter_lines():
                assert time.monotonic() < deadline, f"no event in {LISTEN_SECONDS} s: {text}"
                if line.startswith("event:"):
                    name = line.partition(":")[2].strip()
                elif line.startswith("data:") and name == "next":
                    answer = json.loads(line.partition(":")[2])
                    seen += 1
                    if str(seen) == count or answer.get("errors"):
                        return answer
        assert count == "all", f"the stream ended: {text}"
        return answer

    def run(self, block: Block) -> None:
        """Run a program."""
        who = block.first("as")
        binaries = Path(sys.executable).parent
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("SIDELINE_")},
            **{name.upper(): value for name, value in self.kept.items()},
            "PATH": f"{binaries}:{os.environ['PATH']}",
            "SIDELINE_HOME": str(self.running.installation.home),
            "SIDELINE_URL": self.url,
        }
        if who is not None:
            environment["TOKEN"] = self.running.tokens[who]
        if "WEBHOOK_" in block.text:
            environment |= signed_message()
        text = moved(block.text, today())
        for address in ADDRESSES:
            text = text.replace(address, self.url if address.startswith("http") else self.url.removeprefix("http://"))
        command = {"sh": ["sh", "-e", "-c", text], "python": [sys.executable, "-c", text]}.get(
            block.language, ["node", "--input-type=module", "-e", text]
        )
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=PROGRAM_SECONDS,
        )
        assert done.returncode == 0, f"{block.place}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
        lines = [line for line in done.stdout.splitlines() if line.startswith(("{", "["))]
        self.answer = json.loads(lines[-1]) if lines else done.stdout
        if isinstance(self.answer, dict) and lines:
            told = [code for code in codes_in(self.answer) if code != block.first("error")]
            assert not told, f"{block.place}: {lines[-1][:2000]}"
            self.keep(block, self.answer.get("data", self.answer))

    def filled(self, block: Block, text: str) -> str:
        """A text with its blanks filled in and its days moved."""
        fill = {
            word.partition("=")[0]: iter(word.partition("=$")[2].split(",")) for word in block.words if "=$" in word
        }
        pieces = moved(text, today()).split(BLANK)
        whole = pieces[0]
        for piece in pieces[1:]:
            found = _NAMED.search(whole) or _OPEN_LIST.search(whole)
            name = found[1] if found else ""
            assert name in fill, f"{block.place}: nothing says what goes into {name}: {BLANK}"
            whole += json.dumps(self.value(next(fill[name]).removeprefix("$"))) + piece
        return whole

    def value(self, name: str) -> str:
        """A kept value, or somebody or something of the cast."""
        if name == "fresh":
            return f"guides {time.time_ns()}"
        if name == "idempotency" and name not in self.kept:
            self.kept[name] = f"guides {time.time_ns()}"
        if name == "cursor" and name not in self.kept:
            self.kept[name] = self.cursor()
        if name not in self.kept:
            who, document, path = CAST[name]
            deadline = time.monotonic() + LISTEN_SECONDS
            while name not in self.kept:
                found = self.running.installation.query(self.running.tokens[who], document)
                try:
                    self.kept[name] = look_up(found, path)
                except KeyError:
                    # Calls come and go.
                    assert time.monotonic() < deadline, f"there is no {name}: {found}"
                    time.sleep(0.2)
        return self.kept[name]

    def cursor(self) -> str:
        """The cursor of the last event: where a new endpoint of webhooks would begin."""
        admin = self.running.tokens["admin@demo.test"]
        made = self.running.installation.query(
            admin,
            'mutation { createWebhookEndpoint(input: {url: "https://hooks.example.com/"}) { endpoint { id cursor } } }',
        )["createWebhookEndpoint"]["endpoint"]
        self.running.installation.query(
            admin,
            "mutation($id: ID!) { deleteWebhookEndpoint(input: {endpointId: $id}) { errors { code } } }",
            id=made["id"],
        )
        cursor: str = made["cursor"]
        return cursor


def signed_message() -> dict[str, str]:
    """A webhook as the product signs it, in parts."""
    secret, moment = webhooks.make_secret(), datetime.now(UTC)
    body = webhooks.test_body(moment)
    return {
        "WEBHOOK_SECRET": secret,
        "WEBHOOK_ID": "evt_1",
        "WEBHOOK_TIMESTAMP": str(int(moment.timestamp())),
        "WEBHOOK_SIGNATURE": webhooks.sign(secret, "evt_1", int(moment.timestamp()), body),
        "WEBHOOK_BODY": body.decode(),
    }


def today() -> date:
    """The day by UTC."""
    return datetime.now(UTC).date()


def operations_of(text: str) -> Iterator[tuple[OperationType, str]]:
    """The operations of a block, each with the fragments of it."""
    document: DocumentNode = parse(text)
    fragments = [print_ast(one) for one in document.definitions if not isinstance(one, OperationDefinitionNode)]
    for one in document.definitions:
        if isinstance(one, OperationDefinitionNode):
            yield one.operation, "\n".join([print_ast(one), *fragments])


def codes_in(answer: Any) -> Iterator[str]:
    """The codes of all errors of an answer: of the request's, and of its payloads'."""
    if isinstance(answer, dict):
        for name, value in answer.items():
            if name == "errors" and isinstance(value, list):
                for error in value:
                    yield (error.get("extensions") or error).get("code", error.get("message", "?"))
            else:
                yield from codes_in(value)
    elif isinstance(answer, list):
        for one in answer:
            yield from codes_in(one)


_CLASSES: tuple[tuple[str, Callable[[str], object]], ...] = (
    ("decimal", re.compile(r"-?[0-9]+(\.[0-9]+)?").fullmatch),
    ("day", re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}").fullmatch),
    ("instant", re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+(Z|[+-][0-9:]+)").fullmatch),
    ("constant", re.compile(r"[A-Z][A-Z0-9_]+").fullmatch),
)


def _class(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return next((name for name, fits in _CLASSES if fits(value)), "text")
    return "null" if value is None else type(value).__name__


def compare(shown: Any, found: Any, exact: set[str] | None, name: str = "", path: str = "") -> Iterator[str]:
    """How an answer differs from what a guide shows.

    `"…"` is anything, and what may be null is null on some days. Each entry of a list looks like one that is shown.

    Args:
        shown: In the guide.
        found: The answer.
        exact: The names whose values are the same; all of them if None.
        name: The name that both have.
        path: Where they are.
    """
    if shown == "…":
        return
    if isinstance(shown, dict) and isinstance(found, dict):
        if shown.keys() != found.keys():
            yield f"{path}: {sorted(shown)} is shown, {sorted(found)} came"
            return
        for key, value in shown.items():
            yield from compare(value, found[key], exact, key, f"{path}.{key}")
    elif isinstance(shown, list) and isinstance(found, list):
        patterns = [one for one in shown if one != "…"]
        if bool(patterns) != bool(found) or (exact is None and "…" not in shown and len(shown) != len(found)):
            yield f"{path}: {len(patterns)} entries are shown, {len(found)} came"
        for number, entry in enumerate(found):
            tried = [list(compare(one, entry, exact, name, f"{path}.{number}")) for one in patterns]
            if tried and all(tried):
                yield from min(tried, key=len)
    elif exact is None or name in exact:
        if shown != found:
            yield f"{path}: {shown!r} is shown, {found!r} came"
    elif shown is not None and found is not None and _class(shown) != _class(found):
        yield f"{path}: {shown!r} is shown, {found!r} came"
