"""Local files as imports."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Iterator
from pathlib import Path
from uuid import UUID

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from domain.imports import ImportOptions
from domain.imports import take_file_in as take_entries_of_file_in
from domain.mapping import load_mapping
from domain.models import Import
from domain.uploads import GZIP_MAGIC, PIECE_BYTES, Entry, csv_rows, gunzip, read_entries


def _pieces(file: Path) -> Iterator[bytes]:
    with file.open("rb") as opened:
        while piece := opened.read(PIECE_BYTES):
            yield piece


def read_file(file: Path, format_name: str, mapping: Path | None) -> Iterable[Entry]:
    """The records of a local file; gzip is seen by its first bytes."""
    with file.open("rb") as opened:
        compressed = opened.read(len(GZIP_MAGIC)) == GZIP_MAGIC
    if mapping is None:
        return read_entries(_pieces(file), format_name, compressed=compressed)
    return load_mapping(mapping).entries(lambda: csv_rows(gunzip(_pieces(file)) if compressed else _pieces(file)))


async def take_file_in(
    team_id: UUID,
    source: str,
    file: Path,
    format_name: str,
    *,
    mapping: Path | None,
    dry_run: bool,
    console: Console,
) -> Import:
    """Take a local file in, with progress on a console.

    Raises:
        Invalid: the file or the mapping cannot be read.
    """
    kept_format = "ndjson" if mapping is not None else format_name
    options = ImportOptions(source, kept_format, dry_run=dry_run)
    holder = f"sideline import:{socket.gethostname()}:{os.getpid()}"
    columns = (SpinnerColumn(), TextColumn("{task.description} {task.completed:,.0f} records"), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(file.name, total=None)
        return await take_entries_of_file_in(
            team_id,
            options,
            read_file(file, format_name, mapping),
            holder=holder,
            on_progress=lambda done: progress.update(task, completed=done),
        )
