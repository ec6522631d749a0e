"""What dialers tell of a call, and what follows from all of it, in whatever order and however often it came.

An event is a JSON object in the shape of Standard Webhooks:

    {"type": "call.started", "timestamp": "2026-11-02T10:00:00-05:00",
     "data": {"call": "42", "user": "rep@demo.test", "sequence": 1, "direction": "OUTBOUND",
              "counterpart": "Dana Fox, Acme", "userJurisdiction": "US-NY", "counterpartJurisdiction": "US-CA",
              "conference": "CF…", "userLeg": "CA…", "leaseSeconds": 120, "reason": "COMPLETED"}}

Types are call.started, call.answered, call.updated, call.heartbeat, call.ended; `timestamp` says when it happened, and
`call` and `timestamp` are all that must be there. Any event may tell any of the rest.

`Facts` are a join-semilattice: `merge` is commutative, associative and idempotent, so that any order and repetition of
the same events comes to the same facts. A field is told by the event with the greatest (sequence, timestamp, digest);
the call started with the earliest `call.started`, was answered with the earliest `call.answered`, is leased until the
latest timestamp plus its lease, and ends by the `call.ended` with the greatest key. Nothing brings an ended call back;
one whose lease lapsed comes back when an event shows that it goes on.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any

import msgspec

from domain.errors import Invalid
from domain.models.live_calls import CallDirection, LiveCallState

LARGEST_EVENT_BYTES = 16_384
AHEAD = timedelta(minutes=5)
"""So far may a dialer's clock be ahead of ours."""
OLDEST = timedelta(days=7)
"""What is told of longer ago is of no use to a studio of live calls."""
LEASE_SECONDS = 120
"""How long a call is believed in after the last event of its own, unless the event says otherwise."""
LEASE_LAPSED = "LEASE_LAPSED"
FIELDS = ("user direction counterpart user_jurisdiction counterpart_jurisdiction conference user_leg").split()
_JURISDICTION = re.compile(r"[A-Z]{2}(-[A-Z0-9]{1,3})?")

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=255, pattern=r"^[^\x00]*$")]
Key = tuple[int, int, str]
"""Sequence, microseconds since 1970, digest."""


class EventType(StrEnum):
    """What happened to a call."""

    STARTED = "call.started"
    ANSWERED = "call.answered"
    UPDATED = "call.updated"
    HEARTBEAT = "call.heartbeat"
    ENDED = "call.ended"


class CallData(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """What an event says of its call; None says nothing."""

    call: Name
    sequence: Annotated[int, msgspec.Meta(ge=0, le=2**53)] = 0
    user: Annotated[str, msgspec.Meta(min_length=1, max_length=320, pattern=r"^[^\x00]*$")] | None = None
    direction: CallDirection | None = None
    counterpart: Text | None = None
    user_jurisdiction: Text | None = None
    counterpart_jurisdiction: Text | None = None
    conference: Name | None = None
    user_leg: Name | None = None
    lease_seconds: Annotated[int, msgspec.Meta(ge=10, le=86_400)] | None = None
    reason: Annotated[str, msgspec.Meta(pattern=r"^[A-Z][A-Z_]{0,39}$")] | None = None


class CallEvent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Something that happened to a call, as its dialer tells it."""

    type: EventType
    timestamp: datetime
    data: CallData


_DECODER = msgspec.json.Decoder(CallEvent)


def decode_event(body: bytes) -> CallEvent:
    """An event as it came.

    Raises:
        Invalid: it does not fit; the message says where.
    """
    if len(body) > LARGEST_EVENT_BYTES:
        raise Invalid(f"An event has at most {LARGEST_EVENT_BYTES} bytes.", path=("body",))
    try:
        event = _DECODER.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Invalid(f"The event does not fit: {error}.", path=("body",)) from error
    return _checked(event)


def _checked(event: CallEvent) -> CallEvent:
    if event.timestamp.tzinfo is None or not 1970 < event.timestamp.year < 9000:
        raise Invalid("timestamp: say the offset from UTC, such as 2026-11-02T10:00:00Z.", path=("timestamp",))
    for name in ("user_jurisdiction", "counterpart_jurisdiction"):
        code = getattr(event.data, name)
        if code is not None and not _JURISDICTION.fullmatch(code):
            told = "userJurisdiction" if name.startswith("user") else "counterpartJurisdiction"
            raise Invalid(f"{told}: give a code of ISO 3166, such as US-CA or DE.", path=("data", told))
    return event


def check_time(event: CallEvent, now: datetime) -> bool:
    """Whether the event is of any use now; False for one that is too old.

    Raises:
        Invalid: it is from the future.
    """
    if event.timestamp > now + AHEAD:
        raise Invalid("timestamp: it lies in the future; set the dialer's clock.", path=("timestamp",))
    return event.timestamp > now - OLDEST


def digest_of(event: CallEvent) -> str:
    """Tells events of a call apart that happened at the same time, the same way on each day."""
    told = (event.type, msgspec.structs.replace(event.data, call=""))
    return hashlib.sha256(msgspec.json.encode(told, order="sorted")).hexdigest()[:16]


class Ending(msgspec.Struct, frozen=True):
    """The event that ended a call."""

    key: Key
    at: datetime
    reason: str | None


class Facts(msgspec.Struct, frozen=True, omit_defaults=True):
    """All that is known of a call.

    Args:
        fields: What the newest event that told a field says, with that event's key.
        first: When anything of it was first heard.
        started: When it started.
        answered: When it was answered.
        ending: What ended it.
        lease: Until when it is believed in.
    """

    fields: dict[str, tuple[Key, str]] = {}
    first: datetime | None = None
    started: datetime | None = None
    answered: datetime | None = None
    ending: Ending | None = None
    lease: datetime | None = None

    def __getitem__(self, name: str) -> str | None:
        found = self.fields.get(name)
        return None if found is None else found[1]


def read_facts(stored: str) -> Facts:
    """Facts as they are kept."""
    return msgspec.json.decode(stored, type=Facts)


def write_facts(facts: Facts) -> str:
    """The same for keeping."""
    return msgspec.json.encode(facts, order="sorted").decode()


def key_of(event: CallEvent) -> Key:
    """By which events of a call are ordered, whenever they come."""
    return event.data.sequence, int(event.timestamp.timestamp() * 1_000_000), digest_of(event)


def facts_of(event: CallEvent) -> Facts:
    """What one event says."""
    key, at = key_of(event), event.timestamp.astimezone(UTC)
    values: dict[str, Any] = {name: getattr(event.data, name) for name in FIELDS}
    return Facts(
        fields={name: (key, str(value)) for name, value in values.items() if value is not None},
        first=at,
        started=at if event.type is EventType.STARTED else None,
        answered=at if event.type is EventType.ANSWERED else None,
        ending=Ending(key, at, event.data.reason) if event.type is EventType.ENDED else None,
        lease=at + timedelta(seconds=event.data.lease_seconds or LEASE_SECONDS),
    )


def _least(one: datetime | None, other: datetime | None) -> datetime | None:
    return min((at for at in (one, other) if at is not None), default=None)


def join(one: Facts, other: Facts) -> Facts:
    """What two sets of facts say together."""
    fields = dict(one.fields)
    for name, told in other.fields.items():
        if name not in fields or fields[name] < told:
            fields[name] = told
    endings = [facts.ending for facts in (one, other) if facts.ending is not None]
    return Facts(
        fields=fields,
        first=_least(one.first, other.first),
        started=_least(one.started, other.started),
        answered=_least(one.answered, other.answered),
        ending=max(endings, key=lambda ending: ending.key, default=None),
        lease=max((at for at in (one.lease, other.lease) if at is not None), default=None),
    )


def merge(facts: Facts, event: CallEvent) -> Facts:
    """What is known after an event."""
    return join(facts, facts_of(event))


@dataclass(frozen=True, slots=True)
class Standing:
    """How a call stands at a moment, as far as it can be seen."""

    state: LiveCallState
    started_at: datetime
    answered_at: datetime | None
    ended_at: datetime | None
    end_reason: str | None
    leased_until: datetime


def standing(facts: Facts, now: datetime) -> Standing:
    """How a call of which something is known stands."""
    assert facts.first is not None, "every event is of some time"
    assert facts.lease is not None, "every event is a sign of life"
    started = facts.started or facts.first
    state = LiveCallState.IN_PROGRESS if facts.answered is not None else LiveCallState.RINGING
    ended, reason = None, None
    if facts.ending is not None:
        state, ended, reason = LiveCallState.ENDED, facts.ending.at, facts.ending.reason or "COMPLETED"
    elif facts.lease <= now:
        state, ended, reason = LiveCallState.ENDED, facts.lease, LEASE_LAPSED
    return Standing(
        state,
        started,
        None if facts.answered is None else max(facts.answered, started),
        None if ended is None else max(ended, started),
        reason,
        facts.lease,
    )
