"""A rep's film: look-ups that come together, comments, mentions, reviews, Individual View."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import UUID

from api.context import Context
from api.loading import Loader
from api.schema.activities import ACTIVITY_TYPES, Activity, activity_of
from api.schema.nodes import Connection, connection_of, connection_read
from domain import (
    access,
    access_film,
    activities,
    calibrations,
    comments,
    individual_view,
    models,
    people,
    playlists,
    reviews,
    scorecard_templates,
)
from domain import scorecards as cards
from domain.access import Sight
from domain.access_film import Colleague
from domain.activities import ActivityFilter
from domain.calibrations import Result, Scorer
from domain.comments import CommentChange, NewComment
from domain.errors import NotFound
from domain.ids import decode_any_id, decode_id
from domain.individual_view import FilmCounts
from domain.models.people import Permission
from domain.paging import Page, PageRequest, decode_cursor, encode_cursor, page_of, page_request
from domain.scorecard_templates import Version
from domain.scorecards import Card

if TYPE_CHECKING:
    from api.schema.film import AddCommentInput, EditCommentInput

_ACTIVITY_TYPES = frozenset(made.__name__ for made in ACTIVITY_TYPES)


class FilmLoaders:
    """Look-ups of a request that many rows share; what they are asked for is in sight already, but for `film`,
    `comments`, `cards` and `rounds`, which answer None for what is not."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self.people: Loader[UUID, Colleague] = self._made(self._people)
        self.owners: Loader[UUID, models.User | None] = self._made(self._owners)
        self.films: Loader[UUID, models.Film | None] = self._made(self._films)
        self.reviews: Loader[UUID, list[models.Review]] = self._made(self._reviews)
        self.comments: Loader[UUID, models.Comment | None] = self._made(self._comments)
        self.answers: Loader[UUID, list[models.Comment]] = self._made(self._answers)
        self.comment_versions: Loader[UUID, list[models.CommentVersion]] = self._made(self._comment_versions)
        self.mentioned: Loader[UUID, list[UUID]] = self._made(self._mentioned)
        self.recorded: Loader[models.Activity, UUID | None] = self._made(self._recorded)
        self.recordings: Loader[models.Activity, list[models.Activity]] = self._made(self._recordings)
        self.templates: Loader[UUID, models.ScorecardTemplate | None] = self._made(self._templates)
        self.template_versions: Loader[UUID, list[Version]] = self._made(self._template_versions)
        self.versions: Loader[tuple[UUID, int], Version] = self._made(self._versions)
        self.cards: Loader[UUID, Card | None] = self._made(self._cards)
        self.rounds: Loader[UUID, models.Calibration | None] = self._made(self._rounds)
        self.scorers: Loader[UUID, list[Scorer]] = self._made(self._scorers)
        self.results: Loader[UUID, Result | None] = self._made(self._results)
        self.threads: Loader[tuple[UUID, PageRequest], Page[models.Comment]] = self._made(self._threads)
        self.thread_counts: Loader[UUID, int] = self._made(self._thread_counts)
        self.cards_of: Loader[tuple[UUID, PageRequest], Page[Card]] = self._made(self._cards_of)
        self.card_counts: Loader[UUID, int] = self._made(self._card_counts)
        self.items: Loader[tuple[UUID, PageRequest], Page[models.PlaylistItem]] = self._made(self._items)
        self.item_counts: Loader[UUID, int] = self._made(self._item_counts)

    def _made(self, load: Any) -> Loader[Any, Any]:
        made: Loader[Any, Any] = Loader(load)
        self._context._loaders.append(made)
        return made

    @property
    def _team_id(self) -> UUID:
        return self._context.viewer.team_id

    async def _people(self, ids: list[UUID]) -> list[Colleague]:
        async with self._context.acquire() as connection:
            found = await access_film.colleagues_by_id(connection, self._team_id, ids)
        return [found[one] for one in ids]

    async def _owners(self, ids: list[UUID]) -> list[models.User | None]:
        """Whose film the viewer is asked about is known by name, in sight or not."""
        async with self._context.acquire() as connection:
            return await people.users_by_id(connection, Sight(self._team_id, False, frozenset(ids)), ids)

    async def _films(self, ids: list[UUID]) -> list[models.Film | None]:
        async with self._context.acquire() as connection:
            found = await activities.films_of(connection, self._team_id, ids)
        return [found.get(one) for one in ids]

    async def _reviews(self, ids: list[UUID]) -> list[list[models.Review]]:
        async with self._context.acquire() as connection:
            found = await reviews.reviews_of(connection, self._team_id, ids)
        return [found[one] for one in ids]

    async def _comments(self, ids: list[UUID]) -> list[models.Comment | None]:
        sight = await self._context.film_sight()
        async with self._context.acquire() as connection:
            found = await comments.comments_by_id(connection, sight, ids)
        return [found.get(one) for one in ids]

    async def _answers(self, ids: list[UUID]) -> list[list[models.Comment]]:
        async with self._context.acquire() as connection:
            found = await comments.answers_of(connection, self._team_id, ids)
        return [found[one] for one in ids]

    async def _comment_versions(self, ids: list[UUID]) -> list[list[models.CommentVersion]]:
        async with self._context.acquire() as connection:
            found = await comments.versions_of(connection, self._team_id, ids)
        return [found[one] for one in ids]

    async def _mentioned(self, ids: list[UUID]) -> list[list[UUID]]:
        async with self._context.acquire() as connection:
            found = await comments.mentioned_in(connection, self._team_id, ids)
        return [found[one] for one in ids]

    async def _recorded(self, rows: list[models.Activity]) -> list[UUID | None]:
        async with self._context.acquire() as connection:
            found = await activities.recorded_by(connection, self._team_id, rows)
        return [found.get(row.id) for row in rows]

    async def _recordings(self, rows: list[models.Activity]) -> list[list[models.Activity]]:
        async with self._context.acquire() as connection:
            found = await activities.recordings_of(connection, self._team_id, rows)
        return [found[row.id] for row in rows]

    async def _templates(self, ids: list[UUID]) -> list[models.ScorecardTemplate | None]:
        async with self._context.acquire() as connection:
            found = await scorecard_templates.templates_by_id(connection, self._team_id, ids)
        return [found.get(one) for one in ids]

    async def _template_versions(self, ids: list[UUID]) -> list[list[Version]]:
        async with self._context.acquire() as connection:
            found = await scorecard_templates.versions_of(connection, self._team_id, ids)
        return [found[one] for one in ids]

    async def _versions(self, keys: list[tuple[UUID, int]]) -> list[Version]:
        async with self._context.acquire() as connection:
            found = await scorecard_templates.versions_by_key(connection, self._team_id, keys)
        return [found[key] for key in keys]

    async def _cards(self, ids: list[UUID]) -> list[Card | None]:
        sight = await self._context.film_sight()
        async with self._context.acquire() as connection:
            found = await cards.cards_by_id(connection, sight, ids)
        return [found.get(one) for one in ids]

    async def _rounds(self, ids: list[UUID]) -> list[models.Calibration | None]:
        sight = await self._context.film_sight()
        async with self._context.acquire() as connection:
            found = await calibrations.rounds_by_id(connection, sight, ids)
        return [found.get(one) for one in ids]

    async def _scorers(self, ids: list[UUID]) -> list[list[Scorer]]:
        async with self._context.acquire() as connection:
            found = await calibrations.scorers_of(connection, self._team_id, ids)
        return [found[one] for one in ids]

    async def _results(self, ids: list[UUID]) -> list[Result | None]:
        rounds = [one for one in await self.rounds.load_many(ids) if one is not None]
        async with self._context.acquire() as connection:
            found = await calibrations.results_of(connection, self._team_id, rounds)
        return [found.get(one) for one in ids]

    async def _threads(self, asked: list[tuple[UUID, PageRequest]]) -> list[Page[models.Comment]]:
        async with self._context.acquire() as connection:
            return await comments.first_threads(connection, self._team_id, asked)

    async def _thread_counts(self, ids: list[UUID]) -> list[int]:
        async with self._context.acquire() as connection:
            found = await comments.counts_of_threads(connection, self._team_id, ids)
        return [found[one] for one in ids]

    async def _cards_of(self, asked: list[tuple[UUID, PageRequest]]) -> list[Page[Card]]:
        sight = await self._context.film_sight()
        async with self._context.acquire() as connection:
            return await cards.first_cards(connection, sight, asked)

    async def _card_counts(self, ids: list[UUID]) -> list[int]:
        sight = await self._context.film_sight()
        async with self._context.acquire() as connection:
            found = await cards.counts_of_cards(connection, sight, ids)
        return [found[one] for one in ids]

    async def _items(self, asked: list[tuple[UUID, PageRequest]]) -> list[Page[models.PlaylistItem]]:
        sight = await self._context.film_sight()
        async with self._context.acquire() as connection:
            return await playlists.first_items(connection, sight, asked)

    async def _item_counts(self, ids: list[UUID]) -> list[int]:
        sight = await self._context.film_sight()
        async with self._context.acquire() as connection:
            found = await playlists.counts_of_items(connection, sight, ids)
        return [found[one] for one in ids]


def film_loaders(context: Context) -> FilmLoaders:
    """The request's own."""
    found = context.__dict__.get("_film_loaders")
    if not isinstance(found, FilmLoaders):
        found = context.__dict__["_film_loaders"] = FilmLoaders(context)
    return found


def activity_id_of(given: str, *, path: tuple[str, ...] = ("input", "activityId")) -> UUID:
    """The row of an activity's id, whatever its kind.

    Raises:
        NotFound: it is none: the same answer as for an id never issued.
    """
    decoded = decode_any_id(given)
    if decoded is None or decoded[0] not in _ACTIVITY_TYPES:
        raise NotFound("No such activity.", path=path)
    return decoded[1]


def user_ids_of(given: Sequence[str] | None, name: str) -> tuple[UUID, ...]:
    """The rows of some users' ids; what is no id of a user is nobody, and refused with the others who are nobody.

    Raises:
        NotFound: one is no id of a user.
    """
    return tuple(decode_id(one, "User", path=("input", name, str(number))) for number, one in enumerate(given or ()))


async def film_activity(context: Context, activity_id: UUID) -> Activity | None:
    """An activity that the viewer may see, or None."""
    row = await context.activities.load(activity_id)
    return None if row is None else activity_of(row, context.viewer.timezone)


async def _fresh_activity(context: Context, row: models.Activity) -> Activity:
    return activity_of(row, context.viewer.timezone)


# Comments.


async def add_comment(context: Context, given: AddCommentInput) -> models.Comment:
    """Say something. Raises what the domain does."""
    new = NewComment(
        activity_id=activity_id_of(given.activity_id),
        body=given.body,
        at_seconds=given.at_seconds,
        parent_id=None
        if given.answers_id is None
        else decode_id(given.answers_id, "Comment", path=("input", "answersId")),
        mention_ids=user_ids_of(given.mention_ids, "mentionIds"),
    )

    async def work(connection: Any) -> models.Comment:
        return await comments.add_comment(connection, context.viewer, new)

    return await context.in_transaction(work)


async def edit_comment(context: Context, given: EditCommentInput) -> models.Comment:
    """Say it otherwise. Raises what the domain does."""
    comment_id = decode_id(given.comment_id, "Comment", path=("input", "commentId"))
    mentions = None if given.mention_ids is None else user_ids_of(given.mention_ids, "mentionIds")
    change = CommentChange(given.body, given.at_seconds, mentions, given.expected_version)

    async def work(connection: Any) -> models.Comment:
        return await comments.edit_comment(connection, context.viewer, comment_id, change, now=context.now)

    return await context.in_transaction(work)


async def delete_comment(context: Context, given: str) -> models.Comment:
    """Take a text away. Raises what the domain does."""
    comment_id = decode_id(given, "Comment", path=("input", "commentId"))

    async def work(connection: Any) -> models.Comment:
        return await comments.delete_comment(connection, context.viewer, comment_id, now=context.now)

    return await context.in_transaction(work)


async def threads_of(context: Context, activity_id: UUID, first: int | None, after: str | None) -> Connection[Any]:
    """The comments on an activity in sight; the first pages of many come together."""
    from api.schema.film import Comment

    request, loaders = page_request(first, after), film_loaders(context)
    if request.cursor is None:
        page = await loaders.threads.load((activity_id, request))
    else:
        async with context.acquire() as connection:
            page = await comments.list_threads(connection, context.viewer.team_id, activity_id, request)
    return connection_of(page, Comment.of, lambda: loaders.thread_counts.load(activity_id))


async def mentions_connection(
    context: Context, unread: bool | None, first: int | None, after: str | None
) -> Connection[Any]:
    """The viewer's mentions."""
    from api.schema.film import Mention

    sight = await context.film_sight()

    return await connection_read(
        context.acquire,
        lambda connection: comments.list_mentions(connection, sight, unread, page_request(first, after)),
        lambda connection: comments.count_mentions(connection, sight, unread),
        Mention.of,
    )


async def mark_mentions(context: Context, given: Sequence[str] | None, *, read: bool) -> int:
    """Mark mentions as read or unread. Raises NotFound for an id of something else."""
    ids = None
    if given is not None:
        ids = [decode_id(one, "Mention", path=("input", "mentionIds", str(number))) for number, one in enumerate(given)]

    async def work(connection: Any) -> int:
        return await comments.mark_mentions(connection, context.viewer, ids, read=read, now=context.now)

    return await context.in_transaction(work)


async def find_comment(context: Context, row_id: UUID) -> Any:
    """A comment in sight."""
    from api.schema.film import Comment

    row = await film_loaders(context).comments.load(row_id)
    return None if row is None else Comment.of(row)


# Reviews.


async def mark_reviewed(context: Context, given: str, *, reviewed: bool) -> Activity:
    """Mark a conversation as reviewed, or take that back. Raises what the domain does."""
    activity_id = activity_id_of(given)
    change = reviews.mark_reviewed if reviewed else reviews.unmark_reviewed

    async def work(connection: Any) -> models.Activity:
        return await change(connection, context.viewer, activity_id)

    return await _fresh_activity(context, await context.in_transaction(work))


# Individual View, and who can be named on film.


async def rep_in_view(context: Context, given: str | None) -> UUID:
    """Whose film is asked for: the viewer's own, or that of a user in sight.

    Raises:
        Forbidden: it is somebody else's, and the viewer lacks `TEAM_VIEW`.
        NotFound: the user is not in sight.
    """
    if given is None:
        return context.viewer.user_id
    user_id = decode_id(given, "User", path=("userId",))
    sight = await context.users_in_sight()
    access.require_seen(sight, user_id, "user", path=("userId",))
    if user_id != context.viewer.user_id:
        access.require(context.viewer, Permission.TEAM_VIEW)
    return user_id


async def film_counts(context: Context, user_id: UUID, wanted: ActivityFilter) -> FilmCounts:
    """A rep's film in numbers."""
    sight = await context.users_in_sight()
    chosen = replace(wanted, user_id=user_id)
    activities.check_filter(chosen, context.now)
    async with context.acquire() as connection:
        return await individual_view.count_film(connection, sight, chosen)


async def list_colleagues(
    context: Context, given: str, *, to_ask: bool, search: str | None, first: int | None, after: str | None
) -> Page[Colleague]:
    """Who may be mentioned on an activity in sight, or asked about one's own.

    Raises:
        NotFound: the activity is not in sight, or not the viewer's own.
    """
    row = await context.activities.load(activity_id_of(given, path=("activityId",)))
    if row is None or (to_ask and row.user_id != context.viewer.user_id):
        raise NotFound("No such activity.", path=("activityId",))
    request = page_request(first, after)
    place = None if request.cursor is None else decode_cursor("colleagues", request.cursor, (str, UUID))
    async with context.acquire_primary() as connection:
        found = await access_film.list_colleagues(
            connection,
            context.viewer,
            row.user_id,
            to_ask=to_ask,
            search=search,
            after=None if place is None else (place[0], place[1]),
            limit=request.limit + 1,
        )
    return page_of(request, found, [encode_cursor("colleagues", one.name, str(one.id)) for one in found])
