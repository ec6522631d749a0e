"""A question to the API in this process beside one statement over bare asyncpg and orjson, which says the same.

Ours is from the ASGI call to the last byte, with authentication. The floor answers the same JSON, but that ids are
plain ones; both are compared, number by number.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import asyncpg
import orjson
from starlette.applications import Starlette

from api.app import create_app
from bench.measure import Comparison, compare
from domain.metrics import RATIO_STEP
from domain.secrets import make_key
from domain.settings import Settings

ROUNDS = 40


class InProcess:
    """Asks an application without a socket.

    Args:
        app: The API, within its lifespan.
        token: Who asks.
    """

    def __init__(self, app: Starlette, token: str) -> None:
        self._app = app
        self._scope = {
            "type": "http",
            "method": "POST",
            "path": "/graphql",
            "raw_path": b"/graphql",
            "root_path": "",
            "scheme": "http",
            "query_string": b"",
            "http_version": "1.1",
            "server": ("localhost", 80),
            "headers": [
                (b"host", b"localhost"),
                (b"content-type", b"application/json"),
                (b"authorization", f"Bearer {token}".encode()),
            ],
        }

    async def ask(self, body: bytes) -> bytes:
        """The body of the answer."""
        answer, asked = bytearray(), False

        async def receive() -> dict[str, Any]:
            nonlocal asked
            if asked:
                # The client stays: whoever waits for it to leave waits.
                await asyncio.Event().wait()
            asked = True
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            answer.extend(message.get("body", b""))

        await self._app({**self._scope}, receive, send)  # type: ignore[arg-type]
        return bytes(answer)


@dataclass(frozen=True, slots=True)
class Floored:
    """A question with its floor.

    Args:
        name: What it asks.
        document: In GraphQL.
        statement: In SQL.
        shape: From the statement's rows, what the answer's `data` holds.
        variables: The document's.
        arguments: The statement's.
        goal: The largest ratio that will do.
    """

    name: str
    document: str
    statement: str
    shape: Callable[[Sequence[Any]], dict[str, Any]]
    variables: Mapping[str, Any] = field(default_factory=dict)
    arguments: Sequence[Any] = ()
    goal: float | None = 1.5


@asynccontextmanager
async def serving(database_url: str, redis_url: str) -> AsyncIterator[Starlette]:
    """The API in this process."""
    settings = Settings(
        database_url=database_url, redis_url=redis_url, cost_per_minute=10**12, query_cost=10**9, secret_keys=make_key()
    )
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        yield app


async def measure_all(
    app: Starlette, database_url: str, token: str, questions: Sequence[Floored], *, rounds: int = ROUNDS
) -> list[Comparison]:
    """Each question and its floor in turns, after both have said the same."""
    asking = InProcess(app, token)
    bare = await asyncpg.connect(database_url, server_settings={"jit": "off"})
    try:
        return [await _measure(asking, bare, question, rounds) for question in questions]
    finally:
        await bare.close()


async def _measure(asking: InProcess, bare: Any, question: Floored, rounds: int) -> Comparison:
    body = orjson.dumps({"query": question.document, "variables": question.variables})
    answers, floors = [b""], [b""]

    async def ours() -> None:
        answers[0] = await asking.ask(body)

    async def floor() -> None:
        rows = await bare.fetch(question.statement, *question.arguments)
        floors[0] = orjson.dumps(question.shape(rows), default=str)

    found = await compare(question.name, ours, floor, goal=question.goal, rounds=rounds)
    answer = orjson.loads(answers[0])
    if answer.get("errors"):
        raise RuntimeError(f"{question.name}: {answer['errors'][:2]}")
    check_same(answer["data"], orjson.loads(floors[0]), question.name)
    return found


def check_same(ours: Any, floor: Any, place: str) -> None:
    """Both said the same: the same keys and lists, equal words, and numbers that are rounded alike.

    Ids and cursors are ours alone.

    Raises:
        AssertionError: naming the place.
    """
    if isinstance(ours, dict) and isinstance(floor, dict):
        assert ours.keys() == floor.keys(), (place, ours.keys() ^ floor.keys())
        for key, value in ours.items():
            if key not in ("id", "endCursor"):
                check_same(value, floor[key], f"{place}.{key}")
    elif isinstance(ours, list) and isinstance(floor, list):
        assert len(ours) == len(floor), (place, len(ours), len(floor))
        for number, (mine, other) in enumerate(zip(ours, floor, strict=True)):
            check_same(mine, other, f"{place}[{number}]")
    elif ours != floor:
        # Halves: SQL rounds them away from zero, we to even.
        close = ours is not None and floor is not None and abs(_number(ours) - _number(floor)) <= 2 * RATIO_STEP
        assert close, (place, ours, floor)


def _number(value: Any) -> Decimal:
    try:
        return Decimal(str(value))
    except ArithmeticError as error:
        raise AssertionError(f"{value!r} is no number") from error
