"""Documents that a team trusts."""

from __future__ import annotations

from typing import ClassVar
from uuid import UUID

from tortoise import fields
from tortoise.migrations.constraints import UniqueConstraint

from domain.models.base import Row, created_now
from domain.models.people import User
from domain.models.teams import Team


class TrustedDocument(Row):
    """A GraphQL document that is known by its hash."""

    team_id: UUID
    team: fields.ForeignKeyRelation[Team] = fields.ForeignKeyField("sideline.Team", related_name=False)
    digest = fields.CharField(max_length=64, description="SHA-256 of the text, hex")
    name = fields.CharField(max_length=200)
    text = fields.TextField()
    added_by_id: UUID | None
    added_by: fields.ForeignKeyNullableRelation[User] = fields.ForeignKeyField(
        "sideline.User", related_name=False, null=True, db_constraint=False
    )
    added_at = fields.DatetimeField(db_default=created_now())

    class Meta:
        table = "trusted_documents"
        constraints: ClassVar = [UniqueConstraint(("team_id", "digest"), "trusted_documents_digest_key")]
