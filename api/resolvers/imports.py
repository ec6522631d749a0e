"""Taking records in through a mutation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from api.context import Context
from domain import imports, ingest
from domain.errors import Invalid
from domain.ids import decode_id
from domain.ingest import Item, Outcome
from domain.records import RecordError, RecordRefused, decode_mapping

RECORDS_LIMIT = 10_000
"""Records of one mutation; larger lots go to `POST /import`."""


async def import_records(context: Context, source: str, records: Sequence[Any], *, dry_run: bool) -> Outcome:
    """Take records in, in one transaction; the good ones, with an error for each of the others.

    Raises:
        Invalid: the source has no usable name, or there are too many records.
    """
    if len(records) > RECORDS_LIMIT:
        raise Invalid(
            f"records: at most {RECORDS_LIMIT} at once; send more to POST /import.", path=("input", "records")
        )
    items: list[Item] = []
    errors: list[RecordError] = []
    for position, record in enumerate(records):
        try:
            if not isinstance(record, dict):
                raise RecordRefused("INVALID", None, "A record is a JSON object.")
            items.append((position, decode_mapping(record)))
        except RecordRefused as refusal:
            errors.append(RecordError(position, refusal.code, refusal.field, refusal.message))
    return await ingest.take_in(context.viewer.team_id, source, items, errors=errors, dry_run=dry_run)


async def retry_quarantined(context: Context, import_id: str) -> Outcome:
    """Try the refused records of an import of the viewer's team again.

    Raises:
        NotFound: the team has no such import.
    """
    path = ("input", "importId")
    return await imports.retry_quarantined(context.viewer.team_id, decode_id(import_id, "Import", path=path))
