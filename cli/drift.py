"""Fails when the models, the migrations and the migrated tables differ: `python -m cli.drift`."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

import asyncpg
from tortoise import Tortoise
from tortoise.migrations.autodetector import MigrationAutodetector

from cli.embedded.postgres import EmbeddedPostgres
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


def main() -> int:
    """Returns the exit code."""
    with tempfile.TemporaryDirectory() as folder:
        server = EmbeddedPostgres(Path(folder) / "postgres", durable=False)
        try:
            url = server.start()
            found = asyncio.run(model_differences(url)) + asyncio.run(table_differences(url))
        finally:
            server.stop()
    for difference in found:
        print(difference, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
