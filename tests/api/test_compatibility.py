"""A change that would break a client is found; what was deprecated in time may go.

A. What a document may use of a release stays, but for what its deprecation has let go by now.
B. A deprecation names its day.
"""

from __future__ import annotations

from datetime import date

import pytest
from graphql import build_schema

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
