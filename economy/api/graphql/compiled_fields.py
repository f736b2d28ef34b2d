"""Makes closures of the fields of an operation and of the types of their values.

Each follows the method of graphql-core's Executor of the like name, less what is known beforehand.
"""

from collections.abc import Awaitable
from typing import Any

from graphql import (
    GraphQLAbstractType,
    GraphQLField,
    GraphQLLeafType,
    GraphQLList,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLSchema,
    OperationDefinitionNode,
    Undefined,
    default_type_resolver,
    get_nullable_type,
    is_abstract_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
)
from graphql.execution.collect_fields import (
    FieldDetailsList,
    FragmentDetails,
    GroupedFieldSet,
    collect_subfields,
)
from graphql.execution.executor import invalid_return_type_error, to_nodes
from graphql.pyutils import Path, is_awaitable

from economy.api.graphql.compiled_arguments import NO_VARIABLES, Call, State, compiled_call
from economy.api.graphql.compiled_reading import (
    Complete,
    Info,
    Place,
    RunField,
    RunFields,
    attribute_of,
    class_of,
    is_just,
    leaf_of,
    reading,
    reading_object,
)
from economy.api.graphql.compiled_selections import at_once, one_by_one
from economy.api.graphql.compiled_waiting import PLAIN, awaited, gathered, settle

LISTS = {list, tuple}  # a subclass may be anything


class Compiler:
    """Of one operation of a valid document that has no directives."""

    def __init__(
        self,
        schema: GraphQLSchema,
        fragments: dict[str, FragmentDetails],
        operation: OperationDefinitionNode,
    ) -> None:
        self._schema = schema
        self._fragments = fragments
        self._operation = operation
        self._made: dict[tuple[str, int], RunFields] = {}

    def fields(
        self, parent_type: GraphQLObjectType, grouped: GroupedFieldSet, *, is_serial: bool = False
    ) -> RunFields:
        fields = {
            name: self._field(parent_type, name, details) for name, details in grouped.items()
        }
        if is_serial:
            return one_by_one(fields)
        leaves = (
            leaf_of(name, self._schema.get_field(parent_type, details[0].node.name.value))
            for name, details in grouped.items()
        )
        return at_once(fields, [leaf for leaf in leaves if leaf is not None])

    def _field(
        self, parent_type: GraphQLObjectType, name: str, details: FieldDetailsList
    ) -> RunField:
        node = details[0].node
        field = self._schema.get_field(parent_type, node.name.value)
        assert field is not None  # the document is valid
        if node.name.value == "__typename":
            return lambda _state, _source, _path: parent_type.name
        complete = self._completion(field.type, details)
        attribute = attribute_of(field)
        is_read = attribute is not None and is_leaf_type(get_nullable_type(field.type))
        call = _given if is_read else compiled_call(self._schema, field, node)
        run = _resolving(parent_type, name, details, field, call=call, complete=complete)
        if attribute is None:
            return run
        if is_read:
            return reading(attribute, field.type, run)
        type_ = get_nullable_type(field.type)
        if not isinstance(type_, GraphQLObjectType):
            return run
        place = Place(name, parent_type.name, field.type, details)
        return reading_object(
            attribute, class_of(type_), place, self._fields_of(type_, details), run
        )

    def _fields_of(self, type_: GraphQLObjectType, details: FieldDetailsList) -> RunFields:
        """Made once: a field that reads an object asks twice, at each level."""
        key = (type_.name, id(details))
        if key not in self._made:
            subfields = collect_subfields(
                self._schema, self._fragments, NO_VARIABLES, self._operation, type_, details
            )
            self._made[key] = self.fields(type_, subfields.grouped_field_set)
        return self._made[key]

    def _completion(self, type_: GraphQLOutputType, details: FieldDetailsList) -> Complete:
        nullable_type: Any = get_nullable_type(type_)
        if is_list_type(nullable_type):
            complete = self._list(nullable_type, details)
        elif is_leaf_type(nullable_type):
            complete = _leaf(nullable_type)
        elif is_abstract_type(nullable_type):
            complete = self._abstract(nullable_type, details)
        else:
            assert isinstance(nullable_type, GraphQLObjectType)
            complete = self._object(nullable_type, details)
        return _checked(complete, is_non_null=is_non_null_type(type_))

    def _object(self, type_: GraphQLObjectType, details: FieldDetailsList) -> Complete:
        run, is_type_of = self._fields_of(type_, details), type_.is_type_of
        class_ = class_of(type_)

        def complete(state: State, result: Any, info: Info, path: Path) -> Any:
            if is_type_of is not None and not is_just(result, class_):
                is_it = is_type_of(result, info)
                if is_awaitable(is_it):
                    return complete_once_known(state, result, path, is_it)
                if not is_it:
                    raise invalid_return_type_error(type_, result, details)
            return run(state, result, path)

        async def complete_once_known(
            state: State, result: Any, path: Path, is_it: Awaitable[bool]
        ) -> Any:
            if not await is_it:
                raise invalid_return_type_error(type_, result, details)
            fields = run(state, result, path)
            return await fields if is_awaitable(fields) else fields

        return complete

    def _abstract(self, type_: GraphQLAbstractType, details: FieldDetailsList) -> Complete:
        resolve_type = type_.resolve_type or default_type_resolver
        completions: dict[str, Complete] = {}  # made when an object of that type is met

        def complete(state: State, result: Any, info: Info, path: Path) -> Any:
            name = resolve_type(result, info, type_)
            if is_awaitable(name):
                return complete_once_known(state, result, info, path, name)
            return complete_as(name, state, result, info, path)

        def complete_as(name: Any, state: State, result: Any, info: Info, path: Path) -> Any:
            if not isinstance(name, str) or name not in completions:
                runtime = state.ensure_valid_runtime_type(name, type_, details, info, result)
                completions[runtime.name] = self._object(runtime, details)
            return completions[name](state, result, info, path)

        async def complete_once_known(
            state: State, result: Any, info: Info, path: Path, name: Awaitable[Any]
        ) -> Any:
            completed = complete_as(await name, state, result, info, path)
            return await completed if is_awaitable(completed) else completed

        return complete

    def _list(self, type_: GraphQLList[Any], details: FieldDetailsList) -> Complete:
        item_type = type_.of_type
        complete_item = self._completion(item_type, details)

        def complete(state: State, result: Any, info: Info, path: Path) -> Any:
            # not even iterable, or some of it is still to come: that is rare
            if result.__class__ not in LISTS or any(map(is_awaitable, result)):
                return state.complete_list_value(type_, details, info, path, result, None)
            items: list[Any] = []
            waiting: list[int] = []
            try:
                for index, item in enumerate(result):
                    item_path = Path(path, index, None)
                    try:
                        completed = complete_item(state, item, info, item_path)
                    except Exception as error:
                        state.handle_field_error(error, item_type, details, item_path)
                        completed = None
                    if completed.__class__ not in PLAIN and is_awaitable(completed):
                        completed = awaited(state, completed, item_type, details, item_path)
                        waiting.append(index)
                    items.append(completed)
            except Exception:
                settle(state, items, waiting)
                raise
            return gathered(items, waiting) if waiting else items

        return complete


def _leaf(type_: GraphQLLeafType) -> Complete:
    return lambda state, result, _info, _path: state.complete_leaf_value(type_, result)


def _given(_state: State, outcome: Any, _info: Info) -> Any:
    """A resolver of what has been read before, or of the error that came of it."""
    return outcome


def _resolving(
    parent_type: GraphQLObjectType,
    name: str,
    details: FieldDetailsList,
    field: GraphQLField,
    *,
    call: Call,
    complete: Complete,
) -> RunField:
    """Any field: its resolver is called with what it may ask for."""
    type_, nodes = field.type, to_nodes(details)

    def run(state: State, source: Any, parent_path: Path | None) -> Any:
        path = Path(parent_path, name, parent_type.name)
        info = state.build_resolve_info(field, nodes, parent_type, path)
        try:
            result = call(state, source, info)
            if result.__class__ not in PLAIN and is_awaitable(result):
                return _resolved(state, result, info, path)
            completed = complete(state, result, info, path)
            if completed.__class__ not in PLAIN and is_awaitable(completed):
                return awaited(state, completed, type_, details, path)
        except Exception as error:
            state.handle_field_error(error, type_, details, path)
            return None
        return completed

    async def _resolved(state: State, result: Awaitable[Any], info: Info, path: Path) -> Any:
        try:
            completed = complete(state, await result, info, path)
            return await completed if is_awaitable(completed) else completed
        except Exception as error:
            state.handle_field_error(error, type_, details, path)
            return None

    return run


def _checked(complete: Complete, *, is_non_null: bool) -> Complete:
    """What holds for a value of every type: errors are raised, and null is null."""

    def checked(state: State, result: Any, info: Info, path: Path) -> Any:
        if isinstance(result, Exception):
            raise result
        completed = None
        if result is not None and result is not Undefined:
            completed = complete(state, result, info, path)
        if completed is None and is_non_null:
            raise TypeError(
                f"Cannot return null for non-nullable field {info.parent_type}.{info.field_name}."
            )
        return completed

    return checked
