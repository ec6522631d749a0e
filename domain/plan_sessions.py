"""Coaching sessions: planned, moved, held, cancelled, missed; single ones and those of a series.

A session is private to those who take part in it (domain/access_plans.py); with the team's executive visibility an
Admin reads others too, and each of them that is read so is written into the audit log by `read_as_executive`.

What a calendar must know of (a time, a cancelled session) grows the sequence of its invitation in the same transaction
(domain/plan_invitations.py), and the scheduled actions of a session (its start and its reminder) are put, moved or
cancelled with it (domain/plan_actions.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from typing import TYPE_CHECKING, Any
from uuid import UUID

from domain import access_plans, activities, audit, plan_actions, plan_invitations, plans
from domain.access import Viewer, see_users
from domain.access_plans import Circle, SessionSight
from domain.audit import AuditAction, NewEntry
from domain.errors import Conflict, Invalid, NotFound
from domain.models import CoachingSession, SessionState
from domain.models.base import new_id
from domain.paging import Page, PageRequest, decode_cursor, encode_cursor, page_of
from domain.plans import MOST_CO_COACHES, TEXT_LIMIT, TITLE_LIMIT, checked_text, set_co_coaches
from domain.records import EARLIEST, LATEST
from domain.rows import gathered

if TYPE_CHECKING:
    from domain.database import Connection

SHORTEST_MINUTES, LONGEST_MINUTES = 5, 480
MOST_FILM = 50
OPEN_STATES = (SessionState.PLANNED, SessionState.RESCHEDULED)


@dataclass(frozen=True, slots=True)
class NewSession:
    """A session to be planned.

    Args:
        user_id: The rep.
        starts_at: When.
        duration_minutes: How long.
        title: What it is called.
        agenda: What is to be talked about.
        co_coach_ids: Who coaches beside the viewer.
        plan_id: The plan that it belongs to.
    """

    user_id: UUID
    starts_at: datetime
    duration_minutes: int = 30
    title: str | None = None
    agenda: str | None = None
    co_coach_ids: frozenset[UUID] = frozenset()
    plan_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class SessionChange:
    """What to change of a session; None leaves it as it is."""

    title: str | None = None
    agenda: str | None = None
    starts_at: datetime | None = None
    duration_minutes: int | None = None
    co_coach_ids: frozenset[UUID] | None = None
    plan_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class SessionFilter:
    """Which sessions; all conditions must hold.

    Args:
        user_id: Of this rep.
        coach_id: Of this coach.
        plan_id: Of this plan.
        states: In one of these states.
        since: That start at or after this.
        until: That start before this.
        everybody: Those of others too, for an Admin where the team's executive visibility is on.
    """

    user_id: UUID | None = None
    coach_id: UUID | None = None
    plan_id: UUID | None = None
    states: tuple[SessionState, ...] | None = None
    since: datetime | None = None
    until: datetime | None = None
    everybody: bool = False


@dataclass(frozen=True, slots=True)
class SessionView:
    """A session with who takes part."""

    session: CoachingSession
    co_coach_ids: tuple[UUID, ...] = ()

    @property
    def circle(self) -> Circle:
        """Who takes part."""
        return Circle(self.session.user_id, self.session.coach_id, frozenset(self.co_coach_ids))


def check_time(starts_at: datetime, duration_minutes: int) -> None:
    """Refuse a time that no session has.

    Raises:
        Invalid: it is out of the years that are kept, or too short or too long.
    """
    if not EARLIEST <= starts_at < LATEST:
        raise Invalid(f"startsAt: from {EARLIEST:%Y} to {LATEST.year - 1}.", path=("input", "startsAt"))
    if not SHORTEST_MINUTES <= duration_minutes <= LONGEST_MINUTES:
        raise Invalid(
            f"durationMinutes: from {SHORTEST_MINUTES} to {LONGEST_MINUTES}.", path=("input", "durationMinutes")
        )


async def check_circle(connection: Connection, viewer: Viewer, circle: Circle, known: Sequence[UUID] = ()) -> None:
    """Refuse co-coaches that are too many or not there for the viewer.

    Raises:
        Invalid, NotFound: they are.
    """
    if len(circle.co_coach_ids) > MOST_CO_COACHES:
        raise Invalid(f"coCoachIds: at most {MOST_CO_COACHES}.", path=("input", "coCoachIds"))
    await access_plans.require_co_coaches(connection, viewer, circle, known=known)


async def check_plan(connection: Connection, viewer: Viewer, plan_id: UUID | None, user_id: UUID) -> None:
    """Refuse a plan that is another rep's, or in which the viewer does not coach.

    Raises:
        NotFound, Forbidden, Invalid: it is.
    """
    if plan_id is None:
        return
    view = await plans.seen_plan(connection, viewer, plan_id)
    access_plans.require_coaching(viewer, view.circle, "plan")
    if view.plan.user_id != user_id:
        raise Invalid("planId: the plan is of another rep.", path=("input", "planId"))


async def plan_session(connection: Connection, viewer: Viewer, new: NewSession) -> SessionView:
    """Plan a session whose coach is the viewer, in the caller's transaction. One that is over already may be written
    down as well, and then be marked as held.

    Raises:
        Forbidden: the viewer lacks `TEAM_VIEW`.
        NotFound: the rep, a co-coach or the plan is not there for the viewer.
        Invalid: a part does not fit.
    """
    await access_plans.require_may_coach(connection, viewer, new.user_id)
    circle = Circle(new.user_id, viewer.user_id, new.co_coach_ids)
    await check_circle(connection, viewer, circle)
    await check_plan(connection, viewer, new.plan_id, new.user_id)
    check_time(new.starts_at, new.duration_minutes)
    session_id = new_id()
    await connection.execute(
        """
        INSERT INTO coaching_sessions (id, team_id, user_id, coach_id, plan_id, title, agenda, starts_at,
            duration_minutes) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
        """,
        session_id,
        viewer.team_id,
        new.user_id,
        viewer.user_id,
        new.plan_id,
        checked_text(new.title, "title", TITLE_LIMIT) or "Coaching session",
        checked_text(new.agenda, "agenda", TEXT_LIMIT),
        new.starts_at,
        new.duration_minutes,
    )
    await set_co_coaches(connection, viewer.team_id, "session_id", session_id, circle.co_coach_ids)
    view = await _read(connection, viewer.team_id, session_id)
    await plan_invitations.touch_session(connection, viewer.team_id, view.session)
    await plan_actions.put(connection, viewer.team_id, [view.session])
    return view


async def update_session(
    connection: Connection, viewer: Viewer, session_id: UUID, change: SessionChange, *, expected: int | None = None
) -> SessionView:
    """Change a session, in the caller's transaction. Another start makes it `RESCHEDULED`; in a series it moves this
    one alone.

    Raises:
        NotFound: there is no such session for the viewer, or somebody named is not there.
        Forbidden: the viewer does not coach in it.
        Conflict: the version is another one; or it is over and is to be moved.
        Invalid: a part does not fit.
    """
    view = await locked_session(connection, viewer, session_id, expected)
    session = view.session
    starts_at = change.starts_at or session.starts_at
    duration = change.duration_minutes or session.duration_minutes
    check_time(starts_at, duration)
    moved = starts_at != session.starts_at or duration != session.duration_minutes
    if moved and session.state not in OPEN_STATES:
        raise Conflict(f"The session is {session.state.lower()}: it is not moved any more.", path=("input", "startsAt"))
    co_coaches = frozenset(view.co_coach_ids) if change.co_coach_ids is None else change.co_coach_ids
    circle = Circle(session.user_id, session.coach_id, co_coaches)
    await check_circle(connection, viewer, circle, view.co_coach_ids)
    await check_plan(connection, viewer, change.plan_id, session.user_id)
    rescheduled = starts_at != session.starts_at
    title = session.title if change.title is None else checked_text(change.title, "title", TITLE_LIMIT, needed=True)
    await connection.execute(
        """
        UPDATE coaching_sessions SET title = $3, agenda = $4, starts_at = $5, duration_minutes = $6,
            plan_id = coalesce($7, plan_id), state = CASE WHEN $8 THEN 'RESCHEDULED' ELSE state END,
            rescheduled_count = rescheduled_count + $8::boolean::int, version = version + 1, changed_at = now()
        WHERE team_id = $1 AND id = $2
        """,
        viewer.team_id,
        session_id,
        title,
        session.agenda if change.agenda is None else checked_text(change.agenda, "agenda", TEXT_LIMIT),
        starts_at,
        duration,
        change.plan_id,
        rescheduled,
    )
    if co_coaches != frozenset(view.co_coach_ids):
        await set_co_coaches(connection, viewer.team_id, "session_id", session_id, co_coaches)
    changed = await _read(connection, viewer.team_id, session_id)
    if moved or title != session.title or co_coaches != frozenset(view.co_coach_ids):
        await plan_invitations.touch_session(connection, viewer.team_id, changed.session)
        await plan_actions.put(connection, viewer.team_id, [changed.session])
    return changed


async def end_session(
    connection: Connection,
    viewer: Viewer,
    session_id: UUID,
    state: SessionState,
    now: datetime,
    *,
    held_at: datetime | None = None,
    expected: int | None = None,
) -> SessionView:
    """Say what became of a session, in the caller's transaction: HELD, CANCELLED or MISSED; PLANNED takes that back.

    Raises:
        NotFound: there is no such session for the viewer.
        Forbidden: the viewer does not coach in it.
        Conflict: the version is another one, or it has been held in the future.
        Invalid: it cannot have been held then.
    """
    view = await locked_session(connection, viewer, session_id, expected)
    session = view.session
    if state is SessionState.RESCHEDULED:
        raise Invalid("state: give it another start to reschedule it.", path=("input", "state"))
    when = None
    if state is SessionState.HELD:
        when = held_at or session.starts_at
        if when > now:
            raise Invalid("heldAt: a session has been held when it is over; move it first.", path=("input", "heldAt"))
        if when < EARLIEST:
            raise Invalid(f"heldAt: from {EARLIEST:%Y} on.", path=("input", "heldAt"))
    elif held_at is not None:
        raise Invalid("heldAt: only of a session that was held.", path=("input", "heldAt"))
    if state is SessionState.PLANNED and session.rescheduled_count:
        state = SessionState.RESCHEDULED
    await connection.execute(
        "UPDATE coaching_sessions SET state = $3, held_at = $4, version = version + 1, changed_at = now() "
        "WHERE team_id = $1 AND id = $2",
        viewer.team_id,
        session_id,
        state.value,
        when,
    )
    changed = await _read(connection, viewer.team_id, session_id)
    was_off, is_off = session.state == SessionState.CANCELLED, state is SessionState.CANCELLED
    if was_off != is_off:
        await plan_invitations.touch_session(connection, viewer.team_id, changed.session)
    await plan_actions.put(connection, viewer.team_id, [changed.session])
    return changed


async def attach_film(
    connection: Connection, viewer: Viewer, session_id: UUID, activity_ids: Sequence[UUID]
) -> SessionView:
    """Attach what is to be talked about, in the caller's transaction; attached twice is attached once.

    Raises:
        NotFound: there is no such session for the viewer; or an activity is not in sight, or of somebody else than the
            rep.
        Invalid: there would be too much.
    """
    view = await own_session(connection, viewer, session_id)
    sight = await see_users(connection, viewer)
    found = await activities.activities_by_id(connection, sight, list(activity_ids))
    for place, activity in enumerate(found):
        if activity is None or activity.user_id != view.session.user_id:
            raise NotFound("No such activity of the rep's.", path=("input", "activityIds", str(place)))
    await connection.executemany(
        "INSERT INTO session_activities (id, team_id, session_id, activity_id, attached_by_id) "
        "VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
        [(new_id(), viewer.team_id, session_id, one, viewer.user_id) for one in activity_ids],
    )
    count = await connection.fetchval(
        "SELECT count(*) FROM session_activities WHERE team_id = $1 AND session_id = $2", viewer.team_id, session_id
    )
    if count > MOST_FILM:
        raise Invalid(f"A session is about at most {MOST_FILM} activities.", path=("input", "activityIds"))
    return view


async def detach_film(
    connection: Connection, viewer: Viewer, session_id: UUID, activity_ids: Sequence[UUID]
) -> SessionView:
    """Take film off a session, in the caller's transaction: who coaches any, the rep what they attached.

    Raises:
        NotFound: there is no such session for the viewer.
    """
    view = await own_session(connection, viewer, session_id)
    await connection.execute(
        "DELETE FROM session_activities WHERE team_id = $1 AND session_id = $2 AND activity_id = ANY ($3::uuid[]) "
        "AND ($4 OR attached_by_id = $5)",
        viewer.team_id,
        session_id,
        list(activity_ids),
        view.circle.coached_by(viewer.user_id),
        viewer.user_id,
    )
    return view


async def film_of(connection: Connection, team_id: UUID, ids: Sequence[UUID]) -> dict[UUID, list[UUID]]:
    """The activities that some sessions are about; one statement. Served by session_activities_key."""
    rows = await connection.fetch(
        "SELECT session_id, activity_id FROM session_activities WHERE team_id = $1 AND session_id = ANY ($2::uuid[]) "
        "ORDER BY id",
        team_id,
        list(ids),
    )
    return gathered(ids, rows, "session_id", itemgetter("activity_id"))


async def locked_session(
    connection: Connection, viewer: Viewer, session_id: UUID, expected: int | None = None
) -> SessionView:
    """A session in which the viewer coaches, held until the transaction ends.

    Raises:
        NotFound: there is no such session for the viewer.
        Forbidden: the viewer does not coach in it.
        Conflict: the version is another one.
    """
    await connection.execute(
        "SELECT 1 FROM coaching_sessions WHERE team_id = $1 AND id = $2 FOR NO KEY UPDATE", viewer.team_id, session_id
    )
    view = await own_session(connection, viewer, session_id)
    access_plans.require_coaching(viewer, view.circle, "session")
    if expected is not None and expected != view.session.version:
        raise Conflict(
            f"expectedVersion: the session is at version {view.session.version} by now; look at it again.",
            path=("input", "expectedVersion"),
        )
    return view


async def own_session(connection: Connection, viewer: Viewer, session_id: UUID) -> SessionView:
    """A session in which the viewer takes part. Nobody changes others, executive or not.

    Raises:
        NotFound: there is none for the viewer.
    """
    sight = SessionSight(viewer.team_id, viewer.user_id, False)
    found = await sessions_by_id(connection, sight, [session_id])
    if session_id not in found:
        raise NotFound("No such coaching session.", path=("input", "sessionId"))
    return found[session_id]


async def _read(connection: Connection, team_id: UUID, session_id: UUID) -> SessionView:
    rows = await connection.fetch("SELECT * FROM coaching_sessions WHERE team_id = $1 AND id = $2", team_id, session_id)
    return (await _whole(connection, team_id, rows))[0]


async def sessions_by_id(connection: Connection, sight: SessionSight, ids: Sequence[UUID]) -> dict[UUID, SessionView]:
    """Those of some sessions that are in sight; two statements."""
    arguments: list[object] = [list(ids)]
    condition = sight.filter("s", arguments)
    rows = await connection.fetch(
        f"SELECT s.* FROM coaching_sessions s WHERE s.id = ANY ($1::uuid[]) AND {condition}", *arguments
    )
    return {view.session.id: view for view in await _whole(connection, sight.team_id, rows)}


async def _whole(connection: Connection, team_id: UUID, rows: Sequence[Any]) -> list[SessionView]:
    coaches: dict[UUID, list[UUID]] = {}
    if rows:
        for row in await connection.fetch(
            "SELECT session_id, user_id FROM co_coaches WHERE team_id = $1 AND session_id = ANY ($2::uuid[]) "
            "ORDER BY id",
            team_id,
            [row["id"] for row in rows],
        ):
            coaches.setdefault(row["session_id"], []).append(row["user_id"])
    return [SessionView(CoachingSession._init_from_db(**dict(row)), tuple(coaches.get(row["id"], ()))) for row in rows]


def _condition(sight: SessionSight, wanted: SessionFilter, arguments: list[object]) -> str:
    condition = (sight if wanted.everybody else sight.own()).filter("s", arguments)
    for sql, value in (
        ("s.user_id = ", wanted.user_id),
        ("s.coach_id = ", wanted.coach_id),
        ("s.starts_at >= ", wanted.since),
        ("s.starts_at < ", wanted.until),
    ):
        if value is not None:
            arguments.append(value)
            condition += f" AND {sql}${len(arguments)}"
    if wanted.states is not None:
        arguments.append([state.value for state in wanted.states])
        condition += f" AND s.state = ANY (${len(arguments)}::text[])"
    if wanted.plan_id is not None:
        assert sight.plans is not None, "lists are asked with the sight of see_sessions"
        arguments.append(wanted.plan_id)
        # A draft that the rep does not know of has no sessions for them.
        condition += f""" AND s.plan_id = ${len(arguments)} AND EXISTS (
            SELECT 1 FROM coaching_plans p WHERE p.id = s.plan_id AND {sight.plans.filter("p", arguments)})"""
    return condition


async def list_sessions(
    connection: Connection, sight: SessionSight, wanted: SessionFilter, request: PageRequest
) -> Page[SessionView]:
    """A page of the sessions in sight, the latest start first. Served by the indexes of coaching_sessions."""
    arguments: list[object] = []
    condition = _condition(sight, wanted, arguments)
    if request.cursor is not None:
        arguments += decode_cursor("coachingSessions", request.cursor, (datetime, UUID))
        sign = ">" if request.backward else "<"
        condition += f" AND (s.starts_at, s.id) {sign} (${len(arguments) - 1}::timestamptz, ${len(arguments)}::uuid)"
    direction = "ASC" if request.backward else "DESC"
    arguments.append(request.limit + 1)
    rows = await connection.fetch(
        f"SELECT s.* FROM coaching_sessions s WHERE {condition} "
        f"ORDER BY s.starts_at {direction}, s.id {direction} LIMIT ${len(arguments)}",
        *arguments,
    )
    views = await _whole(connection, sight.team_id, rows)
    return page_of(
        request,
        views,
        [encode_cursor("coachingSessions", view.session.starts_at.isoformat(), str(view.session.id)) for view in views],
    )


async def count_sessions(connection: Connection, sight: SessionSight, wanted: SessionFilter) -> int:
    """How many there are."""
    arguments: list[object] = []
    condition = _condition(sight, wanted, arguments)
    return int(await connection.fetchval(f"SELECT count(*) FROM coaching_sessions s WHERE {condition}", *arguments))


async def read_as_executive(connection: Connection, viewer: Viewer, views: Sequence[SessionView]) -> None:
    """Write down those of some sessions that the viewer reads without taking part, in the caller's transaction."""
    entries = [
        NewEntry(
            AuditAction.COACHING_SESSION_READ,
            ("CoachingSession", view.session.id),
            None,
            {"owner": view.session.user_id, "coach": view.session.coach_id},
        )
        for view in views
        if not view.circle.has(viewer.user_id)
    ]
    await audit.record(connection, viewer, entries)


def ends_at(session: CoachingSession) -> datetime:
    """When a session is over."""
    return session.starts_at.astimezone(UTC) + timedelta(minutes=session.duration_minutes)
