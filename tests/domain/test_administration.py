"""Changing who is on the team and what they may do.

Invariants:
A. The last Admin cannot be deactivated or given another role, not even by two changes at the same time.
B. Nobody gives or edits a role that allows more than they may do themselves.
C. Groups stay a tree and the reporting line a line, whatever moves are tried, in any order and at once.
D. Deactivation ends every token and session in the same transaction, gives the last day, and keeps history.
E. Every change leaves one entry with before and after in the same transaction; one that changes nothing leaves none.
F. The chain of entries verifies; an entry that is changed, removed, moved or added by hand is found, also at the end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from random import Random
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain import administration, audit
from domain.access import Viewer
from domain.audit import AuditFilter
from domain.database import ALL_TEAMS, acquire, connect, disconnect, in_transaction, transaction
from domain.errors import Conflict, DomainError, Forbidden, Invalid, NotFound
from domain.identity import identify_by_digest
from domain.models.base import new_id
from domain.models.people import Permission
from domain.paging import page_request
from domain.tokens import create_token, digest_of
from tests.factories import make_group, make_role, make_team, make_user, viewer_of

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)


class Office:
    """A team with an Admin, a manager of the team who is none, and a rep."""

    async def open(self) -> Office:
        async with acquire(ALL_TEAMS) as connection:
            self.team = await make_team(connection)
            self.admin_role = await make_role(connection, self.team, is_admin=True, name="Admin")
            self.user_role = await make_role(connection, self.team, name="User")
            self.clerk_role = await make_role(connection, self.team, "MANAGE_TEAM", name="Clerk")
            self.strong_role = await make_role(connection, self.team, "TEAM_VIEW", name="Strong")
            self.admin_id = await make_user(connection, self.team, self.admin_role)
            self.clerk_id = await make_user(connection, self.team, self.clerk_role)
            self.rep_id = await make_user(connection, self.team, self.user_role)
            self.admin = await viewer_of(connection, self.admin_id)
            self.clerk = await viewer_of(connection, self.clerk_id)
            self.rep = await viewer_of(connection, self.rep_id)
        return self

    async def do(self, work: Callable[..., Awaitable[Any]], viewer: Viewer, *args: Any, **options: Any) -> Any:
        return await in_transaction(self.team, lambda connection: work(connection, viewer, *args, **options))

    async def log(self) -> list[Any]:
        async with acquire(self.team) as connection:
            page = await audit.list_entries(connection, self.admin, AuditFilter(), page_request(100, None))
        return list(page.nodes)


async def test_the_last_admin_stays(database: str) -> None:
    office = await Office().open()
    with pytest.raises(Conflict, match="last Admin"):
        await office.do(administration.deactivate_user, office.admin, office.admin_id, now=NOW)
    with pytest.raises(Conflict, match="last Admin"):
        await office.do(administration.update_user, office.admin, office.admin_id, {"role_id": office.user_role})
    assert await office.log() == []
    await office.do(administration.update_user, office.admin, office.rep_id, {"role_id": office.admin_role})
    both = await asyncio.gather(
        office.do(administration.deactivate_user, office.admin, office.admin_id, now=NOW),
        office.do(administration.deactivate_user, office.admin, office.rep_id, now=NOW),
        return_exceptions=True,
    )
    assert sorted(type(one).__name__ for one in both) == ["Conflict", "User"]


async def test_nobody_gives_what_they_do_not_have(database: str) -> None:
    office = await Office().open()
    for role in (office.admin_role, office.strong_role):
        with pytest.raises(Forbidden):
            await office.do(administration.update_user, office.clerk, office.rep_id, {"role_id": role})
        values = {"name": "x", "email": "x@example.test", "role_id": role}
        with pytest.raises(Forbidden):
            await office.do(administration.invite_user, office.clerk, values)
        with pytest.raises(DomainError):
            await office.do(administration.update_role, office.clerk, role, None, [Permission.MANAGE_TEAM])
    with pytest.raises(Forbidden):
        await office.do(administration.deactivate_user, office.clerk, office.admin_id, now=NOW)
    with pytest.raises(Forbidden):
        await office.do(administration.create_role, office.clerk, "Mine", [Permission.VIEW_EMAIL_CONTENT])
    with pytest.raises(Forbidden):
        await office.do(administration.create_role, office.rep, "Mine", [])
    with pytest.raises(Forbidden, match="Admin"):
        await office.do(
            administration.issue_token, office.clerk, user_id=office.rep_id, name="x", scopes=["READ"], now=NOW
        )
    reader = replace(office.admin, scopes=frozenset({"WRITE"}))
    with pytest.raises(Forbidden, match="READ"):
        await office.do(administration.issue_token, reader, user_id=office.admin_id, name="x", scopes=["READ"], now=NOW)
    assert await office.log() == []
    built_in = await office.do(administration.create_role, office.clerk, "Mine", [Permission.MANAGE_TEAM])
    assert built_in.permissions == ["MANAGE_TEAM"]
    with pytest.raises(Conflict, match="built in"):
        await office.do(administration.update_role, office.admin, office.admin_role, "Boss", None)


async def test_another_teams_objects_do_not_exist(database: str) -> None:
    office, other = await Office().open(), await Office().open()
    for work in (
        lambda: office.do(administration.update_user, office.admin, other.rep_id, {"name": "x"}),
        lambda: office.do(administration.deactivate_user, office.admin, other.rep_id, now=NOW),
        lambda: office.do(administration.update_user, office.admin, office.rep_id, {"role_id": other.user_role}),
        lambda: office.do(administration.update_user, office.admin, office.rep_id, {"manager_id": other.rep_id}),
        lambda: office.do(administration.remove_role, office.admin, other.user_role),
        lambda: office.do(administration.create_group, office.admin, "x", new_id()),
    ):
        with pytest.raises(NotFound):
            await work()


def test_trees_stay_trees(database_url: str) -> None:
    @settings(max_examples=15)
    @given(seed=st.integers(0, 2**32))
    def run(seed: int) -> None:
        asyncio.run(_move_about(database_url, Random(seed)))

    run()


async def _move_about(url: str, random: Random) -> None:
    await connect(url, pool_size=4)
    try:
        office = await Office().open()
        async with acquire(ALL_TEAMS) as connection:
            groups = [await make_group(connection, office.team, f"g{n}") for n in range(4)]
            users = [await make_user(connection, office.team, office.user_role) for _ in range(4)]
        for _ in range(6):
            moves = []
            for _ in range(3):
                group, above = random.choice(groups), random.choice([None, *groups])
                moves.append(office.do(administration.update_group, office.admin, group, {"parent_id": above}))
                user, boss = random.choice(users), random.choice([None, *users])
                moves.append(office.do(administration.update_user, office.admin, user, {"manager_id": boss}))
            for outcome in await asyncio.gather(*moves, return_exceptions=True):
                assert not isinstance(outcome, Exception) or isinstance(outcome, Invalid), outcome
        async with acquire(office.team) as connection:
            parents = dict(await connection.fetch("SELECT id, parent_id FROM groups"))
            managers = dict(await connection.fetch("SELECT id, manager_id FROM users"))
            assert (await audit.verify(connection, office.team)).reason is None
        for line in (parents, managers):
            for start in line:
                seen: set[UUID] = set()
                step: UUID | None = start
                while step is not None:
                    assert step not in seen, "a circle"
                    seen.add(step)
                    step = line[step]
    finally:
        await disconnect()


async def test_deactivation_ends_everything_and_keeps_history(database: str) -> None:
    office = await Office().open()
    async with acquire(ALL_TEAMS) as connection:
        made = [await create_token(connection, office.team, office.rep_id, name=f"t{n}") for n in range(2)]
    user = await office.do(administration.deactivate_user, office.clerk, office.rep_id, now=NOW)
    assert (user.active, user.ended_on) == (False, date(2026, 3, 4))
    async with acquire(ALL_TEAMS) as connection:
        for token in made:
            assert await identify_by_digest(connection, digest_of(token.text)) is None
    again = await office.do(administration.deactivate_user, office.clerk, office.rep_id, now=NOW)
    assert not again.active
    user = await office.do(administration.reactivate_user, office.clerk, office.rep_id)
    assert (user.active, user.ended_on) == (True, None)
    async with acquire(ALL_TEAMS) as connection:
        assert await identify_by_digest(connection, digest_of(made[0].text)) is None, "old tokens stay revoked"
    assert [entry.action for entry in await office.log()] == ["USER_REACTIVATED", "USER_DEACTIVATED"]


async def test_bad_input_names_the_field_and_writes_nothing(database: str) -> None:
    office = await Office().open()
    for values, path in (
        ({"name": " "}, "name"),
        ({"email": "nobody"}, "email"),
        ({"email": office.clerk.user_email.upper()}, "email"),
        ({"manager_id": office.rep_id}, "managerId"),
        ({"started_on": date(2026, 2, 1), "ended_on": date(2026, 1, 1)}, "endedOn"),
        ({"external_ids": ["a\0"]}, "externalIds"),
    ):
        with pytest.raises((Invalid, Conflict)) as refused:
            await office.do(administration.update_user, office.admin, office.rep_id, values)
        assert refused.value.path == ("input", path)
    await office.do(administration.update_user, office.admin, office.rep_id, {"name": office.rep.user_name})
    assert await office.log() == []


async def test_each_change_is_told(database: str) -> None:
    office = await Office().open()
    origin = replace(office.admin, address="192.0.2.7", request_id="r1")
    await office.do(administration.update_user, origin, office.rep_id, {"name": "Ada", "deals_access": True})
    (entry,) = await office.log()
    assert (entry.action, entry.actor_id, entry.subject_id) == ("USER_UPDATED", office.admin_id, office.rep_id)
    assert entry.request_id == "r1"
    assert '"address":"192.0.2.7"' in entry.details
    assert '"after":{"name":"Ada","deals_access":true}' in entry.details
    with pytest.raises(Forbidden):
        async with acquire(office.team) as connection:
            await audit.list_entries(connection, office.clerk, AuditFilter(), page_request(1, None))


@pytest.mark.parametrize(
    ("tampering", "broken_at"),
    [
        ("UPDATE audit_entries SET action = 'X' WHERE team_id = $1 AND position = 3", 3),
        ("UPDATE audit_entries SET details = '{}' WHERE team_id = $1 AND position = 3", 3),
        ("UPDATE audit_entries SET at = at + interval '1 microsecond' WHERE team_id = $1 AND position = 2", 2),
        ("UPDATE audit_entries SET actor_id = NULL WHERE team_id = $1 AND position = 2", 2),
        ("DELETE FROM audit_entries WHERE team_id = $1 AND position = 2", 2),
        ("DELETE FROM audit_entries WHERE team_id = $1 AND position = 5", 5),
        ("UPDATE audit_entries SET hash = previous_hash WHERE team_id = $1 AND position = 1", 1),
        ("UPDATE audit_entries SET position = 11 - position WHERE team_id = $1 AND position IN (4, 5)", 4),
        ("DELETE FROM audit_heads WHERE team_id = $1", 1),
    ],
)
async def test_tampering_is_found(database: str, tampering: str, broken_at: int) -> None:
    office = await Office().open()
    for number in range(5):
        await office.do(administration.create_group, office.admin, f"g{number}", None)
    async with acquire(ALL_TEAMS) as connection:
        found = await audit.verify(connection, office.team)
        assert (found.entries, found.reason) == (5, None)
        if "audit_heads" not in tampering:
            with pytest.raises(asyncpg.InsufficientPrivilegeError, match="only added to"):
                await connection.execute(tampering, office.team)
    async with transaction(ALL_TEAMS) as connection:
        # What only a superuser can do, and the chain is there to find.
        await connection.execute("ALTER TABLE audit_entries DISABLE TRIGGER USER")
        await connection.execute(tampering, office.team)
        await connection.execute("ALTER TABLE audit_entries ENABLE TRIGGER USER")
    async with acquire(ALL_TEAMS) as connection:
        found = await audit.verify(connection, office.team)
    assert found.reason is not None
    assert found.broken_at == broken_at


async def test_erased_details_leave_the_chain_whole(database: str) -> None:
    office = await Office().open()
    for number in range(3):
        await office.do(administration.create_group, office.admin, f"g{number}", None)
    async with acquire(ALL_TEAMS) as connection:
        await connection.execute(
            "UPDATE audit_entries SET details = NULL, salt = NULL WHERE team_id = $1 AND position = 2", office.team
        )
        found = await audit.verify(connection, office.team)
    assert (found.entries, found.erased, found.reason) == (3, 1, None)
