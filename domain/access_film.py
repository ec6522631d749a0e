"""Who may see and do what with film; a part of domain/access.py, in the same two forms.

**An activity** is seen by its owner, by whoever sees the owner's data (design, section 2), and by whom the owner asks
for feedback on it, as long as the request is open: the owner alone can open this door, to this one activity, and closes
it by withdrawing. It leads to no list, no dashboard and no email body (`access.require_body_in_sight`).

**Comments, playlists' items, calibrations** are seen by whoever sees the activity. What is said of a rep's film is
said to the rep: there are no comments behind the rep's back (notes of the coach's own belong into a coaching plan).

**Scorecards** that are submitted are seen by the rep, the scorer, and whoever sees the rep's data; not by a peer who
was asked for feedback, to whom the rep shows the film and not the marks. Drafts are the scorer's. While a calibration
is open nobody sees another's card of it: not even who has submitted, Admin, or the rep.

**Templates** of scorecards are everybody's to read. Making one needs `MANAGE_GOALS`: like a goal, a template says what
is expected of others. Changing one is for who made it, and for `MANAGE_TEAM`.

**Relation** of who judges to the rep: SELF; MANAGER for Admin, for whoever is above the rep in the reporting line, and
with `TEAM_VIEW` for who sits in a group above the rep's, or has the rep in scope and may set the rep's goals
(`MANAGE_GOALS`); PEER for everybody else. Reviews are managers' alone.

**Names.** Who takes part in a film (author, scorer, who is asked) is known by name to whoever sees it. A rep also knows
by name their own manager and the members of their own group (all of a team without groups), to ask them for feedback.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from domain import access
from domain.access import Sight, Viewer
from domain.errors import Forbidden, NotFound
from domain.models.film_scorecards import Relation
from domain.models.film_sharing import PlaylistAudience
from domain.models.people import Permission

if TYPE_CHECKING:
    from domain.database import Connection


@dataclass(frozen=True, slots=True)
class FilmSight:
    """The activities that a viewer may see.

    Args:
        users: Whose data the viewer may see.
        viewer_id: The viewer.
        granted: Activities of others on which the viewer is asked for feedback now.
    """

    users: Sight
    viewer_id: UUID
    granted: frozenset[UUID]

    def sees(self, team_id: UUID, activity_id: UUID, owner_id: UUID) -> bool:
        """Whether one activity is in sight."""
        return self.users.sees(team_id, owner_id) or (team_id == self.users.team_id and activity_id in self.granted)

    def filter(self, relation: str, arguments: list[object], *, activity: str = "activity_id") -> str:
        """The same as SQL over a relation with team_id, user_id (the owner) and the activity's id."""
        seen = self.users.filter(f"{relation}.user_id", arguments, team_column=f"{relation}.team_id")
        if not self.granted:
            return seen
        arguments += [self.users.team_id, sorted(self.granted)]
        n = len(arguments)
        return f"({seen} OR {relation}.team_id = ${n - 1} AND {relation}.{activity} = ANY (${n}::uuid[]))"

    def sees_scorecard(self, team_id: UUID, card: ScorecardPlace) -> bool:
        """Whether one scorecard is in sight."""
        if not self.sees(team_id, card.activity_id, card.user_id):
            return False
        if card.scorer_id == self.viewer_id:
            return True
        return card.submitted and not card.in_open_round and self.users.sees(team_id, card.user_id)

    def scorecard_filter(self, relation: str, arguments: list[object]) -> str:
        """The same as SQL over scorecards. Served by the primary key of calibrations."""
        film = self.filter(relation, arguments)
        users = self.users.filter(f"{relation}.user_id", arguments, team_column=f"{relation}.team_id")
        arguments.append(self.viewer_id)
        return f"""{film} AND ({relation}.scorer_id = ${len(arguments)}
            OR {relation}.state = 'SUBMITTED' AND {users} AND NOT EXISTS (
                SELECT 1 FROM calibrations o WHERE o.team_id = {relation}.team_id AND o.id = {relation}.calibration_id
                    AND o.state = 'OPEN'))"""


@dataclass(frozen=True, slots=True)
class ScorecardPlace:
    """What decides who sees a scorecard."""

    activity_id: UUID
    user_id: UUID
    scorer_id: UUID
    submitted: bool
    in_open_round: bool


async def see_film(connection: Connection, viewer: Viewer, users: Sight | None = None) -> FilmSight:
    """The activities that the viewer may see, with those that others ask the viewer about.

    Served by feedback_requests_open_key.

    Args:
        connection: Where.
        viewer: Who.
        users: Whose data the viewer may see, if that has been looked up.
    """
    if users is None:
        users = await access.see_users(connection, viewer)
    rows = await connection.fetch(
        "SELECT activity_id FROM feedback_requests WHERE team_id = $1 AND asked_id = $2 AND state = 'OPEN'",
        viewer.team_id,
        viewer.user_id,
    )
    return FilmSight(users, viewer.user_id, frozenset(row["activity_id"] for row in rows))


# UNION: a circle in the reporting line ends when it brings nobody new. Served by the keys of users and groups.
_ABOVE = """
    WITH RECURSIVE owner AS (
        SELECT u.id, u.group_id, u.manager_id FROM users u WHERE u.team_id = $1 AND u.id = $2
    ), managers AS (
        SELECT o.manager_id AS id FROM owner o WHERE o.manager_id IS NOT NULL
        UNION
        SELECT u.manager_id FROM users u JOIN managers m ON u.team_id = $1 AND u.id = m.id
        WHERE u.manager_id IS NOT NULL
    ), above AS (
        SELECT g.parent_id AS id FROM groups g JOIN owner o ON g.team_id = $1 AND g.id = o.group_id
        WHERE g.parent_id IS NOT NULL
        UNION
        SELECT g.parent_id FROM groups g JOIN above b ON g.team_id = $1 AND g.id = b.id WHERE g.parent_id IS NOT NULL
    )"""
_NO_GROUPS = "NOT EXISTS (SELECT 1 FROM groups g WHERE g.team_id = $1)"
_IN_SCOPE = f"""(v.id IN (SELECT id FROM managers) OR v.group_id IN (SELECT id FROM above)
    OR v.group_id = (SELECT group_id FROM owner) OR {_NO_GROUPS})"""
# The converse of domain.access.see_users; a test holds the two together.
_AUDIENCE = f"""(v.id = $2 OR r.is_admin OR 'TEAM_VIEW' = ANY (r.permissions) AND {_IN_SCOPE})"""
_KNOWN_BY_NAME = f"""(v.group_id = (SELECT group_id FROM owner) OR v.id = (SELECT manager_id FROM owner)
    OR {_NO_GROUPS})"""

_RELATION = f"""{_ABOVE}
    SELECT r.is_admin OR v.id IN (SELECT id FROM managers) OR 'TEAM_VIEW' = ANY (r.permissions)
        AND (v.group_id IN (SELECT id FROM above) OR 'MANAGE_GOALS' = ANY (r.permissions) AND {_IN_SCOPE})
    FROM users v JOIN roles r ON r.team_id = v.team_id AND r.id = v.role_id WHERE v.team_id = $1 AND v.id = $3"""


async def relation_to(connection: Connection, viewer: Viewer, owner_id: UUID) -> Relation:
    """What the viewer is to a rep now."""
    if viewer.user_id == owner_id:
        return Relation.SELF
    manages = await connection.fetchval(_RELATION, viewer.team_id, owner_id, viewer.user_id)
    return Relation.MANAGER if manages else Relation.PEER


async def require_manager(connection: Connection, viewer: Viewer, owner_id: UUID) -> None:
    """Refuse whoever sees the film but is no manager of the rep's.

    Raises:
        Forbidden: naming what is missing.
    """
    if await relation_to(connection, viewer, owner_id) is not Relation.MANAGER:
        raise Forbidden("This is for the rep's managers.", permission="manager")


@dataclass(frozen=True, slots=True)
class Colleague:
    """A person by name.

    Args:
        id: The user.
        name: What the person is called.
    """

    id: UUID
    name: str


async def who_may_see(
    connection: Connection, team_id: UUID, activity_id: UUID, owner_id: UUID, ids: Collection[UUID]
) -> frozenset[UUID]:
    """Which of some people, who work with the team, may see an activity."""
    if not ids:
        return frozenset()
    rows = await connection.fetch(
        f"""{_ABOVE}
        SELECT v.id FROM users v JOIN roles r ON r.team_id = v.team_id AND r.id = v.role_id
        WHERE v.team_id = $1 AND v.id = ANY ($4::uuid[]) AND v.active AND ({_AUDIENCE} OR EXISTS (
            SELECT 1 FROM feedback_requests f
            WHERE f.team_id = $1 AND f.asked_id = v.id AND f.activity_id = $3 AND f.state = 'OPEN'))""",
        team_id,
        owner_id,
        activity_id,
        list(ids),
    )
    return frozenset(row["id"] for row in rows)


async def known_by_name(connection: Connection, viewer: Viewer, users: Sight, ids: Collection[UUID]) -> dict[UUID, str]:
    """The names of those of some people whom the viewer may know of."""
    rows = await connection.fetch(
        f"""{_ABOVE}
        SELECT v.id, v.name, {_KNOWN_BY_NAME} AS near FROM users v WHERE v.team_id = $1 AND v.id = ANY ($3::uuid[])""",
        viewer.team_id,
        viewer.user_id,
        list(ids),
    )
    return {row["id"]: row["name"] for row in rows if row["near"] or users.sees(viewer.team_id, row["id"])}


async def askable(connection: Connection, viewer: Viewer, ids: Collection[UUID]) -> frozenset[UUID]:
    """Which of some people the viewer may ask for feedback on film of their own: who may see it anyway, and whom the
    viewer knows by name. Nobody asks themselves."""
    rows = await connection.fetch(
        f"""{_ABOVE}
        SELECT v.id FROM users v JOIN roles r ON r.team_id = v.team_id AND r.id = v.role_id
        WHERE v.team_id = $1 AND v.id = ANY ($3::uuid[]) AND v.id <> $2 AND v.active
            AND ({_AUDIENCE} OR {_KNOWN_BY_NAME})""",
        viewer.team_id,
        viewer.user_id,
        list(ids),
    )
    return frozenset(row["id"] for row in rows)


async def list_colleagues(
    connection: Connection,
    viewer: Viewer,
    owner_id: UUID,
    *,
    to_ask: bool,
    search: str | None,
    after: tuple[str, UUID] | None,
    limit: int,
) -> list[Colleague]:
    """Who may be mentioned on film of somebody that the viewer sees, or asked about the viewer's own, by name.

    Served by users (team_id, name, id).
    """
    arguments: list[object] = [viewer.team_id, owner_id]
    condition = f"({_AUDIENCE} OR {_KNOWN_BY_NAME}) AND v.id <> $2" if to_ask else _AUDIENCE
    if search:
        arguments.append(search)
        condition += f" AND position(lower(${len(arguments)}) IN lower(v.name)) > 0"
    if after is not None:
        arguments += after
        condition += f" AND (v.name, v.id) > (${len(arguments) - 1}::text, ${len(arguments)}::uuid)"
    arguments.append(limit)
    rows = await connection.fetch(
        f"""{_ABOVE}
        SELECT v.id, v.name FROM users v JOIN roles r ON r.team_id = v.team_id AND r.id = v.role_id
        WHERE v.team_id = $1 AND v.active AND {condition} ORDER BY v.name, v.id LIMIT ${len(arguments)}""",
        *arguments,
    )
    return [Colleague(row["id"], row["name"]) for row in rows]


async def colleagues_by_id(connection: Connection, team_id: UUID, ids: Collection[UUID]) -> dict[UUID, Colleague]:
    """People who take part in film that the viewer sees already, by name."""
    rows = await connection.fetch(
        "SELECT id, name FROM users WHERE team_id = $1 AND id = ANY ($2::uuid[])", team_id, list(ids)
    )
    return {row["id"]: Colleague(row["id"], row["name"]) for row in rows}


def require_template_making(viewer: Viewer) -> None:
    """Refuse whoever may not say what is expected of others.

    Raises:
        Forbidden: naming the permission.
    """
    access.require(viewer, Permission.MANAGE_GOALS)


def require_template_change(viewer: Viewer, created_by_id: UUID | None) -> None:
    """Refuse to change a template to anybody but who made it, and who manages the team.

    Raises:
        Forbidden: naming the permission.
    """
    if created_by_id == viewer.user_id and access.may(viewer, Permission.MANAGE_GOALS):
        return
    access.require(viewer, Permission.MANAGE_TEAM)


def may_remove(viewer: Viewer, author_id: UUID) -> bool:
    """Whether the viewer may take away what somebody said or scored, on film that the viewer sees."""
    return viewer.is_admin or author_id == viewer.user_id


@dataclass(frozen=True, slots=True)
class PlaylistSight:
    """The playlists that a viewer finds: their own, those of the team, and those of their group and groups above it.

    Args:
        team_id: The team.
        viewer_id: The viewer.
        groups: The viewer's group and all groups above it.
        everything: Whether it is Admin, who finds every shared one.
    """

    team_id: UUID
    viewer_id: UUID
    groups: frozenset[UUID]
    everything: bool

    def sees(self, team_id: UUID, owner_id: UUID, audience: PlaylistAudience, group_id: UUID | None) -> bool:
        """Whether one playlist is in sight."""
        if team_id != self.team_id:
            return False
        if owner_id == self.viewer_id or audience is PlaylistAudience.TEAM:
            return True
        return audience is PlaylistAudience.GROUP and (self.everything or group_id in self.groups)

    def filter(self, relation: str, arguments: list[object]) -> str:
        """The same as SQL over playlists."""
        arguments += [self.team_id, self.viewer_id]
        n = len(arguments)
        group = "true"
        if not self.everything:
            arguments.append(sorted(self.groups))
            group = f"{relation}.group_id = ANY (${n + 1}::uuid[])"
        return f"""{relation}.team_id = ${n - 1} AND ({relation}.owner_id = ${n}
            OR {relation}.audience = 'TEAM' OR {relation}.audience = 'GROUP' AND {group})"""


async def see_playlists(connection: Connection, viewer: Viewer) -> PlaylistSight:
    """The playlists that the viewer finds."""
    rows = await connection.fetch(
        f"{_ABOVE} SELECT id FROM above UNION SELECT group_id FROM owner WHERE group_id IS NOT NULL",
        viewer.team_id,
        viewer.user_id,
    )
    groups = frozenset(row["id"] for row in rows)
    return PlaylistSight(viewer.team_id, viewer.user_id, groups, viewer.is_admin)


async def require_sharing_with(connection: Connection, viewer: Viewer, group_id: UUID) -> None:
    """Refuse to share with a group that the viewer may not know of: their own is always known.

    Raises:
        NotFound: the group is not in sight.
    """
    groups = await access.see_groups(connection, viewer)
    own = await connection.fetchval(
        "SELECT group_id FROM users WHERE team_id = $1 AND id = $2", viewer.team_id, viewer.user_id
    )
    known = groups.sees(viewer.team_id, group_id) or group_id == own
    if known:
        known = bool(
            await connection.fetchval("SELECT 1 FROM groups WHERE team_id = $1 AND id = $2", viewer.team_id, group_id)
        )
    if not known:
        raise NotFound("No such group.", path=("input", "groupId"))


def require_owner(viewer: Viewer, owner_id: UUID) -> None:
    """Refuse to change a playlist that the viewer finds to anybody but its owner.

    Raises:
        Forbidden: it is somebody else's.
    """
    if owner_id != viewer.user_id:
        raise Forbidden("A playlist is changed by its owner.", permission="owner")


def may_see_request(viewer: Viewer, user_id: UUID, asked_id: UUID) -> bool:
    """Whether a request for feedback is the viewer's to know of: who asks and who is asked."""
    return viewer.user_id in (user_id, asked_id)
