"""Letting an operation in: its cost is worked out and taken from the credential's budget, and its time is bounded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from graphql import DocumentNode, GraphQLError, OperationType, get_operation_ast

from api.budget import Spent, spend
from api.context import Context
from api.extensions import checked, is_known, operation_cost
from api.limits import Limits, refusal
from api.schema.root import schema
from api.texts import require_texts
from api.turns import Turns
from domain import documents
from domain.errors import TooSlow
from domain.replica import Replica, writing
from domain.settings import Settings

SHORT_CHARACTERS = 1_000
"""Documents that are looked at on the spot, in milliseconds."""
DIGEST_LENGTH = 64
"""SHA-256, hex."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """An operation that was let in.

    Args:
        cost: What it costs.
        spent: How the budget stands; None while nothing is counted.
        writes: Whether it may change something.
    """

    cost: int
    spent: Spent | None
    writes: bool

    def told(self, limits: Limits) -> dict[str, Any]:
        """For `extensions.cost` of the answer: the same whenever the same is asked. The budget is in the headers."""
        return {"requested": self.cost, "limit": limits.cost}


async def look_at(context: Context, text: str) -> tuple[DocumentNode, list[GraphQLError]]:
    """A document, parsed, and what is wrong with it. A long one that is new is looked at in a thread, one of each
    person's at a time: the work grows faster than its length, and others' answers are not to wait for it.

    Raises:
        GraphQLError: it is no document, or too long.
    """
    if len(text) > SHORT_CHARACTERS and not is_known(text, context.limits):
        checking: Turns = context.connection.app.state.checking
        async with checking.turn(context.viewer.user_id, 0):
            await asyncio.to_thread(checked, schema._schema, text, context.limits)
    return checked(schema._schema, text, context.limits)


async def admit(
    context: Context, text: str | None, operation_name: str | None, variables: Mapping[str, Any] | None
) -> Admitted | None:
    """Let an operation in. None for what is no valid document: execution tells what is wrong with it.

    Raises:
        GraphQLError: it costs more than one operation may, or the document has no such operation.
        BudgetSpent: the credential has not got it.
        TooManyAtOnce: the person has too much waiting already.
    """
    if not text:
        return None
    await require_trusted(context, text)
    try:
        document, errors = await look_at(context, text)
    except GraphQLError:
        return None
    if errors:
        return None
    operation = get_operation_ast(document, operation_name)
    if operation is None:
        raise refusal("operationName: name the operation of the document that is to be executed.", code="BAD_REQUEST")
    require_texts(schema._schema, operation, variables or {})
    cost = operation_cost(schema._schema, text, context.limits, operation, variables or {})
    settings: Settings = context.connection.app.state.settings
    replica: Replica = context.connection.app.state.replica
    writes = operation.operation is OperationType.MUTATION
    if operation.operation is OperationType.QUERY:
        context.replica = await replica.may_answer(context.viewer.team_id, context.viewer.user_id)
    if context.queue is None:
        return Admitted(cost, None, writes)
    limit = context.viewer.cost_per_minute or settings.cost_per_minute
    async with context.connection.app.state.spending:
        return Admitted(cost, await spend(context.queue, context.viewer, cost, limit), writes)


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
    if len(digest) != DIGEST_LENGTH or not digest.isalnum():
        raise refusal("persistedQuery: sha256Hash is a SHA-256 in hexadecimal.", code="BAD_REQUEST")
    async with context.acquire() as connection:
        text = await documents.find_document(connection, context.viewer.team_id, digest)
    if text is None:
        # The code by which clients of persisted queries know it.
        raise refusal("The team trusts no document with this hash.", code="PERSISTED_QUERY_NOT_FOUND")
    return text


@asynccontextmanager
async def bounded(context: Context, admitted: Admitted | None) -> AsyncIterator[None]:
    """Work at something when it is the person's turn; give up what takes too long, or what nobody waits for any more:
    PostgreSQL stops working at it too.

    Args:
        context: Who asks.
        admitted: What they ask for; None for what is only told that it is no operation.

    Raises:
        TooSlow: it took too long.
        TooManyAtOnce: the person has too much waiting already.
    """
    state = context.connection.app.state
    seconds = state.settings.request_seconds
    cost = 0 if admitted is None else admitted.cost
    turns: Turns = state.turns
    try:
        async with asyncio.timeout(seconds) as bound, turns.turn(context.viewer.user_id, cost):
            try:
                if admitted is not None and admitted.writes:
                    async with writing(context.viewer.team_id, context.viewer.user_id):
                        yield
                else:
                    yield
            except asyncio.CancelledError:
                context.abandon()
                raise
    except TimeoutError as error:
        if not bound.expired():
            raise
        raise TooSlow(f"This took longer than {seconds:g} s and was given up: ask for less at once.") from error
