"""What the bodies of requests may hold, and what `/Schemas` says of it.

The provider's own attributes beyond these are passed over, as RFC 7643 allows.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, field_validator
from scim2_models import (
    URN,
    CaseExact,
    ComplexAttribute,
    Extension,
    Mutability,
    Reference,
    Required,
    Resource,
    ScimPolicy,
    Uniqueness,
)

from domain.directory import groups, users

POLICY = ScimPolicy(
    unknown=ScimPolicy.Unknown.ignore,
    # Entra says what to remove in the value, and writes to `emails[type eq "work"]` where there is none yet.
    remove_value_as_filter=ScimPolicy.RemoveValue.apply,
    unmatched_path_filter=ScimPolicy.UnmatchedPathFilter.create,
)
"""How far a provider may depart from the letter of the protocol."""

_Text = Annotated[str | None, Mutability.read_write]
_Id = Annotated[str | None, Mutability.read_write, CaseExact.true]
_ReadOnly = Annotated[str | None, Mutability.read_only]
_ReadOnlyId = Annotated[str | None, Mutability.read_only, CaseExact.true]
# Named here, before there are such classes: an annotation would be looked up among them.
_ToUser = Annotated[Reference["User"] | None, CaseExact.true]
_ToGroup = Annotated[Reference["Group"] | None, Mutability.read_only, CaseExact.true]
_ToMember = Annotated[Reference["User"] | None, Mutability.immutable, CaseExact.true]


def _valued(given: Any) -> Any:
    """A bare value stands for the object that holds it: some providers leave the object out."""
    return {"value": given} if isinstance(given, str) else given


def _listed(given: Any) -> Any:
    if given is None:
        return None
    return [_valued(one) for one in given] if isinstance(given, list) else [_valued(given)]


class Manager(ComplexAttribute):
    """Whom somebody reports to."""

    value: _Id = Field(None, description="The id of a User.")
    ref: _ToUser = Field(
        None, serialization_alias="$ref", validation_alias="$ref", description="The address of the User."
    )


class EnterpriseUser(Extension):
    """What companies say of people."""

    __schema__ = URN(users.ENTERPRISE_SCHEMA)

    manager: Manager | None = Field(None, description="Whom the person reports to: the reporting line.")

    @field_validator("manager", mode="before")
    @classmethod
    def _one(cls, given: Any) -> Any:
        if isinstance(given, list):
            given = given[0] if given else None
        return _valued(given)


class Name(ComplexAttribute):
    """The parts of a name."""

    formatted: _Text = Field(None, description="The whole of it.")
    family_name: _Text = Field(None, description="The family name.")
    given_name: _Text = Field(None, description="The given name.")


class Email(ComplexAttribute):
    """An email address. One is kept: the primary one, else the one for work, else the first."""

    value: _Text = Field(None, description="The address.")
    type: _Text = Field(None, description="One address is kept, as the one for work.", examples=["work"])
    primary: Annotated[bool | None, Mutability.read_write] = Field(
        None, description="One address is kept, as the primary one.", examples=["true"]
    )


class UserRole(ComplexAttribute):
    """A role of the team's. A person has one: of several the primary one, else the last."""

    value: _Text = Field(None, description="The name of the role.")
    primary: Annotated[bool | None, Mutability.read_write] = None


class UserGroup(ComplexAttribute):
    """The group that a person is in."""

    value: _ReadOnlyId = Field(None, description="The id of the Group.")
    ref: _ToGroup = Field(
        None, serialization_alias="$ref", validation_alias="$ref", description="The address of the Group."
    )
    display: _ReadOnly = Field(None, description="The name of the Group.")
    type: _ReadOnly = Field(None, description="How they are in it.", examples=["direct"])


class User(Resource[EnterpriseUser]):
    """A person on the team."""

    __schema__ = URN(users.SCHEMA)

    user_name: Annotated[str | None, Uniqueness.server, Required.true] = Field(
        None, description="The person's name at the identity provider, unique in the team."
    )
    name: Name | None = Field(None, description="The parts of the name.")
    display_name: _Text = Field(None, description="The name that Sideline shows; made from the others if not given.")
    active: Annotated[bool | None, Mutability.read_write] = Field(
        None, description="Whether the person has access; true if not given. What ends it ends tokens and sessions."
    )
    emails: list[Email] | None = Field(
        None, description="The email address; userName, where that is one, if not given."
    )
    roles: list[UserRole] | None = Field(
        None, description="The team's role that the person has; without one the built-in User."
    )
    groups: Annotated[list[UserGroup] | None, Mutability.read_only] = Field(
        None, description="The group that the person is in: one at most. Groups say who is in them."
    )

    @field_validator("emails", "roles", mode="before")
    @classmethod
    def _several(cls, given: Any) -> Any:
        return _listed(given)


class Member(ComplexAttribute):
    """A member of a group."""

    value: Annotated[str | None, Mutability.immutable, CaseExact.true] = Field(None, description="The id of a User.")
    ref: _ToMember = Field(
        None, serialization_alias="$ref", validation_alias="$ref", description="The address of the User."
    )
    type: Annotated[str | None, Mutability.immutable] = Field(
        None, description="What the member is.", examples=["User"]
    )


class Group(Resource[Any]):
    """A group of the team's. A person is in one at most: who is added to another moves."""

    __schema__ = URN(groups.SCHEMA)

    display_name: Annotated[str | None, Required.true] = Field(None, description="The name.")
    members: list[Member] | None = Field(None, description="Who is in it.")

    @field_validator("members", mode="before")
    @classmethod
    def _several(cls, given: Any) -> Any:
        return _listed(given)
