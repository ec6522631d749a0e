"""Evaluating goals after numbers have changed, and at midnight."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from functools import partial
from uuid import UUID

import structlog
from redis.asyncio import Redis

from domain import database, events
from domain.goal_evaluation import evaluate_team, teams_due
from workers.constants import EVALUATION_SECONDS
from workers.loops import UNREACHABLE

log = structlog.get_logger(__name__)


async def _evaluate(connection: database.Connection, *, team_id: UUID) -> bool:
    return await evaluate_team(connection, team_id, datetime.now(UTC))


class Evaluator:
    """Evaluates the goals of teams that are due, each at most once in `EVALUATION_SECONDS`.

    Args:
        redis: Where the API processes are told that a team's numbers may have changed.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._last: dict[UUID, float] = {}

    async def step(self) -> bool:
        """Evaluate who is due. Returns False: the next step waits for its time."""
        async with database.acquire(database.ALL_TEAMS) as connection:
            due = await teams_due(connection)
        now = asyncio.get_running_loop().time()
        self._last = {team_id: at for team_id, at in self._last.items() if now - at < EVALUATION_SECONDS}
        for team_id in due:
            if team_id in self._last:
                continue
            self._last[team_id] = now
            try:
                done = await database.in_transaction(team_id, partial(_evaluate, team_id=team_id))
            except UNREACHABLE:
                raise
            except Exception:
                # One team's trouble is not the others': it is tried again with the next step.
                log.exception("goals.evaluation_failed", team=str(team_id))
                continue
            if done:
                await self._redis.publish(events.NUMBERS_CHANNEL, str(team_id))
        return False
