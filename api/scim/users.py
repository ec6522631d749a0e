"""`/Users`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import UUID

from scim2_models import Context, MutabilityException
from starlette.responses import Response

from api.scim.calls import LONGEST_ECHO, LONGEST_LIST, Call, decode_key, require_few
from api.scim.documents import Projection, answer, user_document, user_location, version_of
from api.scim.patching import patch_user
from api.scim.shapes import POLICY, Email, EnterpriseUser, Manager, Name, User, UserRole
from domain import administration
from domain.directory import users
from domain.directory.users import DirectoryUser, UserValues, is_address, shown_name
from domain.errors import Invalid
from domain.ids import decode_any_id, encode_id

if TYPE_CHECKING:
    from domain.database import Connection


async def read(call: Call, given_id: str) -> Response:
    """`GET /Users/{id}`."""
    user_id, projection = decode_key("User", given_id), call.projection()
    async with call.context.acquire() as connection:
        user = await users.get_user(connection, call.context.viewer, user_id)
    if call.is_known(version_of(user)):
        return answer(None, 304, {"etag": version_of(user)})
    return _told(call, user, projection)


async def create(call: Call) -> Response:
    """`POST /Users`."""
    body = await call.body()
    require_few(body, LONGEST_LIST)
    shape = User.model_validate(body, scim_ctx=Context.RESOURCE_CREATION_REQUEST, scim_policy=POLICY)
    wanted, projection = _values(shape), call.projection()

    async def work(connection: Connection) -> DirectoryUser:
        return await users.create_user(connection, call.context.viewer, wanted, now=call.context.now)

    return _told(call, await call.context.in_transaction(work), projection, 201)


async def put(call: Call, given_id: str) -> Response:
    """`PUT /Users/{id}`."""
    body = await call.body()
    require_few(body, LONGEST_LIST)
    given = User.model_validate(body, scim_ctx=Context.RESOURCE_REPLACEMENT_REQUEST, scim_policy=POLICY)

    def change(user: DirectoryUser) -> UserValues:
        return _changed(user, _merged(_shape(user), given), frozenset(given.model_fields_set))

    return await _change(call, given_id, change)


async def patch(call: Call, given_id: str) -> Response:
    """`PATCH /Users/{id}`."""
    body = await call.body()

    def change(user: DirectoryUser) -> UserValues:
        before = _shape(user)
        after = patch_user(before, body)
        if after.active is None:
            raise MutabilityException(detail="active: say true or false; it cannot be removed.")
        said = (name for name in ("emails", "display_name") if getattr(after, name) != getattr(before, name))
        return _changed(user, after, frozenset(said))

    return await _change(call, given_id, change)


async def remove(call: Call, given_id: str) -> Response:
    """`DELETE /Users/{id}`."""
    user_id = decode_key("User", given_id)
    viewer = call.context.viewer

    async def work(connection: Connection) -> None:
        await administration.begin(connection, viewer)
        call.require_match(version_of(await users.get_user(connection, viewer, user_id)))
        await users.remove_user(connection, viewer, user_id, now=call.context.now)

    await call.context.in_transaction(work)
    return answer(None, 204)


async def _change(call: Call, given_id: str, change: Callable[[DirectoryUser], UserValues]) -> Response:
    user_id, projection = decode_key("User", given_id), call.projection()
    viewer = call.context.viewer

    async def work(connection: Connection) -> DirectoryUser:
        await administration.begin(connection, viewer)
        user = await users.get_user(connection, viewer, user_id)
        call.require_match(version_of(user))
        return await users.change_user(connection, viewer, user, change(user), now=call.context.now)

    return _told(call, await call.context.in_transaction(work), projection)


def _told(call: Call, user: DirectoryUser, projection: Projection, status: int = 200) -> Response:
    headers = {"etag": version_of(user)}
    if status == 201:
        headers["location"] = user_location(call.base, user.id)
    return answer(projection.of(user_document(user, call.base)), status, headers)


def _shape(user: DirectoryUser) -> User:
    """A person as a PATCH sees them."""
    shape = User(
        id=encode_id("User", user.id),
        user_name=user.user_name,
        external_id=user.external_id,
        name=Name(formatted=user.formatted_name, given_name=user.given_name, family_name=user.family_name),
        display_name=user.name,
        active=user.active,
        emails=[Email(value=user.email, type="work", primary=True)],
        roles=None if user.role is None else [UserRole(value=user.role)],
    )
    if user.manager_id is not None:
        shape[EnterpriseUser] = EnterpriseUser(manager=Manager(value=encode_id("User", user.manager_id)))
    return shape


def _merged(shape: User, given: User) -> User:
    """A person with what a PUT gives; what it leaves out stays."""
    for name in ("user_name", "external_id", "name", "display_name", "emails", "roles"):
        if name in given.model_fields_set:
            setattr(shape, name, getattr(given, name))
    if given.active is not None:
        shape.active = given.active
    extension = given[EnterpriseUser]
    if extension is not None and "manager" in extension.model_fields_set:
        shape[EnterpriseUser] = extension
    return shape


def _changed(user: DirectoryUser, shape: User, said: frozenset[str]) -> UserValues:
    """What a change makes of a person.

    A shown name that was made from the others, and an address that is the user name, follow these unless the change
    says something of its own of them.
    """
    values = _values(shape)
    if "emails" in said:
        if values.email is None and not is_address(values.user_name):
            raise MutabilityException(detail="emails: an address is needed, as userName is none.")
    elif user.user_name.lower() == user.email.lower():
        values = replace(values, email=None)
    if "display_name" not in said and user.name == shown_name(user):
        values = replace(values, name=None)
    return values


def _values(shape: User) -> UserValues:
    name = shape.name or Name()
    extension = shape[EnterpriseUser]
    return UserValues(
        user_name=(shape.user_name or "").strip(),
        external_id=shape.external_id or None,
        name=shape.display_name or None,
        email=_address(shape.emails or []),
        formatted_name=name.formatted or None,
        given_name=name.given_name or None,
        family_name=name.family_name or None,
        active=shape.active is not False,
        role=_role(shape.roles or []),
        manager_id=_manager_id(extension.manager if extension is not None else None),
    )


def _address(emails: list[Email]) -> str | None:
    """The address that counts: the primary one, else the one for work, else the first."""
    given = [email for email in emails if email.value]
    ranked = sorted(given, key=lambda email: (not email.primary, (email.type or "").lower() != "work"))
    return ranked[0].value if ranked else None


def _role(roles: list[UserRole]) -> str | None:
    """The role that counts: the primary one, else the last."""
    given = [role for role in roles if role.value]
    marked = [role for role in given if role.primary]
    chosen = (marked or given)[-1:]
    return chosen[0].value if chosen else None


def _manager_id(manager: Manager | None) -> UUID | None:
    named = None if manager is None else manager.value or str(manager.ref or "").rstrip("/").rpartition("/")[2]
    if not named:
        return None
    decoded = decode_any_id(named) if named.isascii() else None
    if decoded is None or decoded[0] != "User":
        raise Invalid(f"manager: {named[:LONGEST_ECHO]!r} is the id of no user.", path=("manager",))
    return decoded[1]
