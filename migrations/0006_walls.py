"""The second wall between teams, the audit log that nobody edits, and references that cannot leave the team.

The role sideline_app is what a connection for one team speaks as. Row-level security shows it that team's rows alone,
whatever a query asks for; `sideline.team` in the session says which team. The owner of the tables is not bound.
"""

from tortoise import migrations
from tortoise.migrations import operations as ops

TEAM_TABLES = (
    "activities activity_keys data_keys days_off email_bodies event_heads event_relays events goal_evaluations "
    "goal_states goal_versions goals groups holidays idempotency_keys import_chunks imports jobs metric_changes "
    "quarantined_records roles rollup_days rollup_months team_feeds tokens trusted_documents users webhook_deliveries "
    "webhook_endpoints"
).split()
AUDIT_TABLES = ("audit_entries", "audit_heads")

# A role belongs to the whole server: another database of it may have made it already, or be making it now.
ROLE = """
DO $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'sideline_app') THEN
        CREATE ROLE sideline_app NOLOGIN NOBYPASSRLS;
    END IF;
EXCEPTION
    WHEN duplicate_object OR unique_violation THEN NULL;
    WHEN insufficient_privilege THEN
        RAISE EXCEPTION 'this role may not create roles: let one that may run '
            'CREATE ROLE sideline_app NOLOGIN; GRANT sideline_app TO %', quote_ident(current_user);
END $$
"""
MEMBERSHIP = """
DO $$
BEGIN
    IF NOT pg_has_role(current_user, 'sideline_app', 'MEMBER') THEN
        EXECUTE format('GRANT sideline_app TO %I', current_user);
    END IF;
END $$
"""

# A sub-select is worked out once for a statement, not once for a row.
TEAM = "(SELECT nullif(current_setting('sideline.team', true), '')::uuid)"


def wall(table: str, column: str = "team_id") -> list[str]:
    """A table shows the application role the session's team alone."""
    return [
        f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
        f"CREATE POLICY {table}_team ON {table} TO sideline_app"
        f" USING ({column} = {TEAM}) WITH CHECK ({column} = {TEAM})",
    ]


ACCESS = [
    ROLE,
    MEMBERSHIP,
    "GRANT USAGE ON SCHEMA public TO sideline_app",
    # Partitions are not named: they are reached through their tables, where the policies are.
    f"GRANT SELECT, INSERT, UPDATE, DELETE ON {', '.join(TEAM_TABLES)} TO sideline_app",
    "GRANT SELECT, UPDATE ON teams TO sideline_app",
    "GRANT SELECT, INSERT ON audit_entries TO sideline_app",
    "GRANT SELECT, INSERT, UPDATE ON audit_heads TO sideline_app",
    *(statement for table in (*TEAM_TABLES, *AUDIT_TABLES) for statement in wall(table)),
    *wall("teams", "id"),
]

AUDIT = [
    # Two things happen to an entry: its details are taken away when a person is erased, their hash staying in the
    # chain; and the oldest go when the team's retention says so. Both are the owner's alone, who says so first.
    """
    CREATE FUNCTION guard_audit_entries() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'DELETE' AND current_setting('sideline.audit_retention', true) = 'on' THEN
            RETURN OLD;
        END IF;
        IF TG_OP = 'UPDATE' AND NEW.details IS NULL AND NEW.salt IS NULL
            AND (NEW.id, NEW.team_id, NEW.position, NEW.at, NEW.action, NEW.details_hash, NEW.previous_hash, NEW.hash)
              = (OLD.id, OLD.team_id, OLD.position, OLD.at, OLD.action, OLD.details_hash, OLD.previous_hash, OLD.hash)
            AND (NEW.actor_id, NEW.subject_type, NEW.subject_id, NEW.request_id) IS NOT DISTINCT FROM
                (OLD.actor_id, OLD.subject_type, OLD.subject_id, OLD.request_id)
        THEN
            RETURN NEW;
        END IF;
        RAISE EXCEPTION 'the audit log is only added to' USING ERRCODE = 'insufficient_privilege';
    END $$
    """,
    "CREATE TRIGGER audit_entries_guard BEFORE UPDATE OR DELETE ON audit_entries"
    " FOR EACH ROW EXECUTE FUNCTION guard_audit_entries()",
    "CREATE FUNCTION forbid_audit_truncate() RETURNS trigger LANGUAGE plpgsql AS $$"
    " BEGIN RAISE EXCEPTION 'the audit log is only added to' USING ERRCODE = 'insufficient_privilege'; END $$",
    "CREATE TRIGGER audit_entries_truncate BEFORE TRUNCATE ON audit_entries"
    " FOR EACH STATEMENT EXECUTE FUNCTION forbid_audit_truncate()",
]

REFERENCES = [
    "ALTER TABLE data_keys ADD CONSTRAINT data_keys_team_id_id_key UNIQUE (team_id, id)",
    "ALTER TABLE email_bodies ADD CONSTRAINT email_bodies_key_fkey"
    " FOREIGN KEY (team_id, key_id) REFERENCES data_keys (team_id, id)",
    # A body is plain or sealed, never both; the bound on a plain one stays.
    "ALTER TABLE email_bodies ADD CONSTRAINT email_bodies_sealed_check"
    " CHECK (num_nonnulls(body, sealed) = 1 AND num_nulls(sealed, key_id) IN (0, 2))",
    "CREATE INDEX email_bodies_plain_idx ON email_bodies (team_id, id) WHERE sealed IS NULL",
    "CREATE INDEX email_bodies_key_idx ON email_bodies (team_id, key_id)",
    "ALTER TABLE trusted_documents ADD CONSTRAINT trusted_documents_added_by_fkey"
    " FOREIGN KEY (team_id, added_by_id) REFERENCES users (team_id, id)",
    "ALTER TABLE trusted_documents ADD CONSTRAINT trusted_documents_digest_check CHECK (digest ~ '^[0-9a-f]{64}$')",
    "CREATE UNIQUE INDEX users_scim_external_id_key ON users (team_id, scim_external_id)",
    "CREATE UNIQUE INDEX groups_scim_external_id_key ON groups (team_id, scim_external_id)",
]


class Migration(migrations.Migration):
    """`email_bodies` is locked while its checks look at every row; the rest is quick."""

    dependencies = [("sideline", "0005_administration")]

    operations = [ops.RunSQL([*REFERENCES, *AUDIT, *ACCESS])]
