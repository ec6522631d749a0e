"""The checked-in snapshot of the schema: `python -m api.schema.export` writes it, with `--check` compares it."""

from __future__ import annotations

import sys
from pathlib import Path

SNAPSHOT = Path(__file__).parent / "schema.graphql"


def main(arguments: list[str]) -> int:
    """Write or check the snapshot. Returns the exit code."""
    from api.schema.root import schema

    text = schema.as_str().rstrip() + "\n"
    if "--check" not in arguments:
        SNAPSHOT.write_text(text)
        return 0
    if not SNAPSHOT.exists() or SNAPSHOT.read_text() != text:
        print("The schema differs from api/schema/schema.graphql: run `python -m api.schema.export`.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
