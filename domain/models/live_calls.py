"""Calls in progress, who listens in, what they note, and the dialers that tell of the calls."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, ClassVar
from uuid import UUID

from tortoise import fields
from tortoise.fields.db_defaults import SqlDefault
from tortoise.migrations.constraints import CheckConstraint, UniqueConstraint

from domain.models.base import Row, created_now
from domain.models.people import User
from domain.models.teams import Team


class TelephonyKind(StrEnum):
    """Who lets managers onto a dialer's calls."""

    NONE = "NONE"
    TWILIO = "TWILIO"
    LOOPBACK = "LOOPBACK"


class LiveCallState(StrEnum):
    """How far a call has come."""

    RINGING = "RINGING"
    IN_PROGRESS = "IN_PROGRESS"
    ENDED = "ENDED"


class CallDirection(StrEnum):
    """Who rang whom."""

    INBOUND = "INBOUND"
    OUTBOUND = "OUTBOUND"


class JoinMode(StrEnum):
    """How a manager is on a call."""

    LISTEN = "LISTEN"
    WHISPER = "WHISPER"
    BARGE = "BARGE"


class ParticipantState(StrEnum):
    """How far a manager's place on a call has come."""

    REQUESTED = "REQUESTED"
    CONNECTED = "CONNECTED"
    LEAVING = "LEAVING"
    LEFT = "LEFT"
    FAILED = "FAILED"


class ConsentRule(StrEnum):
    """What a jurisdiction asks of who listens in; the order is from the laxest to the strictest."""

    ONE_PARTY = "ONE_PARTY"
    ALL_PARTY = "ALL_PARTY"
    FORBIDDEN = "FORBIDDEN"


class Dialer(Row):
    """A system that tells of a team's calls by signed webhooks, and who lets managers onto them."""

    team_id: UUID
    team: fields.ForeignKeyRelation[Team] = fields.ForeignKeyField("sideline.Team", related_name=False)
    name = fields.CharField(max_length=100)
    telephony = fields.CharEnumField(TelephonyKind, max_length=8, db_default="NONE")
    secret = fields.BinaryField(description="Encrypted; signs what the dialer sends")
    previous_secret = fields.BinaryField(null=True, description="Encrypted; still signs until `previous_until`")
    previous_until = fields.DatetimeField(null=True)
    account = fields.BinaryField(null=True, description="Encrypted: the telephony provider's account")
    account_name = fields.CharField(max_length=100, null=True, description="What may be shown of it")
    last_event_at = fields.DatetimeField(null=True, description="When it was last heard of, to the minute")
    created_at = fields.DatetimeField(db_default=created_now())
    removed_at = fields.DatetimeField(
        null=True, description="It is not listened to any more; the row goes with its last call"
    )

    class Meta:
        table = "dialers"
        constraints: ClassVar = [UniqueConstraint(("team_id", "id"), "dialers_team_id_id_key")]


class DialerMessage(Row):
    """A message that was taken in: the same id again is a repeat."""

    team_id: UUID
    team: fields.ForeignKeyRelation[Team] = fields.ForeignKeyField("sideline.Team", related_name=False)
    dialer_id: UUID
    dialer: fields.ForeignKeyRelation[Dialer] = fields.ForeignKeyField(
        "sideline.Dialer", related_name=False, db_constraint=False
    )
    message_id = fields.CharField(max_length=200, description="The header webhook-id")
    digest = fields.BinaryField(description="SHA-256 of the body")

    class Meta:
        table = "dialer_messages"
        constraints: ClassVar = [UniqueConstraint(("team_id", "dialer_id", "message_id"), "dialer_messages_key")]


class LiveCall(Row):
    """A call as its dialer's events tell of it. `facts` is all that they said, whatever their order; the rest follows
    from it, see domain/live_call_events.py."""

    team_id: UUID
    team: fields.ForeignKeyRelation[Team] = fields.ForeignKeyField("sideline.Team", related_name=False)
    dialer_id: UUID
    dialer: fields.ForeignKeyRelation[Dialer] = fields.ForeignKeyField(
        "sideline.Dialer", related_name=False, db_constraint=False
    )
    external_id = fields.CharField(max_length=255)
    user_id: UUID | None
    user: fields.ForeignKeyNullableRelation[User] = fields.ForeignKeyField(
        "sideline.User", related_name=False, null=True, db_constraint=False
    )
    state = fields.CharEnumField(LiveCallState, max_length=12)
    direction = fields.CharEnumField(CallDirection, max_length=8, null=True)
    counterpart = fields.CharField(max_length=200, null=True)
    user_jurisdiction = fields.CharField(max_length=10, null=True)
    counterpart_jurisdiction = fields.CharField(max_length=10, null=True)
    conference = fields.CharField(max_length=255, null=True, description="What the telephony provider calls it")
    user_leg = fields.CharField(max_length=255, null=True, description="The rep's own leg at the provider")
    started_at = fields.DatetimeField()
    answered_at = fields.DatetimeField(null=True)
    ended_at = fields.DatetimeField(null=True)
    end_reason = fields.CharField(max_length=40, null=True)
    leased_until = fields.DatetimeField(description="A call of which nothing is heard until then has ended")
    facts: fields.Field[dict[str, Any]] = fields.JSONField(description="What the events said")
    change = fields.BigIntField(db_default=0, description="Grows with each change that can be seen, by live_call_heads")
    look_at = fields.DatetimeField(null=True, description="When who is on the line is next held against the rows")

    class Meta:
        table = "live_calls"
        indexes = (("team_id", "change"), ("team_id", "user_id", "started_at"), ("team_id", "started_at", "id"))
        constraints: ClassVar = [
            UniqueConstraint(("team_id", "id"), "live_calls_team_id_id_key"),
            UniqueConstraint(("team_id", "dialer_id", "external_id"), "live_calls_external_key"),
            CheckConstraint("(state = 'ENDED') = (ended_at IS NOT NULL)", "live_calls_ended_check"),
        ]


class LiveCallParticipant(Row):
    """A manager's place on a call; one a manager and call, however often they come and go.

    What is wanted has a `version`; a worker carries it out and says so in `carried_version`.
    """

    team_id: UUID
    team: fields.ForeignKeyRelation[Team] = fields.ForeignKeyField("sideline.Team", related_name=False)
    call_id: UUID
    call: fields.ForeignKeyRelation[LiveCall] = fields.ForeignKeyField(
        "sideline.LiveCall", related_name=False, db_constraint=False
    )
    user_id: UUID
    user: fields.ForeignKeyRelation[User] = fields.ForeignKeyField(
        "sideline.User", related_name=False, db_constraint=False
    )
    mode = fields.CharEnumField(JoinMode, max_length=8)
    state = fields.CharEnumField(ParticipantState, max_length=12)
    consent_acknowledged = fields.BooleanField(db_default=False)
    address = fields.CharField(max_length=128, null=True, description="Where the manager is rung; gone once they left")
    version = fields.BigIntField(db_default=1, description="Of what is wanted")
    carried_version = fields.BigIntField(db_default=0, description="Up to which it was carried out")
    carried_at = fields.DatetimeField(null=True, description="When that was")
    leg = fields.CharField(max_length=255, null=True, description="The provider's id of the last leg")
    requested_at = fields.DatetimeField(db_default=created_now())
    joined_at = fields.DatetimeField(null=True, description="When they were on the line")
    left_at = fields.DatetimeField(null=True)
    reason = fields.CharField(max_length=200, null=True, description="Why they left or could not join")
    seen_until = fields.DatetimeField(null=True, description="Who is not seen on the line until then has left")
    due_at = fields.DatetimeField(db_default=created_now(), description="Not carried out before")
    attempts = fields.IntField(db_default=0)
    holder = fields.CharField(max_length=100, null=True)
    leased_until = fields.DatetimeField(null=True)
    fence = fields.BigIntField(db_default=0, description="Grows with every claim")

    class Meta:
        table = "live_call_participants"
        constraints: ClassVar = [
            UniqueConstraint(("team_id", "call_id", "user_id"), "live_call_participants_key"),
            CheckConstraint("carried_version <= version", "live_call_participants_version_check"),
        ]


class LiveCallNote(Row):
    """A note on a moment of a call."""

    team_id: UUID
    team: fields.ForeignKeyRelation[Team] = fields.ForeignKeyField("sideline.Team", related_name=False)
    call_id: UUID
    call: fields.ForeignKeyRelation[LiveCall] = fields.ForeignKeyField(
        "sideline.LiveCall", related_name=False, db_constraint=False
    )
    author_id: UUID
    author: fields.ForeignKeyRelation[User] = fields.ForeignKeyField(
        "sideline.User", related_name=False, db_constraint=False
    )
    at_second = fields.IntField(description="Into the call")
    text = fields.TextField()
    private = fields.BooleanField(db_default=False, description="The author's alone")
    created_at = fields.DatetimeField(db_default=created_now())

    class Meta:
        table = "live_call_notes"
        indexes = (("team_id", "call_id", "at_second", "id"), ("team_id", "author_id", "id"))
        constraints: ClassVar = [CheckConstraint("at_second >= 0", "live_call_notes_at_second_check")]


class LiveCallHead(Row):
    """Where a team's changes of live calls end. Its row lock puts them in the order of commits."""

    team_id: UUID
    team: fields.ForeignKeyRelation[Team] = fields.ForeignKeyField("sideline.Team", related_name=False)
    position = fields.BigIntField(db_default=0)

    class Meta:
        table = "live_call_heads"
        constraints: ClassVar = [UniqueConstraint(("team_id",), "live_call_heads_team_id_key")]


class LiveCallSettings(Row):
    """How a team uses the studio; a team without a row has the defaults."""

    team_id: UUID
    team: fields.ForeignKeyRelation[Team] = fields.ForeignKeyField("sideline.Team", related_name=False)
    listeners_per_call = fields.SmallIntField(db_default=3)
    listeners_per_team = fields.SmallIntField(db_default=50)
    keep_days = fields.IntField(db_default=30, description="Days for which ended calls and their notes are kept")
    jurisdictions: fields.Field[dict[str, dict[str, str]]] = fields.JSONField(
        db_default=SqlDefault("'{}'"), description="By code: rule and banner"
    )
    unknown_rule = fields.CharEnumField(ConsentRule, max_length=10, db_default="ALL_PARTY")
    unknown_banner = fields.CharField(max_length=500, null=True)

    class Meta:
        table = "live_call_settings"
        constraints: ClassVar = [
            UniqueConstraint(("team_id",), "live_call_settings_team_id_key"),
            CheckConstraint(
                "listeners_per_call BETWEEN 0 AND 50 AND listeners_per_team BETWEEN 0 AND 5000"
                " AND keep_days BETWEEN 1 AND 3650",
                "live_call_settings_check",
            ),
        ]
