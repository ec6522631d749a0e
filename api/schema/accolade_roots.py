"""What can be asked, changed and subscribed to about accolades."""

from collections.abc import AsyncGenerator

import strawberry

from api.errors import guarded
from api.permissions import requires, requires_scope
from api.resolvers import accolades as resolvers
from api.schema.accolades import (
    Accolade,
    AccoladeEvent,
    AccoladeFilter,
    AccoladePayload,
    AccoladeRule,
    AccoladeRulePayload,
    GrantAccoladeInput,
    RemoveAccoladeRuleInput,
    RevokeAccoladeInput,
    SetAccoladeRuleInput,
)
from api.schema.errors import UserError, told
from api.schema.fields import Info, reading, writing
from api.schema.nodes import Connection
from domain import accolades as domain_accolades
from domain.models.people import Permission
from domain.models.tokens import TokenScope


@strawberry.type
class AccoladeQuery:
    """Fields of Query."""

    @reading("What the viewer has earned, and with TEAM_VIEW those in scope; the newest first.")
    async def accolades(
        self, info: Info, first: int | None = None, after: str | None = None, filter: AccoladeFilter | None = None
    ) -> Connection[Accolade]:
        wanted = domain_accolades.AccoladeFilter() if filter is None else filter.to_domain()
        return await resolvers.accolades_connection(info.context, wanted, first, after)

    @reading("What earns an accolade on the team, the oldest rule first; for everybody to know.")
    async def accolade_rules(self, info: Info, include_removed: bool | None = False) -> list[AccoladeRule]:
        found = await resolvers.list_rules(info.context, include_removed=bool(include_removed))
        return [AccoladeRule.of(rule) for rule in found]


@strawberry.type
class AccoladeMutation:
    """Fields of Mutation."""

    @writing("Make or change a rule that grants accolades.", requires(Permission.MANAGE_TEAM))
    async def set_accolade_rule(self, info: Info, input: SetAccoladeRuleInput) -> AccoladeRulePayload:
        async def work() -> AccoladeRulePayload:
            return AccoladeRulePayload(rule=AccoladeRule.of(await resolvers.set_rule(info.context, input)), errors=[])

        return await told(work(), _no_rule)

    @writing("Grant nothing more by a rule; what it granted stays.", requires(Permission.MANAGE_TEAM))
    async def remove_accolade_rule(self, info: Info, input: RemoveAccoladeRuleInput) -> AccoladeRulePayload:
        async def work() -> AccoladeRulePayload:
            rule = await resolvers.remove_rule(info.context, input)
            return AccoladeRulePayload(rule=AccoladeRule.of(rule), errors=[])

        return await told(work(), _no_rule)

    @writing("Grant somebody in your scope an accolade by hand.", requires(Permission.TEAM_VIEW))
    async def grant_accolade(self, info: Info, input: GrantAccoladeInput) -> AccoladePayload:
        async def work() -> AccoladePayload:
            return AccoladePayload(accolade=Accolade.of(await resolvers.grant(info.context, input)), errors=[])

        return await told(work(), _no_accolade)

    @writing("Take an accolade back: one that you granted; any in your scope with MANAGE_TEAM.")
    async def revoke_accolade(self, info: Info, input: RevokeAccoladeInput) -> AccoladePayload:
        async def work() -> AccoladePayload:
            return AccoladePayload(accolade=Accolade.of(await resolvers.revoke(info.context, input)), errors=[])

        return await told(work(), _no_accolade)


@strawberry.type
class AccoladeSubscription:
    """Fields of Subscription."""

    @strawberry.subscription(
        description="Every grant and revocation of an accolade after the cursor, in order, then live; without a cursor "
        "from now on. Each is given if the viewer may see the person's data when it is sent. Cursors are those of "
        "goalEvents: both tell of one sequence.",
        permission_classes=[requires_scope(TokenScope.READ)],
    )
    async def accolade_events(self, info: Info, after: str | None = None) -> AsyncGenerator[AccoladeEvent, None]:
        async for event in guarded(resolvers.accolade_events(info.context, after), info.context.request_id):
            yield event


def _no_rule(errors: list[UserError]) -> AccoladeRulePayload:
    return AccoladeRulePayload(rule=None, errors=errors)


def _no_accolade(errors: list[UserError]) -> AccoladePayload:
    return AccoladePayload(accolade=None, errors=errors)
