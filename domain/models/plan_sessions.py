"""Coaching sessions: single ones, series of them, the programs that make series, and their calendar objects."""

from __future__ import annotations

from enum import StrEnum
from uuid import UUID

from tortoise import fields
from tortoise.contrib.postgres.fields import ArrayField
from tortoise.fields.db_defaults import SqlDefault

from domain.models.base import Row, created_now
from domain.models.people import User
from domain.models.plans import CoachingPlan
from domain.models.teams import Team


class SessionState(StrEnum):
    """Where a session stands."""

    PLANNED = "PLANNED"
    RESCHEDULED = "RESCHEDULED"
    HELD = "HELD"
    CANCELLED = "CANCELLED"
    MISSED = "MISSED"


class InvitationWay(StrEnum):
    """How an invitation reaches people."""

    CALENDAR = "CALENDAR"
    MAIL = "MAIL"


class CoachingProgram(Row):
    """One-on-ones for every report of some managers, for as long as they are reports."""

    team_id: UUID
    team: fields.ForeignKeyRelation[Team] = fields.ForeignKeyField("sideline.Team", related_name=False)
    name = fields.CharField(max_length=200)
    agenda = fields.TextField(null=True)
    manager_ids = ArrayField(element_type="uuid", db_default=SqlDefault("'{}'"))
    every_weeks = fields.SmallIntField(db_default=1)
    first_day = fields.DateField(description="Effective from; the first one-on-ones are on this weekday")
    start_minute = fields.SmallIntField(description="After local midnight, of a manager's first one-on-one of the day")
    duration_minutes = fields.SmallIntField()
    timezone = fields.CharField(max_length=64)
    ended_on = fields.DateField(null=True, description="The last day that counted")
    generation = fields.IntField(db_default=1, description="Grows with every change of what it asks for")
    created_by_id: UUID | None
    created_by: fields.ForeignKeyNullableRelation[User] = fields.ForeignKeyField(
        "sideline.User", related_name=False, null=True, db_constraint=False
    )
    created_at = fields.DatetimeField(db_default=created_now())
    reconciled_at = fields.DatetimeField(null=True, description="When reports were last looked for")

    class Meta:
        table = "coaching_programs"


class CoachingSeries(Row):
    """A one-on-one that recurs."""

    team_id: UUID
    team: fields.ForeignKeyRelation[Team] = fields.ForeignKeyField("sideline.Team", related_name=False)
    user_id: UUID
    user: fields.ForeignKeyRelation[User] = fields.ForeignKeyField(
        "sideline.User", related_name=False, db_constraint=False
    )
    coach_id: UUID
    coach: fields.ForeignKeyRelation[User] = fields.ForeignKeyField(
        "sideline.User", related_name=False, db_constraint=False
    )
    plan_id = fields.UUIDField(null=True)
    program_id = fields.UUIDField(null=True)
    program_slot = fields.SmallIntField(null=True, description="Which of the manager's one-on-ones it is, from 0")
    title = fields.CharField(max_length=200)
    agenda = fields.TextField(null=True)
    rule = fields.CharField(max_length=500, description="The value of an RRULE, without UNTIL")
    timezone = fields.CharField(max_length=64, description="IANA name; the wall clock of the one-on-ones")
    first_local = fields.CharField(max_length=19, description="Wall clock of the first start: 2026-11-02T10:00:00")
    duration_minutes = fields.SmallIntField()
    ended_on = fields.DateField(null=True, description="The last local day that may have one; null while it goes on")
    made_until = fields.DatetimeField(null=True, description="Its sessions are rows up to here")
    created_at = fields.DatetimeField(db_default=created_now())

    class Meta:
        table = "coaching_series"
        indexes = (("team_id", "user_id"), ("team_id", "coach_id"))


class CoachingSession(Row):
    """A rep and a coach sit down together."""

    team_id: UUID
    team: fields.ForeignKeyRelation[Team] = fields.ForeignKeyField("sideline.Team", related_name=False)
    user_id: UUID
    user: fields.ForeignKeyRelation[User] = fields.ForeignKeyField(
        "sideline.User", related_name=False, db_constraint=False
    )
    coach_id: UUID
    coach: fields.ForeignKeyRelation[User] = fields.ForeignKeyField(
        "sideline.User", related_name=False, db_constraint=False
    )
    plan_id: UUID | None
    plan: fields.ForeignKeyNullableRelation[CoachingPlan] = fields.ForeignKeyField(
        "sideline.CoachingPlan", related_name=False, null=True, db_constraint=False
    )
    series_id: UUID | None
    series: fields.ForeignKeyNullableRelation[CoachingSeries] = fields.ForeignKeyField(
        "sideline.CoachingSeries", related_name=False, null=True, db_constraint=False
    )
    occurrence_at = fields.DatetimeField(null=True, description="When the series' rule would have it")
    title = fields.CharField(max_length=200)
    agenda = fields.TextField(null=True)
    starts_at = fields.DatetimeField()
    duration_minutes = fields.SmallIntField()
    state = fields.CharEnumField(SessionState, max_length=12, db_default="PLANNED")
    held_at = fields.DatetimeField(null=True, description="When it took place")
    rescheduled_count = fields.IntField(db_default=0)
    version = fields.IntField(db_default=1)
    created_at = fields.DatetimeField(db_default=created_now())
    changed_at = fields.DatetimeField(db_default=created_now())

    class Meta:
        table = "coaching_sessions"
        indexes = (("team_id", "user_id", "starts_at", "id"), ("team_id", "coach_id", "starts_at", "id"))


class SessionActivity(Row):
    """Film that a session is about."""

    team_id: UUID
    team: fields.ForeignKeyRelation[Team] = fields.ForeignKeyField("sideline.Team", related_name=False)
    session_id: UUID
    session: fields.ForeignKeyRelation[CoachingSession] = fields.ForeignKeyField(
        "sideline.CoachingSession", related_name=False, db_constraint=False
    )
    activity_id = fields.UUIDField(description="No key holds it: what is removed is shown no more")
    attached_by_id: UUID | None
    attached_by: fields.ForeignKeyNullableRelation[User] = fields.ForeignKeyField(
        "sideline.User", related_name=False, null=True, db_constraint=False
    )
    created_at = fields.DatetimeField(db_default=created_now())

    class Meta:
        table = "session_activities"


class CoachingInvitation(Row):
    """The calendar object of a series or of a single session, and how far the world has been told of it.

    The outbox of invitations: `sequence` grows in the transaction of a change; a delivery brings `delivered_sequence`
    up to it.
    """

    team_id: UUID
    team: fields.ForeignKeyRelation[Team] = fields.ForeignKeyField("sideline.Team", related_name=False)
    series_id = fields.UUIDField(null=True)
    session_id = fields.UUIDField(null=True)
    uid = fields.CharField(max_length=255, description="Of the calendar object, for ever")
    organizer_id: UUID
    organizer: fields.ForeignKeyRelation[User] = fields.ForeignKeyField(
        "sideline.User", related_name=False, db_constraint=False
    )
    sequence = fields.IntField(db_default=0)
    delivered_sequence = fields.IntField(db_default=-1, description="Below 0: nothing was delivered yet")
    withdrawn = fields.BooleanField(db_default=False, description="Cancelled as a whole")
    way = fields.CharEnumField(InvitationWay, max_length=8, null=True, description="How it was last delivered")
    integration_id = fields.UUIDField(null=True, description="The calendar connection it lies in")
    place = fields.TextField(null=True, description="Its address, or the vendor's id of it")
    etag = fields.TextField(null=True)
    mailed_to = ArrayField(
        element_type="text", db_default=SqlDefault("'{}'"), description="Who was last told of it by mail"
    )
    attempts = fields.IntField(db_default=0, description="Since the last delivery")
    due_at = fields.DatetimeField(db_default=created_now(), description="Not to be tried before")
    last_error = fields.TextField(null=True)
    created_at = fields.DatetimeField(db_default=created_now())

    class Meta:
        table = "coaching_invitations"
