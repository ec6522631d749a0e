"""Finding who has reached a milestone: after a team's numbers have changed, and at its midnight.

Totals and firsts are looked for after each change, in SQL over the rollups; among totals within a period, those of
periods that have been running since the last look, and of the one before: what comes late to a period that has just
ended still counts. Streaks and bests are about whole periods and are judged when another one is over, at the team's
midnight, by the numbers as they stand then: what came late to a period counts with the next one.

A period on which somebody does not work at all (a weekend of goals per day, leave) neither continues a streak nor ends
it. A period that was worked without a goal, or without a score, ends it.

Days are counted anew when a team changes its calendar, and a late correction may lengthen a streak at its beginning. So
nothing is granted that overlaps what the same level was granted for before: it is the same streak, or the same week.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING
from uuid import UUID
from zoneinfo import ZoneInfo

from domain.access import Sight
from domain.accolades import LONGEST_STREAK, Reached, Rule, grant_reached, list_rules
from domain.goal_board import load_board
from domain.goal_evaluation import calendar_of_team
from domain.metrics import METRICS, NO_SUMS, available_metrics, compute
from domain.models.base import new_id
from domain.models.goals import GoalPeriod
from domain.models.scores import AccoladeKind
from domain.pacing import Part
from domain.people import connected_feeds
from domain.periods import Calendar, Days, overlap
from domain.records import EARLIEST
from domain.score_board import LOT, Asked, Chosen, load_scores, read_sums
from domain.scoring import ScoreGap

if TYPE_CHECKING:
    from fractions import Fraction

    from domain.database import Connection

MOST_PERIODS = 2 * LONGEST_STREAK
"""So many periods back a rule looks when it is new."""
MARGIN_PERIODS = 4
"""So many periods beyond its longest streak are looked at again when another one has ended."""
BEST_AFTER_PERIODS = 4
"""A best is told once so many periods before it had something."""


async def teams_due(connection: Connection) -> list[UUID]:
    """Teams with rules whose goals have been evaluated since, which follows every change of their numbers; and those
    whose midnight has come. Served by the keys of all three tables."""
    rows = await connection.fetch(
        """
        SELECT r.team_id FROM (SELECT DISTINCT team_id FROM accolade_rules WHERE removed_at IS NULL) r
        LEFT JOIN accolade_evaluations e ON e.team_id = r.team_id
        LEFT JOIN goal_evaluations g ON g.team_id = r.team_id
        WHERE e.team_id IS NULL OR e.due_at <= now() OR g.generation > e.generation
        """
    )
    return [row["team_id"] for row in rows]


async def evaluate_accolades(connection: Connection, team_id: UUID, now: datetime) -> int | None:
    """Grant what has been reached on a team, in the caller's transaction. Returns how many accolades are new; None
    while somebody else looks.

    What changes meanwhile makes the team due again.
    """
    await connection.execute(
        "INSERT INTO accolade_evaluations (id, team_id) VALUES ($1, $2) ON CONFLICT DO NOTHING", new_id(), team_id
    )
    mine = await connection.fetchval(
        "SELECT true FROM accolade_evaluations WHERE team_id = $1 FOR UPDATE SKIP LOCKED", team_id
    )
    if not mine:
        return None
    generation = await connection.fetchval("SELECT generation FROM goal_evaluations WHERE team_id = $1", team_id)
    calendar = await calendar_of_team(connection, team_id)
    look = _Look(connection, team_id, calendar, now, available_metrics(await connected_feeds(connection, team_id)))
    rules = [rule for rule in await list_rules(connection, team_id) if look.can_tell(rule)]
    found = [(rule, await look.at(rule)) for rule in rules]
    await connection.execute(
        "UPDATE accolade_rules SET evaluated_on = $3 "
        "WHERE team_id = $1 AND id = ANY ($2::uuid[]) AND evaluated_on IS DISTINCT FROM $3",
        team_id,
        [rule.id for rule in rules],
        look.today,
    )
    midnight = datetime.combine(look.today + timedelta(days=1), datetime.min.time(), ZoneInfo(calendar.timezone))
    await connection.execute(
        "UPDATE accolade_evaluations SET generation = $2, due_at = $3 WHERE team_id = $1",
        team_id,
        -1 if generation is None else generation,
        midnight,
    )
    return await grant_reached(connection, team_id, found)


def _text(level: Decimal) -> str:
    return f"{level.normalize():f}"


@dataclass(frozen=True, slots=True)
class Streak:
    """A run of periods in a row that somebody attained.

    Args:
        ends: The last days of the attained periods, in order.
        first_day: The first day of the first of them.
        open_beginning: Whether it may have begun before what was looked at.
    """

    first_day: date
    ends: tuple[date, ...]
    open_beginning: bool


def streaks(periods: Sequence[Days], attained: Sequence[bool | None]) -> list[Streak]:
    """The runs among some periods.

    Args:
        periods: In order, without gaps.
        attained: Of each whether it was attained; None where nothing was asked of the person.
    """
    found: list[Streak] = []
    first: Days | None = None
    ends: list[date] = []
    # Nothing but periods that do not count has been seen so far.
    at_beginning = opened = True
    for period, kept in zip(periods, attained, strict=True):
        if kept:
            if first is None:
                first, opened = period, at_beginning
            ends.append(period.last)
        elif kept is False and first is not None:
            found.append(Streak(first.first, tuple(ends), opened))
            first, ends = None, []
        at_beginning = at_beginning and kept is None
    if first is not None:
        found.append(Streak(first.first, tuple(ends), opened))
    return found


@dataclass(frozen=True, slots=True)
class _Look:
    """One look at a team.

    Args:
        connection: Inside the evaluation's transaction.
        team_id: The team.
        calendar: How it counts days.
        now: The clock.
        available: The metrics whose feed is connected.
    """

    connection: Connection
    team_id: UUID
    calendar: Calendar
    now: datetime
    available: frozenset[str]

    @property
    def today(self) -> date:
        """The team's day."""
        return self.calendar.today(self.now)

    def can_tell(self, rule: Rule) -> bool:
        """Whether what feeds a rule's metric is connected. Until then the rule stays new, so that what is brought of
        the past then counts."""
        return rule.metric is None or rule.metric in self.available

    async def at(self, rule: Rule) -> list[Reached]:
        """What has been reached by a rule and not been granted."""
        if rule.kind is AccoladeKind.TOTAL:
            return await (self._totals(rule) if rule.period is None else self._totals_in_periods(rule, rule.period))
        if rule.kind is AccoladeKind.FIRST:
            return await self._firsts(rule)
        assert rule.period is not None, "streaks and bests have one"
        if rule.evaluated_on is not None and self.today <= self.calendar.period(rule.period, rule.evaluated_on).last:
            # No period has ended since.
            return []
        if rule.kind is AccoladeKind.PERSONAL_BEST:
            return await self._bests(rule, rule.period)
        return await self._streaks(rule, rule.period)

    def _periods(self, kind: GoalPeriod, first: date, last: date, *, most: int = MOST_PERIODS) -> list[Days]:
        """The periods from the one that holds the first day to the one that holds the last, at most so many of them."""
        found: list[Days] = []
        day = last
        while day >= first and len(found) < most:
            found.append(self.calendar.period(kind, day))
            day = found[-1].first - timedelta(days=1)
        return found[::-1]

    async def _totals(self, rule: Rule) -> list[Reached]:
        """Totals over all that is known; the months tell who comes into question, their days on which day it was.

        Served by rollup_months_month_idx, the primary key of rollup_days and accolades_milestone_key.
        """
        column = _column(rule)
        rows = await self.connection.fetch(
            f"""
            WITH totals AS (
                SELECT m.user_id, sum(m.{column}) AS total FROM rollup_months m
                JOIN users u ON u.team_id = m.team_id AND u.id = m.user_id AND u.active
                WHERE m.team_id = $1 GROUP BY m.user_id HAVING sum(m.{column}) >= $3
            ), missing AS MATERIALIZED (
                SELECT t.user_id, array_agg(l.level) AS levels
                FROM totals t JOIN unnest($4::text[]::numeric[]) l (level) ON l.level <= t.total
                WHERE NOT EXISTS (SELECT 1 FROM accolades a WHERE a.team_id = $1 AND a.user_id = t.user_id
                    AND a.rule_id = $2 AND a.level = l.level)
                GROUP BY t.user_id
            ), running AS (
                SELECT d.user_id, d.day, m.levels, sum(d.{column}) OVER (PARTITION BY d.user_id) AS whole,
                    sum(d.{column}) OVER (PARTITION BY d.user_id ORDER BY d.day) AS total
                FROM missing m JOIN rollup_days d ON d.team_id = $1 AND d.user_id = m.user_id AND d.day <= $5
            )
            SELECT r.user_id, l.level, min(r.day) AS day, r.whole AS total
            FROM running r CROSS JOIN LATERAL unnest(r.levels) l (level)
            WHERE r.total >= l.level AND r.whole >= l.level
            GROUP BY r.user_id, l.level, r.whole HAVING min(r.day) >= $6
            """,
            self.team_id,
            rule.id,
            min(rule.levels),
            [_text(level) for level in rule.levels],
            self.today,
            rule.counts_from,
        )
        return [
            Reached(row["user_id"], _text(row["level"]), row["day"], row["level"], Decimal(row["total"]))
            for row in rows
        ]

    async def _totals_in_periods(self, rule: Rule, kind: GoalPeriod) -> list[Reached]:
        """Totals within the periods since the last look, and the one before. Served by rollup_days_day_idx."""
        column = _column(rule)
        first = rule.counts_from
        if rule.evaluated_on is not None:
            before = self.calendar.period(kind, rule.evaluated_on).first - timedelta(days=1)
            first = max(first, before)
        periods = self._periods(kind, first, self.today)
        if not periods:
            return []
        rows = await self.connection.fetch(
            f"""
            WITH bounds AS MATERIALIZED (SELECT $3::text[]::date[] AS starts), days AS (
                SELECT d.user_id, d.day, width_bucket(d.day, (SELECT starts FROM bounds)) AS step, d.{column} AS amount
                FROM rollup_days d JOIN users u ON u.team_id = d.team_id AND u.id = d.user_id AND u.active
                WHERE d.team_id = $1 AND d.day BETWEEN $4 AND $5
            ), running AS (
                SELECT user_id, day, step, sum(amount) OVER (PARTITION BY user_id, step ORDER BY day) AS total,
                    sum(amount) OVER (PARTITION BY user_id, step) AS whole
                FROM days
            )
            SELECT r.user_id, r.step, l.level, min(r.day) AS day, r.whole
            FROM running r JOIN unnest($6::text[]::numeric[]) l (level) ON r.total >= l.level AND r.whole >= l.level
            GROUP BY r.user_id, r.step, l.level, r.whole
            HAVING min(r.day) >= $7 AND NOT EXISTS (
                SELECT 1 FROM accolades a WHERE a.team_id = $1 AND a.user_id = r.user_id AND a.rule_id = $2
                    AND a.level = l.level AND a.first_day <= min(r.day)
                    AND a.achieved_on >= ((SELECT starts FROM bounds))[r.step]
            )
            """,
            self.team_id,
            rule.id,
            [period.first.isoformat() for period in periods],
            periods[0].first,
            min(periods[-1].last, self.today),
            [_text(level) for level in rule.levels],
            rule.counts_from,
        )
        found = []
        for row in rows:
            period = periods[row["step"] - 1]
            milestone = f"{period.first.isoformat()}:{_text(row['level'])}"
            value = Decimal(row["whole"])
            found.append(Reached(row["user_id"], milestone, row["day"], row["level"], value, period.first))
        return found

    async def _firsts(self, rule: Rule) -> list[Reached]:
        """First days; the months tell who comes into question. Served as totals are."""
        column = _column(rule)
        rows = await self.connection.fetch(
            f"""
            WITH wanted AS MATERIALIZED (
                SELECT m.user_id, min(m.month) AS month FROM rollup_months m
                JOIN users u ON u.team_id = m.team_id AND u.id = m.user_id AND u.active
                WHERE m.team_id = $1 AND m.{column} > 0 AND NOT EXISTS (
                    SELECT 1 FROM accolades a WHERE a.team_id = $1 AND a.user_id = m.user_id AND a.rule_id = $2)
                GROUP BY m.user_id
            )
            SELECT d.user_id, min(d.day) AS day
            FROM wanted w JOIN rollup_days d ON d.team_id = $1 AND d.user_id = w.user_id AND d.day >= w.month
                AND d.day <= $3 AND d.{column} > 0
            WHERE w.month >= date_trunc('month', $4::date)
            GROUP BY d.user_id HAVING min(d.day) >= $4
            """,
            self.team_id,
            rule.id,
            self.today,
            rule.counts_from,
        )
        return [Reached(row["user_id"], "first", row["day"]) for row in rows]

    async def _bests(self, rule: Rule, kind: GoalPeriod) -> list[Reached]:
        """Periods with more than all before them. Served by rollup_days_day_idx."""
        column = _column(rule)
        over = self.calendar.period(kind, self.today).first - timedelta(days=1)
        periods = self._periods(kind, EARLIEST.date(), over)
        if not periods or periods[-1].last < rule.counts_from:
            return []
        first = rule.counts_from
        if rule.evaluated_on is not None:
            # The period that has ended since, and the one before for what came late.
            first = max(first, self._periods(kind, EARLIEST.date(), rule.evaluated_on, most=2)[0].first)
        rows = await self.connection.fetch(
            f"""
            WITH bounds AS MATERIALIZED (SELECT $3::text[]::date[] AS starts), steps AS (
                SELECT d.user_id, width_bucket(d.day, (SELECT starts FROM bounds)) AS step, sum(d.{column}) AS total
                FROM rollup_days d JOIN users u ON u.team_id = d.team_id AND u.id = d.user_id AND u.active
                WHERE d.team_id = $1 AND d.day BETWEEN $4 AND $5 GROUP BY 1, 2 HAVING sum(d.{column}) > 0
            ), compared AS (
                SELECT user_id, step, total, max(total) OVER earlier AS best, count(*) OVER earlier AS count
                FROM steps WINDOW earlier AS (
                    PARTITION BY user_id ORDER BY step ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
            )
            SELECT c.user_id, c.step, c.total FROM compared c
            WHERE c.total > c.best AND c.count >= $6 AND ((SELECT starts FROM bounds))[c.step] >= $7 AND NOT EXISTS (
                SELECT 1 FROM accolades a WHERE a.team_id = $1 AND a.user_id = c.user_id AND a.rule_id = $2
                    AND a.achieved_on >= ((SELECT starts FROM bounds))[c.step]
                    AND a.first_day < coalesce(((SELECT starts FROM bounds))[c.step + 1], 'infinity')
            )
            """,
            self.team_id,
            rule.id,
            [period.first.isoformat() for period in periods],
            periods[0].first,
            periods[-1].last,
            BEST_AFTER_PERIODS,
            first,
        )
        found = []
        for row in rows:
            period, value = periods[row["step"] - 1], Decimal(row["total"])
            found.append(Reached(row["user_id"], period.first.isoformat(), period.last, None, value, period.first))
        return found

    async def _streaks(self, rule: Rule, kind: GoalPeriod) -> list[Reached]:
        """Runs of periods that are over, whose levels have not been granted."""
        longest = int(max(rule.levels))
        over = self.calendar.period(kind, self.today).first - timedelta(days=1)
        first, most = rule.counts_from, MOST_PERIODS
        if self.calendar.period(kind, first).first < first:
            # The rule began in the middle of this one.
            first = self.calendar.period(kind, first).last + timedelta(days=1)
        if rule.evaluated_on is not None:
            since = len(self._periods(kind, rule.evaluated_on, over))
            most = min(most, longest + MARGIN_PERIODS + since)
        periods = self._periods(kind, first, over, most=most)
        if not periods:
            return []
        cut = periods[0].first > first
        if rule.kind is AccoladeKind.GOAL_STREAK:
            kept = await self._attained(rule, kind, periods)
        else:
            kept = await self._scored(rule, periods)
        granted = await self._granted(rule)
        found = []
        for user_id, attained in kept.items():
            for streak in streaks(periods, attained):
                # One that began before what is looked at has had its levels when it was younger.
                if cut and streak.open_beginning:
                    continue
                found += _levels(rule, user_id, streak, granted.get(user_id, ()))
        return found

    async def _granted(self, rule: Rule) -> dict[UUID, list[tuple[Decimal, date, date]]]:
        """The levels of a rule that people have had, and for which days. Served by accolades_milestone_key."""
        rows = await self.connection.fetch(
            """
            SELECT a.user_id, a.level, a.first_day, a.achieved_on
            FROM users u JOIN accolades a ON a.team_id = u.team_id AND a.user_id = u.id AND a.rule_id = $2
            WHERE u.team_id = $1 AND u.active
            """,
            self.team_id,
            rule.id,
        )
        found: dict[UUID, list[tuple[Decimal, date, date]]] = {}
        for row in rows:
            found.setdefault(row["user_id"], []).append((row["level"], row["first_day"], row["achieved_on"]))
        return found

    async def _active(self) -> frozenset[UUID]:
        rows = await self.connection.fetch("SELECT id FROM users WHERE team_id = $1 AND active", self.team_id)
        return frozenset(row["id"] for row in rows)

    async def _attained(self, rule: Rule, kind: GoalPeriod, periods: Sequence[Days]) -> dict[UUID, list[bool | None]]:
        """Of each person with such a goal, which periods were attained."""
        metric = rule.metric
        assert metric is not None, "the rule is about a metric's goal"
        span = Days(periods[0].first, periods[-1].last)
        active = await self._active()
        board = await load_board(
            self.connection, self.team_id, self.calendar, self.now, span, metrics=[metric], user_ids=sorted(active)
        )
        parts_of = {
            user_id: kinds[kind]
            for (user_id, _metric), kinds in board.own.items()
            if user_id in active and kind in kinds
        }
        windows: dict[tuple[UUID, int], Days] = {}
        targets: dict[tuple[UUID, int], Fraction] = {}
        for number, (user_id, parts) in enumerate(parts_of.items()):
            if number % LOT == 0:
                await asyncio.sleep(0)
            for place, period in enumerate(periods):
                held = _held(parts, period)
                target = board.proration.target(parts, period, quotient=METRICS[metric].is_quotient)
                if held is not None and target is not None:
                    windows[user_id, place], targets[user_id, place] = held, target
        wanted = {(user_id, days) for (user_id, _place), days in windows.items()}
        sums = await read_sums(self.connection, self.team_id, wanted, [metric])

        def attained(user_id: UUID, place: int) -> bool | None:
            target = targets.get((user_id, place))
            if target is None:
                return False
            if not target:
                return None
            actual = compute(metric, sums.get((user_id, windows[user_id, place]), NO_SUMS))
            return actual is not None and actual >= target

        return {user_id: [attained(user_id, place) for place in range(len(periods))] for user_id in parts_of}

    async def _scored(self, rule: Rule, periods: Sequence[Days]) -> dict[UUID, list[bool | None]]:
        """Of each person who is scored, in which periods the score was high enough."""
        assert rule.score_kind is not None, "the rule is about scores"
        assert rule.minimum_score is not None, "the rule is about scores"
        kind, minimum = rule.score_kind, rule.minimum_score
        asked = [Asked(period, period) for period in periods]
        everybody = Chosen(Sight(self.team_id, False, await self._active()))
        board = await load_scores(self.connection, everybody, self.calendar, self.now, [kind], asked, with_pace=False)

        def reached(user_id: UUID, one: Asked) -> bool | None:
            score = board.score(user_id, kind, one)
            if score.value is None:
                return None if score.gap is ScoreGap.NO_WORKING_TIME else False
            return score.value >= minimum

        scored = {user_id for user_id, _kind, _asked in board.scores}
        return {user_id: [reached(user_id, one) for one in asked] for user_id in scored}


def _levels(rule: Rule, user_id: UUID, streak: Streak, granted: Sequence[tuple[Decimal, date, date]]) -> list[Reached]:
    """The levels of a streak that have not been granted for any of its days."""
    found = []
    for level in rule.levels:
        if level > len(streak.ends):
            break
        had = any(
            known == level and first <= streak.ends[-1] and last >= streak.first_day for known, first, last in granted
        )
        if not had:
            achieved_on = streak.ends[int(level) - 1]
            milestone = f"{streak.first_day.isoformat()}:{_text(level)}"
            found.append(Reached(user_id, milestone, achieved_on, level, None, streak.first_day))
    return found


def _held(parts: Sequence[Part], days: Days) -> Days | None:
    """The days on which some parts of a goal hold, from the first to the last."""
    held = [common for part in parts if (common := overlap(days, part.first, part.last)) is not None]
    return Days(min(one.first for one in held), max(one.last for one in held)) if held else None


def _column(rule: Rule) -> str:
    """The base sum that a rule adds up."""
    assert rule.metric is not None, "the rule adds a metric up"
    metric = METRICS[rule.metric]
    assert not metric.is_quotient, "a rate does not add up"
    return metric.numerator
