"""Microsoft 365, Microsoft Graph v1.0: the default calendar of whoever connects it.

A document is a single event, or a series with its occurrences, under Microsoft's id of it (all that is told of what
went is an id); the `iCalUId` inside identifies the meeting in all calendars.

A sync follows the delta of a calendar view, which is bound to a span of time. Occurrences come in it with their times
alone, and one that was deleted not at all: only its series comes. So whatever comes of a series, the whole series is
fetched; the ids of those still to be fetched are in the cursor, so that a pull is small. Every 60 days the view is
listed anew, with an end that has moved on. Change notifications are not used: they need an address that Microsoft can
reach, and a poll of one request does.

A cursor holds `since` (the first day taken in), `listed` (when the view was listed), `link` (where to go on in it; None
to list anew), `complete` (whether the link waits for the next sync) and `series` (ids).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from domain.connectors import Account, Cursor, Document, Manifest, Mapped, MappingContext, Page
from workers.connectors.base import Session
from workers.connectors.calendars import AHEAD, SINCE, event_document, first_day, nameless_document, start_of
from workers.connectors.microsoft365 import client
from workers.connectors.microsoft365.manifest import MANIFEST
from workers.connectors.microsoft365.mapping import map_event

LISTED_ANEW: Final = timedelta(days=60)
SERIES_AT_ONCE: Final = 10
"""So many series a pull fetches: a handful of requests each."""

LONGEST_VIEW: Final = timedelta(days=1825)
"""Microsoft Graph refuses a calendar view that spans more."""


class Microsoft365:
    """The connector."""

    manifest: Manifest = MANIFEST

    async def check(self, session: Session) -> Account:
        """Whose calendar it is."""
        since = first_day(session.settings, None, session.now)
        name, account_id = await client.owner_of_calendar(session)
        return Account(name=name, id=account_id, settings={SINCE.name: since.isoformat()})

    async def pull(self, session: Session, cursor: Cursor | None) -> Page:
        """The next page of changes, or the next few series."""
        since = first_day(session.settings, cursor, session.now).isoformat()
        if cursor is None or cursor["since"] != since:
            cursor = {"since": since, "listed": None, "link": None, "complete": False, "series": []}
        if cursor["series"]:
            return await _fetched(session, cursor)
        return await _listed(session, cursor)

    def map(self, document: Document, context: MappingContext, state: Mapping[str, Any] | None) -> Mapped:
        """The meetings of an event."""
        return map_event(document.data, context, state)


async def _listed(session: Session, cursor: Cursor) -> Page:
    link = cursor["link"]
    begins = link is None
    start, end = _view(cursor, session.now)
    found = await client.list_changes(session, link, start, end)
    listed = session.now if begins else datetime.fromisoformat(cursor["listed"])
    documents: list[Document] = []
    series: dict[str, None] = {}
    for item in found.items:
        event_id = item.get("id") if isinstance(item, dict) else None
        if not isinstance(event_id, str) or not event_id:
            documents.append(nameless_document(client.kept_of(item)))
        elif "@removed" in item:
            documents.append(event_document(event_id, deleted=True))
        elif item.get("type") == "seriesMaster":
            series[event_id] = None
        elif isinstance(master_id := item.get("seriesMasterId"), str) and master_id:
            series[master_id] = None
        else:
            documents.append(event_document(event_id, client.kept_of(item)))
    # The view ends with a date: before it is listed anew, what changed in the old one has been told.
    renew = found.complete and session.now - listed >= LISTED_ANEW
    next_cursor = {
        **cursor,
        "listed": listed.isoformat(),
        "link": None if renew else found.link,
        "complete": found.complete and not renew,
        "series": list(series),
    }
    return Page(
        documents,
        next_cursor,
        done=next_cursor["complete"] and not series,
        # A view that cannot reach back to the first day does not name everything: nothing is gone for its saying so.
        begins_full=begins and start == start_of(first_day({}, cursor, session.now)),
    )


async def _fetched(session: Session, cursor: Cursor) -> Page:
    start, end = _view(cursor, session.now)
    now, later = cursor["series"][:SERIES_AT_ONCE], cursor["series"][SERIES_AT_ONCE:]
    documents: list[Document] = []
    for master_id in now:
        data = await client.get_series(session, master_id, start, end)
        documents.append(event_document(master_id, data, deleted=data is None))
    return Page(documents, {**cursor, "series": later}, done=cursor["complete"] and not later)


def _view(cursor: Cursor, now: datetime) -> tuple[datetime, datetime]:
    end = now + AHEAD
    return max(start_of(first_day({}, cursor, now)), end - LONGEST_VIEW), end


connector = Microsoft365()
