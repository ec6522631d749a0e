"""What the ORM cannot say: partitions, composite keys, partial and covering indexes, triggers."""

from tortoise import migrations
from tortoise.migrations import operations as ops

FIRST_YEAR = 2010
LAST_YEAR = 2035

COUNT_COLUMNS = (
    "emails_sent emails_delivered emails_bounced emails_opened emails_replied calls_logged "
    "calls_connected talk_seconds meetings_booked meetings_rescheduled meetings_held meetings_no_show "
    "conversations_recorded talk_ratio_weighted talk_ratio_seconds monologue_weighted monologue_seconds "
    "questions_weighted questions_seconds patience_weighted patience_duration_seconds people_added "
    "cadence_steps_completed cadence_steps_overdue tasks_completed opportunities_created closed_won_count "
    "closed_lost_count sales_cycle_days sales_cycle_count"
).split()
MONEY_COLUMNS = ("new_pipeline", "closed_won_amount")

SUM_COLUMNS = ",\n".join(
    [f"    {name} bigint NOT NULL DEFAULT 0" for name in COUNT_COLUMNS]
    + [f"    {name} numeric(24,4) NOT NULL DEFAULT 0" for name in MONEY_COLUMNS]
)

PEOPLE = [
    # Tortoise gave each reference a key of its own that deletes what hangs on it; the keys below hold the team too,
    # and nothing that has a history is deleted by way of a reference.
    *(
        f"ALTER TABLE {table} DROP CONSTRAINT {table}_{column}_fkey"
        for table, column in (
            ("events", "actor_id"),
            ("goal_versions", "goal_id"),
            ("goal_versions", "set_by_id"),
            ("goals", "group_id"),
            ("goals", "user_id"),
            ("groups", "parent_id"),
            ("import_chunks", "upload_id"),
            ("imports", "job_id"),
            ("jobs", "requested_by_id"),
            ("quarantined_records", "upload_id"),
            ("tokens", "user_id"),
            ("users", "group_id"),
            ("users", "manager_id"),
            ("users", "role_id"),
        )
    ),
    # Emails are unique without regard to case; the address is looked up over all teams when a JWT names it.
    "CREATE UNIQUE INDEX users_team_id_email_key ON users (team_id, lower(email))",
    "CREATE INDEX users_email_idx ON users (lower(email))",
    "CREATE INDEX users_external_ids_idx ON users USING gin (external_ids)",
    # References that cannot leave the team.
    "ALTER TABLE groups ADD CONSTRAINT groups_parent_fkey"
    " FOREIGN KEY (team_id, parent_id) REFERENCES groups (team_id, id)",
    "ALTER TABLE users ADD CONSTRAINT users_role_fkey FOREIGN KEY (team_id, role_id) REFERENCES roles (team_id, id)",
    "ALTER TABLE users ADD CONSTRAINT users_group_fkey FOREIGN KEY (team_id, group_id) REFERENCES groups (team_id, id)",
    "ALTER TABLE users ADD CONSTRAINT users_manager_fkey"
    " FOREIGN KEY (team_id, manager_id) REFERENCES users (team_id, id)",
    "ALTER TABLE tokens ADD CONSTRAINT tokens_user_fkey FOREIGN KEY (team_id, user_id) REFERENCES users (team_id, id)",
    "CREATE UNIQUE INDEX roles_admin_key ON roles (team_id) WHERE is_admin",
    """
    CREATE FUNCTION forbid_group_cycle() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        -- Two moves that together close a circle must not both see the tree as it was.
        PERFORM 1 FROM teams WHERE id = NEW.team_id FOR NO KEY UPDATE;
        IF EXISTS (
            WITH RECURSIVE above AS (
                SELECT NEW.parent_id AS id
                UNION
                SELECT g.parent_id FROM groups g JOIN above ON g.id = above.id WHERE g.parent_id IS NOT NULL
            )
            SELECT 1 FROM above WHERE id = NEW.id
        ) THEN
            RAISE EXCEPTION 'group % cannot be below itself', NEW.id
                USING ERRCODE = 'check_violation', CONSTRAINT = 'groups_cycle_check';
        END IF;
        RETURN NEW;
    END $$
    """,
    "CREATE TRIGGER groups_cycle_check BEFORE INSERT OR UPDATE OF parent_id ON groups"
    " FOR EACH ROW WHEN (NEW.parent_id IS NOT NULL) EXECUTE FUNCTION forbid_group_cycle()",
]

ACTIVITIES = [
    """
    CREATE TABLE activities (
        id uuid NOT NULL,
        team_id uuid NOT NULL,
        user_id uuid NOT NULL,
        kind varchar(16) NOT NULL,
        occurred_at timestamptz NOT NULL,
        source varchar(100) NOT NULL,
        external_id varchar(255) NOT NULL,
        name text,
        body_stored boolean,
        bounced boolean,
        open_count integer CHECK (open_count >= 0),
        replied_at timestamptz,
        cadence text,
        step integer CHECK (step >= 0),
        duration_seconds integer CHECK (duration_seconds >= 0),
        connected boolean,
        disposition text,
        sentiment text,
        starts_at timestamptz,
        ends_at timestamptz,
        status varchar(16),
        rescheduled_count integer CHECK (rescheduled_count >= 0),
        talk_ratio numeric(7,6) CHECK (talk_ratio BETWEEN 0 AND 1),
        longest_monologue_seconds integer CHECK (longest_monologue_seconds >= 0),
        questions_asked integer CHECK (questions_asked >= 0),
        patience_seconds numeric(9,3) CHECK (patience_seconds >= 0),
        stage text,
        amount numeric(20,4),
        currency varchar(3),
        team_amount numeric(20,4),
        created_on date,
        pipeline_on date,
        closed_on date,
        won boolean,
        completed_at timestamptz,
        PRIMARY KEY (id, occurred_at),
        CONSTRAINT activities_user_fkey FOREIGN KEY (team_id, user_id) REFERENCES users (team_id, id),
        CONSTRAINT activities_kind_check CHECK (
            CASE kind
            WHEN 'email' THEN num_nulls(bounced, open_count, body_stored) = 0
            WHEN 'call' THEN num_nulls(duration_seconds, connected) = 0
            WHEN 'meeting' THEN num_nulls(starts_at, ends_at, rescheduled_count) = 0 AND ends_at >= starts_at
                AND coalesce(status IN ('booked', 'held', 'cancelled', 'no_show'), false)
            WHEN 'conversation' THEN duration_seconds IS NOT NULL
            WHEN 'cadence_step' THEN num_nulls(cadence, step) = 0
                AND coalesce(status IN ('added', 'completed', 'overdue', 'skipped'), false)
            WHEN 'opportunity' THEN num_nulls(name, stage) = 0 AND num_nulls(amount, currency, team_amount) IN (0, 3)
                AND num_nulls(won, closed_on) IN (0, 2)
            WHEN 'task' THEN completed_at IS NOT NULL
            ELSE false
            END)
    ) PARTITION BY RANGE (occurred_at)
    """,
    *(
        f"CREATE TABLE activities_{year} PARTITION OF activities"
        f" FOR VALUES FROM ('{year}-01-01 00:00+00') TO ('{year + 1}-01-01 00:00+00')"
        for year in range(FIRST_YEAR, LAST_YEAR + 1)
    ),
    # A rep's film, newest first; and the team's.
    "CREATE INDEX activities_user_idx ON activities (team_id, user_id, occurred_at DESC, id DESC)",
    "CREATE INDEX activities_team_idx ON activities (team_id, occurred_at DESC, id DESC)",
    """
    CREATE TABLE activity_keys (
        id uuid NOT NULL,
        team_id uuid NOT NULL REFERENCES teams (id),
        source varchar(100) NOT NULL CHECK (length(source) > 0),
        external_id varchar(255) NOT NULL CHECK (length(external_id) > 0),
        occurred_at timestamptz,
        version bigint NOT NULL,
        content_hash bigint NOT NULL,
        CONSTRAINT activity_keys_key PRIMARY KEY (team_id, source, external_id)
    ) WITH (fillfactor = 90)
    """,
    # node(id:) finds the partition through this one.
    "CREATE UNIQUE INDEX activity_keys_id_key ON activity_keys (id) INCLUDE (team_id, occurred_at)",
    "ALTER TABLE email_bodies ADD CONSTRAINT email_bodies_body_check CHECK (octet_length(body) <= 1048576)",
]

ROLLUPS = [
    f"""
    CREATE TABLE rollup_days (
        id uuid NOT NULL DEFAULT uuidv7(),
        team_id uuid NOT NULL,
        user_id uuid NOT NULL,
        day date NOT NULL,
    {SUM_COLUMNS},
        PRIMARY KEY (team_id, user_id, day),
        CONSTRAINT rollup_days_user_fkey FOREIGN KEY (team_id, user_id) REFERENCES users (team_id, id)
    ) PARTITION BY RANGE (day)
    """,
    *(
        f"CREATE TABLE rollup_days_{year} PARTITION OF rollup_days"
        f" FOR VALUES FROM ('{year}-01-01') TO ('{year + 1}-01-01') WITH (fillfactor = 80)"
        for year in range(FIRST_YEAR - 1, LAST_YEAR + 2)
    ),
    # A team's days of a range; a rep's days come by the primary key.
    "CREATE INDEX rollup_days_day_idx ON rollup_days (team_id, day)",
    f"""
    CREATE TABLE rollup_months (
        id uuid NOT NULL DEFAULT uuidv7(),
        team_id uuid NOT NULL,
        user_id uuid NOT NULL,
        month date NOT NULL CHECK (extract(day FROM month) = 1),
    {SUM_COLUMNS},
        PRIMARY KEY (team_id, user_id, month),
        CONSTRAINT rollup_months_user_fkey FOREIGN KEY (team_id, user_id) REFERENCES users (team_id, id)
    ) WITH (fillfactor = 80)
    """,
    "CREATE INDEX rollup_months_month_idx ON rollup_months (team_id, month)",
]

WORK = [
    # One active goal per (subject, metric, period): a subject is a user, a group, or, with neither, the team.
    "CREATE UNIQUE INDEX goals_subject_key ON goals (team_id, coalesce(user_id, group_id, team_id), metric, period)",
    "ALTER TABLE goals ADD CONSTRAINT goals_user_fkey FOREIGN KEY (team_id, user_id) REFERENCES users (team_id, id)",
    "ALTER TABLE goals ADD CONSTRAINT goals_group_fkey FOREIGN KEY (team_id, group_id) REFERENCES groups (team_id, id)",
    "ALTER TABLE goal_versions ADD CONSTRAINT goal_versions_goal_fkey"
    " FOREIGN KEY (team_id, goal_id) REFERENCES goals (team_id, id)",
    "ALTER TABLE goal_versions ADD CONSTRAINT goal_versions_set_by_fkey"
    " FOREIGN KEY (team_id, set_by_id) REFERENCES users (team_id, id)",
    "ALTER TABLE events ADD CONSTRAINT events_actor_fkey"
    " FOREIGN KEY (team_id, actor_id) REFERENCES users (team_id, id)",
    "ALTER TABLE jobs ADD CONSTRAINT jobs_requested_by_fkey"
    " FOREIGN KEY (team_id, requested_by_id) REFERENCES users (team_id, id)",
    "CREATE UNIQUE INDEX goal_versions_open_key ON goal_versions (team_id, goal_id) WHERE effective_to IS NULL",
    "CREATE INDEX events_unordered_idx ON events (team_id, id) WHERE position IS NULL",
    # The sweeper's question: what is due, or runs under a lease that has lapsed?
    "CREATE INDEX jobs_due_idx ON jobs (due_at) WHERE state = 'SCHEDULED'",
    "CREATE INDEX jobs_leased_idx ON jobs (leased_until) WHERE state = 'RUNNING'",
    "ALTER TABLE imports ADD CONSTRAINT imports_job_fkey FOREIGN KEY (team_id, job_id) REFERENCES jobs (team_id, id)",
    "ALTER TABLE import_chunks ADD CONSTRAINT import_chunks_import_fkey"
    " FOREIGN KEY (team_id, upload_id) REFERENCES imports (team_id, id) ON DELETE CASCADE",
    "ALTER TABLE import_chunks ALTER COLUMN data SET STORAGE EXTERNAL",
    "ALTER TABLE quarantined_records ADD CONSTRAINT quarantined_records_import_fkey"
    " FOREIGN KEY (team_id, upload_id) REFERENCES imports (team_id, id) ON DELETE CASCADE",
]


class Migration(migrations.Migration):
    """All tables are new here: no lock stops a reader."""

    dependencies = [("sideline", "0001_initial")]

    # One operation: each costs Tortoise a copy of all its models.
    operations = [ops.RunSQL([*PEOPLE, *ACTIVITIES, *ROLLUPS, *WORK])]
