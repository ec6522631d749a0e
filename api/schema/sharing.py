"""Film that is shown to others: playlists of examples, and requests for feedback."""

from datetime import date, datetime
from typing import Annotated

import strawberry

from api.schema.activities import Activity
from api.schema.errors import UserError, told
from api.schema.fields import Info, reading, writing
from api.schema.film import Colleague, Comment, colleague
from api.schema.nodes import Connection, Node, global_id
from api.schema.people import Group
from api.schema.scorecards import Scorecard
from domain import models
from domain.feedback import Reply
from domain.ids import decode_id

PlaylistAudience = strawberry.enum(
    models.PlaylistAudience,
    name="PlaylistAudience",
    description="Who finds a playlist. PRIVATE: its owner. GROUP: the members of a group and of all groups below it. "
    "TEAM: everybody.",
)
FeedbackState = strawberry.enum(
    models.FeedbackState,
    name="FeedbackState",
    description="Where a request for feedback stands. While it is OPEN, who is asked may see the activity.",
)


@strawberry.type(description="An example of a playlist.")
class PlaylistItem:
    id: strawberry.ID = strawberry.field(description="For changing it.")
    starts_seconds: int | None = strawberry.field(description="From where to watch; null: from the beginning.")
    ends_seconds: int | None = strawberry.field(description="Until where; null: to the end.")
    note: str | None = strawberry.field(description="Why it is there.")
    row: strawberry.Private[models.PlaylistItem]

    @classmethod
    def of(cls, row: models.PlaylistItem) -> "PlaylistItem":
        return cls(
            id=global_id("PlaylistItem", row.id),
            starts_seconds=row.starts_seconds,
            ends_seconds=row.ends_seconds,
            note=row.note,
            row=row,
        )

    @strawberry.field(description="The activity; null when it has gone out of sight meanwhile.")
    async def activity(self, info: Info) -> Activity | None:
        from api.resolvers.film import film_activity

        return await film_activity(info.context, self.row.activity_id)


@strawberry.type(description="Examples under a name, in an order. It shows nobody what they may not see anyway.")
class Playlist(Node):
    name: str = strawberry.field(description="What it is called.")
    description: str | None = strawberry.field(description="What it is for.")
    audience: PlaylistAudience = strawberry.field(description="Who finds it.")
    created_at: datetime = strawberry.field(description="When it was made.")
    row: strawberry.Private[models.Playlist]

    @classmethod
    def of(cls, row: models.Playlist) -> "Playlist":
        return cls(
            id=global_id("Playlist", row.id),
            name=row.name,
            description=row.description,
            audience=models.PlaylistAudience(row.audience),
            created_at=row.created_at,
            row=row,
        )

    @strawberry.field(description="Whose it is.")
    async def owner(self, info: Info) -> Colleague:
        return await colleague(info, self.row.owner_id)

    @strawberry.field(description="The group that it is shared with.")
    async def group(self, info: Info) -> Group | None:
        if self.row.group_id is None:
            return None
        row = await info.context.groups.load(self.row.group_id)
        return None if row is None else Group.of(row)

    @strawberry.field(description="The examples that the viewer may see, in order; others are not there.")
    async def items(self, info: Info, first: int | None = None, after: str | None = None) -> Connection[PlaylistItem]:
        from api.resolvers.sharing import items_connection

        return await items_connection(info.context, self.row.id, first, after)


@strawberry.type(description="That a rep asks somebody what they think of an activity of the rep's own.")
class FeedbackRequest(Node):
    message: str | None = strawberry.field(description="What for.")
    due_on: date | None = strawberry.field(description="Until when.")
    state: FeedbackState = strawberry.field(description="Where it stands.")
    reason: str | None = strawberry.field(description="Why it was declined.")
    created_at: datetime = strawberry.field(description="When it was made.")
    closed_at: datetime | None = strawberry.field(description="When it ended.")
    row: strawberry.Private[models.FeedbackRequest]

    @classmethod
    def of(cls, row: models.FeedbackRequest) -> "FeedbackRequest":
        return cls(
            id=global_id("FeedbackRequest", row.id),
            message=row.message,
            due_on=row.due_on,
            state=models.FeedbackState(row.state),
            reason=row.reason,
            created_at=row.created_at,
            closed_at=row.closed_at,
            row=row,
        )

    @strawberry.field(description="Who asks.")
    async def rep(self, info: Info) -> Colleague:
        return await colleague(info, self.row.user_id)

    @strawberry.field(description="Who is asked.")
    async def asked(self, info: Info) -> Colleague:
        return await colleague(info, self.row.asked_id)

    @strawberry.field(description="What it is about; null for who was asked and may not see it any more.")
    async def activity(self, info: Info) -> Activity | None:
        from api.resolvers.film import film_activity

        return await film_activity(info.context, self.row.activity_id)

    @strawberry.field(description="The comment that answered it, while the viewer may see it.")
    async def comment(self, info: Info) -> Comment | None:
        from api.resolvers.film import find_comment

        if self.row.comment_id is None:
            return None
        found: Comment | None = await find_comment(info.context, self.row.comment_id)
        return found

    @strawberry.field(description="The scorecard that answered it, while the viewer may see it.")
    async def scorecard(self, info: Info) -> Scorecard | None:
        from api.resolvers.scorecards import find_card

        if self.row.scorecard_id is None:
            return None
        found: Scorecard | None = await find_card(info.context, self.row.scorecard_id)
        return found


@strawberry.input(description="A playlist of one's own.")
class CreatePlaylistInput:
    name: str = strawberry.field(description="What it is called.")
    description: str | None = strawberry.field(default=None, description="What it is for.")
    audience: PlaylistAudience = strawberry.field(default=models.PlaylistAudience.PRIVATE, description="Who finds it.")
    group_id: strawberry.ID | None = strawberry.field(default=None, description="For the audience GROUP: which.")


@strawberry.input(description="What a playlist of one's own is from now on, all of it.")
class UpdatePlaylistInput:
    playlist_id: strawberry.ID = strawberry.field(description="Which.")
    name: str = strawberry.field(description="What it is called.")
    description: str | None = strawberry.field(default=None, description="What it is for.")
    audience: PlaylistAudience = strawberry.field(default=models.PlaylistAudience.PRIVATE, description="Who finds it.")
    group_id: strawberry.ID | None = strawberry.field(default=None, description="For the audience GROUP: which.")


@strawberry.input(description="A playlist.")
class PlaylistInput:
    playlist_id: strawberry.ID = strawberry.field(description="Which.")


@strawberry.input(description="An example for a playlist of one's own; it goes to the end.")
class AddPlaylistItemInput:
    playlist_id: strawberry.ID = strawberry.field(description="Which.")
    activity_id: strawberry.ID = strawberry.field(description="An activity that one may see.")
    starts_seconds: int | None = strawberry.field(default=None, description="From where to watch.")
    ends_seconds: int | None = strawberry.field(default=None, description="Until where.")
    note: str | None = strawberry.field(default=None, description="Why it is there.")


@strawberry.input(description="What a playlist says of an example from now on, all of it; and perhaps another place.")
class UpdatePlaylistItemInput:
    item_id: strawberry.ID = strawberry.field(description="Which.")
    starts_seconds: int | None = strawberry.field(default=None, description="From where to watch.")
    ends_seconds: int | None = strawberry.field(default=None, description="Until where.")
    note: str | None = strawberry.field(default=None, description="Why it is there.")
    after_item_id: strawberry.ID | None = strawberry.field(default=None, description="Move it behind this one.")
    to_the_beginning: bool = strawberry.field(default=False, description="Move it to the beginning.")


@strawberry.input(description="An example of a playlist.")
class PlaylistItemInput:
    item_id: strawberry.ID = strawberry.field(description="Which.")


@strawberry.type(description="The playlist as it stands.")
class PlaylistPayload:
    playlist: Playlist | None = strawberry.field(description="Null when it was refused, or removed.")
    errors: list[UserError] = strawberry.field(description="Why it was refused.")

    @classmethod
    def refused(cls, errors: list[UserError]) -> "PlaylistPayload":
        return cls(playlist=None, errors=errors)


@strawberry.input(description="What a rep asks colleagues.")
class RequestFeedbackInput:
    activity_id: strawberry.ID = strawberry.field(description="An activity of one's own.")
    asked_ids: list[strawberry.ID] = strawberry.field(
        description="Whom: 1 to 10 colleagues; `colleagues` lists who can be asked. Each may see the activity, and "
        "what is said of it, as long as the request is open."
    )
    message: str | None = strawberry.field(default=None, description="What for.")
    due_on: date | None = strawberry.field(default=None, description="Until when.")


@strawberry.type(description="The requests as they stand.")
class RequestFeedbackPayload:
    requests: list[FeedbackRequest] = strawberry.field(description="One for each who is asked; none when refused.")
    errors: list[UserError] = strawberry.field(description="Why it was refused.")


@strawberry.input(description="The end of a request to oneself: by a comment or a submitted scorecard of one's own.")
class AnswerFeedbackRequestInput:
    request_id: strawberry.ID = strawberry.field(description="Which.")
    comment_id: strawberry.ID | None = strawberry.field(default=None, description="The comment that answers it.")
    scorecard_id: strawberry.ID | None = strawberry.field(default=None, description="The scorecard that answers it.")


@strawberry.input(description="A request to oneself that one would rather not answer.")
class DeclineFeedbackRequestInput:
    request_id: strawberry.ID = strawberry.field(description="Which.")
    reason: str | None = strawberry.field(default=None, description="Why.")


@strawberry.input(description="A request of one's own.")
class WithdrawFeedbackRequestInput:
    request_id: strawberry.ID = strawberry.field(description="Which.")


@strawberry.type(description="The request as it stands.")
class FeedbackRequestPayload:
    request: FeedbackRequest | None = strawberry.field(description="Null when it was refused.")
    errors: list[UserError] = strawberry.field(description="Why it was refused.")

    @classmethod
    def refused(cls, errors: list[UserError]) -> "FeedbackRequestPayload":
        return cls(request=None, errors=errors)


@strawberry.input(description="Which requests; all conditions must hold.")
class FeedbackRequestFilter:
    received: bool | None = strawberry.field(default=None, description="Those to the viewer, or those by the viewer.")
    states: list[FeedbackState] | None = strawberry.field(default=None, description="In these states.")


@strawberry.type
class SharingQuery:
    @reading("The playlists that the viewer finds, by name: their own, and those shared with their groups or the team.")
    async def playlists(
        self,
        info: Info,
        first: int | None = None,
        after: str | None = None,
        search: Annotated[str | None, strawberry.argument(description="With this in the name, in any case.")] = None,
    ) -> Connection[Playlist]:
        from api.resolvers.sharing import playlists_connection

        return await playlists_connection(info.context, search, first, after)

    @reading("The requests for feedback by the viewer and to the viewer, the newest first.")
    async def feedback_requests(
        self,
        info: Info,
        first: int | None = None,
        after: str | None = None,
        filter: FeedbackRequestFilter | None = None,
    ) -> Connection[FeedbackRequest]:
        from api.resolvers.sharing import requests_connection

        return await requests_connection(info.context, filter, first, after)


@strawberry.type
class SharingMutation:
    @writing("Make a playlist.")
    async def create_playlist(self, info: Info, input: CreatePlaylistInput) -> PlaylistPayload:
        from api.resolvers.sharing import create_playlist

        async def work() -> PlaylistPayload:
            return PlaylistPayload(playlist=Playlist.of(await create_playlist(info.context, input)), errors=[])

        return await told(work(), PlaylistPayload.refused)

    @writing("Rename a playlist of one's own, or share it otherwise.")
    async def update_playlist(self, info: Info, input: UpdatePlaylistInput) -> PlaylistPayload:
        from api.resolvers.sharing import update_playlist

        async def work() -> PlaylistPayload:
            return PlaylistPayload(playlist=Playlist.of(await update_playlist(info.context, input)), errors=[])

        return await told(work(), PlaylistPayload.refused)

    @writing("Remove a playlist of one's own; the activities stay.")
    async def remove_playlist(self, info: Info, input: PlaylistInput) -> PlaylistPayload:
        from api.resolvers.sharing import remove_playlist

        async def work() -> PlaylistPayload:
            await remove_playlist(info.context, input.playlist_id)
            return PlaylistPayload(playlist=None, errors=[])

        return await told(work(), PlaylistPayload.refused)

    @writing("Put an activity into a playlist of one's own.")
    async def add_playlist_item(self, info: Info, input: AddPlaylistItemInput) -> PlaylistPayload:
        from api.resolvers.sharing import add_item

        async def work() -> PlaylistPayload:
            return PlaylistPayload(playlist=Playlist.of(await add_item(info.context, input)), errors=[])

        return await told(work(), PlaylistPayload.refused)

    @writing("Say otherwise of an example of a playlist of one's own, or move it.")
    async def update_playlist_item(self, info: Info, input: UpdatePlaylistItemInput) -> PlaylistPayload:
        from api.resolvers.sharing import update_item

        async def work() -> PlaylistPayload:
            return PlaylistPayload(playlist=Playlist.of(await update_item(info.context, input)), errors=[])

        return await told(work(), PlaylistPayload.refused)

    @writing("Take an example out of a playlist of one's own.")
    async def remove_playlist_item(self, info: Info, input: PlaylistItemInput) -> PlaylistPayload:
        from api.resolvers.sharing import remove_item

        async def work() -> PlaylistPayload:
            return PlaylistPayload(playlist=Playlist.of(await remove_item(info.context, input.item_id)), errors=[])

        return await told(work(), PlaylistPayload.refused)

    @writing("Ask colleagues for feedback on an activity of one's own, and let them see it until the request ends.")
    async def request_feedback(self, info: Info, input: RequestFeedbackInput) -> RequestFeedbackPayload:
        from api.resolvers.sharing import ask

        async def work() -> RequestFeedbackPayload:
            found = [FeedbackRequest.of(row) for row in await ask(info.context, input)]
            return RequestFeedbackPayload(requests=found, errors=[])

        return await told(work(), lambda errors: RequestFeedbackPayload(requests=[], errors=errors))

    @writing("Answer a request for feedback.")
    async def answer_feedback_request(self, info: Info, input: AnswerFeedbackRequestInput) -> FeedbackRequestPayload:
        async def work() -> FeedbackRequestPayload:
            return await _ended(info, input.request_id, _answer(input))

        return await told(work(), FeedbackRequestPayload.refused)

    @writing("Decline a request for feedback.")
    async def decline_feedback_request(self, info: Info, input: DeclineFeedbackRequestInput) -> FeedbackRequestPayload:
        reply = Reply(models.FeedbackState.DECLINED, reason=input.reason)
        return await told(_ended(info, input.request_id, reply), FeedbackRequestPayload.refused)

    @writing("Withdraw a request for feedback: who was asked sees the activity no more, unless they may anyway.")
    async def withdraw_feedback_request(
        self, info: Info, input: WithdrawFeedbackRequestInput
    ) -> FeedbackRequestPayload:
        reply = Reply(models.FeedbackState.WITHDRAWN)
        return await told(_ended(info, input.request_id, reply), FeedbackRequestPayload.refused)


def _answer(given: AnswerFeedbackRequestInput) -> Reply:
    comment, card = given.comment_id, given.scorecard_id
    return Reply(
        models.FeedbackState.ANSWERED,
        comment_id=None if comment is None else decode_id(comment, "Comment", path=("input", "commentId")),
        scorecard_id=None if card is None else decode_id(card, "Scorecard", path=("input", "scorecardId")),
    )


async def _ended(info: Info, request_id: str, reply: Reply) -> FeedbackRequestPayload:
    from api.resolvers.sharing import end_request

    found = FeedbackRequest.of(await end_request(info.context, request_id, reply))
    return FeedbackRequestPayload(request=found, errors=[])
