"""The catalogue: every metric that clients rely on, the tables' own columns, formulas that are one in two forms."""

from __future__ import annotations

from random import Random

from domain.database import ALL_TEAMS, acquire
from domain.metrics import BASE_SUM_NAMES, BASE_SUMS, METRICS, RATIO_STEP, compute, compute_all, sql_expression
from domain.models import RollupDay, RollupMonth

PROMISED = """
  EMAILS_SENT EMAILS_REPLIED REPLY_RATE EMAILS_OPENED OPEN_RATE EMAILS_BOUNCED BOUNCE_RATE
  CALLS_LOGGED CALLS_CONNECTED CONNECT_RATE TALK_TIME
  MEETINGS_BOOKED MEETINGS_HELD MEETING_NO_SHOWS SHOW_RATE
  CONVERSATIONS_RECORDED TALK_RATIO LONGEST_MONOLOGUE QUESTIONS_ASKED
  CADENCE_STEPS_COMPLETED PEOPLE_ADDED TASKS_COMPLETED
  OPPORTUNITIES_CREATED NEW_PIPELINE CLOSED_WON_COUNT CLOSED_WON_AMOUNT WIN_RATE
""".split()


def test_every_promised_metric_is_there() -> None:
    assert set(PROMISED) <= set(METRICS)


def test_base_sums_are_the_rollups_columns() -> None:
    for model in (RollupDay, RollupMonth):
        columns = set(model._meta.fields_db_projection) - {"id", "team_id", "user_id", "day", "month"}
        assert columns == set(BASE_SUM_NAMES)


async def test_the_formula_in_sql_is_the_formula_in_python(database: str) -> None:
    random = Random(1)
    async with acquire(ALL_TEAMS) as connection:
        for _ in range(20):
            sums = tuple(random.choice((0, random.randrange(10_000))) for _ in BASE_SUMS)
            columns = ", ".join(f"{value}::bigint AS {name}" for name, value in zip(BASE_SUM_NAMES, sums, strict=True))
            expressions = ", ".join(sql_expression(key, "s") for key in METRICS)
            row = await connection.fetchrow(f"SELECT {expressions} FROM (SELECT {columns}) s")
            for key, found in zip(METRICS, row, strict=True):
                expected = compute(key, sums)
                if found is None or expected is None:
                    assert found is expected is None
                else:
                    assert abs(found - expected) <= RATIO_STEP
            assert compute_all(tuple(METRICS), sums) == [compute(key, sums) for key in METRICS]
