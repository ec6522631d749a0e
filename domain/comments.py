"""Comments on an activity, perhaps on one moment of it, with mentions and answers.

Who sees the activity sees its comments. An author edits their own, and what it said before is kept with it; an author
deletes their own, Admin anybody's (in the audit log). A deleted comment is a tombstone: it keeps its place among the
answers, nothing of its text or of its versions is left.

A mention calls a colleague who may see the activity; anybody else is refused by name, since a call that leads to
nothing is no call. A mention is unread until its receiver says otherwise, and out of sight with the activity.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from typing import TYPE_CHECKING, Any
from uuid import UUID

from domain import access_film, audit, film_facts, reviews
from domain.access import Viewer
from domain.access_film import FilmSight
from domain.audit import AuditAction, NewEntry
from domain.errors import Conflict, Forbidden, Invalid, ItemError, NotFound, Refused
from domain.film import check_moment, check_text, open_film
from domain.film_facts import LockedFilm
from domain.models.base import new_id
from domain.models.film import Comment, CommentVersion, Mention, ReviewWay
from domain.paging import Page, PageRequest, decode_cursor, encode_cursor, page_of
from domain.rows import gathered

if TYPE_CHECKING:
    from domain.database import Connection

MENTIONS_LIMIT = 20
ANSWERS_LIMIT = 200
"""Answers to one comment."""


@dataclass(frozen=True, slots=True)
class NewComment:
    """What somebody says.

    Args:
        activity_id: Of what.
        body: The text.
        at_seconds: Of which moment.
        parent_id: In answer to which comment; to an answer, in answer to what that one answers.
        mention_ids: Whom it calls.
    """

    activity_id: UUID
    body: str
    at_seconds: int | None = None
    parent_id: UUID | None = None
    mention_ids: tuple[UUID, ...] = ()


async def add_comment(connection: Connection, viewer: Viewer, given: NewComment) -> Comment:
    """Say something of an activity, in the caller's transaction. A manager's is a review of a conversation.

    Raises:
        NotFound: the activity or the comment that is answered is not in sight.
        Invalid: the text or the moment cannot be.
        Refused: somebody who is mentioned may not see the activity, or is nobody; an error for each.
        Conflict: a comment has as many answers as it can have.
    """
    film, sight = await open_film(connection, viewer, given.activity_id)
    body = check_text(given.body, "body")
    check_moment(film.activity, given.at_seconds, "atSeconds")
    parent_id = await _thread(connection, viewer, given)
    mentioned = await _check_mentions(connection, viewer, film, sight, given.mention_ids)
    row = await connection.fetchrow(
        "INSERT INTO comments (id, team_id, activity_id, user_id, author_id, parent_id, body, at_seconds) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING *",
        new_id(),
        viewer.team_id,
        given.activity_id,
        film.activity.user_id,
        viewer.user_id,
        parent_id,
        body,
        given.at_seconds,
    )
    assert row is not None, "it was made just now"
    await _mention(connection, viewer.team_id, row["id"], mentioned)
    relation = await access_film.relation_to(connection, viewer, film.activity.user_id)
    await reviews.record_review(connection, viewer, film, relation, ReviewWay.COMMENT)
    await film_facts.settle(connection, viewer.team_id, film)
    return Comment._init_from_db(**dict(row))


async def _thread(connection: Connection, viewer: Viewer, given: NewComment) -> UUID | None:
    """The first comment of the thread that an answer belongs to."""
    if given.parent_id is None:
        return None
    path = ("input", "answersId")
    row = await connection.fetchrow(
        "SELECT coalesce(parent_id, id) AS thread, deleted_at FROM comments "
        "WHERE team_id = $1 AND activity_id = $2 AND id = $3",
        viewer.team_id,
        given.activity_id,
        given.parent_id,
    )
    if row is None or row["deleted_at"] is not None:
        raise NotFound("No such comment on this activity.", path=path)
    # Served by comments_parent_idx; the film's lock keeps others from counting at the same time.
    count = await connection.fetchval(
        "SELECT count(*) FROM comments WHERE team_id = $1 AND parent_id = $2", viewer.team_id, row["thread"]
    )
    if count >= ANSWERS_LIMIT:
        raise Conflict(f"answersId: it has {ANSWERS_LIMIT} answers; begin a new comment.", path=path)
    thread: UUID = row["thread"]
    return thread


async def _check_mentions(
    connection: Connection, viewer: Viewer, film: LockedFilm, sight: FilmSight, ids: Iterable[UUID]
) -> list[UUID]:
    wanted = list(dict.fromkeys(ids))
    if len(wanted) > MENTIONS_LIMIT:
        raise Invalid(f"mentionIds: call at most {MENTIONS_LIMIT} people.", path=("input", "mentionIds"))
    allowed = await access_film.who_may_see(connection, viewer.team_id, film.activity.id, film.activity.user_id, wanted)
    missing = [one for one in wanted if one not in allowed]
    if missing:
        names = await access_film.known_by_name(connection, viewer, sight.users, missing)
        raise Refused([_not_seeing(wanted.index(one), names.get(one)) for one in missing])
    return wanted


def _not_seeing(number: int, name: str | None) -> ItemError:
    path = ("input", "mentionIds", str(number))
    if name is None:
        return ItemError("NOT_FOUND", "mentionIds: no such user.", path)
    return ItemError("MENTIONED_MAY_NOT_SEE", f"{name} may not see this activity, and cannot be mentioned on it.", path)


async def _mention(connection: Connection, team_id: UUID, comment_id: UUID, ids: Sequence[UUID]) -> None:
    """Call some people, and nobody else; who was called before stays called, read or not."""
    await connection.execute(
        "DELETE FROM mentions WHERE team_id = $1 AND comment_id = $2 AND user_id <> ALL ($3::uuid[])",
        team_id,
        comment_id,
        ids,
    )
    await connection.execute(
        """
        INSERT INTO mentions (id, team_id, comment_id, user_id)
        SELECT m.id, $1, $2, m.user_id FROM unnest($3::uuid[], $4::uuid[]) m (id, user_id)
        ON CONFLICT (team_id, comment_id, user_id) DO NOTHING
        """,
        team_id,
        comment_id,
        [new_id() for _ in ids],
        ids,
    )


async def _held(connection: Connection, viewer: Viewer, comment_id: UUID) -> tuple[Comment, LockedFilm, FilmSight]:
    """A comment that stands, with its film held.

    Raises:
        NotFound: it is not in sight, or deleted.
    """
    path = ("input", "commentId")
    activity_id = await connection.fetchval(
        "SELECT activity_id FROM comments WHERE team_id = $1 AND id = $2", viewer.team_id, comment_id
    )
    if activity_id is None:
        raise NotFound("No such comment.", path=path)
    try:
        film, sight = await open_film(connection, viewer, activity_id)
    except NotFound as error:
        raise NotFound("No such comment.", path=path) from error
    row = await connection.fetchrow(
        "SELECT * FROM comments WHERE team_id = $1 AND id = $2 AND deleted_at IS NULL", viewer.team_id, comment_id
    )
    if row is None:
        raise NotFound("No such comment.", path=path)
    return Comment._init_from_db(**dict(row)), film, sight


@dataclass(frozen=True, slots=True)
class CommentChange:
    """What an author changes.

    Args:
        body: The new text.
        at_seconds: The new moment; None for the whole.
        mention_ids: Whom it calls now; None for whom it called.
        expected_version: The version that the author saw.
    """

    body: str
    at_seconds: int | None
    mention_ids: tuple[UUID, ...] | None
    expected_version: int | None


async def edit_comment(
    connection: Connection, viewer: Viewer, comment_id: UUID, change: CommentChange, *, now: datetime
) -> Comment:
    """Say it otherwise, in the caller's transaction; what it said before is kept.

    Raises:
        NotFound: the comment is not in sight, or deleted.
        Forbidden: it is somebody else's.
        Conflict: it has been edited since.
        Invalid, Refused: as for a new one.
    """
    comment, film, sight = await _held(connection, viewer, comment_id)
    if comment.author_id != viewer.user_id:
        raise Forbidden("A comment is edited by its author.", permission="author")
    if change.expected_version not in (None, comment.version):
        raise Conflict(
            f"expectedVersion: the comment is at version {comment.version}; look at it again.",
            path=("input", "expectedVersion"),
        )
    body = check_text(change.body, "body")
    check_moment(film.activity, change.at_seconds, "atSeconds")
    if change.mention_ids is not None:
        mentioned = await _check_mentions(connection, viewer, film, sight, change.mention_ids)
        await _mention(connection, viewer.team_id, comment_id, mentioned)
    if (body, change.at_seconds) == (comment.body, comment.at_seconds):
        return comment
    await connection.execute(
        """
        INSERT INTO comment_versions (id, team_id, comment_id, version, body, at_seconds, written_at)
        SELECT $1, team_id, id, version, body, at_seconds, coalesce(edited_at, created_at) FROM comments
        WHERE team_id = $2 AND id = $3
        """,
        new_id(),
        viewer.team_id,
        comment_id,
    )
    row = await connection.fetchrow(
        "UPDATE comments SET body = $3, at_seconds = $4, version = version + 1, edited_at = $5 "
        "WHERE team_id = $1 AND id = $2 RETURNING *",
        viewer.team_id,
        comment_id,
        body,
        change.at_seconds,
        now,
    )
    assert row is not None, "its film is held"
    return Comment._init_from_db(**dict(row))


async def delete_comment(connection: Connection, viewer: Viewer, comment_id: UUID, *, now: datetime) -> Comment:
    """Take a comment's text away, in the caller's transaction.

    Raises:
        NotFound: it is not in sight, or deleted.
        Forbidden: it is somebody else's, and the viewer is not an Admin.
    """
    comment, film, _ = await _held(connection, viewer, comment_id)
    if not access_film.may_remove(viewer, comment.author_id):
        raise Forbidden("A comment is deleted by its author, or by an Admin.", permission="author")
    row = await connection.fetchrow(
        "UPDATE comments SET body = NULL, at_seconds = NULL, deleted_at = $3, deleted_by_id = $4 "
        "WHERE team_id = $1 AND id = $2 RETURNING *",
        viewer.team_id,
        comment_id,
        now,
        viewer.user_id,
    )
    assert row is not None, "its film is held"
    for table in ("comment_versions", "mentions"):
        await connection.execute(
            f"DELETE FROM {table} WHERE team_id = $1 AND comment_id = $2", viewer.team_id, comment_id
        )
    await film_facts.settle(connection, viewer.team_id, film)
    if comment.author_id != viewer.user_id:
        told = {"author": comment.author_id}
        await audit.record(
            connection, viewer, [NewEntry(AuditAction.COMMENT_DELETED, ("Comment", comment_id), told, None)]
        )
    return Comment._init_from_db(**dict(row))


def _cursors(name: str, rows: Sequence[Any]) -> list[str]:
    return [encode_cursor(name, str(row.id)) for row in rows]


async def list_threads(connection: Connection, team_id: UUID, activity_id: UUID, request: PageRequest) -> Page[Comment]:
    """The comments on an activity in sight that answer none, the oldest first. Served by comments_activity_idx."""
    arguments: list[object] = [team_id, activity_id]
    condition = "team_id = $1 AND activity_id = $2 AND parent_id IS NULL"
    if request.cursor is not None:
        arguments += decode_cursor("comments", request.cursor, (UUID,))
        condition += f" AND id {'<' if request.backward else '>'} $3::uuid"
    arguments.append(request.limit + 1)
    rows = await connection.fetch(
        f"SELECT * FROM comments WHERE {condition} ORDER BY id {'DESC' if request.backward else 'ASC'} "
        f"LIMIT ${len(arguments)}",
        *arguments,
    )
    found = [Comment._init_from_db(**dict(row)) for row in rows]
    return page_of(request, found, _cursors("comments", found))


async def first_threads(
    connection: Connection, team_id: UUID, asked: Sequence[tuple[UUID, PageRequest]]
) -> list[Page[Comment]]:
    """The first pages of the comments on some activities in sight, in one statement. Served by
    comments_activity_idx."""
    rows = await connection.fetch(
        """
        SELECT a.place, c.* FROM unnest($2::uuid[], $3::int[]) WITH ORDINALITY AS a (activity_id, wanted, place)
        CROSS JOIN LATERAL (
            SELECT * FROM comments c WHERE c.team_id = $1 AND c.activity_id = a.activity_id AND c.parent_id IS NULL
            ORDER BY c.id LIMIT a.wanted
        ) c ORDER BY a.place, c.id
        """,
        team_id,
        [activity_id for activity_id, _request in asked],
        [request.limit + 1 for _activity_id, request in asked],
    )
    found: list[list[Comment]] = [[] for _ in asked]
    for row in rows:
        values = dict(row)
        found[values.pop("place") - 1].append(Comment._init_from_db(**values))
    return [
        page_of(request, threads, _cursors("comments", threads))
        for (_activity_id, request), threads in zip(asked, found, strict=True)
    ]


async def count_threads(connection: Connection, team_id: UUID, activity_id: UUID) -> int:
    """How many there are, with the deleted ones."""
    return (await counts_of_threads(connection, team_id, [activity_id]))[activity_id]


async def counts_of_threads(connection: Connection, team_id: UUID, ids: Sequence[UUID]) -> dict[UUID, int]:
    """The same of some activities, in one statement. Served by comments_activity_idx."""
    rows = await connection.fetch(
        "SELECT activity_id, count(*) AS count FROM comments WHERE team_id = $1 AND activity_id = ANY ($2::uuid[]) "
        "AND parent_id IS NULL GROUP BY activity_id",
        team_id,
        list(ids),
    )
    return dict.fromkeys(ids, 0) | {row["activity_id"]: row["count"] for row in rows}


async def comments_by_id(connection: Connection, sight: FilmSight, ids: Sequence[UUID]) -> dict[UUID, Comment]:
    """Those of some comments whose activities are in sight, and are there. Served by the primary key."""
    arguments: list[object] = [list(ids)]
    condition = sight.filter("c", arguments)
    rows = await connection.fetch(
        f"""
        SELECT c.* FROM comments c JOIN films f ON f.team_id = c.team_id AND f.id = c.activity_id
        WHERE c.id = ANY ($1::uuid[]) AND f.away_since IS NULL AND {condition}
        """,
        *arguments,
    )
    return {row["id"]: Comment._init_from_db(**dict(row)) for row in rows}


async def answers_of(connection: Connection, team_id: UUID, ids: Sequence[UUID]) -> dict[UUID, list[Comment]]:
    """The answers to comments in sight, the oldest first. Served by comments_parent_idx."""
    rows = await connection.fetch(
        "SELECT * FROM comments WHERE team_id = $1 AND parent_id = ANY ($2::uuid[]) ORDER BY id", team_id, list(ids)
    )
    return gathered(ids, rows, "parent_id", lambda row: Comment._init_from_db(**dict(row)))


async def versions_of(connection: Connection, team_id: UUID, ids: Sequence[UUID]) -> dict[UUID, list[CommentVersion]]:
    """What comments in sight said before, the oldest first. Served by comment_versions_version_key."""
    rows = await connection.fetch(
        "SELECT * FROM comment_versions WHERE team_id = $1 AND comment_id = ANY ($2::uuid[]) ORDER BY version",
        team_id,
        list(ids),
    )
    return gathered(ids, rows, "comment_id", lambda row: CommentVersion._init_from_db(**dict(row)))


async def mentioned_in(connection: Connection, team_id: UUID, ids: Sequence[UUID]) -> dict[UUID, list[UUID]]:
    """Whom comments in sight call. Served by mentions_user_key."""
    rows = await connection.fetch(
        "SELECT comment_id, user_id FROM mentions WHERE team_id = $1 AND comment_id = ANY ($2::uuid[]) ORDER BY id",
        team_id,
        list(ids),
    )
    return gathered(ids, rows, "comment_id", itemgetter("user_id"))


def _mentions_condition(sight: FilmSight, unread: bool | None, arguments: list[object]) -> str:
    arguments.append(sight.viewer_id)
    condition = f"m.user_id = ${len(arguments)} AND f.away_since IS NULL AND {sight.filter('c', arguments)}"
    if unread is not None:
        condition += f" AND m.read_at IS {'' if unread else 'NOT '}NULL"
    return f"""
        FROM mentions m JOIN comments c ON c.team_id = m.team_id AND c.id = m.comment_id
        JOIN films f ON f.team_id = c.team_id AND f.id = c.activity_id WHERE {condition}"""


async def list_mentions(
    connection: Connection, sight: FilmSight, unread: bool | None, request: PageRequest
) -> Page[Mention]:
    """The viewer's mentions on film in sight, the newest first. Served by mentions_user_idx and mentions_unread_idx."""
    arguments: list[object] = []
    condition = _mentions_condition(sight, unread, arguments)
    if request.cursor is not None:
        arguments += decode_cursor("mentions", request.cursor, (UUID,))
        condition += f" AND m.id {'>' if request.backward else '<'} ${len(arguments)}::uuid"
    arguments.append(request.limit + 1)
    rows = await connection.fetch(
        f"SELECT m.* {condition} ORDER BY m.id {'ASC' if request.backward else 'DESC'} LIMIT ${len(arguments)}",
        *arguments,
    )
    found = [Mention._init_from_db(**dict(row)) for row in rows]
    return page_of(request, found, _cursors("mentions", found))


async def count_mentions(connection: Connection, sight: FilmSight, unread: bool | None) -> int:
    """How many there are."""
    arguments: list[object] = []
    condition = _mentions_condition(sight, unread, arguments)
    return int(await connection.fetchval(f"SELECT count(*) {condition}", *arguments))


async def mark_mentions(
    connection: Connection, viewer: Viewer, ids: Sequence[UUID] | None, *, read: bool, now: datetime
) -> int:
    """Mark some or all of the viewer's mentions on film in sight as read or unread. Returns how many changed; ids of
    others', and of those out of sight, are none.

    Served by mentions_user_idx and mentions_unread_idx.
    """
    arguments: list[object] = [None if ids is None else list(ids), now if read else None]
    found = _mentions_condition(await access_film.see_film(connection, viewer), read, arguments)
    status = await connection.execute(
        f"UPDATE mentions SET read_at = $2 WHERE id IN (SELECT m.id {found} "
        f"AND ($1::uuid[] IS NULL OR m.id = ANY ($1))) AND read_at IS {'' if read else 'NOT '}NULL",
        *arguments,
    )
    return int(status.rpartition(" ")[2])
