"""The outbox: what happened, written in the transaction in which it happened."""

from __future__ import annotations

from typing import ClassVar
from uuid import UUID

from tortoise import fields
from tortoise.migrations.constraints import UniqueConstraint

from domain.models.base import Row, created_now
from domain.models.people import User
from domain.models.teams import Team


class Event(Row):
    """One event. `position` is given when it is committed and grows within a team."""

    team_id: UUID
    team: fields.ForeignKeyRelation[Team] = fields.ForeignKeyField("sideline.Team", related_name=False)
    position = fields.BigIntField(null=True, description="Null until the relay has ordered it")
    type = fields.CharField(max_length=40)
    actor_id: UUID | None
    actor: fields.ForeignKeyNullableRelation[User] = fields.ForeignKeyField(
        "sideline.User", related_name=False, null=True, db_constraint=False
    )
    payload: fields.Field[dict[str, object]] = fields.JSONField()
    occurred_at = fields.DatetimeField(db_default=created_now())

    class Meta:
        table = "events"
        constraints: ClassVar = [UniqueConstraint(("team_id", "position"), "events_team_id_position_key")]
