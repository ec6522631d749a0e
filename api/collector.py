"""Python's garbage collector, kept from stopping the event loop for long.

A full collection walks everything that is alive, and thousands of open streams are a lot. What has survived a long one
is set aside (`gc.freeze`) and not walked again, until as many connections have closed as are worth a look at what they
left behind.
"""

from __future__ import annotations

import gc
import time
from typing import Any

LONG_SECONDS = 0.01
"""A full collection that took longer sets aside what survived it."""
CLOSED_CONNECTIONS = 5_000
"""After so many closed connections, what was set aside is walked once more."""


THRESHOLDS = (10_000, 20, 50)
"""Objects, young collections and middle ones before the next: rarer than Python's own; answers leave few circles."""


class Collector:
    """Watches full collections, from start() to stop()."""

    def __init__(self) -> None:
        self._began = 0.0
        self._closed = 0
        self._thresholds = gc.get_threshold()

    def start(self) -> None:
        """Set aside what lives as long as the process: modules, the schema."""
        gc.collect()
        gc.freeze()
        gc.enable()
        gc.set_threshold(*THRESHOLDS)
        gc.callbacks.append(self._watch)

    def stop(self) -> None:
        """Leave the collector as it was."""
        gc.callbacks.remove(self._watch)
        gc.set_threshold(*self._thresholds)
        gc.unfreeze()

    def connection_closed(self) -> None:
        """A connection is gone, and may have left a circle behind."""
        self._closed += 1
        if self._closed >= CLOSED_CONNECTIONS:
            self._closed = 0
            gc.unfreeze()

    def _watch(self, phase: str, info: dict[str, Any]) -> None:
        if info["generation"] != 2:
            return
        if phase == "start":
            self._began = time.perf_counter()
        elif time.perf_counter() - self._began > LONG_SECONDS:
            gc.freeze()
