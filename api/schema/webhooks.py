"""Webhook endpoints and what became of each attempt to deliver to them."""

from datetime import datetime

import strawberry

from api.context import Context
from api.schema.errors import UserError
from api.schema.goals import GoalEventType, GoalFilter, GoalPeriod
from api.schema.jobs import Job
from api.schema.metrics import Metric
from api.schema.nodes import Connection, Node, connection_read, global_id
from domain import events, models, webhooks
from domain.paging import page_request

Info = strawberry.Info[Context]

WebhookState = strawberry.enum(
    models.WebhookState,
    name="WebhookState",
    description="ACTIVE: events are delivered. PAUSED: by hand. PARKED: nothing could be delivered for three days, or "
    "the endpoint's owner is gone; replay it when the reason is gone.",
)


@strawberry.type(description="One attempt to deliver one event, or a test.")
class WebhookDelivery:
    message_id: str = strawberry.field(description="The header webhook-id; the same for every attempt of one event.")
    cursor: str | None = strawberry.field(description="The event's cursor; null for a test.")
    type: str = strawberry.field(description="The event's type, or TEST.")
    attempt: int = strawberry.field(description="The how-manieth in a row.")
    status_code: int | None = strawberry.field(description="Of the answer; null when there was none.")
    error: str | None = strawberry.field(description="Why it failed; null when it was delivered.")
    response: str | None = strawberry.field(description="The beginning of the answer's body.")
    duration_ms: int = strawberry.field(description="How long it took, in milliseconds.")
    attempted_at: datetime = strawberry.field(description="When.")

    @classmethod
    def of(cls, row: models.WebhookDelivery) -> "WebhookDelivery":
        return cls(
            message_id=row.message_id,
            cursor=None if row.position is None else events.cursor_of(row.team_id, row.position),
            type=row.type,
            attempt=row.attempt,
            status_code=row.status_code,
            error=row.error,
            response=row.response,
            duration_ms=row.duration_ms,
            attempted_at=row.attempted_at,
        )


@strawberry.type(description="Which goals' events an endpoint is given; null: all.")
class WebhookFilter:
    user_ids: list[strawberry.ID] | None = strawberry.field(description="Of these users.")
    group_ids: list[strawberry.ID] | None = strawberry.field(description="Of these groups.")
    metrics: list[Metric] | None = strawberry.field(description="For these metrics.")
    periods: list[GoalPeriod] | None = strawberry.field(description="Per these periods.")


@strawberry.type(
    description="An address that goal events are sent to, signed as Standard Webhooks has it, at least once and in "
    "order."
)
class WebhookEndpoint(Node):
    url: str = strawberry.field(description="Where to.")
    description: str | None = strawberry.field(description="What it is for.")
    types: list[GoalEventType] = strawberry.field(description="Only these events of goals; empty for all.")
    accolades: bool = strawberry.field(description="Whether it is told of accolades too.")
    state: WebhookState = strawberry.field(description="Whether it is given events.")
    cursor: str = strawberry.field(description="The last event that it is done with.")
    failures: int = strawberry.field(description="Attempts that have failed in a row.")
    failing_since: datetime | None = strawberry.field(description="When the first of them was.")
    next_attempt_at: datetime | None = strawberry.field(description="When the next one is, while it fails.")
    last_error: str | None = strawberry.field(description="Why the last one failed.")
    created_at: datetime = strawberry.field(description="When it was made.")
    row: strawberry.Private[models.WebhookEndpoint]

    @classmethod
    def of(cls, row: models.WebhookEndpoint) -> "WebhookEndpoint":
        return cls(
            id=global_id("WebhookEndpoint", row.id),
            url=row.url,
            description=row.description,
            types=[events.EventType(one) for one in row.types],
            accolades=row.accolades,
            state=models.WebhookState(row.state),
            cursor=events.cursor_of(row.team_id, row.position),
            failures=row.failures,
            failing_since=row.failing_since,
            next_attempt_at=row.due_at if row.failures and row.state == models.WebhookState.ACTIVE else None,
            last_error=row.last_error,
            created_at=row.created_at,
            row=row,
        )

    @strawberry.field(description="Which goals' events it is given.")
    def filter(self) -> WebhookFilter:
        wanted = webhooks.filter_of_json(self.row.goal_filter)
        return WebhookFilter(
            user_ids=None if wanted.user_ids is None else [global_id("User", one) for one in wanted.user_ids],
            group_ids=None if wanted.group_ids is None else [global_id("Group", one) for one in wanted.group_ids],
            metrics=None if wanted.metrics is None else [Metric[one] for one in wanted.metrics],
            periods=None if wanted.periods is None else list(wanted.periods),
        )

    @strawberry.field(description="Every attempt of the last thirty days, the newest first.")
    async def deliveries(
        self, info: Info, first: int | None = None, after: str | None = None
    ) -> Connection[WebhookDelivery]:
        row = self.row

        return await connection_read(
            info.context.acquire,
            lambda connection: webhooks.list_deliveries(connection, row.team_id, row.id, page_request(first, after)),
            lambda connection: webhooks.count_deliveries(connection, row.team_id, row.id),
            WebhookDelivery.of,
        )


@strawberry.input(
    description="An endpoint that is given events from now on, as far as you may see them when they are sent."
)
class CreateWebhookEndpointInput:
    url: str = strawberry.field(description="An https address of the public internet.")
    description: str | None = strawberry.field(default=None, description="What it is for.")
    types: list[GoalEventType] | None = strawberry.field(default=None, description="Only these events.")
    filter: GoalFilter | None = strawberry.field(default=None, description="Only of these goals.")
    accolades: bool | None = strawberry.field(
        default=False, description="Accolades too, as ACCOLADE_GRANTED and ACCOLADE_REVOKED; of the filter's users."
    )


@strawberry.input(description="What to change of an endpoint; what is left out stays.")
class UpdateWebhookEndpointInput:
    endpoint_id: strawberry.ID = strawberry.field(description="Which.")
    url: str | None = strawberry.field(default=None, description="An https address of the public internet.")
    description: str | None = strawberry.field(default=None, description="What it is for.")
    types: list[GoalEventType] | None = strawberry.field(default=None, description="Only these events; empty for all.")
    filter: GoalFilter | None = strawberry.field(default=None, description="Only of these goals; empty for all.")
    accolades: bool | None = strawberry.field(default=None, description="Accolades too, or no more.")
    paused: bool | None = strawberry.field(
        default=None, description="Hold deliveries back; they go on where they were when it is taken back."
    )


@strawberry.input(description="An endpoint.")
class WebhookEndpointInput:
    endpoint_id: strawberry.ID = strawberry.field(description="Which.")


@strawberry.input(description="Send everything after a cursor again, in order.")
class ReplayWebhookEndpointInput:
    endpoint_id: strawberry.ID = strawberry.field(description="Which.")
    after: str = strawberry.field(description="The cursor of an event.")


@strawberry.type(description="The endpoint as it stands.")
class WebhookEndpointPayload:
    endpoint: WebhookEndpoint | None = strawberry.field(description="Null when it was refused, or deleted.")
    secret: str | None = strawberry.field(
        description="The signing secret, when it is new: keep it, it is not shown again."
    )
    errors: list[UserError] = strawberry.field(description="Why it was refused.")


@strawberry.type(description="The job that sends the test; how it went is in the endpoint's deliveries.")
class TestWebhookEndpointPayload:
    job: Job | None = strawberry.field(description="Null when it was refused.")
    errors: list[UserError] = strawberry.field(description="Why it was refused.")
