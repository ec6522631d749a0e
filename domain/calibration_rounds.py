"""How a calibration ends: with the last of its scorers' cards, or by hand."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

if TYPE_CHECKING:
    from domain.access import Viewer
    from domain.database import Connection


async def open_round_of(
    connection: Connection, viewer: Viewer, activity_id: UUID, template_id: UUID
) -> tuple[UUID, int] | None:
    """The open round of an activity and a template to which the viewer is called, with the version that it fills.

    Served by calibrations_open_key and calibration_scorers_scorer_key.
    """
    row = await connection.fetchrow(
        """
        SELECT c.id, c.version FROM calibrations c
        WHERE c.team_id = $1 AND c.activity_id = $2 AND c.template_id = $3 AND c.state = 'OPEN' AND EXISTS (
            SELECT 1 FROM calibration_scorers w
            WHERE w.team_id = $1 AND w.calibration_id = c.id AND w.scorer_id = $4)
        """,
        viewer.team_id,
        activity_id,
        template_id,
        viewer.user_id,
    )
    return None if row is None else (row["id"], row["version"])


async def close_if_complete(connection: Connection, team_id: UUID, calibration_id: UUID, *, now: datetime) -> bool:
    """Close an open round when all of its scorers have submitted, in the caller's transaction, which holds the film.

    Served by scorecards_calibration_idx and calibration_scorers_scorer_key.
    """
    status = await connection.execute(
        """
        UPDATE calibrations c SET state = 'CLOSED', closed_at = $3
        WHERE c.team_id = $1 AND c.id = $2 AND c.state = 'OPEN' AND NOT EXISTS (
            SELECT 1 FROM calibration_scorers w WHERE w.team_id = $1 AND w.calibration_id = $2 AND NOT EXISTS (
                SELECT 1 FROM scorecards s WHERE s.team_id = $1 AND s.calibration_id = $2
                    AND s.scorer_id = w.scorer_id AND s.state = 'SUBMITTED'))
        """,
        team_id,
        calibration_id,
        now,
    )
    return bool(status == "UPDATE 1")


async def close(connection: Connection, team_id: UUID, calibration_id: UUID, *, now: datetime) -> None:
    """Close an open round by hand: cards that are still drafts leave it, and go on as cards of their own."""
    await connection.execute(
        "UPDATE scorecards SET calibration_id = NULL WHERE team_id = $1 AND calibration_id = $2 AND state = 'DRAFT'",
        team_id,
        calibration_id,
    )
    await connection.execute(
        "UPDATE calibrations SET state = 'CLOSED', closed_at = $3 WHERE team_id = $1 AND id = $2 AND state = 'OPEN'",
        team_id,
        calibration_id,
        now,
    )
