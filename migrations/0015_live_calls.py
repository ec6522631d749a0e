"""Live calls, who listens in, notes, and the dialers that tell of the calls."""

from orjson import loads
from tortoise import fields, migrations
from tortoise.fields.base import OnDelete
from tortoise.fields.data import JSON_DUMPS
from tortoise.fields.db_defaults import SqlDefault
from tortoise.indexes import Index
from tortoise.migrations import operations as ops
from tortoise.migrations.constraints import CheckConstraint, UniqueConstraint

from domain.models.base import new_id
from domain.models.live_calls import (
    CallDirection,
    ConsentRule,
    JoinMode,
    LiveCallState,
    ParticipantState,
    TelephonyKind,
)

TABLES = (
    "dialers dialer_messages live_calls live_call_heads live_call_notes live_call_participants live_call_settings"
).split()
TEAM = "(SELECT nullif(current_setting('sideline.team', true), '')::uuid)"

RULES = [
    "ALTER TABLE dialers ADD CONSTRAINT dialers_team_id_id_key UNIQUE (team_id, id)",
    "CREATE UNIQUE INDEX dialers_name_key ON dialers (team_id, name) WHERE removed_at IS NULL",
    "ALTER TABLE dialer_messages ADD CONSTRAINT dialer_messages_key UNIQUE (team_id, dialer_id, message_id)",
    "ALTER TABLE live_calls ADD CONSTRAINT live_calls_team_id_id_key UNIQUE (team_id, id),"
    " ADD CONSTRAINT live_calls_external_key UNIQUE (team_id, dialer_id, external_id),"
    " ADD CONSTRAINT live_calls_ended_check CHECK ((state = 'ENDED') = (ended_at IS NOT NULL))",
    "ALTER TABLE live_call_heads ADD CONSTRAINT live_call_heads_team_id_key UNIQUE (team_id)",
    "ALTER TABLE live_call_notes ADD CONSTRAINT live_call_notes_at_second_check CHECK (at_second >= 0)",
    "ALTER TABLE live_call_participants"
    " ADD CONSTRAINT live_call_participants_key UNIQUE (team_id, call_id, user_id),"
    " ADD CONSTRAINT live_call_participants_version_check CHECK (carried_version <= version)",
    "ALTER TABLE live_call_settings ADD CONSTRAINT live_call_settings_team_id_key UNIQUE (team_id),"
    " ADD CONSTRAINT live_call_settings_check CHECK (listeners_per_call BETWEEN 0 AND 50 AND listeners_per_team"
    " BETWEEN 0 AND 5000 AND keep_days BETWEEN 1 AND 3650)",
]

REFERENCES = [
    *(
        f"ALTER TABLE {table} ADD CONSTRAINT {table}_{column.removesuffix('_id')}_fkey"
        f" FOREIGN KEY (team_id, {column}) REFERENCES {target} (team_id, id){rule}"
        for table, column, target, rule in (
            ("dialer_messages", "dialer_id", "dialers", " ON DELETE CASCADE"),
            ("live_calls", "dialer_id", "dialers", ""),
            ("live_calls", "user_id", "users", ""),
            ("live_call_participants", "call_id", "live_calls", " ON DELETE CASCADE"),
            ("live_call_participants", "user_id", "users", ""),
            ("live_call_notes", "call_id", "live_calls", " ON DELETE CASCADE"),
            ("live_call_notes", "author_id", "users", ""),
        )
    ),
    # A manager is on one call at a time.
    "CREATE UNIQUE INDEX live_call_participants_one_call_key ON live_call_participants (team_id, user_id)"
    " WHERE state IN ('REQUESTED', 'CONNECTED')",
    # Questions of the workers, over all teams: what is to be carried out, looked at, ended?
    "CREATE INDEX live_call_participants_due_idx ON live_call_participants (due_at)"
    " WHERE carried_version < version AND state IN ('REQUESTED', 'CONNECTED', 'LEAVING')",
    "CREATE INDEX live_calls_look_idx ON live_calls (look_at) WHERE look_at IS NOT NULL",
    "CREATE INDEX live_calls_lease_idx ON live_calls (leased_until) WHERE state <> 'ENDED'",
    "CREATE INDEX live_calls_live_idx ON live_calls (team_id, started_at, id) WHERE state <> 'ENDED'",
    "CREATE INDEX live_calls_ended_idx ON live_calls (team_id, ended_at) WHERE state = 'ENDED'",
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
    dependencies = [("sideline", "0014_actions")]

    initial = False

    operations = [
        ops.CreateModel(
            name="Dialer",
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
                ("name", fields.CharField(max_length=100)),
                (
                    "telephony",
                    fields.CharEnumField(
                        description="NONE: NONE\nTWILIO: TWILIO\nLOOPBACK: LOOPBACK",
                        db_default="NONE",
                        enum_type=TelephonyKind,
                        max_length=8,
                    ),
                ),
                ("secret", fields.BinaryField(description="Encrypted; signs what the dialer sends")),
                (
                    "previous_secret",
                    fields.BinaryField(null=True, description="Encrypted; still signs until `previous_until`"),
                ),
                ("previous_until", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ("account", fields.BinaryField(null=True, description="Encrypted: the telephony provider's account")),
                ("account_name", fields.CharField(null=True, description="What may be shown of it", max_length=100)),
                (
                    "last_event_at",
                    fields.DatetimeField(
                        null=True,
                        description="When it was last heard of, to the minute",
                        auto_now=False,
                        auto_now_add=False,
                    ),
                ),
                (
                    "created_at",
                    fields.DatetimeField(db_default=SqlDefault("now()"), auto_now=False, auto_now_add=False),
                ),
                (
                    "removed_at",
                    fields.DatetimeField(
                        null=True,
                        description="It is not listened to any more; the row goes with its last call",
                        auto_now=False,
                        auto_now_add=False,
                    ),
                ),
            ],
            options={
                "table": "dialers",
                "app": "sideline",
                "constraints": [UniqueConstraint(fields=("team_id", "id"), name="dialers_team_id_id_key")],
                "pk_attr": "id",
                "table_description": "A system that tells of a team's calls by signed "
                "webhooks, and who lets managers onto them.",
            },
            bases=["Row"],
        ),
        ops.CreateModel(
            name="DialerMessage",
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
                    "dialer",
                    fields.ForeignKeyField(
                        "sideline.Dialer",
                        source_field="dialer_id",
                        db_constraint=False,
                        to_field="id",
                        related_name=False,
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("message_id", fields.CharField(description="The header webhook-id", max_length=200)),
                ("digest", fields.BinaryField(description="SHA-256 of the body")),
            ],
            options={
                "table": "dialer_messages",
                "app": "sideline",
                "constraints": [
                    UniqueConstraint(fields=("team_id", "dialer_id", "message_id"), name="dialer_messages_key")
                ],
                "pk_attr": "id",
                "table_description": "A message that was taken in: the same id again is a repeat.",
            },
            bases=["Row"],
        ),
        ops.CreateModel(
            name="LiveCall",
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
                    "dialer",
                    fields.ForeignKeyField(
                        "sideline.Dialer",
                        source_field="dialer_id",
                        db_constraint=False,
                        to_field="id",
                        related_name=False,
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("external_id", fields.CharField(max_length=255)),
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
                    "state",
                    fields.CharEnumField(
                        description="RINGING: RINGING\nIN_PROGRESS: IN_PROGRESS\nENDED: ENDED",
                        enum_type=LiveCallState,
                        max_length=12,
                    ),
                ),
                (
                    "direction",
                    fields.CharEnumField(
                        null=True,
                        description="INBOUND: INBOUND\nOUTBOUND: OUTBOUND",
                        enum_type=CallDirection,
                        max_length=8,
                    ),
                ),
                ("counterpart", fields.CharField(null=True, max_length=200)),
                ("user_jurisdiction", fields.CharField(null=True, max_length=10)),
                ("counterpart_jurisdiction", fields.CharField(null=True, max_length=10)),
                (
                    "conference",
                    fields.CharField(null=True, description="What the telephony provider calls it", max_length=255),
                ),
                (
                    "user_leg",
                    fields.CharField(null=True, description="The rep's own leg at the provider", max_length=255),
                ),
                ("started_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ("answered_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ("ended_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ("end_reason", fields.CharField(null=True, max_length=40)),
                (
                    "leased_until",
                    fields.DatetimeField(
                        description="A call of which nothing is heard until then has ended",
                        auto_now=False,
                        auto_now_add=False,
                    ),
                ),
                ("facts", fields.JSONField(description="What the events said", encoder=JSON_DUMPS, decoder=loads)),
                (
                    "change",
                    fields.BigIntField(
                        description="Grows with each change that can be seen, by live_call_heads", db_default=0
                    ),
                ),
                (
                    "look_at",
                    fields.DatetimeField(
                        null=True,
                        description="When who is on the line is next held against the rows",
                        auto_now=False,
                        auto_now_add=False,
                    ),
                ),
            ],
            options={
                "table": "live_calls",
                "app": "sideline",
                "constraints": [
                    UniqueConstraint(fields=("team_id", "id"), name="live_calls_team_id_id_key"),
                    UniqueConstraint(fields=("team_id", "dialer_id", "external_id"), name="live_calls_external_key"),
                    CheckConstraint(check="(state = 'ENDED') = (ended_at IS NOT NULL)", name="live_calls_ended_check"),
                ],
                "indexes": [
                    Index(fields=["team_id", "change"]),
                    Index(fields=["team_id", "user_id", "started_at"]),
                    Index(fields=["team_id", "started_at", "id"]),
                ],
                "pk_attr": "id",
                "table_description": "A call as its dialer's events tell of it. `facts` is all "
                "that they said, whatever their order; the rest follows",
            },
            bases=["Row"],
        ),
        ops.CreateModel(
            name="LiveCallHead",
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
                ("position", fields.BigIntField(db_default=0)),
            ],
            options={
                "table": "live_call_heads",
                "app": "sideline",
                "constraints": [UniqueConstraint(fields=("team_id",), name="live_call_heads_team_id_key")],
                "pk_attr": "id",
                "table_description": "Where a team's changes of live calls end. Its "
                "row lock puts them in the order of commits.",
            },
            bases=["Row"],
        ),
        ops.CreateModel(
            name="LiveCallNote",
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
                    "call",
                    fields.ForeignKeyField(
                        "sideline.LiveCall",
                        source_field="call_id",
                        db_constraint=False,
                        to_field="id",
                        related_name=False,
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
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
                ("at_second", fields.IntField(description="Into the call")),
                ("text", fields.TextField(unique=False)),
                ("private", fields.BooleanField(description="The author's alone", db_default=False)),
                (
                    "created_at",
                    fields.DatetimeField(db_default=SqlDefault("now()"), auto_now=False, auto_now_add=False),
                ),
            ],
            options={
                "table": "live_call_notes",
                "app": "sideline",
                "constraints": [CheckConstraint(check="at_second >= 0", name="live_call_notes_at_second_check")],
                "indexes": [
                    Index(fields=["team_id", "call_id", "at_second", "id"]),
                    Index(fields=["team_id", "author_id", "id"]),
                ],
                "pk_attr": "id",
                "table_description": "A note on a moment of a call.",
            },
            bases=["Row"],
        ),
        ops.CreateModel(
            name="LiveCallParticipant",
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
                    "call",
                    fields.ForeignKeyField(
                        "sideline.LiveCall",
                        source_field="call_id",
                        db_constraint=False,
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
                    "mode",
                    fields.CharEnumField(
                        description="LISTEN: LISTEN\nWHISPER: WHISPER\nBARGE: BARGE", enum_type=JoinMode, max_length=8
                    ),
                ),
                (
                    "state",
                    fields.CharEnumField(
                        description="REQUESTED: REQUESTED\nCONNECTED: CONNECTED"
                        "\nLEAVING: LEAVING\nLEFT: LEFT\nFAILED: FAILED",
                        enum_type=ParticipantState,
                        max_length=12,
                    ),
                ),
                ("consent_acknowledged", fields.BooleanField(db_default=False)),
                (
                    "address",
                    fields.CharField(
                        null=True, description="Where the manager is rung; gone once they left", max_length=128
                    ),
                ),
                ("version", fields.BigIntField(description="Of what is wanted", db_default=1)),
                ("carried_version", fields.BigIntField(description="Up to which it was carried out", db_default=0)),
                (
                    "carried_at",
                    fields.DatetimeField(null=True, description="When that was", auto_now=False, auto_now_add=False),
                ),
                ("leg", fields.CharField(null=True, description="The provider's id of the last leg", max_length=255)),
                (
                    "requested_at",
                    fields.DatetimeField(db_default=SqlDefault("now()"), auto_now=False, auto_now_add=False),
                ),
                (
                    "joined_at",
                    fields.DatetimeField(
                        null=True, description="When they were on the line", auto_now=False, auto_now_add=False
                    ),
                ),
                ("left_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ("reason", fields.CharField(null=True, description="Why they left or could not join", max_length=200)),
                (
                    "seen_until",
                    fields.DatetimeField(
                        null=True,
                        description="Who is not seen on the line until then has left",
                        auto_now=False,
                        auto_now_add=False,
                    ),
                ),
                (
                    "due_at",
                    fields.DatetimeField(
                        description="Not carried out before",
                        db_default=SqlDefault("now()"),
                        auto_now=False,
                        auto_now_add=False,
                    ),
                ),
                ("attempts", fields.IntField(db_default=0)),
                ("holder", fields.CharField(null=True, max_length=100)),
                ("leased_until", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ("fence", fields.BigIntField(description="Grows with every claim", db_default=0)),
            ],
            options={
                "table": "live_call_participants",
                "app": "sideline",
                "constraints": [
                    UniqueConstraint(fields=("team_id", "call_id", "user_id"), name="live_call_participants_key"),
                    CheckConstraint(check="carried_version <= version", name="live_call_participants_version_check"),
                ],
                "pk_attr": "id",
                "table_description": "A manager's place on a call; one a manager "
                "and call, however often they come and go.",
            },
            bases=["Row"],
        ),
        ops.CreateModel(
            name="LiveCallSettings",
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
                ("listeners_per_call", fields.SmallIntField(db_default=3)),
                ("listeners_per_team", fields.SmallIntField(db_default=50)),
                (
                    "keep_days",
                    fields.IntField(description="Days for which ended calls and their notes are kept", db_default=30),
                ),
                (
                    "jurisdictions",
                    fields.JSONField(
                        description="By code: rule and banner",
                        db_default=SqlDefault("'{}'"),
                        encoder=JSON_DUMPS,
                        decoder=loads,
                    ),
                ),
                (
                    "unknown_rule",
                    fields.CharEnumField(
                        description="ONE_PARTY: ONE_PARTY\nALL_PARTY: ALL_PARTY\nFORBIDDEN: FORBIDDEN",
                        db_default="ALL_PARTY",
                        enum_type=ConsentRule,
                        max_length=10,
                    ),
                ),
                ("unknown_banner", fields.CharField(null=True, max_length=500)),
            ],
            options={
                "table": "live_call_settings",
                "app": "sideline",
                "constraints": [
                    UniqueConstraint(fields=("team_id",), name="live_call_settings_team_id_key"),
                    CheckConstraint(
                        check="listeners_per_call BETWEEN 0 AND 50 AND listeners_per_team "
                        "BETWEEN 0 AND 5000 AND keep_days BETWEEN 1 AND 3650",
                        name="live_call_settings_check",
                    ),
                ],
                "pk_attr": "id",
                "table_description": "How a team uses the studio; a team without a row has the defaults.",
            },
            bases=["Row"],
        ),
        ops.RunSQL([*RULES, *REFERENCES, *WALLS]),
    ]
