"""A run from its beginning to its verdict."""

from __future__ import annotations

import asyncio
import json
import resource
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import httpx

from cli.embedded.processes import free_port
from domain.events import cursor_of
from domain.ids import encode_id
from tests.receivers import receiving
from tests.running.cluster import ROOT, Cluster
from tests.running.integrators import Integrator
from tests.soak import checks, drained
from tests.soak.client import PATIENCE_SECONDS, REQUEST_SECONDS, Client
from tests.soak.faults import Injector, Line
from tests.soak.feeds import STILL_SOURCE, Exporter, Files, Importer, as_guest_of
from tests.soak.followers import Follower, Receiver
from tests.soak.journal import Journal, spread
from tests.soak.judging import (
    CONNECTIONS_BOUND,
    Told,
    judge_deliveries,
    judge_growth,
    judge_lives,
    judge_settled,
    judge_told,
)
from tests.soak.people import Actor, Admin, App, Guest, Manager
from tests.soak.plan import APIS, WORKERS, Plan
from tests.soak.watch import Watch
from tests.soak.world import TEMPLATE, Person, World
from tests.workers.post_office import PostOffice

CREATE_ENDPOINT = """mutation($url: String!) { createWebhookEndpoint(input: {url: $url}) {
    endpoint { id } errors { code message } } }"""
DRAINED_SECONDS = 400.0
"""How long everything may take to come to rest: a message whose worker was killed waits for its lease of two minutes, a
webhook after a failure for some doublings of five seconds."""
LOOK_SECONDS = 0.5
BACKLOG = 400
"""Records that a team has before the load begins."""
REDIS_MEGABYTES_BOUND = 24.0
"""The stream of events keeps 20,000, a kB each, and may fill in a run; everything else has an end to its life."""
REDIS_KEYS_BOUND = 60.0
"""Budgets of some dozen tokens, and hints of jobs that are read at once."""
LAG_BOUND = 50.0
"""Events, by which the usual backlog (the median, so that no single fault counts) may grow."""
GROWTH_SECONDS = 240.0
"""In shorter runs a fault is never far enough away for what is shared by all to be judged by its growth."""


@dataclass
class Outcome:
    """What came of a run.

    Args:
        told: Everything that was counted, as JSON.
        wrong: A sentence for each thing that was not as it is to be; none if all is well.
    """

    told: dict[str, Any] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)


class Soak:
    """A run.

    Args:
        plan: How long, how much, and which faults.
        folder: For all data and logs of the installation.
        say: Told how it goes.
    """

    def __init__(self, plan: Plan, folder: Path, say: Callable[[str], None]) -> None:
        self.plan = plan
        self.folder = folder
        self.say = say
        self.journal = Journal()
        self.ending = asyncio.Event()
        self.cluster = Cluster(folder, api_count=len(APIS), worker_count=len(WORKERS))
        self.cluster.own = {name: {"SIDELINE_METRICS_PORT": str(free_port())} for name in (*APIS, *WORKERS)}
        self.watch = Watch(self.cluster, self.journal)
        self.post = PostOffice()
        self.lines = [Line(port) for port in self.cluster.ports]
        self.worlds = [
            World("Soak", "UTC", plan.chance("world")),
            World("Other", "America/New_York", plan.chance("other world")),
        ]
        self.receivers: list[Receiver] = []
        self.followers: list[tuple[World, Follower]] = []
        self.files: list[Files] = []
        self.actors: list[Actor] = []

    async def run(self) -> Outcome:
        """Run it, and stop everything."""
        async with AsyncExitStack() as stack:
            files = self.folder / "files"
            files.mkdir()
            self.cluster.more = {
                "SIDELINE_SMTP_URL": await self.post.open(),
                "SIDELINE_MAIL_FROM": "sideline@example.test",
                "SIDELINE_IMPORT_ROOTS": str(files),
                "SIDELINE_LOG_LEVEL": "warning",
            }
            stack.push_async_callback(self.post.close)
            stack.callback(self.cluster.stop)
            await asyncio.to_thread(self.cluster.start)
            addresses = [await line.open() for line in self.lines]
            for line in self.lines:
                stack.push_async_callback(line.close)
            self.http = await stack.enter_async_context(httpx.AsyncClient(timeout=REQUEST_SECONDS))
            self.say(f"the installation is up; its logs are in {self.folder}")
            for place, world in enumerate(self.worlds):
                await self._people(stack, world, addresses, files / str(place), small=place > 0)
            return await self._under_load()

    def _client(self, person: Person, name: str, addresses: list[str] | None = None) -> Client:
        return Client(self.http, addresses or self.cluster.urls, person.token, self.journal, self.plan.chance(name))

    async def _people(
        self, stack: AsyncExitStack, world: World, lines: list[str], folder: Path, *, small: bool
    ) -> None:
        """A team, and everybody who will use it."""
        await self.cluster.run(lambda connection: world.build(connection, 4 if small else 12, 1 if small else 2))
        admin = self._client(world.admin, f"{world.name} admin")
        world.template = (await admin.ask("set up", TEMPLATE))["template"]["id"]
        common: tuple[Any, ...] = (self.plan.pause, self.ending)
        film = Importer(world.source(STILL_SOURCE), 1, world, admin, *common)
        await film.mutate(film.source.conversations(30 + int(self.plan.seconds / 4), datetime.now(UTC)))
        backlog = Importer(world.source("past"), 1, world, admin, *common)
        await backlog.upload(backlog.source.some(BACKLOG))
        rows = await self.cluster.run(
            lambda connection: connection.fetch(
                "SELECT id FROM activity_keys WHERE team_id = $1 AND source = $2 ORDER BY id",
                world.team_id,
                STILL_SOURCE,
            )
        )
        world.films = [encode_id("ConversationActivity", row["id"]) for row in rows]

        endpoints = []
        for moody in (False, True):
            receiver = Receiver(
                f"{world.name} webhooks{' (moody)' if moody else ''}", self.plan.chance("moods"), moody, self.ending
            )
            address = await stack.enter_async_context(receiving(receiver.take))
            made = await admin.ask("set up", CREATE_ENDPOINT, url=address)
            endpoints.append(made["endpoint"]["id"])
            self.receivers.append(receiver)
        self._follow(world, lines)
        folder.mkdir()
        files = Files(world.source("files"), folder, world, admin, self.plan.pause * 8, self.ending)
        await files.connect()
        self.files.append(files)

        pause = self.plan.pause * (3 if small else 1)
        for place, person in enumerate(world.managers):
            name = f"{world.name} manager {place}"
            self.actors.append(Manager(person, place, world, self._client(person, name), pause * 2, self.ending))
            self.actors.append(
                App(person, world.reps, world, self._client(person, f"{name} app", lines), pause * 3, self.ending)
            )
        for person in world.reps[: 1 if small else 3]:
            client = self._client(person, f"{world.name} {person.email}", lines)
            self.actors.append(App(person, [person], world, client, pause * 4, self.ending))
        for person in world.guests[:1]:
            client = self._client(world.admin, f"{world.name} doorkeeper")
            self.actors.append(
                Guest(person, lambda token, c=client: as_guest_of(c, token), world, client, pause * 12, self.ending)  # type: ignore[misc]
            )
        self.actors += [
            Admin(endpoints[0], world, admin, pause * 5, self.ending),
            Importer(
                world.source("dialer"),
                30,
                world,
                self._client(world.admin, f"{world.name} dialer"),
                pause * 3,
                self.ending,
            ),
            Importer(
                world.source("crm"), 60, world, self._client(world.admin, f"{world.name} crm"), pause * 5, self.ending
            ),
            Exporter(world, self._client(world.admin, f"{world.name} exporter"), pause * 12, self.ending),
            files,
        ]

    def _follow(self, world: World, lines: list[str]) -> None:
        begin = cursor_of(world.team_id, 0)
        token, journal = world.admin.token, self.journal
        for name, url, transport, metric in (
            ("WebSocket", self.cluster.urls[0], "websocket", None),
            ("WebSocket through a proxy", lines[1], "websocket", None),
            ("SSE", self.cluster.urls[1], "sse", None),
            ("SSE through a proxy", lines[0], "sse", None),
            ("WebSocket with a filter", self.cluster.urls[1], "websocket", "CALLS_LOGGED"),
        ):
            follower = Follower(f"{world.name} {name}", url, token, journal, begin, transport, metric)
            self.followers.append((world, follower))

    async def _under_load(self) -> Outcome:
        first = self.worlds[0]
        example = Integrator(
            "gql", ROOT / "examples", self.cluster.urls[0], first.admin.token, self.folder / "integrator.ndjson"
        )
        example.start(cursor_of(first.team_id, 0))
        self.journal.began = asyncio.get_running_loop().time()
        chance = self.plan.chance("injector")
        injector = Injector(self.cluster, self.lines, example, self.journal, chance)
        cpu = resource.getrusage(resource.RUSAGE_SELF)
        try:
            async with asyncio.TaskGroup() as group:

                def begin(work: Iterable[Coroutine[Any, Any, None]]) -> list[asyncio.Task[None]]:
                    return [group.create_task(one) for one in work]

                all_the_while = begin([self.cluster.supervise(), *(one.follow() for _world, one in self.followers)])
                watching = group.create_task(self.watch.run(self.plan.look_seconds))
                acting = begin([injector.run(self.plan.faults()), *(actor.live() for actor in self.actors)])
                await self._told_of(acting)
                self.ending.set()
                self.say("the load is over; waiting until everything is done")
                async with asyncio.timeout(PATIENCE_SECONDS * 2):
                    await asyncio.gather(*acting)
                watching.cancel()
                spent = resource.getrusage(resource.RUSAGE_SELF)
                share = (spent.ru_utime + spent.ru_stime - cpu.ru_utime - cpu.ru_stime) / self.journal.now
                self.journal.counts["own share of a core, percent"] = round(100 * share)
                outcome = await self._verdict(example)
                for task in all_the_while:
                    task.cancel()
        finally:
            example.kill()
        return outcome

    async def _told_of(self, acting: list[asyncio.Task[None]]) -> None:
        """Let the load go on for as long as planned, and say now and then how it stands."""
        end = self.journal.began + self.plan.seconds
        loop = asyncio.get_running_loop()
        while (left := end - loop.time()) > 0:
            await asyncio.wait(acting, timeout=min(left, 30.0), return_when=asyncio.FIRST_EXCEPTION)
            for task in acting:
                if task.done():
                    task.result()
            journal = self.journal
            self.say(
                f"{journal.now:6.0f} s: {sum(journal.requests.values())} requests, {sum(journal.retries.values())} "
                f"retries, {len(journal.faults)} faults, {len(journal.failures)} failures"
            )

    async def _verdict(self, example: Integrator) -> Outcome:
        wrong = await self._rest(example)
        # Twice: one that ran while the last file came may not have seen it.
        for _ in range(2):
            for files in self.files:
                await files.sync()
            wrong = wrong or await self._rest(example)
        events: dict[str, int] = {}
        connection = await asyncpg.connect(self.cluster.postgres.url)
        try:
            for world in self.worlds:
                found = await checks.events_of(connection, world.team_id)
                events[world.name] = len(found)
                wrong += checks.judge_goals(world, found)
                wrong += self._judge_followers(world, found, example)
                wrong += await checks.judge_work(connection, world)
                wrong += await checks.judge_words(connection, world)
                wrong += await checks.judge_audit(connection, world)
                client = self._client(world.admin, f"{world.name} oracle")
                wrong += [f"{world.name}: {one}" for one in await checks.judge_numbers(connection, world, client)]
            wrong += await self._judge_messages(connection)
            wrong += judge_settled("held", await drained.held(connection))
            wrong += judge_settled("left by a vacuum", await drained.dead_after_vacuum(connection))
            rows = await connection.fetch("SELECT kind, state, count(*), max(attempts) FROM jobs GROUP BY 1, 2")
        finally:
            await connection.close()
        jobs = {f"{row['kind']} {row['state']}": (row["count"], row["max"]) for row in rows}
        # Two hundred sentences on one fault help nobody.
        wrong = [*self.journal.failures, *dict.fromkeys(wrong), *self._judge_growth()]
        return Outcome(self._told(events, jobs), wrong)

    async def _rest(self, example: Integrator) -> list[str]:
        """Wait until all is done and told. Returns what was not in time."""
        deadline = asyncio.get_running_loop().time() + DRAINED_SECONDS
        left: dict[str, float] = {}
        while True:
            try:
                left = await self.cluster.run(self._left)
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                left = {repr(error): 1.0}
            if not any(left.values()):
                left |= await self._untold(example)
            if not any(left.values()):
                return []
            if asyncio.get_running_loop().time() > deadline:
                return judge_settled(f"after {DRAINED_SECONDS:.0f} s", left)
            await asyncio.sleep(LOOK_SECONDS)

    async def _left(self, connection: Any) -> dict[str, float]:
        return await drained.waiting(connection) | await drained.held(connection)

    async def _untold(self, example: Integrator) -> dict[str, float]:
        """How many events those who follow have not been told."""
        left: dict[str, float] = {}
        for world in self.worlds:
            found = await self.cluster.run(partial(checks.events_of, team_id=world.team_id))
            for other, follower in self.followers:
                if other is world:
                    owed = self._owed(follower, found)
                    left[follower.name] = float(max(0, len(owed) - len(follower.got)))
            if world is self.worlds[0]:
                left["the example"] = float(max(0, len(found) - len(example.cursors())))
        return left

    def _owed(self, follower: Follower, events: list[checks.Event]) -> list[Told]:
        return [event.told for event in events if follower.metric in (None, event.metric)]

    def _judge_followers(self, world: World, events: list[checks.Event], example: Integrator) -> list[str]:
        wrong: list[str] = []
        for other, follower in self.followers:
            if other is world:
                wrong += judge_told(follower.name, self._owed(follower, events), follower.got)
        everything = [event.told for event in events]
        for receiver in self.receivers:
            if receiver.name.startswith(f"{world.name} "):
                wrong += judge_deliveries(receiver.name, everything, receiver.events)
        if world is self.worlds[0]:
            lines = [json.loads(line) for line in example.file.read_text().splitlines()]
            kept = [(line["cursor"], line["type"], line["goal"]["id"]) for line in lines]
            wrong += judge_told("the example", [one[:3] for one in everything], kept)
        return wrong

    async def _judge_messages(self, connection: Any) -> list[str]:
        """What is marked as sent was received, by its name; nothing else was."""
        rows = await connection.fetch("SELECT channel, state, count(*) FROM outgoing_messages GROUP BY 1, 2")
        sent = {row["channel"]: row["count"] for row in rows if row["state"] == "SENT"}
        had = {
            "MAIL": len({str(mail.message["message-id"]) for mail in self.post.taken}),
            "WEBHOOK": len({message for receiver in self.receivers for message in receiver.others}),
        }
        return [
            *(f"{row['count']} messages by {row['channel']} failed" for row in rows if row["state"] == "FAILED"),
            *(
                f"{sent.get(channel, 0)} messages by {channel} are marked as sent, {count} came"
                for channel, count in had.items()
                if sent.get(channel, 0) != count
            ),
        ]

    def _judge_growth(self) -> list[str]:
        series = self.watch.series
        wrong = judge_lives(self.watch.lives.values(), min(120.0, self.plan.seconds / 4))
        if self.plan.seconds < GROWTH_SECONDS:
            return wrong
        for name, bound in (
            ("backends", CONNECTIONS_BOUND),
            ("redis clients", CONNECTIONS_BOUND),
            ("redis keys", REDIS_KEYS_BOUND),
            ("unsent", LAG_BOUND),
            ("undelivered", LAG_BOUND),
        ):
            wrong += judge_growth(name, series[name], bound)
        for name, points in series.items():
            if name.startswith("redis ") and name.endswith("megabytes"):
                wrong += judge_growth(name, points, REDIS_MEGABYTES_BOUND)
        return wrong

    def _told(self, events: dict[str, int], jobs: dict[str, tuple[int, int]]) -> dict[str, Any]:
        series = {name: spread([value for _at, value in points]) for name, points in sorted(self.watch.series.items())}
        errors: Counter[str] = Counter()
        for file in self.folder.glob("*.log"):
            for line in file.read_text(errors="replace").splitlines():
                if '"level":"error"' in line or '"level": "error"' in line:
                    errors[f"{file.stem}: {json.loads(line).get('event')}"] += 1
        return {
            "seed": self.plan.seed,
            "minutes": self.plan.seconds / 60,
            "events": events,
            "jobs": jobs,
            "webhooks refused": {receiver.name: receiver.refused for receiver in self.receivers},
            "records": {world.name: len(world.records) for world in self.worlds},
            "memory": self.watch.memory(),
            "series": series,
            "errors in logs": dict(errors),
            **self.journal.told(),
        }
