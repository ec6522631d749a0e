"""Syncing: a connector pulls, the tables keep, page after page; what is kept is mapped anew when time asks for it.

The next page is asked for while the last ones are put into the tables. A kill at any point leaves whole batches with
the cursor where they end; whoever goes on pulls at most what was under way again, and taking the same thing in twice
changes nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import structlog

from domain import budgets, database, integrations, sync
from domain.connectors import (
    Account,
    CursorExpired,
    Document,
    MappingContext,
    Page,
    RateLimited,
    RemoteRefused,
    RemoteUnavailable,
    SignInNeeded,
)
from domain.database import acquire, in_transaction
from domain.errors import Conflict, Unavailable
from domain.jobs import ClaimedJob, Postponed
from domain.models import Integration, IntegrationState
from domain.sync import Batch, Progress, Ready
from workers.connectors import all_connectors
from workers.connectors.base import Connector
from workers.constants import SCHEDULE_LOT
from workers.session import VendorSession, Wire

log = structlog.get_logger(__name__)

BATCH_DOCUMENTS = 10_000
"""So many documents at the most wait to be put into the tables together."""
BATCH_SECONDS = 5.0
"""And for so long: progress shows, and a kill costs no more."""
KEPT_DOCUMENTS = 500
ZERO = UUID(int=0)

Changed = Callable[[], None]


class Syncer:
    """Carries out syncs and checks of connections.

    Args:
        wire: The worker's HTTP pool.
    """

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def check(self, job: ClaimedJob, changed: Changed) -> None:
        """See whether a connection works, keep what is at the other end, and begin to sync; a job's handler."""
        integration, connector, session = await self._open(job)

        async def work() -> None:
            account = await connector.check(session)
            await in_transaction(job.team_id, lambda connection: _keep_account(connection, job, integration, account))

        await self._told(job, integration, work)
        changed()

    async def sync(self, job: ClaimedJob, changed: Changed) -> None:
        """Sync a connection; a job's handler."""
        integration, connector, session = await self._open(job)
        if integration.state is IntegrationState.PAUSED:
            raise Conflict("The integration is paused.")
        if integration.state is IntegrationState.CONNECTING:
            raise Conflict("The integration is not connected yet.")

        async def work() -> None:
            run = SyncRun(job, integration, connector, session, changed)
            try:
                await run.go()
            except CursorExpired as expired:
                log.info("sync.cursor_expired", integration=str(integration.id), reason=expired.message)
                async with acquire(job.team_id) as connection:
                    await sync.begin_anew(connection, integration)
                await run.go()

        await self._told(job, integration, work)

    async def _open(self, job: ClaimedJob) -> tuple[Integration, Connector, VendorSession]:
        async with acquire(job.team_id) as connection:
            integration, secrets = await sync.open_integration(
                connection, job.team_id, UUID(job.arguments["integration_id"]), self._wire.box
            )
        connector = all_connectors().get(integration.kind)
        if connector is None:
            raise Unavailable(f"This worker has no connector {integration.kind!r}.")
        async with acquire(job.team_id) as connection:
            ours = await sync.settings_of_ours(connection, integration, connector.manifest)
        session = VendorSession(self._wire, integration, connector.manifest, secrets, datetime.now(UTC), ours)
        return integration, connector, session

    async def _told(self, job: ClaimedJob, integration: Integration, work: Callable[[], Awaitable[None]]) -> None:
        """Do the work, and turn what vendors do into what becomes of the job, one paragraph each."""
        try:
            await work()
        except RateLimited as limited:
            account = budgets.account_of(integration)
            async with acquire(job.team_id) as connection:
                await budgets.block(connection, job.team_id, account, limited.retry_after_seconds)
            raise Postponed(limited.message, timedelta(seconds=limited.retry_after_seconds)) from limited
        except CursorExpired as expired:
            # Twice in a row: a new listing is no better. It is tried again like any fault of the vendor's.
            await self._tell(job, integration, expired.message, broken=False)
            raise Unavailable(expired.message) from expired
        except RemoteUnavailable as away:
            await self._tell(job, integration, away.message, broken=False)
            raise Unavailable(away.message) from away
        except (SignInNeeded, RemoteRefused) as refused:
            # Only a person can mend it: the job is parked with the reason, and the vendor is left alone until then.
            await self._tell(job, integration, refused.message, broken=True)
            raise Conflict(refused.message) from refused

    async def _tell(self, job: ClaimedJob, integration: Integration, reason: str, *, broken: bool) -> None:
        async with acquire(job.team_id) as connection:
            await sync.tell_trouble(connection, integration, reason, broken=broken)


async def _keep_account(
    connection: database.Connection, job: ClaimedJob, integration: Integration, account: Account
) -> UUID:
    return await sync.keep_account(connection, job, integration, account)


class SyncRun:
    """One run of a sync, from its cursor to its end.

    Args:
        job: The job.
        integration: The connection.
        connector: Its connector.
        session: How the connector speaks with the vendor.
        changed: To be called when the job has got on.
    """

    def __init__(
        self,
        job: ClaimedJob,
        integration: Integration,
        connector: Connector,
        session: VendorSession,
        changed: Changed,
    ) -> None:
        self._job = job
        self._team_id = job.team_id
        self._integration = integration
        self._connector = connector
        self._session = session
        self._changed = changed
        self._processed = int(job.cursor.get("processed", 0))
        self._total: int | None = None

    async def go(self) -> None:
        """Pull to the end, drop what a full listing did not name, map anew what asks for it, and finish."""
        context = await self._context()
        await self._pull(context)
        if self._integration.full_pass:
            await self._sweep(context)
        await self._map_due(context)
        while True:
            left = await in_transaction(self._team_id, self._finish)
            if not left:
                return
            context = await self._context()
            if left.remap is not None:
                await self._map_all(context, left.remap)
            if left.retry:
                await self._retry(context)

    async def _context(self) -> MappingContext:
        now = datetime.now(UTC)
        async with acquire(self._team_id) as connection:
            row = await connection.fetchrow(
                "SELECT * FROM integrations WHERE team_id = $1 AND id = $2", self._team_id, self._integration.id
            )
            if row is not None:
                # What holds now: a mapping that was set a moment ago is what is mapped by.
                fresh = integrations.integration_of(row)
                self._integration.mapping_version, self._integration.syncs = fresh.mapping_version, fresh.syncs
            return await sync.read_context(connection, self._integration, self._connector.manifest, now)

    async def _finish(self, connection: database.Connection) -> sync.Left:
        left = await sync.left_to_do(connection, self._integration)
        if not left:
            await sync.finish(connection, self._job, self._integration, self._connector.manifest, datetime.now(UTC))
        return left

    async def _pull(self, context: MappingContext) -> None:
        integration = self._integration
        following = asyncio.create_task(self._connector.pull(self._session, integration.cursor))
        batch, since = Batch(), time.monotonic()
        try:
            while True:
                page = await following
                if not page.done:
                    following = asyncio.create_task(self._connector.pull(self._session, page.cursor))
                if page.begins_full and batch.cursor is not None:
                    await self._store(batch, context)
                    batch, since = Batch(), time.monotonic()
                _add(batch, page)
                limit = KEPT_DOCUMENTS if self._connector.manifest.keeps_documents else BATCH_DOCUMENTS
                waited = time.monotonic() - since > BATCH_SECONDS
                if page.done or len(batch.documents) >= limit or waited or not page.documents:
                    await self._store(batch, context)
                    batch, since = Batch(), time.monotonic()
                if page.done:
                    return
        except (RateLimited, RemoteUnavailable, SignInNeeded, RemoteRefused):
            # What came before it is not asked for again.
            if batch.cursor is not None:
                await self._store(batch, context)
            raise
        finally:
            if not following.done():
                following.cancel()
                await asyncio.wait([following])

    async def _store(self, batch: Batch, context: MappingContext, *, again: bool = False) -> None:
        """Map a batch and put it into the tables."""
        connector, integration = self._connector, self._integration
        if batch.people or batch.rates:
            rates_changed = await in_transaction(self._team_id, partial(self._learn, batch=batch))
            context = await self._context() if rates_changed else context
        if connector.manifest.keeps_documents:
            ready = await self._ready_kept(batch, context, again=again)
        else:
            mapped = await asyncio.to_thread(sync.map_direct, batch, connector.map, context)
            async with acquire(self._team_id) as connection:
                ready, prepare = await sync.prepare_direct(connection, integration, batch, mapped)
            ready.prepared = await asyncio.to_thread(prepare)
        if not again:
            self._processed += len(batch.documents)
        if batch.total is not None:
            self._total = batch.total
        progress = Progress(self._processed, self._total)
        cursor: dict[str, Any] = {"processed": self._processed}

        async def work(connection: database.Connection) -> None:
            await sync.store(connection, self._job, integration, connector.manifest, ready, progress, cursor)

        await in_transaction(self._team_id, work)
        if batch.cursor is not None:
            integration.cursor = dict(batch.cursor)
        self._changed()

    async def _learn(self, connection: database.Connection, *, batch: Batch) -> bool:
        return await sync.learn(connection, self._integration, self._connector.manifest, batch)

    async def _ready_kept(self, batch: Batch, context: MappingContext, *, again: bool) -> Ready:
        async with acquire(self._team_id) as connection:
            rows = await sync.read_kept(connection, self._integration, batch.documents)
        kept = await asyncio.to_thread(sync.map_kept, batch, rows, self._connector.map, context, again=again)
        async with acquire(self._team_id) as connection:
            return await sync.prepare_kept(connection, self._integration, batch, kept)

    async def _sweep(self, context: MappingContext) -> None:
        while True:
            async with acquire(self._team_id) as connection:
                gone = await sync.documents_to_sweep(connection, self._integration)
                if not gone:
                    await sync.end_pass(connection, self._integration)
                    return
            await self._store(Batch(documents=gone), context, again=True)

    async def _map_due(self, context: MappingContext) -> None:
        """Map what time alone has changed. What stays due, because it was refused, waits for the next sync."""
        seen: set[tuple[str, str]] = set()
        while True:
            async with acquire(self._team_id) as connection:
                due = await sync.documents_due(connection, self._integration, context.now)
            fresh = [one for one in due if (one.object, one.id) not in seen]
            if not fresh:
                return
            seen |= {(one.object, one.id) for one in fresh}
            await self._store(Batch(documents=fresh), context, again=True)

    async def _map_all(self, context: MappingContext, mark: int) -> None:
        after: UUID | None = ZERO
        while after is not None:
            async with acquire(self._team_id) as connection:
                documents, after = await sync.documents_after(connection, self._integration, after)
            if documents:
                await self._store(Batch(documents=documents), context, again=True)
        async with acquire(self._team_id) as connection:
            await sync.remapped(connection, self._integration, mark)

    async def _retry(self, context: MappingContext) -> None:
        after: UUID | None = ZERO
        # What is refused again stays in the same row; what is taken in is gone: the walk by ids ends.
        while after is not None:
            async with acquire(self._team_id) as connection:
                documents, after = await sync.documents_quarantined(connection, self._integration, after)
            if documents:
                await self._store(Batch(documents=documents), context, again=True)
        async with acquire(self._team_id) as connection:
            await sync.retried(connection, self._integration)


def _add(batch: Batch, page: Page) -> None:
    documents: list[Document] = batch.documents
    documents.extend(page.documents)
    batch.cursor = page.cursor
    batch.done = page.done
    batch.begins_full = batch.begins_full or page.begins_full
    batch.people.extend(page.people)
    batch.rates.extend(page.rates)
    batch.total = page.total if page.total is not None else batch.total


async def schedule() -> bool:
    """Make the syncs whose time has come; a loop's step. Returns whether there may be more."""
    async with acquire(database.ALL_TEAMS) as connection:
        return await integrations.schedule_due(connection, SCHEDULE_LOT) == SCHEDULE_LOT


async def publish() -> None:
    """Say which connectors this worker has."""
    async with acquire(database.ALL_TEAMS) as connection:
        await integrations.publish_kinds(connection, (one.manifest for one in all_connectors().values()))
