"""Plans of objects and references.

Invariants:
A. Whatever objects hold, right or wrong, and whatever is selected of them, the answer is the one that graphql-core
   gives by the ordinary way, and every null that an error made has its error. Where two fields of one object fail,
   either may be told.
B. What the objects of a list refer to is looked up once, whether or not it exists; a resolver that waits for more than
   it said ends as well.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from types import SimpleNamespace
from typing import Any

import pytest
import strawberry
from hypothesis import given, settings
from hypothesis import strategies as st
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from api.execution import SidelineExecutor
from api.loading import Loader
from api.object_plans import refers_to
from api.schema.scalars import DATETIME, DECIMAL

Colour = Enum("Colour", ["RED", "BLUE"])
strawberry.enum(Colour)  # type: ignore[arg-type]


@dataclass
class Context:
    """Like a request's: its limits and a loader."""

    limits: Any = field(default_factory=lambda: SimpleNamespace(introspection=True))
    asked: list[list[int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.parents: Loader[int, Thing | None] = Loader(self._load)

    async def _load(self, keys: list[int]) -> list[Thing | BaseException | None]:
        self.asked.append(sorted(keys))
        return [
            None if key % 3 == 0 else ValueError(f"no {key}") if key % 7 == 0 else thing(number=key) for key in keys
        ]


Info = strawberry.Info[Context]


@strawberry.interface
class Named:
    name: str
    id: strawberry.ID


@strawberry.type
class Thing(Named):
    number: int
    maybe: int | None
    truth: bool
    share: float | None
    amount: Decimal | None
    day: date | None
    at: datetime
    colour: Colour | None  # type: ignore[valid-type]
    tags: list[str]
    inner: Thing | None = None
    things: list[Thing | None] = strawberry.field(default_factory=list)
    parent_key: strawberry.Private[int | None] = None
    late: strawberry.Private[bool] = False

    @strawberry.field
    def computed(self) -> str:
        return f"computed {self.name}"

    @strawberry.field
    @refers_to(lambda context: context.parents, lambda found: found.parent_key)  # type: ignore[attr-defined]
    async def parent(self, info: Info) -> Thing | None:
        if self.parent_key is None:
            return None
        if self.late:
            await asyncio.sleep(0)
            await asyncio.gather(asyncio.sleep(0), asyncio.sleep(0))
        return await info.context.parents.load(self.parent_key)

    @strawberry.field
    @refers_to(lambda context: context.parents, lambda found: found.parent_key)  # type: ignore[attr-defined]
    async def sure_parent(self, info: Info) -> Thing:
        return await info.context.parents.load(self.parent_key or 0)  # type: ignore[return-value]


@strawberry.type
class Other(Named):
    inner: Thing | None = None


def thing(**changes: Any) -> Thing:
    """A thing that is as it should be, but for some attributes."""
    right: dict[str, Any] = {
        "name": "a",
        "id": strawberry.ID("1"),
        "number": 1,
        "maybe": None,
        "truth": True,
        "share": 0.5,
        "amount": Decimal("1.50"),
        "day": date(2026, 3, 1),
        "at": datetime(2026, 3, 1, 9, tzinfo=UTC),
        "colour": Colour.RED,
        "tags": ["x"],
    }
    return Thing(**(right | changes))


_WRONG = [None, "text", 2**31, -(2**31), 2**40, 1.5, True, Decimal("NaN"), Colour.BLUE, ValueError("held"), object(), 0]
_ATTRIBUTES = ["name", "id", "number", "maybe", "truth", "share", "amount", "day", "at", "colour", "tags"]
_SELECTED = [*_ATTRIBUTES, "computed", "__typename", "again: name", "number @include(if: false)", "... on Named { id }"]


def random_thing(chance: random.Random, depth: int = 0) -> Any:
    """A thing, or something else; mostly right."""
    if depth and chance.random() < 0.08:
        return None
    changes: dict[str, Any] = {}
    for name in _ATTRIBUTES:
        if chance.random() < 0.04:
            changes[name] = chance.choice(_WRONG)
    if depth < 2:
        changes["inner"] = random_thing(chance, depth + 1) if chance.random() < 0.5 else None
        changes["things"] = [random_thing(chance, depth + 1) for _ in range(chance.randrange(4))]
    changes["parent_key"] = chance.choice([None, *range(20)])
    changes["late"] = chance.random() < 0.2
    return thing(**changes)


def random_selection(chance: random.Random, depth: int = 0) -> str:
    """What is asked of a thing."""
    found = chance.sample(_SELECTED, chance.randrange(1, len(_SELECTED)))
    if depth < 2:
        for name in chance.sample(["inner", "things", "parent", "sureParent"], chance.randrange(4)):
            found.append(f"{name} {{ {random_selection(chance, depth + 1)} }}")
    chance.shuffle(found)
    return " ".join(found)


def nulled(data: Any, errors: list[Any]) -> set[tuple[str | int, ...]]:
    """The places that errors made null."""
    found = set()
    for _message, path in errors:
        at, value = 0, data
        while value is not None and at < len(path):
            value, at = value[path[at]], at + 1
        assert value is None, (data, path)
        found.add(tuple(path[:at]))
    return found


async def both(root: Any, document: str) -> tuple[Any, Any, Context]:
    """The answer by the short ways, the ordinary answer, and the context of the first."""

    @strawberry.type
    class Query:
        @strawberry.field
        def thing(self) -> Thing | None:
            return root if isinstance(root, Thing) else None

        @strawberry.field
        async def things(self) -> list[Thing | None]:
            return root  # type: ignore[no-any-return]

        @strawberry.field
        def named(self) -> list[Named]:
            return root  # type: ignore[no-any-return]

    found: list[Any] = []
    contexts: list[Context] = []
    for executor in (SidelineExecutor, StrawberryGraphQLCoreExecutionContext):
        schema = strawberry.Schema(
            Query,
            types=[Thing, Other],
            execution_context_class=executor,
            scalar_overrides={Decimal: DECIMAL, datetime: DATETIME},  # type: ignore[dict-item]
        )
        contexts.append(Context())
        result = await schema.execute(document, context_value=contexts[-1])
        errors = [(error.message, error.path) for error in result.errors or ()]
        found.append((result.data, sorted(errors, key=repr)))
    return found[0], found[1], contexts[0]


@pytest.mark.filterwarnings("ignore:coroutine")
@given(st.integers(0, 2**32))
@settings(max_examples=150, deadline=None)
def test_the_answer_is_the_ordinary_one(seed: int) -> None:
    chance = random.Random(seed)
    ask: Callable[[str], str] = chance.choice(
        [lambda text: f"{{ thing {{ {text} }} }}", lambda text: f"{{ things {{ {text} }} }}"]
    )
    document = ask(random_selection(chance))
    root = random_thing(chance) if "thing {" in document else [random_thing(chance, 1) for _ in range(5)]
    short, ordinary, _context = asyncio.run(both(root, document))
    assert repr(short[0]) == repr(ordinary[0]), document
    assert nulled(*short) == nulled(*ordinary), document


async def test_a_list_is_looked_up_once() -> None:
    root = [thing(parent_key=key, inner=thing(parent_key=key + 1)) for key in (1, 2, 4, 7, 9)]
    short, ordinary, context = await both(root, "{ things { parent { name } inner { parent { number } } } }")
    assert short == ordinary
    assert context.asked == [[1, 2, 3, 4, 5, 7, 8, 9, 10]]
    assert short[1] == [("no 7", ["things", 3, "parent"])]


async def test_objects_of_several_types() -> None:
    inner = thing(parent_key=5)
    root = [thing(parent_key=2), Other(name="o", id=strawberry.ID("2"), inner=inner), thing(parent_key=4)]
    short, ordinary, context = await both(
        root, "{ named { name __typename ... on Thing { parent { name } } ... on Other { inner { parent { id } } } } }"
    )
    assert short == ordinary
    assert context.asked == [[2, 4, 5]]
