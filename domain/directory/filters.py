"""SCIM's filters and orders (RFC 7644, sections 3.4.2.2 and 3.4.2.3) as SQL.

A filter is parsed by scim2-models and compiled here against the attributes that a resource lists: each stands for an
expression of ours, each value of the filter for a parameter.

    arguments: list[object] = []
    where = condition(parse_filter('userName sw "b" and not (active eq false)'), USERS, arguments)

Every condition is true or false and never null, so that `not` means what it says. `ne` is the opposite of `eq`: over
several values it holds where none is equal, and where there is none at all. Other comparisons with an attribute that
has no value are false.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TypeAlias
from uuid import UUID

from scim2_models import SCIMException, ScimFilter
from scim2_models.path import (
    AttrPath,
    CompareOperator,
    Comparison,
    FilterNode,
    LogicalExpr,
    LogicalOperator,
    Not,
    Path,
    Present,
    ValuePath,
)

from domain.errors import Invalid
from domain.ids import decode_any_id

LONGEST_FILTER = 4096
"""Characters. The parser bounds how deep it nests."""

_ORDERING = {
    CompareOperator.gt: ">",
    CompareOperator.ge: ">=",
    CompareOperator.lt: "<",
    CompareOperator.le: "<=",
}
_BOOLEANS = {"true": True, "false": False}


class Kind(StrEnum):
    """How the values of an attribute compare."""

    TEXT = "text"
    BOOLEAN = "boolean"
    TIME = "dateTime"
    ID = "id"


@dataclass(frozen=True, slots=True)
class Column:
    """What an attribute without parts stands for.

    Args:
        sql: The expression.
        kind: How it compares.
        exact: Whether the case of letters counts.
        optional: Whether it may be null.
        type_name: Of an id: what it is the id of.
    """

    sql: str
    kind: Kind = Kind.TEXT
    exact: bool = False
    optional: bool = False
    type_name: str = ""


def _plainly(condition: str) -> str:
    return condition


@dataclass(frozen=True, slots=True)
class Complex:
    """What an attribute with parts, of one or of several values, stands for.

    Args:
        parts: Its parts, by their names in lower case.
        value: The part that a comparison with the attribute itself means; None where one has to be named.
        some: The condition that some value meets a condition on its parts.
        selectable: Whether values may be chosen in brackets, as in `emails[type eq "work"]`.
        sortable: Whether the parts mean something outside of `some`.
    """

    parts: Mapping[str, Column]
    value: str | None = None
    some: Callable[[str], str] = field(default=_plainly)
    selectable: bool = False
    sortable: bool = True


Attribute: TypeAlias = Column | Complex


@dataclass(frozen=True, slots=True)
class Resource:
    """What a filter may name.

    Args:
        schema: The URN of the resource's own schema.
        attributes: By their names in lower case.
        extensions: The same of each extension, by its URN.
    """

    schema: str
    attributes: Mapping[str, Attribute]
    extensions: Mapping[str, Mapping[str, Attribute]] = field(default_factory=dict)


def global_id(type_name: str, column: str) -> str:
    """The SQL of `domain.ids.encode_id`."""
    text = f"convert_to('{type_name}:' || replace({column}::text, '-', ''), 'UTF8')"
    return f"rtrim(translate(encode({text}, 'base64'), '+/', '-_'), '=')"


def _text_of(column: Column) -> str:
    """What a comparison of text looks at."""
    text = global_id(column.type_name, column.sql) if column.kind is Kind.ID else column.sql
    return text if column.exact else f"lower({text})"


def parse_filter(text: str) -> FilterNode:
    """The tree of a filter.

    Raises:
        Invalid: it is too long, nests too deep, or does not follow the grammar.
    """
    if len(text) > LONGEST_FILTER:
        raise Invalid(f"filter: at most {LONGEST_FILTER} characters.", path=("filter",))
    try:
        return ScimFilter(text).ast
    except SCIMException as error:
        raise Invalid(f"filter: {error.detail}.", path=("filter",)) from error


def parse_order(text: str) -> AttrPath:
    """The attribute that an order names.

    Raises:
        Invalid: it is no path of an attribute.
    """
    try:
        node = Path(text).ast if len(text) <= LONGEST_FILTER else None
    except SCIMException as error:
        raise Invalid(f"sortBy: {error.detail}.", path=("sortBy",)) from error
    if not isinstance(node, AttrPath):
        raise Invalid("sortBy: name an attribute, such as userName or name.familyName.", path=("sortBy",))
    return node


def unknown_attributes(node: FilterNode, resource: Resource) -> set[str]:
    """The attributes that a filter names and a resource has not got."""
    return {str(path) for path in _paths(node) if _find(path, resource) is None}


def unknown_order(path: AttrPath, resource: Resource) -> bool:
    """Whether a resource has not got the attribute that an order names."""
    return _find(path, resource) is None


def condition(node: FilterNode, resource: Resource, arguments: list[object], *, lenient: bool = False) -> str:
    """A filter as a condition of a query, whose parameters are appended to `arguments`.

    Args:
        node: The filter.
        resource: What it may name.
        arguments: The query's.
        lenient: Whether an attribute that the resource has not got counts as one without a value, as where several
            kinds of resources are searched at once.

    Raises:
        Invalid: the resource has no such attribute, or it does not compare that way.
    """
    return _Compiler(resource, arguments, lenient).visit(node)


def order(path: AttrPath, resource: Resource, *, descending: bool, lenient: bool = False) -> str:
    """An order as the head of ORDER BY. What has no value comes last, or first where the order descends.

    Args:
        path: What to sort by.
        resource: What it may name.
        descending: The other way round.
        lenient: Whether an attribute that the resource has not got leaves the order empty.

    Raises:
        Invalid: the resource has no such attribute, or none to sort by.
    """
    found = _find(path, resource)
    if found is None and lenient:
        return ""
    column = found
    if isinstance(found, Complex):
        name = path.sub_attr.lower() if path.sub_attr else found.value
        column = found.parts[name] if name is not None and found.sortable else None
    if not isinstance(column, Column):
        raise Invalid(f"sortBy: nothing can be sorted by {path}.", path=("sortBy",))
    expression = column.sql
    if column.kind in (Kind.TEXT, Kind.ID):
        expression = f'{_text_of(column)} COLLATE "C"'
    return f"{expression} {'DESC' if descending else 'ASC'}"


def _paths(node: FilterNode) -> Iterator[AttrPath]:
    if isinstance(node, Comparison | Present | ValuePath):
        # What stands in brackets names parts of the attribute before them.
        yield node.attr_path
    elif isinstance(node, Not):
        yield from _paths(node.expr)
    elif isinstance(node, LogicalExpr):
        for term in node.terms:
            yield from _paths(term)


def _find(path: AttrPath, resource: Resource) -> Attribute | None:
    places = [resource.attributes, *resource.extensions.values()]
    if path.uri is not None:
        urn = path.uri.lower()
        known = {resource.schema: resource.attributes, **resource.extensions}
        places = [attributes for schema, attributes in known.items() if schema.lower() == urn]
    # Entra names the manager, which stands in an extension, without the extension's URN.
    for attributes in places:
        found = attributes.get(path.attr.lower())
        if found is None:
            continue
        if path.sub_attr is not None and (isinstance(found, Column) or path.sub_attr.lower() not in found.parts):
            continue
        return found
    return None


class _Compiler:
    """One filter of one query."""

    def __init__(self, resource: Resource, arguments: list[object], lenient: bool) -> None:
        self.resource = resource
        self.arguments = arguments
        self.lenient = lenient

    def visit(self, node: FilterNode) -> str:
        """The condition of a node."""
        return self._combined(node, self._leaf)

    def _combined(self, node: FilterNode, leaf: Callable[[FilterNode], str]) -> str:
        if isinstance(node, Not):
            return f"NOT ({self._combined(node.expr, leaf)})"
        if isinstance(node, LogicalExpr):
            joint = " AND " if node.op is LogicalOperator.and_ else " OR "
            return "(" + joint.join(self._combined(term, leaf) for term in node.terms) + ")"
        if isinstance(node, Comparison) and node.op is CompareOperator.ne:
            return f"NOT ({leaf(Comparison(node.attr_path, CompareOperator.eq, node.value))})"
        return leaf(node)

    def _leaf(self, node: FilterNode) -> str:
        if isinstance(node, Comparison) and node.value is None:
            if node.op is not CompareOperator.eq:
                raise _refused(node.attr_path, "null can only be compared by eq and ne")
            return f"NOT ({self._leaf(Present(node.attr_path))})"
        assert isinstance(node, Comparison | Present | ValuePath), node
        found = _find(node.attr_path, self.resource)
        if found is None:
            if self.lenient:
                return "false"
            raise _refused(node.attr_path, "there is no such attribute here")
        if isinstance(node, ValuePath):
            return self._chosen(node, found)
        if isinstance(node, Present):
            return self._present(node.attr_path, found)
        return self._compared(node, found)

    def _chosen(self, node: ValuePath, found: Attribute) -> str:
        if not isinstance(found, Complex) or not found.selectable or node.attr_path.sub_attr is not None:
            raise _refused(node.attr_path, "it has not several values to choose from")
        several: Complex = found

        def part(inner: FilterNode) -> str:
            assert isinstance(inner, Comparison | Present), inner
            path = inner.attr_path
            column = several.parts.get(path.attr.lower())
            if column is None or path.sub_attr is not None or path.uri is not None:
                raise _refused(node.attr_path, f"its values have no attribute {path}")
            if isinstance(inner, Present):
                return f"{column.sql} IS NOT NULL"
            if inner.value is None:
                if inner.op is not CompareOperator.eq:
                    raise _refused(path, "null can only be compared by eq and ne")
                return f"{column.sql} IS NULL"
            return self._test(path, column, inner.op, inner.value)

        return several.some(self._combined(node.val_filter, part))

    def _present(self, path: AttrPath, found: Attribute) -> str:
        if isinstance(found, Column):
            return f"{found.sql} IS NOT NULL"
        if path.sub_attr is not None:
            return found.some(f"{found.parts[path.sub_attr.lower()].sql} IS NOT NULL")
        return found.some("(" + " OR ".join(f"{column.sql} IS NOT NULL" for column in found.parts.values()) + ")")

    def _compared(self, node: Comparison, found: Attribute) -> str:
        path = node.attr_path
        if isinstance(found, Column):
            return self._test(path, found, node.op, node.value)
        name = path.sub_attr.lower() if path.sub_attr is not None else found.value
        if name is None:
            raise _refused(path, f"name a part of it, such as {path}.{next(iter(found.parts))}")
        return found.some(self._test(path, found.parts[name], node.op, node.value))

    def _test(self, path: AttrPath, column: Column, operator: CompareOperator, value: Any) -> str:
        """One comparison with a value that is not null."""
        if column.kind is Kind.BOOLEAN:
            test = self._boolean(path, column, operator, value)
        elif not isinstance(value, str):
            raise _refused(path, "compare it with a string, in quotes")
        elif column.kind is Kind.TIME:
            test = self._time(path, column, operator, value)
        elif column.kind is Kind.ID and operator is CompareOperator.eq:
            decoded = decode_any_id(value) if value.isascii() else None
            same = decoded is not None and decoded[0] == column.type_name
            test = f"{column.sql} = {self._parameter(decoded[1], 'uuid')}" if same and decoded else "false"
        else:
            test = self._text(path, column, operator, value)
        return f"({column.sql} IS NOT NULL AND {test})" if column.optional else test

    def _boolean(self, path: AttrPath, column: Column, operator: CompareOperator, value: Any) -> str:
        # Providers write true in quotes, too.
        wanted = _BOOLEANS.get(value.lower()) if isinstance(value, str) else value
        if operator is not CompareOperator.eq or not isinstance(wanted, bool):
            raise _refused(path, "it is true or false: compare it with these, by eq or ne")
        return f"{column.sql} = {self._parameter(wanted, 'boolean')}"

    def _time(self, path: AttrPath, column: Column, operator: CompareOperator, value: str) -> str:
        sign = "=" if operator is CompareOperator.eq else _ORDERING.get(operator)
        if sign is None:
            raise _refused(path, f"a time does not compare by {operator.value}")
        try:
            instant = datetime.fromisoformat(value)
            instant = (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).astimezone(UTC)
        except (ValueError, OverflowError) as error:
            raise _refused(path, "give a time such as 2026-03-04T05:06:07Z") from error
        return f"{column.sql} {sign} {self._parameter(instant, 'timestamptz')}"

    def _text(self, path: AttrPath, column: Column, operator: CompareOperator, value: str) -> str:
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise _refused(path, "the value is no text") from error
        if "\0" in value:
            raise _refused(path, "the value holds a null character")
        left, right = _text_of(column), self._parameter(value, "text")
        if not column.exact:
            right = f"lower({right})"
        if operator is CompareOperator.eq:
            return f"{left} = {right}"
        if operator is CompareOperator.co:
            return f"strpos({left}, {right}) > 0"
        if operator is CompareOperator.sw:
            return f"starts_with({left}, {right})"
        if operator is CompareOperator.ew:
            return f"right({left}, length({right})) = {right}"
        return f'{left} COLLATE "C" {_ORDERING[operator]} {right}'

    def _parameter(self, value: str | bool | datetime | UUID, type_name: str) -> str:
        self.arguments.append(value)
        return f"${len(self.arguments)}::{type_name}"


def _refused(path: AttrPath, why: str) -> Invalid:
    return Invalid(f"filter: {path}: {why}.", path=("filter",))
