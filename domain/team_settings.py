"""A team's own settings: how it counts time, what it calls on track, its holidays, and its people's days off."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

from domain import access, audit, events, integrations
from domain.access import GoalSight, Viewer
from domain.audit import AuditAction, NewEntry
from domain.errors import Invalid, NotFound
from domain.models import DayOff, Team
from domain.models.base import new_id
from domain.models.people import Permission
from domain.models.teams import FiscalCalendar
from domain.periods import Days
from domain.workdays import country_holidays

if TYPE_CHECKING:
    from domain.database import Connection

LONGEST_LEAVE_DAYS = 366 * 3
NAME_LIMIT = 200
LONGEST_KEPT_DAYS = 36_500
MOST_DOMAINS = 100
_DOMAIN = re.compile(r"(?=.{1,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{2,63}")
SHORTEST_AUDIT_DAYS = 30
"""Nobody makes the audit log forget what they did just now."""


@dataclass(frozen=True, slots=True)
class SettingsChange:
    """What to change; None leaves a setting as it is, an empty country or subdivision, or 0 days, removes it."""

    week_start: int | None = None
    fiscal_year_start_month: int | None = None
    fiscal_calendar: FiscalCalendar | None = None
    work_week: tuple[int, ...] | None = None
    work_day_start_minute: int | None = None
    work_day_end_minute: int | None = None
    holiday_country: str | None = None
    holiday_subdivision: str | None = None
    reps_edit_own_goals: bool | None = None
    show_peer_statistics: bool | None = None
    executive_visibility: bool | None = None
    on_track_pace: Decimal | None = None
    at_risk_pace: Decimal | None = None
    keep_bodies_days: int | None = None
    keep_activities_days: int | None = None
    keep_audit_days: int | None = None
    mail_domains: tuple[str, ...] | None = None


_KEPT_DAYS = {
    "keep_bodies_days": ("keepBodiesDays", 1),
    "keep_activities_days": ("keepActivitiesDays", 1),
    "keep_audit_days": ("keepAuditDays", SHORTEST_AUDIT_DAYS),
}
"""How long things are kept: the input's name, and the least."""


async def read_team(connection: Connection, team_id: UUID) -> Team:
    """A team with its settings."""
    row = await connection.fetchrow("SELECT * FROM teams WHERE id = $1", team_id)
    assert row is not None, "the team is the viewer's"
    return Team._init_from_db(**dict(row))


def _columns(change: SettingsChange) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    for name in (
        "week_start fiscal_year_start_month work_day_start_minute work_day_end_minute reps_edit_own_goals "
        "show_peer_statistics executive_visibility on_track_pace at_risk_pace"
    ).split():
        value = getattr(change, name)
        if value is not None:
            columns[name] = value
    for name in _KEPT_DAYS:
        value = getattr(change, name)
        if value is not None:
            columns[name] = value or None
    if change.mail_domains is not None:
        columns["mail_domains"] = sorted({domain.strip().lower().lstrip("@") for domain in change.mail_domains})
    if change.fiscal_calendar is not None:
        columns["fiscal_calendar"] = change.fiscal_calendar.value
    if change.work_week is not None:
        columns["work_week"] = sum(1 << (day - 1) for day in set(change.work_week))
    if change.holiday_country is not None:
        columns["holiday_country"] = change.holiday_country.upper() or None
    if change.holiday_subdivision is not None:
        columns["holiday_subdivision"] = change.holiday_subdivision.upper() or None
    return columns


def _check(values: Mapping[str, Any]) -> None:
    """Refuse settings that do not go together."""
    if not 1 <= values["week_start"] <= 7:
        raise Invalid("weekStart: a week starts on one of its seven days.", path=("input", "weekStart"))
    if not 1 <= values["fiscal_year_start_month"] <= 12:
        raise Invalid("fiscalYearStartMonth: from 1 to 12.", path=("input", "fiscalYearStartMonth"))
    for name, (told, least) in _KEPT_DAYS.items():
        kept = values[name]
        if kept is not None and not least <= kept <= LONGEST_KEPT_DAYS:
            raise Invalid(f"{told}: from {least} to {LONGEST_KEPT_DAYS}, or 0 for ever.", path=("input", told))
    if len(values["mail_domains"]) > MOST_DOMAINS or not all(map(_DOMAIN.fullmatch, values["mail_domains"])):
        raise Invalid(f"mailDomains: at most {MOST_DOMAINS} names such as example.com.", path=("input", "mailDomains"))
    if not 1 <= values["work_week"] <= 127:
        raise Invalid("workWeek: name at least one day.", path=("input", "workWeek"))
    if not 0 <= values["work_day_start_minute"] < values["work_day_end_minute"] <= 1440:
        raise Invalid("workDayEnd: working hours end after they start, on the same day.", path=("input", "workDayEnd"))
    on_track, at_risk = Decimal(values["on_track_pace"]), Decimal(values["at_risk_pace"])
    if not 0 < at_risk <= on_track <= 10:
        raise Invalid(
            "atRiskPace: above 0 and not above onTrackPace, which is at most 10.", path=("input", "atRiskPace")
        )
    for name, value in (("onTrackPace", on_track), ("atRiskPace", at_risk)):
        if value != value.quantize(Decimal("0.001")):
            raise Invalid(f"{name}: at most three decimal places.", path=("input", name))
    country, subdivision = values["holiday_country"], values["holiday_subdivision"]
    if subdivision is not None and country is None:
        raise Invalid("holidaySubdivision: name its country too.", path=("input", "holidaySubdivision"))
    if country is not None:
        try:
            country_holidays(country, subdivision, 2026)
        except Invalid as error:
            raise Invalid(error.message, path=("input", *error.path)) from error


async def update_settings(connection: Connection, viewer: Viewer, change: SettingsChange) -> Team:
    """Change some settings, in the caller's transaction; the goals are evaluated anew.

    A change of the week, the fiscal year or the working days counts for the past too: they say how days are counted,
    not what was asked. What is kept no longer is removed by the worker's upkeep, and does not come back; how long the
    audit log is kept is Admin's to say, as the log is Admin's to read; so is whether Admins may read coaching sessions.

    Raises:
        Forbidden: the viewer lacks `MANAGE_TEAM`, or for the audit log and the sessions the role Admin.
        Invalid: a setting does not fit, or not with another.
    """
    access.require(viewer, Permission.MANAGE_TEAM)
    if change.keep_audit_days is not None or change.executive_visibility is not None:
        access.require_admin(viewer)
    # Importers hold the row FOR SHARE; this lock goes with theirs as far as it can, and holds off another change.
    row = await connection.fetchrow("SELECT * FROM teams WHERE id = $1 FOR NO KEY UPDATE", viewer.team_id)
    assert row is not None, "the team is the viewer's"
    columns = _columns(change)
    if "holiday_country" in columns and change.holiday_subdivision is None:
        columns["holiday_subdivision"] = None
    _check(dict(row) | columns)
    if columns:
        assignments = ", ".join(f"{name} = ${place}" for place, name in enumerate(columns, 2))
        await connection.execute(f"UPDATE teams SET {assignments} WHERE id = $1", viewer.team_id, *columns.values())
        before = {name: row[name] for name in columns}
        entry = NewEntry(AuditAction.SETTINGS_UPDATED, ("Team", viewer.team_id), before, columns)
        await audit.record(connection, viewer, [entry])
        await events.mark_changed(connection, viewer.team_id)
    if columns.get("mail_domains", row["mail_domains"]) != row["mail_domains"]:
        # Who is an outsider decides which meetings count.
        await integrations.want_remap(connection, viewer.team_id, viewer.user_id)
    return await read_team(connection, viewer.team_id)


@dataclass(frozen=True, slots=True)
class HolidayView:
    """A day that the team keeps free, or works although its country has a holiday.

    Args:
        day: The day.
        name: What it is called.
        working: Whether the team works on it.
        own: Whether the team said so itself.
    """

    day: date
    name: str
    working: bool
    own: bool


async def list_holidays(connection: Connection, team_id: UUID, days: Days) -> list[HolidayView]:
    """The holidays of a range: the country's, and what the team says itself, by day."""
    team = await read_team(connection, team_id)
    found: dict[date, HolidayView] = {}
    if team.holiday_country is not None:
        for year in range(days.first.year, days.last.year + 1):
            for day, name in country_holidays(team.holiday_country, team.holiday_subdivision, year).items():
                if days.first <= day <= days.last:
                    found[day] = HolidayView(day, name, working=False, own=False)
    rows = await connection.fetch(
        "SELECT day, name, working FROM holidays WHERE team_id = $1 AND day BETWEEN $2 AND $3",
        team_id,
        days.first,
        days.last,
    )
    for row in rows:
        found[row["day"]] = HolidayView(row["day"], row["name"], row["working"], own=True)
    return [found[day] for day in sorted(found)]


async def set_holiday(connection: Connection, viewer: Viewer, day: date, name: str, *, working: bool) -> HolidayView:
    """Keep a day free, or work on a holiday of the country; the goals are evaluated anew.

    Raises:
        Forbidden: the viewer lacks `MANAGE_TEAM`.
        Invalid: the name is empty or too long.
    """
    access.require(viewer, Permission.MANAGE_TEAM)
    _check_text(name, "name")
    await connection.execute(
        """
        INSERT INTO holidays (id, team_id, day, name, working) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (team_id, day) DO UPDATE SET name = EXCLUDED.name, working = EXCLUDED.working
        """,
        new_id(),
        viewer.team_id,
        day,
        name,
        working,
    )
    await events.mark_changed(connection, viewer.team_id)
    return HolidayView(day, name, working, own=True)


async def remove_holiday(connection: Connection, viewer: Viewer, day: date) -> None:
    """Forget what the team said of a day; the country's holidays count again.

    Raises:
        Forbidden: the viewer lacks `MANAGE_TEAM`.
        NotFound: the team said nothing of the day.
    """
    access.require(viewer, Permission.MANAGE_TEAM)
    gone = await connection.fetchval(
        "DELETE FROM holidays WHERE team_id = $1 AND day = $2 RETURNING true", viewer.team_id, day
    )
    if not gone:
        raise NotFound(f"day: the team has said nothing of {day}.", path=("input", "day"))
    await events.mark_changed(connection, viewer.team_id)


def _check_text(text: str, field: str) -> None:
    if not text.strip() or len(text) > NAME_LIMIT or "\0" in text:
        raise Invalid(f"{field}: give 1 to {NAME_LIMIT} characters.", path=("input", field))


async def list_days_off(connection: Connection, sight: GoalSight, user_id: UUID, days: Days) -> list[DayOff]:
    """A person's days off that touch a range, where the viewer may see the person's goals."""
    if not sight.sees(sight.users.team_id, user_id, None):
        return []
    rows = await connection.fetch(
        "SELECT * FROM days_off WHERE team_id = $1 AND user_id = $2 AND first_day <= $4 AND last_day >= $3 "
        "ORDER BY first_day, id",
        sight.users.team_id,
        user_id,
        days.first,
        days.last,
    )
    return [DayOff._init_from_db(**dict(row)) for row in rows]


async def add_days_off(connection: Connection, viewer: Viewer, user_id: UUID, days: Days, reason: str | None) -> DayOff:
    """Take days off for a person: for oneself as one may set one's own goals, for others as one may set theirs.

    Raises:
        Forbidden: the viewer may not.
        NotFound: there is no such person in the viewer's scope.
        Invalid: the days or the reason do not fit.
    """
    access.require_goal_editing(viewer, own_only=user_id == viewer.user_id)
    sight = await access.see_goals(connection, viewer)
    access.require_seen(sight.users, user_id, "user", path=("input", "userId"))
    if days.last < days.first or days.count > LONGEST_LEAVE_DAYS:
        raise Invalid("to: not before from, and at most three years later.", path=("input", "to"))
    if reason is not None:
        _check_text(reason, "reason")
    row = await connection.fetchrow(
        """
        INSERT INTO days_off (id, team_id, user_id, first_day, last_day, reason)
        SELECT $1, team_id, id, $4, $5, $6 FROM users WHERE team_id = $2 AND id = $3 AND erased_at IS NULL RETURNING *
        """,
        new_id(),
        viewer.team_id,
        user_id,
        days.first,
        days.last,
        reason,
    )
    if row is None:
        raise NotFound("No such user.", path=("input", "userId"))
    await events.mark_changed(connection, viewer.team_id)
    return DayOff._init_from_db(**dict(row))


async def remove_days_off(connection: Connection, viewer: Viewer, row_id: UUID) -> DayOff:
    """Give days off back.

    Raises:
        Forbidden: the viewer may not.
        NotFound: there are no such days off in the viewer's scope.
    """
    sight = await access.see_goals(connection, viewer)
    path = ("input", "daysOffId")
    row = await connection.fetchrow(
        "SELECT * FROM days_off WHERE team_id = $1 AND id = $2 FOR UPDATE", viewer.team_id, row_id
    )
    if row is None or not sight.users.sees(viewer.team_id, row["user_id"]):
        raise NotFound("No such days off.", path=path)
    access.require_goal_editing(viewer, own_only=row["user_id"] == viewer.user_id)
    await connection.execute("DELETE FROM days_off WHERE team_id = $1 AND id = $2", viewer.team_id, row_id)
    await events.mark_changed(connection, viewer.team_id)
    return DayOff._init_from_db(**dict(row))
