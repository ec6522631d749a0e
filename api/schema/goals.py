"""Goals, their history, and what happens to them."""

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated

import strawberry

from api.context import Context
from api.object_plans import refers_to
from api.schema.errors import UserError
from api.schema.metrics import GoalProgress, GoalStatus, Metric
from api.schema.nodes import Node, global_id
from api.schema.outlooks import GoalOutlook
from api.schema.people import Group, Team, User
from api.schema.viewer import team_of
from domain import events, goal_events, models
from domain.ids import encode_derived_goal

Info = strawberry.Info[Context]

GoalPeriod = strawberry.enum(
    models.GoalPeriod,
    name="GoalPeriod",
    description="How long one target runs: the team's days, weeks, and the months, quarters and years of its calendar.",
)
GoalEventType = strawberry.enum(events.EventType, name="GoalEventType", description="What happened to a goal.")
GoalSubject = Annotated[
    User | Group | Team, strawberry.union("GoalSubject", description="Whose goal: a user's, a group's or the team's.")
]


@strawberry.type(description="What a goal's target was, and from when to when.")
class GoalVersion:
    version: int = strawberry.field(description="Grows by one with every change.")
    target: Decimal = strawberry.field(description="What was to be reached in each period.")
    effective_from: date = strawberry.field(description="The first day.")
    effective_to: date | None = strawberry.field(
        description="The last day; null while it goes on; the day before the first where it was replaced before it "
        "counted."
    )
    set_at: datetime = strawberry.field(description="When it was set.")
    row: strawberry.Private[goal_events.Version]

    @classmethod
    def of(cls, version: goal_events.Version) -> "GoalVersion":
        return cls(
            version=version.number,
            target=version.target,
            effective_from=version.effective_from,
            effective_to=version.effective_to,
            set_at=version.set_at,
            row=version,
        )

    @strawberry.field(description="Who set it; null where the viewer may not see them.")
    @refers_to(lambda context: context.users, lambda version: version.row.set_by_id)
    async def set_by(self, info: Info) -> User | None:
        return await seen_user(info, self.row)


async def seen_user(info: Info, version: goal_events.Version) -> User | None:
    """Who set a version, if in sight."""
    if version.set_by_id is None:
        return None
    found = await info.context.users.load(version.set_by_id)
    return None if found is None else User.of(found)


@strawberry.type(description="A target for a metric per period, for a user, a group or the team.")
class Goal(Node):
    metric: Metric = strawberry.field(description="What is counted.")
    period: GoalPeriod = strawberry.field(description="Per what.")
    target: Decimal = strawberry.field(
        description="What is to be reached in each period, as it was set last; of a derived goal, the members' targets "
        "added up."
    )
    effective_from: date = strawberry.field(description="The first day of this target.")
    effective_to: date | None = strawberry.field(description="Its last day; null while it goes on.")
    version: int = strawberry.field(
        description="Grows by one with every change: give it as the expected version. 0 for a derived goal."
    )
    derived: bool = strawberry.field(description="Whether it is the sum of the members' goals, none being set.")
    view: strawberry.Private[goal_events.GoalView]

    @classmethod
    def of(cls, goal: goal_events.GoalView) -> "Goal":
        if goal.id is not None:
            shown_id = global_id("Goal", goal.id)
        else:
            kind = "Group" if goal.group_id is not None else "Team"
            shown_id = strawberry.ID(encode_derived_goal(kind, goal.subject_id, goal.metric, goal.period.value))
        newest = goal.newest
        return cls(
            id=shown_id,
            metric=Metric[goal.metric],
            period=goal.period,
            target=newest.target,
            effective_from=newest.effective_from,
            effective_to=newest.effective_to,
            version=newest.number,
            derived=goal.derived,
            view=goal,
        )

    @strawberry.field(description="Whose goal.")
    @refers_to(lambda context: context.goal_subjects, lambda goal: goal.view.user_id)
    @refers_to(lambda context: context.groups, lambda goal: goal.view.group_id)
    async def subject(self, info: Info) -> GoalSubject:
        context, view = info.context, self.view
        if view.user_id is not None:
            return User.of(await context.goal_subjects.load(view.user_id))
        if view.group_id is not None:
            group = await context.groups.load(view.group_id)
            assert group is not None, "groups with goals stay"
            return Group.of(group)
        return team_of(context.viewer)

    @strawberry.field(description="Who set it; null where the viewer may not see them, and for a derived goal.")
    @refers_to(lambda context: context.users, lambda goal: goal.view.newest.set_by_id)
    async def set_by(self, info: Info) -> User | None:
        return await seen_user(info, self.view.newest)

    @strawberry.field(
        description="How it stands in the period that holds today; before it has begun, in its first period, after it "
        "has ended, in its last."
    )
    @refers_to(lambda context: context.goal_progress, lambda goal: goal.view)
    async def progress(self, info: Info) -> GoalProgress:
        return GoalProgress.of(await info.context.goal_progress.load(self.view))

    @strawberry.field(
        description="Where it will end in that period, with an interval; null where nothing is to come, the metric is "
        "unavailable, or too few working days were seen."
    )
    async def outlook(self, info: Info) -> GoalOutlook | None:
        found = await info.context.goal_outlooks.load(self.view)
        return None if found is None else GoalOutlook.of(found)

    @strawberry.field(description="Every version, the newest first; none for a derived goal.")
    @refers_to(lambda context: context.goal_histories, lambda goal: goal.view.id)
    async def history(self, info: Info) -> list[GoalVersion]:
        if self.view.id is None:
            return []
        return [GoalVersion.of(version) for version in await info.context.goal_histories.load(self.view.id)]


@strawberry.type(description="Something that happened to a goal. The goal is shown as the event left it.")
class GoalEvent:
    cursor: str = strawberry.field(description="Give it as `after` to go on from here.")
    type: GoalEventType = strawberry.field(description="What happened.")
    goal: Goal = strawberry.field(description="To which goal.")
    before: GoalVersion | None = strawberry.field(description="The version before; null for a new goal.")
    after: GoalVersion | None = strawberry.field(description="The version after; null for a removed goal.")
    at: datetime = strawberry.field(description="When.")
    status_before: GoalStatus | None = strawberry.field(
        description="How the goal stood before, where the status changed."
    )
    status_after: GoalStatus | None = strawberry.field(description="How it stood then, where the status changed.")
    period_start: date | None = strawberry.field(description="The first day of the period whose status changed.")
    event: strawberry.Private[goal_events.GoalEvent]

    @classmethod
    def of(cls, event: goal_events.GoalEvent) -> "GoalEvent":
        stored, status = event.stored, event.status
        return cls(
            cursor=events.cursor_of(stored.team_id, stored.position),
            type=event.type,
            goal=Goal.of(event.goal),
            before=None if event.before is None else GoalVersion.of(event.before),
            after=None if event.after is None else GoalVersion.of(event.after),
            at=stored.occurred_at,
            status_before=None if status is None else status.before,
            status_after=None if status is None else status.after,
            period_start=None if status is None else status.period_start,
            event=event,
        )

    @strawberry.field(description="Who did it; null where nobody did, or the viewer may not see them.")
    async def actor(self, info: Info) -> User | None:
        actor_id = self.event.stored.actor_id
        found = None if actor_id is None else await info.context.users.load(actor_id)
        return None if found is None else User.of(found)


@strawberry.input(description="Which goals; all conditions must hold. userIds and groupIds together mean either.")
class GoalFilter:
    user_ids: list[strawberry.ID] | None = strawberry.field(default=None, description="Goals of these users.")
    group_ids: list[strawberry.ID] | None = strawberry.field(default=None, description="Goals of these groups.")
    metrics: list[Metric] | None = strawberry.field(default=None, description="Goals for these metrics.")
    periods: list[GoalPeriod] | None = strawberry.field(default=None, description="Goals per these periods.")
    include_ended: bool | None = strawberry.field(default=False, description="Goals that have ended as well.")


@strawberry.input(description="The version that a subject's goal was seen in.")
class ExpectedVersion:
    subject_id: strawberry.ID = strawberry.field(description="The user, the group or the team.")
    version: int = strawberry.field(description="The version; 0 for no goal.")


@strawberry.input(description="The same goal for one or for many subjects: all of them, or none.")
class SetGoalsInput:
    metric: Metric = strawberry.field(description="What is counted.")
    period: GoalPeriod = strawberry.field(description="Per what.")
    target: Decimal = strawberry.field(description="Above 0; of a rate a share of 1.")
    effective_from: date | None = strawberry.field(
        default=None,
        description="The first day. Without it: the start of the running period for a goal that never was, today for "
        "others, which cannot be changed for the past.",
    )
    user_ids: list[strawberry.ID] | None = strawberry.field(default=None, description="For these users.")
    group_ids: list[strawberry.ID] | None = strawberry.field(default=None, description="For these groups.")
    team: bool | None = strawberry.field(default=None, description="For the team as a whole.")
    expected_versions: list[ExpectedVersion] | None = strawberry.field(
        default=None, description="Refuse where a goal is not at this version any more."
    )
    idempotency_key: str | None = strawberry.field(
        default=None, description="A repeated key answers as the first time and writes nothing; kept for a week."
    )


@strawberry.input(description="Goals to end: all of them, or none. Their history stays.")
class RemoveGoalsInput:
    goal_ids: list[strawberry.ID] = strawberry.field(description="The goals.")
    effective_from: date | None = strawberry.field(
        default=None, description="The first day without them; today without it."
    )
    idempotency_key: str | None = strawberry.field(
        default=None, description="A repeated key answers as the first time and writes nothing; kept for a week."
    )


@strawberry.type(description="The goals that were set.")
class SetGoalsPayload:
    goals: list[Goal] = strawberry.field(description="In the order of the input; none when anything was refused.")
    errors: list[UserError] = strawberry.field(description="Why it was refused, for each item.")


@strawberry.type(description="The goals that were ended.")
class RemoveGoalsPayload:
    goals: list[Goal] = strawberry.field(description="In the order of the input; none when anything was refused.")
    errors: list[UserError] = strawberry.field(description="Why it was refused, for each item.")
