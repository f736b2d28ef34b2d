"""Makes closures of scalars and enums, and of fields that only read one from their source."""

from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID

from graphql import (
    GraphQLField,
    GraphQLLeafType,
    GraphQLOutputType,
    GraphQLResolveInfo,
    Undefined,
    get_nullable_type,
    is_non_null_type,
)
from graphql.pyutils import Path, is_awaitable
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.types.field import StrawberryField

from economy.api.graphql.compiled_arguments import State
from economy.api.graphql.compiled_inputs import UNCHANGED

Info = GraphQLResolveInfo[Any]
RunField = Callable[[State, Any, Path | None], Any]
PLAIN = {str, int, bool, float, datetime, UUID}  # values of exactly these classes are values
Complete = Callable[[State, Any, Info, Path], Any]


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
            if value.__class__ in PLAIN or not _is_special(value):
                coerced = coerce(value)
                if coerced is not None and coerced is not Undefined:
                    return coerced
        except Exception as error:
            return finish(state, error, path)
        return finish(state, value, path)

    return read


def _is_special(value: Any) -> bool:
    return value is None or value is Undefined or is_to_come(value)


def is_to_come(value: Any) -> bool:
    """Or has failed: no value yet."""
    return isinstance(value, Exception) or is_awaitable(value)


def leaf(type_: GraphQLLeafType) -> Complete:
    return lambda state, result, _info, _path: state.complete_leaf_value(type_, result)


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
