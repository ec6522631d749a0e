"""The embedded services: they start, keep their data, and are gone when they were stopped."""

from __future__ import annotations

import asyncio
from pathlib import Path

import asyncpg
import redis.asyncio

from cli.embedded.postgres import EmbeddedPostgres
from cli.embedded.processes import ServiceError, alive
from cli.embedded.redis import EmbeddedRedis


async def test_postgres_keeps_its_data_over_a_restart(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "deep" / "er", durable=False)
    connection = await asyncpg.connect(server.start())
    assert (await connection.fetchval("SHOW server_version_num"))[:2] == "18"
    await connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
    await connection.close()
    assert server.process is not None
    first = server.process.pid
    server.stop()
    assert not alive(first)

    again = EmbeddedPostgres(tmp_path / "deep" / "er", durable=False)
    connection = await asyncpg.connect(again.start())
    assert await connection.fetchval("SELECT number FROM kept") == 7
    await connection.close()
    again.stop()


async def test_postgres_left_over_by_a_killed_owner_is_ended_before_the_next_start(tmp_path: Path) -> None:
    left_over = EmbeddedPostgres(tmp_path, durable=False)
    left_over.start()
    assert left_over.process is not None
    successor = EmbeddedPostgres(tmp_path, durable=False)
    connection = await asyncpg.connect(successor.start())
    assert await connection.fetchval("SELECT 1") == 1
    await connection.close()
    assert left_over.process.wait(timeout=10) is not None
    successor.stop()


async def test_redis_wants_its_password_and_ends(tmp_path: Path) -> None:
    server = EmbeddedRedis(tmp_path)
    client = redis.asyncio.Redis.from_url(server.start())
    await client.set("kept", "1")
    await client.aclose()
    stranger = redis.asyncio.Redis.from_url(server.url.replace("redis://:", "redis://:no"))
    try:
        await stranger.ping()
    except redis.AuthenticationError:
        pass
    else:
        raise AssertionError("a wrong password was taken")
    finally:
        await stranger.aclose()
    assert server.process is not None
    pid = server.process.pid
    server.stop()
    assert not alive(pid)

    again = EmbeddedRedis(tmp_path)
    client = redis.asyncio.Redis.from_url(again.start(), decode_responses=True)
    assert await client.get("kept") == "1"
    await client.aclose()
    again.stop()


async def test_a_killed_server_comes_back_at_its_address(tmp_path: Path) -> None:
    """Others know it by its address: connections that the system still remembers must not cost it the port."""
    server = EmbeddedPostgres(tmp_path / "postgres", durable=False)
    url = server.start()
    store = EmbeddedRedis(tmp_path / "redis", durable=False)
    redis_url = store.start()
    connections = [await asyncpg.connect(url) for _ in range(3)]
    client = redis.asyncio.Redis.from_url(redis_url)
    await client.ping()
    for one in (server, store):
        assert one.process is not None
        one.process.kill()
        one.process.wait()
    for attempt in range(20):
        try:
            assert server.start() == url
        except ServiceError:
            # Backends of the one that was killed may still be on their way out.
            assert attempt < 19
            await asyncio.sleep(0.25)
        else:
            break
    assert store.start() == redis_url
    for connection in connections:
        connection.terminate()
    fresh = await asyncpg.connect(url)
    assert await fresh.fetchval("SELECT 1") == 1
    await fresh.close()
    await client.aclose()
    store.stop()
    server.stop()
