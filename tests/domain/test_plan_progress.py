"""Focus metrics before and since, against peers.

Invariants:
A. Values, effects and intervals are those of a brute force over the activities themselves.
B. Peers are those of the docstring, never a single one in the clear, never out of the viewer's sight.
C. Few peers, few tries, an early look, no numbers: no interval, and why.
D. A fixed number of statements, however many plans and peers.
E. A shift that everybody makes is no effect.
"""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from random import Random
from typing import Any
from uuid import UUID

import pytest

from domain import access, ingest, plan_progress
from domain.access import Viewer
from domain.database import ALL_TEAMS, acquire
from domain.metrics import METRICS
from domain.models.base import new_id
from domain.models.people import Permission
from domain.periods import Days
from domain.plan_progress import Comparison, Pair, Subject, Verdict, compare_one, windows
from domain.records import decode_mapping
from tests.api.test_dashboards import counting
from tests.factories import make_group, make_role, make_team, make_user, viewer_of
from tests.oracle import plan_progress as oracle

TODAY = date(2026, 11, 25)
START = date(2026, 10, 12)
KEYS = tuple(METRICS)


class World:
    """A rep with peers in the same group, each with calls and emails."""

    async def build(self, peers: int, seed: int, *, nested: bool = False) -> World:
        random = Random(seed)
        async with acquire(ALL_TEAMS) as connection:
            self.team = await make_team(connection)
            manager = await make_role(connection, self.team, Permission.TEAM_VIEW)
            user = await make_role(connection, self.team)
            top = await make_group(connection, self.team, "top")
            low = await make_group(connection, self.team, "low", top)
            self.rep = await make_user(connection, self.team, user, group_id=low)
            self.peers = [
                await make_user(connection, self.team, user, group_id=top if nested and place >= 3 else low)
                for place in range(peers)
            ]
            self.manager_id = await make_user(connection, self.team, manager, group_id=top, is_rep=False)
            self.lead_id = await make_user(connection, self.team, manager, group_id=low, is_rep=False)
            self.off = {
                one: (START + timedelta(3), START + timedelta(random.randrange(3, 9))) for one in self.peers[:3]
            }
            for one, (first, last) in self.off.items():
                await connection.execute(
                    "INSERT INTO days_off (id, team_id, user_id, first_day, last_day) VALUES ($1, $2, $3, $4, $5)",
                    new_id(),
                    self.team,
                    one,
                    first,
                    last,
                )
            emails = {row["id"]: row["email"] for row in await connection.fetch("SELECT id, email FROM users")}
        self.calls: dict[UUID, dict[date, int]] = {}
        self.sent: dict[UUID, dict[date, int]] = {}
        self.replied: dict[UUID, dict[date, int]] = {}
        records: list[dict[str, Any]] = []
        for one in (self.rep, *self.peers):
            level = random.randrange(1, 4)
            for days in range(1, 100):
                day = TODAY - timedelta(days)
                for kind, counts in (("call", self.calls), ("email", self.sent)):
                    number = random.randrange(0, level + 2)
                    if number:
                        counts.setdefault(one, {})[day] = number
                    for place in range(number):
                        record = {
                            "kind": kind,
                            "externalId": f"{kind} {one} {day} {place}",
                            "user": emails[one],
                            "occurredAt": f"{day}T12:00:00Z",
                        }
                        if kind == "call":
                            record |= {"durationSeconds": 60, "connected": True}
                        elif random.random() < 0.2:
                            record["repliedAt"] = f"{day}T13:00:00Z"
                            self.replied.setdefault(one, {})[day] = self.replied.get(one, {}).get(day, 0) + 1
                        records.append(record)
        outcome = await ingest.take_in(self.team, "test", [(n, decode_mapping(one)) for n, one in enumerate(records)])
        assert outcome.accepted == len(records)
        return self

    def subject(self, *metrics: str, closed_on: date | None = None, starts_on: date = START) -> Subject:
        return Subject(new_id(), self.rep, starts_on, closed_on, metrics or ("CALLS_LOGGED", "REPLY_RATE"))

    async def compare(self, user_id: UUID, *subjects: Subject) -> dict[tuple[UUID, str], Comparison]:
        async with acquire(self.team) as connection:
            viewer: Viewer = await viewer_of(connection, user_id)
            sight = await access.see_users(connection, viewer)
            return await plan_progress.compare(connection, viewer, sight, subjects, TODAY, KEYS)

    def pairs(self, metric: str, people: list[UUID], before: Days, since: Days) -> list[tuple[Fraction, Fraction]]:
        found = []
        for one in people:
            off = [self.off[one]] if one in self.off else []
            if metric == "CALLS_LOGGED":
                values = [oracle.per_week(self.calls.get(one, {}), d.first, d.last, off) for d in (before, since)]
            else:
                rates = [
                    oracle.rate(self.replied.get(one, {}), self.sent.get(one, {}), d.first, d.last)
                    for d in (before, since)
                ]
                values = [value if tries >= 10 else None for value, tries in rates]
            if values[0] is not None and values[1] is not None:
                found.append((values[0], values[1]))
        return found


def close(found: Decimal | None, wanted: Fraction) -> bool:
    return found is not None and abs(Fraction(found) - wanted) < Fraction(2, 1_000_000)


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_it_agrees_with_a_brute_force(database: str, seed: int) -> None:
    world = await World().build(11, seed)
    subject = world.subject(closed_on=None if seed % 2 else date(2026, 11, 15))
    found = await world.compare(world.manager_id, subject)
    before, since = windows(subject.starts_on, subject.closed_on, TODAY)
    assert since is not None
    for metric in subject.metrics:
        one = found[subject.key, metric]
        (mine,) = world.pairs(metric, [world.rep], before, since)
        peers = world.pairs(metric, world.peers, before, since)
        assert close(one.before, mine[0])
        assert close(one.now, mine[1])
        assert one.peer_count == len(peers)
        assert close(one.effect, oracle.effect(mine, peers))
        low, high = oracle.interval(mine, peers)
        assert close(one.low, low)
        assert close(one.high, high)
        verdict = Verdict.BETTER if low > 0 else Verdict.WORSE if high < 0 else Verdict.UNCLEAR
        assert (one.verdict, one.reason) == (verdict, None)


async def test_whom_a_rep_is_compared_with(database: str) -> None:
    world = await World().build(9, 5, nested=True)
    subject = world.subject("CALLS_LOGGED")
    counts = {}
    for name, viewer in (("manager", world.manager_id), ("lead", world.lead_id), ("rep", world.rep)):
        one = (await world.compare(viewer, subject))[subject.key, "CALLS_LOGGED"]
        counts[name] = (one.peer_count, one.low is not None)
    # The group has three others; with the one above nine. The lead sees but the own group, and so does the rep.
    assert counts == {"manager": (9, True), "lead": (3, False), "rep": (3, False)}
    assert await world.compare(world.peers[0], subject) == {}, "not whose numbers are hidden"
    async with acquire(ALL_TEAMS) as connection:
        await connection.execute("UPDATE users SET active = false WHERE id = $1", world.peers[0])
    one = (await world.compare(world.rep, subject))[subject.key, "CALLS_LOGGED"]
    assert (one.peer_count, one.peer_change, one.effect) == (0, None, None), "two others would tell who they are"
    assert one.before is not None
    async with acquire(ALL_TEAMS) as connection:
        await connection.execute("UPDATE users SET active = true WHERE id = $1", world.peers[0])
        await connection.execute("UPDATE teams SET show_peer_statistics = false WHERE id = $1", world.team)
    one = (await world.compare(world.rep, subject))[subject.key, "CALLS_LOGGED"]
    assert (one.peer_count, one.effect) == (0, None)


async def test_a_fixed_number_of_statements(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = set()
    for size in (2, 12):
        world = await World().build(size, size)
        async with counting(monkeypatch) as statements:
            await world.compare(world.manager_id, *(world.subject() for _ in range(size)))
        counts.add(sum("set_config" not in one for one in statements))
    assert len(counts) == 1


def _days() -> tuple[Days, Days]:
    before, since = windows(START, None, TODAY)
    assert since is not None
    return before, since


def _pair(before: float, since: float, tries: tuple[float, float] | None = None) -> Pair:
    return Pair(before, since, tries)


def test_what_everybody_does_is_no_effect() -> None:
    peers = [_pair(float(n), float(n) + 10 + n % 3 * 0.1) for n in range(9)]
    one = compare_one("CALLS_LOGGED", _pair(20, 30.1), peers, *_days())
    assert one.effect == 0
    assert one.verdict is Verdict.UNCLEAR
    one = compare_one("CALLS_LOGGED", _pair(20, 40), peers, *_days())
    assert one.verdict is Verdict.BETTER
    one = compare_one("BOUNCE_RATE", _pair(0.2, 0.9), [_pair(0.2, 0.2 + n / 100) for n in range(9)], *_days())
    assert one.verdict is Verdict.WORSE, "lower is better"
    one = compare_one("TALK_RATIO", _pair(0.2, 0.9), [_pair(0.2, 0.2 + n / 100) for n in range(9)], *_days())
    assert one.verdict is None, "neither way is better"
    assert one.low is not None


def test_no_interval_is_better_than_a_wrong_one() -> None:
    before, since = _days()
    many = [_pair(float(n), float(n) + 1) for n in range(9)]
    early = Days(TODAY - timedelta(5), TODAY - timedelta(1))
    for found, said in (
        (compare_one("CALLS_LOGGED", _pair(1, 2), many[:7], before, since), "Only 7 peers"),
        (compare_one("CALLS_LOGGED", _pair(1, 2), many, before, early), "too early"),
        (compare_one("CALLS_LOGGED", _pair(1, 2), [], before, since), "too few peers"),
        (compare_one("CALLS_LOGGED", Pair(None, 2.0), many, before, since), "nothing to compare"),
        (compare_one("CALLS_LOGGED", _pair(1, 2), many, before, None), "not begun"),
        (compare_one("REPLY_RATE", _pair(0.1, 0.2, (50, 9)), many, before, since), "fewer than 10 tries"),
    ):
        assert said in (found.reason or "")
        assert (found.low, found.high, found.verdict) == (None, None, None)


def test_windows() -> None:
    assert windows(date(2026, 11, 20), None, TODAY) == (
        Days(date(2026, 10, 23), date(2026, 11, 19)),
        Days(date(2026, 11, 20), date(2026, 11, 24)),
    )
    assert windows(TODAY, None, TODAY)[1] is None
    before, since = windows(date(2025, 1, 1), None, TODAY)
    assert since is not None
    assert before.count == since.count == plan_progress.LONGEST_WINDOW
    closed = windows(START, date(2026, 10, 31), TODAY)[1]
    assert closed == Days(START, date(2026, 10, 31))
