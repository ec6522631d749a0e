"""Integrators' endpoints, and every attempt to deliver an event to them."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar
from uuid import UUID

from tortoise import fields
from tortoise.contrib.postgres.fields import ArrayField
from tortoise.fields.db_defaults import SqlDefault
from tortoise.migrations.constraints import CheckConstraint, UniqueConstraint

from domain.models.base import Row, created_now
from domain.models.people import User
from domain.models.teams import Team


class WebhookState(StrEnum):
    """Whether an endpoint gets events."""

    ACTIVE = "ACTIVE"
    PAUSED = "PAUSED"
    PARKED = "PARKED"


class WebhookEndpoint(Row):
    """An address that a team's events go to, in order; `position` is the last event that is done with."""

    team_id: UUID
    team: fields.ForeignKeyRelation[Team] = fields.ForeignKeyField("sideline.Team", related_name=False)
    owner_id: UUID
    owner: fields.ForeignKeyRelation[User] = fields.ForeignKeyField(
        "sideline.User", related_name=False, db_constraint=False
    )
    url = fields.CharField(max_length=2000)
    description = fields.CharField(max_length=200, null=True)
    secret = fields.BinaryField(description="Encrypted")
    types = ArrayField(element_type="text", db_default=SqlDefault("'{}'"), description="Empty: all")
    goal_filter: fields.Field[dict[str, object]] = fields.JSONField(db_default=SqlDefault("'{}'"))
    accolades = fields.BooleanField(db_default=False, description="Whether it is told of accolades too")
    state = fields.CharEnumField(WebhookState, max_length=8, db_default="ACTIVE")
    position = fields.BigIntField()
    failures = fields.IntField(db_default=0, description="Attempts that failed since the last one that did not")
    failing_since = fields.DatetimeField(null=True)
    due_at = fields.DatetimeField(db_default=created_now(), description="Not before")
    last_error = fields.TextField(null=True)
    lease_holder = fields.CharField(max_length=100, null=True)
    leased_until = fields.DatetimeField(null=True)
    fence = fields.BigIntField(db_default=0, description="Grows with every claim and with every change by hand")
    created_at = fields.DatetimeField(db_default=created_now())

    class Meta:
        table = "webhook_endpoints"
        constraints: ClassVar = [UniqueConstraint(("team_id", "id"), "webhook_endpoints_team_id_id_key")]


class WebhookDelivery(Row):
    """One attempt to deliver one event, or a test."""

    team_id: UUID
    team: fields.ForeignKeyRelation[Team] = fields.ForeignKeyField("sideline.Team", related_name=False)
    endpoint_id: UUID
    endpoint: fields.ForeignKeyRelation[WebhookEndpoint] = fields.ForeignKeyField(
        "sideline.WebhookEndpoint", related_name=False, db_constraint=False
    )
    position = fields.BigIntField(null=True, description="Null for a test")
    message_id = fields.CharField(max_length=64, description="The header webhook-id")
    type = fields.CharField(max_length=40)
    attempt = fields.IntField()
    status_code = fields.IntField(null=True)
    error = fields.TextField(null=True, description="Null when it was delivered")
    response = fields.TextField(null=True, description="The beginning of the answer's body")
    duration_ms = fields.IntField()
    attempted_at = fields.DatetimeField(db_default=created_now())

    class Meta:
        table = "webhook_deliveries"
        indexes = (("team_id", "endpoint_id", "id"), ("attempted_at",))
        constraints: ClassVar = [CheckConstraint("attempt > 0", "webhook_deliveries_attempt_check")]
