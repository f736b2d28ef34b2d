"""Makes closures of the arguments of fields."""

from collections.abc import Callable
from typing import Any

from graphql import FieldNode, GraphQLField, VariableNode, Visitor, visit
from graphql.execution.executor import Executor
from graphql.execution.values import VariableValues, get_argument_values

NO_VARIABLES = VariableValues({}, {})
UNCHANGEABLE = {str, int, bool, float, type(None)}

State = Executor[Any]  # of one run of an operation
Arguments = Callable[[State], dict[str, Any]]


def compiled_arguments(field: GraphQLField, node: FieldNode) -> Arguments:
    if not field.args:
        return lambda _state: {}
    if not _uses_variables(node):
        try:
            values = get_argument_values(field, node, NO_VARIABLES)
        except Exception:  # then each run has to say so
            values = None
        # what a resolver could change is made anew each time
        if values is not None and all(value.__class__ in UNCHANGEABLE for value in values.values()):
            return lambda _state: values
    return lambda state: get_argument_values(
        field, node, state.variable_values, None, state.hide_suggestions
    )


class _VariableSearch(Visitor):
    has_found = False

    def enter_variable(self, _node: VariableNode, *_: Any) -> None:
        self.has_found = True


def _uses_variables(node: FieldNode) -> bool:
    search = _VariableSearch()
    for argument in node.arguments or ():
        visit(argument, search)
    return search.has_found
