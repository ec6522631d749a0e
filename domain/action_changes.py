"""What people do with scheduled actions: make, reschedule, pause, resume, run now, cancel, snooze; one or many at once.

Each takes a list of actions and is all or nothing: an error for each that stands in the way, and then nothing is
written. Whatever takes an action out of its worker's hands grows its fence, so that what is under way does not commit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson

from domain import actions
from domain.access import Viewer, see_users
from domain.access_actions import (
    PRIVATE_KINDS,
    may_change_others,
    require_action_change,
    require_action_start,
    see_actions,
)
from domain.action_kinds import DEFAULT_TITLES, KindOptions, check_kind
from domain.actions import NewAction, cancel_by_ids, plan, put_actions
from domain.errors import Conflict, DomainError, Forbidden, Invalid, ItemError, Refused
from domain.idempotency import digest_of_input, once
from domain.models.actions import CatchUp, ScheduledAction
from domain.models.base import new_id
from domain.models.jobs import JobState

if TYPE_CHECKING:
    from domain.database import Connection

ACTIONS_AT_ONCE = 1_000
"""Actions, or people, of one mutation."""
LIVE_LIMIT = 10_000
"""Actions that somebody has made and that have not ended."""
LONGEST_SNOOZE = timedelta(days=366)
KEEP = "KEEP"
"""Leaves a part of an action as it is."""


@dataclass(frozen=True, slots=True)
class CreateActions:
    """What to schedule: one action for each person.

    Args:
        kind: One of action_kinds.MADE_KINDS.
        due_at: When, or from when on.
        title: What a person reads; None: as the kind has it.
        user_ids: Whose; none: the viewer's own.
        recurrence: An RRULE; None: once.
        timezone: By whose wall clock it recurs; None: the team's.
        catch_up: What becomes of what fell due while nothing ran.
        options: What the kind needs.
        idempotency_key: The sender's.
    """

    kind: str
    due_at: datetime
    title: str | None = None
    user_ids: tuple[UUID, ...] = ()
    recurrence: str | None = None
    timezone: str | None = None
    catch_up: CatchUp = CatchUp.RUN_ONCE
    options: KindOptions = field(default_factory=KindOptions)
    idempotency_key: str | None = None


async def create_actions(connection: Connection, viewer: Viewer, wanted: CreateActions) -> list[UUID]:
    """Schedule actions in the caller's transaction. Returns their ids, in the order of the people.

    Raises:
        Forbidden: the viewer may not make actions like these.
        NotFound: what an option names is not in sight.
        Invalid: the input does not fit.
        Refused: with an error for each person who stands in the way.
        Conflict: the idempotency key was used for another input.
    """
    given = [wanted.kind, wanted.due_at, wanted.title, wanted.user_ids, wanted.recurrence, wanted.timezone]
    digest = digest_of_input("createScheduledAction", [*given, wanted.catch_up, repr(wanted.options)])

    async def work() -> list[str]:
        return [str(one) for one in await _create(connection, viewer, wanted)]

    return [UUID(one) for one in await once(connection, viewer, wanted.idempotency_key, digest, work)]


async def _create(connection: Connection, viewer: Viewer, wanted: CreateActions) -> list[UUID]:
    if len(wanted.user_ids) > ACTIONS_AT_ONCE:
        raise Invalid(f"userIds: at most {ACTIONS_AT_ONCE} at once.", path=("input", "userIds"))
    await _require_people(connection, viewer, wanted.user_ids)
    made = await check_kind(connection, viewer, wanted.kind, wanted.options, wanted.user_ids)
    for user_id in made.user_ids:
        require_action_change(viewer, user_id)
    await _require_room(connection, viewer, len(made.user_ids))
    title = (wanted.title if wanted.title is not None else DEFAULT_TITLES[wanted.kind]).strip()
    if wanted.timezone is not None:
        actions.zone_named(wanted.timezone, path=("input",))
    if wanted.recurrence is not None or wanted.timezone is not None:
        timezone = wanted.timezone or viewer.timezone
        plan(wanted.due_at, wanted.recurrence, timezone, path=("input",))
    else:
        plan(wanted.due_at, None, "UTC", path=("input",))
    return await put_actions(
        connection,
        viewer.team_id,
        [
            NewAction(
                key=f"made:{new_id()}",
                kind=wanted.kind,
                title=title,
                due_at=wanted.due_at,
                user_id=user_id,
                created_by_id=viewer.user_id,
                recurrence=wanted.recurrence,
                timezone=wanted.timezone,
                catch_up=wanted.catch_up,
                arguments=made.arguments,
            )
            for user_id in dict.fromkeys(made.user_ids)
        ],
    )


async def _require_people(connection: Connection, viewer: Viewer, user_ids: Sequence[UUID]) -> None:
    if any(user_id != viewer.user_id for user_id in user_ids) and not may_change_others(viewer):
        require_action_change(viewer, next(one for one in user_ids if one != viewer.user_id))
    sight = await see_users(connection, viewer)
    rows = await connection.fetch(
        "SELECT id, active FROM users WHERE team_id = $1 AND id = ANY ($2::uuid[])", viewer.team_id, list(user_ids)
    )
    active = {row["id"]: row["active"] for row in rows}
    errors = []
    for place, user_id in enumerate(user_ids):
        path = ("input", "userIds", str(place))
        if user_id not in active or not sight.sees(viewer.team_id, user_id):
            errors.append(ItemError("NOT_FOUND", "No such user.", path))
        elif not active[user_id]:
            errors.append(ItemError("INVALID", "This person does not work with the team any more.", path))
    if errors:
        raise Refused(errors)


async def _require_room(connection: Connection, viewer: Viewer, wanted: int) -> None:
    """Served by scheduled_actions_made_idx."""
    live = await connection.fetchval(
        "SELECT count(*) FROM scheduled_actions WHERE team_id = $1 AND created_by_id = $2 "
        "AND state IN ('SCHEDULED', 'RUNNING')",
        viewer.team_id,
        viewer.user_id,
    )
    if live + wanted > LIVE_LIMIT:
        raise Invalid(f"You have made {live} actions that are to come; at most {LIVE_LIMIT}.", path=("input",))


def action_of(row: Any) -> ScheduledAction:
    """An action from its row."""
    values = dict(row)
    values["arguments"] = orjson.loads(values["arguments"])
    return ScheduledAction._init_from_db(**values)


Check = Callable[[ScheduledAction], None]


async def _locked(connection: Connection, viewer: Viewer, ids: Sequence[UUID], check: Check) -> list[ScheduledAction]:
    """The actions, locked in one order, once none stands in the way. Served by scheduled_actions_team_id_id_key.

    Raises:
        Invalid: too many, or none.
        Forbidden: the viewer may not change one that they see.
        Refused: with an error for each that is not there, or that `check` refuses.
    """
    if not 1 <= len(ids) <= ACTIONS_AT_ONCE:
        raise Invalid(f"ids: name 1 to {ACTIONS_AT_ONCE} actions.", path=("input", "ids"))
    arguments: list[object] = [list(ids)]
    sight = await see_actions(connection, viewer)
    condition = sight.filter("a", arguments)
    rows = await connection.fetch(
        f"SELECT a.* FROM scheduled_actions a WHERE a.id = ANY ($1::uuid[]) AND {condition} "
        "ORDER BY a.id FOR NO KEY UPDATE OF a",
        *arguments,
    )
    found = {row["id"]: action_of(row) for row in rows}
    errors = []
    for place, action_id in enumerate(ids):
        path = ("input", "ids", str(place))
        action = found.get(action_id)
        if action is None:
            errors.append(ItemError("NOT_FOUND", "No such scheduled action.", path))
            continue
        try:
            check(action)
        except Forbidden:
            raise
        except DomainError as error:
            errors.append(ItemError(error.code, error.message, path))
    if errors:
        raise Refused(errors)
    return [found[action_id] for action_id in dict.fromkeys(ids)]


def _require_own_making(viewer: Viewer, action: ScheduledAction) -> None:
    """Refuse what belongs to something else, and what is not the viewer's to change."""
    if action.source is not None:
        raise Invalid(f"This is reported by {action.source}: change it there, or snooze it here.")
    if action.kind in PRIVATE_KINDS:
        raise Invalid("This belongs to a coaching session: change the session.")
    require_action_change(viewer, action.user_id)


def _require_starting(viewer: Viewer, action: ScheduledAction) -> None:
    """The same for who would have it done at another time."""
    _require_own_making(viewer, action)
    require_action_start(viewer, action.kind, action.created_by_id)


def _require_going_on(action: ScheduledAction) -> None:
    if action.state not in (JobState.SCHEDULED, JobState.RUNNING):
        raise Conflict(f"This has ended ({action.state.value}).")


async def _update(
    connection: Connection, team_id: UUID, found: Sequence[ScheduledAction], assignments: str, *values: object
) -> list[ScheduledAction]:
    """Change columns of locked actions; what is running is taken out of its worker's hands."""
    rows = await connection.fetch(
        f"UPDATE scheduled_actions SET {assignments}, lease_holder = NULL, leased_until = NULL, fence = fence + 1 "
        "WHERE team_id = $1 AND id = ANY ($2::uuid[]) RETURNING *",
        team_id,
        [one.id for one in found],
        *values,
    )
    changed = {row["id"]: action_of(row) for row in rows}
    return [changed[one.id] for one in found]


@dataclass(frozen=True, slots=True)
class Reschedule:
    """When actions are due instead.

    Args:
        due_at: When, or from when on.
        recurrence: An RRULE; None: once. Left out (`KEEP`) it stays.
        timezone: IANA name; None: the team's. Left out it stays.
        catch_up: None leaves it.
        title: None leaves it.
    """

    due_at: datetime
    recurrence: str | None = KEEP
    timezone: str | None = KEEP
    catch_up: CatchUp | None = None
    title: str | None = None


async def reschedule(
    connection: Connection, viewer: Viewer, ids: Sequence[UUID], wanted: Reschedule
) -> list[ScheduledAction]:
    """Let actions be due at another time; those that have ended, but were not cancelled, live again.

    Raises:
        Forbidden, Invalid, Refused: see `_locked`; or the time, rule, zone or title does not fit.
    """

    def check(action: ScheduledAction) -> None:
        _require_starting(viewer, action)
        if action.state is JobState.CANCELLED:
            raise Conflict("This was cancelled: make a new one.")

    found = await _locked(connection, viewer, ids, check)
    if wanted.title is not None and not 1 <= len(wanted.title.strip()) <= actions.TITLE_LIMIT:
        raise Invalid(f"title: 1 to {actions.TITLE_LIMIT} characters.", path=("input", "title"))
    moved = []
    for action in found:
        recurrence = action.recurrence if wanted.recurrence == KEEP else wanted.recurrence
        timezone = action.timezone if wanted.timezone == KEEP else wanted.timezone
        if timezone is not None:
            actions.zone_named(timezone, path=("input",))
        moved.append((plan(wanted.due_at, recurrence, timezone or viewer.timezone, path=("input",)), timezone))
    rows = await connection.fetch(
        """
        UPDATE scheduled_actions a SET starts_at = n.due_at, planned_at = n.due_at, due_at = n.due_at,
            run_at = n.due_at, starts_local = n.starts_local, recurrence = n.recurrence, timezone = n.timezone,
            catch_up = coalesce($7, catch_up), title = coalesce($8, title), state = 'SCHEDULED', extra = false,
            attempts = 0, last_error = NULL, ended_at = NULL, lease_holder = NULL, leased_until = NULL,
            fence = fence + 1
        FROM unnest($2::uuid[], $3::timestamptz[], $4::text[], $5::text[], $6::text[])
            AS n (id, due_at, starts_local, recurrence, timezone)
        WHERE a.team_id = $1 AND a.id = n.id RETURNING a.*
        """,
        viewer.team_id,
        [one.id for one in found],
        [planned.due_at for planned, _zone in moved],
        [planned.starts_local for planned, _zone in moved],
        [planned.recurrence for planned, _zone in moved],
        [zone for _planned, zone in moved],
        None if wanted.catch_up is None else wanted.catch_up.value,
        None if wanted.title is None else wanted.title.strip(),
    )
    changed = {row["id"]: action_of(row) for row in rows}
    return [changed[one.id] for one in found]


async def pause(connection: Connection, viewer: Viewer, ids: Sequence[UUID]) -> list[ScheduledAction]:
    """Let nothing of some actions be carried out until they are resumed; what is under way does not commit.

    Raises:
        Forbidden, Invalid, Refused: see `_locked`; or one has ended.
    """

    def check(action: ScheduledAction) -> None:
        _require_own_making(viewer, action)
        _require_going_on(action)

    found = await _locked(connection, viewer, ids, check)
    return await _update(
        connection, viewer.team_id, found, "paused_at = coalesce(paused_at, now()), state = 'SCHEDULED'"
    )


async def resume(connection: Connection, viewer: Viewer, ids: Sequence[UUID]) -> list[ScheduledAction]:
    """Let paused actions go on; what fell due meanwhile is treated by their catch-up rule.

    Raises:
        Forbidden, Invalid, Refused: see `_locked`; or one has ended.
    """

    def check(action: ScheduledAction) -> None:
        _require_starting(viewer, action)
        _require_going_on(action)

    found = await _locked(connection, viewer, ids, check)
    paused = [one for one in found if one.paused_at is not None]
    changed = {one.id: one for one in await _update(connection, viewer.team_id, paused, "paused_at = NULL")}
    return [changed.get(one.id, one) for one in found]


async def run_now(connection: Connection, viewer: Viewer, ids: Sequence[UUID]) -> list[ScheduledAction]:
    """Carry actions out now: what recurs beside its rule, which stays as it is; what does not, instead of when it is
    due, or once more. What is running already is left alone, so that asking twice runs it once.

    Raises:
        Forbidden, Invalid, Refused: see `_locked`; or one is paused, was cancelled, or its rule has ended.
    """

    def check(action: ScheduledAction) -> None:
        _require_starting(viewer, action)
        if action.paused_at is not None:
            raise Conflict("This is paused: resume it first.")
        if action.state is JobState.CANCELLED or (action.ended_at is not None and action.recurrence is not None):
            raise Conflict(f"This has ended ({action.state.value}): reschedule it, or make a new one.")

    found = await _locked(connection, viewer, ids, check)
    waiting = [one for one in found if one.state is not JobState.RUNNING and not one.extra]
    changed = {
        one.id: one
        for one in await _update(
            connection,
            viewer.team_id,
            waiting,
            "state = 'SCHEDULED', run_at = now(), extra = recurrence IS NOT NULL, attempts = 0, ended_at = NULL, "
            "due_at = CASE WHEN recurrence IS NULL THEN now() ELSE due_at END",
        )
    }
    return [changed.get(one.id, one) for one in found]


async def cancel(connection: Connection, viewer: Viewer, ids: Sequence[UUID]) -> list[ScheduledAction]:
    """End actions for good; those that were cancelled already stay so.

    Raises:
        Forbidden, Invalid, Refused: see `_locked`; or one has ended otherwise.
    """

    def check(action: ScheduledAction) -> None:
        _require_own_making(viewer, action)
        if action.state is not JobState.CANCELLED:
            _require_going_on(action)

    found = await _locked(connection, viewer, ids, check)
    await cancel_by_ids(connection, viewer.team_id, [one.id for one in found], reason="Cancelled by hand.")
    return await _reread(connection, viewer.team_id, found)


async def snooze(
    connection: Connection, viewer: Viewer, ids: Sequence[UUID], until: datetime, now: datetime
) -> list[ScheduledAction]:
    """Put the occurrence that comes next off; the rule, and what a platform reports, stay as they are. One's own
    upcoming work, reminders and other actions need nothing; upcoming work that was missed is to come again.

    Raises:
        Forbidden, Invalid, Refused: see `_locked`; or one has ended, or the time does not fit.
    """
    if not now < until <= now + LONGEST_SNOOZE:
        raise Invalid("until: a time to come, within a year.", path=("input", "until"))

    def check(action: ScheduledAction) -> None:
        if action.kind == actions.COACHING_SESSION:
            raise Invalid("This is a coaching session: move the session.")
        if action.user_id != viewer.user_id:
            _require_starting(viewer, action)
        if not (action.source is not None and action.state is JobState.MISSED):
            _require_going_on(action)

    found = await _locked(connection, viewer, ids, check)
    return await _update(
        connection,
        viewer.team_id,
        found,
        "state = 'SCHEDULED', due_at = $3, run_at = $3, attempts = 0, ended_at = NULL, last_error = NULL, "
        "extra = false",
        until,
    )


async def _reread(connection: Connection, team_id: UUID, found: Sequence[ScheduledAction]) -> list[ScheduledAction]:
    rows = await connection.fetch(
        "SELECT * FROM scheduled_actions WHERE team_id = $1 AND id = ANY ($2::uuid[])",
        team_id,
        [one.id for one in found],
    )
    changed: Mapping[UUID, ScheduledAction] = {row["id"]: action_of(row) for row in rows}
    return [changed[one.id] for one in found]
