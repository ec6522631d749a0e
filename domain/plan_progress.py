"""Does the coaching show? The focus metrics of a plan before and since it began, against peers over the same time.

**Windows.** Since: from the plan's first day to yesterday, or to the day it was closed, at most `LONGEST_WINDOW` days.
Before: as many days right before the first one, but at least `SHORTEST_BEFORE`. Today is left out: it is not over.

**Values.** A quotient (a rate) is the quotient of the sums over the window. A plain sum is told per working week: the
sum over the window, divided by the person's own working days in it (the team's, without days off), times the working
days of the team's week; so that windows of different length, holidays and leave compare.

**Peers** are the active reps, who were with the team through both windows, of the smallest group that holds the rep
and in which `INTERVAL_PEERS` others have numbers and are all in the viewer's sight; else of the largest group in sight
(a team without groups is one group). Who sees nobody else is shown their own group, from three on, as far as the team
shows peer statistics (`domain.access.see_peers`); nobody is ever named, and no single peer's number told. Of more than
`MOST_PEERS` so many are taken, by a digest of their ids, which says nothing of their numbers.

**A fair comparison** (difference in differences). With b and s a person's values before and since, the change is
d = s - b, and the effect is  d of the rep - median of d over the peers: what happened to everybody (a season, a price
rise, a new territory) is taken out; the median bears a peer who stands out.

**The interval** is one of placebos: each peer j is taken for the coached one, with the effect
e_j = d_j - median of d over the other peers. If the coaching did nothing, the rep's effect is one more draw of what
peers do anyway. With n peers and a confidence of 80 %, q is the ceil(0.8 (n + 1))-th smallest of the |e_j|, and the
interval is effect -/+ q. It is exact in finite samples as far as rep and peers are exchangeable, it needs no shape of a
distribution and no random numbers: the same numbers always give the same interval. Source: A. Abadie, A. Diamond and
J. Hainmueller, "Synthetic Control Methods for Comparative Case Studies", JASA 105 (2010), placebo studies;
V. Chernozhukov, K. Wüthrich and Y. Zhu, "An Exact and Robust Conformal Inference Method", JASA 116 (2021).

No interval, and no verdict, where fewer than `INTERVAL_PEERS` peers have both values, where less than `SHORTEST_SINCE`
days have gone by, or where a rate stands on fewer than `FEWEST_EVENTS` tries in one of the windows: the reason is told.

**What it cannot tell.** Coaches choose whom they coach. A rep who was chosen after a bad month would come back some way
without any coaching; the interval holds that against the peers' own ups and downs, but not against the choice.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np
import numpy.typing as npt

from domain import access
from domain.access import Sight, Viewer
from domain.metrics import (
    BASE_SUM_NAMES,
    BASE_SUMS,
    METRICS,
    NO_SUMS,
    RATIO_STEP,
    Direction,
    MetricUnit,
    Sums,
    compute,
    unavailable_reason,
)
from domain.periods import Days
from domain.workdays import PersonalTime, WorkCalendar, read_days_off, read_work_calendar

if TYPE_CHECKING:
    from domain.database import Connection

LONGEST_WINDOW = 182
SHORTEST_BEFORE = 28
SHORTEST_SINCE = 14
INTERVAL_PEERS = 8
MOST_PEERS = 60
FEWEST_EVENTS = 10
CONFIDENCE = 0.8
"""An interval of placebos needs 1 / (1 - confidence) people: with eight peers, more would have no end."""


class Verdict(StrEnum):
    """What the interval says."""

    BETTER = "BETTER"
    WORSE = "WORSE"
    UNCLEAR = "UNCLEAR"


@dataclass(frozen=True, slots=True)
class Subject:
    """Somebody with something that began on a day: a plan.

    Args:
        key: What it is known by.
        user_id: The rep.
        starts_on: The first day of since.
        closed_on: The last day of since; None while it goes on.
        metrics: The focus.
    """

    key: UUID
    user_id: UUID
    starts_on: date
    closed_on: date | None
    metrics: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """A focus metric before and since.

    Args:
        before: The rep's value before; None where there is nothing to divide by.
        now: Since.
        before_days: The window of before.
        now_days: The window of since; None while it has not begun.
        change: now - before.
        peer_count: Peers with both values.
        peer_change: The median of their changes.
        effect: change - peer_change.
        low: The interval's lower end.
        high: Its upper end.
        verdict: What the interval says; None without one, and of metrics neither way of which is better.
        reason: Why there is no comparison or no interval.
    """

    before: Decimal | None
    now: Decimal | None
    before_days: Days
    now_days: Days | None
    change: Decimal | None = None
    peer_count: int = 0
    peer_change: Decimal | None = None
    effect: Decimal | None = None
    low: Decimal | None = None
    high: Decimal | None = None
    verdict: Verdict | None = None
    reason: str | None = None


def windows(starts_on: date, closed_on: date | None, today: date) -> tuple[Days, Days | None]:
    """The days of before, and of since (None while it has not begun)."""
    last = today - timedelta(days=1)
    if closed_on is not None:
        last = min(last, closed_on)
    last = min(last, starts_on + timedelta(days=LONGEST_WINDOW - 1))
    since = None if last < starts_on else Days(starts_on, last)
    length = max(SHORTEST_BEFORE, 0 if since is None else since.count)
    return Days(starts_on - timedelta(days=length), starts_on - timedelta(days=1)), since


@dataclass(frozen=True, slots=True)
class _Rep:
    """Somebody who may be a peer."""

    id: UUID
    group_id: UUID | None
    started_on: date | None
    ended_on: date | None


class _Circles:
    """Whom a rep is compared with."""

    def __init__(self, viewer: Viewer, sight: Sight, groups: Mapping[UUID, UUID | None], reps: Sequence[_Rep]) -> None:
        self._viewer = viewer
        self._sight = sight
        self._parents = groups
        self._of_group: dict[UUID | None, list[_Rep]] = {}
        for rep in sorted(reps, key=lambda rep: _shuffled(rep.id)):
            for group in self._above(rep.group_id):
                self._of_group.setdefault(group, []).append(rep)
        self._there: dict[tuple[UUID | None, Days], tuple[UUID, ...]] = {}
        self._open: dict[tuple[UUID | None, Days], bool] = {}

    def _above(self, group_id: UUID | None) -> list[UUID | None]:
        """A group and all above it, the nearest first; None stands for a team without groups."""
        if not self._parents:
            return [None]
        found: list[UUID | None] = []
        while group_id is not None and group_id not in found:
            found.append(group_id)
            group_id = self._parents.get(group_id)
        return found

    def _members(self, group: UUID | None, whole: Days) -> tuple[UUID, ...]:
        """Who of a group, and of all below it, was there through some days; shuffled."""
        found = self._there.get((group, whole))
        if found is None:
            found = self._there[group, whole] = tuple(
                rep.id
                for rep in self._of_group.get(group, ())
                if (rep.started_on is None or rep.started_on <= whole.first)
                and (rep.ended_on is None or rep.ended_on >= whole.last)
            )
        return found

    def _all_seen(self, group: UUID | None, whole: Days) -> bool:
        """Whether each of a group's members is in the viewer's sight, by name; one answer for all reps of the group."""
        found = self._open.get((group, whole))
        if found is None:
            members = frozenset(self._members(group, whole))
            found = self._open[group, whole] = access.fewest_peers(self._viewer, self._sight, members) == 1
        return found

    def peers(self, subject: Subject, group_id: UUID | None, whole: Days) -> list[UUID]:
        """The peers of a rep over some days, in the viewer's sight; beside one's own numbers also those of the own
        group that are not."""
        best: list[UUID] = []
        for place, group in enumerate(self._above(group_id)):
            seen = self._all_seen(group, whole)
            if not seen:
                others = frozenset(self._members(group, whole)) - {subject.user_id}
                if place > 0 or access.see_peers(self._viewer, self._sight, subject.user_id, others) is None:
                    break
            first = self._members(group, whole)[: MOST_PEERS + 1]
            best = [one for one in first if one != subject.user_id][:MOST_PEERS]
            if not seen or len(best) >= INTERVAL_PEERS:
                break
        return best


def _shuffled(one: UUID) -> bytes:
    return hashlib.blake2b(one.bytes, digest_size=8).digest()


async def compare(
    connection: Connection,
    viewer: Viewer,
    sight: Sight,
    subjects: Sequence[Subject],
    today: date,
    available: Collection[str],
) -> dict[tuple[UUID, str], Comparison]:
    """The comparisons of some plans, by plan and metric: a fixed number of statements, however many they are.

    Reps whose numbers are not in the viewer's sight are left out.

    Args:
        connection: Where.
        viewer: Who looks.
        sight: Whose numbers they may see.
        subjects: The plans.
        today: The team's local day.
        available: The metrics that something feeds.
    """
    seen = [one for one in subjects if sight.sees(viewer.team_id, one.user_id) and one.metrics]
    if not seen:
        return {}
    groups = {
        row["id"]: row["parent_id"]
        for row in await connection.fetch("SELECT id, parent_id FROM groups WHERE team_id = $1", viewer.team_id)
    }
    rows = await connection.fetch(
        "SELECT id, group_id, started_on, ended_on, active AND is_rep AS counts FROM users "
        "WHERE team_id = $1 AND (active AND is_rep OR id = ANY ($2::uuid[]))",
        viewer.team_id,
        [one.user_id for one in seen],
    )
    group_of = {row["id"]: row["group_id"] for row in rows}
    reps = [_Rep(row["id"], row["group_id"], row["started_on"], row["ended_on"]) for row in rows if row["counts"]]
    circles = _Circles(viewer, sight, groups, reps)
    spans = {one.key: windows(one.starts_on, one.closed_on, today) for one in seen}
    peers: dict[UUID, list[UUID]] = {}
    wanted: set[tuple[UUID, Days]] = set()
    for one in seen:
        before, since = spans[one.key]
        whole = Days(before.first, (since or before).last)
        peers[one.key] = circles.peers(one, group_of.get(one.user_id), whole) if since is not None else []
        for person in (one.user_id, *peers[one.key]):
            wanted.add((person, before))
            if since is not None:
                wanted.add((person, since))
    sums = await _sums(connection, viewer.team_id, sorted(wanted, key=lambda key: (key[0], key[1].first, key[1].last)))
    first = min(days.first for _person, days in wanted)
    last = max(days.last for _person, days in wanted)
    work = await read_work_calendar(connection, viewer.team_id, Days(first, last))
    off = await read_days_off(connection, viewer.team_id, Days(first, last))
    times = _Times(work, off)
    found = {}
    for one in seen:
        before, since = spans[one.key]
        few = access.fewest_peers(viewer, sight, frozenset(peers[one.key]))
        for metric in one.metrics:
            if metric not in available:
                found[one.key, metric] = Comparison(None, None, before, since, reason=unavailable_reason(metric))
                continue
            value = _Values(metric, sums, times)
            found[one.key, metric] = compare_one(
                metric,
                value.of(one.user_id, before, since),
                [value.of(peer, before, since) for peer in peers[one.key]],
                before,
                since,
                fewest_shown=few,
            )
    return found


class _Times:
    """Working days of people, each counted once."""

    def __init__(self, work: WorkCalendar, off: Mapping[UUID, Iterable[Days]]) -> None:
        self._work = work
        self._off = off
        self._people: dict[UUID, PersonalTime] = {}
        self.week = max(work.rules.work_week.bit_count(), 1)

    def count(self, person: UUID, days: Days) -> int:
        """The person's working days."""
        found = self._people.get(person)
        if found is None:
            taken = self._work.worked_days(self._off.get(person, ()))
            found = self._people[person] = PersonalTime(self._work, taken)
        return found.count(days.first, days.last)


@dataclass(frozen=True, slots=True)
class Pair:
    """A person's values before and since, and on how many tries they stand (None where that is no question)."""

    before: float | None
    since: float | None
    tries: tuple[float, float] | None = None


class _Values:
    def __init__(self, metric: str, sums: Mapping[tuple[UUID, Days], Sums], times: _Times) -> None:
        self._metric = metric
        self._sums = sums
        self._times = times

    def of(self, person: UUID, before: Days, since: Days | None) -> Pair:
        if since is None:
            return Pair(self._value(person, before), None)
        definition = METRICS[self._metric]
        tries = None
        if definition.is_quotient and definition.scale == 1 and definition.unit in (MetricUnit.RATIO, MetricUnit.MONEY):
            tries = (self._tries(person, before), self._tries(person, since))
        return Pair(self._value(person, before), self._value(person, since), tries)

    def _value(self, person: UUID, days: Days) -> float | None:
        found = compute(self._metric, self._sums.get((person, days), NO_SUMS))
        if found is None or METRICS[self._metric].is_quotient:
            return None if found is None else float(found)
        worked = self._times.count(person, days)
        return None if worked == 0 else float(found) / worked * self._times.week

    def _tries(self, person: UUID, days: Days) -> float:
        sums = self._sums.get((person, days), NO_SUMS)
        return float(sum(sums[BASE_SUM_NAMES.index(name)] for name in METRICS[self._metric].denominators))


def compare_one(
    metric: str, mine: Pair, peers: Sequence[Pair], before: Days, since: Days | None, *, fewest_shown: int = 1
) -> Comparison:
    """One comparison, from values; the method is this module's docstring.

    Args:
        metric: Which.
        mine: The rep's values.
        peers: Those of the peers.
        before: The days of before.
        since: The days of since.
        fewest_shown: Of fewer peers with values nothing is told.
    """
    shown = Comparison(_decimal(mine.before), _decimal(mine.since), before, since)
    if since is None:
        return _because(shown, "The plan has not begun yet.")
    if mine.before is None or mine.since is None:
        return _because(shown, "There is nothing to compare: in one of the windows the rep has no value.")
    change = mine.since - mine.before
    usable = [one for one in peers if one.before is not None and one.since is not None and _enough(one)]
    moves = [one.since - one.before for one in usable if one.since is not None and one.before is not None]
    changes = np.array(moves, dtype=np.float64)
    count = len(changes)
    if count < max(fewest_shown, 1):
        return _because(shown, "There are too few peers whom you may see.", change=_decimal(change))
    middle = float(np.median(changes))
    effect = change - middle
    told: dict[str, Any] = {
        "change": _decimal(change),
        "peer_count": count,
        "peer_change": _decimal(middle),
        "effect": _decimal(effect),
    }
    if since.count < SHORTEST_SINCE:
        return _because(shown, f"It is too early: less than {SHORTEST_SINCE} days have gone by.", **told)
    if not _enough(mine):
        return _because(shown, f"The rate stands on fewer than {FEWEST_EVENTS} tries in one of the windows.", **told)
    if count < INTERVAL_PEERS:
        return _because(shown, f"Only {count} peers can be compared with; an interval needs {INTERVAL_PEERS}.", **told)
    spread = placebo_spread(changes)
    low, high = effect - spread, effect + spread
    verdict = None
    if METRICS[metric].direction is not Direction.BAND:
        sign = -1 if METRICS[metric].direction is Direction.LOWER else 1
        better, worse = (low > 0, high < 0) if sign > 0 else (high < 0, low > 0)
        verdict = Verdict.BETTER if better else Verdict.WORSE if worse else Verdict.UNCLEAR
    return Comparison(
        shown.before, shown.now, before, since, **told, low=_decimal(low), high=_decimal(high), verdict=verdict
    )


def placebo_spread(changes: npt.NDArray[np.float64]) -> float:
    """How far effects of peers who were not coached lie from 0, with `CONFIDENCE`: half of the interval's width."""
    count = len(changes)
    others = np.broadcast_to(changes, (count, count))[~np.eye(count, dtype=bool)].reshape(count, count - 1)
    effects = changes - np.median(others, axis=1)
    rank = math.ceil(CONFIDENCE * (count + 1) - 1e-9)
    return float(np.sort(np.abs(effects))[min(rank, count) - 1])


def _enough(pair: Pair) -> bool:
    return pair.tries is None or min(pair.tries) >= FEWEST_EVENTS


def _because(shown: Comparison, reason: str, **told: Any) -> Comparison:
    return Comparison(shown.before, shown.now, shown.before_days, shown.now_days, **told, reason=reason)


def _decimal(value: float | None) -> Decimal | None:
    return None if value is None else Decimal(repr(value)).quantize(RATIO_STEP, ROUND_HALF_EVEN)


async def _sums(
    connection: Connection, team_id: UUID, wanted: Sequence[tuple[UUID, Days]]
) -> dict[tuple[UUID, Days], Sums]:
    """The base sums of people over days, in one statement. Served by the primary key of rollup_days."""
    columns = ", ".join(f"sum(r.{base.name}){'' if base.money else '::bigint'} AS {base.name}" for base in BASE_SUMS)
    rows = await connection.fetch(
        f"""
        SELECT w.place, {columns}
        FROM unnest($2::int[], $3::uuid[], $4::text[]::date[], $5::text[]::date[]) AS w (place, user_id, first, last)
        JOIN rollup_days r ON r.team_id = $1 AND r.user_id = w.user_id AND r.day BETWEEN w.first AND w.last
        GROUP BY w.place
        """,
        team_id,
        list(range(len(wanted))),
        [person for person, _days in wanted],
        # As text: asyncpg asks the server about an array of dates once a connection.
        [days.first.isoformat() for _person, days in wanted],
        [days.last.isoformat() for _person, days in wanted],
    )
    return {wanted[row["place"]]: tuple(row)[1:] for row in rows}
