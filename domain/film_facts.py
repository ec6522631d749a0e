"""What numbers take from a film: whether a conversation was reviewed by a manager, and how it was scored.

A film is all that was said of an activity: comments, reviews, scorecards, places in playlists, requests for feedback.
It hangs on a row of `films` that has the activity's id, with counts over what hangs on it. Three of them are facts of
the activity's own row too, since base sums are a function of activities alone (domain/metrics.py):

    reviewed      a manager's review is there
    score_total   points, 0 to 100 each, of the scorecards that others than the rep submitted; those of a calibration
                  from its end on, so that an average gives nobody away while it runs
    score_count   how many those are

Whoever changes a film holds the activity's key from `lock` on and calls `settle` before the commit: row, facts and
rollups change in one transaction, and two changes of one film come one after the other. Closed books are closed for
scores too: of a conversation on a day before the bound the row changes, the rollups do not.

What becomes of a film:

    a correction of the activity     it stays; it follows to another owner, and requests for feedback, which were the
                                     former owner's to make, go
    a deletion at the source         it is out of sight with the activity, its numbers are gone; if the activity comes
                                     back, it is there again. After `AWAY_KEPT` it goes for good (`prune`)
    retention, erasure of the rep    it goes with the activity
    erasure of who wrote             domain/film_erasure.py
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from domain import events, rollups
from domain.books import Books
from domain.errors import NotFound
from domain.models.activities import Activity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from domain.database import Connection

FACTS = {"reviewed": "boolean", "score_total": "numeric(12,4)", "score_count": "integer"}
"""Columns of activities that are the film's."""
AWAY_KEPT = timedelta(days=30)
PRUNE_LOT = 500

# Served by the primary key of films. The keys are locked by the importer.
_FOLLOW = f"""
WITH followed AS (
    UPDATE films f
    SET user_id = coalesce(s.user_id, f.user_id), away_since = CASE WHEN s.deleted THEN now() END
    FROM batch_keys k JOIN batch_stage s USING (external_id)
    WHERE k.changed AND NOT k.fresh AND f.team_id = $1 AND f.id = k.id
        AND (f.user_id <> s.user_id OR (f.away_since IS NULL) = s.deleted)
    RETURNING new.id, old.user_id <> new.user_id AS moved
), told AS (
    UPDATE batch_stage s SET {", ".join(f"{name} = f.{name}" for name in FACTS)}
    FROM batch_keys k JOIN films f ON f.team_id = $1 AND f.id = k.id
    WHERE k.changed AND NOT k.fresh AND s.external_id = k.external_id AND NOT s.deleted
)
SELECT id FROM followed WHERE moved
"""


async def follow(connection: Connection, team_id: UUID) -> None:
    """Let films follow the activities of a batch that is being taken in, and give their facts to the new rows."""
    moved = [row["id"] for row in await connection.fetch(_FOLLOW, team_id)]
    if moved:
        await connection.execute(
            "DELETE FROM feedback_requests WHERE team_id = $1 AND activity_id = ANY ($2::uuid[])", team_id, moved
        )


@dataclass(frozen=True, slots=True)
class LockedFilm:
    """An activity whose film is about to change.

    Args:
        activity: As it stands.
        books: The team's, held until the transaction ends.
    """

    activity: Activity
    books: Books


async def lock(connection: Connection, team_id: UUID, activity_id: UUID, *, path: tuple[str, ...]) -> LockedFilm:
    """Hold an activity for a change of its film, and see to it that it has one, in the caller's transaction.

    Locks come in the importers' order: the team, the key, then rollups.

    Raises:
        NotFound: the team has no such activity.
    """
    team = await connection.fetchrow(
        "SELECT timezone, activities_from, activities_from_at, erasures FROM teams WHERE id = $1 FOR SHARE", team_id
    )
    # An importer that was at it has committed when this goes on: the row is where the key says then.
    # Served by activity_keys_id_key.
    key = await connection.fetchrow(
        "SELECT occurred_at FROM activity_keys WHERE team_id = $1 AND id = $2 FOR NO KEY UPDATE", team_id, activity_id
    )
    row = None
    if key is not None and key["occurred_at"] is not None:
        row = await connection.fetchrow(
            "SELECT * FROM activities WHERE team_id = $1 AND id = $2 AND occurred_at = $3",
            team_id,
            activity_id,
            key["occurred_at"],
        )
    if row is None or team is None:
        raise NotFound("No such activity.", path=path)
    await connection.execute(
        "INSERT INTO films (id, team_id, user_id) VALUES ($1, $2, $3) ON CONFLICT (id) DO NOTHING",
        activity_id,
        team_id,
        row["user_id"],
    )
    return LockedFilm(Activity._init_from_db(**dict(row)), Books.of(team))


# Served by the indexes of each table that begin with (team_id, activity_id).
_COUNT = """
UPDATE films f SET
    comment_count = (
        SELECT count(*) FROM comments c WHERE c.team_id = $1 AND c.activity_id = $2 AND c.deleted_at IS NULL
    ),
    reviewed = EXISTS (SELECT 1 FROM reviews r WHERE r.team_id = $1 AND r.activity_id = $2),
    (scorecard_count, score_total, score_count) = (
        SELECT count(*), coalesce(sum(s.score) FILTER (WHERE s.counts), 0), count(s.score) FILTER (WHERE s.counts)
        FROM (
            SELECT s.score, s.relation <> 'SELF' AND coalesce(c.state, 'CLOSED') = 'CLOSED' AS counts
            FROM scorecards s LEFT JOIN calibrations c ON c.team_id = s.team_id AND c.id = s.calibration_id
            WHERE s.team_id = $1 AND s.activity_id = $2 AND s.state = 'SUBMITTED'
        ) s
    )
WHERE f.team_id = $1 AND f.id = $2
RETURNING f.reviewed, f.score_total, f.score_count
"""

_CREATE_DELTA = "CREATE TEMP TABLE IF NOT EXISTS film_delta (sign integer, LIKE activities) ON COMMIT DELETE ROWS"


async def settle(connection: Connection, team_id: UUID, film: LockedFilm) -> None:
    """Count a film anew, and let the activity's row and the rollups follow; the last change of a transaction but for
    audit entries and events."""
    activity = film.activity
    counts: Any = await connection.fetchrow(_COUNT, team_id, activity.id)
    known = (bool(activity.reviewed), activity.score_total or 0, activity.score_count or 0)
    if known == (counts["reviewed"], counts["score_total"], counts["score_count"]):
        return
    for statement in (rollups.CREATE_BATCH_DAYS, _CREATE_DELTA, "TRUNCATE batch_days, film_delta"):
        await connection.execute(statement)
    where = "WHERE team_id = $1 AND id = $2 AND occurred_at = $3"
    await connection.execute(
        f"INSERT INTO film_delta SELECT -1, a.* FROM activities a {where}", team_id, activity.id, activity.occurred_at
    )
    await connection.execute(
        f"UPDATE activities SET reviewed = $4, score_total = $5, score_count = $6 {where}",
        team_id,
        activity.id,
        activity.occurred_at,
        counts["reviewed"],
        counts["score_total"],
        counts["score_count"],
    )
    await connection.execute(
        f"INSERT INTO film_delta SELECT 1, a.* FROM activities a {where}", team_id, activity.id, activity.occurred_at
    )
    await rollups.add(connection, team_id, film.books, "film_delta")
    await events.mark_changed(connection, team_id)


async def forget(connection: Connection, team_id: UUID, activity_ids: Sequence[UUID]) -> None:
    """Remove films with all that hangs on them; the activities go in the same transaction."""
    await connection.execute("DELETE FROM films WHERE team_id = $1 AND id = ANY ($2::uuid[])", team_id, activity_ids)


async def prune(connection: Connection) -> int:
    """Remove films whose activities were deleted at their source `AWAY_KEPT` ago; one lot, over all teams. Returns how
    many. Served by films_away_idx."""
    rows = await connection.fetch(
        "DELETE FROM films WHERE id IN (SELECT id FROM films WHERE away_since < now() - $1::interval LIMIT $2) "
        "RETURNING 1",
        AWAY_KEPT,
        PRUNE_LOT,
    )
    return len(rows)
