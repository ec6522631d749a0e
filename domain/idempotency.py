"""Idempotency keys: a repeated mutation answers as the first time and writes nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import orjson

from domain.errors import Conflict, Invalid
from domain.identity import Identity
from domain.models.base import new_id

if TYPE_CHECKING:
    from domain.database import Connection

KEPT_DAYS = 7
KEY_LIMIT = 255


def digest_of_input(operation: str, given: object) -> str:
    """What tells one input from another."""
    return hashlib.sha256(orjson.dumps([operation, given], option=orjson.OPT_SORT_KEYS, default=str)).hexdigest()


async def once(
    connection: Connection, viewer: Identity, key: str | None, digest: str, work: Callable[[], Awaitable[Any]]
) -> Any:
    """Do `work` and keep its answer under the sender's key, in the caller's transaction; or answer what was kept.

    Two requests with one key at the same time wait for each other. A work that is refused leaves nothing behind.

    Raises:
        Invalid: the key is empty or too long.
        Conflict: the key was used for another input.
    """
    if key is None:
        return await work()
    path = ("input", "idempotencyKey")
    if not key or len(key) > KEY_LIMIT or "\0" in key:
        raise Invalid(f"idempotencyKey: give 1 to {KEY_LIMIT} characters, such as a fresh UUID.", path=path)
    row_id = await connection.fetchval(
        """
        INSERT INTO idempotency_keys AS k (id, team_id, user_id, key, digest) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (team_id, user_id, key) DO UPDATE SET id = EXCLUDED.id, digest = EXCLUDED.digest, created_at = now()
        WHERE k.created_at < now() - $6::interval RETURNING id
        """,
        new_id(),
        viewer.team_id,
        viewer.user_id,
        key,
        digest,
        timedelta(days=KEPT_DAYS),
    )
    if row_id is not None:
        answer = await work()
        await connection.execute(
            "UPDATE idempotency_keys SET answer = $2::jsonb WHERE id = $1", row_id, orjson.dumps(answer).decode()
        )
        return answer
    kept = await connection.fetchrow(
        "SELECT digest, answer FROM idempotency_keys WHERE team_id = $1 AND user_id = $2 AND key = $3",
        viewer.team_id,
        viewer.user_id,
        key,
    )
    if kept is None or kept["digest"] != digest:
        raise Conflict("idempotencyKey: this key was used for another input; choose a fresh one.", path=path)
    return orjson.loads(kept["answer"])


async def prune(connection: Connection) -> None:
    """Forget keys that are older than a week."""
    await connection.execute(
        "DELETE FROM idempotency_keys WHERE created_at < now() - $1::interval", timedelta(days=KEPT_DAYS)
    )
