"""Taking files in: batch by batch, each with its counts, refused records and the job's cursor in one transaction.

A kill at any point leaves whole batches behind; the next holder of the job skips what is committed and goes on. The
next batch is read, decoded and turned into rows in a thread while the database works on this one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson

from domain import erased_names, ingest, jobs
from domain.database import acquire, in_transaction
from domain.errors import Invalid, NotFound
from domain.ingest import Outcome
from domain.jobs import ClaimedJob
from domain.models import Import, QuarantinedRecord
from domain.models.base import new_id
from domain.paging import Page, PageRequest, decode_cursor, encode_cursor, page_of
from domain.records import NOT_KEPT, RecordError, RecordRefused, decode_json, decode_mapping, erased_refusal
from domain.uploads import Entry, check_format, raw_text, read_entries

if TYPE_CHECKING:
    from domain.database import Connection

BATCH_ROWS = 20_000
FIRST_BATCH_ROWS = 1_000
"""The first batch is small, so that progress shows early."""
CHUNK_BYTES = 2**20
UPLOAD_LIMIT_BYTES = 2 * 2**30
RETRY_BATCH_ROWS = 5_000
KEPT = timedelta(days=90)
"""So long after it came, an import is kept with its refused records."""
BROKEN_OFF_KEPT = timedelta(days=1)
"""So long the pieces of an upload are kept that has not got a job: its receiver died, or is at it still."""
PRUNE_LOT = 5_000
CHUNK_PRUNE_LOT = 500

UPLOAD_KIND = "import"
FILE_KIND = "import_file"


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """How a file is to be read.

    Args:
        source: The system that the records come from; external ids are unique within it.
        format: `ndjson` or `csv`.
        compressed: It is a gzip stream.
        dry_run: Count and refuse as if, and take nothing in. Repeats from batch to batch are not seen.
    """

    source: str
    format: str
    compressed: bool = False
    dry_run: bool = False


async def _create_import(connection: Connection, team_id: UUID, options: ImportOptions) -> UUID:
    ingest.check_source(options.source)
    check_format(options.format)
    import_id = new_id()
    await connection.execute(
        "INSERT INTO imports (id, team_id, source, format, compressed, dry_run) VALUES ($1, $2, $3, $4, $5, $6)",
        import_id,
        team_id,
        options.source,
        options.format,
        options.compressed,
        options.dry_run,
    )
    return import_id


async def _create_job(
    connection: Connection, team_id: UUID, import_id: UUID, kind: str, user_id: UUID | None, total: int | None
) -> UUID:
    job_id = await jobs.create_job(
        connection,
        team_id,
        kind,
        run_key=f"import:{import_id}",
        arguments={"import_id": str(import_id)},
        requested_by_id=user_id,
        total=total,
    )
    await connection.execute(
        "UPDATE imports SET job_id = $3 WHERE team_id = $1 AND id = $2", team_id, import_id, job_id
    )
    return job_id


async def receive_upload(
    team_id: UUID, user_id: UUID | None, options: ImportOptions, pieces: AsyncIterator[bytes]
) -> UUID:
    """Keep an upload and make the job that takes it in. Nothing is left of an upload that breaks off.

    Args:
        team_id: The team.
        user_id: Who sent it.
        options: How to read it.
        pieces: Its bytes as they come; at most one chunk is held in memory.

    Returns:
        The job.

    Raises:
        Invalid: an option does not fit, or the upload is empty or too large.
    """
    async with acquire(team_id) as connection:
        import_id = await _create_import(connection, team_id, options)
    try:
        lines = await _store_chunks(team_id, import_id, pieces)

        async def enqueue(connection: Connection) -> UUID:
            total = None if options.compressed else max(lines - (options.format == "csv"), 0)
            return await _create_job(connection, team_id, import_id, UPLOAD_KIND, user_id, total)

        return await in_transaction(team_id, enqueue)
    except BaseException:
        async with acquire(team_id) as connection:
            await connection.execute(
                "DELETE FROM imports WHERE team_id = $1 AND id = $2 AND job_id IS NULL", team_id, import_id
            )
        raise


async def _store_chunks(team_id: UUID, import_id: UUID, pieces: AsyncIterator[bytes]) -> int:
    """Returns how many lines came."""
    held = bytearray()
    number = size = lines = 0

    async def store() -> None:
        nonlocal number
        async with acquire(team_id) as connection:
            await connection.execute(
                "INSERT INTO import_chunks (id, team_id, upload_id, number, data) VALUES ($1, $2, $3, $4, $5)",
                new_id(),
                team_id,
                import_id,
                number,
                bytes(held),
            )
        number += 1
        held.clear()

    last = b"\n"
    async for piece in pieces:
        if not piece:
            continue
        size += len(piece)
        lines += piece.count(b"\n")
        last = piece[-1:]
        if size > UPLOAD_LIMIT_BYTES:
            raise Invalid(f"The upload has more than {UPLOAD_LIMIT_BYTES} bytes: send it in parts.")
        held += piece
        if len(held) >= CHUNK_BYTES:
            await store()
    if held:
        await store()
    if not size:
        raise Invalid("The upload is empty: send one record a line.")
    return lines + (last != b"\n")


async def run_upload(job: ClaimedJob, on_progress: Callable[[int], Any] | None = None) -> None:
    """Take an upload in; a job's handler.

    Raises:
        Invalid: the file cannot be read from some point on; what was read before stays taken in.
        NotFound: the import is gone.
        LeaseLost: another worker has the job.
    """
    import_id = UUID(job.arguments["import_id"])
    async with acquire(job.team_id) as connection:
        row = await get_import(connection, job.team_id, import_id)
    if row is None:
        raise NotFound("The import is gone.")
    loop = asyncio.get_running_loop()

    async def chunk(number: int) -> bytes | None:
        async with acquire(job.team_id) as connection:
            data: bytes | None = await connection.fetchval(
                "SELECT data FROM import_chunks WHERE team_id = $1 AND upload_id = $2 AND number = $3",
                job.team_id,
                import_id,
                number,
            )
        return data

    def pieces() -> Iterator[bytes]:
        # Runs in the reading thread, which asks the loop for each chunk.
        number = 0
        while (data := asyncio.run_coroutine_threadsafe(chunk(number), loop).result()) is not None:
            yield data
            number += 1

    entries = read_entries(pieces(), row.format, compressed=row.compressed)
    await take_entries_in(job, row, entries, on_progress)

    async def finish(connection: Connection) -> None:
        await jobs.finish_job(connection, job)
        await connection.execute(
            "DELETE FROM import_chunks WHERE team_id = $1 AND upload_id = $2", job.team_id, import_id
        )

    await in_transaction(job.team_id, finish)


async def take_file_in(
    team_id: UUID,
    options: ImportOptions,
    entries: Iterable[Entry],
    *,
    holder: str,
    on_progress: Callable[[int], Any] | None = None,
) -> Import:
    """Take in a file that this process can read itself: the same way, with a job that shows it.

    Args:
        team_id: The team.
        options: How it was read.
        entries: Its records.
        holder: Names this process as the job's holder.
        on_progress: Called with the number of records done.

    Raises:
        Invalid: the file cannot be read from some point on; what was read before stays taken in.
    """

    async def begin(connection: Connection) -> tuple[UUID, ClaimedJob]:
        import_id = await _create_import(connection, team_id, options)
        job_id = await _create_job(connection, team_id, import_id, FILE_KIND, None, None)
        claimed = await jobs.claim_job(connection, holder, job_id=job_id)
        assert claimed is not None, "nobody else can see the job yet"
        return import_id, claimed

    import_id, job = await in_transaction(team_id, begin)
    async with acquire(team_id) as connection:
        row = await get_import(connection, team_id, import_id)
    assert row is not None
    try:
        await take_entries_in(job, row, iter(entries), on_progress)
    except Exception as error:
        reason = str(error) or type(error).__name__
        async with acquire(team_id) as connection:
            await jobs.fail_job(connection, job, reason, retry_in=None)
        raise

    async def finish(connection: Connection) -> Import:
        await jobs.finish_job(connection, job)
        done = await get_import(connection, team_id, import_id)
        assert done is not None
        return done

    return await in_transaction(team_id, finish)


async def take_entries_in(
    job: ClaimedJob, row: Import, entries: Iterator[Entry], on_progress: Callable[[int], Any] | None = None
) -> None:
    """Take the records of a file in from where the job's cursor stands.

    Raises:
        Invalid: the file cannot be read from some point on.
        LeaseLost: another worker has the job.
    """
    done = int(job.cursor.get("position", 0))
    processed = int(job.cursor.get("processed", 0))
    rest = (entry for entry in entries if entry.position > done)

    async def ready(rows: int) -> _Batch | None:
        entries = await asyncio.to_thread(lambda: list(islice(rest, rows)))
        if not entries:
            return None
        items = [(entry.position, entry.record) for entry in entries if entry.record is not None]
        async with acquire(row.team_id) as connection:
            importing, key_id = await ingest.read_importing(connection, row.team_id, items)
        return _Batch(entries, await asyncio.to_thread(ingest.prepare, items, importing, key_id))

    following = asyncio.create_task(ready(FIRST_BATCH_ROWS))
    try:
        while (batch := await following) is not None:
            following = asyncio.create_task(ready(BATCH_ROWS))
            processed += len(batch.entries)
            await in_transaction(row.team_id, _batch_work(job, row, batch, processed))
            if on_progress is not None:
                on_progress(processed)
    finally:
        if not following.done():
            # The reading thread may be waiting for this loop: let it end before the loop does.
            await asyncio.wait([following])
        if not following.cancelled():
            following.exception()


@dataclass(frozen=True, slots=True)
class _Batch:
    entries: list[Entry]
    prepared: ingest.Prepared


def _batch_work(job: ClaimedJob, row: Import, batch: _Batch, processed: int) -> Callable[[Connection], Any]:
    async def work(connection: Connection) -> None:
        refused = [
            RecordError(entry.position, entry.refusal.code, entry.refusal.field, entry.refusal.message)
            for entry in batch.entries
            if entry.refusal is not None
        ]
        undo = connection.transaction()
        await undo.start()
        outcome = await ingest.take_in_within(connection, row.team_id, row.source, batch.prepared, errors=refused)
        await (undo.rollback() if row.dry_run else undo.commit())
        raws = {entry.position: entry.raw for entry in batch.entries} if outcome.errors else {}
        await _quarantine(connection, row, [(error, raw_text(raws[error.position])) for error in outcome.errors])
        await connection.execute(
            """
            UPDATE imports SET accepted = accepted + $3, unchanged = unchanged + $4, rejected = rejected + $5
            WHERE team_id = $1 AND id = $2
            """,
            row.team_id,
            row.id,
            outcome.accepted,
            outcome.unchanged,
            outcome.rejected,
        )
        cursor = {"position": batch.entries[-1].position, "processed": processed}
        await jobs.save_progress(connection, job, cursor, processed, None)

    return work


async def _quarantine(connection: Connection, row: Import, errors: list[tuple[RecordError, str]]) -> None:
    if not errors:
        return
    errors = await _without_what_may_not_be_kept(connection, row.team_id, errors)
    # INSERT, not COPY: PostgreSQL takes no COPY into a table with row-level security.
    columns = zip(
        *(
            (
                new_id(),
                error.position,
                error.code,
                error.field[:100] if error.field else None,
                error.message.replace("\0", " "),
                text,
            )
            for error, text in errors
        ),
        strict=True,
    )
    await connection.execute(
        """
        INSERT INTO quarantined_records (id, team_id, upload_id, position, code, field, reason, record)
        SELECT r.id, $1, $2, r.position, r.code, r.field, r.reason, r.record
        FROM unnest($3::uuid[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::text[])
            r (id, position, code, field, reason, record)
        """,
        row.team_id,
        row.id,
        *(list(column) for column in columns),
    )


async def _without_what_may_not_be_kept(
    connection: Connection, team_id: UUID, errors: list[tuple[RecordError, str]]
) -> list[tuple[RecordError, str]]:
    """Refused records with their texts; empty where a record is refused by `NOT_KEPT`, or names an erased person."""
    kept = [(error, "" if error.code in NOT_KEPT else text) for error, text in errors]
    named = await erased_names.naming(connection, team_id, [text for _error, text in kept])
    refusal = erased_refusal()
    return [
        (RecordError(error.position, refusal.code, refusal.field, refusal.message), "") if erased else (error, text)
        for (error, text), erased in zip(kept, named, strict=True)
    ]


async def get_import(connection: Connection, team_id: UUID, import_id: UUID) -> Import | None:
    """A team's import as it stands."""
    row = await connection.fetchrow("SELECT * FROM imports WHERE team_id = $1 AND id = $2", team_id, import_id)
    return None if row is None else Import._init_from_db(**dict(row))


async def import_of_job(connection: Connection, team_id: UUID, job_id: UUID) -> Import | None:
    """The import that a job takes in."""
    row = await connection.fetchrow("SELECT * FROM imports WHERE team_id = $1 AND job_id = $2", team_id, job_id)
    return None if row is None else Import._init_from_db(**dict(row))


async def list_quarantine(
    connection: Connection, team_id: UUID, import_id: UUID, request: PageRequest
) -> Page[QuarantinedRecord]:
    """The records of an import that still wait, in the file's order. Served by quarantined_records_position_key."""
    arguments: list[object] = [team_id, import_id]
    condition = "team_id = $1 AND upload_id = $2 AND resolved_at IS NULL"
    if request.cursor is not None:
        arguments += decode_cursor("quarantine", request.cursor, (int,))
        condition += f" AND position > ${len(arguments)}"
    arguments.append(request.limit + 1)
    rows = await connection.fetch(
        f"SELECT * FROM quarantined_records WHERE {condition} ORDER BY position LIMIT ${len(arguments)}", *arguments
    )
    found = [QuarantinedRecord._init_from_db(**dict(row)) for row in rows]
    return page_of(request, found, [encode_cursor("quarantine", record.position) for record in found])


async def count_quarantine(connection: Connection, team_id: UUID, import_id: UUID) -> int:
    """How many records of an import still wait."""
    return int(
        await connection.fetchval(
            "SELECT count(*) FROM quarantined_records WHERE team_id = $1 AND upload_id = $2 AND resolved_at IS NULL",
            team_id,
            import_id,
        )
    )


async def retry_quarantined(team_id: UUID, import_id: UUID) -> Outcome:
    """Try the refused records of an import again, now that a user was added, say.

    Raises:
        NotFound: the team has no such import.
    """
    accepted = unchanged = 0
    errors: list[RecordError] = []
    position = 0
    while True:

        async def work(connection: Connection, after: int = position) -> tuple[Outcome, int] | None:
            return await _retry_batch(connection, team_id, import_id, after)

        found = await in_transaction(team_id, work)
        if found is None:
            return Outcome(accepted, unchanged, tuple(errors))
        outcome, position = found
        accepted += outcome.accepted
        unchanged += outcome.unchanged
        errors += outcome.errors


async def _retry_batch(
    connection: Connection, team_id: UUID, import_id: UUID, after: int
) -> tuple[Outcome, int] | None:
    row = await get_import(connection, team_id, import_id)
    if row is None:
        raise NotFound("No such import.", path=("importId",))
    waiting = await connection.fetch(
        """
        SELECT position, record FROM quarantined_records
        WHERE team_id = $1 AND upload_id = $2 AND resolved_at IS NULL AND position > $3 AND code <> ALL ($5::text[])
        ORDER BY position LIMIT $4 FOR UPDATE
        """,
        team_id,
        import_id,
        after,
        RETRY_BATCH_ROWS,
        sorted(NOT_KEPT),
    )
    if not waiting:
        return None
    items, refused = [], []
    for record in waiting:
        try:
            items.append((record["position"], _decode(record["record"], row.format)))
        except RecordRefused as refusal:
            refused.append(RecordError(record["position"], refusal.code, refusal.field, refusal.message))
    undo = connection.transaction()
    await undo.start()
    outcome = await ingest.take_in_within(connection, team_id, row.source, items, errors=refused)
    await (undo.rollback() if row.dry_run else undo.commit())
    failed = {error.position for error in outcome.errors}
    if not row.dry_run:
        await connection.execute(
            """
            UPDATE quarantined_records SET resolved_at = now(), record = ''
            WHERE team_id = $1 AND upload_id = $2 AND position = ANY ($3::bigint[])
            """,
            team_id,
            import_id,
            [record["position"] for record in waiting if record["position"] not in failed],
        )
        await connection.execute(
            """
            UPDATE imports SET accepted = accepted + $3, unchanged = unchanged + $4, rejected = rejected - $3 - $4
            WHERE team_id = $1 AND id = $2
            """,
            team_id,
            import_id,
            outcome.accepted,
            outcome.unchanged,
        )
    await connection.executemany(
        "UPDATE quarantined_records SET code = $4, field = $5, reason = $6, record = CASE WHEN $7 THEN record ELSE '' "
        "END WHERE team_id = $1 AND upload_id = $2 AND position = $3",
        [
            (team_id, import_id, error.position, error.code, error.field, error.message, error.code not in NOT_KEPT)
            for error in outcome.errors
        ],
    )
    return outcome, waiting[-1]["position"]


def _decode(text: str, format_name: str) -> Any:
    if format_name == "ndjson":
        return decode_json(text)
    try:
        values = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise RecordRefused("TOO_LONG", None, "The row was too long to be kept whole; send it again.") from error
    return decode_mapping(values, strings=True)


async def prune_chunks(connection: Connection) -> int:
    """Remove pieces of uploads whose job has ended, or that never got one; one lot. Returns how many.

    A job that succeeds removes its own. Served by import_chunks_number_key and jobs_team_id_id_key.
    """
    return await _remove_chunks(connection, "", [])


async def remove_chunks_of_team(connection: Connection, team_id: UUID) -> int:
    """The same for one team."""
    return await _remove_chunks(connection, "AND i.team_id = $3", [team_id])


async def _remove_chunks(connection: Connection, condition: str, arguments: list[object]) -> int:
    rows = await connection.fetch(
        f"""
        DELETE FROM import_chunks WHERE id IN (
            SELECT c.id FROM import_chunks c JOIN imports i ON i.team_id = c.team_id AND i.id = c.upload_id
            LEFT JOIN jobs j ON j.team_id = i.team_id AND j.id = i.job_id
            WHERE (j.finished_at IS NOT NULL OR j.id IS NULL AND i.created_at < now() - $1::interval) {condition}
            LIMIT $2
        ) RETURNING 1
        """,
        BROKEN_OFF_KEPT,
        CHUNK_PRUNE_LOT,
        *arguments,
    )
    return len(rows)


async def uploads_under_way(connection: Connection, team_id: UUID, before: datetime) -> int:
    """How many uploads that began before an instant still lie there, raw."""
    return int(
        await connection.fetchval(
            """
            SELECT count(*) FROM imports i WHERE i.team_id = $1 AND i.created_at <= $2
                AND EXISTS (SELECT 1 FROM import_chunks c WHERE c.team_id = i.team_id AND c.upload_id = i.id)
            """,
            team_id,
            before,
        )
    )


async def prune_refused(connection: Connection) -> int:
    """Forget refused records of old imports; one lot. Returns how many. Served by imports_created_at_idx and
    quarantined_records_position_key."""
    rows = await connection.fetch(
        """
        DELETE FROM quarantined_records WHERE id IN (
            SELECT q.id FROM imports i JOIN quarantined_records q ON q.team_id = i.team_id AND q.upload_id = i.id
            WHERE i.created_at < now() - $1::interval LIMIT $2
        ) RETURNING 1
        """,
        KEPT,
        PRUNE_LOT,
    )
    return len(rows)


async def prune(connection: Connection) -> int:
    """Forget old imports whose job has ended; one lot. Returns how many. Served by imports_created_at_idx."""
    rows = await connection.fetch(
        """
        DELETE FROM imports WHERE id IN (
            SELECT i.id FROM imports i LEFT JOIN jobs j ON j.team_id = i.team_id AND j.id = i.job_id
            WHERE i.created_at < now() - $1::interval AND (j.id IS NULL OR j.finished_at IS NOT NULL) LIMIT $2
        ) RETURNING 1
        """,
        KEPT,
        PRUNE_LOT,
    )
    return len(rows)
