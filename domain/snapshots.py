"""Snapshots of reports: the dashboard as its reader saw it at a moment, as a table and a picture, kept for a time.

A snapshot holds numbers of the people who were in its reader's sight. It may be downloaded by who may see its reader
and everybody whose numbers are in it, at the moment of the download (domain/access_actions.py).
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from domain import access
from domain.access import Viewer
from domain.access_actions import SnapshotSight
from domain.dashboards import Audience, TrendStep, listed_people, trends, user_numbers
from domain.errors import NotFound
from domain.identity import calendar_of
from domain.metrics import METRICS, NO_SUMS, Number, Sums, available_metrics, compute
from domain.models.actions import ReportSnapshot
from domain.models.base import new_id
from domain.paging import Page, PageRequest, decode_cursor, encode_cursor, page_of
from domain.people import connected_feeds
from domain.periods import Comparison, Days, NamedRange, TrendInterval, compared_with, named_range
from domain.pruning import prune_by_age

if TYPE_CHECKING:
    from domain.database import Connection

PRUNE_LOT = 500
SNAPSHOTS_LIMIT = 500
"""Snapshots that are kept of one reader; with one more, the oldest goes."""
_FIELDS = (
    "s.id, s.team_id, s.user_id, s.action_id, s.title, s.from_day, s.to_day, s.whole_team, s.subjects, s.created_at, "
    "s.expires_at, '\\x'::bytea AS table_csv, '\\x'::bytea AS picture_png"
)


@dataclass(frozen=True, slots=True)
class Report:
    """The numbers of a snapshot.

    Args:
        title: What it shows.
        days: The range.
        currency: The team's.
        keys: The metrics, those that something feeds.
        totals: Of all people in it, by metric: the value, and the one of the range before.
        people: Each person's name and values, in the order of `keys`.
        trend: The total's steps.
        whole_team: Whether everybody was in the reader's sight.
        subjects: Whose numbers are in it.
    """

    title: str
    days: Days
    currency: str
    keys: tuple[str, ...]
    totals: tuple[tuple[Number | None, Number | None], ...]
    people: tuple[tuple[str, tuple[Number | None, ...]], ...]
    trend: tuple[TrendStep, ...]
    whole_team: bool
    subjects: tuple[UUID, ...]


async def read_report(
    connection: Connection,
    reader: Viewer,
    title: str,
    range_name: NamedRange,
    now: datetime,
    *,
    group_id: UUID | None = None,
    metrics: tuple[str, ...] | None = None,
) -> Report:
    """The dashboard as its reader may see it now, in a fixed number of statements.

    Raises:
        Forbidden: the reader may not filter by group.
        NotFound: the group is not in sight.
    """
    calendar = calendar_of(reader)
    days = named_range(range_name, calendar, calendar.today(now))
    previous = compared_with(days, Comparison.PREVIOUS_PERIOD, calendar)
    users, groups = await access.see_users(connection, reader), await access.see_groups(connection, reader)
    if group_id is not None:
        access.require_group(reader, groups, group_id)
    audience = Audience(users, groups, group_id)
    numbers = await user_numbers(connection, audience, days, previous)
    shown = sorted({*await listed_people(connection, audience), *numbers})
    rows = await connection.fetch(
        "SELECT id, name FROM users WHERE team_id = $1 AND id = ANY ($2::uuid[]) ORDER BY name, id",
        reader.team_id,
        shown,
    )
    available = available_metrics(await connected_feeds(connection, reader.team_id))
    keys = tuple(key for key in metrics or tuple(METRICS) if key in available)
    steps = await trends(connection, audience, days, _interval(days), calendar, by="total")

    def sums_of(user_id: UUID) -> Sums:
        pair = numbers.get(user_id)
        return NO_SUMS if pair is None else pair.current

    current = _added([pair.current for pair in numbers.values()])
    before = _added([pair.previous for pair in numbers.values() if pair.previous is not None])
    return Report(
        title,
        days,
        reader.currency,
        keys,
        tuple((compute(key, current), compute(key, before) if previous is not None else None) for key in keys),
        tuple((row["name"], tuple(compute(key, sums_of(row["id"])) for key in keys)) for row in rows),
        tuple(steps.get(None, ())),
        users.everything,
        () if users.everything else tuple(row["id"] for row in rows),
    )


def _interval(days: Days) -> TrendInterval:
    if days.count <= 31:
        return TrendInterval.DAY
    return TrendInterval.WEEK if days.count <= 120 else TrendInterval.MONTH


def _added(rows: list[Sums]) -> Sums:
    return tuple(map(sum, zip(*rows, strict=True))) if rows else NO_SUMS


def csv_of(report: Report) -> bytes:
    """The table of a report: a row for the total, and one for each person; UTF-8, as RFC 4180 has it.

    Spreadsheets take a text that begins with one of = + - @ for a formula: such names are led by an apostrophe.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(["name", "from", "to", *report.keys])
    span = [report.days.first.isoformat(), report.days.last.isoformat()]
    writer.writerow(["Total", *span, *(_cell(value) for value, _previous in report.totals)])
    for name, values in report.people:
        writer.writerow([_safe(name), *span, *(_cell(value) for value in values)])
    return out.getvalue().encode()


def _cell(value: Number | None) -> str:
    return "" if value is None else format(value, "f") if not isinstance(value, int) else str(value)


def _safe(text: str) -> str:
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


async def keep_snapshot(
    connection: Connection,
    team_id: UUID,
    user_id: UUID,
    action_id: UUID | None,
    report: Report,
    picture: bytes,
    keep_days: int,
    now: datetime,
) -> UUID:
    """Keep a snapshot, in the caller's transaction. Returns its id. Of very many of one reader the oldest go."""
    row_id = new_id()
    await connection.execute(
        """
        INSERT INTO report_snapshots (id, team_id, user_id, action_id, title, from_day, to_day, whole_team, subjects,
            table_csv, picture_png, expires_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9::uuid[], $10, $11, $12)
        """,
        row_id,
        team_id,
        user_id,
        action_id,
        report.title,
        report.days.first,
        report.days.last,
        report.whole_team,
        list(report.subjects),
        csv_of(report),
        picture,
        now + timedelta(days=keep_days),
    )
    # Served by report_snapshots_user_idx.
    await connection.execute(
        "DELETE FROM report_snapshots WHERE team_id = $1 AND user_id = $2 AND id <= (SELECT id FROM report_snapshots "
        "WHERE team_id = $1 AND user_id = $2 ORDER BY id DESC OFFSET $3 LIMIT 1)",
        team_id,
        user_id,
        SNAPSHOTS_LIMIT,
    )
    return row_id


async def list_snapshots(
    connection: Connection, sight: SnapshotSight, request: PageRequest, *, action_id: UUID | None = None
) -> Page[ReportSnapshot]:
    """The snapshots in sight, the newest first, without their files. Served by report_snapshots_user_idx."""
    arguments: list[object] = []
    condition = sight.filter("s", arguments) + " AND s.expires_at > now()"
    if action_id is not None:
        arguments.append(action_id)
        condition += f" AND s.action_id = ${len(arguments)}"
    if request.cursor is not None:
        arguments += decode_cursor("snapshots", request.cursor, (UUID,))
        condition += f" AND s.id < ${len(arguments)}"
    arguments.append(request.limit + 1)
    rows = await connection.fetch(
        f"SELECT {_FIELDS} FROM report_snapshots s WHERE {condition} ORDER BY s.id DESC LIMIT ${len(arguments)}",
        *arguments,
    )
    found = [_snapshot(row) for row in rows]
    return page_of(request, found, [encode_cursor("snapshots", str(one.id)) for one in found])


async def count_snapshots(connection: Connection, sight: SnapshotSight, *, action_id: UUID | None = None) -> int:
    """How many snapshots are in sight."""
    arguments: list[object] = []
    condition = sight.filter("s", arguments) + " AND s.expires_at > now()"
    if action_id is not None:
        arguments.append(action_id)
        condition += f" AND s.action_id = ${len(arguments)}"
    return int(await connection.fetchval(f"SELECT count(*) FROM report_snapshots s WHERE {condition}", *arguments))


async def snapshots_by_id(connection: Connection, sight: SnapshotSight, ids: list[UUID]) -> dict[UUID, ReportSnapshot]:
    """Those of some snapshots that are in sight, without their files."""
    arguments: list[object] = [ids]
    condition = sight.filter("s", arguments)
    rows = await connection.fetch(
        f"SELECT {_FIELDS} FROM report_snapshots s WHERE s.id = ANY ($1::uuid[]) AND s.expires_at > now() "
        f"AND {condition}",
        *arguments,
    )
    return {row["id"]: _snapshot(row) for row in rows}


def _snapshot(row: Any) -> ReportSnapshot:
    return ReportSnapshot._init_from_db(**dict(row))


@dataclass(frozen=True, slots=True)
class SnapshotFile:
    """A file of a snapshot, as it is downloaded."""

    name: str
    media_type: str
    content: bytes


_FILES = {"csv": ("table_csv", "text/csv; charset=utf-8"), "png": ("picture_png", "image/png")}
FILE_KINDS = tuple(_FILES)


async def read_file(connection: Connection, sight: SnapshotSight, snapshot_id: UUID, kind: str) -> SnapshotFile:
    """A file of a snapshot in sight.

    Raises:
        NotFound: there is no such snapshot (any more), or none that the viewer may download.
    """
    arguments: list[object] = [snapshot_id]
    condition = sight.filter("s", arguments)
    if kind not in _FILES:
        raise NotFound("No such snapshot.", path=("snapshot",))
    column, media_type = _FILES[kind]
    row = await connection.fetchrow(
        f"SELECT s.from_day, s.to_day, s.{column} AS content FROM report_snapshots s "
        f"WHERE s.id = $1 AND s.expires_at > now() AND {condition}",
        *arguments,
    )
    if row is None:
        raise NotFound("No such snapshot.", path=("snapshot",))
    return SnapshotFile(file_name(row["from_day"], row["to_day"], kind), media_type, row["content"])


def file_name(first: date, last: date, kind: str) -> str:
    """What a file of a snapshot is called."""
    return f"dashboard-{first.isoformat()}-{last.isoformat()}.{kind}"


async def prune(connection: Connection) -> int:
    """Forget snapshots whose time has passed; one lot. Needs the owner's connection. Returns how many. Served by
    report_snapshots_expires_idx, team by team."""
    return await prune_by_age(connection, "report_snapshots", "expires_at", PRUNE_LOT)
