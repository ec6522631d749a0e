"""Values that nobody means, for every argument of a schema."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLUnionType,
    Undefined,
    get_named_type,
    is_leaf_type,
)

from domain.ids import encode_derived_goal, encode_id
from domain.models.base import new_id

LONG = "x" * 70_000
TEXTS = [
    "\0",
    "a\0b",
    "",
    " ",
    LONG,
    "%_\\",
    "\u2028\u202e",
    "'; --",
    "\n",
    "http://[::1",
    "https://a:99999/",
    "🦊" * 300,
]
OBJECTS = ("Goal", "Job", "Token", "WebhookEndpoint", "EmailActivity", "Import", "DaysOff")
VALUES: dict[str, list[Any]] = {
    "String": [*TEXTS, "a@b.c\0", "2026-13-45", "0" * 64],
    "ID": [
        *TEXTS[:6],
        *(encode_id(name, new_id()) for name in OBJECTS),
        encode_derived_goal("Group", new_id(), "CALLS_LOGGED", "MONTH"),
        "VXNlcjo" + "A" * 43,
        "=" * 1_000,
        5,
    ],
    "Int": [2**31 - 1, -(2**31), 0, -1, 501, 2**31, 1.5],
    "Float": [1e308, -1e308, -0.0],
    "Boolean": [True, False, "true"],
    "Decimal": ["1e999999999", "1e-999999999", "-0", "0", "1e400", "1e28", "9" * 5_000, "NaN", "sNaN", "-1", 1.5, "١"],
    "Date": ["0001-01-01", "9999-12-31", "1970-01-01", "-0001-01-01", "10000-01-01", "2026-02-30", 5],
    "DateTime": [
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "0001-01-01T00:00:00",
        "9999-12-31T23:59:59Z",
        "2026-01-01",
        "1969-01-01T00:00:00Z",
    ],
    "Time": ["00:00:00", "23:59:59.999999", "00:00+14:00", "24:00"],
    "JSON": [None, 5, "\0", [], {}, {"a": "\0"}, {"a\0": 1}, {"kind": "call", "externalId": "1", "user": "\0"}],
}
PLAIN: dict[str, Any] = {
    "String": "abc",
    "Int": 5,
    "Float": 1.0,
    "Boolean": True,
    "Decimal": "5",
    "Date": "2026-01-05",
    "DateTime": "2026-01-05T00:00:00Z",
    "Time": "09:00",
    "JSON": {"kind": "call"},
}
_KINDS = {"user": "User", "manager": "User", "actor": "User", "group": "Group", "parent": "Group", "role": "Role"}


@dataclass(frozen=True)
class Values:
    """Makes them.

    Args:
        ids: Ids of things that are there, by type.
    """

    ids: dict[str, str]

    def plain(self, kind: Any, name: str = "") -> Any:
        """A value that fits, as small as can be."""
        if isinstance(kind, GraphQLNonNull):
            kind = kind.of_type
        if isinstance(kind, GraphQLList):
            return [self.plain(kind.of_type, name)]
        if isinstance(kind, GraphQLEnumType):
            return next(iter(kind.values))
        if isinstance(kind, GraphQLInputObjectType):
            return {
                one: self.plain(field.type, one)
                for one, field in kind.fields.items()
                if isinstance(field.type, GraphQLNonNull) and field.default_value is Undefined
            }
        if kind.name == "ID":
            found = next((told for part, told in _KINDS.items() if name.startswith(part)), "User")
            return self.ids[found]
        return PLAIN.get(kind.name, "abc")

    def hostile(self, kind: Any, name: str = "") -> Iterator[Any]:
        """Values that do not fit, or only just."""
        if isinstance(kind, GraphQLNonNull):
            kind = kind.of_type
        else:
            yield None
        if isinstance(kind, GraphQLList):
            yield []
            yield [self.plain(kind.of_type, name)] * 1_001
            for one in self.hostile(kind.of_type, name):
                yield [one]
        elif isinstance(kind, GraphQLEnumType):
            yield from (*kind.values, "NOTHING", 5)
        elif isinstance(kind, GraphQLInputObjectType):
            plain = self.plain(kind)
            yield plain
            for one, field in kind.fields.items():
                for value in self.hostile(field.type, one):
                    yield {**plain, one: value}
        else:
            yield from VALUES.get(kind.name, TEXTS)

    def operations(self, root: GraphQLObjectType, word: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Documents with variables: each field plainly, then with one hostile value after the other."""
        for name, field in root.fields.items():
            declared = " ".join(f"${one}: {argument.type}" for one, argument in field.args.items())
            used = " ".join(f"{one}: ${one}" for one in field.args)
            head, call = (f"({declared})", f"({used})") if field.args else ("", "")
            document = f"{word}{head} {{ {name}{call}{selection(field.type)} }}"
            plain = {
                one: self.plain(argument.type, one)
                for one, argument in field.args.items()
                if isinstance(argument.type, GraphQLNonNull)
            }
            yield document, plain
            for one, argument in field.args.items():
                for value in self.hostile(argument.type, one):
                    yield document, {**plain, one: value}


def selection(kind: Any, depth: int = 2) -> str:
    """All leaves below a type that need no arguments, to a depth."""
    named = get_named_type(kind)
    if is_leaf_type(named):
        return ""
    if isinstance(named, GraphQLUnionType):
        return " { __typename }"
    found = ["__typename"]
    fields: dict[str, GraphQLField] = named.fields
    for name, field in fields.items():
        if any(isinstance(one.type, GraphQLNonNull) and one.default_value is Undefined for one in field.args.values()):
            continue
        if is_leaf_type(get_named_type(field.type)):
            found.append(name)
        elif depth > 1:
            found.append(name + selection(field.type, depth - 1))
    return f" {{ {' '.join(found)} }}"
