"""The keys that seal what a team's people wrote."""

from __future__ import annotations

from uuid import UUID

from tortoise import fields

from domain.models.base import Row, created_now
from domain.models.teams import Team


class DataKey(Row):
    """A key of 256 bits that seals bodies of emails, itself sealed by the installation's key (envelope)."""

    team_id: UUID
    team: fields.ForeignKeyRelation[Team] = fields.ForeignKeyField("sideline.Team", related_name=False)
    sealed = fields.BinaryField()
    created_at = fields.DatetimeField(db_default=created_now())

    class Meta:
        table = "data_keys"
        indexes = (("team_id", "created_at"),)
