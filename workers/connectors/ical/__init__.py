"""Calendars behind an address (iCalendar, RFC 5545): the private link that most calendars offer, `webcal:` too.

The address itself is what lets in, so it is a secret. A sync is one conditional request; where the server has neither
ETag nor Last-Modified, or changes them without need, a digest of the events tells whether anything is new. If it is,
all events are listed, a document for each UID with all exceptions of its series; what is not there any more is
deleted. Many servers show the last months only (Exchange three, unless told otherwise), so what was over for a month
when it went missing is taken to have dropped out of those, and stays. A calendar that broke off before its END is not
taken for one whose events are gone.

A cursor holds `etag`, `modified` and `digest`, and in `watched`, by id, until which day the events go that are not over
for so long; null for those whose end is not known.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urljoin, urlsplit, urlunsplit

import httpx

from domain.connectors import (
    Account,
    Audience,
    Cursor,
    Document,
    Manifest,
    Mapped,
    MappingContext,
    Page,
    RemoteRefused,
    RemoteUnavailable,
    Setting,
)
from domain.models.teams import Feed as MetricFeed
from domain.records import RecordRefused
from workers.connectors.base import Session
from workers.connectors.calendars import event_document
from workers.connectors.ical.events import map_event
from workers.connectors.ical.feed import Feed, last_day, read_feed

OWN_ADDRESSES: Final = Setting(
    "addresses",
    "Your other email addresses",
    required=False,
    help="Under which you are invited or invite in this calendar, if not under the one that you have here; with spaces "
    "in between.",
)

MANIFEST: Final = Manifest(
    kind="ical",
    label="Calendar link (iCal)",
    audience=Audience.PERSON,
    feeds=(MetricFeed.CALENDAR,),
    settings=(
        Setting(
            "url",
            "Calendar link",
            secret=True,
            help="The private address of your calendar in iCal format, which its settings show. It has to tell who is "
            "invited: a link that shows only when you are busy brings nothing.",
        ),
        OWN_ADDRESSES,
    ),
    # Those who offer such links make them anew every few hours at best.
    interval_minutes=30,
    keeps_documents=True,
)

NO_CALENDAR: Final = "What is behind the link is no calendar; it is tried again later."
OVER: Final = timedelta(days=31)
"""What was over for longer than this when it went missing stays."""
SIZE_LIMIT_BYTES: Final = 32 * 2**20
REDIRECTS: Final = 3
_REDIRECTS: Final = (301, 302, 303, 307, 308)
_NOT_MODIFIED: Final = 304


class ICal:
    """The connector."""

    manifest: Manifest = MANIFEST

    async def check(self, session: Session) -> Account:
        """Whether there is a calendar behind the address."""
        address = _address(session)
        response = await _get(session, address, {})
        feed = await asyncio.to_thread(_feed, response)
        if feed is None and response.content.lstrip()[:1] == b"<":
            raise RemoteRefused(
                "Behind the link is a page to look at: it has to be the private address of the calendar in iCal format."
            )
        if feed is None:
            raise RemoteUnavailable(NO_CALENDAR)
        # The address lets in: neither its host's other calendars nor people may come to know it by the account.
        identity = hashlib.sha256(address.encode()).hexdigest()
        return Account(name=(feed.name or urlsplit(address).hostname or "calendar")[:255], id=identity)

    async def pull(self, session: Session, cursor: Cursor | None) -> Page:
        """All events if anything has changed, and what is gone; else nothing."""
        known = cursor or {}
        conditions = {
            name: known[key]
            for name, key in (("if-none-match", "etag"), ("if-modified-since", "modified"))
            if known.get(key)
        }
        response = await _get(session, _address(session), conditions)
        if response.status_code == _NOT_MODIFIED:
            return Page((), known, done=True)
        feed = await asyncio.to_thread(_feed, response)
        if feed is None:
            raise RemoteUnavailable(NO_CALENDAR)
        following = {
            "etag": response.headers.get("etag"),
            "modified": response.headers.get("last-modified"),
            "digest": feed.digest,
        }
        if known.get("digest") == feed.digest:
            return Page((), {**following, "watched": known["watched"]}, done=True)
        documents = [event_document(uid, {"text": text, "zone": feed.zone}) for uid, text in feed.events.items()]
        over = (session.now - OVER).date().isoformat()
        ends = {one.id: last_day(one.data["text"]) for one in documents}
        gone = [
            event_document(name, deleted=True)
            for name, end in known.get("watched", {}).items()
            if name not in ends and (end is None or end >= over)
        ]
        watched = {
            name: end and end.isoformat() for name, end in ends.items() if end is None or end.isoformat() >= over
        }
        return Page(
            [*gone, *documents],
            {**following, "watched": watched},
            done=True,
            begins_full=cursor is None,
            total=len(gone) + len(documents),
        )

    def map(self, document: Document, context: MappingContext, state: Mapping[str, Any] | None) -> Mapped:
        """The meetings of an event."""
        return map_document(document, own_addresses(context.settings), context, state)


def own_addresses(settings: Mapping[str, str]) -> frozenset[str]:
    """The addresses that a connection's owner has besides the team's: what is told, with spaces or commas between."""
    return frozenset(settings.get(OWN_ADDRESSES.name, "").replace(",", " ").lower().split())


def map_document(
    document: Document, own: frozenset[str], context: MappingContext, state: Mapping[str, Any] | None
) -> Mapped:
    """The meetings of a document that holds an event's `text` and the name of its calendar's `zone`.

    Raises:
        RecordRefused: it makes no sense.
    """
    data = document.data
    text, zone = (data.get("text"), data.get("zone")) if isinstance(data, Mapping) else (None, None)
    if not isinstance(text, str) or not (zone is None or isinstance(zone, str)):
        raise RecordRefused("INVALID", None, "The document holds no event.")
    if not text.strip():
        raise RecordRefused("INVALID", None, "The server did not give the event's text.")
    return map_event(text, zone, own, context, state)


def _address(session: Session) -> str:
    """The address, as one of the web.

    Raises:
        RemoteRefused: it is none.
    """
    parts = urlsplit(session.secrets.get("url", "").strip())
    scheme = {"webcal": "https", "webcals": "https"}.get(parts.scheme.lower(), parts.scheme)
    if not parts.hostname or scheme not in ("http", "https"):
        raise RemoteRefused("The calendar link is no address such as https://calendar.example/private/basic.ics.")
    return urlunsplit(parts._replace(scheme=scheme, fragment=""))


async def _get(session: Session, address: str, conditions: Mapping[str, str]) -> httpx.Response:
    """What is behind an address, or the answer that it has not changed.

    Raises:
        SyncProblem: it cannot be had.
    """
    headers = {"accept": "text/calendar, text/plain;q=0.5, */*;q=0.1", **conditions}
    for _ in range(1 + REDIRECTS):
        session.allows(address)
        response = await session.request("GET", address, headers=headers, expected=(_NOT_MODIFIED, *_REDIRECTS))
        if response.status_code not in _REDIRECTS:
            return response
        target = urljoin(address, response.headers.get("location", ""))
        if urlsplit(target).hostname != urlsplit(address).hostname:
            raise RemoteRefused(
                f"The calendar link leads on to {urlsplit(target).hostname}: give the address that it leads to."
            )
        address = target
    raise RemoteRefused(f"The calendar link leads on more than {REDIRECTS} times: give the address that it leads to.")


def _feed(response: httpx.Response) -> Feed | None:
    """The calendar of an answer; None if it is none.

    Raises:
        RemoteRefused: it is too large.
        RemoteUnavailable: it broke off.
    """
    if len(response.content) > SIZE_LIMIT_BYTES:
        limit = SIZE_LIMIT_BYTES // 2**20
        raise RemoteRefused(f"The calendar is larger than {limit} MiB; give the link of a smaller one.")
    feed = read_feed(response.content.decode("utf-8-sig", "replace"))
    if feed is not None and not feed.whole:
        raise RemoteUnavailable("The calendar breaks off before its end; it is tried again later.")
    return feed


connector = ICal()
