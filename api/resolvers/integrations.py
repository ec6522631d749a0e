"""Connections to other systems: made, changed, synced, ended; signed in at vendors'; their fields mapped."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from strawberry.scalars import JSON

from api import oauth
from api.context import Context
from api.queue import hint_job
from api.resolvers.jobs import find_job
from api.schema import integrations as shapes
from api.schema.errors import UserError, told
from domain import access, field_mapping, integrations, jobs, opportunities, setup, sync
from domain.database import Connection as Database
from domain.errors import Conflict, Invalid, NotFound
from domain.ids import decode_id
from domain.integrations import Connected, IntegrationChange
from domain.models.integrations import CrmPart
from domain.secrets import SecretBox


def _box(context: Context) -> SecretBox | None:
    box: SecretBox | None = context.connection.app.state.secret_box
    return box


def _integration_id(global_id: str) -> UUID:
    return decode_id(global_id, "Integration", path=("input", "integrationId"))


def _texts(given: Any, field: str) -> Mapping[str, str]:
    """Settings or secrets as they were sent.

    Raises:
        Invalid: they are no object of texts.
    """
    if given is None:
        return {}
    if not isinstance(given, dict) or not all(isinstance(value, str) for value in given.values()):
        raise Invalid(f"{field}: give an object whose values are text.", path=("input", field))
    return given


async def list_kinds(context: Context) -> list[shapes.ConnectorKind]:
    """The systems that can be connected."""
    async with context.acquire() as connection:
        return [shapes.ConnectorKind.of(one) for one in (await integrations.list_kinds(connection)).values()]


async def list_integrations(context: Context) -> list[shapes.Integration]:
    """The connections that the viewer may see."""
    async with context.acquire() as connection:
        found = await integrations.list_integrations(connection, access.see_integrations(context.viewer))
    return [shapes.Integration.of(row) for row in found]


async def find_integration(context: Context, row_id: UUID) -> shapes.Integration | None:
    """A connection that the viewer may see, or None."""
    async with context.acquire() as connection:
        sight = access.see_integrations(context.viewer)
        row = (await integrations.integrations_by_id(connection, sight, [row_id]))[0]
    return None if row is None else shapes.Integration.of(row)


async def setup_steps(context: Context) -> list[shapes.SetupStep]:
    """What is done, missing or broken for the viewer."""
    async with context.acquire() as connection:
        return [shapes.SetupStep.of(step) for step in await setup.steps(connection, context.viewer)]


async def _payload(context: Context, work: Callable[[Database], Awaitable[Connected]]) -> shapes.IntegrationPayload:
    async def change() -> shapes.IntegrationPayload:
        done = await context.in_transaction(work)
        return await _of(context, done)

    return await told(change(), _refused)


def _refused(errors: list[UserError]) -> shapes.IntegrationPayload:
    return shapes.IntegrationPayload(integration=None, errors=errors)


async def _of(context: Context, done: Connected) -> shapes.IntegrationPayload:
    url = None
    if done.authorization is not None:
        url = oauth.authorization_url(context.connection.app.state.settings, done.authorization)
    if done.job_id is not None and context.queue is not None:
        await hint_job(context.queue, done.job_id)
    return shapes.IntegrationPayload(
        integration=shapes.Integration.of(done.integration),
        authorization_url=url,
        job=None if done.job_id is None else await find_job(context, done.job_id),
        errors=[],
    )


async def connect(context: Context, given: shapes.ConnectIntegrationInput) -> shapes.IntegrationPayload:
    """Make a connection."""

    async def work(connection: Database) -> Connected:
        return await integrations.connect(
            connection,
            context.viewer,
            kind=given.kind,
            name=given.name,
            settings=_texts(given.settings, "settings"),
            secrets=_texts(given.secrets, "secrets"),
            syncs=[CrmPart(part) for part in given.syncs],
            redirect_uri=given.redirect_uri or oauth.own_redirect_uri(context.connection),
            clients=context.connection.app.state.settings.oauth_clients,
            box=_box(context),
            now=context.now,
        )

    return await _payload(context, work)


async def authorize(context: Context, given: shapes.AuthorizeIntegrationInput) -> shapes.IntegrationPayload:
    """Begin a new sign-in at the vendor's."""

    async def work(connection: Database) -> Connected:
        return await integrations.authorize_again(
            connection,
            context.viewer,
            _integration_id(given.integration_id),
            redirect_uri=given.redirect_uri or oauth.own_redirect_uri(context.connection),
            clients=context.connection.app.state.settings.oauth_clients,
            box=_box(context),
            now=context.now,
        )

    return await _payload(context, work)


async def complete(context: Context, given: shapes.CompleteAuthorizationInput) -> shapes.IntegrationPayload:
    """End a sign-in with what the vendor sent the person back with."""

    async def change() -> shapes.IntegrationPayload:
        return await _of(context, await oauth.complete(context.connection.app, context.viewer, given.state, given.code))

    return await told(change(), _refused)


async def update(context: Context, given: shapes.UpdateIntegrationInput) -> shapes.IntegrationPayload:
    """Change a connection."""

    async def work(connection: Database) -> Connected:
        change = IntegrationChange(
            name=given.name,
            settings=None if given.settings is None else _texts(given.settings, "settings"),
            secrets=None if given.secrets is None else _texts(given.secrets, "secrets"),
            syncs=None if given.syncs is None else frozenset(CrmPart(part) for part in given.syncs),
            interval_minutes=given.interval_minutes,
            paused=given.paused,
        )
        integration_id = _integration_id(given.integration_id)
        return await integrations.update(connection, context.viewer, integration_id, change, box=_box(context))

    return await _payload(context, work)


async def disconnect(context: Context, given: shapes.DisconnectIntegrationInput) -> shapes.IntegrationPayload:
    """End a connection."""

    async def change() -> shapes.IntegrationPayload:
        async def work(connection: Database) -> None:
            await integrations.disconnect(connection, context.viewer, _integration_id(given.integration_id))

        await context.in_transaction(work)
        return _refused([])

    return await told(change(), _refused)


async def sync_now(context: Context, given: shapes.SyncIntegrationInput) -> shapes.IntegrationPayload:
    """Sync a connection now."""

    async def work(connection: Database) -> Connected:
        integration_id = _integration_id(given.integration_id)
        job_id = await integrations.sync_now(connection, context.viewer, integration_id, retry=given.retry_quarantined)
        sight = access.see_integrations(context.viewer)
        row = (await integrations.integrations_by_id(connection, sight, [integration_id]))[0]
        assert row is not None
        return Connected(row, job_id)

    return await _payload(context, work)


async def set_mapping(context: Context, given: shapes.SetFieldMappingInput) -> shapes.IntegrationPayload:
    """Put a field mapping in force."""

    async def work(connection: Database) -> Connected:
        row, job_id = await integrations.set_mapping(
            connection,
            context.viewer,
            _integration_id(given.integration_id),
            _mapping(given.mapping),
            expected_version=given.expected_version,
        )
        return Connected(row, job_id)

    return await _payload(context, work)


def _mapping(given: Any) -> Mapping[str, Any]:
    if not isinstance(given, dict):
        raise Invalid("mapping: give an object.", path=("input", "mapping"))
    return given


async def preview_mapping(
    context: Context, given: shapes.PreviewFieldMappingInput
) -> shapes.PreviewFieldMappingPayload:
    """Try a field mapping on a CRM's newest records."""

    async def look() -> shapes.PreviewFieldMappingPayload:
        async with context.acquire() as connection:
            row, manifest = await integrations.crm_of(connection, context.viewer, _integration_id(given.integration_id))
            if not row.described:
                raise Conflict("The CRM's fields are not known yet: let it connect first.", path=("integrationId",))
            mapping = _mapping(given.mapping)
            integrations.check_against(mapping, row)
            against = await sync.read_context(connection, row, manifest, datetime.now(UTC))
        shown = opportunities.preview(field_mapping.read_mapping(mapping), integrations.sample_documents(row), against)
        return shapes.PreviewFieldMappingPayload(
            preview=shapes.MappingPreview(
                rows=[
                    shapes.MappingPreviewRow(
                        document_id=one.document_id,
                        record=None if one.record is None else JSON(dict(one.record)),
                        code=None if one.refusal is None else one.refusal.code,
                        reason=None if one.refusal is None else one.refusal.message,
                    )
                    for one in shown.rows
                ],
                opportunities_created=shown.sums.opportunities_created,
                new_pipeline=shown.sums.new_pipeline,
                closed_won_count=shown.sums.closed_won_count,
                closed_won_amount=shown.sums.closed_won_amount,
            ),
            errors=[],
        )

    return await told(look(), lambda errors: shapes.PreviewFieldMappingPayload(preview=None, errors=errors))


async def set_rates(context: Context, given: shapes.SetExchangeRatesInput) -> shapes.SetExchangeRatesPayload:
    """Keep exchange rates of the team's own."""

    async def change() -> shapes.SetExchangeRatesPayload:
        async def work(connection: Database) -> int:
            return await integrations.set_rates(connection, context.viewer, given.to_domain())

        return shapes.SetExchangeRatesPayload(kept=await context.in_transaction(work), errors=[])

    return await told(change(), lambda errors: shapes.SetExchangeRatesPayload(kept=0, errors=errors))


async def cancel_job(context: Context, given: shapes.CancelJobInput) -> shapes.JobPayload:
    """End a job that has not ended."""

    async def change() -> shapes.JobPayload:
        job_id = decode_id(given.job_id, "Job", path=("input", "jobId"))

        async def work(connection: Database) -> None:
            row = await jobs.get_job(connection, context.viewer.team_id, job_id)
            if row is None or not access.may_see_job(context.viewer, row.requested_by_id):
                raise NotFound("No such job.", path=("input", "jobId"))
            if not await jobs.cancel_job(connection, context.viewer.team_id, job_id):
                raise Conflict("The job has ended already.", path=("input", "jobId"))

        await context.in_transaction(work)
        return shapes.JobPayload(job=await find_job(context, job_id), errors=[])

    return await told(change(), lambda errors: shapes.JobPayload(job=None, errors=errors))
