"""Goals: who has which, their history, and setting and removing them, for one subject or for many at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

from domain import access, events
from domain.access import GoalSight, Viewer
from domain.errors import Invalid, ItemError, Refused
from domain.events import EventType, NewEvent
from domain.goal_events import GoalFilter, GoalView, Version, goal_payload
from domain.idempotency import digest_of_input, once
from domain.identity import calendar_of
from domain.metrics import METRICS, MetricUnit
from domain.models.base import new_id
from domain.models.goals import GoalPeriod
from domain.paging import Page, PageRequest, decode_cursor, encode_cursor, page_of
from domain.records import EARLIEST, LATEST
from domain.rows import gathered

if TYPE_CHECKING:
    from domain.database import Connection

SUBJECTS_LIMIT = 1_000
"""Subjects, or goals to remove, of one mutation."""
LARGEST_TARGET = Decimal(10) ** 16
_TARGET_STEP = Decimal("0.0001")
_QUOTIENTS = [key for key, metric in METRICS.items() if metric.is_quotient]

_VERSION = "version, target, effective_from, effective_to, set_by_id, set_at"
_GOAL = "id, team_id, user_id, group_id, metric, period"

# Served by goals_team_id_id_key, goals_subject_key and goal_versions_version_key.
_NEWEST = f"""
    SELECT g.id, g.team_id, g.user_id, g.group_id, g.metric, g.period, v.*
    FROM goals g CROSS JOIN LATERAL (
        SELECT {_VERSION} FROM goal_versions v WHERE v.team_id = g.team_id AND v.goal_id = g.id
        ORDER BY version DESC LIMIT 1
    ) v"""


def _version(row: Any) -> Version:
    return Version(
        row["version"],
        row["target"],
        row["effective_from"],
        row["effective_to"],
        row["set_by_id"],
        row["set_at"],
    )


def _goal(row: Any, *, derived: bool = False) -> GoalView:
    return GoalView(
        row["id"],
        row["team_id"],
        row["user_id"],
        row["group_id"],
        row["metric"],
        GoalPeriod(row["period"]),
        _version(row),
        derived,
    )


def _listed(sight: GoalSight, wanted: GoalFilter, today: date, arguments: list[object]) -> tuple[str, str]:
    """CTEs that end in `listed`, and the condition on it: the goals in sight, own and derived."""
    arguments += [sight.users.team_id, today]
    going_on = "(effective_to IS NULL OR effective_to >= $2::date)"
    only_users = wanted.user_ids is not None and wanted.group_ids is None
    ctes = f"newest AS ({_NEWEST} WHERE g.team_id = $1), active AS (SELECT * FROM newest WHERE {going_on})"
    shown = "newest" if wanted.include_ended else "active"
    own = f"SELECT *, false AS derived FROM {shown}"
    if only_users:
        ctes += f", listed AS ({own})"
    else:
        arguments.append(_QUOTIENTS)
        sums = """
            0 AS version, sum(a.target) AS target, min(a.effective_from) AS effective_from,
            CASE WHEN NOT bool_or(a.effective_to IS NULL) THEN max(a.effective_to) END AS effective_to,
            NULL::uuid AS set_by_id, max(a.set_at) AS set_at"""
        ctes += f""", closure AS (
            SELECT g.id AS shown, g.id FROM groups g WHERE g.team_id = $1
            UNION SELECT c.shown, g.id FROM groups g JOIN closure c ON g.team_id = $1 AND g.parent_id = c.id
        ), derived AS (
            SELECT NULL::uuid AS id, a.team_id, NULL::uuid AS user_id, c.shown AS group_id, a.metric, a.period, {sums}
            FROM closure c JOIN users u ON u.team_id = $1 AND u.group_id = c.id JOIN active a ON a.user_id = u.id
            WHERE a.metric <> ALL ($3::text[]) GROUP BY a.team_id, c.shown, a.metric, a.period
            UNION ALL
            SELECT NULL, a.team_id, NULL, NULL, a.metric, a.period, {sums}
            FROM active a WHERE a.user_id IS NOT NULL AND a.metric <> ALL ($3::text[])
            GROUP BY a.team_id, a.metric, a.period
        ), listed AS (
            {own} UNION ALL
            SELECT d.*, true FROM derived d WHERE NOT EXISTS (
                SELECT 1 FROM active o WHERE o.user_id IS NULL AND o.group_id IS NOT DISTINCT FROM d.group_id
                    AND o.metric = d.metric AND o.period = d.period)
        )"""
    condition = sight.filter("x", arguments)
    if wanted.user_ids is not None or wanted.group_ids is not None:
        arguments += [list(wanted.user_ids or ()), list(wanted.group_ids or ())]
        n = len(arguments)
        condition += f" AND (x.user_id = ANY (${n - 1}::uuid[]) OR x.group_id = ANY (${n}::uuid[]))"
    if wanted.metrics is not None:
        arguments.append(list(wanted.metrics))
        condition += f" AND x.metric = ANY (${len(arguments)}::text[])"
    if wanted.periods is not None:
        arguments.append([period.value for period in wanted.periods])
        condition += f" AND x.period = ANY (${len(arguments)}::text[])"
    return f"WITH RECURSIVE {ctes}", condition


async def list_goals(
    connection: Connection, sight: GoalSight, wanted: GoalFilter, today: date, request: PageRequest
) -> Page[GoalView]:
    """A page of the goals in sight, by metric, period and subject; those of groups and the team own or derived."""
    arguments: list[object] = []
    head, condition = _listed(sight, wanted, today, arguments)
    subject = "coalesce(x.user_id, x.group_id, x.team_id)"
    if request.cursor is not None:
        metric, period, subject_id, derived = decode_cursor("goals", request.cursor, (str, str, UUID, bool))
        arguments += [metric, period, subject_id, derived]
        n = len(arguments)
        condition += (
            f" AND (x.metric, x.period, {subject}, x.derived)"
            f" > (${n - 3}::varchar, ${n - 2}::varchar, ${n - 1}::uuid, ${n}::boolean)"
        )
    arguments.append(request.limit + 1)
    rows = await connection.fetch(
        f"{head} SELECT x.* FROM listed x WHERE {condition} "
        f"ORDER BY x.metric, x.period, {subject}, x.derived LIMIT ${len(arguments)}",
        *arguments,
    )
    found = [_goal(row, derived=row["derived"]) for row in rows]
    cursors = [
        encode_cursor("goals", goal.metric, goal.period.value, str(goal.subject_id), goal.derived) for goal in found
    ]
    return page_of(request, found, cursors)


async def count_goals(connection: Connection, sight: GoalSight, wanted: GoalFilter, today: date) -> int:
    """How many goals in sight there are."""
    arguments: list[object] = []
    head, condition = _listed(sight, wanted, today, arguments)
    return int(await connection.fetchval(f"{head} SELECT count(*) FROM listed x WHERE {condition}", *arguments))


async def all_goals(connection: Connection, team_id: UUID, since: date) -> list[GoalView]:
    """Every goal of a team that has not ended before a day, for work that no viewer asks for."""
    rows = await connection.fetch(
        f"SELECT * FROM ({_NEWEST} WHERE g.team_id = $1) x WHERE x.effective_to IS NULL OR x.effective_to >= $2 "
        "ORDER BY x.id",
        team_id,
        since,
    )
    return [_goal(row) for row in rows]


async def goals_by_id(connection: Connection, sight: GoalSight, ids: Sequence[UUID]) -> dict[UUID, GoalView]:
    """Goals by their rows, those in sight; ended ones too."""
    arguments: list[object] = [list(ids)]
    condition = sight.filter("g", arguments)
    rows = await connection.fetch(f"{_NEWEST} WHERE g.id = ANY ($1::uuid[]) AND {condition}", *arguments)
    return {row["id"]: _goal(row) for row in rows}


async def histories(connection: Connection, team_id: UUID, ids: Sequence[UUID]) -> dict[UUID, list[Version]]:
    """Every version of some goals that are in sight already, the newest first."""
    rows = await connection.fetch(
        f"SELECT goal_id, {_VERSION} FROM goal_versions WHERE team_id = $1 AND goal_id = ANY ($2::uuid[]) "
        "ORDER BY version DESC",
        team_id,
        list(ids),
    )
    return gathered(ids, rows, "goal_id", _version)


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose goal: a user, a group, or the team. `path` names it in the input."""

    user_id: UUID | None
    group_id: UUID | None
    path: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SetGoals:
    """What to set.

    Args:
        metric: The metric's key.
        period: Per what.
        target: More than 0; of a rate at most 1.
        subjects: Whose.
        effective_from: The first day; without one, the start of the period for a goal that never was, today for others.
        expected: The version that each of some subjects' goals was seen in, by the subject's id, with the item's path;
            0 for none.
        idempotency_key: The sender's.
    """

    metric: str
    period: GoalPeriod
    target: Decimal
    subjects: tuple[Subject, ...]
    effective_from: date | None = None
    expected: Mapping[UUID, tuple[int, tuple[str, ...]]] | None = None
    idempotency_key: str | None = None


@dataclass(slots=True)
class _Change:
    """One goal on its way from one version to the next."""

    goal: GoalView
    versions: list[Version]
    closed: list[Version]
    new: Version | None
    before: Version | None


def _check_request(request: SetGoals) -> Decimal:
    metric = METRICS[request.metric]
    if not metric.goalable:
        raise Invalid(
            f"metric: no goal can be set for {metric.label}, since more of it is not better; "
            "`metrics { key goalable }` tells which take one.",
            path=("input", "metric"),
        )
    target = request.target.quantize(_TARGET_STEP) if abs(request.target) < LARGEST_TARGET else request.target
    if not 0 < target < LARGEST_TARGET or target != request.target:
        raise Invalid(
            "target: give a number above 0 and below 10^16, with at most four decimal places.", path=("input", "target")
        )
    if metric.unit is MetricUnit.RATIO and target > 1:
        raise Invalid("target: a rate is a share of 1; give 0.25 for 25 %.", path=("input", "target"))
    if not request.subjects:
        raise Invalid("Name whose goals to set: userIds, groupIds, or team: true.", path=("input", "userIds"))
    if len(request.subjects) > SUBJECTS_LIMIT:
        raise Invalid(f"At most {SUBJECTS_LIMIT} goals at once; send the rest in another mutation.", path=("input",))
    if request.effective_from is not None:
        _check_day(request.effective_from)
    return target


def _check_day(day: date) -> None:
    if not EARLIEST.date() <= day < LATEST.date():
        raise Invalid(
            f"effectiveFrom: choose a day from {EARLIEST:%Y} to {LATEST.year - 1}.", path=("input", "effectiveFrom")
        )


async def set_goals(connection: Connection, viewer: Viewer, request: SetGoals, now: datetime) -> list[GoalView]:
    """Set the same goal for some subjects, all or nothing, in the caller's transaction.

    A goal that goes on ends the day before the new version begins; versions that would have begun later fall away.
    Setting what is set already changes nothing. A rep's goal may be set for days before the rep was with the team; it
    does not count there.

    Raises:
        Forbidden: the viewer may not change goals like these.
        Invalid: the input does not fit.
        Conflict: the idempotency key was used for another input.
        Refused: with an error for each subject that stands in the way.
    """
    own_only = all(subject.user_id == viewer.user_id for subject in request.subjects)
    access.require_goal_editing(viewer, own_only=own_only)
    target = _check_request(request)
    digest = digest_of_input(
        "setGoals",
        [
            request.metric,
            request.period,
            str(target),
            request.effective_from,
            sorted(str(subject.user_id or subject.group_id or "team") for subject in request.subjects),
            sorted((str(key), value) for key, (value, _path) in (request.expected or {}).items()),
        ],
    )

    async def work() -> list[dict[str, Any]]:
        return [goal.to_json() for goal in await _set(connection, viewer, request, target, now)]

    answer = await once(connection, viewer, request.idempotency_key, digest, work)
    return [GoalView.of_json(viewer.team_id, data) for data in answer]


async def _set(
    connection: Connection, viewer: Viewer, request: SetGoals, target: Decimal, now: datetime
) -> list[GoalView]:
    subjects = {
        subject.user_id or subject.group_id or viewer.team_id: subject for subject in reversed(request.subjects)
    }
    subjects = dict(reversed(subjects.items()))
    await _require_subjects(connection, viewer, subjects)
    calendar = calendar_of(viewer)
    today = calendar.today(now)
    changes = await _lock(connection, viewer.team_id, request, subjects)
    errors = []
    expected = request.expected or {}
    for key, (_version_number, path) in expected.items():
        if key not in subjects:
            errors.append(ItemError("INVALID", "expectedVersions: this subject is not in the input.", path))
    for subject_id, subject in subjects.items():
        change = changes[subject_id]
        current = _current(change.before, today)
        number = 0 if current is None else current.number
        if subject_id in expected and expected[subject_id][0] != number:
            errors.append(
                ItemError(
                    "CONFLICT",
                    f"The goal is at version {number} by now, not {expected[subject_id][0]}; look at it again, "
                    "and send that version.",
                    subject.path,
                )
            )
            continue
        begin = request.effective_from or (today if change.versions else calendar.period(request.period, today).first)
        if change.versions and begin < today:
            errors.append(
                ItemError(
                    "INVALID",
                    "effectiveFrom: a goal that has been set before changes from today on, "
                    "so that no attainment of the past changes.",
                    subject.path,
                )
            )
            continue
        if current is not None and _says_already(current, target, begin):
            continue
        _cut(change, begin)
        change.new = Version(
            max((version.number for version in change.versions), default=0) + 1,
            target,
            begin,
            None,
            viewer.user_id,
            now,
        )
    if errors:
        raise Refused(errors)
    await _write(connection, viewer, changes.values(), now, _set_event(today))
    return [_after(changes[subject_id]) for subject_id in subjects]


def _says_already(current: Version, target: Decimal, begin: date) -> bool:
    return current.effective_to is None and current.target == target and current.effective_from <= begin


def _current(version: Version | None, today: date) -> Version | None:
    """The newest version unless the goal has ended."""
    if version is None or (version.effective_to is not None and version.effective_to < today):
        return None
    return version


async def _require_subjects(connection: Connection, viewer: Viewer, subjects: Mapping[UUID, Subject]) -> None:
    sight = await access.see_goals(connection, viewer)
    rows = await connection.fetch(
        "SELECT id, active FROM users WHERE team_id = $1 AND id = ANY ($2::uuid[]) "
        "UNION ALL SELECT id, true FROM groups WHERE team_id = $1 AND id = ANY ($2::uuid[])",
        viewer.team_id,
        list(subjects),
    )
    found = {row["id"]: row["active"] for row in rows} | {viewer.team_id: True}
    errors = []
    for subject_id, subject in subjects.items():
        what = "user" if subject.user_id else "group" if subject.group_id else "team"
        if subject_id not in found or not sight.sees(viewer.team_id, subject.user_id, subject.group_id):
            errors.append(ItemError("NOT_FOUND", f"No such {what}, or none whose goals you may set.", subject.path))
        elif not found[subject_id]:
            errors.append(ItemError("INVALID", "This person does not work with the team any more.", subject.path))
    if errors:
        raise Refused(errors)


async def _lock(
    connection: Connection, team_id: UUID, request: SetGoals, subjects: Mapping[UUID, Subject]
) -> dict[UUID, _Change]:
    """Make the goals that are missing and lock all of them, in one order, so that two managers take turns."""
    ordered = sorted(subjects)
    rows = await connection.fetch(
        f"""
        INSERT INTO goals AS g (id, team_id, user_id, group_id, metric, period)
        SELECT s.id, $1, s.user_id, s.group_id, $5, $6
        FROM unnest($2::uuid[], $3::uuid[], $4::uuid[]) WITH ORDINALITY s (id, user_id, group_id, place)
        ORDER BY s.place
        ON CONFLICT (team_id, coalesce(user_id, group_id, team_id), metric, period) DO UPDATE SET metric = g.metric
        RETURNING {_GOAL}
        """,
        team_id,
        [new_id() for _ in ordered],
        [subjects[key].user_id for key in ordered],
        [subjects[key].group_id for key in ordered],
        request.metric,
        request.period.value,
    )
    return {change.goal.subject_id: change for change in await _changes(connection, team_id, rows)}


async def _changes(connection: Connection, team_id: UUID, rows: Iterable[Any]) -> list[_Change]:
    """What is to become of some locked goals."""
    goals = list(rows)
    found = await histories(connection, team_id, [row["id"] for row in goals])
    nothing = Version(0, Decimal(0), date.min, None, None, datetime.now(UTC))
    changes = []
    for row in goals:
        versions = found[row["id"]]
        newest = versions[0] if versions else None
        goal = GoalView(
            row["id"],
            team_id,
            row["user_id"],
            row["group_id"],
            row["metric"],
            GoalPeriod(row["period"]),
            newest or nothing,
        )
        changes.append(_Change(goal, versions, [], None, newest))
    return changes


def _cut(change: _Change, begin: date) -> None:
    """End what holds the day before, and void what would have begun later."""
    eve = begin - timedelta(days=1)
    for version in change.versions:
        if version.effective_to is None or version.effective_to > eve:
            end = max(eve, version.effective_from - timedelta(days=1))
            if version.effective_to != end:
                change.closed.append(replace(version, effective_to=end))


def _after(change: _Change) -> GoalView:
    """The goal as it stands after the change."""
    if change.new is not None:
        return replace(change.goal, newest=change.new)
    closed = {version.number: version for version in change.closed}
    return replace(change.goal, newest=closed.get(change.goal.newest.number, change.goal.newest))


def _set_event(today: date) -> Callable[[_Change], tuple[EventType, Version | None]]:
    def describe(change: _Change) -> tuple[EventType, Version | None]:
        before = _current(change.before, today)
        return (EventType.GOAL_CREATED if before is None else EventType.GOAL_UPDATED), before

    return describe


def _removed_event(change: _Change) -> tuple[EventType, Version | None]:
    return EventType.GOAL_REMOVED, change.before


async def _write(
    connection: Connection,
    viewer: Viewer,
    changes: Iterable[_Change],
    now: datetime,
    describe: Callable[[_Change], tuple[EventType, Version | None]],
) -> None:
    """Write versions, the mark that numbers changed, and, last of all, the events."""
    written = [change for change in changes if change.new is not None or change.closed]
    if not written:
        return
    await connection.executemany(
        "UPDATE goal_versions SET effective_to = $4 WHERE team_id = $1 AND goal_id = $2 AND version = $3",
        [
            (viewer.team_id, change.goal.id, version.number, version.effective_to)
            for change in written
            for version in change.closed
        ],
    )
    await connection.executemany(
        f"INSERT INTO goal_versions (id, team_id, goal_id, {_VERSION}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        [
            (
                new_id(),
                viewer.team_id,
                change.goal.id,
                change.new.number,
                change.new.target,
                change.new.effective_from,
                change.new.effective_to,
                change.new.set_by_id,
                now,
            )
            for change in written
            if change.new is not None
        ],
    )
    await events.mark_changed(connection, viewer.team_id)
    told = []
    for change in written:
        kind, before = describe(change)
        told.append(NewEvent(kind, goal_payload(_after(change), before, change.new), viewer.user_id))
    await events.record(connection, viewer.team_id, told)


@dataclass(frozen=True, slots=True)
class RemoveGoals:
    """What to remove.

    Args:
        goals: The goals' rows with their paths in the input; None for an id that is none of a goal with a row.
        effective_from: The first day without them; today without one.
        idempotency_key: The sender's.
    """

    goals: tuple[tuple[UUID | None, tuple[str, ...]], ...]
    effective_from: date | None = None
    idempotency_key: str | None = None


async def remove_goals(connection: Connection, viewer: Viewer, request: RemoveGoals, now: datetime) -> list[GoalView]:
    """End some goals, all or nothing, in the caller's transaction; their history stays. One that has ended by then is
    left as it is.

    Raises:
        Forbidden: the viewer may not change goals like these.
        Invalid: the input does not fit.
        Conflict: the idempotency key was used for another input.
        Refused: with an error for each goal that stands in the way.
    """
    if not request.goals:
        raise Invalid("goalIds: name the goals to remove.", path=("input", "goalIds"))
    if len(request.goals) > SUBJECTS_LIMIT:
        raise Invalid(f"goalIds: at most {SUBJECTS_LIMIT} goals at once.", path=("input", "goalIds"))
    if request.effective_from is not None:
        _check_day(request.effective_from)
    if not access.may_manage_goals(viewer):
        access.require_goal_editing(viewer, own_only=True)
    digest = digest_of_input("removeGoals", [request.effective_from, sorted(str(key) for key, _path in request.goals)])

    async def work() -> list[dict[str, Any]]:
        return [goal.to_json() for goal in await _remove(connection, viewer, request, now)]

    answer = await once(connection, viewer, request.idempotency_key, digest, work)
    return [GoalView.of_json(viewer.team_id, data) for data in answer]


async def _remove(connection: Connection, viewer: Viewer, request: RemoveGoals, now: datetime) -> list[GoalView]:
    today = calendar_of(viewer).today(now)
    begin = request.effective_from or today
    if begin < today:
        raise Invalid(
            "effectiveFrom: a goal ends today at the earliest, so that no attainment of the past changes.",
            path=("input", "effectiveFrom"),
        )
    wanted = [goal_id for goal_id, _path in request.goals if goal_id is not None]
    sight = await access.see_goals(connection, viewer)
    arguments: list[object] = [wanted]
    condition = sight.filter("g", arguments)
    rows = await connection.fetch(
        f"""
        SELECT {_GOAL} FROM goals g WHERE g.id = ANY ($1::uuid[]) AND {condition}
        ORDER BY coalesce(g.user_id, g.group_id, g.team_id), g.id FOR NO KEY UPDATE
        """,
        *arguments,
    )
    changes = {change.goal.id: change for change in await _changes(connection, viewer.team_id, rows)}
    errors = [
        ItemError("NOT_FOUND", "No such goal, or none that you may remove; a derived one ends with its parts.", path)
        for goal_id, path in request.goals
        if goal_id not in changes
    ]
    if errors:
        raise Refused(errors)
    for change in changes.values():
        _cut(change, begin)
    await _write(connection, viewer, changes.values(), now, _removed_event)
    return [_after(changes[goal_id]) for goal_id in dict.fromkeys(wanted)]
