"""How far the write-ahead log had come when a user last changed something."""

from tortoise import fields, migrations
from tortoise.fields.base import OnDelete
from tortoise.migrations import operations as ops
from tortoise.migrations.constraints import UniqueConstraint

from domain.models.base import new_id

TEAM = "(SELECT nullif(current_setting('sideline.team', true), '')::uuid)"


class Migration(migrations.Migration):
    dependencies = [("sideline", "0017_traces")]

    initial = False

    operations = [
        ops.CreateModel(
            name="UserWrite",
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
                (
                    "position",
                    fields.BigIntField(description="Bytes since 0/0; the largest number while a change is under way"),
                ),
            ],
            options={
                "table": "user_writes",
                "app": "sideline",
                "pk_attr": "id",
                "table_description": "How far the write-ahead log had come when a user last changed something; see "
                "domain/replica.py.",
            },
        ),
        ops.AddConstraint(
            model_name="UserWrite",
            constraint=UniqueConstraint(fields=("team_id", "user_id"), name="user_writes_team_id_user_id_key"),
        ),
        ops.RunSQL(
            [
                "ALTER TABLE user_writes ADD CONSTRAINT user_writes_user_fkey"
                " FOREIGN KEY (team_id, user_id) REFERENCES users (team_id, id) ON DELETE CASCADE",
                "GRANT SELECT, INSERT, UPDATE, DELETE ON user_writes TO sideline_app",
                "ALTER TABLE user_writes ENABLE ROW LEVEL SECURITY",
                f"CREATE POLICY user_writes_team ON user_writes TO sideline_app"
                f" USING (team_id = {TEAM}) WITH CHECK (team_id = {TEAM})",
            ]
        ),
    ]
