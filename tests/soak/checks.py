"""What is asked at the end, of PostgreSQL and of the API, and given to the functions that judge it."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from domain import audit
from domain.events import cursor_of
from domain.ids import encode_id
from domain.metrics import BASE_SUM_NAMES
from tests.oracle.boards import CELLS, Board
from tests.oracle.film import films
from tests.oracle.goals import Held
from tests.oracle.goals import World as Calendar
from tests.oracle.recount import PLAIN, QUOTIENTS, add_up, metric, newest, recount
from tests.soak.client import Client
from tests.soak.followers import told_of_row
from tests.soak.judging import (
    SHOWN,
    Told,
    judge_chains,
    judge_changes,
    judge_effects,
    judge_settled,
    judge_sums,
)
from tests.soak.world import World

METRICS = (*PLAIN, *QUOTIENTS)
BOARD = f"""query($range: RangeInput!, $group: ID, $metrics: [Metric!]) {{
  teamDashboard(range: $range, groupId: $group, metrics: $metrics) {{
    metrics {{ {CELLS} }} groups {{ group {{ id }} metrics {{ {CELLS} }} }}
    reps(first: 100) {{ nodes {{ user {{ id }} metrics {{ {CELLS} }} }} }} }} }}"""
RANGES_DAYS = (1, 7, 31, 100)
CHANGES = frozenset({"GOAL_CREATED", "GOAL_UPDATED"})
ONE = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Event:
    """An event as its row has it."""

    told: Told
    type: str
    payload: Mapping[str, Any]

    @property
    def goal(self) -> str:
        """The goal's id in GraphQL."""
        return encode_id("Goal", UUID(self.payload["goal"]["id"]))

    @property
    def metric(self) -> str:
        """The goal's metric."""
        return str(self.payload["goal"]["metric"])

    def subject(self, team_id: UUID) -> str:
        """Whose goal it is."""
        goal = self.payload["goal"]
        if goal["user"]:
            return encode_id("User", UUID(goal["user"]))
        return encode_id("Group", UUID(goal["group"])) if goal["group"] else encode_id("Team", team_id)


async def events_of(connection: Any, team_id: UUID) -> list[Event]:
    """All events of a team, in order."""
    rows = await connection.fetch(
        "SELECT position, type, payload FROM events WHERE team_id = $1 ORDER BY position", team_id
    )
    found = []
    for row in rows:
        payload = json.loads(row["payload"])
        cursor = cursor_of(team_id, row["position"])
        found.append(Event(told_of_row(cursor, row["type"], payload), row["type"], payload))
    return found


def judge_goals(world: World, events: Iterable[Event]) -> list[str]:
    """Each acknowledged change of goals had one event a subject; statuses follow on each other."""
    sets = [
        (f"{Decimal(event.payload['after']['target']).normalize():f}", event.subject(world.team_id))
        for event in events
        if event.type in CHANGES
    ]
    wanted = {f"{Decimal(number).normalize():f}": ids for number, ids in world.sets.items()}
    removed = [("removed", event.goal) for event in events if event.type == "GOAL_REMOVED"]
    statuses = [
        (f"{event.goal} {told['periodStart']}", told["before"], told["after"])
        for event in events
        if (told := event.payload.get("status")) is not None
    ]
    return [
        *judge_changes(wanted, sets),
        *judge_changes(
            {"removed": [one for ids in world.removes.values() for one in ids]}, removed, changing="goals removed"
        ),
        *judge_chains(statuses),
    ]


class Truth:
    """What a team's numbers are, by a count over everything that was sent to it."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def count(self, connection: Any) -> None:
        """Count. What was said of conversations is read from its own tables."""
        world, team_id = self.world, self.world.team_id
        names = await connection.fetch("SELECT id, external_id FROM activity_keys WHERE team_id = $1", team_id)
        self.standing = newest(world.records)
        said = films(
            {row["id"]: row["external_id"] for row in names},
            await connection.fetch("SELECT * FROM reviews WHERE team_id = $1", team_id),
            await connection.fetch("SELECT * FROM scorecards WHERE team_id = $1", team_id),
            await connection.fetch("SELECT * FROM calibrations WHERE team_id = $1", team_id),
        )
        self.sums = recount(self.standing, world.timezone, said)
        people = await connection.fetch(
            "SELECT id, email, group_id, started_on, ended_on FROM users WHERE team_id = $1", team_id
        )
        self.emails = {row["id"]: row["email"] for row in people}
        board = self.board = Board()
        board.world = Calendar(1, 1, False, lambda day: day.isoweekday() <= 5)
        board.users = {row["id"]: row["group_id"] for row in people}
        groups = await connection.fetch("SELECT id, parent_id FROM groups WHERE team_id = $1", team_id)
        board.parents = {row["id"]: row["parent_id"] for row in groups}
        there = {row["id"]: (row["started_on"], row["ended_on"]) for row in people}
        rows = await connection.fetch(
            "SELECT g.user_id, g.group_id, g.metric, g.period, v.target, v.effective_from, v.effective_to "
            "FROM goals g JOIN goal_versions v ON v.goal_id = g.id WHERE g.team_id = $1",
            team_id,
        )
        for row in rows:
            joined, left = there.get(row["user_id"], (None, None))
            first = max(row["effective_from"], joined or date.min)
            last = min(row["effective_to"] or date.max, left or date.max)
            if last >= first:
                held = Held(
                    row["period"], first, None if last == date.max else last, Fraction(row["target"]), board.world.works
                )
                subject = row["user_id"] or row["group_id"] or team_id
                board.held.setdefault((subject, row["metric"]), []).append(held)

    def judge_rollups(self, days: Iterable[Any], months: Iterable[Any]) -> list[str]:
        """Rollups against the count. Rows have `email`, `day` or `month`, and the sums."""

        def kept(rows: Iterable[Any], when: str) -> dict[Any, dict[str, Any]]:
            return {(row["email"], row[when]): {name: row[name] for name in BASE_SUM_NAMES} for row in rows}

        by_month: dict[Any, list[Any]] = defaultdict(list)
        for (email, day), sums in self.sums.items():
            by_month[email, day.replace(day=1)].append(sums)
        return [
            *judge_sums("rollups by day", kept(days, "day"), self.sums),
            *judge_sums(
                "rollups by month", kept(months, "month"), {key: add_up(parts) for key, parts in by_month.items()}
            ),
        ]

    def value(self, key: str, users: Iterable[UUID], days: list[date]) -> Decimal | None:
        """A metric of some people over some days."""
        emails = {self.emails[user] for user in users}
        first, last = days[0], days[-1]
        chosen = (sums for (email, day), sums in self.sums.items() if email in emails and first <= day <= last)
        return metric(key, add_up(chosen))

    async def judge_dashboards(self, client: Client) -> list[str]:
        """Every cell of the team's dashboards, over some ranges, for everybody and for a group."""
        found: list[str] = []
        today = datetime.now(UTC).astimezone(ZoneInfo(self.world.timezone)).date()
        groups = {encode_id("Group", group): group for group in self.board.parents}
        users = {encode_id("User", user): user for user in self.board.users}
        for length in RANGES_DAYS:
            for group in (None, self.world.groups[1]):
                first = today - client.chance.randint(0, length - 1) * ONE
                days = [first + number * ONE for number in range(length)]
                board = await client.ask(
                    "last look",
                    BOARD,
                    range={"from": days[0].isoformat(), "to": days[-1].isoformat()},
                    group=None if group is None else encode_id("Group", group),
                    metrics=list(METRICS),
                )
                whole, members = self.world.team_id, list(self.board.users)
                if group is not None:
                    whole, members = group, self.board.members(group)
                found += self._cells("team", board["metrics"], whole, members, days, today)
                for row in board["groups"]:
                    one = groups[row["group"]["id"]]
                    found += self._cells("group", row["metrics"], one, self.board.members(one), days, today)
                for row in board["reps"]["nodes"]:
                    user = users[row["user"]["id"]]
                    found += self._cells("rep", row["metrics"], user, [user], days, today)
        return found[:SHOWN]

    def _cells(
        self,
        what: str,
        cells: Iterable[dict[str, Any]],
        subject: UUID,
        users: list[UUID],
        days: list[date],
        today: date,
    ) -> list[str]:
        found = []
        where = f"dashboard of {what} {subject}, {days[0]} to {days[-1]}"
        for cell in cells:
            key = cell["metric"]
            shown, right = cell["value"], self.value(key, users, days)
            if (None if shown is None else Decimal(shown)) != right:
                found.append(f"{where}: {key} is {shown}, counted {right}")
            held = self.board.of_many(subject, users, key, days)
            if what == "rep":
                held = self.board.of(subject, key, days)
            try:
                self.board.check(cell, held, days, today)
            except AssertionError as error:
                found.append(f"{where}: {str(error)[:400]}")
        return found


async def judge_numbers(connection: Any, world: World, client: Client) -> list[str]:
    """Activities, rollups and dashboards against a count over everything that was sent."""
    truth = Truth(world)
    await truth.count(connection)
    team_id = world.team_id
    kept = await connection.fetchval("SELECT count(*) FROM activities WHERE team_id = $1", team_id)
    rows = {
        table: await connection.fetch(
            f"SELECT u.email, r.* FROM {table} r JOIN users u ON u.id = r.user_id WHERE r.team_id = $1", team_id
        )
        for table in ("rollup_days", "rollup_months")
    }
    refused = {
        table: float(await connection.fetchval(f"SELECT count(*) FROM {table} WHERE team_id = $1", team_id))
        for table in ("quarantined_records", "quarantined_documents")
    }
    return [
        *([] if kept == len(truth.standing) else [f"{kept} activities are kept, {len(truth.standing)} stand"]),
        *truth.judge_rollups(rows["rollup_days"], rows["rollup_months"]),
        *judge_settled("refused", refused),
        *await truth.judge_dashboards(client),
    ]


async def judge_work(connection: Any, world: World) -> list[str]:
    """Jobs and scheduled actions are done, each once, with their effects."""
    team_id = world.team_id
    rows = await connection.fetch("SELECT id, kind, state, error FROM jobs WHERE team_id = $1", team_id)
    found = [
        f"job {row['id']} ({row['kind']}) ended {row['state']}: {row['error']}"
        for row in rows
        if row["state"] != "SUCCEEDED"
    ]
    known = {encode_id("Job", row["id"]) for row in rows}
    found += [f"{kind}: a job is gone: {job}" for kind, jobs in world.jobs.items() for job in jobs if job not in known]
    made = await connection.fetch("SELECT id, title, kind FROM scheduled_actions WHERE team_id = $1", team_id)
    found += judge_changes(
        world.actions,
        [(row["title"], encode_id("ScheduledAction", row["id"])) for row in made],
        changing="scheduled actions",
    )
    runs = await connection.fetch("SELECT action_id, state, error FROM action_runs WHERE team_id = $1", team_id)
    found += judge_effects("scheduled actions", [row["id"] for row in made], [row["action_id"] for row in runs])
    found += [f"a scheduled action ended {row['state']}: {row['error']}" for row in runs if row["state"] != "SUCCEEDED"]
    effects: dict[str, list[UUID]] = {
        "report_snapshots": [row["id"] for row in made if row["kind"] == "report_snapshot"],
        "outgoing_messages": [row["id"] for row in made if row["kind"] in ("digest", "goal_reminder")],
    }
    for table, wanted in effects.items():
        had = await connection.fetch(f"SELECT action_id FROM {table} WHERE team_id = $1", team_id)
        found += judge_effects(table, wanted, [row["action_id"] for row in had])
    return found


async def judge_words(connection: Any, world: World) -> list[str]:
    """What was acknowledged of comments, scorecards and plans is there."""

    async def missing(what: str, query: str, wanted: Mapping[str, str], name: Callable[[Any], str]) -> list[str]:
        rows = {name(row["id"]): row["said"] for row in await connection.fetch(query, world.team_id)}
        lost = [one for one, said in wanted.items() if rows.get(one) != said]
        return [f"{what}: {len(lost)} acknowledged and not there, such as {lost[:SHOWN]}"] if lost else []

    def naming(kind: str) -> Callable[[Any], str]:
        return lambda row_id: encode_id(kind, row_id)

    return [
        *await missing(
            "comments", "SELECT id, body AS said FROM comments WHERE team_id = $1", world.comments, naming("Comment")
        ),
        *await missing(
            "scorecards",
            "SELECT id, state AS said FROM scorecards WHERE team_id = $1",
            dict.fromkeys(world.cards, "SUBMITTED"),
            naming("Scorecard"),
        ),
        *await missing(
            "plans",
            "SELECT id, title AS said FROM coaching_plans WHERE team_id = $1",
            world.plans,
            naming("CoachingPlan"),
        ),
    ]


async def judge_audit(connection: Any, world: World) -> list[str]:
    """The chain of the audit log verifies."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        found = await audit.verify(connection, world.team_id)
    return [] if found.reason is None else [f"audit log: {found.reason}"]
