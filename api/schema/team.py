"""A team's settings, holidays and days off."""

from datetime import date, time
from decimal import Decimal
from enum import Enum

import strawberry

from api.context import Context
from api.schema.errors import UserError
from api.schema.nodes import Node, global_id
from api.schema.people import User
from domain import models, team_settings

Info = strawberry.Info[Context]

FiscalCalendar = strawberry.enum(
    models.FiscalCalendar,
    name="FiscalCalendar",
    description="MONTHS: the months of the year. FOUR_FOUR_FIVE: months of 4, 4 and 5 whole weeks; the year begins on "
    "the week start nearest to the first of its first month.",
)


@strawberry.enum(description="The days of a week.")
class Weekday(Enum):
    MONDAY = 1
    TUESDAY = 2
    WEDNESDAY = 3
    THURSDAY = 4
    FRIDAY = 5
    SATURDAY = 6
    SUNDAY = 7


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


@strawberry.type(description="How a team counts time, and what it calls on track.")
class TeamSettings:
    week_start: Weekday = strawberry.field(description="The first day of a week.")
    fiscal_year_start_month: int = strawberry.field(description="From 1 to 12.")
    fiscal_calendar: FiscalCalendar = strawberry.field(description="What its months are.")
    work_week: list[Weekday] = strawberry.field(description="The days on which it works.")
    work_day_start: str = strawberry.field(description="When working hours begin, such as 09:00.")
    work_day_end: str = strawberry.field(description="When working hours end, such as 17:00; at most 24:00.")
    holiday_country: str | None = strawberry.field(description="ISO 3166-1 code of the holiday calendar.")
    holiday_subdivision: str | None = strawberry.field(description="A part of the country with holidays of its own.")
    reps_edit_own_goals: bool = strawberry.field(description="Whether everybody may edit their own goals.")
    show_peer_statistics: bool = strawberry.field(
        description="Whether everybody sees the average and percentile of their own group."
    )
    executive_visibility: bool = strawberry.field(
        description="Whether Admins may read coaching sessions of others, which then stands in the audit log."
    )
    on_track_pace: Decimal = strawberry.field(description="The pace from which a goal is on track.")
    keep_bodies_days: int | None = strawberry.field(
        description="Days for which bodies of emails are kept; null: for ever."
    )
    keep_activities_days: int | None = strawberry.field(
        description="Days for which activities are kept; their numbers stay. Null: for ever."
    )
    keep_audit_days: int | None = strawberry.field(description="Days for which the audit log is kept; null: for ever.")
    activities_from: date | None = strawberry.field(
        description="The first day whose numbers may still change; activities of days before it are taken in no more."
    )
    mail_domains: list[str] = strawberry.field(
        description="Who has an address in one of these is no customer; empty: the domains of the team's people."
    )
    at_risk_pace: Decimal = strawberry.field(description="The pace from which a goal is at risk rather than behind.")

    @classmethod
    def of(cls, team: models.Team) -> "TeamSettings":
        return cls(
            week_start=Weekday(team.week_start),
            fiscal_year_start_month=team.fiscal_year_start_month,
            fiscal_calendar=models.FiscalCalendar(team.fiscal_calendar),
            work_week=[day for day in Weekday if team.work_week >> (day.value - 1) & 1],
            work_day_start=_clock(team.work_day_start_minute),
            work_day_end=_clock(team.work_day_end_minute),
            holiday_country=team.holiday_country,
            holiday_subdivision=team.holiday_subdivision,
            reps_edit_own_goals=team.reps_edit_own_goals,
            show_peer_statistics=team.show_peer_statistics,
            executive_visibility=team.executive_visibility,
            on_track_pace=team.on_track_pace,
            at_risk_pace=team.at_risk_pace,
            keep_bodies_days=team.keep_bodies_days,
            keep_activities_days=team.keep_activities_days,
            keep_audit_days=team.keep_audit_days,
            activities_from=team.activities_from,
            mail_domains=list(team.mail_domains),
        )


@strawberry.input(description="Settings to change; those left out stay. A change counts for the past as well.")
class UpdateTeamSettingsInput:
    week_start: Weekday | None = strawberry.field(default=None, description="The first day of a week.")
    fiscal_year_start_month: int | None = strawberry.field(default=None, description="From 1 to 12.")
    fiscal_calendar: FiscalCalendar | None = strawberry.field(default=None, description="What its months are.")
    work_week: list[Weekday] | None = strawberry.field(default=None, description="The days on which the team works.")
    work_day_start: time | None = strawberry.field(default=None, description="When working hours begin: 09:00:00.")
    work_day_end: time | None = strawberry.field(
        default=None, description="When working hours end: 17:00:00; 00:00:00 is the end of the day."
    )
    holiday_country: str | None = strawberry.field(
        default=None, description="ISO 3166-1 code of the holiday calendar; empty for none."
    )
    holiday_subdivision: str | None = strawberry.field(
        default=None, description="A part of the country; empty for none."
    )
    reps_edit_own_goals: bool | None = strawberry.field(default=None, description="May everybody edit their own goals?")
    show_peer_statistics: bool | None = strawberry.field(
        default=None, description="Does everybody see the average and percentile of their own group?"
    )
    executive_visibility: bool | None = strawberry.field(
        default=None, description="May Admins read coaching sessions of others? For Admin; off at first."
    )
    on_track_pace: Decimal | None = strawberry.field(default=None, description="At least atRiskPace.")
    at_risk_pace: Decimal | None = strawberry.field(default=None, description="Above 0.")
    keep_bodies_days: int | None = strawberry.field(
        default=None, description="Days for which bodies of emails are kept; older ones are removed. 0: for ever."
    )
    keep_activities_days: int | None = strawberry.field(
        default=None,
        description="Days for which activities are kept. Older ones are removed for good; their numbers stay, and "
        "change no more. 0: for ever.",
    )
    keep_audit_days: int | None = strawberry.field(
        default=None, description="Days for which the audit log is kept, at least 30; for Admin. 0: for ever."
    )

    mail_domains: list[str] | None = strawberry.field(
        default=None, description="In place of those of before; meetings are looked at anew. Empty: as at first."
    )

    def to_domain(self) -> team_settings.SettingsChange:
        end = self.work_day_end
        return team_settings.SettingsChange(
            week_start=None if self.week_start is None else self.week_start.value,
            fiscal_year_start_month=self.fiscal_year_start_month,
            fiscal_calendar=self.fiscal_calendar,
            work_week=None if self.work_week is None else tuple(day.value for day in self.work_week),
            work_day_start_minute=None if self.work_day_start is None else _minute(self.work_day_start),
            work_day_end_minute=None if end is None else _minute(end) or 24 * 60,
            holiday_country=self.holiday_country,
            holiday_subdivision=self.holiday_subdivision,
            reps_edit_own_goals=self.reps_edit_own_goals,
            show_peer_statistics=self.show_peer_statistics,
            executive_visibility=self.executive_visibility,
            on_track_pace=self.on_track_pace,
            at_risk_pace=self.at_risk_pace,
            keep_bodies_days=self.keep_bodies_days,
            keep_activities_days=self.keep_activities_days,
            keep_audit_days=self.keep_audit_days,
            mail_domains=None if self.mail_domains is None else tuple(self.mail_domains),
        )


def _minute(clock: time) -> int:
    return clock.hour * 60 + clock.minute


@strawberry.type(description="The settings as they stand.")
class UpdateTeamSettingsPayload:
    settings: TeamSettings | None = strawberry.field(description="Null when the change was refused.")
    errors: list[UserError] = strawberry.field(description="Why it was refused.")


@strawberry.type(description="A day that the team keeps free, or works although its country has a holiday.")
class Holiday:
    day: date = strawberry.field(description="The day.")
    name: str = strawberry.field(description="What it is called.")
    working: bool = strawberry.field(description="Whether the team works on it all the same.")
    own: bool = strawberry.field(description="Whether the team said so itself.")

    @classmethod
    def of(cls, view: team_settings.HolidayView) -> "Holiday":
        return cls(day=view.day, name=view.name, working=view.working, own=view.own)


@strawberry.input(description="A day to keep free, or a holiday of the country to work on.")
class SetHolidayInput:
    day: date = strawberry.field(description="The day.")
    name: str = strawberry.field(description="What it is called.")
    working: bool | None = strawberry.field(default=False, description="Work on it all the same.")


@strawberry.input(description="A day of which the team takes back what it said.")
class RemoveHolidayInput:
    day: date = strawberry.field(description="The day.")


@strawberry.type(description="The day as it counts now.")
class HolidayPayload:
    holiday: Holiday | None = strawberry.field(description="Null when it was refused, or taken back.")
    errors: list[UserError] = strawberry.field(description="Why it was refused.")


@strawberry.type(description="Days on which a person does not work.")
class DaysOff(Node):
    first: date = strawberry.field(name="from", description="The first day.")
    last: date = strawberry.field(name="to", description="The last day.")
    reason: str | None = strawberry.field(description="Why.")
    row: strawberry.Private[models.DayOff]

    @classmethod
    def of(cls, row: models.DayOff) -> "DaysOff":
        return cls(id=global_id("DaysOff", row.id), first=row.first_day, last=row.last_day, reason=row.reason, row=row)

    @strawberry.field(description="Who does not work.")
    async def user(self, info: Info) -> User:
        return User.of(await info.context.goal_subjects.load(self.row.user_id))


@strawberry.input(description="Days off for a person.")
class AddDaysOffInput:
    user_id: strawberry.ID = strawberry.field(description="Who does not work.")
    first: date = strawberry.field(name="from", description="The first day.")
    last: date = strawberry.field(name="to", description="The last day.")
    reason: str | None = strawberry.field(default=None, description="Why.")


@strawberry.input(description="Days off to give back.")
class RemoveDaysOffInput:
    days_off_id: strawberry.ID = strawberry.field(description="Which.")


@strawberry.type(description="The days off.")
class DaysOffPayload:
    days_off: DaysOff | None = strawberry.field(description="Null when it was refused.")
    errors: list[UserError] = strawberry.field(description="Why it was refused.")
