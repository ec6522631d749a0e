"""Sending mail by SMTP.

`SIDELINE_SMTP_URL` says how: `smtps://` speaks TLS from the first byte; `smtp://` takes STARTTLS if it is offered, must
have it with `?starttls=require`, which is the default as soon as the address has a password, and never with `off`.

A mail is accepted once the server has answered 250 to its data. If the connection breaks before that answer, nobody can
know, and the mail is sent again with the same Message-ID, by which mail systems tell a repeat.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.errors import HeaderParseError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import format_datetime
from urllib.parse import parse_qs, unquote, urlsplit

import aiosmtplib

from domain.errors import Invalid

ATTEMPT_SECONDS = 30.0
"""For each answer of the server."""
SUBJECT_LIMIT = 300
STARTTLS_MODES = ("auto", "require", "off")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]")
_FOR_NOW = range(400, 500)


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that goes with a mail."""

    name: str
    media_type: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail.

    Args:
        name: What its Message-ID is made of; the same for each attempt.
        to: The address.
        subject: Whatever it holds, it becomes one line.
        text: The plain part.
        html: The other part; whatever is a person's must have been escaped.
        attachments: Files.
        calendar: An iCalendar text that goes as a third part, as calendars expect invitations.
        calendar_method: Its METHOD.
    """

    name: str
    to: str
    subject: str
    text: str
    html: str | None = None
    attachments: Sequence[Attachment] = ()
    calendar: str | None = None
    calendar_method: str = "REQUEST"


class MailRefused(Exception):
    """The server will never take this mail.

    Args:
        reason: For people.
    """


class MailUnsent(Exception):
    """The mail could not be sent now; again later.

    Args:
        reason: For people.
        server_at_fault: Nothing is wrong with this mail: the server cannot be reached, or does not let us in.
    """

    def __init__(self, reason: str, *, server_at_fault: bool = False) -> None:
        super().__init__(reason)
        self.server_at_fault = server_at_fault


@dataclass(frozen=True, slots=True)
class Route:
    """How mail goes out: what `SIDELINE_SMTP_URL` says."""

    host: str
    port: int
    username: str | None
    password: str | None
    tls: bool
    starttls: str


def read_route(url: str) -> Route:
    """The way that an address tells.

    Raises:
        Invalid: it is none.
    """
    path = ("SIDELINE_SMTP_URL",)
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise Invalid("SIDELINE_SMTP_URL: give smtp://user:password@host:587.", path=path) from error
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
        raise Invalid("SIDELINE_SMTP_URL: give smtp://user:password@host:587 or smtps://…", path=path)
    mode = parse_qs(parts.query).get("starttls", ["require" if parts.password else "auto"])[0]
    if mode not in STARTTLS_MODES:
        raise Invalid(f"SIDELINE_SMTP_URL: starttls is one of {', '.join(STARTTLS_MODES)}.", path=path)
    tls = parts.scheme == "smtps"
    return Route(
        parts.hostname,
        port or (465 if tls else 587 if parts.username else 25),
        unquote(parts.username) if parts.username else None,
        unquote(parts.password) if parts.password else None,
        tls,
        "off" if tls else mode,
    )


def one_line(text: str) -> str:
    """A text as a header may hold it: no line ends, no control characters."""
    return _CONTROLS.sub(" ", text).strip()[:SUBJECT_LIMIT]


def read_address(text: str) -> Address:
    """A mailbox.

    Raises:
        MailRefused: it is none, or more than one.
    """
    try:
        if _CONTROLS.search(text):
            raise ValueError(text)
        if text.isascii():
            return Address(addr_spec=text)
        # The parser knows ASCII alone: it looks at the shape, and the letters come after it.
        Address(addr_spec=_BEYOND_ASCII.sub("x", text))
        local, _at, domain = text.rpartition("@")
        return Address(username=local, domain=domain)
    except (ValueError, IndexError, HeaderParseError) as error:
        raise MailRefused(f"{text[:100]!r} is no address that a mail could go to.") from error


def compose(mail: Mail, sender: str, now: datetime) -> EmailMessage:
    """A mail as it goes over the wire.

    Raises:
        MailRefused: its address is none.
    """
    to = read_address(mail.to)
    message = EmailMessage(policy=SMTP if mail.to.isascii() else SMTPUTF8)
    message["From"] = sender
    message["To"] = to
    message["Subject"] = one_line(mail.subject) or "-"
    message["Date"] = format_datetime(now)
    message["Message-ID"] = message_id(mail.name, sender)
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(mail.text)
    if mail.html is not None:
        message.add_alternative(mail.html, subtype="html")
    if mail.calendar is not None:
        message.add_alternative(mail.calendar, subtype="calendar", params={"method": mail.calendar_method})
    for attachment in mail.attachments:
        kind, _, rest = attachment.media_type.partition("/")
        message.add_attachment(
            attachment.content, maintype=kind, subtype=rest.partition(";")[0], filename=one_line(attachment.name)
        )
    return message


def message_id(name: str, sender: str) -> str:
    """The Message-ID of a mail: the same for each attempt."""
    return f"<{name}@{read_address(_bare(sender)).domain}>"


def _bare(sender: str) -> str:
    found = re.search(r"<([^<>]+)>\s*$", sender)
    return found.group(1) if found else sender.strip()


class Mailer:
    """Sends mail, over one connection for as long as it holds. Not for two tasks at once.

    Args:
        route: How.
        sender: The address that mails come from, with a name if wanted: `Sideline <sideline@example.com>`.
        trust: The authorities that are trusted; the system's by default.

    Raises:
        Invalid: the sender is no address.
    """

    def __init__(self, route: Route, sender: str, *, trust: ssl.SSLContext | None = None) -> None:
        try:
            self._bare_sender = read_address(_bare(sender)).addr_spec
        except MailRefused as error:
            raise Invalid("SIDELINE_MAIL_FROM: give an address, such as sideline@example.com.") from error
        if _CONTROLS.search(sender):
            raise Invalid("SIDELINE_MAIL_FROM: give an address, such as sideline@example.com.")
        self._route = route
        self._sender = sender
        self._trust = trust
        self._client: aiosmtplib.SMTP | None = None

    async def close(self) -> None:
        """Say goodbye, if a connection is open."""
        client, self._client = self._client, None
        if client is None or not client.is_connected:
            return
        try:
            await client.quit()
        except (aiosmtplib.SMTPException, OSError):
            client.close()  # It went without a goodbye: nothing is lost by it.

    async def send(self, mail: Mail) -> None:
        """Send a mail. Returns once the server has said that it has it.

        Raises:
            MailRefused: the server will never take it.
            MailUnsent: not now.
        """
        message = compose(mail, self._sender, datetime.now(UTC))
        client = await self._connected()
        options = []
        if not mail.to.isascii():
            if not client.supports_extension("smtputf8"):
                raise MailRefused("The mail server does not take addresses beyond ASCII.")
            options.append("SMTPUTF8")
        try:
            await client.sendmail(self._bare_sender, mail.to, message.as_bytes(), mail_options=options)
        except aiosmtplib.SMTPRecipientsRefused as error:
            refusal = error.recipients[0]
            await self._reset(client)
            raise _refusal(refusal.code, refusal.message) from error
        except aiosmtplib.SMTPResponseException as error:
            await self._reset(client)
            raise _refusal(error.code, error.message) from error
        except (aiosmtplib.SMTPException, OSError) as error:
            self._drop()
            raise MailUnsent(f"The mail server broke off: {_told(error)}") from error

    async def _connected(self) -> aiosmtplib.SMTP:
        if self._client is not None and self._client.is_connected:
            return self._client
        route = self._route
        client = aiosmtplib.SMTP(
            hostname=route.host,
            port=route.port,
            use_tls=route.tls,
            start_tls={"auto": None, "require": True, "off": False}[route.starttls],
            tls_context=self._trust,
            username=route.username,
            password=route.password,
            timeout=ATTEMPT_SECONDS,
        )
        try:
            await client.connect()
        except (aiosmtplib.SMTPException, OSError, ssl.SSLError) as error:
            client.close()
            raise MailUnsent(f"The mail server cannot be used: {_told(error)}", server_at_fault=True) from error
        self._client = client
        return client

    async def _reset(self, client: aiosmtplib.SMTP) -> None:
        """Make ready for the next mail; a server that hung up is called anew."""
        try:
            await client.rset()
        except (aiosmtplib.SMTPException, OSError):
            self._drop()

    def _drop(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None


def _refusal(code: int, text: str) -> MailRefused | MailUnsent:
    told = f"The mail server answered {code}: {one_line(text)}"
    return MailUnsent(told) if code in _FOR_NOW else MailRefused(told)


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {one_line(str(error))}"
