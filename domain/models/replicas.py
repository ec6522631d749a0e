"""What a read from a replica must not miss."""

from __future__ import annotations

from typing import ClassVar
from uuid import UUID

from tortoise import fields
from tortoise.migrations.constraints import UniqueConstraint

from domain.models.base import Row
from domain.models.people import User
from domain.models.teams import Team


class UserWrite(Row):
    """How far the write-ahead log had come when a user last changed something; see domain/replica.py."""

    team_id: UUID
    team: fields.ForeignKeyRelation[Team] = fields.ForeignKeyField("sideline.Team", related_name=False)
    user_id: UUID
    user: fields.ForeignKeyRelation[User] = fields.ForeignKeyField(
        "sideline.User", related_name=False, db_constraint=False
    )
    position = fields.BigIntField(description="Bytes since 0/0; the largest number while a change is under way")

    class Meta:
        table = "user_writes"
        constraints: ClassVar = [UniqueConstraint(("team_id", "user_id"), "user_writes_team_id_user_id_key")]
