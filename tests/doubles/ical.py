"""A calendar behind a private link.

Written from RFC 5545 (iCalendar), RFC 9110 (conditional requests: ETag, Last-Modified, 304), RFC 7986 (properties of
calendars) and Google Calendar Help, "Sync your calendar with computer programs" (the secret address in iCal format,
under a token in the path).
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from tests.doubles.base import Double

CUSTOMER = "buyer@customer.test"
CREATED = timedelta(days=3)
"""So long before it starts was a meeting booked."""


def event_text(uid: str, starts_at: datetime, length: timedelta, title: str, organizer: str) -> str:
    """A meeting with a customer, as a VEVENT."""
    summary = title.replace("\\", "\\\\").replace(",", "\\,").replace(";", "\\;")
    return "".join(
        f"{line}\r\n"
        for line in (
            "BEGIN:VEVENT",
            f"UID:{uid}",
            f"DTSTAMP:{datetime.now(UTC):%Y%m%dT%H%M%SZ}",
            f"CREATED:{starts_at.astimezone(UTC) - CREATED:%Y%m%dT%H%M%SZ}",
            f"DTSTART:{starts_at.astimezone(UTC):%Y%m%dT%H%M%SZ}",
            f"DTEND:{starts_at.astimezone(UTC) + length:%Y%m%dT%H%M%SZ}",
            f"SUMMARY:{summary}",
            f"ORGANIZER:mailto:{organizer}",
            f"ATTENDEE;PARTSTAT=ACCEPTED:mailto:{organizer}",
            f"ATTENDEE;PARTSTAT=ACCEPTED:mailto:{CUSTOMER}",
            "BEGIN:VALARM",
            "ACTION:DISPLAY",
            "TRIGGER:-PT10M",
            "DESCRIPTION:Soon",
            "END:VALARM",
            "END:VEVENT",
        )
    )


class IcalDouble(Double):
    """A calendar at a secret path; the things are meetings with a customer, all over.

    `events` holds them as text by their UIDs, `header` the lines of the calendar itself; `validators` says which of
    "etag" and "last-modified" the server knows.
    """

    kind = "ical"

    def __init__(self) -> None:
        self.path = "/calendar/ical/rep/private-5f1d/basic.ics"
        self.events: dict[str, str] = {}
        self.header = "VERSION:2.0\r\nPRODID:-//double//\r\nX-WR-CALNAME:Meetings\r\nX-WR-TIMEZONE:Europe/Berlin\r\n"
        self.validators = {"etag", "last-modified"}
        self.modified = datetime(2026, 1, 1, tzinfo=UTC)
        self._things: dict[str, tuple[datetime, str]] = {}
        super().__init__()
        self.secrets = {"url": f"{self.base_url}{self.path}"}

    def routes(self) -> list[BaseRoute]:
        return [Route(self.path, self._calendar)]

    @property
    def text(self) -> str:
        """The calendar."""
        return f"BEGIN:VCALENDAR\r\n{self.header}{''.join(self.events.values())}END:VCALENDAR\r\n"

    async def _calendar(self, request: Request) -> Response:
        with self.lock:
            text = self.text
            headers = {
                "etag": f'"{hashlib.sha256(text.encode()).hexdigest()[:16]}"',
                "last-modified": format_datetime(self.modified, usegmt=True),
            }
            headers = {name: value for name, value in headers.items() if name in self.validators}
            match = request.headers.get("if-none-match")
            since = request.headers.get("if-modified-since")
        # RFC 9110: If-Modified-Since counts only where there is no If-None-Match.
        if match is not None and "etag" in headers:
            unchanged = match == headers["etag"]
        else:
            unchanged = (
                since is not None and "last-modified" in headers and self.modified <= parsedate_to_datetime(since)
            )
        if unchanged:
            return Response(status_code=304, headers=headers)
        return Response(text, headers=headers, media_type="text/calendar; charset=utf-8")

    def put(self, uid: str, text: str) -> None:
        """Set an event's text."""
        with self.lock:
            self.events[uid] = text
            self.modified += timedelta(seconds=1)

    def _set(self, uid: str, starts_at: datetime, title: str, length: timedelta = timedelta(minutes=30)) -> None:
        self._things[uid] = (starts_at, title)
        self.put(uid, event_text(uid, starts_at, length, title, self.people[0]))

    def add(self, count: int) -> list[str]:
        names = [f"meeting-{number}@double.test" for number in range(len(self._things), len(self._things) + count)]
        begins = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(days=20)
        for place, name in enumerate(names):
            self._set(name, begins + timedelta(hours=place), f"Meeting {name}")
        return names

    def change(self, external_id: str) -> None:
        starts_at, title = self._things[external_id]
        self._set(external_id, starts_at, f"{title}, changed")

    def remove(self, external_id: str) -> None:
        with self.lock:
            del self.events[external_id]
            self.modified += timedelta(seconds=1)

    def spoil(self, external_id: str) -> None:
        starts_at, title = self._things[external_id]
        self._set(external_id, starts_at, title, length=timedelta(minutes=-30))

    def mend(self, external_id: str) -> None:
        self._set(external_id, *self._things[external_id])
