"""A worker process: arq brings hints, a sweeper finds what no hint brought, PostgreSQL says who does what."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import structlog
from arq import Worker, func
from arq.connections import ArqRedis
from redis.asyncio import Redis
from redis.exceptions import RedisError

from domain import bodies, database, events, idempotency, integrations, jobs, plan_invitations, webhooks
from domain.courier import open_redis
from domain.exports import files as export_files
from domain.gauges import watched
from domain.jobs import hint_channel
from domain.live_changes import WORK_CHANNEL
from domain.settings import Settings
from domain.traces import start_traces
from workers import constants
from workers.accolades import AccoladeGranter
from workers.actions import Runner
from workers.exports import Exporter
from workers.gauges import measure_backlog
from workers.goals import Evaluator
from workers.invitations import Inviter, look_after
from workers.jobs import HANDLERS, WAITING_KINDS, Handler, run_claimed
from workers.live_calls import LiveStudio
from workers.loops import Loop, listen
from workers.messages import Post, mailers_of
from workers.relay import Relay
from workers.retention import forget_for_teams
from workers.sending import Sender
from workers.session import Wire
from workers.sync import Syncer, publish, schedule
from workers.webhooks import Deliverer, EndpointTester

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Places:
    """Places for jobs of some kinds.

    Args:
        kinds: Only these; None for all others.
        limit: How many at once.
        running: Who has one.
    """

    kinds: frozenset[str] | None
    limit: int
    running: set[asyncio.Task[None]] = field(default_factory=set)


class JobWorker:
    """Claims jobs and carries them out, a few at a time, until it is told to stop.

    Jobs that mostly wait for others (`WAITING_KINDS`) have places of their own, so that neither kind keeps the other
    from its turn.

    Args:
        redis_url: Where hints come from; the work goes on without it.
        holder: The name in the leases.
        handlers: What carries out each kind of job.
    """

    def __init__(
        self, redis_url: str, holder: str | None = None, *, handlers: Mapping[str, Handler] = HANDLERS
    ) -> None:
        self._handlers = handlers
        self._redis = open_redis(redis_url, ArqRedis)
        self.holder = holder or f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"
        waiting = frozenset(handlers) & WAITING_KINDS
        self._places = (
            # Kinds that nobody knows are among them: they are told so rather than left.
            _Places(None, constants.JOBS_AT_ONCE),
            _Places(waiting, constants.WAITING_JOBS_AT_ONCE),
        )
        self._hints: set[asyncio.Task[None]] = set()
        self._woken = asyncio.Event()
        self._stopping = False

    def stop(self) -> None:
        """Claim nothing more; give back what is running."""
        self._stopping = True
        self._woken.set()

    def wake(self) -> None:
        """There may be something to claim."""
        self._woken.set()

    async def run(self) -> None:
        """Work until stop()."""
        log.info("worker.started", holder=self.holder)
        listening = asyncio.ensure_future(self._listen())
        try:
            while not self._stopping:
                self._woken.clear()
                await self._claim_while_free()
                await _first({self._woken.wait()}, constants.SWEEP_SECONDS)
        finally:
            listening.cancel()
            running = {task for places in self._places for task in places.running}
            for task in running:
                task.cancel()
            await asyncio.wait({listening, *running}, timeout=constants.STOP_SECONDS)
            if self._hints:
                await asyncio.wait(self._hints, timeout=1.0)
            await self._redis.aclose()
            log.info("worker.stopped", holder=self.holder)

    async def _claim_while_free(self, job_id: UUID | None = None) -> None:
        for places in self._places:
            free = places.limit - len(places.running)
            if free <= 0 or places.kinds == frozenset() or self._stopping:
                continue
            try:
                async with database.acquire(database.ALL_TEAMS) as connection:
                    claims = await jobs.claim_jobs(
                        connection,
                        self.holder,
                        free,
                        kinds=places.kinds,
                        other_than=WAITING_KINDS if places.kinds is None else None,
                        job_id=job_id,
                    )
            except (OSError, *database.CONNECTION_ERRORS) as error:
                log.warning("worker.database_unreachable", error=repr(error))
                return
            for claimed in claims:
                task = asyncio.ensure_future(run_claimed(claimed, partial(self._changed, claimed.id), self._handlers))
                places.running.add(task)
                task.add_done_callback(partial(self._ended, places))

    def _ended(self, places: _Places, task: asyncio.Task[None]) -> None:
        places.running.discard(task)
        self._woken.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            # The lease will lapse and the sweeper will find the job again.
            log.error("worker.job_left", error=repr(error))

    def _changed(self, job_id: UUID) -> None:
        """Hint at a change; a subscriber looks at the row now and then anyway."""
        task = asyncio.ensure_future(self._publish(job_id))
        self._hints.add(task)
        task.add_done_callback(self._hints.discard)

    async def _publish(self, job_id: UUID) -> None:
        try:
            await self._redis.publish(hint_channel(job_id), b"changed")
        except (RedisError, OSError) as error:
            log.warning("worker.hint_lost", job=str(job_id), error=repr(error))

    async def _listen(self) -> None:
        """Let arq bring hints; when Redis is away, try again, while the sweeper goes on."""
        failures = 0
        while not self._stopping:
            try:
                await self._redis.ping()
                failures = 0
                worker = Worker(
                    functions=[func(self._on_hint, name=jobs.RUN_FUNCTION, keep_result=0, max_tries=1)],  # type: ignore[arg-type]
                    queue_name=jobs.QUEUE_NAME,
                    redis_pool=self._redis,
                    handle_signals=False,
                    poll_delay=0.2,
                    max_jobs=constants.JOBS_AT_ONCE,
                    job_timeout=constants.HINT_SECONDS,
                )
                await worker.async_run()
            except (TimeoutError, RedisError, OSError) as error:
                wait = constants.RECONNECT_SECONDS[min(failures, len(constants.RECONNECT_SECONDS) - 1)]
                failures += 1
                log.warning("worker.redis_unreachable", error=repr(error), again_in_seconds=wait)
                await asyncio.sleep(wait)

    async def _on_hint(self, _context: dict[Any, Any], job_id: str) -> None:
        await self._claim_while_free(UUID(job_id))


async def _first(waits: set[Any], seconds: float) -> None:
    tasks = {asyncio.ensure_future(one) for one in waits}
    await asyncio.wait(tasks, timeout=seconds)
    for task in tasks:
        task.cancel()


@asynccontextmanager
async def loops(settings: Settings, worker: JobWorker | None = None) -> AsyncIterator[None]:
    """The relay, the evaluator, the deliverer, scheduled actions, messages, the schedule and the upkeep, while the
    context is open."""
    redis = open_redis(settings.require_redis_url(), Redis, answer_seconds=constants.REDIS_SECONDS)
    relay = Loop("relay", Relay(redis).step, constants.RELAY_SECONDS)
    evaluator = Loop("evaluator", Evaluator(redis).step, constants.EVALUATION_SECONDS)
    granter = Loop("accolades", AccoladeGranter().step, constants.ACCOLADE_POLL_SECONDS)
    coaching = Loop("coaching", look_after, constants.COACHING_SECONDS)
    upkeep = Loop("upkeep", forget_the_old, constants.UPKEEP_SECONDS)
    schedule = Loop("schedule", partial(_schedule, worker), constants.SCHEDULE_SECONDS)
    box = settings.secret_box()
    deliverer, sender = None, None
    awake = [relay]
    name = f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"
    if box is not None:
        sender = Sender(private_allowed=settings.webhooks_to_private_addresses)
        deliverer = Deliverer(sender, box, name)
        awake.append(Loop("deliverer", deliverer.step, constants.DELIVERY_SECONDS))
    else:
        log.warning("worker.no_webhooks", reason="SIDELINE_SECRET_KEYS is not set")
    runner = Runner(name)
    post = Post(name, mailers=mailers_of(settings), sender=sender, box=box)
    actions = Loop("actions", runner.step, constants.ACTIONS_SECONDS)
    messages = Loop("messages", post.step, constants.MESSAGES_SECONDS)
    unsendable = Loop("unsendable", post.forget, constants.UPKEEP_SECONDS)
    studio = LiveStudio(settings, redis, name)
    listening = listen(
        settings.require_database_url(),
        {events.EVENTS_CHANNEL: awake, events.CHANGES_CHANNEL: [evaluator], WORK_CHANNEL: studio.awake},
    )
    every = [*awake, actions, messages, unsendable, evaluator, granter, schedule, coaching, upkeep, *studio.loops]
    tasks = [asyncio.ensure_future(one) for one in (*(loop.run() for loop in every), listening)]
    try:
        yield
    finally:
        for loop in every:
            loop.stop()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await runner.stop()
        await studio.stop()
        if deliverer is not None:
            await deliverer.stop()
        await redis.aclose()


async def _schedule(worker: JobWorker | None) -> bool:
    more = await schedule()
    if worker is not None:
        worker.wake()
    return more


def wire_of(settings: Settings) -> Wire:
    """The HTTP pool that the settings ask for."""
    return Wire(
        private_allowed=settings.integrations_to_private_addresses,
        oauth_clients=settings.oauth_clients,
        urls=settings.connector_urls,
        roots=tuple(root for root in (settings.import_roots or "").split(":") if root),
        box=settings.secret_box(),
    )


async def forget_the_old() -> bool:
    """Forget what has had its time, and what teams do not keep any more; see domain/retention.py."""
    async with database.acquire(database.ALL_TEAMS) as connection:
        await events.prune(connection)
        await idempotency.prune(connection)
        await webhooks.prune(connection)
        plain = await bodies.teams_to_seal(connection)
    for team_id in plain:
        while await database.in_transaction(team_id, partial(bodies.seal_again, team_id=team_id)):
            pass
    await forget_for_teams(datetime.now(UTC))
    return False


async def _await_migrations() -> None:
    while True:
        if await database.is_migrated():
            return
        await asyncio.sleep(constants.MIGRATION_SECONDS)


async def work(settings: Settings, started: Callable[[JobWorker], None] = lambda _worker: None) -> None:
    """Connect, wait until the database has what this version needs, and work until SIGTERM or SIGINT.

    Raises:
        Invalid: an address is missing.
    """
    await database.connect(settings.require_database_url(), pool_size=settings.database_pool_size)
    bodies.use_keys(settings.secret_box())
    wire = wire_of(settings)
    end_traces = start_traces(settings, "sideline-worker")
    try:
        await _await_migrations()
        tester = EndpointTester(private_allowed=settings.webhooks_to_private_addresses, box=settings.secret_box())
        syncer = Syncer(wire)
        inviter = Inviter(wire, mailers_of(settings), settings.mail_from or "sideline@localhost")
        handlers = {
            **HANDLERS,
            webhooks.TEST_KIND: tester.run,
            integrations.SYNC_KIND: syncer.sync,
            integrations.CHECK_KIND: syncer.check,
            export_files.KIND: Exporter(settings).run,
            plan_invitations.DELIVER_KIND: inviter.deliver,
        }
        worker = JobWorker(settings.require_redis_url(), handlers=handlers)
        await publish()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, worker.stop)
        started(worker)
        async with watched(settings, measure_backlog), loops(settings, worker):
            await worker.run()
    finally:
        end_traces()
        await wire.close()
        await database.disconnect()
