"""A worker process is killed with SIGKILL while it carries actions out: each is done once all the same."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from domain.actions import GOAL_REMINDER, NewAction, put_actions
from domain.database import ALL_TEAMS, acquire, transaction
from tests.factories import make_role, make_team, make_user

COUNT = 120


def start(database: str, redis: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "workers"],
        env={**os.environ, "SIDELINE_DATABASE_URL": database, "SIDELINE_REDIS_URL": redis},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


async def until(look: Callable[[], Awaitable[bool]], seconds: float = 60.0) -> None:
    async with asyncio.timeout(seconds):
        while not await look():
            await asyncio.sleep(0.05)


async def test_killed_in_the_middle(emptied_database: str, redis_url: str) -> None:
    async with acquire(ALL_TEAMS) as connection:
        team = await make_team(connection)
        user = await make_user(connection, team, await make_role(connection, team))
    due = datetime.now(UTC) - timedelta(minutes=1)
    async with transaction(team) as connection:
        await put_actions(
            connection,
            team,
            [NewAction(f"k{n}", GOAL_REMINDER, "T", due, user_id=user, created_by_id=user) for n in range(COUNT)],
        )

    async def states() -> dict[str, int]:
        async with acquire(team) as connection:
            rows = await connection.fetch("SELECT state, count(*) AS n FROM scheduled_actions GROUP BY state")
        return {row["state"]: row["n"] for row in rows}

    processes = []
    try:
        # The effect cannot be written for now: the worker waits in the middle of its transaction.
        async with transaction(ALL_TEAMS) as blocker:
            await blocker.execute("LOCK TABLE outgoing_messages IN SHARE MODE")
            first = start(emptied_database, redis_url)
            processes.append(first)

            async def in_the_middle() -> bool:
                async with acquire(ALL_TEAMS) as connection:
                    waiting = await connection.fetchval(
                        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
                        "AND wait_event_type = 'Lock' AND query LIKE '%INSERT INTO outgoing_messages%'"
                    )
                return bool(waiting) and (await states()).get("RUNNING") == COUNT

            await until(in_the_middle)
            os.kill(first.pid, signal.SIGKILL)
            first.wait()
            async with acquire(ALL_TEAMS) as connection:
                # What the dead one's connection still had open ends with it, as it would at a real server's next look.
                await connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
                    "AND query LIKE '%INSERT INTO outgoing_messages%' AND wait_event_type = 'Lock'"
                )
        assert await states() == {"RUNNING": COUNT}
        async with acquire(ALL_TEAMS) as connection:
            # The time of the lease has passed.
            await connection.execute("UPDATE scheduled_actions SET leased_until = now() - interval '1 second'")
        processes += [start(emptied_database, redis_url) for _ in range(2)]

        async def all_done() -> bool:
            return await states() == {"SUCCEEDED": COUNT}

        await until(all_done)
    finally:
        for process in processes:
            if process.poll() is None:
                process.terminate()
        for process in processes:
            process.wait(30)
    async with acquire(team) as connection:
        runs = await connection.fetch("SELECT action_id, count(*) AS n, min(attempts) AS a FROM action_runs GROUP BY 1")
        messages = await connection.fetchval("SELECT count(*) FROM outgoing_messages")
    assert [(row["n"], row["a"]) for row in runs] == [(1, 2)] * COUNT
    assert messages == COUNT
