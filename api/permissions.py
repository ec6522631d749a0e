"""Field permissions: declared in the schema where the field is declared, decided in domain.access."""

from typing import Any

import strawberry
from strawberry.permission import BasePermission

from domain import access
from domain.errors import Forbidden
from domain.models.people import Permission
from domain.models.tokens import TokenScope


def requires(permission: Permission) -> type[BasePermission]:
    """The field needs a permission of the viewer's role; without it, an error with code FORBIDDEN that names it."""

    class Requires(BasePermission):
        message = f"This needs the permission {permission.value}."
        error_extensions = {"code": "FORBIDDEN", "permission": permission.value}

        def has_permission(self, source: Any, info: strawberry.Info[Any], **kwargs: Any) -> bool:
            return access.may(info.context.viewer, permission)

    Requires.__name__ = f"Requires{permission.value.title().replace('_', '')}"
    return Requires


def requires_scope(scope: TokenScope) -> type[BasePermission]:
    """The field needs a token made for this use."""

    class RequiresScope(BasePermission):
        message = f"This needs a token with the scope {scope.value}."
        error_extensions = {"code": "FORBIDDEN", "permission": f"scope:{scope.value}"}

        def has_permission(self, source: Any, info: strawberry.Info[Any], **kwargs: Any) -> bool:
            try:
                access.require_scope(info.context.viewer, scope)
            except Forbidden:
                return False
            return True

    RequiresScope.__name__ = f"RequiresScope{scope.value.title()}"
    return RequiresScope


class ReadsDocument(BasePermission):
    """The viewer brought it, or is Admin."""

    message = "What waits in quarantine is read as it came by who brought it, and by the role Admin."
    error_extensions = {"code": "FORBIDDEN", "permission": "Admin"}

    def has_permission(self, source: Any, info: strawberry.Info[Any], **kwargs: Any) -> bool:
        return access.may_read_documents(info.context.viewer, source.owner_id)


class ReadsEmailBody(BasePermission):
    """The email is the viewer's own, or the viewer's role has VIEW_EMAIL_CONTENT (and TEAM_VIEW)."""

    message = "The body of somebody else's email needs the permission VIEW_EMAIL_CONTENT."
    error_extensions = {"code": "FORBIDDEN", "permission": Permission.VIEW_EMAIL_CONTENT.value}

    def has_permission(self, source: Any, info: strawberry.Info[Any], **kwargs: Any) -> bool:
        return access.may_read_email_body(info.context.viewer, source.row.user_id)
