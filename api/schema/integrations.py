"""Connections to other systems, how their fields are read, and what is left to set up."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import strawberry
from strawberry.scalars import JSON

from api.context import Context
from api.permissions import ReadsDocument
from api.schema.errors import UserError
from api.schema.jobs import Job
from api.schema.metrics import Metric
from api.schema.nodes import Connection, Node, connection_of, global_id
from api.schema.people import User
from domain import connectors, integrations, models, setup
from domain.models import integrations as rows
from domain.paging import page_request

Info = strawberry.Info[Context]

CrmPart = strawberry.enum(
    rows.CrmPart,
    name="CrmPart",
    description="What of a CRM is synced: opportunities (needs MANAGE_TEAM), deals (needs Admin and access to deals).",
)
ConnectorAudience = strawberry.enum(
    connectors.Audience, name="ConnectorAudience", description="Who connects it: each for themselves, or one for all."
)
SetupState = strawberry.enum(setup.SetupState, name="SetupState", description="How a step of setting up stands.")


@strawberry.type(description="Something that a connection needs to be told.")
class ConnectorSetting:
    name: str = strawberry.field(description="Its key.")
    label: str = strawberry.field(description="What a person is asked for.")
    secret: bool = strawberry.field(description="Whether it is given among the secrets, and never comes back.")
    required: bool = strawberry.field(description="Whether the connection cannot do without.")
    help: str = strawberry.field(description="A sentence.")


@strawberry.type(description="A permission that is asked of the vendor.")
class ConnectorScope:
    name: str = strawberry.field(description="The vendor's name of it.")
    reason: str = strawberry.field(description="What it is needed for.")


@strawberry.type(description="A system that can be connected.")
class ConnectorKind:
    kind: str = strawberry.field(description="Its key.")
    label: str = strawberry.field(description="Its name.")
    audience: ConnectorAudience = strawberry.field(description="Who connects it.")
    feeds: list[Metric] = strawberry.field(description="The metrics that it brings.")
    settings: list[ConnectorSetting] = strawberry.field(description="What a connection needs to be told.")
    scopes: list[ConnectorScope] = strawberry.field(
        description="What the vendor is asked for, if a person signs in there; empty if not."
    )
    signs_in: bool = strawberry.field(description="Whether a person signs in at the vendor's.")
    crm: bool = strawberry.field(description="Whether it is a CRM, with parts and a field mapping.")

    @classmethod
    def of(cls, manifest: connectors.Manifest) -> "ConnectorKind":
        return cls(
            kind=manifest.kind,
            label=manifest.label,
            audience=manifest.audience,
            feeds=[Metric[key] for key in setup.metrics_of(manifest.feeds)],
            settings=[
                ConnectorSetting(
                    name=one.name, label=one.label, secret=one.secret, required=one.required, help=one.help
                )
                for one in manifest.settings
            ],
            scopes=[
                ConnectorScope(name=scope.name, reason=scope.reason)
                for scope in (manifest.oauth.scopes if manifest.oauth is not None else ())
            ],
            signs_in=manifest.oauth is not None,
            crm=manifest.opportunity_object is not None,
        )


@strawberry.type(description="A document that could not be taken in, and why.")
class QuarantinedDocument:
    object: str = strawberry.field(description="Which of the vendor's objects it is.")
    document_id: str = strawberry.field(description="Its id at the vendor's.")
    code: str = strawberry.field(description="Why, for machines.")
    field: str | None = strawberry.field(description="The field at fault, if one is.")
    reason: str = strawberry.field(description="Why, and the mend.")
    since: datetime = strawberry.field(description="Since when it has waited.")
    text: strawberry.Private[str]
    owner_id: strawberry.Private[Any]

    @strawberry.field(
        description="The document as it came; null with FORBIDDEN unless it is one's own connection's, or for Admin.",
        permission_classes=[ReadsDocument],
    )
    def data(self) -> str | None:
        return self.text

    @classmethod
    def of(cls, row: models.QuarantinedDocument, owner_id: Any) -> "QuarantinedDocument":
        return cls(
            object=row.object,
            document_id=row.document_id,
            code=row.code,
            field=row.field,
            reason=row.reason,
            text=row.data,
            owner_id=owner_id,
            since=row.created_at,
        )


@strawberry.type(description="A field of the CRM's opportunity object.")
class DescribedField:
    name: str = strawberry.field(description="Its key, as mappings name it.")
    label: str = strawberry.field(description="Its name for people.")
    type: str = strawberry.field(
        description="What it holds: text, number, money, date, datetime, boolean, choice or user."
    )
    values: list[str] = strawberry.field(description="The values of a choice, such as the stages.")


@strawberry.type(description="A version of how a CRM's fields become opportunities.")
class FieldMapping:
    version: int = strawberry.field(description="Grows by one with each; 0 is the connector's own.")
    mapping: JSON = strawberry.field(description="The mapping; the guide to field mappings tells its form.")
    set_at: datetime | None = strawberry.field(description="When it was set; null for the connector's own.")
    set_by_id: strawberry.Private[Any] = None

    @strawberry.field(description="Who set it; null for the connector's own, and for who is not in sight.")
    async def set_by(self, info: Info) -> User | None:
        row = None if self.set_by_id is None else await info.context.users.load(self.set_by_id)
        return None if row is None else User.of(row)


@strawberry.type(description="A configured connector: a person's calendar, or a system of the team's.")
class Integration(Node):
    kind: str = strawberry.field(description="The connector.")
    name: str = strawberry.field(description="Its name.")
    status: str = strawberry.field(description="CONNECTING, ACTIVE, PAUSED, or BROKEN, which only a person can mend.")
    account: str | None = strawberry.field(description="Whose account it is, at the vendor's.")
    settings: JSON = strawberry.field(description="What it was told, without its secrets.")
    syncs: list[CrmPart] = strawberry.field(description="Of a CRM, the parts that are synced.")
    interval_minutes: int = strawberry.field(description="How often it is synced.")
    next_sync_at: datetime | None = strawberry.field(description="When it is synced next by itself.")
    last_synced_at: datetime | None = strawberry.field(description="When a sync last came to its end.")
    last_error: str | None = strawberry.field(description="Why the last sync could not; null when it could.")
    row: strawberry.Private[models.Integration]

    @classmethod
    def of(cls, row: models.Integration) -> "Integration":
        hidden = integrations.OPERATOR_SETTINGS
        return cls(
            id=global_id("Integration", row.id),
            kind=row.kind,
            name=row.name,
            status=row.state.value,
            account=row.account_name,
            settings=JSON({name: value for name, value in row.settings.items() if name not in hidden}),
            syncs=[rows.CrmPart(part) for part in row.syncs],
            interval_minutes=row.interval_minutes,
            next_sync_at=row.next_sync_at,
            last_synced_at=row.last_synced_at,
            last_error=row.last_error,
            row=row,
        )

    @strawberry.field(description="Whose it is; null for the team's.")
    async def owner(self, info: Info) -> User | None:
        row = None if self.row.owner_id is None else await info.context.users.load(self.row.owner_id)
        return None if row is None else User.of(row)

    @strawberry.field(description="What last checked or synced it, or does so now; of one that is parked, the reason.")
    async def last_job(self, info: Info) -> Job | None:
        async with info.context.acquire() as connection:
            row = await integrations.newest_job(connection, self.row.team_id, self.row.id)
        return None if row is None else Job.of(row)

    @strawberry.field(description="How many documents wait that could not be taken in.")
    async def quarantined(self, info: Info) -> int:
        async with info.context.acquire() as connection:
            counts = await integrations.count_quarantined(connection, self.row.team_id, [self.row.id])
        return counts.get(self.row.id, 0)

    @strawberry.field(description="The documents that wait, the oldest first.")
    async def quarantine(
        self, info: Info, first: int | None = None, after: str | None = None
    ) -> Connection[QuarantinedDocument]:
        async def count() -> int:
            async with info.context.acquire() as connection:
                counts = await integrations.count_quarantined(connection, self.row.team_id, [self.row.id])
            return counts.get(self.row.id, 0)

        async with info.context.acquire() as connection:
            page = await integrations.list_quarantined(
                connection, self.row.team_id, self.row.id, page_request(first, after)
            )
        owner_id = self.row.owner_id
        return connection_of(page, lambda row: QuarantinedDocument.of(row, owner_id), count)

    @strawberry.field(description="Of a CRM, the fields that a mapping may name, as the last check found them.")
    def fields(self) -> list[DescribedField]:
        return [
            DescribedField(name=one.name, label=one.label, type=one.type, values=list(one.values))
            for one in integrations.described_fields(self.row)
        ]

    @strawberry.field(description="Of a CRM, the mapping in force; null for others.")
    async def field_mapping(self, info: Info) -> FieldMapping | None:
        found = await _mappings(info, self.row, in_force=True)
        return found[0] if found else None

    @strawberry.field(description="Of a CRM, the versions of its mapping, the newest first.")
    async def field_mappings(self, info: Info) -> list[FieldMapping]:
        return await _mappings(info, self.row, in_force=False)


async def _mappings(info: Info, row: models.Integration, *, in_force: bool) -> list[FieldMapping]:
    async with info.context.acquire() as connection:
        manifest = (await integrations.list_kinds(connection)).get(row.kind)
        if manifest is None or manifest.opportunity_object is None:
            return []
        versions = await integrations.list_mappings(connection, row.team_id, row.id)
    found = [
        FieldMapping(version=one.version, mapping=JSON(one.mapping), set_at=one.set_at, set_by_id=one.set_by_id)
        for one in versions
    ]
    found.append(FieldMapping(version=0, mapping=JSON(dict(manifest.default_mapping or {})), set_at=None))
    return [one for one in found if one.version == row.mapping_version] if in_force else found


@strawberry.type(description="A step of setting up, as it stands for the viewer.")
class SetupStep:
    key: str = strawberry.field(description="Its name for machines.")
    title: str = strawberry.field(description="Its name for people.")
    state: SetupState = strawberry.field(description="How it stands.")
    detail: str | None = strawberry.field(description="What is known of it.")
    next_step: str | None = strawberry.field(description="What to do next; null where nothing is left.")
    feeds: list[Metric] = strawberry.field(description="The metrics that it brings.")

    @classmethod
    def of(cls, step: setup.SetupStep) -> "SetupStep":
        return cls(
            key=step.key,
            title=step.title,
            state=step.state,
            detail=step.detail,
            next_step=step.next_step,
            feeds=[Metric[key] for key in step.feeds],
        )


@strawberry.input(description="A new connection: one's own calendar, or a system of the team's.")
class ConnectIntegrationInput:
    kind: str = strawberry.field(description="The connector.")
    name: str | None = strawberry.field(default=None, description="Its name; the connector's own if left out.")
    settings: JSON | None = strawberry.field(default=None, description="What the connector asks for, by name.")
    secrets: JSON | None = strawberry.field(default=None, description="Likewise what is secret; it never comes back.")
    syncs: list[CrmPart] = strawberry.field(default_factory=list, description="Of a CRM, the parts to sync.")
    redirect_uri: str | None = strawberry.field(
        default=None, description="Where the vendor sends the person back; the API's own page if left out."
    )


@strawberry.input(description="What is to change of a connection; a field that is left out stays.")
class UpdateIntegrationInput:
    integration_id: strawberry.ID = strawberry.field(description="Which.")
    name: str | None = strawberry.field(default=None, description="Its name.")
    settings: JSON | None = strawberry.field(default=None, description="In place of all settings of before.")
    secrets: JSON | None = strawberry.field(default=None, description="In place of all secrets of before.")
    syncs: list[CrmPart] | None = strawberry.field(default=None, description="Of a CRM, the parts to sync.")
    interval_minutes: int | None = strawberry.field(default=None, description="How often it is synced, 1 to 10080.")
    paused: bool | None = strawberry.field(
        default=None, description="True rests it, and ends a running sync; false goes on, also after it was broken."
    )


@strawberry.input(description="A connection to end.")
class DisconnectIntegrationInput:
    integration_id: strawberry.ID = strawberry.field(description="Which.")


@strawberry.input(description="A connection to sync now.")
class SyncIntegrationInput:
    integration_id: strawberry.ID = strawberry.field(description="Which.")
    retry_quarantined: bool = strawberry.field(
        default=False, description="Whether to try what could not be taken in again."
    )


@strawberry.input(description="A new sign-in at the vendor's.")
class AuthorizeIntegrationInput:
    integration_id: strawberry.ID = strawberry.field(description="Which.")
    redirect_uri: str | None = strawberry.field(
        default=None, description="Where the vendor sends the person back; the API's own page if left out."
    )


@strawberry.input(description="What the vendor sent the person back with.")
class CompleteAuthorizationInput:
    state: str = strawberry.field(description="As it came.")
    code: str = strawberry.field(description="As it came.")


@strawberry.type(description="The connection as it stands now.")
class IntegrationPayload:
    integration: Integration | None = strawberry.field(description="Null when it was refused or is gone.")
    authorization_url: str | None = strawberry.field(
        default=None, description="Where to send the person to sign in; null where that is not needed."
    )
    job: Job | None = strawberry.field(default=None, description="What checks or syncs it; follow its progress.")
    errors: list[UserError] = strawberry.field(description="Why it was refused.")


@strawberry.input(description="A field mapping to try on a CRM's newest records; nothing changes.")
class PreviewFieldMappingInput:
    integration_id: strawberry.ID = strawberry.field(description="Which.")
    mapping: JSON = strawberry.field(description="The mapping.")


@strawberry.input(description="A field mapping to put in force.")
class SetFieldMappingInput:
    integration_id: strawberry.ID = strawberry.field(description="Which.")
    mapping: JSON = strawberry.field(description="The mapping.")
    expected_version: int | None = strawberry.field(
        default=None, description="The version that was looked at; another in between is a CONFLICT."
    )


@strawberry.type(description="What a mapping makes of one record.")
class MappingPreviewRow:
    document_id: str = strawberry.field(description="The record's id in the CRM.")
    record: JSON | None = strawberry.field(description="The opportunity; null where it was refused.")
    code: str | None = strawberry.field(description="Why it was refused, for machines.")
    reason: str | None = strawberry.field(description="Why it was refused, and the mend.")


@strawberry.type(description="What a mapping makes of the CRM's newest records, and the numbers that they come to.")
class MappingPreview:
    rows: list[MappingPreviewRow] = strawberry.field(description="One for each record.")
    opportunities_created: int = strawberry.field(description="OPPORTUNITIES_CREATED of these records.")
    new_pipeline: Decimal = strawberry.field(description="NEW_PIPELINE of these records.")
    closed_won_count: int = strawberry.field(description="CLOSED_WON_COUNT of these records.")
    closed_won_amount: Decimal = strawberry.field(description="CLOSED_WON_AMOUNT of these records.")


@strawberry.type(description="A mapping as it was tried.")
class PreviewFieldMappingPayload:
    preview: MappingPreview | None = strawberry.field(description="Null when the mapping does not fit.")
    errors: list[UserError] = strawberry.field(description="What does not fit, by its place.")


@strawberry.input(description="What a unit of a currency is worth in the team's, from a day on.")
class ExchangeRateInput:
    currency: str = strawberry.field(description="ISO 4217.")
    day: date = strawberry.field(description="From this day on, until the next rate.")
    rate: Decimal = strawberry.field(description="Units of the team's currency for one.")


@strawberry.input(description="Exchange rates of the team's own.")
class SetExchangeRatesInput:
    rates: list[ExchangeRateInput] = strawberry.field(description="In place of the team's own for the same days.")

    def to_domain(self) -> list[tuple[str, date, Decimal]]:
        return [(one.currency, one.day, Decimal(one.rate)) for one in self.rates]


@strawberry.type(description="What became of the rates.")
class SetExchangeRatesPayload:
    kept: int = strawberry.field(description="How many were kept.")
    errors: list[UserError] = strawberry.field(description="Why they were refused.")


@strawberry.input(description="A job.")
class CancelJobInput:
    job_id: strawberry.ID = strawberry.field(description="Which.")


@strawberry.type(description="The job as it stands now.")
class JobPayload:
    job: Job | None = strawberry.field(description="Null when it was refused.")
    errors: list[UserError] = strawberry.field(description="Why it was refused.")
