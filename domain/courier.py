"""The way to Redis, which carries hints, live events and budgets: none of it is lost for good when Redis is.

Redis is one server, one behind an address that moves to another server when it fails (a managed one), or one that
sentinels name. Whatever moves, a connection lives on to the server that it was made to, and that one may follow another
now: it reads, and refuses to write. Such a connection is given up here, so that the next one is made to where the
address or the sentinels lead by then. This is the one place where a client is made.
"""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast
from urllib.parse import parse_qs, unquote, urlsplit

from redis.asyncio import Connection, ConnectionPool, Redis, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import (
    Sentinel,
    SentinelConnectionPool,
    SentinelManagedConnection,
    SentinelManagedSSLConnection,
)
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

Kind = TypeVar("Kind", bound=Redis)

SENTINEL_SCHEMES = ("redis+sentinel", "rediss+sentinel")
SENTINEL_PORT = 26_379
CONNECT_SECONDS = 1.0
"""For each of the machines that are asked on the way; `CONNECTED_SECONDS` for all of it."""
CONNECTED_SECONDS = 4.0
ANSWER_SECONDS = 5.0
"""How long an answer is waited for."""
DEMOTED = ("READONLY", "UNBLOCKED")
"""What a server that has become a follower says to who writes, in a script too, and to who waits for an entry."""
_KEEPALIVE = {"TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
"""Seconds, seconds, times: a listener notices within half a minute that the other machine is gone."""


@dataclass(frozen=True, slots=True)
class SentinelAddress:
    """A Redis that sentinels name.

    Args:
        sentinels: Hosts and ports.
        service: The name by which they know it.
        tls: Whether the servers, and the sentinels, speak TLS.
        options: Of connections to the server: `db`, `username`, `password`.
        sentinel_options: Of connections to the sentinels: `username`, `password`.
    """

    sentinels: tuple[tuple[str, int], ...]
    service: str
    tls: bool
    options: dict[str, Any] = field(repr=False)
    sentinel_options: dict[str, Any] = field(repr=False)


def sentinel_address(url: str) -> SentinelAddress | None:
    """What `redis+sentinel://user:password@host:26379,host:26379/mymaster/0` says; None for an address of a server.

    The sentinels' own credentials are `?sentinel_username=…&sentinel_password=…`.

    Raises:
        ValueError: something is missing, or there is too much.
    """
    parts = urlsplit(url)
    if parts.scheme not in SENTINEL_SCHEMES:
        return None
    credentials, _, hosts = parts.netloc.rpartition("@")
    username, _, password = credentials.partition(":")
    sentinels = []
    for host in hosts.split(","):
        one = urlsplit(f"//{host}")
        if not one.hostname:
            raise ValueError("a sentinel's host is missing: give host:26379,host:26379")
        sentinels.append((one.hostname, one.port or SENTINEL_PORT))
    service, _, database = parts.path.strip("/").partition("/")
    if not service or not (database or "0").isdigit():
        raise ValueError("after the sentinels comes /name-of-the-service/number-of-the-database, such as /mymaster/0")
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    sentinel_options = {
        name: query.pop(f"sentinel_{name}") for name in ("username", "password") if f"sentinel_{name}" in query
    }
    if query:
        raise ValueError(f"{', '.join(query)} is not known here")
    given = {"username": unquote(username), "password": unquote(password)}
    return SentinelAddress(
        tuple(sentinels),
        service,
        parts.scheme == "rediss+sentinel",
        {"db": int(database or 0)} | {name: value for name, value in given.items() if value},
        sentinel_options,
    )


def check_address(url: str) -> str:
    """The address, if a client can be made of it.

    Raises:
        ValueError: it cannot; the message says why, without the address, which holds a password.
    """
    if sentinel_address(url) is None:
        try:
            parse_url(url)
        except ValueError as error:
            raise ValueError(
                "give redis://:password@host:port/0, rediss:// for TLS, unix:///path, or "
                "redis+sentinel://:password@host:26379,host:26379/mymaster/0"
            ) from error
    return url


class _Leaving:
    """What a connection does when its server has become a follower, or does not answer.

    redis-py's own bound (`socket_timeout`) sends by `asyncio.wait_for`, which before Python 3.12 loses a cancellation
    that comes in the wrong moment: who listens would not stop.

    Args:
        answer_seconds: How long an answer is waited for.
    """

    def __init__(self, *, answer_seconds: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._answer_seconds = answer_seconds

    async def connect(self) -> None:
        """Connect, if it is not connected.

        Raises:
            redis.exceptions.TimeoutError: it took too long.
        """
        try:
            async with asyncio.timeout(CONNECTED_SECONDS):
                await super().connect()  # type: ignore[misc]
        except TimeoutError as error:
            await self.disconnect()
            raise RedisTimeoutError("Redis takes no connection.") from error

    async def disconnect(self, nowait: bool = False) -> None:
        """Close it, without waiting for the other side."""
        await super().disconnect(nowait=True)  # type: ignore[misc]

    async def read_response(self, disable_decoding: bool = False, timeout: float | None = None, **options: Any) -> Any:
        """An answer; a server that follows another one is left.

        Args:
            disable_decoding: As redis-py has it.
            timeout: What is waited for may not come in so long, and is None then.
            options: As redis-py has them.

        Raises:
            redis.exceptions.ConnectionError: it was left.
            redis.exceptions.TimeoutError: no answer came.
        """
        bound = self._answer_seconds if timeout is None else None
        try:
            async with asyncio.timeout(bound):
                return await super().read_response(disable_decoding, timeout, **options)  # type: ignore[misc]
        except TimeoutError as error:
            await self.disconnect()
            raise RedisTimeoutError("Redis does not answer.") from error
        except ResponseError as error:
            if not isinstance(error, ReadOnlyError) and not any(word in str(error) for word in DEMOTED):
                raise
            await self.disconnect()
            raise RedisConnectionError("The server follows another one by now.") from error


class _Tcp(_Leaving, Connection):
    """To an address."""


class _Tls(_Leaving, SSLConnection):
    """To an address, over TLS."""


class _Unix(_Leaving, UnixDomainSocketConnection):
    """To a socket's file."""


class _Named(_Leaving, SentinelManagedConnection):
    """To the server that the sentinels name."""


class _NamedTls(_Leaving, SentinelManagedSSLConnection):
    """To the server that the sentinels name, over TLS."""


_LEAVING: dict[type[Any], type[Any]] = {Connection: _Tcp, SSLConnection: _Tls, UnixDomainSocketConnection: _Unix}


class _NamedPool(SentinelConnectionPool):
    """Connections to the server that the sentinels name, and to them."""

    async def disconnect(self, inuse_connections: bool = True) -> None:
        """Close them."""
        await super().disconnect(inuse_connections)
        for sentinel in self.sentinel_manager.sentinels:
            await sentinel.aclose()


def open_redis(url: str, kind: type[Kind], *, answer_seconds: float = ANSWER_SECONDS, retries: int = 1) -> Kind:
    """A client, which connects when it is used, and anew when that is needed.

    Args:
        url: The address; see `check_address`.
        kind: The client's class.
        answer_seconds: How long an answer is waited for; longer than any command waits for an entry.
        retries: How often a command is sent again, at once, when its connection turns out to be lost. What is sent
            twice this way may happen twice.
    """
    options: dict[str, Any] = {
        "answer_seconds": answer_seconds,
        "retry": Retry(NoBackoff(), retries),
        "retry_on_error": [RedisConnectionError] if retries else [],
    }
    address = sentinel_address(url)
    if address is None:
        given: dict[str, Any] = {**parse_url(url)}
        connection_class = _LEAVING[given.pop("connection_class", Connection)]
        reached = {} if connection_class is _Unix else _reached_by_tcp()
        pool = ConnectionPool(connection_class=connection_class, **(options | reached | given))
    else:
        pool = _named_pool(address, options | _reached_by_tcp())
    return cast("Kind", kind.from_pool(pool))


def _reached_by_tcp() -> dict[str, Any]:
    kept = {getattr(socket, name): value for name, value in _KEEPALIVE.items() if hasattr(socket, name)}
    return {"socket_connect_timeout": CONNECT_SECONDS, "socket_keepalive": True, "socket_keepalive_options": kept}


def _named_pool(address: SentinelAddress, options: dict[str, Any]) -> ConnectionPool:
    asked = _reached_by_tcp() | {"ssl": address.tls} | address.sentinel_options
    sentinel: Any = Sentinel(address.sentinels, sentinel_kwargs=asked)  # type: ignore[no-untyped-call]
    connection_class = _NamedTls if address.tls else _Named
    return _NamedPool(  # type: ignore[no-untyped-call]
        address.service, sentinel, connection_class=connection_class, **options, **address.options
    )
