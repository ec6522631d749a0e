"""A rep's film: activities as a viewer may see them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from domain.access import Sight
from domain.models.activities import Activity, ActivityKind
from domain.paging import Page, PageRequest, decode_cursor, encode_cursor, page_of

if TYPE_CHECKING:
    from domain.database import Connection


@dataclass(frozen=True, slots=True)
class ActivityFilter:
    """Which activities.

    Args:
        user_id: Of this user.
        group_id: Of members of this group and of all groups below it.
        kinds: Of these kinds.
        since: From this instant on.
        until: Before this instant.
    """

    user_id: UUID | None = None
    group_id: UUID | None = None
    kinds: tuple[ActivityKind, ...] | None = None
    since: datetime | None = None
    until: datetime | None = None


def _condition(sight: Sight, wanted: ActivityFilter, arguments: list[object]) -> str:
    condition = sight.filter("a.user_id", arguments, team_column="a.team_id")
    if wanted.user_id is not None:
        arguments.append(wanted.user_id)
        condition += f" AND a.user_id = ${len(arguments)}"
    if wanted.group_id is not None:
        arguments += [wanted.group_id, sight.team_id]
        n = len(arguments)
        condition += f""" AND a.user_id IN (
            WITH RECURSIVE below AS (
                SELECT ${n - 1}::uuid AS id
                UNION SELECT g.id FROM groups g JOIN below b ON g.team_id = ${n} AND g.parent_id = b.id
            ) SELECT u.id FROM users u JOIN below ON u.group_id = below.id WHERE u.team_id = ${n})"""
    if wanted.kinds is not None:
        arguments.append([kind.value for kind in wanted.kinds])
        condition += f" AND a.kind = ANY (${len(arguments)}::text[])"
    if wanted.since is not None:
        arguments.append(wanted.since)
        condition += f" AND a.occurred_at >= ${len(arguments)}"
    if wanted.until is not None:
        arguments.append(wanted.until)
        condition += f" AND a.occurred_at < ${len(arguments)}"
    return condition


async def list_activities(
    connection: Connection, sight: Sight, wanted: ActivityFilter, request: PageRequest
) -> Page[Activity]:
    """A page of activities, the newest first. Served by activities_user_idx or activities_team_idx."""
    arguments: list[object] = []
    condition = _condition(sight, wanted, arguments)
    if request.cursor is not None:
        occurred_at, activity_id = decode_cursor("activities", request.cursor, (datetime, UUID))
        arguments += [occurred_at, activity_id]
        n = len(arguments)
        sign, bound = (">", ">=") if request.backward else ("<", "<=")
        # The first condition lets the planner leave out partitions; the pair decides.
        condition += (
            f" AND a.occurred_at {bound} ${n - 1}::timestamptz"
            f" AND (a.occurred_at, a.id) {sign} (${n - 1}::timestamptz, ${n}::uuid)"
        )
    direction = "ASC" if request.backward else "DESC"
    arguments.append(request.limit + 1)
    rows = await connection.fetch(
        f"SELECT a.* FROM activities a WHERE {condition} "
        f"ORDER BY a.occurred_at {direction}, a.id {direction} LIMIT ${len(arguments)}",
        *arguments,
    )
    found = [Activity._init_from_db(**dict(row)) for row in rows]
    return page_of(
        request, found, [encode_cursor("activities", row.occurred_at.isoformat(), str(row.id)) for row in found]
    )


async def count_activities(connection: Connection, sight: Sight, wanted: ActivityFilter) -> int:
    """How many activities there are."""
    arguments: list[object] = []
    condition = _condition(sight, wanted, arguments)
    return int(await connection.fetchval(f"SELECT count(*) FROM activities a WHERE {condition}", *arguments))


async def activities_by_id(connection: Connection, sight: Sight, ids: Sequence[UUID]) -> list[Activity | None]:
    """Activities by their ids, None for each that is not in sight. Served by activity_keys_id_key."""
    arguments: list[object] = [list(ids)]
    condition = sight.filter("a.user_id", arguments, team_column="a.team_id")
    rows = await connection.fetch(
        f"""
        SELECT a.* FROM activity_keys k JOIN activities a ON a.id = k.id AND a.occurred_at = k.occurred_at
        WHERE k.id = ANY ($1::uuid[]) AND {condition}
        """,
        *arguments,
    )
    found = {row["id"]: Activity._init_from_db(**dict(row)) for row in rows}
    return [found.get(activity_id) for activity_id in ids]
