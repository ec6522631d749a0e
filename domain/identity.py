"""Who asks: the user behind a credential, with the role and the team that they have right now.

Nothing of it is cached: a changed role, a moved user or a revoked token counts from the next look.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from domain.models.people import Permission
from domain.models.teams import FiscalCalendar
from domain.models.tokens import TokenKind, TokenScope
from domain.periods import Calendar

if TYPE_CHECKING:
    from domain.database import Connection

ALL_SCOPES = frozenset(scope.value for scope in TokenScope)


@dataclass(frozen=True, slots=True)
class Identity:
    """A user with their role, their team's calendar, and what the credential may be used for."""

    team_id: UUID
    user_id: UUID
    user_name: str
    user_email: str
    role_id: UUID
    role_name: str
    is_admin: bool
    permissions: frozenset[str]
    deals_access: bool
    team_name: str
    timezone: str
    week_start: int
    fiscal_year_start_month: int
    fiscal_calendar: str
    reps_edit_own_goals: bool
    currency: str
    show_peer_statistics: bool
    demo: bool
    scopes: frozenset[str] = ALL_SCOPES
    token_id: UUID | None = None
    token_kind: TokenKind | None = None
    expires_at: datetime | None = None
    trusted_documents_only: bool = False
    cost_per_minute: int | None = None
    address: str | None = None
    request_id: str | None = None


def calendar_of(identity: Identity) -> Calendar:
    """How the user's team counts days."""
    return Calendar(
        identity.timezone,
        identity.week_start,
        identity.fiscal_year_start_month,
        identity.fiscal_calendar == FiscalCalendar.FOUR_FOUR_FIVE,
    )


_PERSON = """
    u.team_id, u.id AS user_id, u.name AS user_name, u.email AS user_email, u.deals_access,
    r.id AS role_id, r.name AS role_name, r.is_admin, r.permissions,
    t.name AS team_name, t.timezone, t.week_start, t.fiscal_year_start_month, t.fiscal_calendar,
    t.reps_edit_own_goals, t.currency, t.show_peer_statistics, t.demo
"""
_JOINS = "JOIN roles r ON r.team_id = u.team_id AND r.id = u.role_id JOIN teams t ON t.id = u.team_id"


_CREDENTIAL = (
    "token_id",
    "token_kind",
    "scopes",
    "expires_at",
    "seen_lately",
    "trusted_documents_only",
    "cost_per_minute",
)


def _identity(row: Any, **credential: Any) -> Identity:
    values = dict(row)
    for name in ("digest", *_CREDENTIAL):
        values.pop(name, None)
    allowed = [permission.value for permission in Permission] if values["is_admin"] else values["permissions"]
    values["permissions"] = frozenset(allowed)
    return Identity(**values, **credential)


async def identify_by_digests(connection: Connection, digests: Sequence[str]) -> dict[str, Identity]:
    """The users of some tokens, by their digests; absent alike: unknown, expired and revoked ones, inactive users.

    One statement, served by tokens_digest_key. `last_used_at` is brought up to date at most once a minute.
    """
    rows = await connection.fetch(
        f"""
        SELECT k.digest, k.id AS token_id, k.kind AS token_kind, k.scopes, k.expires_at,
            k.trusted_documents_only, k.cost_per_minute,
            coalesce(k.last_used_at > now() - interval '1 minute', false) AS seen_lately, {_PERSON}
        FROM tokens k JOIN users u ON u.team_id = k.team_id AND u.id = k.user_id {_JOINS}
        WHERE k.digest = ANY ($1::text[]) AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now())
            AND u.active
        """,
        list(digests),
    )
    stale = [row["token_id"] for row in rows if not row["seen_lately"]]
    if stale:
        await connection.execute(
            "UPDATE tokens SET last_used_at = now() WHERE id IN (SELECT id FROM tokens WHERE id = ANY ($1::uuid[]) "
            "AND (last_used_at IS NULL OR last_used_at <= now() - interval '1 minute') ORDER BY id "
            "FOR NO KEY UPDATE SKIP LOCKED)",
            stale,
        )
    return {
        row["digest"]: _identity(
            row,
            token_id=row["token_id"],
            token_kind=TokenKind(row["token_kind"]),
            scopes=frozenset(row["scopes"]),
            expires_at=row["expires_at"],
            trusted_documents_only=row["trusted_documents_only"],
            cost_per_minute=row["cost_per_minute"],
        )
        for row in rows
    }


async def identify_by_digest(connection: Connection, digest: str) -> Identity | None:
    """The user of a token, by its digest; None alike for an unknown, expired or revoked one and an inactive user."""
    return (await identify_by_digests(connection, [digest])).get(digest)


async def identify_by_email(
    connection: Connection, email: str, *, team_id: UUID | None, expires_at: datetime | None = None
) -> Identity | None:
    """The active user with an email address that an identity provider vouches for.

    Args:
        connection: Where to look.
        email: The address, in any case.
        team_id: The provider's team; without one the address must belong to one active user in the whole installation.
        expires_at: When the credential ends.
    """
    rows = await connection.fetch(
        f"""
        SELECT {_PERSON} FROM users u {_JOINS}
        WHERE lower(u.email) = lower($1) AND ($2::uuid IS NULL OR u.team_id = $2) AND u.active LIMIT 2
        """,
        email,
        team_id,
    )
    return _identity(rows[0], expires_at=expires_at) if len(rows) == 1 else None


async def identify_user(connection: Connection, team_id: UUID, user_id: UUID) -> Identity | None:
    """An active user as they stand now; for work that the operator or a job does in their name."""
    row = await connection.fetchrow(
        f"SELECT {_PERSON} FROM users u {_JOINS} WHERE u.team_id = $1 AND u.id = $2 AND u.active", team_id, user_id
    )
    return None if row is None else _identity(row)


async def identify_users(connection: Connection, team_id: UUID, user_ids: Sequence[UUID]) -> dict[UUID, Identity]:
    """The active ones of some users as they stand now, in one statement; for work that is done in their names."""
    rows = await connection.fetch(
        f"SELECT {_PERSON} FROM users u {_JOINS} WHERE u.team_id = $1 AND u.id = ANY ($2::uuid[]) AND u.active",
        team_id,
        list(user_ids),
    )
    return {row["user_id"]: _identity(row) for row in rows}
