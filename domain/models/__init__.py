"""Tortoise models, one module a concept; Tortoise finds them all here."""

from domain.models.activities import Activity, ActivityKey, ActivityKind, EmailBody, MeetingStatus, StepStatus
from domain.models.audit import AuditEntry, AuditHead
from domain.models.documents import TrustedDocument
from domain.models.erasure import ErasedName
from domain.models.events import Event, EventHead, EventRelay, MetricChange
from domain.models.goals import Goal, GoalEvaluation, GoalPeriod, GoalState, GoalVersion, IdempotencyKey
from domain.models.imports import Import, ImportChunk, QuarantinedRecord
from domain.models.integrations import (
    AccountBudget,
    ConnectorKind,
    CrmPart,
    ExchangeRate,
    FieldMapping,
    Integration,
    IntegrationState,
    QuarantinedDocument,
    SyncedDocument,
)
from domain.models.jobs import Job, JobState
from domain.models.keys import DataKey
from domain.models.people import DayOff, Group, Permission, Role, User
from domain.models.rollups import RollupDay, RollupMonth
from domain.models.teams import Feed, FiscalCalendar, Holiday, Team, TeamFeed
from domain.models.tokens import Token, TokenKind, TokenScope
from domain.models.webhooks import WebhookDelivery, WebhookEndpoint, WebhookState

__all__ = [
    "AccountBudget",
    "Activity",
    "ActivityKey",
    "ActivityKind",
    "AuditEntry",
    "AuditHead",
    "ConnectorKind",
    "CrmPart",
    "DataKey",
    "DayOff",
    "EmailBody",
    "ErasedName",
    "Event",
    "EventHead",
    "EventRelay",
    "ExchangeRate",
    "Feed",
    "FieldMapping",
    "FiscalCalendar",
    "Goal",
    "GoalEvaluation",
    "GoalPeriod",
    "GoalState",
    "GoalVersion",
    "Group",
    "Holiday",
    "IdempotencyKey",
    "Import",
    "ImportChunk",
    "Integration",
    "IntegrationState",
    "Job",
    "JobState",
    "MeetingStatus",
    "MetricChange",
    "Permission",
    "QuarantinedDocument",
    "QuarantinedRecord",
    "Role",
    "RollupDay",
    "RollupMonth",
    "StepStatus",
    "SyncedDocument",
    "Team",
    "TeamFeed",
    "Token",
    "TokenKind",
    "TokenScope",
    "TrustedDocument",
    "User",
    "WebhookDelivery",
    "WebhookEndpoint",
    "WebhookState",
]
