"""Asking for files of connections, and what became of them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from api.context import Context
from api.queue import hint_job
from api.schema.exports import Export, ExportConnectionInput
from api.schema.jobs import Job
from domain import jobs
from domain.errors import Invalid
from domain.exports import files
from domain.exports.reading import order_of
from domain.ids import decode_id


async def list_exports(context: Context) -> list[Export]:
    """The viewer's own, the newest first."""
    async with context.acquire() as connection:
        return [Export.of(row) for row in await files.list_exports(connection, context.viewer)]


async def find_export(context: Context, row_id: UUID) -> Export | None:
    """One of the viewer's own, or None."""
    async with context.acquire() as connection:
        row = await files.find_export(connection, context.viewer, row_id)
    return None if row is None else Export.of(row)


async def export_connection(context: Context, given: ExportConnectionInput) -> tuple[Export, Job]:
    """Ask for a file. Raises what the domain does."""
    arguments: Any = given.arguments if given.arguments is not None else {}
    if not isinstance(arguments, dict):
        raise Invalid("arguments: give an object.", path=("input", "arguments"))
    order = order_of(given.connection, given.format.value, given.fields, arguments)

    async def work(connection: Any) -> Any:
        export, job_id = await files.request_export(connection, context.viewer, order, context.now)
        return export, await jobs.get_job(connection, context.viewer.team_id, job_id)

    export, job = await context.in_transaction(work)
    if context.queue is not None:
        await hint_job(context.queue, job.id)
    return Export.of(export), Job.of(job)


async def delete_export(context: Context, global_id: str) -> Export:
    """Delete a file. Raises what the domain does."""
    export_id = decode_id(global_id, "Export", path=("input", "exportId"))

    async def work(connection: Any) -> Any:
        return await files.delete(connection, context.viewer, export_id)

    return Export.of(await context.in_transaction(work))
