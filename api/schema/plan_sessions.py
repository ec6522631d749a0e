"""Coaching sessions, series of them, and the programs that make series."""

from datetime import date, datetime, time

import strawberry

from api.permissions import requires
from api.schema.activities import Activity, activity_of
from api.schema.errors import UserError, told
from api.schema.fields import Info, reading, writing
from api.schema.nodes import Connection, Node, global_id
from api.schema.people import User
from api.schema.plans import CoachingNote, CoachingPlan, people_of, person
from domain import models, plan_series, plan_sessions
from domain.models.people import Permission

SessionState = strawberry.enum(
    models.SessionState,
    name="CoachingSessionState",
    description="PLANNED; RESCHEDULED: planned, at another time than first; HELD; CANCELLED; MISSED: it was to be, "
    "and was not.",
)
InvitationWay = strawberry.enum(
    models.InvitationWay,
    name="InvitationWay",
    description="CALENDAR: it lies in the coach's calendar. MAIL: it was sent by mail.",
)


@strawberry.type(description="How far calendars know of a session or a series; for who coaches.")
class CalendarInvitation:
    uid: str = strawberry.field(description="Of the calendar object.")
    delivered: bool = strawberry.field(description="Whether the last change has been delivered.")
    way: InvitationWay | None = strawberry.field(description="How it was last delivered.")
    error: str | None = strawberry.field(
        description="Why it could not be delivered, and is tried again; or, if it went by mail, why it does not lie in "
        "a calendar that is connected."
    )

    @classmethod
    def of(cls, row: models.CoachingInvitation) -> "CalendarInvitation":
        return cls(
            uid=row.uid,
            delivered=row.delivered_sequence >= row.sequence,
            way=None if row.way is None else models.InvitationWay(row.way),
            error=row.last_error,
        )


@strawberry.type(
    description="A rep and a coach sit down together. It exists for those who take part alone; with the team's "
    "executiveVisibility also for Admins, whose reading stands in the audit log."
)
class CoachingSession(Node):
    title: str = strawberry.field(description="What it is called.")
    agenda: str | None = strawberry.field(description="What is to be talked about.")
    starts_at: datetime = strawberry.field(description="When it starts.")
    ends_at: datetime = strawberry.field(description="When it is over.")
    duration_minutes: int = strawberry.field(description="How long it is.")
    state: SessionState = strawberry.field(description="Where it stands.")
    held_at: datetime | None = strawberry.field(description="When it took place.")
    rescheduled_count: int = strawberry.field(description="How often it was moved.")
    occurrence_at: datetime | None = strawberry.field(description="In a series: when its rule would have it.")
    version: int = strawberry.field(description="Grows by one with every change: give it as the expected version.")
    view: strawberry.Private[plan_sessions.SessionView]

    @classmethod
    def of(cls, view: plan_sessions.SessionView) -> "CoachingSession":
        row = view.session
        return cls(
            id=global_id("CoachingSession", row.id),
            title=row.title,
            agenda=row.agenda,
            starts_at=row.starts_at,
            ends_at=plan_sessions.ends_at(row),
            duration_minutes=row.duration_minutes,
            state=models.SessionState(row.state),
            held_at=row.held_at,
            rescheduled_count=row.rescheduled_count,
            occurrence_at=row.occurrence_at,
            version=row.version,
            view=view,
        )

    @strawberry.field(description="The rep.")
    async def user(self, info: Info) -> User:
        return await person(info, self.view.session.user_id)

    @strawberry.field(description="Who coaches.")
    async def coach(self, info: Info) -> User:
        return await person(info, self.view.session.coach_id)

    @strawberry.field(description="Who coaches too.")
    async def co_coaches(self, info: Info) -> list[User]:
        return await people_of(info, self.view.co_coach_ids)

    @strawberry.field(description="The plan that it belongs to, where the viewer may see it.")
    async def plan(self, info: Info) -> CoachingPlan | None:
        from api.resolvers.plans import find_plan

        plan_id = self.view.session.plan_id
        return None if plan_id is None else await find_plan(info.context, plan_id)

    @strawberry.field(description="The series that it is of; null for a single one, and for who takes no part.")
    async def series(self, info: Info) -> "CoachingSeries | None":
        from api.resolvers.plan_sessions import find_series

        series_id = self.view.session.series_id
        return None if series_id is None else await find_series(info.context, series_id)

    @strawberry.field(description="The notes that are for the viewer, the oldest first.")
    async def notes(self, info: Info) -> list[CoachingNote]:
        from api.resolvers.plans import loaders

        rows = await loaders(info.context).session_notes.load((self.view.session.id, self.view.circle))
        return [CoachingNote.of(row) for row in rows]

    @strawberry.field(description="The film that it is about, as far as it is kept and the viewer may see it.")
    async def film(self, info: Info) -> list[Activity]:
        from api.resolvers.plans import loaders

        ids = await loaders(info.context).session_film.load(self.view.session.id)
        rows = await info.context.activities.load_many(ids)
        return [activity_of(row, info.context.viewer.timezone) for row in rows if row is not None]

    @strawberry.field(description="How far calendars know of it, for who coaches; of a series, see there.")
    async def invitation(self, info: Info) -> CalendarInvitation | None:
        from api.resolvers.plans import loaders

        if self.view.session.series_id is not None or not self.view.circle.coached_by(info.context.viewer.user_id):
            return None
        row = await loaders(info.context).session_invitations.load(self.view.session.id)
        return None if row is None else CalendarInvitation.of(row)


@strawberry.type(description="A one-on-one that recurs. It exists for those who take part alone.")
class CoachingSeries(Node):
    title: str = strawberry.field(description="What it is called.")
    agenda: str | None = strawberry.field(description="What its sessions begin with.")
    rule: str = strawberry.field(description="An RRULE (RFC 5545).")
    timezone: str = strawberry.field(description="IANA name of the zone by whose wall clock it recurs.")
    first_start: str = strawberry.field(description="Wall clock of the first start: 2026-11-02T10:00:00.")
    duration_minutes: int = strawberry.field(description="How long each is.")
    ends_on: date | None = strawberry.field(description="The last day that may have one; null while it goes on.")
    by_program: bool = strawberry.field(description="Whether a program makes it.")
    view: strawberry.Private[plan_series.SeriesView]

    @classmethod
    def of(cls, view: plan_series.SeriesView) -> "CoachingSeries":
        row = view.series
        return cls(
            id=global_id("CoachingSeries", row.id),
            title=row.title,
            agenda=row.agenda,
            rule=row.rule,
            timezone=row.timezone,
            first_start=row.first_local,
            duration_minutes=row.duration_minutes,
            ends_on=row.ended_on,
            by_program=row.program_id is not None,
            view=view,
        )

    @strawberry.field(description="The rep.")
    async def user(self, info: Info) -> User:
        return await person(info, self.view.series.user_id)

    @strawberry.field(description="Who coaches.")
    async def coach(self, info: Info) -> User:
        return await person(info, self.view.series.coach_id)

    @strawberry.field(description="Who coaches too.")
    async def co_coaches(self, info: Info) -> list[User]:
        return await people_of(info, self.view.co_coach_ids)

    @strawberry.field(description="How far calendars know of it, for who coaches.")
    async def invitation(self, info: Info) -> CalendarInvitation | None:
        from api.resolvers.plans import loaders

        if not self.view.circle.coached_by(info.context.viewer.user_id):
            return None
        row = await loaders(info.context).series_invitations.load(self.view.series.id)
        return None if row is None else CalendarInvitation.of(row)


@strawberry.type(
    description="One-on-ones for every report of some managers, for as long as they are reports. Its sessions are the "
    "managers' and the reps'."
)
class CoachingProgram(Node):
    name: str = strawberry.field(description="What it is called, and its sessions.")
    agenda: str | None = strawberry.field(description="What its sessions begin with.")
    every_weeks: int = strawberry.field(description="Every so many weeks.")
    first_day: date = strawberry.field(description="Effective from; the first one-on-ones are on this weekday.")
    start_time: time = strawberry.field(description="Of a manager's first one-on-one of the day.")
    duration_minutes: int = strawberry.field(description="How long each is.")
    timezone: str = strawberry.field(description="IANA name of the zone by whose wall clock it recurs.")
    ended_on: date | None = strawberry.field(description="The last day that counted; null while it goes on.")
    reconciled_at: datetime | None = strawberry.field(description="When reports were last looked for.")
    row: strawberry.Private[models.CoachingProgram]

    @classmethod
    def of(cls, row: models.CoachingProgram) -> "CoachingProgram":
        return cls(
            id=global_id("CoachingProgram", row.id),
            name=row.name,
            agenda=row.agenda,
            every_weeks=row.every_weeks,
            first_day=row.first_day,
            start_time=time(*divmod(row.start_minute, 60)),
            duration_minutes=row.duration_minutes,
            timezone=row.timezone,
            ended_on=row.ended_on,
            reconciled_at=row.reconciled_at,
            row=row,
        )

    @strawberry.field(description="For whose reports.")
    async def managers(self, info: Info) -> list[User]:
        return await people_of(info, self.row.manager_ids)

    @strawberry.field(description="How many series it has that go on.")
    async def running_series(self, info: Info) -> int:
        from api.resolvers.plans import loaders

        return await loaders(info.context).running_series.load(self.row.id)


@strawberry.input(description="Which sessions; all conditions must hold.")
class CoachingSessionFilter:
    user_id: strawberry.ID | None = strawberry.field(default=None, description="Of this rep.")
    coach_id: strawberry.ID | None = strawberry.field(default=None, description="Of this coach.")
    plan_id: strawberry.ID | None = strawberry.field(default=None, description="Of this plan.")
    states: list[SessionState] | None = strawberry.field(default=None, description="In one of these states.")
    since: datetime | None = strawberry.field(name="from", default=None, description="That start then or later.")
    until: datetime | None = strawberry.field(name="to", default=None, description="That start before then.")
    everybody: bool | None = strawberry.field(
        default=False,
        description="Those of others too: for Admins, where the team's executiveVisibility is on. What is read so "
        "stands in the audit log.",
    )


@strawberry.input(description="A session whose coach is the viewer.")
class PlanCoachingSessionInput:
    user_id: strawberry.ID = strawberry.field(description="The rep, in the viewer's scope.")
    starts_at: datetime = strawberry.field(description="When.")
    duration_minutes: int | None = strawberry.field(default=30, description="How long: 5 to 480.")
    title: str | None = strawberry.field(default=None, description="What it is called.")
    agenda: str | None = strawberry.field(default=None, description="What is to be talked about.")
    co_coach_ids: list[strawberry.ID] | None = strawberry.field(default=None, description="Who coaches too.")
    plan_id: strawberry.ID | None = strawberry.field(default=None, description="The plan that it belongs to.")


@strawberry.input(description="What to change of a session; what is left out stays. Another start reschedules it.")
class UpdateCoachingSessionInput:
    session_id: strawberry.ID = strawberry.field(description="Which.")
    starts_at: datetime | None = strawberry.field(default=None, description="When.")
    duration_minutes: int | None = strawberry.field(default=None, description="How long.")
    title: str | None = strawberry.field(default=None, description="What it is called.")
    agenda: str | None = strawberry.field(default=None, description="What is to be talked about; empty for nothing.")
    co_coach_ids: list[strawberry.ID] | None = strawberry.field(default=None, description="In place of those before.")
    plan_id: strawberry.ID | None = strawberry.field(default=None, description="The plan that it belongs to.")
    expected_version: int | None = strawberry.field(
        default=None, description="Refuse if the session is not at this version any more."
    )


@strawberry.input(description="What became of a session.")
class RecordCoachingSessionInput:
    session_id: strawberry.ID = strawberry.field(description="Which.")
    state: SessionState = strawberry.field(description="HELD, CANCELLED or MISSED; PLANNED takes it back.")
    held_at: datetime | None = strawberry.field(
        default=None, description="When it was held; when it was to start, without it."
    )
    expected_version: int | None = strawberry.field(
        default=None, description="Refuse if the session is not at this version any more."
    )


@strawberry.input(description="Film for a session.")
class SessionFilmInput:
    session_id: strawberry.ID = strawberry.field(description="Which.")
    activity_ids: list[strawberry.ID] = strawberry.field(description="Activities of the rep.")


@strawberry.input(description="A one-on-one that recurs, whose coach is the viewer.")
class CreateCoachingSeriesInput:
    user_id: strawberry.ID = strawberry.field(description="The rep, in the viewer's scope.")
    first_start: str = strawberry.field(description="Wall clock of the first one, without a zone: 2026-11-02T10:00.")
    rule: str = strawberry.field(
        description="An RRULE by days, weeks, months or years, such as FREQ=WEEKLY;INTERVAL=2; without COUNT and UNTIL."
    )
    timezone: str | None = strawberry.field(default=None, description="IANA name; the team's without it.")
    duration_minutes: int | None = strawberry.field(default=30, description="How long each is: 5 to 480.")
    title: str | None = strawberry.field(default=None, description="What it is called.")
    agenda: str | None = strawberry.field(default=None, description="What its sessions begin with.")
    co_coach_ids: list[strawberry.ID] | None = strawberry.field(default=None, description="Who coaches too.")
    plan_id: strawberry.ID | None = strawberry.field(default=None, description="The plan that it belongs to.")
    ends_on: date | None = strawberry.field(default=None, description="The last day that may have one.")


@strawberry.input(description="One occurrence of a series that is to be otherwise; the others stay.")
class MoveCoachingOccurrenceInput:
    series_id: strawberry.ID = strawberry.field(description="Of which series.")
    occurrence_at: datetime = strawberry.field(description="When the series' rule has it.")
    starts_at: datetime | None = strawberry.field(default=None, description="When it is to start.")
    duration_minutes: int | None = strawberry.field(default=None, description="How long it is to be.")
    title: str | None = strawberry.field(default=None, description="What it is to be called.")


@strawberry.input(description="A series that is to end.")
class EndCoachingSeriesInput:
    series_id: strawberry.ID = strawberry.field(description="Which.")
    last_day: date | None = strawberry.field(
        default=None, description="The last day that may have one; today without it."
    )


@strawberry.input(description="One-on-ones for every report of some managers.")
class CreateCoachingProgramInput:
    name: str = strawberry.field(description="What it is called, and its sessions.")
    manager_ids: list[strawberry.ID] = strawberry.field(
        description="For whose reports: oneself and who is below in the reporting line; anybody with MANAGE_TEAM."
    )
    first_day: date = strawberry.field(description="Effective from; the first one-on-ones are on this weekday.")
    start_time: time | None = strawberry.field(
        default=time(9), description="Of a manager's first one-on-one of the day; the others follow."
    )
    duration_minutes: int | None = strawberry.field(default=30, description="How long each is: 5 to 480.")
    every_weeks: int | None = strawberry.field(default=1, description="Every so many weeks: 1 to 26.")
    timezone: str | None = strawberry.field(default=None, description="IANA name; the team's without it.")
    agenda: str | None = strawberry.field(default=None, description="What its sessions begin with.")


@strawberry.input(description="What to change of a program; what is left out stays, and so do times that stand.")
class UpdateCoachingProgramInput:
    program_id: strawberry.ID = strawberry.field(description="Which.")
    name: str | None = strawberry.field(default=None, description="What it is called.")
    agenda: str | None = strawberry.field(default=None, description="What new series begin with; empty for nothing.")
    manager_ids: list[strawberry.ID] | None = strawberry.field(
        default=None, description="In place of those of before; the series of who is left out end."
    )


@strawberry.input(description="A program.")
class CoachingProgramInput:
    program_id: strawberry.ID = strawberry.field(description="Which.")


@strawberry.type(description="The session as it stands.")
class CoachingSessionPayload:
    session: CoachingSession | None = strawberry.field(description="Null when it was refused.")
    errors: list[UserError] = strawberry.field(description="Why it was refused.")

    @classmethod
    def refused(cls, errors: list[UserError]) -> "CoachingSessionPayload":
        return cls(session=None, errors=errors)


@strawberry.type(description="The series as it stands.")
class CoachingSeriesPayload:
    series: CoachingSeries | None = strawberry.field(description="Null when it was refused.")
    errors: list[UserError] = strawberry.field(description="Why it was refused.")

    @classmethod
    def refused(cls, errors: list[UserError]) -> "CoachingSeriesPayload":
        return cls(series=None, errors=errors)


@strawberry.type(description="The program as it stands.")
class CoachingProgramPayload:
    program: CoachingProgram | None = strawberry.field(description="Null when it was refused.")
    errors: list[UserError] = strawberry.field(description="Why it was refused.")

    @classmethod
    def refused(cls, errors: list[UserError]) -> "CoachingProgramPayload":
        return cls(program=None, errors=errors)


@strawberry.type
class PlanSessionQuery:
    @reading("The sessions in which the viewer takes part, the latest start first.")
    async def coaching_sessions(
        self,
        info: Info,
        first: int | None = None,
        after: str | None = None,
        last: int | None = None,
        before: str | None = None,
        filter: CoachingSessionFilter | None = None,
    ) -> Connection[CoachingSession]:
        from api.resolvers.plan_sessions import sessions_connection

        return await sessions_connection(info.context, filter, first, after, last, before)

    @reading("The series that go on and in which the viewer takes part, the newest first, at most 200.")
    async def coaching_series(self, info: Info) -> list[CoachingSeries]:
        from api.resolvers.plan_sessions import list_series

        return await list_series(info.context)

    @reading(
        "Programs: those that one made, those for one's own reports, all with MANAGE_TEAM; the newest first, at most "
        "200.",
        requires(Permission.TEAM_VIEW),
    )
    async def coaching_programs(self, info: Info) -> list[CoachingProgram]:
        from api.resolvers.plan_sessions import list_programs

        return await list_programs(info.context)


@strawberry.type
class PlanSessionMutation:
    @writing("Plan a session with a rep in scope.", requires(Permission.TEAM_VIEW))
    async def plan_coaching_session(self, info: Info, input: PlanCoachingSessionInput) -> CoachingSessionPayload:
        from api.resolvers.plan_sessions import plan_session

        return await told(plan_session(info.context, input), CoachingSessionPayload.refused)

    @writing("Change or reschedule a session in which one coaches.")
    async def update_coaching_session(self, info: Info, input: UpdateCoachingSessionInput) -> CoachingSessionPayload:
        from api.resolvers.plan_sessions import update_session

        return await told(update_session(info.context, input), CoachingSessionPayload.refused)

    @writing("Say what became of a session in which one coaches.")
    async def record_coaching_session(self, info: Info, input: RecordCoachingSessionInput) -> CoachingSessionPayload:
        from api.resolvers.plan_sessions import record_session

        return await told(record_session(info.context, input), CoachingSessionPayload.refused)

    @writing("Attach film of the rep to a session in which one takes part.")
    async def attach_session_film(self, info: Info, input: SessionFilmInput) -> CoachingSessionPayload:
        from api.resolvers.plan_sessions import attach_film

        return await told(attach_film(info.context, input), CoachingSessionPayload.refused)

    @writing("Take film off a session: who coaches any, the rep their own.")
    async def detach_session_film(self, info: Info, input: SessionFilmInput) -> CoachingSessionPayload:
        from api.resolvers.plan_sessions import detach_film

        return await told(detach_film(info.context, input), CoachingSessionPayload.refused)

    @writing("Make a one-on-one that recurs, with a rep in scope.", requires(Permission.TEAM_VIEW))
    async def create_coaching_series(self, info: Info, input: CreateCoachingSeriesInput) -> CoachingSeriesPayload:
        from api.resolvers.plan_sessions import create_series

        return await told(create_series(info.context, input), CoachingSeriesPayload.refused)

    @writing("Move or rename one occurrence of a series in which one coaches.")
    async def move_coaching_occurrence(self, info: Info, input: MoveCoachingOccurrenceInput) -> CoachingSessionPayload:
        from api.resolvers.plan_sessions import move_occurrence

        return await told(move_occurrence(info.context, input), CoachingSessionPayload.refused)

    @writing("End a series in which one coaches; what it has later is cancelled.")
    async def end_coaching_series(self, info: Info, input: EndCoachingSeriesInput) -> CoachingSeriesPayload:
        from api.resolvers.plan_sessions import end_series

        return await told(end_series(info.context, input), CoachingSeriesPayload.refused)

    @writing("Make one-on-ones for every report of some managers.", requires(Permission.TEAM_VIEW))
    async def create_coaching_program(self, info: Info, input: CreateCoachingProgramInput) -> CoachingProgramPayload:
        from api.resolvers.plan_sessions import create_program

        return await told(create_program(info.context, input), CoachingProgramPayload.refused)

    @writing("Change a program: one's own, any with MANAGE_TEAM.", requires(Permission.TEAM_VIEW))
    async def update_coaching_program(self, info: Info, input: UpdateCoachingProgramInput) -> CoachingProgramPayload:
        from api.resolvers.plan_sessions import update_program

        return await told(update_program(info.context, input), CoachingProgramPayload.refused)

    @writing("End a program and its series today: one's own, any with MANAGE_TEAM.", requires(Permission.TEAM_VIEW))
    async def end_coaching_program(self, info: Info, input: CoachingProgramInput) -> CoachingProgramPayload:
        from api.resolvers.plan_sessions import end_program

        return await told(end_program(info.context, input), CoachingProgramPayload.refused)
