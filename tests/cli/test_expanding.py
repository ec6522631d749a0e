"""Migrations that an older version could not live with are refused.

Invariants:
A. Those that expand pass: tables, columns with a default, indexes beside those who work.
B. What takes something away, or locks a table in use for long, is named by its rule.
C. What contracts says which older version was the last to need it, and may then; locks are no less looked at.
D. All that there are pass.
"""

from __future__ import annotations

from typing import Any

import pytest
from tortoise import Tortoise, fields
from tortoise.migrations import operations as ops
from tortoise.migrations.constraints import UniqueConstraint
from tortoise.migrations.migration import Migration

from cli import expanding
from cli.expanding import problems
from domain.migrating import AddIndexConcurrently, known_migrations
from domain.models.base import new_id

NEW_TABLE = ops.CreateModel(
    name="Sticker",
    fields=[
        ("id", fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
        ("team", fields.ForeignKeyField("sideline.Team", source_field="team_id", related_name=False)),
        ("text", fields.CharField(max_length=80)),
    ],
    options={"table": "stickers", "app": "sideline", "pk_attr": "id"},
    bases=["Row"],
)


async def problems_of(*operations: Any, **said: Any) -> list[str]:
    kind = type(
        "Next", (Migration,), {"dependencies": [("sideline", known_migrations()[-1])], "operations": operations, **said}
    )
    try:
        return await problems({"0901_next": kind})
    finally:
        await Tortoise.close_connections()


async def test_what_expands_passes() -> None:
    """A, D."""
    assert await problems_of() == []
    assert (
        await problems_of(
            ops.AddField("Goal", "note", fields.CharField(max_length=80, db_default="")),
            ops.AddField("Goal", "remark", fields.CharField(max_length=80, null=True)),
            NEW_TABLE,
            ops.AddConstraint("Sticker", UniqueConstraint(fields=("team_id", "text"), name="stickers_text_key")),
            ops.RunSQL(
                [
                    "CREATE INDEX stickers_idx ON stickers (team_id, text)",
                    "GRANT SELECT ON stickers TO sideline_app",
                    "ALTER TABLE stickers ENABLE ROW LEVEL SECURITY",
                    "ALTER TABLE goals ADD CONSTRAINT goals_note_check CHECK (note <> 'x') NOT VALID",
                ]
            ),
        )
        == []
    )
    index = AddIndexConcurrently("goals_created_idx", "goals", "(team_id, created_at)")
    assert await problems_of(index, atomic=False) == []


@pytest.mark.parametrize(
    ("rule", "operation"),
    [
        ("ban-drop-column", ops.RemoveField("Goal", "metric")),
        ("ban-drop-table", ops.DeleteModel("UserWrite")),
        ("renaming-column", ops.RenameField("Goal", "metric", "measure")),
        ("renaming-table", ops.RunSQL("ALTER TABLE goals RENAME TO aims")),
        ("adding-required-field", ops.AddField("Goal", "note", fields.CharField(max_length=80))),
        ("changing-column-type", ops.RunSQL("ALTER TABLE goals ALTER COLUMN metric TYPE text")),
        ("adding-not-nullable-field", ops.RunSQL("ALTER TABLE goals ALTER COLUMN user_id SET NOT NULL")),
        ("require-concurrent-index-creation", ops.RunSQL("CREATE INDEX goals_idx ON goals (team_id, period)")),
        ("require-concurrent-index-deletion", ops.RunSQL("DROP INDEX goals_idx")),
        ("constraint-missing-not-valid", ops.RunSQL("ALTER TABLE goals ADD CONSTRAINT c CHECK (metric <> 'x')")),
        ("disallowed-unique-constraint", ops.RunSQL("ALTER TABLE goals ADD CONSTRAINT c UNIQUE (team_id, metric)")),
        (
            "adding-field-with-default",
            ops.RunSQL("ALTER TABLE goals ADD COLUMN at timestamptz NOT NULL DEFAULT clock_timestamp()"),
        ),
        (
            "ban-concurrent-index-creation-in-transaction",
            AddIndexConcurrently("goals_created_idx", "goals", "(team_id, created_at)"),
        ),
        ("RunPython", ops.RunPython(ops.RunPython.noop)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_what_does_not_is_refused(rule: str, operation: Any) -> None:
    """B."""
    found = await problems_of(operation)
    assert any(f"0901_next: {rule}" in problem for problem in found), found


async def test_a_migration_that_is_run_again() -> None:
    """B."""
    (found,) = await problems_of(
        ops.RunSQL("ALTER TABLE goals ADD COLUMN note text"),
        AddIndexConcurrently("goals_note_idx", "goals", "(team_id, note)"),
        atomic=False,
    )
    assert "atomic = False" in found


async def test_what_contracts(monkeypatch: pytest.MonkeyPatch) -> None:
    """C."""
    monkeypatch.setattr(expanding.metadata, "version", lambda _name: "1.3.0")
    drop = ops.RemoveField("Goal", "metric")
    assert await problems_of(drop, contracts="1.2.9") == []
    (found,) = await problems_of(drop, contracts="1.3.0")
    assert "no older version" in found
    index = ops.RunSQL("CREATE INDEX goals_idx ON goals (team_id, period)")
    (found,) = await problems_of(drop, index, contracts="1.2.9")
    assert "require-concurrent-index-creation" in found
