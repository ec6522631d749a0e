"""Files taken in, their raw bytes while a job reads them, and the records that were refused."""

from __future__ import annotations

from typing import ClassVar
from uuid import UUID

from tortoise import fields
from tortoise.migrations.constraints import CheckConstraint, UniqueConstraint

from domain.models.base import Row, created_now
from domain.models.jobs import Job
from domain.models.teams import Team


class Import(Row):
    """One file or upload. Its numbers commit with the activities that they count."""

    team_id: UUID
    team: fields.ForeignKeyRelation[Team] = fields.ForeignKeyField("sideline.Team", related_name=False)
    job_id: UUID | None
    job: fields.ForeignKeyNullableRelation[Job] = fields.ForeignKeyField(
        "sideline.Job", related_name=False, null=True, db_constraint=False
    )
    source = fields.CharField(max_length=100)
    format = fields.CharField(max_length=8)
    compressed = fields.BooleanField(db_default=False, description="The chunks are one gzip stream")
    dry_run = fields.BooleanField(db_default=False)
    accepted = fields.BigIntField(db_default=0)
    unchanged = fields.BigIntField(db_default=0)
    rejected = fields.BigIntField(db_default=0)
    created_at = fields.DatetimeField(db_default=created_now())

    class Meta:
        table = "imports"
        constraints: ClassVar = [
            UniqueConstraint(("team_id", "id"), "imports_team_id_id_key"),
            CheckConstraint("format IN ('ndjson', 'csv')", "imports_format_check"),
            CheckConstraint("accepted >= 0 AND unchanged >= 0 AND rejected >= 0", "imports_counts_check"),
        ]


class ImportChunk(Row):
    """A piece of an upload as it came; removed when the import is done."""

    team_id: UUID
    team: fields.ForeignKeyRelation[Team] = fields.ForeignKeyField("sideline.Team", related_name=False)
    upload_id: UUID
    upload: fields.ForeignKeyRelation[Import] = fields.ForeignKeyField(
        "sideline.Import", related_name=False, db_constraint=False
    )
    number = fields.IntField()
    data = fields.BinaryField()

    class Meta:
        table = "import_chunks"
        constraints: ClassVar = [UniqueConstraint(("team_id", "upload_id", "number"), "import_chunks_number_key")]


class QuarantinedRecord(Row):
    """A record that was refused, whole, with the reason; it can be retried when the reason is gone."""

    team_id: UUID
    team: fields.ForeignKeyRelation[Team] = fields.ForeignKeyField("sideline.Team", related_name=False)
    upload_id: UUID
    upload: fields.ForeignKeyRelation[Import] = fields.ForeignKeyField(
        "sideline.Import", related_name=False, db_constraint=False
    )
    position = fields.BigIntField(description="Line of the file, from 1")
    code = fields.CharField(max_length=40)
    field = fields.CharField(max_length=100, null=True)
    reason = fields.TextField()
    record = fields.TextField(description="The record as it came")
    created_at = fields.DatetimeField(db_default=created_now())
    resolved_at = fields.DatetimeField(null=True, description="When a retry took it in")

    class Meta:
        table = "quarantined_records"
        constraints: ClassVar = [
            UniqueConstraint(("team_id", "upload_id", "position"), "quarantined_records_position_key")
        ]
