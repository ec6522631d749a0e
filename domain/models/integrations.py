"""Connections to other systems, what they brought, and what could not be taken in."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, ClassVar
from uuid import UUID

from tortoise import fields
from tortoise.contrib.postgres.fields import ArrayField
from tortoise.fields.db_defaults import SqlDefault
from tortoise.migrations.constraints import CheckConstraint, UniqueConstraint

from domain.models.base import Row, created_now
from domain.models.people import User
from domain.models.teams import Team


class IntegrationState(StrEnum):
    """How a connection stands."""

    CONNECTING = "CONNECTING"
    ACTIVE = "ACTIVE"
    PAUSED = "PAUSED"
    BROKEN = "BROKEN"


class CrmPart(StrEnum):
    """What of a CRM is synced; each is switched on by who may."""

    OPPORTUNITIES = "OPPORTUNITIES"
    DEALS = "DEALS"


class ConnectorKind(Row):
    """A connector that the workers of this installation have; the only table besides `teams` that is of no team."""

    kind = fields.CharField(max_length=40, unique=True)
    manifest: fields.Field[dict[str, Any]] = fields.JSONField()
    seen_at = fields.DatetimeField(db_default=created_now())

    class Meta:
        table = "connector_kinds"


class Integration(Row):
    """A configured connector: of one user for calendars, of the team for the rest."""

    team_id: UUID
    team: fields.ForeignKeyRelation[Team] = fields.ForeignKeyField("sideline.Team", related_name=False)
    kind = fields.CharField(max_length=40)
    name = fields.CharField(max_length=200)
    owner_id: UUID | None
    owner: fields.ForeignKeyNullableRelation[User] = fields.ForeignKeyField(
        "sideline.User", related_name=False, null=True, db_constraint=False
    )
    state = fields.CharEnumField(IntegrationState, max_length=12)
    settings: fields.Field[dict[str, Any]] = fields.JSONField(db_default=SqlDefault("'{}'"))
    secrets = fields.BinaryField(null=True, description="Encrypted JSON")
    account_id = fields.CharField(max_length=255, null=True, description="The vendor's; budgets are kept by it")
    account_name = fields.CharField(max_length=255, null=True)
    syncs = ArrayField(element_type="text", db_default=SqlDefault("'{}'"), description="Parts of a CRM")
    described: fields.Field[list[Any]] = fields.JSONField(db_default=SqlDefault("'[]'"), description="Fields of a CRM")
    samples: fields.Field[list[Any]] = fields.JSONField(
        db_default=SqlDefault("'[]'"), description="Documents for a preview"
    )
    mapping_version = fields.IntField(db_default=0, description="Of field_mappings; 0 is the connector's default")
    remap_wanted = fields.IntField(db_default=0, description="Grows when kept documents are to be mapped anew")
    remap_done = fields.IntField(db_default=0, description="What of it is done")
    retry_wanted = fields.BooleanField(db_default=False, description="What is quarantined is to be tried again")
    cursor: fields.Field[dict[str, Any]] = fields.JSONField(null=True, description="From where the next pull goes on")
    passes = fields.IntField(db_default=0, description="Full listings begun")
    full_pass = fields.IntField(db_default=0, description="The full listing under way; 0 for none")
    interval_minutes = fields.IntField()
    next_sync_at = fields.DatetimeField(null=True, description="Null: not by itself")
    last_synced_at = fields.DatetimeField(null=True, description="When a sync last came to its end")
    last_error = fields.TextField(null=True, description="Null once a sync has come to its end")
    sign_in: fields.Field[dict[str, Any]] = fields.JSONField(
        null=True, description="A sign-in under way: the state's hash, the sealed verifier, when it lapses"
    )
    created_at = fields.DatetimeField(db_default=created_now())

    class Meta:
        table = "integrations"
        indexes = (("team_id", "owner_id"),)
        constraints: ClassVar = [
            UniqueConstraint(("team_id", "id"), "integrations_team_id_id_key"),
            CheckConstraint("interval_minutes BETWEEN 1 AND 10080", "integrations_interval_check"),
            CheckConstraint("syncs <@ ARRAY['OPPORTUNITIES','DEALS']::text[]", "integrations_syncs_check"),
        ]


class FieldMapping(Row):
    """A version of how a CRM's fields become opportunities; versions are never changed."""

    team_id: UUID
    team: fields.ForeignKeyRelation[Team] = fields.ForeignKeyField("sideline.Team", related_name=False)
    integration_id: UUID
    integration: fields.ForeignKeyRelation[Integration] = fields.ForeignKeyField(
        "sideline.Integration", related_name=False, db_constraint=False
    )
    version = fields.IntField()
    mapping: fields.Field[dict[str, Any]] = fields.JSONField()
    set_by_id: UUID | None
    set_by: fields.ForeignKeyNullableRelation[User] = fields.ForeignKeyField(
        "sideline.User", related_name=False, null=True, db_constraint=False
    )
    set_at = fields.DatetimeField(db_default=created_now())

    class Meta:
        table = "field_mappings"
        constraints: ClassVar = [
            UniqueConstraint(("team_id", "integration_id", "version"), "field_mappings_version_key"),
            CheckConstraint("version > 0", "field_mappings_version_check"),
        ]


class SyncedDocument(Row):
    """A document as the vendor gave it, kept so that it can be mapped anew when time or the mapping changes."""

    team_id: UUID
    team: fields.ForeignKeyRelation[Team] = fields.ForeignKeyField("sideline.Team", related_name=False)
    integration_id: UUID
    integration: fields.ForeignKeyRelation[Integration] = fields.ForeignKeyField(
        "sideline.Integration", related_name=False, db_constraint=False
    )
    object = fields.CharField(max_length=60)
    document_id = fields.CharField(max_length=512)
    data = fields.TextField(description="JSON")
    state = fields.TextField(null=True, description="JSON: what the last mapping left for the next")
    external_ids = ArrayField(element_type="text", db_default=SqlDefault("'{}'"), description="Activities made of it")
    revision = fields.BigIntField(db_default=0, description="The version of its activities: microseconds since 1970")
    mapped = fields.TextField(null=True, description="Digest of what the last mapping made; null: not mapped yet")
    again_at = fields.DatetimeField(null=True, description="To be mapped anew then, though nothing has changed")
    pass_number = fields.IntField(db_default=0, description="The last full listing that named it")

    class Meta:
        table = "synced_documents"
        indexes = (("team_id", "integration_id", "again_at"),)
        constraints: ClassVar = [
            UniqueConstraint(("team_id", "integration_id", "object", "document_id"), "synced_documents_document_key")
        ]


class QuarantinedDocument(Row):
    """A document that could not be taken in, whole, with the reason; gone as soon as it has been."""

    team_id: UUID
    team: fields.ForeignKeyRelation[Team] = fields.ForeignKeyField("sideline.Team", related_name=False)
    integration_id: UUID
    integration: fields.ForeignKeyRelation[Integration] = fields.ForeignKeyField(
        "sideline.Integration", related_name=False, db_constraint=False
    )
    object = fields.CharField(max_length=60)
    document_id = fields.CharField(max_length=512)
    code = fields.CharField(max_length=40)
    field = fields.CharField(max_length=100, null=True)
    reason = fields.TextField()
    data = fields.TextField(description="The document as it came")
    created_at = fields.DatetimeField(db_default=created_now())

    class Meta:
        table = "quarantined_documents"
        constraints: ClassVar = [
            UniqueConstraint(
                ("team_id", "integration_id", "object", "document_id"), "quarantined_documents_document_key"
            )
        ]


class AccountBudget(Row):
    """What may still be asked of a vendor's account, over all workers: a bucket that fills with time."""

    team_id: UUID
    team: fields.ForeignKeyRelation[Team] = fields.ForeignKeyField("sideline.Team", related_name=False)
    account = fields.CharField(max_length=300, description="The kind and the vendor's id of the account")
    available = fields.FloatField(description="Cost that could be spent at `filled_at`; below 0 is owed")
    filled_at = fields.DatetimeField()
    blocked_until = fields.DatetimeField(null=True, description="The vendor asked to wait so long")

    class Meta:
        table = "account_budgets"
        constraints: ClassVar = [UniqueConstraint(("team_id", "account"), "account_budgets_account_key")]


class ExchangeRate(Row):
    """What one unit of a currency is worth in the team's, from a day on until the next rate."""

    team_id: UUID
    team: fields.ForeignKeyRelation[Team] = fields.ForeignKeyField("sideline.Team", related_name=False)
    currency = fields.CharField(max_length=3)
    day = fields.DateField()
    rate = fields.DecimalField(max_digits=24, decimal_places=12)
    source = fields.CharField(max_length=40, description="The connector's kind, or `team`")

    class Meta:
        table = "exchange_rates"
        constraints: ClassVar = [
            UniqueConstraint(("team_id", "currency", "day", "source"), "exchange_rates_key"),
            CheckConstraint("rate > 0", "exchange_rates_rate_check"),
        ]
