"""The sources of subscriptions: every event is given with the viewer's rights of that moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial

from api.context import Context
from api.hub import Entry, Hub
from api.turns import Turns
from domain import access, events
from domain.access import GoalSight
from domain.accolades import AccoladeView, accolades_by_id, payload_ids
from domain.events import AccoladeEventType, EventType, StoredEvent
from domain.goal_events import GoalFilter
from domain.models.tokens import TokenScope

COALESCE_SECONDS = 1.0
"""A subscriber to numbers is sent at most one state in this time."""


def hub_of(context: Context) -> Hub:
    """This process's hub."""
    hub: Hub = context.connection.app.state.hub
    return hub


@dataclass(frozen=True, slots=True)
class Moment:
    """A viewer as they stand now: the context to answer in, and whose goals they may see."""

    context: Context
    sight: GoalSight


async def _look(context: Context) -> Moment:
    renewed = await context.renewed()
    access.require_scope(renewed.viewer, TokenScope.READ)
    return Moment(renewed, await renewed.goal_sight())


async def watch_goal_events(
    context: Context, after: str | None, wanted: GoalFilter
) -> AsyncGenerator[tuple[Context, list[Entry]], None]:
    """Every event after a cursor (from now without one) that the viewer may see when it is sent, in order, then live;
    in lots, each with the context that it is to be answered in.

    Raises:
        CursorUnknown: the cursor is none of the team's.
        CursorExpired: events after it are not kept any more.
        Unauthenticated: the viewer's credential has ended.
        Forbidden: the credential may not read any more.
        SlowReader: the subscriber cannot follow.
    """
    team_id = context.viewer.team_id
    async with context.acquire() as connection:
        position = await events.position_of(connection, team_id, after)
    async with aclosing(hub_of(context).events(team_id, position)) as source:
        async for log, entries in source:
            moment: Moment = await log.moment(context.credential, partial(_look, context))
            sight = moment.sight
            seen = [
                entry
                for entry in entries
                if isinstance(entry.stored.type, EventType)
                and wanted.matches(entry.event.goal)
                and sight.sees(team_id, entry.event.goal.user_id, entry.event.goal.group_id)
            ]
            if seen:
                yield moment.context, seen


async def watch_accolades(
    context: Context, after: str | None
) -> AsyncGenerator[tuple[StoredEvent, AccoladeView], None]:
    """Every event of an accolade after a cursor (from now without one) of people whom the viewer may see when it is
    sent, in order, then live. Before each, the context is made fresh in place.

    Raises:
        CursorUnknown: the cursor is none of the team's.
        CursorExpired: events after it are not kept any more.
        Unauthenticated: the viewer's credential has ended.
        Forbidden: the credential may not read any more.
        SlowReader: the subscriber cannot follow.
    """
    team_id = context.viewer.team_id
    async with context.acquire() as connection:
        position = await events.position_of(connection, team_id, after)
    async with aclosing(hub_of(context).events(team_id, position)) as source:
        async for _log, entries in source:
            told = [entry.stored for entry in entries if isinstance(entry.stored.type, AccoladeEventType)]
            if not told:
                continue
            await context.refresh()
            access.require_scope(context.viewer, TokenScope.READ)
            sight = await context.users_in_sight()
            ids = [payload_ids(stored.payload)[0] for stored in told]
            async with context.acquire() as connection:
                found = await accolades_by_id(connection, sight, ids)
            for stored, accolade_id in zip(told, ids, strict=True):
                if accolade_id in found:
                    yield stored, found[accolade_id]


async def watch_numbers(context: Context) -> AsyncGenerator[None, None]:
    """Once at first, and whenever the team's numbers may have changed since: at most once in `COALESCE_SECONDS`, and
    after the last change once more. Before each, the context is made fresh in place.

    Raises:
        Unauthenticated: the viewer's credential has ended.
        Forbidden: the credential may not read any more.
    """
    loop = asyncio.get_running_loop()
    showing: Turns = context.connection.app.state.showing
    with hub_of(context).joined(context.viewer.team_id) as log:
        await log.open()
        while True:
            generation = log.generation
            await context.refresh()
            access.require_scope(context.viewer, TokenScope.READ)
            sent_at = loop.time()
            # One state of a person's is put together and sent at a time; the streams themselves are capped.
            async with showing.turn(context.viewer.user_id, 0):
                yield
            while log.generation == generation:
                await log.wait_for_numbers()
            await asyncio.sleep(max(0.0, sent_at + COALESCE_SECONDS - loop.time()))
