"""Sending the messages that wait: mails over a few connections, webhooks beside each other.

Each is marked as sent in a transaction of its own, right after the receiver has said that it has it; see
domain/messages.py for what that means on the wire.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import orjson
import structlog

from domain import database, messages, webhooks
from domain.database import Connection
from domain.identity import identify_user
from domain.messages import ClaimedMessage
from domain.models import WebhookEndpoint
from domain.models.actions import MessageChannel, MessageState
from domain.models.webhooks import WebhookState
from domain.secrets import SecretBox
from domain.settings import Settings
from domain.webhooks import Outgoing
from workers.letters import Letter, Unwanted, write
from workers.loops import UNREACHABLE
from workers.mail import Mail, Mailer, MailRefused, MailUnsent, read_route
from workers.sending import Sender
from workers.webhooks import send as send_webhook

log = structlog.get_logger(__name__)

LOT = 40
MAIL_CONNECTIONS = 4
"""Connections to the mail server, at most, of one worker."""
HOOKS_AT_ONCE = 8
PAUSED_WAIT = timedelta(minutes=10)
"""How long a message waits for an endpoint that rests."""
SERVER_WAIT = timedelta(seconds=30)
"""How long messages wait for a mail server that cannot be used; the attempt is theirs all the same."""
_GONE = "Its reader does not work with the team any more."

MakeMailer = Callable[[], Mailer]


def mailers_of(settings: Settings) -> MakeMailer | None:
    """What makes connections to the mail server that the settings name; None where they name none.

    Raises:
        Invalid: an address does not fit.
    """
    if settings.smtp_url is None:
        return None
    route, sender = read_route(settings.smtp_url), settings.mail_from or "sideline@localhost"
    Mailer(route, sender)  # What does not fit is told at the start, not with the first mail.
    return lambda: Mailer(route, sender)


@dataclass(frozen=True, slots=True)
class _Written:
    """What a message says, and where a mail of it goes."""

    letter: Letter
    address: str


@dataclass(frozen=True, slots=True)
class _Ended:
    """Nothing is sent of a message; WAITING: not yet."""

    state: MessageState
    reason: str


class Post:
    """Sends messages that are due.

    Args:
        holder: The name in the leases.
        mailers: Makes connections to the mail server; None: mails wait.
        sender: Sends webhooks.
        box: Opens the endpoints' secrets; None: webhooks wait.
        lot: Messages that are claimed at once.
    """

    def __init__(
        self,
        holder: str,
        *,
        mailers: MakeMailer | None,
        sender: Sender | None,
        box: SecretBox | None,
        lot: int = LOT,
    ) -> None:
        self._holder = holder
        self._mailers = mailers
        self._sender = sender
        self._box = box
        self._lot = lot
        self._hooks = asyncio.Semaphore(HOOKS_AT_ONCE)
        self._channels = []
        if mailers is not None:
            self._channels.append(MessageChannel.MAIL)
        if sender is not None and box is not None:
            self._channels.append(MessageChannel.WEBHOOK)

    async def step(self) -> bool:
        """Send a lot. Returns whether there may be more."""
        if not self._channels:
            return False
        async with database.acquire(database.ALL_TEAMS) as connection:
            claimed = await messages.claim(connection, self._holder, self._lot, self._channels)
        mails = [one for one in claimed if one.channel is MessageChannel.MAIL]
        hooks = [one for one in claimed if one.channel is MessageChannel.WEBHOOK]
        shares = [mails[place::MAIL_CONNECTIONS] for place in range(MAIL_CONNECTIONS)]
        await asyncio.gather(
            *(self._send_mails(share) for share in shares if share), *(self._guarded(self._hook, one) for one in hooks)
        )
        return bool(claimed)

    async def forget(self) -> bool:
        """Give up what nobody can send, so that it does not wait for ever; see messages.fail_unsendable. Returns
        False: the next step waits for its time."""
        async with database.acquire(database.ALL_TEAMS) as connection:
            if self._mailers is None:
                reason = "No mail server is set up on this installation (SIDELINE_SMTP_URL)."
                await messages.fail_unsendable(connection, MessageChannel.MAIL, reason)
            if MessageChannel.WEBHOOK not in self._channels:
                reason = "No keys for secrets are set up on this installation (SIDELINE_SECRET_KEYS)."
                await messages.fail_unsendable(connection, MessageChannel.WEBHOOK, reason)
        return False

    async def _guarded(self, send: Callable[[ClaimedMessage], Awaitable[bool]], message: ClaimedMessage) -> bool:
        """One message's trouble is not the others'. Returns whether others may be sent the same way."""
        try:
            return await send(message)
        except UNREACHABLE as error:
            log.warning("message.unreachable", message=str(message.id), error=repr(error))
        except Exception as error:
            log.exception("message.failed", message=str(message.id))
            await self._again(message, f"{type(error).__name__}: {error}")
        return True

    async def _send_mails(self, share: Sequence[ClaimedMessage]) -> None:
        assert self._mailers is not None, "mails are claimed only where they can be sent"
        mailer = self._mailers()
        try:
            for place, message in enumerate(share):
                if not await self._guarded(partial(self._mail, mailer), message):
                    # The others would fare no better: they go back untried.
                    for other in share[place + 1 :]:
                        await self._put_off(other, "The mail server cannot be used now.", SERVER_WAIT, counted=False)
                    return
        finally:
            await mailer.close()

    async def _mail(self, mailer: Mailer, message: ClaimedMessage) -> bool:
        async with database.acquire(message.team_id) as connection:
            written = await self._written(connection, message)
        if isinstance(written, _Ended):
            await self._finish(message, written.state, written.reason)
            return True
        letter, content = written.letter, message.content
        mail = Mail(
            message.name,
            written.address,
            letter.subject,
            letter.text,
            letter.html,
            letter.attachments,
            content.get("calendar") if message.template is None else None,
            content.get("method") or "REQUEST",
        )
        try:
            await mailer.send(mail)
        except MailRefused as refusal:
            await self._finish(message, MessageState.FAILED, str(refusal))
        except MailUnsent as failure:
            await self._again(message, str(failure))
            return not failure.server_at_fault
        else:
            await self._finish(message, MessageState.SENT)
        return True

    async def _written(self, connection: Connection, message: ClaimedMessage) -> _Written | _Ended:
        """What a message says now, and to whom; or why it has ended instead."""
        reader = None
        if message.user_id is not None:
            reader = await identify_user(connection, message.team_id, message.user_id)
            if reader is None:
                return _Ended(MessageState.CANCELLED, _GONE)
        address = message.address or (reader.user_email if reader is not None else "")
        if message.template is None:
            content = message.content
            return _Written(Letter(str(content["subject"]), str(content["text"]), content.get("html")), address)
        if reader is None:
            return _Ended(MessageState.FAILED, "Nobody is named who reads this.")
        try:
            return _Written(await write(connection, message, reader, datetime.now(UTC)), address)
        except Unwanted as reason:
            return _Ended(MessageState.CANCELLED, str(reason))

    async def _hook(self, message: ClaimedMessage) -> bool:
        async with self._hooks:
            await self._send_hook(message)
        return True

    async def _send_hook(self, message: ClaimedMessage) -> None:
        assert self._sender is not None, "webhooks are claimed only where they can be sent"
        assert self._box is not None, "webhooks are claimed only where they can be signed"
        async with database.acquire(message.team_id) as connection:
            row = await connection.fetchrow(
                "SELECT id, team_id, owner_id, url, secret, state FROM webhook_endpoints "
                "WHERE team_id = $1 AND id = $2",
                message.team_id,
                message.endpoint_id,
            )
            written = await self._hook_for(connection, message, row)
        if isinstance(written, _Ended):
            if written.state is MessageState.WAITING:
                await self._put_off(message, written.reason, PAUSED_WAIT, counted=False)
            else:
                await self._finish(message, written.state, written.reason)
            return
        endpoint = WebhookEndpoint._init_from_db(**{name: row[name] for name in ("id", "team_id", "url", "secret")})
        kind = (message.template or "message").upper()
        body = orjson.dumps({"type": kind, "timestamp": datetime.now(UTC).isoformat(), "data": written.letter.data})
        outgoing = Outgoing(0, f"msg_{message.name}", kind, body)
        secret = self._box.open(endpoint.secret).decode()
        attempt = await send_webhook(self._sender, endpoint, secret, outgoing, body)

        async def work(connection: Connection) -> None:
            await webhooks.log_attempt(connection, endpoint, outgoing, message.attempts, attempt)
            if attempt.error is None:
                await messages.finish(connection, message, MessageState.SENT)
            elif attempt.gone or message.is_old:
                await messages.finish(connection, message, MessageState.FAILED, attempt.error)
            else:
                wait = messages.retry_seconds(message.attempts, random.random())
                capped = min(max(wait, attempt.retry_after_seconds or 0.0), messages.RETRY_LONGEST_SECONDS)
                await messages.put_off(connection, message, attempt.error, timedelta(seconds=capped))

        await database.in_transaction(message.team_id, work)

    async def _hook_for(self, connection: Connection, message: ClaimedMessage, row: Any) -> _Written | _Ended:
        """What goes to an endpoint now; or why nothing does."""
        if row is None:
            return _Ended(MessageState.CANCELLED, "The webhook endpoint is gone.")
        if row["owner_id"] != message.user_id:
            return _Ended(MessageState.CANCELLED, "The webhook endpoint is somebody else's by now.")
        if row["state"] != WebhookState.ACTIVE:
            state = MessageState.FAILED if message.is_old else MessageState.WAITING
            return _Ended(state, "The webhook endpoint rests.")
        return await self._written(connection, message)

    async def _finish(self, message: ClaimedMessage, state: MessageState, error: str | None = None) -> None:
        async with database.acquire(message.team_id) as connection:
            await messages.finish(connection, message, state, error)
        if state is not MessageState.SENT:
            log.info("message.ended", message=str(message.id), state=state.value, reason=error)

    async def _again(self, message: ClaimedMessage, error: str) -> None:
        if message.is_old:
            await self._finish(message, MessageState.FAILED, error)
            return
        wait = timedelta(seconds=messages.retry_seconds(message.attempts, random.random()))
        await self._put_off(message, error, wait)

    async def _put_off(self, message: ClaimedMessage, error: str, wait: timedelta, *, counted: bool = True) -> None:
        async with database.acquire(message.team_id) as connection:
            await messages.put_off(connection, message, error, wait, counted=counted)
