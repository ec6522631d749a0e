"""Playlists of examples: activities under a name, in an order, each perhaps with its best moments and a note.

A playlist is its owner's; it is private, or shared with a group (and all groups below it) or the team. Being shared, it
shows its name and, to each who finds it, those of its examples whose activities they may see anyway. The others are not
there for them: neither in the list, nor in its number, nor in an order with gaps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from domain import access_film
from domain.access import Viewer
from domain.access_film import FilmSight, PlaylistSight
from domain.errors import Conflict, Forbidden, Invalid, NotFound
from domain.film import SHORT_LIMIT, check_moment, check_optional_text, check_text, duration_of, open_film
from domain.models.activities import Activity
from domain.models.base import new_id
from domain.models.film_sharing import Playlist, PlaylistAudience, PlaylistItem
from domain.paging import Page, PageRequest, decode_cursor, encode_cursor, page_of

if TYPE_CHECKING:
    from domain.database import Connection

NAME_LIMIT = 200
ITEMS_LIMIT = 500
PLAYLISTS_LIMIT = 200
"""Of one owner."""
GAP = 1_024
"""Between the positions of neighbours, so that an example can come between them."""


@dataclass(frozen=True, slots=True)
class PlaylistContent:
    """What a playlist is called and who finds it.

    Args:
        name: Its name.
        description: What it is for.
        audience: Who finds it.
        group_id: The group that it is shared with.
    """

    name: str
    description: str | None
    audience: PlaylistAudience
    group_id: UUID | None


async def _check(connection: Connection, viewer: Viewer, given: PlaylistContent) -> PlaylistContent:
    if (given.audience is PlaylistAudience.GROUP) != (given.group_id is not None):
        raise Invalid("groupId: name a group for the audience GROUP, and for no other.", path=("input", "groupId"))
    if given.group_id is not None:
        await access_film.require_sharing_with(connection, viewer, given.group_id)
    return PlaylistContent(
        check_text(given.name, "name", NAME_LIMIT),
        check_optional_text(given.description, "description"),
        given.audience,
        given.group_id,
    )


async def create_playlist(connection: Connection, viewer: Viewer, given: PlaylistContent) -> Playlist:
    """Make a playlist, in the caller's transaction.

    Raises:
        Invalid: its name cannot be, or audience and group do not fit.
        NotFound: the group is not in sight.
        Conflict: the viewer has as many as one can have.
    """
    content = await _check(connection, viewer, given)
    count = await connection.fetchval(
        "SELECT count(*) FROM playlists WHERE team_id = $1 AND owner_id = $2", viewer.team_id, viewer.user_id
    )
    if count >= PLAYLISTS_LIMIT:
        raise Conflict(f"You have {PLAYLISTS_LIMIT} playlists; remove one first.")
    row = await connection.fetchrow(
        "INSERT INTO playlists (id, team_id, owner_id, name, description, audience, group_id) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING *",
        new_id(),
        viewer.team_id,
        viewer.user_id,
        content.name,
        content.description,
        content.audience.value,
        content.group_id,
    )
    assert row is not None, "it was made just now"
    return Playlist._init_from_db(**dict(row))


async def own_playlist(connection: Connection, viewer: Viewer, playlist_id: UUID) -> Playlist:
    """A playlist of the viewer's own, held for a change.

    Raises:
        NotFound: the viewer finds none such.
        Forbidden: it is somebody else's.
    """
    sight = await access_film.see_playlists(connection, viewer)
    arguments: list[object] = [playlist_id]
    row = await connection.fetchrow(
        f"SELECT p.* FROM playlists p WHERE p.id = $1 AND {sight.filter('p', arguments)} FOR UPDATE", *arguments
    )
    if row is None:
        raise NotFound("No such playlist.", path=("input", "playlistId"))
    access_film.require_owner(viewer, row["owner_id"])
    return Playlist._init_from_db(**dict(row))


async def update_playlist(
    connection: Connection, viewer: Viewer, playlist_id: UUID, given: PlaylistContent, *, now: datetime
) -> Playlist:
    """Rename a playlist, or share it otherwise, in the caller's transaction.

    Raises:
        NotFound: the viewer finds none such.
        Forbidden: it is somebody else's.
        Invalid: its name cannot be, or audience and group do not fit.
    """
    await own_playlist(connection, viewer, playlist_id)
    content = await _check(connection, viewer, given)
    row = await connection.fetchrow(
        "UPDATE playlists SET name = $3, description = $4, audience = $5, group_id = $6, changed_at = $7 "
        "WHERE team_id = $1 AND id = $2 RETURNING *",
        viewer.team_id,
        playlist_id,
        content.name,
        content.description,
        content.audience.value,
        content.group_id,
        now,
    )
    assert row is not None, "it is held"
    return Playlist._init_from_db(**dict(row))


async def remove_playlist(connection: Connection, viewer: Viewer, playlist_id: UUID) -> None:
    """Remove a playlist with its examples, in the caller's transaction; the activities stay.

    Raises:
        NotFound: the viewer finds none such.
        Forbidden: it is somebody else's.
    """
    await own_playlist(connection, viewer, playlist_id)
    await connection.execute("DELETE FROM playlists WHERE team_id = $1 AND id = $2", viewer.team_id, playlist_id)


@dataclass(frozen=True, slots=True)
class ItemContent:
    """What a playlist says of an example.

    Args:
        starts_seconds: From where to watch.
        ends_seconds: Until where.
        note: Why it is there.
    """

    starts_seconds: int | None = None
    ends_seconds: int | None = None
    note: str | None = None


def _check_item(activity: Activity, given: ItemContent) -> ItemContent:
    check_moment(activity, given.starts_seconds, "startsSeconds")
    check_moment(activity, given.ends_seconds, "endsSeconds")
    if given.ends_seconds is not None and given.ends_seconds <= (given.starts_seconds or 0):
        raise Invalid(
            f"endsSeconds: after the start, and at most {duration_of(activity)}.", path=("input", "endsSeconds")
        )
    return ItemContent(given.starts_seconds, given.ends_seconds, check_optional_text(given.note, "note", SHORT_LIMIT))


async def add_item(
    connection: Connection, viewer: Viewer, playlist_id: UUID, activity_id: UUID, given: ItemContent
) -> Playlist:
    """Put an activity in sight at the end of a playlist of the viewer's own, in the caller's transaction.

    Raises:
        NotFound: the playlist or the activity is not in sight.
        Forbidden: the playlist is somebody else's.
        Invalid: the moments or the note cannot be.
        Conflict: the playlist is full.
    """
    playlist = await own_playlist(connection, viewer, playlist_id)
    film, _ = await open_film(connection, viewer, activity_id)
    content = _check_item(film.activity, given)
    place = await connection.fetchrow(
        "SELECT count(*) AS count, coalesce(max(position), 0) AS last FROM playlist_items "
        "WHERE team_id = $1 AND playlist_id = $2",
        viewer.team_id,
        playlist_id,
    )
    assert place is not None, "an aggregate"
    if place["count"] >= ITEMS_LIMIT:
        raise Conflict(f"The playlist has {ITEMS_LIMIT} examples; begin another.")
    await connection.execute(
        "INSERT INTO playlist_items (id, team_id, playlist_id, activity_id, user_id, position, starts_seconds, "
        "ends_seconds, note) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        new_id(),
        viewer.team_id,
        playlist_id,
        activity_id,
        film.activity.user_id,
        place["last"] + GAP,
        content.starts_seconds,
        content.ends_seconds,
        content.note,
    )
    return playlist


async def _own_item(connection: Connection, viewer: Viewer, item_id: UUID) -> tuple[PlaylistItem, Playlist]:
    """An example of a playlist of the viewer's own, the playlist held. What the owner may not see any more is there
    for its removal alone; for others it never was."""
    missing = NotFound("No such example.", path=("input", "itemId"))
    row = await connection.fetchrow(
        "SELECT * FROM playlist_items WHERE team_id = $1 AND id = $2", viewer.team_id, item_id
    )
    if row is None:
        raise missing
    try:
        playlist = await own_playlist(connection, viewer, row["playlist_id"])
    except NotFound as error:
        raise missing from error
    except Forbidden as error:
        film = await access_film.see_film(connection, viewer)
        if await _place_of(connection, film, row["playlist_id"], item_id) is None:
            raise missing from error
        raise
    return PlaylistItem._init_from_db(**dict(row)), playlist


async def update_item(
    connection: Connection, viewer: Viewer, item_id: UUID, given: ItemContent, *, after_id: UUID | None, move: bool
) -> Playlist:
    """Say otherwise of an example, or move it, in the caller's transaction.

    Args:
        connection: Where.
        viewer: Who.
        item_id: Which.
        given: All that the playlist says of it from now on.
        after_id: Behind which example it moves; None for the beginning.
        move: Whether it moves at all.

    Raises:
        NotFound: an example is not in sight.
        Forbidden: the playlist is somebody else's.
        Invalid: the moments or the note cannot be.
    """
    item, playlist = await _own_item(connection, viewer, item_id)
    film, _ = await open_film(connection, viewer, item.activity_id, path=("input", "itemId"))
    content = _check_item(film.activity, given)
    await connection.execute(
        "UPDATE playlist_items SET starts_seconds = $3, ends_seconds = $4, note = $5 WHERE team_id = $1 AND id = $2",
        viewer.team_id,
        item_id,
        content.starts_seconds,
        content.ends_seconds,
        content.note,
    )
    if move:
        await _move(connection, viewer.team_id, item, after_id)
    return playlist


async def _move(connection: Connection, team_id: UUID, item: PlaylistItem, after_id: UUID | None) -> None:
    """Number the examples anew, with one behind another; the playlist is held."""
    rows = await connection.fetch(
        "SELECT id FROM playlist_items WHERE team_id = $1 AND playlist_id = $2 ORDER BY position, id",
        team_id,
        item.playlist_id,
    )
    order = [row["id"] for row in rows if row["id"] != item.id]
    if after_id is not None and after_id not in order:
        raise NotFound("No such example in this playlist.", path=("input", "afterItemId"))
    order.insert(0 if after_id is None else order.index(after_id) + 1, item.id)
    await connection.execute(
        """
        UPDATE playlist_items i SET position = o.position FROM unnest($2::uuid[], $3::int[]) o (id, position)
        WHERE i.team_id = $1 AND i.id = o.id
        """,
        team_id,
        order,
        [number * GAP for number in range(1, len(order) + 1)],
    )


async def remove_item(connection: Connection, viewer: Viewer, item_id: UUID) -> Playlist:
    """Take an example out, in the caller's transaction.

    Raises:
        NotFound: it is not in sight.
        Forbidden: the playlist is somebody else's.
    """
    item, playlist = await _own_item(connection, viewer, item_id)
    await connection.execute("DELETE FROM playlist_items WHERE team_id = $1 AND id = $2", viewer.team_id, item.id)
    return playlist


def _condition(sight: PlaylistSight, search: str | None, arguments: list[object]) -> str:
    condition = sight.filter("p", arguments)
    if search:
        arguments.append(search)
        condition += f" AND position(lower(${len(arguments)}) IN lower(p.name)) > 0"
    return condition


async def list_playlists(
    connection: Connection, sight: PlaylistSight, search: str | None, request: PageRequest
) -> Page[Playlist]:
    """A page of the playlists that a viewer finds, by name. Served by playlists_name_idx."""
    arguments: list[object] = []
    condition = _condition(sight, search, arguments)
    if request.cursor is not None:
        arguments += decode_cursor("playlists", request.cursor, (str, UUID))
        n, sign = len(arguments), "<" if request.backward else ">"
        condition += f" AND (p.name, p.id) {sign} (${n - 1}::text, ${n}::uuid)"
    direction = "DESC" if request.backward else "ASC"
    arguments.append(request.limit + 1)
    rows = await connection.fetch(
        f"SELECT p.* FROM playlists p WHERE {condition} ORDER BY p.name {direction}, p.id {direction} "
        f"LIMIT ${len(arguments)}",
        *arguments,
    )
    found = [Playlist._init_from_db(**dict(row)) for row in rows]
    return page_of(request, found, [encode_cursor("playlists", one.name, str(one.id)) for one in found])


async def count_playlists(connection: Connection, sight: PlaylistSight, search: str | None) -> int:
    """How many there are."""
    arguments: list[object] = []
    condition = _condition(sight, search, arguments)
    return int(await connection.fetchval(f"SELECT count(*) FROM playlists p WHERE {condition}", *arguments))


async def playlists_by_id(connection: Connection, sight: PlaylistSight, ids: Sequence[UUID]) -> dict[UUID, Playlist]:
    """Those of some playlists that the viewer finds. Served by the primary key."""
    arguments: list[object] = [list(ids)]
    rows = await connection.fetch(
        f"SELECT p.* FROM playlists p WHERE p.id = ANY ($1::uuid[]) AND {sight.filter('p', arguments)}", *arguments
    )
    return {row["id"]: Playlist._init_from_db(**dict(row)) for row in rows}


def _items(film: FilmSight, playlist_id: UUID, arguments: list[object]) -> str:
    arguments.append(playlist_id)
    place = len(arguments)
    return f"{_seen_items(film, arguments)} AND i.playlist_id = ${place}"


def _seen_items(film: FilmSight, arguments: list[object]) -> str:
    return f"""
        FROM playlist_items i JOIN films f ON f.team_id = i.team_id AND f.id = i.activity_id
        WHERE f.away_since IS NULL AND {film.filter("i", arguments)}"""


async def first_items(
    connection: Connection, film: FilmSight, asked: Sequence[tuple[UUID, PageRequest]]
) -> list[Page[PlaylistItem]]:
    """The first pages of the examples in sight of some playlists, in one statement. Served by
    playlist_items_position_idx."""
    arguments: list[object] = [
        [playlist_id for playlist_id, _request in asked],
        [request.limit + 1 for _playlist_id, request in asked],
    ]
    rows = await connection.fetch(
        f"""
        SELECT a.place, i.* FROM unnest($1::uuid[], $2::int[]) WITH ORDINALITY AS a (playlist_id, wanted, place)
        CROSS JOIN LATERAL (
            SELECT i.* {_seen_items(film, arguments)} AND i.playlist_id = a.playlist_id
            ORDER BY i.position, i.id LIMIT a.wanted
        ) i ORDER BY a.place, i.position, i.id
        """,
        *arguments,
    )
    found: list[list[PlaylistItem]] = [[] for _ in asked]
    for row in rows:
        values = dict(row)
        found[values.pop("place") - 1].append(PlaylistItem._init_from_db(**values))
    return [
        page_of(request, items, [encode_cursor("playlist items", str(one.id)) for one in items])
        for (_playlist_id, request), items in zip(asked, found, strict=True)
    ]


async def counts_of_items(connection: Connection, film: FilmSight, ids: Sequence[UUID]) -> dict[UUID, int]:
    """How many examples in sight some playlists have, in one statement. Served by playlist_items_position_idx."""
    arguments: list[object] = [list(ids)]
    rows = await connection.fetch(
        f"SELECT i.playlist_id, count(*) AS count {_seen_items(film, arguments)} "
        "AND i.playlist_id = ANY ($1::uuid[]) GROUP BY i.playlist_id",
        *arguments,
    )
    return dict.fromkeys(ids, 0) | {row["playlist_id"]: row["count"] for row in rows}


async def _place_of(
    connection: Connection, film: FilmSight, playlist_id: UUID, item_id: UUID
) -> tuple[int, UUID] | None:
    """Where an example in sight stands in its playlist; None for what is not there, or hidden. Served by the primary
    key."""
    arguments: list[object] = [item_id]
    row = await connection.fetchrow(
        f"SELECT i.position, i.id {_items(film, playlist_id, arguments)} AND i.id = $1", *arguments
    )
    return None if row is None else (row["position"], row["id"])


async def list_items(
    connection: Connection, film: FilmSight, playlist_id: UUID, request: PageRequest
) -> Page[PlaylistItem]:
    """A page of a playlist's examples in sight, in its order. Served by playlist_items_position_idx.

    A cursor holds the example's id and no place, which would tell how many are hidden before it.

    Raises:
        Invalid: the cursor is none of this list, or its example is not there any more.
    """
    arguments: list[object] = []
    condition = _items(film, playlist_id, arguments)
    if request.cursor is not None:
        (item_id,) = decode_cursor("playlist items", request.cursor, (UUID,))
        place = await _place_of(connection, film, playlist_id, item_id)
        if place is None:
            raise Invalid("The example of this cursor is not there; begin without a cursor.", path=("after",))
        arguments += place
        n, sign = len(arguments), "<" if request.backward else ">"
        condition += f" AND (i.position, i.id) {sign} (${n - 1}::int, ${n}::uuid)"
    direction = "DESC" if request.backward else "ASC"
    arguments.append(request.limit + 1)
    rows = await connection.fetch(
        f"SELECT i.* {condition} ORDER BY i.position {direction}, i.id {direction} LIMIT ${len(arguments)}", *arguments
    )
    found = [PlaylistItem._init_from_db(**dict(row)) for row in rows]
    return page_of(request, found, [encode_cursor("playlist items", str(one.id)) for one in found])


async def count_items(connection: Connection, film: FilmSight, playlist_id: UUID) -> int:
    """How many of them are in sight."""
    arguments: list[object] = []
    condition = _items(film, playlist_id, arguments)
    return int(await connection.fetchval(f"SELECT count(*) {condition}", *arguments))
