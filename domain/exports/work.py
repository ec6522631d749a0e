"""Scheduled actions with their history, snapshots of reports, and live calls, as files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec

from domain import access, action_list, live_calls, live_notes, snapshots
from domain.access_actions import ActionSight, SnapshotSight
from domain.action_list import ActionFilter
from domain.errors import NotFound
from domain.exports.columns import Chosen, Column, ColumnKind
from domain.exports.source import (
    Exportable,
    Instant,
    Look,
    NoArguments,
    Rows,
    Text,
    Texts,
    all_of,
    id_column,
    instant,
    person_columns,
    row_id,
    users_of,
)
from domain.live_calls import CallFilter
from domain.models import (
    ActionRun,
    JobState,
    LiveCall,
    LiveCallNote,
    LiveCallParticipant,
    ReportSnapshot,
    ScheduledAction,
    User,
)
from domain.models.live_calls import CallDirection, LiveCallState, ParticipantState
from domain.models.people import Permission
from domain.paging import PageRequest

_K = ColumnKind


@dataclass(frozen=True, slots=True)
class ActionRow:
    """An action, with whose it is and who made it."""

    action: ScheduledAction
    user: User | None
    created_by: User | None

    def text(self, name: str) -> str | None:
        """One of its arguments."""
        value = self.action.arguments.get(name)
        return value if isinstance(value, str) else None


ACTION_COLUMNS: tuple[Column[ActionRow], ...] = (
    id_column("ScheduledAction", lambda row: row.action.id),
    Column("kind", _K.STRING, lambda row: row.action.kind),
    Column("title", _K.STRING, lambda row: row.action.title),
    *person_columns("user", lambda row: row.user),
    *person_columns("createdBy", lambda row: row.created_by),
    Column("dueAt", _K.DATETIME, lambda row: row.action.due_at),
    Column("plannedAt", _K.DATETIME, lambda row: row.action.planned_at),
    Column("recurrence", _K.STRING, lambda row: row.action.recurrence),
    Column("timezone", _K.STRING, lambda row: row.action.timezone),
    Column("catchUp", _K.ENUM, lambda row: row.action.catch_up.name),
    Column("state", _K.ENUM, lambda row: row.action.state.name),
    Column("paused", _K.BOOLEAN, lambda row: row.action.paused_at is not None),
    Column("occurrence", _K.INT, lambda row: row.action.occurrence),
    Column("attempts", _K.INT, lambda row: row.action.attempts),
    Column("lastError", _K.STRING, lambda row: row.action.last_error),
    Column("source", _K.STRING, lambda row: row.action.source),
    Column("cadence", _K.STRING, lambda row: row.text("cadence")),
    Column("person", _K.STRING, lambda row: row.text("person")),
    Column("range", _K.ENUM, lambda row: row.text("range")),
    Column("createdAt", _K.DATETIME, lambda row: row.action.created_at),
    Column("endedAt", _K.DATETIME, lambda row: row.action.ended_at),
)


class ActionFilterArgument(NoArguments, frozen=True):
    """Which actions; all conditions must hold."""

    user_id: Text | None = None
    states: Texts | None = None
    kinds: Texts | None = None
    since: Instant | None = msgspec.field(default=None, name="from")
    until: Instant | None = msgspec.field(default=None, name="to")

    def to_domain(self) -> ActionFilter:
        """As the domain has it."""
        return ActionFilter(
            row_id(self.user_id, "User", "filter", "userId"),
            all_of(JobState, self.states, "filter", "states"),
            None if self.kinds is None else tuple(self.kinds),
            instant(self.since, "filter", "from"),
            instant(self.until, "filter", "to"),
        )


class ActionsArguments(NoArguments, frozen=True):
    """Of `scheduledActions`."""

    filter: ActionFilterArgument = ActionFilterArgument()


def _action_sight(look: Look) -> ActionSight:
    return ActionSight(look.standing.users, look.viewer.user_id, access.may(look.viewer, Permission.MANAGE_TEAM))


async def _read_actions(
    look: Look, given: ActionsArguments, request: PageRequest, chosen: Chosen[Any]
) -> Rows[ActionRow]:
    page = await action_list.list_actions(look.connection, _action_sight(look), given.filter.to_domain(), request)
    users: Mapping[UUID | None, User] = {}
    if chosen.any("user", "createdBy"):
        users = await users_of(look, (one for row in page.nodes for one in (row.user_id, row.created_by_id)))
    return Rows.of(page, [ActionRow(one, users.get(one.user_id), users.get(one.created_by_id)) for one in page.nodes])


async def _count_actions(look: Look, given: ActionsArguments) -> int:
    return await action_list.count_actions(look.connection, _action_sight(look), given.filter.to_domain())


RUN_COLUMNS: tuple[Column[ActionRun], ...] = (
    Column("number", _K.INT, lambda row: row.occurrence),
    Column("count", _K.INT, lambda row: row.occurrences),
    Column("dueAt", _K.DATETIME, lambda row: row.due_at),
    Column("state", _K.ENUM, lambda row: row.state.name),
    Column("attempts", _K.INT, lambda row: row.attempts),
    Column("error", _K.STRING, lambda row: row.error),
    Column("endedAt", _K.DATETIME, lambda row: row.ended_at),
)


class OneActionArguments(NoArguments, frozen=True):
    """Of an action's `occurrences`."""

    action_id: Text


async def _action(look: Look, given: OneActionArguments) -> UUID:
    action_id = row_id(given.action_id, "ScheduledAction", "actionId")
    assert action_id is not None, "it has no default"
    if action_id not in await action_list.actions_by_id(look.connection, _action_sight(look), [action_id]):
        raise NotFound("No such scheduled action.", path=("actionId",))
    return action_id


async def _read_runs(
    look: Look, given: OneActionArguments, request: PageRequest, _chosen: Chosen[Any]
) -> Rows[ActionRun]:
    action_id = await _action(look, given)
    page = await action_list.list_runs(look.connection, look.viewer.team_id, action_id, request)
    return Rows.of(page, page.nodes)


async def _count_runs(look: Look, given: OneActionArguments) -> int:
    return await action_list.count_runs(look.connection, look.viewer.team_id, await _action(look, given))


@dataclass(frozen=True, slots=True)
class SnapshotRow:
    """A snapshot, with who it was made for."""

    snapshot: ReportSnapshot
    reader: User | None


SNAPSHOT_COLUMNS: tuple[Column[SnapshotRow], ...] = (
    id_column("ReportSnapshot", lambda row: row.snapshot.id),
    Column("title", _K.STRING, lambda row: row.snapshot.title),
    Column("from", _K.DATE, lambda row: row.snapshot.from_day),
    Column("to", _K.DATE, lambda row: row.snapshot.to_day),
    *person_columns("reader", lambda row: row.reader),
    Column("createdAt", _K.DATETIME, lambda row: row.snapshot.created_at),
    Column("expiresAt", _K.DATETIME, lambda row: row.snapshot.expires_at),
)


async def _read_snapshots(
    look: Look, _given: NoArguments, request: PageRequest, chosen: Chosen[Any]
) -> Rows[SnapshotRow]:
    page = await snapshots.list_snapshots(look.connection, SnapshotSight(look.standing.users), request)
    readers = await users_of(look, (one.user_id for one in page.nodes)) if chosen.any("reader") else {}
    return Rows.of(page, [SnapshotRow(one, readers.get(one.user_id)) for one in page.nodes])


async def _count_snapshots(look: Look, _given: NoArguments) -> int:
    return await snapshots.count_snapshots(look.connection, SnapshotSight(look.standing.users))


@dataclass(frozen=True, slots=True)
class CallRow:
    """A call, with its rep and who is or was on it."""

    call: LiveCall
    user: User
    participants: Sequence[LiveCallParticipant]
    managers: Mapping[UUID | None, User]

    def joined(self) -> list[dict[str, Any]]:
        """The managers in sight who are or were on it."""
        return [
            {
                "user": {"name": self.managers[one.user_id].name},
                "mode": one.mode.name,
                "joinedAt": one.joined_at or one.requested_at,
                "leftAt": one.left_at,
            }
            for one in self.participants
            if one.user_id in self.managers
        ]


_ON = (ParticipantState.REQUESTED, ParticipantState.CONNECTED)


def _direction(row: CallRow) -> str | None:
    return None if row.call.direction is None else CallDirection(row.call.direction).name


CALL_COLUMNS: tuple[Column[CallRow], ...] = (
    id_column("LiveCall", lambda row: row.call.id),
    *person_columns("user", lambda row: row.user),
    Column("state", _K.ENUM, lambda row: LiveCallState(row.call.state).name),
    Column("direction", _K.ENUM, _direction),
    Column("counterpart", _K.STRING, lambda row: row.call.counterpart),
    Column("startedAt", _K.DATETIME, lambda row: row.call.started_at),
    Column("answeredAt", _K.DATETIME, lambda row: row.call.answered_at),
    Column("endedAt", _K.DATETIME, lambda row: row.call.ended_at),
    Column("endReason", _K.STRING, lambda row: row.call.end_reason),
    Column("listening", _K.INT, lambda row: sum(one.state in _ON for one in row.participants)),
    Column("joined", _K.JSON, lambda row: row.joined()),
)


class CallFilterArgument(NoArguments, frozen=True):
    """Which calls."""

    user_ids: Texts | None = None
    with_ended: bool = False


class CallsArguments(NoArguments, frozen=True):
    """Of `liveCalls`."""

    filter: CallFilterArgument = CallFilterArgument()


def _calls(look: Look, given: CallsArguments) -> CallFilter:
    access.require(look.viewer, Permission.LIVE_CALL_STUDIO)
    access.require(look.viewer, Permission.TEAM_VIEW)
    wanted = given.filter.user_ids
    ids = None if wanted is None else [row_id(one, "User", "filter", "userIds") for one in wanted]
    return CallFilter(None if ids is None else tuple(one for one in ids if one is not None), given.filter.with_ended)


async def _read_calls(look: Look, given: CallsArguments, request: PageRequest, chosen: Chosen[Any]) -> Rows[CallRow]:
    page = await live_calls.list_calls(look.connection, look.standing.users, _calls(look, given), request)
    users = await users_of(look, (one.user_id for one in page.nodes))
    on: Mapping[UUID, list[LiveCallParticipant]] = {}
    if chosen.any("joined", "listening"):
        on = await live_calls.participants_of(look.connection, look.viewer.team_id, [one.id for one in page.nodes])
    managers = await users_of(look, (one.user_id for found in on.values() for one in found))
    return Rows.of(
        page,
        [
            CallRow(one, users[one.user_id], on.get(one.id, ()), managers)
            for one in page.nodes
            # Somebody may have been moved out of sight between the two statements.
            if one.user_id in users
        ],
    )


async def _count_calls(look: Look, given: CallsArguments) -> int:
    return await live_calls.count_calls(look.connection, look.standing.users, _calls(look, given))


@dataclass(frozen=True, slots=True)
class NoteRow:
    """A note, with who wrote it."""

    note: LiveCallNote
    author: User | None


NOTE_COLUMNS: tuple[Column[NoteRow], ...] = (
    id_column("LiveCallNote", lambda row: row.note.id),
    Column("atSecond", _K.INT, lambda row: row.note.at_second),
    Column("text", _K.STRING, lambda row: row.note.text),
    Column("private", _K.BOOLEAN, lambda row: row.note.private),
    *person_columns("author", lambda row: row.author),
    Column("createdAt", _K.DATETIME, lambda row: row.note.created_at),
)


class NotesArguments(NoArguments, frozen=True):
    """Of a call's `notes`."""

    call_id: Text


async def _call(look: Look, given: NotesArguments) -> UUID:
    call_id = row_id(given.call_id, "LiveCall", "callId")
    assert call_id is not None, "it has no default"
    sight = await access.see_live_calls(look.connection, look.viewer)
    if (await live_calls.calls_by_id(look.connection, sight, [call_id]))[0] is None:
        raise NotFound("No such live call.", path=("callId",))
    return call_id


async def _read_notes(look: Look, given: NotesArguments, request: PageRequest, chosen: Chosen[Any]) -> Rows[NoteRow]:
    page = await live_notes.list_notes(look.connection, look.viewer, await _call(look, given), request)
    authors = await users_of(look, (one.author_id for one in page.nodes)) if chosen.any("author") else {}
    return Rows.of(page, [NoteRow(one, authors.get(one.author_id)) for one in page.nodes])


async def _count_notes(look: Look, given: NotesArguments) -> int:
    return await live_notes.count_notes(look.connection, look.viewer, await _call(look, given))


EXPORTABLES = (
    Exportable(
        "scheduledActions",
        "Query.scheduledActions",
        "Scheduled actions and upcoming work, by when they are due: one's own; with TEAM_VIEW those of people in "
        "scope; with MANAGE_TEAM those that are the team's.",
        ACTION_COLUMNS,
        ActionsArguments,
        _read_actions,
        _count_actions,
    ),
    Exportable(
        "scheduledAction.occurrences",
        "ScheduledAction.occurrences",
        "How the occurrences of an action ended, the newest first.",
        RUN_COLUMNS,
        OneActionArguments,
        _read_runs,
        _count_runs,
    ),
    Exportable(
        "reportSnapshots",
        "Query.reportSnapshots",
        "Snapshots of reports that are kept, of people in sight, as far as everybody in them is in sight.",
        SNAPSHOT_COLUMNS,
        NoArguments,
        _read_snapshots,
        _count_snapshots,
    ),
    Exportable(
        "liveCalls",
        "Query.liveCalls",
        "Calls in progress of the reps in scope, the latest first; with filter.withEnded those that have ended too. "
        "Needs LIVE_CALL_STUDIO and TEAM_VIEW.",
        CALL_COLUMNS,
        CallsArguments,
        _read_calls,
        _count_calls,
    ),
    Exportable(
        "liveCall.notes",
        "LiveCall.notes",
        "The notes of a call that the viewer may read, in the order of their moments.",
        NOTE_COLUMNS,
        NotesArguments,
        _read_notes,
        _count_notes,
        keepable=False,
    ),
)
