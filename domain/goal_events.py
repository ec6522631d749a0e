"""What an event of a goal says: the goal as it was, before and after, in JSON that outlives the tables' shapes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from domain.events import EventType, StoredEvent
from domain.models.goals import GoalPeriod
from domain.pacing import GoalStatus


@dataclass(frozen=True, slots=True)
class Version:
    """What a goal's target is, and from when to when.

    Args:
        number: Grows by one with every change of the goal.
        target: More than 0.
        effective_from: The first day.
        effective_to: The last day; None while it goes on; the day before the first where it was replaced before it
            counted.
        set_by_id: Who set it.
        set_at: When.
    """

    number: int
    target: Decimal
    effective_from: date
    effective_to: date | None
    set_by_id: UUID | None
    set_at: datetime

    def to_json(self) -> dict[str, Any]:
        """As it is kept in an event."""
        return {
            "version": self.number,
            "target": str(self.target),
            "effectiveFrom": self.effective_from.isoformat(),
            "effectiveTo": None if self.effective_to is None else self.effective_to.isoformat(),
            "setBy": None if self.set_by_id is None else str(self.set_by_id),
            "setAt": self.set_at.isoformat(),
        }

    @classmethod
    def of_json(cls, data: Mapping[str, Any]) -> Version:
        """The same back."""
        return cls(
            data["version"],
            Decimal(data["target"]),
            date.fromisoformat(data["effectiveFrom"]),
            None if data["effectiveTo"] is None else date.fromisoformat(data["effectiveTo"]),
            None if data["setBy"] is None else UUID(data["setBy"]),
            datetime.fromisoformat(data["setAt"]),
        )


@dataclass(frozen=True, slots=True)
class GoalView:
    """A goal with its newest version. A derived one is the sum of the members' goals, and has no row of its own.

    Args:
        id: Its row; None for a derived one.
        team_id: Its team.
        user_id: Whose it is, if a user's.
        group_id: Whose it is, if a group's; with neither it is the team's.
        metric: The metric's key.
        period: Per what.
        newest: The newest version; of a derived one, the members' targets added up.
        derived: Whether it is the sum of the members' goals.
    """

    id: UUID | None
    team_id: UUID
    user_id: UUID | None
    group_id: UUID | None
    metric: str
    period: GoalPeriod
    newest: Version
    derived: bool = False

    @property
    def subject_id(self) -> UUID:
        """The user, the group or the team."""
        return self.user_id or self.group_id or self.team_id

    def to_json(self) -> dict[str, Any]:
        """As it is kept in an event or under an idempotency key."""
        return {
            "id": None if self.id is None else str(self.id),
            "user": None if self.user_id is None else str(self.user_id),
            "group": None if self.group_id is None else str(self.group_id),
            "metric": self.metric,
            "period": self.period.value,
            "newest": self.newest.to_json(),
        }

    @classmethod
    def of_json(cls, team_id: UUID, data: Mapping[str, Any]) -> GoalView:
        """The same back."""
        return cls(
            None if data["id"] is None else UUID(data["id"]),
            team_id,
            None if data["user"] is None else UUID(data["user"]),
            None if data["group"] is None else UUID(data["group"]),
            data["metric"],
            GoalPeriod(data["period"]),
            Version.of_json(data["newest"]),
        )


@dataclass(frozen=True, slots=True)
class StatusChange:
    """How a goal's status changed in a period."""

    period_start: date
    before: GoalStatus
    after: GoalStatus
    actual: Decimal | None
    target: Decimal


def goal_payload(
    goal: GoalView, before: Version | None, after: Version | None, status: StatusChange | None = None
) -> dict[str, Any]:
    """An event's payload."""
    payload: dict[str, Any] = {
        "goal": goal.to_json(),
        "before": None if before is None else before.to_json(),
        "after": None if after is None else after.to_json(),
    }
    if status is not None:
        payload["status"] = {
            "periodStart": status.period_start.isoformat(),
            "before": status.before.value,
            "after": status.after.value,
            "actual": None if status.actual is None else str(status.actual),
            "target": str(status.target),
        }
    return payload


@dataclass(frozen=True, slots=True)
class GoalEvent:
    """An event with what it says."""

    stored: StoredEvent
    goal: GoalView
    before: Version | None
    after: Version | None
    status: StatusChange | None

    @property
    def type(self) -> EventType:
        """What happened."""
        assert isinstance(self.stored.type, EventType), "it is an event of a goal"
        return self.stored.type

    @classmethod
    def of(cls, stored: StoredEvent) -> GoalEvent:
        """Read an event's payload."""
        payload = stored.payload
        before, after, status = payload["before"], payload["after"], payload.get("status")
        return cls(
            stored,
            GoalView.of_json(stored.team_id, payload["goal"]),
            None if before is None else Version.of_json(before),
            None if after is None else Version.of_json(after),
            None
            if status is None
            else StatusChange(
                date.fromisoformat(status["periodStart"]),
                GoalStatus(status["before"]),
                GoalStatus(status["after"]),
                None if status["actual"] is None else Decimal(status["actual"]),
                Decimal(status["target"]),
            ),
        )


@dataclass(frozen=True, slots=True)
class GoalFilter:
    """Which goals; all conditions must hold. Users and groups together mean either."""

    user_ids: tuple[UUID, ...] | None = None
    group_ids: tuple[UUID, ...] | None = None
    metrics: tuple[str, ...] | None = None
    periods: tuple[GoalPeriod, ...] | None = None
    include_ended: bool = False

    def matches(self, goal: GoalView) -> bool:
        """Whether a goal is one of them; ended ones are not told apart here."""
        if self.metrics is not None and goal.metric not in self.metrics:
            return False
        if self.periods is not None and goal.period not in self.periods:
            return False
        if self.user_ids is None and self.group_ids is None:
            return True
        return (goal.user_id is not None and goal.user_id in (self.user_ids or ())) or (
            goal.group_id is not None and goal.group_id in (self.group_ids or ())
        )
