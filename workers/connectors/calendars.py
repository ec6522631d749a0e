"""What calendars behind a vendor's API have in common: how far they are read, and how answers are read.

The first day of a connection stays what it was: if it moved on with the clock, a full listing would no longer name what
is older, and what a full listing does not name is taken for deleted.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final

import httpx
import orjson

from domain.connectors import Cursor, Document, RemoteRefused, RemoteUnavailable, Scope, Setting
from domain.meetings import LOOK_BACK, REACH
from workers.connectors.base import Session

AHEAD: Final = timedelta(days=400)
"""Occurrences of series are listed as far as this from now."""

OBJECT: Final = "event"
"""What documents of calendars are."""

ID_LENGTH: Final = 512
"""How long the id of a document may be."""

SINCE: Final = Setting(
    "since",
    "Meetings since",
    required=False,
    help=f"The first day whose meetings are taken in, such as 2026-01-31. {LOOK_BACK.days} days back unless told.",
)


WRITE_INVITATIONS: Final = "writeInvitations"
"""The setting by which a person has coaching sessions put into their calendar."""


def writing_setting(vendor: str) -> Setting:
    """The choice to have invitations written."""
    return Setting(
        WRITE_INVITATIONS,
        "Coaching sessions in this calendar",
        required=False,
        choices=("true", "false"),
        help=f"true puts the coaching sessions that you coach into this calendar and lets {vendor} invite the others; "
        "it asks for the permission to change events. Sign in again after a change.",
    )


def writing_scope(name: str) -> Scope:
    """The permission that it takes, asked for of nobody else."""
    return Scope(
        name,
        "To put the coaching sessions that you coach into your calendar. It is asked for only if "
        f"{WRITE_INVITATIONS} is true.",
        setting=WRITE_INVITATIONS,
    )


def require_chosen(session: Session, vendor: str) -> None:
    """Refuse to write into a calendar whose owner has not chosen it.

    Raises:
        RemoteRefused: they have not.
    """
    if session.settings.get(WRITE_INVITATIONS) != "true":
        raise RemoteRefused(
            f"{vendor} is connected for reading alone: set {WRITE_INVITATIONS} to true and sign in again to have "
            "coaching sessions in it."
        )


def first_day(settings: Mapping[str, str], cursor: Cursor | None, now: datetime) -> date:
    """The first day whose meetings are taken in: what the connection is told, else what its cursor says, else as far
    back as meetings need.

    Raises:
        RemoteRefused: the setting is no day, or a day to come.
    """
    said = settings.get(SINCE.name, "").strip() or (cursor or {}).get(SINCE.name)
    if not said:
        return (now - LOOK_BACK - REACH).date()
    try:
        day = date.fromisoformat(said)
    except ValueError as error:
        raise RemoteRefused(f"{SINCE.name}: {said!r} is no day such as 2026-01-31; change this setting.") from error
    if day > now.date():
        raise RemoteRefused(f"{SINCE.name}: {day} is still to come; choose a day that has been.")
    return day


def start_of(day: date) -> datetime:
    """The midnight, UTC, with which a day begins."""
    return datetime.combine(day, time(), UTC)


def event_document(event_id: str, data: Any = None, *, deleted: bool = False) -> Document:
    """The document of an event; an id that is too long, or holds what text cannot, is stood for by its digest."""
    if len(event_id) > ID_LENGTH or "\0" in event_id:
        event_id = f"sha256:{hashlib.sha256(event_id.encode()).hexdigest()}"
    return Document(OBJECT, event_id, data, deleted)


def nameless_document(item: Any) -> Document:
    """The document of an event without an id: no meeting, but to be seen, so mapping gets to refuse it."""
    digest = hashlib.sha256(orjson.dumps(item, option=orjson.OPT_SORT_KEYS)).hexdigest()
    return Document(OBJECT, f"sha256:{digest}", item)


def whole_instances(data: Mapping[str, Any]) -> Any:
    """The instances of a series, whole: a document holds of each what it does not have from its master, for a meeting
    of every day has hundreds. What is none of this is given back as it is, for whoever reads it to refuse.
    """
    master, instances = data.get("master"), data.get("instances")
    if not isinstance(master, dict) or not isinstance(instances, list):
        return instances
    return [{**master, **one} if isinstance(one, dict) else one for one in instances]


def read_object(response: httpx.Response, vendor: str) -> dict[str, Any]:
    """The JSON object of an answer.

    Raises:
        RemoteUnavailable: it is none.
    """
    try:
        answer = _loads(response.content)
    except (ValueError, RecursionError) as error:
        raise RemoteUnavailable(f"{vendor}'s answer is no JSON; it is tried again later.") from error
    if not isinstance(answer, dict):
        raise RemoteUnavailable(f"{vendor}'s answer is no JSON object; it is tried again later.")
    return answer


def read_list(answer: Mapping[str, Any], name: str, vendor: str) -> list[Any]:
    """The list that an answer holds; an empty one where it holds none.

    Raises:
        RemoteUnavailable: there is something else in its place.
    """
    value = answer.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise RemoteUnavailable(f"{vendor}'s answer holds no list of events; it is tried again later.")
    return value


def read_text(answer: Mapping[str, Any], name: str) -> str | None:
    """The text that an answer holds; None where there is none."""
    value = answer.get(name)
    return value if isinstance(value, str) and value else None


def read_error(response: httpx.Response) -> Mapping[str, Any]:
    """What an answer holds under `error`; nothing where it is not of this form."""
    try:
        body = _loads(response.content)
    except (ValueError, RecursionError):
        return {}
    error = body.get("error") if isinstance(body, dict) else None
    return error if isinstance(error, dict) else {}


def _loads(content: bytes) -> Any:
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        # Half of a surrogate pair, which is left where a vendor cuts a title in an emoji, is JSON for the standard
        # library alone, and no text for anything that comes after.
        text = json.dumps(json.loads(content), ensure_ascii=False)
        return orjson.loads(text.encode("utf-8", "replace"))
