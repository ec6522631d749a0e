"""Taking turns: ours, the floor, ours, the floor; medians, and their ratio."""

from __future__ import annotations

import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

Work = Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Ours against a floor.

    Args:
        name: What was measured.
        ratio: Our seconds over the floor's.
        goal: The largest ratio that will do.
        detail: The medians behind it.
    """

    name: str
    ratio: float
    goal: float
    detail: str

    @property
    def met(self) -> bool:
        """Whether the goal is met."""
        return self.ratio <= self.goal

    def line(self) -> str:
        """For the console."""
        mark = "ok    " if self.met else "MISSED"
        return f"{mark} {self.name}: {self.ratio:.2f}x the floor (goal {self.goal:.1f}x; {self.detail})"


async def _seconds(work: Work) -> float:
    began = time.perf_counter()
    await work()
    return time.perf_counter() - began


async def compare(name: str, ours: Work, floor: Work, *, goal: float, rounds: int) -> Comparison:
    """Measure both in turns, after one unmeasured turn of each."""
    await ours()
    await floor()
    mine, floors = [], []
    for _ in range(rounds):
        mine.append(await _seconds(ours))
        floors.append(await _seconds(floor))
    us, it = statistics.median(mine), statistics.median(floors)
    return Comparison(name, us / it, goal, f"{us * 1e3:.1f} ms against {it * 1e3:.1f} ms, {rounds} rounds")
