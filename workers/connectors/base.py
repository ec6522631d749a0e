"""What a connector is, in code: three functions and a manifest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import httpx

from domain.connectors import Account, Cursor, Document, Manifest, Mapped, MappingContext, Page


class Session(Protocol):
    """How a connector speaks with its vendor: the runner's, for one connection.

    `request` spends the account's budget, signs the request (OAuth access tokens are refreshed when they have ended,
    and once after a 401), follows no redirect to another host, bounds time and size, and tells what went wrong by
    `domain.connectors`: RateLimited after 429 (and 503 with Retry-After), RemoteUnavailable after 5xx, time-outs, cut
    answers and whatever is no HTTP, SignInNeeded after a 401 that a refresh did not mend, RemoteRefused after other
    4xx. A connector that knows better about a status (410 means that a cursor has expired) names it in `expected` and
    looks at the answer itself.

    With OAuth, `secrets` holds `access_token`, `refresh_token` and `expires_at` and is the session's own business. A
    connector that signs in otherwise (Basic with a user's name and password) gives `auth`.
    """

    now: datetime
    settings: Mapping[str, str]
    secrets: Mapping[str, str]
    base_url: str

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
        """Send a request; `url` is absolute, or relative to `base_url`. The answer's body has been read."""
        ...

    async def get_json(self, url: str, *, params: Mapping[str, Any] | None = None, cost: int = 1) -> Any:
        """The JSON of an answer to a GET.

        Raises:
            RemoteUnavailable: beside the others, the answer is no JSON.
        """
        ...

    def allows(self, url: str) -> None:
        """Refuse an address that the operator does not let integrations go to: not http(s), or of a private network.

        Raises:
            RemoteRefused: it is one of those.
        """
        ...


@dataclass(frozen=True, slots=True)
class Placed:
    """Where an object lies in a calendar that is written to, and its state there."""

    place: str
    etag: str | None


class Connector(Protocol):
    """One kind of integration. An instance holds no state: what it knows of a connection comes with the session."""

    manifest: Manifest

    async def check(self, session: Session) -> Account:
        """Look whether the connection works, and what is at the other end.

        Raises:
            SyncProblem: it does not; the message says what to do.
        """
        ...

    async def pull(self, session: Session, cursor: Cursor | None) -> Page:
        """The next page after a cursor; from the beginning without one. Asks for the fewest requests that it can: a
        sync that finds nothing new costs a constant number of them.

        Raises:
            SyncProblem: it cannot be had now; CursorExpired: begin anew.
        """
        ...

    def map(self, document: Document, context: MappingContext, state: Mapping[str, Any] | None) -> Mapped:
        """What a document that is not deleted comes to; a pure function, called in a thread.

        Args:
            document: As `pull` gave it.
            context: What it is mapped against.
            state: What the last mapping of the same document left, if documents are kept.

        Raises:
            RecordRefused: the document makes no sense; it is quarantined with the reason, and the rest goes on.
        """
        ...
