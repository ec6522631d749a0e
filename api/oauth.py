"""Signing in at vendors': OAuth 2, authorization code with PKCE, by Authlib.

The person who comes back must be the one who went: the state is random, lapses after some minutes, and is good only for
who began the sign-in, by the mutation `completeAuthorization` or by the browser's own session at `/oauth/callback`.
"""

from __future__ import annotations

import asyncio
import html
from datetime import UTC, datetime
from functools import partial
from typing import Any

import httpx2
from authlib.integrations.base_client import OAuthError
from authlib.integrations.httpx_client import AsyncOAuth2Client
from starlette.applications import Starlette
from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from api.authentication import authenticate
from api.errors import error_response
from api.queue import hint_job
from domain import access, integrations
from domain.access import Viewer
from domain.connectors import at_origin
from domain.database import acquire, in_transaction
from domain.errors import DomainError, Invalid, Unavailable
from domain.integrations import Authorization, Connected
from domain.models.tokens import TokenScope
from domain.settings import Settings

CALLBACK_PATH = "/oauth/callback"
EXCHANGE_SECONDS = 30.0
_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Sideline</title>
<body><h1>{title}</h1><p>{text}</p></body></html>"""


def own_redirect_uri(connection: HTTPConnection) -> str:
    """Where the API itself takes people back: below `SIDELINE_PUBLIC_URL`, or the address that they asked at."""
    base = connection.app.state.settings.public_url or str(connection.base_url)
    return base.rstrip("/") + CALLBACK_PATH


def _client(settings: Settings, authorization: Authorization) -> Any:
    oauth = authorization.manifest.oauth
    assert oauth is not None, "only connectors with a sign-in begin one"
    registration = settings.oauth_clients[authorization.manifest.kind]
    return AsyncOAuth2Client(
        registration.client_id,
        registration.client_secret.get_secret_value(),
        scope=" ".join(authorization.scopes),
        redirect_uri=authorization.redirect_uri,
        code_challenge_method="S256",
        token_endpoint_auth_method="client_secret_post",
        timeout=EXCHANGE_SECONDS,
        trust_env=False,
    )


def authorization_url(settings: Settings, authorization: Authorization) -> str:
    """Where to send the person to sign in."""
    oauth = authorization.manifest.oauth
    assert oauth is not None, "only connectors with a sign-in begin one"
    url, _ = _client(settings, authorization).create_authorization_url(
        at_origin(oauth.authorize_url, settings.connector_urls.get(authorization.manifest.kind)),
        state=authorization.state,
        code_verifier=authorization.verifier,
        **oauth.parameters,
    )
    return str(url)


async def complete(app: Starlette, viewer: Viewer, state: str, code: str) -> Connected:
    """Exchange the code that a person came back with, and keep what the vendor gives for it.

    Raises:
        NotFound: the sign-in has lapsed, or somebody else began it.
        Invalid: the vendor does not take the code.
        Unavailable: the vendor cannot be reached, or no key is set to seal secrets with.
    """
    settings, box = app.state.settings, app.state.secret_box
    async with acquire(viewer.team_id) as connection:
        integration, authorization = await integrations.find_authorization(
            connection, viewer, state, box=box, now=datetime.now(UTC)
        )
    oauth = authorization.manifest.oauth
    assert oauth is not None
    label = authorization.manifest.label
    try:
        async with asyncio.timeout(EXCHANGE_SECONDS), _client(settings, authorization) as client:
            answer = await client.fetch_token(
                at_origin(oauth.token_url, settings.connector_urls.get(authorization.manifest.kind)),
                code=code,
                code_verifier=authorization.verifier,
                grant_type="authorization_code",
            )
    except OAuthError as error:
        raise Invalid(
            f"code: {label} does not take it ({error.error}); sign in anew.", path=("input", "code")
        ) from error
    except (httpx2.HTTPError, OSError, TimeoutError, ValueError) as error:
        raise Unavailable(f"{label} cannot be reached to end the sign-in: {type(error).__name__}.") from error
    tokens = integrations.tokens_of(answer)
    base_url = None if oauth.base_url_field is None else answer.get(oauth.base_url_field)
    keep = partial(_keep, viewer=viewer, integration_id=integration.id, tokens=tokens, base_url=base_url, box=box)
    done = await in_transaction(viewer.team_id, keep)
    if done.job_id is not None:
        await hint_job(app.state.queue, done.job_id)
    return done


async def _keep(
    connection: Any, *, viewer: Viewer, integration_id: Any, tokens: Any, base_url: Any, box: Any
) -> Connected:
    return await integrations.keep_tokens(connection, viewer, integration_id, tokens, base_url=base_url, box=box)


async def callback(request: Request) -> Response:
    """Where a vendor sends a person back whose browser has a session here."""
    try:
        viewer = await authenticate(request)
        access.require_scope(viewer, TokenScope.WRITE)
        refused = request.query_params.get("error")
        if refused is not None:
            raise Invalid(f"The vendor did not let Sideline in: {refused}.", path=("error",))
        state, code = request.query_params.get("state"), request.query_params.get("code")
        if not state or not code:
            raise Invalid("state, code: the vendor sends both.", path=("state",))
        done = await complete(request.app, viewer, state, code)
    except DomainError as error:
        return error_response(error)
    text = f"{done.integration.name} is connected. You can close this page."
    return HTMLResponse(
        _PAGE.format(title="Connected", text=html.escape(text)),
        headers={
            "cache-control": "no-store",
            "referrer-policy": "no-referrer",
            "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
        },
    )


oauth_routes = [Route(CALLBACK_PATH, callback, methods=["GET"])]
