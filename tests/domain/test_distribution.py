"""What stands in the way of a distributed engine and of Redis Cluster, as docs/operating.md tells it.

A. No table of ours takes its ids from a sequence.
B. Every index of a team's table starts with the team, but for primary keys and for those that are listed here.
C. Advisory locks are taken at migrations, at seeding the demo, and at the beginning of an export.
D. No process makes a client of Redis but by domain/courier.py; tests/running/test_failover.py has all that they ask for
   answered by a server in cluster mode.
"""

from __future__ import annotations

import re
from pathlib import Path

from domain.database import ALL_TEAMS, acquire

ROOT = Path(__file__).parents[2]
PRODUCT = ("api", "cli", "domain", "workers")
OF_THE_CLOCK = """coaching_invitations_due_idx coaching_programs_due_idx coaching_series_due_idx films_away_idx
    idx_goal_evalua_due_at_3e7001 idx_idempotency_created_944834 idx_webhook_del_attempt_0d2a6a imports_created_at_idx
    integrations_due_idx jobs_finished_at_idx jobs_leased_idx live_call_participants_due_idx live_calls_lease_idx
    live_calls_look_idx tokens_sessions_idx webhook_endpoints_due_idx"""
"""What is due, in all teams: a sweep asks each node."""
BY_NAME = """activity_keys_id_key synced_documents_external_ids_idx tokens_digest_key users_email_idx
    users_external_ids_idx"""
"""Whose is this token, who signs in by this address? The team is what is looked for. Of the other two, GIN has no
order, and an activity's id is told by no other key."""


async def test_sequences(database: str) -> None:
    """A. Tortoise numbers its own list of migrations."""
    async with acquire(ALL_TEAMS) as connection:
        rows = await connection.fetch("SELECT sequencename FROM pg_sequences")
    assert [row["sequencename"] for row in rows] == ["tortoise_migrations_id_seq"]


async def test_indexes_start_with_the_team(database: str) -> None:
    """B."""
    async with acquire(ALL_TEAMS) as connection:
        rows = await connection.fetch(
            """
            SELECT i.relname AS name FROM pg_index x
            JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class t ON t.oid = x.indrelid
            JOIN pg_attribute team ON team.attrelid = t.oid AND team.attname = 'team_id'
            WHERE t.relnamespace = 'public'::regnamespace AND NOT t.relispartition
                AND NOT x.indisprimary AND x.indkey[0] <> team.attnum
            """
        )
    assert {row["name"] for row in rows} == {*OF_THE_CLOCK.split(), *BY_NAME.split()}


def test_advisory_locks() -> None:
    """C."""
    assert _files_with(r"pg_(try_)?advisory") == {
        "domain/database.py",
        "domain/demo/seed.py",
        "domain/exports/files.py",
    }


def test_one_place_makes_clients() -> None:
    """D. The embedded server asks itself whether it is up."""
    made = _files_with(r"Redis\.from_url|RedisSettings|from arq import create_pool|asyncio\.sentinel")
    assert made == {"domain/courier.py", "cli/embedded/redis.py"}


def _files_with(pattern: str) -> set[str]:
    return {
        str(file.relative_to(ROOT))
        for package in PRODUCT
        for file in (ROOT / package).rglob("*.py")
        if re.search(pattern, file.read_text())
    }
