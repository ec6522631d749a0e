"""Look-ups that come together: what is asked for in the same step of the event loop is one statement.

Strawberry's own loader forgets whoever asks while a look-up that nobody waits for any more is being called off, and
everybody after: they would wait for ever. Here whoever leaves takes nobody along.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class Loader(Generic[Key, Value]):
    """Brings values by their keys.

    Args:
        load: Brings the values of some keys, in their order; an exception in a value's place is raised to who asked.
        keep: What was brought is kept, as long as the loader; else only who asks at the same time shares it.
    """

    def __init__(
        self, load: Callable[[list[Key]], Awaitable[Sequence[Value | BaseException]]], *, keep: bool = True
    ) -> None:
        self._load = load
        self._keep = keep
        self._known: dict[Key, asyncio.Future[Value]] = {}
        self._asked: list[Key] = []
        self._working: set[asyncio.Task[None]] = set()

    def load(self, key: Key) -> Awaitable[Value]:
        """The value of a key."""
        return asyncio.shield(self._future(key))

    async def load_many(self, keys: Iterable[Key]) -> list[Value]:
        """The values of some keys, in their order."""
        return [future.result() for future in await self._all(keys)]

    async def bring(self, keys: Iterable[Key]) -> None:
        """See to it that some keys are known; what is wrong with one is told to who asks for it."""
        await self._all(keys)

    def missing(self, keys: Iterable[Key]) -> list[Key]:
        """Those of some keys that are not known yet."""
        return [key for key in keys if (found := self._known.get(key)) is None or not found.done()]

    async def _all(self, keys: Iterable[Key]) -> list[asyncio.Future[Value]]:
        futures = [self._future(key) for key in keys]
        # They come together: a callback for each of them would cost more than bringing them.
        while waiting := [future for future in futures if not future.done()]:
            await asyncio.wait(waiting[:1])
        for future in futures:
            if not future.cancelled():
                # Looked at, so that those behind one that failed count as heard of.
                future.exception()
        return futures

    def _future(self, key: Key) -> asyncio.Future[Value]:
        found = self._known.get(key)
        if found is None:
            loop = asyncio.get_running_loop()
            found = self._known[key] = loop.create_future()
            if not self._asked:
                loop.call_soon(self._begin)
            self._asked.append(key)
        return found

    def abandon(self) -> None:
        """Call off what is under way: nobody waits for it any more."""
        for task in self._working:
            task.cancel()

    def _begin(self) -> None:
        task = asyncio.ensure_future(self._bring())
        self._working.add(task)
        task.add_done_callback(self._working.discard)

    async def _bring(self) -> None:
        keys, self._asked = self._asked, []
        waiting = [self._known[key] for key in keys]
        if not self._keep:
            for key in keys:
                del self._known[key]
        try:
            values: Sequence[Any] = await self._load(keys)
            for future, value in zip(waiting, values, strict=True):
                if isinstance(value, BaseException):
                    future.set_exception(value)
                else:
                    future.set_result(value)
        except asyncio.CancelledError:
            for future in waiting:
                future.cancel()
            raise
        except Exception as error:
            for future in waiting:
                if not future.done():
                    future.set_exception(error)
