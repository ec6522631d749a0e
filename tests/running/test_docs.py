"""What the guides say is so.

A. Every example in README.md and docs/ runs on the demo team as the person that it names, and answers as shown.
B. Every GraphQL example, run or not, fits the schema.
C. Links lead somewhere, and files, tests, commands, variables and names of the API that are spoken of are there.
D. docs/metrics.md and the operator's table of variables are what the code says; every variable has a line.
E. The numbers of docs/goals.md are what the product's functions say, and what a pencil says.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from fractions import Fraction
from functools import cache
from pathlib import Path

import pytest
from graphql import GraphQLSchema, build_schema, parse, validate
from typer.main import get_command

from cli.definitions import main as definitions
from cli.definitions import variables
from cli.main import app
from domain.metrics import BASE_SUM_NAMES, NO_SUMS, compute
from domain.models.goals import GoalPeriod
from domain.pacing import GoalStatus, Part, Proration, Thresholds, merged, told_status
from domain.periods import Calendar, Days
from domain.workdays import Moment, WorkCalendar, WorkRules
from tests.running.conftest import ROOT, Running
from tests.running.guides import GUIDES, Reader, blocks_of, compare, operations_of

RUN = [guide for guide in GUIDES if any(block.words for block in blocks_of(guide))]
SPOKEN_OF = tuple("api bench cli deploy docs domain examples migrations scripts tests web workers".split())
"""Folders: a path that begins with one is a file that has to be there."""


def name_of(guide: Path) -> str:
    """For the tests' names."""
    return guide.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("guide", RUN, ids=name_of)
def test_examples(guide: Path, running: Running, tmp_path: Path) -> None:
    """A."""
    reader = Reader(running, tmp_path)
    for block in blocks_of(guide):
        reader.follow(block)


@pytest.mark.parametrize(
    ("shown", "found", "exact", "agrees"),
    [
        ({"value": "12.5"}, {"value": "7"}, {""}, True),
        ({"value": "12.5"}, {"value": None}, {""}, True),
        ({"value": "12.5"}, {"value": 7}, {""}, False),
        ({"value": "12.5"}, {"value": "HIGH"}, {""}, False),
        ({"value": "12.5"}, {"value": "7", "more": 1}, {""}, False),
        ({"code": "INVALID"}, {"code": "CONFLICT"}, {"code"}, False),
        ({"code": "INVALID"}, {"code": "CONFLICT"}, None, False),
        ({"nodes": [{"id": "…"}, "…"]}, {"nodes": [{"id": "a"}, {"id": "b"}]}, {""}, True),
        ({"nodes": [{"id": "…"}, "…"]}, {"nodes": [{"id": "a"}, {"name": "b"}]}, {""}, False),
        ({"nodes": [{"id": "…"}]}, {"nodes": []}, {""}, False),
    ],
)
def test_an_answer_that_is_another_is_told(shown: object, found: object, exact: set[str] | None, agrees: bool) -> None:
    """A."""
    assert (list(compare(shown, found, exact)) == []) is agrees


@cache
def snapshot() -> GraphQLSchema:
    """The schema."""
    return build_schema((ROOT / "api" / "schema" / "schema.graphql").read_text())


@pytest.mark.parametrize("guide", GUIDES, ids=name_of)
def test_examples_fit_the_schema(guide: Path) -> None:
    """B."""
    for block in blocks_of(guide):
        if block.language == "graphql" and block.first("error") != "GRAPHQL_VALIDATION_FAILED":
            for _kind, text in operations_of(block.text):
                assert validate(snapshot(), parse(text)) == [], block.place


def test_examples_are_fenced() -> None:
    """B. An example that is merely indented is run by nobody."""
    starts = re.compile(r"^    (query|mutation|subscription)?\s*[({]", re.MULTILINE)
    for guide in GUIDES:
        assert starts.findall(_without_fences(guide)) == [], guide.name


def _without_fences(guide: Path) -> str:
    return re.sub(r"^ *```.*?^ *```$", "", guide.read_text(), flags=re.MULTILINE | re.DOTALL)


def _anchors(guide: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", _without_fences(guide), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings}


@pytest.mark.parametrize("guide", GUIDES, ids=name_of)
def test_links_lead_somewhere(guide: Path) -> None:
    """C."""
    for target in re.findall(r"\]\(([^)\s]+)\)", _without_fences(guide)):
        if target.startswith(("http://", "https://")):
            continue
        address, _, anchor = target.partition("#")
        file = (guide.parent / address).resolve() if address else guide
        assert file.exists(), target
        if anchor:
            assert anchor in _anchors(file), target


@cache
def _words() -> frozenset[str]:
    """Every name in the sources."""
    found: set[str] = set()
    for folder in SPOKEN_OF:
        for file in (ROOT / folder).rglob("*"):
            if file.suffix in {".py", ".graphql", ".ts", ".tsx", ".mjs", ".toml"} and "node_modules" not in file.parts:
                found |= set(re.findall(r"\w+", file.read_text()))
    return frozenset(found)


def _spans(guide: Path) -> Iterator[str]:
    yield from re.findall(r"(?<!`)`([^`\n]+)`(?!`)", _without_fences(guide))


def _commands(guide: Path) -> Iterator[str]:
    yield from _spans(guide)
    for block in blocks_of(guide):
        if block.language == "sh":
            yield from block.text.splitlines()


@pytest.mark.parametrize("guide", GUIDES, ids=name_of)
def test_what_is_spoken_of_is_there(guide: Path) -> None:
    """C."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for said in _commands(guide):
        for target in re.findall(r"(?:^|[\s(])make(?: -s)? ([a-z][a-z-]+)", said):
            assert target in targets, f"make {target}"
        for words in re.findall(r"(?:^|[\s(/])sideline ((?:[a-z][a-z-]*\s?)+)", said):
            _known_command(words.split(), said)
    for span in _spans(guide):
        path, _, test = span.partition("::")
        if re.fullmatch(r"[\w./*-]+", path) and path.partition("/")[0] in SPOKEN_OF and "/" in path:
            found = list(ROOT.glob(path.rstrip("/")))
            assert found, span
            if test:
                assert f"def {test}(" in found[0].read_text(), span
        elif number := re.fullmatch(r"(sideline_[a-z_]+?)(?:_count|_total)?(?:\{.*\})?", span):
            assert number[1] in _words(), span
        elif re.fullmatch(r"test_\w+\.py", span):
            assert list((ROOT / "tests").rglob(span)), span
        elif re.fullmatch(r"[a-z]+(?:[A-Z][a-z]*)+", span) or re.fullmatch(r"[A-Z]+(?:_[A-Z]+)+", span):
            assert {span, span.lower()} & _words() or span in variables(), span


def _known_command(words: list[str], said: str) -> None:
    command = get_command(app)
    for word in words:
        below = getattr(command, "commands", None)
        if not below:
            return
        assert word in below, said
        command = below[word]


def test_every_variable_is_told() -> None:
    """D."""
    known = variables()
    for guide in GUIDES:
        for name in re.findall(r"\bSIDELINE_[A-Z][A-Z0-9_]*", guide.read_text()):
            whole = name.partition("__")[0]
            assert whole in known or whole == "SIDELINE_URL", f"{guide.name}: {name}"
    told = (ROOT / "docs" / "operating.md").read_text()
    assert [name for name in known if f"`{name}" not in told] == []
    environment = (ROOT / "deploy" / "environment.example").read_text()
    assert set(re.findall(r"\bSIDELINE_[A-Z0-9_]+", environment)) <= known


def test_definitions_are_generated() -> None:
    """D."""
    assert definitions(["--check"]) == 0


NOVEMBER = Days(date(2026, 11, 1), date(2026, 11, 30))
WEEK = Days(date(2026, 11, 23), date(2026, 11, 29))
RULES = WorkRules("America/New_York")
WORK = WorkCalendar(
    RULES, Days(date(2026, 1, 1), date(2027, 1, 31)), {date(2026, 11, 26): False, date(2026, 12, 25): False}
)
PRORATION = Proration(Calendar("America/New_York"), WORK, Moment(date(2026, 11, 24), Fraction(1, 2)))
LEAVE = (date(2026, 11, 23), date(2026, 11, 24), date(2026, 11, 25))
LONG_AGO, MIDDLE = date(2026, 1, 1), date(2026, 11, 16)


def monthly(target: str, first: date = LONG_AGO, last: date | None = None, off: tuple[date, ...] = ()) -> Part:
    """A goal per month."""
    return Part(GoalPeriod.MONTH, first, last, Fraction(target), off)


def asked(parts: list[Part], days: Days, *, quotient: bool = False) -> Decimal:
    """The target over some days, as it is shown."""
    progress = PRORATION.progress(parts, days, 0, Thresholds(), quotient=quotient)
    assert progress is not None
    return progress.target


def worked() -> dict[int, Decimal | None]:
    """The examples of docs/goals.md, by number."""
    rate = [monthly("0.09", last=date(2026, 11, 15)), monthly("0.1", first=MIDDLE)]
    now = PRORATION.progress([monthly("40")], NOVEMBER, 30, Thresholds(), quotient=False)
    of_rate = PRORATION.progress(rate, NOVEMBER, Decimal("0.0855"), Thresholds(), quotient=True)
    assert now is not None
    assert of_rate is not None
    return {
        1: asked([monthly("40")], NOVEMBER),
        2: asked([monthly("40")], WEEK),
        3: asked([monthly("40")], Days(MIDDLE, date(2026, 12, 11))),
        4: asked([monthly("40", off=LEAVE)], WEEK),
        5: asked([monthly("40", off=LEAVE)], NOVEMBER),
        6: asked([monthly("40", first=MIDDLE)], NOVEMBER),
        7: asked([monthly("40", last=date(2026, 11, 15)), monthly("60", first=MIDDLE)], NOVEMBER),
        8: asked([Part(GoalPeriod.DAY, LONG_AGO, None, Fraction(3))], WEEK),
        9: asked(rate, NOVEMBER, quotient=True),
        10: asked(list(merged([monthly("40"), monthly("30")])), WEEK),
        11: now.expected_by_now,
        12: now.attainment,
        13: now.pace,
        14: now.forecast,
        15: of_rate.pace,
    }


def by_pencil(text: str) -> Fraction:
    """What a sum of products and quotients comes to, from left to right, products first."""
    total, product, sign = Fraction(0), None, "x"
    words = iter([*text.split(), "+"])
    for word in words:
        if word == "+":
            assert product is not None, text
            total, product, sign = total + product, None, "x"
        elif word in ("x", "/"):
            sign = word
        else:
            if word == "(":
                inner: list[str] = []
                while (one := next(words)) != ")":
                    inner.append(one)
                value = by_pencil(" ".join(inner))
            else:
                value = Fraction(word)
            product = value if product is None else product * value if sign == "x" else product / value
    return total


def test_worked_examples() -> None:
    """E."""
    text = (ROOT / "docs" / "goals.md").read_text()
    shown = re.findall(r"^\| (\d+) \| .*\| `([^`=]+) = ([0-9.]+)` \|$", text, re.MULTILINE)
    product = worked()
    assert [int(number) for number, _sum, _result in shown] == list(product)
    for number, by_hand, result in shown:
        assert product[int(number)] == Decimal(result), number
        assert round(by_pencil(by_hand), 6) == Fraction(result), number


def test_worked_statuses() -> None:
    """E."""
    text = (ROOT / "docs" / "goals.md").read_text()
    in_words = re.search(
        r"In the example (\d+) calls are `(\w+)`, (\d+) `(\w+)`, (\d+) `(\w+)`, (\d+) .* `(\w+)`\.", text
    )
    assert in_words is not None
    for actual, status in zip(in_words.groups()[::2], in_words.groups()[1::2], strict=True):
        progress = PRORATION.progress([monthly("40")], NOVEMBER, int(actual), Thresholds(), quotient=False)
        assert progress is not None
        assert progress.status is GoalStatus(status), actual
    begins = ("| pace | 1.", "| `progress.s", "| told")
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith(begins)]
    told = GoalStatus.ON_TRACK
    for pace, at_once, told_last in zip(*(row[1:] for row in rows), strict=True):
        # Of 33 that are due by now.
        actual = Decimal(pace) * 33
        progress = PRORATION.progress([monthly("40")], NOVEMBER, actual, Thresholds(), quotient=False)
        assert progress is not None
        told = told_status(told, progress, Thresholds())
        assert (f"`{progress.status}`", f"`{told}`") == (at_once, told_last), pace


def test_ratios_are_quotients_of_sums() -> None:
    """E. As docs/metrics.md has it."""

    def sums(replied: int, delivered: int) -> tuple[int, ...]:
        values = {"emails_replied": replied, "emails_delivered": delivered}
        return tuple(values.get(name, 0) for name in BASE_SUM_NAMES)

    both = tuple(map(sum, zip(sums(2, 20), sums(9, 30), strict=True)))
    assert compute("REPLY_RATE", both) == Decimal("0.22")
    assert compute("REPLY_RATE", NO_SUMS) is None
    assert "2 replies to 20 emails and 9 to 30 are 11 of 50, so 0.22" in (ROOT / "docs" / "metrics.md").read_text()
