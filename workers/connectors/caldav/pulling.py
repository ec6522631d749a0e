"""What has changed in an account's calendars, page by page.

A round begins with one request for the states of all calendars. Those whose state is another one than when they were
last read are then read one after the other: which resources have changed or gone (by sync token, else by ETags), then
those that have changed, in lots. A document is a resource under its path, since a path is all that is told of what was
deleted; the UID inside identifies the meeting, so an event that moves between calendars stays one.

A cursor holds `home` (an address), `calendars` (by path, `token`, `ctag`, `zone` and, only where there are no tokens,
`etags`), `queue` (the calendars still to be read in this round, with the states that they had), `lot` (what of the
first of them is still to be fetched; names in it, or paths elsewhere) and `more` (the server has told a part of its
changes only).
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import urljoin

from caldav.elements import dav
from caldav.response import CalendarQueryResult

from domain.connectors import Cursor, CursorExpired, Document, Page, RemoteUnavailable
from workers.connectors.base import Session
from workers.connectors.caldav.dav import Dav, quoted
from workers.connectors.caldav.discovery import Calendar, find_home, list_calendars
from workers.connectors.calendars import event_document
from workers.connectors.ical.feed import read_feed

LOT: Final = 100
"""So many resources are fetched at once."""
_NOT_FOUND: Final = 404
EXPIRED: Final = (400, 403, 404, 409, 410, 412, 501, 507)
"""How servers say that they know a token no more, or that they do not sync by tokens."""
NOT_READABLE: Final = (403, 404, 410)
"""A calendar of somebody else's of which only the name may be seen, or that has gone since it was listed."""


async def pull_page(session: Session, cursor: Cursor | None) -> Page:
    """The next page.

    Raises:
        CursorExpired: a calendar is gone, or a server has forgotten what it told.
        SyncProblem: it cannot be had now.
    """
    begins_full = cursor is None
    if cursor is not None and cursor["home"] != session.settings.get("home", cursor["home"]):
        raise CursorExpired("The calendars are at another address now.")
    if cursor is None or not cursor["queue"]:
        cursor = await _round(session, cursor)
        if not cursor["queue"]:
            return Page((), cursor, done=True, begins_full=begins_full)
    page = await (_fetch(session, cursor) if cursor["lot"] else _list_changes(session, cursor))
    return Page(page.documents, page.cursor, page.done, begins_full=begins_full)


async def _round(session: Session, cursor: Cursor | None) -> Cursor:
    """Begin a round: which calendars are there, and which of them have changed."""
    if cursor is None:
        home = session.settings.get("home") or (await find_home(session)).url
        known: Mapping[str, Any] = {}
    else:
        home, known = cursor["home"], cursor["calendars"]
    found = await list_calendars(session, home)
    if set(known) - set(found):
        raise CursorExpired("A calendar is gone: all that are left are read anew.")
    queue = [
        {"path": one.path, "syncs": one.syncs, "ctag": one.ctag, "zone": _zone_name(one.zone)}
        for one in found.values()
        if _has_changed(one, known.get(one.path))
    ]
    return {"home": home, "calendars": dict(known), "queue": queue, "lot": [], "more": False}


def _has_changed(calendar: Calendar, known: Mapping[str, Any] | None) -> bool:
    """Whether a calendar's state is another one; so it is taken to be where a server does not tell."""
    if known is None:
        return True
    if calendar.ctag is not None and calendar.ctag == known["ctag"]:
        return False
    return calendar.token is None or calendar.token != known["token"]


def _zone_name(definition: str | None) -> str | None:
    """The name of the zone that a calendar says is its own."""
    if definition is None:
        return None
    for part in definition.splitlines():
        name, _, value = part.partition(":")
        if name.partition(";")[0].strip().upper() == "TZID":
            return value.strip() or None
    return None


async def _list_changes(session: Session, cursor: Cursor) -> Page:
    """What has changed in the calendar whose turn it is, and the first lot of it."""
    entry = cursor["queue"][0]
    path, known = entry["path"], cursor["calendars"].get(entry["path"])
    address = urljoin(cursor["home"], quoted(path))
    changes = await _by_token(session, address, known) if entry["syncs"] else None
    if changes is None:
        changes = await _by_etags(session, address, path, known)
    changed, gone, state, more = changes
    base = _base(path)
    # Some servers name the calendar itself, or collections in it, among what has changed.
    names = [one.removeprefix(base) for one in changed if one != path and not one.endswith("/")]
    following = {
        **cursor,
        "calendars": {
            **cursor["calendars"],
            path: {**state, "ctag": None if more else entry["ctag"], "zone": entry["zone"]},
        },
        "queue": cursor["queue"] if names or more else cursor["queue"][1:],
        "lot": names,
        "more": more,
    }
    deleted = [event_document(one, deleted=True) for one in gone if one != path]
    if not names:
        return Page(deleted, following, done=not following["queue"])
    page = await _fetch(session, following)
    return Page([*deleted, *page.documents], page.cursor, page.done)


Changes = tuple[list[str], list[str], dict[str, Any], bool]
"""Paths that are new or changed, paths that are gone, what is to be known of the calendar, whether there is more."""


async def _by_token(session: Session, address: str, known: Mapping[str, Any] | None) -> Changes | None:
    """What a server tells to have changed since a token; None if it does not do that."""
    token = (known or {}).get("token") or ""
    if known is not None and not token:
        return None
    result = await Dav(session).sync_collection(address, token, expected=EXPIRED)
    if result is None:
        if token:
            raise CursorExpired("The server has forgotten since when a calendar was read: all is read anew.")
        return None
    if not result.sync_token or (result.truncated and result.sync_token == token):
        raise RemoteUnavailable("The server does not tell from where to go on; it is tried again later.")
    changed = [one.href for one in result.changed]
    return changed, result.deleted, {"token": result.sync_token}, result.truncated


async def _by_etags(session: Session, address: str, path: str, known: Mapping[str, Any] | None) -> Changes:
    """What has changed by a comparison of all ETags."""
    before: Mapping[str, str] = (known or {}).get("etags") or {}
    found = await Dav(session).propfind(address, [dav.GetEtag(), dav.ResourceType()], 1, expected=NOT_READABLE)
    if found is None:
        return [], list(before), {"token": None, "etags": {}}, False
    now: dict[str, str] = {}
    for one in found[1]:
        kinds = one.properties.get(dav.ResourceType.tag)
        if one.href.rstrip("/") != path.rstrip("/") and not (isinstance(kinds, list) and dav.Collection.tag in kinds):
            etag = one.properties.get(dav.GetEtag.tag)
            now[one.href] = _short(etag) if isinstance(etag, str) else ""
    # Without an ETag, a resource may have changed.
    changed = [href for href, etag in now.items() if not etag or before.get(href) != etag]
    return changed, [href for href in before if href not in now], {"token": None, "etags": now}, False


def _short(etag: str) -> str:
    """What stands for an ETag in a cursor, which holds one for each resource."""
    return hashlib.blake2b(etag.encode("utf-8", "replace"), digest_size=6).hexdigest()


def _base(path: str) -> str:
    return path if path.endswith("/") else f"{path}/"


async def _fetch(session: Session, cursor: Cursor) -> Page:
    """The next lot of what has changed in the calendar whose turn it is."""
    entry = cursor["queue"][0]
    path, base = entry["path"], _base(entry["path"])
    now, later = cursor["lot"][:LOT], cursor["lot"][LOT:]
    paths = [name if name.startswith("/") else f"{base}{name}" for name in now]
    results = await Dav(session).multiget(urljoin(cursor["home"], quoted(path)), paths)
    given = {one.href: one for one in results}
    if given.keys().isdisjoint(paths):
        raise RemoteUnavailable("The server gives nothing of what it told to have changed; it is tried again later.")
    documents = await asyncio.to_thread(_documents, paths, given, entry["zone"])
    finished = not later and not cursor["more"]
    following = {**cursor, "lot": later, "queue": cursor["queue"][1:] if finished else cursor["queue"]}
    return Page(documents, following, done=not following["queue"])


def _documents(paths: Iterable[str], given: Mapping[str, CalendarQueryResult], zone: str | None) -> list[Document]:
    return [_document(path, given.get(path), zone) for path in paths]


def _document(path: str, result: CalendarQueryResult | None, zone: str | None) -> Document:
    """The document of a resource. One without events is no document, and none any more if it was one."""
    if result is not None and result.status == _NOT_FOUND:
        return event_document(path, deleted=True)
    text = (result and result.calendar_data) or ""
    feed = read_feed(text)
    if feed is None or not feed.whole:
        # No calendar, or half of one, or a resource that the server keeps to itself: it is for the mapping to say so.
        return event_document(path, {"text": text[:10_000], "zone": None})
    if not feed.events:
        return event_document(path, deleted=True)
    return event_document(path, {"text": "".join(feed.events.values()), "zone": feed.zone or zone})
