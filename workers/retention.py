"""Removing what teams do not keep any more."""

from __future__ import annotations

from datetime import datetime

import structlog

from domain import database, retention
from workers.loops import UNREACHABLE

log = structlog.get_logger(__name__)


async def forget_for_teams(now: datetime) -> None:
    """Remove what has done its work, and what each team keeps for a time that has passed.

    One team's trouble is not the others': it is told in the log, and tried again with the next upkeep.
    """
    removed = await retention.forget_leftovers()
    if removed:
        log.info("upkeep.leftovers_removed", rows=removed)
    async with database.acquire(database.ALL_TEAMS) as connection:
        teams = await retention.teams_that_forget(connection)
    for team in teams:
        try:
            removed = await retention.forget(team, now)
        except UNREACHABLE:
            raise
        except Exception:
            log.exception("upkeep.retention_failed", team=str(team.team_id))
            continue
        if removed:
            log.info("upkeep.retention", team=str(team.team_id), rows=removed)
