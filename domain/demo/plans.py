"""How the demo team coaches: a plan for the rep in trouble, sessions held and to come, a program of one-on-ones."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from uuid import UUID
from zoneinfo import ZoneInfo

from domain import plan_notes, plan_programs, plan_sessions, plans
from domain.access import Viewer
from domain.database import Connection
from domain.demo.people import REPS, TIMEZONE, Story
from domain.identity import identify_user
from domain.models import NoteVisibility, SessionState
from domain.plan_programs import NewProgram
from domain.plan_sessions import NewSession
from domain.plans import Focus, ItemChange, NewItem, NewPlan, NewTemplate, PlanView

_MANAGER = "manager@demo.test"
_LEAD = "lead@demo.test"
PLAN_DAYS = 42
"""The plan of the rep in trouble began so long before the team's first day."""
_HELD_WEEKS = 5


async def create_plans(connection: Connection, team_id: UUID, anchor: date) -> None:
    """Make plans, sessions, a template and a program; once for a team."""
    if await connection.fetchval("SELECT EXISTS (SELECT 1 FROM coaching_plans WHERE team_id = $1)", team_id):
        return
    users = {
        row["email"]: row["id"]
        for row in await connection.fetch("SELECT id, email FROM users WHERE team_id = $1", team_id)
    }
    coach = await identify_user(connection, team_id, users[_MANAGER])
    assert coach is not None, "the demo team has a manager"
    now = datetime.combine(anchor, time(8), ZoneInfo(TIMEZONE))
    template = await plans.save_template(
        connection,
        coach,
        NewTemplate(
            "From calls to meetings",
            "1. Two calls, listened to together. 2. What the other side wanted. 3. One thing to try this week.",
            (Focus("CONNECT_RATE", Decimal("0.35")), Focus("MEETINGS_BOOKED", Decimal(3))),
            (
                NewItem("Listen to three calls of your own and note the moment each one turned", due_days=7),
                NewItem("Write an opener for your three commonest industries", due_days=14),
            ),
        ),
    )
    trouble = next(rep for rep in REPS if rep.story is Story.IN_TROUBLE)
    rising = next(rep for rep in REPS if rep.story is Story.RISING)
    plan = await plans.create_plan(
        connection,
        coach,
        NewPlan(
            users[trouble.email],
            "Back on track",
            focus=(Focus("CALLS_LOGGED", Decimal(17)),),
            items=(NewItem("Block two hours for calls each morning", due_days=3),),
            co_coach_ids=frozenset({users[_LEAD]}),
            starts_on=anchor - timedelta(days=PLAN_DAYS),
            ends_on=anchor + timedelta(days=45),
            template_id=template.id,
        ),
        now,
    )
    await plans.update_item(connection, coach, plan.items[0].id, ItemChange(done=True))
    await _note(connection, coach, plan, NoteVisibility.SHARED, "We look at the calls of the week every Tuesday.")
    await _note(connection, coach, plan, NoteVisibility.PRIVATE, "Has lost two big deals in a row; go easy on numbers.")
    await plans.create_plan(
        connection,
        coach,
        NewPlan(
            users[rising.email],
            "Larger deals",
            focus=(Focus("AVERAGE_DEAL"), Focus("NEW_PIPELINE")),
            items=(NewItem("Shadow two calls of an enterprise rep", due_days=21),),
            starts_on=anchor - timedelta(days=21),
        ),
        now,
    )
    for week in range(_HELD_WEEKS, 0, -1):
        await _held(connection, coach, users[trouble.email], plan.plan.id, now - timedelta(weeks=week, hours=-3), now)
    await _held(connection, coach, users[rising.email], None, now - timedelta(days=9, hours=-6), now)
    later = now + timedelta(days=2, hours=3)
    upcoming = NewSession(
        users[trouble.email],
        later.astimezone(UTC),
        title="Two calls together",
        agenda="Bring one call that went well and one that did not.",
        co_coach_ids=frozenset({users[_LEAD]}),
        plan_id=plan.plan.id,
    )
    await plan_sessions.plan_session(connection, coach, upcoming)
    program = NewProgram(
        "Weekly one-on-one",
        frozenset({users[_MANAGER]}),
        anchor + timedelta(days=7 - anchor.weekday()),
        start_minute=9 * 60,
        agenda="Wins, numbers, one thing to try.",
    )
    await plan_programs.create_program(connection, coach, program, now)


async def _note(connection: Connection, coach: Viewer, plan: PlanView, visibility: NoteVisibility, body: str) -> None:
    await plan_notes.add_note(connection, coach, body, visibility, plan_id=plan.plan.id)


async def _held(
    connection: Connection, coach: Viewer, rep_id: UUID, plan_id: UUID | None, at: datetime, now: datetime
) -> None:
    new = NewSession(rep_id, at.astimezone(UTC), title="Weekly call review", plan_id=plan_id)
    view = await plan_sessions.plan_session(connection, coach, new)
    await plan_sessions.end_session(connection, coach, view.session.id, SessionState.HELD, now)
