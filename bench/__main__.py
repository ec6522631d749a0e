"""`python -m bench`: every measurement with its floor, taken in turns in one run; only the ratios mean something."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from bench import actions, dashboard, fanout, importing, syncing
from bench.measure import Comparison
from cli.embedded.postgres import EmbeddedPostgres
from cli.embedded.redis import EmbeddedRedis
from domain.database import migrate


async def _run(database_url: str, redis_url: str) -> list[Comparison]:
    return [
        await importing.measure(database_url),
        *await syncing.measure(database_url, redis_url),
        *await dashboard.measure(database_url, redis_url),
        *await fanout.measure(database_url, redis_url),
        *await actions.measure(database_url, redis_url),
    ]


def alone(measure: Callable[[str, str], Coroutine[Any, Any, list[Comparison]]]) -> int:
    """Start the services, measure, print. Returns 1 if a goal is missed."""
    with tempfile.TemporaryDirectory() as folder:
        postgres, redis = EmbeddedPostgres(Path(folder) / "postgres"), EmbeddedRedis(Path(folder) / "redis")
        try:
            url, redis_url = postgres.start(), redis.start()
            asyncio.run(migrate(url))
            found = asyncio.run(measure(url, redis_url))
        finally:
            redis.stop()
            postgres.stop()
    for one in found:
        print(one.line())
    return 0 if all(one.met for one in found) else 1


if __name__ == "__main__":
    raise SystemExit(alone(_run))
