"""The way to PostgreSQL: two pools a process.

Who asks for a connection says for whom. A connection for a team is the application role's, and PostgreSQL itself shows
it nothing but that team's rows (row-level security, migrations/0006): a query that forgot its filter finds nothing of
others. A connection for `ALL_TEAMS` is the owner's, for what has no team yet (whose is this token?) or serves all (the
sweeper, the relay, the operator).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, TypeVar
from urllib.parse import parse_qs, unquote, urlsplit
from uuid import UUID
from weakref import WeakKeyDictionary

import asyncpg
import structlog
from tortoise import Tortoise, connections

from domain.errors import Invalid, Unavailable
from domain.migrating import APP, FOLDER, LOCK_SECONDS, Migrator, missing_migrations

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]
else:
    Connection = asyncpg.Connection

Result = TypeVar("Result")

log = structlog.get_logger(__name__)


class _Reach(Enum):
    ALL_TEAMS = "all teams"


ALL_TEAMS: Final = _Reach.ALL_TEAMS
"""Not one team: the owner's connection, which row-level security does not bind."""
Reach: TypeAlias = UUID | Literal[_Reach.ALL_TEAMS]

APPLICATION_ROLE = "sideline_app"
"""Made by migrations/0006. A connection for a team speaks as it."""
TEAM_SETTING = "sideline.team"
"""The session's setting that the policies of row-level security read."""
OWNER_POOL_SHARE = 2
"""The owner's pool has this part of the application's size, and at least `SMALLEST_OWNER_POOL`."""
SMALLEST_OWNER_POOL = 4

LARGEST_CACHED_STATEMENT_BYTES = 131_072
"""A dashboard's statement names every base sum several times: beyond asyncpg's own limit it would be prepared anew
each time."""

MIGRATE = "The database is older than this version: bring it up to date with `sideline migrate`."
"""What to do where a version does not find its tables."""
MIGRATION_LOCK_KEY = 7_305_417_201
"""Advisory lock that makes two starting processes migrate one after the other."""
MIGRATION_TURN_SECONDS = 0.5
"""How often who waits for another migrator looks whether it has ended."""

RETRIED_ERRORS = (
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    # A migration has changed a table since the statement was prepared. asyncpg prepares it anew by itself, but in a
    # transaction, which PostgreSQL has given up.
    asyncpg.InvalidCachedStatementError,
)
CONNECTION_ERRORS = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    # What asyncpg says when it rolls back on a connection that was lost in the middle of a statement.
    asyncpg.InternalClientError,
    asyncpg.InvalidCachedStatementError,
    asyncpg.IdleInTransactionSessionTimeoutError,
)
"""What a statement raises while PostgreSQL is away, or once after a migration: trying again helps."""
IDLE_TRANSACTION_SECONDS = 15.0
"""A process that stands still inside a transaction, frozen or cut off, would keep others from its rows for as long as
it stands: after so many seconds PostgreSQL gives the transaction up. It is less than a job's lease."""
RETRY_LIMIT = 8
RETRY_BASE_SECONDS = 0.02


async def _keep_session(_connection: Connection) -> None:
    """Nothing: asyncpg's own reset is a round trip at every release, and nothing of ours outlives its transaction but
    empty temporary tables, which are to stay, and advisory locks, which their takers release."""


def tortoise_config(url: str, *, pool_size: int = 10) -> dict[str, Any]:
    """Tortoise's configuration for a `postgresql://` address, as the owner of the tables.

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
            APP: {
                "models": ["domain.models"],
                "default_connection": "default",
                "migrations": FOLDER,
            }
        },
        "use_tz": True,
        "timezone": "UTC",
    }


async def connect(
    url: str,
    *,
    pool_size: int = 10,
    statement_seconds: float | None = None,
    replica_url: str | None = None,
    idle_seconds: float = IDLE_TRANSACTION_SECONDS,
) -> None:
    """Open this process's pools and register the models. Tortoise's own connection is the application role's.

    Args:
        url: The database's address.
        pool_size: Connections for teams; the owner has some more.
        statement_seconds: The longest that PostgreSQL works at one statement for a team; no bound if None.
        replica_url: A streaming replica of it, for `acquire_replica`.
        idle_seconds: The longest that a transaction may wait for this process.

    Raises:
        Invalid: the address is not a PostgreSQL one, or the database has not been migrated.
    """
    config = tortoise_config(url, pool_size=pool_size)
    default = config["connections"]["default"]
    idle = {"idle_in_transaction_session_timeout": str(int(idle_seconds * 1000))}
    default["credentials"]["server_settings"] |= idle
    owner = max(pool_size // OWNER_POOL_SHARE, SMALLEST_OWNER_POOL)
    config["connections"]["owner"] = {**default, "credentials": {**default["credentials"], "maxsize": owner}}
    bounds = {} if statement_seconds is None else {"statement_timeout": str(int(statement_seconds * 1000))}
    settings = {**default["credentials"]["server_settings"], "role": APPLICATION_ROLE, **bounds}
    default["credentials"]["server_settings"] = settings
    if replica_url is not None:
        replica = tortoise_config(replica_url, pool_size=pool_size)["connections"]["default"]
        # A replica that is away is none that the start waits for.
        replica["credentials"] |= {"server_settings": settings, "minsize": 0}
        config["connections"]["replica"] = replica
    await Tortoise.init(config=config, _enable_global_fallback=True)
    if replica_url is not None:
        # Opens no connection yet.
        await connections.get("replica").create_connection(with_db=True)
    try:
        await connections.get("owner").execute_query("SELECT 1")
        await connections.get("default").execute_query("SELECT 1")
    except asyncpg.InvalidParameterValueError as error:
        await disconnect()
        raise Invalid(f"The database has no role {APPLICATION_ROLE}. {MIGRATE}") from error


async def disconnect() -> None:
    """Close the pools."""
    await Tortoise.close_connections()


def _pool(reach: Reach | None) -> asyncpg.Pool[asyncpg.Record]:
    client: Any = connections.get("owner" if reach is ALL_TEAMS else "default")
    opened: asyncpg.Pool[asyncpg.Record] | None = client._pool
    if opened is None:
        raise RuntimeError("domain.database.connect() has not run in this process")
    return opened


_team_of_session: WeakKeyDictionary[Any, UUID] = WeakKeyDictionary()
"""The team that a connection of the application role was last set to: most turns need no round trip."""


def has_replica() -> bool:
    """Whether this process may read from a replica."""
    return "replica" in (connections.db_config or {})


@asynccontextmanager
async def acquire_replica(team_id: UUID | None) -> AsyncIterator[Connection]:
    """A connection to the replica, for reading; see domain/replica.py for when.

    Args:
        team_id: The team whose rows it may see; None for none.
    """
    client: Any = connections.get("replica")
    async with client._pool.acquire() as connection:
        if team_id is not None:
            await _speak_for(connection, team_id)
        yield connection


async def _speak_for(connection: Connection, team_id: UUID) -> None:
    session = connection._con  # type: ignore[union-attr]
    if _team_of_session.get(session) != team_id:
        _team_of_session.pop(session, None)
        await connection.execute("SELECT set_config($1, $2, false)", TEAM_SETTING, str(team_id))
        _team_of_session[session] = team_id


@asynccontextmanager
async def acquire(reach: Reach) -> AsyncIterator[Connection]:
    """A connection without a transaction: every statement sees what is committed when it starts.

    Args:
        reach: The team whose rows it may see and write, or `ALL_TEAMS`.
    """
    async with _pool(reach).acquire() as connection:
        if reach is not ALL_TEAMS:
            await _speak_for(connection, reach)
        yield connection


@asynccontextmanager
async def transaction(reach: Reach) -> AsyncIterator[Connection]:
    """A connection inside one READ COMMITTED transaction."""
    async with acquire(reach) as connection, connection.transaction():
        yield connection


async def in_transaction(reach: Reach, work: Callable[[Connection], Awaitable[Result]]) -> Result:
    """Run `work` in a transaction; again, from the start, when PostgreSQL broke a deadlock.

    `work` must have no effect outside its connection.
    """
    for attempt in range(RETRY_LIMIT):
        try:
            async with transaction(reach) as connection:
                return await work(connection)
        except RETRIED_ERRORS:
            if attempt == RETRY_LIMIT - 1:
                raise
        await asyncio.sleep(RETRY_BASE_SECONDS * 2**attempt)
    raise AssertionError("unreachable")


async def is_migrated() -> bool:
    """Whether the database has all that this version needs; it may have more.

    Raises:
        Unavailable: the server takes no changes: it is a replica, or was made one.
    """
    async with acquire(ALL_TEAMS) as connection:
        if await connection.fetchval("SELECT pg_is_in_recovery()"):
            raise Unavailable("PostgreSQL takes no changes: it follows another server.")
        missing = await missing_migrations(connection)
    # The other pool has a connection to give, too.
    async with _pool(None).acquire() as connection:
        await connection.fetchval("SELECT 1")
    if missing:
        log.warning("database.older_than_this_version", missing=missing, mend=MIGRATE)
    return not missing


def _nothing(_text: str) -> None:
    """Nobody wants to be told."""


async def migrate(
    url: str, on_step: Callable[[str], None] = _nothing, on_wait: Callable[[str], None] = _nothing
) -> None:
    """Bring the schema up to date, beside whoever works on it. Safe to call from many processes at once.

    Args:
        url: The database's address.
        on_step: Called with a migration's name when it has been applied.
        on_wait: Called with a sentence when somebody else has to be waited for.

    Raises:
        Unavailable: a migration did not get its locks; what was applied before it stays.
    """
    config = tortoise_config(url, pool_size=2)
    credentials = config["connections"]["default"]["credentials"]
    credentials["server_settings"]["lock_timeout"] = str(int(LOCK_SECONDS * 1000))
    guard = await asyncpg.connect(
        host=credentials["host"],
        port=credentials["port"],
        user=credentials["user"],
        password=credentials["password"],
        database=credentials["database"],
        ssl=credentials.get("ssl"),
    )

    try:
        # Looks again and again: a statement that waited would be one whose end CREATE INDEX CONCURRENTLY waits for.
        waits = False
        while not await guard.fetchval("SELECT pg_try_advisory_lock($1)", MIGRATION_LOCK_KEY):
            if not waits:
                on_wait("another process migrates; this one takes its turn after it")
                waits = True
            await asyncio.sleep(MIGRATION_TURN_SECONDS)
        await Tortoise.init(config=config, init_connections=False)
        await Migrator(connections.get("default"), config["apps"]).forward(on_step, on_wait)
    finally:
        await Tortoise.close_connections()
        await guard.close()
