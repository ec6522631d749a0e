"""Letters: what a message says, written when it is sent, as its reader may see it at that moment.

Two parts say the same: plain text, and HTML in which everything that came from outside is escaped.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from html import escape
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from domain import digests, snapshots
from domain.access import Viewer
from domain.access_actions import see_snapshots
from domain.database import Connection
from domain.digests import Digest, shown
from domain.errors import NotFound
from domain.messages import ClaimedMessage
from domain.metrics import METRICS
from domain.pacing import GoalStatus
from domain.periods import NamedRange
from workers.mail import Attachment

GOAL_REMINDER, DIGEST, SNAPSHOT, REMINDER = "goal_reminder", "digest", "snapshot", "reminder"
"""The names of the templates."""


class Unwanted(Exception):
    """There is nothing to tell this reader any more: the message is not sent.

    Args:
        reason: For people.
    """


@dataclass(frozen=True, slots=True)
class Letter:
    """What a message says.

    Args:
        subject: In one line.
        text: Plain.
        html: The same, escaped.
        attachments: Files.
        data: The same for machines, for a webhook.
    """

    subject: str
    text: str
    html: str | None = None
    attachments: Sequence[Attachment] = ()
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Section:
    """A heading and its lines."""

    heading: str
    lines: Sequence[str]


def _letter(
    subject: str,
    reader: Viewer,
    sections: Sequence[_Section],
    *,
    attachments: Sequence[Attachment] = (),
    data: Mapping[str, Any] | None = None,
) -> Letter:
    shown_sections = [section for section in sections if section.lines]
    text = [f"Hello {reader.user_name},", ""]
    html = [f"<p>Hello {escape(reader.user_name)},</p>"]
    for section in shown_sections:
        text += [section.heading, *(f"  {line}" for line in section.lines), ""]
        items = "".join(f"<li>{escape(line)}</li>" for line in section.lines)
        html.append(f"<h3>{escape(section.heading)}</h3><ul>{items}</ul>")
    footer = f"Sideline, {reader.team_name}. This shows what you may see at this moment."
    text.append(footer)
    html.append(f"<p><small>{escape(footer)}</small></p>")
    document = f'<!doctype html><html><head><meta charset="utf-8"></head><body>{"".join(html)}</body></html>'
    return Letter(subject, "\n".join(text) + "\n", document, attachments, data or {})


_STATUS = {
    GoalStatus.ATTAINED: "attained",
    GoalStatus.ON_TRACK: "on track",
    GoalStatus.AT_RISK: "at risk",
    GoalStatus.BEHIND: "behind",
}


def _goal_lines(digest: Digest) -> list[str]:
    currency = digest.reader.currency
    lines = []
    for line in digest.goals:
        key, progress = line.goal.metric, line.progress
        own = line.goal.user_id == digest.reader.user_id
        who = "" if own else f"{line.name}: "
        stands = f"{shown(key, progress.actual, currency)} of {shown(key, progress.target, currency)}"
        period = line.goal.period.value.lower()
        lines.append(f"{who}{METRICS[key].label} per {period}: {stands}, {_STATUS[progress.status]}")
    if digest.goals_more:
        lines.append(f"and {digest.goals_more} more")
    return lines


def _behind_lines(digest: Digest) -> list[str]:
    return [f"{name}: at {pace * 100:.0f} % of the pace" for _user_id, name, pace in digest.behind]


async def _digest(connection: Connection, message: ClaimedMessage, reader: Viewer, now: datetime) -> Letter:
    digest = await digests.compose_digest(connection, reader, NamedRange(message.content["range"]), now)
    currency = reader.currency
    totals = []
    for one in digest.totals:
        line = f"{METRICS[one.metric].label}: {shown(one.metric, one.value, currency)}"
        if one.previous is not None:
            line += f" (before: {shown(one.metric, one.previous, currency)})"
        totals.append(line)
    span = digest.days.first.isoformat()
    if digest.days.last != digest.days.first:
        span += f" to {digest.days.last.isoformat()}"
    work = [f"{line.local_time:%a %d %b %H:%M} {line.title} ({line.kind.replace('_', ' ')})" for line in digest.work]
    if digest.work_more:
        work.append(f"and {digest.work_more} more")
    title = str(message.content["title"])
    return _letter(
        f"{title}: {span}",
        reader,
        [
            _Section(f"What happened, {span}", totals),
            _Section("Goals at risk", _goal_lines(digest)),
            _Section("Who falls behind", _behind_lines(digest)),
            _Section("Coming up", work),
        ],
        data=digests.to_json(digest, title),
    )


async def _goal_reminder(connection: Connection, message: ClaimedMessage, reader: Viewer, now: datetime) -> Letter:
    digest = await digests.compose_reminder(connection, reader, now)
    if message.content.get("only_behind") and not digests.is_slow(digest):
        raise Unwanted("No goal is at risk or behind.")
    if not digest.goals and not digest.behind:
        raise Unwanted("There are no goals to tell of.")
    return _letter(
        str(message.content["title"]),
        reader,
        [_Section("Your goals", _goal_lines(digest)), _Section("Who falls behind", _behind_lines(digest))],
        data=digests.to_json(digest, str(message.content["title"])),
    )


async def _snapshot(connection: Connection, message: ClaimedMessage, reader: Viewer, _now: datetime) -> Letter:
    sight = await see_snapshots(connection, reader)
    try:
        files = [
            await snapshots.read_file(connection, sight, UUID(message.content["snapshot"]), kind)
            for kind in snapshots.FILE_KINDS
        ]
    except NotFound as error:
        raise Unwanted("The snapshot is gone, or shows people whom its reader may not see any more.") from error
    return _letter(
        str(message.content["title"]),
        reader,
        [_Section("Your snapshot is attached", [one.name for one in files])],
        attachments=[Attachment(one.name, one.media_type, one.content) for one in files],
    )


async def _reminder(_connection: Connection, message: ClaimedMessage, reader: Viewer, _now: datetime) -> Letter:
    at = datetime.fromisoformat(str(message.content["at"])).astimezone(ZoneInfo(reader.timezone))
    when = f"{at:%A %d %B %Y, %H:%M} ({reader.timezone})"
    title = str(message.content["title"])
    return _letter(title, reader, [_Section(title, [when, *message.content.get("lines", ())])])


Template = Callable[[Connection, ClaimedMessage, Viewer, datetime], Awaitable[Letter]]

TEMPLATES: dict[str, Template] = {
    DIGEST: _digest,
    GOAL_REMINDER: _goal_reminder,
    SNAPSHOT: _snapshot,
    REMINDER: _reminder,
}
"""Whoever sends something of their own adds a template here."""


async def write(connection: Connection, message: ClaimedMessage, reader: Viewer, now: datetime) -> Letter:
    """What a message of a template says to its reader now.

    Raises:
        Unwanted: there is nothing to tell them.
        KeyError: there is no such template.
    """
    return await TEMPLATES[message.template or ""](connection, message, reader, now)
