"""Scheduled actions: listing them, and what people do with them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import strawberry

from api.context import Context
from api.schema.actions import (
    CreateScheduledActionInput,
    GoalRollOverInput,
    ReportSnapshot,
    RescheduleScheduledActionsInput,
    ScheduledAction,
    ScheduledActionFilter,
)
from api.schema.errors import UserError
from api.schema.nodes import Connection, connection_of
from domain import access, action_changes, action_list, models, snapshots, upcoming
from domain.access_actions import see_actions, see_snapshots
from domain.action_changes import CreateActions, Reschedule
from domain.action_kinds import KindOptions, RollOver
from domain.action_list import ActionFilter
from domain.errors import Invalid
from domain.ids import decode_id
from domain.models.people import Permission
from domain.paging import page_request
from domain.records import RecordRefused

Change = Callable[[Any, list[UUID]], Awaitable[list[models.ScheduledAction]]]


def _ids(given: Sequence[str] | None, type_name: str, *path: str) -> tuple[UUID, ...]:
    return tuple(decode_id(one, type_name, path=("input", *path, str(place))) for place, one in enumerate(given or ()))


def _filter(given: ScheduledActionFilter | None) -> ActionFilter:
    if given is None:
        return ActionFilter()
    return ActionFilter(
        None if given.user_id is None else decode_id(given.user_id, "User", path=("filter", "userId")),
        None if given.states is None else tuple(given.states),
        None if given.kinds is None else tuple(given.kinds),
        given.from_,
        given.to,
    )


async def list_actions(
    context: Context,
    first: int | None,
    after: str | None,
    last: int | None,
    before: str | None,
    given: ScheduledActionFilter | None,
) -> Connection[ScheduledAction]:
    """A page of the actions in sight."""
    wanted, request = _filter(given), page_request(first, after, last, before)

    async def count() -> int:
        async with context.acquire_primary() as connection:
            return await action_list.count_actions(connection, await see_actions(connection, context.viewer), wanted)

    async with context.acquire_primary() as connection:
        sight = await see_actions(connection, context.viewer)
        page = await action_list.list_actions(connection, sight, wanted, request)
    return connection_of(page, ScheduledAction.of, count)


async def find_action(context: Context, row_id: UUID) -> ScheduledAction | None:
    """An action in sight, or None."""
    async with context.acquire_primary() as connection:
        sight = await see_actions(connection, context.viewer)
        found = await action_list.actions_by_id(connection, sight, [row_id])
    return ScheduledAction.of(found[row_id]) if row_id in found else None


async def find_snapshot(context: Context, row_id: UUID) -> ReportSnapshot | None:
    """A snapshot in sight, or None."""
    async with context.acquire_primary() as connection:
        sight = await see_snapshots(connection, context.viewer)
        found = await snapshots.snapshots_by_id(connection, sight, [row_id])
    return ReportSnapshot.of(found[row_id]) if row_id in found else None


def _roll_over(given: GoalRollOverInput | None) -> RollOver | None:
    if given is None:
        return None
    return RollOver(
        given.metric.value,
        given.period,
        given.target,
        given.growth,
        _ids(given.user_ids, "User", "rollOver", "userIds"),
        _ids(given.group_ids, "Group", "rollOver", "groupIds"),
        bool(given.team),
    )


def _one(given: str | None, type_name: str, name: str) -> UUID | None:
    return None if given is None else decode_id(given, type_name, path=("input", name))


async def create_actions(context: Context, given: CreateScheduledActionInput) -> list[ScheduledAction]:
    """Schedule actions. Raises what the domain does."""
    wanted = CreateActions(
        kind=given.kind.value,
        due_at=given.due_at,
        title=given.title,
        user_ids=_ids(given.user_ids, "User", "userIds"),
        recurrence=given.recurrence,
        timezone=given.timezone,
        catch_up=given.catch_up,
        options=KindOptions(
            only_behind=given.only_behind,
            range=given.range,
            endpoint_id=_one(given.endpoint_id, "WebhookEndpoint", "endpointId"),
            group_id=_one(given.group_id, "Group", "groupId"),
            metrics=None if given.metrics is None else tuple(metric.value for metric in given.metrics),
            mail=given.mail,
            keep_days=given.keep_days,
            roll_over=_roll_over(given.roll_over),
            integration_id=_one(given.integration_id, "Integration", "integrationId"),
        ),
        idempotency_key=given.idempotency_key,
    )

    async def work(connection: Any) -> list[models.ScheduledAction]:
        ids = await action_changes.create_actions(connection, context.viewer, wanted)
        sight = await see_actions(connection, context.viewer)
        found = await action_list.actions_by_id(connection, sight, ids)
        return [found[one] for one in ids if one in found]

    return [ScheduledAction.of(row) for row in await context.in_transaction(work)]


async def change(context: Context, given: Sequence[str], work: Change) -> list[ScheduledAction]:
    """Change actions, all or none. Raises what the domain does."""
    ids = list(_ids(given, "ScheduledAction", "ids"))

    async def in_transaction(connection: Any) -> list[models.ScheduledAction]:
        return await work(connection, ids)

    return [ScheduledAction.of(row) for row in await context.in_transaction(in_transaction)]


async def reschedule(context: Context, given: RescheduleScheduledActionsInput) -> list[ScheduledAction]:
    """Let actions be due at another time. Raises what the domain does."""

    def kept(value: Any) -> Any:
        return action_changes.KEEP if value is strawberry.UNSET else value

    wanted = Reschedule(given.due_at, kept(given.recurrence), kept(given.timezone), given.catch_up, given.title)
    return await change(
        context,
        given.ids,
        lambda connection, ids: action_changes.reschedule(connection, context.viewer, ids, wanted),
    )


async def snooze(context: Context, given: Sequence[str], until: datetime) -> list[ScheduledAction]:
    """Put actions off. Raises what the domain does."""
    return await change(
        context,
        given,
        lambda connection, ids: action_changes.snooze(connection, context.viewer, ids, until, context.now),
    )


async def import_steps(context: Context, source: str, records: Sequence[object]) -> tuple[int, int, list[UserError]]:
    """Take reported steps in: the good ones, with an error for each of the others. Raises what the domain does."""
    access.require(context.viewer, Permission.MANAGE_TEAM)
    if len(records) > upcoming.STEPS_AT_ONCE:
        raise Invalid(f"steps: at most {upcoming.STEPS_AT_ONCE} at once.", path=("input", "steps"))
    steps, places, errors = [], [], []
    for place, record in enumerate(records):
        try:
            steps.append(upcoming.read_step(record, context.now))
            places.append(place)
        except RecordRefused as refusal:
            path = ["input", "steps", str(place), *([refusal.field] if refusal.field else [])]
            errors.append(UserError(code=refusal.code, message=refusal.message, path=path))

    async def work(connection: Any) -> upcoming.StepsTaken:
        return await upcoming.take_steps_in(connection, context.viewer.team_id, source, steps)

    taken = await context.in_transaction(work)
    for unknown in taken.unknown:
        path = ["input", "steps", str(places[unknown]), "user"]
        message = "user: nobody on the team has this address or id."
        errors.append(UserError(code="UNKNOWN_USER", message=message, path=path))
    return taken.changed, taken.unchanged, errors
