"""A change that would break a client is found; what was deprecated in time may go.

A. What a document may use of a release stays, but for what its deprecation has let go by now.
B. A deprecation names its day.
C. Every type, field, argument, input field and enum value says what it means.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import pytest
from graphql import GraphQLEnumType, GraphQLSchema, build_schema, is_introspection_type, is_specified_scalar_type

from api.schema.compatibility import RELEASED, broken_promises, removable_from
from api.schema.export import SNAPSHOT

BEFORE = """
enum Tone { CALM LOUD @deprecated(reason: "Take CALM. Removed after 2026-03-01.") }
input Wish { tone: Tone note: String @deprecated(reason: "Nobody read it. Removed after 2026-03-01.") }
type Rep { name(short: Boolean): String! nick: String @deprecated(reason: "Take name. Removed after 2026-03-01.") }
type Query { rep(wish: Wish): Rep }
"""
TODAY = date(2026, 3, 2)


def broken(after: str, today: date = TODAY) -> list[str]:
    return broken_promises(build_schema(BEFORE), build_schema(after), today)


def test_what_was_deprecated_in_time_may_go() -> None:
    """A."""
    after = BEFORE.replace(' LOUD @deprecated(reason: "Take CALM. Removed after 2026-03-01.")', "")
    after = after.replace(' note: String @deprecated(reason: "Nobody read it. Removed after 2026-03-01.")', "")
    after = after.replace(' nick: String @deprecated(reason: "Take name. Removed after 2026-03-01.")', "")
    assert broken(after) == []
    assert len(broken(after, date(2026, 3, 1))) == 3


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("name(short: Boolean): String!", "name(short: Boolean): String"),
        ("name(short: Boolean): String!", "name: String!"),
        ("name(short: Boolean): String!", "title: String!"),
        ("name(short: Boolean): String!", "name(short: Boolean!): String!"),
        ("CALM LOUD", "LOUD"),
        ("tone: Tone", "tone: Tone!"),
        ("nick: String", "nick: Int"),
    ],
)
def test_what_breaks_a_document_is_found(old: str, new: str) -> None:
    """A. The last: a deprecation lets go of a field, it does not let it change its type."""
    assert len(broken(BEFORE.replace(old, new))) == 1


def test_more_breaks_nobody() -> None:
    """A."""
    assert broken(BEFORE.replace("CALM LOUD", "CALM SOFT LOUD").replace("type Rep {", "type Rep { age: Int")) == []


def test_deprecations_name_their_day() -> None:
    """B."""
    assert removable_from("Take name. Removed after 2027-05-01.") == date(2027, 5, 1)
    assert broken(BEFORE.replace("Take name. Removed after 2026-03-01.", "Take name.")) == [
        "Rep.nick is deprecated without a day: say `Removed after YYYY-MM-DD`."
    ]


def test_the_schema_keeps_what_the_last_release_promised() -> None:
    """A, B."""
    released, present = build_schema(RELEASED.read_text()), build_schema(SNAPSHOT.read_text())
    assert broken_promises(released, present, date.today()) == []


def test_everything_is_described() -> None:
    """C."""
    assert list(_undescribed(build_schema(SNAPSHOT.read_text()))) == []


def _undescribed(schema: GraphQLSchema) -> Iterator[str]:
    for kind in schema.type_map.values():
        if is_introspection_type(kind) or is_specified_scalar_type(kind):
            continue
        if not kind.description:
            yield kind.name
        if isinstance(kind, GraphQLEnumType):
            yield from (f"{kind.name}.{name}" for name, value in kind.values.items() if not value.description)
            continue
        for name, field in getattr(kind, "fields", {}).items():
            if not field.description:
                yield f"{kind.name}.{name}"
            for argument_name, argument in getattr(field, "args", {}).items():
                if not argument.description:
                    yield f"{kind.name}.{name}({argument_name}:)"
