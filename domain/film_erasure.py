"""What goes of the film when a person is erased.

Of the person's own film all goes, with the activities: what others said of it, how they scored it, where it was shown.
Of what the person did for others goes what the person wrote, and what calls or asks the person:

    comments         their text and earlier versions; a tombstone keeps the place among the answers
    scorecards       drafts altogether; of submitted ones remarks, notes and answers in words. Steps, yes and no, and
                     the score stay: they are the rep's numbers
    mentions         of the person
    requests         open ones to the person end as declined; what the person wrote to decline goes
    playlists        the person's own
    calibrations     the person is no scorer any more where no card of theirs has come

Reviews are a date and an id, and stay.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

if TYPE_CHECKING:
    from domain.database import Connection

LOT = 500

# Each does one lot; what is done is not found again. Served by the indexes of each table that begin with the team and
# the person.
_STATEMENTS = (
    "DELETE FROM films WHERE id IN (SELECT id FROM films WHERE team_id = $1 AND user_id = $2 LIMIT $3)",
    """
    WITH lot AS (
        SELECT id, activity_id FROM comments WHERE team_id = $1 AND author_id = $2 AND deleted_at IS NULL LIMIT $3
    ), versions AS (
        DELETE FROM comment_versions v USING lot WHERE v.team_id = $1 AND v.comment_id = lot.id
    ), calls AS (
        DELETE FROM mentions m USING lot WHERE m.team_id = $1 AND m.comment_id = lot.id
    ), counts AS (
        UPDATE films f SET comment_count = f.comment_count - c.count
        FROM (SELECT activity_id, count(*) AS count FROM lot GROUP BY activity_id) c
        WHERE f.team_id = $1 AND f.id = c.activity_id
    )
    UPDATE comments c SET body = NULL, at_seconds = NULL, deleted_at = now() FROM lot
    WHERE c.team_id = $1 AND c.id = lot.id
    """,
    """
    DELETE FROM scorecards WHERE id IN (
        SELECT id FROM scorecards WHERE team_id = $1 AND scorer_id = $2 AND state = 'DRAFT' LIMIT $3)
    """,
    """
    UPDATE scorecards s SET note = NULL, answers = (
        SELECT coalesce(jsonb_object_agg(a.key, jsonb_build_object('value', a.value -> 'value')), '{}')
        FROM jsonb_each(s.answers) a WHERE jsonb_typeof(a.value -> 'value') IN ('number', 'boolean')
    )
    WHERE s.id IN (
        SELECT w.id FROM scorecards w WHERE w.team_id = $1 AND w.scorer_id = $2 AND (w.note IS NOT NULL OR EXISTS (
            SELECT 1 FROM jsonb_each(w.answers) a
            WHERE a.value ? 'remark' OR jsonb_typeof(a.value -> 'value') = 'string'))
        LIMIT $3)
    """,
    "DELETE FROM mentions WHERE id IN (SELECT id FROM mentions WHERE team_id = $1 AND user_id = $2 LIMIT $3)",
    """
    UPDATE feedback_requests SET reason = NULL, closed_at = coalesce(closed_at, now()),
        state = CASE state WHEN 'OPEN' THEN 'DECLINED' ELSE state END
    WHERE id IN (
        SELECT id FROM feedback_requests
        WHERE team_id = $1 AND asked_id = $2 AND (state = 'OPEN' OR reason IS NOT NULL) LIMIT $3)
    """,
    "DELETE FROM playlists WHERE id IN (SELECT id FROM playlists WHERE team_id = $1 AND owner_id = $2 LIMIT $3)",
    """
    DELETE FROM calibration_scorers WHERE id IN (
        SELECT w.id FROM calibration_scorers w WHERE w.team_id = $1 AND w.scorer_id = $2 AND NOT EXISTS (
            SELECT 1 FROM scorecards s
            WHERE s.team_id = $1 AND s.calibration_id = w.calibration_id AND s.scorer_id = $2)
        LIMIT $3)
    """,
)


async def erase_film(connection: Connection, team_id: UUID, user_id: UUID) -> int:
    """Remove one lot of what there is, in the caller's transaction. Returns how many rows: call it again until there
    are none."""
    # Holds off whoever changes a film: domain/film_facts.py.
    await connection.execute("SELECT 1 FROM teams WHERE id = $1 FOR NO KEY UPDATE", team_id)
    count = 0
    for statement in _STATEMENTS:
        status = await connection.execute(statement, team_id, user_id, LOT)
        count += int(status.rpartition(" ")[2])
    return count
