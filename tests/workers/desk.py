"""A team whose connections are synced by this process, job by job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson

from domain import integrations, jobs
from domain.access import Viewer
from domain.connectors import Account, Audience, Cursor, Document, Manifest, Mapped, MappingContext, Page, Setting
from domain.database import ALL_TEAMS, acquire, in_transaction
from domain.integrations import Connected
from domain.models import Integration
from domain.models.integrations import CrmPart
from domain.models.teams import Feed
from domain.records import RecordRefused
from domain.secrets import SecretBox
from domain.settings import OAuthClient
from tests.conftest import TEST_KEY
from tests.factories import make_role, make_team, make_user, viewer_of
from workers.jobs import run_claimed
from workers.session import Wire
from workers.sync import Syncer, publish

BOX = SecretBox([TEST_KEY])


def wire_to(urls: Mapping[str, str] | None = None, roots: tuple[str, ...] = ()) -> Wire:
    """A worker's HTTP pool that goes to this machine, to doubles instead of vendors."""
    clients = {kind: OAuthClient(client_id="sideline", client_secret="secret") for kind in urls or {}}
    return Wire(private_allowed=True, oauth_clients=clients, urls=urls or {}, roots=roots, box=BOX)


class Desk:
    """A team with an Admin who has access to deals, and a rep for each address."""

    def __init__(self, wire: Wire) -> None:
        self._use(wire)

    def go_to(self, **urls: str) -> None:
        """Go to other doubles."""
        self._use(wire_to(urls))

    def _use(self, wire: Wire) -> None:
        self.wire = wire
        self.syncer = Syncer(wire)
        self.handlers = {integrations.SYNC_KIND: self.syncer.sync, integrations.CHECK_KIND: self.syncer.check}

    async def open(self, *emails: str, **team: Any) -> Desk:
        """Make the team."""
        async with acquire(ALL_TEAMS) as connection:
            self.team = await make_team(connection, **team)
            admin = await make_role(connection, self.team, is_admin=True, name="Admin")
            user = await make_role(connection, self.team, name="User")
            self.admin_id = await make_user(
                connection, self.team, admin, deals_access=True, email="admin@sideline.test"
            )
            self.people = {email: await make_user(connection, self.team, user, email=email) for email in emails}
        await publish()
        self.admin = await self.viewer(self.admin_id)
        return self

    async def viewer(self, user_id: UUID) -> Viewer:
        """Somebody as they stand now."""
        async with acquire(ALL_TEAMS) as connection:
            return await viewer_of(connection, user_id)

    async def connect(
        self,
        kind: str,
        *,
        viewer: Viewer | None = None,
        settings: Mapping[str, str] | None = None,
        secrets: Mapping[str, Any] | None = None,
        syncs: Sequence[CrmPart] = (),
        tokens: Mapping[str, Any] | None = None,
    ) -> UUID:
        """Make a connection, checked and synced if nothing stands in the way."""
        who = viewer or self.admin

        async def work(connection: Any) -> Connected:
            made = await integrations.connect(
                connection,
                who,
                kind=kind,
                name=None,
                settings=settings or {},
                secrets=secrets or {},
                syncs=syncs,
                redirect_uri="http://localhost/back",
                clients=set(self.wire.oauth_clients) | {kind},
                box=BOX,
                now=datetime.now(UTC),
            )
            if tokens is not None:
                return await integrations.keep_tokens(
                    connection, who, made.integration.id, tokens, base_url=None, box=BOX
                )
            return made

        return (await in_transaction(self.team, work)).integration.id

    async def work(self, most: int = 50) -> list[UUID]:
        """Carry out the team's jobs that are due, one after another. Returns their ids."""
        done = []
        for _ in range(most):
            async with acquire(ALL_TEAMS) as connection:
                due = await connection.fetchval(
                    "SELECT id FROM jobs WHERE team_id = $1 AND kind = ANY ($2::text[]) AND (state = 'SCHEDULED' "
                    "AND due_at <= now() OR state = 'RUNNING' AND leased_until < now()) ORDER BY due_at, id LIMIT 1",
                    self.team,
                    list(self.handlers),
                )
                if due is None:
                    return done
                claimed = await jobs.claim_job(connection, "desk", job_id=due)
            assert claimed is not None
            await run_claimed(claimed, lambda: None, self.handlers)
            done.append(claimed.id)
        raise AssertionError("the jobs do not end")

    async def sync(self, integration_id: UUID, *, retry: bool = False) -> None:
        """Sync a connection now, whatever waits."""

        async def work(connection: Any) -> UUID:
            return await integrations.sync_now(connection, self.admin_of(integration_id), integration_id, retry=retry)

        self._owner = await self.owner(integration_id)
        await in_transaction(self.team, work)
        await self.work()

    def admin_of(self, _integration_id: UUID) -> Viewer:
        """Who may sync it."""
        return self._owner

    async def owner(self, integration_id: UUID) -> Viewer:
        """Who may change a connection."""
        row = await self.integration(integration_id)
        return self.admin if row.owner_id is None else await self.viewer(row.owner_id)

    async def integration(self, integration_id: UUID) -> Integration:
        """A connection as it stands."""
        async with acquire(self.team) as connection:
            row = await connection.fetchrow("SELECT * FROM integrations WHERE id = $1", integration_id)
        return integrations.integration_of(row)

    async def activities(self) -> dict[str, dict[str, Any]]:
        """The team's activities by their external ids."""
        async with acquire(self.team) as connection:
            rows = await connection.fetch(
                "SELECT a.*, u.email FROM activities a JOIN users u ON u.id = a.user_id WHERE a.team_id = $1", self.team
            )
        return {row["external_id"]: dict(row) for row in rows}

    async def quarantine(self) -> dict[str, str]:
        """Why documents wait, by their ids."""
        async with acquire(self.team) as connection:
            rows = await connection.fetch(
                "SELECT document_id, code FROM quarantined_documents WHERE team_id = $1", self.team
            )
        return {row["document_id"]: row["code"] for row in rows}

    async def job(self, job_id: UUID) -> Any:
        """A job as it stands."""
        async with acquire(self.team) as connection:
            return await jobs.get_job(connection, self.team, job_id)

    async def hurry(self) -> None:
        """Let what waits for its time be due now, at vendors' wish or after a fault."""
        async with acquire(self.team) as connection:
            await connection.execute(
                "UPDATE jobs SET due_at = now() WHERE team_id = $1 AND state = 'SCHEDULED'", self.team
            )
            await connection.execute("UPDATE account_budgets SET blocked_until = NULL WHERE team_id = $1", self.team)


class Shelf:
    """A connector of calls that a test puts on a shelf: pages, cursors and troubles as the test wants them.

    Args:
        kind: Its key.
        keeps: Whether documents are kept.
    """

    def __init__(self, kind: str = "shelf", *, keeps: bool = False, page: int = 3) -> None:
        self.manifest = Manifest(
            kind=kind,
            label="Shelf",
            audience=Audience.TEAM,
            feeds=(Feed.CALLS,),
            settings=(Setting("shelf", "Which shelf", required=False),),
            keeps_documents=keeps,
        )
        self.page = page
        self.log: list[Document] = []
        self.troubles: list[Exception | None] = []
        self.pulls = 0
        self.full = False
        self.maps = 0
        self.before_page: Any = None

    def put(self, name: str, *, seconds: int = 60, user: str = "rep@shelf.test", **more: Any) -> None:
        """Put a call on the shelf, or a newer version of it."""
        self.log.append(Document("call", name, {"seconds": seconds, "user": user, "n": len(self.log), **more}))

    def take(self, name: str) -> None:
        """Take it away."""
        self.log.append(Document("call", name, None, deleted=True))

    async def check(self, session: Any) -> Account:
        """The shelf is there."""
        return Account(name="Shelf", id="shelf-1")

    async def pull(self, session: Any, cursor: Cursor | None) -> Page:
        """The next of the log; in a full listing, what stands now."""
        self.pulls += 1
        if self.troubles and (trouble := self.troubles.pop(0)) is not None:
            raise trouble
        if self.before_page is not None:
            await self.before_page()
        start = int((cursor or {}).get("at", 0))
        begins = self.full and (cursor is None or bool(cursor.get("end")))
        if begins:
            start = 0
        gone = {one.id for one in self.log if one.deleted}
        log = [one for one in self.log if one.id not in gone] if self.full else self.log
        found = log[start : start + self.page]
        at = start + len(found)
        done = at >= len(log)
        return Page(found, {"at": len(self.log) if done else at, "end": done}, done, begins_full=begins, total=len(log))

    def map(self, document: Document, context: MappingContext, state: Mapping[str, Any] | None) -> Mapped:
        """A call."""
        self.maps += 1
        data = orjson.loads(document.data) if isinstance(document.data, bytes) else document.data
        if data["seconds"] < 0:
            raise RecordRefused("INVALID", "seconds", "seconds: a call does not end before it begins.")
        seen = int((state or {}).get("seen", 0)) + 1
        again = data.get("again_at")
        record: dict[str, Any] = {
            "kind": "call",
            "externalId": f"call:{document.id}",
            "user": data["user"],
            "occurredAt": "2026-03-04T10:00:00+00:00",
            "durationSeconds": data["seconds"],
            "connected": True,
            "disposition": "due" if again is not None and datetime.fromisoformat(again) <= context.now else None,
        }
        if not self.manifest.keeps_documents:
            record["version"] = data["n"]
            return Mapped((record,))
        due = None if again is None or datetime.fromisoformat(again) <= context.now else datetime.fromisoformat(again)
        records = [record] if data.get("counts", True) else []
        return Mapped(records, {"seen": seen}, due)
