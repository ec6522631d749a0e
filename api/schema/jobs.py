"""Background work, as it stands."""

import strawberry

from api.context import Context
from api.schema.imports import Import
from api.schema.nodes import Node, global_id
from domain import imports, models

ActionState = strawberry.enum(
    models.JobState, name="ActionState", description="Where a job or a scheduled action stands."
)

Info = strawberry.Info[Context]


@strawberry.type(description="A piece of background work.")
class Job(Node):
    kind: str = strawberry.field(description="What it does, such as `import`.")
    state: ActionState = strawberry.field(description="Where it stands.")
    progress: float = strawberry.field(description="The share that is done, from 0 to 1.")
    processed: int = strawberry.field(description="Records done.")
    total: int | None = strawberry.field(description="Records in all, once that is known.")
    error: str | None = strawberry.field(description="Why it failed.")
    row: strawberry.Private[models.Job]

    @classmethod
    def of(cls, row: models.Job) -> "Job":
        done = row.state is models.JobState.SUCCEEDED
        share = 1.0 if done else min(row.processed / row.total, 1.0) if row.total else 0.0
        return cls(
            id=global_id("Job", row.id),
            kind=row.kind,
            state=row.state,
            progress=share,
            processed=row.processed,
            total=row.total,
            error=row.error,
            row=row,
        )

    @strawberry.field(name="import", description="The file that the job takes in, if that is what it does.")
    async def upload(self, info: Info) -> Import | None:
        async with info.context.acquire() as connection:
            found = await imports.import_of_job(connection, self.row.team_id, self.row.id)
        return None if found is None else Import.of(found, self.row.requested_by_id)
