"""The demo team's scheduled actions: weekly digests, snapshots, reps' reminders, and each rep's upcoming steps for some
days, as their platform reports them.

The same rep and day give the same steps. Seeding again adds the days that have come, and says of the days that have
gone by which steps were done; what a person has made or changed stays as it is.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from random import Random
from uuid import UUID

from domain.actions import DIGEST, GOAL_REMINDER, REPORT_SNAPSHOT, NewAction, put_actions
from domain.database import Connection
from domain.demo.history import ZONE
from domain.demo.people import REPS, Rep, Story
from domain.upcoming import StepState, UpcomingStep, take_steps_in

SOURCE = "demo"
DAYS_AHEAD = 5
DAYS_BACK = 3
_PEOPLE = "Ada Ben Cleo Dev Esme Finn Gia Hugo Ines Joon Kira Leo Mina Nils Omar Pia".split()
_COMPANIES = "Northwind Contoso Globex Initech Umbra Vandelay Acme Hooli Stark Wayne".split()
_CADENCES = ("New business", "Win back", "Inbound", "Renewals")
_TITLES = {
    "email": "Email {person} at {company}: step {step}",
    "call": "Call {person} at {company}: step {step}",
    "task": "Look at {company} before the call with {person}",
}


async def create_actions(connection: Connection, team_id: UUID, today: date) -> None:
    """Make them, in a fixed number of statements; twice is once."""
    rows = await connection.fetch(
        "SELECT u.id, u.email, u.is_rep FROM users u WHERE u.team_id = $1 AND u.active AND u.email LIKE '%@demo.test' "
        "ORDER BY u.email",
        team_id,
    )
    ids = {row["email"]: row["id"] for row in rows}
    known = {
        row["key"]
        for row in await connection.fetch(
            "SELECT key FROM scheduled_actions WHERE team_id = $1 AND key LIKE 'demo:%'", team_id
        )
    }
    wanted = [action for action in _recurring(ids, today) if action.key not in known]
    await put_actions(connection, team_id, wanted)
    steps = [
        step
        for rep in REPS
        if rep.email in ids
        for number in range(-DAYS_BACK, DAYS_AHEAD)
        for step in steps_of(rep, today + timedelta(days=number), today)
    ]
    await take_steps_in(connection, team_id, SOURCE, steps)


def _at(day: date, hour: int, minute: int = 0) -> datetime:
    return datetime.combine(day, time(hour, minute), ZONE)


def _recurring(ids: dict[str, UUID], today: date) -> list[NewAction]:
    tomorrow = today + timedelta(days=1)
    made = []
    for email in ("manager@demo.test", "admin@demo.test"):
        if email not in ids:
            continue
        own = ids[email]
        made += [
            NewAction(
                f"demo:digest:{email}",
                DIGEST,
                "Your team's week",
                _at(tomorrow, 7, 30),
                recurrence="FREQ=WEEKLY;BYDAY=MO",
                arguments={"range": "LAST_WEEK"},
                user_id=own,
                created_by_id=own,
            ),
            NewAction(
                f"demo:snapshot:{email}",
                REPORT_SNAPSHOT,
                "The month so far",
                _at(tomorrow, 6),
                recurrence="FREQ=MONTHLY;BYMONTHDAY=1,15",
                arguments={"range": "THIS_MONTH", "group": None, "metrics": None, "mail": False, "keep_days": 30},
                user_id=own,
                created_by_id=own,
            ),
        ]
    manager = ids.get("manager@demo.test")
    for rep in REPS[:8]:
        if rep.email in ids and manager is not None:
            made.append(
                NewAction(
                    f"demo:reminder:{rep.email}",
                    GOAL_REMINDER,
                    "How your goals stand",
                    _at(tomorrow, 8),
                    user_id=ids[rep.email],
                    created_by_id=manager,
                    recurrence="FREQ=WEEKLY;BYDAY=MO,WE,FR",
                    arguments={"only_behind": rep.story is not Story.IN_TROUBLE},
                )
            )
    return made


def steps_of(rep: Rep, day: date, today: date) -> list[UpcomingStep]:
    """A rep's steps of a day as the platform reports them on another: open, or done where that day is over."""
    if day.isoweekday() > 5 or rep.story is Story.ON_LEAVE:
        return []
    random = Random(f"steps {rep.email} {day}")
    count = max(1, round(5 * rep.activity + random.uniform(-1.5, 1.5)))
    diligence = 0.55 if rep.story is Story.IN_TROUBLE else 0.97
    found = []
    for number in range(count):
        kind = random.choice(("email", "email", "call", "call", "task"))
        person, company = random.choice(_PEOPLE), random.choice(_COMPANIES)
        step = random.randint(1, 7)
        due_at = _at(day, random.randint(9, 16), random.choice((0, 15, 30, 45))).astimezone(UTC)
        done = day < today and random.random() < diligence
        changed = due_at + timedelta(minutes=20) if done else _at(day, 0).astimezone(UTC) - timedelta(days=DAYS_AHEAD)
        found.append(
            UpcomingStep(
                f"{rep.email}:{day}:{number}",
                kind,
                rep.email,
                due_at,
                _TITLES[kind].format(person=person, company=company, step=step),
                StepState.DONE if done else StepState.OPEN,
                int(changed.timestamp() * 1_000_000),
                random.choice(_CADENCES),
                person,
            )
        )
    return found
