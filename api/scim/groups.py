"""`/Groups`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING
from uuid import UUID

from scim2_models import Context
from starlette.responses import Response

from api.scim.calls import Call, decode_key, require_few
from api.scim.documents import Projection, answer, group_document, group_location, version_of
from api.scim.patching import member_ids, patch_group
from api.scim.shapes import POLICY, Group
from domain import administration
from domain.directory import groups
from domain.directory.groups import DirectoryGroup
from domain.ids import encode_id

if TYPE_CHECKING:
    from domain.database import Connection

LONGEST_MEMBERS = 20_000
"""Members that a body may list; how many of them may move at once, the domain says."""


async def read(call: Call, given_id: str) -> Response:
    """`GET /Groups/{id}`."""
    group_id = decode_key("Group", given_id)
    projection = call.projection()
    async with call.context.acquire() as connection:
        group = await groups.get_group(connection, call.context.viewer, group_id)
        if call.is_known(version_of(group)):
            return answer(None, 304, {"etag": version_of(group)})
        members = await _members(call, connection, group_id, projection)
    return _told(call, group, members, projection)


async def create(call: Call) -> Response:
    """`POST /Groups`."""
    body = await call.body()
    require_few(body, LONGEST_MEMBERS)
    shape = Group.model_validate(body, scim_ctx=Context.RESOURCE_CREATION_REQUEST, scim_policy=POLICY)
    wanted, projection = _wanted(shape), call.projection()

    async def work(connection: Connection) -> tuple[DirectoryGroup, tuple[UUID, ...]]:
        group = await groups.create_group(
            connection,
            call.context.viewer,
            name=shape.display_name or "",
            external_id=shape.external_id or None,
            members=wanted or (),
        )
        return group, await _members(call, connection, group.id, projection)

    group, members = await call.context.in_transaction(work)
    return _told(call, group, members, projection, 201)


async def put(call: Call, given_id: str) -> Response:
    """`PUT /Groups/{id}`."""
    body = await call.body()
    require_few(body, LONGEST_MEMBERS)
    given = Group.model_validate(body, scim_ctx=Context.RESOURCE_REPLACEMENT_REQUEST, scim_policy=POLICY)
    wanted = _wanted(given) if "members" in given.model_fields_set else None

    async def change(connection: Connection, group: DirectoryGroup) -> DirectoryGroup:
        external_id = given.external_id if "external_id" in given.model_fields_set else group.external_id
        return await groups.change_group(
            connection,
            call.context.viewer,
            group,
            name=given.display_name or "",
            external_id=external_id or None,
            members=wanted,
        )

    return await _change(call, given_id, change, call.projection())


async def patch(call: Call, given_id: str) -> Response:
    """`PATCH /Groups/{id}`; without a body in the answer, which would list thousands of members for one that came."""
    body = await call.body()

    async def change(connection: Connection, group: DirectoryGroup) -> DirectoryGroup:
        present = (await groups.members_of(connection, call.context.viewer, [group.id])).get(group.id, ())
        shape = Group(id=encode_id("Group", group.id), display_name=group.name, external_id=group.external_id)
        after, members = patch_group(shape, body, present)
        return await groups.change_group(
            connection,
            call.context.viewer,
            group,
            name=after.display_name or "",
            external_id=after.external_id or None,
            members=members,
        )

    if {"attributes", "excludedAttributes"} & set(call.request.query_params):
        return await _change(call, given_id, change, call.projection())
    response = await _change(call, given_id, change, Projection(without=(("members",),)))
    return answer(None, 204, {"etag": response.headers["etag"]})


async def remove(call: Call, given_id: str) -> Response:
    """`DELETE /Groups/{id}`."""
    group_id = decode_key("Group", given_id)
    viewer = call.context.viewer

    async def work(connection: Connection) -> None:
        await administration.begin(connection, viewer)
        call.require_match(version_of(await groups.get_group(connection, viewer, group_id)))
        await groups.remove_group(connection, viewer, group_id)

    await call.context.in_transaction(work)
    return answer(None, 204)


async def _change(
    call: Call,
    given_id: str,
    change: Callable[[Connection, DirectoryGroup], Awaitable[DirectoryGroup]],
    projection: Projection,
) -> Response:
    group_id = decode_key("Group", given_id)
    viewer = call.context.viewer

    async def work(connection: Connection) -> tuple[DirectoryGroup, tuple[UUID, ...]]:
        await administration.begin(connection, viewer)
        group = await groups.get_group(connection, viewer, group_id)
        call.require_match(version_of(group))
        changed = await change(connection, group)
        return changed, await _members(call, connection, group_id, projection)

    group, members = await call.context.in_transaction(work)
    return _told(call, group, members, projection)


async def _members(call: Call, connection: Connection, group_id: UUID, projection: Projection) -> tuple[UUID, ...]:
    """The members, where the answer is to hold them."""
    if not projection.wants("members"):
        return ()
    return (await groups.members_of(connection, call.context.viewer, [group_id])).get(group_id, ())


def _wanted(shape: Group) -> list[UUID]:
    members = [{"value": member.value, "$ref": str(member.ref or "")} for member in shape.members or []]
    return member_ids(members)


def _told(
    call: Call, group: DirectoryGroup, members: Iterable[UUID], projection: Projection, status: int = 200
) -> Response:
    headers = {"etag": version_of(group)}
    if status == 201:
        headers["location"] = group_location(call.base, group.id)
    return answer(projection.of(group_document(group, members, call.base)), status, headers)
