"""A team whose dialer tells of calls, for tests of the studio."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import orjson

from domain import dialers, live_calls, live_joins
from domain.access import Viewer
from domain.database import ALL_TEAMS, acquire, in_transaction
from domain.dialers import NewDialer, TwilioAccount
from domain.live_call_events import CallEvent, decode_event
from domain.models import Dialer, LiveCall
from domain.models.live_calls import JoinMode, TelephonyKind
from domain.models.people import Permission
from domain.secrets import SecretBox
from tests.conftest import TEST_KEY
from tests.factories import make_group, make_role, make_team, make_user, viewer_of

BOX = SecretBox([TEST_KEY])
ACCOUNT = TwilioAccount("AC" + "0" * 32, "token-of-the-account", "+15550100")
STUDIO = (Permission.TEAM_VIEW, Permission.LIVE_CALL_STUDIO)


def event(kind: str, call: str = "1", at: datetime | None = None, **data: Any) -> CallEvent:
    """An event as a dialer sends it."""
    stamp = (at or datetime.now(UTC)).isoformat()
    return decode_event(orjson.dumps({"type": f"call.{kind}", "timestamp": stamp, "data": {"call": call, **data}}))


class LiveTeam:
    """An Admin, managers of a group and its reps, one rep elsewhere, and a dialer."""

    async def build(
        self, telephony: TelephonyKind = TelephonyKind.LOOPBACK, *, managers: int = 2, reps: int = 3, **team: Any
    ) -> LiveTeam:
        async with acquire(ALL_TEAMS) as connection:
            self.team_id = await make_team(connection, demo=True, **team)
            self.manager_role = await make_role(connection, self.team_id, *STUDIO)
            self.rep_role = await make_role(connection, self.team_id)
            admin_role = await make_role(connection, self.team_id, is_admin=True)
            self.group = await make_group(connection, self.team_id, "group")
            self.branch = await make_group(connection, self.team_id, "branch")
            self.admin_id = await make_user(connection, self.team_id, admin_role)
            self.managers = [
                await make_user(connection, self.team_id, self.manager_role, group_id=self.group, name=f"Manager {n}")
                for n in range(managers)
            ]
            self.reps = [
                await make_user(
                    connection,
                    self.team_id,
                    self.rep_role,
                    group_id=self.group,
                    name=f"Rep {n}",
                    email=f"rep{n}.{self.team_id.hex}@example.test",
                )
                for n in range(reps)
            ]
            self.far = await make_user(
                connection, self.team_id, self.rep_role, group_id=self.branch, email=f"far.{self.team_id.hex}@x.test"
            )
        self.dialer, self.secret = await self.make_dialer(telephony)
        await self.allow()
        return self

    async def make_dialer(self, telephony: TelephonyKind) -> tuple[Dialer, str]:
        """A dialer of the team's."""
        twilio = ACCOUNT if telephony is TelephonyKind.TWILIO else None
        given = NewDialer(f"Dialer {uuid4().hex[:6]}", telephony, twilio)
        admin = await self.viewer(self.admin_id)
        return await in_transaction(
            self.team_id, lambda connection: dialers.create_dialer(connection, admin, BOX, given)
        )

    async def viewer(self, user_id: UUID) -> Viewer:
        """Somebody as they stand now."""
        async with acquire(ALL_TEAMS) as connection:
            return await viewer_of(connection, user_id)

    async def email(self, user_id: UUID) -> str:
        """Somebody's address."""
        async with acquire(ALL_TEAMS) as connection:
            found: str = await connection.fetchval("SELECT email FROM users WHERE id = $1", user_id)
        return found

    async def tell(self, *events: CallEvent, now: datetime | None = None) -> None:
        """What the dialer tells."""
        for one in events:
            work = partial(live_calls.take_in, dialer=self.dialer, event=one, now=now or datetime.now(UTC))
            await in_transaction(self.team_id, work)

    async def call(self, name: str = "1", rep: UUID | None = None, **data: Any) -> LiveCall:
        """A call in progress of a rep; everybody may be on it without a banner."""
        places = {"userJurisdiction": "US-NY", "counterpartJurisdiction": "US-NY"}
        user = await self.email(rep or self.reps[0])
        at = datetime.now(UTC) - timedelta(seconds=30)
        told = {"user": user, "counterpart": "Dana", "conference": name, "userLeg": f"CA{name:0>32}", **places, **data}
        await self.tell(event("started", name, at, **told), event("answered", name, at + timedelta(seconds=5)))
        return await self.row(name)

    async def row(self, name: str = "1") -> LiveCall:
        """A call as its row says."""
        async with acquire(self.team_id) as connection:
            row = await connection.fetchrow(
                f"SELECT {live_calls.FIELDS} FROM live_calls WHERE team_id = $1 AND external_id = $2",
                self.team_id,
                name,
            )
        return live_calls.call_of(row)

    async def allow(self, rule: str = "ONE_PARTY", **columns: Any) -> None:
        """The team's rule for unknown places, and other settings."""
        values = {"unknown_rule": rule, **columns}
        names, places = ", ".join(values), ", ".join(f"${n}" for n in range(3, len(values) + 3))
        changed = ", ".join(f"{name} = EXCLUDED.{name}" for name in values)
        async with acquire(ALL_TEAMS) as connection:
            await connection.execute(
                f"INSERT INTO live_call_settings (id, team_id, {names}) VALUES ($1, $2, {places}) "
                f"ON CONFLICT (team_id) DO UPDATE SET {changed}",
                uuid4(),
                self.team_id,
                *values.values(),
            )

    async def join(
        self, call: LiveCall, user_id: UUID | None = None, mode: JoinMode = JoinMode.LISTEN, **more: Any
    ) -> None:
        """A manager asks to be on a call."""
        viewer = await self.viewer(user_id or self.managers[0])
        options = {"acknowledged": False, "address": "+15550111", "now": datetime.now(UTC), **more}
        await in_transaction(
            self.team_id, lambda connection: live_joins.join(connection, viewer, call.id, mode, **options)
        )

    async def leave(self, call: LiveCall, user_id: UUID | None = None) -> None:
        """A manager asks to be off it."""
        viewer = await self.viewer(user_id or self.managers[0])
        await in_transaction(self.team_id, lambda connection: live_joins.leave(connection, viewer, call.id))

    async def change(self, call: LiveCall, mode: JoinMode, user_id: UUID | None = None) -> None:
        """A manager asks for another mode."""
        viewer = await self.viewer(user_id or self.managers[0])
        await in_transaction(
            self.team_id,
            lambda connection: live_joins.change_mode(
                connection, viewer, call.id, mode, acknowledged=False, now=datetime.now(UTC)
            ),
        )

    async def places(self, call: LiveCall) -> list[Any]:
        """Who is or was on a call."""
        async with acquire(self.team_id) as connection:
            return list((await live_calls.participants_of(connection, self.team_id, [call.id]))[call.id])

    async def audited(self, *actions: str) -> list[tuple[str, UUID | None, dict[str, Any]]]:
        """What the audit log tells of live calls: the action, by whom, and what is so after it."""
        async with acquire(ALL_TEAMS) as connection:
            rows = await connection.fetch(
                "SELECT action, actor_id, details FROM audit_entries WHERE team_id = $1 AND action LIKE 'LIVE%' "
                "ORDER BY position",
                self.team_id,
            )
        found = [(row["action"], row["actor_id"], orjson.loads(row["details"])["after"]) for row in rows]
        return [one for one in found if not actions or one[0] in actions]

    async def set(self, statement: str, *arguments: Sequence[Any]) -> None:
        """Change rows of the team's, as time or a dead worker would."""
        async with acquire(ALL_TEAMS) as connection:
            await connection.execute(statement, self.team_id, *arguments)
