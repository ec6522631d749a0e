"""Texts that PostgreSQL can hold: it knows no character U+0000, and a statement with one fails as a whole.

Refused here, once, for every argument. JSON values are looked at where they are read (domain/records.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphql import (
    GraphQLError,
    GraphQLInputObjectType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLSchema,
    OperationDefinitionNode,
    StringValueNode,
    ValidationRule,
    type_from_ast,
)

from api.limits import refusal

NUL = "\0"
_TEXTS = frozenset({"String", "ID"})


class TextWithoutNul(ValidationRule):
    """No literal of a document holds the character."""

    def enter_string_value(self, node: StringValueNode, *_args: Any) -> None:
        """Look at a literal."""
        if NUL in node.value:
            self.report_error(GraphQLError("A text holds no character U+0000: take it out.", node))


def require_texts(schema: GraphQLSchema, operation: OperationDefinitionNode, variables: Mapping[str, Any]) -> None:
    """Refuse variables with texts that cannot be kept.

    Raises:
        GraphQLError: there is one; `extensions.input` says where.
    """
    for one in operation.variable_definitions or ():
        name = one.variable.name.value
        path = find_nul(type_from_ast(schema, one.type), variables.get(name), (name,))
        if path is not None:
            raise refusal(
                f"{'.'.join(path)}: a text holds no character U+0000; take it out.", code="INVALID", input=list(path)
            )


def find_nul(kind: Any, value: Any, path: tuple[str, ...]) -> tuple[str, ...] | None:
    """Where in a value of a type there is a text with the character; None if nowhere."""
    if isinstance(kind, GraphQLNonNull):
        kind = kind.of_type
    if isinstance(value, str):
        return path if NUL in value and getattr(kind, "name", "") in _TEXTS else None
    if isinstance(kind, GraphQLList) and isinstance(value, list):
        inner = kind.of_type
        found = (find_nul(inner, entry, (*path, str(place))) for place, entry in enumerate(value))
        return next((one for one in found if one is not None), None)
    if isinstance(kind, GraphQLInputObjectType) and isinstance(value, dict):
        found = (
            find_nul(kind.fields[name].type, entry, (*path, name))
            for name, entry in value.items()
            if name in kind.fields
        )
        return next((one for one in found if one is not None), None)
    return None
