"""The way to PostgreSQL: one pool a process, shared by Tortoise and by plain SQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar
from urllib.parse import parse_qs, unquote, urlsplit

import asyncpg
from tortoise import Tortoise, connections
from tortoise.migrations.api import migrate as tortoise_migrate

from domain.errors import Invalid

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]
else:
    Connection = asyncpg.Connection

Result = TypeVar("Result")

LARGEST_CACHED_STATEMENT_BYTES = 131_072
"""A dashboard's statement names every base sum several times: beyond asyncpg's own limit it would be prepared anew
each time."""

MIGRATION_LOCK_KEY = 7_305_417_201
"""Advisory lock that makes two starting processes migrate one after the other."""

RETRIED_ERRORS = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)
CONNECTION_ERRORS = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    # What asyncpg says when it rolls back on a connection that was lost in the middle of a statement.
    asyncpg.InternalClientError,
)
"""What a statement raises while PostgreSQL is away."""
RETRY_LIMIT = 8
RETRY_BASE_SECONDS = 0.02


async def _keep_session(_connection: Connection) -> None:
    """Nothing: asyncpg's own reset is a round trip at every release, and nothing of ours outlives its transaction but
    empty temporary tables, which are to stay, and advisory locks, which their takers release."""


def tortoise_config(url: str, *, pool_size: int = 10) -> dict[str, Any]:
    """Tortoise's configuration for a `postgresql://` address.

    Raises:
        Invalid: the address is not a PostgreSQL one.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"postgresql", "postgres"}:
        raise Invalid(
            f"The database address starts with {parts.scheme!r}: PostgreSQL is the only database, "
            "give postgresql://user:password@host:port/name.",
            path=("SIDELINE_DATABASE_URL",),
        )
    query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
    credentials: dict[str, Any] = {
        "host": query.pop("host", None) or parts.hostname or "localhost",
        "port": parts.port or 5432,
        "user": unquote(parts.username or "postgres"),
        "password": unquote(parts.password or "") or None,
        "database": unquote(parts.path.lstrip("/")) or "postgres",
        "minsize": 1,
        "maxsize": pool_size,
        "application_name": "sideline",
        "reset": _keep_session,
        "max_cacheable_statement_size": LARGEST_CACHED_STATEMENT_BYTES,
        "server_settings": {"jit": "off", "timezone": "UTC"},
    }
    if "sslmode" in query:
        credentials["ssl"] = query.pop("sslmode")
    return {
        "connections": {"default": {"engine": "tortoise.backends.asyncpg", "credentials": credentials}},
        "apps": {
            "sideline": {
                "models": ["domain.models"],
                "default_connection": "default",
                "migrations": "migrations",
            }
        },
        "use_tz": True,
        "timezone": "UTC",
    }


async def connect(url: str, *, pool_size: int = 10) -> None:
    """Open this process's pool and register the models."""
    await Tortoise.init(config=tortoise_config(url, pool_size=pool_size), _enable_global_fallback=True)
    await connections.get("default").execute_query("SELECT 1")


async def disconnect() -> None:
    """Close the pool."""
    await Tortoise.close_connections()


def pool() -> asyncpg.Pool[asyncpg.Record]:
    """The asyncpg pool below Tortoise's default connection."""
    client: Any = connections.get("default")
    opened: asyncpg.Pool[asyncpg.Record] | None = client._pool
    if opened is None:
        raise RuntimeError("domain.database.connect() has not run in this process")
    return opened


@asynccontextmanager
async def acquire() -> AsyncIterator[Connection]:
    """A connection without a transaction: every statement sees what is committed when it starts."""
    async with pool().acquire() as connection:
        yield connection


@asynccontextmanager
async def transaction() -> AsyncIterator[Connection]:
    """A connection inside one READ COMMITTED transaction."""
    async with pool().acquire() as connection, connection.transaction():
        yield connection


async def in_transaction(work: Callable[[Connection], Awaitable[Result]]) -> Result:
    """Run `work` in a transaction; again, from the start, when PostgreSQL broke a deadlock.

    `work` must have no effect outside its connection.
    """
    for attempt in range(RETRY_LIMIT):
        try:
            async with transaction() as connection:
                return await work(connection)
        except RETRIED_ERRORS:
            if attempt == RETRY_LIMIT - 1:
                raise
        await asyncio.sleep(RETRY_BASE_SECONDS * 2**attempt)
    raise AssertionError("unreachable")


async def migrate(url: str, on_step: Callable[[str], None] | None = None) -> None:
    """Bring the schema up to date. Safe to call from many processes at once.

    Args:
        url: The database's address.
        on_step: Called with a migration's name when it has been applied.
    """
    config = tortoise_config(url, pool_size=2)
    credentials = config["connections"]["default"]["credentials"]
    guard = await asyncpg.connect(
        host=credentials["host"],
        port=credentials["port"],
        user=credentials["user"],
        password=credentials["password"],
        database=credentials["database"],
        ssl=credentials.get("ssl"),
    )

    def progress(event: str, _app: str, name: str) -> None:
        if event == "apply_done" and on_step is not None:
            on_step(name)

    try:
        await guard.execute("SELECT pg_advisory_lock($1)", MIGRATION_LOCK_KEY)
        await tortoise_migrate(config=config, direction="forward", progress=progress)
    finally:
        await Tortoise.close_connections()
        await guard.close()
