"""Notes on moments of live calls.

A note is seen by whoever may see the call, or, if it is private, by its author alone: Admin is no exception. The rep
whose call it is sees notes only as a manager would.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from domain import access
from domain.access import Viewer
from domain.errors import Invalid, NotFound
from domain.live_changes import mark
from domain.models import LiveCallNote
from domain.models.base import new_id
from domain.paging import Page, PageRequest, decode_cursor, encode_cursor, page_of

if TYPE_CHECKING:
    from domain.database import Connection

LONGEST_NOTE = 5_000
MOST_NOTES = 500
"""Notes of one call."""


async def add_note(
    connection: Connection,
    viewer: Viewer,
    call_id: UUID,
    text: str,
    *,
    private: bool,
    at_second: int | None,
    now: datetime,
) -> LiveCallNote:
    """Note something of a call in scope, in the caller's transaction; one that has ended too, as long as it is kept.

    Args:
        connection: In a transaction.
        viewer: Who notes it.
        call_id: The call.
        text: What.
        private: Whether it is the author's alone.
        at_second: The moment; now if None.
        now: The clock.

    Raises:
        Forbidden: the viewer lacks a permission of the studio.
        NotFound: there is no such call in scope.
        Invalid: the text or the moment does not fit, or there are too many.
    """
    access.require_live_calls(viewer)
    sight = await access.see_live_calls(connection, viewer)
    if not text.strip() or len(text) > LONGEST_NOTE or "\0" in text:
        raise Invalid(f"text: 1 to {LONGEST_NOTE} characters.", path=("input", "text"))
    row = await connection.fetchrow(
        "SELECT id, user_id, started_at, ended_at FROM live_calls WHERE team_id = $1 AND id = $2 FOR NO KEY UPDATE",
        viewer.team_id,
        call_id,
    )
    if row is None or row["user_id"] is None or not sight.sees(viewer.team_id, row["user_id"]):
        raise NotFound("No such live call.", path=("input", "callId"))
    longest = max(int(((row["ended_at"] or now) - row["started_at"]).total_seconds()), 0)
    moment = longest if at_second is None else at_second
    if not 0 <= moment <= longest:
        raise Invalid(f"atSecond: from 0 to {longest}, seconds into the call.", path=("input", "atSecond"))
    count = await connection.fetchval(
        "SELECT count(*) FROM live_call_notes WHERE team_id = $1 AND call_id = $2", viewer.team_id, call_id
    )
    if count >= MOST_NOTES:
        raise Invalid(f"A call has at most {MOST_NOTES} notes.", path=("input",))
    added = await connection.fetchrow(
        """
        INSERT INTO live_call_notes (id, team_id, call_id, author_id, at_second, text, private)
        VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING *
        """,
        new_id(),
        viewer.team_id,
        call_id,
        viewer.user_id,
        moment,
        text,
        private,
    )
    if not private:
        await mark(connection, viewer.team_id, [call_id])
    return LiveCallNote._init_from_db(**dict(added))


async def remove_note(connection: Connection, viewer: Viewer, note_id: UUID) -> UUID:
    """Take one's own note back, in the caller's transaction. Returns the call's id.

    Raises:
        NotFound: the viewer has written no such note.
    """
    # The call is locked first, as everybody does.
    await connection.execute(
        "SELECT 1 FROM live_calls WHERE team_id = $1 AND id = (SELECT call_id FROM live_call_notes WHERE team_id = $1 "
        "AND id = $2 AND author_id = $3) FOR NO KEY UPDATE",
        viewer.team_id,
        note_id,
        viewer.user_id,
    )
    row = await connection.fetchrow(
        "DELETE FROM live_call_notes WHERE team_id = $1 AND id = $2 AND author_id = $3 RETURNING call_id, private",
        viewer.team_id,
        note_id,
        viewer.user_id,
    )
    if row is None:
        raise NotFound("You have written no such note.", path=("input", "noteId"))
    if not row["private"]:
        await mark(connection, viewer.team_id, [row["call_id"]])
    call_id: UUID = row["call_id"]
    return call_id


async def list_notes(connection: Connection, viewer: Viewer, call_id: UUID, request: PageRequest) -> Page[LiveCallNote]:
    """The notes of a call that is in the viewer's sight already, in the order of the moments. Served by the index on
    (team_id, call_id, at_second, id)."""
    arguments: list[object] = [viewer.team_id, call_id]
    condition = access.notes_filter(viewer, "n", arguments)
    if request.cursor is not None:
        arguments += decode_cursor("liveCallNotes", request.cursor, (int, UUID))
        sign = "<" if request.backward else ">"
        condition += f" AND (n.at_second, n.id) {sign} (${len(arguments) - 1}, ${len(arguments)})"
    arguments.append(request.limit + 1)
    order = "DESC" if request.backward else "ASC"
    rows = await connection.fetch(
        f"SELECT * FROM live_call_notes n WHERE n.team_id = $1 AND n.call_id = $2 AND {condition} "
        f"ORDER BY n.at_second {order}, n.id {order} LIMIT ${len(arguments)}",
        *arguments,
    )
    found = [LiveCallNote._init_from_db(**dict(row)) for row in rows]
    return page_of(
        request, found, [encode_cursor("liveCallNotes", str(note.at_second), str(note.id)) for note in found]
    )


async def count_notes(connection: Connection, viewer: Viewer, call_id: UUID) -> int:
    """How many notes of a call the viewer may read."""
    arguments: list[object] = [viewer.team_id, call_id]
    condition = access.notes_filter(viewer, "n", arguments)
    return int(
        await connection.fetchval(
            f"SELECT count(*) FROM live_call_notes n WHERE n.team_id = $1 AND n.call_id = $2 AND {condition}",
            *arguments,
        )
    )
