"""Activity records: what an importer or a connector hands in, checked before it goes anywhere near a table."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import urlsplit
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from domain.books import Bound
from domain.models.activities import ActivityKind
from domain.models.base import new_id

EARLIEST = datetime(2010, 1, 1, tzinfo=UTC)
LATEST = datetime(2036, 1, 1, tzinfo=UTC)
"""The years that the tables have partitions for; see migrations/0002_storage.py."""

BODY_LIMIT_BYTES = 1_048_576
MONEY_STEP = Decimal("0.0001")
MONEY_LIMIT = Decimal(10) ** 15

Instant = Annotated[datetime, Meta(tz=True)]
Text = Annotated[str, Meta(max_length=2000)]
ShortText = Annotated[str, Meta(max_length=255)]
Count = Annotated[int, Meta(ge=0, le=2_147_483_647)]
Currency = Annotated[str, Meta(pattern="^[A-Z]{3}$")]


class Record(Struct, rename="camel", tag_field="kind", forbid_unknown_fields=True, kw_only=True):
    """What every activity has. Times are ISO 8601 with an offset."""

    external_id: Annotated[str, Meta(min_length=1, max_length=255)]
    user: Annotated[str, Meta(min_length=1, max_length=320)]
    occurred_at: Instant
    version: Annotated[int, Meta(ge=0, le=2**62)] | None = None
    updated_at: Instant | None = None
    deleted: Literal[False] | None = None


class EmailRecord(Record, tag="email"):
    """An email sent."""

    subject: Text | None = None
    body: str | None = None
    bounced: bool = False
    open_count: Count = 0
    replied_at: Instant | None = None
    cadence: ShortText | None = None


class CallRecord(Record, tag="call"):
    """A call made; the duration is that of the call, connected or not."""

    duration_seconds: Count = 0
    connected: bool = False
    disposition: ShortText | None = None
    sentiment: ShortText | None = None


class MeetingRecord(Record, tag="meeting"):
    """A meeting; `occurredAt` is when it was booked."""

    starts_at: Instant
    ends_at: Instant
    title: Text | None = None
    status: Literal["booked", "held", "cancelled", "no_show"] = "booked"
    rescheduled_count: Count = 0


class ConversationRecord(Record, tag="conversation"):
    """A recorded call or meeting with its analysis.

    `recordedExternalId` names the call or meeting that was recorded, as `recordedSource` knows it; without that, as the
    source of the recording does. `recordingUrl` is where it can be heard, an https address.
    """

    duration_seconds: Count
    talk_ratio: Annotated[Decimal, Meta()] | None = None
    longest_monologue_seconds: Count | None = None
    questions_asked: Count | None = None
    patience_seconds: Decimal | None = None
    recording_url: Text | None = None
    recorded_external_id: ShortText | None = None
    recorded_source: Annotated[str, Meta(max_length=100)] | None = None


class CadenceStepRecord(Record, tag="cadence_step"):
    """A step of a cadence; `added` is the day on which a person entered it."""

    cadence: ShortText
    step: Count = 0
    status: Literal["added", "completed", "overdue", "skipped"] = "completed"


class OpportunityRecord(Record, tag="opportunity"):
    """An opportunity or deal as it stands; dates are days of the team.

    Without `pipelineOn` it entered the pipeline on the day on which it was made; with null it has not entered it.
    """

    name: Text
    stage: ShortText
    amount: Decimal | None = None
    currency: Currency | None = None
    exchange_rate: Decimal | None = None
    created_on: date | None = None
    pipeline_on: date | UnsetType | None = UNSET
    closed_on: date | None = None
    won: bool | None = None


class TaskRecord(Record, tag="task"):
    """A task done."""

    completed_at: Instant
    title: Text | None = None


class TombstoneRecord(Struct, rename="camel", kw_only=True):
    """Says that an activity is gone; everything but its identity and version is ignored."""

    kind: str
    external_id: Annotated[str, Meta(min_length=1, max_length=255)]
    deleted: Literal[True]
    version: Annotated[int, Meta(ge=0, le=2**62)] | None = None
    updated_at: Instant | None = None


AnyRecord = (
    EmailRecord | CallRecord | MeetingRecord | ConversationRecord | CadenceStepRecord | OpportunityRecord | TaskRecord
)

AnyRow = TypeVar("AnyRow", bound=AnyRecord | TombstoneRecord)

KIND_OF_RECORD: dict[type[Record], ActivityKind] = {
    EmailRecord: ActivityKind.EMAIL,
    CallRecord: ActivityKind.CALL,
    MeetingRecord: ActivityKind.MEETING,
    ConversationRecord: ActivityKind.CONVERSATION,
    CadenceStepRecord: ActivityKind.CADENCE_STEP,
    OpportunityRecord: ActivityKind.OPPORTUNITY,
    TaskRecord: ActivityKind.TASK,
}

_JSON = msgspec.json.Decoder(AnyRecord, float_hook=Decimal)
_JSON_TOMBSTONE = msgspec.json.Decoder(TombstoneRecord)


@dataclass(frozen=True, slots=True)
class RecordError:
    """Why a record was refused.

    Args:
        position: The record's place in what was handed in.
        code: For machines.
        field: The field at fault, if one is.
        message: What is wrong and how to mend it.
    """

    position: int
    code: str
    field: str | None
    message: str


TOO_OLD = "TOO_OLD"
"""All days on which the activity counts are closed."""
ERASED_USER = "ERASED_USER"
"""The data of the person that the record names was erased."""
NOT_KEPT = frozenset({TOO_OLD, ERASED_USER})
"""Refusals of records of which nothing may be kept, not even to be looked at or tried again."""


class RecordRefused(Exception):
    """Raised while one record is read; becomes a RecordError."""

    def __init__(self, code: str, field: str | None, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.field = field
        self.message = message


def decode_json(line: bytes | str) -> AnyRecord | TombstoneRecord:
    """Read one JSON object.

    Raises:
        RecordRefused: it is no JSON, or no record.
    """
    try:
        decoded: AnyRecord = _JSON.decode(line)
        return _named(decoded)
    except msgspec.MsgspecError as error:
        if "deleted" in (line if isinstance(line, str) else line.decode("utf-8", "replace")):
            try:
                return _named(_JSON_TOMBSTONE.decode(line))
            except msgspec.MsgspecError:
                pass  # The error of the full record says more.
        raise _refusal(error) from error
    except UnicodeDecodeError as error:
        raise RecordRefused("INVALID_JSON", None, "The line is not UTF-8.") from error


_DELETED = {"true": True, "1": True, "false": False, "0": False}


def decode_mapping(values: Mapping[str, Any], *, strings: bool = False) -> AnyRecord | TombstoneRecord:
    """Read one record that is a mapping already.

    Args:
        values: The record.
        strings: The values are strings of a CSV row: numbers and booleans are read from text, an empty cell is absent.

    Raises:
        RecordRefused: it is no record.
    """
    if strings:
        values = {key: value for key, value in values.items() if value not in ("", None)}
        if "deleted" in values:
            values["deleted"] = _DELETED.get(str(values["deleted"]).lower(), values["deleted"])
    try:
        if values.get("deleted") is True:
            return _named(msgspec.convert(dict(values), TombstoneRecord, strict=not strings))
        converted: AnyRecord = msgspec.convert(dict(values), AnyRecord, strict=not strings)  # type: ignore[arg-type]
        return _named(converted)
    except msgspec.MsgspecError as error:
        raise _refusal(error) from error


def _named(record: AnyRow) -> AnyRow:
    """The record, if what it is looked up by is text: a query with a NUL in it would fail for its whole batch.

    Raises:
        RecordRefused: it is not.
    """
    if "\0" in record.external_id:
        raise RecordRefused("INVALID", "externalId", "externalId: holds a NUL character, which text cannot.")
    if not isinstance(record, TombstoneRecord) and "\0" in record.user:
        raise RecordRefused("INVALID", "user", "user: holds a NUL character, which text cannot.")
    return record


_PATH = re.compile(r" - at `\$\.?(?P<path>[^`]*)`$")
_FIELD = re.compile(r"`(?P<field>[^`$]+)`")


def _refusal(error: msgspec.MsgspecError) -> RecordRefused:
    text = str(error)
    if isinstance(error, msgspec.ValidationError):
        path = _PATH.search(text)
        message = _PATH.sub("", text).replace("`NoneType`", "`null`")
        field = path["path"] if path and path["path"] else None
        if field is None and (named := _FIELD.search(message)) and "field" in message:
            field = named["field"]
        if field == "kind" or "Invalid value" in message:
            message = f"{message}; a kind is one of {', '.join(kind.value for kind in ActivityKind)}"
        return RecordRefused("INVALID", field, f"{field or 'record'}: {message}.")
    return RecordRefused("INVALID_JSON", None, f"The record is not a JSON object: {text}.")


STAGE_COLUMNS: tuple[tuple[str, str], ...] = (
    ("position", "integer"),
    ("id", "uuid"),
    ("user_id", "uuid"),
    ("kind", "varchar(16)"),
    ("occurred_at", "timestamptz"),
    ("external_id", "varchar(255)"),
    ("version", "bigint"),
    ("content_hash", "bigint"),
    ("deleted", "boolean"),
    ("sealed", "bytea"),
    ("name", "text"),
    ("body_stored", "boolean"),
    ("bounced", "boolean"),
    ("open_count", "integer"),
    ("replied_at", "timestamptz"),
    ("cadence", "text"),
    ("step", "integer"),
    ("duration_seconds", "integer"),
    ("connected", "boolean"),
    ("disposition", "text"),
    ("sentiment", "text"),
    ("starts_at", "timestamptz"),
    ("ends_at", "timestamptz"),
    ("status", "varchar(16)"),
    ("rescheduled_count", "integer"),
    ("talk_ratio", "numeric(7,6)"),
    ("longest_monologue_seconds", "integer"),
    ("questions_asked", "integer"),
    ("patience_seconds", "numeric(9,3)"),
    ("stage", "text"),
    ("amount", "numeric(20,4)"),
    ("currency", "varchar(3)"),
    ("team_amount", "numeric(20,4)"),
    ("created_on", "date"),
    ("pipeline_on", "date"),
    ("closed_on", "date"),
    ("won", "boolean"),
    ("completed_at", "timestamptz"),
    ("recording_url", "text"),
    ("recorded_source", "varchar(100)"),
    ("recorded_external_id", "varchar(255)"),
)
"""The columns of the staging table, in the order of a staged row."""

CONTENT_COLUMNS: tuple[str, ...] = tuple(name for name, _ in STAGE_COLUMNS[10:])
"""Columns of `activities` that hold what the source said."""

StagedRow = tuple[Any, ...]
EXTERNAL_ID, VERSION, CONTENT_HASH = 5, 6, 7
_NOTHING: dict[str, None] = dict.fromkeys(CONTENT_COLUMNS)
_TOMBSTONE_HASH = 0


@dataclass(frozen=True, slots=True)
class Importing:
    """What a record is read against.

    Args:
        currency: The team's currency.
        users: User ids by lower-case email and by external id.
        now_version: The version of records that carry none: microseconds since 1970 at arrival.
        seal: Seals the body of an email of this external id.
        bound: Where the team's open books begin.
        erased: Those of the records' users whose data was erased.
        erasures: How many people had been erased when this was read.
    """

    currency: str
    users: Mapping[str, UUID]
    now_version: int
    seal: Callable[[str, str], bytes]
    bound: Bound | None = None
    erased: frozenset[str] = frozenset()
    erasures: int = 0

    def fits(self, team: Mapping[str, Any]) -> bool:
        """Whether the team, by its row, still stands as it did when this was read."""
        return (self.currency, self.bound, self.erasures) == (team["currency"], Bound.of(team), team["erasures"])


def microseconds(instant: datetime) -> int:
    """An instant as microseconds since 1970: how an `updatedAt` becomes a version."""
    return int(instant.timestamp() * 1_000_000)


def stage(record: AnyRecord | TombstoneRecord, position: int, importing: Importing) -> StagedRow:
    """Turn a record into a row of the staging table.

    Raises:
        RecordRefused: a rule that needs more than the record's shape says no.
    """
    version = record.version
    if version is None:
        version = microseconds(record.updated_at) if record.updated_at else importing.now_version
    if isinstance(record, TombstoneRecord):
        head: StagedRow = (
            position,
            new_id(),
            None,
            None,
            None,
            record.external_id,
            version,
            _TOMBSTONE_HASH,
            True,
            None,
        )
        return head + (None,) * len(CONTENT_COLUMNS)
    user_id = importing.users.get(record.user.lower()) or importing.users.get(record.user)
    if user_id is None and record.user in importing.erased:
        raise erased_refusal()
    if user_id is None:
        raise RecordRefused(
            "UNKNOWN_USER",
            "user",
            f"user: no user of the team has the email or external id {record.user!r}; add the user, then retry.",
        )
    _check_instant("occurredAt", record.occurred_at)
    content = _CONTENT[type(record)](record, importing)
    if importing.bound is not None and importing.bound.closes({"occurred_at": record.occurred_at, **content}):
        raise RecordRefused(
            TOO_OLD,
            "occurredAt",
            f"occurredAt: the team keeps activities from {importing.bound.day} on, and this one is older; the numbers "
            "of its days stay as they are.",
        )
    if "\0" in record.external_id or any("\0" in value for value in content.values() if type(value) is str):
        raise RecordRefused("INVALID", None, "The record holds a NUL character, which text cannot; take it out.")
    body = record.body if type(record) is EmailRecord else None
    sealed = None if body is None else importing.seal(record.external_id, body)
    kind = KIND_OF_RECORD[type(record)]
    content_hash = _digest((kind.value, user_id, record.occurred_at, body, tuple(content.values())))
    head = (
        position,
        new_id(),
        user_id,
        kind.value,
        record.occurred_at,
        record.external_id,
        version,
        content_hash,
        False,
        sealed,
    )
    merged = _NOTHING | content
    return head + tuple(merged.values())


def erased_refusal() -> RecordRefused:
    """Why a record of an erased person is refused; it names nobody."""
    return RecordRefused(
        ERASED_USER, "user", "user: this person's data was erased on request; nothing of theirs is taken in again."
    )


def _digest(content: tuple[Any, ...]) -> int:
    encoded = msgspec.msgpack.encode(content)
    return int.from_bytes(hashlib.blake2b(encoded, digest_size=8).digest(), "big", signed=True) or 1


def _check_instant(field: str, instant: datetime) -> None:
    if not EARLIEST <= instant < LATEST:
        raise RecordRefused(
            "OUT_OF_RANGE", field, f"{field}: {instant.isoformat()} is not between {EARLIEST:%Y} and {LATEST:%Y}."
        )


def _check_day(field: str, day: date | None) -> None:
    if day is not None and not EARLIEST.date() <= day < LATEST.date():
        raise RecordRefused("OUT_OF_RANGE", field, f"{field}: {day} is not between {EARLIEST:%Y} and {LATEST:%Y}.")


def _quantize(field: str, value: Decimal, step: Decimal, low: Decimal | None, high: Decimal) -> Decimal:
    if not value.is_finite() or value > high or (low is not None and value < low):
        bounds = f"at most {high}" if low is None else f"between {low} and {high}"
        raise RecordRefused("OUT_OF_RANGE", field, f"{field}: {value} is not a number {bounds}.")
    return value.quantize(step, ROUND_HALF_EVEN)


def _email(record: EmailRecord, _importing: Importing) -> dict[str, Any]:
    if record.body is not None and ("\0" in record.body or len(record.body.encode()) > BODY_LIMIT_BYTES):
        raise RecordRefused("INVALID", "body", f"body: at most {BODY_LIMIT_BYTES} bytes of text without NUL.")
    if record.replied_at is not None:
        _check_instant("repliedAt", record.replied_at)
    return {
        "name": record.subject,
        "body_stored": record.body is not None,
        "bounced": record.bounced,
        "open_count": record.open_count,
        "replied_at": record.replied_at,
        "cadence": record.cadence,
    }


def _call(record: CallRecord, _importing: Importing) -> dict[str, Any]:
    return {
        "duration_seconds": record.duration_seconds,
        "connected": record.connected,
        "disposition": record.disposition,
        "sentiment": record.sentiment,
    }


def _meeting(record: MeetingRecord, _importing: Importing) -> dict[str, Any]:
    _check_instant("startsAt", record.starts_at)
    _check_instant("endsAt", record.ends_at)
    if record.ends_at < record.starts_at:
        raise RecordRefused("INVALID", "endsAt", "endsAt: a meeting cannot end before it starts.")
    return {
        "name": record.title,
        "starts_at": record.starts_at,
        "ends_at": record.ends_at,
        "status": record.status,
        "rescheduled_count": record.rescheduled_count,
    }


def _conversation(record: ConversationRecord, _importing: Importing) -> dict[str, Any]:
    ratio, patience = record.talk_ratio, record.patience_seconds
    content = {
        "duration_seconds": record.duration_seconds,
        "talk_ratio": None
        if ratio is None
        else _quantize("talkRatio", ratio, Decimal("0.000001"), Decimal(0), Decimal(1)),
        "longest_monologue_seconds": record.longest_monologue_seconds,
        "questions_asked": record.questions_asked,
        "patience_seconds": None
        if patience is None
        else _quantize("patienceSeconds", patience, Decimal("0.001"), Decimal(0), Decimal(86_400)),
    }
    if record.recording_url is not None and not is_https(record.recording_url):
        raise RecordRefused("INVALID", "recordingUrl", "recordingUrl: give an https address without user and password.")
    if record.recorded_source is not None and not record.recorded_external_id:
        raise RecordRefused(
            "INVALID", "recordedSource", "recordedSource: give recordedExternalId too: the call or meeting recorded."
        )
    recording = {
        "recording_url": record.recording_url,
        "recorded_source": record.recorded_source,
        "recorded_external_id": record.recorded_external_id or None,
    }
    # A record that tells of none of them has the content, and the hash of it, that it had before they were known.
    return content | recording if any(recording.values()) else content


def is_https(address: str) -> bool:
    """Whether it is an https address of a host, without credentials in it."""
    if not address.isascii() or any(character <= " " for character in address):
        return False
    try:
        parts = urlsplit(address)
        return parts.scheme == "https" and bool(parts.hostname) and "@" not in parts.netloc and (parts.port or 1) > 0
    except ValueError:
        return False


def _cadence_step(record: CadenceStepRecord, _importing: Importing) -> dict[str, Any]:
    return {"cadence": record.cadence, "step": record.step, "status": record.status}


def _task(record: TaskRecord, _importing: Importing) -> dict[str, Any]:
    _check_instant("completedAt", record.completed_at)
    return {"name": record.title, "completed_at": record.completed_at}


def _opportunity(record: OpportunityRecord, importing: Importing) -> dict[str, Any]:
    pipeline_on = record.created_on if record.pipeline_on is UNSET else record.pipeline_on
    for field, day in (
        ("createdOn", record.created_on),
        ("pipelineOn", pipeline_on),
        ("closedOn", record.closed_on),
    ):
        _check_day(field, day)
    if (record.won is None) != (record.closed_on is None):
        raise RecordRefused(
            "INVALID", "closedOn", "closedOn: a closed opportunity has both closedOn and won, an open one has neither."
        )
    amount = team_amount = None
    currency = record.currency or importing.currency
    if record.amount is not None:
        amount = _quantize("amount", record.amount, MONEY_STEP, -MONEY_LIMIT, MONEY_LIMIT)
        if currency == importing.currency:
            team_amount = amount
        elif record.exchange_rate is None:
            raise RecordRefused(
                "INVALID",
                "exchangeRate",
                f"exchangeRate: {currency} needs the day's rate to the team's currency {importing.currency}.",
            )
        else:
            rate = _quantize("exchangeRate", record.exchange_rate, Decimal("1e-12"), Decimal("1e-12"), Decimal(10**9))
            team_amount = _quantize("amount", amount * rate, MONEY_STEP, -MONEY_LIMIT, MONEY_LIMIT)
    return {
        "name": record.name,
        "stage": record.stage,
        "amount": amount,
        "currency": None if amount is None else currency,
        "team_amount": team_amount,
        "created_on": record.created_on,
        "pipeline_on": pipeline_on,
        "closed_on": record.closed_on,
        "won": record.won,
    }


_CONTENT: dict[type[Any], Any] = {
    EmailRecord: _email,
    CallRecord: _call,
    MeetingRecord: _meeting,
    ConversationRecord: _conversation,
    CadenceStepRecord: _cadence_step,
    OpportunityRecord: _opportunity,
    TaskRecord: _task,
}
