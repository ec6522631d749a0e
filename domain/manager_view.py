"""Manager View: who coaches whom, how much, and does it show.

**What counts as coaching**, with the moment that decides the day, in the team's time zone:

    a review of a conversation        when it was marked (domain/reviews.py)
    a scorecard, filled as manager    when it was submitted
    a comment on a rep's film         when it was written, by somebody whose role has `TEAM_VIEW` now; no deleted ones
    a session                         when it was held, for its coach; nothing but the count is told

Coaching counts only where manager and rep are both in the viewer's sight, for the one who did it and for the rep that
it was for; nobody coaches themselves.

**Managers** are those in sight who have active reports in sight, or did one of these within the range.

**Not coached lately** are the active reps in sight (but the viewer) with none of these in the last days, the longest
ago first, who had been with the team for as long. What was said of their film counts here whoever said it, since who
sees the rep sees that too; a session only with a coach in sight: others do not exist for the viewer.

**Does it show**: the focus metrics of the plans that a manager coaches, and that ran within the range, by what their
comparison says (domain/plan_progress.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING
from uuid import UUID
from zoneinfo import ZoneInfo

from domain import access, plan_progress
from domain.access import Sight, Viewer
from domain.access_plans import PlanSight
from domain.errors import Invalid
from domain.models.people import Permission
from domain.periods import Days
from domain.plan_progress import Comparison, Subject, Verdict

if TYPE_CHECKING:
    from domain.database import Connection

DEFAULT_DAYS = 30
LONGEST_DAYS = 366
MOST_MANAGERS = 500
MOST_REPS = 500
MOST_PLANS = 300


@dataclass(frozen=True, slots=True)
class Coaching:
    """How much coaching there was."""

    conversations_reviewed: int = 0
    scorecards_filled: int = 0
    comments: int = 0
    sessions_held: int = 0


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What the comparisons of focus metrics say; `untold` have no verdict."""

    better: int = 0
    worse: int = 0
    unclear: int = 0
    untold: int = 0


@dataclass(frozen=True, slots=True)
class RepCoaching:
    """What a manager did for a rep.

    Args:
        user_id: The rep.
        report: Whether they report to the manager.
        coaching: Within the range.
        plans: Plans with the manager that ran within it.
    """

    user_id: UUID
    report: bool
    coaching: Coaching
    plans: int


@dataclass(frozen=True, slots=True)
class ManagerRow:
    """What a manager did.

    Args:
        manager_id: Who.
        total: For all reps together.
        reps_coached: For how many reps they did something.
        reps: For each rep, if that was asked for.
        plans: Plans with the manager that ran within the range.
        outcomes: What those plans' comparisons say.
    """

    manager_id: UUID
    total: Coaching
    reps_coached: int
    reps: tuple[RepCoaching, ...]
    plans: int
    outcomes: Outcomes


@dataclass(frozen=True, slots=True)
class ManagerView:
    """The tab.

    Args:
        days: The range.
        managers: By name, at most `MOST_MANAGERS`.
        not_coached: Reps not coached lately, at most `MOST_REPS`, with when they last were, if in the last year.
        not_coached_count: How many they are in all.
    """

    days: Days
    managers: tuple[ManagerRow, ...]
    not_coached: tuple[tuple[UUID, datetime | None], ...]
    not_coached_count: int


def _people(sight: Sight, arguments: list[object]) -> str:
    condition = sight.filter("u.id", arguments, team_column="u.team_id")
    return (
        f"SELECT u.id, u.name, u.manager_id, u.active, u.is_rep, u.started_on, u.role_id FROM users u WHERE {condition}"
    )


_COMMENTS = (
    "comments",
    "author_id",
    "created_at",
    "AND x.deleted_at IS NULL AND EXISTS (SELECT 1 FROM roles r WHERE r.team_id = $1 AND r.id = m.role_id "
    "AND (r.is_admin OR 'TEAM_VIEW' = ANY (r.permissions)))",
)
_SESSIONS = "coaching_sessions"
_ACTS = (
    ("reviews", "reviewer_id", "created_at", ""),
    ("scorecards", "scorer_id", "submitted_at", "AND x.state = 'SUBMITTED' AND x.relation = 'MANAGER'"),
    _COMMENTS,
    (_SESSIONS, "coach_id", "held_at", "AND x.state = 'HELD'"),
)


async def manager_view(
    connection: Connection,
    viewer: Viewer,
    sight: Sight,
    days: Days,
    today: date,
    available: Collection[str],
    *,
    not_coached_days: int = DEFAULT_DAYS,
    by_rep: bool = True,
) -> ManagerView:
    """The tab, in a fixed number of statements.

    Args:
        connection: Where.
        viewer: Who looks.
        sight: Whose data they may see.
        days: The range.
        today: The team's local day.
        available: The metrics that something feeds.
        not_coached_days: What lately means.
        by_rep: Whether to tell what each manager did for each rep as well.

    Raises:
        Forbidden: the viewer lacks `TEAM_VIEW`.
        Invalid: the days do not fit.
    """
    access.require(viewer, Permission.TEAM_VIEW)
    if not 1 <= not_coached_days <= LONGEST_DAYS:
        raise Invalid(f"notCoachedDays: from 1 to {LONGEST_DAYS}.", path=("notCoachedDays",))
    zone = ZoneInfo(viewer.timezone)
    begin = datetime.combine(days.first, time(), zone)
    end = datetime.combine(days.last + timedelta(days=1), time(), zone)
    did = await _acts(connection, sight, begin, end, by_rep=by_rep)
    reports = await _reports(connection, sight)
    names = dict(reports.names)
    plans = await _plans(connection, viewer, sight, days)
    compared = await plan_progress.compare(
        connection, viewer, sight, [subject for _coach, subject in plans], today, available
    )
    theirs: dict[UUID, set[UUID]] = {}
    for manager, rep in reports.pairs:
        theirs.setdefault(manager, set()).add(rep)
    coached: dict[UUID, list[Subject]] = {}
    for coach, subject in plans:
        coached.setdefault(coach, []).append(subject)
    order = sorted({*did, *theirs}, key=lambda one: (names.get(one, ""), one))
    rows = [
        _row(one, did.get(one, _Did()), theirs.get(one, set()) if by_rep else (), coached.get(one, []), compared)
        for one in order[:MOST_MANAGERS]
    ]
    not_coached, count = await _not_coached(connection, viewer, sight, today, not_coached_days)
    return ManagerView(days, tuple(rows), not_coached, count)


@dataclass(slots=True)
class _Did:
    """What a manager did: for everybody together, for how many, and for each."""

    total: Coaching = Coaching()
    reps_coached: int = 0
    reps: dict[UUID, Coaching] = field(default_factory=dict)


def _row(
    manager: UUID,
    did: _Did,
    reports: Collection[UUID],
    plans: Sequence[Subject],
    compared: Mapping[tuple[UUID, str], Comparison],
) -> ManagerRow:
    running = Counter(plan.user_id for plan in plans)
    found = tuple(
        RepCoaching(rep, rep in reports, did.reps.get(rep, Coaching()), running[rep])
        for rep in sorted({*did.reps, *reports})
    )
    verdicts = [compared[plan.key, metric].verdict for plan in plans for metric in plan.metrics]
    outcomes = Outcomes(
        better=verdicts.count(Verdict.BETTER),
        worse=verdicts.count(Verdict.WORSE),
        unclear=verdicts.count(Verdict.UNCLEAR),
        untold=verdicts.count(None),
    )
    return ManagerRow(manager, did.total, did.reps_coached, found, len(plans), outcomes)


async def _acts(
    connection: Connection, sight: Sight, begin: datetime, end: datetime, *, by_rep: bool
) -> dict[UUID, _Did]:
    """What each manager did: one statement. Served by the indexes of each table on who did it and when;
    of sessions by coaching_sessions_held_idx."""
    arguments: list[object] = []
    people = _people(sight, arguments)
    arguments += [begin, end]
    since, until = f"${len(arguments) - 1}", f"${len(arguments)}"
    parts = [
        f"""
        SELECT {number} AS kind, x.{who} AS manager_id, x.user_id FROM {table} x JOIN people m ON m.id = x.{who}
        WHERE x.team_id = $1 AND x.{at} >= {since} AND x.{at} < {until} AND x.user_id <> x.{who} {condition}"""
        for number, (table, who, at, condition) in enumerate(_ACTS)
    ]
    counts = ", ".join(f"count(*) FILTER (WHERE a.kind = {number})" for number in range(len(_ACTS)))
    rep, groups = ("a.user_id", "GROUPING SETS ((1), (1, 2))") if by_rep else ("NULL::uuid", "1")
    rows = await connection.fetch(
        f"""
        WITH people AS MATERIALIZED ({people}), acts AS ({" UNION ALL ".join(parts)})
        SELECT a.manager_id, {rep} AS rep_id, count(DISTINCT a.user_id), {counts}
        FROM acts a JOIN people p ON p.id = a.user_id GROUP BY {groups}
        """,
        *arguments,
    )
    found: dict[UUID, _Did] = {}
    for row in rows:
        manager, rep, reps, *numbers = row
        did = found.setdefault(manager, _Did())
        if rep is None:
            did.total, did.reps_coached = Coaching(*numbers), reps
        else:
            did.reps[rep] = Coaching(*numbers)
    return found


@dataclass(frozen=True, slots=True)
class _Reports:
    pairs: frozenset[tuple[UUID, UUID]]
    names: Mapping[UUID, str]


async def _reports(connection: Connection, sight: Sight) -> _Reports:
    """Who reports to whom, of those in sight, and what everybody is called. Served by users (team_id, …)."""
    arguments: list[object] = []
    rows = await connection.fetch(_people(sight, arguments), *arguments)
    active = {row["id"] for row in rows if row["active"]}
    return _Reports(
        frozenset(
            (row["manager_id"], row["id"]) for row in rows if row["id"] in active and row["manager_id"] in active
        ),
        {row["id"]: row["name"] for row in rows},
    )


async def _plans(connection: Connection, viewer: Viewer, sight: Sight, days: Days) -> list[tuple[UUID, Subject]]:
    """The plans in sight, of reps in sight, that ran within a range: the newest `MOST_PLANS`, with who coaches."""
    arguments: list[object] = []
    condition = PlanSight(viewer.user_id, sight).filter("p", arguments)
    reps = sight.filter("p.user_id", arguments, team_column="p.team_id")
    coaches = sight.filter("p.coach_id", arguments, team_column="p.team_id")
    arguments += [days.first, days.last]
    rows = await connection.fetch(
        f"""
        SELECT p.id, p.user_id, p.coach_id, p.starts_on, p.closed_on, f.metrics
        FROM coaching_plans p
        CROSS JOIN LATERAL (
            SELECT coalesce(array_agg(f.metric::text ORDER BY f.position), '{{}}') AS metrics FROM plan_focuses f
            WHERE f.team_id = p.team_id AND f.plan_id = p.id
        ) f
        WHERE {condition} AND {reps} AND {coaches} AND p.status <> 'DRAFT' AND p.starts_on <= ${len(arguments)}
            AND coalesce(p.closed_on, 'infinity') >= ${len(arguments) - 1}
        ORDER BY p.id DESC LIMIT {MOST_PLANS}
        """,
        *arguments,
    )
    return [
        (
            row["coach_id"],
            Subject(row["id"], row["user_id"], row["starts_on"], row["closed_on"], tuple(row["metrics"])),
        )
        for row in rows
    ]


async def _not_coached(
    connection: Connection, viewer: Viewer, sight: Sight, today: date, lately: int
) -> tuple[tuple[tuple[UUID, datetime | None], ...], int]:
    """Reps whom nobody coached lately: one statement. Served by the indexes of each table on the rep and when."""
    zone = ZoneInfo(viewer.timezone)
    arguments: list[object] = []
    people = _people(sight, arguments)
    first = today - timedelta(days=lately - 1)
    arguments += [
        viewer.user_id,
        first,
        datetime.combine(first, time(), zone),
        datetime.combine(today - timedelta(days=LONGEST_DAYS), time(), zone),
    ]
    me, started, recent, oldest = (f"${len(arguments) - back}" for back in (3, 2, 1, 0))
    acts = [
        (
            f"x.{at}",
            f"""{table} x JOIN {"people" if table == _SESSIONS else "users"} m ON m.id = x.{who}
            WHERE x.team_id = $1 AND x.{who} <> x.user_id {condition}""",
        )
        for table, who, at, condition in _ACTS
    ]
    # Whom somebody coached lately is told by the last days alone; when the others were, by their own years.
    recently = " UNION ".join(f"SELECT x.user_id FROM {source} AND {at} >= {recent}" for at, source in acts)
    latest = " UNION ALL ".join(
        f"SELECT max({at}) AS at FROM {source} AND x.user_id = p.id AND {at} >= {oldest}" for at, source in acts
    )
    rows = await connection.fetch(
        f"""
        WITH people AS MATERIALIZED ({people}), lately AS MATERIALIZED ({recently}),
        waiting AS MATERIALIZED (
            SELECT p.id, p.name FROM people p WHERE p.active AND p.is_rep AND p.id <> {me}
                AND coalesce(p.started_on, '-infinity') <= {started} AND p.id NOT IN (SELECT user_id FROM lately)
        )
        SELECT p.id, a.at, count(*) OVER () AS total
        FROM waiting p CROSS JOIN LATERAL (SELECT max(x.at) AS at FROM ({latest}) x) a
        ORDER BY a.at NULLS FIRST, p.name, p.id LIMIT {MOST_REPS}
        """,
        *arguments,
    )
    return tuple((row["id"], row["at"]) for row in rows), (rows[0]["total"] if rows else 0)
