"""What is due at a time: scheduled actions, how each occurrence ended, and what they send and keep."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar
from uuid import UUID

from tortoise import fields
from tortoise.contrib.postgres.fields import ArrayField
from tortoise.fields.db_defaults import SqlDefault
from tortoise.migrations.constraints import CheckConstraint, UniqueConstraint

from domain.models.base import Row, created_now
from domain.models.jobs import JobState
from domain.models.people import User
from domain.models.teams import Team


class CatchUp(StrEnum):
    """What becomes of occurrences that fell due while nothing ran."""

    RUN_ONCE = "RUN_ONCE"
    RUN_ALL = "RUN_ALL"
    SKIP = "SKIP"


class MessageChannel(StrEnum):
    """How a message goes out."""

    MAIL = "MAIL"
    WEBHOOK = "WEBHOOK"


class MessageState(StrEnum):
    """Where a message stands."""

    WAITING = "WAITING"
    SENT = "SENT"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


class ScheduledAction(Row):
    """Something due at a time, once or by a rule; the row holds the occurrence that comes next."""

    team_id: UUID
    team: fields.ForeignKeyRelation[Team] = fields.ForeignKeyField("sideline.Team", related_name=False)
    kind = fields.CharField(max_length=40)
    key = fields.CharField(max_length=255, description="Two actions of a team with one key are one action")
    title = fields.CharField(max_length=300)
    user_id: UUID | None
    user: fields.ForeignKeyNullableRelation[User] = fields.ForeignKeyField(
        "sideline.User", related_name=False, null=True, db_constraint=False
    )
    created_by_id: UUID | None
    created_by: fields.ForeignKeyNullableRelation[User] = fields.ForeignKeyField(
        "sideline.User", related_name=False, null=True, db_constraint=False
    )
    source = fields.CharField(
        max_length=100, null=True, description="The system that reports it; no worker carries such an action out"
    )
    revision = fields.BigIntField(db_default=0, description="Of what the source reported: microseconds since 1970")
    arguments: fields.Field[dict[str, object]] = fields.JSONField(db_default=SqlDefault("'{}'"))
    starts_at = fields.DatetimeField(description="The first occurrence: the rule's own start")
    starts_local = fields.CharField(
        max_length=19, null=True, description="That by the wall clock, of what recurs: it stays when a zone changes"
    )
    recurrence = fields.CharField(max_length=500, null=True, description="RRULE of RFC 5545; null: once")
    timezone = fields.CharField(max_length=64, null=True, description="IANA name; null: the team's")
    catch_up = fields.CharEnumField(CatchUp, max_length=8, db_default="RUN_ONCE")
    occurrence = fields.IntField(db_default=1, description="The number of the one that comes next")
    planned_at = fields.DatetimeField(description="When the rule has it; the next one is worked out from here")
    due_at = fields.DatetimeField(description="When it is due: as planned, or as somebody moved or snoozed it")
    run_at = fields.DatetimeField(description="When a worker takes it: when due, or later after a failed attempt")
    extra = fields.BooleanField(db_default=False, description="Run by hand, beside the rule")
    state = fields.CharEnumField(JobState, max_length=12, db_default="SCHEDULED")
    paused_at = fields.DatetimeField(null=True, description="Nothing is carried out while it is set")
    attempts = fields.IntField(db_default=0, description="Of the occurrence that comes next")
    last_error = fields.TextField(null=True)
    lease_holder = fields.CharField(max_length=100, null=True)
    leased_until = fields.DatetimeField(null=True)
    fence = fields.BigIntField(db_default=0, description="Grows with every claim and with every change by hand")
    created_at = fields.DatetimeField(db_default=created_now())
    ended_at = fields.DatetimeField(null=True, description="When the last occurrence ended")

    class Meta:
        table = "scheduled_actions"
        constraints: ClassVar = [
            UniqueConstraint(("team_id", "id"), "scheduled_actions_team_id_id_key"),
            UniqueConstraint(("team_id", "key"), "scheduled_actions_key"),
            CheckConstraint("attempts >= 0 AND occurrence > 0", "scheduled_actions_counts_check"),
            CheckConstraint(
                "(state = 'RUNNING') = (lease_holder IS NOT NULL) AND (lease_holder IS NULL) = (leased_until IS NULL)",
                "scheduled_actions_lease_check",
            ),
            CheckConstraint(
                "(state IN ('SCHEDULED', 'RUNNING')) = (ended_at IS NULL)", "scheduled_actions_ended_check"
            ),
        ]


class ActionRun(Row):
    """How an occurrence ended, or several that were passed over together: at most one row for each number."""

    team_id: UUID
    team: fields.ForeignKeyRelation[Team] = fields.ForeignKeyField("sideline.Team", related_name=False)
    action_id: UUID
    action: fields.ForeignKeyRelation[ScheduledAction] = fields.ForeignKeyField(
        "sideline.ScheduledAction", related_name=False, db_constraint=False
    )
    occurrence = fields.IntField()
    occurrences = fields.IntField(db_default=1, description="How many, from this one on, ended so")
    due_at = fields.DatetimeField()
    state = fields.CharEnumField(JobState, max_length=12)
    attempts = fields.IntField()
    error = fields.TextField(null=True, description="Why it did not succeed")
    ended_at = fields.DatetimeField(db_default=SqlDefault("clock_timestamp()"))

    class Meta:
        table = "action_runs"
        constraints: ClassVar = [
            UniqueConstraint(("team_id", "action_id", "occurrence"), "action_runs_key"),
            CheckConstraint("occurrence > 0 AND occurrences > 0 AND attempts >= 0", "action_runs_counts_check"),
            CheckConstraint("state IN ('SUCCEEDED', 'FAILED', 'CANCELLED', 'MISSED')", "action_runs_state_check"),
        ]


class OutgoingMessage(Row):
    """A mail or a signed webhook that is to go out: written in the transaction that wants it, sent after it."""

    team_id: UUID
    team: fields.ForeignKeyRelation[Team] = fields.ForeignKeyField("sideline.Team", related_name=False)
    key = fields.CharField(max_length=255, description="Two messages of a team with one key are one message")
    channel = fields.CharEnumField(MessageChannel, max_length=8)
    user_id: UUID | None
    user: fields.ForeignKeyNullableRelation[User] = fields.ForeignKeyField(
        "sideline.User", related_name=False, null=True, db_constraint=False
    )
    action_id: UUID | None
    action: fields.ForeignKeyNullableRelation[ScheduledAction] = fields.ForeignKeyField(
        "sideline.ScheduledAction", related_name=False, null=True, db_constraint=False
    )
    occurrence = fields.IntField(null=True)
    address = fields.CharField(max_length=320, null=True, description="Of a mail; null: the user's own")
    endpoint_id = fields.UUIDField(null=True, description="The webhook endpoint that it goes to")
    template = fields.CharField(
        max_length=40, null=True, description="What is written when it is sent, as its reader may see it then"
    )
    content: fields.Field[dict[str, object]] = fields.JSONField(
        db_default=SqlDefault("'{}'"), description="What the template needs, or the message itself; empty once ended"
    )
    state = fields.CharEnumField(MessageState, max_length=10, db_default="WAITING")
    attempts = fields.IntField(db_default=0)
    due_at = fields.DatetimeField(db_default=created_now())
    last_error = fields.TextField(null=True)
    lease_holder = fields.CharField(max_length=100, null=True)
    leased_until = fields.DatetimeField(null=True)
    fence = fields.BigIntField(db_default=0)
    created_at = fields.DatetimeField(db_default=created_now())
    ended_at = fields.DatetimeField(null=True)

    class Meta:
        table = "outgoing_messages"
        constraints: ClassVar = [
            UniqueConstraint(("team_id", "key"), "outgoing_messages_key"),
            CheckConstraint("(lease_holder IS NULL) = (leased_until IS NULL)", "outgoing_messages_lease_check"),
            CheckConstraint("(state = 'WAITING') = (ended_at IS NULL)", "outgoing_messages_ended_check"),
            CheckConstraint("attempts >= 0", "outgoing_messages_attempts_check"),
        ]


class ReportSnapshot(Row):
    """A dashboard as its reader saw it at a moment: a table and a picture, kept for a time."""

    team_id: UUID
    team: fields.ForeignKeyRelation[Team] = fields.ForeignKeyField("sideline.Team", related_name=False)
    user_id: UUID
    user: fields.ForeignKeyRelation[User] = fields.ForeignKeyField(
        "sideline.User", related_name=False, db_constraint=False
    )
    action_id: UUID | None
    action: fields.ForeignKeyNullableRelation[ScheduledAction] = fields.ForeignKeyField(
        "sideline.ScheduledAction", related_name=False, null=True, db_constraint=False
    )
    title = fields.CharField(max_length=300)
    from_day = fields.DateField()
    to_day = fields.DateField(description="Inclusive")
    whole_team = fields.BooleanField(description="Made with everybody in sight")
    subjects = ArrayField(
        element_type="uuid", db_default=SqlDefault("'{}'"), description="Whose numbers are in it; empty for all"
    )
    table_csv = fields.BinaryField()
    picture_png = fields.BinaryField()
    created_at = fields.DatetimeField(db_default=created_now())
    expires_at = fields.DatetimeField()

    class Meta:
        table = "report_snapshots"
        constraints: ClassVar = [
            UniqueConstraint(("team_id", "id"), "report_snapshots_team_id_id_key"),
            CheckConstraint("to_day >= from_day", "report_snapshots_days_check"),
        ]
