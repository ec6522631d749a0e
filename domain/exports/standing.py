"""What a viewer may see at a moment, and whether any of it is gone at another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from domain import access
from domain.access import GoalSight, Sight, Viewer

if TYPE_CHECKING:
    from domain.database import Connection


@dataclass(frozen=True, slots=True)
class Standing:
    """A viewer's rights.

    Args:
        admin: Whether the role is Admin.
        permissions: What the role allows.
        users: The users whose data is in sight.
        groups: The groups in sight.
        goals: The subjects whose goals are in sight.
    """

    admin: bool
    permissions: frozenset[str]
    users: Sight
    groups: Sight
    goals: GoalSight

    def holds(self, earlier: Standing) -> bool:
        """Whether nothing of an earlier standing is gone."""
        return (
            self.admin >= earlier.admin
            and self.permissions >= earlier.permissions
            and _holds(self.users, earlier.users)
            and _holds(self.groups, earlier.groups)
            and _holds(self.goals.users, earlier.goals.users)
            and _holds(self.goals.groups, earlier.goals.groups)
            and self.goals.team >= earlier.goals.team
        )

    def to_json(self) -> dict[str, Any]:
        """As it is kept with a file."""
        return {
            "admin": self.admin,
            "permissions": sorted(self.permissions),
            "users": _ids(self.users),
            "groups": _ids(self.groups),
            "goalUsers": _ids(self.goals.users),
            "goalGroups": _ids(self.goals.groups),
            "goalTeam": self.goals.team,
        }

    @classmethod
    def of_json(cls, team_id: UUID, kept: Mapping[str, Any]) -> Standing:
        """The same back."""
        return cls(
            kept["admin"],
            frozenset(kept["permissions"]),
            _sight(team_id, kept["users"]),
            _sight(team_id, kept["groups"]),
            GoalSight(_sight(team_id, kept["goalUsers"]), _sight(team_id, kept["goalGroups"]), kept["goalTeam"]),
        )


def _holds(now: Sight, earlier: Sight) -> bool:
    return now.everything or (not earlier.everything and now.ids >= earlier.ids)


def _ids(sight: Sight) -> list[str] | None:
    return None if sight.everything else [one.hex for one in sorted(sight.ids)]


def _sight(team_id: UUID, ids: list[str] | None) -> Sight:
    return Sight(team_id, ids is None, frozenset(map(UUID, ids or ())))


async def standing_of(connection: Connection, viewer: Viewer) -> Standing:
    """A viewer's rights now."""
    return Standing(
        viewer.is_admin,
        viewer.permissions,
        await access.see_users(connection, viewer),
        await access.see_groups(connection, viewer),
        await access.see_goals(connection, viewer),
    )
