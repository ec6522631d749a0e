"""JWTs of one OIDC issuer: its keys are cached and rotated, the algorithm is pinned by the operator."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx
import jwt
import structlog

from domain.errors import Unauthenticated, Unavailable
from domain.settings import Settings

log = structlog.get_logger(__name__)

KEYS_TTL_SECONDS = 600.0
KEYS_STALE_SECONDS = 86_400.0
"""Known keys go on being used this long while the issuer cannot be reached."""
REFETCH_INTERVAL_SECONDS = 30.0
"""An unknown key id asks the issuer again, but no more often than this."""
LEEWAY_SECONDS = 30.0
FETCH_TIMEOUT_SECONDS = 5.0
DISCOVERY_PATH = "/.well-known/openid-configuration"


class OidcIssuer:
    """Checks JWTs of one issuer.

    Args:
        issuer: The `iss` that a token must have.
        audience: The `aud` that it must hold.
        algorithm: The only algorithm that is taken; the token's own header is not asked.
        jwks_url: Where the keys are; found by discovery if None.
        team_id: The team that the issuer's people belong to; any if None.
        clock: Seconds that only grow.
    """

    def __init__(
        self,
        issuer: str,
        audience: str,
        algorithm: str,
        *,
        jwks_url: str | None = None,
        team_id: UUID | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.issuer = issuer
        self.audience = audience
        self.algorithm = algorithm
        self.team_id = team_id
        self._jwks_url = jwks_url
        self._clock = clock
        self._client = httpx.AsyncClient(timeout=FETCH_TIMEOUT_SECONDS, follow_redirects=False)
        self._keys: dict[str | None, jwt.PyJWK] = {}
        self._fetched_at: float | None = None
        self._tried_at: float | None = None
        self._lock = asyncio.Lock()

    @classmethod
    def from_settings(cls, settings: Settings) -> OidcIssuer | None:
        """The issuer that the operator configured, if any."""
        if settings.oidc_issuer is None or settings.oidc_audience is None:
            return None
        return cls(
            settings.oidc_issuer,
            settings.oidc_audience,
            settings.oidc_algorithm,
            jwks_url=settings.oidc_jwks_url,
            team_id=UUID(settings.oidc_team) if settings.oidc_team else None,
        )

    async def close(self) -> None:
        """Close the connections to the issuer."""
        await self._client.aclose()

    async def verify(self, token: str) -> tuple[str, datetime]:
        """The verified email address in a token, and when the token ends.

        Raises:
            Unauthenticated: the token does not hold.
            Unavailable: the issuer's keys cannot be had.
        """
        try:
            key_id = jwt.get_unverified_header(token).get("kid")
            key = await self._key(key_id)
            claims: dict[str, Any] = jwt.decode(
                token,
                key.key,
                algorithms=[self.algorithm],
                audience=self.audience,
                issuer=self.issuer,
                leeway=LEEWAY_SECONDS,
                options={"require": ["iss", "aud", "exp"], "verify_nbf": True},
            )
        except jwt.PyJWTError as error:
            raise Unauthenticated("The token does not hold.") from error
        email = claims.get("email")
        if not isinstance(email, str) or claims.get("email_verified") is False:
            raise Unauthenticated("The token names no verified email address.")
        return email, datetime.fromtimestamp(float(claims["exp"]), UTC)

    async def _key(self, key_id: str | None) -> jwt.PyJWK:
        now = self._clock()
        fresh = self._fetched_at is not None and now - self._fetched_at < KEYS_TTL_SECONDS
        if not fresh or key_id not in self._keys:
            await self._fetch(key_id)
        key = self._keys.get(key_id)
        if key is None:
            raise Unauthenticated("The token is signed with an unknown key.")
        return key

    async def _fetch(self, key_id: str | None) -> None:
        async with self._lock:
            now = self._clock()
            fresh = self._fetched_at is not None and now - self._fetched_at < KEYS_TTL_SECONDS
            if fresh and key_id in self._keys:
                return  # Another request fetched it meanwhile.
            if self._tried_at is not None and now - self._tried_at < REFETCH_INTERVAL_SECONDS:
                self._require_keys(now, None)
                return
            self._tried_at = now
            try:
                self._keys = await self._download()
                self._fetched_at = now
            except (httpx.HTTPError, jwt.PyJWTError, KeyError, TypeError, ValueError) as error:
                log.warning("oidc.keys_unreachable", issuer=self.issuer, error=repr(error))
                self._require_keys(now, error)

    def _require_keys(self, now: float, cause: Exception | None) -> None:
        if self._fetched_at is None or now - self._fetched_at > KEYS_STALE_SECONDS:
            raise Unavailable("The identity provider cannot be reached; try again.") from cause

    async def _download(self) -> dict[str | None, jwt.PyJWK]:
        if self._jwks_url is None:
            found = await self._client.get(self.issuer.rstrip("/") + DISCOVERY_PATH)
            found.raise_for_status()
            self._jwks_url = str(found.json()["jwks_uri"])
        answer = await self._client.get(self._jwks_url)
        answer.raise_for_status()
        return {key.key_id: key for key in jwt.PyJWKSet.from_dict(answer.json()).keys}
