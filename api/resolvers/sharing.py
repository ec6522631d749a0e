"""Playlists, and requests for feedback."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any
from uuid import UUID
from zoneinfo import ZoneInfo

from api.context import Context
from api.resolvers.film import activity_id_of, film_loaders, user_ids_of
from api.schema.nodes import Connection, connection_of, connection_read
from domain import access_film, feedback, models, playlists
from domain.feedback import NewRequest, Reply, RequestFilter
from domain.ids import decode_id
from domain.paging import page_request
from domain.playlists import ItemContent, PlaylistContent

if TYPE_CHECKING:
    from api.schema.sharing import (
        AddPlaylistItemInput,
        CreatePlaylistInput,
        FeedbackRequestFilter,
        RequestFeedbackInput,
        UpdatePlaylistInput,
        UpdatePlaylistItemInput,
    )


def _content(given: CreatePlaylistInput | UpdatePlaylistInput) -> PlaylistContent:
    group_id = None if given.group_id is None else decode_id(given.group_id, "Group", path=("input", "groupId"))
    return PlaylistContent(given.name, given.description, given.audience, group_id)


def _playlist_id(given: str) -> UUID:
    return decode_id(given, "Playlist", path=("input", "playlistId"))


def _item_id(given: str, name: str = "itemId") -> UUID:
    return decode_id(given, "PlaylistItem", path=("input", name))


async def _changed(context: Context, change: Callable[[Any], Awaitable[models.Playlist]]) -> models.Playlist:
    return await context.in_transaction(change)


async def create_playlist(context: Context, given: CreatePlaylistInput) -> models.Playlist:
    """Make a playlist. Raises what the domain does."""
    content = _content(given)
    return await _changed(context, lambda at: playlists.create_playlist(at, context.viewer, content))


async def update_playlist(context: Context, given: UpdatePlaylistInput) -> models.Playlist:
    """Rename or share it otherwise. Raises what the domain does."""
    playlist_id, content = _playlist_id(given.playlist_id), _content(given)
    return await _changed(
        context, lambda at: playlists.update_playlist(at, context.viewer, playlist_id, content, now=context.now)
    )


async def remove_playlist(context: Context, given: str) -> None:
    """Remove it. Raises what the domain does."""
    playlist_id = _playlist_id(given)

    async def work(connection: Any) -> None:
        await playlists.remove_playlist(connection, context.viewer, playlist_id)

    await context.in_transaction(work)


async def add_item(context: Context, given: AddPlaylistItemInput) -> models.Playlist:
    """Put an activity in. Raises what the domain does."""
    playlist_id, activity_id = _playlist_id(given.playlist_id), activity_id_of(given.activity_id)
    content = ItemContent(given.starts_seconds, given.ends_seconds, given.note)
    return await _changed(context, lambda at: playlists.add_item(at, context.viewer, playlist_id, activity_id, content))


async def update_item(context: Context, given: UpdatePlaylistItemInput) -> models.Playlist:
    """Say otherwise of an example, or move it. Raises what the domain does."""
    item_id = _item_id(given.item_id)
    after_id = None if given.after_item_id is None else _item_id(given.after_item_id, "afterItemId")
    content = ItemContent(given.starts_seconds, given.ends_seconds, given.note)
    move = after_id is not None or given.to_the_beginning
    return await _changed(
        context,
        lambda at: playlists.update_item(at, context.viewer, item_id, content, after_id=after_id, move=move),
    )


async def remove_item(context: Context, given: str) -> models.Playlist:
    """Take an example out. Raises what the domain does."""
    item_id = _item_id(given)
    return await _changed(context, lambda at: playlists.remove_item(at, context.viewer, item_id))


async def playlists_connection(
    context: Context, search: str | None, first: int | None, after: str | None
) -> Connection[Any]:
    """The playlists that the viewer finds."""
    from api.schema.sharing import Playlist

    async with context.acquire_primary() as connection:
        sight = await access_film.see_playlists(connection, context.viewer)

    return await connection_read(
        context.acquire,
        lambda connection: playlists.list_playlists(connection, sight, search, page_request(first, after)),
        lambda connection: playlists.count_playlists(connection, sight, search),
        Playlist.of,
    )


async def find_playlist(context: Context, row_id: UUID) -> Any:
    """A playlist that the viewer finds."""
    from api.schema.sharing import Playlist

    async with context.acquire_primary() as connection:
        sight = await access_film.see_playlists(connection, context.viewer)
        row = (await playlists.playlists_by_id(connection, sight, [row_id])).get(row_id)
    return None if row is None else Playlist.of(row)


async def items_connection(
    context: Context, playlist_id: UUID, first: int | None, after: str | None
) -> Connection[Any]:
    """The examples of a playlist that the viewer finds, as far as the viewer may see them; the first pages of many come
    together."""
    from api.schema.sharing import PlaylistItem

    request, loaders = page_request(first, after), film_loaders(context)
    if request.cursor is None:
        page = await loaders.items.load((playlist_id, request))
    else:
        film = await context.film_sight()
        async with context.acquire() as connection:
            page = await playlists.list_items(connection, film, playlist_id, request)
    return connection_of(page, PlaylistItem.of, lambda: loaders.item_counts.load(playlist_id))


async def ask(context: Context, given: RequestFeedbackInput) -> list[models.FeedbackRequest]:
    """Ask colleagues. Raises what the domain does."""
    new = NewRequest(
        activity_id_of(given.activity_id), user_ids_of(given.asked_ids, "askedIds"), given.message, given.due_on
    )
    today = context.now.astimezone(ZoneInfo(context.viewer.timezone)).date()

    async def work(connection: Any) -> list[models.FeedbackRequest]:
        return await feedback.ask(connection, context.viewer, new, today=today)

    return await context.in_transaction(work)


async def end_request(context: Context, given: str, reply: Reply) -> models.FeedbackRequest:
    """Answer, decline or withdraw. Raises what the domain does."""
    request_id = decode_id(given, "FeedbackRequest", path=("input", "requestId"))

    async def work(connection: Any) -> models.FeedbackRequest:
        return await feedback.end_request(connection, context.viewer, request_id, reply, now=context.now)

    return await context.in_transaction(work)


async def requests_connection(
    context: Context, given: FeedbackRequestFilter | None, first: int | None, after: str | None
) -> Connection[Any]:
    """The requests by the viewer and to the viewer."""
    from api.schema.sharing import FeedbackRequest

    wanted = RequestFilter()
    if given is not None:
        states = None if given.states is None else tuple(given.states)
        wanted = RequestFilter(given.received, states)

    return await connection_read(
        context.acquire,
        lambda connection: feedback.list_requests(connection, context.viewer, wanted, page_request(first, after)),
        lambda connection: feedback.count_requests(connection, context.viewer, wanted),
        FeedbackRequest.of,
    )


async def find_request(context: Context, row_id: UUID) -> Any:
    """A request of the viewer's, or to the viewer."""
    from api.schema.sharing import FeedbackRequest

    async with context.acquire() as connection:
        row = (await feedback.requests_by_id(connection, context.viewer, [row_id])).get(row_id)
    return None if row is None else FeedbackRequest.of(row)
