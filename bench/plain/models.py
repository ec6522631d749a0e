"""The tables, as far as the queries go."""

from __future__ import annotations

from tortoise import fields
from tortoise.models import Model


class Group(Model):
    """A group."""

    id = fields.UUIDField(primary_key=True)
    team_id = fields.UUIDField()
    name = fields.TextField()

    class Meta:
        table = "groups"


class User(Model):
    """A person."""

    id = fields.UUIDField(primary_key=True)
    team_id = fields.UUIDField()
    name = fields.TextField()
    email = fields.TextField()
    active = fields.BooleanField()
    group_id = fields.UUIDField(null=True)

    class Meta:
        table = "users"


class Activity(Model):
    """Something that happened."""

    id = fields.UUIDField(primary_key=True)
    team_id = fields.UUIDField()
    user_id = fields.UUIDField()
    kind = fields.TextField()
    occurred_at = fields.DatetimeField()
    source = fields.TextField()
    external_id = fields.TextField()
    duration_seconds = fields.IntField(null=True)
    connected = fields.BooleanField(null=True)
    disposition = fields.TextField(null=True)

    class Meta:
        table = "activities"


class Goal(Model):
    """A goal."""

    id = fields.UUIDField(primary_key=True)
    team_id = fields.UUIDField()
    user_id = fields.UUIDField(null=True)
    metric = fields.TextField()
    period = fields.TextField()

    class Meta:
        table = "goals"


class GoalVersion(Model):
    """A version of a goal."""

    id = fields.UUIDField(primary_key=True)
    goal_id = fields.UUIDField()
    version = fields.IntField()
    target = fields.DecimalField(max_digits=20, decimal_places=4)
    effective_from = fields.DateField()
    effective_to = fields.DateField(null=True)

    class Meta:
        table = "goal_versions"


class Month(Model):
    """A rep's sums of a month."""

    id = fields.UUIDField(primary_key=True)
    team_id = fields.UUIDField()
    user_id = fields.UUIDField()
    month = fields.DateField()
    emails_sent = fields.BigIntField()
    emails_replied = fields.BigIntField()
    calls_logged = fields.BigIntField()
    calls_connected = fields.BigIntField()
    meetings_booked = fields.BigIntField()
    meetings_held = fields.BigIntField()
    conversations_recorded = fields.BigIntField()
    tasks_completed = fields.BigIntField()
    closed_won_count = fields.BigIntField()
    closed_won_amount = fields.DecimalField(max_digits=24, decimal_places=4)

    class Meta:
        table = "rollup_months"


SUMS = tuple(
    "emails_sent emails_replied calls_logged calls_connected meetings_booked meetings_held conversations_recorded "
    "tasks_completed closed_won_count closed_won_amount".split()
)
"""What the dashboard sums."""
