"""Bearer tokens and browser sessions."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar
from uuid import UUID

from tortoise import fields
from tortoise.contrib.postgres.fields import ArrayField
from tortoise.migrations.constraints import CheckConstraint

from domain.models.base import Row, created_now
from domain.models.people import User
from domain.models.teams import Team


class TokenKind(StrEnum):
    """How a token travels: in an Authorization header, or in a browser's cookie."""

    API = "api"
    SESSION = "session"


class TokenScope(StrEnum):
    """What a token may be used for, within what its user may do."""

    READ = "READ"
    WRITE = "WRITE"
    IMPORT = "IMPORT"
    SCIM = "SCIM"


class Token(Row):
    """A bearer token of a user; only its hash is kept."""

    team_id: UUID
    team: fields.ForeignKeyRelation[Team] = fields.ForeignKeyField("sideline.Team", related_name=False)
    user_id: UUID
    user: fields.ForeignKeyRelation[User] = fields.ForeignKeyField(
        "sideline.User", related_name=False, db_constraint=False
    )
    kind = fields.CharEnumField(TokenKind, max_length=8)
    name = fields.CharField(max_length=200)
    digest = fields.CharField(max_length=64, unique=True, description="SHA-256 of the token, hex")
    scopes = ArrayField(element_type="text")
    created_at = fields.DatetimeField(db_default=created_now())
    expires_at = fields.DatetimeField(null=True)
    revoked_at = fields.DatetimeField(null=True)
    trusted_documents_only = fields.BooleanField(db_default=False, description="Takes no document that is not kept")
    cost_per_minute = fields.IntField(null=True, description="Instead of the installation's budget")
    last_used_at = fields.DatetimeField(null=True, description="Kept to the minute")

    class Meta:
        table = "tokens"
        indexes = (("team_id", "user_id"),)
        constraints: ClassVar = [
            CheckConstraint("scopes <@ ARRAY['READ','WRITE','IMPORT','SCIM']::text[]", "tokens_scopes_check"),
            CheckConstraint("cost_per_minute > 0", "tokens_cost_per_minute_check"),
            CheckConstraint("digest ~ '^[0-9a-f]{64}$'", "tokens_digest_check"),
        ]
