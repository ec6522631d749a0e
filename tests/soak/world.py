"""A team of the run: its people, and what was sent to it and acknowledged."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import count
from random import Random
from typing import Any
from uuid import UUID

from domain.ids import encode_id
from domain.models.people import Permission
from domain.tokens import create_token
from tests.factories import make_group, make_role, make_team, make_user
from tests.records import SPAN_DAYS, START, random_record

MANAGERS = 2
LATEST_CLOSE_DAYS = 20
"""So long after it was created a made-up opportunity closes at the latest."""
TEMPLATE = """mutation { createScorecardTemplate(input: {name: "Discovery", questions: [
    {key: "opening", text: "How was the opening?", kind: SCALE, steps: 5},
    {key: "agenda", text: "Was there an agenda?", kind: YES_NO}]}) { template { id } errors { code message } } }"""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody on the team."""

    id: UUID
    email: str
    token: str = ""

    @property
    def gid(self) -> str:
        """Their id in GraphQL."""
        return encode_id("User", self.id)


def shifted(record: dict[str, Any], days: int) -> dict[str, Any]:
    """The same record so many days later."""
    found = dict(record)
    for name in ("occurredAt", "repliedAt", "startsAt", "endsAt", "completedAt"):
        if name in found:
            found[name] = (datetime.fromisoformat(found[name]) + timedelta(days=days)).isoformat()
    for name in ("createdOn", "closedOn"):
        if name in found:
            found[name] = (date.fromisoformat(found[name]) + timedelta(days=days)).isoformat()
    return found


@dataclass
class Source:
    """A system that records come from: it knows the newest version of each.

    Args:
        name: Of the system.
        emails: Whose activities it has.
        chance: Its dice.
        records: Everything that it sent, whatever became of it.
    """

    name: str
    emails: list[str]
    chance: Random
    records: list[dict[str, Any]] = field(default_factory=list)
    _newest: dict[str, dict[str, Any]] = field(default_factory=dict)
    _live: list[str] = field(default_factory=list)

    def some(self, size: int) -> list[dict[str, Any]]:
        """Records to send: new ones, of weeks ago and of today; corrections, deletions, and now and then an old version
        that comes late."""
        return [self._one() for _ in range(size)]

    def calls(self, size: int, now: datetime) -> list[dict[str, Any]]:
        """Calls that have just been made."""
        return [
            self._keep(
                {
                    "kind": "call",
                    "externalId": self._name(),
                    "version": 1,
                    "user": self.chance.choice(self.emails),
                    "occurredAt": now.isoformat(),
                    "connected": self.chance.random() < 0.4,
                    "durationSeconds": self.chance.randrange(900),
                }
            )
            for _ in range(size)
        ]

    def conversations(self, size: int, now: datetime) -> list[dict[str, Any]]:
        """Conversations of the last days, to be talked about; they are neither corrected nor deleted."""
        return [
            self._keep(
                {
                    "kind": "conversation",
                    "externalId": self._name(),
                    "version": 1,
                    "user": self.emails[number % len(self.emails)],
                    "occurredAt": (now - timedelta(hours=self.chance.randrange(1, 400))).isoformat(),
                    "durationSeconds": 600,
                    "talkRatio": "0.55",
                    "questionsAsked": 7,
                },
                changes=False,
            )
            for number in range(size)
        ]

    def _one(self) -> dict[str, Any]:
        draw = self.chance.random()
        if self._live and draw < 0.35:
            return self._corrected(self._newest[self.chance.choice(self._live)])
        if self.records and draw < 0.45:
            return self.chance.choice(self.records)  # the same again, or a version that is old by now
        if draw < 0.65:
            return self.calls(1, datetime.now(UTC))[0]
        return self._keep(self._fresh(self._name(), 1))

    def _fresh(self, external_id: str, version: int) -> dict[str, Any]:
        # So that what closes latest closes today.
        days = (datetime.now(UTC).date() - START.date()).days - SPAN_DAYS - LATEST_CLOSE_DAYS
        return shifted(random_record(self.chance, self.emails, external_id, version), days)

    def _corrected(self, before: dict[str, Any]) -> dict[str, Any]:
        version = before["version"] + 1
        while True:
            # What an external id stands for stays what it is.
            record = self._fresh(before["externalId"], version)
            if record["kind"] == before["kind"]:
                return self._keep(record)

    def _name(self) -> str:
        return f"{self.name}-{len(self._newest)}"

    def _keep(self, record: dict[str, Any], *, changes: bool = True) -> dict[str, Any]:
        name = record["externalId"]
        if changes and name not in self._newest:
            self._live.append(name)
        self._newest[name] = record
        self.records.append(record)
        return record


@dataclass
class World:
    """A team, and what is owed to it.

    `sets` has each acknowledged change of goals by its target, which no other change has: the subjects' ids. `removes`
    has the ids of goals whose removal was acknowledged, `actions` the acknowledged scheduled actions by the key under
    which they were made.
    """

    name: str
    timezone: str
    chance: Random
    team_id: UUID = field(init=False)
    admin: Person = field(init=False)
    managers: list[Person] = field(default_factory=list)
    reps: list[Person] = field(default_factory=list)
    guests: list[Person] = field(default_factory=list)
    groups: list[UUID] = field(default_factory=list)
    films: list[str] = field(default_factory=list)
    template: str = ""
    sources: dict[str, Source] = field(default_factory=dict)
    sets: dict[str, list[str]] = field(default_factory=dict)
    removes: dict[str, list[str]] = field(default_factory=dict)
    actions: dict[str, list[str]] = field(default_factory=dict)
    comments: dict[str, str] = field(default_factory=dict)
    cards: list[str] = field(default_factory=list)
    plans: dict[str, str] = field(default_factory=dict)
    jobs: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    _numbers: count[int] = field(default_factory=lambda: count(1_000))

    def number(self) -> int:
        """One that nobody else gets."""
        return next(self._numbers)

    def source(self, name: str) -> Source:
        """A system that records come from, by its name; ids of records are unique over all of them."""
        emails = [person.email for person in (*self.reps, *self.guests)]
        return self.sources.setdefault(name, Source(name, emails, Random(f"{self.chance.random()}")))

    @property
    def records(self) -> list[dict[str, Any]]:
        """Everything that was sent."""
        return [record for source in self.sources.values() for record in source.records]

    async def build(self, connection: Any, reps: int, guests: int) -> None:
        """Make the team and its people."""
        # By one minute past midnight a day's working time is over, so that the oracle of goals needs no clock.
        self.team_id = await make_team(
            connection, name=self.name, timezone=self.timezone, work_day_start_minute=0, work_day_end_minute=1
        )
        admin = await make_role(connection, self.team_id, is_admin=True, name="Admin")
        manages = (Permission.TEAM_VIEW, Permission.MANAGE_GOALS, Permission.VIEW_EMAIL_CONTENT)
        manager = await make_role(connection, self.team_id, *manages)
        role = await make_role(connection, self.team_id)
        region = await make_group(connection, self.team_id, "Region")
        self.groups = [region, *[await make_group(connection, self.team_id, f"Group {n}", region) for n in range(3)]]

        async def person(name: str, role_id: UUID, group_id: UUID | None, **columns: Any) -> Person:
            email = f"{name.replace(' ', '')}.{self.team_id.hex[-8:]}@example.test".lower()
            user_id = await make_user(
                connection, self.team_id, role_id, name=name, email=email, group_id=group_id, **columns
            )
            token = await create_token(connection, self.team_id, user_id, name="soak")
            return Person(user_id, email, token.text)

        self.admin = await person("Ada", admin, None, is_rep=False)
        self.managers = [await person(f"Manager {n}", manager, region, is_rep=False) for n in range(MANAGERS)]
        self.reps = [await person(f"Rep {n:02}", role, self.groups[1 + n % 3]) for n in range(reps)]
        self.guests = [await person(f"Guest {n}", role, self.groups[1]) for n in range(guests)]
