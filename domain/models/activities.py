"""What reps did: one row an activity, typed columns for each kind."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar
from uuid import UUID

from tortoise import fields

from domain.models.base import Row, created_now
from domain.models.people import User
from domain.models.teams import Team


class ActivityKind(StrEnum):
    """The kinds of activities."""

    EMAIL = "email"
    CALL = "call"
    MEETING = "meeting"
    CONVERSATION = "conversation"
    CADENCE_STEP = "cadence_step"
    OPPORTUNITY = "opportunity"
    TASK = "task"


class MeetingStatus(StrEnum):
    """What became of a meeting."""

    BOOKED = "booked"
    HELD = "held"
    CANCELLED = "cancelled"
    NO_SHOW = "no_show"


class StepStatus(StrEnum):
    """What became of a cadence step; `added` is the day a person entered the cadence."""

    ADDED = "added"
    COMPLETED = "completed"
    OVERDUE = "overdue"
    SKIPPED = "skipped"


class Activity(Row):
    """One thing that happened. Partitioned by the year of `occurred_at`.

    Columns that do not belong to the kind are null; the database checks it.
    """

    team_id: UUID
    team: fields.ForeignKeyRelation[Team] = fields.ForeignKeyField("sideline.Team", related_name=False)
    user_id: UUID
    user: fields.ForeignKeyRelation[User] = fields.ForeignKeyField("sideline.User", related_name=False)
    kind = fields.CharEnumField(ActivityKind, max_length=16)
    occurred_at = fields.DatetimeField()
    source = fields.CharField(max_length=100)
    external_id = fields.CharField(max_length=255)
    name = fields.TextField(null=True, description="Subject, title or name")
    body_stored = fields.BooleanField(null=True, description="An email's body lies in email_bodies")
    bounced = fields.BooleanField(null=True)
    open_count = fields.IntField(null=True)
    replied_at = fields.DatetimeField(null=True)
    cadence = fields.TextField(null=True)
    step = fields.IntField(null=True)
    duration_seconds = fields.IntField(null=True)
    connected = fields.BooleanField(null=True)
    disposition = fields.TextField(null=True)
    sentiment = fields.TextField(null=True)
    starts_at = fields.DatetimeField(null=True)
    ends_at = fields.DatetimeField(null=True)
    status = fields.CharField(max_length=16, null=True)
    rescheduled_count = fields.IntField(null=True)
    talk_ratio = fields.DecimalField(max_digits=7, decimal_places=6, null=True)
    longest_monologue_seconds = fields.IntField(null=True)
    questions_asked = fields.IntField(null=True)
    patience_seconds = fields.DecimalField(max_digits=9, decimal_places=3, null=True)
    stage = fields.TextField(null=True)
    amount = fields.DecimalField(max_digits=20, decimal_places=4, null=True)
    currency = fields.CharField(max_length=3, null=True)
    team_amount = fields.DecimalField(
        max_digits=20, decimal_places=4, null=True, description="Amount in the team's currency at the day's rate"
    )
    created_on = fields.DateField(null=True, description="Local day; null while the source does not tell it")
    pipeline_on = fields.DateField(null=True)
    closed_on = fields.DateField(null=True)
    won = fields.BooleanField(null=True)
    completed_at = fields.DatetimeField(null=True)
    recording_url = fields.TextField(null=True, description="Where a conversation can be heard, as its source says")
    recorded_source = fields.CharField(max_length=100, null=True, description="Of the call or meeting that it records")
    recorded_external_id = fields.CharField(max_length=255, null=True)
    reviewed = fields.BooleanField(null=True, description="This and the scores are the film's; see domain/film.py")
    score_total = fields.DecimalField(max_digits=12, decimal_places=4, null=True)
    score_count = fields.IntField(null=True)

    class Meta:
        table = "activities"


class ActivityKey(Row):
    """The identity of an activity: (team, source, external id), its newest version, and where its row lies.

    It outlives a deleted activity, so that an older version that comes late does not bring it back.
    """

    team_id: UUID
    team: fields.ForeignKeyRelation[Team] = fields.ForeignKeyField("sideline.Team", related_name=False)
    source = fields.CharField(max_length=100)
    external_id = fields.CharField(max_length=255)
    occurred_at = fields.DatetimeField(null=True, description="Finds the partition; null when deleted")
    version = fields.BigIntField()
    content_hash = fields.BigIntField()

    class Meta:
        table = "activity_keys"


class EmailBody(Row):
    """The body of an email, apart from its activity, with the activity's id."""

    team_id: UUID
    team: fields.ForeignKeyRelation[Team] = fields.ForeignKeyField("sideline.Team", related_name=False)
    body = fields.TextField(null=True, description="Plain, from before bodies were sealed, until it is sealed too")
    key_id = fields.UUIDField(null=True, description="The data key that sealed it")
    sealed = fields.BinaryField(null=True, description="AES-256-GCM: nonce, ciphertext and tag")
    stored_at = fields.DatetimeField(db_default=created_now())

    class Meta:
        table = "email_bodies"
        indexes: ClassVar = [("team_id", "id"), ("team_id", "stored_at")]
