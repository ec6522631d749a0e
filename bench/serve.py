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
            print(f"stall {stall:.3f} at {time.strftime('%X')}", flush=True)


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
    import gc

    began = [0.0]

    def on_gc(phase, info):
        if phase == "start":
            began[0] = time.perf_counter()
        elif time.perf_counter() - began[0] > 0.01:
            print(
                "gc",
                info,
                round(time.perf_counter() - began[0], 3),
                len(gc.get_objects()),
                time.strftime("%X"),
                flush=True,
            )

    gc.callbacks.append(on_gc)
    import cProfile

    profile = cProfile.Profile()
    if os.environ.get("BENCH_PROFILE"):
        asyncio.get_running_loop().call_later(20, profile.enable)
        asyncio.get_running_loop().call_later(28, lambda: (profile.disable(), profile.dump_stats("/tmp/prof")))
    watching = asyncio.ensure_future(watch(Path(os.environ["BENCH_STALLS"])))
    await uvicorn.Server(config).serve()
    watching.cancel()


if __name__ == "__main__":
    # As `uvicorn` on the command line chooses it.
    import uvloop

    uvloop.run(main())
