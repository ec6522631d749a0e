"""What a document may ask for, told before it is executed.

The cost model. Every field counts 1. What is below a list counts as often as the list may have entries: the `first` or
`last` of a connection (50 without one), the number of ids asked for, or a stated size; `LIST_SIZES` has them. What
reads much whatever is asked of it counts `WEIGHTS` more. A mutation counts 10 more.

The walk looks at each fragment once for each page size, so that fragments which double at each step cost no more to
look at than to write.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FloatValueNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    IntValueNode,
    ListValueNode,
    NullValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    VariableNode,
    Visitor,
    get_named_type,
    get_nullable_type,
    is_list_type,
    visit,
)
from graphql.language import ValueNode

from domain.paging import DEFAULT_PAGE, LARGEST_PAGE
from domain.settings import Settings

LIST_SIZE = 20
LIST_SIZES = {
    "MetricValue": 33,
    "IndividualMetric": 33,
    "MetricInfo": 33,
    "TrendPoint": 31,
    "GroupRow": 50,
    "GoalVersion": 10,
    "UserError": 5,
    "ExportableList": 30,
    "ExportField": 60,
    "CoachingOpportunity": 50,
    "GoalPlanStep": 9,
    "Score": 2,
    "ScoreComponent": 8,
    "ScoreWeight": 8,
    "ScoreVersion": 10,
    "ScoreTrendPoint": 31,
    "GroupScore": 50,
}
"""Entries of lists that are no pages, by the type of an entry, where it is not `LIST_SIZE`."""
SCHEMA_SIZES = {
    "types": 150,
    "fields": 6,
    "inputFields": 3,
    "args": 1,
    "enumValues": 4,
    "interfaces": 1,
    "possibleTypes": 1,
    "directives": 8,
}
"""The same of lists in the schema itself, by the field: about what an entry has on average."""
WEIGHTS = {
    "teamDashboard": 200,
    "individualDashboard": 200,
    "individuals": 200,
    "metricsUpdated": 200,
    "groupScores": 200,
    "scores": 20,
    "totalCount": 20,
    "progress": 5,
    "outlook": 10,
    "coachingOpportunities": 200,
    "goalPlan": 50,
}
MUTATION_WEIGHT = 10
MOST_REPETITIONS = 20
"""How often one place may ask for the same field, or under the same alias. All of them are compared with each other."""
MOST_DIRECTIVES = 5
"""At one field, fragment or operation."""
LONGEST_NUMBER = 100
"""Digits of a number in a document."""
_MANY_DIGITS = re.compile(r"[0-9.]{100}")
ENDLESS = 10**15
"""A cost that is not counted further."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of one operation.

    Args:
        depth: Fields within fields.
        aliases: Fields under another name.
        tokens: Words and signs of a document.
        cost: By the cost model.
        introspection: Whether the schema may be asked for.
    """

    depth: int
    aliases: int
    tokens: int
    cost: int
    introspection: bool

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        """The bounds that the operator has set."""
        return cls(
            settings.query_depth,
            settings.query_aliases,
            settings.query_tokens,
            settings.query_cost,
            settings.introspection,
        )


def refusal(message: str, code: str = "LIMIT_EXCEEDED", **more: Any) -> GraphQLError:
    """An error that tells which bound was met."""
    return GraphQLError(message, extensions={"code": code, **more})


def long_numbers(document: DocumentNode, text: str) -> list[GraphQLError]:
    """Numbers that nobody means. Python refuses to read the longest, in the middle of whatever it does."""
    if not _MANY_DIGITS.search(text):
        return []

    class Numbers(Visitor):
        def __init__(self) -> None:
            super().__init__()
            self.found: list[GraphQLError] = []

        def enter_int_value(self, node: IntValueNode, *_args: Any) -> None:
            if len(node.value) > LONGEST_NUMBER:
                self.found.append(refusal(f"A number has at most {LONGEST_NUMBER} digits."))

        def enter_float_value(self, node: FloatValueNode, *_args: Any) -> None:
            if len(node.value) > LONGEST_NUMBER:
                self.found.append(refusal(f"A number has at most {LONGEST_NUMBER} digits."))

    numbers = Numbers()
    visit(document, numbers)
    return numbers.found[:1]


def shape_errors(document: DocumentNode, limits: Limits) -> list[GraphQLError]:
    """What is too deep, or holds too many aliases, repetitions or directives; without regard to the schema."""
    fragments = _fragments(document)
    depths: dict[str, int] = {}

    def depth(selections: SelectionSetNode | None, within: frozenset[str]) -> int:
        deepest = 0
        for one in selections.selections if selections is not None else ():
            if isinstance(one, FragmentSpreadNode):
                name = one.name.value
                # Validation refuses circles and unknown names.
                if name in within or name not in fragments:
                    continue
                if name not in depths:
                    depths[name] = depth(fragments[name].selection_set, within | {name})
                deepest = max(deepest, depths[name])
            else:
                below = depth(one.selection_set, within)  # type: ignore[attr-defined]
                deepest = max(deepest, below + isinstance(one, FieldNode))
        return deepest

    operations = [one for one in document.definitions if isinstance(one, OperationDefinitionNode)]
    errors = []
    if any(depth(one.selection_set, frozenset()) > limits.depth for one in operations):
        errors.append(refusal(f"The query is deeper than {limits.depth} fields: ask in several steps."))
    count = _count(document)
    if count.aliases > limits.aliases:
        errors.append(refusal(f"The document has more than {limits.aliases} aliases: send several."))
    if count.repetitions > MOST_REPETITIONS:
        errors.append(refusal(f"A field is asked for more than {MOST_REPETITIONS} times in one place: once is enough."))
    if count.directives > MOST_DIRECTIVES:
        errors.append(refusal(f"There are more than {MOST_DIRECTIVES} directives in one place."))
    return errors


def _fragments(document: DocumentNode) -> dict[str, FragmentDefinitionNode]:
    return {one.name.value: one for one in document.definitions if isinstance(one, FragmentDefinitionNode)}


@dataclass
class _Count:
    """What a document holds of what is bounded: aliases altogether, the rest in the place that has most of it."""

    aliases: int = 0
    repetitions: int = 0
    directives: int = 0


def _count(document: DocumentNode) -> _Count:
    count = _Count()
    waiting: list[Any] = [*document.definitions]
    while waiting:
        node = waiting.pop()
        count.directives = max(count.directives, len(getattr(node, "directives", None) or ()))
        selections = getattr(node, "selection_set", None)
        names: Counter[str] = Counter()
        for one in selections.selections if selections is not None else ():
            waiting.append(one)
            if isinstance(one, FieldNode):
                count.aliases += one.alias is not None
                names[(one.alias or one.name).value] += 1
        count.repetitions = max(count.repetitions, *names.values(), 0)
    return count


def page_sizes(variables: Mapping[str, Any]) -> dict[str, Any]:
    """What the cost model wants to know of some variables: numbers, and how many entries a list has, as far as they
    make a difference. What is left out of it counts as a variable that is null."""
    sizes: dict[str, Any] = {}
    for name, value in variables.items():
        if isinstance(value, int | float) and not isinstance(value, bool) and value == value // 1:
            # JSON's 500.0 is a 500 for GraphQL.
            sizes[name] = int(max(-1, min(value, LARGEST_PAGE)))
        elif isinstance(value, list | tuple):
            sizes[name] = (None,) * min(len(value), LARGEST_PAGE)
        else:
            sizes[name] = None
    return sizes


def cost_of(
    schema: GraphQLSchema, document: DocumentNode, operation: OperationDefinitionNode, variables: Mapping[str, Any]
) -> int:
    """What a valid operation costs by the cost model, at most `ENDLESS`."""
    fragments = _fragments(document)
    defaults = {one.variable.name.value: one.default_value for one in operation.variable_definitions or ()}
    known: dict[tuple[str, int], int] = {}

    def size_of(value: ValueNode | None, *, entries: bool) -> int | None:
        """The number that an argument gives, or how many entries it has."""
        if isinstance(value, VariableNode):
            name = value.name.value
            if name not in variables:
                return size_of(defaults.get(name), entries=entries)
            given = variables[name]
            if entries:
                return len(given) if isinstance(given, list | tuple) else 1
            return given if isinstance(given, int) and not isinstance(given, bool) else None
        if entries:
            return len(value.values) if isinstance(value, ListValueNode) else 1
        return int(value.value) if isinstance(value, IntValueNode) else None

    def below(selections: SelectionSetNode | None, parent: Any, page: int) -> int:
        total = 0
        for one in selections.selections if selections is not None else ():
            if isinstance(one, FieldNode):
                total += field(one, parent, page)
            elif isinstance(one, FragmentSpreadNode):
                key = (one.name.value, page)
                if key not in known:
                    inner = fragments[one.name.value]
                    known[key] = below(inner.selection_set, schema.type_map[inner.type_condition.name.value], page)
                total += known[key]
            else:
                condition = one.type_condition  # type: ignore[attr-defined]
                narrowed = parent if condition is None else schema.type_map[condition.name.value]
                total += below(one.selection_set, narrowed, page)  # type: ignore[attr-defined]
        return min(total, ENDLESS)

    def field(node: FieldNode, parent: Any, page: int) -> int:
        name = node.name.value
        definition = parent.fields.get(name) if isinstance(parent, GraphQLObjectType | GraphQLInterfaceType) else None
        if definition is None:
            introspected = {"__schema": "__Schema", "__type": "__Type"}.get(name)
            return 1 + (below(node.selection_set, schema.type_map[introspected], 1) if introspected else 0)
        own = 1 + WEIGHTS.get(name, 0) + (MUTATION_WEIGHT if parent is schema.mutation_type else 0)
        named = get_named_type(definition.type)
        arguments = {
            one.name.value: one.value for one in node.arguments or () if not isinstance(one.value, NullValueNode)
        }
        times = 1
        if is_list_type(get_nullable_type(definition.type)):
            if parent.name.endswith("Connection"):
                times = page
            elif "ids" in arguments:
                times = size_of(arguments["ids"], entries=True) or 0
            else:
                known_size = SCHEMA_SIZES.get(name) if parent.name.startswith("__") else LIST_SIZES.get(named.name)
                times = LIST_SIZE if known_size is None else known_size
                asked = [size_of(arguments[one], entries=False) for one in ("first", "last") if one in arguments]
                times = next((one for one in asked if one is not None), times)
        inner = page
        if named.name.endswith("Connection"):
            asked = [size_of(arguments[one], entries=False) for one in ("first", "last") if one in arguments]
            inner = next((one for one in asked if one is not None), DEFAULT_PAGE)
        times, inner = (max(0, min(one, LARGEST_PAGE)) for one in (times, inner))
        return min(own + times * below(node.selection_set, named, inner), ENDLESS)

    roots = {"query": schema.query_type, "mutation": schema.mutation_type, "subscription": schema.subscription_type}
    return below(operation.selection_set, roots[operation.operation.value], 1)
