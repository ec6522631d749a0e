"""Coaching plans, sessions and programs."""

from orjson import loads
from tortoise import fields, migrations
from tortoise.contrib.postgres.fields import ArrayField
from tortoise.fields.base import OnDelete
from tortoise.fields.data import JSON_DUMPS
from tortoise.fields.db_defaults import SqlDefault
from tortoise.indexes import Index
from tortoise.migrations import operations as ops

from domain.models.base import new_id
from domain.models.plan_sessions import InvitationWay, SessionState
from domain.models.plans import NoteVisibility, PlanStatus

TABLES = (
    "co_coaches coaching_invitations coaching_notes coaching_plans coaching_programs coaching_series coaching_sessions "
    "coaching_templates plan_focuses plan_items session_activities"
).split()

TEAM = "(SELECT nullif(current_setting('sideline.team', true), '')::uuid)"

NAMED = [
    f"ALTER TABLE {table} ADD CONSTRAINT {table}_team_id_id_key UNIQUE (team_id, id)"
    for table in ("coaching_plans", "coaching_programs", "coaching_series", "coaching_sessions")
]

REFERENCES = [
    f"ALTER TABLE {table} ADD CONSTRAINT {table}_{column.removesuffix('_id')}_fkey"
    f" FOREIGN KEY (team_id, {column}) REFERENCES {target} (team_id, id){rule}"
    for table, column, target, rule in (
        ("coaching_templates", "created_by_id", "users", ""),
        ("coaching_plans", "user_id", "users", ""),
        ("coaching_plans", "coach_id", "users", ""),
        ("plan_focuses", "plan_id", "coaching_plans", " ON DELETE CASCADE"),
        ("plan_items", "plan_id", "coaching_plans", " ON DELETE CASCADE"),
        ("plan_items", "done_by_id", "users", ""),
        ("coaching_notes", "plan_id", "coaching_plans", " ON DELETE CASCADE"),
        ("coaching_notes", "session_id", "coaching_sessions", " ON DELETE CASCADE"),
        ("coaching_notes", "author_id", "users", ""),
        ("co_coaches", "user_id", "users", ""),
        ("co_coaches", "plan_id", "coaching_plans", " ON DELETE CASCADE"),
        ("co_coaches", "series_id", "coaching_series", " ON DELETE CASCADE"),
        ("co_coaches", "session_id", "coaching_sessions", " ON DELETE CASCADE"),
        ("coaching_programs", "created_by_id", "users", ""),
        ("coaching_series", "user_id", "users", ""),
        ("coaching_series", "coach_id", "users", ""),
        ("coaching_series", "plan_id", "coaching_plans", ""),
        ("coaching_series", "program_id", "coaching_programs", ""),
        ("coaching_sessions", "user_id", "users", ""),
        ("coaching_sessions", "coach_id", "users", ""),
        ("coaching_sessions", "plan_id", "coaching_plans", ""),
        ("coaching_sessions", "series_id", "coaching_series", ""),
        ("session_activities", "session_id", "coaching_sessions", " ON DELETE CASCADE"),
        ("session_activities", "attached_by_id", "users", ""),
        ("coaching_invitations", "organizer_id", "users", ""),
        ("coaching_invitations", "series_id", "coaching_series", " ON DELETE CASCADE"),
        ("coaching_invitations", "session_id", "coaching_sessions", " ON DELETE CASCADE"),
        ("coaching_invitations", "integration_id", "integrations", " ON DELETE SET NULL (integration_id)"),
    )
]

RULES = [
    "ALTER TABLE coaching_plans ADD CONSTRAINT coaching_plans_coach_check CHECK (coach_id <> user_id),"
    " ADD CONSTRAINT coaching_plans_days_check CHECK (ends_on >= starts_on),"
    " ADD CONSTRAINT coaching_plans_closed_check"
    " CHECK ((closed_on IS NOT NULL) = (status IN ('COMPLETED', 'ABANDONED'))),"
    " ADD CONSTRAINT coaching_plans_title_check CHECK (length(title) > 0)",
    "ALTER TABLE plan_focuses ADD CONSTRAINT plan_focuses_metric_key UNIQUE (team_id, plan_id, metric)",
    "ALTER TABLE plan_items ADD CONSTRAINT plan_items_done_check CHECK (done_by_id IS NULL OR done_at IS NOT NULL)",
    "ALTER TABLE coaching_notes ADD CONSTRAINT coaching_notes_subject_check"
    " CHECK (num_nonnulls(plan_id, session_id) = 1)",
    "ALTER TABLE co_coaches ADD CONSTRAINT co_coaches_subject_check"
    " CHECK (num_nonnulls(plan_id, series_id, session_id) = 1)",
    "ALTER TABLE coaching_programs ADD CONSTRAINT coaching_programs_times_check"
    " CHECK (every_weeks BETWEEN 1 AND 26 AND start_minute BETWEEN 0 AND 1439 AND duration_minutes BETWEEN 5 AND 480)",
    "ALTER TABLE coaching_series ADD CONSTRAINT coaching_series_coach_check CHECK (coach_id <> user_id),"
    " ADD CONSTRAINT coaching_series_duration_check CHECK (duration_minutes BETWEEN 5 AND 480),"
    " ADD CONSTRAINT coaching_series_slot_check CHECK ((program_id IS NULL) = (program_slot IS NULL))",
    "ALTER TABLE coaching_sessions ADD CONSTRAINT coaching_sessions_coach_check CHECK (coach_id <> user_id),"
    " ADD CONSTRAINT coaching_sessions_duration_check CHECK (duration_minutes BETWEEN 5 AND 480),"
    " ADD CONSTRAINT coaching_sessions_held_check CHECK ((state = 'HELD') = (held_at IS NOT NULL)),"
    " ADD CONSTRAINT coaching_sessions_occurrence_check CHECK ((series_id IS NULL) = (occurrence_at IS NULL))",
    "ALTER TABLE session_activities ADD CONSTRAINT session_activities_key UNIQUE (team_id, session_id, activity_id)",
    "ALTER TABLE coaching_invitations ADD CONSTRAINT coaching_invitations_uid_key UNIQUE (team_id, uid),"
    " ADD CONSTRAINT coaching_invitations_subject_check CHECK (num_nonnulls(series_id, session_id) = 1)",
]

INDEXES = [
    "CREATE UNIQUE INDEX coaching_templates_name_key ON coaching_templates (team_id, lower(name))",
    "CREATE INDEX coaching_notes_plan_idx ON coaching_notes (team_id, plan_id, id) WHERE plan_id IS NOT NULL",
    "CREATE INDEX coaching_notes_session_idx ON coaching_notes (team_id, session_id, id) WHERE session_id IS NOT NULL",
    "CREATE INDEX coaching_notes_author_idx ON coaching_notes (team_id, author_id)",
    "CREATE UNIQUE INDEX co_coaches_plan_key ON co_coaches (team_id, plan_id, user_id) WHERE plan_id IS NOT NULL",
    "CREATE UNIQUE INDEX co_coaches_series_key ON co_coaches (team_id, series_id, user_id) WHERE series_id IS NOT NULL",
    "CREATE UNIQUE INDEX co_coaches_session_key ON co_coaches (team_id, session_id, user_id)"
    " WHERE session_id IS NOT NULL",
    # A program gives a rep one running series with a manager, each in a slot of its own, however often it is looked at.
    "CREATE UNIQUE INDEX coaching_series_program_key ON coaching_series (team_id, program_id, user_id)"
    " WHERE ended_on IS NULL AND program_id IS NOT NULL",
    "CREATE UNIQUE INDEX coaching_series_slot_key ON coaching_series (team_id, program_id, coach_id, program_slot)"
    " WHERE ended_on IS NULL AND program_id IS NOT NULL",
    "CREATE UNIQUE INDEX coaching_sessions_occurrence_key ON coaching_sessions (team_id, series_id, occurrence_at)"
    " WHERE series_id IS NOT NULL",
    "CREATE INDEX coaching_sessions_plan_idx ON coaching_sessions (team_id, plan_id) WHERE plan_id IS NOT NULL",
    # Of Manager View: what was held in a range.
    "CREATE INDEX coaching_sessions_held_idx ON coaching_sessions (team_id, held_at) WHERE state = 'HELD'",
    "CREATE UNIQUE INDEX coaching_invitations_series_key ON coaching_invitations (team_id, series_id)"
    " WHERE series_id IS NOT NULL",
    "CREATE UNIQUE INDEX coaching_invitations_session_key ON coaching_invitations (team_id, session_id)"
    " WHERE session_id IS NOT NULL",
    # Of the loop that looks for what is due in all teams.
    "CREATE INDEX coaching_invitations_due_idx ON coaching_invitations (due_at) WHERE delivered_sequence < sequence",
    "CREATE INDEX coaching_series_due_idx ON coaching_series (made_until)",
    "CREATE INDEX coaching_programs_due_idx ON coaching_programs (reconciled_at)"
    " WHERE ended_on IS NULL OR reconciled_at IS NULL",
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
    """Quick: all but a column of teams is new."""

    dependencies = [("sideline", "0011_film")]

    initial = False

    operations = [
        ops.CreateModel(
            name="CoCoach",
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
                ("plan_id", fields.UUIDField(null=True)),
                ("series_id", fields.UUIDField(null=True)),
                ("session_id", fields.UUIDField(null=True)),
            ],
            options={
                "table": "co_coaches",
                "app": "sideline",
                "indexes": [Index(fields=["team_id", "user_id"])],
                "pk_attr": "id",
                "table_description": "Somebody who coaches besides the coach: "
                "in a plan, in a series of sessions, or in one session.",
            },
            bases=["Row"],
        ),
        ops.CreateModel(
            name="CoachingInvitation",
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
                ("series_id", fields.UUIDField(null=True)),
                ("session_id", fields.UUIDField(null=True)),
                ("uid", fields.CharField(description="Of the calendar object, for ever", max_length=255)),
                (
                    "organizer",
                    fields.ForeignKeyField(
                        "sideline.User",
                        source_field="organizer_id",
                        db_constraint=False,
                        to_field="id",
                        related_name=False,
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("sequence", fields.IntField(db_default=0)),
                (
                    "delivered_sequence",
                    fields.IntField(description="Below 0: nothing was delivered yet", db_default=-1),
                ),
                ("withdrawn", fields.BooleanField(description="Cancelled as a whole", db_default=False)),
                (
                    "way",
                    fields.CharEnumField(
                        null=True, description="How it was last delivered", enum_type=InvitationWay, max_length=8
                    ),
                ),
                ("integration_id", fields.UUIDField(null=True, description="The calendar connection it lies in")),
                (
                    "place",
                    fields.TextField(null=True, description="Its address, or the vendor's id of it", unique=False),
                ),
                ("etag", fields.TextField(null=True, unique=False)),
                (
                    "mailed_to",
                    ArrayField(
                        description="Who was last told of it by mail",
                        db_default=SqlDefault("'{}'"),
                        element_type="TEXT",
                    ),
                ),
                ("attempts", fields.IntField(description="Since the last delivery", db_default=0)),
                (
                    "due_at",
                    fields.DatetimeField(
                        description="Not to be tried before",
                        db_default=SqlDefault("now()"),
                        auto_now=False,
                        auto_now_add=False,
                    ),
                ),
                ("last_error", fields.TextField(null=True, unique=False)),
                (
                    "created_at",
                    fields.DatetimeField(db_default=SqlDefault("now()"), auto_now=False, auto_now_add=False),
                ),
            ],
            options={
                "table": "coaching_invitations",
                "app": "sideline",
                "pk_attr": "id",
                "table_description": "The calendar object of a series or of a single session, "
                "and how far the world has been told of it.",
            },
            bases=["Row"],
        ),
        ops.CreateModel(
            name="CoachingPlan",
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
                    "coach",
                    fields.ForeignKeyField(
                        "sideline.User",
                        source_field="coach_id",
                        db_constraint=False,
                        to_field="id",
                        related_name=False,
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("title", fields.CharField(max_length=200)),
                ("agenda", fields.TextField(null=True, unique=False)),
                (
                    "status",
                    fields.CharEnumField(
                        description="DRAFT: DRAFT\nACTIVE: ACTIVE\nCOMPLETED: COMPLETED\nABANDONED: ABANDONED",
                        db_default="DRAFT",
                        enum_type=PlanStatus,
                        max_length=12,
                    ),
                ),
                (
                    "starts_on",
                    fields.DateField(
                        description="From this day on the focus metrics are `now`, the days before are before"
                    ),
                ),
                ("ends_on", fields.DateField(null=True, description="When the targets are to be reached")),
                ("closed_on", fields.DateField(null=True, description="The day it was completed or abandoned")),
                ("version", fields.IntField(db_default=1)),
                ("template_id", fields.UUIDField(null=True, description="What it was made from, for the record")),
                (
                    "created_at",
                    fields.DatetimeField(db_default=SqlDefault("now()"), auto_now=False, auto_now_add=False),
                ),
                (
                    "changed_at",
                    fields.DatetimeField(db_default=SqlDefault("now()"), auto_now=False, auto_now_add=False),
                ),
            ],
            options={
                "table": "coaching_plans",
                "app": "sideline",
                "indexes": [Index(fields=["team_id", "user_id", "id"]), Index(fields=["team_id", "coach_id", "id"])],
                "pk_attr": "id",
                "table_description": "What a rep and a coach have agreed to work at.",
            },
            bases=["Row"],
        ),
        ops.CreateModel(
            name="CoachingNote",
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
                    "plan",
                    fields.ForeignKeyField(
                        "sideline.CoachingPlan",
                        source_field="plan_id",
                        null=True,
                        db_constraint=False,
                        to_field="id",
                        related_name=False,
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("session_id", fields.UUIDField(null=True)),
                (
                    "author",
                    fields.ForeignKeyField(
                        "sideline.User",
                        source_field="author_id",
                        db_constraint=False,
                        to_field="id",
                        related_name=False,
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                (
                    "visibility",
                    fields.CharEnumField(
                        description="SHARED: SHARED\nPRIVATE: PRIVATE", enum_type=NoteVisibility, max_length=8
                    ),
                ),
                ("body", fields.TextField(unique=False)),
                (
                    "created_at",
                    fields.DatetimeField(db_default=SqlDefault("now()"), auto_now=False, auto_now_add=False),
                ),
                ("edited_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "coaching_notes",
                "app": "sideline",
                "pk_attr": "id",
                "table_description": "What somebody wrote down of a plan or of a session.",
            },
            bases=["Row"],
        ),
        ops.CreateModel(
            name="CoachingProgram",
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
                ("name", fields.CharField(max_length=200)),
                ("agenda", fields.TextField(null=True, unique=False)),
                ("manager_ids", ArrayField(db_default=SqlDefault("'{}'"), element_type="UUID")),
                ("every_weeks", fields.SmallIntField(db_default=1)),
                (
                    "first_day",
                    fields.DateField(description="Effective from; the first one-on-ones are on this weekday"),
                ),
                (
                    "start_minute",
                    fields.SmallIntField(
                        description="After local midnight, of a manager's first one-on-one of the day"
                    ),
                ),
                ("duration_minutes", fields.SmallIntField()),
                ("timezone", fields.CharField(max_length=64)),
                ("ended_on", fields.DateField(null=True, description="The last day that counted")),
                (
                    "generation",
                    fields.IntField(description="Grows with every change of what it asks for", db_default=1),
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
                    "created_at",
                    fields.DatetimeField(db_default=SqlDefault("now()"), auto_now=False, auto_now_add=False),
                ),
                (
                    "reconciled_at",
                    fields.DatetimeField(
                        null=True, description="When reports were last looked for", auto_now=False, auto_now_add=False
                    ),
                ),
            ],
            options={
                "table": "coaching_programs",
                "app": "sideline",
                "pk_attr": "id",
                "table_description": "One-on-ones for every report of some managers, for as long as they are reports.",
            },
            bases=["Row"],
        ),
        ops.CreateModel(
            name="CoachingSeries",
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
                    "coach",
                    fields.ForeignKeyField(
                        "sideline.User",
                        source_field="coach_id",
                        db_constraint=False,
                        to_field="id",
                        related_name=False,
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("plan_id", fields.UUIDField(null=True)),
                ("program_id", fields.UUIDField(null=True)),
                (
                    "program_slot",
                    fields.SmallIntField(null=True, description="Which of the manager's one-on-ones it is, from 0"),
                ),
                ("title", fields.CharField(max_length=200)),
                ("agenda", fields.TextField(null=True, unique=False)),
                ("rule", fields.CharField(description="The value of an RRULE, without UNTIL", max_length=500)),
                (
                    "timezone",
                    fields.CharField(description="IANA name; the wall clock of the one-on-ones", max_length=64),
                ),
                (
                    "first_local",
                    fields.CharField(description="Wall clock of the first start: 2026-11-02T10:00:00", max_length=19),
                ),
                ("duration_minutes", fields.SmallIntField()),
                (
                    "ended_on",
                    fields.DateField(
                        null=True, description="The last local day that may have one; null while it goes on"
                    ),
                ),
                (
                    "made_until",
                    fields.DatetimeField(
                        null=True, description="Its sessions are rows up to here", auto_now=False, auto_now_add=False
                    ),
                ),
                (
                    "created_at",
                    fields.DatetimeField(db_default=SqlDefault("now()"), auto_now=False, auto_now_add=False),
                ),
            ],
            options={
                "table": "coaching_series",
                "app": "sideline",
                "indexes": [Index(fields=["team_id", "user_id"]), Index(fields=["team_id", "coach_id"])],
                "pk_attr": "id",
                "table_description": "A one-on-one that recurs.",
            },
            bases=["Row"],
        ),
        ops.CreateModel(
            name="CoachingSession",
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
                    "coach",
                    fields.ForeignKeyField(
                        "sideline.User",
                        source_field="coach_id",
                        db_constraint=False,
                        to_field="id",
                        related_name=False,
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                (
                    "plan",
                    fields.ForeignKeyField(
                        "sideline.CoachingPlan",
                        source_field="plan_id",
                        null=True,
                        db_constraint=False,
                        to_field="id",
                        related_name=False,
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                (
                    "series",
                    fields.ForeignKeyField(
                        "sideline.CoachingSeries",
                        source_field="series_id",
                        null=True,
                        db_constraint=False,
                        to_field="id",
                        related_name=False,
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                (
                    "occurrence_at",
                    fields.DatetimeField(
                        null=True, description="When the series' rule would have it", auto_now=False, auto_now_add=False
                    ),
                ),
                ("title", fields.CharField(max_length=200)),
                ("agenda", fields.TextField(null=True, unique=False)),
                ("starts_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ("duration_minutes", fields.SmallIntField()),
                (
                    "state",
                    fields.CharEnumField(
                        description="PLANNED: PLANNED\nRESCHEDULED: RESCHEDULED\nHELD: HELD\nCANCELLED: CANCELLED\n"
                        "MISSED: MISSED",
                        db_default="PLANNED",
                        enum_type=SessionState,
                        max_length=12,
                    ),
                ),
                (
                    "held_at",
                    fields.DatetimeField(
                        null=True, description="When it took place", auto_now=False, auto_now_add=False
                    ),
                ),
                ("rescheduled_count", fields.IntField(db_default=0)),
                ("version", fields.IntField(db_default=1)),
                (
                    "created_at",
                    fields.DatetimeField(db_default=SqlDefault("now()"), auto_now=False, auto_now_add=False),
                ),
                (
                    "changed_at",
                    fields.DatetimeField(db_default=SqlDefault("now()"), auto_now=False, auto_now_add=False),
                ),
            ],
            options={
                "table": "coaching_sessions",
                "app": "sideline",
                "indexes": [
                    Index(fields=["team_id", "user_id", "starts_at", "id"]),
                    Index(fields=["team_id", "coach_id", "starts_at", "id"]),
                ],
                "pk_attr": "id",
                "table_description": "A rep and a coach sit down together.",
            },
            bases=["Row"],
        ),
        ops.CreateModel(
            name="CoachingTemplate",
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
                ("name", fields.CharField(max_length=200)),
                ("agenda", fields.TextField(null=True, unique=False)),
                (
                    "focus",
                    fields.JSONField(
                        description="Metric and target, in their order",
                        db_default=SqlDefault("'[]'"),
                        encoder=JSON_DUMPS,
                        decoder=loads,
                    ),
                ),
                (
                    "items",
                    fields.JSONField(
                        description="Title and days after the start, in their order",
                        db_default=SqlDefault("'[]'"),
                        encoder=JSON_DUMPS,
                        decoder=loads,
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
                    "created_at",
                    fields.DatetimeField(db_default=SqlDefault("now()"), auto_now=False, auto_now_add=False),
                ),
                (
                    "changed_at",
                    fields.DatetimeField(db_default=SqlDefault("now()"), auto_now=False, auto_now_add=False),
                ),
            ],
            options={
                "table": "coaching_templates",
                "app": "sideline",
                "pk_attr": "id",
                "table_description": "What plans of one sort begin with.",
            },
            bases=["Row"],
        ),
        ops.CreateModel(
            name="PlanFocus",
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
                    "plan",
                    fields.ForeignKeyField(
                        "sideline.CoachingPlan",
                        source_field="plan_id",
                        db_constraint=False,
                        to_field="id",
                        related_name=False,
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("metric", fields.CharField(max_length=40)),
                (
                    "target",
                    fields.DecimalField(
                        null=True,
                        description="A quotient's value; of a plain sum, per working week",
                        max_digits=20,
                        decimal_places=6,
                    ),
                ),
                ("position", fields.SmallIntField()),
            ],
            options={
                "table": "plan_focuses",
                "app": "sideline",
                "pk_attr": "id",
                "table_description": "A metric that a plan is about.",
            },
            bases=["Row"],
        ),
        ops.CreateModel(
            name="PlanItem",
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
                    "plan",
                    fields.ForeignKeyField(
                        "sideline.CoachingPlan",
                        source_field="plan_id",
                        db_constraint=False,
                        to_field="id",
                        related_name=False,
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("title", fields.CharField(max_length=500)),
                ("due_on", fields.DateField(null=True)),
                ("done_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                (
                    "done_by",
                    fields.ForeignKeyField(
                        "sideline.User",
                        source_field="done_by_id",
                        null=True,
                        db_constraint=False,
                        to_field="id",
                        related_name=False,
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                (
                    "created_at",
                    fields.DatetimeField(db_default=SqlDefault("now()"), auto_now=False, auto_now_add=False),
                ),
            ],
            options={
                "table": "plan_items",
                "app": "sideline",
                "indexes": [Index(fields=["team_id", "plan_id", "id"])],
                "pk_attr": "id",
                "table_description": "Something that is to be done within a plan.",
            },
            bases=["Row"],
        ),
        ops.CreateModel(
            name="SessionActivity",
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
                    "session",
                    fields.ForeignKeyField(
                        "sideline.CoachingSession",
                        source_field="session_id",
                        db_constraint=False,
                        to_field="id",
                        related_name=False,
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("activity_id", fields.UUIDField(description="No key holds it: what is removed is shown no more")),
                (
                    "attached_by",
                    fields.ForeignKeyField(
                        "sideline.User",
                        source_field="attached_by_id",
                        null=True,
                        db_constraint=False,
                        to_field="id",
                        related_name=False,
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                (
                    "created_at",
                    fields.DatetimeField(db_default=SqlDefault("now()"), auto_now=False, auto_now_add=False),
                ),
            ],
            options={
                "table": "session_activities",
                "app": "sideline",
                "pk_attr": "id",
                "table_description": "Film that a session is about.",
            },
            bases=["Row"],
        ),
        ops.AddField(
            model_name="Team",
            name="executive_visibility",
            field=fields.BooleanField(description="Admins see coaching sessions", db_default=False),
        ),
        ops.RunSQL([*NAMED, *REFERENCES, *RULES, *INDEXES, *WALLS]),
    ]
