"""What is said of a rep's film: comments, mentions, reviews; and Individual View, which shows it."""

from datetime import datetime
from enum import Enum
from typing import Annotated
from uuid import UUID

import strawberry

from api.schema.activities import Activity, ActivityFilter, ActivityKind
from api.schema.errors import UserError, told
from api.schema.fields import Info, reading, writing
from api.schema.nodes import Connection, Edge, Node, PageInfo, global_id, page_info
from api.schema.people import User
from domain import individual_view, models
from domain.access_film import Colleague as DomainColleague
from domain.activities import ActivityFilter as DomainActivityFilter
from domain.paging import page_request

ReviewWay = strawberry.enum(
    models.ReviewWay, name="ReviewWay", description="What showed that a manager has reviewed a conversation."
)


@strawberry.enum(description="What colleagues are looked for.")
class ColleaguePurpose(Enum):
    MENTION = strawberry.enum_value("MENTION", description="Who may see the activity, and can be mentioned on it.")
    FEEDBACK = strawberry.enum_value("FEEDBACK", description="Whom its owner can ask for feedback on it.")


@strawberry.type(description="Somebody by name: what one must know of who takes part in film that one sees.")
class Colleague:
    id: strawberry.ID = strawberry.field(description="The person's id as a user, for mentions and requests.")
    name: str = strawberry.field(description="What the person is called.")
    person: strawberry.Private[DomainColleague]

    @classmethod
    def of(cls, found: DomainColleague) -> "Colleague":
        return cls(id=global_id("User", found.id), name=found.name, person=found)

    @strawberry.field(description="The person; null where the viewer may not see more of them than the name.")
    async def user(self, info: Info) -> User | None:
        row = await info.context.users.load(self.person.id)
        return None if row is None else User.of(row)


async def colleague(info: Info, user_id: UUID) -> Colleague:
    """Who takes part in film that the viewer sees."""
    from api.resolvers.film import film_loaders

    return Colleague.of(await film_loaders(info.context).people.load(user_id))


@strawberry.type(description="What a comment said before it was edited.")
class CommentVersion:
    version: int = strawberry.field(description="The how-manieth.")
    body: str = strawberry.field(description="The text.")
    at_seconds: int | None = strawberry.field(description="The moment that it was about.")
    written_at: datetime = strawberry.field(description="When it was written.")


@strawberry.type(description="What somebody said of an activity, perhaps of one moment of it.")
class Comment(Node):
    body: str | None = strawberry.field(description="The text; null when it was deleted.")
    at_seconds: int | None = strawberry.field(
        description="The moment that it is about, in seconds into the conversation, call or meeting; null: the whole."
    )
    version: int = strawberry.field(description="Grows with every editing.")
    created_at: datetime = strawberry.field(description="When it was written.")
    edited_at: datetime | None = strawberry.field(description="When it was last edited.")
    deleted_at: datetime | None = strawberry.field(description="When its text was taken away.")
    row: strawberry.Private[models.Comment]

    @classmethod
    def of(cls, row: models.Comment) -> "Comment":
        return cls(
            id=global_id("Comment", row.id),
            body=row.body,
            at_seconds=row.at_seconds,
            version=row.version,
            created_at=row.created_at,
            edited_at=row.edited_at,
            deleted_at=row.deleted_at,
            row=row,
        )

    @strawberry.field(description="Who said it.")
    async def author(self, info: Info) -> Colleague:
        return await colleague(info, self.row.author_id)

    @strawberry.field(description="What it is said of; null where the viewer may not see it any more.")
    async def activity(self, info: Info) -> Activity | None:
        from api.resolvers.film import film_activity

        return await film_activity(info.context, self.row.activity_id)

    @strawberry.field(description="Whom it calls.")
    async def mentions(self, info: Info) -> list[Colleague]:
        from api.resolvers.film import film_loaders

        loaders = film_loaders(info.context)
        return [Colleague.of(one) for one in await loaders.people.load_many(await loaders.mentioned.load(self.row.id))]

    @strawberry.field(description="The answers to it, the oldest first; of an answer none. At most 200.")
    async def answers(self, info: Info) -> list["Comment"]:
        from api.resolvers.film import film_loaders

        if self.row.parent_id is not None:
            return []
        return [Comment.of(row) for row in await film_loaders(info.context).answers.load(self.row.id)]

    @strawberry.field(description="What it said before it was edited, the oldest first.")
    async def earlier_versions(self, info: Info) -> list[CommentVersion]:
        from api.resolvers.film import film_loaders

        if self.row.version == 1:
            return []
        return [
            CommentVersion(version=row.version, body=row.body, at_seconds=row.at_seconds, written_at=row.written_at)
            for row in await film_loaders(info.context).comment_versions.load(self.row.id)
        ]


@strawberry.type(description="That a comment calls the viewer.")
class Mention:
    id: strawberry.ID = strawberry.field(description="For marking it.")
    created_at: datetime = strawberry.field(description="When it was made.")
    read_at: datetime | None = strawberry.field(description="When the viewer marked it as read.")
    row: strawberry.Private[models.Mention]

    @classmethod
    def of(cls, row: models.Mention) -> "Mention":
        return cls(id=global_id("Mention", row.id), created_at=row.created_at, read_at=row.read_at, row=row)

    @strawberry.field(description="The comment; null when it has gone out of sight meanwhile.")
    async def comment(self, info: Info) -> Comment | None:
        from api.resolvers.film import find_comment

        found: Comment | None = await find_comment(info.context, self.row.comment_id)
        return found


@strawberry.type(description="That a manager has reviewed a conversation.")
class Review:
    way: ReviewWay = strawberry.field(description="What showed it first.")
    created_at: datetime = strawberry.field(description="When.")
    row: strawberry.Private[models.Review]

    @strawberry.field(description="Who reviewed it.")
    async def reviewer(self, info: Info) -> Colleague:
        return await colleague(info, self.row.reviewer_id)

    @classmethod
    def of(cls, row: models.Review) -> "Review":
        return cls(way=models.ReviewWay(row.way), created_at=row.created_at, row=row)


@strawberry.type(description="How many activities of a kind there are, and what was said of them.")
class FilmKindCount:
    kind: ActivityKind = strawberry.field(description="The kind.")
    count: int = strawberry.field(description="How many.")
    commented: int = strawberry.field(description="How many of them have comments.")
    scored: int = strawberry.field(description="How many of them have submitted scorecards.")
    reviewed: int = strawberry.field(description="How many of them a manager has reviewed.")


@strawberry.type(description="How much of a cadence there is.")
class FilmCadenceCount:
    cadence: str = strawberry.field(description="The cadence.")
    emails: int = strawberry.field(description="Emails that were steps of it.")
    steps_completed: int = strawberry.field(description="Steps done.")
    steps_overdue: int = strawberry.field(description="Steps not done in time.")
    people_added: int = strawberry.field(description="People who entered it.")


@strawberry.type(description="The tab Individual View: one rep's film, in numbers and one by one.")
class IndividualView:
    user_id: strawberry.Private[UUID]
    wanted: strawberry.Private[ActivityFilter | None]

    def _filter(self) -> DomainActivityFilter:
        return DomainActivityFilter() if self.wanted is None else self.wanted.to_domain()

    async def _counts(self, info: Info) -> individual_view.FilmCounts:
        from api.resolvers.film import film_counts

        async def look() -> individual_view.FilmCounts:
            return await film_counts(info.context, self.user_id, self._filter())

        return await info.context.once(f"film counts {id(self)}", look)

    @strawberry.field(description="Whose film it is.")
    async def user(self, info: Info) -> User:
        row = await info.context.users.load(self.user_id)
        assert row is not None, "the rep is in sight"
        return User.of(row)

    @strawberry.field(description="The activities by kind; without kinds of which there are none.")
    async def kinds(self, info: Info) -> list[FilmKindCount]:
        return [
            FilmKindCount(
                kind=one.kind, count=one.count, commented=one.commented, scored=one.scored, reviewed=one.reviewed
            )
            for one in (await self._counts(info)).kinds
        ]

    @strawberry.field(description="The activities of cadences by cadence, the fullest first; at most 100.")
    async def cadences(self, info: Info) -> list[FilmCadenceCount]:
        return [
            FilmCadenceCount(
                cadence=one.cadence,
                emails=one.emails,
                steps_completed=one.steps_completed,
                steps_overdue=one.steps_overdue,
                people_added=one.people_added,
            )
            for one in (await self._counts(info)).cadences
        ]

    @strawberry.field(description="The activities, the newest first.")
    async def activities(self, info: Info, first: int | None = None, after: str | None = None) -> Connection[Activity]:
        from api.resolvers.activities import activities_of

        return await activities_of(info, page_request(first, after), self.wanted, user_id=self.user_id)


@strawberry.type(description="A page of colleagues.")
class ColleagueConnection:
    edges: list[Edge[Colleague]] = strawberry.field(description="The entries with their cursors.")
    nodes: list[Colleague] = strawberry.field(description="The entries.")
    page_info: PageInfo = strawberry.field(description="Where the page stands in its list.")


@strawberry.input(description="What is said of an activity that the viewer sees.")
class AddCommentInput:
    activity_id: strawberry.ID = strawberry.field(description="Of what.")
    body: str = strawberry.field(description="The text, up to 10000 characters.")
    at_seconds: int | None = strawberry.field(
        default=None, description="Of which moment: seconds into the conversation, call or meeting."
    )
    answers_id: strawberry.ID | None = strawberry.field(default=None, description="The comment that it answers.")
    mention_ids: list[strawberry.ID] | None = strawberry.field(
        default=None, description="Whom it calls: colleagues who may see the activity; `colleagues` lists them."
    )


@strawberry.input(description="What a comment of the viewer's own says from now on.")
class EditCommentInput:
    comment_id: strawberry.ID = strawberry.field(description="Which.")
    body: str = strawberry.field(description="The new text.")
    at_seconds: int | None = strawberry.field(default=None, description="The new moment; without it, the whole.")
    mention_ids: list[strawberry.ID] | None = strawberry.field(
        default=None, description="Whom it calls from now on; without it, whom it called."
    )
    expected_version: int | None = strawberry.field(
        default=None, description="The version that was seen; another one refuses the change."
    )


@strawberry.input(description="A comment.")
class CommentInput:
    comment_id: strawberry.ID = strawberry.field(description="Which.")


@strawberry.type(description="The comment as it stands.")
class CommentPayload:
    comment: Comment | None = strawberry.field(description="Null when it was refused.")
    errors: list[UserError] = strawberry.field(description="Why it was refused.")

    @classmethod
    def refused(cls, errors: list[UserError]) -> "CommentPayload":
        return cls(comment=None, errors=errors)


@strawberry.input(description="Mentions of the viewer.")
class MarkMentionsInput:
    mention_ids: list[strawberry.ID] | None = strawberry.field(default=None, description="Which; without it, all.")
    read: bool = strawberry.field(default=True, description="Whether they are read or unread from now on.")


@strawberry.type(description="What was marked.")
class MarkMentionsPayload:
    changed: int = strawberry.field(description="How many mentions changed.")
    errors: list[UserError] = strawberry.field(description="Why it was refused.")


@strawberry.input(description="A conversation.")
class ReviewInput:
    activity_id: strawberry.ID = strawberry.field(description="Which.")


@strawberry.type(description="The conversation as it stands.")
class ReviewPayload:
    activity: Activity | None = strawberry.field(description="Null when it was refused.")
    errors: list[UserError] = strawberry.field(description="Why it was refused.")

    @classmethod
    def refused(cls, errors: list[UserError]) -> "ReviewPayload":
        return cls(activity=None, errors=errors)


@strawberry.type
class FilmQuery:
    @reading("The tab Individual View: the viewer's own film, or that of a user in sight.")
    async def individual_view(
        self, info: Info, user_id: strawberry.ID | None = None, filter: ActivityFilter | None = None
    ) -> IndividualView:
        from api.resolvers.film import rep_in_view

        return IndividualView(user_id=await rep_in_view(info.context, user_id), wanted=filter)

    @reading("The comments that call the viewer, on film that the viewer may see, the newest first.")
    async def mentions(
        self, info: Info, first: int | None = None, after: str | None = None, unread: bool | None = None
    ) -> Connection[Mention]:
        from api.resolvers.film import mentions_connection

        return await mentions_connection(info.context, unread, first, after)

    @reading("Who can be mentioned on an activity, or asked for feedback on one of the viewer's own, by name.")
    async def colleagues(
        self,
        info: Info,
        activity_id: strawberry.ID,
        purpose: ColleaguePurpose = ColleaguePurpose.MENTION,
        search: Annotated[str | None, strawberry.argument(description="With this in the name, in any case.")] = None,
        first: int | None = None,
        after: str | None = None,
    ) -> ColleagueConnection:
        from api.resolvers.film import list_colleagues

        to_ask = purpose is ColleaguePurpose.FEEDBACK
        page = await list_colleagues(info.context, activity_id, to_ask=to_ask, search=search, first=first, after=after)
        nodes = [Colleague.of(one) for one in page.nodes]
        return ColleagueConnection(
            edges=[Edge(cursor=cursor, node=node) for cursor, node in zip(page.cursors, nodes, strict=True)],
            nodes=nodes,
            page_info=page_info(page.cursors, page.has_next, page.has_previous),
        )


@strawberry.type
class FilmMutation:
    @writing("Say something of an activity. A manager's comment is a review of a conversation.")
    async def add_comment(self, info: Info, input: AddCommentInput) -> CommentPayload:
        from api.resolvers.film import add_comment

        async def work() -> CommentPayload:
            return CommentPayload(comment=Comment.of(await add_comment(info.context, input)), errors=[])

        return await told(work(), CommentPayload.refused)

    @writing("Say it otherwise; what the comment said before is kept. For its author.")
    async def edit_comment(self, info: Info, input: EditCommentInput) -> CommentPayload:
        from api.resolvers.film import edit_comment

        async def work() -> CommentPayload:
            return CommentPayload(comment=Comment.of(await edit_comment(info.context, input)), errors=[])

        return await told(work(), CommentPayload.refused)

    @writing("Take a comment's text away, for good: one's own; anybody's as Admin.")
    async def delete_comment(self, info: Info, input: CommentInput) -> CommentPayload:
        from api.resolvers.film import delete_comment

        async def work() -> CommentPayload:
            return CommentPayload(comment=Comment.of(await delete_comment(info.context, input.comment_id)), errors=[])

        return await told(work(), CommentPayload.refused)

    @writing("Mark mentions of oneself as read, or unread.")
    async def mark_mentions(self, info: Info, input: MarkMentionsInput) -> MarkMentionsPayload:
        from api.resolvers.film import mark_mentions

        async def work() -> MarkMentionsPayload:
            changed = await mark_mentions(info.context, input.mention_ids, read=input.read)
            return MarkMentionsPayload(changed=changed, errors=[])

        return await told(work(), lambda errors: MarkMentionsPayload(changed=0, errors=errors))

    @writing("Mark a conversation as reviewed. For the rep's managers.")
    async def mark_reviewed(self, info: Info, input: ReviewInput) -> ReviewPayload:
        from api.resolvers.film import mark_reviewed

        async def work() -> ReviewPayload:
            return ReviewPayload(
                activity=await mark_reviewed(info.context, input.activity_id, reviewed=True), errors=[]
            )

        return await told(work(), ReviewPayload.refused)

    @writing("Take one's own review of a conversation back.")
    async def unmark_reviewed(self, info: Info, input: ReviewInput) -> ReviewPayload:
        from api.resolvers.film import mark_reviewed

        async def work() -> ReviewPayload:
            return ReviewPayload(
                activity=await mark_reviewed(info.context, input.activity_id, reviewed=False), errors=[]
            )

        return await told(work(), ReviewPayload.refused)
