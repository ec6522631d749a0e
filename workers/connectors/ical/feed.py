"""A whole calendar (VCALENDAR), taken apart into one text for each event, of the lines that are read and no others.

What people write into descriptions is none of our business, and what changes with each export (DTSTAMP, which some
vendors set to the time of the request) would make every event look changed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import Final

from workers.connectors.ical.events import WANTED
from workers.connectors.ical.zones import zone_named

_FOLD: Final = re.compile(r"\r?\n[ \t]")
_LINE: Final = re.compile(r"\r?\n")
_DAY: Final = re.compile(r"(?<!\d)\d{8}(?!\d)")
_UNTIL: Final = re.compile(r"UNTIL=(\d{8})(?!\d)", re.IGNORECASE)
_ZONE_USED: Final = re.compile(r";TZID=(?:\"([^\"]*)\"|([^;:,\"]*))", re.IGNORECASE)


@dataclass(slots=True)
class Feed:
    """A calendar.

    Args:
        name: What it is called.
        zone: The name of the zone in which its times without a zone are read.
        events: The components of each UID as one text, with the definitions of zones that it needs. An event without a
            UID stands under a digest of it.
        whole: It was read to its END.
    """

    name: str | None = None
    zone: str | None = None
    events: dict[str, str] = field(default_factory=dict)
    whole: bool = False

    @property
    def digest(self) -> str:
        """The same for the same events, in whatever order."""
        digest = hashlib.sha256((self.zone or "").encode("utf-8", "replace"))
        for uid in sorted(self.events):
            text = self.events[uid]
            digest.update(f"\n{len(uid)} {len(text)} {uid} {text}".encode("utf-8", "replace"))
        return digest.hexdigest()


@dataclass(slots=True)
class _Block:
    """An outermost component of a calendar: its kind, the UID or TZID that it has itself, and its lines."""

    kind: str
    name: str | None = None
    lines: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(f"{line}\n" for line in self.lines)


def read_feed(text: str) -> Feed | None:
    """Take a calendar apart; None if the text is none."""
    text = text.lstrip("\ufeff \t\r\n")
    if text[:15].upper() != "BEGIN:VCALENDAR":
        return None
    feed = Feed()
    zones: dict[str, str] = {}
    blocks: dict[str, list[str]] = {}
    for block in _blocks(_LINE.split(_FOLD.sub("", text)), feed):
        if block.kind == "VTIMEZONE" and block.name is not None:
            zones[block.name] = block.text
        elif block.kind == "VEVENT":
            uid = block.name or f"sha256:{hashlib.sha256(block.text.encode('utf-8', 'replace')).hexdigest()}"
            blocks.setdefault(uid, []).append(block.text)
    for uid, parts in blocks.items():
        # Exceptions may come in another order each time.
        body = "".join(sorted(parts))
        used = {quoted or plain for quoted, plain in _ZONE_USED.findall(body)}
        needed = [zones[name] for name in sorted(used) if name in zones and zone_named(name) is None]
        feed.events[uid] = "".join(needed) + body
    return feed


def last_day(text: str) -> date | None:
    """The last day that an event's text names for it; None if it does not tell, as those do that recur without an end
    or by a count."""
    days: list[str] = []
    # Zones recur too, and come first.
    for line in text.partition("BEGIN:VEVENT")[2].splitlines():
        name, _, value = line.partition(":")
        name = name.partition(";")[0].upper()
        if name == "RRULE":
            until = _UNTIL.search(value)
            if until is None:
                return None
            days.append(until[1])
        elif name in ("DTSTART", "DTEND", "RDATE"):
            days += _DAY.findall(value)
    try:
        return max((date.fromisoformat(day) for day in days), default=None)
    except ValueError:
        return None


def _blocks(lines: list[str], feed: Feed) -> Iterator[_Block]:
    """The components of a calendar; what it says of itself is noted on the way."""
    depth = 0
    block = _Block("")
    for line in lines:
        name = line.partition(":")[0].partition(";")[0].strip().upper()
        if name == "BEGIN":
            depth += 1
            feed.whole = False
            if depth == 2:
                block = _Block(line.partition(":")[2].strip().upper())
        if depth >= 2:
            # Within an event are alarms, which have lines of the same names.
            if name in ("BEGIN", "END", *WANTED) and (depth == 2 or block.kind != "VEVENT"):
                block.lines.append(line)
            if depth == 2 and name in ("UID", "TZID"):
                block.name = line.partition(":")[2].strip() or None
        elif name == "X-WR-TIMEZONE":
            feed.zone = line.partition(":")[2].strip() or None
        elif name == "X-WR-CALNAME":
            feed.name = line.partition(":")[2].strip() or None
        if name == "END":
            if depth == 2:
                yield block
            depth = max(depth - 1, 0)
            feed.whole = depth == 0
