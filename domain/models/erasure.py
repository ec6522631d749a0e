"""What is left of the names of erased people: digests, by which records that name them are known and refused."""

from __future__ import annotations

from typing import ClassVar
from uuid import UUID

from tortoise import fields
from tortoise.migrations.constraints import CheckConstraint, UniqueConstraint

from domain.models.base import Row
from domain.models.people import User
from domain.models.teams import Team


class ErasedName(Row):
    """A name that somebody went by, as a keyed digest; see domain/erased_names.py."""

    team_id: UUID
    team: fields.ForeignKeyRelation[Team] = fields.ForeignKeyField("sideline.Team", related_name=False)
    user_id: UUID
    user: fields.ForeignKeyRelation[User] = fields.ForeignKeyField(
        "sideline.User", related_name=False, db_constraint=False
    )
    digest = fields.BinaryField(description="HMAC-SHA-256 under the team's erasure_key")
    passing = fields.BooleanField(db_default=False, description="Needed only until the erasure is done")

    class Meta:
        table = "erased_names"
        indexes = (("team_id", "user_id"),)
        constraints: ClassVar = [
            UniqueConstraint(("team_id", "digest", "user_id"), "erased_names_digest_key"),
            CheckConstraint("octet_length(digest) = 32", "erased_names_digest_check"),
        ]
