"""The plot of a run: ratios with their goals, the peers, and growth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matplotlib import colormaps, rc_context
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, ScalarFormatter

from bench.growth import MILLION, Point
from bench.measure import Comparison
from bench.peers import LATENCY_BESIDE

if TYPE_CHECKING:
    from bench.results import Run

WIDTH_INCHES = 11.0
ROW_INCHES = 0.26
GROWTH_INCHES = 5.0
OURS, THEIRS, MISSED = "#1f6f8b", "#99a8b2", "#c8553d"
PEERS = ("#99a8b2", "#d9c27e")


def draw(run: Run, file: Path) -> None:
    """Write an SVG."""
    ratios = [
        one
        for part, several in run.found.items()
        if part not in ("peers", "growth")
        for one in several
        if one.ratio is not None
    ]
    peers = _peers(run.found.get("peers", ()))
    heights = [ROW_INCHES * max(len(ratios), 1) + 1.2]
    if peers:
        heights.append(ROW_INCHES * 3.4 * len(peers) + 1.2)
    if run.points:
        heights.append(GROWTH_INCHES)
    figure = Figure(figsize=(WIDTH_INCHES, sum(heights)), layout="constrained")
    axes = list(figure.subplots(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0])
    _draw_ratios(axes.pop(0), ratios)
    if peers:
        _draw_peers(axes.pop(0), peers)
    if run.points:
        _draw_growth(axes.pop(0), run.points)
    # Letters as letters, and the same file for the same run.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "sideline"}):
        figure.savefig(file, format="svg", metadata={"Date": None})


def _draw_ratios(axes: Any, ratios: Sequence[Comparison]) -> None:
    places = range(len(ratios))
    colours = [OURS if one.met else MISSED for one in ratios]
    axes.barh(places, [one.ratio for one in ratios], color=colours, height=0.7)
    for place, one in zip(places, ratios, strict=True):
        axes.text(one.ratio, place, f" {one.ratio:.2f}", va="center", fontsize=8)
        if one.goal is not None:
            axes.plot([one.goal, one.goal], [place - 0.45, place + 0.45], color="black", linewidth=1.5)
    axes.axvline(1.0, color=THEIRS, linewidth=1, linestyle=":")
    axes.set_yticks(places, [one.name for one in ratios], fontsize=8)
    axes.invert_yaxis()
    axes.margins(x=0.08, y=0.01)
    axes.set_title("Ours over the floor; the black mark is the goal", loc="left")


def _peers(comparisons: Sequence[Comparison]) -> dict[str, dict[str, float]]:
    """By question, milliseconds of each server."""
    found: dict[str, dict[str, float]] = {}
    for one in comparisons:
        question, said, peer = one.name.partition(LATENCY_BESIDE)
        if said and one.ours is not None and one.floor is not None:
            found.setdefault(question, {})["Sideline"] = one.ours
            found[question][peer] = one.floor
    return found


def _draw_peers(axes: Any, peers: dict[str, dict[str, float]]) -> None:
    names = list(next(iter(peers.values())))
    step = 0.8 / len(names)
    for number, (name, colour) in enumerate(zip(names, (OURS, *PEERS), strict=False)):
        places = [place + (number - (len(names) - 1) / 2) * step for place in range(len(peers))]
        values = [found[name] for found in peers.values()]
        axes.barh(places, values, height=step, color=colour, label=name)
        for place, value in zip(places, values, strict=True):
            axes.text(value, place, f" {value:.3g}", va="center", fontsize=8)
    axes.set_xscale("log")
    axes.set_yticks(range(len(peers)), list(peers), fontsize=8)
    axes.invert_yaxis()
    axes.margins(x=0.08)
    axes.legend(loc="upper right", fontsize=8)
    axes.set_title("One request after the other over HTTP: milliseconds, median (logarithmic)", loc="left")


def _draw_growth(axes: Any, points: Sequence[Point]) -> None:
    lines: dict[str, list[Point]] = {}
    for point in points:
        lines.setdefault(point.name, []).append(point)
    marks, colours = "osv^D", [to_hex(colormaps["tab20"](number)) for number in range(20)]
    for number, (name, line) in enumerate(lines.items()):
        sizes = [one.activities / MILLION for one in line]
        axes.plot(
            sizes,
            [one.milliseconds for one in line],
            marker=marks[number % len(marks)],
            color=colours[number % len(colours)],
            label=name,
        )
    axes.set_xscale("log")
    axes.set_yscale("log")
    sizes = sorted({point.activities / MILLION for point in points})
    axes.set_xticks(sizes, [f"{size:g}" for size in sizes])
    axes.minorticks_off()
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(ScalarFormatter())
    axes.set_xlabel("million activities of the team")
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8)
    axes.set_title("Growth: milliseconds, median (logarithmic)", loc="left")
