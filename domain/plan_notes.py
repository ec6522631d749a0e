"""Notes of plans and sessions: shared with the rep, or private to those who coach."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from domain import access_plans, plan_sessions, plans
from domain.access import Viewer
from domain.access_plans import Circle
from domain.errors import Forbidden, Invalid, NotFound
from domain.models import CoachingNote, NoteVisibility
from domain.models.base import new_id
from domain.plans import TEXT_LIMIT, checked_text

if TYPE_CHECKING:
    from domain.database import Connection

MOST_NOTES = 500
"""Of one plan or one session."""


async def add_note(
    connection: Connection,
    viewer: Viewer,
    body: str,
    visibility: NoteVisibility,
    *,
    plan_id: UUID | None = None,
    session_id: UUID | None = None,
) -> CoachingNote:
    """Write something down of a plan or of a session, in the caller's transaction. What a rep writes is shared.

    Raises:
        NotFound: there is no such plan or session for the viewer.
        Forbidden: the viewer does not take part; or is the rep and would keep it from the coach.
        Invalid: the text does not fit, there are too many notes, or not exactly one subject is named.
    """
    if (plan_id is None) == (session_id is None):
        raise Invalid("Name a plan or a session, one of them.", path=("input", "planId"))
    if plan_id is not None:
        circle, what = (await plans.seen_plan(connection, viewer, plan_id)).circle, "plan"
    else:
        assert session_id is not None
        circle, what = (await plan_sessions.own_session(connection, viewer, session_id)).circle, "session"
    access_plans.require_part(viewer, circle, what)
    if not access_plans.may_read_note(viewer, circle, visibility):
        raise Forbidden("A private note is for those who coach; share it.", permission="coach")
    text = checked_text(body, "body", TEXT_LIMIT, needed=True)
    column = "plan_id" if plan_id is not None else "session_id"
    count = await connection.fetchval(
        f"SELECT count(*) FROM coaching_notes WHERE team_id = $1 AND {column} = $2",
        viewer.team_id,
        plan_id or session_id,
    )
    if count >= MOST_NOTES:
        raise Invalid(f"A {what} has at most {MOST_NOTES} notes.", path=("input", "body"))
    row = await connection.fetchrow(
        "INSERT INTO coaching_notes (id, team_id, plan_id, session_id, author_id, visibility, body) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING *",
        new_id(),
        viewer.team_id,
        plan_id,
        session_id,
        viewer.user_id,
        visibility.value,
        text,
    )
    assert row is not None
    return CoachingNote._init_from_db(**dict(row))


async def edit_note(
    connection: Connection, viewer: Viewer, note_id: UUID, body: str | None, visibility: NoteVisibility | None
) -> CoachingNote:
    """Change a note of one's own, in the caller's transaction.

    Raises:
        NotFound: there is no such note for the viewer.
        Forbidden: somebody else wrote it; or the viewer is the rep and would keep it from the coach.
        Invalid: the text does not fit.
    """
    note, circle = await _own(connection, viewer, note_id)
    if visibility is not None and not access_plans.may_read_note(viewer, circle, visibility):
        raise Forbidden("A private note is for those who coach; share it.", permission="coach")
    row = await connection.fetchrow(
        "UPDATE coaching_notes SET body = $3, visibility = $4, edited_at = now() WHERE team_id = $1 AND id = $2 "
        "RETURNING *",
        viewer.team_id,
        note_id,
        note.body if body is None else checked_text(body, "body", TEXT_LIMIT, needed=True),
        (visibility or NoteVisibility(note.visibility)).value,
    )
    assert row is not None
    return CoachingNote._init_from_db(**dict(row))


async def remove_note(connection: Connection, viewer: Viewer, note_id: UUID) -> None:
    """Take back a note of one's own, in the caller's transaction.

    Raises:
        NotFound: there is no such note for the viewer.
        Forbidden: somebody else wrote it.
    """
    await _own(connection, viewer, note_id)
    await connection.execute("DELETE FROM coaching_notes WHERE team_id = $1 AND id = $2", viewer.team_id, note_id)


async def _own(connection: Connection, viewer: Viewer, note_id: UUID) -> tuple[CoachingNote, Circle]:
    missing = NotFound("No such note.", path=("input", "noteId"))
    row = await connection.fetchrow(
        "SELECT * FROM coaching_notes WHERE team_id = $1 AND id = $2 FOR UPDATE", viewer.team_id, note_id
    )
    if row is None:
        raise missing
    note = CoachingNote._init_from_db(**dict(row))
    try:
        if note.plan_id is not None:
            circle = (await plans.seen_plan(connection, viewer, note.plan_id)).circle
        else:
            assert note.session_id is not None
            circle = (await plan_sessions.own_session(connection, viewer, note.session_id)).circle
    except NotFound as error:
        raise missing from error
    if not circle.has(viewer.user_id) or not access_plans.may_read_note(
        viewer, circle, NoteVisibility(note.visibility)
    ):
        raise missing
    if note.author_id != viewer.user_id:
        raise Forbidden("A note is changed by who wrote it.", permission="author")
    return note, circle


async def notes_of(
    connection: Connection, viewer: Viewer, column: str, circles: Sequence[tuple[UUID, Circle]], *, shared: bool
) -> dict[UUID, list[CoachingNote]]:
    """The notes of some plans or sessions that the viewer sees, the oldest first; one statement.

    Args:
        connection: Where.
        viewer: Who reads.
        column: `plan_id` or `session_id`.
        circles: The plans or sessions, with who takes part in them.
        shared: Whether shared notes are for the viewer even where they do not take part.
    """
    readable = {key: circle for key, circle in circles if shared or circle.has(viewer.user_id)}
    rows = await connection.fetch(
        f"SELECT * FROM coaching_notes WHERE team_id = $1 AND {column} = ANY ($2::uuid[]) ORDER BY id",
        viewer.team_id,
        list(readable),
    )
    found: dict[UUID, list[CoachingNote]] = {key: [] for key, _circle in circles}
    for row in rows:
        if access_plans.may_read_note(viewer, readable[row[column]], NoteVisibility(row["visibility"])):
            found[row[column]].append(CoachingNote._init_from_db(**dict(row)))
    return found
