"""Integrators: each keeps what it was told and the cursor of the last, and goes on after it, whatever happens."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from random import Random
from typing import Any
from uuid import UUID

import httpx
import websockets
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from domain.ids import encode_id
from tests.soak.client import PATIENCE_SECONDS, RETRIED_CODES, RETRIED_STATUSES, Client, Failed
from tests.soak.journal import Journal
from tests.soak.judging import Delivery, Told
from tests.streams import socket, sse

EVENTS = """subscription($after: String, $filter: GoalFilter) { goalEvents(after: $after, filter: $filter) {
    cursor type at goal { id metric } after { target } statusAfter } }"""
PROGRESS = "subscription($id: ID!) { jobProgress(jobId: $id) { state processed error } }"
COME_AGAIN_CODES = RETRIED_CODES | {"RESTARTING", "SLOW_READER", "TOO_MANY_STREAMS"}
"""As the README's table has them; the stream goes on after `extensions.cursor`, where there is one."""
COME_AGAIN_CLOSES = frozenset({1001, 1005, 1006, 1012, 1013})
"""Codes of a WebSocket that ends because a process or the line to it does."""
COME_AGAIN_SECONDS = 0.3
HANG_SECONDS = 20.0
"""Longer than a delivery may take (15 s)."""


def told(cursor: str, kind: str, goal: str, target: Any, status: str | None) -> Told:
    """What an event says, in one form for all who tell it."""
    return (cursor, kind, goal, "" if target is None else f"{Decimal(target).normalize():f}", status or "")


def told_of_row(cursor: str, kind: str, payload: Mapping[str, Any]) -> Told:
    """The same of a row of the table."""
    after, status = payload["after"], payload.get("status")
    goal = encode_id("Goal", UUID(payload["goal"]["id"]))
    return told(cursor, kind, goal, after and after["target"], status and status["after"])


def told_of_event(event: Mapping[str, Any]) -> Told:
    """The same of a subscription's event."""
    after = event["after"]
    return told(event["cursor"], event["type"], event["goal"]["id"], after and after["target"], event["statusAfter"])


def told_of_body(body: Mapping[str, Any]) -> Told:
    """The same of a webhook's body."""
    data = body["data"]
    after = data["after"]
    status = data.get("statusAfter")
    return told(body["cursor"], body["type"], data["goal"]["id"], after and after["target"], status)


class ComeAgain(Exception):
    """A stream ended in a way that its reader mends by coming again.

    Args:
        reason: Why it ended.
    """


def ended(errors: list[Mapping[str, Any]]) -> str | None:
    """Where to go on after a stream ended with errors.

    Raises:
        Failed: it ended in a way that coming again does not mend.
    """
    extensions = errors[0]["extensions"]
    if extensions["code"] not in COME_AGAIN_CODES:
        raise Failed(str(errors))
    cursor: str | None = extensions.get("cursor")
    return cursor


async def over_socket(url: str, token: str, document: str, take: Any, **variables: Any) -> None:
    """Give each message of a subscription to `take`, until it says that it has enough.

    Raises:
        ComeAgain: the connection is gone.
        Failed: it was closed for a reason that coming again does not mend.
    """
    try:
        async with socket(url, token, open_timeout=15) as client:
            queue = await client.subscribe(document, **variables)
            gone = asyncio.ensure_future(client.raw.wait_closed())
            try:
                while True:
                    message = asyncio.ensure_future(queue.get())
                    await asyncio.wait({message, gone}, return_when=asyncio.FIRST_COMPLETED)
                    if not message.done():
                        message.cancel()
                        break
                    if take(message.result()):
                        return
            finally:
                gone.cancel()
            code = client.raw.close_code
    except websockets.InvalidStatus as error:
        if error.response.status_code not in RETRIED_STATUSES:
            raise Failed(f"WebSocket refused: {error}") from error
        raise ComeAgain("refused") from error
    except websockets.ConnectionClosed as error:
        code = error.rcvd.code if error.rcvd else None
    except (OSError, EOFError, websockets.InvalidHandshake, TimeoutError) as error:
        raise ComeAgain(type(error).__name__) from error
    if code is not None and code not in COME_AGAIN_CLOSES:
        raise Failed(f"WebSocket closed with {code}")
    raise ComeAgain(f"closed {code}")


@dataclass
class Follower:
    """Follows goal events for ever.

    Args:
        name: In the journal.
        url: An API process, or the proxy before one.
        token: A bearer token.
        journal: Told of each coming again.
        cursor: Where to begin.
        transport: `websocket` or `sse`.
        metric: Only events of goals for this one, if given.
    """

    name: str
    url: str
    token: str
    journal: Journal
    cursor: str
    transport: str = "websocket"
    metric: str | None = None
    got: list[Told] = field(default_factory=list)

    async def follow(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await (self._over_sse() if self.transport == "sse" else self._over_socket())
                reason = "completed"
            except ComeAgain as error:
                reason = str(error)
            except Failed as error:
                self.journal.fail(f"{self.name}: {error}")
                reason = "failed"
            self.journal.retried(self.name, reason)
            await asyncio.sleep(COME_AGAIN_SECONDS)

    @property
    def _variables(self) -> dict[str, Any]:
        return {"after": self.cursor, "filter": {"metrics": [self.metric]} if self.metric else None}

    def _keep(self, event: Mapping[str, Any]) -> None:
        self.got.append(told_of_event(event))
        self.cursor = event["cursor"]
        late = (datetime.now(UTC) - datetime.fromisoformat(event["at"])).total_seconds()
        self.journal.seconds[f"event to {self.transport}"].append(late)

    def _errors(self, errors: list[Mapping[str, Any]]) -> None:
        self.cursor = ended(errors) or self.cursor
        raise ComeAgain(errors[0]["extensions"]["code"])

    async def _over_socket(self) -> None:
        def take(message: dict[str, Any]) -> bool:
            if message["type"] == "complete":
                return True
            errors = message["payload"] if message["type"] == "error" else message["payload"].get("errors")
            if errors:
                self._errors(errors)
            self._keep(message["payload"]["data"]["goalEvents"])
            return False

        await over_socket(self.url, self.token, EVENTS, take, **self._variables)

    async def _over_sse(self) -> None:
        try:
            async for answer in sse(self.url, self.token, EVENTS, **self._variables):
                if errors := answer.get("errors"):
                    self._errors(errors)
                self._keep(answer["data"]["goalEvents"])
        except httpx.HTTPStatusError as error:
            if error.response.status_code not in RETRIED_STATUSES:
                raise Failed(f"{error.response.status_code} {error}") from error
            raise ComeAgain(str(error.response.status_code)) from error
        except httpx.TransportError as error:
            raise ComeAgain(type(error).__name__) from error


async def job_ends(client: Client, job: str) -> None:
    """Follow a job's progress to its end, coming again where the stream ends.

    Raises:
        Failed: it did not succeed, or the stream ended in a way that coming again does not mend.
    """
    states: list[tuple[str, int]] = []

    def take(message: dict[str, Any]) -> bool:
        if message["type"] == "complete":
            return True
        errors = message["payload"] if message["type"] == "error" else message["payload"].get("errors")
        if errors:
            ended(errors)
            raise ComeAgain(errors[0]["extensions"]["code"])
        found = message["payload"]["data"]["jobProgress"]
        states.append((found["state"], found["processed"]))
        return False

    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not states or states[-1][0] in ("SCHEDULED", "RUNNING"):
                try:
                    await over_socket(client.chance.choice(client.addresses), client.token, PROGRESS, take, id=job)
                except ComeAgain as error:
                    client.journal.retried("job progress", str(error))
                    await asyncio.sleep(COME_AGAIN_SECONDS)
    except (TimeoutError, Failed) as error:
        client.journal.fail(f"job progress of {job}: {states[-3:]} {error!r}")
        raise Failed(str(error)) from error
    client.journal.requests["job progress"] += 1
    if states[-1][0] != "SUCCEEDED":
        client.journal.fail(f"job {job} ended {states[-1]}")
    if [processed for _state, processed in states] != sorted(processed for _state, processed in states):
        client.journal.fail(f"job {job} went back: {states}")


@dataclass
class Receiver:
    """A webhook receiver; a moody one sometimes answers 500, or hangs for longer than anybody waits.

    Args:
        name: In what is told of it.
        chance: Its dice.
        moody: Whether it has moods.
        ending: From when on it has none.
    """

    name: str
    chance: Random
    moody: bool
    ending: asyncio.Event
    events: list[Delivery] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    refused: int = 0
    _last: str = ""
    _hung: bool = False

    async def take(self, request: Request) -> Response:
        """Answer a delivery."""
        message, body = request.headers["webhook-id"], json.loads(await request.body())
        # Never twice in a row: the time until the next try doubles with each, and the run has an end.
        if self.moody and not self.ending.is_set() and message != self._last and self.chance.random() < 0.03:
            self._last = message
            self.refused += 1
            if not self._hung:
                self._hung = True
                with suppress(TimeoutError):
                    await asyncio.wait_for(self.ending.wait(), HANG_SECONDS)
            return PlainTextResponse("not now", 500)
        if body.get("cursor") is None:
            self.others.append(message)
        else:
            self.events.append(Delivery(message, told_of_body(body)))
        return PlainTextResponse("")
