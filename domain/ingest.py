"""Taking activities in: a batch of records becomes rows, and the rollups that count them, in one transaction.

The way of a batch: decode (domain/records.py) -> COPY into a staging table -> claim each key if the version is newer
-> let films follow (domain/film_facts.py) -> take out the rows that the newer versions replace -> put in the new ones
-> add the difference to the rollups. Every step is one statement over the whole batch.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from domain import bodies, erased_names, events, film_facts, rollups
from domain.books import Books, Bound
from domain.database import in_transaction
from domain.errors import Invalid, NotFound
from domain.metrics import FEEDS_OF_KIND
from domain.models.base import new_id
from domain.models.teams import Feed
from domain.records import (
    CONTENT_COLUMNS,
    CONTENT_HASH,
    EXTERNAL_ID,
    STAGE_COLUMNS,
    VERSION,
    AnyRecord,
    EmailRecord,
    Importing,
    RecordError,
    RecordRefused,
    StagedRow,
    TombstoneRecord,
    stage,
)

if TYPE_CHECKING:
    from domain.database import Connection

SOURCE_LIMIT = 100

_STAGE_NAMES = [name for name, _ in STAGE_COLUMNS]
_CONTENT = ", ".join(CONTENT_COLUMNS)
_FACTS = ", ".join(film_facts.FACTS)
_ACTIVITY = f"id, team_id, user_id, kind, occurred_at, source, external_id, {_CONTENT}, {_FACTS}"

_CREATE_TEMPORARY = (
    "CREATE TEMP TABLE IF NOT EXISTS batch_stage ("
    + ", ".join(f"{name} {kind}" for name, kind in (*STAGE_COLUMNS, *film_facts.FACTS.items()))
    + ") ON COMMIT DELETE ROWS",
    "CREATE TEMP TABLE IF NOT EXISTS batch_keys (external_id varchar(255), id uuid, fresh boolean,"
    " old_occurred_at timestamptz, changed boolean) ON COMMIT DELETE ROWS",
    "CREATE TEMP TABLE IF NOT EXISTS batch_removed (LIKE activities) ON COMMIT DELETE ROWS",
    rollups.CREATE_BATCH_DAYS,
)

# Locks are taken in the order of external ids, so that two importers of one source wait for each other instead of
# deadlocking. Served by activity_keys_key.
_CLAIM_KEYS = """
WITH claimed AS (
    INSERT INTO activity_keys AS k (id, team_id, source, external_id, occurred_at, version, content_hash)
    SELECT id, $1, $2, external_id, occurred_at, version, content_hash FROM batch_stage ORDER BY external_id
    ON CONFLICT (team_id, source, external_id) DO UPDATE
    SET occurred_at = EXCLUDED.occurred_at, version = EXCLUDED.version, content_hash = EXCLUDED.content_hash
    WHERE k.version < EXCLUDED.version
    RETURNING new.external_id, new.id, old.id IS NULL AS fresh, old.occurred_at AS old_occurred_at,
        old.content_hash IS DISTINCT FROM new.content_hash AS changed
)
INSERT INTO batch_keys SELECT * FROM claimed
"""

_COUNT_KEYS = """
SELECT count(*) FILTER (WHERE changed) AS accepted, count(*) AS claimed,
    count(*) FILTER (WHERE changed AND NOT fresh AND old_occurred_at IS NOT NULL) AS replaced,
    count(*) FILTER (WHERE changed AND NOT fresh) AS known
FROM batch_keys
"""

_FIND_CONFLICTS = """
SELECT s.position FROM batch_stage s
JOIN activity_keys k ON k.team_id = $1 AND k.source = $2 AND k.external_id = s.external_id
WHERE k.version = s.version AND k.content_hash <> s.content_hash
ORDER BY s.position
"""

_REMOVE = """
WITH gone AS (
    DELETE FROM activities a USING batch_keys k
    WHERE k.changed AND k.old_occurred_at IS NOT NULL AND a.id = k.id AND a.occurred_at = k.old_occurred_at
    RETURNING a.*
)
INSERT INTO batch_removed SELECT * FROM gone
"""

_REMOVE_BODIES = "DELETE FROM email_bodies b USING batch_removed r WHERE r.body_stored AND b.id = r.id"

_ADD = f"""
INSERT INTO activities ({_ACTIVITY})
SELECT k.id, $1, s.user_id, s.kind, s.occurred_at, $2, s.external_id, {", ".join(f"s.{c}" for c in CONTENT_COLUMNS)},
    {", ".join(f"s.{c}" for c in film_facts.FACTS)}
FROM batch_stage s JOIN batch_keys k USING (external_id)
WHERE k.changed AND NOT s.deleted
"""

_ADD_BODIES = """
INSERT INTO email_bodies (id, team_id, key_id, sealed)
SELECT k.id, $1, $2, s.sealed FROM batch_stage s JOIN batch_keys k USING (external_id)
WHERE k.changed AND s.sealed IS NOT NULL
"""

_ADD_FEEDS = """
INSERT INTO team_feeds (id, team_id, feed)
SELECT f.id, $1, f.feed FROM unnest($2::uuid[], $3::text[]) f (id, feed)
WHERE NOT EXISTS (SELECT 1 FROM team_feeds t WHERE t.team_id = $1 AND t.feed = f.feed)
ON CONFLICT DO NOTHING
"""

_SUM_COLUMNS = rollups.ACTIVITY_COLUMNS_OF_SUMS
_ADDED = f"""(
    SELECT 1 AS sign, {_SUM_COLUMNS} FROM batch_stage s JOIN batch_keys k USING (external_id)
    WHERE k.changed AND NOT s.deleted
)"""
_DIFFERENCE = f"""(
    SELECT 1 AS sign, {_SUM_COLUMNS} FROM batch_stage s JOIN batch_keys k USING (external_id)
    WHERE k.changed AND NOT s.deleted
    UNION ALL
    SELECT -1, {_SUM_COLUMNS} FROM batch_removed
)"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a batch.

    Args:
        accepted: Records that were new, or newer and different.
        unchanged: Records that said nothing new: taken in before, older, or the same again.
        errors: Why the others were refused.
    """

    accepted: int
    unchanged: int
    errors: tuple[RecordError, ...]

    @property
    def rejected(self) -> int:
        """How many were refused."""
        return len(self.errors)


Item = tuple[int, AnyRecord | TombstoneRecord]
"""A record with its position in what was handed in."""


async def take_in(
    team_id: UUID,
    source: str,
    items: Iterable[Item],
    *,
    errors: Sequence[RecordError] = (),
    dry_run: bool = False,
) -> Outcome:
    """Take a batch of records in, in a transaction of its own.

    Args:
        team_id: The team.
        source: The system that the records come from; external ids are unique within it.
        items: The records.
        errors: Refusals of before, to be counted in the outcome.
        dry_run: Do everything, then undo it.

    Raises:
        Invalid: the source has no name or too long a one.
        NotFound: there is no such team.
    """
    batch = list(items)

    async def work(connection: Connection) -> Outcome:
        undo = connection.transaction()
        await undo.start()
        outcome = await take_in_within(connection, team_id, source, batch, errors=errors)
        if dry_run:
            await undo.rollback()
        else:
            await undo.commit()
        return outcome

    return await in_transaction(team_id, work)


def check_source(source: str) -> None:
    """Refuse a source without a usable name.

    Raises:
        Invalid: the source is empty or too long.
    """
    if not source.strip() or len(source) > SOURCE_LIMIT or "\0" in source:
        raise Invalid(f"source: name the system in 1 to {SOURCE_LIMIT} characters.", path=("source",))


@dataclass(frozen=True, slots=True)
class Prepared:
    """A batch that is ready for the tables, but for what only the transaction can know.

    Args:
        batch: The records.
        importing: What they were read against.
        key_id: The data key that sealed their bodies.
        rows: The newest row of each external id.
        refused: Why others were refused.
        repeats: Records that fell away beside a newer one of the batch.
    """

    batch: tuple[Item, ...]
    importing: Importing
    key_id: UUID | None
    rows: tuple[StagedRow, ...]
    refused: tuple[RecordError, ...]
    repeats: int


async def read_importing(connection: Connection, team_id: UUID, batch: Sequence[Item]) -> tuple[Importing, UUID | None]:
    """What a batch is read against, and the data key for its bodies.

    Raises:
        NotFound: there is no such team.
        Unavailable: the batch has bodies, and no key is set to seal them.
    """
    team = await connection.fetchrow(
        "SELECT currency, activities_from, activities_from_at, erasures FROM teams WHERE id = $1", team_id
    )
    if team is None:
        raise NotFound("No such team.")
    users = await _find_users(connection, team_id, batch)
    erased: frozenset[str] = frozenset()
    if team["erasures"]:
        named = {record.user for _, record in batch if not isinstance(record, TombstoneRecord)}
        unknown = [name for name in named if name.lower() not in users and name not in users]
        erased = await erased_names.find_erased(connection, team_id, unknown)
    sealing = None
    if any(type(record) is EmailRecord and record.body is not None for _, record in batch):
        sealing = await bodies.sealer(connection, team_id)
    importing = Importing(
        currency=team["currency"],
        users=users,
        now_version=time.time_ns() // 1_000,
        seal=_nothing_to_seal if sealing is None else sealing.seal,
        bound=Bound.of(team),
        erased=erased,
        erasures=team["erasures"],
    )
    return importing, None if sealing is None else sealing.key_id


def _nothing_to_seal(_external_id: str, _body: str) -> bytes:
    raise AssertionError("a batch without bodies")


def prepare(batch: Sequence[Item], importing: Importing, key_id: UUID | None) -> Prepared:
    """Turn records into rows; without a connection, so that a thread can do it while another batch is at the tables."""
    refused: list[RecordError] = []
    rows: dict[str, StagedRow] = {}
    repeats = 0
    for position, record in batch:
        try:
            repeats += _keep_newest(rows, stage(record, position, importing))
        except RecordRefused as refusal:
            refused.append(RecordError(position, refusal.code, refusal.field, refusal.message))
    return Prepared(tuple(batch), importing, key_id, tuple(rows.values()), tuple(refused), repeats)


async def take_in_within(
    connection: Connection,
    team_id: UUID,
    source: str,
    items: Iterable[Item] | Prepared,
    *,
    errors: Sequence[RecordError] = (),
    feeds: Collection[Feed] | None = None,
) -> Outcome:
    """The same within the caller's transaction, so that a cursor can commit with the batch.

    `feeds` are those that the records come by; without them, all that their kinds may come by.
    """
    check_source(source)
    # Waits for a rebuild of the rollups, a closing of the books and an erasure, and holds them off.
    team = await connection.fetchrow(
        "SELECT timezone, currency, activities_from, activities_from_at, erasures FROM teams WHERE id = $1 FOR SHARE",
        team_id,
    )
    if team is None:
        raise NotFound("No such team.")
    if isinstance(items, Prepared) and items.importing.fits(team):
        prepared = items
    else:
        batch = items.batch if isinstance(items, Prepared) else tuple(items)
        prepared = prepare(batch, *await read_importing(connection, team_id, batch))
    refused = [*errors, *prepared.refused]
    accepted, repeats = 0, prepared.repeats
    if prepared.rows:
        accepted, conflicts = await _apply(connection, team_id, source, Books.of(team), prepared, feeds)
        refused += [_version_conflict(position) for position in conflicts]
        repeats += len(prepared.rows) - accepted - len(conflicts)
    refused.sort(key=lambda error: error.position)
    return Outcome(accepted, repeats, tuple(refused))


def _version_conflict(position: int) -> RecordError:
    return RecordError(
        position,
        "VERSION_CONFLICT",
        "version",
        "version: this version was taken in before with other content; give the correction a higher version or "
        "a later updatedAt.",
    )


def _keep_newest(rows: dict[str, StagedRow], row: StagedRow) -> int:
    """Keep one row an external id: the newest. Returns how many rows fell away."""
    key = row[EXTERNAL_ID]
    before = rows.get(key)
    if before is None:
        rows[key] = row
        return 0
    if row[VERSION] == before[VERSION] and row[CONTENT_HASH] != before[CONTENT_HASH]:
        conflict = _version_conflict(row[0])
        raise RecordRefused(conflict.code, conflict.field, conflict.message)
    if row[VERSION] > before[VERSION]:
        rows[key] = row
    return 1


async def _find_users(connection: Connection, team_id: UUID, batch: Sequence[Item]) -> dict[str, UUID]:
    names = {record.user for _, record in batch if not isinstance(record, TombstoneRecord)}
    if not names:
        return {}
    # Served by users_team_id_email_key and users_external_ids_idx.
    found = await connection.fetch(
        """
        SELECT id, lower(email) AS name FROM users
        WHERE team_id = $1 AND lower(email) = ANY ($2::text[]) AND erased_at IS NULL
        UNION ALL
        SELECT u.id, x.name FROM users u CROSS JOIN unnest(u.external_ids) x (name)
        WHERE u.team_id = $1 AND u.external_ids && $3::text[] AND x.name = ANY ($3::text[])
        """,
        team_id,
        [name.lower() for name in names],
        list(names),
    )
    return {row["name"]: row["id"] for row in found}


async def _apply(
    connection: Connection,
    team_id: UUID,
    source: str,
    books: Books,
    prepared: Prepared,
    feeds: Collection[Feed] | None,
) -> tuple[int, list[int]]:
    """Put staged rows into the tables. Returns how many changed something, and the positions in conflict."""
    rows = prepared.rows
    for statement in _CREATE_TEMPORARY:
        await connection.execute(statement)
    await connection.execute("TRUNCATE batch_stage, batch_keys, batch_removed, batch_days")
    await connection.copy_records_to_table("batch_stage", records=rows, columns=_STAGE_NAMES)
    await connection.execute(_CLAIM_KEYS, team_id, source)
    counts: Any = await connection.fetchrow(_COUNT_KEYS)
    conflicts: list[int] = []
    if counts["claimed"] < len(rows):
        conflicts = [row["position"] for row in await connection.fetch(_FIND_CONFLICTS, team_id, source)]
    if not counts["accepted"]:
        return 0, conflicts
    if counts["known"]:
        await film_facts.follow(connection, team_id)
    if counts["replaced"]:
        await connection.execute(_REMOVE)
        await connection.execute(_REMOVE_BODIES)
    await connection.execute(_ADD, team_id, source)
    if prepared.key_id is not None:
        await connection.execute(_ADD_BODIES, team_id, prepared.key_id)
    await rollups.add(connection, team_id, books, _DIFFERENCE if counts["replaced"] else _ADDED)
    await events.mark_changed(connection, team_id)
    kinds = {row[3] for row in rows}
    brought = {feed for kind, those in FEEDS_OF_KIND.items() if kind.value in kinds for feed in those}
    await connect_feeds(connection, team_id, brought if feeds is None else brought & set(feeds))
    return int(counts["accepted"]), conflicts


async def connect_feeds(connection: Connection, team_id: UUID, feeds: Collection[Feed]) -> None:
    """Note that feeds bring the team's activities: their metrics are available from now on."""
    names = sorted(feed.value for feed in feeds)
    await connection.execute(_ADD_FEEDS, team_id, [new_id() for _ in names], names)
