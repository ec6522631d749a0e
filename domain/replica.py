"""Reading from a streaming replica what is not older than what the reader wrote.

A user's change leaves behind how far the primary's write-ahead log (WAL) had come when it was committed. A query of
theirs is answered by the replica once that has replayed as much, and by the primary until then; so is everybody's while
the replica is away, was promoted, or is more than `LAG_SECONDS` behind. The mark stands in PostgreSQL, not in Redis,
which may forget it: then a reader would be shown the time before their own change. Who may see what is always read from
the primary.

Positions are bytes of WAL since 0/0 (https://www.postgresql.org/docs/18/functions-admin.html, recovery functions).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING
from uuid import UUID

import structlog

from domain import database
from domain.database import ALL_TEAMS, acquire
from domain.models.base import new_id

if TYPE_CHECKING:
    from domain.database import Connection

log = structlog.get_logger(__name__)

LAG_SECONDS = 5.0
"""How old what a replica shows may be, to those who have changed nothing."""
LOOK_SECONDS = 0.5
"""How often the primary's and the replica's positions are compared, at most."""
UNDER_WAY = 2**63 - 1
"""The position of a change that has not been answered: no replica has come so far."""

_UNREACHABLE = (TimeoutError, OSError, *database.CONNECTION_ERRORS)

# Served by user_writes_team_id_user_id_key.
_MARK = """
INSERT INTO user_writes (id, team_id, user_id, position) VALUES ($1, $2, $3, $4)
ON CONFLICT (team_id, user_id) DO UPDATE SET position = EXCLUDED.position
"""
_NOTE = """
UPDATE user_writes SET position = pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint
WHERE team_id = $1 AND user_id = $2
"""


@asynccontextmanager
async def writing(team_id: UUID, user_id: UUID) -> AsyncIterator[None]:
    """Something that a user changes. Nothing is done where no replica is read.

    A process that dies within leaves the mark of a change under way: until the next one, the user reads from the
    primary.
    """
    if not database.has_replica():
        yield
        return
    async with acquire(team_id) as connection:
        await connection.execute(_MARK, new_id(), team_id, user_id, UNDER_WAY)
    try:
        yield
    finally:
        await _note(team_id, user_id)


async def _note(team_id: UUID, user_id: UUID) -> None:
    try:
        async with acquire(team_id) as connection:
            await connection.execute(_NOTE, team_id, user_id)
    except _UNREACHABLE as error:
        log.warning("replica.not_noted", error=repr(error))


async def _written(connection: Connection, team_id: UUID, user_id: UUID) -> int:
    found: int | None = await connection.fetchval(
        "SELECT position FROM user_writes WHERE team_id = $1 AND user_id = $2", team_id, user_id
    )
    return found or 0


class Replica:
    """What a process knows of its replica."""

    def __init__(self) -> None:
        self._replayed = -1
        self._of_primary: deque[tuple[float, int]] = deque()
        self._looked_at = float("-inf")
        self._looking = asyncio.Lock()
        self._usable = False

    async def may_answer(self, team_id: UUID, user_id: UUID) -> bool:
        """Whether the replica has all that a user wrote, and is not far behind."""
        if not database.has_replica():
            return False
        async with acquire(team_id) as connection:
            written = await _written(connection, team_id, user_id)
        if written == UNDER_WAY:
            return False
        loop = asyncio.get_running_loop()
        if written > self._replayed or loop.time() - self._looked_at > LOOK_SECONDS:
            await self._look(written)
        return self._usable and written <= self._replayed

    @asynccontextmanager
    async def reading(self, team_id: UUID) -> AsyncIterator[Connection]:
        """A connection to read a team's rows from: the replica's, or the primary's if that has gone meanwhile."""
        async with AsyncExitStack() as opened:
            try:
                connection = await opened.enter_async_context(database.acquire_replica(team_id))
            except _UNREACHABLE as error:
                log.warning("replica.unreachable", error=repr(error))
                self._usable = False
                connection = await opened.enter_async_context(acquire(team_id))
            yield connection

    async def _look(self, wanted: int) -> None:
        """Compare the positions, once for all who ask at the same time."""
        loop = asyncio.get_running_loop()
        asked_at = loop.time()
        async with self._looking:
            if self._looked_at >= asked_at and wanted <= self._replayed:
                return
            self._looked_at = loop.time()
            try:
                async with asyncio.timeout(1.0):
                    await self._compare()
            except _UNREACHABLE as error:
                if self._usable:
                    log.warning("replica.unreachable", error=repr(error))
                self._usable = False

    async def _compare(self) -> None:
        now = asyncio.get_running_loop().time()
        async with acquire(ALL_TEAMS) as connection:
            ahead = await connection.fetchval("SELECT pg_wal_lsn_diff(pg_current_wal_flush_lsn(), '0/0')::bigint")
        self._of_primary.append((now, ahead))
        # The newest of those that are old enough is what the replica must have come to.
        while len(self._of_primary) > 1 and now - self._of_primary[1][0] >= LAG_SECONDS:
            self._of_primary.popleft()
        async with database.acquire_replica(None) as connection:
            row = await connection.fetchrow(
                "SELECT pg_is_in_recovery() AS follows, "
                "coalesce(pg_wal_lsn_diff(pg_last_wal_replay_lsn(), '0/0')::bigint, -1) AS replayed"
            )
        usable = row["follows"] and row["replayed"] >= self._of_primary[0][1]
        if usable != self._usable:
            behind = ahead - row["replayed"]
            log.info("replica.used" if usable else "replica.left", follows=row["follows"], behind_bytes=behind)
        self._replayed, self._usable = row["replayed"], usable
