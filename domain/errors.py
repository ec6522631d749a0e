"""The errors that the domain raises; each carries a code for machines.

`api/` turns them into payload errors or GraphQL errors in one place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class DomainError(Exception):
    """A rule of the domain said no.

    Args:
        message: What is wrong and how to mend it, for a person.
        path: The input field at fault, outermost first, or empty.
    """

    code = "INTERNAL"

    def __init__(self, message: str, *, path: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.path = path


class Unauthenticated(DomainError):
    """The caller did not prove who they are; unknown, expired and revoked look the same."""

    code = "UNAUTHENTICATED"


class Forbidden(DomainError):
    """The viewer knows of the thing but lacks a permission.

    Args:
        permission: The permission, scope or setting that is missing.
    """

    code = "FORBIDDEN"

    def __init__(self, message: str, *, permission: str, path: tuple[str, ...] = ()) -> None:
        super().__init__(message, path=path)
        self.permission = permission


class NotFound(DomainError):
    """No such object, or none that the viewer may know of."""

    code = "NOT_FOUND"


class Invalid(DomainError):
    """The input breaks a rule; the message names the mend."""

    code = "INVALID"


class Conflict(DomainError):
    """The state has moved on since the caller looked."""

    code = "CONFLICT"


class TooSlow(DomainError):
    """The answer took longer than is allowed, and was given up."""

    code = "TIMEOUT"


class Unavailable(DomainError):
    """Something that the answer needs cannot be reached now; trying again may help."""

    code = "UNAVAILABLE"


@dataclass(frozen=True, slots=True)
class ItemError:
    """Why one item of an input was refused.

    Args:
        code: For machines.
        message: What is wrong and how to mend it.
        path: The item, outermost first.
    """

    code: str
    message: str
    path: tuple[str, ...]


class Refused(DomainError):
    """Some items of an input were refused, and therefore all of it: nothing was written."""

    code = "REFUSED"

    def __init__(self, items: Sequence[ItemError]) -> None:
        super().__init__("; ".join(item.message for item in items))
        self.items = tuple(items)
