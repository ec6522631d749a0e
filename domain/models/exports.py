"""Connections exported by a job, and the pieces of their files."""

from __future__ import annotations

from typing import ClassVar
from uuid import UUID

from tortoise import fields
from tortoise.contrib.postgres.fields import ArrayField
from tortoise.fields.db_defaults import SqlDefault
from tortoise.migrations.constraints import CheckConstraint, UniqueConstraint

from domain.models.base import Row, created_now
from domain.models.jobs import Job
from domain.models.people import User
from domain.models.teams import Team


class Export(Row):
    """A connection as a file: what was asked for, and how far it is made."""

    team_id: UUID
    team: fields.ForeignKeyRelation[Team] = fields.ForeignKeyField("sideline.Team", related_name=False)
    user_id: UUID
    user: fields.ForeignKeyRelation[User] = fields.ForeignKeyField(
        "sideline.User", related_name=False, db_constraint=False
    )
    job_id: UUID
    job: fields.ForeignKeyRelation[Job] = fields.ForeignKeyField(
        "sideline.Job", related_name=False, db_constraint=False
    )
    connection = fields.CharField(max_length=60)
    format = fields.CharField(max_length=8)
    columns = ArrayField(element_type="text")
    arguments: fields.Field[dict[str, object]] = fields.JSONField(db_default=SqlDefault("'{}'"))
    standing: fields.Field[dict[str, object]] = fields.JSONField(
        description="What its reader could see when it began; what a download still has to hold"
    )
    rows = fields.BigIntField(db_default=0)
    length = fields.BigIntField(db_default=0, description="Bytes before they were packed")
    size = fields.BigIntField(db_default=0, description="Bytes of the packed file so far")
    secret = fields.BinaryField(null=True, description="The key that seals the pieces, sealed; null: they are plain")
    created_at = fields.DatetimeField(db_default=created_now(), description="The moment that the file shows")
    ready_at = fields.DatetimeField(null=True)
    expires_at = fields.DatetimeField(null=True)
    removed_at = fields.DatetimeField(null=True)
    removed_because = fields.CharField(max_length=200, null=True)

    class Meta:
        table = "exports"
        constraints: ClassVar = [
            UniqueConstraint(("team_id", "id"), "exports_team_id_id_key"),
            CheckConstraint("format IN ('ndjson', 'csv')", "exports_format_check"),
            CheckConstraint("rows >= 0 AND length >= 0 AND size >= 0", "exports_counts_check"),
            CheckConstraint("(ready_at IS NULL) = (expires_at IS NULL)", "exports_ready_check"),
            CheckConstraint("(removed_at IS NULL) = (removed_because IS NULL)", "exports_removed_check"),
        ]


class ExportChunk(Row):
    """A piece of an export's file."""

    team_id: UUID
    team: fields.ForeignKeyRelation[Team] = fields.ForeignKeyField("sideline.Team", related_name=False)
    export_id: UUID
    export: fields.ForeignKeyRelation[Export] = fields.ForeignKeyField(
        "sideline.Export", related_name=False, db_constraint=False
    )
    start = fields.BigIntField(description="Where in the file it begins")
    size = fields.IntField(description="Its bytes, before they were sealed")
    data = fields.BinaryField()

    class Meta:
        table = "export_chunks"
        constraints: ClassVar = [UniqueConstraint(("team_id", "export_id", "start"), "export_chunks_start_key")]
