"""Scheduled actions, their history, and snapshots of reports."""

from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from uuid import UUID

import strawberry

from api.context import Context
from api.schema.dashboards import NamedRange
from api.schema.errors import UserError
from api.schema.goals import GoalPeriod
from api.schema.jobs import ActionState
from api.schema.metrics import Metric
from api.schema.nodes import Connection, Node, connection_of, global_id
from api.schema.people import User
from domain import action_list, actions, models, periods, snapshots
from domain.access_actions import see_snapshots
from domain.action_list import SentMessage
from domain.models.actions import MessageChannel, MessageState
from domain.paging import page_request

Info = strawberry.Info[Context]

CatchUp = strawberry.enum(
    models.CatchUp,
    name="CatchUp",
    description="What becomes of occurrences that fell due while nothing ran. RUN_ONCE: the latest is carried out, "
    "those before it were missed. RUN_ALL: each is carried out, one after the other. SKIP: none is, but one that has "
    "been due for no more than a quarter of an hour.",
)
MessageChannelType = strawberry.enum(MessageChannel, name="MessageChannel", description="How a message goes out.")
MessageStateType = strawberry.enum(
    MessageState,
    name="MessageState",
    description="WAITING: to be sent, or to be tried again. SENT: the receiver has said that it has it. FAILED: it "
    "never will be. CANCELLED: there was nothing to tell its reader any more.",
)


@strawberry.enum(
    description="What people schedule. GOAL_REMINDER: a mail on how one's goals stand, and who in sight falls behind. "
    "DIGEST: a mail or webhook on what happened, goals at risk, who falls behind and what comes up, as its reader may "
    "see it when it is sent. REPORT_SNAPSHOT: the dashboard as a table and a picture, kept, and mailed if wanted. "
    "GOAL_ROLLOVER: goals set anew from the day on which it is due. SYNC: a sync of an integration."
)
class ScheduledActionKind(Enum):
    GOAL_REMINDER = actions.GOAL_REMINDER
    DIGEST = actions.DIGEST
    REPORT_SNAPSHOT = actions.REPORT_SNAPSHOT
    GOAL_ROLLOVER = actions.GOAL_ROLLOVER
    SYNC = actions.SYNC


@strawberry.type(description="A mail or webhook that an occurrence let go out; not what it said.")
class SentMessageInfo:
    channel: MessageChannelType = strawberry.field(description="How.")
    state: MessageStateType = strawberry.field(description="Whether it went.")
    attempts: int = strawberry.field(description="Sendings begun.")
    error: str | None = strawberry.field(description="Why the last one failed.")
    created_at: datetime = strawberry.field(description="When it was wanted.")
    ended_at: datetime | None = strawberry.field(description="When it was sent, or given up.")
    row: strawberry.Private[SentMessage]

    @strawberry.field(description="Who reads it; null where you may not know of them.")
    async def reader(self, info: Info) -> User | None:
        if self.row.user_id is None:
            return None
        found = await info.context.users.load(self.row.user_id)
        return None if found is None else User.of(found)


@strawberry.type(description="How an occurrence ended, or several that were passed over together.")
class ScheduledActionOccurrence:
    number: int = strawberry.field(description="The occurrence's; each has one.")
    count: int = strawberry.field(description="How many, from this one on, ended so.")
    due_at: datetime = strawberry.field(description="When it was due.")
    state: ActionState = strawberry.field(description="SUCCEEDED, FAILED, CANCELLED or MISSED.")
    attempts: int = strawberry.field(description="How often it was begun.")
    error: str | None = strawberry.field(description="Why it did not succeed.")
    ended_at: datetime = strawberry.field(description="When it ended.")
    row: strawberry.Private[models.ActionRun]

    @strawberry.field(description="What it let go out.")
    async def messages(self, info: Info) -> list[SentMessageInfo]:
        found = await info.context.run_messages.load((self.row.action_id, self.row.occurrence))
        return [
            SentMessageInfo(
                channel=one.channel,
                state=one.state,
                attempts=one.attempts,
                error=one.error,
                created_at=one.created_at,
                ended_at=one.ended_at,
                row=one,
            )
            for one in found
        ]


@strawberry.type(
    description="A dashboard as its reader saw it at a moment. Its files are at `/snapshots/{id}.csv` and `.png`, for "
    "who may see everybody in it."
)
class ReportSnapshot(Node):
    title: str = strawberry.field(description="What it shows.")
    from_: date = strawberry.field(name="from", description="The first day of the range.")
    to: date = strawberry.field(description="The last day of the range.")
    created_at: datetime = strawberry.field(description="When it was made.")
    expires_at: datetime = strawberry.field(description="Until when it is kept.")
    csv_path: str = strawberry.field(description="Where the table is, as a path of this server.")
    picture_path: str = strawberry.field(description="Where the picture is, as a path of this server.")
    row: strawberry.Private[models.ReportSnapshot]

    @classmethod
    def of(cls, row: models.ReportSnapshot) -> "ReportSnapshot":
        row_id = global_id("ReportSnapshot", row.id)
        return cls(
            id=row_id,
            title=row.title,
            from_=row.from_day,
            to=row.to_day,
            created_at=row.created_at,
            expires_at=row.expires_at,
            csv_path=f"/snapshots/{row_id}.csv",
            picture_path=f"/snapshots/{row_id}.png",
            row=row,
        )

    @strawberry.field(description="Who it was made for.")
    async def reader(self, info: Info) -> User | None:
        found = await info.context.users.load(self.row.user_id)
        return None if found is None else User.of(found)

    @strawberry.field(description="The table: CSV in UTF-8.")
    async def csv(self, info: Info) -> str:
        async with info.context.acquire_primary() as connection:
            sight = await see_snapshots(connection, info.context.viewer)
            return (await snapshots.read_file(connection, sight, self.row.id, "csv")).content.decode()


async def snapshot_page(
    info: Info, first: int | None, after: str | None, action_id: UUID | None = None
) -> Connection[ReportSnapshot]:
    """The snapshots in sight, of one action or all."""

    async def count() -> int:
        async with info.context.acquire_primary() as connection:
            sight = await see_snapshots(connection, info.context.viewer)
            return await snapshots.count_snapshots(connection, sight, action_id=action_id)

    async with info.context.acquire_primary() as connection:
        sight = await see_snapshots(connection, info.context.viewer)
        page = await snapshots.list_snapshots(connection, sight, page_request(first, after), action_id=action_id)
    return connection_of(page, ReportSnapshot.of, count)


@strawberry.type(
    description="Something due at a time, once or by a rule, carried out by a worker; or a rep's upcoming work."
)
class ScheduledAction(Node):
    kind: str = strawberry.field(
        description="`goal_reminder`, `digest`, `report_snapshot`, `goal_rollover`, `sync`, `coaching_session`, "
        "`coaching_reminder`; `email`, `call` and `task` are upcoming work that an engagement platform reports."
    )
    title: str = strawberry.field(description="What it is, for people.")
    due_at: datetime = strawberry.field(description="When the occurrence that comes next is due, or the last one was.")
    planned_at: datetime = strawberry.field(description="The same as its rule or platform has it, before any snooze.")
    recurrence: str | None = strawberry.field(description="The RRULE (RFC 5545) by which it recurs; null: once.")
    timezone: str | None = strawberry.field(description="By whose wall clock it recurs; null: the team's.")
    catch_up: CatchUp = strawberry.field(description="What becomes of what falls due while nothing runs.")
    state: ActionState = strawberry.field(
        description="Where it stands. What recurs is SCHEDULED until its rule has ended."
    )
    paused: bool = strawberry.field(description="Nothing is carried out until it is resumed.")
    occurrence: int = strawberry.field(description="The number of the occurrence that comes next.")
    attempts: int = strawberry.field(description="How often that one was begun.")
    last_error: str | None = strawberry.field(description="Why the last attempt or occurrence did not succeed.")
    source: str | None = strawberry.field(description="The system that reports it, of upcoming work.")
    cadence: str | None = strawberry.field(description="The cadence that upcoming work is a step of.")
    person: str | None = strawberry.field(description="Whom upcoming work is about.")
    range: NamedRange | None = strawberry.field(description="What a digest or a snapshot looks back on.")
    created_at: datetime = strawberry.field(description="When it was made.")
    ended_at: datetime | None = strawberry.field(description="When it ended; null while it goes on.")
    row: strawberry.Private[models.ScheduledAction]

    @classmethod
    def of(cls, row: models.ScheduledAction) -> "ScheduledAction":
        return cls(
            id=global_id("ScheduledAction", row.id),
            kind=row.kind,
            title=row.title,
            due_at=row.due_at,
            planned_at=row.planned_at,
            recurrence=row.recurrence,
            timezone=row.timezone,
            catch_up=row.catch_up,
            state=row.state,
            paused=row.paused_at is not None,
            occurrence=row.occurrence,
            attempts=row.attempts,
            last_error=row.last_error,
            source=row.source,
            cadence=_text(row, "cadence"),
            person=_text(row, "person"),
            range=None if _text(row, "range") is None else periods.NamedRange(str(row.arguments["range"])),
            created_at=row.created_at,
            ended_at=row.ended_at,
            row=row,
        )

    @strawberry.field(description="Whose it is; null: the team's, or somebody's whom you may not see.")
    async def user(self, info: Info) -> User | None:
        return await _user(info, self.row.user_id)

    @strawberry.field(
        description="Who made it, with whose rights it is carried out; null: a system, or somebody whom you may not "
        "see."
    )
    async def created_by(self, info: Info) -> User | None:
        return await _user(info, self.row.created_by_id)

    @strawberry.field(description="How its occurrences ended, the newest first.")
    async def occurrences(
        self, info: Info, first: int | None = None, after: str | None = None
    ) -> Connection[ScheduledActionOccurrence]:
        row = self.row

        async def count() -> int:
            async with info.context.acquire_primary() as connection:
                return await action_list.count_runs(connection, row.team_id, row.id)

        request = page_request(first, after)
        if request.cursor is None:
            page = await info.context.action_runs.load((row.id, request))
        else:
            async with info.context.acquire_primary() as connection:
                page = await action_list.list_runs(connection, row.team_id, row.id, request)
        return connection_of(page, _occurrence, count)

    @strawberry.field(description="The snapshots that it has made and that you may see, the newest first.")
    async def snapshots(
        self, info: Info, first: int | None = None, after: str | None = None
    ) -> Connection[ReportSnapshot]:
        return await snapshot_page(info, first, after, self.row.id)


def _text(row: models.ScheduledAction, name: str) -> str | None:
    value = row.arguments.get(name)
    return value if isinstance(value, str) else None


async def _user(info: Info, user_id: UUID | None) -> User | None:
    if user_id is None:
        return None
    found = await info.context.users.load(user_id)
    return None if found is None else User.of(found)


def _occurrence(row: models.ActionRun) -> ScheduledActionOccurrence:
    return ScheduledActionOccurrence(
        number=row.occurrence,
        count=row.occurrences,
        due_at=row.due_at,
        state=row.state,
        attempts=row.attempts,
        error=row.error,
        ended_at=row.ended_at,
        row=row,
    )


@strawberry.input(description="Which actions; all conditions must hold.")
class ScheduledActionFilter:
    user_id: strawberry.ID | None = strawberry.field(default=None, description="Of this person.")
    states: list[ActionState] | None = strawberry.field(default=None, description="In one of these states.")
    kinds: list[str] | None = strawberry.field(default=None, description="Of one of these kinds.")
    from_: datetime | None = strawberry.field(default=None, name="from", description="Due at this moment or later.")
    to: datetime | None = strawberry.field(default=None, description="Due before this moment.")


@strawberry.input(description="Goals that are set anew, from the day on which the action is due.")
class GoalRollOverInput:
    metric: Metric = strawberry.field(description="Of this metric.")
    period: GoalPeriod = strawberry.field(description="Per this period.")
    target: Decimal | None = strawberry.field(default=None, description="To this target; or give growth.")
    growth: Decimal | None = strawberry.field(
        default=None, description='To the newest target times this: "1.1" for 10 % more, "1" renews a goal as it was.'
    )
    user_ids: list[strawberry.ID] | None = strawberry.field(default=None, description="Of these people.")
    group_ids: list[strawberry.ID] | None = strawberry.field(default=None, description="Of these groups.")
    team: bool | None = strawberry.field(default=None, description="Of the team as a whole.")


@strawberry.input(description="An action to schedule: one for each person.")
class CreateScheduledActionInput:
    kind: ScheduledActionKind = strawberry.field(description="What.")
    due_at: datetime = strawberry.field(description="When; of what recurs, from when on.")
    title: str | None = strawberry.field(default=None, description="What people read; as the kind has it if left out.")
    user_ids: list[strawberry.ID] | None = strawberry.field(
        default=None, description="Whose: you yourself if left out. Others need MANAGE_GOALS or MANAGE_TEAM."
    )
    recurrence: str | None = strawberry.field(
        default=None, description="An RRULE such as FREQ=WEEKLY;BYDAY=MO. A day that is not (the 31st) is skipped."
    )
    timezone: str | None = strawberry.field(
        default=None, description="IANA name, by whose wall clock it recurs; the team's if left out."
    )
    catch_up: CatchUp = strawberry.field(
        default=models.CatchUp.RUN_ONCE, description="What becomes of what falls due while nothing runs."
    )
    range: NamedRange | None = strawberry.field(
        default=None, description="What a digest (YESTERDAY if left out) or a snapshot (LAST_WEEK) looks back on."
    )
    endpoint_id: strawberry.ID | None = strawberry.field(
        default=None, description="The webhook endpoint that a digest goes to, signed; by mail if left out."
    )
    only_behind: bool | None = strawberry.field(
        default=None, description="A goal reminder goes out only if a goal is at risk or behind."
    )
    group_id: strawberry.ID | None = strawberry.field(default=None, description="The group of a snapshot.")
    metrics: list[Metric] | None = strawberry.field(default=None, description="The metrics of a snapshot.")
    mail: bool | None = strawberry.field(default=None, description="Mail a snapshot too.")
    keep_days: int | None = strawberry.field(default=None, description="How long a snapshot is kept: 30 days, or this.")
    roll_over: GoalRollOverInput | None = strawberry.field(default=None, description="What is rolled over.")
    integration_id: strawberry.ID | None = strawberry.field(default=None, description="What is synced.")
    idempotency_key: str | None = strawberry.field(
        default=None, description="Sent again with the same key, it answers as the first time and writes nothing."
    )


@strawberry.input(description="Actions, one or many: all are changed, or none.")
class ScheduledActionsInput:
    ids: list[strawberry.ID] = strawberry.field(description="Which.")


@strawberry.input(description="Actions that are to be due at another time; what is left out stays.")
class RescheduleScheduledActionsInput:
    ids: list[strawberry.ID] = strawberry.field(description="Which.")
    due_at: datetime = strawberry.field(description="When; of what recurs, from when on.")
    recurrence: str | None = strawberry.field(default=strawberry.UNSET, description="An RRULE; null: once.")
    timezone: str | None = strawberry.field(default=strawberry.UNSET, description="IANA name; null: the team's.")
    catch_up: CatchUp | None = strawberry.field(default=None, description="Another catch-up rule.")
    title: str | None = strawberry.field(default=None, description="Another title.")


@strawberry.input(description="Actions that are put off.")
class SnoozeScheduledActionsInput:
    ids: list[strawberry.ID] = strawberry.field(description="Which.")
    until: datetime = strawberry.field(description="Until when.")


@strawberry.type(description="The actions as they stand.")
class ScheduledActionsPayload:
    actions: list[ScheduledAction] = strawberry.field(description="In the order named; empty when it was refused.")
    errors: list[UserError] = strawberry.field(description="Why it was refused: one for each that stands in the way.")


@strawberry.input(
    description="Reps' upcoming steps, as an engagement platform reports them: JSON objects with kind (email, call, "
    "task), externalId, user, dueAt, title, and if wanted status (open, done, cancelled), updatedAt, cadence, person."
)
class ImportUpcomingStepsInput:
    source: str = strawberry.field(description="The platform.")
    steps: list[strawberry.scalars.JSON] = strawberry.field(description="The steps; up to 1,000.")


@strawberry.type(description="What became of them.")
class ImportUpcomingStepsPayload:
    changed: int = strawberry.field(description="So many were new, or changed something.")
    unchanged: int = strawberry.field(description="So many were known so, or never were upcoming.")
    errors: list[UserError] = strawberry.field(description="One for each that was refused; the others are taken in.")
