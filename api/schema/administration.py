"""Who is on the team, what they may do, their tokens, and the audit log."""

from datetime import date, datetime
from typing import Any

import orjson
import strawberry

from api.context import Context
from api.schema.errors import UserError
from api.schema.jobs import Job
from api.schema.nodes import Node, global_id
from api.schema.people import Group, Permission, Role, User
from domain import audit, models
from domain.errors import Invalid
from domain.ids import decode_id
from domain.models.tokens import TokenScope as DomainTokenScope

Info = strawberry.Info[Context]

TokenScope = strawberry.enum(DomainTokenScope, name="TokenScope", description="What a token may be used for.")
AuditAction = strawberry.enum(audit.AuditAction, name="AuditAction", description="What the audit log tells of.")

_REFERENCES = {"role_id": "Role", "group_id": "Group", "manager_id": "User", "parent_id": "Group"}
_NEEDED = frozenset({"name", "email", "role_id", "is_rep", "deals_access", "external_ids"})


def given_values(given: Any, *names: str) -> dict[str, Any]:
    """The fields of an input that were sent, by the names of the columns.

    Raises:
        NotFound: an id is none.
        Invalid: a field that always has a value was sent as null.
    """
    values: dict[str, Any] = {}
    for name in names:
        value = getattr(given, name)
        if value is strawberry.UNSET:
            continue
        head, *rest = name.split("_")
        told = head + "".join(part.title() for part in rest)
        if value is None and name in _NEEDED:
            raise Invalid(f"{told}: give a value, or leave the field out.", path=("input", told))
        if value is not None and name in _REFERENCES:
            value = decode_id(value, _REFERENCES[name], path=("input", told))
        values[name] = value
    return values


@strawberry.input(description="Somebody who is to be on the team.")
class InviteUserInput:
    name: str = strawberry.field(description="The person's name.")
    email: str = strawberry.field(description="The person's address, by which the identity provider knows them too.")
    role_id: strawberry.ID = strawberry.field(description="The person's role.")
    group_id: strawberry.ID | None = strawberry.field(default=None, description="The person's group.")
    manager_id: strawberry.ID | None = strawberry.field(default=None, description="Whom the person reports to.")
    is_rep: bool = strawberry.field(default=True, description="Whether to list the person among the reps.")
    deals_access: bool = strawberry.field(default=False, description="Whether the person has a seat for deals.")
    external_ids: list[str] = strawberry.field(
        default_factory=list, description="The person's ids in connected systems."
    )
    started_on: date | None = strawberry.field(default=None, description="The first day with the team.")


@strawberry.input(description="What is to change of a person; a field that is left out stays, null takes it away.")
class UpdateUserInput:
    user_id: strawberry.ID = strawberry.field(description="Who.")
    name: str | None = strawberry.field(default=strawberry.UNSET, description="The person's name.")
    email: str | None = strawberry.field(default=strawberry.UNSET, description="The person's address.")
    role_id: strawberry.ID | None = strawberry.field(default=strawberry.UNSET, description="The person's role.")
    group_id: strawberry.ID | None = strawberry.field(default=strawberry.UNSET, description="Null: in no group.")
    manager_id: strawberry.ID | None = strawberry.field(default=strawberry.UNSET, description="Null: to nobody.")
    is_rep: bool | None = strawberry.field(default=strawberry.UNSET, description="Whether to list them among the reps.")
    deals_access: bool | None = strawberry.field(default=strawberry.UNSET, description="Whether they have a seat.")
    external_ids: list[str] | None = strawberry.field(default=strawberry.UNSET, description="Ids in other systems.")
    started_on: date | None = strawberry.field(default=strawberry.UNSET, description="The first day with the team.")
    ended_on: date | None = strawberry.field(default=strawberry.UNSET, description="The last day with the team.")


@strawberry.input(description="Somebody who leaves.")
class DeactivateUserInput:
    user_id: strawberry.ID = strawberry.field(description="Who.")
    ended_on: date | None = strawberry.field(default=None, description="Their last day; today if left out.")


@strawberry.input(description="Somebody who comes back.")
class ReactivateUserInput:
    user_id: strawberry.ID = strawberry.field(description="Who.")


@strawberry.input(description="Somebody who wants their data erased.")
class EraseUserInput:
    user_id: strawberry.ID = strawberry.field(description="Who.")


@strawberry.type(description="The person as they stand now, and the job that removes the rest.")
class EraseUserPayload:
    user: User | None = strawberry.field(description="Null when it was refused.")
    job: Job | None = strawberry.field(description="The job that goes on with it; null when it was refused.")
    errors: list[UserError] = strawberry.field(description="Why it was refused.")


@strawberry.type(description="The person as they stand now.")
class UserPayload:
    user: User | None = strawberry.field(description="Null when it was refused.")
    errors: list[UserError] = strawberry.field(description="Why it was refused.")


@strawberry.input(description="A new group.")
class CreateGroupInput:
    name: str = strawberry.field(description="What it is called.")
    parent_id: strawberry.ID | None = strawberry.field(default=None, description="The group above.")


@strawberry.input(description="What is to change of a group; a field that is left out stays.")
class UpdateGroupInput:
    group_id: strawberry.ID = strawberry.field(description="Which.")
    name: str | None = strawberry.field(default=strawberry.UNSET, description="What it is called.")
    parent_id: strawberry.ID | None = strawberry.field(
        default=strawberry.UNSET, description="The group above, all below comes along; null: to the top."
    )


@strawberry.input(description="A group to remove: an empty one.")
class RemoveGroupInput:
    group_id: strawberry.ID = strawberry.field(description="Which.")


@strawberry.type(description="The group as it stands now.")
class GroupPayload:
    group: Group | None = strawberry.field(description="Null when it was refused, or removed.")
    errors: list[UserError] = strawberry.field(description="Why it was refused.")


@strawberry.input(description="A new role.")
class CreateRoleInput:
    name: str = strawberry.field(description="What it is called.")
    permissions: list[Permission] = strawberry.field(description="What it allows: nothing that you may not do.")


@strawberry.input(description="What is to change of a role; a field that is left out stays.")
class UpdateRoleInput:
    role_id: strawberry.ID = strawberry.field(description="Which.")
    name: str | None = strawberry.field(default=None, description="What it is called.")
    permissions: list[Permission] | None = strawberry.field(default=None, description="All that it allows from now on.")


@strawberry.input(description="A role to remove: one that nobody has.")
class RemoveRoleInput:
    role_id: strawberry.ID = strawberry.field(description="Which.")


@strawberry.type(description="The role as it stands now.")
class RolePayload:
    role: Role | None = strawberry.field(description="Null when it was refused, or removed.")
    errors: list[UserError] = strawberry.field(description="Why it was refused.")


@strawberry.type(description="A token; its text is shown once, when it is made.")
class Token(Node):
    name: str = strawberry.field(description="What it is for.")
    scopes: list[TokenScope] = strawberry.field(description="What it may be used for.")
    created_at: datetime = strawberry.field(description="When it was made.")
    expires_at: datetime | None = strawberry.field(description="When it ends; null: never.")
    revoked_at: datetime | None = strawberry.field(description="When it was ended by hand.")
    last_used_at: datetime | None = strawberry.field(description="When it was last used, to the minute.")
    trusted_documents_only: bool = strawberry.field(description="Whether it takes trusted documents alone.")
    cost_per_minute: int | None = strawberry.field(description="Its own budget; null: the installation's.")
    row: strawberry.Private[models.Token]

    @classmethod
    def of(cls, row: models.Token) -> "Token":
        return cls(
            id=global_id("Token", row.id),
            name=row.name,
            scopes=[DomainTokenScope(scope) for scope in row.scopes],
            created_at=row.created_at,
            expires_at=row.expires_at,
            revoked_at=row.revoked_at,
            last_used_at=row.last_used_at,
            trusted_documents_only=row.trusted_documents_only,
            cost_per_minute=row.cost_per_minute,
            row=row,
        )

    @strawberry.field(description="Whose it is; null where the viewer may not see them.")
    async def user(self, info: Info) -> User | None:
        row = await info.context.users.load(self.row.user_id)
        return None if row is None else User.of(row)


@strawberry.input(description="A new token.")
class CreateTokenInput:
    name: str = strawberry.field(description="What it is for.")
    scopes: list[TokenScope] = strawberry.field(description="No more than your own credential has.")
    user_id: strawberry.ID | None = strawberry.field(default=None, description="Whose; your own if left out.")
    expires_at: datetime | None = strawberry.field(default=None, description="When it ends; never if left out.")
    trusted_documents_only: bool = strawberry.field(
        default=False, description="Whether it takes none but the team's trusted documents."
    )
    cost_per_minute: int | None = strawberry.field(
        default=None, description="What it may spend a minute, instead of the installation's budget."
    )


@strawberry.type(description="The new token.")
class CreateTokenPayload:
    token: Token | None = strawberry.field(description="Null when it was refused.")
    text: str | None = strawberry.field(description="The token itself: keep it, it is not shown again.")
    errors: list[UserError] = strawberry.field(description="Why it was refused.")


@strawberry.input(description="A token to end.")
class RevokeTokenInput:
    token_id: strawberry.ID = strawberry.field(description="Which.")


@strawberry.type(description="The token as it stands now.")
class TokenPayload:
    token: Token | None = strawberry.field(description="Null when it was refused.")
    errors: list[UserError] = strawberry.field(description="Why it was refused.")


@strawberry.type(description="A document that the team trusts: known by its hash, and all that a bound token takes.")
class TrustedDocument:
    hash: str = strawberry.field(description="SHA-256 of the text, hex.")
    name: str = strawberry.field(description="What it is called.")
    text: str = strawberry.field(description="The document.")
    added_at: datetime = strawberry.field(description="Since when it is trusted.")

    @classmethod
    def of(cls, row: models.TrustedDocument) -> "TrustedDocument":
        return cls(hash=row.digest, name=row.name, text=row.text, added_at=row.added_at)


@strawberry.input(description="A document to trust.")
class AddTrustedDocumentInput:
    name: str = strawberry.field(description="What it is called.")
    text: str = strawberry.field(description="The document: a valid one.")


@strawberry.input(description="A document to trust no more.")
class RemoveTrustedDocumentInput:
    hash: str = strawberry.field(description="SHA-256 of the text, hex.")


@strawberry.type(description="The document.")
class TrustedDocumentPayload:
    document: TrustedDocument | None = strawberry.field(description="Null when it was refused, or removed.")
    errors: list[UserError] = strawberry.field(description="Why it was refused.")


@strawberry.type(description="Who did or saw what of consequence.")
class AuditEntry:
    position: int = strawberry.field(description="Its place in the team's chain.")
    at: datetime = strawberry.field(description="When.")
    action: AuditAction = strawberry.field(description="What.")
    subject_type: str | None = strawberry.field(description="The type of what it happened to.")
    subject_id: strawberry.ID | None = strawberry.field(description="The id of what it happened to.")
    request_id: str | None = strawberry.field(description="The request in which it happened; the log names it too.")
    address: str | None = strawberry.field(description="The network address that the request came from.")
    before: strawberry.scalars.JSON | None = strawberry.field(description="What it was.")
    after: strawberry.scalars.JSON | None = strawberry.field(description="What it is since.")
    erased: bool = strawberry.field(description="Whether the details were erased with a person's data.")
    hash: str = strawberry.field(description="The chain's hash up to here, hex.")
    row: strawberry.Private[models.AuditEntry]

    @classmethod
    def of(cls, row: models.AuditEntry) -> "AuditEntry":
        told = orjson.loads(row.details) if row.details is not None else {}
        subject = None
        if row.subject_type is not None and row.subject_id is not None:
            subject = global_id(row.subject_type, row.subject_id)
        return cls(
            position=row.position,
            at=row.at,
            action=audit.AuditAction(row.action),
            subject_type=row.subject_type,
            subject_id=subject,
            request_id=row.request_id,
            address=told.get("address"),
            before=told.get("before"),
            after=told.get("after"),
            erased=row.details is None,
            hash=bytes(row.hash).hex(),
            row=row,
        )

    @strawberry.field(description="Who did it; null for the operator and for workers.")
    async def actor(self, info: Info) -> User | None:
        if self.row.actor_id is None:
            return None
        row = await info.context.users.load(self.row.actor_id)
        return None if row is None else User.of(row)


@strawberry.input(description="Which entries; all conditions must hold.")
class AuditFilter:
    actor_id: strawberry.ID | None = strawberry.field(default=None, description="Done by this person.")
    user_id: strawberry.ID | None = strawberry.field(default=None, description="Done to this person.")
    actions: list[AuditAction] | None = strawberry.field(default=None, description="Of these kinds.")
    since: datetime | None = strawberry.field(default=None, name="from", description="From this instant on.")
    until: datetime | None = strawberry.field(default=None, name="to", description="Before this instant.")

    def to_domain(self) -> audit.AuditFilter:
        ids = {
            name: None if given is None else decode_id(given, "User", path=("filter", told))
            for name, given, told in (("actor", self.actor_id, "actorId"), ("subject", self.user_id, "userId"))
        }
        actions = None if self.actions is None else tuple(self.actions)
        return audit.AuditFilter(ids["actor"], ids["subject"], actions, self.since, self.until)
