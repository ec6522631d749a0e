"""The token endpoint of a vendor with OAuth 2: codes and refresh tokens in, access tokens out (RFC 6749, 5 and 6)."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import JSONResponse, Response


class Tokens:
    """The tokens of one account.

    Args:
        scope: What is granted, as the endpoint tells it.
        rotates: Each refresh brings a new refresh token; the old one goes on working, as it does at Microsoft's.
        refused: What the endpoint answers to a grant that is not valid.
    """

    LIFETIME_SECONDS = 3600

    def __init__(self, scope: str, *, rotates: bool, refused: Callable[[str], dict[str, Any]]) -> None:
        self.scope = scope
        self.access_tokens: set[str] = set()
        self.refresh_tokens: set[str] = set()
        self.codes: set[str] = set()
        self._rotates = rotates
        self._refused = refused

    def secrets(self) -> dict[str, str]:
        """What a connection holds after somebody has signed in."""
        issued = self._issue(with_refresh=True)
        return {
            "access_token": issued["access_token"],
            "refresh_token": issued["refresh_token"],
            "expires_at": (datetime.now(UTC) + timedelta(seconds=self.LIFETIME_SECONDS)).isoformat(),
        }

    def make_code(self) -> str:
        """A code, as somebody who has agreed comes back with; it is good once."""
        code = f"code-{secrets.token_urlsafe(12)}"
        self.codes.add(code)
        return code

    def end_access(self) -> None:
        """Access tokens that are out end; refresh tokens stay."""
        self.access_tokens.clear()

    def revoke(self) -> None:
        """Whoever signed in takes it back: nothing works any more."""
        self.access_tokens.clear()
        self.refresh_tokens.clear()

    def accepts(self, request: Request) -> bool:
        """Whether a request bears an access token that is good."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and token in self.access_tokens

    async def endpoint(self, request: Request) -> Response:
        """Answer a request for tokens."""
        form = dict(parse_qsl((await request.body()).decode()))
        if not form.get("client_id") and "authorization" not in request.headers:
            return self._refusal("invalid_client", 401)
        grant = form.get("grant_type")
        if grant == "refresh_token":
            if form.get("refresh_token") not in self.refresh_tokens:
                return self._refusal("invalid_grant")
            return JSONResponse(self._issue(with_refresh=self._rotates))
        if grant == "authorization_code":
            code = form.get("code")
            if code not in self.codes or not form.get("redirect_uri") or not form.get("code_verifier"):
                return self._refusal("invalid_grant")
            self.codes.discard(code)
            return JSONResponse(self._issue(with_refresh=True))
        return self._refusal("unsupported_grant_type")

    def _issue(self, *, with_refresh: bool) -> dict[str, Any]:
        issued: dict[str, Any] = {
            "access_token": f"access-{secrets.token_urlsafe(12)}",
            "expires_in": self.LIFETIME_SECONDS,
            "scope": self.scope,
            "token_type": "Bearer",
        }
        self.access_tokens.add(issued["access_token"])
        if with_refresh:
            issued["refresh_token"] = f"refresh-{secrets.token_urlsafe(12)}"
            self.refresh_tokens.add(issued["refresh_token"])
        return issued

    def _refusal(self, error: str, status: int = 400) -> Response:
        return JSONResponse(self._refused(error), status)
