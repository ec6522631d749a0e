"""The schema: what can be asked, changed and subscribed to."""

from collections.abc import AsyncGenerator, Awaitable
from datetime import date
from typing import Annotated, Any

import strawberry
from strawberry.schema.config import StrawberryConfig

from api.errors import guarded
from api.execution import SidelineExecutor
from api.extensions import KnownDocuments, OneErrorPlace, document_problems
from api.permissions import requires, requires_scope
from api.resolvers import administration as admin_resolvers
from api.resolvers import goals as goal_resolvers
from api.resolvers import integrations as integration_resolvers
from api.resolvers import jobs as job_resolvers
from api.resolvers import team as team_resolvers
from api.resolvers import webhooks as webhook_resolvers
from api.resolvers.activities import activities_of
from api.resolvers.dashboards import ask_individual, ask_team
from api.resolvers.imports import import_records, retry_quarantined
from api.resolvers.nodes import find_node, find_nodes
from api.schema import administration as admin
from api.schema.accolade_roots import AccoladeMutation, AccoladeQuery, AccoladeSubscription
from api.schema.action_roots import ActionMutation, ActionQuery
from api.schema.activities import ACTIVITY_TYPES, Activity, ActivityFilter
from api.schema.dashboards import (
    Comparison,
    Individual,
    IndividualDashboard,
    RangeInput,
    TeamDashboard,
    individuals_connection,
)
from api.schema.descriptions import describe
from api.schema.errors import UserError, told
from api.schema.exports import ExportMutation, ExportQuery
from api.schema.fields import Info, reading, writing
from api.schema.film import FilmMutation, FilmQuery
from api.schema.goals import (
    Goal,
    GoalEvent,
    GoalFilter,
    RemoveGoalsInput,
    RemoveGoalsPayload,
    SetGoalsInput,
    SetGoalsPayload,
)
from api.schema.imports import ImportActivitiesInput, ImportActivitiesPayload, RetryQuarantinedInput
from api.schema.insight import InsightQuery
from api.schema.integrations import (
    AuthorizeIntegrationInput,
    CancelJobInput,
    CompleteAuthorizationInput,
    ConnectIntegrationInput,
    ConnectorKind,
    DisconnectIntegrationInput,
    Integration,
    IntegrationPayload,
    JobPayload,
    PreviewFieldMappingInput,
    PreviewFieldMappingPayload,
    SetExchangeRatesInput,
    SetExchangeRatesPayload,
    SetFieldMappingInput,
    SetupStep,
    SyncIntegrationInput,
    UpdateIntegrationInput,
)
from api.schema.jobs import Job
from api.schema.live_call_roots import LiveCallMutation, LiveCallQuery, LiveCallSubscription
from api.schema.manager_view import ManagerViewQuery
from api.schema.metrics import Metric, MetricInfo
from api.schema.nodes import Connection, Node, connection_read
from api.schema.people import Group, Role, User, UserFilter, UserOrder, users_connection
from api.schema.plan_sessions import PlanSessionMutation, PlanSessionQuery
from api.schema.plans import PlanMutation, PlanQuery
from api.schema.scalars import SCALARS
from api.schema.score_roots import ScoreMutation, ScoreQuery
from api.schema.scorecards import ScorecardMutation, ScorecardQuery
from api.schema.sharing import SharingMutation, SharingQuery
from api.schema.team import (
    AddDaysOffInput,
    DaysOffPayload,
    Holiday,
    HolidayPayload,
    RemoveDaysOffInput,
    RemoveHolidayInput,
    SetHolidayInput,
    TeamSettings,
    UpdateTeamSettingsInput,
    UpdateTeamSettingsPayload,
)
from api.schema.viewer import Viewer
from api.schema.webhooks import (
    CreateWebhookEndpointInput,
    ReplayWebhookEndpointInput,
    TestWebhookEndpointPayload,
    UpdateWebhookEndpointInput,
    WebhookEndpoint,
    WebhookEndpointInput,
    WebhookEndpointPayload,
)
from api.subscriptions import watch_goal_events, watch_numbers
from domain import access, people, periods
from domain.errors import Invalid
from domain.ingest import Outcome
from domain.metrics import METRICS, available_metrics, unavailable_reason
from domain.models.people import Permission
from domain.models.tokens import TokenScope
from domain.paging import LARGEST_PAGE, page_request
from domain.people import UserFilter as DomainUserFilter


@strawberry.type(description="What can be asked.")
class Query(
    FilmQuery,
    ScorecardQuery,
    SharingQuery,
    PlanQuery,
    PlanSessionQuery,
    ExportQuery,
    LiveCallQuery,
    ScoreQuery,
    AccoladeQuery,
    ActionQuery,
    InsightQuery,
    ManagerViewQuery,
):
    @reading("Anything with an id; null for what the viewer may not know of.")
    async def node(self, info: Info, id: strawberry.ID) -> Node | None:
        found: Node | None = await find_node(info.context, id)
        return found

    @reading("Things with ids, in the order of the ids; null for what the viewer may not know of.")
    async def nodes(self, info: Info, ids: list[strawberry.ID]) -> list[Node | None]:
        if len(ids) > LARGEST_PAGE:
            raise Invalid(f"ids: at most {LARGEST_PAGE} at once.", path=("ids",))
        return await find_nodes(info.context, [str(one) for one in ids])

    @reading("Who is asking, and what will work for them.")
    def viewer(self, info: Info) -> Viewer:
        return Viewer.of(info.context.viewer)

    @reading("The catalogue of metrics.")
    async def metrics(self, info: Info) -> list[MetricInfo]:
        available = available_metrics(await info.context.feeds())
        return [
            MetricInfo(
                key=Metric[metric.key],
                label=metric.label,
                unit=metric.unit,
                direction=metric.direction,
                definition=metric.definition,
                goalable=metric.goalable,
                available=metric.key in available,
                unavailable_reason=None if metric.key in available else unavailable_reason(metric.key),
            )
            for metric in METRICS.values()
        ]

    @reading("The users that the viewer may see.")
    async def users(
        self,
        info: Info,
        first: int | None = None,
        after: str | None = None,
        last: int | None = None,
        before: str | None = None,
        filter: UserFilter | None = None,
        order_by: UserOrder | None = None,
    ) -> Connection[User]:
        sight = await info.context.users_in_sight()
        wanted = filter.to_domain() if filter is not None else DomainUserFilter()
        if wanted.group_id is not None:
            access.require_group(info.context.viewer, await info.context.groups_in_sight(), wanted.group_id)
        order = order_by or people.UserOrder.NAME
        return await users_connection(info.context, sight, wanted, order, first, after, last, before)

    @reading("The groups whose data the viewer may see, by name.")
    async def groups(self, info: Info, first: int | None = None, after: str | None = None) -> Connection[Group]:
        sight = await info.context.groups_in_sight()

        return await connection_read(
            info.context.acquire,
            lambda connection: people.list_groups(connection, sight, page_request(first, after)),
            lambda connection: people.count_groups(connection, sight),
            Group.of,
        )

    @reading("The team's roles for who manages the team, the viewer's own for others.")
    async def roles(self, info: Info) -> list[Role]:
        async with info.context.acquire() as connection:
            return [Role.of(role) for role in await people.list_roles(connection, info.context.viewer)]

    @reading("All who are on the team, for who manages it: who they are, not what they did.")
    async def members(
        self, info: Info, first: int | None = None, after: str | None = None, filter: UserFilter | None = None
    ) -> Connection[User]:
        wanted = filter.to_domain() if filter is not None else DomainUserFilter()
        sight = access.see_members(info.context.viewer)
        return await users_connection(info.context, sight, wanted, people.UserOrder.NAME, first, after)

    @reading("Somebody's tokens: one's own; anybody's with MANAGE_TEAM.")
    async def tokens(self, info: Info, user_id: strawberry.ID | None = None) -> list[admin.Token]:
        return await admin_resolvers.list_tokens(info.context, user_id)

    @reading("The documents that the team trusts.", requires(Permission.MANAGE_TEAM))
    async def trusted_documents(self, info: Info) -> list[admin.TrustedDocument]:
        return await admin_resolvers.list_documents(info.context)

    @reading("Who did or saw what of consequence, the newest first; for Admin.")
    async def audit_log(
        self, info: Info, first: int | None = None, after: str | None = None, filter: admin.AuditFilter | None = None
    ) -> Connection[admin.AuditEntry]:
        return await admin_resolvers.audit_log(info.context, first, after, filter)

    @reading("What the people in sight did, the newest first.")
    async def activities(
        self,
        info: Info,
        first: int | None = None,
        after: str | None = None,
        last: int | None = None,
        before: str | None = None,
        filter: ActivityFilter | None = None,
    ) -> Connection[Activity]:
        return await activities_of(info, page_request(first, after, last, before), filter)

    @reading("The viewer's own goals, and those in scope with MANAGE_GOALS; of groups and the team, own or derived.")
    async def goals(
        self, info: Info, first: int | None = None, after: str | None = None, filter: GoalFilter | None = None
    ) -> Connection[Goal]:
        return await goal_resolvers.goals_connection(info.context, goal_resolvers.filter_of(filter), first, after)

    @reading("How the team counts time, and what it calls on track.")
    async def team_settings(self, info: Info) -> TeamSettings:
        return await team_resolvers.read_settings(info.context)

    @reading("The team's holidays in a range.")
    async def holidays(
        self,
        info: Info,
        first: Annotated[date, strawberry.argument(name="from")],
        last: Annotated[date, strawberry.argument(name="to")],
    ) -> list[Holiday]:
        return await team_resolvers.list_holidays(info.context, first, last)

    @reading("The addresses that goal events are sent to, the oldest first.", requires(Permission.MANAGE_TEAM))
    async def webhook_endpoints(self, info: Info) -> list[WebhookEndpoint]:
        return await webhook_resolvers.list_endpoints(info.context)

    @reading("The tab Team. Without TEAM_VIEW, the viewer's own numbers; the group filter needs TEAM_VIEW.")
    async def team_dashboard(
        self,
        info: Info,
        range: RangeInput,
        compare: Comparison | None = periods.Comparison.PREVIOUS_PERIOD,
        group_id: strawberry.ID | None = None,
        metrics: list[Metric] | None = None,
    ) -> TeamDashboard:
        return TeamDashboard(question=await ask_team(info, range, compare, group_id, metrics))

    @reading("The tab Individual: the viewer's own, or that of a user in sight.")
    async def individual_dashboard(
        self,
        info: Info,
        range: RangeInput,
        compare: Comparison | None = periods.Comparison.PREVIOUS_PERIOD,
        user_id: strawberry.ID | None = None,
        metrics: list[Metric] | None = None,
    ) -> IndividualDashboard:
        return IndividualDashboard(question=await ask_individual(info, range, compare, user_id, metrics))

    @reading("The list of reps in sight, ranked by a metric.", requires(Permission.TEAM_VIEW))
    async def individuals(
        self,
        info: Info,
        range: RangeInput,
        first: int | None = None,
        after: str | None = None,
        search: str | None = None,
        group_id: strawberry.ID | None = None,
        sort_by: Metric | None = None,
        descending: bool | None = True,
    ) -> Connection[Individual]:
        question = await ask_team(info, range, None, group_id, None, search=search)
        request = question.request(first, after, None if sort_by is None else sort_by.value, descending is not False)
        return await individuals_connection(question, await question.list_reps(request))

    @reading("The systems that can be connected.")
    async def connector_kinds(self, info: Info) -> list[ConnectorKind]:
        return await integration_resolvers.list_kinds(info.context)

    @reading("The viewer's own connections, and the team's with MANAGE_TEAM.")
    async def integrations(self, info: Info) -> list[Integration]:
        return await integration_resolvers.list_integrations(info.context)

    @reading("What is done, missing or broken of setting up, for the viewer, with the next step.")
    async def setup(self, info: Info) -> list[SetupStep]:
        return await integration_resolvers.setup_steps(info.context)

    @reading("A job that the viewer asked for; any of the team's with MANAGE_TEAM.")
    async def job(self, info: Info, id: strawberry.ID) -> Job | None:
        return await job_resolvers.job_by_global_id(info.context, id)


@strawberry.type(description="What can be changed.")
class Mutation(
    FilmMutation,
    ScorecardMutation,
    SharingMutation,
    PlanMutation,
    PlanSessionMutation,
    ExportMutation,
    LiveCallMutation,
    ScoreMutation,
    AccoladeMutation,
    ActionMutation,
):
    @strawberry.mutation(
        description="Take activities in: the good records at once, with an error for each of the others.",
        permission_classes=[requires_scope(TokenScope.IMPORT), requires(Permission.MANAGE_TEAM)],
    )
    async def import_activities(self, info: Info, input: ImportActivitiesInput) -> ImportActivitiesPayload:
        work = import_records(info.context, input.source, input.records, dry_run=bool(input.dry_run))
        return await told(_imported(work), ImportActivitiesPayload.refused)

    @strawberry.mutation(
        description="Try the refused records of an import again, now that the reason is gone.",
        permission_classes=[requires_scope(TokenScope.IMPORT), requires(Permission.MANAGE_TEAM)],
    )
    async def retry_quarantined(self, info: Info, input: RetryQuarantinedInput) -> ImportActivitiesPayload:
        work = retry_quarantined(info.context, input.import_id)
        return await told(_imported(work), ImportActivitiesPayload.refused)

    @writing("Take somebody onto the team.", requires(Permission.MANAGE_TEAM))
    async def invite_user(self, info: Info, input: admin.InviteUserInput) -> admin.UserPayload:
        return await admin_resolvers.invite_user(info.context, input)

    @writing(
        "Change a person's name, address, role, group, manager, seats or days.",
        requires(Permission.MANAGE_TEAM),
    )
    async def update_user(self, info: Info, input: admin.UpdateUserInput) -> admin.UserPayload:
        return await admin_resolvers.update_user(info.context, input)

    @writing(
        "End somebody's access at once: sessions, tokens, streams. Their history stays.",
        requires(Permission.MANAGE_TEAM),
    )
    async def deactivate_user(self, info: Info, input: admin.DeactivateUserInput) -> admin.UserPayload:
        return await admin_resolvers.deactivate_user(info.context, input)

    @writing("Let somebody in again.", requires(Permission.MANAGE_TEAM))
    async def reactivate_user(self, info: Info, input: admin.ReactivateUserInput) -> admin.UserPayload:
        return await admin_resolvers.reactivate_user(info.context, input)

    @writing(
        "Erase a person's data on request, for good; ends their access, if they have it. Their numbers stay as counts. "
        "For Admin."
    )
    async def erase_user(self, info: Info, input: admin.EraseUserInput) -> admin.EraseUserPayload:
        return await admin_resolvers.erase_user(info.context, input)

    @writing("Make a group.", requires(Permission.MANAGE_TEAM))
    async def create_group(self, info: Info, input: admin.CreateGroupInput) -> admin.GroupPayload:
        return await admin_resolvers.create_group(info.context, input)

    @writing("Rename a group, or move it with all below it.", requires(Permission.MANAGE_TEAM))
    async def update_group(self, info: Info, input: admin.UpdateGroupInput) -> admin.GroupPayload:
        return await admin_resolvers.update_group(info.context, input)

    @writing("Remove an empty group.", requires(Permission.MANAGE_TEAM))
    async def remove_group(self, info: Info, input: admin.RemoveGroupInput) -> admin.GroupPayload:
        return await admin_resolvers.remove_group(info.context, input)

    @writing("Make a role.", requires(Permission.MANAGE_TEAM))
    async def create_role(self, info: Info, input: admin.CreateRoleInput) -> admin.RolePayload:
        return await admin_resolvers.create_role(info.context, input)

    @writing(
        "Rename a role, or change what it allows from the next request on.",
        requires(Permission.MANAGE_TEAM),
    )
    async def update_role(self, info: Info, input: admin.UpdateRoleInput) -> admin.RolePayload:
        return await admin_resolvers.update_role(info.context, input)

    @writing("Remove a role that nobody has.", requires(Permission.MANAGE_TEAM))
    async def remove_role(self, info: Info, input: admin.RemoveRoleInput) -> admin.RolePayload:
        return await admin_resolvers.remove_role(info.context, input)

    @writing("Make a token: for oneself; for others as Admin.")
    async def create_token(self, info: Info, input: admin.CreateTokenInput) -> admin.CreateTokenPayload:
        return await admin_resolvers.create_token(info.context, input)

    @writing("End a token: one's own; anybody's with MANAGE_TEAM.")
    async def revoke_token(self, info: Info, input: admin.RevokeTokenInput) -> admin.TokenPayload:
        return await admin_resolvers.revoke_token(info.context, input)

    @writing("Trust a document.", requires(Permission.MANAGE_TEAM))
    async def add_trusted_document(
        self, info: Info, input: admin.AddTrustedDocumentInput
    ) -> admin.TrustedDocumentPayload:
        problems = document_problems(schema._schema, input.text, info.context.limits)
        return await admin_resolvers.add_document(info.context, input, problems)

    @writing("Trust a document no more.", requires(Permission.MANAGE_TEAM))
    async def remove_trusted_document(
        self, info: Info, input: admin.RemoveTrustedDocumentInput
    ) -> admin.TrustedDocumentPayload:
        return await admin_resolvers.remove_document(info.context, input)

    @writing("Set the same goal for one subject or for many: all of them, or none.")
    async def set_goals(self, info: Info, input: SetGoalsInput) -> SetGoalsPayload:
        async def work() -> SetGoalsPayload:
            return SetGoalsPayload(goals=await goal_resolvers.set_goals(info.context, input), errors=[])

        return await told(work(), lambda errors: SetGoalsPayload(goals=[], errors=errors))

    @writing("End goals: all of them, or none. Their history stays.")
    async def remove_goals(self, info: Info, input: RemoveGoalsInput) -> RemoveGoalsPayload:
        async def work() -> RemoveGoalsPayload:
            return RemoveGoalsPayload(goals=await goal_resolvers.remove_goals(info.context, input), errors=[])

        return await told(work(), lambda errors: RemoveGoalsPayload(goals=[], errors=errors))

    @writing("Change how the team counts time, and what it calls on track.", requires(Permission.MANAGE_TEAM))
    async def update_team_settings(self, info: Info, input: UpdateTeamSettingsInput) -> UpdateTeamSettingsPayload:
        async def work() -> UpdateTeamSettingsPayload:
            settings = await team_resolvers.update_settings(info.context, input)
            return UpdateTeamSettingsPayload(settings=settings, errors=[])

        return await told(work(), lambda errors: UpdateTeamSettingsPayload(settings=None, errors=errors))

    @writing("Keep a day free, or work on a holiday of the country.", requires(Permission.MANAGE_TEAM))
    async def set_holiday(self, info: Info, input: SetHolidayInput) -> HolidayPayload:
        async def work() -> HolidayPayload:
            return HolidayPayload(holiday=await team_resolvers.set_holiday(info.context, input), errors=[])

        return await told(work(), lambda errors: HolidayPayload(holiday=None, errors=errors))

    @writing("Take back what the team said of a day.", requires(Permission.MANAGE_TEAM))
    async def remove_holiday(self, info: Info, input: RemoveHolidayInput) -> HolidayPayload:
        async def work() -> HolidayPayload:
            await team_resolvers.remove_holiday(info.context, input)
            return HolidayPayload(holiday=None, errors=[])

        return await told(work(), lambda errors: HolidayPayload(holiday=None, errors=errors))

    @writing("Take days off, for oneself as one may edit one's own goals, for others as one may set theirs.")
    async def add_days_off(self, info: Info, input: AddDaysOffInput) -> DaysOffPayload:
        async def work() -> DaysOffPayload:
            return DaysOffPayload(days_off=await team_resolvers.add_days_off(info.context, input), errors=[])

        return await told(work(), lambda errors: DaysOffPayload(days_off=None, errors=errors))

    @writing("Give days off back.")
    async def remove_days_off(self, info: Info, input: RemoveDaysOffInput) -> DaysOffPayload:
        async def work() -> DaysOffPayload:
            return DaysOffPayload(days_off=await team_resolvers.remove_days_off(info.context, input), errors=[])

        return await told(work(), lambda errors: DaysOffPayload(days_off=None, errors=errors))

    @writing("Connect a system: one's own calendar; the team's with MANAGE_TEAM; deals as Admin with access to deals.")
    async def connect_integration(self, info: Info, input: ConnectIntegrationInput) -> IntegrationPayload:
        return await integration_resolvers.connect(info.context, input)

    @writing("Begin a new sign-in at the vendor's of a connection that one may change.")
    async def authorize_integration(self, info: Info, input: AuthorizeIntegrationInput) -> IntegrationPayload:
        return await integration_resolvers.authorize(info.context, input)

    @writing("End a sign-in that one began, with what the vendor sent back.")
    async def complete_authorization(self, info: Info, input: CompleteAuthorizationInput) -> IntegrationPayload:
        return await integration_resolvers.complete(info.context, input)

    @writing("Change, pause or resume a connection: one's own; the team's with MANAGE_TEAM.")
    async def update_integration(self, info: Info, input: UpdateIntegrationInput) -> IntegrationPayload:
        return await integration_resolvers.update(info.context, input)

    @writing("End a connection: its secrets and documents go, the activities that it brought stay.")
    async def disconnect_integration(self, info: Info, input: DisconnectIntegrationInput) -> IntegrationPayload:
        return await integration_resolvers.disconnect(info.context, input)

    @writing("Sync a connection now, whatever its schedule says.")
    async def sync_integration(self, info: Info, input: SyncIntegrationInput) -> IntegrationPayload:
        return await integration_resolvers.sync_now(info.context, input)

    @writing("Try a field mapping on a CRM's newest records; nothing changes.", requires(Permission.MANAGE_TEAM))
    async def preview_field_mapping(self, info: Info, input: PreviewFieldMappingInput) -> PreviewFieldMappingPayload:
        return await integration_resolvers.preview_mapping(info.context, input)

    @writing(
        "Put a field mapping in force; the numbers are made anew in the background.",
        requires(Permission.MANAGE_TEAM),
    )
    async def set_field_mapping(self, info: Info, input: SetFieldMappingInput) -> IntegrationPayload:
        return await integration_resolvers.set_mapping(info.context, input)

    @writing("Keep exchange rates of the team's own, before a vendor's.", requires(Permission.MANAGE_TEAM))
    async def set_exchange_rates(self, info: Info, input: SetExchangeRatesInput) -> SetExchangeRatesPayload:
        return await integration_resolvers.set_rates(info.context, input)

    @writing("End a job that has not ended: what it committed stays.")
    async def cancel_job(self, info: Info, input: CancelJobInput) -> JobPayload:
        return await integration_resolvers.cancel_job(info.context, input)

    @writing("Make an address that goal events are sent to, from now on.", requires(Permission.MANAGE_TEAM))
    async def create_webhook_endpoint(self, info: Info, input: CreateWebhookEndpointInput) -> WebhookEndpointPayload:
        async def work() -> WebhookEndpointPayload:
            endpoint, secret = await webhook_resolvers.create_endpoint(info.context, input)
            return WebhookEndpointPayload(endpoint=endpoint, secret=secret, errors=[])

        return await told(work(), _no_endpoint)

    @writing("Change, pause or go on with an endpoint.", requires(Permission.MANAGE_TEAM))
    async def update_webhook_endpoint(self, info: Info, input: UpdateWebhookEndpointInput) -> WebhookEndpointPayload:
        async def work() -> WebhookEndpointPayload:
            endpoint = await webhook_resolvers.update_endpoint(info.context, input)
            return WebhookEndpointPayload(endpoint=endpoint, secret=None, errors=[])

        return await told(work(), _no_endpoint)

    @writing("Forget an endpoint and its log.", requires(Permission.MANAGE_TEAM))
    async def delete_webhook_endpoint(self, info: Info, input: WebhookEndpointInput) -> WebhookEndpointPayload:
        async def work() -> WebhookEndpointPayload:
            await webhook_resolvers.delete_endpoint(info.context, input.endpoint_id)
            return _no_endpoint([])

        return await told(work(), _no_endpoint)

    @writing("Give an endpoint a fresh signing secret; the old one signs no more.", requires(Permission.MANAGE_TEAM))
    async def rotate_webhook_secret(self, info: Info, input: WebhookEndpointInput) -> WebhookEndpointPayload:
        async def work() -> WebhookEndpointPayload:
            endpoint, secret = await webhook_resolvers.rotate_secret(info.context, input.endpoint_id)
            return WebhookEndpointPayload(endpoint=endpoint, secret=secret, errors=[])

        return await told(work(), _no_endpoint)

    @writing("Send an endpoint a test.", requires(Permission.MANAGE_TEAM))
    async def test_webhook_endpoint(self, info: Info, input: WebhookEndpointInput) -> TestWebhookEndpointPayload:
        async def work() -> TestWebhookEndpointPayload:
            job = await webhook_resolvers.test_endpoint(info.context, input.endpoint_id)
            return TestWebhookEndpointPayload(job=job, errors=[])

        return await told(work(), lambda errors: TestWebhookEndpointPayload(job=None, errors=errors))

    @writing("Send an endpoint everything after a cursor again, in order.", requires(Permission.MANAGE_TEAM))
    async def replay_webhook_endpoint(self, info: Info, input: ReplayWebhookEndpointInput) -> WebhookEndpointPayload:
        async def work() -> WebhookEndpointPayload:
            endpoint = await webhook_resolvers.replay(info.context, input)
            return WebhookEndpointPayload(endpoint=endpoint, secret=None, errors=[])

        return await told(work(), _no_endpoint)


def _no_endpoint(errors: list[UserError]) -> WebhookEndpointPayload:
    return WebhookEndpointPayload(endpoint=None, secret=None, errors=errors)


async def _imported(work: Awaitable[Outcome]) -> ImportActivitiesPayload:
    return ImportActivitiesPayload.of(await work)


@strawberry.type(description="What can be subscribed to.")
class Subscription(LiveCallSubscription, AccoladeSubscription):
    @strawberry.subscription(
        description="A job as it stands, again at every change, until it has ended.",
        permission_classes=[requires_scope(TokenScope.READ)],
    )
    async def job_progress(self, info: Info, job_id: strawberry.ID) -> AsyncGenerator[Job, None]:
        async for job in guarded(job_resolvers.watch_job(info.context, job_id), info.context.request_id):
            yield job

    @strawberry.subscription(
        description="Every goal event after the cursor, in order, then live; without a cursor from now on. Each is "
        "given if the viewer may see the goal when it is sent.",
        permission_classes=[requires_scope(TokenScope.READ)],
    )
    async def goal_events(
        self, info: Info, after: str | None = None, filter: GoalFilter | None = None
    ) -> AsyncGenerator[GoalEvent, None]:
        # api/streaming.py takes a shorter way, from the same source.
        wanted = goal_resolvers.filter_of(filter)
        source = watch_goal_events(info.context, after, wanted)
        async for _moment, entries in guarded(source, info.context.request_id):
            for entry in entries:
                yield GoalEvent.of(entry.event)

    @strawberry.subscription(
        description="The team's dashboard, at once and whenever its numbers have changed: at most once a second, and "
        "always the last state.",
        permission_classes=[requires_scope(TokenScope.READ)],
    )
    async def metrics_updated(
        self,
        info: Info,
        range: RangeInput,
        group_id: strawberry.ID | None = None,
        metrics: list[Metric] | None = None,
    ) -> AsyncGenerator[TeamDashboard, None]:
        async def states() -> AsyncGenerator[TeamDashboard, None]:
            async for _moment in watch_numbers(info.context):
                yield TeamDashboard(
                    question=await ask_team(info, range, periods.Comparison.PREVIOUS_PERIOD, group_id, metrics)
                )

        async for state in guarded(states(), info.context.request_id):
            yield state


class SidelineSchema(strawberry.Schema):
    """The schema; its errors are logged by api/errors.py alone, which knows the expected ones."""

    def process_errors(self, errors: Any, execution_context: Any = None) -> None:
        """Nothing: see api/errors.py."""


schema = SidelineSchema(
    query=Query,
    mutation=Mutation,
    subscription=Subscription,
    types=[*ACTIVITY_TYPES],
    config=StrawberryConfig(scalar_map=SCALARS),
    execution_context_class=SidelineExecutor,
    extensions=[
        OneErrorPlace,
        KnownDocuments,
    ],
)
describe(schema._schema)
