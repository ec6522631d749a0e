"""Reading, granting and revoking accolades, and their rules."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any
from uuid import UUID

from api.context import Context
from api.resolvers.goals import FILTER_LIMIT
from api.schema.nodes import Connection, connection_read
from api.subscriptions import watch_accolades
from domain import accolades
from domain.accolades import AccoladeFilter, AccoladeView, GrantAccolade, Rule, SetRule
from domain.errors import Invalid, NotFound
from domain.ids import decode_any_id, decode_id
from domain.paging import page_request

if TYPE_CHECKING:
    from api.schema.accolades import (
        Accolade,
        AccoladeEvent,
        GrantAccoladeInput,
        RemoveAccoladeRuleInput,
        RevokeAccoladeInput,
        SetAccoladeRuleInput,
    )


async def accolades_connection(
    context: Context, wanted: AccoladeFilter, first: int | None, after: str | None
) -> Connection[Accolade]:
    """A page of the accolades of people in sight.

    Raises:
        Invalid: the page does not fit, or the filter names too many ids.
    """
    from api.schema.accolades import Accolade

    for ids in (wanted.user_ids, wanted.rule_ids):
        if ids is not None and len(ids) > FILTER_LIMIT:
            raise Invalid(f"filter: at most {FILTER_LIMIT} ids at once.", path=("filter",))
    sight = await context.users_in_sight()

    request = page_request(first, after)
    return await connection_read(
        context.acquire,
        lambda connection: accolades.list_accolades(connection, sight, wanted, request),
        lambda connection: accolades.count_accolades(connection, sight, wanted),
        Accolade.of,
    )


async def list_rules(context: Context, *, include_removed: bool) -> list[Rule]:
    """The team's rules."""
    async with context.acquire() as connection:
        return await accolades.list_rules(connection, context.viewer.team_id, include_removed=include_removed)


async def find_accolade(context: Context, row_id: UUID) -> Any:
    """An accolade of somebody in sight, or None."""
    from api.schema.accolades import Accolade

    sight = await context.users_in_sight()
    async with context.acquire() as connection:
        found = (await accolades.accolades_by_id(connection, sight, [row_id])).get(row_id)
    return None if found is None else Accolade.of(found)


async def find_rule(context: Context, row_id: UUID) -> Any:
    """A rule of the team's, or None."""
    from api.schema.accolades import AccoladeRule

    async with context.acquire() as connection:
        found = (await accolades.rules_by_id(connection, context.viewer.team_id, [row_id])).get(row_id)
    return None if found is None else AccoladeRule.of(found)


def _rule_id(given: str) -> UUID:
    decoded = decode_any_id(given)
    if decoded is None or decoded[0] != "AccoladeRule":
        raise NotFound("No such accolade rule.", path=("input", "ruleId"))
    return decoded[1]


async def set_rule(context: Context, given: SetAccoladeRuleInput) -> Rule:
    """Make or change a rule. Raises what domain.accolades.set_rule does."""
    request = SetRule(
        rule_id=None if given.rule_id is None else _rule_id(given.rule_id),
        name=given.name,
        kind=given.kind,
        description=given.description,
        metric=None if given.metric is None else given.metric.value,
        score_kind=given.score_kind,
        minimum_score=given.minimum_score,
        period=given.period,
        levels=tuple(given.levels or ()),
        counts_from=given.counts_from,
        expected_version=given.expected_version,
        idempotency_key=given.idempotency_key,
    )

    async def work(connection: Any) -> Rule:
        return await accolades.set_rule(connection, context.viewer, request, context.now)

    return await context.in_transaction(work)


async def remove_rule(context: Context, given: RemoveAccoladeRuleInput) -> Rule:
    """Remove a rule. Raises what domain.accolades.remove_rule does."""
    rule_id = _rule_id(given.rule_id)

    async def work(connection: Any) -> Rule:
        return await accolades.remove_rule(connection, context.viewer, rule_id, expected_version=given.expected_version)

    return await context.in_transaction(work)


async def grant(context: Context, given: GrantAccoladeInput) -> AccoladeView:
    """Grant by hand. Raises what domain.accolades.grant_by_hand does."""
    request = GrantAccolade(
        decode_id(given.user_id, "User", path=("input", "userId")),
        given.title,
        given.message,
        given.achieved_on,
        given.idempotency_key,
    )

    async def work(connection: Any) -> AccoladeView:
        return await accolades.grant_by_hand(connection, context.viewer, request, context.now)

    return await context.in_transaction(work)


async def revoke(context: Context, given: RevokeAccoladeInput) -> AccoladeView:
    """Take an accolade back. Raises what domain.accolades.revoke does."""
    accolade_id = decode_id(given.accolade_id, "Accolade", path=("input", "accoladeId"))

    async def work(connection: Any) -> AccoladeView:
        return await accolades.revoke(connection, context.viewer, accolade_id, given.reason, context.now)

    return await context.in_transaction(work)


async def accolade_events(context: Context, after: str | None) -> AsyncGenerator[AccoladeEvent, None]:
    """Every event of an accolade after a cursor, then live. Raises what api.subscriptions.watch_accolades does."""
    from api.schema.accolades import AccoladeEvent

    async for stored, accolade in watch_accolades(context, after):
        yield AccoladeEvent.of(stored, accolade)
