"""What Salesloft's entries come to as activity records; no HTTP here, and nothing but RecordRefused is raised.

Times that Salesloft does not tell:

- when an email was replied to: there is only a count, so the time of the email's last change is taken, which is that of
  the reply until something else changes;
- that a meeting was held: it began an hour ago and was neither cancelled nor marked as missed. That hour is then what
  the record was updated at, unless it has been changed since, so that it replaces the booking.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from typing import Any
from zoneinfo import ZoneInfo

from domain.connectors import Document, Mapped, MappingContext
from domain.records import RecordRefused
from workers.connectors.salesloft.manifest import HELD_AFTER

_TEXT_LIMIT, _TITLE_LIMIT, _SHORT_LIMIT = 2000, 300, 255
_CONNECTED = "connected"

_Row = Mapping[str, Any]
_Record = dict[str, Any]


def map_document(document: Document, context: MappingContext) -> Mapped:
    """The record of an entry; none where there is nothing to count (yet).

    Raises:
        RecordRefused: the entry makes no sense; the message names the field as Salesloft calls it.
    """
    read = _READERS.get(document.object)
    data = document.data
    row = data.get("row") if isinstance(data, dict) else None
    if (read is None and document.object != "action") or not isinstance(row, dict):
        raise RecordRefused("INVALID", None, "This is no entry of a list of Salesloft's.")
    if row.get("id") is None:
        raise _refused("id", "there is none")
    if document.object == "action":
        step = {"externalId": f"action:{document.id}", "updatedAt": _time(row, "updated_at")}
        upcoming = _upcoming_action(row, data, context)
        return Mapped((), upcoming=() if upcoming is None else (step | upcoming,))
    assert read is not None, "looked at above"
    record = read(row, data, context)
    if record is None:
        return Mapped(())
    identity = {"externalId": f"{document.object}:{document.id}", "updatedAt": _time(row, "updated_at")}
    if document.object == "task":
        upcoming = _upcoming_task(row, context)
        return Mapped((identity | record,), upcoming=() if upcoming is None else (identity | upcoming,))
    done = _done_action(row, document.object)
    return Mapped((identity | record,), upcoming=() if done is None else (done,))


def _upcoming_action(row: _Row, data: _Row, context: MappingContext) -> _Record | None:
    """A step of a cadence that a rep has before them. Steps other than emails and calls are left out: nothing would
    tell that they were done."""
    kind = {"email": "email", "phone": "call"}.get(str(row.get("type")))
    if kind is None or row.get("user") is None or row.get("due_on") is None:
        return None
    cadence = _cadence(row, data) if row.get("cadence") is not None else None
    number = data.get("step")
    step = f", step {number}" if type(number) is int else ""
    return {
        "kind": kind,
        "user": _user(row, "user"),
        "title": f"{'Call' if kind == 'call' else 'Email'}: {cadence or 'cadence'}{step}"[:_TITLE_LIMIT],
        "dueAt": _due(row, "due_on", context),
        "cadence": cadence,
        "person": _person(row),
    }


def _done_action(row: _Row, kind: str) -> _Record | None:
    """The upcoming step that an email or call completed, if it names one."""
    action = row.get("action")
    name = action.get("id") if isinstance(action, dict) else None
    if kind not in ("email", "call") or type(name) not in (int, str):
        return None
    user, changed = _user(row, "user"), _time(row, "updated_at")
    return {"kind": kind, "externalId": f"action:{name}", "user": user, "status": "done", "updatedAt": changed}


def _due(row: _Row, field: str, context: MappingContext) -> str:
    """A time as it is told; of a day, its end by the team's clock."""
    value = str(row.get(field))
    if len(value) > len("2026-11-02"):
        return _time(row, field)
    try:
        last = datetime.combine(date.fromisoformat(value), time(23, 59), ZoneInfo(context.timezone))
        return last.astimezone(UTC).isoformat()
    except (ValueError, OverflowError) as error:
        raise _refused(field, f"{value!r:.100} is no day") from error


def _person(row: _Row) -> str | None:
    person = row.get("person")
    name = person.get("display_name") if isinstance(person, dict) else None
    return name.replace("\0", "")[:_SHORT_LIMIT] if isinstance(name, str) else None


def _upcoming_task(row: _Row, context: MappingContext) -> _Record | None:
    """A task as its owner's upcoming work: due at the end of its day by the team's clock; done once it is completed."""
    day, done = row.get("due_date"), row.get("current_state") == "completed"
    if day is None and not done:
        return None
    kind = row.get("task_type")
    step: _Record = {
        "kind": kind if kind in ("call", "email") else "task",
        "user": _user(row, "user"),
        "title": (_words(row, "subject", _TITLE_LIMIT) or "Task").strip() or "Task",
        "status": "done" if done else "open",
    }
    if day is not None:
        step["dueAt"] = _due(row, "due_date", context)
    return step | {"person": _person(row)}


def _email(row: _Row, data: _Row, _context: MappingContext) -> _Record | None:
    if row.get("sent_at") is None:
        return None
    counts = _object(row, "counts")
    record: _Record = {
        "kind": "email",
        "user": _user(row, "user"),
        "occurredAt": _time(row, "sent_at"),
        "subject": _words(row, "subject", _TEXT_LIMIT),
        "bounced": _flag(row, "bounced"),
        "openCount": _count(counts, "views"),
        "repliedAt": _time(row, "updated_at") if _count(counts, "replies") else None,
        "cadence": _cadence(row, data) if row.get("cadence") is not None else None,
    }
    if row.get("body") is not None:
        record["body"] = _words(row, "body", None)
    return record


def _call(row: _Row, _data: _Row, _context: MappingContext) -> _Record:
    disposition = _words(row, "disposition", _SHORT_LIMIT)
    # Salesloft says whether a call connected, by the dispositions that the team counts as such; it did not always.
    told = row.get("connected")
    connected = disposition is not None and disposition.strip().lower() == _CONNECTED
    return {
        "kind": "call",
        "user": _user(row, "user"),
        "occurredAt": _time(row, "created_at"),
        "durationSeconds": _count(row, "duration"),
        "connected": connected if told is None else _flag(row, "connected"),
        "disposition": disposition,
        "sentiment": _words(row, "sentiment", _SHORT_LIMIT),
    }


def _membership(row: _Row, data: _Row, _context: MappingContext) -> _Record:
    return {
        "kind": "cadence_step",
        "user": _user(row, "user"),
        "occurredAt": _time(row, "added_at" if row.get("added_at") is not None else "created_at"),
        "cadence": _cadence(row, data),
        "status": "added",
    }


def _completed_step(at: str) -> Any:
    def read(row: _Row, data: _Row, _context: MappingContext) -> _Record | None:
        if row.get(at) is None:
            return None
        number = data.get("step")
        return {
            "kind": "cadence_step",
            "user": _user(row, "user"),
            "occurredAt": _time(row, at),
            "cadence": _cadence(row, data),
            "step": number if type(number) is int and 0 <= number < 2**31 else 0,
            "status": "completed",
        }

    return read


def _conversation(row: _Row, _data: _Row, _context: MappingContext) -> _Record:
    milliseconds = _number(row, "duration")
    if milliseconds is None:
        raise _refused("duration", "there is none")
    owner = row.get("user_guid") or row.get("owner_id")
    if not isinstance(owner, str):
        raise _refused("user_guid", "nobody is named as the owner")
    return {
        "kind": "conversation",
        "user": f"salesloft:{owner}",
        "occurredAt": _time(row, "event_start_date" if row.get("event_start_date") is not None else "created_at"),
        "durationSeconds": round(milliseconds / 1000),
    }


def _meeting(row: _Row, _data: _Row, context: MappingContext) -> _Record | None:
    # Those of other origin are in calendars, from which they come by themselves.
    if row.get("event_source") == "external":
        return None
    if row.get("status") == "failed":
        return {"kind": "meeting", "deleted": True}
    begins, changed = _instant(row, "start_time"), _instant(row, "updated_at")
    record: _Record = {
        "kind": "meeting",
        "user": _user(row, "booked_by_user" if row.get("booked_by_user") is not None else "owned_by_user"),
        "occurredAt": _time(row, "created_at"),
        "startsAt": _time(row, "start_time"),
        "endsAt": _time(row, "end_time"),
        "title": _words(row, "title", _TEXT_LIMIT),
        "rescheduledCount": 0 if row.get("reschedule_status") in (None, "failed") else 1,
        "status": "booked",
    }
    if row.get("canceled_at") is not None:
        record["status"] = "cancelled"
    elif _flag(row, "no_show"):
        record["status"] = "no_show"
    elif begins + HELD_AFTER <= context.now:
        record["status"] = "held"
        record["updatedAt"] = max(changed, begins + HELD_AFTER).isoformat()
    return record


def _task(row: _Row, _data: _Row, _context: MappingContext) -> _Record:
    if row.get("current_state") != "completed":
        # It may have been completed once, and been opened again.
        return {"kind": "task", "deleted": True}
    at = _time(row, "completed_at" if row.get("completed_at") is not None else "updated_at")
    return {
        "kind": "task",
        "user": _user(row, "completed_by" if row.get("completed_by") is not None else "user"),
        "occurredAt": at,
        "completedAt": at,
        "title": _words(row, "subject", _TEXT_LIMIT),
    }


_READERS: dict[str, Any] = {
    "email": _email,
    "email_step": _completed_step("sent_at"),
    "call": _call,
    "call_step": _completed_step("created_at"),
    "membership": _membership,
    "conversation": _conversation,
    "meeting": _meeting,
    "task": _task,
}


def _refused(field: str, problem: str) -> RecordRefused:
    return RecordRefused("INVALID", field, f"{field}: {problem}; look at the entry in Salesloft.")


def _instant(row: _Row, field: str) -> datetime:
    value = row.get(field)
    try:
        at = datetime.fromisoformat(value) if isinstance(value, str) else None
        if at is not None and at.tzinfo is not None:
            return at.astimezone(UTC)
    except (ValueError, OverflowError):
        pass  # Told below.
    raise _refused(field, f"{value!r:.100} is no time with an offset")


def _time(row: _Row, field: str) -> str:
    return _instant(row, field).isoformat()


def _user(row: _Row, field: str) -> str:
    reference = row.get(field)
    name = reference.get("id") if isinstance(reference, dict) else None
    if type(name) not in (int, str) or not name:
        raise _refused(field, "nobody is named as the owner")
    return f"salesloft:{name}"[:320]


def _object(row: _Row, field: str) -> _Row:
    value = row.get(field)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _refused(field, f"{value!r:.100} is no object")
    return value


def _words(row: _Row, field: str, limit: int | None) -> str | None:
    value = row.get(field)
    if value is None:
        return None
    if not isinstance(value, str):
        raise _refused(field, f"{value!r:.100} is no text")
    return value.replace("\0", "")[:limit]


def _flag(row: _Row, field: str) -> bool:
    value = row.get(field)
    if value is None or isinstance(value, bool):
        return bool(value)
    raise _refused(field, f"{value!r:.100} is neither true nor false")


def _number(row: _Row, field: str) -> float | None:
    value = row.get(field)
    if value is None:
        return None
    if type(value) not in (int, float) or not 0 <= value < 2**31 * 1000:
        raise _refused(field, f"{value!r:.100} is no number that a count or duration could be")
    return float(value)


def _count(row: _Row, field: str) -> int:
    value = _number(row, field)
    if value is not None and value >= 2**31:
        raise _refused(field, f"{value!r:.100} is no number that a count or duration could be")
    return round(value or 0)


def _cadence(row: _Row, data: _Row) -> str:
    """The cadence's name; its number where Salesloft does not tell the name to who connected."""
    name = data.get("cadence")
    if isinstance(name, str) and name.strip("\0"):
        return name.replace("\0", "")[:_SHORT_LIMIT]
    reference = row.get("cadence")
    number = reference.get("id") if isinstance(reference, dict) else None
    if number is None:
        raise _refused("cadence", "there is none")
    return f"Cadence {number}"[:_SHORT_LIMIT]
