"""What is said of film, as files: comments, mentions, scorecards, calibrations, playlists, requests for feedback.

Who sees film may hang on a request for feedback that is open, and a card on a calibration that is: none of it is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec

from domain import (
    access,
    access_film,
    activities,
    calibrations,
    comments,
    feedback,
    playlists,
    scorecard_templates,
    scorecards,
)
from domain.access_film import FilmSight
from domain.errors import NotFound
from domain.exports.activities import TYPE_NAMES
from domain.exports.columns import Chosen, Column, ColumnKind, within
from domain.exports.people import groups_of
from domain.exports.source import (
    Exportable,
    Instant,
    Look,
    NoArguments,
    Rows,
    Text,
    Texts,
    all_of,
    id_column,
    instant,
    row_id,
)
from domain.feedback import RequestFilter
from domain.ids import decode_any_id, encode_id
from domain.models import (
    Activity,
    Calibration,
    CalibrationState,
    Comment,
    FeedbackRequest,
    FeedbackState,
    Group,
    Mention,
    Playlist,
    PlaylistAudience,
    PlaylistItem,
    Relation,
    ScorecardState,
    ScorecardTemplate,
)
from domain.models.people import Permission
from domain.paging import PageRequest
from domain.scorecard_templates import Version
from domain.scorecards import Card, CardFilter

_K = ColumnKind


@dataclass(frozen=True, slots=True)
class Around:
    """What belongs to some rows: activities in sight, and names of who takes part in what is seen."""

    activities: Mapping[UUID, Activity]
    names: Mapping[UUID, str]


async def _film(look: Look) -> FilmSight:
    found = await access_film.see_film(look.connection, look.viewer)
    return FilmSight(look.standing.users, look.viewer.user_id, found.granted)


async def _around(
    look: Look,
    film: FilmSight,
    chosen: Chosen[Any],
    activity_ids: Iterable[UUID],
    people: Iterable[UUID],
) -> Around:
    found: Mapping[UUID, Activity] = {}
    if chosen.any("activity"):
        ids = sorted(set(activity_ids))
        rows = await activities.film_by_id(look.connection, film, ids)
        found = {row.id: row for row in rows if row is not None}
    named = await access_film.colleagues_by_id(look.connection, look.viewer.team_id, set(people))
    return Around(found, {one.id: one.name for one in named.values()})


def _activity_columns(read: Callable[[Any], Activity | None]) -> tuple[Column[Any], ...]:
    return (
        Column(
            "activity.id",
            _K.ID,
            lambda row: within(read(row), lambda one: encode_id(TYPE_NAMES[one.kind], one.id)),
        ),
        Column("activity.__typename", _K.STRING, lambda row: within(read(row), lambda one: TYPE_NAMES[one.kind])),
        Column("activity.occurredAt", _K.DATETIME, lambda row: within(read(row), lambda one: one.occurred_at)),
    )


def _name_columns(name: str, read: Callable[[Any], tuple[UUID, Around]]) -> tuple[Column[Any], ...]:
    """Somebody who takes part, by name."""

    def shown(row: Any) -> str | None:
        user_id, around = read(row)
        return around.names.get(user_id)

    return (
        Column(f"{name}.id", _K.ID, lambda row: encode_id("User", read(row)[0])),
        Column(f"{name}.name", _K.STRING, shown),
    )


# Comments.


@dataclass(frozen=True, slots=True)
class CommentRow:
    """A comment, with its answers."""

    comment: Comment
    answers: Sequence[Comment]
    around: Around

    def told(self) -> list[dict[str, Any]]:
        """The answers."""
        return [
            {
                "id": encode_id("Comment", one.id),
                "author": {"id": encode_id("User", one.author_id), "name": self.around.names.get(one.author_id)},
                "body": one.body,
                "createdAt": one.created_at,
            }
            for one in self.answers
        ]


COMMENT_COLUMNS: tuple[Column[CommentRow], ...] = (
    id_column("Comment", lambda row: row.comment.id),
    *_name_columns("author", lambda row: (row.comment.author_id, row.around)),
    *_activity_columns(lambda row: row.around.activities.get(row.comment.activity_id)),
    Column("body", _K.STRING, lambda row: row.comment.body),
    Column("atSeconds", _K.INT, lambda row: row.comment.at_seconds),
    Column("version", _K.INT, lambda row: row.comment.version),
    Column("createdAt", _K.DATETIME, lambda row: row.comment.created_at),
    Column("editedAt", _K.DATETIME, lambda row: row.comment.edited_at),
    Column("deletedAt", _K.DATETIME, lambda row: row.comment.deleted_at),
    Column("answers", _K.JSON, lambda row: row.told()),
)


class CommentsArguments(NoArguments, frozen=True):
    """Of an activity's `comments`."""

    activity_id: Text


async def _activity(look: Look, given: Text, *path: str) -> UUID:
    """An activity in sight.

    Raises:
        NotFound: there is none.
    """
    decoded = decode_any_id(given)
    found: Sequence[Activity | None] = [None]
    if decoded is not None and decoded[0] in TYPE_NAMES.values():
        found = await activities.film_by_id(look.connection, await _film(look), [decoded[1]])
    if found[0] is None:
        raise NotFound("No such activity.", path=path)
    return found[0].id


async def _read_comments(
    look: Look, given: CommentsArguments, request: PageRequest, chosen: Chosen[Any]
) -> Rows[CommentRow]:
    activity_id = await _activity(look, given.activity_id, "activityId")
    page = await comments.list_threads(look.connection, look.viewer.team_id, activity_id, request)
    answers: Mapping[UUID, list[Comment]] = {}
    if chosen.any("answers"):
        answers = await comments.answers_of(look.connection, look.viewer.team_id, [one.id for one in page.nodes])
    authors = {one.author_id for one in page.nodes} | {one.author_id for found in answers.values() for one in found}
    around = await _around(look, await _film(look), chosen, [activity_id], authors)
    return Rows.of(page, [CommentRow(one, answers.get(one.id, ()), around) for one in page.nodes])


async def _count_comments(look: Look, given: CommentsArguments) -> int:
    activity_id = await _activity(look, given.activity_id, "activityId")
    return await comments.count_threads(look.connection, look.viewer.team_id, activity_id)


@dataclass(frozen=True, slots=True)
class MentionRow:
    """A mention of the viewer, with the comment."""

    mention: Mention
    comment: Comment | None
    around: Around


def _comment_column(name: str, kind: ColumnKind, read: Callable[[Comment], Any]) -> Column[MentionRow]:
    return Column(f"comment.{name}", kind, lambda row: within(row.comment, read))


MENTION_COLUMNS: tuple[Column[MentionRow], ...] = (
    id_column("Mention", lambda row: row.mention.id),
    Column("createdAt", _K.DATETIME, lambda row: row.mention.created_at),
    Column("readAt", _K.DATETIME, lambda row: row.mention.read_at),
    _comment_column("id", _K.ID, lambda one: encode_id("Comment", one.id)),
    _comment_column("body", _K.STRING, lambda one: one.body),
    _comment_column("atSeconds", _K.INT, lambda one: one.at_seconds),
    _comment_column("createdAt", _K.DATETIME, lambda one: one.created_at),
)


class MentionsArguments(NoArguments, frozen=True):
    """Of `mentions`."""

    unread: bool | None = None


async def _read_mentions(
    look: Look, given: MentionsArguments, request: PageRequest, chosen: Chosen[Any]
) -> Rows[MentionRow]:
    film = await _film(look)
    page = await comments.list_mentions(look.connection, film, given.unread, request)
    said: Mapping[UUID, Comment] = {}
    if chosen.any("comment"):
        said = await comments.comments_by_id(look.connection, film, [one.comment_id for one in page.nodes])
    return Rows.of(page, [MentionRow(one, said.get(one.comment_id), Around({}, {})) for one in page.nodes])


async def _count_mentions(look: Look, given: MentionsArguments) -> int:
    return await comments.count_mentions(look.connection, await _film(look), given.unread)


# Scorecards.


@dataclass(frozen=True, slots=True)
class CardRow:
    """A scorecard, with its template's name and the questions that were answered."""

    card: Card
    template: ScorecardTemplate | None
    version: Version | None
    around: Around

    def answers(self) -> list[dict[str, Any]]:
        """What was answered, in the order of the questions."""
        if self.version is None:
            return []
        given = {answer.key: answer for answer in self.card.answers}
        return [
            {
                "question": {"key": question.key},
                "scale": given[question.key].scale,
                "yes": given[question.key].yes,
                "text": given[question.key].text,
                "remark": given[question.key].remark,
            }
            for question in self.version.questions
            if question.key in given
        ]


CARD_COLUMNS: tuple[Column[CardRow], ...] = (
    id_column("Scorecard", lambda row: row.card.id),
    Column("state", _K.ENUM, lambda row: row.card.state.name),
    Column("relation", _K.ENUM, lambda row: row.card.relation.name),
    Column("template.id", _K.ID, lambda row: encode_id("ScorecardTemplate", row.card.template_id)),
    Column("template.name", _K.STRING, lambda row: None if row.template is None else row.template.name),
    Column("version", _K.INT, lambda row: row.card.version),
    *_activity_columns(lambda row: row.around.activities.get(row.card.activity_id)),
    *_name_columns("rep", lambda row: (row.card.user_id, row.around)),
    *_name_columns("scorer", lambda row: (row.card.scorer_id, row.around)),
    Column("score", _K.DECIMAL, lambda row: row.card.score),
    Column("note", _K.STRING, lambda row: row.card.note),
    Column("answers", _K.JSON, lambda row: row.answers()),
    Column("revision", _K.INT, lambda row: row.card.revision),
    Column("createdAt", _K.DATETIME, lambda row: row.card.created_at),
    Column("submittedAt", _K.DATETIME, lambda row: row.card.submitted_at),
)


class CardFilterArgument(NoArguments, frozen=True):
    """Which scorecards; all conditions must hold."""

    user_id: Text | None = None
    scorer_id: Text | None = None
    template_id: Text | None = None
    relations: Texts | None = None
    states: Texts | None = None
    since: Instant | None = msgspec.field(default=None, name="from")
    until: Instant | None = msgspec.field(default=None, name="to")

    def to_domain(self, look: Look) -> CardFilter:
        """As the domain has it.

        Raises:
            NotFound: the rep is not in sight.
            Forbidden: the rep is somebody else, and the viewer lacks `TEAM_VIEW`.
        """
        user_id = row_id(self.user_id, "User", "filter", "userId")
        if user_id is not None:
            access.require_seen(look.standing.users, user_id, "user", path=("filter", "userId"))
            if user_id != look.viewer.user_id:
                access.require(look.viewer, Permission.TEAM_VIEW)
        return CardFilter(
            user_id=user_id,
            scorer_id=row_id(self.scorer_id, "User", "filter", "scorerId"),
            template_id=row_id(self.template_id, "ScorecardTemplate", "filter", "templateId"),
            relations=all_of(Relation, self.relations, "filter", "relations"),
            states=all_of(ScorecardState, self.states, "filter", "states"),
            since=instant(self.since, "filter", "from"),
            until=instant(self.until, "filter", "to"),
        )


class CardsArguments(NoArguments, frozen=True):
    """Of `scorecards`."""

    filter: CardFilterArgument = CardFilterArgument()


async def _read_cards(look: Look, given: CardsArguments, request: PageRequest, chosen: Chosen[Any]) -> Rows[CardRow]:
    film, team_id = await _film(look), look.viewer.team_id
    page = await scorecards.list_cards(look.connection, film, given.filter.to_domain(look), request)
    people = {one for card in page.nodes for one in (card.user_id, card.scorer_id)}
    around = await _around(look, film, chosen, (card.activity_id for card in page.nodes), people)
    ids = sorted({card.template_id for card in page.nodes})
    templates = await scorecard_templates.templates_by_id(look.connection, team_id, ids)
    versions: Mapping[tuple[UUID, int], Version] = {}
    if chosen.any("answers"):
        keys = sorted({(card.template_id, card.version) for card in page.nodes})
        versions = await scorecard_templates.versions_by_key(look.connection, team_id, keys)
    return Rows.of(
        page,
        [
            CardRow(card, templates.get(card.template_id), versions.get((card.template_id, card.version)), around)
            for card in page.nodes
        ],
    )


async def _count_cards(look: Look, given: CardsArguments) -> int:
    return await scorecards.count_cards(look.connection, await _film(look), given.filter.to_domain(look))


@dataclass(frozen=True, slots=True)
class RoundRow:
    """A calibration, with its template's name."""

    round: Calibration
    template: ScorecardTemplate | None
    around: Around


ROUND_COLUMNS: tuple[Column[RoundRow], ...] = (
    id_column("Calibration", lambda row: row.round.id),
    Column("state", _K.ENUM, lambda row: CalibrationState(row.round.state).name),
    Column("template.id", _K.ID, lambda row: encode_id("ScorecardTemplate", row.round.template_id)),
    Column("template.name", _K.STRING, lambda row: None if row.template is None else row.template.name),
    Column("version", _K.INT, lambda row: row.round.version),
    *_activity_columns(lambda row: row.around.activities.get(row.round.activity_id)),
    *_name_columns("organizer", lambda row: (row.round.organizer_id, row.around)),
    Column("dueOn", _K.DATE, lambda row: row.round.due_on),
    Column("createdAt", _K.DATETIME, lambda row: row.round.created_at),
    Column("closedAt", _K.DATETIME, lambda row: row.round.closed_at),
)


class RoundsArguments(NoArguments, frozen=True):
    """Of `calibrations`."""

    template_id: Text | None = None
    open: bool | None = None


async def _read_rounds(look: Look, given: RoundsArguments, request: PageRequest, chosen: Chosen[Any]) -> Rows[RoundRow]:
    film, template = await _film(look), row_id(given.template_id, "ScorecardTemplate", "templateId")
    page = await calibrations.list_rounds(look.connection, film, template, given.open, request)
    around = await _around(
        look, film, chosen, (one.activity_id for one in page.nodes), {one.organizer_id for one in page.nodes}
    )
    ids = sorted({one.template_id for one in page.nodes})
    templates = await scorecard_templates.templates_by_id(look.connection, look.viewer.team_id, ids)
    return Rows.of(page, [RoundRow(one, templates.get(one.template_id), around) for one in page.nodes])


async def _count_rounds(look: Look, given: RoundsArguments) -> int:
    template = row_id(given.template_id, "ScorecardTemplate", "templateId")
    return await calibrations.count_rounds(look.connection, await _film(look), template, given.open)


# Playlists and requests.


@dataclass(frozen=True, slots=True)
class PlaylistRow:
    """A playlist, with the group that it is shared with."""

    playlist: Playlist
    group: Group | None
    around: Around


PLAYLIST_COLUMNS: tuple[Column[PlaylistRow], ...] = (
    id_column("Playlist", lambda row: row.playlist.id),
    Column("name", _K.STRING, lambda row: row.playlist.name),
    Column("description", _K.STRING, lambda row: row.playlist.description),
    Column("audience", _K.ENUM, lambda row: PlaylistAudience(row.playlist.audience).name),
    *_name_columns("owner", lambda row: (row.playlist.owner_id, row.around)),
    Column("group.id", _K.ID, lambda row: within(row.group, lambda one: encode_id("Group", one.id))),
    Column("group.name", _K.STRING, lambda row: within(row.group, lambda one: one.name)),
    Column("createdAt", _K.DATETIME, lambda row: row.playlist.created_at),
)


class PlaylistsArguments(NoArguments, frozen=True):
    """Of `playlists`."""

    search: Text | None = None


async def _read_playlists(
    look: Look, given: PlaylistsArguments, request: PageRequest, chosen: Chosen[Any]
) -> Rows[PlaylistRow]:
    sight = await access_film.see_playlists(look.connection, look.viewer)
    page = await playlists.list_playlists(look.connection, sight, given.search, request)
    groups = await groups_of(look, {one.group_id for one in page.nodes})
    around = await _around(look, await _film(look), chosen, (), {one.owner_id for one in page.nodes})
    return Rows.of(page, [PlaylistRow(one, groups.get(one.group_id), around) for one in page.nodes])


async def _count_playlists(look: Look, given: PlaylistsArguments) -> int:
    sight = await access_film.see_playlists(look.connection, look.viewer)
    return await playlists.count_playlists(look.connection, sight, given.search)


@dataclass(frozen=True, slots=True)
class ItemRow:
    """An example of a playlist."""

    item: PlaylistItem
    around: Around


ITEM_COLUMNS: tuple[Column[ItemRow], ...] = (
    id_column("PlaylistItem", lambda row: row.item.id),
    *_activity_columns(lambda row: row.around.activities.get(row.item.activity_id)),
    Column("startsSeconds", _K.INT, lambda row: row.item.starts_seconds),
    Column("endsSeconds", _K.INT, lambda row: row.item.ends_seconds),
    Column("note", _K.STRING, lambda row: row.item.note),
)


class ItemsArguments(NoArguments, frozen=True):
    """Of a playlist's `items`."""

    playlist_id: Text


async def _playlist(look: Look, given: ItemsArguments) -> UUID:
    playlist_id = row_id(given.playlist_id, "Playlist", "playlistId")
    assert playlist_id is not None, "it has no default"
    sight = await access_film.see_playlists(look.connection, look.viewer)
    if playlist_id not in await playlists.playlists_by_id(look.connection, sight, [playlist_id]):
        raise NotFound("No such playlist.", path=("playlistId",))
    return playlist_id


async def _read_items(look: Look, given: ItemsArguments, request: PageRequest, chosen: Chosen[Any]) -> Rows[ItemRow]:
    film = await _film(look)
    page = await playlists.list_items(look.connection, film, await _playlist(look, given), request)
    around = await _around(look, film, chosen, (one.activity_id for one in page.nodes), ())
    return Rows.of(page, [ItemRow(one, around) for one in page.nodes])


async def _count_items(look: Look, given: ItemsArguments) -> int:
    return await playlists.count_items(look.connection, await _film(look), await _playlist(look, given))


@dataclass(frozen=True, slots=True)
class RequestRow:
    """A request for feedback."""

    request: FeedbackRequest
    around: Around


REQUEST_COLUMNS: tuple[Column[RequestRow], ...] = (
    id_column("FeedbackRequest", lambda row: row.request.id),
    *_name_columns("rep", lambda row: (row.request.user_id, row.around)),
    *_name_columns("asked", lambda row: (row.request.asked_id, row.around)),
    *_activity_columns(lambda row: row.around.activities.get(row.request.activity_id)),
    Column("message", _K.STRING, lambda row: row.request.message),
    Column("dueOn", _K.DATE, lambda row: row.request.due_on),
    Column("state", _K.ENUM, lambda row: FeedbackState(row.request.state).name),
    Column("reason", _K.STRING, lambda row: row.request.reason),
    Column("createdAt", _K.DATETIME, lambda row: row.request.created_at),
    Column("closedAt", _K.DATETIME, lambda row: row.request.closed_at),
)


class RequestFilterArgument(NoArguments, frozen=True):
    """Which requests; all conditions must hold."""

    received: bool | None = None
    states: Texts | None = None

    def to_domain(self) -> RequestFilter:
        """As the domain has it."""
        return RequestFilter(self.received, all_of(FeedbackState, self.states, "filter", "states"))


class RequestsArguments(NoArguments, frozen=True):
    """Of `feedbackRequests`."""

    filter: RequestFilterArgument = RequestFilterArgument()


async def _read_requests(
    look: Look, given: RequestsArguments, request: PageRequest, chosen: Chosen[Any]
) -> Rows[RequestRow]:
    page = await feedback.list_requests(look.connection, look.viewer, given.filter.to_domain(), request)
    people = {one for row in page.nodes for one in (row.user_id, row.asked_id)}
    around = await _around(look, await _film(look), chosen, (one.activity_id for one in page.nodes), people)
    return Rows.of(page, [RequestRow(one, around) for one in page.nodes])


async def _count_requests(look: Look, given: RequestsArguments) -> int:
    return await feedback.count_requests(look.connection, look.viewer, given.filter.to_domain())


EXPORTABLES = (
    Exportable(
        "activity.comments",
        "Activity.comments",
        "The comments on an activity that answer no other, the oldest first, with their answers.",
        COMMENT_COLUMNS,
        CommentsArguments,
        _read_comments,
        _count_comments,
        keepable=False,
    ),
    Exportable(
        "mentions",
        "Query.mentions",
        "The comments that call the viewer, on film that the viewer may see, the newest first.",
        MENTION_COLUMNS,
        MentionsArguments,
        _read_mentions,
        _count_mentions,
        keepable=False,
    ),
    Exportable(
        "scorecards",
        "Query.scorecards",
        "The scorecards that the viewer may see, the last begun first: their own, and submitted ones of reps in sight.",
        CARD_COLUMNS,
        CardsArguments,
        _read_cards,
        _count_cards,
        keepable=False,
    ),
    Exportable(
        "calibrations",
        "Query.calibrations",
        "The calibrations that the viewer may see, the last called first.",
        ROUND_COLUMNS,
        RoundsArguments,
        _read_rounds,
        _count_rounds,
        keepable=False,
    ),
    Exportable(
        "playlists",
        "Query.playlists",
        "The playlists that the viewer finds, by name.",
        PLAYLIST_COLUMNS,
        PlaylistsArguments,
        _read_playlists,
        _count_playlists,
        keepable=False,
    ),
    Exportable(
        "playlist.items",
        "Playlist.items",
        "The examples of a playlist that the viewer may see, in order.",
        ITEM_COLUMNS,
        ItemsArguments,
        _read_items,
        _count_items,
        keepable=False,
    ),
    Exportable(
        "feedbackRequests",
        "Query.feedbackRequests",
        "The requests for feedback by the viewer and to the viewer, the newest first.",
        REQUEST_COLUMNS,
        RequestsArguments,
        _read_requests,
        _count_requests,
        keepable=False,
    ),
)
