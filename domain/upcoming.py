"""Reps' own upcoming steps (emails, calls, tasks), as an engagement platform reports them.

They are scheduled actions that no worker carries out: the rep does, in the platform. A step is known by its source and
its id there. Reported again, with a later `updatedAt`, it is corrected; the same or an older report changes nothing.

What becomes of a step:

- SCHEDULED while it is open, due when the platform says so, or when the rep has snoozed it to here. A snooze holds
  until the platform moves the step;
- SUCCEEDED when it is reported done, whenever that is, also after it was missed;
- MISSED a day after it was due, if nobody has reported it done by then. Moved to a later time, it is open again;
- CANCELLED when the platform reports that it is not to be done any more. Reported open again, it is open again.

A step that is reported done or cancelled without ever having been open leaves nothing: it was never upcoming.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson

from domain.actions import FURTHEST, TITLE_LIMIT, UPCOMING_KINDS
from domain.errors import Invalid
from domain.models.base import new_id
from domain.records import RecordRefused

if TYPE_CHECKING:
    from domain.database import Connection

STEPS_AT_ONCE = 1_000
EXTERNAL_ID_LIMIT = 140
SOURCE_LIMIT = 100
_FIELDS = frozenset({"kind", "externalId", "user", "dueAt", "title", "status", "updatedAt", "cadence", "person"})


class StepState(StrEnum):
    """How a platform reports a step."""

    OPEN = "open"
    DONE = "done"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class UpcomingStep:
    """A step as it is reported.

    Args:
        external_id: Its id in the platform.
        kind: One of actions.UPCOMING_KINDS.
        user: Whose: an email address, or an id in a connected system.
        due_at: When it is due; None only of what is not open.
        title: What a person reads; None: as it was, or the kind's name.
        state: How it stands.
        revision: When it was last changed: microseconds since 1970; a lower one than is known changes nothing.
        cadence: The cadence that it is a step of.
        person: Whom it is about.
    """

    external_id: str
    kind: str
    user: str
    due_at: datetime | None
    title: str | None
    state: StepState
    revision: int
    cadence: str | None = None
    person: str | None = None


def read_step(record: object, now: datetime) -> UpcomingStep:
    """A step from a record: `kind` (email, call, task), `externalId`, `user`, `dueAt`, `title`, and if wanted `status`
    (open, done, cancelled; open if left out), `updatedAt` (now if left out), `cadence` and `person`.

    Raises:
        RecordRefused: it does not fit; the message names the field.
    """
    if not isinstance(record, Mapping):
        raise RecordRefused("INVALID", "", "A step is a JSON object.")
    if unknown := sorted(str(one) for one in record if one not in _FIELDS):
        raise _refused(unknown[0][:40], "is not known")
    kind = record.get("kind")
    if kind not in UPCOMING_KINDS:
        raise _refused("kind", f"choose one of {', '.join(UPCOMING_KINDS)}")
    try:
        state = StepState(record.get("status") or "open")
    except ValueError as error:
        raise _refused("status", f"choose one of {', '.join(StepState)}") from error
    due_at = _instant(record, "dueAt")
    if due_at is None and state is StepState.OPEN:
        raise _refused("dueAt", "give when it is due, an instant with its offset")
    if due_at is not None and abs(due_at - now) > FURTHEST:
        raise _refused("dueAt", "at most ten years from now")
    changed = _instant(record, "updatedAt") or now
    return UpcomingStep(
        external_id=_text(record, "externalId", EXTERNAL_ID_LIMIT, needed=True) or "",
        kind=str(kind),
        user=_text(record, "user", 320, needed=True) or "",
        due_at=due_at,
        title=_text(record, "title", TITLE_LIMIT) or None,
        state=state,
        revision=int((changed - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1_000_000),
        cadence=_text(record, "cadence", 255),
        person=_text(record, "person", 255),
    )


def _refused(name: str, mend: str) -> RecordRefused:
    return RecordRefused("INVALID", name, f"{name}: {mend}.")


def _text(record: Mapping[str, Any], name: str, limit: int, *, needed: bool = False) -> str | None:
    value = record.get(name)
    if value is None and not needed:
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or "\0" in value or (needed and not value.strip()) or len(value) > limit:
        raise _refused(name, f"give a text of {'1' if needed else '0'} to {limit} characters")
    return value.strip()


def _instant(record: Mapping[str, Any], name: str) -> datetime | None:
    value = record.get(name)
    if value is None:
        return None
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else None
        if found is not None and found.tzinfo is not None:
            return found.astimezone(UTC)
    except (ValueError, OverflowError):
        pass  # Told below.
    raise _refused(name, "give an instant with its offset, such as 2026-11-02T10:00:00-05:00")


@dataclass(frozen=True, slots=True)
class StepsTaken:
    """What became of reported steps.

    Args:
        changed: So many were new or changed something.
        unchanged: So many were known so, or never were upcoming.
        unknown: The places of steps whose user nobody is.
    """

    changed: int
    unchanged: int
    unknown: tuple[int, ...]


# Served by users_team_id_email_key and users_external_ids_idx.
_WHO = """
SELECT id, lower(email) AS name FROM users
WHERE team_id = $1 AND lower(email) = ANY ($2::text[]) AND erased_at IS NULL
UNION ALL
SELECT u.id, x.name FROM users u CROSS JOIN unnest(u.external_ids) x (name)
WHERE u.team_id = $1 AND u.external_ids && $3::text[] AND x.name = ANY ($3::text[]) AND u.erased_at IS NULL
"""

# What was reported: the row as it will be. What is due is kept where the rep put it, unless the platform moves it.
_TAKE = """
WITH reported AS (
    SELECT r.* FROM unnest($3::uuid[], $4::text[], $5::text[], $6::text[], $7::uuid[], $8::timestamptz[], $9::text[],
        $10::bigint[], $11::text[]) AS r (id, key, kind, title, user_id, due_at, state, revision, arguments)
), made AS (
    INSERT INTO scheduled_actions (id, team_id, key, kind, title, user_id, source, revision, arguments, starts_at,
        planned_at, due_at, run_at)
    SELECT r.id, $1, r.key, r.kind, coalesce(r.title, initcap(r.kind)), r.user_id,
        $2, r.revision, r.arguments::jsonb, r.due_at, r.due_at,
        r.due_at, r.due_at
    FROM reported r WHERE r.state = 'SCHEDULED' ORDER BY r.key
    ON CONFLICT (team_id, key) DO NOTHING RETURNING key
), known AS (
    SELECT a.id, a.state AS before, a.occurrence, a.attempts, r.key, r.kind, r.title, r.user_id, r.state, r.revision,
        r.arguments, coalesce(r.due_at, a.planned_at) AS planned_at,
        CASE WHEN coalesce(r.due_at, a.planned_at) = a.planned_at THEN a.due_at ELSE r.due_at END AS due_at,
        -- Missed stays missed until the step is moved.
        CASE WHEN r.state = 'SCHEDULED' AND a.state = 'MISSED' AND coalesce(r.due_at, a.planned_at) = a.planned_at
            THEN 'MISSED' ELSE r.state END AS after
    FROM reported r JOIN scheduled_actions a ON a.team_id = $1 AND a.key = r.key AND a.source = $2
    WHERE a.revision < r.revision AND r.key NOT IN (SELECT key FROM made)
    ORDER BY a.id FOR NO KEY UPDATE OF a
), changed AS (
    UPDATE scheduled_actions a SET kind = k.kind, title = coalesce(k.title, a.title), user_id = k.user_id,
        revision = k.revision,
        arguments = a.arguments || k.arguments::jsonb, planned_at = k.planned_at, due_at = k.due_at, run_at = k.due_at,
        state = k.after, last_error = CASE WHEN k.after = k.before THEN a.last_error END, fence = a.fence + 1,
        occurrence = CASE WHEN k.after IN ('SUCCEEDED', 'CANCELLED') AND k.after <> k.before
            THEN a.occurrence + 1 ELSE a.occurrence END,
        ended_at = CASE WHEN k.after = 'SCHEDULED' THEN NULL WHEN k.after = k.before THEN a.ended_at
            ELSE clock_timestamp() END
    FROM known k WHERE a.team_id = $1 AND a.id = k.id RETURNING a.id
), logged AS (
    INSERT INTO action_runs (id, team_id, action_id, occurrence, due_at, state, attempts)
    SELECT gen_random_uuid(), $1, k.id, k.occurrence, k.due_at, k.after, 0 FROM known k
    WHERE k.after IN ('SUCCEEDED', 'CANCELLED') AND k.after <> k.before
)
SELECT (SELECT count(*) FROM made) + (SELECT count(*) FROM changed)
"""
_STATE_OF = {StepState.OPEN: "SCHEDULED", StepState.DONE: "SUCCEEDED", StepState.CANCELLED: "CANCELLED"}


async def take_steps_in(
    connection: Connection, team_id: UUID, source: str, steps: Sequence[UpcomingStep]
) -> StepsTaken:
    """Take reported steps in, in the caller's transaction, in two statements whatever their number.

    Of two reports of one step the one that was changed last counts, the later of those that were changed together.

    Raises:
        Invalid: the source's name does not fit.
    """
    if not source.strip() or len(source) > SOURCE_LIMIT or "\0" in source:
        raise Invalid(f"source: 1 to {SOURCE_LIMIT} characters.", path=("input", "source"))
    names = sorted({step.user for step in steps})
    who: dict[str, UUID] = {}
    for row in await connection.fetch(_WHO, team_id, [name.lower() for name in names], names):
        who.setdefault(row["name"], row["id"])
    newest: dict[str, tuple[int, UpcomingStep]] = {}
    unknown = []
    for place, step in enumerate(steps):
        if step.user not in who and step.user.lower() not in who:
            unknown.append(place)
            continue
        standing = newest.get(step.external_id)
        if standing is None or standing[1].revision <= step.revision:
            newest[step.external_id] = (place, step)
    taken = [step for _place, step in newest.values()]
    changed = 0
    if taken:
        changed = await connection.fetchval(
            _TAKE,
            team_id,
            source,
            [new_id() for _ in taken],
            [step_key(source, step.external_id) for step in taken],
            [step.kind for step in taken],
            [step.title for step in taken],
            [who.get(step.user) or who[step.user.lower()] for step in taken],
            [step.due_at for step in taken],
            [_STATE_OF[step.state] for step in taken],
            [step.revision for step in taken],
            [_arguments(step) for step in taken],
        )
    return StepsTaken(changed, len(steps) - len(unknown) - changed, tuple(unknown))


def step_key(source: str, external_id: str) -> str:
    """The key of a step's action."""
    return f"step:{source}:{external_id}"


def _arguments(step: UpcomingStep) -> str:
    told = {"cadence": step.cadence, "person": step.person}
    return orjson.dumps({name: value for name, value in told.items() if value is not None}).decode()
