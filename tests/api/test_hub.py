"""A team's log of recent events.

Invariants:
A. It holds events without a gap, in order, each once, whatever the stream and PostgreSQL bring, when and how often.
B. An answer is made once; one that could not be made is made again.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api import hub
from api.hub import Entry, TeamLog
from domain.events import EventType, Head, StoredEvent
from domain.models.base import new_id

TEAM = new_id()


def event(position: int) -> StoredEvent:
    return StoredEvent(new_id(), TEAM, position, EventType.GOAL_CREATED, None, {}, datetime.now(UTC))


@given(brought=st.lists(st.integers(1, 30), max_size=60), start=st.integers(0, 5), seed=st.integers(0, 1000))
def test_no_gap_whatever_is_brought(brought: Sequence[int], start: int, seed: int) -> None:
    """The stream brings some events, some twice, some never; PostgreSQL has all up to the last one that was brought."""
    chance = random.Random(seed)
    monkey = pytest.MonkeyPatch()
    committed = max([*brought, start])

    async def read_events(_connection: Any, _team: UUID, after: int, limit: int) -> list[StoredEvent]:
        await asyncio.sleep(0)
        return [event(one) for one in range(after + 1, committed + 1)][:limit]

    async def read_head(_connection: Any, _team: UUID) -> Head:
        return Head(start, 0)

    async def generations(_connection: Any, _teams: Any) -> dict[UUID, int]:
        return {}

    @asynccontextmanager
    async def acquire(ALL_TEAMS) -> Any:
        yield None

    async def run() -> None:
        log = TeamLog(TEAM)
        await log.open()

        async def bring(position: int) -> None:
            for _ in range(chance.randrange(3)):
                await asyncio.sleep(0)
            if not log.push(event(position)):
                await log.fill(position)

        await asyncio.gather(*(bring(position) for position in brought))
        await log.fill(committed)
        found = [entry.stored.position for entry in log.entries]
        assert found == list(range(start + 1, committed + 1))
        assert log.head == committed
        for position in range(start, committed + 1):
            entries = log.after(position)
            assert entries is not None
            assert [entry.stored.position for entry in entries] == list(range(position + 1, committed + 1))
        if start:
            assert log.after(start - 1) is None or not log.entries

    with monkey.context() as patch:
        patch.setattr(hub.events, "read_events", read_events)
        patch.setattr(hub.events, "read_head", read_head)
        patch.setattr(hub, "generations", generations)
        patch.setattr(hub, "acquire", acquire)
        patch.setattr(hub, "PAGE_EVENTS", 3)
        asyncio.run(run())


async def test_answers_are_made_once_and_failures_again() -> None:
    entry, made = Entry(event(1)), 0

    async def make() -> str:
        nonlocal made
        made += 1
        await asyncio.sleep(0)
        if made == 1:
            raise ConnectionRefusedError
        return "answer"

    first = await asyncio.gather(*(entry.answer("key", make) for _ in range(3)), return_exceptions=True)
    assert all(isinstance(one, ConnectionRefusedError) for one in first)
    assert await asyncio.gather(*(entry.answer("key", make) for _ in range(3))) == ["answer"] * 3
    leaving = asyncio.ensure_future(entry.answer("other", make))
    staying = asyncio.ensure_future(entry.answer("other", make))
    await asyncio.sleep(0)
    leaving.cancel()
    assert await staying == "answer"
    assert made == 3
