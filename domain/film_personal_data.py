"""What the film holds of a person, as records of an export (domain/personal_data.py).

comment         id, activity, author, answers, atSeconds, body, createdAt, editedAt, earlierVersions [{version,
                body, atSeconds, writtenAt}]: the person's own with all they said, and others' on the person's film
                as they stand
mention         comment, createdAt, readAt: that somebody called the person
review          activity, reviewer, way, createdAt: by the person, and of the person's conversations
scorecard       id, activity, template, version, scorer, relation, state, score, answers, note, createdAt,
                submittedAt: by the person, and submitted ones of the person's film. Drafts are in the person's own
                export alone; others' cards of calibrations that are open are nobody's yet
feedbackRequest id, activity, from, to, message, dueOn, state, reason, createdAt, closedAt: by the person and to the
                person
playlist        id, name, description, audience, createdAt, items [{activity, startsSeconds, endsSeconds, note}]: the
                person's own; private ones in the person's own export alone
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import UUID

import orjson

from domain.ids import encode_id

PAGE_ROWS = 500

Fetch = Callable[..., Awaitable[list[Any]]]
"""Rows of a statement whose first parameters are the team and the person."""
_ACTIVITY_TYPES = {
    "email": "EmailActivity",
    "call": "CallActivity",
    "meeting": "MeetingActivity",
    "conversation": "ConversationActivity",
    "cadence_step": "CadenceStepActivity",
    "opportunity": "OpportunityActivity",
    "task": "TaskActivity",
}
# The kind of an activity, by its id. Served by activity_keys_id_key and the primary key of activities.
_KIND = """(SELECT a.kind FROM activity_keys k JOIN activities a ON a.id = k.id AND a.occurred_at = k.occurred_at
    WHERE k.id = x.activity_id) AS kind"""


def _activity(row: Any) -> str | None:
    return None if row["kind"] is None else encode_id(_ACTIVITY_TYPES[row["kind"]], row["activity_id"])


def _user(row_id: UUID) -> str:
    return encode_id("User", row_id)


async def _pages(fetch: Fetch, statement: str, *arguments: object) -> AsyncIterator[Any]:
    """All rows of a statement whose third parameter is the id to go on after, and whose fourth is a limit."""
    place = UUID(int=0)
    while rows := await fetch(statement, place, PAGE_ROWS, *arguments):
        for row in rows:
            yield row
        place = rows[-1]["id"]


async def film_records(fetch: Fetch, *, own: bool) -> AsyncIterator[dict[str, Any]]:
    """The records.

    Args:
        fetch: Reads rows of the team, about the person.
        own: Whether the export is the person's own.
    """
    for section in (_comments, _mentions, _reviews, _scorecards, _requests, _playlists):
        async for record in section(fetch, own):
            yield record


async def _comments(fetch: Fetch, _own: bool) -> AsyncIterator[dict[str, Any]]:
    """Served by comments_author_idx and comments_user_idx."""
    async for row in _pages(
        fetch,
        f"""
        SELECT x.*, {_KIND}, CASE WHEN x.author_id = $2 THEN (
            SELECT json_agg(json_build_object('version', v.version, 'body', v.body, 'atSeconds', v.at_seconds,
                'writtenAt', v.written_at) ORDER BY v.version)
            FROM comment_versions v WHERE v.team_id = $1 AND v.comment_id = x.id) END AS versions
        FROM comments x WHERE x.team_id = $1 AND (x.author_id = $2 OR x.user_id = $2) AND x.deleted_at IS NULL
            AND x.id > $3 ORDER BY x.id LIMIT $4
        """,
    ):
        yield {
            "record": "comment",
            "id": encode_id("Comment", row["id"]),
            "activity": _activity(row),
            "author": _user(row["author_id"]),
            "answers": None if row["parent_id"] is None else encode_id("Comment", row["parent_id"]),
            "atSeconds": row["at_seconds"],
            "body": row["body"],
            "createdAt": row["created_at"],
            "editedAt": row["edited_at"],
            "earlierVersions": [] if row["versions"] is None else orjson.loads(row["versions"]),
        }


async def _mentions(fetch: Fetch, _own: bool) -> AsyncIterator[dict[str, Any]]:
    """Served by mentions_user_idx."""
    async for row in _pages(
        fetch, "SELECT * FROM mentions WHERE team_id = $1 AND user_id = $2 AND id > $3 ORDER BY id LIMIT $4"
    ):
        yield {
            "record": "mention",
            "comment": encode_id("Comment", row["comment_id"]),
            "createdAt": row["created_at"],
            "readAt": row["read_at"],
        }


async def _reviews(fetch: Fetch, _own: bool) -> AsyncIterator[dict[str, Any]]:
    """Served by reviews_reviewer_idx and reviews_user_idx."""
    async for row in _pages(
        fetch,
        f"SELECT x.*, {_KIND} FROM reviews x WHERE x.team_id = $1 AND (x.reviewer_id = $2 OR x.user_id = $2) "
        "AND x.id > $3 ORDER BY x.id LIMIT $4",
    ):
        yield {
            "record": "review",
            "activity": _activity(row),
            "reviewer": _user(row["reviewer_id"]),
            "way": row["way"],
            "createdAt": row["created_at"],
        }


async def _scorecards(fetch: Fetch, own: bool) -> AsyncIterator[dict[str, Any]]:
    """Served by scorecards_scorer_idx and scorecards_user_idx."""
    async for row in _pages(
        fetch,
        f"""
        SELECT x.*, {_KIND}, t.name AS template FROM scorecards x
        JOIN scorecard_templates t ON t.team_id = $1 AND t.id = x.template_id
        LEFT JOIN calibrations c ON c.team_id = $1 AND c.id = x.calibration_id
        WHERE x.team_id = $1 AND x.id > $3 AND (x.scorer_id = $2 AND (x.state = 'SUBMITTED' AND
            coalesce(c.state, 'CLOSED') = 'CLOSED' OR $5)
            OR x.user_id = $2 AND x.state = 'SUBMITTED' AND coalesce(c.state, 'CLOSED') = 'CLOSED')
        ORDER BY x.id LIMIT $4
        """,
        own,
    ):
        yield {
            "record": "scorecard",
            "id": encode_id("Scorecard", row["id"]),
            "activity": _activity(row),
            "template": row["template"],
            "version": row["version"],
            "scorer": _user(row["scorer_id"]),
            "relation": row["relation"],
            "state": row["state"],
            "score": row["score"],
            "answers": orjson.loads(row["answers"]),
            "note": row["note"],
            "createdAt": row["created_at"],
            "submittedAt": row["submitted_at"],
        }


async def _requests(fetch: Fetch, _own: bool) -> AsyncIterator[dict[str, Any]]:
    """Served by feedback_requests_user_idx and feedback_requests_asked_idx."""
    async for row in _pages(
        fetch,
        f"SELECT x.*, {_KIND} FROM feedback_requests x WHERE x.team_id = $1 AND (x.user_id = $2 OR x.asked_id = $2) "
        "AND x.id > $3 ORDER BY x.id LIMIT $4",
    ):
        yield {
            "record": "feedbackRequest",
            "id": encode_id("FeedbackRequest", row["id"]),
            "activity": _activity(row),
            "from": _user(row["user_id"]),
            "to": _user(row["asked_id"]),
            "message": row["message"],
            "dueOn": row["due_on"],
            "state": row["state"],
            "reason": row["reason"],
            "createdAt": row["created_at"],
            "closedAt": row["closed_at"],
        }


async def _playlists(fetch: Fetch, own: bool) -> AsyncIterator[dict[str, Any]]:
    """Served by playlists_owner_idx and playlist_items_position_idx."""
    async for row in _pages(
        fetch,
        "SELECT * FROM playlists WHERE team_id = $1 AND owner_id = $2 AND id > $3 AND ($5 OR audience <> 'PRIVATE') "
        "ORDER BY id LIMIT $4",
        own,
    ):
        items = await fetch(
            f"SELECT x.*, {_KIND} FROM playlist_items x WHERE x.team_id = $1 AND $2::uuid IS NOT NULL "
            "AND x.playlist_id = $3 ORDER BY x.position, x.id",
            row["id"],
        )
        yield {
            "record": "playlist",
            "id": encode_id("Playlist", row["id"]),
            "name": row["name"],
            "description": row["description"],
            "audience": row["audience"],
            "createdAt": row["created_at"],
            "items": [
                {
                    "activity": _activity(item),
                    "startsSeconds": item["starts_seconds"],
                    "endsSeconds": item["ends_seconds"],
                    "note": item["note"],
                }
                for item in items
            ],
        }
