"""Coaching opportunities and plans of goals."""

from __future__ import annotations

from api.context import Context
from api.resolvers.dashboards import RangeArgument, days_of
from api.resolvers.goals import find_derived_goal, find_goal
from api.schema.goals import Goal
from domain.errors import NotFound
from domain.ids import decode_any_id, decode_id
from domain.insight import GoalPlan, Opportunity, PlanQuestion, Question, coaching_opportunities, goal_plan
from domain.metrics import available_metrics
from domain.paging import page_request


async def opportunities(context: Context, given: RangeArgument, user_id: str | None, first: int) -> list[Opportunity]:
    """The coaching opportunities of everybody in sight, or of one of them.

    Raises:
        Invalid: the range or the number does not fit.
        NotFound: the user is not in sight.
    """
    limit = page_request(first, None).limit
    days = days_of(context, given)
    chosen = None
    if user_id is not None:
        chosen = decode_id(user_id, "User", path=("userId",))
        if await context.users.load(chosen) is None:
            raise NotFound("No such user.", path=("userId",))
    asked = Question(
        viewer=context.viewer,
        users=await context.users_in_sight(),
        goals=await context.goal_sight(),
        calendar=context.calendar,
        days=days,
        now=context.now,
        available=available_metrics(await context.feeds()),
        user_id=chosen,
    )
    async with context.acquire() as connection:
        found = await coaching_opportunities(connection, asked)
    return found[:limit]


async def plan(context: Context, goal_id: str) -> tuple[Goal, GoalPlan]:
    """A goal and its plan.

    Raises:
        NotFound: the goal is not in sight.
        Forbidden: the numbers behind it are not.
    """
    decoded = decode_any_id(goal_id)
    found: Goal | None
    if decoded is not None and decoded[0] == "Goal":
        found = await find_goal(context, decoded[1])
    else:
        found = await find_derived_goal(context, goal_id)
    if found is None:
        raise NotFound("No such goal.", path=("goalId",))
    asked = PlanQuestion(
        viewer=context.viewer,
        users=await context.users_in_sight(),
        calendar=context.calendar,
        now=context.now,
        available=available_metrics(await context.feeds()),
        goal=found.view,
    )
    async with context.acquire() as connection:
        return found, await goal_plan(connection, asked)
