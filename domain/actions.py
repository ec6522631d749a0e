"""Scheduled actions: something due at a time, once or by a rule. The row is the truth; a queue is not needed.

An action holds the occurrence that comes next: its number, when the rule has it (`planned_at`), when it is due (as
planned, or as somebody moved or snoozed it) and when a worker takes it. Each occurrence that ends, however it ends, is
kept in `action_runs` under its number, so that history stays and nothing is carried out twice.

Rules are worked out by the wall clock of the action's zone, or of the team's (domain/recurrence.py). What is not a day
is skipped (a rule for the 31st has no occurrence in a month of 30 days); a time that the clock skips in spring is moved
forward by the gap, of a time that it shows twice in autumn the first is meant. When the team's zone changes, the
occurrence that comes next stays where it is; those after it are worked out in the new zone, at the same time of day.

What an action may recur: daily, weekly, monthly or yearly, at most `STARTS_A_DAY` times a day, counted up to
`COUNT_LIMIT`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import orjson

from domain.errors import Invalid
from domain.models.actions import CatchUp
from domain.models.base import new_id
from domain.records import RecordRefused
from domain.recurrence import Rule, next_instant, read_rule, wall_of

if TYPE_CHECKING:
    from domain.database import Connection

GOAL_REMINDER = "goal_reminder"
DIGEST = "digest"
COACHING_SESSION = "coaching_session"
COACHING_REMINDER = "coaching_reminder"
REPORT_SNAPSHOT = "report_snapshot"
GOAL_ROLLOVER = "goal_rollover"
SYNC = "sync"
EMAIL, CALL, TASK = "email", "call", "task"
UPCOMING_KINDS = (EMAIL, CALL, TASK)
"""Reps' own steps, as an engagement platform reports them; no worker carries them out."""

TITLE_LIMIT = 300
RECURRENCE_LIMIT = 500
STARTS_A_DAY = 24
COUNT_LIMIT = 2_000
FURTHEST = timedelta(days=3653)
"""Nothing is due further ahead than this."""
KEPT = timedelta(days=90)
"""So long after its end, an action is kept that will not come again; with it goes its history."""
RUNS_KEPT = timedelta(days=365)
"""So long the history of a recurring action is kept."""


@dataclass(frozen=True, slots=True)
class NewAction:
    """What is to be scheduled.

    Args:
        key: The same key is the same action: put again, it is moved or changed.
        kind: Which handler carries it out (workers/actions.py).
        title: What a person reads, up to 300 characters.
        due_at: When; of what recurs, the first occurrence is the first that the rule gives from here on.
        user_id: Whose it is; None: the team's.
        created_by_id: With whose rights it is carried out; None: the system's own.
        recurrence: An RRULE; None: once.
        timezone: IANA name, by whose wall clock it recurs; None: the team's.
        catch_up: What becomes of occurrences that fell due while nothing ran.
        arguments: What the handler needs.
    """

    key: str
    kind: str
    title: str
    due_at: datetime
    user_id: UUID | None = None
    created_by_id: UUID | None = None
    recurrence: str | None = None
    timezone: str | None = None
    catch_up: CatchUp = CatchUp.RUN_ONCE
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Planned:
    """When an action is due first.

    Args:
        due_at: The moment.
        starts_local: What recurs: the wall clock that its rule starts from; None for what does not.
        recurrence: The rule, tidied.
    """

    due_at: datetime
    starts_local: str | None = None
    recurrence: str | None = None


def zone_named(name: str, *, path: tuple[str, ...] = ()) -> ZoneInfo:
    """A time zone by its IANA name.

    Raises:
        Invalid: there is none of that name.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise Invalid(
            "timezone: give an IANA name, such as Europe/Berlin.", path=(*path, "timezone") if path else ()
        ) from error


@lru_cache(maxsize=4096)
def rule_of(recurrence: str) -> Rule:
    """The rule in an action's RRULE.

    Raises:
        Invalid: it is none, or asks for more than an action may.
    """
    text = recurrence.strip().removeprefix("RRULE:")
    try:
        if "\0" in text or len(text) > RECURRENCE_LIMIT:
            raise RecordRefused("INVALID", "RRULE", f"a rule has up to {RECURRENCE_LIMIT} characters.")
        rule = read_rule(text)
    except RecordRefused as refusal:
        raise Invalid(
            "recurrence: give an RRULE by days, weeks, months or years, such as FREQ=WEEKLY;BYDAY=MO."
        ) from refusal
    if len(rule.hours or "1") * len(rule.minutes or "1") * len(rule.seconds or "1") > STARTS_A_DAY:
        raise Invalid(f"recurrence: at most {STARTS_A_DAY} times a day.")
    if re.search(r"(?i)COUNT=\s*[-+]?0*(?:[^0-9]|$)", text) or (rule.count or 0) > COUNT_LIMIT:
        raise Invalid(f"recurrence: COUNT goes from 1 to {COUNT_LIMIT}; use UNTIL, or neither for ever.")
    if rule.interval > 1_000:
        raise Invalid("recurrence: INTERVAL goes from 1 to 1000.")
    return rule


@lru_cache(maxsize=16_384)
def next_due(recurrence: str, starts_local: str, timezone: str, after: datetime) -> datetime | None:
    """The first occurrence of a rule after a moment; None where the rule has ended."""
    return next_instant(rule_of(recurrence), datetime.fromisoformat(starts_local), ZoneInfo(timezone), after)


def plan(due_at: datetime, recurrence: str | None, timezone: str, *, path: tuple[str, ...] = ()) -> Planned:
    """When something is due first, from the moment that was asked for.

    Args:
        due_at: The moment.
        recurrence: An RRULE, or None.
        timezone: By whose wall clock it recurs.
        path: The input that names them, for the error.

    Raises:
        Invalid: the moment is too far off, the rule is none, or it gives no time from then on.
    """
    if not abs(due_at - datetime.now(UTC)) <= FURTHEST:
        raise Invalid("dueAt: at most ten years from now.", path=(*path, "dueAt") if path else ())
    if recurrence is None:
        return Planned(due_at)
    zone = zone_named(timezone, path=path)
    # Rules know seconds, not parts of them.
    begins = due_at if due_at.microsecond == 0 else due_at.replace(microsecond=0) + timedelta(seconds=1)
    text = recurrence.strip().removeprefix("RRULE:").upper()
    starts = wall_of(begins, zone)
    try:
        first = next_instant(rule_of(text), starts, zone, begins - timedelta(seconds=1))
    except Invalid as error:
        raise Invalid(error.message, path=(*path, "recurrence") if path else ()) from error
    if first is None:
        raise Invalid("recurrence: the rule gives no time from then on.", path=(*path, "recurrence") if path else ())
    return Planned(first, starts.isoformat(timespec="seconds"), text)


# Served by scheduled_actions_key. What comes to the same changes nothing; what is moved is taken out of the hands of
# whoever carries it out, and what was cancelled lives again.
_PUT = """
INSERT INTO scheduled_actions AS a (id, team_id, key, kind, title, user_id, created_by_id, recurrence, timezone,
    catch_up, arguments, starts_at, starts_local, planned_at, due_at, run_at)
SELECT n.id, $1, n.key, n.kind, n.title, n.user_id, n.created_by_id, n.recurrence, n.timezone, n.catch_up,
    n.arguments::jsonb, n.due_at, n.starts_local, n.due_at, n.due_at, n.due_at
FROM unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::uuid[], $7::uuid[], $8::text[], $9::text[],
    $10::text[], $11::text[], $12::timestamptz[], $13::text[])
    AS n (id, key, kind, title, user_id, created_by_id, recurrence, timezone, catch_up, arguments, due_at, starts_local)
ORDER BY n.key
ON CONFLICT (team_id, key) DO UPDATE SET kind = EXCLUDED.kind, title = EXCLUDED.title, user_id = EXCLUDED.user_id,
    created_by_id = EXCLUDED.created_by_id, catch_up = EXCLUDED.catch_up, arguments = EXCLUDED.arguments
"""
_MOVE = """
UPDATE scheduled_actions a SET recurrence = n.recurrence, timezone = n.timezone, starts_at = n.due_at,
    starts_local = n.starts_local, planned_at = n.due_at, due_at = n.due_at, run_at = n.due_at, extra = false,
    state = 'SCHEDULED', attempts = 0, last_error = NULL, ended_at = NULL, lease_holder = NULL, leased_until = NULL,
    fence = fence + 1
FROM unnest($2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::text[])
    AS n (key, recurrence, timezone, due_at, starts_local)
WHERE a.team_id = $1 AND a.key = n.key AND (a.state = 'CANCELLED'
    OR (a.starts_at, a.starts_local, a.recurrence, a.timezone)
        IS DISTINCT FROM (n.due_at, n.starts_local, n.recurrence, n.timezone))
"""


async def put_action(connection: Connection, team_id: UUID, action: NewAction) -> UUID:
    """Schedule an action, or move or change the one with its key; see `put_actions`. Returns its id."""
    return (await put_actions(connection, team_id, [action]))[0]


async def put_actions(connection: Connection, team_id: UUID, actions: Sequence[NewAction]) -> list[UUID]:
    """Schedule actions in the caller's transaction, whatever their number in a fixed number of statements.

    An action that was there with the same key is changed; if its time, rule or zone differ, or it had been cancelled,
    it begins anew from there. What has ended otherwise and comes to the same time again stays ended.

    Returns:
        The actions' ids, in the order given.

    Raises:
        Invalid: two have one key, or a time, rule, zone or text does not fit.
    """
    if not actions:
        return []
    keys = [one.key for one in actions]
    if len(set(keys)) < len(keys):
        raise Invalid("Two of the actions have one key.")
    for one in actions:
        _check_texts(one)
    timezone = await team_timezone(connection, team_id) if any(_needs_team_zone(one) for one in actions) else "UTC"
    plans = [plan(one.due_at, one.recurrence, one.timezone or timezone) for one in actions]
    zones = [one.timezone for one in actions]
    await connection.execute(
        _PUT,
        team_id,
        [new_id() for _ in actions],
        keys,
        [one.kind for one in actions],
        [one.title for one in actions],
        [one.user_id for one in actions],
        [one.created_by_id for one in actions],
        [one.recurrence for one in plans],
        zones,
        [one.catch_up.value for one in actions],
        [orjson.dumps(dict(one.arguments), default=str).decode() for one in actions],
        [one.due_at for one in plans],
        [one.starts_local for one in plans],
    )
    await connection.execute(
        _MOVE,
        team_id,
        keys,
        [one.recurrence for one in plans],
        zones,
        [one.due_at for one in plans],
        [one.starts_local for one in plans],
    )
    rows = await connection.fetch(
        "SELECT key, id FROM scheduled_actions WHERE team_id = $1 AND key = ANY ($2::text[])", team_id, keys
    )
    ids = {row["key"]: row["id"] for row in rows}
    return [ids[key] for key in keys]


def _needs_team_zone(action: NewAction) -> bool:
    return action.recurrence is not None and action.timezone is None


def _check_texts(action: NewAction) -> None:
    for name, text, limit in (
        ("key", action.key, 255),
        ("kind", action.kind, 40),
        ("title", action.title, TITLE_LIMIT),
    ):
        if not text.strip() or len(text) > limit or "\0" in text:
            raise Invalid(f"{name}: 1 to {limit} characters.", path=("input", name))
    if action.timezone is not None:
        zone_named(action.timezone, path=("input",))


async def team_timezone(connection: Connection, team_id: UUID) -> str:
    """The team's time zone, an IANA name."""
    return str(await connection.fetchval("SELECT timezone FROM teams WHERE id = $1", team_id))


# Served by scheduled_actions_key and scheduled_actions_team_id_id_key.
_CANCEL = """
WITH gone AS (
    UPDATE scheduled_actions SET state = 'CANCELLED', ended_at = clock_timestamp(), lease_holder = NULL,
        leased_until = NULL, paused_at = NULL, extra = false, last_error = $3, fence = fence + 1,
        occurrence = occurrence + 1
    WHERE team_id = $1 AND {which} = ANY ($2) AND state IN ('SCHEDULED', 'RUNNING')
    RETURNING id, occurrence - 1 AS occurrence, due_at, attempts
)
INSERT INTO action_runs (id, team_id, action_id, occurrence, due_at, state, attempts, error)
SELECT gen_random_uuid(), $1, id, occurrence, due_at, 'CANCELLED', attempts, $3 FROM gone RETURNING action_id
"""


async def cancel_actions(
    connection: Connection, team_id: UUID, keys: Sequence[str], *, reason: str | None = None
) -> None:
    """End the actions with some keys, in the caller's transaction; what has ended, or never was, is left alone.

    Args:
        connection: Where.
        team_id: The team.
        keys: Theirs.
        reason: Why, for who looks at them.
    """
    await connection.execute(_CANCEL.format(which="key"), team_id, list(keys), reason)


async def cancel_by_ids(
    connection: Connection, team_id: UUID, ids: Sequence[UUID], *, reason: str | None = None
) -> list[UUID]:
    """The same by ids. Returns which have been ended."""
    rows = await connection.fetch(_CANCEL.format(which="id"), team_id, list(ids), reason)
    return [row["action_id"] for row in rows]
