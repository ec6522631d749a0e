"""Requests for feedback: a rep asks a manager or a peer what they think of an activity of the rep's own.

    OPEN -> ANSWERED    who was asked says so, with their comment or their submitted scorecard on the activity
         -> DECLINED    who was asked would rather not
         -> WITHDRAWN   the rep takes it back

While a request is open, who is asked may see the activity, if they might not anyway: the rep opens that door, and it
closes with the request (domain/access_film.py). It opens to this one activity and to what is said of it; to no number,
no list and no body of an email. Asking stands in the audit log, since it shows what was hidden.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING
from uuid import UUID

from domain import access_film, audit
from domain.access import Viewer
from domain.audit import AuditAction, NewEntry
from domain.errors import Conflict, Invalid, ItemError, NotFound, Refused
from domain.film import check_optional_text, open_film
from domain.models.base import new_id
from domain.models.film_sharing import FeedbackRequest, FeedbackState
from domain.paging import Page, PageRequest, decode_cursor, encode_cursor, page_of

if TYPE_CHECKING:
    from domain.database import Connection

ASKED_LIMIT = 10
OPEN_LIMIT = 100
"""Open requests of one rep."""


@dataclass(frozen=True, slots=True)
class NewRequest:
    """What a rep asks.

    Args:
        activity_id: About what.
        asked_ids: Whom.
        message: What for.
        due_on: Until when.
    """

    activity_id: UUID
    asked_ids: tuple[UUID, ...]
    message: str | None = None
    due_on: date | None = None


async def ask(connection: Connection, viewer: Viewer, given: NewRequest, *, today: date) -> list[FeedbackRequest]:
    """Ask some colleagues, all or none, in the caller's transaction; one who is asked already stays so, once.

    Raises:
        NotFound: the activity is not the viewer's own. Nobody shows what is somebody else's.
        Invalid: nobody is asked or too many, the day is past, or the message cannot be.
        Refused: somebody cannot be asked; an error for each.
        Conflict: the viewer has as many open requests as one can have.
    """
    film, _ = await open_film(connection, viewer, given.activity_id)
    if film.activity.user_id != viewer.user_id:
        raise NotFound("No such activity of your own.", path=("input", "activityId"))
    asked = list(dict.fromkeys(given.asked_ids))
    if not 1 <= len(asked) <= ASKED_LIMIT:
        raise Invalid(f"askedIds: ask 1 to {ASKED_LIMIT} colleagues.", path=("input", "askedIds"))
    message = check_optional_text(given.message, "message")
    if given.due_on is not None and given.due_on < today:
        raise Invalid("dueOn: this day is past.", path=("input", "dueOn"))
    allowed = await access_film.askable(connection, viewer, asked)
    unknown = [number for number, one in enumerate(asked) if one not in allowed]
    if unknown:
        raise Refused(
            [
                ItemError("NOT_FOUND", "askedIds: no such colleague to ask.", ("input", "askedIds", str(number)))
                for number in unknown
            ]
        )
    # The user's row keeps two askings of one rep from counting at the same time.
    await connection.execute(
        "SELECT 1 FROM users WHERE team_id = $1 AND id = $2 FOR NO KEY UPDATE", viewer.team_id, viewer.user_id
    )
    count = await connection.fetchval(
        "SELECT count(*) FROM feedback_requests WHERE team_id = $1 AND user_id = $2 AND state = 'OPEN'",
        viewer.team_id,
        viewer.user_id,
    )
    if count + len(asked) > OPEN_LIMIT:
        raise Conflict(f"You have {count} open requests, and may have {OPEN_LIMIT}; withdraw some first.")
    rows = await connection.fetch(
        """
        INSERT INTO feedback_requests AS f (id, team_id, activity_id, user_id, asked_id, message, due_on)
        SELECT w.id, $1, $2, $3, w.asked_id, $4, $5 FROM unnest($6::uuid[], $7::uuid[]) w (id, asked_id)
        ON CONFLICT (team_id, asked_id, activity_id) WHERE state = 'OPEN'
        DO UPDATE SET message = EXCLUDED.message, due_on = EXCLUDED.due_on
        RETURNING f.*, old.id IS NULL AS fresh
        """,
        viewer.team_id,
        given.activity_id,
        viewer.user_id,
        message,
        given.due_on,
        [new_id() for _ in asked],
        asked,
    )
    entries = [
        NewEntry(
            AuditAction.FEEDBACK_REQUESTED,
            ("FeedbackRequest", row["id"]),
            None,
            {"activity": given.activity_id, "user_id": row["asked_id"]},
        )
        for row in rows
        if row["fresh"]
    ]
    await audit.record(connection, viewer, entries)
    columns = FeedbackRequest._meta.db_fields
    return [FeedbackRequest._init_from_db(**{k: v for k, v in dict(row).items() if k in columns}) for row in rows]


@dataclass(frozen=True, slots=True)
class Reply:
    """How a request ends.

    Args:
        state: In which state.
        reason: Why it is declined.
        comment_id: The comment that answers it.
        scorecard_id: The scorecard that answers it.
    """

    state: FeedbackState
    reason: str | None = None
    comment_id: UUID | None = None
    scorecard_id: UUID | None = None


async def end_request(
    connection: Connection, viewer: Viewer, request_id: UUID, reply: Reply, *, now: datetime
) -> FeedbackRequest:
    """Answer, decline or withdraw a request, in the caller's transaction.

    Raises:
        NotFound: it is not the viewer's to end so, or the answer is not theirs, or not of this activity.
        Conflict: it has ended.
        Invalid: not exactly one answer is named, or the reason cannot be.
    """
    path = ("input", "requestId")
    row = await connection.fetchrow(
        "SELECT * FROM feedback_requests WHERE team_id = $1 AND id = $2 FOR UPDATE", viewer.team_id, request_id
    )
    theirs = None if row is None else row["user_id" if reply.state is FeedbackState.WITHDRAWN else "asked_id"]
    if row is None or theirs != viewer.user_id:
        raise NotFound("No such request.", path=path)
    if row["state"] != FeedbackState.OPEN.value:
        raise Conflict(f"The request has ended: it is {row['state'].lower()}.", path=path)
    if reply.state is FeedbackState.ANSWERED:
        await _check_answer(connection, viewer, row["activity_id"], reply)
    ended = await connection.fetchrow(
        "UPDATE feedback_requests SET state = $3, reason = $4, comment_id = $5, scorecard_id = $6, closed_at = $7 "
        "WHERE team_id = $1 AND id = $2 RETURNING *",
        viewer.team_id,
        request_id,
        reply.state.value,
        check_optional_text(reply.reason, "reason"),
        reply.comment_id,
        reply.scorecard_id,
        now,
    )
    assert ended is not None, "it is held"
    return FeedbackRequest._init_from_db(**dict(ended))


async def _check_answer(connection: Connection, viewer: Viewer, activity_id: UUID, reply: Reply) -> None:
    if (reply.comment_id is None) == (reply.scorecard_id is None):
        raise Invalid("Answer by a comment or a scorecard: name one of them.", path=("input", "commentId"))
    if reply.comment_id is not None:
        found = await connection.fetchval(
            "SELECT 1 FROM comments WHERE team_id = $1 AND id = $2 AND activity_id = $3 AND author_id = $4 "
            "AND deleted_at IS NULL",
            viewer.team_id,
            reply.comment_id,
            activity_id,
            viewer.user_id,
        )
        name = "commentId"
    else:
        found = await connection.fetchval(
            "SELECT 1 FROM scorecards WHERE team_id = $1 AND id = $2 AND activity_id = $3 AND scorer_id = $4 "
            "AND state = 'SUBMITTED'",
            viewer.team_id,
            reply.scorecard_id,
            activity_id,
            viewer.user_id,
        )
        name = "scorecardId"
    if not found:
        raise NotFound(f"{name}: no such answer of yours on this activity.", path=("input", name))


@dataclass(frozen=True, slots=True)
class RequestFilter:
    """Which requests.

    Args:
        received: Those that ask the viewer, or those by the viewer; None for both.
        states: In these states.
    """

    received: bool | None = None
    states: tuple[FeedbackState, ...] | None = None


def _condition(viewer: Viewer, wanted: RequestFilter, arguments: list[object]) -> str:
    arguments += [viewer.team_id, viewer.user_id]
    n = len(arguments)
    mine = {True: f"f.asked_id = ${n}", False: f"f.user_id = ${n}", None: f"${n} IN (f.asked_id, f.user_id)"}
    condition = f"f.team_id = ${n - 1} AND {mine[wanted.received]} AND w.away_since IS NULL"
    if wanted.states is not None:
        arguments.append([state.value for state in wanted.states])
        condition += f" AND f.state = ANY (${len(arguments)}::text[])"
    return f"""
        FROM feedback_requests f JOIN films w ON w.team_id = f.team_id AND w.id = f.activity_id WHERE {condition}"""


async def list_requests(
    connection: Connection, viewer: Viewer, wanted: RequestFilter, request: PageRequest
) -> Page[FeedbackRequest]:
    """A page of the requests by the viewer and to the viewer, the newest first.

    Served by feedback_requests_asked_idx and feedback_requests_user_idx.
    """
    arguments: list[object] = []
    condition = _condition(viewer, wanted, arguments)
    if request.cursor is not None:
        arguments += decode_cursor("feedback", request.cursor, (UUID,))
        condition += f" AND f.id {'>' if request.backward else '<'} ${len(arguments)}::uuid"
    arguments.append(request.limit + 1)
    rows = await connection.fetch(
        f"SELECT f.* {condition} ORDER BY f.id {'ASC' if request.backward else 'DESC'} LIMIT ${len(arguments)}",
        *arguments,
    )
    found = [FeedbackRequest._init_from_db(**dict(row)) for row in rows]
    return page_of(request, found, [encode_cursor("feedback", str(one.id)) for one in found])


async def count_requests(connection: Connection, viewer: Viewer, wanted: RequestFilter) -> int:
    """How many there are."""
    arguments: list[object] = []
    condition = _condition(viewer, wanted, arguments)
    return int(await connection.fetchval(f"SELECT count(*) {condition}", *arguments))


async def requests_by_id(connection: Connection, viewer: Viewer, ids: Sequence[UUID]) -> dict[UUID, FeedbackRequest]:
    """Those of some requests that are the viewer's to know of. Served by the primary key."""
    arguments: list[object] = [list(ids)]
    condition = _condition(viewer, RequestFilter(), arguments)
    rows = await connection.fetch(f"SELECT f.* {condition} AND f.id = ANY ($1::uuid[])", *arguments)
    found = [FeedbackRequest._init_from_db(**dict(row)) for row in rows]
    return {one.id: one for one in found if access_film.may_see_request(viewer, one.user_id, one.asked_id)}
