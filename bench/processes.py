"""Server processes of a measurement: started with an environment, waited for, stopped by their own ids."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from cli.embedded.processes import stop

START_SECONDS = 60.0
STOP_SECONDS = 20.0
ROOT = Path(__file__).parent.parent


@contextmanager
def running(
    commands: Iterable[tuple[Sequence[str], Mapping[str, str]]], *, log: Path | None = None
) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Processes while the block runs.

    Args:
        commands: Each with what its environment has beyond ours.
        log: Where they write; nowhere if None.
    """
    with ExitStack() as stack:
        output = subprocess.DEVNULL if log is None else stack.enter_context(log.open("ab"))
        started = []
        for command, environment in commands:
            process = subprocess.Popen(
                command, env={**os.environ, **environment}, stdout=output, stderr=output, cwd=ROOT
            )
            stack.callback(stop, process, (signal.SIGTERM,), seconds=STOP_SECONDS)
            started.append(process)
        yield started


async def listening(port: int) -> None:
    """Wait until a port of 127.0.0.1 takes connections.

    Raises:
        TimeoutError: it does not.
    """
    async with asyncio.timeout(START_SECONDS):
        while True:
            try:
                _reader, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.02)
            else:
                writer.close()
                return
