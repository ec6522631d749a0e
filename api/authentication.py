"""Who is at the other end: a bearer token, a JWT of the issuer, or a browser's session."""

from __future__ import annotations

import hashlib
import hmac
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from api.loading import Loader
from api.oidc import OidcIssuer
from domain.database import ALL_TEAMS, acquire
from domain.errors import Forbidden, Unauthenticated
from domain.identity import Identity, identify_by_digests, identify_by_email
from domain.models.tokens import TokenKind
from domain.tokens import PREFIX, digest_of

SESSION_COOKIE = "sideline_session"
CSRF_HEADER = "x-sideline-csrf"
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_JWT_DOTS = 2


def unauthenticated() -> Unauthenticated:
    """The one refusal: unknown, expired and revoked look the same."""
    return Unauthenticated("Sign in: give a valid token as `Authorization: Bearer …`.")


def csrf_token(session: str) -> str:
    """The CSRF token of a session, made from its secret, so that any process can check it."""
    return hmac.new(session.encode(), b"csrf", hashlib.sha256).hexdigest()


async def authenticate(connection: HTTPConnection) -> Identity:
    """The user behind a request.

    Raises:
        Unauthenticated: there is no valid credential.
        Forbidden: a browser's request lacks its CSRF token, or comes from elsewhere.
        Unavailable: the identity provider's keys cannot be had.
    """
    header = connection.headers.get("authorization")
    if header is not None:
        return await authenticate_header(connection, header)
    session = connection.cookies.get(SESSION_COOKIE)
    if not session:
        raise unauthenticated()
    identity = await _by_token(connection, session, TokenKind.SESSION)
    _check_same_site(connection, session)
    return identity


def credential_of(connection: HTTPConnection) -> str:
    """What a request shows to prove who is asking; not proven by being shown."""
    return connection.headers.get("authorization") or f"session {connection.cookies.get(SESSION_COOKIE, '')}"


async def authenticate_header(connection: HTTPConnection, header: str) -> Identity:
    """The user behind the value of an `Authorization` header.

    Raises:
        Unauthenticated: it holds no valid credential.
        Unavailable: the identity provider's keys cannot be had.
    """
    scheme, _, credential = header.strip().partition(" ")
    credential = credential.strip()
    if scheme.lower() != "bearer" or not credential.isascii():
        raise unauthenticated()
    if credential.startswith(PREFIX):
        return await _by_token(connection, credential, TokenKind.API)
    issuer: OidcIssuer | None = connection.app.state.oidc
    if issuer is None or credential.count(".") != _JWT_DOTS:
        raise unauthenticated()
    try:
        email, expires_at = await issuer.verify(credential)
    except Unauthenticated as error:
        raise unauthenticated() from error
    async with acquire(ALL_TEAMS) as database:
        identity = await identify_by_email(database, email, team_id=issuer.team_id, expires_at=expires_at)
    if identity is None:
        raise unauthenticated()
    return identity


async def _look_up(digests: list[str]) -> list[Identity | None]:
    async with acquire(ALL_TEAMS) as database:
        found = await identify_by_digests(database, list(dict.fromkeys(digests)))
    return [found.get(digest) for digest in digests]


def identities() -> Loader[str, Identity | None]:
    """Looks up the tokens that are asked for at the same moment in one statement; nothing is kept."""
    return Loader(_look_up, keep=False)


async def _by_token(connection: HTTPConnection, text: str, kind: TokenKind) -> Identity:
    identity: Identity | None = await connection.app.state.identities.load(digest_of(text))
    # A session's secret is of no use in a header, nor a token in a cookie: each has the other's protection to lose.
    if identity is None or identity.token_kind is not kind:
        raise unauthenticated()
    return identity


def _same_site(origin: str, host: str | None) -> bool:
    """Whether a page of an origin belongs to the host that was asked."""
    try:
        found = urlsplit(origin).netloc
    except ValueError:
        return False  # No address at all.
    return bool(found) and found == host


def _check_same_site(connection: HTTPConnection, session: str) -> None:
    origin = connection.headers.get("origin")
    websocket = connection.scope["type"] == "websocket"
    if (origin is not None or websocket) and not _same_site(origin or "", connection.headers.get("host")):
        raise Forbidden("This page may not act for the signed-in person.", permission="origin")
    if websocket or connection.scope["method"] in _SAFE_METHODS:
        return
    given = connection.headers.get(CSRF_HEADER, "")
    if not hmac.compare_digest(given.encode(), csrf_token(session).encode()):
        raise Forbidden(
            "A browser's request needs the header X-Sideline-CSRF with the csrfToken of GET /session.",
            permission="csrf",
        )
