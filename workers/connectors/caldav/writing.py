"""Putting objects into a CalDAV calendar, and taking them out again (RFC 4791, 5.3.2).

An object has one address for ever, made of its UID, so that what is put twice is one. It is put on the condition that
it is as it was left (If-Match), or is not there yet (If-None-Match); where somebody has changed it meanwhile it is
looked at, and then put over what is there: the session stands as Sideline has it.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import urljoin

import httpx

from domain.connectors import RemoteRefused, RemoteUnavailable
from workers.connectors.base import Placed, Session
from workers.connectors.caldav.dav import quoted
from workers.connectors.caldav.discovery import find_home, list_calendars

MEDIA_TYPE: Final = "text/calendar; charset=utf-8"
_NOT_THERE: Final = (404, 410)
_NOT_HERE: Final = (403, 404, 405, 409, 410)
"""A calendar that may not be written to, or is gone."""
_CHANGED: Final = 412
_ATTEMPTS: Final = 4


async def put_object(session: Session, name: str, text: bytes, known: Placed | None) -> Placed:
    """Put an object into the account's calendar.

    Args:
        session: For the connection.
        name: What its address ends with, made of its UID.
        text: The object, without a METHOD.
        known: Where it was left, if it was put before.

    Raises:
        RemoteRefused: there is no calendar that may be written to.
        SyncProblem: it cannot be put now.
    """
    if known is not None:
        placed = await _put(session, known.place, text, known.etag)
        if placed is not None:
            return placed
    home = session.settings.get("home") or (await find_home(session)).url
    for path in await list_calendars(session, home):
        base = path if path.endswith("/") else f"{path}/"
        placed = await _put(session, urljoin(home, quoted(f"{base}{name}.ics")), text, None)
        if placed is not None:
            return placed
    raise RemoteRefused("The account has no calendar that Sideline may write to.")


async def _put(session: Session, address: str, text: bytes, etag: str | None) -> Placed | None:
    """Put an object at an address; None if the calendar there is not for writing."""
    condition = {"if-none-match": "*"} if etag is None else {"if-match": etag}
    for _ in range(_ATTEMPTS):
        response = await _send(
            session, "PUT", address, (*_NOT_HERE, _CHANGED), text, {"content-type": MEDIA_TYPE, **condition}
        )
        if response.is_success:
            return Placed(address, response.headers.get("etag") or await _etag(session, address))
        if response.status_code != _CHANGED:
            return None
        found = await _etag(session, address)
        condition = {"if-none-match": "*"} if found is None else {"if-match": found}
    raise RemoteUnavailable("The calendar's object changes all the time; it is tried again later.")


async def _etag(session: Session, address: str) -> str | None:
    """The state of an object; None if there is none."""
    response = await _send(session, "GET", address, _NOT_THERE, None, {})
    return None if response.status_code in _NOT_THERE else response.headers.get("etag")


async def remove_object(session: Session, place: str) -> None:
    """Take an object out; what is gone already is gone.

    Raises:
        SyncProblem: it cannot be taken out now.
    """
    await _send(session, "DELETE", place, _NOT_THERE, None, {})


async def _send(
    session: Session,
    method: str,
    address: str,
    expected: tuple[int, ...],
    content: bytes | None,
    headers: dict[str, str],
) -> httpx.Response:
    auth = httpx.BasicAuth(session.settings.get("username", ""), session.secrets.get("password", ""))
    session.allows(address)
    return await session.request(method, address, content=content, headers=headers, expected=expected, auth=auth)
