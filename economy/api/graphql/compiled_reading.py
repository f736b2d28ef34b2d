"""Makes closures of fields that only read an attribute of their source."""

from collections.abc import Callable, Sequence
from datetime import datetime
from enum import Enum
from functools import cache, partial
from operator import itemgetter
from typing import Any, NamedTuple
from uuid import UUID

from graphql import (
    GRAPHQL_MAX_INT,
    GRAPHQL_MIN_INT,
    GraphQLField,
    GraphQLInt,
    GraphQLLeafType,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLResolveInfo,
    Undefined,
    get_nullable_type,
    is_leaf_type,
    is_non_null_type,
)
from graphql.execution.collect_fields import FieldDetailsList
from graphql.pyutils import Path, is_awaitable
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.types.cast import get_strawberry_type_cast
from strawberry.types.field import StrawberryField

from economy.api.graphql.compiled_arguments import State
from economy.api.graphql.compiled_inputs import UNCHANGED
from economy.api.graphql.compiled_waiting import awaited

Info = GraphQLResolveInfo[Any]
RunField = Callable[[State, Any, Path | None], Any]
RunFields = Callable[[State, Any, Path | None], Any]  # of a source: its dict, or an awaitable of it
LEAVES = {str, int, bool, float, datetime, UUID}  # values of exactly these classes are values
Complete = Callable[[State, Any, Info, Path], Any]


class Place(NamedTuple):
    """Of a field, for its errors."""

    name: str
    parent_type: str
    type: GraphQLOutputType
    details: FieldDetailsList


class Leaf(NamedTuple):
    """A field that is an attribute of its source, and a leaf."""

    name: str  # in the answer
    attribute: str
    type: GraphQLLeafType


def leaf_of(name: str, field: GraphQLField | None) -> Leaf | None:
    attribute = None if field is None else attribute_of(field)
    if field is None or attribute is None:
        return None
    type_ = get_nullable_type(field.type)
    return Leaf(name, attribute, type_) if is_leaf_type(type_) else None


def reading_together(
    names: Sequence[str], leaves: Sequence[Leaf]
) -> Callable[[Any], dict[str, Any] | None] | None:
    """All leaves of an object by one look at it. None: there are fewer than two.

    Of a source it makes a dict of these names, in which all but the leaves are None. None: there is
    something unusual about one of them.
    """
    if len(leaves) < 2:
        return None
    attributes = [leaf.attribute for leaf in leaves]
    values_in, is_plain = itemgetter(*attributes), cache(partial(_is_plain, attributes))
    places = [leaf.name for leaf in leaves]
    classes: tuple[type, ...] = ()  # of the values as they were the last time
    coerced: list[tuple[int, Callable[[Any], Any]]] = []  # those that do not stay as they are

    def learn(found: tuple[type, ...]) -> None:
        nonlocal classes, coerced
        classes = found
        coerced = [
            (place, _output_of(leaf.type))
            for place, (leaf, class_) in enumerate(zip(leaves, found, strict=True))
            if class_ is not UNCHANGED.get(leaf.type)
        ]

    def read(source: Any) -> dict[str, Any] | None:
        if not is_plain(source.__class__):
            return None
        try:
            values = list(values_in(source.__dict__))
            found = tuple(map(type, values))
            if found != classes:
                if not all(class_ in LEAVES or issubclass(class_, Enum) for class_ in found):
                    return None
                learn(found)
            for place, coerce in coerced:
                value = values[place] = coerce(values[place])
                if value is None or value is Undefined:
                    return None
        except Exception:
            return None
        results: dict[str, Any] = dict.fromkeys(names)
        results.update(zip(places, values, strict=True))
        return results

    return read


def _is_plain(attributes: Sequence[str], class_: type) -> bool:
    """Whether to read these attributes of an instance is to look into its dict, without any other
    effect: each must be read once."""
    has_own_way = any("__getattribute__" in vars(one) for one in class_.__mro__[:-1])
    return not has_own_way and not any(
        hasattr(getattr(class_, attribute, None), "__get__") for attribute in attributes
    )


def _output_of(type_: GraphQLLeafType) -> Callable[[Any], Any]:
    coerce: Callable[[Any], Any] = type_.coerce_output_value
    if type_ is not GraphQLInt:
        return coerce

    def coerce_int(value: Any) -> Any:
        is_plain = value.__class__ is int and GRAPHQL_MIN_INT <= value <= GRAPHQL_MAX_INT
        return value if is_plain else coerce(value)

    return coerce_int


def reading(attribute: str, type_: GraphQLOutputType, finish: RunField) -> RunField:
    """A leaf that is an attribute of its source.

    `finish` gets whatever is unusual about it instead of a source: a value, or an error.
    """
    leaf_type: Any = get_nullable_type(type_)
    unchanged, coerce = UNCHANGED.get(leaf_type), leaf_type.coerce_output_value
    is_nullable = not is_non_null_type(type_)

    def read(state: State, source: Any, path: Path | None) -> Any:
        try:
            value = getattr(source, attribute)
            if value.__class__ is unchanged or (value is None and is_nullable):
                return value
            if value.__class__ in LEAVES or not _is_special(value):
                coerced = coerce(value)
                if coerced is not None and coerced is not Undefined:
                    return coerced
        except Exception as error:
            return finish(state, error, path)
        return finish(state, value, path)

    return read


def reading_object(
    attribute: str, class_: type | None, place: Place, run: RunFields, finish: RunField
) -> RunField:
    """An object of exactly this class; `finish` reads whatever else is there."""

    def read(state: State, source: Any, parent_path: Path | None) -> Any:
        value = getattr(source, attribute, None)
        if not is_just(value, class_):
            return finish(state, source, parent_path)
        path = Path(parent_path, place.name, place.parent_type)
        try:
            fields = run(state, value, path)
        except Exception as error:
            state.handle_field_error(error, place.type, place.details, path)
            return None
        if fields.__class__ is dict:
            return fields
        return awaited(state, fields, place.type, place.details, path)

    return read


def is_just(value: Any, class_: type | None) -> bool:
    """Whether it is of that class and stands for no other type."""
    return value.__class__ is class_ and get_strawberry_type_cast(value) is None


def _is_special(value: Any) -> bool:
    return value is None or value is Undefined or is_to_come(value)


def is_to_come(value: Any) -> bool:
    """Or has failed: no value yet."""
    return isinstance(value, Exception) or is_awaitable(value)


def attribute_of(field: GraphQLField) -> str | None:
    """Of a Strawberry field without a resolver of its own: what it reads from its source."""
    definition = field.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)
    # others may have a `get_result` of their own, or extensions: permission classes are such
    if type(definition) is not StrawberryField or not definition.is_basic_field:
        return None
    if definition.default_resolver is not getattr:
        return None
    name: str = definition.python_name
    return name


def class_of(type_: GraphQLObjectType) -> type | None:
    """Whose instances are of that type, without asking. None: ask always."""
    definition = type_.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)
    if definition is None or definition.is_type_of is not None:
        return None
    origin: type = definition.origin
    return origin
