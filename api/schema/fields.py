"""Fields of the roots: what each needs is said where it is declared.

A concept's queries, mutations and subscriptions stand beside its types, as a class that a root inherits.
"""

from typing import Any

import strawberry
from strawberry.permission import BasePermission

from api.context import Context
from api.permissions import requires_scope
from domain.models.tokens import TokenScope

Info = strawberry.Info[Context]


def reading(description: str, *permissions: type[BasePermission]) -> Any:
    """A field of Query: the token must be made for reading, the role must have the permissions."""
    return strawberry.field(description=description, permission_classes=[requires_scope(TokenScope.READ), *permissions])


def writing(description: str, *permissions: type[BasePermission]) -> Any:
    """A field of Mutation: the token must be made for writing, the role must have the permissions."""
    scope = requires_scope(TokenScope.WRITE)
    return strawberry.mutation(description=description, permission_classes=[scope, *permissions])
