"""What happens around every GraphQL operation."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLSchema,
    NoSchemaIntrospectionCustomRule,
    OperationDefinitionNode,
    OperationType,
    get_operation_ast,
    parse,
    specified_rules,
    validate,
)
from strawberry.extensions import SchemaExtension
from strawberry.types.execution import ExecutionContext

from api.errors import to_graphql_error
from api.limits import ENDLESS, Limits, cost_of, long_numbers, page_sizes, refusal, shape_errors
from api.texts import TextWithoutNul

KNOWN_CHARACTERS = 300_000
"""Of all documents that are kept together. A parsed one takes some 150 bytes for each of its characters."""
KNOWN_COSTS = 20
"""Costs that are kept of one document: by operation and sizes of pages."""
LONGEST_TOKEN = 20
"""Characters that a document may have for each token that it may have: comments and spaces are none."""
MOST_ERRORS = 20
"""What is wrong with a document beyond these is not told: each costs time and space."""
_RULES = (*specified_rules, TextWithoutNul)
_CLOSED_RULES = (*_RULES, NoSchemaIntrospectionCustomRule)


@dataclass(frozen=True)
class _Known:
    """A document, parsed, what is wrong with it, and what its operations cost."""

    document: DocumentNode
    errors: list[GraphQLError]
    costs: dict[Any, int] = field(default_factory=dict)


class _Documents:
    """The documents that came last, as many as fit into `KNOWN_CHARACTERS`.

    One that is looked at in a thread may be looked for in another meanwhile.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, Limits], _Known] = OrderedDict()
        self._characters = 0
        self._lock = Lock()

    def find(self, key: tuple[str, Limits]) -> _Known | None:
        """The document, if it is known."""
        with self._lock:
            found = self._known.get(key)
            if found is not None:
                self._known.move_to_end(key)
            return found

    def keep(self, key: tuple[str, Limits], known: _Known) -> None:
        """Keep a document, and let those go that came longest ago."""
        with self._lock:
            if key in self._known:
                return
            self._known[key] = known
            self._characters += len(key[0])
            while self._characters > KNOWN_CHARACTERS and len(self._known) > 1:
                (text, _limits), _known = self._known.popitem(last=False)
                self._characters -= len(text)


_documents = _Documents()


def is_known(text: str, limits: Limits) -> bool:
    """Whether a document has been looked at already."""
    return _documents.find((text, limits)) is not None


def _look(schema: GraphQLSchema, text: str, limits: Limits) -> _Known:
    found = _documents.find((text, limits))
    if found is None:
        if len(text) > limits.tokens * LONGEST_TOKEN:
            raise refusal(f"The document has more than {limits.tokens * LONGEST_TOKEN} characters: send several.")
        document = parse(text, max_tokens=limits.tokens)
        # What is too much is not looked at further: the rules of validation are slower than the ones of limits.
        errors = (
            shape_errors(document, limits)
            or long_numbers(document, text)
            or validate(
                schema,
                document,
                _RULES if limits.introspection else _CLOSED_RULES,
                max_errors=MOST_ERRORS,
                # Who may not ask for the schema is not told its names either.
                hide_suggestions=not limits.introspection,
            )
        )
        found = _Known(document, errors)
        _documents.keep((text, limits), found)
    return found


def checked(schema: GraphQLSchema, text: str, limits: Limits) -> tuple[DocumentNode, list[GraphQLError]]:
    """A document, parsed, and what is wrong with it; once for each text.

    Raises:
        GraphQLSyntaxError: it is no document, or has too many tokens.
    """
    known = _look(schema, text, limits)
    return known.document, known.errors


def document_problems(schema: GraphQLSchema, text: str, limits: Limits) -> list[str]:
    """What is wrong with a document, in words."""
    try:
        _document, errors = checked(schema, text, limits)
    except GraphQLError as error:
        return [error.message]
    return [error.message for error in errors]


def operation_cost(
    schema: GraphQLSchema, text: str, limits: Limits, operation: OperationDefinitionNode, variables: Mapping[str, Any]
) -> int:
    """What an operation of a valid document costs.

    Raises:
        GraphQLError: more than one operation may.
    """
    known = _look(schema, text, limits)
    declared = [one.variable.name.value for one in operation.variable_definitions or ()]
    sizes = page_sizes({name: variables[name] for name in declared if name in variables})
    key = (operation.name and operation.name.value, tuple(sizes.items()))
    cost = known.costs.get(key)
    if cost is None:
        cost = cost_of(schema, known.document, operation, sizes)
        if len(known.costs) < KNOWN_COSTS:
            known.costs[key] = cost
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
