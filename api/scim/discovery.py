"""What this service can do and knows: `/ServiceProviderConfig`, `/ResourceTypes`, `/Schemas` (RFC 7644, section 4)."""

from __future__ import annotations

from typing import Any

from scim2_models import Context, Resource, ResourceType, Schema, ServiceProviderConfig
from scim2_models.resources.resource import Extension
from starlette.responses import Response

from api.scim.calls import Call
from api.scim.documents import Document, answer, list_document
from api.scim.errors import Refusal
from api.scim.shapes import EnterpriseUser, Group, User
from domain import people
from domain.directory.listing import LARGEST_PAGE
from domain.errors import NotFound

_ALWAYS_THERE = ("displayName", "active", "emails")
"""Attributes of a person that always have a value. A client that leaves them out at first gets one made of the rest."""


async def service_provider_config(call: Call) -> Response:
    """`GET /ServiceProviderConfig`."""
    _refuse_filter(call)
    location = f"{call.base}/ServiceProviderConfig"
    return answer(
        {
            "schemas": [str(ServiceProviderConfig.__schema__)],
            "patch": {"supported": True},
            "bulk": {"supported": False, "maxOperations": 0, "maxPayloadSize": 0},
            "filter": {"supported": True, "maxResults": LARGEST_PAGE},
            "changePassword": {"supported": False},
            "sort": {"supported": True},
            "etag": {"supported": True},
            "authenticationSchemes": [
                {
                    "type": "oauthbearertoken",
                    "name": "Bearer token",
                    "description": "A token of Sideline's with the scope SCIM, of somebody with MANAGE_TEAM.",
                    "specUri": "https://www.rfc-editor.org/info/rfc6750",
                    "primary": True,
                }
            ],
            "meta": {"resourceType": "ServiceProviderConfig", "location": location},
        }
    )


async def resource_types(call: Call) -> Response:
    """`GET /ResourceTypes`."""
    _refuse_filter(call)
    found = [_resource_type(call, model) for model in (User, Group)]
    return answer(list_document(len(found), 1, found))


async def resource_type(call: Call, name: str) -> Response:
    """`GET /ResourceTypes/{id}`."""
    for model in (User, Group):
        if model.__name__ == name:
            return answer(_resource_type(call, model))
    raise NotFound("No such resource type.")


async def schemas(call: Call) -> Response:
    """`GET /Schemas`."""
    _refuse_filter(call)
    found = await _schemas(call)
    return answer(list_document(len(found), 1, found))


async def schema(call: Call, urn: str) -> Response:
    """`GET /Schemas/{id}`."""
    for found in await _schemas(call):
        if found["id"].lower() == urn.lower():
            return answer(found)
    raise NotFound("No such schema.")


def _refuse_filter(call: Call) -> None:
    # RFC 7644, section 4: nobody is to think that what is left out is not there.
    if "filter" in call.request.query_params:
        raise Refusal(403, "filter: what the service can do is told as a whole.")


def _dumped(found: Resource[Any], call: Call, path: str) -> Document:
    document: Document = found.model_dump(scim_ctx=Context.RESOURCE_QUERY_RESPONSE)
    return {**document, "meta": {"resourceType": type(found).__name__, "location": f"{call.base}{path}"}}


def _resource_type(call: Call, model: type[User] | type[Group]) -> Document:
    return _dumped(ResourceType.from_resource(model), call, f"/ResourceTypes/{model.__name__}")


async def _schemas(call: Call) -> list[Document]:
    """The schemas; a person's with the names of the team's roles, so that a provider can offer them."""
    async with call.context.acquire() as connection:
        roles = await people.list_roles(connection, call.context.viewer)
    names = [role.name for role in roles if role.is_admin or not role.built_in]
    models: tuple[type[Resource[Any]] | type[Extension], ...] = (
        User,
        EnterpriseUser,
        Group,
        ServiceProviderConfig,
        ResourceType,
        Schema,
    )
    found = [_dumped(model.to_schema(), call, f"/Schemas/{model.__schema__}") for model in models]
    attributes = {attribute["name"]: attribute for attribute in found[0]["attributes"]}
    for name in _ALWAYS_THERE:
        attributes[name]["required"] = True
    address = attributes["emails"]["subAttributes"][0]
    address["required"] = True
    # The flag by which Entra writes of the role is understood, and not kept.
    attributes["roles"]["subAttributes"] = [{**attributes["roles"]["subAttributes"][0], "canonicalValues": names}]
    return found
