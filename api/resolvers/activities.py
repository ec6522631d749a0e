"""Lists of activities."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import strawberry

from api.context import Context
from api.schema.activities import Activity, ActivityFilter, activity_of
from api.schema.nodes import Connection, connection_read
from domain import access, activities
from domain.activities import ActivityFilter as DomainActivityFilter
from domain.models.people import Permission
from domain.paging import PageRequest


async def activities_of(
    info: strawberry.Info[Context], request: PageRequest, wanted: ActivityFilter | None, *, user_id: UUID | None = None
) -> Connection[Activity]:
    """A page of the activities in sight, the newest first.

    Raises:
        Forbidden: a filter needs a permission.
        NotFound: the user or the group of a filter is not in sight.
        Invalid: the filter looks closely at too much.
    """
    context = info.context
    sight = await context.users_in_sight()
    chosen = wanted.to_domain() if wanted is not None else DomainActivityFilter()
    if chosen.group_id is not None:
        access.require_group(context.viewer, await context.groups_in_sight(), chosen.group_id)
    if chosen.user_id is not None:
        access.require_seen(sight, chosen.user_id, "user", path=("filter", "userId"))
        if chosen.user_id != context.viewer.user_id:
            access.require(context.viewer, Permission.TEAM_VIEW)
    if user_id is not None:
        if chosen.user_id not in (None, user_id):
            sight = sight.narrowed(())
        chosen = replace(chosen, user_id=user_id)
    activities.check_filter(chosen, context.now)

    timezone = context.viewer.timezone
    return await connection_read(
        context.acquire,
        lambda connection: activities.list_activities(connection, sight, chosen, request),
        lambda connection: activities.count_activities(connection, sight, chosen),
        lambda row: activity_of(row, timezone),
    )
