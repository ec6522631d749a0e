"""Delivering webhooks: each endpoint in order, endpoints beside each other, a trouble of one harming no other."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID

import structlog

from domain import database, webhooks
from domain.errors import Invalid, Unavailable
from domain.jobs import ClaimedJob, finish_job
from domain.models import WebhookEndpoint
from domain.secrets import SecretBox
from domain.webhooks import Claim, Outgoing
from workers.constants import DELIVERIES_AT_ONCE
from workers.loops import UNREACHABLE
from workers.sending import Sender

log = structlog.get_logger(__name__)

PAGE_EVENTS = 100
USER_AGENT = "Sideline-Webhooks/1"


class Deliverer:
    """Delivers to endpoints that are due.

    Args:
        sender: Sends.
        box: Opens the endpoints' secrets.
        holder: The name in the leases.
    """

    def __init__(self, sender: Sender, box: SecretBox, holder: str) -> None:
        self._sender = sender
        self._box = box
        self._holder = holder
        self._running: dict[UUID, asyncio.Task[None]] = {}

    async def step(self) -> bool:
        """Begin with the endpoints that are due. Returns False: the next step waits for its time."""
        free = DELIVERIES_AT_ONCE - len(self._running)
        if free > 0:
            async with database.acquire(database.ALL_TEAMS) as connection:
                claims = await webhooks.claim_due(connection, self._holder, free)
            for claim in claims:
                task = asyncio.ensure_future(self._deliver(claim))
                self._running[claim.endpoint.id] = task
                task.add_done_callback(partial(self._ended, claim.endpoint.id))
        return False

    def _ended(self, endpoint_id: UUID, _task: asyncio.Task[None]) -> None:
        self._running.pop(endpoint_id, None)

    async def stop(self) -> None:
        """Let what is running go back to the others."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await self._sender.close()

    async def _deliver(self, claim: Claim) -> None:
        """Deliver to an endpoint until it is up to date, fails, or is taken away."""
        bound = log.bind(endpoint=str(claim.endpoint.id), team=str(claim.endpoint.team_id))
        try:
            while await self._deliver_page(claim):
                pass
        except webhooks.OwnerGone:
            async with database.acquire(database.ALL_TEAMS) as connection:
                await webhooks.park(connection, claim, "The endpoint's owner does not work with the team any more.")
            bound.warning("webhook.parked")
        except Unavailable as error:
            async with database.acquire(database.ALL_TEAMS) as connection:
                await webhooks.park(connection, claim, error.message)
            bound.error("webhook.parked", reason=error.message)
        except UNREACHABLE as error:
            # The lease lapses, and somebody goes on from the last committed position.
            bound.warning("webhook.unreachable", error=repr(error))
        except Exception:
            bound.exception("webhook.failed")
        finally:
            await asyncio.shield(self._release(claim))

    async def _release(self, claim: Claim) -> None:
        try:
            async with database.acquire(database.ALL_TEAMS) as connection:
                await webhooks.release(connection, claim)
        except UNREACHABLE as error:
            log.warning("webhook.lease_left", endpoint=str(claim.endpoint.id), error=repr(error))

    async def _deliver_page(self, claim: Claim) -> bool:
        """Deliver the next events. Returns whether there may be more."""
        secret = self._box.open(claim.endpoint.secret).decode()
        async with database.acquire(database.ALL_TEAMS) as connection:
            page = await webhooks.next_events(connection, claim, PAGE_EVENTS)
        for outgoing in page:
            attempt = None
            if outgoing.body is None and outgoing is not page[-1]:
                continue  # The position goes past it with the next one that is for the endpoint.
            if outgoing.body is not None:
                attempt = await send(self._sender, claim.endpoint, secret, outgoing, outgoing.body)

            async def work(connection: Any, outgoing: Outgoing = outgoing, attempt: Any = attempt) -> bool:
                return await webhooks.finish(connection, claim, outgoing, attempt, datetime.now(UTC), random.random())

            if not await database.in_transaction(database.ALL_TEAMS, work):
                return False
            claim.endpoint.position = outgoing.position
        return bool(page)


async def send(
    sender: Sender, endpoint: WebhookEndpoint, secret: str, outgoing: Outgoing, body: bytes
) -> webhooks.Attempt:
    """Send a signed message to an endpoint."""
    timestamp = int(datetime.now(UTC).timestamp())
    headers: dict[bytes | str, bytes | str] = {
        "content-type": "application/json",
        "user-agent": USER_AGENT,
        "webhook-id": outgoing.message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": webhooks.sign(secret, outgoing.message_id, timestamp, body),
    }
    return await sender.send(endpoint.url, headers, body)


class EndpointTester:
    """Carries out the test button: one signed message, whose fate is in the log.

    Args:
        private_allowed: The operator allows private addresses.
        box: Opens the endpoints' secrets.
    """

    def __init__(self, *, private_allowed: bool, box: SecretBox | None) -> None:
        self._private_allowed = private_allowed
        self._box = box

    async def run(self, job: ClaimedJob, changed: Any) -> None:
        """Send the message of a job, and say how it went.

        Raises:
            Invalid: it was not delivered, or the endpoint is gone.
        """
        if self._box is None:
            raise Invalid("SIDELINE_SECRET_KEYS is not set: no webhook can be signed.")
        async with database.acquire(database.ALL_TEAMS) as connection:
            row = await connection.fetchrow(
                "SELECT id, team_id, url, secret FROM webhook_endpoints WHERE team_id = $1 AND id = $2",
                job.team_id,
                UUID(job.arguments["endpoint"]),
            )
        if row is None:
            raise Invalid("The endpoint is gone.")
        endpoint = WebhookEndpoint._init_from_db(**dict(row))
        outgoing = Outgoing(0, f"msg_{job.id.hex}", webhooks.TEST_TYPE, webhooks.test_body(datetime.now(UTC)))
        sender = Sender(private_allowed=self._private_allowed)
        try:
            assert outgoing.body is not None, "a test has a body"
            attempt = await send(sender, endpoint, self._box.open(endpoint.secret).decode(), outgoing, outgoing.body)
        finally:
            await sender.close()
        async with database.transaction(database.ALL_TEAMS) as connection:
            await webhooks.log_attempt(connection, endpoint, outgoing, 1, attempt)
            if attempt.error is None:
                await finish_job(connection, job)
        changed()
        if attempt.error is not None:
            raise Invalid(attempt.error)
