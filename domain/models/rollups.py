"""Rollups: all base sums of a user in one row, by local day and by month."""

from __future__ import annotations

from uuid import UUID

from tortoise import fields
from tortoise.models import Model

from domain.models.base import Row
from domain.models.people import User
from domain.models.teams import Team


class BaseSums(Model):
    """One column a base sum of `domain.metrics.BASE_SUMS`; a test holds the two together."""

    emails_sent = fields.BigIntField(db_default=0)
    emails_delivered = fields.BigIntField(db_default=0)
    emails_bounced = fields.BigIntField(db_default=0)
    emails_opened = fields.BigIntField(db_default=0)
    emails_replied = fields.BigIntField(db_default=0)
    calls_logged = fields.BigIntField(db_default=0)
    calls_connected = fields.BigIntField(db_default=0)
    talk_seconds = fields.BigIntField(db_default=0)
    meetings_booked = fields.BigIntField(db_default=0)
    meetings_rescheduled = fields.BigIntField(db_default=0)
    meetings_held = fields.BigIntField(db_default=0)
    meetings_no_show = fields.BigIntField(db_default=0)
    conversations_recorded = fields.BigIntField(db_default=0)
    talk_ratio_weighted = fields.BigIntField(db_default=0)
    talk_ratio_seconds = fields.BigIntField(db_default=0)
    monologue_weighted = fields.BigIntField(db_default=0)
    monologue_seconds = fields.BigIntField(db_default=0)
    questions_weighted = fields.BigIntField(db_default=0)
    questions_seconds = fields.BigIntField(db_default=0)
    patience_weighted = fields.BigIntField(db_default=0)
    patience_duration_seconds = fields.BigIntField(db_default=0)
    people_added = fields.BigIntField(db_default=0)
    cadence_steps_completed = fields.BigIntField(db_default=0)
    cadence_steps_overdue = fields.BigIntField(db_default=0)
    tasks_completed = fields.BigIntField(db_default=0)
    opportunities_created = fields.BigIntField(db_default=0)
    new_pipeline = fields.DecimalField(max_digits=24, decimal_places=4, db_default=0)
    closed_won_count = fields.BigIntField(db_default=0)
    closed_won_amount = fields.DecimalField(max_digits=24, decimal_places=4, db_default=0)
    closed_lost_count = fields.BigIntField(db_default=0)
    sales_cycle_days = fields.BigIntField(db_default=0)
    sales_cycle_count = fields.BigIntField(db_default=0)
    conversations_reviewed = fields.BigIntField(db_default=0)
    scorecard_points = fields.BigIntField(db_default=0, description="Ten-thousandths of points")
    scorecards_counted = fields.BigIntField(db_default=0)

    class Meta:
        abstract = True


class RollupDay(Row, BaseSums):
    """A user's base sums of one local day. Partitioned by the year of `day`."""

    team_id: UUID
    team: fields.ForeignKeyRelation[Team] = fields.ForeignKeyField("sideline.Team", related_name=False)
    user_id: UUID
    user: fields.ForeignKeyRelation[User] = fields.ForeignKeyField("sideline.User", related_name=False)
    day = fields.DateField()

    class Meta:
        table = "rollup_days"


class RollupMonth(Row, BaseSums):
    """A user's base sums of one calendar month: always the sum of the month's days."""

    team_id: UUID
    team: fields.ForeignKeyRelation[Team] = fields.ForeignKeyField("sideline.Team", related_name=False)
    user_id: UUID
    user: fields.ForeignKeyRelation[User] = fields.ForeignKeyField("sideline.User", related_name=False)
    month = fields.DateField(description="Its first day")

    class Meta:
        table = "rollup_months"
