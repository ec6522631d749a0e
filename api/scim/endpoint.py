"""Every request under `/scim/v2`: authenticated, counted, bounded in time, and answered in SCIM's own terms."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import TypeAlias

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api.admission import Admitted, bounded
from api.authentication import authenticate, credential_of
from api.budget import spend
from api.context import Context
from api.errors import request_id_of
from api.reading import BodyTooSlow
from api.scim import discovery, groups, search, users
from api.scim.calls import Call
from api.scim.errors import Refusal, error_response
from domain import access
from domain.models.people import Permission
from domain.models.tokens import TokenScope
from domain.settings import Settings

READING_COST = 100
CHANGE_COST = 500
"""What a request takes from its credential's budget, beside GraphQL's."""

Handler: TypeAlias = Callable[[Call], Awaitable[Response]]


async def _no_bulk(_call: Call) -> Response:
    raise Refusal(501, "Bulk: send one request for each.")


async def _nobody(_call: Call) -> Response:
    raise Refusal(501, "/Me: the token is a service's, not a person's; ask for /Users.")


def _handlers(segments: list[str]) -> Mapping[str, Handler]:
    """The handlers of an address, by method; none where there is no such address."""
    match segments:
        case []:
            return {"GET": search.everything}
        case [".search"]:
            return {"POST": search.search_everything}
        case ["Users"]:
            return {"GET": search.people, "POST": users.create}
        case ["Users", ".search"]:
            return {"POST": search.search_people}
        case ["Users", given_id]:
            return {
                "GET": partial(users.read, given_id=given_id),
                "PUT": partial(users.put, given_id=given_id),
                "PATCH": partial(users.patch, given_id=given_id),
                "DELETE": partial(users.remove, given_id=given_id),
            }
        case ["Groups"]:
            return {"GET": search.teams_groups, "POST": groups.create}
        case ["Groups", ".search"]:
            return {"POST": search.search_groups}
        case ["Groups", given_id]:
            return {
                "GET": partial(groups.read, given_id=given_id),
                "PUT": partial(groups.put, given_id=given_id),
                "PATCH": partial(groups.patch, given_id=given_id),
                "DELETE": partial(groups.remove, given_id=given_id),
            }
        case ["ServiceProviderConfig"]:
            return {"GET": discovery.service_provider_config}
        case ["ResourceTypes"]:
            return {"GET": discovery.resource_types}
        case ["ResourceTypes", name]:
            return {"GET": partial(discovery.resource_type, name=name)}
        case ["Schemas"]:
            return {"GET": discovery.schemas}
        case ["Schemas", urn]:
            return {"GET": partial(discovery.schema, urn=urn)}
        case ["Bulk"]:
            return {"POST": _no_bulk}
        case ["Me"]:
            return dict.fromkeys(("GET", "POST", "PUT", "PATCH", "DELETE"), _nobody)
    return {}


class ScimEndpoint:
    """`/scim/v2`: an ASGI application."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope, receive)
        response = await self._answer(request)
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        request_id = request_id_of(request.scope)
        try:
            viewer = await authenticate(request)
            context = Context(
                viewer,
                datetime.now(UTC),
                request,
                lambda: authenticate(request),
                request.app.state.queue,
                credential_of(request),
                request_id=request_id,
            )
            access.require_scope(viewer, TokenScope.SCIM)
            access.require(viewer, Permission.MANAGE_TEAM)
            cost = _cost(request)
            headers = await _spend(context, cost)
            async with bounded(context, Admitted(cost, None, writes=cost == CHANGE_COST)):
                response = await _handler(request)(Call(request, context))
            response.headers.update(headers)
        except (ClientDisconnect, BodyTooSlow):
            # The connection's own troubles are answered, if at all, where they arise.
            raise
        except Exception as error:
            response = error_response(error, request_id)
        response.headers["x-request-id"] = request_id
        return response


def _cost(request: Request) -> int:
    reading = request.method == "GET" or request.url.path.endswith("/.search")
    return READING_COST if reading else CHANGE_COST


async def _spend(context: Context, cost: int) -> dict[str, str]:
    state = context.connection.app.state
    settings: Settings = state.settings
    limit = context.viewer.cost_per_minute or settings.cost_per_minute
    async with state.spending:
        spent = await spend(state.queue, context.viewer, cost, limit)
    return {} if spent is None else spent.headers()


def _handler(request: Request) -> Handler:
    rest = request.path_params.get("path", "")
    handlers = _handlers([segment for segment in rest.split("/") if segment])
    if not handlers:
        raise Refusal(404, "There is nothing at this address.")
    handler = handlers.get(request.method)
    if handler is None:
        allowed = ", ".join(sorted(handlers))
        raise Refusal(405, f"This address takes {allowed}.", headers={"allow": allowed})
    return handler
