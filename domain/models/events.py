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
    """One event. `position` grows by one within a team, in the order in which events were committed."""

    team_id: UUID
    team: fields.ForeignKeyRelation[Team] = fields.ForeignKeyField("sideline.Team", related_name=False)
    position = fields.BigIntField()
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


class EventHead(Row):
    """The last position of a team's events. Its row lock is what makes positions follow the order of commits."""

    team_id: UUID
    team: fields.ForeignKeyRelation[Team] = fields.ForeignKeyField("sideline.Team", related_name=False)
    position = fields.BigIntField(db_default=0)
    pruned_through = fields.BigIntField(db_default=0, description="Events up to here are not kept any more")

    class Meta:
        table = "event_heads"
        constraints: ClassVar = [UniqueConstraint(("team_id",), "event_heads_team_id_key")]


class EventRelay(Row):
    """How far a team's events have been handed to Redis."""

    team_id: UUID
    team: fields.ForeignKeyRelation[Team] = fields.ForeignKeyField("sideline.Team", related_name=False)
    position = fields.BigIntField(db_default=0)

    class Meta:
        table = "event_relays"
        constraints: ClassVar = [UniqueConstraint(("team_id",), "event_relays_team_id_key")]


class MetricChange(Row):
    """A mark that a team's numbers may have changed; removed in the transaction that has evaluated the goals."""

    team_id: UUID
    team: fields.ForeignKeyRelation[Team] = fields.ForeignKeyField("sideline.Team", related_name=False)

    class Meta:
        table = "metric_changes"
        indexes = (("team_id",),)
