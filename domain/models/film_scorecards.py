"""Scorecards: what is asked, what was answered, and rounds in which several answer apart."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, ClassVar
from uuid import UUID

from tortoise import fields
from tortoise.migrations.constraints import UniqueConstraint

from domain.models.base import Row, created_now
from domain.models.teams import Team


class Relation(StrEnum):
    """What a person who judges is to the rep, at that time."""

    SELF = "SELF"
    PEER = "PEER"
    MANAGER = "MANAGER"


class ScorecardState(StrEnum):
    """A draft is its scorer's alone; what is submitted counts."""

    DRAFT = "DRAFT"
    SUBMITTED = "SUBMITTED"


class CalibrationState(StrEnum):
    """While a round is open, nobody sees another's scores."""

    OPEN = "OPEN"
    CLOSED = "CLOSED"


class ScorecardTemplate(Row):
    """A scorecard of the team's; what it asks is in its versions."""

    team_id: UUID
    team: fields.ForeignKeyRelation[Team] = fields.ForeignKeyField("sideline.Team", related_name=False)
    name = fields.CharField(max_length=100)
    description = fields.CharField(max_length=1000, null=True)
    current_version = fields.IntField(db_default=1)
    created_by_id = fields.UUIDField(null=True)
    created_at = fields.DatetimeField(db_default=created_now())
    archived_at = fields.DatetimeField(null=True, description="From then on it is not filled any more")

    class Meta:
        table = "scorecard_templates"
        constraints: ClassVar = [UniqueConstraint(("team_id", "id"), "scorecard_templates_team_id_id_key")]


class ScorecardVersion(Row):
    """What a template asks, for good: a filled scorecard keeps the version that it was filled on."""

    team_id: UUID
    team: fields.ForeignKeyRelation[Team] = fields.ForeignKeyField("sideline.Team", related_name=False)
    template_id = fields.UUIDField()
    version = fields.IntField()
    questions: fields.Field[list[dict[str, Any]]] = fields.JSONField(description="In their order")
    published_by_id = fields.UUIDField(null=True)
    published_at = fields.DatetimeField(db_default=created_now())

    class Meta:
        table = "scorecard_versions"
        constraints: ClassVar = [
            UniqueConstraint(("team_id", "template_id", "version"), "scorecard_versions_version_key")
        ]


class Scorecard(Row):
    """What somebody answered of an activity; one for each activity, template and scorer."""

    team_id: UUID
    team: fields.ForeignKeyRelation[Team] = fields.ForeignKeyField("sideline.Team", related_name=False)
    activity_id = fields.UUIDField()
    user_id = fields.UUIDField(description="Whose activity it is")
    scorer_id = fields.UUIDField()
    template_id = fields.UUIDField()
    version = fields.IntField(description="Of the template")
    calibration_id = fields.UUIDField(null=True)
    relation = fields.CharEnumField(Relation, max_length=8, description="Of the scorer to the rep when it was filled")
    state = fields.CharEnumField(ScorecardState, max_length=10, db_default="DRAFT")
    answers: fields.Field[dict[str, dict[str, Any]]] = fields.JSONField(description="By the questions' keys")
    note = fields.TextField(null=True)
    score = fields.DecimalField(max_digits=7, decimal_places=4, null=True, description="0 to 100")
    revision = fields.IntField(db_default=1)
    created_at = fields.DatetimeField(db_default=created_now())
    changed_at = fields.DatetimeField(db_default=created_now())
    submitted_at = fields.DatetimeField(null=True)

    class Meta:
        table = "scorecards"
        constraints: ClassVar = [
            UniqueConstraint(("team_id", "id"), "scorecards_team_id_id_key"),
            UniqueConstraint(("team_id", "activity_id", "scorer_id", "template_id"), "scorecards_scorer_key"),
        ]


class Calibration(Row):
    """A round in which several score one activity by one template, apart from each other."""

    team_id: UUID
    team: fields.ForeignKeyRelation[Team] = fields.ForeignKeyField("sideline.Team", related_name=False)
    activity_id = fields.UUIDField()
    user_id = fields.UUIDField(description="Whose activity it is")
    template_id = fields.UUIDField()
    version = fields.IntField(description="Of the template")
    organizer_id = fields.UUIDField()
    state = fields.CharEnumField(CalibrationState, max_length=8, db_default="OPEN")
    due_on = fields.DateField(null=True)
    created_at = fields.DatetimeField(db_default=created_now())
    closed_at = fields.DatetimeField(null=True)

    class Meta:
        table = "calibrations"
        constraints: ClassVar = [UniqueConstraint(("team_id", "id"), "calibrations_team_id_id_key")]


class CalibrationScorer(Row):
    """Somebody who scores in a round."""

    team_id: UUID
    team: fields.ForeignKeyRelation[Team] = fields.ForeignKeyField("sideline.Team", related_name=False)
    calibration_id = fields.UUIDField()
    scorer_id = fields.UUIDField()

    class Meta:
        table = "calibration_scorers"
        constraints: ClassVar = [
            UniqueConstraint(("team_id", "calibration_id", "scorer_id"), "calibration_scorers_scorer_key")
        ]
