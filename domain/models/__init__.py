"""Tortoise models, one module a concept; Tortoise finds them all here."""

from domain.models.activities import Activity, ActivityKey, ActivityKind, EmailBody, MeetingStatus, StepStatus
from domain.models.events import Event
from domain.models.goals import Goal, GoalPeriod, GoalVersion
from domain.models.imports import Import, ImportChunk, QuarantinedRecord
from domain.models.jobs import Job, JobState
from domain.models.people import Group, Permission, Role, User
from domain.models.rollups import RollupDay, RollupMonth
from domain.models.teams import Feed, Team, TeamFeed
from domain.models.tokens import Token, TokenKind, TokenScope

__all__ = [
    "Activity",
    "ActivityKey",
    "ActivityKind",
    "EmailBody",
    "Event",
    "Feed",
    "Goal",
    "GoalPeriod",
    "GoalVersion",
    "Group",
    "Import",
    "ImportChunk",
    "Job",
    "JobState",
    "MeetingStatus",
    "Permission",
    "QuarantinedRecord",
    "Role",
    "RollupDay",
    "RollupMonth",
    "StepStatus",
    "Team",
    "TeamFeed",
    "Token",
    "TokenKind",
    "TokenScope",
    "User",
]
