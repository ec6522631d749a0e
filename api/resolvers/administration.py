"""Who is on the team, what they may do, their tokens, and the audit log."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

from api.context import Context
from api.queue import hint_job
from api.schema import administration as shapes
from api.schema.errors import UserError, told
from api.schema.jobs import Job
from api.schema.nodes import Connection, connection_read
from api.schema.people import Group, Role, User
from domain import access, administration, audit, documents, erasure, jobs, tokens
from domain.database import Connection as Database
from domain.errors import Invalid
from domain.ids import decode_id
from domain.models.people import Permission
from domain.models.tokens import TokenScope
from domain.paging import page_request

Payload = TypeVar("Payload")
Made = TypeVar("Made")

_PERSON = ("name", "email", "role_id", "group_id", "manager_id", "is_rep", "deals_access", "external_ids", "started_on")


async def _answer(
    context: Context,
    work: Callable[[Database], Awaitable[Any]],
    done: Callable[[Any], Payload],
    refused: Callable[[list[UserError]], Payload],
) -> Payload:
    async def change() -> Payload:
        return done(await context.in_transaction(work))

    return await told(change(), refused)


def _user_payload(context: Context, work: Callable[[Database], Awaitable[Any]]) -> Awaitable[shapes.UserPayload]:
    return _answer(
        context,
        work,
        lambda row: shapes.UserPayload(user=User.of(row), errors=[]),
        lambda errors: shapes.UserPayload(user=None, errors=errors),
    )


def _group_payload(context: Context, work: Callable[[Database], Awaitable[Any]]) -> Awaitable[shapes.GroupPayload]:
    return _answer(
        context,
        work,
        lambda row: shapes.GroupPayload(group=None if row is None else Group.of(row), errors=[]),
        lambda errors: shapes.GroupPayload(group=None, errors=errors),
    )


def _role_payload(context: Context, work: Callable[[Database], Awaitable[Any]]) -> Awaitable[shapes.RolePayload]:
    return _answer(
        context,
        work,
        lambda row: shapes.RolePayload(role=None if row is None else Role.of(row), errors=[]),
        lambda errors: shapes.RolePayload(role=None, errors=errors),
    )


async def invite_user(context: Context, given: shapes.InviteUserInput) -> shapes.UserPayload:
    """Take somebody onto the team."""

    async def work(connection: Database) -> Any:
        return await administration.invite_user(connection, context.viewer, shapes.given_values(given, *_PERSON))

    return await _user_payload(context, work)


async def update_user(context: Context, given: shapes.UpdateUserInput) -> shapes.UserPayload:
    """Change what is known of a person."""

    async def work(connection: Database) -> Any:
        user_id = decode_id(given.user_id, "User", path=("input", "userId"))
        values = shapes.given_values(given, *_PERSON, "ended_on")
        return await administration.update_user(connection, context.viewer, user_id, values)

    return await _user_payload(context, work)


async def deactivate_user(context: Context, given: shapes.DeactivateUserInput) -> shapes.UserPayload:
    """End somebody's access."""

    async def work(connection: Database) -> Any:
        user_id = decode_id(given.user_id, "User", path=("input", "userId"))
        return await administration.deactivate_user(
            connection, context.viewer, user_id, now=context.now, ended_on=given.ended_on
        )

    return await _user_payload(context, work)


async def reactivate_user(context: Context, given: shapes.ReactivateUserInput) -> shapes.UserPayload:
    """Let somebody in again."""

    async def work(connection: Database) -> Any:
        user_id = decode_id(given.user_id, "User", path=("input", "userId"))
        return await administration.reactivate_user(connection, context.viewer, user_id)

    return await _user_payload(context, work)


async def erase_user(context: Context, given: shapes.EraseUserInput) -> shapes.EraseUserPayload:
    """Erase a person: at once what they are called, by a job the rest.

    Raises:
        Forbidden: the viewer is not an Admin.
    """
    access.require_admin(context.viewer)

    async def work(connection: Database) -> Any:
        user_id = decode_id(given.user_id, "User", path=("input", "userId"))
        user, job_id = await erasure.erase_user(connection, context.viewer, user_id, now=context.now)
        return user, await jobs.get_job(connection, context.viewer.team_id, job_id)

    payload = await _answer(
        context,
        work,
        lambda done: shapes.EraseUserPayload(user=User.of(done[0]), job=Job.of(done[1]), errors=[]),
        lambda errors: shapes.EraseUserPayload(user=None, job=None, errors=errors),
    )
    if payload.job is not None and context.queue is not None:
        await hint_job(context.queue, payload.job.row.id)
    return payload


async def create_group(context: Context, given: shapes.CreateGroupInput) -> shapes.GroupPayload:
    """Make a group."""

    async def work(connection: Database) -> Any:
        values = shapes.given_values(given, "parent_id")
        return await administration.create_group(connection, context.viewer, given.name, values["parent_id"])

    return await _group_payload(context, work)


async def update_group(context: Context, given: shapes.UpdateGroupInput) -> shapes.GroupPayload:
    """Rename or move a group."""

    async def work(connection: Database) -> Any:
        group_id = decode_id(given.group_id, "Group", path=("input", "groupId"))
        values = shapes.given_values(given, "name", "parent_id")
        return await administration.update_group(connection, context.viewer, group_id, values)

    return await _group_payload(context, work)


async def remove_group(context: Context, given: shapes.RemoveGroupInput) -> shapes.GroupPayload:
    """Remove an empty group."""

    async def work(connection: Database) -> Any:
        group_id = decode_id(given.group_id, "Group", path=("input", "groupId"))
        return await administration.remove_group(connection, context.viewer, group_id)

    return await _group_payload(context, work)


async def create_role(context: Context, given: shapes.CreateRoleInput) -> shapes.RolePayload:
    """Make a role."""
    work = partial(
        administration.create_role,
        viewer=context.viewer,
        name=given.name,
        permissions=_permissions(given.permissions),
    )
    return await _role_payload(context, work)


async def update_role(context: Context, given: shapes.UpdateRoleInput) -> shapes.RolePayload:
    """Rename a role or change what it allows."""

    async def work(connection: Database) -> Any:
        role_id = decode_id(given.role_id, "Role", path=("input", "roleId"))
        wanted = None if given.permissions is None else _permissions(given.permissions)
        return await administration.update_role(connection, context.viewer, role_id, given.name, wanted)

    return await _role_payload(context, work)


async def remove_role(context: Context, given: shapes.RemoveRoleInput) -> shapes.RolePayload:
    """Remove a role that nobody has."""

    async def work(connection: Database) -> Any:
        role_id = decode_id(given.role_id, "Role", path=("input", "roleId"))
        return await administration.remove_role(connection, context.viewer, role_id)

    return await _role_payload(context, work)


def _permissions(given: list[Any]) -> list[Permission]:
    return [Permission(one) for one in given]


async def list_tokens(context: Context, user_id: str | None) -> list[shapes.Token]:
    """One's own tokens, or anybody's for who manages the team.

    Raises:
        NotFound: there is no such user whose tokens the viewer may see.
    """
    wanted = context.viewer.user_id if user_id is None else decode_id(user_id, "User", path=("userId",))
    async with context.acquire() as connection:
        return [shapes.Token.of(row) for row in await tokens.tokens_of(connection, context.viewer, wanted)]


async def create_token(context: Context, given: shapes.CreateTokenInput) -> shapes.CreateTokenPayload:
    """Make a token."""

    async def work(connection: Database) -> Any:
        user_id = context.viewer.user_id
        if given.user_id is not None:
            user_id = decode_id(given.user_id, "User", path=("input", "userId"))
        return await administration.issue_token(
            connection,
            context.viewer,
            user_id=user_id,
            name=given.name,
            scopes=[str(TokenScope(scope)) for scope in given.scopes],
            now=context.now,
            expires_at=given.expires_at,
            trusted_documents_only=given.trusted_documents_only,
            cost_per_minute=given.cost_per_minute,
        )

    return await _answer(
        context,
        work,
        lambda made: shapes.CreateTokenPayload(token=shapes.Token.of(made[1]), text=made[0].text, errors=[]),
        lambda errors: shapes.CreateTokenPayload(token=None, text=None, errors=errors),
    )


async def revoke_token(context: Context, given: shapes.RevokeTokenInput) -> shapes.TokenPayload:
    """End a token."""

    async def work(connection: Database) -> Any:
        token_id = decode_id(given.token_id, "Token", path=("input", "tokenId"))
        return await administration.revoke(connection, context.viewer, token_id)

    return await _answer(
        context,
        work,
        lambda row: shapes.TokenPayload(token=shapes.Token.of(row), errors=[]),
        lambda errors: shapes.TokenPayload(token=None, errors=errors),
    )


async def list_documents(context: Context) -> list[shapes.TrustedDocument]:
    """The team's trusted documents."""
    async with context.acquire() as connection:
        return [shapes.TrustedDocument.of(row) for row in await documents.list_documents(connection, context.viewer)]


def _document_payload(
    context: Context, work: Callable[[Database], Awaitable[Any]]
) -> Awaitable[shapes.TrustedDocumentPayload]:
    return _answer(
        context,
        work,
        lambda row: shapes.TrustedDocumentPayload(
            document=None if row is None else shapes.TrustedDocument.of(row), errors=[]
        ),
        lambda errors: shapes.TrustedDocumentPayload(document=None, errors=errors),
    )


async def add_document(
    context: Context, given: shapes.AddTrustedDocumentInput, problems: list[str]
) -> shapes.TrustedDocumentPayload:
    """Trust a document. `problems` is what is wrong with its text."""

    async def work(connection: Database) -> Any:
        if problems:
            raise Invalid(f"text: {problems[0]}", path=("input", "text"))
        return await documents.add_document(connection, context.viewer, given.name, given.text)

    return await _document_payload(context, work)


async def remove_document(context: Context, given: shapes.RemoveTrustedDocumentInput) -> shapes.TrustedDocumentPayload:
    """Trust a document no more."""

    async def work(connection: Database) -> Any:
        return await documents.remove_document(connection, context.viewer, given.hash)

    return await _document_payload(context, work)


async def audit_log(
    context: Context, first: int | None, after: str | None, wanted: shapes.AuditFilter | None
) -> Connection[shapes.AuditEntry]:
    """A page of the audit log, the newest first.

    Raises:
        Forbidden: the viewer is not an Admin.
    """
    chosen = wanted.to_domain() if wanted is not None else audit.AuditFilter()

    return await connection_read(
        context.acquire,
        lambda connection: audit.list_entries(connection, context.viewer, chosen, page_request(first, after)),
        lambda connection: audit.count_entries(connection, context.viewer, chosen),
        shapes.AuditEntry.of,
    )
