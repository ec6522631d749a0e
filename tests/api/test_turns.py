"""Turns: nobody keeps all others waiting.

Invariants:
A. Of one person's operations so many run at once as are allowed, and together they cost no more; one alone always runs.
B. They run in the order in which they came; another person's pass by.
C. Who leaves the line, at whatever moment, hands the turn on; nothing is left of a line that is over.
D. A line has an end: what comes after it is refused.
E. After an operation that took long, the person's next waits a little while others have requests here.
"""

from __future__ import annotations

import asyncio
import random
from uuid import UUID, uuid4

import pytest

from api.turns import LONGEST_LINE, TooManyAtOnce, Turns

ANA, BEN = uuid4(), uuid4()


class Work:
    """Operations that end when they are told to, and what they did in which order."""

    def __init__(self, turns: Turns) -> None:
        self.turns = turns
        self.began: list[str] = []
        self.running: dict[str, int] = {}
        self.go_on = asyncio.Event()

    async def run(self, name: str, person: UUID, cost: int = 1) -> None:
        async with self.turns.turn(person, cost):
            self.began.append(name)
            self.running[name] = cost
            await self.go_on.wait()
            del self.running[name]

    def start(self, name: str, person: UUID, cost: int = 1) -> asyncio.Task[None]:
        return asyncio.ensure_future(self.run(name, person, cost))


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_others_pass_by() -> None:
    turns = Turns(2, 100)
    work = Work(turns)
    tasks = [work.start(f"ana {n}", ANA) for n in range(5)] + [work.start("ben", BEN)]
    await settle()
    assert work.began == ["ana 0", "ana 1", "ben"]
    work.go_on.set()
    await asyncio.gather(*tasks)
    assert [one for one in work.began if one != "ben"] == [f"ana {n}" for n in range(5)]
    assert turns._lines == {}


async def test_what_is_heavy_runs_alone() -> None:
    turns = Turns(8, 100)
    work = Work(turns)
    tasks = [work.start(name, ANA, cost) for name, cost in (("huge", 5_000), ("light", 1), ("heavy", 60), ("more", 50))]
    await settle()
    assert work.began == ["huge"]
    work.go_on.set()
    await asyncio.gather(*tasks)
    work.go_on.clear()
    again = [work.start(name, ANA, cost) for name, cost in (("light", 1), ("heavy", 60), ("more", 50), ("small", 1))]
    await settle()
    assert list(work.running) == ["light", "heavy"], "in order: the small one waits behind the one that does not fit"
    work.go_on.set()
    await asyncio.gather(*again)
    assert turns._lines == {}


async def test_a_line_has_an_end() -> None:
    turns = Turns(1, 100)
    work = Work(turns)
    tasks = [work.start(str(n), ANA) for n in range(LONGEST_LINE + 1)]
    await settle()
    with pytest.raises(TooManyAtOnce):
        await work.run("one more", ANA)
    other = work.start("ben", BEN)
    await settle()
    assert "ben" in work.running
    work.go_on.set()
    await asyncio.gather(*tasks, other)


@pytest.mark.parametrize("seed", range(20))
async def test_whoever_leaves_hands_the_turn_on(seed: int) -> None:
    chance = random.Random(seed)
    turns = Turns(2, 10)
    highest = 0

    async def operation(person: UUID, cost: int) -> None:
        nonlocal highest
        async with turns.turn(person, cost):
            line = turns._lines[person]
            assert line.running <= 2
            assert line.cost <= 10 or line.running == 1
            highest = max(highest, line.running)
            for _ in range(chance.randrange(4)):
                await asyncio.sleep(0)

    tasks = []
    for _ in range(60):
        tasks.append(asyncio.ensure_future(operation(chance.choice((ANA, BEN)), chance.choice((0, 1, 6, 50)))))
        if chance.random() < 0.5:
            chance.choice(tasks).cancel()
        for _ in range(chance.randrange(3)):
            await asyncio.sleep(0)
    await asyncio.gather(*tasks, return_exceptions=True)
    assert not [one for one in tasks if not one.cancelled() and one.exception() is not None]
    assert highest == 2
    assert turns._lines == {}


async def test_after_a_long_one_others_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.turns.LONG_SECONDS", 0.0)
    monkeypatch.setattr("api.turns.REST_SHARE", 1e9)
    turns = Turns(1, 10)
    work = Work(turns)
    tasks = [work.start("first", ANA), work.start("second", ANA)]
    await settle()
    with turns.request(), turns.request(), turns.request():
        work.go_on.set()
        await tasks[0]
        await settle()
        assert work.began == ["first"], "a third request is somebody else's"
    await asyncio.gather(*tasks)
    assert work.began == ["first", "second"]
    assert turns._lines == {}
