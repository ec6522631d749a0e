"""The tab Manager View."""

from __future__ import annotations

from api.context import Context
from api.resolvers.dashboards import days_of
from api.schema.dashboards import RangeInput
from api.schema.manager_view import ManagerView
from domain import manager_view
from domain.metrics import available_metrics


async def ask(context: Context, given: RangeInput, not_coached_days: int | None, *, by_rep: bool) -> ManagerView:
    """The tab over a range; what managers did for each rep, if that is asked for. Raises what the domain does."""
    today = context.calendar.today(context.now)
    days = days_of(context, given)
    sight = await context.users_in_sight()
    available = available_metrics(await context.feeds())
    async with context.acquire() as connection:
        found = await manager_view.manager_view(
            connection,
            context.viewer,
            sight,
            days,
            today,
            available,
            not_coached_days=manager_view.DEFAULT_DAYS if not_coached_days is None else not_coached_days,
            by_rep=by_rep,
        )
    # All whom the tab names, in one look.
    named = {row.manager_id for row in found.managers} | {rep.user_id for row in found.managers for rep in row.reps}
    await context.users.load_many(sorted(named | {user_id for user_id, _at in found.not_coached}))
    return ManagerView.of(found)
