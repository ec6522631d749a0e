"""Objects by their global ids; a hidden one answers as one that never was."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

from api.context import Context
from api.resolvers.accolades import find_accolade, find_rule
from api.resolvers.actions import find_action, find_snapshot
from api.resolvers.exports import find_export
from api.resolvers.film import find_comment
from api.resolvers.goals import find_derived_goal, find_goal
from api.resolvers.integrations import find_integration
from api.resolvers.jobs import find_job
from api.resolvers.live_calls import find_call, find_dialer
from api.resolvers.plan_sessions import find_program, find_series, find_session
from api.resolvers.plans import find_plan
from api.resolvers.scorecards import find_card, find_round, find_template
from api.resolvers.scores import find_definition
from api.resolvers.sharing import find_playlist, find_request
from api.resolvers.webhooks import find_endpoint
from api.schema.activities import ACTIVITY_TYPES, activity_of
from api.schema.people import Group, Role, User
from api.schema.viewer import team_of
from domain import people
from domain.ids import decode_any_id

_Finder = Callable[[Context, UUID], Awaitable[Any]]


async def _user(context: Context, row_id: UUID) -> Any:
    row = await context.users.load(row_id)
    return None if row is None else User.of(row)


async def _group(context: Context, row_id: UUID) -> Any:
    sight = await context.groups_in_sight()
    if not sight.sees(context.viewer.team_id, row_id):
        return None
    row = await context.groups.load(row_id)
    return None if row is None else Group.of(row)


async def _role(context: Context, row_id: UUID) -> Any:
    async with context.acquire() as connection:
        roles = await people.list_roles(connection, context.viewer)
    return next((Role.of(role) for role in roles if role.id == row_id), None)


async def _team(context: Context, row_id: UUID) -> Any:
    return team_of(context.viewer) if row_id == context.viewer.team_id else None


def _activity(made: type[Any]) -> _Finder:
    async def find(context: Context, row_id: UUID) -> Any:
        row = await context.activities.load(row_id)
        found = None if row is None else activity_of(row, context.viewer.timezone)
        return found if isinstance(found, made) else None

    return find


_FINDERS: dict[str, _Finder] = {
    "User": _user,
    "Group": _group,
    "Role": _role,
    "Team": _team,
    "Job": find_job,
    "Goal": find_goal,
    "ScoreDefinition": find_definition,
    "Accolade": find_accolade,
    "AccoladeRule": find_rule,
    "Integration": find_integration,
    "Export": find_export,
    "WebhookEndpoint": find_endpoint,
    "ScheduledAction": find_action,
    "ReportSnapshot": find_snapshot,
    "LiveCall": find_call,
    "Dialer": find_dialer,
    "CoachingPlan": find_plan,
    "CoachingSession": find_session,
    "CoachingSeries": find_series,
    "CoachingProgram": find_program,
    "Comment": find_comment,
    "Scorecard": find_card,
    "ScorecardTemplate": find_template,
    "Calibration": find_round,
    "Playlist": find_playlist,
    "FeedbackRequest": find_request,
    **{made.__name__: _activity(made) for made in ACTIVITY_TYPES},
}


async def find_node(context: Context, global_id: str) -> Any:
    """The object with a global id, or None."""
    decoded = decode_any_id(global_id)
    if decoded is None:
        return await find_derived_goal(context, global_id)
    if decoded[0] not in _FINDERS:
        return None
    return await _FINDERS[decoded[0]](context, decoded[1])


async def find_nodes(context: Context, global_ids: list[str]) -> list[Any]:
    """The objects with some global ids, in their order, None for each that is not there."""
    return list(await asyncio.gather(*(find_node(context, global_id) for global_id in global_ids)))
