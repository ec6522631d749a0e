"""Bearer tokens: random, kept as a hash, scoped, expiring, revocable."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from domain import access
from domain.access import Viewer
from domain.errors import Invalid, NotFound
from domain.identity import ALL_SCOPES
from domain.models.base import new_id
from domain.models.tokens import Token, TokenKind

if TYPE_CHECKING:
    from domain.database import Connection

PREFIX = "sl_"
SECRET_BYTES = 32
SESSIONS_KEPT = timedelta(days=30)
"""So long after its end, a browser's session is kept."""
PRUNE_LOT = 5_000


@dataclass(frozen=True, slots=True)
class CreatedToken:
    """A new token; its text is shown this once."""

    id: UUID
    text: str


def new_token_text() -> str:
    """A fresh token of 256 random bits."""
    return PREFIX + secrets.token_urlsafe(SECRET_BYTES)


def digest_of(text: str) -> str:
    """What is kept of a token: its SHA-256, hex. A slow hash would add nothing to 256 random bits."""
    return hashlib.sha256(text.encode()).hexdigest()


async def create_token(
    connection: Connection,
    team_id: UUID,
    user_id: UUID,
    *,
    name: str,
    kind: TokenKind = TokenKind.API,
    scopes: Iterable[str] = ALL_SCOPES,
    expires_at: datetime | None = None,
    secret: str | None = None,
    trusted_documents_only: bool = False,
    cost_per_minute: int | None = None,
) -> CreatedToken:
    """Make a token for a user.

    Args:
        connection: Where to keep it.
        team_id: The user's team.
        user_id: The user.
        name: What it is for.
        kind: For a header or for a browser's cookie.
        scopes: What it may be used for.
        expires_at: When it ends; never if None.
        secret: The token's text, for an operator who derives it; making the same one again changes nothing, and one
            that was revoked stays revoked.
        trusted_documents_only: Whether it takes none but the team's trusted documents.
        cost_per_minute: What it may spend, instead of the installation's budget.

    Raises:
        Invalid: a scope does not exist, or the text is too short to be safe.
        NotFound: there is no such user in the team.
    """
    wanted = sorted(set(scopes))
    unknown = [scope for scope in wanted if scope not in ALL_SCOPES]
    if unknown or not wanted:
        raise Invalid(f"scopes: choose from {', '.join(sorted(ALL_SCOPES))}.", path=("scopes",))
    text = secret or new_token_text()
    if len(text) < len(PREFIX) + SECRET_BYTES:
        raise Invalid("secret: too short to be safe.", path=("secret",))
    known = await connection.fetchval("SELECT true FROM users WHERE team_id = $1 AND id = $2", team_id, user_id)
    if not known:
        raise NotFound("No such user.")
    token_id = await connection.fetchval(
        """
        INSERT INTO tokens (id, team_id, user_id, kind, name, digest, scopes, expires_at,
            trusted_documents_only, cost_per_minute)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
        ON CONFLICT (digest) DO UPDATE SET name = tokens.name RETURNING id
        """,
        new_id(),
        team_id,
        user_id,
        kind.value,
        name,
        digest_of(text),
        wanted,
        expires_at,
        trusted_documents_only,
        cost_per_minute,
    )
    return CreatedToken(token_id, text)


async def tokens_of(connection: Connection, viewer: Viewer, user_id: UUID) -> list[Token]:
    """Somebody's API tokens as the viewer may know of them.

    Raises:
        NotFound: there is no such user whose tokens the viewer may see.
    """
    known = await connection.fetchval("SELECT true FROM users WHERE team_id = $1 AND id = $2", viewer.team_id, user_id)
    if not known or not access.may_see_tokens(viewer, user_id):
        raise NotFound("No such user.", path=("userId",))
    return await list_tokens(connection, viewer.team_id, user_id)


async def list_tokens(connection: Connection, team_id: UUID, user_id: UUID | None = None) -> list[Token]:
    """A team's API tokens, or one user's, the newest first. Served by tokens (team_id, user_id)."""
    rows = await connection.fetch(
        """
        SELECT * FROM tokens WHERE team_id = $1 AND ($2::uuid IS NULL OR user_id = $2) AND kind = 'api'
        ORDER BY id DESC
        """,
        team_id,
        user_id,
    )
    return [Token._init_from_db(**dict(row)) for row in rows]


async def revoke_token(connection: Connection, team_id: UUID, token_id: UUID) -> bool:
    """End a token from the next request on. Returns whether it was still alive.

    Raises:
        NotFound: the team has no such token.
    """
    alive = await connection.fetchval(
        """
        UPDATE tokens t SET revoked_at = coalesce(t.revoked_at, now()) WHERE team_id = $1 AND id = $2
        RETURNING old.revoked_at IS NULL
        """,
        team_id,
        token_id,
    )
    if alive is None:
        raise NotFound("No such token.")
    return bool(alive)


async def prune_sessions(connection: Connection) -> int:
    """Forget browsers' sessions that ended long ago; one lot. Returns how many. Served by tokens_sessions_idx.

    API tokens stay: one whose text was derived, and that was revoked, must not come to life when it is made again.
    """
    rows = await connection.fetch(
        """
        DELETE FROM tokens WHERE id IN (
            SELECT id FROM tokens WHERE kind = 'session' AND expires_at < now() - $1::interval LIMIT $2
        ) RETURNING 1
        """,
        SESSIONS_KEPT,
        PRUNE_LOT,
    )
    return len(rows)
