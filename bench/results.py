"""What one run found, kept as bench/results.json, and shown as bench/RESULTS.md with bench/results.svg.

`python -m bench --results` keeps a run; `python -m bench.results` shows the one that is kept again. What stands in
RESULTS.md from the heading "Reasons" on is written by hand and stays.
"""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec

from bench.growth import MILLION, Point
from bench.measure import Comparison
from cli.embedded.postgres import binaries
from cli.embedded.redis import binary as redis_program

FOLDER = Path(__file__).parent
JSON, MARKDOWN, PLOT = FOLDER / "results.json", FOLDER / "RESULTS.md", FOLDER / "results.svg"
BY_HAND = "## Reasons"
HEADINGS = {
    "dashboard": "The team dashboard, and with goals",
    "dashboards": "The other dashboards",
    "connections": "Connections of 100 nodes",
    "mutation": "Setting goals",
    "peers": "The same questions to PostGraphile and to plain Strawberry over Tortoise",
    "importing": "Import",
    "syncing": "Sync",
    "scheduled": "Syncs that come due at once",
    "jobs": "Jobs",
    "actions": "Scheduled actions",
    "fanout": "Fan-out",
    "subscribers": "Memory",
    "startup": "Start",
    "growth": "Growth with the number of activities",
}
FLOORS = {
    "peers": "theirs",
    "growth": "at the smallest size",
    "scheduled": "allowed",
}


@dataclass(frozen=True, slots=True)
class Run:
    """What one run found.

    Args:
        began: When.
        seconds: How long it took.
        machine: What it ran on.
        found: The comparisons, by part.
        points: The medians at each size, where growth was measured.
    """

    began: datetime
    seconds: int
    machine: Mapping[str, str]
    found: Mapping[str, Sequence[Comparison]]
    points: Sequence[Point]


def _version(command: Sequence[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def machine() -> dict[str, str]:
    """What this runs on."""
    processor = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.exists():
        names = [
            line.partition(":")[2].strip() for line in information.read_text().splitlines() if "model name" in line
        ]
        processor = names[0] if names else processor
    gigabytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "processor": f"{os.cpu_count()} x {processor}",
        "memory": f"{gigabytes:.0f} GB",
        "system": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "PostgreSQL": _version([str(binaries() / "postgres"), "--version"]).rpartition(" ")[2],
        "Redis": _version([str(redis_program()), "--version"]).partition("v=")[2].partition(" ")[0],
    }


def keep(run: Run) -> None:
    """Keep a run and show it."""
    JSON.write_bytes(msgspec.json.format(msgspec.json.encode(run)) + b"\n")
    show(run)


def show(run: Run) -> None:
    """Write RESULTS.md and the plot."""
    written = MARKDOWN.read_text() if MARKDOWN.exists() else ""
    _, found, by_hand = written.partition(BY_HAND)
    MARKDOWN.write_text("\n".join(_lines(run)) + "\n" + (found + by_hand if found else f"{BY_HAND}\n"))
    # The plot's library takes a second to load.
    from bench.plot import draw

    draw(run, PLOT)


def _number(value: float | None, unit: str) -> str:
    if value is None:
        return ""
    return f"{value:,.0f} {unit}" if value >= 100 else f"{value:.3g} {unit}"


def _rows(comparisons: Iterable[Comparison], floor: str) -> list[str]:
    rows = [f"| measurement | ours | {floor} | ratio | goal | |", "| --- | ---: | ---: | ---: | ---: | --- |"]
    for one in comparisons:
        goal = "" if one.goal is None else f"{one.goal:g}"
        numbers = f"{_number(one.ours, one.unit)} | {_number(one.floor, one.unit)} | {one.told_ratio}"
        rows.append(f"| {one.name} | {numbers} | {goal} | {one.mark} |")
    return rows


def _growth(points: Sequence[Point]) -> list[str]:
    sizes = sorted({point.activities for point in points})
    by_name: dict[str, dict[int, float]] = {}
    for point in points:
        by_name.setdefault(point.name, {})[point.activities] = point.milliseconds
    head = " | ".join(f"{size / MILLION:g} million" for size in sizes)
    rows = [f"| milliseconds | {head} |", "| --- |" + " ---: |" * len(sizes)]
    for name, found in by_name.items():
        rows.append(f"| {name} | " + " | ".join(f"{found[size]:.1f}" for size in sizes) + " |")
    return ["", *rows]


def _lines(run: Run) -> list[str]:
    every = [one for several in run.found.values() for one in several]
    met = sum(one.met for one in every)
    lines = [
        "# Results",
        "",
        "Written by `python -m bench --results` from one run; [README.md](README.md) says what each measurement is and "
        "what its floor. Ratios are ours over the floor's, both taken in turns: less is better. Times of different "
        "machines are not to be compared.",
        "",
        f"{run.began:%Y-%m-%d %H:%M} UTC, {run.seconds / 60:.0f} minutes. "
        + ", ".join(f"{name}: {value}" for name, value in run.machine.items())
        + ".",
        "",
        f"{met} of {len(every)} are within their goals or have none; the others are marked MISSED.",
        "",
        "![ratios, peers and growth](results.svg)",
    ]
    for part, comparisons in run.found.items():
        lines += ["", f"## {HEADINGS.get(part, part)}", "", *_rows(comparisons, FLOORS.get(part, "floor"))]
        if part == "growth" and run.points:
            lines += _growth(run.points)
    return [*lines, ""]


def main() -> None:
    """Show the run that is kept."""
    show(msgspec.json.decode(JSON.read_bytes(), type=Run))


if __name__ == "__main__":
    main()
