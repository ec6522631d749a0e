"""What a run found is kept and shown; what stands by hand in RESULTS.md stays."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from bench import results
from bench.floors import check_same
from bench.growth import Point
from bench.measure import Comparison
from bench.results import Run

RUN = Run(
    datetime(2026, 11, 2, 10, 0, tzinfo=UTC),
    1_500,
    {"memory": "24 GB"},
    {
        "dashboard": [Comparison("team dashboard", 1.25, 1.5, "by the clock", ours=12.5, floor=10.0)],
        "peers": [
            Comparison("users: latency beside PostGraphile", 0.5, 1.0, "", ours=1.0, floor=2.0),
            Comparison("users: latency beside plain Strawberry", 2.0, 1.0, "", ours=1.0, floor=0.5),
        ],
        "growth": [Comparison("a page", 1.1, None, "told", ours=1234.5, floor=1122.3)],
    },
    [Point("a page", 1_000_000, 1122.3), Point("a page", 10_000_000, 1234.5)],
)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, file in (("JSON", "results.json"), ("MARKDOWN", "RESULTS.md"), ("PLOT", "results.svg")):
        monkeypatch.setattr(results, name, tmp_path / file)
    return tmp_path


def test_a_run_is_kept_and_shown(folder: Path) -> None:
    results.keep(RUN)
    assert msgspec.json.decode((folder / "results.json").read_bytes(), type=Run) == RUN
    shown = (folder / "RESULTS.md").read_text()
    assert "| team dashboard | 12.5 ms | 10 ms | 1.25 | 1.5 | met |" in shown
    assert "| a page | 1,234 ms | 1,122 ms | 1.10 |  | told |" in shown
    assert "| a page | 1122.3 | 1234.5 |" in shown
    assert "3 of 4 are within their goals or have none" in shown
    assert (folder / "results.svg").read_text().startswith("<?xml")


def test_what_is_written_by_hand_stays(folder: Path) -> None:
    results.keep(RUN)
    with (folder / "RESULTS.md").open("a") as file:
        file.write("\nBecause months are summed beforehand.\n")
    results.keep(RUN)
    shown = (folder / "RESULTS.md").read_text()
    assert shown.endswith("## Reasons\n\nBecause months are summed beforehand.\n")
    assert shown.count("# Results\n") == 1


@pytest.mark.parametrize(
    ("ours", "floor"),
    [
        ({"id": "VXNlcjo1", "name": "Ada"}, {"id": "5", "name": "Ada"}),
        ({"value": "0.333334"}, {"value": "0.333333"}),
        ([{"value": None}, {"value": 2}], [{"value": None}, {"value": "2"}]),
    ],
)
def test_a_floor_that_says_the_same(ours: object, floor: object) -> None:
    check_same(ours, floor, "here")


@pytest.mark.parametrize(
    ("ours", "floor"),
    [
        ({"name": "Ada"}, {"name": "Bob"}),
        ({"value": "0.34"}, {"value": "0.33"}),
        ({"value": None}, {"value": "0"}),
        ([1], [1, 2]),
        ({"a": 1}, {"b": 1}),
    ],
)
def test_a_floor_that_says_something_else(ours: object, floor: object) -> None:
    with pytest.raises(AssertionError):
        check_same(ours, floor, "here")
