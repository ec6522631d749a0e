"""What may be asked of a vendor's account, over all workers: a bucket in PostgreSQL, and the vendor's own "wait".

A vendor that allows so much cost in so many seconds counts it in windows of its own. A bucket that held all of it would
let twice as much through within the first window; this one holds a tenth and fills with the rest, so that within any
window no more than the whole is spent: capacity + rate x seconds = cost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from domain.connectors import Budget
from domain.models import Integration
from domain.models.base import new_id

if TYPE_CHECKING:
    from domain.database import Connection

BURST_SHARE = 0.1

_FILLED = "least($4::float8, b.available + extract(epoch FROM greatest(now() - b.filled_at, '0'))::float8 * $5::float8)"
# Where it is not enough, nothing is spent. Served by account_budgets_account_key.
_SPEND = f"""
INSERT INTO account_budgets AS b (id, team_id, account, available, filled_at)
VALUES (uuidv7(), $1, $2, $4::float8 - $3::float8, now())
ON CONFLICT (team_id, account) DO UPDATE
SET available = {_FILLED} - $3::float8, filled_at = greatest(b.filled_at, now())
WHERE (b.blocked_until IS NULL OR b.blocked_until <= now()) AND {_FILLED} >= $3::float8
RETURNING true
"""
_WAIT = f"""
SELECT greatest(extract(epoch FROM b.blocked_until - now())::float8, ($3::float8 - {_FILLED}) / $5::float8)
FROM account_budgets b WHERE b.team_id = $1 AND b.account = $2
"""
SHORTEST_WAIT_SECONDS = 0.01


def account_of(integration: Integration) -> str:
    """The account that a connection spends of; before its first check it is known by itself alone."""
    return f"{integration.kind}:{integration.account_id or integration.id}"


async def spend(connection: Connection, team_id: UUID, account: str, cost: float, budget: Budget) -> float:
    """Spend of an account's budget. Returns the seconds to wait before trying again; 0 when it is spent.

    Args:
        connection: Without a transaction: the row is the account's, and all its workers wait for it.
        team_id: The team whose account it is.
        account: The connector's kind and the vendor's id of the account.
        cost: What the request costs; one that costs more than the bucket holds empties it.
        budget: What the vendor allows.
    """
    capacity = max(budget.cost * BURST_SHARE, 1.0)
    rate = max(budget.cost - capacity, 1.0) / budget.seconds
    arguments = (team_id, account, float(min(cost, capacity)), capacity, rate)
    if await connection.fetchval(_SPEND, *arguments):
        return 0.0
    wait = await connection.fetchval(_WAIT, *arguments)
    return max(float(wait or 0.0), SHORTEST_WAIT_SECONDS)


async def blocked_seconds(connection: Connection, team_id: UUID, account: str) -> float:
    """For how long yet the vendor asked to wait; 0 if it did not."""
    wait = await connection.fetchval(
        "SELECT extract(epoch FROM blocked_until - now())::float8 FROM account_budgets "
        "WHERE team_id = $1 AND account = $2",
        team_id,
        account,
    )
    return max(float(wait or 0.0), 0.0)


async def block(connection: Connection, team_id: UUID, account: str, seconds: float) -> None:
    """The vendor asks to wait: nobody asks anything of the account before."""
    await connection.execute(
        """
        INSERT INTO account_budgets AS b (id, team_id, account, available, filled_at, blocked_until)
        VALUES ($1, $2, $3, 0, now(), now() + make_interval(secs => $4))
        ON CONFLICT (team_id, account) DO UPDATE
        SET blocked_until = greatest(b.blocked_until, EXCLUDED.blocked_until)
        """,
        new_id(),
        team_id,
        account,
        seconds,
    )
