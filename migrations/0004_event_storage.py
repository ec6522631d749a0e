"""What the ORM cannot say of 0003's tables: references that cannot leave the team, and partial indexes."""

from tortoise import migrations
from tortoise.migrations import operations as ops

REFERENCES = (
    ("days_off", "user_id", "users", ""),
    ("goal_states", "goal_id", "goals", ""),
    ("idempotency_keys", "user_id", "users", ""),
    ("webhook_endpoints", "owner_id", "users", ""),
    ("webhook_deliveries", "endpoint_id", "webhook_endpoints", " ON DELETE CASCADE"),
)

STATEMENTS = [
    # Tortoise gives each reference a key of its own; the keys below hold the team too.
    *(
        f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {table}_{column}_fkey"
        for table, column, _target, _rule in REFERENCES
    ),
    *(
        f"ALTER TABLE {table} ADD CONSTRAINT {table}_{column.removesuffix('_id')}_fkey"
        f" FOREIGN KEY (team_id, {column}) REFERENCES {target} (team_id, id){rule}"
        for table, column, target, rule in REFERENCES
    ),
    # Positions are given in the transaction of the change: nothing is ever unordered.
    "DROP INDEX events_unordered_idx",
    "CREATE INDEX events_occurred_at_idx ON events (team_id, occurred_at)",
    "CREATE INDEX goal_versions_goal_idx ON goal_versions (team_id, goal_id, effective_from)",
    # The deliverer's question: whose turn is it?
    "CREATE INDEX webhook_endpoints_due_idx ON webhook_endpoints (due_at) WHERE state = 'ACTIVE'",
]


class Migration(migrations.Migration):
    """The indexes are on tables that nobody has written to before."""

    dependencies = [("sideline", "0003_goals_and_events")]

    operations = [ops.RunSQL([*STATEMENTS])]
