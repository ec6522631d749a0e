"""An operation as a stream of answers, each as JSON: what WebSockets and server-sent events have in common.

A subscription to goal events is answered once for all subscribers who ask the same of what looks the same to them.
Everything else goes through Strawberry, a subscriber at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import Enum
from functools import partial
from typing import Any

import orjson
from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLObjectType,
    GraphQLUnionType,
    InlineFragmentNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    get_named_type,
    get_operation_ast,
)
from graphql.execution.execute import execute_subscription_event
from graphql.execution.values import get_argument_values, get_variable_values
from strawberry.types.execution import PreExecutionError
from strawberry.utils.str_converters import to_camel_case

from api.admission import admit, bounded, look_at
from api.budget import BudgetSpent
from api.context import Context
from api.errors import UNREACHABLE, to_graphql_error
from api.execution import SidelineExecutor
from api.hub import Entry, Restarting, TooManyStreams
from api.resolvers.goals import filter_of
from api.schema.goals import GoalEvent, GoalFilter
from api.schema.root import schema
from api.schema.scalars import decimal_text
from api.subscriptions import hub_of, watch_goal_events
from api.turns import TooManyAtOnce
from domain import access
from domain.errors import TooSlow
from domain.models.tokens import TokenScope

_SAME_FOR_ALL = {
    "GoalEvent": {"cursor", "type", "goal", "before", "after", "at", "statusBefore", "statusAfter", "periodStart"},
    "GoalVersion": {"version", "target", "effectiveFrom", "effectiveTo", "setAt"},
    "Goal": {
        "id",
        "metric",
        "period",
        "target",
        "effectiveFrom",
        "effectiveTo",
        "version",
        "derived",
        "subject",
        "progress",
    },
    "GoalProgress": {
        "periodStart",
        "periodEnd",
        "actual",
        "target",
        "attainment",
        "expectedByNow",
        "pace",
        "forecast",
        "status",
    },
    "User": {"id", "name", "email", "active", "isRep", "dealsAccess"},
    "Group": {"id", "name"},
    "Team": {"id", "name", "timezone", "currency"},
}
"""The fields of a goal event that look the same to everybody who may see it."""


@dataclass(frozen=True)
class Operation:
    """What a client asks to be executed; `read_only` where a link must not change anything."""

    query: str
    variables: Mapping[str, Any] | None = None
    operation_name: str | None = None
    read_only: bool = False


class Refused(Exception):
    """The operation was refused before anything was sent.

    Args:
        errors: As the client gets them.
    """

    def __init__(self, errors: list[GraphQLError]) -> None:
        super().__init__("refused")
        self.errors = errors


def encode(data: Any, errors: list[GraphQLError] | None) -> str:
    """An answer as JSON."""
    answer: dict[str, Any] = {"data": data}
    if errors:
        answer["errors"] = [error.formatted for error in errors]
    return orjson.dumps(answer).decode()


async def answers(context: Context, operation: Operation) -> AsyncGenerator[list[str], None]:
    """The answers to an operation, in lots: one to a query or a mutation, any number to a subscription.

    Raises:
        Refused: the document or its variables do not fit, or a subscription could not begin or had to end.
        UNREACHABLE: a subscription cannot go on here now; its client comes again and goes on.
    """
    context.streams = True
    try:
        document, errors = await look_at(context, operation.query)
    except GraphQLError as error:
        raise Refused([to_graphql_error(error, context.request_id)]) from error
    except TooManyAtOnce as error:
        raise Refused([_error(error, context)]) from error
    if errors:
        raise Refused([to_graphql_error(error, context.request_id) for error in errors])
    found = get_operation_ast(document, operation.operation_name)
    if found is None:
        unnamed = GraphQLError("operationName: name the operation of the document that is to be executed.")
        raise Refused([to_graphql_error(unnamed, context.request_id)])
    if operation.read_only and found.operation is OperationType.MUTATION:
        unsafe = GraphQLError("A mutation is sent with POST.")
        raise Refused([to_graphql_error(unsafe, context.request_id)])
    try:
        admitted = await admit(context, operation.query, operation.operation_name, operation.variables)
    except GraphQLError as error:
        raise Refused([to_graphql_error(error, context.request_id)]) from error
    except (BudgetSpent, TooManyAtOnce) as error:
        raise Refused([_error(error, context)]) from error
    if found.operation is not OperationType.SUBSCRIPTION:
        try:
            async with bounded(context, admitted):
                lots = [lot async for lot in _executed(context, operation)]
        except (TooSlow, TooManyAtOnce) as error:
            raise Refused([_error(error, context)]) from error
        for lot in lots:
            yield lot
        return
    try:
        with hub_of(context).counted(context.viewer.user_id):
            root = _only_field(found)
            if root is not None and root.name.value == "goalEvents":
                stream = _goal_events(context, operation, document, found, root)
            else:
                stream = _until_the_end(context, _executed(context, operation))
            async with aclosing(stream):
                async for lot in stream:
                    yield lot
    except (Restarting, TooManyStreams) as error:
        raise Refused([_error(error, context)]) from error


async def _until_the_end(context: Context, stream: AsyncGenerator[list[str], None]) -> AsyncGenerator[list[str], None]:
    """The same, until this process is about to stop.

    Raises:
        Restarting: it is.
    """
    stopping = asyncio.ensure_future(hub_of(context).stopping.wait())
    following: asyncio.Future[list[str]] | None = None
    try:
        while True:
            following = asyncio.ensure_future(anext(stream))
            await asyncio.wait({stopping, following}, return_when=asyncio.FIRST_COMPLETED)
            if not following.done():
                raise Restarting
            try:
                yield following.result()
            except StopAsyncIteration:
                return
    finally:
        stopping.cancel()
        if following is not None:
            following.cancel()
            await asyncio.wait({following})
        await stream.aclose()


def _error(error: Exception, context: Context) -> GraphQLError:
    return to_graphql_error(GraphQLError(str(error), original_error=error), context.request_id)


def _told(error: GraphQLError, context: Context) -> GraphQLError:
    """An error as the client may see it: some leave Strawberry past every extension."""
    if (error.extensions or {}).get("requestId"):
        return error
    return to_graphql_error(error, context.request_id)


def _only_field(operation: OperationDefinitionNode) -> FieldNode | None:
    """The field of an operation that has one, plainly."""
    selections = operation.selection_set.selections
    if len(selections) == 1 and isinstance(selections[0], FieldNode) and not selections[0].directives:
        return selections[0]
    return None


async def _executed(context: Context, operation: Operation) -> AsyncGenerator[list[str], None]:
    source: Any = await schema.stream(
        operation.query,
        variable_values=dict(operation.variables or {}),
        context_value=context,
        operation_name=operation.operation_name,
    )
    try:
        async for result in source:
            if isinstance(result, PreExecutionError) or (
                result.data is None and result.errors and all(error.path is None for error in result.errors)
            ):
                raise Refused([_told(error, context) for error in result.errors or ()])
            yield [encode(result.data, [_told(error, context) for error in result.errors or ()])]
    finally:
        await source.aclose()


async def _goal_events(
    context: Context, operation: Operation, document: Any, found: OperationDefinitionNode, root: FieldNode
) -> AsyncGenerator[list[str], None]:
    graphql_schema = schema._schema
    given = get_variable_values(
        graphql_schema,
        found.variable_definitions or (),
        dict(operation.variables or {}),
        hide_suggestions=not context.limits.introspection,
    )
    if isinstance(given, list):
        raise Refused([to_graphql_error(error, context.request_id) for error in given])
    assert graphql_schema.subscription_type is not None
    try:
        access.require_scope(context.viewer, TokenScope.READ)
        arguments = get_argument_values(graphql_schema.subscription_type.fields["goalEvents"], root, given)
        wanted = filter_of(_filter(arguments.get("filter")))
        independent = _looks_the_same(graphql_schema, document, root, graphql_schema.type_map["GoalEvent"])
        plan = _plan(root, GoalEvent)
        response_name = root.alias.value if root.alias else root.name.value
        key = (operation.query, operation.operation_name, orjson.dumps(operation.variables or {}))
        async with aclosing(watch_goal_events(context, arguments.get("after"), wanted)) as source:
            async for moment, entries in source:
                shared = independent or moment.viewer.is_admin
                lot = []
                for entry in entries:
                    if plan is not None:
                        make = partial(_planned_answer, response_name, plan, entry)
                    else:
                        make = partial(_answer, moment, operation, document, entry)
                    lot.append(await (entry.answer(key, make) if shared else make()))
                yield lot
    except GraphQLError as error:
        raise Refused([to_graphql_error(error, context.request_id)]) from error
    except (Refused, *UNREACHABLE):
        raise
    except Exception as error:
        raise Refused([_error(error, context)]) from error


def _filter(given: Mapping[str, Any] | None) -> GoalFilter | None:
    """The input as Strawberry would make it."""
    if given is None:
        return None
    return GoalFilter(
        user_ids=given.get("userIds"),
        group_ids=given.get("groupIds"),
        metrics=given.get("metrics"),
        periods=given.get("periods"),
        include_ended=given.get("includeEnded"),
    )


def _looks_the_same(graphql_schema: Any, document: Any, field: FieldNode, parent: Any) -> bool:
    """Whether a selection holds nothing but fields that look the same to everybody."""
    fragments = {one.name.value: one for one in document.definitions if isinstance(one, FragmentDefinitionNode)}

    def same(selections: SelectionSetNode | None, parent: Any) -> bool:
        if selections is None:
            return True
        for one in selections.selections:
            if isinstance(one, FieldNode):
                name = one.name.value
                if name == "__typename":
                    continue
                if not isinstance(parent, GraphQLObjectType) or name not in _SAME_FOR_ALL.get(parent.name, ()):
                    return False
                if not same(one.selection_set, get_named_type(parent.fields[name].type)):
                    return False
                continue
            inner = one if isinstance(one, InlineFragmentNode) else fragments[one.name.value]  # type: ignore[attr-defined]
            condition = inner.type_condition
            narrowed = parent if condition is None else graphql_schema.type_map[condition.name.value]
            if not isinstance(narrowed, GraphQLObjectType | GraphQLUnionType):
                return False
            if not same(inner.selection_set, narrowed):
                return False
        return True

    return same(field.selection_set, parent)


@dataclass(frozen=True)
class _Cell:
    """A field of a plan: its name in the answer, the attribute that holds it, and what is asked below it."""

    response_name: str
    attribute: str
    below: tuple[_Cell, ...] | None


def _plan(field: FieldNode, made: Any) -> tuple[_Cell, ...] | None:
    """How to answer a selection from attributes alone, without resolvers; None when it asks for more.

    Most integrators ask for nothing but what an event holds; walking the schema for it takes ten times as long.
    """
    if field.selection_set is None:
        return None
    known = {_name_of(one): one for one in made.__strawberry_definition__.fields if one.base_resolver is None}
    cells: dict[str, _Cell] = {}
    for one in field.selection_set.selections:
        if not isinstance(one, FieldNode) or one.directives or one.arguments or one.name.value not in known:
            return None
        definition = known[one.name.value]
        response_name = one.alias.value if one.alias else one.name.value
        below = None
        if one.selection_set is not None:
            inner = definition.type
            below = _plan(one, getattr(inner, "of_type", inner))
            if below is None:
                return None
        if response_name in cells:
            return None
        cells[response_name] = _Cell(response_name, definition.python_name, below)
    return tuple(cells.values())


def _name_of(field: Any) -> str:
    return field.graphql_name or to_camel_case(field.python_name)


def _shape(value: Any, plan: tuple[_Cell, ...]) -> dict[str, Any]:
    return {cell.response_name: _shown(getattr(value, cell.attribute), cell.below) for cell in plan}


def _shown(value: Any, below: tuple[_Cell, ...] | None) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if below is not None:
        return _shape(value, below)
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, Decimal):
        return decimal_text(value)
    # datetime is a date.
    return value.isoformat() if isinstance(value, date) else value


async def _planned_answer(response_name: str, plan: tuple[_Cell, ...], entry: Entry) -> str:
    """The same as `_answer`, by a plan."""
    return encode({response_name: _shape(GoalEvent.of(entry.event), plan)}, None)


async def _answer(context: Context, operation: Operation, document: Any, entry: Entry) -> str:
    """The answer to one event.

    Raises:
        UNREACHABLE: a part of it cannot be had now. A reader that got less than the event would go on after it, so that
            it would be lost: the stream ends instead, and its client comes again.
    """
    executor = SidelineExecutor.build(
        schema._schema,
        document,
        root_value=GoalEvent.of(entry.event),
        context_value=context,
        raw_variable_values=dict(operation.variables or {}),
        operation_name=operation.operation_name,
    )
    assert isinstance(executor, SidelineExecutor), "the document and its variables were checked"
    result: Any = execute_subscription_event(executor)
    if executor.is_awaitable(result):
        result = await result
    for error in result.errors or ():
        if isinstance(error.original_error, UNREACHABLE):
            raise error.original_error
    errors = [to_graphql_error(error, context.request_id) for error in result.errors or ()]
    return encode(result.data, errors)
