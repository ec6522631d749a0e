"""Making the files of exports."""

from __future__ import annotations

from datetime import timedelta

from domain.exports import files
from domain.jobs import ClaimedJob
from domain.settings import Settings
from workers.jobs import Changed

MEGABYTE = 2**20


class Exporter:
    """Makes files as large, and keeps them as long, as the operator allows.

    Args:
        settings: The installation's.
    """

    def __init__(self, settings: Settings) -> None:
        self._limit_bytes = settings.export_megabytes * MEGABYTE
        self._life = timedelta(hours=settings.export_hours)

    async def run(self, job: ClaimedJob, changed: Changed) -> None:
        """Make a file; a job's handler. Raises what the domain does."""
        await files.run(job, changed, limit_bytes=self._limit_bytes, life=self._life)
