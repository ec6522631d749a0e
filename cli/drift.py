"""Fails when the models, the migrations and the migrated tables differ: `python -m cli.drift`.

Or when the tables are others than Tortoise's own way of running the migrations makes.
"""

from __future__ import annotations

import asyncio
import difflib
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

import asyncpg
from tortoise import Tortoise
from tortoise.migrations.api import migrate as tortoise_migrate
from tortoise.migrations.autodetector import MigrationAutodetector

from cli.embedded.postgres import EmbeddedPostgres, binaries
from domain.database import migrate, tortoise_config


async def model_differences(url: str) -> list[str]:
    """What `tortoise makemigrations` would write: models that no migration has caught up with."""
    config = tortoise_config(url)
    await Tortoise.init(config=config, init_connections=False)
    detector = MigrationAutodetector(Tortoise.apps, config["apps"])
    return [f"a migration is missing: {change}" for change in await detector.changes()]


async def table_differences(url: str) -> list[str]:
    """Columns that only the models or only the migrated tables have."""
    await migrate(url)
    config = tortoise_config(url)
    await Tortoise.init(config=config, init_connections=False)
    assert Tortoise.apps is not None
    models = {
        model._meta.db_table: {
            field.source_field or name
            for name, field in model._meta.fields_map.items()
            if name in model._meta.fields_db_projection
        }
        for model in Tortoise.apps["sideline"].values()
    }
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch(
            "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'"
        )
    finally:
        await connection.close()
    tables: dict[str, set[str]] = {}
    for row in rows:
        tables.setdefault(row["table_name"], set()).add(row["column_name"])
    found = []
    for table, columns in sorted(models.items()):
        for column in sorted(columns ^ tables.get(table, set())):
            side = "the model" if column in columns else "the table"
            found.append(f"{table}.{column}: only {side} has it")
    return found


async def executor_differences(url: str) -> list[str]:
    """Where the tables that `domain.migrating` makes are not those that Tortoise's own executor makes."""
    plain = urlunsplit(urlsplit(url)._replace(path="/plain"))
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("CREATE DATABASE plain")
    finally:
        await connection.close()
    try:
        await tortoise_migrate(config=tortoise_config(plain, pool_size=2), direction="forward")
    finally:
        await Tortoise.close_connections()
    its, ours = await asyncio.to_thread(_definitions, plain), await asyncio.to_thread(_definitions, url)
    changes = difflib.unified_diff(its, ours, "Tortoise", "domain.migrating", n=0, lineterm="")
    return [f"the tables are not those that Tortoise makes: {line}" for line in changes]


def _definitions(url: str) -> list[str]:
    parts = urlsplit(url)
    # The password by the environment, so that no list of processes shows it.
    environment = os.environ | {"PGPASSWORD": unquote(parts.password or "")}
    address = urlunsplit(parts._replace(netloc=f"{parts.username}@{parts.hostname}:{parts.port}"))
    command = [str(binaries() / "pg_dump"), "--schema-only", address]
    dumped = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    # Which are not the same twice.
    return [line for line in dumped.splitlines() if not line.startswith(("\\restrict", "\\unrestrict"))]


def main() -> int:
    """Returns the exit code."""
    with tempfile.TemporaryDirectory() as folder:
        server = EmbeddedPostgres(Path(folder) / "postgres", durable=False)
        try:
            url = server.start()
            found = [
                difference
                for compare in (model_differences, table_differences, executor_differences)
                for difference in asyncio.run(compare(url))
            ]
        finally:
            server.stop()
    for difference in found:
        print(difference, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
