"""What every model shares."""

from __future__ import annotations

from uuid import UUID

import uuid_utils.compat
from tortoise import fields
from tortoise.fields.db_defaults import SqlDefault
from tortoise.models import Model


def new_id() -> UUID:
    """A fresh UUIDv7: ids made later sort later, so that indexes grow at their end."""
    return uuid_utils.compat.uuid7()


def created_now() -> SqlDefault:
    """The database's clock at the start of the transaction."""
    return SqlDefault("now()")


class Row(Model):
    """A row with a UUIDv7 id."""

    id = fields.UUIDField(primary_key=True, default=new_id)

    class Meta:
        abstract = True
