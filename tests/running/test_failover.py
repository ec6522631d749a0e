"""Several API processes and workers on one PostgreSQL with a replica, while Redis fails in every way that it can.

A. Redis comes back empty.
B. Its primary is killed, its replica is promoted, and the address leads there by then.
C. It is demoted in good order while the connections to it live on: it reads, and refuses to write.
D. Sentinels notice that the primary is dead, and name another one.
E. It is no failure, but like one for who did not think of it: a server in cluster mode refuses what asks for keys of
   several hash slots at once.

Through all of it: no client sees more than it may try again by the rules (tests/running/load.py), every event comes
once and in order over both transports, every change, record and job has its effect once. Afterwards everything is as it
was: all are ready, wait at the new primary, and have nothing left to do.
"""

from __future__ import annotations

import asyncio
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from cli.embedded.processes import end_with_parent, free_port, stop
from cli.embedded.redis import EmbeddedRedis, binary
from domain import database
from domain.courier import open_redis
from domain.errors import Unavailable
from domain.events import EVENTS_STREAM
from domain.jobs import QUEUE_NAME
from domain.models.live_calls import JoinMode, TelephonyKind
from domain.telephony import Line
from tests.running.cluster import Cluster
from tests.running.load import Load, make_load
from tests.running.test_replica import Standby
from workers.constants import HINT_SECONDS
from workers.telephony.loopback import Loopback

SERVICE = "sideline"
DOWN_MILLISECONDS = 700
"""Sentinels take a server for dead that has been silent for so long."""
BUS_OFFSET = 10_000
CHANGES_BETWEEN = 4
"""Goals that are changed, and seen, before the next thing happens."""


class Address:
    """A port that leads to one Redis or another; connections stay with the one that they were made to."""

    def __init__(self) -> None:
        self.target = 0
        self.port = 0
        self._tasks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Address]:
        """Listen while the context is open."""
        server = await asyncio.start_server(self._meet, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            if self._tasks:
                await asyncio.wait(self._tasks)

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.close()
            return
        for source, target in ((reader, there[1]), (there[0], writer)):
            task = asyncio.ensure_future(self._carry(source, target))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    @staticmethod
    async def _carry(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        # Whichever end goes takes the other with it.
        with suppress(OSError):
            while data := await source.read(65_536):
                target.write(data)
                await target.drain()
        target.close()


def port_of(server: EmbeddedRedis) -> int:
    return urlsplit(server.url).port or 0


@asynccontextmanager
async def client_of(server: EmbeddedRedis) -> AsyncIterator[Redis]:
    async with Redis.from_url(server.url, decode_responses=True) as client:
        yield client


def follower_of(server: EmbeddedRedis, folder: Path) -> EmbeddedRedis:
    """Another server that follows one, with the same password."""
    folder.mkdir(mode=0o700)
    password = (server.folder / "password").read_text()
    (folder / "password").write_text(password)
    more = (f"replicaof 127.0.0.1 {port_of(server)}", f'masterauth "{password.strip()}"')
    return EmbeddedRedis(folder, durable=False, more=more)


async def until(holds: Callable[[], Any], seconds: float = 20.0) -> None:
    """Wait until something holds; who cannot be asked yet is asked again."""

    async def asked() -> bool:
        try:
            return bool(await holds())
        except RedisError:
            return False

    async with asyncio.timeout(seconds):
        while not await asked():
            await asyncio.sleep(0.05)


async def follows(server: EmbeddedRedis) -> bool:
    """Whether a server follows another one, and has what that has."""
    async with client_of(server) as client:
        told = await client.info("replication")
    return told["role"] == "slave" and told["master_link_status"] == "up"


async def readers(server: EmbeddedRedis) -> int:
    """How many wait for events at a server."""
    async with client_of(server) as client:
        return sum(one["cmd"] == "xread" for one in await client.client_list())


async def goes_on(load: Load, server: EmbeddedRedis, left: EmbeddedRedis | None = None) -> None:
    """Wait until the load has gone on at a server, which every API process reads by then.

    Args:
        left: The server before, if it lives on as a replica. Who was between two reads when it was demoted is told
            nothing and goes on reading there, where every event comes as well; it leaves when that server does.
    """
    aim = load.changes + CHANGES_BETWEEN

    async def holds() -> bool:
        return load.changes >= aim and all(len(got) >= aim for got in load.followed.values())

    async def all_read() -> bool:
        return await readers(server) == len(load.cluster.urls)

    await until(holds)
    if left is not None:
        async with client_of(left) as client:
            await client.client_kill_filter(_type="normal", skipme=True)
    await until(all_read)
    async with client_of(server) as client:
        assert await client.xlen(EVENTS_STREAM) > 0


async def healthy_after(load: Load, server: EmbeddedRedis) -> None:
    """Everything came, and nothing is left."""
    await load.settle()
    await load.check()

    async def nothing_waits() -> bool:
        async with client_of(server) as client:
            return not await client.zcard(QUEUE_NAME)

    # What Redis lost the end of waits until arq takes it for given up.
    await until(nothing_waits, seconds=2 * HINT_SECONDS + 10)
    async with httpx.AsyncClient(timeout=5) as client:
        for url in load.cluster.urls:
            assert (await client.get(f"{url}/readyz")).json() == {"status": "ready"}
    for name, process in load.cluster.processes.items():
        assert process.poll() is None, name
        log = (load.cluster.folder / f"{name}.log").read_text()
        assert "Traceback" not in log, log[-5000:]


def make_cluster(folder: Path) -> Cluster:
    folder.mkdir()
    return Cluster(folder, api_count=2, worker_count=2)


@pytest.mark.timeout(180)
async def test_an_address_that_moves(tmp_path: Path) -> None:
    """A, B, C, with a PostgreSQL replica that is behind."""
    cluster = make_cluster(tmp_path / "cluster")
    first = cluster.redis
    standbys: list[Standby] = []
    seconds: list[EmbeddedRedis] = []
    address = Address()

    def before() -> dict[str, str]:
        standbys.append(Standby(cluster, tmp_path / "standby"))
        address.target = port_of(first)
        redis_url = first.url.replace(f":{address.target}", f":{address.port}") + "/0"
        return {"SIDELINE_REPLICA_URL": standbys[0].url, "SIDELINE_REDIS_URL": redis_url}

    async with address.opened():
        try:
            await asyncio.to_thread(cluster.start, before)
            load = await make_load(cluster)
            async with load.running():
                await goes_on(load, first)

                await asyncio.to_thread(cluster.kill, "redis")  # A
                await goes_on(load, first)

                second = follower_of(first, tmp_path / "second")
                seconds.append(second)
                await asyncio.to_thread(second.start)
                await until(lambda: follows(second))
                assert first.process is not None
                first.process.kill()  # B
                first.process.wait()
                async with client_of(second) as client:
                    await client.replicaof("NO", "ONE")
                address.target = port_of(second)
                await goes_on(load, second)

                first.more = (f"replicaof 127.0.0.1 {port_of(second)}", f'masterauth "{password_of(first)}"')
                await asyncio.to_thread(first.start)
                await until(lambda: follows(first))
                async with client_of(first) as promoted, client_of(second) as demoted:  # C
                    await demoted.config_set("masterauth", password_of(first))
                    await promoted.replicaof("NO", "ONE")
                    address.target = port_of(first)
                    await demoted.replicaof("127.0.0.1", str(port_of(first)))
                    before_it = await promoted.info("commandstats")
                    await goes_on(load, first, left=second)
                    # Hints reach the workers by the new one again: those are claimed by MULTI.
                    await until(lambda: moved(promoted, "cmdstat_exec", before_it))
            await healthy_after(load, first)
            await no_place_to_write(standbys[0].url)
        finally:
            await asyncio.to_thread(cluster.stop)
            for server in seconds:
                await asyncio.to_thread(server.stop)
            for standby in standbys:
                await asyncio.to_thread(standby.stop)


async def no_place_to_write(url: str) -> None:
    """A process whose PostgreSQL follows another one is not ready."""
    await database.connect(url, pool_size=2)
    try:
        with pytest.raises(Unavailable, match="follows another server"):
            await database.is_migrated()
    finally:
        await database.disconnect()


def password_of(server: EmbeddedRedis) -> str:
    return (server.folder / "password").read_text().strip()


async def moved(client: Redis, name: str, before: dict[str, Any]) -> bool:
    """Whether a command was called at least ten times since."""
    now = await client.info("commandstats")
    return now.get(name, {"calls": 0})["calls"] >= before.get(name, {"calls": 0})["calls"] + 10


class SentinelServer:
    """A sentinel of its own, which decides alone."""

    def __init__(self, folder: Path, server: EmbeddedRedis) -> None:
        folder.mkdir(mode=0o700)
        self.port = free_port()
        file = folder / "sentinel.conf"
        lines = [
            "bind 127.0.0.1",
            f"port {self.port}",
            f"dir {folder}",
            f"sentinel monitor {SERVICE} 127.0.0.1 {port_of(server)} 1",
            f"sentinel auth-pass {SERVICE} {password_of(server)}",
            f"sentinel down-after-milliseconds {SERVICE} {DOWN_MILLISECONDS}",
            f"sentinel failover-timeout {SERVICE} 3000",
        ]
        file.write_text("\n".join(lines) + "\n")
        with (folder / "sentinel.log").open("ab") as log:
            self.process = subprocess.Popen(
                [str(binary()), str(file), "--sentinel"],
                stdout=log,
                stderr=log,
                preexec_fn=end_with_parent(signal.SIGTERM),
            )

    async def knows(self, count: int) -> bool:
        """Whether it knows of so many replicas."""
        async with Redis(port=self.port, decode_responses=True) as client:
            found = await client.sentinel_slaves(SERVICE)
        return sum(not one["is_sdown"] and one["master-link-status"] == "ok" for one in found) == count

    async def primary(self) -> int:
        """The port that it names."""
        async with Redis(port=self.port, decode_responses=True) as client:
            _, port = await client.sentinel_get_master_addr_by_name(SERVICE)
        return int(port)

    def stop(self) -> None:
        """Stop it."""
        stop(self.process, (signal.SIGTERM,), seconds=10)


@pytest.fixture
def stopped() -> Iterator[list[Callable[[], None]]]:
    """What is to be called at the end, last first."""
    calls: list[Callable[[], None]] = []
    yield calls
    for call in reversed(calls):
        call()


@pytest.mark.timeout(180)
async def test_sentinels(tmp_path: Path, stopped: list[Callable[[], None]]) -> None:
    """D."""
    cluster = make_cluster(tmp_path / "cluster")
    first = cluster.redis
    servers: list[EmbeddedRedis] = []
    sentinels: list[SentinelServer] = []

    def before() -> dict[str, str]:
        servers.append(follower_of(first, tmp_path / "second"))
        stopped.append(servers[0].stop)
        servers[0].start()
        sentinels.append(SentinelServer(tmp_path / "sentinel", first))
        stopped.append(sentinels[0].stop)
        # The first of them is away.
        hosts = f"127.0.0.1:{free_port()},127.0.0.1:{sentinels[0].port}"
        return {"SIDELINE_REDIS_URL": f"redis+sentinel://:{password_of(first)}@{hosts}/{SERVICE}/0"}

    stopped.append(cluster.stop)
    await asyncio.to_thread(cluster.start, before)
    (second,), (sentinel,) = servers, sentinels
    load = await make_load(cluster)
    async with load.running():
        await goes_on(load, first)
        await until(lambda: sentinel.knows(1))
        assert first.process is not None
        first.process.kill()
        first.process.wait()
        await goes_on(load, second)
        assert await sentinel.primary() == port_of(second)
        # It comes back as it went, and the sentinel makes it follow.
        first.more = (f'masterauth "{password_of(first)}"',)
        await asyncio.to_thread(first.start)
        await until(lambda: follows(first))
        await goes_on(load, second)
    await healthy_after(load, second)


@pytest.mark.timeout(180)
async def test_hash_slots(tmp_path: Path, stopped: list[Callable[[], None]]) -> None:
    """E. One node holds all slots, so that no key is elsewhere; what asks for two slots at once is refused."""
    folder = tmp_path / "node"
    folder.mkdir(mode=0o700)
    (folder / "port").write_text(f"{port_with_a_bus()}\n")
    node = EmbeddedRedis(folder, durable=False, more=("cluster-enabled yes",))
    stopped.append(node.stop)
    await asyncio.to_thread(node.start)
    async with client_of(node) as client:
        await client.execute_command("CLUSTER", "ADDSLOTS", *range(16_384))
        await until(lambda: is_whole(client))
        with pytest.raises(ResponseError, match="same slot"):
            await client.mget("one", "another")
        await client.config_resetstat()

        cluster = make_cluster(tmp_path / "cluster")
        stopped.append(cluster.stop)
        await asyncio.to_thread(cluster.start, lambda: {"SIDELINE_REDIS_URL": f"{node.url}/0"})
        load = await make_load(cluster)
        async with load.running():
            await goes_on(load, node)
            await until(lambda: moved(client, "cmdstat_exec", {}))
        await healthy_after(load, node)
        await stand_on_a_line(node.url)
        errors = await client.info("errorstats")
        assert not [name for name in errors if "CROSSSLOT" in name], errors
        used = await client.info("commandstats")
        # Budgets, events, hints, the hints of arq, and the line.
        for name in ("eval", "xadd", "xread", "publish", "subscribe", "zadd", "psetex", "hset"):
            assert used[f"cmdstat_{name}"]["calls"], name


def port_with_a_bus() -> int:
    """A free port, whose port for the nodes of a cluster among themselves is free, too."""
    while True:
        port = free_port()
        if port + BUS_OFFSET < 65_536 and free_port(port + BUS_OFFSET) == port + BUS_OFFSET:
            return port


async def is_whole(client: Redis) -> bool:
    told: str = await client.execute_command("CLUSTER", "INFO")
    return "cluster_state:ok" in told


async def stand_on_a_line(url: str) -> None:
    """Everything that the loopback provider does."""
    redis = open_redis(url, Redis)
    line = Line(uuid4(), uuid4(), uuid4(), TelephonyKind.LOOPBACK, None, None)
    loopback = Loopback(redis)
    leg = await loopback.join(line, "Coach", JoinMode.LISTEN, None)
    await loopback.change_mode(line, leg.id, JoinMode.BARGE)
    assert await loopback.end(line) == 1
    await redis.aclose()
