"""A client that keeps to the rules: it tries again what may be tried again, and nothing else is let pass.

What may: a connection that is refused or dropped; 429 and 503, after `Retry-After`; the codes below. A mutation with an
idempotency key is sent again as it is. One without is looked for first where its answer was lost.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import httpx

from tests.soak.journal import Journal

RETRIED_CODES = frozenset({"UNAVAILABLE", "RATE_LIMITED", "TIMEOUT"})
RETRIED_STATUSES = frozenset({408, 429, 503})
PATIENCE_SECONDS = 180.0
"""Nobody waits longer for an answer: a fault is over after some seconds, a frozen worker after 35."""
REQUEST_SECONDS = 40.0
"""A request is worked at for 30 s at most."""
LONGEST_WAIT_SECONDS = 5.0

Find = Callable[[], Awaitable[Any]]


class Failed(Exception):
    """A request failed in a way that a client cannot mend. The journal has it."""


class Again(Exception):
    """The answer says to try again.

    Args:
        reason: Why.
        seconds: Not before.
    """

    def __init__(self, reason: str, seconds: float = 0.0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.seconds = seconds


@dataclass
class Client:
    """Somebody's, with their token.

    Args:
        http: The connections.
        addresses: Of the API processes; any of them will do.
        token: The bearer token.
        journal: What is told of each request.
        chance: Which address, and how long between two tries.
    """

    http: httpx.AsyncClient
    addresses: Sequence[str]
    token: str
    journal: Journal
    chance: Random
    headers: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.headers = {"authorization": f"Bearer {self.token}"}

    async def ask(
        self,
        kind: str,
        document: str,
        *,
        settled: Collection[str] = (),
        find: Find | None = None,
        **variables: Any,
    ) -> Any:
        """The data of an operation with one field at its root: that field's value.

        Args:
            kind: What it is called in the journal.
            document: The operation.
            settled: Codes of a payload that mean that a lost answer had its effect: they are no failure once something
                was tried again.
            find: Looks for the effect of a lost answer; what it finds is the answer. None of it: send it again.
            variables: The operation's.

        Raises:
            Failed: the answer has an error that no client can mend.
        """
        lost = False

        async def send(url: str) -> Any:
            nonlocal lost
            if lost and find is not None and (found := await find()) is not None:
                return found
            sent = {"query": document, "variables": variables}
            try:
                answer = await self.http.post(f"{url}/graphql", json=sent, headers=self.headers)
            except httpx.TransportError:
                lost = True
                raise
            body = read(answer)
            if codes := {error["extensions"]["code"] for error in body.get("errors", ())}:
                if codes <= RETRIED_CODES:
                    lost = True
                    raise Again(", ".join(sorted(codes)))
                raise Failed(f"{answer.status_code} {body['errors']}")
            (value,) = body["data"].values()
            told = value.get("errors") if isinstance(value, Mapping) else None
            if told and not (lost and {error["code"] for error in told} <= set(settled)):
                raise Failed(str(told))
            return value

        return await self.tried(kind, send, f"{' '.join(document.split())[:160]} {variables}")

    async def tried(self, kind: str, send: Callable[[str], Awaitable[Any]], what: str) -> Any:
        """Send something until it is answered.

        Raises:
            Failed: as `send` does, or nothing came for long.
        """
        began = time.monotonic()
        waited = 0.1
        while True:
            try:
                found = await send(self.chance.choice(self.addresses))
            except (httpx.TransportError, Again) as error:
                again = error.seconds if isinstance(error, Again) else 0.0
                reason = error.reason if isinstance(error, Again) else type(error).__name__
                if time.monotonic() - began > PATIENCE_SECONDS:
                    self.journal.fail(f"{kind}: no answer in {PATIENCE_SECONDS:.0f} s, at last {reason}: {what}")
                    raise Failed(reason) from error
            except Failed as error:
                self.journal.fail(f"{kind}: {error}: {what}")
                raise
            else:
                self.journal.answered(kind, time.monotonic() - began)
                return found
            self.journal.retried(kind, reason)
            waited = min(waited * 2, 2.0)
            await asyncio.sleep(min(max(again, waited * self.chance.uniform(0.5, 1.0)), LONGEST_WAIT_SECONDS))


def read(answer: httpx.Response, expected: Collection[int] = (200,)) -> Any:
    """The JSON of an answer.

    Raises:
        Again: it says to try again.
        Failed: it says anything else than what was expected.
    """
    check(answer, expected)
    return answer.json()


def check(answer: httpx.Response, expected: Collection[int] = (200,)) -> None:
    """Look at an answer's status; its body has been read where it is none that was expected.

    Raises:
        Again: it says to try again.
        Failed: it says anything else than what was expected.
    """
    if answer.status_code in RETRIED_STATUSES:
        code = answer.json()["errors"][0]["extensions"]["code"]
        raise Again(f"{answer.status_code} {code}", float(answer.headers.get("retry-after", 0)))
    if answer.status_code not in expected:
        raise Failed(f"{answer.status_code} {answer.text[:500]}")
