"""Makes closures of scalars and enums, and of fields that only read one from their source."""

from collections.abc import Callable
from typing import Any

from graphql import (
    GraphQLField,
    GraphQLLeafType,
    GraphQLOutputType,
    GraphQLResolveInfo,
    Undefined,
    is_non_null_type,
)
from graphql.pyutils import Path, is_awaitable
from strawberry.schema.schema_converter import GraphQLCoreConverter

from economy.api.graphql.compiled_arguments import State

# built-in scalars: values of exactly these classes stand for themselves
UNCHANGED: dict[str, type] = {"String": str, "ID": str, "Boolean": bool}

Info = GraphQLResolveInfo[Any]
RunField = Callable[[State, Any, Path | None], Any]
Complete = Callable[[State, Any, Info, Path], Any]


def reading(attribute: str, type_: GraphQLOutputType, run: RunField) -> RunField:
    """A leaf that is an attribute of its source; whatever is unusual about it is left to `run`."""
    leaf_type: GraphQLLeafType = nullable(type_)
    unchanged, coerce = UNCHANGED.get(leaf_type.name), leaf_type.coerce_output_value
    is_nullable = not is_non_null_type(type_)

    def read(state: State, source: Any, path: Path | None) -> Any:
        try:
            value = getattr(source, attribute)
            if value.__class__ is unchanged or (value is None and is_nullable):
                return value
            if value is not None and not isinstance(value, Exception) and not is_awaitable(value):
                coerced = coerce(value)
                if coerced is not None and coerced is not Undefined:
                    return coerced
        except Exception:
            return run(state, source, path)
        return run(state, source, path)

    return read


def leaf(type_: GraphQLLeafType) -> Complete:
    return lambda state, result, _info, _path: state.complete_leaf_value(type_, result)


def nullable(type_: GraphQLOutputType) -> Any:
    return type_.of_type if is_non_null_type(type_) else type_


def attribute_of(field: GraphQLField) -> str | None:
    """Of a Strawberry field without a resolver of its own: what it reads from its source."""
    if not getattr(field.resolve, "_is_default", False):
        return None
    name: str = field.extensions[GraphQLCoreConverter.DEFINITION_BACKREF].python_name
    return name
