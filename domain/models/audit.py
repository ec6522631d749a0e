"""Who did or saw what of consequence; each entry holds the hash of the one before."""

from __future__ import annotations

from typing import ClassVar
from uuid import UUID

from tortoise import fields
from tortoise.migrations.constraints import UniqueConstraint

from domain.models.base import Row
from domain.models.teams import Team


class AuditEntry(Row):
    """One entry. `details` may be taken away when a person is erased; `details_hash`, which the chain holds, stays."""

    team_id: UUID
    team: fields.ForeignKeyRelation[Team] = fields.ForeignKeyField(
        "sideline.Team", related_name=False, db_constraint=False
    )
    position = fields.BigIntField()
    at = fields.DatetimeField()
    action = fields.CharField(max_length=60)
    actor_id = fields.UUIDField(null=True, description="Null for the operator and for workers")
    subject_type = fields.CharField(max_length=40, null=True)
    subject_id = fields.UUIDField(null=True)
    request_id = fields.CharField(max_length=64, null=True)
    salt = fields.BinaryField(null=True)
    details = fields.TextField(null=True, description="JSON: where from, before, after; null once erased")
    details_hash = fields.BinaryField(description="SHA-256 of salt and details")
    previous_hash = fields.BinaryField()
    hash = fields.BinaryField(description="SHA-256; see domain/audit.py")

    class Meta:
        table = "audit_entries"
        indexes = (("team_id", "subject_id"), ("team_id", "actor_id"))
        constraints: ClassVar = [UniqueConstraint(("team_id", "position"), "audit_entries_position_key")]


class AuditHead(Row):
    """Where a team's chain ends. Its row lock puts entries in order."""

    team_id: UUID
    team: fields.ForeignKeyRelation[Team] = fields.ForeignKeyField(
        "sideline.Team", related_name=False, db_constraint=False
    )
    position = fields.BigIntField(db_default=0)
    hash = fields.BinaryField()
    kept_after = fields.BigIntField(db_default=0, description="Entries up to here are not kept any more")
    kept_after_hash = fields.BinaryField(description="What the first entry that is kept follows")

    class Meta:
        table = "audit_heads"
        constraints: ClassVar = [UniqueConstraint(("team_id",), "audit_heads_team_id_key")]
