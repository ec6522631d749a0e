"""What a mutation tells when a rule refuses it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import strawberry

from domain.errors import Conflict, DomainError, Invalid, NotFound, Refused
from domain.events import CursorExpired, CursorUnknown

Payload = TypeVar("Payload")

TOLD = (Invalid, NotFound, Conflict, Refused, CursorUnknown, CursorExpired)
"""What a payload tells; a missing permission and a fault are the response's to tell."""


@strawberry.type(description="Why a part of an input was refused, and how to mend it.")
class UserError:
    code: str = strawberry.field(description="For machines.")
    message: str = strawberry.field(description="For people.")
    path: list[str] = strawberry.field(description="The part of the input, outermost first.")


def user_errors(error: DomainError) -> list[UserError]:
    """An error of the domain as a payload tells it; one for each item, where it knows of items."""
    if isinstance(error, Refused):
        return [UserError(code=item.code, message=item.message, path=list(item.path)) for item in error.items]
    path = ["input", *(part for part in error.path if part != "input")]
    return [UserError(code=error.code, message=error.message, path=path)]


async def told(work: Awaitable[Payload], refused: Callable[[list[UserError]], Payload]) -> Payload:
    """The payload of a mutation; what a rule refuses is told in it."""
    try:
        return await work
    except TOLD as error:
        return refused(user_errors(error))
