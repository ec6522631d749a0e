"""Opportunities and deals of any CRM: how a document becomes an activity record, by the field mapping of a team.

A CRM's connector keeps of each opportunity, as its document's data:

    {"fields": {field: value}, "history": {field: [[ISO instant, new value], ...]}, "people": {user id: email or null}}

`fields` holds values as the vendor gives them: text, numbers, booleans (also as the texts `true` and `false`), ISO
dates, ISO instants with an offset; empty text is null. `history` is the oldest first and complete for the fields that
it names: its first entry is what the opportunity was made with (null if with nothing). `people` has the email
addresses, in lower case, of the vendor's users that the fields and histories name.

What comes of it:

- Days are days of the team's time zone. A date that has no time stays as it is.
- `pipelineOn` by stages is the day on which it first entered one of them; the created day if it was made in one. One
  that never did has none: it is no new pipeline.
- An opportunity is closed while it is won or lost. `closedOn` by history is the day on which its present outcome began:
  won, lost and won again counts on the last; from one won stage to another is no new closing; one that was opened again
  has neither `closedOn` nor `won`. Where won and lost are said by fields whose history is not kept, it is the day on
  which it last came into its present stage.
- A present value on which the history does not end stands: the history is a moment behind or ahead, or a stage was
  renamed. One that the history does not know counts from the history's last entry.
- Amounts are exact. A record has one exchange rate: that of the closed day if it is closed, else of the created day.
- Without the part `deals` there is no amount, `pipelineOn`, `closedOn` or `won`; without `opportunities` there is no
  `createdOn`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Any, Literal
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

from domain.connectors import Document, Mapped, MappingContext
from domain.errors import Refused
from domain.field_mapping import (
    ByField,
    ByHistory,
    Credit,
    FieldMapping,
    InStages,
    WhenCreated,
    check_mapping,
    read_mapping,
)
from domain.records import STAGE_COLUMNS, Importing, RecordError, RecordRefused, decode_mapping, stage

__all__ = [
    "DEALS",
    "OPPORTUNITIES",
    "FieldMapping",
    "Preview",
    "PreviewRow",
    "PreviewSums",
    "check_mapping",
    "map_document",
    "map_opportunity",
    "preview",
    "read_mapping",
]

OPPORTUNITIES, DEALS = "opportunities", "deals"
"""The parts of a CRM's sync, as `MappingContext.syncs` names them."""

NAME_LIMIT = 2000
AMOUNT_DIGITS = 30
"""How far from the point an amount's digits may be; domain/records.py has the narrower limits."""

Outcome = Literal["won", "lost"]


def map_document(document: Document, context: MappingContext) -> Mapped:
    """What a CRM's connector answers to `map`, for documents of its opportunity object.

    Raises:
        RecordRefused: the document makes no sense by the mapping, or the mapping makes none.
    """
    try:
        mapping = read_mapping(context.mapping)
    except Refused as error:
        raise RecordRefused("INVALID_MAPPING", None, f"The field mapping is none: {error.message}") from error
    return map_opportunity(document.id, document.data, mapping, context)


def map_opportunity(document_id: str, data: Any, mapping: FieldMapping, context: MappingContext) -> Mapped:
    """What an opportunity comes to: one record, or none if no part of the sync is on.

    Args:
        document_id: The vendor's id; becomes the record's external id.
        data: The document's data as above, or its JSON.
        mapping: The team's.
        context: The clock, the team and the rates.

    Raises:
        RecordRefused: it makes no sense. Beside INVALID and what domain/records.py raises: MISSING_FIELD, NO_HISTORY,
            NO_OWNER, NO_EXCHANGE_RATE.
    """
    if not context.syncs & {OPPORTUNITIES, DEALS}:
        return Mapped(())
    reading = _Reading(_decode(data), mapping, ZoneInfo(context.timezone))
    deals = DEALS in context.syncs
    created = reading.moment("createdOn", mapping.created_on)
    if created is None:
        raise RecordRefused(
            "INVALID", "createdOn", f"createdOn: {mapping.created_on} is empty; fill it in, or map another field."
        )
    outcome = reading.outcome()
    record: dict[str, Any] = {
        "kind": "opportunity",
        "externalId": document_id,
        "user": reading.user(outcome, created),
        "occurredAt": created.instant.isoformat(),
        "name": (reading.text("name", mapping.name) or document_id)[:NAME_LIMIT],
        "stage": reading.stage,
        # Said outright: where it is absent, the created day stands in for it.
        "pipelineOn": None,
    }
    if OPPORTUNITIES in context.syncs:
        record["createdOn"] = created.day.isoformat()
    if deals:
        pipeline_on = reading.pipeline_on(created)
        record["pipelineOn"] = None if pipeline_on is None else pipeline_on.isoformat()
        closed_on = reading.closed_on(outcome, created)
        if closed_on is not None:
            record["closedOn"] = closed_on.isoformat()
            record["won"] = outcome == "won"
        record |= reading.money(closed_on or created.day, context)
    return Mapped((record,))


class _Data(msgspec.Struct):
    """A document's data."""

    fields: dict[str, Any]
    history: dict[str, list[tuple[str, Any]]] = {}
    people: dict[str, str | None] = {}


_DECODER = msgspec.json.Decoder(_Data, float_hook=Decimal)


def _decode(data: Any) -> _Data:
    try:
        if isinstance(data, bytes | bytearray | str):
            return _DECODER.decode(data)
        return msgspec.convert(data, _Data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise RecordRefused("INVALID", None, f"The document cannot be read: {error}.") from error


@dataclass(frozen=True, slots=True)
class _Moment:
    """When something was: the day in the team's time zone, and an instant of it: its start where only the day is known.

    Args:
        exact: The instant itself is known.
    """

    day: date
    instant: datetime
    exact: bool


_Changes = list[tuple[datetime, Any]]


class _Reading:
    """One document, read by a mapping."""

    def __init__(self, data: _Data, mapping: FieldMapping, zone: ZoneInfo) -> None:
        self._data = data
        self._mapping = mapping
        self._zone = zone
        stage_now = self.text("stage", mapping.stage)
        if stage_now is None:
            raise RecordRefused("INVALID", "stage", f"stage: {mapping.stage} is empty; give it a stage in the CRM.")
        self.stage = stage_now

    # Values

    def _value(self, part: str, field: str) -> Any:
        try:
            value = self._data.fields[field]
        except KeyError:
            raise RecordRefused(
                "MISSING_FIELD",
                part,
                f"{part}: the CRM gives no field {field}; let the integration's user see it, or map another.",
            ) from None
        return None if value == "" else value

    def text(self, part: str, field: str) -> str | None:
        """A text, stripped; None where there is none."""
        value = self._value(part, field)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
            raise RecordRefused("INVALID", part, f"{part}: {field} is no text.")
        return str(value).strip() or None

    def boolean(self, part: str, field: str, value: Any) -> bool:
        """A boolean; none is no."""
        if isinstance(value, bool):
            return value
        if value is None or value == "":
            return False
        if isinstance(value, str) and value.lower() in ("true", "false"):
            return value.lower() == "true"
        raise RecordRefused("INVALID", part, f"{part}: {field} is neither true nor false.")

    def moment(self, part: str, field: str) -> _Moment | None:
        """A date or an instant."""
        value = self._value(part, field)
        if value is None:
            return None
        if isinstance(value, str) and len(value) == 10:
            try:
                day = date.fromisoformat(value)
            except ValueError:
                pass
            else:
                return _Moment(day, datetime.combine(day, time(), self._zone), exact=False)
        instant = _instant(value)
        if instant is None:
            raise RecordRefused(
                "INVALID", part, f"{part}: {field} holds {_shown(value)}, no ISO date and no instant with an offset."
            )
        return self._at(part, instant)

    def _at(self, part: str, instant: datetime) -> _Moment:
        return _Moment(self._day(part, instant), instant, exact=True)

    def _day(self, part: str, instant: datetime) -> date:
        try:
            return instant.astimezone(self._zone).date()
        except OverflowError:
            raise RecordRefused("OUT_OF_RANGE", part, f"{part}: {instant.isoformat()} is beyond all years.") from None

    def _history(self, part: str, field: str) -> _Changes | None:
        """All changes of a field, the oldest first; None where the CRM keeps none."""
        given = self._data.history.get(field)
        if given is None:
            return None
        changes: _Changes = []
        for at, value in given:
            instant = _instant(at)
            if instant is None:
                raise RecordRefused(
                    "INVALID", part, f"{part}: the history of {field} holds {_shown(at)}, no instant with an offset."
                )
            changes.append((instant, None if value == "" else value))
        changes.sort(key=lambda change: change[0])
        return changes

    def _needed_history(self, part: str, field: str, mend: str) -> _Changes:
        changes = self._history(part, field)
        if changes is None:
            raise RecordRefused("NO_HISTORY", part, f"{part}: the CRM keeps no history of {field}; {mend}.")
        return changes

    # Outcomes

    def outcome(self) -> Outcome | None:
        """Whether it is won or lost now; None while it is open."""
        return self._outcome_of(self._data.fields, need=True)

    def _outcome_of(self, values: Mapping[str, Any], *, need: bool = False) -> Outcome | None:
        mapping = self._mapping

        def said(part: str, field: str) -> bool:
            value = self._value(part, field) if need else values.get(field)
            return self.boolean(part, field, value)

        stage_then = values.get(mapping.stage)
        stage_then = str(stage_then).strip() if stage_then is not None else None
        won = stage_then in mapping.won.stages if isinstance(mapping.won, InStages) else said("won", mapping.won.field)
        if isinstance(mapping.lost, InStages):
            lost = stage_then in mapping.lost.stages
        else:
            lost = said("lost", mapping.lost.closed) and not said("lost", mapping.lost.won)
        if won and lost:
            if need:
                raise RecordRefused(
                    "INVALID",
                    "won",
                    "won: by the field mapping it is both won and lost; mend it in the CRM, or map the two otherwise.",
                )
            return None
        return "won" if won else "lost" if lost else None

    def _closing(self, outcome: Outcome, created: _Moment) -> _Moment | None:
        """When its present outcome began, by history; None where no history tells."""
        mapping = self._mapping
        needed = [mapping.stage] if isinstance(mapping.won, InStages) else [mapping.won.field]
        needed += [mapping.stage] if isinstance(mapping.lost, InStages) else [mapping.lost.closed, mapping.lost.won]
        histories = {field: self._history("closedOn", field) for field in needed}
        kept = {field: changes for field, changes in histories.items() if changes is not None}
        if len(kept) == len(histories):
            timeline = self._outcomes(kept)
            began = _last_run(timeline, lambda then: then == outcome)
        else:
            stages = self._history("closedOn", mapping.stage)
            if stages is None:
                return None
            timeline = stages
            began = _last_run(timeline, lambda then: then is not None and str(then).strip() == self.stage)
        if began is None:
            began = timeline[-1][0] if timeline else created.instant
        return self._at("closedOn", began)

    def _outcomes(self, histories: Mapping[str, _Changes]) -> _Changes:
        """What the outcome was after each instant at which something changed."""
        changes = sorted(
            ((at, field, value) for field, those in histories.items() for at, value in those), key=lambda one: one[0]
        )
        values: dict[str, Any] = {}
        timeline: _Changes = []
        for at, field, value in changes:
            values[field] = value
            if timeline and timeline[-1][0] == at:
                timeline.pop()
            timeline.append((at, self._outcome_of(values)))
        return timeline

    def closed_on(self, outcome: Outcome | None, created: _Moment) -> date | None:
        """The day of closing; None while it is open."""
        if outcome is None:
            return None
        rule = self._mapping.closed_on
        moment = self._closing(outcome, created) if isinstance(rule, ByHistory) else self.moment("closedOn", rule.field)
        if moment is not None:
            return moment.day
        if isinstance(rule, ByField):
            raise RecordRefused(
                "INVALID",
                "closedOn",
                f"closedOn: it is {outcome}, but {rule.field} is empty; fill it in, or map closedOn by history.",
            )
        raise RecordRefused(
            "NO_HISTORY",
            "closedOn",
            f"closedOn: the CRM keeps no history of {self._mapping.stage}; map a date field instead.",
        )

    def pipeline_on(self, created: _Moment) -> date | None:
        """The day on which it entered the pipeline; None if it has not."""
        rule = self._mapping.pipeline
        if isinstance(rule, WhenCreated):
            return created.day
        if isinstance(rule, ByField):
            moment = self.moment("pipelineOn", rule.field)
            return None if moment is None else moment.day
        changes = self._needed_history("pipelineOn", self._mapping.stage, "map a date field, or take the created day")
        for position, (at, value) in enumerate(changes):
            if value is not None and str(value).strip() in rule.stages:
                return created.day if position == 0 else self._day("pipelineOn", at)
        if self.stage not in rule.stages:
            return None
        return self._day("pipelineOn", changes[-1][0]) if changes else created.day

    # Money

    def money(self, day: date, context: MappingContext) -> dict[str, Any]:
        """Amount, currency and exchange rate of a day."""
        amount = None if self._mapping.amount is None else self._amount(self._mapping.amount)
        if amount is None:
            return {}
        currency = self._currency(context)
        money = {"amount": _plain(amount), "currency": currency}
        if currency != context.currency:
            rate = context.rate(currency, day)
            if rate is None:
                raise RecordRefused(
                    "NO_EXCHANGE_RATE",
                    "currency",
                    f"currency: no rate of {currency} to {context.currency} is known for {day}; add one to the team's "
                    "exchange rates, then retry.",
                )
            money["exchangeRate"] = _plain(rate)
        return money

    def _amount(self, field: str) -> Decimal | None:
        value = self._value("amount", field)
        if value is None:
            return None
        try:
            if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
                raise InvalidOperation
            # The shortest text that is read as the same float is what the vendor wrote.
            amount = Decimal(repr(value) if isinstance(value, float) else value)
        except (InvalidOperation, ValueError):
            raise RecordRefused("INVALID", "amount", f"amount: {field} holds {_shown(value)}, no number.") from None
        if not amount.is_finite() or (amount and not -AMOUNT_DIGITS <= amount.adjusted() <= AMOUNT_DIGITS):
            raise RecordRefused("OUT_OF_RANGE", "amount", f"amount: {_shown(value)} is no amount of money.")
        return amount

    def _currency(self, context: MappingContext) -> str:
        if self._mapping.currency is None:
            return context.currency
        currency = self.text("currency", self._mapping.currency)
        return context.currency if currency is None else currency.upper()

    # People

    def user(self, outcome: Outcome | None, created: _Moment) -> str:
        """Whose it is: an email address, or the vendor's id of somebody without one."""
        person = self._person(outcome, created)
        email = self._data.people.get(person)
        return email.strip().lower() if email and email.strip() else person

    def _person(self, outcome: Outcome | None, created: _Moment) -> str:
        mapping, credit = self._mapping, self._mapping.credit
        field = mapping.owner
        if isinstance(credit, ByField):
            field = credit.field
        elif credit is Credit.CREATOR and mapping.creator is not None:
            field = mapping.creator
        elif credit is Credit.CREATOR:
            owners = self._owners("name the field of who made it as creator, or credit the current owner")
            for _at, owner in owners:
                if owner is not None:
                    return str(owner)
        elif credit is Credit.OWNER_AT_CLOSE and outcome is not None:
            return self._owned(field, self._owner_at_close(outcome, created))
        return self._owned(field, self.text("user", field))

    def _owners(self, mend: str) -> _Changes:
        return self._needed_history("user", self._mapping.owner, mend)

    def _owner_at_close(self, outcome: Outcome, created: _Moment) -> str | None:
        owners = self._owners("have the CRM keep it, or credit the current owner")
        if not owners:
            return self.text("user", self._mapping.owner)
        rule = self._mapping.closed_on
        closing = self._closing(outcome, created)
        if closing is None and isinstance(rule, ByField):
            closing = self.moment("closedOn", rule.field)
        if closing is None:
            raise RecordRefused(
                "NO_HISTORY",
                "user",
                "user: nothing tells when it was closed, and so whose it was then; map a date field as closedOn, or "
                "credit the current owner.",
            )
        owner = owners[0][1]
        for at, value in owners:
            if at <= closing.instant if closing.exact else self._day("user", at) <= closing.day:
                owner = value
        return None if owner is None else str(owner)

    def _owned(self, field: str, person: str | None) -> str:
        if person is None:
            raise RecordRefused(
                "NO_OWNER", "user", f"user: {field} names nobody; fill it in, or credit opportunities otherwise."
            )
        return person


def _last_run(changes: _Changes, holds: Callable[[Any], bool]) -> datetime | None:
    """When the last unbroken time in which something held began; None if it never did."""
    began: datetime | None = None
    for at, value in reversed(changes):
        if holds(value):
            began = at
        elif began is not None:
            break
    return began


def _instant(value: Any) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        instant = datetime.fromisoformat(value)
    except ValueError:
        return None
    return instant if instant.tzinfo is not None else None


def _plain(number: Decimal) -> str:
    """A number's digits, the same for the same number however it was written."""
    text = format(number, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"


@dataclass(frozen=True, slots=True)
class PreviewRow:
    """What a sample would come to.

    Args:
        document_id: The vendor's id.
        record: The record that would be taken in; None if none would be.
        refusal: Why the sample would be quarantined, if it would.
    """

    document_id: str
    record: Mapping[str, Any] | None
    refusal: RecordError | None


@dataclass(frozen=True, slots=True)
class PreviewSums:
    """What the samples would add to the team's numbers; amounts in its currency."""

    opportunities_created: int
    new_pipeline: Decimal
    closed_won_count: int
    closed_won_amount: Decimal


@dataclass(frozen=True, slots=True)
class Preview:
    """What a mapping makes of some samples: a row each, and the sums of those that would be taken in."""

    rows: tuple[PreviewRow, ...]
    sums: PreviewSums


_COLUMN = {name: position for position, (name, _type) in enumerate(STAGE_COLUMNS)}


def preview(mapping: FieldMapping, samples: Sequence[Document], context: MappingContext) -> Preview:
    """Map some documents as a sync would, with the rules of taking in, and write nothing.

    Who owns a sample must be among `context.members`; people that only an id makes known are not seen here.
    """
    importing = Importing(
        currency=context.currency,
        users=dict.fromkeys(context.members, UUID(int=0)),
        now_version=0,
        seal=lambda _external_id, _body: b"",
    )
    rows: list[PreviewRow] = []
    created = won = 0
    pipeline_amount = won_amount = Decimal(0)
    for position, sample in enumerate(samples):
        try:
            mapped = map_opportunity(sample.id, sample.data, mapping, context)
            record = next((one for one in mapped.records if isinstance(one, Mapping)), None)
            row = None if record is None else stage(decode_mapping(record), position, importing)
        except RecordRefused as refusal:
            error = RecordError(position, refusal.code, refusal.field, refusal.message)
            rows.append(PreviewRow(sample.id, None, error))
            continue
        rows.append(PreviewRow(sample.id, record, None))
        if row is None:
            continue
        amount = row[_COLUMN["team_amount"]] or Decimal(0)
        created += row[_COLUMN["created_on"]] is not None
        pipeline_amount += amount if row[_COLUMN["pipeline_on"]] is not None else 0
        won += bool(row[_COLUMN["won"]])
        won_amount += amount if row[_COLUMN["won"]] else 0
    return Preview(tuple(rows), PreviewSums(created, pipeline_amount, won, won_amount))
