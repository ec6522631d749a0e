"""Coaching sessions, series and programs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, time
from typing import Any
from uuid import UUID

from api.context import Context
from api.resolvers.plans import ids_of, loaders
from api.schema.nodes import Connection, connection_of
from api.schema.plan_sessions import (
    CoachingProgram,
    CoachingProgramInput,
    CoachingProgramPayload,
    CoachingSeries,
    CoachingSeriesPayload,
    CoachingSession,
    CoachingSessionFilter,
    CoachingSessionPayload,
    CreateCoachingProgramInput,
    CreateCoachingSeriesInput,
    EndCoachingSeriesInput,
    MoveCoachingOccurrenceInput,
    PlanCoachingSessionInput,
    RecordCoachingSessionInput,
    SessionFilmInput,
    UpdateCoachingProgramInput,
    UpdateCoachingSessionInput,
)
from domain import access_plans, models, plan_programs, plan_series, plan_sessions
from domain.access_plans import SessionSight
from domain.errors import Invalid, NotFound
from domain.ids import decode_any_id, decode_id
from domain.paging import Page, page_request
from domain.plan_programs import NewProgram, ProgramChange
from domain.plan_series import NewSeries, SeriesView
from domain.plan_sessions import NewSession, SessionChange, SessionFilter, SessionView

DEFAULT_MINUTES = 30
DEFAULT_START = time(9)


def _plan(given: str | None) -> UUID | None:
    return None if given is None else decode_id(given, "CoachingPlan", path=("input", "planId"))


def _session_id(given: str) -> UUID:
    return decode_id(given, "CoachingSession", path=("input", "sessionId"))


def _filter(given: CoachingSessionFilter | None) -> SessionFilter:
    if given is None:
        return SessionFilter()

    def row(one: str | None, type_name: str, name: str) -> UUID | None:
        return None if one is None else decode_id(one, type_name, path=("filter", name))

    return SessionFilter(
        user_id=row(given.user_id, "User", "userId"),
        coach_id=row(given.coach_id, "User", "coachId"),
        plan_id=row(given.plan_id, "CoachingPlan", "planId"),
        states=None if given.states is None else tuple(given.states),
        since=given.since,
        until=given.until,
        everybody=bool(given.everybody),
    )


async def sessions_connection(
    context: Context,
    given: CoachingSessionFilter | None,
    first: int | None,
    after: str | None,
    last: int | None,
    before: str | None,
) -> Connection[CoachingSession]:
    """A page of sessions; what an executive reads of others is written down in the same transaction."""
    wanted = _filter(given)
    request = page_request(first, after, last, before)

    async def read(connection: Any) -> Page[SessionView]:
        sight = await access_plans.see_sessions(connection, context.viewer)
        page = await plan_sessions.list_sessions(connection, sight, wanted, request)
        await plan_sessions.read_as_executive(connection, context.viewer, page.nodes)
        return page

    async def count() -> int:
        async with context.acquire() as connection:
            sight = await access_plans.see_sessions(connection, context.viewer)
            return await plan_sessions.count_sessions(connection, sight, wanted)

    return connection_of(await context.in_transaction(read), CoachingSession.of, count)


async def find_session(context: Context, row_id: UUID) -> CoachingSession | None:
    """A session in sight, or None; what an executive reads is written down."""

    async def read(connection: Any) -> SessionView | None:
        sight = await access_plans.see_sessions(connection, context.viewer)
        found = await plan_sessions.sessions_by_id(connection, sight, [row_id])
        await plan_sessions.read_as_executive(connection, context.viewer, list(found.values()))
        return found.get(row_id)

    view = await context.once(f"coaching session {row_id}", lambda: context.in_transaction(read))
    return None if view is None else CoachingSession.of(view)


def _own(context: Context) -> SessionSight:
    return SessionSight(context.viewer.team_id, context.viewer.user_id, False)


async def find_series(context: Context, row_id: UUID) -> CoachingSeries | None:
    """A series in which the viewer takes part, or None."""

    view = await loaders(context).series.load(row_id)
    return None if view is None else CoachingSeries.of(view)


async def list_series(context: Context) -> list[CoachingSeries]:
    """The series in which the viewer takes part."""
    async with context.acquire() as connection:
        return [CoachingSeries.of(view) for view in await plan_series.list_series(connection, _own(context))]


async def find_program(context: Context, row_id: UUID) -> CoachingProgram | None:
    """A program that exists for the viewer, or None."""
    async with context.acquire() as connection:
        found = await plan_programs.programs_by_id(connection, context.viewer, [row_id])
    return CoachingProgram.of(found[row_id]) if row_id in found else None


async def list_programs(context: Context) -> list[CoachingProgram]:
    """The programs that exist for the viewer."""
    async with context.acquire() as connection:
        return [CoachingProgram.of(row) for row in await plan_programs.list_programs(connection, context.viewer)]


def _told(view: SessionView) -> CoachingSessionPayload:
    return CoachingSessionPayload(session=CoachingSession.of(view), errors=[])


async def plan_session(context: Context, given: PlanCoachingSessionInput) -> CoachingSessionPayload:
    """Plan a session. Raises what the domain does."""
    new = NewSession(
        user_id=decode_id(given.user_id, "User", path=("input", "userId")),
        starts_at=given.starts_at,
        duration_minutes=DEFAULT_MINUTES if given.duration_minutes is None else given.duration_minutes,
        title=given.title,
        agenda=given.agenda,
        co_coach_ids=ids_of(given.co_coach_ids, "User", "coCoachIds"),
        plan_id=_plan(given.plan_id),
    )

    async def work(connection: Any) -> SessionView:
        return await plan_sessions.plan_session(connection, context.viewer, new)

    return _told(await context.in_transaction(work))


async def update_session(context: Context, given: UpdateCoachingSessionInput) -> CoachingSessionPayload:
    """Change a session. Raises what the domain does."""
    session_id = _session_id(given.session_id)
    change = SessionChange(
        title=given.title,
        agenda=given.agenda,
        starts_at=given.starts_at,
        duration_minutes=given.duration_minutes,
        co_coach_ids=None if given.co_coach_ids is None else ids_of(given.co_coach_ids, "User", "coCoachIds"),
        plan_id=_plan(given.plan_id),
    )

    async def work(connection: Any) -> SessionView:
        return await plan_sessions.update_session(
            connection, context.viewer, session_id, change, expected=given.expected_version
        )

    return _told(await context.in_transaction(work))


async def record_session(context: Context, given: RecordCoachingSessionInput) -> CoachingSessionPayload:
    """Say what became of a session. Raises what the domain does."""
    session_id = _session_id(given.session_id)

    async def work(connection: Any) -> SessionView:
        return await plan_sessions.end_session(
            connection,
            context.viewer,
            session_id,
            given.state,
            context.now,
            held_at=given.held_at,
            expected=given.expected_version,
        )

    return _told(await context.in_transaction(work))


def _activities(given: Sequence[str]) -> list[UUID]:
    found = []
    for place, one in enumerate(given):
        decoded = decode_any_id(one)
        if decoded is None or not decoded[0].endswith("Activity"):
            raise NotFound("No such activity of the rep's.", path=("input", "activityIds", str(place)))
        found.append(decoded[1])
    if len(found) > plan_sessions.MOST_FILM:
        raise Invalid(f"activityIds: at most {plan_sessions.MOST_FILM}.", path=("input", "activityIds"))
    return found


async def attach_film(context: Context, given: SessionFilmInput) -> CoachingSessionPayload:
    """Attach film. Raises what the domain does."""
    session_id, ids = _session_id(given.session_id), _activities(given.activity_ids)

    async def work(connection: Any) -> SessionView:
        return await plan_sessions.attach_film(connection, context.viewer, session_id, ids)

    return _told(await context.in_transaction(work))


async def detach_film(context: Context, given: SessionFilmInput) -> CoachingSessionPayload:
    """Take film off. Raises what the domain does."""
    session_id, ids = _session_id(given.session_id), _activities(given.activity_ids)

    async def work(connection: Any) -> SessionView:
        return await plan_sessions.detach_film(connection, context.viewer, session_id, ids)

    return _told(await context.in_transaction(work))


def _wall(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise Invalid(
            "firstStart: give a wall clock's time such as 2026-11-02T10:00.", path=("input", "firstStart")
        ) from error


async def create_series(context: Context, given: CreateCoachingSeriesInput) -> CoachingSeriesPayload:
    """Make a series. Raises what the domain does."""
    new = NewSeries(
        user_id=decode_id(given.user_id, "User", path=("input", "userId")),
        first_start=_wall(given.first_start),
        rule=given.rule,
        timezone=given.timezone,
        duration_minutes=DEFAULT_MINUTES if given.duration_minutes is None else given.duration_minutes,
        title=given.title,
        agenda=given.agenda,
        co_coach_ids=ids_of(given.co_coach_ids, "User", "coCoachIds"),
        plan_id=_plan(given.plan_id),
        ends_on=given.ends_on,
    )

    async def work(connection: Any) -> SeriesView:
        return await plan_series.create_series(connection, context.viewer, new, context.now)

    return CoachingSeriesPayload(series=CoachingSeries.of(await context.in_transaction(work)), errors=[])


async def move_occurrence(context: Context, given: MoveCoachingOccurrenceInput) -> CoachingSessionPayload:
    """Move one occurrence. Raises what the domain does."""
    series_id = decode_id(given.series_id, "CoachingSeries", path=("input", "seriesId"))
    change = SessionChange(title=given.title, starts_at=given.starts_at, duration_minutes=given.duration_minutes)

    async def work(connection: Any) -> SessionView:
        return await plan_series.move_occurrence(connection, context.viewer, series_id, given.occurrence_at, change)

    return _told(await context.in_transaction(work))


async def end_series(context: Context, given: EndCoachingSeriesInput) -> CoachingSeriesPayload:
    """End a series. Raises what the domain does."""
    series_id = decode_id(given.series_id, "CoachingSeries", path=("input", "seriesId"))

    async def work(connection: Any) -> SeriesView:
        return await plan_series.end_series(connection, context.viewer, series_id, given.last_day, context.now)

    return CoachingSeriesPayload(series=CoachingSeries.of(await context.in_transaction(work)), errors=[])


async def create_program(context: Context, given: CreateCoachingProgramInput) -> CoachingProgramPayload:
    """Make a program. Raises what the domain does."""
    start = given.start_time or DEFAULT_START
    new = NewProgram(
        name=given.name,
        manager_ids=ids_of(given.manager_ids, "User", "managerIds"),
        first_day=given.first_day,
        start_minute=start.hour * 60 + start.minute,
        duration_minutes=DEFAULT_MINUTES if given.duration_minutes is None else given.duration_minutes,
        every_weeks=1 if given.every_weeks is None else given.every_weeks,
        timezone=given.timezone,
        agenda=given.agenda,
    )

    async def work(connection: Any) -> models.CoachingProgram:
        return await plan_programs.create_program(connection, context.viewer, new, context.now)

    return CoachingProgramPayload(program=CoachingProgram.of(await context.in_transaction(work)), errors=[])


def _program_id(given: str) -> UUID:
    return decode_id(given, "CoachingProgram", path=("input", "programId"))


async def update_program(context: Context, given: UpdateCoachingProgramInput) -> CoachingProgramPayload:
    """Change a program. Raises what the domain does."""
    program_id = _program_id(given.program_id)
    change = ProgramChange(
        given.name,
        given.agenda,
        None if given.manager_ids is None else ids_of(given.manager_ids, "User", "managerIds"),
    )

    async def work(connection: Any) -> models.CoachingProgram:
        return await plan_programs.update_program(connection, context.viewer, program_id, change, context.now)

    return CoachingProgramPayload(program=CoachingProgram.of(await context.in_transaction(work)), errors=[])


async def end_program(context: Context, given: CoachingProgramInput) -> CoachingProgramPayload:
    """End a program. Raises what the domain does."""
    program_id = _program_id(given.program_id)

    async def work(connection: Any) -> models.CoachingProgram:
        return await plan_programs.end_program(connection, context.viewer, program_id, context.now)

    return CoachingProgramPayload(program=CoachingProgram.of(await context.in_transaction(work)), errors=[])
