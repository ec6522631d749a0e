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
from api.limits import Limits, refusal
from api.schema.root import schema
from domain import documents
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
    await require_trusted(context, text)
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
    return Admitted(
        cost,
        await spend(context.queue, context.viewer, cost, context.viewer.cost_per_minute or settings.cost_per_minute),
    )


async def require_trusted(context: Context, text: str) -> None:
    """Refuse a document that the credential may not send.

    Raises:
        GraphQLError: the credential takes trusted documents alone, and this is none.
    """
    if not context.viewer.trusted_documents_only:
        return
    async with context.acquire() as connection:
        known = await documents.find_document(connection, context.viewer.team_id, documents.digest_of_document(text))
    if known is None:
        raise refusal(
            "This token takes documents that the team trusts, and this is none of them: have it added with "
            "addTrustedDocument.",
            code="DOCUMENT_NOT_TRUSTED",
        )


async def trusted_text(context: Context, extensions: Mapping[str, Any] | None) -> str | None:
    """The document that a request names by its hash, `extensions.persistedQuery.sha256Hash`; None if it names none.

    Raises:
        GraphQLError: the team trusts no such document.
    """
    named = (extensions or {}).get("persistedQuery")
    digest = named.get("sha256Hash") if isinstance(named, dict) else None
    if not isinstance(digest, str):
        return None
    async with context.acquire() as connection:
        text = await documents.find_document(connection, context.viewer.team_id, digest)
    if text is None:
        # The code by which clients of persisted queries know it.
        raise refusal("The team trusts no document with this hash.", code="PERSISTED_QUERY_NOT_FOUND")
    return text


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
