"""What happens around every GraphQL operation."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLSchema,
    OperationType,
    get_operation_ast,
    parse,
    specified_rules,
    validate,
)
from strawberry.extensions import SchemaExtension
from strawberry.extensions.query_depth_limiter import create_validator
from strawberry.types.execution import ExecutionContext

from api.errors import to_graphql_error

DOCUMENT_CACHE_SIZE = 500
DEEPEST_QUERY = 20
_RULES = (*specified_rules, create_validator(DEEPEST_QUERY, None, None))


@lru_cache(maxsize=DOCUMENT_CACHE_SIZE)
def checked(schema: GraphQLSchema, text: str) -> tuple[DocumentNode, list[GraphQLError]]:
    """A document, parsed, and what is wrong with it; once for each text.

    Raises:
        GraphQLSyntaxError: it is no document.
    """
    document = parse(text)
    return document, validate(schema, document, _RULES)


class KnownDocuments(SchemaExtension):
    """A document is parsed and validated once; clients send the same few again and again.

    Strawberry's own caches live as long as one request when they are made for one, and are not safe to share when they
    are not; their keys hash the whole tree.
    """

    def on_parse(self) -> Iterator[None]:
        """Instead of parsing."""
        context = self.execution_context
        if context.query is not None:
            context.graphql_document, _errors = checked(_graphql_schema(context.schema), context.query)
        yield

    def on_validate(self) -> Iterator[None]:
        """Instead of validating."""
        context = self.execution_context
        if context.query is not None:
            _document, errors = checked(_graphql_schema(context.schema), context.query)
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
