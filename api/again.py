"""Listening for as long as the process lives."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from api.errors import UNREACHABLE

log = structlog.get_logger(__name__)

RETRY_SECONDS = 0.5


async def again(name: str, step: Callable[[], Awaitable[None]]) -> None:
    """Take a step that is not meant to end, again and again, until cancelled; nothing that it raises ends this.

    Args:
        name: Whose step it is, for the log.
        step: What is done.
    """
    unreachable, failed = f"{name}.unreachable", f"{name}.failed"
    task = asyncio.current_task()
    # A cancellation is lost where what it interrupts fails to clean up.
    while task is None or not task.cancelling():
        try:
            await step()
        except UNREACHABLE as error:
            log.warning(unreachable, step=step.__name__, error=repr(error))
        except Exception:
            log.exception(failed, step=step.__name__)
        await asyncio.sleep(RETRY_SECONDS)
