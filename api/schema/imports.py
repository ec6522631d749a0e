"""Taking activities in."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import strawberry

from api.context import Context
from api.permissions import ReadsDocument
from api.schema.errors import UserError
from api.schema.nodes import Connection, connection_read, global_id
from domain import imports, models
from domain.ingest import Outcome
from domain.paging import page_request

if TYPE_CHECKING:
    from api.schema.jobs import Job

Info = strawberry.Info[Context]


@strawberry.input(
    description="records: one JSON object an activity (see the README for the fields of each kind). "
    "Errors name the record's index; good records are taken in."
)
class ImportActivitiesInput:
    source: str = strawberry.field(description="The system that the records come from; external ids are unique in it.")
    records: list[strawberry.scalars.JSON] = strawberry.field(description="One JSON object an activity.")
    dry_run: bool | None = strawberry.field(default=False, description="Say what would happen, and change nothing.")


@strawberry.type(description="What became of the records.")
class ImportActivitiesPayload:
    accepted: int = strawberry.field(description="Records that were new, or newer and different.")
    unchanged: int = strawberry.field(description="Records that said nothing new.")
    rejected: int = strawberry.field(description="Records that were refused.")
    errors: list[UserError] = strawberry.field(description="Why they were refused.")
    job: Annotated["Job", strawberry.lazy("api.schema.jobs")] | None = strawberry.field(
        description="The job that goes on with it; null when all is done."
    )

    @classmethod
    def refused(cls, errors: list[UserError]) -> "ImportActivitiesPayload":
        """A rule said no to the whole of it."""
        return cls(accepted=0, unchanged=0, rejected=0, errors=errors, job=None)

    @classmethod
    def of(cls, outcome: Outcome) -> "ImportActivitiesPayload":
        errors = [
            UserError(
                code=error.code,
                message=error.message,
                path=["input", "records", str(error.position), *([error.field] if error.field else [])],
            )
            for error in outcome.errors
        ]
        return cls(
            accepted=outcome.accepted,
            unchanged=outcome.unchanged,
            rejected=outcome.rejected,
            errors=errors,
            job=None,
        )


@strawberry.type(description="A record that was refused.")
class QuarantinedRecord:
    position: int = strawberry.field(
        description="Its line of the file, from 1; of a CSV row, the row without the header."
    )
    code: str = strawberry.field(description="Why, for machines.")
    field: str | None = strawberry.field(description="The field at fault, if one is.")
    reason: str = strawberry.field(description="Why, and how to mend it.")
    created_at: datetime = strawberry.field(description="When it was refused.")
    text: strawberry.Private[str]
    owner_id: strawberry.Private[Any]

    @strawberry.field(
        description="The record as it came, empty where it may not be kept; null with FORBIDDEN for all but who "
        "imported it and Admin.",
        permission_classes=[ReadsDocument],
    )
    def record(self) -> str | None:
        return self.text

    @classmethod
    def of(cls, row: models.QuarantinedRecord, owner_id: Any) -> "QuarantinedRecord":
        return cls(
            position=row.position,
            code=row.code,
            field=row.field,
            reason=row.reason,
            created_at=row.created_at,
            text=row.record,
            owner_id=owner_id,
        )


@strawberry.type(description="A file that was taken in.")
class Import:
    id: strawberry.ID = strawberry.field(description="Its global id.")
    source: str = strawberry.field(description="The system that the records come from.")
    format: str = strawberry.field(description="ndjson or csv.")
    dry_run: bool = strawberry.field(description="Whether nothing was to be taken in.")
    accepted: int = strawberry.field(description="Records that were new, or newer and different.")
    unchanged: int = strawberry.field(description="Records that said nothing new.")
    rejected: int = strawberry.field(description="Records that were refused and wait.")
    row: strawberry.Private[models.Import]
    owner_id: strawberry.Private[Any]

    @classmethod
    def of(cls, row: models.Import, owner_id: Any) -> "Import":
        return cls(
            id=global_id("Import", row.id),
            source=row.source,
            format=row.format,
            dry_run=row.dry_run,
            accepted=row.accepted,
            unchanged=row.unchanged,
            rejected=row.rejected,
            row=row,
            owner_id=owner_id,
        )

    @strawberry.field(description="The records that were refused and wait, in the file's order.")
    async def quarantined(
        self, info: Info, first: int | None = None, after: str | None = None
    ) -> Connection[QuarantinedRecord]:
        row, owner_id = self.row, self.owner_id

        return await connection_read(
            info.context.acquire,
            lambda connection: imports.list_quarantine(connection, row.team_id, row.id, page_request(first, after)),
            lambda connection: imports.count_quarantine(connection, row.team_id, row.id),
            lambda one: QuarantinedRecord.of(one, owner_id),
        )


@strawberry.input(description="Try the refused records of an import again.")
class RetryQuarantinedInput:
    import_id: strawberry.ID = strawberry.field(description="The import.")
