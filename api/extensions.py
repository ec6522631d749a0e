"""What happens around every GraphQL operation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLSchema,
    NoSchemaIntrospectionCustomRule,
    OperationType,
    get_operation_ast,
    parse,
    specified_rules,
    validate,
)
from strawberry.extensions import SchemaExtension
from strawberry.types.execution import ExecutionContext

from api.errors import to_graphql_error
from api.limits import ENDLESS, Limits, cost_of, refusal, shape_errors

DOCUMENT_CACHE_SIZE = 500
LONGEST_TOKEN = 20
"""Characters that a document may have for each token that it may have: comments and spaces are none."""
_RULES = specified_rules
_CLOSED_RULES = (*specified_rules, NoSchemaIntrospectionCustomRule)


@lru_cache(maxsize=DOCUMENT_CACHE_SIZE)
def checked(schema: GraphQLSchema, text: str, limits: Limits) -> tuple[DocumentNode, list[GraphQLError]]:
    """A document, parsed, and what is wrong with it; once for each text.

    Raises:
        GraphQLSyntaxError: it is no document, or has too many tokens.
    """
    if len(text) > limits.tokens * LONGEST_TOKEN:
        raise refusal(f"The document has more than {limits.tokens * LONGEST_TOKEN} characters: send several.")
    document = parse(text, max_tokens=limits.tokens)
    # What is too much is not looked at further: the rules of validation are slower than the ones of limits.
    errors = shape_errors(document, limits)
    return document, errors or validate(schema, document, _RULES if limits.introspection else _CLOSED_RULES)


def document_problems(schema: GraphQLSchema, text: str, limits: Limits) -> list[str]:
    """What is wrong with a document, in words."""
    try:
        _document, errors = checked(schema, text, limits)
    except GraphQLError as error:
        return [error.message]
    return [error.message for error in errors]


@lru_cache(maxsize=DOCUMENT_CACHE_SIZE * 4)
def _cost(
    schema: GraphQLSchema, text: str, limits: Limits, operation_name: str | None, sizes: tuple[tuple[str, Any], ...]
) -> int:
    document, _errors = checked(schema, text, limits)
    operation = get_operation_ast(document, operation_name)
    return 0 if operation is None else cost_of(schema, document, operation, dict(sizes))


def operation_cost(
    schema: GraphQLSchema, text: str, limits: Limits, operation_name: str | None, variables: Mapping[str, Any]
) -> int:
    """What an operation of a valid document costs.

    Raises:
        GraphQLError: more than one operation may.
    """
    sizes = tuple(
        (name, (None,) * len(value) if isinstance(value, list) else value)
        for name, value in sorted(variables.items())
        if isinstance(value, int | list)
    )
    cost = _cost(schema, text, limits, operation_name, sizes)
    if cost > limits.cost:
        told = "far more" if cost >= ENDLESS else str(cost)
        raise refusal(
            f"This operation costs {told}, and at most {limits.cost} is allowed: take smaller pages or fewer fields.",
            cost=min(cost, 2**31 - 1),
            limit=limits.cost,
        )
    return cost


class KnownDocuments(SchemaExtension):
    """A document is parsed and validated once; clients send the same few again and again.

    Strawberry's own caches live as long as one request when they are made for one, and are not safe to share when they
    are not; their keys hash the whole tree.
    """

    def on_parse(self) -> Iterator[None]:
        """Instead of parsing."""
        context = self.execution_context
        if context.query is not None:
            context.graphql_document, _errors = checked(
                _graphql_schema(context.schema), context.query, context.context.limits
            )
        yield

    def on_validate(self) -> Iterator[None]:
        """Instead of validating."""
        context = self.execution_context
        if context.query is not None:
            _document, errors = _checked(context)
            context.pre_execution_errors = list(errors) or _out_of_place(context)
        yield


def _out_of_place(context: ExecutionContext) -> list[GraphQLError]:
    """A subscription in a request that waits for one answer."""
    document = context.graphql_document
    operation = None if document is None else get_operation_ast(document, context.operation_name)
    if operation is None or operation.operation is not OperationType.SUBSCRIPTION or context.context.streams:
        return []
    return [
        GraphQLError(
            "A subscription needs a stream: connect by WebSocket with the subprotocol graphql-transport-ws, or send "
            "this request with `Accept: text/event-stream`.",
            extensions={"code": "BAD_REQUEST"},
        )
    ]


def _checked(context: ExecutionContext) -> tuple[DocumentNode, list[GraphQLError]]:
    assert context.query is not None
    return checked(_graphql_schema(context.schema), context.query, context.context.limits)


def _graphql_schema(schema: object) -> GraphQLSchema:
    found: GraphQLSchema = schema._schema  # type: ignore[attr-defined]
    return found


class OneErrorPlace(SchemaExtension):
    """Errors leave through api/errors.py."""

    def on_operation(self):  # type: ignore[no-untyped-def,override]
        """After the operation."""
        yield
        result = self.execution_context.result
        errors = getattr(result, "errors", None)
        if result is not None and errors:
            request_id = self.execution_context.context.request_id
            result.errors = [to_graphql_error(error, request_id) for error in errors]
