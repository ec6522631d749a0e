"""What retention and erasure need: where kept activities begin, digests of erased names, and indexes by age."""

from tortoise import fields, migrations
from tortoise.fields.base import OnDelete
from tortoise.indexes import Index
from tortoise.migrations import operations as ops
from tortoise.migrations.constraints import CheckConstraint, UniqueConstraint

from domain.models.base import new_id

TEAM = "(SELECT nullif(current_setting('sideline.team', true), '')::uuid)"

STATEMENTS = [
    "ALTER TABLE erased_names ADD CONSTRAINT erased_names_user_fkey"
    " FOREIGN KEY (team_id, user_id) REFERENCES users (team_id, id)",
    "GRANT SELECT, INSERT, UPDATE, DELETE ON erased_names TO sideline_app",
    "ALTER TABLE erased_names ENABLE ROW LEVEL SECURITY",
    f"CREATE POLICY erased_names_team ON erased_names TO sideline_app"
    f" USING (team_id = {TEAM}) WITH CHECK (team_id = {TEAM})",
    "CREATE INDEX users_erased_idx ON users (team_id, id) WHERE erased_at IS NOT NULL",
    # Emails whose bodies are kept, the oldest first.
    "CREATE INDEX activities_body_idx ON activities (team_id, occurred_at) WHERE body_stored",
    # Keys of activities that were deleted at their source, the oldest first.
    "CREATE INDEX activity_keys_deleted_idx ON activity_keys (team_id, id) WHERE occurred_at IS NULL",
    "CREATE INDEX jobs_finished_at_idx ON jobs (finished_at) WHERE finished_at IS NOT NULL",
    "CREATE INDEX imports_created_at_idx ON imports (created_at)",
    "CREATE INDEX imports_job_idx ON imports (team_id, job_id)",
    "CREATE INDEX tokens_sessions_idx ON tokens (expires_at) WHERE kind = 'session'",
    # What a retry took in needs no copy.
    "UPDATE quarantined_records SET record = '' WHERE resolved_at IS NOT NULL AND record <> ''",
]


class Migration(migrations.Migration):
    """Each index locks its table against writers while it is built; activities and their keys take longest."""

    dependencies = [("sideline", "0007_directory")]

    initial = False

    operations = [
        ops.AddField(
            model_name="Team",
            name="activities_from_at",
            field=fields.DatetimeField(
                null=True,
                description="When that day began, in the time zone of then",
                auto_now=False,
                auto_now_add=False,
            ),
        ),
        ops.AddField(
            model_name="Team",
            name="erasure_key",
            field=fields.BinaryField(null=True, description="Sealed; keys the digests of erased people's names"),
        ),
        ops.AddField(
            model_name="Team",
            name="erasures",
            field=fields.IntField(description="How many people's data was erased", db_default=0),
        ),
        ops.AddConstraint(
            model_name="Team",
            constraint=CheckConstraint(
                check="(activities_from IS NULL) = (activities_from_at IS NULL)", name="teams_activities_from_check"
            ),
        ),
        ops.CreateModel(
            name="ErasedName",
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
                    "user",
                    fields.ForeignKeyField(
                        "sideline.User",
                        source_field="user_id",
                        db_constraint=False,
                        to_field="id",
                        related_name=False,
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("digest", fields.BinaryField(description="HMAC-SHA-256 under the team's erasure_key")),
                (
                    "passing",
                    fields.BooleanField(description="Needed only until the erasure is done", db_default=False),
                ),
            ],
            options={
                "table": "erased_names",
                "app": "sideline",
                "indexes": [Index(fields=["team_id", "user_id"])],
                "pk_attr": "id",
                "table_description": "A name that somebody went by, as a keyed digest; see domain/erased_names.py.",
            },
        ),
        ops.AddConstraint(
            model_name="ErasedName",
            constraint=UniqueConstraint(fields=("team_id", "digest", "user_id"), name="erased_names_digest_key"),
        ),
        ops.AddConstraint(
            model_name="ErasedName",
            constraint=CheckConstraint(check="octet_length(digest) = 32", name="erased_names_digest_check"),
        ),
        ops.RunSQL([*STATEMENTS]),
    ]
