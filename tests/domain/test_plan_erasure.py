"""Coaching and a person who is erased, and all data of a person.

Invariants:
A. Of an erased rep nothing that was written is left; sessions stay as counts, those to come are cancelled.
B. Of an erased coach nothing that they wrote is left; the plan stays.
C. A person's own export has plans, sessions and shared notes; an Admin's has no session, no agenda and no note.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
import pytest

from domain import erasure, personal_data, plan_notes, plan_series, plan_sessions, plans
from domain.access import Viewer
from domain.database import ALL_TEAMS, acquire, in_transaction
from domain.models import NoteVisibility, SessionState
from domain.models.people import Permission
from domain.plan_series import NewSeries
from domain.plan_sessions import NewSession
from domain.plans import NewItem, NewPlan
from tests.factories import make_role, make_team, make_user, viewer_of

SECRET = "Word-that-goes"


class Pair:
    """A rep and a coach with a plan, a session that was held, a series, and notes of both sorts."""

    async def build(self) -> Pair:
        async with acquire(ALL_TEAMS) as connection:
            self.team = await make_team(connection)
            admin = await make_role(connection, self.team, is_admin=True, name="Admin")
            await make_role(connection, self.team, name="User")
            manager = await make_role(connection, self.team, Permission.TEAM_VIEW)
            user = await make_role(connection, self.team)
            await connection.execute("UPDATE roles SET built_in = true WHERE team_id = $1 AND name = 'User'", self.team)
            self.admin_id = await make_user(connection, self.team, admin)
            self.coach_id = await make_user(connection, self.team, manager)
            self.rep_id = await make_user(connection, self.team, user, manager_id=self.coach_id)
            self.admin, self.coach, self.rep = [
                await viewer_of(connection, one) for one in (self.admin_id, self.coach_id, self.rep_id)
            ]
        await in_transaction(self.team, self._coaching)
        return self

    async def _coaching(self, connection: Any) -> None:
        now = datetime.now(UTC)
        new = NewPlan(self.rep_id, SECRET, items=(NewItem(SECRET),), agenda=SECRET)
        plan = await plans.create_plan(connection, self.coach, new, now)
        self.plan_id = plan.plan.id
        held = await plan_sessions.plan_session(
            connection,
            self.coach,
            NewSession(self.rep_id, now - timedelta(days=1), agenda=SECRET, plan_id=self.plan_id),
        )
        self.session_id = held.session.id
        await plan_sessions.end_session(connection, self.coach, self.session_id, SessionState.HELD, now)
        start = (now + timedelta(days=2)).replace(tzinfo=None)
        series = NewSeries(self.rep_id, start, "FREQ=WEEKLY", title=SECRET, agenda=SECRET)
        await plan_series.create_series(connection, self.coach, series, now)
        for who, visibility in (
            (self.coach, NoteVisibility.PRIVATE),
            (self.coach, NoteVisibility.SHARED),
            (self.rep, NoteVisibility.SHARED),
        ):
            for subject in ({"plan_id": self.plan_id}, {"session_id": self.session_id}):
                await plan_notes.add_note(
                    connection, who, f"{SECRET} {visibility} {who.user_id}", visibility, **subject
                )

    async def erase(self, user_id: UUID) -> None:
        await in_transaction(
            self.team,
            lambda connection: erasure.erase_user(connection, self.admin, user_id, now=datetime.now(UTC)),
        )

    async def rows(self, table: str) -> list[Any]:
        async with acquire(ALL_TEAMS) as connection:
            return list(await connection.fetch(f"SELECT * FROM {table} WHERE team_id = $1", self.team))

    async def texts(self) -> str:
        tables = (
            "coaching_plans plan_items plan_focuses coaching_notes coaching_sessions coaching_series "
            "coaching_invitations co_coaches"
        ).split()
        return str([dict(row) for table in tables for row in [*await self.rows(table)]])


@pytest.fixture
async def pair(database: str) -> Pair:
    """A rep and a coach."""
    return await Pair().build()


async def test_of_an_erased_rep_nothing_written_is_left(pair: Pair) -> None:
    before = await pair.rows("coaching_sessions")
    assert SECRET in await pair.texts()
    await pair.erase(pair.rep_id)
    assert SECRET not in await pair.texts()
    after = await pair.rows("coaching_sessions")
    assert len(after) == len(before)
    assert {row["state"] for row in after} == {"HELD", "CANCELLED"}
    assert [row["ended_on"] is not None for row in await pair.rows("coaching_series")] == [True]
    assert all(row["sequence"] > 0 for row in await pair.rows("coaching_invitations"))
    assert await pair.rows("coaching_plans") == []
    states = {row["state"] for row in await pair.rows("scheduled_actions")}
    assert states <= {"CANCELLED"}


async def test_of_an_erased_coach_nothing_that_they_wrote_is_left(pair: Pair) -> None:
    await pair.erase(pair.coach_id)
    notes = await pair.rows("coaching_notes")
    assert {row["author_id"] for row in notes} == {pair.rep_id}
    assert len(await pair.rows("coaching_plans")) == 1
    assert {row["state"] for row in await pair.rows("coaching_sessions")} == {"HELD", "CANCELLED"}


async def test_whose_export_has_what(pair: Pair) -> None:
    async def export(viewer: Viewer, user_id: UUID) -> list[dict[str, Any]]:
        made = await personal_data.begin_export(viewer, user_id)
        lines = b"".join([piece async for piece in made.lines()])
        return [orjson.loads(line) for line in lines.splitlines()]

    own = await export(pair.rep, pair.rep_id)
    kinds = [one["record"] for one in own if one["record"].startswith("coaching")]
    assert kinds.count("coachingPlan") == 1
    assert kinds.count("coachingSession") == len(await pair.rows("coaching_sessions"))
    assert kinds.count("coachingNote") == 4, "their own two and the coach's two that are shared"
    assert "PRIVATE" not in str([one for one in own if one["record"] == "coachingNote"])
    by_admin = await export(pair.admin, pair.rep_id)
    shown = [one for one in by_admin if one["record"].startswith("coaching")]
    assert [one["record"] for one in shown] == ["coachingPlan"]
    assert "agenda" not in shown[0]
    coach = await export(pair.coach, pair.coach_id)
    assert sum(one["record"] == "coachingNote" for one in coach) == 4
