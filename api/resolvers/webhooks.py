"""Managing webhook endpoints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from api.context import Context
from api.queue import hint_job
from api.resolvers.goals import filter_of
from api.schema.goals import GoalFilter
from api.schema.jobs import Job
from api.schema.webhooks import (
    CreateWebhookEndpointInput,
    ReplayWebhookEndpointInput,
    UpdateWebhookEndpointInput,
    WebhookEndpoint,
)
from domain import access, jobs, webhooks
from domain.errors import NotFound
from domain.ids import decode_id
from domain.models.base import new_id
from domain.models.people import Permission
from domain.webhooks import EndpointChange


def _private_allowed(context: Context) -> bool:
    return bool(context.connection.app.state.settings.webhooks_to_private_addresses)


def _endpoint_id(given: str) -> UUID:
    return decode_id(given, "WebhookEndpoint", path=("input", "endpointId"))


def _change(
    url: str | None,
    description: str | None,
    types: Sequence[Any] | None,
    wanted: GoalFilter | None,
    paused: bool | None = None,
    accolades: bool | None = None,
) -> EndpointChange:
    goals = None if wanted is None else filter_of(wanted)
    return EndpointChange(url, description, None if types is None else tuple(types), goals, paused, accolades)


async def list_endpoints(context: Context) -> list[WebhookEndpoint]:
    """The team's endpoints."""
    async with context.acquire() as connection:
        return [WebhookEndpoint.of(row) for row in await webhooks.list_endpoints(connection, context.viewer)]


async def find_endpoint(context: Context, row_id: UUID) -> WebhookEndpoint | None:
    """An endpoint, for who manages the team."""
    async with context.acquire() as connection:
        row = await webhooks.find_endpoint(connection, context.viewer, row_id)
    return None if row is None else WebhookEndpoint.of(row)


async def create_endpoint(context: Context, given: CreateWebhookEndpointInput) -> tuple[WebhookEndpoint, str]:
    """Make an endpoint. Raises what the domain does, and Unavailable without a key for secrets."""
    change = _change(given.url, given.description, given.types, given.filter, accolades=given.accolades)
    box, private_allowed = context.secret_box(), _private_allowed(context)

    async def work(connection: Any) -> Any:
        return await webhooks.create_endpoint(connection, context.viewer, box, change, private_allowed=private_allowed)

    row, secret = await context.in_transaction(work)
    return WebhookEndpoint.of(row), secret


async def update_endpoint(context: Context, given: UpdateWebhookEndpointInput) -> WebhookEndpoint:
    """Change an endpoint. Raises what the domain does."""
    endpoint_id = _endpoint_id(given.endpoint_id)
    change = _change(given.url, given.description, given.types, given.filter, given.paused, given.accolades)

    async def work(connection: Any) -> Any:
        return await webhooks.update_endpoint(
            connection, context.viewer, endpoint_id, change, private_allowed=_private_allowed(context)
        )

    return WebhookEndpoint.of(await context.in_transaction(work))


async def delete_endpoint(context: Context, given: str) -> None:
    """Forget an endpoint. Raises what the domain does."""
    endpoint_id = _endpoint_id(given)

    async def work(connection: Any) -> None:
        await webhooks.delete_endpoint(connection, context.viewer, endpoint_id)

    await context.in_transaction(work)


async def rotate_secret(context: Context, given: str) -> tuple[WebhookEndpoint, str]:
    """Give an endpoint a fresh secret. Raises what the domain does, and Unavailable without a key for secrets."""
    endpoint_id, box = _endpoint_id(given), context.secret_box()

    async def work(connection: Any) -> Any:
        return await webhooks.rotate_secret(connection, context.viewer, box, endpoint_id)

    row, secret = await context.in_transaction(work)
    return WebhookEndpoint.of(row), secret


async def replay(context: Context, given: ReplayWebhookEndpointInput) -> WebhookEndpoint:
    """Send everything after a cursor again. Raises what the domain does."""
    endpoint_id = _endpoint_id(given.endpoint_id)

    async def work(connection: Any) -> Any:
        return await webhooks.replay(connection, context.viewer, endpoint_id, given.after)

    return WebhookEndpoint.of(await context.in_transaction(work))


async def test_endpoint(context: Context, given: str) -> Job:
    """Ask a worker to send a test.

    Raises:
        Forbidden: the viewer lacks `MANAGE_TEAM`.
        NotFound: the team has no such endpoint.
    """
    access.require(context.viewer, Permission.MANAGE_TEAM)
    endpoint_id = _endpoint_id(given)
    team_id = context.viewer.team_id
    async with context.acquire() as connection:
        if await webhooks.find_endpoint(connection, context.viewer, endpoint_id) is None:
            raise NotFound("No such webhook endpoint.", path=("input", "endpointId"))
        job_id = await jobs.create_job(
            connection,
            team_id,
            webhooks.TEST_KIND,
            run_key=f"{webhooks.TEST_KIND}:{new_id()}",
            arguments={"endpoint": str(endpoint_id)},
            requested_by_id=context.viewer.user_id,
        )
        row = await jobs.get_job(connection, team_id, job_id)
    assert row is not None, "it was made just now"
    if context.queue is not None:
        await hint_job(context.queue, job_id)
    return Job.of(row)
