"""Scheduled actions, how their occurrences ended, what they send, and snapshots of reports."""

from orjson import loads
from tortoise import fields, migrations
from tortoise.contrib.postgres.fields import ArrayField
from tortoise.fields.base import OnDelete
from tortoise.fields.data import JSON_DUMPS
from tortoise.fields.db_defaults import SqlDefault
from tortoise.migrations import operations as ops
from tortoise.migrations.constraints import CheckConstraint, UniqueConstraint

from domain.models.actions import CatchUp, MessageChannel, MessageState
from domain.models.base import new_id
from domain.models.jobs import JobState

TABLES = ("action_runs", "outgoing_messages", "report_snapshots", "scheduled_actions")

TEAM = "(SELECT nullif(current_setting('sideline.team', true), '')::uuid)"

# The same as in the models, made in one go: an operation of its own for each costs every start of a database.
CONSTRAINTS = [
    "ALTER TABLE scheduled_actions"
    " ADD CONSTRAINT scheduled_actions_team_id_id_key UNIQUE (team_id, id),"
    " ADD CONSTRAINT scheduled_actions_key UNIQUE (team_id, key),"
    " ADD CONSTRAINT scheduled_actions_counts_check CHECK (attempts >= 0 AND occurrence > 0),"
    " ADD CONSTRAINT scheduled_actions_lease_check CHECK ("
    "(state = 'RUNNING') = (lease_holder IS NOT NULL) AND (lease_holder IS NULL) = (leased_until IS NULL)),"
    " ADD CONSTRAINT scheduled_actions_ended_check CHECK ((state IN ('SCHEDULED', 'RUNNING')) = (ended_at IS NULL))",
    "ALTER TABLE action_runs"
    " ADD CONSTRAINT action_runs_key UNIQUE (team_id, action_id, occurrence),"
    " ADD CONSTRAINT action_runs_counts_check CHECK (occurrence > 0 AND occurrences > 0 AND attempts >= 0),"
    " ADD CONSTRAINT action_runs_state_check CHECK (state IN ('SUCCEEDED', 'FAILED', 'CANCELLED', 'MISSED'))",
    "ALTER TABLE outgoing_messages"
    " ADD CONSTRAINT outgoing_messages_key UNIQUE (team_id, key),"
    " ADD CONSTRAINT outgoing_messages_lease_check CHECK ((lease_holder IS NULL) = (leased_until IS NULL)),"
    " ADD CONSTRAINT outgoing_messages_ended_check CHECK ((state = 'WAITING') = (ended_at IS NULL)),"
    " ADD CONSTRAINT outgoing_messages_attempts_check CHECK (attempts >= 0)",
    "ALTER TABLE report_snapshots"
    " ADD CONSTRAINT report_snapshots_team_id_id_key UNIQUE (team_id, id),"
    " ADD CONSTRAINT report_snapshots_days_check CHECK (to_day >= from_day)",
]

REFERENCES = [
    # Tortoise gives each reference a key of its own that deletes what hangs on it; the keys below hold the team too.
    *(
        f"ALTER TABLE {table} DROP CONSTRAINT {table}_{column}_fkey"
        for table, column in (
            ("scheduled_actions", "user_id"),
            ("scheduled_actions", "created_by_id"),
            ("action_runs", "action_id"),
            ("outgoing_messages", "user_id"),
            ("outgoing_messages", "action_id"),
            ("report_snapshots", "user_id"),
            ("report_snapshots", "action_id"),
        )
    ),
    *(
        f"ALTER TABLE {table} ADD CONSTRAINT {table}_{column.removesuffix('_id')}_fkey"
        f" FOREIGN KEY (team_id, {column}) REFERENCES users (team_id, id)"
        for table, column in (
            ("scheduled_actions", "user_id"),
            ("scheduled_actions", "created_by_id"),
            ("outgoing_messages", "user_id"),
            ("report_snapshots", "user_id"),
        )
    ),
    *(
        f"ALTER TABLE {table} ADD CONSTRAINT {table}_action_fkey"
        f" FOREIGN KEY (team_id, action_id) REFERENCES scheduled_actions (team_id, id) ON DELETE {rule}"
        for table, rule in (
            ("action_runs", "CASCADE"),
            ("outgoing_messages", "SET NULL (action_id)"),
            ("report_snapshots", "SET NULL (action_id)"),
        )
    ),
    "ALTER TABLE outgoing_messages ADD CONSTRAINT outgoing_messages_endpoint_fkey"
    " FOREIGN KEY (team_id, endpoint_id) REFERENCES webhook_endpoints (team_id, id) ON DELETE CASCADE",
]

INDEXES = [
    # What workers take, team by team.
    "CREATE INDEX scheduled_actions_run_idx ON scheduled_actions (team_id, run_at, id)"
    " WHERE state = 'SCHEDULED' AND paused_at IS NULL AND source IS NULL",
    "CREATE INDEX scheduled_actions_leased_idx ON scheduled_actions (team_id, leased_until) WHERE state = 'RUNNING'",
    # Upcoming work that is past due.
    "CREATE INDEX scheduled_actions_upcoming_idx ON scheduled_actions (team_id, due_at)"
    " WHERE state = 'SCHEDULED' AND source IS NOT NULL",
    # The list: of a team, of a person, of what somebody made.
    "CREATE INDEX scheduled_actions_due_idx ON scheduled_actions (team_id, due_at, id)",
    "CREATE INDEX scheduled_actions_user_idx ON scheduled_actions (team_id, user_id, due_at, id)",
    "CREATE INDEX scheduled_actions_made_idx ON scheduled_actions (team_id, created_by_id)"
    " WHERE created_by_id IS NOT NULL",
    "CREATE INDEX scheduled_actions_ended_idx ON scheduled_actions (team_id, ended_at) WHERE ended_at IS NOT NULL",
    "CREATE INDEX action_runs_ended_idx ON action_runs (team_id, ended_at)",
    "CREATE INDEX outgoing_messages_due_idx ON outgoing_messages (team_id, due_at, id) WHERE state = 'WAITING'",
    "CREATE INDEX outgoing_messages_action_idx ON outgoing_messages (team_id, action_id, occurrence)"
    " WHERE action_id IS NOT NULL",
    "CREATE INDEX outgoing_messages_user_idx ON outgoing_messages (team_id, user_id) WHERE user_id IS NOT NULL",
    "CREATE INDEX outgoing_messages_endpoint_idx ON outgoing_messages (team_id, endpoint_id)"
    " WHERE endpoint_id IS NOT NULL",
    "CREATE INDEX outgoing_messages_ended_idx ON outgoing_messages (team_id, ended_at) WHERE ended_at IS NOT NULL",
    "CREATE INDEX report_snapshots_user_idx ON report_snapshots (team_id, user_id, id)",
    "CREATE INDEX report_snapshots_action_idx ON report_snapshots (team_id, action_id)",
    "CREATE INDEX report_snapshots_expires_idx ON report_snapshots (team_id, expires_at)",
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
]


class Migration(migrations.Migration):
    """Quick: the tables are new."""

    dependencies = [("sideline", "0013_scores")]

    initial = False

    operations = [
        ops.CreateModel(
            name="ScheduledAction",
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
                (
                    "key",
                    fields.CharField(description="Two actions of a team with one key are one action", max_length=255),
                ),
                ("title", fields.CharField(max_length=300)),
                (
                    "user",
                    fields.ForeignKeyField(
                        "sideline.User",
                        source_field="user_id",
                        null=True,
                        db_constraint=False,
                        to_field="id",
                        related_name=False,
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                (
                    "created_by",
                    fields.ForeignKeyField(
                        "sideline.User",
                        source_field="created_by_id",
                        null=True,
                        db_constraint=False,
                        to_field="id",
                        related_name=False,
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                (
                    "source",
                    fields.CharField(
                        null=True,
                        description="The system that reports it; no worker carries such an action out",
                        max_length=100,
                    ),
                ),
                (
                    "revision",
                    fields.BigIntField(
                        description="Of what the source reported: microseconds since 1970", db_default=0
                    ),
                ),
                ("arguments", fields.JSONField(db_default=SqlDefault("'{}'"), encoder=JSON_DUMPS, decoder=loads)),
                (
                    "starts_at",
                    fields.DatetimeField(
                        description="The first occurrence: the rule's own start", auto_now=False, auto_now_add=False
                    ),
                ),
                (
                    "starts_local",
                    fields.CharField(
                        null=True,
                        description="That by the wall clock, of what recurs: it stays when a zone changes",
                        max_length=19,
                    ),
                ),
                (
                    "recurrence",
                    fields.CharField(null=True, description="RRULE of RFC 5545; null: once", max_length=500),
                ),
                ("timezone", fields.CharField(null=True, description="IANA name; null: the team's", max_length=64)),
                (
                    "catch_up",
                    fields.CharEnumField(
                        description="RUN_ONCE: RUN_ONCE\nRUN_ALL: RUN_ALL\nSKIP: SKIP",
                        db_default="RUN_ONCE",
                        enum_type=CatchUp,
                        max_length=8,
                    ),
                ),
                ("occurrence", fields.IntField(description="The number of the one that comes next", db_default=1)),
                (
                    "planned_at",
                    fields.DatetimeField(
                        description="When the rule has it; the next one is worked out from here",
                        auto_now=False,
                        auto_now_add=False,
                    ),
                ),
                (
                    "due_at",
                    fields.DatetimeField(
                        description="When it is due: as planned, or as somebody moved or snoozed it",
                        auto_now=False,
                        auto_now_add=False,
                    ),
                ),
                (
                    "run_at",
                    fields.DatetimeField(
                        description="When a worker takes it: when due, or later after a failed attempt",
                        auto_now=False,
                        auto_now_add=False,
                    ),
                ),
                ("extra", fields.BooleanField(description="Run by hand, beside the rule", db_default=False)),
                (
                    "state",
                    fields.CharEnumField(
                        description="SCHEDULED: SCHEDULED\nRUNNING: RUNNING\nSUCCEEDED: SUCCEEDED\nFAILED: FAILED\nCANCELLED: CANCELLED\nMISSED: MISSED",  # noqa: E501
                        db_default="SCHEDULED",
                        enum_type=JobState,
                        max_length=12,
                    ),
                ),
                (
                    "paused_at",
                    fields.DatetimeField(
                        null=True,
                        description="Nothing is carried out while it is set",
                        auto_now=False,
                        auto_now_add=False,
                    ),
                ),
                ("attempts", fields.IntField(description="Of the occurrence that comes next", db_default=0)),
                ("last_error", fields.TextField(null=True, unique=False)),
                ("lease_holder", fields.CharField(null=True, max_length=100)),
                ("leased_until", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                (
                    "fence",
                    fields.BigIntField(
                        description="Grows with every claim and with every change by hand", db_default=0
                    ),
                ),
                (
                    "created_at",
                    fields.DatetimeField(db_default=SqlDefault("now()"), auto_now=False, auto_now_add=False),
                ),
                (
                    "ended_at",
                    fields.DatetimeField(
                        null=True, description="When the last occurrence ended", auto_now=False, auto_now_add=False
                    ),
                ),
            ],
            options={
                "table": "scheduled_actions",
                "app": "sideline",
                "constraints": [
                    UniqueConstraint(fields=("team_id", "id"), name="scheduled_actions_team_id_id_key"),
                    UniqueConstraint(fields=("team_id", "key"), name="scheduled_actions_key"),
                    CheckConstraint(check="attempts >= 0 AND occurrence > 0", name="scheduled_actions_counts_check"),
                    CheckConstraint(
                        check="(state = 'RUNNING') = (lease_holder IS NOT NULL) AND (lease_holder IS NULL) = (leased_until IS NULL)",  # noqa: E501
                        name="scheduled_actions_lease_check",
                    ),
                    CheckConstraint(
                        check="(state IN ('SCHEDULED', 'RUNNING')) = (ended_at IS NULL)",
                        name="scheduled_actions_ended_check",
                    ),
                ],
                "pk_attr": "id",
                "table_description": "Something due at a time, once or by a rule; the row holds the occurrence that comes next.",  # noqa: E501
            },
            bases=["Row"],
        ),
        ops.CreateModel(
            name="ActionRun",
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
                    "action",
                    fields.ForeignKeyField(
                        "sideline.ScheduledAction",
                        source_field="action_id",
                        db_constraint=False,
                        to_field="id",
                        related_name=False,
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("occurrence", fields.IntField()),
                ("occurrences", fields.IntField(description="How many, from this one on, ended so", db_default=1)),
                ("due_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
                (
                    "state",
                    fields.CharEnumField(
                        description="SCHEDULED: SCHEDULED\nRUNNING: RUNNING\nSUCCEEDED: SUCCEEDED\nFAILED: FAILED\nCANCELLED: CANCELLED\nMISSED: MISSED",  # noqa: E501
                        enum_type=JobState,
                        max_length=12,
                    ),
                ),
                ("attempts", fields.IntField()),
                ("error", fields.TextField(null=True, description="Why it did not succeed", unique=False)),
                (
                    "ended_at",
                    fields.DatetimeField(
                        db_default=SqlDefault("clock_timestamp()"), auto_now=False, auto_now_add=False
                    ),
                ),
            ],
            options={
                "table": "action_runs",
                "app": "sideline",
                "constraints": [
                    UniqueConstraint(fields=("team_id", "action_id", "occurrence"), name="action_runs_key"),
                    CheckConstraint(
                        check="occurrence > 0 AND occurrences > 0 AND attempts >= 0", name="action_runs_counts_check"
                    ),
                    CheckConstraint(
                        check="state IN ('SUCCEEDED', 'FAILED', 'CANCELLED', 'MISSED')", name="action_runs_state_check"
                    ),
                ],
                "pk_attr": "id",
                "table_description": "How an occurrence ended, or several that were passed over together: at most one row for each number.",  # noqa: E501
            },
            bases=["Row"],
        ),
        ops.CreateModel(
            name="OutgoingMessage",
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
                    "key",
                    fields.CharField(description="Two messages of a team with one key are one message", max_length=255),
                ),
                (
                    "channel",
                    fields.CharEnumField(
                        description="MAIL: MAIL\nWEBHOOK: WEBHOOK", enum_type=MessageChannel, max_length=8
                    ),
                ),
                (
                    "user",
                    fields.ForeignKeyField(
                        "sideline.User",
                        source_field="user_id",
                        null=True,
                        db_constraint=False,
                        to_field="id",
                        related_name=False,
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                (
                    "action",
                    fields.ForeignKeyField(
                        "sideline.ScheduledAction",
                        source_field="action_id",
                        null=True,
                        db_constraint=False,
                        to_field="id",
                        related_name=False,
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("occurrence", fields.IntField(null=True)),
                ("address", fields.CharField(null=True, description="Of a mail; null: the user's own", max_length=320)),
                ("endpoint_id", fields.UUIDField(null=True, description="The webhook endpoint that it goes to")),
                (
                    "template",
                    fields.CharField(
                        null=True,
                        description="What is written when it is sent, as its reader may see it then",
                        max_length=40,
                    ),
                ),
                (
                    "content",
                    fields.JSONField(
                        description="What the template needs, or the message itself; empty once ended",
                        db_default=SqlDefault("'{}'"),
                        encoder=JSON_DUMPS,
                        decoder=loads,
                    ),
                ),
                (
                    "state",
                    fields.CharEnumField(
                        description="WAITING: WAITING\nSENT: SENT\nFAILED: FAILED\nCANCELLED: CANCELLED",
                        db_default="WAITING",
                        enum_type=MessageState,
                        max_length=10,
                    ),
                ),
                ("attempts", fields.IntField(db_default=0)),
                ("due_at", fields.DatetimeField(db_default=SqlDefault("now()"), auto_now=False, auto_now_add=False)),
                ("last_error", fields.TextField(null=True, unique=False)),
                ("lease_holder", fields.CharField(null=True, max_length=100)),
                ("leased_until", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ("fence", fields.BigIntField(db_default=0)),
                (
                    "created_at",
                    fields.DatetimeField(db_default=SqlDefault("now()"), auto_now=False, auto_now_add=False),
                ),
                ("ended_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "outgoing_messages",
                "app": "sideline",
                "constraints": [
                    UniqueConstraint(fields=("team_id", "key"), name="outgoing_messages_key"),
                    CheckConstraint(
                        check="(lease_holder IS NULL) = (leased_until IS NULL)", name="outgoing_messages_lease_check"
                    ),
                    CheckConstraint(
                        check="(state = 'WAITING') = (ended_at IS NULL)", name="outgoing_messages_ended_check"
                    ),
                    CheckConstraint(check="attempts >= 0", name="outgoing_messages_attempts_check"),
                ],
                "pk_attr": "id",
                "table_description": "A mail or a signed webhook that is to go out: written in the transaction that wants it, sent after it.",  # noqa: E501
            },
            bases=["Row"],
        ),
        ops.CreateModel(
            name="ReportSnapshot",
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
                    "action",
                    fields.ForeignKeyField(
                        "sideline.ScheduledAction",
                        source_field="action_id",
                        null=True,
                        db_constraint=False,
                        to_field="id",
                        related_name=False,
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("title", fields.CharField(max_length=300)),
                ("from_day", fields.DateField()),
                ("to_day", fields.DateField(description="Inclusive")),
                ("whole_team", fields.BooleanField(description="Made with everybody in sight")),
                (
                    "subjects",
                    ArrayField(
                        description="Whose numbers are in it; empty for all",
                        db_default=SqlDefault("'{}'"),
                        element_type="UUID",
                    ),
                ),
                ("table_csv", fields.BinaryField()),
                ("picture_png", fields.BinaryField()),
                (
                    "created_at",
                    fields.DatetimeField(db_default=SqlDefault("now()"), auto_now=False, auto_now_add=False),
                ),
                ("expires_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "report_snapshots",
                "app": "sideline",
                "constraints": [
                    UniqueConstraint(fields=("team_id", "id"), name="report_snapshots_team_id_id_key"),
                    CheckConstraint(check="to_day >= from_day", name="report_snapshots_days_check"),
                ],
                "pk_attr": "id",
                "table_description": "A dashboard as its reader saw it at a moment: a table and a picture, kept for a time.",  # noqa: E501
            },
            bases=["Row"],
        ),
        ops.RunSQL([*CONSTRAINTS, *REFERENCES, *INDEXES, *WALLS]),
    ]
