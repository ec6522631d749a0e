"""Who is on the demo team."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from uuid import UUID
from zoneinfo import ZoneInfo

from domain import teams
from domain.database import Connection
from domain.identity import Identity, identify_user
from domain.models.people import Permission

TEAM_NAME = "Sideline Demo"
TIMEZONE = "America/New_York"
REGIONS = ("East", "North", "South", "West")
SEGMENTS = ("SMB", "Mid-Market", "Enterprise")
REPS_PER_GROUP = 4

_FIRST = (
    "Riley Jordan Casey Quinn Skyler Rowan Emerson Finley Harper Sawyer Dakota Reese Parker Hayden Blake "
    "Marley Tatum Elliot Sasha Noel Kendall Remy Shiloh Micah"
).split()
_LAST = (
    "Carter Okafor Lindqvist Moreau Tanaka Haddad Novak Brennan Castillo Iyer Petrov Osei Fischer Delgado "
    "Nakamura Whitfield Kowalski Adeyemi Larsen Romero Chowdhury Bianchi Sorensen Mbeki"
).split()


class Story(StrEnum):
    """What is special about a rep."""

    RISING = "rising"
    IN_TROUBLE = "in trouble"
    ON_LEAVE = "on leave"


@dataclass(frozen=True, slots=True)
class Rep:
    """A rep of the demo team.

    Args:
        name: The person's name.
        email: The address, which seeds the person's history.
        group: The name of their group, or None.
        story: What is special.
        hired_days_ago: Days before the team's anchor day on which a new rep began; None for who was there all along.
        activity: How much they do, against the mean rep.
        craft: How well they turn one step into the next, against the mean rep.
    """

    name: str
    email: str
    group: str | None
    story: Story | None
    hired_days_ago: int | None
    activity: float
    craft: float


async def demo_admin(connection: Connection, team_id: UUID) -> Identity:
    """The first Admin of the demo team, who sets up what is not a rep's own."""
    role_id = await teams.role_named(connection, team_id, teams.ADMIN)
    user_id = await connection.fetchval(
        "SELECT id FROM users WHERE team_id = $1 AND role_id = $2 ORDER BY id LIMIT 1", team_id, role_id
    )
    admin = await identify_user(connection, team_id, user_id)
    assert admin is not None, "the demo team has an admin"
    return admin


def _roster() -> tuple[Rep, ...]:
    groups = [f"{region} {segment}" for region in REGIONS for segment in SEGMENTS for _ in range(REPS_PER_GROUP)]
    stories = {1: Story.RISING, 2: Story.IN_TROUBLE, 5: Story.ON_LEAVE}
    hires = {7: 120, 15: 200, 22: 75, 30: 260, 41: 150}
    reps = []
    for number, group in enumerate(groups):
        first = _FIRST[number % len(_FIRST)]
        last = _LAST[(number * 7 + number // len(_FIRST) * 5) % len(_LAST)]
        reps.append(
            Rep(
                name=f"{first} {last}",
                email="rep@demo.test" if number == 0 else f"{first}.{last}@demo.test".lower(),
                group=None if number == len(groups) - 1 else group,
                story=stories.get(number),
                hired_days_ago=hires.get(number),
                activity=0.75 + (number * 37 % 50) / 100,
                craft=0.8 + (number * 23 % 45) / 100,
            )
        )
    return tuple(reps)


REPS = _roster()
"""48 reps: four in each of twelve groups, the last one without a group."""

MANAGER_PERMISSIONS = (
    Permission.TEAM_VIEW,
    Permission.MANAGE_GOALS,
    Permission.VIEW_EMAIL_CONTENT,
    Permission.LIVE_CALL_STUDIO,
)
_MANAGERS = {
    "East": ("Morgan Ellis", "manager@demo.test"),
    "North": ("Ingrid Halvorsen", "ingrid.halvorsen@demo.test"),
    "South": ("Marcus Bell", "marcus.bell@demo.test"),
    "West": ("Priya Raman", "priya.raman@demo.test"),
}


async def create_people(connection: Connection, today: date) -> UUID:
    """Make the team; `today` becomes its anchor day, to which the reps' stories are tied."""
    anchor = datetime(today.year, today.month, today.day, tzinfo=ZoneInfo(TIMEZONE))
    team_id = await teams.create_team(
        connection, name=TEAM_NAME, timezone=TIMEZONE, holiday_country="US", demo=True, created_at=anchor
    )
    admin = await teams.role_named(connection, team_id, teams.ADMIN)
    user = await teams.role_named(connection, team_id, teams.USER)
    manager = await teams.create_role(connection, team_id, "Manager", MANAGER_PERMISSIONS)
    lead = await teams.create_role(connection, team_id, "Lead", [Permission.TEAM_VIEW])
    head = await teams.create_user(
        connection, team_id, name="Avery Chen", email="admin@demo.test", role_id=admin, is_rep=False, deals_access=True
    )
    await teams.create_user(
        connection, team_id, name="Oakley Price", email="ops@demo.test", role_id=admin, is_rep=False, manager_id=head
    )
    sales = await teams.create_group(connection, team_id, "Sales")
    groups: dict[str, UUID] = {}
    managers: dict[str, UUID] = {}
    for region in REGIONS:
        groups[region] = await teams.create_group(connection, team_id, region, sales)
        for segment in SEGMENTS:
            name = f"{region} {segment}"
            groups[name] = await teams.create_group(connection, team_id, name, groups[region])
        person, email = _MANAGERS[region]
        managers[region] = await teams.create_user(
            connection,
            team_id,
            name=person,
            email=email,
            role_id=manager,
            group_id=groups[region],
            manager_id=head,
            is_rep=False,
        )
    await teams.create_user(
        connection,
        team_id,
        name="Lee Navarro",
        email="lead@demo.test",
        role_id=lead,
        group_id=groups["East SMB"],
        manager_id=managers["East"],
        is_rep=False,
    )
    for rep in REPS:
        await teams.create_user(
            connection,
            team_id,
            name=rep.name,
            email=rep.email,
            role_id=user,
            group_id=groups[rep.group] if rep.group else None,
            manager_id=managers[rep.group.split()[0]] if rep.group else None,
            external_ids=[f"demo:{rep.email}"],
            started_on=hired_on(rep, today),
        )
    return team_id


def hired_on(rep: Rep, anchor: date) -> date | None:
    """The day on which a new rep began."""
    return None if rep.hired_days_ago is None else anchor - timedelta(days=rep.hired_days_ago)
