"""Scores, accolades and coaching sessions, as files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID

import msgspec

from domain import access, access_plans, accolades, plan_sessions, score_board
from domain.access import Sight
from domain.accolades import AccoladeFilter, AccoladeView, Rule
from domain.exports.columns import Chosen, Column, ColumnKind, within
from domain.exports.source import (
    WHOLE_LIST_ROWS,
    Exportable,
    Instant,
    Look,
    NoArguments,
    RangeArgument,
    Rows,
    Text,
    Texts,
    all_of,
    id_column,
    instant,
    one_of,
    person_columns,
    row_id,
    users_of,
)
from domain.ids import decode_any_id, encode_id
from domain.models import SessionState, User
from domain.models.scores import ScoreKind
from domain.pacing import rounded
from domain.paging import PageRequest
from domain.periods import Comparison, compared_with
from domain.plan_sessions import SessionFilter, SessionView
from domain.score_board import Asked, RankedScore

_K = ColumnKind


@dataclass(frozen=True, slots=True)
class ScoreRow:
    """A rep's place and score."""

    found: RankedScore
    user: User

    def previous(self) -> Decimal | None:
        """The score of the range that it is compared with."""
        return None if self.found.previous is None else _shown(self.found.previous.value)

    def change(self) -> Decimal | None:
        """By how much it differs from that."""
        value, previous = _shown(self.found.score.value), self.previous()
        return None if value is None or previous is None else value - previous


def _shown(value: Fraction | None) -> Decimal | None:
    return None if value is None else rounded(value)


SCORE_COLUMNS: tuple[Column[ScoreRow], ...] = (
    Column("rank", _K.INT, lambda row: row.found.rank),
    *person_columns("user", lambda row: row.user),
    Column("score.kind", _K.ENUM, lambda row: row.found.score.kind.name),
    Column("score.from", _K.DATE, lambda row: row.found.score.days.first),
    Column("score.to", _K.DATE, lambda row: row.found.score.days.last),
    Column("score.value", _K.DECIMAL, lambda row: _shown(row.found.score.value)),
    Column("score.pace", _K.DECIMAL, lambda row: _shown(row.found.score.pace)),
    Column("score.previous", _K.DECIMAL, lambda row: row.previous()),
    Column("score.change", _K.DECIMAL, lambda row: row.change()),
    Column("score.gap", _K.ENUM, lambda row: None if row.found.score.gap is None else row.found.score.gap.name),
    Column("score.workingDays", _K.INT, lambda row: row.found.score.working_days),
)


class ScoresArguments(NoArguments, frozen=True, kw_only=True):
    """Of `scores`."""

    range: RangeArgument
    kind: Text
    compare: Text = Comparison.PREVIOUS_PERIOD.value
    role_id: Text | None = None
    group_id: Text | None = None
    search: Text | None = None


async def _ranked(look: Look, given: ScoresArguments) -> list[RankedScore]:
    days = given.range.days(look)
    previous = compared_with(days, one_of(Comparison, given.compare, "compare"), look.calendar)
    kind = one_of(ScoreKind, given.kind, "kind")
    group = row_id(given.group_id, "Group", "groupId")
    if group is not None:
        access.require_group(look.viewer, look.standing.groups, group)
    role = row_id(given.role_id, "Role", "roleId")
    if role is not None:
        roles: Sight = await access.see_scored_roles(look.connection, look.viewer, look.standing.users)
        access.require_seen(roles, role, "role", path=("roleId",))
    asked = Asked(days, days)
    compared = None if previous is None else Asked(previous, previous)
    board = await score_board.load_scores(
        look.connection,
        score_board.Chosen(look.standing.users, role, group, given.search),
        look.calendar,
        look.moment,
        [kind],
        [asked, *([] if compared is None else [compared])],
    )
    return score_board.rank_scores(board, kind, asked, compared)


async def _read_scores(
    look: Look, given: ScoresArguments, request: PageRequest, _chosen: Chosen[Any]
) -> Rows[ScoreRow]:
    page = score_board.page_of_scores(await _ranked(look, given), request)
    users = await users_of(look, (one.user_id for one in page.nodes))
    # Somebody may have been moved out of sight between the two statements.
    return Rows.of(page, [ScoreRow(one, users[one.user_id]) for one in page.nodes if one.user_id in users])


async def _count_scores(look: Look, given: ScoresArguments) -> int:
    return len(await _ranked(look, given))


@dataclass(frozen=True, slots=True)
class AccoladeRow:
    """An accolade, with whose it is, by which rule, and who did what to it."""

    accolade: AccoladeView
    people: Mapping[UUID | None, User]
    rule: Rule | None


ACCOLADE_COLUMNS: tuple[Column[AccoladeRow], ...] = (
    id_column("Accolade", lambda row: row.accolade.id),
    *person_columns("user", lambda row: row.people.get(row.accolade.user_id)),
    Column("title", _K.STRING, lambda row: row.accolade.title),
    Column("message", _K.STRING, lambda row: row.accolade.message),
    Column("milestone", _K.STRING, lambda row: row.accolade.milestone),
    Column("level", _K.DECIMAL, lambda row: row.accolade.level),
    Column("value", _K.DECIMAL, lambda row: row.accolade.value),
    Column("firstDay", _K.DATE, lambda row: row.accolade.first_day),
    Column("achievedOn", _K.DATE, lambda row: row.accolade.achieved_on),
    Column("grantedAt", _K.DATETIME, lambda row: row.accolade.granted_at),
    Column("revokedAt", _K.DATETIME, lambda row: row.accolade.revoked_at),
    Column("revokedReason", _K.STRING, lambda row: row.accolade.revoked_reason),
    Column("rule.id", _K.ID, lambda row: within(row.rule, lambda one: encode_id("AccoladeRule", one.id))),
    Column("rule.name", _K.STRING, lambda row: within(row.rule, lambda one: one.name)),
    *person_columns("grantedBy", lambda row: row.people.get(row.accolade.granted_by_id)),
    *person_columns("revokedBy", lambda row: row.people.get(row.accolade.revoked_by_id)),
)


class AccoladeFilterArgument(NoArguments, frozen=True):
    """Which accolades; all conditions must hold."""

    user_ids: Texts | None = None
    rule_ids: Texts | None = None
    achieved_from: date | None = None
    achieved_to: date | None = None
    include_revoked: bool = False

    def to_domain(self) -> AccoladeFilter:
        """As the domain has it. What is no id of the type finds nothing, as an id never issued."""

        def rows(given: Texts | None, type_name: str) -> tuple[UUID, ...] | None:
            if given is None:
                return None
            decoded = (decode_any_id(one) for one in given)
            return tuple(found[1] for found in decoded if found is not None and found[0] == type_name)

        return AccoladeFilter(
            rows(self.user_ids, "User"),
            rows(self.rule_ids, "AccoladeRule"),
            self.achieved_from,
            self.achieved_to,
            include_revoked=self.include_revoked,
        )


class AccoladesArguments(NoArguments, frozen=True):
    """Of `accolades`."""

    filter: AccoladeFilterArgument = AccoladeFilterArgument()


async def _read_accolades(
    look: Look, given: AccoladesArguments, request: PageRequest, chosen: Chosen[Any]
) -> Rows[AccoladeRow]:
    page = await accolades.list_accolades(look.connection, look.standing.users, given.filter.to_domain(), request)
    people = await users_of(
        look, (one for row in page.nodes for one in (row.user_id, row.granted_by_id, row.revoked_by_id))
    )
    rules: Mapping[UUID, Rule] = {}
    if chosen.any("rule"):
        wanted = sorted({row.rule_id for row in page.nodes if row.rule_id is not None})
        rules = await accolades.rules_by_id(look.connection, look.viewer.team_id, wanted)
    return Rows.of(
        page,
        [AccoladeRow(one, people, None if one.rule_id is None else rules.get(one.rule_id)) for one in page.nodes],
    )


async def _count_accolades(look: Look, given: AccoladesArguments) -> int:
    return await accolades.count_accolades(look.connection, look.standing.users, given.filter.to_domain())


@dataclass(frozen=True, slots=True)
class SessionRow:
    """A session, with who takes part."""

    view: SessionView
    people: Mapping[UUID | None, User]

    def co_coaches(self) -> list[dict[str, str]]:
        """Who coaches too."""
        found = (self.people[one] for one in self.view.co_coach_ids if one in self.people)
        return [{"id": encode_id("User", one.id), "name": one.name} for one in found]


SESSION_COLUMNS: tuple[Column[SessionRow], ...] = (
    id_column("CoachingSession", lambda row: row.view.session.id),
    Column("title", _K.STRING, lambda row: row.view.session.title),
    Column("agenda", _K.STRING, lambda row: row.view.session.agenda),
    *person_columns("user", lambda row: row.people.get(row.view.session.user_id)),
    *person_columns("coach", lambda row: row.people.get(row.view.session.coach_id)),
    Column("coCoaches", _K.JSON, lambda row: row.co_coaches()),
    Column("startsAt", _K.DATETIME, lambda row: row.view.session.starts_at),
    Column("endsAt", _K.DATETIME, lambda row: plan_sessions.ends_at(row.view.session)),
    Column("durationMinutes", _K.INT, lambda row: row.view.session.duration_minutes),
    Column("state", _K.ENUM, lambda row: SessionState(row.view.session.state).name),
    Column("heldAt", _K.DATETIME, lambda row: row.view.session.held_at),
    Column("rescheduledCount", _K.INT, lambda row: row.view.session.rescheduled_count),
    Column("occurrenceAt", _K.DATETIME, lambda row: row.view.session.occurrence_at),
    Column("version", _K.INT, lambda row: row.view.session.version),
)


class SessionFilterArgument(NoArguments, frozen=True):
    """Which sessions; all conditions must hold."""

    user_id: Text | None = None
    coach_id: Text | None = None
    plan_id: Text | None = None
    states: Texts | None = None
    since: Instant | None = msgspec.field(default=None, name="from")
    until: Instant | None = msgspec.field(default=None, name="to")
    everybody: bool = False

    def to_domain(self) -> SessionFilter:
        """As the domain has it."""
        return SessionFilter(
            row_id(self.user_id, "User", "filter", "userId"),
            row_id(self.coach_id, "User", "filter", "coachId"),
            row_id(self.plan_id, "CoachingPlan", "filter", "planId"),
            all_of(SessionState, self.states, "filter", "states"),
            instant(self.since, "filter", "from"),
            instant(self.until, "filter", "to"),
            self.everybody,
        )


class SessionsArguments(NoArguments, frozen=True):
    """Of `coachingSessions`."""

    filter: SessionFilterArgument = SessionFilterArgument()


async def _read_sessions(
    look: Look, given: SessionsArguments, request: PageRequest, chosen: Chosen[Any]
) -> Rows[SessionRow]:
    sight = await access_plans.see_sessions(look.connection, look.viewer)
    page = await plan_sessions.list_sessions(look.connection, sight, given.filter.to_domain(), request)
    await plan_sessions.read_as_executive(look.connection, look.viewer, page.nodes)
    people: Mapping[UUID | None, User] = {}
    if chosen.any("user", "coach", "coCoaches"):
        # Who takes part in what the viewer sees is known by name, in sight or not.
        ids = (one for view in page.nodes for one in (view.session.user_id, view.session.coach_id, *view.co_coach_ids))
        people = await users_of(look, ids, sight=Sight(look.viewer.team_id, True, frozenset()))
    return Rows.of(page, [SessionRow(one, people) for one in page.nodes])


async def _count_sessions(look: Look, given: SessionsArguments) -> int:
    sight = await access_plans.see_sessions(look.connection, look.viewer)
    return await plan_sessions.count_sessions(look.connection, sight, given.filter.to_domain())


EXPORTABLES = (
    Exportable(
        "scores",
        "Query.scores",
        "The active reps in sight, and who else has a score, ranked by a score, the highest first.",
        SCORE_COLUMNS,
        ScoresArguments,
        _read_scores,
        _count_scores,
        page_rows=WHOLE_LIST_ROWS,
        whole=True,
    ),
    Exportable(
        "accolades",
        "Query.accolades",
        "What the viewer has earned, and with TEAM_VIEW those in scope; the newest first.",
        ACCOLADE_COLUMNS,
        AccoladesArguments,
        _read_accolades,
        _count_accolades,
    ),
    Exportable(
        "coachingSessions",
        "Query.coachingSessions",
        "The sessions in which the viewer takes part, the latest start first; what is read of others as an executive "
        "stands in the audit log.",
        SESSION_COLUMNS,
        SessionsArguments,
        _read_sessions,
        _count_sessions,
        keepable=False,
    ),
)
