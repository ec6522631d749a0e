"""Look-ups that come together.

Invariants:
A. What is asked for in the same step is looked up once, together.
B. Who leaves, at whatever moment, takes nobody along: everybody else gets what they asked for.
C. A failure reaches everybody who asked, and the next look-up begins anew.
"""

from __future__ import annotations

import asyncio
import random

import pytest

from api.loading import Loader


async def test_together_and_once() -> None:
    asked: list[list[int]] = []

    async def load(keys: list[int]) -> list[int]:
        asked.append(keys)
        return [key * 2 for key in keys]

    loader = Loader(load)
    assert await loader.load_many([1, 2, 1]) == [2, 4, 2]
    assert await asyncio.gather(loader.load(2), loader.load(3)) == [4, 6]
    assert asked == [[1, 2], [3]]
    fresh = Loader(load, keep=False)
    assert [await fresh.load(1), await fresh.load(1)] == [2, 2]
    assert asked == [[1, 2], [3], [1], [1]]


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("steps", range(5))
async def test_who_leaves_takes_nobody_along(steps: int, keep: bool) -> None:
    async def load(keys: list[str]) -> list[str]:
        await asyncio.sleep(0)
        return keys

    loader = Loader(load, keep=keep)

    async def ask(key: str) -> str:
        return await loader.load(key)

    leaving = asyncio.ensure_future(ask("a"))
    for _ in range(steps):
        await asyncio.sleep(0)
    leaving.cancel()
    async with asyncio.timeout(5):
        assert await asyncio.gather(ask("a"), ask("b")) == ["a", "b"]
        await asyncio.sleep(0)
        assert await ask("c") == "c"


async def test_any_order_of_asking_and_leaving() -> None:
    chance = random.Random(3)

    async def load(keys: list[int]) -> list[int | BaseException]:
        for _ in range(chance.randrange(3)):
            await asyncio.sleep(0)
        if chance.random() < 0.1:
            raise OSError("away")
        return [ValueError(key) if key == 7 else key for key in keys]

    loader = Loader(load, keep=False)

    async def ask(key: int) -> int:
        return await loader.load(key)

    tasks = []
    for _ in range(500):
        tasks.append((key := chance.randrange(10), asyncio.ensure_future(ask(key))))
        if chance.random() < 0.5:
            chance.choice(tasks)[1].cancel()
        for _ in range(chance.randrange(3)):
            await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await asyncio.wait([task for _key, task in tasks])
    for key, task in tasks:
        if task.cancelled():
            continue
        error = task.exception()
        assert isinstance(error, OSError | ValueError) if error else task.result() == key
        assert key == 7 or not isinstance(error, ValueError)
    assert not loader._working


async def test_what_is_abandoned_stops() -> None:
    stopped = asyncio.Event()

    async def load(keys: list[int]) -> list[int]:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()
        return keys

    loader = Loader(load)
    asking = asyncio.ensure_future(asyncio.wait_for(loader.load(1), 5))
    for _ in range(4):
        await asyncio.sleep(0)
    loader.abandon()
    await stopped.wait()
    with pytest.raises(asyncio.CancelledError):
        await asking
