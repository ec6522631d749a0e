"""Finds fault with what a run has seen.

Each is pure: it takes values, and returns a sentence for each thing that is wrong.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from tests.soak.plan import WARM_SHARE

SHOWN = 5
"""Examples of one fault that are told."""
LEAST_LOOKS = 8
WARM_SECONDS = 60.0
"""A process has been asked for everything that it can do once, and has imported what that needs."""
POINTS_LIMIT = 400
"""Of so many points at most, evenly chosen, the slope is that of all pairs: 80,000 of them."""

Point = tuple[float, float]
"""When, in seconds, and how much."""
Told = tuple[str, ...]
"""What somebody was told of an event; its cursor comes first."""


def slope(points: Sequence[Point]) -> float:
    """Theil and Sen's: the median slope of all pairs. A third of the points may be anything (a burst, a fault) without
    moving it far, which a line by least squares would follow."""
    step = -(-len(points) // POINTS_LIMIT) or 1
    chosen = points[::step]
    return statistics.median((b[1] - a[1]) / (b[0] - a[0]) for a, b in combinations(chosen, 2) if b[0] > a[0])


def settled(points: Sequence[Point]) -> Sequence[Point]:
    """What is left after the first third of the time, and after the first minute."""
    if not points:
        return points
    start = points[0][0] + max((points[-1][0] - points[0][0]) * WARM_SHARE, WARM_SECONDS)
    return [point for point in points if point[0] >= start]


def growth(points: Sequence[Point]) -> float:
    """How much it grew over what is left after the first third, by its slope; 0 where there is too little to say."""
    judged = settled(points)
    if len(judged) < LEAST_LOOKS:
        return 0.0
    return slope(judged) * (judged[-1][0] - judged[0][0])


@dataclass
class Life:
    """A process from one start to its end, and what it held."""

    name: str
    pid: int
    megabytes: list[Point] = field(default_factory=list)
    descriptors: list[Point] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """How long it was watched after its own first third."""
        judged = settled(self.megabytes)
        return judged[-1][0] - judged[0][0] if judged else 0.0


FILLING_SECONDS = 300.0
FILLING_MEGABYTES = 40.0
"""In so short a time a process is still filling to its working size: statements prepared on each of its connections,
more connections, what drawing and mailing import, the last 2,000 events of a team with what was answered of them.
Measured: up to 26 MB. Two minutes find what holds on to whole answers or streams, half an hour finds the rest.
"""
SETTLED_MEGABYTES, MEGABYTES_PER_MINUTE = 16.0, 0.75


def bound_of_memory(seconds: float) -> float:
    """Megabytes that a process may grow in so many seconds after its warm-up.

    Two processes are not killed after the first third of a run: of half an hour, at least 13 minutes are judged, and it
    is 26 MB. Each answers some 10,000 requests in that time: 3 kB each, such as a context that somebody still holds,
    pass it. Measured where nothing leaks: 2 MB in 3,000 requests.
    """
    if seconds < FILLING_SECONDS:
        return FILLING_MEGABYTES
    return SETTLED_MEGABYTES + MEGABYTES_PER_MINUTE * seconds / 60


DESCRIPTORS_BOUND = 24.0
"""Both pools of a process may fill from their middle, and some clients come; one descriptor that stays open in 500
requests is more in half an hour."""
CONNECTIONS_BOUND = 20.0
"""PostgreSQL's and Redis's: pools of four processes fill to their bound and empty again; one connection that is left
behind by each fault would be 80 in half an hour."""


def judge_lives(lives: Iterable[Life], shortest_seconds: float) -> list[str]:
    """Of each process that lived for long enough: whether it held more and more."""
    found = []
    for life in lives:
        if life.seconds < shortest_seconds:
            continue
        bound = bound_of_memory(life.seconds)
        megabytes, descriptors = growth(life.megabytes), growth(life.descriptors)
        who = f"{life.name} (process {life.pid})"
        if megabytes > bound:
            found.append(f"{who} grew by {megabytes:.1f} MB in {life.seconds:.0f} s; {bound:.1f} are allowed")
        if descriptors > DESCRIPTORS_BOUND:
            found.append(f"{who} has {descriptors:.0f} descriptors more than {life.seconds:.0f} s before")
    return found


def judge_growth(what: str, points: Sequence[Point], bound: float) -> list[str]:
    """Whether something that all processes share grew beyond a bound."""
    grown = growth(points)
    return [f"{what} grew by {grown:.1f}; {bound:g} are allowed"] if grown > bound else []


def judge_settled(what: str, left: Mapping[str, float]) -> list[str]:
    """Everything is done, nothing is held."""
    return [f"{what}: {name} is {count:g}, not 0" for name, count in left.items() if count]


def judge_told(who: str, expected: Sequence[Told], got: Sequence[Told]) -> list[str]:
    """Somebody who is owed each event exactly once, in order, has just that."""
    if list(got) == list(expected):
        return []
    wanted, had = {one[0]: one for one in expected}, {one[0]: one for one in got}
    repeats = [cursor for cursor, count in Counter(one[0] for one in got).items() if count > 1]
    missing = [cursor for cursor in wanted if cursor not in had]
    invented = [cursor for cursor in had if cursor not in wanted]
    other = [cursor for cursor in wanted if cursor in had and wanted[cursor] != had[cursor]]
    found = [
        f"{who}: {len(some)} of {len(expected)} events {what}, such as {some[:SHOWN]}"
        for what, some in (("missing", missing), ("repeated", repeats), ("invented", invented), ("different", other))
        if some
    ]
    return found or [f"{who}: the events came in another order"]


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a receiver was sent: the webhook's id, and what it said."""

    message: str
    told: Told


def judge_deliveries(who: str, expected: Sequence[Told], sent: Sequence[Delivery]) -> list[str]:
    """A receiver had each event at least once and in order; what has one id is one message.

    A repeat may come at any time, even after later events: a worker that was frozen in the middle of a delivery goes on
    with it when it wakes, and others have gone past it meanwhile. By its id it is known as a repeat.
    """
    first: dict[str, Told] = {}
    found = [
        f"{who}: the id {one.message} came with two contents"
        for one in sent
        if first.setdefault(one.message, one.told) != one.told
    ]
    found += judge_told(who, expected, list(first.values()))
    return found


def judge_changes(
    acknowledged: Mapping[str, Sequence[str]], events: Iterable[tuple[str, str]], *, changing: str = "goals set"
) -> list[str]:
    """Each change that was acknowledged had its effect once, for each subject; nothing happened that nobody asked for.

    Args:
        acknowledged: The subjects of a change by what tells it from all others.
        events: What tells the change, and the subject, of each event.
        changing: What it is about.
    """
    wanted = Counter((change, subject) for change, subjects in acknowledged.items() for subject in subjects)
    had = Counter(events)
    found = []
    for what, some in (
        ("without effect", wanted - had),
        ("with more effect than was asked for", had - wanted),
    ):
        if some:
            found.append(f"{changing}: {some.total()} {what}, such as {list(some)[:SHOWN]}")
    return found


def judge_chains(statuses: Iterable[tuple[str, str, str]]) -> list[str]:
    """The told statuses of a goal's period form a chain that begins ON_TRACK.

    Args:
        statuses: The goal and its period, the status before, the status after; in order.
    """
    last: dict[str, str] = {}
    found = []
    for key, before, after in statuses:
        if last.get(key, "ON_TRACK") != before or before == after:
            found.append(f"statuses of {key}: {before} to {after} does not follow {last.get(key, 'ON_TRACK')}")
        last[key] = after
    return found[:SHOWN]


def judge_sums(
    what: str, found: Mapping[Any, Mapping[str, Any]], counted: Mapping[Any, Mapping[str, Any]]
) -> list[str]:
    """Sums that are kept equal those of a count over what was sent; what is 0 may be left out."""
    faults = []
    for key in {*found, *counted}:
        kept = {name: value for name, value in found.get(key, {}).items() if value}
        right = {name: value for name, value in counted.get(key, {}).items() if value}
        if kept != right:
            differing = {
                name: (kept.get(name, 0), right.get(name, 0))
                for name in {*kept, *right}
                if kept.get(name, 0) != right.get(name, 0)
            }
            faults.append(f"{what} of {key}: kept and counted {differing}")
    return [*faults[:SHOWN], *([f"{what}: {len(faults)} differ"] if len(faults) > SHOWN else [])]


def judge_effects(what: str, wanted: Iterable[Any], effects: Iterable[Any]) -> list[str]:
    """Each thing was done exactly once."""
    counts = Counter(effects)
    names = set(wanted)
    found = []
    undone = [name for name in names if name not in counts]
    again = [name for name, count in counts.items() if count > 1]
    strange = [name for name in counts if name not in names]
    for fault, some in (("not done", undone), ("done more than once", again), ("done though nobody asked", strange)):
        if some:
            found.append(f"{what}: {len(some)} {fault}, such as {some[:SHOWN]}")
    return found
