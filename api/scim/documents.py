"""What an answer looks like: resources as JSON, the part of them that was asked for, lists, and versions."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias
from uuid import UUID

import orjson
from starlette.responses import Response

from api.scim.errors import MEDIA_TYPE, Refusal
from domain.directory import groups, users
from domain.directory.groups import DirectoryGroup
from domain.directory.users import DirectoryUser
from domain.ids import encode_id

LIST_SCHEMA = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
_ALWAYS = frozenset({"schemas", "id"})
_CORE = (users.SCHEMA.lower(), groups.SCHEMA.lower())
_EXTENSIONS = (users.ENTERPRISE_SCHEMA.lower(),)
_VERSION_BYTES = 16

Document: TypeAlias = dict[str, Any]
AttributePath: TypeAlias = tuple[str, ...]


def version_of(found: DirectoryUser | DirectoryGroup) -> str:
    """The weak entity tag of a resource: another one whenever anything of it is."""
    return f'W/"{hashlib.sha256(orjson.dumps(found, default=str)).hexdigest()[: 2 * _VERSION_BYTES]}"'


def user_location(base: str, user_id: UUID) -> str:
    """The address of a User."""
    return f"{base}/Users/{encode_id('User', user_id)}"


def group_location(base: str, group_id: UUID) -> str:
    """The address of a Group."""
    return f"{base}/Groups/{encode_id('Group', group_id)}"


def _meta(kind: str, found: DirectoryUser | DirectoryGroup, location: str) -> Document:
    return {
        "resourceType": kind,
        "created": found.created_at,
        "lastModified": found.changed_at,
        "location": location,
        "version": version_of(found),
    }


def user_document(user: DirectoryUser, base: str) -> Document:
    """A User; what has no value is left out.

    Args:
        user: The person.
        base: The address of the protocol's root.
    """
    name = {"formatted": user.formatted_name, "familyName": user.family_name, "givenName": user.given_name}
    name = {part: value for part, value in name.items() if value is not None}
    document: Document = {"schemas": [users.SCHEMA], "id": encode_id("User", user.id)}
    if user.external_id is not None:
        document["externalId"] = user.external_id
    document["userName"] = user.user_name
    if name:
        document["name"] = name
    document["displayName"] = user.name
    document["active"] = user.active
    document["emails"] = [{"value": user.email, "type": "work", "primary": True}]
    if user.role is not None:
        document["roles"] = [{"value": user.role}]
    if user.group_id is not None:
        document["groups"] = [
            {
                "value": encode_id("Group", user.group_id),
                "$ref": group_location(base, user.group_id),
                "display": user.group_name,
                "type": "direct",
            }
        ]
    if user.manager_id is not None:
        document["schemas"] = [users.SCHEMA, users.ENTERPRISE_SCHEMA]
        manager = {"value": encode_id("User", user.manager_id), "$ref": user_location(base, user.manager_id)}
        document[users.ENTERPRISE_SCHEMA] = {"manager": manager}
    document["meta"] = _meta("User", user, user_location(base, user.id))
    return document


def group_document(group: DirectoryGroup, members: Iterable[UUID], base: str) -> Document:
    """A Group; without members, `members` is left out."""
    document: Document = {"schemas": [groups.SCHEMA], "id": encode_id("Group", group.id)}
    if group.external_id is not None:
        document["externalId"] = group.external_id
    document["displayName"] = group.name
    listed = [
        {"value": encode_id("User", member), "$ref": user_location(base, member), "type": "User"} for member in members
    ]
    if listed:
        document["members"] = listed
    document["meta"] = _meta("Group", group, group_location(base, group.id))
    return document


@dataclass(frozen=True, slots=True)
class Projection:
    """Which attributes an answer holds: the usual ones, just some of them, or all but some.

    Args:
        only: These, and those that are always there.
        without: All but these.
    """

    only: tuple[AttributePath, ...] = ()
    without: tuple[AttributePath, ...] = ()

    def wants(self, attribute: str) -> bool:
        """Whether any part of an attribute is to be there."""
        name = attribute.lower()
        if self.only:
            return any(path == () or path[0] == name for path in self.only)
        return (name,) not in self.without

    def of(self, document: Document) -> Document:
        """The part of a resource."""
        if self.only:
            kept: Document = _kept(document, self.only)
            return {key: document[key] for key in document if key in _ALWAYS} | kept
        return {
            key: value if key in _ALWAYS else _dropped(value, _below(key, self.without))
            for key, value in document.items()
            if key in _ALWAYS or (key.lower(),) not in self.without
        }


def parse_projection(attributes: Sequence[str], excluded: Sequence[str]) -> Projection:
    """What `attributes` and `excludedAttributes` ask for; names that do not exist mean nothing.

    Raises:
        Refusal: both are given.
    """
    if attributes and excluded:
        raise Refusal(400, "Give attributes or excludedAttributes, not both.", "invalidValue")
    return Projection(tuple(map(_path, attributes)), tuple(map(_path, excluded)))


def _path(name: str) -> AttributePath:
    rest = name.strip().lower()
    if rest in _CORE:
        return ()
    for schema in _CORE:
        rest = rest.removeprefix(f"{schema}:")
    for schema in _EXTENSIONS:
        if rest == schema:
            return (schema,)
        if rest.startswith(f"{schema}:"):
            return (schema, *rest.removeprefix(f"{schema}:").split("."))
    return tuple(rest.split("."))


def _below(key: str, paths: Iterable[AttributePath]) -> tuple[AttributePath, ...]:
    return tuple(path[1:] for path in paths if path and path[0] == key.lower())


def _kept(value: Any, paths: Sequence[AttributePath]) -> Any:
    if () in paths:
        return value
    if isinstance(value, list):
        return [_kept(one, paths) for one in value]
    if not isinstance(value, dict):
        return value
    return {key: _kept(part, below) for key, part in value.items() if (below := _below(key, paths))}


def _dropped(value: Any, paths: Sequence[AttributePath]) -> Any:
    if not paths:
        return value
    if isinstance(value, list):
        return [_dropped(one, paths) for one in value]
    if not isinstance(value, dict):
        return value
    return {key: _dropped(part, _below(key, paths)) for key, part in value.items() if (key.lower(),) not in paths}


def list_document(total: int, start_index: int, resources: Sequence[Document]) -> Document:
    """A list, or a page of it."""
    return {
        "schemas": [LIST_SCHEMA],
        "totalResults": total,
        "startIndex": start_index,
        "itemsPerPage": len(resources),
        "Resources": resources,
    }


def answer(document: Document | None, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """An answer with a document, or without one."""
    body = b"" if document is None else orjson.dumps(document, option=orjson.OPT_UTC_Z)
    fields = {"cache-control": "no-store", **(headers or {})}
    return Response(body, status, fields, media_type=None if document is None else MEDIA_TYPE)
