"""How connectors speak with vendors: one HTTP pool a worker, and a session for each connection that is synced.

Requests go to public addresses alone unless the operator allows others, to no host that a redirect names, for a bounded
time and size; they spend the account's budget first, and what goes wrong comes back in the words of domain/connectors.
"""

from __future__ import annotations

import asyncio
import email.utils
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpcore
import httpx
import httpx2
import orjson
import structlog
from authlib.integrations.base_client import OAuthError
from authlib.integrations.httpx_client import AsyncOAuth2Client

from domain import budgets, integrations, sync
from domain.connectors import Manifest, RateLimited, RemoteRefused, RemoteUnavailable, SignInNeeded, at_origin
from domain.database import acquire, transaction
from domain.models import Integration
from domain.secrets import SecretBox
from domain.settings import OAuthClient
from workers.sending import ForbiddenAddress, PublicBackend

log = structlog.get_logger(__name__)

REQUEST_SECONDS = 120.0
"""For all of a request and its answer."""
SILENCE_SECONDS = 30.0
"""The longest that a vendor may say nothing."""
ANSWER_BYTES = 64 * 2**20
LONGEST_WAIT_SECONDS = 15.0
"""A sync waits so long for its budget in its place; for longer it is postponed."""
EARLY_SECONDS = 60.0
"""A token that ends within this is renewed first."""
DEFAULT_RETRY_AFTER_SECONDS = 30.0
LONGEST_RETRY_AFTER_SECONDS = 86_400.0
USER_AGENT = "Sideline-Sync/1"


class _Guarded(httpx.AsyncHTTPTransport):
    """httpx's own transport over a pool that connects to allowed addresses alone."""

    def __init__(self, *, private_allowed: bool) -> None:
        super().__init__(trust_env=False)
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=httpx.create_ssl_context(trust_env=False),
            max_connections=200,
            max_keepalive_connections=50,
            keepalive_expiry=30.0,
            network_backend=PublicBackend(private_allowed=private_allowed),
        )


class Wire:
    """The worker's HTTP pool, and what the operator says of vendors.

    Args:
        private_allowed: Whether integrations may go to private addresses, and over http.
        oauth_clients: The operator's registrations at vendors, by connector.
        urls: Addresses instead of the vendors' own, by connector.
        roots: Folders below which files may be read.
        box: Opens and seals secrets.
    """

    def __init__(
        self,
        *,
        private_allowed: bool,
        oauth_clients: Mapping[str, OAuthClient],
        urls: Mapping[str, str],
        roots: tuple[str, ...],
        box: SecretBox | None,
    ) -> None:
        self.private_allowed = private_allowed
        self.oauth_clients = oauth_clients
        self.urls = urls
        self.roots = roots
        self.box = box
        self.transport = _Guarded(private_allowed=private_allowed)
        self.http = httpx.AsyncClient(
            transport=self.transport,
            timeout=httpx.Timeout(SILENCE_SECONDS),
            headers={"user-agent": USER_AGENT},
            follow_redirects=False,
            trust_env=False,
        )

    async def close(self) -> None:
        """Close the connections that are kept open."""
        await self.http.aclose()


class VendorSession:
    """`workers.connectors.base.Session` for one connection.

    Args:
        wire: The worker's pool.
        integration: The connection.
        manifest: Its connector.
        secrets: What lets it in.
        now: The clock when the sync began.
        ours: Settings that no person gives: the team's currency, the fields that the mapping of a CRM names.
    """

    def __init__(
        self,
        wire: Wire,
        integration: Integration,
        manifest: Manifest,
        secrets: Mapping[str, Any],
        now: datetime,
        ours: Mapping[str, str],
    ) -> None:
        self.now = now
        self._wire = wire
        self._integration = integration
        self._manifest = manifest
        self.settings: Mapping[str, str] = {
            **{name: str(value) for name, value in integration.settings.items()},
            **ours,
            "roots": "\n".join(wire.roots),
        }
        self.secrets: Mapping[str, str] = secrets
        base = wire.urls.get(manifest.kind) or self.settings.get("base_url") or manifest.base_url or ""
        self.base_url = base.rstrip("/")
        # Budgets and an operator's own addresses are known by the account; before the first check there is none.
        self._account = budgets.account_of(integration)

    def allows(self, url: str) -> None:
        """Refuse an address that integrations may not go to; what its name leads to is checked when it is connected to.

        Raises:
            RemoteRefused: it is none that is allowed.
        """
        parts = urlsplit(url)
        allowed = {"https", "http"} if self._wire.private_allowed or self._operators(url) else {"https"}
        if parts.scheme not in allowed or not parts.hostname:
            raise RemoteRefused(f"{_shown(url)} is no address that integrations may go to: give an https address.")

    def _operators(self, url: str) -> bool:
        """Whether it is an address that the operator has set."""
        own = self._wire.urls.get(self._manifest.kind)
        return own is not None and urlsplit(own)[:2] == urlsplit(url)[:2]

    async def get_json(self, url: str, *, params: Mapping[str, Any] | None = None, cost: int = 1) -> Any:
        """The JSON of an answer to a GET.

        Raises:
            RemoteUnavailable: beside the others, the answer is no JSON.
        """
        response = await self.request("GET", url, params=params, cost=cost)
        try:
            return orjson.loads(response.content)
        except orjson.JSONDecodeError as error:
            raise RemoteUnavailable(f"{self._manifest.label} answered with something that is no JSON.") from error

    async def request(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        cost: int = 1,
        expected: tuple[int, ...] = (),
        auth: httpx.Auth | None = None,
    ) -> httpx.Response:
        """Send a request; see `workers.connectors.base.Session`."""
        address = url if "://" in url else urljoin(f"{self.base_url}/", url.lstrip("/"))
        self.allows(address)
        signed = self._manifest.oauth is not None and auth is None and "access_token" in self.secrets
        if signed and self._ends_soon():
            await self._renew()
        for attempt in (1, 2):
            await self._spend(cost)
            sent = dict(headers or {})
            if signed:
                sent["authorization"] = f"Bearer {self.secrets['access_token']}"
            if json is not None:
                content, sent["content-type"] = orjson.dumps(json), "application/json"
            response = await self._send(method, address, params, content, sent, auth)
            if response.status_code in expected or response.is_success:
                return response
            if response.status_code == httpx.codes.UNAUTHORIZED and signed and attempt == 1:
                await self._renew()
                continue
            break
        await self._refuse(response)
        raise AssertionError("unreachable")

    async def _send(
        self,
        method: str,
        address: str,
        params: Mapping[str, Any] | None,
        content: bytes | None,
        headers: Mapping[str, str],
        auth: httpx.Auth | None,
    ) -> httpx.Response:
        label, http = self._manifest.label, self._wire.http
        request = http.build_request(method, address, params=params, content=content, headers=headers)
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                response = await http.send(request, stream=True, auth=auth)
                try:
                    body = bytearray()
                    async for piece in response.aiter_bytes():
                        body += piece
                        if len(body) > ANSWER_BYTES:
                            raise RemoteRefused(f"{label} answered with more than {ANSWER_BYTES} bytes.")
                finally:
                    await response.aclose()
        except ForbiddenAddress as error:
            raise RemoteRefused(f"{label}: {error}.") from error
        except TimeoutError as error:
            raise RemoteUnavailable(f"{label} did not answer within {REQUEST_SECONDS:g} s.") from error
        except (httpx.HTTPError, OSError, UnicodeError) as error:
            raise RemoteUnavailable(f"{label} cannot be reached: {type(error).__name__}: {error}") from error
        except httpx.InvalidURL as error:
            raise RemoteRefused(f"{_shown(address)} is no address: {error}.") from error
        # The body has been decoded already.
        plain = [
            (name, value)
            for name, value in response.headers.multi_items()
            if name not in {"content-encoding", "content-length", "transfer-encoding"}
        ]
        return httpx.Response(response.status_code, headers=plain, content=bytes(body), request=request)

    async def _refuse(self, response: httpx.Response) -> None:
        """Say what an answer means that is none.

        Raises:
            SyncProblem: what it means.
        """
        label, status = self._manifest.label, response.status_code
        told = _reason(response)
        asked = _retry_after(response)
        if status == httpx.codes.TOO_MANY_REQUESTS or (status == httpx.codes.SERVICE_UNAVAILABLE and asked is not None):
            seconds = min(asked or DEFAULT_RETRY_AFTER_SECONDS, LONGEST_RETRY_AFTER_SECONDS)
            raise RateLimited(f"{label} asks to wait {seconds:g} s.", seconds)
        if status == httpx.codes.UNAUTHORIZED:
            raise SignInNeeded(f"{label} does not let Sideline in any more: sign in again.{told}")
        if status >= httpx.codes.INTERNAL_SERVER_ERROR or status == httpx.codes.REQUEST_TIMEOUT:
            raise RemoteUnavailable(f"{label} answered {status}.{told}")
        raise RemoteRefused(f"{label} refused what was asked, with {status}.{told}")

    async def _spend(self, cost: int) -> None:
        """Wait for the account's turn.

        Raises:
            RateLimited: it is too far off to wait for it here.
        """
        team_id, budget = self._integration.team_id, self._manifest.budget
        while True:
            async with acquire(team_id) as connection:
                if budget is None:
                    wait = await budgets.blocked_seconds(connection, team_id, self._account)
                else:
                    wait = await budgets.spend(connection, team_id, self._account, cost, budget)
            if wait <= 0:
                return
            if wait > LONGEST_WAIT_SECONDS:
                raise RateLimited(f"{self._manifest.label}: the account's turn comes in {wait:.0f} s.", wait)
            await asyncio.sleep(wait)

    def _ends_soon(self) -> bool:
        ends = self.secrets.get("expires_at")
        return bool(ends) and datetime.fromisoformat(str(ends)) <= datetime.now(UTC) + timedelta(seconds=EARLY_SECONDS)

    async def _renew(self) -> None:
        """A new access token. The row stays locked meanwhile: a refresh token that the vendor takes only once is used
        once, and what came for it is kept before it is used.

        Raises:
            SignInNeeded: the vendor gives none.
            RemoteUnavailable: the vendor cannot be reached.
        """
        manifest, team_id = self._manifest, self._integration.team_id
        assert manifest.oauth is not None
        async with transaction(team_id) as connection:
            held = await sync.lock_secrets(connection, team_id, self._integration.id, self._wire.box)
            if held.get("access_token") == self.secrets.get("access_token"):
                held = {**held, **await self._ask_for_tokens(held)}
                await sync.save_secrets(connection, team_id, self._integration.id, held, self._wire.box)
        self.secrets = held

    async def _ask_for_tokens(self, held: Mapping[str, Any]) -> dict[str, Any]:
        manifest = self._manifest
        assert manifest.oauth is not None
        client = self._wire.oauth_clients.get(manifest.kind)
        if not held.get("refresh_token") or client is None:
            raise SignInNeeded(f"{manifest.label}: the sign-in has ended; sign in again.")
        own = self._wire.urls.get(manifest.kind)
        address = at_origin(manifest.oauth.token_url, own)
        return await renewed_tokens(manifest.label, address, client, str(held["refresh_token"]))


async def renewed_tokens(label: str, address: str, client: OAuthClient, refresh_token: str) -> dict[str, Any]:
    """What a vendor gives for a refresh token.

    Raises:
        SignInNeeded: nothing.
        RemoteUnavailable: it cannot be reached.
    """
    oauth = AsyncOAuth2Client(
        client.client_id,
        client.client_secret.get_secret_value(),
        token_endpoint_auth_method="client_secret_post",
        timeout=SILENCE_SECONDS,
        trust_env=False,
    )
    try:
        async with asyncio.timeout(REQUEST_SECONDS):
            answer = await oauth.refresh_token(address, refresh_token=refresh_token)
    except OAuthError as error:
        raise SignInNeeded(f"{label} does not renew the sign-in ({error.error}): sign in again.") from error
    except httpx2.HTTPStatusError as error:
        raise RemoteUnavailable(
            f"{label} answered {error.response.status_code} to the renewal of the sign-in."
        ) from error
    except (httpx2.HTTPError, OSError, TimeoutError, ValueError) as error:
        raise RemoteUnavailable(f"{label} cannot be reached to renew the sign-in: {error!r}.") from error
    if "access_token" not in answer:
        raise SignInNeeded(f"{label} does not renew the sign-in: sign in again.")
    return integrations.tokens_of(answer)


def _shown(url: str) -> str:
    """An address without what may be secret in it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}" if parts.hostname else "The address"


def _reason(response: httpx.Response) -> str:
    """What the vendor says, as far as it is fit to be shown."""
    text = response.text.strip()[:300]
    return f" It says: {text}" if text and "<" not in text else ""


def _retry_after(response: httpx.Response) -> float | None:
    given = response.headers.get("retry-after", "").strip()
    if given.isdigit():
        return max(float(given), 1.0)
    try:
        until = email.utils.parsedate_to_datetime(given)
    except (TypeError, ValueError):
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return max((until - datetime.now(UTC)).total_seconds(), 1.0)
