"""Schemathesis against a real process: documents made from the schema, with whatever Hypothesis finds to put into them.

Invariants, for every field of Query and Mutation, as an Admin and as a rep:
A. Nothing is answered with a fault of ours, nor tells how the server is made; every error has a code and a request id.
B. What is answered is what was asked for, of the types that the schema promises.

Schemathesis's own check holds every error at a field for the server's fault, a refusal by a rule as well; what is held
to here are the codes. The examples are the same in every run. Subscriptions, which Schemathesis does not make, are in
test_attacks.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import httpx
import pytest
import schemathesis
from graphql import (
    FieldNode,
    FragmentSpreadNode,
    GraphQLEnumType,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    OperationDefinitionNode,
    SelectionNode,
    is_leaf_type,
    parse,
)
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.graphql import nodes

from api.schema.root import schema
from tests.running.attacks import Target
from tests.running.values import VALUES

EXAMPLES = {"admin": 6, "rep": 2}
"""For each field, by who asks."""


@pytest.fixture(scope="module")
def target(database_url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    made = Target(database_url, redis_url, tmp_path_factory.mktemp("target"))
    try:
        made.start()
        yield made
    finally:
        made.stop()


def texts(name: str, *more: str) -> st.SearchStrategy[Any]:
    """The hostile values of a scalar, and some that fit."""
    found = [str(one) for one in VALUES[name] if len(str(one)) < 1_000]
    return st.sampled_from([*found, *more]).map(nodes.String)


SCALARS = {
    "Decimal": texts("Decimal", "1", "12.50", "0.25"),
    "Date": texts("Date", "2026-01-05", "2026-06-30"),
    "DateTime": texts("DateTime", "2026-01-05T00:00:00Z", "2026-06-30T23:59:59-05:00"),
    "Time": texts("Time", "09:00", "17:30:00"),
    "JSON": st.one_of(texts("String"), st.integers(-(2**31), 2**31 - 1).map(nodes.Int), st.just(nodes.Null)),
}


@pytest.mark.parametrize("who", EXAMPLES)
def test_every_field(target: Target, who: str) -> None:
    for name, strategy in SCALARS.items():
        schemathesis.graphql.scalar(name, strategy)
    person = {"admin": target.admin, "rep": target.rep}[who]
    made = schemathesis.graphql.from_file(schema.as_str())
    operations = [found.ok() for found in made.get_all_operations()]
    assert len(operations) == len(_fields(schema._schema.query_type)) + len(_fields(schema._schema.mutation_type))
    asked = 0
    # Its own transport does not get along with the urllib3 that another package brings.
    client = httpx.Client(base_url=target.url, headers=person.bearer, timeout=60)
    for operation in operations:

        @settings(
            max_examples=EXAMPLES[who],
            derandomize=True,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def ask(case: Any) -> None:
            nonlocal asked
            asked += 1
            answer = client.post("/graphql", json={"query": case.body})
            target.judge(answer.status_code, answer.text)
            misfits = list(misfits_of(case.body, json.loads(answer.text)))
            assert not misfits, (misfits[:5], case.body[:500])

        ask()
    client.close()
    assert asked >= len(operations)


def test_what_does_not_fit_is_seen() -> None:
    text = (
        "{ viewer { x: user { id ... { active } } permissions } metrics { unit } node(id: 1) { ... on User { name } } }"
    )
    viewer = {"x": {"id": "a", "active": True}, "permissions": ["TEAM_VIEW"]}
    good = {"viewer": viewer, "metrics": [{"unit": "COUNT"}], "node": {}}
    assert list(misfits_of(text, {"data": good})) == []
    assert list(misfits_of(text, {"data": None}))
    for bad in (
        {**good, "viewer": None},
        {**good, "viewer": {**viewer, "x": {"id": None, "active": True}}},
        {**good, "viewer": {**viewer, "x": {"id": "a", "active": "yes"}}},
        {**good, "viewer": {**viewer, "x": {"id": "a"}}},
        {**good, "viewer": {**viewer, "permissions": ["FLY"]}},
        {**good, "viewer": {**viewer, "more": 1}},
        {**good, "metrics": {}},
        {**good, "metrics": [None]},
        {**good, "node": {"name": 7}},
    ):
        assert list(misfits_of(text, {"data": bad})), bad


def _fields(root: GraphQLObjectType | None) -> dict[str, Any]:
    assert root is not None
    return root.fields


def misfits_of(text: str, answer: dict[str, Any]) -> Iterator[str]:
    """Where an answer is not what the schema promises to whoever sends a document without fragments of its own."""
    (operation,) = parse(text).definitions
    assert isinstance(operation, OperationDefinitionNode)
    if answer.get("data") is None:
        if not answer.get("errors"):
            yield "neither data nor errors"
        return
    root = schema._schema.get_root_type(operation.operation)
    yield from _misfits(root, operation.selection_set.selections, answer["data"], "data")


def _asked(kind: Any, selections: Sequence[SelectionNode]) -> Iterator[tuple[str, Any, FieldNode]]:
    for one in selections:
        assert not isinstance(one, FragmentSpreadNode), "Schemathesis writes fragments in place"
        if isinstance(one, FieldNode):
            definition = kind.fields.get(one.name.value) if hasattr(kind, "fields") else None
            yield (one.alias or one.name).value, definition, one
        else:
            condition = one.type_condition  # type: ignore[attr-defined]
            narrowed = kind if condition is None else schema._schema.type_map[condition.name.value]
            yield from _asked(narrowed, one.selection_set.selections)  # type: ignore[attr-defined]


def _misfits(kind: Any, selections: Sequence[SelectionNode], value: Any, path: str) -> Iterator[str]:
    if isinstance(kind, GraphQLNonNull):
        if value is None:
            yield f"{path} is null"
            return
        kind = kind.of_type
    if value is None:
        return
    if isinstance(kind, GraphQLList):
        if not isinstance(value, list):
            yield f"{path} is no list"
            return
        for place, entry in enumerate(value):
            yield from _misfits(kind.of_type, selections, entry, f"{path}.{place}")
    elif is_leaf_type(kind):
        if not _is_of(kind, value):
            yield f"{path} is no {kind}: {value!r}"
    elif not isinstance(value, dict):
        yield f"{path} is no object"
    else:
        asked: dict[str, list[tuple[Any, FieldNode]]] = {}
        for name, definition, node in _asked(kind, selections):
            asked.setdefault(name, []).append((definition, node))
        for name in value.keys() - asked.keys():
            yield f"{path}.{name} was not asked for"
        for name, found in asked.items():
            if name not in value:
                # What is asked of another type of an abstract one is left out.
                if isinstance(kind, GraphQLObjectType):
                    yield f"{path}.{name} is missing"
                continue
            if all(definition is None for definition, _node in found):
                continue  # __typename
            below = [
                list(_misfits(definition.type, _selections(node), value[name], f"{path}.{name}"))
                for definition, node in found
                if definition is not None
            ]
            if (isinstance(kind, GraphQLObjectType | GraphQLInterfaceType) and len(found) == 1) or all(below):
                yield from below[0]


def _selections(node: FieldNode) -> Sequence[SelectionNode]:
    return node.selection_set.selections if node.selection_set is not None else ()


def _is_of(kind: Any, value: Any) -> bool:
    if isinstance(kind, GraphQLEnumType):
        return value in kind.values
    if kind.name == "Boolean":
        return isinstance(value, bool)
    if kind.name == "Int":
        return isinstance(value, int) and not isinstance(value, bool) and -(2**31) <= value < 2**31
    if kind.name == "Float":
        return isinstance(value, int | float) and not isinstance(value, bool)
    return kind.name == "JSON" or isinstance(value, str)
