"""Targets and their history."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar
from uuid import UUID

from tortoise import fields
from tortoise.migrations.constraints import CheckConstraint, UniqueConstraint

from domain.models.base import Row, created_now
from domain.models.people import Group, User
from domain.models.teams import Team


class GoalPeriod(StrEnum):
    """How long one target runs."""

    DAY = "DAY"
    WEEK = "WEEK"
    MONTH = "MONTH"
    QUARTER = "QUARTER"
    YEAR = "YEAR"


class Goal(Row):
    """A target for a metric per period, for a user, a group, or (neither) the team."""

    team_id: UUID
    team: fields.ForeignKeyRelation[Team] = fields.ForeignKeyField("sideline.Team", related_name=False)
    user_id: UUID | None
    user: fields.ForeignKeyNullableRelation[User] = fields.ForeignKeyField(
        "sideline.User", related_name=False, null=True, db_constraint=False
    )
    group_id: UUID | None
    group: fields.ForeignKeyNullableRelation[Group] = fields.ForeignKeyField(
        "sideline.Group", related_name=False, null=True, db_constraint=False
    )
    metric = fields.CharField(max_length=40)
    period = fields.CharEnumField(GoalPeriod, max_length=8)
    created_at = fields.DatetimeField(db_default=created_now())

    class Meta:
        table = "goals"
        indexes = (("team_id", "metric", "period"),)
        constraints: ClassVar = [
            UniqueConstraint(("team_id", "id"), "goals_team_id_id_key"),
            CheckConstraint("user_id IS NULL OR group_id IS NULL", "goals_subject_check"),
        ]


class GoalVersion(Row):
    """What a goal's target was, and from when to when. Versions of a goal never overlap."""

    team_id: UUID
    team: fields.ForeignKeyRelation[Team] = fields.ForeignKeyField("sideline.Team", related_name=False)
    goal_id: UUID
    goal: fields.ForeignKeyRelation[Goal] = fields.ForeignKeyField(
        "sideline.Goal", related_name=False, db_constraint=False
    )
    version = fields.IntField()
    target = fields.DecimalField(max_digits=20, decimal_places=4)
    effective_from = fields.DateField()
    effective_to = fields.DateField(null=True, description="Inclusive; null while it goes on")
    set_by_id: UUID | None
    set_by: fields.ForeignKeyNullableRelation[User] = fields.ForeignKeyField(
        "sideline.User", related_name=False, null=True, db_constraint=False
    )
    set_at = fields.DatetimeField(db_default=created_now())

    class Meta:
        table = "goal_versions"
        constraints: ClassVar = [
            UniqueConstraint(("team_id", "goal_id", "version"), "goal_versions_version_key"),
            CheckConstraint("target > 0", "goal_versions_target_check"),
            CheckConstraint("version > 0", "goal_versions_version_check"),
            # A version that ends the day before it begins was replaced before it counted.
            CheckConstraint("effective_to >= effective_from - 1", "goal_versions_effective_check"),
        ]


class GoalState(Row):
    """The last status that was told of a goal in a period; none while it is what every period begins with."""

    team_id: UUID
    team: fields.ForeignKeyRelation[Team] = fields.ForeignKeyField("sideline.Team", related_name=False)
    goal_id: UUID
    goal: fields.ForeignKeyRelation[Goal] = fields.ForeignKeyField(
        "sideline.Goal", related_name=False, db_constraint=False
    )
    period_start = fields.DateField()
    status = fields.CharField(max_length=10)
    changed_at = fields.DatetimeField(db_default=created_now())

    class Meta:
        table = "goal_states"
        constraints: ClassVar = [UniqueConstraint(("team_id", "goal_id", "period_start"), "goal_states_key")]


class GoalEvaluation(Row):
    """When a team's goals were last evaluated, and when they are due again without a change: its next midnight."""

    team_id: UUID
    team: fields.ForeignKeyRelation[Team] = fields.ForeignKeyField("sideline.Team", related_name=False)
    generation = fields.BigIntField(db_default=0, description="Grows with every evaluation")
    due_at = fields.DatetimeField(db_default=created_now())

    class Meta:
        table = "goal_evaluations"
        indexes = (("due_at",),)
        constraints: ClassVar = [UniqueConstraint(("team_id",), "goal_evaluations_team_id_key")]


class IdempotencyKey(Row):
    """What a mutation answered, under the key that its sender gave; kept for a week."""

    team_id: UUID
    team: fields.ForeignKeyRelation[Team] = fields.ForeignKeyField("sideline.Team", related_name=False)
    user_id: UUID
    user: fields.ForeignKeyRelation[User] = fields.ForeignKeyField(
        "sideline.User", related_name=False, db_constraint=False
    )
    key = fields.CharField(max_length=255)
    digest = fields.CharField(max_length=64, description="SHA-256 of the operation and its input, hex")
    answer: fields.Field[object] = fields.JSONField(null=True)
    created_at = fields.DatetimeField(db_default=created_now())

    class Meta:
        table = "idempotency_keys"
        indexes = (("created_at",),)
        constraints: ClassVar = [UniqueConstraint(("team_id", "user_id", "key"), "idempotency_keys_key")]
