"""Accolades: what people have earned, the rules that grant them, and granting and revoking by hand.

A rule names milestones; each is granted to a person once, whatever happens later (accolades_milestone_key):

    TOTAL           a metric's total reaches a level: ever, or within one of the team's periods
    FIRST           the first of something: a metric's first day above 0
    PERSONAL_BEST   more of a metric in a whole period than in any before it
    GOAL_STREAK     a goal attained so many of its periods in a row
    SCORE_STREAK    a score of at least so much for so many periods in a row

domain/accolade_evaluation.py finds who has reached what. A rule that changes keeps its milestones: what was granted is
not granted again, new levels can be reached. A rule that is removed and made anew is another rule.

An accolade stays when a later correction takes the milestone away, as Ambition's do (help.ambition.com, "Monitor or
Edit Accolades"): it tells what was celebrated then. Who manages the team revokes it if it should not stand. A revoked
one is kept, so that it is not granted again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

from domain import access, audit, events
from domain.access import Sight, Viewer
from domain.audit import AuditAction, NewEntry
from domain.errors import Conflict, Invalid, NotFound
from domain.events import AccoladeEventType, NewEvent
from domain.idempotency import digest_of_input, once
from domain.identity import calendar_of
from domain.metrics import METRICS
from domain.models.base import new_id
from domain.models.goals import GoalPeriod
from domain.models.scores import AccoladeKind, ScoreKind
from domain.paging import Page, PageRequest, decode_cursor, encode_cursor, page_of
from domain.scores import check_day

if TYPE_CHECKING:
    from domain.database import Connection

RULES_LIMIT = 100
"""Rules of a team that are in force."""
LEVELS_LIMIT = 10
LONGEST_STREAK = 200
"""Periods in a row; see accolade_evaluation.py."""
NAME_LIMIT = 100
DESCRIPTION_LIMIT = 500
MESSAGE_LIMIT = 1_000
LARGEST_LEVEL = Decimal(10) ** 16
_STEP = Decimal("0.0001")
_SCORE_STEP = Decimal("0.01")
_STREAKS = (AccoladeKind.GOAL_STREAK, AccoladeKind.SCORE_STREAK)


@dataclass(frozen=True, slots=True)
class Rule:
    """What earns an accolade.

    Args:
        id: What keeps a milestone from being granted twice.
        team_id: The team.
        name: The title of the accolades.
        description: What it is for.
        kind: What it looks for.
        metric: The metric's key; None for scores.
        score_kind: Which score, for streaks of scores.
        minimum_score: What the score must reach.
        period: Of a total, a best or a streak; None for what counts for ever.
        levels: Totals, or how many periods in a row, rising; empty for a first and for bests.
        counts_from: What was reached before is not granted; streaks and bests count periods from here on.
        version: Grows by one with every change.
        evaluated_on: The local day on which streaks and bests were last looked at.
        removed_at: When it was removed.
    """

    id: UUID
    team_id: UUID
    name: str
    description: str | None
    kind: AccoladeKind
    metric: str | None
    score_kind: ScoreKind | None
    minimum_score: Decimal | None
    period: GoalPeriod | None
    levels: tuple[Decimal, ...]
    counts_from: date
    version: int
    evaluated_on: date | None
    removed_at: datetime | None


@dataclass(frozen=True, slots=True)
class AccoladeView:
    """An accolade.

    Args:
        id: Its row.
        team_id: The team.
        user_id: Whose.
        rule_id: The rule that granted it; None for one by hand.
        milestone: Which of the rule's.
        title: What it is called.
        message: What who granted it by hand says.
        level: The level that was reached.
        value: What was reached.
        first_day: Of the period or the streak.
        achieved_on: The local day on which it was reached.
        granted_by_id: Who granted it by hand.
        granted_at: When it was granted.
        revoked_at: When it was revoked; None while it stands.
        revoked_by_id: By whom.
        revoked_reason: Why.
    """

    id: UUID
    team_id: UUID
    user_id: UUID
    rule_id: UUID | None
    milestone: str | None
    title: str
    message: str | None
    level: Decimal | None
    value: Decimal | None
    first_day: date | None
    achieved_on: date
    granted_by_id: UUID | None
    granted_at: datetime
    revoked_at: datetime | None
    revoked_by_id: UUID | None
    revoked_reason: str | None


@dataclass(frozen=True, slots=True)
class Reached:
    """A milestone that somebody has reached, about to be granted."""

    user_id: UUID
    milestone: str
    achieved_on: date
    level: Decimal | None = None
    value: Decimal | None = None
    first_day: date | None = None


_RULE = (
    "id, team_id, name, description, kind, metric, score_kind, minimum_score, period, levels, counts_from, version, "
    "evaluated_on, removed_at"
)
_ACCOLADE = (
    "id, team_id, user_id, rule_id, milestone, title, message, level, value, first_day, achieved_on, granted_by_id, "
    "granted_at, revoked_at, revoked_by_id, revoked_reason"
)


def _rule(row: Any) -> Rule:
    values = dict(row)
    values["kind"] = AccoladeKind(values["kind"])
    values["score_kind"] = None if values["score_kind"] is None else ScoreKind(values["score_kind"])
    values["period"] = None if values["period"] is None else GoalPeriod(values["period"])
    values["levels"] = tuple(values["levels"])
    return Rule(**values)


def _accolade(row: Any) -> AccoladeView:
    return AccoladeView(**dict(row))


# --- Rules


async def list_rules(connection: Connection, team_id: UUID, *, include_removed: bool = False) -> list[Rule]:
    """A team's rules, the oldest first. What earns an accolade is for everybody on the team to know."""
    rows = await connection.fetch(
        f"SELECT {_RULE} FROM accolade_rules WHERE team_id = $1 AND ($2 OR removed_at IS NULL) ORDER BY id",
        team_id,
        include_removed,
    )
    return [_rule(row) for row in rows]


async def rules_by_id(connection: Connection, team_id: UUID, ids: Sequence[UUID]) -> dict[UUID, Rule]:
    """Rules of a team by their rows; removed ones too."""
    rows = await connection.fetch(
        f"SELECT {_RULE} FROM accolade_rules WHERE team_id = $1 AND id = ANY ($2::uuid[])", team_id, list(ids)
    )
    return {row["id"]: _rule(row) for row in rows}


@dataclass(frozen=True, slots=True)
class SetRule:
    """What to set; without `rule_id` a new rule.

    Args:
        kind: What to look for; a rule's kind, metric, score and period stay what they are.
        counts_from: Today without one.
        expected_version: The version that the rule was seen in.
        idempotency_key: The sender's.
    """

    rule_id: UUID | None
    name: str
    kind: AccoladeKind
    description: str | None = None
    metric: str | None = None
    score_kind: ScoreKind | None = None
    minimum_score: Decimal | None = None
    period: GoalPeriod | None = None
    levels: tuple[Decimal, ...] = ()
    counts_from: date | None = None
    expected_version: int | None = None
    idempotency_key: str | None = None


def _check_text(text: str | None, name: str, limit: int, *, least: int = 0) -> None:
    if text is not None and (not least <= len(text.strip()) or len(text) > limit or "\0" in text):
        raise Invalid(f"{name}: from {least} to {limit} characters.", path=("input", name))


def _check_rule(request: SetRule) -> None:
    _check_text(request.name, "name", NAME_LIMIT, least=1)
    _check_text(request.description, "description", DESCRIPTION_LIMIT)
    check_day(request.counts_from, "countsFrom")
    kind, scores = request.kind, request.kind is AccoladeKind.SCORE_STREAK
    if (request.metric is None) is not scores:
        said = "a streak of scores has no metric" if scores else f"name what {kind.value} counts"
        raise Invalid(f"metric: {said}.", path=("input", "metric"))
    if scores and (request.score_kind is None or request.minimum_score is None):
        raise Invalid(
            "minimumScore: a streak of scores needs scoreKind and the least score.", path=("input", "minimumScore")
        )
    if not scores and (request.score_kind is not None or request.minimum_score is not None):
        raise Invalid("scoreKind: only a streak of scores has one.", path=("input", "scoreKind"))
    if request.minimum_score is not None and (
        not 0 < request.minimum_score <= 1_000 or request.minimum_score != request.minimum_score.quantize(_SCORE_STEP)
    ):
        raise Invalid(
            "minimumScore: above 0 and at most 1000, with at most two decimal places.", path=("input", "minimumScore")
        )
    if request.metric is not None:
        metric = METRICS[request.metric]
        if not metric.goalable:
            raise Invalid(f"metric: more of {metric.label} is not better.", path=("input", "metric"))
        if metric.is_quotient and kind is not AccoladeKind.GOAL_STREAK:
            raise Invalid(
                f"metric: {metric.label} is a rate: one lucky try makes it 100 %. Choose what can be counted, or a "
                "streak of its goal.",
                path=("input", "metric"),
            )
    if kind is AccoladeKind.FIRST and request.period is not None:
        raise Invalid("period: a first is once for ever.", path=("input", "period"))
    if kind in (AccoladeKind.PERSONAL_BEST, *_STREAKS) and request.period is None:
        raise Invalid(f"period: say what {kind.value} is counted by.", path=("input", "period"))
    _check_levels(request)


def _check_levels(request: SetRule) -> None:
    path, levels = ("input", "levels"), request.levels
    if request.kind in (AccoladeKind.FIRST, AccoladeKind.PERSONAL_BEST):
        if levels:
            raise Invalid(f"levels: {request.kind.value} has none.", path=path)
        return
    if not 1 <= len(levels) <= LEVELS_LIMIT or list(levels) != sorted(set(levels)):
        raise Invalid(f"levels: from 1 to {LEVELS_LIMIT} rising numbers.", path=path)
    if request.kind in _STREAKS:
        if any(level != level.to_integral_value() or not 2 <= level <= LONGEST_STREAK for level in levels):
            raise Invalid(f"levels: whole periods in a row, from 2 to {LONGEST_STREAK}.", path=path)
    elif any(not 0 < level < LARGEST_LEVEL or level != level.quantize(_STEP) for level in levels):
        raise Invalid("levels: above 0 and below 10^16, with at most four decimal places.", path=path)


async def set_rule(connection: Connection, viewer: Viewer, request: SetRule, now: datetime) -> Rule:
    """Make a rule or change one, in the caller's transaction. The worker then grants what has been reached.

    Raises:
        Forbidden: the viewer lacks `MANAGE_TEAM`.
        Invalid: the input does not fit, or the team has too many rules.
        NotFound: there is no such rule.
        Conflict: the name is taken, the rule has moved on, or the idempotency key was used for another input.
    """
    access.require_score_management(viewer)
    _check_rule(request)
    digest = digest_of_input(
        "setAccoladeRule",
        [
            request.rule_id,
            request.name,
            request.description,
            request.kind,
            request.metric,
            request.score_kind,
            request.minimum_score,
            request.period,
            request.levels,
            request.counts_from,
            request.expected_version,
        ],
    )

    async def work() -> str:
        return str(await _set_rule(connection, viewer, request, now))

    rule_id = UUID(await once(connection, viewer, request.idempotency_key, digest, work))
    return (await rules_by_id(connection, viewer.team_id, [rule_id]))[rule_id]


async def _set_rule(connection: Connection, viewer: Viewer, request: SetRule, now: datetime) -> UUID:
    team_id = viewer.team_id
    # Under the team's lock, so that two at once do not both find room or the same name free.
    await connection.execute("SELECT 1 FROM teams WHERE id = $1 FOR NO KEY UPDATE", team_id)
    rules = await list_rules(connection, team_id)
    before = next((rule for rule in rules if rule.id == request.rule_id), None)
    if request.rule_id is not None and before is None:
        raise NotFound("No such accolade rule.", path=("input", "ruleId"))
    number = 0 if before is None else before.version
    if request.expected_version is not None and request.expected_version != number:
        raise Conflict(
            f"expectedVersion: the rule is at version {number} by now, not {request.expected_version}; look at it "
            "again, and send that version.",
            path=("input", "expectedVersion"),
        )
    name = request.name.strip()
    # As accolade_rules_name_key compares: Python has other small letters for some.
    taken = await connection.fetchval(
        "SELECT true FROM accolade_rules WHERE team_id = $1 AND lower(name) = lower($2) AND removed_at IS NULL "
        "AND id IS DISTINCT FROM $3",
        team_id,
        name,
        request.rule_id,
    )
    if taken:
        raise Conflict("name: another rule has this name.", path=("input", "name"))
    counts_from = request.counts_from or (calendar_of(viewer).today(now) if before is None else before.counts_from)
    if before is None:
        if len(rules) >= RULES_LIMIT:
            raise Invalid(f"A team has at most {RULES_LIMIT} rules: remove one first.", path=("input",))
        rule_id = new_id()
        await connection.execute(
            """
            INSERT INTO accolade_rules (id, team_id, name, description, kind, metric, score_kind, minimum_score, period,
                levels, counts_from, created_by_id)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
            """,
            rule_id,
            team_id,
            name,
            request.description,
            request.kind.value,
            request.metric,
            None if request.score_kind is None else request.score_kind.value,
            request.minimum_score,
            None if request.period is None else request.period.value,
            list(request.levels),
            counts_from,
            viewer.user_id,
        )
    else:
        _check_same(before, request)
        rule_id = before.id
        await connection.execute(
            """
            UPDATE accolade_rules SET name = $3, description = $4, minimum_score = $5, levels = $6, counts_from = $7,
                version = version + 1, evaluated_on = NULL
            WHERE team_id = $1 AND id = $2
            """,
            team_id,
            rule_id,
            name,
            request.description,
            request.minimum_score,
            list(request.levels),
            counts_from,
        )
    after = (await rules_by_id(connection, team_id, [rule_id]))[rule_id]
    entry = NewEntry(
        AuditAction.ACCOLADE_RULE_SET,
        ("AccoladeRule", rule_id),
        None if before is None else _told(before),
        _told(after),
    )
    await audit.record(connection, viewer, [entry])
    await events.mark_changed(connection, team_id)
    return rule_id


def _check_same(before: Rule, request: SetRule) -> None:
    """A milestone must go on meaning what it meant when it was granted."""
    for name, was, wanted in (
        ("kind", before.kind, request.kind),
        ("metric", before.metric, request.metric),
        ("scoreKind", before.score_kind, request.score_kind),
        ("period", before.period, request.period),
    ):
        if was != wanted:
            raise Invalid(f"{name}: what a rule counts stays; remove it and make another one.", path=("input", name))


def _told(rule: Rule) -> dict[str, Any]:
    """A rule as the audit log tells it."""
    return {
        "name": rule.name,
        "kind": rule.kind.value,
        "metric": rule.metric,
        "score_kind": None if rule.score_kind is None else rule.score_kind.value,
        "minimum_score": None if rule.minimum_score is None else f"{rule.minimum_score:f}",
        "period": None if rule.period is None else rule.period.value,
        "levels": [f"{level:f}" for level in rule.levels],
        "counts_from": rule.counts_from.isoformat(),
        "version": rule.version,
    }


async def remove_rule(
    connection: Connection, viewer: Viewer, rule_id: UUID, *, expected_version: int | None = None
) -> Rule:
    """Grant nothing more by a rule, in the caller's transaction; what it granted stays.

    Raises:
        Forbidden: the viewer lacks `MANAGE_TEAM`.
        NotFound: there is no such rule.
        Conflict: the rule has moved on.
    """
    access.require_score_management(viewer)
    row = await connection.fetchrow(
        f"SELECT {_RULE} FROM accolade_rules WHERE team_id = $1 AND id = $2 FOR NO KEY UPDATE", viewer.team_id, rule_id
    )
    if row is None:
        raise NotFound("No such accolade rule.", path=("input", "ruleId"))
    rule = _rule(row)
    if rule.removed_at is not None:
        return rule
    if expected_version is not None and expected_version != rule.version:
        raise Conflict(
            f"expectedVersion: the rule is at version {rule.version} by now, not {expected_version}.",
            path=("input", "expectedVersion"),
        )
    await connection.execute(
        "UPDATE accolade_rules SET removed_at = now() WHERE team_id = $1 AND id = $2", viewer.team_id, rule_id
    )
    entry = NewEntry(AuditAction.ACCOLADE_RULE_REMOVED, ("AccoladeRule", rule_id), _told(rule), None)
    await audit.record(connection, viewer, [entry])
    return (await rules_by_id(connection, viewer.team_id, [rule_id]))[rule_id]


# --- Accolades


@dataclass(frozen=True, slots=True)
class AccoladeFilter:
    """Which accolades; all conditions must hold."""

    user_ids: tuple[UUID, ...] | None = None
    rule_ids: tuple[UUID, ...] | None = None
    achieved_from: date | None = None
    achieved_to: date | None = None
    include_revoked: bool = False


def _condition(sight: Sight, wanted: AccoladeFilter, arguments: list[object]) -> str:
    condition = sight.filter("a.user_id", arguments, team_column="a.team_id")
    for column, sign, value in (
        ("user_id", "= ANY (${}::uuid[])", wanted.user_ids),
        ("rule_id", "= ANY (${}::uuid[])", wanted.rule_ids),
        ("achieved_on", ">= ${}::date", wanted.achieved_from),
        ("achieved_on", "<= ${}::date", wanted.achieved_to),
    ):
        if value is not None:
            arguments.append(list(value) if isinstance(value, tuple) else value)
            condition += f" AND a.{column} {sign.format(len(arguments))}"
    return condition if wanted.include_revoked else f"{condition} AND a.revoked_at IS NULL"


async def list_accolades(
    connection: Connection, sight: Sight, wanted: AccoladeFilter, request: PageRequest
) -> Page[AccoladeView]:
    """A page of the accolades of people in sight, the newest grant first. Served by accolades_team_idx, for few people
    by accolades_user_idx."""
    arguments: list[object] = []
    condition = _condition(sight, wanted, arguments)
    if request.cursor is not None:
        arguments += decode_cursor("accolades", request.cursor, (datetime, UUID))
        n = len(arguments)
        condition += f" AND (a.granted_at, a.id) < (${n - 1}::timestamptz, ${n}::uuid)"
    arguments.append(request.limit + 1)
    rows = await connection.fetch(
        f"SELECT {_ACCOLADE} FROM accolades a WHERE {condition} "
        f"ORDER BY a.granted_at DESC, a.id DESC LIMIT ${len(arguments)}",
        *arguments,
    )
    found = [_accolade(row) for row in rows]
    cursors = [encode_cursor("accolades", one.granted_at.isoformat(), str(one.id)) for one in found]
    return page_of(request, found, cursors)


async def count_accolades(connection: Connection, sight: Sight, wanted: AccoladeFilter) -> int:
    """How many accolades of people in sight there are."""
    arguments: list[object] = []
    condition = _condition(sight, wanted, arguments)
    return int(await connection.fetchval(f"SELECT count(*) FROM accolades a WHERE {condition}", *arguments))


async def accolades_by_id(connection: Connection, sight: Sight, ids: Sequence[UUID]) -> dict[UUID, AccoladeView]:
    """Accolades by their rows, those of people in sight; revoked ones too."""
    arguments: list[object] = [list(ids)]
    condition = sight.filter("a.user_id", arguments, team_column="a.team_id")
    rows = await connection.fetch(
        f"SELECT {_ACCOLADE} FROM accolades a WHERE a.id = ANY ($1::uuid[]) AND {condition}", *arguments
    )
    return {row["id"]: _accolade(row) for row in rows}


def accolade_payload(accolade_id: UUID, user_id: UUID, rule_id: UUID | None) -> dict[str, Any]:
    """What an event says of an accolade: ids alone, so that nothing of a person outlives them in the outbox."""
    return {
        "accolade": str(accolade_id),
        "user": str(user_id),
        "rule": None if rule_id is None else str(rule_id),
    }


async def grant_reached(connection: Connection, team_id: UUID, found: Sequence[tuple[Rule, Sequence[Reached]]]) -> int:
    """Grant milestones of a team's rules to who has not had them, in the caller's transaction, each with its event, as
    the last thing that it does. Returns how many were new.

    Whoever else grants the same at the same time: one of them does it, the other one waits and finds it done.
    """
    told: list[NewEvent] = []
    for rule, reached in sorted(found, key=lambda pair: pair[0].id):
        if not reached:
            continue
        ordered = sorted(reached, key=lambda one: (one.user_id, one.milestone))
        # Dates and numbers as text: asyncpg asks the server about arrays of them once a connection.
        rows = await connection.fetch(
            """
            INSERT INTO accolades
                (id, team_id, user_id, rule_id, milestone, title, level, value, first_day, achieved_on)
            SELECT g.id, $1, g.user_id, $2, g.milestone, $3, g.level::numeric, g.value::numeric, g.first_day::date,
                g.achieved_on::date
            FROM unnest($4::uuid[], $5::uuid[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[])
                g (id, user_id, milestone, level, value, first_day, achieved_on)
            ON CONFLICT (team_id, user_id, rule_id, milestone) DO NOTHING
            RETURNING id, user_id
            """,
            team_id,
            rule.id,
            rule.name,
            [new_id() for _ in ordered],
            [one.user_id for one in ordered],
            [one.milestone for one in ordered],
            [None if one.level is None else f"{one.level:f}" for one in ordered],
            [None if one.value is None else f"{one.value:f}" for one in ordered],
            [None if one.first_day is None else one.first_day.isoformat() for one in ordered],
            [one.achieved_on.isoformat() for one in ordered],
        )
        told += [
            NewEvent(AccoladeEventType.ACCOLADE_GRANTED, accolade_payload(row["id"], row["user_id"], rule.id))
            for row in rows
        ]
    await events.record(connection, team_id, told)
    return len(told)


@dataclass(frozen=True, slots=True)
class GrantAccolade:
    """What to grant by hand."""

    user_id: UUID
    title: str
    message: str | None = None
    achieved_on: date | None = None
    idempotency_key: str | None = None


async def grant_by_hand(connection: Connection, viewer: Viewer, request: GrantAccolade, now: datetime) -> AccoladeView:
    """Grant an accolade by hand, in the caller's transaction.

    Raises:
        Forbidden: the viewer lacks `TEAM_VIEW`.
        Invalid: the input does not fit, the day has not come, it is the viewer, or the person has left.
        NotFound: the person is not in the viewer's scope.
        Conflict: the idempotency key was used for another input.
    """
    users = await access.see_users(connection, viewer)
    access.require_accolade_granting(viewer, users, request.user_id)
    _check_text(request.title, "title", NAME_LIMIT, least=1)
    _check_text(request.message, "message", MESSAGE_LIMIT)
    check_day(request.achieved_on, "achievedOn")
    today = calendar_of(viewer).today(now)
    if request.achieved_on is not None and request.achieved_on > today:
        raise Invalid("achievedOn: that day has not come yet.", path=("input", "achievedOn"))
    digest = digest_of_input("grantAccolade", [request.user_id, request.title, request.message, request.achieved_on])

    async def work() -> str:
        accolade_id = new_id()
        active = await connection.fetchval(
            "SELECT active FROM users WHERE team_id = $1 AND id = $2", viewer.team_id, request.user_id
        )
        if active is None:
            raise NotFound("No such user.", path=("input", "userId"))
        if not active:
            raise Invalid("userId: this person does not work with the team any more.", path=("input", "userId"))
        await connection.execute(
            """
            INSERT INTO accolades (id, team_id, user_id, title, message, achieved_on, granted_by_id)
            VALUES ($1, $2, $3, $4, $5, $6, $7)
            """,
            accolade_id,
            viewer.team_id,
            request.user_id,
            request.title.strip(),
            request.message,
            request.achieved_on or today,
            viewer.user_id,
        )
        # Its text stays out of the log, where it would outlive an erasure.
        entry = NewEntry(AuditAction.ACCOLADE_GRANTED, ("Accolade", accolade_id), None, {"user_id": request.user_id})
        await audit.record(connection, viewer, [entry])
        payload = accolade_payload(accolade_id, request.user_id, None)
        told = NewEvent(AccoladeEventType.ACCOLADE_GRANTED, payload, viewer.user_id)
        await events.record(connection, viewer.team_id, [told])
        return str(accolade_id)

    accolade_id = UUID(await once(connection, viewer, request.idempotency_key, digest, work))
    return (await accolades_by_id(connection, users, [accolade_id]))[accolade_id]


async def revoke(
    connection: Connection, viewer: Viewer, accolade_id: UUID, reason: str | None, now: datetime
) -> AccoladeView:
    """Take an accolade back, in the caller's transaction. It is kept, so that it is not granted again; revoking twice
    is revoking once.

    Raises:
        Forbidden: the viewer neither granted it nor has `MANAGE_TEAM`.
        Invalid: the reason is too long.
        NotFound: there is no such accolade in the viewer's scope.
    """
    _check_text(reason, "reason", DESCRIPTION_LIMIT)
    users = await access.see_users(connection, viewer)
    found = (await accolades_by_id(connection, users, [accolade_id])).get(accolade_id)
    if found is None:
        raise NotFound("No such accolade.", path=("input", "accoladeId"))
    access.require_accolade_revoking(viewer, found.granted_by_id)
    done = await connection.fetchval(
        """
        UPDATE accolades SET revoked_at = $3, revoked_by_id = $4, revoked_reason = $5
        WHERE team_id = $1 AND id = $2 AND revoked_at IS NULL RETURNING true
        """,
        viewer.team_id,
        accolade_id,
        now.astimezone(UTC),
        viewer.user_id,
        reason,
    )
    if done:
        entry = NewEntry(AuditAction.ACCOLADE_REVOKED, ("Accolade", accolade_id), {"user_id": found.user_id}, None)
        await audit.record(connection, viewer, [entry])
        payload = accolade_payload(accolade_id, found.user_id, found.rule_id)
        told = NewEvent(AccoladeEventType.ACCOLADE_REVOKED, payload, viewer.user_id)
        await events.record(connection, viewer.team_id, [told])
    return (await accolades_by_id(connection, users, [accolade_id]))[accolade_id]


def payload_ids(payload: Mapping[str, Any]) -> tuple[UUID, UUID]:
    """The accolade and whose it is, as an event says."""
    return UUID(payload["accolade"]), UUID(payload["user"])
