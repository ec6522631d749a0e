"""GraphQL over HTTP, WebSocket and server-sent events, and the GraphiQL page, at one address."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import structlog
from cross_web import HTTPException as RequestRefused
from graphql import GraphQLError
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL
from strawberry.http import GraphQLRequestData
from strawberry.types import ExecutionResult
from strawberry.types.execution import PreExecutionError

from api.admission import admit, bounded, trusted_text
from api.authentication import authenticate, credential_of
from api.budget import BudgetSpent
from api.context import Context
from api.errors import GRAPHQL_MEDIA_TYPE, error_response, refusal_response, request_id_of, to_graphql_error
from api.gauges import count_operation
from api.reading import asked_in_address, check_operation, decode_object
from api.schema.root import schema
from api.sse import respond, wants_events
from api.traces import tell_operation
from api.turns import RETRY_SECONDS, TooManyAtOnce
from api.websockets import TransportSocket
from domain.errors import DomainError, Invalid, TooSlow

log = structlog.get_logger(__name__)

BODY_LIMIT_BYTES = 16 * 2**20
PAGE_FOLDER = Path(__file__).parent / "static" / "graphiql"


class BodyTooLarge(Exception):
    """A request's body is larger than is read."""


class _Body:
    """A request's body as it comes, up to `BODY_LIMIT_BYTES`.

    Args:
        receive: The server's.
        complete: There is none to wait for.
    """

    def __init__(self, receive: Receive, *, complete: bool) -> None:
        self._receive = receive
        self._seen = 0
        self._complete = asyncio.Event()
        if complete:
            self._complete.set()

    async def receive(self) -> Message:
        """The next piece.

        Raises:
            BodyTooLarge: it is more than is read.
        """
        message = await self._receive()
        self._seen += len(message.get("body", b""))
        if self._seen > BODY_LIMIT_BYTES:
            raise BodyTooLarge
        if not message.get("more_body", False):
            self._complete.set()
        return message

    async def gone(self) -> None:
        """Wait until the client has left; what it sends after its request is not read by anybody else."""
        await self._complete.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass


async def _while_connected(work: Coroutine[Any, Any, Response], body: _Body) -> Response | None:
    """What `work` brings; None, and no more work, once the client has left."""
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(body.gone())
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            leaving.result()
            log.info("request.client_gone")
            return None
        return working.result()
    finally:
        leaving.cancel()
        working.cancel()
        # What was cancelled lets go of its connection to PostgreSQL before the request is over.
        await asyncio.wait((working, leaving))


def _media_type(request: HTTPConnection) -> str:
    return GRAPHQL_MEDIA_TYPE if GRAPHQL_MEDIA_TYPE in request.headers.get("accept", "") else "application/json"


class GraphQLEndpoint(GraphQL[Any, Any]):
    """`/graphql`: authenticates, then answers."""

    def __init__(self) -> None:
        super().__init__(schema, graphql_ide=None, subscription_protocols=())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI application."""
        if scope["type"] == "websocket":
            await TransportSocket(WebSocket(scope, receive=receive, send=send), send).serve()
            return
        body = _Body(receive, complete=scope["method"] == "GET")
        with scope["app"].state.turns.request():
            response = await _while_connected(self._respond(Request(scope, body.receive)), body)
        if response is not None:
            await response(scope, receive, send)

    async def _respond(self, request: Request) -> Response:
        if request.method == "GET" and "query" not in request.query_params and _wants_page(request):
            if not request.app.state.settings.graphiql:
                raise HTTPException(404, "GraphiQL is switched off here.")
            return page()
        request_id = request_id_of(request.scope)
        try:
            request.state.viewer = await authenticate(request)
            if wants_events(request):
                return await respond(await self.get_context(request, Response()), request)
            response = await self.run(request)
        except DomainError as error:
            response = error_response(error, request_id, media_type=_media_type(request))
        except RequestRefused as error:
            extensions = {"code": "BAD_REQUEST"}
            response = refusal_response(
                error.status_code, error.reason, extensions, request_id, media_type=_media_type(request)
            )
        except BodyTooLarge:
            refusal = Invalid(f"The body has more than {BODY_LIMIT_BYTES} bytes; send less at once.")
            response = error_response(refusal, request_id, media_type=_media_type(request))
            response.status_code = 413
        response.headers.setdefault("cache-control", "no-store")
        return response

    async def get_context(self, request: Request | WebSocket, response: Response | WebSocket) -> Any:
        """The context of a request."""
        assert isinstance(request, Request), "WebSockets are served by api/websockets.py"
        queue = request.app.state.queue
        viewer, credential = request.state.viewer, credential_of(request)
        context = Context(
            viewer,
            datetime.now(UTC),
            request,
            lambda: authenticate(request),
            queue,
            credential,
            request_id=request_id_of(request.scope),
        )
        if isinstance(response, Response):
            response.headers["x-request-id"] = context.request_id
        return context

    def should_render_graphql_ide(self, request: Any) -> bool:
        """Never: who wants the page has it by now, and a GET without a text may name a trusted document by its hash."""
        return False

    def parse_query_params(self, params: Any) -> dict[str, Any]:
        """What an address asks for."""
        return asked_in_address(params)

    def parse_json(self, data: str | bytes) -> dict[str, Any]:
        """What a body asks for."""
        asked = decode_object(data, "body")
        check_operation(asked)
        return asked

    async def execute_single(
        self,
        request: Any,
        request_adapter: Any,
        sub_response: Response,
        context: Any,
        root_value: Any,
        request_data: GraphQLRequestData,
    ) -> Any:
        """Execute an operation that has been let in, within its time."""
        try:
            if request_data.query is None:
                request_data.query = await trusted_text(context, request_data.extensions)
            admitted = await admit(context, request_data.query, request_data.operation_name, request_data.variables)
            cost = admitted.cost if admitted is not None else 0
            tell_operation(context, request_data.operation_name, cost)
            async with bounded(context, admitted):
                result = await super().execute_single(
                    request, request_adapter, sub_response, context, root_value, request_data
                )
        except (BudgetSpent, TooManyAtOnce, TooSlow) as error:
            sub_response.status_code = 503 if isinstance(error, TooSlow) else 429
            if isinstance(error, BudgetSpent):
                sub_response.headers.update(error.spent.headers())
                sub_response.headers["retry-after"] = str(error.spent.seconds)
            elif isinstance(error, TooManyAtOnce):
                sub_response.headers["retry-after"] = str(RETRY_SECONDS)
            told = GraphQLError(error.message, original_error=error)
            return ExecutionResult(None, [to_graphql_error(told, context.request_id)])
        except GraphQLError as error:
            return ExecutionResult(None, [to_graphql_error(error, context.request_id)])
        if isinstance(result, PreExecutionError):
            # Strawberry tells what it could not parse past its extensions.
            result.errors = [
                error if (error.extensions or {}).get("requestId") else to_graphql_error(error, context.request_id)
                for error in result.errors or ()
            ]
        if admitted is not None:
            result.extensions = {**(result.extensions or {}), "cost": admitted.told(context.limits)}
            if admitted.spent is not None:
                sub_response.headers.update(admitted.spent.headers())
        return result

    async def get_sub_response(self, request: Request | WebSocket) -> Response:
        """Carries the media type that the client asked for."""
        response = await super().get_sub_response(request)
        response.media_type = _media_type(request)
        return response

    def create_response(self, response_data: Any, sub_response: Response) -> Response:
        """The answer. A request that could not be executed has no `data`, and with the GraphQL media type is a 400."""
        status = sub_response.status_code or 200
        media_type = sub_response.media_type or "application/json"
        count_operation(response_data)
        if (
            isinstance(response_data, dict)
            and response_data.get("errors")
            and response_data.get("data") is None
            and all("path" not in error for error in response_data["errors"])
        ):
            response_data.pop("data", None)
            if media_type == GRAPHQL_MEDIA_TYPE and status == 200:
                status = 400
        response = Response(orjson.dumps(response_data), status_code=status, media_type=media_type)
        response.headers.raw.extend(sub_response.headers.raw)
        return response


def _wants_page(request: Request) -> bool:
    return "text/html" in request.headers.get("accept", "")


def page() -> Response:
    """The GraphiQL page, under the policy that its build states."""
    file, policy = PAGE_FOLDER / "index.html", PAGE_FOLDER / "csp.txt"
    return Response(
        file.read_bytes(),
        media_type="text/html",
        headers={
            "content-security-policy": policy.read_text().strip(),
            "x-content-type-options": "nosniff",
            "referrer-policy": "no-referrer",
            "cache-control": "no-cache",
        },
    )
