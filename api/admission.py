"""Letting an operation in: its cost is worked out and taken from the credential's budget, and its time is bounded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from graphql import GraphQLError

from api.budget import Spent, spend
from api.context import Context
from api.extensions import checked, operation_cost
from api.limits import Limits
from api.schema.root import schema
from domain.errors import TooSlow
from domain.settings import Settings


@dataclass(frozen=True, slots=True)
class Admitted:
    """What an operation costs, and how the budget stands; `spent` is None while nothing is counted."""

    cost: int
    spent: Spent | None

    def told(self, limits: Limits) -> dict[str, Any]:
        """For `extensions.cost` of the answer: the same whenever the same is asked. The budget is in the headers."""
        return {"requested": self.cost, "limit": limits.cost}


async def admit(
    context: Context, text: str | None, operation_name: str | None, variables: Mapping[str, Any] | None
) -> Admitted | None:
    """Let an operation in. None for what is no valid document: execution tells what is wrong with it.

    Raises:
        GraphQLError: it costs more than one operation may.
        BudgetSpent: the credential has not got it.
    """
    if not text:
        return None
    try:
        _document, errors = checked(schema._schema, text, context.limits)
    except GraphQLError:
        return None
    if errors:
        return None
    cost = operation_cost(schema._schema, text, context.limits, operation_name, variables or {})
    settings: Settings = context.connection.app.state.settings
    if context.queue is None:
        return Admitted(cost, None)
    return Admitted(cost, await spend(context.queue, context.viewer, cost, settings.cost_per_minute))


@asynccontextmanager
async def bounded(context: Context) -> AsyncIterator[None]:
    """Give up what takes too long; PostgreSQL stops working at it too.

    Raises:
        TooSlow: it took too long.
    """
    seconds = context.connection.app.state.settings.request_seconds
    try:
        async with asyncio.timeout(seconds) as bound:
            yield
    except TimeoutError as error:
        if not bound.expired():
            raise
        raise TooSlow(f"This took longer than {seconds:g} s and was given up: ask for less at once.") from error
