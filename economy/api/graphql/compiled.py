"""Runs an operation along a plan that was made of it once, instead of interpreting it each time.

graphql-core asks the schema and the document anew at every field of every request. Here each field
is a closure that knows its resolver, arguments and type beforehand (compiled_fields.py). Resolvers,
errors and nulls stay graphql-core's own: its Executor carries the state of a run and does what is
rare. What is answered is the same, byte for byte: tests/test_compiled.py runs operations both ways.
"""

from collections.abc import Awaitable
from typing import Any

from graphql import (
    DirectiveNode,
    DocumentNode,
    ExecutionResult,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLSchema,
    InlineFragmentNode,
    OperationDefinitionNode,
    OperationType,
    SelectionNode,
    SelectionSetNode,
    default_field_resolver,
    default_type_resolver,
    get_variable_values,
)
from graphql.execution.collect_fields import FragmentDetails, collect_fields
from graphql.execution.executor import Executor
from graphql.execution.values import VariableValues
from graphql.pyutils import is_awaitable

from economy.api.graphql.compiled_arguments import NO_VARIABLES
from economy.api.graphql.compiled_fields import Compiler
from economy.api.graphql.compiled_inputs import Unusual, compiled_variables, holds

MOST_COERCION_ERRORS = 50  # graphql-core's default


def can_be_compiled(document: DocumentNode) -> bool:
    """A document without directives: which fields are selected then depends on no variable.

    Decided before anything runs, so that a mutation is never run twice.
    """
    return not holds(document, DirectiveNode)


def fields_of(document: DocumentNode, operation: OperationDefinitionNode) -> int:
    """How many fields an operation selects, fragments included each time they are spread."""
    fragments = _fragments_of(document)
    counted: dict[str, int] = {}

    def of_fragment(name: str) -> int:
        if name not in counted:
            counted[name] = of_set(fragments[name].selection_set)
        return counted[name]

    def of_set(selections: SelectionSetNode | None) -> int:
        return sum(map(of, selections.selections)) if selections else 0

    def of(selection: SelectionNode) -> int:
        match selection:
            case FieldNode():
                return 1 + of_set(selection.selection_set)
            case InlineFragmentNode():
                return of_set(selection.selection_set)
            case FragmentSpreadNode():
                return of_fragment(selection.name.value)
        raise AssertionError("unreachable: there are no other selections")

    return of_set(operation.selection_set)


def _fragments_of(document: DocumentNode) -> dict[str, FragmentDefinitionNode]:
    return {
        one.name.value: one
        for one in document.definitions
        if isinstance(one, FragmentDefinitionNode)
    }


class CompiledOperation:
    """One operation of a valid document; executed any number of times, also at once."""

    def __init__(
        self,
        schema: GraphQLSchema,
        document: DocumentNode,
        operation: OperationDefinitionNode,
        *,
        hide_suggestions: bool,
    ) -> None:
        self._schema = schema
        self._operation = operation
        self._hide_suggestions = hide_suggestions
        self._definitions = _fragments_of(document)
        self._fragments = {
            name: FragmentDetails(definition) for name, definition in self._definitions.items()
        }
        root_type = schema.get_root_type(operation.operation)
        assert root_type is not None  # the document is valid
        fields = collect_fields(schema, self._fragments, NO_VARIABLES, root_type, operation)
        self._coerce = compiled_variables(schema, operation.variable_definitions or ())
        compiler = Compiler(schema, self._fragments, operation)
        self._run = compiler.fields(
            root_type,
            fields.grouped_field_set,
            is_serial=operation.operation is OperationType.MUTATION,
        )

    def execute(
        self, context: Any, variables: dict[str, Any] | None
    ) -> ExecutionResult | Awaitable[ExecutionResult]:
        """What graphql-core's `execute` answers."""
        values = self._values(variables or {})
        if isinstance(values, list):
            return ExecutionResult(None, values)
        executor = self._executor(context, values)
        try:
            data = self._run(executor, None, None)
        except GraphQLError as error:
            return _failed(executor, error)
        return _finished(executor, data) if is_awaitable(data) else _built(executor, data)

    def accepts(self, variables: dict[str, Any]) -> bool:
        return not isinstance(self._values(variables), list)

    def _values(self, variables: dict[str, Any]) -> VariableValues | list[GraphQLError]:
        try:
            return self._coerce(variables)
        except Unusual:
            return get_variable_values(
                self._schema,
                self._operation.variable_definitions or (),
                variables,
                max_errors=MOST_COERCION_ERRORS,
                hide_suggestions=self._hide_suggestions,
            )

    def _executor(self, context: Any, values: VariableValues) -> Executor[Any]:
        return Executor(
            self._schema,
            self._definitions,
            self._fragments,
            None,
            context,
            self._operation,
            values,
            default_field_resolver,
            default_type_resolver,
            default_field_resolver,
            hide_suggestions=self._hide_suggestions,
        )


async def _finished(executor: Executor[Any], data: Awaitable[Any]) -> ExecutionResult:
    try:
        return _built(executor, await data)
    except GraphQLError as error:
        return _failed(executor, error)


def _failed(executor: Executor[Any], error: GraphQLError) -> ExecutionResult:
    """A null that no field could take: there are no data."""
    executor.collected_errors.add(error, None)
    return _built(executor, None)


def _built(executor: Executor[Any], data: dict[str, Any] | None) -> ExecutionResult:
    return ExecutionResult(data, executor.collected_errors.errors or None)
