"""The tenant, and what feeds it."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar
from uuid import UUID

from tortoise import fields
from tortoise.contrib.postgres.fields import ArrayField
from tortoise.fields.db_defaults import SqlDefault
from tortoise.migrations.constraints import CheckConstraint, UniqueConstraint

from domain.models.base import Row, created_now


class Feed(StrEnum):
    """A stream of activities that metrics are made of."""

    EMAIL = "email"
    CALLS = "calls"
    CALENDAR = "calendar"
    CONVERSATIONS = "conversations"
    CADENCE = "cadence"
    CRM = "crm"
    DEALS = "deals"


class FiscalCalendar(StrEnum):
    """What the months of a team's goals and ranges are."""

    MONTHS = "MONTHS"
    FOUR_FOUR_FIVE = "FOUR_FOUR_FIVE"


class Team(Row):
    """One customer's organization. Every row of every table belongs to exactly one."""

    name = fields.CharField(max_length=200)
    timezone = fields.CharField(max_length=64, db_default="UTC", description="IANA name; decides what a local day is")
    week_start = fields.SmallIntField(db_default=1, description="ISO weekday, 1 is Monday")
    fiscal_year_start_month = fields.SmallIntField(db_default=1)
    fiscal_calendar = fields.CharEnumField(FiscalCalendar, max_length=16, db_default="MONTHS")
    currency = fields.CharField(max_length=3, db_default="USD", description="ISO 4217")
    work_week = fields.SmallIntField(db_default=31, description="Bit 0 is Monday; 31 is Monday to Friday")
    work_day_start_minute = fields.SmallIntField(db_default=540, description="Minutes after local midnight")
    work_day_end_minute = fields.SmallIntField(db_default=1020, description="Minutes after local midnight")
    holiday_country = fields.CharField(
        max_length=2, null=True, description="ISO 3166-1; calendar of the holidays library"
    )
    holiday_subdivision = fields.CharField(max_length=8, null=True)
    reps_edit_own_goals = fields.BooleanField(db_default=True)
    show_peer_statistics = fields.BooleanField(db_default=True)
    executive_visibility = fields.BooleanField(db_default=False, description="Admins see coaching sessions")
    on_track_pace = fields.DecimalField(max_digits=5, decimal_places=3, db_default=SqlDefault("1.000"))
    at_risk_pace = fields.DecimalField(max_digits=5, decimal_places=3, db_default=SqlDefault("0.800"))
    mail_domains = ArrayField(
        element_type="text",
        db_default=SqlDefault("'{}'"),
        description="Lower case; who has an address there is no customer. Empty: the domains of its people",
    )
    keep_bodies_days = fields.IntField(null=True, description="Bodies of emails; null is for ever")
    keep_activities_days = fields.IntField(null=True, description="Activities; their numbers stay")
    keep_audit_days = fields.IntField(null=True, description="The audit log")
    activities_from = fields.DateField(
        null=True, description="Activities before this day have been removed; only their numbers are left"
    )
    activities_from_at = fields.DatetimeField(null=True, description="When that day began, in the time zone of then")
    erasures = fields.IntField(db_default=0, description="How many people's data was erased")
    erasure_key = fields.BinaryField(null=True, description="Sealed; keys the digests of erased people's names")
    demo = fields.BooleanField(db_default=False, description="Its people may be signed in as in demo mode")
    created_at = fields.DatetimeField(db_default=created_now())

    class Meta:
        table = "teams"
        constraints: ClassVar = [
            CheckConstraint("week_start BETWEEN 1 AND 7", "teams_week_start_check"),
            CheckConstraint("fiscal_year_start_month BETWEEN 1 AND 12", "teams_fiscal_year_start_month_check"),
            CheckConstraint("currency ~ '^[A-Z]{3}$'", "teams_currency_check"),
            CheckConstraint("work_week BETWEEN 1 AND 127", "teams_work_week_check"),
            CheckConstraint(
                "0 <= work_day_start_minute AND work_day_start_minute < work_day_end_minute"
                " AND work_day_end_minute <= 1440",
                "teams_work_day_check",
            ),
            CheckConstraint("at_risk_pace > 0 AND at_risk_pace <= on_track_pace", "teams_pace_check"),
            CheckConstraint(
                "least(keep_bodies_days, keep_activities_days, keep_audit_days) > 0", "teams_retention_check"
            ),
            CheckConstraint("(activities_from IS NULL) = (activities_from_at IS NULL)", "teams_activities_from_check"),
            CheckConstraint("length(name) > 0", "teams_name_check"),
        ]


class TeamFeed(Row):
    """A feed that has brought a team at least one activity; without it the feed's metrics are unavailable."""

    team_id: UUID
    team: fields.ForeignKeyRelation[Team] = fields.ForeignKeyField("sideline.Team", related_name=False)
    feed = fields.CharEnumField(Feed, max_length=16)
    since = fields.DatetimeField(db_default=created_now())

    class Meta:
        table = "team_feeds"
        constraints: ClassVar = [UniqueConstraint(("team_id", "feed"), "team_feeds_team_id_feed_key")]


class Holiday(Row):
    """A day that a team keeps free, or works, whatever the holidays of its country say."""

    team_id: UUID
    team: fields.ForeignKeyRelation[Team] = fields.ForeignKeyField("sideline.Team", related_name=False)
    day = fields.DateField()
    name = fields.CharField(max_length=200)
    working = fields.BooleanField(db_default=False, description="A holiday of the country that the team works on")

    class Meta:
        table = "holidays"
        constraints: ClassVar = [UniqueConstraint(("team_id", "day"), "holidays_team_id_day_key")]
