"""The picture of a report: its trend and each person's share, as PNG, drawn without a screen.

Drawing takes a processor for some tenths of a second: it is done in a thread, one picture at a time.
"""

from __future__ import annotations

import asyncio
import io
import threading
from typing import TYPE_CHECKING, Any

from domain.digests import shown
from domain.metrics import METRICS, MetricUnit, compute

if TYPE_CHECKING:
    from domain.snapshots import Report

PANELS = 4
PEOPLE_SHOWN = 15
NAME_LIMIT = 28
_ACCENT, _QUIET, _INK = "#2f6fde", "#d5dbe5", "#1f2733"
_PREFERRED = ("MEETINGS_BOOKED", "CALLS_LOGGED", "EMAILS_SENT", "CLOSED_WON_AMOUNT", "NEW_PIPELINE", "MEETINGS_HELD")
_drawing = threading.Lock()
"""The library's font cache is shared by all figures."""


async def picture_of(report: Report) -> bytes:
    """A report's picture, PNG."""
    return await asyncio.to_thread(draw, report)


def draw(report: Report) -> bytes:
    """A report's picture, PNG: a panel for each of up to four metrics that add up, people by the first of them."""
    # Loaded when a picture is wanted: it takes half a second, which the other workers need not spend.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with _drawing:
        figure = Figure(figsize=(11, 7.5), dpi=100, facecolor="white", layout="constrained")
        FigureCanvasAgg(figure)
        _text(
            figure.suptitle(
                f"{report.title}\n{report.days.first.isoformat()} to {report.days.last.isoformat()}",
                fontsize=14,
                color=_INK,
                fontweight="bold",
            )
        )
        keys = _panels(report)
        if not keys:
            _text(figure.text(0.5, 0.5, "Nothing has come in yet.", ha="center", color=_INK))
        else:
            grid = figure.add_gridspec(2, max(len(keys), 1), height_ratios=(1, 1.4))
            for place, key in enumerate(keys):
                _trend(figure.add_subplot(grid[0, place]), report, key)
            _people(figure.add_subplot(grid[1, :]), report, keys[0])
        out = io.BytesIO()
        figure.savefig(out, format="png")
        return out.getvalue()


def _panels(report: Report) -> tuple[str, ...]:
    sums = [key for key in report.keys if not METRICS[key].is_quotient and METRICS[key].unit is not MetricUnit.RATIO]
    ordered = [key for key in _PREFERRED if key in sums] + [key for key in sums if key not in _PREFERRED]
    return tuple(ordered[:PANELS])


def _text(text: Any) -> None:
    """Names are names: a dollar sign in one begins no formula."""
    text.set_parse_math(False)


def _trend(axes: Any, report: Report, key: str) -> None:
    values = [float(compute(key, step.sums) or 0) for step in report.trend]
    axes.bar(range(len(values)), values, color=_ACCENT, width=0.8)
    value, previous = report.totals[report.keys.index(key)]
    told = f"{METRICS[key].label}\n{shown(key, value, report.currency)}"
    if previous is not None:
        told += f" (before: {shown(key, previous, report.currency)})"
    _text(axes.set_title(told, fontsize=9, color=_INK, loc="left"))
    axes.set_xticks([])
    axes.tick_params(labelsize=7, colors=_INK)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _people(axes: Any, report: Report, key: str) -> None:
    place = report.keys.index(key)
    ranked = sorted(
        ((name, float(values[place] or 0)) for name, values in report.people), key=lambda one: (-one[1], one[0])
    )
    rows = ranked[:PEOPLE_SHOWN][::-1]
    axes.barh(range(len(rows)), [value for _name, value in rows], color=_ACCENT)
    axes.set_yticks(range(len(rows)), [name[:NAME_LIMIT] for name, _value in rows], fontsize=8)
    for label in axes.get_yticklabels():
        _text(label)
    more = f", the first {len(rows)} of {len(ranked)}" if len(ranked) > len(rows) else ""
    _text(axes.set_title(f"{METRICS[key].label} by person{more}", fontsize=9, color=_INK, loc="left"))
    axes.tick_params(axis="x", labelsize=7, colors=_INK)
    axes.grid(axis="x", color=_QUIET, linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
