"""GraphQL over HTTP, WebSocket and server-sent events, and the GraphiQL page, at one address."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
from cross_web import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL

from api.authentication import authenticate, credential_of
from api.context import Context
from api.errors import GRAPHQL_MEDIA_TYPE, error_response
from api.schema.root import schema
from api.sse import respond, wants_events
from api.websockets import TransportSocket
from domain.errors import DomainError, Invalid

BODY_LIMIT_BYTES = 16 * 2**20
PAGE_FOLDER = Path(__file__).parent / "static" / "graphiql"


class BodyTooLarge(Exception):
    """A request's body is larger than is read."""


def _limited(receive: Receive) -> Receive:
    seen = 0

    async def counted() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > BODY_LIMIT_BYTES:
            raise BodyTooLarge
        return message

    return counted


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
        request = Request(scope, _limited(receive))
        response = await self._respond(request)
        await response(scope, receive, send)

    async def _respond(self, request: Request) -> Response:
        if request.method == "GET" and "query" not in request.query_params and _wants_page(request):
            return page()
        try:
            request.state.viewer = await authenticate(request)
            if wants_events(request):
                return await respond(await self.get_context(request, Response()), request)
            response = await self.run(request)
        except DomainError as error:
            response = error_response(error, media_type=_media_type(request))
        except HTTPException as error:
            body = orjson.dumps({"errors": [{"message": error.reason, "extensions": {"code": "BAD_REQUEST"}}]})
            response = Response(body, status_code=error.status_code, media_type=_media_type(request))
        except BodyTooLarge:
            refusal = Invalid(f"The body has more than {BODY_LIMIT_BYTES} bytes; send less at once.")
            response = error_response(refusal, media_type=_media_type(request))
            response.status_code = 413
        response.headers.setdefault("cache-control", "no-store")
        return response

    async def get_context(self, request: Request | WebSocket, response: Response | WebSocket) -> Any:
        """The context of a request."""
        assert isinstance(request, Request), "WebSockets are served by api/websockets.py"
        queue = request.app.state.queue
        viewer, credential = request.state.viewer, credential_of(request)
        context = Context(viewer, datetime.now(UTC), request, lambda: authenticate(request), queue, credential)
        if isinstance(response, Response):
            response.headers["x-request-id"] = context.request_id
        return context

    async def get_sub_response(self, request: Request | WebSocket) -> Response:
        """Carries the media type that the client asked for."""
        response = await super().get_sub_response(request)
        response.media_type = _media_type(request)
        return response

    def create_response(self, response_data: Any, sub_response: Response) -> Response:
        """The answer; with the GraphQL media type, a request that could not be executed is a 400."""
        status = sub_response.status_code or 200
        media_type = sub_response.media_type or "application/json"
        failed = isinstance(response_data, dict) and response_data.get("errors") and response_data.get("data") is None
        if (
            failed
            and media_type == GRAPHQL_MEDIA_TYPE
            and all("path" not in error for error in response_data["errors"])
        ):
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
