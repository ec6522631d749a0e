"""Clients of Redis.

A. The addresses that there are; a wrong one is refused with the variable's name, and without its password.
B. A server that follows another one is left, whatever it was asked to write by.
C. A server that does not answer is given up in time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from cli.embedded.redis import EmbeddedRedis
from domain.courier import open_redis, sentinel_address
from domain.errors import Invalid
from domain.settings import Settings, load_settings


def test_addresses() -> None:
    """A."""
    found = sentinel_address("rediss+sentinel://me:p%40ss@one:1,[::1]:2,three/mymaster/4?sentinel_password=s")
    assert found is not None
    assert found.sentinels == (("one", 1), ("::1", 2), ("three", 26_379))
    assert (found.service, found.tls) == ("mymaster", True)
    assert found.options == {"db": 4, "username": "me", "password": "p@ss"}
    assert found.sentinel_options == {"password": "s"}
    assert "p@ss" not in repr(found)
    for url in ("redis://:x@host:1/0", "rediss://host/2", "unix:///run/redis.sock", "redis+sentinel://one/name"):
        assert Settings(redis_url=url).redis_url == url


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://:secret@host", "give redis://"),
        ("redis+sentinel://:secret@one,two", "name-of-the-service"),
        ("redis+sentinel://:secret@one,/name/0", "host is missing"),
        ("redis+sentinel://:secret@one/name/0?tls=1", "tls is not known"),
    ],
)
def test_wrong_addresses(url: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A."""
    monkeypatch.setenv("SIDELINE_REDIS_URL", url)
    with pytest.raises(Invalid, match=f"SIDELINE_REDIS_URL: .*{said}") as raised:
        load_settings()
    assert "secret" not in str(raised.value)


@pytest.fixture
async def follower(tmp_path: Path) -> AsyncIterator[EmbeddedRedis]:
    """A server that follows one which is away."""
    server = EmbeddedRedis(tmp_path / "redis", durable=False, more=("replicaof 127.0.0.1 1",))
    server.start()
    yield server
    server.stop()


async def _in_a_transaction(client: Redis) -> None:
    async with client.pipeline(transaction=True) as pipeline:
        pipeline.set("a", 1)
        await pipeline.execute()


@pytest.mark.parametrize(
    "write",
    [
        lambda client: client.set("a", 1),
        lambda client: client.eval("return redis.call('SET', KEYS[1], 1)", 1, "a"),
        _in_a_transaction,
    ],
    ids=["command", "script", "transaction"],
)
async def test_a_follower_is_left(follower: EmbeddedRedis, write: Callable[[Redis], Awaitable[Any]]) -> None:
    """B. It is tried once more, on a connection of its own: here the address leads to the same one."""
    async with open_redis(follower.url, Redis) as client, Redis.from_url(follower.url) as looking:
        assert await client.get("a") is None
        before = (await looking.info("stats"))["total_connections_received"]
        with pytest.raises(RedisConnectionError, match="follows another one"):
            await write(client)
        assert (await looking.info("stats"))["total_connections_received"] == before + 1


async def test_who_does_not_answer() -> None:
    """C."""

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with asyncio.timeout(5), open_redis(f"redis://127.0.0.1:{port}", Redis, answer_seconds=0.2) as client:
        with pytest.raises(RedisTimeoutError):
            await client.ping()
    server.close()
