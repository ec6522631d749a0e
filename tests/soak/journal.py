"""What happened in a run: requests, retries, faults, and what must not have happened."""

from __future__ import annotations

import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

FAILURES_TOLD = 50


def spread(values: Sequence[float]) -> dict[str, float]:
    """p50, p99 and max."""
    if not values:
        return {}
    cuts = statistics.quantiles(values, n=100) if len(values) > 1 else [values[0]] * 99
    return {"p50": round(cuts[49], 3), "p99": round(min(cuts[98], max(values)), 3), "max": round(max(values), 3)}


@dataclass
class Journal:
    """Kept by everybody who takes part."""

    began: float = field(default_factory=time.monotonic)
    requests: Counter[str] = field(default_factory=Counter)
    retries: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    seconds: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    faults: list[tuple[float, str]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @property
    def now(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self.began

    def answered(self, kind: str, seconds: float) -> None:
        """A request was answered, with all its retries, in so many seconds."""
        self.requests[kind] += 1
        self.seconds[kind].append(seconds)

    def retried(self, kind: str, reason: str) -> None:
        """Something was to be tried again, as the rules have it."""
        self.retries[f"{kind}: {reason}"] += 1

    def fault(self, what: str) -> None:
        """Something was done to the installation."""
        self.faults.append((round(self.now, 1), what))

    def fail(self, what: str) -> None:
        """Something happened that fails the run."""
        self.failures.append(f"[{self.now:.1f} s] {what}")

    def told(self) -> dict[str, Any]:
        """All of it, for a file."""
        return {
            "requests": dict(sorted(self.requests.items())),
            "seconds": {kind: spread(values) for kind, values in sorted(self.seconds.items())},
            "retries": dict(self.retries.most_common()),
            "counts": dict(sorted(self.counts.items())),
            "faults": self.faults,
            "failures": self.failures,
        }


def lines_of(told: Mapping[str, Any]) -> list[str]:
    """A summary for people."""
    lines = [f"requests   {sum(told['requests'].values())}"]
    for kind, count in told["requests"].items():
        times = told["seconds"].get(kind) or {}
        shown = "  ".join(f"{name} {value:.3f} s" for name, value in times.items())
        lines.append(f"  {kind:<26} {count:>7}  {shown}")
    for kind, times in told["seconds"].items():
        if kind not in told["requests"]:
            lines.append(f"{kind}: {times}")
    lines.append(f"retries    {sum(told['retries'].values())}")
    lines += [f"  {reason:<58} {count:>5}" for reason, count in list(told["retries"].items())[:25]]
    lines.append("counts")
    lines += [f"  {name:<34} {count:>8}" for name, count in told["counts"].items()]
    lines.append(f"faults     {len(told['faults'])}")
    lines += [f"  {at:>7.1f} s  {what}" for at, what in told["faults"]]
    return lines
