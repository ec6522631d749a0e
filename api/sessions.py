"""A browser's session, for GraphiQL: signed in with a token, or as a demo person in demo mode."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from api.authentication import SESSION_COOKIE, authenticate, authenticate_header, csrf_token, unauthenticated
from api.errors import error_response, request_id_of
from domain import people
from domain.database import ALL_TEAMS, acquire, transaction
from domain.errors import DomainError, Invalid, Unauthenticated
from domain.identity import Identity
from domain.models.tokens import TokenKind
from domain.settings import Settings
from domain.tokens import create_token, revoke_token

SESSION_HOURS = 12
BODY_LIMIT_BYTES = 65_536


class SignIn(msgspec.Struct, forbid_unknown_fields=True):
    """The body of `POST /session`: one of the two."""

    token: str | None = None
    person: str | None = None


def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


async def _state(request: Request, identity: Identity | None, session: str | None) -> dict[str, Any]:
    demo: list[dict[str, str]] = []
    if _settings(request).demo:
        async with acquire(ALL_TEAMS) as connection:
            found = await people.demo_people(connection)
        demo = [{"email": one.email, "name": one.name, "role": one.role, "team": one.team} for one in found]
    user = None
    if identity is not None:
        user = {
            "name": identity.user_name,
            "email": identity.user_email,
            "team": identity.team_name,
            "role": identity.role_name,
        }
    return {
        "signedIn": identity is not None,
        "user": user,
        "csrfToken": csrf_token(session) if identity is not None and session else None,
        "demo": _settings(request).demo,
        "people": demo,
    }


def _answer(body: dict[str, Any]) -> JSONResponse:
    return JSONResponse(body, headers={"cache-control": "no-store"})


async def show(request: Request) -> Response:
    """`GET /session`: who is signed in, and whom a demo lets one be."""
    session = request.cookies.get(SESSION_COOKIE)
    identity = None
    if session:
        try:
            identity = await authenticate(request)
        except Unauthenticated:
            identity = None  # An old cookie is as good as none.
    return _answer(await _state(request, identity, session))


async def _read(request: Request) -> SignIn:
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > BODY_LIMIT_BYTES:
            raise Invalid(f"At most {BODY_LIMIT_BYTES} bytes.")
    try:
        wanted = msgspec.json.decode(bytes(body), type=SignIn)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Invalid(f'Give {{"token": "…"}} or, in demo mode, {{"person": "…"}}: {error}.') from error
    if (wanted.token is None) == (wanted.person is None):
        raise Invalid("Give exactly one of token and person.", path=("token",))
    return wanted


async def _wanted_identity(request: Request, wanted: SignIn) -> Identity:
    if wanted.token is not None:
        return await authenticate_header(request, f"Bearer {wanted.token}")
    if _settings(request).demo:
        async with acquire(ALL_TEAMS) as connection:
            identity = await people.demo_identity(connection, wanted.person or "")
        if identity is not None:
            return identity
    raise unauthenticated()


async def sign_in(request: Request) -> Response:
    """`POST /session`: sign in. The token's scopes become the session's."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        # A form of another site can send anything but this.
        raise Invalid("Send JSON with the content type application/json.", path=("content-type",))
    wanted = await _read(request)
    identity = await _wanted_identity(request, wanted)
    ends = datetime.now(UTC) + timedelta(hours=SESSION_HOURS)
    if identity.expires_at is not None:
        ends = min(ends, identity.expires_at)
    async with transaction(ALL_TEAMS) as connection:
        created = await create_token(
            connection,
            identity.team_id,
            identity.user_id,
            name="Browser session",
            kind=TokenKind.SESSION,
            scopes=identity.scopes,
            expires_at=ends,
        )
    response = _answer(await _state(request, identity, created.text))
    response.set_cookie(
        SESSION_COOKIE,
        created.text,
        max_age=int((ends - datetime.now(UTC)).total_seconds()),
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
        path="/",
    )
    return response


async def sign_out(request: Request) -> Response:
    """`DELETE /session`: end the session, here and at the server."""
    if request.cookies.get(SESSION_COOKIE):
        try:
            identity = await authenticate(request)
        except Unauthenticated:
            identity = None  # It had ended already.
        if identity is not None and identity.token_id is not None:
            async with transaction(ALL_TEAMS) as connection:
                await revoke_token(connection, identity.team_id, identity.token_id)
    response = Response(status_code=204)
    response.delete_cookie(SESSION_COOKIE, path="/", httponly=True, samesite="strict")
    return response


async def session_endpoint(request: Request) -> Response:
    """One address, three methods."""
    handler = {"POST": sign_in, "DELETE": sign_out}.get(request.method, show)
    try:
        return await handler(request)
    except DomainError as error:
        return error_response(error, request_id_of(request.scope))


session_routes = [Route("/session", session_endpoint, methods=["GET", "POST", "DELETE"])]
