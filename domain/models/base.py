"""What every model shares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self
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

    @classmethod
    def _init_from_db(cls, **kwargs: Any) -> Self:
        """What asyncpg brings is of the right type but for enumerations and JSON: a page of rows costs a third."""
        shape = _SHAPES.get(cls)
        if shape is None:
            shape = _SHAPES[cls] = _shape(cls)
        if kwargs.keys() != shape.names:
            return super()._init_from_db(**kwargs)
        row = cls.__new__(cls)
        row.__dict__.update(
            kwargs,
            _partial=False,
            _saved_in_db=True,
            _custom_generated_pk=shape.custom_generated_pk,
            _await_when_save={},
        )
        for name, convert in shape.conversions:
            row.__dict__[name] = convert(kwargs[name])
        return row


@dataclass(frozen=True, slots=True)
class _Shape:
    """A model's columns, each of which is called like its field; and those whose values are made from the driver's."""

    names: frozenset[str]
    conversions: tuple[tuple[str, Callable[[Any], Any]], ...]
    custom_generated_pk: bool


_SHAPES: dict[type[Row], _Shape] = {}


def _shape(model: type[Row]) -> _Shape:
    meta = model._meta
    made = [
        (name, field.to_python_value)
        for name, _field_name, field in meta.db_complex_fields
        if not isinstance(field, fields.UUIDField | fields.DatetimeField)
    ]
    return _Shape(
        frozenset(meta.fields_db_projection.values()),
        tuple(made),
        meta.db_pk_column not in meta.generated_db_fields,
    )
