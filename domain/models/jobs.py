"""Work that is a row before it is a message."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar
from uuid import UUID

from tortoise import fields
from tortoise.fields.db_defaults import SqlDefault
from tortoise.migrations.constraints import CheckConstraint, UniqueConstraint

from domain.models.base import Row, created_now
from domain.models.people import User
from domain.models.teams import Team


class JobState(StrEnum):
    """Where a job stands."""

    SCHEDULED = "SCHEDULED"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    MISSED = "MISSED"


class Job(Row):
    """A piece of background work: claimed under a lease, resumed from its cursor, done once per run key."""

    team_id: UUID
    team: fields.ForeignKeyRelation[Team] = fields.ForeignKeyField("sideline.Team", related_name=False)
    kind = fields.CharField(max_length=40)
    run_key = fields.CharField(max_length=255, description="Two jobs of a team with one run key are one job")
    exclusive_key = fields.CharField(
        max_length=255, null=True, description="At most one job with it is scheduled or running at a time"
    )
    requested_by_id: UUID | None
    requested_by: fields.ForeignKeyNullableRelation[User] = fields.ForeignKeyField(
        "sideline.User", related_name=False, null=True, db_constraint=False
    )
    arguments: fields.Field[dict[str, object]] = fields.JSONField(db_default=SqlDefault("'{}'"))
    due_at = fields.DatetimeField(db_default=created_now())
    state = fields.CharEnumField(JobState, max_length=12, db_default="SCHEDULED")
    attempts = fields.IntField(db_default=0)
    lease_holder = fields.CharField(max_length=100, null=True)
    leased_until = fields.DatetimeField(null=True)
    cursor: fields.Field[dict[str, object]] = fields.JSONField(
        db_default=SqlDefault("'{}'"), description="Where the committed work ends"
    )
    processed = fields.BigIntField(db_default=0)
    total = fields.BigIntField(null=True)
    error = fields.TextField(null=True)
    created_at = fields.DatetimeField(db_default=created_now())
    finished_at = fields.DatetimeField(null=True)
    trace_parent = fields.CharField(
        max_length=55, null=True, description="W3C Trace Context of whoever asked for it, where it is traced"
    )

    class Meta:
        table = "jobs"
        constraints: ClassVar = [
            UniqueConstraint(("team_id", "run_key"), "jobs_team_id_run_key_key"),
            UniqueConstraint(("team_id", "id"), "jobs_team_id_id_key"),
            CheckConstraint("attempts >= 0 AND processed >= 0 AND total >= 0", "jobs_counts_check"),
            CheckConstraint(
                "(state = 'RUNNING') = (lease_holder IS NOT NULL) AND (lease_holder IS NULL) = (leased_until IS NULL)",
                "jobs_lease_check",
            ),
        ]
