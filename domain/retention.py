"""How long things are kept.

What a team decides (`updateTeamSettings`): days for which activities, bodies of emails and the audit log are kept. Days
are whole days of the team's time zone: with `n` days, today and the `n` days before it are kept.

**Activities.** An activity is as old as the last day on which it counts: an opportunity closes long after it was made,
a meeting is held after it was booked. Before old activities go, the books are closed: `teams.activities_from` moves to
the first day that is kept. From then on no import, correction or deletion changes a number of a day before it, so that
the numbers of the past stay as they are, whether the activities that made them are there any more or not. A record all
of whose days are closed is refused (`TOO_OLD`) and nothing of it is kept: an old file that is taken in again counts
nothing twice, and the keys of removed activities can go with them. Of a record with some days closed and some open (a
deal made long ago that closes today), the open ones count. Closed books are not opened again, however the setting
changes.

Everything that is about a person, and how long it lives:

    users, days_off, goals               until the person is erased (domain/erasure.py)
    activities, activity_keys            the team's `keepActivitiesDays`; keys of deleted activities likewise
    email_bodies                         the team's `keepBodiesDays`, and with their activities
    films, comments, comment_versions, mentions, reviews, scorecards, calibrations, calibration_scorers,
    playlist_items, feedback_requests    with their activities; `film_facts.AWAY_KEPT` after a deletion at the source;
                                         what an erased person wrote goes (domain/film_erasure.py)
    playlists                            until their owner removes them or is erased
    scorecard_templates and _versions    for good: what is asked of the team
    synced_documents                     with the last activity that they came to, and with their connection
    integrations                         until they are disconnected, or their person is erased
    rollup_days, rollup_months           for good: counts
    audit_entries                        the team's `keepAuditDays`; details go when a person is erased
    tokens                               API tokens until the person is erased; sessions `tokens.SESSIONS_KEPT` after
                                         their end
    quarantined_records, imports         `imports.KEPT`; a record's text goes when a retry has taken it in
    quarantined_documents                `imports.KEPT`
    import_chunks                        until their job has ended; `imports.BROKEN_OFF_KEPT` if there never was one
    jobs                                 `jobs.KEPT` after their end
    events                               `events.KEPT_DAYS`; ids and numbers
    webhook_deliveries                   `webhooks.LOG_KEPT`; what the receiver answered
    idempotency_keys                     `idempotency.KEPT_DAYS`; ids and numbers
    exports, export_chunks               a file `SIDELINE_EXPORT_HOURS` after it is ready, or until somebody is erased;
                                         what was asked for `exports.files.KEPT`; until then a file may hold what is not
                                         kept any more
    scheduled_actions                    `actions.KEPT` after their end, with their history
    action_runs                          of what goes on, `actions.RUNS_KEPT`
    outgoing_messages                    `messages.KEPT` after their end; what they said goes when they end
    report_snapshots                     as long as their action says, 366 days at most
    live_calls, live_call_participants,
    live_call_notes                      the studio's `keepDays` after the call's end
    dialer_messages                      `dialers.MESSAGES_KEPT`; ids and digests
    coaching_plans, plan_focuses,
    plan_items, coaching_notes           until the rep is erased; notes also until their author is
    coaching_sessions, coaching_series,
    co_coaches                           for good: counts; their words until the rep is erased
    session_activities                   until the rep is erased; what is not kept any more is shown no more
    coaching_invitations                 with their session or series; addresses until the person is erased
    coaching_templates, coaching_programs  for good: the team's own
    user_writes                          until the person is erased; a number
    accolades                            for good; the words of those by hand until the person is erased
    score_definitions, score_versions,
    accolade_rules                       for good: the team's own
    erased_names                         for good: keyed digests
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

from domain import (
    action_runs,
    actions,
    audit,
    bodies,
    dialers,
    film_facts,
    imports,
    jobs,
    kept_documents,
    live_calls,
    messages,
    snapshots,
    tokens,
)
from domain.books import Bound, all_closed, bound_after
from domain.database import ALL_TEAMS, Reach, in_transaction
from domain.exports import files as export_files

if TYPE_CHECKING:
    from domain.database import Connection

ACTIVITY_LOT = 5_000
"""Activities that are looked at, or keys that are removed, in one transaction."""


@dataclass(frozen=True, slots=True)
class TeamRetention:
    """What a team has decided; None is for ever."""

    team_id: UUID
    timezone: str
    keep_activities_days: int | None
    keep_bodies_days: int | None
    keep_audit_days: int | None


async def teams_that_forget(connection: Connection) -> list[TeamRetention]:
    """The teams that keep something for a time."""
    rows = await connection.fetch(
        """
        SELECT id AS team_id, timezone, keep_activities_days, keep_bodies_days, keep_audit_days FROM teams
        WHERE num_nonnulls(keep_activities_days, keep_bodies_days, keep_audit_days) > 0 ORDER BY id
        """
    )
    return [TeamRetention(**dict(row)) for row in rows]


async def forget(team: TeamRetention, now: datetime) -> int:
    """Remove what a team does not keep any more, in lots, each in a transaction of its own. Returns how many rows.

    May be broken off at any point, run again, and run beside another worker that does the same.
    """
    count = 0
    if team.keep_activities_days is not None:
        bound = await in_transaction(team.team_id, partial(close_books, team_id=team.team_id, now=now))
        if bound is not None:
            count += await _remove_activities(team.team_id, bound)
            count += await _all_lots(team.team_id, partial(_remove_deleted_keys, team_id=team.team_id, bound=bound))
    if team.keep_bodies_days is not None:
        before = bound_after(team.timezone, team.keep_bodies_days, now).instant
        count += await _all_lots(team.team_id, partial(bodies.forget_old_bodies, team_id=team.team_id, before=before))
    if team.keep_audit_days is not None:
        before = bound_after(team.timezone, team.keep_audit_days, now).instant
        count += await _all_lots(ALL_TEAMS, partial(audit.forget_old_entries, team_id=team.team_id, before=before))
    return count


async def _all_lots(reach: Reach, work: Callable[[Connection], Awaitable[int]]) -> int:
    count = 0
    while lot := await in_transaction(reach, work):
        count += lot
    return count


async def close_books(connection: Connection, team_id: UUID, now: datetime) -> Bound | None:
    """Close the books of a team up to where its activities are not kept any more, in the caller's transaction.

    Returns the bound before which activities may go: everything before it is closed. None where all are kept.
    """
    # Importers hold this row FOR SHARE: those that were under way are in the books, those to come know the bound.
    team = await connection.fetchrow(
        "SELECT timezone, keep_activities_days, activities_from, activities_from_at FROM teams WHERE id = $1 "
        "FOR NO KEY UPDATE",
        team_id,
    )
    if team is None or team["keep_activities_days"] is None:
        return None
    bound, closed = bound_after(team["timezone"], team["keep_activities_days"], now), Bound.of(team)
    if closed is None or bound.instant > closed.instant or bound.day > closed.day:
        await connection.execute(
            "UPDATE teams SET activities_from = $2, activities_from_at = $3 WHERE id = $1",
            team_id,
            bound.day if closed is None else max(bound.day, closed.day),
            bound.instant if closed is None else max(bound.instant, closed.instant),
        )
    return bound


async def lock_team(connection: Connection, team_id: UUID) -> None:
    """Hold off importers, who hold the team's row FOR SHARE, until the transaction ends."""
    await connection.execute("SELECT 1 FROM teams WHERE id = $1 FOR NO KEY UPDATE", team_id)


# Served by activities_team_idx, the primary keys and activity_keys_key.
_REMOVE_LOT = f"""
WITH lot AS (
    SELECT id, occurred_at, {all_closed("$2", "$3")} AS old FROM activities
    WHERE team_id = $1 AND occurred_at < $2 AND occurred_at >= $4 AND (occurred_at, id) > ($4, $5)
    ORDER BY occurred_at, id LIMIT $6
), gone AS (
    DELETE FROM activities a USING lot WHERE lot.old AND a.id = lot.id AND a.occurred_at = lot.occurred_at
    RETURNING a.id, a.source, a.external_id
), keys AS (
    DELETE FROM activity_keys k USING gone
    WHERE k.team_id = $1 AND k.source = gone.source AND k.external_id = gone.external_id AND k.id = gone.id
), texts AS (
    DELETE FROM email_bodies b USING gone WHERE b.team_id = $1 AND b.id = gone.id
), film AS (
    DELETE FROM films f USING gone WHERE f.team_id = $1 AND f.id = gone.id
)
SELECT occurred_at, id, (SELECT array_agg(source) FROM gone) AS sources,
    (SELECT array_agg(external_id) FROM gone) AS names
FROM lot ORDER BY occurred_at DESC, id DESC LIMIT 1
"""


async def _remove_activities(team_id: UUID, bound: Bound) -> int:
    """Remove the activities that a closed bound leaves behind, with their keys, bodies and documents."""
    count, place = 0, (datetime.min.replace(tzinfo=UTC), UUID(int=0))
    while True:

        async def lot(connection: Connection, after: tuple[datetime, UUID] = place) -> Any:
            await lock_team(connection, team_id)
            row = await connection.fetchrow(_REMOVE_LOT, team_id, bound.instant, bound.day, *after, ACTIVITY_LOT)
            if row is not None and row["names"] is not None:
                gone = list(zip(row["sources"], row["names"], strict=True))
                await kept_documents.forget_with_activities(connection, team_id, gone, ended=True)
            return row

        row = await in_transaction(team_id, lot)
        if row is None:
            return count
        count += len(row["names"] or ())
        place = row["occurred_at"], row["id"]


async def _remove_deleted_keys(connection: Connection, team_id: UUID, bound: Bound) -> int:
    """Remove keys of activities that were deleted at their source and were first seen before a bound; one lot.

    Served by activity_keys_deleted_idx.
    """
    await lock_team(connection, team_id)
    rows = await connection.fetch(
        """
        WITH lot AS (
            SELECT source, external_id FROM activity_keys WHERE team_id = $1 AND occurred_at IS NULL AND id < $2
            LIMIT $3
        )
        DELETE FROM activity_keys k USING lot
        WHERE k.team_id = $1 AND k.source = lot.source AND k.external_id = lot.external_id RETURNING 1
        """,
        team_id,
        _first_id_at(bound.instant),
        ACTIVITY_LOT,
    )
    return len(rows)


def _first_id_at(instant: datetime) -> UUID:
    """No id that is made at an instant or later is smaller (UUIDv7, RFC 9562, 5.7: milliseconds since 1970 lead)."""
    return UUID(int=max(int(instant.timestamp() * 1000), 0) << 80)


async def _prune_refused_documents(connection: Connection) -> int:
    before = _first_id_at(datetime.now(UTC) - imports.KEPT)
    return await kept_documents.prune_refused(connection, before, imports.PRUNE_LOT)


_LEFTOVERS: tuple[Callable[[Connection], Awaitable[int]], ...] = (
    imports.prune_chunks,
    imports.prune_refused,
    imports.prune,
    _prune_refused_documents,
    film_facts.prune,
    export_files.prune,
    jobs.prune,
    tokens.prune_sessions,
    dialers.prune,
    live_calls.prune,
    dialers.prune_removed,
    partial(action_runs.prune, kept=actions.KEPT, runs_kept=actions.RUNS_KEPT),
    messages.prune,
    snapshots.prune,
)


async def forget_leftovers() -> int:
    """Remove what has done its work, in all teams: raw uploads, old imports with their refused records, jobs and
    sessions that ended long ago. In lots. Returns how many rows."""
    count = 0
    for prune in _LEFTOVERS:
        count += await _all_lots(ALL_TEAMS, prune)
    return count
