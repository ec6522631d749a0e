"""What clients were promised stays: `python -m api.schema.compatibility` compares the schema with the last release.

A change that would break a client's document is refused, but for the end of a field, an argument, an input field or
an enum value that the last release had deprecated up to a day that is past. A deprecation says why, what to take
instead, and that day: `Removed after 2027-05-01`. `--release` makes the present schema the promise.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime

from graphql import GraphQLEnumType, GraphQLSchema, build_schema
from graphql.utilities import BreakingChangeType, find_breaking_changes

from api.schema.export import SNAPSHOT

RELEASED = SNAPSHOT.with_name("released.graphql")
_REMOVALS = frozenset(
    {BreakingChangeType.FIELD_REMOVED, BreakingChangeType.ARG_REMOVED, BreakingChangeType.VALUE_REMOVED_FROM_ENUM}
)
_REMOVED_AFTER = re.compile(r"\bRemoved after (\d{4}-\d{2}-\d{2})\b")


def removable_from(reason: str | None) -> date | None:
    """The day after which something deprecated may be gone; None where its deprecation names none.

    >>> removable_from("Take `title`. Removed after 2027-05-01.")
    datetime.date(2027, 5, 1)
    """
    found = _REMOVED_AFTER.search(reason or "")
    return None if found is None else date.fromisoformat(found[1])


def deprecations(schema: GraphQLSchema) -> Iterator[tuple[str, str]]:
    """The coordinates of what is deprecated, with the reasons."""
    for kind in schema.type_map.values():
        if kind.name.startswith("__"):
            continue
        if isinstance(kind, GraphQLEnumType):
            for name, value in kind.values.items():
                if value.deprecation_reason is not None:
                    yield f"{kind.name}.{name}", value.deprecation_reason
            continue
        for name, field in getattr(kind, "fields", {}).items():
            if field.deprecation_reason is not None:
                yield f"{kind.name}.{name}", field.deprecation_reason
            for argument_name, argument in getattr(field, "args", {}).items():
                if argument.deprecation_reason is not None:
                    yield f"{kind.name}.{name}({argument_name}:)", argument.deprecation_reason


def broken_promises(released: GraphQLSchema, present: GraphQLSchema, today: date) -> list[str]:
    """What of a released schema the present one breaks on `today`, and deprecations that do not say until when."""
    due = {
        coordinate
        for coordinate, reason in deprecations(released)
        if (day := removable_from(reason)) is not None and day < today
    }
    broken = [
        change.description
        for change in find_breaking_changes(released, present)
        if not (
            change.type in _REMOVALS and any(f" {coordinate} was removed" in change.description for coordinate in due)
        )
    ]
    undated = [
        f"{coordinate} is deprecated without a day: say `Removed after YYYY-MM-DD`."
        for coordinate, reason in deprecations(present)
        if removable_from(reason) is None
    ]
    return broken + undated


def main(arguments: list[str]) -> int:
    """Compare, or make the present schema the promise. Returns the exit code."""
    if "--release" in arguments:
        RELEASED.write_text(SNAPSHOT.read_text())
        return 0
    broken = broken_promises(
        build_schema(RELEASED.read_text()), build_schema(SNAPSHOT.read_text()), datetime.now(UTC).date()
    )
    for line in broken:
        print(line, file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
