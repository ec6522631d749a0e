"""The tables and columns of administration, audit, sealed bodies and trusted documents that the ORM can say."""

from tortoise import fields, migrations
from tortoise.fields.base import OnDelete
from tortoise.fields.db_defaults import SqlDefault
from tortoise.indexes import Index
from tortoise.migrations import operations as ops
from tortoise.migrations.constraints import CheckConstraint, UniqueConstraint

from domain.models.base import new_id


class Migration(migrations.Migration):
    dependencies = [("sideline", "0004_event_storage")]

    initial = False

    operations = [
        ops.CreateModel(
            name="AuditEntry",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                (
                    "team",
                    fields.ForeignKeyField(
                        "sideline.Team",
                        source_field="team_id",
                        db_constraint=False,
                        to_field="id",
                        related_name=False,
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("position", fields.BigIntField()),
                ("at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ("action", fields.CharField(max_length=60)),
                ("actor_id", fields.UUIDField(null=True, description="Null for the operator and for workers")),
                ("subject_type", fields.CharField(null=True, max_length=40)),
                ("subject_id", fields.UUIDField(null=True)),
                ("request_id", fields.CharField(null=True, max_length=64)),
                ("salt", fields.BinaryField(null=True)),
                (
                    "details",
                    fields.TextField(
                        null=True, description="JSON: where from, before, after; null once erased", unique=False
                    ),
                ),
                ("details_hash", fields.BinaryField(description="SHA-256 of salt and details")),
                ("previous_hash", fields.BinaryField()),
                ("hash", fields.BinaryField(description="SHA-256; see domain/audit.py")),
            ],
            options={
                "table": "audit_entries",
                "app": "sideline",
                "indexes": [Index(fields=["team_id", "subject_id"]), Index(fields=["team_id", "actor_id"])],
                "pk_attr": "id",
                "table_description": "One entry. `details` may be taken away when a person is erased; `details_hash`, which the chain holds, stays.",
            },
        ),
        ops.CreateModel(
            name="AuditHead",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                (
                    "team",
                    fields.ForeignKeyField(
                        "sideline.Team",
                        source_field="team_id",
                        db_constraint=False,
                        to_field="id",
                        related_name=False,
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("position", fields.BigIntField(db_default=0)),
                ("hash", fields.BinaryField()),
                (
                    "kept_after",
                    fields.BigIntField(description="Entries up to here are not kept any more", db_default=0),
                ),
                ("kept_after_hash", fields.BinaryField(description="What the first entry that is kept follows")),
            ],
            options={
                "table": "audit_heads",
                "app": "sideline",
                "pk_attr": "id",
                "table_description": "Where a team's chain ends. Its row lock puts entries in order.",
            },
        ),
        ops.CreateModel(
            name="DataKey",
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
                ("sealed", fields.BinaryField()),
                (
                    "created_at",
                    fields.DatetimeField(db_default=SqlDefault("now()"), auto_now=False, auto_now_add=False),
                ),
            ],
            options={
                "table": "data_keys",
                "app": "sideline",
                "indexes": [Index(fields=["team_id", "created_at"])],
                "pk_attr": "id",
                "table_description": "A key of 256 bits that seals bodies of emails, itself sealed by the installation's key (envelope).",
            },
        ),
        ops.CreateModel(
            name="TrustedDocument",
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
                ("digest", fields.CharField(description="SHA-256 of the text, hex", max_length=64)),
                ("name", fields.CharField(max_length=200)),
                ("text", fields.TextField(unique=False)),
                (
                    "added_by",
                    fields.ForeignKeyField(
                        "sideline.User",
                        source_field="added_by_id",
                        null=True,
                        db_constraint=False,
                        to_field="id",
                        related_name=False,
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("added_at", fields.DatetimeField(db_default=SqlDefault("now()"), auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "trusted_documents",
                "app": "sideline",
                "pk_attr": "id",
                "table_description": "A GraphQL document that is known by its hash.",
            },
        ),
        ops.AddConstraint(
            model_name="AuditEntry",
            constraint=UniqueConstraint(fields=("team_id", "position"), name="audit_entries_position_key"),
        ),
        ops.AddConstraint(
            model_name="AuditHead",
            constraint=UniqueConstraint(fields=("team_id",), name="audit_heads_team_id_key"),
        ),
        ops.AddConstraint(
            model_name="TrustedDocument",
            constraint=UniqueConstraint(fields=("team_id", "digest"), name="trusted_documents_digest_key"),
        ),
        ops.AlterField(
            model_name="EmailBody",
            name="body",
            field=fields.TextField(
                null=True, description="Plain, from before bodies were sealed, until it is sealed too", unique=False
            ),
        ),
        ops.AddField(
            model_name="EmailBody",
            name="key_id",
            field=fields.UUIDField(null=True, description="The data key that sealed it"),
        ),
        ops.AddField(
            model_name="EmailBody",
            name="sealed",
            field=fields.BinaryField(null=True, description="AES-256-GCM: nonce, ciphertext and tag"),
        ),
        ops.AddIndex(
            model_name="EmailBody",
            index=Index(fields=["team_id", "stored_at"]),
        ),
        ops.AddField(
            model_name="Group",
            name="scim_external_id",
            field=fields.CharField(null=True, max_length=255),
        ),
        ops.AddField(
            model_name="Team",
            name="activities_from",
            field=fields.DateField(
                null=True, description="Activities before this day have been removed; only their numbers are left"
            ),
        ),
        ops.AddField(
            model_name="Team",
            name="keep_activities_days",
            field=fields.IntField(null=True, description="Activities; their numbers stay"),
        ),
        ops.AddField(
            model_name="Team",
            name="keep_audit_days",
            field=fields.IntField(null=True, description="The audit log"),
        ),
        ops.AddField(
            model_name="Team",
            name="keep_bodies_days",
            field=fields.IntField(null=True, description="Bodies of emails; null is for ever"),
        ),
        ops.AddConstraint(
            model_name="Team",
            constraint=CheckConstraint(
                check="least(keep_bodies_days, keep_activities_days, keep_audit_days) > 0", name="teams_retention_check"
            ),
        ),
        ops.RemoveConstraint(
            model_name="Token",
            name="tokens_scopes_check",
            fields=None,
        ),
        ops.AddField(
            model_name="Token",
            name="cost_per_minute",
            field=fields.IntField(null=True, description="Instead of the installation's budget"),
        ),
        ops.AddField(
            model_name="Token",
            name="trusted_documents_only",
            field=fields.BooleanField(description="Takes no document that is not kept", db_default=False),
        ),
        ops.AddConstraint(
            model_name="Token",
            constraint=CheckConstraint(
                check="scopes <@ ARRAY['READ','WRITE','IMPORT','SCIM']::text[]", name="tokens_scopes_check"
            ),
        ),
        ops.AddConstraint(
            model_name="Token",
            constraint=CheckConstraint(check="cost_per_minute > 0", name="tokens_cost_per_minute_check"),
        ),
        ops.AddField(
            model_name="User",
            name="erased_at",
            field=fields.DatetimeField(
                null=True,
                description="When the person's data was erased on request",
                auto_now=False,
                auto_now_add=False,
            ),
        ),
        ops.AddField(
            model_name="User",
            name="scim_external_id",
            field=fields.CharField(
                null=True, description="What the identity provider calls the person; its own business", max_length=255
            ),
        ),
    ]
