"""A session for tests of connectors: speaks HTTP with a double, and counts what it spends.

It does what `workers.connectors.base.Session` promises, in few lines and without budgets or waiting.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self
from urllib.parse import urljoin, urlsplit

import httpx
import orjson

from domain.connectors import (
    Cursor,
    Manifest,
    Page,
    RateLimited,
    RemoteRefused,
    RemoteUnavailable,
    SignInNeeded,
)
from workers.connectors.base import Connector


class TestSession:
    """A session for one connection with a double.

    Args:
        base_url: Where the double is.
        settings: What the connection was told.
        secrets: What of it is secret; with OAuth, tokens, which a refresh changes.
        manifest: Tells where tokens are refreshed.
        now: The clock; the real one unless told otherwise.
    """

    __test__ = False

    def __init__(
        self,
        base_url: str,
        settings: Mapping[str, str] | None = None,
        secrets: Mapping[str, str] | None = None,
        *,
        manifest: Manifest | None = None,
        now: datetime | None = None,
    ) -> None:
        self.base_url = base_url
        self.settings: dict[str, str] = dict(settings or {})
        self.secrets: dict[str, str] = dict(secrets or {})
        self.now = now or datetime.now(UTC)
        self.spent = 0
        self.refreshed = 0
        self._oauth = manifest.oauth if manifest else None
        self._client = httpx.AsyncClient(timeout=5.0, follow_redirects=False, verify=False)  # Doubles speak plain HTTP.

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    def allows(self, url: str) -> None:
        """Refuses what is no http(s)."""
        if urlsplit(url).scheme not in ("http", "https"):
            raise RemoteRefused(f"{url} is no address of the web.")

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
        url = urljoin(self.base_url.rstrip("/") + "/", url.lstrip("/") if "://" not in url else url)
        self.allows(url)
        for turn in (1, 2):
            self.spent += cost
            sent = dict(headers or {})
            if self._oauth is not None:
                sent["authorization"] = f"Bearer {self.secrets['access_token']}"
            try:
                response = await self._client.request(
                    method, url, params=params, json=json, content=content, headers=sent, auth=auth
                )
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                raise RemoteUnavailable(f"No answer: {error!r}") from error
            if response.status_code != 401 or self._oauth is None or turn == 2:
                break
            await self._refresh()
        status = response.status_code
        if status in expected or status < 300:
            return response
        if status == 401:
            raise SignInNeeded("The vendor does not know the token.")
        if status == 429 or (status == 503 and "retry-after" in response.headers):
            raise RateLimited("Too many requests.", float(response.headers.get("retry-after", "1")))
        if status >= 500:
            raise RemoteUnavailable(f"The vendor answers {status}.")
        raise RemoteRefused(f"The vendor answers {status}: {response.text[:300]}")

    async def get_json(self, url: str, *, params: Mapping[str, Any] | None = None, cost: int = 1) -> Any:
        response = await self.request("GET", url, params=params, cost=cost)
        try:
            return orjson.loads(response.content)
        except orjson.JSONDecodeError as error:
            raise RemoteUnavailable("The answer is no JSON.") from error

    async def _refresh(self) -> None:
        assert self._oauth is not None
        response = await self._client.post(
            self.base_url.rstrip("/") + urlsplit(self._oauth.token_url).path,
            data={
                "grant_type": "refresh_token",
                "refresh_token": self.secrets["refresh_token"],
                "client_id": "client",
                "client_secret": "secret",
            },
        )
        if response.status_code != 200:
            raise SignInNeeded(f"The vendor does not refresh: {response.text[:300]}")
        told = response.json()
        self.refreshed += 1
        self.secrets["access_token"] = told["access_token"]
        self.secrets["refresh_token"] = told.get("refresh_token", self.secrets["refresh_token"])


async def pull_all(
    connector: Connector, session: TestSession, cursor: Cursor | None = None, *, limit: int = 500
) -> tuple[list[Page], Cursor]:
    """A whole sync: every page until the last, and the cursor that the next sync begins with.

    Each cursor goes through JSON, as it does in the table, so that a connector that keeps more than JSON fails here.
    """
    pages: list[Page] = []
    while len(pages) < limit:
        page = await connector.pull(session, cursor)
        pages.append(page)
        cursor = orjson.loads(orjson.dumps(page.cursor))
        if page.done:
            assert cursor is not None
            return pages, cursor
        await asyncio.sleep(0)
    raise AssertionError(f"the sync did not end after {limit} pages")
