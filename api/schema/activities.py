"""A rep's film: activities of each kind."""

from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo

import strawberry

from api.context import Context
from api.object_plans import refers_to
from api.permissions import ReadsEmailBody
from api.schema.nodes import Connection, Node, global_id
from api.schema.people import User
from domain import access, models
from domain.activities import ActivityFilter as DomainActivityFilter
from domain.ids import decode_id

if TYPE_CHECKING:
    from api.schema.film import Comment, Review
    from api.schema.scorecards import Scorecard

Info = strawberry.Info[Context]

ActivityKind = strawberry.enum(models.ActivityKind, name="ActivityKind", description="The kinds of activities.")
MeetingStatus = strawberry.enum(models.MeetingStatus, name="MeetingStatus", description="What became of a meeting.")


@strawberry.interface(description="One thing that happened.")
class Activity(Node):
    occurred_at: datetime = strawberry.field(description="When it happened; of a meeting, when it was booked.")
    source: str = strawberry.field(description="The system that told of it.")
    external_id: str = strawberry.field(description="Its id there.")
    row: strawberry.Private[models.Activity]

    @strawberry.field(description="Who did it.")
    @refers_to(lambda context: context.users, lambda activity: activity.row.user_id)
    async def user(self, info: Info) -> User:
        row = await info.context.users.load(self.row.user_id)
        if row is None:
            from api.resolvers.film import film_loaders

            # The owner asks the viewer about it.
            row = await film_loaders(info.context).owners.load(self.row.user_id)
        assert row is not None, "an activity has an owner"
        return User.of(row)

    async def _film(self, info: Info) -> models.Film | None:
        from api.resolvers.film import film_loaders

        return await film_loaders(info.context).films.load(self.row.id)

    @strawberry.field(description="How many comments there are on it.")
    async def comment_count(self, info: Info) -> int:
        film = await self._film(info)
        return 0 if film is None else film.comment_count

    @strawberry.field(description="How many scorecards were submitted of it.")
    async def scorecard_count(self, info: Info) -> int:
        film = await self._film(info)
        return 0 if film is None else film.scorecard_count

    @strawberry.field(description="The comments on it that answer no other, the oldest first.")
    async def comments(
        self, info: Info, first: int | None = None, after: str | None = None
    ) -> Connection[Annotated["Comment", strawberry.lazy("api.schema.film")]]:
        from api.resolvers.film import threads_of

        return await threads_of(info.context, self.row.id, first, after)

    @strawberry.field(
        description="The scorecards of it that the viewer may see, the last begun first: one's own, and submitted ones "
        "of reps in sight."
    )
    async def scorecards(
        self, info: Info, first: int | None = None, after: str | None = None
    ) -> Connection[Annotated["Scorecard", strawberry.lazy("api.schema.scorecards")]]:
        from api.resolvers.scorecards import cards_of_activity

        return await cards_of_activity(info.context, self.row.id, first, after)


@strawberry.type(description="An email sent.")
class EmailActivity(Activity, Node):
    subject: str | None = strawberry.field(description="Its subject.")
    bounced: bool = strawberry.field(description="Whether it could not be delivered.")
    open_count: int = strawberry.field(description="How often it was opened.")
    replied_at: datetime | None = strawberry.field(description="When the reply came.")
    cadence: str | None = strawberry.field(description="The cadence that it was a step of.")

    @strawberry.field(
        description="Its text. Null with FORBIDDEN unless one's own, or VIEW_EMAIL_CONTENT.",
        permission_classes=[ReadsEmailBody],
    )
    async def body(self, info: Info) -> str | None:
        access.require_body_in_sight(await info.context.users_in_sight(), self.row.user_id)
        if not self.row.body_stored:
            return None
        return await info.context.email_bodies.load((self.row.id, self.row.user_id))


@strawberry.type(description="A call made.")
class CallActivity(Activity, Node):
    duration_seconds: int = strawberry.field(description="How long it lasted.")
    connected: bool = strawberry.field(description="Whether it reached a person.")
    disposition: str | None = strawberry.field(description="What came of it, in the team's words.")
    sentiment: str | None = strawberry.field(description="How it went, in the team's words.")

    @strawberry.field(description="Its recordings with their analysis, where their source tells that they are of it.")
    async def recordings(self, info: Info) -> list["ConversationActivity"]:
        return await _recordings(info, self.row)


@strawberry.type(description="A meeting with a guest.")
class MeetingActivity(Activity, Node):
    title: str | None = strawberry.field(description="What it is called.")
    starts_at: datetime = strawberry.field(description="When it starts.")
    ends_at: datetime = strawberry.field(description="When it ends.")
    status: MeetingStatus = strawberry.field(description="What became of it.")
    rescheduled_count: int = strawberry.field(description="How often it was moved.")

    @strawberry.field(description="Its recordings with their analysis, where their source tells that they are of it.")
    async def recordings(self, info: Info) -> list["ConversationActivity"]:
        return await _recordings(info, self.row)


@strawberry.type(description="A recorded call or meeting with its analysis.")
class ConversationActivity(Activity, Node):
    duration_seconds: int = strawberry.field(description="How long it lasted.")
    talk_ratio: float | None = strawberry.field(description="The share in which the rep talks.")
    longest_monologue_seconds: int | None = strawberry.field(description="The rep's longest stretch of talk.")
    questions_asked: int | None = strawberry.field(description="Questions that the rep asked.")
    patience_seconds: float | None = strawberry.field(
        description="Silence that the rep leaves after the other side has spoken."
    )
    recording_url: str | None = strawberry.field(
        description="Where it can be heard, an https address, as its source tells."
    )
    reviewed: bool = strawberry.field(description="Whether a manager has reviewed it.")

    @strawberry.field(
        description="The call or meeting that was recorded, where the source tells and the viewer may see."
    )
    async def recorded(self, info: Info) -> Activity | None:
        from api.resolvers.film import film_activity, film_loaders

        if self.row.recorded_external_id is None:
            return None
        found = await film_loaders(info.context).recorded.load(self.row)
        return None if found is None else await film_activity(info.context, found)

    @strawberry.field(description="By which managers and when, the oldest first.")
    async def reviews(self, info: Info) -> list[Annotated["Review", strawberry.lazy("api.schema.film")]]:
        from api.resolvers.film import film_loaders
        from api.schema.film import Review

        return [Review.of(row) for row in await film_loaders(info.context).reviews.load(self.row.id)]


async def _recordings(info: Info, row: models.Activity) -> list[ConversationActivity]:
    """Conversations of what was recorded, as far as the viewer may see them."""
    from api.resolvers.film import film_loaders

    sight = await info.context.film_sight()
    found = await film_loaders(info.context).recordings.load(row)
    shown = [activity_of(one, info.context.viewer.timezone) for one in found]
    return [
        one
        for one in shown
        if isinstance(one, ConversationActivity) and sight.sees(one.row.team_id, one.row.id, one.row.user_id)
    ]


@strawberry.type(description="A step of a cadence.")
class CadenceStepActivity(Activity, Node):
    cadence: str = strawberry.field(description="The cadence.")
    step: int = strawberry.field(description="Which step; 0 is the day on which the person was added.")
    status: str = strawberry.field(description="added, completed, overdue or skipped.")


@strawberry.type(description="An opportunity or deal as it stands.")
class OpportunityActivity(Activity, Node):
    name: str = strawberry.field(description="What it is called.")
    stage: str = strawberry.field(description="Its stage, in the source's words.")
    amount: Decimal | None = strawberry.field(description="Its amount in its own currency.")
    currency: str | None = strawberry.field(description="ISO 4217 code of the amount's currency.")
    created_on: date = strawberry.field(
        description="The local day of its creation; the day that it was first seen where its source does not tell."
    )
    closed_on: date | None = strawberry.field(description="The local day on which it was won or lost.")
    won: bool | None = strawberry.field(description="Whether it was won; null while it is open.")


@strawberry.type(description="A task done.")
class TaskActivity(Activity, Node):
    title: str | None = strawberry.field(description="What was to be done.")
    completed_at: datetime = strawberry.field(description="When it was done.")


def _float(value: Decimal | None) -> float | None:
    return None if value is None else float(value)


def _created_on(row: models.Activity, timezone: str) -> date:
    return row.created_on or row.occurred_at.astimezone(ZoneInfo(timezone)).date()


_Values = Callable[[models.Activity, str], dict[str, Any]]
_KINDS: dict[models.ActivityKind, tuple[type[Activity], _Values]] = {
    models.ActivityKind.EMAIL: (
        EmailActivity,
        lambda row, _zone: {
            "subject": row.name,
            "bounced": bool(row.bounced),
            "open_count": row.open_count,
            "replied_at": row.replied_at,
            "cadence": row.cadence,
        },
    ),
    models.ActivityKind.CALL: (
        CallActivity,
        lambda row, _zone: {
            "duration_seconds": row.duration_seconds,
            "connected": bool(row.connected),
            "disposition": row.disposition,
            "sentiment": row.sentiment,
        },
    ),
    models.ActivityKind.MEETING: (
        MeetingActivity,
        lambda row, _zone: {
            "title": row.name,
            "starts_at": row.starts_at,
            "ends_at": row.ends_at,
            "status": models.MeetingStatus(row.status or "booked"),
            "rescheduled_count": row.rescheduled_count,
        },
    ),
    models.ActivityKind.CONVERSATION: (
        ConversationActivity,
        lambda row, _zone: {
            "duration_seconds": row.duration_seconds,
            "talk_ratio": _float(row.talk_ratio),
            "longest_monologue_seconds": row.longest_monologue_seconds,
            "questions_asked": row.questions_asked,
            "patience_seconds": _float(row.patience_seconds),
            "recording_url": row.recording_url,
            "reviewed": bool(row.reviewed),
        },
    ),
    models.ActivityKind.CADENCE_STEP: (
        CadenceStepActivity,
        lambda row, _zone: {"cadence": row.cadence, "step": row.step, "status": row.status},
    ),
    models.ActivityKind.OPPORTUNITY: (
        OpportunityActivity,
        lambda row, zone: {
            "name": row.name,
            "stage": row.stage,
            "amount": row.amount,
            "currency": row.currency,
            "created_on": _created_on(row, zone),
            "closed_on": row.closed_on,
            "won": row.won,
        },
    ),
    models.ActivityKind.TASK: (
        TaskActivity,
        lambda row, _zone: {"title": row.name, "completed_at": row.completed_at},
    ),
}

ACTIVITY_TYPES: tuple[type[Activity], ...] = tuple(kind[0] for kind in _KINDS.values())


def activity_of(row: models.Activity, timezone: str) -> Activity:
    """An activity as the type of its kind."""
    made, values = _KINDS[row.kind]
    return made(
        id=global_id(made.__name__, row.id),
        occurred_at=row.occurred_at,
        source=row.source,
        external_id=row.external_id,
        row=row,
        **values(row, timezone),
    )


@strawberry.input(description="Which activities; all conditions must hold.")
class ActivityFilter:
    user_id: strawberry.ID | None = strawberry.field(default=None, description="Of this user.")
    group_id: strawberry.ID | None = strawberry.field(
        default=None, description="Of the members of this group and of all groups below it."
    )
    kinds: list[ActivityKind] | None = strawberry.field(default=None, description="Of these kinds.")
    since: datetime | None = strawberry.field(default=None, name="from", description="From this instant on.")
    until: datetime | None = strawberry.field(default=None, name="to", description="Before this instant.")
    cadences: list[str] | None = strawberry.field(
        default=None,
        description="Of these cadences. This and all below goes with a user, or from and to at most 92 days apart.",
    )
    statuses: list[str] | None = strawberry.field(
        default=None, description="Meetings and cadence steps with these statuses, such as held, overdue."
    )
    dispositions: list[str] | None = strawberry.field(default=None, description="Calls with these outcomes.")
    sentiments: list[str] | None = strawberry.field(default=None, description="Calls with these sentiments.")
    connected: bool | None = strawberry.field(default=None, description="Calls that reached a person, or did not.")
    min_duration_seconds: int | None = strawberry.field(default=None, description="Lasting at least so long.")
    max_duration_seconds: int | None = strawberry.field(default=None, description="Lasting at most so long.")
    search: str | None = strawberry.field(default=None, description="With this in subject, title or name, in any case.")
    has_comments: bool | None = strawberry.field(default=None, description="With comments, or without.")
    has_scorecard: bool | None = strawberry.field(default=None, description="With submitted scorecards, or without.")
    reviewed: bool | None = strawberry.field(
        default=None, description="Conversations that a manager has reviewed, or has not."
    )

    def to_domain(self) -> DomainActivityFilter:
        return DomainActivityFilter(
            user_id=None if self.user_id is None else decode_id(self.user_id, "User", path=("filter", "userId")),
            group_id=None if self.group_id is None else decode_id(self.group_id, "Group", path=("filter", "groupId")),
            kinds=None if self.kinds is None else tuple(self.kinds),
            since=self.since,
            until=self.until,
            cadences=_words(self.cadences),
            statuses=_words(self.statuses),
            dispositions=_words(self.dispositions),
            sentiments=_words(self.sentiments),
            connected=self.connected,
            min_duration_seconds=self.min_duration_seconds,
            max_duration_seconds=self.max_duration_seconds,
            search=self.search or None,
            has_comments=self.has_comments,
            has_scorecard=self.has_scorecard,
            reviewed=self.reviewed,
        )


def _words(given: list[str] | None) -> tuple[str, ...] | None:
    return None if given is None else tuple(given)
