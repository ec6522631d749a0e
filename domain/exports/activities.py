"""Activities of all kinds, as files: a column for each field that any of them has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

from domain import access, activities, bodies
from domain.access import Sight
from domain.activities import ActivityFilter
from domain.activity_records import ACTIVITIES, activity_record
from domain.activity_records import FIELDS as RECORD_FIELDS
from domain.audit import AuditAction, NewEntry, record
from domain.exports.columns import ABSENT, Chosen, Column, ColumnKind
from domain.exports.source import (
    Exportable,
    Instant,
    Look,
    NoArguments,
    Rows,
    Text,
    Texts,
    all_of,
    instant,
    person_columns,
    row_id,
    users_of,
)
from domain.ids import encode_id
from domain.models import Activity, ActivityKind, MeetingStatus, User
from domain.models.people import Permission
from domain.paging import PageRequest, decode_cursor, encode_cursor

_K = ColumnKind
TYPE_NAMES: Mapping[ActivityKind, str] = {
    ActivityKind.EMAIL: "EmailActivity",
    ActivityKind.CALL: "CallActivity",
    ActivityKind.MEETING: "MeetingActivity",
    ActivityKind.CONVERSATION: "ConversationActivity",
    ActivityKind.CADENCE_STEP: "CadenceStepActivity",
    ActivityKind.OPPORTUNITY: "OpportunityActivity",
    ActivityKind.TASK: "TaskActivity",
}
"""The type of each kind in the schema, by which its ids are made."""


@dataclass(frozen=True, slots=True)
class ActivityRow:
    """An activity, with its owner.

    Args:
        activity: The activity.
        user: Whose it is.
        body: An email's text; None where there is none, it may not be read, or it was not asked for.
        body_forbidden: Whether it may not be read.
        timezone: The team's.
    """

    activity: Activity
    user: User
    body: str | None
    body_forbidden: bool
    timezone: str


_Read = Callable[[ActivityRow], Any]


def _float(value: Decimal | None) -> float | None:
    return None if value is None else float(value)


def _created_on(row: ActivityRow) -> Any:
    found = row.activity
    return found.created_on or found.occurred_at.astimezone(ZoneInfo(row.timezone)).date()


_EMAIL: dict[str, tuple[ColumnKind, _Read]] = {
    "subject": (_K.STRING, lambda row: row.activity.name),
    "body": (_K.STRING, lambda row: row.body),
    "bodyForbidden": (_K.BOOLEAN, lambda row: row.body_forbidden),
    "bounced": (_K.BOOLEAN, lambda row: bool(row.activity.bounced)),
    "openCount": (_K.INT, lambda row: row.activity.open_count),
    "repliedAt": (_K.DATETIME, lambda row: row.activity.replied_at),
    "cadence": (_K.STRING, lambda row: row.activity.cadence),
}
_CALL: dict[str, tuple[ColumnKind, _Read]] = {
    "durationSeconds": (_K.INT, lambda row: row.activity.duration_seconds),
    "connected": (_K.BOOLEAN, lambda row: bool(row.activity.connected)),
    "disposition": (_K.STRING, lambda row: row.activity.disposition),
    "sentiment": (_K.STRING, lambda row: row.activity.sentiment),
}
_MEETING: dict[str, tuple[ColumnKind, _Read]] = {
    "title": (_K.STRING, lambda row: row.activity.name),
    "startsAt": (_K.DATETIME, lambda row: row.activity.starts_at),
    "endsAt": (_K.DATETIME, lambda row: row.activity.ends_at),
    "status": (_K.STRING, lambda row: MeetingStatus(row.activity.status or "booked").name),
    "rescheduledCount": (_K.INT, lambda row: row.activity.rescheduled_count),
}
_CONVERSATION: dict[str, tuple[ColumnKind, _Read]] = {
    "durationSeconds": (_K.INT, lambda row: row.activity.duration_seconds),
    "talkRatio": (_K.FLOAT, lambda row: _float(row.activity.talk_ratio)),
    "longestMonologueSeconds": (_K.INT, lambda row: row.activity.longest_monologue_seconds),
    "questionsAsked": (_K.INT, lambda row: row.activity.questions_asked),
    "patienceSeconds": (_K.FLOAT, lambda row: _float(row.activity.patience_seconds)),
}
_CADENCE_STEP: dict[str, tuple[ColumnKind, _Read]] = {
    "cadence": (_K.STRING, lambda row: row.activity.cadence),
    "step": (_K.INT, lambda row: row.activity.step),
    "status": (_K.STRING, lambda row: row.activity.status),
}
_OPPORTUNITY: dict[str, tuple[ColumnKind, _Read]] = {
    "name": (_K.STRING, lambda row: row.activity.name),
    "stage": (_K.STRING, lambda row: row.activity.stage),
    "amount": (_K.DECIMAL, lambda row: row.activity.amount),
    "currency": (_K.STRING, lambda row: row.activity.currency),
    "createdOn": (_K.DATE, _created_on),
    "closedOn": (_K.DATE, lambda row: row.activity.closed_on),
    "won": (_K.BOOLEAN, lambda row: row.activity.won),
}
_TASK: dict[str, tuple[ColumnKind, _Read]] = {
    "title": (_K.STRING, lambda row: row.activity.name),
    "completedAt": (_K.DATETIME, lambda row: row.activity.completed_at),
}
_KINDS: Mapping[ActivityKind, Mapping[str, tuple[ColumnKind, _Read]]] = {
    ActivityKind.EMAIL: _EMAIL,
    ActivityKind.CALL: _CALL,
    ActivityKind.MEETING: _MEETING,
    ActivityKind.CONVERSATION: _CONVERSATION,
    ActivityKind.CADENCE_STEP: _CADENCE_STEP,
    ActivityKind.OPPORTUNITY: _OPPORTUNITY,
    ActivityKind.TASK: _TASK,
}
_BODY = frozenset({"body", "bodyForbidden"})
_OF_SOME_KINDS = frozenset(name for fields in _KINDS.values() for name in fields)


def _column(name: str) -> Column[ActivityRow]:
    """A field of some kinds; absent from the others."""
    readers = {kind: fields[name][1] for kind, fields in _KINDS.items() if name in fields}
    shown = next(fields[name][0] for fields in _KINDS.values() if name in fields)

    def read(row: ActivityRow) -> Any:
        reader = readers.get(row.activity.kind)
        return ABSENT if reader is None else reader(row)

    return Column(name, shown, read, chosen_only=name in _BODY)


COLUMNS: tuple[Column[ActivityRow], ...] = (
    Column("id", _K.ID, lambda row: encode_id(TYPE_NAMES[row.activity.kind], row.activity.id)),
    Column("__typename", _K.STRING, lambda row: TYPE_NAMES[row.activity.kind]),
    Column("occurredAt", _K.DATETIME, lambda row: row.activity.occurred_at),
    Column("source", _K.STRING, lambda row: row.activity.source),
    Column("externalId", _K.STRING, lambda row: row.activity.external_id),
    *person_columns("user", lambda row: row.user),
    *(_column(name) for name in dict.fromkeys(name for fields in _KINDS.values() for name in fields)),
)


class ActivityFilterArgument(NoArguments, frozen=True):
    """Which activities; all conditions must hold."""

    user_id: Text | None = None
    group_id: Text | None = None
    kinds: Texts | None = None
    since: Instant | None = msgspec.field(default=None, name="from")
    until: Instant | None = msgspec.field(default=None, name="to")

    def to_domain(self) -> ActivityFilter:
        """As the domain has it."""
        return ActivityFilter(
            row_id(self.user_id, "User", "filter", "userId"),
            row_id(self.group_id, "Group", "filter", "groupId"),
            all_of(ActivityKind, self.kinds, "filter", "kinds"),
            instant(self.since, "filter", "from"),
            instant(self.until, "filter", "to"),
        )


class ActivitiesArguments(NoArguments, frozen=True):
    """Of `activities`."""

    filter: ActivityFilterArgument = ActivityFilterArgument()


def _checked(look: Look, given: ActivitiesArguments) -> ActivityFilter:
    wanted, sight = given.filter.to_domain(), look.standing.users
    if wanted.group_id is not None:
        access.require_group(look.viewer, look.standing.groups, wanted.group_id)
    if wanted.user_id is not None:
        access.require_seen(sight, wanted.user_id, "user", path=("filter", "userId"))
        if wanted.user_id != look.viewer.user_id:
            access.require(look.viewer, Permission.TEAM_VIEW)
    return wanted


async def _read(look: Look, given: ActivitiesArguments, request: PageRequest, chosen: Chosen[Any]) -> Rows[ActivityRow]:
    sight = look.standing.users
    page = await activities.list_activities(look.connection, sight, _checked(look, given), request)
    users = await users_of(look, (one.user_id for one in page.nodes))
    texts: Mapping[UUID, str | None] = {}
    if chosen.any("body"):
        emails = [(one.id, one.user_id) for one in page.nodes if one.kind is ActivityKind.EMAIL and one.body_stored]
        found = await bodies.read_bodies(look.connection, look.viewer, emails)
        texts = {email: text for (email, _owner), text in zip(emails, found, strict=True)}
    rows = [
        ActivityRow(
            one,
            users[one.user_id],
            texts.get(one.id),
            one.kind is ActivityKind.EMAIL and not access.may_read_email_body(look.viewer, one.user_id),
            look.viewer.timezone,
        )
        for one in page.nodes
        # Somebody may have been moved out of sight between the two statements.
        if one.user_id in users
    ]
    return Rows.of(page, rows)


async def _count(look: Look, given: ActivitiesArguments) -> int:
    return await activities.count_activities(look.connection, look.standing.users, _checked(look, given))


def _usual(given: ActivitiesArguments) -> Callable[[str], bool]:
    kinds = all_of(ActivityKind, given.filter.kinds, "filter", "kinds") or tuple(_KINDS)
    there = {name for kind in kinds for name in _KINDS[kind]}
    return lambda name: name not in _OF_SOME_KINDS or name in there


EXPORTABLE = Exportable(
    "activities",
    "Query.activities",
    "What the people in sight did, the newest first. The text of an email is there when `body` is asked for, where it "
    "may be read; `bodyForbidden` tells where it may not.",
    COLUMNS,
    ActivitiesArguments,
    _read,
    _count,
    heavy=frozenset({"body"}),
    usual=_usual,
)


# The form in which activities come in.

_RECORD_NAMES = (
    "kind",
    "externalId",
    "user",
    "occurredAt",
    "version",
    *dict.fromkeys(name for fields in RECORD_FIELDS.values() for name in fields),
)


def _record_column(name: str) -> Column[Mapping[str, Any]]:
    return Column(name, _K.STRING, lambda row: row.get(name, ABSENT))


async def _read_records(
    look: Look, _given: NoArguments, request: PageRequest, chosen: Chosen[Any]
) -> Rows[Mapping[str, Any]]:
    """Served by activities_team_idx."""
    sight: Sight = look.standing.users
    arguments: list[object] = []
    condition = sight.filter("a.user_id", arguments, team_column="a.team_id")
    since, after = datetime.min.replace(tzinfo=UTC), UUID(int=0)
    if request.cursor is not None:
        since, after = decode_cursor("activityRecords", request.cursor, (datetime, UUID))
    arguments += [since, after, request.limit + 1]
    n = len(arguments)
    rows = await look.connection.fetch(
        f"{ACTIVITIES} WHERE {condition} AND a.occurred_at >= ${n - 2} AND (a.occurred_at, a.id) > (${n - 2}, ${n - 1})"
        f" ORDER BY a.occurred_at, a.id LIMIT ${n}",
        *arguments,
    )
    more, rows = len(rows) > request.limit, rows[: request.limit]
    keys = await bodies.sealers(look.connection, look.viewer.team_id) if chosen.any("body") else {}
    found, others = [], 0
    for row in rows:
        readable = chosen.any("body") and access.may_read_email_body(look.viewer, row["user_id"])
        found.append(activity_record(row, keys, with_body=readable))
        others += "body" in found[-1] and row["user_id"] != look.viewer.user_id
    if others:
        entry = NewEntry(AuditAction.EMAIL_BODIES_EXPORTED, None, None, {"bodies": others})
        await record(look.connection, look.viewer, [entry])
    end = encode_cursor("activityRecords", rows[-1]["occurred_at"].isoformat(), str(rows[-1]["id"])) if more else None
    return Rows(found, end)


async def _count_records(look: Look, _given: NoArguments) -> int:
    return await activities.count_activities(look.connection, look.standing.users, ActivityFilter())


RECORDS = Exportable(
    "activityRecords",
    None,
    "What the people in sight did, the oldest first, in the form in which `sideline import` and POST /import take it "
    "in, with the texts of emails where they may be read.",
    tuple(_record_column(name) for name in _RECORD_NAMES),
    NoArguments,
    _read_records,
    _count_records,
    heavy=frozenset({"body"}),
    # What is taken in again is to be what came.
    guard=False,
)
EXPORTABLES = (EXPORTABLE, RECORDS)
