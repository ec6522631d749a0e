"""Connections as files, made by a job."""

from datetime import UTC, datetime
from enum import Enum
from typing import Any, cast

import strawberry

from api.context import Context
from api.downloads import file_name, path_of
from api.permissions import requires_scope
from api.schema.errors import UserError, told
from api.schema.fields import reading
from api.schema.jobs import Job
from api.schema.nodes import Node, global_id
from domain import models
from domain.exports import files
from domain.exports.columns import ColumnKind
from domain.exports.source import Exportable
from domain.models.tokens import TokenScope

Info = strawberry.Info[Context]


@strawberry.enum(description="The forms of a file.")
class ExportFormat(Enum):
    CSV = "csv"
    NDJSON = "ndjson"


ExportFieldKind = strawberry.enum(
    ColumnKind, name="ExportFieldKind", description="What the values of a file's field are."
)


@strawberry.type(description="A field of a file.")
class ExportField:
    name: str = strawberry.field(description="As GraphQL calls it, with points where it nests.")
    kind: ExportFieldKind = strawberry.field(description="What its values are.")
    usual: bool = strawberry.field(description="Whether it is there without being asked for.")


@strawberry.type(description="A connection that can be exported.")
class ExportableList:
    name: str = strawberry.field(description="What it is asked for by.")
    description: str = strawberry.field(description="What its rows are, and what it needs.")
    arguments: list[str] = strawberry.field(description="The names of its arguments, but for those of paging.")
    fields: list[ExportField] = strawberry.field(description="What its rows may hold.")

    @classmethod
    def of(cls, source: Exportable) -> "ExportableList":
        return cls(
            name=source.name,
            description=source.description,
            arguments=list(source.arguments.__struct_encode_fields__),
            fields=[
                ExportField(name=column.name, kind=column.kind, usual=not column.chosen_only)
                for column in source.columns
            ],
        )


@strawberry.type(description="A connection as a file: what the person who asked could see at that moment.")
class Export(Node):
    connection: str = strawberry.field(description="The connection.")
    format: ExportFormat = strawberry.field(description="The form.")
    fields: list[str] = strawberry.field(description="The fields, in the order of the file.")
    arguments: strawberry.scalars.JSON = strawberry.field(description="The connection's arguments.")
    rows: int = strawberry.field(description="How many rows are made.")
    bytes: float = strawberry.field(description="The size of the packed file so far.")
    file_name: str = strawberry.field(description="What the file is called.")
    created_at: datetime = strawberry.field(description="The moment that the file shows.")
    ready_at: datetime | None = strawberry.field(description="Since when it is ready; null before.")
    expires_at: datetime | None = strawberry.field(description="When it is removed; null before it is ready.")
    url: str | None = strawberry.field(
        description="Where to get it with one's credential, in whole or by Range; null while there is nothing to get."
    )
    gone_because: str | None = strawberry.field(description="Why there is no file any more; null while there is.")
    row: strawberry.Private[models.Export]

    @classmethod
    def of(cls, row: models.Export) -> "Export":
        over = files.over_because(row, datetime.now(UTC))
        return cls(
            id=global_id("Export", row.id),
            connection=row.connection,
            format=ExportFormat(row.format),
            fields=list(row.columns),
            arguments=cast("Any", row.arguments),
            rows=row.rows,
            bytes=row.size,
            file_name=file_name(row),
            created_at=row.created_at,
            ready_at=row.ready_at,
            expires_at=row.expires_at,
            url=path_of(row) if row.ready_at is not None and over is None else None,
            gone_because=over,
            row=row,
        )

    @strawberry.field(description="The job that makes it; null once it is forgotten.")
    async def job(self, info: Info) -> Job | None:
        from api.resolvers.jobs import find_job

        return await find_job(info.context, self.row.job_id)


@strawberry.input(description="A connection that is to become a file.")
class ExportConnectionInput:
    connection: str = strawberry.field(description="Its name, of exportableLists.")
    format: ExportFormat = strawberry.field(description="The form.")
    fields: list[str] | None = strawberry.field(
        default=None, description="Which fields, in which order; the usual ones if left out."
    )
    arguments: strawberry.scalars.JSON | None = strawberry.field(
        default=None, description="The connection's arguments by their names, such as {filter: {…}}."
    )


@strawberry.type(description="The file, and the job that makes it.")
class ExportConnectionPayload:
    export: Export | None = strawberry.field(description="Null when it was refused.")
    job: Job | None = strawberry.field(description="Follow its progress; null when it was refused.")
    errors: list[UserError] = strawberry.field(description="Why it was refused.")


@strawberry.input(description="A file to delete.")
class DeleteExportInput:
    export_id: strawberry.ID = strawberry.field(description="Which.")


@strawberry.type(description="The export as it stands.")
class DeleteExportPayload:
    export: Export | None = strawberry.field(description="Null when it was refused.")
    errors: list[UserError] = strawberry.field(description="Why it was refused.")


def _exporting(description: str) -> Any:
    # A token that is made for reading reads by file as well.
    return strawberry.mutation(description=description, permission_classes=[requires_scope(TokenScope.READ)])


@strawberry.type
class ExportQuery:
    @reading("The connections that can be exported, by exportConnection or GET /export/{connection}.")
    def exportable_lists(self) -> list[ExportableList]:
        from domain.exports.registry import EXPORTABLES

        return [ExportableList.of(one) for one in EXPORTABLES.values()]

    @reading("The viewer's own exports of the last thirty days, the newest first.")
    async def exports(self, info: Info) -> list[Export]:
        from api.resolvers.exports import list_exports

        return await list_exports(info.context)


@strawberry.type
class ExportMutation:
    @_exporting("Have a connection made into a file, as one may see it now; for what is too large for GET /export.")
    async def export_connection(self, info: Info, input: ExportConnectionInput) -> ExportConnectionPayload:
        from api.resolvers.exports import export_connection

        async def work() -> ExportConnectionPayload:
            export, job = await export_connection(info.context, input)
            return ExportConnectionPayload(export=export, job=job, errors=[])

        return await told(work(), lambda errors: ExportConnectionPayload(export=None, job=None, errors=errors))

    @_exporting("Delete a file of one's own; a job that is at it ends.")
    async def delete_export(self, info: Info, input: DeleteExportInput) -> DeleteExportPayload:
        from api.resolvers.exports import delete_export

        async def work() -> DeleteExportPayload:
            return DeleteExportPayload(export=await delete_export(info.context, input.export_id), errors=[])

        return await told(work(), lambda errors: DeleteExportPayload(export=None, errors=errors))
