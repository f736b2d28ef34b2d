"""Makes closures that call the resolver of a field with its arguments.

A Strawberry resolver without extensions (permissions are such) is called directly, with the input
objects that Strawberry would make. Any other is called as graphql-core would, by way of Strawberry.
"""

from collections.abc import Callable
from dataclasses import MISSING
from typing import Any

from graphql import (
    FieldNode,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLSchema,
    Undefined,
    default_field_resolver,
    is_leaf_type,
    is_non_null_type,
)
from graphql.execution.executor import Executor
from graphql.execution.values import VariableValues, get_argument_values
from strawberry.relay.types import GlobalID
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.types.arguments import convert_argument
from strawberry.types.base import StrawberryMaybe, StrawberryOptional, has_object_definition
from strawberry.types.field import StrawberryField
from strawberry.types.lazy_type import LazyType

from economy.api.graphql.compiled_inputs import (
    Unusual,
    Variables,
    compiled_literal,
    constant,
    default_of,
)

NO_VARIABLES = VariableValues({}, {})

State = Executor[Any]  # of one run of an operation
Call = Callable[[State, Any, Any], Any]  # of the source and graphql-core's info
Convert = Callable[[Any], Any]


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
        isinstance(definition, StrawberryField)
        and definition.base_resolver is not None
        and not definition.extensions
        and not converter.exception_handlers
    ):
        return _direct_call(converter, definition, field, node, call)
    return call


def _direct_call(
    converter: GraphQLCoreConverter,
    definition: StrawberryField,
    field: GraphQLField,
    node: FieldNode,
    call: Call,
) -> Call:
    resolver, info_class = definition.base_resolver, converter.config.info_class
    assert resolver is not None
    arguments = _arguments(converter, definition, field, node)
    has_self = resolver.self_parameter is not None
    of_source = [
        parameter.name
        for parameter in (resolver.parent_parameter, resolver.root_parameter)
        if parameter
    ]
    of_info = resolver.info_parameter and resolver.info_parameter.name

    def call_directly(state: State, source: Any, info: Any) -> Any:
        variables = state.variable_values.coerced
        try:
            values = {name: convert(literal(variables)) for name, literal, convert in arguments}
        except Unusual:
            return call(state, source, info)
        for name in of_source:
            values[name] = source
        if of_info:
            values[of_info] = info_class(_raw_info=info, _field=definition)
        return resolver(source, **values) if has_self else resolver(**values)

    return call_directly


def _arguments(
    converter: GraphQLCoreConverter,
    definition: StrawberryField,
    field: GraphQLField,
    node: FieldNode,
) -> list[tuple[str, Callable[[Variables], Any], Convert]]:
    """Of each argument that is given: its Python name, its value, and the value's conversion."""
    nodes = {argument.name.value: argument.value for argument in node.arguments or ()}
    found: list[tuple[str, Callable[[Variables], Any], Convert]] = []
    for argument in definition.arguments:
        name = converter.config.name_converter.from_argument(argument)
        given = field.args[name]
        if name in nodes:
            literal = compiled_literal(nodes[name], given.type)
        elif (default := default_of(given)) is not Undefined:
            literal = constant(default)
        else:
            continue
        convert = _conversion(converter, argument.type, given.type)
        found.append((argument.python_name, literal, convert))
    return found


def _conversion(converter: GraphQLCoreConverter, type_: Any, graphql_type: Any) -> Convert:
    """What Strawberry's `convert_argument` does with a coerced value of this type."""
    graphql_type = graphql_type.of_type if is_non_null_type(graphql_type) else graphql_type
    python_type = type_.of_type if type(type_) is StrawberryOptional else type_
    if is_leaf_type(graphql_type) and not isinstance(python_type, StrawberryMaybe | LazyType):
        if python_type is not GlobalID:
            return lambda value: value
    elif has_object_definition(python_type):
        input_ = python_type.__strawberry_definition__
        if input_.from_input is None:
            return _object_conversion(converter, python_type, graphql_type)
    return lambda value: convert_argument(value, type_, converter.scalar_registry, converter.config)


def _object_conversion(
    converter: GraphQLCoreConverter, python_type: Any, graphql_type: GraphQLInputObjectType
) -> Convert:
    definition = python_type.__strawberry_definition__
    nulls = {
        field.python_name: None
        for field in definition.fields
        if field.default_value is MISSING and field.default_factory is MISSING
    }
    fields = []
    for field in definition.fields:
        name = converter.config.name_converter.from_field(field)
        type_ = field.resolve_type(type_definition=definition)
        convert = _conversion(converter, type_, graphql_type.fields[name].type)
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
