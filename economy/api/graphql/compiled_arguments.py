"""Makes closures that call the resolver of a field with its arguments.

A Strawberry resolver without extensions (permissions are such) is called directly, with the input
objects that Strawberry would make. Any other is called as graphql-core would, by way of Strawberry,
and so is one that takes anything but leaves and input objects of them.
"""

from collections.abc import Callable
from dataclasses import MISSING
from typing import Any, NamedTuple

from graphql import (
    FieldNode,
    GraphQLField,
    GraphQLSchema,
    Undefined,
    default_field_resolver,
    get_nullable_type,
    is_input_object_type,
    is_leaf_type,
)
from graphql.execution.executor import Executor
from graphql.execution.values import VariableValues, get_argument_values
from graphql.utilities.coerce_input_value import coerce_default_value
from strawberry.relay.types import GlobalID
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.types.base import StrawberryMaybe, StrawberryOptional, has_object_definition
from strawberry.types.field import StrawberryField
from strawberry.types.lazy_type import LazyType

from economy.api.graphql.compiled_inputs import (
    Unusual,
    Variables,
    compiled_literal,
    constant,
)

NO_VARIABLES = VariableValues({}, {})

State = Executor[Any]  # of one run of an operation
Call = Callable[[State, Any, Any], Any]  # of the source and graphql-core's info
Convert = Callable[[Any], Any]


class Argument(NamedTuple):
    name: str  # in Python
    literal: Callable[[Variables], Any]
    convert: Convert


def compiled_call(schema: GraphQLSchema, field: GraphQLField, node: FieldNode) -> Call:
    resolve = field.resolve or default_field_resolver

    def call(state: State, source: Any, info: Any) -> Any:
        if not field.args:
            return resolve(source, info)
        values = get_argument_values(
            field, node, state.variable_values, None, state.hide_suggestions
        )
        return resolve(source, info, **values)

    converter: GraphQLCoreConverter = schema._strawberry_schema.schema_converter  # type: ignore[attr-defined]
    definition = field.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)
    if (
        type(definition) is StrawberryField  # others may have a `get_result` of their own
        and definition.base_resolver is not None
        and not definition.extensions
        and not converter.exception_handlers
    ):
        arguments = _arguments(converter, definition, field, node)
        if arguments is not None:
            return _direct_call(converter, definition, arguments, call)
    return call


def _direct_call(
    converter: GraphQLCoreConverter,
    definition: StrawberryField,
    arguments: list[Argument],
    call: Call,
) -> Call:
    resolver, info_class = definition.base_resolver, converter.config.info_class
    assert resolver is not None
    has_self, is_async = resolver.self_parameter is not None, definition.is_async
    of_source = [
        parameter.name
        for parameter in (resolver.parent_parameter, resolver.root_parameter)
        if parameter
    ]
    of_info = resolver.info_parameter and resolver.info_parameter.name

    def call_directly(state: State, source: Any, info: Any) -> Any:
        variables = state.variable_values.coerced
        try:
            given = [argument.literal(variables) for argument in arguments]
        except Unusual:
            return call(state, source, info)
        try:
            values = {
                argument.name: argument.convert(value)
                for argument, value in zip(arguments, given, strict=True)
            }
            for name in of_source:
                values[name] = source
            if of_info:
                values[of_info] = info_class(_raw_info=info, _field=definition)
            return resolver(source, **values) if has_self else resolver(**values)
        except Exception as error:
            if is_async:  # Strawberry, too, would fail only when it is awaited
                return _failing(error)
            raise

    return call_directly


async def _failing(error: Exception) -> Any:
    raise error


def _arguments(
    converter: GraphQLCoreConverter,
    definition: StrawberryField,
    field: GraphQLField,
    node: FieldNode,
) -> list[Argument] | None:
    """Those that are given. None: one of them is left to Strawberry."""
    nodes = {argument.name.value: argument.value for argument in node.arguments or ()}
    found = []
    for argument in definition.arguments:
        name = converter.config.name_converter.from_argument(argument)
        given = field.args[name]
        if name in nodes:
            literal = compiled_literal(nodes[name], given.type)
        elif (default := coerce_default_value(given)) is not Undefined:
            literal = constant(default)
        else:
            continue
        convert = _conversion(converter, argument.type, given.type)
        if convert is None:
            return None
        found.append(Argument(argument.python_name, literal, convert))
    return found


def _conversion(
    converter: GraphQLCoreConverter, type_: Any, graphql_type: Any, within: tuple[Any, ...] = ()
) -> Convert | None:
    """What Strawberry's `convert_argument` does with a coerced value. None: ask Strawberry."""
    graphql_type = get_nullable_type(graphql_type)
    python_type = type_.of_type if type(type_) is StrawberryOptional else type_
    if isinstance(python_type, StrawberryMaybe | LazyType) or python_type is GlobalID:
        return None
    if is_leaf_type(graphql_type):
        return lambda value: value
    if (
        is_input_object_type(graphql_type)
        and has_object_definition(python_type)
        and python_type.__strawberry_definition__.from_input is None
        and python_type not in within
    ):
        return _object_conversion(converter, python_type, graphql_type, (*within, python_type))
    return None


def _object_conversion(
    converter: GraphQLCoreConverter, python_type: Any, graphql_type: Any, within: tuple[Any, ...]
) -> Convert | None:
    definition = python_type.__strawberry_definition__
    nulls = {
        field.python_name: None
        for field in definition.fields
        if field.default_value is MISSING and field.default_factory is MISSING
    }
    fields = []
    for field in definition.fields:
        name = converter.config.name_converter.from_field(field)
        if name not in graphql_type.fields:
            return None  # a private one
        type_ = field.resolve_type(type_definition=definition)
        convert = _conversion(converter, type_, graphql_type.fields[name].type, within)
        if convert is None:
            return None
        fields.append((name, field.python_name, convert))

    def convert_object(value: Any) -> Any:
        if value is None:
            return None
        given = {
            python_name: convert(value[name])
            for name, python_name, convert in fields
            if name in value
        }
        return python_type(**(nulls | given))

    return convert_object
