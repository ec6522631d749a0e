"""Connections to other systems, what they brought, and what could not be taken in."""

from tortoise import migrations
from tortoise.migrations import operations as ops
from domain.models.base import new_id
from domain.models.integrations import IntegrationState
from domain.models.teams import Feed
from orjson import loads
from tortoise.contrib.postgres.fields import ArrayField
from tortoise.fields.base import OnDelete
from tortoise.fields.data import JSON_DUMPS
from tortoise.fields.db_defaults import SqlDefault
from tortoise import fields
from tortoise.indexes import Index
from tortoise.migrations.constraints import CheckConstraint, UniqueConstraint


class Migration(migrations.Migration):
    dependencies = [("sideline", "0008_retention")]

    initial = False

    operations = [
        ops.CreateModel(
            name="AccountBudget",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                (
                    "team",
                    fields.ForeignKeyField(
                        "sideline.Team",
                        source_field="team_id",
                        db_constraint=True,
                        to_field="id",
                        related_name=False,
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                (
                    "account",
                    fields.CharField(description="The kind and the vendor's id of the account", max_length=300),
                ),
                (
                    "available",
                    fields.FloatField(description="Cost that could be spent at `filled_at`; below 0 is owed"),
                ),
                ("filled_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
                (
                    "blocked_until",
                    fields.DatetimeField(
                        null=True, description="The vendor asked to wait so long", auto_now=False, auto_now_add=False
                    ),
                ),
            ],
            options={
                "table": "account_budgets",
                "app": "sideline",
                "pk_attr": "id",
                "table_description": "What may still be asked of a vendor's account, over all workers: a bucket that fills with time.",
            },
            bases=["Row"],
        ),
        ops.CreateModel(
            name="ConnectorKind",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                ("kind", fields.CharField(unique=True, max_length=40)),
                ("manifest", fields.JSONField(encoder=JSON_DUMPS, decoder=loads)),
                ("seen_at", fields.DatetimeField(db_default=SqlDefault("now()"), auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "connector_kinds",
                "app": "sideline",
                "pk_attr": "id",
                "table_description": "A connector that the workers of this installation have; the only table besides `teams` that is of no team.",
            },
            bases=["Row"],
        ),
        ops.CreateModel(
            name="ExchangeRate",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                (
                    "team",
                    fields.ForeignKeyField(
                        "sideline.Team",
                        source_field="team_id",
                        db_constraint=True,
                        to_field="id",
                        related_name=False,
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("currency", fields.CharField(max_length=3)),
                ("day", fields.DateField()),
                ("rate", fields.DecimalField(max_digits=24, decimal_places=12)),
                ("source", fields.CharField(description="The connector's kind, or `team`", max_length=40)),
            ],
            options={
                "table": "exchange_rates",
                "app": "sideline",
                "pk_attr": "id",
                "table_description": "What one unit of a currency is worth in the team's, from a day on until the next rate.",
            },
            bases=["Row"],
        ),
        ops.CreateModel(
            name="Integration",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                (
                    "team",
                    fields.ForeignKeyField(
                        "sideline.Team",
                        source_field="team_id",
                        db_constraint=True,
                        to_field="id",
                        related_name=False,
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("kind", fields.CharField(max_length=40)),
                ("name", fields.CharField(max_length=200)),
                (
                    "owner",
                    fields.ForeignKeyField(
                        "sideline.User",
                        source_field="owner_id",
                        null=True,
                        db_constraint=False,
                        to_field="id",
                        related_name=False,
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                (
                    "state",
                    fields.CharEnumField(
                        description="CONNECTING: CONNECTING\nACTIVE: ACTIVE\nPAUSED: PAUSED\nBROKEN: BROKEN",
                        enum_type=IntegrationState,
                        max_length=12,
                    ),
                ),
                ("settings", fields.JSONField(db_default=SqlDefault("'{}'"), encoder=JSON_DUMPS, decoder=loads)),
                ("secrets", fields.BinaryField(null=True, description="Encrypted JSON")),
                (
                    "account_id",
                    fields.CharField(null=True, description="The vendor's; budgets are kept by it", max_length=255),
                ),
                ("account_name", fields.CharField(null=True, max_length=255)),
                ("syncs", ArrayField(description="Parts of a CRM", db_default=SqlDefault("'{}'"), element_type="TEXT")),
                (
                    "described",
                    fields.JSONField(
                        description="Fields of a CRM", db_default=SqlDefault("'[]'"), encoder=JSON_DUMPS, decoder=loads
                    ),
                ),
                (
                    "samples",
                    fields.JSONField(
                        description="Documents for a preview",
                        db_default=SqlDefault("'[]'"),
                        encoder=JSON_DUMPS,
                        decoder=loads,
                    ),
                ),
                (
                    "mapping_version",
                    fields.IntField(description="Of field_mappings; 0 is the connector's default", db_default=0),
                ),
                (
                    "remap_wanted",
                    fields.IntField(description="Grows when kept documents are to be mapped anew", db_default=0),
                ),
                ("remap_done", fields.IntField(description="What of it is done", db_default=0)),
                (
                    "retry_wanted",
                    fields.BooleanField(description="What is quarantined is to be tried again", db_default=False),
                ),
                (
                    "cursor",
                    fields.JSONField(
                        null=True, description="From where the next pull goes on", encoder=JSON_DUMPS, decoder=loads
                    ),
                ),
                ("passes", fields.IntField(description="Full listings begun", db_default=0)),
                ("full_pass", fields.IntField(description="The full listing under way; 0 for none", db_default=0)),
                ("interval_minutes", fields.IntField()),
                (
                    "next_sync_at",
                    fields.DatetimeField(
                        null=True, description="Null: not by itself", auto_now=False, auto_now_add=False
                    ),
                ),
                (
                    "last_synced_at",
                    fields.DatetimeField(
                        null=True, description="When a sync last came to its end", auto_now=False, auto_now_add=False
                    ),
                ),
                (
                    "last_error",
                    fields.TextField(null=True, description="Null once a sync has come to its end", unique=False),
                ),
                (
                    "sign_in",
                    fields.JSONField(
                        null=True,
                        description="A sign-in under way: the state's hash, the sealed verifier, when it lapses",
                        encoder=JSON_DUMPS,
                        decoder=loads,
                    ),
                ),
                (
                    "created_at",
                    fields.DatetimeField(db_default=SqlDefault("now()"), auto_now=False, auto_now_add=False),
                ),
            ],
            options={
                "table": "integrations",
                "app": "sideline",
                "indexes": [Index(fields=["team_id", "owner_id"])],
                "pk_attr": "id",
                "table_description": "A configured connector: of one user for calendars, of the team for the rest.",
            },
            bases=["Row"],
        ),
        ops.CreateModel(
            name="FieldMapping",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                (
                    "team",
                    fields.ForeignKeyField(
                        "sideline.Team",
                        source_field="team_id",
                        db_constraint=True,
                        to_field="id",
                        related_name=False,
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                (
                    "integration",
                    fields.ForeignKeyField(
                        "sideline.Integration",
                        source_field="integration_id",
                        db_constraint=False,
                        to_field="id",
                        related_name=False,
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("version", fields.IntField()),
                ("mapping", fields.JSONField(encoder=JSON_DUMPS, decoder=loads)),
                (
                    "set_by",
                    fields.ForeignKeyField(
                        "sideline.User",
                        source_field="set_by_id",
                        null=True,
                        db_constraint=False,
                        to_field="id",
                        related_name=False,
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("set_at", fields.DatetimeField(db_default=SqlDefault("now()"), auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "field_mappings",
                "app": "sideline",
                "pk_attr": "id",
                "table_description": "A version of how a CRM's fields become opportunities; versions are never changed.",
            },
            bases=["Row"],
        ),
        ops.CreateModel(
            name="QuarantinedDocument",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                (
                    "team",
                    fields.ForeignKeyField(
                        "sideline.Team",
                        source_field="team_id",
                        db_constraint=True,
                        to_field="id",
                        related_name=False,
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                (
                    "integration",
                    fields.ForeignKeyField(
                        "sideline.Integration",
                        source_field="integration_id",
                        db_constraint=False,
                        to_field="id",
                        related_name=False,
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("object", fields.CharField(max_length=60)),
                ("document_id", fields.CharField(max_length=512)),
                ("code", fields.CharField(max_length=40)),
                ("field", fields.CharField(null=True, max_length=100)),
                ("reason", fields.TextField(unique=False)),
                ("data", fields.TextField(description="The document as it came", unique=False)),
                (
                    "created_at",
                    fields.DatetimeField(db_default=SqlDefault("now()"), auto_now=False, auto_now_add=False),
                ),
            ],
            options={
                "table": "quarantined_documents",
                "app": "sideline",
                "pk_attr": "id",
                "table_description": "A document that could not be taken in, whole, with the reason; gone as soon as it has been.",
            },
            bases=["Row"],
        ),
        ops.CreateModel(
            name="SyncedDocument",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                (
                    "team",
                    fields.ForeignKeyField(
                        "sideline.Team",
                        source_field="team_id",
                        db_constraint=True,
                        to_field="id",
                        related_name=False,
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                (
                    "integration",
                    fields.ForeignKeyField(
                        "sideline.Integration",
                        source_field="integration_id",
                        db_constraint=False,
                        to_field="id",
                        related_name=False,
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("object", fields.CharField(max_length=60)),
                ("document_id", fields.CharField(max_length=512)),
                ("data", fields.TextField(description="JSON", unique=False)),
                (
                    "state",
                    fields.TextField(
                        null=True, description="JSON: what the last mapping left for the next", unique=False
                    ),
                ),
                (
                    "external_ids",
                    ArrayField(description="Activities made of it", db_default=SqlDefault("'{}'"), element_type="TEXT"),
                ),
                (
                    "revision",
                    fields.BigIntField(
                        description="The version of its activities: microseconds since 1970", db_default=0
                    ),
                ),
                (
                    "mapped",
                    fields.TextField(
                        null=True,
                        description="Digest of what the last mapping made; null: not mapped yet",
                        unique=False,
                    ),
                ),
                (
                    "again_at",
                    fields.DatetimeField(
                        null=True,
                        description="To be mapped anew then, though nothing has changed",
                        auto_now=False,
                        auto_now_add=False,
                    ),
                ),
                ("pass_number", fields.IntField(description="The last full listing that named it", db_default=0)),
            ],
            options={
                "table": "synced_documents",
                "app": "sideline",
                "indexes": [Index(fields=["team_id", "integration_id", "again_at"])],
                "pk_attr": "id",
                "table_description": "A document as the vendor gave it, kept so that it can be mapped anew when time or the mapping changes.",
            },
            bases=["Row"],
        ),
        ops.AddField(
            model_name="Job",
            name="exclusive_key",
            field=fields.CharField(
                null=True, description="At most one job with it is scheduled or running at a time", max_length=255
            ),
        ),
        ops.AddField(
            model_name="Team",
            name="mail_domains",
            field=ArrayField(
                description="Lower case; who has an address there is no customer. Empty: the domains of its people",
                db_default=SqlDefault("'{}'"),
                element_type="TEXT",
            ),
        ),
        ops.AlterField(
            model_name="TeamFeed",
            name="feed",
            field=fields.CharEnumField(
                description="EMAIL: email\nCALLS: calls\nCALENDAR: calendar\nCONVERSATIONS: conversations\nCADENCE: cadence\nCRM: crm\nDEALS: deals",
                enum_type=Feed,
                max_length=16,
            ),
        ),
        ops.AddConstraint(
            model_name="AccountBudget",
            constraint=UniqueConstraint(fields=("team_id", "account"), name="account_budgets_account_key"),
        ),
        ops.AddConstraint(
            model_name="ExchangeRate",
            constraint=UniqueConstraint(fields=("team_id", "currency", "day", "source"), name="exchange_rates_key"),
        ),
        ops.AddConstraint(
            model_name="ExchangeRate", constraint=CheckConstraint(check="rate > 0", name="exchange_rates_rate_check")
        ),
        ops.AddConstraint(
            model_name="Integration",
            constraint=UniqueConstraint(fields=("team_id", "id"), name="integrations_team_id_id_key"),
        ),
        ops.AddConstraint(
            model_name="Integration",
            constraint=CheckConstraint(
                check="interval_minutes BETWEEN 1 AND 10080", name="integrations_interval_check"
            ),
        ),
        ops.AddConstraint(
            model_name="Integration",
            constraint=CheckConstraint(
                check="syncs <@ ARRAY['OPPORTUNITIES','DEALS']::text[]", name="integrations_syncs_check"
            ),
        ),
        ops.AddConstraint(
            model_name="FieldMapping",
            constraint=UniqueConstraint(
                fields=("team_id", "integration_id", "version"), name="field_mappings_version_key"
            ),
        ),
        ops.AddConstraint(
            model_name="FieldMapping",
            constraint=CheckConstraint(check="version > 0", name="field_mappings_version_check"),
        ),
        ops.AddConstraint(
            model_name="QuarantinedDocument",
            constraint=UniqueConstraint(
                fields=("team_id", "integration_id", "object", "document_id"),
                name="quarantined_documents_document_key",
            ),
        ),
        ops.AddConstraint(
            model_name="SyncedDocument",
            constraint=UniqueConstraint(
                fields=("team_id", "integration_id", "object", "document_id"),
                name="synced_documents_document_key",
            ),
        ),
    ]
