"""Individual View: one rep's film in numbers; the film itself is a list (domain/activities.py).

The tab is drawn from a fixed number of statements, whatever it shows: one for the numbers here, one for a page of the
list, one for each look-up that the page's rows share.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from domain.access import Sight
from domain.activities import ActivityFilter, condition_of
from domain.models.activities import ActivityKind

if TYPE_CHECKING:
    from domain.database import Connection

CADENCES_LIMIT = 100


@dataclass(frozen=True, slots=True)
class KindCount:
    """How many activities of a kind.

    Args:
        kind: Which.
        count: How many.
        commented: How many of them have comments.
        scored: How many have submitted scorecards.
        reviewed: How many a manager has reviewed.
    """

    kind: ActivityKind
    count: int
    commented: int
    scored: int
    reviewed: int


@dataclass(frozen=True, slots=True)
class CadenceCount:
    """How much of a cadence.

    Args:
        cadence: Its name.
        emails: Emails that were steps of it.
        steps_completed: Steps done.
        steps_overdue: Steps not done in time.
        people_added: People who entered it.
    """

    cadence: str
    emails: int
    steps_completed: int
    steps_overdue: int
    people_added: int


@dataclass(frozen=True, slots=True)
class FilmCounts:
    """A rep's film in numbers.

    Args:
        kinds: By kind, in the order of the kinds; without those of which there are none.
        cadences: By cadence, the fullest first; at most `CADENCES_LIMIT`.
    """

    kinds: tuple[KindCount, ...]
    cadences: tuple[CadenceCount, ...]

    @property
    def total(self) -> int:
        """How many activities."""
        return sum(one.count for one in self.kinds)


async def count_film(connection: Connection, sight: Sight, wanted: ActivityFilter) -> FilmCounts:
    """Count a rep's activities by kind and by cadence in one walk. Served by activities_user_idx."""
    arguments: list[object] = []
    condition = condition_of(sight, wanted, arguments)
    rows = await connection.fetch(
        f"""
        SELECT a.kind, a.cadence, a.status, grouping(a.kind) AS by_cadence, count(*) AS count,
            count(*) FILTER (WHERE f.comment_count > 0) AS commented,
            count(*) FILTER (WHERE f.scorecard_count > 0) AS scored,
            count(*) FILTER (WHERE a.reviewed AND a.kind = 'conversation') AS reviewed
        FROM activities a LEFT JOIN films f ON f.team_id = a.team_id AND f.user_id = a.user_id AND f.id = a.id
        WHERE {condition}
        GROUP BY GROUPING SETS ((a.kind), (a.cadence, a.status))
        HAVING grouping(a.kind) = 0 OR a.cadence IS NOT NULL
        """,
        *arguments,
    )
    kinds = {
        ActivityKind(row["kind"]): (row["count"], row["commented"], row["scored"], row["reviewed"])
        for row in rows
        if not row["by_cadence"]
    }
    cadences: dict[str, dict[str | None, int]] = {}
    for row in rows:
        if row["by_cadence"]:
            # An email has no status.
            cadences.setdefault(row["cadence"], {})[row["status"]] = row["count"]
    fullest = sorted(cadences.items(), key=lambda one: (-sum(one[1].values()), one[0]))[:CADENCES_LIMIT]
    return FilmCounts(
        tuple(KindCount(kind, *kinds[kind]) for kind in ActivityKind if kind in kinds),
        tuple(
            CadenceCount(
                name, found.get(None, 0), found.get("completed", 0), found.get("overdue", 0), found.get("added", 0)
            )
            for name, found in fullest
        ),
    )
