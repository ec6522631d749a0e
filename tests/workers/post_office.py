"""A real SMTP server for tests, with the moods that servers have."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default as default_policy
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope, Session


@dataclass
class Taken:
    """A mail that the server has."""

    sender: str
    recipients: list[str]
    content: bytes

    @property
    def message(self) -> EmailMessage:
        """It, parsed."""
        found = message_from_bytes(self.content, policy=default_policy)
        assert isinstance(found, EmailMessage)
        return found


Mood = Callable[[str], str | None]
"""Given a recipient, what the server answers to RCPT; None: it takes it."""


@dataclass
class PostOffice:
    """The server; `taken` is what it has."""

    taken: list[Taken] = field(default_factory=list)
    url: str = ""
    rcpt: Mood = lambda _recipient: None
    data: Callable[[Taken], str | None] = lambda _mail: None
    cut_after_data: int = 0
    """So many times it takes a mail and hangs up before it says so."""

    async def handle_RCPT(
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        refusal = self.rcpt(address)
        if refusal is not None:
            return refusal
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, _session: Session, envelope: Envelope) -> str:
        content = envelope.content
        mail = Taken(
            envelope.mail_from or "",
            list(envelope.rcpt_tos),
            content if isinstance(content, bytes) else str(content).encode(),
        )
        refusal = self.data(mail)
        if refusal is not None:
            return refusal
        self.taken.append(mail)
        if self.cut_after_data > 0:
            self.cut_after_data -= 1
            assert server.transport is not None
            server.transport.abort()
        return "250 OK"

    async def open(self, **options: Any) -> str:
        """Listen. Returns the address for `SIDELINE_SMTP_URL`."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: SMTP(self, enable_SMTPUTF8=options.pop("utf8", True), **options), host="127.0.0.1", port=0
        )
        port = self._server.sockets[0].getsockname()[1]
        return f"smtp://127.0.0.1:{port}"

    async def close(self) -> None:
        """Stop listening."""
        self._server.close()
