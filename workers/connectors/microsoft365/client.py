"""What is asked of the calendars of Microsoft Graph v1.0, and what its errors mean."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote, urlsplit

import httpx

from domain.connectors import CursorExpired, RemoteRefused, RemoteUnavailable
from domain.meetings import COACHING_UID
from workers.connectors.base import Session
from workers.connectors.calendars import read_error, read_list, read_object, read_text

VENDOR: Final = "Microsoft 365"
ROOT: Final = "/v1.0/"
CALENDAR: Final = "/v1.0/me/calendar"
DELTA: Final = "/v1.0/me/calendarView/delta"
EVENTS: Final = "/v1.0/me/events"

PAGE_SIZE: Final = 50
INSTANCES_SIZE: Final = 250

KEPT: Final = (
    "id",
    "iCalUId",
    "type",
    "seriesMasterId",
    "subject",
    "start",
    "end",
    "originalStart",
    "isAllDay",
    "isCancelled",
    "isOrganizer",
    "organizer",
    "attendees",
    "createdDateTime",
    "transactionId",
)
"""All that a meeting is made of. Deltas cannot be told to leave out the rest, so it is thrown away at once."""

_NOT_OF_INSTANCES = frozenset({"id", "iCalUId", "type", "seriesMasterId", "transactionId"})
IN_UTC = 'outlook.timezone="UTC"'
_NO_MAILBOX = frozenset({"mailboxnotenabledforrestapi", "mailboxnotsupportedforrestapi", "resourcenotfound"})


@dataclass(frozen=True, slots=True)
class DeltaPage:
    """A page of changes in a calendar view, as Microsoft Graph gave them.

    Args:
        items: Events, and what is left of those that went; not yet looked at.
        link: Where to go on, relative to the API.
        complete: There is no more for now: the link is for the next round.
    """

    items: Sequence[Any]
    link: str
    complete: bool


async def owner_of_calendar(session: Session) -> tuple[str, str]:
    """The address of whose calendar it is, and its id. A calendar that names no owner goes by its id alone.

    Raises:
        SyncProblem: they cannot be had.
    """
    response = await session.request("GET", CALENDAR, params={"$select": "id,owner"}, expected=(404,))
    if response.status_code == 404:
        raise refusal(response)
    calendar = read_object(response, VENDOR)
    owner = calendar.get("owner")
    address = read_text(owner, "address") if isinstance(owner, dict) else None
    calendar_id = read_text(calendar, "id")
    if calendar_id is None:
        raise RemoteUnavailable("Microsoft 365 did not tell whose calendar it is; it is tried again later.")
    return address or "Calendar without an owner", (address or calendar_id).lower()


async def list_changes(session: Session, link: str | None, start: datetime, end: datetime) -> DeltaPage:
    """A page of everything between two times, or of what comes at a link.

    Raises:
        CursorExpired: Microsoft Graph does not know the link any more.
        SyncProblem: for other reasons it cannot be had now.
    """
    response = await session.request(
        "GET",
        link or DELTA,
        params=None if link else window(start, end),
        headers={"prefer": f'{IN_UTC}, outlook.body-content-type="text", odata.maxpagesize={PAGE_SIZE}'},
        expected=(400, 404, 410),
    )
    if response.status_code >= 400:
        # Links go bad with 410, or with another 40x and a code; if it was not for the link, a full listing will tell.
        if link is not None:
            raise CursorExpired("Microsoft 365 asks for a full listing, as it does from time to time.")
        raise refusal(response)
    answer = read_object(response, VENDOR)
    items = read_list(answer, "value", VENDOR)
    if (following := read_text(answer, "@odata.nextLink")) is not None:
        return DeltaPage(items, relative(following), complete=False)
    if (following := read_text(answer, "@odata.deltaLink")) is not None:
        return DeltaPage(items, relative(following), complete=True)
    raise RemoteUnavailable("Microsoft 365 did not tell how to go on after a page; it is tried again later.")


async def get_series(session: Session, master_id: str, start: datetime, end: datetime) -> Mapping[str, Any] | None:
    """A series with its occurrences and exceptions between two times; None if it is deleted. Of an occurrence there is
    what it does not have from its series.

    Raises:
        SyncProblem: it cannot be had now.
    """
    path, select = f"{EVENTS}/{quote(master_id, safe='')}", ",".join(KEPT)
    response = await session.request(
        "GET", path, params={"$select": select}, headers={"prefer": IN_UTC}, expected=(404,)
    )
    if response.status_code == 404:
        require_mailbox(response)
        return None
    master = read_object(response, VENDOR)
    instances: list[Any] = []
    link: str | None = f"{path}/instances"
    params: Mapping[str, Any] | None = window(start, end) | {"$select": select, "$top": INSTANCES_SIZE}
    while link is not None:
        response = await session.request("GET", link, params=params, headers={"prefer": IN_UTC}, expected=(404,))
        if response.status_code == 404:
            require_mailbox(response)
            return None
        answer = read_object(response, VENDOR)
        instances.extend(_differences(item, master) for item in read_list(answer, "value", VENDOR))
        following = read_text(answer, "@odata.nextLink")
        link, params = None if following is None else relative(following), None
    return {"master": kept_of(master), "instances": instances}


def kept_of(item: Any) -> Any:
    """What is kept of an event; of what other programs call the events that they made, nothing."""
    if not isinstance(item, dict):
        return item
    kept = {name: item[name] for name in KEPT if name in item}
    if not str(kept.get("transactionId")).startswith(COACHING_UID):
        kept.pop("transactionId", None)
    return kept


def _differences(instance: Any, master: Mapping[str, Any]) -> Any:
    if not isinstance(instance, dict):
        return instance
    names = (name for name in KEPT if name in instance and name not in _NOT_OF_INSTANCES)
    return {name: instance[name] for name in names if instance[name] != master.get(name)}


def require_mailbox(response: httpx.Response) -> None:
    """An event that is not found is gone; a mailbox that is not found is another matter.

    Raises:
        RemoteRefused: there is none.
    """
    if _NO_MAILBOX & codes_of(response):
        raise refusal(response)


def relative(link: str) -> str:
    """A link without the vendor's address, so that it leads to where requests go, and nowhere else.

    Raises:
        RemoteUnavailable: it does not lead into the API.
    """
    parts = urlsplit(link)
    _, root, path = parts.path.partition(ROOT)
    if not root:
        raise RemoteUnavailable("Microsoft 365 gave a link that does not lead into its API; it is tried again later.")
    return f"{ROOT}{path}?{parts.query}"


def window(start: datetime, end: datetime) -> dict[str, Any]:
    """The parameters of a span of time."""
    return {"startDateTime": iso(start), "endDateTime": iso(end)}


def iso(instant: datetime) -> str:
    """A moment of UTC as Graph takes it."""
    return instant.isoformat(timespec="seconds").replace("+00:00", "Z")


def refusal(response: httpx.Response) -> RemoteRefused:
    """What a refusal means."""
    error = read_error(response)
    if _NO_MAILBOX & codes_of(response):
        return RemoteRefused(
            "This Microsoft account has no mailbox in Exchange Online, so no calendar that can be read: connect one "
            "that has."
        )
    said = error.get("message") or error.get("code") or f"HTTP {response.status_code}"
    return RemoteRefused(f"Microsoft 365 refuses: {str(said)[:300]}")


def codes_of(response: httpx.Response) -> frozenset[str]:
    """The codes of an error, of those within it too, in lower case."""
    return frozenset(_nested_codes(read_error(response)))


def _nested_codes(error: Mapping[str, Any]) -> Iterator[str]:
    nested: Any = error
    # Errors lie in each other without a bound that the documentation tells.
    for _ in range(10):
        if not isinstance(nested, dict):
            return
        if isinstance(nested.get("code"), str):
            yield nested["code"].lower()
        nested = nested.get("innererror") or nested.get("innerError")
