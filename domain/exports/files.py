"""Exports that a job makes: a gzip file in pieces, kept for a while, given to nobody but who asked for it.

Each transaction of the job writes one piece, how far the file is and the job's cursor, or none of them; a worker that
is killed leaves whole pieces, and the next one goes on with the very bytes that the first would have written. The
pieces are sealed under a key of the file's own (AES-256-GCM, bound to the file and the place in it), which is sealed by
the installation's: they may hold bodies of emails, which lie sealed everywhere else. Without `SIDELINE_SECRET_KEYS`
they are plain, and bodies cannot be read in the first place.

A file is given while its reader could still see all that they could see when it began. When they cannot, it is refused,
and given again should they get it back before the file's time is over. Erasing a person takes all files of the team
away, with their keys: each may hold something of theirs.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec
import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from domain import bodies, jobs
from domain.access import Viewer
from domain.database import in_transaction
from domain.errors import Conflict, DomainError, Forbidden, Invalid, NotFound, Unavailable
from domain.exports.columns import Chosen
from domain.exports.formats import GzipParts
from domain.exports.reading import (
    Begun,
    Order,
    RightsLost,
    begin,
    look_again,
    order_of,
    read_lot,
    require_exporting,
    slices,
)
from domain.exports.standing import Standing, standing_of
from domain.identity import identify_user
from domain.jobs import ClaimedJob
from domain.models import Export
from domain.models.base import new_id
from domain.models.jobs import JobState

if TYPE_CHECKING:
    from domain.database import Connection

KIND = "export"
"""The kind of job that makes a file."""
MOST_UNDER_WAY = 5
"""Exports of one person that are not done."""
MOST_KEPT = 50
"""Exports of one person whose files are kept or under way."""
KEPT = timedelta(days=30)
"""So long after it was asked for, it is remembered what an export was; its file has a shorter life."""
LIMIT_BYTES = 2 * 2**30
LIFE = timedelta(hours=72)
PRUNE_LOT = 200
LISTED = 200
"""The newest exports of one person that are listed."""
NONCE_BYTES = 12
KEY_BITS = 256

_UNDER_WAY = "e.removed_at IS NULL AND e.ready_at IS NULL AND j.state IN ('SCHEDULED', 'RUNNING')"
_THERE = f"(e.removed_at IS NULL AND e.expires_at > now() OR {_UNDER_WAY})"


class _Cursor(msgspec.Struct, frozen=True):
    """Where a job's committed work ends; the job's cursor.

    Args:
        after: The cursor of the connection; None at the beginning.
        checksum: Of the file before it was packed.
    """

    after: str | None = None
    checksum: int = 0


async def request_export(connection: Connection, viewer: Viewer, order: Order, moment: datetime) -> tuple[Export, UUID]:
    """Ask for a file, in the caller's transaction. Returns the export and the job that makes it.

    Raises:
        Invalid: the connection is not kept as a file.
        Conflict: the person has too many exports under way, or too many files.
        DomainError: what the connection's own query raises: it is tried for one row.
    """
    if not order.source.keepable:
        raise Invalid(
            f"{order.source.name} is not kept as a file, since it can change who may see a row of it: GET "
            f"/export/{order.source.name} streams it.",
            path=("connection",),
        )
    # Two requests of one person go one after the other, so that neither overlooks the other's.
    await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"exports:{viewer.user_id}")
    under_way, kept = await connection.fetchrow(
        f"""
        SELECT count(*) FILTER (WHERE {_UNDER_WAY}), count(*) FILTER (WHERE {_THERE})
        FROM exports e LEFT JOIN jobs j ON j.team_id = e.team_id AND j.id = e.job_id
        WHERE e.team_id = $1 AND e.user_id = $2
        """,
        viewer.team_id,
        viewer.user_id,
    )
    if under_way >= MOST_UNDER_WAY:
        raise Conflict(f"{under_way} exports of yours are under way: let one end, or cancel its job.", path=("input",))
    if kept >= MOST_KEPT:
        raise Conflict(f"You have {kept} exported files: delete one with deleteExport.", path=("input",))
    begun = await begin(connection, viewer, order, moment)
    await read_lot(await look_again(connection, viewer, begun), _without_texts(order), None, 1)
    export_id = new_id()
    job_id = await jobs.create_job(
        connection,
        viewer.team_id,
        KIND,
        run_key=f"{KIND}:{export_id}",
        arguments={"export_id": str(export_id)},
        requested_by_id=viewer.user_id,
    )
    await connection.execute(
        """
        INSERT INTO exports (id, team_id, user_id, job_id, connection, format, columns, arguments, standing, secret,
            created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7::text[], $8::jsonb, $9::jsonb, $10, $11)
        """,
        export_id,
        viewer.team_id,
        viewer.user_id,
        job_id,
        order.source.name,
        order.format,
        list(order.chosen.names),
        orjson.dumps(msgspec.to_builtins(order.arguments)).decode(),
        orjson.dumps(begun.standing.to_json()).decode(),
        _new_secret(),
        moment,
    )
    made = await _get(connection, viewer.team_id, export_id)
    assert made is not None, "it was made just now"
    return made, job_id


def _without_texts(order: Order) -> Order:
    """The same without what is written down when it is read."""
    columns = tuple(column for column in order.chosen.columns if column.name not in order.source.heavy)
    return replace(order, chosen=Chosen(columns))


def _new_secret() -> bytes | None:
    box = bodies.keys_if_set()
    return None if box is None else box.seal(AESGCM.generate_key(KEY_BITS))


async def _get(connection: Connection, team_id: UUID, export_id: UUID, *, lock: bool = False) -> Export | None:
    row = await connection.fetchrow(
        f"SELECT * FROM exports WHERE team_id = $1 AND id = $2{' FOR NO KEY UPDATE' if lock else ''}",
        team_id,
        export_id,
    )
    return None if row is None else _export(row)


def _export(row: Any) -> Export:
    values = dict(row)
    for name in ("arguments", "standing"):
        values[name] = orjson.loads(values[name])
    return Export._init_from_db(**values)


def order_of_export(export: Export) -> Order:
    """What an export holds.

    Raises:
        NotFound, Invalid: it cannot be exported like this any more.
    """
    return order_of(export.connection, export.format, export.columns, export.arguments)


async def run(
    job: ClaimedJob,
    changed: Callable[[], Any] = lambda: None,
    *,
    limit_bytes: int = LIMIT_BYTES,
    life: timedelta = LIFE,
    lot_rows: int | None = None,
) -> None:
    """Make a file; a job's handler.

    Args:
        job: The job.
        changed: Called when it has gone on.
        limit_bytes: The largest packed file.
        life: How long a file is kept once it is ready.
        lot_rows: The most rows of one transaction; the connection's own number if None.

    Raises:
        NotFound: the export is gone, or what its connection's query asks for.
        Forbidden: whoever asked is not active any more, or lacks a permission by now.
        Conflict: it was deleted or removed, or what may be seen has become less.
        Invalid: the file has become too large.
        LeaseLost: another worker has the job.
    """
    export_id = UUID(job.arguments["export_id"])
    cursor: _Cursor | None = msgspec.convert(dict(job.cursor), _Cursor)
    while cursor is not None:

        async def work(connection: Connection, cursor: _Cursor = cursor) -> _Cursor | None:
            return await _make_lot(connection, job, export_id, cursor, limit_bytes, life, lot_rows)

        try:
            cursor = await in_transaction(job.team_id, work)
        except DomainError as error:
            if not isinstance(error, Unavailable):
                await _give_up(job.team_id, export_id, error.message)
            raise
        changed()


async def _make_lot(
    connection: Connection,
    job: ClaimedJob,
    export_id: UUID,
    cursor: _Cursor,
    limit_bytes: int,
    life: timedelta,
    lot_rows: int | None,
) -> _Cursor | None:
    """One piece of the file. Returns where the next one goes on, None when the file is done."""
    export = await _get(connection, job.team_id, export_id, lock=True)
    if export is None:
        raise NotFound("The export is gone.")
    if export.removed_at is not None:
        raise Conflict(export.removed_because or "It was removed.")
    viewer = await identify_user(connection, job.team_id, export.user_id)
    if viewer is None:
        raise Forbidden("Whoever asked for this is not active any more.", permission="active")
    order = order_of_export(export)
    begun = Begun(Standing.of_json(job.team_id, export.standing), export.created_at)
    look = await look_again(connection, viewer, begun)
    total = await order.source.count(look, order.arguments) if not export.rows and cursor.after is None else None
    limit = order.source.rows_at_once(order.chosen)
    lot = await read_lot(look, order, cursor.after, min(limit, lot_rows or limit))
    writer, packing = order.writer(), GzipParts(cursor.checksum, export.length)
    text = bytearray(b"" if export.length else writer.head())
    for rows in slices(lot.values):
        text += writer.rows(rows)
        await asyncio.sleep(0)
    data = await asyncio.to_thread(packing.add, bytes(text))
    if lot.cursor is None:
        data += packing.end()
    if export.size + len(data) > limit_bytes:
        raise Invalid(f"The file has more than {limit_bytes} bytes, packed: ask for fewer fields, or in parts.")
    if data:
        await _keep_piece(connection, export, data)
    rows_done = export.rows + len(lot.values)
    await connection.execute(
        """
        UPDATE exports SET rows = $3, length = $4, size = size + $5,
            ready_at = CASE WHEN $6 THEN clock_timestamp() END,
            expires_at = CASE WHEN $6 THEN clock_timestamp() + $7::interval END
        WHERE team_id = $1 AND id = $2
        """,
        job.team_id,
        export_id,
        rows_done,
        packing.length,
        len(data),
        lot.cursor is None,
        life,
    )
    following = _Cursor(lot.cursor, packing.checksum)
    await jobs.save_progress(connection, job, msgspec.to_builtins(following), rows_done, total)
    if lot.cursor is None:
        await jobs.finish_job(connection, job)
        return None
    return following


async def _keep_piece(connection: Connection, export: Export, data: bytes) -> None:
    sealed = data
    if export.secret is not None:
        nonce = os.urandom(NONCE_BYTES)
        sealed = nonce + _cipher(export).encrypt(nonce, data, _bound(export, export.size))
    await connection.execute(
        "INSERT INTO export_chunks (id, team_id, export_id, start, size, data) VALUES ($1, $2, $3, $4, $5, $6)",
        new_id(),
        export.team_id,
        export.id,
        export.size,
        len(data),
        sealed,
    )


def _cipher(export: Export) -> AESGCM:
    assert export.secret is not None, "the pieces are sealed"
    return AESGCM(bodies.installation_keys("Exported files are kept sealed").open(export.secret))


def _bound(export: Export, start: int) -> bytes:
    return export.team_id.bytes + export.id.bytes + start.to_bytes(8, "big")


async def _give_up(team_id: UUID, export_id: UUID, reason: str) -> None:
    async def work(connection: Connection) -> None:
        await _remove(connection, team_id, f"It could not be made: {reason}", export_id=export_id)

    await in_transaction(team_id, work)


async def _remove(
    connection: Connection,
    team_id: UUID,
    reason: str,
    *,
    export_id: UUID | None = None,
    forget_arguments: bool = False,
) -> int:
    """Take files away, with their keys: what is left of their pieces cannot be read. Returns how many."""
    rows = await connection.fetch(
        """
        UPDATE exports SET removed_at = coalesce(removed_at, now()), secret = NULL,
            removed_because = coalesce(removed_because, $2),
            arguments = CASE WHEN $4 THEN '{}' ELSE arguments END
        WHERE team_id = $1 AND ($3::uuid IS NULL OR id = $3) AND (removed_at IS NULL OR $4) RETURNING 1
        """,
        team_id,
        reason[:200],
        export_id,
        forget_arguments,
    )
    return len(rows)


async def remove_for_erasure(connection: Connection, team_id: UUID) -> int:
    """Take all files of a team away, and what was looked for in them: somebody is erased who may be in each. Returns
    how many."""
    reason = "A person's data was erased since: export it anew."
    return await _remove(connection, team_id, reason, forget_arguments=True)


async def delete(connection: Connection, viewer: Viewer, export_id: UUID) -> Export:
    """Take a file of one's own away; a job that is at it ends.

    Raises:
        NotFound: the viewer has no such export.
    """
    export = await _own(connection, viewer, export_id)
    await _remove(connection, viewer.team_id, "It was deleted.", export_id=export.id)
    await jobs.cancel_job(connection, viewer.team_id, export.job_id)
    found = await _get(connection, viewer.team_id, export.id)
    assert found is not None, "it is marked, not deleted"
    return found


async def list_exports(connection: Connection, viewer: Viewer) -> list[Export]:
    """The viewer's own exports of the last `KEPT`, the newest first. Served by exports_user_idx."""
    rows = await connection.fetch(
        "SELECT * FROM exports WHERE team_id = $1 AND user_id = $2 ORDER BY created_at DESC, id DESC LIMIT $3",
        viewer.team_id,
        viewer.user_id,
        LISTED,
    )
    return [_export(row) for row in rows]


async def find_export(connection: Connection, viewer: Viewer, export_id: UUID) -> Export | None:
    """An export of the viewer's own; None for anybody else's."""
    found = await _get(connection, viewer.team_id, export_id)
    return found if found is not None and found.user_id == viewer.user_id else None


async def _own(connection: Connection, viewer: Viewer, export_id: UUID) -> Export:
    found = await find_export(connection, viewer, export_id)
    if found is None:
        raise NotFound("No such export.", path=("exportId",))
    return found


def over_because(export: Export, now: datetime) -> str | None:
    """Why there is no file any more; None while there is one, or may come to be one."""
    if export.removed_at is not None:
        return export.removed_because
    if export.expires_at is not None and export.expires_at <= now:
        return "Its time is over: export it anew."
    return None


async def open_file(connection: Connection, viewer: Viewer, export_id: UUID, now: datetime) -> Export:
    """A file that may be given to the viewer at this moment.

    Raises:
        NotFound: the viewer has no such export, or its file is gone.
        Conflict: it is not ready.
        RightsLost: the viewer could see more when it began.
        Forbidden: the credential takes trusted documents alone.
    """
    require_exporting(viewer)
    export = await _own(connection, viewer, export_id)
    if (reason := over_because(export, now)) is not None:
        raise NotFound(reason, path=("exportId",))
    if export.ready_at is None:
        state = await connection.fetchval(
            "SELECT state FROM jobs WHERE team_id = $1 AND id = $2", viewer.team_id, export.job_id
        )
        if state not in (JobState.SCHEDULED, JobState.RUNNING):
            raise NotFound("It was not made to its end: export it anew.", path=("exportId",))
        raise Conflict("It is being made: follow its job.", path=("exportId",))
    if not (await standing_of(connection, viewer)).holds(Standing.of_json(viewer.team_id, export.standing)):
        raise RightsLost
    return export


async def read_from(connection: Connection, export: Export, start: int) -> bytes:
    """The bytes of a file from a place on, to the end of the piece that holds it; none at its end. Served by
    export_chunks_start_key.

    Raises:
        Unavailable: the key that sealed it is not set, or the piece was changed.
    """
    row = await connection.fetchrow(
        "SELECT start, data FROM export_chunks WHERE team_id = $1 AND export_id = $2 AND start <= $3 "
        "ORDER BY start DESC LIMIT 1",
        export.team_id,
        export.id,
        start,
    )
    if row is None:
        raise Unavailable("A piece of the file is missing: export it anew.")
    data: bytes = row["data"]
    if export.secret is not None:
        try:
            data = _cipher(export).decrypt(data[:NONCE_BYTES], data[NONCE_BYTES:], _bound(export, row["start"]))
        except InvalidTag as error:
            raise Unavailable("A piece of the file cannot be opened: it was changed.") from error
    return data[start - row["start"] :]


async def prune(connection: Connection) -> int:
    """Remove pieces of files whose time is over, that were removed, or whose job ended without them, and forget exports
    of long ago that have none left; one lot, of all teams. Returns how many rows.

    There are few exports, `MOST_KEPT` a person at most; their pieces are found by export_chunks_start_key.
    """
    pieces = await _remove_pieces(connection, "", [])
    if pieces:
        return pieces
    gone = await connection.fetch(
        """
        DELETE FROM exports WHERE id IN (
            SELECT e.id FROM exports e LEFT JOIN jobs j ON j.team_id = e.team_id AND j.id = e.job_id
            WHERE e.created_at < now() - $1::interval AND (j.id IS NULL OR j.finished_at IS NOT NULL)
                AND NOT EXISTS (SELECT 1 FROM export_chunks c WHERE c.team_id = e.team_id AND c.export_id = e.id)
            LIMIT $2
        ) RETURNING 1
        """,
        KEPT,
        PRUNE_LOT,
    )
    return len(gone)


async def remove_pieces(connection: Connection, team_id: UUID) -> int:
    """Remove pieces of a team's files that are given to nobody any more; one lot. Returns how many."""
    return await _remove_pieces(connection, "AND e.team_id = $2", [team_id])


async def _remove_pieces(connection: Connection, condition: str, arguments: list[object]) -> int:
    rows = await connection.fetch(
        f"""
        DELETE FROM export_chunks WHERE id IN (
            SELECT c.id FROM exports e LEFT JOIN jobs j ON j.team_id = e.team_id AND j.id = e.job_id
            JOIN export_chunks c ON c.team_id = e.team_id AND c.export_id = e.id
            WHERE {_THERE} IS NOT TRUE {condition} LIMIT $1
        ) RETURNING 1
        """,
        PRUNE_LOT,
        *arguments,
    )
    return len(rows)
