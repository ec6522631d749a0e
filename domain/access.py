"""Who may see and do what: the one place that answers.

Every question comes in two forms made from one definition: a predicate for one object and a filter for a query. A
`Sight` is what a viewer may see of people or groups, read from the tables at the moment of use; `sees()` is the
predicate, `filter()` the same as SQL.

Design, section 2. Scope: everybody, for Admin; else the viewer, the members of the viewer's group and of all groups
below it, and everybody below the viewer in the reporting line. A team without groups is one scope for a viewer with
`TEAM_VIEW` or `MANAGE_GOALS`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING
from uuid import UUID

from domain.errors import Forbidden, Invalid, NotFound
from domain.identity import Identity as Viewer
from domain.models.people import Permission
from domain.models.tokens import TokenScope

if TYPE_CHECKING:
    from domain.database import Connection

__all__ = [
    "GoalSight",
    "Sight",
    "Tab",
    "Viewer",
    "coaching_tabs",
    "may",
    "require",
    "require_admin",
    "require_scope",
    "see_goals",
    "see_groups",
    "see_members",
    "see_users",
]


PEERS_MINIMUM = 3
"""Fewer peers than this would tell who they are."""


class Tab(StrEnum):
    """The tabs of coaching."""

    TEAM = "TEAM"
    INDIVIDUAL = "INDIVIDUAL"
    MANAGER_VIEW = "MANAGER_VIEW"
    INDIVIDUAL_VIEW = "INDIVIDUAL_VIEW"
    SCHEDULED_ACTIONS = "SCHEDULED_ACTIONS"
    LIVE_CALL_STUDIO = "LIVE_CALL_STUDIO"


@dataclass(frozen=True, slots=True)
class Sight:
    """The users or the groups of a team that a viewer may see.

    Args:
        team_id: The only team in it.
        everything: All of the team; `ids` is then empty.
        ids: Otherwise exactly these.
    """

    team_id: UUID
    everything: bool
    ids: frozenset[UUID]

    def sees(self, team_id: UUID, object_id: UUID) -> bool:
        """Whether one object is in sight."""
        return team_id == self.team_id and (self.everything or object_id in self.ids)

    def filter(self, column: str, arguments: list[object], *, team_column: str = "team_id") -> str:
        """The same as SQL: a condition on a query, whose parameters are appended to `arguments`.

        The team is always part of it.
        """
        arguments.append(self.team_id)
        condition = f"{team_column} = ${len(arguments)}"
        if not self.everything:
            arguments.append(sorted(self.ids))
            condition += f" AND {column} = ANY (${len(arguments)}::uuid[])"
        return condition

    def narrowed(self, ids: Iterable[UUID]) -> Sight:
        """What of some objects is in sight."""
        wanted = frozenset(ids)
        return Sight(self.team_id, False, wanted if self.everything else wanted & self.ids)


def may(viewer: Viewer, permission: Permission) -> bool:
    """Whether the viewer's role allows something; Admin's allows all."""
    return viewer.is_admin or permission.value in viewer.permissions


def require(viewer: Viewer, permission: Permission) -> None:
    """Refuse a viewer whose role does not allow something.

    Raises:
        Forbidden: naming the permission.
    """
    if not may(viewer, permission):
        raise Forbidden(f"This needs the permission {permission.value}.", permission=permission.value)


def require_admin(viewer: Viewer) -> None:
    """Refuse everybody but an Admin.

    Raises:
        Forbidden: naming the role.
    """
    if not viewer.is_admin:
        raise Forbidden("This needs the role Admin.", permission="Admin")


def see_members(viewer: Viewer) -> Sight:
    """All who are on the team, as who manages it knows of them: who they are and where, not what they did.

    Raises:
        Forbidden: the viewer lacks `MANAGE_TEAM`.
    """
    require(viewer, Permission.MANAGE_TEAM)
    return Sight(viewer.team_id, True, frozenset())


def may_see_tokens(viewer: Viewer, owner_id: UUID) -> bool:
    """Whether the viewer may know of somebody's tokens, and end them."""
    return owner_id == viewer.user_id or may(viewer, Permission.MANAGE_TEAM)


def require_scope(viewer: Viewer, scope: TokenScope) -> None:
    """Refuse a token that is not meant for this use.

    Raises:
        Forbidden: naming the scope.
    """
    if scope.value not in viewer.scopes:
        raise Forbidden(f"This needs a token with the scope {scope.value}.", permission=f"scope:{scope.value}")


# UNION, not UNION ALL: a circle in the reporting line ends when it brings nobody new.
# Served by groups (team_id, parent_id), users (team_id, group_id) and users (team_id, manager_id).
_GROUPS_BELOW = """
    WITH RECURSIVE below AS (
        SELECT u.group_id AS id FROM users u WHERE u.team_id = $1 AND u.id = $2 AND u.group_id IS NOT NULL
        UNION
        SELECT g.id FROM groups g JOIN below b ON g.team_id = $1 AND g.parent_id = b.id
    )"""
_SCOPE_OF_USERS = f"""
    {_GROUPS_BELOW}, reports AS (
        SELECT $2::uuid AS id
        UNION
        SELECT u.id FROM users u JOIN reports r ON u.team_id = $1 AND u.manager_id = r.id
    )
    SELECT id FROM reports
    UNION
    SELECT u.id FROM users u JOIN below b ON u.team_id = $1 AND u.group_id = b.id
    UNION
    SELECT u.id FROM users u WHERE u.team_id = $1 AND NOT EXISTS (SELECT 1 FROM groups g WHERE g.team_id = $1)
    """
_SCOPE_OF_GROUPS = f"{_GROUPS_BELOW} SELECT id FROM below"


async def see_users(connection: Connection, viewer: Viewer, permission: Permission = Permission.TEAM_VIEW) -> Sight:
    """The users whose data the viewer may see by a permission: always themselves, and their scope with it."""
    if viewer.is_admin:
        return Sight(viewer.team_id, True, frozenset())
    if not may(viewer, permission):
        return Sight(viewer.team_id, False, frozenset({viewer.user_id}))
    rows = await connection.fetch(_SCOPE_OF_USERS, viewer.team_id, viewer.user_id)
    return Sight(viewer.team_id, False, frozenset(row["id"] for row in rows) | {viewer.user_id})


async def see_groups(connection: Connection, viewer: Viewer, permission: Permission = Permission.TEAM_VIEW) -> Sight:
    """The groups whose data the viewer may see by a permission: their own and all below, or all for Admin."""
    if viewer.is_admin:
        return Sight(viewer.team_id, True, frozenset())
    if not may(viewer, permission):
        return Sight(viewer.team_id, False, frozenset())
    rows = await connection.fetch(_SCOPE_OF_GROUPS, viewer.team_id, viewer.user_id)
    return Sight(viewer.team_id, False, frozenset(row["id"] for row in rows))


@dataclass(frozen=True, slots=True)
class GoalSight:
    """The subjects whose goals a viewer may see.

    Args:
        users: Always with the viewer; beyond that, and for the rest, `MANAGE_GOALS` is needed.
        groups: The groups in scope.
        team: Whether the goals of the team as a whole are among them: where the scope is everybody.
    """

    users: Sight
    groups: Sight
    team: bool

    def sees(self, team_id: UUID, user_id: UUID | None, group_id: UUID | None) -> bool:
        """Whether the goals of one subject are in sight; without a user and a group, the team's."""
        if user_id is not None:
            return self.users.sees(team_id, user_id)
        if group_id is not None:
            return self.groups.sees(team_id, group_id)
        return self.team and team_id == self.users.team_id

    def filter(self, relation: str, arguments: list[object]) -> str:
        """The same as SQL over a relation with team_id, user_id and group_id."""
        users = self.users.filter(f"{relation}.user_id", arguments, team_column=f"{relation}.team_id")
        groups = self.groups.filter(f"{relation}.group_id", arguments, team_column=f"{relation}.team_id")
        arguments.append(self.users.team_id)
        team = f"{relation}.team_id = ${len(arguments)} AND {relation}.user_id IS NULL AND {relation}.group_id IS NULL"
        return (
            f"({relation}.user_id IS NOT NULL AND {users} OR {relation}.group_id IS NOT NULL AND {groups}"
            f" OR {'true' if self.team else 'false'} AND {team})"
        )


async def see_goals(connection: Connection, viewer: Viewer) -> GoalSight:
    """The subjects whose goals the viewer may see."""
    users = await see_users(connection, viewer, Permission.MANAGE_GOALS)
    groups = await see_groups(connection, viewer, Permission.MANAGE_GOALS)
    whole = viewer.is_admin
    if not whole and may(viewer, Permission.MANAGE_GOALS):
        whole = not await connection.fetchval("SELECT EXISTS (SELECT 1 FROM groups WHERE team_id = $1)", viewer.team_id)
    return GoalSight(users, groups, whole)


def require_goal_editing(viewer: Viewer, *, own_only: bool) -> None:
    """Refuse a viewer who may not change the goals that they name, before anything is looked up.

    Args:
        viewer: Who asks.
        own_only: Whether nothing but the viewer's own goals is to be changed.

    Raises:
        Forbidden: naming `MANAGE_GOALS`; or the team's setting, for one's own goals.
    """
    if may(viewer, Permission.MANAGE_GOALS):
        return
    if not own_only:
        raise Forbidden("Goals of others need the permission MANAGE_GOALS.", permission=Permission.MANAGE_GOALS.value)
    if not viewer.reps_edit_own_goals:
        raise Forbidden(
            "Your team has reps' goals set by managers: this needs the permission MANAGE_GOALS.",
            permission=Permission.MANAGE_GOALS.value,
        )


def require_seen(sight: Sight, object_id: UUID, what: str, *, path: tuple[str, ...] = ()) -> None:
    """Answer for a hidden object as for one that never was.

    Raises:
        NotFound: it is not in sight.
    """
    if not sight.sees(sight.team_id, object_id):
        raise NotFound(f"No such {what}.", path=path)


def require_group(viewer: Viewer, groups: Sight, group_id: UUID) -> None:
    """Refuse a group filter that the viewer may not use.

    Raises:
        Forbidden: the viewer may not filter at all.
        NotFound: the group is not in sight.
    """
    require(viewer, Permission.TEAM_VIEW)
    require_seen(groups, group_id, "group", path=("groupId",))


def see_peers(viewer: Viewer, users: Sight, user_id: UUID, peers: frozenset[UUID]) -> Sight | None:
    """The peers whose average, median and percentile the viewer may see beside a user's numbers; None where not.

    With `TEAM_VIEW`, if all of them are in sight. Else for one's own numbers alone, without names, from
    `PEERS_MINIMUM` peers on, where the team has not turned it off.
    """
    shown = Sight(viewer.team_id, False, peers)
    if may(viewer, Permission.TEAM_VIEW) and all(users.sees(viewer.team_id, peer) for peer in peers):
        return shown
    if user_id == viewer.user_id and viewer.show_peer_statistics and len(peers) >= PEERS_MINIMUM:
        return shown
    return None


def fewest_peers(viewer: Viewer, users: Sight, peers: frozenset[UUID]) -> int:
    """How many of the peers that `see_peers` gives must have a value for their statistics to be shown.

    Who sees each of them anyway is shown any; for others the median of a rate that one peer alone has would be that
    peer's own.
    """
    named = may(viewer, Permission.TEAM_VIEW) and all(users.sees(viewer.team_id, peer) for peer in peers)
    return 1 if named else PEERS_MINIMUM


def may_see_job(viewer: Viewer, requested_by_id: UUID | None) -> bool:
    """Whether the viewer may see a job of their team: who asked for it, and who manages the team."""
    return requested_by_id == viewer.user_id or may(viewer, Permission.MANAGE_TEAM)


@dataclass(frozen=True, slots=True)
class IntegrationSight:
    """The connections that a viewer may see: their own calendars, and those of the team with `MANAGE_TEAM`.

    Args:
        team_id: The team.
        user_id: The viewer.
        team_wide: Whether the team's are among them.
    """

    team_id: UUID
    user_id: UUID
    team_wide: bool

    def sees(self, team_id: UUID, owner_id: UUID | None) -> bool:
        """Whether one connection is in sight."""
        return team_id == self.team_id and (owner_id == self.user_id or (owner_id is None and self.team_wide))

    def filter(self, relation: str, arguments: list[object]) -> str:
        """The same as SQL over a relation with team_id and owner_id."""
        arguments += [self.team_id, self.user_id]
        n = len(arguments)
        shared = f" OR {relation}.owner_id IS NULL" if self.team_wide else ""
        return f"{relation}.team_id = ${n - 1} AND ({relation}.owner_id = ${n}{shared})"


def see_integrations(viewer: Viewer) -> IntegrationSight:
    """The connections that the viewer may see. A calendar is nobody's business but its owner's."""
    return IntegrationSight(viewer.team_id, viewer.user_id, may(viewer, Permission.MANAGE_TEAM))


def may_read_documents(viewer: Viewer, owner_id: UUID | None) -> bool:
    """Whether the viewer may read what waits in quarantine as it came: who brought it, and Admin. It may hold anything
    that anybody on the team wrote, bodies of emails too.

    Args:
        viewer: Who reads.
        owner_id: Whose connection or upload it came by; None for the team's.
    """
    return viewer.is_admin or owner_id == viewer.user_id


def may_sync_deals(viewer: Viewer) -> bool:
    """Whether the viewer may switch the CRM sync of deals: the role Admin and a seat for deals, both."""
    return viewer.is_admin and viewer.deals_access


def require_deals(viewer: Viewer) -> None:
    """Refuse whoever lacks the role Admin or the seat for deals.

    Raises:
        Forbidden: naming which of them is missing.
    """
    if not viewer.is_admin:
        raise Forbidden("The CRM sync of deals needs the role Admin and access to deals.", permission="Admin")
    if not viewer.deals_access:
        raise Forbidden("The CRM sync of deals needs access to deals too, a seat.", permission="dealsAccess")


def require_team_integrations(viewer: Viewer, *, deals: bool) -> None:
    """Refuse a viewer who may not connect, change or end a connection of the team.

    Args:
        viewer: Who asks.
        deals: Whether it syncs deals, before or after.

    Raises:
        Forbidden: naming what is missing.
    """
    require(viewer, Permission.MANAGE_TEAM)
    if deals:
        require_deals(viewer)


def require_personal_export(viewer: Viewer, user_id: UUID) -> None:
    """Refuse to give all data of a person to anybody but the person and an Admin; nobody else learns whether there is
    such a person.

    Raises:
        Forbidden: it is somebody else's, and the viewer is not an Admin; or the credential takes trusted documents
            alone, which this is none of.
    """
    if user_id != viewer.user_id:
        require_admin(viewer)
    if viewer.trusted_documents_only:
        raise Forbidden("This credential takes trusted documents alone.", permission="trustedDocumentsOnly")


def may_read_email_body(viewer: Viewer, owner_id: UUID) -> bool:
    """Whether the viewer may read the body of an email that is already in sight."""
    return owner_id == viewer.user_id or (
        may(viewer, Permission.TEAM_VIEW) and may(viewer, Permission.VIEW_EMAIL_CONTENT)
    )


def require_body_in_sight(users: Sight, owner_id: UUID) -> None:
    """Refuse the body of an email of somebody whose data is not in sight: who is asked for feedback on it sees the
    email without its body, whatever their role allows elsewhere.

    Raises:
        Forbidden: naming the permission that it takes in scope.
    """
    if not users.sees(users.team_id, owner_id):
        raise Forbidden(
            "A request for feedback does not open an email's body.", permission=Permission.VIEW_EMAIL_CONTENT.value
        )


def may_see_live_calls(viewer: Viewer) -> bool:
    """Whether live calls of users in scope are open to the viewer."""
    return may(viewer, Permission.LIVE_CALL_STUDIO) and may(viewer, Permission.TEAM_VIEW)


def require_live_calls(viewer: Viewer) -> None:
    """Refuse a viewer to whom live calls are not open.

    Raises:
        Forbidden: naming the permission that is missing.
    """
    require(viewer, Permission.LIVE_CALL_STUDIO)
    require(viewer, Permission.TEAM_VIEW)


async def see_live_calls(connection: Connection, viewer: Viewer) -> Sight:
    """The users whose live calls the viewer may see: their scope, or nobody, themselves neither."""
    if not may_see_live_calls(viewer):
        return Sight(viewer.team_id, False, frozenset())
    return await see_users(connection, viewer)


def may_read_note(viewer: Viewer, author_id: UUID, *, private: bool) -> bool:
    """Whether the viewer may read a note on a live call that is in sight: a private one is its author's alone."""
    return not private or author_id == viewer.user_id


def notes_filter(viewer: Viewer, relation: str, arguments: list[object]) -> str:
    """The same as SQL over a relation with private and author_id."""
    arguments.append(viewer.user_id)
    return f"(NOT {relation}.private OR {relation}.author_id = ${len(arguments)})"


def may_manage_goals(viewer: Viewer) -> bool:
    """Whether the viewer may set goals of others in scope; the goals settings page."""
    return may(viewer, Permission.MANAGE_GOALS)


def require_score_management(viewer: Viewer) -> None:
    """Refuse a viewer who may not say how roles are scored and what earns accolades: both count for the whole team,
    beyond anybody's scope, so that MANAGE_GOALS is not enough.

    Raises:
        Forbidden: the viewer lacks `MANAGE_TEAM`.
    """
    require(viewer, Permission.MANAGE_TEAM)


async def see_scored_roles(connection: Connection, viewer: Viewer, users: Sight) -> Sight:
    """The roles whose score definitions the viewer may see: all with `MANAGE_TEAM`; else their own, and those of the
    people in sight, whose scores are in sight too.

    Scores themselves go with the people's data (`see_users`). What a score is made of in numbers (targets, attainments,
    contributions) goes with their goals (`see_goals`).
    """
    if may(viewer, Permission.MANAGE_TEAM):
        return Sight(viewer.team_id, True, frozenset())
    arguments: list[object] = []
    condition = users.filter("u.id", arguments, team_column="u.team_id")
    rows = await connection.fetch(f"SELECT DISTINCT u.role_id FROM users u WHERE {condition}", *arguments)
    return Sight(viewer.team_id, False, frozenset(row["role_id"] for row in rows) | {viewer.role_id})


def require_accolade_granting(viewer: Viewer, users: Sight, user_id: UUID) -> None:
    """Refuse to grant an accolade by hand to who is not in the viewer's scope, and to oneself.

    Raises:
        Forbidden: the viewer lacks `TEAM_VIEW`.
        Invalid: it is the viewer.
        NotFound: the person is not in sight.
    """
    require(viewer, Permission.TEAM_VIEW)
    if user_id == viewer.user_id:
        raise Invalid("userId: nobody grants themselves an accolade; somebody else does.", path=("input", "userId"))
    require_seen(users, user_id, "user", path=("input", "userId"))


def require_accolade_revoking(viewer: Viewer, granted_by_id: UUID | None) -> None:
    """Refuse to revoke an accolade in sight to all but who granted it by hand and who manages the team.

    Raises:
        Forbidden: the viewer lacks `MANAGE_TEAM`.
    """
    if granted_by_id is None or granted_by_id != viewer.user_id:
        require(viewer, Permission.MANAGE_TEAM)


def coaching_tabs(viewer: Viewer) -> tuple[Tab, tuple[Tab, ...]]:
    """The tab that coaching opens on, and all tabs that will work for the viewer."""
    tabs = [Tab.TEAM, Tab.INDIVIDUAL]
    team_view = may(viewer, Permission.TEAM_VIEW)
    if team_view:
        tabs.append(Tab.MANAGER_VIEW)
    tabs += [Tab.INDIVIDUAL_VIEW, Tab.SCHEDULED_ACTIONS]
    if may_see_live_calls(viewer):
        tabs.append(Tab.LIVE_CALL_STUDIO)
    return (Tab.TEAM if team_view else Tab.INDIVIDUAL), tuple(tabs)
