"""The API in a process of its own, which writes down its event loop's largest stall: `python -m bench.serve`."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import uvicorn

from api.app import app_from_environment

STEP_SECONDS = 0.005
SETTLED_SECONDS = 3.0
"""What the start itself takes is no stall."""


async def watch(file: Path) -> None:
    """Sleep a little again and again; what it takes longer is a stall."""
    await asyncio.sleep(SETTLED_SECONDS)
    largest = 0.0
    while True:
        began = time.perf_counter()
        await asyncio.sleep(STEP_SECONDS)
        stall = time.perf_counter() - began - STEP_SECONDS
        if stall > largest:
            largest = stall
            file.write_text(str(largest))


async def main() -> None:
    """Serve until SIGTERM."""
    config = uvicorn.Config(
        app_from_environment(),
        port=int(os.environ["BENCH_PORT"]),
        log_level="warning",
        access_log=False,
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=1,
    )
    watching = asyncio.ensure_future(watch(Path(os.environ["BENCH_STALLS"])))
    await uvicorn.Server(config).serve()
    watching.cancel()


if __name__ == "__main__":
    # As `uvicorn` on the command line chooses it.
    import uvloop

    uvloop.run(main())
