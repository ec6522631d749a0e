"""What a selection of an object needs, planned once a request and then read off every object alike.

Most fields of the schema are attributes of their objects, and graphql-core spends microseconds on each of them in each
row of a list. A plan reads them at once; what is no plain attribute, or not what it should be, goes the ordinary way.

A resolver that brings something by a key says so with `refers_to`. Of a list those keys are known beforehand: they are
looked up together before the first object is answered, so that its resolver ends without a task of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial, wraps
from types import CoroutineType, coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from graphql import (
    GraphQLBoolean,
    GraphQLID,
    GraphQLInt,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLString,
    Undefined,
    get_nullable_type,
    is_abstract_type,
    is_leaf_type,
    is_object_type,
)
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.types.field import StrawberryField

if TYPE_CHECKING:
    from api.context import Context
    from api.loading import Loader

_Resolver = TypeVar("_Resolver", bound=Callable[..., Any])
_Result = TypeVar("_Result")
_Grouped = Mapping[str, Sequence[Any]]

AS_IT_IS: dict[Any, type] = {GraphQLString: str, GraphQLID: str, GraphQLBoolean: bool, GraphQLInt: int}
"""Values of these very types are in the answer what they are in Python."""
_END_OF_INT = 2**31
UNFIT = object()
"""In a value's place: the ordinary way is to be taken."""
DEEPEST = 3
"""How many plain objects a reference may lie below the objects of the list: an edge, its rep, the rep's user."""


def _once_a_definition(look: Callable[[Any], _Result]) -> Callable[[Any], _Result]:
    """What is found for a field's definition, kept: the schema's fields are always the same, and have no hash."""
    known: dict[int, tuple[Any, _Result]] = {}

    @wraps(look)
    def once(definition: Any) -> _Result:
        found = known.get(id(definition))
        if found is None:
            found = known[id(definition)] = (definition, look(definition))
        return found[1]

    return once


@dataclass(frozen=True, slots=True)
class Leaf:
    """A field that is an attribute.

    Args:
        attribute: In Python.
        kind: A value of this very type goes into the answer as it is; None if none does.
        convert: Makes the answer's value of others.
        nullable: Whether there may be none.
    """

    attribute: str
    kind: type | None
    convert: Callable[[Any], Any]
    nullable: bool

    def shown(self, value: Any) -> Any:
        """What a value is in the answer; `UNFIT` of one that the field does not promise."""
        if type(value) is self.kind:
            return value if type(value) is not int or -_END_OF_INT <= value < _END_OF_INT else UNFIT
        if value is None:
            return None if self.nullable else UNFIT
        if value is UNFIT or isinstance(value, Exception):
            return UNFIT
        try:
            converted = self.convert(value)
        except Exception:
            # The ordinary way meets it again, and tells of it with its path.
            return UNFIT
        return UNFIT if converted is None or converted is Undefined else converted


@dataclass(frozen=True, slots=True)
class ObjectPlan:
    """How objects of one type answer one selection.

    Args:
        type_name: Of the type.
        leaves: Fields that are attributes, and None for the type's name.
        rest: Fields that go the ordinary way.
        names: All of them, in the order of the answer.
    """

    type_name: str
    leaves: tuple[tuple[str, Leaf | None], ...]
    rest: dict[str, Any]
    names: tuple[str, ...]

    def read(self, source: Any) -> dict[str, Any] | None:
        """What the attributes say; None if one of them is not what its field promises."""
        found: dict[str, Any] = {}
        for name, leaf in self.leaves:
            if leaf is None:
                found[name] = self.type_name
                continue
            value = found[name] = leaf.shown(getattr(source, leaf.attribute, UNFIT))
            if value is UNFIT:
                return None
        return found

    def whole(self, read: dict[str, Any], rest: Mapping[str, Any]) -> dict[str, Any]:
        """Both parts in the order of the answer."""
        return {name: read[name] if name in read else rest[name] for name in self.names if name in read or name in rest}


def plan_object(parent: GraphQLObjectType, grouped: _Grouped) -> ObjectPlan | None:
    """The plan of a selection; None if none of its fields is an attribute."""
    leaves: list[tuple[str, Leaf | None]] = []
    rest: dict[str, Any] = {}
    for name, details in grouped.items():
        field_name = details[0].node.name.value
        leaf = None if field_name == "__typename" else leaf_of(parent.fields.get(field_name))
        if leaf is None and field_name != "__typename":
            rest[name] = details
        else:
            leaves.append((name, leaf))
    return ObjectPlan(parent.name, tuple(leaves), rest, tuple(grouped)) if any(leaf for _name, leaf in leaves) else None


@_once_a_definition
def leaf_of(definition: Any) -> Leaf | None:
    attribute = None if definition is None or definition.args else _attribute(definition)
    if attribute is None:
        return None
    nullable = get_nullable_type(definition.type)
    if not is_leaf_type(nullable):
        return None
    return Leaf(attribute, AS_IT_IS.get(nullable), nullable.coerce_output_value, nullable is definition.type)


def _attribute(definition: Any) -> str | None:
    """The attribute that a field is, without a resolver, a permission or an extension."""
    field = strawberry_field(definition)
    return field.python_name if field is not None and field.is_basic_field else None


def class_of(parent: GraphQLObjectType) -> type | None:
    """The Python class of a type's objects."""
    definition = (parent.extensions or {}).get(GraphQLCoreConverter.DEFINITION_BACKREF)
    return getattr(definition, "origin", None)


def type_of(schema: GraphQLSchema, kind: Any, found: type) -> GraphQLObjectType | None:
    """Which of the types that a field may answer is that of a class's objects; None if none is."""
    possible = schema.get_possible_types(kind) if is_abstract_type(kind) else [kind]
    return next((one for one in possible if class_of(one) is found), None)


def strawberry_field(definition: Any) -> StrawberryField | None:
    field = (definition.extensions or {}).get(GraphQLCoreConverter.DEFINITION_BACKREF)
    return field if isinstance(field, StrawberryField) else None


@dataclass(frozen=True, slots=True)
class Reference:
    """That a field brings something by a key.

    Args:
        loader: Whose key it is.
        key: An object's key; None if it refers to nothing.
    """

    loader: Callable[[Context], Loader[Any, Any]]
    key: Callable[[Any], Hashable | None]

    def is_missing(self, source: Any, context: Context) -> bool:
        """Whether what an object refers to was not brought yet."""
        key = self.key(source)
        return key is not None and bool(self.loader(context).missing((key,)))


def refers_to(
    loader: Callable[[Context], Loader[Any, Any]], key: Callable[[Any], Hashable | None]
) -> Callable[[_Resolver], _Resolver]:
    """Of a resolver: what it waits for is what the loader brings by the key, so that it can be brought beforehand."""

    def mark(resolver: _Resolver) -> _Resolver:
        references: tuple[Reference, ...] = getattr(resolver, "references", ())
        resolver.references = (*references, Reference(loader, key))  # type: ignore[attr-defined]
        return resolver

    return mark


@_once_a_definition
def references_of(definition: Any) -> tuple[Reference, ...]:
    """What a field's resolver refers to."""
    field = strawberry_field(definition)
    if field is None or field.base_resolver is None:
        return ()
    found: tuple[Reference, ...] = getattr(field.base_resolver.wrapped_func, "references", ())
    return found


Place = tuple[tuple[str, ...], Reference]
"""The attributes that lead from an object of a list to what refers, and the reference."""


def places_of(
    parent: GraphQLObjectType, grouped: _Grouped, collect: Callable[[Any, Any], Any], above: tuple[str, ...] = ()
) -> list[Place]:
    """The references in a selection, and in those of plain objects below it."""
    found: list[Place] = []
    for details in grouped.values():
        definition = parent.fields.get(details[0].node.name.value)
        if definition is None:
            continue
        found += [(above, reference) for reference in references_of(definition)]
        below, attribute = get_nullable_type(definition.type), _attribute(definition)
        if is_object_type(below) and attribute is not None and len(above) < DEEPEST:
            found += places_of(below, collect(below, details)[0], collect, (*above, attribute))
    return found


Keys = tuple["Loader[Any, Any]", list[Any]]
"""What a loader is to bring."""


def wanted(places: Iterable[tuple[Place, Iterable[Any]]], context: Context) -> list[Keys]:
    """The keys that objects refer to, at the places that each of them has, and that were not brought yet."""
    keys: dict[Loader[Any, Any], dict[Any, None]] = {}
    for (above, reference), items in places:
        loader = reference.loader(context)
        known = keys.setdefault(loader, {})
        for item in items:
            for attribute in above:
                item = getattr(item, attribute, None)
            key = None if item is None else reference.key(item)
            if key is not None:
                known[key] = None
    missing = [(loader, loader.missing(known)) for loader, known in keys.items()]
    return [(loader, some) for loader, some in missing if some]


def begun(running: CoroutineType[Any, Any, Any]) -> tuple[bool, Any]:
    """Run a coroutine up to where it has to wait.

    Returns:
        Whether it has ended; its result, or what to await for it.

    Raises:
        Exception: what it raised.
    """
    try:
        waits_for = running.send(None)
    except StopIteration as end:
        return True, end.value
    return False, _rest_of(running, waits_for)


@coroutine
def _rest_of(running: CoroutineType[Any, Any, Any], waits_for: Any) -> Any:
    while True:
        try:
            sent = yield waits_for
        except BaseException as error:
            step = partial(running.throw, error)
        else:
            step = partial(running.send, sent)
        try:
            waits_for = step()
        except StopIteration as end:
            return end.value
