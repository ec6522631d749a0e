"""Who may see and change scheduled actions, and download snapshots; the rest of access is in domain/access.py.

**Seen** are one's own actions, with `TEAM_VIEW` those of the people in scope, and with `MANAGE_TEAM` those that are
nobody's in particular (the sync of a team's integration). What belongs to a coaching session is its participants'
business alone: whoever it is for, and whoever made it; no permission opens it to others.

**Changed** may be what one sees: one's own; of people in scope with `MANAGE_GOALS` or `MANAGE_TEAM`; what is nobody's
with `MANAGE_TEAM`. Upcoming work is the engagement platform's, a session's actions are the session's: of these only the
time at which one is reminded is one's own to move (snooze).

**Carried out** is an action with the rights that its maker has at that moment: `may_carry_out` asks the same question
again, for the maker. So nobody but the maker, and Admin, starts or moves what sets goals; others who may change it may
pause and cancel it (`require_action_start`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from domain.access import Sight, Viewer, may, require, see_users
from domain.errors import Forbidden
from domain.models.people import Permission

if TYPE_CHECKING:
    from domain.database import Connection

PRIVATE_KINDS = ("coaching_session", "coaching_reminder")
"""Actions of coaching sessions, which are private to their participants."""
_WITH_MAKERS_RIGHTS = ("goal_rollover",)
"""Actions that change what others see with the rights of their maker."""
_CHANGING = f"{Permission.MANAGE_GOALS.value} or {Permission.MANAGE_TEAM.value}"


@dataclass(frozen=True, slots=True)
class ActionSight:
    """The scheduled actions that a viewer may see.

    Args:
        users: The users whose actions are among them.
        user_id: The viewer.
        team_wide: Whether those of nobody in particular are among them.
    """

    users: Sight
    user_id: UUID
    team_wide: bool

    def sees(self, team_id: UUID, kind: str, user_id: UUID | None, created_by_id: UUID | None) -> bool:
        """Whether one action is in sight."""
        if team_id != self.users.team_id:
            return False
        if user_id == self.user_id:
            return True
        if kind in PRIVATE_KINDS:
            return created_by_id == self.user_id
        return self.team_wide if user_id is None else self.users.sees(team_id, user_id)

    def filter(self, relation: str, arguments: list[object]) -> str:
        """The same as SQL over a relation with team_id, kind, user_id and created_by_id."""
        users = self.users.filter(f"{relation}.user_id", arguments, team_column=f"{relation}.team_id")
        arguments += [self.users.team_id, self.user_id, list(PRIVATE_KINDS)]
        n = len(arguments)
        shared = f" OR {relation}.user_id IS NULL" if self.team_wide else ""
        return (
            f"{relation}.team_id = ${n - 2} AND ({relation}.user_id = ${n - 1}"
            f" OR {relation}.kind = ANY (${n}::text[]) AND {relation}.created_by_id = ${n - 1}"
            f" OR {relation}.kind <> ALL (${n}::text[]) AND ({relation}.user_id IS NOT NULL AND {users}{shared}))"
        )


async def see_actions(connection: Connection, viewer: Viewer) -> ActionSight:
    """The scheduled actions that the viewer may see."""
    return ActionSight(await see_users(connection, viewer), viewer.user_id, may(viewer, Permission.MANAGE_TEAM))


def may_change_others(viewer: Viewer) -> bool:
    """Whether the viewer may change actions of the people in scope."""
    return may(viewer, Permission.MANAGE_GOALS) or may(viewer, Permission.MANAGE_TEAM)


def require_action_change(viewer: Viewer, user_id: UUID | None) -> None:
    """Refuse a viewer who may not make or change an action of somebody whom they see.

    Raises:
        Forbidden: naming what is missing.
    """
    if user_id == viewer.user_id:
        return
    if user_id is None:
        require(viewer, Permission.MANAGE_TEAM)
    elif not may_change_others(viewer):
        raise Forbidden(f"Actions of others need the permission {_CHANGING}.", permission=_CHANGING)


def require_action_start(viewer: Viewer, kind: str, created_by_id: UUID | None) -> None:
    """Refuse to have something done at another time than its maker said, with the maker's rights, to anybody else but
    Admin.

    Raises:
        Forbidden: naming the role.
    """
    if kind in _WITH_MAKERS_RIGHTS and created_by_id != viewer.user_id and not viewer.is_admin:
        raise Forbidden("This is done with its maker's rights: it is its maker's to start or move.", permission="Admin")


def may_carry_out(maker: Viewer, sight: ActionSight, kind: str, user_id: UUID | None) -> bool:
    """Whether an action's maker may still have it carried out: it is in their sight, and theirs to change."""
    if user_id == maker.user_id or kind in PRIVATE_KINDS:
        return True
    if not sight.sees(maker.team_id, kind, user_id, maker.user_id):
        return False
    return may(maker, Permission.MANAGE_TEAM) if user_id is None else may_change_others(maker)


@dataclass(frozen=True, slots=True)
class SnapshotSight:
    """The snapshots of reports that a viewer may download: those of people in sight, as far as everybody whose numbers
    are in one is in sight too, now.

    Args:
        users: The users in sight.
    """

    users: Sight

    def sees(self, team_id: UUID, user_id: UUID, subjects: Iterable[UUID], *, whole_team: bool) -> bool:
        """Whether one snapshot is in sight."""
        if not self.users.sees(team_id, user_id):
            return False
        return self.users.everything or (not whole_team and all(self.users.sees(team_id, one) for one in subjects))

    def filter(self, relation: str, arguments: list[object]) -> str:
        """The same as SQL over a relation with team_id, user_id, subjects and whole_team."""
        condition = self.users.filter(f"{relation}.user_id", arguments, team_column=f"{relation}.team_id")
        if not self.users.everything:
            arguments.append(sorted(self.users.ids))
            condition += f" AND NOT {relation}.whole_team AND {relation}.subjects <@ ${len(arguments)}::uuid[]"
        return condition


async def see_snapshots(connection: Connection, viewer: Viewer) -> SnapshotSight:
    """The snapshots that the viewer may download."""
    return SnapshotSight(await see_users(connection, viewer))
