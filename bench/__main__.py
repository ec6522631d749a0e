"""`python -m bench`: every measurement with its floor, taken in turns in one run; only the ratios mean something."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from bench import dashboard, importing
from bench.measure import Comparison
from cli.embedded.postgres import EmbeddedPostgres
from cli.embedded.redis import EmbeddedRedis


async def _run(database_url: str, redis_url: str) -> list[Comparison]:
    return [await importing.measure(database_url), *await dashboard.measure(database_url, redis_url)]


def main() -> int:
    """Returns 1 if a goal is missed."""
    with tempfile.TemporaryDirectory() as folder:
        postgres, redis = EmbeddedPostgres(Path(folder) / "postgres"), EmbeddedRedis(Path(folder) / "redis")
        try:
            found = asyncio.run(_run(postgres.start(), redis.start()))
        finally:
            redis.stop()
            postgres.stop()
    for one in found:
        print(one.line())
    return 0 if all(one.met for one in found) else 1


if __name__ == "__main__":
    raise SystemExit(main())
