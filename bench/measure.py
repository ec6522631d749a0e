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
        ratio: Our seconds over the floor's; None where ours did not end, or not well.
        goal: The largest ratio that will do; None where it is only told.
        detail: The medians behind it.
        ours: Our number behind the ratio, where there is one.
        floor: The floor's.
        unit: What both count: milliseconds, if not said otherwise.
    """

    name: str
    ratio: float | None
    goal: float | None
    detail: str
    ours: float | None = None
    floor: float | None = None
    unit: str = "ms"

    @property
    def met(self) -> bool:
        """Whether the goal is met."""
        return self.ratio is not None and (self.goal is None or self.ratio <= self.goal)

    @property
    def mark(self) -> str:
        """How it stands."""
        return "MISSED" if not self.met else "told" if self.goal is None else "met"

    @property
    def told_ratio(self) -> str:
        """The ratio in words."""
        return "none" if self.ratio is None else f"{self.ratio:.2f}"

    def line(self) -> str:
        """For the console."""
        goal = "no goal" if self.goal is None else f"goal {self.goal:.1f}x"
        return f"{self.mark:6} {self.name}: {self.told_ratio}x the floor ({goal}; {self.detail})"


async def _seconds(work: Work) -> float:
    began = time.perf_counter()
    await work()
    return time.perf_counter() - began


async def compare(name: str, ours: Work, floor: Work, *, goal: float | None, rounds: int) -> Comparison:
    """Measure both in turns, after one unmeasured turn of each."""
    await ours()
    await floor()
    mine, floors = [], []
    for _ in range(rounds):
        mine.append(await _seconds(ours))
        floors.append(await _seconds(floor))
    us, it = statistics.median(mine), statistics.median(floors)
    detail = f"{us * 1e3:.1f} ms against {it * 1e3:.1f} ms, {rounds} rounds"
    return Comparison(name, us / it, goal, detail, ours=us * 1e3, floor=it * 1e3)
