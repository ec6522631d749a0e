"""Granting accolades after numbers have changed, and at midnight."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from functools import partial
from uuid import UUID

import structlog

from domain import database
from domain.accolade_evaluation import evaluate_accolades, teams_due
from workers.constants import ACCOLADE_SECONDS
from workers.loops import UNREACHABLE

log = structlog.get_logger(__name__)


async def _evaluate(connection: database.Connection, *, team_id: UUID) -> int | None:
    return await evaluate_accolades(connection, team_id, datetime.now(UTC))


class AccoladeGranter:
    """Looks at teams that are due, each at most once in `ACCOLADE_SECONDS`."""

    def __init__(self) -> None:
        self._last: dict[UUID, float] = {}

    async def step(self) -> bool:
        """Look at who is due. Returns False: the next step waits for its time."""
        async with database.acquire(database.ALL_TEAMS) as connection:
            due = await teams_due(connection)
        now = asyncio.get_running_loop().time()
        self._last = {team_id: at for team_id, at in self._last.items() if now - at < ACCOLADE_SECONDS}
        for team_id in due:
            if team_id in self._last:
                continue
            self._last[team_id] = now
            try:
                granted = await database.in_transaction(team_id, partial(_evaluate, team_id=team_id))
            except UNREACHABLE:
                raise
            except Exception:
                # One team's trouble is not the others': it is tried again with a later step.
                log.exception("accolades.evaluation_failed", team=str(team_id))
                continue
            if granted:
                log.info("accolades.granted", team=str(team_id), count=granted)
        return False
