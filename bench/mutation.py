"""Setting goals for one rep and for a hundred, against the bare statements that leave the same rows behind.

Rows are a version of the goal that ends the one before, an event with its position and its whole payload, the mark
that goals are to be evaluated, and two notifications, in one transaction that waits for the disk. Ours is from the ASGI
call to the last byte, with authentication, permission and validation.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import orjson
from starlette.applications import Starlette

from bench.floors import InProcess, serving
from bench.measure import Comparison, compare
from bench.people import Staff, make_staff, set_goals, settle
from domain.events import CHANGES_CHANNEL, EVENTS_CHANNEL, EventType
from domain.ids import encode_id
from domain.models.goals import GoalPeriod

SUBJECTS = 100
ROUNDS = 40
GOAL = 3.0
METRIC = "CALLS_LOGGED"

_DOCUMENT = """
mutation($input: SetGoalsInput!) { setGoals(input: $input) { goals { id version target } errors { code message } } }
"""
# Served by goals_subject_key and goal_versions_open_key.
_END = f"""
UPDATE goal_versions v SET effective_to = current_date - 1 FROM goals g
WHERE g.team_id = $1 AND coalesce(g.user_id, g.group_id, g.team_id) = ANY ($2::uuid[]) AND g.metric = '{METRIC}'
    AND g.period = '{GoalPeriod.MONTH.value}' AND v.team_id = g.team_id AND v.goal_id = g.id AND v.effective_to IS NULL
RETURNING g.id, g.user_id, v.version, v.target, v.effective_from, v.set_at
"""
_BEGIN = f"""
WITH mine AS MATERIALIZED (
    SELECT * FROM unnest($2::uuid[], $5::uuid[], $6::int[], $7::numeric[], $8::date[], $9::timestamptz[])
        m (id, user_id, version, target, effective_from, set_at)
), made AS (
    INSERT INTO goal_versions (id, team_id, goal_id, version, target, effective_from, set_by_id, set_at)
    SELECT uuidv7(), $1, m.id, m.version + 1, $3, current_date, $4, now() FROM mine m
    RETURNING goal_id, version, target
), head AS (
    UPDATE event_heads SET position = position + (SELECT count(*) FROM mine) WHERE team_id = $1 RETURNING position
), told AS (
    INSERT INTO events (id, team_id, position, type, actor_id, payload)
    SELECT uuidv7(), $1, h.position - row_number() OVER (ORDER BY m.id DESC) + 1, '{EventType.GOAL_UPDATED.value}', $4,
        jsonb_build_object(
            'goal', jsonb_build_object('id', m.id, 'user', m.user_id, 'group', NULL, 'metric', '{METRIC}', 'period',
                '{GoalPeriod.MONTH.value}', 'newest', a.version),
            'before', jsonb_build_object('setAt', m.set_at, 'setBy', $4::uuid, 'target', m.target::text, 'version',
                m.version, 'effectiveTo', NULL, 'effectiveFrom', m.effective_from),
            'after', a.version)
    FROM mine m, head h, LATERAL (SELECT jsonb_build_object('setAt', now(), 'setBy', $4::uuid, 'target', $3::text,
        'version', m.version + 1, 'effectiveTo', NULL, 'effectiveFrom', current_date) AS version) a
), marked AS (
    INSERT INTO metric_changes (id, team_id) VALUES (uuidv7(), $1)
)
SELECT goal_id, version, trim_scale(target)::text AS target,
    (SELECT pg_notify('{CHANGES_CHANNEL}', $1::text) IS NULL), (SELECT pg_notify('{EVENTS_CHANNEL}', $1::text) IS NULL)
FROM made
"""


async def _counts(bare: Any, staff: Staff, users: Sequence[UUID]) -> tuple[Any, ...]:
    """How many versions and events there are for some reps, and what they are to reach now."""
    row = await bare.fetchrow(
        f"""
        SELECT count(*) AS versions, count(DISTINCT v.target) FILTER (WHERE v.effective_to IS NULL) AS targets,
            count(*) FILTER (WHERE v.effective_to IS NULL) AS open,
            (SELECT count(*) FROM events e WHERE e.team_id = $1 AND e.payload -> 'goal' ->> 'metric' = '{METRIC}'
                AND (e.payload -> 'goal' ->> 'user')::uuid = ANY ($2::uuid[])) AS events
        FROM goals g JOIN goal_versions v ON v.team_id = g.team_id AND v.goal_id = g.id
        WHERE g.team_id = $1 AND g.user_id = ANY ($2::uuid[]) AND g.metric = '{METRIC}'
        """,
        staff.team_id,
        users,
    )
    return tuple(row)


async def _measure(app: Starlette, bare: Any, staff: Staff, ours: Sequence[UUID], its: Sequence[UUID]) -> Comparison:
    asking, targets = InProcess(app, staff.token), itertools.count(1_000)
    ids = [encode_id("User", user_id) for user_id in ours]

    async def mine() -> None:
        given = {"metric": METRIC, "period": GoalPeriod.MONTH.value, "target": str(next(targets)), "userIds": ids}
        body = orjson.dumps({"query": _DOCUMENT, "variables": {"input": given}})
        answer = orjson.loads(await asking.ask(body))["data"]["setGoals"]
        assert len(answer["goals"]) == len(ids), answer
        assert not answer["errors"], answer

    async def floor() -> None:
        async with bare.transaction():
            ended = await bare.fetch(_END, staff.team_id, its)
            goals, *columns = (list(column) for column in zip(*ended, strict=True))
            rows = await bare.fetch(_BEGIN, staff.team_id, goals, next(targets), staff.boss_id, *columns)
        made = [{"id": row[0], "version": row[1], "target": row[2]} for row in rows]
        orjson.dumps({"data": {"setGoals": {"goals": made, "errors": []}}}, default=str)
        assert len(made) == len(its)

    before = await _counts(bare, staff, ours), await _counts(bare, staff, its)
    name = f"setGoals for {len(ours)} rep{'s' if len(ours) > 1 else ''}"
    found = await compare(name, mine, floor, goal=GOAL, rounds=ROUNDS)
    after = await _counts(bare, staff, ours), await _counts(bare, staff, its)
    assert before[0] == before[1], before
    assert after[0] == after[1], after
    return found


async def measure(database_url: str, redis_url: str, subjects: int = SUBJECTS) -> list[Comparison]:
    """One subject, and so many."""
    async with serving(database_url, redis_url) as app:
        staff = await make_staff("Mutation", 2 * subjects + 2)
        await set_goals(staff, datetime.now(UTC).date() - timedelta(days=1))
        await settle(database_url)
        bare = await asyncpg.connect(database_url, server_settings={"jit": "off"})
        try:
            one, other, *many = sorted(staff.reps)
            return [
                await _measure(app, bare, staff, [one], [other]),
                await _measure(app, bare, staff, many[:subjects], many[subjects:]),
            ]
        finally:
            await bare.close()
