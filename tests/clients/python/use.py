"""Uses the generated client as an integrator does: reads, sets a goal, and hears of it by subscription."""

import asyncio
import sys
from contextlib import aclosing
from decimal import Decimal

from sideline_client import Client
from sideline_client.enums import GoalPeriod, Metric, NamedRange
from sideline_client.goal_changes import GoalChangesGoalEvents
from sideline_client.input_types import RangeInput, SetGoalsInput


async def first_change(client: Client) -> GoalChangesGoalEvents:
    """The next change of a goal."""
    async with aclosing(client.goal_changes()) as changes:
        async for change in changes:
            return change.goal_events
    raise AssertionError("the subscription ended")


async def main(url: str, token: str) -> None:
    headers = {"Authorization": f"Bearer {token}"}
    client = Client(url=url, headers=headers, ws_url=url.replace("http", "ws", 1), ws_headers=headers)
    async with client:
        board = (await client.leaders(RangeInput(named=NamedRange.LAST_90_DAYS), 3)).team_dashboard
        leader = board.reps.nodes[0]
        sent = next(one.value for one in leader.metrics if one.metric is Metric.EMAILS_SENT)
        assert leader.rank == 1, leader
        assert isinstance(sent, Decimal), sent
        assert sent > 0
        film = (await client.film(5)).activities.nodes
        assert len(film) == 5
        assert all(one.occurred_at.tzinfo is not None for one in film)

        wanted = SetGoalsInput(
            metric=Metric.CALLS_LOGGED, period=GoalPeriod.WEEK, target=Decimal("41.5"), userIds=[leader.user.id]
        )
        heard = asyncio.ensure_future(first_change(client))
        while not heard.done():
            # A subscription without a cursor hears what comes after its start, which nothing tells: set until it does.
            made = (await client.set_goal(wanted)).set_goals
            assert made.errors == [], made.errors
            wanted.target += 1
            await asyncio.wait({heard}, timeout=0.5)
        event = heard.result()
        assert event.goal.id == made.goals[0].id, event
        assert Decimal("41.5") <= event.goal.target < wanted.target, event
        print("ok")


asyncio.run(main(*sys.argv[1:]))
