"""Coaching plans: what a rep works at with a coach, by which numbers, in which steps, and what was noted of it."""

from __future__ import annotations

from enum import StrEnum
from typing import Any
from uuid import UUID

from tortoise import fields
from tortoise.fields.db_defaults import SqlDefault

from domain.models.base import Row, created_now
from domain.models.people import User
from domain.models.teams import Team


class PlanStatus(StrEnum):
    """Where a plan stands."""

    DRAFT = "DRAFT"
    ACTIVE = "ACTIVE"
    COMPLETED = "COMPLETED"
    ABANDONED = "ABANDONED"


class NoteVisibility(StrEnum):
    """For whom a note is."""

    SHARED = "SHARED"
    PRIVATE = "PRIVATE"


class CoachingTemplate(Row):
    """What plans of one sort begin with."""

    team_id: UUID
    team: fields.ForeignKeyRelation[Team] = fields.ForeignKeyField("sideline.Team", related_name=False)
    name = fields.CharField(max_length=200)
    agenda = fields.TextField(null=True)
    focus: fields.Field[list[dict[str, Any]]] = fields.JSONField(
        db_default=SqlDefault("'[]'"), description="Metric and target, in their order"
    )
    items: fields.Field[list[dict[str, Any]]] = fields.JSONField(
        db_default=SqlDefault("'[]'"), description="Title and days after the start, in their order"
    )
    created_by_id: UUID | None
    created_by: fields.ForeignKeyNullableRelation[User] = fields.ForeignKeyField(
        "sideline.User", related_name=False, null=True, db_constraint=False
    )
    created_at = fields.DatetimeField(db_default=created_now())
    changed_at = fields.DatetimeField(db_default=created_now())

    class Meta:
        table = "coaching_templates"


class CoachingPlan(Row):
    """What a rep and a coach have agreed to work at."""

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
    title = fields.CharField(max_length=200)
    agenda = fields.TextField(null=True)
    status = fields.CharEnumField(PlanStatus, max_length=12, db_default="DRAFT")
    starts_on = fields.DateField(description="From this day on the focus metrics are `now`, the days before are before")
    ends_on = fields.DateField(null=True, description="When the targets are to be reached")
    closed_on = fields.DateField(null=True, description="The day it was completed or abandoned")
    version = fields.IntField(db_default=1)
    template_id = fields.UUIDField(null=True, description="What it was made from, for the record")
    created_at = fields.DatetimeField(db_default=created_now())
    changed_at = fields.DatetimeField(db_default=created_now())

    class Meta:
        table = "coaching_plans"
        indexes = (("team_id", "user_id", "id"), ("team_id", "coach_id", "id"))


class PlanFocus(Row):
    """A metric that a plan is about."""

    team_id: UUID
    team: fields.ForeignKeyRelation[Team] = fields.ForeignKeyField("sideline.Team", related_name=False)
    plan_id: UUID
    plan: fields.ForeignKeyRelation[CoachingPlan] = fields.ForeignKeyField(
        "sideline.CoachingPlan", related_name=False, db_constraint=False
    )
    metric = fields.CharField(max_length=40)
    target = fields.DecimalField(
        max_digits=20, decimal_places=6, null=True, description="A quotient's value; of a plain sum, per working week"
    )
    position = fields.SmallIntField()

    class Meta:
        table = "plan_focuses"


class PlanItem(Row):
    """Something that is to be done within a plan."""

    team_id: UUID
    team: fields.ForeignKeyRelation[Team] = fields.ForeignKeyField("sideline.Team", related_name=False)
    plan_id: UUID
    plan: fields.ForeignKeyRelation[CoachingPlan] = fields.ForeignKeyField(
        "sideline.CoachingPlan", related_name=False, db_constraint=False
    )
    title = fields.CharField(max_length=500)
    due_on = fields.DateField(null=True)
    done_at = fields.DatetimeField(null=True)
    done_by_id: UUID | None
    done_by: fields.ForeignKeyNullableRelation[User] = fields.ForeignKeyField(
        "sideline.User", related_name=False, null=True, db_constraint=False
    )
    created_at = fields.DatetimeField(db_default=created_now())

    class Meta:
        table = "plan_items"
        indexes = (("team_id", "plan_id", "id"),)


class CoachingNote(Row):
    """What somebody wrote down of a plan or of a session."""

    team_id: UUID
    team: fields.ForeignKeyRelation[Team] = fields.ForeignKeyField("sideline.Team", related_name=False)
    plan_id: UUID | None
    plan: fields.ForeignKeyNullableRelation[CoachingPlan] = fields.ForeignKeyField(
        "sideline.CoachingPlan", related_name=False, null=True, db_constraint=False
    )
    session_id = fields.UUIDField(null=True)
    author_id: UUID
    author: fields.ForeignKeyRelation[User] = fields.ForeignKeyField(
        "sideline.User", related_name=False, db_constraint=False
    )
    visibility = fields.CharEnumField(NoteVisibility, max_length=8)
    body = fields.TextField()
    created_at = fields.DatetimeField(db_default=created_now())
    edited_at = fields.DatetimeField(null=True)

    class Meta:
        table = "coaching_notes"


class CoCoach(Row):
    """Somebody who coaches besides the coach: in a plan, in a series of sessions, or in one session."""

    team_id: UUID
    team: fields.ForeignKeyRelation[Team] = fields.ForeignKeyField("sideline.Team", related_name=False)
    user_id: UUID
    user: fields.ForeignKeyRelation[User] = fields.ForeignKeyField(
        "sideline.User", related_name=False, db_constraint=False
    )
    plan_id = fields.UUIDField(null=True)
    series_id = fields.UUIDField(null=True)
    session_id = fields.UUIDField(null=True)

    class Meta:
        table = "co_coaches"
        indexes = (("team_id", "user_id"),)
