"""The words that connectors and the runner of syncs share; no HTTP here.

A connector says what it is (`Manifest`), checks a connection, pulls documents since a cursor in pages, and maps a
document to activity records. Everything else (retries, budgets, cursors, what is kept, what is quarantined, progress)
is the runner's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Literal, TypeAlias
from urllib.parse import urlsplit, urlunsplit

from domain.models.teams import Feed

Cursor: TypeAlias = Mapping[str, Any]
"""Where a sync stands: JSON that only the connector understands."""


class Audience(StrEnum):
    """Who connects it, and for whom."""

    PERSON = "PERSON"
    """Each user for themselves."""
    TEAM = "TEAM"
    """Who manages the team, for all."""


@dataclass(frozen=True, slots=True)
class Setting:
    """Something that a connection needs to be told.

    Args:
        name: Its key.
        label: What a person is asked for.
        secret: Encrypted at rest; never comes back out.
        required: Whether the connection cannot do without.
        help: A sentence.
        choices: What it may be; anything if there are none.
    """

    name: str
    label: str
    secret: bool = False
    required: bool = True
    help: str = ""
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Scope:
    """A permission that is asked of the vendor, and why.

    Args:
        name: What the vendor calls it.
        reason: What it is for.
        setting: The setting that has to be `true` for it to be asked for; None: it always is.
    """

    name: str
    reason: str
    setting: str | None = None


@dataclass(frozen=True, slots=True)
class OAuth:
    """How a person lets Sideline in (OAuth 2, authorization code with PKCE).

    Args:
        authorize_url: Where the person is sent.
        token_url: Where codes and refresh tokens are exchanged.
        scopes: The least that the sync needs, and what a person may choose beyond it.
        base_url_field: The field of the token's answer that tells the address of the vendor's API, where it is not one
            for all.
        parameters: More parameters of the authorization request.
    """

    authorize_url: str
    token_url: str
    scopes: tuple[Scope, ...]
    base_url_field: str | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)

    def scopes_for(self, settings: Mapping[str, Any]) -> tuple[str, ...]:
        """The permissions that a connection with such settings asks for."""
        return tuple(one.name for one in self.scopes if one.setting is None or settings.get(one.setting) == "true")


def at_origin(url: str, origin: str | None) -> str:
    """The same path at an address that the operator has set instead of the vendor's; as it is without one."""
    if origin is None:
        return url
    return urlunsplit(urlsplit(url)._replace(scheme=urlsplit(origin).scheme, netloc=urlsplit(origin).netloc))


@dataclass(frozen=True, slots=True)
class Budget:
    """What a vendor lets one account spend: so much cost in so many seconds, over all our processes."""

    cost: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a connector is.

    Args:
        kind: Its key.
        label: Its name for people.
        audience: Who connects it.
        feeds: What it brings.
        settings: What a connection is told.
        oauth: How it is let in, if not by its settings.
        base_url: The vendor's address, which an operator may set otherwise; None where a setting holds it.
        budget: What the vendor allows; None where no rule is published.
        interval_minutes: How often it is synced unless told otherwise.
        keeps_documents: Whether documents are kept, so that they can be mapped anew when time or a mapping changes.
        opportunity_object: What the CRM calls the thing that opportunities are made of; None for others.
        default_mapping: The field mapping that most installations of a CRM start with (domain/opportunities.py).
        feeds_by_records: What it brings depends on what it is told, so that a feed is connected when a record has come
            by it, not by a sync that brought none.
    """

    kind: str
    label: str
    audience: Audience
    feeds: tuple[Feed, ...]
    settings: tuple[Setting, ...] = ()
    oauth: OAuth | None = None
    base_url: str | None = None
    budget: Budget | None = None
    interval_minutes: int = 15
    keeps_documents: bool = False
    opportunity_object: str | None = None
    default_mapping: Mapping[str, Any] | None = None
    feeds_by_records: bool = False


@dataclass(frozen=True, slots=True)
class DescribedField:
    """A field of a CRM's object, as the CRM describes it.

    Args:
        name: Its key in documents.
        label: Its name for people.
        type: What it holds.
        values: The values of a choice, such as the stages, in their order.
        labels: Their names for people, in the same order; empty where the values speak for themselves.
    """

    name: str
    label: str
    type: Literal["text", "number", "money", "date", "datetime", "boolean", "choice", "user"]
    values: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Account:
    """What a check found at the other end.

    Args:
        name: Whose account it is, for people: an email address or an organization.
        id: The vendor's id of it: budgets are kept by it.
        fields: The fields of the opportunity object; empty for others.
        samples: Up to ten of its newest documents, for a preview of a mapping.
        settings: Settings that the check found out, such as the address of a calendar home.
    """

    name: str
    id: str
    fields: tuple[DescribedField, ...] = ()
    samples: tuple[Document, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Document:
    """One thing as the vendor gave it.

    Args:
        object: Which of the vendor's objects it is; what a mapping goes by.
        id: Its id among them.
        data: JSON; or bytes of JSON that nobody has looked at yet.
        deleted: It is gone at the vendor's.
    """

    object: str
    id: str
    data: Any = None
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody at the vendor's who is on the team too: an id there, and the email address by which they are found."""

    id: str
    email: str


@dataclass(frozen=True, slots=True)
class Rate:
    """What one unit of a currency is worth in the team's on a day, and until the next rate."""

    currency: str
    day: date
    rate: Decimal


@dataclass(frozen=True, slots=True)
class Page:
    """What a pull brought.

    Args:
        documents: In any order; a document may come again.
        cursor: From where the next pull goes on, also that of the next sync.
        done: There is no more for now.
        begins_full: With this page begins a listing of everything: what it does not name by its end is gone.
        people: Whose ids at the vendor's are to be known.
        rates: Exchange rates that the vendor keeps.
        total: How many documents there will be, where the vendor tells.
    """

    documents: Sequence[Document]
    cursor: Cursor
    done: bool
    begins_full: bool = False
    people: Sequence[Person] = ()
    rates: Sequence[Rate] = ()
    total: int | None = None


@dataclass(frozen=True, slots=True)
class MappingContext:
    """What documents are mapped against; plain values, so that mapping can be tested and repeated.

    Args:
        now: The clock.
        timezone: The team's, IANA.
        currency: The team's, ISO 4217.
        domains: The mail domains of the team, lower case: who has an address there is not a customer.
        owner: The lower-case email address of whose connection it is; None for a team's.
        members: Lower-case email addresses of everybody on the team.
        mapping: The field mapping in force; empty for others.
        syncs: Which parts of a CRM are switched on: opportunities, deals.
        rate: The rate of a currency to the team's on a day; None where none is known.
        settings: The connection's settings, without its secrets.
    """

    now: datetime
    timezone: str
    currency: str
    domains: frozenset[str]
    owner: str | None
    members: frozenset[str]
    mapping: Mapping[str, Any]
    syncs: frozenset[str]
    rate: Callable[[str, date], Decimal | None]
    settings: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Mapped:
    """What a document comes to.

    Args:
        records: Activity records as domain/records.py reads them, or bytes of JSON that hold one. Of a document that
            is kept, without a version: the runner gives it one, and removes what the document came to before and does
            not any more. Of one that is not kept, at most one record, whose externalId is `object:id` of the document
            (so that its deletion finds it) and whose updatedAt is the vendor's.
        state: For the next mapping of the same document, if it is kept: JSON.
        again_at: When the document is to be mapped anew though nothing at the vendor's has changed, such as at the end
            of a meeting.
        upcoming: Upcoming steps of reps that a document which is not kept tells of, as domain/upcoming.py reads them.
    """

    records: Sequence[Mapping[str, Any] | bytes]
    state: Mapping[str, Any] | None = None
    again_at: datetime | None = None
    upcoming: Sequence[Mapping[str, Any]] = ()


class SyncProblem(Exception):
    """Why a pull could not go on; the message is for a person and names the mend."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class RemoteUnavailable(SyncProblem):
    """The vendor does not answer, answers with a fault, or breaks off: it is tried again later."""


class RateLimited(SyncProblem):
    """The vendor asks for patience.

    Args:
        retry_after_seconds: How long it asks to wait.
    """

    def __init__(self, message: str, retry_after_seconds: float) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class SignInNeeded(SyncProblem):
    """The vendor does not let us in any more: only a person can mend it. The integration is broken until then."""


class RemoteRefused(SyncProblem):
    """The vendor refuses what is asked, and will again: the job is parked."""


class CursorExpired(SyncProblem):
    """The vendor knows the cursor no more: the runner begins anew with a full listing."""
