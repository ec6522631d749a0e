"""Exports that are made by a job."""

from orjson import loads
from tortoise import fields, migrations
from tortoise.contrib.postgres.fields import ArrayField
from tortoise.fields.base import OnDelete
from tortoise.fields.data import JSON_DUMPS
from tortoise.fields.db_defaults import SqlDefault
from tortoise.migrations import operations as ops
from tortoise.migrations.constraints import CheckConstraint, UniqueConstraint

from domain.models.base import new_id

TABLES = ("export_chunks", "exports")

TEAM = "(SELECT nullif(current_setting('sideline.team', true), '')::uuid)"

STATEMENTS = [
    "ALTER TABLE exports"
    " ADD CONSTRAINT exports_team_id_id_key UNIQUE (team_id, id),"
    " ADD CONSTRAINT exports_format_check CHECK (format IN ('ndjson', 'csv')),"
    " ADD CONSTRAINT exports_counts_check CHECK (rows >= 0 AND length >= 0 AND size >= 0),"
    " ADD CONSTRAINT exports_ready_check CHECK ((ready_at IS NULL) = (expires_at IS NULL)),"
    " ADD CONSTRAINT exports_removed_check CHECK ((removed_at IS NULL) = (removed_because IS NULL)),"
    " ADD CONSTRAINT exports_user_fkey FOREIGN KEY (team_id, user_id) REFERENCES users (team_id, id)",
    "ALTER TABLE export_chunks"
    " ADD CONSTRAINT export_chunks_start_key UNIQUE (team_id, export_id, start),"
    " ADD CONSTRAINT export_chunks_export_fkey"
    " FOREIGN KEY (team_id, export_id) REFERENCES exports (team_id, id) ON DELETE CASCADE",
    # They are packed already.
    "ALTER TABLE export_chunks ALTER COLUMN data SET STORAGE EXTERNAL",
    "CREATE INDEX exports_user_idx ON exports (team_id, user_id, created_at)",
    f"GRANT SELECT, INSERT, UPDATE, DELETE ON {', '.join(TABLES)} TO sideline_app",
    *(
        statement
        for table in TABLES
        for statement in (
            f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
            f"CREATE POLICY {table}_team ON {table} TO sideline_app"
            f" USING (team_id = {TEAM}) WITH CHECK (team_id = {TEAM})",
        )
    ),
]


def _reference(model: str, column: str, *, db_constraint: bool = False) -> fields.ForeignKeyRelation:
    return fields.ForeignKeyField(
        f"sideline.{model}",
        source_field=column,
        db_constraint=db_constraint,
        to_field="id",
        related_name=False,
        on_delete=OnDelete.CASCADE,
    )


class Migration(migrations.Migration):
    """Quick: the tables are new."""

    dependencies = [("sideline", "0015_live_calls")]

    initial = False

    operations = [
        ops.CreateModel(
            name="Export",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                ("team", _reference("Team", "team_id", db_constraint=True)),
                ("user", _reference("User", "user_id")),
                ("job", _reference("Job", "job_id")),
                ("connection", fields.CharField(max_length=60)),
                ("format", fields.CharField(max_length=8)),
                ("columns", ArrayField(element_type="text")),
                ("arguments", fields.JSONField(db_default=SqlDefault("'{}'"), encoder=JSON_DUMPS, decoder=loads)),
                (
                    "standing",
                    fields.JSONField(
                        description="What its reader could see when it began; what a download still has to hold",
                        encoder=JSON_DUMPS,
                        decoder=loads,
                    ),
                ),
                ("rows", fields.BigIntField(db_default=0)),
                ("length", fields.BigIntField(description="Bytes before they were packed", db_default=0)),
                ("size", fields.BigIntField(description="Bytes of the packed file so far", db_default=0)),
                (
                    "secret",
                    fields.BinaryField(
                        null=True, description="The key that seals the pieces, sealed; null: they are plain"
                    ),
                ),
                (
                    "created_at",
                    fields.DatetimeField(
                        description="The moment that the file shows",
                        db_default=SqlDefault("now()"),
                        auto_now=False,
                        auto_now_add=False,
                    ),
                ),
                ("ready_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ("expires_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ("removed_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ("removed_because", fields.CharField(null=True, max_length=200)),
            ],
            options={
                "table": "exports",
                "app": "sideline",
                "constraints": [
                    UniqueConstraint(fields=("team_id", "id"), name="exports_team_id_id_key"),
                    CheckConstraint(check="format IN ('ndjson', 'csv')", name="exports_format_check"),
                    CheckConstraint(check="rows >= 0 AND length >= 0 AND size >= 0", name="exports_counts_check"),
                    CheckConstraint(check="(ready_at IS NULL) = (expires_at IS NULL)", name="exports_ready_check"),
                    CheckConstraint(
                        check="(removed_at IS NULL) = (removed_because IS NULL)", name="exports_removed_check"
                    ),
                ],
                "pk_attr": "id",
                "table_description": "A connection as a file: what was asked for, and how far it is made.",
            },
            bases=["Row"],
        ),
        ops.CreateModel(
            name="ExportChunk",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                ("team", _reference("Team", "team_id", db_constraint=True)),
                ("export", _reference("Export", "export_id")),
                ("start", fields.BigIntField(description="Where in the file it begins")),
                ("size", fields.IntField(description="Its bytes, before they were sealed")),
                ("data", fields.BinaryField()),
            ],
            options={
                "table": "export_chunks",
                "app": "sideline",
                "constraints": [
                    UniqueConstraint(fields=("team_id", "export_id", "start"), name="export_chunks_start_key")
                ],
                "pk_attr": "id",
                "table_description": "A piece of an export's file.",
            },
            bases=["Row"],
        ),
        ops.RunSQL([*STATEMENTS]),
    ]
