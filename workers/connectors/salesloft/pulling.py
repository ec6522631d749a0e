"""How Salesloft is read: listing after listing, each in the order in which its entries were changed.

A page is asked for by the time of the last entry of the page before (`updated_at[gte]`, ascending), as Salesloft
advises ("Building an Efficient Cursor Poller"), so that the pages that cost more are never reached. The bound includes
its instant: entries of the same instant that did not fit into a page come with the next, and what has come already
comes again. Where one instant fills more than a page, its pages are asked for by number. So is everything, each time,
if an answer shows that a listing is not filtered: Salesloft passes over filters that it does not know.

The next sync begins a minute before this one ended, for entries that were changed by then but become visible later. If
that minute had more than two pages of entries, it begins with the last page but one.

Upcoming steps (actions) cannot be filtered by when they were changed, and vanish when they are completed: those that
are due within two weeks are read whole in each sync. That one was done is told by its email or call, which names it.

Users cannot be filtered by time. The newest are looked at in each sync, all of them once a day.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from domain.connectors import Cursor, Document, Page, Person
from workers.connectors.base import Session
from workers.connectors.salesloft.client import (
    NOT_ALLOWED,
    PER_PAGE,
    Answer,
    list_page,
    not_allowed,
    read_page,
    request,
)
from workers.connectors.salesloft.manifest import (
    BEGUN,
    EMAILS,
    HELD_AFTER,
    LISTINGS,
    Listing,
    left_out,
    takes_bodies,
)

OVERLAP = timedelta(seconds=60)
"""So much later than its own time may an entry become visible."""

ALL_USERS_EVERY = timedelta(days=1)

DUE_WITHIN = timedelta(days=14)
"""Upcoming steps are brought so far ahead."""

NAMES_LIMIT = 500
"""So many names of cadences, and numbers of steps, does a cursor keep within one sync."""

_INVALID = 422

_State = dict[str, Any]


async def pull(session: Session, cursor: Cursor | None) -> Page:
    """The next page: users, then entries of the next listing that has any.

    Raises:
        SyncProblem: Salesloft does not answer, or does not let the connection read what it is told to.
    """
    without = left_out(session.settings)
    state: _State = dict(cursor or {})
    if state.get("at") is None:
        # By themselves, so that they are known before what is theirs comes.
        people = await _users(session, state)
        if "page" not in state["users"]:
            state["at"] = 0
        return Page((), state, done=False, begins_full=not cursor, people=people)
    documents: list[Document] = []
    while not documents and state["at"] < len(LISTINGS):
        listing = LISTINGS[state["at"]]
        if listing.part in without or await _read(session, listing, state, documents, without):
            state["at"] += 1
    done = state["at"] >= len(LISTINGS)
    if done:
        for key in ("at", "plain", "cadences", "steps"):
            state.pop(key, None)
    return Page(documents, state, done)


async def _users(session: Session, state: _State) -> list[Person]:
    """A page of users, the newest first. The state has a page for as long as there is more."""
    known: _State = state.get("users") or {}
    page = known.get("page", 1)
    if page == 1:
        due = session.now - ALL_USERS_EVERY
        listed = _instant(known.get("listed"))
        known = {
            "listed": known.get("listed"),
            "newest": known.get("newest", 0),
            "before": None if listed is None or listed <= due else known.get("newest", 0),
        }
    response = await request(
        session, "/v2/users", {"per_page": PER_PAGE, "page": page}, page=page, expected=NOT_ALLOWED
    )
    if response.status_code in NOT_ALLOWED:
        raise not_allowed("users", "team:read", None)
    answer = read_page(response)
    ids = [row["id"] for row in answer.rows if isinstance(row, dict) and type(row.get("id")) is int]
    newest = max([known["newest"], *ids])
    before = known["before"]
    if answer.more and (before is None or (ids and min(ids) > before)):
        state["users"] = {"page": page + 1, "listed": known["listed"], "newest": newest, "before": before}
    else:
        listed_at = _text(session.now) if before is None else known["listed"]
        state["users"] = {"listed": listed_at, "newest": newest}
    return [person for row in answer.rows for person in _people_of(row)]


def _people_of(row: Any) -> list[Person]:
    """A user by both names that activities use: the number, and the GUID."""
    email = row.get("email") if isinstance(row, dict) else None
    if not isinstance(email, str) or not email.strip():
        return []
    names = [row.get("id"), row.get("guid")]
    return [Person(f"salesloft:{name}", email.strip().lower()) for name in names if type(name) in (int, str) and name]


async def _read(
    session: Session, listing: Listing, state: _State, documents: list[Document], without: frozenset[str]
) -> bool:
    """Read a page of a listing. Returns whether it was the last for now."""
    if listing.open_only:
        return await _read_open(session, listing, state, documents, without)
    place: _State = state.get(listing.key) or {}
    since, number = place.get("since"), place.get("page", 1)
    began, back = place.get("began", since), place.get("back")
    numbered = place.get("numbered", False)
    bounds: dict[str, str] = {}
    if listing is BEGUN:
        until = _text(session.now - HELD_AFTER)
        if since is None:
            # What began before is held as soon as it is mapped.
            state[listing.key] = {"since": _text(session.now - HELD_AFTER - OVERLAP)}
            return True
        bounds[f"{listing.by}[lte]"] = until
    if since is not None:
        bounds[f"{listing.by}[gte]"] = since
    answer = await _ask(session, listing, bounds, number, state)
    instants = [at for row in answer.rows if isinstance(row, dict) and (at := _instant(row.get(listing.by)))]
    await _add_names(session, listing, answer.rows, state)
    documents += _documents(listing, answer.rows, state, without)
    bound = _instant(since)
    numbered = numbered or (bound is not None and bool(instants) and min(instants) < bound)
    if answer.more and instants and not numbered and (bound is None or max(instants) > bound):
        state[listing.key] = {"since": _text(max(instants)), "began": began, "back": _text(min(instants))}
        return False
    if answer.more:
        state[listing.key] = {**place, "page": number + 1, "began": began, "numbered": numbered}
        return False
    seen = session.now - HELD_AFTER if listing is BEGUN else answer.at or session.now
    ends = [at for at in (_instant(began), _instant(back), seen - OVERLAP) if at is not None]
    state[listing.key] = {"since": _text(max(ends))}
    return True


async def _read_open(
    session: Session, listing: Listing, state: _State, documents: list[Document], without: frozenset[str]
) -> bool:
    """Read a page of a listing of what is open, up to `DUE_WITHIN` ahead. Returns whether it was the last for now."""
    page = (state.get(listing.key) or {}).get("page", 1)
    asked = {
        **listing.parameters,
        "sort_by": listing.by,
        "sort_direction": "ASC",
        "due_on[lte]": _text(session.now + DUE_WITHIN),
        "per_page": PER_PAGE,
        "page": page,
    }
    response = await request(session, listing.path, asked, page=page, expected=NOT_ALLOWED)
    state.pop(listing.key, None)
    if response.status_code in NOT_ALLOWED:
        return True
    answer = read_page(response)
    await _add_names(session, listing, answer.rows, state)
    documents += _documents(listing, answer.rows, state, without)
    if answer.more:
        state[listing.key] = {"page": page + 1}
    return not answer.more


async def _ask(session: Session, listing: Listing, bounds: Mapping[str, str], page: int, state: _State) -> Answer:
    parameters: dict[str, Any] = {"sort_by": listing.by, "sort_direction": "ASC", **bounds}
    if listing is not EMAILS:
        return await list_page(session, listing, parameters, page)
    if not state.get("plain"):
        fields = ["subject", "body"] if takes_bodies(session.settings) else ["subject"]
        asked = {**parameters, "scoped_fields[]": fields, "per_page": PER_PAGE, "page": page}
        response = await request(session, listing.path, asked, page=page, expected=(*NOT_ALLOWED, _INVALID))
        if response.status_code == 200:
            return read_page(response)
        if response.status_code in NOT_ALLOWED:
            raise not_allowed(listing.name, listing.scope, listing.part)
        # Salesloft refuses texts of emails to whom it has not given them ("Scopes", privileged): without, then.
        state["plain"] = True
    return await list_page(session, listing, parameters, page)


async def _add_names(session: Session, listing: Listing, rows: Sequence[Any], state: _State) -> None:
    """Ask for the names of cadences and the numbers of steps that rows name by their ids."""
    if listing.cadences:
        await _look_up(session, "/v2/cadences", "name", _references(rows, "cadence"), state.setdefault("cadences", {}))
    if listing.steps or listing.open_only:
        await _look_up(session, "/v2/steps", "step_number", _references(rows, "step"), state.setdefault("steps", {}))


async def _look_up(session: Session, path: str, field: str, ids: Sequence[str], known: _State) -> None:
    missing = [one for one in ids if one not in known]
    if not missing:
        return
    if len(known) + len(missing) > NAMES_LIMIT:
        known.clear()
        missing = list(ids)
    response = await request(session, path, {"ids[]": missing, "per_page": PER_PAGE}, expected=NOT_ALLOWED)
    if response.status_code in NOT_ALLOWED:
        raise not_allowed("cadences", "cadences:read", None)
    # Who is not among the answers (deleted, or hidden from who connected) is not asked for again in this sync.
    known.update(dict.fromkeys(missing))
    known.update(
        {str(row["id"]): row.get(field) for row in read_page(response).rows if isinstance(row, dict) and "id" in row}
    )


def _references(rows: Sequence[Any], field: str) -> list[str]:
    """The distinct ids in an embedded reference, in their order."""
    found = (row[field].get("id") for row in rows if isinstance(row, dict) and isinstance(row.get(field), dict))
    return list(dict.fromkeys(str(one) for one in found if type(one) in (int, str)))


def _documents(listing: Listing, rows: Sequence[Any], state: _State, without: frozenset[str]) -> list[Document]:
    documents = []
    for position, row in enumerate(rows):
        identity = row.get("id") if isinstance(row, dict) else None
        named = str(identity) if type(identity) in (int, str) and identity else f"nameless-{position}"
        data: _State = {"row": row}
        if listing.cadences:
            data["cadence"] = _named(row, "cadence", state["cadences"])
        if listing.steps or listing.open_only:
            data["step"] = _named(row, "step", state["steps"])
        documents.append(Document(listing.object, named, data))
        if listing.steps and "cadences" not in without and _references([row], "step"):
            documents.append(Document(listing.steps, named, data))
    return documents


def _named(row: Any, field: str, names: Mapping[str, Any]) -> Any:
    references = _references([row], field)
    return names.get(references[0]) if references else None


def _instant(value: Any) -> datetime | None:
    """A time of Salesloft's; None for what is none."""
    if not isinstance(value, str):
        return None
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        return None
    return at.astimezone(UTC) if at.tzinfo is not None else None


def _text(at: datetime) -> str:
    """As Salesloft compares times: ISO 8601 with microseconds."""
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
