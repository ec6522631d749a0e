"""CalDAV (RFC 4791): all calendars of an account on any server that speaks it, with a user's name and an app password.

A sync in which nothing has changed is one request for all calendars (sync tokens and ctags of the whole home); see
`pulling` for the rest. Events are read as those of calendar links are (`workers.connectors.ical`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

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
    Setting,
)
from domain.models.teams import Feed
from workers.connectors.base import Session
from workers.connectors.caldav.discovery import find_home, given_url, list_calendars
from workers.connectors.caldav.pulling import pull_page
from workers.connectors.ical import OWN_ADDRESSES, map_document, own_addresses

MANIFEST: Final = Manifest(
    kind="caldav",
    label="Calendar (CalDAV)",
    audience=Audience.PERSON,
    feeds=(Feed.CALENDAR,),
    settings=(
        Setting(
            "url",
            "Server",
            help="The address that your calendar's provider names for other programs, such as https://caldav.icloud.com.",
        ),
        Setting("username", "User name", help="As a rule your email address there."),
        Setting(
            "password",
            "App password",
            secret=True,
            help="Made in your account's settings for this alone; most refuse the account's own password.",
        ),
        OWN_ADDRESSES,
    ),
    keeps_documents=True,
)


class CalDav:
    """The connector."""

    manifest: Manifest = MANIFEST

    async def check(self, session: Session) -> Account:
        """Whose calendars they are, and where."""
        home = await find_home(session)
        calendars = await list_calendars(session, home.url)
        if not calendars:
            raise RemoteRefused("The account has no calendar for events: make one there, then check again.")
        username = session.settings.get("username", "")
        return Account(
            name=(home.addresses[0] if home.addresses else username)[:255],
            id=f"{username}@{urlsplit(given_url(session)).hostname}"[:255],
            settings={"home": home.url, "principal_addresses": " ".join(home.addresses)},
        )

    async def pull(self, session: Session, cursor: Cursor | None) -> Page:
        """The next resources that have changed."""
        return await pull_page(session, cursor)

    def map(self, document: Document, context: MappingContext, state: Mapping[str, Any] | None) -> Mapped:
        """The meetings of an event."""
        settings = context.settings
        told = {*settings.get("principal_addresses", "").split(), settings.get("username", "").lower()}
        # An address that somebody else has on the team is theirs, whatever the server says.
        own = own_addresses(settings) | frozenset(told - context.members)
        return map_document(document, own, context, state)


connector = CalDav()
