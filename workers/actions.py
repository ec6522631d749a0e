"""The runner of scheduled actions: claims what is due, carries it out in batches, says how it ended.

A batch holds actions of one kind of one team. What it does, the history and the next occurrences commit in one
transaction (domain/action_runs.py). Nothing outside of PostgreSQL happens in it: what is to go out is a row of
`outgoing_messages` (workers/messages.py), what is to be synced is a job. If a batch breaks, each of its actions is
tried alone, so that one that is broken harms no other.

Who adds a kind adds it to `KINDS`.
"""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from functools import partial
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import structlog

from domain import access, action_runs, actions, database, goals, integrations, snapshots
from domain.access import Viewer
from domain.access_actions import ActionSight, may_carry_out, see_actions
from domain.action_runs import SUCCEEDED, DueAction, Occurrence, Outcome, cancelled, failed, occurrence_of, retry_wait
from domain.database import Connection
from domain.errors import DomainError, Refused, Unavailable
from domain.goal_events import GoalFilter
from domain.goals import SetGoals, Subject
from domain.identity import calendar_of, identify_users
from domain.messages import NewMessage, queue_messages
from domain.models.actions import MessageChannel
from domain.models.goals import GoalPeriod
from domain.models.jobs import JobState
from domain.paging import PageRequest
from domain.periods import NamedRange
from workers import letters
from workers.loops import UNREACHABLE
from workers.pictures import picture_of

log = structlog.get_logger(__name__)

LOT = 500
"""Actions that are claimed at once."""
BATCHES_AT_ONCE = 3
SLOW_AT_ONCE = 2
"""Actions at once that have to be prepared, such as drawings."""
LAPSED_SECONDS = 5.0
"""How often actions are looked for whose worker has died."""
UPCOMING_LOT = 1_000


@dataclass(frozen=True, slots=True)
class Batch:
    """Occurrences of one kind and team that are carried out together.

    Args:
        team_id: The team.
        occurrences: What is carried out.
        people: Those who made the actions and whose they are, as they stand now; nobody who is not active.
        prepared: By action, what its kind has prepared.
        now: The clock.
    """

    team_id: UUID
    occurrences: Sequence[Occurrence]
    people: Mapping[UUID, Viewer]
    prepared: Mapping[UUID, Any]
    now: datetime

    def maker(self, occurrence: Occurrence) -> Viewer:
        """With whose rights it is carried out.

        Raises:
            DomainError: nobody's: it was not made by a person.
        """
        maker_id = occurrence.action.created_by_id
        if maker_id is None:
            raise DomainError("Nobody's rights are there to do this with.")
        return self.people[maker_id]


CarryOut = Callable[[Connection, Batch], Awaitable[Mapping[UUID, Outcome]]]
Prepare = Callable[[Connection, Occurrence, Viewer, datetime], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Kind:
    """How actions of a kind are carried out.

    Args:
        carry_out: Does what a batch asks for, in the transaction it is given, and nothing outside of it. Returns how
            those ended that did not succeed, by action.
        prepare: Reads what is needed, with the rights of whom the action is for, before the transaction.
        finish: Makes of that what `carry_out` keeps, without a connection: for what takes long.
    """

    carry_out: CarryOut
    prepare: Prepare | None = None
    finish: Callable[[Any], Awaitable[Any]] | None = None


async def _nothing(_connection: Connection, _batch: Batch) -> Mapping[UUID, Outcome]:
    return {}


def letter_kind(template: str, content: Callable[[Occurrence], Mapping[str, Any]]) -> Kind:
    """A kind that sends its person a letter: one statement for all of a batch."""

    async def carry_out(connection: Connection, batch: Batch) -> Mapping[UUID, Outcome]:
        await queue_messages(
            connection, batch.team_id, [_letter(one, template, content(one)) for one in batch.occurrences]
        )
        return {}

    return Kind(carry_out)


def _letter(occurrence: Occurrence, template: str, content: Mapping[str, Any]) -> NewMessage:
    action = occurrence.action
    endpoint = action.arguments.get("endpoint")
    return NewMessage(
        key=f"action:{occurrence.run_key}",
        channel=MessageChannel.MAIL if endpoint is None else MessageChannel.WEBHOOK,
        user_id=action.user_id,
        endpoint_id=None if endpoint is None else UUID(endpoint),
        template=template,
        content=content,
        action_id=action.id,
        occurrence=occurrence.number,
    )


def _reminder(occurrence: Occurrence) -> Mapping[str, Any]:
    arguments = occurrence.action.arguments
    at = arguments.get("at") or occurrence.due_at.isoformat()
    return {"title": occurrence.action.title, "at": at, "lines": list(arguments.get("lines", ()))}


def _titled(*names: str) -> Callable[[Occurrence], Mapping[str, Any]]:
    def content(occurrence: Occurrence) -> Mapping[str, Any]:
        arguments = occurrence.action.arguments
        return {"title": occurrence.action.title, **{name: arguments.get(name) for name in names}}

    return content


async def _each(
    connection: Connection, batch: Batch, work: Callable[[Connection, Batch, Occurrence], Awaitable[None]]
) -> Mapping[UUID, Outcome]:
    """One after the other, each within a savepoint, so that one that is refused leaves nothing behind."""
    outcomes: dict[UUID, Outcome] = {}
    for occurrence in batch.occurrences:
        try:
            async with connection.transaction():
                await work(connection, batch, occurrence)
        except DomainError as error:
            outcomes[occurrence.action.id] = _refused(occurrence.action, error)
    return outcomes


async def _roll_over(connection: Connection, batch: Batch) -> Mapping[UUID, Outcome]:
    return await _each(connection, batch, _roll_one_over)


async def _roll_one_over(connection: Connection, batch: Batch, occurrence: Occurrence) -> None:
    """Set goals anew from the day on which it was due: to a target, or to the newest ones times a growth. Whoever has
    left the team, and with a growth whoever never had such a goal, is left out.

    Raises:
        DomainError: the maker may not set them any more, or there is none to set.
    """
    arguments, maker = occurrence.action.arguments, batch.maker(occurrence)
    period = GoalPeriod(arguments["period"])
    users = [UUID(one) for one in arguments["users"]]
    here = await identify_users(connection, batch.team_id, users)
    subjects = [Subject(one, None, ("userIds",)) for one in users if one in here]
    subjects += [Subject(None, UUID(one), ("groupIds",)) for one in arguments["groups"]]
    if arguments["team"]:
        subjects.append(Subject(None, None, ("team",)))
    calendar = calendar_of(maker)
    today = calendar.today(batch.now)
    day = max(occurrence.due_at.astimezone(ZoneInfo(calendar.timezone)).date(), today)
    targets: dict[Decimal, list[Subject]] = defaultdict(list)
    if arguments["target"] is not None:
        targets[Decimal(arguments["target"])] = subjects
    else:
        wanted = GoalFilter(metrics=(arguments["metric"],), periods=(period,), include_ended=True)
        sight = await access.see_goals(connection, maker)
        page = await goals.list_goals(connection, sight, wanted, today, PageRequest(100_000, False, None))
        newest = {goal.subject_id: goal.newest.target for goal in page.nodes if not goal.derived}
        for subject in subjects:
            target = newest.get(subject.user_id or subject.group_id or batch.team_id)
            if target is not None:
                grown = (target * Decimal(arguments["growth"])).quantize(Decimal("0.0001"), ROUND_HALF_EVEN)
                targets[grown].append(subject)
    if not any(targets.values()):
        raise DomainError("There is no such goal to set anew: nobody of those named has one, or is with the team.")
    for target, those in targets.items():
        await goals.set_goals(
            connection,
            maker,
            SetGoals(
                arguments["metric"],
                period,
                target,
                tuple(those),
                effective_from=day,
                idempotency_key=f"action:{occurrence.run_key}:{target}",
            ),
            batch.now,
        )


async def _sync(connection: Connection, batch: Batch) -> Mapping[UUID, Outcome]:
    return await _each(connection, batch, _sync_one)


async def _sync_one(connection: Connection, batch: Batch, occurrence: Occurrence) -> None:
    integration_id = UUID(occurrence.action.arguments["integration"])
    await integrations.sync_now(connection, batch.maker(occurrence), integration_id)


async def _read_report(connection: Connection, occurrence: Occurrence, reader: Viewer, now: datetime) -> Any:
    arguments = occurrence.action.arguments
    return await snapshots.read_report(
        connection,
        reader,
        occurrence.action.title,
        NamedRange(arguments["range"]),
        now,
        group_id=None if arguments["group"] is None else UUID(arguments["group"]),
        metrics=None if arguments["metrics"] is None else tuple(arguments["metrics"]),
    )


async def _draw(report: Any) -> Any:
    return report, await picture_of(report)


async def _keep_snapshot(connection: Connection, batch: Batch) -> Mapping[UUID, Outcome]:
    for occurrence in batch.occurrences:
        action = occurrence.action
        assert action.user_id is not None, "a snapshot is somebody's"
        report, picture = batch.prepared[action.id]
        snapshot_id = await snapshots.keep_snapshot(
            connection,
            batch.team_id,
            action.user_id,
            action.id,
            report,
            picture,
            action.arguments["keep_days"],
            batch.now,
        )
        if action.arguments["mail"]:
            content = {"title": action.title, "snapshot": str(snapshot_id)}
            await queue_messages(connection, batch.team_id, [_letter(occurrence, letters.SNAPSHOT, content)])
    return {}


KINDS: dict[str, Kind] = {
    actions.GOAL_REMINDER: letter_kind(letters.GOAL_REMINDER, _titled("only_behind")),
    actions.DIGEST: letter_kind(letters.DIGEST, _titled("range")),
    actions.COACHING_REMINDER: letter_kind(letters.REMINDER, _reminder),
    # The time of a session has come: whether it was held is for its participants to say.
    actions.COACHING_SESSION: Kind(_nothing),
    actions.REPORT_SNAPSHOT: Kind(_keep_snapshot, _read_report, _draw),
    actions.GOAL_ROLLOVER: Kind(_roll_over),
    actions.SYNC: Kind(_sync),
}
"""How each kind is carried out."""


def _refused(action: DueAction, error: DomainError) -> Outcome:
    if isinstance(error, Unavailable) and action.attempts < action_runs.ATTEMPTS_LIMIT:
        return Outcome(JobState.SCHEDULED, error.message, retry_wait(action.attempts, random.random()))
    if isinstance(error, Refused):
        return failed(" ".join(dict.fromkeys(item.message for item in error.items)))
    return failed(error.message)


async def _people(connection: Connection, team_id: UUID, claimed: Sequence[DueAction]) -> Mapping[UUID, Viewer]:
    named = {one for action in claimed for one in (action.created_by_id, action.user_id) if one is not None}
    return await identify_users(connection, team_id, sorted(named)) if named else {}


@dataclass(slots=True)
class _Standing:
    """Whether those who made actions may still have them carried out, each maker looked at once."""

    people: Mapping[UUID, Viewer]
    sights: dict[UUID, ActionSight] = field(default_factory=dict)

    async def objection(self, connection: Connection, action: DueAction) -> str | None:
        """Why an action is not to come again; None where nothing stands in the way."""
        if action.user_id is not None and action.user_id not in self.people:
            return "This person does not work with the team any more."
        if action.created_by_id is None:
            return None
        maker = self.people.get(action.created_by_id)
        if maker is None:
            return "Who made this does not work with the team any more."
        if action.user_id == maker.user_id:
            return None
        if maker.user_id not in self.sights:
            self.sights[maker.user_id] = await see_actions(connection, maker)
        if not may_carry_out(maker, self.sights[maker.user_id], action.kind, action.user_id):
            return "Who made this may not have it done any more."
        return None


class Runner:
    """Carries scheduled actions out.

    Args:
        holder: The name in the leases.
        kinds: How each kind is carried out.
        lot: Actions that are claimed at once.
    """

    def __init__(self, holder: str, *, kinds: Mapping[str, Kind] = KINDS, lot: int = LOT) -> None:
        self._holder = holder
        self._kinds = kinds
        self._lot = lot
        self._slow_kinds = frozenset(name for name, kind in kinds.items() if kind.prepare is not None)
        self._in_hand: dict[UUID, DueAction] = {}
        self._slow: set[asyncio.Task[None]] = set()
        self._lapsed_at = float("-inf")
        self._heart: asyncio.Task[None] | None = None

    async def step(self) -> bool:
        """Carry a lot out. Returns whether there may be more."""
        loop = asyncio.get_running_loop()
        if self._heart is None or self._heart.done():
            self._heart = asyncio.ensure_future(self._renew())
        async with database.acquire(database.ALL_TEAMS) as connection:
            if loop.time() - self._lapsed_at >= LAPSED_SECONDS:
                self._lapsed_at = loop.time()
                freed = await action_runs.free_lapsed(connection)
                if freed:
                    log.warning("actions.leases_lapsed", actions=freed)
                await action_runs.miss_upcoming(connection, datetime.now(UTC), UPCOMING_LOT)
            claimed = await action_runs.claim(connection, self._holder, self._lot, other_than=self._slow_kinds)
            free = SLOW_AT_ONCE - len(self._slow)
            slow = []
            if free > 0 and self._slow_kinds:
                slow = await action_runs.claim(connection, self._holder, free, kinds=self._slow_kinds)
        self._in_hand |= {action.id: action for action in (*claimed, *slow)}
        for action in slow:
            task = asyncio.ensure_future(self._run_slowly(action))
            self._slow.add(task)
            task.add_done_callback(self._slow.discard)
        batches: dict[tuple[UUID, str], list[DueAction]] = defaultdict(list)
        for action in claimed:
            batches[action.team_id, action.kind].append(action)
        gate = asyncio.Semaphore(BATCHES_AT_ONCE)

        async def run(batch: Sequence[DueAction]) -> None:
            async with gate:
                await self._run(batch)

        try:
            await asyncio.gather(*(run(batch) for batch in batches.values()))
        finally:
            for action in claimed:
                self._in_hand.pop(action.id, None)
        return bool(claimed)

    async def stop(self) -> None:
        """Let go of what is not carried out yet; whoever comes next takes it."""
        tasks = [*self._slow] + ([self._heart] if self._heart is not None else [])
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        left = list(self._in_hand.values())
        self._in_hand.clear()
        if left:
            try:
                async with database.acquire(database.ALL_TEAMS) as connection:
                    await action_runs.release(connection, left)
            except UNREACHABLE as error:
                log.warning("actions.leases_left", actions=len(left), error=repr(error))

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(action_runs.RENEW_SECONDS)
            held = list(self._in_hand.values())
            if held:
                try:
                    async with database.acquire(database.ALL_TEAMS) as connection:
                        await action_runs.renew(connection, self._holder, held)
                except UNREACHABLE as error:
                    log.warning("actions.not_renewed", error=repr(error))

    async def _run_slowly(self, action: DueAction) -> None:
        try:
            await self._run([action])
        except UNREACHABLE as error:
            log.warning("actions.unreachable", error=repr(error))
        finally:
            self._in_hand.pop(action.id, None)

    async def _run(self, claimed: Sequence[DueAction]) -> None:
        """Carry actions of one kind and team out together; each alone if that breaks."""
        team_id, kind = claimed[0].team_id, claimed[0].kind
        try:
            prepared = {action.id: await self._prepare(action) for action in claimed} if self._is_slow(kind) else {}
            await database.in_transaction(team_id, partial(self._carry_out, claimed=claimed, prepared=prepared))
        except UNREACHABLE:
            raise  # The leases lapse, and somebody goes on.
        except DomainError as error:
            await self._give_up(claimed, error)
        except Exception as error:
            if len(claimed) == 1:
                log.exception("actions.failed", action=str(claimed[0].id), team=str(team_id), kind=kind)
                await self._give_up(claimed, error)
                return
            log.warning("actions.batch_failed", team=str(team_id), kind=kind, error=repr(error))
            for action in claimed:
                await self._run([action])

    def _is_slow(self, kind: str) -> bool:
        return kind in self._slow_kinds

    async def _prepare(self, action: DueAction) -> Any:
        """What a kind reads and makes before the transaction; None where it is not going to be carried out."""
        kind, now = self._kinds[action.kind], datetime.now(UTC)
        occurrence = occurrence_of(action, now)
        async with database.acquire(action.team_id) as connection:
            people = await _people(connection, action.team_id, [action])
            reader = None if action.user_id is None else people.get(action.user_id)
            if kind.prepare is None or reader is None or not occurrence.runs:
                return None
            if await _Standing(people).objection(connection, action) is not None:
                return None
            found = await kind.prepare(connection, occurrence, reader, now)
        return found if kind.finish is None else await kind.finish(found)

    async def _carry_out(
        self, connection: Connection, *, claimed: Sequence[DueAction], prepared: Mapping[UUID, Any]
    ) -> None:
        """What a batch does, its history and what comes next, in one transaction."""
        team_id, now = claimed[0].team_id, datetime.now(UTC)
        held = await action_runs.lock_held(connection, team_id, claimed)
        mine = [action for action in claimed if action.id in held]
        if not mine:
            return
        standing = _Standing(await _people(connection, team_id, mine))
        endings: list[tuple[Occurrence, Outcome]] = []
        running: list[Occurrence] = []
        kind = self._kinds.get(mine[0].kind)
        for action in mine:
            occurrence = occurrence_of(action, now)
            if (objection := await standing.objection(connection, action)) is not None:
                endings.append((occurrence, cancelled(objection)))
            elif not occurrence.runs:
                endings.append((occurrence, action_runs.missed(occurrence)))
            elif kind is None:
                endings.append((occurrence, failed(f"Nobody carries out actions of the kind {action.kind!r}.")))
            elif action.attempts > action_runs.ATTEMPTS_LIMIT:
                endings.append((occurrence, failed("Each worker that began it died; it is not tried again.")))
            elif kind.prepare is not None and prepared.get(action.id) is None:
                # Somebody came back to the team in between: again, with what is to be read.
                endings.append((occurrence, Outcome(JobState.SCHEDULED, None, timedelta(seconds=1))))
            else:
                running.append(occurrence)
        if running and kind is not None:
            outcomes = await kind.carry_out(connection, Batch(team_id, running, standing.people, prepared, now))
            endings += [(one, outcomes.get(one.action.id, SUCCEEDED)) for one in running]
        await action_runs.end(connection, team_id, endings, now)

    async def _give_up(self, claimed: Sequence[DueAction], error: Exception) -> None:
        """Say that actions failed: for good, or to be tried again."""

        async def work(connection: Connection) -> None:
            now = datetime.now(UTC)
            held = await action_runs.lock_held(connection, claimed[0].team_id, claimed)
            endings = [
                (occurrence_of(action, now), self._outcome_of(action, error)) for action in claimed if action.id in held
            ]
            await action_runs.end(connection, claimed[0].team_id, endings, now)

        await database.in_transaction(claimed[0].team_id, work)

    def _outcome_of(self, action: DueAction, error: Exception) -> Outcome:
        if isinstance(error, DomainError):
            return _refused(action, error)
        reason = f"{type(error).__name__}: {error}"
        if action.attempts >= action_runs.ATTEMPTS_LIMIT:
            return failed(reason)
        return Outcome(JobState.SCHEDULED, reason, retry_wait(action.attempts, random.random()))
