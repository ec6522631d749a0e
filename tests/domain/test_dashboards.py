"""The numbers that dashboards show.

Invariants:
A. Totals, group rows, reps and trends equal a brute force over the raw records, for any range, comparison and group.
B. Ranks are competition ranks by the sorting metric; who has no value comes last; pages join without gap or repeat.
C. Each question is one statement, however many reps there are.
D. Pages stay right while rows come and go.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date, timedelta
from decimal import Decimal
from random import Random
from typing import Any
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from domain import activities, dashboards, ingest, people
from domain.access import Sight
from domain.dashboards import Audience, RankingRequest
from domain.database import ALL_TEAMS, acquire, connect, disconnect
from domain.metrics import compute
from domain.paging import page_request
from domain.people import UserFilter, UserOrder
from domain.periods import Calendar, Days, TrendInterval, intervals
from domain.records import decode_json
from tests.factories import make_group, make_role, make_team, make_user
from tests.oracle.recount import PLAIN, QUOTIENTS, add_up, metric, newest, recount
from tests.records import random_record

ZONE = "America/New_York"
KEYS = [*PLAIN, *QUOTIENTS]


class Scene:
    """A team with nested groups, users in and out of them, and what they did."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.emails: dict[UUID, str] = {}
        self.names: dict[UUID, str] = {}
        self.group_of: dict[UUID, UUID | None] = {}
        self.listed: dict[UUID, bool] = {}
        self.parents: dict[UUID, UUID | None] = {}

    async def build(self, size: int) -> None:
        async with acquire(ALL_TEAMS) as connection:
            self.team_id = await make_team(connection, timezone=ZONE)
            role = await make_role(connection, self.team_id)
            for number in range(4):
                parent = self.random.choice([None, *self.parents])
                group = await make_group(connection, self.team_id, f"group {number}", parent)
                self.parents[group] = parent
            for number in range(7):
                group_id = self.random.choice([None, *self.parents])
                active = self.random.random() < 0.8
                name = self.random.choice(["Ann", "Bo%b", "Ce_c", "Dee"]) + f" {number}"
                user = await make_user(connection, self.team_id, role, name=name, group_id=group_id, active=active)
                self.emails[user], self.names[user] = f"{user.hex}@example.test", name
                self.group_of[user], self.listed[user] = group_id, active
        records = [random_record(self.random, list(self.emails.values()), f"a{n}", 1) for n in range(size)]
        outcome = await ingest.take_in(
            self.team_id, "test", [(n, decode_json(json.dumps(record))) for n, record in enumerate(records)]
        )
        assert not outcome.errors
        self.sums = recount(newest(records), ZONE)

    def below(self, group: UUID) -> set[UUID]:
        found = {group}
        while more := {child for child, parent in self.parents.items() if parent in found} - found:
            found |= more
        return found

    def members(self, group: UUID | None) -> set[UUID]:
        if group is None:
            return set(self.emails)
        return {user for user, of in self.group_of.items() if of in self.below(group)}

    def of(self, users: set[UUID], days: Days) -> dict[str, Decimal]:
        emails = {self.emails[user] for user in users}
        return add_up(
            sums for (email, day), sums in self.sums.items() if email in emails and days.first <= day <= days.last
        )

    def has_any(self, user: UUID, days: Days) -> bool:
        return any(email == self.emails[user] and days.first <= day <= days.last for email, day in self.sums)

    def days(self) -> Days:
        first = date(2026, 2, 1) + timedelta(days=self.random.randrange(50))
        if self.random.random() < 0.3:
            first = first.replace(day=1)
        return Days(first, first + timedelta(days=self.random.randrange(70)))


def _equal(sums: tuple[Any, ...] | None, expected: dict[str, Decimal]) -> None:
    assert sums is not None
    for key in KEYS:
        found = compute(key, sums)
        wanted = metric(key, expected)
        assert (None if found is None else Decimal(found)) == wanted, key


@asynccontextmanager
async def counted() -> AsyncIterator[tuple[Any, list[str]]]:
    """A connection, and the statements that it was given."""
    seen: list[str] = []
    async with acquire(ALL_TEAMS) as connection:
        with connection.query_logger(lambda record: seen.append(record.query)):
            yield connection, seen


def test_numbers_equal_a_brute_force(database_url: str) -> None:
    @settings(max_examples=25)
    @given(seed=st.integers(0, 2**32), size=st.integers(0, 150))
    def run(seed: int, size: int) -> None:
        asyncio.run(_compare(database_url, seed, size))

    run()


async def _compare(database_url: str, seed: int, size: int) -> None:
    await connect(database_url, pool_size=2)
    try:
        scene = Scene(seed)
        await scene.build(size)
        days, previous = scene.days(), scene.days()
        group = scene.random.choice([None, *scene.parents])
        everything = Sight(scene.team_id, True, frozenset())
        audience = Audience(everything, everything, group)
        key, descending = scene.random.choice(KEYS), scene.random.random() < 0.5
        request = RankingRequest(page_request(100, None), key, descending=descending)
        async with counted() as (connection, seen):
            found = await dashboards.team_numbers(connection, audience, days, previous, request)
            await asyncio.sleep(0)  # the log of queries is told at the loop's next turn
            assert len(seen) == 1
        members = scene.members(group)
        _equal(found.total.current, scene.of(members, days))
        _equal(found.total.previous, scene.of(members, previous))
        shown = set(scene.parents) if group is None else scene.below(group)
        assert {group_id for group_id, _sums in found.groups} == shown
        for group_id, pair in found.groups:
            _equal(pair.current, scene.of(scene.members(group_id), days))
            _equal(pair.previous, scene.of(scene.members(group_id), previous))
        await _compare_reps(scene, audience, days, request, found.reps, members)
        await _compare_trends(scene, audience, days, members, shown)
    finally:
        await disconnect()


async def _compare_reps(
    scene: Scene, audience: Audience, days: Days, request: RankingRequest, found: Any, members: set[UUID]
) -> None:
    key = request.sort_by
    # Without any rollup row of the range a rep with plain sums counts 0.
    reps = {user for user in members if scene.listed[user] or scene.has_any(user, days)}
    values = {user: metric(key, scene.of({user}, days)) for user in reps}
    assert {one.user_id for one in found.page.nodes} == reps
    assert found.total_count == len(reps)
    sign = -1 if request.descending else 1
    # A deal's sign is the sorting metric's, at the precision of the answer.
    order = sorted(reps, key=lambda user: (values[user] is None, sign * (values[user] or 0)))
    for position, one in enumerate(found.page.nodes):
        value = values[one.user_id]
        assert value == values[order[position]]
        _equal(one.sums.current, scene.of({one.user_id}, days))
        better = sum(
            1
            for other in values.values()
            if (other is not None and value is None)
            or (other is not None and value is not None and (other > value if request.descending else other < value))
        )
        if key in PLAIN:
            assert one.rank == better + 1
    pages: list[UUID] = []
    cursor = None
    async with acquire(ALL_TEAMS) as connection:
        while True:
            page = await dashboards.rankings(
                connection,
                audience,
                days,
                None,
                RankingRequest(page_request(2, cursor), key, descending=request.descending),
            )
            pages += [one.user_id for one in page.page.nodes]
            if not page.page.has_next:
                break
            cursor = page.page.cursors[-1]
    assert pages == [one.user_id for one in found.page.nodes]


async def _compare_trends(scene: Scene, audience: Audience, days: Days, members: set[UUID], shown: set[UUID]) -> None:
    calendar = Calendar(ZONE, week_start=7)
    subjects: dict[str, dict[UUID | None, set[UUID]]] = {
        "total": {None: members},
        "group": {group: scene.members(group) for group in shown},
        "user": {user: {user} for user in members},
    }
    for interval in TrendInterval:
        for by, expected in subjects.items():
            async with counted() as (connection, seen):
                found = await dashboards.trends(connection, audience, days, interval, calendar, by=by)
                await asyncio.sleep(0)
                assert len(seen) == 1
            for key, users in expected.items():
                steps = found.get(key) or dashboards.empty_trend(days, interval, calendar)
                assert [step.days for step in steps] == list(intervals(days, interval, calendar))
                for step in steps:
                    _equal(step.sums, scene.of(users, step.days))


async def test_search_takes_wildcards_literally(database: str) -> None:
    scene = Scene(4)
    await scene.build(0)
    everything = Sight(scene.team_id, True, frozenset())
    async with acquire(ALL_TEAMS) as connection:
        for text in ("%", "_", "o%b", "ANN", "\\"):
            found = await dashboards.rankings(
                connection,
                Audience(everything, everything),
                Days(date(2026, 3, 1), date(2026, 3, 31)),
                None,
                RankingRequest(page_request(50, None), "EMAILS_SENT", search=text),
            )
            expected = {
                user for user, name in scene.names.items() if text.lower() in name.lower() and scene.listed[user]
            }
            assert {one.user_id for one in found.page.nodes} == expected


async def test_pages_of_users_stay_right_while_rows_come_and_go(database: str) -> None:
    async with acquire(ALL_TEAMS) as connection:
        team_id = await make_team(connection)
        role = await make_role(connection, team_id)
        stay = {await make_user(connection, team_id, role, name=f"name {number // 2:03}") for number in range(40)}
        sight = Sight(team_id, True, frozenset())
        random = Random(2)
        for backward in (False, True):
            seen: list[UUID] = []
            cursor = None
            while True:
                request = page_request(None, None, 7, cursor) if backward else page_request(7, cursor)
                page = await people.list_users(connection, sight, UserFilter(), UserOrder.NAME, request)
                seen += [user.id for user in page.nodes]
                guest = await make_user(connection, team_id, role, name=f"name {random.randrange(20):03}")
                if random.random() < 0.5:
                    await connection.execute("DELETE FROM users WHERE id = $1", guest)
                more = page.has_previous if backward else page.has_next
                if not more:
                    break
                cursor = page.cursors[0] if backward else page.cursors[-1]
            assert stay <= set(seen)
            assert len(seen) == len(set(seen))


async def test_pages_of_activities_stay_right_while_rows_come_and_go(database: str) -> None:
    async with acquire(ALL_TEAMS) as connection:
        team_id = await make_team(connection)
        user = await make_user(connection, team_id, await make_role(connection, team_id))
    random = Random(6)

    async def take(number: int, minute: int, *, deleted: bool = False) -> None:
        record = {
            "kind": "call",
            "externalId": f"c{number}",
            "user": f"{user.hex}@example.test",
            "occurredAt": f"2026-0{minute % 3 + 1}-01T10:{minute % 20:02}:00Z",
            "version": 2 if deleted else 1,
        }
        record = record | {"deleted": True} if deleted else record
        await ingest.take_in(team_id, "test", [(0, decode_json(json.dumps(record)))])

    for number in range(40):
        await take(number, number)
    sight = Sight(team_id, True, frozenset())
    for backward in (False, True):
        seen: list[str] = []
        cursor = None
        while True:
            request = page_request(None, None, 7, cursor) if backward else page_request(7, cursor)
            async with acquire(ALL_TEAMS) as connection:
                page = await activities.list_activities(connection, sight, activities.ActivityFilter(), request)
            seen += [row.external_id for row in page.nodes]
            guest = 1_000 + random.randrange(10**9)
            await take(guest, random.randrange(60))
            if random.random() < 0.5:
                await take(guest, 0, deleted=True)
            if not (page.has_previous if backward else page.has_next):
                break
            cursor = page.cursors[0] if backward else page.cursors[-1]
        assert {f"c{number}" for number in range(40)} <= set(seen)
        assert len(seen) == len(set(seen))
