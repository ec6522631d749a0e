"""What an installation still has to do, and what it holds: all of it 0 once it is left in peace."""

from __future__ import annotations

from typing import Any

WAITING = """
SELECT (SELECT count(*) FROM jobs WHERE state IN ('SCHEDULED', 'RUNNING')) AS jobs,
    (SELECT count(*) FROM scheduled_actions WHERE state IN ('SCHEDULED', 'RUNNING')) AS actions,
    (SELECT count(*) FROM outgoing_messages WHERE state = 'WAITING') AS messages,
    (SELECT count(*) FROM metric_changes) AS "numbers to evaluate",
    (SELECT coalesce(sum(h.position - coalesce(r.position, 0)), 0)
        FROM event_heads h LEFT JOIN event_relays r USING (team_id)) AS "events to relay",
    (SELECT coalesce(sum(h.position - e.position), 0)
        FROM webhook_endpoints e JOIN event_heads h USING (team_id)) AS deliveries,
    (SELECT count(*) FROM webhook_endpoints WHERE state <> 'ACTIVE') AS "endpoints at rest"
"""
SERVER = """
SELECT count(*) FILTER (WHERE state LIKE 'idle in transaction%' AND now() - state_change > interval '1 second')
        AS "idle in transaction",
    count(*) FILTER (WHERE backend_xmin IS NOT NULL AND now() - xact_start > interval '5 seconds')
        AS "old snapshots",
    (SELECT count(*) FROM pg_locks WHERE NOT granted) AS "locks waited for",
    (SELECT count(*) FROM pg_prepared_xacts) AS "prepared transactions"
FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
"""
LOOKS = """
SELECT (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid())
        AS backends,
    (SELECT coalesce(sum(h.position - coalesce(r.position, 0)), 0)
        FROM event_heads h LEFT JOIN event_relays r USING (team_id)) AS unsent,
    (SELECT coalesce(extract(epoch FROM now() - min(due_at)), 0) FROM jobs
        WHERE state = 'SCHEDULED' AND due_at <= now()) AS "oldest due job",
    (SELECT coalesce(sum(h.position - e.position), 0) FROM webhook_endpoints e JOIN event_heads h USING (team_id)
        WHERE e.failing_since IS NULL) AS undelivered
"""
LEASED = """SELECT c.table_name FROM information_schema.columns c JOIN information_schema.tables t USING (table_name)
    WHERE c.column_name = 'lease_holder' AND c.table_schema = 'public' AND t.table_type = 'BASE TABLE' ORDER BY 1"""
DEAD = """SELECT relname, n_dead_tup FROM pg_stat_user_tables WHERE n_dead_tup > 0"""


async def waiting(connection: Any) -> dict[str, float]:
    """What is still to do."""
    return {name: float(value) for name, value in (await connection.fetchrow(WAITING)).items()}


async def held(connection: Any) -> dict[str, float]:
    """Leases, transactions and locks that are held."""
    found = {name: float(value) for name, value in (await connection.fetchrow(SERVER)).items()}
    for row in await connection.fetch(LEASED):
        table = row["table_name"]
        count = await connection.fetchval(f"SELECT count(*) FROM {table} WHERE lease_holder IS NOT NULL")
        found[f"leases of {table}"] = float(count)
    return found


async def dead_after_vacuum(connection: Any) -> dict[str, float]:
    """Dead tuples that a vacuum leaves by table: something still looks at a moment of long ago."""
    await connection.execute("VACUUM")
    await connection.execute("SELECT pg_stat_force_next_flush()")
    return {f"dead tuples of {row['relname']}": float(row["n_dead_tup"]) for row in await connection.fetch(DEAD)}
