"""A rep's film: activities as a viewer may see them.

**What serves a filter.** A list walks one of two indexes, newest first: activities_user_idx for a user, and
activities_team_idx for all in sight; a range of time bounds either, and leaves out partitions. Whether there are
comments or scorecards is looked up by the primary key of `films`. What a coach filters by beyond that (cadence,
disposition, duration, a word in the subject and so on) is looked at row by row on the way. So that the way has an end,
such a filter goes with a user, whose activities are some ten thousands, or with a range of `LONGEST_SEARCH`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from domain.access import Sight
from domain.access_film import FilmSight
from domain.errors import Invalid
from domain.models.activities import Activity, ActivityKind
from domain.models.film import Film
from domain.paging import Page, PageRequest, decode_cursor, encode_cursor, page_of
from domain.people import groups_from

if TYPE_CHECKING:
    from domain.database import Connection

LONGEST_SEARCH = timedelta(days=92)
SEARCH_LIMIT = 200
WORDS_LIMIT = 100


@dataclass(frozen=True, slots=True)
class ActivityFilter:
    """Which activities.

    Args:
        user_id: Of this user.
        group_id: Of members of this group and of all groups below it.
        kinds: Of these kinds.
        since: From this instant on.
        until: Before this instant.
        cadences: Of one of these cadences.
        statuses: With one of these statuses, of a meeting or a cadence step.
        dispositions: Calls with one of these outcomes.
        sentiments: Calls with one of these sentiments.
        connected: Calls that reached a person, or that did not.
        min_duration_seconds: Lasting at least so long.
        max_duration_seconds: Lasting at most so long.
        search: With this in subject, title or name, in any case.
        has_comments: Commented, or not.
        has_scorecard: With a submitted scorecard, or without.
        reviewed: Conversations that a manager has reviewed, or has not.
    """

    user_id: UUID | None = None
    group_id: UUID | None = None
    kinds: tuple[ActivityKind, ...] | None = None
    since: datetime | None = None
    until: datetime | None = None
    cadences: tuple[str, ...] | None = None
    statuses: tuple[str, ...] | None = None
    dispositions: tuple[str, ...] | None = None
    sentiments: tuple[str, ...] | None = None
    connected: bool | None = None
    min_duration_seconds: int | None = None
    max_duration_seconds: int | None = None
    search: str | None = None
    has_comments: bool | None = None
    has_scorecard: bool | None = None
    reviewed: bool | None = None

    @property
    def looks_closely(self) -> bool:
        """Whether it asks what no index knows."""
        words = (self.cadences, self.statuses, self.dispositions, self.sentiments, self.search)
        numbers = (self.connected, self.min_duration_seconds, self.max_duration_seconds)
        marks = (self.has_comments, self.has_scorecard, self.reviewed)
        return any(one is not None for one in (*words, *numbers, *marks))


def check_filter(wanted: ActivityFilter, now: datetime) -> None:
    """Refuse a filter whose list might have no end.

    Raises:
        Invalid: naming the mend.
    """
    for name, words in (
        ("cadences", wanted.cadences),
        ("statuses", wanted.statuses),
        ("dispositions", wanted.dispositions),
        ("sentiments", wanted.sentiments),
    ):
        if words is not None and (len(words) > WORDS_LIMIT or any("\0" in word for word in words)):
            raise Invalid(f"{name}: name at most {WORDS_LIMIT}, without NUL.", path=("filter", name))
    if wanted.search is not None and (len(wanted.search) > SEARCH_LIMIT or "\0" in wanted.search):
        raise Invalid(f"search: at most {SEARCH_LIMIT} characters, without NUL.", path=("filter", "search"))
    if wanted.looks_closely and wanted.user_id is None:
        until = wanted.until or now
        if wanted.since is None or until - wanted.since > LONGEST_SEARCH:
            days = LONGEST_SEARCH.days
            raise Invalid(
                f"filter: by more than kind and time, choose a user, or from and to at most {days} days apart.",
                path=("filter", "from"),
            )


def condition_of(sight: Sight, wanted: ActivityFilter, arguments: list[object]) -> str:
    """A condition on activities `a`: in sight, and wanted. Its parameters are appended to `arguments`."""
    condition = sight.filter("a.user_id", arguments, team_column="a.team_id")
    if wanted.user_id is not None:
        arguments.append(wanted.user_id)
        condition += f" AND a.user_id = ${len(arguments)}"
    if wanted.group_id is not None:
        groups = groups_from(sight.team_id, wanted.group_id, arguments)
        members = f"SELECT u.id FROM users u WHERE u.team_id = ${len(arguments)} AND u.group_id IN ({groups})"
        condition += f" AND a.user_id IN ({members})"
    if wanted.kinds is not None:
        arguments.append([kind.value for kind in wanted.kinds])
        condition += f" AND a.kind = ANY (${len(arguments)}::text[])"
    if wanted.since is not None:
        arguments.append(wanted.since)
        condition += f" AND a.occurred_at >= ${len(arguments)}"
    if wanted.until is not None:
        arguments.append(wanted.until)
        condition += f" AND a.occurred_at < ${len(arguments)}"
    return condition + _details(wanted, arguments)


_LASTS = """CASE a.kind WHEN 'meeting' THEN extract(epoch FROM a.ends_at - a.starts_at)
    ELSE a.duration_seconds END"""


def _details(wanted: ActivityFilter, arguments: list[object]) -> str:
    """What is looked at row by row."""
    condition = ""
    for column, words in (
        ("cadence", wanted.cadences),
        ("status", wanted.statuses),
        ("disposition", wanted.dispositions),
        ("sentiment", wanted.sentiments),
    ):
        if words is not None:
            arguments.append(list(words))
            condition += f" AND a.{column} = ANY (${len(arguments)}::text[])"
    if wanted.connected is not None:
        condition += f" AND a.connected IS {'TRUE' if wanted.connected else 'FALSE'}"
    for sign, seconds in ((">=", wanted.min_duration_seconds), ("<=", wanted.max_duration_seconds)):
        if seconds is not None:
            arguments.append(seconds)
            condition += f" AND {_LASTS} {sign} ${len(arguments)}::int"
    if wanted.search is not None:
        arguments.append(wanted.search)
        condition += f" AND position(lower(${len(arguments)}) IN lower(a.name)) > 0"
    for column, asked in (("comment_count", wanted.has_comments), ("scorecard_count", wanted.has_scorecard)):
        if asked is not None:
            condition += f""" AND {"" if asked else "NOT "}EXISTS (
                SELECT 1 FROM films f WHERE f.team_id = a.team_id AND f.id = a.id AND f.{column} > 0)"""
    if wanted.reviewed is not None:
        condition += f" AND a.kind = 'conversation' AND a.reviewed IS {'' if wanted.reviewed else 'NOT '}TRUE"
    return condition


async def list_activities(
    connection: Connection, sight: Sight, wanted: ActivityFilter, request: PageRequest
) -> Page[Activity]:
    """A page of activities, the newest first. Served by activities_user_idx or activities_team_idx."""
    arguments: list[object] = []
    condition = condition_of(sight, wanted, arguments)
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
    condition = condition_of(sight, wanted, arguments)
    return int(await connection.fetchval(f"SELECT count(*) FROM activities a WHERE {condition}", *arguments))


async def activities_by_id(connection: Connection, sight: Sight, ids: Sequence[UUID]) -> list[Activity | None]:
    """Activities by their ids, None for each that is not in sight. Served by activity_keys_id_key."""
    arguments: list[object] = [list(ids)]
    condition = sight.filter("a.user_id", arguments, team_column="a.team_id")
    return await _by_id(connection, condition, arguments, ids)


async def film_by_id(connection: Connection, sight: FilmSight, ids: Sequence[UUID]) -> list[Activity | None]:
    """The same with those on which the viewer is asked for feedback."""
    arguments: list[object] = [list(ids)]
    return await _by_id(connection, sight.filter("a", arguments, activity="id"), arguments, ids)


async def _by_id(
    connection: Connection, condition: str, arguments: Sequence[object], ids: Sequence[UUID]
) -> list[Activity | None]:
    rows = await connection.fetch(
        f"""
        SELECT a.* FROM activity_keys k JOIN activities a ON a.id = k.id AND a.occurred_at = k.occurred_at
        WHERE k.id = ANY ($1::uuid[]) AND {condition}
        """,
        *arguments,
    )
    found = {row["id"]: Activity._init_from_db(**dict(row)) for row in rows}
    return [found.get(activity_id) for activity_id in ids]


async def films_of(connection: Connection, team_id: UUID, ids: Sequence[UUID]) -> dict[UUID, Film]:
    """What was said of activities in sight, in numbers. Served by the primary key of films."""
    rows = await connection.fetch(
        "SELECT * FROM films WHERE team_id = $1 AND id = ANY ($2::uuid[])", team_id, list(ids)
    )
    return {row["id"]: Film._init_from_db(**dict(row)) for row in rows}


async def recorded_by(connection: Connection, team_id: UUID, conversations: Sequence[Activity]) -> dict[UUID, UUID]:
    """The call or meeting that each of some conversations records, as its source says, if the same rep's; ids by ids.

    Served by activity_keys_key.
    """
    named = [one for one in conversations if one.recorded_external_id is not None]
    rows = await connection.fetch(
        """
        SELECT w.id AS conversation, a.id FROM unnest($2::uuid[], $3::uuid[], $4::text[], $5::text[])
            w (id, user_id, source, external_id)
        JOIN activity_keys k ON k.team_id = $1 AND k.source = w.source AND k.external_id = w.external_id
        JOIN activities a ON a.id = k.id AND a.occurred_at = k.occurred_at
            AND a.user_id = w.user_id AND a.kind IN ('call', 'meeting')
        """,
        team_id,
        [one.id for one in named],
        [one.user_id for one in named],
        [one.recorded_source or one.source for one in named],
        [one.recorded_external_id for one in named],
    )
    return {row["conversation"]: row["id"] for row in rows}


async def recordings_of(
    connection: Connection, team_id: UUID, recorded: Sequence[Activity]
) -> dict[UUID, list[Activity]]:
    """The recordings of calls and meetings in sight, of the same rep. Served by activities_recorded_idx."""
    rows = await connection.fetch(
        """
        SELECT w.id AS recorded, a.* FROM unnest($2::uuid[], $3::uuid[], $4::text[], $5::text[])
            w (id, user_id, source, external_id)
        JOIN activities a ON a.team_id = $1 AND a.recorded_external_id = w.external_id
            AND coalesce(a.recorded_source, a.source) = w.source AND a.user_id = w.user_id
            AND a.kind = 'conversation'
        ORDER BY a.occurred_at, a.id
        """,
        team_id,
        [one.id for one in recorded],
        [one.user_id for one in recorded],
        [one.source for one in recorded],
        [one.external_id for one in recorded],
    )
    found: dict[UUID, list[Activity]] = {one.id: [] for one in recorded}
    for row in rows:
        values = dict(row)
        found[values.pop("recorded")].append(Activity._init_from_db(**values))
    return found
