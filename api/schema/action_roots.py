"""The fields of the roots that scheduled actions bring."""

from collections.abc import Awaitable

import strawberry

from api.permissions import requires, requires_scope
from api.resolvers import actions as resolvers
from api.schema.actions import (
    CreateScheduledActionInput,
    ImportUpcomingStepsInput,
    ImportUpcomingStepsPayload,
    ReportSnapshot,
    RescheduleScheduledActionsInput,
    ScheduledAction,
    ScheduledActionFilter,
    ScheduledActionsInput,
    ScheduledActionsPayload,
    SnoozeScheduledActionsInput,
    snapshot_page,
)
from api.schema.errors import UserError, told
from api.schema.fields import Info, reading, writing
from api.schema.nodes import Connection
from domain import action_changes
from domain.models.people import Permission
from domain.models.tokens import TokenScope


async def _answer(work: Awaitable[list[ScheduledAction]]) -> ScheduledActionsPayload:
    async def payload() -> ScheduledActionsPayload:
        return ScheduledActionsPayload(actions=await work, errors=[])

    return await told(payload(), lambda errors: ScheduledActionsPayload(actions=[], errors=errors))


def _not_taken(errors: list[UserError]) -> ImportUpcomingStepsPayload:
    return ImportUpcomingStepsPayload(changed=0, unchanged=0, errors=errors)


@strawberry.type
class ActionQuery:
    @reading(
        "Scheduled actions and upcoming work, by when they are due: one's own; with TEAM_VIEW those of people in "
        "scope; with MANAGE_TEAM those that are the team's. What belongs to a coaching session is its participants' "
        "alone."
    )
    async def scheduled_actions(
        self,
        info: Info,
        first: int | None = None,
        after: str | None = None,
        last: int | None = None,
        before: str | None = None,
        filter: ScheduledActionFilter | None = None,
    ) -> Connection[ScheduledAction]:
        return await resolvers.list_actions(info.context, first, after, last, before, filter)

    @reading("Snapshots of reports that are kept, of people in sight, as far as you may see everybody in them.")
    async def report_snapshots(
        self, info: Info, first: int | None = None, after: str | None = None
    ) -> Connection[ReportSnapshot]:
        return await snapshot_page(info, first, after)


@strawberry.type
class ActionMutation:
    @writing(
        "Schedule an action, for yourself or for many. For others in scope this needs MANAGE_GOALS or MANAGE_TEAM; it "
        "is carried out with your rights of that moment."
    )
    async def create_scheduled_action(self, info: Info, input: CreateScheduledActionInput) -> ScheduledActionsPayload:
        return await _answer(resolvers.create_actions(info.context, input))

    @writing("Let actions be due at another time, or by another rule; those that have ended live again.")
    async def reschedule_scheduled_actions(
        self, info: Info, input: RescheduleScheduledActionsInput
    ) -> ScheduledActionsPayload:
        return await _answer(resolvers.reschedule(info.context, input))

    @writing("Let nothing of some actions be carried out until they are resumed; what is under way does not count.")
    async def pause_scheduled_actions(self, info: Info, input: ScheduledActionsInput) -> ScheduledActionsPayload:
        viewer = info.context.viewer
        return await _answer(
            resolvers.change(info.context, input.ids, lambda c, ids: action_changes.pause(c, viewer, ids))
        )

    @writing("Let paused actions go on; what fell due meanwhile is treated by their catch-up rule.")
    async def resume_scheduled_actions(self, info: Info, input: ScheduledActionsInput) -> ScheduledActionsPayload:
        viewer = info.context.viewer
        return await _answer(
            resolvers.change(info.context, input.ids, lambda c, ids: action_changes.resume(c, viewer, ids))
        )

    @writing("Carry actions out now: what recurs beside its rule; what does not, instead of when it is due, or again.")
    async def run_scheduled_actions_now(self, info: Info, input: ScheduledActionsInput) -> ScheduledActionsPayload:
        viewer = info.context.viewer
        return await _answer(
            resolvers.change(info.context, input.ids, lambda c, ids: action_changes.run_now(c, viewer, ids))
        )

    @writing("End actions for good.")
    async def cancel_scheduled_actions(self, info: Info, input: ScheduledActionsInput) -> ScheduledActionsPayload:
        viewer = info.context.viewer
        return await _answer(
            resolvers.change(info.context, input.ids, lambda c, ids: action_changes.cancel(c, viewer, ids))
        )

    @writing("Put off the occurrence that comes next: of your own upcoming work, reminders and other actions.")
    async def snooze_scheduled_actions(self, info: Info, input: SnoozeScheduledActionsInput) -> ScheduledActionsPayload:
        return await _answer(resolvers.snooze(info.context, input.ids, input.until))

    @strawberry.mutation(
        description="Take in reps' upcoming steps, as an engagement platform reports them: the good ones at once, with "
        "an error for each of the others.",
        permission_classes=[requires_scope(TokenScope.IMPORT), requires(Permission.MANAGE_TEAM)],
    )
    async def import_upcoming_steps(self, info: Info, input: ImportUpcomingStepsInput) -> ImportUpcomingStepsPayload:
        async def work() -> ImportUpcomingStepsPayload:
            changed, unchanged, errors = await resolvers.import_steps(info.context, input.source, input.steps)
            return ImportUpcomingStepsPayload(changed=changed, unchanged=unchanged, errors=errors)

        return await told(work(), _not_taken)
