"""Makes closures that coerce variables and literals in the usual case.

Each does what graphql-core's `coerce_input_value` or `coerce_input_literal` does with the same
input, or raises Unusual: then graphql-core itself is asked, which also words what is wrong.
"""

from collections.abc import Callable
from typing import Any

from graphql import (
    GraphQLBoolean,
    GraphQLID,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLLeafType,
    GraphQLSchema,
    GraphQLString,
    Node,
    ObjectValueNode,
    Undefined,
    ValueNode,
    VariableDefinitionNode,
    VariableNode,
    Visitor,
    get_nullable_type,
    is_input_object_type,
    is_leaf_type,
    is_non_null_type,
    is_required_input_field,
    visit,
)
from graphql.execution.get_variable_signature import get_variable_signature
from graphql.execution.values import VariableValues, VariableValueSource
from graphql.utilities import coerce_input_literal
from graphql.utilities.coerce_input_value import coerce_default_value

# values of exactly these classes stand for themselves
UNCHANGED: dict[GraphQLLeafType, type] = {GraphQLString: str, GraphQLID: str, GraphQLBoolean: bool}
UNCHANGEABLE = {str, int, bool, float, type(None)}

Coerce = Callable[[Any], Any]
Variables = dict[str, Any]  # coerced, by name


class Unusual(Exception):
    """Left to graphql-core."""


def compiled_variables(
    schema: GraphQLSchema, definitions: tuple[VariableDefinitionNode, ...]
) -> Callable[[dict[str, Any]], VariableValues]:
    """From the values as they were sent. Raises Unusual."""
    signatures = [get_variable_signature(schema, definition) for definition in definitions]
    coercions = [
        (signature, coercion(signature.type) if definition.default_value is None else _refuse)
        for signature, definition in zip(signatures, definitions, strict=True)
        if not isinstance(signature, Exception)  # the document is valid
    ]

    def coerce_all(inputs: dict[str, Any]) -> VariableValues:
        sources, coerced = {}, {}
        for signature, coerce in coercions:
            name = signature.name
            if name in inputs:
                value = inputs[name]
                sources[name] = VariableValueSource(signature, value)
                coerced[name] = coerce(value)
            else:
                coerce(None)  # unusual, if it is required or has a default
                sources[name] = VariableValueSource(signature)
        return VariableValues(sources, coerced)

    return coerce_all


def coercion(type_: GraphQLInputType, within: tuple[Any, ...] = ()) -> Coerce:
    """`within`: the types of the input objects around it. One inside of itself is unusual."""
    if is_non_null_type(type_):
        coerce_some = _coercion_of_some(type_.of_type, within)

        def coerce_required(value: Any) -> Any:
            if value is None:
                raise Unusual
            return coerce_some(value)

        return coerce_required
    coerce_present = _coercion_of_some(type_, within)
    return lambda value: None if value is None else coerce_present(value)


def _coercion_of_some(type_: Any, within: tuple[Any, ...]) -> Coerce:
    if _is_plain_object(type_) and type_ not in within:
        return _coercion_of_object(type_, within)
    if not is_leaf_type(type_):
        return _refuse
    unchanged, coerce_input_value = UNCHANGED.get(type_), type_.coerce_input_value

    def coerce(value: Any) -> Any:
        if value.__class__ is unchanged:
            return value
        try:
            coerced = coerce_input_value(value)
        except Exception:
            raise Unusual from None
        if coerced is Undefined:
            raise Unusual
        return coerced

    return coerce


def _coercion_of_object(type_: GraphQLInputObjectType, within: tuple[Any, ...]) -> Coerce:
    fields = [
        (name, field.out_name or name, coercion(field.type, (*within, type_)), _default(field))
        for name, field in type_.fields.items()
    ]

    def coerce(value: Any) -> Any:
        if value.__class__ is not dict:
            raise Unusual
        coerced, given = {}, 0
        for name, out_name, coerce_field, default in fields:
            if name in value:
                given += 1
                coerced[out_name] = coerce_field(value[name])
            elif default is not None:
                coerced[out_name] = default(value)
        if given != len(value):  # there are others
            raise Unusual
        return coerced

    return coerce


def _is_plain_object(type_: Any) -> bool:
    """One-of objects are not: Strawberry's have an `out_type` that checks them."""
    return (
        is_input_object_type(type_)
        and not type_.is_one_of
        and type_.out_type is GraphQLInputObjectType.out_type
    )


def compiled_literal(node: ValueNode, type_: Any) -> Callable[[Variables], Any]:
    """Of an argument or a part of it. Raises Unusual when it runs, never when it is made."""
    if isinstance(node, VariableNode):
        return _variable(node.name.value, is_required=is_non_null_type(type_))
    nullable = get_nullable_type(type_)
    if _is_plain_object(nullable) and isinstance(node, ObjectValueNode):
        return _object_literal(node, nullable)
    if holds(node, VariableNode):
        return _refuse
    try:
        return constant(coerce_input_literal(node, type_))
    except Exception:
        return _refuse


def holds(node: Node, kind: type[Node]) -> bool:
    """Whether there is a node of that kind in it."""
    search = _Search(kind)
    visit(node, search)
    return search.has_found


class _Search(Visitor):
    def __init__(self, kind: type[Node]) -> None:
        super().__init__()
        self._kind = kind
        self.has_found = False

    def enter(self, node: Node, *_: Any) -> None:
        self.has_found = self.has_found or isinstance(node, self._kind)


def constant(value: Any) -> Callable[[Variables], Any]:
    """What a resolver could change is made anew each time, and so unusual."""
    return (lambda _variables: value) if value.__class__ in UNCHANGEABLE else _refuse


def _variable(name: str, *, is_required: bool) -> Callable[[Variables], Any]:
    def read(variables: Variables) -> Any:
        value = variables.get(name, Undefined)
        if value is Undefined or (value is None and is_required):
            raise Unusual
        return value

    return read


def _object_literal(
    node: ObjectValueNode, type_: GraphQLInputObjectType
) -> Callable[[Variables], Any]:
    nodes = {field.name.value: field.value for field in node.fields}
    literals = {
        field.out_name or name: (
            compiled_literal(nodes[name], field.type) if name in nodes else _default(field)
        )
        for name, field in type_.fields.items()
    }
    given = [(name, literal) for name, literal in literals.items() if literal is not None]

    def build(variables: Variables) -> Any:
        return {name: literal(variables) for name, literal in given}

    return build if nodes.keys() <= type_.fields.keys() else _refuse


def _default(field: GraphQLInputField) -> Callable[[dict[str, Any]], Any] | None:
    """None: where the field is not given, it is left out."""
    if is_required_input_field(field):
        return _refuse
    default = coerce_default_value(field)
    return None if default is Undefined else constant(default)


def _refuse(_value: Any) -> Any:
    raise Unusual
