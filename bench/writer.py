"""Writes the fan-out's load, at its rate, in a process of its own: `python -m bench.writer ours|bare FIRST_NUMBER`."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import Any

from redis.asyncio import Redis

from bench.fanout import BARE_STREAM, EVENTS_A_SECOND, LOT, LOTS, TEAM_NAME, TEAMS
from domain import database, goals
from domain.database import ALL_TEAMS, acquire, in_transaction
from domain.goals import SetGoals, Subject
from domain.identity import identify_user
from domain.models.goals import GoalPeriod


async def ours() -> Callable[[int], Awaitable[None]]:
    """Sets goals for ten people of one team after the other."""
    await database.connect(os.environ["SIDELINE_DATABASE_URL"], pool_size=4)
    teams: list[tuple[Any, tuple[Subject, ...]]] = []
    async with acquire(ALL_TEAMS) as connection:
        for number in range(TEAMS):
            rows = await connection.fetch(
                "SELECT u.team_id, u.id FROM users u JOIN teams t ON t.id = u.team_id WHERE t.name = $1 ORDER BY u.id",
                f"{TEAM_NAME} {number}",
            )
            viewer = await identify_user(connection, rows[0]["team_id"], rows[0]["id"])
            teams.append((viewer, tuple(Subject(row["id"], None, ()) for row in rows)))

    async def set_goals(connection: Any, *, viewer: Any, request: SetGoals) -> None:
        await goals.set_goals(connection, viewer, request, datetime.now(UTC))

    async def write(number: int) -> None:
        viewer, subjects = teams[number % TEAMS]
        request = SetGoals("CALLS_LOGGED", GoalPeriod.MONTH, Decimal(number + 1), subjects)
        await in_transaction(ALL_TEAMS, partial(set_goals, viewer=viewer, request=request))

    return write


async def bare() -> Callable[[int], Awaitable[None]]:
    """Adds ten entries of the same size to a stream."""
    redis = Redis.from_url(os.environ["SIDELINE_REDIS_URL"])

    async def write(number: int) -> None:
        async with redis.pipeline(transaction=True) as pipeline:
            for _ in range(LOT):
                event = {"pad": "x" * 170, "at": datetime.now(UTC).isoformat()}
                body = {"id": "1", "type": "next", "payload": {"data": {"goalEvents": event}}}
                text = json.dumps(body, separators=(",", ":"))
                pipeline.xadd(BARE_STREAM, {"team": str(number % TEAMS), "event": text}, maxlen=20_000)
            await pipeline.execute()

    return write


async def main(name: str, first: int) -> None:
    """Write all lots, each at its time."""
    write = await (ours if name == "ours" else bare)()
    began = time.monotonic()
    for number in range(LOTS):
        await asyncio.sleep(max(0.0, began + number * LOT / EVENTS_A_SECOND - time.monotonic()))
        await write(first + number)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
