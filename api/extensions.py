"""What happens around every GraphQL operation."""

from __future__ import annotations

from collections.abc import AsyncIterator

from starlette.websockets import WebSocket
from strawberry.extensions import SchemaExtension

from api.context import Context
from api.errors import to_graphql_error


class RenewedContext(SchemaExtension):
    """Operations that share a WebSocket do not share a context: permissions are read anew for each."""

    async def on_operation(self) -> AsyncIterator[None]:  # type: ignore[override]
        """Before the operation."""
        context: Context = self.execution_context.context
        if isinstance(context.connection, WebSocket):
            self.execution_context.context = await context.renewed()
        yield


class OneErrorPlace(SchemaExtension):
    """Errors leave through api/errors.py."""

    def on_operation(self):  # type: ignore[no-untyped-def,override]
        """After the operation."""
        yield
        result = self.execution_context.result
        errors = getattr(result, "errors", None)
        if result is not None and errors:
            request_id = self.execution_context.context.request_id
            result.errors = [to_graphql_error(error, request_id) for error in errors]
