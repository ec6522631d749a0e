"""Programs: one-on-ones for every report of some managers, from a day on, for as long as they are reports.

`reconcile` brings the series of a program in line with the reporting line as it is now: who has become a report of one
of the managers gets a series with them; a series whose rep has left the manager, or the team, ends today; a person who
moved to another manager of the program has the old one ended and gets a new one. Run twice it changes nothing, and two
that run at once wait for each other: a rep has one running series in a program (coaching_series_program_key).

**When.** The first one-on-one of a manager is at the program's time; further ones follow on the same day as long as
they fit into the team's working hours, then on the next working days of the week. Each rep has the lowest place that is
free with their manager, so that nobody else moves when one leaves or comes. A series begins with its first time from
now on that keeps the program's rhythm of weeks.

A report is who reports to the manager directly and is active. Whoever makes a program does not see its sessions: they
are the manager's and the rep's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from domain import access, access_plans, actions, plan_series
from domain.access import Viewer
from domain.errors import Conflict, Invalid, NotFound
from domain.identity import calendar_of
from domain.models import CoachingProgram, CoachingSeries
from domain.models.base import new_id
from domain.models.people import Permission
from domain.plan_series import finish_series, insert_series, make_sessions
from domain.plan_sessions import LONGEST_MINUTES, SHORTEST_MINUTES
from domain.plans import TEXT_LIMIT, TITLE_LIMIT, check_day, checked_text
from domain.recurrence import instant_of, wall_of
from domain.workdays import WorkRules, read_rules

if TYPE_CHECKING:
    from domain.database import Connection

MOST_MANAGERS = 200
MOST_PROGRAMS = 200
LOT = 100
"""So many series are begun, and as many ended, in one transaction; the workers go on with the rest at once."""
AGAIN = timedelta(minutes=5)
"""So often the workers look for new reports."""


@dataclass(frozen=True, slots=True)
class NewProgram:
    """A program to be made.

    Args:
        name: What it is called, and its sessions.
        manager_ids: For whose reports.
        every_weeks: Every so many weeks.
        first_day: From this day on; its weekday is that of the first one-on-one.
        start_minute: Of a manager's first one-on-one of the day, after local midnight.
        duration_minutes: How long each is.
        timezone: IANA name; the team's if None.
        agenda: What is to be talked about.
    """

    name: str
    manager_ids: frozenset[UUID]
    first_day: date
    start_minute: int = 9 * 60
    duration_minutes: int = 30
    every_weeks: int = 1
    timezone: str | None = None
    agenda: str | None = None


@dataclass(frozen=True, slots=True)
class ProgramChange:
    """What to change of a program; None leaves it as it is. Times that stand stay: they count for new series."""

    name: str | None = None
    agenda: str | None = None
    manager_ids: frozenset[UUID] | None = None


async def create_program(connection: Connection, viewer: Viewer, new: NewProgram, now: datetime) -> CoachingProgram:
    """Make a program and its series, in the caller's transaction.

    Raises:
        Forbidden: the viewer lacks `TEAM_VIEW`.
        NotFound: a manager is not there for the viewer.
        Invalid: a part does not fit.
    """
    await _check_managers(connection, viewer, new.manager_ids)
    timezone = new.timezone or viewer.timezone
    actions.zone_named(timezone, path=("input",))
    check_day(new.first_day, "firstDay")
    if new.first_day < calendar_of(viewer).today(now) - timedelta(days=366):
        raise Invalid("firstDay: at most a year ago.", path=("input", "firstDay"))
    if not 1 <= new.every_weeks <= 26:
        raise Invalid("everyWeeks: from 1 to 26.", path=("input", "everyWeeks"))
    if not 0 <= new.start_minute < 24 * 60:
        raise Invalid("startTime: a time of the day.", path=("input", "startTime"))
    if not SHORTEST_MINUTES <= new.duration_minutes <= LONGEST_MINUTES:
        raise Invalid(
            f"durationMinutes: from {SHORTEST_MINUTES} to {LONGEST_MINUTES}.", path=("input", "durationMinutes")
        )
    program_id = new_id()
    await connection.execute(
        """
        INSERT INTO coaching_programs (id, team_id, name, agenda, manager_ids, every_weeks, first_day, start_minute,
            duration_minutes, timezone, created_by_id) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
        """,
        program_id,
        viewer.team_id,
        checked_text(new.name, "name", TITLE_LIMIT, needed=True),
        checked_text(new.agenda, "agenda", TEXT_LIMIT),
        sorted(new.manager_ids),
        new.every_weeks,
        new.first_day,
        new.start_minute,
        new.duration_minutes,
        timezone,
        viewer.user_id,
    )
    await reconcile(connection, viewer.team_id, program_id, now)
    return await _read(connection, viewer.team_id, program_id)


async def _check_managers(connection: Connection, viewer: Viewer, manager_ids: frozenset[UUID]) -> None:
    if not 1 <= len(manager_ids) <= MOST_MANAGERS:
        raise Invalid(f"managerIds: from 1 to {MOST_MANAGERS}.", path=("input", "managerIds"))
    await access_plans.require_program_managers(connection, viewer, manager_ids)


async def update_program(
    connection: Connection, viewer: Viewer, program_id: UUID, change: ProgramChange, now: datetime
) -> CoachingProgram:
    """Change a program, and its series with it, in the caller's transaction.

    Raises:
        NotFound: there is no such program for the viewer, or a manager is not there.
        Forbidden: somebody else made it, and the viewer lacks `MANAGE_TEAM`.
        Conflict: it has ended.
        Invalid: a part does not fit.
    """
    program = await _locked(connection, viewer, program_id)
    if program.ended_on is not None:
        raise Conflict("The program has ended; make another.", path=("input", "programId"))
    managers = frozenset(program.manager_ids) if change.manager_ids is None else change.manager_ids
    fresh = managers - frozenset(program.manager_ids)
    if not 1 <= len(managers) <= MOST_MANAGERS:
        raise Invalid(f"managerIds: from 1 to {MOST_MANAGERS}.", path=("input", "managerIds"))
    if fresh:
        await access_plans.require_program_managers(connection, viewer, fresh)
    await connection.execute(
        "UPDATE coaching_programs SET name = $3, agenda = $4, manager_ids = $5, generation = generation + 1 "
        "WHERE team_id = $1 AND id = $2",
        viewer.team_id,
        program_id,
        program.name if change.name is None else checked_text(change.name, "name", TITLE_LIMIT, needed=True),
        program.agenda if change.agenda is None else checked_text(change.agenda, "agenda", TEXT_LIMIT),
        sorted(managers),
    )
    await reconcile(connection, viewer.team_id, program_id, now)
    return await _read(connection, viewer.team_id, program_id)


async def end_program(connection: Connection, viewer: Viewer, program_id: UUID, now: datetime) -> CoachingProgram:
    """End a program today, and all its series, in the caller's transaction; ended twice is ended once.

    Raises:
        NotFound: there is no such program for the viewer.
        Forbidden: somebody else made it, and the viewer lacks `MANAGE_TEAM`.
    """
    program = await _locked(connection, viewer, program_id)
    if program.ended_on is None:
        today = wall_of(now, actions.zone_named(program.timezone)).date()
        await connection.execute(
            "UPDATE coaching_programs SET ended_on = $3, generation = generation + 1 WHERE team_id = $1 AND id = $2",
            viewer.team_id,
            program_id,
            today,
        )
        await reconcile(connection, viewer.team_id, program_id, now)
    return await _read(connection, viewer.team_id, program_id)


async def _locked(connection: Connection, viewer: Viewer, program_id: UUID) -> CoachingProgram:
    row = await connection.fetchrow(
        "SELECT * FROM coaching_programs WHERE team_id = $1 AND id = $2 FOR NO KEY UPDATE", viewer.team_id, program_id
    )
    if row is None or not access_plans.may_see_program(viewer, row["created_by_id"], row["manager_ids"]):
        raise NotFound("No such coaching program.", path=("input", "programId"))
    access_plans.require_program_change(viewer, row["created_by_id"])
    return CoachingProgram._init_from_db(**dict(row))


async def _read(connection: Connection, team_id: UUID, program_id: UUID) -> CoachingProgram:
    row = await connection.fetchrow(
        "SELECT * FROM coaching_programs WHERE team_id = $1 AND id = $2", team_id, program_id
    )
    assert row is not None
    return CoachingProgram._init_from_db(**dict(row))


async def programs_by_id(connection: Connection, viewer: Viewer, ids: Sequence[UUID]) -> dict[UUID, CoachingProgram]:
    """Those of some programs that exist for the viewer."""
    rows = await connection.fetch(
        "SELECT * FROM coaching_programs WHERE team_id = $1 AND id = ANY ($2::uuid[])", viewer.team_id, list(ids)
    )
    return {program.id: program for program in _seen(viewer, rows)}


async def list_programs(connection: Connection, viewer: Viewer) -> list[CoachingProgram]:
    """The programs that exist for the viewer, the newest first, at most `MOST_PROGRAMS`.

    Raises:
        Forbidden: the viewer lacks `TEAM_VIEW`.
    """
    access.require(viewer, Permission.TEAM_VIEW)
    rows = await connection.fetch(
        f"""
        SELECT * FROM coaching_programs WHERE team_id = $1 AND ($2 OR created_by_id = $3 OR $3 = ANY (manager_ids))
        ORDER BY id DESC LIMIT {MOST_PROGRAMS}
        """,
        viewer.team_id,
        access.may(viewer, Permission.MANAGE_TEAM),
        viewer.user_id,
    )
    return _seen(viewer, rows)


def _seen(viewer: Viewer, rows: Sequence[Any]) -> list[CoachingProgram]:
    return [
        CoachingProgram._init_from_db(**dict(row))
        for row in rows
        if access_plans.may_see_program(viewer, row["created_by_id"], row["manager_ids"])
    ]


async def running_series(connection: Connection, team_id: UUID, ids: Sequence[UUID]) -> dict[UUID, int]:
    """How many series of some programs go on; one statement. Served by coaching_series_program_key."""
    rows = await connection.fetch(
        "SELECT program_id, count(*) AS running FROM coaching_series WHERE team_id = $1 "
        "AND program_id = ANY ($2::uuid[]) AND ended_on IS NULL GROUP BY program_id",
        team_id,
        list(ids),
    )
    return dict.fromkeys(ids, 0) | {row["program_id"]: row["running"] for row in rows}


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What a look at a program changed."""

    begun: int
    ended: int


async def reconcile(connection: Connection, team_id: UUID, program_id: UUID, now: datetime) -> Reconciled:
    """Bring the series of a program in line with who reports to whom now, in the caller's transaction."""
    row = await connection.fetchrow(
        "SELECT * FROM coaching_programs WHERE team_id = $1 AND id = $2 FOR NO KEY UPDATE", team_id, program_id
    )
    if row is None:
        return Reconciled(0, 0)
    program = CoachingProgram._init_from_db(**dict(row))
    wanted = {} if program.ended_on is not None else await _reports(connection, team_id, program)
    running = [
        CoachingSeries._init_from_db(**dict(one))
        for one in await connection.fetch(
            "SELECT * FROM coaching_series WHERE team_id = $1 AND program_id = $2 AND ended_on IS NULL ORDER BY id",
            team_id,
            program_id,
        )
    ]
    over = [one for one in running if wanted.get(one.user_id) != one.coach_id]
    later = len(over) > LOT
    over = over[:LOT]
    kept = [one for one in running if wanted.get(one.user_id) == one.coach_id]
    today = wall_of(now, actions.zone_named(program.timezone)).date()
    await finish_series(connection, team_id, over, today, now)
    taken: dict[UUID, set[int]] = {}
    for one in kept:
        assert one.program_slot is not None
        taken.setdefault(one.coach_id, set()).add(one.program_slot)
    # Who has one, and who still waits for another one to end.
    has = {one.user_id for one in running} - {one.user_id for one in over}
    rules = await read_rules(connection, team_id)
    begun: list[CoachingSeries] = []
    for user_id, manager_id in sorted(wanted.items()):
        if user_id in has:
            continue
        if len(begun) == LOT:
            later = True
            break
        slots = taken.setdefault(manager_id, set())
        slot = next(number for number in range(len(slots) + 1) if number not in slots)
        slots.add(slot)
        begun.append(
            await insert_series(
                connection,
                team_id,
                user_id=user_id,
                coach_id=manager_id,
                title=program.name,
                agenda=program.agenda,
                rule="FREQ=WEEKLY" if program.every_weeks == 1 else f"FREQ=WEEKLY;INTERVAL={program.every_weeks}",
                timezone=program.timezone,
                first=first_start(program, slot, rules, now),
                duration_minutes=program.duration_minutes,
                program=(program_id, slot),
            )
        )
    await make_sessions(connection, team_id, begun, now)
    await connection.execute(
        "UPDATE coaching_programs SET reconciled_at = $3 WHERE team_id = $1 AND id = $2",
        team_id,
        program_id,
        None if later else now,
    )
    return Reconciled(len(begun), len(over))


async def _reports(connection: Connection, team_id: UUID, program: CoachingProgram) -> dict[UUID, UUID]:
    """Who is to have one-on-ones, and with whom. Served by users (team_id, manager_id)."""
    rows = await connection.fetch(
        """
        SELECT u.id, u.manager_id
        FROM users u JOIN users m ON m.team_id = u.team_id AND m.id = u.manager_id AND m.active
        WHERE u.team_id = $1 AND u.manager_id = ANY ($2::uuid[]) AND u.active
        """,
        team_id,
        list(program.manager_ids),
    )
    return {row["id"]: row["manager_id"] for row in rows}


def first_start(program: CoachingProgram, slot: int, rules: WorkRules, now: datetime) -> datetime:
    """The wall clock of the first one-on-one in a slot, not before now."""
    zone = actions.zone_named(program.timezone)
    room = max(rules.day_end_minute, program.start_minute + program.duration_minutes) - program.start_minute
    a_day = max(room // program.duration_minutes, 1)
    week = [program.first_day + timedelta(days=days) for days in range(7)]
    days = [day for day in week if day == program.first_day or rules.work_week >> (day.isoweekday() - 1) & 1]
    place = slot // a_day
    # More reports than a week has room for: the further ones share the days of the first.
    day = days[place % len(days)]
    minutes = program.start_minute + slot % a_day * program.duration_minutes
    start = datetime.combine(day, time()) + timedelta(minutes=minutes)
    step = timedelta(weeks=program.every_weeks)
    behind = wall_of(now, zone) - start
    if behind > timedelta(0):
        start += step * -(-behind // step)
    while instant_of(start, zone) <= now:
        start += step
    return start


async def reconcile_due(connection: Connection, team_id: UUID, now: datetime, limit: int = 50) -> Reconciled:
    """Look at the programs of a team that have not been looked at for a while, in the caller's transaction."""
    rows = await connection.fetch(
        """
        SELECT id FROM coaching_programs WHERE team_id = $1
            AND (reconciled_at IS NULL OR ended_on IS NULL AND reconciled_at <= $2)
        ORDER BY reconciled_at NULLS FIRST LIMIT $3
        """,
        team_id,
        now - AGAIN,
        limit,
    )
    begun = ended = 0
    for row in rows:
        done = await reconcile(connection, team_id, row["id"], now)
        begun, ended = begun + done.begun, ended + done.ended
    return Reconciled(begun, ended)


async def teams_with_work(connection: Connection, now: datetime) -> list[UUID]:
    """The teams that have a program to look at, sessions to make or an invitation to deliver; the owner's connection.

    Served by coaching_programs_due_idx, coaching_series_due_idx and coaching_invitations_due_idx.
    """
    rows = await connection.fetch(
        """
        SELECT team_id FROM coaching_programs
        WHERE reconciled_at IS NULL OR ended_on IS NULL AND reconciled_at <= $1::timestamptz - $2::interval
        UNION SELECT team_id FROM coaching_series WHERE made_until < $1::timestamptz + $3::interval
        UNION SELECT team_id FROM coaching_invitations WHERE delivered_sequence < sequence AND due_at <= $1
        """,
        now,
        AGAIN,
        plan_series.AGAIN,
    )
    return [row["team_id"] for row in rows]
