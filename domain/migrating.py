"""Tortoise's migrations, run beside an older version that works on, and in a tenth of the time.

**Beside an older version.** A statement that waits for a table's lock keeps all waiting who come after it, to read or
to write. So a migration gives up after `LOCK_SECONDS`, lets the others pass, and tries again. Each is recorded in its
own transaction: what was interrupted is done or is not. What needs no transaction, such as an index on a table in use,
says `atomic = False` and may be run again (`AddIndexConcurrently`). `python -m cli.expanding` holds new migrations to
what an older version can live with.

**In a tenth of the time.** Before every operation Tortoise copies the state of all models and makes a class of each, in
case the operation should ask how things were before, and makes the classes of all related models anew after it; with
the models' number the cost of an empty database's start grows by its square (7 s at 70 models). Here a class is made
when an operation asks for it, together with those that it refers to, and no other. `python -m cli.drift` holds the
tables that this makes to those that Tortoise's own executor makes.
"""

from __future__ import annotations

import asyncio
import pkgutil
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

import asyncpg
from tortoise.fields.relational import RelationalField
from tortoise.migrations.executor import MigrationExecutor
from tortoise.migrations.graph import MigrationKey
from tortoise.migrations.migration import Migration
from tortoise.migrations.operations import TortoiseOperation
from tortoise.migrations.recorder import MigrationRecorder
from tortoise.migrations.schema_editor.base import BaseSchemaEditor
from tortoise.migrations.schema_generator.state import ModelState, State
from tortoise.migrations.schema_generator.state_apps import StateApps
from tortoise.models import Model
from tortoise.transactions import in_transaction

from domain.errors import Unavailable

if TYPE_CHECKING:
    from domain.database import Connection

APP = "sideline"
FOLDER = "migrations"
LOCK_SECONDS = 2.0
"""How long a migration waits for a lock, and with it whoever comes after."""
LOCK_PAUSES_SECONDS = (0.5, 1.0, 2.0, 4.0, *(8.0,) * 30)
"""Between its tries: some five minutes, in which what held the lock may end."""
LONGEST_NAME = 63
"""Bytes of a name in PostgreSQL."""

Models = dict[tuple[str, str], ModelState]
Say = Callable[[str], None]


@cache
def known_migrations() -> tuple[str, ...]:
    """The migrations that this version knows, in order."""
    return tuple(sorted(found.name for found in pkgutil.iter_modules(import_module(FOLDER).__path__)))


async def missing_migrations(connection: Connection) -> list[str]:
    """The migrations that this version needs and the database does not have. What it has beyond them is no matter."""
    try:
        rows = await connection.fetch("SELECT name FROM tortoise_migrations WHERE app = $1", APP)
    except asyncpg.UndefinedTableError:
        rows = []
    applied = {row["name"] for row in rows}
    return [name for name in known_migrations() if name not in applied]


class _Apps(StateApps):
    """Classes of models, each made when it is asked for."""

    def __init__(self, models: Models, default_connections: dict[str, str]) -> None:
        super().__init__(default_connections=default_connections)
        self._models = models

    def forget(self) -> None:
        """Make classes anew from now on: a model is another one."""
        self.apps.clear()

    def get_model(self, app_label: str, model_name: str | None = None) -> type[Model]:
        """The class of a model, and with it those of the models that it refers to.

        Raises:
            KeyError: there is no such model.
        """
        if model_name is None:
            app_label, model_name = self.split_reference(app_label)
        if model_name not in self.apps.get(app_label, {}):
            for key in self._reached_from((app_label, model_name)):
                if key[1] not in self.apps.get(key[0], {}):
                    self.register_model(key[0], self._models[key].render(self))
            self._init_relations()
            self._build_initial_querysets()
        return self.apps[app_label][model_name]

    def _reached_from(self, key: tuple[str, str]) -> Iterable[tuple[str, str]]:
        found = {key: None}
        waiting = [key]
        while waiting:
            for target in references(self, self._models[waiting.pop()]):
                if target in self._models and target not in found:
                    found[target] = None
                    waiting.append(target)
        return found


def references(apps: StateApps, model: ModelState) -> Iterable[tuple[str, str]]:
    """The models that the fields of a model refer to."""
    for field in model.fields.values():
        if isinstance(field, RelationalField) and (name := getattr(field, "model_name", None)) is not None:
            yield apps.split_reference(name)


class _State(State):
    """What the models are after some operations; their classes are made on demand."""

    apps: _Apps

    def __init__(self, models: Models, default_connections: dict[str, str]) -> None:
        super().__init__(models=models, apps=_Apps(models, default_connections))
        self._default_connections = default_connections

    def reload_model(self, app_label: str, model_name: str) -> None:
        self.reload_models([(app_label, model_name)])

    def reload_models(self, model_tuples: Iterable[tuple[str, str]]) -> None:
        self.apps.forget()

    def validate_relations_initialized(self) -> None:
        """Every relation leads to a model.

        Raises:
            RuntimeError: one does not.
        """
        lost = [
            f"{'.'.join(key)} to {'.'.join(target)}"
            for key, model in self.models.items()
            for target in references(self.apps, model)
            if target not in self.models
        ]
        if lost:
            raise RuntimeError(f"These relations lead to no model: {', '.join(sorted(lost))}.")

    def clone(self) -> _State:
        models = {key: model.clone() for key, model in self.models.items()}
        return _State(models, self._default_connections)


class Migrator(MigrationExecutor):
    """Tortoise's executor of migrations over such states, forward, while others work on."""

    async def forward(self, on_step: Say, on_wait: Say) -> None:
        """Apply what the database does not have yet.

        Args:
            on_step: Called with a migration's name when it has been applied.
            on_wait: Called with a sentence when somebody else has to be waited for.

        Raises:
            Unavailable: a migration did not get its locks; those before it are done.
        """
        await self.recorder.ensure_schema(self._schema_editor(atomic=False))
        await self.loader.build_graph()
        applied = self.loader.applied_migrations
        state = await self._project_state(applied)
        for step in self._migration_plan(None, applied, self.loader.graph):
            state = await self._apply_patiently(step.migration, state, on_wait)
            on_step(step.migration.name)

    async def _apply_patiently(self, migration: Migration, before: State, on_wait: Say) -> State:
        for pause in (*LOCK_PAUSES_SECONDS, None):
            try:
                return await self._apply(migration, before.clone())
            except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError) as error:
                holder = await self._longest_transaction()
                if pause is None:
                    raise Unavailable(
                        f"{migration.name} did not get a lock that it needs in {len(LOCK_PAUSES_SECONDS) + 1} tries of "
                        f"{LOCK_SECONDS:g} s; {holder}. What was applied before it stays: end that transaction, or "
                        "wait for it, and run `sideline migrate` again."
                    ) from error
                on_wait(f"{migration.name} lets others pass and tries again in {pause:g} s; {holder}")
            await asyncio.sleep(pause)
        raise AssertionError("unreachable")

    async def _apply(self, migration: Migration, state: State) -> State:
        editor = self._schema_editor(atomic=migration.atomic)
        if not editor.atomic_migration:
            await migration.apply(state, schema_editor=editor)
            await self.recorder.record_applied(migration.app_label, migration.name)
            return state
        async with in_transaction(self.connection.connection_name) as client:
            editor.client = client
            await migration.apply(state, schema_editor=editor)
            await MigrationRecorder(client).record_applied(migration.app_label, migration.name)
        return state

    async def _longest_transaction(self) -> str:
        """Who may hold the lock; without the statement, which may hold what nobody else is to read."""
        _, rows = await self.connection.execute_query(
            "SELECT pid, application_name, state, round(extract(epoch FROM now() - xact_start)) AS seconds "
            "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
            "AND xact_start IS NOT NULL ORDER BY xact_start LIMIT 1"
        )
        if not rows:
            return "nobody is in a transaction any more"
        told = rows[0]
        return (
            f"the longest transaction is that of process {told['pid']} ({told['application_name'] or 'no name'}, "
            f"{told['state']}), {told['seconds']} s"
        )

    async def _project_state(self, applied: set[MigrationKey], *, upto: MigrationKey | None = None) -> State:
        state = _State({}, _default_connections(self.loader.apps_config))
        for key in self._full_plan():
            if key == upto:
                break
            if key in applied:
                step = self.loader.graph.nodes[key]
                assert step is not None, "the loader refuses a step that was applied and whose file is gone"
                await step.apply(state, dry_run=True, schema_editor=None)
        return state


def _default_connections(apps: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {label: app.get("default_connection", "default") for label, app in apps.items()}


class AddIndexConcurrently(TortoiseOperation):  # type: ignore[misc]
    """An index on a table that is in use, made while others read and write; for a migration with `atomic = False`.

    It may be run again: what an interrupted run has left half-made is removed first, and what is there stays. Of a
    partitioned table each partition gets its index, then the table.

    Args:
        name: The index's.
        table: What it is on.
        definition: What follows the table's name: `(team_id, kind)`, `USING gin (external_ids)`.
    """

    atomic = False
    reversible = False

    def __init__(self, name: str, table: str, definition: str, *, unique: bool = False) -> None:
        self.name = name
        self.table = table
        self.definition = definition
        self._create = "CREATE UNIQUE INDEX" if unique else "CREATE INDEX"

    def describe(self) -> str:
        """For who reads the SQL."""
        return f"Add the index {self.name} to {self.table} while it is in use"

    async def database_forward(
        self, app_label: str, old_state: State, new_state: State, state_editor: BaseSchemaEditor | None = None
    ) -> None:
        """Make what is missing of it."""
        if state_editor is None:
            return
        if state_editor.collect_sql:
            state_editor.collected_sql += [f"{statement};" for statement in self._statements(self.table, self.name)]
            return
        async with state_editor.client.acquire_connection() as connection:
            partitions = [
                row["name"]
                for row in await connection.fetch(
                    "SELECT relid::regclass::text AS name FROM pg_partition_tree($1::regclass) WHERE isleaf", self.table
                )
            ]
            for table in partitions or [self.table]:
                await self._build(connection, table, self._name_on(table))
            if partitions:
                await connection.execute(
                    f"{self._create} IF NOT EXISTS {self.name} ON ONLY {self.table} {self.definition}"
                )
                for table in partitions:
                    await connection.execute(f"ALTER INDEX {self.name} ATTACH PARTITION {self._name_on(table)}")

    async def _build(self, connection: Connection, table: str, name: str) -> None:
        valid = await connection.fetchval("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass($1)", name)
        if valid:
            return
        drop, create = self._statements(table, name)
        # It waits for older transactions, and nobody waits for it.
        await connection.execute("SET lock_timeout = 0")
        try:
            if valid is False:
                await connection.execute(drop)
            await connection.execute(create)
        finally:
            await connection.execute("RESET lock_timeout")

    def _name_on(self, table: str) -> str:
        name = self.name if table == self.table else f"{table}_{self.name.removeprefix(self.table + '_')}"
        if len(name) > LONGEST_NAME:
            raise ValueError(f"The name {name} is longer than {LONGEST_NAME} bytes: PostgreSQL would cut it.")
        return name

    def _statements(self, table: str, name: str) -> Iterator[str]:
        yield f"DROP INDEX CONCURRENTLY IF EXISTS {name}"
        yield f"{self._create} CONCURRENTLY {name} ON {table} {self.definition}"
