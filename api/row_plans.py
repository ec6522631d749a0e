"""Rows of a list, read by one plan from the first object down to the last leaf.

What api/object_plans.py reads off one object, this reads off all objects of a list and whatever lies below them, as
long as it is plain all the way: attributes, resolvers that take nothing and wait for nothing, references that were
brought before, rows of metrics. The first thing that is not gives the whole list back to the ordinary way, which tells
what is wrong with it; resolvers of queries may run twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from graphql import (
    GraphQLObjectType,
    GraphQLResolveInfo,
    GraphQLSchema,
    get_nullable_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
)
from strawberry.types.info import Info

from api.object_plans import AS_IT_IS, UNFIT, Leaf, begun, leaf_of, references_of, strawberry_field, type_of
from api.schema.metrics import MetricRow

_Complete = Callable[[Any], Any]


class Unplanned(Exception):
    """Something is not as plain as the plan has it."""


@dataclass(frozen=True, slots=True)
class _Deep:
    """A field that is more than a leaf of its object: where its value comes from, and what becomes of it."""

    value_of: Callable[[Any], Any]
    complete: _Complete


@dataclass(frozen=True, slots=True)
class RowPlan:
    """How objects of one type answer one selection, whole."""

    type_name: str
    steps: tuple[tuple[str, Leaf | None, _Deep | None], ...]

    def read(self, source: Any) -> dict[str, Any]:
        """The answer of an object.

        Raises:
            Unplanned: it is not what the plan promises; what its resolvers raise passes through.
        """
        found: dict[str, Any] = {}
        for name, leaf, deep in self.steps:
            if leaf is not None:
                value = found[name] = leaf.shown(getattr(source, leaf.attribute, UNFIT))
                if value is UNFIT:
                    raise Unplanned
            elif deep is not None:
                found[name] = deep.complete(deep.value_of(source))
            else:
                found[name] = self.type_name
        return found


class RowPlanner:
    """The plans of one execution.

    Args:
        schema: What is executed.
        collect: The fields of a selection, by type and field details, as graphql-core collects them.
        metrics: The cells of a row of metrics, by its type, field details and row; None if they have to be waited for.
    """

    def __init__(
        self,
        schema: GraphQLSchema,
        collect: Callable[[Any, Any], Any],
        metrics: Callable[[Any, Any, MetricRow], list[dict[str, Any]] | None],
    ) -> None:
        self._schema = schema
        self._collect = collect
        self._metrics = metrics
        self._lists: dict[int, tuple[Any, _Complete]] = {}
        self._info: Any = None

    def read(self, return_type: Any, details: Any, info: GraphQLResolveInfo[Any], items: Sequence[Any]) -> list[Any]:
        """The answers of a list's objects.

        Raises:
            Unplanned: they want the ordinary way; what their resolvers raise passes through.
        """
        known = self._lists.get(id(details))
        if known is None:
            if self._info is None:
                # What references ask of it is the context, and that is the same everywhere.
                self._info = Info(_raw_info=info, _field=None)  # type: ignore[arg-type]
            known = self._lists[id(details)] = (details, self._completer(return_type.of_type, details))
        return [known[1](item) for item in items]

    def _completer(self, kind: Any, details: Any) -> _Complete:
        inner = get_nullable_type(kind)
        if any(directive.name.value == "stream" for detail in details for directive in detail.node.directives or ()):
            raise Unplanned
        if is_leaf_type(inner):
            complete = _leaf_completer(inner)
        elif is_list_type(inner):
            complete = self._list_completer(inner, details)
        else:
            complete = self._object_completer(inner, details)
        nullable = not is_non_null_type(kind)

        def checked(value: Any) -> Any:
            if value is None:
                if nullable:
                    return None
                raise Unplanned
            return complete(value)

        return checked

    def _list_completer(self, kind: Any, details: Any) -> _Complete:
        each: list[_Complete] = []

        def complete(value: Any) -> Any:
            if type(value) is MetricRow:
                cells = self._metrics(kind, details, value)
                if cells is None:
                    raise Unplanned
                return cells
            if type(value) is not list:
                raise Unplanned
            if not each:
                each.append(self._completer(kind.of_type, details))
            return [each[0](item) for item in value]

        return complete

    def _object_completer(self, kind: Any, details: Any) -> _Complete:
        # That a class has no plan is remembered as well: many lists of one selection would look for it anew.
        plans: dict[type, RowPlan | None] = {}

        def complete(value: Any) -> Any:
            if type(value) not in plans:
                plans[type(value)] = self._plan_or_none(type_of(self._schema, kind, type(value)), details)
            plan = plans[type(value)]
            if plan is None:
                raise Unplanned
            return plan.read(value)

        return complete

    def _plan_or_none(self, parent: GraphQLObjectType | None, details: Any) -> RowPlan | None:
        try:
            return None if parent is None else self._plan(parent, details)
        except Unplanned:
            return None

    def _plan(self, parent: GraphQLObjectType, details: Any) -> RowPlan:
        grouped, deferred, _forbidden = self._collect(parent, details)
        if deferred:
            raise Unplanned
        steps: list[tuple[str, Leaf | None, _Deep | None]] = []
        for name, below in grouped.items():
            if any(detail.defer_usage is not None or detail.fragment_variable_values for detail in below):
                raise Unplanned
            field_name = below[0].node.name.value
            if field_name == "__typename":
                steps.append((name, None, None))
                continue
            definition = parent.fields.get(field_name)
            leaf = leaf_of(definition)
            steps.append((name, leaf, None if leaf is not None else self._deep(definition, below)))
        return RowPlan(parent.name, tuple(steps))

    def _deep(self, definition: Any, details: Any) -> _Deep:
        return _Deep(self._value_of(definition), self._completer(definition.type, details))

    def _value_of(self, definition: Any) -> Callable[[Any], Any]:
        """Where a field's value comes from: an attribute, a resolver that takes nothing, or a reference."""
        field = None if definition is None or definition.args else strawberry_field(definition)
        if field is None or field.extensions:
            raise Unplanned
        resolver = field.base_resolver
        if resolver is None:
            return attrgetter(field.python_name)
        if resolver.arguments or resolver.self_parameter is None:
            raise Unplanned
        resolve: Callable[..., Any] = resolver.wrapped_func  # type: ignore[assignment]
        takes_info = resolver.info_parameter is not None
        if not resolver.is_async:
            if takes_info:
                raise Unplanned
            return resolve
        references = references_of(definition)
        if not references or not takes_info:
            raise Unplanned

        def referred(source: Any) -> Any:
            if any(one.is_missing(source, self._info.context) for one in references):
                raise Unplanned
            running = resolve(source, info=self._info)
            ended, value = begun(running)
            if not ended:
                running.close()
                raise Unplanned
            return value

        return referred


def _leaf_completer(kind: Any) -> _Complete:
    leaf = Leaf("", AS_IT_IS.get(kind), kind.coerce_output_value, nullable=False)

    def complete(value: Any) -> Any:
        made = leaf.shown(value)
        if made is UNFIT:
            raise Unplanned
        return made

    return complete
