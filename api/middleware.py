"""Around every HTTP request: a body comes in time or is given up, and whatever goes wrong is answered with a code."""

from __future__ import annotations

import asyncio

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import failure_response, request_id_of
from api.reading import BodyTooSlow

BODY_SECONDS = 15.0
"""What a body may take altogether to come, beyond its due at `SLOWEST_BYTES_PER_SECOND`."""
SLOWEST_BYTES_PER_SECOND = 1_024


class ErrorBoundary:
    """What no endpoint has caught becomes an answer with a code and a request id; the log has the rest.

    Args:
        app: What answers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI application."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def noted(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, noted)
        except ClientDisconnect:
            # Nobody is there to read an answer. The server is to close what was begun.
            if started:
                raise
        except Exception as error:
            if started:
                raise
            await failure_response(error, request_id_of(scope))(scope, receive, send)


class PatientBodies:
    """Waits for bodies, with an end to it. The time that the application takes is not the client's.

    Args:
        app: What reads them.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI application."""
        await self._app(scope, patient(receive) if scope["type"] == "http" else receive, send)


def patient(receive: Receive) -> Receive:
    """The same, raising `BodyTooSlow` when the body does not come."""
    loop = asyncio.get_running_loop()
    seen, waited, complete = 0, 0.0, False

    async def timed() -> Message:
        nonlocal seen, waited, complete
        if complete:
            # What comes now is the end of the connection, which may take its time.
            return await receive()
        began = loop.time()
        try:
            async with asyncio.timeout(BODY_SECONDS + seen / SLOWEST_BYTES_PER_SECOND - waited):
                message = await receive()
        except TimeoutError as error:
            raise BodyTooSlow("The body came too slowly and was given up: send it again.") from error
        waited += loop.time() - began
        seen += len(message.get("body", b""))
        complete = not message.get("more_body", False)
        return message

    return timed
