"""Reviews: that a manager has looked at a conversation; once for each manager and conversation.

A review is there when a manager marks the conversation, comments on it, or submits a scorecard for it, whichever comes
first. It counts for the rep on the day of the conversation (the metric CONVERSATIONS_REVIEWED), and for the manager on
the day of the review (Manager View). Taking back a mark takes back the review, whatever it came by; a comment that is
deleted leaves it, since the conversation was looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from domain import access_film, film_facts
from domain.access import Viewer
from domain.errors import Invalid
from domain.film import open_film
from domain.film_facts import LockedFilm
from domain.models.activities import Activity, ActivityKind
from domain.models.base import new_id
from domain.models.film import Review, ReviewWay
from domain.models.film_scorecards import Relation
from domain.rows import gathered

if TYPE_CHECKING:
    from domain.database import Connection


async def record_review(
    connection: Connection, viewer: Viewer, film: LockedFilm, relation: Relation, way: ReviewWay
) -> None:
    """Note that a manager has reviewed a conversation; of anything else, and of a peer, nothing is noted."""
    if relation is not Relation.MANAGER or film.activity.kind is not ActivityKind.CONVERSATION:
        return
    await connection.execute(
        "INSERT INTO reviews (id, team_id, activity_id, user_id, reviewer_id, way) VALUES ($1, $2, $3, $4, $5, $6) "
        "ON CONFLICT (team_id, activity_id, reviewer_id) DO NOTHING",
        new_id(),
        viewer.team_id,
        film.activity.id,
        film.activity.user_id,
        viewer.user_id,
        way.value,
    )


async def mark_reviewed(connection: Connection, viewer: Viewer, activity_id: UUID) -> Activity:
    """Mark a conversation as reviewed by the viewer, in the caller's transaction; again changes nothing.

    Raises:
        NotFound: it is not in sight.
        Invalid: it is no conversation.
        Forbidden: the viewer is no manager of the rep's.
    """
    film, _ = await open_film(connection, viewer, activity_id)
    if film.activity.kind is not ActivityKind.CONVERSATION:
        raise Invalid("activityId: conversations are reviewed; name one.", path=("input", "activityId"))
    await access_film.require_manager(connection, viewer, film.activity.user_id)
    await record_review(connection, viewer, film, Relation.MANAGER, ReviewWay.MARKED)
    await film_facts.settle(connection, viewer.team_id, film)
    return film.activity


async def unmark_reviewed(connection: Connection, viewer: Viewer, activity_id: UUID) -> Activity:
    """Take back the viewer's own review, in the caller's transaction; where there is none, nothing changes.

    Raises:
        NotFound: the conversation is not in sight.
    """
    film, _ = await open_film(connection, viewer, activity_id)
    await connection.execute(
        "DELETE FROM reviews WHERE team_id = $1 AND activity_id = $2 AND reviewer_id = $3",
        viewer.team_id,
        activity_id,
        viewer.user_id,
    )
    await film_facts.settle(connection, viewer.team_id, film)
    return film.activity


async def reviews_of(connection: Connection, team_id: UUID, activity_ids: Sequence[UUID]) -> dict[UUID, list[Review]]:
    """The reviews of conversations that are in sight, the oldest first. Served by reviews_reviewer_key."""
    rows = await connection.fetch(
        "SELECT * FROM reviews WHERE team_id = $1 AND activity_id = ANY ($2::uuid[]) ORDER BY id",
        team_id,
        list(activity_ids),
    )
    return gathered(activity_ids, rows, "activity_id", lambda row: Review._init_from_db(**dict(row)))
