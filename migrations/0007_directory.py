"""What an identity provider tells of people and groups beyond what Sideline itself asks, and when they last changed."""

from tortoise import fields, migrations
from tortoise.fields.db_defaults import SqlDefault
from tortoise.migrations import operations as ops

STATEMENTS = [
    # The name by which an identity provider knows a person: the address where it gave no other. Unique without regard
    # to case, among both kinds.
    "CREATE UNIQUE INDEX users_scim_user_name_key ON users (team_id, lower(coalesce(scim_user_name, email)))",
    # Ids hold the time at which they were made.
    "UPDATE groups SET created_at = coalesce(uuid_extract_timestamp(id), created_at)",
    "UPDATE groups SET changed_at = created_at",
    "UPDATE users SET changed_at = created_at",
]


class Migration(migrations.Migration):
    """Users and groups are locked while they are few: a team has thousands, not millions."""

    dependencies = [("sideline", "0006_walls")]

    initial = False

    operations = [
        ops.AddField(
            model_name="Group",
            name="changed_at",
            field=fields.DatetimeField(
                description="Itself or who is in it", db_default=SqlDefault("now()"), auto_now=False, auto_now_add=False
            ),
        ),
        ops.AddField(
            model_name="Group",
            name="created_at",
            field=fields.DatetimeField(db_default=SqlDefault("now()"), auto_now=False, auto_now_add=False),
        ),
        ops.AddField(
            model_name="User",
            name="changed_at",
            field=fields.DatetimeField(db_default=SqlDefault("now()"), auto_now=False, auto_now_add=False),
        ),
        ops.AddField(
            model_name="User",
            name="family_name",
            field=fields.CharField(null=True, description="As the identity provider says", max_length=200),
        ),
        ops.AddField(
            model_name="User",
            name="formatted_name",
            field=fields.CharField(
                null=True, description="The whole name as the identity provider writes it", max_length=400
            ),
        ),
        ops.AddField(
            model_name="User",
            name="given_name",
            field=fields.CharField(null=True, description="As the identity provider says", max_length=200),
        ),
        ops.AddField(
            model_name="User",
            name="scim_removed_at",
            field=fields.DatetimeField(
                null=True,
                description="When the identity provider removed the person",
                auto_now=False,
                auto_now_add=False,
            ),
        ),
        ops.AddField(
            model_name="User",
            name="scim_user_name",
            field=fields.CharField(
                null=True, description="The provider's user name, where that is not the email address", max_length=255
            ),
        ),
        ops.RunSQL([*STATEMENTS]),
    ]
