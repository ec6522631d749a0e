"""A bare arq worker: jobs that do nothing, `python -m bench.bare_arq`, until SIGTERM."""

from __future__ import annotations

import os
from typing import Any

from arq.connections import RedisSettings
from arq.worker import Worker, func

QUEUE = "bench:arq"
FUNCTION = "nothing"


async def nothing(_context: dict[Any, Any], _number: int) -> None:
    """What arq itself takes."""


def main() -> None:
    """Work until told to stop."""
    Worker(
        functions=[func(nothing, name=FUNCTION, keep_result=0, max_tries=1)],
        queue_name=QUEUE,
        redis_settings=RedisSettings.from_dsn(os.environ["SIDELINE_REDIS_URL"]),
        max_jobs=100,
        poll_delay=0.05,
    ).run()


if __name__ == "__main__":
    main()
