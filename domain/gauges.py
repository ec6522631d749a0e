"""Numbers of a process for Prometheus, at a port of their own: who may call the API is not who watches it.

Names follow Prometheus's conventions: base units, `_total` for what only grows.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final

from prometheus_client import Gauge, start_http_server
from tortoise import connections

from domain.settings import Settings

LAG_SECONDS = 1.0
"""How often the loop's lag is measured."""
SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Bounds of the histograms of durations."""

_POOLS = {"team": "default", "owner": "owner"}
_connections = Gauge("sideline_database_connections", "Connections to PostgreSQL.", ["pool", "state"])
_lag = Gauge("sideline_event_loop_lag_seconds", "How late the event loop last came to something that was due.")


@asynccontextmanager
async def watched(settings: Settings, *measures: Callable[[], Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """Serve this process's numbers at `/metrics` while the context is open, if the settings name a port; else nothing
    is measured.

    Args:
        settings: The installation's.
        measures: What keeps gauges of the process's own, until cancelled.

    Raises:
        OSError: the port is taken.
    """
    if settings.metrics_port is None:
        yield
        return
    for pool, name in _POOLS.items():
        _connections.labels(pool, "open").set_function(partial(_pool, name, "get_size"))
        _connections.labels(pool, "idle").set_function(partial(_pool, name, "get_idle_size"))
    server, thread = start_http_server(settings.metrics_port, addr=settings.host)
    tasks = [asyncio.ensure_future(measure()) for measure in (_measure_lag, *measures)]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        server.shutdown()
        server.server_close()
        thread.join()


def _pool(name: str, what: str) -> float:
    pool: Any = getattr(connections.get(name), "_pool", None)
    return 0.0 if pool is None else float(getattr(pool, what)())


async def _measure_lag() -> None:
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + LAG_SECONDS
        await asyncio.sleep(LAG_SECONDS)
        _lag.set(max(0.0, loop.time() - due))
