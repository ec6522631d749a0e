"""References and walls of integrations, one job at a time for what must not run twice, and a fair order of claims."""

from tortoise import migrations
from tortoise.migrations import operations as ops

TABLES = ("account_budgets exchange_rates field_mappings integrations quarantined_documents synced_documents").split()
OF_INTEGRATIONS = ("field_mappings", "quarantined_documents", "synced_documents")

TEAM = "(SELECT nullif(current_setting('sideline.team', true), '')::uuid)"

REFERENCES = [
    "ALTER TABLE integrations ADD CONSTRAINT integrations_owner_fkey"
    " FOREIGN KEY (team_id, owner_id) REFERENCES users (team_id, id)",
    *(
        f"ALTER TABLE {table} ADD CONSTRAINT {table}_integration_fkey"
        " FOREIGN KEY (team_id, integration_id) REFERENCES integrations (team_id, id) ON DELETE CASCADE"
        for table in OF_INTEGRATIONS
    ),
    "ALTER TABLE field_mappings ADD CONSTRAINT field_mappings_set_by_fkey"
    " FOREIGN KEY (team_id, set_by_id) REFERENCES users (team_id, id)",
    "CREATE INDEX integrations_due_idx ON integrations (next_sync_at) WHERE state = 'ACTIVE'",
    # Who else made an activity: asked before it is removed.
    "CREATE INDEX synced_documents_external_ids_idx ON synced_documents USING gin (external_ids)",
    "CREATE UNIQUE INDEX jobs_exclusive_key ON jobs (team_id, exclusive_key) WHERE state IN ('SCHEDULED', 'RUNNING')",
    "CREATE INDEX jobs_integration_idx ON jobs (team_id, exclusive_key, id) WHERE exclusive_key IS NOT NULL",
    # Claims go from team to team: each takes its turn, however much another has waiting.
    "CREATE INDEX jobs_team_due_idx ON jobs (team_id, due_at, id) WHERE state = 'SCHEDULED'",
    "DROP INDEX jobs_due_idx",
    # Deals have been part of the CRM's feed.
    "INSERT INTO team_feeds (id, team_id, feed, since)"
    " SELECT gen_random_uuid(), team_id, 'deals', since FROM team_feeds WHERE feed = 'crm'",
]

WALLS = [
    f"GRANT SELECT, INSERT, UPDATE, DELETE ON {', '.join(TABLES)} TO sideline_app",
    *(
        statement
        for table in TABLES
        for statement in (
            f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
            f"CREATE POLICY {table}_team ON {table} TO sideline_app"
            f" USING (team_id = {TEAM}) WITH CHECK (team_id = {TEAM})",
        )
    ),
    # What connectors there are is the same for every team: it is read by all, and written by the owner alone.
    "GRANT SELECT ON connector_kinds TO sideline_app",
    "ALTER TABLE connector_kinds ENABLE ROW LEVEL SECURITY",
    "CREATE POLICY connector_kinds_read ON connector_kinds FOR SELECT TO sideline_app USING (true)",
]


class Migration(migrations.Migration):
    """Quick, but for the index on jobs."""

    dependencies = [("sideline", "0009_integrations")]

    operations = [ops.RunSQL([*REFERENCES, *WALLS])]
