"""Where an account's calendars are: from the address that a person gives to the calendar home (RFC 4791, RFC 6764)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urljoin, urlsplit, urlunsplit

from caldav.elements import cdav, dav
from caldav.response import PropfindResult

from domain.connectors import RemoteRefused
from workers.connectors.base import Session
from workers.connectors.caldav.dav import CalendarTag, Dav, path_of, target_of

WELL_KNOWN: Final = "/.well-known/caldav"
_ABSENT: Final = (400, 403, 404, 405, 410, 501)
_ASKED: Final = (dav.CurrentUserPrincipal, cdav.CalendarHomeSet, cdav.CalendarUserAddressSet, dav.ResourceType)
_SYNC_COLLECTION: Final = dav.SyncCollection.tag


@dataclass(frozen=True, slots=True)
class Home:
    """Where the calendars are.

    Args:
        url: The collection that holds them; or the one calendar, if the address is that of a calendar and says no more.
        addresses: Under which addresses the account's owner is invited, as the server tells.
    """

    url: str
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Calendar:
    """A calendar of events.

    Args:
        path: Its path, which is what it is known by.
        syncs: Whether it tells what has changed since a token.
        token: Its state now, if it syncs.
        ctag: Its state now, where the server tells.
        zone: The definition of the zone of times without one, where the server tells.
    """

    path: str
    syncs: bool
    token: str | None
    ctag: str | None
    zone: str | None


def given_url(session: Session) -> str:
    """The address that the connection was told.

    Raises:
        RemoteRefused: it is none.
    """
    given = session.settings.get("url", "").strip()
    parts = urlsplit(given if "://" in given else f"https://{given}")
    if not parts.hostname or parts.scheme not in ("http", "https"):
        raise RemoteRefused("The server's address is none such as https://caldav.example.")
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment=""))


async def find_home(session: Session) -> Home:
    """Find an account's calendars.

    Raises:
        RemoteRefused: there are none behind the address.
        SyncProblem: it cannot be told now.
    """
    protocol, given = Dav(session), given_url(session)
    for url in dict.fromkeys((given, urljoin(given, WELL_KNOWN))):
        found = await _properties(protocol, url)
        if found is None:
            continue
        url, properties = found
        principal = properties.get(dav.CurrentUserPrincipal.tag)
        if not _home_of(properties) and isinstance(principal, str):
            at_principal = await _properties(protocol, target_of(url, principal))
            if at_principal is not None and _home_of(at_principal[1]):
                url, properties = at_principal
        if (home := _home_of(properties)) is not None:
            return Home(target_of(url, home), tuple(_addresses(properties)))
        if cdav.Calendar.tag in _list(properties.get(dav.ResourceType.tag)):
            return Home(url, ())
    raise RemoteRefused(
        f"There is no CalDAV behind {given}: give the address that your calendar's provider names for other programs."
    )


async def _properties(protocol: Dav, url: str) -> tuple[str, Mapping[str, Any]] | None:
    found = await protocol.propfind(url, [one() for one in _ASKED], 0, expected=_ABSENT)
    if found is None or not found[1]:
        return None
    return found[0], found[1][0].properties


def _home_of(properties: Mapping[str, Any]) -> str | None:
    homes = [one for one in _list(properties.get(cdav.CalendarHomeSet.tag)) if one.strip()]
    return homes[0].strip() if homes else None


def _addresses(properties: Mapping[str, Any]) -> list[str]:
    texts = _list(properties.get(cdav.CalendarUserAddressSet.tag))
    return [text[7:].strip().lower() for text in texts if text[:7].lower() == "mailto:"]


def _list(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


async def list_calendars(session: Session, home: str) -> dict[str, Calendar]:
    """The calendars of a home that hold events, by path, with their states: one request for all.

    Raises:
        SyncProblem: they cannot be had.
    """
    asked = [
        dav.ResourceType(),
        cdav.SupportedCalendarComponentSet(),
        dav.SupportedReportSet(),
        dav.SyncToken(),
        CalendarTag(),
        cdav.CalendarTimeZone(),
    ]
    found = await Dav(session).propfind(home, asked, 1)
    assert found is not None
    results = found[1]
    itself = [one for one in results if one.href.rstrip("/") == path_of(home).rstrip("/")]
    if any(cdav.Calendar.tag in _list(one.properties.get(dav.ResourceType.tag)) for one in itself):
        results = itself  # The home is the one calendar, and the rest are its events.
    calendars = (_calendar(one) for one in results)
    return {one.path: one for one in calendars if one is not None}


def _calendar(result: PropfindResult) -> Calendar | None:
    properties = result.properties
    if cdav.Calendar.tag not in _list(properties.get(dav.ResourceType.tag)):
        return None
    components = _list(properties.get(cdav.SupportedCalendarComponentSet.tag))
    if components and "VEVENT" not in (one.upper() for one in components):
        return None
    token = _text(properties.get(dav.SyncToken.tag))
    return Calendar(
        path=result.href,
        syncs=token is not None or _SYNC_COLLECTION in _list(properties.get(dav.SupportedReportSet.tag)),
        token=token,
        ctag=_text(properties.get(CalendarTag.tag)),
        zone=_text(properties.get(cdav.CalendarTimeZone.tag)),
    )


def _text(value: object) -> str | None:
    return value.strip() or None if isinstance(value, str) else None
