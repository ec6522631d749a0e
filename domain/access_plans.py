"""Who may see and change coaching plans, sessions and programs; a room of domain/access.py.

**Plans.** A plan is seen by its coach and its co-coaches; once it is no draft any more, also by the rep, and with
`TEAM_VIEW` by whoever has the rep in scope. Agenda and shared notes are for the rep and the coaches alone. A private
note is for its author and the others who coach, and does not exist for anybody else, Admins included.

**Sessions** are for who takes part: the rep, the coach, the co-coaches. For nobody else do they exist, Admins included;
unless the team's setting `executiveVisibility` is on: then an Admin may read sessions, and each session that one reads
so stands in the audit log. Private notes stay private even then.

**Coaching.** Who has `TEAM_VIEW` may coach whom they have in scope, and takes colleagues in sight on as co-coaches.
What a plan or a session says is changed by those who coach in it, whatever their role allows by then.

**Programs** make sessions between managers and their reports: who has `MANAGE_TEAM` may make them for anybody, others
with `TEAM_VIEW` for themselves and for whoever is below them in the reporting line. They are seen by who made them, by
the managers in them, and with `MANAGE_TEAM`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from domain import access
from domain.access import Sight, Viewer
from domain.errors import Forbidden, Invalid, NotFound
from domain.models.people import Permission
from domain.models.plans import NoteVisibility, PlanStatus

if TYPE_CHECKING:
    from domain.database import Connection


@dataclass(frozen=True, slots=True)
class Circle:
    """Who takes part in a plan or a session.

    Args:
        user_id: The rep.
        coach_id: The coach.
        co_coach_ids: Who coaches too.
    """

    user_id: UUID
    coach_id: UUID
    co_coach_ids: frozenset[UUID]

    def coached_by(self, viewer_id: UUID) -> bool:
        """Whether somebody coaches in it."""
        return viewer_id == self.coach_id or viewer_id in self.co_coach_ids

    def has(self, viewer_id: UUID) -> bool:
        """Whether somebody takes part."""
        return viewer_id == self.user_id or self.coached_by(viewer_id)


@dataclass(frozen=True, slots=True)
class PlanSight:
    """The plans that a viewer may see.

    Args:
        viewer_id: The viewer.
        users: Whose data the viewer may see.
    """

    viewer_id: UUID
    users: Sight

    def sees(self, team_id: UUID, circle: Circle, status: PlanStatus) -> bool:
        """Whether one plan is in sight."""
        if team_id != self.users.team_id:
            return False
        if circle.coached_by(self.viewer_id):
            return True
        return status is not PlanStatus.DRAFT and (
            circle.user_id == self.viewer_id or self.users.sees(team_id, circle.user_id)
        )

    def filter(self, relation: str, arguments: list[object]) -> str:
        """The same as SQL over coaching_plans. Served by co_coaches_plan_key and the indexes of coaching_plans."""
        seen = self.users.filter(f"{relation}.user_id", arguments, team_column=f"{relation}.team_id")
        arguments += [self.users.team_id, self.viewer_id]
        team, viewer = f"${len(arguments) - 1}", f"${len(arguments)}"
        return f"""{relation}.team_id = {team} AND ({relation}.coach_id = {viewer}
            OR EXISTS (SELECT 1 FROM co_coaches cc WHERE cc.team_id = {team} AND cc.plan_id = {relation}.id
                AND cc.user_id = {viewer})
            OR {relation}.status <> 'DRAFT' AND ({relation}.user_id = {viewer} OR {seen}))"""


async def see_plans(connection: Connection, viewer: Viewer) -> PlanSight:
    """The plans that the viewer may see."""
    return PlanSight(viewer.user_id, await access.see_users(connection, viewer))


@dataclass(frozen=True, slots=True)
class SessionSight:
    """The sessions that a viewer may see.

    Args:
        team_id: The team.
        viewer_id: The viewer.
        executive: Whether the viewer may read those of others, each of which is written down.
        plans: The plans that the viewer may see, of which a list may be asked for.
    """

    team_id: UUID
    viewer_id: UUID
    executive: bool
    plans: PlanSight | None = None

    def sees(self, team_id: UUID, circle: Circle) -> bool:
        """Whether one session is in sight."""
        return team_id == self.team_id and (self.executive or circle.has(self.viewer_id))

    def filter(self, relation: str, arguments: list[object]) -> str:
        """The same as SQL over coaching_sessions or coaching_series. Served by their indexes and that of co_coaches."""
        arguments.append(self.team_id)
        team = f"${len(arguments)}"
        if self.executive:
            return f"{relation}.team_id = {team}"
        arguments.append(self.viewer_id)
        viewer = f"${len(arguments)}"
        return f"""{relation}.team_id = {team} AND ({relation}.user_id = {viewer} OR {relation}.coach_id = {viewer}
            OR {relation}.id IN (SELECT coalesce(cc.session_id, cc.series_id) FROM co_coaches cc
                WHERE cc.team_id = {team} AND cc.user_id = {viewer}))"""

    def own(self) -> SessionSight:
        """Those alone in which the viewer takes part."""
        return SessionSight(self.team_id, self.viewer_id, False, self.plans)


async def see_sessions(connection: Connection, viewer: Viewer) -> SessionSight:
    """The sessions that the viewer may see. The team's setting is read at the moment of use."""
    executive = viewer.is_admin and bool(
        await connection.fetchval("SELECT executive_visibility FROM teams WHERE id = $1", viewer.team_id)
    )
    return SessionSight(viewer.team_id, viewer.user_id, executive, await see_plans(connection, viewer))


def may_read_plan_texts(viewer: Viewer, circle: Circle) -> bool:
    """Whether the agenda and the shared notes of a plan are for the viewer."""
    return circle.has(viewer.user_id)


def may_read_note(viewer: Viewer, circle: Circle, visibility: NoteVisibility) -> bool:
    """Whether a note of a plan or a session that the viewer sees exists for them."""
    return visibility is NoteVisibility.SHARED or circle.coached_by(viewer.user_id)


def require_coaching(viewer: Viewer, circle: Circle, what: str) -> None:
    """Refuse whoever sees a plan or a session but does not coach in it.

    Raises:
        Forbidden: naming what is missing.
    """
    if not circle.coached_by(viewer.user_id):
        raise Forbidden(f"This {what} is changed by those who coach in it.", permission="coach")


def require_part(viewer: Viewer, circle: Circle, what: str) -> None:
    """Refuse whoever sees a plan or a session but does not take part in it.

    Raises:
        Forbidden: naming what is missing.
    """
    if not circle.has(viewer.user_id):
        raise Forbidden(f"This is for those who take part in the {what}.", permission="participant")


async def require_may_coach(connection: Connection, viewer: Viewer, user_id: UUID) -> None:
    """Refuse a viewer who may not coach somebody.

    Raises:
        Forbidden: the viewer lacks `TEAM_VIEW`.
        NotFound: the rep is not in sight, or works with the team no more.
        Invalid: it is the viewer.
    """
    access.require(viewer, Permission.TEAM_VIEW)
    path = ("input", "userId")
    if user_id == viewer.user_id:
        raise Invalid("userId: nobody coaches themselves; name a rep.", path=path)
    sight = await access.see_users(connection, viewer)
    access.require_seen(sight, user_id, "user", path=path)
    if not await _active(connection, viewer.team_id, [user_id]):
        raise NotFound("No such user.", path=path)


async def require_co_coaches(
    connection: Connection, viewer: Viewer, circle: Circle, *, known: Collection[UUID] = ()
) -> None:
    """Refuse co-coaches whom the viewer may not take on.

    Args:
        connection: Where.
        viewer: Who takes them on.
        circle: As it is to be.
        known: Who has been one already: they may stay, in sight or not.

    Raises:
        NotFound: one is not in sight, or works with the team no more.
        Invalid: one is the rep or the coach.
    """
    path = ("input", "coCoachIds")
    if circle.user_id in circle.co_coach_ids or circle.coach_id in circle.co_coach_ids:
        raise Invalid("coCoachIds: name neither the rep nor the coach.", path=path)
    fresh = circle.co_coach_ids - frozenset(known)
    if not fresh:
        return
    sight = await access.see_users(connection, viewer)
    if not all(sight.sees(viewer.team_id, one) for one in fresh) or fresh != await _active(
        connection, viewer.team_id, fresh
    ):
        raise NotFound("coCoachIds: no such user.", path=path)


async def _active(connection: Connection, team_id: UUID, ids: Collection[UUID]) -> frozenset[UUID]:
    rows = await connection.fetch(
        "SELECT id FROM users WHERE team_id = $1 AND id = ANY ($2::uuid[]) AND active", team_id, list(ids)
    )
    return frozenset(row["id"] for row in rows)


def require_template_change(viewer: Viewer, created_by_id: UUID | None) -> None:
    """Refuse to change a template to anybody but who made it and who manages the team.

    Raises:
        Forbidden: naming the permission.
    """
    access.require(viewer, Permission.TEAM_VIEW)
    if created_by_id != viewer.user_id:
        access.require(viewer, Permission.MANAGE_TEAM)


# UNION: a circle in the reporting line ends when it brings nobody new. Served by users (team_id, manager_id).
_BELOW = """
    WITH RECURSIVE below AS (
        SELECT $2::uuid AS id UNION SELECT u.id FROM users u JOIN below b ON u.team_id = $1 AND u.manager_id = b.id
    ) SELECT id FROM below"""


async def require_program_managers(connection: Connection, viewer: Viewer, manager_ids: Collection[UUID]) -> None:
    """Refuse managers for whom the viewer may not make a program.

    Raises:
        Forbidden: the viewer lacks `TEAM_VIEW`.
        NotFound: one is not there, or not below the viewer.
    """
    access.require(viewer, Permission.TEAM_VIEW)
    wanted = frozenset(manager_ids)
    if not access.may(viewer, Permission.MANAGE_TEAM):
        below = {row["id"] for row in await connection.fetch(_BELOW, viewer.team_id, viewer.user_id)}
        if not wanted <= below:
            raise NotFound("managerIds: no such user below you.", path=("input", "managerIds"))
    if wanted != await _active(connection, viewer.team_id, wanted):
        raise NotFound("managerIds: no such user.", path=("input", "managerIds"))


def may_see_program(viewer: Viewer, created_by_id: UUID | None, manager_ids: Collection[UUID]) -> bool:
    """Whether a program exists for the viewer."""
    return (
        created_by_id == viewer.user_id or viewer.user_id in manager_ids or access.may(viewer, Permission.MANAGE_TEAM)
    )


def require_program_change(viewer: Viewer, created_by_id: UUID | None) -> None:
    """Refuse to change a program to anybody but who made it and who manages the team.

    Raises:
        Forbidden: naming the permission.
    """
    access.require(viewer, Permission.TEAM_VIEW)
    if created_by_id != viewer.user_id:
        access.require(viewer, Permission.MANAGE_TEAM)
