"""Fails when a new migration is none that the version before can live with: `python -m cli.expanding`.

While a new version takes an old one's place, both work on one database, and the way back has to stay open. So what a
migration does is to add: tables, columns with a default or without a value, indexes made beside those who work
(`AddIndexConcurrently`), constraints that are not validated at once. squawk looks at the SQL that it would run.

What nobody needs any more goes in a later version. Such a migration says by `contracts = "1.2.0"` which version was the
last to use it, and that has to be an older one than this.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from tortoise import Tortoise, connections
from tortoise.migrations.graph import MigrationKey
from tortoise.migrations.migration import Migration

from domain.database import tortoise_config
from domain.migrating import APP, AddIndexConcurrently, Migrator

LAST_BEFORE = "0018_replicas"
"""Migrations up to here were made while nothing was released."""
POSTGRES = "18"
NOT_ASKED = (
    # domain.migrating sets it.
    "require-lock-timeout",
    "require-statement-timeout",
    # Of taste.
    "prefer-text-field",
    "prefer-bigint-over-int",
    "prefer-bigint-over-smallint",
    "prefer-robust-stmts",
)
CONTRACTING = (
    "adding-required-field",
    "ban-drop-column",
    "ban-drop-table",
    "changing-column-type",
    "renaming-column",
    "renaming-table",
)
"""What only a migration may do that `contracts`."""


class _NothingApplied:
    """Tells the loader that the database is empty: none is asked."""

    async def applied_migrations(self) -> list[MigrationKey]:
        return []


async def problems(migrations: dict[str, type[Migration]] | None = None) -> list[str]:
    """What is wrong with the migrations after `LAST_BEFORE`.

    Args:
        migrations: More of them, by name, for tests.
    """
    config = tortoise_config("postgresql://nobody@nowhere/nothing")
    await Tortoise.init(config=config, init_connections=False)
    migrator = Migrator(connections.get("default"), config["apps"])
    migrator.loader.recorder = _NothingApplied()  # type: ignore[assignment]
    await migrator.loader.build_graph()
    graph = migrator.loader.graph
    for name, kind in (migrations or {}).items():
        graph.add_node(MigrationKey(APP, name), kind(name, APP))
    found = []
    for key, migration in sorted(graph.nodes.items()):
        if isinstance(migration, Migration) and key.name > LAST_BEFORE:
            found += [f"{key.name}: {problem}" for problem in await _problems_of(migrator, migration)]
    return found


async def _problems_of(migrator: Migrator, migration: Migration) -> list[str]:
    contracts = getattr(migration, "contracts", None)
    found = []
    if contracts is not None and not _is_older(contracts):
        found.append(f"contracts = {contracts!r} is no older version than this one, {metadata.version('sideline')}")
    if not all(operation.reduces_to_sql for operation in migration.operations):
        found.append("RunPython cannot be looked at: write SQL")
        return found
    if not migration.atomic and not all(isinstance(one, AddIndexConcurrently) for one in migration.operations):
        found.append("with atomic = False it may be run again from its beginning: only AddIndexConcurrently can be")
    state = await migrator._project_state(set(migrator.loader.graph.nodes), upto=MigrationKey(APP, migration.name))
    editor = migrator._schema_editor(atomic=False, collect_sql=True)
    await migration.apply(state, schema_editor=editor, collect_sql=True)
    sql = "\n".join(line if line.startswith("--") else line.rstrip(";") + ";" for line in editor.collected_sql)
    return found + linted(sql, in_transaction=migration.atomic, contracting=contracts is not None)


def linted(sql: str, *, in_transaction: bool, contracting: bool) -> list[str]:
    """What squawk says of some SQL."""
    excluded = ",".join((*NOT_ASKED, *(CONTRACTING if contracting else ())))
    command = [str(Path(sys.executable).parent / "squawk"), "--reporter", "json", "--pg-version", POSTGRES]
    command += ["--exclude", excluded, "--stdin-filepath", "migration.sql"]
    command += ["--assume-in-transaction"] if in_transaction else []
    done = subprocess.run(command, input=sql, capture_output=True, text=True, check=False)
    if not done.stdout:
        raise RuntimeError(f"squawk failed: {done.stderr}")
    told = json.loads(done.stdout)
    return [f"{one['rule_name']}: {one['message']} {one['help'] or ''}".rstrip() for one in told]


def _is_older(version: str) -> bool:
    numbers = [tuple(int(part) for part in one.split(".")) for one in (version, metadata.version("sideline"))]
    return numbers[0] < numbers[1]


def main() -> int:
    """Returns the exit code."""
    found = asyncio.run(problems())
    for problem in found:
        print(problem, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
