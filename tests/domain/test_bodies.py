"""Bodies of emails at rest.

Invariants:
A. No byte of a body lies in the database in plain text; who may read it gets it as it came.
B. A body that was changed, or put beside another email or team, does not open.
C. Rotation of the installation's key and of data keys keeps every body readable, and lets old keys go.
D. Plain bodies of before are sealed by upkeep, in lots that may be broken off.
E. Others' reading is in the audit log before they get the text; one's own reading is not; who may not, gets nothing.
F. Bodies older than the team keeps them go; their activities and numbers stay.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID

import pytest

from domain import audit, bodies, ingest
from domain.audit import AuditFilter
from domain.database import ALL_TEAMS, acquire, in_transaction, transaction
from domain.errors import Unavailable
from domain.paging import page_request
from domain.records import EmailRecord
from domain.secrets import SecretBox, make_key
from tests.conftest import TEST_KEY
from tests.factories import make_role, make_team, make_user, viewer_of

TEXT = "Dear Ada, the price is 4711 \N{EURO SIGN}."


class Mail:
    """A team with a rep who sent some emails, a manager who may read them, and one who may not."""

    async def send(self, count: int = 1, at: datetime | None = None) -> Mail:
        async with acquire(ALL_TEAMS) as connection:
            self.team = await make_team(connection)
            admin_role = await make_role(connection, self.team, is_admin=True)
            user_role = await make_role(connection, self.team, "TEAM_VIEW")
            self.rep_id = await make_user(connection, self.team, user_role, email=f"rep{self.team.hex}@example.test")
            self.admin = await viewer_of(connection, await make_user(connection, self.team, admin_role))
            self.peer = await viewer_of(connection, await make_user(connection, self.team, user_role))
            self.rep = await viewer_of(connection, self.rep_id)
        records = [
            EmailRecord(
                external_id=f"m{number}",
                user=f"rep{self.team.hex}@example.test",
                occurred_at=at or datetime(2026, 3, 4, 9, tzinfo=UTC),
                body=f"{TEXT} {number}",
            )
            for number in range(count)
        ]
        outcome = await ingest.take_in(self.team, "mail", list(enumerate(records)))
        assert outcome.accepted == count, outcome
        return self

    async def emails(self) -> list[tuple[UUID, UUID]]:
        async with acquire(self.team) as connection:
            rows = await connection.fetch("SELECT id, user_id FROM activities ORDER BY external_id")
        return [(row["id"], row["user_id"]) for row in rows]

    async def read(self, viewer: object) -> list[str | None]:
        emails = await self.emails()
        return await in_transaction(self.team, partial(bodies.read_bodies, viewer=viewer, emails=emails))


async def test_nothing_lies_in_plain_text(database: str) -> None:
    mail = await Mail().send()
    async with acquire(ALL_TEAMS) as connection:
        row = await connection.fetchrow("SELECT * FROM email_bodies WHERE team_id = $1", mail.team)
        key = await connection.fetchrow("SELECT * FROM data_keys WHERE team_id = $1", mail.team)
    assert row["body"] is None
    assert b"Ada" not in row["sealed"]
    assert "Ada" not in str(dict(row)) + str(dict(key))
    assert await mail.read(mail.admin) == [f"{TEXT} 0"]


async def test_a_changed_or_moved_body_does_not_open(database: str) -> None:
    mail = await Mail().send(2)
    async with acquire(mail.team) as connection:
        await connection.execute("UPDATE email_bodies b SET sealed = o.sealed FROM email_bodies o WHERE b.id <> o.id")
    with pytest.raises(Unavailable, match="belongs to another"):
        await mail.read(mail.admin)
    async with acquire(mail.team) as connection:
        assert await connection.fetchval("SELECT count(*) FROM audit_entries") == 0, "what was not read is not told"


async def test_keys_rotate(database: str) -> None:
    mail = await Mail().send(3)
    newer = make_key()
    bodies.use_keys(SecretBox([newer, TEST_KEY]))
    async with transaction(ALL_TEAMS) as connection:
        # Other tests' teams share the database, under this process's key.
        assert await bodies.reseal_secrets(connection) > 0
        bodies.use_keys(SecretBox([newer]))
        assert (await bodies.sealers(connection, mail.team)).keys()
        bodies.use_keys(SecretBox([TEST_KEY]))
        with pytest.raises(Unavailable):
            await bodies.sealers(connection, mail.team)
        bodies.use_keys(SecretBox([newer, TEST_KEY]))
    assert await mail.read(mail.admin) == [f"{TEXT} {number}" for number in range(3)]
    await in_transaction(mail.team, partial(bodies.rotate_data_key, team_id=mail.team))
    assert await in_transaction(mail.team, partial(bodies.forget_keys, team_id=mail.team)) == 0, "still in use"
    while await in_transaction(mail.team, partial(bodies.seal_again, team_id=mail.team)):
        pass
    assert await in_transaction(mail.team, partial(bodies.forget_keys, team_id=mail.team)) == 1
    assert await mail.read(mail.admin) == [f"{TEXT} {number}" for number in range(3)]
    async with transaction(ALL_TEAMS) as connection:
        bodies.use_keys(SecretBox([TEST_KEY, newer]))
        await bodies.reseal_secrets(connection)


async def test_plain_bodies_of_before_are_sealed(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    mail = await Mail().send(5)
    async with acquire(mail.team) as connection:
        await connection.execute("UPDATE email_bodies SET body = 'plain', sealed = NULL, key_id = NULL")
    assert await mail.read(mail.rep) == ["plain"] * 5
    monkeypatch.setattr(bodies, "LOT", 2)
    async with acquire(ALL_TEAMS) as connection:
        assert mail.team in await bodies.teams_to_seal(connection)
    lots = []
    while lot := await in_transaction(mail.team, partial(bodies.seal_again, team_id=mail.team)):
        lots.append(lot)
    assert lots == [2, 2, 1]
    assert await mail.read(mail.rep) == ["plain"] * 5
    async with acquire(mail.team) as connection:
        assert await connection.fetchval("SELECT count(*) FROM email_bodies WHERE body IS NOT NULL") == 0


async def test_reading_is_told(database: str) -> None:
    mail = await Mail().send(2)
    assert await mail.read(mail.rep) == [f"{TEXT} 0", f"{TEXT} 1"]
    assert await mail.read(mail.peer) == [None, None]
    async with acquire(mail.team) as connection:
        assert await connection.fetchval("SELECT count(*) FROM audit_entries") == 0
    await mail.read(mail.admin)
    async with acquire(mail.team) as connection:
        page = await audit.list_entries(connection, mail.admin, AuditFilter(), page_request(10, None))
    assert {(entry.action, entry.actor_id, entry.subject_id) for entry in page.nodes} == {
        ("EMAIL_BODY_READ", mail.admin.user_id, email) for email, _ in await mail.emails()
    }
    assert "Ada" not in "".join(entry.details or "" for entry in page.nodes)


async def test_without_a_key_bodies_are_not_taken_in(database: str) -> None:
    bodies.use_keys(None)
    with pytest.raises(Unavailable, match="SIDELINE_SECRET_KEYS"):
        await Mail().send()


async def test_old_bodies_go(database: str) -> None:
    mail = await Mail().send(2, at=datetime.now(UTC) - timedelta(days=40))
    before = datetime.now(UTC) - timedelta(days=30)
    for gone in (2, 0):
        found = await in_transaction(mail.team, partial(bodies.forget_old_bodies, team_id=mail.team, before=before))
        assert found == gone
    assert await mail.read(mail.rep) == [None, None]
    async with acquire(mail.team) as connection:
        assert await connection.fetchval("SELECT sum(emails_sent) FROM rollup_days") == 2
