"""A team with many millions of activities, made by SQL: the same reps and years at every size, only more a day.

Rows are those that an import leaves behind (activities, their keys, the rollups), in the order of time, as systems
write their exports. They are inserted without the indexes, which are made again afterwards as the migrations made them.
The rollups come from the domain's own statement, a month at a time, and are checked for some reps against a recount.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import msgspec

from bench.people import Staff, make_staff, set_goals
from cli.embedded.postgres import EmbeddedPostgres
from domain import database, rollups
from domain.books import Books
from domain.metrics import BASE_SUM_NAMES

YEARS = 5
LOT = 1_000_000
"""The most rows of one statement."""
CHECKED_REPS = 3
BUILT = "built.json"
SETTINGS = {"synchronous_commit": "off", "maintenance_work_mem": "1GB", "work_mem": "256MB", "jit": "off"}

_KINDS = """
    CASE WHEN r1 < 0.45 THEN 'email' WHEN r1 < 0.73 THEN 'call' WHEN r1 < 0.81 THEN 'meeting'
        WHEN r1 < 0.86 THEN 'conversation' WHEN r1 < 0.94 THEN 'cadence_step' WHEN r1 < 0.97 THEN 'task'
        ELSE 'opportunity' END
"""
_INSERT = f"""
WITH made AS (
    INSERT INTO activities (id, team_id, user_id, kind, occurred_at, source, external_id, name, body_stored, bounced,
        open_count, replied_at, cadence, step, duration_seconds, connected, disposition, starts_at, ends_at, status,
        rescheduled_count, talk_ratio, longest_monologue_seconds, questions_asked, patience_seconds, stage, amount,
        currency, team_amount, created_on, pipeline_on, closed_on, won, completed_at)
    SELECT uuidv7(at - now()), $1, ($2::uuid[])[1 + floor(r2 * cardinality($2::uuid[]))::int], kind, at, 'bench',
        'x' || n,
        CASE kind WHEN 'email' THEN 'Quick question' WHEN 'meeting' THEN 'Introduction'
            WHEN 'opportunity' THEN 'Deal ' || n END,
        CASE WHEN kind = 'email' THEN false END,
        CASE WHEN kind = 'email' THEN r3 < 0.03 END,
        CASE WHEN kind = 'email' THEN floor(r4 * 3)::int END,
        CASE WHEN kind = 'email' AND r3 > 0.9 THEN at + interval '3 hours' END,
        CASE WHEN kind = 'cadence_step' THEN 'New business' END,
        CASE WHEN kind = 'cadence_step' THEN 2 END,
        CASE WHEN kind IN ('call', 'conversation') THEN 30 + floor(r4 * 900)::int END,
        CASE WHEN kind = 'call' THEN r3 < 0.3 END,
        CASE WHEN kind = 'call' AND r3 < 0.3 THEN 'Connected' END,
        CASE WHEN kind = 'meeting' THEN at + interval '2 days' END,
        CASE WHEN kind = 'meeting' THEN at + interval '2 days 30 minutes' END,
        CASE kind WHEN 'meeting' THEN CASE WHEN r3 < 0.7 THEN 'held' WHEN r3 < 0.85 THEN 'no_show' ELSE 'booked' END
            WHEN 'cadence_step' THEN CASE WHEN r3 < 0.7 THEN 'completed' ELSE 'added' END END,
        CASE WHEN kind = 'meeting' THEN (r4 < 0.1)::int END,
        CASE WHEN kind = 'conversation' THEN round((0.3 + r3 * 0.4)::numeric, 2) END,
        CASE WHEN kind = 'conversation' THEN 20 + floor(r3 * 100)::int END,
        CASE WHEN kind = 'conversation' THEN floor(r2 * 20)::int END,
        CASE WHEN kind = 'conversation' THEN 0.8 END,
        CASE WHEN kind = 'opportunity' THEN CASE WHEN r3 < 0.3 THEN 'Won' WHEN r3 < 0.6 THEN 'Lost' ELSE 'Open' END END,
        amount,
        CASE WHEN kind = 'opportunity' THEN 'USD' END,
        amount,
        CASE WHEN kind = 'opportunity' THEN at::date - 30 END,
        CASE WHEN kind = 'opportunity' THEN at::date - 20 END,
        CASE WHEN kind = 'opportunity' AND r3 < 0.6 THEN at::date END,
        CASE WHEN kind = 'opportunity' AND r3 < 0.6 THEN r3 < 0.3 END,
        CASE WHEN kind = 'task' THEN at END
    FROM (
        SELECT n, r2, r3, r4, kind,
            CASE WHEN kind = 'opportunity' THEN round((r4 * 20000)::numeric, 2) END AS amount,
            ($5::date[])[1 + floor(place)::int] + interval '13 hours'
                + (place - floor(place)) * interval '9 hours' AS at
        FROM (
            SELECT n, r2, r3, r4, {_KINDS} AS kind, (n - $3 + 0.5) / ($4 - $3) * cardinality($5::date[]) AS place
            FROM (
                SELECT n, random() AS r1, random() AS r2, random() AS r3, random() AS r4
                FROM generate_series($3::bigint, $4::bigint - 1) g (n) OFFSET 0
            ) drawn
        ) placed
    ) dated
    RETURNING id, external_id, occurred_at
)
INSERT INTO activity_keys (id, team_id, source, external_id, occurred_at, version, content_hash)
SELECT id, $1, 'bench', external_id, occurred_at, 1, hashtextextended(external_id, 0) FROM made
"""


@dataclass(frozen=True, slots=True)
class Built:
    """What was built, as kept beside the data.

    Args:
        activities: How many.
        first: The first day.
        last: The last day.
        staff: Whose.
    """

    activities: int
    first: date
    last: date
    staff: Staff


def built_in(folder: Path) -> Built:
    """What a folder holds."""
    return msgspec.json.decode((folder / BUILT).read_bytes(), type=Built)


def _months(first: date, last: date) -> Iterator[list[date]]:
    """The weekdays of each month."""
    days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    months: dict[date, list[date]] = {}
    for day in days:
        if day.isoweekday() < 6:
            months.setdefault(day.replace(day=1), []).append(day)
    yield from months.values()


def _lots(count: int, months: list[list[date]]) -> Iterator[tuple[int, int, list[date]]]:
    """Numbers of rows, from and to, with the days that they lie on: equally many a weekday."""
    days = [(number, day) for month in months for number, day in [(len(month), month)]]
    total, before, begun = sum(number for number, _ in days), 0, 0
    for number, month in days:
        before += number
        end = count * before // total
        pieces = max(1, -(-(end - begun) // LOT))
        for piece in range(pieces):
            part = month[len(month) * piece // pieces : len(month) * (piece + 1) // pieces]
            until = begun + (end - begun) // (pieces - piece)
            if until > begun:
                yield begun, until, part
            begun = until


async def _without_indexes(connection: Any) -> list[str]:
    """Take the indexes of activities and their keys away. Returns the statements that make them again."""
    again = []
    for row in await connection.fetch(
        """
        SELECT c.conname, c.conrelid::regclass::text AS relation, pg_get_constraintdef(c.oid) AS definition
        FROM pg_constraint c WHERE c.contype IN ('p', 'u') AND c.conrelid IN ('activities'::regclass,
            'activity_keys'::regclass)
        """
    ):
        again.append(f"ALTER TABLE {row['relation']} ADD CONSTRAINT {row['conname']} {row['definition']}")
        await connection.execute(f"ALTER TABLE {row['relation']} DROP CONSTRAINT {row['conname']}")
    for row in await connection.fetch(
        "SELECT indexname, indexdef FROM pg_indexes WHERE tablename IN ('activities', 'activity_keys')"
    ):
        again.append(row["indexdef"].replace(" ON ONLY ", " ON "))
        await connection.execute(f"DROP INDEX {row['indexname']}")
    return again


async def _count(connection: Any, staff: Staff, months: list[list[date]]) -> None:
    """The rollups, by the statements of an import. Served by activities_team_idx."""
    books = Books("UTC")
    for month in months:
        end = (month[0].replace(day=28) + timedelta(days=4)).replace(day=1)
        delta = f"""(
            SELECT 1 AS sign, {rollups.ACTIVITY_COLUMNS_OF_SUMS} FROM activities
            WHERE team_id = '{staff.team_id}' AND occurred_at >= '{month[0].replace(day=1)} 00:00+00'
                AND occurred_at < '{end} 00:00+00'
        )"""
        async with connection.transaction():
            await rollups.add(connection, staff.team_id, books, delta)


async def _check(connection: Any, staff: Staff) -> None:
    """For some reps: the days are what their activities add, the months what their days add."""
    names = ", ".join(BASE_SUM_NAMES)
    sums = ", ".join(f"sum({name}) AS {name}" for name in BASE_SUM_NAMES)
    for user_id in staff.reps[:: max(1, len(staff.reps) // CHECKED_REPS)][:CHECKED_REPS]:
        # Served by activities_user_idx.
        own = f"""(SELECT 1 AS sign, {rollups.ACTIVITY_COLUMNS_OF_SUMS} FROM activities
            WHERE team_id = '{staff.team_id}' AND user_id = '{user_id}')"""
        counted = f"SELECT day, {names} FROM ({rollups.day_sums_sql(own, '$1')}) d"
        kept = f"SELECT day, {names} FROM rollup_days WHERE team_id = '{staff.team_id}' AND user_id = '{user_id}'"
        months = kept.replace("day,", "month AS day,").replace("rollup_days", "rollup_months")
        summed = f"SELECT date_trunc('month', day)::date AS day, {sums} FROM ({kept}) k GROUP BY 1"
        for mine, other, arguments in ((counted, kept, ["UTC"]), (summed, months, [])):
            both = f"({mine} EXCEPT {other}) UNION ALL ({other} EXCEPT {mine})"
            wrong = await connection.fetchval(f"SELECT count(*) FROM ({both}) w", *arguments)
            assert not wrong, f"{wrong} rows of rollups differ from a recount"
            assert await connection.fetchval(f"SELECT count(*) FROM ({other}) k"), "a rep without rollups"


def _quiet(_text: str) -> None:
    """Says nothing."""


async def populate(url: str, activities: int, *, say: Callable[[str], None] = _quiet) -> Built:
    """Fill a migrated database with a team that has so many activities.

    Args:
        url: Its address, as the owner of the server.
        activities: How many, over `YEARS` up to yesterday.
        say: Told of each step.
    """
    today = datetime.now(UTC).date()
    first, last = date(today.year - YEARS + 1, 1, 1), today - timedelta(days=1)
    months = list(_months(first, last))
    await database.connect(url, pool_size=4)
    connection = await asyncpg.connect(url, server_settings=SETTINGS)
    try:
        staff = await make_staff("Growth")
        # Foreign keys are not looked at: every row names the team and one of its reps.
        await connection.execute("SET session_replication_role = replica")
        again = await _without_indexes(connection)
        for begun, until, days in _lots(activities, months):
            await connection.execute(_INSERT, staff.team_id, staff.reps, begun, until, days)
        say("the rows are there")
        for statement in again:
            await connection.execute(statement)
        say("the indexes are there")
        await connection.execute("VACUUM (ANALYZE, FREEZE) activities, activity_keys")
        await _count(connection, staff, months)
        await connection.execute("SET session_replication_role = origin")
        say("the rollups are there")
        await _check(connection, staff)
        await set_goals(staff, first)
        await connection.execute("VACUUM ANALYZE")
    finally:
        await connection.close()
        await database.disconnect()
    return Built(activities, first, last, staff)


async def build(folder: Path, activities: int) -> None:
    """Make a cluster in a folder with such a team, to be measured later."""
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"{activities:,} activities: {text} after {time.monotonic() - began:.0f} s", flush=True)

    postgres = EmbeddedPostgres(folder, durable=False)
    url = postgres.start()
    try:
        await database.migrate(url)
        built = await populate(url, activities, say=say)
        connection = await asyncpg.connect(url)
        try:
            size = await connection.fetchval("SELECT pg_database_size(current_database())")
        finally:
            await connection.close()
    finally:
        postgres.stop()
    (folder / BUILT).write_bytes(msgspec.json.encode(built))
    say(f"{size / activities:.0f} bytes an activity, {size / 1e9:.1f} GB, all done")
