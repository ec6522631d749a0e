"""PATCH (RFC 7644, section 3.5.2), and as Okta and Entra send it.

scim2-models reads the operations and applies them, with names of operations in any case, values without a path, dotted
and URN-qualified keys, and filters in paths. Who is in a group is worked out here, without an object for each of
thousands of members.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

from scim2_models import Context, InvalidPathException, MutabilityException, PatchOp, PatchOperation, Path
from scim2_models.path import CompareOperator, Comparison, FilterNode, LogicalExpr, LogicalOperator, ValuePath

from api.scim.calls import LONGEST_ECHO, LONGEST_LIST, MOST_VALUES, require_few
from api.scim.errors import Refusal
from api.scim.shapes import POLICY, Group, User
from domain.directory import groups
from domain.errors import Invalid
from domain.ids import decode_any_id

LARGEST_GROUP_PATCH = 1000
"""Operations of a PATCH of a group: providers send one for each member that leaves."""
LONGEST_PATH = 300
"""Characters of the path of an operation: an attribute, with its URN, and a filter on its values."""

# Entra's way of saying "the role": it chooses among roles by a flag that it writes in quotes.
_THE_ROLE = re.compile(r'roles\[primary eq "?true"?\](\.value)?', re.IGNORECASE)
_MEMBERS = "members"
_OF_GROUPS = f"{groups.SCHEMA}:".lower()
_NOTHING = {"op": "replace", "value": {}}
"""An operation that changes nothing, where all the others are about members."""

Shape = TypeVar("Shape", User, Group)


def patch_user(shape: User, body: dict[str, Any]) -> User:
    """A person as a PATCH makes them; the given shape stays as it is.

    Raises:
        Refusal: the body does not fit.
        SCIMException: an operation does not fit.
        ValidationError: the body is no PATCH.
    """
    given = [_with_plain_role(part) for one in _given_operations(body) for part in _spread(one)]
    require_few(given, LONGEST_LIST)
    for one in given:
        require_few(one, MOST_VALUES)
        _require_short_path(one)
    after = shape.model_copy(deep=True)
    for operation in _operations(User, body, given):
        _apply(after, operation)
        for values in (after.emails, after.roles):
            require_few(values, MOST_VALUES)
    return after


def patch_group(shape: Group, body: dict[str, Any], members: Iterable[UUID]) -> tuple[Group, frozenset[UUID] | None]:
    """A group as a PATCH makes it, and who is in it then; None where the PATCH says nothing of that.

    Args:
        shape: The group without its members; it stays as it is.
        body: The PATCH.
        members: Who is in it now.

    Raises:
        Invalid: a member is no user.
        Refusal: the body does not fit.
        SCIMException: an operation does not fit.
        ValidationError: the body is no PATCH.
    """
    theirs: list[_MemberChange] = []
    others: list[Any] = []
    given = _given_operations(body)
    if len(given) > LARGEST_GROUP_PATCH:
        raise Refusal(400, f"At most {LARGEST_GROUP_PATCH} operations in one PATCH.", "invalidValue")
    for one in given:
        taken, rest = _split(one)
        theirs += taken
        others += rest
    # What is said of members and of the rest does not meet: the order between the two does not matter.
    for one in others:
        require_few(one, MOST_VALUES)
        _require_short_path(one)
    after = shape.model_copy(deep=True)
    for operation in _operations(Group, body, others or ([_NOTHING] if theirs else [])):
        _apply(after, operation)
    if not theirs:
        return after, None
    present = set(members)
    for change in theirs:
        change.apply(present)
    return after, frozenset(present)


@dataclass(frozen=True, slots=True)
class _MemberChange:
    """What one operation does to the members.

    Args:
        op: add, remove or replace.
        path: Which members; all of them if None.
        value: The members.
    """

    op: str
    path: str | None
    value: Any

    def apply(self, present: set[UUID]) -> None:
        """Change who is there."""
        chosen = None if self.path is None else _chosen(self.path)
        if self.op == "remove":
            if chosen is not None:
                present.difference_update(chosen)
            elif self.value is not None:
                present.difference_update(_known_ids(self.value))
            else:
                present.clear()
            return
        if self.op not in ("add", "replace"):
            raise Refusal(400, f"{self.op[:LONGEST_ECHO]!r} is no operation: add, remove or replace.", "invalidValue")
        if chosen is not None:
            raise MutabilityException(detail="members: a member is added or removed, not made another.")
        if self.op == "replace":
            present.clear()
        present.update(member_ids(self.value))


def _split(operation: Any) -> tuple[list[_MemberChange], list[Any]]:
    """What an operation says of members, and what it says of the rest."""
    if not isinstance(operation, dict):
        return [], [operation]
    op, path, value = str(operation.get("op")).lower(), operation.get("path"), operation.get("value")
    if isinstance(path, str) and path:
        name = path.partition("[")[0].strip().lower()
        if name.removeprefix(_OF_GROUPS).partition(".")[0] != _MEMBERS:
            return [], [operation]
        whole = path.strip().lower().removeprefix(_OF_GROUPS) == _MEMBERS
        if op != "remove" and "value" not in operation:
            raise Refusal(400, f"members: {op[:LONGEST_ECHO]} needs a value.", "invalidValue")
        return [_MemberChange(op, None if whole else path, value)], []
    if not isinstance(value, dict):
        return [], [operation]
    theirs = [
        _MemberChange(op, None, part) for key, part in value.items() if key.lower().removeprefix(_OF_GROUPS) == _MEMBERS
    ]
    if not theirs:
        return [], [operation]
    rest = {key: part for key, part in value.items() if key.lower().removeprefix(_OF_GROUPS) != _MEMBERS}
    return theirs, [{**operation, "value": rest}] if rest else []


def member_ids(values: Any) -> list[UUID]:
    """The users that members name, by `value` or by the end of `$ref`.

    Raises:
        Invalid: one of them names no user.
    """
    found = []
    for member in values if isinstance(values, list) else [] if values is None else [values]:
        named = member.get("value") or member.get("$ref") if isinstance(member, dict) else member
        decoded = None
        if isinstance(named, str):
            named = named.rstrip("/").rpartition("/")[2]
            decoded = decode_any_id(named) if named.isascii() else None
        if decoded is None or decoded[0] != "User":
            raise Invalid(f"members: {str(named)[:LONGEST_ECHO]!r} is the id of no user.", path=(_MEMBERS,))
        found.append(decoded[1])
    return found


def _given_operations(body: dict[str, Any]) -> list[Any]:
    for key, value in body.items():
        if key.lower() == "operations" and isinstance(value, list):
            return value
    return []


def _operations(model: type[Shape], body: dict[str, Any], operations: list[Any]) -> list[PatchOperation[Shape]]:
    """The operations, read, in the place of those in the body."""
    read = PatchOp[model].model_validate(  # type: ignore[valid-type]
        {key: value for key, value in body.items() if key.lower() != "operations"} | {"Operations": operations},
        scim_ctx=Context.RESOURCE_PATCH_REQUEST,
        scim_policy=POLICY,
    )
    found: list[PatchOperation[Shape]] = read.operations or []
    return found


def _apply(shape: Shape, operation: PatchOperation[Shape]) -> None:
    """Apply one operation in place."""
    with POLICY:
        patch: PatchOp[Any] = PatchOp.__class_getitem__(type(shape))(operations=[operation])
        patch.patch(shape)


def _require_short_path(operation: Any) -> None:
    path = operation.get("path") if isinstance(operation, dict) else None
    if isinstance(path, str) and len(path) > LONGEST_PATH:
        raise Refusal(400, f"path: at most {LONGEST_PATH} characters.", "invalidPath")


def _spread(operation: Any) -> list[Any]:
    """The same operation without keys that choose values, such as `emails[type eq "work"].value`: each of these as an
    operation with a path of its own."""
    value = operation.get("value") if isinstance(operation, dict) else None
    if not isinstance(value, dict) or operation.get("path") or not any("[" in key for key in value):
        return [operation]
    plain = {key: part for key, part in value.items() if "[" not in key}
    chosen = [{"op": operation.get("op"), "path": key, "value": part} for key, part in value.items() if "[" in key]
    return [{**operation, "value": plain}, *chosen]


def _with_plain_role(operation: Any) -> Any:
    """The same operation, saying `roles` where it says Entra's way of it."""
    path = operation.get("path") if isinstance(operation, dict) else None
    if not isinstance(path, str) or not _THE_ROLE.fullmatch(path.strip()):
        return operation
    if str(operation.get("op")).lower() == "remove":
        return {"op": "remove", "path": "roles"}
    return {"op": "replace", "path": "roles", "value": operation.get("value")}


def _known_ids(values: Any) -> Iterator[UUID]:
    """The users that are to leave; who never was one is no member either."""
    for one in values if isinstance(values, list) else [values]:
        try:
            yield from member_ids(one)
        except Invalid:
            continue


def _chosen(text: str) -> list[UUID]:
    """The members that a path chooses by their ids."""
    node = Path(text).ast
    if not isinstance(node, ValuePath) or node.sub_attr is not None:
        raise InvalidPathException(path=text, detail='members: choose them as in members[value eq "…"].')
    return list(_known_ids(list(_compared(node.val_filter))))


def _compared(node: FilterNode) -> Iterator[str]:
    if isinstance(node, LogicalExpr) and node.op is LogicalOperator.or_:
        for term in node.terms:
            yield from _compared(term)
    elif (
        isinstance(node, Comparison)
        and node.op is CompareOperator.eq
        and node.attr_path.attr.lower() == "value"
        and isinstance(node.value, str)
    ):
        yield node.value
    else:
        raise Refusal(400, 'members: choose them by value eq "…", several joined by or.', "invalidFilter")
