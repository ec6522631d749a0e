"""One-on-ones that recur: a rule (RRULE) by the wall clock of a zone, whose sessions are made ahead of time.

The sessions of a series are rows `HORIZON` ahead; the workers go on making them (`make_due`). A session is known by the
moment that the rule gives it (`occurrence_at`): made twice it is one, moved it stays itself, cancelled it does not come
back. Ending a series cancels what it still has ahead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from domain import access_plans, actions, plan_actions, plan_invitations
from domain.access import Viewer
from domain.access_plans import Circle, SessionSight
from domain.errors import Conflict, Invalid, NotFound
from domain.models import CoachingSeries, CoachingSession
from domain.models.base import new_id
from domain.plan_sessions import SessionChange, SessionView, check_circle, check_plan, check_time, update_session
from domain.plans import TEXT_LIMIT, TITLE_LIMIT, check_day, checked_text, set_co_coaches
from domain.recurrence import instant_of, starts_of, wall_of

if TYPE_CHECKING:
    from domain.database import Connection

HORIZON = timedelta(days=90)
"""So far ahead sessions are rows."""
AGAIN = timedelta(days=60)
"""A series whose sessions reach less far ahead than this is given more."""
ALL_MADE = datetime(9999, 1, 1, tzinfo=UTC)
"""Up to where the sessions of a series reach whose end is in reach too."""
FURTHEST_MOVE = timedelta(days=732)
"""An occurrence that is moved is not further ahead than this."""
LOT = 200
_A_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class NewSeries:
    """A series to be made.

    Args:
        user_id: The rep.
        first_start: Wall clock of the first one, without a zone.
        rule: An RRULE by days, weeks, months or years; without COUNT, UNTIL and times of the day.
        timezone: IANA name; the team's if None.
        ends_on: The last day that may have one.
    """

    user_id: UUID
    first_start: datetime
    rule: str
    timezone: str | None = None
    duration_minutes: int = 30
    title: str | None = None
    agenda: str | None = None
    co_coach_ids: frozenset[UUID] = frozenset()
    plan_id: UUID | None = None
    ends_on: date | None = None


@dataclass(frozen=True, slots=True)
class SeriesView:
    """A series with who takes part."""

    series: CoachingSeries
    co_coach_ids: tuple[UUID, ...] = ()

    @property
    def circle(self) -> Circle:
        """Who takes part."""
        return Circle(self.series.user_id, self.series.coach_id, frozenset(self.co_coach_ids))


def checked_rule(text: str) -> str:
    """A rule as it is kept.

    Raises:
        Invalid: it is none, or says what is said otherwise.
    """
    path = ("input", "rule")
    try:
        rule = actions.rule_of(text)
    except Invalid as error:
        raise Invalid(error.message.replace("recurrence:", "rule:"), path=path) from error
    if rule.count is not None or rule.until is not None:
        raise Invalid("rule: leave COUNT and UNTIL out, and say endsOn.", path=path)
    if rule.hours or rule.minutes or rule.seconds:
        raise Invalid("rule: leave times of the day out; the first start has one.", path=path)
    return text.strip().removeprefix("RRULE:").upper()


async def create_series(connection: Connection, viewer: Viewer, new: NewSeries, now: datetime) -> SeriesView:
    """Make a series whose coach is the viewer, in the caller's transaction.

    Raises:
        Forbidden: the viewer lacks `TEAM_VIEW`.
        NotFound: the rep, a co-coach or the plan is not there for the viewer.
        Invalid: a part does not fit, or the rule gives no time.
    """
    await access_plans.require_may_coach(connection, viewer, new.user_id)
    circle = Circle(new.user_id, viewer.user_id, new.co_coach_ids)
    await check_circle(connection, viewer, circle)
    await check_plan(connection, viewer, new.plan_id, new.user_id)
    timezone = new.timezone or viewer.timezone
    zone = actions.zone_named(timezone, path=("input",))
    if new.first_start.tzinfo is not None:
        raise Invalid("firstStart: a wall clock's time without a zone.", path=("input", "firstStart"))
    first = new.first_start.replace(microsecond=0)
    # Before it is read in its zone: at the ends of the calendar that is no moment.
    check_day(first.date(), "firstStart")
    check_time(instant_of(first, zone), new.duration_minutes)
    rule = checked_rule(new.rule)
    check_day(new.ends_on, "endsOn")
    # Calendars take the first start for an occurrence, whatever the rule says: so it is to be one.
    begins = actions.next_due(
        rule, first.isoformat(timespec="seconds"), timezone, instant_of(first, zone) - timedelta(seconds=1)
    )
    if begins is None:
        raise Invalid("rule: it gives no time from the first start on.", path=("input", "rule"))
    first = wall_of(begins, zone)
    if new.ends_on is not None and new.ends_on < first.date():
        raise Invalid("endsOn: not before the first one.", path=("input", "endsOn"))
    row = await insert_series(
        connection,
        viewer.team_id,
        user_id=new.user_id,
        coach_id=viewer.user_id,
        plan_id=new.plan_id,
        title=checked_text(new.title, "title", TITLE_LIMIT) or "One-on-one",
        agenda=checked_text(new.agenda, "agenda", TEXT_LIMIT),
        rule=rule,
        timezone=timezone,
        first=first,
        duration_minutes=new.duration_minutes,
        ended_on=new.ends_on,
    )
    await set_co_coaches(connection, viewer.team_id, "series_id", row.id, circle.co_coach_ids)
    await make_sessions(connection, viewer.team_id, [row], now)
    return (await series_by_id(connection, SessionSight(viewer.team_id, viewer.user_id, False), [row.id]))[row.id]


async def insert_series(
    connection: Connection,
    team_id: UUID,
    *,
    user_id: UUID,
    coach_id: UUID,
    title: str,
    agenda: str | None,
    rule: str,
    timezone: str,
    first: datetime,
    duration_minutes: int,
    ended_on: date | None = None,
    plan_id: UUID | None = None,
    program: tuple[UUID, int] | None = None,
) -> CoachingSeries:
    """Put a series down, with its invitation.

    Args:
        program: The program that makes it, and which slot of the manager's it takes.
    """
    row = await connection.fetchrow(
        """
        INSERT INTO coaching_series (id, team_id, user_id, coach_id, plan_id, program_id, program_slot, title, agenda,
            rule, timezone, first_local, duration_minutes, ended_on)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) RETURNING *
        """,
        new_id(),
        team_id,
        user_id,
        coach_id,
        plan_id,
        None if program is None else program[0],
        None if program is None else program[1],
        title,
        agenda,
        rule,
        timezone,
        first.isoformat(timespec="seconds"),
        duration_minutes,
        ended_on,
    )
    assert row is not None
    made = CoachingSeries._init_from_db(**dict(row))
    await plan_invitations.touch_series(connection, team_id, made.id, made.coach_id)
    return made


def occurrences(series: CoachingSeries, after: datetime | None, until: datetime) -> list[datetime]:
    """The moments that a series' rule gives after one moment and not after another.

    Raises:
        RecordRefused: there are more than `domain.recurrence.STARTS_LIMIT`.
    """
    zone = actions.zone_named(series.timezone)
    last = wall_of(until, zone)
    if series.ended_on is not None:
        last = min(last, datetime.combine(series.ended_on, datetime.max.time()))
    first = datetime.fromisoformat(series.first_local)
    moments = (instant_of(wall, zone) for wall in starts_of(actions.rule_of(series.rule), first, last))
    # Two walls' times may come to one moment where the clock was set forward.
    return [one for one in dict.fromkeys(moments) if after is None or one > after]


async def make_sessions(connection: Connection, team_id: UUID, series: Sequence[CoachingSeries], now: datetime) -> int:
    """Make the sessions of some series up to the horizon, in the caller's transaction. Returns how many were made.

    What began more than a day before a series was written down is history that nobody asked for, and is left out.
    """
    until = now + HORIZON
    wanted = [
        (one, moment) for one in series for moment in occurrences(one, one.made_until or now - timedelta(days=1), until)
    ]
    # Served by coaching_sessions_occurrence_key.
    rows = await connection.fetch(
        """
        INSERT INTO coaching_sessions (id, team_id, user_id, coach_id, plan_id, series_id, occurrence_at, title, agenda,
            starts_at, duration_minutes)
        SELECT n.id, s.team_id, s.user_id, s.coach_id, s.plan_id, s.id, n.at, s.title, s.agenda, n.at,
            s.duration_minutes
        FROM unnest($2::uuid[], $3::uuid[], $4::timestamptz[]) AS n (id, series_id, at)
        JOIN coaching_series s ON s.team_id = $1 AND s.id = n.series_id
        ON CONFLICT DO NOTHING RETURNING *
        """,
        team_id,
        [new_id() for _ in wanted],
        [one.id for one, _moment in wanted],
        [moment for _one, moment in wanted],
    )
    await connection.execute(
        """
        INSERT INTO co_coaches (id, team_id, session_id, user_id)
        SELECT gen_random_uuid(), $1, m.id, c.user_id FROM unnest($2::uuid[], $3::uuid[]) AS m (id, series_id)
        JOIN co_coaches c ON c.team_id = $1 AND c.series_id = m.series_id ON CONFLICT DO NOTHING
        """,
        team_id,
        [row["id"] for row in rows],
        [row["series_id"] for row in rows],
    )
    await connection.execute(
        """
        UPDATE coaching_series s SET made_until = greatest(s.made_until, n.until)
        FROM unnest($2::uuid[], $3::timestamptz[]) AS n (id, until) WHERE s.team_id = $1 AND s.id = n.id
        """,
        team_id,
        [one.id for one in series],
        [until if one.ended_on is None or one.ended_on >= (until + _A_DAY).date() else ALL_MADE for one in series],
    )
    await plan_actions.put(connection, team_id, [CoachingSession._init_from_db(**dict(row)) for row in rows])
    return len(rows)


async def make_due(connection: Connection, team_id: UUID, now: datetime) -> int:
    """Go on making sessions of series whose sessions do not reach far enough; one lot. Returns how many series."""
    rows = await connection.fetch(
        """
        SELECT * FROM coaching_series WHERE team_id = $1 AND made_until < $2
        ORDER BY made_until LIMIT $3 FOR NO KEY UPDATE SKIP LOCKED
        """,
        team_id,
        now + AGAIN,
        LOT,
    )
    await make_sessions(connection, team_id, [CoachingSeries._init_from_db(**dict(row)) for row in rows], now)
    return len(rows)


async def move_occurrence(
    connection: Connection, viewer: Viewer, series_id: UUID, occurrence_at: datetime, change: SessionChange
) -> SessionView:
    """Move or change one occurrence, however far ahead, in the caller's transaction; its row is made if need be.

    Raises:
        NotFound: there is no such series for the viewer, or the rule does not give that moment.
        Forbidden: the viewer does not coach in it.
        Invalid, Conflict: see domain.plan_sessions.update_session.
    """
    view = await _locked(connection, viewer, series_id)
    missing = NotFound("occurrenceAt: the series has none then.", path=("input", "occurrenceAt"))
    moment = occurrence_at.astimezone(UTC)
    session_id = await connection.fetchval(
        "SELECT id FROM coaching_sessions WHERE team_id = $1 AND series_id = $2 AND occurrence_at = $3",
        viewer.team_id,
        series_id,
        moment,
    )
    if session_id is None:
        known_until = view.series.made_until
        if moment > datetime.now(UTC) + FURTHEST_MOVE or (known_until is not None and moment <= known_until):
            raise missing
        if moment not in occurrences(view.series, moment - timedelta(seconds=1), moment):
            raise missing
        series = view.series
        session_id = new_id()
        await connection.execute(
            """
            INSERT INTO coaching_sessions (id, team_id, user_id, coach_id, plan_id, series_id, occurrence_at, title,
                agenda, starts_at, duration_minutes) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $7, $10)
            """,
            session_id,
            viewer.team_id,
            series.user_id,
            series.coach_id,
            series.plan_id,
            series_id,
            moment,
            series.title,
            series.agenda,
            series.duration_minutes,
        )
        await set_co_coaches(connection, viewer.team_id, "session_id", session_id, frozenset(view.co_coach_ids))
    return await update_session(connection, viewer, session_id, change)


async def end_series(
    connection: Connection, viewer: Viewer, series_id: UUID, last_day: date | None, now: datetime
) -> SeriesView:
    """End a series after a day (today if None), in the caller's transaction; what it has later is cancelled.

    Raises:
        NotFound: there is no such series for the viewer.
        Forbidden: the viewer does not coach in it.
        Conflict: a program makes it.
        Invalid: the day does not fit.
    """
    view = await _locked(connection, viewer, series_id)
    if view.series.program_id is not None:
        raise Conflict("A program makes this series: end the program, or take the manager out of it.")
    check_day(last_day, "lastDay")
    if last_day is not None and view.series.ended_on is not None and last_day > view.series.ended_on:
        raise Invalid("lastDay: a series that has an end is not prolonged; make another.", path=("input", "lastDay"))
    zone = actions.zone_named(view.series.timezone)
    await finish_series(connection, viewer.team_id, [view.series], last_day or wall_of(now, zone).date(), now)
    return (await series_by_id(connection, SessionSight(viewer.team_id, viewer.user_id, False), [series_id]))[series_id]


async def finish_series(
    connection: Connection, team_id: UUID, series: Sequence[CoachingSeries], last_day: date, now: datetime
) -> None:
    """End some series after a day, in the caller's transaction: sessions still to come that are later are cancelled."""
    for one in series:
        zone = actions.zone_named(one.timezone)
        after = max(instant_of(datetime.combine(last_day, datetime.max.time()), zone), now)
        await connection.execute(
            "UPDATE coaching_series SET ended_on = $3, made_until = $4 WHERE team_id = $1 AND id = $2",
            team_id,
            one.id,
            last_day,
            ALL_MADE if last_day < (now + HORIZON - _A_DAY).date() else one.made_until,
        )
        rows = await connection.fetch(
            """
            UPDATE coaching_sessions SET state = 'CANCELLED', version = version + 1, changed_at = now()
            WHERE team_id = $1 AND series_id = $2 AND occurrence_at > $3 AND state IN ('PLANNED', 'RESCHEDULED')
            RETURNING *
            """,
            team_id,
            one.id,
            after,
        )
        await plan_actions.put(connection, team_id, [CoachingSession._init_from_db(**dict(row)) for row in rows])
        await plan_invitations.touch_series(connection, team_id, one.id, one.coach_id)


async def _locked(connection: Connection, viewer: Viewer, series_id: UUID) -> SeriesView:
    await connection.execute(
        "SELECT 1 FROM coaching_series WHERE team_id = $1 AND id = $2 FOR NO KEY UPDATE", viewer.team_id, series_id
    )
    found = await series_by_id(connection, SessionSight(viewer.team_id, viewer.user_id, False), [series_id])
    if series_id not in found:
        raise NotFound("No such series of sessions.", path=("input", "seriesId"))
    access_plans.require_coaching(viewer, found[series_id].circle, "series")
    return found[series_id]


async def series_by_id(connection: Connection, sight: SessionSight, ids: Sequence[UUID]) -> dict[UUID, SeriesView]:
    """Those of some series that are in sight; two statements."""
    arguments: list[object] = [list(ids)]
    condition = sight.filter("s", arguments)
    rows = await connection.fetch(
        f"SELECT s.* FROM coaching_series s WHERE s.id = ANY ($1::uuid[]) AND {condition}", *arguments
    )
    return {view.series.id: view for view in await _whole(connection, sight.team_id, rows)}


async def list_series(connection: Connection, sight: SessionSight, limit: int = LOT) -> list[SeriesView]:
    """The series that go on and in which the viewer takes part, the newest first."""
    arguments: list[object] = []
    condition = sight.own().filter("s", arguments)
    rows = await connection.fetch(
        f"SELECT s.* FROM coaching_series s WHERE {condition} AND (s.ended_on IS NULL OR s.ended_on >= current_date) "
        f"ORDER BY s.id DESC LIMIT {int(limit)}",
        *arguments,
    )
    return await _whole(connection, sight.team_id, rows)


async def _whole(connection: Connection, team_id: UUID, rows: Sequence[Any]) -> list[SeriesView]:
    coaches: dict[UUID, list[UUID]] = {}
    if rows:
        for row in await connection.fetch(
            "SELECT series_id, user_id FROM co_coaches WHERE team_id = $1 AND series_id = ANY ($2::uuid[]) ORDER BY id",
            team_id,
            [row["id"] for row in rows],
        ):
            coaches.setdefault(row["series_id"], []).append(row["user_id"])
    return [SeriesView(CoachingSeries._init_from_db(**dict(row)), tuple(coaches.get(row["id"], ()))) for row in rows]
