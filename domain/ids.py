"""The ids that things are known by outside: a type's name and a UUID, opaque to clients."""

from __future__ import annotations

import base64
import binascii
from uuid import UUID

from domain.errors import NotFound


def encode_id(type_name: str, row_id: UUID) -> str:
    """The global id of a row."""
    return base64.urlsafe_b64encode(f"{type_name}:{row_id.hex}".encode()).decode().rstrip("=")


def decode_any_id(global_id: str) -> tuple[str, UUID] | None:
    """The type's name and the row's id; None when it is no global id."""
    try:
        text = base64.b64decode(global_id + "=" * (-len(global_id) % 4), altchars=b"-_", validate=True).decode("ascii")
        type_name, separator, hexadecimal = text.partition(":")
        if separator and type_name.isalnum() and len(hexadecimal) == 32:
            return type_name, UUID(hexadecimal)
    except (binascii.Error, ValueError):
        pass  # Not one of ours: the same answer as for an id never issued.
    return None


def decode_id(global_id: str, type_name: str, *, path: tuple[str, ...]) -> UUID:
    """The row's id in a global id of a known type.

    Raises:
        NotFound: it is no id of that type: the same answer as for an id never issued.
    """
    decoded = decode_any_id(global_id)
    if decoded is None or decoded[0] != type_name:
        raise NotFound(f"No such {type_name.lower()}.", path=path)
    return decoded[1]


_DERIVED = "DerivedGoal"
_SUBJECTS = {"g": "Group", "t": "Team"}


def encode_derived_goal(subject: str, subject_id: UUID, metric: str, period: str) -> str:
    """The global id of a goal that has no row: whose sum it is (`Group` or `Team`), of what, per what."""
    mark = next(mark for mark, name in _SUBJECTS.items() if name == subject)
    text = f"{_DERIVED}:{mark}:{subject_id.hex}:{metric}:{period}"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode_derived_goal(global_id: str) -> tuple[str, UUID, str, str] | None:
    """The same back; None when it is no such id."""
    try:
        text = base64.b64decode(global_id + "=" * (-len(global_id) % 4), altchars=b"-_", validate=True).decode("ascii")
        name, mark, hexadecimal, metric, period = text.split(":")
        if name == _DERIVED and mark in _SUBJECTS and len(hexadecimal) == 32:
            return _SUBJECTS[mark], UUID(hexadecimal), metric, period
    except (binascii.Error, ValueError):
        pass  # Not one of ours: the same answer as for an id never issued.
    return None
