"""A small team with film: a manager over two reps of one group, a lead beside them, an Admin, a stranger to all."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, TypeVar
from uuid import UUID

from domain import ingest
from domain.access import Viewer
from domain.database import ALL_TEAMS, Connection, acquire, in_transaction
from domain.models.people import Permission
from domain.records import decode_json
from domain.scorecard_rules import Answer, Question, QuestionKind
from tests.factories import make_group, make_role, make_team, make_user, viewer_of

NOW = datetime(2026, 3, 20, 12, tzinfo=UTC)
DAY = "2026-03-10T12:00:00Z"
SECONDS = 600
QUESTIONS = (
    Question("opening", "How was the opening?", QuestionKind.SCALE, steps=5, weight=Decimal(2)),
    Question("agenda", "Was there an agenda?", QuestionKind.YES_NO),
    Question("advice", "What is the next thing to work at?", QuestionKind.TEXT, required=False),
)
Result = TypeVar("Result")


def answers(opening: int | None = 4, *, agenda: bool | None = True, advice: str | None = None) -> tuple[Answer, ...]:
    """Answers to QUESTIONS."""
    given = (Answer("opening", scale=opening), Answer("agenda", yes=agenda), Answer("advice", text=advice))
    return tuple(answer for answer in given if answer.value is not None)


class FilmTeam:
    """The team."""

    team_id: UUID

    def __init__(self) -> None:
        self.users: dict[str, UUID] = {}
        self.versions: dict[str, int] = {}

    async def build(self, **columns: Any) -> FilmTeam:
        """Make it, with a conversation of `rep` named conversation."""
        async with acquire(ALL_TEAMS) as connection:
            self.team_id = await make_team(connection, **columns)
            admin = await make_role(connection, self.team_id, is_admin=True)
            role = await make_role(connection, self.team_id)
            manages = [Permission.TEAM_VIEW, Permission.MANAGE_GOALS, Permission.VIEW_EMAIL_CONTENT]
            manager = await make_role(connection, self.team_id, *manages)
            lead = await make_role(connection, self.team_id, Permission.TEAM_VIEW)
            region = await make_group(connection, self.team_id, "region")
            group = await make_group(connection, self.team_id, "group", region)
            branch = await make_group(connection, self.team_id, "branch")
            self.groups = {"region": region, "group": group, "branch": branch}

            async def person(name: str, role_id: UUID, **place: Any) -> None:
                self.users[name] = await make_user(
                    connection, self.team_id, role_id, name=name.title(), email=f"{name}@film.test", **place
                )

            await person("admin", admin)
            await person("manager", manager, group_id=region)
            await person("boss", role)
            await person("rep", role, group_id=group, manager_id=self.users["boss"])
            await person("peer", role, group_id=group)
            await person("lead", lead, group_id=group)
            await person("other", role, group_id=branch)
            await person("rival", manager, group_id=branch)
        await self.take({"kind": "conversation", "externalId": "conversation", "durationSeconds": SECONDS})
        return self

    async def take(self, *records: dict[str, Any], user: str = "rep") -> None:
        """Take records in, each as a version of its own."""
        whole = []
        for record in records:
            version = self.versions[record["externalId"]] = self.versions.get(record["externalId"], 0) + 1
            common = {"version": version, "user": f"{user}@film.test", "occurredAt": DAY}
            whole.append(common | record)
        items = [(number, decode_json(json.dumps(record))) for number, record in enumerate(whole)]
        outcome = await ingest.take_in(self.team_id, "test", items)
        assert not outcome.errors, outcome.errors

    async def activity(self, external_id: str = "conversation") -> UUID:
        """The id of an activity."""
        async with acquire(ALL_TEAMS) as connection:
            found: UUID = await connection.fetchval(
                "SELECT id FROM activity_keys WHERE team_id = $1 AND external_id = $2", self.team_id, external_id
            )
        return found

    async def viewer(self, name: str) -> Viewer:
        """Somebody as they stand now."""
        async with acquire(ALL_TEAMS) as connection:
            return await viewer_of(connection, self.users[name])

    async def do(self, name: str, work: Callable[..., Awaitable[Result]], *arguments: Any, **options: Any) -> Result:
        """Do something as somebody, in a transaction of its own."""
        viewer = await self.viewer(name)

        async def within(connection: Connection) -> Result:
            return await work(connection, viewer, *arguments, **options)

        return await in_transaction(self.team_id, within)

    async def fetch(self, statement: str, *arguments: Any) -> list[Any]:
        """Rows of the team, whose id is $1."""
        async with acquire(ALL_TEAMS) as connection:
            rows: list[Any] = await connection.fetch(statement, self.team_id, *arguments)
        return rows
