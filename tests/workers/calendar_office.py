"""A desk whose coach has coaching sessions put into a calendar behind a vendor's API."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Self

from domain import plan_sessions
from domain.database import acquire
from domain.models import SessionState
from domain.plan_sessions import NewSession, SessionChange
from tests.workers.desk import wire_to
from tests.workers.post_office import PostOffice
from tests.workers.test_invitations import ZONE, Office
from workers.invitations import look_after


class CalendarOffice(Office):
    """Which vendor's it is, says who inherits this."""

    kind: ClassVar[str]
    scopes: ClassVar[str]
    double: Any

    @classmethod
    @asynccontextmanager
    async def opened(cls, double: Any) -> AsyncIterator[Self]:
        """With a coach who is about to connect the calendar."""
        wire = wire_to({cls.kind: double.base_url})
        office = cls(wire)
        office.double = double
        office.hire()
        try:
            await office.open(double.people[0], "rep@elsewhere.test", timezone=ZONE)
            await office.seat(double.people[0], "rep@elsewhere.test")
            yield office
        finally:
            await wire.close()

    async def sign_in(self, *, chosen: bool = True, scope: str | None = None) -> Self:
        """Connect it, for writing if that is chosen and given."""
        self.integration_id = await self.connect(
            self.kind,
            viewer=self.coach,
            settings={"writeInvitations": "true" if chosen else "false"},
            tokens={**self.double.secrets, "scope": self.scopes if scope is None else scope},
        )
        await self.work()
        return self

    async def plan(self, **more: Any) -> Any:
        """A single session in three days."""
        given = {
            "user_id": self.rep_id,
            "starts_at": datetime.now(UTC).replace(microsecond=0) + timedelta(days=3),
            "duration_minutes": 45,
            "title": "Pipeline",
            "agenda": "What nobody else is to read",
            **more,
        }
        return await self.do(lambda connection: plan_sessions.plan_session(connection, self.coach, NewSession(**given)))

    async def change(self, session_id: Any, **changes: Any) -> None:
        await self.do(
            lambda connection: plan_sessions.update_session(
                connection, self.coach, session_id, SessionChange(**changes)
            )
        )

    async def cancel(self, session_id: Any) -> None:
        await self.do(
            lambda connection: plan_sessions.end_session(
                connection, self.coach, session_id, SessionState.CANCELLED, datetime.now(UTC)
            )
        )

    async def forget(self) -> None:
        """As after a kill between the vendor and the tables: what was noted before the writing is all there is."""
        async with acquire(self.team) as connection:
            await connection.execute(
                "UPDATE coaching_invitations SET delivered_sequence = -1, way = NULL, etag = NULL, due_at = now() "
                "WHERE team_id = $1",
                self.team,
            )

    async def again(self) -> None:
        """Everything that waits is due."""
        await self.hurry()
        async with acquire(self.team) as connection:
            await connection.execute("UPDATE coaching_invitations SET due_at = now() WHERE team_id = $1", self.team)
        await look_after()
        await self.work()


@asynccontextmanager
async def post_office() -> AsyncIterator[tuple[PostOffice, str]]:
    """A mail server, and its address."""
    server = PostOffice()
    url = await server.open()
    yield server, url
    await server.close()
