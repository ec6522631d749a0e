"""Taking activities in."""

import strawberry

from api.schema.jobs import Job
from domain.ingest import Outcome


@strawberry.type(description="Why a part of an input was refused, and how to mend it.")
class UserError:
    code: str = strawberry.field(description="For machines.")
    message: str = strawberry.field(description="For people.")
    path: list[str] = strawberry.field(description="The part of the input, outermost first.")


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
    job: Job | None = strawberry.field(description="The job that goes on with it; null when all is done.")

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
