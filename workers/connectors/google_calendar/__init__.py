"""Google Calendar, API v3: the primary calendar of whoever connects it.

Meetings are booked on the primary calendar; further calendars that a person owns are as a rule not of work, so they are
left alone. A document is a single event, or a recurring one with its instances, under Google's id of it (all that
Google tells of what was deleted is an id); the `iCalUID` inside identifies the meeting in all calendars.

A sync follows Google's sync tokens. Whatever changes in a series, the whole series is fetched again; the ids of those
still to be fetched are in the cursor, so that a pull is small. Every 90 days everything is listed anew, for series go
on. Google's push channels are not used: they need an address that Google can reach, and a poll of one request does.

A cursor holds `since` (the first day taken in), `listed` (when the last full listing began), `sync` and `page`
(Google's tokens) and `series` (ids).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from domain.connectors import Account, Cursor, Document, Manifest, Mapped, MappingContext, Page
from workers.connectors.base import Session
from workers.connectors.calendars import AHEAD, SINCE, event_document, first_day, nameless_document, start_of
from workers.connectors.google_calendar import client
from workers.connectors.google_calendar.manifest import MANIFEST
from workers.connectors.google_calendar.mapping import is_meeting, map_event

LISTED_ANEW: Final = timedelta(days=90)
SERIES_AT_ONCE: Final = 10
"""So many series a pull fetches: a handful of requests each."""


class GoogleCalendar:
    """The connector."""

    manifest: Manifest = MANIFEST

    async def check(self, session: Session) -> Account:
        """Whose calendar it is, and whether its events may be read."""
        since = first_day(session.settings, None, session.now)
        email = await client.primary_id(session)
        await client.may_read_events(session)
        return Account(name=email, id=email.lower(), settings={SINCE.name: since.isoformat()})

    async def pull(self, session: Session, cursor: Cursor | None) -> Page:
        """The next page of events, or the next few series."""
        since = first_day(session.settings, cursor, session.now)
        if cursor is None or cursor["since"] != since.isoformat():
            return await _listed(session, _fresh(since.isoformat(), session.now), begins_full=True)
        if cursor["page"] is not None:
            return await _listed(session, cursor)
        if cursor["series"]:
            return await _fetched(session, cursor)
        if session.now - datetime.fromisoformat(cursor["listed"]) >= LISTED_ANEW:
            return await _listed(session, _fresh(since.isoformat(), session.now), begins_full=True)
        return await _listed(session, cursor)

    def map(self, document: Document, context: MappingContext, state: Mapping[str, Any] | None) -> Mapped:
        """The meetings of an event."""
        return map_event(document.data, context, state)


def _fresh(since: str, now: datetime) -> Cursor:
    return {"since": since, "listed": now.isoformat(), "sync": None, "page": None, "series": []}


async def _listed(session: Session, cursor: Cursor, begins_full: bool = False) -> Page:
    since = start_of(first_day({}, cursor, session.now))
    found = await client.list_events(session, since, cursor["sync"], cursor["page"])
    documents: list[Document] = []
    series = dict.fromkeys(cursor["series"])
    for item in found.items:
        event_id = item.get("id") if isinstance(item, dict) else None
        if not isinstance(event_id, str) or not event_id:
            documents.append(nameless_document(item))
        elif isinstance(master_id := item.get("recurringEventId"), str) and master_id:
            if is_meeting(item):
                series[master_id] = None
        elif item.get("status") == "cancelled":
            documents.append(event_document(event_id, deleted=True))
        elif not is_meeting(item):
            continue
        elif item.get("recurrence"):
            series[event_id] = None
        else:
            documents.append(event_document(event_id, item, deleted=_is_before(item, since)))
    next_cursor = {
        **cursor,
        "sync": cursor["sync"] if found.next_page is not None else found.next_sync,
        "page": found.next_page,
        "series": list(series),
    }
    return Page(documents, next_cursor, done=found.next_page is None and not series, begins_full=begins_full)


async def _fetched(session: Session, cursor: Cursor) -> Page:
    since = start_of(first_day({}, cursor, session.now))
    now, later = cursor["series"][:SERIES_AT_ONCE], cursor["series"][SERIES_AT_ONCE:]
    documents: list[Document] = []
    for master_id in now:
        data = await client.get_series(session, master_id, since, session.now + AHEAD)
        if data is None:
            documents.append(event_document(master_id, deleted=True))
        elif is_meeting(data["master"]):
            documents.append(event_document(master_id, data))
    return Page(documents, {**cursor, "series": later}, done=not later)


def _is_before(item: Mapping[str, Any], since: datetime) -> bool:
    """Whether an event ended before the first day, which a full listing would not name: changes are told of any age."""
    end = item.get("end")
    text = (end.get("dateTime") or end.get("date")) if isinstance(end, dict) else None
    try:
        # What is off by a time zone is off by less than a day.
        return isinstance(text, str) and datetime.fromisoformat(text[:10]).date() < since.date() - timedelta(days=1)
    except ValueError:
        return False


connector = GoogleCalendar()
