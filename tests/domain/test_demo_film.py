"""The demo team's film: there once, counted as everybody's, and told of the right people."""

from __future__ import annotations

from datetime import date

from domain.database import ALL_TEAMS, acquire
from domain.demo import seed_demo
from tests.oracle import film as oracle

TODAY = date(2026, 11, 24)
_COUNTS = """
    SELECT (SELECT count(*) FROM comments), (SELECT count(*) FROM reviews), (SELECT count(*) FROM scorecards),
        (SELECT count(*) FROM calibrations), (SELECT count(*) FROM playlist_items),
        (SELECT count(*) FROM feedback_requests)
"""


async def test_the_film_of_the_demo(fresh_database: str) -> None:
    await seed_demo(TODAY, history_days=30)
    async with acquire(ALL_TEAMS) as connection:
        counts = tuple(await connection.fetchrow(_COUNTS))
        assert all(counts)
        assert sum(counts) > 100
        names = {
            row["id"]: row["external_id"] for row in await connection.fetch("SELECT id, external_id FROM activities")
        }
        films = oracle.films(
            names,
            await connection.fetch("SELECT * FROM reviews"),
            await connection.fetch("SELECT * FROM scorecards"),
            await connection.fetch("SELECT * FROM calibrations"),
        )
        row = await connection.fetchrow(
            "SELECT sum(conversations_reviewed) AS reviewed, sum(scorecards_counted) AS counted, "
            "sum(scorecard_points) AS points FROM rollup_days"
        )
        assert row["reviewed"] == sum(film.reviewed for film in films.values())
        assert row["counted"] == sum(len(film.scores) for film in films.values())
        assert row["points"] == sum(10_000 * score for film in films.values() for score in film.scores)
        # Nothing is of tomorrow, and nothing comes before what it is about.
        for table in ("comments", "reviews"):
            assert not await connection.fetchval(
                f"SELECT count(*) FROM {table} c JOIN activities a ON a.id = c.activity_id "
                "WHERE c.created_at < a.occurred_at OR c.created_at > $1::date + interval '5 hours'",
                TODAY,
            )
        rows = await connection.fetch("SELECT version, relation, count(*) FROM scorecards GROUP BY 1, 2")
        assert {(row["version"], row["relation"]) for row in rows} >= {(1, "MANAGER"), (2, "MANAGER"), (2, "SELF")}
        assert await connection.fetchval("SELECT count(*) FROM calibrations WHERE state = 'OPEN'") == 1
    await seed_demo(date(2026, 11, 25), history_days=30)
    async with acquire(ALL_TEAMS) as connection:
        assert tuple(await connection.fetchrow(_COUNTS)) == counts
