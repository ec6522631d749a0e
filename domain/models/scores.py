"""How roles are scored, and what people have earned: accolades with the rules that grant them."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar
from uuid import UUID

from tortoise import fields
from tortoise.contrib.postgres.fields import ArrayField
from tortoise.fields.db_defaults import SqlDefault
from tortoise.migrations.constraints import UniqueConstraint

from domain.models.base import Row, created_now
from domain.models.goals import GoalPeriod
from domain.models.people import Role, User
from domain.models.teams import Team


class ScoreKind(StrEnum):
    """What a score is made of: what a rep does, or what comes of it."""

    ACTIVITY = "ACTIVITY"
    OBJECTIVE = "OBJECTIVE"


class ScoreDefinition(Row):
    """That a role has a score of a kind; how it is made is in its versions."""

    team_id: UUID
    team: fields.ForeignKeyRelation[Team] = fields.ForeignKeyField("sideline.Team", related_name=False)
    role_id: UUID
    role: fields.ForeignKeyRelation[Role] = fields.ForeignKeyField(
        "sideline.Role", related_name=False, db_constraint=False
    )
    kind = fields.CharEnumField(ScoreKind, max_length=10)
    created_at = fields.DatetimeField(db_default=created_now())

    class Meta:
        table = "score_definitions"


class ScoreVersion(Row):
    """Metrics with weights, from one day to another. Versions of a definition never overlap."""

    team_id: UUID
    team: fields.ForeignKeyRelation[Team] = fields.ForeignKeyField("sideline.Team", related_name=False)
    definition_id: UUID
    definition: fields.ForeignKeyRelation[ScoreDefinition] = fields.ForeignKeyField(
        "sideline.ScoreDefinition", related_name=False, db_constraint=False
    )
    version = fields.IntField()
    metrics = ArrayField(element_type="text")
    weights = ArrayField(element_type="numeric", description="In percent, one for each metric; 100 together")
    cap = fields.DecimalField(max_digits=5, decimal_places=2, description="An attainment counts up to this; 2 is 200 %")
    effective_from = fields.DateField()
    effective_to = fields.DateField(null=True, description="Inclusive; null while it goes on")
    set_by_id: UUID | None
    set_by: fields.ForeignKeyNullableRelation[User] = fields.ForeignKeyField(
        "sideline.User", related_name=False, null=True, db_constraint=False
    )
    set_at = fields.DatetimeField(db_default=created_now())

    class Meta:
        table = "score_versions"


class AccoladeKind(StrEnum):
    """What a rule looks for."""

    TOTAL = "TOTAL"
    FIRST = "FIRST"
    PERSONAL_BEST = "PERSONAL_BEST"
    GOAL_STREAK = "GOAL_STREAK"
    SCORE_STREAK = "SCORE_STREAK"


class AccoladeRule(Row):
    """What earns an accolade on a team. Its id is what keeps a milestone from being granted twice."""

    team_id: UUID
    team: fields.ForeignKeyRelation[Team] = fields.ForeignKeyField("sideline.Team", related_name=False)
    name = fields.CharField(max_length=100)
    description = fields.CharField(max_length=500, null=True)
    kind = fields.CharEnumField(AccoladeKind, max_length=16)
    metric = fields.CharField(max_length=40, null=True)
    score_kind = fields.CharEnumField(ScoreKind, max_length=10, null=True)
    minimum_score = fields.DecimalField(max_digits=7, decimal_places=2, null=True)
    period = fields.CharEnumField(GoalPeriod, max_length=8, null=True, description="Null for what counts for ever")
    levels = ArrayField(
        element_type="numeric", db_default=SqlDefault("'{}'"), description="Totals, or how many periods in a row"
    )
    counts_from = fields.DateField(description="What was reached before is not granted")
    version = fields.IntField(db_default=1, description="Grows by one with every change")
    evaluated_on = fields.DateField(null=True, description="Streaks and bests were last looked at on this local day")
    created_by_id: UUID | None
    created_by: fields.ForeignKeyNullableRelation[User] = fields.ForeignKeyField(
        "sideline.User", related_name=False, null=True, db_constraint=False
    )
    created_at = fields.DatetimeField(db_default=created_now())
    removed_at = fields.DatetimeField(null=True)

    class Meta:
        table = "accolade_rules"


class Accolade(Row):
    """Something that a person has earned. A revoked one is kept, so that it is not granted again."""

    team_id: UUID
    team: fields.ForeignKeyRelation[Team] = fields.ForeignKeyField("sideline.Team", related_name=False)
    user_id: UUID
    user: fields.ForeignKeyRelation[User] = fields.ForeignKeyField(
        "sideline.User", related_name=False, db_constraint=False
    )
    rule_id: UUID | None
    rule: fields.ForeignKeyNullableRelation[AccoladeRule] = fields.ForeignKeyField(
        "sideline.AccoladeRule", related_name=False, null=True, db_constraint=False
    )
    milestone = fields.CharField(max_length=60, null=True, description="Which of the rule's; null for one by hand")
    title = fields.CharField(max_length=100)
    message = fields.CharField(max_length=1000, null=True)
    level = fields.DecimalField(max_digits=24, decimal_places=4, null=True)
    value = fields.DecimalField(max_digits=28, decimal_places=6, null=True, description="What was reached")
    first_day = fields.DateField(null=True, description="Of the period or the streak")
    achieved_on = fields.DateField()
    granted_by_id: UUID | None
    granted_by: fields.ForeignKeyNullableRelation[User] = fields.ForeignKeyField(
        "sideline.User", related_name=False, null=True, db_constraint=False
    )
    granted_at = fields.DatetimeField(db_default=created_now())
    revoked_at = fields.DatetimeField(null=True)
    revoked_by_id: UUID | None
    revoked_by: fields.ForeignKeyNullableRelation[User] = fields.ForeignKeyField(
        "sideline.User", related_name=False, null=True, db_constraint=False
    )
    revoked_reason = fields.CharField(max_length=500, null=True)

    class Meta:
        table = "accolades"


class AccoladeEvaluation(Row):
    """How far a team's numbers have been looked at for accolades, and when they are due without a change."""

    team_id: UUID
    team: fields.ForeignKeyRelation[Team] = fields.ForeignKeyField("sideline.Team", related_name=False)
    generation = fields.BigIntField(db_default=-1, description="Of goal_evaluations; what has been looked at")
    due_at = fields.DatetimeField(db_default=created_now(), description="The team's next midnight")

    class Meta:
        table = "accolade_evaluations"
        constraints: ClassVar = [UniqueConstraint(("team_id",), "accolade_evaluations_team_id_key")]
