"""Scores of many reps over many ranges, read in a fixed number of statements.

A rep is scored by the definition of the role that they have now, as a rep who changed groups counts in the group where
they are now: which roles somebody had is not kept.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from fractions import Fraction
from typing import TYPE_CHECKING, Any
from uuid import UUID

from domain.access import Sight
from domain.errors import Invalid
from domain.goal_board import load_board
from domain.metrics import BASE_SUM_NAMES, BASE_SUMS, METRICS, NO_SUMS, Sums, available_metrics, compute
from domain.models.scores import ScoreKind
from domain.paging import Page, PageRequest, decode_cursor, encode_cursor, page_of
from domain.people import UserFilter, connected_feeds, user_condition
from domain.periods import Calendar, Days, add_months
from domain.scoring import Employment, Score, ScoreGap, Weights, Window, mean_score, score, windows_of

if TYPE_CHECKING:
    from domain.database import Connection

LOT = 100
"""After so many people or scores, others get their turn: leases are renewed meanwhile, and requests answered."""
_CURSOR = "scores"
_FRACTION = re.compile(r"-?[0-9]{1,500}(/[1-9][0-9]{0,499})?")
_MONEY = {base.name: base.money for base in BASE_SUMS}


@dataclass(frozen=True, slots=True)
class Asked:
    """Days to score.

    Args:
        days: The days.
        over: The range that decides which of a rep's goals for a metric counts: the days, or what they are a step of.
    """

    days: Days
    over: Days


@dataclass(frozen=True, slots=True)
class ScoredPerson:
    """Somebody who may have scores.

    Args:
        id: The user.
        name: What they are called.
        role_id: The role they have now.
        group_id: The group they are in now.
        listed: Whether they are an active rep.
        employment: When they are with the team.
    """

    id: UUID
    name: str
    role_id: UUID
    group_id: UUID | None
    listed: bool
    employment: Employment


@dataclass(frozen=True, slots=True)
class ScoreBoard:
    """The scores of some people.

    Args:
        people: Who.
        scores: By person, kind and days.
    """

    people: Mapping[UUID, ScoredPerson]
    scores: Mapping[tuple[UUID, ScoreKind, Asked], Score]

    def score(self, user_id: UUID, kind: ScoreKind, asked: Asked) -> Score:
        """One score."""
        found = self.scores.get((user_id, kind, asked))
        return found or Score(kind, asked.days, None, None, 0, (), ScoreGap.NO_DEFINITION)

    def scores_of(self, user_id: UUID, asked: Asked) -> dict[ScoreKind, Score]:
        """A person's scores over some days, of each kind that was asked for and that their role has."""
        return {kind: self.scores[user_id, kind, asked] for kind in ScoreKind if (user_id, kind, asked) in self.scores}


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which people: those in sight, and of them only some.

    Args:
        sight: Who may be among them.
        role_id: Only who has this role now.
        group_id: Only members of this group and of all groups below it.
        search: Only who has this in their name or email, in any case.
    """

    sight: Sight
    role_id: UUID | None = None
    group_id: UUID | None = None
    search: str | None = None


async def _read_people(connection: Connection, chosen: Chosen) -> dict[UUID, ScoredPerson]:
    """Served by users (team_id, …) and groups (team_id, parent_id)."""
    arguments: list[object] = []
    wanted = UserFilter(search=chosen.search, group_id=chosen.group_id)
    condition = user_condition(chosen.sight, wanted, arguments)
    if chosen.role_id is not None:
        arguments.append(chosen.role_id)
        condition += f" AND u.role_id = ${len(arguments)}"
    rows = await connection.fetch(
        f"""
        SELECT u.id, u.name, u.role_id, u.group_id, u.active AND u.is_rep AS listed, u.started_on, u.ended_on
        FROM users u WHERE {condition}
        """,
        *arguments,
    )
    return {
        row["id"]: ScoredPerson(
            row["id"],
            row["name"],
            row["role_id"],
            row["group_id"],
            row["listed"],
            Employment(row["started_on"], row["ended_on"]),
        )
        for row in rows
    }


async def _read_versions(
    connection: Connection, team_id: UUID, kinds: Sequence[ScoreKind], days: Days
) -> dict[tuple[UUID, ScoreKind], list[Weights]]:
    """The versions that hold on some day of a range. Served by the keys of both tables."""
    rows = await connection.fetch(
        """
        SELECT d.role_id, d.kind, v.version, v.metrics, v.weights, v.cap, v.effective_from, v.effective_to
        FROM score_definitions d JOIN score_versions v ON v.team_id = d.team_id AND v.definition_id = d.id
        WHERE d.team_id = $1 AND d.kind = ANY ($2::text[]) AND v.effective_from <= $4
            AND (v.effective_to IS NULL OR v.effective_to >= greatest($3, v.effective_from))
        ORDER BY d.id, v.effective_from
        """,
        team_id,
        [kind.value for kind in kinds],
        days.first,
        days.last,
    )
    found: dict[tuple[UUID, ScoreKind], list[Weights]] = {}
    for row in rows:
        weights = {
            metric: Fraction(weight)
            for metric, weight in zip(row["metrics"], row["weights"], strict=True)
            if metric in METRICS
        }
        version = Weights(row["version"], row["effective_from"], row["effective_to"], Fraction(row["cap"]), weights)
        found.setdefault((row["role_id"], ScoreKind(row["kind"])), []).append(version)
    return found


async def load_scores(
    connection: Connection,
    chosen: Chosen,
    calendar: Calendar,
    now: datetime,
    kinds: Sequence[ScoreKind],
    asked: Sequence[Asked],
    *,
    with_pace: bool = True,
) -> ScoreBoard:
    """Score some people over some ranges; the same statements however many of either.

    Args:
        connection: Where to read.
        chosen: Whom; what of the team a viewer may see is the caller's to know.
        calendar: How the team counts periods.
        now: The clock.
        kinds: Which scores.
        asked: The ranges, at least one.
        with_pace: Whether paces are wanted too.
    """
    team_id = chosen.sight.team_id
    everything = [days for one in asked for days in (one.days, one.over)]
    span = Days(min(days.first for days in everything), max(days.last for days in everything))
    people = await _read_people(connection, chosen)
    versions = await _read_versions(connection, team_id, kinds, span)
    roles = {person.role_id for person in people.values()}
    versions = {key: found for key, found in versions.items() if key[0] in roles}
    metrics = sorted({metric for found in versions.values() for one in found for metric in one.weights})
    scored = sorted(
        person.id for person in people.values() if any((person.role_id, kind) in versions for kind in kinds)
    )
    available = available_metrics(await connected_feeds(connection, team_id))
    board = await load_board(connection, team_id, calendar, now, span, metrics=metrics, user_ids=scored)
    measured: dict[tuple[UUID, ScoreKind, Asked], tuple[Window, ...]] = {}
    wanted: set[tuple[UUID, Days]] = set()
    for number, user_id in enumerate(scored):
        if number % LOT == 0:
            await asyncio.sleep(0)
        role_id = people[user_id].role_id
        for kind in kinds:
            held = versions.get((role_id, kind))
            if not held:
                continue
            for one in asked:
                parts = {
                    metric: board.chosen(user_id, metric, one.over) for version in held for metric in version.weights
                }
                windows = measured[user_id, kind, one] = windows_of(held, one.days, parts)
                wanted |= {(user_id, window.held) for window in windows if window.held is not None}
    sums = await read_sums(connection, team_id, wanted, metrics)
    scores = {}
    for number, ((user_id, kind, one), windows) in enumerate(measured.items()):
        if number % LOT == 0:
            await asyncio.sleep(0)
        employment = people[user_id].employment
        person = Employment(employment.started_on, employment.ended_on, board.off.get(user_id, ()))
        actuals = [
            None if window.held is None else compute(window.metric, sums.get((user_id, window.held), NO_SUMS))
            for window in windows
        ]
        scores[user_id, kind, one] = score(
            kind, one.days, windows, actuals, available, board.proration, person, with_pace=with_pace
        )
    return ScoreBoard(people, scores)


def _columns_for(metrics: Iterable[str]) -> list[str]:
    needed = {name for key in metrics for name in (METRICS[key].numerator, *METRICS[key].denominators)}
    return [name for name in BASE_SUM_NAMES if name in needed]


def _pieces(days: Days) -> tuple[date, date, date, date]:
    """The whole months of some days (from the first to the last; the wrong way round where there are none), the last
    day before them, and the first one after them."""
    first = days.first if days.first.day == 1 else add_months(days.first.replace(day=1), 1)
    after = (days.last + timedelta(days=1)).replace(day=1)
    if first >= after:
        return days.last, days.first - timedelta(days=1), days.last, days.last + timedelta(days=1)
    return first, add_months(after, -1), first - timedelta(days=1), after


async def read_sums(
    connection: Connection, team_id: UUID, wanted: Iterable[tuple[UUID, Days]], metrics: Iterable[str]
) -> dict[tuple[UUID, Days], Sums]:
    """The base sums that some metrics are made of, of each person over days of their own; in one statement.

    Whole months come from the month sums, the days at either end from the day sums. Served by the primary keys of
    rollup_months and rollup_days.
    """
    pairs = sorted(wanted, key=lambda pair: (pair[0], pair[1].first, pair[1].last))
    columns = _columns_for(metrics)
    windows = list(dict.fromkeys(days for _user_id, days in pairs))
    place = {days: number for number, days in enumerate(windows, 1)}
    pieces = [_pieces(days) for days in windows]
    listed = ", ".join(f"r.{name}" for name in columns) or "0"
    sums = ", ".join(f"sum(x.{name}){'' if _MONEY[name] else '::bigint'} AS {name}" for name in columns) or "0"

    def slice_of(table: str, column: str, first: str, last: str) -> str:
        return (
            f"SELECT w.user_id, w.number, {listed} FROM spans s JOIN wanted w ON w.number = s.number"
            f" JOIN {table} r ON r.team_id = $1 AND r.user_id = w.user_id AND r.{column} BETWEEN s.{first} AND s.{last}"
        )

    # Dates as text: asyncpg asks the server about an array of dates once a connection.
    rows = await connection.fetch(
        f"""
        WITH wanted AS (SELECT * FROM unnest($2::uuid[], $3::int[]) w (user_id, number)),
        spans AS (
            SELECT * FROM unnest(
                $4::text[]::date[], $5::text[]::date[], $6::text[]::date[], $7::text[]::date[], $8::text[]::date[],
                $9::text[]::date[]
            ) WITH ORDINALITY s (first, last, month_first, month_last, head_last, tail_first, number)
        ),
        slices AS (
            {slice_of("rollup_months", "month", "month_first", "month_last")}
            UNION ALL {slice_of("rollup_days", "day", "first", "head_last")}
            UNION ALL {slice_of("rollup_days", "day", "tail_first", "last")}
        )
        SELECT x.user_id, x.number, {sums} FROM slices x GROUP BY x.user_id, x.number
        """,
        team_id,
        [user_id for user_id, _days in pairs],
        [place[days] for _user_id, days in pairs],
        [days.first.isoformat() for days in windows],
        [days.last.isoformat() for days in windows],
        *([piece[number].isoformat() for piece in pieces] for number in range(4)),
    )
    where = {name: number for number, name in enumerate(BASE_SUM_NAMES)}
    found = {}
    for row in rows:
        values: list[Any] = list(NO_SUMS)
        for name in columns:
            values[where[name]] = row[name]
        found[row["user_id"], windows[row["number"] - 1]] = tuple(values)
    return found


@dataclass(frozen=True, slots=True)
class RankedScore:
    """A rep's place in a list.

    Args:
        user_id: The rep.
        name: What they are called.
        rank: By the score; equal scores share a place; who has none comes last.
        score: The score.
        previous: The score of the range that it is compared with.
    """

    user_id: UUID
    name: str
    rank: int
    score: Score
    previous: Score | None


def rank_scores(board: ScoreBoard, kind: ScoreKind, asked: Asked, previous: Asked | None) -> list[RankedScore]:
    """The active reps, and who else has a score, the highest first."""
    rows = []
    for person in board.people.values():
        found = board.score(person.id, kind, asked)
        if person.listed or found.value is not None:
            before = None if previous is None else board.score(person.id, kind, previous)
            rows.append((person, found, before))
    rows.sort(key=lambda row: (row[1].value is None, -(row[1].value or 0), row[0].name, row[0].id))
    ranked: list[RankedScore] = []
    for place, (person, found, before) in enumerate(rows, 1):
        last = ranked[-1] if ranked else None
        rank = last.rank if last is not None and last.score.value == found.value else place
        ranked.append(RankedScore(person.id, person.name, rank, found, before))
    return ranked


def page_of_scores(ranked: Sequence[RankedScore], request: PageRequest) -> Page[RankedScore]:
    """A page of a ranked list, forwards.

    Raises:
        Invalid: the cursor is none of this list.
    """
    start = 0
    if request.cursor is not None:
        place = _decoded(request.cursor)
        start = sum(1 for one in ranked if _sort_key(one) <= place)
    found = ranked[start : start + request.limit + 1]
    return page_of(request, found, [_encoded(one) for one in found])


def _sort_key(one: RankedScore) -> tuple[bool, Fraction, str, str]:
    value = one.score.value
    return value is None, -(value or Fraction(0)), one.name, str(one.user_id)


def _encoded(one: RankedScore) -> str:
    missing, value, name, user_id = _sort_key(one)
    return encode_cursor(_CURSOR, missing, str(value), name, user_id)


def _decoded(cursor: str) -> tuple[bool, Fraction, str, str]:
    missing, value, name, user_id = decode_cursor(_CURSOR, cursor, (bool, str, str, UUID))
    # Bounded, so that nobody makes a number out of a page of digits.
    if not _FRACTION.fullmatch(value):
        raise Invalid("This cursor is not one of this list; begin without a cursor.", path=("after",))
    return missing, Fraction(value), name, str(user_id)


def group_scores(
    board: ScoreBoard, members: Mapping[UUID, Iterable[UUID]], kind: ScoreKind, asked: Asked
) -> dict[UUID, tuple[Fraction | None, int]]:
    """The score of each group, and how many of its members have one; see domain/scoring.py."""
    found = {}
    for group_id, people in members.items():
        values = [board.score(user_id, kind, asked).value for user_id in people]
        found[group_id] = (mean_score(values), sum(1 for value in values if value is not None))
    return found


async def members_of(connection: Connection, groups: Sight) -> dict[UUID, list[UUID]]:
    """The people of each group in sight and of all groups below it, by the group's name. Served by groups (team_id,
    parent_id) and users (team_id, group_id)."""
    arguments: list[object] = [groups.team_id]
    condition = groups.filter("g.id", arguments, team_column="g.team_id")
    rows = await connection.fetch(
        f"""
        WITH RECURSIVE closure AS (
            SELECT g.id AS shown, g.id AS id FROM groups g WHERE {condition}
            UNION SELECT c.shown, g.id FROM groups g JOIN closure c ON g.team_id = $1 AND g.parent_id = c.id
        )
        SELECT c.shown, u.id FROM closure c JOIN groups s ON s.team_id = $1 AND s.id = c.shown
        LEFT JOIN users u ON u.team_id = $1 AND u.group_id = c.id
        ORDER BY s.name, c.shown
        """,
        *arguments,
    )
    found: dict[UUID, list[UUID]] = {}
    for row in rows:
        members = found.setdefault(row["shown"], [])
        if row["id"] is not None:
            members.append(row["id"])
    return found
